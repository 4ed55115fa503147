//! The suite that every target must pass, once for each way in which rows get there.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::target::{Subject, WithoutKey, conforms};

/// An empty BigQuery of its own for each scenario, and the way in which it is filled.
struct Rows {
    method: &'static str,
    mode: &'static str,
    world: RefCell<Option<BigQuery>>,
}

impl Rows {
    fn by(method: &'static str, mode: &'static str) -> Rows {
        Rows {
            method,
            mode,
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
        // A stream without a key is appended, whatever the mode of the others.
        if self.mode != "upsert" {
            config["mode"] = json!(self.mode);
        }
        self.world.replace(Some(bigquery));
        config
    }

    /// Of rows that are appended: what a reader sees who takes the newest values of each key.
    fn stored(&self) -> BTreeMap<String, Value> {
        let world = self.world.borrow();
        let rows = world.as_ref().expect("a config was made").rows("accounts");
        let mut stored: BTreeMap<String, Value> = BTreeMap::new();
        for mut row in rows {
            let members = row.as_object_mut().expect("a row is an object");
            let key = members.remove("id").expect("a row has its key");
            members.retain(|_, value| !value.is_null());
            let members = members.clone();
            let key = key.as_str().expect("the key is a text").to_owned();
            match stored.get_mut(&key).and_then(Value::as_object_mut) {
                None => drop(stored.insert(key, Value::Object(members))),
                Some(_) if self.mode == "upsert" => panic!("two rows of {key}"),
                Some(older) => older.extend(members),
            }
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
    conforms(&Rows::by("load", "upsert"));
}

#[test]
fn the_storage_write_api_passes_the_suite_of_all_targets() {
    conforms(&Rows::by("storage_write", "upsert"));
}

#[test]
fn insert_all_passes_the_suite_of_all_targets() {
    conforms(&Rows::by("streaming", "append"));
}
