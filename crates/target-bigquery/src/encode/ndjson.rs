//! Lines of JSON: for load jobs, and with JSON columns as text for `insertAll`.

use singer_core::scan::ValueKind;
use singer_core::value::{write_integer, write_string};
use singer_runtime::target::Record;

use super::json::{self, Rule};
use super::number::{self, Float, Keep};
use super::unfit::{self, Unfit};
use super::{
    Extra, Given, Options, Presence, RowError, bytes, check_missing, check_null, decimal, members,
    temporal, text,
};
use crate::model::Kind;
use crate::schema::Column;

/// Integers beyond this are written as strings, since readers of JSON may take them for doubles.
const MOST_EXACT: u64 = 1 << 53;

/// Appends a record as one line of JSON: its columns, then the extras, then a line break. A column
/// that the record lacks is left out, a null is written. On an error nothing is appended.
///
/// # Errors
/// If a value does not fit its column.
pub fn ndjson(
    record: &Record<'_>,
    columns: &[Column],
    extras: &[(&str, Extra<'_>)],
    options: &Options,
    out: &mut Vec<u8>,
) -> Result<Presence, RowError> {
    let start = out.len();
    let written = line(record, columns, extras, options, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn line(
    record: &Record<'_>,
    columns: &[Column],
    extras: &[(&str, Extra<'_>)],
    options: &Options,
    out: &mut Vec<u8>,
) -> Result<Presence, RowError> {
    let mut presence = Presence::default();
    let mut pen = Pen {
        options,
        unknown_inside: false,
    };
    let mut mark = b'{';
    for (place, column) in columns.iter().enumerate() {
        let Some(given) = record.field(column.index) else {
            check_missing(column)?;
            presence.lacks(place);
            continue;
        };
        out.push(mark);
        mark = b',';
        write_string(out, &column.field.name);
        out.push(b':');
        pen.value(column, given, out)?;
    }
    for (name, extra) in extras {
        out.push(mark);
        mark = b',';
        write_string(out, name);
        out.push(b':');
        write_extra(*extra, out);
    }
    if mark == b'{' {
        out.push(mark);
    }
    out.extend_from_slice(b"}\n");
    presence.unknown_inside = pen.unknown_inside;
    Ok(presence)
}

fn write_extra(extra: Extra<'_>, out: &mut Vec<u8>) {
    match extra {
        Extra::Null => out.extend_from_slice(b"null"),
        Extra::Bool(value) => write_bool(value, out),
        Extra::Integer(value) => write_int(value, out),
        Extra::Text(value) => write_string(out, value),
        Extra::Timestamp(micros) => {
            quoted(out, |out| temporal::write_timestamp(micros, out));
        }
    }
}

/// What every value of a row is written with.
struct Pen<'a> {
    options: &'a Options,
    unknown_inside: bool,
}

impl Pen<'_> {
    fn value(
        &mut self,
        column: &Column,
        given: Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        if given.0 == ValueKind::Null {
            check_null(column)?;
            out.extend_from_slice(if column.is_repeated() { b"[]" } else { b"null" });
            return Ok(());
        }
        if !column.is_repeated() {
            return self.one(column, given, out);
        }
        let (kind, json) = given;
        if kind != ValueKind::Array && json.first() != Some(&b'[') {
            return Err(Unfit::Kind(kind).at(column));
        }
        out.push(b'[');
        let start = out.len();
        members::array(json, |element| {
            if out.len() > start {
                out.push(b',');
            }
            if element.0 == ValueKind::Null {
                return Err(Unfit::NullElement.at(column));
            }
            self.one(column, element, out)
        })?;
        out.push(b']');
        Ok(())
    }

    fn one(
        &mut self,
        column: &Column,
        given: Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        if column.field.kind == Kind::Record {
            return self.record(column, given, out);
        }
        self.scalar(column, given, out)
            .map_err(|unfit| unfit.at(column))
    }

    fn record(
        &mut self,
        column: &Column,
        (kind, json): Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        if json.first() != Some(&b'{') {
            return Err(Unfit::Kind(kind).at(column));
        }
        let has_unknown = members::object(json, &column.columns, column.guessed, |values| {
            let mut mark = b'{';
            for (inner, value) in column.columns.iter().zip(values) {
                let written = match value {
                    None => check_missing(inner),
                    Some(given) => {
                        out.push(mark);
                        mark = b',';
                        write_string(out, &inner.field.name);
                        out.push(b':');
                        self.value(inner, *given, out)
                    }
                };
                written.map_err(|error| unfit::inside(column, error))?;
            }
            if mark == b'{' {
                out.push(mark);
            }
            out.push(b'}');
            Ok(())
        })?;
        self.unknown_inside |= has_unknown;
        Ok(())
    }

    fn scalar(&self, column: &Column, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let fractions = self.options.fractions;
        match column.field.kind {
            Kind::String | Kind::Other(_) => return write_text(column, given, out),
            Kind::Bytes => return write_bytes(column, given, out),
            Kind::Json => return self.json(given, out),
            Kind::Integer => write_int(number::integer(given)?, out),
            Kind::Float => match number::float(given, Keep::of(column, self.options))? {
                Float::Finite(text) => out.extend_from_slice(text),
                Float::Special(word, _) => {
                    quoted(out, |out| out.extend_from_slice(word.as_bytes()));
                }
            },
            Kind::Numeric | Kind::BigNumeric => {
                out.push(b'"');
                decimal::write(&column.field, given, out)?;
                out.push(b'"');
            }
            Kind::Boolean => write_bool(number::boolean(given)?, out),
            Kind::Timestamp => {
                let micros = temporal::timestamp(given, fractions)?;
                quoted(out, |out| temporal::write_timestamp(micros, out));
            }
            Kind::DateTime => {
                let micros = temporal::timestamp(given, fractions)?;
                quoted(out, |out| temporal::write_datetime(micros, out));
            }
            Kind::Date => {
                let days = temporal::date(given)?;
                quoted(out, |out| temporal::write_date(days, out));
            }
            Kind::Time => {
                let micros = temporal::time_of_day(given, fractions)?;
                quoted(out, |out| temporal::write_time(micros, out));
            }
            Kind::Record => return Err(Unfit::Kind(given.0)),
        }
        Ok(())
    }

    fn json(&self, (kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if kind == ValueKind::NotFinite {
            return Err(Unfit::NotFinite);
        }
        json::write_column(json, self.options.numbers, self.options.json, out)
    }
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    if value.unsigned_abs() <= MOST_EXACT {
        write_integer(out, value);
    } else {
        quoted(out, |out| write_integer(out, value));
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Text stays as it is, escapes and all; everything else becomes the text of its JSON.
fn write_text(column: &Column, (kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let start = out.len();
    match kind {
        ValueKind::String => {
            text::check(text::inner(json))?;
            out.extend_from_slice(json);
        }
        ValueKind::Array | ValueKind::Object => json::write_as_text(json, Rule::Text, out)?,
        ValueKind::NotFinite if matches!(json.first(), Some(b'[' | b'{')) => {
            return Err(Unfit::NotFinite);
        }
        _ => quoted(out, |out| out.extend_from_slice(json)),
    }
    if let Some(most) = column.max_length() {
        let written = out.get(start + 1..out.len() - 1).unwrap_or_default();
        if text::length(written)? > most {
            return Err(Unfit::Length);
        }
    }
    Ok(())
}

fn write_bytes(column: &Column, (kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if kind != ValueKind::String {
        return Err(Unfit::Kind(kind));
    }
    let text = text::plain(text::inner(json))?;
    out.push(b'"');
    let size = bytes::write_base64(&text, column.spelling, out)?;
    out.push(b'"');
    match column.max_length() {
        Some(most) if size > most => Err(Unfit::Length),
        _ => Ok(()),
    }
}
