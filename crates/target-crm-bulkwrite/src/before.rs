//! What earlier runs left of inserts without `find_by`: their jobs are asked for and judged, and rows that
//! come again are recognised, so that none is inserted twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use singer_core::{Error, Kind, Result};
use singer_runtime::target::Batch;

use crate::config::Unresolved;
use crate::hash;
use crate::home::{Ended, Home};
use crate::jobs;
use crate::journal::{Entry, Intent, Journal};
use crate::look;
use crate::model::{Job, JobState};
use crate::result;
use crate::shape::Shape;

/// What earlier runs left of one stream.
#[derive(Debug, Default)]
pub(crate) struct Before {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How often each row was inserted.
    inserted: HashMap<u64, u32>,
    /// Inserts of which nobody knows whether they happened.
    doubtful: Vec<Entry>,
}

impl Before {
    /// Finds out what became of the inserts of earlier runs.
    ///
    /// # Errors
    /// If that cannot be found out, and the config does not decide it.
    pub(crate) async fn resolve(home: &Home, shape: &Shape, journal: &Journal) -> Result<Self> {
        let mut doubtful = Vec::new();
        for entry in journal.unresolved(&shape.stream) {
            let is_settled = match &entry.job {
                Some(job) => settle(home, shape, journal, &entry, job).await?,
                None => false,
            };
            if is_settled {
                continue;
            }
            match home.config.unresolved_inserts {
                Unresolved::Resend => journal.gone(entry.id)?,
                Unresolved::Skip => journal.added(entry.id, entry.rows.clone())?,
                Unresolved::Stop if look::key(shape).is_some() => doubtful.push(entry),
                Unresolved::Stop => return Err(undecided(&entry, journal)),
            }
        }
        Ok(Self {
            inner: Mutex::new(Inner {
                inserted: journal.inserted(&shape.stream),
                doubtful,
            }),
        })
    }

