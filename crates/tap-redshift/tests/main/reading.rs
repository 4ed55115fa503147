//! Reading: bounds, ties, keys of every type, views, lookback, several streams at once.

use serde_json::{Value, json};
use singer_test::database::Database;

use crate::kit::{Tap, bookmark, choose, property, public};

#[test]
fn ties_at_the_boundary_are_read_again_and_none_is_lost() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamp NOT NULL);
         INSERT INTO t VALUES (1, '2024-05-01'), (2, '2024-05-02')",
    );
    let tap = Tap::of(&database);
    let id = public(&database, "t");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-key": "at"}),
    );
    let (_, messages) = tap.sync(&catalog, None);
    let state = messages.last_state().unwrap().clone();
    database.execute("INSERT INTO t VALUES (3, '2024-05-02')");
    let (_, messages) = tap.sync(&catalog, Some(&state));
    assert_eq!(property(&messages, "t", "id"), [2, 3]);
}

#[test]
fn keys_of_every_valid_type_go_on_where_they_were() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, small smallint, big bigint, dec numeric(30,5), day date,
            naive timestamp, zoned timestamptz, word text, padded char(6));
         INSERT INTO t SELECT i, i, 9007199254740993 + i, 12345678901234567890.00001 + i,
            '2024-05-01'::date + i, '2024-05-01'::timestamp + i * interval '1 us',
            '2024-05-01 00:00:00+05:30'::timestamptz + i * interval '1 us', 'it''s \\' || i, 'p' || i
         FROM generate_series(1, 3) i;",
    );
    let id = public(&database, "t");
    for key in [
        "small", "big", "dec", "day", "naive", "zoned", "word", "padded",
    ] {
        let tap = Tap::of(&database);
        let mut catalog = tap.discover();
        choose(
            &mut catalog,
            &id,
            json!({"selected": true, "replication-key": key}),
        );
        let (ended, messages) = tap.sync(&catalog, None);
        ended.expect_code(0);
        assert_eq!(property(&messages, "t", "id"), [1, 2, 3], "{key}");
        let state = messages.last_state().unwrap().clone();
        let (ended, messages) = tap.sync(&catalog, Some(&state));
        ended.expect_code(0);
        assert_eq!(property(&messages, "t", "id"), [3], "{key}");
    }
}

#[test]
fn looking_back_reads_what_was_committed_late() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz);
         INSERT INTO t SELECT i, '2024-05-01 00:00:00+00'::timestamptz + i * interval '1 min' FROM generate_series(1, 5) i",
    );
    let tap = Tap::of(&database).with("lookback_seconds", 60);
    let id = public(&database, "t");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-key": "at"}),
    );
    let state = json!({"bookmarks": {&id: {"replication_key": "at", "replication_key_value": "2024-05-01T00:04:00Z"}}});
    let (_, messages) = tap.sync(&catalog, Some(&state));
    assert_eq!(property(&messages, "t", "id"), [3, 4, 5]);
}

#[test]
fn a_bookmark_that_is_no_value_of_its_key_is_refused() {
    let database = Database::new();
    database.execute("CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1)");
    let tap = Tap::of(&database);
    let id = public(&database, "t");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-key": "id"}),
    );
    let state = json!({"bookmarks": {&id: {"replication_key": "id", "replication_key_value": "1; DROP TABLE t"}}});
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    ended.expect_code(1).expect_log("`replication_key_value`");
    assert!(!ended.stderr.contains("DROP"));
    assert!(messages.records("t").is_empty());
}

#[test]
fn a_view_is_read_by_the_keys_that_a_person_named() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer, part text);
         INSERT INTO t SELECT i / 3, 'p' || i % 3 FROM generate_series(0, 29999) i; INSERT INTO t VALUES (NULL, 'none');
         CREATE VIEW v AS SELECT * FROM t;",
    );
    let tap = Tap::of(&database);
    let id = public(&database, "v");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "view-key-properties": ["id", "part"]}),
    );
    let (ended, _) = {
        let ended = tap.start(&catalog, None).finish();
        (ended.clone(), ())
    };
    ended.expect_code(0);
    let rows = ended.text().matches("\"RECORD\"").count();
    // The row without a key is not lost.
    assert_eq!(rows, 30_001);
    assert!(
        ended
            .text()
            .contains("\"max_pk_values\":{\"id\":9999,\"part\":\"p2\"}")
    );
}

