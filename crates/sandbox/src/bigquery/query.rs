//! Query jobs: what surrounds a statement — caps, costs, refusals of mutating ones, destinations. The
//! statement itself is run in `runner`. Facts: section 6.

use serde_json::{Map, Value, json};

use super::BigQuery;
use super::answer::ApiError;
use super::job::{Outcome, ResultSet};
use super::load::{Write, may_create};
use super::request::{check_names, int64};
use super::runner::{self, Moment, Run};
use super::statement::{self, Glance};
use super::store::Store;
use super::table::{Row, Table, TableName};
use super::table_body;

/// What a statement on demand costs at least per table, in bytes.
const LEAST_BILLED: u64 = 10 << 20;

/// The longest statement in bytes.
const LONGEST: usize = 1 << 20;

const KNOWN: [&str; 14] = [
    "query",
    "useLegacySql",
    "destinationTable",
    "createDisposition",
    "writeDisposition",
    "defaultDataset",
    "priority",
    "useQueryCache",
    "maximumBytesBilled",
    "parameterMode",
    "queryParameters",
    "allowLargeResults",
    "flattenResults",
    "schemaUpdateOptions",
];

const NOT_SIMULATED: [&str; 10] = [
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "createSession",
    "connectionProperties",
    "scriptOptions",
    "tableDefinitions",
    "userDefinedFunctionResources",
    "destinationEncryptionConfiguration",
    "maximumBillingTier",
];

/// A query job as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct QueryJob {
    pub(crate) text: String,
    pub(crate) project: String,
    pub(crate) default_dataset: Option<(String, String)>,
    /// As it was given: `[{"name": …, "parameterType": …, "parameterValue": …}]`.
    pub(crate) parameters: Value,
    pub(crate) glance: Glance,
    pub(crate) destination: Option<TableName>,
    pub(crate) dry_run: bool,
    write: Write,
    may_create: bool,
    most_billed: Option<u64>,
}

impl QueryJob {
    /// Reads the configuration; what is wrong with it is answered at once.
    pub(crate) fn from_json(
        body: &Map<String, Value>,
        project: &str,
        dry_run: bool,
    ) -> Result<QueryJob, ApiError> {
        check_names(body, &KNOWN, &NOT_SIMULATED, "job.configuration.query")?;
        let Some(text) = body.get("query").and_then(Value::as_str) else {
            return Err(ApiError::new(
                400,
                "required",
                "Required parameter is missing: query",
            ));
        };
        if text.len() > LONGEST {
            return Err(ApiError::invalid(
                "The query is too large. The maximum standard SQL query length is 1024.00K characters, including comments and white space characters.",
            ));
        }
        if body.get("useLegacySql") != Some(&Value::Bool(false)) {
            return Err(ApiError::not_simulated(
                "legacy SQL, which is the default: `useLegacySql` has to be false",
            ));
        }
        let dataset = body.get("defaultDataset").filter(|value| !value.is_null());
        let default_dataset = dataset.and_then(|dataset| {
            let id = dataset["datasetId"].as_str()?;
            let project = dataset["projectId"].as_str().unwrap_or(project);
            Some((project.to_owned(), id.to_owned()))
        });
        let destination = body
            .get("destinationTable")
            .filter(|value| !value.is_null())
            .map(|reference| table_body::from_reference(reference, project))
            .transpose()?;
        let most_billed = int64(
            body.get("maximumBytesBilled").unwrap_or(&Value::Null),
            "maximumBytesBilled",
        )?;
        let (glance_project, glance_dataset) = match &default_dataset {
            Some((project, dataset)) => (project.as_str(), Some(dataset.as_str())),
            None => (project, None),
        };
        Ok(QueryJob {
            glance: statement::glance(text, glance_project, glance_dataset),
            text: text.to_owned(),
            project: project.to_owned(),
            default_dataset,
            parameters: body.get("queryParameters").cloned().unwrap_or(Value::Null),
            destination,
            dry_run,
            write: Write::from_json(body, Write::Empty)?,
            may_create: may_create(body)?,
            most_billed: most_billed.and_then(|most| most.try_into().ok()),
        })
    }

    /// The table whose mutating statements wait for each other, if this is one.
    pub(crate) fn mutates(&self) -> Option<TableName> {
        self.glance
            .is_mutating()
            .then(|| self.glance.changes.clone())
            .flatten()
    }

