//! One stream: its plan, and where its batches go.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use singer_core::{Error, Result};
use singer_runtime::target::{Batch, Limits, Outcome, Problem, Stream, StreamPlan, Writer};
use tokio::sync::OnceCell;
use zoho::crm::Spend;

use crate::before::Before;
use crate::chunk;
use crate::config::{Chosen, OnDelete};
use crate::home::Home;
use crate::jobs::Jobs;
use crate::journal::Journal;
use crate::model::job_request;
use crate::rows::{self, Written};
use crate::shape::{Meeting, Shape};

/// How long a record waits for its batch to fill: each batch is a job, and each job costs the same.
const BATCH_AGE: Duration = Duration::from_secs(300);

/// Rows that `--dry-run` shows.
const SHOWN_ROWS: usize = 5;

/// Characters of a request that `--dry-run` shows.
const SHOWN: usize = 2_500;

/// Writes one stream.
#[derive(Debug)]
pub struct StreamWriter {
    home: Arc<Home>,
    stream: Arc<Stream>,
    plan: StreamPlan,
    /// `None` if the plan has problems.
    shape: Option<Arc<Shape>>,
    /// What earlier runs left of inserts.
    before: OnceCell<Before>,
    /// Whether it was said that deletions do nothing.
    is_told: AtomicBool,
}

impl StreamWriter {
    /// Plans a stream; reads what it must know, writes nothing.
    pub(crate) async fn open(home: Arc<Home>, stream: Arc<Stream>) -> Result<Self> {
        let chosen = home.config.stream(&stream.name);
        let module = chosen.module.clone();
        let module = module.unwrap_or_else(|| stream.name.clone());
        let mut plan = StreamPlan {
            destination: format!("module `{module}`, {}", chosen.operation.word()),
            ..StreamPlan::default()
        };
        let planned = plan_shape(&home, &stream, &chosen, &module).await?;
        let shape = match planned {
            Ok(shape) => Some(Arc::new(shape)),
            Err(problems) => {
                plan.problems = problems;
                None
            }
        };
        if let Some(shape) = &shape {
            describe(&home, shape, &mut plan);
        }
        Ok(Self {
            home,
            stream,
            plan,
            shape,
            before: OnceCell::new(),
            is_told: AtomicBool::new(false),
        })
    }

    fn shape(&self) -> Result<&Arc<Shape>> {
        self.shape.as_ref().ok_or_else(|| {
            Error::internal(format!("the stream `{}` has problems", self.stream.name))
        })
    }

    /// The journal, if asking twice would insert rows twice.
    async fn journal(&self, shape: &Shape) -> Result<Option<&Journal>> {
        if shape.doubles() {
            return self.home.journal().await;
        }
        Ok(None)
    }

    /// What earlier runs left, found out once.
    async fn before(&self, shape: &Shape, journal: &Journal) -> Result<&Before> {
        self.before
            .get_or_try_init(|| Before::resolve(&self.home, shape, journal))
            .await
    }

    async fn send(&self, batch: &Arc<Batch>) -> Result<Written> {
        let shape = self.shape()?;
        let journal = self.journal(shape).await?;
        let known = match journal {
            Some(journal) => {
                let before = self.before(shape, journal).await?;
                before.recognize(&self.home, shape, journal, batch).await?
            }
            None => HashSet::new(),
        };
        let parted = rows::parted(shape, batch, |row, _| known.contains(&row));
        let mut jobs = Jobs {
            home: &self.home,
            shape,
            batch,
            journal,
            written: Written::default(),
        };
        jobs.written.unchanged += known.len() as u64 + parted.deleted;
        if parted.deleted > 0 {
            self.tell_of_deletions();
        }
        for (row, error) in parted.refused {
            jobs.written.refuse_row(row, error);
        }
        for part in parted.parts {
            jobs.write(part).await?;
        }
        Ok(jobs.written)
    }

    /// Says once that nothing is deleted.
    fn tell_of_deletions(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                stream = self.stream.name,
                "records vanished at the source; Bulk Write deletes nothing, and they stay in the CRM (`on_delete` `flag` marks those that come with `_sdc_deleted_at`)"
            );
        }
    }
}

