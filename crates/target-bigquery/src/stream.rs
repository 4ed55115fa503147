//! One stream: its plan, where its batches go, and what becomes of rows that vanished.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use singer_core::Result;
use singer_runtime::target::{
    Batch, Limits, Outcome, Problem, Replaces, Stream, StreamPlan, Writer,
};
use tokio::sync::OnceCell;

use crate::config::{Method, Mode};
use crate::journal::Journal;
use crate::place::Place;
use crate::shape::Shape;
use crate::sql;
use crate::storage::BoxFuture;
use crate::table::{Found, Ready};
use crate::warehouse::Warehouse;
use crate::write;
use crate::{dedupe, replace};

const LOAD_BATCH_RECORDS: usize = 500_000;

/// How long a record waits for its batch to fill: each load job takes seconds and counts.
const LOAD_BATCH_AGE: Duration = Duration::from_secs(60);

/// With the Storage Write API rows are seen at once, so that they wait less.
const APPEND_BATCH_BYTES: usize = 8 << 20;
const APPEND_BATCH_AGE: Duration = Duration::from_secs(10);

/// How much of a body `--dry-run` shows.
const PREVIEW_BYTES: usize = 1_500;

/// Writes one stream.
#[derive(Debug)]
pub struct StreamWriter {
    inner: Arc<Inner>,
}

/// What the tasks of a stream share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) warehouse: Arc<Warehouse>,
    pub(crate) stream: Arc<Stream>,
    plan: StreamPlan,
    /// `None` if the plan has problems.
    shape: Option<Shape>,
    journal: Option<Arc<Journal>>,
    /// Tables that were looked at, by place.
    tables: Mutex<HashMap<Place, Arc<OnceCell<Arc<Ready>>>>>,
    /// Tables of versions that have taken their places, and how often.
    swaps: Mutex<HashMap<Place, u32>>,
    /// Tables of versions that rows of this run arrived in.
    filled: Mutex<HashSet<Place>>,
    /// Files sent by load jobs.
    files: AtomicU64,
    /// Whether a batch failed: what is on its way stays in the journal.
    has_failed: AtomicBool,
    has_warned: AtomicBool,
}

impl StreamWriter {
    /// Plans a stream; reads what it must know, writes nothing.
    pub(crate) async fn open(
        warehouse: Arc<Warehouse>,
        stream: Arc<Stream>,
        journals: &Journals,
    ) -> anyhow::Result<Self> {
        let config = warehouse.config.streams.get(&stream.name);
        let config = config.cloned().unwrap_or_default();
        let chosen = config.over(&warehouse.config.general);
        let mut plan = StreamPlan::default();
        let shape = match Shape::new(&warehouse, &stream, &chosen) {
            Ok(shape) => shape,
            Err(problems) => {
                plan.destination = chosen.dataset.clone();
                plan.problems = problems;
                return Ok(Self::of(warehouse, stream, plan, None, None));
            }
        };
        plan.destination = format!(
            "`{}.{}` by {}, {}",
            warehouse.api.project(),
            shape.route.text(),
            method_word(shape.method),
            mode_word(shape.mode)
        );
        plan.notes = shape.notes.clone();
        if let Some(place) = shape.route.fixed() {
            look(&warehouse, &shape, &place, &mut plan).await?;
        }
        if !plan.problems.is_empty() {
            return Ok(Self::of(warehouse, stream, plan, None, None));
        }
        let journal = if shape.is_journaled() && !warehouse.context.dry_run() {
            journals.open(&warehouse, &stream, &shape)?
        } else {
            None
        };
        Ok(Self::of(warehouse, stream, plan, Some(shape), journal))
    }

    fn of(
        warehouse: Arc<Warehouse>,
        stream: Arc<Stream>,
        plan: StreamPlan,
        shape: Option<Shape>,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                warehouse,
                stream,
                plan,
                shape,
                journal,
                tables: Mutex::default(),
                swaps: Mutex::default(),
                filled: Mutex::default(),
                files: AtomicU64::new(0),
                has_failed: AtomicBool::new(false),
                has_warned: AtomicBool::new(false),
            }),
        }
    }
}

