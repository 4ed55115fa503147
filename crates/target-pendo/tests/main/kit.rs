//! A Pendo that knows some accounts, and runs of the target against it.

use std::collections::BTreeMap;

use sandbox::pendo::Kind;
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::pendo::Pendo;

/// The fields that exist.
pub(crate) const FIELDS: [(&str, &str); 4] = [
    ("name", "string"),
    ("seats", "integer"),
    ("score", "float"),
    ("renewal", "time"),
];

/// The SCHEMA line of the accounts.
pub(crate) fn schema() -> String {
    line(
        &json!({"type": "SCHEMA", "stream": "accounts", "key_properties": ["id"], "schema": schema_document()}),
    )
}

pub(crate) fn schema_document() -> Value {
    json!({"type": "object", "properties": {
        "id": {"type": "string"},
        "name": {"type": ["null", "string"]},
        "seats": {"type": ["null", "integer"]},
        "score": {"type": ["null", "number"]},
        "renewal": {"type": ["null", "string"], "format": "date-time"},
    }})
}

pub(crate) fn record(number: u64, revision: u64) -> Value {
    json!({
        "id": id(number), "name": format!("Account {number} of {revision}"), "seats": number + revision,
        "score": 0.25 * revision as f64 + 0.5, "renewal": null,
    })
}

pub(crate) fn id(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// RECORD lines of a full-table version.
pub(crate) fn rows(version: u64, numbers: impl IntoIterator<Item = u64>, revision: u64) -> String {
    numbers
        .into_iter()
        .map(|number| {
            line(
                &json!({"type": "RECORD", "stream": "accounts", "version": version,
                "record": record(number, revision)}),
            )
        })
        .collect()
}

pub(crate) fn activate(version: u64) -> String {
    line(&json!({"type": "ACTIVATE_VERSION", "stream": "accounts", "version": version}))
}

pub(crate) fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"n": number}}))
}

/// A Pendo, and a folder in which the target runs again and again.
pub(crate) struct World {
    pub(crate) pendo: Pendo,
    pub(crate) folder: Folder,
}

impl World {
    /// A Pendo that knows the accounts up to a number.
    pub(crate) fn new(accounts: u64) -> World {
        World::with(accounts, Pendo::start())
    }

    pub(crate) fn with(accounts: u64, pendo: Pendo) -> World {
        pendo.set_fields(Kind::Account, &FIELDS);
        pendo.know(Kind::Account, (0..accounts).map(id));
        World {
            pendo,
            folder: Folder::new(),
        }
    }

    /// The target with these keys beside those that it needs.
    pub(crate) fn run(&self, extra: &Value) -> Run {
        let mut config = self.pendo.target_config();
        for (key, value) in extra.as_object().expect("keys of a config") {
            config[key] = value.clone();
        }
        let config = self.folder.write_json("config.json", &config);
        Run::of("target-pendo")
            .arg("--config")
            .arg(config)
            .folder(self.folder.path())
    }

    pub(crate) fn feed(&self, extra: &Value, input: &str) -> Finished {
        self.run(extra).stdin(input).finish()
    }

    /// The custom values by id, without nulls and without ids that have none.
    pub(crate) fn stored(&self) -> BTreeMap<String, Value> {
        self.pendo
            .custom(Kind::Account)
            .into_iter()
            .filter_map(|(id, mut values)| {
                let members = values.as_object_mut().expect("values are an object");
                members.retain(|_, value| !value.is_null());
                (!members.is_empty()).then_some((id, values))
            })
            .collect()
    }

    /// Which accounts have values.
    pub(crate) fn filled(&self) -> Vec<String> {
        self.stored().into_keys().collect()
    }

    /// How many records were written since the start.
    pub(crate) fn written(&self) -> u64 {
        self.pendo.applied(Kind::Account)
    }
}
