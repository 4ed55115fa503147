//! A stand-in of the Tetra Data Platform, written from the facts page `tetra-searcheql.md` of the
//! project, whose section numbers the modules cite. State and routes are here, each part of the API in
//! its module; the storage that links lead to listens on a port of its own.

mod activity_log;
mod answer;
mod artifact;
mod content;
pub(crate) mod control;
mod date;
mod document;
mod fileinfo;
mod find;
mod json;
mod limit;
mod mapping;
mod matching;
mod members;
mod options;
mod order;
mod projection;
mod query;
mod retrieve;
mod sample;
mod search;
mod sort;
pub(crate) mod storage;
mod store;
mod token;
mod verdicts;
mod view;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};

use self::answer::ApiError;
use self::limit::{Flight, Window};
pub use self::options::{
    Deleted, EqualKeys, GzipSize, Reprocess, Sample, TetraOptions, Total, Tracking,
};
use self::store::Store;
use self::token::Tokens;
use self::verdicts::Memory;
pub use self::view::{FileView, TetraCounts};
use crate::clock::Clock;
use crate::faults::{FaultBoard, Reason, Refusal};

/// The path that the platform is under.
const PREFIX: &str = "/tetra";

/// The largest body that is read.
const BODY_LIMIT: usize = 16 << 20;

/// The stand-in of the Tetra Data Platform: its settings, files, tokens and counters.
pub struct Tetra {
    options: TetraOptions,
    clock: Clock,
    faults: Arc<FaultBoard>,
    store: RwLock<Store>,
    /// What the last queries thought of documents.
    verdicts: Memory,
    tokens: Tokens,
    /// When the next file arrives by itself.
    next_arrival_ms: AtomicU64,
    searches: Window,
    retrieves: Window,
    searching: Arc<Flight>,
    retrieving: Arc<Flight>,
    downloading: Arc<Flight>,
    counters: Counters,
    requests: AtomicU64,
    storage: OnceLock<SocketAddr>,
}

/// What was counted since the start.
#[derive(Debug, Default)]
struct Counters {
    searches: AtomicU64,
    hits: AtomicU64,
    retrieves: AtomicU64,
    links: AtomicU64,
    downloads: AtomicU64,
    expired: AtomicU64,
    throttled: AtomicU64,
    unauthorized: AtomicU64,
    leaks: AtomicU64,
    reindexed_by_pages: AtomicU64,
}

impl Tetra {
    pub(crate) fn new(options: TetraOptions, faults: Arc<FaultBoard>) -> Tetra {
        let tetra = Tetra {
            options,
            clock: Clock::default(),
            faults,
            store: RwLock::default(),
            verdicts: Memory::default(),
            tokens: Tokens::default(),
            next_arrival_ms: AtomicU64::new(0),
            searches: Window::default(),
            retrieves: Window::default(),
            searching: Arc::default(),
            retrieving: Arc::default(),
            downloading: Arc::default(),
            counters: Counters::default(),
            requests: AtomicU64::new(0),
            storage: OnceLock::new(),
        };
        tetra.reset();
        tetra
    }

    /// Returns to the state of the start.
    pub(crate) fn reset(&self) {
        let now_ms = self.now_ms();
        let mut store = self.change();
        *store = sample::fill(&self.options, now_ms);
        self.verdicts.clear();
        drop(store);
        self.searches.reset();
        self.retrieves.reset();
        self.tokens.reset(&self.options.tokens);
        self.searching.reset();
        self.retrieving.reset();
        self.downloading.reset();
        self.counters.reset();
        let first = now_ms + self.options.arriving_ms.map_or(0, as_signed);
        self.next_arrival_ms
            .store(u64::try_from(first).unwrap_or(0), Ordering::Release);
    }

    /// Says where the storage listens.
    pub(crate) fn set_storage(&self, address: SocketAddr) {
        self.storage.get_or_init(|| address);
    }

    /// Milliseconds since 1970 by the clock of the service.
    pub fn now_ms(&self) -> i64 {
        as_signed(self.clock.now_ms()) + self.options.clock_skew_ms
    }

    /// Looks at the token and the organisation of a request. Facts: sections 1.2 and 4.
    fn enter(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let checked = self.tokens.check(headers, self.now_ms());
        checked.inspect_err(|_| count(&self.counters.unauthorized))?;
        let org = headers
            .get("x-org-slug")
            .and_then(|slug| slug.to_str().ok());
        if org != Some(self.options.org.as_str()) {
            return Err(ApiError::new(
                403,
                "User is not a member of the organization",
            ));
        }
        Ok(())
    }

