//! The requests of bulk reads. Facts: section 3.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Answer, ApiError};
use super::column::Column;
use super::credits::{BULK_READ, CALL};
use super::criteria::Criteria;
use super::field::{Delivery, Kind};
use super::job::{self, Direction, callback_of};
use super::module::{Bulk, Module};
use super::read_job::{ReadJob, Selection};
use super::store::Store;
use super::version::Version;
use super::{Access, Crm};
use crate::faults::{ArchiveFault, OwnFaults};

const SCOPE: &[&str] = &["ZohoCRM.bulk.READ"];

/// Fields of one job.
const FIELDS: usize = 200;

/// Modules behind lookups that one job may name (the real number is open).
const JOINS: usize = 10;

/// Results and tokens are kept for a day.
const LIFE_MS: i64 = 86_400_000;

const MINUTE_MS: i64 = 60_000;

pub(super) async fn create(
    State(crm): State<Arc<Crm>>,
    Path(version): Path<String>,
    own: Option<Extension<OwnFaults>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let version = crm.enter(&version, &headers, SCOPE, 0)?;
    let body = json_body(&headers, &body)?;
    let callback = callback_of(&body["callback"])?;
    let is_calendar = match body["file_type"].as_str() {
        None | Some("csv") => false,
        Some("ics") => true,
        Some(_) => return Err(ApiError::field("INVALID_REQUEST", "file_type")),
    };
    let query = body["query"]
        .as_object()
        .ok_or_else(|| ApiError::bad("INVALID_QUERY", json!({"api_name": "query"})))?;
    let (mut selection, query) = if query.contains_key("page_token") {
        go_on(&crm, version, &body["query"])?
    } else {
        begin(&crm, version, &headers, &body["query"], is_calendar)?
    };
    selection.is_calendar |= is_calendar;
    if !crm
        .credits()
        .take(BULK_READ, crm.options.credits, crm.now_ms())
    {
        return Err(ApiError::too_many());
    }
    let path = format!("crm/read/{}", selection.module);
    let progress = crm.new_progress(&path, own.as_ref().map(|own| &own.0), callback)?;
    let id = {
        let mut jobs = crm.jobs();
        let id = jobs.next_id();
        let job = ReadJob {
            id,
            selection,
            query,
            user: crm.accounts.user().to_owned(),
            progress: progress.clone(),
            has_tokens: version.has_page_tokens(),
            archive: None,
            count: 0,
            has_more: false,
            next_token: None,
            failure: None,
        };
        jobs.reads.insert(id, job);
        id
    };
    job::schedule(&crm, Direction::Read, id, &progress);
    let details = json!({
        "id": id.to_string(), "operation": "read", "state": "ADDED",
        "created_by": crm.creator(), "created_time": crm.zone.text(progress.created_ms / 1000),
    });
    let added = json!({"status": "success", "code": "ADDED_SUCCESSFULLY",
        "message": "Added successfully.", "details": details});
    Ok((
        StatusCode::CREATED,
        Json(json!({"data": [added], "info": {}})),
    )
        .into_response())
}

pub(super) async fn poll(
    State(crm): State<Arc<Crm>>,
    Path((version, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, SCOPE, CALL)?;
    let id = job.parse().unwrap_or_default();
    job::look(&crm, Direction::Read, id).await;
    let found = crm.jobs().reads.get(&id).cloned();
    let found = found.ok_or_else(|| ApiError::no_resource(&job))?;
    Ok(Json(found.describe(&crm)).into_response())
}

pub(super) async fn download(
    State(crm): State<Arc<Crm>>,
    Path((version, job)): Path<(String, String)>,
    fault: Option<Extension<ArchiveFault>>,
    headers: HeaderMap,
) -> Answer {
    crm.enter(&version, &headers, SCOPE, CALL)?;
    count_download(&crm)?;
    let found = job
        .parse()
        .ok()
        .and_then(|id| crm.jobs().reads.get(&id).cloned());
    let found = found.ok_or_else(|| ApiError::no_resource(&job))?;
    let is_kept = |ended: i64| crm.now_ms() - ended < LIFE_MS;
    let fault = fault.map(|fault| fault.0);
    let archive = found
        .archive
        .filter(|_| found.progress.ended_ms.is_some_and(is_kept))
        .filter(|_| fault != Some(ArchiveFault::Expired))
        .ok_or_else(|| ApiError::no_resource(&job))?;
    let zip = match fault {
        Some(fault) => archive.spoiled(fault),
        None => archive.zip(),
    };
    Ok(zip_response(&format!("{job}.zip"), zip))
}

/// The answer that carries a ZIP.
pub(super) fn zip_response(name: &str, zip: Vec<u8>) -> Response {
    let disposition = format!("attachment;filename={name}");
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, zip).into_response()
}

