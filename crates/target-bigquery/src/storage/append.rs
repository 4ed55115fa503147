//! One batch into one stream: cut into requests by their exact size, several of them under way at
//! once, answers matched in order, and what was not acknowledged sent again.

use std::collections::{BTreeMap, VecDeque};

use prost::Message;
use singer_core::{Error, Result};
use tokio::time::timeout;

use super::failure::{Class, Failure};
use super::line::Line;
use super::patience::Patience;
use super::wire::{self, Append, AppendRowsResponse, Head, Int64Value, RowError};
use super::{Appended, Refused, Rows, Storage};

/// Room for an offset of any size, so that a batch is always cut at the same rows.
const OFFSET_ROOM: usize = 13;

/// Rows that go out together, also when they go out again: at one offset of a stream there may
/// never be two different requests.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    from: usize,
    to: usize,
    again: bool,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Sent {
    chunk: Chunk,
    offset: Option<i64>,
    bytes: usize,
    count: usize,
}

/// Why nothing more is sent on a line.
#[derive(Debug)]
enum Hold {
    /// A request failed: the line is given up once the others are answered.
    Failed(Failure),
    /// Rows were refused, so the offsets of all later requests are wrong.
    Shifted,
}

/// How a line ended.
enum Ride {
    Done,
    /// Another line is needed at once.
    Again,
    Failed(Failure),
    /// Another stream is needed.
    Over(Failure),
}

