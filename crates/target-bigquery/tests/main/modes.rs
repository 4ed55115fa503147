//! What becomes of rows: append, upsert, append and dedupe, deleted rows. Replaced tables have their own
//! file.

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;

use crate::kit::{
    World, activate, document, keyless, line, printed, record, row, rows, schema, schema_of, state,
    versioned,
};

const METHODS: [&str; 3] = ["load", "storage_write", "streaming"];

#[test]
fn append_makes_each_record_a_row_and_a_second_run_makes_them_again() {
    for method in METHODS {
        let world = World::new();
        let extra = json!({"method": method, "mode": "append"});
        let input = schema() + &rows(0..10, 1) + &rows(0..1, 1) + &state(1);
        for run in 1..=2 {
            let ended = world.feed(&extra, &input);
            ended.expect_code(0);
            assert_eq!(printed(&ended), [1], "{method}");
            assert_eq!(world.bigquery.count("orders"), Some(11 * run), "{method}");
        }
    }
}

#[test]
fn a_stream_without_a_key_is_appended_by_each_method() {
    for method in METHODS {
        let world = World::new();
        let ended = world.feed(
            &json!({"method": method}),
            &(keyless() + &rows(0..20, 1) + &state(1)),
        );
        ended.expect_code(0);
        world.assert_orders(0..20, 1);
    }
}

#[test]
fn the_newest_row_of_a_key_wins_also_over_one_that_comes_later() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method, "streams": {"orders": {"order_by": "revision"}}});
        world
            .feed(&extra, &(schema() + &rows(0..6, 5)))
            .expect_code(0);
        // Read again from an older state: rows as they were before.
        world
            .feed(&extra, &(schema() + &rows(0..3, 4) + &rows(3..6, 6)))
            .expect_code(0);
        let stored = world.bigquery.by("orders", "id");
        let revisions: Vec<&Value> = stored.values().map(|row| &row["revision"]).collect();
        assert_eq!(revisions, [5, 5, 5, 6, 6, 6], "{method}");
    }
}

#[test]
fn without_an_order_the_last_record_wins_in_a_batch_and_between_runs() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method});
        world
            .feed(
                &extra,
                &(schema() + &rows(0..5, 9) + &rows(0..5, 3) + &rows(0..5, 4)),
            )
            .expect_code(0);
        world.assert_orders(0..5, 4);
        world
            .feed(&extra, &(schema() + &rows(0..5, 2)))
            .expect_code(0);
        world.assert_orders(0..5, 2);
    }
}

#[test]
fn a_property_that_is_missing_leaves_the_value_alone_and_null_clears_it() {
    let world = World::new();
    world
        .feed(&json!({}), &(schema() + &rows(0..3, 1)))
        .expect_code(0);
    let input = schema()
        + &row(&json!({"id": 0, "revision": 2}))
        + &row(&json!({"id": 1, "revision": 2, "name": null}))
        + &row(&json!({"id": 2, "name": "new", "revision": 2}));
    world.feed(&json!({}), &input).expect_code(0);
    let stored = world.bigquery.by("orders", "id");
    assert_eq!(stored["0"]["name"], "Order 0 of 1");
    assert_eq!(stored["1"]["name"], Value::Null);
    assert_eq!(stored["2"]["name"], "new");
    assert!(stored.values().all(|row| row["revision"] == 2));
}

#[test]
fn a_row_whose_key_is_null_is_refused_and_takes_no_neighbour_with_it() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let document = json!({"properties": {
            "id": {"type": ["null", "integer"]}, "part": {"type": ["null", "integer"]},
            "name": {"type": ["null", "string"]}}});
        let input = schema_of("orders", &document, &["id", "part"])
            + &row(&json!({"id": 1, "part": 1, "name": "a"}))
            + &row(&json!({"id": 2, "part": null, "name": "b"}))
            + &row(&json!({"id": 3, "part": 3, "name": "c"}))
            + &state(1);
        let ended = world.feed(&json!({"method": method}), &input);
        ended.expect_code(3);
        assert_eq!(printed(&ended), [1]);
        let stored = world.bigquery.by("orders", "id");
        assert_eq!(stored.keys().collect::<Vec<_>>(), ["1", "3"], "{method}");
        assert_eq!(world.rejects().len(), 1);
        assert_eq!(world.rejects()[0]["code"], "key");
    }
}

