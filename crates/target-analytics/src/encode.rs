//! Cells: the values of records become CSV, each in the form that its column's type reads.
//!
//! Values are read straight from the bytes of the record and printed again; no JSON tree is built and
//! nothing is allocated per cell. A value that its column cannot hold makes the row an error that shows
//! no value.
//!
//! Text always stands in quotes, so that no line begins with the sign of a comment; everything else is
//! digits, letters and signs that need none. A null is an empty cell, as is an empty text to Analytics.

use serde::Deserialize;
use serde::de::IgnoredAny;
use singer_core::scan::ValueKind;
use singer_core::value::write_integer;
use singer_runtime::target::Record;
use zoho::encode::text::unquoted;
use zoho::encode::{Given, Unfit, number};

use crate::config::{Milliseconds, Supplementary};
use crate::model::DataType;

pub(crate) use zoho::encode::RowError;

mod temporal;
#[cfg(test)]
mod tests;
mod text;

/// How a column's cells are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Integer,
    Positive,
    Decimal,
    Boolean,
    DateTime,
    Date,
    Time,
}

/// Where the value of a cell comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The property with this place in the layout of the schema.
    Property(usize),
    /// The version of the full table that the record belongs to.
    Version,
    /// Nowhere: the cell is empty.
    Nothing,
}

/// A column that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Where its values come from.
    pub(crate) source: Source,
    /// Whether a record without the property has an empty cell, instead of none.
    pub(crate) always: bool,
    /// Its name in the table.
    pub(crate) column: String,
    /// Its type there.
    pub(crate) kind: DataType,
    /// Whether it is of the key.
    pub(crate) is_key: bool,
    /// Whether it marks rows that were deleted at the source.
    pub(crate) is_mark: bool,
    form: Form,
}

impl Cell {
    pub(crate) fn new(source: Source, column: &str, kind: DataType, is_key: bool) -> Self {
        let form = match kind {
            DataType::Number => Form::Integer,
            DataType::PositiveNumber => Form::Positive,
            DataType::Boolean => Form::Boolean,
            DataType::DateTime => Form::DateTime,
            DataType::Date => Form::Date,
            DataType::Time => Form::Time,
            ref other if other.is_decimal() => Form::Decimal,
            _ => Form::Text,
        };
        Self {
            source,
            always: !matches!(source, Source::Property(_)),
            column: column.to_owned(),
            kind,
            is_key,
            is_mark: false,
            form,
        }
    }

    /// What a record has for it; `None` if the record says nothing.
    fn given<'a>(&self, record: &Record<'a>) -> Option<Given<'a>> {
        match self.source {
            Source::Property(property) if self.is_mark => mark(record, property),
            Source::Property(property) => record.field(property),
            Source::Version | Source::Nothing => None,
        }
    }

    /// The error of a row whose value for this column does not fit.
    #[cold]
    pub(crate) fn refuse(&self, unfit: Unfit) -> RowError {
        let key = "a part of the key is null or empty, which is the same to Analytics";
        let (code, reason) = unfit.told(&self.kind.to_string(), key);
        RowError {
            reason: format!("column `{}`: {reason}", self.column),
            code,
        }
    }

    /// Whether a record has a cell for it.
    pub(crate) fn is_in(&self, record: &Record<'_>) -> bool {
        self.always || self.given(record).is_some()
    }
}

/// The mark of a row that was deleted at the source. Of several records with one key the last one tells,
/// also by having no mark: what an earlier one says of this is no longer so.
pub(crate) fn mark<'a>(record: &Record<'a>, property: usize) -> Option<Given<'a>> {
    #[derive(Deserialize)]
    struct Marked {
        #[serde(rename = "_sdc_deleted_at")]
        mark: Option<IgnoredAny>,
    }
    let given = record.field(property)?;
    if given.0 == ValueKind::Null {
        return Some(given);
    }
    let has_mark = |text| match serde_json::from_slice::<Marked>(text) {
        Ok(marked) => marked.mark.is_some(),
        // A number that is not finite is no JSON; the row is at fault for other reasons.
        Err(_) => true,
    };
    let mut texts = record.texts();
    texts.next();
    texts.last().is_none_or(has_mark).then_some(given)
}

