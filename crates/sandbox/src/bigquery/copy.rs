//! Copy jobs: one table or several into another, in one step. Facts: section 5.

use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::ApiError;
use super::job::Outcome;
use super::load::{Write, may_create};
use super::request::check_names;
use super::schema::{self, Allowed};
use super::table::{Row, Table, TableName};
use super::table_body;
use super::value::Value as Cell;

const KNOWN: [&str; 6] = [
    "sourceTable",
    "sourceTables",
    "destinationTable",
    "createDisposition",
    "writeDisposition",
    "operationType",
];

/// A copy job as it was asked for.
pub(crate) struct CopyJob {
    pub(crate) destination: TableName,
    sources: Vec<TableName>,
    write: Write,
    may_create: bool,
}

impl CopyJob {
    /// Reads the configuration; what is wrong with it is answered at once.
    pub(crate) fn from_json(body: &Map<String, Value>, project: &str) -> Result<CopyJob, ApiError> {
        let not_simulated = [
            "destinationEncryptionConfiguration",
            "destinationExpirationTime",
        ];
        check_names(body, &KNOWN, &not_simulated, "job.configuration.copy")?;
        match body.get("operationType").and_then(Value::as_str) {
            None | Some("COPY" | "OPERATION_TYPE_UNSPECIFIED") => {}
            Some(other) => {
                return Err(ApiError::not_simulated(format!("copies of type {other}")));
            }
        }
        let reference = body.get("destinationTable").unwrap_or(&Value::Null);
        let destination = table_body::from_reference(reference, project)?;
        let several = body.get("sourceTables").and_then(Value::as_array);
        let sources = body
            .get("sourceTable")
            .into_iter()
            .chain(several.into_iter().flatten())
            .map(|reference| table_body::from_reference(reference, project))
            .collect::<Result<Vec<_>, _>>()?;
        if sources.is_empty() {
            return Err(ApiError::new(
                400,
                "required",
                "Required parameter is missing: sourceTables",
            ));
        }
        Ok(CopyJob {
            destination,
            sources,
            write: Write::from_json(body, Write::Empty)?,
            may_create: may_create(body)?,
        })
    }

    /// Carries the job out.
    pub(crate) fn run(self, bigquery: &BigQuery) -> Outcome {
        match self.copy(bigquery) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(error),
        }
    }

    fn copy(&self, bigquery: &BigQuery) -> Result<Outcome, ApiError> {
        let now_ms = bigquery.now_ms();
        let buffer_seconds = now_ms / 1000 - bigquery.options.streaming_seconds.min(now_ms / 1000);
        let mut store = bigquery.store();
        let mut shape: Option<Table> = None;
        let mut rows: Vec<Row> = Vec::new();
        for source in &self.sources {
            store
                .access
                .require("bigquery.tables.getData", Resource::Table(source))?;
            let table = store.table(source)?;
            if table.max_staleness.is_none()
                && store
                    .writes
                    .had_changes(source, now_ms, bigquery.options.cdc_seconds)
            {
                return Err(ApiError::invalid(format!(
                    "Table {source} has pending changes of change data capture and no max_staleness: it cannot be copied."
                )));
            }
            // Rows that are still in the streaming buffer are missed.
            let settled = table
                .rows
                .iter()
                .filter(|row| row.streamed_at.is_none_or(|time| time < buffer_seconds))
                .map(|row| Row::new(row.values.clone()));
            match &shape {
                None => {
                    rows.extend(settled);
                    shape = Some(table.metadata());
                }
                Some(shape) => {
                    let places = mapping(table, shape, source)?;
                    rows.extend(settled.map(|row| arrange(row, &places)));
                }
            }
        }
        let shape = shape.ok_or_else(|| ApiError::invalid("no source table"))?;
        let copied = rows.len();
        self.put(&mut store, shape, rows, now_ms)?;
        let mut outcome = Outcome::default();
        outcome
            .statistics
            .insert("copiedRows".to_owned(), json!(copied.to_string()));
        Ok(outcome)
    }

    fn put(
        &self,
        store: &mut super::store::Store,
        shape: Table,
        rows: Vec<Row>,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let name = &self.destination;
        let dataset = store.dataset(&name.project, &name.dataset)?;
        let Some(table) = dataset.table(&name.table) else {
            if !self.may_create {
                return Err(ApiError::not_found(format!("Table {name}")));
            }
            store.access.require(
                "bigquery.tables.create",
                Resource::Dataset(&name.project, &name.dataset),
            )?;
            let mut table = shape;
            table.expires_at_ms = None;
            store.put_table(name, table, now_ms)?;
            store.table_mut(name)?.rows = rows;
            return Ok(());
        };
        store
            .access
            .require("bigquery.tables.updateData", Resource::Table(name))?;
        if self.write == Write::Empty && !table.rows.is_empty() {
            return Err(ApiError::duplicate(format!("Table {name}")));
        }
        if self.write == Write::Truncate {
            let table = store.table_mut(name)?;
            table.columns = shape.columns;
            table.primary_key = shape.primary_key;
            table.clustering = shape.clustering;
            table.partitioning = shape.partitioning;
            table.rows = rows;
            table.touch(now_ms);
        } else {
            let places = mapping(&shape, table, name)?;
            let table = store.table_mut(name)?;
            if self.write == Write::TruncateData {
                table.rows.clear();
            }
            table
                .rows
                .extend(rows.into_iter().map(|row| arrange(row, &places)));
            table.record.modified_ms = now_ms;
        }
        store.writes.rows_moved(name);
        Ok(())
    }
}

/// For each column of `into` its place in `from`, if the columns of both go together.
fn mapping(from: &Table, into: &Table, name: &TableName) -> Result<Vec<Option<usize>>, ApiError> {
    let allowed = Allowed {
        additions: false,
        relaxations: false,
        omissions: true,
    };
    schema::evolve(&into.columns, &from.columns, allowed, &name.to_string())?;
    Ok(into
        .columns
        .iter()
        .map(|column| from.position(&column.name))
        .collect())
}

fn arrange(row: Row, places: &[Option<usize>]) -> Row {
    let value = |place: &Option<usize>| {
        place
            .and_then(|place| row.values.get(place).cloned())
            .unwrap_or(Cell::Null)
    };
    Row::new(places.iter().map(value).collect())
}
