//! Inserts without `find_by` whose fate nobody told: looked for where that is possible, a clear refusal where it
//! is not, and never a copy twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::crm::LOOSE_COPIES;

use crate::crash_target::{JOB, age_the_journal, pair};
use crate::pair::{Pair, ROWS, Way, unanswered, unheard};

/// The id goes to a field that queries cannot compare: what was inserted cannot be looked for.
fn blind() -> Pair {
    let fields = json!({"*": "*", "Source_Id": "Notes", "Notes": ""});
    pair(Way::Insert).stream_keys(&json!({"fields": fields}))
}

/// How often each member was copied, where the copy's notes are its id.
fn times(pair: &Pair) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for copy in pair.crm.dump(LOOSE_COPIES) {
        let id = copy["Notes"].as_str().expect("an id").to_owned();
        *times.entry(id).or_default() += 1;
    }
    times
}

#[track_caller]
fn assert_once(pair: &Pair, members: usize) {
    let times = times(pair);
    assert_eq!(times.len(), members, "members that were copied");
    let twice = times.values().filter(|times| **times > 1).count();
    assert_eq!(twice, 0, "members that were copied twice");
}

/// Kills the target at a fault of a pair whose copies cannot be told apart by their `Source_Id`.
#[track_caller]
fn kill(pair: &Pair, faults: &[String]) {
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    pair.crm.set_faults(&faults);
    let chain = pair.start();
    pair.crm.wait_for_strikes(faults.len() as u64);
    chain.rest.target.signal(singer_test::bin::Signal::Kill);
    let ended = chain.finish();
    assert_eq!(ended.target.signal(), Some(9), "the target was quicker");
    pair.crm.set_faults(&[]);
}

#[test]
fn a_job_that_was_never_heard_of_is_asked_for_when_it_can_only_be_over() {
    let pair = pair(Way::Insert);
    let faults = unheard(JOB, 1);
    pair.kill_target_at(&[&faults[0], &faults[1]]);
    assert_eq!(pair.crm.copies(LOOSE_COPIES).len(), 50);
    let ended = pair.run();
    ended.target.expect_code(75);
    ended
        .target
        .expect_log("50 rows of `Loose_Copies` may still be on their way");
    assert_eq!(pair.crm.copies(LOOSE_COPIES).len(), 50);
    age_the_journal(&pair);
    pair.sync_equal();
}

#[test]
fn what_cannot_be_looked_for_is_refused_until_a_person_decides() {
    for (faults, there, word) in [
        (vec![unanswered(JOB, 1)], 100, "skip"),
        (unheard(JOB, 1).to_vec(), 50, "resend"),
    ] {
        let pair = blind();
        kill(&pair, &faults);
        for _ in 0..2 {
            let ended = pair.run();
            ended.target.expect_code(1);
            ended
                .target
                .expect_log("it is not known whether 50 rows were inserted into `Loose_Copies`")
                .expect_log("unresolved_inserts");
            assert_once(&pair, there);
        }
        let pair = pair.target_keys(&json!({"unresolved_inserts": word}));
        pair.sync();
        assert_once(&pair, ROWS);
        pair.sync();
        assert_once(&pair, ROWS);
    }
}

#[test]
fn a_lost_answer_is_looked_for_by_the_same_run() {
    let pair = pair(Way::Insert);
    let fault = format!("reset:when=after,{JOB},after=1,times=1");
    pair.crm.set_faults(&[&fault]);
    let ended = pair.sync_equal();
    ended
        .target
        .expect_log("rows are there that were inserted by a job whose answer never came");
    assert_eq!(pair.crm.struck(), 1);
}

#[test]
fn a_lost_answer_that_cannot_be_looked_for_ends_the_run() {
    let pair = blind();
    let fault = format!("reset:when=after,{JOB},after=1,times=1");
    pair.crm.set_faults(&[&fault]);
    let ended = pair.run();
    ended.target.expect_code(75);
    ended
        .target
        .expect_log("it is not known whether 50 rows were inserted");
    assert_once(&pair, 100);
    pair.crm.set_faults(&[]);
    pair.run().target.expect_code(1);
    assert_once(&pair, 100);
}

