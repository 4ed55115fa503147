//! What tests, the control requests and the page see of the tables and jobs, and how a test makes them.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Denied;
use super::encode;
use super::job_api;
use super::schema;
use super::store::Dataset;
use super::table::{Table, TableName};
use super::table_body;

/// One table at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct TableView {
    /// Its project.
    pub project: String,
    /// Its dataset.
    pub dataset: String,
    /// Its id.
    pub table: String,
    /// How many rows it has.
    pub rows: usize,
    /// Their size, as the service counts it.
    pub bytes: u64,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Load, copy and query jobs that were to write it today, failed ones included.
    pub jobs_today: u32,
}

/// One job at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    /// Its project.
    pub project: String,
    /// Where it runs.
    pub location: String,
    /// Its id.
    pub id: String,
    /// `load`, `copy` or `query`.
    pub kind: String,
    /// `PENDING`, `RUNNING` or `DONE`.
    pub state: String,
    /// The table that it writes, as `project:dataset.table`.
    pub table: Option<String>,
    /// The reason and the text of its failure.
    pub error: Option<(String, String)>,
    /// The statement of a query job.
    pub query: Option<String>,
    /// What it did: the part of its statistics that is named after its kind.
    pub statistics: Value,
}

impl BigQuery {
    /// The rows of a table as JSON objects, in the order in which they are kept; empty without a table.
    pub fn dump(&self, project: &str, dataset: &str, table: &str) -> Vec<Value> {
        self.peek(project, dataset, table, usize::MAX)
    }

    /// The first rows of a table.
    pub fn peek(&self, project: &str, dataset: &str, table: &str, count: usize) -> Vec<Value> {
        self.settle();
        let store = self.store();
        let name = TableName::new(project, dataset, table);
        let Ok(table) = store.table(&name) else {
            return Vec::new();
        };
        table
            .rows
            .iter()
            .take(count)
            .map(|row| encode::plain_row(row, &table.columns))
            .collect()
    }

    /// How many rows a table has; `None` without a table.
    pub fn row_count(&self, project: &str, dataset: &str, table: &str) -> Option<usize> {
        self.settle();
        let store = self.store();
        let name = TableName::new(project, dataset, table);
        store.table(&name).ok().map(|table| table.rows.len())
    }

    /// The schema of a table in the form of the REST API; `None` without a table.
    pub fn schema(&self, project: &str, dataset: &str, table: &str) -> Option<Value> {
        let store = self.store();
        let name = TableName::new(project, dataset, table);
        let table = store.table(&name).ok()?;
        Some(schema::to_json(&table.columns))
    }

    /// Every table, by name.
    pub fn tables(&self) -> Vec<TableView> {
        self.settle();
        let now_ms = self.now_ms();
        let store = self.store();
        let view = |(name, table): (TableName, &Table)| TableView {
            rows: table.rows.len(),
            bytes: encode::rows_bytes(&table.rows),
            columns: table
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            jobs_today: store.quotas.jobs_today(&name, now_ms),
            project: name.project,
            dataset: name.dataset,
            table: name.table,
        };
        store.tables().map(view).collect()
    }

    /// Every job, the newest first.
    pub fn jobs(&self) -> Vec<JobView> {
        let store = self.store();
        let mut views = Vec::new();
        for (key, job) in store.jobs.newest() {
            let outcome = job.outcome();
            let error = outcome.and_then(|outcome| outcome.error.as_ref());
            views.push(JobView {
                project: key.project.clone(),
                location: job.location.clone(),
                id: key.id.clone(),
                kind: job.kind.to_owned(),
                state: job.state().to_owned(),
                table: job
                    .destination
                    .as_ref()
                    .or(job.mutates.as_ref())
                    .map(ToString::to_string),
                error: error.map(|error| (error.reason.to_string(), error.message.clone())),
                query: job
                    .configuration
                    .get("query")
                    .and_then(|query| query["query"].as_str())
                    .map(str::to_owned),
                statistics: outcome.map_or(Value::Null, |outcome| json!(outcome.statistics)),
            });
        }
        views
    }

    /// Makes a dataset, if it is not there yet.
    pub fn create_dataset(&self, project: &str, dataset: &str, location: &str) {
        let now_ms = self.now_ms();
        let key = (project.to_owned(), dataset.to_owned());
        self.store().datasets.entry(key).or_insert_with(|| Dataset {
            location: location.to_owned(),
            settings: Map::new(),
            created_ms: now_ms,
            modified_ms: now_ms,
            revision: 1,
            tables: BTreeMap::new(),
        });
    }

    /// Makes a table from a body of `tables.insert`, and its dataset if it is not there yet. The
    /// table is named `dataset.table`.
    pub fn create_table(&self, project: &str, path: &str, body: &Value) -> anyhow::Result<()> {
        let (dataset, table) = path
            .split_once('.')
            .context("the path is `dataset.table`")?;
        self.create_dataset(project, dataset, &self.options.location);
        let now_ms = self.now_ms();
        let columns = schema::from_json(&body["schema"])
            .map_err(|error| anyhow::anyhow!("{}", error.message))?;
        let mut made = Table::new(columns);
        let empty = Map::new();
        table_body::apply(&mut made, body.as_object().unwrap_or(&empty), now_ms)
            .map_err(|error| anyhow::anyhow!("{}", error.message))?;
        let name = TableName::new(project, dataset, table);
        self.store()
            .put_table(&name, made, now_ms)
            .map_err(|error| anyhow::anyhow!("{}", error.message))
    }

    /// Drops a table, as somebody else might; false if there is none.
    pub fn drop_table(&self, project: &str, dataset: &str, table: &str) -> bool {
        let name = TableName::new(project, dataset, table);
        self.store().drop_table(&name).is_ok()
    }

    /// Takes permissions away, in place of those that were taken before.
    pub fn deny(&self, denied: Vec<Denied>) {
        self.store().access.set_denied(denied);
    }

    /// Moves the clock on: quotas, streaming buffers, tokens, uploads and jobs follow it.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(seconds.saturating_mul(1000));
    }

    /// Ends all tokens that were given out.
    pub fn expire_tokens(&self) {
        self.store().access.expire_tokens();
    }

    /// Carries out every job that is waiting, as time would; jobs that a fault holds back stay.
    pub fn finish_jobs(&self) {
        loop {
            let due = self.store().jobs.due(u64::MAX);
            let Some(key) = due else {
                return;
            };
            job_api::execute(self, &key);
        }
    }
}
