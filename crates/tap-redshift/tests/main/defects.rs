//! The defects of datadotworld's tap-redshift 1.0.0b9, which this tap replaces: each is a test by
//! its name, so that none comes back.

use serde_json::{Value, json};
use singer_test::bin::Signal;
use singer_test::database::Database;
use singer_test::stream::{Cut, Message, Messages};

use crate::kit::{Tap, bookmark, choose, choose_field, entry, metadata, property, public};

fn orders() -> Database {
    let database = Database::new();
    database.execute(
        "CREATE TABLE orders (id integer PRIMARY KEY, at timestamptz, note text);
         INSERT INTO orders VALUES
         (1, '2024-05-01 00:00:00+00', 'a'), (2, '2024-05-02 00:00:00+00', 'b'),
         (3, NULL, 'c'), (4, '2024-05-02 00:00:00.000001+00', 'd');",
    );
    database
}

fn incremental(tap: &Tap, id: &str, key: &str) -> Value {
    let mut catalog = tap.discover();
    let words =
        json!({"selected": true, "replication-method": "INCREMENTAL", "replication-key": key});
    choose(&mut catalog, id, words);
    catalog
}

#[test]
fn columns_of_a_same_named_table_in_another_schema_are_not_mixed_in() {
    let database = Database::new();
    database.execute(
        "CREATE SCHEMA other; CREATE TABLE orders (id integer PRIMARY KEY);
         CREATE TABLE other.orders (code text, amount integer); INSERT INTO orders VALUES (7);",
    );
    let tap = Tap::of(&database);
    let catalog = tap.discover();
    let id = public(&database, "orders");
    let properties = |id: &str| {
        let schema = &entry(&catalog, id)["schema"]["properties"];
        schema
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(properties(&id), ["id"]);
    let other = format!("{}.other.orders", database.connection().dbname);
    assert_eq!(properties(&other), ["code", "amount"]);
    // Nor are they one stream at the target.
    assert_eq!(entry(&catalog, &id)["stream"], "public-orders");
    assert_eq!(entry(&catalog, &other)["stream"], "other-orders");
}

#[test]
fn views_of_all_sorts_in_all_schemas_are_found() {
    let database = orders();
    database.execute(
        "CREATE SCHEMA reports; CREATE VIEW reports.plain AS SELECT * FROM orders;
         CREATE MATERIALIZED VIEW reports.stored AS SELECT * FROM orders;",
    );
    let tap = Tap::of(&database);
    let catalog = tap.discover();
    for (name, is_view) in [
        ("public.orders", false),
        ("reports.plain", true),
        ("reports.stored", true),
    ] {
        let found = entry(
            &catalog,
            &format!("{}.{name}", database.connection().dbname),
        );
        assert_eq!(metadata(found, None)["is-view"], is_view, "{name}");
    }
    let one_schema = Tap::of(&database).with("schema", "reports").discover();
    assert_eq!(one_schema["streams"].as_array().unwrap().len(), 2);
}

#[test]
fn a_key_cannot_be_deselected() {
    let database = orders();
    let tap = Tap::of(&database);
    let id = public(&database, "orders");
    let mut catalog = tap.discover();
    assert_eq!(
        metadata(entry(&catalog, &id), Some("id"))["inclusion"],
        "automatic"
    );
    choose(&mut catalog, &id, json!({"selected": true}));
    choose_field(&mut catalog, &id, "id", json!({"selected": false}));
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    assert_eq!(property(&messages, "orders", "id"), [1, 2, 3, 4]);
}

#[test]
fn every_column_has_a_type_that_is_no_null_in_a_list() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE odd (a interval, b point, c tsvector, d bytea, e json, f xml, g time, h int[])",
    );
    let found = Tap::of(&database).entry(&public(&database, "odd"));
    for (name, schema) in found["schema"]["properties"].as_object().unwrap() {
        let types = schema["type"].as_array().unwrap();
        assert!(types.iter().all(Value::is_string), "{name}: {schema}");
        assert!(types.len() > 1, "{name}: {schema}");
        assert_eq!(
            metadata(&found, Some(name))["inclusion"],
            "available",
            "{name}"
        );
    }
}

