//! Messages for a target: any, and those of the stream `orders`, which most tests send.

use serde_json::{Value, json};

/// A message and the end of its line.
pub fn line(message: &Value) -> String {
    format!("{message}\n")
}

/// The SCHEMA line of any stream.
pub fn schema_of(stream: &str, schema: &Value, key: &[&str]) -> String {
    line(&json!({"type": "SCHEMA", "stream": stream, "key_properties": key, "schema": schema}))
}

/// The RECORD line of any stream.
pub fn row_of(stream: &str, record: &Value) -> String {
    line(&json!({"type": "RECORD", "stream": stream, "record": record}))
}

/// A RECORD line of a full-table version of any stream.
pub fn versioned_row_of(stream: &str, version: u64, record: &Value) -> String {
    line(&json!({"type": "RECORD", "stream": stream, "version": version, "record": record}))
}

/// The line that makes a version of any stream the one that counts.
pub fn activate_of(stream: &str, version: u64) -> String {
    line(&json!({"type": "ACTIVATE_VERSION", "stream": stream, "version": version}))
}

/// A STATE line with a number.
pub fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"n": number}}))
}

/// An order; each revision of it has other values.
pub fn record(number: u64, revision: u64) -> Value {
    json!({"id": number, "name": format!("Order {number} of {revision}"), "revision": revision})
}

/// The RECORD line of an order.
pub fn row(record: &Value) -> String {
    row_of("orders", record)
}

/// RECORD lines of orders without a version.
pub fn rows(numbers: impl IntoIterator<Item = u64>, revision: u64) -> String {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| row(&record(number, revision)))
        .collect()
}

/// RECORD lines of a full-table version of the orders.
pub fn versioned(version: u64, numbers: impl IntoIterator<Item = u64>, revision: u64) -> String {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| versioned_row_of("orders", version, &record(number, revision)))
        .collect()
}

/// The line that makes a version of the orders the one that counts.
pub fn activate(version: u64) -> String {
    activate_of("orders", version)
}
