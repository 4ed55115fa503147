//! A stand-in of the Tetra Data Platform for each test, in the test's own process: results of instruments as nested
//! documents, in pages of the test's own size, a clock that tests move, and limits that no test reaches by itself.
//! The question that a test ends with is whether the newest version of each file arrived, value by value.

use std::collections::BTreeMap;

use sandbox::tetra::Tetra as Inside;
use sandbox::{Options, Sandbox, Status};
use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;

use crate::poll;
use crate::runtime::wait;
pub use crate::zoho::extend;

/// The stream that is read, which is the table's name as well.
pub const STREAM: &str = "results";

/// Files of a page.
pub const PAGE_FILES: usize = 20;

/// The day on which files were indexed.
const DAY: &str = "2024-05-01";

/// So many files were indexed in one millisecond, as a bulk request leaves them.
const AT_ONCE: usize = 3;

/// A running stand-in.
pub struct Tetra {
    sandbox: Sandbox,
}

/// Files by their ids.
pub type Files = BTreeMap<String, Value>;

impl Tetra {
    /// So many results, indexed long ago.
    pub fn start(files: usize) -> Tetra {
        Tetra::start_with(files, |_| {})
    }

    /// The same with other options.
    pub fn start_with(files: usize, change: impl FnOnce(&mut Options)) -> Tetra {
        let mut options = Options::default();
        options.tetra.index_ms = 0;
        change(&mut options);
        let tetra = Tetra {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        };
        tetra.add(files);
        tetra
    }

    /// A config of the tap, without streams.
    pub fn tap_config(&self) -> Value {
        json!({
            "base_url": self.sandbox.tetra_url(), "auth_token": "sandbox-token", "org_slug": "acme",
            "lag_seconds": 5, "overlap_seconds": 5, "page_size": PAGE_FILES, "sample_size": 5,
            "patience_seconds": 20, "rate_limit_pause_seconds": 0.02, "rejects_path": "rejects.jsonl",
            "download_dir": "downloads",
        })
    }

    /// The stand-in itself.
    pub fn inside(&self) -> &Inside {
        self.sandbox.tetra()
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, specs: &[&str]) {
        let set = self.sandbox.set_faults(specs);
        set.expect("the faults are known");
    }

    /// How often the faults in force have struck.
    pub fn struck(&self) -> u64 {
        let faults = self.status().active_faults;
        faults.iter().map(|fault| fault.struck).sum()
    }

    /// Waits until the faults in force have struck so often.
    #[track_caller]
    pub fn wait_for_strikes(&self, count: u64) {
        poll::until("a fault has struck", || self.struck() >= count);
    }

    /// Counters and the last requests.
    pub fn status(&self) -> Status {
        self.sandbox.status()
    }

    /// How many contents the storage gave.
    pub fn downloads(&self) -> u64 {
        self.inside().counts().downloads
    }

    /// Adds so many results, indexed long ago, behind those that are there; returns their ids.
    pub fn add(&self, count: usize) -> Vec<String> {
        let from = self.inside().file_count();
        let results: Vec<Value> = (from..from + count).map(result).collect();
        self.put(&results.into())
    }

    /// The same, indexed now.
    pub fn arrive(&self, count: usize) -> Vec<String> {
        let from = self.inside().file_count();
        let mut results: Vec<Value> = (from..from + count).map(result).collect();
        for result in &mut results {
            if let Some(document) = result["document"].as_object_mut() {
                document.remove("indexedAt");
            }
        }
        self.put(&results.into())
    }

    /// Adds files as a control request has them.
    pub fn put(&self, files: &Value) -> Vec<String> {
        let added = self.inside().add(files);
        added.expect("files of the right form")
    }

    /// Gives these files another version, and moves the clock on so that the next window has it.
    pub fn revise(&self, ids: &[String]) {
        self.inside().reindex(ids);
        self.inside().advance(60);
    }

    /// The newest document of each file that is not deleted.
    pub fn truth(&self) -> Files {
        let documents = self.inside().dump().into_iter();
        documents
            .map(|document| {
                let id = document["fileId"].as_str().expect("a file has an id");
                (id.to_owned(), document)
            })
            .collect()
    }

    /// The content of a file that is JSON.
    pub fn json_content(&self, id: &str) -> Value {
        serde_json::from_slice(&self.content(id)).expect("the content is JSON")
    }

    /// The content of a file, unpacked.
    pub fn content(&self, id: &str) -> Vec<u8> {
        let content: Option<_> = self.inside().content(id);
        Vec::from(content.expect("the file has a content"))
    }

    /// Stops listening.
    pub fn stop(self) {
        wait(self.sandbox.stop()).expect("the sandbox stops");
    }
}

