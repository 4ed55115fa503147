//! The target killed while rows are on their way, and run again from the state that it left.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bin::{Running, Signal};
use singer_test::bqemulator::Table;
use singer_test::poll;

use crate::case::{
    Case, assert_rows, contact, contact_properties, printed, records, schema, state, truth, version,
};

/// Streams of a run, and states: each covers one stream more.
const STREAMS: u64 = 5;
/// Rows of a stream.
const ROWS: u64 = 120;

fn stream(number: u64) -> String {
    format!("contacts_{number}")
}

fn rows(number: u64) -> impl Iterator<Item = Value> {
    (0..ROWS).map(move |id| contact(id * STREAMS + number, 1))
}

/// What is left to read after a state.
fn input_after(state_number: u64, key: &[&str]) -> String {
    (state_number + 1..=STREAMS)
        .map(|number| {
            let name = stream(number);
            schema(&name, &contact_properties(), key)
                + &records(&name, rows(number))
                + &state(number as usize)
        })
        .collect()
}

/// Kills once the server has answered so many more requests about the data set; returns the last state
/// that was printed.
#[track_caller]
fn kill_after(case: &Case, mut running: Running, more: usize, before: usize) -> u64 {
    poll::until("the moment to kill has come", || {
        assert!(!running.has_ended(), "the run ended before it was killed");
        requests(case) >= before + more
    });
    running.signal(Signal::Kill);
    let states = printed(&running.finish().stdout);
    states.last().copied().unwrap_or_default()
}

/// Requests about the tables of a data set that the server has answered.
fn requests(case: &Case) -> usize {
    let mark = format!("/datasets/{}/tables", case.dataset);
    case.server
        .log()
        .lines()
        .filter(|line| line.contains(&mark))
        .count()
}

#[track_caller]
fn assert_covered(case: &Case, state_number: u64) {
    let tables: BTreeMap<String, Table> = case.tables();
    for number in 1..=state_number {
        assert_rows(&tables[&stream(number)], &truth(rows(number)));
    }
}

#[track_caller]
fn assert_whole(case: &Case) {
    assert_covered(case, STREAMS);
}

#[test]
fn a_killed_upsert_is_made_good() {
    // Each stream takes some five requests: its table, a staging table, and its end.
    for more in [2, 10, 18] {
        let Some(case) = Case::new(&format!("killed_upsert_{more}")) else {
            return;
        };
        let run = case.target(json!({})).stdin(input_after(0, &["id"]));
        let state_number = kill_after(&case, run.start(), more, 0);
        if state_number > 0 {
            assert_covered(&case, state_number);
        }
        case.run(json!({}), &input_after(state_number, &["id"]));
        assert_whole(&case);
    }
}

#[test]
fn a_killed_append_is_not_made_twice() {
    for (method, more) in [
        ("load", 10),
        ("load", 18),
        ("storage_write", 3),
        ("storage_write", 8),
    ] {
        let Some(case) = Case::new(&format!("killed_{method}_{more}")) else {
            return;
        };
        // A batch that is half full ends at the next STATE, so that both runs cut their batches alike.
        let settings = json!({"method": method, "batch": {"max_records": ROWS + ROWS / 2}});
        // One stream is done, the others are on their way.
        let all = input_after(0, &[]);
        let rest = input_after(1, &[]);
        let first = all
            .strip_suffix(&rest)
            .expect("the first stream comes first");
        let mut run = case.target(settings.clone()).held_stdin().start();
        assert!(run.feed(first));
        run.wait_for_lines(1);
        let before = requests(&case);
        assert!(run.feed(&rest));
        let state_number = kill_after(&case, run, more, before);
        assert!(state_number >= 1);
        assert_covered(&case, state_number);
        case.run(settings, &input_after(state_number, &[]));
        assert_whole(&case);
    }
}

#[test]
fn a_killed_replacement_leaves_the_old_rows_or_the_new() {
    for more in [1, 3, 6] {
        let Some(case) = Case::new(&format!("killed_replace_{more}")) else {
            return;
        };
        let settings = json!({"mode": "replace"});
        let input = |number: u64| {
            let rows = (0..ROWS).map(|id| contact(id, number));
            schema("contacts", &contact_properties(), &["id"]) + &version("contacts", number, rows)
        };
        let all_of = |number: u64| truth((0..ROWS).map(|id| contact(id, number)));
        case.run(settings.clone(), &input(1));
        let before = requests(&case);
        let run = case.target(settings.clone()).stdin(input(2)).start();
        kill_after(&case, run, more, before);
        let table = case.tables().remove("contacts").expect("a table");
        let is_new = table.by_integer("id")[&1]["balance"] == contact(1, 2)["balance"];
        assert_rows(&table, &all_of(if is_new { 2 } else { 1 }));
        case.run(settings, &input(3));
        let table = case.tables().remove("contacts").expect("a table");
        assert_rows(&table, &all_of(3));
    }
}
