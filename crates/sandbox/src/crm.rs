//! A stand-in of Zoho CRM, written from the facts page `zoho-crm.md` of the project, whose section
//! numbers the modules cite. State and routes are here, each part of the API in its module.

mod answer;
mod bulk_read;
mod bulk_write;
mod catalog;
mod column;
mod condition;
pub(crate) mod control;
mod coql;
mod credits;
mod criteria;
mod csv;
mod deleted_api;
mod field;
mod job;
mod metadata_api;
mod module;
mod multipart;
mod options;
mod plan;
mod query;
mod read_job;
mod record_api;
mod sample;
mod store;
mod table;
mod unzip;
mod upload;
mod value;
mod version;
mod view;
mod write_job;
mod write_row;
mod zone;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use self::answer::ApiError;
pub(crate) use self::answer::{is_crm, refuse};
use self::credits::Credits;
use self::job::Jobs;
use self::module::Module;
pub use self::options::{
    CrmOptions, CrmSample, EqualKeys, FindBy, Separator, UnknownPicks, WriteResult,
};
pub use self::store::Deletion;
use self::store::Store;
use self::version::Version;
pub use self::view::{CreditView, CrmJobView, ModuleView};
use self::zone::Zone;
use crate::activity::Activity;
use crate::faults::FaultBoard;
use crate::zoho::Accounts;

/// The largest body of JSON that is read.
const BODY_LIMIT: usize = 64 << 20;

/// COQL queries that are answered at the same time.
const HEAVY: usize = 10;

/// The stand-in of CRM: its settings, its records, and the jobs.
pub struct Crm {
    options: CrmOptions,
    zone: Zone,
    accounts: Arc<Accounts>,
    faults: Arc<FaultBoard>,
    activity: Arc<Activity>,
    store: RwLock<Store>,
    jobs: Mutex<Jobs>,
    credits: Mutex<Credits>,
    denials: Mutex<Vec<Denial>>,
    /// Jobs of one organisation run one after the other.
    turn: Mutex<()>,
    /// Requests that are being answered, and queries among them.
    entered: AtomicUsize,
    heavy: AtomicUsize,
}

/// Something that the profile of the user does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Denial {
    /// The module, or `*`.
    module: String,
    /// `read`, `write`, `metadata`, or `*`.
    action: String,
    code: &'static str,
}

impl Crm {
    pub(crate) fn new(
        options: CrmOptions,
        accounts: Arc<Accounts>,
        faults: Arc<FaultBoard>,
        activity: Arc<Activity>,
    ) -> anyhow::Result<Crm> {
        let crm = Crm {
            zone: Zone::from_name(&options.time_zone)?,
            store: RwLock::new(sample::fill(&options, accounts.user(), now_of(&accounts))),
            jobs: Mutex::default(),
            credits: Mutex::default(),
            denials: Mutex::default(),
            turn: Mutex::default(),
            entered: AtomicUsize::new(0),
            heavy: AtomicUsize::new(0),
            options,
            accounts,
            faults,
            activity,
        };
        Ok(crm)
    }

    /// Returns to the state of the start; the clock stays where it is.
    pub(crate) fn reset(&self) {
        *self.change() = sample::fill(&self.options, self.accounts.user(), self.now());
        *self.jobs() = Jobs::default();
        *self.credits() = Credits::default();
        self.denials().clear();
    }

    /// Looks at the version, the token and the credits of a request.
    fn enter(
        &self,
        version: &str,
        headers: &HeaderMap,
        scopes: &[&str],
        cost: u64,
    ) -> Result<Version, ApiError> {
        let known = Version::from_name(version)
            .ok_or_else(|| ApiError::new(404, "INVALID_URL_PATTERN", json!({})))?;
        self.accounts.authorize(headers, scopes)?;
        if !self
            .credits()
            .take(cost, self.options.credits, self.now_ms())
        {
            return Err(ApiError::too_many());
        }
        Ok(known)
    }

    /// Looks at the scopes and the permissions for a module. Facts: `zoho-oauth.md`, section 4.
    fn enter_module(
        &self,
        headers: &HeaderMap,
        module: &Module,
        access: Access,
    ) -> Result<(), ApiError> {
        let operation = match access {
            Access::Read => "READ",
            Access::Write => "CREATE",
        };
        let own = if module.is_custom() {
            "custom"
        } else {
            module.name.as_str()
        };
        let own = format!("ZohoCRM.modules.{own}.{operation}");
        let all = format!("ZohoCRM.modules.{operation}");
        self.accounts.authorize(headers, &[&own, &all])?;
        let action = match access {
            Access::Read => "read",
            Access::Write => "write",
        };
        self.check_allowed(&module.name, action)
    }

