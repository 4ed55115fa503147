//! Load jobs into staging tables: a table of its own for each file, so that the limit of jobs for each
//! table and day is never met, and rows that BigQuery refuses after all.

use serde_json::{Value, json};
use singer_core::{Error, Result};

use super::rows::File;
use crate::api::{Job, Submission};
use crate::encode::ExtraKind;
use crate::job::Ended;
use crate::model::{Field, Mode};
use crate::place::Place;
use crate::shape::Shape;
use crate::sql;
use crate::stream::Inner;
use crate::table::{Ready, extra_field};

/// How long a staging table lives that nobody deletes, because its run died.
const LIFETIME_MILLISECONDS: i64 = 24 * 3600 * 1000;

/// A staging table and the columns in it.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) place: Place,
    pub(super) path: String,
    /// The columns of the table that the file has values for.
    pub(super) columns: Vec<sql::Written>,
}

/// What came of loading a file.
#[derive(Debug)]
pub(super) enum Loaded {
    /// All of it is in the staging table.
    All,
    /// BigQuery refuses some rows and names them by their place in the batch.
    Named(Vec<(u32, String, String)>),
    /// BigQuery refuses some rows and does not say which.
    Unnamed(String, String),
}

impl Staging {
    /// The staging table for a file; nothing is created yet.
    pub(super) fn new(
        inner: &Inner,
        shape: &Shape,
        ready: &Ready,
        file: &File,
        name: &str,
    ) -> Self {
        let table: String = ready.place.table.chars().take(200).collect();
        let place = ready.place.beside(format!("{table}__stg_{name}"));
        let own = ready
            .columns
            .iter()
            .enumerate()
            .filter(|(number, _)| file.present.get(*number).copied().unwrap_or_default())
            .map(|(number, column)| sql::Written {
                name: column.field.name.clone(),
                missing: file
                    .lacking
                    .get(number)
                    .copied()
                    .unwrap_or_default()
                    .then_some(number),
            });
        let added = shape.spec.extras.iter().map(|(name, _)| sql::Written {
            name: (*name).to_owned(),
            missing: None,
        });
        Self {
            path: sql::path(inner.warehouse.api.project(), &place),
            place,
            columns: own.chain(added).collect(),
        }
    }

    /// Its fields: those of the table, any of which may be null here, and what a MERGE needs besides.
    fn fields(&self, shape: &Shape, ready: &Ready) -> Vec<Field> {
        let mut fields: Vec<Field> = ready
            .columns
            .iter()
            .filter(|column| self.columns.iter().any(|own| own.name == column.field.name))
            .map(|column| bare(&column.field))
            .collect();
        fields.extend(
            shape
                .spec
                .extras
                .iter()
                .map(|(name, kind)| extra_field(name, *kind)),
        );
        if shape.merges() {
            fields.push(extra_field(sql::ROW, ExtraKind::Integer));
            fields.push(extra_field(sql::MISSING, ExtraKind::Text));
        }
        fields
    }

