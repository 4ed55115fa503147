//! One runner at a time for a pipeline: leases with a fencing number.
//!
//! A lease is an object whose number is its fence. Whoever finds the newest lease released, its holder
//! dead, or its time over puts the next number, which only one can, then lists again: the lease is
//! held by the largest number alone. So nothing but put-if-absent and an honest listing is needed.
//!
//! * A holder on this machine (same boot, same space of process ids) is judged by its process, never
//!   by a clock: dead means taken over at once, alive means held.
//! * A holder elsewhere is judged by the store's clock: its last renewal against an object that this
//!   runner puts now. Clocks of the machines do not matter.
//! * Whoever takes over from a holder that did not release puts a version of the state under its own
//!   fence before it starts anything ([`crate::state::States::fence_off`]), so that the old holder,
//!   should it wake, finds its next number taken and stops.
//! * The stages of a dead holder on this machine are ended before new ones start.
//!
//! Numbers are never used again while anybody could remember them: the newest lease is removed by
//! nobody, and a new number is above that of the newest version of the state as well, because leases may be
//! lost with the machine and states may not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use singer_core::{Error, Result};
use singer_runtime::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::session::Session;
use crate::state::{self, States, Stored};
use crate::store::{Listed, Put, Store};
use place::{Fate, Place};

pub(crate) use process::{end_group, process_identity};

mod over;
mod place;
mod process;

/// How often a lease is tried for against others who try, too.
const ATTEMPTS: usize = 20;
/// From SIGTERM to SIGKILL for stages of a pipeline that the project does not know any more.
const GRACE: Duration = Duration::from_secs(30);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The run that it was taken for.
    pub(crate) run: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Boot, space of process ids and start time of the process: a pid alone comes back.
    pub(crate) process: String,
    /// RFC 3339, by the holder's clock; for people.
    pub(crate) since: String,
    /// The process group of its stages, while there is one.
    pub(crate) group: Option<Group>,
}

/// The stages of a run: a process group by its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) leader: u32,
    /// As [`Holder::process`], of the leader.
    pub(crate) process: String,
}

/// What came of the wish for a lease.
#[derive(Debug)]
pub(crate) enum Taken {
    Lease(Lease),
    /// Somebody else holds it.
    Held(Holder),
}

/// A lease that is held. It is renewed by a task of its own until it is released or dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    fence: u64,
    /// The holder before, if it did not release: its run died.
    took_over: Option<Holder>,
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
    /// In [`HELD`] as long as this lives.
    mark: String,
    /// A put of a state was given up and may still arrive.
    is_unsettled: AtomicBool,
}

/// Takes the lease of a pipeline if it is free. After a holder that did not release, the stages that it
/// left here are ended and the state is fenced off.
///
/// # Errors
/// Those of the store, and of a newest state that cannot be read.
pub(crate) async fn take(session: &Session, pipeline: &str, run: &str) -> Result<Taken> {
    Desk::of(session, pipeline).take(run).await
}

/// As [`take`], but the state is not fenced off: for whoever writes a version before anything else, and
/// drops the lease without releasing it if that fails.
pub(crate) async fn take_to_write(session: &Session, pipeline: &str, run: &str) -> Result<Taken> {
    Desk::of(session, pipeline).take_number(run).await
}

/// Who holds the lease of a pipeline now, if anybody does; takes and writes nothing, so a holder elsewhere
/// is judged by the clock of this machine, patiently.
pub(crate) async fn holder(session: &Session, pipeline: &str) -> Result<Option<Holder>> {
    Desk::of(session, pipeline).holder().await
}

/// A lease as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    fence: u64,
    holder: Holder,
    /// Whoever reads it judges by this, not by a setting of its own.
    lease_seconds: f64,
    /// Grows with every renewal.
    renewal: u64,
    released: bool,
}

/// Where leases of a pipeline are taken.
#[derive(Debug, Clone)]
struct Desk {
    store: Store,
    clock: Clock,
    place: Place,
    pipeline: String,
    lease: Duration,
    grace: Duration,
}

/// What the newest lease means for whoever wants the next.
enum Judged {
    Free,
    Held(Holder),
    /// Its holder has died without releasing it; whether it did so on this machine.
    Dead(Holder, Fate),
    /// It went while it was looked at: there is a newer one.
    Gone,
}

