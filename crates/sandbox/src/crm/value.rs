//! Values on their way in: from cells of a bulk write and from JSON of tests, checked by the type of
//! their field, to the form in which they are kept. Facts: sections 5.2 and 9.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

use super::field::{Field, Kind, Pick};
use super::zone::{Zone, is_date, read_time};

/// A value that its field does not take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// How the cells of a bulk write are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) zone: Zone,
    /// The pattern of the mapping, as chrono has it.
    pub(super) format: Option<&'a str>,
    /// Without a mapping, dates of the other usual form are taken too.
    pub(super) is_mapped: bool,
}

impl Reading<'_> {
    /// Reads a cell that is not empty, and is not of a lookup.
    pub(super) fn take(&self, field: &Field, cell: &str) -> Result<String, Invalid> {
        match field.kind {
            Kind::Date => self.date(cell),
            Kind::DateTime => self.time(cell),
            Kind::Integer | Kind::BigInt | Kind::Decimal if self.format.is_some() => {
                plain(field, &cell.replace(',', ""))
            }
            _ => plain(field, cell),
        }
    }

    fn date(&self, cell: &str) -> Result<String, Invalid> {
        let parse = |format| NaiveDate::parse_from_str(cell, format).ok();
        let date = match self.format {
            Some(format) => parse(format),
            None if self.is_mapped => parse("%m/%d/%Y"),
            None => parse("%m/%d/%Y").or_else(|| parse("%Y-%m-%d")),
        };
        let date = date.ok_or(Invalid)?;
        Ok(date.format("%Y-%m-%d").to_string())
    }

    fn time(&self, cell: &str) -> Result<String, Invalid> {
        if let Some(format) = self.format.filter(|format| format.contains("%:z")) {
            let time = DateTime::parse_from_str(cell, format).map_err(|_| Invalid)?;
            return Ok(time.timestamp().to_string());
        }
        let parse = |format| NaiveDateTime::parse_from_str(cell, format).ok();
        let time = match self.format {
            Some(format) => parse(format),
            None if self.is_mapped => parse("%m/%d/%Y %H:%M:%S"),
            None => parse("%m/%d/%Y %H:%M:%S").or_else(|| parse("%Y-%m-%d %H:%M:%S")),
        };
        let seconds = time.and_then(|time| self.zone.seconds(time));
        seconds.map(|seconds| seconds.to_string()).ok_or(Invalid)
    }
}

/// Reads a text that is the same wherever it comes from.
fn plain(field: &Field, text: &str) -> Result<String, Invalid> {
    let is_good = match field.kind {
        Kind::Text | Kind::AutoNumber => text.chars().count() <= field.length,
        Kind::Email => is_email(text) && text.chars().count() <= field.length,
        Kind::Phone => is_phone(text) && text.len() <= field.length,
        Kind::Integer => text.parse::<i64>().is_ok() && digits(text) <= field.length.min(9),
        Kind::BigInt => text.parse::<i64>().is_ok(),
        Kind::Decimal => is_decimal(text) && digits(text) <= 16,
        Kind::Boolean => {
            let small = text.to_ascii_lowercase();
            return ["true", "false"]
                .contains(&small.as_str())
                .then_some(small)
                .ok_or(Invalid);
        }
        Kind::Date => is_date(text),
        Kind::DateTime => return read_time(text).map(|time| time.to_string()).ok_or(Invalid),
        Kind::Record | Kind::User => text.parse::<i64>().is_ok(),
        // The list decides.
        Kind::Pick | Kind::Multi => true,
        Kind::Absent => false,
    };
    is_good.then(|| text.to_owned()).ok_or(Invalid)
}

