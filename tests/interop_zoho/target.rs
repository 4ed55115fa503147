//! `target-analytics` into views that Zoho's client reads back: rows, types and counts are those that were
//! sent, whichever way they went.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};

use crate::case::{Case, View, text_of};

/// What each property becomes.
const TYPES: [(&str, &str); 9] = [
    ("id", "NUMBER"),
    ("name", "PLAIN"),
    ("note", "MULTI_LINE"),
    ("score", "DECIMAL_NUMBER"),
    ("active", "BOOLEAN"),
    ("seen", "DATE"),
    ("day", "DATE_AS_DATE"),
    ("nested", "MULTI_LINE"),
    ("large", "NUMBER"),
];

#[test]
fn rows_with_a_key_are_updated_or_added() {
    let Some(case) = Case::new() else { return };
    let mut expected = truth((0..300).map(|id| contact(id, 1)));
    run(&case, json!({}), &messages(&["id"], expected.values()));
    let view = case.view("contacts");
    assert_types(&view);
    assert_rows(&view, &expected);
    let changed = truth((200..400).map(|id| contact(id, 2)));
    run(&case, json!({}), &messages(&["id"], changed.values()));
    expected.extend(changed);
    assert_rows(&case.view("contacts"), &expected);
    // A part of a row leaves the rest of it alone, a null clears a cell.
    let part = json!({"id": 7, "name": "part", "note": null});
    run(&case, json!({}), &messages(&["id"], [&part]));
    let row = expected.get_mut(&7).expect("a row");
    row["name"] = json!("part");
    row["note"] = Value::Null;
    assert_rows(&case.view("contacts"), &expected);
}

#[test]
fn rows_without_a_key_are_appended() {
    let Some(case) = Case::new() else { return };
    let mut expected = BTreeMap::new();
    for round in 0..2 {
        let rows = truth((0..150).map(|id| contact(round * 150 + id, 1)));
        let small = json!({"batch": {"max_records": 60}});
        run(&case, small, &messages(&[], rows.values()));
        expected.extend(rows);
        assert_rows(&case.view("contacts"), &expected);
    }
}

#[test]
fn a_view_is_replaced_by_a_version() {
    let Some(case) = Case::new() else { return };
    let settings = json!({"streams": {"contacts": {"mode": "replace"}}});
    for (version, rows) in [(1, 200), (2, 150)] {
        let rows = truth((0..rows).map(|id| contact(id, version)));
        run(&case, settings.clone(), &whole(version, rows.values()));
        assert_rows(&case.view("contacts"), &rows);
    }
}

#[test]
fn single_rows_are_written_and_deleted() {
    let Some(case) = Case::new() else { return };
    let settings = json!({"streams": {"contacts": {"mode": "row", "on_delete": "delete"}}});
    let mut expected = truth((0..12).map(|id| contact(id, 1)));
    let input = messages(&["id"], expected.values());
    run(&case, settings.clone(), &input);
    assert_types(&case.view("contacts"));
    assert_rows(&case.view("contacts"), &expected);
    let mut gone = contact(3, 2);
    gone["_sdc_deleted_at"] = json!("2026-03-01T00:00:00Z");
    let rows = [contact(5, 2), gone, contact(40, 1)];
    run(&case, settings, &messages(&["id"], rows.iter()));
    expected.remove(&3);
    expected.insert(5, contact(5, 2));
    expected.insert(40, contact(40, 1));
    assert_rows(&case.view("contacts"), &expected);
}

#[test]
fn rows_that_vanished_are_deleted_by_their_keys() {
    let Some(case) = Case::new() else { return };
    let settings = json!({"streams": {"contacts": {"on_delete": "delete"}}});
    let first = truth((0..120).map(|id| contact(id, 1)));
    run(&case, settings.clone(), &messages(&["id"], first.values()));
    let mut rows: Vec<Value> = (0..120)
        .filter(|id| id % 4 == 0)
        .map(|id| {
            let mut row = contact(id, 2);
            row["_sdc_deleted_at"] = json!("2026-03-01T00:00:00Z");
            row
        })
        .collect();
    rows.push(contact(1, 2));
    run(&case, settings, &messages(&["id"], rows.iter()));
    let mut expected = first;
    expected.retain(|id, _| id % 4 > 0);
    expected.insert(1, contact(1, 2));
    assert_rows(&case.view("contacts"), &expected);
}

