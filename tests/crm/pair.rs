//! The service, a folder with configs, catalog and state, and the three programs on one pipe.

use std::cell::Cell;
use std::fs::File;
use std::io::pipe;
use std::os::fd::OwnedFd;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run, Running, Signal};
use singer_test::crm::{
    COPIES, Crm, LOOSE_COPIES, MODULE, SOURCE_ID, assert_same, extend, seconds_since,
};
use singer_test::folder::Folder;
use singer_test::pipe::{self, Cut, Pipeline};
use singer_test::poll;
use singer_test::stream::{Cut as CutLine, Messages};

/// Three pages, the last of them not full.
pub(crate) const ROWS: usize = 130;

/// When the first read ends: all members were changed before.
const FIRST_END: &str = "2026-02-01T00:00:00Z";

/// When members are changed after the first read.
pub(crate) const LATER: &str = "2026-02-10T09:00:00+00:00";

/// When members are changed after the second read.
pub(crate) const LATEST: &str = "2026-03-10T09:00:00+00:00";

/// When the second and the third read end.
const SECOND_END: &str = "2026-03-01T00:00:00Z";
const THIRD_END: &str = "2026-04-01T00:00:00Z";

/// The end of a read of all that there is.
const NOW: &str = "now";

/// How the module is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// As a whole.
    Full,
    /// By `Modified_Time`, which is what the tap chooses if nobody does.
    Incremental,
}

pub(crate) const METHODS: [Method; 2] = [Method::Full, Method::Incremental];

/// How copies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By `upsert`, where the id of the member is unique.
    Upsert,
    /// By `insert` without `find_by`, where nothing is unique.
    Insert,
}

pub(crate) const WAYS: [Way; 2] = [Way::Upsert, Way::Insert];

impl Way {
    /// The module that copies go to.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Way::Upsert => COPIES,
            Way::Insert => LOOSE_COPIES,
        }
    }

    fn settings(self) -> Value {
        match self {
            Way::Upsert => json!({"module": COPIES, "find_by": SOURCE_ID, "ignore_empty": false}),
            Way::Insert => json!({"module": LOOSE_COPIES, "operation": "insert"}),
        }
    }
}

/// A pipeline with its two ends.
pub(crate) struct Pair {
    pub(crate) crm: Crm,
    pub(crate) folder: Folder,
    method: Method,
    way: Way,
    /// When the next read ends.
    until: Cell<&'static str>,
    tap: Value,
    map: Value,
    map_seconds: Option<f64>,
    target: Value,
    stream: Value,
}

/// The three programs, running.
pub(crate) struct Chain {
    pub(crate) tap: Running,
    /// The map as its first half, and the target.
    pub(crate) rest: Pipeline,
}

/// The three programs, ended.
pub(crate) struct Ended {
    pub(crate) tap: Finished,
    /// Its stdout is what went through the pipe to the target.
    pub(crate) map: Finished,
    pub(crate) target: Finished,
}

impl Pair {
    /// Members in some pages, and no copy.
    pub(crate) fn new(method: Method, way: Way) -> Pair {
        Pair::over(Crm::start(ROWS), method, way)
    }

    /// The same over a stand-in of the test's own.
    pub(crate) fn over(crm: Crm, method: Method, way: Way) -> Pair {
        let pair = Pair {
            crm,
            folder: Folder::new(),
            method,
            way,
            until: Cell::new(FIRST_END),
            tap: json!({"parallel_jobs": 1}),
            map: json!({"rename": {"id": SOURCE_ID}}),
            map_seconds: None,
            target: json!({"parallel": 1}),
            stream: way.settings(),
        };
        pair.write_catalog();
        pair
    }

