//! A BigQuery, a folder in which the target runs again and again, and messages for it.

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;

/// The SCHEMA line of the stream that most tests send.
pub(crate) fn schema() -> String {
    schema_of("orders", &document(), &["id"])
}

/// The SCHEMA line without a key.
pub(crate) fn keyless() -> String {
    schema_of("orders", &document(), &[])
}

pub(crate) fn document() -> Value {
    json!({"properties": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "revision": {"type": ["null", "integer"]},
    }})
}

pub(crate) fn schema_of(stream: &str, schema: &Value, key: &[&str]) -> String {
    line(&json!({"type": "SCHEMA", "stream": stream, "key_properties": key, "schema": schema}))
}

pub(crate) fn record(number: u64, revision: u64) -> Value {
    json!({"id": number, "name": format!("Order {number} of {revision}"), "revision": revision})
}

pub(crate) fn row(record: &Value) -> String {
    row_of("orders", record)
}

pub(crate) fn row_of(stream: &str, record: &Value) -> String {
    line(&json!({"type": "RECORD", "stream": stream, "record": record}))
}

/// RECORD lines without a version.
pub(crate) fn rows(numbers: impl IntoIterator<Item = u64>, revision: u64) -> String {
    numbers
        .into_iter()
        .map(|number| row(&record(number, revision)))
        .collect()
}

/// RECORD lines of a full-table version.
pub(crate) fn versioned(
    version: u64,
    numbers: impl IntoIterator<Item = u64>,
    revision: u64,
) -> String {
    numbers
        .into_iter()
        .map(|number| {
            line(
                &json!({"type": "RECORD", "stream": "orders", "version": version,
                "record": record(number, revision)}),
            )
        })
        .collect()
}

pub(crate) fn activate(version: u64) -> String {
    line(&json!({"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}))
}

pub(crate) fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"n": number}}))
}

pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// The numbers of the states that a run printed.
pub(crate) fn printed(ended: &Finished) -> Vec<u64> {
    let text = ended.text();
    let number = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a state is JSON");
        value["n"].as_u64().expect("a state of the input")
    };
    text.lines().map(number).collect()
}

/// A BigQuery, and a folder.
pub(crate) struct World {
    pub(crate) bigquery: BigQuery,
    pub(crate) folder: Folder,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(BigQuery::start())
    }

    pub(crate) fn with(bigquery: BigQuery) -> World {
        World {
            bigquery,
            folder: Folder::new(),
        }
    }

    /// The target with these keys beside those that it needs.
    pub(crate) fn run(&self, extra: &Value) -> Run {
        let mut config = self.bigquery.target_config();
        config["rejects_path"] = json!("rejects.jsonl");
        for (key, value) in extra.as_object().expect("keys of a config") {
            if value.is_null() {
                config.as_object_mut().expect("an object").remove(key);
            } else {
                config[key] = value.clone();
            }
        }
        let config = self.folder.write_json("config.json", &config);
        Run::of("target-bigquery")
            .arg("--config")
            .arg(config)
            .folder(self.folder.path())
    }

    pub(crate) fn feed(&self, extra: &Value, input: &str) -> Finished {
        self.run(extra).stdin(input).finish()
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        let text = self.folder.read("rejects.jsonl");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a reject is JSON"))
            .collect()
    }

    /// Fails unless `orders` holds each of these numbers once, in a revision, and nothing else.
    #[track_caller]
    pub(crate) fn assert_orders(&self, numbers: impl IntoIterator<Item = u64>, revision: u64) {
        let stored = self.bigquery.by("orders", "id");
        let numbers: Vec<u64> = numbers.into_iter().collect();
        assert_eq!(stored.len(), numbers.len(), "rows of the table");
        for number in numbers {
            let row = stored.get(&number.to_string());
            let row = row.unwrap_or_else(|| panic!("no row {number}"));
            let wanted = record(number, revision);
            assert_eq!(row["name"], wanted["name"], "row {number}");
        }
    }
}
