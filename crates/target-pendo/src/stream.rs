//! One stream: its plan, its batches, and what becomes of rows that vanished.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use singer_runtime::target::{Batch, Limits, Outcome, Problem, Stream, StreamPlan, Writer};

use crate::api::Place;
use crate::config::{Chosen, FULL, OnDelete, StreamConfig, guess_kind};
use crate::encode::{Encoded, Encoder};
use crate::memory::{self, Candidate, Compare, MarksLast, Memory};
use crate::model::{Group, Kind, NewField};
use crate::schema::{Mapping, MetadataSchema, Plan};
use crate::size::Size;
use crate::write::Delivery;
use crate::{Pendo, on_disk};

#[cfg(test)]
mod tests;

/// Bytes of the records in a batch at most; some three times what the default number of usual
/// records takes.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// How long a record waits for its batch to fill.
const MAX_BATCH_AGE: Duration = Duration::from_secs(10);

/// How much of a body `--dry-run` shows.
const PREVIEW_BYTES: usize = 2_000;

/// Writes one stream.
#[derive(Debug)]
pub struct StreamWriter {
    pendo: Pendo,
    name: String,
    chosen: Chosen,
    group: Group,
    plan: StreamPlan,
    /// `None` if the plan has problems.
    ready: Option<Ready>,
}

/// What a stream without problems has.
#[derive(Debug)]
struct Ready {
    kind: Kind,
    id_key: String,
    encoder: Encoder,
    size: Size,
    creates: Vec<NewField>,
    memory: OnceLock<Arc<Memory>>,
}

impl StreamWriter {
    /// Plans a stream: what its rows are, and which field each column goes to. Reads the metadata
    /// schema, writes nothing.
    pub(crate) async fn open(pendo: Pendo, stream: Arc<Stream>) -> anyhow::Result<Self> {
        let config = pendo.config().streams.get(&stream.name);
        let config = config.cloned().unwrap_or_default();
        let chosen = config.choices.over(&pendo.config().choices);
        let group = config.group.unwrap_or_default();
        let mut writer = Self {
            name: stream.name.clone(),
            chosen,
            group,
            plan: StreamPlan::default(),
            ready: None,
            pendo,
        };
        let Some(kind) = config.kind.or_else(|| guess_kind(&stream.name)) else {
            writer.plan.problems.push(Problem {
                kind: "kind unclear",
                message: "nothing says whether the rows are visitors or accounts".to_owned(),
                hint: Some(format!(
                    "set `streams.{}.kind` to `visitor`, `account` or `parentAccount`",
                    stream.name
                )),
            });
            return Ok(writer);
        };
        let answer = writer.pendo.api().read_schema(kind).await?;
        let mapping = Plan {
            stream: &stream,
            config: &config,
            chosen: &chosen,
            kind,
            group,
            schema: &MetadataSchema::parse(&answer),
        }
        .mapping();
        writer.take(kind, &config, &stream, mapping);
        Ok(writer)
    }

    fn take(&mut self, kind: Kind, config: &StreamConfig, stream: &Stream, mapping: Mapping) {
        self.plan.destination = format!("{} metadata, group `{}`", kind.word(), self.group.word());
        self.plan.creates = mapping
            .creates
            .iter()
            .map(|field| format!("field `{}` ({})", field.name, field.kind))
            .collect();
        self.plan.problems = mapping.problems;
        let Some(id) = mapping.id.filter(|_| self.plan.problems.is_empty()) else {
            return;
        };
        for column in &mapping.columns {
            tracing::debug!(
                stream = %self.name, column = %column.name, field = %column.field,
                r#type = %column.word, "mapped"
            );
        }
        if self.chosen.create_missing {
            tracing::warn!(
                stream = %self.name,
                "unknown ids will be created; they may count towards the licence"
            );
        }
        let id_key = config.id_key.clone();
        let id_key = id_key.unwrap_or_else(|| kind.id_key().to_owned());
        let deleted = stream.schema.layout().index("_sdc_deleted_at");
        self.ready = Some(Ready {
            kind,
            encoder: Encoder::new(&id_key, id, mapping.columns, deleted, &self.chosen),
            id_key,
            size: Size::new(self.pendo.config().batch_records),
            creates: mapping.creates,
            memory: OnceLock::new(),
        });
    }

