//! What a second reader found: rows that must not be lost where two things meet.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::poll;

use crate::kit::{
    World, activate, keyless, line, record, row, rows, schema, schema_of, state, versioned,
};

/// Runs a statement, as somebody else than the target.
fn query(bigquery: &BigQuery, statement: &str) {
    let url = bigquery.url();
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .expect("an address with a path");
    let body = json!({"query": statement, "useLegacySql": false}).to_string();
    let mut stream = std::net::TcpStream::connect(host).expect("the stand-in listens");
    write!(
        stream,
        "POST /{path}/bigquery/v2/projects/sandbox-project/queries HTTP/1.1\r\nHost: {host}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A BATCH message of these records.
fn batch(world: &World, name: &str, records: &[Value]) -> String {
    let text: String = records.iter().map(line).collect();
    let path = world.folder.write(name, text);
    line(
        &json!({"type": "BATCH", "stream": "orders", "encoding": {"format": "jsonl"},
        "manifest": [format!("file://{}", path.display())]}),
    )
}

#[test]
fn rows_of_a_batch_file_are_told_apart() {
    for method in ["load", "storage_write", "streaming"] {
        let world = World::new();
        let records: Vec<Value> = (0..5)
            .flat_map(|number| [record(number, 1), record(number, 2)])
            .collect();
        let extra = json!({"method": method, "mode": "append"});
        let input = schema() + &batch(&world, "batch.jsonl", &records) + &state(1);
        world.feed(&extra, &input).expect_code(0);
        assert_eq!(world.bigquery.count("orders"), Some(10), "{method}");
    }
}

#[test]
fn of_a_batch_file_the_newest_versions_stay() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let records: Vec<Value> = (0..5)
            .flat_map(|number| [record(number, 1), record(number, 2)])
            .collect();
        let extra = json!({"method": method, "mode": "append_dedupe"});
        let input = schema() + &batch(&world, "batch.jsonl", &records) + &state(1);
        world.feed(&extra, &input).expect_code(0);
        world.assert_orders(0..5, 2);
    }
}

#[test]
fn of_versions_without_an_order_the_last_stays() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method, "mode": "append_dedupe"});
        let versions: String = (1..=12).map(|revision| row(&record(1, revision))).collect();
        world
            .feed(&extra, &(schema() + &versions + &state(1)))
            .expect_code(0);
        world.assert_orders(1..2, 12);
    }
}

#[test]
fn a_row_that_was_appended_twice_is_not_deleted_twice() {
    let world = World::new();
    let extra = json!({"method": "storage_write", "mode": "append_dedupe"});
    world
        .bigquery
        .set_faults(&["grpc:as=reset,when=after,path=AppendRows,times=1"]);
    let input = schema() + &rows(0..5, 1) + &state(1);
    world.feed(&extra, &input).expect_code(0);
    assert_eq!(world.bigquery.struck(), 1);
    let stored = world.bigquery.rows("orders");
    for number in 0..5 {
        assert!(stored.iter().any(|row| row["id"] == number), "row {number}");
    }
}

#[test]
fn a_column_that_somebody_drops_during_the_run_is_added_again_and_no_row_is_lost() {
    for mode in ["upsert", "append"] {
        let world = World::new();
        let extra = json!({"mode": mode, "batch": {"max_age_seconds": 0.05}});
        let mut running = world.run(&extra).held_stdin().start();
        running.feed(schema() + &rows(0..3, 1));
        poll::until("the first rows are there", || {
            world.bigquery.count("orders") == Some(3)
        });
        query(
            &world.bigquery,
            "ALTER TABLE `sandbox-project.raw.orders` DROP COLUMN name",
        );
        running.feed(rows(3..6, 1) + &state(1));
        let ended = running.finish();
        ended.expect_code(0);
        let stored = world.bigquery.by("orders", "id");
        assert_eq!(stored.len(), 6, "{mode}");
        assert_eq!(stored["4"]["name"], "Order 4 of 1", "{mode}");
    }
}

#[test]
fn a_run_killed_between_the_swap_and_the_state_does_not_cut_the_table() {
    for schema in [schema(), keyless()] {
        let world = World::new();
        let extra = json!({"mode": "replace", "batch": {"max_age_seconds": 0.05}});
        let mut running = world.run(&extra).held_stdin().start();
        running.feed(schema.clone() + &versioned(2, 0..20, 2) + &state(1));
        running.wait_for_lines(1);
        running.feed(versioned(2, 20..30, 2) + &activate(2));
        poll::until("the table is replaced", || {
            world.bigquery.count("orders") == Some(30)
        });
        running.wait_for_log("replaced the table");
        running.kill();
        // From the state on: the end of the version alone.
        let input = schema.clone() + &versioned(2, 20..30, 2) + &activate(2) + &state(2);
        world.feed(&extra, &input).expect_code(0);
        world.assert_orders(0..30, 2);
    }
}

#[test]
fn a_version_that_is_activated_twice_keeps_the_rows_of_both_times() {
    let world = World::new();
    let input = schema()
        + &versioned(2, 0..20, 2)
        + &activate(2)
        + &state(1)
        + &versioned(2, 20..30, 2)
        + &activate(2)
        + &state(2);
    world
        .feed(&json!({"mode": "replace"}), &input)
        .expect_code(0);
    world.assert_orders(0..30, 2);
}

