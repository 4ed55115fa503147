//! What each kind of value becomes in each kind of column.

use serde_json::json;

use super::*;
use crate::testing::{batch, stream};

const OPTIONS: Options = Options {
    milliseconds: Milliseconds::Drop,
    supplementary: Supplementary::Keep,
    empties: false,
};

/// The line of a record with one property, for a column of this type.
fn with(kind: &DataType, value: &str, options: Options) -> Result<String, RowError> {
    let stream = stream("t", &json!({"id": {}, "a": {}}));
    let batch = batch(&stream, &[&format!("{{\"id\": 1, \"a\": {value}}}")]);
    let cell = Cell::new(
        Source::Property(stream.schema.layout().index("a").unwrap()),
        "A",
        kind.clone(),
        false,
    );
    let mut out = b"before".to_vec();
    let result = line(&batch.record(0), &[&cell], options, &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before").unwrap().to_owned();
    match result {
        Ok(_) => Ok(text.strip_suffix('\n').unwrap().to_owned()),
        Err(error) => {
            assert_eq!(text, "", "nothing is left of a row that is none");
            Err(error)
        }
    }
}

fn cell(kind: DataType, value: &str) -> String {
    with(&kind, value, OPTIONS).unwrap()
}

fn code(kind: DataType, value: &str) -> &'static str {
    with(&kind, value, OPTIONS).unwrap_err().code
}