    fn ready(&self) -> anyhow::Result<&Ready> {
        self.ready
            .as_ref()
            .ok_or_else(|| anyhow::anyhow!("the stream `{}` has problems", self.name))
    }

    fn place<'a>(&self, ready: &'a Ready) -> Place<'a> {
        Place {
            kind: ready.kind,
            group: self.group,
            create: self.chosen.create_missing,
            id_key: &ready.id_key,
        }
    }

    /// Where this stream's memory lies. The name is the stream's as far as file names allow, and a
    /// hash of the whole of it keeps streams apart.
    fn memory_path(&self, kind: Kind) -> PathBuf {
        let plain: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(80)
            .collect();
        let hash = memory::hash(0, self.name.as_bytes()) as u32;
        PathBuf::from(&self.pendo.config().memory_path).join(format!(
            "{plain}-{hash:08x}-{}-{}",
            kind.word(),
            self.group.word()
        ))
    }

    /// The rows that are to be sent: those that are not known to be unchanged.
    fn screen(&self, memory: &Memory, encoded: &Encoded) -> singer_core::Result<Vec<usize>> {
        let mut candidates: Vec<Candidate<'_>> = encoded
            .rows
            .iter()
            .map(|row| Candidate {
                key: encoded.key(row),
                hash: Some(row.hash),
                version: row.version,
            })
            .collect();
        // What is not sent was there at the source all the same.
        candidates.extend(encoded.refused().map(|(key, version)| Candidate {
            key,
            hash: None,
            version,
        }));
        let full = self.pendo.context().switch(FULL) || !self.chosen.only_changed;
        let compare = if full {
            Compare::Nothing
        } else {
            Compare::Values
        };
        let unchanged = memory.screen(&candidates, compare)?;
        let rows = 0..encoded.rows.len();
        Ok(rows.filter(|row| !unchanged[*row]).collect())
    }

    /// Empties the fields of the next ids that vanished. Returns what was done and where to go on.
    async fn clear_portion(
        &self,
        ready: &Ready,
        memory: &Memory,
        from: u32,
    ) -> anyhow::Result<Option<(Outcome, u32)>> {
        let vanished = memory.vanished(from, ready.size.current())?;
        if vanished.ends.is_empty() {
            return Ok(None);
        }
        let mut start = 0;
        let ids = vanished.ends.iter().map(|end| {
            let id = &vanished.ids[start..*end];
            start = *end;
            id
        });
        let encoded = ready.encoder.encode_cleared(ids);
        let names = ready.encoder.names();
        // What vanished must not be created to be emptied.
        let place = Place {
            create: false,
            ..self.place(ready)
        };
        let mut delivery = Delivery::new(self.pendo.api(), place, &ready.size, &encoded, &names);
        let result = delivery.send((0..encoded.rows.len()).collect()).await;
        let gone = delivery.confirmed.iter().chain(&delivery.missing);
        memory.forget(gone.map(|row| encoded.key(&encoded.rows[*row])))?;
        result?;
        let mut outcome = delivery.into_outcome();
        outcome.cleared = std::mem::take(&mut outcome.sent);
        let refused = encoded.rows.len() as u64 - outcome.cleared;
        if refused > 0 {
            tracing::warn!(
                stream = %self.name, refused,
                reason = outcome.refusals.first().map(|refusal| refusal.reason.as_str()),
                "vanished records could not be cleared"
            );
        }
        // They are rows of no batch.
        outcome.refusals.clear();
        Ok(Some((outcome, vanished.next)))
    }
}

impl Writer for StreamWriter {
    fn plan(&self) -> StreamPlan {
        self.plan.clone()
    }

    fn key(&self) -> Vec<usize> {
        self.ready.iter().map(|ready| ready.encoder.id()).collect()
    }