impl Desk {
    fn of(session: &Session, pipeline: &str) -> Self {
        let grace = session
            .project
            .pipelines
            .get(pipeline)
            .map_or(GRACE, |pipeline| pipeline.grace);
        Self {
            store: session.store.clone(),
            clock: session.clock().clone(),
            place: Place::here(),
            pipeline: pipeline.to_owned(),
            lease: session.project.store.lease,
            grace,
        }
    }

    async fn take(&self, run: &str) -> Result<Taken> {
        let lease = match self.take_number(run).await? {
            Taken::Lease(lease) => lease,
            held @ Taken::Held(_) => return Ok(held),
        };
        if lease.took_over.is_some() {
            let mut states =
                States::over(&self.store, &self.clock, &self.pipeline, lease.fence).await?;
            let at = self.clock.timestamp();
            if states.fence_off(run, &at).await? == Stored::Fenced {
                // This process slept, and somebody else has taken over in the meantime.
                return Err(self.contended());
            }
        }
        Ok(Taken::Lease(lease))
    }

    async fn take_number(&self, run: &str) -> Result<Taken> {
        for _ in 0..ATTEMPTS {
            let listed = self.listed().await?;
            let took_over = match listed.last() {
                None => {
                    let key = format!("{}probe-{run}-new", self.folder());
                    self.store.prove_put_new(&key).await?;
                    None
                }
                Some((number, newest)) => match self.judge(*number, newest, run).await? {
                    Judged::Free => None,
                    Judged::Held(holder) => return Ok(Taken::Held(holder)),
                    Judged::Gone => continue,
                    Judged::Dead(holder, fate) => {
                        self.end_stages(&holder, fate).await?;
                        Some(holder)
                    }
                },
            };
            let written = state::newest_fence(&self.store, &self.clock, &self.pipeline).await?;
            let newest = listed.last().map_or(0, |(number, _)| *number);
            let fence = newest.max(written) + 1;
            // A state under a fence that was not listed: somebody took the lease since, or leases were lost.
            if written > newest && self.is_behind(newest).await? {
                continue;
            }
            let entry = self.entry(fence, run);
            let key = self.key(fence);
            let taken = Instant::now();
            if self.store.put_new_hint(&key, entry.bytes()?).await? == Put::Exists
                && !self.is_there(&entry).await?
            {
                continue;
            }
            let lines = self.store.list(&self.folder()).await?;
            let listed = self.leases(&lines);
            if listed.last().is_none_or(|(number, _)| *number != fence) {
                // The number was taken and removed long ago: this process slept between two lines.
                self.store.delete(&key).await?;
                continue;
            }
            return Ok(Taken::Lease(Lease::start(
                self.clone(),
                entry,
                took_over,
                taken,
                lines,
            )));
        }
        Err(self.contended())
    }

    async fn holder(&self) -> Result<Option<Holder>> {
        let listed = self.listed().await?;
        let Some((number, newest)) = listed.last() else {
            return Ok(None);
        };
        let Some(object) = self.store.get(&self.key(*number)).await? else {
            return Ok(None);
        };
        let Ok(entry) = serde_json::from_slice::<Entry>(&object.bytes) else {
            return Ok(None);
        };
        let age = self.clock.now() - newest.modified;
        let is_held = match self.place.fate(&entry.holder) {
            _ if entry.released => false,
            Fate::Alive => true,
            Fate::Dead => false,
            Fate::Elsewhere => age <= entry.lease() * 2 + TimeDelta::seconds(60),
        };
        Ok(is_held.then_some(entry.holder))
    }

    async fn judge(&self, number: u64, newest: &Listed, run: &str) -> Result<Judged> {
        let Some(object) = self.store.get(&self.key(number)).await? else {
            return Ok(Judged::Gone);
        };
        // A lease that cannot be read was cut by a crash of its machine; only its time counts.
        let entry = serde_json::from_slice::<Entry>(&object.bytes).unwrap_or_else(|_| Entry {
            holder: Holder::unknown(&newest.modified),
            ..self.entry(number, "")
        });
        if entry.released {
            return Ok(Judged::Free);
        }
        let fate = self.place.fate(&entry.holder);
        match fate {
            Fate::Alive => Ok(Judged::Held(entry.holder)),
            Fate::Dead => Ok(Judged::Dead(entry.holder, fate)),
            Fate::Elsewhere if self.is_over(&entry, &object, run).await? => {
                Ok(Judged::Dead(entry.holder, fate))
            }
            Fate::Elsewhere => Ok(Judged::Held(entry.holder)),
        }
    }

