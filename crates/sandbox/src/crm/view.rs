//! What tests, the control requests and the page see of the modules, jobs and credits, and how a test
//! fills them.

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use super::column::{Column, Names};
use super::field::{Delivery, Field, Kind};
use super::module::Module;
use super::read_job::ReadJob;
use super::record_api::object;
use super::store::Deletion;
use super::write_job::WriteJob;
use super::{Crm, Denial};

/// One module at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleView {
    /// Its name in the API.
    pub module: String,
    /// How many records it has.
    pub records: usize,
    /// The greatest Modified_Time, as the service writes it.
    pub last_change: Option<String>,
    /// Names of its fields.
    pub fields: Vec<String>,
}

/// One bulk job at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct CrmJobView {
    /// Its id.
    pub id: i64,
    /// `read`, `insert`, `update` or `upsert`.
    pub operation: String,
    /// Its first module.
    pub module: String,
    /// `ADDED`, `COMPLETED`, and so on.
    pub state: String,
    /// Rows that it read or was given.
    pub rows: usize,
    /// Rows that it added.
    pub added: usize,
    /// Rows that it changed.
    pub updated: usize,
    /// Rows that it did not write.
    pub skipped: usize,
    /// Whether there are more behind those that were read.
    pub more_records: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// The credits at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CreditView {
    /// Used in the last 24 hours.
    pub used: u64,
    /// Left of those of 24 hours.
    pub remaining: u64,
    /// Used since the start.
    pub used_ever: u64,
}

impl Crm {
    /// The modules, with and without records.
    pub fn modules(&self) -> Vec<ModuleView> {
        let store = self.look();
        let view = |module: &Module| ModuleView {
            module: module.name.clone(),
            records: module.table.rows().len(),
            last_change: (module.table.last_change > 0)
                .then(|| self.zone.text(module.table.last_change)),
            fields: module
                .fields
                .iter()
                .map(|field| field.name.clone())
                .collect(),
        };
        store.modules.iter().map(view).collect()
    }

    /// Bulk jobs of both directions, the newest first.
    pub fn jobs_view(&self) -> Vec<CrmJobView> {
        let jobs = self.jobs();
        let read = |job: &ReadJob| CrmJobView {
            id: job.id,
            operation: "read".to_owned(),
            module: job.selection.module.clone(),
            state: job.state().to_owned(),
            rows: job.count,
            added: 0,
            updated: 0,
            skipped: 0,
            more_records: job.has_more,
            error: job.failure.map(str::to_owned),
        };
        let write = |job: &WriteJob| {
            let sum = |count: fn(&super::write_job::Counts) -> usize| {
                job.parts.iter().map(|part| count(&part.counts)).sum()
            };
            let first = job.parts.first();
            CrmJobView {
                id: job.id,
                operation: job.operation.name().to_owned(),
                module: first.map_or_else(String::new, |part| part.plan.module.clone()),
                state: job.state(self).to_owned(),
                rows: sum(|counts| counts.total),
                added: sum(|counts| counts.added),
                updated: sum(|counts| counts.updated),
                skipped: sum(|counts| counts.skipped),
                more_records: false,
                error: job.failure().map(str::to_owned),
            }
        };
        let mut all: Vec<CrmJobView> = jobs.reads.values().map(read).collect();
        all.extend(jobs.writes.values().map(write));
        all.sort_by_key(|job| std::cmp::Reverse(job.id));
        all
    }

    /// Files that were uploaded and not forgotten.
    pub fn upload_count(&self) -> usize {
        self.jobs().uploads.len()
    }

    /// Callbacks that were taken, and that were not.
    pub fn callback_counts(&self) -> (u64, u64) {
        self.jobs().callbacks
    }

    /// The credits.
    pub fn credits_view(&self) -> CreditView {
        let mut credits = self.credits();
        let remaining = credits.remaining(self.options.credits, self.now_ms());
        CreditView {
            used: credits.used,
            remaining,
            used_ever: credits.used_ever,
        }
    }

    /// Uses credits up, as other programs do; false if there are not as many.
    pub fn use_credits(&self, count: u64) -> bool {
        self.credits()
            .take(count, self.options.credits, self.now_ms())
    }

    /// Moves the clock of Zoho's stand-ins on.
    pub fn advance(&self, seconds: u64) {
        self.accounts.advance(seconds);
    }

    /// Makes an empty module from a description like that of the metadata, with `fields`; one of that
    /// name is replaced.
    pub fn create_module(&self, described: &Value) -> anyhow::Result<()> {
        let module = Module::from_json(described)?;
        self.change().add_module(module);
        Ok(())
    }