#[test]
fn a_composite_key_is_followed_from_left_to_right() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (a integer, b uuid, c text, PRIMARY KEY (a, b));
         INSERT INTO t SELECT i / 7, md5(i::text)::uuid, 'c' FROM generate_series(1, 100) i",
    );
    let tap = Tap::of(&database);
    let id = public(&database, "t");
    let mut catalog = tap.discover();
    choose(&mut catalog, &id, json!({"selected": true}));
    let (_, whole) = tap.sync(&catalog, None);
    let keys = |messages: &singer_test::stream::Messages| {
        let records = messages.records("t");
        records
            .iter()
            .map(|row| (row["a"].clone(), row["b"].clone()))
            .collect::<Vec<_>>()
    };
    let all = keys(&whole);
    assert_eq!(all.len(), 100);
    let (a, b) = &all[49];
    let (max_a, max_b) = &all[99];
    let state = json!({"bookmarks": {&id: {"version": 7, "max_pk_values": {"a": max_a, "b": max_b},
        "last_pk_fetched": {"a": a, "b": b}}}});
    let (_, rest) = tap.sync(&catalog, Some(&state));
    assert_eq!(keys(&rest), all[50..]);
    assert_eq!(rest.activated("t"), [7]);
}

#[test]
fn tables_without_a_key_and_without_rows_are_read() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE plain (note text); INSERT INTO plain VALUES ('a'), ('a'), (NULL);
         CREATE TABLE nothing (id integer PRIMARY KEY, at timestamp);",
    );
    let messages = Tap::of(&database).select("*plain");
    assert_eq!(
        property(&messages, "plain", "note"),
        [json!("a"), json!("a"), Value::Null]
    );
    assert_eq!(messages.activated("plain").len(), 1);

    let tap = Tap::of(&database);
    let id = public(&database, "nothing");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-key": "at"}),
    );
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    assert!(messages.records("nothing").is_empty());
    assert!(
        bookmark(&messages, &id)
            .get("replication_key_value")
            .is_none()
    );
}

#[test]
fn one_stream_that_fails_does_not_stop_the_others() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE good (id integer PRIMARY KEY); INSERT INTO good VALUES (1);
         CREATE VIEW bad AS SELECT 1 / (id - 1) AS x FROM good;",
    );
    let tap = Tap::of(&database);
    let ended = tap
        .run(&["--select", "*good", "--select", "*bad", "--jobs", "2"])
        .finish();
    ended
        .expect_code(1)
        .expect_log("public.bad")
        .expect_log("division by zero");
    assert!(ended.text().contains("\"record\":{\"id\":1}"));
}

#[test]
fn data_errors_of_the_server_do_not_show_values() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'hunter2');
         CREATE VIEW bad AS SELECT note::integer AS x FROM t;",
    );
    let ended = Tap::of(&database).run(&["--select", "*bad"]).finish();
    ended.expect_code(1).expect_log("22P02");
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn a_bookmark_never_moves_back() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz, word text, price numeric);
         INSERT INTO t SELECT i, '2024-05-01 00:00:00+00'::timestamptz + i * interval '1 s', 'm' || i, i
         FROM generate_series(1, 25000) i",
    );
    let id = public(&database, "t");
    for (key, value) in [
        ("at", json!("2030-01-01T00:00:00.000000Z")),
        ("price", json!("1e9")),
        ("word", json!("z")),
        // Within the rows, reached again by looking back.
        ("at", json!("2024-05-01T05:00:00.000000Z")),
    ] {
        let tap = Tap::of(&database).with("lookback_seconds", 86_400);
        let mut catalog = tap.discover();
        choose(
            &mut catalog,
            &id,
            json!({"selected": true, "replication-key": key}),
        );
        let state =
            json!({"bookmarks": {&id: {"replication_key": key, "replication_key_value": value}}});
        let (ended, messages) = tap.sync(&catalog, Some(&state));
        ended.expect_code(0);
        for state in messages.states() {
            let now = &state["bookmarks"][&id]["replication_key_value"];
            assert!(
                now.as_str().unwrap() >= value.as_str().unwrap(),
                "{now} {value}"
            );
        }
    }
}