    /// Carries the job out.
    pub(crate) fn run(self, bigquery: &BigQuery) -> Outcome {
        match self.query(bigquery) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(error),
        }
    }

    fn query(&self, bigquery: &BigQuery) -> Result<Outcome, ApiError> {
        let now_ms = bigquery.now_ms();
        let mut store = bigquery.store();
        let moment = Moment {
            now_ms,
            streaming_since: (now_ms / 1000).saturating_sub(bigquery.options.streaming_seconds),
        };
        let run = if self.dry_run { Run::Check } else { Run::Real };
        // Planned first: what is wrong with it is found before anything is charged.
        let planned = runner::run_statement(self, &mut store, moment, Run::Check)?;
        runner::check_rights(self, &mut store, now_ms, run)?;
        let (processed, billed) = self.cost(&store, planned.bytes);
        if self.most_billed.is_some_and(|most| billed > most) {
            return Err(ApiError::new(
                400,
                "bytesBilledLimitExceeded",
                format!(
                    "Query exceeded limit for bytes billed: {}. {billed} or higher required.",
                    self.most_billed.unwrap_or(0)
                ),
            ));
        }
        self.check_change(bigquery, &store, now_ms)?;
        if self.dry_run || (bigquery.options.drain && self.glance.is_dml()) {
            return Ok(Outcome {
                statistics: statistics(&planned.statement_type, processed, billed),
                bytes_processed: Some(processed),
                ..Outcome::default()
            });
        }
        let done = runner::run_statement(self, &mut store, moment, Run::Real)?;
        // A script is only known by its statements.
        let (processed, billed) = self.cost(&store, processed.max(done.bytes));
        let mut statistics = statistics(&done.statement_type, processed, billed);
        let affected = done.changed.map(|(inserted, updated, deleted)| {
            statistics.insert(
                "dmlStats".to_owned(),
                json!({"insertedRowCount": inserted.to_string(),
                    "updatedRowCount": updated.to_string(),
                    "deletedRowCount": deleted.to_string()}),
            );
            let affected = inserted + updated + deleted;
            statistics.insert("numDmlAffectedRows".to_owned(), json!(affected.to_string()));
            affected
        });
        if let Some((operation, table)) = &done.ddl {
            statistics.insert("ddlOperationPerformed".to_owned(), json!(operation));
            statistics.insert("ddlTargetTable".to_owned(), table_body::reference(table));
        }
        let result = ResultSet {
            columns: done.columns,
            rows: done.rows,
            affected,
        };
        if let Some(destination) = &self.destination {
            self.keep(&mut store, destination, &result, now_ms)?;
        }
        Ok(Outcome {
            statistics,
            bytes_processed: Some(processed),
            result: Some(result),
            ..Outcome::default()
        })
    }

    /// What a table may have against being changed by a statement now.
    fn check_change(
        &self,
        bigquery: &BigQuery,
        store: &Store,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        if !self.glance.is_dml() {
            return Ok(());
        }
        if bigquery.options.no_billing {
            return Err(ApiError::new(
                403,
                "billingNotEnabled",
                "Billing has not been enabled for this project. Enable billing at https://console.cloud.google.com/billing. DML queries are not allowed in the free tier. Set up a billing account to remove this restriction.",
            ));
        }
        let Some(name) = &self.glance.changes else {
            return Ok(());
        };
        let seconds = bigquery.options.cdc_seconds;
        if self.glance.is_mutating() && store.writes.had_changes(name, now_ms, seconds) {
            return Err(ApiError::invalid_query(format!(
                "{} statements over table {name} are not supported while change data capture rows are streamed to it.",
                self.glance.verb
            )));
        }
        Ok(())
    }

    /// Bytes that the statement reads, and those that it is billed for.
    fn cost(&self, store: &Store, processed: u64) -> (u64, u64) {
        let is_free = matches!(
            self.glance.verb.as_str(),
            "CREATE" | "ALTER" | "DROP" | "TRUNCATE"
        );
        if is_free {
            return (0, 0);
        }
        let mut names = self.glance.names.clone();
        // What looks like a table may be a column of one.
        names.retain(|name| store.table(name).is_ok());
        names.sort_unstable();
        names.dedup();
        let least = LEAST_BILLED * names.len() as u64;
        (processed, processed.next_multiple_of(1 << 20).max(least))
    }

    /// Writes the rows of a SELECT into the table that the job names.
    fn keep(
        &self,
        store: &mut Store,
        destination: &TableName,
        result: &ResultSet,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let dataset = store.dataset(&destination.project, &destination.dataset)?;
        let rows = result.rows.iter().map(|row| Row::new(row.values.clone()));
        let rows: Vec<Row> = rows.collect();
        let Some(table) = dataset.table(&destination.table) else {
            if !self.may_create {
                return Err(ApiError::not_found(format!("Table {destination}")));
            }
            let mut table = Table::new(result.columns.clone());
            table.rows = rows;
            return store.put_table(destination, table, now_ms);
        };
        if self.write == Write::Empty && !table.rows.is_empty() {
            return Err(ApiError::duplicate(format!("Table {destination}")));
        }
        let table = store.table_mut(destination)?;
        match self.write {
            Write::Append | Write::Empty if table.columns == result.columns => {
                table.rows.extend(rows);
            }
            Write::Truncate => {
                table.columns = result.columns.clone();
                table.rows = rows;
                table.touch(now_ms);
            }
            Write::TruncateData if table.columns == result.columns => table.rows = rows,
            _ => {
                return Err(ApiError::invalid(format!(
                    "Provided Schema does not match Table {destination}."
                )));
            }
        }
        store.writes.rows_moved(destination);
        Ok(())
    }
}

fn statistics(statement_type: &str, processed: u64, billed: u64) -> Map<String, Value> {
    let statistics = json!({
        "statementType": statement_type,
        "totalBytesProcessed": processed.to_string(),
        "totalBytesBilled": billed.to_string(),
        "cacheHit": false,
    });
    match statistics {
        Value::Object(statistics) => statistics,
        _ => Map::new(),
    }
}
