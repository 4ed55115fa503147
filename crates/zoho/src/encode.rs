//! Values of records as cells of the CSV files that Zoho reads: printed straight from the bytes of the record, with
//! no JSON tree and no allocation for a cell. Text stands in quotes; everything else is digits, letters and signs that
//! need none. What a type writes in its own way (date-times, lists, lookups) stays with its connector.

use singer_core::scan::{EscapeError, ValueKind};
use singer_core::value::time::{DAY, write_date};

pub mod number;
pub mod text;

/// A property's value: its kind and its JSON.
pub type Given<'a> = (ValueKind, &'a [u8]);

/// Why a record cannot be a row. It shows no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The column and what is wrong.
    pub reason: String,
    /// One word for it.
    pub code: &'static str,
}

/// Why a value does not fit its column, as a word that costs nothing until a row is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// A value of this kind has no form in the column's type.
    Kind(ValueKind),
    /// Beyond what the type reaches.
    Range,
    /// A fraction where there is none.
    Fraction,
    /// A text that is not one of the type.
    Format,
    /// Half of a surrogate pair, which no text has.
    Surrogate,
    /// `NaN` or an infinity.
    NotFinite,
    /// A part of the key without a value.
    Key,
}

impl From<EscapeError> for Unfit {
    fn from(error: EscapeError) -> Self {
        match error {
            EscapeError::Unknown => Self::Format,
            EscapeError::HalfSurrogate => Self::Surrogate,
        }
    }
}

impl Unfit {
    /// Its code and its words, for a column whose type has this name; `key` are the words for a key without a value.
    #[cold]
    pub fn told(self, kind: &str, key: &str) -> (&'static str, String) {
        match self {
            Self::Kind(given) => ("type", format!("{} cannot be a {kind}", word(given))),
            Self::Range => ("range", format!("a value beyond the range of a {kind}")),
            Self::Fraction => (
                "precision",
                format!("a fraction, which a {kind} does not keep"),
            ),
            Self::Format => ("format", format!("a text that is not a {kind}")),
            Self::Surrogate => ("text", "half of a surrogate pair in a text".to_owned()),
            Self::NotFinite => ("number", "a number that is not finite".to_owned()),
            Self::Key => ("key", key.to_owned()),
        }
    }
}

/// Appends the day of a time stamp, in microseconds since 1970, that is midnight in UTC.
///
/// # Errors
/// For other times, and for days beyond four digits of a year.
pub fn day(micros: i64, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if micros.rem_euclid(DAY) != 0 {
        return Err(Unfit::Format);
    }
    if !write_date(out, micros.div_euclid(DAY)) {
        return Err(Unfit::Range);
    }
    Ok(())
}

fn word(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Null => "null",
        ValueKind::Boolean => "a boolean",
        ValueKind::Integer => "an integer",
        ValueKind::Number => "a number",
        ValueKind::NotFinite => "a number that is not finite",
        ValueKind::String => "a string",
        ValueKind::Array => "an array",
        ValueKind::Object => "an object",
    }
}
