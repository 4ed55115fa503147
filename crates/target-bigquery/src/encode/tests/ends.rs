//! Tests of the bounds of a batch.

use super::*;

fn bounds(properties: &Value, records: &[&str]) -> Vec<String> {
    let (batch, columns) = batch(properties, records);
    let mut bounds = Bounds::new(&columns, &Options::default());
    for record in batch.records() {
        bounds.add(&record);
    }
    bounds
        .literals()
        .map(|(column, least, most)| format!("{} {least} {most}", column.field.name))
        .collect()
}

#[test]
fn every_type_has_its_order_and_its_literals() {
    let properties = json!({
        "i": {"type": "integer"},
        "s": {"type": "string"},
        "d": {"type": "string", "format": "date"},
        "t": {"type": "string", "format": "date-time"},
        "n": {"type": "number", "multipleOf": 0.01},
    });
    let records = [
        r#"{"i":10,"s":"b","d":"2020-01-02","t":"2020-01-01T00:00:00+01:00","n":"9.5"}"#,
        r#"{"i":-9,"s":"it's\\\n\u0001","d":"0999-01-02","t":"2019-12-31T23:30:00Z","n":10}"#,
        r#"{"i":9,"s":"Z","d":"2020-01-01","t":"2020-01-01T00:00:00Z","n":-1.50}"#,
    ];
    assert_eq!(
        bounds(&properties, &records),
        [
            "i -9 10",
            r"s 'Z' 'it\'s\\\n\u0001'",
            "d DATE '0999-01-02' DATE '2020-01-02'",
            "t TIMESTAMP '2019-12-31T23:00:00Z' TIMESTAMP '2020-01-01T00:00:00Z'",
            "n NUMERIC '-1.5' NUMERIC '10'",
        ]
    );
}

#[test]
fn nulls_gaps_doubles_and_empty_batches_have_no_bounds() {
    let integer = json!({"a": {"type": ["null", "integer"]}});
    assert!(bounds(&integer, &[r#"{"a":1}"#, r#"{"a":null}"#]).is_empty());
    assert!(bounds(&integer, &[r#"{"a":1}"#, "{}"]).is_empty());
    assert!(bounds(&integer, &[]).is_empty());
    assert!(bounds(&json!({"a": {"type": "number"}}), &[r#"{"a":1}"#]).is_empty());
}

#[test]
fn long_texts_are_cut_below_and_given_up_above() {
    let properties = json!({"a": {"type": "string"}});
    let long = format!("{{\"a\":\"{}\"}}", "é".repeat(600));
    assert!(bounds(&properties, &[&long]).is_empty());
    let mixed = bounds(&properties, &[&long, r#"{"a":"ü"}"#]);
    assert_eq!(mixed, [format!("a '{}' 'ü'", "é".repeat(512))]);
}
