//! Bulk reads as jobs: what they take of their module, what came of them, and their CSV. Facts:
//! sections 3.3, 3.4 and 4.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Crm;
use super::column::{Column, Opened};
use super::condition::Condition;
use super::job::Progress;
use super::module::Module;
use super::store::Store;
use super::table::Row;
use crate::archive::{Archive, Packer};
use crate::faults::JobFault;

/// Records of one job for calendars.
const CALENDAR_ROWS: usize = 20_000;

/// What one bulk read takes of its module.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) module: String,
    pub(super) module_id: i64,
    /// With the names that the header has.
    pub(super) columns: Vec<(String, Column)>,
    pub(super) condition: Option<Condition>,
    /// A field behind a user is refused only when the job runs.
    pub(super) fails_late: bool,
    pub(super) is_calendar: bool,
    pub(super) page: usize,
    /// Records of earlier pages, by number or by id.
    pub(super) skipped: usize,
    pub(super) after: i64,
}

/// What a page token goes on with.
#[derive(Clone, Debug)]
pub(super) struct PageToken {
    pub(super) selection: Selection,
    pub(super) query: Value,
    pub(super) created_ms: i64,
    /// The address of who made the job before.
    pub(super) user: String,
}

/// One bulk read.
#[derive(Clone, Debug)]
pub(super) struct ReadJob {
    pub(super) id: i64,
    pub(super) selection: Selection,
    /// What was asked, to be shown again.
    pub(super) query: Value,
    pub(super) user: String,
    pub(super) progress: Progress,
    pub(super) has_tokens: bool,
    pub(super) archive: Option<Arc<Archive>>,
    pub(super) count: usize,
    pub(super) has_more: bool,
    pub(super) next_token: Option<String>,
    pub(super) failure: Option<&'static str>,
}

impl ReadJob {
    pub(super) fn state(&self) -> &'static str {
        match (self.progress.ended_ms, self.failure, self.progress.looks) {
            (Some(_), Some(_), _) => "FAILURE",
            (Some(_), None, _) => "COMPLETED",
            _ if self.progress.is_running => "IN PROGRESS",
            (None, _, 0) => "ADDED",
            (None, _, 1) => "QUEUED",
            _ => "IN PROGRESS",
        }
    }

    /// The body of job details and callbacks.
    pub(super) fn describe(&self, crm: &Crm) -> Value {
        let per_page = if self.selection.is_calendar {
            CALENDAR_ROWS
        } else {
            crm.options.page_rows
        };
        // Before the end it looks like an empty one: it is not to be used.
        let mut result = json!({
            "page": self.selection.page, "per_page": per_page, "count": self.count,
            "download_url": format!("/crm/bulk/v8/read/{}/result", self.id),
            "more_records": self.has_more,
        });
        if let Some(token) = &self.next_token {
            result["next_page_token"] = json!(token);
        }
        if let Some(code) = self.failure.filter(|_| self.progress.ended_ms.is_some()) {
            let message = "the query could not be carried out";
            result = json!({"error_message": {"status": "error", "code": code,
                "message": message, "details": {}}});
        }
        json!({"data": [{
            "id": self.id.to_string(), "operation": "read", "state": self.state(),
            "result": result, "query": self.query, "created_by": crm.creator(),
            "created_time": crm.zone.text(self.progress.created_ms / 1000),
            "file_type": if self.selection.is_calendar { "ics" } else { "csv" },
        }]})
    }
}

/// A page that was read.
struct Page {
    archive: Archive,
    count: usize,
    /// The id of the last record, if there are more behind it.
    last: Option<i64>,
}

impl Crm {
    /// Carries a bulk read out; this takes its time.
    pub(super) fn run_read(&self, id: i64) {
        let _turn = self.turn.lock();
        let Some(job) = self.jobs().reads.get(&id).cloned() else {
            return;
        };
        let is_failing = matches!(job.progress.fault, Some(JobFault::Fail { .. }));
        let page = if is_failing || job.selection.fails_late {
            None
        } else {
            let store = self.look();
            let module = store.module(&job.selection.module);
            let module = module.filter(|module| module.id == job.selection.module_id);
            module.map(|module| self.export(&store, module, &job))
        };
        let mut jobs = self.jobs();
        let mut token = None;
        if let Some(last) = page.as_ref().and_then(|page| page.last)
            && job.has_tokens
        {
            let text = token_of(id, self.now_ms());
            let mut selection = job.selection.clone();
            selection.page += 1;
            selection.after = last;
            selection.skipped = 0;
            let next = PageToken {
                selection,
                query: job.query.clone(),
                created_ms: self.now_ms(),
                user: job.user.clone(),
            };
            jobs.tokens.insert(text.clone(), next);
            token = Some(text);
        }
        let Some(kept) = jobs.reads.get_mut(&id) else {
            return;
        };
        kept.next_token = token;
        match page {
            None => kept.failure = Some("INTERNAL_SERVER_ERROR"),
            Some(page) => {
                kept.archive = Some(Arc::new(page.archive));
                kept.count = page.count;
                kept.has_more = page.last.is_some();
            }
        }
    }

