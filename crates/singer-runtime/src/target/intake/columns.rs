//! The `_sdc_*` columns of `add_record_metadata`: extra properties of the schema, extra values of
//! every record.
//!
//! | column | value |
//! | --- | --- |
//! | `_sdc_extracted_at` | `time_extracted` of the RECORD message, else null |
//! | `_sdc_received_at` | when the record was read here |
//! | `_sdc_batched_at` | when the batch was begun that the record is in |
//! | `_sdc_deleted_at` | as the record itself has it |
//! | `_sdc_sequence` | milliseconds since 1970 when the record was read here |
//! | `_sdc_table_version` | `version` of the RECORD message, else null |
//! | `_sdc_sync_started_at` | milliseconds since 1970 when the run began |
//!
//! A writer meets them as properties and fields like any others. They are no part of the record in
//! the rejects file.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use singer_core::scan::ValueKind;
use singer_core::schema::{Property, Schema};

use crate::target::batch::Builder;

/// The places of the columns in the layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    extracted_at: usize,
    received_at: usize,
    batched_at: usize,
    sequence: usize,
    table_version: usize,
    sync_started_at: usize,
}

/// The times that do not change from record to record, as JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    received_at: String,
    sequence: String,
    sync_started_at: String,
}

impl Times {
    pub(super) fn new(started_at: DateTime<Utc>) -> Self {
        Self {
            sync_started_at: started_at.timestamp_millis().to_string(),
            ..Self::default()
        }
    }

    /// From now on records are read at this time.
    pub(super) fn receive(&mut self, now: DateTime<Utc>) {
        self.received_at = timestamp(now);
        self.sequence = now.timestamp_millis().to_string();
    }

    /// The time that [`Times::receive`] was told last, as JSON.
    pub(super) fn received_at(&self) -> &str {
        &self.received_at
    }
}

fn timestamp(time: DateTime<Utc>) -> String {
    format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

impl Columns {
    /// Adds the columns to a schema.
    pub(super) fn add_to(schema: Schema) -> (Schema, Self) {
        let time = |name: &str| {
            Property::new(
                name,
                json!({"type": ["null", "string"], "format": "date-time"}),
            )
        };
        let integer = |name: &str| Property::new(name, json!({"type": ["null", "integer"]}));
        let schema = schema.extended([
            time("_sdc_extracted_at"),
            time("_sdc_received_at"),
            time("_sdc_batched_at"),
            time("_sdc_deleted_at"),
            integer("_sdc_sequence"),
            integer("_sdc_table_version"),
            integer("_sdc_sync_started_at"),
        ]);
        let place = |name: &str| {
            schema
                .layout()
                .index(name)
                .expect("the column was added just now")
        };
        let columns = Self {
            extracted_at: place("_sdc_extracted_at"),
            received_at: place("_sdc_received_at"),
            batched_at: place("_sdc_batched_at"),
            sequence: place("_sdc_sequence"),
            table_version: place("_sdc_table_version"),
            sync_started_at: place("_sdc_sync_started_at"),
        };
        (schema, columns)
    }

    /// Sets the columns of a row.
    pub(super) fn fill(
        &self,
        builder: &mut Builder,
        row: usize,
        times: &Times,
        batched_at: &str,
        (version, time_extracted): (Option<i64>, Option<&str>),
    ) {
        let mut set =
            |property, kind, text: &str| builder.set(row, property, kind, text.as_bytes());
        set(self.received_at, ValueKind::String, &times.received_at);
        set(self.batched_at, ValueKind::String, batched_at);
        set(self.sequence, ValueKind::Integer, &times.sequence);
        set(
            self.sync_started_at,
            ValueKind::Integer,
            &times.sync_started_at,
        );
        match version {
            Some(version) => set(self.table_version, ValueKind::Integer, &version.to_string()),
            None => set(self.table_version, ValueKind::Null, "null"),
        }
        match time_extracted {
            Some(time) => {
                let mut text = Vec::with_capacity(time.len() + 2);
                singer_core::value::write_string(&mut text, time);
                builder.set(row, self.extracted_at, ValueKind::String, &text);
            }
            None => set(self.extracted_at, ValueKind::Null, "null"),
        }
    }
}
