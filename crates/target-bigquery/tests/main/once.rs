//! Exactly once: answers that are lost, jobs that fail or hang, uploads and streams that break. Each test
//! ends with the same question: is every row there, and once?

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;

use crate::kit::{World, keyless, printed, row, rows, schema, state};

/// Where statements and copies are submitted, and not uploads.
const JOBS: &str = "/bigquery/bigquery/v2/projects/sandbox-project/jobs";

/// Runs with faults that pass: everything arrives, once, and its state is printed.
#[track_caller]
fn passes(world: &World, extra: &Value, schema: &str, faults: &[&str]) {
    world.bigquery.set_faults(faults);
    let ended = world.feed(extra, &(schema.to_owned() + &rows(0..40, 1) + &state(1)));
    assert_eq!(ended.code(), Some(0), "{faults:?}:\n{}", ended.stderr);
    assert_eq!(printed(&ended), [1], "{faults:?}");
    assert!(world.bigquery.struck() > 0, "{faults:?} never struck");
    world.assert_orders(0..40, 1);
    assert_eq!(world.bigquery.tables("raw"), ["orders"], "{faults:?}");
}

/// The same for rows with a key and without one.
#[track_caller]
fn passes_both(extra: &Value, faults: &[&str]) {
    for schema in [schema(), keyless()] {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 1;
        }));
        passes(&world, extra, &schema, faults);
    }
}

#[test]
fn answers_to_statements_that_are_lost_are_asked_for() {
    for fault in ["reset:when=after", "cut", "empty", "error:status=503"] {
        let fault = format!(
            "{fault}{}path={JOBS},method=POST,times=1",
            if fault.contains(':') { "," } else { ":" }
        );
        passes_both(&json!({}), &[&fault]);
    }
}

#[test]
fn answers_to_uploads_that_are_lost_are_asked_for() {
    for fault in ["reset:when=after", "cut", "empty", "error:status=503"] {
        let fault = format!(
            "{fault}{}method=PUT,times=1",
            if fault.contains(':') { "," } else { ":" }
        );
        passes_both(&json!({}), &[&fault]);
    }
    passes_both(
        &json!({}),
        &["reset:when=after,path=/upload/,method=POST,times=1"],
    );
}

#[test]
fn looks_at_jobs_and_requests_for_tables_that_fail_are_made_again() {
    passes_both(
        &json!({}),
        &[
            "reset:path=/jobs/,method=GET,times=2",
            "reset:path=/tables,when=after,method=POST,every=1,times=2",
            "throttle:retry-after=0,path=/datasets,times=2",
            "error:status=500,method=DELETE,times=1",
        ],
    );
}

#[test]
fn jobs_that_fail_for_a_reason_that_passes_are_tried_under_another_id() {
    for reason in ["backendError", "rateLimitExceeded", "serialize"] {
        passes_both(
            &json!({}),
            &[
                &format!("job-fail:reason={reason},path=/query/,times=1"),
                &format!("job-fail:reason={reason},path=/load/,times=1"),
            ],
        );
    }
}

#[test]
fn an_id_that_a_failed_job_has_burnt_is_not_taken_for_done() {
    let world = World::new();
    let extra = json!({"method": "storage_write", "mode": "append_dedupe",
        "dedupe": {"every_seconds": 86_400}});
    let input = schema() + &rows(0..5, 1) + &rows(0..5, 2) + &state(1);
    world
        .bigquery
        .set_faults(&["job-fail:reason=invalidQuery,path=/query/,times=1"]);
    world.feed(&extra, &input).expect_code(1);
    world.bigquery.set_faults(&[]);
    world
        .feed(&extra, &(schema() + &rows(5..6, 2) + &state(2)))
        .expect_code(0);
    world.assert_orders(0..6, 2);
    assert_eq!(world.bigquery.jobs("DELETE").len(), 2);
}

