//! A Data Store, and a folder in which the tap runs again and again.

use std::path::PathBuf;

use sandbox::datastore::Environment;
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::runtime::wait;
use singer_test::stream::{Cut, Messages};

/// A stand-in in the test's own process, with trips of every type.
pub(crate) struct Store {
    sandbox: Sandbox,
    pub(crate) folder: Folder,
}

impl Store {
    /// So many trips, in pages of so many rows.
    pub(crate) fn of(rows: usize, page_rows: usize) -> Store {
        Store::with(rows, page_rows, |_| {})
    }

    pub(crate) fn with(rows: usize, page_rows: usize, change: impl FnOnce(&mut Options)) -> Store {
        let mut options = Options::default();
        options.datastore.rows = rows;
        options.datastore.page_rows = page_rows;
        change(&mut options);
        Store {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
            folder: Folder::new(),
        }
    }

    pub(crate) fn inside(&self) -> &sandbox::datastore::DataStore {
        self.sandbox.datastore()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) fn config(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "token_cache_path": self.path("tokens.json"),
            "accounts_url": self.sandbox.zoho_url(), "api_url": self.sandbox.zoho_url(),
            "project_id": "4000000006007", "environment": "Production", "time_zone": "Asia/Kolkata",
            "patience_seconds": 20, "job_timeout_seconds": 60, "work_folder": self.folder.path(),
            "deletions_path": self.path("rowids"), "journal_path": self.path("journal"),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run with these changes to the config.
    pub(crate) fn run(&self, changes: Value) -> Run {
        let mut config = self.config();
        if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
            config.extend(changes);
        }
        Run::of("tap-datastore")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// A sync of the trips from a state.
    pub(crate) fn sync(&self, changes: Value, state: Option<&Value>) -> Finished {
        let mut run = self.run(changes).args(["--select", "Trips"]);
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(self.folder.write_json("state.json", state));
        }
        let finished = run.finish();
        finished.expect_code(0);
        finished
    }

    pub(crate) fn delete(&self, ids: &[i64]) {
        self.inside().delete(Environment::Production, "Trips", ids);
    }
}

pub(crate) fn messages(finished: &Finished) -> Messages {
    Messages::parse(&finished.stdout, Cut::Never)
}

/// The ids of the records of a stream, in order.
pub(crate) fn ids(messages: &Messages, stream: &str) -> Vec<i64> {
    let records = messages.records(stream).into_iter();
    records
        .map(|record| record["ROWID"].as_i64().expect("an id"))
        .collect()
}

/// How many different rows a stream has.
pub(crate) fn distinct(messages: &Messages, stream: &str) -> usize {
    messages.by_key(stream).len()
}

pub(crate) fn last_state(messages: &Messages) -> Value {
    messages.last_state().expect("a run with a state").clone()
}