/// What a table lacks, into the plan.
async fn look(
    warehouse: &Warehouse,
    shape: &Shape,
    place: &Place,
    plan: &mut StreamPlan,
) -> Result<()> {
    let dataset = warehouse.api.dataset(&place.dataset).await;
    let what = format!("cannot read the data set `{}`", place.dataset);
    let dataset = dataset.map_err(|fault| {
        crate::warehouse::lacks(
            fault,
            &what,
            "bigquery.datasets.get",
            "roles/bigquery.dataEditor",
        )
    })?;
    let Some(dataset) = dataset else {
        if warehouse.config.create_dataset {
            plan.creates.push(format!("data set `{}`", place.dataset));
            plan.creates.push(shape.table_words(place));
        } else {
            plan.problems.push(Problem {
                kind: "data set missing",
                message: format!("there is no data set `{}`", place.dataset),
                hint: Some("create it, or leave `create_dataset` on".to_owned()),
            });
        }
        return Ok(());
    };
    let location = match warehouse.check_location(&place.dataset, dataset.location) {
        Ok(location) => location,
        Err(error) => {
            plan.problems.push(Problem {
                kind: "location",
                message: error.message().to_owned(),
                hint: error.hints().first().cloned(),
            });
            return Ok(());
        }
    };
    match shape.spec.look(warehouse, place).await? {
        Found::Missing => plan.creates.push(shape.table_words(place)),
        Found::View(kind) => plan.problems.push(Problem {
            kind: "no table",
            message: format!("`{place}` is no table but a {}", kind.to_lowercase()),
            hint: Some("set `table` to another name".to_owned()),
        }),
        Found::Table(table, changes) => {
            // All of a table is replaced, whatever it was.
            if shape.mode != Mode::Replace {
                for (column, field) in &changes.add {
                    plan.creates
                        .push(format!("column `{column}` ({})", field.kind.word()));
                }
                for column in &changes.relax {
                    plan.creates.push(format!("nulls in the column `{column}`"));
                }
                for widening in &changes.widen {
                    plan.creates.push(format!(
                        "column `{}` as {} instead of {}",
                        widening.path,
                        crate::schema::sql_type(&widening.to),
                        crate::schema::sql_type(&widening.from)
                    ));
                }
                plan.problems.extend(changes.problems.clone());
            }
            if warehouse.context.dry_run() {
                plan.cost =
                    Some(cost(warehouse, shape, place, table.bytes, location.as_deref()).await);
            }
        }
    }
    Ok(())
}

/// What a run costs as far as it is known before.
async fn cost(
    warehouse: &Warehouse,
    shape: &Shape,
    place: &Place,
    bytes: Option<u64>,
    location: Option<&str>,
) -> Value {
    let path = sql::path(warehouse.api.project(), place);
    let mut cost = json!({"table_bytes": bytes});
    if shape.merges() {
        let keys: Vec<String> = shape.key_columns.iter().map(|key| sql::name(key)).collect();
        let statement = format!("SELECT {} FROM {path}", keys.join(", "));
        let scan = warehouse.api.dry_run(&statement, location).await.ok();
        cost["keys_bytes"] = json!(scan);
        let scan = warehouse
            .api
            .dry_run(&format!("SELECT * FROM {path}"), location)
            .await
            .ok();
        cost["merge_scans_at_most_bytes"] = json!(scan);
    }
    let today = warehouse
        .context
        .now()
        .date_naive()
        .and_time(chrono::NaiveTime::MIN);
    let since = today.and_utc().timestamp_millis();
    if let Ok(jobs) = warehouse.api.jobs_by_table(since).await {
        let wanted = place.to_string();
        let count: u64 = jobs
            .iter()
            .filter(|(table, _)| *table == wanted)
            .map(|(_, count)| *count)
            .sum();
        cost["table_jobs_today"] = json!(count);
        cost["table_jobs_per_day_limit"] = json!(1500);
    }
    cost
}