#[test]
fn a_job_that_hangs_ends_the_run_with_75_and_the_next_run_is_right() {
    for (kind, schema) in [("load", schema()), ("query", keyless())] {
        let world = World::with(BigQuery::start_with(|options| {
            options.bigquery.job_polls = 1;
        }));
        let fault = format!("job-hang:path=/{kind}/");
        world.bigquery.set_faults(&[&fault]);
        let input = schema + &rows(0..10, 1) + &state(1);
        let ended = world.feed(&json!({"patience_seconds": 1}), &input);
        ended.expect_code(75).expect_log("patience_seconds");
        assert!(printed(&ended).is_empty());
        world.bigquery.set_faults(&[]);
        world.feed(&json!({}), &input).expect_code(0);
        world.assert_orders(0..10, 1);
    }
}

#[test]
fn a_quota_that_is_used_up_ends_the_run_with_75_and_the_state_is_kept() {
    let world = World::new();
    let first = schema() + &rows(0..5, 1) + &state(1);
    let run = world.run(&json!({})).args(["--state-file", "state.json"]);
    run.stdin(first).finish().expect_code(0);
    world
        .bigquery
        .set_faults(&["job-fail:reason=quotaExceeded,path=/query/"]);
    let second = schema() + &rows(5..9, 1) + &state(2);
    let run = world.run(&json!({})).args(["--state-file", "state.json"]);
    let ended = run.stdin(second.clone()).finish();
    ended.expect_code(75).expect_log("quota");
    assert!(printed(&ended).is_empty());
    assert_eq!(world.folder.read("state.json").trim(), "{\"n\":1}");
    world.assert_orders(0..5, 1);
    world.bigquery.set_faults(&[]);
    world.feed(&json!({}), &second).expect_code(0);
    world.assert_orders(0..9, 1);
}

#[test]
fn the_limit_of_jobs_for_a_table_and_day_is_not_met_by_loads() {
    let world = World::with(BigQuery::start_with(|options| {
        options.bigquery.job_polls = 0;
        options.bigquery.table_jobs_per_day = 1;
    }));
    let extra = json!({"batch": {"max_records": 5}});
    let input = schema() + &rows(0..40, 1) + &state(1);
    world.feed(&extra, &input).expect_code(0);
    world.assert_orders(0..40, 1);
}

fn long_rows() -> String {
    let long = "x".repeat(1_000);
    (0..700)
        .map(|number| row(&json!({"id": number, "name": format!("{long}{number}"), "revision": 1})))
        .collect()
}

#[test]
fn an_upload_that_is_cut_goes_on_where_it_was() {
    for bytes in [0, 1, 262_143, 262_144, 400_000] {
        let world = World::new();
        // Whole in one piece, or in several.
        let chunk = if bytes < 300_000 { 262_144 } else { 8 << 20 };
        let extra = json!({"compression": "none", "upload_chunk_bytes": chunk});
        let fault = format!("upload-cut:bytes={bytes},method=PUT,times=1");
        world.bigquery.set_faults(&[&fault]);
        let ended = world.feed(&extra, &(keyless() + &long_rows() + &state(1)));
        ended.expect_code(0);
        assert_eq!(world.bigquery.struck(), 1);
        assert_eq!(world.bigquery.by("orders", "id").len(), 700, "{bytes}");
    }
}

#[test]
fn an_upload_whose_session_has_gone_begins_anew() {
    let world = World::new();
    let extra = json!({"compression": "none", "upload_chunk_bytes": 262_144});
    world
        .bigquery
        .set_faults(&["slow:ms=700,method=PUT,times=1"]);
    let run = world.run(&extra);
    let running = run.stdin(keyless() + &long_rows() + &state(1)).start();
    world.bigquery.wait_for_strikes(1);
    world.bigquery.inside().advance(700_000);
    running.finish().expect_code(0);
    assert_eq!(world.bigquery.by("orders", "id").len(), 700);
}