    fn check_allowed(&self, module: &str, action: &str) -> Result<(), ApiError> {
        let is_meant = |denied: &str, wanted: &str| denied == "*" || denied == wanted;
        let denials = self.denials();
        let denial = denials
            .iter()
            .find(|denial| is_meant(&denial.module, module) && is_meant(&denial.action, action));
        let Some(denial) = denial else {
            return Ok(());
        };
        let status = match denial.code {
            "NO_PERMISSION" if action != "metadata" => 403,
            _ => 400,
        };
        let details = json!({"permissions": [format!("Crm_Implied_View_{module}")]});
        Err(ApiError::new(status, denial.code, details))
    }

    /// Milliseconds since 1970 by the clock of Zoho's stand-ins.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.accounts.now_ms()).unwrap_or(i64::MAX)
    }

    /// The same in whole seconds, as the service counts.
    fn now(&self) -> i64 {
        now_of(&self.accounts)
    }

    fn look(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credits(&self) -> MutexGuard<'_, Credits> {
        self.credits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn denials(&self) -> MutexGuard<'_, Vec<Denial>> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is done to a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn now_of(accounts: &Accounts) -> i64 {
    i64::try_from(accounts.now_ms() / 1000).unwrap_or(i64::MAX)
}

/// The routes of section 1, at the root of the port.
pub(crate) fn routes(crm: Arc<Crm>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&crm), guard);
    let api = Router::new()
        .route("/bulk/{version}/read", post(bulk_read::create))
        .route("/bulk/{version}/read/{job}", get(bulk_read::poll))
        .route(
            "/bulk/{version}/read/{job}/result",
            get(bulk_read::download),
        )
        .route("/bulk/{version}/write", post(bulk_write::create))
        .route("/bulk/{version}/write/{job}", get(bulk_write::poll))
        .route("/{version}/upload", post(upload::upload))
        .route("/{version}/org", get(metadata_api::organisation))
        .route("/{version}/settings/modules", get(metadata_api::modules))
        .route(
            "/{version}/settings/modules/{module}",
            get(metadata_api::module),
        )
        .route("/{version}/settings/fields", get(metadata_api::fields))
        .route("/{version}/coql", post(coql::query))
        .route("/{version}/{module}", get(record_api::list))
        .route("/{version}/{module}/actions/count", get(record_api::count))
        .route("/{version}/{module}/deleted", get(deleted_api::list))
        .route_layer(guard)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .with_state(Arc::clone(&crm));
    let mut results = Router::new();
    for version in Version::names() {
        let path = format!("/{version}/crm/{{org}}/bulk-write/{{job}}/{{file}}");
        results = results.route(&path, get(bulk_write::download));
    }
    Router::new()
        .nest("/crm", api)
        .merge(results.with_state(crm))
}

async fn wrong_method() -> ApiError {
    ApiError::bad("INVALID_REQUEST_METHOD", json!({}))
}

async fn unknown_path(request: Request) -> ApiError {
    // What looks like a record or a related list is there in the real service.
    let path = request.uri().path();
    if path.split('/').filter(|part| !part.is_empty()).count() > 2 {
        return ApiError::not_simulated(format!("the path `{path}`"));
    }
    ApiError::new(404, "INVALID_URL_PATTERN", json!({}))
}

/// Refuses what comes while too much is being answered, and tells how many credits are left once half
/// of them are gone.
async fn guard(State(crm): State<Arc<Crm>>, request: Request, next: Next) -> Response {
    let is_heavy = request.uri().path().ends_with("/coql");
    let entered = Entered::new(&crm, is_heavy);
    if entered.is_too_much() {
        crate::body::drain(request.into_body()).await;
        return ApiError::too_many().into_response();
    }
    let mut response = next.run(request).await;
    let limit = crm.options.credits;
    let remaining = crm.credits().remaining(limit, crm.now_ms());
    if remaining <= limit / 2 {
        let headers = response.headers_mut();
        headers.insert("x-api-credits-remaining", HeaderValue::from(remaining));
    }
    response
}

/// A request that is being answered.
struct Entered {
    crm: Arc<Crm>,
    before: usize,
    heavy_before: Option<usize>,
}

impl Entered {
    fn new(crm: &Arc<Crm>, is_heavy: bool) -> Entered {
        Entered {
            before: crm.entered.fetch_add(1, Ordering::AcqRel),
            heavy_before: is_heavy.then(|| crm.heavy.fetch_add(1, Ordering::AcqRel)),
            crm: Arc::clone(crm),
        }
    }

    fn is_too_much(&self) -> bool {
        self.before >= self.crm.options.concurrency
            || self.heavy_before.is_some_and(|before| before >= HEAVY)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.crm.entered.fetch_sub(1, Ordering::AcqRel);
        if self.heavy_before.is_some() {
            self.crm.heavy.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
