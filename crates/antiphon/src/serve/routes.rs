//! The routes, the guard before them, the headers on every answer. Nothing here changes anything.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::serve::access::{self, Access, Shown};
use crate::serve::load::{Loaded, Loader};
use crate::serve::notice::Login;
use crate::serve::page::{Page, Part};
use crate::serve::view::Outage;
use crate::serve::{metrics, notice, overview, page, pipeline, run_page, states};
use crate::spec;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) loader: Loader,
    pub(crate) access: Access,
}

impl Site {
    fn now(&self) -> DateTime<Utc> {
        self.loader.session().clock().now()
    }

    fn pipeline(&self, name: &str) -> Option<&spec::Pipeline> {
        self.loader.session().project.pipelines.get(name)
    }

    fn show(&self, status: StatusCode, page: &Page, part: Part) -> Response {
        page::answer(status, &self.loader.project(), page, part)
    }

    fn show_missing_pipeline(&self, name: &str, part: Part) -> Response {
        let known: Vec<&str> = self
            .loader
            .session()
            .project
            .pipelines
            .keys()
            .map(String::as_str)
            .collect();
        self.show(
            StatusCode::NOT_FOUND,
            &notice::no_pipeline(name, &known),
            part,
        )
    }

    fn show_outage(&self, outage: &Outage, part: Part) -> Response {
        let page = notice::outage(outage, self.now());
        self.show(StatusCode::SERVICE_UNAVAILABLE, &page, part)
    }

    /// A view as a page; a view that is not there is a page that says so.
    fn show_loaded<T>(
        &self,
        loaded: Loaded<Option<T>>,
        part: Part,
        draw: impl FnOnce(&T) -> Page,
        missing: impl FnOnce() -> Page,
    ) -> Response {
        match loaded {
            Ok(Some(view)) => self.show(StatusCode::OK, &draw(&view), part),
            Ok(None) => self.show(StatusCode::NOT_FOUND, &missing(), part),
            Err(outage) => self.show_outage(&outage, part),
        }
    }
}

type Shared = State<Arc<Site>>;
type Named<T> = Result<Path<T>, PathRejection>;
type Asked<T> = Result<Query<T>, QueryRejection>;

/// All routes.
pub(crate) fn routes(site: Site) -> Router {
    let site = Arc::new(site);
    Router::new()
        .route("/", get(show_overview))
        .route("/pipelines/{pipeline}", get(show_pipeline))
        .route("/pipelines/{pipeline}/runs/{run}", get(show_run))
        .route("/pipelines/{pipeline}/runs/{run}/log", get(show_log))
        .route("/pipelines/{pipeline}/states", get(show_states))
        .route("/pipelines/{pipeline}/states/{versions}", get(show_state))
        .route("/api/pipelines", get(list_pipelines))
        .route("/api/pipelines/{pipeline}", get(describe_pipeline))
        .route("/healthz", get(tell_health))
        .route("/metrics", get(tell_metrics))
        .route("/login", post(log_in).get(show_login))
        .fallback(show_nothing)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
        .layer(middleware::map_response(with_headers))
        .with_state(site)
}

/// Lets through who may look and only looks.
async fn guard(State(site): Shared, request: Request, next: Next) -> Response {
    let method = request.method();
    let path = request.uri().path();
    let is_login = path == "/login" && site.access.has_token();
    let reads = method == Method::GET || method == Method::HEAD;
    let signs_in = is_login && method == Method::POST;
    if !reads && !signs_in {
        let text = "405: this page is read-only; GET and HEAD are all there is\n";
        let mut response = (StatusCode::METHOD_NOT_ALLOWED, text).into_response();
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return response;
    }
    if !site.access.is_known_host(request.uri(), request.headers()) {
        let text = "403: this server does not go by that name; call it localhost or 127.0.0.1, \
                    or start it with `--host NAME`\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if is_login || path == "/healthz" {
        return next.run(request).await;
    }
    let now = site.now();
    match site.access.judge(request.uri(), request.headers(), now) {
        Shown::Welcome => next.run(request).await,
        Shown::InAddress(clean) => enter(&site, request.headers(), &clean),
        Shown::Wrong => refuse(&site, &request, Login::Wrong),
        Shown::Nothing => refuse(&site, &request, Login::First),
    }
}

