//! From a batch to rows: those that are written, in rounds and by their columns, and those that are not.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use singer_core::scan::ValueKind;
use singer_runtime::target::{Batch, Outcome, Record, Refusal, Verdict};

use crate::config::OnDelete;
use crate::encode::{self, RowError, unquoted};
use crate::hash;
use crate::shape::Shape;

/// Rows of one batch that have the same columns, no two of them with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Before it every part of a lower round is written.
    pub(crate) round: u32,
    /// The rows, by their place in the batch.
    pub(crate) rows: Vec<u32>,
    /// The columns that they have, by their place in [`Shape::cells`].
    pub(crate) columns: Arc<[usize]>,
}

/// A batch as it is written.
#[derive(Debug, Default)]
pub(crate) struct Parted {
    /// In the order in which they are written.
    pub(crate) parts: Vec<Part>,
    /// Rows that were deleted at the source and are not sent.
    pub(crate) deleted: u64,
    /// Rows that are none.
    pub(crate) refused: Vec<(u32, RowError)>,
}

/// What became of rows.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Rows that the service confirmed.
    pub(crate) sent: u64,
    /// Rows that were there already, or are not meant for the service.
    pub(crate) unchanged: u64,
    /// Bytes of files.
    pub(crate) bytes: u64,
    /// Rows that were not taken.
    pub(crate) refusals: Vec<Refusal>,
}

impl Written {
    /// Notes a row that was not taken.
    pub(crate) fn refuse(
        &mut self,
        row: u32,
        verdict: Verdict,
        code: Option<String>,
        reason: String,
    ) {
        self.refusals.push(Refusal {
            index: row as usize,
            verdict,
            code,
            reason,
        });
    }

    /// Notes a row that was never sent.
    pub(crate) fn refuse_row(&mut self, row: u32, error: RowError) {
        let code = Some(error.code.to_owned());
        self.refuse(row, Verdict::Rejected, code, error.reason);
    }

    /// As the runtime counts it; `traffic` is requests and those that were made again.
    pub(crate) fn outcome(mut self, traffic: (u64, u64)) -> Outcome {
        self.refusals.sort_by_key(|refusal| refusal.index);
        Outcome {
            sent: self.sent,
            unchanged: self.unchanged,
            requests: traffic.0,
            retried: traffic.1,
            bytes: self.bytes,
            refusals: self.refusals,
            ..Outcome::default()
        }
    }
}

/// Whether a record says that it was deleted at the source. Of several records with one key the last one
/// tells, also by having no mark.
pub(crate) fn is_deleted(record: &Record<'_>, shape: &Shape) -> bool {
    #[derive(Deserialize)]
    struct Marked {
        #[serde(rename = "_sdc_deleted_at")]
        mark: Option<IgnoredAny>,
    }
    let marked = shape
        .deleted
        .and_then(|property| record.field(property))
        .is_some_and(|(kind, _)| kind != ValueKind::Null);
    let has_mark = |text: &[u8]| {
        serde_json::from_slice::<Marked>(text).map_or(true, |marked| marked.mark.is_some())
    };
    let mut texts = record.texts();
    texts.next();
    marked && texts.last().is_none_or(has_mark)
}