#[test]
fn rows_at_fault_are_rejected_and_the_others_stand() {
    let Some(case) = Case::new() else { return };
    let mut rows: Vec<Value> = (0..80).map(|id| contact(id, 1)).collect();
    // More digits than a column of numbers has, and a day that no calendar has.
    let vast: Value = serde_json::from_str("123456789012345678901234567890").expect("a number");
    rows[17]["large"] = vast;
    rows[33]["day"] = json!("2026-02-30");
    let ended = target(&case, json!({"validate_records": false}))
        .stdin(messages(&["id"], &rows))
        .finish();
    ended.expect_code(3);
    assert_eq!(ended.text(), "{\"done\":true}\n");
    let mut expected = truth(rows.into_iter());
    expected.retain(|id, _| ![17, 33].contains(id));
    assert_rows(&case.view("contacts"), &expected);
    let rejects = case.folder.read("target-analytics.rejects.jsonl");
    assert_eq!(rejects.lines().count(), 2, "{rejects}");
}

#[test]
fn a_view_that_people_made_keeps_its_columns_and_gets_what_it_lacks() {
    let Some(case) = Case::new() else { return };
    let design = json!({"TABLENAME": "People", "COLUMNS": [
        {"COLUMNNAME": "Ours", "DATATYPE": "PLAIN"},
        {"COLUMNNAME": "id", "DATATYPE": "NUMBER"},
        {"COLUMNNAME": "score", "DATATYPE": "DECIMAL_NUMBER"},
        {"COLUMNNAME": "name", "DATATYPE": "MULTI_LINE"},
    ]});
    let analytics = case.sandbox.analytics();
    analytics.create_table(&design).expect("the table is made");
    let own = [
        json!({"Ours": "mine", "id": "1", "name": "old"}),
        json!({"Ours": "mine as well", "id": "1000", "name": "kept"}),
    ];
    analytics.put_rows("People", &own).expect("rows are put");
    let settings = json!({"streams": {"contacts": {"view": "People"}}});
    let rows = truth((0..50).map(|id| contact(id, 1)));
    run(&case, settings, &messages(&["id"], rows.values()));
    let view = case.view("People");
    assert_eq!(view.columns["name"], "MULTI_LINE");
    assert_eq!(view.columns["seen"], "DATE");
    let stored = view.by("id");
    assert_eq!(stored.len(), 51);
    assert_eq!(stored["1000"]["name"], "kept");
    assert_eq!(stored["1"]["Ours"], "mine");
    assert_eq!(stored["1"]["name"], rows[&1]["name"]);
    assert_eq!(stored["49"]["large"], text_of(&rows[&49]["large"]));
}

/// Runs to an end that must be good, with the last state on stdout.
#[track_caller]
fn run(case: &Case, settings: Value, input: &str) -> Finished {
    let ended = target(case, settings).stdin(input).finish();
    ended.expect_code(0);
    assert_eq!(ended.text(), "{\"done\":true}\n");
    ended
}

/// The target in the folder of a case.
pub(crate) fn target(case: &Case, settings: Value) -> Run {
    let Value::Object(settings) = settings else {
        panic!("settings are an object")
    };
    let analytics = case.sandbox.analytics();
    let mut all = json!({
        "analytics_url": case.sandbox.analytics_url(), "org_id": analytics.org(),
        "workspace_id": analytics.workspace(),
    });
    all.as_object_mut()
        .expect("a config is an object")
        .extend(settings);
    Run::of("target-analytics")
        .arg("--config")
        .arg(case.config("target-analytics.json", all))
        .folder(case.folder.path())
}