/// Reads a value of a test: checks no limit but that it can be kept.
pub(super) fn from_json(field: &Field, value: &Value) -> Result<Option<String>, Invalid> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let part = |part: &Value| {
                part.as_str()
                    .map_or_else(|| part.to_string(), str::to_owned)
            };
            parts.iter().map(part).collect::<Vec<_>>().join(";")
        }
        Value::Object(object) => object
            .get("id")
            .and_then(Value::as_str)
            .ok_or(Invalid)?
            .to_owned(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let kept = match field.kind {
        Kind::DateTime => {
            let time = DateTime::parse_from_rfc3339(&text).map_err(|_| Invalid)?;
            time.timestamp().to_string()
        }
        Kind::Date | Kind::Boolean | Kind::Record | Kind::User => plain(field, &text)?,
        Kind::Integer | Kind::BigInt => text.parse::<i64>().map_err(|_| Invalid)?.to_string(),
        Kind::Decimal if !is_decimal(&text) => return Err(Invalid),
        Kind::Absent => return Err(Invalid),
        _ => text,
    };
    Ok(Some(kept))
}

/// The values of a list that a field does not know yet.
pub(super) fn unknown_picks(field: &Field, kept: &str) -> Vec<Pick> {
    let is_known = |value: &&str| field.picks.iter().any(|pick| pick.actual == *value);
    let values: Vec<&str> = match field.kind {
        Kind::Pick => vec![kept],
        Kind::Multi => kept.split(';').collect(),
        _ => Vec::new(),
    };
    // A list without values, such as the reminder of a task, takes anything.
    let values = values.into_iter().filter(|_| !field.picks.is_empty());
    let unknown = values.filter(|value| !is_known(value));
    unknown
        .map(|value| Pick {
            actual: value.to_owned(),
            display: value.to_owned(),
        })
        .collect()
}

pub(super) fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else {
        return false;
    };
    let is_part = |c: char| !c.is_whitespace() && !matches!(c, '@' | ',' | ';' | '<' | '>');
    !name.is_empty()
        && name.chars().all(is_part)
        && domain.chars().all(is_part)
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

fn is_phone(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || " +()-./,;#".contains(c))
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

pub(super) fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_number(whole) && is_number(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(format: Option<&str>, is_mapped: bool) -> Reading<'_> {
        Reading {
            zone: Zone::from_name("Europe/Oslo").unwrap(),
            format,
            is_mapped,
        }
    }

    fn take(line: &str, cell: &str) -> Result<String, Invalid> {
        reading(None, true).take(&Field::from_line(line), cell)
    }

    #[test]
    fn types_refuse_what_they_cannot_hold() {
        assert_eq!(take("A text 3", "äöü").unwrap(), "äöü");
        assert!(take("A text 3", "abcd").is_err());
        assert!(take("A email", "ana@example").is_err());
        assert!(take("A email", " ana@example.org").is_err());
        assert!(take("A email", "ana@example.org").is_ok());
        assert!(take("A phone", "call me!").is_err());
        assert!(take("A integer 9", "1234567890").is_err());
        assert!(take("A bigint", "9223372036854775807").is_ok());
        assert!(take("A currency", "1,5").is_err());
        assert_eq!(take("A boolean", "TRUE").unwrap(), "true");
        assert!(take("A boolean", "yes").is_err());
    }

    #[test]
    fn dates_are_american_unless_the_mapping_has_a_format() {
        let date = Field::from_line("A date");
        assert_eq!(take("A date", "12/31/2026").unwrap(), "2026-12-31");
        assert!(take("A date", "2026-12-31").is_err());
        assert!(reading(None, false).take(&date, "2026-12-31").is_ok());
        let reading = reading(Some("%d.%m.%Y"), true);
        assert_eq!(reading.take(&date, "31.12.2026").unwrap(), "2026-12-31");
        assert_eq!(
            take("A datetime", "02/11/2026 08:30:00").unwrap(),
            "1770795000"
        );
    }

    #[test]
    fn json_is_kept_in_one_form() {
        let from = |line: &str, value: Value| from_json(&Field::from_line(line), &value);
        assert_eq!(
            from("A lookup", json!({"id": "12"})),
            Ok(Some("12".to_owned()))
        );
        assert_eq!(
            from("A multiselectpicklist", json!(["a", "b"])),
            Ok(Some("a;b".to_owned()))
        );
        assert_eq!(
            from("A datetime", json!("2026-02-11T07:30:00Z")),
            Ok(Some("1770795000".to_owned()))
        );
        assert_eq!(from("A text", json!("")), Ok(None));
        assert_eq!(from("A integer", json!("x")), Err(Invalid));
    }
}
