//! A BigQuery, a folder in which the target runs again and again, and messages for it.

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::target;
pub(crate) use singer_test::target::lines::{
    activate, line, record, row, row_of, rows, schema_of, state, versioned,
};

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
        target::run("target-bigquery", &self.folder, config, extra)
    }

    pub(crate) fn feed(&self, extra: &Value, input: &str) -> Finished {
        self.run(extra).stdin(input).finish()
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        self.folder.read_json_lines("rejects.jsonl")
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
