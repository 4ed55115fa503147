//! Protobuf rows for the Storage Write API, written by hand: a tag and a value for each field that
//! the record has. The message that they are of is in [`descriptor()`].
//!
//! proto2: a field that was set is written whatever its value; null and missing are left out.

use singer_core::scan::ValueKind;
use singer_runtime::target::Record;

use super::json::{self, Rule};
use super::number::{self, Keep};
use super::unfit::{self, Unfit};
use super::{
    Extra, ExtraKind, Given, Options, Presence, RowError, bytes, check_missing, check_null,
    decimal, members, temporal, text,
};
use crate::model::Kind;
use crate::schema::Column;
use wire::{write_delimited, write_varint};

pub use descriptor::descriptor;

mod descriptor;
mod wire;

/// Writes the rows of one stream; its tags are made once.
#[derive(Debug, Clone)]
pub struct ProtoEncoder {
    nodes: Vec<Node>,
    extras: Vec<(u32, ExtraKind)>,
    options: Options,
}

/// A column with its place in the message.
#[derive(Debug, Clone)]
struct Node {
    column: Column,
    tag: u32,
    inside: Vec<Node>,
}

impl Node {
    fn all(columns: &[Column]) -> Vec<Self> {
        (1..)
            .zip(columns)
            .map(|(number, column)| Self {
                column: column.clone(),
                tag: wire::tag(number, wire_type(column)),
                inside: Self::all(&column.columns),
            })
            .collect()
    }
}

fn wire_type(column: &Column) -> u32 {
    match column.field.kind {
        _ if column.is_repeated() => wire::DELIMITED,
        Kind::Boolean | Kind::Integer | Kind::Timestamp | Kind::Date => wire::VARINT,
        Kind::Float => wire::FIXED_64,
        _ => wire::DELIMITED,
    }
}

/// Whether many values stand in one field: numbers of any kind do.
fn is_packed(column: &Column) -> bool {
    column.is_repeated()
        && matches!(
            column.field.kind,
            Kind::Boolean | Kind::Integer | Kind::Timestamp | Kind::Date | Kind::Float
        )
}

impl ProtoEncoder {
    /// An encoder for messages of the [`descriptor()`] of these columns and extras.
    pub fn new(columns: &[Column], extras: &[(&str, ExtraKind)], options: Options) -> Self {
        let first = columns.len() as u32 + 1;
        Self {
            nodes: Node::all(columns),
            extras: (first..)
                .zip(extras)
                .map(|(number, (_, kind))| {
                    let wire_type = match kind {
                        ExtraKind::Text => wire::DELIMITED,
                        _ => wire::VARINT,
                    };
                    (wire::tag(number, wire_type), *kind)
                })
                .collect(),
            options,
        }
    }