/// Gives a browser its cookie and sends it on.
fn enter(site: &Site, headers: &HeaderMap, to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let cookie = site.access.cookie(headers, site.now());
    let cookie = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok());
    let to = HeaderValue::try_from(access::local(to)).ok();
    let pairs = [(header::SET_COOKIE, cookie), (header::LOCATION, to)];
    for (name, value) in pairs {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Asks for the token: a person by a form, a program by a line.
fn refuse(site: &Site, request: &Request, login: Login) -> Response {
    let accepts = request.headers().get(header::ACCEPT);
    let is_browser = accepts
        .and_then(|accepts| accepts.to_str().ok())
        .is_some_and(|accepts| accepts.contains("text/html"));
    let mut response = if is_browser {
        let page = notice::login(login, access::local(request.uri().path()));
        site.show(StatusCode::UNAUTHORIZED, &page, Part::Whole)
    } else {
        let text = match login {
            Login::First => "401: a token is wanted: `Authorization: Bearer TOKEN`\n",
            Login::Wrong => "401: that is not the token\n",
        };
        (StatusCode::UNAUTHORIZED, text).into_response()
    };
    let scheme = HeaderValue::from_static("Bearer realm=\"antiphon\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// Every answer: not kept, not guessed at, not framed, told to nobody.
async fn with_headers(mut response: Response) -> Response {
    const EACH: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in EACH {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn part(headers: &HeaderMap) -> Part {
    if headers.contains_key(page::FRAGMENT) {
        Part::Fragment
    } else {
        Part::Whole
    }
}

/// The number of a page in a query; what is no number is the first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageNumber {
    page: String,
}

fn page_number(asked: Asked<PageNumber>) -> usize {
    let number = asked.ok().and_then(|Query(asked)| asked.page.parse().ok());
    number.unwrap_or(1)
}

async fn show_overview(
    State(site): Shared,
    asked: Asked<overview::Query>,
    headers: HeaderMap,
) -> Response {
    let query = asked.map(|Query(query)| query).unwrap_or_default();
    let loaded = site.loader.overview().await;
    let now = site.now();
    let (status, page) = match loaded {
        Ok(view) => (StatusCode::OK, overview::page(&view, &query, now)),
        Err(outage) => {
            let page = overview::page_of_outage(&outage, &query, now);
            (StatusCode::SERVICE_UNAVAILABLE, page)
        }
    };
    site.show(status, &page, part(&headers))
}

async fn show_pipeline(
    State(site): Shared,
    named: Named<String>,
    asked: Asked<PageNumber>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(name)) = named else {
        return show_nothing(State(site), headers).await;
    };
    let Some(spec) = site.pipeline(&name) else {
        return site.show_missing_pipeline(&name, part(&headers));
    };
    match site.loader.pipeline(spec, page_number(asked)).await {
        Ok(view) => site.show(
            StatusCode::OK,
            &pipeline::page(&view, site.now()),
            part(&headers),
        ),
        Err(outage) => site.show_outage(&outage, part(&headers)),
    }
}

async fn show_run(
    State(site): Shared,
    named: Named<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((name, run))) = named else {
        return show_nothing(State(site), headers).await;
    };
    let part = part(&headers);
    if site.pipeline(&name).is_none() {
        return site.show_missing_pipeline(&name, part);
    }
    let loaded = site.loader.run(&name, &run).await;
    let now = site.now();
    site.show_loaded(
        loaded,
        part,
        |view| run_page::page(view, now),
        || notice::not_kept(&name, "such run"),
    )
}

async fn show_log(
    State(site): Shared,
    named: Named<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((name, run))) = named else {
        return show_nothing(State(site), headers).await;
    };
    let part = part(&headers);
    if site.pipeline(&name).is_none() {
        return site.show_missing_pipeline(&name, part);
    }
    match site.loader.log(&name, &run).await {
        Ok(Some(log)) => plain(Body::from(log)),
        Ok(None) => {
            let page = notice::not_kept(&name, "log of such a run");
            site.show(StatusCode::NOT_FOUND, &page, part)
        }
        Err(outage) => site.show_outage(&outage, part),
    }
}

fn plain(body: Body) -> Response {
    let mut response = Response::new(body);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

async fn show_states(
    State(site): Shared,
    named: Named<String>,
    asked: Asked<PageNumber>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(name)) = named else {
        return show_nothing(State(site), headers).await;
    };
    let part = part(&headers);
    if site.pipeline(&name).is_none() {
        return site.show_missing_pipeline(&name, part);
    }
    match site.loader.states(&name, page_number(asked)).await {
        Ok(view) => {
            let page = states::page_of_versions(&name, &view, site.now());
            site.show(StatusCode::OK, &page, part)
        }
        Err(outage) => site.show_outage(&outage, part),
    }
}

async fn show_state(
    State(site): Shared,
    named: Named<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((name, versions))) = named else {
        return show_nothing(State(site), headers).await;
    };
    let part = part(&headers);
    if site.pipeline(&name).is_none() {
        return site.show_missing_pipeline(&name, part);
    }
    let missing = || notice::not_kept(&name, "such version of its state");
    let now = site.now();
    let number = |text: &str| text.parse::<u64>().ok();
    let numbers = match versions.split_once("..") {
        Some((before, after)) => number(before).map(|before| (before, Some(number(after)))),
        None => number(&versions).map(|version| (version, None)),
    };
    match numbers {
        Some((version, None)) => {
            let loaded = site.loader.state(&name, version).await;
            site.show_loaded(
                loaded,
                part,
                |view| states::page_of_version(view, now),
                missing,
            )
        }
        Some((before, Some(Some(after)))) => {
            let loaded = site.loader.diff(&name, before, after).await;
            site.show_loaded(
                loaded,
                part,
                |view| states::page_of_diff(view, now),
                missing,
            )
        }
        Some((_, Some(None))) | None => site.show(StatusCode::NOT_FOUND, &missing(), part),
    }
}