#[test]
fn an_answer_that_is_cut_or_empty_is_a_lost_one() {
    for fault in ["cut", "empty"] {
        let pair = pair(Way::Insert);
        let spec = format!("{fault}:{JOB},after=1,times=1");
        pair.crm.set_faults(&[&spec]);
        pair.sync_equal();
        assert_eq!(pair.crm.struck(), 1);
        // The same where nothing can be looked for.
        let pair = blind();
        pair.crm.set_faults(&[&spec]);
        pair.run().target.expect_code(75);
        assert_once(&pair, 100);
        pair.crm.set_faults(&[]);
        pair.run().target.expect_code(1);
        assert_once(&pair, 100);
    }
}

#[test]
fn an_insert_that_finds_by_a_unique_field_is_repeated_without_a_journal() {
    let settings = json!({"module": "Copies", "operation": "insert", "find_by": "Source_Id"});
    let pair = pair(Way::Upsert).stream_keys(&settings);
    pair.kill_target_at(&[&unanswered(JOB, 1)]);
    pair.sync_equal();
    assert!(!pair.folder.file("journal").exists());
}

#[test]
fn rows_that_changed_since_the_crash_are_not_inserted_twice() {
    let pair = pair(Way::Insert);
    pair.kill_target_at(&[&unanswered(JOB, 1)]);
    let ids = pair.crm.ids();
    pair.crm.revise(&ids[..80], 2, "2026-01-06T00:00:00+00:00");
    pair.sync();
    // Each is there once, whether with the values from before the crash or with those since.
    assert_eq!(pair.crm.copies(LOOSE_COPIES).len(), ROWS);
}

#[test]
fn a_damaged_journal_is_refused_and_two_runs_do_not_share_one() {
    let pair = pair(Way::Insert);
    pair.kill_target_at(&[&unanswered(JOB, 0)]);
    let whole = pair.folder.read("journal");
    pair.folder
        .write("journal", format!("{{\"intent\": 7}}\n{whole}"));
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 2)),
        "{}",
        ended.target.stderr
    );
    ended
        .target
        .expect_log("the journal `journal` is damaged at line 1");
    // A line that was cut off was never synced.
    pair.folder.write(
        "journal",
        format!("{whole}{{\"intent\": {{\"id\": 9, \"str"),
    );
    pair.crm.set_faults(&[&unanswered(JOB, 0)]);
    let chain = pair.start();
    pair.crm.wait_for_strikes(1);
    let other = pair.target().stdin(pair.lines().join("\n") + "\n").finish();
    assert!(matches!(other.code(), Some(1 | 2)), "{}", other.stderr);
    other.expect_log("another run uses the journal `journal`");
    chain.rest.target.signal(singer_test::bin::Signal::Kill);
    chain.finish();
    pair.crm.set_faults(&[]);
    pair.sync_equal();
}

#[test]
fn equal_rows_without_a_key_stay_as_many_as_they_were() {
    let pair = pair(Way::Insert).stream_keys(&json!({"chunk_records": 4}));
    let line = |value: Value| format!("{value}\n");
    let text = json!({"type": ["null", "string"]});
    let schema = line(
        json!({"type": "SCHEMA", "stream": "Members", "key_properties": [],
        "schema": {"properties": {"Last_Name": text, "Source_Id": text}}}),
    );
    let row = line(
        json!({"type": "RECORD", "stream": "Members", "record": {"Last_Name": "Ada", "Source_Id": "1"}}),
    );
    let state = |number: u32| line(json!({"type": "STATE", "value": {"n": number}}));
    let input = schema + &row.repeat(4) + &state(1) + &row.repeat(3) + &state(2);
    pair.crm
        .set_faults(&[&unanswered(crate::crash_target::RESULT, 1)]);
    let target = pair.target().stdin(input.clone()).start();
    pair.crm.wait_for_strikes(1);
    target.signal(singer_test::bin::Signal::Kill);
    target.finish();
    pair.crm.set_faults(&[]);
    assert_eq!(pair.state(), Some(json!({"n": 1})));
    // From the state on, as a tap does.
    let rest = input
        .lines()
        .filter(|line| line.contains("SCHEMA"))
        .map(|line| format!("{line}\n"));
    let rest = rest.collect::<String>() + &row.repeat(3) + &state(2);
    pair.target().stdin(rest).finish().expect_code(0);
    assert_eq!(pair.crm.dump(LOOSE_COPIES).len(), 7);
}
