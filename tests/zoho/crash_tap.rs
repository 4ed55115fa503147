//! `tap-datastore` killed at every point where it could matter, and run again from the state on disk. Every
//! test ends with the view equal to the table.

use serde_json::json;
use singer_test::bin::Signal;
use singer_test::pipe::{self, Cut};
use singer_test::poll;
use singer_test::zoho::{PAGE_ROWS, Zoho};

use crate::pair::{METHODS, Method, Pair, place_of, records};

/// Three pages, the last of them not full: few, as one comes after the other.
const ROWS: usize = 130;

/// One job after the other, so that the nth request is for the nth page.
fn pair(method: Method) -> Pair {
    Pair::over(Zoho::start(ROWS), method).tap_keys(&json!({"parallel_jobs": 1}))
}

/// The same with a look for rows that are gone.
fn diffing() -> Pair {
    pair(Method::Incremental)
        .tap_keys(&json!({"deletions": "diff"}))
        .stream_keys(&json!({"on_delete": "delete"}))
}

/// Runs with the tap cut off, checks what lies on disk, and runs again to the end.
#[track_caller]
fn killed(pair: &Pair, cut: Cut) {
    let ended = pipe::run(pair.tap(), pair.target(), cut);
    // The target cannot tell a tap that died from one that is done, but for a line that is cut.
    assert!(
        matches!(ended.target.code(), Some(0 | 1)),
        "{cut:?}: {}",
        ended.target.stderr
    );
    pair.assert_true_state();
    pair.sync_equal();
}

#[test]
fn before_it_reads() {
    let pair = pair(Method::Incremental);
    pair.kill_tap_at(&["slow:ms=600000,path=/table,times=1"]);
    assert!(pair.state().is_none() && pair.zoho.stored().is_empty());
    pair.sync_equal();
}

#[test]
fn while_a_page_is_asked_for_waited_for_or_downloaded() {
    for fault in [
        // The job was submitted, and nobody has heard of it.
        "slow:ms=600000,method=POST,path=/bulk/read,after=2,times=1",
        "job-hang:path=datastore/read,after=2,times=1",
        "slow:ms=600000,path=/download,after=2,times=1",
    ] {
        let pair = pair(Method::Incremental);
        pair.kill_tap_after("\"pages\":2", &[fault]);
        let bookmark = pair.bookmark().expect("two pages are there");
        assert_eq!(bookmark["reading"]["pages"], 2, "{fault}");
        let ended = pair.sync_equal();
        assert_eq!(records(&ended), ROWS - 2 * PAGE_ROWS, "{fault}");
    }
}

#[test]
fn while_the_pages_of_a_version_are_read() {
    let pair = pair(Method::Full).stream_keys(&json!({"on_delete": "delete"}));
    pair.sync_equal();
    pair.zoho.delete(&pair.zoho.ids()[100..120]);
    pair.kill_tap_at(&["slow:ms=600000,path=/download,after=2,times=1"]);
    // What is to go is known at the end alone.
    assert_eq!(pair.zoho.stored().len(), ROWS);
    pair.sync_equal();
}

#[test]
fn between_two_rows_and_within_one() {
    for method in METHODS {
        let pair = pair(method);
        let lines = pair.lines();
        let state = place_of(&lines, "\"STATE\"", 60);
        let whole: usize = lines[..=state].iter().map(|line| line.len() + 1).sum();
        killed(&pair, Cut::AfterBytes(whole + 40));
        pair.zoho
            .revise(&pair.zoho.ids()[..70], 2, "2025-02-03 10:00:00:000");
        killed(&pair, Cut::AfterLines(30));
    }
}

#[test]
fn around_its_states_and_within_one() {
    let lines = pair(Method::Incremental).lines();
    let state = place_of(&lines, "\"STATE\"", 60);
    let before: usize = lines[..state].iter().map(|line| line.len() + 1).sum();
    for cut in [
        Cut::AfterLines(state),
        Cut::AfterLines(state + 1),
        Cut::AfterBytes(before + lines[state].len() / 2),
    ] {
        killed(&pair(Method::Incremental), cut);
    }
}

