//! The state: bookmarks by stream, in the frame that Singer taps have agreed on.
//!
//! What this run does not touch (bookmarks of other streams, words that nobody here knows) stays
//! byte for byte as it came: numbers of any size and the order of keys survive.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::value::write_string;
use crate::{Error, Result, scan};

const BOOKMARKS: &str = "bookmarks";
const CURRENTLY_SYNCING: &str = "currently_syncing";

/// A state. The default one says nothing.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Top-level keys other than the two of the frame.
    others: RawMap,
    bookmarks: RawMap,
    currently_syncing: Option<String>,
}

/// What a state file holds.
#[derive(Debug)]
pub enum Content {
    /// Nothing, or white space alone: most likely truncated by a redirect.
    Empty,
    /// A state.
    State(State),
    /// The state of the last whole line; a line behind it was cut off.
    Cut(State),
}

impl Content {
    /// Reads the content of a state file: one JSON document, or many lines of which the last whole
    /// one counts. A line that is cut off, without a line end, is not whole.
    ///
    /// # Errors
    /// Of kind `Config` if there is no state to be read. They never quote the file.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let broken = || Error::config("the state is not UTF-8");
        let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
            .map_err(|_| broken())?;
        if text.trim().is_empty() {
            return Ok(Self::Empty);
        }
        // A state that a person has edited may be spread over lines.
        if let Ok(state) = State::parse(text) {
            return Ok(Self::State(state));
        }
        let mut lines = text
            .trim_end_matches(['\n', '\r', ' '])
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty());
        let last = State::parse(lines.next().unwrap_or_default());
        match (last, lines.next()) {
            (Ok(state), _) => Ok(Self::State(state)),
            (Err(_), Some(before)) if !text.ends_with('\n') => State::parse(before).map(Self::Cut),
            (Err(error), _) => Err(error),
        }
    }
}

impl State {
    /// Reads a state value; a STATE message around it is taken off, once.
    ///
    /// # Errors
    /// Of kind `Config`. They say where, and never quote the text.
    pub fn parse(text: &str) -> Result<Self> {
        check_depth(text)?;
        let top: RawMap = read(text, "the state")?;
        if let (Some(kind), Some(value)) = (top.get("type"), top.get("value")) {
            let kind: String = read(kind.get(), "the `type` of the STATE message")?;
            if kind.eq_ignore_ascii_case("STATE") {
                return Self::of(read(value.get(), "the state")?);
            }
        }
        Self::of(top)
    }

    fn of(top: RawMap) -> Result<Self> {
        let mut state = Self::default();
        for (key, value) in top.entries {
            match key.as_str() {
                BOOKMARKS => {
                    let bookmarks: Option<RawMap> = read(value.get(), "`bookmarks` of the state")?;
                    state.bookmarks = bookmarks.unwrap_or_default();
                }
                CURRENTLY_SYNCING => {
                    state.currently_syncing =
                        read(value.get(), "`currently_syncing` of the state")?;
                }
                _ => state.others.entries.push((key, value)),
            }
        }
        Ok(state)
    }

    /// Whether it tells of no stream at all.
    pub fn is_empty(&self) -> bool {
        self.bookmarks.entries.is_empty() && self.others.entries.is_empty()
    }

    /// The bookmark of a stream; empty if there is none.
    ///
    /// # Errors
    /// Of kind `Config` if it is not an object.
    pub fn bookmark(&self, id: &str) -> Result<Map<String, Value>> {
        let Some(raw) = self.bookmarks.get(id) else {
            return Ok(Map::new());
        };
        let bookmark: Option<Map<String, Value>> =
            read(raw.get(), &format!("the bookmark of `{id}`"))?;
        Ok(bookmark.unwrap_or_default())
    }

    /// Replaces the bookmark of a stream.
    pub fn set_bookmark(&mut self, id: &str, bookmark: &Map<String, Value>) {
        let raw = serde_json::value::to_raw_value(bookmark);
        // A map of JSON values with text keys has no way to fail.
        if let Ok(raw) = raw {
            self.bookmarks.set(id, raw);
        }
    }

    /// The stream that was at work when the state was written.
    pub fn currently_syncing(&self) -> Option<&str> {
        self.currently_syncing.as_deref()
    }

    /// Notes the stream at work.
    pub fn set_currently_syncing(&mut self, id: Option<&str>) {
        self.currently_syncing = id.map(str::to_owned);
    }

    /// Appends the state value as one line of JSON, without a line end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"currently_syncing":"#);
        match &self.currently_syncing {
            Some(id) => write_string(out, id),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","bookmarks":{"#);
        self.bookmarks.write_entries(out);
        out.push(b'}');
        if !self.others.entries.is_empty() {
            out.push(b',');
            self.others.write_entries(out);
        }
        out.push(b'}');
    }
}

/// An object whose values stay as they were written. Of a key that comes twice the last one counts.
#[derive(Debug, Clone, Default)]
struct RawMap {
    entries: Vec<(String, Box<RawValue>)>,
}