    /// The same with further keys in the tap's config.
    pub(crate) fn tap_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.tap, keys);
        self.write_catalog();
        self
    }

    /// The same with another rule of the stream in the map's config, beside the name of the id.
    pub(crate) fn map_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.map, keys);
        self
    }

    /// The same with a limit on the time that the map's filter takes for a record.
    pub(crate) fn map_limit(mut self, seconds: f64) -> Pair {
        self.map_seconds = Some(seconds);
        self
    }

    /// The same with further keys in the target's config.
    pub(crate) fn target_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.target, keys);
        self
    }

    /// The same with settings of the stream in the target's config.
    pub(crate) fn stream_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.stream, keys);
        self
    }

    /// The module that copies go to.
    pub(crate) fn module(&self) -> &'static str {
        self.way.module()
    }

    /// The tap with its config alone.
    pub(crate) fn bare_tap(&self) -> Run {
        let mut config = self.crm.tap_config();
        extend(&mut config, &self.tap);
        config["window_lag_seconds"] = match self.until.get() {
            NOW => 0.into(),
            until => seconds_since(until).into(),
        };
        self.folder.write_json("tap.json", &config);
        Run::of("tap-crm")
            .folder(self.folder.path())
            .args(["-c", "tap.json"])
    }

    /// The tap for the members, from the state file if there is one.
    pub(crate) fn tap(&self) -> Run {
        let run = match self.method {
            Method::Full => self.bare_tap().args(["--catalog", "catalog.json"]),
            Method::Incremental => self.bare_tap().args(["--select", MODULE]),
        };
        if self.folder.file("state.json").exists() {
            run.args(["--state", "state.json"])
        } else {
            run
        }
    }

    /// The map.
    pub(crate) fn map(&self) -> Run {
        let mut config =
            json!({"streams": {MODULE: self.map}, "rejects_path": "map-rejects.jsonl"});
        if let Some(seconds) = self.map_seconds {
            config["record_timeout_seconds"] = seconds.into();
        }
        self.folder.write_json("map.json", &config);
        Run::of("map-records")
            .folder(self.folder.path())
            .args(["-c", "map.json"])
    }

    /// The target with the state file.
    pub(crate) fn target(&self) -> Run {
        self.target_with(&json!({}))
    }

    /// The same with further keys for this run alone.
    pub(crate) fn target_with(&self, keys: &Value) -> Run {
        let mut config = self.crm.target_config();
        extend(&mut config, &self.target);
        config["streams"] = json!({MODULE: self.stream});
        extend(&mut config, keys);
        self.folder.write_json("target.json", &config);
        Run::of("target-crm-bulkwrite")
            .folder(self.folder.path())
            .args(["-c", "target.json", "--state-file", "state.json"])
    }

    pub(crate) fn start(&self) -> Chain {
        self.start_cut(Cut::Never)
    }

    /// All three; the map is killed at the cut of what it writes.
    pub(crate) fn start_cut(&self, cut: Cut) -> Chain {
        self.start_into(self.target(), cut)
    }

    /// The same into another target.
    pub(crate) fn start_into(&self, target: Run, cut: Cut) -> Chain {
        let (from_tap, to_map) = pipe().expect("a pipe can be made");
        let tap = self.tap().stdout(File::from(OwnedFd::from(to_map))).start();
        let map = self.map().stdin_from(File::from(OwnedFd::from(from_tap)));
        Chain {
            tap,
            rest: pipe::start(map, target, cut),
        }
    }

    pub(crate) fn run(&self) -> Ended {
        self.start().finish()
    }

    /// All three to their ends, which must be good.
    #[track_caller]
    pub(crate) fn sync(&self) -> Ended {
        let ended = self.run();
        ended.expect_success();
        ended
    }

    /// The same, and each member has one copy.
    #[track_caller]
    pub(crate) fn sync_equal(&self) -> Ended {
        let ended = self.sync();
        self.assert_equal();
        ended
    }

    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        self.crm.assert_equal(self.module());
    }

    /// Changes some members after the first read, and lets the next one see it.
    pub(crate) fn revise(&self, ids: &[i64], revision: u64) {
        self.crm.revise(ids, revision, LATER);
        self.look_further();
    }

    /// Lets the next read end later, after [`LATER`] and then after [`LATEST`].
    pub(crate) fn look_further(&self) {
        let next = match self.until.get() {
            FIRST_END => SECOND_END,
            _ => THIRD_END,
        };
        self.until.set(next);
    }

    /// Lets the next read end now, and so behind what happened before: a read leaves out the second that is not over.
    pub(crate) fn look_until_now(&self) {
        let time = || seconds_since(FIRST_END);
        let before = time();
        poll::until("the second is over", || time() > before + 1);
        self.until.set(NOW);
    }

    /// The lines that a whole run of the first two hands to the target.
    pub(crate) fn lines(&self) -> Vec<String> {
        let tap = self.tap().finish();
        tap.expect_code(0);
        let map = self.map().stdin(tap.stdout).finish();
        map.expect_code(0);
        map.text().lines().map(str::to_owned).collect()
    }

    /// Starts all, and kills the tap once each fault has struck; then no fault is left.
    #[track_caller]
    pub(crate) fn kill_tap_at(&self, faults: &[&str]) {
        self.kill_tap_after("", faults);
    }

    /// The same, once a text has gone through the pipe as well.
    #[track_caller]
    pub(crate) fn kill_tap_after(&self, text: &str, faults: &[&str]) {
        self.crm.set_faults(faults);
        let chain = self.start();
        self.crm.wait_for_strikes(faults.len() as u64);
        chain.rest.wait_for(text);
        chain.tap.signal(Signal::Kill);
        let ended = chain.finish();
        assert_eq!(ended.tap.signal(), Some(9), "the tap was quicker");
        ended.target.expect_code(0);
        self.crm.set_faults(&[]);
        self.assert_true_state();
    }

    /// The same with the target.
    #[track_caller]
    pub(crate) fn kill_target_at(&self, faults: &[&str]) {
        self.crm.set_faults(faults);
        let chain = self.start();
        self.crm.wait_for_strikes(faults.len() as u64);
        chain.rest.target.signal(Signal::Kill);
        let ended = chain.finish();
        assert_eq!(ended.target.signal(), Some(9), "the target was quicker");
        self.crm.set_faults(&[]);
        self.assert_true_state();
    }

    /// The state on disk, which is a whole JSON value at any time.
    #[track_caller]
    pub(crate) fn state(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.folder.file("state.json")).ok()?;
        Some(serde_json::from_str(text.trim_end()).expect("the state file is whole"))
    }

    /// What the state on disk has of the stream.
    pub(crate) fn bookmark(&self) -> Option<Value> {
        Some(self.state()?["bookmarks"][MODULE].clone())
    }

    /// What the state says is copied, is copied once and as it is: of a read by pages so many members as are in
    /// those that are done, else all up to the bookmark.
    #[track_caller]
    pub(crate) fn assert_true_state(&self) {
        let copies = self.crm.copies(self.module());
        let Some(bookmark) = self.bookmark() else {
            return;
        };
        let mut members = self.crm.members();
        if bookmark["reading"].is_object() {
            let rows = bookmark["reading"]["rows"].as_u64().expect("rows");
            assert!(
                copies.len() as u64 >= rows,
                "{rows} members are promised, {} copied",
                copies.len()
            );
            return;
        }
        let Some(until) = bookmark["replication_key_value"].as_str() else {
            return;
        };
        let time = |text: &str| singer_core::value::time::parse_timestamp(text).expect("a time");
        members.retain(|_, member| {
            time(member["Modified_Time"].as_str().expect("a text")) < time(until)
        });
        assert_same(&members, &copies);
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        self.folder.read_json_lines("rejects.jsonl")
    }

    fn write_catalog(&self) {
        if self.method != Method::Full {
            return;
        }
        let ended = self.bare_tap().arg("--discover").finish();
        ended.expect_code(0);
        let mut catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
        let entries = catalog["streams"].as_array_mut().expect("streams");
        for entry in entries.iter_mut().filter(|entry| entry["stream"] == MODULE) {
            singer_test::tap::select(entry, None);
        }
        self.folder.write_json("catalog.json", &catalog);
    }
}

