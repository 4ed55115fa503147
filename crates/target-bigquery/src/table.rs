//! Tables: created, and brought to what a stream needs.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use singer_core::{Error, Result};
use singer_net::{Backoff, backoff};
use singer_runtime::target::Problem;

use crate::api::Table;
use crate::config::PartitionBy;
use crate::encode::ExtraKind;
use crate::job::Ended;
use crate::model::{Field, Kind};
use crate::names::same_column;
use crate::place::Place;
use crate::schema::{Changes, Column, CompareOptions, OnConflict, compare, sql_type};
use crate::shape::Shape;
use crate::sql;
use crate::warehouse::{Warehouse, lacks};

/// How often a change is tried again because somebody else has changed the table meanwhile.
const ROUNDS: u32 = 5;

const EDITOR: &str = "roles/bigquery.dataEditor";

/// What a stream needs of its table, whatever that is called.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The stream's columns.
    pub wanted: Vec<Column>,
    /// Columns that the target adds.
    pub extras: Vec<(&'static str, ExtraKind)>,
    /// The columns that identify a row.
    pub keys: Vec<String>,
    /// Whether the table must say what its key is.
    pub needs_key: bool,
    /// How a new table is partitioned, with the name of the column.
    pub partition: Option<(PartitionBy, String)>,
    /// By what a new table is clustered.
    pub cluster: Vec<String>,
    /// How old what queries see may be, in seconds.
    pub max_staleness: Option<u64>,
    /// What becomes of types that do not fit.
    pub on_conflict: OnConflict,
    /// Whether the schema is guessed.
    pub guessed: bool,
}

/// A table that takes the rows of a stream.
#[derive(Debug)]
pub struct Ready {
    /// Its name.
    pub place: Place,
    /// Its path in statements.
    pub path: String,
    /// Where its jobs run.
    pub location: Option<String>,
    /// What is written where.
    pub columns: Arc<Vec<Column>>,
    /// The column that it is partitioned by.
    pub partitioned_by: Option<String>,
    /// Whether it was created just now.
    pub is_new: bool,
    /// Whether it had to be changed.
    pub was_changed: bool,
}

impl Ready {
    /// The table as it would be if it were created now, for `--dry-run`.
    pub(crate) fn planned(warehouse: &Warehouse, shape: &Shape, place: &Place) -> Self {
        shape.spec.new_table(warehouse, place, None)
    }
}

/// What a table lacks, found without changing it.
#[derive(Debug)]
pub enum Found {
    /// There is none.
    Missing,
    /// There is one, and so it differs.
    Table(Box<Table>, Box<Changes>),
    /// What is there is no table.
    View(String),
}

impl TableSpec {
    /// Looks at a table; changes nothing.
    pub async fn look(&self, warehouse: &Warehouse, place: &Place) -> Result<Found> {
        let what = format!("cannot read the table `{place}`");
        let table = warehouse.api.table(&place.dataset, &place.table).await;
        let table = table.map_err(|fault| lacks(fault, &what, "bigquery.tables.get", EDITOR))?;
        let Some(table) = table else {
            return Ok(Found::Missing);
        };
        if table.kind != "TABLE" {
            return Ok(Found::View(table.kind));
        }
        let extras: Vec<&str> = self.extras.iter().map(|(name, _)| *name).collect();
        let options = CompareOptions {
            on_conflict: self.on_conflict,
            extras: &extras,
            guessed: self.guessed,
            ..CompareOptions::default()
        };
        let mut changes = compare(&self.wanted, &table.fields, &options);
        for (name, kind) in &self.extras {
            let found = changes
                .schema
                .iter()
                .find(|field| same_column(&field.name, name));
            let wanted = extra_field(name, *kind);
            match found {
                None => {
                    changes.add.push(((*name).to_owned(), wanted.clone()));
                    changes.schema.push(wanted);
                }
                Some(found) if found.kind == wanted.kind => {}
                Some(found) => changes.problems.push(Problem {
                    kind: "type conflict",
                    message: format!(
                        "the column `{name}` is {}, and this target writes {} there",
                        found.kind.word(),
                        wanted.kind.word()
                    ),
                    hint: Some("rename or drop that column".to_owned()),
                }),
            }
        }
        Ok(Found::Table(Box::new(table), Box::new(changes)))
    }

