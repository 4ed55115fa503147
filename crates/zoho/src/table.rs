//! CSV as Zoho writes and reads it: RFC 4180 with a header line, UTF-8 with or without a mark.
//!
//! The reader takes its input in blocks and looks for separators and quotes with memchr. A row costs no
//! allocation: its cells are spans into the block, and doubled quotes are undone in place. What the cells
//! mean is the connector's affair.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use singer_core::{Error, Result};

use self::block::Block;

mod block;
#[cfg(test)]
mod tests;

/// What some services put before UTF-8.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Reads rows without an allocation for each; a row's cells are spans into a buffer.
pub struct Rows<R> {
    block: Block<R>,
    header: Vec<String>,
    cells: Vec<Cell>,
    /// The line, from 1, where the next row begins.
    line: u64,
    /// After an error the place in the input is not known any more.
    failed: bool,
}

/// One row, until the next is read.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    text: &'a str,
    cells: &'a [Cell],
}

/// Where a cell lies, and whether it stood in quotes.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Its bytes in its row, unquoted.
    pub span: Range<usize>,
    /// Whether it was quoted: `""` is then an empty text, and nothing at all is a null.
    pub quoted: bool,
}

impl<R: Read> Rows<R> {
    /// Reads the header line. `max_row_bytes` bounds a row, so that a lost quote cannot fill the memory.
    ///
    /// # Errors
    /// Of kind `Protocol` for a header that is empty, not UTF-8, or names a column twice; what `reader` says.
    pub fn new(reader: R, max_row_bytes: usize) -> Result<Self> {
        let mut block = Block::new(reader, max_row_bytes);
        if block.starts_with(&MARK)? {
            block.advance(MARK.len());
        }
        let mut rows = Self {
            block,
            header: Vec::new(),
            cells: Vec::new(),
            line: 1,
            failed: false,
        };
        let Some((length, after)) = rows.scan()? else {
            return Err(Error::protocol("the table is empty: it has no header line"));
        };
        let text = text(rows.block.get(0..length)).map_err(|error| error.at("the header line"))?;
        let row = Row {
            text,
            cells: &rows.cells,
        };
        let header = names(row)?;
        rows.line += line_breaks(text) + 1;
        rows.block.advance(after);
        rows.header = header;
        Ok(rows)
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The next row. A row has as many cells as the header. After an error there is no next row: it is an
    /// error again, never an end.
    ///
    /// # Errors
    /// Of kind `Protocol`, naming the line (from 1, the header's) where the row begins: a wrong number of
    /// cells, a quote that never ends, text after a closing quote, a NUL byte, not UTF-8, too long. What
    /// `reader` says: an error of ours inside its `io::Error` comes out as it went in.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows the reader, which no Iterator allows"
    )]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        let line = self.line;
        let place = |error: Error| error.at(format_args!("line {line}"));
        if std::mem::replace(&mut self.failed, true) {
            return Err(place(Error::protocol("the table cannot be read any more")));
        }
        let Some((length, after)) = self.scan().map_err(place)? else {
            self.failed = false;
            return Ok(None);
        };
        if self.cells.len() != self.header.len() {
            if length == 0 && self.block.is_last(after)? {
                // Some writers end a file with two line ends.
                self.block.advance(after);
                self.failed = false;
                return Ok(None);
            }
            return Err(place(self.wrong_width()));
        }
        self.block.advance(after);
        let text = text(self.block.behind(after, length)).map_err(place)?;
        self.line += line_breaks(text) + 1;
        self.failed = false;
        Ok(Some(Row {
            text,
            cells: &self.cells,
        }))
    }

    /// Finds the cells of the next row and undoes its quotes. Returns its length without its line end, and
    /// with it; nothing at the end of the input. All positions count from the row's first byte.
    fn scan(&mut self) -> Result<Option<(usize, usize)>> {
        self.cells.clear();
        if self.block.byte(0)?.is_none() {
            return Ok(None);
        }
        let mut begin = 0;
        loop {
            let (cell, mut end) = if self.block.byte(begin)? == Some(b'"') {
                self.quoted(begin)?
            } else {
                self.bare(begin)?
            };
            self.cells.push(cell);
            if self.block.byte(end)? == Some(b',') {
                begin = end + 1;
                continue;
            }
            let length = end;
            end += usize::from(self.block.byte(end)? == Some(b'\r'));
            end += usize::from(self.block.byte(end)? == Some(b'\n'));
            self.block.check_length(length)?;
            return Ok(Some((length, end)));
        }
    }

    /// A cell without quotes; a quote inside it is a quote. Returns also where the cell ends.
    fn bare(&mut self, begin: usize) -> Result<(Cell, usize)> {
        let mut end = self
            .block
            .find(begin, |bytes| memchr::memchr2(b',', b'\n', bytes))?;
        // A line may end with CR LF; a CR elsewhere belongs to the text.
        let at_line_end = self.block.byte(end)? != Some(b',');
        if at_line_end && end > begin && self.block.byte(end - 1)? == Some(b'\r') {
            end -= 1;
        }
        let cell = Cell {
            span: begin..end,
            quoted: false,
        };
        Ok((cell, end))
    }

    /// A cell in quotes, its doubled quotes undone in place. Returns also what comes after the closing quote.
    fn quoted(&mut self, open: usize) -> Result<(Cell, usize)> {
        let begin = open + 1;
        // Up to the first doubled quote nothing has to be moved.
        let mut written = begin;
        let mut from = begin;
        let close = loop {
            let quote = self.block.find(from, |bytes| memchr::memchr(b'"', bytes))?;
            if self.block.byte(quote)?.is_none() {
                return Err(Error::protocol("a quote is never closed"));
            }
            let doubled = self.block.byte(quote + 1)? == Some(b'"');
            let keep = from..quote + usize::from(doubled);
            let length = keep.len();
            self.block.shift(keep, written);
            written += length;
            if !doubled {
                break quote;
            }
            from = quote + 2;
        };
        // What was left behind may begin in the middle of a character, and the row is one text.
        self.block.blank(written..close);
        let end = close + 1;
        let fits = match self.block.byte(end)? {
            None | Some(b',' | b'\n') => true,
            Some(b'\r') => matches!(self.block.byte(end + 1)?, None | Some(b'\n')),
            Some(_) => false,
        };
        if !fits {
            return Err(Error::protocol("text stands after a closing quote"));
        }
        let cell = Cell {
            span: begin..written,
            quoted: true,
        };
        Ok((cell, end))
    }

    fn wrong_width(&self) -> Error {
        let (cells, columns) = (self.cells.len(), self.header.len());
        Error::protocol(format!("the row has {cells} cells, the header {columns}"))
    }
}

