//! Looking whether rows were inserted, when an answer was lost: the records are asked for by their key and
//! the time when they were created. There is no list of jobs to look at.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use singer_core::{Error, Result};
use singer_runtime::target::Batch;

use crate::api::{Api, MOST_VALUES};
use crate::encode::{self, Cell, Form, unquoted};
use crate::model::text_of;
use crate::rows::fold;
use crate::shape::Shape;

/// Records that one query may give for its values.
const MOST_FOUND: u32 = 200;

/// Texts that are longer are not compared by queries.
const MOST_LENGTH: usize = 255;

/// How far the clocks here and there may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// The field by which rows can be looked for: the one that holds the stream's key.
pub(crate) fn key(shape: &Shape) -> Option<&Cell> {
    let cell = shape.cells.first()?;
    let is_key = shape.identity == [cell.property];
    let is_comparable = match cell.form {
        Form::Text => cell.max_length.is_some_and(|most| most <= MOST_LENGTH),
        Form::Integer => true,
        _ => false,
    };
    (is_key && is_comparable).then_some(cell)
}

/// Which of these rows are records that were created since.
///
/// # Errors
/// What asking leads to; of kind `Rejected` if a key cannot be asked for.
pub(crate) async fn look(
    api: &Api,
    shape: &Shape,
    batch: &Batch,
    rows: &[u32],
    since: DateTime<Utc>,
) -> Result<Vec<bool>> {
    let Some(cell) = key(shape) else {
        return Err(Error::internal("there is no key to look for"));
    };
    let since = (since - SKEW).to_rfc3339_opts(SecondsFormat::Secs, true);
    let since = since.replace('Z', "+00:00");
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        keys.push(text(batch, *row, cell)?);
    }
    let mut found: HashSet<String> = HashSet::new();
    for some in keys.chunks(MOST_VALUES) {
        let values: Vec<String> = some.iter().map(|key| literal(key, cell)).collect();
        let select = format!(
            "select id, {field} from {module} where {field} in ({values}) and Created_Time >= '{since}'",
            field = cell.field,
            module = shape.module,
            values = values.join(", "),
        );
        let what = format!("cannot look for records of `{}`", shape.module);
        let records = api.query(&select, MOST_FOUND).await;
        let records = records.map_err(|fault| fault.into_error(&what))?;
        let known = records.iter().filter_map(|it| text_of(&it[&cell.field]));
        found.extend(known.map(|key| fold(&key)));
    }
    Ok(keys.iter().map(|key| found.contains(&fold(key))).collect())
}

/// The key of a row, which must have one that needs no escape: how a query escapes quotes is not documented.
fn text(batch: &Batch, row: u32, cell: &Cell) -> Result<String> {
    let mut out = Vec::new();
    let written = encode::value(&batch.record(row as usize), cell, &mut out);
    let key = unquoted(&out).into_owned();
    if written.is_err() || key.is_empty() || key.contains(['\'', '\\']) {
        return Err(Error::rejected(format!(
            "a row has a `{}` that cannot be looked for",
            cell.field
        )));
    }
    Ok(key)
}

fn literal(key: &str, cell: &Cell) -> String {
    match cell.form {
        Form::Integer => key.to_owned(),
        _ => format!("'{key}'"),
    }
}

/// The keys of rows in their order, as the result has them in its first column; `None` if rows have none, or
/// two have the same.
pub(crate) fn keys(shape: &Shape, batch: &Batch, rows: &[u32]) -> Option<Vec<String>> {
    let cell = shape.cells.first()?;
    if !cell.is_key && shape.identity != [cell.property] {
        return None;
    }
    // What is no text may be printed in another form than it was sent in.
    if !matches!(cell.form, Form::Text | Form::Integer | Form::Lookup(_)) {
        return None;
    }
    let mut places: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    let mut out = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        out.clear();
        encode::value(&batch.record(*row as usize), cell, &mut out).ok()?;
        let key = fold(&unquoted(&out));
        if key.is_empty() || places.insert(key, place).is_some() {
            return None;
        }
    }
    let mut keys = vec![String::new(); rows.len()];
    for (key, place) in places {
        if let Some(slot) = keys.get_mut(place) {
            *slot = key;
        }
    }
    Some(keys)
}
