//! Why a value does not fit its column, as a word that costs nothing until a row is refused.

use singer_core::scan::{EscapeError, ValueKind};

use super::Cell;

/// Why a record cannot be a row. It shows no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowError {
    /// The column and what is wrong.
    pub(crate) reason: String,
    /// One word for it.
    pub(crate) code: &'static str,
}

/// Why a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
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
    /// The error of a row, for the value of this column.
    #[cold]
    pub(crate) fn at(self, cell: &Cell) -> RowError {
        let kind = &cell.kind;
        let (code, reason) = match self {
            Self::Kind(given) => ("type", format!("{} cannot be a {kind}", word(given))),
            Self::Range => ("range", format!("a value beyond the range of {kind}")),
            Self::Fraction => (
                "precision",
                format!("a fraction, which {kind} does not keep"),
            ),
            Self::Format => ("format", format!("a text that is not a {kind}")),
            Self::Surrogate => ("text", "half of a surrogate pair in a text".to_owned()),
            Self::NotFinite => ("number", "a number that is not finite".to_owned()),
            Self::Key => (
                "key",
                "a part of the key is null or empty, which is the same to Analytics".to_owned(),
            ),
        };
        RowError {
            reason: format!("column `{}`: {reason}", cell.column),
            code,
        }
    }
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
