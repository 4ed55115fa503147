//! The formats of strings that targets read as something else: times and decimals.

use singer_core::schema::TypeSet;
use singer_core::value::{is_number, time};

/// A format that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Time,
    Decimal,
}

/// How well a string fits its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// It can be read, but not by everybody; in words, why.
    Nearly(&'static str),
    /// It cannot be read as that.
    Not,
}

impl Format {
    /// The format that a schema names, if it is one of these.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "date-time" => Some(Self::DateTime),
            "date" => Some(Self::Date),
            "time" => Some(Self::Time),
            "singer.decimal" | "x-singer.decimal" => Some(Self::Decimal),
            _ => None,
        }
    }

    /// Judges the text of a string, without its quotes.
    pub(super) fn judge(self, text: &str) -> Fit {
        match self {
            Self::DateTime => date_time(text),
            Self::Date if time::parse_date(text).is_some() => Fit::Fits,
            Self::Date if time::parse_timestamp(text).is_some() => Fit::Nearly("more than a date"),
            Self::Time if time::parse_time(text.trim_end_matches(['Z', 'z'])).is_some() => {
                Fit::Fits
            }
            // A decimal that is none is a word in singer-python.
            Self::Decimal if is_number(text) || text == "NaN" => Fit::Fits,
            Self::Decimal if is_number(text.trim_start_matches('+')) => Fit::Nearly("a plus sign"),
            _ => Fit::Not,
        }
    }
}

fn date_time(text: &str) -> Fit {
    if time::parse_timestamp(text).is_none() {
        return Fit::Not;
    }
    let bytes = text.as_bytes();
    match bytes.get(10) {
        None => return Fit::Nearly("a date alone"),
        Some(b'T' | b't') => {}
        Some(_) => return Fit::Nearly("no `T` between date and time"),
    }
    let has_offset = |sign: &u8| matches!(sign, b'+' | b'-');
    match bytes {
        [.., b'Z' | b'z'] if !bytes[10..].iter().any(has_offset) => Fit::Fits,
        [.., b'Z' | b'z'] => Fit::Nearly("an offset and a `Z`"),
        [.., sign, _, _, b':', _, _] if has_offset(sign) => Fit::Fits,
        _ if bytes[10..].iter().any(has_offset) => Fit::Nearly("an offset without a colon"),
        _ => Fit::Nearly("no offset from UTC"),
    }
}

/// What a schema wants, for people: `string (date-time) or null`.
pub(super) fn wanted(types: TypeSet, format: Option<&str>) -> String {
    let names = types.names();
    match format {
        Some(format) => names.replacen("string", &format!("string ({format})"), 1),
        None => names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_decimals_fit_nearly_fit_or_do_not() {
        use Fit::{Fits, Nearly, Not};
        for (format, text, fit) in [
            ("date-time", "2026-03-01T06:00:00Z", Fits),
            ("date-time", "2026-03-01t06:00:00.123456789+05:30", Fits),
            (
                "date-time",
                "2026-03-01 06:00:00Z",
                Nearly("no `T` between date and time"),
            ),
            (
                "date-time",
                "2026-03-01T06:00:00",
                Nearly("no offset from UTC"),
            ),
            (
                "date-time",
                "2026-03-01T06:00:00+0530",
                Nearly("an offset without a colon"),
            ),
            (
                "date-time",
                "2026-03-01T06:00:00+00:00Z",
                Nearly("an offset and a `Z`"),
            ),
            ("date-time", "2026-03-01", Nearly("a date alone")),
            ("date-time", "2026-02-30T06:00:00Z", Not),
            ("date-time", "0000-00-00 00:00:00", Not),
            ("date-time", "20107-01-01T00:00:00Z", Not),
            ("date", "2026-03-01", Fits),
            ("date", "2026-03-01T00:00:00Z", Nearly("more than a date")),
            ("date", "01.03.2026", Not),
            ("time", "06:00:00", Fits),
            ("time", "06:00:00.5Z", Fits),
            ("time", "six", Not),
            ("singer.decimal", "-129.90", Fits),
            ("x-singer.decimal", "1E+3", Fits),
            ("singer.decimal", "NaN", Fits),
            ("singer.decimal", "+1", Nearly("a plus sign")),
            ("singer.decimal", "1,5", Not),
        ] {
            assert_eq!(
                Format::named(format).unwrap().judge(text),
                fit,
                "{format} {text}"
            );
        }
        assert_eq!(Format::named("uuid"), None);
    }

    #[test]
    fn what_is_wanted_names_types_and_format() {
        let types = TypeSet::STRING.union(TypeSet::NULL);
        assert_eq!(
            wanted(types, Some("date-time")),
            "string (date-time) or null"
        );
        assert_eq!(wanted(TypeSet::INTEGER, None), "integer");
    }
}
