//! Cells of files and values of JSON rows, as JSON values: no float, and no allocation for a cell.

use serde_json::value::RawValue;
use singer_core::value::write_string;
use zoho::cell::{write_boolean, write_day, write_instant, write_integer, write_number};

pub(crate) use zoho::cell::{Misfit, text_of};

use crate::config::EmptyCells;
use crate::time::Zone;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A day.
    Date,
    /// A time in the project's zone.
    DateTime,
    /// A whole number of up to 19 digits.
    Integer,
    /// A number with all its digits.
    Number,
    /// True or false.
    Boolean,
}

impl Kind {
    /// What a value of it is, in an error.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Date => "date",
            Self::DateTime => "time",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// Writes values in the form that a config asks for.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    /// The project's zone.
    pub(crate) zone: Zone,
    /// What an empty text is.
    pub(crate) empty: EmptyCells,
}

/// Whether a cell stood in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// It did, or it is a text of JSON.
    Yes,
    /// It did not.
    No,
}

impl Values {
    /// Appends the JSON value of a cell.
    pub(crate) fn write_cell(
        &mut self,
        out: &mut Vec<u8>,
        kind: Kind,
        text: &str,
        quotes: Quotes,
    ) -> Result<(), Misfit> {
        if text.is_empty() {
            let is_text =
                kind == Kind::Text && quotes == Quotes::Yes && self.empty == EmptyCells::Text;
            out.extend_from_slice(if is_text { b"\"\"" } else { b"null" });
            return Ok(());
        }
        match kind {
            Kind::Text => {
                write_string(out, text);
                Ok(())
            }
            Kind::Integer => write_integer(out, text),
            Kind::Number => write_number(out, text),
            Kind::Boolean => write_boolean(out, text),
            Kind::Date => write_day(out, text),
            Kind::DateTime => write_instant(out, self.zone.instant(text).ok_or(Misfit)?),
        }
    }

    /// Appends the JSON value of a value in a JSON row, which may be a text where the column is none.
    pub(crate) fn write_json(
        &mut self,
        out: &mut Vec<u8>,
        kind: Kind,
        value: &RawValue,
    ) -> Result<(), Misfit> {
        let raw = value.get();
        match text_of(value) {
            Some(text) => self.write_cell(out, kind, &text, Quotes::Yes),
            None if raw == "null" => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            // A list or an object in a column of text is shown as it is.
            None if kind == Kind::Text || !raw.starts_with(['{', '[']) => {
                self.write_cell(out, kind, raw, Quotes::No)
            }
            None => Err(Misfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(empty: EmptyCells) -> Values {
        Values {
            zone: Zone::new("Europe/Berlin".parse().unwrap()),
            empty,
        }
    }

    fn cell(kind: Kind, text: &str) -> Option<String> {
        let mut out = b"x".to_vec();
        let written = values(EmptyCells::Null).write_cell(&mut out, kind, text, Quotes::No);
        let text = String::from_utf8(out).unwrap();
        match written {
            Ok(()) => text.strip_prefix('x').map(str::to_owned),
            Err(Misfit) => {
                assert_eq!(text, "x", "nothing is left of a misfit");
                None
            }
        }
    }

    fn json(kind: Kind, text: &str) -> Option<String> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let mut out = Vec::new();
        let written = values(EmptyCells::Null).write_json(&mut out, kind, &raw);
        written.ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_digit_of_a_number_survives() {
        for (kind, text, wanted) in [
            (Kind::Integer, "9223372036854775807", "9223372036854775807"),
            (Kind::Integer, "4000000101007", "4000000101007"),
            (Kind::Integer, "-007", "-7"),
            (Kind::Integer, "12.00", "12"),
            (Kind::Integer, "000", "0"),
            (Kind::Number, "12345678901234567.10", "12345678901234567.10"),
            (Kind::Number, "-.5", "-0.5"),
            (Kind::Number, "5.", "5"),
            (Kind::Number, "+1.5E10", "1.5E10"),
        ] {
            assert_eq!(cell(kind, text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (kind, text) in [
            (Kind::Integer, "1.5"),
            (Kind::Integer, "12a"),
            (Kind::Integer, "-"),
            (Kind::Number, "NaN"),
            (Kind::Number, "."),
            (Kind::Number, "1,5"),
            (Kind::Boolean, "maybe"),
            (Kind::Date, "2025-02-30"),
            (Kind::Date, "2025-02-03x"),
            (Kind::DateTime, "yesterday"),
        ] {
            assert_eq!(cell(kind, text), None, "{text}");
        }
    }

    #[test]
    fn truth_days_and_times_have_one_form() {
        for (kind, text, wanted) in [
            (Kind::Boolean, "TRUE", "true"),
            (Kind::Boolean, "0", "false"),
            (Kind::Date, "2025-02-03", "\"2025-02-03\""),
            (Kind::Date, "2025-02-03 00:00:00", "\"2025-02-03\""),
            (
                Kind::DateTime,
                "2025-02-03 00:00:00:118",
                "\"2025-02-02T23:00:00.118000Z\"",
            ),
            (Kind::Text, "a \"b\"\n", "\"a \\\"b\\\"\\n\""),
            (Kind::Integer, "", "null"),
        ] {
            assert_eq!(cell(kind, text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn an_empty_text_is_null_unless_it_is_quoted_and_asked_for() {
        let written = |empty, kind, quotes| {
            let mut out = Vec::new();
            values(empty)
                .write_cell(&mut out, kind, "", quotes)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(EmptyCells::Null, Kind::Text, Quotes::Yes), "null");
        assert_eq!(written(EmptyCells::Text, Kind::Text, Quotes::Yes), "\"\"");
        assert_eq!(written(EmptyCells::Text, Kind::Text, Quotes::No), "null");
        assert_eq!(
            written(EmptyCells::Text, Kind::Integer, Quotes::Yes),
            "null"
        );
    }

    #[test]
    fn json_values_may_be_texts_or_not() {
        for (kind, text, wanted) in [
            (Kind::Integer, "\"4000000101007\"", "4000000101007"),
            (Kind::Integer, "4000000101007", "4000000101007"),
            (Kind::Number, "0.10", "0.10"),
            (Kind::Boolean, "\"true\"", "true"),
            (Kind::Boolean, "false", "false"),
            (Kind::Text, "\"a\\u00e9\\\"\"", "\"aé\\\"\""),
            (Kind::Text, "12.50", "\"12.50\""),
            (Kind::Text, "{\"a\":1}", "\"{\\\"a\\\":1}\""),
            (Kind::Date, "null", "null"),
        ] {
            assert_eq!(json(kind, text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(json(Kind::Integer, "[1]"), None);
        assert_eq!(json(Kind::Integer, "true"), None);
    }
}