#[test]
fn text_stands_in_quotes_whatever_it_is() {
    for (value, wanted) in [
        (r##""#no comment""##, r##""#no comment""##),
        (r#""say \"hi\"""#, r#""say ""hi""""#),
        (r#""\u0022""#, r#""""""#),
        (r#""a\nb,c""#, "\"a\nb,c\""),
        (r#""\ud83d\ude00é""#, "\"😀é\""),
        (r#""""#, r#""""#),
        ("12.50", r#""12.50""#),
        ("true", r#""true""#),
        ("NaN", r#""NaN""#),
        (r#"{"a": ["b"]}"#, r#""{""a"": [""b""]}""#),
    ] {
        assert_eq!(cell(DataType::MultiLine, value), wanted, "{value}");
    }
    assert_eq!(code(DataType::Plain, r#""\ud83d""#), "text");
    assert_eq!(code(DataType::Plain, "[NaN]"), "number");
}

#[test]
fn characters_beyond_the_basic_plane_are_kept_left_out_or_replaced() {
    let cell = |supplementary| {
        let options = Options {
            supplementary,
            ..OPTIONS
        };
        with(&DataType::Plain, r#""a😀é\ud83d\ude00b""#, options).unwrap()
    };
    assert_eq!(cell(Supplementary::Keep), "\"a😀é😀b\"");
    assert_eq!(cell(Supplementary::Strip), "\"aéb\"");
    assert_eq!(cell(Supplementary::Replace), "\"a\u{fffd}é\u{fffd}b\"");
}

#[test]
fn integers_keep_each_of_nineteen_digits_and_end_with_64_bits() {
    for (value, wanted) in [
        ("0", "0"),
        ("-0", "0"),
        ("4000000000101007", "4000000000101007"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.50e1", "15"),
        ("100.0", "100"),
        (r#""4000000000101007""#, "4000000000101007"),
        (r#""1e3""#, "1000"),
    ] {
        assert_eq!(cell(DataType::Number, value), wanted, "{value}");
    }
    for (value, wanted) in [
        ("9223372036854775808", "range"),
        ("1e30", "range"),
        ("1e999999999999999999999", "range"),
        ("1.5", "precision"),
        (r#""x""#, "format"),
        (r#""""#, "format"),
        ("true", "type"),
        ("{}", "type"),
        ("Infinity", "number"),
    ] {
        assert_eq!(code(DataType::Number, value), wanted, "{value}");
    }
    assert_eq!(cell(DataType::PositiveNumber, "5"), "5");
    assert_eq!(code(DataType::PositiveNumber, "-5"), "range");
}

#[test]
fn decimals_are_digits_without_an_exponent() {
    for (value, wanted) in [
        ("1.10", "1.10"),
        ("-0.000000000000000000001", "-0.000000000000000000001"),
        ("1e3", "1000"),
        ("1.25E+1", "12.5"),
        ("12e-3", "0.012"),
        ("-1.5e-7", "-0.00000015"),
        ("0e99999", "0"),
        ("0.00120e2", "0.12"),
        ("120e1", "1200"),
        (r#""99999999999999999999.5""#, "99999999999999999999.5"),
    ] {
        assert_eq!(cell(DataType::Decimal, value), wanted, "{value}");
    }
    assert_eq!(code(DataType::Currency, "1e65"), "range");
    assert_eq!(code(DataType::Percent, r#""1,5""#), "format");
    assert_eq!(code(DataType::Decimal, "NaN"), "number");
}

#[test]
fn times_are_in_utc_without_a_zone() {
    for (value, wanted) in [
        ("2025-02-03T01:30:00+05:30", "2025-02-02 20:00:00"),
        ("2025-02-03T24:00:00Z", "2025-02-04 00:00:00"),
        ("2025-12-31 23:59:60", "2026-01-01 00:00:00"),
        ("2025-02-03T00:00:00.999999Z", "2025-02-03 00:00:00"),
        ("2025-02-03 04:05:06:789", "2025-02-03 04:05:06"),
        ("2025-02-03", "2025-02-03 00:00:00"),
    ] {
        let value = format!("\"{value}\"");
        assert_eq!(cell(DataType::DateTime, &value), wanted, "{value}");
    }
    let kept = Options {
        milliseconds: Milliseconds::Keep,
        ..OPTIONS
    };
    let value = |value| with(&DataType::DateTime, value, kept).unwrap();
    assert_eq!(
        value(r#""2025-02-03 04:05:06:7""#),
        "2025-02-03 04:05:06.700"
    );
    assert_eq!(
        value(r#""2025-02-03T00:00:00.0509Z""#),
        "2025-02-03 00:00:00.050"
    );
    assert_eq!(code(DataType::DateTime, r#""soon""#), "format");
    assert_eq!(code(DataType::DateTime, "1738540800"), "type");
    assert_eq!(
        cell(DataType::Date, r#""2025-02-03T00:00:00Z""#),
        "2025-02-03"
    );
    assert_eq!(code(DataType::Date, r#""2025-02-03T01:00:00Z""#), "format");
    assert_eq!(cell(DataType::Time, r#""23:59:59.9Z""#), "23:59:59");
    assert_eq!(code(DataType::Time, r#""23:59:59+02:00""#), "format");
}

#[test]
fn booleans_are_words() {
    assert_eq!(cell(DataType::Boolean, "true"), "true");
    assert_eq!(cell(DataType::Boolean, r#""False""#), "false");
    assert_eq!(code(DataType::Boolean, "1"), "type");
    assert_eq!(code(DataType::Boolean, r#""yes""#), "format");
}

#[test]
fn a_line_that_would_be_empty_is_one_all_the_same() {
    assert_eq!(cell(DataType::Number, "null"), r#""""#);
}

#[test]
fn a_key_without_a_value_is_none() {
    let stream = stream("t", &json!({"id": {}, "a": {}}));
    let records = [r#"{"id": null}"#, r#"{"id": ""}"#, r#"{"id": "x''"}"#];
    let batch = batch(&stream, &records);
    let place = stream.schema.layout().index("id").unwrap();
    let key = Cell::new(Source::Property(place), "ID", DataType::Plain, true);
    for index in 0..2 {
        let mut out = Vec::new();
        let error = line(&batch.record(index), &[&key], OPTIONS, &mut out).unwrap_err();
        assert_eq!(error.code, "key");
        assert!(literal(&batch.record(index), &key, OPTIONS).is_err());
    }
    assert_eq!(literal(&batch.record(2), &key, OPTIONS).unwrap(), "'x'''''");
}

#[test]
fn errors_name_the_column_and_show_no_value() {
    let error = with(&DataType::Number, r#""hunter2""#, OPTIONS).unwrap_err();
    assert_eq!(error.reason, "column `A`: a text that is not a NUMBER");
}

#[test]
fn a_batch_is_encoded_line_by_line() {
    let stream = stream("t", &json!({"id": {}, "a": {}}));
    let records: Vec<String> = (0..1000)
        .map(|id| format!(r#"{{"id": {id}, "a": "text {id}"}}"#))
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let batch = batch(&stream, &records);
    let place = |name| Source::Property(stream.schema.layout().index(name).unwrap());
    let cells = [
        Cell::new(place("id"), "id", DataType::Number, true),
        Cell::new(place("a"), "a", DataType::Plain, false),
    ];
    let cells: Vec<&Cell> = cells.iter().collect();
    let mut out = Vec::new();
    for record in batch.records() {
        line(&record, &cells, OPTIONS, &mut out).unwrap();
    }
    assert!(out.starts_with(b"0,\"text 0\"\n1,\"text 1\"\n"));
    assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1000);
}
