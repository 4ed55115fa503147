//! Rows that go: those that a record says were deleted, and those that a version no longer has.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | between an import and the deletions of its batch | the rows are there | sends the batch again, and deletes |
//! | between two lists of keys | some of the rows are gone | deletes the rest; rows that are gone are no fault |
//! | while the rows of an old version go | some of them are gone | the version comes again, and takes the rest |

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use singer_core::Result;
use singer_runtime::target::Batch;

use crate::api::Table;
use crate::config::{Milliseconds, OnDelete};
use crate::encode::{self, Cell, RowError};
use crate::home::Home;
use crate::rows::Written;
use crate::schema::{DELETED_AT, TABLE_VERSION};
use crate::shape::Shape;

/// Keys in one call at most.
const MOST_KEYS: usize = 1_000;

/// Characters of criteria at most: CONFIG takes 100,000, and escapes quotes.
const MOST_CHARACTERS: usize = 60_000;

/// A call's criteria, and how many keys they name.
type Criteria = (String, u64);

/// Deletes rows of a batch by their keys.
pub(crate) async fn delete(
    home: &Home,
    shape: &Shape,
    table: &Table,
    batch: &Arc<Batch>,
    rows: &[u32],
) -> Result<Written> {
    let mut written = Written::default();
    let (all, refused) = criteria(shape, batch, rows);
    for (row, error) in refused {
        written.refuse_row(row, error);
    }
    for (criteria, keys) in all {
        let config = json!({ "criteria": criteria });
        let deleted = home.api.delete_rows(table, &config).await;
        let what = format!("cannot delete rows of `{}`", shape.view);
        let deleted = deleted.map_err(|fault| fault.into_error(&what))?;
        tracing::debug!(stream = shape.stream, keys, deleted, "deleted rows");
        written.cleared += deleted;
        // A key that is not there is as good as deleted.
        written.sent += keys.saturating_sub(deleted);
    }
    Ok(written)
}

/// Criteria that name the keys of rows, in pieces that a call takes.
fn criteria(shape: &Shape, batch: &Batch, rows: &[u32]) -> (Vec<Criteria>, Vec<(u32, RowError)>) {
    let keys: Vec<&Cell> = shape.keys().collect();
    let mut all: Vec<Criteria> = Vec::new();
    let mut refused = Vec::new();
    let mut text = String::new();
    let mut count = 0;
    for row in rows {
        let record = batch.record(*row as usize);
        let parts = keys
            .iter()
            .map(|key| encode::literal(&record, key, shape.options));
        let parts: Vec<String> = match parts.collect() {
            Ok(parts) => parts,
            Err(error) => {
                refused.push((*row, error));
                continue;
            }
        };
        let piece = match (keys.as_slice(), parts.as_slice()) {
            ([_], [value]) => value.clone(),
            _ => format!("({})", equal(&keys, &parts)),
        };
        if count == MOST_KEYS || text.len() + piece.len() > MOST_CHARACTERS {
            all.extend(finish(&keys, &mut text, &mut count));
        }
        if count > 0 {
            text.push_str(if keys.len() == 1 { "," } else { " or " });
        }
        text.push_str(&piece);
        count += 1;
    }
    all.extend(finish(&keys, &mut text, &mut count));
    (all, refused)
}

fn finish(keys: &[&Cell], text: &mut String, count: &mut usize) -> Option<Criteria> {
    if *count == 0 {
        return None;
    }
    let list = std::mem::take(text);
    let count = std::mem::take(count) as u64;
    Some(match keys {
        [key] => (format!("{} in ({list})", column(&key.column)), count),
        _ => (list, count),
    })
}

/// `"A" = 1 and "B" = 'x'`
pub(crate) fn equal(keys: &[&Cell], values: &[String]) -> String {
    let pairs = keys
        .iter()
        .zip(values)
        .map(|(key, value)| format!("{} = {value}", column(&key.column)));
    pairs.collect::<Vec<_>>().join(" and ")
}

