//! What arrives: whole tables, changes, deletions, each mode of the target, single rows, and what is told by
//! callbacks instead of questions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sandbox::datastore::Environment;
use serde_json::{Value, json};
use singer_test::pipe::{self, Cut};
use singer_test::zoho::{PAGE_ROWS, TABLE, Zoho, assert_same, free_port};
use suite::proxy::Proxy;

use crate::pair::{METHODS, Method, Pair, ROWS, records};

#[test]
fn a_whole_table_arrives_value_by_value() {
    for method in METHODS {
        let pair = Pair::new(method);
        let ended = pair.sync_equal();
        assert_eq!(records(&ended), ROWS);
        assert_eq!(
            pair.zoho.requests("POST", "/bulk/read"),
            ROWS.div_ceil(PAGE_ROWS)
        );
    }
}

#[test]
fn changes_and_rows_that_come_late_arrive() {
    let pair = Pair::new(Method::Incremental).tap_keys(&json!({"lookback_seconds": 7200}));
    pair.sync_equal();
    let ids = pair.zoho.ids();
    pair.zoho.revise(&ids[10..20], 2, "2025-02-03 10:00:00:118");
    pair.zoho.add(5, "2025-02-03 10:00:01:000");
    // All rows of the sample are within two hours of the newest.
    let ended = pair.sync_equal();
    assert_eq!(records(&ended), ROWS + 5);
    // They were begun before the newest row, and are seen only now.
    pair.zoho
        .revise(&ids[50..130], 3, "2025-02-03 09:00:00:000");
    let ended = pair.sync_equal();
    assert_eq!(records(&ended), 80 + 15);
    // Nothing new changes nothing.
    let before = pair.state();
    pair.sync_equal();
    assert_eq!(pair.state(), before);
}

#[test]
fn rows_that_are_gone_are_found_by_their_ids_and_deleted_or_marked() {
    for on_delete in ["delete", "flag"] {
        let pair = Pair::new(Method::Incremental)
            .tap_keys(&json!({"deletions": "diff"}))
            .stream_keys(&json!({"on_delete": on_delete}));
        pair.sync_equal();
        let ids = pair.zoho.ids();
        let gone = [ids[0], ids[60], ids[229]];
        pair.zoho.delete(&gone);
        pair.sync();
        match on_delete {
            "delete" => pair.zoho.assert_equal(),
            _ => {
                let stored = pair.zoho.stored();
                assert_same(&pair.zoho.rows(), &stored);
                let marked = stored
                    .iter()
                    .filter(|(_, row)| !row["_sdc_deleted_at"].is_null());
                let marked: Vec<i64> = marked.map(|(id, _)| *id).collect();
                assert_eq!(marked, gone);
            }
        }
    }
}

#[test]
fn rows_that_are_gone_from_a_whole_table_are_deleted() {
    let pair = Pair::new(Method::Full).stream_keys(&json!({"on_delete": "delete"}));
    pair.sync_equal();
    pair.zoho.delete(&pair.zoho.ids()[100..120]);
    pair.sync_equal();
}

#[test]
fn a_replacement_shows_the_old_rows_or_the_new_ones() {
    let pair = Pair::new(Method::Full)
        .stream_keys(&json!({"mode": "replace"}))
        .target_keys(&json!({"file_bytes": 8_000}));
    pair.sync_equal();
    let ids = pair.zoho.ids();
    pair.zoho.delete(&ids[..100]);
    pair.zoho
        .revise(&ids[100..150], 2, "2025-02-03 10:00:00:000");
    // An answer that takes its time gives those who look more to see.
    pair.zoho.set_faults(&["slow:ms=40,path=/restapi"]);
    let counts = counts_while(&pair.zoho, || {
        pair.sync_equal();
    });
    assert_eq!(counts, [ROWS, ROWS - 100]);
}

/// The numbers of rows that somebody saw who looked again and again, as they followed each other.
pub(crate) fn counts_while(zoho: &Zoho, work: impl FnOnce()) -> Vec<usize> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            loop {
                let is_last = is_done.load(Ordering::Acquire);
                let count = zoho.analytics().row_count(TABLE).unwrap_or_default();
                if seen.last() != Some(&count) {
                    seen.push(count);
                }
                if is_last {
                    return seen;
                }
                thread::yield_now();
            }
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_done.store(true, Ordering::Release);
        let seen = watcher.join().expect("a look does not panic");
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
        seen
    })
}

