//! The platform, a warehouse, a folder with configs and state, and the two programs between them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_core::value::time::parse_timestamp;
use singer_test::bigquery::BigQuery;
use singer_test::bin::{Run, Signal};
use singer_test::folder::Folder;
use singer_test::pipe::{self, Cut, Ended, Pipeline};
use singer_test::poll;
use singer_test::stream::{Cut as CutLine, Messages};
use singer_test::tetra::{PAGE_FILES, STREAM, Tetra, column, extend, same};

/// Three pages, the last of them not full.
pub(crate) const FILES: usize = 2 * PAGE_FILES + 10;

/// Searches of a run before the first one of a window: the newest files, and the oldest.
pub(crate) const SAMPLES: usize = 2;

/// Searches, links, and what the storage gives.
pub(crate) const SEARCH: &str = "path=/searchEql";
pub(crate) const LINK: &str = "path=/retrieve";
pub(crate) const STORAGE: &str = "path=-prod-datalake/";

/// What is fetched of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retrieve {
    /// What the search tells.
    None,
    /// Its content as a document in the record.
    Json,
    /// Its content into a file.
    File,
}

pub(crate) const ALL: [Retrieve; 3] = [Retrieve::None, Retrieve::Json, Retrieve::File];

impl Retrieve {
    fn word(self) -> &'static str {
        match self {
            Retrieve::None => "none",
            Retrieve::Json => "json",
            Retrieve::File => "file",
        }
    }
}

/// A pipeline with its two ends.
pub(crate) struct Pair {
    pub(crate) tetra: Tetra,
    pub(crate) bigquery: BigQuery,
    pub(crate) folder: Folder,
    retrieve: Retrieve,
    tap: Value,
    stream: Value,
    target: Value,
    table: Value,
}

impl Pair {
    /// Results of some pages, and an empty warehouse.
    pub(crate) fn new(retrieve: Retrieve) -> Pair {
        Pair::over(Tetra::start(FILES), retrieve)
    }

    /// The same over a platform of the test's own.
    pub(crate) fn over(tetra: Tetra, retrieve: Retrieve) -> Pair {
        Pair {
            tetra,
            bigquery: BigQuery::start(),
            folder: Folder::new(),
            retrieve,
            tap: json!({}),
            stream: json!({"retrieve": retrieve.word()}),
            target: json!({}),
            table: json!({}),
        }
    }

