//! Rows in protobuf by the description that the client sends: once per connection the description is
//! laid against the columns, then each row is read by the plan. Facts: sections 3 and 7.

use std::collections::HashMap;

use super::message::{Descriptor, FieldDescriptor};
use super::status::{StorageCode, WriteError};
use super::wire::{self, Broken, Wire};
use crate::bigquery::decode::{self, Form};
use crate::bigquery::literal::{self, Excess};
use crate::bigquery::schema;
use crate::bigquery::table::{Column, Mode, Type};
use crate::bigquery::value::Value;

/// The pseudo-columns of change data capture.
pub(crate) const CHANGE_TYPE: &str = "_CHANGE_TYPE";
pub(crate) const CHANGE_SEQUENCE: &str = "_CHANGE_SEQUENCE_NUMBER";

const LABEL_REPEATED: i32 = 3;

/// How the rows of a connection are read.
#[derive(Debug, Clone)]
pub(crate) struct RowPlan {
    message: MessagePlan,
    /// Whether rows say what they change.
    pub(crate) has_changes: bool,
    excess: Excess,
}

/// One row as it was read.
#[derive(Debug, PartialEq)]
pub(crate) struct DecodedRow {
    pub(crate) values: Vec<Value>,
    pub(crate) change_type: Option<String>,
    pub(crate) sequence: Option<String>,
}

#[derive(Debug, Clone)]
struct MessagePlan {
    fields: HashMap<u32, FieldPlan>,
    columns: Vec<Column>,
    path: String,
}

#[derive(Debug, Clone)]
struct FieldPlan {
    target: Target,
    proto: Proto,
    enum_names: HashMap<i32, String>,
    nested: Option<MessagePlan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Column(usize),
    ChangeType,
    Sequence,
}

/// The types of fields that rows may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proto {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Message,
    Bytes,
    Uint32,
    Enum,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

impl RowPlan {
    /// Lays a description against the columns of a table.
    pub(crate) fn new(
        descriptor: &Descriptor,
        columns: &[Column],
        table: &str,
        excess: Excess,
    ) -> Result<RowPlan, WriteError> {
        let message = MessagePlan::new(&[descriptor], columns, "", table)?;
        let has_changes = message
            .fields
            .values()
            .any(|field| field.target == Target::ChangeType);
        Ok(RowPlan {
            message,
            has_changes,
            excess,
        })
    }

    /// Reads one row; the text says what is wrong with it. `keys` are the columns that a deletion has
    /// to say, which is all that it has to say.
    pub(crate) fn row(&self, bytes: &[u8], keys: &[usize]) -> Result<DecodedRow, String> {
        let mut row = DecodedRow {
            values: Vec::new(),
            change_type: None,
            sequence: None,
        };
        let mut values =
            self.message
                .read(bytes, self.excess, &mut |target, text| match target {
                    Target::ChangeType => row.change_type = Some(text),
                    _ => row.sequence = Some(text),
                })?;
        if row.change_type.as_deref() == Some("DELETE") {
            let columns = self.message.columns.iter().enumerate().zip(&mut values);
            for ((place, column), value) in columns {
                let is_missing = value.is_none() && column.mode == Mode::Required;
                if is_missing && !keys.contains(&place) {
                    *value = Some(Value::Null);
                }
            }
        }
        row.values = self.message.complete(values)?;
        Ok(row)
    }
}

impl MessagePlan {
    fn new(
        scope: &[&Descriptor],
        columns: &[Column],
        path: &str,
        table: &str,
    ) -> Result<MessagePlan, WriteError> {
        let descriptor = scope
            .last()
            .copied()
            .ok_or_else(|| WriteError::invalid("no schema"))?;
        let mut fields = HashMap::new();
        let mut extra = Vec::new();
        for field in &descriptor.fields {
            let name = field.name.as_deref().unwrap_or_default();
            let number = field.number.and_then(|number| u32::try_from(number).ok());
            let Some(number) = number.filter(|number| *number > 0) else {
                return Err(WriteError::invalid(format!(
                    "Invalid proto schema: the field {name} has no number."
                )));
            };
            let target = match name.to_ascii_uppercase().as_str() {
                CHANGE_TYPE if path.is_empty() => Target::ChangeType,
                CHANGE_SEQUENCE if path.is_empty() => Target::Sequence,
                _ => {
                    let place = columns
                        .iter()
                        .position(|column| column.name.eq_ignore_ascii_case(name));
                    let Some(place) = place else {
                        extra.push(join(path, name));
                        continue;
                    };
                    Target::Column(place)
                }
            };
            let plan = FieldPlan::new(field, target, scope, columns, path, table)?;
            if fields.insert(number, plan).is_some() {
                return Err(WriteError::invalid(format!(
                    "Invalid proto schema: the number {number} is used twice."
                )));
            }
        }
        if !extra.is_empty() {
            return Err(WriteError::invalid(format!(
                "Input schema has more fields than BigQuery schema, extra fields: '{}'",
                extra.join(",")
            ))
            .with(StorageCode::SchemaMismatchExtraFields, table));
        }
        Ok(MessagePlan {
            fields,
            columns: columns.to_vec(),
            path: path.to_owned(),
        })
    }

