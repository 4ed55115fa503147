//! `target-analytics` killed at every point where it could matter, and run again from the state on disk. Every
//! test ends with the view equal to the table; with `append` rows may be there twice, and none is lost.

use serde_json::json;
use singer_test::bin::Signal;
use singer_test::pipe::{self, Cut};
use singer_test::poll;
use singer_test::zoho::{TABLE, Zoho};

use crate::end_to_end::counts_while;
use crate::pair::{Method, Pair, ROWS};

/// Where a file is sent, a job is asked for, and rows are deleted.
const IMPORT: &str = "method=POST,path=/bulk/workspaces";
const JOB: &str = "path=/importjobs/";
const DELETE: &str = "method=DELETE,path=/rows";

/// A request that never reaches the service, and whose sender waits for an answer all the same.
fn unheard(place: &str) -> [String; 2] {
    [
        format!("reset:{place},times=1"),
        format!("slow:ms=600000,{place},times=1"),
    ]
}

/// A request that the service has carried out, and whose answer never comes.
fn unanswered(place: &str, after: usize) -> String {
    format!("slow:ms=600000,{place},after={after},times=1")
}

/// One batch after the other, so that none waits for the next file and goes with it.
fn pair(method: Method) -> Pair {
    Pair::new(method).target_keys(&json!({"parallel": 1}))
}

#[track_caller]
fn killed(pair: &Pair, faults: &[String]) {
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    pair.kill_target_at(&faults);
}

#[test]
fn before_it_reads_or_while_it_makes_the_table() {
    for fault in [
        unanswered("method=GET,path=/restapi", 0),
        unanswered("method=POST,path=/tables", 0),
    ] {
        let pair = pair(Method::Incremental);
        killed(&pair, &[fault]);
        assert!(pair.state().is_none() && pair.zoho.stored().is_empty());
        pair.sync_equal();
    }
}

#[test]
fn before_a_file_arrives() {
    let pair = pair(Method::Incremental);
    killed(&pair, &unheard(IMPORT));
    assert!(pair.state().is_none() && pair.zoho.stored().is_empty());
    pair.sync_equal();
}

#[test]
fn between_a_file_and_the_answer_to_it() {
    for (method, after) in [(Method::Full, 0), (Method::Incremental, 2)] {
        let pair = pair(method);
        killed(&pair, &[unanswered(IMPORT, after)]);
        pair.sync_equal();
    }
}

#[test]
fn while_an_import_runs_which_the_next_run_waits_for() {
    let pair = pair(Method::Incremental);
    killed(&pair, &["import-hang:after=1,times=1".to_owned()]);
    let pipeline = pair.start();
    // Analytics takes one import of a table at a time.
    poll::until("another import is refused", || {
        pair.zoho.requests("POST", "/bulk/workspaces") >= 3
    });
    pair.zoho.analytics().finish_jobs();
    pipeline.finish().expect_success();
    pair.zoho.assert_equal();
}

#[test]
fn between_an_import_and_its_state() {
    for (method, after) in [(Method::Full, 0), (Method::Incremental, 2)] {
        let pair = pair(method);
        killed(&pair, &[unanswered(JOB, after)]);
        pair.sync_equal();
    }
}

#[test]
fn between_an_import_and_the_deletions_behind_it() {
    for faults in [unheard(DELETE).to_vec(), vec![unanswered(DELETE, 0)]] {
        let pair = Pair::new(Method::Incremental)
            .tap_keys(&json!({"deletions": "diff"}))
            .stream_keys(&json!({"on_delete": "delete"}));
        pair.sync_equal();
        let ids = pair.zoho.ids();
        pair.zoho.delete(&ids[20..90]);
        pair.zoho.revise(&ids[..15], 2, "2025-02-03 10:00:00:000");
        killed(&pair, &faults);
        pair.sync_equal();
    }
}

#[test]
fn while_the_rows_of_an_old_version_go() {
    for faults in [unheard(DELETE).to_vec(), vec![unanswered(DELETE, 0)]] {
        let pair = Pair::new(Method::Full).stream_keys(&json!({"on_delete": "delete"}));
        pair.sync_equal();
        pair.zoho.delete(&pair.zoho.ids()[20..90]);
        killed(&pair, &faults);
        pair.sync_equal();
    }
}

/// A view with rows that are to be replaced by fewer, in a job of several files.
fn replaced() -> Pair {
    let pair = Pair::new(Method::Full)
        .stream_keys(&json!({"mode": "replace"}))
        .target_keys(&json!({"file_bytes": 8_000}));
    pair.sync_equal();
    let ids = pair.zoho.ids();
    pair.zoho.delete(&ids[..60]);
    pair.zoho
        .revise(&ids[60..100], 2, "2025-02-03 10:00:00:000");
    pair
}

