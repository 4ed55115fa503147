//! Writing: opens writers, keeps batches in flight, and prints each STATE once it is safe.
//!
//! One task decides everything here; what waits for the service or the disk runs in tasks of its
//! own, which tell it when they are done.

use std::sync::Arc;

use singer_core::{Error, Kind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::lane::{KeysInFlight, Lane, Step, Work};
use super::publish::Outlet;
use super::shared::{End, Event, Sealed, Shared};
use super::{Outcome, Target, Writer};
use crate::exit;
use crate::stop::Reason;

use preview::Preview;

mod done;
mod ending;
mod preview;
mod problems;
mod start;

pub(crate) use ending::Report;

/// The writing side of a run.
pub(crate) struct Run<T: Target> {
    target: Arc<T>,
    shared: Arc<Shared>,
    outlet: Outlet,
    lanes: Vec<Lane<T::Writer>>,
    previews: Vec<Preview>,
    /// The lane that is looked at first: they take turns.
    turn: usize,
    tasks: JoinSet<Done<T::Writer>>,
    keys: KeysInFlight,
    /// Batches in flight, of all streams.
    in_flight: usize,
    is_publishing: bool,
    /// A state could not be printed, or what it covers could not be put on disk. What is missing there
    /// is missing for every later state too, so none is printed any more.
    cannot_publish: bool,
    /// Activations of versions that are not done.
    activations: usize,
    stage: Stage,
    /// Why the input is over, once it is.
    end: Option<End>,
    /// What stops the run: nothing is begun any more.
    fatal: Option<anyhow::Error>,
    is_stopped: bool,
}

/// Whether anything was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing yet: problems of all streams are collected.
    Planning,
    /// Every stream known at the first write could be written.
    Writing,
}

/// What a task tells when it is done. Its slot is that of the lane.
enum Done<W> {
    Opened {
        slot: usize,
        result: anyhow::Result<W>,
        reply: tokio::sync::oneshot::Sender<Option<Arc<W>>>,
    },
    Prepared {
        slot: usize,
        result: anyhow::Result<()>,
    },
    Written {
        slot: usize,
        batch: Sealed,
        result: anyhow::Result<Outcome>,
    },
    Activated {
        slot: usize,
        number: u64,
        result: anyhow::Result<Outcome>,
    },
    Published(anyhow::Result<()>),
}

impl<T: Target> Run<T> {
    pub(crate) fn new(target: Arc<T>, shared: Arc<Shared>, outlet: Outlet) -> Self {
        Self {
            target,
            shared,
            outlet,
            lanes: Vec::new(),
            previews: Vec::new(),
            turn: 0,
            tasks: JoinSet::new(),
            keys: KeysInFlight::default(),
            in_flight: 0,
            is_publishing: false,
            cannot_publish: false,
            activations: 0,
            stage: Stage::Planning,
            end: None,
            fatal: None,
            is_stopped: false,
        }
    }

    /// Writes what the reader sends until all is done, or as much as can be.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event<T::Writer>>) -> Report {
        let shared = Arc::clone(&self.shared);
        loop {
            self.pump();
            self.print_state();
            if self.is_stopped {
                events.close();
            }
            if self.is_done() {
                break;
            }
            let waits_to_print = !self.is_publishing && self.may_print();
            tokio::select! {
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => self.stop_with(
                        anyhow::Error::new(Error::internal("a task of the runtime failed").with_source(error)),
                    ),
                },
                event = events.recv(), if self.end.is_none() && !self.is_stopped => match event {
                    Some(event) => self.event(event),
                    None => self.stop_with(
                        anyhow::Error::new(Error::internal("the thread that reads the input panicked")),
                    ),
                },
                () = shared.safe_state.notified() => {}
                () = sleep_until(self.outlet.next()), if waits_to_print => {}
            }
        }
        drop(events);
        self.finish().await
    }

    fn event(&mut self, event: Event<T::Writer>) {
        match event {
            Event::Open {
                slot,
                handle,
                stream,
                reply,
            } => {
                if slot == self.lanes.len() {
                    handle.counters.begin();
                    self.lanes.push(Lane::new(handle));
                    self.previews.push(Preview::default());
                }
                self.lanes[slot].queue.push_back(Work::Open(stream, reply));
            }
            Event::Batch { slot, batch } => {
                self.lanes[slot].queue.push_back(Work::Batch(batch));
            }
            Event::Activate {
                slot,
                number,
                version,
                rows,
            } => {
                self.activations += 1;
                let work = Work::Activate {
                    number,
                    version,
                    rows,
                };
                self.lanes[slot].queue.push_back(work);
            }
            Event::Ended(end) => self.end = Some(end),
        }
    }

    /// Starts what can be started, lane by lane in turns.
    fn pump(&mut self) {
        let count = self.lanes.len();
        for step in 0..count {
            let slot = (self.turn + step) % count;
            while !self.is_stopped && self.advance(slot) {}
        }
        self.turn = (self.turn + 1) % count.max(1);
    }

    /// Prints the newest safe state, unless it is too early for the next one.
    fn print_state(&mut self) {
        if self.is_publishing || !self.may_print() {
            return;
        }
        if tokio::time::Instant::now() < self.outlet.next() && !self.is_idle() {
            return;
        }
        let state = self.shared.ledger().take_safe();
        if let Some(state) = state {
            self.is_publishing = true;
            let publish = self.outlet.publish(&self.target, &self.shared, state);
            self.tasks
                .spawn(async move { Done::Published(publish.await) });
        }
    }

    /// Whether a state is safe and may be printed. A dry run prints none; and once the input has
    /// ended, the versions that were remembered take effect first.
    fn may_print(&self) -> bool {
        let awaits_activation =
            matches!(self.end, Some(End::Input)) && self.activations > 0 && !self.is_stopped;
        !self.shared.context.dry_run()
            && !self.cannot_publish
            && !awaits_activation
            && self.shared.ledger().has_safe()
    }

    fn is_idle(&self) -> bool {
        let lanes_are_idle = || self.lanes.iter().all(Lane::is_idle);
        self.tasks.is_empty() && (self.is_stopped || self.end.is_some() && lanes_are_idle())
    }

    fn is_done(&self) -> bool {
        self.is_idle() && !self.is_publishing && !self.may_print()
    }

    /// Ends the run: nothing is begun any more, what is in flight is waited for. The first reason
    /// counts.
    fn stop_with(&mut self, error: anyhow::Error) {
        self.is_stopped = true;
        self.shared.context.stop().request(Reason::Failure);
        if self.fatal.is_none() {
            self.fatal = Some(error);
        }
    }

    /// A stream has failed. Others go on, unless what failed is wrong for all.
    fn fail(&mut self, slot: usize, error: anyhow::Error) {
        let lane = &mut self.lanes[slot];
        let kind = exit::kind(&error);
        if kind == Kind::Interrupted && self.shared.context.stop().requested() {
            self.is_stopped = true;
            return;
        }
        if matches!(kind, Kind::Auth | Kind::Config) {
            let error = match self.stage {
                Stage::Writing if kind == Kind::Config => {
                    // Exit code 2 would say that nothing was written.
                    let name = lane.handle.name();
                    error.context(Error::rejected(format!("cannot write stream `{name}`")))
                }
                _ => error,
            };
            return self.stop_with(error);
        }
        if lane.failure.is_some() {
            return;
        }
        tracing::error!(
            stream = lane.handle.name(),
            error = exit::summary_line(&error),
            "the stream has failed; the others go on"
        );
        lane.handle.fail();
        lane.failure = Some(error);
    }
}

#[cfg(test)]
mod tests;
