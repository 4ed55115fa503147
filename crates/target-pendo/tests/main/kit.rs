//! A Pendo that knows some accounts, and runs of the target against it.

use std::collections::BTreeMap;

use sandbox::pendo::Kind;
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::pendo::Pendo;
pub(crate) use singer_test::target::lines::{line, state};
use singer_test::target::{self, lines};

/// The fields that exist.
pub(crate) const FIELDS: [(&str, &str); 4] = [
    ("name", "string"),
    ("seats", "integer"),
    ("score", "float"),
    ("renewal", "time"),
];

/// The SCHEMA line of the accounts.
pub(crate) fn schema() -> String {
    lines::schema_of("accounts", &schema_document(), &["id"])
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

/// RECORD lines of a full-table version.
pub(crate) fn rows(version: u64, numbers: impl IntoIterator<Item = u64>, revision: u64) -> String {
    numbers
        .into_iter()
        .map(|number| lines::versioned_row_of("accounts", version, &record(number, revision)))
        .collect()
}

pub(crate) fn activate(version: u64) -> String {
    lines::activate_of("accounts", version)
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
        let config = self.pendo.target_config();
        target::run("target-pendo", &self.folder, config, extra)
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
