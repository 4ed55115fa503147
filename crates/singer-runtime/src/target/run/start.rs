//! What is begun next in a lane.

use std::sync::Arc;

use singer_core::Error;

use super::super::batch::Batch;
use super::super::shared::{Handle, Shared};
use super::super::{Refusal, Replaces, Verdict};
use super::{Done, Run, Step, Target, Work, Writer};
use crate::rejects::Reject;

impl<T: Target> Run<T> {
    /// Begins what stands first in a lane's queue. Returns whether there may be more to begin.
    pub(super) fn advance(&mut self, slot: usize) -> bool {
        let lane = &self.lanes[slot];
        if matches!(lane.step, Step::Opening | Step::Busy) {
            return false;
        }
        match lane.queue.front() {
            None => false,
            Some(Work::Batch(_)) => self.advance_batch(slot),
            // A new schema and a version come after all batches before them.
            Some(_) if lane.in_flight > 0 => false,
            Some(Work::Open(..)) => {
                self.start_open(slot);
                true
            }
            Some(Work::Activate { .. }) => self.advance_activation(slot),
        }
    }

    /// A version may take effect without any batch before it, and is then the first write itself.
    fn advance_activation(&mut self, slot: usize) -> bool {
        self.pass_over_version(slot);
        if !matches!(self.lanes[slot].queue.front(), Some(Work::Activate { .. })) {
            return true;
        }
        let has_failed = self.lanes[slot].failure.is_some();
        if !has_failed && !self.shared.context.dry_run() {
            if !self.may_write() {
                return false;
            }
            if self.lanes[slot].step == Step::Opened {
                self.start_preparation(slot);
                return false;
            }
        }
        self.start_activation(slot);
        true
    }

    /// Passes over a version that takes no effect: one without records, unless the writer has those of a
    /// run before; and one of which the destination refused records, as rows that it never saw would be
    /// taken for deleted, but for rows that are kept out of sight until then and are nowhere else.
    fn pass_over_version(&mut self, slot: usize) {
        let lane = &mut self.lanes[slot];
        let Some(Work::Activate {
            number,
            version,
            rows,
        }) = lane.queue.front()
        else {
            return;
        };
        let replaces = lane.writer.as_ref().map(|writer| writer.replaces());
        let is_empty = rows.is_none() && replaces != Some(Replaces::Resumable);
        let is_incomplete =
            lane.incomplete.contains(version) && replaces == Some(Replaces::Nothing);
        let reason = match (is_empty, is_incomplete) {
            _ if lane.failure.is_some() => return,
            (true, _) => "a version without records takes no effect: `allow_empty` is not set",
            (_, true) => "a version takes no effect, since some of its records were rejected",
            _ => return,
        };
        tracing::warn!(stream = lane.handle.name(), "{reason}");
        let number = *number;
        lane.queue.pop_front();
        self.activations -= 1;
        self.shared.ledger().confirm(number);
    }

    fn advance_batch(&mut self, slot: usize) -> bool {
        if self.lanes[slot].failure.is_some() {
            if let Some(Work::Batch(batch)) = self.lanes[slot].queue.pop_front() {
                // It stays in the ledger and holds every later STATE back.
                self.shared.free(batch);
            }
            return true;
        }
        if self.shared.context.dry_run() {
            return self.preview_batch(slot);
        }
        if self.in_flight >= self.shared.options.parallel || !self.may_write() {
            return false;
        }
        if self.lanes[slot].step == Step::Opened {
            self.start_preparation(slot);
            return false;
        }
        let Some(Work::Batch(batch)) = self.lanes[slot].queue.front() else {
            return false;
        };
        if self.keys.conflict_with(&batch.hashes) {
            return false;
        }
        self.start_write(slot);
        true
    }

