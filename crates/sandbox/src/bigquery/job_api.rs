//! Jobs over REST: create, look at, list, cancel. Facts: sections 5, 6 and 8.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::{Answer, ApiError};
use super::copy::CopyJob;
use super::job::{Job, JobKey, Outcome, Phase, Work};
use super::load::LoadJob;
use super::query::QueryJob;
use super::request::{Parameters, WholeBody, check_names};
use super::store::Store;
use super::table::TableName;
use super::table_api;
use crate::faults::{JobFault, OwnFaults};

/// Mutating statements that run on one table at a time.
const RUNNING_DML: usize = 2;

const KNOWN: [&str; 10] = [
    "kind",
    "etag",
    "id",
    "selfLink",
    "user_email",
    "jobReference",
    "configuration",
    "status",
    "statistics",
    "principal_subject",
];

/// What a job is made from.
struct Asked {
    location: Option<String>,
    id: Option<String>,
    configuration: Map<String, Value>,
    kind: &'static str,
    work: Work,
    destination: Option<TableName>,
    mutates: Option<TableName>,
    dry_run: bool,
}

pub(crate) async fn insert(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    own: Option<Extension<OwnFaults>>,
    body: WholeBody,
) -> Answer {
    let (key, _) = submit(&bigquery, &project, &body.object()?, None, own.as_deref())?;
    show(&bigquery, &key)
}

pub(crate) async fn get(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let key = find(
        &bigquery.store(),
        &project,
        &id,
        parameters.get("location").map(String::as_str),
    )?;
    look(&bigquery, &key);
    show(&bigquery, &key)
}

pub(crate) async fn list(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    parameters: Parameters,
) -> Answer {
    let store = bigquery.store();
    store
        .access
        .require("bigquery.jobs.list", Resource::Project(&project))?;
    let wanted = parameters.get("stateFilter");
    let mut items = Vec::new();
    for (key, job) in store.jobs.newest() {
        let matches = wanted.is_none_or(|state| state.eq_ignore_ascii_case(job.state()));
        if key.project == project && matches {
            let mut item = job.to_json(key);
            item["state"] = json!(job.state());
            items.push(item);
        }
    }
    let (page, next) = table_api::page(items, &parameters)?;
    let mut answer = json!({"kind": "bigquery#jobList", "jobs": page});
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Json(answer))
}

/// A job that is not carried out yet never will be.
pub(crate) async fn cancel(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let mut store = bigquery.store();
    let location = parameters.get("location").map(String::as_str);
    let key = find(&store, &project, &id, location)?;
    let now_ms = bigquery.now_ms();
    let job = store
        .jobs
        .get_mut(&key)
        .ok_or_else(|| not_found(&project, location, &id))?;
    if job.take_work().is_some() {
        let error = ApiError::new(
            499,
            "stopped",
            "Job execution was cancelled: User requested cancellation",
        );
        job.phase = Phase::Done(Box::new(Outcome::failed(error)));
        job.ended_ms = Some(now_ms);
    }
    Ok(Json(
        json!({"kind": "bigquery#jobCancelResponse", "job": job.to_json(&key)}),
    ))
}

