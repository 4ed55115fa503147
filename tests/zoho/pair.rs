//! Both services, a folder with configs, catalog and state, and the two programs between them.

use serde_json::{Value, json};
use singer_test::bin::{Run, Signal};
use singer_test::folder::Folder;
use singer_test::pipe::{self, Cut, Ended, Pipeline};
use singer_test::stream::Messages;
use singer_test::tap::select;
use singer_test::zoho::{PAGE_ROWS, Rows, TABLE, Zoho, assert_same, extend, local_time};

/// Five pages, the last of them not full.
pub(crate) const ROWS: usize = 230;

/// How the table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// As a whole.
    Full,
    /// By `MODIFIEDTIME`, which is what the tap chooses if nobody does.
    Incremental,
}

pub(crate) const METHODS: [Method; 2] = [Method::Full, Method::Incremental];

/// A pipeline with its two ends.
pub(crate) struct Pair {
    pub(crate) zoho: Zoho,
    pub(crate) folder: Folder,
    method: Method,
    tap: Value,
    target: Value,
}

impl Pair {
    /// A table of some pages, and an empty workspace.
    pub(crate) fn new(method: Method) -> Pair {
        Pair::over(Zoho::start(ROWS), method)
    }

    /// The same over stand-ins of the test's own.
    pub(crate) fn over(zoho: Zoho, method: Method) -> Pair {
        let pair = Pair {
            zoho,
            folder: Folder::new(),
            method,
            tap: json!({}),
            target: json!({}),
        };
        if method == Method::Full {
            pair.write_catalog();
        }
        pair
    }

    /// The same with further keys in the tap's config.
    pub(crate) fn tap_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.tap, keys);
        if self.method == Method::Full {
            self.write_catalog();
        }
        self
    }

    /// The same with further keys in the target's config.
    pub(crate) fn target_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.target, keys);
        self
    }

    /// The same with settings of the stream in the target's config.
    pub(crate) fn stream_keys(self, keys: &Value) -> Pair {
        self.target_keys(&json!({"streams": {TABLE: keys}}))
    }

    /// The tap with its config alone.
    pub(crate) fn bare_tap(&self) -> Run {
        let mut config = self.zoho.tap_config();
        extend(&mut config, &self.tap);
        self.folder.write_json("tap.json", &config);
        Run::of("tap-datastore")
            .folder(self.folder.path())
            .args(["-c", "tap.json"])
    }

    /// The tap for the trips, from the state file if there is one.
    pub(crate) fn tap(&self) -> Run {
        let run = match self.method {
            Method::Full => self.bare_tap().args(["--catalog", "catalog.json"]),
            Method::Incremental => self.bare_tap().args(["--select", TABLE]),
        };
        if self.folder.file("state.json").exists() {
            run.args(["--state", "state.json"])
        } else {
            run
        }
    }

    /// The target with the state file.
    pub(crate) fn target(&self) -> Run {
        self.target_with(&json!({}))
    }

    /// The same with further keys for this run alone.
    pub(crate) fn target_with(&self, keys: &Value) -> Run {
        let mut config = self.zoho.target_config();
        extend(&mut config, &self.target);
        extend(&mut config, keys);
        self.folder.write_json("target.json", &config);
        Run::of("target-analytics")
            .folder(self.folder.path())
            .args(["-c", "target.json", "--state-file", "state.json"])
    }

    pub(crate) fn start(&self) -> Pipeline {
        pipe::start(self.tap(), self.target(), Cut::Never)
    }

    pub(crate) fn run(&self) -> Ended {
        pipe::run(self.tap(), self.target(), Cut::Never)
    }

    /// Both to their ends, which must be good.
    #[track_caller]
    pub(crate) fn sync(&self) -> Ended {
        let ended = self.run();
        ended.expect_success();
        ended
    }

    /// The same, and both sides are equal.
    #[track_caller]
    pub(crate) fn sync_equal(&self) -> Ended {
        let ended = self.sync();
        self.zoho.assert_equal();
        ended
    }

    /// The lines of a whole run of the tap, to find the places between them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let ended = self.tap().finish();
        ended.expect_code(0);
        ended.text().lines().map(str::to_owned).collect()
    }

    /// Starts both, and kills the tap once each fault has struck; then no fault is left.
    #[track_caller]
    pub(crate) fn kill_tap_at(&self, faults: &[&str]) {
        self.kill_tap_after("", faults);
    }

    /// The same, once a text has gone through the pipe as well.
    #[track_caller]
    pub(crate) fn kill_tap_after(&self, text: &str, faults: &[&str]) {
        self.zoho.set_faults(faults);
        let pipeline = self.start();
        self.zoho.wait_for_strikes(faults.len() as u64);
        pipeline.wait_for(text);
        pipeline.tap.signal(Signal::Kill);
        let ended = pipeline.finish();
        assert_eq!(ended.tap.signal(), Some(9), "the tap was quicker");
        ended.target.expect_code(0);
        self.zoho.set_faults(&[]);
        self.assert_true_state();
    }

    /// The same with the target.
    #[track_caller]
    pub(crate) fn kill_target_at(&self, faults: &[&str]) {
        self.zoho.set_faults(faults);
        let pipeline = self.start();
        self.zoho.wait_for_strikes(faults.len() as u64);
        pipeline.target.signal(Signal::Kill);
        let ended = pipeline.finish();
        assert_eq!(ended.target.signal(), Some(9), "the target was quicker");
        self.zoho.set_faults(&[]);
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
        Some(self.state()?["bookmarks"][TABLE].clone())
    }

    /// What the state says is in the view, is there as it is in the table: of a read by pages the rows of
    /// those that are done, else every row up to the bookmark.
    #[track_caller]
    pub(crate) fn assert_true_state(&self) {
        let Some(bookmark) = self.bookmark() else {
            return;
        };
        let mut promised: Rows = self.zoho.rows();
        if let Some(pages) = bookmark["reading"]["pages"].as_u64() {
            let last = promised.keys().nth(pages as usize * PAGE_ROWS).copied();
            if let Some(last) = last {
                promised.split_off(&last);
            }
        } else if let Some(until) = bookmark["replication_key_value"].as_str() {
            let until = singer_core::value::time::parse_timestamp(until).expect("a time");
            promised.retain(|_, row| {
                let modified = row["MODIFIEDTIME"].as_str().and_then(local_time);
                modified.expect("a time") <= until
            });
        } else {
            return;
        }
        assert_same(&promised, &self.zoho.stored());
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        self.folder.read_json_lines("rejects.jsonl")
    }

    fn write_catalog(&self) {
        let ended = self.bare_tap().arg("--discover").finish();
        ended.expect_code(0);
        let mut catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
        let entries = catalog["streams"].as_array_mut().expect("streams");
        for entry in entries.iter_mut().filter(|entry| entry["stream"] == TABLE) {
            select(entry, None);
        }
        self.folder.write_json("catalog.json", &catalog);
    }
}

/// How many records of the trips went through the pipe.
pub(crate) fn records(ended: &Ended) -> usize {
    let messages = Messages::parse(&ended.tap.stdout, singer_test::stream::Cut::Allowed);
    messages.records(TABLE).len()
}

/// The first line from `from` on that holds a text.
#[track_caller]
pub(crate) fn place_of(lines: &[String], mark: &str, from: usize) -> usize {
    let place = lines.iter().skip(from).position(|line| line.contains(mark));
    from + place.unwrap_or_else(|| panic!("no {mark} from line {from} on"))
}
