//! Where reading waits: for input, memory, a writer, and room in the queue to the writing side.

use tokio::time::{Instant, sleep_until};

use super::slot::{Open, Sink, Slot};
use super::{Halt, Intake};
use crate::target::Writer;

impl<W: Writer> Intake<W> {
    /// Waits for something, and hands over what grows too old meanwhile. The future is dropped when
    /// a stop is asked for.
    pub(super) async fn while_waiting<T>(
        &mut self,
        awaited: impl Future<Output = T>,
    ) -> Result<T, Halt> {
        let stop = self.shared.context.stop().clone();
        tokio::pin!(awaited);
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                () = stop.wait() => return Err(Halt::Stopped),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.seal_aged();
                    self.flush().await?;
                }
                value = &mut awaited => return Ok(value),
            }
        }
    }

    /// Waits until the writer of a slot is there, or is known to have failed.
    pub(super) async fn await_writer(&mut self, slot: usize) -> Result<(), Halt> {
        // What stands before the request for the writer must be sent, and the request itself.
        self.flush().await?;
        let Sink::Opening(reply) = std::mem::replace(&mut self.slots[slot].sink, Sink::Failed)
        else {
            return Ok(());
        };
        let writer = self.while_waiting(reply).await?;
        let slot = &mut self.slots[slot];
        // An answer that never comes means that the writing side has gone.
        slot.sink = Sink::of(&slot.stream, writer.map_err(|_| Halt::Stopped)?);
        Ok(())
    }

    /// Waits until the batches hold less than they may. Of the open ones the largest goes first.
    pub(super) async fn make_room(&mut self) -> Result<(), Halt> {
        let limit = self.shared.memory.limit();
        while self.open_bytes > limit / 2 {
            let largest = (0..self.slots.len()).max_by_key(|slot| open_memory(&self.slots[*slot]));
            let Some(largest) = largest else { break };
            self.seal(largest);
            self.flush().await?;
        }
        let shared = std::sync::Arc::clone(&self.shared);
        let sealed = limit.saturating_sub(self.open_bytes);
        self.while_waiting(shared.memory.wait_until_below(sealed))
            .await
    }

    /// Sends what is in the outbox.
    pub(super) async fn flush(&mut self) -> Result<(), Halt> {
        while let Some(event) = self.outbox.pop_front() {
            if self.events.send(event).await.is_err() {
                return Err(Halt::Stopped);
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| Some(slot.open.as_ref()?.deadline))
            .min()
    }

    fn seal_aged(&mut self) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            let open = &self.slots[slot].open;
            if open.as_ref().is_some_and(|open| open.deadline <= now) {
                self.seal(slot);
            }
        }
    }
}

fn open_memory<W>(slot: &Slot<W>) -> usize {
    slot.open.as_ref().map_or(0, |open: &Open| open.memory)
}
