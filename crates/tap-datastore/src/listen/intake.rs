//! Takes what is posted: checked, sorted by table, written to the journals, synced once for all that came
//! together, and only then answered.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use singer_core::state::Content;
use singer_core::{Error, Result, Secret};
use singer_runtime::context::Context;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use zoho::receiver::{Receiver, ReceiverConfig, Reply, Take};

use super::event::{Event, TableOf, parse};
use super::journal::{self, Tail, Writer};
use super::position_of;
use crate::config::Config;
use crate::schema::Table;

/// The service sends at most one megabyte at once.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Bodies that may wait for the disk.
const QUEUE: usize = 256;

/// Bodies that are synced together at most.
const TOGETHER: usize = 64;

/// In this time after the start a table that is not registered may yet be.
const GRACE: Duration = Duration::from_secs(10);

/// How often the state is looked at for what has been confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);

/// What a sender is told to wait, in seconds.
const WAIT_SECONDS: u32 = 5;

/// Where events come in. Nothing listens before a stream registers.
#[derive(Debug)]
pub(crate) struct Listener {
    shared: Arc<Shared>,
    receiver: OnceCell<Running>,
}

#[derive(Debug)]
struct Running {
    /// Stops when it is dropped.
    _receiver: Receiver,
    confirming: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.confirming.abort();
    }
}

#[derive(Debug)]
struct Shared {
    context: Context,
    backlog: u64,
    journals: Mutex<Vec<Arc<Journal>>>,
    queue: Mutex<Option<mpsc::Sender<Batch>>>,
    /// Events of tables that nobody reads, by table.
    ignored: Mutex<HashMap<String, u64>>,
    started: Mutex<Option<Instant>>,
    wanted: Mutex<Wanted>,
}

/// The tables whose events are wanted, and that have no journal.
#[derive(Debug, Default)]
struct Wanted {
    /// They will have one.
    pending: BTreeSet<String>,
    /// Their streams failed before. What comes for them stays with its sender.
    failed: BTreeSet<String>,
}

/// The announcement that a table will have a journal. If it is dropped before, the table counts as failed.
#[derive(Debug)]
pub(super) struct Announced {
    shared: Arc<Shared>,
    table: String,
    is_registered: bool,
}

impl Announced {
    /// Notes that it has one.
    pub(super) fn registered(mut self) {
        self.is_registered = true;
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut wanted = lock(&self.shared.wanted);
        wanted.pending.remove(&self.table);
        if !self.is_registered {
            wanted.failed.insert(std::mem::take(&mut self.table));
        }
    }
}

/// The journal of one table.
#[derive(Debug)]
struct Journal {
    table: TableOf,
    folder: PathBuf,
    writer: Mutex<Writer>,
    /// The number of the last event that is on disk.
    durable: watch::Sender<u64>,
    /// The number of the last event that was handed over.
    handed_over: AtomicU64,
}

/// Events of one table, encoded.
type Part = (Arc<Journal>, Vec<Vec<u8>>);

/// What is written together.
#[derive(Debug)]
struct Batch {
    parts: Vec<Part>,
    done: oneshot::Sender<Result<()>>,
}

/// A stream's side of its journal.
#[derive(Debug)]
pub(super) struct Registered {
    journal: Arc<Journal>,
    durable: watch::Receiver<u64>,
    tail: Option<Tail>,
}

impl Listener {
    /// Makes ready; listens to nothing yet.
    pub(crate) fn new(config: &Config, context: &Context) -> Self {
        Self {
            shared: Arc::new(Shared {
                context: context.clone(),
                backlog: config.listen_backlog,
                journals: Mutex::default(),
                queue: Mutex::default(),
                ignored: Mutex::default(),
                started: Mutex::default(),
                wanted: Mutex::default(),
            }),
            receiver: OnceCell::new(),
        }
    }

    /// Has senders of events of a table wait until it is registered.
    pub(super) fn announce(&self, table: &str) -> Announced {
        let table = table.to_owned();
        lock(&self.shared.wanted).pending.insert(table.clone());
        Announced {
            shared: Arc::clone(&self.shared),
            table,
            is_registered: false,
        }
    }

