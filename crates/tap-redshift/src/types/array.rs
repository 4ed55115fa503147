//! Arrays to JSON arrays: nested, with nulls, from the binary form and from text such as
//! `{{1,2},{NULL,4}}`. Lower bounds other than one are lost, as JSON has none.

use super::binary::Malformed;
use super::{Array, Formats, Tally, binary, text};

/// The server's own limit is six.
const MAX_DIMENSIONS: usize = 6;

/// Appends an array in its binary form.
pub(super) fn write_binary(
    out: &mut Vec<u8>,
    raw: &[u8],
    array: &Array,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    let mut reader = BinaryReader(raw);
    let dimensions = reader.number()?;
    let (_has_nulls, _element_type) = (reader.number()?, reader.number()?);
    let count = usize::try_from(dimensions).map_err(|_| Malformed)?;
    if count > MAX_DIMENSIONS {
        return Err(Malformed);
    }
    let mut lengths = [0_usize; MAX_DIMENSIONS];
    for length in &mut lengths[..count] {
        *length = usize::try_from(reader.number()?).map_err(|_| Malformed)?;
        let _lower_bound = reader.number()?;
    }
    if count == 0 {
        out.extend_from_slice(b"[]");
    } else {
        reader.level(out, &lengths[..count], array, formats, tally)?;
    }
    if reader.0.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// What is left of a binary array.
struct BinaryReader<'a>(&'a [u8]);

impl BinaryReader<'_> {
    fn number(&mut self) -> Result<i32, Malformed> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*number))
    }

    /// Appends one dimension. Every element takes bytes, so that a false length ends early; only
    /// an empty dimension takes none, and the server never sends one.
    fn level(
        &mut self,
        out: &mut Vec<u8>,
        lengths: &[usize],
        array: &Array,
        formats: &Formats,
        tally: &mut Tally,
    ) -> Result<(), Malformed> {
        let Some((length, inner)) = lengths.split_first() else {
            return self.element(out, array, formats, tally);
        };
        if *length == 0 || *length > self.0.len() {
            return Err(Malformed);
        }
        out.push(b'[');
        for index in 0..*length {
            if index > 0 {
                out.push(b',');
            }
            self.level(out, inner, array, formats, tally)?;
        }
        out.push(b']');
        Ok(())
    }

    fn element(
        &mut self,
        out: &mut Vec<u8>,
        array: &Array,
        formats: &Formats,
        tally: &mut Tally,
    ) -> Result<(), Malformed> {
        match self.number()? {
            -1 => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            length => {
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                let (raw, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                binary::write(out, raw, &array.element, formats, tally)
            }
        }
    }
}

/// Appends an array in its text form.
pub(super) fn write_text(
    out: &mut Vec<u8>,
    text: &str,
    array: &Array,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    // Lower bounds come first where one is not 1: `[0:1]={1,2}`.
    let body = match text.split_once('=') {
        Some((bounds, body)) if bounds.starts_with('[') => body,
        _ => text,
    };
    let mut reader = TextReader {
        rest: body,
        array,
        item: String::new(),
    };
    reader.level(out, 1, formats, tally)?;
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

struct TextReader<'a> {
    rest: &'a str,
    array: &'a Array,
    /// The element that is being read, its escapes resolved.
    item: String,
}

impl TextReader<'_> {
    fn take(&mut self) -> Result<char, Malformed> {
        let mut characters = self.rest.chars();
        let first = characters.next().ok_or(Malformed)?;
        self.rest = characters.as_str();
        Ok(first)
    }

    fn level(
        &mut self,
        out: &mut Vec<u8>,
        depth: usize,
        formats: &Formats,
        tally: &mut Tally,
    ) -> Result<(), Malformed> {
        if depth > MAX_DIMENSIONS || self.take()? != '{' {
            return Err(Malformed);
        }
        out.push(b'[');
        if self.rest.starts_with('}') {
            self.take()?;
            out.push(b']');
            return Ok(());
        }
        loop {
            if self.rest.starts_with('{') {
                self.level(out, depth + 1, formats, tally)?;
            } else {
                self.element(out, formats, tally)?;
            }
            match self.take()? {
                '}' => break,
                other if other == char::from(self.array.delimiter) => out.push(b','),
                _ => return Err(Malformed),
            }
        }
        out.push(b']');
        Ok(())
    }

    fn element(
        &mut self,
        out: &mut Vec<u8>,
        formats: &Formats,
        tally: &mut Tally,
    ) -> Result<(), Malformed> {
        let delimiter = char::from(self.array.delimiter);
        self.item.clear();
        let quoted = self.rest.starts_with('"');
        if quoted {
            self.take()?;
            loop {
                match self.take()? {
                    '"' => break,
                    '\\' => {
                        let escaped = self.take()?;
                        self.item.push(escaped);
                    }
                    other => self.item.push(other),
                }
            }
        } else {
            while !self.rest.starts_with([delimiter, '}']) {
                match self.take()? {
                    '\\' => {
                        let escaped = self.take()?;
                        self.item.push(escaped);
                    }
                    other => self.item.push(other),
                }
            }
        }
        if !quoted && self.item == "NULL" {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        text::write(out, &self.item, &self.array.element, formats, tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn written(text: &str, element: Type, delimiter: u8) -> Result<String, Malformed> {
        let array = Array {
            element,
            delimiter,
            dimensions: 1,
        };
        let mut out = Vec::new();
        write_text(
            &mut out,
            text,
            &array,
            &Formats::default(),
            &mut Tally::default(),
        )?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn text_arrays_become_json_arrays() {
        let word = || Type::Text { length: None };
        assert_eq!(written("{}", Type::Int4, b',').unwrap(), "[]");
        assert_eq!(
            written("{{1,2},{NULL,4}}", Type::Int4, b',').unwrap(),
            "[[1,2],[null,4]]"
        );
        assert_eq!(written("[0:1]={1,2}", Type::Int4, b',').unwrap(), "[1,2]");
        assert_eq!(
            written(r#"{a,"NULL",NULL,"q\"b\\","x,{y}"}"#, word(), b',').unwrap(),
            r#"["a","NULL",null,"q\"b\\","x,{y}"]"#
        );
        assert_eq!(
            written("{(1,1),(0,0);(2,2),(1,1)}", Type::Opaque, b';').unwrap(),
            r#"["(1,1),(0,0)","(2,2),(1,1)"]"#
        );
    }

    #[test]
    fn broken_arrays_are_refused() {
        for text in [
            "",
            "{",
            "{1",
            "{1,",
            "{1}x",
            "{\"a}",
            "1",
            "{{{{{{{1}}}}}}}",
        ] {
            assert_eq!(written(text, Type::Int4, b','), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn a_false_length_ends_at_the_last_byte() {
        let mut raw = Vec::new();
        for number in [6, 0, 23, i32::MAX, 1, i32::MAX, 1, 9, 1, 9, 1, 9, 1, 9, 1] {
            raw.extend_from_slice(&number.to_be_bytes());
        }
        let array = Array {
            element: Type::Int4,
            delimiter: b',',
            dimensions: 6,
        };
        let mut out = Vec::new();
        let result = write_binary(
            &mut out,
            &raw,
            &array,
            &Formats::default(),
            &mut Tally::default(),
        );
        assert_eq!(result, Err(Malformed));
    }
}
