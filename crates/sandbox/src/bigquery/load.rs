//! Load jobs: newline-delimited JSON into a table, all of it or nothing. Facts: section 5.

use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::ApiError;
use super::decode::{Decoder, Flaw, JsonForm};
use super::encode;
use super::job::Outcome;
use super::request::{check_names, int64, unzip};
use super::schema::{self, Allowed};
use super::store::Store;
use super::table::{Column, Partitioning, Row, Table, TableName};
use super::table_body;

/// How many bad rows are named.
const FLAWS_SHOWN: usize = 5;

/// How often a load begins anew because the table changed under it.
const ATTEMPTS: usize = 8;

const KNOWN: [&str; 18] = [
    "destinationTable",
    "sourceFormat",
    "writeDisposition",
    "createDisposition",
    "schema",
    "schemaUpdateOptions",
    "maxBadRecords",
    "ignoreUnknownValues",
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "requirePartitionFilter",
    "destinationTableProperties",
    "encoding",
    "autodetect",
    "decimalTargetTypes",
    "sourceUris",
    "referenceFileSchemaUri",
];

const NOT_SIMULATED: [&str; 14] = [
    "fieldDelimiter",
    "skipLeadingRows",
    "quote",
    "allowQuotedNewlines",
    "allowJaggedRows",
    "nullMarker",
    "projectionFields",
    "useAvroLogicalTypes",
    "hivePartitioningOptions",
    "parquetOptions",
    "preserveAsciiControlCharacters",
    "destinationEncryptionConfiguration",
    "jsonExtension",
    "columnNameCharacterMap",
];

/// What is done with the rows that a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Append,
    Empty,
    /// With the schema.
    Truncate,
    /// The schema, the key and the settings stay.
    TruncateData,
}

impl Write {
    /// `writeDisposition`, with what it is if nobody says.
    pub(crate) fn from_json(body: &Map<String, Value>, default: Write) -> Result<Write, ApiError> {
        Ok(match body.get("writeDisposition").and_then(Value::as_str) {
            None => default,
            Some("WRITE_APPEND") => Write::Append,
            Some("WRITE_EMPTY") => Write::Empty,
            Some("WRITE_TRUNCATE") => Write::Truncate,
            Some("WRITE_TRUNCATE_DATA") => Write::TruncateData,
            Some(other) => {
                return Err(ApiError::invalid(format!(
                    "Invalid value for writeDisposition: {other}"
                )));
            }
        })
    }
}

/// `createDisposition`: whether a table may come into being.
pub(crate) fn may_create(body: &Map<String, Value>) -> Result<bool, ApiError> {
    match body.get("createDisposition").and_then(Value::as_str) {
        None | Some("CREATE_IF_NEEDED") => Ok(true),
        Some("CREATE_NEVER") => Ok(false),
        Some(other) => Err(ApiError::invalid(format!(
            "Invalid value for createDisposition: {other}"
        ))),
    }
}

/// A load job as it was asked for.
pub(crate) struct LoadJob {
    pub(crate) destination: TableName,
    schema: Option<Vec<Column>>,
    write: Write,
    may_create: bool,
    additions: bool,
    relaxations: bool,
    max_bad: usize,
    ignore_unknown: bool,
    body: Map<String, Value>,
    data: Vec<u8>,
}

impl LoadJob {
    /// Reads the configuration; what is wrong with it is answered at once.
    pub(crate) fn from_json(
        body: &Map<String, Value>,
        project: &str,
        data: Option<Vec<u8>>,
    ) -> Result<LoadJob, ApiError> {
        check_names(body, &KNOWN, &NOT_SIMULATED, "job.configuration.load")?;
        let reference = body.get("destinationTable").unwrap_or(&Value::Null);
        let destination = table_body::from_reference(reference, project)?;
        match body.get("sourceFormat").and_then(Value::as_str) {
            Some("NEWLINE_DELIMITED_JSON") => {}
            Some(other) => {
                return Err(ApiError::not_simulated(format!("loads of format {other}")));
            }
            None => {
                return Err(ApiError::not_simulated(
                    "loads of CSV, which is the default",
                ));
            }
        }
        if body.get("autodetect") == Some(&Value::Bool(true)) {
            return Err(ApiError::not_simulated("autodetect"));
        }
        let Some(data) = data else {
            return Err(ApiError::not_simulated("loads from Cloud Storage"));
        };
        let write = Write::from_json(body, Write::Append)?;
        let options = body.get("schemaUpdateOptions").and_then(Value::as_array);
        let has = |name: &str| options.is_some_and(|options| options.iter().any(|o| o == name));
        let schema = body
            .get("schema")
            .filter(|schema| !schema.is_null())
            .map(schema::from_json)
            .transpose()?;
        let (additions, relaxations) = (has("ALLOW_FIELD_ADDITION"), has("ALLOW_FIELD_RELAXATION"));
        if (additions || relaxations) && matches!(write, Write::Truncate | Write::Empty) {
            return Err(ApiError::invalid(
                "Schema update options should only be specified with WRITE_APPEND disposition, or with WRITE_TRUNCATE disposition on a table partition.",
            ));
        }
        let max_bad = int64(
            body.get("maxBadRecords").unwrap_or(&Value::Null),
            "maxBadRecords",
        )?;
        Ok(LoadJob {
            destination,
            schema,
            write,
            may_create: may_create(body)?,
            additions,
            relaxations,
            max_bad: max_bad.and_then(|max| max.try_into().ok()).unwrap_or(0),
            ignore_unknown: body.get("ignoreUnknownValues") == Some(&Value::Bool(true)),
            body: body.clone(),
            data,
        })
    }

