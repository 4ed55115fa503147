//! The suite that every tap must pass. A connector says what it is ([`Subject`]) and calls [`conforms`]
//! from its `tests/main.rs`; the source behind it holds the same rows in every scenario.

mod scenarios;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bin::Run;
use crate::folder::Folder;
use crate::stream::{Cut, Messages};
use crate::suite;

/// A tap and its source. Both streams have a key; each must hold more than 30,000 rows, so that a run
/// prints several states and fills its pipe.
#[derive(Debug)]
pub struct Subject {
    /// The binary.
    pub binary: &'static str,
    /// A config that works.
    pub config: Value,
    /// More arguments for every run.
    pub args: Vec<String>,
    /// A stream that is read as a whole.
    pub full: Stream,
    /// A stream that is read by its replication key.
    pub incremental: Stream,
}

/// A stream of the subject.
#[derive(Debug)]
pub struct Stream {
    /// `tap_stream_id`.
    pub id: String,
    /// The name in its messages.
    pub name: String,
    /// A property that is neither key nor replication key.
    pub property: String,
    /// The replication key; none for a full table.
    pub replication_key: Option<String>,
    /// How many rows it has.
    pub rows: usize,
}

/// Runs all scenarios.
#[track_caller]
pub fn conforms(subject: &Subject) {
    suite::run(subject, scenarios::ALL);
}

/// The suite reads whole tables with a debug build, many times.
const PATIENCE: Duration = Duration::from_secs(180);

impl Subject {
    /// A run with the config, in a folder that the caller holds on to.
    fn run(&self, folder: &Folder) -> Run {
        let config = folder.write_json("config.json", &self.config);
        Run::of(self.binary)
            .arg("--config")
            .arg(config)
            .args(&self.args)
            .folder(folder.path())
            .patience(PATIENCE)
    }

    fn discover(&self) -> Value {
        let folder = Folder::new();
        let ended = self.run(&folder).arg("--discover").finish();
        ended.expect_code(0);
        serde_json::from_slice(&ended.stdout).expect("a catalog is one JSON value")
    }

    /// The discovered catalog with these streams selected.
    fn catalog(&self, selected: &[&Stream]) -> Value {
        let mut catalog = self.discover();
        for entry in catalog["streams"]
            .as_array_mut()
            .expect("a catalog lists streams")
        {
            let id = entry["tap_stream_id"].clone();
            if let Some(stream) = selected.iter().find(|stream| id == *stream.id) {
                select(entry, stream.replication_key.as_deref());
            }
        }
        catalog
    }

    /// A sync of these streams, ready to start.
    fn sync(&self, folder: &Folder, selected: &[&Stream], state: Option<&Value>) -> Run {
        let catalog = folder.write_json("catalog.json", &self.catalog(selected));
        let mut run = self.run(folder).arg("--catalog").arg(catalog);
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(folder.write_json("state.json", state));
        }
        run
    }

    /// A whole sync that must succeed.
    fn read(&self, selected: &[&Stream], state: Option<&Value>) -> Messages {
        let folder = Folder::new();
        let ended = self.sync(&folder, selected, state).finish();
        ended.expect_code(0);
        Messages::parse(&ended.stdout, Cut::Never)
    }
}

/// Selects a stream of a catalog: read by a replication key, or as a whole.
pub fn select(entry: &mut Value, replication_key: Option<&str>) {
    let metadata = entry["metadata"]
        .as_array_mut()
        .expect("an entry has metadata");
    let root = metadata
        .iter_mut()
        .find(|item| item["breadcrumb"] == json!([]))
        .expect("a stream has metadata of its own");
    root["metadata"]["selected"] = json!(true);
    match replication_key {
        Some(key) => {
            root["metadata"]["replication-method"] = json!("INCREMENTAL");
            root["metadata"]["replication-key"] = json!(key);
        }
        None => root["metadata"]["replication-method"] = json!("FULL_TABLE"),
    }
}

/// The records of two runs together, by key.
fn together<'run>(
    first: &'run Messages,
    second: &'run Messages,
    stream: &str,
) -> BTreeMap<String, &'run Value> {
    let mut all = first.by_key(stream);
    all.extend(second.by_key(stream));
    all
}