    /// Brings a table to what the stream needs, and says what is written where.
    pub async fn ensure(&self, warehouse: &Warehouse, place: &Place) -> Result<Ready> {
        let location = warehouse.location(&place.dataset).await?;
        for round in 0..ROUNDS {
            // A table that was made just now may not be seen for seconds.
            if round > 0 {
                let wait = Backoff::default().wait(round, None, backoff::chance());
                tokio::time::sleep(wait).await;
            }
            match self.look(warehouse, place).await? {
                Found::View(kind) => return Err(no_table(place, &kind)),
                // What is new has no surprises; asking for it may fail for seconds.
                Found::Missing if self.create(warehouse, place, self.body()).await? => {
                    return Ok(self.new_table(warehouse, place, location));
                }
                Found::Missing => {}
                Found::Table(table, changes) => {
                    if let Some(problem) = changes.problems.first() {
                        return Err(as_error(place, problem));
                    }
                    let is_whole = self
                        .change(warehouse, place, location.as_deref(), &table, &changes)
                        .await?;
                    if is_whole {
                        return Ok(self.ready(warehouse, place, location, &table, *changes));
                    }
                }
            }
        }
        Err(Error::transient(format!(
            "the table `{place}` was changed by somebody else each time that it was to be changed here"
        )))
    }

    fn new_table(&self, warehouse: &Warehouse, place: &Place, location: Option<String>) -> Ready {
        Ready {
            path: sql::path(warehouse.api.project(), place),
            place: place.clone(),
            location,
            columns: Arc::new(self.wanted.clone()),
            partitioned_by: self.partition.as_ref().map(|(_, column)| column.clone()),
            is_new: true,
            was_changed: false,
        }
    }

    /// Creates a table. One that somebody else has created meanwhile is looked at again.
    pub async fn create(&self, warehouse: &Warehouse, place: &Place, body: Value) -> Result<bool> {
        let what = format!("cannot create the table `{place}`");
        let created = warehouse
            .api
            .create_table(&place.dataset, &place.table, body)
            .await;
        let created =
            created.map_err(|fault| lacks(fault, &what, "bigquery.tables.create", EDITOR))?;
        if created {
            tracing::info!(table = %place, columns = self.wanted.len(), "created the table");
        }
        Ok(created)
    }

    /// What a new table is made of.
    pub fn body(&self) -> Value {
        let mut fields: Vec<Field> = self
            .wanted
            .iter()
            .map(|column| column.field.clone())
            .collect();
        fields.extend(
            self.extras
                .iter()
                .map(|(name, kind)| extra_field(name, *kind)),
        );
        let mut body = json!({
            "schema": {"fields": fields},
            "labels": {"loader": "target-bigquery"},
        });
        if let Some((partition, column)) = &self.partition {
            let (key, value) = partition.table_key(column);
            body[key] = value;
        }
        if !self.cluster.is_empty() {
            body["clustering"] = json!({"fields": self.cluster});
        }
        if !self.keys.is_empty() {
            body["tableConstraints"] = json!({"primaryKey": {"columns": self.keys}});
        }
        if let Some(seconds) = self.max_staleness {
            body["maxStaleness"] = json!(interval(seconds));
        }
        body
    }