/// A result of an instrument by its number, as a control request has it: the index has less than the content.
pub fn result(number: usize) -> Value {
    let peak = |peak: usize| {
        json!({"name": format!("peak {peak}, \"{number}\""), "area": number as f64 + 0.25 * peak as f64,
            "marks": [number, peak]})
    };
    let data = json!({
        "@idsType": "lcuv-hplc", "@idsVersion": "v1.0.0", "@idsNamespace": "common",
        "sample": {"name": format!("Zoë's № {number}\n\u{1f9ea}"), "weight": {"value": 1.5, "unit": "mg"}},
        "peaks": [peak(1), peak(2)], "is_valid": number.is_multiple_of(2),
        "related_files": [],
    });
    let mut content = data.clone();
    content["datacubes"] = json!([{"name": "trace", "measures": [[0.5, number], [1.5, 2]]}]);
    json!({
        "document": {
            "category": "IDS", "filePath": format!("/lab/hplc-{}/run {number} é.json", number % 3),
            "createdAt": indexed_at(number), "indexedAt": indexed_at(number),
            "ids": "common/lcuv-hplc:v1.0.0", "idsType": "lcuv-hplc", "idsVersion": "v1.0.0",
            "source": {"id": "s-1", "type": "empower", "name": "Empower 3"},
            "metadata": {"batch": format!("B{}", number % 7)}, "tags": ["hplc", format!("day {}", number % 5)],
            "labels": [{"name": "project", "value": format!("p-{}", number % 4)}],
            "data": data,
        },
        "json": content,
    })
}

/// When the result of a number was indexed.
pub fn indexed_at(number: usize) -> String {
    let second = number / AT_ONCE;
    let (hours, minutes, seconds) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!("{DAY}T{hours:02}:{minutes:02}:{seconds:02}.123Z")
}

/// Whether a cell of a warehouse holds a value: members that are null may be missing, names have no special characters,
/// times are instants, numbers are their values, and what is nested may be a text of JSON.
pub fn same(value: &Value, cell: &Value) -> bool {
    match (value, cell) {
        (Value::Object(_) | Value::Array(_), Value::String(text)) => {
            serde_json::from_str(text).is_ok_and(|cell| same(value, &cell))
        }
        (Value::Object(value), Value::Object(cell)) => {
            let (value, cell) = (by_column(value), by_column(cell));
            let names = value.keys().chain(cell.keys());
            let of = |members: &BTreeMap<String, Value>, name: &String| {
                members.get(name).cloned().unwrap_or_default()
            };
            names
                .into_iter()
                .all(|name| same(&of(&value, name), &of(&cell, name)))
        }
        (Value::Object(value), Value::Null) => {
            value.values().all(|value| same(value, &Value::Null))
        }
        (Value::Null, Value::Object(cell)) => cell.values().all(|cell| same(&Value::Null, cell)),
        (Value::Null, Value::Array(list)) | (Value::Array(list), Value::Null) => list.is_empty(),
        (Value::Array(value), Value::Array(cell)) => {
            value.len() == cell.len()
                && value
                    .iter()
                    .zip(cell)
                    .all(|(value, cell)| same(value, cell))
        }
        (Value::Number(value), Value::Number(cell)) => value.as_f64() == cell.as_f64(),
        (Value::String(value), Value::String(cell)) => {
            value == cell || {
                let (value, cell) = (parse_timestamp(value), parse_timestamp(cell));
                value.is_some() && value == cell
            }
        }
        // A field with several types is a text.
        (Value::Number(_) | Value::Bool(_), Value::String(cell)) => {
            let text = value.to_string();
            text == *cell
        }
        _ => value == cell,
    }
}

fn by_column(members: &Map<String, Value>) -> BTreeMap<String, Value> {
    let members = members.iter();
    members
        .map(|(name, value)| (column(name), value.clone()))
        .collect()
}

/// A name as a warehouse has it.
pub fn column(name: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_the_same_or_not() {
        for (value, cell) in [
            (json!({"a": null, "@b": 1}), json!({"_b": 1.0})),
            (
                json!({"a": {"b": null}, "l": []}),
                json!({"a": null, "l": null}),
            ),
            (
                json!("2024-05-01T00:00:00Z"),
                json!("2024-05-01T00:00:00.000Z"),
            ),
            (
                json!({"@b": [1, {"c": "x"}]}),
                json!("{\"@b\":[1,{\"c\":\"x\"}]}"),
            ),
            (json!(1), json!("1")),
        ] {
            assert!(same(&value, &cell), "{value} {cell}");
        }
        for (value, cell) in [
            (json!({"a": 1}), json!({})),
            (json!({}), json!({"a": 1})),
            (json!([1, 2]), json!([2, 1])),
            (json!([1]), json!([1, 1])),
            (json!("x"), json!(null)),
            (json!({"a": {"b": 1}}), json!(null)),
            (json!("2024-05-01T00:00:00Z"), json!("2024-05-01T00:00:01Z")),
        ] {
            assert!(!same(&value, &cell), "{value} {cell}");
        }
    }
}
