//! Rows: records become lines of JSON for load jobs and `insertAll`, or protobuf messages for the
//! Storage Write API.
//!
//! Values are read straight from the bytes of the record, checked against the type of their column
//! and printed again. Nothing is rounded or cut in silence: what a column cannot keep makes the row
//! an error that shows no value. No JSON tree is built and nothing is allocated per field.

use singer_core::scan::ValueKind;

use crate::model::Mode;
use crate::schema::{Column, has_default};
use unfit::Unfit;

pub use bounds::{Bounds, string_literal};
pub use ndjson::ndjson;
pub use proto::{ProtoEncoder, descriptor};

mod bounds;
mod bytes;
mod decimal;
mod json;
mod members;
mod ndjson;
mod number;
mod proto;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod unfit;

/// A property's value: its kind and its JSON.
pub(crate) type Given<'a> = (ValueKind, &'a [u8]);

/// Why a record cannot be a row. It shows no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The column, with the names of the RECORDs around it and points between them.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// One word for it: `type`, `range`, `precision`, `format`, `length`, `null`, `text`, `number`.
    pub code: &'static str,
}

/// A value that the target adds to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra<'a> {
    /// None.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// Text.
    Text(&'a str),
    /// An instant, in microseconds since 1970.
    Timestamp(i64),
}

/// The type of a value that the target adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraKind {
    /// BOOLEAN
    Bool,
    /// INTEGER
    Integer,
    /// STRING
    Text,
    /// TIMESTAMP
    Timestamp,
}

/// How the values of JSON columns stand in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonForm {
    /// As they are: load jobs.
    #[default]
    Value,
    /// As text: `insertAll`.
    Text,
}

/// What becomes of numbers that a double or a JSON column does not keep exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// The row is an error.
    #[default]
    Exact,
    /// The service rounds them.
    Round,
}

/// What becomes of fractions of a second beyond microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fractions {
    /// The row is an error, unless the digits are zeros.
    #[default]
    Exact,
    /// They are cut off.
    Cut,
}

/// How rows are written where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// JSON columns, in lines of JSON.
    pub json: JsonForm,
    /// Numbers.
    pub numbers: Numbers,
    /// Fractions of a second.
    pub fractions: Fractions,
}

/// What a record had of its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// The first 128 columns, a bit each.
    missing: u128,
    /// The others, in order.
    more: Vec<usize>,
    unknown_inside: bool,
}

impl Presence {
    /// Whether the record had every column.
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.more.is_empty()
    }

    /// The places (in the list of columns) of those that the record lacked, in order.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        let mut rest = self.missing;
        let first = std::iter::from_fn(move || {
            let place = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (place < 128).then_some(place)
        });
        first.chain(self.more.iter().copied())
    }

    /// Whether an object inside had properties that its schema does not list; they were left out.
    pub fn has_unknown_inside(&self) -> bool {
        self.unknown_inside
    }

    fn lacks(&mut self, place: usize) {
        if place < 128 {
            self.missing |= 1 << place;
        } else {
            self.more.push(place);
        }
    }
}

/// Checks that a value may be null.
fn check_null(column: &Column) -> Result<(), RowError> {
    if column.field.mode == Mode::Required {
        return Err(Unfit::Required.at(column));
    }
    Ok(())
}

/// Checks that a value may be missing: the table may have one of its own.
fn check_missing(column: &Column) -> Result<(), RowError> {
    if has_default(&column.field) {
        return Ok(());
    }
    check_null(column)
}
