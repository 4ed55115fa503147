//! `target-bigquery` against servers that none of us wrote: bqemulator plays BigQuery, and Google's own
//! client for Python says what is there. Each test has a data set of its own on one server.
//!
//! What bqemulator cannot do is left to other tests: BIGNUMERIC columns, columns that are added later,
//! an id of a job that is sent twice, rows that are refused, RECORD and changes by the Storage Write
//! API, BYTES in a load job, words of SQL as names inside a RECORD.

mod case;
mod client;
mod killed;
mod types;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::{
    Case, assert_rows, contact, contact_properties, nested, nested_properties, printed, records,
    schema, state, truth, version,
};

#[test]
fn rows_are_merged_and_the_newest_wins() {
    let Some(case) = Case::new("upsert") else {
        return;
    };
    let schema = schema("contacts", &nested_properties(), &["id"]);
    let mut expected = truth((0..600).map(|id| nested(id, 1)));
    let first = schema.clone() + &records("contacts", expected.values().cloned()) + &state(1);
    let ended = case.run(json!({}), &first);
    assert_eq!(printed(&ended.stdout), [1]);
    assert_rows(&case.only_table("contacts"), &expected);

    let changed: Vec<Value> = (400..800).map(|id| nested(id, 3)).collect();
    expected.extend(truth(changed.clone()));
    let partial = json!({"id": 7, "updated_at": "2026-01-03T00:00:00.000000Z", "score": 0.5});
    for (column, value) in partial.as_object().expect("an object") {
        expected.get_mut(&7).expect("a row")[column] = value.clone();
    }
    // Twice in one batch: the last one wins.
    let twice = [nested(8, 2), nested(8, 3)];
    expected.insert(8, nested(8, 3));
    let rows = changed.into_iter().chain([partial]).chain(twice);
    let second = schema.clone() + &records("contacts", rows) + &state(2);
    // An older version of a row that comes late.
    let late = schema + &records("contacts", [nested(500, 2)]) + &state(3);
    for (input, state) in [(&second, 2), (&second, 2), (&late, 3)] {
        let small_batches = json!({"batch": {"max_records": 150}});
        let ended = case.run(small_batches, input);
        assert_eq!(printed(&ended.stdout), [state]);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn rows_without_a_key_are_appended() {
    let Some(case) = Case::new("append") else {
        return;
    };
    let schema = schema("contacts", &nested_properties(), &[]);
    let mut expected = BTreeMap::new();
    for run in 0..2 {
        let rows = truth((0..300).map(|id| nested(run * 300 + id, 1)));
        let input = schema.clone() + &records("contacts", rows.values().cloned()) + &state(1);
        case.run(json!({"batch": {"max_records": 100}}), &input);
        expected.extend(rows);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn superseded_versions_are_deleted() {
    let Some(case) = Case::new("append_dedupe") else {
        return;
    };
    let schema = schema("contacts", &contact_properties(), &["id"]);
    let settings = |every: u64| {
        let dedupe = json!({"every_seconds": every, "older_than_seconds": 0});
        json!({"mode": "append_dedupe", "dedupe": dedupe})
    };
    // Both revisions in one run, the older one last: the column decides.
    let input = schema.clone()
        + &records("contacts", (0..100).map(|id| contact(id, 2)))
        + &records("contacts", (0..100).map(|id| contact(id, 1)));
    case.run(settings(0), &input);
    let expected = truth((0..100).map(|id| contact(id, 2)));
    assert_rows(&case.only_table("contacts"), &expected);

    // Deleted a moment ago: this time every version stays.
    let input = schema + &records("contacts", (0..100).map(|id| contact(id, 3)));
    case.run(settings(86_400), &input);
    assert_eq!(case.only_table("contacts").rows.len(), 200);
}

#[test]
fn a_table_is_replaced_at_once() {
    let Some(case) = Case::new("replace") else {
        return;
    };
    let settings = json!({
        "mode": "replace", "partition_by": {"field": "updated_at", "type": "MONTH"}, "cluster_by": ["active"],
    });
    for (stream, key) in [("keyed", &["id"][..]), ("keyless", &[])] {
        let schema = schema(stream, &contact_properties(), key);
        let replaced = |number: u64, rows: u64| {
            let rows = (0..rows).map(|id| contact(id, number));
            schema.clone() + &version(stream, number, rows) + &state(1)
        };
        case.run(settings.clone(), &replaced(1, 200));
        let table = case.tables().remove(stream).expect("a table");
        assert_rows(&table, &truth((0..200).map(|id| contact(id, 1))));
        case.run(settings.clone(), &replaced(2, 150));
        let mut tables = case.tables();
        let table = tables.remove(stream).expect("a table");
        assert_rows(&table, &truth((0..150).map(|id| contact(id, 2))));
        assert_eq!(table.about["partitioned_by"], "updated_at");
        assert_eq!(table.about["clustered_by"], json!(["active"]));
        assert_eq!(table.about["labels"], json!({"loader": "target-bigquery"}));
        assert!(tables.keys().all(|name| !name.contains("__")), "{tables:?}");
    }
}

#[test]
fn a_version_that_is_not_whole_replaces_nothing() {
    let Some(case) = Case::new("half_replaced") else {
        return;
    };
    let schema = schema("contacts", &contact_properties(), &["id"]);
    let settings = json!({"mode": "replace"});
    let whole = version("contacts", 1, (0..50).map(|id| contact(id, 1)));
    case.run(settings.clone(), &(schema.clone() + &whole));
    let half = version("contacts", 2, (0..50).map(|id| contact(id, 2)));
    let half: Vec<&str> = half.split_inclusive('\n').take(30).collect();
    case.run(settings, &(schema + &half.concat()));
    let table = case.tables().remove("contacts").expect("a table");
    assert_rows(&table, &truth((0..50).map(|id| contact(id, 1))));
}

#[test]
fn rows_are_committed_through_pending_streams() {
    let Some(case) = Case::new("storage_write") else {
        return;
    };
    let schema = schema("contacts", &contact_properties(), &[]);
    let mut expected = BTreeMap::new();
    for run in 0..2 {
        let rows = truth((0..400).map(|id| contact(run * 400 + id, 1)));
        let input = schema.clone() + &records("contacts", rows.values().cloned()) + &state(1);
        // Several requests for each stream, several streams.
        let settings = json!({
            "method": "storage_write", "append_request_bytes": 10_000, "batch": {"max_records": 150},
        });
        let ended = case.run(settings, &input);
        assert_eq!(printed(&ended.stdout), [1]);
        expected.extend(rows);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn rows_are_streamed_by_insert_all() {
    let Some(case) = Case::new("streaming") else {
        return;
    };
    let rows = truth((0..300).map(|id| nested(id, 1)));
    let input = schema("contacts", &nested_properties(), &[])
        + &records("contacts", rows.values().cloned())
        + &state(1);
    let ended = case.run(json!({"method": "streaming", "insert_rows": 70}), &input);
    assert_eq!(printed(&ended.stdout), [1]);
    assert_rows(&case.only_table("contacts"), &rows);
}

#[test]
fn rows_that_were_deleted_at_the_source_are_deleted() {
    let Some(case) = Case::new("deleted") else {
        return;
    };
    let mut properties = contact_properties();
    properties["_sdc_deleted_at"] = json!({"type": ["null", "string"], "format": "date-time"});
    let schema = schema("contacts", &properties, &["id"]);
    let mut expected = truth((0..50).map(|id| contact(id, 1)));
    let first = records("contacts", expected.values().cloned());
    case.run(json!({"on_delete": "hard"}), &(schema.clone() + &first));
    // One that is there, one that never was, and one whose deletion is older than the row.
    let gone = [(3, 2), (1000, 2), (4, 0)].map(|(id, revision)| {
        json!({
            "id": id, "updated_at": format!("2026-01-{:02}T23:59:59.999999Z", 1 + revision % 31),
            "_sdc_deleted_at": "2026-01-02T00:00:00Z",
        })
    });
    let [present, absent, mut late] = gone;
    late["updated_at"] = json!("2025-12-31T00:00:00Z");
    let second = records("contacts", [present, absent, late, contact(5, 2)]);
    expected.remove(&3);
    expected.insert(5, contact(5, 2));
    case.run(json!({"on_delete": "hard"}), &(schema + &second));
    assert_rows(&case.only_table("contacts"), &expected);
}

#[test]
fn rows_that_vanished_are_deleted_or_marked() {
    for (on_delete, dataset) in [("hard", "vanished_hard"), ("soft", "vanished_soft")] {
        let Some(case) = Case::new(dataset) else {
            return;
        };
        let schema = schema("contacts", &contact_properties(), &["id"]);
        for number in 1..=2 {
            let rows = (0..60).filter(|id| number == 1 || id % 3 > 0);
            let rows = version("contacts", number, rows.map(|id| contact(id, number)));
            case.run(json!({"on_delete": on_delete}), &(schema.clone() + &rows));
        }
        let mut table = case.only_table("contacts");
        if on_delete == "soft" {
            assert_eq!(table.rows.len(), 60);
            for row in &table.rows {
                let is_gone = row["id"].as_u64().expect("an id") % 3 == 0;
                assert_eq!(row["_sdc_deleted_at"].is_string(), is_gone, "{row}");
            }
            table.rows.retain(|row| row["_sdc_deleted_at"].is_null());
        }
        let rows = (0..60).filter(|id| id % 3 > 0).map(|id| contact(id, 2));
        assert_rows(&table, &truth(rows));
    }
}

#[test]
fn a_column_leads_rows_to_their_data_sets() {
    let Some(case) = Case::new("tenant_{score}") else {
        return;
    };
    let mut properties = contact_properties();
    properties["score"] = json!({"type": "integer"});
    let rows: Vec<Value> = (0..60)
        .map(|id| {
            let mut row = contact(id, 1);
            row["score"] = json!(id % 2);
            row
        })
        .collect();
    let input = schema("contacts", &properties, &["id"]) + &records("contacts", rows.clone());
    case.run(json!({}), &input);
    for tenant in 0..2 {
        let table = case
            .server
            .tables(&format!("tenant_{tenant}"))
            .remove("contacts");
        let own = rows.iter().filter(|row| row["score"] == tenant).cloned();
        assert_rows(&table.expect("a table"), &truth(own));
    }
}

#[test]
fn a_state_is_printed_while_the_run_goes_on_once_its_rows_are_there() {
    for (method, dataset) in [
        ("load", "states_load"),
        ("storage_write", "states_storage_write"),
    ] {
        let Some(case) = Case::new(dataset) else {
            return;
        };
        // A batch that is half full ends at the next STATE.
        let settings = json!({"method": method, "batch": {"max_records": 100}});
        let mut running = case.target(settings).held_stdin().start();
        assert!(running.feed(schema("contacts", &contact_properties(), &[])));
        let mut expected = BTreeMap::new();
        for number in 1..=2 {
            let rows = truth((0..50).map(|id| contact(number * 50 + id, 1)));
            let rest = records("contacts", rows.values().cloned()) + &state(number as usize);
            assert!(running.feed(rest));
            running.wait_for_lines(number as usize);
            expected.extend(rows);
            assert_rows(&case.tables()["contacts"], &expected);
        }
        let ended = running.finish();
        ended.expect_code(0);
        assert_eq!(printed(&ended.stdout), [1, 2]);
    }
}

#[test]
fn the_check_finds_every_permission() {
    let Some(case) = Case::new("checked") else {
        return;
    };
    let input = schema("contacts", &contact_properties(), &["id"]);
    for _ in 0..2 {
        let streams = json!({"streams": {"contacts": {}}});
        case.target(streams.clone())
            .arg("--check")
            .finish()
            .expect_code(0);
        // The second check finds a table.
        case.run(streams, &input);
    }
}
