//! The method `storage_write`: rows as protobuf. Rows with a key go as changes through the table's
//! default stream, where a number says which of two is newer, so that sending one twice does no harm.
//! Rows without go through a pending stream for each batch, whose commit makes them visible all at once;
//! versions of rows that are deduplicated later go through the default stream too, at least once.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | while changes are on their way | some of them | sends all of them; the newest of each key wins |
//! | before a pending stream is finalized | nothing; the stream goes by itself | appends through a stream of its own |
//! | between finalize and commit | nothing, or all rows | the journal names the stream: commits it, once more if need be, and counts |
//! | between commit and STATE | all rows | the same |

use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{Context as Digest, SHA256};
use singer_core::scan::ValueKind;
use singer_core::value::time::{DAY, parse_date, parse_timestamp};
use singer_core::{Error, Result};
use singer_net::redact;
use singer_runtime::blocking::blocking;
use singer_runtime::target::{Batch, Record};

use super::load::stamp;
use super::rows::{Line, Stamp, null_key};
use super::{Part, Written};
use crate::encode::{Extra, ExtraKind, ProtoEncoder, RowError, descriptor};
use crate::hex;
use crate::journal::Entry;
use crate::model::Kind;
use crate::shape::{Shape, orders_changes};
use crate::storage::{Appended, Rows, Storage, TablePath};
use crate::stream::Inner;
use crate::table::Ready;

/// What says whether a row is written or deleted.
const CHANGE_TYPE: &str = "_CHANGE_TYPE";
/// What says which of two changes is newer.
const CHANGE_NUMBER: &str = "_CHANGE_SEQUENCE_NUMBER";

/// How much of BigQuery's words about a row is kept.
const WORDS: usize = 300;

/// Rows of a part in protobuf.
struct Encoded {
    rows: Rows,
    /// Their places in the batch.
    places: Vec<u32>,
    refused: Vec<(u32, RowError)>,
    hash: String,
    has_unknown_inside: bool,
}

/// What rows are encoded by.
#[derive(Clone)]
struct Recipe {
    encoder: ProtoEncoder,
    line: Line,
    stamp: Stamp,
    changes: bool,
    keys: Vec<usize>,
    /// The property that orders changes, and how its values are read.
    order: Option<(usize, Kind)>,
    started_at: i64,
}

/// Sends the rows of a part.
pub(super) async fn write(
    inner: &Arc<Inner>,
    shape: &Shape,
    batch: &Arc<Batch>,
    part: &Part,
    ready: &Arc<Ready>,
) -> Result<Written> {
    let storage = inner
        .warehouse
        .storage
        .as_ref()
        .ok_or_else(|| Error::internal("there is no client for the Storage Write API"))?;
    let mut written = Written::default();
    let encoded = {
        let recipe = recipe(inner, shape, ready, batch);
        let (batch, part) = (Arc::clone(batch), part.clone());
        blocking(move || Ok(encode(&batch, &part, &recipe))).await?
    };
    for (row, error) in &encoded.refused {
        written.refuse_row(*row, error);
    }
    if encoded.has_unknown_inside {
        inner.warn_of_unknown_inside();
    }
    if encoded.places.is_empty() {
        return Ok(written);
    }
    let path = TablePath {
        project: inner.warehouse.api.project().to_owned(),
        dataset: ready.place.dataset.clone(),
        table: ready.place.table.clone(),
    };
    let described = Bytes::from(descriptor(&ready.columns, &extra_kinds(shape)));
    let appended = if shape.uses_default_stream() {
        storage
            .append_default(&path, &described, &encoded.rows)
            .await?
    } else {
        let number = batch.number();
        append_once(inner, storage, &path, &described, &encoded, number).await?
    };
    written.sent += (encoded.places.len() - appended.refused.len()) as u64;
    written.requests += appended.requests;
    written.retried += appended.retried;
    written.bytes += appended.bytes;
    for (index, refused) in appended.refused {
        let row = encoded.places.get(index).copied().unwrap_or_default();
        let names: Vec<&str> = ready
            .columns
            .iter()
            .map(|column| column.field.name.as_str())
            .collect();
        let words = redact::words(&refused.message, &names, WORDS);
        written.refuse(row, &refused.code, words);
    }
    Ok(written)
}

/// Appends rows that must not stand there twice.
async fn append_once(
    inner: &Inner,
    storage: &Storage,
    path: &TablePath,
    described: &Bytes,
    encoded: &Encoded,
    batch_number: u64,
) -> Result<Appended> {
    let enter = |name: &str| match inner.journal() {
        None => Ok(()),
        Some(journal) => journal.enter(
            batch_number,
            Entry {
                hash: encoded.hash.clone(),
                name: name.to_owned(),
                covered_by: None,
            },
        ),
    };
    if let Some(journal) = inner.journal()
        && let Some(stream) = journal.inherit(&encoded.hash)
    {
        enter(&stream)?;
        if storage.commit_again(path, &stream).await? {
            tracing::info!(
                stream = inner.stream.name,
                rows = encoded.places.len(),
                "a run that died had written these rows already"
            );
            return Ok(Appended::default());
        }
    }
    storage
        .append_pending(path, described, &encoded.rows, &enter)
        .await
}

fn extra_kinds(shape: &Shape) -> Vec<(&'static str, ExtraKind)> {
    let mut kinds = shape.spec.extras.clone();
    if shape.sends_changes() {
        kinds.push((CHANGE_TYPE, ExtraKind::Text));
        kinds.push((CHANGE_NUMBER, ExtraKind::Text));
    }
    kinds
}