async fn show_nothing(State(site): Shared, headers: HeaderMap) -> Response {
    site.show(StatusCode::NOT_FOUND, &notice::no_page(), part(&headers))
}

/// What scripts get of a pipeline.
#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = match serde_json::to_vec(value) {
        Ok(bytes) => (status, bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let form = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, form);
    response
}

async fn list_pipelines(State(site): Shared) -> Response {
    match site.loader.overview().await {
        Ok(view) => json(StatusCode::OK, &*view),
        Err(outage) => {
            let error = Error {
                error: &outage.message,
            };
            json(StatusCode::SERVICE_UNAVAILABLE, &error)
        }
    }
}

async fn describe_pipeline(
    State(site): Shared,
    named: Named<String>,
    asked: Asked<PageNumber>,
) -> Response {
    let spec = named.ok().and_then(|Path(name)| site.pipeline(&name));
    let Some(spec) = spec else {
        let error = Error {
            error: "there is no such pipeline",
        };
        return json(StatusCode::NOT_FOUND, &error);
    };
    match site.loader.pipeline(spec, page_number(asked)).await {
        Ok(view) => json(StatusCode::OK, &view),
        Err(outage) => {
            let error = Error {
                error: &outage.message,
            };
            json(StatusCode::SERVICE_UNAVAILABLE, &error)
        }
    }
}

async fn tell_health(State(site): Shared) -> Response {
    match site.loader.healthy().await {
        Ok(()) => plain(Body::from("ok\n")),
        Err(error) => {
            tracing::warn!(error = %error, "the store cannot be read");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store cannot be read\n",
            )
                .into_response()
        }
    }
}

async fn tell_metrics(State(site): Shared) -> Response {
    match site.loader.overview().await {
        Ok(view) => {
            let mut response = Response::new(Body::from(metrics::text(&view)));
            let form = HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, form);
            response
        }
        Err(outage) => {
            let text = format!("# {}\n", outage.message.replace('\n', " "));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn show_login(State(site): Shared, headers: HeaderMap) -> Response {
    if !site.access.has_token() {
        return show_nothing(State(site), headers).await;
    }
    site.show(
        StatusCode::OK,
        &notice::login(Login::First, "/"),
        Part::Whole,
    )
}

/// A form is short: a token and a way back.
const MOST_OF_A_FORM: usize = 8 << 10;

async fn log_in(State(site): Shared, request: Request) -> Response {
    let headers = request.headers().clone();
    let form = axum::body::to_bytes(request.into_body(), MOST_OF_A_FORM).await;
    let form = form.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (mut token, mut back) = (String::new(), "/".to_owned());
    for pair in form.unwrap_or_default().split('&') {
        match pair.split_once('=') {
            Some(("token", value)) => token = access::decode(value),
            Some(("back", value)) => back = access::decode(value),
            _ => {}
        }
    }
    if site.access.knows(&token) {
        return enter(&site, &headers, &back);
    }
    let page = notice::login(Login::Wrong, access::local(&back));
    site.show(StatusCode::UNAUTHORIZED, &page, Part::Whole)
}