/// The shape of a stream, or what stands against it.
async fn plan_shape(
    home: &Home,
    stream: &Stream,
    chosen: &Chosen,
    module: &str,
) -> Result<Result<Shape, Vec<Problem>>> {
    let Some(fields) = home.fields(module).await? else {
        return Ok(Err(vec![Problem {
            kind: "module empty",
            message: format!("the service tells no field of the module `{module}`"),
            hint: Some("`module` takes the API name of a module, which may be none of Users, Attachments, Notes, Events and Calls".to_owned()),
        }]));
    };
    Ok(Shape::new(Meeting {
        stream,
        chosen,
        module,
        fields: &fields,
        zone: home.zone().await?,
    }))
}

/// What is done, into the plan.
fn describe(home: &Home, shape: &Shape, plan: &mut StreamPlan) {
    plan.notes.clone_from(&shape.notes);
    if let Some(find_by) = &shape.find_by {
        plan.notes.push(format!("records are found by `{find_by}`"));
    }
    if shape.doubles() {
        plan.notes.push(
            "each row is a new record; with `find_by` those that exist would be left as they are"
                .to_owned(),
        );
    }
    if shape.deleted.is_some() && shape.on_delete == OnDelete::Ignore {
        plan.notes.push(
            "rows with `_sdc_deleted_at` are not sent: Bulk Write deletes nothing".to_owned(),
        );
    }
    if home.context.dry_run() {
        plan.cost = Some(json!({
            "unit": "API credits",
            "job": Spend::BulkWrite.cost(),
            "rows_of_a_job": shape.chunk_records,
            "question_upload_or_download": Spend::Poll.cost(),
            "left": home.api.crm().credits().remaining(),
            "note": "a job costs the same whatever its rows: below 5000 rows the records API, at a credit for ten rows, costs less",
        }));
    }
}

impl Writer for StreamWriter {
    fn plan(&self) -> StreamPlan {
        self.plan.clone()
    }

    fn key(&self) -> Vec<usize> {
        self.shape
            .as_ref()
            .map(|shape| shape.identity.clone())
            .unwrap_or_default()
    }

    fn limits(&self) -> Limits {
        let rows = self.shape.as_ref().map(|shape| shape.chunk_records);
        Limits {
            max_records: rows.unwrap_or(1).max(1),
            max_bytes: self.home.config.batch_bytes,
            max_age: BATCH_AGE,
        }
    }

    fn cuts_at_states(&self) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.doubles())
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let shape = self.shape()?;
        for note in &shape.notes {
            tracing::warn!(stream = self.stream.name, "{note}");
        }
        self.home.organisation().await?;
        if let Some(journal) = self.journal(shape).await? {
            self.before(shape, journal).await?;
        }
        Ok(())
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let before = self.home.api.traffic();
        let written = self.send(&batch).await?;
        let after = self.home.api.traffic();
        Ok(written.outcome((after.0 - before.0, after.1 - before.1)))
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        let Ok(shape) = self.shape() else {
            return Vec::new();
        };
        preview(&self.home, shape, batch)
    }

    async fn activate_version(&self, _: i64, _: Option<u64>) -> anyhow::Result<Outcome> {
        self.tell_of_deletions();
        Ok(Outcome::default())
    }
}

/// The requests for a batch.
fn preview(home: &Home, shape: &Shape, batch: &Batch) -> Vec<String> {
    let parted = rows::parted(shape, batch, |_, _| false);
    let base = home.api.crm().api().url(&[]).map_or_else(
        |_| String::new(),
        |url| url.as_str().trim_end_matches('/').to_owned(),
    );
    let mut requests = Vec::new();
    for part in &parted.parts {
        let some: Vec<u32> = part.rows.iter().take(SHOWN_ROWS).copied().collect();
        let lines = chunk::preview(shape, batch, &some, &part.columns);
        requests.push(format!(
            "POST {{upload}}/crm/v8/upload\n{}-….zip with {} rows, the first of them:\n{}",
            shape.module,
            part.rows.len(),
            lines.trim_end()
        ));
        let file = ("…", "….csv");
        let job = job_request(shape, &part.columns, file, home.callback_url());
        requests.push(format!("POST {base}/crm/bulk/v8/write\n{job}"));
    }
    requests
        .into_iter()
        .map(|request| request.chars().take(SHOWN).collect())
        .collect()
}

#[cfg(test)]
mod tests;
