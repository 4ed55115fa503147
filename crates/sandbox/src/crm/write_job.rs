//! Bulk writes as jobs: how their rows are applied, and what became of each. Facts: sections 8.3, 8.4
//! and 9.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Crm;
use super::csv::Rows;
use super::job::Progress;
use super::options::{EqualKeys, WriteResult};
use super::plan::{Operation, Plan};
use super::write_row::{Outcome, Writer};
use crate::activity::Tally;
use crate::archive::{Archive, Packer};
use crate::faults::{CallFaults, JobFault};
use crate::text::push_cell;

/// Columns of the upload that the result repeats.
const REPEATED: usize = 3;

/// One bulk write.
#[derive(Clone, Debug)]
pub(super) struct WriteJob {
    pub(super) id: i64,
    pub(super) operation: Operation,
    pub(super) parts: Vec<Part>,
    pub(super) progress: Progress,
    /// Rows that fail, and rows that are not reached.
    pub(super) faults: CallFaults,
    /// The address under which the result can be had.
    pub(super) host: String,
    pub(super) is_absolute: bool,
    pub(super) archives: Vec<Arc<Archive>>,
}

/// One resource of a job.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) plan: Plan,
    /// The CSV, until it was worked through.
    text: Arc<String>,
    /// Why no row of it was written.
    failure: Option<&'static str>,
    pub(super) counts: Counts,
}

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) added: usize,
    pub(super) updated: usize,
    pub(super) skipped: usize,
    pub(super) total: usize,
    pub(super) duplicates: usize,
}

impl Part {
    pub(super) fn new(plan: Plan, text: String) -> Part {
        Part {
            plan,
            text: Arc::new(text),
            failure: None,
            counts: Counts::default(),
        }
    }

    fn describe(&self, state: &str, module_id: i64) -> Value {
        let is_failed = self.failure.is_some();
        let status = if is_failed { "FAILED" } else { state };
        let mut described = json!({
            "status": status, "type": "data",
            "module": {"api_name": self.plan.module, "id": module_id.to_string()},
            "field_mappings": self.plan.shown(), "find_by": self.plan.find_by,
            "file": {"status": status, "name": self.plan.file_name,
                "added_count": self.counts.added, "updated_count": self.counts.updated,
                "skipped_count": self.counts.skipped, "total_count": self.counts.total},
        });
        match (self.failure, state) {
            (Some(code), _) => {
                described["code"] = json!(code);
                described["message"] = json!(code.replace('_', " ").to_ascii_lowercase());
            }
            (None, "COMPLETED") => described["code"] = json!("SUCCESS"),
            _ => {}
        }
        described
    }
}

impl WriteJob {
    pub(super) fn state<'a>(&self, crm: &'a Crm) -> &'a str {
        let is_failed = || self.parts.iter().any(|part| part.failure.is_some());
        match self.progress.ended_ms {
            Some(_) if is_failed() => "FAILED",
            Some(_) => "COMPLETED",
            None if self.progress.looks <= 1 && !self.progress.is_running => "ADDED",
            None => &crm.options.write_progress,
        }
    }

    /// The body of job details and callbacks.
    pub(super) fn describe(&self, crm: &Crm) -> Value {
        let state = self.state(crm);
        let parts = self.parts.iter();
        let resource: Vec<_> = parts
            .map(|part| part.describe(state, part.plan.module_id))
            .collect();
        let mut described = json!({
            "id": self.id.to_string(), "status": state, "operation": self.operation.name(),
            "character_encoding": "UTF-8", "created_by": crm.creator(),
            "created_time": crm.zone.text(self.progress.created_ms / 1000),
            "resource": resource,
        });
        if state == "COMPLETED" {
            let (id, zgid) = (self.id, crm.options.zgid);
            let mut url = format!("/v8/crm/org{zgid}/bulk-write/{id}/{id}.zip");
            if self.is_absolute || crm.options.write_result == WriteResult::Absolute {
                url = format!("http://{}{url}", self.host);
            }
            described["result"] = json!({"download_url": url});
        }
        described
    }

    /// Failures by code, for those who look on.
    pub(super) fn failure(&self) -> Option<&'static str> {
        self.parts.iter().find_map(|part| part.failure)
    }
}

impl Crm {
    /// Carries a bulk write out; this takes its time.
    pub(super) fn run_write(&self, id: i64) {
        let _turn = self.turn.lock();
        let Some(mut job) = self.jobs().writes.get(&id).cloned() else {
            return;
        };
        let is_failing = matches!(job.progress.fault, Some(JobFault::Fail { .. }));
        let mut archives = Vec::new();
        // Values of a column of the parents, with the ids of their records.
        let mut parents = HashMap::new();
        let wanted = job.parts.iter().skip(1).find_map(|part| {
            let mut mappings = part.plan.mappings.iter();
            mappings.find_map(|mapping| mapping.parent_column)
        });
        for part in &mut job.parts {
            let text = Arc::clone(&part.text);
            let rows: Vec<_> = Rows::new(&text).skip(1).collect();
            part.failure = self.failure_of(&part.plan, rows.len());
            if is_failing {
                part.failure = Some("INTERNAL_SERVER_ERROR");
            }
            if part.failure.is_some() {
                continue;
            }
            let outcomes = self.apply(&part.plan, &rows, job.faults, &parents, &mut part.counts);
            if let Some(column) = wanted.filter(|_| parents.is_empty()) {
                for (row, outcome) in rows.iter().zip(&outcomes) {
                    if let (Some(value), Some(id)) = (row.get(column), outcome.id) {
                        parents.insert(value.clone().into_owned(), id);
                    }
                }
            }
            archives.push(Arc::new(result(&part.plan, &rows, &outcomes)));
            self.tell(part);
        }
        for part in &mut job.parts {
            part.text = Arc::default();
        }
        let mut jobs = self.jobs();
        if let Some(kept) = jobs.writes.get_mut(&id) {
            kept.parts = job.parts;
            kept.archives = archives;
        }
    }

