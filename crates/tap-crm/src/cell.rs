//! Cells of files and values of queries as JSON values, in one form whichever way they came: no float, and no
//! allocation for a cell.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;
use singer_core::value::time::parse_timestamp;
use singer_core::value::write_string;
use zoho::cell::{write_boolean, write_day, write_instant, write_integer, write_number};

pub(crate) use zoho::cell::{Misfit, text_of};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// The id of another record.
    Id,
    /// Several choices.
    Choices,
    /// A whole number.
    Integer,
    /// A number with all its digits.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A time with its offset.
    DateTime,
}

impl Kind {
    /// What a value of it is, in an error.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Id => "id",
            Self::Choices => "list of choices",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::DateTime => "time with an offset",
        }
    }
}

/// What fields of several choices become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choices {
    /// What stands between them in a text.
    pub(crate) separator: String,
    /// Whether they become an array.
    pub(crate) as_array: bool,
}

impl Choices {
    /// Appends the JSON value of a cell of a file.
    pub(crate) fn write_cell(
        &self,
        out: &mut Vec<u8>,
        kind: Kind,
        text: &str,
    ) -> Result<(), Misfit> {
        if text.is_empty() {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match kind {
            Kind::Text | Kind::Id => write_string(out, text),
            Kind::Choices if self.as_array => self.write_array(out, text),
            Kind::Choices => write_string(out, text),
            Kind::Integer => write_integer(out, text)?,
            Kind::Number => write_number(out, text.strip_suffix('%').unwrap_or(text))?,
            Kind::Boolean => write_boolean(out, text)?,
            Kind::Date => write_day(out, text)?,
            Kind::DateTime => write_instant(out, parse_timestamp(text).ok_or(Misfit)?)?,
        }
        Ok(())
    }

    /// Appends the JSON value of a value of a query, as if it had come in a file.
    pub(crate) fn write_json(
        &self,
        out: &mut Vec<u8>,
        kind: Kind,
        value: &RawValue,
    ) -> Result<(), Misfit> {
        let raw = value.get();
        if let Some(text) = text_of(value) {
            return self.write_cell(out, kind, &text);
        }
        if raw == "null" {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        if !raw.starts_with(['{', '[']) {
            return self.write_cell(out, kind, raw);
        }
        if !matches!(kind, Kind::Text | Kind::Id | Kind::Choices) {
            return Err(Misfit);
        }
        let parsed: Value = serde_json::from_str(raw).map_err(|_| Misfit)?;
        match &parsed {
            Value::Array(list) if list.is_empty() => out.extend_from_slice(b"null"),
            Value::Array(list) if kind == Kind::Choices && self.as_array => {
                out.push(b'[');
                for (index, choice) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(out, &word(choice, "name"));
                }
                out.push(b']');
            }
            Value::Array(list) => {
                let words: Vec<Cow<'_, str>> = list.iter().map(|one| word(one, "name")).collect();
                return self.write_cell(out, Kind::Text, &words.join(&self.separator));
            }
            other => return self.write_cell(out, kind, &word(other, "id")),
        }
        Ok(())
    }

    fn write_array(&self, out: &mut Vec<u8>, text: &str) {
        out.push(b'[');
        for (index, choice) in text.split(self.separator.as_str()).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, choice.trim());
        }
        out.push(b']');
    }
}

/// What a value is in a file: a text as it is, an object by its name or id.
fn word<'a>(value: &'a Value, first: &str) -> Cow<'a, str> {
    let named = [first, "id", "name"]
        .into_iter()
        .find_map(|key| value.get(key));
    match named.unwrap_or(value) {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(as_array: bool) -> Choices {
        Choices {
            separator: ";".to_owned(),
            as_array,
        }
    }

    fn cell(kind: Kind, text: &str) -> Option<String> {
        let mut out = Vec::new();
        choices(false).write_cell(&mut out, kind, text).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    fn json(as_array: bool, kind: Kind, text: &str) -> Option<String> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let mut out = Vec::new();
        choices(as_array).write_json(&mut out, kind, &raw).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn cells_become_values_with_all_their_digits() {
        for (kind, text, wanted) in [
            (Kind::Text, "a \"b\"\n", "\"a \\\"b\\\"\\n\""),
            (Kind::Text, "", "null"),
            (Kind::Id, "6110000000412003", "\"6110000000412003\""),
            (Kind::Integer, "9223372036854775807", "9223372036854775807"),
            (Kind::Number, "12345678901234567.10", "12345678901234567.10"),
            (Kind::Number, "12.5%", "12.5"),
            (Kind::Boolean, "TRUE", "true"),
            (Kind::Date, "2026-02-11", "\"2026-02-11\""),
            (
                Kind::DateTime,
                "2026-02-11T09:30:00+05:30",
                "\"2026-02-11T04:00:00Z\"",
            ),
            (Kind::Choices, "a;b", "\"a;b\""),
        ] {
            assert_eq!(cell(kind, text).as_deref(), Some(wanted), "{text}");
        }
        for (kind, text) in [
            (Kind::Integer, "1.5"),
            (Kind::Number, "1,5"),
            (Kind::Boolean, "maybe"),
            (Kind::Date, "11/02/2026"),
            (Kind::DateTime, "yesterday"),
        ] {
            assert_eq!(cell(kind, text), None, "{text}");
        }
    }

    #[test]
    fn a_query_gives_the_same_values_as_a_file() {
        for (kind, text, wanted) in [
            (Kind::Id, r#"{"id":"42","name":"Mira"}"#, "\"42\""),
            (Kind::Id, "42", "\"42\""),
            (Kind::Choices, r#"["a","b"]"#, "\"a;b\""),
            (Kind::Choices, "[]", "null"),
            (
                Kind::Text,
                r#"[{"name":"hot","id":"7"},{"name":"new"}]"#,
                "\"hot;new\"",
            ),
            (Kind::Boolean, "false", "false"),
            (Kind::Number, "1.10", "1.10"),
            (Kind::Integer, "\"7\"", "7"),
            (Kind::Text, "12.50", "\"12.50\""),
            (
                Kind::DateTime,
                "\"2026-02-11T09:30:00+05:30\"",
                "\"2026-02-11T04:00:00Z\"",
            ),
            (Kind::Text, "null", "null"),
        ] {
            assert_eq!(json(false, kind, text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(json(false, Kind::Number, "[1]"), None);
    }

    #[test]
    fn choices_become_arrays_if_that_is_asked_for() {
        let mut out = Vec::new();
        choices(true)
            .write_cell(&mut out, Kind::Choices, "a; b")
            .unwrap();
        assert_eq!(out, br#"["a","b"]"#);
        assert_eq!(
            json(true, Kind::Choices, r#"["a","b;c"]"#).unwrap(),
            r#"["a","b;c"]"#
        );
    }
}
