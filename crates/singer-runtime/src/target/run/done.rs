//! What follows when a task is done.

use std::sync::Arc;

use super::super::Verdict;
use super::super::shared::Sealed;
use super::{Done, Outcome, Run, Step, Target, Writer};

impl<T: Target> Run<T> {
    pub(super) fn done(&mut self, done: Done<T::Writer>) {
        match done {
            Done::Opened {
                slot,
                result,
                reply,
            } => {
                let writer = self.opened(slot, result);
                // The reader may have gone, and then does not want to know.
                drop(reply.send(writer));
                self.judge_plans();
            }
            Done::Prepared { slot, result } => {
                self.lanes[slot].step = Step::Ready;
                if let Err(error) = result {
                    self.fail(slot, error);
                }
            }
            Done::Written {
                slot,
                batch,
                result,
            } => self.written(slot, batch, result),
            Done::Activated {
                slot,
                number,
                result,
            } => {
                self.lanes[slot].step = Step::Ready;
                self.activations -= 1;
                match result {
                    Ok(outcome) => {
                        self.count(slot, &outcome);
                        self.shared.ledger().confirm(number);
                    }
                    Err(error) => self.fail(slot, error),
                }
            }
            Done::Published(result) => {
                self.is_publishing = false;
                if let Err(error) = result {
                    self.cannot_publish = true;
                    self.stop_with(error);
                }
            }
        }
    }

    /// Takes a new writer, if there is one, and what it plans.
    fn opened(&mut self, slot: usize, result: anyhow::Result<T::Writer>) -> Option<Arc<T::Writer>> {
        self.lanes[slot].step = Step::Opened;
        let writer = match result {
            Ok(writer) => Arc::new(writer),
            Err(error) => {
                self.open_failed(slot, error);
                return None;
            }
        };
        let plan = writer.plan();
        let lane = &mut self.lanes[slot];
        tracing::debug!(
            stream = lane.handle.name(),
            destination = plan.destination,
            creates = plan.creates.len(),
            problems = plan.problems.len(),
            "opened"
        );
        lane.plan = plan;
        lane.writer = Some(Arc::clone(&writer));
        self.judge_plan(slot);
        self.lanes[slot].failure.is_none().then_some(writer)
    }

    fn written(&mut self, slot: usize, batch: Sealed, result: anyhow::Result<Outcome>) {
        let lane = &mut self.lanes[slot];
        lane.in_flight -= 1;
        lane.handle.counters.in_flight.sub(1);
        self.in_flight -= 1;
        self.keys.remove(&batch.hashes);
        match result {
            Ok(outcome) => {
                tracing::debug!(
                    stream = lane.handle.name(),
                    rows = batch.batch.len(),
                    requests = outcome.requests,
                    bytes = outcome.bytes,
                    refused = outcome.refusals.len(),
                    "batch written"
                );
                let refused = outcome.refusals.iter();
                let rejected = refused.filter(|refusal| refusal.verdict == Verdict::Rejected);
                let versions =
                    rejected.filter_map(|refusal| batch.batch.record(refusal.index).version());
                lane.incomplete.extend(versions);
                self.shared.ledger().confirm(batch.first);
                self.count(slot, &outcome);
            }
            Err(error) => self.fail(slot, error),
        }
        self.shared.free(batch);
    }

    fn count(&mut self, slot: usize, outcome: &Outcome) {
        let handle = Arc::clone(&self.lanes[slot].handle);
        let counters = &handle.counters;
        counters.sent.add(outcome.sent);
        counters.unchanged.add(outcome.unchanged);
        counters.cleared.add(outcome.cleared);
        counters.retried.add(outcome.retried);
        counters.bytes.add(outcome.bytes);
        let refused = outcome.refusals.len() as u64;
        let is_missing = |verdict: Verdict| verdict == Verdict::Missing;
        let missing = outcome
            .refusals
            .iter()
            .filter(|refusal| is_missing(refusal.verdict))
            .count() as u64;
        counters.missing.add(missing);
        if refused > missing
            && let Err(error) = self.shared.count_rejected(&handle, refused - missing)
        {
            self.stop_with(error.into());
        }
    }
}