impl RawMap {
    fn get(&self, key: &str) -> Option<&RawValue> {
        let (_, value) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    fn write_entries(&self, out: &mut Vec<u8>) {
        for (index, (key, value)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, key);
            out.push(b':');
            let text = value.get().as_bytes();
            if text.contains(&b'\n') || text.contains(&b'\r') {
                // JSON has line ends between its tokens alone, where white space is free.
                out.extend(text.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
            } else {
                out.extend_from_slice(text);
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = RawMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawMap, A::Error> {
                let mut map = RawMap::default();
                while let Some((key, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    map.set(&key, value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// What a target would refuse as a STATE message is no state either: a tap only passes on what a
/// later run can read. Other defects are left to the parser, which names their line.
fn check_depth(text: &str) -> Result<()> {
    let start = scan::skip_space(text.as_bytes(), 0);
    // The message that a tap writes around the value is one level more.
    match scan::scan_value(text.as_bytes(), start, 1) {
        Err(error) if error.what == scan::TOO_DEEP => {
            Err(Error::config("the state is nested too deeply"))
        }
        _ => Ok(()),
    }
}

/// serde's message may quote what it found, so only its place is told.
fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let wrong = if error.is_data() {
            "has a value of the wrong type"
        } else {
            "is not JSON"
        };
        Error::config(format!(
            "{what} {wrong} at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(state: &State) -> String {
        let mut out = Vec::new();
        state.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn content(text: &str) -> State {
        match Content::read(text.as_bytes()).unwrap() {
            Content::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_touched_stays_byte_for_byte() {
        let text = r#"{"currently_syncing":"a","bookmarks":{"a":{"x": 12345678901234567890123456789.10, "b":[1 , 2]},"é":null},"activate_versions":{"z":1e5}}"#;
        let mut state = content(text);
        assert_eq!(written(&state), text);
        state.set_bookmark("new", &Map::new());
        state.set_currently_syncing(None);
        assert_eq!(
            written(&state),
            text.replace(r#""é":null"#, r#""é":null,"new":{}"#)
                .replace(r#"syncing":"a""#, r#"syncing":null"#)
        );
    }

    #[test]
    fn the_last_whole_line_counts() {
        let lines = "{\"bookmarks\":{\"a\":{\"n\":1}}}\n\n{\"bookmarks\":{\"a\":{\"n\":2}}}\n\n";
        assert_eq!(content(lines).bookmark("a").unwrap()["n"], 2);
        let cut = "{\"bookmarks\":{\"a\":{\"n\":1}}}\n{\"bookmarks\":{\"a\":{\"n\":";
        match Content::read(cut.as_bytes()).unwrap() {
            Content::Cut(state) => assert_eq!(state.bookmark("a").unwrap()["n"], 1),
            other => panic!("{other:?}"),
        }
        let broken = "{\"bookmarks\":{\"a\":{\"n\":1}}}\n{\"hunter2\":\n";
        let error = Content::read(broken.as_bytes()).unwrap_err();
        assert_eq!(
            error.message(),
            "the state is not JSON at line 1, column 11"
        );
    }

    #[test]
    fn a_state_over_many_lines_is_one_document_and_comes_out_as_one_line() {
        let state = content("{\n \"bookmarks\": {\r\n  \"a\": {\n   \"n\": 1\n  }\n }\n}\n");
        assert_eq!(state.bookmark("a").unwrap()["n"], 1);
        assert!(!written(&state).contains(['\n', '\r']));
    }

    #[test]
    fn a_state_message_is_unwrapped() {
        let state = content(r#"{"type":"STATE","value":{"bookmarks":{"a":{"n":1}}}}"#);
        assert_eq!(state.bookmark("a").unwrap()["n"], 1);
    }

    #[test]
    fn a_state_without_a_bottom_is_an_error_and_not_a_crash() {
        let depth = 200_000;
        let wrapped = r#"{"type":"STATE","value":"#.repeat(depth) + "{}" + &"}".repeat(depth);
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        for text in [wrapped, deep] {
            let error = Content::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.message(), "the state is nested too deeply");
        }
        let twice = r#"{"type":"STATE","value":{"type":"STATE","value":{"bookmarks":{"a":{}}}}}"#;
        assert_eq!(
            written(&content(twice)),
            r#"{"currently_syncing":null,"bookmarks":{},"type":"STATE","value":{"bookmarks":{"a":{}}}}"#
        );
    }

    #[test]
    fn empty_files_and_wrong_forms_are_told_apart() {
        assert!(matches!(Content::read(b" \n").unwrap(), Content::Empty));
        for (text, message) in [
            (
                "[]",
                "the state has a value of the wrong type at line 1, column 0",
            ),
            (
                "null",
                "the state has a value of the wrong type at line 1, column 4",
            ),
            (
                r#"{"bookmarks":[]}"#,
                "`bookmarks` of the state has a value of the wrong type at line 1, column 0",
            ),
            (
                r#"{"currently_syncing":5}"#,
                "`currently_syncing` of the state has a value of the wrong type at line 1, column 1",
            ),
        ] {
            assert_eq!(
                Content::read(text.as_bytes()).unwrap_err().message(),
                message
            );
        }
        let state = content(r#"{"bookmarks":{"a":7}}"#);
        assert!(
            state
                .bookmark("a")
                .unwrap_err()
                .message()
                .starts_with("the bookmark of `a`")
        );
        assert_eq!(
            content(r#"{"bookmarks":{"a":null}}"#)
                .bookmark("a")
                .unwrap(),
            Map::new()
        );
        assert_eq!(
            written(&content("{}")),
            r#"{"currently_syncing":null,"bookmarks":{}}"#
        );
        assert_eq!(json!(content("{}").bookmark("b").unwrap()), json!({}));
    }
}
