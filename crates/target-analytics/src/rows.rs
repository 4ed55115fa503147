//! From a batch to files: rows are told apart by which columns they have, and become the lines of a CSV
//! file in the body of a request.
//!
//! A record that lacks a property leaves the cell at the destination alone, and CSV cannot say so but by
//! having no such column: rows with different columns go into different files.

use std::collections::HashMap;
use std::sync::Arc;

use singer_core::Result;
use singer_core::scan::ValueKind;
use singer_runtime::blocking::blocking;
use singer_runtime::target::{Batch, Outcome, Record, Refusal, Verdict};
use zoho::multipart::Form;
use zoho::table::write_header;

use crate::api::{Content, Upload};
use crate::encode::{self, Cell, Options, RowError};
use crate::shape::Shape;

/// Rows of one batch that have the same columns.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The batch.
    pub(crate) batch: Arc<Batch>,
    /// The rows, by their place in it.
    pub(crate) rows: Vec<u32>,
    /// The columns that they have, by their place in [`Shape::cells`].
    pub(crate) columns: Arc<[usize]>,
}

/// A row of several parts that go into one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its part.
    pub(crate) part: usize,
    /// Its place in the part's batch.
    pub(crate) row: u32,
}

/// What became of rows.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) sent: u64,
    pub(crate) cleared: u64,
    pub(crate) bytes: u64,
    /// Cells that were left empty since their values do not fit.
    pub(crate) emptied: u64,
    pub(crate) refusals: Vec<Refusal>,
}

impl Written {
    pub(crate) fn refuse(&mut self, row: u32, code: Option<&str>, reason: impl Into<String>) {
        self.refusals.push(Refusal {
            index: row as usize,
            verdict: Verdict::Rejected,
            code: code.map(str::to_owned),
            reason: reason.into(),
        });
    }

    pub(crate) fn refuse_row(&mut self, row: u32, error: RowError) {
        self.refuse(row, Some(error.code), error.reason);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.cleared += other.cleared;
        self.bytes += other.bytes;
        self.emptied += other.emptied;
        self.refusals.extend(other.refusals);
    }

    /// As the runtime counts it; `traffic` is requests and those that were made again.
    pub(crate) fn outcome(mut self, traffic: (u64, u64)) -> Outcome {
        self.refusals.sort_by_key(|refusal| refusal.index);
        Outcome {
            sent: self.sent,
            cleared: self.cleared,
            requests: traffic.0,
            retried: traffic.1,
            bytes: self.bytes,
            refusals: self.refusals,
            ..Outcome::default()
        }
    }
}

/// Whether a record says that its row was deleted at the source.
pub(crate) fn is_deleted(record: &Record<'_>, shape: &Shape) -> bool {
    shape.deleted.is_some_and(|property| {
        encode::mark(record, property).is_some_and(|(kind, _)| kind != ValueKind::Null)
    })
}

/// The rows of a batch by the columns that they have, in their order, and those that are to be deleted.
pub(crate) fn parts(shape: &Shape, batch: &Arc<Batch>) -> (Vec<Part>, Vec<u32>) {
    let mut deleted = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut by_columns: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut columns = Vec::with_capacity(shape.cells.len());
    let mut last = 0;
    for (row, record) in (0..).zip(batch.records()) {
        if shape.deletes() && is_deleted(&record, shape) {
            deleted.push(row);
            continue;
        }
        columns.clear();
        let cells = shape.cells.iter().enumerate();
        columns.extend(
            cells
                .filter(|(_, cell)| cell.is_in(&record))
                .map(|(place, _)| place),
        );
        // Nearly always a row has the columns of the one before it.
        let is_as_before = parts
            .get(last)
            .is_some_and(|part| *part.columns == *columns);
        if !is_as_before {
            last = match by_columns.get(&columns) {
                Some(part) => *part,
                None => {
                    by_columns.insert(columns.clone(), parts.len());
                    parts.push(Part {
                        batch: Arc::clone(batch),
                        rows: Vec::new(),
                        columns: Arc::from(columns.as_slice()),
                    });
                    parts.len() - 1
                }
            };
        }
        if let Some(part) = parts.get_mut(last) {
            part.rows.push(row);
        }
    }
    (parts, deleted)
}

/// A file that is ready to be sent.
#[derive(Debug)]
pub(crate) struct File {
    /// The body of the request.
    pub(crate) upload: Upload,
    /// Its rows in the order of the lines.
    pub(crate) rows: Vec<Row>,
    /// Rows that are none.
    pub(crate) refused: Vec<(Row, RowError)>,
    /// Bytes of the lines.
    pub(crate) bytes: u64,
    /// Cells that were left empty since their values do not fit.
    pub(crate) emptied: u64,
}