#[test]
fn a_row_that_was_refused_is_not_taken_for_one_that_vanished() {
    let document = json!({"properties": {"id": {"type": "integer"}, "price": {"type": "number"}}});
    let of = |version: u64, id: u64, price: &str| {
        format!(
            "{{\"type\":\"RECORD\",\"stream\":\"orders\",\"version\":{version},\"record\":{{\"id\":{id},\"price\":{price}}}}}\n"
        )
    };
    let world = World::new();
    let extra = json!({"on_delete": "hard"});
    let schema = schema_of("orders", &document, &["id"]);
    let first = schema.clone() + &of(1, 1, "1.5") + &of(1, 2, "2.5") + &activate(1) + &state(1);
    world.feed(&extra, &first).expect_code(0);
    // More digits than a double keeps: the target refuses it.
    let second = schema
        + &of(2, 1, "0.12345678901234567890123")
        + &of(2, 2, "3.5")
        + &activate(2)
        + &state(2);
    world.feed(&extra, &second).expect_code(3);
    let stored = world.bigquery.by("orders", "id");
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_row_of_the_version_that_is_older_than_the_tables_is_not_taken_for_one_that_vanished() {
    let world = World::new();
    let extra = json!({"on_delete": "hard", "streams": {"orders": {"order_by": "revision"}}});
    let first = schema() + &versioned(1, 0..3, 5) + &activate(1) + &state(1);
    world.feed(&extra, &first).expect_code(0);
    let second = schema() + &versioned(2, 0..2, 4) + &activate(2) + &state(2);
    world.feed(&extra, &second).expect_code(0);
    world.assert_orders(0..2, 5);
}

#[test]
fn changes_are_ordered_by_dates_too() {
    for method in ["load", "storage_write"] {
        let document = json!({"properties": {"id": {"type": "integer"},
            "day": {"type": "string", "format": "date"}}});
        let world = World::new();
        let extra = json!({"method": method, "streams": {"orders": {"order_by": "day"}}});
        let schema = schema_of("orders", &document, &["id"]);
        for day in ["2026-02-02", "2026-01-01"] {
            let input = schema.clone() + &row(&json!({"id": 1, "day": day})) + &state(1);
            world.feed(&extra, &input).expect_code(0);
        }
        let stored = world.bigquery.by("orders", "id");
        assert_eq!(stored["1"]["day"], "2026-02-02", "{method}");
    }
}

#[test]
fn the_case_of_a_column_in_the_table_does_not_undo_the_order() {
    let world = World::new();
    world
        .feed(&json!({}), &(schema() + &rows(9..10, 1)))
        .expect_code(0);
    query(
        &world.bigquery,
        "CREATE TABLE `sandbox-project.raw.cased` (ID INT64, Name STRING, Revision INT64)",
    );
    let extra = json!({"streams": {"orders": {"order_by": "revision", "table": "cased"}}});
    for revision in [5, 4] {
        world
            .feed(&extra, &(schema() + &rows(1..2, revision)))
            .expect_code(0);
    }
    assert_eq!(world.bigquery.rows("cased")[0]["Revision"], 5);
}

#[test]
fn versions_whose_key_is_null_are_refused_and_not_taken_for_one_row() {
    for method in ["load", "storage_write", "streaming"] {
        let document = json!({"properties": {"id": {"type": ["null", "integer"]},
            "name": {"type": "string"}}});
        let world = World::new();
        let input = schema_of("orders", &document, &["id"])
            + &row(&json!({"id": null, "name": "a"}))
            + &row(&json!({"id": null, "name": "b"}))
            + &row(&json!({"id": 1, "name": "c"}))
            + &state(1);
        let extra = json!({"method": method, "mode": "append_dedupe"});
        world.feed(&extra, &input).expect_code(3);
        assert_eq!(world.bigquery.count("orders"), Some(1), "{method}");
        assert_eq!(world.rejects().len(), 2, "{method}");
    }
}

#[test]
fn a_tenant_that_wrote_before_the_schema_changed_is_replaced_too() {
    let of = |column: &str| {
        let document = json!({"properties": {"id": {"type": "integer"}, "org": {"type": "integer"},
            column: {"type": ["null", "string"]}}});
        schema_of("orders", &document, &["id"])
    };
    let row = |org: u64| {
        line(&json!({"type": "RECORD", "stream": "orders", "version": 3,
            "record": {"id": 1, "org": org}}))
    };
    let world = World::new();
    let extra = json!({"mode": "replace", "dataset": "org_{org}"});
    let input = of("a") + &row(1) + &of("b") + &row(2) + &activate(3) + &state(1);
    world.feed(&extra, &input).expect_code(0);
    for org in [1, 2] {
        assert_eq!(world.bigquery.count(&format!("org_{org}.orders")), Some(1));
    }
}

#[test]
fn a_column_that_orders_no_changes_is_a_problem_before_the_first_row() {
    let world = World::new();
    let extra = json!({"method": "storage_write", "streams": {"orders": {"order_by": "name"}}});
    let ended = world.feed(&extra, &(schema() + &rows(0..3, 1) + &state(1)));
    ended.expect_code(2).expect_log("order_by");
    assert_eq!(world.bigquery.count("orders"), None);
}

#[test]
fn rows_for_a_stand_in_do_not_go_to_bigquery_itself() {
    let world = World::new();
    let extra = json!({"method": "storage_write", "grpc_endpoint": null});
    let ended = world.feed(&extra, &(schema() + &rows(0..3, 1)));
    ended.expect_code(2).expect_log("grpc_endpoint");
}