    fn read(
        &self,
        bytes: &[u8],
        excess: Excess,
        pseudo: &mut dyn FnMut(Target, String),
    ) -> Result<Vec<Option<Value>>, String> {
        let mut values: Vec<Option<Value>> = vec![None; self.columns.len()];
        let mut rest = bytes;
        let broken = |_: Broken| "the row is no protobuf message".to_owned();
        while let Some((number, wire)) = wire::next_field(&mut rest).map_err(broken)? {
            let Some(field) = self.fields.get(&number) else {
                return Err(format!(
                    "the row has a field {number} that its schema does not have"
                ));
            };
            match field.target {
                Target::Column(place) => {
                    let column = &self.columns[place];
                    let slot = &mut values[place];
                    field.read(wire, column, slot, excess).map_err(|what| {
                        format!("Field {}: {what}", join(&self.path, &column.name))
                    })?;
                }
                target => {
                    let Wire::Bytes(text) = wire else {
                        return Err("a pseudo-column is no text".to_owned());
                    };
                    pseudo(target, String::from_utf8_lossy(text).into_owned());
                }
            }
        }
        Ok(values)
    }

    /// Fills in what a row may leave out.
    fn complete(&self, values: Vec<Option<Value>>) -> Result<Vec<Value>, String> {
        let mut whole = Vec::with_capacity(values.len());
        for (column, value) in self.columns.iter().zip(values) {
            whole.push(match (value, column.mode) {
                (Some(value), _) => value,
                (None, Mode::Nullable) => Value::Null,
                (None, Mode::Repeated) => Value::Array(Vec::new()),
                (None, Mode::Required) => {
                    return Err(format!(
                        "Field {}: the required field is missing",
                        join(&self.path, &column.name)
                    ));
                }
            });
        }
        Ok(whole)
    }
}

impl FieldPlan {
    fn new(
        field: &FieldDescriptor,
        target: Target,
        scope: &[&Descriptor],
        columns: &[Column],
        path: &str,
        table: &str,
    ) -> Result<FieldPlan, WriteError> {
        let name = field.name.as_deref().unwrap_or_default();
        let location = join(path, name);
        let Some(proto) = Proto::from_number(field.kind.unwrap_or(0)) else {
            return Err(WriteError::invalid(format!(
                "Invalid proto schema: the field {location} has no usable type."
            )));
        };
        let is_repeated = field.label == Some(LABEL_REPEATED);
        let mut plan = FieldPlan {
            target,
            proto,
            enum_names: HashMap::new(),
            nested: None,
        };
        let Target::Column(place) = target else {
            return if proto == Proto::String && !is_repeated {
                Ok(plan)
            } else {
                Err(WriteError::invalid(format!(
                    "The pseudo-column {name} is a single string."
                )))
            };
        };
        let column = &columns[place];
        let mismatch = |what: &str| {
            WriteError::invalid(format!(
                "The proto field mismatched with BigQuery field at {location}, the proto field {what}, BigQuery field type {} mode {}",
                schema::type_name(&column.kind),
                schema::mode_name(column.mode)
            ))
        };
        if is_repeated != (column.mode == Mode::Repeated) {
            return Err(mismatch(if is_repeated {
                "is repeated"
            } else {
                "is not repeated"
            }));
        }
        if !proto.fits(&column.kind) {
            return Err(mismatch(&format!("type {proto:?}")));
        }
        let type_name = field.type_name.as_deref().unwrap_or_default();
        if let Type::Struct(columns) = &column.kind {
            let nested = find_nested(scope, type_name)
                .ok_or_else(|| mismatch("names a message that is not nested in the schema"))?;
            let inner: Vec<&Descriptor> = scope.iter().copied().chain([nested]).collect();
            plan.nested = Some(MessagePlan::new(&inner, columns, &location, table)?);
        }
        if proto == Proto::Enum {
            plan.enum_names = find_enum(scope, type_name);
        }
        Ok(plan)
    }

    fn read(
        &self,
        wire: Wire<'_>,
        column: &Column,
        slot: &mut Option<Value>,
        excess: Excess,
    ) -> Result<(), String> {
        if column.mode != Mode::Repeated {
            *slot = Some(self.single(wire, column, excess)?);
            return Ok(());
        }
        let Value::Array(values) = slot.get_or_insert_with(|| Value::Array(Vec::new())) else {
            return Err("the field came as another kind before".to_owned());
        };
        match wire {
            Wire::Bytes(packed) if self.proto.is_packable() => {
                let mut rest = packed;
                while !rest.is_empty() {
                    let element = self
                        .proto
                        .unpack(&mut rest)
                        .map_err(|_| "the packed values are broken".to_owned())?;
                    values.push(self.single(element, column, excess)?);
                }
            }
            wire => values.push(self.single(wire, column, excess)?),
        }
        Ok(())
    }

