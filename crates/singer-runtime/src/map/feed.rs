//! Cuts the input into pieces of whole lines and hands them to the threads, and takes by itself the few
//! lines that change what comes after them: SCHEMA, and BATCH of a stream that is changed.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use memchr::memchr;
use singer_core::line::{self, Line};
use singer_core::scan::{self, Fields};
use singer_core::schema::Schema;
use singer_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::work::{Done, Known, Piece, Place, Streams, Work, before_schema};
use super::{Map, SchemaMessage};
use crate::batch_files::BatchFiles;
use crate::context::Context;
use crate::monitor::Monitor;
use crate::target::read::{Blocks, MAX_LINE_BYTES};

/// What the threads hand back, in the order of the input.
pub(super) enum Turn {
    /// What a piece becomes, once it is there.
    Piece(oneshot::Receiver<Done>),
    /// These bytes.
    Bytes(Vec<u8>),
    /// The input ends here, for this reason.
    Failed(anyhow::Error),
}

/// Why nothing more is read.
enum Halt {
    Failed(anyhow::Error),
    /// Somebody asked for it, or nobody listens any more.
    Stopped,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The state of the cut.
pub(super) struct Feed<M: Map> {
    map: Arc<M>,
    context: Context,
    monitor: Arc<Monitor>,
    work: SyncSender<Work<M>>,
    turns: mpsc::Sender<Turn>,
    streams: Arc<Streams<M>>,
}

/// Lines of one input: the messages, or a file of a BATCH.
struct Input {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Lines so far.
    lines: u64,
    /// Of a BATCH file: how it is called in errors, and what makes messages of its records.
    file: Option<File>,
}

struct File {
    words: Arc<str>,
    before: Vec<u8>,
}

impl<M: Map> Feed<M> {
    pub(super) fn new(
        map: Arc<M>,
        context: Context,
        monitor: Arc<Monitor>,
        work: SyncSender<Work<M>>,
        turns: mpsc::Sender<Turn>,
    ) -> Self {
        Self {
            map,
            context,
            monitor,
            work,
            turns,
            streams: Arc::default(),
        }
    }

    /// Reads to the end, or until a line cannot be used or a stop is asked for.
    pub(super) async fn run(mut self, mut blocks: Blocks) {
        let mut input = Input {
            partial: Vec::new(),
            lines: 0,
            file: None,
        };
        if let Err(Halt::Failed(error)) = self.read(&mut blocks, &mut input).await {
            // If nobody listens, the run has failed already.
            drop(self.turns.send(Turn::Failed(error)).await);
        }
    }

    async fn read(&mut self, blocks: &mut Blocks, input: &mut Input) -> Result<(), Halt> {
        loop {
            let block = tokio::select! {
                block = blocks.next() => block,
                () = self.context.stop().wait() => return Err(Halt::Stopped),
            };
            let Some(block) = block else {
                break;
            };
            let block = block.map_err(|error| {
                let error = Error::protocol("cannot read the input").with_source(error);
                match &input.file {
                    Some(file) => error.at(&file.words),
                    None => error,
                }
            })?;
            self.block(block, input).await?;
        }
        if !input.partial.is_empty() {
            input.partial.push(b'\n');
            let head = std::mem::take(&mut input.partial);
            if input.file.is_some() {
                return self.records(&head, input).await;
            }
            self.single(head, input).await?;
        }
        Ok(())
    }

    async fn block(&mut self, block: Vec<u8>, input: &mut Input) -> Result<(), Halt> {
        if input.file.is_some() {
            return self.records(&block, input).await;
        }
        let mut head = Vec::new();
        let mut at = 0;
        if !input.partial.is_empty() {
            let Some(end) = memchr(b'\n', &block) else {
                return keep(input, &block);
            };
            keep(input, &block[..=end])?;
            at = end + 1;
            head = std::mem::take(&mut input.partial);
            if !is_plain(&head) && self.is_turn(&head) {
                self.single(std::mem::take(&mut head), input).await?;
            }
        }
        let block = Arc::new(block);
        // Where the piece begins, and how many lines are in it.
        let mut start = at;
        let mut count = u64::from(!head.is_empty());
        while let Some(end) = memchr(b'\n', &block[at..]) {
            let line = &block[at..at + end];
            if !is_plain(line) && self.is_turn(line) {
                let piece = self.piece(std::mem::take(&mut head), &block, start..at, input);
                input.lines += count;
                self.send(piece).await?;
                self.single(line.to_vec(), input).await?;
                start = at + end + 1;
                count = 0;
            } else {
                count += 1;
            }
            at += end + 1;
        }
        keep(input, &block[at..])?;
        let piece = self.piece(head, &block, start..at, input);
        input.lines += count;
        self.send(piece).await
    }