impl Chain {
    /// Waits for all three.
    pub(crate) fn finish(self) -> Ended {
        let rest = self.rest.finish();
        Ended {
            tap: self.tap.finish(),
            map: rest.tap,
            target: rest.target,
        }
    }
}

impl Ended {
    /// Fails the test unless all three ended with 0.
    #[track_caller]
    pub(crate) fn expect_success(&self) -> &Ended {
        self.target.expect_code(0);
        self.map.expect_code(0);
        self.tap.expect_code(0);
        self
    }

    /// How many records of the members went to the target.
    pub(crate) fn records(&self) -> usize {
        let messages = Messages::parse(&self.map.stdout, CutLine::Allowed);
        messages.records(MODULE).len()
    }
}

/// The first line from `from` on that holds a text.
#[track_caller]
pub(crate) fn place_of(lines: &[String], mark: &str, from: usize) -> usize {
    let place = lines.iter().skip(from).position(|line| line.contains(mark));
    from + place.unwrap_or_else(|| panic!("no {mark} from line {from} on"))
}

/// A request that never reaches the service, and whose sender waits for an answer all the same.
pub(crate) fn unheard(place: &str, after: usize) -> [String; 2] {
    [
        format!("reset:{place},after={after},times=1"),
        format!("slow:ms=600000,{place},after={after},times=1"),
    ]
}

/// A request that the service has carried out, and whose answer never comes.
pub(crate) fn unanswered(place: &str, after: usize) -> String {
    format!("slow:ms=600000,{place},after={after},times=1")
}
