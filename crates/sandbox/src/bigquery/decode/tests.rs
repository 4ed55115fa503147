//! Which JSON becomes which value.

use serde_json::json;

use super::*;
use crate::bigquery::schema;

const LOAD: Decoder = Decoder {
    json: JsonForm::Bare,
    ignore_unknown: false,
    excess: Excess::Refuse,
};

fn columns(fields: serde_json::Value) -> Vec<Column> {
    schema::from_json(&json!({ "fields": fields })).unwrap()
}

fn one(kind: &str, text: &str) -> Option<Value> {
    let columns = columns(json!([{"name": "x", "type": kind}]));
    let row = LOAD.row(&format!(r#"{{"x":{text}}}"#), &columns).ok()?;
    row.into_iter().next()
}

#[test]
fn each_type_takes_its_own_texts() {
    assert_eq!(one("INTEGER", "7"), Some(Value::Int64(7)));
    assert_eq!(one("INTEGER", "\"-7\""), Some(Value::Int64(-7)));
    assert_eq!(one("INTEGER", "9223372036854775808"), None);
    assert_eq!(one("INTEGER", "1.5"), None);
    assert_eq!(
        one("FLOAT", "\"-Infinity\""),
        Some(Value::Float64(f64::NEG_INFINITY))
    );
    assert_eq!(one("FLOAT", "1e2"), Some(Value::Float64(100.0)));
    assert_eq!(one("BOOLEAN", "true"), Some(Value::Bool(true)));
    assert_eq!(one("BOOLEAN", "1"), None);
    assert_eq!(
        one("NUMERIC", "1.50"),
        Some(Value::Numeric("1.5".to_owned()))
    );
    assert_eq!(one("NUMERIC", "\"0.0000000001\""), None);
    let wide = format!("\"0.{}6\"", "0".repeat(38));
    assert_eq!(
        one("BIGNUMERIC", &wide),
        Some(Value::Numeric(format!("0.{}1", "0".repeat(37))))
    );
    assert_eq!(one("BYTES", "\"YWI=\""), Some(Value::Bytes(b"ab".to_vec())));
    assert_eq!(one("BYTES", "\"*\""), None);
    assert_eq!(one("DATE", "\"1970-01-02\""), Some(Value::Date(1)));
    assert_eq!(one("DATE", "\"1970-01-02T00:00:00Z\""), None);
    assert_eq!(one("TIME", "\"00:00:01\""), Some(Value::Time(1_000_000)));
    assert_eq!(
        one("DATETIME", "\"1970-01-01T00:00:01\""),
        Some(Value::DateTime(1_000_000))
    );
    assert_eq!(one("DATETIME", "\"1970-01-01T00:00:01Z\""), None);
    assert_eq!(
        one("TIMESTAMP", "\"1970-01-01T00:00:01Z\""),
        Some(Value::Timestamp(1_000_000))
    );
    assert_eq!(one("TIMESTAMP", "1.5"), Some(Value::Timestamp(1_500_000)));
    assert_eq!(
        one("STRING", "\"a\\u00e9\""),
        Some(Value::String("aé".to_owned()))
    );
    assert_eq!(one("STRING", "[1]"), None);
    assert_eq!(one("STRING", "null"), Some(Value::Null));
}

#[test]
fn json_is_kept_without_white_space_and_as_exact_as_a_float() {
    let json = |text: &str| match one("JSON", text) {
        Some(Value::Json(json)) => json,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        json(r#"{ "a b" : [ 1, "x \" y" , true ] }"#),
        r#"{"a b":[1,"x \" y",true]}"#
    );
    assert_eq!(json("18446744073709551615"), "18446744073709551615");
    assert!(json("[123456789012345678901234]").starts_with("[1.2345678901234"));
    assert_eq!(json("\"{\\\"a\\\":1}\""), "\"{\\\"a\\\":1}\"");
    let text = Decoder {
        json: JsonForm::Text,
        ..LOAD
    };
    let columns = columns(json!([{"name": "x", "type": "JSON"}]));
    assert_eq!(
        text.row(r#"{"x":"{\"a\": 1}"}"#, &columns).unwrap(),
        [Value::Json(r#"{"a":1}"#.to_owned())]
    );
    assert!(text.row(r#"{"x":{"a":1}}"#, &columns).is_err());
}

#[test]
fn flaws_name_the_field_and_show_the_value_as_the_service_does() {
    let columns = columns(json!([
        {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "tags", "type": "STRING", "mode": "REPEATED"},
        {"name": "r", "type": "RECORD", "fields": [{"name": "a", "type": "DATE"}]},
    ]));
    let flaw = |text: &str| LOAD.row(text, &columns).unwrap_err();
    assert_eq!(flaw("{}").message, "Missing required field: id.");
    assert_eq!(flaw(r#"{"id":null}"#).location, "id");
    assert_eq!(flaw(r#"{"id":1,"x":2}"#).message, "No such field: x.");
    assert_eq!(flaw(r#"{"id":1,"ID":2}"#).message, "Duplicate field: id.");
    assert_eq!(flaw(r#"{"id":1,"tags":null}"#).location, "tags");
    assert_eq!(flaw(r#"{"id":1,"tags":["a",null]}"#).location, "tags");
    assert_eq!(flaw(r#"{"id":1,"tags":"a"}"#).location, "tags");
    let secret = flaw(r#"{"id":1,"r":{"a":"secret"}}"#);
    assert_eq!(secret.location, "r.a");
    assert!(secret.message.ends_with("Field: r.a; Value: secret"));
    assert_eq!(flaw(r#"{"id":1,"r":7}"#).location, "r");
    let row = LOAD.row(r#"{"ID":1}"#, &columns).unwrap();
    assert_eq!(
        row,
        [Value::Int64(1), Value::Array(Vec::new()), Value::Null]
    );
}
