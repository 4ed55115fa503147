//! A project of a test's own: `antiphon.toml`, fake taps and targets as shell scripts, and a look at
//! what runs have left.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::poll;

/// Prints one record and one state, whose bookmark is the first argument.
pub(crate) const TAP: &str = r#"
echo "$*" >> tap.args
say() { echo '{"type":"'"$1"'","stream":"a"'"$2"'}'; }
say SCHEMA ',"schema":{"properties":{}},"key_properties":[]'
say RECORD ',"record":{"id":1}'
echo '{"type":"STATE","value":{"bookmarks":{"a":{"replication_key":"id","replication_key_value":'"${VALUE:-7}"'}}}}'
"#;

/// Prints the value of every STATE that it reads.
pub(crate) const TARGET: &str = r#"
echo "$*" >> target.args
while read -r line; do
    case "$line" in *'"STATE"'*) echo "$line" | sed 's/.*"value"://; s/}$//' ;; esac
done
"#;

/// A pipeline `p` of `tap.sh` and `target.sh`.
pub(crate) struct Project {
    pub(crate) folder: Folder,
}

impl Project {
    /// The usual tap and target, with more keys for the pipeline.
    pub(crate) fn new(keys: &str) -> Self {
        Self::of(TAP, TARGET, keys)
    }

    /// A tap and a target, with more keys for the pipeline.
    pub(crate) fn of(tap: &str, target: &str, keys: &str) -> Self {
        let project = Self {
            folder: Folder::new(),
        };
        project.script("tap.sh", tap);
        project.script("target.sh", target);
        project.configure(keys);
        project
    }

    /// Writes `antiphon.toml` anew.
    pub(crate) fn configure(&self, keys: &str) {
        let mut text = "[pipelines.p]\n".to_owned();
        for (key, usual) in [
            ("tap", "\"./tap.sh\""),
            ("target", "\"./target.sh\""),
            ("count", "\"metrics\""),
            ("grace", "\"2s\""),
            ("retries", "0"),
        ] {
            if !keys.contains(&format!("{key} =")) {
                text.push_str(&format!("{key} = {usual}\n"));
            }
        }
        self.folder
            .write("antiphon.toml", format!("{text}{keys}\n"));
    }

    pub(crate) fn script(&self, name: &str, body: &str) {
        let path = self.folder.write(name, format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `antiphon` in the project.
    pub(crate) fn antiphon(&self, arguments: &[&str]) -> Run {
        Run::of("antiphon")
            .folder(self.folder.path())
            .args(arguments)
    }

    /// `antiphon run p`, to its end.
    pub(crate) fn run(&self) -> Finished {
        self.antiphon(&["run", "p"]).finish()
    }

    /// As [`Self::run`], with a bookmark for the tap.
    pub(crate) fn run_to(&self, value: &str) -> Finished {
        self.antiphon(&["run", "p"]).env("VALUE", value).finish()
    }

    /// The versions of the state: number and value.
    pub(crate) fn states(&self) -> Vec<(u64, String)> {
        let mut states: Vec<(u64, String)> = self
            .files(".antiphon/pipelines/p/state")
            .into_iter()
            .filter(|name| name != "newest.json" && name.ends_with(".json"))
            .map(|name| {
                let text = self
                    .folder
                    .read(&format!(".antiphon/pipelines/p/state/{name}"));
                let version: Value = serde_json::from_str(&text).unwrap();
                (
                    version["version"].as_u64().unwrap(),
                    version["state"].to_string(),
                )
            })
            .collect();
        states.sort();
        states
    }

    /// The bookmark of the stream `a` in each version.
    pub(crate) fn bookmarks(&self) -> Vec<String> {
        let value = |state: &str| -> Value { serde_json::from_str(state).unwrap() };
        self.states()
            .iter()
            .map(|(_, state)| value(state)["bookmarks"]["a"]["replication_key_value"].to_string())
            .collect()
    }

    /// All summaries, the oldest first.
    pub(crate) fn summaries(&self) -> Vec<Value> {
        let mut runs = self.files(".antiphon/pipelines/p/runs");
        runs.sort();
        runs.iter()
            .map(|run| {
                let path = format!(".antiphon/pipelines/p/runs/{run}/summary.json");
                serde_json::from_str(&self.folder.read(&path)).unwrap()
            })
            .collect()
    }

    /// The newest summary.
    pub(crate) fn summary(&self) -> Value {
        self.summaries().pop().expect("there was a run")
    }

    /// The names in a folder of the project.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.file(folder)) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Waits until a file is there.
    pub(crate) fn wait_for(&self, name: &str) {
        let path = self.folder.file(name);
        poll::until(&format!("`{name}` is there"), || path.exists());
    }

    /// The process id that a script wrote into a file.
    pub(crate) fn process(&self, name: &str) -> u32 {
        let mut process = None;
        poll::until(&format!("`{name}` holds a process id"), || {
            process = self.folder.read(name).trim().parse().ok();
            process.is_some()
        });
        process.unwrap()
    }
}

/// Whether a process has not ended.
pub(crate) fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    Path::new("/proc/self").exists()
        && stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
