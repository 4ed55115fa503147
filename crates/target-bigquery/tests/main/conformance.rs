//! The suite that every target must pass, once for each way in which rows get there.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::target::{Subject, WithoutKey, conforms};

/// An empty BigQuery of its own for each scenario, and the method by which it is filled.
struct Rows {
    method: &'static str,
    mode: Option<&'static str>,
    key: &'static str,
    world: RefCell<Option<BigQuery>>,
}

impl Rows {
    fn by(method: &'static str) -> Rows {
        Rows {
            method,
            mode: None,
            key: "id",
            world: RefCell::new(None),
        }
    }
}

impl Subject for Rows {
    fn binary(&self) -> &'static str {
        "target-bigquery"
    }

    fn fresh(&self) -> Value {
        let bigquery = BigQuery::start();
        let mut config = bigquery.target_config();
        config["method"] = json!(self.method);
        if let Some(mode) = self.mode {
            config["mode"] = json!(mode);
        }
        self.world.replace(Some(bigquery));
        config
    }

    fn stream(&self) -> &'static str {
        "accounts"
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "properties": {
            "id": {"type": "string"},
            "name": {"type": ["null", "string"]},
            "seats": {"type": ["null", "integer"]},
            "renewal": {"type": ["null", "string"], "format": "date"},
            "active": {"type": ["null", "boolean"]},
        }})
    }

    fn key(&self) -> &'static str {
        self.key
    }

    fn record(&self, number: u64, revision: u64) -> Value {
        json!({
            "id": format!("{number:08x}"), "name": format!("Account {number} of {revision}"),
            "seats": number + revision, "renewal": format!("2026-01-{:02}", 1 + revision % 28),
            "active": revision.is_multiple_of(2),
        })
    }

    fn text(&self) -> &'static str {
        "name"
    }

    fn stored(&self) -> BTreeMap<String, Value> {
        let world = self.world.borrow();
        let rows = world.as_ref().expect("a config was made").rows("accounts");
        let mut stored = BTreeMap::new();
        for mut row in rows {
            let members = row.as_object_mut().expect("a row is an object");
            let key = members.remove("id").expect("a row has its key");
            members.retain(|_, value| !value.is_null());
            // The dump writes 64-bit numbers as the API does.
            if let Some(Value::String(seats)) = members.get("seats") {
                let seats: u64 = seats.parse().expect("a number");
                members.insert("seats".to_owned(), json!(seats));
            }
            let key = key.as_str().expect("the key is a text").to_owned();
            stored.insert(key, row);
        }
        stored
    }

    fn refused(&self, number: u64) -> Value {
        let mut record = self.record(number, 1);
        // It fits the schema, and BigQuery has no such year.
        record["renewal"] = json!("10000-01-01");
        record
    }

    fn without_key(&self) -> WithoutKey {
        WithoutKey::Appends
    }
}

#[test]
fn load_jobs_pass_the_suite_of_all_targets() {
    conforms(&Rows::by("load"));
}

#[test]
fn the_storage_write_api_passes_the_suite_of_all_targets() {
    conforms(&Rows::by("storage_write"));
}