    /// Adds a field to a module from a description like that of the metadata; one of that name is
    /// described anew.
    pub fn add_field(&self, module: &str, described: &Value) -> anyhow::Result<()> {
        let field = Field::from_json(described)?;
        let mut store = self.change();
        let module = store
            .module_mut(module)
            .context("there is no such module")?;
        module.add_field(field);
        Ok(())
    }

    /// Makes bulk reads refuse a field; the code is `FIELD_NOT_AVAILABLE` or `FIELD_NOT_SUPPORTED`.
    pub fn refuse_field(&self, module: &str, field: &str, code: &str) -> anyhow::Result<()> {
        let code = known_code(code)?;
        let mut store = self.change();
        let module = store
            .module_mut(module)
            .context("there is no such module")?;
        let mut fields = module.fields.iter_mut();
        let field = fields
            .find(|known| known.name == field)
            .context("there is no such field")?;
        field.delivery = Delivery::Refused(code);
        Ok(())
    }

    /// Lets the profile of the user not do something: `action` is `read`, `write`, `metadata` or `*`,
    /// `module` may be `*`, `code` is `NO_PERMISSION`, `AUTHORIZATION_FAILED` or `FEATURE_NOT_ENABLED`.
    pub fn deny(&self, module: &str, action: &str, code: &str) -> anyhow::Result<()> {
        let denial = Denial {
            module: module.to_owned(),
            action: action.to_owned(),
            code: known_code(code)?,
        };
        self.denials().push(denial);
        Ok(())
    }

    /// Ends all denials.
    pub fn allow_all(&self) {
        self.denials().clear();
    }

    /// Lets bulk writes skip records, for `NOT_APPROVED`, `BLOCKED_RECORD` or another code of a row.
    pub fn block(&self, ids: &[i64], code: &str) {
        let mut store = self.change();
        for id in ids {
            store.blocked.insert(*id, code.to_owned());
        }
    }

    /// Puts records into a module whatever its limits: those with a known `id` are changed, the others
    /// added. Times are those of the record, or now. Returns the ids.
    pub fn put(&self, module: &str, records: &Value) -> anyhow::Result<Vec<i64>> {
        let records = records
            .as_array()
            .context("an array of records is expected")?;
        let now = self.now();
        let mut store = self.change();
        let put = |record: &Value| {
            let object = record.as_object().context("a record is no object")?;
            store.put(module, object, now)
        };
        records.iter().map(put).collect()
    }

    /// Deletes records; returns how many were there.
    pub fn delete(&self, module: &str, ids: &[i64], deletion: Deletion) -> usize {
        let now = self.now();
        self.change().delete(module, ids, deletion, now)
    }

    /// Takes records out of the recycle bin; returns how many were there.
    pub fn restore(&self, module: &str, ids: &[i64]) -> usize {
        let modified = self.options.restored_modified.then(|| self.now());
        self.change().restore(module, ids, modified)
    }

    /// The records of a module as JSON objects, in the order of their ids.
    pub fn dump(&self, module: &str) -> Vec<Value> {
        self.peek(module, usize::MAX)
    }

    /// The first records of a module.
    pub fn peek(&self, module: &str, count: usize) -> Vec<Value> {
        let store = self.look();
        let Some(module) = store.module(module) else {
            return Vec::new();
        };
        let fields = module.fields.iter().enumerate();
        let shown = fields.filter(|(_, field)| field.kind != Kind::Absent);
        let columns: Vec<_> = shown
            .map(|(place, field)| (field.name.clone(), Column::Field(place)))
            .collect();
        let rows = module.table.rows().iter().take(count);
        rows.map(|row| object(&store, module, row, &columns, self.zone, Names::Left))
            .collect()
    }

    /// How many records a module has.
    pub fn record_count(&self, module: &str) -> Option<usize> {
        let store = self.look();
        store.module(module).map(|module| module.table.rows().len())
    }
}

fn known_code(code: &str) -> anyhow::Result<&'static str> {
    const CODES: [&str; 5] = [
        "NO_PERMISSION",
        "AUTHORIZATION_FAILED",
        "FEATURE_NOT_ENABLED",
        "FIELD_NOT_AVAILABLE",
        "FIELD_NOT_SUPPORTED",
    ];
    let known = CODES.into_iter().find(|known| *known == code);
    known.with_context(|| format!("`{code}` is none of {}", CODES.join(", ")))
}
