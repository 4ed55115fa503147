//! A stand-in of Zoho Catalyst Data Store, written from the facts page `catalyst-datastore.md` of the
//! project, whose section numbers the modules cite. State and routes are here, each part of the API
//! in its module.

mod answer;
mod bulk;
mod column;
mod condition;
pub(crate) mod control;
mod criteria;
mod event;
mod job;
mod options;
mod payload;
mod plain;
mod render;
mod row_api;
mod sample;
mod store;
mod table;
mod table_api;
mod view;
mod zcql;
mod zone;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use self::answer::ApiError;
use self::event::Events;
pub use self::event::{EventCounts, EventHook};
use self::job::Jobs;
pub use self::options::{
    CallbackParams, Comparators, DataStoreOptions, Deleted, Environment, Order, Sample, Shape,
    Written,
};
use self::render::Style;
use self::store::Store;
pub use self::view::{JobView, TableView};
use self::zone::Zone;
use crate::faults::FaultBoard;
use crate::zoho::{Accounts, Caller};

/// The name of the project.
const PROJECT_NAME: &str = "Fleet";

/// The largest body that is read.
const BODY_LIMIT: usize = 64 << 20;

/// The stand-in of Data Store: its settings, both environments, and the jobs.
pub struct DataStore {
    options: DataStoreOptions,
    zone: Zone,
    accounts: Arc<Accounts>,
    faults: Arc<FaultBoard>,
    store: RwLock<Store>,
    jobs: Mutex<Jobs>,
    events: Events,
    /// Requests that are being answered.
    entered: AtomicUsize,
}

/// How a request is answered.
#[derive(Debug)]
struct Context {
    environment: Environment,
    style: Style,
    caller: Caller,
}

impl DataStore {
    pub(crate) fn new(
        options: DataStoreOptions,
        accounts: Arc<Accounts>,
        faults: Arc<FaultBoard>,
    ) -> anyhow::Result<DataStore> {
        let zone = Zone::from_name(&options.time_zone)?;
        Ok(DataStore {
            store: RwLock::new(sample::fill(&options, now_of(&accounts))),
            zone,
            jobs: Mutex::default(),
            events: Events::new(event::hook_of(&options)),
            entered: AtomicUsize::new(0),
            accounts,
            faults,
            options,
        })
    }

    /// Returns to the state of the start.
    pub(crate) fn reset(&self) {
        *self.change() = sample::fill(&self.options, self.now_ms());
        *self.jobs() = Jobs::default();
        self.events.reset(event::hook_of(&self.options));
    }

    /// Looks at the token, the project and the headers of a request. Facts: section 1.2.
    fn enter(
        &self,
        project: &str,
        headers: &HeaderMap,
        scopes: &[&str],
    ) -> Result<Context, ApiError> {
        let caller = self.accounts.authorize(headers, scopes)?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if project.parse() != Ok(self.options.project) {
            return Err(ApiError::no_such(format!("project {project}")));
        }
        if text("catalyst-org").is_some_and(|org| org.parse() != Ok(self.options.org)) {
            return Err(ApiError::new(
                403,
                "NO_ACCESS",
                "You do not have access to this organization",
            ));
        }
        let environment = match text("environment").or_else(|| text("x-catalyst-environment")) {
            None => self.options.environment,
            Some(name) => Environment::from_name(name)
                .ok_or_else(|| ApiError::invalid("Invalid value for the header Environment"))?,
        };
        let is_v2 = text(header::ACCEPT.as_str())
            .is_some_and(|accept| accept.contains("application/vnd.catalyst.v2"));
        Ok(Context {
            environment,
            style: self.style(if is_v2 { Written::Text } else { Written::Json }),
            caller,
        })
    }

    fn style(&self, ids: Written) -> Style {
        Style {
            zone: self.zone,
            ids,
            numbers: self.options.numbers,
            booleans: self.options.booleans,
        }
    }

    /// Milliseconds since 1970 by the clock of Zoho's stand-ins.
    fn now_ms(&self) -> i64 {
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
}

fn now_of(accounts: &Accounts) -> i64 {
    i64::try_from(accounts.now_ms()).unwrap_or(i64::MAX)
}

/// The routes of section 2, at the root of the port.
pub(crate) fn routes(datastore: Arc<DataStore>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&datastore), limit_concurrency);
    let api = Router::new()
        .route("/table", get(table_api::list))
        .route("/table/{table}", get(table_api::get))
        .route("/table/{table}/column", get(table_api::columns))
        .route("/table/{table}/column/{column}", get(table_api::column))
        .route("/table/{table}/truncate", delete(row_api::truncate))
        .route(
            "/table/{table}/row",
            get(row_api::page)
                .post(row_api::insert)
                .put(row_api::update)
                .patch(row_api::update)
                .delete(row_api::delete_many),
        )
        .route(
            "/table/{table}/row/{row}",
            get(row_api::get).delete(row_api::delete_one),
        )
        .route("/query", post(zcql::query))
        .route("/bulk/read", post(bulk::create))
        .route("/bulk/read/{job}", get(bulk::poll))
        .route("/bulk/read/{job}/download", get(bulk::download))
        .route_layer(guard)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_simulated)
        .with_state(datastore);
    Router::new().nest("/baas/v1/project/{project}", api)
}

async fn wrong_method() -> ApiError {
    ApiError::new(405, "INVALID_REQUEST_METHOD", "Invalid request method")
}

async fn not_simulated(request: Request) -> ApiError {
    ApiError::not_simulated(format!("the path `{}`", request.uri().path()))
}

/// Refuses what comes while too much is being answered.
async fn limit_concurrency(
    State(datastore): State<Arc<DataStore>>,
    request: Request,
    next: Next,
) -> Response {
    struct Entered(Arc<DataStore>);

    impl Drop for Entered {
        fn drop(&mut self) {
            self.0.entered.fetch_sub(1, Ordering::AcqRel);
        }
    }

    let before = datastore.entered.fetch_add(1, Ordering::AcqRel);
    let limit = datastore.options.concurrency;
    let _entered = Entered(datastore);
    if limit.is_some_and(|limit| before >= limit) {
        crate::body::drain(request.into_body()).await;
        return too_many("DATASTORE").into_response();
    }
    next.run(request).await
}

fn too_many(feature: &str) -> ApiError {
    let message = format!("The concurrency limit of the feature {feature} has been reached");
    ApiError::new(429, "TOO_MANY_REQUESTS", message)
}
