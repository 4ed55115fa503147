//! Tables that are replaced as a whole: at the end, in one step, by all rows or not at all.

use serde_json::json;
use singer_test::poll;

use crate::kit::{World, activate, keyless, printed, row, rows, schema, state, versioned};

fn replaced() -> serde_json::Value {
    json!({"mode": "replace"})
}

fn full(version: u64, numbers: std::ops::Range<u64>) -> String {
    schema() + &versioned(version, numbers, version) + &activate(version) + &state(version)
}

#[test]
fn a_version_takes_the_place_of_the_table_at_its_end() {
    for method in ["load", "storage_write"] {
        for key in [true, false] {
            let world = World::new();
            let extra = json!({"mode": "replace", "method": method});
            let schema = if key { schema() } else { keyless() };
            let full = |version: u64, numbers: std::ops::Range<u64>| {
                schema.clone()
                    + &versioned(version, numbers, version)
                    + &activate(version)
                    + &state(version)
            };
            let ended = world.feed(&extra, &full(1, 0..20));
            ended.expect_code(0);
            assert_eq!(printed(&ended), [1]);
            world.assert_orders(0..20, 1);
            world.feed(&extra, &full(2, 15..30)).expect_code(0);
            world.assert_orders(15..30, 2);
            assert_eq!(world.bigquery.tables("raw"), ["orders"], "{method} {key}");
        }
    }
}

#[test]
fn readers_see_the_old_table_until_all_of_the_new_one_is_there() {
    let world = World::new();
    world.feed(&replaced(), &full(1, 0..20)).expect_code(0);
    let mut extra = replaced();
    extra["batch"] = json!({"max_records": 10, "max_age_seconds": 0.05});
    let mut running = world.run(&extra).held_stdin().start();
    running.feed(schema() + &versioned(2, 15..45, 2));
    poll::until("rows of the new version are at BigQuery", || {
        let tables = world.bigquery.tables("raw");
        let hidden = tables.iter().find(|table| table.contains("__new_"));
        hidden.is_some_and(|table| world.bigquery.count(table) == Some(30))
    });
    world.assert_orders(0..20, 1);
    running.feed(activate(2) + &state(2));
    running.finish().expect_code(0);
    world.assert_orders(15..45, 2);
}

#[test]
fn a_tap_without_versions_replaces_the_table_at_the_end_of_its_input() {
    let world = World::new();
    let full = |numbers, revision| schema() + &rows(numbers, revision) + &state(revision);
    world.feed(&replaced(), &full(0..20, 1)).expect_code(0);
    world.assert_orders(0..20, 1);
    world.feed(&replaced(), &full(10..20, 2)).expect_code(0);
    world.assert_orders(10..20, 2);
}

#[test]
fn an_interrupted_version_is_resumed_and_ends_as_a_whole() {
    let world = World::new();
    world.feed(&replaced(), &full(1, 0..20)).expect_code(0);
    // The tap dies in the middle of version 2; its state says that it is resumed.
    let half = schema() + &versioned(2, 10..30, 2) + &state(2);
    let mut running = world.run(&replaced()).held_stdin().start();
    running.feed(half);
    running.signal(singer_test::bin::Signal::Terminate);
    running.finish();
    world.assert_orders(0..20, 1);
    let half = schema() + &versioned(2, 10..30, 2);
    world.feed(&replaced(), &half).expect_code(0);
    world.assert_orders(0..20, 1);
    world.feed(&replaced(), &full(2, 30..40)).expect_code(0);
    world.assert_orders(10..40, 2);
    assert_eq!(world.bigquery.tables("raw"), ["orders"]);
}

#[test]
fn a_version_that_lost_rows_takes_effect_and_gets_them_back_from_the_rejects() {
    let world = World::new();
    world.feed(&replaced(), &full(1, 0..20)).expect_code(0);
    let bad = row(&json!({"id": 99, "name": "x", "revision": 1}))
        .replace("\"record\"", "\"version\":2,\"record\"")
        .replace("\"revision\":1", "\"revision\":99999999999999999999999");
    let input = schema() + &versioned(2, 0..3, 2) + &bad + &activate(2) + &state(2);
    let ended = world.feed(&replaced(), &input);
    ended.expect_code(3);
    world.assert_orders(0..3, 2);
    let repaired = world.folder.read("rejects.jsonl");
    let repaired = repaired.replace("99999999999999999999999", "5");
    world.folder.write("repaired.jsonl", repaired);
    let run = world.run(&replaced()).args(["--input", "repaired.jsonl"]);
    run.finish().expect_code(0);
    let stored = world.bigquery.by("orders", "id");
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["0", "1", "2", "99"]);
}

#[test]
fn a_version_of_which_every_row_was_refused_does_not_empty_the_table() {
    for method in ["load", "storage_write"] {
        for key in [true, false] {
            let world = World::new();
            let extra = json!({"mode": "replace", "method": method});
            let schema = if key { schema() } else { keyless() };
            let first = schema.clone() + &versioned(1, 0..5, 1) + &activate(1) + &state(1);
            world.feed(&extra, &first).expect_code(0);
            let bad = versioned(2, 0..3, 2)
                .replace("\"revision\":2", "\"revision\":99999999999999999999999");
            world
                .feed(&extra, &(schema + &bad + &activate(2) + &state(2)))
                .expect_code(3);
            world.assert_orders(0..5, 1);
        }
    }
}

#[test]
fn refused_records_that_are_sent_again_do_not_replace_the_table() {
    let world = World::new();
    world.feed(&replaced(), &full(1, 0..20)).expect_code(0);
    let reject = json!({"stream": "orders", "key": {"id": 7}, "record": {"id": 7, "name": "Order 7 of 2",
        "revision": 2}, "reason": "x", "code": "x", "line": 1, "attempts": 1,
        "at": "2026-01-01T00:00:00Z", "run_id": "r", "key_properties": ["id"]});
    world.folder.write("old.jsonl", format!("{reject}\n"));
    let run = world.run(&replaced()).args(["--input", "old.jsonl"]);
    run.finish().expect_code(0);
    let stored = world.bigquery.by("orders", "id");
    assert_eq!(stored.len(), 20);
    assert_eq!(stored["7"]["revision"], 2);
    assert_eq!(stored["8"]["revision"], 1);
}

#[test]
fn a_version_without_rows_empties_the_table_only_if_it_may() {
    let world = World::new();
    world.feed(&replaced(), &full(1, 0..20)).expect_code(0);
    world.feed(&replaced(), &full(2, 0..0)).expect_code(0);
    world.assert_orders(0..20, 1);
    let mut extra = replaced();
    extra["allow_empty"] = json!(true);
    let ended = world.feed(&extra, &full(3, 0..0));
    ended.expect_code(0).expect_log("replaced the table");
    assert_eq!(world.bigquery.count("orders"), Some(0));
}

#[test]
fn a_key_that_comes_twice_in_a_replaced_table_stands_once() {
    let world = World::new();
    let input = schema()
        + &versioned(1, 0..10, 1)
        + &state(1)
        + &versioned(1, 5..15, 1)
        + &activate(1)
        + &state(2);
    let mut extra = replaced();
    extra["batch"] = json!({"max_records": 10});
    world.feed(&extra, &input).expect_code(0);
    world.assert_orders(0..15, 1);
}
