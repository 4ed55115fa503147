//! Tests of values, and of lines of JSON.

use super::*;
use crate::schema::BytesSpelling;

/// What a line has for a value, or the code of the error.
fn written(column: &Column, value: &str) -> String {
    match both(column, value) {
        Ok((line, _)) => line.to_string(),
        Err(code) => code.to_owned(),
    }
}

fn check(kind: Kind, cases: &[(&str, &str)]) {
    let column = of_kind(kind);
    for (value, wanted) in cases {
        assert_eq!(written(&column, value), *wanted, "{value}");
    }
}

#[test]
fn integers_have_64_bits_and_no_fraction() {
    check(
        Kind::Integer,
        &[
            ("5", "5"),
            ("-0", "0"),
            ("5.0", "5"),
            ("1.5e1", "15"),
            ("10e-1", "1"),
            ("9007199254740992", "9007199254740992"),
            ("9007199254740993", "\"9007199254740993\""),
            ("9223372036854775807", "\"9223372036854775807\""),
            ("-9223372036854775808", "\"-9223372036854775808\""),
            ("9223372036854775808", "range"),
            ("99999999999999999999", "range"),
            ("1e19", "range"),
            ("1e999999999999", "range"),
            ("5.5", "precision"),
            ("1e-999999999999", "precision"),
            ("\"12\"", "12"),
            ("\"-9\"", "-9"),
            ("\"012\"", "format"),
            ("\"1.0\"", "format"),
            ("\"\"", "format"),
            ("true", "type"),
            ("{}", "type"),
            ("NaN", "number"),
            ("null", "null"),
        ],
    );
}