/// Where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) milliseconds: Milliseconds,
    pub(crate) supplementary: Supplementary,
    /// Whether a value that does not fit leaves its cell empty, instead of making the row an error.
    pub(crate) empties: bool,
}

impl Options {
    /// The pattern of date-times.
    pub(crate) fn date_time_pattern(self) -> &'static str {
        match self.milliseconds {
            Milliseconds::Keep => "yyyy-MM-dd HH:mm:ss.SSS",
            Milliseconds::Drop => "yyyy-MM-dd HH:mm:ss",
        }
    }
}

/// Appends a record as a line; returns how many cells were left empty since their values do not fit. On
/// an error nothing is appended.
///
/// # Errors
/// If a value does not fit its column, or a part of the key is null.
pub(crate) fn line(
    record: &Record<'_>,
    cells: &[&Cell],
    options: Options,
    out: &mut Vec<u8>,
) -> Result<u64, RowError> {
    let start = out.len();
    let mut emptied = 0;
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let begin = out.len();
        let written = match cell.given(record) {
            Some(given) if given.0 != ValueKind::Null => write(cell, given, options, out),
            _ => {
                if cell.source == Source::Version
                    && let Some(version) = record.version()
                {
                    write_integer(out, version);
                }
                Ok(())
            }
        };
        let is_empty = || matches!(out.get(begin..), Some(b"" | b"\"\""));
        let written = match written {
            Ok(()) if cell.is_key && is_empty() => Err(Unfit::Key),
            other => other,
        };
        match written {
            Ok(()) => {}
            Err(_) if options.empties && !cell.is_key => {
                out.truncate(begin);
                emptied += 1;
            }
            Err(unfit) => {
                out.truncate(start);
                return Err(cell.refuse(unfit));
            }
        }
    }
    if out.len() == start {
        // An empty line is no row.
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
    Ok(emptied)
}

/// Appends one value, which is not null, as a cell.
fn write(cell: &Cell, given: Given<'_>, options: Options, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match cell.form {
        Form::Text => text::write(given, options.supplementary, out),
        Form::Integer => number::integer(given, out),
        Form::Positive => positive(given, out),
        Form::Decimal => number::decimal(given, out),
        Form::Boolean => number::boolean(given, out),
        Form::DateTime => temporal::date_time(given, options.milliseconds, out),
        Form::Date => temporal::date(given, out),
        Form::Time => temporal::time(given, out),
    }
}

fn positive(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = number::whole(given)?;
    if number < 0 {
        return Err(Unfit::Range);
    }
    write_integer(out, number);
    Ok(())
}

/// The value of a record for a call about one row, where every value is a text. `None` is a null, or a
/// value that does not fit and is counted as such.
///
/// # Errors
/// If it does not fit its column.
pub(crate) fn value(
    record: &Record<'_>,
    cell: &Cell,
    options: Options,
    emptied: &mut u64,
) -> Result<Option<String>, RowError> {
    if cell.source == Source::Version {
        return Ok(record.version().map(|version| version.to_string()));
    }
    let given = cell.given(record).filter(|it| it.0 != ValueKind::Null);
    let Some(given) = given else {
        return if cell.is_key {
            Err(cell.refuse(Unfit::Key))
        } else {
            Ok(None)
        };
    };
    let mut out = Vec::new();
    match write(cell, given, options, &mut out) {
        Ok(()) => {}
        Err(_) if options.empties && !cell.is_key => {
            *emptied += 1;
            return Ok(None);
        }
        Err(unfit) => return Err(cell.refuse(unfit)),
    }
    let text = if cell.form == Form::Text {
        unquoted(&out).into_owned()
    } else {
        String::from_utf8_lossy(&out).into_owned()
    };
    if cell.is_key && text.is_empty() {
        return Err(cell.refuse(Unfit::Key));
    }
    Ok(Some(text))
}

/// A value of a record as it stands in criteria: a number bare, a text in single quotes.
///
/// # Errors
/// If it does not fit its column, or is null.
pub(crate) fn literal(
    record: &Record<'_>,
    cell: &Cell,
    options: Options,
) -> Result<String, RowError> {
    let text = value(record, cell, options, &mut 0)?.ok_or_else(|| cell.refuse(Unfit::Key))?;
    Ok(match cell.form {
        Form::Integer | Form::Positive | Form::Decimal => text,
        _ => format!("'{}'", text.replace('\'', "''")),
    })
}