#[test]
fn schema_name_is_the_schema_and_not_the_table() {
    let database = orders();
    let found = Tap::of(&database).entry(&public(&database, "orders"));
    let stream = metadata(&found, None);
    assert_eq!(stream["schema-name"], "public");
    assert_eq!(stream["database-name"], json!(database.connection().dbname));
    assert_eq!(found["table_name"], "orders");
}

#[test]
fn a_selected_column_that_vanished_is_an_error_and_not_a_warning() {
    let database = orders();
    let tap = Tap::of(&database);
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &public(&database, "orders"),
        json!({"selected": true}),
    );
    database.execute("ALTER TABLE orders DROP COLUMN note");
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(1).expect_log("`note`");
    assert!(messages.records("orders").is_empty());
}

#[test]
fn reserved_words_upper_case_and_dots_can_be_read_by_key() {
    let database = Database::new();
    database.execute(
        "CREATE SCHEMA \"my.schema\";
         CREATE TABLE \"my.schema\".\"Or.der \"\"é\" (\"Select\" integer PRIMARY KEY, \"Or\"\"der\" date);
         INSERT INTO \"my.schema\".\"Or.der \"\"é\" VALUES (1, '2024-05-01'), (2, '2024-05-02');",
    );
    let tap = Tap::of(&database);
    let id = format!("{}.my.schema.Or.der \"é", database.connection().dbname);
    let catalog = incremental(&tap, &id, "Or\"der");
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    assert_eq!(property(&messages, "Or.der \"é", "Select"), [1, 2]);
    let state = messages.last_state().unwrap().clone();
    assert_eq!(
        state["bookmarks"][&id]["replication_key_value"],
        "2024-05-02"
    );
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    ended.expect_code(0);
    assert_eq!(property(&messages, "Or.der \"é", "Select"), [2]);
}

#[test]
fn start_date_does_not_depend_on_the_zone_of_the_machine() {
    let database = orders();
    for (start, expected) in [
        ("2024-05-02T00:00:00Z", vec![2, 4]),
        ("2024-05-02T05:30:00+05:30", vec![2, 4]),
        ("2024-05-02", vec![2, 4]),
    ] {
        let tap = Tap::of(&database).with("start_date", start);
        let catalog = incremental(&tap, &public(&database, "orders"), "at");
        let ended = tap.start(&catalog, None).env("TZ", "Asia/Kolkata").finish();
        ended.expect_code(0);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        assert_eq!(property(&messages, "orders", "id"), expected, "{start}");
    }
}

#[test]
fn dates_stay_dates_and_zoned_times_get_one_suffix() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE moments (id integer PRIMARY KEY, day date, naive timestamp, zoned timestamptz);
         INSERT INTO moments VALUES
         (1, '2024-05-01', '2024-05-01 10:00:00', '2024-05-01 10:00:00.5+05:30');",
    );
    let messages = Tap::of(&database).select("*moments");
    assert_eq!(
        messages.records("moments"),
        [
            &json!({"id": 1, "day": "2024-05-01", "naive": "2024-05-01T10:00:00Z", "zoned": "2024-05-01T04:30:00.500000Z"})
        ]
    );
}

#[test]
fn naive_times_are_meant_in_the_zone_of_the_setting() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE moments (id integer PRIMARY KEY, naive timestamp);
         INSERT INTO moments VALUES (1, '2024-07-01 10:00:00'), (2, '2024-12-01 10:00:00');",
    );
    let tap = Tap::of(&database).with("timestamp_zone", "Europe/Oslo");
    let id = public(&database, "moments");
    let catalog = incremental(&tap, &id, "naive");
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    let expected = ["2024-07-01T08:00:00Z", "2024-12-01T09:00:00Z"];
    assert_eq!(property(&messages, "moments", "naive"), expected);
    let state = messages.last_state().unwrap().clone();
    assert_eq!(
        state["bookmarks"][&id]["replication_key_value"],
        "2024-12-01T09:00:00.000000Z"
    );
    let (_, messages) = tap.sync(&catalog, Some(&state));
    assert_eq!(property(&messages, "moments", "id"), [2]);
}

