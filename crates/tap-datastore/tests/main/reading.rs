//! Whole tables and changes: complete, resumed, and by whichever way the service takes.

use serde_json::json;
use singer_test::bin::Signal;

use crate::kit::{Store, distinct, ids, last_state, messages};
use sandbox::datastore::Environment;

#[test]
fn changes_since_the_bookmark_are_read_by_queries_when_they_are_few() {
    let store = Store::of(2300, 500);
    let small_pages = json!({"page_size": 500, "lookback_seconds": 60});
    let first = messages(&store.sync(small_pages.clone(), None));
    assert_eq!(distinct(&first, "Trips"), 2300);
    store
        .inside()
        .change_some(Environment::Production, "Trips", 7);
    let second = store.sync(small_pages, Some(&last_state(&first)));
    second.expect_log("read by queries");
    let changed = messages(&second);
    // The newest row of the sample is within the overlap.
    assert!(
        (7..30).contains(&distinct(&changed, "Trips")),
        "{}",
        distinct(&changed, "Trips")
    );
}

#[test]
fn many_changes_are_read_by_bulk_jobs() {
    let store = Store::of(2300, 500);
    let config = json!({"page_size": 500, "parallel_jobs": 2});
    let first = messages(&store.sync(config.clone(), None));
    store
        .inside()
        .change_some(Environment::Production, "Trips", 2300);
    let second = store.sync(json!({"page_size": 200_000}), Some(&last_state(&first)));
    second.expect_log("page stream=Trips page=5 rows=300 has_more=false");
    assert_eq!(distinct(&messages(&second), "Trips"), 2300);
}

#[test]
fn criteria_that_are_refused_are_done_without() {
    let store = Store::with(2300, 200_000, |options| {
        options.datastore.system_criteria = false;
    });
    let first = messages(&store.sync(json!({}), None));
    assert_eq!(distinct(&first, "Trips"), 2300);
    store
        .inside()
        .change_some(Environment::Production, "Trips", 1500);
    let second = store.sync(json!({"lookback_seconds": 0}), Some(&last_state(&first)));
    second.expect_log("the whole table is read and filtered here");
    let changed = distinct(&messages(&second), "Trips");
    assert!((1500..1510).contains(&changed), "{changed}");
}

#[test]
fn an_interrupted_read_goes_on_with_its_jobs_and_loses_nothing() {
    let store = Store::with(2300, 500, |options| options.datastore.job_ms = 600);
    let config = json!({"page_size": 500, "parallel_jobs": 2});
    let run = store
        .run(config.clone())
        .args(["--select", "Trips"])
        .start();
    run.wait_for_log("page=2");
    run.signal(Signal::Terminate);
    let first = run.finish();
    first.expect_code(143);
    let before = messages(&first);
    let jobs = store.inside().jobs_view().len();
    let second = store.sync(config, Some(&last_state(&before)));
    second.expect_log("goes on with an interrupted read");
    let after = messages(&second);
    let mut all = ids(&before, "Trips");
    all.extend(ids(&after, "Trips"));
    assert_eq!(all.len(), 2300, "no page is read twice");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2300);
    // Five pages, and at least one of them was taken from a job of the first run.
    assert!(store.inside().jobs_view().len() <= 5.max(jobs + 2));
}

#[test]
fn pages_of_other_rows_are_not_gone_on_with() {
    let store = Store::with(2300, 500, |options| options.datastore.job_ms = 600);
    // Nobody can count, and see by that that pages do not fit together.
    let scopes = [
        "ZohoCatalyst.tables.READ",
        "ZohoCatalyst.tables.columns.READ",
        "ZohoCatalyst.tables.bulk.READ",
    ];
    store.sandbox().zoho().allow("sandbox-refresh", &scopes);
    let config = |start: &str| json!({"page_size": 500, "parallel_jobs": 1, "start_date": start});
    let early = config("2000-01-01T00:00:00Z");
    let run = store.run(early).args(["--select", "Trips"]).start();
    run.wait_for_log("page=2");
    run.signal(Signal::Terminate);
    let state = last_state(&messages(&run.finish()));
    let second = store.sync(config("2001-01-01T00:00:00Z"), Some(&state));
    second.expect_log("begins with the first page");
    assert_eq!(distinct(&messages(&second), "Trips"), 2300);
}

#[test]
fn a_bookmark_of_another_environment_is_refused() {
    let store = Store::of(10, 500);
    let first = messages(&store.sync(json!({}), None));
    let state = store.folder.write_json("state.json", &last_state(&first));
    let run = store.run(json!({"environment": "Development"}));
    let second = run
        .args(["--select", "Trips", "--state"])
        .arg(state)
        .finish();
    assert_ne!(second.code(), Some(0));
    second.expect_log("the bookmark of `Trips` was made with the environment `Production`");
}

#[test]
fn a_scope_that_is_missing_is_named() {
    let store = Store::of(10, 500);
    let scopes = ["ZohoCatalyst.tables.READ"];
    store.sandbox().zoho().allow("sandbox-refresh", &scopes);
    let checked = store.run(json!({})).arg("--check").finish();
    checked.expect_code(1);
    checked.expect_log("ZohoCatalyst.tables.columns.READ");
}

#[test]
fn single_rows_are_read_by_their_ids() {
    let store = Store::of(10, 500);
    let all = ids(&messages(&store.sync(json!({}), None)), "Trips");
    store.delete(&all[1..2]);
    let list = store
        .folder
        .write("rows.txt", format!("Trips/{},{}\n", all[0], all[1]));
    let run = store
        .run(json!({}))
        .arg("--row")
        .arg(format!("@{}", list.display()));
    let finished = run.finish();
    finished.expect_code(0);
    let messages = messages(&finished);
    let records = messages.records("Trips");
    assert_eq!(ids(&messages, "Trips"), all[..2]);
    assert!(records[0]["_sdc_deleted_at"].is_null() && records[1]["_sdc_deleted_at"].is_string());
    assert!(messages.activated("Trips").is_empty());
}
