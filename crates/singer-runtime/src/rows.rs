//! Rows that a person asks for by the setting `row`: `STREAM/ID`, or a file of such lines or of rejects.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use singer_core::{Error, Result};

/// A file with more bytes is no list of rows.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a connector calls its rows, and how their ids look.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// One of them, as errors have it: `row`, `file`.
    pub word: &'static str,
    /// How they are named, for the hint.
    pub form: &'static str,
    /// The property that is the id.
    pub key: &'static str,
    /// An id as it is written, in its one form; nothing if it is none.
    pub id: fn(&str) -> Option<String>,
}

/// The ids of the wanted rows by stream, each once, in the order in which they were named.
#[derive(Debug)]
pub struct Wanted {
    kind: Kind,
    streams: BTreeMap<String, Vec<String>>,
    /// A file of rejects may name a row again and again.
    known: HashSet<(String, String)>,
}

impl Wanted {
    /// Reads the setting, and the file that it names; no rows without it.
    ///
    /// # Errors
    /// Of kind `Config`: a file that cannot be read, a line that names no row.
    pub fn read(row: Option<&str>, kind: Kind) -> Result<Self> {
        let mut wanted = Self {
            kind,
            streams: BTreeMap::new(),
            known: HashSet::new(),
        };
        let Some(row) = row else {
            return Ok(wanted);
        };
        let word = kind.word;
        let Some(path) = row.strip_prefix('@') else {
            let added = wanted.add_line(row);
            return added.map(|()| wanted).ok_or_else(|| {
                Error::config(format!("`row` names no {word}")).with_hint(kind.form)
            });
        };
        let failed = |error: std::io::Error| {
            Error::config(format!("cannot read the {word}s of `{path}`")).with_source(error)
        };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > MAX_FILE_BYTES {
            return Err(Error::config(format!(
                "`{path}` has {length} bytes, more than a list of {word}s may have"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let added = wanted.add_lines(&text);
        added
            .map(|()| wanted)
            .map_err(|error| error.at(format!("`{path}`")))
    }

    /// The streams of which rows are named. What is wrong with the setting is told when the tap connects.
    pub fn streams(row: Option<&str>, kind: Kind) -> Vec<String> {
        match Self::read(row, kind) {
            Ok(wanted) => wanted.streams.into_keys().collect(),
            Err(_) => vec!["*".to_owned()],
        }
    }

    /// The ids of a stream.
    pub fn ids(&self, stream: &str) -> &[String] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    fn add_lines(&mut self, text: &str) -> Result<()> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let added = if line.is_empty() {
                Some(())
            } else if line.starts_with('{') {
                self.add_reject(line)
            } else {
                self.add_line(line)
            };
            added.ok_or_else(|| {
                let (number, word) = (index + 1, self.kind.word);
                Error::config(format!("line {number} names no {word}")).with_hint(self.kind.form)
            })?;
        }
        Ok(())
    }

    /// `STREAM/ID[,ID…]`
    fn add_line(&mut self, line: &str) -> Option<()> {
        let (stream, ids) = line.trim().split_once('/')?;
        if stream.is_empty() {
            return None;
        }
        for id in ids.split(',') {
            self.add(stream, id.trim())?;
        }
        Some(())
    }

    /// A line of a rejects file, of the tap or of a target.
    fn add_reject(&mut self, line: &str) -> Option<()> {
        let reject: Value = serde_json::from_str(line).ok()?;
        let stream = reject.get("stream")?.as_str()?;
        let of = |part: &str| match reject.get(part)?.get(self.kind.key)? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        };
        let id = of("key").or_else(|| of("record"))?;
        self.add(stream, &id)
    }

    fn add(&mut self, stream: &str, id: &str) -> Option<()> {
        let id = (self.kind.id)(id)?;
        if self.known.insert((stream.to_owned(), id.clone())) {
            self.streams.entry(stream.to_owned()).or_default().push(id);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Kind = Kind {
        word: "row",
        form: "it is `TABLE/ID`",
        key: "id",
        id: |text| text.parse::<u64>().ok().map(|id| id.to_string()),
    };

    fn wanted(text: &str) -> Result<Wanted> {
        let mut wanted = Wanted::read(None, ROWS)?;
        wanted.add_lines(text).map(|()| wanted)
    }

    #[test]
    fn rows_are_named_by_lines_and_by_rejects() {
        let text = concat!(
            "Trips/41, 42\n\n",
            r#"{"stream":"Trips","key":{"id":9223372036854775807},"record":{},"reason":"x"}"#,
            "\n",
            r#"{"stream":"Cars","key":{},"record":{"id":"12"}}"#,
            "\nTrips/041\n",
        );
        let wanted = wanted(text).unwrap();
        assert_eq!(wanted.ids("Trips"), ["41", "42", "9223372036854775807"]);
        assert_eq!(wanted.ids("Cars"), ["12"]);
        assert!(wanted.ids("Others").is_empty());
        assert_eq!(Wanted::streams(Some("a/1"), ROWS), ["a"]);
        assert_eq!(Wanted::streams(Some("odd"), ROWS), ["*"]);
        assert!(Wanted::streams(None, ROWS).is_empty());
    }

    #[test]
    fn what_names_no_row_is_told_by_its_line() {
        for line in ["Trips", "Trips/", "/1", "Trips/1;2", r#"{"stream":"T"}"#] {
            let error = wanted(&format!("Trips/1\n{line}")).unwrap_err();
            assert_eq!(error.message(), "line 2 names no row", "{line}");
        }
        let error = Wanted::read(Some("Trips/x"), ROWS).unwrap_err();
        assert_eq!(
            (error.message(), error.hints()),
            (
                "`row` names no row",
                &["it is `TABLE/ID`".to_owned()] as &[_]
            )
        );
    }
}
