//! Tests of the mapping of schemas and of their comparison with tables.

use serde_json::{Value, json};
use singer_core::schema::Schema;

use super::*;

mod comparison;

pub(super) fn schema(properties: Value, key: &[&str]) -> Schema {
    let document = json!({"type": "object", "properties": properties}).to_string();
    Schema::new(&document, Some(&json!(key).to_string()), None).unwrap()
}

pub(super) fn planned(properties: Value) -> Vec<Column> {
    plan(&schema(properties, &[]), &SchemaOptions::default()).unwrap()
}

fn type_with(property: Value, options: &SchemaOptions) -> String {
    let columns = plan(&schema(json!({ "x": property }), &[]), options).unwrap();
    sql_type(&columns[0].field)
}

fn type_of(property: Value) -> String {
    type_with(property, &SchemaOptions::default())
}

#[test]
fn plain_types_have_their_columns() {
    for (property, wanted) in [
        (json!({"type": "boolean"}), "BOOL"),
        (json!({"type": ["null", "integer"]}), "INT64"),
        (json!({"type": "number"}), "FLOAT64"),
        (json!({"type": ["integer", "number", "null"]}), "FLOAT64"),
        (json!({"type": "string", "maxLength": 20}), "STRING"),
        (json!({"type": "string", "format": "uuid"}), "STRING"),
        (
            json!({"type": "string", "format": "date-time"}),
            "TIMESTAMP",
        ),
        (json!({"type": "string", "format": "date"}), "DATE"),
        (json!({"type": "string", "format": "time"}), "TIME"),
        (
            json!({"type": "string", "contentEncoding": "base64"}),
            "BYTES",
        ),
        (
            json!({"type": "string", "contentEncoding": "base16"}),
            "BYTES",
        ),
        (json!({"enum": ["a", "b", null]}), "STRING"),
        (json!({"const": 5}), "INT64"),
    ] {
        assert_eq!(type_of(property.clone()), wanted, "{property}");
    }
}

#[test]
fn integers_beyond_64_bits_are_decimals() {
    for (property, wanted) in [
        (
            json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
            "INT64",
        ),
        (
            json!({"type": "integer", "maximum": 9_223_372_036_854_775_807.0}),
            "INT64",
        ),
        (
            json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
            "NUMERIC",
        ),
        (json!({"type": "integer", "maximum": 1e28}), "NUMERIC"),
        (json!({"type": "integer", "maximum": 1e35}), "BIGNUMERIC"),
        (json!({"type": "integer", "maximum": 1e60}), "STRING"),
    ] {
        assert_eq!(type_of(property.clone()), wanted, "{property}");
    }
}

#[test]
fn digits_that_a_schema_promises_are_kept() {
    for (property, wanted) in [
        (json!({"type": "number", "multipleOf": 0.0001}), "NUMERIC"),
        (json!({"type": "number", "multipleOf": 1}), "NUMERIC"),
        (json!({"type": "number", "multipleOf": 1e-9}), "NUMERIC"),
        (json!({"type": "number", "multipleOf": 1e-10}), "BIGNUMERIC"),
        (json!({"type": "number", "multipleOf": 1e-40}), "STRING"),
        (
            json!({"type": "number", "precision": 18, "scale": 4}),
            "NUMERIC",
        ),
        (
            json!({"type": "number", "precision": 38, "scale": 4}),
            "BIGNUMERIC",
        ),
        (
            json!({"type": "number", "precision": 38, "scale": 9}),
            "NUMERIC",
        ),
        (
            json!({"type": "number", "multipleOf": 0.01, "exclusiveMaximum": 1e29}),
            "NUMERIC",
        ),
        (
            json!({"type": "number", "multipleOf": 0.01, "maximum": 1e29}),
            "BIGNUMERIC",
        ),
        (
            json!({"type": "string", "format": "singer.decimal"}),
            "BIGNUMERIC",
        ),
        (
            json!({"type": "string", "format": "singer.decimal", "precision": 10, "scale": 2}),
            "NUMERIC",
        ),
    ] {
        assert_eq!(type_of(property.clone()), wanted, "{property}");
    }
}

#[test]
fn choices_change_types() {
    let mut options = SchemaOptions {
        decimal: Decimal::String,
        number: Decimal::Numeric,
        nested: Nested::Json,
        arrays: Arrays::Json,
        date_times: DateTimes::DateTime,
        ..SchemaOptions::default()
    };
    for (property, wanted) in [
        (json!({"type": "number", "multipleOf": 0.01}), "STRING"),
        (json!({"type": "number"}), "NUMERIC"),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            "JSON",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "JSON",
        ),
        (json!({"type": "string", "format": "date-time"}), "DATETIME"),
    ] {
        assert_eq!(type_with(property.clone(), &options), wanted, "{property}");
    }
    options.decimal = Decimal::Float;
    let property = json!({"type": "number", "multipleOf": 0.01});
    assert_eq!(type_with(property, &options), "FLOAT64");
}