    fn single(&self, wire: Wire<'_>, column: &Column, excess: Excess) -> Result<Value, String> {
        if let (Some(nested), Wire::Bytes(bytes)) = (&self.nested, wire) {
            let values = nested.read(bytes, excess, &mut |_, _| {})?;
            return nested.complete(values).map(Value::Struct);
        }
        let scalar = self
            .scalar(wire)
            .ok_or_else(|| "the value has another form than its schema says".to_owned())?;
        convert(scalar, column, excess).ok_or_else(|| {
            format!(
                "the value cannot be kept as {}",
                schema::type_name(&column.kind)
            )
        })
    }

    fn scalar<'a>(&'a self, wire: Wire<'a>) -> Option<Scalar<'a>> {
        Some(match (self.proto, wire) {
            (Proto::Double, Wire::Fixed64(bits)) => Scalar::Float(f64::from_bits(bits)),
            (Proto::Float, Wire::Fixed32(bits)) => Scalar::Float(f64::from(f32::from_bits(bits))),
            (Proto::Int64, Wire::Varint(value)) => Scalar::Int(value as i64),
            (Proto::Int32, Wire::Varint(value)) => Scalar::Int(i64::from(value as i32)),
            (Proto::Sint32 | Proto::Sint64, Wire::Varint(value)) => {
                Scalar::Int(wire::zigzag(value))
            }
            (Proto::Sfixed64, Wire::Fixed64(value)) => Scalar::Int(value as i64),
            (Proto::Sfixed32, Wire::Fixed32(value)) => Scalar::Int(i64::from(value as i32)),
            (Proto::Uint64, Wire::Varint(value)) | (Proto::Fixed64, Wire::Fixed64(value)) => {
                Scalar::Uint(value)
            }
            (Proto::Uint32, Wire::Varint(value)) => Scalar::Uint(value & 0xffff_ffff),
            (Proto::Fixed32, Wire::Fixed32(value)) => Scalar::Uint(u64::from(value)),
            (Proto::Bool, Wire::Varint(value)) => Scalar::Bool(value != 0),
            (Proto::Enum, Wire::Varint(value)) => {
                Scalar::Text(self.enum_names.get(&(value as i32))?.as_str())
            }
            (Proto::String, Wire::Bytes(bytes)) => Scalar::Text(std::str::from_utf8(bytes).ok()?),
            (Proto::Bytes, Wire::Bytes(bytes)) => Scalar::Bytes(bytes),
            _ => return None,
        })
    }
}

/// A value as the wire has it, with its type known.
#[derive(Debug, Clone, Copy)]
enum Scalar<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn convert(scalar: Scalar<'_>, column: &Column, excess: Excess) -> Option<Value> {
    let number = match scalar {
        Scalar::Int(value) => Some(value),
        Scalar::Uint(value) => i64::try_from(value).ok(),
        _ => None,
    };
    match (&column.kind, scalar) {
        (Type::Bool, Scalar::Bool(value)) => Some(Value::Bool(value)),
        (Type::Bool, _) => number.map(|value| Value::Bool(value != 0)),
        (Type::Int64, _) => number.map(Value::Int64),
        (Type::Float64, Scalar::Float(value)) => Some(Value::Float64(value)),
        (Type::Numeric | Type::BigNumeric, Scalar::Bytes(bytes)) => {
            let scale = if column.kind == Type::Numeric { 9 } else { 38 };
            let text = wire::scaled_text(bytes, scale)?;
            decode::scalar(&text, Form::Bare, column, excess)
        }
        (Type::Numeric | Type::BigNumeric, Scalar::Float(value)) => {
            decode::scalar(&value.to_string(), Form::Bare, column, Excess::Round)
        }
        (Type::Numeric | Type::BigNumeric, Scalar::Uint(value)) => {
            decode::scalar(&value.to_string(), Form::Bare, column, excess)
        }
        (Type::Numeric | Type::BigNumeric, Scalar::Int(value)) => {
            decode::scalar(&value.to_string(), Form::Bare, column, excess)
        }
        (Type::Timestamp, Scalar::Int(_) | Scalar::Uint(_)) => {
            let micros = number?;
            literal::format_timestamp(micros).map(|_| Value::Timestamp(micros))
        }
        (Type::Date, Scalar::Int(_) | Scalar::Uint(_)) => {
            let days = i32::try_from(number?).ok()?;
            literal::format_date(days).map(|_| Value::Date(days))
        }
        (Type::Time, Scalar::Int(packed)) => wire::packed_time(packed).map(Value::Time),
        (Type::DateTime, Scalar::Int(packed)) => {
            let (year, month, day, time) = wire::packed_datetime(packed)?;
            let date = format!("{year:04}-{month:02}-{day:02}");
            let days = i64::from(literal::parse_date(&date)?);
            Some(Value::DateTime(days * 86_400_000_000 + time))
        }
        (Type::Json, Scalar::Text(text)) => decode::compact_json(text).map(Value::Json),
        (Type::Bytes, Scalar::Bytes(bytes)) => bytes_value(bytes, column),
        (Type::Bytes, Scalar::Text(text)) => bytes_value(text.as_bytes(), column),
        (_, Scalar::Text(text)) => decode::scalar(text, Form::Quoted, column, excess),
        _ => None,
    }
}

