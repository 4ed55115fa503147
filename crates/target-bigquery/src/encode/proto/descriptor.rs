//! The `DescriptorProto` of a row: one self-contained message, with those of RECORDs inside it.

use super::super::ExtraKind;
use super::is_packed;
use super::wire::{DELIMITED, VARINT, tag, write_delimited, write_varint};
use crate::model::Kind;
use crate::schema::Column;

/// `FieldDescriptorProto.Type`
const DOUBLE: u64 = 1;
const INT64: u64 = 3;
const INT32: u64 = 5;
const BOOL: u64 = 8;
const STRING: u64 = 9;
const MESSAGE: u64 = 11;
const BYTES: u64 = 12;
/// `FieldDescriptorProto.Label`
const OPTIONAL: u64 = 1;
const REPEATED: u64 = 3;
/// The option of the Storage Write API with the name of a column that no field can have.
const COLUMN_NAME: u32 = 454_943_157;

/// A field of a message, as far as a descriptor shows it.
struct Shown<'a> {
    name: &'a str,
    number: u32,
    label: u64,
    kind: u64,
    /// The name of the message that it holds.
    message: Option<String>,
    is_packed: bool,
}

/// The encoded proto2 `DescriptorProto` of rows with these columns, numbered from 1 on, and these
/// extras behind them. Fields are called as their columns are.
pub fn descriptor(columns: &[Column], extras: &[(&str, ExtraKind)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message("Row", columns, extras, &mut out);
    out
}

fn write_message(name: &str, columns: &[Column], extras: &[(&str, ExtraKind)], out: &mut Vec<u8>) {
    write_text(1, name, out);
    for (number, column) in (1..).zip(columns) {
        write_field(&shown(number, column, columns), out);
    }
    for (number, (name, kind)) in (columns.len() as u32 + 1..).zip(extras) {
        let kind = match kind {
            ExtraKind::Bool => BOOL,
            ExtraKind::Integer | ExtraKind::Timestamp => INT64,
            ExtraKind::Text => STRING,
        };
        let field = Shown {
            name,
            number,
            label: OPTIONAL,
            kind,
            message: None,
            is_packed: false,
        };
        write_field(&field, out);
    }
    for (number, column) in (1u32..).zip(columns) {
        if column.field.kind == Kind::Record {
            write_part(3, out, |out| {
                write_message(&message_name(number, columns), &column.columns, &[], out);
            });
        }
    }
}

/// A name that no field beside the message has.
fn message_name(number: u32, columns: &[Column]) -> String {
    let mut name = format!("Record{number}");
    while columns.iter().any(|column| column.field.name == name) {
        name.push('_');
    }
    name
}

fn shown<'a>(number: u32, column: &'a Column, columns: &[Column]) -> Shown<'a> {
    let kind = match column.field.kind {
        Kind::Boolean => BOOL,
        Kind::Integer | Kind::Timestamp => INT64,
        Kind::Date => INT32,
        Kind::Float => DOUBLE,
        Kind::Bytes => BYTES,
        Kind::Record => MESSAGE,
        _ => STRING,
    };
    Shown {
        name: &column.field.name,
        number,
        label: if column.is_repeated() {
            REPEATED
        } else {
            OPTIONAL
        },
        kind,
        message: (kind == MESSAGE).then(|| message_name(number, columns)),
        is_packed: is_packed(column),
    }
}

fn write_field(field: &Shown<'_>, out: &mut Vec<u8>) {
    let is_plain = is_identifier(field.name);
    write_part(2, out, |out| {
        if is_plain {
            write_text(1, field.name, out);
        } else {
            write_text(1, &format!("column_{}", field.number), out);
        }
        for (number, value) in [
            (3, u64::from(field.number)),
            (4, field.label),
            (5, field.kind),
        ] {
            write_varint(u64::from(tag(number, VARINT)), out);
            write_varint(value, out);
        }
        if let Some(message) = &field.message {
            write_text(6, message, out);
        }
        if field.is_packed || !is_plain {
            write_part(8, out, |out| {
                if field.is_packed {
                    write_varint(u64::from(tag(2, VARINT)), out);
                    write_varint(1, out);
                }
                if !is_plain {
                    write_text(COLUMN_NAME, field.name, out);
                }
            });
        }
    });
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn write_text(number: u32, text: &str, out: &mut Vec<u8>) {
    write_part(number, out, |out| out.extend_from_slice(text.as_bytes()));
}

fn write_part(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write_varint(u64::from(tag(number, DELIMITED)), out);
    let Ok(()) = write_delimited(out, |out| {
        write(out);
        Ok::<(), std::convert::Infallible>(())
    });
}
