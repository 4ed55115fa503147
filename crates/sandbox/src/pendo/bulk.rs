//! `POST /metadata/{kind}/{group}/value`: the bulk call. Facts: section 3.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::batch::{Batch, Reader, Record, count_records};
use super::options::{Create, Duplicates, EmptyList, ErrorShape, Mode, WrongValue};
use super::schema::Kind;
use super::{KindState, Pendo, answer};
use crate::activity::Tally;
use crate::body::{self, BodyError};
use crate::faults::CallFaults;
use crate::server::{Held, declared_length};

/// Occurs once in each record, unless a value has the same text.
const RECORD_MARK: &str = "\"values\"";

/// Numbers the calls, so that a row knows whether the same call touched it before.
static CALLS: AtomicU64 = AtomicU64::new(1);

#[derive(Deserialize)]
pub(crate) struct Parameters {
    create: Option<String>,
}

/// Sets values of many ids.
pub(crate) async fn set_values(
    State(pendo): State<Arc<Pendo>>,
    Path((kind, group)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Response {
    let kind = Kind::from_name(&kind).filter(|_| group == "custom" || group == "agent");
    let Some(kind) = kind else {
        body::drain(request.into_body()).await;
        return answer::not_found();
    };
    let faults = request
        .extensions()
        .get::<CallFaults>()
        .copied()
        .unwrap_or_default();
    let call = Call {
        pendo: &pendo,
        state: pendo.of(kind),
        group: &group,
        create: parameters.create.as_deref() == Some("true"),
        faults,
    };
    call.run(request).await
}

/// One bulk call.
struct Call<'call> {
    pendo: &'call Pendo,
    state: &'call KindState,
    group: &'call str,
    create: bool,
    faults: CallFaults,
}

impl Call<'_> {
    async fn run(&self, request: Request) -> Response {
        let options = &self.pendo.options;
        let limit = self
            .faults
            .byte_limit
            .unwrap_or(options.max_body_bytes)
            .min(options.max_body_bytes);
        let declared = declared_length(request.headers());
        if options.mode == Mode::Drain {
            return match body::count_occurrences(request.into_body(), RECORD_MARK).await {
                Ok((records, bytes)) => self.count_only(records, bytes),
                Err(_) => answer::bad_request("the body was not read to its end"),
            };
        }
        let collected = match body::collect(request.into_body(), declared, limit).await {
            Ok(collected) => collected,
            Err(BodyError::TooLarge) => return answer::too_large(),
            Err(BodyError::Broken) => {
                return answer::bad_request("the body was not read to its end");
            }
        };
        if options.mode == Mode::Discard {
            return match count_records(&collected) {
                Ok(records) => self.count_only(records, collected.len()),
                Err(_) => answer::bad_request("malformed JSON"),
            };
        }
        match std::str::from_utf8(&collected) {
            Ok(text) => self.store(text),
            Err(_) => answer::bad_request("the body is no UTF-8"),
        }
    }

    fn count_only(&self, records: usize, bytes: usize) -> Response {
        let (applied, timed_out) = self.applied_records(records);
        let mut outcome = Outcome {
            records,
            bytes,
            updated: applied,
            ..Outcome::default()
        };
        for number in 1..=applied {
            if self.fails_on_purpose(number) {
                outcome.updated -= 1;
                outcome.errors.push(self.error("", "failed on purpose"));
            }
        }
        self.respond(outcome, timed_out)
    }

    fn store(&self, text: &str) -> Response {
        let options = &self.pendo.options;
        loop {
            let schema = self
                .state
                .schema
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let id_key = match self.state.kind {
                Kind::Visitor => "visitorId",
                Kind::Account => "accountId",
                Kind::ParentAccount => &options.parent_id_key,
            };
            let reader = Reader {
                schema: &schema,
                group: self.group,
                id_key,
                options,
            };
            let batch = match reader.read(text) {
                Ok(batch) => batch,
                // The parser's own message may quote a value.
                Err(error) => {
                    let place = format!("line {} column {}", error.line(), error.column());
                    return answer::bad_request(&format!("malformed records at {place}"));
                }
            };
            if batch.unborn.is_empty() {
                return self.apply(&batch, text.len());
            }
            drop(schema);
            let mut schema = self
                .state
                .schema
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            // A call that is refused leaves no fields behind.
            if let Err(error) = schema.check_room(batch.unborn.len()) {
                return answer::bad_request(&error.to_string());
            }
            for field in batch.unborn {
                if let Err(error) = schema.create(field) {
                    return answer::bad_request(&error.to_string());
                }
            }
        }
    }

    fn apply(&self, batch: &Batch<'_>, bytes: usize) -> Response {
        let options = &self.pendo.options;
        let refusal = batch
            .records
            .iter()
            .find_map(|record| record.refusal.as_ref());
        if let Some(refusal) = refusal.filter(|_| options.wrong_value == WrongValue::Batch) {
            return answer::bad_request(&refusal.0);
        }
        if options.duplicates == Duplicates::Refuse && has_duplicates(batch) {
            return answer::bad_request("an id stands in the batch twice");
        }
        let (applied, timed_out) = self.applied_records(batch.records.len());
        let flight = options.watch_overlaps.then(|| {
            self.state
                .in_flight
                .enter(batch.records.iter().map(|record| &*record.id))
        });
        let mut outcome = Outcome {
            records: batch.records.len(),
            bytes,
            ..Outcome::default()
        };
        self.merge(batch, &batch.records[..applied], &mut outcome);
        outcome.overlaps = flight.as_ref().map_or(0, |(_, overlaps)| *overlaps);
        let mut response = self.respond(outcome, timed_out);
        if let Some((flight, _)) = flight {
            response.extensions_mut().insert(Held(Arc::new(flight)));
        }
        response
    }

    fn merge(&self, batch: &Batch<'_>, records: &[Record<'_>], outcome: &mut Outcome) {
        let create = self.creates();
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let now = epoch_millis();
        let mut table = self.state.table();
        for (number, record) in (1..).zip(records) {
            if let Some(refusal) = &record.refusal {
                outcome.errors.push(self.error(&record.id, &refusal.0));
                continue;
            }
            if self.fails_on_purpose(number) {
                outcome
                    .errors
                    .push(self.error(&record.id, "failed on purpose"));
                continue;
            }
            let row = if create {
                Some(table.row_or_new(&record.id))
            } else {
                table.row_mut(&record.id)
            };
            let Some(row) = row else {
                outcome.missing.push(record.id.as_ref().into());
                continue;
            };
            outcome.duplicates += u64::from(row.touched_by == call);
            row.touched_by = call;
            row.written_at = Some(now);
            row.merge(batch.cells(record));
            outcome.updated += 1;
        }
    }

    fn creates(&self) -> bool {
        let options = &self.pendo.options;
        let asked = self.create
            && match options.create {
                Create::Allow => true,
                Create::AgentOnly => self.group == "agent",
                Create::Ignore => false,
            };
        asked || options.create_unknown
    }

    /// How many records the call gets to before its time is up, and whether it is.
    fn applied_records(&self, records: usize) -> (usize, bool) {
        if let Some((limit, applied)) = self
            .faults
            .record_limit
            .filter(|(limit, _)| records > *limit)
        {
            return (applied.min(limit).min(records), true);
        }
        let options = &self.pendo.options;
        let fitting = options
            .records_per_second
            .map_or(usize::MAX, |rate| rate.saturating_mul(options.call_seconds));
        (records.min(fitting), records > fitting)
    }

    fn fails_on_purpose(&self, number: usize) -> bool {
        self.faults
            .failed_record
            .is_some_and(|every| number.is_multiple_of(every))
    }

    fn error(&self, id: &str, reason: &str) -> Value {
        match self.pendo.options.error_shape {
            ErrorShape::Id => json!({"id": id, "error": reason}),
            ErrorShape::KindId => {
                json!({format!("{}Id", self.state.kind.name()): id, "error": reason})
            }
            ErrorShape::Text => id.into(),
            ErrorShape::Anonymous => json!({"error": reason}),
        }
    }

    fn respond(&self, outcome: Outcome, timed_out: bool) -> Response {
        let tally = Tally {
            table: format!("pendo/{}", self.state.kind.name()),
            bytes: outcome.bytes as u64,
            records: outcome.records as u64,
            updated: outcome.updated as u64,
            missing: outcome.missing.len() as u64,
            errors: outcome.errors.len() as u64,
            duplicates: outcome.duplicates,
            overlaps: outcome.overlaps,
        };
        let mut response = if timed_out {
            answer::timed_out()
        } else {
            Json(outcome.into_json(self.state.kind, self.pendo.options.empty_list)).into_response()
        };
        response.extensions_mut().insert(tally);
        response
    }
}