/// A file that may still grow by others of its kind.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The body so far; the header stands at `header`, the lines from `lines` on.
    body: Vec<u8>,
    header: usize,
    lines: usize,
    /// What ends the body.
    tail: Vec<u8>,
    content_type: String,
    query: Option<String>,
    rows: Vec<Row>,
    refused: Vec<(Row, RowError)>,
    emptied: u64,
}

impl Draft {
    /// Whether CONFIG stands in the query.
    pub(crate) fn is_query(&self) -> bool {
        self.query.is_some()
    }

    /// One draft of several, of which each was made of one part: the parts of the whole are counted in
    /// their order. `None` of none.
    pub(crate) fn join(drafts: Vec<Self>) -> Option<Self> {
        let more: usize = drafts.iter().skip(1).map(|it| it.body.len()).sum();
        let mut drafts = drafts.into_iter();
        let mut whole = drafts.next()?;
        // Otherwise it would grow to twice what is needed.
        whole.body.reserve_exact(more + whole.tail.len());
        for (part, draft) in (1..).zip(drafts) {
            whole.add(draft, part);
        }
        Some(whole)
    }

    /// Appends a draft that was made of one part, which is this one among those of the file.
    fn add(&mut self, other: Self, part: usize) {
        let lines = other.body.get(other.lines..).unwrap_or_default();
        self.body.extend_from_slice(lines);
        let of_part = |row: Row| Row { part, ..row };
        self.rows.extend(other.rows.into_iter().map(of_part));
        let refused = other.refused.into_iter();
        self.refused
            .extend(refused.map(|(row, error)| (of_part(row), error)));
        self.emptied += other.emptied;
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> File {
        let bytes = (self.body.len() - self.header) as u64;
        self.body.extend_from_slice(&self.tail);
        File {
            upload: Upload {
                content: Content::Bytes(self.body.into()),
                content_type: self.content_type,
                query: self.query,
            },
            rows: self.rows,
            refused: self.refused,
            bytes,
            emptied: self.emptied,
        }
    }
}

/// What files of one kind have in common.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) shape: Arc<Shape>,
    pub(crate) parts: Arc<[Part]>,
    /// CONFIG.
    pub(crate) config: String,
    /// Whether it goes into the query.
    pub(crate) is_query: bool,
}

impl Recipe {
    /// Encodes rows, away from the threads that send.
    pub(crate) async fn file(&self, rows: Vec<Row>) -> Result<File> {
        let recipe = self.clone();
        blocking(move || Ok(recipe.draft(&rows).finish())).await
    }

    /// The rows of all parts.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let parts = self.parts.iter().enumerate();
        parts
            .flat_map(|(part, it)| it.rows.iter().map(move |row| Row { part, row: *row }))
            .collect()
    }

    /// The columns of the file.
    pub(crate) fn cells(&self) -> Vec<&Cell> {
        let columns = self.parts.first().map(|part| Arc::clone(&part.columns));
        self.shape
            .some_cells(columns.as_deref().unwrap_or_default())
    }

    /// Encodes rows into a file that others may be added to.
    pub(crate) fn draft(&self, rows: &[Row]) -> Draft {
        let cells = self.cells();
        let mut form = Form::default();
        if !self.is_query {
            form.field("CONFIG", &self.config);
        }
        let content_type = form.content_type();
        form.file("FILE", "rows.csv", "text/csv");
        let (mut out, tail) = form.around();
        out.reserve(self.expected_bytes(rows.len()));
        let header = out.len();
        write_header(&mut out, cells.iter().map(|cell| cell.column.as_str()));
        let lines = out.len();
        let mut written = Vec::with_capacity(rows.len());
        let mut refused = Vec::new();
        let mut emptied = 0;
        for row in rows {
            let Some(part) = self.parts.get(row.part) else {
                continue;
            };
            let record = part.batch.record(row.row as usize);
            match encode::line(&record, &cells, self.shape.options, &mut out) {
                Ok(cells) => {
                    emptied += cells;
                    written.push(*row);
                }
                Err(error) => refused.push((*row, error)),
            }
        }
        Draft {
            body: out,
            header,
            lines,
            tail,
            content_type,
            query: self.is_query.then(|| self.config.clone()),
            rows: written,
            refused,
            emptied,
        }
    }

    fn expected_bytes(&self, rows: usize) -> usize {
        let all: (usize, usize) = self.parts.iter().fold((0, 0), |sum, part| {
            (sum.0 + part.batch.bytes(), sum.1 + part.batch.len())
        });
        all.0 / all.1.max(1) * rows
    }
}