fn bytes_value(bytes: &[u8], column: &Column) -> Option<Value> {
    let fits = column
        .max_length
        .is_none_or(|longest| bytes.len() as u64 <= longest);
    fits.then(|| Value::Bytes(bytes.to_vec()))
}

impl Proto {
    fn from_number(number: i32) -> Option<Proto> {
        Some(match number {
            1 => Proto::Double,
            2 => Proto::Float,
            3 => Proto::Int64,
            4 => Proto::Uint64,
            5 => Proto::Int32,
            6 => Proto::Fixed64,
            7 => Proto::Fixed32,
            8 => Proto::Bool,
            9 => Proto::String,
            11 => Proto::Message,
            12 => Proto::Bytes,
            13 => Proto::Uint32,
            14 => Proto::Enum,
            15 => Proto::Sfixed32,
            16 => Proto::Sfixed64,
            17 => Proto::Sint32,
            18 => Proto::Sint64,
            _ => return None,
        })
    }

    /// Whether a column takes the type, by the table of supported conversions.
    fn fits(self, kind: &Type) -> bool {
        let is_signed = matches!(
            self,
            Proto::Int64
                | Proto::Int32
                | Proto::Sfixed32
                | Proto::Sfixed64
                | Proto::Sint32
                | Proto::Sint64
        );
        let is_small_unsigned = matches!(self, Proto::Uint32 | Proto::Fixed32);
        let is_unsigned = is_small_unsigned || matches!(self, Proto::Uint64 | Proto::Fixed64);
        let is_float = matches!(self, Proto::Double | Proto::Float);
        match kind {
            Type::Bool => self == Proto::Bool || is_signed || is_unsigned,
            Type::Int64 => is_signed || is_small_unsigned,
            Type::Float64 => is_float,
            Type::Numeric | Type::BigNumeric => {
                is_signed || is_unsigned || is_float || matches!(self, Proto::String | Proto::Bytes)
            }
            Type::String => matches!(self, Proto::String | Proto::Enum),
            Type::Bytes => matches!(self, Proto::Bytes | Proto::String),
            Type::Timestamp => is_signed || is_small_unsigned || self == Proto::String,
            Type::Date | Type::Time | Type::DateTime => is_signed || self == Proto::String,
            Type::Json => self == Proto::String,
            Type::Struct(_) => self == Proto::Message,
        }
    }

    fn is_packable(self) -> bool {
        !matches!(self, Proto::String | Proto::Bytes | Proto::Message)
    }

    fn unpack<'a>(self, rest: &mut &'a [u8]) -> Result<Wire<'a>, Broken> {
        match self {
            Proto::Double | Proto::Fixed64 | Proto::Sfixed64 => {
                wire::fixed64(rest).map(Wire::Fixed64)
            }
            Proto::Float | Proto::Fixed32 | Proto::Sfixed32 => {
                wire::fixed32(rest).map(Wire::Fixed32)
            }
            _ => wire::varint(rest).map(Wire::Varint),
        }
    }
}

/// A nested message by its local or full name, from the inside out.
fn find_nested<'a>(scope: &[&'a Descriptor], type_name: &str) -> Option<&'a Descriptor> {
    let name = type_name.rsplit('.').next()?;
    scope.iter().rev().find_map(|descriptor| {
        descriptor
            .nested
            .iter()
            .find(|nested| nested.name.as_deref() == Some(name))
    })
}

fn find_enum(scope: &[&Descriptor], type_name: &str) -> HashMap<i32, String> {
    let name = type_name.rsplit('.').next();
    let found = scope.iter().rev().find_map(|descriptor| {
        descriptor
            .enums
            .iter()
            .find(|candidate| candidate.name.as_deref() == name)
    });
    found
        .into_iter()
        .flat_map(|found| &found.values)
        .filter_map(|value| Some((value.number?, value.name.clone()?)))
        .collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
