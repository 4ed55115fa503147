//! `tap-crm` killed at every point where it could matter, and run again from the state on disk. Every test ends
//! with one copy of each member.

use serde_json::json;
use singer_test::bin::Signal;
use singer_test::crm::PAGE_ROWS;
use singer_test::pipe::Cut;

use crate::pair::{LATEST, METHODS, Method, Pair, ROWS, WAYS, Way, place_of};

/// Where a page is asked for, and where its file is fetched.
const CREATE: &str = "method=POST,path=/bulk/v8/read";
const FILE: &str = "method=GET,path=/result";

fn pair(method: Method) -> Pair {
    Pair::new(method, Way::Upsert)
}

/// Runs with the pipe cut off, checks what lies on disk, and runs again to the end.
#[track_caller]
fn killed(pair: &Pair, cut: Cut) {
    let ended = pair.start_cut(cut).finish();
    // The target cannot tell a pipe that broke from one that is done, but for a line that is cut.
    let code = ended.target.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{cut:?}: {}",
        ended.target.stderr
    );
    pair.assert_true_state();
    pair.sync_equal();
}

#[test]
fn before_it_reads() {
    for way in WAYS {
        let pair = Pair::new(Method::Incremental, way);
        pair.kill_tap_at(&["slow:ms=600000,path=/settings/modules,times=1"]);
        assert!(pair.state().is_none() && pair.crm.copies(way.module()).is_empty());
        pair.sync_equal();
    }
}

#[test]
fn while_a_page_is_asked_for_waited_for_or_downloaded() {
    for way in WAYS {
        for fault in [
            // The job was made, and nobody has heard of it.
            format!("slow:ms=600000,{CREATE},after=1,times=1"),
            "job-hang:path=crm/read/,after=1,times=1".to_owned(),
            format!("slow:ms=600000,{FILE},after=1,times=1"),
        ] {
            // A job that hangs is given up by the next run after half of that.
            let patience = json!({"job_timeout_seconds": 4});
            let pair = Pair::new(Method::Incremental, way).tap_keys(&patience);
            pair.kill_tap_after("\"page\":2", &[&fault]);
            let bookmark = pair.bookmark().expect("a page is there");
            assert_eq!(bookmark["reading"]["page"], 2, "{fault}");
            let ended = pair.sync_equal();
            assert_eq!(ended.records(), ROWS - PAGE_ROWS, "{fault}");
        }
    }
}

#[test]
fn the_job_of_an_interrupted_wait_is_taken_up() {
    let pair = pair(Method::Incremental);
    pair.kill_tap_after(
        "\"page\":2",
        &[&format!("slow:ms=600000,{FILE},after=1,times=1")],
    );
    let before = pair.crm.requests("POST", "/bulk/v8/read");
    let ended = pair.sync_equal();
    ended.tap.expect_log("goes on with an interrupted read");
    let more = pair.crm.requests("POST", "/bulk/v8/read") - before;
    assert!(more <= 2, "{more} jobs for the two pages that were left");
}

#[test]
fn while_the_pages_of_a_version_are_read() {
    let pair = pair(Method::Full);
    pair.sync_equal();
    pair.revise(&pair.crm.ids()[..20], 2);
    pair.kill_tap_at(&[&format!("slow:ms=600000,{FILE},after=1,times=1")]);
    pair.sync_equal();
}

#[test]
fn between_two_rows_within_one_and_around_states() {
    for method in METHODS {
        let lines = pair(method).lines();
        let state = place_of(&lines, "\"STATE\"", 40);
        let before: usize = lines[..state].iter().map(|line| line.len() + 1).sum();
        let behind = before + lines[state].len() + 1;
        for cut in [
            Cut::AfterLines(30),
            Cut::AfterBytes(behind + 40),
            Cut::AfterLines(state),
            Cut::AfterLines(state + 1),
            Cut::AfterBytes(before + lines[state].len() / 2),
        ] {
            killed(&pair(method), cut);
        }
    }
}

#[test]
fn inserts_around_states_are_not_doubled() {
    let new = || Pair::new(Method::Incremental, Way::Insert);
    let lines = new().lines();
    let state = place_of(&lines, "\"STATE\"", 40);
    for cut in [state - 3, state, state + 1, state + 20] {
        killed(&new(), Cut::AfterLines(cut));
    }
}

#[test]
fn between_a_window_and_its_state() {
    for way in WAYS {
        let slices =
            json!({"start_date": "2026-01-05T00:00:00Z", "window_days": 7, "small_change_rows": 0});
        let new = || Pair::new(Method::Incremental, way).tap_keys(&slices);
        let lines = new().lines();
        let last_row = lines
            .iter()
            .rposition(|line| line.contains("\"RECORD\""))
            .expect("rows");
        let done = place_of(&lines, "\"replication_key_value\":\"2026-01-12", last_row);
        for cut in [last_row + 1, done, done + 1] {
            killed(&new(), Cut::AfterLines(cut));
        }
    }
}

#[test]
fn while_small_changes_are_queried() {
    let pair = pair(Method::Incremental);
    pair.sync_equal();
    pair.revise(&pair.crm.ids()[10..30], 2);
    pair.kill_tap_at(&["slow:ms=600000,path=/coql,times=1"]);
    pair.sync_equal();
    pair.crm.revise(&pair.crm.ids()[40..70], 3, LATEST);
    pair.look_further();
    let lines = pair.lines();
    let row = place_of(&lines, "\"RECORD\"", 0);
    killed(&pair, Cut::AfterLines(row + 10));
}

#[test]
fn around_the_activation_of_a_version() {
    let pair = pair(Method::Full);
    let activation = place_of(&pair.lines(), "\"ACTIVATE_VERSION\"", 0);
    for after in [0, 1] {
        killed(&pair, Cut::AfterLines(activation + after));
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
    for way in WAYS {
        let pair = Pair::new(Method::Incremental, way);
        let mut runs = 0;
        // Each run gets a little further than one page.
        let cut = Cut::AfterLines(PAGE_ROWS + 10);
        while runs < 10 && pair.start_cut(cut).finish().map.code() != Some(0) {
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
fn the_map_while_rows_wait_in_it() {
    for way in WAYS {
        let pair = Pair::new(Method::Incremental, way);
        pair.crm
            .set_faults(&[&format!("slow:ms=600000,{FILE},after=2,times=1")]);
        let chain = pair.start();
        pair.crm.wait_for_strikes(1);
        chain.rest.wait_for("\"page\":3");
        chain.rest.tap.signal(Signal::Kill);
        chain.tap.signal(Signal::Kill);
        let ended = chain.finish();
        assert_eq!(ended.map.signal(), Some(9), "the map was quicker");
        pair.crm.set_faults(&[]);
        pair.assert_true_state();
        pair.sync_equal();
    }
}
