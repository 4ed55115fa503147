//! Events that Catalyst posts to us: taken, written to a journal on disk, answered, and then emitted.
//!
//! The journal is the queue: each stream reads its own from the position that its bookmark has. After a crash what
//! no STATE has confirmed is read and emitted again. The pull path stays the source of truth: events move no
//! replication key, so that the next sync reads what may have been missed.

use serde_json::{Map, Value, json};
use singer_core::{Error, Kind, Result};
use singer_runtime::tap::{Output, Plan};
use std::time::Duration;
use tracing::{error, info, warn};

use crate::config::EventRows;
use crate::model::JsonRow;
use crate::record::{Absent, Encoder, write_deletion};
use crate::schema::Table;
use crate::{Datastore, identity};
use event::{Change, Event};
use intake::Registered;
use recent::Recent;

pub(crate) use intake::Listener;

mod event;
mod intake;
mod journal;
mod recent;

/// The part of the bookmark that holds the position in the journal.
const JOURNAL: &str = "journal";

/// Ids of events, and times of rows, that are remembered: twice as many at most.
const REMEMBERED: usize = 20_000;

/// The wait before a row is asked for again when the service is out of reach: nobody else would repeat it.
const OUTAGE_PAUSE: Duration = Duration::from_secs(10);

/// Emits the events of a stream until a stop is asked for.
pub(crate) async fn read(tap: &Datastore, plan: &Plan, out: &mut Output) -> Result<()> {
    let announced = tap.listener.announce(&plan.id);
    identity::check(&plan.id, &plan.bookmark, &tap.config)?;
    let table = tap.table(&plan.id).await?;
    let position = position_of(&plan.bookmark);
    let mut listening = Listening {
        encoder: Encoder::new(&tap.config, &table, plan)?,
        registered: tap.listener.register(&tap.config, &table, position).await?,
        tap,
        plan,
        ids: Recent::new(REMEMBERED),
        rows: Recent::new(REMEMBERED),
        counts: Counts::default(),
        position,
        table: &table,
    };
    announced.registered();
    let ended = listening.run(out).await;
    let counts = listening.counts;
    info!(
        stream = plan.id,
        emitted = counts.emitted,
        repeated = counts.repeated,
        overtaken = counts.overtaken,
        refused = counts.refused,
        "stops listening"
    );
    ended
}

/// The position in the journal up to which a bookmark covers its events.
fn position_of(bookmark: &Map<String, Value>) -> u64 {
    let position = bookmark
        .get(JOURNAL)
        .and_then(|journal| journal.get("position"));
    position.and_then(Value::as_u64).unwrap_or(0)
}

/// What became of the events of a stream.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    emitted: u64,
    /// Had the id of an event before.
    repeated: u64,
    /// Were older than what was emitted of their row.
    overtaken: u64,
    /// Had a value that its column cannot hold.
    refused: u64,
}

/// What was emitted last of a row: its state as of a change, or its end.
#[derive(Debug, Clone, Copy)]
enum Last {
    Changed(i64),
    Deleted(i64),
}

/// What is to be done with an insert or an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something newer was emitted of its row.
    Skip,
    /// The table has to say what the row is now.
    Fetch,
    /// What it says goes on as it is.
    Emit,
}

/// One stream that listens.
struct Listening<'a> {
    tap: &'a Datastore,
    plan: &'a Plan,
    table: &'a Table,
    encoder: Encoder,
    registered: Registered,
    /// Ids of events that were emitted.
    ids: Recent<()>,
    /// What was emitted last of each row.
    rows: Recent<Last>,
    counts: Counts,
    /// The last event that was handed over.
    position: u64,
}