#[test]
fn appended_rows_are_the_history_of_a_table() {
    let pair = Pair::new(Method::Incremental)
        .tap_keys(&json!({"lookback_seconds": 0}))
        .stream_keys(&json!({"mode": "append"}));
    pair.sync();
    let ids = pair.zoho.ids();
    pair.zoho.revise(&ids[..30], 2, "2025-02-03 10:00:00:000");
    pair.sync();
    let count = pair.zoho.analytics().row_count(TABLE);
    assert!(count >= Some(ROWS + 30), "{count:?}");
    // The row at the bookmark comes again, and no others.
    assert!(count <= Some(ROWS + 31), "{count:?}");
}

#[test]
fn row_by_row_arrives_what_imports_bring() {
    let zoho = Zoho::start(60);
    let pair = Pair::over(zoho, Method::Incremental).stream_keys(&json!({"mode": "row"}));
    pair.sync_equal();
    pair.zoho
        .revise(&pair.zoho.ids()[5..15], 2, "2025-02-03 10:00:00:000");
    pair.sync_equal();
    // The table was created, and nothing was imported.
    assert_eq!(pair.zoho.requests("POST", "/bulk/workspaces"), 0);
}

#[test]
fn single_rows_are_mended_on_request() {
    let pair = Pair::new(Method::Incremental).stream_keys(&json!({"on_delete": "delete"}));
    pair.sync();
    let state = pair.state();
    let ids = pair.zoho.ids();
    // A change that left no trace, and a row that is gone.
    pair.zoho.revise(&ids[..3], 9, "2023-01-01 00:00:00:000");
    pair.zoho.delete(&ids[5..6]);
    let wanted = format!("{TABLE}/{},{},{},{}", ids[0], ids[1], ids[2], ids[5]);
    // Without the state: the run tells none, so that the target leaves the one that it stores alone.
    let single = ["--row", wanted.as_str()];
    let tap = pair.bare_tap().args(single);
    let ended = pipe::run(tap, pair.target(), Cut::Never);
    ended.expect_success();
    pair.zoho.assert_equal();
    assert_eq!(pair.state(), state, "single rows move no bookmark");
}

/// Makes a view whose column is too narrow for these rows.
fn outgrow(pair: &Pair, ids: &[i64]) {
    let design = json!({"TABLENAME": TABLE, "COLUMNS": [
        {"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER"}, {"COLUMNNAME": "Note", "DATATYPE": "PLAIN"}]});
    pair.zoho
        .analytics()
        .create_table(&design)
        .expect("a table");
    let long = |id: &i64| {
        json!({"ROWID": id.to_string(), "Note": "x".repeat(300),
            "MODIFIEDTIME": "2025-01-01 00:00:00:000"})
    };
    let rows: Vec<_> = ids.iter().map(long).collect();
    pair.zoho.put(&json!(rows));
}

/// Makes the rejects so far the input of a later run.
fn set_rejects_aside(pair: &Pair) {
    let (rejects, failed) = ("rejects.jsonl", "failed.jsonl");
    std::fs::rename(pair.folder.file(rejects), pair.folder.file(failed))
        .expect("the rejects file is there");
}

#[test]
fn rejects_are_mended_at_the_source_and_read_again() {
    let pair = Pair::new(Method::Incremental);
    let ids = pair.zoho.ids();
    outgrow(&pair, &[ids[3], ids[77]]);
    let ended = pair.run();
    ended.tap.expect_code(0);
    ended.target.expect_code(3);
    let rejects = pair.rejects();
    assert_eq!(rejects.len(), 2);
    assert!(
        !ended.target.stderr.contains("xxxx"),
        "no value of a row is logged"
    );
    assert_eq!(pair.zoho.stored().len(), ROWS - 2);
    // Mended at the source, and every failed row once more.
    pair.zoho
        .revise(&[ids[3], ids[77]], 2, "2023-01-01 00:00:00:000");
    set_rejects_aside(&pair);
    let tap = pair.bare_tap().args(["--row", "@failed.jsonl"]);
    pipe::run(tap, pair.target(), Cut::Never).expect_success();
    pair.zoho.assert_equal();
}

