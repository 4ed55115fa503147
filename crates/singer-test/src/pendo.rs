//! A stand-in of Pendo for each test, in the test's own process and on a port of its own.

use std::collections::BTreeMap;

use sandbox::pendo::{Kind, Values};
use sandbox::{Options, Sandbox, Status};
use serde_json::{Value, json};

use crate::poll;
use crate::runtime::wait;

/// The integration key that the stand-in accepts.
pub const KEY: &str = "sandbox-key";

/// A running stand-in of Pendo.
pub struct Pendo {
    sandbox: Sandbox,
}

impl Pendo {
    /// A stand-in as it comes.
    pub fn start() -> Pendo {
        Pendo::start_with(|_| {})
    }

    /// A stand-in with other options.
    pub fn start_with(change: impl FnOnce(&mut Options)) -> Pendo {
        let mut options = Options::default();
        options.pendo.watch_overlaps = true;
        change(&mut options);
        Pendo {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        }
    }

    /// The `base_url` of a client.
    pub fn url(&self) -> String {
        self.sandbox.pendo_url()
    }

    /// The part of a target's config that says how to reach it.
    pub fn target_config(&self) -> Value {
        json!({"integration_key": KEY, "base_url": self.url()})
    }

    /// Makes ids known.
    pub fn know<Id: AsRef<str>>(&self, kind: Kind, ids: impl IntoIterator<Item = Id>) {
        self.sandbox.pendo().add_ids(kind, ids);
    }

    /// Replaces the fields of group `custom` by these, as pairs of name and type.
    pub fn set_fields(&self, kind: Kind, fields: &[(&str, &str)]) {
        let fields: serde_json::Map<String, Value> = fields
            .iter()
            .map(|(name, word)| {
                (
                    (*name).to_owned(),
                    json!({"Type": word, "DisplayName": name}),
                )
            })
            .collect();
        self.sandbox
            .pendo()
            .replace_schema(kind, &json!({"custom": fields}))
            .expect("the fields make a schema");
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, specs: &[&str]) {
        self.sandbox
            .set_faults(specs)
            .expect("the faults are known");
    }

    /// Counters and the last requests.
    pub fn status(&self) -> Status {
        self.sandbox.status()
    }

    /// The values of group `custom` of every id that has some.
    pub fn custom(&self, kind: Kind) -> BTreeMap<String, Value> {
        self.dump(kind)
            .into_iter()
            .filter_map(|(id, mut values)| {
                Some((id, values.remove("custom")?.into_iter().collect()))
            })
            .collect()
    }

    /// All ids with all values.
    pub fn dump(&self, kind: Kind) -> BTreeMap<String, Values> {
        self.sandbox.pendo().dump(kind)
    }

    /// How many bulk records were applied so far.
    pub fn applied(&self, kind: Kind) -> u64 {
        let table = format!("pendo/{}", kind.name());
        self.status()
            .activity
            .tables
            .get(&table)
            .map_or(0, |counters| counters.updated)
    }

    /// Waits until so many requests were answered.
    #[track_caller]
    pub fn wait_for_requests(&self, count: u64) {
        poll::until("the sandbox has answered requests", || {
            self.status().activity.requests >= count
        });
    }

    /// Stops listening: from now on the service is out of reach. Waits a moment for what it answers.
    pub fn stop(self) {
        wait(self.sandbox.stop()).expect("the sandbox stops");
    }

    /// Fails the test if one id was ever in flight in two requests at once, or came twice in one.
    #[track_caller]
    pub fn assert_no_overlaps(&self) {
        for (name, counters) in self.status().activity.tables {
            assert_eq!(
                counters.overlaps, 0,
                "ids of {name} were in flight twice at once"
            );
            assert_eq!(
                counters.duplicates, 0,
                "ids of {name} came twice in one request"
            );
        }
    }
}