fn recipe(inner: &Inner, shape: &Shape, ready: &Ready, batch: &Batch) -> Recipe {
    let order = shape.order_property.and_then(|property| {
        let column = ready
            .columns
            .iter()
            .find(|column| column.index == property)?;
        let kind = &column.field.kind;
        orders_changes(kind).then(|| (property, kind.clone()))
    });
    Recipe {
        encoder: ProtoEncoder::new(&ready.columns, &extra_kinds(shape), shape.options),
        line: Line::new(shape),
        stamp: stamp(inner, batch),
        changes: shape.sends_changes(),
        keys: shape.needed(),
        order,
        started_at: inner.warehouse.context.started_at().timestamp_millis(),
    }
}

fn encode(batch: &Batch, part: &Part, recipe: &Recipe) -> Encoded {
    let mut data = Vec::with_capacity(batch.bytes() / batch.len().max(1) * part.rows.len());
    let mut encoded = Encoded {
        rows: Rows::default(),
        places: Vec::with_capacity(part.rows.len()),
        refused: Vec::new(),
        hash: String::new(),
        has_unknown_inside: false,
    };
    let mut digest = Digest::new(&SHA256);
    digest.update(part.place.to_string().as_bytes());
    digest.update(&part.version.unwrap_or_default().to_le_bytes());
    let (mut id, mut number) = (String::new(), String::new());
    for row in &part.rows {
        let record = batch.record(*row as usize);
        if !recipe.changes {
            for text in record.texts() {
                digest.update(text);
            }
        }
        if let Some(error) = null_key(&record, &recipe.keys, batch) {
            encoded.refused.push((*row, error));
            continue;
        }
        if recipe.line.has_ids() {
            recipe.stamp.write_id(&mut id, *row);
        }
        let named = recipe.line.values(&record, &recipe.stamp, &id);
        let mut extras: Vec<Extra<'_>> = named.into_iter().map(|(_, extra)| extra).collect();
        if recipe.changes {
            write_number(
                &mut number,
                recipe,
                &record,
                batch.number() + u64::from(*row),
            );
            let word = if recipe.line.is_deleted(&record) {
                "DELETE"
            } else {
                "UPSERT"
            };
            extras.push(Extra::Text(word));
            extras.push(Extra::Text(&number));
        }
        match recipe.encoder.encode(&record, &extras, &mut data) {
            Ok(presence) => {
                encoded.has_unknown_inside |= presence.has_unknown_inside();
                encoded.places.push(*row);
                encoded.rows.ends.push(data.len() as u32);
            }
            Err(error) => encoded.refused.push((*row, error)),
        }
    }
    encoded.rows.data = Bytes::from(data);
    encoded.hash = hex(digest.finish().as_ref().get(..16).unwrap_or_default());
    encoded
}

/// Which of two changes of a row is newer: by the column that orders them, then by the run, then by the
/// record's place in the input. Up to four groups of hexadecimal digits, compared as numbers from left to
/// right.
fn write_number(text: &mut String, recipe: &Recipe, record: &Record<'_>, place: u64) {
    use std::fmt::Write as _;
    text.clear();
    let order = recipe
        .order
        .as_ref()
        .map(|(property, kind)| order_of(record, *property, kind));
    let written = match order {
        Some(order) => write!(text, "{order:x}/{:x}/{place:x}", recipe.started_at.max(0)),
        None => write!(text, "{:x}/{place:x}", recipe.started_at.max(0)),
    };
    written.expect("a string takes every write");
}

/// A value as a number that grows with it. One that is missing or null is older than any other.
fn order_of(record: &Record<'_>, property: usize, kind: &Kind) -> u64 {
    let Some((value, text)) = record.field(property) else {
        return 0;
    };
    let text = std::str::from_utf8(text).unwrap_or_default();
    let number = match (kind, value) {
        (Kind::Integer, ValueKind::Integer) => text.parse().ok(),
        (Kind::Timestamp | Kind::DateTime, ValueKind::String) => {
            parse_timestamp(text.trim_matches('"'))
        }
        (Kind::Date, ValueKind::String) => {
            let text = text.trim_matches('"');
            parse_date(text).or_else(|| Some(parse_timestamp(text)?.div_euclid(DAY)))
        }
        _ => None,
    };
    number.map_or(0, number_of)
}

/// A number without a sign that grows with one that has a sign.
fn number_of(number: i64) -> u64 {
    (number as u64) ^ (1 << 63)
}

/// The requests for a part, as `--dry-run` shows them.
pub(super) fn preview(inner: &Inner, shape: &Shape, batch: &Batch, part: &Part) -> String {
    let warehouse = &inner.warehouse;
    let ready = Ready::planned(warehouse, shape, &part.place);
    let few = Part {
        rows: part.rows.iter().copied().take(1000).collect(),
        ..part.clone()
    };
    let encoded = encode(batch, &few, &recipe(inner, shape, &ready, batch));
    let stream = if shape.sends_changes() {
        "the default stream, as changes"
    } else if shape.uses_default_stream() {
        "the default stream"
    } else {
        "a pending stream, committed at its end"
    };
    format!(
        "AppendRows projects/{}/datasets/{}/tables/{}: {} rows to {stream}; the first {} are {} bytes of protobuf",
        warehouse.api.project(),
        part.place.dataset,
        part.place.table,
        part.rows.len(),
        encoded.places.len(),
        encoded.rows.data.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_with_values_also_below_zero() {
        assert!(number_of(-1) < number_of(0) && number_of(0) < number_of(1));
        assert!(0 < number_of(i64::MIN + 1) && number_of(i64::MIN) < number_of(i64::MAX));
    }
}