#[test]
fn streams_of_the_storage_write_api_that_break_lose_and_double_nothing() {
    // Five requests or so.
    let extra = json!({"method": "storage_write", "append_request_bytes": 1_000});
    let rows = |numbers: std::ops::Range<u64>| -> String {
        let long = "x".repeat(100);
        numbers
            .map(|id| row(&json!({"id": id, "name": format!("{id}{long}"), "revision": 1})))
            .collect()
    };
    for fault in [
        "grpc:path=/AppendRows,after=2,times=1",
        "grpc:path=/AppendRows,when=after,after=2,times=1",
        "grpc:path=/AppendRows,as=reset,after=2,times=1",
        "grpc:path=/AppendRows,as=reset,when=after,after=2,times=1",
        "grpc:path=/AppendRows,as=response,status=INTERNAL,after=1,times=2",
        "grpc:path=/AppendRows,status=ABORTED,every=3,times=2",
        "grpc:path=/AppendRows,status=RESOURCE_EXHAUSTED,times=1",
    ] {
        for schema in [schema(), keyless()] {
            let world = World::new();
            world.bigquery.set_faults(&[fault]);
            let ended = world.feed(&extra, &(schema + &rows(0..40) + &state(1)));
            assert_eq!(ended.code(), Some(0), "{fault}:\n{}", ended.stderr);
            assert_eq!(printed(&ended), [1], "{fault}");
            assert!(world.bigquery.struck() > 0, "{fault} never struck");
            assert_eq!(world.bigquery.by("orders", "id").len(), 40, "{fault}");
        }
    }
}

#[test]
fn calls_around_a_pending_stream_that_fail_are_made_again() {
    let extra = json!({"method": "storage_write"});
    for call in [
        "CreateWriteStream",
        "FinalizeWriteStream",
        "BatchCommitWriteStreams",
    ] {
        for when in ["before", "after"] {
            for form in ["status", "reset"] {
                let world = World::new();
                let fault = format!("grpc:path=/{call},when={when},as={form},times=1");
                passes(&world, &extra, &keyless(), &[&fault]);
            }
        }
    }
}

#[test]
fn a_default_stream_that_lies_idle_is_opened_again() {
    let world = World::new();
    let mut extra = json!({"method": "storage_write"});
    extra["batch"] = json!({"max_records": 5, "max_age_seconds": 0.05});
    let mut running = world.run(&extra).held_stdin().start();
    running.feed(schema() + &rows(0..5, 1) + &state(1));
    running.wait_for_lines(1);
    world
        .bigquery
        .set_faults(&["grpc:path=/AppendRows,as=reset,times=1"]);
    running.feed(rows(5..10, 1) + &state(2));
    running.wait_for_lines(2);
    running.finish().expect_code(0);
    world.assert_orders(0..10, 1);
}

#[test]
fn lost_answers_of_insert_all_are_noticed_by_the_ids_of_its_rows() {
    let extra = json!({"method": "streaming", "insert_rows": 10});
    for fault in [
        "reset:when=after,path=/insertAll,times=2",
        "error:status=503,path=/insertAll,every=2,times=2",
        "throttle:retry-after=0,path=/insertAll,times=1",
        "cut:path=/insertAll,times=1",
        "empty:path=/insertAll,times=1",
    ] {
        passes(&World::new(), &extra, &schema(), &[fault]);
    }
}

#[test]
fn a_service_out_of_reach_is_exit_75() {
    for method in ["load", "storage_write", "streaming"] {
        let world = World::new();
        world.bigquery.set_faults(&["error:status=503"]);
        let extra = json!({"method": method, "attempts": 1});
        let input = schema() + &rows(0..3, 1) + &state(1);
        let ended = world.feed(&extra, &input);
        ended.expect_code(75).expect_log("CRITICAL target-bigquery");
        assert!(printed(&ended).is_empty());
        let run = world.run(&extra);
        world.bigquery.stop();
        run.stdin(input).finish().expect_code(75);
    }
}
