//! What every call goes through: token, frequency, units, organisation, then its CONFIG and its work.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

use super::answer::{Answer, Failure};
use super::endpoint::Endpoint;
use super::inputs::{Inputs, PartConfig, read_inputs};
use super::options::{ConfigPlace, ThrottleStatus};
use super::settle::settle;
use super::store::Store;
use super::{Analytics, design, export, import, import_batch, import_job, metadata, row_call};
use crate::body::{self, BodyError};
use crate::faults::{ImportFault, Moment, OwnFaults, RefusalForm, ServiceRefusal};
use crate::server::declared_length;
use crate::zoho::AuthDenied;

/// The path in front of everything.
const PREFIX: &str = "/restapi/v2";

/// What a body may have beside its file: CONFIG and the marks between parts.
const BESIDE_FILE: usize = 1 << 20;

/// How much a percent sign can lengthen DATA.
const ESCAPED: usize = 3;

/// The most characters of DATA.
const DATA_LIMIT: usize = 10_000_000;

/// A call that was let in.
pub(crate) struct Call {
    pub(crate) email: String,
    pub(crate) inputs: Inputs,
    /// What a fault does to an import that it begins.
    pub(crate) fault: Option<ImportFault>,
    pub(crate) now_ms: u64,
}

/// Answers a call.
pub(crate) async fn serve(State(analytics): State<Arc<Analytics>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let endpoint = path
        .strip_prefix(PREFIX)
        .and_then(|path| Endpoint::find(&parts.method, path));
    let Some(endpoint) = endpoint else {
        body::drain(body).await;
        return not_simulated(path);
    };
    if parts.uri.to_string().len() > analytics.options.url_bytes {
        body::drain(body).await;
        let page = "<html><head><title>414 Request-URI Too Large</title></head></html>\n";
        return (StatusCode::URI_TOO_LONG, Html(page)).into_response();
    }
    let own = parts.extensions.get::<OwnFaults>().cloned();
    let refusal = analytics
        .faults
        .strike_service(parts.method.as_str(), path, own.as_ref());
    if let Some(refusal) = refusal.filter(|refusal| refusal.moment == Moment::Before) {
        body::drain(body).await;
        return analytics.refuse_on_purpose(refusal);
    }
    let email = match analytics.admit(&endpoint, &parts.headers) {
        Ok(email) => email,
        Err(failure) => {
            body::drain(body).await;
            return analytics.refuse(failure);
        }
    };
    let fault = match endpoint {
        Endpoint::Import(..) | Endpoint::ImportJob(..) | Endpoint::ImportBatch(..) => {
            analytics.faults.strike_import(path, own.as_ref())
        }
        _ => None,
    };
    let answered = match read_body(&analytics, &endpoint, &parts, body).await {
        Ok(inputs) => {
            let call = Call {
                email,
                inputs,
                fault,
                now_ms: analytics.now_ms(),
            };
            let worker = Arc::clone(&analytics);
            // Imports take a while: other calls go on meanwhile.
            let work = tokio::task::spawn_blocking(move || run(&worker, &endpoint, &call));
            match work.await {
                Ok(answered) => answered,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        }
        Err(failure) => Err(failure),
    };
    if let Some(refusal) = refusal {
        return analytics.refuse_on_purpose(refusal);
    }
    match answered {
        Ok(answer) => answer.into_response(),
        Err(failure) => analytics.refuse(failure),
    }
}

async fn read_body(
    analytics: &Analytics,
    endpoint: &Endpoint,
    parts: &Parts,
    body: Body,
) -> Result<Inputs, Failure> {
    let options = &analytics.options;
    let limit = match endpoint {
        Endpoint::ImportJob(..) | Endpoint::ImportBatch(..) => options.bulk_bytes,
        _ => options.sync_bytes.max(DATA_LIMIT * ESCAPED),
    };
    let declared = declared_length(&parts.headers);
    let bytes = body::collect(body, declared, limit + BESIDE_FILE).await;
    let bytes = bytes.map_err(|error| match error {
        BodyError::TooLarge => Failure {
            status: Some(413),
            ..Failure::new(8139, "The file is too large")
        },
        BodyError::Broken => Failure::new(7005, "The request was not read to its end"),
    })?;
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let part_config = match options.config_place {
        ConfigPlace::Any => PartConfig::Read,
        ConfigPlace::Query => PartConfig::Ignored,
    };
    let query = parts.uri.query().unwrap_or_default();
    let inputs = read_inputs(query, content_type, &bytes.into(), part_config);
    let file = inputs.file.as_ref().map_or(0, bytes::Bytes::len);
    let file_limit = match endpoint {
        Endpoint::ImportJob(..) | Endpoint::ImportBatch(..) => options.bulk_bytes,
        _ => options.sync_bytes,
    };
    let data = inputs.data.as_deref().unwrap_or_default();
    if file > file_limit || (data.len() > DATA_LIMIT && data.chars().count() > DATA_LIMIT) {
        return Err(Failure::new(
            8139,
            "The data is more than one call may bring",
        ));
    }
    Ok(inputs)
}

fn run(analytics: &Arc<Analytics>, endpoint: &Endpoint, call: &Call) -> Result<Answer, Failure> {
    let view = |view: &Option<String>| view.clone();
    match endpoint {
        Endpoint::Orgs => Ok(metadata::orgs(analytics)),
        Endpoint::Workspaces => Ok(metadata::workspaces(analytics)),
        Endpoint::Workspace(workspace) => metadata::workspace(analytics, workspace),
        Endpoint::MetaDetails => metadata::by_name(analytics, call),
        Endpoint::Views(workspace) => metadata::views(analytics, call, workspace),
        Endpoint::ViewDetails(view) => metadata::view(analytics, call, view),
        Endpoint::Metadata(place) => metadata::table(analytics, place),
        Endpoint::ImportDetails(place) => metadata::import_details(analytics, place),
        Endpoint::Resources => metadata::resources(analytics),
        Endpoint::CreateTable(workspace) => design::create_table(analytics, call, workspace),
        Endpoint::AddColumns(place) => design::add_columns(analytics, call, place),
        Endpoint::RenameColumn(place, column) => {
            design::rename_column(analytics, call, place, column)
        }
        Endpoint::DeleteView(place) => design::delete_view(analytics, call, place),
        Endpoint::AddRow(place) => row_call::add(analytics, call, place),
        Endpoint::UpdateRows(place) => row_call::update(analytics, call, place),
        Endpoint::DeleteRows(place) => row_call::delete(analytics, call, place),
        Endpoint::Import(workspace, id) => import::run(analytics, call, workspace, view(id)),
        Endpoint::ImportJob(workspace, id) => {
            import_job::create(analytics, call, workspace, view(id))
        }
        Endpoint::ImportBatch(workspace, id) => {
            import_batch::take(analytics, call, workspace, view(id))
        }
        Endpoint::JobState(workspace, job) => import_job::state(analytics, call, workspace, job),
        Endpoint::Export(place) => export::create(analytics, call, place),
        Endpoint::ExportState(_, job) => export::state(analytics, call, job),
        Endpoint::ExportFile(_, job) => export::file(analytics, call, job),
    }
}

impl Analytics {
    /// Lets a call in, or says why not; names the user.
    fn admit(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Result<String, Failure> {
        let scopes = endpoint.scopes(self.options.job_scope);
        let caller = self.accounts.authorize(headers, scopes);
        let caller = caller.map_err(|denied| match denied {
            AuthDenied::Missing | AuthDenied::Invalid => {
                Failure::new(8535, "The OAuth token is missing, invalid or expired")
            }
            AuthDenied::ScopeMismatch { needed } => {
                let message = format!("The OAuth token has not the scope {needed}");
                Failure::new(self.options.scope_code, message)
            }
        })?;
        let now_ms = self.now_ms();
        let mut store = self.store();
        settle(&mut store, &self.options, now_ms);
        store.usage.count_call(endpoint.group(), now_ms)?;
        if store.is_unverified {
            let message = "The e-mail address of the user is not confirmed";
            return Err(Failure::new(7565, message));
        }
        if endpoint.needs_org() {
            self.check_org(&store, endpoint, headers)?;
        }
        let cost = endpoint.cost().units(self.options.row_units);
        store.usage.charge(cost, now_ms)?;
        Ok(caller.email)
    }

    fn check_org(
        &self,
        store: &Store,
        endpoint: &Endpoint,
        headers: &HeaderMap,
    ) -> Result<(), Failure> {
        let org = headers
            .get("zanalytics-orgid")
            .and_then(|value| value.to_str().ok());
        let Some(org) = org else {
            let message = "The header ZANALYTICS-ORGID is missing";
            return Err(Failure::new(8083, message));
        };
        if !store.orgs.contains(org) {
            return Err(Failure::new(7389, "The organisation does not exist"));
        }
        let workspace = endpoint.workspace().map(|id| store.workspace(id));
        match workspace.transpose()? {
            Some(workspace) if workspace.org != org => {
                let message = "The organisation does not fit the workspace";
                Err(Failure::new(self.options.org_mismatch, message))
            }
            _ => Ok(()),
        }
    }

    /// A refusal as an answer. That for too many calls is met with several statuses.
    pub(crate) fn refuse(&self, mut failure: Failure) -> Response {
        if failure.code == 6045 && failure.status.is_none() {
            let mut store = self.store();
            store.throttled += 1;
            failure.status = Some(match self.options.throttle_status {
                ThrottleStatus::Ok => 200,
                ThrottleStatus::BadRequest => 400,
                ThrottleStatus::TooMany => 429,
                ThrottleStatus::Rotate => match store.throttled % 3 {
                    1 => 200,
                    2 => 400,
                    _ => 429,
                },
            });
        }
        failure.into_response(self.options.error_code)
    }

    fn refuse_on_purpose(&self, refusal: ServiceRefusal) -> Response {
        let failure = Failure {
            status: refusal.status,
            ..Failure::new(refusal.code, "Refused by a fault of the sandbox")
        };
        match refusal.form {
            RefusalForm::Json => self.refuse(failure),
            RefusalForm::Quotes => failure.into_broken_json(),
            RefusalForm::Html => {
                let status = StatusCode::from_u16(refusal.status.unwrap_or(200));
                let page = "<html><body><h1>Sorry, something went wrong</h1></body></html>\n";
                (status.unwrap_or(StatusCode::OK), Html(page)).into_response()
            }
        }
    }
}

fn not_simulated(path: &str) -> Response {
    let message = format!("the stand-in of Zoho Analytics has no `{path}` for this method");
    (
        StatusCode::NOT_IMPLEMENTED,
        Json(json!({"sandbox": "not implemented", "message": message})),
    )
        .into_response()
}