/// Why a stream of its own cannot be gone on with.
pub(super) enum Stop {
    /// The stream takes no more rows, or it is not known which rows it still gets.
    Over(Failure),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A batch on its way.
pub(super) struct Batch<'a> {
    storage: &'a Storage,
    rows: &'a Rows,
    descriptor: &'a bytes::Bytes,
    stream: String,
    /// Each request says where in the stream its rows go.
    offsets: bool,
    /// Accepted rows that an earlier stream of the batch has.
    base: usize,
    /// Rows cut so far.
    cursor: usize,
    waiting: VecDeque<Chunk>,
    /// The next request, which waits for room.
    ready: Option<(Append, Sent)>,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    acknowledged: usize,
    refused: BTreeMap<usize, Refused>,
    /// A connection broke with requests under way, which may still arrive.
    ghosts: bool,
    tally: Appended,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        storage: &'a Storage,
        descriptor: &'a bytes::Bytes,
        rows: &'a Rows,
        offsets: bool,
    ) -> Self {
        Self {
            storage,
            rows,
            descriptor,
            stream: String::new(),
            offsets,
            base: 0,
            cursor: 0,
            waiting: VecDeque::new(),
            ready: None,
            sent: VecDeque::new(),
            sent_bytes: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            ghosts: false,
            tally: Appended::default(),
        }
    }

    /// Begins with a stream from the first row; rows known to be bad stay out.
    pub(super) fn begin(&mut self, stream: String) {
        self.again();
        self.stream = stream;
        self.waiting.clear();
        (self.base, self.cursor, self.acknowledged) = (0, 0, 0);
        self.ghosts = false;
    }

    /// Goes on in another stream with the rows that the last one does not have.
    pub(super) fn go_on(&mut self, stream: String) {
        self.again();
        self.stream = stream;
        self.base = self.acknowledged;
        self.ghosts = false;
        // What a stream has is the beginning of the batch. The rest is cut anew, as the name of
        // the stream counts in the size of a request.
        if let Some(first) = self.waiting.front() {
            self.cursor = first.from;
            self.waiting.clear();
        }
    }

    /// The rows that the present stream has acknowledged.
    pub(super) fn in_stream(&self) -> usize {
        self.acknowledged - self.base
    }

    /// What became of the batch.
    pub(super) fn finish(self) -> Appended {
        Appended {
            refused: self.refused.into_iter().collect(),
            ..self.tally
        }
    }

    /// Sends all rows and returns once each is acknowledged or refused.
    pub(super) async fn run(&mut self, patience: &mut Patience<'_>) -> Result<(), Stop> {
        let mut first = true;
        while self.has_rows() {
            let kept = match first && !self.offsets {
                true => self.storage.pool.take(&self.stream, self.descriptor),
                false => None,
            };
            first = false;
            let mut line = match kept {
                Some(line) => line,
                None => match self.open().await? {
                    Ok(line) => line,
                    Err(failure) => {
                        patience.bear(failure).await?;
                        continue;
                    }
                },
            };
            match self.ride(&mut line, patience).await? {
                Ride::Done if !self.offsets => self.storage.pool.put(&self.stream, line),
                Ride::Done | Ride::Again => {}
                Ride::Over(failure) => return Err(Stop::Over(failure)),
                Ride::Failed(failure) => {
                    // A connection that lay about may have been closed meanwhile.
                    let unproven = !line.fresh && !line.answered;
                    let failure = failure.with_token(line.token.as_ref());
                    drop(line);
                    self.give_up(unproven, failure, patience).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes ready for another line, if there is to be one.
    async fn give_up(
        &mut self,
        unproven: bool,
        failure: Failure,
        patience: &mut Patience<'_>,
    ) -> Result<(), Stop> {
        self.ghosts |= failure.lost && !self.sent.is_empty();
        self.again();
        if self.offsets && failure.class() == Class::Over {
            return Err(Stop::Over(failure));
        }
        if unproven && failure.class() == Class::Passing {
            tracing::debug!(%failure, "a connection that was kept is gone");
            self.storage.pool.forget(&self.stream);
            return Ok(());
        }
        patience.bear(failure).await?;
        Ok(())
    }

    async fn open(&self) -> Result<Result<Line, Failure>> {
        let channels = &self.storage.channels;
        let token = channels.token(self.storage.tokens.as_ref()).await?;
        Ok(channels.line(&self.stream, self.descriptor, token))
    }

    /// Whether any row is still to be acknowledged. Cuts ahead, so that the end is known.
    pub(super) fn has_rows(&mut self) -> bool {
        if self.waiting.is_empty()
            && let Some(chunk) = self.cut()
        {
            self.waiting.push_back(chunk);
        }
        !self.waiting.is_empty() || self.ready.is_some() || !self.sent.is_empty()
    }

    /// Sends and receives on one line until nothing is left or the line is no more.
    async fn ride(&mut self, line: &mut Line, patience: &mut Patience<'_>) -> Result<Ride, Stop> {
        let sender = line.sender.clone();
        let time = self.storage.options.request_timeout;
        let mut hold = None;
        loop {
            match hold.take_if(|_| self.sent.is_empty()) {
                Some(Hold::Failed(failure)) => return Ok(Ride::Failed(failure)),
                Some(Hold::Shifted) if self.ghosts => return Ok(Ride::Over(haunted())),
                Some(Hold::Shifted) | None => {}
            }
            let may_send = hold.is_none() && self.make_ready(line.greeted);
            if !may_send && self.sent.is_empty() {
                return Ok(Ride::Done);
            }
            tokio::select! {
                biased;
                answer = timeout(time, line.answer()), if !self.sent.is_empty() => {
                    let late = |_| Err(Failure::lost("no answer in time"));
                    match answer.unwrap_or_else(late) {
                        Ok(Some(answer)) => {
                            line.answered = true;
                            line.refused = !answer.row_errors.is_empty();
                            self.judge(answer, &mut hold, patience)?;
                        }
                        Ok(None) => return Ok(self.ended(line, Failure::ended(), hold, patience)),
                        Err(failure) => return Ok(self.ended(line, failure, hold, patience)),
                    }
                }
                place = sender.reserve(), if may_send => match (place, self.ready.take()) {
                    (Ok(place), Some((append, sent))) => {
                        place.send(append);
                        line.greeted = true;
                        self.note(sent);
                    }
                    (_, ready) => {
                        self.ready = ready;
                        let failure = self.why_closed(line).await;
                        return Ok(self.ended(line, failure, hold, patience));
                    }
                }
            }
        }
    }

    /// The call is over, and did not take another request: its status says why.
    async fn why_closed(&mut self, line: &mut Line) -> Failure {
        match timeout(self.storage.options.request_timeout, line.answer()).await {
            Ok(Err(failure)) => failure,
            _ => Failure::ended(),
        }
    }

    /// Builds the next request; whether there is one and the window has room for it.
    fn make_ready(&mut self, greeted: bool) -> bool {
        while self.ready.is_none() && self.has_rows() {
            let Some(chunk) = self.waiting.pop_front() else {
                return false;
            };
            self.ready = self.request(chunk, !greeted);
        }
        let room = self.storage.options.in_flight_bytes;
        self.ready.as_ref().is_some_and(|(_, sent)| {
            self.sent.is_empty() || self.sent_bytes.saturating_add(sent.bytes) <= room
        })
    }

    /// The request of a chunk, or nothing if all of its rows were refused.
    fn request(&self, chunk: Chunk, first: bool) -> Option<(Append, Sent)> {
        let spans: Vec<(u32, u32)> = self.good(chunk).map(|row| self.rows.span(row)).collect();
        let before = chunk.from - self.refused.range(..chunk.from).count();
        let offset = self.offsets.then(|| (before - self.base) as i64);
        let count = spans.len();
        let append = Append {
            head: self.head(offset),
            descriptor: first.then(|| self.descriptor.clone()),
            data: self.rows.data.clone(),
            spans,
        };
        let bytes = append.size();
        debug_assert!(bytes <= self.storage.options.max_request_bytes);
        let sent = Sent {
            chunk,
            offset,
            bytes,
            count,
        };
        (count > 0).then_some((append, sent))
    }

    /// The rows of a chunk that were not refused.
    fn good(&self, chunk: Chunk) -> impl Iterator<Item = usize> {
        (chunk.from..chunk.to).filter(|row| !self.refused.contains_key(row))
    }

    fn head(&self, offset: Option<i64>) -> Head {
        Head {
            write_stream: self.stream.clone(),
            offset: offset.map(|value| Int64Value { value }),
            trace_id: self.storage.options.trace_id.clone(),
        }
    }

    /// The next rows that fit into one request; rows that fit into none are refused.
    fn cut(&mut self) -> Option<Chunk> {
        let head = self.head(None).encoded_len() + OFFSET_ROOM;
        let descriptor = Some(self.descriptor.len());
        let limit = self.storage.options.max_request_bytes;
        let mut size = 0;
        let mut from = None;
        while self.cursor < self.rows.ends.len() {
            let index = self.cursor;
            let (begin, end) = self.rows.span(index);
            let row = wire::row_size((end - begin) as usize);
            if self.refused.contains_key(&index) {
                self.cursor += 1;
                continue;
            }
            if wire::size(head, descriptor, row) > limit {
                self.refused.insert(index, Refused::too_large(limit));
                self.cursor += 1;
                continue;
            }
            if wire::size(head, descriptor, size + row) > limit {
                break;
            }
            from.get_or_insert(index);
            size += row;
            self.cursor += 1;
        }
        from.map(|from| Chunk {
            from,
            to: self.cursor,
            again: false,
        })
    }

    /// A request is under way.
    fn note(&mut self, sent: Sent) {
        self.tally.requests += 1;
        self.tally.retried += u64::from(sent.chunk.again);
        self.tally.bytes += sent.bytes as u64;
        self.sent_bytes += sent.bytes;
        self.sent.push_back(sent);
    }

    /// What an answer means for the oldest request under way.
    fn judge(
        &mut self,
        answer: AppendRowsResponse,
        hold: &mut Option<Hold>,
        patience: &mut Patience<'_>,
    ) -> Result<(), Stop> {
        let failure = answer.error.as_ref().filter(|error| error.code != 0);
        let Some(sent) = self.sent.pop_front() else {
            return Err(Error::protocol("the service answers more appends than were sent").into());
        };
        self.sent_bytes -= sent.bytes;
        // After a failure the later requests of a stream with offsets fail for that reason alone.
        let follows = self.offsets && hold.is_some();
        if !answer.row_errors.is_empty() {
            if !follows {
                self.refuse(&sent, answer.row_errors)?;
                patience.progress();
            }
            self.put_back(sent.chunk);
            if self.offsets && !follows {
                self.unready();
                *hold = Some(Hold::Shifted);
            }
            return Ok(());
        }
        match (failure, answer.append_result) {
            (Some(status), _) => self.failed(sent, Failure::from(status), hold, patience),
            (None, Some(result)) => {
                let offset = result.offset.map(|offset| offset.value);
                if self.offsets && offset.is_some() && offset != sent.offset {
                    return Err(Error::protocol(
                        "the service put rows at another offset than they were sent for",
                    )
                    .into());
                }
                self.acknowledge(&sent, patience);
            }
            // Nothing but a new schema: the answer is still to come.
            (None, None) if answer.updated_schema.is_some() => {
                self.sent_bytes += sent.bytes;
                self.sent.push_front(sent);
            }
            (None, None) => {
                return Err(Error::protocol("the answer to an append says nothing").into());
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, sent: &Sent, patience: &mut Patience<'_>) {
        self.acknowledged += sent.count;
        patience.progress();
    }

    fn failed(
        &mut self,
        sent: Sent,
        failure: Failure,
        hold: &mut Option<Hold>,
        patience: &mut Patience<'_>,
    ) {
        if self.offsets && failure.class() == Class::Exists {
            self.acknowledge(&sent, patience);
            return;
        }
        self.put_back(sent.chunk);
        self.unready();
        hold.get_or_insert(Hold::Failed(failure));
    }

    /// The line is no more; a last status speaks of the oldest request, as an answer would.
    fn ended(
        &mut self,
        line: &Line,
        failure: Failure,
        hold: Option<Hold>,
        patience: &mut Patience<'_>,
    ) -> Ride {
        match hold {
            Some(Hold::Failed(first)) => {
                self.ghosts |= failure.lost;
                Ride::Failed(first)
            }
            Some(Hold::Shifted) if failure.lost || self.ghosts => {
                self.again();
                Ride::Over(haunted())
            }
            // The service itself ended the call: what came after the bad rows was not stored.
            Some(Hold::Shifted) => {
                self.again();
                Ride::Again
            }
            // The end repeats what the last answer said of its rows.
            None if line.refused && !failure.lost && failure.class() == Class::Final => {
                self.again();
                Ride::Again
            }
            None => {
                let exists = self.offsets && failure.class() == Class::Exists;
                match self.sent.pop_front() {
                    Some(sent) if exists => self.acknowledge(&sent, patience),
                    Some(sent) => {
                        self.sent.push_front(sent);
                        return Ride::Failed(failure);
                    }
                    None => return Ride::Failed(failure),
                }
                self.again();
                Ride::Again
            }
        }
    }

    /// Takes rows out of the batch.
    fn refuse(&mut self, sent: &Sent, errors: Vec<RowError>) -> Result<()> {
        let rows: Vec<usize> = self.good(sent.chunk).collect();
        for error in errors {
            let index = usize::try_from(error.index).ok();
            let Some(row) = index.and_then(|index| rows.get(index)) else {
                return Err(Error::protocol(
                    "the service refuses a row that was not in the request",
                ));
            };
            self.refused.insert(*row, Refused::by_service(error));
        }
        Ok(())
    }

    /// A request is sent again, before any later one.
    fn put_back(&mut self, mut chunk: Chunk) {
        chunk.again = true;
        self.insert(chunk);
    }

    /// All that is under way is sent again.
    fn again(&mut self) {
        for sent in std::mem::take(&mut self.sent) {
            self.put_back(sent.chunk);
        }
        self.sent_bytes = 0;
        self.unready();
    }

    /// The request that waits for room is built again later, with what is known then.
    fn unready(&mut self) {
        if let Some((_, sent)) = self.ready.take() {
            self.insert(sent.chunk);
        }
    }

    fn insert(&mut self, chunk: Chunk) {
        let place = self
            .waiting
            .partition_point(|other| other.from < chunk.from);
        self.waiting.insert(place, chunk);
    }
}

/// Requests that may still arrive would put rows at offsets that mean other rows by now.
fn haunted() -> Failure {
    Failure::lost("rows were refused while requests were under way on a broken connection")
}
