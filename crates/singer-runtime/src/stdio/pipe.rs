//! A tap's way to stdout: blocks of whole lines, written by a thread of its own.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use singer_core::{Error, Result};
use tokio::sync::mpsc;

use super::write_error;

/// The size at which a block is handed over: large enough that a hand-over costs nothing per record.
pub(crate) const BLOCK_SIZE: usize = 128 * 1024;

/// Blocks that may wait for a slow reader. With the buffers of the streams this bounds the memory.
const WAITING_BLOCKS: usize = 8;

/// The near end: hands blocks over. Cheap to clone; blocks are written in the order of [`Pipe::send`].
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    sender: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

/// The far end: the thread that writes.
#[derive(Debug)]
pub(crate) struct PipeEnd {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Written blocks, empty again.
    spare: Mutex<Vec<Vec<u8>>>,
    failure: Mutex<Option<std::io::Error>>,
}

impl Pipe {
    /// Starts the thread that writes to `sink`.
    pub(crate) fn open(sink: impl Write + Send + 'static) -> Result<(Self, PipeEnd)> {
        let (sender, receiver) = mpsc::channel(WAITING_BLOCKS);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || write_blocks(sink, receiver, &shared)
            })
            .map_err(|error| Error::internal("cannot start a thread").with_source(error))?;
        let pipe = Self {
            sender,
            shared: Arc::clone(&shared),
        };
        Ok((pipe, PipeEnd { thread, shared }))
    }

    /// An empty buffer with room for a block.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let spare = self.shared.spare().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BLOCK_SIZE + BLOCK_SIZE / 8))
    }

    /// Hands a block of whole lines over; waits while too many wait already. An error means that
    /// nothing can be written any more.
    pub(crate) async fn send(&self, block: Vec<u8>) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        self.room().await?.send(block);
        Ok(())
    }

    /// Waits until a block may be handed over. Whoever must not lose a block when its future is
    /// dropped lets go of the block only then.
    pub(crate) async fn room(&self) -> Result<mpsc::Permit<'_, Vec<u8>>> {
        self.sender.reserve().await.map_err(|_| self.shared.error())
    }
}

impl PipeEnd {
    /// Waits until every block was written. All [`Pipe`]s must be gone by then.
    pub(crate) async fn finish(self) -> Result<()> {
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            return Err(Error::internal("the writer of stdout panicked"));
        }
        let failure = self.shared.failure().take();
        failure.map_or(Ok(()), |error| Err(write_error(error)))
    }
}

impl Shared {
    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<std::io::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure for one of those who met it; the original stays for [`PipeEnd::finish`].
    fn error(&self) -> Error {
        let failure = self.failure();
        let kind = failure
            .as_ref()
            .map_or(std::io::ErrorKind::BrokenPipe, std::io::Error::kind);
        let same = failure
            .as_ref()
            .and_then(std::io::Error::raw_os_error)
            .map_or_else(|| kind.into(), std::io::Error::from_raw_os_error);
        write_error(same)
    }
}

fn write_blocks(mut sink: impl Write, mut receiver: mpsc::Receiver<Vec<u8>>, shared: &Shared) {
    while let Some(mut block) = receiver.blocking_recv() {
        if let Err(error) = sink.write_all(&block).and_then(|()| sink.flush()) {
            // Noted before the channel closes, so that whoever fails to send finds it.
            *shared.failure() = Some(error);
            return;
        }
        // A record larger than usual should not keep its memory for the whole run.
        if block.capacity() <= 4 * BLOCK_SIZE {
            block.clear();
            let mut spare = shared.spare();
            if spare.len() <= WAITING_BLOCKS {
                spare.push(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A sink that keeps what it gets and fails after `left` bytes.
    #[derive(Clone)]
    struct Sink {
        written: Arc<Mutex<Vec<u8>>>,
        left: usize,
        failure: io::ErrorKind,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.left {
                return Err(self.failure.into());
            }
            self.left -= bytes.len();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(left: usize, failure: io::ErrorKind) -> Sink {
        Sink {
            written: Arc::default(),
            left,
            failure,
        }
    }

    #[tokio::test]
    async fn blocks_come_out_in_order_and_their_buffers_come_back() {
        let sink = sink(usize::MAX, io::ErrorKind::Other);
        let written = Arc::clone(&sink.written);
        let (pipe, end) = Pipe::open(sink).unwrap();
        let mut expected = Vec::new();
        for number in 0..100_u32 {
            let mut block = pipe.buffer();
            assert!(block.is_empty());
            block.extend_from_slice(format!("{number}\n").as_bytes());
            expected.extend_from_slice(&block);
            pipe.send(block).await.unwrap();
        }
        drop(pipe);
        end.finish().await.unwrap();
        assert_eq!(*written.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_told_from_a_full_disk() {
        for (kind, message) in [
            (io::ErrorKind::BrokenPipe, "the reader of stdout has gone"),
            (io::ErrorKind::StorageFull, "cannot write to stdout"),
        ] {
            let (pipe, end) = Pipe::open(sink(10, kind)).unwrap();
            let error = loop {
                if let Err(error) = pipe.send(b"12345678\n".to_vec()).await {
                    break error;
                }
            };
            assert_eq!(error.message(), message);
            drop(pipe);
            assert_eq!(end.finish().await.unwrap_err().message(), message);
        }
    }
}
