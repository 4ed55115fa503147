//! Bulk reads as jobs: what they were asked, how far they are, what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::DataStore;
use super::criteria::Selection;
use super::options::{Environment, Order, Written};
use super::render::Csv;
use super::table::{Row, Table};
use crate::archive::{Archive, Packer};
use crate::faults::JobFault;

/// The id of the first job is one more.
const FIRST_JOB: i64 = 4_000_000_110_043;

/// Results that are kept in memory; the oldest have to go before their time.
const KEPT_BYTES: usize = 512 << 20;

/// All jobs by their ids.
pub(super) struct Jobs {
    by_id: BTreeMap<i64, Job>,
    next: i64,
    /// Callbacks that were taken, and that were not.
    pub(super) callbacks: (u64, u64),
}

/// One bulk read.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) environment: Environment,
    pub(super) table_id: i64,
    pub(super) table: String,
    pub(super) selection: Selection,
    /// What was asked, to be shown again.
    pub(super) details: Value,
    pub(super) callback: Option<Callback>,
    pub(super) created_ms: i64,
    /// The address of who asked.
    pub(super) created_by: String,
    /// The address under which the result can be had.
    pub(super) host: String,
    /// Looks that it stays in progress for; nothing is for ever.
    pub(super) polls: Option<u32>,
    pub(super) fault: Option<JobFault>,
    pub(super) state: State,
}

/// Where the changes of a job are posted to.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) params: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Waiting,
    Running,
    Completed {
        archive: Option<Arc<Archive>>,
        records: usize,
        has_more: bool,
        ended_ms: i64,
    },
    Failed {
        why: String,
    },
}

impl Default for Jobs {
    fn default() -> Jobs {
        Jobs {
            by_id: BTreeMap::new(),
            next: FIRST_JOB,
            callbacks: (0, 0),
        }
    }
}

impl Jobs {
    /// Takes a job on, and says which id it got.
    pub(super) fn add(&mut self, mut job: Job) -> i64 {
        self.next += 1;
        job.id = self.next;
        self.by_id.insert(job.id, job);
        self.next
    }

    pub(super) fn get(&self, id: i64) -> Option<&Job> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Job> {
        self.by_id.get_mut(&id)
    }

    /// All of them, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Job> {
        self.by_id.values().rev()
    }

    pub(super) fn running(&self) -> usize {
        let is_running = |job: &&Job| matches!(job.state, State::Waiting | State::Running);
        self.by_id.values().filter(is_running).count()
    }

    /// Jobs that wait to be carried out, and are not meant to wait for ever.
    pub(super) fn waiting(&self) -> Vec<i64> {
        let waits = |job: &&Job| {
            let hangs = matches!(job.fault, Some(JobFault::Hang { .. }));
            matches!(job.state, State::Waiting) && !hangs
        };
        self.by_id
            .values()
            .filter(waits)
            .map(|job| job.id)
            .collect()
    }

    pub(super) fn count_callback(&mut self, is_taken: bool) {
        if is_taken {
            self.callbacks.0 += 1;
        } else {
            self.callbacks.1 += 1;
        }
    }

    /// Lets the oldest results go while they take too much memory.
    fn shrink(&mut self) {
        let mut kept = 0;
        for job in self.by_id.values_mut().rev() {
            if let State::Completed { archive, .. } = &mut job.state {
                kept += archive.as_ref().map_or(0, |archive| archive.size());
                if kept > KEPT_BYTES {
                    *archive = None;
                }
            }
        }
    }
}

