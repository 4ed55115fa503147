//! One stream as the reader sees it: its schema, its writer, and the batch that is being filled.

use std::sync::Arc;
use std::time::Duration;

use singer_core::schema::Schema;
use singer_core::validate::Validator;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::columns::Columns;
use crate::target::batch::Builder;
use crate::target::batch::key::KeyHasher;
use crate::target::options::{Metadata, Options};
use crate::target::shared::Handle;
use crate::target::versions::Versions;
use crate::target::{Limits, Replaces, Stream, Writer};

/// One stream.
pub(super) struct Slot<W> {
    pub(super) handle: Arc<Handle>,
    /// The schema as the message brought it.
    pub(super) sent: Schema,
    /// The stream as the writer knows it: with the `_sdc_*` columns if they are added.
    pub(super) stream: Arc<Stream>,
    pub(super) validator: Validator,
    /// The properties that every record must have, by their place in the layout.
    pub(super) keys: Vec<usize>,
    pub(super) columns: Option<Columns>,
    pub(super) sink: Sink<W>,
    pub(super) open: Option<Open>,
    pub(super) versions: Versions,
    /// The number in the ledger by which a version that is not activated holds STATEs back.
    pub(super) held: Option<u64>,
    /// Whether its records came without a version.
    pub(super) is_implied: bool,
    /// Whether a property that the schema does not list was warned about.
    pub(super) has_warned: bool,
    /// Whether the ledger holds every later STATE back for this stream's sake.
    pub(super) holds_state: bool,
    /// Records that are not yet in the counts.
    pub(super) uncounted: u64,
}

/// Where the stream's records go.
pub(super) enum Sink<W> {
    /// The writer is being opened.
    Opening(oneshot::Receiver<Option<Arc<W>>>),
    /// To this writer, whose rows this key tells apart.
    Ready {
        writer: Arc<W>,
        key: Vec<usize>,
        hasher: KeyHasher,
    },
    /// Nowhere: the stream has failed.
    Failed,
}

/// The batch that is being filled.
pub(super) struct Open {
    pub(super) builder: Builder,
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) limits: Limits,
    pub(super) deadline: Instant,
    /// When it was begun, as JSON; empty if nobody wants to know.
    pub(super) batched_at: String,
    /// Memory that it held when it was filled last.
    pub(super) memory: usize,
}

/// What a schema brings to a slot.
pub(super) struct Schemed {
    pub(super) sent: Schema,
    pub(super) stream: Arc<Stream>,
    pub(super) validator: Validator,
    pub(super) keys: Vec<usize>,
    pub(super) columns: Option<Columns>,
}

impl Schemed {
    pub(super) fn new(name: &str, sent: Schema, guessed: bool, options: &Options) -> Self {
        let (schema, columns) = match options.metadata {
            Metadata::Left => (sent.clone(), None),
            Metadata::Added => {
                let (schema, columns) = Columns::add_to(sent.clone());
                (schema, Some(columns))
            }
        };
        let keys = schema
            .key_properties()
            .iter()
            .filter_map(|name| schema.layout().index(name))
            .collect();
        Self {
            validator: Validator::new(&schema),
            // A line of a rejects file was taken with its key, or would not be there.
            keys: if guessed { Vec::new() } else { keys },
            columns,
            stream: Arc::new(Stream {
                name: name.to_owned(),
                schema,
                guessed,
            }),
            sent,
        }
    }
}

impl<W: Writer> Slot<W> {
    pub(super) fn new(
        handle: Arc<Handle>,
        schemed: Schemed,
        sink: Sink<W>,
        versions: Versions,
    ) -> Self {
        Self {
            handle,
            sent: schemed.sent,
            stream: schemed.stream,
            validator: schemed.validator,
            keys: schemed.keys,
            columns: schemed.columns,
            sink,
            open: None,
            versions,
            held: None,
            is_implied: false,
            has_warned: false,
            holds_state: false,
            uncounted: 0,
        }
    }

    /// Takes a new schema; the batch of the old one was sealed.
    pub(super) fn change(&mut self, schemed: Schemed, sink: Sink<W>) {
        debug_assert!(self.open.is_none(), "a batch has one schema");
        self.sent = schemed.sent;
        self.stream = schemed.stream;
        self.validator = schemed.validator;
        self.keys = schemed.keys;
        self.columns = schemed.columns;
        self.sink = sink;
        self.has_warned = false;
    }

    /// Adds to the counts what was read since the last time.
    pub(super) fn count(&mut self) -> u64 {
        let records = std::mem::take(&mut self.uncounted);
        self.handle.counters.read.add(records);
        records
    }
}

impl<W: Writer> Slot<W> {
    /// Whether rows are kept out of sight until their version is activated.
    pub(super) fn replaces(&self) -> Replaces {
        match &self.sink {
            Sink::Ready { writer, .. } => writer.replaces(),
            _ => Replaces::Nothing,
        }
    }

    /// Whether the open batch is to be ended at a STATE.
    pub(super) fn ends_at_state(&self) -> bool {
        let (Some(open), Sink::Ready { writer, .. }) = (&self.open, &self.sink) else {
            return false;
        };
        let limits = open.limits;
        let half_full = open.builder.len() >= limits.max_records.div_ceil(2)
            || open.builder.bytes() >= limits.max_bytes / 2;
        half_full && writer.cuts_at_states()
    }
}

impl<W: Writer> Sink<W> {
    /// What the answer to a request for a writer means.
    pub(super) fn of(stream: &Stream, writer: Option<Arc<W>>) -> Self {
        let Some(writer) = writer else {
            return Self::Failed;
        };
        let plan = writer.plan();
        let destination = if plan.destination.is_empty() {
            &stream.name
        } else {
            &plan.destination
        };
        Self::Ready {
            key: writer.key(),
            hasher: KeyHasher::new(destination),
            writer,
        }
    }
}

/// When a batch that was begun now is to be sealed at the latest.
pub(super) fn deadline(max_age: Duration) -> Instant {
    let now = Instant::now();
    // An age beyond what a clock can add is no age.
    now.checked_add(max_age)
        .unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}