/// Refuses one download too many in a minute.
pub(super) fn count_download(crm: &Crm) -> Result<(), ApiError> {
    let now_ms = crm.now_ms();
    let mut jobs = crm.jobs();
    jobs.downloads.retain(|at| now_ms - at < MINUTE_MS);
    if jobs.downloads.len() >= crm.options.downloads {
        return Err(ApiError::too_many());
    }
    jobs.downloads.push_back(now_ms);
    Ok(())
}

/// The JSON object of a request that has to say that it is JSON.
pub(super) fn json_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return Err(ApiError::new(415, "MEDIA_TYPE_NOT_SUPPORTED", json!({})));
    }
    json_object(body)
}

/// The JSON object of a request.
pub(super) fn json_object(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Err(ApiError::bad("REQUEST_BODY_IS_EMPTY", json!({})));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| ApiError::bad("REQUEST_BODY_NOT_READABLE", json!({})))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(ApiError::bad("REQUEST_BODY_NOT_SUPPORTED", json!({})))
    }
}

/// The name of a module in a body, of which older versions have another form.
pub(super) fn module_name(version: Version, module: &Value) -> Option<&str> {
    if version.has_objects() {
        module["api_name"].as_str()
    } else {
        module.as_str()
    }
}

/// The next page of a query, by its token.
fn go_on(crm: &Crm, version: Version, query: &Value) -> Result<(Selection, Value), ApiError> {
    if !version.has_page_tokens() {
        return Err(ApiError::field("QUERY_NOT_SUPPORTED", "page_token"));
    }
    if !query["criteria"].is_null() {
        return Err(ApiError::bad("CRITERIA_NOT_SUPPORTED", json!({})));
    }
    if query.as_object().is_some_and(|query| query.len() > 1) {
        return Err(ApiError::field("QUERY_NOT_SUPPORTED", "page_token"));
    }
    let token = query["page_token"].as_str().unwrap_or_default();
    let known = crm.jobs().tokens.get(token).cloned();
    let known = known
        .filter(|known| known.user == crm.accounts.user())
        .ok_or_else(|| ApiError::field("INVALID_DATA", "page_token"))?;
    if crm.now_ms() - known.created_ms >= LIFE_MS {
        let code = crm.expired_token_code();
        return Err(ApiError::field(code, "page_token"));
    }
    let mut query = known.query;
    query["page"] = json!(known.selection.page);
    crm.check_allowed(&known.selection.module, "read")?;
    Ok((known.selection, query))
}

/// The first page of a query, or one by its number.
fn begin(
    crm: &Crm,
    version: Version,
    headers: &HeaderMap,
    query: &Value,
    is_calendar: bool,
) -> Result<(Selection, Value), ApiError> {
    let name = module_name(version, &query["module"]).unwrap_or_default();
    let store = crm.look();
    let module = store
        .module(name)
        .filter(|module| module.is_api_supported)
        .ok_or_else(|| ApiError::field("MODULE_NOT_AVAILABLE", name))?;
    crm.enter_module(headers, module, Access::Read)?;
    let is_wrong_calendar = is_calendar && module.name != "Events";
    if module.bulk == Bulk::Refused || is_wrong_calendar {
        return Err(ApiError::field("MODULE_NOT_SUPPORTED", name));
    }
    if !query["cvid"].is_null() {
        // There are no custom views.
        return Err(ApiError::field("CVID_NOT_SUPPORTED", "cvid"));
    }
    if is_calendar && !query["fields"].is_null() {
        return Err(ApiError::field("QUERY_NOT_SUPPORTED", "fields"));
    }
    let page = page_of(crm, version, &query["page"])?;
    let columns = columns_of(crm, &store, module, &query["fields"])?;
    let mut criteria = Criteria::new(&store, module, version, crm.options.in_values);
    let condition = match &query["criteria"] {
        Value::Null => None,
        given => Some(criteria.read(given)?),
    };
    let mut shown = json!({"module": {"id": module.id.to_string(), "api_name": module.name},
        "page": page});
    for key in ["fields", "criteria"] {
        if !query[key].is_null() {
            shown[key] = query[key].clone();
        }
    }
    let selection = Selection {
        module: module.name.clone(),
        module_id: module.id,
        columns,
        condition,
        fails_late: criteria.fails_late,
        is_calendar,
        page,
        skipped: (page - 1) * crm.options.page_rows,
        after: 0,
    };
    Ok((selection, shown))
}