#[test]
fn a_full_table_with_a_left_over_key_is_read_whole() {
    let database = orders();
    let tap = Tap::of(&database);
    let id = public(&database, "orders");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-method": "FULL_TABLE", "replication-key": "at"}),
    );
    let state = json!({"bookmarks": {&id: {"replication_key": "at", "replication_key_value": "2024-05-02T00:00:00Z"}}});
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    ended.expect_code(0);
    assert_eq!(property(&messages, "orders", "id"), [1, 2, 3, 4]);
}

#[test]
fn a_bookmark_that_is_no_value_of_its_key_fails_its_stream_alone() {
    let database = orders();
    database.execute("CREATE TABLE other (id integer); INSERT INTO other VALUES (1)");
    let tap = Tap::of(&database);
    let (id, other) = (public(&database, "orders"), public(&database, "other"));
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-method": "INCREMENTAL", "replication-key": "at"}),
    );
    choose(&mut catalog, &other, json!({"selected": true}));
    let state =
        json!({"bookmarks": {&id: {"replication_key": "at", "replication_key_value": "long ago"}}});
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    // Not 2, which says that nothing was written.
    ended
        .expect_code(1)
        .expect_log("is no value of its replication key `at`");
    assert_eq!(messages.records("other").len(), 1);
    assert_eq!(
        bookmark(&messages, &id),
        state["bookmarks"][&id],
        "the state keeps what it had"
    );
}

#[test]
fn a_null_never_moves_a_bookmark_and_is_told() {
    let database = orders();
    let tap = Tap::of(&database);
    let id = public(&database, "orders");
    let (ended, messages) = tap.sync(&incremental(&tap, &id, "at"), None);
    ended
        .expect_code(0)
        .expect_log("rows without a replication key");
    assert_eq!(property(&messages, "orders", "id"), [1, 2, 4]);
    assert_eq!(
        bookmark(&messages, &id)["replication_key_value"],
        "2024-05-02T00:00:00.000001Z"
    );
}

#[test]
fn the_replication_key_need_not_be_selected() {
    let database = orders();
    let tap = Tap::of(&database);
    let id = public(&database, "orders");
    let mut catalog = incremental(&tap, &id, "at");
    choose_field(&mut catalog, &id, "at", json!({"selected": false}));
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    assert_eq!(property(&messages, "orders", "id"), [1, 2, 4]);
    assert!(bookmark(&messages, &id)["replication_key_value"].is_string());
}

#[test]
fn an_interrupted_full_table_goes_on_under_its_version() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE big (id integer PRIMARY KEY, note text);
         INSERT INTO big SELECT i, repeat('x', 100) FROM generate_series(1, 60000) i;",
    );
    let tap = Tap::of(&database);
    let id = public(&database, "big");
    let mut catalog = tap.discover();
    choose(&mut catalog, &id, json!({"selected": true}));
    // Nobody reads for a while, so that the tap is caught in the middle.
    let running = tap.start(&catalog, None).start();
    running.wait_for_lines(10_003);
    running.signal(Signal::Terminate);
    let ended = running.finish();
    assert_eq!(ended.code(), Some(143));
    let first = Messages::parse(&ended.stdout, Cut::Never);
    let state = first.last_state().unwrap().clone();
    let interrupted = &state["bookmarks"][&id];
    assert_eq!(interrupted["max_pk_values"], json!({"id": 60000}));
    assert_eq!(state["currently_syncing"], json!(id));
    assert!(first.activated("big").is_empty());

    // A row that came later is not part of this version's load.
    database.execute("INSERT INTO big VALUES (60001, 'later')");
    let (ended, second) = tap.sync(&catalog, Some(&state));
    ended.expect_code(0);
    let mut ids = property(&first, "big", "id");
    let covered = interrupted["last_pk_fetched"]["id"].as_u64().unwrap();
    assert_eq!(
        ids.len() as u64,
        covered,
        "the state covers what was handed over"
    );
    ids.extend(property(&second, "big", "id"));
    assert_eq!(ids, (1..=60_000).map(Value::from).collect::<Vec<_>>());
    assert_eq!(
        json!(second.activated("big")),
        json!([interrupted["version"]])
    );
    assert_eq!(bookmark(&second, &id)["version"], Value::Null);
    assert!(bookmark(&second, &id).get("last_pk_fetched").is_none());
}

