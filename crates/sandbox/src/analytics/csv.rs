//! Splitting an uploaded file into records: CSV in the dialects of section 3.2, and arrays of JSON
//! objects.

use memchr::{memchr, memchr2};
use serde_json::Value;

/// How the fields of a CSV file are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    pub(crate) comment: Option<u8>,
}

impl Dialect {
    /// What `autoIdentify` finds out: the delimiter that the first line has most of.
    pub(crate) fn guess(bytes: &[u8]) -> Dialect {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let count = |wanted: u8| first.iter().filter(|byte| **byte == wanted).count();
        let mut delimiter = b',';
        for other in [b'\t', b';'] {
            if count(other) > count(delimiter) {
                delimiter = other;
            }
        }
        Dialect {
            delimiter,
            quote: Some(b'"'),
            comment: None,
        }
    }
}

/// The fields of one record, and the line on which it begins.
#[derive(Debug, Default)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    pub(crate) line: usize,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn field(&self, place: usize) -> &[u8] {
        let Some(end) = self.ends.get(place) else {
            return &[];
        };
        let begin = match place.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        &self.bytes[begin..*end]
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// Something that gives records.
pub(crate) trait Records {
    /// Reads the next record; false at the end.
    fn next(&mut self, record: &mut Record) -> bool;
}

/// The records of a CSV file.
pub(crate) struct Csv<'file> {
    bytes: &'file [u8],
    line: usize,
    dialect: Dialect,
}

impl<'file> Csv<'file> {
    pub(crate) fn new(bytes: &'file [u8], dialect: Dialect, skipped: u64) -> Csv<'file> {
        let mut csv = Csv {
            bytes: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
            line: 1,
            dialect,
        };
        for _ in 0..skipped {
            csv.skip_line();
        }
        csv
    }

    fn skip_line(&mut self) {
        let end = memchr(b'\n', self.bytes).map_or(self.bytes.len(), |end| end + 1);
        self.bytes = &self.bytes[end..];
        self.line += 1;
    }

    /// Reads a field; true if it is the last one of its record.
    fn read_field(&mut self, record: &mut Record) -> bool {
        if let Some(quote) = self.dialect.quote
            && self.bytes.first() == Some(&quote)
        {
            self.read_quoted(quote, record);
        }
        // What stands behind a closing quote belongs to the field as well.
        let stop = memchr2(self.dialect.delimiter, b'\n', self.bytes);
        let Some(stop) = stop else {
            record.bytes.extend_from_slice(self.bytes);
            if record.bytes.last() == Some(&b'\r') {
                record.bytes.pop();
            }
            self.bytes = &[];
            record.end_field();
            return true;
        };
        let is_last = self.bytes[stop] == b'\n';
        let mut text = &self.bytes[..stop];
        if is_last {
            text = text.strip_suffix(b"\r").unwrap_or(text);
            self.line += 1;
        }
        record.bytes.extend_from_slice(text);
        self.bytes = &self.bytes[stop + 1..];
        record.end_field();
        is_last
    }

    fn read_quoted(&mut self, quote: u8, record: &mut Record) {
        self.bytes = &self.bytes[1..];
        loop {
            let Some(end) = memchr(quote, self.bytes) else {
                self.take(self.bytes.len(), record);
                return;
            };
            self.take(end, record);
            let is_doubled = self.bytes.get(1) == Some(&quote);
            if !is_doubled {
                self.bytes = &self.bytes[1..];
                return;
            }
            record.bytes.push(quote);
            self.bytes = &self.bytes[2..];
        }
    }

    fn take(&mut self, length: usize, record: &mut Record) {
        let (text, rest) = self.bytes.split_at(length);
        self.line += text.iter().filter(|byte| **byte == b'\n').count();
        record.bytes.extend_from_slice(text);
        self.bytes = rest;
    }
}

impl Records for Csv<'_> {
    fn next(&mut self, record: &mut Record) -> bool {
        loop {
            let first = self.bytes.first().copied();
            let is_blank = first == Some(b'\n') || self.bytes.starts_with(b"\r\n");
            match first {
                None => return false,
                Some(first) if is_blank || Some(first) == self.dialect.comment => self.skip_line(),
                Some(_) => break,
            }
        }
        record.clear();
        record.line = self.line;
        while !self.read_field(record) {}
        true
    }
}