/// The first lines of rows, for people.
pub(crate) fn preview(part: &Part, shape: &Shape, options: Options, rows: usize) -> String {
    let cells = shape.some_cells(&part.columns);
    let mut out = Vec::new();
    write_header(&mut out, cells.iter().map(|cell| cell.column.as_str()));
    for row in part.rows.iter().take(rows) {
        let record = part.batch.record(*row as usize);
        // A row that is none is refused in the run itself.
        drop(encode::line(&record, &cells, options, &mut out));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{batch, shape, stream};

    #[test]
    fn rows_with_other_columns_go_into_other_files() {
        let stream = stream(
            "t",
            &json!({"id": {"type": "integer"}, "a": {"type": "string"}}),
        );
        let batch = batch(
            &stream,
            &[
                r#"{"id": 1, "a": "x"}"#,
                r#"{"id": 2}"#,
                r#"{"id": 3, "a": null}"#,
                r#"{"id": 4}"#,
            ],
        );
        let upsert = shape(&stream, json!({}));
        let (found, deleted) = parts(&upsert, &batch);
        assert!(deleted.is_empty());
        let rows: Vec<&[u32]> = found.iter().map(|part| part.rows.as_slice()).collect();
        assert_eq!(rows, [&[0, 2], &[1, 3]]);
        let text = preview(&found[1], &upsert, upsert.options, 9);
        assert_eq!(text, "\"id\"\n2\n4\n");
        // A new row has no cell to leave alone.
        let (found, _) = parts(&shape(&stream, json!({"mode": "append"})), &batch);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn rows_that_were_deleted_at_the_source_go_their_own_way() {
        let properties = json!({
            "id": {"type": "integer"},
            "_sdc_deleted_at": {"type": ["null", "string"], "format": "date-time"},
        });
        let stream = stream("t", &properties);
        let records = [
            r#"{"id": 1, "_sdc_deleted_at": "2025-01-01T00:00:00Z"}"#,
            r#"{"id": 2, "_sdc_deleted_at": null}"#,
        ];
        let batch = batch(&stream, &records);
        let (found, deleted) = parts(&shape(&stream, json!({"on_delete": "delete"})), &batch);
        assert_eq!(
            (found[0].rows.as_slice(), deleted.as_slice()),
            (&[1][..], &[0][..])
        );
        let (found, deleted) = parts(&shape(&stream, json!({"on_delete": "flag"})), &batch);
        assert_eq!((found[0].rows.len(), deleted.len()), (2, 0));
    }

    #[test]
    fn the_body_holds_config_and_the_lines_of_rows_that_fit() {
        let stream = stream("t", &json!({"id": {"type": "integer"}}));
        let batch = batch(&stream, &[r#"{"id": 1}"#, r#"{"id": "x"}"#]);
        let shape = Arc::new(shape(&stream, json!({})));
        let (parts, _) = parts(&shape, &batch);
        let mut recipe = Recipe {
            shape,
            parts: parts.into(),
            config: "{}".to_owned(),
            is_query: false,
        };
        let rows: Vec<Row> = (0..2).map(|row| Row { part: 0, row }).collect();
        let file = recipe.draft(&rows).finish();
        let Content::Bytes(body) = &file.upload.content else {
            panic!("the body is here");
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("name=\"CONFIG\"\r\n\r\n{}\r\n"));
        assert!(body.contains("\r\n\r\n\"id\"\n1\n\r\n--"));
        assert_eq!((file.rows.len(), file.refused.len()), (1, 1));
        assert_eq!(file.refused[0].1.code, "format");
        recipe.is_query = true;
        let file = recipe.draft(&rows).finish();
        assert_eq!(file.upload.query.as_deref(), Some("{}"));
    }

    #[test]
    fn drafts_of_parts_join_into_one_file_that_tells_them_apart() {
        let stream = stream("t", &json!({"id": {"type": "integer"}}));
        let shape = Arc::new(shape(&stream, json!({})));
        let draft = |records: &[&str]| {
            let (parts, _) = parts(&shape, &batch(&stream, records));
            let recipe = Recipe {
                shape: Arc::clone(&shape),
                parts: parts.into(),
                config: "{}".to_owned(),
                is_query: false,
            };
            recipe.draft(&recipe.rows())
        };
        let drafts = vec![
            draft(&[r#"{"id": 1}"#]),
            draft(&[r#"{"id": "x"}"#, r#"{"id": 2}"#]),
            draft(&[r#"{"id": 3}"#]),
        ];
        let file = Draft::join(drafts).unwrap().finish();
        let Content::Bytes(body) = &file.upload.content else {
            panic!("the body is here");
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("\r\n\r\n\"id\"\n1\n2\n3\n\r\n--"));
        assert_eq!(body.matches("CONFIG").count(), 1);
        assert_eq!(file.bytes, "\"id\"\n1\n2\n3\n".len() as u64);
        let row = |part, row| Row { part, row };
        assert_eq!(file.rows, [row(0, 0), row(1, 1), row(2, 0)]);
        assert_eq!(file.refused.len(), 1);
        assert_eq!(file.refused[0].0, row(1, 0));
        assert!(Draft::join(Vec::new()).is_none());
    }
}
