//! Why a value does not fit its field, as a word that costs nothing until a row is refused.

use singer_core::scan::{EscapeError, ValueKind};

use super::Cell;

/// Why a record cannot be a row. It shows no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowError {
    /// The field and what is wrong.
    pub(crate) reason: String,
    /// One word for it.
    pub(crate) code: &'static str,
}

/// Why a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A value of this kind has no form in the field's type.
    Kind(ValueKind),
    /// Beyond what the type reaches.
    Range,
    /// A fraction where there is none.
    Fraction,
    /// A text that is not one of the type.
    Format,
    /// A text of so many characters, of which the field takes fewer.
    Length(usize),
    /// A value that the picklist does not list.
    Picklist,
    /// A separator inside a value of a list.
    Separator,
    /// A character that no table holds.
    Character,
    /// `NaN` or an infinity.
    NotFinite,
    /// No value for the key.
    Key,
}

impl From<EscapeError> for Unfit {
    fn from(error: EscapeError) -> Self {
        match error {
            EscapeError::Unknown => Self::Format,
            EscapeError::HalfSurrogate => Self::Character,
        }
    }
}

impl Unfit {
    /// The error of a row, for the value of this field.
    #[cold]
    pub(crate) fn at(self, cell: &Cell) -> RowError {
        let kind = cell.kind();
        let (code, reason) = match self {
            Self::Kind(given) => ("type", format!("{} cannot be a {kind}", word(given))),
            Self::Range => ("range", format!("a value beyond the range of a {kind}")),
            Self::Fraction => (
                "precision",
                format!("a fraction, which a {kind} does not keep"),
            ),
            Self::Format => ("format", format!("a text that is not a {kind}")),
            Self::Length(length) => (
                "length",
                match cell.max_length {
                    Some(most) => format!("a text of {length} characters, the field takes {most}"),
                    None => format!("a text of {length} characters is too long"),
                },
            ),
            Self::Picklist => (
                "picklist",
                "a value that the picklist does not list".to_owned(),
            ),
            Self::Separator => (
                "separator",
                "a value of the list holds `;`, which divides values".to_owned(),
            ),
            Self::Character => (
                "text",
                "a text with a NUL or half of a surrogate pair".to_owned(),
            ),
            Self::NotFinite => ("number", "a number that is not finite".to_owned()),
            Self::Key => ("key", "the key is missing, null or empty".to_owned()),
        };
        RowError {
            reason: format!("field `{}`: {reason}", cell.field),
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
