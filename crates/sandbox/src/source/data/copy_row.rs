//! Rows in the text form of `COPY … FROM STDIN`: fields parted by tabs, `\N` for null, special
//! characters behind a backslash.

use std::fmt::{self, Display, Write};

/// A buffer of rows that grows field by field.
#[derive(Default)]
pub(crate) struct CopyRow {
    buffer: String,
    in_row: bool,
}

/// Escapes what is written through it.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

impl CopyRow {
    /// Adds a value.
    pub(crate) fn field(&mut self, value: impl Display) {
        self.separate();
        write!(Escaped(&mut self.buffer), "{value}").expect("a String takes every text");
    }

    /// Adds a value or null.
    pub(crate) fn optional(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.field(value),
            None => self.null(),
        }
    }

    /// Adds null.
    pub(crate) fn null(&mut self) {
        self.separate();
        self.buffer.push_str("\\N");
    }

    /// Ends the row.
    pub(crate) fn end(&mut self) {
        self.buffer.push('\n');
        self.in_row = false;
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the rows so far out.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.buffer)
    }

    fn separate(&mut self) {
        if self.in_row {
            self.buffer.push('\t');
        }
        self.in_row = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped_and_nulls_are_not() {
        let mut row = CopyRow::default();
        row.field("a\tb\\c\nd\r");
        row.null();
        row.field(12);
        row.end();
        assert_eq!(row.take(), "a\\tb\\\\c\\nd\\r\t\\N\t12\n");
    }
}