    /// Takes records of a BATCH file: they become messages, and what is behind them stays for later.
    async fn records(&mut self, block: &[u8], input: &mut Input) -> Result<(), Halt> {
        keep(input, block)?;
        let Some(end) = memchr::memrchr(b'\n', &input.partial) else {
            return Ok(());
        };
        let rest = input.partial.split_off(end + 1);
        let lines = std::mem::replace(&mut input.partial, rest);
        let Some(file) = &input.file else {
            return Ok(());
        };
        let mut messages = Vec::with_capacity(lines.len() * 2);
        let mut count = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            count += 1;
            let line = line.trim_ascii();
            if !line.is_empty() {
                check_record(line).map_err(|error| {
                    error.at(format_args!("{}, line {}", file.words, input.lines + count))
                })?;
                messages.extend_from_slice(&file.before);
                messages.extend_from_slice(line);
                messages.push(b'}');
            }
            messages.push(b'\n');
        }
        let range = 0..messages.len();
        let piece = self.piece(Vec::new(), &Arc::new(messages), range, input);
        input.lines += count;
        self.send(piece).await
    }

    fn piece(
        &self,
        head: Vec<u8>,
        block: &Arc<Vec<u8>>,
        range: std::ops::Range<usize>,
        input: &Input,
    ) -> Piece<M> {
        Piece {
            head,
            block: Arc::clone(block),
            range,
            place: Place {
                file: input.file.as_ref().map(|file| Arc::clone(&file.words)),
                line: input.lines + 1,
            },
            streams: Arc::clone(&self.streams),
        }
    }

    async fn send(&mut self, piece: Piece<M>) -> Result<(), Halt> {
        if piece.head.is_empty() && piece.range.is_empty() {
            return Ok(());
        }
        let (reply, done) = oneshot::channel();
        // Waits while as many pieces are at work as memory is meant for.
        self.turn(Turn::Piece(done)).await?;
        self.work.send((piece, reply)).map_err(|_| Halt::Stopped)
    }

    async fn turn(&mut self, turn: Turn) -> Result<(), Halt> {
        self.turns.send(turn).await.map_err(|_| Halt::Stopped)
    }

    /// Whether a line changes what comes after it. What cannot be read is for the threads to complain of.
    fn is_turn(&self, line: &[u8]) -> bool {
        match line::parse(trimmed(line), &mut Fields::default(), |_| None) {
            Ok(Line::Schema { stream, .. } | Line::Batch { stream, .. }) => {
                self.is_changed(&stream)
            }
            _ => false,
        }
    }

    /// Whether messages of a stream are changed. One that passes as it is is counted from here on, as the others
    /// are from their SCHEMA on: so streams are listed in the order of the input, whichever thread is done first.
    fn is_changed(&self, stream: &str) -> bool {
        let is_changed = self.map.changes(stream);
        if !is_changed {
            drop(self.monitor.stream(stream));
        }
        is_changed
    }

    /// Takes a line by itself.
    async fn single(&mut self, line: Vec<u8>, input: &mut Input) -> Result<(), Halt> {
        let number = input.lines + 1;
        let place = format!("line {number}");
        let text = trimmed(&line);
        match line::parse(text, &mut Fields::default(), |_| None) {
            Ok(Line::Schema {
                stream,
                schema,
                key_properties,
                bookmark_properties,
            }) if self.is_changed(&stream) => {
                let message = SchemaMessage {
                    schema,
                    key_properties,
                    bookmark_properties,
                };
                let bytes = self
                    .schema(&stream, message, text)
                    .map_err(|error| error.at(place))?;
                input.lines += 1;
                self.turn(Turn::Bytes(bytes)).await
            }
            Ok(Line::Batch {
                stream,
                encoding,
                manifest,
                version,
            }) if self.is_changed(&stream) => {
                input.lines += 1;
                self.batch(&stream, (encoding, manifest), version, &place)
                    .await
            }
            _ => {
                let block = Arc::new(Vec::new());
                let piece = self.piece(line, &block, 0..0, input);
                input.lines += 1;
                self.send(piece).await
            }
        }
    }

