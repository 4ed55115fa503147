//! Where statements meet the store: the tables as `sql` sees them, and what of a statement is asked of
//! permissions and quotas before it runs.

use super::access::Resource;
use super::answer::ApiError;
use super::query::QueryJob;
use super::sql::{self, SqlError, SqlErrorKind, Tables};
use super::store::Store;
use super::table::{Column, Row, Table, TableName};

/// Whether a statement is run, or only checked and its bytes counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Check,
    Real,
}

/// When a statement runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now_ms: u64,
    /// Rows that were streamed at this second or later cannot be changed.
    pub(crate) streaming_since: u64,
}

/// What a statement did.
#[derive(Debug, Default)]
pub(crate) struct StatementOutcome {
    /// Such as `SELECT`, `MERGE`, `CREATE_TABLE`.
    pub(crate) statement_type: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// Rows that were inserted, updated and deleted.
    pub(crate) changed: Option<(u64, u64, u64)>,
    /// What a DDL statement did, such as `CREATE`.
    pub(crate) ddl: Option<(&'static str, TableName)>,
    /// Bytes that it reads.
    pub(crate) bytes: u64,
}

/// Runs a statement against the store: the one place where the SQL runner is called.
pub(crate) fn run_statement(
    job: &QueryJob,
    store: &mut Store,
    moment: Moment,
    run: Run,
) -> Result<StatementOutcome, ApiError> {
    let context = sql::Context {
        default_project: job.project.clone(),
        default_dataset: job.default_dataset.clone(),
        now_micros: i64::try_from(moment.now_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
        parameters: sql::Parameter::from_json(&job.parameters)?,
        dry_run: run == Run::Check,
        streaming_since: Some(moment.streaming_since),
    };
    let mut tables = StoreTables {
        store,
        now_ms: moment.now_ms,
    };
    let done = sql::run(&job.text, &mut tables, &context)?;
    if run == Run::Real {
        note_changes(store, &done, moment.now_ms);
    }
    let is_dml = matches!(
        done.statement_kind,
        "MERGE" | "INSERT" | "UPDATE" | "DELETE" | "SCRIPT" | "TRUNCATE_TABLE"
    );
    let target = done.affected_tables.into_iter().next();
    Ok(StatementOutcome {
        statement_type: done.statement_kind.to_owned(),
        columns: done.columns,
        rows: done.rows,
        changed: is_dml.then_some((done.inserted, done.updated, done.deleted)),
        ddl: done.ddl_operation.zip(target),
        bytes: done.bytes_processed,
    })
}

/// Notes when tables were changed, and that their metadata may have been.
fn note_changes(store: &mut Store, done: &sql::Outcome, now_ms: u64) {
    let may_alter = done.ddl_operation == Some("ALTER") || done.statement_kind == "SCRIPT";
    for name in &done.affected_tables {
        store.writes.rows_moved(name);
        if let Ok(table) = store.table_mut(name) {
            table.record.modified_ms = now_ms;
            table.record.revision += u64::from(may_alter);
        }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> ApiError {
        match error.kind {
            SqlErrorKind::Invalid => ApiError::invalid_query(error.message),
            SqlErrorKind::NotFound => ApiError::new(404, "notFound", error.message),
            SqlErrorKind::Duplicate => ApiError::new(409, "duplicate", error.message),
            SqlErrorKind::Unsupported => ApiError::new(501, "notImplemented", error.message),
        }
    }
}

/// What permissions and quotas have against a statement. Of a script only the first statement is
/// looked at.
pub(crate) fn check_rights(
    job: &QueryJob,
    store: &mut Store,
    now_ms: u64,
    run: Run,
) -> Result<(), ApiError> {
    let glance = &job.glance;
    for name in &glance.names {
        if glance.defines.as_ref() != Some(name) && store.table(name).is_ok() {
            store
                .access
                .require("bigquery.tables.getData", Resource::Table(name))?;
        }
    }
    if let Some(name) = &glance.changes {
        store
            .access
            .require("bigquery.tables.updateData", Resource::Table(name))?;
    }
    let Some(name) = &glance.defines else {
        return Ok(());
    };
    match glance.verb.as_str() {
        "CREATE" => store.access.require(
            "bigquery.tables.create",
            Resource::Dataset(&name.project, &name.dataset),
        )?,
        "DROP" => {
            return store
                .access
                .require("bigquery.tables.delete", Resource::Table(name));
        }
        _ => store
            .access
            .require("bigquery.tables.update", Resource::Table(name))?,
    }
    if run == Run::Check {
        return Ok(());
    }
    // Statements tell of this limit in their text alone.
    store
        .quotas_for_metadata(name, now_ms)
        .map_err(|error| ApiError::invalid_query(error.message))
}

/// The store as statements see it.
struct StoreTables<'a> {
    store: &'a mut Store,
    now_ms: u64,
}

impl Tables for StoreTables<'_> {
    fn get(&self, name: &TableName) -> Option<&Table> {
        self.store.table(name).ok()
    }

    fn get_mut(&mut self, name: &TableName) -> Option<&mut Table> {
        self.store.writes.rows_moved(name);
        self.store.table_mut(name).ok()
    }

    /// A table that was taken from here and changed keeps its identity; another one replaces it, and
    /// ends the streams of the one before.
    fn put(&mut self, name: &TableName, table: Table) {
        let now_ms = self.now_ms;
        match self.store.table_mut(name) {
            Ok(known) if known.record.id == table.record.id => {
                let record = std::mem::take(&mut known.record);
                *known = Table { record, ..table };
                known.touch(now_ms);
                self.store.writes.rows_moved(name);
            }
            // The statement has asked whether the dataset is there.
            _ => drop(self.store.put_table(name, table, now_ms)),
        }
    }

    fn remove(&mut self, name: &TableName) -> Option<Table> {
        self.store.drop_table(name).ok()
    }

    fn dataset_exists(&self, project: &str, dataset: &str) -> bool {
        self.store.dataset(project, dataset).is_ok()
    }
}
