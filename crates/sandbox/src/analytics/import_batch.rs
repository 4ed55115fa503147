//! Import jobs that come in several batches. Facts: section 3.6.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::callback;
use super::import::{Reserved, content, layout_of, read_file, reserve, tally, target};
use super::import_job::{charge, check_slots, forget, new_job};
use super::job::{Batches, Job, Phase};
use super::prepare::Prepared;
use super::settle::{lose_rows, settle, take_file};
use super::spec::{BatchMark, ImportSpec, Portion, batch_mark, import_config};
use super::store::Store;
use super::table::LastImport;
use crate::faults::ImportFault;

/// Takes a batch: the first one begins a job, the last one closes it.
pub(crate) fn take(
    analytics: &Arc<Analytics>,
    call: &Call,
    workspace: &str,
    view: Option<String>,
) -> Result<Answer, Failure> {
    let config = import_config(call.inputs.config.as_deref())?;
    let mark = batch_mark(&config)?;
    let content = content(&call.inputs)?;
    if !mark.key.eq_ignore_ascii_case("start") {
        return go_on(analytics, call, view.as_deref(), &mark, &content);
    }
    let options = &analytics.options;
    let spec = ImportSpec::read(&config, target(view.as_ref()), Portion::Batch, options)?;
    let spec = Arc::new(spec);
    let (id, reserved) = begin(analytics, call, workspace, view, &spec, &content)?;
    let file = read_file(analytics, &content, &spec, &reserved.layout);
    let mut store = analytics.store();
    if let Err(failure) = charge(analytics, &mut store, &spec, &file, call.now_ms) {
        forget(&mut store, &id, &reserved);
        return Err(failure);
    }
    let key = keep(analytics, call, &mut store, &id, &mark, file, content.len());
    callback::watch(analytics, &spec, &id);
    Ok(answer(&id, &key))
}

fn answer(id: &str, key: &str) -> Answer {
    let data = json!({"jobId": id, "batchKey": key});
    Answer::success("Create batch import job", data)
}

fn begin(
    analytics: &Analytics,
    call: &Call,
    workspace: &str,
    view: Option<String>,
    spec: &Arc<ImportSpec>,
    content: &Bytes,
) -> Result<(String, Reserved), Failure> {
    let mut store = analytics.store();
    check_slots(analytics, &store)?;
    let now_ms = call.now_ms;
    let reserved = reserve(
        analytics, &mut store, workspace, view, spec, content, now_ms,
    )?;
    let id = store.new_id();
    let mut job = new_job(call, workspace, &reserved, spec);
    job.batches = Some(Batches {
        key: String::new(),
        count: 0,
        last_ms: now_ms,
        is_closed: false,
    });
    store.jobs.imports.insert(id.clone(), job);
    Ok((id, reserved))
}

/// Takes a further batch of a job.
fn go_on(
    analytics: &Arc<Analytics>,
    call: &Call,
    view: Option<&str>,
    mark: &BatchMark,
    content: &Bytes,
) -> Result<Answer, Failure> {
    let (id, spec, layout, before) = {
        let mut store = analytics.store();
        let (id, job) = open_job(analytics, &mut store, call, view, mark)?;
        let spec = Arc::clone(&job.spec);
        let (workspace, table) = (job.workspace.clone(), job.view.clone());
        let before = std::mem::replace(&mut job.phase, Phase::Reading);
        let layout = layout_of(&store, &workspace, &table);
        (id, spec, layout, before)
    };
    let file = match layout {
        Ok(layout) => read_file(analytics, content, &spec, &layout),
        Err(failure) => Prepared {
            aborted: Some(failure),
            ..Prepared::default()
        },
    };
    let mut store = analytics.store();
    let charged = charge(analytics, &mut store, &spec, &file, call.now_ms);
    if let Some(job) = store.jobs.imports.get_mut(&id) {
        job.phase = before;
    }
    charged?;
    let key = keep(analytics, call, &mut store, &id, mark, file, content.len());
    Ok(answer(&id, &key))
}

/// The job that a batch belongs to, if it may come.
fn open_job<'store>(
    analytics: &Analytics,
    store: &'store mut Store,
    call: &Call,
    view: Option<&str>,
    mark: &BatchMark,
) -> Result<(String, &'store mut Job), Failure> {
    let invalid = || Failure::new(7338, "The batch key is invalid");
    let found = store.jobs.by_batch_key(&mark.key);
    let (id, job) = found.ok_or_else(invalid)?;
    if view.is_some_and(|view| view != job.view) {
        let message = "The batch key belongs to another view";
        return Err(Failure::new(7340, message));
    }
    let Some(batches) = job.batches.as_mut().filter(|_| job.owner == call.email) else {
        return Err(invalid());
    };
    if batches.is_closed {
        let message = "The last batch of the job was received already";
        return Err(Failure::new(7337, message));
    }
    if !matches!(job.phase, Phase::Open(_)) {
        return Err(invalid());
    }
    if batches.count >= analytics.options.batches {
        let message = "The number of batches of a job is exceeded";
        return Err(Failure::new(7336, message));
    }
    Ok((id.clone(), job))
}

/// Puts a batch that was read into its job, or into the table; returns the key of the next one.
fn keep(
    analytics: &Analytics,
    call: &Call,
    store: &mut Store,
    id: &str,
    mark: &BatchMark,
    mut file: Prepared,
    bytes: usize,
) -> String {
    let options = &analytics.options;
    let Some(mut job) = store.jobs.imports.remove(id) else {
        return String::new();
    };
    let mut files = match std::mem::replace(&mut job.phase, Phase::Gone) {
        Phase::Open(files) => files,
        _ => Vec::new(),
    };
    let mut failure = None;
    if let Some(view) = store.views.get_mut(&job.view) {
        tally(analytics, &view.name, &file, bytes);
        if job.commits_at_once() && !matches!(job.fault, Some(ImportFault::Fail(_))) {
            if let Some(ImportFault::Partial(every)) = job.fault {
                lose_rows(&mut file, every);
            }
            job.counts.add(&file.counts);
            failure = take_file(view, file, &job.spec, options);
        } else {
            failure.clone_from(&file.aborted);
            files.push(file);
        }
        if failure.is_some() {
            view.last_import = Some(LastImport::new(&job.counts, failure.as_ref(), call.now_ms));
        }
    }
    let batches = job.batches.get_or_insert_with(|| Batches {
        key: String::new(),
        count: 0,
        last_ms: 0,
        is_closed: false,
    });
    batches.count += 1;
    batches.last_ms = call.now_ms;
    batches.is_closed = mark.is_last;
    // The key of a closed job stays, so that one batch more is known for what it is.
    batches.key = if mark.is_last && batches.count > 1 {
        mark.key.clone()
    } else {
        format!("{id}-{}", batches.count)
    };
    let key = batches.key.clone();
    job.phase = match failure {
        Some(failure) => Phase::Over {
            at_ms: call.now_ms,
            failure: Some(failure),
        },
        None if mark.is_last => Phase::Waiting {
            due_ms: call.now_ms + options.job_ms,
            files,
        },
        None => Phase::Open(files),
    };
    store.jobs.imports.insert(id.to_owned(), job);
    if options.job_polls == 0 {
        settle(store, options, call.now_ms + options.job_ms);
    }
    key
}
