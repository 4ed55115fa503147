//! Only what changed, and what vanished, over runs that end well and runs that are killed.

use serde_json::{Value, json};

use crate::kit::{World, activate, id, rows, schema, state};

fn changed() -> Value {
    json!({"only_changed": true, "batch_records": 100})
}

fn clearing() -> Value {
    json!({"on_delete": "clear", "only_changed": true, "batch_records": 100})
}

fn table(version: u64, numbers: std::ops::Range<u64>) -> String {
    schema() + &rows(version, numbers, 1) + &activate(version) + &state(version)
}

#[test]
fn a_second_run_sends_only_what_differs() {
    let world = World::new(1_000);
    let first = schema() + &rows(1, 0..1_000, 1) + &state(1);
    world.feed(&changed(), &first).expect_code(0);
    assert_eq!(world.written(), 1_000);
    let second = schema() + &rows(2, 0..900, 1) + &rows(2, 900..1_000, 2) + &state(2);
    let ended = world.feed(&changed(), &second);
    ended.expect_code(0).expect_log("unchanged=900");
    assert_eq!(world.written(), 1_100);
    let ended = world.run(&changed()).arg("--full").stdin(second).finish();
    ended.expect_code(0).expect_log("unchanged=0");
    assert_eq!(world.written(), 2_100);
}

#[test]
fn a_run_that_is_killed_repeats_and_leaves_nothing_out() {
    let world = World::new(2_000);
    world.feed(&changed(), &table(1, 0..2_000)).expect_code(0);
    let update = schema() + &rows(2, 0..2_000, 2);
    for after in [1, 5, 12] {
        world.pendo.set_faults(&["slow:ms=5"]);
        let before = world.pendo.status().activity.requests;
        let mut running = world.run(&changed()).held_stdin().start();
        running.feed(&update);
        world.pendo.wait_for_requests(before + after);
        running.kill();
        // The rows go back to what they were before that run: some of them are at Pendo as they were,
        // some with the new values, and the memory knows which.
        world.pendo.set_faults(&[]);
        let back = schema() + &rows(3, 0..2_000, 1) + &state(3);
        world.feed(&changed(), &back).expect_code(0);
        for (id, values) in world.stored() {
            let name = values["name"].as_str().expect("a name");
            assert!(
                name.ends_with("of 1"),
                "{id} after {after} requests: {name}"
            );
        }
    }
}

#[test]
fn what_vanished_from_a_full_table_is_cleared() {
    let world = World::new(1_000);
    world.feed(&clearing(), &table(1, 0..1_000)).expect_code(0);
    assert_eq!(world.filled().len(), 1_000);
    let ended = world.feed(&clearing(), &table(2, 10..1_000));
    ended.expect_code(0).expect_log("cleared=10");
    let filled = world.filled();
    assert_eq!((filled.len(), filled[0].as_str()), (990, id(10).as_str()));
    // They come back.
    world.feed(&clearing(), &table(3, 0..1_000)).expect_code(0);
    assert_eq!(world.filled().len(), 1_000);
}

#[test]
fn an_interrupted_full_table_goes_on_and_clears_only_what_neither_half_showed() {
    let world = World::new(1_000);
    world.feed(&clearing(), &table(1, 0..1_000)).expect_code(0);
    // The tap dies in the middle of version 2; its state says that it is resumed.
    let half = schema() + &rows(2, 10..500, 1) + &state(2);
    let ended = world.feed(&clearing(), &half);
    ended.expect_code(0);
    assert_eq!(
        world.filled().len(),
        1_000,
        "an unfinished version clears nothing"
    );
    world
        .feed(&clearing(), &table(2, 500..1_000))
        .expect_code(0);
    assert_eq!(world.filled().len(), 990);
}

#[test]
fn a_killed_target_clears_nothing_of_what_its_state_covers() {
    let world = World::new(1_000);
    world.feed(&clearing(), &table(1, 0..1_000)).expect_code(0);
    let mut running = world.run(&clearing()).held_stdin().start();
    running.feed(schema() + &rows(2, 10..600, 1) + &state(2));
    running.wait_for_lines(1);
    running.kill();
    world
        .feed(&clearing(), &table(2, 600..1_000))
        .expect_code(0);
    assert_eq!(world.filled().len(), 990);
}

#[test]
fn an_empty_full_table_clears_nothing_unless_it_may() {
    let world = World::new(100);
    world.feed(&clearing(), &table(1, 0..100)).expect_code(0);
    world.feed(&clearing(), &table(2, 0..0)).expect_code(0);
    assert_eq!(world.filled().len(), 100);
    let mut allowed = clearing();
    allowed["allow_empty"] = json!(true);
    world.feed(&allowed, &table(3, 0..0)).expect_code(0);
    assert_eq!(world.filled().len(), 0);
}

#[test]
fn a_row_that_was_deleted_is_cleared() {
    let world = World::new(2);
    let extra = json!({"on_delete": "clear"});
    world.feed(&extra, &table(1, 0..2)).expect_code(0);
    let mut deleted: Value = crate::kit::record(0, 1);
    deleted["_sdc_deleted_at"] = json!("2026-01-01T00:00:00Z");
    let with_mark = schema().replace(
        "\"properties\":{",
        "\"properties\":{\"_sdc_deleted_at\":{\"type\":[\"null\",\"string\"]},",
    );
    let row = crate::kit::line(&json!({"type": "RECORD", "stream": "accounts", "record": deleted}));
    world.feed(&extra, &(with_mark + &row)).expect_code(0);
    assert_eq!(world.filled(), [id(1)]);
}

#[test]
fn two_runs_cannot_share_a_memory() {
    let world = World::new(10);
    let mut prompt = changed();
    prompt["batch"] = json!({"max_age_seconds": 0.05});
    let mut running = world.run(&prompt).held_stdin().start();
    running.feed(schema() + &rows(1, 0..1, 1) + &state(1));
    running.wait_for_lines(1);
    let second = world.feed(&changed(), &(schema() + &rows(1, 0..1, 1)));
    second
        .expect_code(75)
        .expect_log("another run uses the memory");
    running.close_stdin();
    running.finish().expect_code(0);
}