    /// Takes the events of a table from now on, and those of its journal after `position`.
    ///
    /// # Errors
    /// Of kind `Config` if the address or the journal cannot be used, `Internal` for a fault of the disk.
    pub(super) async fn register(
        &self,
        config: &Config,
        table: &Table,
        position: u64,
    ) -> Result<Registered> {
        let folder = config.journal_path.join(folder_name(config, table));
        let writer = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || Writer::open(&folder, position))
                .await
                .map_err(|error| {
                    Error::internal("the task that opens a journal died").with_source(error)
                })??
        };
        let waiting = writer.last().saturating_sub(position);
        if waiting > 0 {
            tracing::info!(
                stream = table.name,
                events = waiting,
                "events that no state has confirmed are emitted again"
            );
        }
        let journal = Arc::new(Journal {
            table: TableOf {
                id: Some(table.id.clone()),
                name: Some(table.name.clone()),
            },
            durable: watch::Sender::new(writer.last()),
            handed_over: AtomicU64::new(position),
            writer: Mutex::new(writer),
            folder: folder.clone(),
        });
        let registered = Registered {
            durable: journal.durable.subscribe(),
            tail: Some(Tail::new(&folder, position)),
            journal: Arc::clone(&journal),
        };
        lock(&self.shared.journals).push(journal);
        self.receiver.get_or_try_init(|| self.start(config)).await?;
        Ok(registered)
    }

    async fn start(&self, config: &Config) -> Result<Running> {
        let context = &self.shared.context;
        let (Some(listen), Some(secret)) = (&config.listen, config.events_secret()) else {
            return Err(Error::config("`listen` needs a `listen_secret`"));
        };
        let secret: Secret = context.secret(secret).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        // A thread of its own: it waits for the disk all the time, and ends when nobody can send any more.
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(receiver))
            .map_err(|error| {
                Error::internal("cannot start the thread of the journal").with_source(error)
            })?;
        *lock(&self.shared.queue) = Some(sender);
        *lock(&self.shared.started) = Some(Instant::now());
        let receiver_config = ReceiverConfig {
            listen: listen.clone(),
            path: config.listen_path.clone(),
            header: config.events_header().to_owned(),
            secret,
            max_body_bytes: MAX_BODY_BYTES,
            tls: config.listen_tls(),
        };
        let take: Take = {
            let shared = Arc::clone(&self.shared);
            Arc::new(move |body| {
                let shared = Arc::clone(&shared);
                Box::pin(async move { shared.take(&body).await })
            })
        };
        let receiver = Receiver::start(receiver_config, Arc::new(context.clone()), take).await?;
        tracing::info!(address = %receiver.address(), path = config.listen_path, "listens for events");
        let confirming = tokio::spawn({
            let shared = Arc::clone(&self.shared);
            async move { shared.confirm().await }
        });
        Ok(Running {
            _receiver: receiver,
            confirming,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ignored = lock(&self.shared.ignored);
        for (table, events) in ignored.iter() {
            tracing::warn!(
                table,
                events,
                "events of a table that is not read were ignored"
            );
        }
    }
}

impl Shared {
    /// What becomes of a body. Nothing of it is told but that.
    async fn take(&self, body: &Bytes) -> Reply {
        if self.context.stop().requested() {
            return Reply::Later(WAIT_SECONDS);
        }
        let Ok(read) = parse(body) else {
            tracing::warn!(bytes = body.len(), "a body that is no event was refused");
            return Reply::Malformed;
        };
        let parts = match self.sorted(read.events) {
            Ok(parts) => parts,
            Err(reply) => return reply,
        };
        if parts.is_empty() {
            return Reply::Taken;
        }
        if parts.iter().any(|part| self.is_slow(part)) {
            tracing::debug!("senders are slowed down, as the pipe is slow");
            return Reply::Later(WAIT_SECONDS);
        }
        let Some(queue) = lock(&self.queue).clone() else {
            return Reply::Later(WAIT_SECONDS);
        };
        let (done, written) = oneshot::channel();
        if queue.send(Batch { parts, done }).await.is_err() {
            return Reply::Failed;
        }
        match written.await {
            Ok(Ok(())) => Reply::Taken,
            Ok(Err(error)) => {
                tracing::error!(%error, "events were not taken, as they could not be written to disk");
                Reply::Failed
            }
            Err(_) => Reply::Failed,
        }
    }

    /// Whether more would wait than may; a body with more events than that is taken when nothing waits.
    fn is_slow(&self, (journal, payloads): &Part) -> bool {
        let waiting = journal.waiting();
        waiting > 0 && waiting + payloads.len() as u64 > self.backlog
    }

