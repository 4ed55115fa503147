//! A reader of protobuf that knows nothing but a descriptor.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// One field as it stands on the wire.
enum Wire<'a> {
    Varint(u64),
    Fixed([u8; 8]),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Wire::Fixed(*value)
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, wire));
    }
    fields
}

#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: BTreeMap<u64, FieldOf>,
    inside: Vec<Message>,
}

#[derive(Debug, Default)]
pub(super) struct FieldOf {
    pub(super) name: String,
    pub(super) label: u64,
    pub(super) kind: u64,
    pub(super) message: String,
    pub(super) is_packed: bool,
    pub(super) column: Option<String>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) fn message(descriptor: &[u8]) -> Message {
    let mut read = Message::default();
    for part in fields(descriptor) {
        match part {
            (1, Wire::Bytes(name)) => read.name = text(name),
            (2, Wire::Bytes(field)) => {
                let (number, field) = field_of(field);
                assert!(read.fields.insert(number, field).is_none());
            }
            (3, Wire::Bytes(inside)) => read.inside.push(message(inside)),
            (number, _) => panic!("part {number}"),
        }
    }
    read
}

fn field_of(bytes: &[u8]) -> (u64, FieldOf) {
    let mut number = 0;
    let mut field = FieldOf::default();
    for part in fields(bytes) {
        match part {
            (1, Wire::Bytes(name)) => field.name = text(name),
            (3, Wire::Varint(value)) => number = value,
            (4, Wire::Varint(value)) => field.label = value,
            (5, Wire::Varint(value)) => field.kind = value,
            (6, Wire::Bytes(name)) => field.message = text(name),
            (8, Wire::Bytes(options)) => {
                for option in fields(options) {
                    match option {
                        (2, Wire::Varint(value)) => field.is_packed = value == 1,
                        (454_943_157, Wire::Bytes(name)) => field.column = Some(text(name)),
                        (number, _) => panic!("option {number}"),
                    }
                }
            }
            (number, _) => panic!("part {number} of a field"),
        }
    }
    (number, field)
}

/// The message as JSON: int64 as numbers, bytes as lists.
pub(super) fn decode(descriptor: &[u8], bytes: &[u8]) -> Value {
    decode_message(&message(descriptor), bytes)
}

fn decode_message(message: &Message, bytes: &[u8]) -> Value {
    let mut decoded = Map::new();
    for (number, wire) in fields(bytes) {
        let field = &message.fields[&number];
        if field.label != 3 {
            let value = value(message, field, &wire);
            assert!(decoded.insert(field.name.clone(), value).is_none());
            continue;
        }
        let list = decoded.entry(field.name.clone()).or_insert(json!([]));
        let list = list.as_array_mut().unwrap();
        match wire {
            Wire::Bytes(mut packed) if field.is_packed => {
                while !packed.is_empty() {
                    let wire = if field.kind == 1 {
                        let (value, rest) = packed.split_first_chunk().unwrap();
                        packed = rest;
                        Wire::Fixed(*value)
                    } else {
                        Wire::Varint(varint(&mut packed))
                    };
                    list.push(value(message, field, &wire));
                }
            }
            wire => list.push(value(message, field, &wire)),
        }
    }
    Value::Object(decoded)
}

fn value(message: &Message, field: &FieldOf, wire: &Wire<'_>) -> Value {
    match (field.kind, wire) {
        (1, Wire::Fixed(bytes)) => {
            let double = f64::from_le_bytes(*bytes);
            if double.is_finite() {
                json!(double)
            } else {
                json!(double.to_string())
            }
        }
        (3, Wire::Varint(value)) => json!(value.cast_signed()),
        (5, Wire::Varint(value)) => json!(i32::try_from(value.cast_signed()).unwrap()),
        (8, Wire::Varint(value)) => json!(*value == 1),
        (9, Wire::Bytes(bytes)) => json!(text(bytes)),
        (12, Wire::Bytes(bytes)) => json!(bytes),
        (11, Wire::Bytes(bytes)) => {
            let inside = message
                .inside
                .iter()
                .find(|inside| inside.name == field.message)
                .unwrap();
            decode_message(inside, bytes)
        }
        (kind, _) => panic!("type {kind} is written otherwise"),
    }
}
