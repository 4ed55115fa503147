//! What tests, the control requests and the page see of the tables and jobs, and how a test fills them.

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::{Map, Value};

use super::DataStore;
use super::answer::ApiError;
use super::column::Column;
use super::job::{Job, State};
use super::options::{Environment, Written};
use super::store::{Action, CREATOR, Changed, cells_of, read_id};
use super::table::{Row, Table};
use super::zone::read_local_ms;

/// One table at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct TableView {
    /// Its name.
    pub table: String,
    /// Its id.
    pub id: i64,
    /// How many rows it has.
    pub rows: usize,
    /// The greatest MODIFIEDTIME, as the service writes it.
    pub last_change: Option<String>,
    /// Names of the columns, those of the system first.
    pub columns: Vec<String>,
}

/// One bulk read at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    /// Its id.
    pub id: i64,
    /// The environment that it reads.
    pub environment: String,
    /// Its table.
    pub table: String,
    /// Its page, from 1.
    pub page: usize,
    /// `In-Progress`, `Completed` or `Failed`.
    pub status: String,
    /// Rows that it has read.
    pub records: Option<usize>,
    /// Whether there are more behind them.
    pub more_records: Option<bool>,
    /// Why it failed.
    pub error: Option<String>,
}

impl DataStore {
    /// The tables of an environment.
    pub fn tables(&self, environment: Environment) -> Vec<TableView> {
        let store = self.look();
        let view = |table: &Table| TableView {
            table: table.name.clone(),
            id: table.id,
            rows: table.rows().len(),
            last_change: (table.modified_ms > 0).then(|| self.zone.text(table.modified_ms)),
            columns: table
                .places()
                .into_iter()
                .map(|place| table.name_of(place).to_owned())
                .collect(),
        };
        store.tables(environment).iter().map(view).collect()
    }

    /// Bulk reads, the newest first.
    pub fn jobs_view(&self) -> Vec<JobView> {
        let view = |job: &Job| {
            let (records, more_records, error) = match &job.state {
                State::Completed {
                    records, has_more, ..
                } => (Some(*records), Some(*has_more), None),
                State::Failed { why } => (None, None, Some(why.clone())),
                State::Waiting | State::Running => (None, None, None),
            };
            JobView {
                id: job.id,
                environment: job.environment.name().to_owned(),
                table: job.table.clone(),
                page: job.selection.page,
                status: job.status().to_owned(),
                records,
                more_records,
                error,
            }
        };
        self.jobs().all().map(view).collect()
    }

    /// Callbacks that were taken, and that were not.
    pub fn callback_counts(&self) -> (u64, u64) {
        self.jobs().callbacks
    }

    /// Makes an empty table in both environments from `{"table_name", "columns": [...]}`, the columns
    /// described as the API describes them; system columns need not be named.
    pub fn create_table(&self, described: &Value) -> anyhow::Result<()> {
        let name = described["table_name"]
            .as_str()
            .context("`table_name` is missing")?;
        let columns = described["columns"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let is_own = |column: &&Value| {
            let name = column["column_name"].as_str().unwrap_or_default();
            super::column::System::from_name(name).is_none()
        };
        let columns = columns.iter().filter(is_own).map(Column::from_json);
        let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
        self.change().create(name, columns);
        Ok(())
    }

    /// Drops a table in both environments; false if there was none.
    pub fn drop_table(&self, table: &str) -> bool {
        self.change().drop_table(table)
    }

    /// Puts rows into a table whatever its limits: those with a known ROWID are changed, the others
    /// added, with their ROWID if they have one. CREATEDTIME and MODIFIEDTIME are those of the row, or
    /// now. Returns the ids.
    pub fn put(
        &self,
        environment: Environment,
        table: &str,
        rows: &Value,
    ) -> anyhow::Result<Vec<i64>> {
        let rows = rows.as_array().context("an array of rows is expected")?;
        let now_ms = self.now_ms();
        let mut changes = Vec::with_capacity(rows.len());
        {
            let mut store = self.change();
            for row in rows {
                let object = row.as_object().context("a row is no object")?;
                let id = match object.get("ROWID").and_then(read_id) {
                    Some(id) => id,
                    None => store.row_id(),
                };
                let table = store
                    .table_mut(environment, table)
                    .context("there is no such table")?;
                let (action, row) = self.made(table, id, object, now_ms)?;
                table.put(row.clone());
                changes.push(Changed {
                    table: table.name.clone(),
                    action,
                    row,
                });
            }
        }
        let ids = changes.iter().map(|change| change.row.id).collect();
        self.tell(environment, changes);
        Ok(ids)
    }

    /// Deletes rows, and does with their children what foreign keys say; returns how many were there.
    pub fn delete(&self, environment: Environment, table: &str, ids: &[i64]) -> usize {
        let mut store = self.change();
        let known: Vec<i64> = match store.table(environment, table) {
            Some(table) => {
                let known = ids.iter().copied().filter(|id| table.row(*id).is_some());
                known.collect()
            }
            None => return 0,
        };
        let changes = store.delete(environment, table, &known, self.now_ms());
        drop(store);
        self.tell(environment, changes.unwrap_or_default());
        known.len()
    }

    /// The rows of a table as JSON objects with ids as strings, in the order of their ids.
    pub fn dump(&self, environment: Environment, table: &str) -> Vec<Value> {
        self.peek(environment, table, usize::MAX)
    }

    /// The first rows of a table.
    pub fn peek(&self, environment: Environment, table: &str, count: usize) -> Vec<Value> {
        let store = self.look();
        let Some(table) = store.table(environment, table) else {
            return Vec::new();
        };
        let style = self.style(Written::Text);
        let value = |row| serde_json::from_str(&style.whole(table, row)).unwrap_or_default();
        table.rows().iter().take(count).map(value).collect()
    }

    /// How many rows a table has.
    pub fn row_count(&self, environment: Environment, table: &str) -> Option<usize> {
        let store = self.look();
        store
            .table(environment, table)
            .map(|table| table.rows().len())
    }

    /// A row as it is to be, and whether it is a new one.
    fn made(
        &self,
        table: &Table,
        id: i64,
        object: &Map<String, Value>,
        now_ms: i64,
    ) -> anyhow::Result<(Action, Row)> {
        let old = table.row(id);
        let wrong = |error: ApiError| anyhow!("{}", error.message);
        let cells = cells_of(table, object, old).map_err(wrong)?;
        let time = |name: &str| -> anyhow::Result<Option<i64>> {
            let Some(text) = object.get(name).and_then(Value::as_str) else {
                return Ok(None);
            };
            let local = read_local_ms(text).and_then(|local| self.zone.epoch_ms(local));
            local
                .map(Some)
                .with_context(|| format!("`{name}` is no time"))
        };
        let mut row = match old {
            Some(old) => old.clone(),
            None => Row::new(id, CREATOR, now_ms, &[]),
        };
        row.set_cells(&cells);
        row.modified_ms = time("MODIFIEDTIME")?.unwrap_or(now_ms);
        row.created_ms = time("CREATEDTIME")?.unwrap_or(row.created_ms);
        let action = if old.is_some() {
            Action::Update
        } else {
            Action::Insert
        };
        Ok((action, row))
    }
}
