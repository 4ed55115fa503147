//! `target-crm-bulkwrite` into modules that Zoho's SDK reads back: each record is the row that was sent, and
//! what the service refused is not there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};

use crate::case::{Case, assert_same, text_of};

const STREAM: &str = "Leads";

#[test]
fn rows_with_a_key_are_what_the_sdk_reads() {
    let Some(case) = Case::empty() else { return };
    let settings = json!({"find_by": "External_Id"});
    let mut expected = rows(0..300, 1);
    feed(&case, &settings, expected.values()).expect_code(0);
    assert_stored(&case, &expected);
    let changed = rows(200..400, 2);
    feed(&case, &settings, changed.values()).expect_code(0);
    for (key, row) in changed {
        merge(expected.entry(key).or_insert_with(|| json!({})), &row);
    }
    assert_stored(&case, &expected);
}

#[test]
fn rows_are_inserted_in_files_of_their_own() {
    let Some(case) = Case::empty() else { return };
    let settings = json!({"operation": "insert", "find_by": "External_Id", "chunk_records": 90});
    let expected = rows(0..250, 1);
    feed(&case, &settings, expected.values()).expect_code(0);
    assert_stored(&case, &expected);
    // A second time nothing is doubled.
    feed(&case, &settings, expected.values()).expect_code(0);
    assert_stored(&case, &expected);
}

#[test]
fn empties_clear_only_what_they_are_to_clear() {
    let Some(case) = Case::empty() else { return };
    let mut expected = rows(0..20, 1);
    let keeps = json!({"find_by": "External_Id"});
    feed(&case, &keeps, expected.values()).expect_code(0);
    let empty: Vec<Value> = expected
        .values()
        .map(|row| {
            json!({"External_Id": row["External_Id"], "Last_Name": row["Last_Name"],
            "Company": row["Company"], "Birthday": null, "Interests": [], "Wagon_No": null})
        })
        .collect();
    feed(&case, &keeps, empty.iter()).expect_code(0);
    assert_stored(&case, &expected);
    let clears = json!({"find_by": "External_Id", "ignore_empty": false});
    feed(&case, &clears, empty.iter()).expect_code(0);
    for row in expected.values_mut() {
        for name in ["Birthday", "Interests", "Wagon_No"] {
            row[name] = Value::Null;
        }
    }
    assert_stored(&case, &expected);
}

#[test]
fn refused_rows_are_rejects_and_the_others_are_there() {
    let Some(case) = Case::empty() else { return };
    let mut sent = rows(0..60, 1);
    let mut refused = Vec::new();
    for (number, (key, row)) in sent.iter_mut().enumerate() {
        match number % 10 {
            3 => row["Email"] = json!("nobody"),
            6 => row["Last_Name"] = Value::Null,
            _ => continue,
        }
        refused.push(key.clone());
    }
    let settings = json!({"find_by": "External_Id"});
    let ended = feed(&case, &settings, sent.values());
    ended.expect_code(3);
    let text = case.folder.read("rejects.jsonl");
    let mut rejected: Vec<String> = text
        .lines()
        .map(|line| {
            let reject: Value = serde_json::from_str(line).expect("a reject is JSON");
            text_of(&reject["record"]["External_Id"])
        })
        .collect();
    rejected.sort();
    refused.sort();
    assert_eq!(rejected, refused);
    sent.retain(|key, _| !refused.contains(key));
    assert_stored(&case, &sent);
}

/// The target in the folder of a case.
pub(crate) fn target(case: &Case, streams: &Value) -> Run {
    let all = json!({
        "upload_url": case.sandbox.crm_url(), "rejects_path": "rejects.jsonl",
        "job_timeout_seconds": 120, "streams": streams,
    });
    Run::of("target-crm-bulkwrite")
        .arg("--config")
        .arg(case.config("target-crm-bulkwrite.json", all))
        .folder(case.folder.path())
}

fn feed<'a>(case: &Case, settings: &Value, rows: impl Iterator<Item = &'a Value>) -> Finished {
    let text = |kind: &str| json!({"type": ["null", kind]});
    let times = |format: &str| json!({"type": ["null", "string"], "format": format});
    let schema = json!({"type": "SCHEMA", "stream": STREAM, "key_properties": ["External_Id"],
    "schema": {"properties": {
        "External_Id": text("string"), "Last_Name": text("string"), "Company": text("string"),
        "Email": text("string"), "Description": text("string"), "Lead_Source": text("string"),
        "No_of_Employees": text("integer"), "Wagon_No": text("integer"),
        "Annual_Revenue": text("number"), "Email_Opt_Out": text("boolean"),
        "Birthday": times("date"), "Last_Called": times("date-time"),
        "Interests": {"type": ["null", "array"], "items": {"type": "string"}},
    }}});
    let mut input = format!("{schema}\n");
    for row in rows {
        let message = json!({"type": "RECORD", "stream": STREAM, "record": row});
        input.push_str(&format!("{message}\n"));
    }
    target(case, &json!({ STREAM: settings }))
        .stdin(input)
        .finish()
}

fn merge(row: &mut Value, more: &Value) {
    for (name, value) in more.as_object().expect("a row is an object") {
        // Empties leave alone what is there.
        if !value.is_null() {
            row[name] = value.clone();
        }
    }
}

/// Rows of these numbers by key; some cells are null, and some are hard to write.
fn rows(numbers: std::ops::Range<u64>, round: u64) -> BTreeMap<String, Value> {
    let row = |number: u64| {
        let unless = |every: u64, value: Value| match number % every {
            0 => Value::Null,
            _ => value,
        };
        let texts = [
            "plain",
            "with, comma; semicolon",
            "say \"no\"",
            "two\nlines",
            "Zo\u{eb} \u{6f22}\u{5b57} \u{1f980}",
            "=1+1",
            "null",
        ];
        let text = format!("{} {round}", texts[(number % 7) as usize]);
        let month = number % 12 + 1;
        let key = format!("key {number}");
        let row = json!({
            "External_Id": key, "Last_Name": format!("Name {number}, {round}"), "Company": "Nordlys",
            "Email": format!("lead.{number}@example.com"), "Description": unless(5, json!(text)),
            "Lead_Source": unless(4, json!(["Import", "Trade Show", "Cold Call"][(number % 3) as usize])),
            "No_of_Employees": unless(6, json!(number * round)),
            // Above what a float can hold.
            "Wagon_No": unless(7, json!(9_007_199_254_740_993 + number)),
            "Annual_Revenue": unless(8, json!(number as f64 + 0.25)),
            "Email_Opt_Out": number.is_multiple_of(2),
            "Birthday": unless(9, json!(format!("19{:02}-{month:02}-28", number % 90 + 10))),
            "Last_Called": unless(3, json!(format!("2026-{month:02}-15T{:02}:59:59Z", number % 24))),
            "Interests": unless(10, json!(["Freight", "Night Shift"])),
        });
        (key, row)
    };
    numbers.map(row).collect()
}

/// The module is these rows, as the SDK reads it.
#[track_caller]
fn assert_stored(case: &Case, expected: &BTreeMap<String, Value>) {
    let records = case.records(STREAM);
    let mut found: BTreeMap<String, &Value> = BTreeMap::new();
    for record in records.values() {
        let key = text_of(&record["External_Id"]);
        assert!(found.insert(key, record).is_none(), "a record is doubled");
    }
    assert!(
        found.keys().eq(expected.keys()),
        "{} records of {}",
        found.len(),
        expected.len()
    );
    for (key, row) in expected {
        assert_same(row, found[key], ";");
    }
}