/// What became of the records of a call.
#[derive(Default)]
struct Outcome {
    records: usize,
    bytes: usize,
    updated: usize,
    missing: Vec<Value>,
    errors: Vec<Value>,
    duplicates: u64,
    overlaps: u64,
}

impl Outcome {
    fn into_json(self, kind: Kind, empty_list: EmptyList) -> Value {
        let failed = self.missing.len() + self.errors.len();
        let mut answer = Map::new();
        answer.insert("total".to_owned(), (self.updated + failed).into());
        answer.insert("updated".to_owned(), self.updated.into());
        answer.insert("failed".to_owned(), failed.into());
        insert_list(&mut answer, "missing", self.missing, empty_list);
        insert_list(&mut answer, "errors", self.errors, empty_list);
        answer.insert("kind".to_owned(), kind.name().into());
        answer.into()
    }
}

/// Writes a list as the settings have it when it is empty.
pub(crate) fn insert_list(
    answer: &mut Map<String, Value>,
    name: &str,
    list: Vec<Value>,
    empty_list: EmptyList,
) {
    let value = match (list.is_empty(), empty_list) {
        (true, EmptyList::Absent) => return,
        (true, EmptyList::Null) => Value::Null,
        _ => list.into(),
    };
    answer.insert(name.to_owned(), value);
}

fn has_duplicates(batch: &Batch<'_>) -> bool {
    let mut seen = HashSet::with_capacity(batch.records.len());
    !batch.records.iter().all(|record| seen.insert(&*record.id))
}

/// Now, in the form in which Pendo answers times.
pub(crate) fn epoch_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
