//! The target killed while rows are on their way, and run again from the state that it left.

use std::collections::BTreeMap;
use std::fs;

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

/// Feeds input without its end, so that the run cannot end by itself, and kills once the server has
/// answered so many more requests about the data set; returns the last state that was printed.
#[track_caller]
fn kill_within(case: &Case, mut running: Running, input: &str, more: usize) -> u64 {
    let before = requests(case);
    assert!(running.feed(input));
    poll::until("the moment to kill has come", || {
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

#[test]
fn a_killed_upsert_is_made_good() {
    // Each stream takes six requests: two for its table, and two for the staging table of each batch.
    for more in [2, 12, 24] {
        let Some(case) = Case::new(&format!("killed_upsert_{more}")) else {
            return;
        };
        let settings = json!({"batch": {"max_records": ROWS / 2}});
        let run = case.target(settings.clone()).held_stdin().start();
        let state_number = kill_within(&case, run, &input_after(0, &["id"]), more);
        if state_number > 0 {
            assert_covered(&case, state_number);
        }
        case.run(settings, &input_after(state_number, &["id"]));
        assert_covered(&case, STREAMS);
    }
}

#[test]
fn a_killed_append_is_not_made_twice() {
    for (method, more) in [
        ("load", 6),
        ("load", 14),
        ("storage_write", 3),
        ("storage_write", 8),
    ] {
        let Some(case) = Case::new(&format!("killed_{method}_{more}")) else {
            return;
        };
        // A batch that is half full ends at the next STATE, so that both runs cut their batches alike.
        let settings = json!({"method": method, "batch": {"max_records": ROWS + ROWS / 2}});
        let all = input_after(0, &[]);
        let rest = input_after(1, &[]);
        let first = all
            .strip_suffix(&rest)
            .expect("the first stream comes first");
        let mut run = case.target(settings.clone()).held_stdin().start();
        assert!(run.feed(first));
        run.wait_for_lines(1);
        // One stream is done, the others are on their way.
        let state_number = kill_within(&case, run, &rest, more);
        assert!(state_number >= 1);
        assert_covered(&case, state_number);
        let at_the_window: Vec<u64> = (state_number + 1..=STREAMS)
            .filter(|number| is_written_and_unproven(&case, method, *number))
            .collect();
        case.run(settings, &input_after(state_number, &[]));
        let tables = case.tables();
        for number in 1..=STREAMS {
            let mut table = tables[&stream(number)].clone();
            if at_the_window.contains(&number) {
                let twice = table.rows.len();
                table.rows.sort_by_key(|row| row["id"].as_u64());
                table.rows.dedup();
                assert_eq!(twice, 2 * table.rows.len());
            }
            assert_rows(&table, &truth(rows(number)));
        }
    }
}

/// Whether the run died where rows come to stand twice: they are written, the STATE after them was not
/// printed yet, and the journal has let go of them; or it names a write stream, of which bqemulator does
/// not say that it is committed already, as the service does.
fn is_written_and_unproven(case: &Case, method: &str, number: u64) -> bool {
    let name = format!("{}-", stream(number));
    let journal = fs::read_dir(case.folder.file("target-bigquery.journal")).expect("a journal");
    let is_entered = journal
        .map(|file| file.expect("a file").path())
        .any(|path| {
            let file = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let length = fs::metadata(&path).expect("the file is there").len();
            file.starts_with(&name) && length > 0
        });
    let tables = case.tables();
    let table = tables.get(&stream(number));
    (!is_entered || method == "storage_write") && table.is_some_and(|table| !table.rows.is_empty())
}

#[test]
fn a_killed_replacement_leaves_the_old_rows_or_the_new() {
    for more in [1, 4, 7] {
        let Some(case) = Case::new(&format!("killed_replace_{more}")) else {
            return;
        };
        let settings = json!({"mode": "replace"});
        let all_of = |number: u64| truth((0..ROWS).map(|id| contact(id, number)));
        let input = |number: u64| {
            let rows = all_of(number).into_values();
            schema("contacts", &contact_properties(), &["id"]) + &version("contacts", number, rows)
        };
        case.run(settings.clone(), &input(1));
        let run = case.target(settings.clone()).held_stdin().start();
        kill_within(&case, run, &input(2), more);
        let table = case.tables().remove("contacts").expect("a table");
        let is_new = table.by_integer("id")[&1]["balance"] == contact(1, 2)["balance"];
        assert_rows(&table, &all_of(if is_new { 2 } else { 1 }));
        case.run(settings, &input(3));
        let table = case.tables().remove("contacts").expect("a table");
        assert_rows(&table, &all_of(3));
    }
}