fn contact(id: u64, revision: u64) -> Value {
    json!({
        "id": id,
        "name": format!("Zo\u{eb} {id}"),
        "note": format!("revision {revision},\nsaid \"no\"\r\n# {id}"),
        "score": id as f64 + 0.25,
        "active": id.is_multiple_of(2),
        "seen": format!("2026-02-{:02}T{:02}:59:59Z", id % 28 + 1, revision),
        "day": format!("2026-02-{:02}", id % 28 + 1),
        "nested": {"a": [1, null], "b": "c"},
        // Above what a float can hold.
        "large": 9_007_199_254_740_993_u64 + id,
    })
}

fn schema(key: &[&str]) -> String {
    let text = |more: Value| {
        let mut property = json!({"type": ["null", "string"]});
        if let (Some(property), Value::Object(more)) = (property.as_object_mut(), more) {
            property.extend(more);
        }
        property
    };
    let message = json!({
        "type": "SCHEMA", "stream": "contacts", "key_properties": key,
        "schema": {"type": "object", "properties": {
            "id": {"type": "integer"},
            "name": text(json!({"maxLength": 100})),
            "note": text(json!({})),
            "score": {"type": ["null", "number"]},
            "active": {"type": ["null", "boolean"]},
            "seen": text(json!({"format": "date-time"})),
            "day": text(json!({"format": "date"})),
            "nested": {"type": ["null", "object"]},
            "large": {"type": ["null", "integer"]},
            "_sdc_deleted_at": text(json!({"format": "date-time"})),
        }},
    });
    format!("{message}\n")
}

fn messages<'a>(key: &[&str], rows: impl IntoIterator<Item = &'a Value>) -> String {
    let mut text = schema(key);
    for row in rows {
        let message = json!({"type": "RECORD", "stream": "contacts", "record": row});
        text.push_str(&format!("{message}\n"));
    }
    text + "{\"type\":\"STATE\",\"value\":{\"done\":true}}\n"
}

fn whole<'a>(version: u64, rows: impl IntoIterator<Item = &'a Value>) -> String {
    let mut text = schema(&["id"]);
    for row in rows {
        let message =
            json!({"type": "RECORD", "stream": "contacts", "record": row, "version": version});
        text.push_str(&format!("{message}\n"));
    }
    let end = json!({"type": "ACTIVATE_VERSION", "stream": "contacts", "version": version});
    text + &format!("{end}\n{{\"type\":\"STATE\",\"value\":{{\"done\":true}}}}\n")
}

fn truth(rows: impl Iterator<Item = Value>) -> BTreeMap<u64, Value> {
    rows.map(|row| (row["id"].as_u64().expect("an id"), row))
        .collect()
}

#[track_caller]
fn assert_types(view: &View) {
    for (name, kind) in TYPES {
        assert_eq!(view.columns.get(name), Some(&json!(kind)), "{name}");
    }
}

/// The view holds these rows, each once.
#[track_caller]
fn assert_rows(view: &View, expected: &BTreeMap<u64, Value>) {
    let rows = view.by("id");
    let number = |id: &String| id.parse::<u64>().expect("an id is a number");
    let mut found: Vec<u64> = rows.keys().map(number).collect();
    found.sort_unstable();
    assert!(
        found.iter().eq(expected.keys()),
        "{} rows of {}",
        found.len(),
        expected.len()
    );
    assert_eq!(text_of(&view.count), expected.len().to_string());
    for (id, row) in rows {
        let wanted = &expected[&number(&id)];
        for (name, value) in wanted.as_object().expect("a row is an object") {
            let (cell, wanted) = (text_of(&row[name]), cell_of(name, value));
            assert_eq!(cell, wanted, "`{name}` of {id}");
        }
    }
}

/// The text that a value is in the view.
fn cell_of(name: &str, value: &Value) -> String {
    match (name, value) {
        ("seen", Value::String(time)) => time.replace('T', " ").replace('Z', ""),
        _ => text_of(value),
    }
}