impl Inner {
    pub(crate) fn shape(&self) -> Result<&Shape> {
        self.shape.as_ref().ok_or_else(|| {
            singer_core::Error::internal(format!("the stream `{}` has problems", self.stream.name))
        })
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// The table at a place, brought to what the stream needs when it is asked for the first time.
    pub(crate) async fn table(&self, place: &Place) -> Result<Arc<Ready>> {
        let shape = self.shape()?;
        let cell = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(place.clone()).or_default())
        };
        let ready = cell
            .get_or_try_init(|| async {
                let ready = Box::pin(shape.spec.ensure(&self.warehouse, place)).await?;
                self.warehouse.note(&self.stream.name, place, true);
                Ok::<_, singer_core::Error>(Arc::new(ready))
            })
            .await?;
        Ok(Arc::clone(ready))
    }

    /// Like [`Inner::table`], for a table that is made otherwise.
    pub(crate) async fn table_by(
        &self,
        place: &Place,
        make: BoxFuture<'_, Result<Ready>>,
    ) -> Result<Arc<Ready>> {
        let cell = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(place.clone()).or_default())
        };
        let ready = cell
            .get_or_try_init(|| async {
                let ready = make.await?;
                self.warehouse.note(&self.stream.name, place, true);
                Ok::<_, singer_core::Error>(Arc::new(ready))
            })
            .await?;
        Ok(Arc::clone(ready))
    }

    /// Whether a table that was there still is.
    pub(crate) async fn table_is_there(&self, place: &Place) -> Result<bool> {
        let what = format!("cannot read the table `{place}`");
        let table = self.warehouse.api.table(&place.dataset, &place.table).await;
        Ok(table.map_err(|fault| fault.error(&what))?.is_some())
    }

    /// Says once that objects inside records have properties that their schema does not list.
    pub(crate) fn warn_of_unknown_inside(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                stream = self.stream.name,
                "objects inside records have properties that the schema does not list; they are dropped"
            );
        }
    }

    /// Forgets a table, so that it is looked at again.
    pub(crate) fn forget(&self, place: &Place) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.remove(place);
        self.warehouse.note(&self.stream.name, place, false);
        self.warehouse.forget(&place.dataset);
    }

    /// The table of a version takes its place: how often it has before.
    pub(crate) fn count_swap(&self, hidden: &Place) -> u32 {
        let mut swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        let count = swaps.entry(hidden.clone()).or_default();
        *count += 1;
        *count - 1
    }

    /// The tables of versions that have taken their places.
    pub(crate) fn swapped(&self) -> Vec<Place> {
        let swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        swaps.keys().cloned().collect()
    }

    /// The number of another file.
    pub(crate) fn next_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that rows arrived in a table of a version.
    pub(crate) fn fill(&self, place: &Place) {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if !filled.contains(place) {
            filled.insert(place.clone());
        }
    }

    /// Whether rows of this run arrived in a table of a version.
    pub(crate) fn is_filled(&self, place: &Place) -> bool {
        let filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        filled.contains(place)
    }

    /// The places that were written to.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.warehouse.places(&self.stream.name)
    }
}

impl Writer for StreamWriter {
    fn plan(&self) -> StreamPlan {
        self.inner.plan.clone()
    }

    fn key(&self) -> Vec<usize> {
        self.inner
            .shape
            .as_ref()
            .map(Shape::identity)
            .unwrap_or_default()
    }

    fn limits(&self) -> Limits {
        match self.inner.warehouse.config.method {
            Method::Load => Limits {
                max_records: LOAD_BATCH_RECORDS,
                max_bytes: self.inner.warehouse.config.load_batch_bytes,
                max_age: LOAD_BATCH_AGE,
            },
            Method::StorageWrite => Limits {
                max_records: LOAD_BATCH_RECORDS,
                max_bytes: APPEND_BATCH_BYTES,
                max_age: APPEND_BATCH_AGE,
            },
            Method::Streaming => Limits {
                max_records: 10 * self.inner.warehouse.config.insert_rows,
                max_bytes: APPEND_BATCH_BYTES,
                max_age: APPEND_BATCH_AGE,
            },
        }
    }