    /// The same with further keys in the tap's config.
    pub(crate) fn tap_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.tap, keys);
        self
    }

    /// The same with further keys of the stream in the tap's config.
    pub(crate) fn stream_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.stream, keys);
        self
    }

    /// The same with further keys in the target's config.
    pub(crate) fn target_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.target, keys);
        self
    }

    /// The same with settings of the table in the target's config.
    pub(crate) fn table_keys(mut self, keys: &Value) -> Pair {
        extend(&mut self.table, keys);
        self
    }

    fn config(&self) -> Value {
        let mut config = self.tetra.tap_config();
        config["streams"] = json!({STREAM: self.stream});
        extend(&mut config, &self.tap);
        config
    }

    /// The tap with its config alone.
    pub(crate) fn bare_tap(&self) -> Run {
        self.folder.write_json("tap.json", &self.config());
        Run::of("tap-tetra-searcheql")
            .folder(self.folder.path())
            .args(["-c", "tap.json"])
    }

    /// The tap, from the state file if there is one.
    pub(crate) fn tap(&self) -> Run {
        let run = if self.folder.file("catalog.json").exists() {
            self.bare_tap().args(["--catalog", "catalog.json"])
        } else {
            self.bare_tap().args(["--select", STREAM])
        };
        if self.folder.file("state.json").exists() {
            run.args(["--state", "state.json"])
        } else {
            run
        }
    }

    /// The tap once with further keys and without a state.
    pub(crate) fn tap_keys_once(&self, keys: &Value) -> Run {
        let mut config = self.config();
        extend(&mut config, keys);
        self.folder.write_json("once.json", &config);
        Run::of("tap-tetra-searcheql")
            .folder(self.folder.path())
            .args(["-c", "once.json", "--select", STREAM])
    }

    /// The target with the state file.
    pub(crate) fn target(&self) -> Run {
        let mut config = self.bigquery.target_config();
        extend(&mut config, &json!({"rejects_path": "refused.jsonl"}));
        extend(&mut config, &self.target);
        config["streams"] = json!({"*": self.table});
        self.folder.write_json("target.json", &config);
        Run::of("target-bigquery").folder(self.folder.path()).args([
            "-c",
            "target.json",
            "--state-file",
            "state.json",
        ])
    }

    pub(crate) fn start(&self) -> Pipeline {
        self.start_cut(Cut::Never)
    }

    /// Both; the tap is killed at the cut of what it writes.
    pub(crate) fn start_cut(&self, cut: Cut) -> Pipeline {
        pipe::start(self.tap(), self.target(), cut)
    }

    pub(crate) fn run(&self) -> Ended {
        self.start().finish()
    }

    /// Both to their ends, which must be good.
    #[track_caller]
    pub(crate) fn sync(&self) -> Ended {
        let ended = self.run();
        ended.expect_success();
        ended
    }

    /// The same, and each file has one row, which is its newest version.
    #[track_caller]
    pub(crate) fn sync_equal(&self) -> Ended {
        let ended = self.sync();
        self.assert_equal();
        ended
    }

    /// The lines that a whole run of the tap hands to the target.
    pub(crate) fn lines(&self) -> Vec<String> {
        let tap = self.tap().finish();
        tap.expect_code(0);
        tap.text().lines().map(str::to_owned).collect()
    }

    /// Starts both, and kills the tap once each fault has struck and a text has gone through the pipe; then no fault
    /// is left.
    #[track_caller]
    pub(crate) fn kill_tap_after(&self, text: &str, faults: &[&str]) -> Ended {
        self.tetra.set_faults(faults);
        let pipeline = self.start();
        self.tetra.wait_for_strikes(faults.len() as u64);
        pipeline.wait_for(text);
        pipeline.tap.signal(Signal::Kill);
        let ended = pipeline.finish();
        assert_eq!(ended.tap.signal(), Some(9), "the tap was quicker");
        // A line that the tap did not write to its end is told.
        let code = ended.target.code();
        assert!(matches!(code, Some(0 | 1)), "{}", ended.target.stderr);
        self.tetra.set_faults(&[]);
        self.assert_true_state();
        ended
    }

    /// The state on disk, which is a whole JSON value at any time.
    #[track_caller]
    pub(crate) fn state(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.folder.file("state.json")).ok()?;
        Some(serde_json::from_str(text.trim_end()).expect("the state file is whole"))
    }

    /// What the state on disk has of the stream.
    pub(crate) fn bookmark(&self) -> Option<Value> {
        Some(self.state()?["bookmarks"][STREAM].clone())
    }

    /// How many files the state on disk leaves to be read: a slow machine has a STATE every ten seconds.
    #[track_caller]
    pub(crate) fn left(&self) -> usize {
        let truth = self.tetra.truth();
        let covered = self.bookmark().map(|bookmark| covered(&bookmark));
        let is_left = |document: &&Value| covered.as_ref().is_none_or(|covered| !covered(document));
        truth.values().filter(is_left).count()
    }

    /// The rows of the table by the ids of their files; fails the test if a file has two.
    #[track_caller]
    pub(crate) fn rows(&self) -> BTreeMap<String, Value> {
        if self.bigquery.count(STREAM).is_none() {
            return BTreeMap::new();
        }
        self.bigquery.by(STREAM, "fileId")
    }

    /// A file as its row should be.
    pub(crate) fn wanted(&self, id: &str, document: &Value) -> Value {
        let mut wanted = document.clone();
        if let (Some(source), Some(members)) =
            (self.stream["source"].as_array(), wanted.as_object_mut())
        {
            members.retain(|name, _| {
                let is_named = source.iter().any(|field| {
                    let field = field.as_str().unwrap_or_default();
                    field.split('.').next() == Some(name)
                });
                is_named || name == "fileId" || name == "indexedAt"
            });
        }
        match self.retrieve {
            Retrieve::None => {}
            Retrieve::Json => wanted["data"] = self.tetra.json_content(id),
            Retrieve::File => {
                wanted["_sdc_file_size"] = self.tetra.content(id).len().into();
            }
        }
        wanted
    }

    /// Fails the test unless each file has one row, which is its newest version, and nothing else has one.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let (truth, rows) = (self.tetra.truth(), self.rows());
        let missing = truth.keys().filter(|id| !rows.contains_key(*id)).count();
        assert_eq!(missing, 0, "files without a row, of {}", truth.len());
        assert_eq!(rows.len(), truth.len(), "rows of the table");
        let leaks = self.tetra.inside().counts().leaks;
        assert_eq!(leaks, 0, "tokens that went to the storage");
        for (id, document) in &truth {
            self.assert_row(id, document, &rows[id]);
        }
    }

    /// Fails the test unless a table has the files that meet a condition, each as it is, and nothing else; returns how many.
    #[track_caller]
    pub(crate) fn assert_rows(&self, table: &str, condition: impl Fn(&Value) -> bool) -> usize {
        let rows = self.bigquery.by(table, "fileId");
        let mut truth = self.tetra.truth();
        truth.retain(|_, document| condition(document));
        let ids = |files: &BTreeMap<String, Value>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&rows), ids(&truth), "files of `{table}`");
        for (id, document) in &truth {
            self.assert_row(id, document, &rows[id]);
        }
        rows.len()
    }

    #[track_caller]
    fn assert_row(&self, id: &str, document: &Value, row: &Value) {
        for (name, value) in self.wanted(id, document).as_object().expect("an object") {
            let cell = &row[column(name)];
            assert!(
                same(value, cell),
                "`{name}` of {id}:\n{value}\nat the platform,\n{cell}\nin the row"
            );
        }
        if self.retrieve == Retrieve::File {
            let path = row["_sdc_file_path"].as_str().expect("a path");
            let saved = std::fs::read(self.folder.file("downloads").join(path));
            let saved = saved.expect("the file was saved");
            assert!(saved == self.tetra.content(id), "the content of {path}");
        }
    }

    /// What the state says has arrived, is there: all files up to the end of the window, or up to the place in it.
    #[track_caller]
    pub(crate) fn assert_true_state(&self) {
        let rows = self.rows();
        let Some(bookmark) = self.bookmark() else {
            return;
        };
        let is_covered = covered(&bookmark);
        for (id, document) in self.tetra.truth() {
            if is_covered(&document) {
                let row = rows.get(&id);
                let row = row.unwrap_or_else(|| panic!("{id} is promised and has no row"));
                self.assert_row(&id, &document, row);
            }
        }
    }

    /// The rejects of all runs of the tap.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        self.folder.read_json_lines("rejects.jsonl")
    }
}