#[test]
fn around_the_activation_of_a_version() {
    for mode in ["upsert", "replace"] {
        let pair = pair(Method::Full).stream_keys(&json!({"mode": mode, "on_delete": "delete"}));
        pair.sync_equal();
        pair.zoho.delete(&pair.zoho.ids()[100..110]);
        let activation = place_of(&pair.lines(), "\"ACTIVATE_VERSION\"", 0);
        for after in [0, 1] {
            killed(&pair, Cut::AfterLines(activation + after));
            pair.zoho.delete(&pair.zoho.ids()[..1]);
        }
    }
}

#[test]
fn while_it_looks_for_rows_that_are_gone() {
    for fault in [
        // The pages of the ids are three.
        "slow:ms=600000,method=POST,path=/bulk/read,after=1,times=1",
        "slow:ms=600000,path=/download,after=1,times=1",
    ] {
        let pair = diffing();
        pair.sync_equal();
        let ids = pair.zoho.ids();
        pair.zoho.delete(&ids[20..30]);
        // Nothing changed but that: the list of ids is all that takes jobs.
        pair.kill_tap_at(&[fault]);
        assert_eq!(pair.zoho.stored().len(), ROWS);
        pair.sync_equal();
    }
}

#[test]
fn between_the_rows_that_are_gone_and_their_state() {
    let pair = diffing();
    pair.sync_equal();
    let ids = pair.zoho.ids();
    pair.zoho.delete(&ids[20..30]);
    let lines = pair.lines();
    let gone = place_of(&lines, "_sdc_deleted_at\":\"", 0);
    // After some of them, after all of them, and after the STATE that nobody has stored.
    for lines in [gone + 4, gone + 10] {
        killed(&pair, Cut::AfterLines(lines));
        pair.zoho.delete(&pair.zoho.ids()[40..50]);
    }
}

#[test]
fn after_its_last_state() {
    for method in METHODS {
        let pair = pair(method);
        let count = pair.lines().len();
        killed(&pair, Cut::AfterLines(count));
    }
}

#[test]
fn again_and_again_until_it_is_done() {
    for method in METHODS {
        let pair = pair(method);
        let mut runs = 0;
        // Each run gets a little further than one page.
        let cut = Cut::AfterLines(PAGE_ROWS + 20);
        while runs < 10 && pipe::run(pair.tap(), pair.target(), cut).tap.code() != Some(0) {
            runs += 1;
            pair.assert_true_state();
        }
        assert!(
            (1..=3).contains(&runs),
            "{runs} runs: an interrupted read goes on, it does not start over"
        );
        pair.sync_equal();
    }
}

#[test]
fn both_at_once_at_random_moments() {
    for requests in [18, 30] {
        let pair = Pair::new(Method::Incremental)
            .tap_keys(&json!({"deletions": "diff"}))
            .stream_keys(&json!({"on_delete": "delete"}));
        for _ in 0..2 {
            both_killed(&pair, requests);
        }
        pair.sync_equal();
        let ids = pair.zoho.ids();
        pair.zoho.delete(&ids[7..12]);
        pair.zoho
            .revise(&ids[100..140], 2, "2025-02-03 10:00:00:000");
        both_killed(&pair, requests / 2);
        pair.sync_equal();
    }
}

/// Starts both, and kills both after so many requests, as a machine does that loses its power.
#[track_caller]
fn both_killed(pair: &Pair, requests: u64) {
    let seen = || pair.zoho.status().activity.requests;
    let before = seen();
    let mut pipeline = pair.start();
    poll::until("requests were made, or all is done", || {
        seen() >= before + requests || pipeline.target.has_ended()
    });
    pipeline.tap.signal(Signal::Kill);
    pipeline.target.signal(Signal::Kill);
    pipeline.finish();
    pair.assert_true_state();
}
