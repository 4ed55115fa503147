//! Faults of data and of the service: rows that BigQuery does not take, tables and rights that change
//! during a run.

use serde_json::{Value, json};
use singer_test::bigquery::{BigQuery, PROJECT};
use singer_test::bin::{Finished, Running};

use crate::kit::{World, document, keyless, printed, record, row, rows, schema, schema_of, state};

const METHODS: [&str; 3] = ["load", "storage_write", "streaming"];

/// A run that has written five rows and their state, and waits for more.
fn begun(world: &World, extra: &Value) -> Running {
    let mut extra = extra.clone();
    extra["batch"] = json!({"max_age_seconds": 0.05});
    let mut running = world.run(&extra).held_stdin().start();
    assert!(running.feed(schema() + &rows(0..5, 1) + &state(1)));
    running.wait_for_lines(1);
    running
}

/// Five more rows, to the end.
fn ended(mut running: Running) -> Finished {
    // A target that has given up already does not read them.
    running.feed(rows(5..10, 1) + &state(2));
    running.finish()
}

#[test]
fn a_row_that_is_too_large_is_refused_and_its_neighbours_arrive() {
    for method in METHODS {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 0;
            options.bigquery.load_row_bytes = 100_000;
            options.bigquery.row_bytes = 100_000;
            options.bigquery.append_bytes = 100_000;
        }));
        let extra = json!({"method": method, "append_request_bytes": 90_000});
        let large = row(&json!({"id": 7, "name": "x".repeat(200_000), "revision": 1}));
        let input = schema() + &rows(0..5, 1) + &large + &rows(8..12, 1) + &state(1);
        let ended = world.feed(&extra, &input);
        ended.expect_code(3);
        assert_eq!(printed(&ended), [1], "{method}");
        world.assert_orders((0..5).chain(8..12), 1);
        assert_eq!(world.rejects().len(), 1, "{method}");
        assert_eq!(world.rejects()[0]["key"]["id"], 7);
    }
}

#[test]
fn rows_that_a_load_job_names_are_refused_by_themselves() {
    let world = World::with(BigQuery::start_with(|options| {
        options.bigquery.job_polls = 0;
        options.bigquery.load_row_bytes = 1_000;
    }));
    let large = |id: u64| row(&json!({"id": id, "name": "x".repeat(2_000), "revision": 1}));
    let input = keyless() + &rows(0..5, 1) + &large(5) + &rows(6..9, 1) + &large(9) + &state(1);
    let ended = world.feed(&json!({}), &input);
    ended.expect_code(3);
    world.assert_orders((0..5).chain(6..9), 1);
    assert_eq!(world.rejects().len(), 2);
    // Each refused row was named: nobody had to look for it.
    assert!(world.bigquery.jobs("load").len() <= 3);
}

#[test]
fn a_load_job_that_names_no_row_is_halved_until_the_row_is_found() {
    let world = World::new();
    world
        .bigquery
        .set_faults(&["job-fail:reason=invalid,path=/load/,times=3"]);
    let ended = world.feed(&json!({}), &(schema() + &rows(0..4, 1) + &state(1)));
    // The whole, its first half, and the first row of that.
    ended.expect_code(3);
    assert_eq!(printed(&ended), [1]);
    world.assert_orders(1..4, 1);
    assert_eq!(world.rejects().len(), 1);
    assert_eq!(world.rejects()[0]["key"]["id"], 0);
}

#[test]
fn a_table_whose_every_row_is_refused_by_bigquery_ends_the_run() {
    let world = World::new();
    world
        .bigquery
        .set_faults(&["job-fail:reason=invalid,path=/load/"]);
    let ended = world.feed(&json!({}), &(schema() + &rows(0..400, 1) + &state(1)));
    ended.expect_code(1).expect_log("files in a row");
    assert!(printed(&ended).is_empty());
    assert!(world.bigquery.jobs("load").len() < 60);
}

