//! A data set on the server, runs of the target that write into it, and rows to send.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::bqemulator::{self, BqEmulator, Table};
use singer_test::folder::Folder;
use singer_test::stream::{Cut, states};

/// A data set, and a folder to run in.
pub(crate) struct Case {
    pub(crate) server: &'static BqEmulator,
    pub(crate) dataset: String,
    pub(crate) folder: Folder,
}

impl Case {
    /// A data set that is not there yet; none where there is no Python for the server.
    pub(crate) fn new(dataset: &str) -> Option<Case> {
        Some(Case {
            server: bqemulator::shared()?,
            dataset: dataset.to_owned(),
            folder: Folder::new(),
        })
    }

    /// The target with these settings.
    pub(crate) fn target(&self, settings: Value) -> Run {
        let mut config = self.server.target_config(&self.dataset);
        let Value::Object(settings) = settings else {
            panic!("settings are an object")
        };
        config
            .as_object_mut()
            .expect("a config is an object")
            .extend(settings);
        Run::of("target-bigquery")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// Runs to an end that must be good.
    #[track_caller]
    pub(crate) fn run(&self, settings: Value, input: &str) -> Finished {
        let ended = self.target(settings).stdin(input).finish();
        ended.expect_code(0);
        ended
    }

    /// The tables of the data set.
    pub(crate) fn tables(&self) -> BTreeMap<String, Table> {
        self.server.tables(&self.dataset)
    }

    /// The one table of the data set: whatever else the target made is gone.
    #[track_caller]
    pub(crate) fn only_table(&self, name: &str) -> Table {
        let mut tables = self.tables();
        let table = tables.remove(name).expect("the table is there");
        let left: Vec<&String> = tables.keys().collect();
        assert!(left.is_empty(), "tables that are left over: {left:?}");
        table
    }
}

/// A SCHEMA line.
pub(crate) fn schema(stream: &str, properties: &Value, key: &[&str]) -> String {
    let mut schema = json!({
        "type": "SCHEMA", "stream": stream, "key_properties": key,
        "schema": {"type": "object", "properties": properties},
    });
    if properties.get("updated_at").is_some() {
        schema["bookmark_properties"] = json!(["updated_at"]);
    }
    format!("{schema}\n")
}

/// RECORD lines.
pub(crate) fn records(stream: &str, rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter()
        .map(|row| {
            format!(
                "{}\n",
                json!({"type": "RECORD", "stream": stream, "record": row})
            )
        })
        .collect()
}

/// RECORD lines of a version, and its activation.
pub(crate) fn version(stream: &str, version: u64, rows: impl IntoIterator<Item = Value>) -> String {
    let mut lines: String = rows
        .into_iter()
        .map(|row| {
            let record =
                json!({"type": "RECORD", "stream": stream, "record": row, "version": version});
            format!("{record}\n")
        })
        .collect();
    let activate = json!({"type": "ACTIVATE_VERSION", "stream": stream, "version": version});
    lines.push_str(&format!("{activate}\n"));
    lines
}

pub(crate) fn state(number: usize) -> String {
    format!("{}\n", json!({"type": "STATE", "value": {"n": number}}))
}

/// The numbers of the states that were printed.
pub(crate) fn printed(stdout: &[u8]) -> Vec<u64> {
    states(stdout, Cut::Allowed)
        .iter()
        .map(|state| state["n"].as_u64().expect("a state of the input"))
        .collect()
}

/// What contacts are made of. Their values are written here as Google's client prints them, so that what
/// was sent can be compared with what is read.
pub(crate) fn contact_properties() -> Value {
    json!({
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "balance": {"type": ["null", "string"], "format": "singer.decimal", "precision": 20, "scale": 4},
        "score": {"type": ["null", "number"]},
        "active": {"type": ["null", "boolean"]},
        "born": {"type": ["null", "string"], "format": "date"},
        "updated_at": {"type": "string", "format": "date-time"},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
        "fields": {"type": ["null", "object"]},
    })
}

/// The same with a RECORD and a list of them.
pub(crate) fn nested_properties() -> Value {
    let mut properties = contact_properties();
    properties["address"] = json!({"type": ["null", "object"], "properties": {
        "city": {"type": ["null", "string"]},
        "since": {"type": ["null", "string"], "format": "date-time"},
        "flats": {"type": ["null", "array"], "items": {"type": "integer"}},
    }});
    properties["phones"] = json!({"type": ["null", "array"], "items": {"type": "object", "properties": {
        "label": {"type": ["null", "string"]},
        "number": {"type": ["null", "string"]},
    }}});
    properties
}

/// A contact; each revision has other values and is later than the one before.
pub(crate) fn contact(id: u64, revision: u64) -> Value {
    let name = match id % 5 {
        0 => Value::Null,
        1 => json!(format!("Zo\u{eb} \"{id}\"\n\\ {revision} \u{1f980}")),
        2 => json!(""),
        _ => json!(format!("\u{0928}\u{093e}\u{092e} {id}, '{revision}'`")),
    };
    json!({
        "id": id,
        "name": name,
        "balance": format!("-{}.{:03}1", 9_000_000_000_000_000 - id, revision),
        "score": id as f64 / 8.0 + revision as f64,
        "active": match id % 3 { 0 => Value::Null, other => json!(other == 1) },
        "born": format!("19{:02}-02-28", id % 100),
        "updated_at": format!("2026-01-{:02}T{:02}:{:02}:59.{:06}Z", revision, id / 60 % 24, id % 60, id + 1),
        "tags": (0..id % 3).map(|tag| format!("tag {tag}")).collect::<Vec<_>>(),
        "fields": {"n": [1, null, {"deep": id}], "\u{e9}": "a\"b", "half": 0.5, "revision": revision},
    })
}

/// The same with what is nested.
pub(crate) fn nested(id: u64, revision: u64) -> Value {
    let mut contact = contact(id, revision);
    contact["address"] = json!({
        "city": format!("S\u{e3}o Paulo {revision}"),
        "since": "2001-02-03T04:05:06.000007Z",
        "flats": [id, 2],
    });
    let phones = (0..id % 3).map(|n| json!({"label": format!("l{n}"), "number": null}));
    contact["phones"] = phones.collect();
    contact
}

/// Rows by their id.
pub(crate) fn truth(rows: impl IntoIterator<Item = Value>) -> BTreeMap<i64, Value> {
    rows.into_iter()
        .map(|row| (row["id"].as_i64().expect("an id"), row))
        .collect()
}

/// Fails unless a table holds these rows and no others; columns that the target adds do not count.
#[track_caller]
pub(crate) fn assert_rows(table: &Table, expected: &BTreeMap<i64, Value>) {
    let found = table.by_integer("id");
    assert_eq!(found.len(), expected.len(), "rows in the table");
    for (id, row) in expected {
        let found = found.get(id).expect("a row that was sent");
        for (column, value) in row.as_object().expect("a row is an object") {
            assert_eq!(&found[column], value, "`{column}` of {id}");
        }
    }
}