/// The objects of a JSON array as records, behind one with their keys.
pub(crate) struct Objects {
    header: Vec<String>,
    rows: std::vec::IntoIter<Vec<(String, String)>>,
    line: usize,
}

impl Objects {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Objects> {
        let list: Vec<Value> = serde_json::from_slice(bytes).ok()?;
        let mut header: Vec<String> = Vec::new();
        let mut rows = Vec::with_capacity(list.len());
        for value in &list {
            let mut row = Vec::new();
            flatten(None, value, &mut row);
            for (key, _) in &row {
                if !header.contains(key) {
                    header.push(key.clone());
                }
            }
            rows.push(row);
        }
        Some(Objects {
            header,
            rows: rows.into_iter(),
            line: 0,
        })
    }
}

fn flatten(name: Option<&str>, value: &Value, row: &mut Vec<(String, String)>) {
    if let Value::Object(object) = value {
        for (key, value) in object {
            let full = name.map_or_else(|| key.clone(), |name| format!("{name}.{key}"));
            flatten(Some(&full), value, row);
        }
        return;
    }
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    row.push((name.unwrap_or_default().to_owned(), text));
}

impl Records for Objects {
    fn next(&mut self, record: &mut Record) -> bool {
        record.clear();
        self.line += 1;
        record.line = self.line;
        if self.line == 1 {
            for key in &self.header {
                record.bytes.extend_from_slice(key.as_bytes());
                record.end_field();
            }
            return !self.header.is_empty();
        }
        let Some(row) = self.rows.next() else {
            return false;
        };
        for key in &self.header {
            let value = row.iter().find(|(known, _)| known == key);
            if let Some((_, value)) = value {
                record.bytes.extend_from_slice(value.as_bytes());
            }
            record.end_field();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
        comment: Some(b'#'),
    };

    fn read(records: &mut dyn Records) -> Vec<(usize, Vec<String>)> {
        let mut record = Record::default();
        let mut all = Vec::new();
        while records.next(&mut record) {
            let fields = (0..record.len()).map(|place| record.field(place));
            let fields = fields.map(|field| String::from_utf8(field.to_vec()).unwrap());
            all.push((record.line, fields.collect()));
        }
        all
    }

    fn record(line: usize, fields: &[&str]) -> (usize, Vec<String>) {
        (
            line,
            fields.iter().map(|field| (*field).to_owned()).collect(),
        )
    }

    #[test]
    fn quotes_line_breaks_and_comments_are_understood() {
        let file = b"\xef\xbb\xbfa,b\r\n# no row\n\"x, \"\"y\"\"\nz\",\r\n\r\n#,\"#\"\n1,\"2\"3";
        let rows = read(&mut Csv::new(file, PLAIN, 0));
        assert_eq!(
            rows,
            [
                record(1, &["a", "b"]),
                record(3, &["x, \"y\"\nz", ""]),
                record(7, &["1", "23"]),
            ]
        );
        let skipped = read(&mut Csv::new(b"title\nmore\na,b\n", PLAIN, 2));
        assert_eq!(skipped, [record(3, &["a", "b"])]);
    }

    #[test]
    fn the_delimiter_is_guessed_from_the_first_line() {
        assert_eq!(Dialect::guess(b"a;b;c,d\n1,1,1,1").delimiter, b';');
        assert_eq!(Dialect::guess(b"a\n").delimiter, b',');
    }

    #[test]
    fn objects_become_records() {
        let text = br#"[{"a":1,"b":{"c":"x"}},{"d":true,"a":null}]"#;
        let rows = read(&mut Objects::parse(text).unwrap());
        assert_eq!(
            rows,
            [
                record(1, &["a", "b.c", "d"]),
                record(2, &["1", "x", ""]),
                record(3, &["", "", "true"]),
            ]
        );
        assert!(Objects::parse(b"{}").is_none());
    }
}
