//! The suite for targets, with Pendo's accounts as the destination.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::target::{Subject, WithoutKey, conforms};

use crate::kit::{World, id, record, schema_document};

struct Accounts {
    world: RefCell<World>,
}

impl Subject for Accounts {
    fn binary(&self) -> &'static str {
        "target-pendo"
    }

    fn fresh(&self) -> Value {
        let world = World::new(10_000);
        let config = world.pendo.target_config();
        self.world.replace(world);
        config
    }

    fn schema(&self) -> Value {
        schema_document()
    }

    fn record(&self, number: u64, revision: u64) -> Value {
        record(number, revision)
    }

    fn stored(&self) -> BTreeMap<String, Value> {
        self.world.borrow().stored()
    }

    fn refused(&self, number: u64) -> Value {
        // It is text as the schema says, and no date.
        json!({"id": id(number), "name": "x", "seats": 1, "score": 1.5, "renewal": "soon"})
    }

    fn without_key(&self) -> WithoutKey {
        WithoutKey::Refuses
    }
}

#[test]
fn the_target_conforms() {
    conforms(&Accounts {
        world: RefCell::new(World::new(0)),
    });
}
