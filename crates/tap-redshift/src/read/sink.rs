//! Where the rows of one attempt go: into records, and from time to time into a checkpoint.

use std::task::Poll;

use singer_core::{Error, Kind};
use singer_runtime::stop::Stop;
use singer_runtime::tap::Output;

use super::progress::Progress;
use crate::failure::{Attempt, Failure, Remedy};
use crate::key::KeyValue;
use crate::record::RecordWriter;

/// Takes the rows of one attempt.
pub(super) struct Sink<'a> {
    out: &'a mut Output,
    writer: RecordWriter,
    progress: &'a Progress,
    stop: &'a Stop,
    rows: u64,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        out: &'a mut Output,
        writer: RecordWriter,
        progress: &'a Progress,
        stop: &'a Stop,
    ) -> Self {
        Self {
            out,
            writer,
            progress,
            stop,
            rows: 0,
        }
    }

    /// The writer, with what it noticed.
    pub(super) fn writer(&self) -> &RecordWriter {
        &self.writer
    }

    /// Rows that were handed over.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The key of the last row that was handed over.
    pub(super) fn last_key(&self) -> Option<Vec<KeyValue>> {
        self.writer.last_key()
    }

    /// How many bytes the first row in these bytes has; `None` if it is not there as a whole.
    pub(super) fn split_binary(&mut self, bytes: &[u8]) -> Attempt<Option<usize>> {
        self.writer.split_binary(bytes).map_err(final_failure)
    }

    /// Hands over the row that was split last.
    pub(super) async fn binary_row(&mut self, row: &[u8]) -> Attempt<()> {
        let writer = &mut self.writer;
        self.out
            .record(|out| writer.write_binary(out, row))
            .await
            .map_err(final_failure)?;
        self.after_row().await
    }

    /// Hands over a row of texts.
    pub(super) async fn text_row<'r>(
        &mut self,
        value: impl FnMut(usize) -> singer_core::Result<Option<&'r str>>,
    ) -> Attempt<()> {
        let writer = &mut self.writer;
        self.out
            .record(|out| writer.write_text(out, value))
            .await
            .map_err(final_failure)?;
        self.after_row().await
    }

    async fn after_row(&mut self) -> Attempt<()> {
        self.rows += 1;
        if self.out.checkpoint_due() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Attempt<()> {
        let last = self.writer.last_key();
        let bookmark = self.progress.bookmark(last.as_deref());
        self.out.checkpoint(bookmark).await.map_err(final_failure)
    }

    /// Waits for the server, but not past a wish to stop.
    pub(super) async fn wait_for<T>(&mut self, next: impl Future<Output = T>) -> Attempt<T> {
        let mut next = std::pin::pin!(next);
        // Rows that are there already cost no look at anything else.
        let first_look = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context)));
        if let Poll::Ready(found) = first_look.await {
            return Ok(found);
        }
        tokio::select! {
            found = next => Ok(found),
            () = self.stop.wait() => {
                // It fails, since a stop was asked for; should it not, the stop still counts.
                self.checkpoint().await?;
                Err(final_failure(Error::new(Kind::Interrupted, "stopped on request")))
            }
        }
    }
}

/// A failure on this side of the pipe, or in the rows themselves: another attempt ends the same way.
pub(super) fn final_failure(error: Error) -> Failure {
    Failure {
        error,
        remedy: Remedy::None,
    }
}
