//! A run of the tap in a folder of its own.

use sandbox::source::Connection;
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::database::Database;
use singer_test::folder::Folder;
use singer_test::stream::{Cut, Messages};

/// The tap with a config.
pub struct Tap {
    pub folder: Folder,
    pub config: Value,
}

impl Tap {
    /// Reads a database.
    pub fn of(database: &Database) -> Tap {
        Tap::at(database.connection())
    }

    /// Reads what a connection leads to.
    pub fn at(connection: &Connection) -> Tap {
        let Connection {
            host,
            port,
            dbname,
            user,
            password,
            ..
        } = connection;
        Tap {
            folder: Folder::new(),
            config: json!({"host": host, "port": port, "dbname": dbname, "user": user, "password": password}),
        }
    }

    /// The same tap with another setting.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Tap {
        self.config[key] = value.into();
        self
    }

    /// A run with these arguments, to be started.
    pub fn run(&self, args: &[&str]) -> Run {
        let config = self.folder.write_json("config.json", &self.config);
        Run::of("tap-redshift")
            .arg("--config")
            .arg(config)
            .args(args)
            .folder(self.folder.path())
    }

    /// The catalog.
    pub fn discover(&self) -> Value {
        let ended = self.run(&["--discover"]).finish();
        ended.expect_code(0);
        serde_json::from_slice(&ended.stdout).expect("a catalog is one JSON value")
    }

    /// The catalog's entry of a stream.
    pub fn entry(&self, id: &str) -> Value {
        entry(&self.discover(), id).clone()
    }

    /// Reads the selected streams of a catalog.
    pub fn sync(&self, catalog: &Value, state: Option<&Value>) -> (Finished, Messages) {
        let ended = self.start(catalog, state).finish();
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        messages.assert_sound();
        (ended, messages)
    }

    /// The run of [`Self::sync`], to be started.
    pub fn start(&self, catalog: &Value, state: Option<&Value>) -> Run {
        self.folder.write_json("catalog.json", catalog);
        let run = self.run(&["--catalog", "catalog.json"]);
        match state {
            None => run,
            Some(state) => {
                self.folder.write_json("state.json", state);
                run.args(["--state", "state.json"])
            }
        }
    }

    /// Reads streams that fit a pattern, and expects success.
    pub fn select(&self, pattern: &str) -> Messages {
        let ended = self.run(&["--select", pattern]).finish();
        ended.expect_code(0);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        messages.assert_sound();
        messages
    }
}

/// The entry of a stream in a catalog.
#[track_caller]
pub fn entry<'a>(catalog: &'a Value, id: &str) -> &'a Value {
    let streams = catalog["streams"].as_array().expect("streams are a list");
    let found = streams.iter().find(|entry| entry["tap_stream_id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}` in the catalog"))
}

/// The metadata of a stream, or of one of its fields.
pub fn metadata<'a>(entry: &'a Value, field: Option<&str>) -> &'a Value {
    let breadcrumb = match field {
        None => json!([]),
        Some(field) => json!(["properties", field]),
    };
    let items = entry["metadata"].as_array().expect("metadata is a list");
    let found = items.iter().find(|item| item["breadcrumb"] == breadcrumb);
    &found.expect("the field has metadata")["metadata"]
}

/// Changes a catalog: sets words of a stream's metadata.
pub fn choose(catalog: &mut Value, id: &str, words: Value) {
    change(catalog, id, &json!([]), words);
}

/// Changes a catalog: sets words of a field's metadata.
pub fn choose_field(catalog: &mut Value, id: &str, field: &str, words: Value) {
    change(catalog, id, &json!(["properties", field]), words);
}

fn change(catalog: &mut Value, id: &str, breadcrumb: &Value, words: Value) {
    let streams = catalog["streams"].as_array_mut().unwrap();
    let entry = streams
        .iter_mut()
        .find(|entry| entry["tap_stream_id"] == id)
        .unwrap_or_else(|| panic!("no `{id}` in the catalog"));
    let item = entry["metadata"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|item| item["breadcrumb"] == *breadcrumb)
        .expect("the field has metadata");
    for (word, value) in words.as_object().unwrap() {
        item["metadata"][word] = value.clone();
    }
}

/// The `tap_stream_id` of a table in schema `public`.
pub fn public(database: &Database, table: &str) -> String {
    format!("{}.public.{table}", database.connection().dbname)
}

/// The bookmark of a stream in the last state.
#[track_caller]
pub fn bookmark(messages: &Messages, id: &str) -> Value {
    messages.last_state().expect("there is a state")["bookmarks"][id].clone()
}

/// One property of all records, in their order.
pub fn property(messages: &Messages, stream: &str, name: &str) -> Vec<Value> {
    let records = messages.records(stream);
    records.iter().map(|record| record[name].clone()).collect()
}
