//! Values of keys: read from states and from the database, written into states and into SQL.
//!
//! A value that came from a state is parsed and printed again, never pasted.

use serde_json::Value;
use singer_core::number;
use singer_core::value::time::{self, DAY, Fraction};
use singer_core::value::{is_integer, is_number};

use crate::server::Server;
use crate::sql;
use crate::types::KeyKind;

/// A key's value that can be compared in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    kind: KeyKind,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// Digits of an integer or a decimal.
    Number(String),
    /// Days since 1970.
    Days(i64),
    /// Microseconds since 1970.
    Micros(i64),
    /// Text or a UUID.
    Text(String),
}

impl KeyValue {
    /// Reads a value from a state, a record or a config; `None` if it is none of this kind.
    pub(crate) fn read(kind: KeyKind, value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let content = match kind {
            KeyKind::Integer => Content::Number(text).filter(is_integer)?,
            KeyKind::Decimal => Content::Number(text).filter(is_number)?,
            KeyKind::Date => {
                Content::Days(time::parse_timestamp(&text).map(|micros| micros.div_euclid(DAY))?)
            }
            KeyKind::Timestamp | KeyKind::TimestampTz => {
                Content::Micros(time::parse_timestamp(&text)?)
            }
            KeyKind::Text if text.contains('\0') => return None,
            KeyKind::Text => Content::Text(text),
            KeyKind::Uuid => Content::Text(text).filter(is_uuid)?,
        };
        Some(Self { kind, content })
    }

    /// The value as a state keeps it: times with six digits, so that none is lost; decimals as
    /// strings, since a JSON number would be rounded by readers.
    pub(crate) fn to_json(&self) -> Value {
        let mut out = Vec::new();
        match &self.content {
            Content::Number(digits) => {
                return match digits.parse::<i64>() {
                    Ok(number) if self.kind == KeyKind::Integer => Value::from(number),
                    _ => Value::from(digits.as_str()),
                };
            }
            Content::Text(text) => return Value::from(text.as_str()),
            Content::Days(days) => time::write_date(&mut out, *days),
            Content::Micros(micros) => time::write_timestamp(&mut out, *micros, Fraction::Always),
        };
        Value::from(String::from_utf8_lossy(&out).into_owned())
    }

    /// The value as SQL. `zone` is the zone in which times without one are meant, if not UTC.
    pub(crate) fn literal(&self, server: &Server, zone: Option<&str>) -> String {
        let mut out = Vec::new();
        match &self.content {
            // In parentheses, so that a minus sign follows no operator.
            Content::Number(digits) => return format!("({digits})"),
            Content::Text(text) if self.kind == KeyKind::Uuid => {
                return format!("CAST('{text}' AS uuid)");
            }
            Content::Text(text) => return sql::literal(text, server),
            Content::Days(days) => {
                time::write_date(&mut out, *days);
                return format!("CAST('{}' AS date)", String::from_utf8_lossy(&out));
            }
            Content::Micros(micros) => time::write_timestamp(&mut out, *micros, Fraction::Always),
        };
        // `2024-05-01T00:00:00.000000Z` without its `Z`, the way every server reads it.
        let text = String::from_utf8_lossy(&out)
            .replace('T', " ")
            .replace('Z', "");
        match (self.kind, zone) {
            (KeyKind::TimestampTz, _) => format!("CAST('{text}+00' AS timestamptz)"),
            (_, None) => format!("CAST('{text}' AS timestamp)"),
            (_, Some(zone)) => format!(
                "(CAST('{text}+00' AS timestamptz) AT TIME ZONE {})",
                sql::literal(zone, server)
            ),
        }
    }

    /// Whether this value comes before another of its kind; `None` for texts, whose order is the
    /// database's own.
    pub(crate) fn is_before(&self, other: &Self) -> Option<bool> {
        match (&self.content, &other.content) {
            (Content::Number(a), Content::Number(b)) => {
                Some(number::compare(a.as_bytes(), b.as_bytes()).is_lt())
            }
            (Content::Days(a), Content::Days(b)) | (Content::Micros(a), Content::Micros(b)) => {
                Some(a < b)
            }
            _ => None,
        }
    }

