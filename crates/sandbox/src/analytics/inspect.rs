//! What tests, control requests and the page see and change of the stand-in.

use serde::Serialize;
use serde_json::Value;

use super::Analytics;
use super::answer::Failure;
use super::datatype::{CellRules, DataType};
use super::design::add_design;
use super::job::{Job, Phase};
use super::settle::settle;
use super::store::{PERMISSIONS, Workspace};
use super::table::{LastImport, View};
use crate::compare::PlainTable;
use crate::faults::ImportFault;

/// A view with its size.
#[derive(Clone, Debug, Serialize)]
pub struct ViewState {
    /// Its id.
    pub id: String,
    /// The workspace that it is in.
    pub workspace: String,
    /// Its name.
    pub name: String,
    /// `Table`, or the kind of another view.
    pub view_type: String,
    /// Names of its columns with their types.
    pub columns: Vec<(String, String)>,
    /// How many rows it has.
    pub rows: usize,
    /// Bytes that the rows take.
    pub bytes: usize,
    /// What became of the last import.
    pub last_import: Option<LastImport>,
}

/// An import job.
#[derive(Clone, Debug, Serialize)]
pub struct ImportJobView {
    /// Its id.
    pub id: String,
    /// The name of its table.
    pub table: String,
    /// Such as `UPDATEADD`.
    pub import_type: String,
    /// `reading`, `open`, `waiting`, `done`, `failed` or `gone`.
    pub state: String,
    /// The code of its failure.
    pub error_code: Option<u32>,
    /// How many batches it has had, if it takes batches.
    pub batches: Option<u32>,
    /// Rows of its files.
    pub rows: usize,
    /// Rows that came into the table.
    pub successful_rows: usize,
    /// How often it was looked at.
    pub looks: u32,
    /// When it was taken on, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What was used of the limits.
#[derive(Clone, Debug, Serialize)]
pub struct UsageView {
    /// Units of today.
    pub units: f64,
    /// Units that a day has; 0 is no limit.
    pub units_limit: u64,
    /// Calls of the last minute.
    pub calls: usize,
    /// Calls that were refused for their frequency.
    pub throttled: u64,
    /// Import slots that are taken.
    pub slots: usize,
    /// Import slots that others have taken.
    pub foreign_slots: usize,
    /// Import slots there are.
    pub slots_limit: usize,
}

impl Analytics {
    /// The organisation that is there from the start.
    pub fn org(&self) -> &str {
        &self.options.org
    }

    /// The workspace that is there from the start.
    pub fn workspace(&self) -> &str {
        &self.options.workspace
    }

    /// Adds an organisation, or a workspace to one.
    pub fn add_workspace(&self, org: &str, id: &str, name: &str) {
        let mut store = self.store();
        store.orgs.insert(org.to_owned());
        let workspace = Workspace {
            name: name.to_owned(),
            org: org.to_owned(),
        };
        store.workspaces.insert(id.to_owned(), workspace);
    }

    /// Makes a table in the first workspace from a `tableDesign`; returns its id.
    pub fn create_table(&self, design: &Value) -> anyhow::Result<String> {
        let Some(design) = design.as_object() else {
            anyhow::bail!("the design is no object");
        };
        let now_ms = self.now_ms();
        let workspace = &self.options.workspace;
        add_design(&mut self.store(), workspace, design.clone(), now_ms).map_err(told)
    }

    /// Drops a view of the first workspace by its name; false if there is none.
    pub fn drop_view(&self, name: &str) -> bool {
        let mut store = self.store();
        let id = store
            .view_named(&self.options.workspace, name)
            .map(|view| view.id.clone());
        id.is_some_and(|id| store.views.remove(&id).is_some())
    }