    /// Carries the job out.
    pub(crate) fn run(self, bigquery: &BigQuery) -> Outcome {
        let bytes = self.data.len();
        if bigquery.options.drain {
            return self.drain(bigquery, bytes);
        }
        let unzipped;
        let data: &[u8] = if self.data.starts_with(&[0x1f, 0x8b]) {
            match unzip(&self.data) {
                Ok(data) => unzipped = data,
                Err(error) => return Outcome::failed(error),
            }
            &unzipped
        } else {
            &self.data
        };
        for _ in 0..ATTEMPTS {
            match self.attempt(bigquery, data, bytes) {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => return Outcome::failed(error),
            }
        }
        Outcome::failed(ApiError::new(
            503,
            "backendError",
            "The table was changed too often during the load. Retrying the job may solve the problem.",
        ))
    }

    /// Counts the bytes and drops them; how many rows they are nobody says.
    fn drain(&self, bigquery: &BigQuery, bytes: usize) -> Outcome {
        if let Err(error) = self.existing(&bigquery.store()) {
            return Outcome::failed(error);
        }
        bigquery.tally(&self.destination, 0, 0, bytes);
        let mut outcome = Outcome::default();
        let statistics = json!({"inputFiles": "1", "inputFileBytes": bytes.to_string()});
        if let Value::Object(statistics) = statistics {
            outcome.statistics = statistics;
        }
        outcome
    }

    /// Rows are read without holding the store; `None` if the table was changed meanwhile.
    fn attempt(
        &self,
        bigquery: &BigQuery,
        data: &[u8],
        bytes: usize,
    ) -> Result<Option<Outcome>, ApiError> {
        let seen = self.existing(&bigquery.store())?;
        let planned = self.plan(seen.as_ref())?;
        let (rows, flaws) = self.read(bigquery, data, &planned.columns);
        if flaws.len() > self.max_bad {
            bigquery.tally(&self.destination, 0, flaws.len(), bytes);
            return Ok(Some(too_many_flaws(rows.len(), &flaws)));
        }
        let now_ms = bigquery.now_ms();
        let mut store = bigquery.store();
        let mark = |table: &Table| (table.record.id, table.record.revision);
        if self.existing(&store)?.as_ref().map(mark) != seen.as_ref().map(mark) {
            return Ok(None);
        }
        let output_bytes = encode::rows_bytes(&rows);
        let statistics = json!({
            "inputFiles": "1", "inputFileBytes": bytes.to_string(),
            "outputRows": rows.len().to_string(), "outputBytes": output_bytes.to_string(),
            "badRecords": flaws.len().to_string(),
        });
        let loaded = rows.len();
        self.apply(&mut store, planned, seen.is_some(), rows, now_ms)?;
        drop(store);
        bigquery.tally(&self.destination, loaded, flaws.len(), bytes);
        let mut outcome = Outcome::default();
        if let Value::Object(statistics) = statistics {
            outcome.statistics = statistics;
        }
        outcome.errors = flaws.iter().take(FLAWS_SHOWN).map(row_error).collect();
        Ok(Some(outcome))
    }

