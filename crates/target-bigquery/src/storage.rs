//! The Storage Write API: rows as protobuf over gRPC, at least once into a table's default stream,
//! or exactly once through a stream of their own.
//!
//! Nothing runs but what a caller waits for: dropping a future resets its call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use singer_core::{Error, Result, Secret};
use singer_net::Backoff;

mod append;
mod failure;
mod line;
mod patience;
mod pool;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

pub use failure::{Failure, StorageCode, code_of, failure_of};

use append::{Batch, Stop};
use line::Channels;
use patience::Patience;
use pool::Pool;

/// The service itself.
pub const ENDPOINT: &str = "https://bigquerystorage.googleapis.com";

/// How the service is reached and how long its failures are borne.
#[derive(Debug, Clone)]
pub struct Options {
    /// Scheme, host and port; `http://` is for emulators.
    pub endpoint: String,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<String>,
    /// What the client calls itself.
    pub user_agent: String,
    /// Attempts in all, counted since the last progress.
    pub attempts: u32,
    /// No attempt begins later than this after the first failure since the last progress.
    pub patience: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// So long an answer may take.
    pub request_timeout: Duration,
    /// No encoded request is larger; a row that does not fit is refused.
    pub max_request_bytes: usize,
    /// So many bytes of requests wait for their answers, or one request.
    pub in_flight_bytes: usize,
    /// So long it is waited until the service has heard of a new column.
    pub new_column_patience: Duration,
    /// What the service's logs call these appends; may be empty.
    pub trace_id: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            ca_file: None,
            user_agent: "antiphon-target-bigquery".to_owned(),
            attempts: 8,
            patience: Duration::from_secs(600),
            backoff: Backoff::default(),
            request_timeout: Duration::from_secs(120),
            max_request_bytes: 9_000_000,
            in_flight_bytes: 40_000_000,
            new_column_patience: Duration::from_secs(600),
            trace_id: String::new(),
        }
    }
}

/// A future in a box, as an object-safe trait needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where access tokens come from.
pub trait TokenSource: Send + Sync + 'static {
    /// The token for the next call; none is an anonymous call.
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>>>;

    /// The service did not accept this token: the next one should be another.
    fn refused<'a>(&'a self, used: &'a Secret) -> BoxFuture<'a, ()>;
}

/// Calls without credentials, for emulators.
#[derive(Debug, Clone, Copy)]
pub struct Anonymous;

impl TokenSource for Anonymous {
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn refused<'a>(&'a self, _used: &'a Secret) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Is told the name of a stream before it is committed; an error keeps it from being so.
pub type BeforeCommit<'a> = dyn Fn(&str) -> Result<()> + Send + Sync + 'a;

/// A table and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePath {
    /// The project.
    pub project: String,
    /// The dataset in it.
    pub dataset: String,
    /// The table in that.
    pub table: String,
}

impl TablePath {
    /// The name that the API has for it.
    fn name(&self) -> String {
        let Self {
            project,
            dataset,
            table,
        } = self;
        format!("projects/{project}/datasets/{dataset}/tables/{table}")
    }
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// Encoded rows, one behind the other.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The bytes of all rows.
    pub data: Bytes,
    /// Where each row ends.
    pub ends: Vec<u32>,
}

impl Rows {
    fn span(&self, index: usize) -> (u32, u32) {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        (index.checked_sub(1).map_or(0, end), end(index))
    }

    fn check(&self) -> Result<()> {
        let last = self.ends.last().copied().unwrap_or_default() as usize;
        if !self.ends.is_sorted() || last != self.data.len() {
            return Err(Error::internal("the ends of rows do not fit their bytes"));
        }
        Ok(())
    }
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `row-too-large`, or the service's code in lower case.
    pub code: String,
    /// As the service said it: it may hold the row's values.
    pub message: String,
}

impl Refused {
    fn too_large(limit: usize) -> Self {
        Self {
            code: "row-too-large".to_owned(),
            message: format!("the row does not fit into a request of {limit} bytes"),
        }
    }

    fn by_service(error: wire::RowError) -> Self {
        let code = if error.code == 1 {
            "fields-error"
        } else {
            "row-error"
        };
        Self {
            code: code.to_owned(),
            message: error.message,
        }
    }
}

/// What became of a batch: every row that is not refused is stored.
#[derive(Debug, Default)]
pub struct Appended {
    /// The refused rows by index, in order.
    pub refused: Vec<(usize, Refused)>,
    /// Append requests, those sent again included.
    pub requests: u64,
    /// Append requests that were sent again.
    pub retried: u64,
    /// Bytes of append requests.
    pub bytes: u64,
}

/// A client of the Storage Write API.
pub struct Storage {
    options: Options,
    tokens: Arc<dyn TokenSource>,
    channels: Channels,
    pool: Pool,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Storage");
        shown.field("options", &self.options);
        shown.finish_non_exhaustive()
    }
}

impl Storage {
    /// A client; it connects with its first call. It has to be made inside of the async runtime.
    pub fn connect(options: Options, tokens: Arc<dyn TokenSource>) -> Result<Self> {
        Ok(Self {
            channels: Channels::new(&options)?,
            options,
            tokens,
            pool: Pool::default(),
        })
    }

    /// Appends to the default stream, at least once: after a broken connection rows may be there
    /// twice. Returns when every row is acknowledged or refused.
    pub async fn append_default(
        &self,
        table: &TablePath,
        descriptor: &Bytes,
        rows: &Rows,
    ) -> Result<Appended> {
        rows.check()?;
        let mut batch = Batch::new(self, descriptor, rows, false);
        batch.begin(format!("{}/streams/_default", table.name()));
        let mut patience = self.patience(table, "append to");
        match batch.run(&mut patience).await {
            Ok(()) => Ok(batch.finish()),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Over(failure)) => Err(patience.error(failure)),
        }
    }

    /// Appends exactly once and all rows at one moment, through a pending stream. An error of the
    /// kinds that pass says that nothing was stored, unless it came from the commit itself.
    /// `before_commit` is told the name of the stream when nothing but its commit is left to do.
    pub async fn append_pending(
        &self,
        table: &TablePath,
        descriptor: &Bytes,
        rows: &Rows,
        before_commit: &BeforeCommit<'_>,
    ) -> Result<Appended> {
        rows.check()?;
        self.pending(
            table,
            Batch::new(self, descriptor, rows, true),
            before_commit,
        )
        .await
    }

    /// Commits a stream that an earlier process finalized; one that is committed already is as good.
    /// False says that there is no such stream any more, or that it was not finalized: its rows are not
    /// in the table.
    pub async fn commit_again(&self, table: &TablePath, stream: &str) -> Result<bool> {
        self.recommit(table, stream).await
    }

    /// Appends exactly once within the call, through a committed stream: rows are visible as they
    /// arrive, and after an error some of them are.
    pub async fn append_committed(
        &self,
        table: &TablePath,
        descriptor: &Bytes,
        rows: &Rows,
    ) -> Result<Appended> {
        rows.check()?;
        self.committed(table, Batch::new(self, descriptor, rows, true))
            .await
    }

    fn patience<'a>(&'a self, table: &'a TablePath, doing: &'static str) -> Patience<'a> {
        Patience::new(&self.options, self.tokens.as_ref(), table, doing)
    }
}
