//! Whether values of one type can be kept in a column of another.

use super::Column;
use crate::model::{Field, Kind, Mode};

/// How a wanted column and one of the table go together.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fit {
    /// Values are written in the table's type; what it cannot keep is refused row by row.
    AsItIs,
    /// Both are RECORDs, whose fields are compared in turn.
    Fields,
    /// The table's column can become this first.
    Widen(Box<Field>),
    /// Hardly any value would fit.
    Conflict,
}

/// How a column meets the field that the table has.
pub(super) fn fit(wanted: &Column, table: &Field) -> Fit {
    if table.kind == Kind::Json && table.mode != Mode::Repeated {
        return Fit::AsItIs;
    }
    if wanted.is_repeated() != (table.mode == Mode::Repeated) {
        return Fit::Conflict;
    }
    let from = &wanted.field.kind;
    let fits = match (&table.kind, from) {
        (Kind::Record, Kind::Record) => return Fit::Fields,
        (Kind::Integer, Kind::Numeric | Kind::BigNumeric) | (Kind::Numeric, Kind::BigNumeric) => {
            return Fit::Widen(Box::new(retyped(table, &wanted.field)));
        }
        (table, from) if table == from => true,
        // Every value has a text.
        (Kind::String, _) => true,
        // Whole numbers, within what a column keeps, are told row by row.
        (
            Kind::Integer | Kind::Float | Kind::Numeric | Kind::BigNumeric,
            Kind::Integer | Kind::Float | Kind::Numeric | Kind::BigNumeric,
        ) => true,
        // A civil time is meant in UTC, a day is its first instant.
        (Kind::Timestamp | Kind::DateTime, Kind::Timestamp | Kind::DateTime | Kind::Date) => true,
        // These two are read from their text, which is checked by the service.
        (Kind::Other(word), Kind::String) => {
            matches!(word.to_uppercase().as_str(), "GEOGRAPHY" | "INTERVAL")
        }
        _ => false,
    };
    if !fits {
        return Fit::Conflict;
    }
    larger(table, &wanted.field).map_or(Fit::AsItIs, |field| Fit::Widen(Box::new(field)))
}

/// The table's field with the type of another.
fn retyped(table: &Field, wanted: &Field) -> Field {
    Field {
        kind: wanted.kind.clone(),
        precision: wanted.precision.clone(),
        scale: wanted.scale.clone(),
        ..table.clone()
    }
}

/// The table's field with the larger length or precision of one of the same type, if it has one.
fn larger(table: &Field, wanted: &Field) -> Option<Field> {
    if table.kind != wanted.kind {
        return None;
    }
    let number = |text: &Option<String>| text.as_deref()?.parse::<u64>().ok();
    if let (Some(has), Some(wants)) = (number(&table.max_length), number(&wanted.max_length)) {
        return (wants > has).then(|| Field {
            max_length: wanted.max_length.clone(),
            ..table.clone()
        });
    }
    let (has, wants) = (number(&table.precision)?, number(&wanted.precision)?);
    let (has_scale, wants_scale) = (
        number(&table.scale).unwrap_or(0),
        number(&wanted.scale).unwrap_or(0),
    );
    // Neither the digits ahead of the point nor those behind it may become fewer.
    let whole = (has.saturating_sub(has_scale)).max(wants.saturating_sub(wants_scale));
    let scale = has_scale.max(wants_scale);
    (whole + scale > has || scale > has_scale).then(|| Field {
        precision: Some((whole + scale).to_string()),
        scale: Some(scale.to_string()),
        ..table.clone()
    })
}