#[test]
fn rejects_are_sent_again_once_the_view_takes_them() {
    let pair = Pair::new(Method::Incremental);
    let id = pair.zoho.ids()[3];
    outgrow(&pair, &[id]);
    pair.run().target.expect_code(3);
    // A new view under the name, made by the tap's own SCHEMA from other rows.
    pair.zoho.analytics().drop_view(TABLE);
    let wanted = format!("{TABLE}/{}", pair.zoho.ids()[0]);
    let tap = pair.bare_tap().args(["--row", wanted.as_str()]);
    pipe::run(tap, pair.target(), Cut::Never).expect_success();
    set_rejects_aside(&pair);
    let ended = pair.target().args(["--input", "failed.jsonl"]).finish();
    ended.expect_code(0);
    let stored = pair.zoho.stored();
    let rows = pair.zoho.rows();
    assert_eq!(stored[&id]["Note"], rows[&id]["Note"]);
    assert_eq!(
        stored[&id]["Odometer"].as_str().map(str::to_owned),
        rows[&id]["Odometer"].as_i64().map(|it| it.to_string())
    );
}

#[test]
fn environments_are_other_data_and_have_states_of_their_own() {
    let pair = Pair::new(Method::Incremental);
    pair.zoho
        .revise(&pair.zoho.ids()[..10], 2, "2025-02-03 10:00:00:000");
    pair.sync_equal();
    let pair = pair.tap_keys(&json!({"environment": "Development"}));
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended
        .tap
        .expect_log("was made with the environment `Production`, and the config has `Development`");
    pair.zoho.assert_equal();
    std::fs::remove_file(pair.folder.file("state.json")).expect("there is a state");
    pair.sync();
    let stored = pair.zoho.stored();
    let rows = pair.zoho.rows_of(Environment::Development);
    assert_same(&rows, &stored);
    assert_eq!(
        pair.bookmark().expect("a bookmark")["environment"],
        "Development"
    );
}

#[test]
fn pages_that_were_read_are_not_read_again() {
    for method in METHODS {
        let pair = Pair::new(method).tap_keys(&json!({"parallel_jobs": 1}));
        // The download of the fourth page never comes.
        pair.kill_tap_at(&["slow:ms=600000,path=/download,after=3,times=1"]);
        let done = pair
            .bookmark()
            .map_or(0, |it| it["reading"]["pages"].as_u64().unwrap_or(0));
        assert!(done >= 2, "{method:?}: {done} pages were done");
        let ended = pair.sync_equal();
        assert!(
            records(&ended) <= ROWS - done as usize * PAGE_ROWS,
            "{method:?}: {} records",
            records(&ended)
        );
        ended.tap.expect_log("goes on with an interrupted read");
    }
}

#[test]
fn callbacks_take_the_place_of_questions_on_both_sides() {
    let (tap_port, target_port) = (free_port(), free_port());
    let zoho = Zoho::start_with(ROWS, |options| options.datastore.job_polls = 1_000);
    let proxy = Proxy::start(target_port);
    let pair = Pair::over(zoho, Method::Incremental)
        .tap_keys(
            &json!({"callback": {"listen": format!("127.0.0.1:{tap_port}"), "secret": "shh",
            "public_url": format!("http://127.0.0.1:{tap_port}/bulk")}}),
        )
        .target_keys(
            &json!({"callback": {"listen": format!("127.0.0.1:{target_port}"), "secret": "psst",
            "public_url": format!("http://{}/imports", proxy.address)}}),
        );
    pair.sync_equal();
    let (taken, _) = pair.zoho.datastore().callback_counts();
    assert!(taken >= 5, "{taken} callbacks were taken");
    assert!(proxy.passed() > 0);
    // A job is asked for once it has called, and hardly before.
    let pages = ROWS.div_ceil(PAGE_ROWS);
    let polls = pair.zoho.requests("GET", "/bulk/read/") - pages;
    assert!(polls <= 3 * pages, "{polls} questions for {pages} jobs");
}

#[test]
fn several_tables_go_side_by_side_and_one_that_fails_keeps_nobody_back() {
    let pair = Pair::new(Method::Incremental);
    let tap = || pair.bare_tap().args(["--select", "*"]);
    pipe::run(tap(), pair.target(), Cut::Never).expect_success();
    pair.zoho.assert_equal();
    assert_eq!(pair.zoho.analytics().row_count("Trucks"), Some(40));
    let state: Value = pair.state().expect("a state");
    assert!(state["bookmarks"]["Trucks"]["replication_key_value"].is_string());
    pair.zoho
        .analytics()
        .set_refusal("Trucks", Some(8241))
        .expect("there are trucks");
    pair.zoho
        .revise(&pair.zoho.ids()[..7], 2, "2025-02-03 10:00:00:000");
    let ended = pipe::run(tap(), pair.target(), Cut::Never);
    ended.target.expect_code(1);
    ended.target.expect_log("Trucks");
    pair.zoho.assert_equal();
}