    fn replaces(&self) -> Replaces {
        match &self.inner.shape {
            Some(shape) if shape.mode == Mode::Replace && shape.route.fixed().is_some() => {
                Replaces::Resumable
            }
            // Which tables an earlier run has begun, nobody remembers.
            Some(shape) if shape.mode == Mode::Replace => Replaces::Whole,
            _ => Replaces::Nothing,
        }
    }

    fn cuts_at_states(&self) -> bool {
        self.inner.journal.is_some()
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let shape = self.inner.shape()?;
        match shape.route.fixed() {
            Some(place) if shape.mode != Mode::Replace => {
                self.inner.table(&place).await?;
                Ok(())
            }
            Some(place) => {
                self.inner.warehouse.location(&place.dataset).await?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let written = write::write(&self.inner, batch).await;
        if written.is_err() {
            self.inner.has_failed.store(true, Ordering::Relaxed);
        }
        Ok(written?)
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        match self.inner.shape() {
            Ok(shape) => write::preview(&self.inner, shape, batch, PREVIEW_BYTES),
            Err(_) => Vec::new(),
        }
    }

    async fn activate_version(&self, version: i64, rows: Option<u64>) -> anyhow::Result<Outcome> {
        let done = replace::activate(&self.inner, version, rows).await;
        if done.is_err() {
            self.inner.has_failed.store(true, Ordering::Relaxed);
        }
        Ok(done?)
    }

    async fn close(&self) -> anyhow::Result<()> {
        let shape = self.inner.shape()?;
        if shape.mode == Mode::AppendDedupe {
            dedupe::dedupe(&self.inner).await?;
        }
        Ok(())
    }
}

impl StreamWriter {
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Inner {
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

/// The journals of a run: a stream whose SCHEMA changes keeps its own.
#[derive(Debug, Default)]
pub(crate) struct Journals {
    open: Mutex<HashMap<String, Option<Arc<Journal>>>>,
}

impl Journals {
    fn open(
        &self,
        warehouse: &Warehouse,
        stream: &Stream,
        shape: &Shape,
    ) -> Result<Option<Arc<Journal>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = open.get(&stream.name) {
            return Ok(journal.clone());
        }
        let identity = format!(
            "{} {} {} {}",
            warehouse.api.base(),
            warehouse.api.project(),
            shape.route.text(),
            stream.name
        );
        let folder = Path::new(&warehouse.config.journal_path);
        let journal = Journal::open(
            folder,
            &stream.name,
            &identity,
            warehouse.context.stored_state(),
        )?
        .map(Arc::new);
        if journal.is_none() {
            tracing::warn!(
                stream = stream.name,
                "another run writes this stream: if this one dies, rows may be appended twice"
            );
        }
        open.insert(stream.name.clone(), journal.clone());
        Ok(journal)
    }

    /// Before a STATE is printed.
    pub(crate) fn cover(&self, position: u64, state: &str) -> Result<()> {
        self.all()
            .iter()
            .try_for_each(|journal| journal.cover(position, state))
    }

    /// After a run that ended well.
    pub(crate) fn finish(&self) -> Result<()> {
        self.all().iter().try_for_each(|journal| journal.finish())
    }

    fn all(&self) -> Vec<Arc<Journal>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().flatten().cloned().collect()
    }
}

fn method_word(method: Method) -> &'static str {
    match method {
        Method::Load => "load jobs",
        Method::StorageWrite => "the Storage Write API",
        Method::Streaming => "insertAll",
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Append => "append",
        Mode::Upsert => "upsert",
        Mode::Replace => "replace",
        Mode::AppendDedupe => "append and dedupe",
    }
}
