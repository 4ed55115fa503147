//! Rows that are gone, found by comparing ids.

use sandbox::datastore::Environment;
use serde_json::{Value, json};
use singer_test::stream::{Cut, Messages};

use crate::kit::{Store, ids, last_state, messages};

#[test]
fn rows_that_are_gone_become_records_once() {
    let store = Store::of(1200, 500);
    let config = json!({"deletions": "diff", "page_size": 500});
    let first = messages(&store.sync(config.clone(), None));
    let all = ids(&first, "Trips");
    let gone = [all[3], all[700]];
    store.delete(&gone);
    let state = last_state(&first);
    let (found, newer) = deleted(&store, &config, &state);
    assert_eq!(found, gone);
    // The state was lost before it was stored: the generation before is still there.
    let (again, _) = deleted(&store, &config, &state);
    assert_eq!(again, gone);
    let (found, _) = deleted(&store, &config, &newer);
    assert_eq!(found, [0_i64; 0]);
}

/// The ids of records with a time of deletion, and the last state.
fn deleted(store: &Store, config: &Value, state: &Value) -> (Vec<i64>, Value) {
    let messages = messages(&store.sync(config.clone(), Some(state)));
    let records = messages.records("Trips").into_iter();
    let ids = records
        .filter(|record| record["_sdc_deleted_at"].is_string())
        .map(|record| record["ROWID"].as_i64().expect("an id"));
    (ids.collect(), last_state(&messages))
}

#[test]
fn a_row_that_came_and_went_between_two_looks_is_found() {
    let store = Store::of(50, 500);
    let looking = json!({"deletions": "diff", "lookback_seconds": 0});
    let state = last_state(&messages(&store.sync(looking.clone(), None)));
    let trip = json!([{"Driver": "Rui"}]);
    let inside = store.inside();
    let came = inside.put(Environment::Production, "Trips", &trip);
    let came = came.expect("a row can be put");
    let other = inside.put(Environment::Production, "Trips", &trip);
    other.expect("a row can be put");
    let (none, state) = deleted(&store, &json!({"lookback_seconds": 0}), &state);
    assert_eq!(none, [0_i64; 0]);
    store.delete(&came);
    // Later rows move the bookmark beyond it.
    let (none, state) = deleted(&store, &json!({"lookback_seconds": 0}), &state);
    assert_eq!(none, [0_i64; 0]);
    let (found, _) = deleted(&store, &looking, &state);
    assert_eq!(found, came);
}

#[test]
fn a_run_without_a_state_leaves_the_ids_that_another_state_names() {
    let store = Store::of(50, 500);
    let config = json!({"deletions": "diff"});
    let first = messages(&store.sync(config.clone(), None));
    let (state, gone) = (last_state(&first), ids(&first, "Trips")[7]);
    store.delete(&[gone]);
    let newest = last_state(&messages(&store.sync(config.clone(), None)));
    assert_eq!(deleted(&store, &config, &state).0, [gone]);
    assert_ne!(newest["bookmarks"]["Trips"], state["bookmarks"]["Trips"]);
}

#[test]
fn a_row_that_goes_after_a_run_died_and_before_the_next_one_is_found() {
    let store = Store::with(1200, 500, |options| options.datastore.job_ms = 300);
    let config = json!({"deletions": "diff", "page_size": 500, "parallel_jobs": 1});
    let run = store
        .run(config.clone())
        .args(["--select", "Trips"])
        .start();
    run.wait_for_log("page=1");
    let died = Messages::parse(&run.kill().stdout, Cut::Allowed);
    let passed_on = ids(&died, "Trips");
    let gone = passed_on[passed_on.len() / 2];
    store.delete(&[gone]);
    let state = died.last_state().cloned().unwrap_or(json!({}));
    let (found, state) = deleted(&store, &config, &state);
    assert_eq!(found, [gone]);
    let (found, _) = deleted(&store, &config, &state);
    assert_eq!(found, [0_i64; 0]);
}