#[test]
fn superseded_versions_are_deleted_after_the_run_and_no_more_often_than_asked() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method, "mode": "append_dedupe",
            "dedupe": {"order_by": "revision", "every_seconds": 3600}});
        let input = schema() + &rows(0..5, 1) + &rows(0..5, 3) + &rows(0..5, 2) + &state(1);
        world.feed(&extra, &input).expect_code(0);
        world.assert_orders(0..5, 3);
        assert_eq!(world.bigquery.jobs("DELETE").len(), 1);
        // So soon it is not done again.
        world
            .feed(&extra, &(schema() + &rows(0..5, 4)))
            .expect_code(0);
        assert_eq!(world.bigquery.count("orders"), Some(10), "{method}");
        assert_eq!(world.bigquery.jobs("DELETE").len(), 1, "{method}");
    }
}

#[test]
fn rows_in_the_streaming_buffer_are_deleted_another_time() {
    let world = World::new();
    let soon = json!({"method": "streaming", "mode": "append_dedupe",
        "dedupe": {"older_than_seconds": 0, "every_seconds": 1}});
    let input = schema() + &rows(0..5, 1) + &rows(0..5, 2) + &state(1);
    let ended = world.feed(&soon, &input);
    ended.expect_code(0).expect_log("streaming buffer");
    assert_eq!(printed(&ended), [1]);
    assert_eq!(world.bigquery.count("orders"), Some(10));
    // Left to itself the target does not even ask for rows that may be in there.
    let patient = json!({"method": "streaming", "mode": "append_dedupe"});
    world.feed(&patient, &input).expect_code(0);
    assert_eq!(world.bigquery.count("orders"), Some(20));
    world.bigquery.inside().advance(7_200);
    world.feed(&soon, &(schema() + &state(2))).expect_code(0);
    world.feed(&soon, &input).expect_code(0);
}

#[test]
fn rows_that_come_with_a_time_of_deletion_are_marked_or_deleted() {
    let mut document = document();
    document["properties"]["_sdc_deleted_at"] =
        json!({"type": ["null", "string"], "format": "date-time"});
    let schema = schema_of("orders", &document, &["id"]);
    let mut deleted = record(1, 2);
    deleted["_sdc_deleted_at"] = json!("2026-01-02T03:04:05Z");
    for method in ["load", "storage_write"] {
        for on_delete in ["soft", "hard"] {
            let world = World::new();
            let extra = json!({"method": method, "on_delete": on_delete});
            world
                .feed(&extra, &(schema.clone() + &rows(0..3, 1)))
                .expect_code(0);
            let ended = world.feed(&extra, &(schema.clone() + &row(&deleted) + &state(1)));
            ended.expect_code(0);
            let stored = world.bigquery.by("orders", "id");
            if on_delete == "hard" {
                assert_eq!(stored.keys().collect::<Vec<_>>(), ["0", "2"], "{method}");
            } else {
                assert_eq!(stored.len(), 3, "{method}");
                let at = stored["1"]["_sdc_deleted_at"].as_str();
                assert!(at.is_some_and(|at| at.starts_with("2026-01-02")), "{at:?}");
                assert_eq!(stored["0"]["_sdc_deleted_at"], Value::Null);
            }
        }
    }
}

#[test]
fn rows_that_vanished_from_a_full_table_are_marked_or_deleted() {
    for on_delete in ["soft", "hard"] {
        let world = World::new();
        let extra = json!({"on_delete": on_delete});
        let full = |version: u64, numbers: std::ops::Range<u64>| {
            schema() + &versioned(version, numbers, version) + &activate(version) + &state(version)
        };
        world.feed(&extra, &full(1, 0..6)).expect_code(0);
        world.feed(&extra, &full(2, 2..8)).expect_code(0);
        let stored = world.bigquery.by("orders", "id");
        if on_delete == "hard" {
            world.assert_orders(2..8, 2);
        } else {
            let marked: Vec<&String> = stored
                .iter()
                .filter(|(_, row)| !row["_sdc_deleted_at"].is_null())
                .map(|(id, _)| id)
                .collect();
            assert_eq!(marked, ["0", "1"]);
            assert_eq!(stored.len(), 8);
        }
        // One that comes back is no longer marked.
        world.feed(&extra, &full(3, 0..8)).expect_code(0);
        let stored = world.bigquery.by("orders", "id");
        assert_eq!(stored.len(), 8);
        if on_delete == "soft" {
            assert!(stored.values().all(|row| row["_sdc_deleted_at"].is_null()));
        }
    }
}

