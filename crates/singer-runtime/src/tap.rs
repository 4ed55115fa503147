//! The tap trait, and the entry point of a tap's binary.
//!
//! The runtime owns the run: it loads config, catalog and state, discovers, plans, writes SCHEMA,
//! merges bookmarks into STATE, reads several streams side by side, and stops on request. A tap
//! connects, lists its streams, and reads one stream at a time into an [`Output`].

use std::future::Future;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::setting::Settings;

/// A source of records.
pub trait Tap: Sized + Send + Sync + 'static {
    /// The binary's name, `tap-…`.
    const NAME: &'static str;
    /// One sentence for `--help` and `--about`.
    const DESCRIPTION: &'static str;
    /// Its version.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Command lines with a word on each, for the end of `--help`.
    const EXAMPLES: &'static str = "";
    /// The connector's own settings.
    type Config: Settings;

    /// The streams (names or patterns, as `--select` takes them) that a config asks for by itself, where
    /// the command line has no `--select`: a mode that is about certain rows names their streams here.
    fn wanted(config: &Self::Config) -> Vec<String> {
        let _ = config;
        Vec::new()
    }

    /// Builds clients and proves nothing yet: no data is read.
    fn connect(
        config: Self::Config,
        context: Context,
    ) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// How many streams are read side by side, if it is not for `--jobs` to say: a tap that waits for what
    /// happens to all its streams has to wait for them together.
    fn side_by_side(&self) -> Option<usize> {
        None
    }

    /// Whether a run tells how far it came. One that is about certain rows does not, and writes no STATE:
    /// whoever stores what it hears would lose the state of all runs before.
    fn tells_state(&self) -> bool {
        true
    }

    /// Whether messages go to stdout. A run that only tells on stderr what it would do writes none: a SCHEMA or
    /// the end of a version without its records would make a target act.
    fn writes_messages(&self) -> bool {
        true
    }

    /// How many records this run could not read and left in a rejects file.
    fn rejected(&self) -> u64 {
        0
    }

    /// Makes the cheapest calls that need the same rights as a sync; says in one line what works.
    fn check(&self) -> impl Future<Output = anyhow::Result<String>> + Send;

    /// Lists the streams with schema, keys and possible replication keys. A stream that cannot be
    /// read becomes a problem and does not stop the rest.
    fn discover(&self, scope: &Scope) -> impl Future<Output = anyhow::Result<Discovery>> + Send;

    /// Reads one stream from its bookmark to its end. Called for several streams side by side, at
    /// most `--jobs` at once. An error of the kinds `Auth`, `Config`, `Interrupted` stops the run,
    /// any other only this stream.
    fn read(
        &self,
        plan: &Plan,
        out: &mut Output,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What discovery looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every stream that the config allows.
    All,
    /// These streams alone, by `tap_stream_id`: the selected ones at the start of a sync.
    Streams(Vec<String>),
}

/// What discovery found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The streams, in the order in which a catalog shows them.
    pub streams: Vec<singer_core::catalog::Entry>,
    /// Streams (by `tap_stream_id`) that exist and cannot be read, with the reason.
    pub problems: Vec<(String, anyhow::Error)>,
}

/// What is to be read of one stream: the catalog, the state and the source's schema put together.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `tap_stream_id`.
    pub id: String,
    /// The name in the messages.
    pub stream: String,
    /// The stream as the source has it now, with the selection of the catalog.
    pub entry: singer_core::catalog::Entry,
    /// The selected fields in the source's order, keys included.
    pub fields: Vec<String>,
    /// The JSON schema of the selected fields, as the SCHEMA message will show it.
    pub schema: Value,
    /// The key, empty if there is none.
    pub key_properties: Vec<String>,
    /// Full table or incremental.
    pub replication: Replication,
    /// The bookmark of this stream from the state, whatever the tap itself put there; empty at first.
    pub bookmark: Map<String, Value>,
    /// The start of the run.
    pub started_at: chrono::DateTime<chrono::Utc>,
}

impl Plan {
    /// The properties that bookmarks of the stream are made of, as its SCHEMA names them.
    pub(crate) fn bookmark_properties(&self) -> Vec<String> {
        match &self.replication {
            Replication::Incremental { key, .. } => vec![key.clone()],
            Replication::FullTable { .. } => Vec::new(),
        }
    }

    /// The customary bookmark of an incremental stream whose records up to this value of the
    /// replication key were handed over; empty for a full table.
    pub fn bookmark_at(&self, value: impl Into<Value>) -> Map<String, Value> {
        let mut bookmark = Map::new();
        if let Replication::Incremental { key, .. } = &self.replication {
            bookmark.insert("replication_key".to_owned(), key.as_str().into());
            bookmark.insert("replication_key_value".to_owned(), value.into());
        }
        bookmark
    }
}

/// How a stream is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Replication {
    /// The whole table. The version is that of the interrupted load if the bookmark holds one that
    /// can be resumed, else a new one.
    FullTable {
        /// Goes into every RECORD and into ACTIVATE_VERSION at the end.
        version: i64,
    },
    /// Rows from a key's value on.
    Incremental {
        /// The replication key.
        key: String,
        /// `replication_key_value` of the bookmark if it was made for this key, else `start_date`
        /// if the key is a time, else nothing.
        start: Option<Value>,
    },
}

pub use blocks::Blocks;
pub use emit::Output;
pub use run::main;

mod blocks;
mod bookmarks;
mod emit;
mod files;
pub mod ids;
mod plan;
mod replication;
mod run;
mod select;
mod streams;
mod ticker;
