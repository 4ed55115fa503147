//! Carrying out what is due: jobs whose time has come, batch jobs that nobody goes on with, results
//! that are read no more.

use super::answer::Failure;
use super::commit::commit;
use super::job::{Job, Phase};
use super::options::{AbortedRows, AnalyticsOptions};
use super::prepare::Prepared;
use super::spec::{ImportSpec, ImportType};
use super::store::Store;
use super::table::{LastImport, View};
use crate::faults::ImportFault;

/// Brings everything to the present moment.
pub(crate) fn settle(store: &mut Store, options: &AnalyticsOptions, now_ms: u64) {
    let ids: Vec<String> = store.jobs.imports.keys().cloned().collect();
    for id in ids {
        let Some(mut job) = store.jobs.imports.remove(&id) else {
            continue;
        };
        if job.is_due(now_ms, options.job_polls) {
            finish(store, &mut job, options, now_ms);
        }
        let lapse_ms = options.batch_seconds * 1000;
        let has_lapsed = job
            .batches
            .as_ref()
            .is_some_and(|batches| batches.last_ms + lapse_ms <= now_ms);
        match &job.phase {
            Phase::Open(_) if has_lapsed => job.phase = Phase::Gone,
            Phase::Over { at_ms, .. } if at_ms + options.job_seconds * 1000 <= now_ms => {
                job.phase = Phase::Gone;
            }
            _ => {}
        }
        store.jobs.imports.insert(id, job);
    }
    let kept_ms = options.job_seconds * 1000;
    let exports = &mut store.jobs.exports;
    exports.retain(|_, export| export.created_ms + kept_ms > now_ms);
}

/// Carries out a job to its end.
fn finish(store: &mut Store, job: &mut Job, options: &AnalyticsOptions, now_ms: u64) {
    let phase = std::mem::replace(&mut job.phase, Phase::Gone);
    let Phase::Waiting { files, .. } = phase else {
        job.phase = phase;
        return;
    };
    let failure = match (job.fault, store.views.get_mut(&job.view)) {
        (Some(ImportFault::Fail(code)), _) => Some(Failure::new(
            code,
            "<nobr>[Line: 2 Field: 1] (West) -ERROR: failed on purpose</nobr><br>",
        )),
        (_, None) => Some(Failure::new(7104, "The view is not present")),
        (_, Some(view)) => apply(view, job, files, options),
    };
    if let Some(view) = store.views.get_mut(&job.view) {
        view.last_import = Some(LastImport::new(&job.counts, failure.as_ref(), now_ms));
    }
    job.phase = match job.fault {
        Some(ImportFault::Lose) => Phase::Gone,
        _ => Phase::Over {
            at_ms: now_ms,
            failure,
        },
    };
}

/// Applies the files of a job; those of batches that came into the table at once are not among them.
fn apply(
    view: &mut View,
    job: &mut Job,
    files: Vec<Prepared>,
    options: &AnalyticsOptions,
) -> Option<Failure> {
    let is_safe_replace = job.batches.is_some() && job.spec.import_type == ImportType::TruncateAdd;
    // Nothing of a batched replacement is seen unless all of it is good.
    if is_safe_replace && let Some(failure) = files.iter().find_map(|file| file.aborted.clone()) {
        return Some(failure);
    }
    if is_safe_replace {
        empty(view, options);
    }
    for mut file in files {
        if let Some(ImportFault::Partial(every)) = job.fault {
            lose_rows(&mut file, every);
        }
        job.counts.add(&file.counts);
        if let Some(failure) = take_file(view, file, &job.spec, options) {
            return Some(failure);
        }
    }
    None
}

/// Removes all rows of a table.
pub(crate) fn empty(view: &mut View, options: &AnalyticsOptions) {
    if !options.drain {
        view.rows = super::rows::Rows::default();
    }
}

/// Puts a file into its table, or says why it was aborted.
pub(crate) fn take_file(
    view: &mut View,
    mut file: Prepared,
    spec: &ImportSpec,
    options: &AnalyticsOptions,
) -> Option<Failure> {
    let aborted = file.aborted.take();
    if aborted.is_none() || options.aborted_rows == AbortedRows::Keep {
        commit(view, file, spec, options);
    }
    aborted
}

/// Loses every nth row, so that fewer are successful than came.
pub(crate) fn lose_rows(file: &mut Prepared, every: usize) {
    let lost = file
        .rows
        .remove(|_, row| (row + 1).is_multiple_of(every.max(1)));
    file.counts.successful_rows -= lost;
}
