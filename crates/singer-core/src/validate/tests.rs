//! Records that fit their schema and records that do not.

use super::*;

/// The reason why a record is refused; empty if it fits.
fn judge(schema: &str, record: &str) -> String {
    let schema = Schema::new(schema, Some("[]"), None).unwrap();
    let validator = Validator::new(&schema);
    let mut fields = Fields::default();
    fields.scan(record.as_bytes(), 0, schema.layout()).unwrap();
    validator
        .check(record.as_bytes(), &fields)
        .err()
        .map(|violation| violation.to_string())
        .unwrap_or_default()
}

/// The same for one property `p`.
fn judge_property(schema: &str, value: &str) -> String {
    judge(
        &format!(r#"{{"properties":{{"p":{schema}}}}}"#),
        &format!(r#"{{"p":{value}}}"#),
    )
}

fn accepts(schema: &str, values: &[&str]) {
    for value in values {
        assert_eq!(judge_property(schema, value), "", "{schema} {value}");
    }
}

fn refuses(schema: &str, values: &[&str], reason: &str) {
    for value in values {
        assert_eq!(
            judge_property(schema, value),
            format!("property `p` {reason}"),
            "{schema} {value}"
        );
    }
}

#[test]
fn types_are_held_by_the_kind_of_the_value() {
    accepts(
        r#"{"type":"integer"}"#,
        &["1", "-0", "1.0", "1e3", "123456789012345678901234567890"],
    );
    refuses(
        r#"{"type":["null","integer"]}"#,
        &["1.5", "1e-1"],
        "must be integer or null, found number",
    );
    refuses(
        r#"{"type":"integer"}"#,
        &["\"1\""],
        "must be integer, found string",
    );
    refuses(
        r#"{"type":"string"}"#,
        &["null"],
        "must be string, found null",
    );
    accepts(r#"{"type":"number"}"#, &["1", "1.5", "1e400"]);
    accepts(r#"{"type":["array","object"]}"#, &["[1]", "{\"a\":null}"]);
    accepts("{}", &["null", "1", "\"x\"", "[]", "{}", "true"]);
    accepts(r##"{"$ref":"#/definitions/x"}"##, &["1", "null"]);
    accepts(
        r#"{"type":"string","format":"date-time"}"#,
        &["\"not a date\""],
    );
    accepts(r#"{"type":"number","multipleOf":0.01}"#, &["0.005"]);
}

#[test]
fn numbers_that_are_not_finite_fit_no_schema() {
    let reason = "must be JSON, found a number that is not finite";
    refuses(
        "{}",
        &["NaN", "-Infinity", "[1,[NaN]]", r#"{"a":Infinity}"#],
        reason,
    );
    refuses(
        r#"{"type":"number"}"#,
        &["NaN"],
        "must be number, found a number that is not finite",
    );
}

#[test]
fn required_properties_must_be_there_and_may_be_null() {
    let schema = r#"{"properties":{"a":{"type":["null","string"]}},"required":["a","deselected"]}"#;
    assert_eq!(judge(schema, "{}"), "property `a` is required and missing");
    assert_eq!(judge(schema, r#"{"a":null}"#), "");
}

#[test]
fn other_properties_are_refused_only_by_a_closed_schema() {
    assert_eq!(judge(r#"{"properties":{}}"#, r#"{"x":1}"#), "");
    assert_eq!(
        judge(
            r#"{"properties":{},"additionalProperties":false}"#,
            r#"{"\u0078":1}"#
        ),
        "property `x` is not in the schema, which admits no others"
    );
    assert_eq!(
        judge(
            r#"{"properties":{},"additionalProperties":false,"patternProperties":{"x":{}}}"#,
            r#"{"x":1}"#
        ),
        ""
    );
}

#[test]
fn bounds_compare_exactly() {
    let schema =
        r#"{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}"#;
    accepts(
        schema,
        &["9223372036854775807", "-9223372036854775808", "0", "1.0"],
    );
    refuses(
        schema,
        &["9223372036854775808", "1e30"],
        "must be at most 9223372036854775807",
    );
    refuses(
        r#"{"minimum":0.1}"#,
        &["0.0999999999999999999999999999", "-5"],
        "must be at least 0.1",
    );
    refuses(
        r#"{"minimum":0,"exclusiveMinimum":true}"#,
        &["0"],
        "must be greater than 0",
    );
    refuses(
        r#"{"exclusiveMaximum":5}"#,
        &["5", "5.0"],
        "must be less than 5",
    );
    accepts(r#"{"minimum":3}"#, &["\"text\"", "null"]);
}

#[test]
fn lengths_count_characters() {
    let schema = r#"{"type":"string","minLength":2,"maxLength":3}"#;
    accepts(schema, &["\"ab\"", "\"éé😀\"", r#""\u00e9\n""#]);
    refuses(
        schema,
        &["\"é\"", r#""\ud83d\ude00""#],
        "must have 2 characters at least",
    );
    refuses(
        schema,
        &["\"abcd\"", r#""\n\n\n\n""#],
        "must have 3 characters at most",
    );
    accepts(r#"{"maxLength":0}"#, &["\"\"", "12"]);
}

#[test]
fn listed_values_are_compared_by_meaning() {
    let schema = r#"{"enum":["é",1,null,[1,"a"]]}"#;
    accepts(schema, &[r#""\u00e9""#, "1.0", "null", r#"[1, "a"]"#]);
    refuses(
        schema,
        &["\"e\"", "2", "true", "[1]"],
        "has none of the values that the schema lists",
    );
    refuses(
        r#"{"const":"x"}"#,
        &["\"secret\""],
        "has none of the values that the schema lists",
    );
}

#[test]
fn nested_values_are_judged_where_the_schema_says_something() {
    let schema = r#"{"type":"object","properties":{"id":{"type":"integer"},"tags":{"type":"array",
        "items":{"type":"string"}}},"required":["id"],"additionalProperties":{"type":"boolean"}}"#;
    accepts(
        schema,
        &[r#"{"id":1,"tags":["a"],"x":true}"#, r#"{"\u0069d":1}"#],
    );
    for (value, reason) in [
        ("{}", "property `p.id` is required and missing"),
        (
            r#"{"id":"1"}"#,
            "property `p.id` must be integer, found string",
        ),
        (
            r#"{"id":1,"tags":["a",2]}"#,
            "property `p.tags.[]` must be string, found integer",
        ),
        (
            r#"{"id":1,"x":0}"#,
            "property `p.x` must be boolean, found integer",
        ),
    ] {
        assert_eq!(judge_property(schema, value), reason);
    }
    assert_eq!(
        judge_property(
            r#"{"properties":{},"additionalProperties":false}"#,
            r#"{"x":0}"#
        ),
        "property `p.x` is not in the schema, which admits no others"
    );
    accepts(r#"{"type":"object"}"#, &[r#"{"anything":[1]}"#]);
}

#[test]
fn alternatives_are_judged() {
    let dates = r#"{"anyOf":[{"type":"string","format":"date-time"},{"type":["string","null"]}]}"#;
    accepts(dates, &["\"x\"", "null"]);
    refuses(dates, &["1"], "must be string or null, found integer");
    let sized = r#"{"anyOf":[{"type":"integer","maximum":5},{"type":"null"}]}"#;
    accepts(sized, &["5", "null"]);
    refuses(sized, &["6"], "fits none of the alternatives of `anyOf`");
    accepts(
        r#"{"oneOf":[{"type":"integer"},{"type":"null"}]}"#,
        &["5", "null"],
    );
    refuses(
        r#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#,
        &["5"],
        "does not fit exactly one alternative of `oneOf`",
    );
    accepts(
        r#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#,
        &["5.5"],
    );
    let parts = r#"{"allOf":[{"type":["integer","null"]},{"minimum":3}]}"#;
    accepts(parts, &["3", "null"]);
    refuses(parts, &["2"], "must be at least 3");
    refuses(
        r#"{"allOf":[{"type":["integer","null"]},{"type":"number"}]}"#,
        &["null"],
        "must be integer, found null",
    );
    refuses("false", &["1"], "admits no value at all");
}