/// A column as criteria have it.
fn column(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Deletes or marks the rows that are not of a version; returns how many.
pub(crate) async fn vanished(
    home: &Home,
    shape: &Shape,
    table: &Table,
    version: i64,
) -> Result<u64> {
    let version_column = shape.column_of(TABLE_VERSION);
    let version_column = column(version_column);
    let old = format!("{version_column} <> {version} or {version_column} is null");
    let what = format!("cannot delete the rows of `{}` that vanished", shape.view);
    match shape.on_delete {
        OnDelete::Ignore => Ok(0),
        OnDelete::Delete => {
            let deleted = home
                .api
                .delete_rows(table, &json!({ "criteria": old }))
                .await;
            deleted.map_err(|fault| fault.into_error(&what))
        }
        OnDelete::Flag => {
            let mark = shape.column_of(DELETED_AT);
            let pattern = shape.options.date_time_pattern();
            let config = json!({
                "columns": {mark: moment(home.context.now(), shape.options.milliseconds)},
                "columnDateFormat": {mark: pattern},
                "criteria": format!("({old}) and {} is null", column(mark)),
            });
            let changed = home.api.update_rows(table, &config).await;
            let changed = changed.map_err(|fault| fault.into_error(&what))?;
            if !changed.invalid.is_empty() {
                return Err(singer_core::Error::rejected(format!(
                    "the table `{}` has no column `{mark}` to mark rows in",
                    shape.view
                )));
            }
            Ok(changed.rows)
        }
    }
}

fn moment(now: DateTime<Utc>, milliseconds: Milliseconds) -> String {
    let pattern = match milliseconds {
        Milliseconds::Keep => "%Y-%m-%d %H:%M:%S%.3f",
        Milliseconds::Drop => "%Y-%m-%d %H:%M:%S",
    };
    now.format(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_by, shape, stream};

    #[test]
    fn keys_are_listed_a_thousand_at_a_time() {
        let stream = stream("t", &json!({"id": {"type": "integer"}}));
        let records: Vec<String> = (0..1001).map(|id| format!("{{\"id\": {id}}}")).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let batch = batch_by(&stream, &[0], &records);
        let rows: Vec<u32> = (0..1001).collect();
        let (all, refused) = criteria(&shape(&stream, json!({})), &batch, &rows);
        assert!(refused.is_empty());
        let counts: Vec<u64> = all.iter().map(|(_, keys)| *keys).collect();
        assert_eq!(counts, [1000, 1]);
        assert!(all[0].0.starts_with("\"id\" in (0,1,2,"));
        assert_eq!(all[1].0, "\"id\" in (1000)");
    }

    #[test]
    fn texts_are_quoted_and_long_ones_make_shorter_lists() {
        let stream = stream("t", &json!({"id": {"type": "string"}}));
        let long = "x".repeat(40_000);
        let records = [
            r#"{"id": "it's"}"#.to_owned(),
            format!(r#"{{"id": "{long}"}}"#),
            format!(r#"{{"id": "{long}y"}}"#),
        ];
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let batch = batch_by(&stream, &[0], &records);
        let (all, _) = criteria(&shape(&stream, json!({})), &batch, &[0, 1, 2]);
        assert!(all[0].0.starts_with("\"id\" in ('it''s','xxx"));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn keys_of_several_columns_are_told_one_by_one() {
        let properties =
            json!({"id": {"type": "integer"}, "at": {"type": "string", "format": "date"}});
        let stream = stream("t", &properties);
        let records = [
            r#"{"id": 1, "at": "2025-01-01"}"#,
            r#"{"id": 2, "at": null}"#,
            r#"{"id": 3, "at": "2025-01-02"}"#,
        ];
        let batch = batch_by(&stream, &[0, 1], &records);
        let shape = shape(&stream, json!({"matching_columns": ["id", "at"]}));
        let (all, refused) = criteria(&shape, &batch, &[0, 1, 2]);
        let ordered = |id: u32, at: &str| {
            // In the order of the schema, whichever that is.
            let parts = [format!("\"at\" = '{at}'"), format!("\"id\" = {id}")];
            let first_is_at = shape.keys().next().unwrap().column == "at";
            let [at, id] = parts;
            if first_is_at {
                format!("({at} and {id})")
            } else {
                format!("({id} and {at})")
            }
        };
        let wanted = format!(
            "{} or {}",
            ordered(1, "2025-01-01"),
            ordered(3, "2025-01-02")
        );
        assert_eq!(all, [(wanted, 2)]);
        assert_eq!(refused[0].0, 1);
    }
}
