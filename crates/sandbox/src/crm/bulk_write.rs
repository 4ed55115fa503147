//! The requests of bulk writes. Facts: section 8.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::answer::{Answer, ApiError};
use super::bulk_read::{count_download, json_body, zip_response};
use super::credits::{BULK_WRITE, CALL};
use super::job::{self, Direction, callback_of};
use super::plan::{Operation, Plan, Planner};
use super::version::Version;
use super::write_job::{Part, WriteJob};
use super::{Access, Crm, unzip};
use crate::archive::zip;
use crate::faults::{ArchiveFault, CallFaults, OwnFaults};

const SCOPE: &[&str] = &["ZohoCRM.bulk.CREATE"];

/// Results are kept for a week.
const LIFE_MS: i64 = 7 * 86_400_000;

pub(super) async fn create(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    own: Option<Extension<OwnFaults>>,
    faults: Option<Extension<CallFaults>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let version = crm.enter(&version, &headers, SCOPE, 0)?;
    let body = json_body(&headers, &body)?;
    let operation = body["operation"]
        .as_str()
        .ok_or_else(|| ApiError::missing_key("$.operation"))?;
    let operation = Operation::from_name(operation)
        .ok_or_else(|| ApiError::field("INVALID_BULK_OPERATION", "operation"))?;
    let callback = callback_of(&body["callback"])?;
    let worker = Arc::clone(&crm);
    let asked = (version, operation, body, headers.clone());
    let parts = tokio::task::spawn_blocking(move || worker.parts(&asked)).await;
    let parts = parts.map_err(|_| ApiError::new(500, "INTERNAL_SERVER_ERROR", json!({})))??;
    if !crm
        .credits()
        .take(BULK_WRITE, crm.options.credits, crm.now_ms())
    {
        return Err(ApiError::too_many());
    }
    let module = parts.first().map_or("", |part| part.plan.module.as_str());
    let path = format!("crm/write/{module}");
    let progress = crm.new_progress(&path, own.as_ref().map(|own| &own.0), callback)?;
    let id = {
        let mut jobs = crm.jobs();
        let id = jobs.next_id();
        let job = WriteJob {
            id,
            operation,
            parts,
            progress: progress.clone(),
            faults: faults.map(|faults| faults.0).unwrap_or_default(),
            host: host_of(&headers),
            is_absolute: version.has_absolute_results(),
            archives: Vec::new(),
        };
        jobs.writes.insert(id, job);
        id
    };
    job::schedule(&crm, Direction::Write, id, &progress);
    let details = json!({"id": id.to_string(), "created_by": crm.creator()});
    let created = json!({"status": "success", "code": "SUCCESS", "message": "success",
        "details": details});
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

pub(super) async fn poll(
    State(crm): State<Arc<Crm>>,
    Path((version, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, SCOPE, CALL)?;
    let id = job.parse().unwrap_or_default();
    job::look(&crm, Direction::Write, id).await;
    let found = crm.jobs().writes.get(&id).cloned();
    let found = found.ok_or_else(|| ApiError::no_resource(&job))?;
    Ok(Json(found.describe(&crm)).into_response())
}

pub(super) async fn download(
    State(crm): State<Arc<Crm>>,
    Path((_org, job, file)): Path<(String, String, String)>,
    fault: Option<Extension<ArchiveFault>>,
    headers: HeaderMap,
) -> Answer {
    crm.enter("v8", &headers, SCOPE, CALL)?;
    count_download(&crm)?;
    let found = job
        .parse()
        .ok()
        .and_then(|id| crm.jobs().writes.get(&id).cloned());
    let found = found.ok_or_else(|| ApiError::no_resource(&job))?;
    let is_kept = found
        .progress
        .ended_ms
        .is_some_and(|ended| crm.now_ms() - ended < LIFE_MS);
    let fault = fault.map(|fault| fault.0);
    let first = found.archives.first();
    let first = first
        .filter(|_| is_kept && fault != Some(ArchiveFault::Expired) && file == format!("{job}.zip"))
        .ok_or_else(|| ApiError::no_resource(&job))?;
    let bytes = match fault {
        Some(fault) => first.spoiled(fault),
        None => zip(&found.archives),
    };
    Ok(zip_response(&file, bytes))
}

impl Crm {
    /// Plans the resources of a request against their files.
    fn parts(
        &self,
        (version, operation, body, headers): &(Version, Operation, Value, HeaderMap),
    ) -> Result<Vec<Part>, ApiError> {
        let resources = body["resource"]
            .as_array()
            .filter(|resources| !resources.is_empty())
            .ok_or_else(|| ApiError::missing_key("$.resource"))?;
        let mut parts = Vec::with_capacity(resources.len());
        for (number, resource) in resources.iter().enumerate() {
            let path = format!("$.resource[{number}]");
            if resource["type"] != "data" {
                return Err(ApiError::missing_key(&format!("{path}.type")));
            }
            let text = self.file_of(resource, &path)?;
            let store = self.look();
            let planner = Planner {
                crm: self,
                store: &store,
                version: *version,
                operation: *operation,
                ignore_empty: body["ignore_empty"] == json!(true),
                path,
            };
            let module = planner.module(resource)?;
            self.enter_module(headers, module, Access::Write)?;
            let plan: Plan = planner.plan(resource, module, &text.0, &text.1)?;
            parts.push(Part::new(plan, text.1));
        }
        Ok(parts)
    }

    /// The name and the text of the CSV that a resource means.
    fn file_of(&self, resource: &Value, path: &str) -> Result<(String, String), ApiError> {
        let id = match &resource["file_id"] {
            Value::Null => return Err(ApiError::missing_key(&format!("{path}.file_id"))),
            Value::String(id) => id.parse().ok(),
            id => id.as_i64(),
        };
        let now_ms = self.now_ms();
        let life_ms = i64::try_from(self.options.file_seconds * 1000).unwrap_or(i64::MAX);
        let zip = {
            let jobs = self.jobs();
            let upload = id.and_then(|id| jobs.uploads.get(&id));
            let upload = upload.filter(|upload| now_ms - upload.created_ms < life_ms);
            upload.map(|upload| Arc::clone(&upload.zip))
        };
        let zip = zip.ok_or_else(|| ApiError::field("INVALID_FILE_ID", "file_id"))?;
        let entries = unzip::entries(&zip).unwrap_or_default();
        let names = resource["file_names"].as_array();
        let name = names
            .and_then(|names| names.first())
            .and_then(Value::as_str);
        let entry = match name {
            Some(name) => entries
                .iter()
                .find(|entry| entry.name == name)
                .ok_or_else(|| ApiError::bad("FILE_NOT_FOUND", json!({"file_name": name})))?,
            None => match entries.as_slice() {
                [entry] => entry,
                _ => return Err(ApiError::missing_key(&format!("{path}.file_names"))),
            },
        };
        let is_csv = std::path::Path::new(&entry.name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let content = entry.content().filter(|_| is_csv);
        let content = content.ok_or_else(|| ApiError::bad("FILE_NOT_SUPPORTED", json!({})))?;
        let text = String::from_utf8(content)
            .unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned());
        Ok((entry.name.clone(), text))
    }
}

fn host_of(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.unwrap_or("localhost").to_owned()
}
