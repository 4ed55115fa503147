//! One record: judged, numbered, and put into the batch of its stream.

use std::sync::Arc;

use singer_core::scan::{Field, ValueKind, unescape_lossy};
use singer_core::{Error, Result};

use super::slot::{Open, Sink, deadline};
use super::{Flow, Intake};
use crate::rejects::Reject;
use crate::target::batch::{Builder, Origin, json};
use crate::target::options::Validation;
use crate::target::shared::{Event, Sealed};
use crate::target::{Replaces, Writer};

/// A record as it was read; its fields are in the reader's own spans.
pub(super) struct Arrived<'a> {
    pub(super) text: &'a [u8],
    pub(super) line: u64,
    pub(super) version: Option<i64>,
    pub(super) attempts: u32,
    pub(super) time_extracted: Option<&'a str>,
}

impl<W: Writer> Intake<W> {
    /// Takes a record of a slot. Nothing has changed if it returns [`Flow::Await`].
    pub(super) fn record(&mut self, index: usize, record: &Arrived<'_>) -> Result<Flow> {
        let slot = &mut self.slots[index];
        if matches!(slot.sink, Sink::Opening(_)) {
            return Ok(Flow::Await(index));
        }
        for key in &slot.keys {
            if !self.fields.as_slice()[*key].is_present() {
                return Err(Error::protocol(format!(
                    "a record of stream `{}` lacks its key property `{}`",
                    slot.handle.name(),
                    slot.stream.schema.layout().name(*key)
                )));
            }
        }
        slot.uncounted += 1;
        let number = self.numbers;
        self.numbers += 1;
        if slot.handle.has_failed() || matches!(slot.sink, Sink::Failed) {
            self.read_over(index, number);
            return Ok(Flow::Next);
        }
        if let Some(reason) = self.refusal(index, record) {
            self.refuse(index, record, &reason)?;
            return Ok(Flow::Next);
        }
        self.warn_of_extra(index, record);
        self.push(index, record, number);
        Ok(Flow::Next)
    }

    /// Why the record cannot be taken, if so.
    fn refusal(&self, index: usize, record: &Arrived<'_>) -> Option<String> {
        match self.shared.options.validation {
            Validation::Full => {
                let validator = &self.slots[index].validator;
                let judged = validator.check(record.text, &self.fields);
                judged.err().map(|violation| violation.to_string())
            }
            // No destination takes what is not JSON, whatever the config says.
            Validation::JsonAlone => {
                let is_not_finite = |field: &Field| field.kind == ValueKind::NotFinite;
                let property = self.fields.as_slice().iter().position(is_not_finite)?;
                let name = self.slots[index].stream.schema.layout().name(property);
                Some(format!(
                    "property `{name}` must be JSON, found a number that is not finite"
                ))
            }
        }
    }

    fn refuse(&mut self, index: usize, record: &Arrived<'_>, reason: &str) -> Result<()> {
        let slot = &mut self.slots[index];
        // Shares are shares of what was read up to this record.
        self.shared.read.add(slot.count());
        if let Some(version) = record.version {
            slot.versions.refused(version);
        }
        let (mut key, mut text) = (Vec::new(), Vec::new());
        json::write_key(&mut key, &slot.stream.schema, |property| {
            let field = self.fields.as_slice()[property];
            field
                .is_present()
                .then(|| &record.text[field.start as usize..field.end as usize])
        });
        json::write_finite(&mut text, record.text);
        self.shared.refuse(&Reject {
            stream: slot.handle.name(),
            key: &key,
            record: &text,
            reason,
            code: None,
            line: Some(record.line),
            attempts: record.attempts,
        })?;
        self.shared.count_rejected(&slot.handle, 1)
    }

    fn warn_of_extra(&mut self, index: usize, record: &Arrived<'_>) {
        let Some((start, end)) = self.fields.extra() else {
            return;
        };
        let slot = &mut self.slots[index];
        if std::mem::replace(&mut slot.has_warned, true) {
            return;
        }
        let property = unescape_lossy(&record.text[start as usize..end as usize]);
        tracing::warn!(
            stream = slot.handle.name(),
            %property,
            "records have a property that is not in the schema; it is dropped"
        );
    }

