//! `target-bigquery` killed without a word (kill -9) at every point where it could matter, and run again
//! from the last state. The table of these points is in `README.md` beside this file; each row of it
//! names a test of this file. Every test ends with the table equal to what the tap had said.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::{Run, Running};
use singer_test::folder::Folder;
use singer_test::poll;

/// Where statements and copies are submitted, and not uploads.
const JOBS: &str = "path=/bigquery/bigquery/v2/projects/sandbox-project/jobs,method=POST";

/// The input comes in parts, each with a STATE behind it.
const PARTS: u64 = 6;
const ROWS: u64 = 10;

/// A destination, and a folder with the config, the journal and the state.
struct Pair {
    bigquery: BigQuery,
    folder: Folder,
    extra: Value,
    keyed: bool,
}

impl Pair {
    fn new(keyed: bool, extra: Value) -> Pair {
        Pair {
            bigquery: BigQuery::start(),
            folder: Folder::new(),
            extra,
            keyed,
        }
    }

    fn target(&self) -> Run {
        let mut config = self.bigquery.target_config();
        for (key, value) in self.extra.as_object().expect("keys of a config") {
            config[key] = value.clone();
        }
        let config = self.folder.write_json("config.json", &config);
        Run::of("target-bigquery")
            .folder(self.folder.path())
            .arg("-c")
            .arg(config)
            .args(["--state-file", "state.json"])
    }

    /// The number of the last part that the state on disk promises.
    fn state(&self) -> Option<u64> {
        let text = self.folder.read("state.json");
        let value: Value = serde_json::from_str(text.trim_end()).ok()?;
        value["n"].as_u64()
    }

    fn schema(&self) -> String {
        let key: &[&str] = if self.keyed { &["id"] } else { &[] };
        line(
            &json!({"type": "SCHEMA", "stream": "orders", "key_properties": key, "schema": {
            "properties": {"id": {"type": "integer"}, "name": {"type": ["null", "string"]}}}}),
        )
    }

    /// What a tap says that goes on from the state on disk.
    fn input(&self) -> String {
        let first = self.state().map_or(0, |part| part + 1);
        let parts: String = (first..PARTS).map(part).collect();
        self.schema() + &parts
    }

    /// Starts the target with everything that is left to say, and kills it once a fault has struck.
    fn kill_at(&self, faults: &[&str]) {
        self.kill_when(faults, || self.bigquery.struck() >= faults.len() as u64);
    }

    fn kill_when(&self, faults: &[&str], condition: impl FnMut() -> bool) {
        self.bigquery.set_faults(faults);
        let running = self.start();
        poll::until("the target is at the point", condition);
        assert!(running.kill().code().is_none(), "it was quicker");
        self.bigquery.set_faults(&[]);
        self.assert_true_state();
    }

    fn start(&self) -> Running {
        let mut running = self.target().held_stdin().start();
        running.feed(self.input());
        running
    }

    /// What the state says is at the destination, is there.
    #[track_caller]
    fn assert_true_state(&self) {
        let Some(part) = self.state() else { return };
        let stored = self.stored();
        for id in 0..(part + 1) * ROWS {
            assert!(stored.contains_key(&id), "the state promises row {id}");
        }
    }

    /// How often each row is stored.
    fn stored(&self) -> BTreeMap<u64, usize> {
        let mut stored = BTreeMap::new();
        for row in self.bigquery.rows("orders") {
            let id = row["id"].as_u64().expect("an id");
            assert_eq!(row["name"], format!("order {id}"));
            *stored.entry(id).or_default() += 1;
        }
        stored
    }

    /// Another run from the state on disk, to its end: each row is there, and once.
    #[track_caller]
    fn recovers(&self) {
        self.runs_to_the_end();
        let stored = self.stored();
        assert_eq!(stored.len() as u64, PARTS * ROWS, "rows that never arrived");
        let doubled: Vec<&u64> = stored
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|(id, _)| id)
            .collect();
        assert!(doubled.is_empty(), "stored twice: {doubled:?}");
    }

    #[track_caller]
    fn runs_to_the_end(&self) {
        let ended = self.target().stdin(self.input()).finish();
        ended.expect_code(0);
        assert_eq!(self.state(), Some(PARTS - 1));
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"n": number}}))
}

fn record(id: u64) -> Value {
    json!({"type": "RECORD", "stream": "orders", "record": {"id": id, "name": format!("order {id}")}})
}

fn part(number: u64) -> String {
    let rows: String = (number * ROWS..(number + 1) * ROWS)
        .map(|id| line(&record(id)))
        .collect();
    rows + &state(number)
}

/// Small batches that do not wait: each part is one.
fn load() -> Value {
    json!({"batch": {"max_records": ROWS, "max_age_seconds": 3600}})
}

fn by(method: &str) -> Value {
    let mut extra = load();
    extra["method"] = json!(method);
    extra
}

