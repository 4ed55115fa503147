//! Import jobs in one file, and the state of every import job. Facts: section 3.5.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::callback;
use super::config::Config;
use super::import::{Reserved, check_plan_rows, cost, read_file, reserve, summary, tally, whole};
use super::job::{Job, Phase};
use super::prepare::{Counts, Prepared};
use super::settle::{empty, settle};
use super::spec::{ImportSpec, ImportType};
use super::store::Store;

/// Takes an import job on: its file is read at once, and applied when its time has come.
pub(crate) fn create(
    analytics: &Arc<Analytics>,
    call: &Call,
    workspace: &str,
    view: Option<String>,
) -> Result<Answer, Failure> {
    let options = &analytics.options;
    let (spec, content) = whole(analytics, call, view.as_ref())?;
    let spec = Arc::new(spec);
    let (id, reserved) = {
        let mut store = analytics.store();
        check_slots(analytics, &store)?;
        let now_ms = call.now_ms;
        let reserved = reserve(
            analytics, &mut store, workspace, view, &spec, &content, now_ms,
        )?;
        // In this form the rows go before the new ones come.
        if spec.import_type == ImportType::TruncateAdd {
            empty(store.view_mut(workspace, &reserved.view)?, options);
        }
        let id = store.new_id();
        let job = new_job(call, workspace, &reserved, &spec);
        store.jobs.imports.insert(id.clone(), job);
        (id, reserved)
    };
    let file = read_file(analytics, &content, &spec, &reserved.layout);
    let mut store = analytics.store();
    if let Err(failure) = charge(analytics, &mut store, &spec, &file, call.now_ms) {
        forget(&mut store, &id, &reserved);
        return Err(failure);
    }
    if let Some(view) = store.views.get(&reserved.view) {
        tally(analytics, &view.name, &file, content.len());
    }
    if let Some(job) = store.jobs.imports.get_mut(&id) {
        job.phase = Phase::Waiting {
            due_ms: call.now_ms + options.job_ms,
            files: vec![file],
        };
    }
    if options.job_polls == 0 {
        settle(&mut store, options, call.now_ms + options.job_ms);
    }
    callback::watch(analytics, &spec, &id);
    Ok(Answer::success("Create import job", json!({"jobId": id})))
}

/// Refuses an import job if all slots are taken.
pub(crate) fn check_slots(analytics: &Analytics, store: &Store) -> Result<(), Failure> {
    if store.jobs.slots() + store.foreign_slots >= analytics.options.import_slots {
        let message = "The number of import jobs at a time is exceeded";
        return Err(Failure::new(8134, message));
    }
    Ok(())
}

/// Counts the rows of a file against the day and the plan.
pub(crate) fn charge(
    analytics: &Analytics,
    store: &mut Store,
    spec: &ImportSpec,
    file: &Prepared,
    now_ms: u64,
) -> Result<(), Failure> {
    let options = &analytics.options;
    let units = cost(file.counts.total_rows, spec, options);
    store.usage.charge(units, now_ms)?;
    match spec.import_type {
        ImportType::UpdateAdd => Ok(()),
        ImportType::Append | ImportType::TruncateAdd => {
            check_plan_rows(store, options, file.rows.len())
        }
    }
}

/// Takes a job back that was refused after all, and the table that it made.
pub(crate) fn forget(store: &mut Store, id: &str, reserved: &Reserved) {
    store.jobs.imports.remove(id);
    if reserved.is_new {
        store.views.remove(&reserved.view);
    }
}

/// A job whose file is being read.
pub(crate) fn new_job(
    call: &Call,
    workspace: &str,
    reserved: &Reserved,
    spec: &Arc<ImportSpec>,
) -> Job {
    Job {
        owner: call.email.clone(),
        workspace: workspace.to_owned(),
        view: reserved.view.clone(),
        spec: Arc::clone(spec),
        created_ms: call.now_ms,
        looks: 0,
        phase: Phase::Reading,
        fault: call.fault,
        is_new_table: reserved.is_new,
        counts: Counts::default(),
        batches: None,
    }
}

/// Answers how far a job is.
pub(crate) fn state(
    analytics: &Analytics,
    call: &Call,
    workspace: &str,
    id: &str,
) -> Result<Answer, Failure> {
    Config::optional(call.inputs.config.as_deref(), &[])?;
    let options = &analytics.options;
    let mut store = analytics.store();
    if id.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(Failure::new(8137, "The import job is not present"));
    }
    if let Some(job) = store.jobs.imports.get_mut(id) {
        if job.owner != call.email {
            let message = "The import job is of another user";
            return Err(Failure::new(8138, message));
        }
        job.looks += 1;
    }
    settle(&mut store, options, call.now_ms);
    let job = store.jobs.imports.get(id);
    let job = job.filter(|job| job.workspace == workspace);
    let data = job_to_json(analytics, &store, id, job);
    Ok(Answer::success("Fetch import job info", data))
}

/// A job as its state and its callback show it.
pub(crate) fn job_to_json(
    analytics: &Analytics,
    store: &Store,
    id: &str,
    job: Option<&Job>,
) -> Value {
    let (code, status) = match job.map(|job| (&job.phase, job)) {
        None | Some((Phase::Gone, _)) => ("1005", "JOB NOT FOUND"),
        Some((Phase::Over { failure: None, .. }, _)) => ("1004", "JOB COMPLETED"),
        Some((Phase::Over { .. }, _)) => ("1003", "ERROR OCCURRED"),
        Some((_, job)) if job.looks <= 1 && job.batches.is_none() => ("1001", "JOB NOT INITIATED"),
        Some(_) => ("1002", "JOB IN PROGRESS"),
    };
    let mut data = json!({"jobId": id, "jobCode": code, "jobStatus": status});
    let Some(job) = job else {
        return data;
    };
    if let Phase::Over { at_ms, failure } = &job.phase {
        let ends_ms = at_ms + analytics.options.job_seconds * 1000;
        data["jobInfo"] = match failure {
            Some(failure) => json!({"errorCode": failure.code.to_string(),
                "errorMessage": failure.message}),
            None => {
                let view = store.views.get(&job.view);
                let mut info = summary(&job.spec, &job.counts, view, job.is_new_table);
                if job.is_new_table {
                    info["viewId"] = Value::from(job.view.as_str());
                }
                info
            }
        };
        data["expiryTime"] = Value::from(ends_ms.to_string());
    }
    data
}