/// Takes a job on. The flag says whether it was only tried.
pub(crate) fn submit(
    bigquery: &BigQuery,
    project: &str,
    body: &Map<String, Value>,
    data: Option<Vec<u8>>,
    own: Option<&OwnFaults>,
) -> Result<(JobKey, bool), ApiError> {
    let asked = read(project, body, data)?;
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.jobs.create", Resource::Project(project))?;
    let location = locate(bigquery, &store, &asked)?;
    let id = match &asked.id {
        Some(id) => id.clone(),
        None => format!("job_sandbox_{}", store.next_id()),
    };
    let key = JobKey::new(project, &location, &id);
    if store.jobs.get(&key).is_some() {
        return Err(ApiError::duplicate(format!(
            "Job {project}:{location}.{id}"
        )));
    }
    let limits = store.limits;
    if let Some(table) = asked.destination.as_ref().filter(|_| !asked.dry_run) {
        store.quotas.count_table_job(table, &limits, now_ms)?;
    }
    let mut work = asked.work;
    if let (Some(table), Work::Load(_)) = (&asked.destination, &work)
        && let Err(error) = store.quotas.count_load(table, &limits, now_ms)
    {
        work = Work::Fail(error);
    }
    if let Some(table) = &asked.mutates
        && store.jobs.outstanding(table) >= RUNNING_DML + limits.queued_dml as usize
    {
        work = Work::Fail(ApiError::new(
            400,
            "resourcesExceeded",
            format!(
                "Resources exceeded during query execution: Too many DML statements outstanding against table {table}, limit is {}.",
                limits.queued_dml
            ),
        ));
    }
    let mut job = Job {
        location,
        configuration: asked.configuration,
        kind: asked.kind,
        created_ms: now_ms,
        started_ms: None,
        ended_ms: None,
        polls: 0,
        needed_polls: Some(bigquery.options.job_polls),
        due_ms: Some(now_ms + bigquery.options.job_ms),
        mutates: asked.mutates,
        destination: asked.destination,
        phase: Phase::Executing,
    };
    let target = job
        .destination
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let event = format!("/{}/{target}", job.kind);
    match bigquery.faults.strike_job(&event, own) {
        Some(JobFault::Hang { polls }) => {
            job.needed_polls = polls;
            job.due_ms = None;
        }
        Some(JobFault::Fail { reason }) => work = Work::Fail(failure(reason, &job)),
        None => {}
    }
    job.phase = Phase::Waiting(Box::new(work));
    let at_once = job.needed_polls == Some(0) || asked.dry_run;
    store.jobs.add(key.clone(), job);
    drop(store);
    if at_once {
        execute(bigquery, &key);
    }
    Ok((key, asked.dry_run))
}

/// The job as the API shows it.
pub(crate) fn show(bigquery: &BigQuery, key: &JobKey) -> Answer {
    let store = bigquery.store();
    let job = store
        .jobs
        .get(key)
        .ok_or_else(|| not_found(&key.project, None, &key.id))?;
    Ok(Json(job.to_json(key)))
}

/// Counts a look at a job and carries it out if it was the last that it waits for.
pub(crate) fn look(bigquery: &BigQuery, key: &JobKey) {
    let is_due = bigquery
        .store()
        .jobs
        .get_mut(key)
        .is_some_and(|job| job.look(bigquery.now_ms()));
    if is_due {
        execute(bigquery, key);
    }
}

/// Carries a job out, unless somebody else does.
pub(crate) fn execute(bigquery: &BigQuery, key: &JobKey) {
    let work = {
        let mut store = bigquery.store();
        let now_ms = bigquery.now_ms();
        store.jobs.get_mut(key).and_then(|job| {
            job.started_ms.get_or_insert(now_ms);
            job.take_work()
        })
    };
    let Some(work) = work else {
        return;
    };
    let outcome = match work {
        Work::Load(load) => load.run(bigquery),
        Work::Copy(copy) => copy.run(bigquery),
        Work::Query(query) => query.run(bigquery),
        Work::Fail(error) => Outcome::failed(error),
    };
    let now_ms = bigquery.now_ms();
    if let Some(job) = bigquery.store().jobs.get_mut(key) {
        job.phase = Phase::Done(Box::new(outcome));
        job.ended_ms = Some(now_ms);
    }
}

/// A job by its id; without a location only US and EU are looked at.
pub(crate) fn find(
    store: &Store,
    project: &str,
    id: &str,
    location: Option<&str>,
) -> Result<JobKey, ApiError> {
    let places = match location {
        Some(location) => vec![location],
        None => vec!["US", "EU"],
    };
    places
        .into_iter()
        .map(|place| JobKey::new(project, place, id))
        .find(|key| store.jobs.get(key).is_some())
        .ok_or_else(|| not_found(project, location, id))
}

fn not_found(project: &str, location: Option<&str>, id: &str) -> ApiError {
    let place = location
        .map(|place| format!("{place}."))
        .unwrap_or_default();
    ApiError::not_found(format!("Job {project}:{place}{id}"))
}