    /// Reads over a record of a stream that has failed. No STATE after it is ever safe.
    fn read_over(&mut self, index: usize, number: u64) {
        let slot = &mut self.slots[index];
        if let Some(open) = slot.open.take() {
            // The batch stays in the ledger for good.
            slot.holds_state = true;
            self.open_bytes -= open.memory;
        }
        if !std::mem::replace(&mut slot.holds_state, true) {
            self.shared.ledger().enter(number);
        }
    }

    fn push(&mut self, index: usize, record: &Arrived<'_>, number: u64) {
        let open = &self.slots[index].open;
        let is_full =
            |open: &Open| open.builder.bytes() + record.text.len() > open.limits.max_bytes;
        if open.as_ref().is_some_and(is_full) {
            self.seal(index);
        }
        if self.slots[index].open.is_none() {
            self.begin(index, number);
        }
        let version = self.version(index, record);
        let slot = &mut self.slots[index];
        let Some(open) = &mut slot.open else { return };
        let origin = Origin {
            number,
            line: record.line,
            version,
            attempts: record.attempts,
        };
        let row = open.builder.push(record.text, &self.fields, origin);
        if let Some(columns) = &slot.columns {
            let message = (version, record.time_extracted);
            columns.fill(
                &mut open.builder,
                row,
                &self.times,
                &open.batched_at,
                message,
            );
        }
        if let Some(version) = version {
            slot.versions.record(version, number);
        }
        let memory = open.builder.memory();
        self.open_bytes = self.open_bytes + memory - open.memory;
        open.memory = memory;
        if open.builder.len() >= open.limits.max_records {
            self.seal(index);
        }
    }

    fn begin(&mut self, index: usize, number: u64) {
        let slot = &mut self.slots[index];
        let Sink::Ready {
            writer,
            key,
            hasher,
        } = &slot.sink
        else {
            return;
        };
        let limits = self.shared.limits(writer.limits());
        self.shared.ledger().enter(number);
        slot.open = Some(Open {
            builder: Builder::new(
                Arc::clone(&slot.stream),
                number,
                hasher.clone(),
                key.clone(),
                self.shared.memory.buffers(),
            ),
            first: number,
            limits,
            deadline: deadline(limits.max_age),
            batched_at: match slot.columns {
                Some(_) => self.times.received_at().to_owned(),
                None => String::new(),
            },
            memory: 0,
        });
    }

    /// The version of a record. Where a writer replaces rows by versions, one that has none belongs to
    /// that of the run; and what only an activation makes seen holds STATEs back until then.
    fn version(&mut self, index: usize, record: &Arrived<'_>) -> Option<i64> {
        let slot = &mut self.slots[index];
        let replaces = slot.replaces();
        if replaces == Replaces::Nothing {
            return record.version;
        }
        slot.is_implied |= record.version.is_none();
        if slot.held.is_none() && (record.version.is_none() || replaces == Replaces::Whole) {
            let number = self.numbers;
            self.numbers += 1;
            self.shared.ledger().enter(number);
            slot.held = Some(number);
        }
        let implied = self.shared.context.started_at().timestamp_millis();
        Some(record.version.unwrap_or(implied))
    }

    /// Ends the open batch of a slot, if there is one.
    pub(super) fn seal(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(open) = slot.open.take() else { return };
        self.open_bytes -= open.memory;
        if slot.handle.has_failed() {
            slot.holds_state = true;
            return;
        }
        self.shared.memory.take(open.memory);
        let filled = open.builder.seal();
        self.outbox.push_back(Event::Batch {
            slot: index,
            batch: Sealed {
                batch: Arc::new(filled.batch),
                hashes: filled.hashes,
                first: open.first,
                memory: open.memory,
            },
        });
    }
}
