//! Cells: the values of records become CSV, each in the form that its field's type takes.
//!
//! Values are read straight from the bytes of the record and printed again; no JSON tree is built and
//! nothing is allocated per cell. A value that its field cannot hold makes the row an error that shows no
//! value. Text always stands in quotes; everything else is digits, letters and signs that need none.

use std::collections::HashSet;
use std::sync::Arc;

use chrono_tz::Tz;
use singer_core::scan::ValueKind;
use singer_runtime::target::Record;
use zoho::encode::{self, Given, number};

pub(crate) use temporal::{DATE_PATTERN, DATE_TIME_PATTERN};
pub(crate) use unfit::Unfit;
pub(crate) use zoho::encode::RowError;
pub(crate) use zoho::encode::text::unquoted;

mod lookup;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod unfit;

/// How a field's cells are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Text,
    /// Several values, divided by `;`.
    List,
    /// A whole number of 64 bits.
    Integer,
    /// A number with every digit.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// A day.
    Date,
    /// A wall time in this zone.
    DateTime(Tz),
    /// Another record, found by this field of it.
    Lookup(String),
}

/// A field that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The property with this place in the layout of the schema.
    pub(crate) property: usize,
    /// The field's API name.
    pub(crate) field: String,
    /// How it is written.
    pub(crate) form: Form,
    /// Whether a row without it is none.
    pub(crate) is_key: bool,
    /// Whether it says only that the record was deleted at the source.
    pub(crate) is_mark: bool,
    /// Characters at most.
    pub(crate) max_length: Option<usize>,
    /// The values that it takes, if others are refused here.
    pub(crate) listed: Option<Arc<HashSet<String>>>,
}

impl Cell {
    /// A field that holds what the property has.
    pub(crate) fn new(property: usize, field: &str, form: Form) -> Self {
        Self {
            property,
            field: field.to_owned(),
            form,
            is_key: false,
            is_mark: false,
            max_length: None,
            listed: None,
        }
    }

    /// The word for its type in errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self.form {
            Form::Text => "text",
            Form::List => "list of values",
            Form::Integer => "whole number",
            Form::Decimal => "number",
            Form::Boolean => "boolean",
            Form::Date => "date",
            Form::DateTime(_) => "date-time",
            Form::Lookup(_) => "lookup",
        }
    }

    /// The pattern that the job is told, if the type has one.
    pub(crate) fn pattern(&self) -> Option<&'static str> {
        match self.form {
            Form::Date => Some(DATE_PATTERN),
            Form::DateTime(_) => Some(DATE_TIME_PATTERN),
            _ => None,
        }
    }

    /// Whether a record says anything for it.
    pub(crate) fn is_in(&self, record: &Record<'_>) -> bool {
        self.is_mark || record.field(self.property).is_some()
    }
}

/// Appends a record as a line. On an error nothing is appended.
///
/// # Errors
/// If a value does not fit its field, or the key has none.
pub(crate) fn line(
    record: &Record<'_>,
    cells: &[&Cell],
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    let start = out.len();
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if let Err(unfit) = value(record, cell, out) {
            out.truncate(start);
            return Err(unfit.at(cell));
        }
    }
    if out.len() == start {
        // An empty line is no row.
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
    Ok(())
}

/// Appends the value that a record has for a cell; nothing for null.
pub(crate) fn value(record: &Record<'_>, cell: &Cell, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let begin = out.len();
    let given = record
        .field(cell.property)
        .filter(|given| given.0 != ValueKind::Null);
    match given {
        _ if cell.is_mark && cell.form == Form::Boolean => {
            let word: &[u8] = if given.is_some() { b"true" } else { b"false" };
            out.extend_from_slice(word);
        }
        Some(given) => write(cell, given, out)?,
        None => {}
    }
    if cell.is_key && matches!(out.get(begin..), Some(b"" | b"\"\"")) {
        return Err(encode::Unfit::Key.into());
    }
    Ok(())
}

/// Appends one value, which is not null.
fn write(cell: &Cell, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let begin = out.len();
    match &cell.form {
        Form::Text => text::write(given, out)?,
        Form::List => return text::write_list(given, cell.listed.as_deref(), out),
        Form::Integer => number::integer(given, out)?,
        Form::Decimal => number::decimal(given, out)?,
        Form::Boolean => number::boolean(given, out)?,
        Form::Date => temporal::date(given, out)?,
        Form::DateTime(zone) => temporal::date_time(given, *zone, out)?,
        Form::Lookup(find_by) => return lookup::write(given, find_by, out),
    }
    if cell.form != Form::Text {
        return Ok(());
    }
    let written = out.get(begin..).unwrap_or_default();
    if let Some(most) = cell.max_length
        && let Some(length) = text::longer_than(written, most)
    {
        return Err(Unfit::Length(length));
    }
    if let Some(listed) = &cell.listed {
        let value = unquoted(written);
        if !value.is_empty() && !listed.contains(&*value) {
            return Err(Unfit::Picklist);
        }
    }
    Ok(())
}
