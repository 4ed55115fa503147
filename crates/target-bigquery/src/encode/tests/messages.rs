//! Tests of protobuf rows and of their descriptor.

use super::*;

fn message(kind: Kind, value: &str) -> Value {
    both(&of_kind(kind), value).unwrap().1
}

#[test]
fn values_have_their_form_on_the_wire() {
    for (kind, value, wanted) in [
        (Kind::Boolean, "false", json!(false)),
        (Kind::Integer, "-1", json!(-1)),
        (Kind::Integer, "0", json!(0)),
        (Kind::Integer, "-9223372036854775808", json!(i64::MIN)),
        (Kind::Float, "1.5", json!(1.5)),
        (Kind::Float, "\"-Infinity\"", json!("-inf")),
        (
            Kind::Timestamp,
            "\"1970-01-01T00:00:01.5Z\"",
            json!(1_500_000),
        ),
        (
            Kind::Timestamp,
            "\"1969-12-31T23:59:59Z\"",
            json!(-1_000_000),
        ),
        (Kind::Date, "\"1969-12-31\"", json!(-1)),
        (
            Kind::DateTime,
            "\"2020-01-01T01:00:00+01:00\"",
            json!("2020-01-01T00:00:00"),
        ),
        (Kind::Time, "\"01:02:03\"", json!("01:02:03")),
        (Kind::Numeric, "1.50e1", json!("15")),
        (Kind::String, r#""a\n\u00e9""#, json!("a\né")),
        (Kind::String, r#"[1, 2]"#, json!("[1,2]")),
        (Kind::Bytes, "\"AP8Q\"", json!([0, 255, 16])),
        (Kind::Json, r#"{"a": "b\n"}"#, json!(r#"{"a":"b\n"}"#)),
        (Kind::Json, "\"a\"", json!("\"a\"")),
    ] {
        assert_eq!(message(kind, value), wanted, "{value}");
    }
}

#[test]
fn long_texts_have_long_lengths() {
    for length in [126, 127, 128, 20_000] {
        for value in [
            format!("\"{}\"", "x".repeat(length)),
            format!("\"\\n{}\"", "x".repeat(length)),
        ] {
            let wanted: Value = serde_json::from_str(&value).unwrap();
            assert_eq!(message(Kind::String, &value), wanted);
        }
    }
}

#[test]
fn lists_and_records_are_nested() {
    let column = column(json!({"type": "RECORD", "mode": "REPEATED", "fields": [
        {"name": "n", "type": "FLOAT", "mode": "REPEATED"},
        {"name": "s", "type": "STRING", "mode": "REPEATED"},
        {"name": "x", "type": "RECORD", "fields": [{"name": "s", "type": "STRING"}]},
    ]}));
    let value = json!([
        {"n": [1.5, 2.0], "s": ["", "y"]},
        {"x": {"s": "z".repeat(300)}},
        {},
    ]);
    assert_eq!(both(&column, &value.to_string()).unwrap().1, value);
}

#[test]
fn a_message_inside_is_called_like_no_column() {
    let mut record = column(json!({"type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]}));
    record.field.name = "Record1".to_owned();
    let read = decoder::message(&descriptor(&[record], &[]));
    assert_eq!(read.fields[&1].message, "Record1_");
}

#[test]
fn a_descriptor_names_columns_types_and_extras() {
    let properties = json!({
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "number"}},
        "who": {"type": "object", "properties": {"id": {"type": "string"}}},
    });
    let (_, mut columns) = batch(&properties, &[]);
    columns[1].field.name = "größe".to_owned();
    let read = decoder::message(&descriptor(
        &columns,
        &[
            ("_CHANGE_TYPE", ExtraKind::Text),
            ("t", ExtraKind::Timestamp),
        ],
    ));
    let shown: Vec<(u64, &str, u64, u64, bool)> = read
        .fields
        .iter()
        .map(|(number, field)| {
            (
                *number,
                field.name.as_str(),
                field.label,
                field.kind,
                field.is_packed,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, "id", 1, 3, false),
            (2, "column_2", 1, 5, false),
            (3, "tags", 3, 1, true),
            (4, "who", 1, 11, false),
            (5, "_CHANGE_TYPE", 1, 9, false),
            (6, "t", 1, 3, false),
        ]
    );
    assert_eq!(read.fields[&2].column.as_deref(), Some("größe"));
}

#[test]
fn extras_and_absent_columns_are_told() {
    let extras = [
        ("type", ExtraKind::Text),
        ("n", ExtraKind::Integer),
        ("b", ExtraKind::Bool),
        ("t", ExtraKind::Timestamp),
    ];
    let (batch, columns) = batch(
        &json!({"a": {"type": "integer"}, "b2": {"type": "string"}}),
        &[r#"{"b2":null}"#],
    );
    let encoder = ProtoEncoder::new(&columns, &extras, Options::default());
    let mut out = Vec::new();
    let presence = encoder
        .encode(
            &batch.record(0),
            &[
                Extra::Text("UPSERT"),
                Extra::Null,
                Extra::Bool(false),
                Extra::Timestamp(-5),
            ],
            &mut out,
        )
        .unwrap();
    assert_eq!(presence.missing().collect::<Vec<_>>(), [0]);
    assert_eq!(
        decoder::decode(&descriptor(&columns, &extras), &out),
        json!({"type": "UPSERT", "b": false, "t": -5})
    );
}