    fn start_open(&mut self, slot: usize) {
        let lane = &mut self.lanes[slot];
        let Some(Work::Open(stream, reply)) = lane.queue.pop_front() else {
            return;
        };
        if lane.failure.is_some() {
            // The reader may have gone, and then does not want to know.
            drop(reply.send(None));
            return;
        }
        lane.step = Step::Opening;
        let old = lane.writer.take();
        let target = Arc::clone(&self.target);
        self.tasks.spawn(async move {
            let result = guarded(async move {
                if let Some(old) = old {
                    old.close().await?;
                }
                target.open(stream).await
            })
            .await;
            Done::Opened {
                slot,
                result,
                reply,
            }
        });
    }

    fn start_preparation(&mut self, slot: usize) {
        let lane = &mut self.lanes[slot];
        let Some(writer) = lane.writer.clone() else {
            return;
        };
        lane.step = Step::Busy;
        self.tasks.spawn(async move {
            let result = guarded(async move { writer.prepare().await }).await;
            Done::Prepared { slot, result }
        });
    }

    fn start_write(&mut self, slot: usize) {
        let lane = &mut self.lanes[slot];
        let Some(writer) = lane.writer.clone() else {
            return;
        };
        let Some(Work::Batch(batch)) = lane.queue.pop_front() else {
            return;
        };
        lane.in_flight += 1;
        lane.handle.counters.in_flight.add(1);
        self.in_flight += 1;
        self.keys.add(&batch.hashes);
        let handle = Arc::clone(&lane.handle);
        let shared = Arc::clone(&self.shared);
        let records = Arc::clone(&batch.batch);
        self.tasks.spawn(async move {
            let result = guarded(async move {
                let outcome = writer.write(Arc::clone(&records)).await?;
                write_down(&shared, &handle, &records, &outcome.refusals)?;
                Ok(outcome)
            })
            .await;
            Done::Written {
                slot,
                batch,
                result,
            }
        });
    }

    fn start_activation(&mut self, slot: usize) {
        let lane = &mut self.lanes[slot];
        let Some(Work::Activate {
            number,
            version,
            rows,
        }) = lane.queue.pop_front()
        else {
            return;
        };
        let Some(writer) = lane.writer.clone().filter(|_| lane.failure.is_none()) else {
            self.activations -= 1;
            return;
        };
        if self.shared.context.dry_run() {
            self.activations -= 1;
            self.shared.ledger().confirm(number);
            return;
        }
        lane.step = Step::Busy;
        self.tasks.spawn(async move {
            let result = guarded(async move { writer.activate_version(version, rows).await }).await;
            Done::Activated {
                slot,
                number,
                result,
            }
        });
    }
}

/// Runs work of a connector in a task of its own: if it panics, only this work has failed.
async fn guarded<V: Send + 'static>(
    work: impl Future<Output = anyhow::Result<V>> + Send + 'static,
) -> anyhow::Result<V> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("a defect in the connector: it panicked")
            .with_source(error)
            .into()),
    }
}

/// Adds the rows of a batch that were not taken to the rejects file.
fn write_down(
    shared: &Shared,
    handle: &Handle,
    batch: &Batch,
    refusals: &[Refusal],
) -> anyhow::Result<()> {
    let (mut key, mut json) = (Vec::new(), Vec::new());
    for refusal in refusals {
        if refusal.index >= batch.len() {
            return Err(Error::internal(
                "a defect in the connector: it refused a row that is not in the batch",
            )
            .into());
        }
        let record = batch.record(refusal.index);
        key.clear();
        json.clear();
        record.write_key(&mut key);
        record.write_json(&mut json);
        shared.refuse(&Reject {
            stream: handle.name(),
            key: &key,
            record: &json,
            reason: match refusal.verdict {
                Verdict::Rejected => &refusal.reason,
                Verdict::Missing => "missing",
            },
            code: refusal.code.as_deref(),
            line: Some(record.line()),
            attempts: record.attempts(),
        })?;
    }
    Ok(())
}