    fn schema(&mut self, stream: &str, message: SchemaMessage<'_>, line: &[u8]) -> Result<Vec<u8>> {
        let before = Schema::new(
            message.schema,
            message.key_properties,
            message.bookmark_properties,
        )
        .map_err(|error| error.at(format_args!("stream `{stream}`")))?;
        let opened = self.map.open(stream, message)?;
        self.monitor.stream(stream).begin();
        self.monitor.describe(stream, stream, &opened.schema);
        let parts = [
            (Some(message.schema), Some(opened.schema)),
            (message.key_properties, opened.key_properties),
            (message.bookmark_properties, opened.bookmark_properties),
        ];
        let known = Known {
            stream: opened.stream,
            key_properties: before.key_properties().to_vec(),
        };
        let mut streams: Streams<M> = (*self.streams).clone();
        streams.insert(stream.into(), Arc::new(known));
        self.streams = Arc::new(streams);
        Ok(spliced(line, parts))
    }

    async fn batch(
        &mut self,
        stream: &str,
        (encoding, manifest): (&str, &str),
        version: Option<i64>,
        place: &str,
    ) -> Result<(), Halt> {
        if !self.streams.contains_key(stream) {
            return Err(before_schema(stream).at(place).into());
        }
        let files = BatchFiles::new(encoding, manifest).map_err(|error| error.at(place))?;
        for path in &files.paths {
            let opened = files.open(path).map_err(|error| error.at(place))?;
            let mut blocks = Blocks::start(opened)?;
            let words = format!("{place}: batch file `{}`", path.display());
            let mut before = Vec::new();
            singer_core::message::write_record_start(&mut before, stream, version, None);
            let mut input = Input {
                partial: Vec::new(),
                lines: 0,
                file: Some(File {
                    words: words.into(),
                    before,
                }),
            };
            // Boxed, since reading a file is part of reading the input.
            Box::pin(self.read(&mut blocks, &mut input)).await?;
        }
        Ok(())
    }
}

/// Keeps the beginning of a line until its end comes.
fn keep(input: &mut Input, bytes: &[u8]) -> Result<(), Halt> {
    input.partial.extend_from_slice(bytes);
    let begun = memchr::memrchr(b'\n', &input.partial).map_or(0, |end| end + 1);
    if input.partial.len() - begun <= MAX_LINE_BYTES {
        return Ok(());
    }
    let number = input.lines + 1;
    Err(
        Error::protocol(format!("line {number}: longer than {MAX_LINE_BYTES} bytes"))
            .with_hint("a line that long is most likely not a Singer message")
            .into(),
    )
}

/// Whether a line begins as those do that change nothing after them: nearly all of an input.
fn is_plain(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(br#"{"type":"#) else {
        return false;
    };
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    rest.starts_with(br#""RECORD""#) || rest.starts_with(br#""STATE""#)
}

/// A line without white space around it and without a byte order mark.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(line)
        .trim_ascii()
}

/// Whether the line is one JSON object and nothing else, so that a message can be put around it.
fn check_record(line: &[u8]) -> Result<()> {
    let wrong = |error| Error::protocol("the line is not a JSON record").with_source(error);
    match scan::scan_object(line, 0, 0, |_, _| {}) {
        Ok(end) if end == line.len() => Ok(()),
        Ok(end) => Err(wrong(scan::ScanError {
            at: end,
            what: "more text after the record",
        })),
        Err(error) => Err(wrong(error)),
    }
}

/// A line with parts of it replaced. The old parts are slices of the line.
fn spliced<const N: usize>(line: &[u8], parts: [(Option<&str>, Option<String>); N]) -> Vec<u8> {
    let mut parts: Vec<(usize, usize, String)> = parts
        .into_iter()
        .filter_map(|(old, new)| {
            let old = old?;
            let start = old.as_ptr() as usize - line.as_ptr() as usize;
            Some((start, start + old.len(), new?))
        })
        .collect();
    parts.sort_unstable_by_key(|(start, ..)| *start);
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    for (start, end, new) in parts {
        out.extend_from_slice(&line[at..start]);
        out.extend_from_slice(new.as_bytes());
        at = end;
    }
    out.extend_from_slice(&line[at..]);
    out.push(b'\n');
    out
}