/// The same faults a little later as well, with some parts done and others under way.
fn later(fault: &str) -> [String; 2] {
    [
        format!("{fault},times=1"),
        format!("{fault},after=2,times=1"),
    ]
}

/// Killed at a point of load jobs, with rows that have a key (MERGE) and that have none (INSERT).
fn killed_load(fault: &str) {
    for keyed in [true, false] {
        for fault in later(fault) {
            let pair = Pair::new(keyed, load());
            pair.kill_at(&[&fault]);
            pair.recovers();
        }
    }
}

#[test]
fn load_before_the_file_is_there() {
    for keyed in [true, false] {
        let pair = Pair::new(keyed, load());
        pair.kill_at(&["reset:method=PUT,times=1", "slow:ms=600000,method=PUT"]);
        assert!(pair.state().is_none() && pair.stored().is_empty());
        pair.recovers();
    }
}

#[test]
fn load_between_the_load_job_and_the_statement() {
    killed_load("slow:ms=600000,method=PUT");
}

#[test]
fn load_before_the_statement_is_asked_for() {
    // The journal names a job that BigQuery never heard of.
    for keyed in [true, false] {
        let pair = Pair::new(keyed, load());
        let reset = format!("reset:{JOBS},times=1");
        let slow = format!("slow:ms=600000,{JOBS},times=1");
        pair.kill_at(&[&reset, &slow]);
        pair.recovers();
    }
}

#[test]
fn load_while_the_statement_runs() {
    killed_load("job-hang:path=/query/,polls=3");
}

#[test]
fn load_between_the_statement_and_its_answer() {
    killed_load(&format!("slow:ms=600000,{JOBS}"));
}

#[test]
fn load_between_the_statement_and_its_state() {
    killed_load("slow:ms=600000,method=DELETE");
}

#[test]
fn pending_stream_before_it_is_finalized() {
    for fault in later("slow:ms=600000,path=CreateWriteStream") {
        let pair = Pair::new(false, by("storage_write"));
        pair.kill_at(&[&fault]);
        pair.recovers();
    }
}

#[test]
fn pending_stream_between_finalize_and_commit() {
    for fault in later("slow:ms=600000,path=FinalizeWriteStream") {
        let pair = Pair::new(false, by("storage_write"));
        pair.kill_at(&[&fault]);
        pair.recovers();
    }
    // The commit is on its way and never arrives: the journal names the stream.
    let pair = Pair::new(false, by("storage_write"));
    pair.kill_at(&[
        "reset:path=BatchCommit,times=1",
        "slow:ms=600000,path=BatchCommit,times=1",
    ]);
    pair.recovers();
}

#[test]
fn pending_stream_between_commit_and_state() {
    for fault in later("slow:ms=600000,path=BatchCommit") {
        let pair = Pair::new(false, by("storage_write"));
        pair.kill_at(&[&fault]);
        pair.recovers();
    }
}

#[test]
fn changes_on_their_way() {
    for rows in [1, 25] {
        let pair = Pair::new(true, by("storage_write"));
        pair.kill_when(&["slow:ms=5"], || {
            pair.bigquery.count("orders").unwrap_or_default() >= rows
        });
        pair.recovers();
    }
}

#[test]
fn insert_all_between_rows_and_their_answer_may_double_rows_and_loses_none() {
    let pair = Pair::new(true, by("streaming"));
    pair.kill_at(&["slow:ms=600000,path=/insertAll,after=2,times=1"]);
    pair.runs_to_the_end();
    let stored = pair.stored();
    assert_eq!(stored.len() as u64, PARTS * ROWS);
    assert!(stored.values().all(|count| *count <= 2));
}

/// A table that is replaced: what a tap says that goes on with the version of its state, or begins another.
struct Replaced {
    pair: Pair,
}

impl Replaced {
    fn new(keyed: bool) -> Replaced {
        let mut extra = by("storage_write");
        extra["mode"] = json!("replace");
        let pair = Pair::new(keyed, extra);
        // The table as it was: other ids.
        let old: String = (0..5).map(|id| versioned(1_000 + id, 1)).collect();
        let input = pair.schema() + &old + &activate(1);
        pair.target().stdin(input).finish().expect_code(0);
        assert_eq!(pair.bigquery.count("orders"), Some(5));
        Replaced { pair }
    }

    fn input(&self) -> String {
        let (first, version) = match self.pair.state() {
            Some(part) => (part + 1, 2),
            // Nothing is remembered of the version that was begun.
            None => (
                0,
                if self.pair.folder.file("killed").exists() {
                    3
                } else {
                    2
                },
            ),
        };
        let mut input = self.pair.schema();
        for number in first..PARTS {
            input.extend((number * ROWS..(number + 1) * ROWS).map(|id| versioned(id, version)));
            if number + 1 == PARTS {
                input += &activate(version);
            }
            input += &state(number);
        }
        if first == PARTS {
            input += &(activate(2) + &state(PARTS - 1));
        }
        input
    }

