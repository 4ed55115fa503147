//! Rows become a file: encoded, zipped and put into the body of the upload as they come, so that only the
//! zip is ever whole; cut where the service's limits are.

use singer_core::Result;
use singer_net::Bytes;
use singer_runtime::target::Batch;
use zoho::archive::Writer;
use zoho::multipart::Form;

use crate::encode::{self, Cell, RowError};
use crate::shape::Shape;

/// Bytes of a zip at most; the service takes 25 MB.
pub(crate) const MOST_ZIP: usize = 25_000_000;

/// Fast: the way to the service is seldom what takes the time.
const LEVEL: u32 = 1;

/// A file that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The body of the request.
    pub(crate) body: Bytes,
    /// What it is, with the boundary of its parts.
    pub(crate) content_type: String,
    /// The name of the file in the zip.
    pub(crate) file_name: String,
    /// Its rows in the order of the lines, by their place in the batch.
    pub(crate) rows: Vec<u32>,
    /// Rows that are none.
    pub(crate) refused: Vec<(u32, RowError)>,
    /// How many of the rows that were given it has dealt with.
    pub(crate) taken: usize,
    /// Bytes of the zip.
    pub(crate) zip_bytes: usize,
}

/// How large a file may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) rows: usize,
    pub(crate) zip_bytes: usize,
}

/// Builds a file of the first of these rows, as many as fit.
///
/// # Errors
/// Of kind `Internal` if a single row is too large for any zip.
pub(crate) fn build(
    shape: &Shape,
    batch: &Batch,
    rows: &[u32],
    columns: &[usize],
    most: Most,
) -> Result<Chunk> {
    let cells: Vec<&Cell> = columns
        .iter()
        .filter_map(|place| shape.cells.get(*place))
        .collect();
    let base = format!("{}-{}", shape.module, batch.number());
    let file_name = format!("{base}.csv");
    let mut form = Form::default();
    let content_type = form.content_type();
    form.file("file", &format!("{base}.zip"), "application/zip");
    let (head, tail) = form.around();
    let begin = head.len();
    let mut zip = Writer::start(head, &file_name, LEVEL)?;
    let mut line = Vec::new();
    header(&cells, &mut line);
    zip.write(&line)?;
    let mut chunk = Chunk {
        body: Bytes::new(),
        content_type,
        file_name,
        rows: Vec::with_capacity(rows.len().min(most.rows)),
        refused: Vec::new(),
        taken: 0,
        zip_bytes: 0,
    };
    for row in rows {
        if chunk.rows.len() == most.rows {
            break;
        }
        line.clear();
        let record = batch.record(*row as usize);
        match encode::line(&record, &cells, &mut line) {
            Err(error) => chunk.refused.push((*row, error)),
            Ok(()) if zip.compressed_len_upper_bound(line.len()) > most.zip_bytes => {
                if chunk.rows.is_empty() {
                    let error = too_large(&cells);
                    chunk.refused.push((*row, error));
                } else {
                    break;
                }
            }
            Ok(()) => {
                zip.write(&line)?;
                chunk.rows.push(*row);
            }
        }
        chunk.taken += 1;
    }
    let mut body = zip.finish()?;
    chunk.zip_bytes = body.len() - begin;
    body.extend_from_slice(&tail);
    chunk.body = body.into();
    Ok(chunk)
}

/// The header line. The service guesses the delimiter from it, so that it holds names without quotes.
fn header(cells: &[&Cell], out: &mut Vec<u8>) {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(cell.field.as_bytes());
    }
    out.push(b'\n');
}

/// A row that no file holds.
pub(crate) fn too_large(cells: &[&Cell]) -> RowError {
    RowError {
        code: "size",
        reason: format!(
            "the row with its {} fields is larger than a file may be",
            cells.len()
        ),
    }
}

/// The lines of the first rows, for people.
pub(crate) fn preview(shape: &Shape, batch: &Batch, rows: &[u32], columns: &[usize]) -> String {
    let cells: Vec<&Cell> = columns
        .iter()
        .filter_map(|place| shape.cells.get(*place))
        .collect();
    let mut out = Vec::new();
    header(&cells, &mut out);
    for row in rows {
        // Rows that are none are told elsewhere.
        drop(encode::line(&batch.record(*row as usize), &cells, &mut out));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{batch, shape, stream};

    /// Letters without a pattern, which no zip makes much shorter.
    fn noise(length: usize, mut seed: u64) -> String {
        let mut letter = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + ((seed >> 33) % 90) as u8)
        };
        let letters = std::iter::repeat_with(&mut letter).take(length);
        letters
            .map(|it| if matches!(it, '"' | '\\') { 'x' } else { it })
            .collect()
    }

    fn chunk_of(sizes: &[usize], most: Most) -> Chunk {
        let stream = stream(&json!({"Email": {}, "Fixed": {}}));
        let settings = json!({"operation": "insert", "defaults": {"Last_Name": "x"}});
        let shape = shape(&stream, settings).unwrap();
        let records: Vec<String> = (0_u64..)
            .zip(sizes)
            .map(|(number, size)| {
                let text = noise(*size, number + 1);
                json!({"Email": format!("{number}@x"), "Fixed": text}).to_string()
            })
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let batch = batch(&stream, &records);
        let rows: Vec<u32> = (0_u32..).take(sizes.len()).collect();
        build(&shape, &batch, &rows, &[0, 1], most).unwrap()
    }

    #[test]
    fn a_file_ends_at_its_last_row_or_before_it_is_too_large() {
        let most = |rows, zip_bytes| Most { rows, zip_bytes };
        let whole = chunk_of(&[10; 5], most(5, MOST_ZIP));
        assert_eq!((whole.rows.len(), whole.taken), (5, 5));
        let by_rows = chunk_of(&[10; 5], most(3, MOST_ZIP));
        assert_eq!(
            (by_rows.rows.as_slice(), by_rows.taken),
            ([0, 1, 2].as_slice(), 3)
        );
        let by_bytes = chunk_of(&[40_000; 20], most(20, 500_000));
        assert!((2..20).contains(&by_bytes.rows.len()), "{}", by_bytes.taken);
        assert_eq!(by_bytes.rows.len(), by_bytes.taken);
        assert!(by_bytes.zip_bytes <= 500_000);
    }

    #[test]
    fn a_row_that_no_file_holds_is_refused_alone() {
        let most = Most {
            rows: 9,
            zip_bytes: 400_000,
        };
        let chunk = chunk_of(&[900_000, 10], most);
        assert_eq!((chunk.rows.as_slice(), chunk.taken), ([1].as_slice(), 2));
        assert_eq!(chunk.refused[0].1.code, "size");
    }
}
