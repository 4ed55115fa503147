//! A stand-in of Zoho Analytics, written from the facts page `zoho-analytics.md` of the project, whose
//! section numbers the modules cite. State and routes are here; what it does not know it answers
//! with 501.

mod answer;
mod call;
mod callback;
mod commit;
mod config;
pub(crate) mod control;
mod criteria;
mod csv;
mod datatype;
mod date;
mod design;
mod endpoint;
mod export;
mod import;
mod import_batch;
mod import_job;
mod inputs;
mod inspect;
mod job;
mod metadata;
mod options;
mod prepare;
mod row_call;
mod rows;
mod settle;
mod spec;
mod store;
mod table;
mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;

use self::answer::Failure;
pub(crate) use self::answer::is_known_code;
pub use self::inspect::{ImportJobView, UsageView, ViewState};
pub use self::options::{
    AbortedRows, AnalyticsOptions, ConfigPlace, Emoji, EmptyCell, ErrorCode, Exponent, JobScope,
    LongText, Milliseconds, Plan, RowUnits, ThrottleStatus, Twins, UnitRounding,
};
use self::store::Store;
pub use self::table::LastImport;
use crate::activity::Activity;
use crate::faults::{FaultBoard, Reason, Refusal};
use crate::zoho::Accounts;

/// The stand-in of Zoho Analytics: its settings and everything that it keeps.
pub struct Analytics {
    options: AnalyticsOptions,
    store: Mutex<Store>,
    accounts: Arc<Accounts>,
    faults: Arc<FaultBoard>,
    activity: Arc<Activity>,
}

impl Analytics {
    pub(crate) fn new(
        options: AnalyticsOptions,
        accounts: Arc<Accounts>,
        faults: Arc<FaultBoard>,
        activity: Arc<Activity>,
    ) -> Analytics {
        Analytics {
            store: Mutex::new(Store::new(&options)),
            options,
            accounts,
            faults,
            activity,
        }
    }

    /// Returns to the state of the start.
    pub(crate) fn reset(&self) {
        *self.store() = Store::new(&self.options);
    }

    /// The clock is that of all stand-ins of Zoho.
    fn now_ms(&self) -> u64 {
        self.accounts.now_ms()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a path belongs to Zoho Analytics.
pub(crate) fn is_analytics(path: &str) -> bool {
    path.starts_with("/restapi/")
}

/// An answer in the shape of the service, for faults that stand in front of it.
pub(crate) fn refuse(analytics: &Analytics, refusal: Refusal) -> Response {
    let (code, message) = match (refusal.reason, refusal.status) {
        (Reason::Throttled, _) => (6045, "The number of API calls in a minute is exceeded"),
        (Reason::KeyExpired, _) => (8535, "The OAuth token is missing, invalid or expired"),
        (Reason::ScopeMissing, _) => (8540, "The OAuth token has not the scope"),
        (Reason::Broken, 500) => (7005, "Internal server error"),
        (Reason::Broken, status) => {
            let page = format!("<html><head><title>{status}</title></head></html>\n");
            let mut response = Html(page).into_response();
            *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
            return with_retry_after(response, refusal);
        }
    };
    let failure = Failure {
        status: Some(refusal.status),
        ..Failure::new(code, message)
    };
    with_retry_after(analytics.refuse(failure), refusal)
}

fn with_retry_after(mut response: Response, refusal: Refusal) -> Response {
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// All routes; they lead to one place, where paths are read.
pub(crate) fn routes(analytics: Arc<Analytics>) -> Router {
    Router::new()
        .route("/restapi/{*rest}", any(call::serve))
        .with_state(analytics)
}