#[test]
fn rows_that_the_table_itself_does_not_take_are_refused_before_they_are_sent() {
    let body = json!({"schema": {"fields": [
        {"name": "id", "type": "INTEGER"},
        {"name": "name", "type": "STRING", "maxLength": "15"},
        {"name": "revision", "type": "NUMERIC", "precision": "3", "scale": "0"}]}});
    for method in METHODS {
        let world = World::new();
        let inside = world.bigquery.inside();
        inside
            .create_table(PROJECT, "raw.orders", &body)
            .expect("a table can be made");
        let input = keyless()
            + &rows(0..3, 1)
            + &row(&json!({"id": 3, "name": "a name that is too long", "revision": 1}))
            + &row(&json!({"id": 4, "name": "x", "revision": 1000}))
            + &rows(5..7, 1)
            + &state(1);
        let ended = world.feed(&json!({"method": method}), &input);
        ended.expect_code(3);
        assert_eq!(printed(&ended), [1], "{method}");
        world.assert_orders((0..3).chain(5..7), 1);
        let reasons: Vec<Value> = world.rejects();
        assert_eq!(reasons.len(), 2, "{method}");
        assert!(
            reasons.iter().all(|reject| !reject["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("too long")),
            "no value of a row is told"
        );
    }
}

#[test]
fn a_table_that_is_dropped_during_the_run_ends_it_and_is_not_made_anew_in_silence() {
    for method in METHODS {
        let world = World::new();
        let running = begun(
            &world,
            &json!({"method": method, "attempts": 2, "patience_seconds": 3}),
        );
        assert!(world.bigquery.inside().drop_table(PROJECT, "raw", "orders"));
        let ended = ended(running);
        ended.expect_code(1).expect_log("is gone");
        assert_eq!(printed(&ended), [1], "{method}");
        assert_eq!(world.bigquery.count("orders"), None, "{method}");
    }
}

#[test]
fn a_table_that_changes_during_the_run_is_looked_at_again() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        // A new column may take minutes to be known to streams: that is not waited for here.
        let running = begun(&world, &json!({"method": method, "patience_seconds": 1}));
        let inside = world.bigquery.inside();
        inside.drop_table(PROJECT, "raw", "orders");
        // A column is gone, and another one takes less.
        let body = json!({"schema": {"fields": [
            {"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]},
            "tableConstraints": {"primaryKey": {"columns": ["id"]}}});
        inside
            .create_table(PROJECT, "raw.orders", &body)
            .expect("a table can be made");
        let ended = ended(running);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1, 2], "{method}");
        assert_eq!(world.bigquery.count("orders"), Some(5), "{method}");
        world.assert_orders(5..10, 1);
        assert!(
            world
                .bigquery
                .rows("orders")
                .iter()
                .all(|row| row["revision"] == 1)
        );
    }
}

#[test]
fn a_data_set_somewhere_else_is_told_with_both_places() {
    let world = World::new();
    world.bigquery.inside().create_dataset(PROJECT, "raw", "EU");
    let input = schema() + &rows(0..3, 1) + &state(1);
    let ended = world.feed(&json!({"location": "asia-south1"}), &input);
    ended
        .expect_code(2)
        .expect_log("`EU`")
        .expect_log("`asia-south1`")
        .expect_log("hint:");
    // Left to itself the target goes where the data is.
    world.feed(&json!({}), &input).expect_code(0);
    world.assert_orders(0..3, 1);
    let world = World::new();
    world
        .feed(&json!({"location": "asia-south1"}), &input)
        .expect_code(0);
    assert!(
        world
            .bigquery
            .inside()
            .jobs()
            .iter()
            .all(|job| job.location == "asia-south1")
    );
}

#[test]
fn a_permission_that_is_lost_in_the_middle_is_named_and_the_state_is_true() {
    for (method, permission, role) in [
        (
            "load",
            "bigquery.tables.updateData",
            "roles/bigquery.dataEditor",
        ),
        ("load", "bigquery.jobs.create", "roles/bigquery.jobUser"),
        (
            "load",
            "bigquery.tables.create",
            "roles/bigquery.dataEditor",
        ),
        (
            "storage_write",
            "bigquery.tables.updateData",
            "roles/bigquery.dataEditor",
        ),
        (
            "streaming",
            "bigquery.tables.updateData",
            "roles/bigquery.dataEditor",
        ),
    ] {
        let world = World::new();
        let running = begun(&world, &json!({"method": method}));
        world.bigquery.deny(&[permission]);
        let ended = ended(running);
        ended
            .expect_code(1)
            .expect_log("CRITICAL target-bigquery")
            .expect_log(permission)
            .expect_log(role);
        assert_eq!(printed(&ended), [1], "{method} {permission}");
        world.assert_orders(0..5, 1);
        world.bigquery.deny(&[]);
        world
            .feed(
                &json!({"method": method}),
                &(schema() + &rows(5..10, 1) + &state(2)),
            )
            .expect_code(0);
        world.assert_orders(0..10, 1);
    }
}

/// A user's credentials, whose tokens the stand-in gives out.
fn credentials(world: &World) -> Value {
    let file = world.folder.write_json(
        "credentials.json",
        &json!({"type": "authorized_user", "client_id": "client", "client_secret": "sandbox-client",
            "refresh_token": "sandbox-refresh", "token_uri": world.bigquery.token_url()}),
    );
    json!(file)
}

#[test]
fn a_token_that_ends_in_the_middle_is_replaced_by_a_new_one() {
    for method in METHODS {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 0;
            options.bigquery.anonymous = false;
        }));
        let extra = json!({"method": method, "credentials_path": credentials(&world)});
        let running = begun(&world, &extra);
        world.bigquery.inside().expire_tokens();
        let ended = ended(running);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1, 2], "{method}");
        world.assert_orders(0..10, 1);
    }
}

