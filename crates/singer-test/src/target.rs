//! The suite that every target must pass. A connector implements [`Subject`] over its stand-in and
//! calls [`conforms`] from its `tests/main.rs`. The messages are plain text here, as another tap might
//! have written them.

pub mod lines;
mod scenarios;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::lines::{line, row_of};
use crate::bin::{Finished, Run};
use crate::folder::Folder;
use crate::stream::{Cut, states};
use crate::suite;

/// A target and its destination. What most destinations can hold is there already: a subject says otherwise
/// where its own cannot.
pub trait Subject {
    /// The binary.
    fn binary(&self) -> &'static str;

    /// A config that works, for a destination that is now empty and knows the ids of the records with
    /// the numbers 0 to 9,999.
    fn fresh(&self) -> Value;

    /// The stream that the config is for.
    fn stream(&self) -> &'static str {
        "accounts"
    }

    /// The schema of its records.
    fn schema(&self) -> Value {
        json!({"type": "object", "properties": {
            "id": {"type": "string"},
            "name": {"type": ["null", "string"]},
            "seats": {"type": ["null", "integer"]},
            "renewal": {"type": ["null", "string"], "format": "date"},
            "active": {"type": ["null", "boolean"]},
        }})
    }

    /// The one key property, a string.
    fn key(&self) -> &'static str {
        "id"
    }

    /// The record of a number; each revision of it has other values.
    fn record(&self, number: u64, revision: u64) -> Value {
        json!({
            "id": format!("{number:08x}"), "name": format!("Account {number} of {revision}"),
            "seats": number + revision, "renewal": format!("2026-01-{:02}", 1 + revision % 28),
            "active": revision.is_multiple_of(2),
        })
    }

    /// A property of type string, which the destination keeps as it is.
    fn text(&self) -> &'static str {
        "name"
    }

    /// What the destination holds, by key: the properties as they were sent, without the key, and
    /// without those that are null.
    fn stored(&self) -> BTreeMap<String, Value>;

    /// A record of a number that fits its schema and that the destination refuses.
    fn refused(&self, number: u64) -> Value;

    /// Whether a stream without a key is appended or refused.
    fn without_key(&self) -> WithoutKey;
}

/// What a target does with a stream that has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutKey {
    /// It appends.
    Appends,
    /// It refuses the stream before anything is written.
    Refuses,
}

/// A run of a target in a folder, with these keys beside those of a config; one that is null is left out.
pub fn run(binary: &str, folder: &Folder, mut config: Value, extra: &Value) -> Run {
    for (key, value) in extra.as_object().expect("keys of a config") {
        if value.is_null() {
            config.as_object_mut().expect("an object").remove(key);
        } else {
            config[key] = value.clone();
        }
    }
    let config = folder.write_json("config.json", &config);
    Run::of(binary)
        .arg("--config")
        .arg(config)
        .folder(folder.path())
}

/// Runs all scenarios.
#[track_caller]
pub fn conforms(subject: &impl Subject) {
    let subject: &dyn Subject = subject;
    suite::run(&Target { subject }, scenarios::ALL);
}

/// The subject, and what scenarios need of it.
struct Target<'subject> {
    subject: &'subject dyn Subject,
}

impl Target<'_> {
    /// The SCHEMA line of the stream.
    fn schema(&self) -> String {
        self.schema_of(&self.subject.schema(), &json!([self.subject.key()]))
    }

    fn schema_of(&self, schema: &Value, key_properties: &Value) -> String {
        line(&json!({
            "type": "SCHEMA", "stream": self.subject.stream(), "schema": schema,
            "key_properties": key_properties,
        }))
    }

    /// RECORD lines.
    fn records(&self, numbers: std::ops::Range<u64>, revision: u64) -> String {
        numbers
            .map(|number| self.line_of(&self.subject.record(number, revision)))
            .collect()
    }

    fn line_of(&self, record: &Value) -> String {
        row_of(self.subject.stream(), record)
    }

    /// Runs with a fresh destination.
    fn feed(&self, input: &str) -> Finished {
        let folder = Folder::new();
        self.run(&folder, &self.subject.fresh())
            .stdin(input)
            .finish()
    }

    fn run(&self, folder: &Folder, config: &Value) -> Run {
        run(self.subject.binary(), folder, config.clone(), &json!({}))
    }

    /// Fails unless the destination holds these records and no others.
    #[track_caller]
    fn assert_stored(&self, records: impl IntoIterator<Item = Value>) {
        let expected: BTreeMap<String, Value> = records
            .into_iter()
            .map(|record| self.as_stored(record))
            .collect();
        let stored = self.subject.stored();
        assert_eq!(stored.len(), expected.len(), "records at the destination");
        for (key, value) in &expected {
            assert_eq!(stored.get(key), Some(value), "what is stored of {key}");
        }
    }

    fn numbered(&self, numbers: std::ops::Range<u64>, revision: u64) -> Vec<Value> {
        numbers
            .map(|number| self.subject.record(number, revision))
            .collect()
    }

    fn as_stored(&self, record: Value) -> (String, Value) {
        let Value::Object(mut members) = record else {
            panic!("a record is an object")
        };
        let key = members
            .remove(self.subject.key())
            .expect("a record has its key");
        members.retain(|_, value| !value.is_null());
        (
            key.as_str().expect("the key is a text").to_owned(),
            Value::Object(members),
        )
    }
}

/// A STATE line whose value is a number, so that scenarios can tell states apart.
fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"bookmarks": {"s": {"n": number}}}}))
}

/// The numbers of the printed states.
#[track_caller]
fn printed(ended: &Finished) -> Vec<u64> {
    states(&ended.stdout, Cut::Never)
        .iter()
        .map(|value| {
            value["bookmarks"]["s"]["n"]
                .as_u64()
                .expect("only states of the input are printed")
        })
        .collect()
}
