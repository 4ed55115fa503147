//! The table of the README, row by row.

use super::*;

const PLAIN: Conversion = Conversion {
    to: FieldType::One(Scalar::Any),
    coerce_strings: false,
    nested: Nested::Stringify,
    date_format: DateFormat::Iso8601,
};

fn convert(conversion: Conversion, json: &str) -> Result<String, &'static str> {
    let span = scan::scan_value(json.as_bytes(), 0, 0).unwrap();
    let mut out = Vec::new();
    conversion
        .write(span.kind, json.as_bytes(), &mut out)
        .map(|()| String::from_utf8(out).unwrap())
        .map_err(|unfit| unfit.0)
}

fn to(scalar: Scalar) -> Conversion {
    Conversion {
        to: FieldType::One(scalar),
        ..PLAIN
    }
}

fn coerced(scalar: Scalar) -> Conversion {
    Conversion {
        coerce_strings: true,
        ..to(scalar)
    }
}

fn check(conversion: Conversion, rows: &[(&str, Option<&str>)]) {
    for (json, wanted) in rows {
        assert_eq!(
            convert(conversion, json).ok().as_deref(),
            *wanted,
            "{json} to {:?}",
            conversion.to
        );
    }
}

#[test]
fn text_takes_every_scalar() {
    check(
        to(Scalar::Text),
        &[
            (r#""a\u00e9 \"b""#, Some(r#""a\u00e9 \"b""#)),
            (
                "12345678901234567890123",
                Some("\"12345678901234567890123\""),
            ),
            ("1.50", Some("\"1.5\"")),
            ("1e3", Some("\"1000\"")),
            ("true", Some("\"true\"")),
            ("NaN", None),
            ("-Infinity", None),
            (
                r#""2026-02-28T23:10:00+02:00""#,
                Some(r#""2026-02-28T23:10:00+02:00""#),
            ),
            (r#"{"a":"b\"c"}"#, Some(r#""{\"a\":\"b\\\"c\"}""#)),
            ("[1,2]", Some("\"[1,2]\"")),
        ],
    );
    let strict = Conversion {
        nested: Nested::Reject,
        ..to(Scalar::Text)
    };
    check(strict, &[("{}", None), ("[]", None), ("1", Some("\"1\""))]);
}

#[test]
fn numbers_take_numbers_and_text_only_if_asked() {
    check(
        to(Scalar::Integer),
        &[
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("5.0", Some("5")),
            ("5.5", None),
            ("\"5\"", None),
            ("true", None),
            ("[5]", None),
            ("{}", None),
        ],
    );
    check(
        to(Scalar::Number),
        &[
            ("5", Some("5")),
            ("1.50", Some("1.50")),
            ("\"1.5\"", None),
            ("false", None),
        ],
    );
    check(
        coerced(Scalar::Integer),
        &[
            ("\"5\"", Some("5")),
            ("\" +5.0 \"", Some("5")),
            ("\"5.5\"", None),
            ("\"five\"", None),
            ("\"\"", None),
        ],
    );
    check(
        coerced(Scalar::Number),
        &[
            ("\"129.90\"", Some("129.9")),
            ("\"NaN\"", None),
            ("\"1e2\"", Some("100")),
        ],
    );
}

#[test]
fn booleans_take_words_and_bits_only_if_asked() {
    check(
        to(Scalar::Boolean),
        &[
            ("true", Some("true")),
            ("\"true\"", None),
            ("1", None),
            ("1.0", None),
        ],
    );
    check(
        coerced(Scalar::Boolean),
        &[
            ("\"True\"", Some("true")),
            ("\"false\"", Some("false")),
            ("1", Some("true")),
            ("0", Some("false")),
            ("2", None),
            ("\"yes\"", None),
        ],
    );
}

#[test]
fn times_go_out_in_utc_in_the_configured_format() {
    check(
        to(Scalar::Time),
        &[
            ("\"2026-02-28T23:10:00Z\"", Some("\"2026-02-28T23:10:00Z\"")),
            (
                "\"2026-02-28T23:10:00.120000Z\"",
                Some("\"2026-02-28T23:10:00.120000Z\""),
            ),
            (
                "\"2026-02-28T23:10:00.000000Z\"",
                Some("\"2026-02-28T23:10:00Z\""),
            ),
            ("\"2026-02-28T23:10:60Z\"", Some("\"2026-02-28T23:11:00Z\"")),
            (
                "\"2026-02-28T23:10:00.5+02:00\"",
                Some("\"2026-02-28T21:10:00.500000Z\""),
            ),
            ("\"2026-02-28 23:10:00\"", Some("\"2026-02-28T23:10:00Z\"")),
            ("\"2026-02-28\"", Some("\"2026-02-28T00:00:00Z\"")),
            ("\"2026-02-30\"", None),
            ("\"soon\"", None),
            ("1772320200000", None),
            ("true", None),
        ],
    );
    let epoch = Conversion {
        date_format: DateFormat::EpochMs,
        ..to(Scalar::Time)
    };
    check(
        epoch,
        &[
            ("\"2026-02-28T23:10:00.1239Z\"", Some("1772320200123")),
            ("\"1969-12-31T23:59:59.9999Z\"", Some("-1")),
            ("\"2026-02-28\"", Some("1772236800000")),
            ("1772320200000", Some("1772320200000")),
            ("1.5", None),
        ],
    );
}

#[test]
fn lists_take_arrays_of_scalars() {
    let list = |element| Conversion {
        to: FieldType::List(element),
        ..PLAIN
    };
    check(
        list(Scalar::Any),
        &[
            (r#"["a", 1 ,true]"#, Some(r#"["a",1,true]"#)),
            ("[]", Some("[]")),
            ("[[1]]", None),
            ("[{}]", None),
            ("[null]", None),
            ("\"a\"", None),
            ("1", None),
        ],
    );
    check(list(Scalar::Text), &[("[1, \"b\"]", Some("[\"1\",\"b\"]"))]);
    check(list(Scalar::Number), &[("[1, \"b\"]", None)]);
}

#[test]
fn a_field_without_type_takes_values_as_they_are() {
    check(
        PLAIN,
        &[
            (
                "\"2026-02-28T23:10:00+02:00\"",
                Some("\"2026-02-28T23:10:00+02:00\""),
            ),
            ("1.50", Some("1.50")),
            ("[1,\"a\"]", Some("[1,\"a\"]")),
            (r#"{"a":1}"#, Some(r#""{\"a\":1}""#)),
        ],
    );
}

#[test]
fn a_reason_never_shows_the_value() {
    let reason = convert(to(Scalar::Number), "\"hunter2\"").unwrap_err();
    assert_eq!(reason, "text, and `coerce_strings` is off");
}
