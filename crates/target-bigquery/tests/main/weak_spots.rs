//! What is known to go wrong in loaders of this kind, each a test by the number under which it is known:
//! see the list in `tests/weak_spots.rs` of the workspace, which has those that are the tap's.

use serde_json::{Value, json};

use crate::kit::{
    World, activate, printed, record, row, rows, schema, schema_of, state, versioned,
};

const METHODS: [&str; 3] = ["load", "storage_write", "streaming"];

#[test]
fn weak_spot_1_rows_that_are_read_again_stand_once() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method, "streams": {"orders": {"order_by": "revision"}}});
        // Each run begins with the last rows of the one before.
        for run in 0..4 {
            let numbers = run * 10..run * 10 + 13;
            let input = schema() + &rows(numbers, 1) + &state(run);
            world.feed(&extra, &input).expect_code(0);
        }
        world.assert_orders(0..43, 1);
    }
}

#[test]
fn weak_spot_2_no_state_passes_over_a_request_that_failed() {
    for (method, fault) in [
        ("load", "job-fail:reason=invalidQuery,path=/query/,after=2"),
        (
            "storage_write",
            "grpc:path=/AppendRows,status=PERMISSION_DENIED,after=2",
        ),
        ("streaming", "error:path=/insertAll,status=403,after=2"),
    ] {
        let world = World::new();
        let extra = json!({"method": method, "batch": {"max_records": 10}, "attempts": 1});
        world.bigquery.set_faults(&[fault]);
        let parts: Vec<String> = (0..6)
            .map(|part| rows(part * 10..part * 10 + 10, 1) + &state(part))
            .collect();
        let ended = world.feed(&extra, &(schema() + &parts.concat()));
        assert!(
            matches!(ended.code(), Some(1 | 75)),
            "{method}: {:?}",
            ended.code()
        );
        let last = printed(&ended).last().copied();
        let stored = world.bigquery.by("orders", "id");
        let promised = last.map_or(0, |last| (last + 1) * 10);
        assert!(promised < 60, "{method}");
        for number in 0..promised {
            assert!(
                stored.contains_key(&number.to_string()),
                "{method}: row {number} of state {last:?}"
            );
        }
        // From that state on the rest comes again.
        world.bigquery.set_faults(&[]);
        let rest: String = parts[last.map_or(0, |last| last as usize + 1)..].concat();
        let mut again = extra.clone();
        if method == "streaming" {
            again["mode"] = json!("append");
        }
        world.feed(&again, &(schema() + &rest)).expect_code(0);
        let stored: std::collections::BTreeSet<String> = world
            .bigquery
            .rows("orders")
            .iter()
            .map(|row| row["id"].to_string())
            .collect();
        assert_eq!(stored.len(), 60, "{method}: nothing is lost");
    }
}

#[test]
fn weak_spot_3_one_bad_row_takes_no_neighbour_with_it() {
    for method in METHODS {
        let world = World::new();
        let extra = json!({"method": method, "validate_records": false});
        let schema = schema_of(
            "orders",
            &json!({"properties": {"id": {"type": "integer"}, "name": {"type": ["null", "string"]},
                "revision": {"type": ["null", "integer"]}}}),
            &["id"],
        );
        let bad = row(&json!({"id": 50, "name": "x", "revision": true}));
        let input = schema + &rows(0..50, 1) + &bad + &rows(51..100, 1) + &state(1);
        let ended = world.feed(&extra, &input);
        ended.expect_code(3);
        assert_eq!(printed(&ended), [1], "{method}");
        world.assert_orders((0..50).chain(51..100), 1);
        let rejects = world.rejects();
        assert_eq!(rejects.len(), 1, "{method}");
        assert!(
            rejects[0]["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("`revision`"))
        );
    }
}

#[test]
fn weak_spot_7_no_older_version_of_a_row_is_ever_to_be_seen() {
    for method in ["load", "storage_write"] {
        let world = World::new();
        let extra = json!({"method": method});
        for revision in 1..=3 {
            let input = schema() + &rows(0..20, revision) + &state(revision);
            world.feed(&extra, &input).expect_code(0);
            world.assert_orders(0..20, revision);
        }
    }
}

#[test]
fn weak_spot_8_what_is_deleted_at_the_source_goes_here_too() {
    let world = World::new();
    let extra = json!({"on_delete": "hard"});
    let full = |version: u64, numbers: std::ops::Range<u64>| {
        schema() + &versioned(version, numbers, 1) + &activate(version) + &state(version)
    };
    world.feed(&extra, &full(1, 0..20)).expect_code(0);
    // A purge.
    world.feed(&extra, &full(2, 12..20)).expect_code(0);
    world.assert_orders(12..20, 1);
}

#[test]
fn weak_spot_10_a_lost_reply_doubles_nothing() {
    for (method, fault) in [
        ("load", "reset:when=after,method=PUT,times=1"),
        (
            "load",
            "reset:when=after,path=/bigquery/bigquery/v2/projects/sandbox-project/jobs,method=POST,times=1",
        ),
        (
            "storage_write",
            "grpc:path=/AppendRows,as=reset,when=after,times=1",
        ),
        (
            "storage_write",
            "grpc:path=/BatchCommitWriteStreams,as=reset,when=after,times=1",
        ),
        ("streaming", "reset:when=after,path=/insertAll,times=1"),
    ] {
        let world = World::new();
        world.bigquery.set_faults(&[fault]);
        // The hard way: nothing tells one row from another.
        let extra = json!({"method": method, "mode": "append"});
        let ended = world.feed(&extra, &(schema() + &rows(0..20, 1) + &state(1)));
        ended.expect_code(0);
        assert_eq!(world.bigquery.struck(), 1, "{fault}");
        world.assert_orders(0..20, 1);
    }
}

#[test]
fn weak_spot_9_a_moment_is_stored_as_a_moment() {
    for method in METHODS {
        let world = World::new();
        let schema = schema_of(
            "orders",
            &json!({"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}),
            &["id"],
        );
        // The hour that a zone has twice in a year.
        let input = schema
            + &row(&json!({"id": 1, "at": "2026-10-25T02:30:00+02:00"}))
            + &row(&json!({"id": 2, "at": "2026-10-25T02:30:00+01:00"}));
        world
            .feed(&json!({"method": method}), &input)
            .expect_code(0);
        let stored = world.bigquery.by("orders", "id");
        let at = |id: &str| stored[id]["at"].as_str().unwrap_or_default().to_owned();
        assert!(at("1").starts_with("2026-10-25T00:30:00"), "{}", at("1"));
        assert!(at("2").starts_with("2026-10-25T01:30:00"), "{}", at("2"));
    }
}

#[test]
fn weak_spot_12_superseded_rows_are_looked_for_only_where_the_columns_are() {
    // The stream has no column to order by; what the target adds itself is enough.
    let world = World::new();
    let schema = schema_of(
        "orders",
        &json!({"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}),
        &["id"],
    );
    let of = |revision: u64| -> String {
        (0..5)
            .map(|id| {
                let mut record: Value = record(id, revision);
                record
                    .as_object_mut()
                    .expect("an object")
                    .remove("revision");
                row(&record)
            })
            .collect()
    };
    let extra =
        json!({"method": "storage_write", "mode": "append_dedupe", "dedupe": {"every_seconds": 1}});
    let input = schema + &of(1) + &of(2) + &state(1);
    world.feed(&extra, &input).expect_code(0);
    world.assert_orders(0..5, 2);
}