    /// Appends the message of a record, with the extras in the order of their kinds. On an error
    /// nothing is appended.
    ///
    /// # Errors
    /// If a value does not fit its column.
    pub fn encode(
        &self,
        record: &Record<'_>,
        extras: &[Extra<'_>],
        out: &mut Vec<u8>,
    ) -> Result<Presence, RowError> {
        let start = out.len();
        let written = self.message(record, extras, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn message(
        &self,
        record: &Record<'_>,
        extras: &[Extra<'_>],
        out: &mut Vec<u8>,
    ) -> Result<Presence, RowError> {
        let mut presence = Presence::default();
        let mut pen = Pen {
            options: &self.options,
            unknown_inside: false,
        };
        for (place, node) in self.nodes.iter().enumerate() {
            match record.field(node.column.index) {
                None => {
                    check_missing(&node.column)?;
                    presence.lacks(place);
                }
                Some(given) => pen.field(node, given, out)?,
            }
        }
        debug_assert_eq!(
            extras.len(),
            self.extras.len(),
            "extras come with their kinds"
        );
        for ((tag, _), extra) in self.extras.iter().zip(extras) {
            write_extra(*tag, *extra, out);
        }
        presence.unknown_inside = pen.unknown_inside;
        Ok(presence)
    }
}

fn write_extra(tag: u32, extra: Extra<'_>, out: &mut Vec<u8>) {
    if extra == Extra::Null {
        return;
    }
    write_varint(u64::from(tag), out);
    match extra {
        Extra::Null => {}
        Extra::Bool(value) => out.push(u8::from(value)),
        Extra::Integer(value) | Extra::Timestamp(value) => write_varint(value.cast_unsigned(), out),
        Extra::Text(value) => {
            write_varint(value.len() as u64, out);
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// What every value of a row is written with.
struct Pen<'a> {
    options: &'a Options,
    unknown_inside: bool,
}

impl Pen<'_> {
    /// Appends a field with its tag, or nothing for null.
    fn field(&mut self, node: &Node, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), RowError> {
        let column = &node.column;
        if given.0 == ValueKind::Null {
            return check_null(column);
        }
        if column.is_repeated() {
            return self.list(node, given, out);
        }
        self.tagged(node, given, out)
    }

    fn list(
        &mut self,
        node: &Node,
        (kind, json): Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let column = &node.column;
        if json.first() != Some(&b'[') {
            return Err(Unfit::Kind(kind).at(column));
        }
        let check = |element: Given<'_>| match element.0 {
            ValueKind::Null => Err(Unfit::NullElement.at(column)),
            _ => Ok(()),
        };
        if !is_packed(column) {
            return members::array(json, |element| {
                check(element)?;
                self.tagged(node, element, out)
            });
        }
        let start = out.len();
        write_varint(u64::from(node.tag), out);
        let is_empty = write_delimited(out, |out| {
            let start = out.len();
            members::array(json, |element| {
                check(element)?;
                self.number(column, element, out)
                    .map_err(|unfit| unfit.at(column))
            })?;
            Ok::<_, RowError>(out.len() == start)
        })?;
        if is_empty {
            out.truncate(start);
        }
        Ok(())
    }

    /// One value with its tag.
    fn tagged(&mut self, node: &Node, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), RowError> {
        write_varint(u64::from(node.tag), out);
        let column = &node.column;
        match column.field.kind {
            Kind::Record => self.record(node, given, out),
            Kind::Boolean | Kind::Integer | Kind::Timestamp | Kind::Date | Kind::Float => self
                .number(column, given, out)
                .map_err(|unfit| unfit.at(column)),
            _ => self
                .delimited(column, given, out)
                .map_err(|unfit| unfit.at(column)),
        }
    }

    fn record(
        &mut self,
        node: &Node,
        (kind, json): Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let column = &node.column;
        if json.first() != Some(&b'{') {
            return Err(Unfit::Kind(kind).at(column));
        }
        write_delimited(out, |out| {
            let has_unknown = members::object(json, &column.columns, column.guessed, |values| {
                for (inner, value) in node.inside.iter().zip(values) {
                    let written = match value {
                        None => check_missing(&inner.column),
                        Some(given) => self.field(inner, *given, out),
                    };
                    written.map_err(|error| unfit::inside(column, error))?;
                }
                Ok(())
            })?;
            self.unknown_inside |= has_unknown;
            Ok(())
        })
    }

    /// A value without a length of its own.
    fn number(&self, column: &Column, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let whole = match column.field.kind {
            Kind::Boolean => i64::from(number::boolean(given)?),
            Kind::Integer => number::integer(given)?,
            Kind::Timestamp => temporal::timestamp(given, self.options.fractions)?,
            Kind::Date => temporal::date(given)?,
            _ => {
                let double = number::float(given, Keep::of(column, self.options))?.value();
                out.extend_from_slice(&double.to_le_bytes());
                return Ok(());
            }
        };
        write_varint(whole.cast_unsigned(), out);
        Ok(())
    }

    /// A value with its length ahead of it.
    fn delimited(&self, column: &Column, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let (kind, json) = given;
        let fractions = self.options.fractions;
        match column.field.kind {
            Kind::String | Kind::Other(_) => write_text(column, given, out),
            Kind::Bytes => write_bytes(column, given, out),
            Kind::Json if kind == ValueKind::NotFinite => Err(Unfit::NotFinite),
            Kind::Json => write_delimited(out, |out| {
                json::write(json, Rule::Numbers(self.options.numbers), out)
            }),
            Kind::Numeric | Kind::BigNumeric => {
                write_delimited(out, |out| decimal::write(&column.field, given, out))
            }
            Kind::DateTime => {
                let micros = temporal::timestamp(given, fractions)?;
                write_delimited(out, |out| {
                    temporal::write_datetime(micros, out);
                    Ok(())
                })
            }
            Kind::Time => {
                let micros = temporal::time_of_day(given, fractions)?;
                write_delimited(out, |out| {
                    temporal::write_time(micros, out);
                    Ok(())
                })
            }
            _ => Err(Unfit::Kind(kind)),
        }
    }
}

fn write_text(column: &Column, (kind, json): Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let start = out.len();
    let limit = column.max_length();
    match kind {
        ValueKind::String => {
            let raw = text::inner(json);
            if memchr::memchr(b'\\', raw).is_none() {
                write_varint(raw.len() as u64, out);
                out.extend_from_slice(raw);
            } else {
                write_delimited(out, |out| text::write_plain(raw, out))?;
            }
            if let Some(most) = limit
                && text::length(raw)? > most
            {
                return Err(Unfit::Length);
            }
            return Ok(());
        }
        ValueKind::Array | ValueKind::Object => {
            write_delimited(out, |out| json::write(json, Rule::Text, out))?;
        }
        ValueKind::NotFinite if matches!(json.first(), Some(b'[' | b'{')) => {
            return Err(Unfit::NotFinite);
        }
        _ => {
            write_varint(json.len() as u64, out);
            out.extend_from_slice(json);
        }
    }
    if let Some(most) = limit {
        let text = wire::behind_length(out.get(start..).unwrap_or_default());
        if text::characters(text) > most {
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
    write_delimited(out, |out| {
        let start = out.len();
        bytes::decode(&text, column.spelling, out)?;
        match column.max_length() {
            Some(most) if (out.len() - start) as u64 > most => Err(Unfit::Length),
            _ => Ok(()),
        }
    })
}