impl Listening<'_> {
    async fn run(&mut self, out: &mut Output) -> Result<()> {
        let stop = self.tap.context.stop().clone();
        let mut confirmed = self.position;
        loop {
            let events = self.registered.next().await?;
            if events.is_empty() {
                if self.position > confirmed {
                    confirmed = self.position;
                    out.checkpoint(self.bookmark()).await?;
                }
                tokio::select! {
                    biased;
                    waited = self.registered.wait() => waited?,
                    () = stop.wait() => return Err(Error::interrupted()),
                }
                continue;
            }
            for (position, event) in events {
                self.emit(&event, out).await?;
                self.position = position;
                self.registered.handed_over(position);
            }
            // After a stop request the journal is emptied first: a checkpoint would end the stream here.
            if out.checkpoint_due() && !stop.requested() {
                confirmed = self.position;
                out.checkpoint(self.bookmark()).await?;
            }
        }
    }

    /// The bookmark that a pull left, with the position in the journal.
    fn bookmark(&self) -> Map<String, Value> {
        let mut bookmark = self.plan.bookmark.clone();
        bookmark.extend(identity::of(&self.tap.config));
        bookmark.insert(JOURNAL.to_owned(), json!({"position": self.position}));
        bookmark
    }

    async fn emit(&mut self, event: &Event, out: &mut Output) -> Result<()> {
        if let Some(id) = &event.id
            && self.ids.insert(id, ()).is_some()
        {
            self.counts.repeated += 1;
            return Ok(());
        }
        if event.change == Change::Delete {
            let at = event
                .at
                .map_or_else(|| self.now(), |milliseconds| milliseconds * 1000);
            return self.delete(&event.rowid, at, out).await;
        }
        let changed = self.encoder.json_modified(&event.row);
        match self.step(event, changed) {
            Step::Skip => {
                self.counts.overtaken += 1;
                return Ok(());
            }
            Step::Fetch => return self.emit_fetched(&event.rowid, out).await,
            Step::Emit => {}
        }
        match self.write(&event.row, out).await {
            // The table may have the row in a better form.
            Err(error) if error.kind() == Kind::Rejected => {
                self.emit_fetched(&event.rowid, out).await
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.emitted(&event.rowid, changed.map(Last::Changed));
                Ok(())
            }
        }
    }

    fn step(&self, event: &Event, changed: Option<i64>) -> Step {
        let last = self.rows.get(&event.rowid).copied();
        let step = after(last, changed);
        if step != Step::Emit {
            return step;
        }
        let is_fetched = match self.tap.config.event_rows {
            EventRows::Event => false,
            EventRows::Fetch => true,
            // One that was sent before may be older than what another process emitted.
            EventRows::Auto => event.is_repeated || !self.encoder.is_whole(&event.row),
        };
        if is_fetched { Step::Fetch } else { Step::Emit }
    }

    /// Emits a row as the table has it now.
    async fn emit_fetched(&mut self, rowid: &str, out: &mut Output) -> Result<()> {
        let Some(row) = self.fetch(rowid, out).await? else {
            return self.delete(rowid, self.now(), out).await;
        };
        let changed = self.encoder.json_modified(&row);
        match self.write(&row, out).await {
            // One row that cannot be written must not keep all others from their destination.
            Err(problem) if problem.kind() == Kind::Rejected => {
                self.counts.refused += 1;
                error!(
                    stream = self.plan.id,
                    problem = %problem,
                    "an event is left out; the next sync tries its row again"
                );
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.emitted(rowid, changed.map(Last::Changed));
                Ok(())
            }
        }
    }

    async fn write(&mut self, row: &JsonRow, out: &mut Output) -> Result<()> {
        let encoder = &mut self.encoder;
        out.record(|buffer| encoder.write_json(buffer, row, Absent::Omitted))
            .await
    }

    async fn delete(&mut self, rowid: &str, at: i64, out: &mut Output) -> Result<()> {
        out.record(|buffer| {
            write_deletion(buffer, rowid, at);
            Ok(())
        })
        .await?;
        self.emitted(rowid, Some(Last::Deleted(at)));
        Ok(())
    }

    fn emitted(&mut self, rowid: &str, last: Option<Last>) {
        self.counts.emitted += 1;
        if let Some(last) = last {
            self.rows.insert(rowid, last);
        }
    }

    /// Asks for a row until there is an answer: what is in the journal waits, and senders are slowed down.
    async fn fetch(&self, rowid: &str, out: &mut Output) -> Result<Option<JsonRow>> {
        loop {
            let problem = match self.tap.row(self.table, rowid).await {
                Err(error) if matches!(error.kind(), Kind::Transient | Kind::RateLimited) => error,
                other => return other,
            };
            warn!(
                stream = self.plan.id,
                problem = %problem,
                wait_seconds = OUTAGE_PAUSE.as_secs(),
                "the row of an event cannot be read; events wait in the journal"
            );
            out.flush().await?;
            tokio::select! {
                () = tokio::time::sleep(OUTAGE_PAUSE) => {}
                () = self.tap.context.stop().wait() => {
                    out.checkpoint(self.bookmark()).await?;
                    return Err(Error::interrupted());
                }
            }
        }
    }

    fn now(&self) -> i64 {
        self.tap.context.now().timestamp_micros()
    }
}

/// What an insert or update that changed its row at this time means after what was emitted last of the row.
fn after(last: Option<Last>, changed: Option<i64>) -> Step {
    match (last, changed) {
        (Some(Last::Changed(last)), Some(changed)) if changed < last => Step::Skip,
        (Some(Last::Deleted(at)), Some(changed)) if changed <= at => Step::Skip,
        // It seems to be there again: whether ids are used twice is nowhere written, and clocks differ.
        (Some(Last::Deleted(_)), _) => Step::Fetch,
        _ => Step::Emit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_overtaken_is_left_out_and_a_row_that_came_back_is_asked_for() {
        for (last, changed, wanted) in [
            (None, Some(5), Step::Emit),
            (None, None, Step::Emit),
            (Some(Last::Changed(5)), Some(4), Step::Skip),
            (Some(Last::Changed(5)), Some(5), Step::Emit),
            (Some(Last::Changed(5)), None, Step::Emit),
            (Some(Last::Deleted(5)), Some(5), Step::Skip),
            (Some(Last::Deleted(5)), Some(6), Step::Fetch),
            (Some(Last::Deleted(5)), None, Step::Fetch),
        ] {
            assert_eq!(after(last, changed), wanted, "{last:?} {changed:?}");
        }
    }
}
