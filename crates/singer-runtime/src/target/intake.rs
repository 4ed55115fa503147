//! Reading: from blocks of the input to full batches, on a thread of its own.
//!
//! Each line is scanned once, held against its schema, and copied once into the batch of its stream.
//! The thread waits for nothing but input, memory, and the writer of a stream whose SCHEMA has just
//! come; while it waits, batches that are old enough are handed over all the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use singer_core::scan::Fields;
use singer_core::{Error, Result};
use tokio::sync::mpsc;

use super::Writer;
use super::options::Metadata;
use super::read::{Blocks, Lines, MAX_LINE_BYTES};
use super::shared::{End, Event, Shared};
use crate::batch_files::BatchFiles;

use columns::Times;
use slot::Slot;

mod columns;
mod message;
mod record;
mod slot;
mod wait;

/// The state of reading.
pub(crate) struct Intake<W> {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event<W>>,
    /// What is to be sent before the next line is read.
    outbox: VecDeque<Event<W>>,
    slots: Vec<Slot<W>>,
    names: HashMap<String, usize>,
    /// The slot of the last record: the next one is most likely of the same stream.
    last: usize,
    fields: Fields,
    /// Numbers given so far: one for each record, one for each activation of a version.
    numbers: u64,
    /// Records that came before the last STATE.
    records_before_state: u64,
    /// Bytes in batches that are being filled.
    open_bytes: usize,
    times: Times,
    unknown_types: HashSet<String>,
}

/// What is to be done before the next line is taken.
enum Flow {
    /// Nothing.
    Next,
    /// The writer of this slot must be there; then the same line again.
    Await(usize),
    /// These files are to be read into this slot.
    Files(usize, BatchFiles, Option<i64>),
}

/// What the lines of an input are.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    /// Singer messages.
    Messages,
    /// Records of a BATCH message.
    Records {
        slot: usize,
        version: Option<i64>,
        /// The line of the message.
        line: u64,
        path: &'a Path,
    },
}

impl Content<'_> {
    /// Where a line is, for errors.
    fn place(self, number: u64) -> String {
        match self {
            Self::Messages => format!("line {number}"),
            Self::Records { line, path, .. } => {
                format!(
                    "line {line}: batch file `{}`, line {number}",
                    path.display()
                )
            }
        }
    }

    /// The error of a file as a whole with the file's name; that of the input stays as it is.
    fn within(self, error: Error) -> Error {
        match self {
            Self::Messages => error,
            Self::Records { line, path, .. } => {
                error.at(format_args!("line {line}: batch file `{}`", path.display()))
            }
        }
    }
}

/// Reading goes no further: the input's end, a stop, or a writing side that has gone.
enum Halt {
    Failed(Error),
    Stopped,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<W: Writer> Intake<W> {
    pub(crate) fn new(shared: Arc<Shared>, events: mpsc::Sender<Event<W>>) -> Self {
        Self {
            times: Times::new(shared.context.started_at()),
            shared,
            events,
            outbox: VecDeque::new(),
            slots: Vec::new(),
            names: HashMap::new(),
            last: 0,
            fields: Fields::default(),
            numbers: 0,
            records_before_state: 0,
            open_bytes: 0,
            unknown_types: HashSet::new(),
        }
    }

    /// Reads the input to its end, or until a line cannot be used or a stop is asked for.
    pub(crate) async fn run(mut self, input: Box<dyn Read + Send>) {
        let mut end = match self.read(input, Content::Messages).await {
            Ok(()) => End::Input,
            Err(Halt::Stopped) => End::Stopped,
            Err(Halt::Failed(error)) => End::Failed(error),
        };
        self.count();
        // What was read is written, whatever ends the reading.
        for slot in 0..self.slots.len() {
            self.seal(slot);
        }
        if matches!(end, End::Input)
            && let Err(error) = self.end_versions()
        {
            end = End::Failed(error);
        }
        self.outbox.push_back(Event::Ended(end));
        // If nobody listens any more, nobody needs to know that this is the end.
        drop(self.flush().await);
    }

    async fn read(
        &mut self,
        input: Box<dyn Read + Send>,
        content: Content<'_>,
    ) -> Result<(), Halt> {
        let mut blocks = Blocks::start(input)?;
        let mut lines = Lines::new(MAX_LINE_BYTES);
        while let Some(block) = self.next_block(&mut blocks, content).await? {
            let mut at = 0;
            while let Some((number, line)) = lines
                .next(&block, &mut at)
                .map_err(|error| content.within(error))?
            {
                self.line(line, number, content).await?;
            }
            self.count();
            blocks.give_back(block);
        }
        if let Some((number, line)) = lines.last() {
            self.line(line, number, content).await?;
        }
        Ok(())
    }

    async fn next_block(
        &mut self,
        blocks: &mut Blocks,
        content: Content<'_>,
    ) -> Result<Option<Vec<u8>>, Halt> {
        let block = self.while_waiting(blocks.next()).await?;
        // Also before the first SCHEMA: it may stand in one block with its records.
        if self.shared.options.metadata == Metadata::Added {
            self.times.receive(self.shared.context.now());
        }
        let block = block.transpose().map_err(|error| match content {
            Content::Messages => Error::internal("cannot read the input").with_source(error),
            Content::Records { .. } => {
                content.within(Error::protocol("the file cannot be read").with_source(error))
            }
        })?;
        Ok(block)
    }

    #[inline]
    async fn line(&mut self, line: &[u8], number: u64, content: Content<'_>) -> Result<(), Halt> {
        loop {
            let flow = self
                .take(line, number, content)
                .map_err(|error| error.at(content.place(number)))?;
            match flow {
                Flow::Next => break,
                Flow::Await(slot) => self.await_writer(slot).await?,
                Flow::Files(slot, files, version) => {
                    self.read_files(slot, &files, version, number).await?;
                    break;
                }
            }
        }
        if !self.outbox.is_empty() {
            self.flush().await?;
        }
        if self.open_bytes + self.shared.memory.sealed() > self.shared.memory.limit() {
            self.make_room().await?;
        }
        Ok(())
    }

    async fn read_files(
        &mut self,
        slot: usize,
        files: &BatchFiles,
        version: Option<i64>,
        line: u64,
    ) -> Result<(), Halt> {
        for path in &files.paths {
            let input = files
                .open(path)
                .map_err(|error| error.at(format_args!("line {line}")))?;
            let content = Content::Records {
                slot,
                version,
                line,
                path,
            };
            // Boxed, since reading a file is part of reading the input.
            Box::pin(self.read(input, content)).await?;
        }
        Ok(())
    }

    /// Brings the counts up to date.
    fn count(&mut self) {
        let read: u64 = self.slots.iter_mut().map(Slot::count).sum();
        if read > 0 {
            self.shared.read.add(read);
        }
    }
}
