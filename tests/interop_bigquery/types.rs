//! Every type, by every method.

use serde_json::{Value, json};

use crate::case::{Case, assert_rows, records, schema, truth};

/// What is sent and what is read, a row each; the last has neither.
type Values = [(Value, Value); 3];

/// Columns with their schemas and values.
fn every_type() -> Vec<(&'static str, Value, Values)> {
    let same = |one: Value, two: Value| {
        [
            (one.clone(), one),
            (two.clone(), two),
            (Value::Null, Value::Null),
        ]
    };
    vec![
        (
            "whole",
            json!({"type": ["null", "integer"]}),
            same(json!(i64::MAX), json!(i64::MIN)),
        ),
        (
            "double",
            json!({"type": ["null", "number"]}),
            same(json!(1.797_693_134_862_315_7e308), json!(-0.1)),
        ),
        (
            "exact",
            json!({"type": ["null", "string"], "format": "singer.decimal", "precision": 38, "scale": 9}),
            same(
                json!("99999999999999999999999999999.999999999"),
                json!("-0.000000001"),
            ),
        ),
        (
            "step",
            json!({"type": ["null", "number"], "multipleOf": 0.01}),
            [
                (json!(0.07), json!("0.07")),
                (json!(-12_345_678_901_i64), json!("-12345678901")),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "truth",
            json!({"type": ["null", "boolean"]}),
            same(json!(true), json!(false)),
        ),
        (
            "day",
            json!({"type": ["null", "string"], "format": "date"}),
            same(json!("0001-01-01"), json!("9999-12-31")),
        ),
        (
            "moment",
            json!({"type": ["null", "string"], "format": "date-time"}),
            [
                (
                    json!("0001-01-01T00:00:00Z"),
                    json!("0001-01-01T00:00:00.000000Z"),
                ),
                (
                    json!("2026-02-28T23:59:59.999999+05:30"),
                    json!("2026-02-28T18:29:59.999999Z"),
                ),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "late",
            json!({"type": ["null", "string"], "format": "date-time"}),
            [
                (
                    json!("9999-12-31T23:59:59.999999Z"),
                    json!("9999-12-31T23:59:59.999999Z"),
                ),
                (
                    json!("1969-12-31 23:59:59.9"),
                    json!("1969-12-31T23:59:59.900000Z"),
                ),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "clock",
            json!({"type": ["null", "string"], "format": "time"}),
            [
                (json!("23:59:59.999999"), json!("23:59:59.999999")),
                (json!("00:00:00"), json!("00:00:00.000000")),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "words",
            json!({"type": ["null", "string"]}),
            same(
                json!("\u{5e9}\u{5dc} \"\\\t\r\n\u{7f}\u{2028}\u{1f980} null"),
                json!(""),
            ),
        ),
        (
            "document",
            json!({}),
            same(
                json!({"a": [1, null, {"b": 1.5}], "": "\u{e9}"}),
                json!([[1, 2], []]),
            ),
        ),
        (
            "loose",
            json!({"type": ["null", "string", "integer"]}),
            same(json!("text \"in\" JSON"), json!(9_007_199_254_740_993_i64)),
        ),
        (
            "numbers",
            json!({"type": ["null", "array"], "items": {"type": "integer"}}),
            [
                (json!([i64::MIN, 0]), json!([i64::MIN, 0])),
                (json!([]), json!([])),
                (Value::Null, json!([])),
            ],
        ),
        (
            "days",
            json!({"type": ["null", "array"], "items": {"type": "string", "format": "date"}}),
            [
                (json!(["1970-01-01"]), json!(["1970-01-01"])),
                (json!([]), json!([])),
                (Value::Null, json!([])),
            ],
        ),
    ]
}

#[test]
fn every_type_arrives_by_every_method() {
    let Some(case) = Case::new("types") else {
        return;
    };
    let record = (
        "record",
        json!({"type": ["null", "object"], "properties": {
            "since": {"type": ["null", "string"], "format": "date-time"},
            "inside": {"type": ["null", "object"], "properties": {"n": {"type": ["null", "integer"]}}},
        }}),
        [
            json!({"since": "2026-01-01T00:00:00.000001Z", "inside": {"n": -1}}),
            json!({"since": null, "inside": {"n": 2}}),
            Value::Null,
        ]
        .map(|value| (value.clone(), value)),
    );
    let raw = (
        "raw",
        json!({"type": ["null", "string"], "contentEncoding": "base64"}),
        [json!("3q2+7w=="), json!(""), Value::Null].map(|value| (value.clone(), value)),
    );
    for (method, more) in [
        ("load", record.clone()),
        ("storage_write", raw),
        ("streaming", record),
    ] {
        let mut columns = every_type();
        columns.push(more);
        let mut properties = json!({"id": {"type": "integer"}});
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for row in 0..3 {
            let (mut given, mut read) = (json!({"id": row}), json!({"id": row}));
            for (name, schema, values) in &columns {
                properties[*name] = schema.clone();
                given[*name] = values[row].0.clone();
                read[*name] = values[row].1.clone();
            }
            sent.push(given);
            expected.push(read);
        }
        let input = schema(method, &properties, &[]) + &records(method, sent);
        case.run(json!({"method": method}), &input);
        let table = case.tables().remove(method).expect("a table");
        assert_rows(&table, &truth(expected));
    }
}