    fn throttled(&self) -> ApiError {
        count(&self.counters.throttled);
        ApiError::Throttled(self.options.throttle_status, self.options.retry_after)
    }

    /// Ends the token that a request carries, as a fault asks for.
    pub(crate) fn end_token_of(&self, headers: &HeaderMap) {
        self.tokens.end_of(headers);
    }

    fn look(&self) -> RwLockReadGuard<'_, Store> {
        self.arrive();
        self.store
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Store> {
        self.store
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets the files come that have arrived by themselves since somebody last looked.
    fn arrive(&self) {
        let Some(between) = self.options.arriving_ms.map(|ms| ms.max(1)) else {
            return;
        };
        let now_ms = u64::try_from(self.now_ms()).unwrap_or(0);
        if self.next_arrival_ms.load(Ordering::Acquire) > now_ms {
            return;
        }
        let mut store = self.change();
        let mut next = self.next_arrival_ms.load(Ordering::Acquire);
        while next <= now_ms {
            sample::add(&mut store, &self.options, as_signed(next));
            next += between;
        }
        self.next_arrival_ms.store(next, Ordering::Release);
    }
}

impl Counters {
    fn reset(&self) {
        let all = [
            &self.searches,
            &self.hits,
            &self.retrieves,
            &self.links,
            &self.downloads,
            &self.expired,
            &self.throttled,
            &self.unauthorized,
            &self.leaks,
            &self.reindexed_by_pages,
        ];
        for counter in all {
            counter.store(0, Ordering::Release);
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}

fn as_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The routes of section 2.
pub(crate) fn routes(tetra: Arc<Tetra>) -> Router {
    let stamp = axum::middleware::from_fn_with_state(Arc::clone(&tetra), stamp);
    let api = Router::new()
        .route("/v1/datalake/searchEql", post(search::search))
        .route("/v1/datalake/retrieve", get(retrieve::retrieve))
        .route("/v1/datalake/delete", delete(fileinfo::delete))
        .route("/v1/datalake/upload", any(not_simulated))
        .route("/v1/datalake/queryActivityLog", get(activity_log::query))
        .route("/v1/datalake/metadata-tags", get(fileinfo::metadata_tags))
        .route("/v1/datalake/schemas", get(artifact::schemas))
        .route("/v1/fileinfo/file/{id}", get(fileinfo::get))
        .route("/v1/fileinfo/file/{id}/versions", get(fileinfo::versions))
        .route("/v1/artifacts/ids", get(artifact::list))
        .route(
            "/v1/artifacts/ids/{namespace}/{slug}/{version}/files/{file}",
            get(artifact::file),
        )
        .route("/v1/users/{id}/token", post(fileinfo::new_token))
        .route("/login", post(fileinfo::login))
        .fallback(not_simulated)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(stamp)
        .with_state(tetra);
    Router::new().nest(PREFIX, api)
}

async fn not_simulated(request: Request) -> ApiError {
    ApiError::not_simulated(format!("the path `{}`", request.uri().path()))
}

async fn no_such_method() -> ApiError {
    ApiError::new(404, "Not Found")
}

/// Gives every answer its id and the time of the service.
async fn stamp(State(tetra): State<Arc<Tetra>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    tetra.mark(&mut response);
    response
}

impl Tetra {
    fn mark(&self, response: &mut Response) {
        let number = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let id = format!(
            "{:08x}-0000-4000-9000-{number:012x}",
            content::scramble(number) >> 32
        );
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("ts-request-id", id);
        }
        self.date(headers);
    }

    fn date(&self, headers: &mut HeaderMap) {
        if let Ok(date) = HeaderValue::from_str(&date::write_http(self.now_ms())) {
            headers.insert(header::DATE, date);
        }
    }
}

/// Whether a path belongs to the platform.
pub(crate) fn is_tetra(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The answer of a fault.
pub(crate) fn refuse(tetra: &Tetra, refusal: Refusal) -> Response {
    let message = match refusal.reason {
        Reason::Throttled => "Too many requests",
        Reason::Broken => "An internal server error occurred",
        Reason::KeyExpired => "Invalid token",
        Reason::ScopeMissing => "Insufficient role",
    };
    let mut response = match refusal.retry_after {
        None => answer::refusal(refusal.status, message),
        seconds => ApiError::Throttled(refusal.status, seconds).into_response(),
    };
    tetra.mark(&mut response);
    response
}
