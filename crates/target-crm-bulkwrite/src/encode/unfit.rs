//! Why a value does not fit its field, as a word that costs nothing until a row is refused.

use zoho::encode::{self, RowError};

use super::Cell;

/// Why a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has no form in the field's type.
    Value(encode::Unfit),
    /// A text of so many characters, of which the field takes fewer.
    Length(usize),
    /// A value that the picklist does not list.
    Picklist,
    /// A separator inside a value of a list.
    Separator,
    /// A NUL, which no field holds.
    Nul,
}

impl From<encode::Unfit> for Unfit {
    fn from(unfit: encode::Unfit) -> Self {
        Self::Value(unfit)
    }
}

impl Unfit {
    /// The error of a row, for the value of this field.
    #[cold]
    pub(crate) fn at(self, cell: &Cell) -> RowError {
        let (code, reason) = match self {
            Self::Value(unfit) => unfit.told(cell.kind(), "the key is missing, null or empty"),
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
            Self::Nul => ("text", "a text with a NUL".to_owned()),
        };
        RowError {
            reason: format!("field `{}`: {reason}", cell.field),
            code,
        }
    }
}