impl Job {
    pub(super) fn status(&self) -> &'static str {
        match self.state {
            State::Waiting | State::Running => "In-Progress",
            State::Completed { .. } => "Completed",
            State::Failed { .. } => "Failed",
        }
    }

    /// The job object of the answers and the callbacks.
    pub(super) fn describe(&self, datastore: &DataStore, ids: Written) -> Value {
        let style = datastore.style(ids);
        let mut described = json!({
            "job_id": style.id(self.id), "status": self.status(), "operation": "read",
            "project_details": datastore.project_details(&style),
            "created_by": datastore.user_details(&style, &self.created_by),
            "created_time": datastore.zone.display(self.created_ms),
            "query": [{"table_id": style.id(self.table_id), "details": self.details}],
        });
        if let Some(callback) = &self.callback {
            described["callback"] = json!({"url": callback.url});
            for (key, pairs) in [("headers", &callback.headers), ("params", &callback.params)] {
                if !pairs.is_empty() {
                    let pairs = pairs
                        .iter()
                        .map(|(name, value)| (name.clone(), json!(value)));
                    described["callback"][key] = Value::Object(pairs.collect());
                }
            }
        }
        match &self.state {
            State::Waiting | State::Running => {}
            State::Failed { why } => described["results"] = json!({"description": why}),
            State::Completed {
                records, has_more, ..
            } => {
                let url = format!(
                    "http://{}/baas/v1/project/{}/bulk/read/{}/download",
                    self.host, datastore.options.project, self.id
                );
                let has_more = match style.booleans {
                    Written::Json => json!(has_more),
                    Written::Text => json!(has_more.to_string()),
                };
                described["results"] = json!({
                    "download_url": url, "description": "Job completed successfully",
                    "details": [{"table_id": style.id(self.table_id),
                        "records_processed": records, "more_records": has_more}],
                });
            }
        }
        described
    }
}

impl DataStore {
    /// Carries a job out, if nobody else does or did; this takes its time.
    pub(super) fn run_job(&self, id: i64) -> Option<Job> {
        let job = {
            let mut jobs = self.jobs();
            let job = jobs
                .get_mut(id)
                .filter(|job| matches!(job.state, State::Waiting))?;
            job.state = State::Running;
            job.clone()
        };
        let state = self.outcome(&job);
        let mut jobs = self.jobs();
        let kept = jobs.get_mut(id)?;
        kept.state = state;
        let ended = kept.clone();
        jobs.shrink();
        Some(ended)
    }

    fn outcome(&self, job: &Job) -> State {
        if let Some(JobFault::Fail { .. }) = job.fault {
            return State::Failed {
                why: "Internal error occurred while reading the table".to_owned(),
            };
        }
        let store = self.look();
        let named = job.table_id.to_string();
        let Some(table) = store.table(job.environment, &named) else {
            return State::Failed {
                why: "The table does not exist".to_owned(),
            };
        };
        let (archive, records, has_more) = self.export(table, &job.selection);
        State::Completed {
            archive: Some(Arc::new(archive)),
            records,
            has_more,
            ended_ms: self.now_ms(),
        }
    }

    /// One page of a table as an archive, its rows, and whether there are more behind it.
    fn export(&self, table: &Table, selection: &Selection) -> (Archive, usize, bool) {
        let page_rows = self.options.page_rows.max(1);
        let skipped = (selection.page - 1).saturating_mul(page_rows);
        let mut packer = Packer::new(format!("Table-{}.csv", table.name));
        let csv = Csv {
            zone: self.zone,
            line_end: if self.options.csv_crlf { "\r\n" } else { "\n" },
        };
        packer.add(|out| {
            if self.options.csv_bom {
                out.push('\u{feff}');
            }
            csv.header(out, table, &selection.places);
        });
        let holds = |row: &&Row| {
            let condition = selection.condition.as_ref();
            condition.is_none_or(|condition| condition.holds(table, row, self.zone))
        };
        let matching = table.rows().iter().filter(holds);
        let mut rows: Box<dyn Iterator<Item = &Row>> = match self.options.order {
            Order::RowId => Box::new(matching.skip(skipped)),
            Order::Scattered => {
                let mut scattered: Vec<&Row> = matching.collect();
                scattered.sort_by_key(|row| row.id.reverse_bits());
                Box::new(scattered.into_iter().skip(skipped))
            }
        };
        let mut records = 0;
        for row in (&mut rows).take(page_rows) {
            packer.add(|out| csv.row(out, row, &selection.places));
            records += 1;
        }
        let has_more = rows.next().is_some();
        (packer.finish(), records, has_more)
    }
}