fn page_of(crm: &Crm, version: Version, page: &Value) -> Result<usize, ApiError> {
    let number = match page {
        Value::Null => Some(1),
        other => other.as_u64().and_then(|page| usize::try_from(page).ok()),
    };
    let number = number
        .filter(|page| *page > 0)
        .ok_or_else(|| ApiError::field("PAGE_NOT_SUPPORTED", "page"))?;
    let most = if version.has_page_tokens() {
        1
    } else {
        crm.options.page_range
    };
    if number > most {
        return Err(ApiError::bad(
            "PAGE_RANGE_EXCEEDED",
            json!({"max_limit": most}),
        ));
    }
    Ok(number)
}

/// The columns of the CSV, in an order that is not that of the request; the id is always among them.
fn columns_of(
    crm: &Crm,
    store: &Store,
    module: &Module,
    fields: &Value,
) -> Result<Vec<(String, Column)>, ApiError> {
    let mut columns = vec![(crm.options.id_header.clone(), Column::Id)];
    let names: Vec<&str> = match fields {
        Value::Null => {
            let all = module.fields.iter().filter(|field| {
                field.kind != Kind::Absent && field.delivery == Delivery::Delivered
            });
            all.map(|field| field.name.as_str()).collect()
        }
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Err(ApiError::field("INVALID_QUERY", "fields")),
    };
    if !fields.is_null() && names.len() > FIELDS {
        return Err(ApiError::limit("fields", FIELDS));
    }
    let mut parents = Vec::new();
    for name in names {
        let column = Column::of(store, module, name)
            .ok_or_else(|| ApiError::field("FIELD_NOT_AVAILABLE", name))?;
        check_delivery(store, module, column, name)?;
        if let Column::Parent { via, .. } | Column::User { via, .. } = column
            && !parents.contains(&via)
        {
            parents.push(via);
        }
        if !columns.iter().any(|(_, known)| *known == column) {
            columns.push((name.to_owned(), column));
        }
    }
    if parents.len() > JOINS {
        return Err(ApiError::bad(
            "JOIN_LIMIT_EXCEEDED",
            json!({"max_limit": JOINS}),
        ));
    }
    let key = |(_, column): &(String, Column)| match *column {
        Column::Id => (0, 0),
        Column::Field(field) => (1, field),
        Column::Parent { via, .. } | Column::User { via, .. } => (2, via),
        Column::Converted => (3, 0),
    };
    columns.sort_by_key(key);
    Ok(columns)
}

/// Refuses fields that the metadata lists and a bulk read does not have.
fn check_delivery(
    store: &Store,
    module: &Module,
    column: Column,
    name: &str,
) -> Result<(), ApiError> {
    let field = match column {
        Column::Field(field) => &module.fields[field],
        Column::Parent {
            module,
            field: Some(field),
            ..
        } => &store.modules[module].fields[field],
        _ => return Ok(()),
    };
    match field.delivery {
        Delivery::Refused(code) => Err(ApiError::field(code, name)),
        Delivery::Delivered if field.kind == Kind::Absent => {
            Err(ApiError::field("FIELD_NOT_SUPPORTED", name))
        }
        Delivery::Delivered => Ok(()),
    }
}

impl Crm {
    /// The code of a page token that is too old.
    fn expired_token_code(&self) -> &'static str {
        match self.options.token_code.as_str() {
            "PAGE_TOKEN_EXPIRED" => "PAGE_TOKEN_EXPIRED",
            "INVALID_PAGE_TOKEN" => "INVALID_PAGE_TOKEN",
            _ => "EXPIRED_VALUE",
        }
    }
}
