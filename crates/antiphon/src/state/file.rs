//! States that come from files: of a shell pipe, of an editor, of Meltano. Values stay as they are written:
//! digits and the order of keys survive.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use singer_core::{Error, Result};

/// Reads a state: one JSON object, or lines of which the last whole one counts. A STATE message around it is
/// taken off. It comes back as one line.
///
/// # Errors
/// Of kind `Config`; they never quote the text.
pub(super) fn parse(text: &str) -> Result<String> {
    let entries = read(text)?;
    if foreign(&entries)?.is_some() {
        return Err(Error::config("this is a state of Meltano")
            .with_hint("`antiphon state PIPELINE import FILE` takes it"));
    }
    Ok(entries.text())
}

/// As [`parse`], and takes the state out of what Meltano wraps around it.
pub(super) fn parse_foreign(text: &str) -> Result<String> {
    let entries = read(text)?;
    Ok(foreign(&entries)?.unwrap_or(entries).text())
}

/// The state in Meltano's frame: `{"singer_state": …}`, or what was completed with what came since on top.
fn foreign(entries: &Entries) -> Result<Option<Entries>> {
    let inner = |entries: &Entries| entries.get("singer_state").map(parse_object).transpose();
    if entries.get("singer_state").is_some() {
        return inner(entries);
    }
    let mut state: Option<Entries> = None;
    for (name, old_name) in [
        ("completed", "completed_state"),
        ("partial", "partial_state"),
    ] {
        let Some(part) = entries.get(name).or_else(|| entries.get(old_name)) else {
            continue;
        };
        let part: Option<Entries> = serde_json::from_str(part.get()).ok();
        let Some(newer) = part.as_ref().map(inner).transpose()?.flatten() else {
            continue;
        };
        match &mut state {
            None => state = Some(newer),
            Some(state) => state.merge(newer)?,
        }
    }
    Ok(state)
}

fn read(text: &str) -> Result<Entries> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Error::config("there is no state in it: it is empty"));
    }
    let whole = parse_text(text);
    let error = match whole {
        Ok(entries) => return unwrap(entries),
        Err(error) => error,
    };
    let mut lines = text
        .trim_end()
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty());
    let last = lines.next().map(parse_text);
    match (last, lines.next()) {
        (Some(Ok(entries)), _) => unwrap(entries),
        // A last line that was cut off; the one before it is whole.
        (_, Some(before)) if !text.ends_with('\n') => {
            unwrap(parse_text(before).map_err(|_| error)?)
        }
        _ => Err(error),
    }
}

fn unwrap(entries: Entries) -> Result<Entries> {
    match (entries.get("type"), entries.get("value")) {
        (Some(kind), Some(value)) if kind.get().eq_ignore_ascii_case("\"STATE\"") => {
            parse_object(value)
        }
        _ => Ok(entries),
    }
}

fn parse_object(raw: &RawValue) -> Result<Entries> {
    parse_text(raw.get())
}

fn parse_text(text: &str) -> Result<Entries> {
    // The whole of it is read once, so that what lies deep is JSON as well, and not too deep.
    let whole: Result<Value, _> = serde_json::from_str(text);
    let parsed = whole.and_then(|_| serde_json::from_str::<Entries>(text));
    parsed.map_err(|error| {
        let wrong = if error.is_data() {
            "is not an object"
        } else if error.to_string().starts_with("recursion") {
            "is nested too deeply"
        } else {
            "is not JSON"
        };
        Error::config(format!(
            "the state {wrong}, at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// An object whose values stay as they were written. Of a key that comes twice the last one counts.
#[derive(Debug, Default)]
pub(super) struct Entries(pub(super) Vec<(String, Box<RawValue>)>);

impl Entries {
    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        let (_, value) = self.0.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// Puts newer values over these, object by object.
    fn merge(&mut self, newer: Self) -> Result<()> {
        for (key, value) in newer.0 {
            let Some((_, old)) = self.0.iter_mut().find(|(name, _)| *name == key) else {
                self.0.push((key, value));
                continue;
            };
            let both = (
                serde_json::from_str::<Self>(old.get()),
                serde_json::from_str::<Self>(value.get()),
            );
            *old = match both {
                (Ok(mut old), Ok(newer)) => {
                    old.merge(newer)?;
                    RawValue::from_string(old.text())
                        .map_err(|_| Error::internal("a merged state is not JSON"))?
                }
                _ => value,
            };
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::from("{");
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&Value::from(key.as_str()).to_string());
            text.push(':');
            text.push_str(&compact(value.get()));
        }
        text.push('}');
        text
    }
}

/// JSON without the white space between its tokens.
pub(super) fn compact(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            in_string = is_escaped || character != '"';
            is_escaped = character == '\\' && !is_escaped;
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        text.push(character);
    }
    text
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some((key, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    match entries.0.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, old)) => *old = value,
                        None => entries.0.push((key, value)),
                    }
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stays_as_it_is_written_on_one_line() {
        let text = "{\n  \"b\": {\"n\": 12345678901234567890123.10, \"s\": \"a \\\" b\"},\r\n  \"a\": [1, 2]\n}\n";
        assert_eq!(
            parse(text).unwrap(),
            r#"{"b":{"n":12345678901234567890123.10,"s":"a \" b"},"a":[1,2]}"#
        );
    }

    #[test]
    fn the_last_whole_line_counts_and_a_message_is_taken_off() {
        let message = r#"{"type":"STATE","value":{"a":2}}"#;
        for text in [
            message.to_owned(),
            format!("{{\"a\":1}}\n{message}\n"),
            format!("{{\"a\":1}}\n{message}\n{{\"a\":"),
        ] {
            assert_eq!(parse(&text).unwrap(), r#"{"a":2}"#, "{text}");
        }
    }

    #[test]
    fn what_is_no_state_is_told_without_its_text() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        for (text, words) in [
            ("", "empty"),
            (" \n", "empty"),
            ("[1]", "not an object"),
            ("null", "not an object"),
            ("{\"hunter2\": tru", "not JSON, at line 1"),
            ("{\"a\":1}\n{\"hunter2\":\n", "not JSON"),
            (&deep, "too deeply"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), singer_core::Kind::Config);
            assert!(error.message().contains(words), "{text}: {error}");
            assert!(!error.message().contains("hunter2"));
        }
    }

    #[test]
    fn what_meltano_wraps_is_unwrapped_and_what_came_since_lies_on_top() {
        let plain = r#"{"singer_state": {"bookmarks": {"a": {"n": 1}}}}"#;
        assert_eq!(
            parse_foreign(plain).unwrap(),
            r#"{"bookmarks":{"a":{"n":1}}}"#
        );
        let both = r#"{"completed": {"singer_state": {"bookmarks": {"a": {"n": 1}, "b": {"n": 1.10}}, "x": 1}},
            "partial": {"singer_state": {"bookmarks": {"a": {"n": 2}, "c": {}}}}}"#;
        assert_eq!(
            parse_foreign(both).unwrap(),
            r#"{"bookmarks":{"a":{"n":2},"b":{"n":1.10},"c":{}},"x":1}"#
        );
        let done = r#"{"completed": {"singer_state": {"a": 1}}, "partial": {}}"#;
        assert_eq!(parse_foreign(done).unwrap(), r#"{"a":1}"#);
        assert_eq!(
            parse_foreign(r#"{"bookmarks":{}}"#).unwrap(),
            r#"{"bookmarks":{}}"#
        );
        assert!(parse(plain).unwrap_err().hints()[0].contains("import"));
    }
}
