//! One line: what it is, and what it changes.

use serde_json::json;
use singer_core::line::{self, Line, RejectLine};
use singer_core::schema::{Property, Schema};
use singer_core::{Error, Result, scan};
use std::sync::Arc;
use tokio::sync::oneshot;

use super::record::Arrived;
use super::slot::{Schemed, Sink, Slot};
use super::{Content, Flow, Intake};
use crate::batch_files::BatchFiles;
use crate::target::shared::Event;
use crate::target::versions::{Decision, Versions};
use crate::target::{Replaces, Writer};

/// So many unknown types are told apart; who sends more sends garbage.
const MOST_UNKNOWN_TYPES: usize = 100;

impl<W: Writer> Intake<W> {
    /// Takes one line. Nothing has changed if it returns [`Flow::Await`].
    pub(super) fn take(&mut self, text: &[u8], number: u64, content: Content<'_>) -> Result<Flow> {
        if let Content::Records {
            slot,
            version,
            line,
            ..
        } = content
        {
            return self.take_bare(text, slot, version, line);
        }
        let (slots, names, last) = (&self.slots, &self.names, self.last);
        let parsed = line::parse(text, &mut self.fields, |name| {
            let slot = find(slots, names, last, name)?;
            Some(slots[slot].stream.schema.layout())
        })?;
        match parsed {
            Line::Record(record) => {
                let slot = self.slot(&record.stream).ok_or_else(|| {
                    Error::protocol(format!(
                        "a record of stream `{}` before its SCHEMA",
                        record.stream
                    ))
                })?;
                self.last = slot;
                debug_assert!(record.scanned, "the stream has a layout");
                let arrived = Arrived {
                    text: record.record.as_bytes(),
                    line: number,
                    version: record.version,
                    attempts: 0,
                    time_extracted: record.time_extracted.as_deref(),
                };
                self.record(slot, &arrived)
            }
            Line::State { value } => {
                self.state(value);
                Ok(Flow::Next)
            }
            Line::Schema {
                stream,
                schema,
                key_properties,
                bookmark_properties,
            } => {
                self.shared.describe(&stream, schema);
                let schema = Schema::new(schema, key_properties, bookmark_properties)
                    .map_err(|error| error.at(format_args!("stream `{stream}`")))?;
                self.schema(&stream, schema, Origin::Message)?;
                Ok(Flow::Next)
            }
            Line::ActivateVersion { stream, version } => {
                self.activate_version(&stream, version);
                Ok(Flow::Next)
            }
            Line::Batch {
                stream,
                encoding,
                manifest,
                version,
            } => {
                let slot = self.slot(&stream).ok_or_else(|| {
                    Error::protocol(format!("a BATCH of stream `{stream}` before its SCHEMA"))
                })?;
                Ok(Flow::Files(
                    slot,
                    BatchFiles::new(encoding, manifest)?,
                    version,
                ))
            }
            Line::Reject(reject) => self.reject_line(&reject, number),
            Line::Unknown { kind } => {
                if self.unknown_types.len() < MOST_UNKNOWN_TYPES
                    && self.unknown_types.insert(kind.to_string())
                {
                    tracing::warn!(r#type = %kind, "messages of this type are passed over");
                }
                Ok(Flow::Next)
            }
        }
    }

    /// Takes a line of a batch file: a record without a message around it.
    fn take_bare(
        &mut self,
        text: &[u8],
        slot: usize,
        version: Option<i64>,
        line: u64,
    ) -> Result<Flow> {
        let layout = self.slots[slot].stream.schema.layout();
        let not_json = |error| Error::protocol("the line is not a JSON record").with_source(error);
        std::str::from_utf8(text).map_err(|error| {
            Error::protocol(format!("not UTF-8 at byte {}", error.valid_up_to() + 1))
        })?;
        let end = self.fields.scan(text, 0, layout).map_err(not_json)?;
        if end != text.len() {
            let what = "more text after the record";
            return Err(not_json(scan::ScanError { at: end, what }));
        }
        let arrived = Arrived {
            text,
            line,
            version,
            attempts: 0,
            time_extracted: None,
        };
        self.record(slot, &arrived)
    }

    /// Takes a line of a rejects file: a record to try again. If no SCHEMA came for its stream, one
    /// is guessed from the records, and grows with them.
    fn reject_line(&mut self, reject: &RejectLine<'_>, number: u64) -> Result<Flow> {
        let text = reject.record.as_bytes();
        let mut names = Vec::new();
        let not_json = |error| Error::protocol("the record is not JSON").with_source(error);
        let slot = match self.slot(&reject.stream) {
            Some(slot) if !self.slots[slot].stream.guessed => slot,
            known => {
                scan::scan_object(text, 0, 0, |key, _| {
                    names.push(scan::unescape_lossy(&text[key.0..key.1]).into_owned());
                })
                .map_err(not_json)?;
                let guessed = match known {
                    Some(slot) => {
                        let any = |name: &String| Property::new(name, json!({}));
                        let schema = self.slots[slot].sent.clone();
                        schema.extended(names.iter().map(any))
                    }
                    None => {
                        Schema::guessed(names.iter().map(String::as_str), key_names(reject.key))
                    }
                };
                self.schema(&reject.stream, guessed, Origin::Guess)?
            }
        };
        self.last = slot;
        let layout = self.slots[slot].stream.schema.layout();
        self.fields.scan(text, 0, layout).map_err(not_json)?;
        let arrived = Arrived {
            text,
            line: number,
            version: None,
            attempts: u32::try_from(reject.attempts).unwrap_or(u32::MAX - 1),
            time_extracted: None,
        };
        self.record(slot, &arrived)
    }

    /// Takes the schema of a stream, new, changed or the same, and returns the stream's slot.
    fn schema(&mut self, name: &str, schema: Schema, origin: Origin) -> Result<usize> {
        let known = self.slot(name);
        let guessed = origin == Origin::Guess;
        if let Some(slot) = known
            && self.slots[slot].stream.guessed == guessed
            && self.slots[slot].sent.same_as(&schema)
        {
            return Ok(slot);
        }
        let schemed = Schemed::new(name, schema, guessed, &self.shared.options);
        let (reply, answer) = oneshot::channel();
        let sink = Sink::Opening(answer);
        let stream = Arc::clone(&schemed.stream);
        let slot = match known {
            Some(slot) => {
                self.seal(slot);
                self.slots[slot].change(schemed, sink);
                slot
            }
            None => {
                let handle = self.shared.handle(name).ok_or_else(Error::interrupted)?;
                let versions = Versions::new(self.shared.options.empty_versions);
                self.slots.push(Slot::new(handle, schemed, sink, versions));
                self.names.insert(name.to_owned(), self.slots.len() - 1);
                self.slots.len() - 1
            }
        };
        self.outbox.push_back(Event::Open {
            slot,
            handle: Arc::clone(&self.slots[slot].handle),
            stream,
            reply,
        });
        Ok(slot)
    }

    fn state(&mut self, value: &str) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].ends_at_state() {
                self.seal(slot);
            }
        }
        self.records_before_state = self.numbers;
        let mut ledger = self.shared.ledger();
        ledger.state(self.numbers, value);
        if ledger.has_safe() {
            self.shared.safe_state.notify_one();
        }
    }

    fn activate_version(&mut self, stream: &str, version: i64) {
        match self.slot(stream) {
            Some(slot) => {
                let decision = self.slots[slot].versions.message(version);
                self.decide(slot, decision);
            }
            None => {
                tracing::warn!(
                    stream,
                    "ACTIVATE_VERSION of an unknown stream is passed over"
                );
            }
        }
    }

    /// The input has ended: versions that were remembered take effect, and those that records without
    /// a version were given.
    pub(super) fn end_versions(&mut self) -> Result<()> {
        let mut unfinished = None;
        for slot in 0..self.slots.len() {
            let decision = self.slots[slot].versions.end(self.records_before_state);
            self.decide(slot, decision);
            if !std::mem::take(&mut self.slots[slot].is_implied) {
                let slot = &self.slots[slot];
                if slot.replaces() != Replaces::Nothing && slot.versions.is_unactivated() {
                    tracing::warn!(
                        stream = slot.handle.name(),
                        "the rows of a version replace nothing: the tap has not activated it"
                    );
                }
                continue;
            }
            match self.slots[slot]
                .versions
                .end_implied(self.records_before_state)
            {
                Some((version, rows)) => self.activate(slot, version, Some(rows)),
                None => unfinished = unfinished.or(Some(slot)),
            }
        }
        match unfinished {
            None => Ok(()),
            Some(slot) => Err(Error::protocol(format!(
                "the rows of stream `{}` do not replace those of before: no STATE follows the last record",
                self.slots[slot].handle.name()
            ))
            .with_hint("the tap may have died; one that ended well writes a STATE at its end")),
        }
    }

    fn decide(&mut self, slot: usize, decision: Decision) {
        let stream = self.slots[slot].handle.name();
        let replaces = self.slots[slot].replaces() != Replaces::Nothing;
        match decision {
            Decision::Nothing => {}
            // All of its records may have come in a run before, which the writer knows.
            Decision::Empty { version } => self.activate(slot, version, None),
            Decision::Unfinished => {
                tracing::warn!(
                    stream,
                    "a version takes no effect: no STATE follows its last record, the tap may have died"
                );
            }
            // Its rows are nowhere else: what was refused stands in the rejects file.
            Decision::Incomplete { version, rows, .. } if replaces => {
                self.activate(slot, version, Some(rows));
            }
            Decision::Incomplete { refused, .. } => {
                tracing::warn!(
                    stream,
                    refused,
                    "a version takes no effect, since some of its records were rejected"
                );
            }
            Decision::Activate { version, rows } => self.activate(slot, version, Some(rows)),
        }
    }

    fn activate(&mut self, slot: usize, version: i64, rows: Option<u64>) {
        self.seal(slot);
        let number = self.slots[slot].held.take().unwrap_or_else(|| {
            let number = self.numbers;
            self.numbers += 1;
            self.shared.ledger().enter(number);
            number
        });
        self.outbox.push_back(Event::Activate {
            slot,
            number,
            version,
            rows,
        });
    }

    fn slot(&self, name: &str) -> Option<usize> {
        find(&self.slots, &self.names, self.last, name)
    }
}

/// Where a schema comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Message,
    Guess,
}

fn find<W>(
    slots: &[Slot<W>],
    names: &std::collections::HashMap<String, usize>,
    last: usize,
    name: &str,
) -> Option<usize> {
    if slots
        .get(last)
        .is_some_and(|slot| slot.handle.name() == name)
    {
        return Some(last);
    }
    names.get(name).copied()
}

/// The names in the key of a rejects line.
fn key_names(key: &str) -> Vec<String> {
    match serde_json::from_str(key) {
        Ok(serde_json::Value::Object(key)) => key.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}
