//! Reading the CSV of a bulk write. Facts: section 9.

use std::borrow::Cow;

/// Signs that stand between cells; the header decides which it is.
const DELIMITERS: [char; 4] = [',', ';', ':', '|'];

/// The rows of a text, one after the other, the header first.
pub(super) struct Rows<'text> {
    rest: &'text str,
    delimiter: char,
}

impl<'text> Rows<'text> {
    pub(super) fn new(text: &'text str) -> Rows<'text> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let header = text.lines().next().unwrap_or_default();
        let count = |delimiter: &char| header.matches(*delimiter).count();
        // Of equal ones the first.
        let delimiter = DELIMITERS.into_iter().rev().max_by_key(count);
        Rows {
            rest: text,
            delimiter: delimiter.unwrap_or(','),
        }
    }
}

impl<'text> Iterator for Rows<'text> {
    type Item = Vec<Cow<'text, str>>;

    fn next(&mut self) -> Option<Vec<Cow<'text, str>>> {
        // Empty lines are no rows.
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        if self.rest.is_empty() {
            return None;
        }
        let mut row = Vec::new();
        loop {
            let (cell, behind) = match self.rest.strip_prefix('"') {
                Some(quoted) => quoted_cell(quoted),
                None => {
                    let is_end = |c: char| c == self.delimiter || c == '\n' || c == '\r';
                    let end = self.rest.find(is_end).unwrap_or(self.rest.len());
                    let (cell, behind) = self.rest.split_at(end);
                    (Cow::Borrowed(cell), behind)
                }
            };
            row.push(cell);
            match behind.strip_prefix(self.delimiter) {
                Some(more) => self.rest = more,
                None => {
                    self.rest = behind.trim_start_matches('\r');
                    self.rest = self.rest.strip_prefix('\n').unwrap_or(self.rest);
                    return Some(row);
                }
            }
        }
    }
}

/// A cell behind its first quote, and what is behind its last one.
fn quoted_cell(text: &str) -> (Cow<'_, str>, &str) {
    let mut cell = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let Some((part, behind)) = rest.split_once('"') else {
            return (cell + rest, "");
        };
        cell += part;
        match behind.strip_prefix('"') {
            Some(more) => {
                cell += "\"";
                rest = more;
            }
            None => return (cell, behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        let owned = |row: Vec<Cow<'_, str>>| row.into_iter().map(Cow::into_owned).collect();
        Rows::new(text).map(owned).collect()
    }

    #[test]
    fn quotes_hold_line_ends_and_quotes() {
        let rows = rows("\u{feff}a,b\r\n\"x,\n\"\"y\"\"\",2\r\n,\n3,");
        assert_eq!(rows, [["a", "b"], ["x,\n\"y\"", "2"], ["", ""], ["3", ""]]);
    }

    #[test]
    fn the_header_decides_what_stands_between_cells() {
        assert_eq!(rows("a|b\n1,5|2"), [["a", "b"], ["1,5", "2"]]);
        assert_eq!(rows("a\nx"), [["a"], ["x"]]);
    }
}