#[test]
fn doubles_keep_what_a_double_prints() {
    check(
        Kind::Float,
        &[
            ("1.5", "1.5"),
            ("3", "3"),
            ("1e300", "1e+300"),
            ("0.1234567890123456", "0.1234567890123456"),
            ("9007199254740993", "precision"),
            ("90071992547409930", "precision"),
            ("90071992547409936", "90071992547409936"),
            ("0.12345678901234567890", "precision"),
            ("1e400", "range"),
            ("-1e400", "range"),
            ("1e-400", "range"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
            ("\"Infinity\"", "\"Infinity\""),
            ("\"1.25\"", "1.25"),
            ("\"x\"", "format"),
            ("true", "type"),
        ],
    );
}

#[test]
fn a_decimal_in_a_float_column_keeps_every_digit_or_is_refused() {
    let mut column = of_kind(Kind::Float);
    column.wanted = Kind::Numeric;
    for (value, wanted) in [
        ("0.1", "0.1"),
        ("123456789012.345", "123456789012.345"),
        ("0.12345678901234568", "0.12345678901234568"),
        ("12345678901234567.1", "precision"),
    ] {
        assert_eq!(written(&column, value), wanted, "{value}");
    }
    let options = Options {
        numbers: Numbers::Round,
        ..Options::default()
    };
    let line = line_of(&column, "12345678901234567.1", &options).unwrap();
    assert_eq!(line, r#"{"x":12345678901234567.1}"#);
}

#[test]
fn decimals_are_written_out_and_never_rounded() {
    check(
        Kind::Numeric,
        &[
            ("1", "\"1\""),
            ("-12.50", "\"-12.5\""),
            ("0.000", "\"0\""),
            ("-0.0", "\"0\""),
            ("1.5e3", "\"1500\""),
            ("15e-3", "\"0.015\""),
            ("123e-1", "\"12.3\""),
            ("0.123456789", "\"0.123456789\""),
            ("0.1234567890", "\"0.123456789\""),
            ("0.1234567891", "precision"),
            (
                "99999999999999999999999999999.999999999",
                "\"99999999999999999999999999999.999999999\"",
            ),
            ("100000000000000000000000000000", "range"),
            ("1e999999999999999999999", "range"),
            ("1e-999999999999999999999", "precision"),
            ("\"12.30\"", "\"12.3\""),
            ("\"1E+2\"", "\"100\""),
            ("\"abc\"", "format"),
            ("NaN", "number"),
            ("\"NaN\"", "format"),
        ],
    );
    let most = "578960446186580977117854925043439539266.34992332820282019728792003956564819967";
    let least = "-578960446186580977117854925043439539266.34992332820282019728792003956564819968";
    check(
        Kind::BigNumeric,
        &[
            (most, &format!("\"{most}\"")),
            (least, &format!("\"{least}\"")),
            (&most.replace("967", "968"), "range"),
            (&least.replace("968", "969"), "range"),
            ("1e-38", &format!("\"0.{}1\"", "0".repeat(37))),
            ("1e-39", "precision"),
            ("1e39", "range"),
        ],
    );
}

#[test]
fn declared_digits_are_the_limit() {
    let numeric = column(json!({"type": "NUMERIC", "precision": "5", "scale": "2"}));
    for (value, wanted) in [
        ("999.99", "\"999.99\""),
        ("1000", "range"),
        ("0.001", "precision"),
    ] {
        assert_eq!(written(&numeric, value), wanted, "{value}");
    }
    let whole = column(json!({"type": "NUMERIC", "precision": "3"}));
    assert_eq!(written(&whole, "999"), "\"999\"");
    assert_eq!(written(&whole, "0.5"), "precision");
}

#[test]
fn instants_are_put_into_utc() {
    check(
        Kind::Timestamp,
        &[
            ("\"2020-02-29T12:00:00Z\"", "\"2020-02-29T12:00:00Z\""),
            (
                "\"2020-02-29T12:00:00.5+05:30\"",
                "\"2020-02-29T06:30:00.500000Z\"",
            ),
            ("\"2020-02-29 12:00:00\"", "\"2020-02-29T12:00:00Z\""),
            ("\"2020-02-29\"", "\"2020-02-29T00:00:00Z\""),
            (
                r#""2020-02-29T12:00:00\u002b01:00""#,
                "\"2020-02-29T11:00:00Z\"",
            ),
            (
                "\"2020-02-29T12:00:00.123456000Z\"",
                "\"2020-02-29T12:00:00.123456Z\"",
            ),
            ("\"2020-02-29T12:00:00.123456700Z\"", "precision"),
            ("\"0001-01-01T00:00:00Z\"", "\"0001-01-01T00:00:00Z\""),
            ("\"0001-01-01T00:00:00+01:00\"", "range"),
            (
                "\"9999-12-31T23:59:59.999999Z\"",
                "\"9999-12-31T23:59:59.999999Z\"",
            ),
            ("\"9999-12-31T23:59:59-01:00\"", "range"),
            ("\"2021-02-29T12:00:00Z\"", "format"),
            ("\"\"", "format"),
            ("1600000000", "type"),
        ],
    );
    check(
        Kind::DateTime,
        &[
            ("\"2020-02-29T12:00:00\"", "\"2020-02-29T12:00:00\""),
            ("\"2020-02-29T12:00:00+02:00\"", "\"2020-02-29T10:00:00\""),
        ],
    );
    let options = Options {
        fractions: Fractions::Cut,
        ..Options::default()
    };
    let line = line_of(
        &of_kind(Kind::Timestamp),
        "\"2020-01-01T00:00:00.1234567Z\"",
        &options,
    );
    assert_eq!(line.unwrap(), r#"{"x":"2020-01-01T00:00:00.123456Z"}"#);
}

#[test]
fn days_and_times_are_checked() {
    check(
        Kind::Date,
        &[
            ("\"2020-02-29\"", "\"2020-02-29\""),
            ("\"2020-02-29T00:00:00Z\"", "\"2020-02-29\""),
            ("\"2020-02-29T00:00:00.000001Z\"", "format"),
            ("\"2020-02-30\"", "format"),
            ("\"0000-01-01\"", "format"),
        ],
    );
    check(
        Kind::Time,
        &[
            ("\"12:34:56\"", "\"12:34:56\""),
            ("\"12:34:56.7Z\"", "\"12:34:56.700000\""),
            ("\"12:34:56+00:00\"", "\"12:34:56\""),
            ("\"12:34:56+01:00\"", "format"),
            ("\"24:00:00\"", "range"),
            ("\"12:34:56.1234567\"", "precision"),
        ],
    );
}

#[test]
fn texts_stay_as_they_are() {
    check(
        Kind::String,
        &[
            ("\"a\"", "\"a\""),
            (r#""\u00e9\n\"\\\/\ud83d\ude00""#, "\"é\\n\\\"\\\\/😀\""),
            (r#""\ud83d""#, "text"),
            (r#""\ude00\ud83d""#, "text"),
            (r#""\ud83dx""#, "text"),
            ("5", "\"5\""),
            ("1.50", "\"1.50\""),
            ("true", "\"true\""),
            ("NaN", "\"NaN\""),
            (r#"{"a": [1, "b\"c"]}"#, r#""{\"a\":[1,\"b\\\"c\"]}""#),
            ("[NaN]", "number"),
            (r#"["\ud83d"]"#, "text"),
        ],
    );
    for value in ["\"ééééé\"", r#""\u00e9\u00e9\u00e9\u00e9\u00e9""#, "12345"] {
        let limit = |most: &str| column(json!({"type": "STRING", "maxLength": most}));
        assert!(both(&limit("5"), value).is_ok(), "{value}");
        assert_eq!(both(&limit("4"), value), Err("length"), "{value}");
    }
}

#[test]
fn booleans_are_booleans() {
    check(
        Kind::Boolean,
        &[
            ("true", "true"),
            ("false", "false"),
            ("1", "type"),
            ("\"true\"", "type"),
        ],
    );
}

#[test]
fn bytes_become_base64() {
    check(
        Kind::Bytes,
        &[
            ("\"Zm9v\"", "\"Zm9v\""),
            (r#""\/+==""#, "\"/+==\""),
            ("\"Zm9\"", "format"),
            ("5", "type"),
        ],
    );
    let mut hex = column(json!({"type": "BYTES", "maxLength": "3"}));
    hex.spelling = BytesSpelling::Hex;
    assert_eq!(
        both(&hex, "\"666f6f\"").unwrap(),
        (json!("Zm9v"), json!([102, 111, 111]))
    );
    assert_eq!(both(&hex, "\"666f6f6f\""), Err("length"));
}

#[test]
fn json_columns_take_what_they_keep() {
    check(
        Kind::Json,
        &[
            (r#"{"a": [1, "x y", null]}"#, r#"{"a":[1,"x y",null]}"#),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "precision"),
            ("-9223372036854775809", "precision"),
            ("[0.1, 1.5e300]", "[0.1,1.5e+300]"),
            ("[0.12345678901234567890]", "precision"),
            ("1e400", "precision"),
            ("[NaN]", "number"),
            (r#"{"\ud83d": 1}"#, "text"),
        ],
    );
    let round = Options {
        numbers: Numbers::Round,
        ..Options::default()
    };
    let column = of_kind(Kind::Json);
    assert!(line_of(&column, "[0.12345678901234567890]", &round).is_ok());
    assert!(line_of(&column, "1e400", &round).is_err());
    let text = Options {
        json: JsonForm::Text,
        ..Options::default()
    };
    assert_eq!(
        line_of(&column, r#"{"a": "b\"c"}"#, &text).unwrap(),
        r#"{"x":"{\"a\":\"b\\\"c\"}"}"#
    );
}

#[test]
fn lists_hold_no_null() {
    let list = column(json!({"type": "INTEGER", "mode": "REPEATED"}));
    assert_eq!(
        both(&list, "[1, 2,300]").unwrap(),
        (json!([1, 2, 300]), json!([1, 2, 300]))
    );
    assert_eq!(both(&list, "[]").unwrap(), (json!([]), Value::Null));
    assert_eq!(both(&list, "null").unwrap(), (json!([]), Value::Null));
    assert_eq!(both(&list, "[1,null]"), Err("null"));
    assert_eq!(both(&list, "[1,\"x\",null]"), Err("format"));
    assert_eq!(both(&list, "1"), Err("type"));
}

#[test]
fn null_is_refused_where_a_value_is_required() {
    let column = column(json!({"type": "STRING", "mode": "REQUIRED"}));
    assert_eq!(both(&column, "null"), Err("null"));
    let (batch, _) = batch(&json!({"x": {}}), &["{}"]);
    let written = ndjson(
        &batch.record(0),
        &[column],
        &[],
        &Options::default(),
        &mut Vec::new(),
    );
    assert_eq!(written.unwrap_err().code, "null");
}

#[test]
fn a_missing_value_may_come_from_the_table() {
    let column =
        column(json!({"type": "INTEGER", "mode": "REQUIRED", "defaultValueExpression": "7"}));
    let (batch, _) = batch(&json!({"x": {}}), &["{}"]);
    let columns = [column.clone()];
    let written = ndjson(
        &batch.record(0),
        &columns,
        &[],
        &Options::default(),
        &mut Vec::new(),
    );
    assert!(written.is_ok());
    assert_eq!(both(&column, "null"), Err("null"));
}

fn nested() -> Column {
    column(json!({"type": "RECORD", "fields": [
        {"name": "a", "type": "INTEGER"},
        {"name": "b", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "c", "type": "DATE"}]},
    ]}))
}

#[test]
fn records_are_written_by_their_columns() {
    let (line, _) = both(&nested(), r#"{"b":[{"c":null},{}], "zz": 1, "a":1, "a":2}"#).unwrap();
    assert_eq!(line.to_string(), r#"{"a":2,"b":[{"c":null},{}]}"#);
    assert_eq!(both(&nested(), "null").unwrap(), (json!(null), json!(null)));
    assert_eq!(both(&nested(), "{}").unwrap(), (json!({}), json!({})));
}

#[test]
fn errors_name_the_path_and_show_no_value() {
    let error = line_of(&nested(), r#"{"b":[{"c":"secret"}]}"#, &Options::default()).unwrap_err();
    assert_eq!(error.field, "x.b.c");
    assert_eq!(error.reason, "a text that is not a DATE");
    let error = line_of(&nested(), r#"{"b":[5]}"#, &Options::default()).unwrap_err();
    assert_eq!(
        (error.field.as_str(), error.reason.as_str()),
        ("x.b", "an integer cannot be a RECORD of a list")
    );
}

#[test]
fn unknown_keys_inside_are_told_and_missing_columns_are_listed() {
    let properties = json!({
        "a": {"type": "object", "properties": {"é": {"type": "string"}}},
        "b": {"type": "string"},
        "c": {"type": "string"},
    });
    let (batch, columns) = batch(
        &properties,
        &[
            r#"{"a":{"\u00e9":"x"},"b":null,"c":"y"}"#,
            r#"{"a":{"other":"x"}}"#,
        ],
    );
    let mut out = Vec::new();
    let mut encode = |index: usize| {
        ndjson(
            &batch.record(index),
            &columns,
            &[],
            &Options::default(),
            &mut out,
        )
        .unwrap()
    };
    let whole = encode(0);
    assert!(whole.is_whole() && !whole.has_unknown_inside());
    let partial = encode(1);
    assert!(partial.has_unknown_inside());
    assert_eq!(partial.missing().collect::<Vec<_>>(), [1, 2]);
    let lines = String::from_utf8(out).unwrap();
    let name = &columns[0].columns[0].field.name;
    assert_eq!(
        lines,
        format!("{{\"a\":{{\"{name}\":\"x\"}},\"b\":null,\"c\":\"y\"}}\n{{\"a\":{{}}}}\n")
    );
}

#[test]
fn a_guessed_record_finds_its_properties_by_the_names_of_columns() {
    let mut column = nested();
    column.guessed = true;
    column.columns[0].field.name = "First_name".to_owned();
    column.columns[0].property = "First_name".to_owned();
    let line = line_of(&column, r#"{"first-name":3}"#, &Options::default()).unwrap();
    assert_eq!(line, r#"{"x":{"First_name":3}}"#);
}

#[test]
fn records_of_many_columns_and_rows_of_many_are_written_whole() {
    let properties: Value = (0..200)
        .map(|number| (format!("c{number}"), json!({"type": "integer"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let record = r#"{"c7":1,"c150":2}"#;
    let (wide, columns) = batch(&properties, &[record]);
    let mut out = Vec::new();
    let presence = ndjson(
        &wide.record(0),
        &columns,
        &[],
        &Options::default(),
        &mut out,
    )
    .unwrap();
    assert_eq!(out, format!("{record}\n").as_bytes());
    let missing: Vec<usize> = presence.missing().collect();
    assert_eq!(missing.len(), 198);
    assert!(missing.is_sorted() && !missing.contains(&7) && !missing.contains(&150));

    let inside = json!({"x": {"type": "object", "properties": properties}});
    let (_, columns) = batch(&inside, &["{}"]);
    assert_eq!(
        line_of(&columns[0], record, &Options::default()).unwrap(),
        format!("{{\"x\":{record}}}")
    );
}

#[test]
fn extras_stand_behind_the_columns() {
    let (batch, columns) = batch(&json!({"a": {"type": "integer"}}), &["{}"]);
    let extras = [
        ("_CHANGE_TYPE", Extra::Text("UP\"SERT")),
        ("v", Extra::Integer(i64::MAX)),
        ("d", Extra::Bool(true)),
        ("t", Extra::Timestamp(1_500_000)),
        ("n", Extra::Null),
    ];
    let mut out = Vec::new();
    ndjson(
        &batch.record(0),
        &columns,
        &extras,
        &Options::default(),
        &mut out,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"_CHANGE_TYPE\":\"UP\\\"SERT\",\"v\":\"9223372036854775807\",\"d\":true,\"t\":\"1970-01-01T00:00:01.500000Z\",\"n\":null}\n"
    );
}