    /// The rows of a batch that are there already.
    ///
    /// # Errors
    /// Of kind `Transient` if a row may still be on its way.
    pub(crate) async fn recognize(
        &self,
        home: &Home,
        shape: &Shape,
        journal: &Journal,
        batch: &Batch,
    ) -> Result<HashSet<u32>> {
        let (mut known, doubted) = self.sort(shape, batch);
        let mut settled = Vec::new();
        for (entry, rows) in doubted {
            let numbers: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
            let found = match look::look(&home.api, shape, batch, &numbers, entry.at).await {
                Ok(found) => found,
                // A key that no query can hold: only a person can look.
                Err(error) if error.kind() == Kind::Rejected => {
                    return Err(undecided(&entry, journal).with_source(error));
                }
                Err(error) => return Err(error),
            };
            let age = home.context.now() - entry.at;
            let patience = TimeDelta::seconds(home.config.job_timeout_seconds as i64);
            let count = found.iter().filter(|found| **found).count();
            if count < rows.len() && age < patience {
                let wait = (patience - age).num_minutes() + 1;
                return Err(Error::new(
                    Kind::Transient,
                    format!(
                        "{} rows of `{}` may still be on their way: a job was asked for and nobody knows whether it runs",
                        rows.len() - count,
                        shape.module
                    ),
                )
                .with_hint(format!("run again in {wait} minutes, when it can only be over")));
            }
            tracing::warn!(
                stream = shape.stream,
                rows = rows.len(),
                found = count,
                "looked for rows of an insert whose answer never came"
            );
            let there = rows.iter().zip(found).filter(|(_, found)| *found);
            known.extend(there.map(|((row, hash), _)| (*row, *hash)));
            if rows.len() == entry.rows.len() {
                settled.push(entry.id);
            }
        }
        let hashes: Vec<u64> = known.iter().map(|(_, hash)| *hash).collect();
        journal.recognize(Intent {
            stream: &shape.stream,
            module: &shape.module,
            end: batch.end(),
            rows: &hashes,
            at: home.context.now(),
        })?;
        // What is there stands in the journal for this run by now.
        for id in settled {
            journal.gone(id)?;
            self.inner().doubtful.retain(|entry| entry.id != id);
        }
        Ok(known.into_iter().map(|(row, _)| row).collect())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of a batch that are there for sure, and those that are in doubt, by their insert.
    #[expect(clippy::type_complexity, reason = "both are taken apart at once")]
    fn sort(
        &self,
        shape: &Shape,
        batch: &Batch,
    ) -> (Vec<(u32, u64)>, Vec<(Entry, Vec<(u32, u64)>)>) {
        let mut inner = self.inner();
        let mut known = Vec::new();
        if inner.inserted.is_empty() && inner.doubtful.is_empty() {
            return (known, Vec::new());
        }
        let doubts: Vec<HashSet<u64>> = inner
            .doubtful
            .iter()
            .map(|entry| entry.rows.iter().copied().collect())
            .collect();
        let mut doubted: Vec<Vec<(u32, u64)>> = vec![Vec::new(); doubts.len()];
        let mut buffer = Vec::new();
        for (row, record) in (0_u32..).zip(batch.records()) {
            let hash = hash::of_row(shape, &record, &mut buffer);
            if let Some(left @ 1..) = inner.inserted.get_mut(&hash) {
                *left -= 1;
                known.push((row, hash));
                continue;
            }
            let place = doubts.iter().position(|doubt| doubt.contains(&hash));
            if let Some(rows) = place.and_then(|place| doubted.get_mut(place)) {
                rows.push((row, hash));
            }
        }
        let entries = inner.doubtful.iter().cloned().zip(doubted);
        let doubted = entries.filter(|(_, rows)| !rows.is_empty()).collect();
        (known, doubted)
    }
}

/// Judges a job that an earlier run left; says whether anything is known of it.
async fn settle(
    home: &Home,
    shape: &Shape,
    journal: &Journal,
    entry: &Entry,
    job: &str,
) -> Result<bool> {
    let Ended::Told(details) = home.wait(job).await? else {
        return Ok(false);
    };
    if details.state == JobState::Failed {
        let counts = details.counts.unwrap_or_default();
        if counts.added > 0 {
            return Ok(false);
        }
        journal.gone(entry.id)?;
        return Ok(true);
    }
    let Some(added) = added(home, shape, entry, &details).await? else {
        return Ok(false);
    };
    tracing::info!(
        stream = shape.stream,
        job,
        rows = added.len(),
        "rows were inserted by an earlier run; they are not sent again"
    );
    journal.added(entry.id, added)?;
    Ok(true)
}

/// The fingerprints of the rows that a job inserted; `None` if it does not say.
async fn added(
    home: &Home,
    shape: &Shape,
    entry: &Entry,
    details: &Job,
) -> Result<Option<Vec<u64>>> {
    let rows = entry.rows.len();
    let key = shape.cells.first();
    let key = key.filter(|cell| shape.identity == [cell.property]);
    let key = key.map(|cell| cell.field.clone());
    let lines = match jobs::read(home, details, rows, key.clone()).await {
        Ok(None) => return Ok(Some(entry.rows.clone())),
        Ok(Some(lines)) => lines,
        Err(error) if error.kind() == Kind::Protocol => return Ok(None),
        Err(error) => return Err(error),
    };
    if lines.len() != rows || result::check(&lines, details.counts).is_err() {
        return Ok(None);
    }
    let sent: HashSet<u64> = entry.rows.iter().copied().collect();
    let by_key: Vec<u64> = (lines.iter().filter_map(|line| line.key()))
        .map(hash::of_key)
        .collect();
    let is_by_key =
        key.is_some() && by_key.len() == rows && by_key.iter().all(|hash| sent.contains(hash));
    let prints = if is_by_key { &by_key } else { &entry.rows };
    let added = lines.iter().zip(prints).filter(|(line, _)| line.is_added());
    Ok(Some(added.map(|(_, hash)| *hash).collect()))
}

fn undecided(entry: &Entry, journal: &Journal) -> Error {
    Error::rejected(format!(
        "it is not known whether {} rows were inserted into `{}` at {}",
        entry.rows.len(),
        entry.module,
        entry.at.format("%Y-%m-%dT%H:%M:%SZ")
    ))
    .with_hint("look at the records of that time in the CRM, and run once with `unresolved_inserts` `skip` if they are there, `resend` if they are not")
    .with_hint(format!(
        "`find_by` makes inserts that can be repeated; the rows stand in the journal `{}`",
        journal.path()
    ))
}