    async fn end_stages(&self, dead: &Holder, fate: Fate) -> Result<()> {
        match (&dead.group, fate) {
            (Some(group), Fate::Dead) => end_group(group, self.grace).await,
            _ => Ok(()),
        }
    }

    /// Whether there is a larger number by now than the one that was the newest.
    async fn is_behind(&self, newest: u64) -> Result<bool> {
        let listed = self.listed().await?;
        Ok(listed.last().is_some_and(|(number, _)| *number > newest))
    }

    async fn is_there(&self, entry: &Entry) -> Result<bool> {
        let there = self.store.get(&self.key(entry.fence)).await?;
        Ok(there.is_some_and(|there| entry.is_of(&there.bytes)))
    }

    /// Removes what was there when a lease was taken, and leaves it and those above it alone.
    async fn tidy(&self, fence: u64, lines: Vec<Listed>) {
        let folder = self.folder();
        for line in lines {
            let is_old = match number_of(&line.key, &folder) {
                Some(number) => number < fence,
                None => true,
            };
            if is_old && let Err(error) = self.store.delete(&line.key).await {
                tracing::debug!(key = line.key, ?error, "an old lease cannot be removed");
            }
        }
    }

    /// Leases by their numbers, sorted.
    async fn listed(&self) -> Result<Vec<(u64, Listed)>> {
        Ok(self.leases(&self.store.list(&self.folder()).await?))
    }

    fn leases(&self, lines: &[Listed]) -> Vec<(u64, Listed)> {
        let folder = self.folder();
        let mut leases: Vec<(u64, Listed)> = lines
            .iter()
            .filter_map(|line| Some((number_of(&line.key, &folder)?, line.clone())))
            .collect();
        leases.sort_unstable_by_key(|(number, _)| *number);
        leases
    }

    fn entry(&self, fence: u64, run: &str) -> Entry {
        Entry {
            fence,
            holder: self.place.holder(run, self.clock.timestamp()),
            lease_seconds: self.lease.as_secs_f64(),
            renewal: 0,
            released: false,
        }
    }

    fn folder(&self) -> String {
        format!("pipelines/{}/lock/", self.pipeline)
    }

    fn key(&self, fence: u64) -> String {
        format!("{}{fence:08}.json", self.folder())
    }

    fn contended(&self) -> Error {
        Error::transient(format!(
            "the lease of `{}` cannot be taken: others keep taking it",
            self.pipeline
        ))
        .with_hint("run again; if it stays so, two schedulers run this pipeline")
    }
}

impl Entry {
    fn lease(&self) -> TimeDelta {
        TimeDelta::milliseconds((self.lease_seconds * 1000.0) as i64)
    }

    fn bytes(&self) -> Result<Bytes> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::internal("a lease cannot be written as JSON").with_source(error)
        })?;
        text.push(b'\n');
        Ok(text.into())
    }

    /// Whether these are the bytes of the same lease, at any renewal.
    fn is_of(&self, bytes: &[u8]) -> bool {
        serde_json::from_slice::<Self>(bytes).is_ok_and(|other| {
            other.fence == self.fence
                && other.holder.run == self.holder.run
                && other.holder.process == self.holder.process
                && other.holder.host == self.holder.host
        })
    }
}

impl Holder {
    fn unknown(since: &DateTime<Utc>) -> Self {
        Self {
            run: "unknown".to_owned(),
            host: "unknown".to_owned(),
            pid: 0,
            process: String::new(),
            since: since.to_rfc3339(),
            group: None,
        }
    }
}

/// Keeps a lease.
#[derive(Debug)]
struct Keeper {
    desk: Desk,
    /// What was put last. Locked while it is put, so that no older put overtakes a newer one.
    entry: tokio::sync::Mutex<Entry>,
    lost: watch::Sender<bool>,
}

