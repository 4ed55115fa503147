//! The state while a run lasts: all streams write into it, one STATE line at a time comes out.

use serde_json::{Map, Value};
use singer_core::Result;
use singer_core::message::write_state;
use singer_core::state::State;
use tokio::sync::Mutex;

use crate::stdio::Pipe;

/// The bookmarks of all streams, also of those that this run does not touch.
#[derive(Debug)]
pub(super) struct Bookmarks {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// The streams at work, the one that began first in front.
    at_work: Vec<String>,
}

impl Bookmarks {
    pub(super) fn new(state: State) -> Self {
        Self {
            inner: Mutex::new(Inner {
                state,
                at_work: Vec::new(),
            }),
        }
    }

    /// A stream begins: it is `currently_syncing` if no other is.
    pub(super) async fn begin(&self, id: &str) {
        let mut inner = self.inner.lock().await;
        inner.at_work.push(id.to_owned());
        inner.note_stream_at_work();
    }

    /// A stream has ended, well or badly. One that was interrupted stays `currently_syncing`, so
    /// that the next run begins with it.
    pub(super) async fn end(&self, id: &str) {
        let mut inner = self.inner.lock().await;
        inner.at_work.retain(|at_work| at_work != id);
        inner.note_stream_at_work();
    }

    /// Replaces the bookmark of a stream and writes a STATE. The caller has handed over every record
    /// that the bookmark covers.
    pub(super) async fn store(
        &self,
        pipe: &Pipe,
        id: &str,
        bookmark: &Map<String, Value>,
    ) -> Result<()> {
        let mut inner = self.inner.lock().await;
        inner.state.set_bookmark(id, bookmark);
        inner.write(pipe).await
    }

    /// Writes the last STATE of a run that did all that it was to do.
    pub(super) async fn finish(&self, pipe: &Pipe) -> Result<()> {
        self.inner.lock().await.write(pipe).await
    }

    /// Writes the last STATE of a run that failed. One that tells of no stream is left out: whoever
    /// stores it would lose the state of an earlier run.
    pub(super) async fn finish_failed(&self, pipe: &Pipe) -> Result<()> {
        let inner = self.inner.lock().await;
        if inner.state.is_empty() {
            return Ok(());
        }
        inner.write(pipe).await
    }
}

impl Inner {
    fn note_stream_at_work(&mut self) {
        self.state
            .set_currently_syncing(self.at_work.first().map(String::as_str));
    }

    /// Called under the lock, which is held until the line is in the queue: a STATE never overtakes
    /// another, and none tells of a bookmark whose records are behind it.
    async fn write(&self, pipe: &Pipe) -> Result<()> {
        let mut value = Vec::with_capacity(1024);
        self.state.write(&mut value);
        let mut line = pipe.buffer();
        write_state(&mut line, &String::from_utf8_lossy(&value));
        pipe.send(line).await
    }
}