fn read(
    project: &str,
    body: &Map<String, Value>,
    data: Option<Vec<u8>>,
) -> Result<Asked, ApiError> {
    check_names(body, &KNOWN, &[], "job")?;
    let reference = body.get("jobReference").unwrap_or(&Value::Null);
    let owner = reference["projectId"].as_str().unwrap_or(project);
    if owner != project {
        return Err(ApiError::invalid(format!(
            "Value {owner} in content does not agree with value {project} in the path."
        )));
    }
    let id = reference["jobId"].as_str().filter(|id| !id.is_empty());
    if let Some(id) = id {
        super::name::check_job(id)?;
    }
    let Some(configuration) = body.get("configuration").and_then(Value::as_object) else {
        return Err(ApiError::new(
            400,
            "required",
            "Required parameter is missing: configuration",
        ));
    };
    check_names(
        configuration,
        &[
            "load",
            "copy",
            "query",
            "labels",
            "dryRun",
            "jobTimeoutMs",
            "jobType",
        ],
        &["extract", "reservation"],
        "job.configuration",
    )?;
    table_api::labels(configuration.get("labels"))?;
    let dry_run = configuration.get("dryRun") == Some(&Value::Bool(true));
    let part = |kind: &str| configuration.get(kind).and_then(Value::as_object);
    let mut destination = None;
    let mut mutates = None;
    let (kind, work) = match (part("load"), part("copy"), part("query")) {
        (Some(load), None, None) => {
            let job = LoadJob::from_json(load, project, data)?;
            destination = Some(job.destination.clone());
            ("load", Work::Load(job))
        }
        (None, Some(copy), None) => {
            let job = CopyJob::from_json(copy, project)?;
            destination = Some(job.destination.clone());
            ("copy", Work::Copy(job))
        }
        (None, None, Some(query)) => {
            let job = QueryJob::from_json(query, project, dry_run)?;
            destination.clone_from(&job.destination);
            mutates = job.mutates();
            ("query", Work::Query(Box::new(job)))
        }
        _ => {
            return Err(ApiError::new(
                400,
                "required",
                "Required parameter is missing: exactly one of load, copy, query and extract",
            ));
        }
    };
    Ok(Asked {
        location: reference["location"].as_str().map(str::to_owned),
        id: id.map(str::to_owned),
        configuration: configuration.clone(),
        kind,
        work,
        destination,
        mutates,
        dry_run,
    })
}

/// Where a job runs: where it is told to, else where its data is. Its data has to be there.
fn locate(bigquery: &BigQuery, store: &Store, asked: &Asked) -> Result<String, ApiError> {
    let mut datasets: Vec<(String, String)> = Vec::new();
    if let Some(table) = &asked.destination {
        store.dataset(&table.project, &table.dataset)?;
        datasets.push((table.project.clone(), table.dataset.clone()));
    }
    if let Work::Query(query) = &asked.work {
        datasets.extend(query.default_dataset.clone());
        let named = query.glance.names.iter();
        datasets.extend(named.map(|name| (name.project.clone(), name.dataset.clone())));
    }
    for (project, id) in datasets {
        let Some(dataset) = store.datasets.get(&(project.clone(), id.clone())) else {
            continue;
        };
        match &asked.location {
            None => return Ok(dataset.location.clone()),
            Some(location) if !location.eq_ignore_ascii_case(&dataset.location) => {
                return Err(ApiError::not_found(format!(
                    "Dataset {project}:{id} was not found in location {location}"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(asked
        .location
        .clone()
        .unwrap_or_else(|| bigquery.options.location.clone()))
}

/// The error of a job that a fault makes fail, in Google's words.
fn failure(reason: &'static str, job: &Job) -> ApiError {
    let table = job
        .destination
        .as_ref()
        .or(job.mutates.as_ref())
        .map(ToString::to_string)
        .unwrap_or_default();
    match reason {
        "serialize" => ApiError::invalid_query(format!(
            "Could not serialize access to table {table} due to concurrent update"
        )),
        "concurrentUpdate" => ApiError::invalid_query(format!(
            "Transaction is aborted due to concurrent update against table {table}."
        )),
        "backendError" => ApiError::new(
            503,
            reason,
            "Backend error: Error encountered during execution. Retrying may solve the problem.",
        ),
        "rateLimitExceeded" => ApiError::new(
            403,
            reason,
            "Exceeded rate limits: too many table update operations for this table. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas",
        ),
        "quotaExceeded" => ApiError::new(
            403,
            reason,
            "Quota exceeded: Your table exceeded quota for imports or query appends per table.",
        ),
        other => ApiError::new(
            400,
            other,
            format!("The job failed, as a fault of the sandbox asked for: {other}"),
        ),
    }
}
