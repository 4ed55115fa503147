//! A stand-in of Google BigQuery, written from the facts page `bigquery.md`: its REST API, its Storage
//! Write API, and as much SQL as loaders send. Comments name the sections of that page. What it does
//! not know it answers with 501.

mod access;
mod answer;
pub(crate) mod base64;

pub(crate) mod control;
mod copy;
mod dataset;
mod decode;
mod encode;
mod insert_all;
mod job;
mod job_api;
mod literal;
mod load;
mod name;
mod options;
mod query;
mod query_api;
mod quota;
mod request;
mod rows_api;
mod runner;
mod schema;
pub(crate) mod sql;
mod statement;
mod store;
pub(crate) mod table;
mod table_api;
mod table_body;
mod token;
mod upload;
pub(crate) mod value;
mod view;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use self::access::Denied;
use self::answer::ApiError;
use self::literal::Excess;
pub use self::options::{BigQueryOptions, ExcessDigits};
use self::quota::Limits;
use self::store::Store;
use self::table::TableName;
pub use self::view::{JobView, TableView};
use crate::activity::{Activity, Tally};
use crate::clock::Clock;
use crate::faults::FaultBoard;

/// The stand-in of BigQuery: its settings and everything that it keeps.
pub struct BigQuery {
    options: BigQueryOptions,
    store: Mutex<Store>,
    clock: Clock,
    faults: Arc<FaultBoard>,
    activity: Arc<Activity>,
}

impl BigQuery {
    pub(crate) fn new(
        options: BigQueryOptions,
        faults: Arc<FaultBoard>,
        activity: Arc<Activity>,
    ) -> BigQuery {
        BigQuery {
            store: Mutex::new(Store::new(limits(&options))),
            options,
            clock: Clock::default(),
            faults,
            activity,
        }
    }

    /// Returns to the state of the start.
    pub(crate) fn reset(&self) {
        *self.store() = Store::new(limits(&self.options));
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of digits that NUMERIC has no place for.
    fn excess(&self) -> Excess {
        match self.options.excess_digits {
            ExcessDigits::Refuse => Excess::Refuse,
            ExcessDigits::Round => Excess::Round,
        }
    }

    /// Carries out the jobs whose time has come, and lets tables go whose time has.
    fn settle(&self) {
        let now_ms = self.now_ms();
        self.store().expire(now_ms);
        loop {
            let due = self.store().jobs.due(now_ms);
            let Some(key) = due else {
                return;
            };
            job_api::execute(self, &key);
        }
    }

    /// Counts records for the page and the state request.
    fn tally(&self, table: &TableName, records: usize, errors: usize, bytes: usize) {
        self.activity.tally(&Tally {
            table: format!("bigquery/{}.{}", table.dataset, table.table),
            bytes: bytes as u64,
            records: (records + errors) as u64,
            updated: records as u64,
            errors: errors as u64,
            ..Tally::default()
        });
    }
}

fn limits(options: &BigQueryOptions) -> Limits {
    Limits {
        table_jobs_per_day: options.table_jobs_per_day,
        metadata_updates: options.metadata_updates,
        loads: options.loads,
        queued_dml: options.queued_dml,
    }
}

/// An answer in the shape of the service, for faults that stand in front of it.
pub(crate) fn refusal(code: u16, reason: &'static str, message: String) -> Response {
    ApiError::new(code, reason, message).into_response()
}

/// All routes: REST below `/bigquery` and at the root, gRPC at the root, and the token endpoints.
pub(crate) fn routes(bigquery: Arc<BigQuery>) -> Router {
    let rest = rest(&bigquery);
    Router::new()
        .nest("/bigquery", rest.clone())
        .merge(rest)
        .merge(token::routes(Arc::clone(&bigquery)))
        .merge(write::routes(bigquery))
}

fn rest(bigquery: &Arc<BigQuery>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(bigquery), enter);
    let api = Router::new()
        .route("/datasets", get(dataset::list).post(dataset::insert))
        .route(
            "/datasets/{dataset}",
            get(dataset::get)
                .patch(dataset::patch)
                .put(dataset::patch)
                .delete(dataset::delete),
        )
        .route(
            "/datasets/{dataset}/tables",
            get(table_api::list).post(table_api::insert),
        )
        .route(
            "/datasets/{dataset}/tables/{table}",
            get(table_api::get)
                .patch(table_api::patch)
                .put(table_api::update)
                .delete(table_api::delete)
                .post(table_api::test_permissions),
        )
        .route(
            "/datasets/{dataset}/tables/{table}/data",
            get(rows_api::list),
        )
        .route(
            "/datasets/{dataset}/tables/{table}/insertAll",
            post(insert_all::insert_all),
        )
        .route("/jobs", get(job_api::list).post(job_api::insert))
        .route("/jobs/{job}", get(job_api::get))
        .route("/jobs/{job}/cancel", post(job_api::cancel))
        .route("/queries", post(query_api::query))
        .route("/queries/{job}", get(query_api::results));
    let upload = Router::new().route("/jobs", post(upload::begin).put(upload::resume));
    Router::new()
        .nest("/bigquery/v2/projects/{project}", api)
        .nest("/upload/bigquery/v2/projects/{project}", upload)
        .route_layer(guard)
        .with_state(Arc::clone(bigquery))
}

/// Looks at the token of a request, after what is due was done.
async fn enter(State(bigquery): State<Arc<BigQuery>>, request: Request, next: Next) -> Response {
    bigquery.settle();
    let checked = bigquery.store().access.check_bearer(
        request.headers(),
        bigquery.options.anonymous,
        bigquery.now_ms(),
    );
    match checked {
        Ok(()) => next.run(request).await,
        Err(error) => {
            crate::body::drain(request.into_body()).await;
            error.into_response()
        }
    }
}