#[test]
fn credentials_that_are_revoked_in_the_middle_end_the_run_with_a_true_state() {
    // A stream of the Storage Write API that is open already goes on.
    for method in ["load", "streaming"] {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 0;
            options.bigquery.anonymous = false;
        }));
        let extra = json!({"method": method, "credentials_path": credentials(&world)});
        let running = begun(&world, &extra);
        // The user has withdrawn them: they are read again, and refused.
        let text = world.folder.read("credentials.json");
        let text = text.replace("sandbox-refresh", "withdrawn-refresh");
        world.folder.write("credentials.json", text);
        world.bigquery.inside().expire_tokens();
        let ended = ended(running);
        ended.expect_code(1).expect_log("hint:");
        assert_eq!(printed(&ended), [1], "{method}");
        assert!(!ended.stderr.contains("-refresh"));
    }
}

#[test]
fn a_service_that_refuses_each_new_token_is_not_asked_for_ever() {
    for method in ["load", "streaming"] {
        let world = World::new();
        let extra = json!({"method": method, "credentials_path": credentials(&world)});
        let running = begun(&world, &extra);
        world.bigquery.set_faults(&["expire:path=/bigquery/v2/"]);
        let ended = ended(running);
        ended.expect_code(1).expect_log("hint:");
        assert_eq!(printed(&ended), [1], "{method}");
        assert!(world.bigquery.struck() < 20);
    }
}

#[test]
fn a_project_without_billing_is_told_what_it_lacks() {
    for method in ["load", "streaming"] {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 0;
            options.bigquery.no_billing = true;
        }));
        let input = schema() + &rows(0..3, 1) + &state(1);
        let ended = world.feed(&json!({"method": method}), &input);
        ended
            .expect_code(1)
            .expect_log("billing")
            .expect_log("hint:");
        assert!(printed(&ended).is_empty());
    }
}

#[test]
fn a_statement_that_would_read_too_much_fails_before_it_costs_anything() {
    let world = World::new();
    world
        .feed(&json!({}), &(schema() + &rows(0..50, 1)))
        .expect_code(0);
    let ended = world.feed(
        &json!({"maximum_bytes_billed": 1}),
        &(schema() + &rows(0..3, 2) + &state(1)),
    );
    ended.expect_code(1);
    assert!(printed(&ended).is_empty());
    world.assert_orders(0..50, 1);
}

#[test]
fn no_value_of_a_row_is_logged() {
    for method in METHODS {
        let world = World::new();
        let mut document = document();
        document["properties"]["on"] = json!({"type": ["null", "string"], "format": "date"});
        let mut secret = record(1, 1);
        secret["name"] = json!("hunter2-name");
        secret["on"] = json!("hunter2-date");
        let input = schema_of("orders", &document, &["id"]) + &row(&secret) + &rows(2..4, 1);
        let ended = world.run(&json!({"method": method})).arg("-vv");
        let ended = ended.stdin(input + &state(1)).finish();
        ended.expect_code(3);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn two_runs_at_once_on_one_stream_lose_nothing() {
    let world = World::new();
    let extra = json!({"journal_path": "shared"});
    let mut first = world.run(&extra).held_stdin().start();
    first.feed(keyless() + &rows(0..5, 1) + &state(1));
    singer_test::poll::until("the first run has the journal", || {
        let files = std::fs::read_dir(world.folder.file("shared"));
        files.is_ok_and(|mut files| files.next().is_some())
    });
    let second = world.feed(&extra, &(keyless() + &rows(5..9, 1) + &state(2)));
    second
        .expect_code(0)
        .expect_log("another run writes this stream");
    first.finish().expect_code(0);
    world.assert_orders(0..9, 1);
}
