//! What goes wrong at the service, and what is left of it.

use serde_json::{Value, json};

use crate::kit::{
    Analytics, World, activate, orders, row, rows, schema, schema_with, state, versioned,
};

/// A table whose `name` holds short texts alone.
fn strict() -> World {
    let world = World::new();
    let made = format!("{}{}{}", schema(), rows(0..1, 1), state(0));
    world.feed(&json!({}), &made).expect_code(0);
    world
}

fn long(id: u64) -> String {
    row(&json!({"id": id, "name": "x".repeat(254), "revision": 1}))
}

#[test]
fn rows_that_analytics_refuses_are_rejects_in_its_words() {
    let world = strict();
    let input = format!(
        "{}{}{}{}{}{}",
        schema(),
        rows(1..20, 1),
        long(20),
        rows(21..40, 1),
        long(40),
        state(1)
    );
    let ended = world.feed(&json!({"validate_records": false}), &input);
    ended.expect_code(3);
    assert_eq!(world.analytics.by_id("orders").len(), 39);
    let rejects = world.rejects();
    let ids: Vec<&serde_json::Value> = rejects.iter().map(|it| &it["key"]["id"]).collect();
    assert_eq!(ids, [&json!(20), &json!(40)]);
    assert!(
        rejects[0]["reason"]
            .as_str()
            .unwrap()
            .contains("column `name`")
    );
    assert!(!rejects[0]["reason"].as_str().unwrap().contains("xxxx"));
    assert_eq!(ended.text().trim(), r#"{"n":1}"#);
}

#[test]
fn more_rows_than_analytics_names_are_found_all_the_same() {
    let world = strict();
    let bad: String = (1..=250).map(|number| long(2 * number)).collect();
    let good = rows((0..=250).map(|number| 2 * number + 1), 1);
    let input = format!("{}{bad}{good}{}", schema(), state(1));
    world
        .feed(&json!({"validate_records": false}), &input)
        .expect_code(3);
    assert_eq!(world.rejects().len(), 250);
    assert_eq!(world.analytics.by_id("orders").len(), 252);
}

#[test]
fn rows_at_fault_do_not_keep_others_from_being_appended_once() {
    let world = World::new();
    let schema = schema_with(&json!({}), &[]);
    let input = format!(
        "{schema}{}{}{}{}",
        rows(0..10, 1),
        long(10),
        rows(11..20, 1),
        state(1)
    );
    world
        .feed(&json!({"validate_records": false}), &input)
        .expect_code(3);
    assert_eq!(world.analytics.by_id("orders").len(), 19);
    assert_eq!(world.rejects().len(), 1);
}

/// A table whose five rows were put there by a replacement, and the config of that run.
fn replaced() -> (World, Value) {
    let world = World::new();
    let config = orders(json!({"mode": "replace"}));
    let first = format!(
        "{}{}{}{}",
        schema(),
        versioned(1, 0..5),
        activate(1),
        state(1)
    );
    world.feed(&config, &first).expect_code(0);
    (world, config)
}

#[test]
fn a_replacement_with_a_row_at_fault_leaves_the_table_as_it_was() {
    let (world, mut config) = replaced();
    config["validate_records"] = json!(false);
    let bad = long(7).replace("\"stream\"", "\"version\":2,\"stream\"");
    let second = format!(
        "{}{}{bad}{}{}",
        schema(),
        versioned(2, 5..7),
        activate(2),
        state(2)
    );
    let ended = world.feed(&config, &second);
    ended.expect_code(1);
    ended.expect_log("the table is as it was");
    assert_eq!(ended.text(), "");
    assert_eq!(world.analytics.by_id("orders").len(), 5);
}

#[test]
fn refused_rows_of_a_replacement_are_added_when_they_come_again() {
    let (world, config) = replaced();
    let rejects = json!({"stream": "orders", "key": {"id": 7}, "record": {"id": 7, "name": "late"},
        "reason": "x", "code": "range", "line": 3, "attempts": 1, "at": "2026-01-01T00:00:00Z", "run_id": "r"});
    world.feed(&config, &format!("{rejects}\n")).expect_code(0);
    assert_eq!(world.analytics.by_id("orders").len(), 6);
}

#[test]
fn bursts_of_errors_and_broken_connections_lose_and_double_nothing() {
    for fault in [
        "error:status=500,every=3,times=2",
        "reset:every=3,times=2",
        "reset:when=after,path=/bulk/,method=post,times=2",
        "analytics-error:code=7005,when=after,path=/bulk/,times=2",
        "cut:every=3,times=2",
    ] {
        let world = World::new();
        world.analytics.set_faults(&[fault]);
        let config = json!({"attempts": 8, "batch_bytes": 8_000, "request_timeout_seconds": 2});
        let input = format!("{}{}{}", schema(), rows(0..300, 1), state(1));
        let ended = world.feed(&config, &input);
        ended.expect_code(0);
        assert!(world.analytics.struck() > 0, "{fault}");
        assert_eq!(world.analytics.by_id("orders").len(), 300, "{fault}");
    }
}

#[test]
fn an_append_whose_answer_is_lost_is_not_sent_twice() {
    let world = World::new();
    let schema = schema_with(&json!({}), &[]);
    world
        .feed(
            &json!({}),
            &format!("{schema}{}{}", rows(0..1, 1), state(0)),
        )
        .expect_code(0);
    world
        .analytics
        .set_faults(&["reset:when=after,method=post,path=/bulk/,times=1"]);
    let input = format!("{schema}{}{}", rows(1..50, 1), state(1));
    let ended = world.feed(&json!({}), &input);
    assert!(world.analytics.struck() > 0);
    let stored = world.analytics.rows("orders").len();
    assert!(
        ended.code() == Some(0) && stored == 50 || ended.code() == Some(75),
        "{:?} with {stored} rows",
        ended.code()
    );
}

#[test]
fn units_that_are_used_up_end_the_run_with_75_and_keep_the_state() {
    let world = strict();
    world.analytics.inside().set_units_limit(1);
    world.analytics.inside().set_units_used(1);
    let input = format!("{}{}{}", schema(), rows(1..9, 1), state(1));
    let ended = world.feed(&json!({}), &input);
    ended.expect_code(75);
    assert_eq!(ended.text(), "");
}

#[test]
fn slots_that_others_hold_are_waited_out() {
    let world = strict();
    world.analytics.inside().set_foreign_slots(5);
    let input = format!("{}{}{}", schema(), rows(1..9, 1), state(1));
    let ended = world.feed(&json!({"patience_seconds": 2}), &input);
    ended.expect_code(75);
    world.analytics.inside().set_foreign_slots(0);
    world.feed(&json!({}), &input).expect_code(0);
    assert_eq!(world.analytics.by_id("orders").len(), 9);
}

#[test]
fn another_reading_of_what_the_pages_leave_open_works_as_well() {
    type Change = fn(&mut sandbox::Options);
    let changes: [(&str, Change); 5] = [
        ("metadata", |options| options.analytics.no_metadata = true),
        ("polls", |options| options.analytics.job_polls = 4),
        ("twins", |_| {}),
        ("milliseconds", |_| {}),
        ("exponent", |_| {}),
    ];
    for (what, change) in changes {
        let world = World::with(Analytics::start_with(change));
        let input = format!("{}{}{}", schema(), rows(0..50, 1), state(1));
        world.feed(&json!({}), &input).expect_code(0);
        assert_eq!(world.analytics.by_id("orders").len(), 50, "{what}");
    }
}