    fn limits(&self) -> Limits {
        Limits {
            max_records: self
                .ready
                .as_ref()
                .map_or(self.pendo.config().batch_records, |ready| {
                    ready.size.current()
                }),
            max_bytes: MAX_BATCH_BYTES,
            max_age: MAX_BATCH_AGE,
        }
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let ready = self.ready()?;
        if !ready.creates.is_empty() {
            self.pendo
                .api()
                .create_fields(ready.kind, self.group, &ready.creates)
                .await?;
            tracing::info!(stream = %self.name, fields = ready.creates.len(), "created fields");
        }
        let path = self.memory_path(ready.kind);
        if !self.chosen.remembers() {
            return on_disk(move || Memory::pass_over(&path)).await;
        }
        let marks = match self.chosen.on_delete {
            OnDelete::Clear => MarksLast::Machine,
            OnDelete::Ignore => MarksLast::Process,
        };
        let memory = self.pendo.memory(path, marks).await?;
        ready.memory.get_or_init(|| memory);
        Ok(())
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let ready = self.ready()?;
        let mut encoded = ready.encoder.encode(&batch);
        let refusals = std::mem::take(&mut encoded.refusals);
        let memory = ready.memory.get();
        let rows: Vec<usize> = match memory {
            Some(memory) => self.screen(memory, &encoded)?,
            None => (0..encoded.rows.len()).collect(),
        };
        let unchanged = (encoded.rows.len() - rows.len()) as u64 + encoded.empty;
        let names = ready.encoder.names();
        let place = self.place(ready);
        let mut delivery = Delivery::new(self.pendo.api(), place, &ready.size, &encoded, &names);
        let result = delivery.send(rows).await;
        if let Some(memory) = memory {
            let rows = &encoded.rows;
            memory.confirm(
                delivery
                    .confirmed
                    .iter()
                    .map(|row| (encoded.key(&rows[*row]), rows[*row].hash)),
            )?;
            memory.forget(delivery.missing.iter().map(|row| encoded.key(&rows[*row])))?;
        }
        result?;
        let mut outcome = delivery.into_outcome();
        outcome.unchanged = unchanged;
        outcome.refusals.extend(refusals);
        Ok(outcome)
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        let Some(ready) = &self.ready else {
            return Vec::new();
        };
        let encoded = ready.encoder.encode(batch);
        let rows: Vec<usize> = (0..encoded.rows.len()).collect();
        rows.chunks(ready.size.current())
            .filter_map(|rows| {
                let body = encoded.body(rows);
                let shown = shorten(&body, rows.len());
                self.pendo.api().preview(self.place(ready), &shown).ok()
            })
            .collect()
    }

    async fn activate_version(&self, version: i64, rows: Option<u64>) -> anyhow::Result<Outcome> {
        let rows = rows.unwrap_or_default();
        let ready = self.ready()?;
        let mut sum = Outcome::default();
        let Some(memory) = ready.memory.get() else {
            return Ok(sum);
        };
        if self.chosen.on_delete != OnDelete::Clear {
            return Ok(sum);
        }
        let settled = {
            let memory = Arc::clone(memory);
            on_disk(move || memory.settle(version, rows)).await?
        };
        if settled.is_none() {
            tracing::warn!(
                stream = %self.name,
                "nothing is cleared: the memory did not see the whole of this full table"
            );
            return Ok(sum);
        }
        let mut from = 0;
        while let Some((outcome, next)) = self.clear_portion(ready, memory, from).await? {
            sum.cleared += outcome.cleared;
            sum.requests += outcome.requests;
            sum.retried += outcome.retried;
            sum.bytes += outcome.bytes;
            from = next;
        }
        Ok(sum)
    }
}

/// The start of a body, and how much of it there is.
fn shorten(body: &[u8], records: usize) -> String {
    if body.len() <= PREVIEW_BYTES {
        return String::from_utf8_lossy(body).into_owned();
    }
    let start = String::from_utf8_lossy(&body[..PREVIEW_BYTES]);
    format!(
        "{}…\n({records} records, {} bytes)",
        start.trim_end_matches(char::REPLACEMENT_CHARACTER),
        body.len()
    )
}
