//! Why a value does not fit its column, as a word that costs nothing until a row is refused.

use singer_core::scan::{EscapeError, ValueKind};

use super::RowError;
use crate::model::Mode;
use crate::schema::{Column, sql_type};

/// Why a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A value of this kind has no form in the column's type.
    Kind(ValueKind),
    /// Beyond what the type reaches.
    Range,
    /// More digits than the type keeps.
    Precision,
    /// A fraction of a second beyond microseconds.
    Fraction,
    /// A text that is not one of the type.
    Format,
    /// Longer than the column.
    Length,
    /// Null or missing where the column is REQUIRED.
    Required,
    /// Null in an array.
    NullElement,
    /// Half of a surrogate pair, which no text has.
    Surrogate,
    /// `NaN` or an infinity where there is none.
    NotFinite,
    /// A number that a JSON column does not keep.
    JsonNumber,
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
    pub(super) fn at(self, column: &Column) -> RowError {
        let (code, reason) = self.words(column);
        RowError {
            field: column.field.name.clone(),
            reason,
            code,
        }
    }

    fn words(self, column: &Column) -> (&'static str, String) {
        let field = &column.field;
        let one = crate::model::Field {
            mode: Mode::Nullable,
            ..field.clone()
        };
        let name = match field.kind {
            crate::model::Kind::Record => "RECORD".to_owned(),
            _ => sql_type(&one),
        };
        match self {
            Self::Kind(ValueKind::NotFinite) | Self::NotFinite => (
                "number",
                format!("a number that is not finite cannot be a {name}"),
            ),
            Self::Kind(kind) => {
                let many = if column.is_repeated() {
                    " of a list"
                } else {
                    ""
                };
                ("type", format!("{} cannot be a {name}{many}", word(kind)))
            }
            Self::Range => ("range", format!("a value beyond the range of {name}")),
            Self::Precision => ("precision", format!("more digits than {name} keeps")),
            Self::Fraction => (
                "precision",
                format!("a fraction of a second finer than the microseconds of {name}"),
            ),
            Self::Format => ("format", format!("a text that is not a {name}")),
            Self::Length => ("length", format!("a text longer than {name}")),
            Self::Required => ("null", "null in a REQUIRED column".to_owned()),
            Self::NullElement => ("null", "null in a REPEATED column".to_owned()),
            Self::Surrogate => ("text", "half of a surrogate pair in a text".to_owned()),
            Self::JsonNumber => (
                "precision",
                "a number that a JSON column would round".to_owned(),
            ),
        }
    }
}

fn word(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Null => "null",
        ValueKind::Boolean => "a boolean",
        ValueKind::Integer => "an integer",
        ValueKind::Number | ValueKind::NotFinite => "a number",
        ValueKind::String => "a string",
        ValueKind::Array => "an array",
        ValueKind::Object => "an object",
    }
}

/// The same error for a value inside a RECORD.
#[cold]
pub(super) fn inside(column: &Column, mut error: RowError) -> RowError {
    error.field = format!("{}.{}", column.field.name, error.field);
    error
}
