//! The suite that every target must pass, once for each way in which rows get there.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use singer_test::target::{Subject, WithoutKey, conforms};

use crate::kit::Analytics;

/// An empty Analytics of its own for each scenario, and the way in which it is filled.
struct Rows {
    mode: &'static str,
    world: RefCell<Option<Analytics>>,
}

impl Rows {
    fn by(mode: &'static str) -> Rows {
        Rows {
            mode,
            world: RefCell::new(None),
        }
    }
}

impl Subject for Rows {
    fn binary(&self) -> &'static str {
        "target-analytics"
    }

    fn fresh(&self) -> Value {
        let analytics = Analytics::start();
        let mut config = analytics.target_config();
        if self.mode != "upsert" {
            config["streams"] = json!({"*": {"mode": self.mode}});
        }
        self.world.replace(Some(analytics));
        config
    }

    fn stored(&self) -> BTreeMap<String, Value> {
        let world = self.world.borrow();
        let rows = world.as_ref().expect("a config was made").rows("accounts");
        let mut stored = BTreeMap::new();
        for row in rows {
            let mut members = Map::new();
            for (column, text) in row {
                let value = match column.as_str() {
                    "seats" => serde_json::from_str(&text).expect("a number"),
                    "active" => json!(text == "true"),
                    _ => json!(text),
                };
                members.insert(column, value);
            }
            let key = members.remove("id").expect("a row has its key");
            let key = key.as_str().expect("the key is a text").to_owned();
            assert!(
                stored.insert(key.clone(), Value::Object(members)).is_none(),
                "two rows of {key}"
            );
        }
        stored
    }

    fn refused(&self, number: u64) -> Value {
        let mut record = self.record(number, 1);
        // It fits the schema, and no column holds such a year.
        record["renewal"] = json!("10000-01-01");
        record
    }

    fn without_key(&self) -> WithoutKey {
        WithoutKey::Appends
    }
}

#[test]
fn imports_pass_the_suite_of_all_targets() {
    conforms(&Rows::by("upsert"));
}

#[test]
fn single_rows_pass_the_suite_of_all_targets() {
    conforms(&Rows::by("row"));
}
