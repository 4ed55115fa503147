//! Streams of our own: made, filled, finalized with their rows counted, and committed.

use prost::Message;
use singer_core::{Error, Result};

use super::append::{Batch, Stop};
use super::failure::{Class, Failure};
use super::wire::{
    BatchCommitWriteStreamsRequest, BatchCommitWriteStreamsResponse, COMMITTED,
    CreateWriteStreamRequest, FinalizeWriteStreamRequest, FinalizeWriteStreamResponse,
    GetWriteStreamRequest, PENDING, WriteStream,
};
use super::{Appended, BeforeCommit, Storage, TablePath};

impl Storage {
    pub(super) async fn pending(
        &self,
        table: &TablePath,
        mut batch: Batch<'_>,
        before_commit: &BeforeCommit<'_>,
    ) -> Result<Appended> {
        // Rows that are acknowledged are no progress here: a stream that is over takes them along.
        let mut streams = self.patience(table, "append to");
        let mut patience = self.patience(table, "append to");
        loop {
            if !batch.has_rows() {
                return Ok(batch.finish());
            }
            let stream = self.create(table, PENDING).await?;
            batch.begin(stream.clone());
            let over = match batch.run(&mut patience).await {
                Ok(()) if batch.in_stream() == 0 => return Ok(batch.finish()),
                Ok(()) => match self.finalize(table, &stream).await? {
                    Ok(count) => {
                        counted(table, count, batch.in_stream(), "nothing was committed")?;
                        before_commit(&stream)?;
                        self.commit(table, &stream).await?;
                        return Ok(batch.finish());
                    }
                    Err(failure) => failure,
                },
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Over(failure)) => failure,
            };
            streams.bear(over).await?;
        }
    }

    pub(super) async fn committed(
        &self,
        table: &TablePath,
        mut batch: Batch<'_>,
    ) -> Result<Appended> {
        let mut streams = self.patience(table, "append to");
        let mut patience = self.patience(table, "append to");
        if !batch.has_rows() {
            return Ok(batch.finish());
        }
        let mut stream = self.create(table, COMMITTED).await?;
        batch.begin(stream.clone());
        loop {
            let over = match batch.run(&mut patience).await {
                Ok(()) => None,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Over(failure)) => Some(failure),
            };
            // A finalized stream gets no more rows, not even those that were still under way, so
            // that its count says for good what it has.
            match (self.finalize(table, &stream).await?, over) {
                (Ok(count), over) => {
                    counted(table, count, batch.in_stream(), "some rows may be visible")?;
                    let Some(failure) = over else {
                        return Ok(batch.finish());
                    };
                    streams.bear(failure).await?;
                }
                // All was acknowledged before somebody finalized it.
                (Err(_), None) => return Ok(batch.finish()),
                (Err(failure), Some(_)) => return Err(streams.error(failure)),
            }
            stream = self.create(table, COMMITTED).await?;
            batch.go_on(stream.clone());
        }
    }

    async fn create(&self, table: &TablePath, kind: i32) -> Result<String> {
        let request = CreateWriteStreamRequest {
            parent: table.name(),
            write_stream: Some(WriteStream {
                name: String::new(),
                kind,
                commit_time: None,
            }),
        };
        let mut patience = self.patience(table, "make a write stream for");
        let routing = ("parent", table.name());
        loop {
            let stream: Result<WriteStream, Failure> = self
                .call("CreateWriteStream", &routing, request.clone())
                .await?;
            match stream {
                Ok(stream) if stream.name.is_empty() => {
                    return Err(Error::protocol("a new write stream has no name"));
                }
                Ok(stream) => return Ok(stream.name),
                Err(failure) => patience.bear(failure).await?,
            }
        }
    }

    /// How many rows a stream has, from now on for good; a failure says that the stream is over.
    async fn finalize(&self, table: &TablePath, stream: &str) -> Result<Result<i64, Failure>> {
        let request = FinalizeWriteStreamRequest {
            name: stream.to_owned(),
        };
        let mut patience = self.patience(table, "finalize a write stream of");
        let routing = ("name", stream.to_owned());
        loop {
            let answer: Result<FinalizeWriteStreamResponse, Failure> = self
                .call("FinalizeWriteStream", &routing, request.clone())
                .await?;
            match answer {
                Ok(answer) => return Ok(Ok(answer.row_count)),
                Err(failure) if failure.class() == Class::Over => return Ok(Err(failure)),
                Err(failure) => patience.bear(failure).await?,
            }
        }
    }

    /// Commits a stream. Doing it again is harmless, so a lost answer is asked for again.
    async fn commit(&self, table: &TablePath, stream: &str) -> Result<()> {
        let mut patience = self.patience(table, "commit rows to");
        let mut unknown = false;
        loop {
            let failure = match self.try_commit(table, stream).await? {
                Ok(()) => return Ok(()),
                Err(failure) if failure.class() == Class::Committed => return Ok(()),
                Err(failure) => failure,
            };
            unknown |= failure.lost || failure.class() == Class::Passing;
            // Another state of the stream is not waited for: it was finalized, and only that helps.
            let result = match failure.class() {
                Class::Over => Err(patience.error(failure)),
                _ => patience.bear(failure).await,
            };
            result.map_err(|error| match unknown {
                true => error.with_hint("it is not known whether the rows were committed"),
                false => error,
            })?;
        }
    }

    /// Commits a stream of which only its name is known.
    pub(super) async fn recommit(&self, table: &TablePath, stream: &str) -> Result<bool> {
        let mut patience = self.patience(table, "commit rows to");
        loop {
            let failure = match self.try_commit(table, stream).await? {
                Ok(()) => return Ok(true),
                Err(failure) => failure,
            };
            match failure.class() {
                Class::Committed => return Ok(true),
                // The state of a stream that is not right for a commit may be that it had one.
                Class::Missing | Class::Over | Class::Final => {
                    return self.is_committed(table, stream).await;
                }
                _ => patience.bear(failure).await?,
            }
        }
    }

    /// Whether a stream was committed; one that nobody knows was not.
    async fn is_committed(&self, table: &TablePath, stream: &str) -> Result<bool> {
        let mut patience = self.patience(table, "read a write stream of");
        let request = GetWriteStreamRequest {
            name: stream.to_owned(),
        };
        let routing = ("name", stream.to_owned());
        loop {
            let answer: Result<WriteStream, Failure> = self
                .call("GetWriteStream", &routing, request.clone())
                .await?;
            match answer {
                Ok(answer) => return Ok(answer.commit_time.is_some()),
                Err(failure)
                    if matches!(failure.class(), Class::Missing | Class::Over | Class::Final) =>
                {
                    return Ok(false);
                }
                Err(failure) => patience.bear(failure).await?,
            }
        }
    }

    async fn try_commit(&self, table: &TablePath, stream: &str) -> Result<Result<(), Failure>> {
        let request = BatchCommitWriteStreamsRequest {
            parent: table.name(),
            write_streams: vec![stream.to_owned()],
        };
        let routing = ("parent", table.name());
        let answer: Result<BatchCommitWriteStreamsResponse, Failure> = self
            .call("BatchCommitWriteStreams", &routing, request)
            .await?;
        Ok(match answer {
            Err(failure) => Err(failure),
            Ok(answer) => match answer.stream_errors.first() {
                Some(error) => Err(Failure::of_stream(error)),
                None if answer.commit_time.is_some() => Ok(()),
                None => {
                    return Err(Error::protocol(format!(
                        "the commit of rows to `{table}` has neither a time nor an error"
                    )));
                }
            },
        })
    }

    async fn call<Q, A>(
        &self,
        method: &str,
        (key, value): &(&str, String),
        body: Q,
    ) -> Result<Result<A, Failure>>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let token = self.channels.token(self.tokens.as_ref()).await?;
        let patience = self.options.request_timeout;
        Ok(self
            .channels
            .call(method, (key, value), body, token, patience)
            .await)
    }
}

/// A stream must have exactly the rows that it acknowledged.
fn counted(table: &TablePath, count: i64, wanted: usize, state: &str) -> Result<()> {
    if usize::try_from(count) == Ok(wanted) {
        return Ok(());
    }
    Err(Error::protocol(format!(
        "a write stream of `{table}` has {count} rows, and {wanted} were acknowledged: {state}"
    )))
}