    fn export(&self, store: &Store, module: &Module, job: &ReadJob) -> Page {
        let selection = &job.selection;
        let mut matching = module
            .table
            .rows_after(selection.after)
            .iter()
            .filter(|row| self.is_read(store, module, selection, row))
            .skip(selection.skipped);
        let most = if selection.is_calendar {
            CALENDAR_ROWS
        } else {
            self.options.page_rows.max(1)
        };
        let rows: Vec<&Row> = matching.by_ref().take(most).collect();
        let last = rows.last().map(|row| row.id);
        let last = last.filter(|_| matching.next().is_some());
        // No order is promised: the middle comes first.
        let (front, back) = rows.split_at(rows.len() / 2);
        let unordered = || back.iter().chain(front).copied();
        let archive = if selection.is_calendar {
            self.calendar(store, module, job.id, unordered())
        } else {
            self.csv(store, module, job, unordered())
        };
        Page {
            archive,
            count: rows.len(),
            last,
        }
    }

    fn is_read(&self, store: &Store, module: &Module, selection: &Selection, row: &Row) -> bool {
        let condition = selection.condition.as_ref();
        (self.options.bulk_converted || !row.is_converted)
            && condition.is_none_or(|condition| condition.holds(store, module, row))
    }

    fn csv<'a>(
        &self,
        store: &Store,
        module: &Module,
        job: &ReadJob,
        rows: impl Iterator<Item = &'a Row>,
    ) -> Archive {
        let line_end = if self.options.csv_crlf { "\r\n" } else { "\n" };
        let mut packer = Packer::new(format!("{}.csv", job.id));
        packer.add(|out| {
            if self.options.csv_bom {
                out.push('\u{feff}');
            }
            for (count, (name, _)) in job.selection.columns.iter().enumerate() {
                if count > 0 {
                    out.push(',');
                }
                out.push_str(name);
            }
            out.push_str(line_end);
        });
        for row in rows {
            packer.add(|out| {
                let opened = Opened::new(row);
                for (count, (_, column)) in job.selection.columns.iter().enumerate() {
                    if count > 0 {
                        out.push(',');
                    }
                    column.write_cell(out, store, module, &opened, self.zone);
                }
                out.push_str(line_end);
            });
        }
        packer.finish()
    }

    fn calendar<'a>(
        &self,
        store: &Store,
        module: &Module,
        id: i64,
        rows: impl Iterator<Item = &'a Row>,
    ) -> Archive {
        let columns = ["Event_Title", "Start_DateTime", "End_DateTime"]
            .map(|name| Column::of(store, module, name));
        let mut packer = Packer::new(format!("{id}.ics"));
        packer.add(|out| out.push_str("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"));
        for row in rows {
            let opened = Opened::new(row);
            let kept = |column: &Option<Column>| {
                column
                    .and_then(|column| column.kept(store, module, &opened))
                    .unwrap_or_default()
            };
            let [title, start, end] = [&columns[0], &columns[1], &columns[2]].map(kept);
            let stamp = |seconds: &str| {
                let time = chrono::DateTime::from_timestamp(seconds.parse().unwrap_or(0), 0);
                time.unwrap_or_default()
                    .format("%Y%m%dT%H%M%SZ")
                    .to_string()
            };
            let (start, end) = (stamp(&start), stamp(&end));
            let event = format!(
                "BEGIN:VEVENT\r\nUID:{}\r\nSUMMARY:{title}\r\nDTSTART:{start}\r\nDTEND:{end}\r\nEND:VEVENT\r\n",
                row.id
            );
            packer.add(|out| out.push_str(&event));
        }
        packer.add(|out| out.push_str("END:VCALENDAR\r\n"));
        packer.finish()
    }
}

/// A token that says nothing to whoever has it.
fn token_of(id: i64, now_ms: i64) -> String {
    let mixed = (id as u64 ^ (now_ms as u64).rotate_left(24)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{mixed:016x}{:016x}", mixed.rotate_left(31) ^ id as u64)
}