    /// The table without its rows, after everything was checked that its state decides.
    fn existing(&self, store: &Store) -> Result<Option<Table>, ApiError> {
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
            return Ok(None);
        };
        store
            .access
            .require("bigquery.tables.updateData", Resource::Table(name))?;
        if self.write == Write::Empty && !table.rows.is_empty() {
            return Err(ApiError::duplicate(format!("Table {name}")));
        }
        Ok(Some(table.metadata()))
    }

    /// The table that there is to be.
    fn plan(&self, seen: Option<&Table>) -> Result<Table, ApiError> {
        let no_schema = || ApiError::invalid("No schema specified on job or table.");
        let Some(seen) = seen else {
            let mut table = Table::new(self.schema.clone().ok_or_else(no_schema)?);
            self.shape(&mut table)?;
            return Ok(table);
        };
        let mut table = seen.metadata();
        match &self.schema {
            Some(schema) if self.write == Write::Truncate => {
                table.columns = schema.clone();
                table.primary_key.clear();
            }
            Some(schema) if table.columns.is_empty() => table.columns = schema.clone(),
            Some(schema) => {
                let allowed = Allowed {
                    additions: self.additions,
                    relaxations: self.relaxations,
                    omissions: true,
                };
                let name = self.destination.to_string();
                table.columns = schema::evolve(&table.columns, schema, allowed, &name)?;
            }
            None if table.columns.is_empty() => return Err(no_schema()),
            None => {}
        }
        let asked = table_body::partitioning(&self.body, &table.columns)?;
        if asked.is_some() && !same_partitioning(asked.as_ref(), table.partitioning.as_ref()) {
            return Err(ApiError::invalid(
                "Incompatible table partitioning specification.",
            ));
        }
        Ok(table)
    }

    /// What the job says of a table that it makes.
    fn shape(&self, table: &mut Table) -> Result<(), ApiError> {
        table.partitioning = table_body::partitioning(&self.body, &table.columns)?;
        if let Some(clustering) = self.body.get("clustering").filter(|value| !value.is_null()) {
            table.clustering = table_body::clustering(clustering, &table.columns)?;
        }
        if let Some(properties) = self.body.get("destinationTableProperties") {
            table.description = properties["description"].as_str().map(str::to_owned);
            table.record.friendly_name = properties["friendlyName"].as_str().map(str::to_owned);
            table.labels = table_body::labels(properties.get("labels"))?;
        }
        Ok(())
    }

    fn read(
        &self,
        bigquery: &BigQuery,
        data: &[u8],
        columns: &[Column],
    ) -> (Vec<Row>, Vec<(usize, Flaw)>) {
        let decoder = Decoder {
            json: JsonForm::Bare,
            ignore_unknown: self.ignore_unknown,
            excess: bigquery.excess(),
        };
        let mut rows = Vec::new();
        let mut flaws = Vec::new();
        let mut position = 0;
        for line in data.split(|byte| *byte == b'\n') {
            let start = position;
            position += line.len() + 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let row = if line.len() > bigquery.options.load_row_bytes {
                Err(Flaw {
                    location: String::new(),
                    message: "Row size is larger than the limit.".to_owned(),
                })
            } else {
                match std::str::from_utf8(line) {
                    Ok(text) => decoder.row(text, columns),
                    Err(_) => Err(Flaw {
                        location: String::new(),
                        message: "Invalid UTF-8.".to_owned(),
                    }),
                }
            };
            match row {
                Ok(values) => rows.push(Row::new(values)),
                Err(flaw) => flaws.push((start, flaw)),
            }
        }
        (rows, flaws)
    }

    fn apply(
        &self,
        store: &mut Store,
        planned: Table,
        exists: bool,
        rows: Vec<Row>,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        if !exists {
            store.put_table(&self.destination, planned, now_ms)?;
            store.table_mut(&self.destination)?.rows = rows;
            return Ok(());
        }
        let table = store.table_mut(&self.destination)?;
        if table.columns != planned.columns {
            table.take_metadata(planned);
            table.record.revision += 1;
        }
        table.record.modified_ms = now_ms;
        match self.write {
            Write::Append | Write::Empty if !table.rows.is_empty() => table.rows.extend(rows),
            _ => table.rows = rows,
        }
        store.writes.rows_moved(&self.destination);
        Ok(())
    }
}

/// Whether a job asks for the partitions that a table has; how long they live is not compared.
fn same_partitioning(asked: Option<&Partitioning>, present: Option<&Partitioning>) -> bool {
    match (asked, present) {
        (
            Some(Partitioning::Time { unit, column, .. }),
            Some(Partitioning::Time {
                unit: present_unit,
                column: present_column,
                ..
            }),
        ) => unit == present_unit && column == present_column,
        (asked, present) => asked == present,
    }
}

fn too_many_flaws(good: usize, flaws: &[(usize, Flaw)]) -> Outcome {
    let rows = good + flaws.len();
    let error = ApiError::invalid(format!(
        "Error while reading data, error message: JSON table encountered too many errors, giving up. Rows: {rows}; errors: {}. Please look into the errors[] collection for more details.",
        flaws.len()
    ));
    Outcome {
        error: Some(error),
        errors: flaws.iter().take(FLAWS_SHOWN).map(row_error).collect(),
        ..Outcome::default()
    }
}

fn row_error((position, flaw): &(usize, Flaw)) -> ApiError {
    ApiError::invalid(format!(
        "Error while reading data, error message: JSON parsing error in row starting at position {position}: {}",
        flaw.message
    ))
}
