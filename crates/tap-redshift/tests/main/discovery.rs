//! What discovery finds on PostgreSQL.

use serde_json::{Value, json};
use singer_test::database::Database;

use crate::kit::{Tap, entry, metadata, public};

fn ids(catalog: &Value) -> Vec<&str> {
    let streams = catalog["streams"].as_array().unwrap();
    streams
        .iter()
        .map(|entry| entry["tap_stream_id"].as_str().unwrap())
        .collect()
}

#[test]
fn tables_of_every_sort_are_found_and_partitions_are_left_out() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE parts (id integer, day date) PARTITION BY RANGE (day);
         CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
         INSERT INTO parts VALUES (1, '2024-05-01'), (2, '2024-06-01');
         CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE outside (line text) SERVER files OPTIONS (filename '/dev/null');
         CREATE TABLE plain (id integer PRIMARY KEY); ANALYZE;",
    );
    let tap = Tap::of(&database);
    let catalog = tap.discover();
    let expected = ["outside", "parts", "plain"].map(|name| public(&database, name));
    assert_eq!(ids(&catalog), expected);
    let parts = metadata(entry(&catalog, &expected[1]), None);
    assert_eq!(parts["row-count"], 2);
    assert_eq!(tap.select("*parts").records("parts").len(), 2);
}

#[test]
fn metadata_has_the_customary_shape() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE orders (note text, b integer, a varchar(20), at timestamp NOT NULL,
         price numeric(10,2), ok boolean, PRIMARY KEY (a, b));
         CREATE VIEW shapes AS SELECT point(1, 2) AS place;",
    );
    let tap = Tap::of(&database);
    let catalog = tap.discover();
    let orders = entry(&catalog, &public(&database, "orders"));
    let stream = metadata(orders, None);
    // In the order of the key, not of the columns.
    assert_eq!(stream["table-key-properties"], json!(["a", "b"]));
    assert_eq!(stream["selected-by-default"], false);
    assert_eq!(
        stream["valid-replication-keys"],
        json!(["note", "b", "a", "at", "price"])
    );
    assert_eq!(stream["is-view"], false);
    assert_eq!(
        *metadata(orders, Some("price")),
        json!({"inclusion": "available", "selected-by-default": true, "sql-datatype": "numeric(10,2)"})
    );
    assert_eq!(
        orders["schema"]["properties"]["a"],
        json!({"type": ["string"], "maxLength": 20})
    );
    let shapes = metadata(entry(&catalog, &public(&database, "shapes")), None);
    assert_eq!(shapes["view-key-properties"], json!([]));
    assert_eq!(
        shapes["forced-replication-method"]["replication-method"],
        "FULL_TABLE"
    );
}

#[test]
fn a_table_that_cannot_be_read_is_told_and_does_not_stop_the_rest() {
    let database = Database::new();
    let dbname = &database.connection().dbname;
    let role = format!("limited_{dbname}");
    database.execute(&format!(
        "CREATE TABLE hidden (id integer); CREATE TABLE partly (id integer PRIMARY KEY, secret text);
         CREATE TABLE open (id integer PRIMARY KEY); INSERT INTO partly VALUES (1, 'no');
         CREATE SCHEMA closed; CREATE TABLE closed.inside (id integer);
         CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT ON open TO {role}; GRANT SELECT (id) ON partly TO {role};"
    ));
    let tap = Tap::of(&database)
        .with("user", role)
        .with("password", "secret");
    let ended = tap.run(&["--discover"]).finish();
    let catalog: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        ids(&catalog),
        ["open", "partly"].map(|name| public(&database, name))
    );
    ended.expect_log("public.hidden").expect_log("no SELECT");
    let partly = entry(&catalog, &public(&database, "partly"));
    assert_eq!(metadata(partly, Some("secret"))["inclusion"], "unsupported");
    assert_eq!(tap.select("*partly").records("partly"), [&json!({"id": 1})]);

    // A schema that was asked for by name is told as well.
    let named = Tap {
        folder: singer_test::folder::Folder::new(),
        config: tap.config.clone(),
    };
    let named = named.with("schema", json!(["public", "closed"]));
    named
        .run(&["--discover"])
        .finish()
        .expect_log("closed.inside");
}

#[test]
fn stream_names_follow_the_format() {
    let database = Database::new();
    database.execute(
        "CREATE SCHEMA b; CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE b.t (id integer);
         CREATE TABLE b.u (id integer);",
    );
    let names = |tap: &Tap| {
        let catalog = tap.discover();
        let streams = catalog["streams"].as_array().unwrap().clone();
        streams
            .into_iter()
            .map(|entry| entry["stream"].clone())
            .collect::<Vec<_>>()
    };
    let dbname = &database.connection().dbname;
    assert_eq!(names(&Tap::of(&database)), ["b-t", "u", "public-t"]);
    let tap = Tap::of(&database).with("stream_name_format", "schema-table");
    assert_eq!(names(&tap), ["b-t", "b-u", "public-t"]);
    let tap = Tap::of(&database).with("stream_name_format", "database-schema-table");
    assert_eq!(names(&tap)[1], format!("{dbname}-b-u"));
    // With one schema there is no other table of the name.
    let tap = Tap::of(&database).with("schema", "public");
    assert_eq!(names(&tap), ["t"]);
}

#[test]
fn check_says_what_works_in_one_line() {
    let database = Database::new();
    database.execute("CREATE TABLE t (id integer)");
    let tap = Tap::of(&database);
    let ended = tap.run(&["--check"]).finish();
    ended
        .expect_code(0)
        .expect_log("1 tables can be read, 0 cannot");
    let ended = tap.with("password", "wrong").run(&["--check"]).finish();
    ended
        .expect_code(1)
        .expect_log("check `user` and `password`");
}

#[test]
fn a_schema_that_does_not_exist_is_named_and_an_empty_one_is_told() {
    let database = Database::new();
    database.execute("CREATE TABLE t (id integer); CREATE SCHEMA bare");
    for args in [
        &["--discover"][..],
        &["--check"][..],
        &["--select", "*"][..],
    ] {
        let tap = Tap::of(&database).with("schema", json!(["public", "Public"]));
        let ended = tap.run(args).finish();
        ended.expect_code(2).expect_log("has no schema `Public`");
        assert!(ended.stdout.is_empty());
    }
    let tap = Tap::of(&database).with("schema", json!(["public", "bare"]));
    let ended = tap.run(&["--discover"]).finish();
    ended.expect_code(0).expect_log("schema=bare");
}

#[test]
fn a_table_without_columns_does_not_stop_the_rest() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES;
         CREATE TABLE t (id integer); INSERT INTO t VALUES (1)",
    );
    let tap = Tap::of(&database);
    let ended = tap.run(&["--discover"]).finish();
    ended.expect_code(0).expect_log("it has no columns");
    assert_eq!(tap.select("*").records("t"), [&json!({"id": 1})]);
}
