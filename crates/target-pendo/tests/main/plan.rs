//! Before the first write: what is missing, what does not fit, what would be created, what would be sent.

use sandbox::pendo::Kind;
use serde_json::json;

use crate::kit::{World, line, rows, schema, state};

#[test]
fn missing_fields_of_all_streams_are_told_before_anything_is_written() {
    let world = World::new(10);
    let visitors = line(
        &json!({"type": "SCHEMA", "stream": "users", "key_properties": ["id"],
        "schema": {"properties": {"id": {"type": "string"}, "nowhere": {"type": "string"}}}}),
    );
    let accounts = schema().replace("\"seats\"", "\"chairs\"");
    let input = accounts + &visitors + &state(1);
    let ended = world.feed(&json!({}), &input);
    ended
        .expect_code(2)
        .expect_log("`chairs`")
        .expect_log("`nowhere`")
        .expect_log("Data Mappings");
    assert_eq!(world.written(), 0);
}

#[test]
fn fields_are_created_only_if_asked() {
    let world = World::new(10);
    let input = schema().replace("\"score\"", "\"Fresh_Score\"")
        + &rows(1, 0..10, 1).replace("\"score\"", "\"Fresh_Score\"")
        + &state(1);
    world
        .run(&json!({"create_fields": true}))
        .arg("--dry-run")
        .stdin(input.clone())
        .finish()
        .expect_code(0)
        .expect_log("fresh_score");
    assert!(world.filled().is_empty());
    world
        .feed(&json!({"create_fields": true}), &input)
        .expect_code(0);
    assert_eq!(world.stored().len(), 10);
    let custom = world.pendo.custom(Kind::Account);
    assert!(custom.values().all(|values| values["fresh_score"] == 0.75));
}

#[test]
fn a_dry_run_shows_requests_and_hides_the_key() {
    let world = World::new(10);
    let ended = world
        .run(&json!({}))
        .arg("--dry-run")
        .stdin(schema() + &rows(1, 0..10, 1) + &state(1))
        .finish();
    ended.expect_code(0);
    let shown = format!("{}{}", ended.text(), ended.stderr);
    assert!(
        shown.contains("/api/v1/metadata/account/custom/value"),
        "{shown}"
    );
    assert!(shown.contains("x-pendo-integration-key: ***"));
    assert!(!shown.contains("sandbox-key"));
    assert_eq!(world.written(), 0);
}

#[test]
fn unknown_ids_come_into_being_only_if_asked() {
    let world = World::new(0);
    let input = schema() + &rows(1, 0..3, 1) + &state(1);
    world.feed(&json!({}), &input).expect_code(0);
    assert!(world.filled().is_empty());
    world
        .feed(&json!({"create_missing": true}), &input)
        .expect_code(0);
    assert_eq!(world.filled().len(), 3);
}

#[test]
fn the_flags_that_people_know_win_over_the_config() {
    let world = World::new(50);
    world
        .run(&json!({"batch_records": 500}))
        .args([
            "--batch_records",
            "10",
            "--request-delay",
            "0",
            "--attempts",
            "1",
        ])
        .stdin(schema() + &rows(1, 0..50, 1) + &state(1))
        .finish()
        .expect_code(0);
    // The schema, and five writes.
    assert_eq!(world.pendo.status().activity.requests, 6);
}