/// What a bookmark says has arrived: all files up to the end of a window, or up to the place in it.
fn covered(bookmark: &Value) -> impl Fn(&Value) -> bool + use<> {
    let time = |text: &Value| {
        let text = text.as_str().expect("a text");
        parse_timestamp(text).expect("a time")
    };
    let done = bookmark.get("replication_key_value").map(time);
    let after = bookmark["window"]["after"].as_array();
    let after = after.map(|after| {
        let instant = after[0].as_i64().expect("a number") * 1000;
        (instant, after[1].as_str().expect("an id").to_owned())
    });
    move |document| {
        let place = (
            time(&document["indexedAt"]),
            document["fileId"].as_str().expect("an id"),
        );
        done.is_some_and(|done| place.0 < done)
            || after
                .as_ref()
                .is_some_and(|(instant, id)| place <= (*instant, id))
    }
}

/// How many records went through the pipe.
pub(crate) fn records(ended: &Ended) -> usize {
    let messages = Messages::parse(&ended.tap.stdout, CutLine::Allowed);
    messages.records(STREAM).len()
}

/// The first line from `from` on that holds a text.
#[track_caller]
pub(crate) fn place_of(lines: &[String], mark: &str, from: usize) -> usize {
    let place = lines.iter().skip(from).position(|line| line.contains(mark));
    from + place.unwrap_or_else(|| panic!("no {mark} from line {from} on"))
}

/// A request of a kind that gets no answer: the one behind so many.
pub(crate) fn unanswered(place: &str, after: usize) -> String {
    format!("slow:ms=600000,{place},after={after},times=1")
}

/// Starts both, and kills both after so many requests to the platform, as a machine does that loses its power.
#[track_caller]
pub(crate) fn both_killed(pair: &Pair, requests: u64) {
    let seen = || pair.tetra.status().activity.requests;
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