impl<R> fmt::Debug for Rows<R> {
    /// Without the buffer, which holds rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("header", &self.header)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl<'a> Row<'a> {
    /// The text of a cell.
    pub fn text(&self, index: usize) -> &'a str {
        let span = self.cells.get(index).map(|cell| cell.span.clone());
        span.and_then(|span| self.text.get(span))
            .unwrap_or_default()
    }

    /// Whether a cell stood in quotes.
    pub fn is_quoted(&self, index: usize) -> bool {
        self.cells.get(index).is_some_and(|cell| cell.quoted)
    }
}

impl fmt::Debug for Row<'_> {
    /// Without its values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("cells", &self.cells.len())
            .finish_non_exhaustive()
    }
}

/// The names of a header.
fn names(row: Row<'_>) -> Result<Vec<String>> {
    let names: Vec<_> = (0..row.cells.len()).map(|index| row.text(index)).collect();
    if names.iter().all(|name| name.is_empty()) {
        return Err(Error::protocol("the header line names no column"));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let twice = sorted.array_windows().find(|[one, next]| one == next);
    if let Some([name, _]) = twice {
        return Err(Error::protocol(format!(
            "the header line names the column `{name}` twice"
        )));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The bytes of a row as text.
fn text(bytes: &[u8]) -> Result<&str> {
    if memchr::memchr(0, bytes).is_some() {
        return Err(Error::protocol("the row holds a NUL byte"));
    }
    // The cause would add a position in a row that has been changed already.
    std::str::from_utf8(bytes).map_err(|_| Error::protocol("the row is not UTF-8"))
}

/// How many line breaks stand inside the cells of a row.
fn line_breaks(row: &str) -> u64 {
    memchr::memchr_iter(b'\n', row.as_bytes()).count() as u64
}

/// Appends a cell in quotes, with its quotes doubled.
pub fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut from = 0;
    for quote in memchr::memchr_iter(b'"', text) {
        out.extend_from_slice(text.get(from..=quote).unwrap_or_default());
        out.push(b'"');
        from = quote + 1;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out.push(b'"');
}

/// Appends the header line: the names in quotes, and LF as its end.
pub fn write_header<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_quoted(out, name.as_bytes());
    }
    out.push(b'\n');
}
