//! Each type's form, and each value that has none.

use serde_json::json;

use super::*;
use crate::testing::{batch, keyed, shape, stream};

/// The cell that a value becomes in a field, or the code of the refusal.
fn cell(field: &str, value: &str) -> String {
    let stream = stream(&json!({"Email": {}, field: {}}));
    let shape = shape(&stream, json!({})).unwrap();
    let record = format!(r#"{{"Email": "a@x", "{field}": {value}}}"#);
    let batch = batch(&stream, &[&record]);
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let mut out = Vec::new();
    match line(&batch.record(0), &cells, &mut out) {
        Ok(()) => {
            let line = String::from_utf8(out).unwrap();
            let line = line.strip_prefix("\"a@x\",").unwrap();
            line.strip_suffix('\n').unwrap().to_owned()
        }
        Err(error) => {
            assert!(out.is_empty());
            assert!(error.reason.contains(field), "{}", error.reason);
            format!("!{}", error.code)
        }
    }
}

#[test]
fn texts_stand_in_quotes_and_are_measured_in_characters() {
    assert_eq!(
        cell("Fax", r#""a \"b\", \u00e9\n""#),
        "\"a \"\"b\"\", é\n\""
    );
    assert_eq!(cell("Fax", "12.50"), "\"12.50\"");
    assert_eq!(cell("Fax", "true"), "\"true\"");
    assert_eq!(cell("Last_Name", "\"äöüäöüäö\""), "\"äöüäöüäö\"");
    assert_eq!(cell("Last_Name", r#""\"\"\"\"\"\"\"\"""#).len(), 18);
    assert_eq!(cell("Last_Name", "\"äöüäöüäöü\""), "!length");
    assert_eq!(cell("Fax", "null"), "");
    assert_eq!(cell("Fax", "[1]"), "!type");
    assert_eq!(cell("Fax", "{}"), "!type");
    assert_eq!(cell("Fax", r#""\ud83d""#), "!text");
    assert_eq!(cell("Fax", r#""a\u0000""#), "!text");
    assert_eq!(cell("Fax", r#""\ud83d\ude00""#), "\"😀\"");
}

#[test]
fn picklists_take_what_they_list() {
    assert_eq!(cell("Lead_Source", "\"Web\""), "\"Web\"");
    assert_eq!(cell("Lead_Source", "\"Netz\""), "!picklist");
    assert_eq!(cell("Lead_Source", "\"\""), "\"\"");
    assert_eq!(cell("Hobbies", r#"["Web", "Phone"]"#), "\"Web;Phone\"");
    assert_eq!(cell("Hobbies", r#""Web;Phone""#), "\"Web;Phone\"");
    assert_eq!(cell("Hobbies", "[]"), "\"\"");
    assert_eq!(cell("Hobbies", r#"["Web", "x"]"#), "!picklist");
    assert_eq!(cell("Hobbies", r#"["Web;Phone"]"#), "!separator");
    assert_eq!(cell("Hobbies", r#"[["Web"]]"#), "!type");
}

#[test]
fn an_unknown_value_is_sent_where_the_config_says_so() {
    let stream = stream(&json!({"Email": {}, "Lead_Source": {}}));
    let shape = shape(&stream, json!({"unknown_picklist": "send"})).unwrap();
    let batch = batch(&stream, &[r#"{"Email": "a@x", "Lead_Source": "New"}"#]);
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let mut out = Vec::new();
    line(&batch.record(0), &cells, &mut out).unwrap();
    assert_eq!(out, b"\"a@x\",\"New\"\n");
}

#[test]
fn numbers_keep_every_digit() {
    assert_eq!(cell("Visits", "9223372036854775807"), "9223372036854775807");
    assert_eq!(cell("Visits", "9223372036854775808"), "!range");
    assert_eq!(cell("Visits", "\"12\""), "12");
    assert_eq!(cell("Visits", "1.0"), "1");
    assert_eq!(cell("Visits", "1.5"), "!precision");
    assert_eq!(cell("Visits", "\"x\""), "!format");
    assert_eq!(
        cell("Score", "0.12345678901234567890"),
        "0.12345678901234567890"
    );
    assert_eq!(cell("Score", "1.5e3"), "1500");
    assert_eq!(cell("Score", "\"1e-2\""), "0.01");
    assert_eq!(cell("Score", "true"), "!type");
    assert_eq!(cell("Opt_Out", "true"), "true");
    assert_eq!(cell("Opt_Out", "\"False\""), "false");
    assert_eq!(cell("Opt_Out", "1"), "!type");
}

#[test]
fn times_become_wall_times_of_the_organisation() {
    assert_eq!(
        cell("Last_Call", "\"2026-01-15T23:30:00.9Z\""),
        "2026-01-16 00:30:00"
    );
    assert_eq!(
        cell("Last_Call", "\"2026-07-15T12:00:00+05:30\""),
        "2026-07-15 08:30:00"
    );
    assert_eq!(cell("Last_Call", "\"soon\""), "!format");
    assert_eq!(cell("Last_Call", "1"), "!type");
    assert_eq!(cell("Birthday", "\"1980-02-29\""), "1980-02-29");
    assert_eq!(cell("Birthday", "\"1980-02-29T00:00:00Z\""), "1980-02-29");
    assert_eq!(cell("Birthday", "\"1980-02-29T01:00:00Z\""), "!format");
    assert_eq!(cell("Birthday", "\"1981-02-29\""), "!format");
}

#[test]
fn lookups_take_an_id_alone_or_in_an_object() {
    assert_eq!(cell("Account_Name", "\"611\""), "\"611\"");
    assert_eq!(cell("Account_Name", "611"), "\"611\"");
    assert_eq!(
        cell("Account_Name", r#"{"name": "N", "id": "611"}"#),
        "\"611\""
    );
    assert_eq!(cell("Account_Name", r#"{"name": "N"}"#), "!type");
    assert_eq!(cell("Account_Name", "\"Nordlys\""), "!format");
    assert_eq!(cell("Account_Name", r#"{"id": null}"#), "");
    let fields = json!({"Email": "Email", "boss": {"field": "Owner", "find_by": "email"}});
    let stream = stream(&json!({"Email": {}, "boss": {}}));
    let shape = shape(&stream, json!({ "fields": fields })).unwrap();
    let records = [r#"{"Email": "a@x", "boss": {"id": "1", "email": "b@x"}}"#];
    let batch = batch(&stream, &records);
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let mut out = Vec::new();
    line(&batch.record(0), &cells, &mut out).unwrap();
    assert_eq!(out, b"\"a@x\",\"b@x\"\n");
}

#[test]
fn a_row_without_a_value_is_a_line_nevertheless() {
    let stream = keyed(&json!({"Visits": {}}), "[]");
    let settings = json!({"operation": "insert", "defaults": {"Last_Name": "x"}});
    let shape = shape(&stream, settings).unwrap();
    let batch = batch(&stream, &["{}"]);
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let mut out = Vec::new();
    line(&batch.record(0), &cells, &mut out).unwrap();
    assert_eq!(out, b"\"\"\n");
}

#[test]
fn deleted_rows_are_marked_in_their_field() {
    let stream = stream(&json!({"Email": {}, "_sdc_deleted_at": {}}));
    let settings = json!({"on_delete": "flag", "deleted_field": "Deleted"});
    let shape = shape(&stream, settings).unwrap();
    let records = [
        r#"{"Email": "a@x", "_sdc_deleted_at": "2026-01-01T00:00:00Z"}"#,
        r#"{"Email": "b@x"}"#,
    ];
    let batch = batch(&stream, &records);
    let cells: Vec<&Cell> = shape.cells.iter().collect();
    let mut out = Vec::new();
    for row in batch.records() {
        line(&row, &cells, &mut out).unwrap();
    }
    assert_eq!(out, b"\"a@x\",true\n\"b@x\",false\n");
}