    /// Adds rows to a table of the first workspace; each is an object of texts by column.
    pub fn put_rows(&self, name: &str, rows: &[Value]) -> anyhow::Result<usize> {
        let rules = CellRules::new(&self.options);
        self.with_view(name, |view| {
            for row in rows {
                let mut cells = Vec::with_capacity(view.columns.len());
                for column in &view.columns {
                    let text = match &row[&column.name] {
                        Value::Null => String::new(),
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    let mut cell = Vec::new();
                    rules
                        .read(column.kind, None, text.as_bytes(), &mut cell)
                        .map_err(|what| anyhow::anyhow!("{what} in column `{}`", column.name))?;
                    cells.push(cell);
                }
                view.rows.push(cells.iter().map(Vec::as_slice));
            }
            Ok(rows.len())
        })
    }

    /// All rows of a table of the first workspace, as objects of texts; an empty cell is null. Empty if
    /// there is no such table.
    pub fn dump(&self, name: &str) -> Vec<Value> {
        self.peek(name, usize::MAX)
    }

    /// The first rows of a table.
    pub fn peek(&self, name: &str, count: usize) -> Vec<Value> {
        self.settle();
        let store = self.store();
        let view = store.view_named(&self.options.workspace, name);
        view.map_or_else(Vec::new, |view| {
            let rows = (0..view.rows.len()).take(count);
            rows.map(|row| view.row_to_json(row)).collect()
        })
    }

    /// The rows of a table as plain texts, if there is one.
    pub(crate) fn plain(&self, name: &str) -> Option<PlainTable> {
        self.settle();
        let store = self.store();
        let view = store.view_named(&self.options.workspace, name)?;
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
        let rows = (0..view.rows.len()).map(|row| view.rows.cells(row).map(text).collect());
        let columns = view.columns.iter();
        Some(PlainTable {
            columns: columns.map(|column| column.name.clone()).collect(),
            rows: rows.collect(),
        })
    }

    /// How many rows a table of the first workspace has.
    pub fn row_count(&self, name: &str) -> Option<usize> {
        self.settle();
        let store = self.store();
        store
            .view_named(&self.options.workspace, name)
            .map(|view| view.rows.len())
    }

    /// A number that is the same for the same rows in any order, to compare tables without dumping them.
    pub fn fingerprint(&self, name: &str) -> Option<u64> {
        self.settle();
        let store = self.store();
        let view = store.view_named(&self.options.workspace, name)?;
        let mut sum = 0u64;
        for row in 0..view.rows.len() {
            let cells: Vec<&[u8]> = view.rows.cells(row).collect();
            sum = sum.wrapping_add(super::rows::hash(&cells));
        }
        Some(sum)
    }

    /// All views of all workspaces.
    pub fn views(&self) -> Vec<ViewState> {
        self.settle();
        let store = self.store();
        store.views.values().map(ViewState::new).collect()
    }

    /// All import jobs, newest first.
    pub fn jobs(&self) -> Vec<ImportJobView> {
        self.settle();
        let store = self.store();
        let jobs = store.jobs.imports.iter().rev();
        let name = |job: &Job| store.views.get(&job.view).map(|view| view.name.clone());
        jobs.map(|(id, job)| ImportJobView::new(id, job, name(job).unwrap_or_default()))
            .collect()
    }

    /// What was used of the limits.
    pub fn usage(&self) -> UsageView {
        let now_ms = self.now_ms();
        let mut store = self.store();
        settle(&mut store, &self.options, now_ms);
        UsageView {
            units: store.usage.used.0 as f64 / 1000.0,
            units_limit: store.usage.limits.units,
            calls: store.usage.recent_calls(now_ms),
            throttled: store.throttled,
            slots: store.jobs.slots(),
            foreign_slots: store.foreign_slots,
            slots_limit: self.options.import_slots,
        }
    }

    /// Sets the units that today has seen.
    pub fn set_units_used(&self, units: u64) {
        let now_ms = self.now_ms();
        self.store().usage.set_used(units, now_ms);
    }

    /// Sets the units that a day has; 0 is no limit.
    pub fn set_units_limit(&self, units: u64) {
        self.store().usage.limits.units = units;
    }

    /// Sets the calls of a minute: of rows, bulk, metadata, and all together; 0 is no limit.
    pub fn set_call_limits(&self, rows: u32, bulk: u32, metadata: u32, all: u32) {
        let limits = &mut self.store().usage.limits;
        limits.row_calls = rows;
        limits.bulk_calls = bulk;
        limits.metadata_calls = metadata;
        limits.calls = all;
    }

    /// Takes a permission from the user, or gives it back.
    pub fn set_permission(&self, name: &str, is_granted: bool) -> anyhow::Result<()> {
        if !PERMISSIONS.contains(&name) {
            anyhow::bail!(
                "unknown permission `{name}`: one of {}",
                PERMISSIONS.join(", ")
            );
        }
        let mut store = self.store();
        if is_granted {
            store.denied.remove(name);
        } else {
            store.denied.insert(name.to_owned());
        }
        Ok(())
    }

    /// Permissions that the user has not got.
    pub fn denied(&self) -> Vec<String> {
        self.store().denied.iter().cloned().collect()
    }

    /// Whether the user has confirmed the e-mail address.
    pub fn set_email_verified(&self, is_verified: bool) {
        self.store().is_unverified = !is_verified;
    }

    /// Lets others take so many import slots.
    pub fn set_foreign_slots(&self, count: usize) {
        self.store().foreign_slots = count;
    }

    /// Lets changes of the rows of a view be refused with a code, such as 8241 for a tagged view, or no
    /// more.
    pub fn set_refusal(&self, name: &str, code: Option<u32>) -> anyhow::Result<()> {
        self.with_view(name, |view| {
            view.refusal = code;
            Ok(())
        })
    }

    /// Makes a view of another type out of a table, such as `QueryTable`.
    pub fn set_view_type(&self, name: &str, view_type: &str) -> anyhow::Result<()> {
        self.with_view(name, |view| {
            view.view_type = view_type.to_owned();
            Ok(())
        })
    }

    /// Begins or ends a change of the design of a view, which holds others up.
    pub fn set_design_locked(&self, name: &str, is_locked: bool) -> anyhow::Result<()> {
        let id = self.with_view(name, |view| Ok(view.id.clone()))?;
        let mut store = self.store();
        if is_locked {
            store.locked_designs.insert(id);
        } else {
            store.locked_designs.remove(&id);
        }
        Ok(())
    }

    /// Drops all batch jobs that are open; returns how many.
    pub fn lapse_batches(&self) -> usize {
        let mut store = self.store();
        let mut lapsed = 0;
        for job in store.jobs.imports.values_mut() {
            if matches!(job.phase, Phase::Open(_)) {
                job.phase = Phase::Gone;
                lapsed += 1;
            }
        }
        lapsed
    }

    /// Forgets all jobs that are over, as the service does after an hour.
    pub fn forget_jobs(&self) {
        for job in self.store().jobs.imports.values_mut() {
            if matches!(job.phase, Phase::Over { .. }) {
                job.phase = Phase::Gone;
            }
        }
    }

    /// Ends all jobs that wait, however long they were to take.
    pub fn finish_jobs(&self) {
        let now_ms = self.now_ms();
        let mut store = self.store();
        for job in store.jobs.imports.values_mut() {
            job.looks = u32::MAX;
            if let Some(ImportFault::Hang(_)) = job.fault {
                job.fault = None;
            }
            if let Phase::Waiting { due_ms, .. } = &mut job.phase {
                *due_ms = now_ms;
            }
        }
        settle(&mut store, &self.options, now_ms);
    }

    /// Moves the clock of all stand-ins of Zoho on.
    pub fn advance(&self, seconds: u64) {
        self.accounts.advance(seconds);
        self.settle();
    }

    pub(super) fn settle(&self) {
        let now_ms = self.now_ms();
        settle(&mut self.store(), &self.options, now_ms);
    }

    fn with_view<Made>(
        &self,
        name: &str,
        work: impl FnOnce(&mut View) -> anyhow::Result<Made>,
    ) -> anyhow::Result<Made> {
        let mut store = self.store();
        let id = store
            .view_named(&self.options.workspace, name)
            .map(|view| view.id.clone());
        let view = id.and_then(|id| store.views.get_mut(&id));
        work(view.ok_or_else(|| anyhow::anyhow!("there is no view `{name}`"))?)
    }
}

impl ViewState {
    fn new(view: &View) -> ViewState {
        let column = |column: &super::table::Column| {
            let kind: DataType = column.kind;
            (column.name.clone(), kind.name().to_owned())
        };
        ViewState {
            id: view.id.clone(),
            workspace: view.workspace.clone(),
            name: view.name.clone(),
            view_type: view.view_type.clone(),
            columns: view.columns.iter().map(column).collect(),
            rows: view.rows.len(),
            bytes: view.rows.bytes(),
            last_import: view.last_import.clone(),
        }
    }
}

impl ImportJobView {
    fn new(id: &str, job: &Job, table: String) -> ImportJobView {
        let (state, error_code) = match &job.phase {
            Phase::Reading => ("reading", None),
            Phase::Open(_) => ("open", None),
            Phase::Waiting { .. } => ("waiting", None),
            Phase::Over { failure: None, .. } => ("done", None),
            Phase::Over {
                failure: Some(failure),
                ..
            } => ("failed", Some(failure.code)),
            Phase::Gone => ("gone", None),
        };
        ImportJobView {
            id: id.to_owned(),
            table,
            import_type: job.spec.import_type.name().to_owned(),
            state: state.to_owned(),
            error_code,
            batches: job.batches.as_ref().map(|batches| batches.count),
            rows: job.counts.total_rows,
            successful_rows: job.counts.successful_rows,
            looks: job.looks,
            created_ms: job.created_ms,
        }
    }
}

fn told(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{} ({})", failure.message, failure.code)
}
