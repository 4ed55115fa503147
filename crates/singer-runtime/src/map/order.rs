//! Writes what the pieces become in the order of the input, rejects before it, and keeps count.

use std::sync::Arc;
use std::time::Duration;

use singer_core::{Error, Result};
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::feed::Turn;
use super::work::{Done, Out, Pulse, Refused};
use crate::monitor::Monitor;
use crate::rejects::{Reject, Rejects};
use crate::stdio::Pipe;

/// Records that could not be changed are logged one by one up to this many.
const LOGGED: u64 = 10;

/// How often somebody looks whether the work on a record ends.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is left of a time limit to whoever keeps it by himself.
const GRACE: Duration = Duration::from_secs(2);

/// The far end of the threads.
pub(super) struct Order {
    pub(super) pipe: Pipe,
    pub(super) monitor: Arc<Monitor>,
    pub(super) rejects: Arc<Rejects>,
    pub(super) pulses: Vec<Arc<Pulse>>,
    pub(super) record_time_limit: Duration,
    pub(super) rejected: u64,
    pub(super) passed: u64,
}

impl Order {
    /// Writes until nothing more comes. What stands before a failure is written.
    pub(super) async fn run(&mut self, turns: &mut mpsc::Receiver<Turn>) -> anyhow::Result<()> {
        while let Some(turn) = turns.recv().await {
            match turn {
                Turn::Bytes(bytes) => self.pipe.send(bytes).await?,
                Turn::Piece(done) => {
                    let done = self.done(done).await?;
                    self.write(done).await?;
                }
                Turn::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for a piece, and no longer than records may take.
    async fn done(&self, mut done: oneshot::Receiver<Done>) -> Result<Done> {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut done => {
                    return done.map_err(|_| Error::internal("a thread that changes records has ended"));
                }
                _ = look.tick() => self.check_pulses()?,
            }
        }
    }

    fn check_pulses(&self) -> Result<()> {
        let limit = self.record_time_limit + GRACE;
        match self.pulses.iter().find_map(|pulse| pulse.stuck(limit)) {
            None => Ok(()),
            Some(line) => Err(Error::rejected(format!(
                "line {line}: the work on this record takes longer than {} s, and cannot be ended by itself",
                self.record_time_limit.as_secs_f64()
            ))),
        }
    }

    async fn write(&mut self, done: Done) -> anyhow::Result<()> {
        for (stream, tally) in &done.tallies {
            let counters = self.monitor.stream(stream);
            counters.begin();
            counters.read.add(tally.read);
            counters.sent.add(tally.written);
            counters.bytes.add(tally.bytes);
        }
        if !done.refused.is_empty() {
            self.refuse(&done.refused).await?;
        }
        match done.out {
            Out::New(bytes) => self.pipe.send(bytes).await?,
            Out::Same { head, block, range } => {
                self.pipe.send(head).await?;
                let is_whole = range == (0..block.len());
                let bytes = match Arc::try_unwrap(block) {
                    Ok(block) if is_whole => block,
                    Ok(mut block) => {
                        block.truncate(range.end);
                        block.drain(..range.start);
                        block
                    }
                    Err(shared) => shared[range].to_vec(),
                };
                self.pipe.send(bytes).await?;
            }
        }
        done.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Notes what could not be changed. Rejects are on disk before a STATE behind them is written.
    async fn refuse(&mut self, refused: &[Refused]) -> Result<()> {
        let mut is_any_rejected = false;
        for refused in refused {
            if self.rejected + self.passed < LOGGED {
                let (stream, place, reason) = (&refused.stream, &refused.place, &refused.reason);
                match refused.reject {
                    Some(_) => tracing::warn!(%stream, "{place}: record rejected: {reason}"),
                    None => tracing::warn!(%stream, "{place}: record passes as it is: {reason}"),
                }
            }
            let Some(reject) = &refused.reject else {
                self.passed += 1;
                continue;
            };
            self.rejected += 1;
            is_any_rejected = true;
            self.monitor.stream(&refused.stream).rejected.add(1);
            self.rejects.append(&Reject {
                stream: &refused.stream,
                key: &reject.key,
                record: &reject.record,
                reason: &refused.reason,
                code: None,
                line: Some(refused.line),
                attempts: 0,
            })?;
        }
        if is_any_rejected {
            let rejects = Arc::clone(&self.rejects);
            crate::blocking::blocking(move || rejects.sync()).await?;
        }
        Ok(())
    }
}
