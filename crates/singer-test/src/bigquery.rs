//! A stand-in of BigQuery for each test, in the test's own process and on a port of its own.

use std::collections::BTreeMap;

use sandbox::bigquery::{Denied, JobView};
use sandbox::{Options, Sandbox, Status};
use serde_json::{Value, json};

use crate::poll;
use crate::runtime::wait;

/// The project that tests write to.
pub const PROJECT: &str = "sandbox-project";

/// The data set that tests write to, unless they say something else.
pub const DATASET: &str = "raw";

/// A running stand-in of BigQuery.
pub struct BigQuery {
    sandbox: Sandbox,
}

impl BigQuery {
    /// A stand-in whose jobs are done in the answer to their creation.
    pub fn start() -> BigQuery {
        BigQuery::start_with(|_| {})
    }

    /// A stand-in with other options.
    pub fn start_with(change: impl FnOnce(&mut Options)) -> BigQuery {
        let mut options = Options::default();
        options.bigquery.job_polls = 0;
        // Tests are quicker than the service lets anybody be.
        options.bigquery.metadata_updates = 1_000;
        change(&mut options);
        BigQuery {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        }
    }

    /// The part of a target's config that says how to reach it.
    pub fn target_config(&self) -> Value {
        json!({
            "project": PROJECT, "dataset": DATASET,
            "endpoint": self.sandbox.bigquery_url(), "grpc_endpoint": self.sandbox.grpc_url(),
        })
    }

    /// The endpoint of the REST API.
    pub fn url(&self) -> String {
        self.sandbox.bigquery_url()
    }

    /// Where tokens are given out.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.sandbox.bigquery_url())
    }

    /// The endpoint of the Storage Write API.
    pub fn grpc_url(&self) -> String {
        self.sandbox.grpc_url()
    }

    /// The stand-in itself.
    pub fn inside(&self) -> &sandbox::bigquery::BigQuery {
        self.sandbox.bigquery()
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, specs: &[&str]) {
        self.sandbox
            .set_faults(specs)
            .expect("the faults are known");
    }

    /// How often the faults in force have struck.
    pub fn struck(&self) -> u64 {
        let faults = self.status().active_faults;
        faults.iter().map(|fault| fault.struck).sum()
    }

    /// Counters and the last requests.
    pub fn status(&self) -> Status {
        self.sandbox.status()
    }

    /// The rows of a table of the usual data set, or of `dataset.table`.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let (dataset, table) = table.split_once('.').unwrap_or((DATASET, table));
        self.inside().dump(PROJECT, dataset, table)
    }

    /// The rows of a table by the text of a column; fails the test if two rows have one.
    #[track_caller]
    pub fn by(&self, table: &str, column: &str) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for row in self.rows(table) {
            let key = match &row[column] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert!(
                found.insert(key.clone(), row).is_none(),
                "two rows of `{table}` have {column} {key}"
            );
        }
        found
    }

    /// How many rows a table has; `None` if it is not there.
    pub fn count(&self, table: &str) -> Option<usize> {
        let (dataset, table) = table.split_once('.').unwrap_or((DATASET, table));
        self.inside().row_count(PROJECT, dataset, table)
    }

    /// The types of a table's columns, with the mode where it is not NULLABLE.
    pub fn columns(&self, table: &str) -> BTreeMap<String, String> {
        let (dataset, table) = table.split_once('.').unwrap_or((DATASET, table));
        let schema = self.inside().schema(PROJECT, dataset, table);
        let schema = schema.expect("the table is there");
        let fields = schema["fields"].as_array().or_else(|| schema.as_array());
        let column = |field: &Value| {
            let mut kind = field["type"].as_str().unwrap_or_default().to_owned();
            if let Some(mode) = field["mode"].as_str().filter(|mode| *mode != "NULLABLE") {
                kind = format!("{kind} {mode}");
            }
            (field["name"].as_str().unwrap_or_default().to_owned(), kind)
        };
        fields
            .expect("a schema has fields")
            .iter()
            .map(column)
            .collect()
    }

    /// The names of the tables of a data set.
    pub fn tables(&self, dataset: &str) -> Vec<String> {
        let tables = self.inside().tables();
        tables
            .into_iter()
            .filter(|table| table.dataset == dataset)
            .map(|table| table.table)
            .collect()
    }

    /// The jobs whose kind is this, or whose statement begins with it; the oldest first.
    pub fn jobs(&self, kind: &str) -> Vec<JobView> {
        let mut jobs = self.inside().jobs();
        jobs.reverse();
        jobs.retain(|job| {
            let statement = job.query.as_deref().unwrap_or_default();
            job.kind == kind || statement.starts_with(kind)
        });
        jobs
    }

    /// Takes permissions away, each `permission` or `permission resource`.
    pub fn deny(&self, denied: &[&str]) {
        let one = |text: &&str| {
            let (permission, resource) = text.split_once(' ').unwrap_or((text, ""));
            Denied {
                permission: permission.to_owned(),
                resource: (!resource.is_empty()).then(|| resource.to_owned()),
            }
        };
        self.inside().deny(denied.iter().map(one).collect());
    }

    /// Waits until the faults in force have struck so often.
    #[track_caller]
    pub fn wait_for_strikes(&self, count: u64) {
        poll::until("a fault has struck", || self.struck() >= count);
    }

    /// Stops listening.
    pub fn stop(self) {
        wait(self.sandbox.stop()).expect("the sandbox stops");
    }
}