    /// Creates the table, which goes by itself after a day, and loads the file into it.
    pub(super) async fn load(
        &self,
        inner: &Inner,
        shape: &Shape,
        ready: &Ready,
        file: &File,
        base: &str,
    ) -> Result<Loaded> {
        let warehouse = &inner.warehouse;
        let what = format!("cannot create the staging table `{}`", self.place);
        let fields = self.fields(shape, ready);
        let expiration = warehouse.context.now().timestamp_millis() + LIFETIME_MILLISECONDS;
        let body = json!({
            "schema": {"fields": fields},
            "expirationTime": expiration.to_string(),
            "description": format!("rows on their way to {}; may be deleted", ready.place.table),
            "labels": {"loader": "target-bigquery"},
        });
        let created = warehouse
            .api
            .create_table(&self.place.dataset, &self.place.table, body)
            .await;
        created.map_err(|fault| {
            crate::warehouse::lacks(
                fault,
                &what,
                "bigquery.tables.create",
                "roles/bigquery.dataEditor",
            )
        })?;
        let submission = Submission {
            configuration: json!({
                "load": {
                    "destinationTable": reference(warehouse.api.project(), &self.place),
                    "sourceFormat": "NEWLINE_DELIMITED_JSON",
                    "writeDisposition": "WRITE_APPEND",
                    "createDisposition": "CREATE_IF_NEEDED",
                    "schema": {"fields": fields},
                    "maxBadRecords": 0,
                    "ignoreUnknownValues": false,
                },
                "labels": {"loader": "target-bigquery"},
            }),
            data: Some(file.data.clone()),
        };
        let what = format!("cannot load rows into `{}`", self.place);
        let ended = warehouse
            .jobs
            .run(base, ready.location.as_deref(), &submission)
            .await;
        let ended = ended.map_err(|fault| {
            crate::warehouse::lacks(
                fault,
                &what,
                "bigquery.jobs.create",
                "roles/bigquery.jobUser",
            )
        })?;
        if let Ended::Failed(job) = &ended
            && let Some(refused) = &job.failure
            && refused.reason == "invalid"
        {
            return Ok(blame(job, file));
        }
        let job = ended.done(&what)?;
        self.count(&job, file).map(|()| Loaded::All)
    }

    /// Compares what arrived with what was sent.
    fn count(&self, job: &Job, file: &File) -> Result<()> {
        match job.output_rows() {
            Some(rows) if rows != file.rows.len() as u64 => Err(Error::protocol(format!(
                "the job `{}` loaded {rows} rows into `{}`, and {} were sent",
                job.id,
                self.place,
                file.rows.len()
            ))
            .with_hint("nothing was written to the table; run again")),
            _ => Ok(()),
        }
    }

    /// Deletes the table. If that fails it goes by itself.
    pub(super) async fn delete(&self, inner: &Inner) {
        let api = &inner.warehouse.api;
        if let Err(fault) = api
            .delete_table(&self.place.dataset, &self.place.table)
            .await
        {
            let error = fault.error("cannot delete a staging table");
            tracing::warn!(table = %self.place, %error, "the staging table is left; it goes within a day");
        }
    }
}

/// A table as jobs name it.
pub(crate) fn reference(project: &str, place: &Place) -> Value {
    json!({"projectId": project, "datasetId": place.dataset, "tableId": place.table})
}

/// A field without what only the table itself is to enforce.
fn bare(field: &Field) -> Field {
    let mut bare = field.clone();
    if bare.mode == Mode::Required {
        bare.mode = Mode::Nullable;
    }
    bare.other = serde_json::Map::new();
    bare.description = None;
    bare.fields = field.fields.iter().map(bare_inside).collect();
    bare
}

fn bare_inside(field: &Field) -> Field {
    bare(field)
}

/// Which rows a failed job blames. It names them by where in the text they begin.
fn blame(job: &Job, file: &File) -> Loaded {
    let mut named: Vec<(u32, String, String)> = Vec::new();
    for fault in &job.faults {
        let place = position(&fault.raw)
            .or_else(|| position(&fault.location))
            .and_then(|offset| file.row_at(offset));
        if let Some(row) = place
            && named.iter().all(|(known, ..)| *known != row)
        {
            named.push((row, fault.reason.clone(), fault.message.clone()));
        }
    }
    if !named.is_empty() {
        return Loaded::Named(named);
    }
    let refused = job.failure.as_ref();
    Loaded::Unnamed(
        refused.map(|it| it.reason.clone()).unwrap_or_default(),
        refused.map(|it| it.message.clone()).unwrap_or_default(),
    )
}

/// The number after `position` in BigQuery's words: `… row starting at position 42: …`.
fn position(words: &str) -> Option<u64> {
    let (_, after) = words.split_once("position ")?;
    let digits: String = after
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_in_words() {
        let words = "Error while reading data, error message: JSON parsing error in row starting at position 42: No such field: x.";
        assert_eq!(position(words), Some(42));
        assert_eq!(position("no place"), None);
    }
}