    /// The payloads of events by journal.
    fn sorted(&self, events: Vec<(TableOf, Event)>) -> Result<Vec<Part>, Reply> {
        let mut parts: Vec<Part> = Vec::new();
        for (table, event) in events {
            let Some(journal) = self.journal_of(&table) else {
                if let Some(reply) = self.reply_without(&table) {
                    return Err(reply);
                }
                self.ignore(&table);
                continue;
            };
            let payload = journal::payload(&event).map_err(|_| Reply::Failed)?;
            match parts
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, &journal))
            {
                Some((_, payloads)) => payloads.push(payload),
                None => parts.push((journal, vec![payload])),
            }
        }
        Ok(parts)
    }

    /// By id, else by name.
    fn journal_of(&self, table: &TableOf) -> Option<Arc<Journal>> {
        let journals = lock(&self.journals);
        let by_id = journals
            .iter()
            .find(|journal| table.id.is_some() && journal.table.id == table.id);
        let by_name = || {
            journals
                .iter()
                .find(|journal| table.name.is_some() && journal.table.name == table.name)
        };
        by_id.or_else(by_name).cloned()
    }

    /// What an event of a table without a journal is answered; nothing if nobody wants it.
    fn reply_without(&self, table: &TableOf) -> Option<Reply> {
        let wanted = lock(&self.wanted);
        let is_starting = lock(&self.started).is_some_and(|started| started.elapsed() < GRACE);
        if is_starting || !wanted.pending.is_empty() {
            return Some(Reply::Later(WAIT_SECONDS));
        }
        let has_failed = match &table.name {
            Some(name) => wanted.failed.contains(name),
            None => !wanted.failed.is_empty(),
        };
        has_failed.then_some(Reply::Failed)
    }

    fn ignore(&self, table: &TableOf) {
        let name = table
            .name
            .clone()
            .or_else(|| table.id.clone())
            .unwrap_or_default();
        let mut ignored = lock(&self.ignored);
        // Names come from outside; no sender may fill the memory with them.
        if ignored.len() < 1000 || ignored.contains_key(&name) {
            let count = ignored.entry(name.clone()).or_default();
            *count += 1;
            if *count == 1 {
                tracing::warn!(
                    table = name,
                    "events of a table that is not read are ignored"
                );
            }
        }
    }

    /// Removes what the state file shows as confirmed, for as long as the run lasts.
    async fn confirm(&self) {
        let Some(path) = self.context.state_path().map(ToOwned::to_owned) else {
            return;
        };
        loop {
            let (path, journals) = (path.clone(), lock(&self.journals).clone());
            let confirmed =
                tokio::task::spawn_blocking(move || confirm_once(&path, &journals)).await;
            if let Ok(Err(error)) = confirmed {
                tracing::warn!(%error, "journals are not tidied up");
            }
            tokio::time::sleep(CONFIRM_EVERY).await;
        }
    }
}

impl Journal {
    /// Events that were taken and not handed over.
    fn waiting(&self) -> u64 {
        let durable = *self.durable.borrow();
        durable.saturating_sub(self.handed_over.load(Ordering::Relaxed))
    }
}

impl Registered {
    /// The next events; empty if all that are on disk have been read.
    ///
    /// # Errors
    /// Of kind `Internal` if the journal cannot be read.
    pub(super) async fn next(&mut self) -> Result<Vec<(u64, Event)>> {
        let last = *self.durable.borrow_and_update();
        let Some(mut tail) = self.tail.take() else {
            return Err(Error::internal("the journal is not read any more"));
        };
        let (tail, events) = tokio::task::spawn_blocking(move || {
            let events = tail.read(last);
            (tail, events)
        })
        .await
        .map_err(|error| {
            Error::internal("the task that reads a journal died").with_source(error)
        })?;
        self.tail = Some(tail);
        events
    }

    /// Waits until there are more.
    ///
    /// # Errors
    /// Of kind `Internal` if nobody writes any more.
    pub(super) async fn wait(&mut self) -> Result<()> {
        let changed = self.durable.changed().await;
        changed.map_err(|error| Error::internal("the journal is closed").with_source(error))
    }

    /// Notes that the events up to this number were handed over.
    pub(super) fn handed_over(&self, position: u64) {
        self.journal.handed_over.store(position, Ordering::Relaxed);
    }
}

/// Writes what comes until nobody can send any more. Bodies that came together are synced together.
fn write(mut receiver: mpsc::Receiver<Batch>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batches = vec![first];
        while batches.len() < TOGETHER
            && let Ok(batch) = receiver.try_recv()
        {
            batches.push(batch);
        }
        let appended: Vec<Result<()>> = batches.iter().map(|batch| append(&batch.parts)).collect();
        let synced = sync(&batches);
        for (batch, appended) in batches.into_iter().zip(appended) {
            let result = appended.and_then(|()| match &synced {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::internal(error.message())),
            });
            // A sender that is gone sends again.
            let _gone = batch.done.send(result);
        }
    }
}

fn append(parts: &[Part]) -> Result<()> {
    for (journal, payloads) in parts {
        lock(&journal.writer).append(payloads)?;
    }
    Ok(())
}

/// Syncs each journal once, and shows the streams what they may read.
fn sync(batches: &[Batch]) -> Result<()> {
    let mut journals: Vec<&Arc<Journal>> = Vec::new();
    for (journal, _) in batches.iter().flat_map(|batch| &batch.parts) {
        if !journals.iter().any(|known| Arc::ptr_eq(known, journal)) {
            journals.push(journal);
        }
    }
    for journal in journals {
        let mut writer = lock(&journal.writer);
        writer.sync()?;
        journal.durable.send_replace(writer.last());
    }
    Ok(())
}

fn confirm_once(path: &std::path::Path, journals: &[Arc<Journal>]) -> Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(
                Error::internal(format!("cannot read `{}`", path.display())).with_source(error)
            );
        }
    };
    let (Content::State(state) | Content::Cut(state)) = Content::read(&bytes)? else {
        return Ok(());
    };
    for journal in journals {
        let name = journal.table.name.as_deref().unwrap_or_default();
        let position = position_of(&state.bookmark(name)?);
        journal::confirm(&journal.folder, position)?;
    }
    Ok(())
}

/// The same table of another project or environment has another journal.
fn folder_name(config: &Config, table: &Table) -> String {
    let environment = config
        .environment
        .map_or("default", |environment| environment.name());
    format!("{}-{environment}-{}", config.project_id, table.id)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
