//! Tests of the encoders.

use std::sync::Arc;

use serde_json::{Value, json};
use singer_core::schema::Schema;
use singer_runtime::target::{Batch, Stream};

use super::*;
use crate::model::{Field, Kind};
use crate::schema::{SchemaOptions, plan};

mod decoder;
mod ends;
mod lines;
mod messages;
mod random;

/// A batch of these records, and the columns of their schema.
pub(super) fn batch(properties: &Value, records: &[&str]) -> (Batch, Vec<Column>) {
    let document = json!({"type": "object", "properties": properties}).to_string();
    let schema = Schema::new(&document, None, None).unwrap();
    let columns = plan(&schema, &SchemaOptions::default()).unwrap();
    let stream = Stream {
        name: "s".to_owned(),
        schema,
        guessed: false,
    };
    let batch = Batch::from_records(Arc::new(stream), &[], records).unwrap();
    (batch, columns)
}

/// A column of this type for the only property, `x`.
pub(super) fn column(field: Value) -> Column {
    let mut field = field;
    field["name"] = json!("x");
    let field: Field = serde_json::from_value(field).unwrap();
    Column::new("x", 0, field)
}

/// The line of a record whose property `x` goes to one column.
pub(super) fn line_of(column: &Column, value: &str, options: &Options) -> Result<String, RowError> {
    let (batch, _) = batch(&json!({"x": {}}), &[&format!(r#"{{"x":{value}}}"#)]);
    let mut out = b"before".to_vec();
    let written = ndjson(
        &batch.record(0),
        std::slice::from_ref(column),
        &[],
        options,
        &mut out,
    );
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_prefix("before").unwrap();
    match written {
        Ok(_) => Ok(line.strip_suffix('\n').unwrap().to_owned()),
        Err(error) => {
            assert_eq!(line, "", "a refused row leaves nothing");
            Err(error)
        }
    }
}

/// The decoded message of the same.
pub(super) fn message_of(
    column: &Column,
    value: &str,
    options: Options,
) -> Result<Value, RowError> {
    let (batch, _) = batch(&json!({"x": {}}), &[&format!(r#"{{"x":{value}}}"#)]);
    let columns = std::slice::from_ref(column);
    let encoder = ProtoEncoder::new(columns, &[], options);
    let mut out = b"before".to_vec();
    let written = encoder.encode(&batch.record(0), &[], &mut out);
    let message = out.strip_prefix(b"before").unwrap();
    match written {
        Ok(_) => Ok(decoder::decode(&descriptor(columns, &[]), message)),
        Err(error) => {
            assert!(message.is_empty(), "a refused row leaves nothing");
            Err(error)
        }
    }
}

/// The same value in a line and in a message.
pub(super) fn both(column: &Column, value: &str) -> Result<(Value, Value), &'static str> {
    let options = Options::default();
    let line = line_of(column, value, &options);
    let message = message_of(column, value, options);
    match (line, message) {
        (Ok(line), Ok(message)) => {
            let mut line: Value = serde_json::from_str(&line).unwrap();
            let mut message = message;
            Ok((line["x"].take(), message["x"].take()))
        }
        (Err(line), Err(message)) => {
            assert_eq!(line, message);
            Err(line.code)
        }
        (line, message) => panic!("{value}: {line:?} and {message:?} differ"),
    }
}

pub(super) fn of_kind(kind: Kind) -> Column {
    Column::new("x", 0, Field::new("x", kind))
}
