//! The imports of one table, one after the other: while one runs, the table takes no other, and no change
//! of its columns.
//!
//! What waits meanwhile is encoded meanwhile, and goes together into the next file, as far as the rows have
//! the same columns. So a slow service gets few large imports, and a fast one keeps nobody waiting; each
//! thousand rows that an import begins is paid for. One file tells its lines apart, which the files of a
//! batch job do not, and a run that dies leaves no open job that holds a slot: batch jobs are for
//! replacements alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Result};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::api::Table;
use crate::home::Home;
use crate::load;
use crate::rows::{Draft, File, Part, Recipe, Written};
use crate::shape::Shape;

/// Bytes of records that go into one file: CSV is hardly ever longer, and a file may have 100 MB.
const MOST_BYTES: usize = 90_000_000;

/// The imports of one table.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Held by whoever imports, or changes columns.
    gate: tokio::sync::Mutex<()>,
    waiting: Mutex<VecDeque<Ticket>>,
}

/// Rows that wait for their import.
#[derive(Debug)]
struct Ticket {
    shape: Arc<Shape>,
    part: Part,
    /// Its lines, once they are encoded.
    draft: oneshot::Receiver<Draft>,
    reply: oneshot::Sender<Result<Written>>,
}

impl Lane {
    /// Waits until nothing else changes the table.
    pub(crate) async fn enter(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Imports parts of a batch, alone or with what waits beside them.
    pub(crate) async fn write(
        &self,
        home: &Home,
        table: &Table,
        shape: &Arc<Shape>,
        parts: Vec<Part>,
    ) -> Result<Written> {
        let answers = self.queue(home, shape, parts)?;
        let mut written = Ok(Written::default());
        for answer in answers {
            let result = self.answer(home, table, answer).await;
            written = match (written, result) {
                (Ok(mut written), Ok(result)) => {
                    written.add(result);
                    Ok(written)
                }
                // The first error counts; the rest is waited for all the same.
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        written
    }

    /// Puts parts into the row, and begins to encode them.
    fn queue(
        &self,
        home: &Home,
        shape: &Arc<Shape>,
        parts: Vec<Part>,
    ) -> Result<Vec<oneshot::Receiver<Result<Written>>>> {
        let mut work = Vec::with_capacity(parts.len());
        let mut answers = Vec::with_capacity(parts.len());
        let mut tickets = VecDeque::with_capacity(parts.len());
        for part in parts {
            let (encoded, draft) = oneshot::channel();
            let (reply, answer) = oneshot::channel();
            let recipe = load::recipe(home, shape, Arc::from([part.clone()]))?;
            work.push((recipe, encoded));
            answers.push(answer);
            tickets.push_back(Ticket {
                shape: Arc::clone(shape),
                part,
                draft,
                reply,
            });
        }
        self.waiting().append(&mut tickets);
        // One task for all of a batch, as its parts may be many; who waits for them sees if it panics.
        drop(tokio::task::spawn_blocking(move || {
            for (recipe, encoded) in work {
                // Nobody waits for it any more if its import was given up.
                drop(encoded.send(recipe.draft(&recipe.rows())));
            }
        }));
        Ok(answers)
    }

    /// Waits for an answer, and imports what stands first in the row while nobody else does.
    async fn answer(
        &self,
        home: &Home,
        table: &Table,
        mut answer: oneshot::Receiver<Result<Written>>,
    ) -> Result<Written> {
        let gate = tokio::select! {
            biased;
            result = &mut answer => return result.map_err(lost)?,
            gate = self.gate.lock() => gate,
        };
        loop {
            match answer.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Closed) => {
                    drop(gate);
                    return Err(Error::internal("an import was given up"));
                }
                Err(TryRecvError::Empty) => self.round(home, table).await,
            }
        }
    }

    /// One import.
    async fn round(&self, home: &Home, table: &Table) {
        let mut group = self.take();
        let results = import(home, table, &mut group).await;
        match results {
            Ok(results) => {
                for (ticket, result) in group.into_iter().zip(results) {
                    // Who does not listen any more has failed otherwise.
                    drop(ticket.reply.send(Ok(result)));
                }
            }
            Err(error) => {
                let mut tickets = group.into_iter();
                let first = tickets.next();
                for ticket in tickets {
                    drop(ticket.reply.send(Err(error.copy())));
                }
                if let Some(first) = first {
                    drop(first.reply.send(Err(error)));
                }
            }
        }
    }

    /// What goes into the next file: the first in the row, and whoever has the same columns.
    fn take(&self) -> Vec<Ticket> {
        let mut waiting = self.waiting();
        let Some(first) = waiting.pop_front() else {
            return Vec::new();
        };
        let mut bytes = first.part.batch.bytes();
        let mut group = vec![first];
        let mut rest = VecDeque::new();
        while let Some(ticket) = waiting.pop_front() {
            let is_same = group.first().is_some_and(|first| {
                Arc::ptr_eq(&first.shape, &ticket.shape)
                    && first.part.columns == ticket.part.columns
            });
            let larger = bytes + ticket.part.batch.bytes();
            if is_same && larger <= MOST_BYTES {
                bytes = larger;
                group.push(ticket);
            } else {
                rest.push_back(ticket);
            }
        }
        *waiting = rest;
        group
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Ticket>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Imports what goes into one file; what became of each part.
async fn import(home: &Home, table: &Table, group: &mut [Ticket]) -> Result<Vec<Written>> {
    let Some(first) = group.first() else {
        return Ok(Vec::new());
    };
    let parts = group.iter().map(|ticket| ticket.part.clone()).collect();
    let recipe = load::recipe(home, &first.shape, parts)?;
    let file = gather(&recipe, group).await?;
    load::write(home, table, recipe, file).await
}

/// The file of all drafts.
async fn gather(recipe: &Recipe, group: &mut [Ticket]) -> Result<File> {
    let mut drafts = Vec::with_capacity(group.len());
    for ticket in group {
        let draft = (&mut ticket.draft).await;
        drafts.push(draft.map_err(|_| Error::internal("encoding rows panicked"))?);
    }
    match Draft::join(drafts) {
        Some(draft) if draft.is_query() == recipe.is_query => Ok(draft.finish()),
        // Where CONFIG stands has changed since.
        _ => recipe.file(recipe.rows()).await,
    }
}

fn lost(_: oneshot::error::RecvError) -> Error {
    Error::internal("an import was given up")
}