/// Leases that this process holds: one that was dropped and not released is free for the next run of a
/// process that lives on, such as the scheduler.
static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Keeper {
    /// Tidies up, then renews until the lease is lost. Time is counted from before the last renewal that succeeded, because
    /// the store may have taken it at once.
    async fn keep(self: Arc<Self>, taken: Instant, fence: u64, lines: Vec<Listed>) {
        let lease = self.desk.lease;
        let mut renewed = taken;
        let tidy = self.desk.tidy(fence, lines);
        // A process that slept on its way here has less time left, or none.
        let tidied = (renewed + lease * 2 / 3).min(Instant::now() + lease / 3);
        let _late = tokio::time::timeout_at(tidied, tidy).await;
        let mut pause = lease / 3;
        loop {
            let deadline = renewed + lease * 2 / 3;
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            let started = Instant::now();
            match tokio::time::timeout_at(deadline, self.renew()).await {
                Ok(Ok(true)) => {
                    renewed = started;
                    pause = lease / 3;
                }
                Ok(Err(error)) if Instant::now() < deadline => {
                    tracing::warn!(
                        pipeline = self.desk.pipeline,
                        error = %error,
                        "the lease cannot be renewed; trying again"
                    );
                    pause = lease / 20;
                }
                Ok(Ok(false)) => {
                    tracing::error!(
                        pipeline = self.desk.pipeline,
                        "the lease was taken by another runner"
                    );
                    break;
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(
                        pipeline = self.desk.pipeline,
                        "the lease could not be renewed in time"
                    );
                    break;
                }
            }
        }
        self.lost.send_replace(true);
    }

    /// Renews once; `false` if it is somebody else's by now.
    async fn renew(&self) -> Result<bool> {
        let mut entry = self.entry.lock().await;
        let listed = self.desk.listed().await?;
        let is_newest = listed
            .last()
            .is_some_and(|(number, _)| *number == entry.fence);
        if !is_newest || !self.desk.is_there(&entry).await? {
            return Ok(false);
        }
        entry.renewal += 1;
        self.put(&entry).await?;
        Ok(true)
    }

    async fn put(&self, entry: &Entry) -> Result<()> {
        let key = self.desk.key(entry.fence);
        self.desk.store.put_hint(&key, entry.bytes()?).await
    }
}

fn held() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lease {
    fn start(
        desk: Desk,
        entry: Entry,
        took_over: Option<Holder>,
        taken: Instant,
        lines: Vec<Listed>,
    ) -> Self {
        let fence = entry.fence;
        let mark = entry.holder.run.clone();
        held().insert(mark.clone());
        let keeper = Arc::new(Keeper {
            desk,
            entry: tokio::sync::Mutex::new(entry),
            lost: watch::Sender::new(false),
        });
        let task = tokio::spawn(Arc::clone(&keeper).keep(taken, fence, lines));
        Self {
            fence,
            took_over,
            keeper,
            task,
            mark,
            is_unsettled: AtomicBool::new(false),
        }
    }

    /// The fencing number: larger than that of every holder before.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// The holder that died with this lease's predecessor.
    pub(crate) fn took_over(&self) -> Option<&Holder> {
        self.took_over.as_ref()
    }

    /// Notes the group of the stages, so that whoever takes over can end them.
    pub(crate) async fn note_group(&self, group: Option<Group>) -> Result<()> {
        let mut entry = self.keeper.entry.lock().await;
        entry.holder.group = group;
        self.keeper.put(&entry).await
    }

    /// Whether it is lost, as [`Self::lost`] has it.
    pub(crate) fn is_lost(&self) -> bool {
        *self.keeper.lost.borrow()
    }

    /// Returns when the lease is lost: taken by somebody else, or not renewed for so long that it may
    /// be soon. The stages must be ended then, and nothing more be written.
    pub(crate) async fn lost(&self) {
        let mut lost = self.keeper.lost.subscribe();
        // The sender lives as long as this lease.
        let _gone = lost.wait_for(|lost| *lost).await;
    }

    /// Says that a put of a state has failed without an answer: it may still arrive, so that the lease must not
    /// be given back as if nothing were under way.
    pub(crate) fn note_unsettled(&self) {
        self.is_unsettled.store(true, Ordering::Relaxed);
    }

    /// Gives it back. One with an unsettled put is left to be taken over, so that the state is fenced off.
    pub(crate) async fn release(self) -> Result<()> {
        if self.is_lost() || self.is_unsettled.load(Ordering::Relaxed) {
            // It is somebody else's to say what becomes of it, or of the put.
            return Ok(());
        }
        let mut entry = self.keeper.entry.lock().await;
        self.task.abort();
        entry.released = true;
        entry.holder.group = None;
        self.keeper.put(&entry).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
        held().remove(&self.mark);
    }
}

fn number_of(key: &str, folder: &str) -> Option<u64> {
    let digits = key.strip_prefix(folder)?.strip_suffix(".json")?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod sleeper;
#[cfg(test)]
mod tests;
