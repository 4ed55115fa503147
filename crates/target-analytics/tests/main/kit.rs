//! An Analytics, a folder in which the target runs again and again, and messages for it.

use std::collections::BTreeMap;

use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::runtime::wait;
pub(crate) use singer_test::target::lines::{activate, record, row, rows, state};
use singer_test::target::{self, lines};

/// The workspace that the stand-in has.
const WORKSPACE: &str = "260000000001003";

/// A stand-in of Zoho Analytics in the test's own process.
pub(crate) struct Analytics {
    sandbox: Sandbox,
}

impl Analytics {
    pub(crate) fn start() -> Analytics {
        Analytics::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Analytics {
        let mut options = Options::default();
        change(&mut options);
        Analytics {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        }
    }

    /// The part of a config that says how to reach it.
    pub(crate) fn target_config(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "token_cache_path": "tokens.json",
            "accounts_url": self.sandbox.zoho_url(), "analytics_url": self.sandbox.analytics_url(),
            "workspace_id": WORKSPACE, "patience_seconds": 20, "job_timeout_seconds": 60,
            "calls_per_minute": {"rows": 100_000, "bulk": 100_000, "metadata": 100_000},
        })
    }

    pub(crate) fn inside(&self) -> &sandbox::analytics::Analytics {
        self.sandbox.analytics()
    }

    pub(crate) fn set_faults(&self, specs: &[&str]) {
        self.sandbox
            .set_faults(specs)
            .expect("the faults are known");
    }

    /// How often the faults in force have struck.
    pub(crate) fn struck(&self) -> u64 {
        let faults = self.sandbox.status().active_faults;
        faults.iter().map(|fault| fault.struck).sum()
    }

    /// The rows of a table, without empty cells.
    pub(crate) fn rows(&self, table: &str) -> Vec<BTreeMap<String, String>> {
        let dumped = json!(self.inside().dump(table));
        let rows = dumped.as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            let cells = row.as_object().expect("a row is an object");
            let cells = cells.iter().filter_map(|(column, cell)| {
                let text = cell.as_str().filter(|text| !text.is_empty())?;
                Some((column.clone(), text.to_owned()))
            });
            cells.collect()
        };
        rows.iter().map(row).collect()
    }

    /// The rows of a table by their `id`; fails the test if two rows have one.
    #[track_caller]
    pub(crate) fn by_id(&self, table: &str) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        for row in self.rows(table) {
            let id = row.get("id").cloned().unwrap_or_default();
            assert!(found.insert(id.clone(), row).is_none(), "two rows of {id}");
        }
        found
    }
}

/// An Analytics, and a folder.
pub(crate) struct World {
    pub(crate) analytics: Analytics,
    pub(crate) folder: Folder,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(Analytics::start())
    }

    pub(crate) fn with(analytics: Analytics) -> World {
        World {
            analytics,
            folder: Folder::new(),
        }
    }

    /// The target with these keys beside those that it needs.
    pub(crate) fn run(&self, extra: &Value) -> Run {
        let mut config = self.analytics.target_config();
        config["rejects_path"] = json!("rejects.jsonl");
        target::run("target-analytics", &self.folder, config, extra)
    }

    pub(crate) fn feed(&self, extra: &Value, input: &str) -> Finished {
        self.run(extra).stdin(input).finish()
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        self.folder.read_json_lines("rejects.jsonl")
    }
}

/// The settings of the stream that most tests send.
pub(crate) fn orders(settings: Value) -> Value {
    json!({"streams": {"orders": settings}})
}

/// The SCHEMA line of that stream.
pub(crate) fn schema() -> String {
    schema_with(&json!({}), &["id"])
}

/// The same with more properties, and with another key.
pub(crate) fn schema_with(more: &Value, key: &[&str]) -> String {
    let mut properties = json!({
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"], "maxLength": 200},
        "revision": {"type": ["null", "integer"]},
    });
    for (name, schema) in more.as_object().expect("properties") {
        properties[name] = schema.clone();
    }
    lines::schema_of("orders", &json!({"properties": properties}), key)
}

/// RECORD lines of a full-table version.
pub(crate) fn versioned(version: u64, numbers: impl IntoIterator<Item = u64>) -> String {
    lines::versioned(version, numbers, version)
}