#[test]
fn what_has_no_column_of_its_own_is_json() {
    for property in [
        json!({}),
        json!({"type": "null"}),
        json!({"type": ["string", "integer"]}),
        json!({"type": ["null", "object", "array", "string"]}),
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}}),
        json!({"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}, "y": {}}}),
        json!({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}}),
        json!({"type": "array"}),
        json!({"type": "array", "items": {}}),
        json!({"type": "array", "items": [{"type": "string"}]}),
        json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        json!({"anyOf": [{"type": "string"}, {"type": "object"}]}),
        json!({"$ref": "#/definitions/nothing"}),
        json!({"$ref": "#/properties/x"}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"type": "any"}),
    ] {
        assert_eq!(type_of(property.clone()), "JSON", "{property}");
    }
}

#[test]
fn unions_are_looked_through() {
    let date = json!({"type": "string", "format": "date"});
    for (property, wanted) in [
        (
            json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}),
            "INT64",
        ),
        (
            json!({"oneOf": [date, {"type": ["null", "string"]}]}),
            "DATE",
        ),
        (
            json!({"anyOf": [date, {"type": "string", "format": "time"}]}),
            "STRING",
        ),
        (
            json!({"anyOf": [{"type": "string", "format": "date-time"}, date, {"type": "string", "format": "time"}]}),
            "STRING",
        ),
        (
            json!({"anyOf": [{"type": "integer"}, {"type": "number"}]}),
            "FLOAT64",
        ),
        (
            json!({"allOf": [{"type": "number"}, {"multipleOf": 0.01}]}),
            "NUMERIC",
        ),
        (
            json!({"type": "string", "anyOf": [{"minLength": 3}, {"pattern": "x"}]}),
            "STRING",
        ),
        (
            json!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
            "ARRAY<STRING>",
        ),
    ] {
        assert_eq!(type_of(property.clone()), wanted, "{property}");
    }
}

#[test]
fn references_within_the_document_are_followed() {
    let document = json!({
        "definitions": {"money": {"type": "object", "properties": {"amount": {"type": "integer"}}}},
        "properties": {"price": {"$ref": "#/definitions/money"}},
    });
    let schema = Schema::new(&document.to_string(), None, None).unwrap();
    let columns = plan(&schema, &SchemaOptions::default()).unwrap();
    assert_eq!(sql_type(&columns[0].field), "STRUCT<`amount` INT64>");
}

#[test]
fn objects_become_records_with_names_of_columns() {
    let columns = planned(json!({"x": {"type": ["null", "object"], "properties": {
        "first-name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "string", "format": "date"}}}},
    }}}));
    assert_eq!(
        sql_type(&columns[0].field),
        "STRUCT<`first_name` STRING, `tags` ARRAY<STRUCT<`at` DATE>>>"
    );
    assert_eq!(columns[0].columns[0].property, "first-name");
    let pair = ("x.first-name".to_owned(), "x.first_name".to_owned());
    assert_eq!(renamed(&columns), [pair]);
}

#[test]
fn records_are_nested_fifteen_deep_and_then_json() {
    let mut property = json!({"type": "string"});
    for _ in 0..17 {
        property = json!({"type": "object", "properties": {"a": property}});
    }
    let columns = planned(json!({ "x": property }));
    let mut column = &columns[0];
    let mut depth = 0;
    while column.field.kind == Kind::Record {
        depth += 1;
        column = &column.columns[0];
    }
    assert_eq!((depth, &column.field.kind), (MAX_DEPTH, &Kind::Json));
}

#[test]
fn keys_without_null_are_required() {
    let properties = json!({"id": {"type": "integer"}, "k": {"type": ["null", "string"]}, "a": {"type": "string"}});
    let schema = schema(properties, &["id", "k"]);
    let modes: Vec<Mode> = plan(&schema, &SchemaOptions::default())
        .unwrap()
        .iter()
        .map(|column| column.field.mode)
        .collect();
    assert_eq!(modes, [Mode::Required, Mode::Nullable, Mode::Nullable]);
}

#[test]
fn a_key_of_any_type_is_text_and_one_of_many_values_is_none() {
    let open = schema(json!({"id": {}}), &["id", "gone"]);
    let columns = plan(&open, &SchemaOptions::default()).unwrap();
    assert_eq!(sql_type(&columns[0].field), "STRING");
    assert!(columns[0].is_key && columns[1].is_key);
    let list = schema(
        json!({"id": {"type": "array", "items": {"type": "string"}}}),
        &["id"],
    );
    let problems = plan(&list, &SchemaOptions::default()).unwrap_err();
    assert_eq!(problems[0].kind, "key type");
}

#[test]
fn problems_name_the_properties() {
    let clash = json!({"x": {"type": "object", "properties": {"a-b": {"type": "string"}, "a b": {"type": "string"}}}});
    let problems = plan(&schema(clash, &[]), &SchemaOptions::default()).unwrap_err();
    assert!(problems[0].message.contains("inside property `x`"));

    let many: serde_json::Map<String, Value> = (0..=MAX_COLUMNS)
        .map(|number| (format!("c{number}"), json!({"type": "string"})))
        .collect();
    let problems = plan(&schema(Value::Object(many), &[]), &SchemaOptions::default()).unwrap_err();
    assert_eq!(problems[0].kind, "too many columns");
}