    /// Makes the changes; whether there was nothing (more) to change.
    async fn change(
        &self,
        warehouse: &Warehouse,
        place: &Place,
        location: Option<&str>,
        table: &Table,
        changes: &Changes,
    ) -> Result<bool> {
        let mut body = Map::new();
        if !changes.add.is_empty() || !changes.relax.is_empty() {
            body.insert("schema".to_owned(), json!({"fields": changes.schema}));
        }
        if self.needs_key && table.primary_key.is_empty() {
            let key = json!({"primaryKey": {"columns": self.keys}});
            body.insert("tableConstraints".to_owned(), key);
        }
        if self.needs_key && !table.primary_key.is_empty() && !self.is_key(&table.primary_key) {
            return Err(Error::rejected(format!(
                "the primary key of the table `{place}` is `{}`, and that of the stream `{}`",
                table.primary_key.join(", "),
                self.keys.join(", ")
            ))
            .with_hint("changes find their rows by the table's key: make the two equal"));
        }
        if !body.is_empty() {
            let what = format!("cannot change the table `{place}`");
            let patched = warehouse
                .api
                .patch_table(
                    &place.dataset,
                    &place.table,
                    &Value::Object(body),
                    table.etag.as_deref(),
                )
                .await;
            match patched {
                Err(fault) if fault.is("conditionNotMet") => return Ok(false),
                Err(fault) => return Err(lacks(fault, &what, "bigquery.tables.update", EDITOR)),
                Ok(()) => {}
            }
            for (column, field) in &changes.add {
                tracing::info!(table = %place, column, r#type = field.kind.word(), "added the column");
            }
            for column in &changes.relax {
                tracing::info!(table = %place, column, "the column may be null from now on");
            }
        }
        for widening in &changes.widen {
            self.widen(warehouse, place, location, &widening.path, &widening.to)
                .await?;
        }
        Ok(true)
    }

    async fn widen(
        &self,
        warehouse: &Warehouse,
        place: &Place,
        location: Option<&str>,
        column: &str,
        to: &Field,
    ) -> Result<()> {
        let wanted = sql_type(to);
        let what = format!("cannot make the column `{column}` of `{place}` {wanted}");
        let path = sql::path(warehouse.api.project(), place);
        let statement = sql::set_data_type(&path, column, &wanted);
        // The run's id keeps this change apart from an equal one of another day.
        let base = crate::job_base(warehouse, place, &["widen", column, &wanted]);
        let submission = warehouse.jobs.statement(&statement);
        let ended = warehouse.jobs.run(&base, location, &submission).await;
        let ended = ended.map_err(|fault| lacks(fault, &what, "bigquery.tables.update", EDITOR))?;
        if let Ended::Failed(job) = &ended
            && let Some(refused) = &job.failure
        {
            return Err(refused.error(&what));
        }
        tracing::info!(table = %place, column, r#type = wanted, "widened the column");
        Ok(())
    }

    fn is_key(&self, columns: &[String]) -> bool {
        columns.len() == self.keys.len()
            && columns
                .iter()
                .all(|column| self.keys.iter().any(|key| same_column(key, column)))
    }

    fn ready(
        &self,
        warehouse: &Warehouse,
        place: &Place,
        location: Option<String>,
        table: &Table,
        changes: Changes,
    ) -> Ready {
        let was_changed = !changes.is_empty();
        let mut columns = changes.columns;
        for widening in &changes.widen {
            let column = columns
                .iter_mut()
                .find(|column| same_column(&column.field.name, &widening.path));
            if let Some(column) = column {
                column.field = widening.to.clone();
            }
        }
        Ready {
            path: sql::path(warehouse.api.project(), place),
            place: place.clone(),
            location,
            columns: Arc::new(columns),
            partitioned_by: table.partitioned_by.clone(),
            is_new: false,
            was_changed,
        }
    }
}

/// A column that the target adds.
pub fn extra_field(name: &str, kind: ExtraKind) -> Field {
    Field::new(
        name,
        match kind {
            ExtraKind::Bool => Kind::Boolean,
            ExtraKind::Integer => Kind::Integer,
            ExtraKind::Text => Kind::String,
            ExtraKind::Timestamp => Kind::Timestamp,
        },
    )
}

/// What stands where a table should be.
pub fn no_table(place: &Place, kind: &str) -> Error {
    Error::rejected(format!(
        "`{place}` is no table but a {}",
        kind.to_lowercase()
    ))
    .with_hint("set `table` to another name")
}

fn as_error(place: &Place, problem: &Problem) -> Error {
    let error = Error::rejected(format!(
        "table `{place}`: {}: {}",
        problem.kind, problem.message
    ));
    match &problem.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A span of time as BigQuery writes it: `0-0 0 0:10:0`.
fn interval(seconds: u64) -> String {
    format!(
        "0-0 0 {}:{}:{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_has_all_that_the_config_says() {
        let spec = TableSpec {
            wanted: vec![Column::new("id", 0, Field::new("id", Kind::Integer))],
            extras: vec![(sql::TABLE_VERSION, ExtraKind::Integer)],
            keys: vec!["id".to_owned()],
            needs_key: true,
            partition: serde_json::from_value(
                json!({"field": "at", "type": "month", "expiration_days": 90}),
            )
            .ok()
            .map(|partition: PartitionBy| (partition, "at".to_owned())),
            cluster: vec!["id".to_owned()],
            max_staleness: Some(600),
            on_conflict: OnConflict::Error,
            guessed: false,
        };
        let body = spec.body();
        assert_eq!(
            body["timePartitioning"],
            json!({"type": "MONTH", "field": "at", "expirationMs": "7776000000"})
        );
        assert_eq!(body["clustering"], json!({"fields": ["id"]}));
        assert_eq!(
            body["tableConstraints"],
            json!({"primaryKey": {"columns": ["id"]}})
        );
        assert_eq!(body["maxStaleness"], "0-0 0 0:10:0");
        assert_eq!(body["schema"]["fields"][1]["name"], "_sdc_table_version");
    }
}