    fn kill_at(&self, faults: &[&str]) {
        self.pair.bigquery.set_faults(faults);
        let mut running = self.pair.target().held_stdin().start();
        running.feed(self.input());
        self.pair.bigquery.wait_for_strikes(faults.len() as u64);
        assert!(running.kill().code().is_none(), "it was quicker");
        self.pair.folder.write("killed", "");
        self.pair.bigquery.set_faults(&[]);
        // Readers see the old table or the new one, and nothing between.
        let stored = self.pair.stored_ids();
        let old = (1_000..1_005).collect::<Vec<_>>();
        assert!(
            stored == old || stored.len() as u64 == PARTS * ROWS,
            "{stored:?}"
        );
    }

    #[track_caller]
    fn recovers(&self) {
        let ended = self.pair.target().stdin(self.input()).finish();
        ended.expect_code(0);
        assert_eq!(self.pair.state(), Some(PARTS - 1));
        let all: Vec<u64> = (0..PARTS * ROWS).collect();
        assert_eq!(self.pair.stored_ids(), all);
        // What the dead run has left goes by itself.
        let left = self.pair.bigquery.tables("raw");
        assert!(
            left.iter()
                .all(|table| table == "orders" || table.starts_with("orders__new_2")),
            "{left:?}"
        );
    }
}

impl Pair {
    fn stored_ids(&self) -> Vec<u64> {
        let rows = self.bigquery.rows("orders");
        let mut ids: Vec<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
        ids.sort_unstable();
        ids
    }
}

fn versioned(id: u64, version: u64) -> String {
    let mut record = record(id);
    record["version"] = json!(version);
    line(&record)
}

fn activate(version: u64) -> String {
    line(&json!({"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}))
}

#[test]
fn replace_while_the_new_table_is_filled() {
    for keyed in [true, false] {
        let replaced = Replaced::new(keyed);
        let path = if keyed {
            "method=PUT"
        } else {
            "path=BatchCommit"
        };
        replaced.kill_at(&[&format!("slow:ms=600000,{path},after=3,times=1")]);
        replaced.recovers();
    }
}

#[test]
fn replace_while_the_copy_runs() {
    let replaced = Replaced::new(false);
    replaced.kill_at(&["job-hang:path=/copy/,polls=3,times=1"]);
    replaced.recovers();
}

#[test]
fn replace_before_the_copy() {
    let replaced = Replaced::new(false);
    let (reset, slow) = (
        format!("reset:{JOBS},times=1"),
        format!("slow:ms=600000,{JOBS},times=1"),
    );
    replaced.kill_at(&[&reset, &slow]);
    replaced.recovers();
}

#[test]
fn replace_between_the_copy_and_its_state() {
    // The copy is made, and nobody hears of it.
    let replaced = Replaced::new(false);
    replaced.kill_at(&[&format!("slow:ms=600000,{JOBS},times=1")]);
    replaced.recovers();
}

#[test]
fn dedupe_between_the_statement_and_its_label() {
    for faults in [
        // The label never arrives, or nobody hears that it did.
        &[
            "reset:method=PATCH,times=1",
            "slow:ms=600000,method=PATCH,times=1",
        ][..],
        &["slow:ms=600000,method=PATCH,times=1"],
    ] {
        let mut extra = by("storage_write");
        extra["mode"] = json!("append_dedupe");
        extra["dedupe"] = json!({"every_seconds": 86_400});
        let pair = Pair::new(true, extra);
        // Every row twice.
        let all: String = (0..PARTS).map(part).collect();
        pair.bigquery.set_faults(faults);
        let mut running = pair.target().held_stdin().start();
        running.feed(pair.schema() + &all + &all);
        running.close_stdin();
        pair.bigquery.wait_for_strikes(faults.len() as u64);
        running.kill();
        pair.bigquery.set_faults(&[]);
        assert_eq!(pair.state(), Some(PARTS - 1));
        pair.recovers();
        assert_eq!(
            pair.bigquery.jobs("DELETE").len(),
            1,
            "the statement ran once"
        );
    }
}

#[test]
fn target_at_random_moments() {
    for (method, keyed) in [
        ("load", true),
        ("load", false),
        ("storage_write", true),
        ("storage_write", false),
    ] {
        for seed in 0..3_u64 {
            let pair = Pair::new(keyed, by(method));
            let requests = 6 + seed * 9;
            let mut kills = 0;
            // Again and again, until nothing is left to be said.
            while pair.state() != Some(PARTS - 1) && kills < 3 {
                let before = pair.bigquery.status().activity.requests;
                let mut running = pair.target().held_stdin().start();
                running.feed(pair.input());
                poll::until("requests were made, or all is done", || {
                    pair.bigquery.status().activity.requests >= before + requests
                        || pair.state() == Some(PARTS - 1)
                });
                running.kill();
                pair.assert_true_state();
                kills += 1;
            }
            pair.recovers();
        }
    }
}