    /// The value so many seconds before this one: whole days for dates; other kinds stay.
    pub(crate) fn before(&self, seconds: u32) -> Self {
        let micros = i64::from(seconds) * 1_000_000;
        let content = match &self.content {
            Content::Days(days) => Content::Days(days - (micros + DAY - 1) / DAY),
            Content::Micros(at) => Content::Micros(at - micros),
            other => other.clone(),
        };
        // Before the year 1 there is nothing to read.
        let printable = match &content {
            Content::Days(days) => time::write_date(&mut Vec::new(), *days),
            Content::Micros(at) => time::write_timestamp(&mut Vec::new(), *at, Fraction::Always),
            Content::Number(_) | Content::Text(_) => true,
        };
        if printable {
            Self {
                kind: self.kind,
                content,
            }
        } else {
            self.clone()
        }
    }
}

impl Content {
    fn filter(self, accepts: impl FnOnce(&str) -> bool) -> Option<Self> {
        let accepted = match &self {
            Self::Number(text) | Self::Text(text) => accepts(text),
            Self::Days(_) | Self::Micros(_) => true,
        };
        accepted.then_some(self)
    }
}

/// Whether a text has the form of a UUID: 8-4-4-4-12 hexadecimal digits.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server() -> Server {
        Server::detect("PostgreSQL 15.8 on x")
    }

    #[test]
    fn bookmarks_of_the_old_tap_are_understood() {
        let wanted = json!("2024-05-01T00:00:00.000000Z");
        for text in [
            "2024-05-01T00:00:00.000000Z",
            "2024-05-01T00:00:00Z",
            "2024-05-01T02:00:00+02:00",
            "2024-05-01T00:00:00+00:00Z",
            "2024-05-01T00:00:00",
        ] {
            let value = KeyValue::read(KeyKind::TimestampTz, &json!(text)).unwrap();
            assert_eq!(value.to_json(), wanted, "{text}");
        }
        let day = KeyValue::read(KeyKind::Date, &json!("2024-05-01T00:00:00Z")).unwrap();
        assert_eq!(day.to_json(), json!("2024-05-01"));
    }

    #[test]
    fn only_values_of_the_kind_reach_a_statement() {
        for (kind, value) in [
            (KeyKind::Integer, json!("1; DROP TABLE t")),
            (KeyKind::Integer, json!("1.5")),
            (KeyKind::Decimal, json!("NaN")),
            (KeyKind::Timestamp, json!("infinity")),
            (KeyKind::Date, json!(7)),
            (KeyKind::Uuid, json!("' OR true --")),
            (KeyKind::Text, json!("a\u{0}b")),
            (KeyKind::Text, Value::Null),
        ] {
            assert_eq!(KeyValue::read(kind, &value), None, "{value}");
        }
    }

    #[test]
    fn literals_name_their_type() {
        let literal = |kind, value: Value, zone| {
            KeyValue::read(kind, &value)
                .unwrap()
                .literal(&server(), zone)
        };
        assert_eq!(literal(KeyKind::Integer, json!(-5), None), "(-5)");
        assert_eq!(
            literal(KeyKind::Decimal, json!("12345678901234567890.10"), None),
            "(12345678901234567890.10)"
        );
        assert_eq!(
            literal(KeyKind::Timestamp, json!("2024-05-01T00:00:00.5Z"), None),
            "CAST('2024-05-01 00:00:00.500000' AS timestamp)"
        );
        assert_eq!(
            literal(KeyKind::Timestamp, json!("2024-05-01"), Some("Europe/Oslo")),
            "(CAST('2024-05-01 00:00:00.000000+00' AS timestamptz) AT TIME ZONE 'Europe/Oslo')"
        );
        assert_eq!(literal(KeyKind::Text, json!("it's"), None), "'it''s'");
    }

    #[test]
    fn numbers_past_64_bits_stay_whole_in_a_state() {
        let value = |kind, json: Value| KeyValue::read(kind, &json).unwrap().to_json();
        assert_eq!(value(KeyKind::Integer, json!(i64::MAX)), json!(i64::MAX));
        assert_eq!(
            value(KeyKind::Decimal, json!("12345678901234567890.10")),
            json!("12345678901234567890.10")
        );
    }

    #[test]
    fn looking_back_goes_by_seconds_and_by_whole_days() {
        let before = |kind, text: &str, seconds| {
            KeyValue::read(kind, &json!(text))
                .unwrap()
                .before(seconds)
                .to_json()
        };
        assert_eq!(
            before(KeyKind::TimestampTz, "2024-05-01T00:00:00Z", 90),
            json!("2024-04-30T23:58:30.000000Z")
        );
        assert_eq!(before(KeyKind::Date, "2024-05-01", 90), json!("2024-04-30"));
        assert_eq!(before(KeyKind::Text, "a", 90), json!("a"));
        assert_eq!(before(KeyKind::Date, "0001-01-01", 90), json!("0001-01-01"));
    }
}