/// Takes a batch apart; `skips` says of a row that it is there already.
pub(crate) fn parted(
    shape: &Shape,
    batch: &Batch,
    mut skips: impl FnMut(u32, &Record<'_>) -> bool,
) -> Parted {
    let mut parted = Parted::default();
    let all: Arc<[usize]> = (0..shape.cells.len()).collect();
    let mut places: HashMap<(u32, Arc<[usize]>), usize> = HashMap::new();
    let mut keys: HashMap<u64, u32> = HashMap::new();
    let mut key = Vec::new();
    let mut last: Option<usize> = None;
    for (row, record) in (0_u32..).zip(batch.records()) {
        if shape.on_delete == OnDelete::Ignore && is_deleted(&record, shape) {
            parted.deleted += 1;
            continue;
        }
        if skips(row, &record) {
            continue;
        }
        let mut round = 0;
        if let Some(cell) = shape.key() {
            key.clear();
            if let Err(unfit) = encode::value(&record, cell, &mut key) {
                parted.refused.push((row, unfit.at(cell)));
                continue;
            }
            // The service takes texts that differ in case alone for one key; the runtime does not.
            let seen = keys.entry(folded(&key)).or_default();
            round = *seen;
            *seen += 1;
        }
        let columns = if shape.tells_missing() {
            columns_of(shape, &record)
        } else {
            Arc::clone(&all)
        };
        let is_as_before = last
            .and_then(|place| parted.parts.get(place))
            .is_some_and(|part| part.round == round && part.columns == columns);
        if !is_as_before {
            let place = *places
                .entry((round, Arc::clone(&columns)))
                .or_insert_with(|| {
                    parted.parts.push(Part {
                        round,
                        rows: Vec::new(),
                        columns,
                    });
                    parted.parts.len() - 1
                });
            last = Some(place);
        }
        if let Some(part) = last.and_then(|place| parted.parts.get_mut(place)) {
            part.rows.push(row);
        }
    }
    parted.parts.sort_by_key(|part| part.round);
    parted
}

/// The columns that a record has.
fn columns_of(shape: &Shape, record: &Record<'_>) -> Arc<[usize]> {
    let cells = shape.cells.iter().enumerate();
    cells
        .filter(|(_, cell)| cell.is_in(record))
        .map(|(place, _)| place)
        .collect()
}

/// The key of a cell as the service compares keys: without case.
fn folded(cell: &[u8]) -> u64 {
    hash::of(fold(&unquoted(cell)).as_bytes())
}

/// A text as keys are compared.
pub(crate) fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{batch, shape, stream};

    fn rows(shape: &Shape, records: &[&str]) -> Vec<(u32, Vec<u32>, usize)> {
        let stream =
            stream(&json!({"Email": {}, "Last_Name": {}, "Fax": {}, "_sdc_deleted_at": {}}));
        let parted = parted(shape, &batch(&stream, records), |_, _| false);
        let parts = parted.parts.into_iter();
        parts
            .map(|part| (part.round, part.rows, part.columns.len()))
            .collect()
    }

    fn contacts(settings: serde_json::Value) -> Shape {
        let stream =
            stream(&json!({"Email": {}, "Last_Name": {}, "Fax": {}, "_sdc_deleted_at": {}}));
        shape(&stream, settings).unwrap()
    }

    #[test]
    fn keys_that_differ_in_case_alone_are_written_one_after_the_other() {
        let shape = contacts(json!({"find_by": "Email"}));
        let records = [
            r#"{"Email": "a@x"}"#,
            r#"{"Email": "b@x"}"#,
            r#"{"Email": "A@x "}"#,
            r#"{"Email": "c@x"}"#,
        ];
        assert_eq!(
            rows(&shape, &records),
            [(0, vec![0, 1, 3], 3), (1, vec![2], 3)]
        );
    }

    #[test]
    fn records_with_other_properties_part_only_where_null_clears() {
        let records = [
            r#"{"Email": "a@x", "Fax": null}"#,
            r#"{"Email": "b@x"}"#,
            r#"{"Email": "c@x", "Fax": "1"}"#,
        ];
        let shape = contacts(json!({"find_by": "Email"}));
        assert_eq!(rows(&shape, &records), [(0, vec![0, 1, 2], 3)]);
        let shape = contacts(json!({"find_by": "Email", "ignore_empty": false}));
        assert_eq!(
            rows(&shape, &records),
            [(0, vec![0, 2], 2), (0, vec![1], 1)]
        );
    }

    #[test]
    fn rows_without_a_key_are_refused_and_deleted_ones_are_not_sent() {
        let shape = contacts(json!({"find_by": "Email"}));
        let stream =
            stream(&json!({"Email": {}, "Last_Name": {}, "Fax": {}, "_sdc_deleted_at": {}}));
        let records = [
            r#"{"Email": null}"#,
            r#"{"Email": "a@x", "_sdc_deleted_at": "2026-01-01T00:00:00Z"}"#,
            r#"{"Email": "b@x", "_sdc_deleted_at": null}"#,
        ];
        let parted = parted(&shape, &batch(&stream, &records), |_, _| false);
        assert_eq!(parted.deleted, 1);
        assert_eq!(parted.refused.len(), 1);
        assert_eq!(parted.refused[0].1.code, "key");
        assert_eq!(parted.parts[0].rows, [2]);
    }
}
