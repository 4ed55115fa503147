//! What becomes of rows in each mode.

use serde_json::json;

use crate::kit::{
    World, activate, orders, record, row, rows, schema, schema_with, state, versioned,
};

#[test]
fn rows_are_upserted_by_their_key() {
    let world = World::new();
    let first = format!("{}{}{}", schema(), rows(0..500, 1), state(1));
    world.feed(&json!({}), &first).expect_code(0);
    let second = format!("{}{}{}", schema(), rows(400..600, 2), state(2));
    let ended = world.feed(&json!({}), &second);
    ended.expect_code(0);
    assert_eq!(ended.text().trim(), r#"{"n":2}"#);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored.len(), 600);
    assert_eq!(stored["399"]["name"], "Order 399 of 1");
    assert_eq!(stored["400"]["revision"], "2");
}

#[test]
fn a_property_that_is_missing_leaves_the_cell_alone_and_a_null_clears_it() {
    let world = World::new();
    let first = format!("{}{}{}", schema(), rows(0..3, 1), state(1));
    world.feed(&json!({}), &first).expect_code(0);
    let records = [
        json!({"id": 0, "revision": 7}),
        json!({"id": 1, "name": null}),
    ];
    let input = format!(
        "{}{}{}",
        schema(),
        records.iter().map(row).collect::<String>(),
        state(2)
    );
    world.feed(&json!({}), &input).expect_code(0);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored["0"]["name"], "Order 0 of 1");
    assert_eq!(stored["0"]["revision"], "7");
    assert!(!stored["1"].contains_key("name"));
    assert_eq!(stored["1"]["revision"], "1");
}

#[test]
fn rows_without_a_key_are_appended() {
    let world = World::new();
    let input = format!(
        "{}{}{}",
        schema_with(&json!({}), &[]),
        rows([1, 1, 2], 1),
        state(1)
    );
    world.feed(&json!({}), &input).expect_code(0);
    assert_eq!(world.analytics.rows("orders").len(), 3);
}

#[test]
fn odd_texts_arrive_as_they_are() {
    let world = World::new();
    let name = "# no comment, \"quoted\"\r\n and é 😀";
    let records = [
        json!({"id": 1, "name": name}),
        json!({"id": 2, "name": "b"}),
    ];
    let input = format!(
        "{}{}{}",
        schema(),
        records.iter().map(row).collect::<String>(),
        state(1)
    );
    world.feed(&json!({}), &input).expect_code(0);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored["1"]["name"], name);
    assert_eq!(stored.len(), 2);
}

#[test]
fn a_version_takes_the_place_of_all_rows_in_one_step() {
    let world = World::new();
    let mut config = orders(json!({"mode": "replace"}));
    config["file_bytes"] = json!(2_000);
    let first = format!(
        "{}{}{}{}",
        schema(),
        versioned(1, 0..300),
        activate(1),
        state(1)
    );
    world.feed(&config, &first).expect_code(0);
    assert_eq!(world.analytics.by_id("orders").len(), 300);
    // Without the end of the version nothing changes.
    let cut = format!("{}{}", schema(), versioned(2, 0..10));
    let ended = world.feed(&config, &cut);
    assert_eq!(ended.text(), "");
    assert_eq!(world.analytics.by_id("orders").len(), 300);
    let second = format!(
        "{}{}{}{}",
        schema(),
        versioned(3, 200..350),
        activate(3),
        state(3)
    );
    let ended = world.feed(&config, &second);
    ended.expect_code(0);
    assert_eq!(ended.text().trim(), r#"{"n":3}"#);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored.len(), 150);
    assert_eq!(stored["200"]["revision"], "3");
}

#[test]
fn rows_that_vanished_from_a_version_are_deleted() {
    let world = World::new();
    let config = orders(json!({"on_delete": "delete"}));
    let first = format!(
        "{}{}{}{}",
        schema(),
        versioned(1, 0..50),
        activate(1),
        state(1)
    );
    world.feed(&config, &first).expect_code(0);
    let second = format!(
        "{}{}{}{}",
        schema(),
        versioned(2, 10..50),
        activate(2),
        state(2)
    );
    world.feed(&config, &second).expect_code(0);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored.len(), 40);
    assert!(!stored.contains_key("9"));
}

#[test]
fn rows_that_vanished_are_marked_until_they_come_back() {
    let world = World::new();
    let config = orders(json!({"on_delete": "flag"}));
    for (version, numbers) in [(1, 0..3), (2, 1..3), (3, 0..3)] {
        let input = format!(
            "{}{}{}{}",
            schema(),
            versioned(version, numbers),
            activate(version),
            state(version)
        );
        world.feed(&config, &input).expect_code(0);
        let stored = world.analytics.by_id("orders");
        let marked = stored
            .values()
            .filter(|row| row.contains_key("_sdc_deleted_at"));
        assert_eq!(
            marked.count(),
            usize::from(version == 2),
            "version {version}"
        );
        assert_eq!(stored.len(), 3);
    }
}

#[test]
fn rows_that_say_that_they_were_deleted_go() {
    let world = World::new();
    let time = json!({"type": ["null", "string"], "format": "date-time"});
    let schema = schema_with(&json!({"_sdc_deleted_at": time}), &["id"]);
    let config = orders(json!({"on_delete": "delete"}));
    let mut input = format!("{schema}{}", rows(0..5, 1));
    for id in [1, 3, 99] {
        let gone = json!({"id": id, "_sdc_deleted_at": "2026-01-01T00:00:00Z"});
        input.push_str(&row(&gone));
    }
    input.push_str(&state(1));
    world.feed(&config, &input).expect_code(0);
    let ids: Vec<String> = world.analytics.by_id("orders").into_keys().collect();
    assert_eq!(ids, ["0", "2", "4"]);
}

#[test]
fn missing_columns_are_added_ten_at_a_time() {
    let world = World::new();
    world
        .feed(
            &json!({}),
            &format!("{}{}{}", schema(), rows(0..2, 1), state(1)),
        )
        .expect_code(0);
    let mut more = json!({});
    let mut record = record(0, 2);
    for number in 0..23 {
        let name = format!("extra_{number}");
        more[&name] = json!({"type": ["null", "number"]});
        record[&name] = json!(0.5);
    }
    let input = format!(
        "{}{}{}",
        schema_with(&more, &["id"]),
        row(&record),
        state(2)
    );
    world.feed(&json!({}), &input).expect_code(0);
    let stored = world.analytics.by_id("orders");
    assert_eq!(stored["0"]["extra_22"], "0.5");
}

#[test]
fn a_dry_run_shows_requests_and_writes_nothing() {
    let world = World::new();
    let input = format!("{}{}{}", schema(), rows(0..5, 1), state(1));
    let ended = world.run(&json!({})).arg("--dry-run").stdin(input).finish();
    ended.expect_code(0);
    for text in [
        "table `orders`",
        "updateadd",
        "units_per_1000_rows",
        "Order 0 of 1",
    ] {
        ended.expect_log(text);
    }
    assert!(!ended.text().contains("\"n\""));
    assert!(world.analytics.rows("orders").is_empty());
}

#[test]
fn a_check_says_what_works() {
    let world = World::new();
    let ended = world.run(&orders(json!({}))).arg("--check").finish();
    ended.expect_code(0);
    let ended = world
        .run(&json!({"refresh_token": "wrong", "token_cache_path": "none"}))
        .arg("--check")
        .finish();
    ended.expect_code(1);
    ended.expect_log("data centre `us`");
}