#[test]
fn what_is_known_of_a_record_besides_goes_to_columns_if_asked() {
    let world = World::new();
    let ended = world.feed(
        &json!({"add_record_metadata": true}),
        &(schema() + &rows(0..3, 1) + &state(1)),
    );
    ended.expect_code(0);
    let columns = world.bigquery.columns("orders");
    for (column, kind) in [
        ("_sdc_received_at", "TIMESTAMP"),
        ("_sdc_batched_at", "TIMESTAMP"),
        ("_sdc_sequence", "INTEGER"),
    ] {
        assert_eq!(
            columns.get(column).map(String::as_str),
            Some(kind),
            "{columns:?}"
        );
    }
    assert!(
        world
            .bigquery
            .rows("orders")
            .iter()
            .all(|row| !row["_sdc_batched_at"].is_null() && !row["_sdc_sequence"].is_null())
    );
}

#[test]
fn records_that_were_refused_are_sent_again_from_their_file() {
    for method in METHODS {
        let world = World::new();
        let document = json!({"properties": {"id": {"type": "integer"}, "on": {"type": ["null", "string"], "format": "date"}}});
        let input = schema_of("orders", &document, &["id"])
            + &row(&json!({"id": 1, "on": "2026-01-01"}))
            + &row(&json!({"id": 2, "on": "2026-02-30"}))
            + &state(1);
        let extra = json!({"method": method});
        world.feed(&extra, &input).expect_code(3);
        assert_eq!(world.bigquery.count("orders"), Some(1), "{method}");
        let repaired = world
            .folder
            .read("rejects.jsonl")
            .replace("2026-02-30", "2026-02-28");
        world.folder.write("repaired.jsonl", repaired);
        let run = world.run(&extra).args(["--input", "repaired.jsonl"]);
        run.finish().expect_code(0);
        assert_eq!(world.bigquery.by("orders", "id")["2"]["on"], "2026-02-28");
        // The schema was guessed from the file, and changed nothing of the table.
        assert_eq!(world.bigquery.columns("orders").len(), 2, "{method}");
    }
}

#[test]
fn a_batch_is_several_requests_where_it_must_be() {
    let world = World::new();
    let extra = json!({"method": "streaming", "insert_rows": 10});
    let ended = world.feed(&extra, &(schema() + &rows(0..95, 1) + &state(1)));
    ended.expect_code(0);
    world.assert_orders(0..95, 1);
    let extra = json!({"method": "storage_write", "append_request_bytes": 2_000});
    let world = World::new();
    world
        .feed(&extra, &(keyless() + &rows(0..300, 1) + &state(1)))
        .expect_code(0);
    world.assert_orders(0..300, 1);
    let world = World::new();
    let extra = json!({"upload_chunk_bytes": 262_144, "compression": "none"});
    let long = "x".repeat(1_000);
    let many: String = (0..800)
        .map(|number| row(&json!({"id": number, "name": format!("{long}{number}"), "revision": 1})))
        .collect();
    world
        .feed(&extra, &(schema() + &many + &state(1)))
        .expect_code(0);
    assert_eq!(world.bigquery.by("orders", "id").len(), 800);
}

#[test]
fn a_stand_in_that_is_slow_with_its_jobs_is_waited_for() {
    let bigquery = BigQuery::start_with(|options| options.bigquery.job_polls = 2);
    let world = World::with(bigquery);
    world
        .feed(&json!({}), &(schema() + &rows(0..5, 1) + &state(1)))
        .expect_code(0);
    world.assert_orders(0..5, 1);
}

#[test]
fn unknown_members_of_records_are_left_out() {
    for method in METHODS {
        let world = World::new();
        let mut odd = record(1, 1);
        odd["unknown"] = json!({"a": 1});
        world
            .feed(&json!({"method": method}), &(schema() + &row(&odd)))
            .expect_code(0);
        world.assert_orders([1], 1);
        assert_eq!(world.bigquery.columns("orders").len(), 3);
    }
}

#[test]
fn nothing_is_left_behind_by_a_run_that_ends_well() {
    let world = World::new();
    world
        .feed(&json!({}), &(schema() + &rows(0..5, 1) + &state(1)))
        .expect_code(0);
    world
        .feed(
            &json!({"mode": "append"}),
            &(schema() + &rows(5..9, 1) + &line(&json!({"type": "STATE", "value": {"n": 2}}))),
        )
        .expect_code(0);
    assert_eq!(world.bigquery.tables("raw"), ["orders"]);
    let journal = std::fs::read_dir(world.folder.file("target-bigquery.journal"));
    let left: Vec<String> = journal
        .expect("there is a journal")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