#[test]
fn replacement_while_rows_are_collected() {
    let pair = replaced();
    let state = pair.state();
    // The tap stands still in its fourth page; what came before waits on the target's disk.
    pair.zoho
        .set_faults(&["slow:ms=600000,path=/download,after=3,times=1"]);
    let pipeline = pair.start();
    pair.zoho.wait_for_strikes(1);
    pipeline.target.signal(Signal::Kill);
    pipeline.tap.signal(Signal::Kill);
    pipeline.finish();
    pair.zoho.set_faults(&[]);
    assert_eq!(pair.state(), state);
    assert_eq!(pair.zoho.stored().len(), ROWS);
    pair.sync_equal();
}

#[test]
fn replacement_before_its_last_file_leaves_a_job_open() {
    let last = unheard("path=/data/batch,after=2");
    for faults in [&last[..], &[unanswered("path=/data/batch", 1)]] {
        let pair = replaced();
        let state = pair.state();
        let counts = counts_while(&pair.zoho, || {
            killed(&pair, faults);
            // It holds a slot, and its table, until Analytics drops it, and shows nothing.
            let impatient = pair.target_with(&json!({"patience_seconds": 1}));
            let ended = pipe::run(pair.tap(), impatient, Cut::Never);
            ended.target.expect_code(75);
            ended.target.expect_log("10001");
            // No STATE tells of rows that are in nobody's view.
            assert_eq!(pair.state(), state);
            pair.zoho.analytics().lapse_batches();
            pair.sync_equal();
        });
        assert_eq!(counts, [ROWS, ROWS - 60]);
    }
}

#[test]
fn replacement_after_its_last_file_and_before_its_state() {
    let pair = replaced();
    let counts = counts_while(&pair.zoho, || {
        killed(&pair, &[unanswered(JOB, 0)]);
        pair.sync_equal();
    });
    assert_eq!(counts, [ROWS, ROWS - 60]);
}

#[test]
fn append_loses_no_row_and_may_double_those_whose_state_was_not_stored() {
    for fault in [unanswered(IMPORT, 1), unanswered(JOB, 1)] {
        let pair = Pair::new(Method::Incremental)
            .tap_keys(&json!({"lookback_seconds": 0}))
            .stream_keys(&json!({"mode": "append"}));
        pair.kill_target_at(&[&fault]);
        pair.sync();
        let mut times = std::collections::BTreeMap::<String, usize>::new();
        for row in pair.zoho.analytics().dump(TABLE) {
            let id = row["ROWID"].as_str().expect("an id").to_owned();
            *times.entry(id).or_default() += 1;
        }
        assert_eq!(times.len(), ROWS, "rows that never arrived");
        assert!(times.values().all(|count| *count <= 2));
    }
}

#[test]
fn row_by_row_between_a_row_and_its_answer() {
    let pair =
        Pair::over(Zoho::start(40), Method::Incremental).stream_keys(&json!({"mode": "row"}));
    killed(&pair, &[unanswered("method=PUT,path=/rows", 17)]);
    pair.sync_equal();
}

#[test]
fn after_its_last_state() {
    let pair = pair(Method::Incremental);
    let pipeline = pair.start();
    poll::until("the last state is stored", || {
        pair.bookmark().is_some_and(|bookmark| {
            bookmark.get("reading").is_none() && bookmark["replication_key_value"].is_string()
        })
    });
    pipeline.target.signal(Signal::Kill);
    pipeline.finish();
    pair.zoho.assert_equal();
    pair.sync_equal();
}

#[test]
fn what_a_crash_leaves_beside_the_state_does_no_harm() {
    let pair = pair(Method::Incremental);
    pair.sync_equal();
    pair.folder
        .write("state.json.tmp", "{\"bookmarks\": {\"Tri");
    pair.folder.write(".state.json.tmp", "{");
    pair.zoho
        .revise(&pair.zoho.ids()[..20], 2, "2025-02-03 10:00:00:000");
    pair.sync_equal();
}

#[test]
fn at_random_moments() {
    for requests in [8, 16, 30] {
        let pair = pair(Method::Incremental);
        for _ in 0..2 {
            let seen = || pair.zoho.status().activity.requests;
            let before = seen();
            let mut pipeline = pair.start();
            poll::until("requests were made, or all is done", || {
                seen() >= before + requests || pipeline.target.has_ended()
            });
            pipeline.target.signal(Signal::Kill);
            pipeline.finish();
            pair.assert_true_state();
        }
        pair.sync_equal();
    }
}