    /// Why the job fails before the first row.
    fn failure_of(&self, plan: &Plan, rows: usize) -> Option<&'static str> {
        let store = self.look();
        let module = store.module(&plan.module);
        if module.is_none_or(|module| module.id != plan.module_id) {
            return Some("INVALID_MODULE");
        }
        if plan.unmapped.is_some() {
            return Some("MANDATORY_FIELDS_NOT_MAPPED");
        }
        (rows > self.options.write_rows).then_some("LIMIT_EXCEEDED")
    }

    fn apply(
        &self,
        plan: &Plan,
        rows: &[Vec<Cow<'_, str>>],
        faults: CallFaults,
        parents: &HashMap<String, i64>,
        counts: &mut Counts,
    ) -> Vec<Outcome> {
        let mut store = self.change();
        let writer = Writer {
            crm: self,
            plan,
            parents,
            now: self.now(),
        };
        let reached = match faults.record_limit {
            Some((records, applied)) if rows.len() > records => applied,
            _ => rows.len(),
        };
        let mut outcomes = vec![Outcome::default(); rows.len()];
        let mut seen = HashSet::new();
        let mut places: Vec<usize> = (0..rows.len()).collect();
        if self.options.equal_keys == EqualKeys::Reversed {
            places.reverse();
        }
        for place in places {
            let row = &rows[place];
            let is_failing = faults
                .failed_record
                .is_some_and(|every| (place + 1) % every == 0);
            let is_new_key = writer
                .key_of(row)
                .is_none_or(|key| seen.insert(key.to_owned()));
            counts.duplicates += usize::from(!is_new_key);
            let first = plan
                .mappings
                .first()
                .map_or("id", |mapping| mapping.name.as_str());
            outcomes[place] = if place >= reached {
                Outcome {
                    status: "UNPROCESSED",
                    ..Outcome::default()
                }
            } else if is_failing {
                Outcome::skipped("CANNOT_PROCESS", first)
            } else if !is_new_key && self.options.equal_keys == EqualKeys::Refuse {
                Outcome::skipped("DUPLICATE_DATA", plan.find_by.as_deref().unwrap_or(first))
            } else {
                writer.write(&mut store, row)
            };
        }
        for outcome in &outcomes {
            match outcome.status {
                "ADDED" => counts.added += 1,
                "UPDATED" => counts.updated += 1,
                _ => counts.skipped += 1,
            }
        }
        counts.total = rows.len();
        outcomes
    }

    /// Counts a part for the page.
    fn tell(&self, part: &Part) {
        let counts = part.counts;
        self.activity.tally(&Tally {
            table: format!("crm/{}", part.plan.module),
            bytes: part.text.len() as u64,
            records: counts.total as u64,
            updated: (counts.added + counts.updated) as u64,
            errors: counts.skipped as u64,
            duplicates: counts.duplicates as u64,
            ..Tally::default()
        });
    }
}

/// The result of a part: the first mapped columns of each row, and what became of it.
fn result(plan: &Plan, rows: &[Vec<Cow<'_, str>>], outcomes: &[Outcome]) -> Archive {
    let stem = plan
        .file_name
        .rsplit_once('.')
        .map_or(plan.file_name.as_str(), |(stem, _)| stem);
    let columns: Vec<(&str, usize)> = plan
        .mappings
        .iter()
        .filter_map(|mapping| Some((mapping.name.as_str(), mapping.index?)))
        .take(REPEATED)
        .collect();
    let mut packer = Packer::new(format!("{}-{stem}.csv", plan.module));
    packer.add(|out| {
        for (name, _) in &columns {
            out.push_str(name);
            out.push(',');
        }
        out.push_str("STATUS,RECORD_ID,ERRORS\n");
    });
    for (row, outcome) in rows.iter().zip(outcomes) {
        packer.add(|out| {
            for (_, index) in &columns {
                push_cell(out, row.get(*index).map(Cow::as_ref).unwrap_or_default());
                out.push(',');
            }
            out.push_str(outcome.status);
            out.push(',');
            if let Some(id) = outcome.id {
                out.push_str(&id.to_string());
            }
            out.push(',');
            push_cell(out, &outcome.errors);
            out.push('\n');
        });
    }
    packer.finish()
}