#[test]
fn a_resumed_run_also_revisits_the_streams_that_were_finished() {
    let database = orders();
    database.execute("CREATE TABLE a (id integer PRIMARY KEY); INSERT INTO a VALUES (1)");
    let tap = Tap::of(&database);
    let (first, second) = (public(&database, "a"), public(&database, "orders"));
    let mut catalog = tap.discover();
    for id in [&first, &second] {
        choose(&mut catalog, id, json!({"selected": true}));
    }
    let state = json!({"currently_syncing": second, "bookmarks": {}});
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    ended.expect_code(0);
    assert_eq!(messages.streams(), ["orders", "a"]);
}

#[test]
fn bookmark_properties_are_a_list() {
    let database = orders();
    let tap = Tap::of(&database);
    let catalog = incremental(&tap, &public(&database, "orders"), "at");
    let ended = tap.start(&catalog, None).finish();
    let first = ended.text().lines().next().unwrap().to_owned();
    let schema: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(schema["bookmark_properties"], json!(["at"]));
}

#[test]
fn a_version_is_activated_after_its_rows_and_never_before() {
    let database = orders();
    let messages = Tap::of(&database).select("*orders");
    let places = |wanted: fn(&Message) -> bool| {
        let found = messages
            .0
            .iter()
            .enumerate()
            .filter(|(_, message)| wanted(message));
        found.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let activations = places(|message| matches!(message, Message::ActivateVersion { .. }));
    let records = places(|message| matches!(message, Message::Record { .. }));
    assert_eq!(activations.len(), 1);
    assert!(activations[0] > *records.last().unwrap());
}

#[test]
fn a_large_result_does_not_gather_in_memory() {
    let database = Database::new();
    database.execute(
        "CREATE VIEW many AS SELECT i AS id, repeat(md5(i::text), 32) AS note FROM generate_series(1, 300000) i",
    );
    let tap = Tap::of(&database);
    let running = tap.run(&["--select", "*many"]).stdout(null()).start();
    let mut most = 0;
    let mut running = running;
    while !running.has_ended() {
        most = most.max(running.memory_bytes());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.finish().expect_code(0);
    assert!(most < 64 << 20, "{most} bytes");
}

fn null() -> std::fs::File {
    std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .unwrap()
}

#[test]
fn metrics_name_their_stream() {
    let database = orders();
    let tap = Tap::of(&database);
    let ended = tap.run(&["--select", "*orders"]).finish();
    ended
        .expect_code(0)
        .expect_log("\"record_count\",\"value\":4");
    ended.expect_log(&public(&database, "orders"));
}

#[test]
fn state_of_the_old_tap_is_read_in_every_spelling() {
    let database = orders();
    let id = public(&database, "orders");
    let tap = Tap::of(&database);
    let catalog = incremental(&tap, &id, "at");
    for value in [
        "2024-05-02T00:00:00.000000Z",
        "2024-05-02T00:00:00Z",
        "2024-05-02T02:00:00+02:00",
        "2024-05-02T00:00:00+00:00Z",
    ] {
        let state = json!({"currently_syncing": null, "bookmarks": {&id: {
            "replication_key": "at", "version": 1_516_304_171_710_i64, "replication_key_value": value}}});
        let (ended, messages) = tap.sync(&catalog, Some(&state));
        ended.expect_code(0);
        assert_eq!(property(&messages, "orders", "id"), [2, 4], "{value}");
        let after = bookmark(&messages, &id);
        assert_eq!(after["version"], 1_516_304_171_710_i64);
        assert_eq!(
            after["replication_key_value"],
            "2024-05-02T00:00:00.000001Z"
        );
    }
}
