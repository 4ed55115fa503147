//! Where tokens come from: the OAuth endpoint for assertions, the metadata server, and the exchange of
//! outside identities. Facts: section 1.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::BigQuery;
use super::access::{self, check_times, has_scope};
use super::request::WholeBody;
use crate::form;

/// The grant of an assertion that a service account signs.
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The grant of an exchange of tokens.
const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The header that a metadata server insists on, and its value.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// The account that the metadata server and tokens stand for.
const EMAIL: &str = "sandbox@sandbox-project.iam.gserviceaccount.com";

pub(crate) fn routes(bigquery: Arc<BigQuery>) -> Router {
    Router::new()
        .route("/token", post(grant))
        .route("/bigquery/token", post(grant))
        .route("/v1/token", post(exchange))
        .route("/bigquery/v1/token", post(exchange))
        .route(
            "/computeMetadata/v1/instance/service-accounts/default/token",
            get(metadata_token),
        )
        .route(
            "/computeMetadata/v1/instance/service-accounts/default/email",
            get(metadata_email),
        )
        .route(
            "/computeMetadata/v1/project/project-id",
            get(metadata_project),
        )
        .with_state(bigquery)
}

/// An access token for an assertion, or for the refresh token of a user.
async fn grant(
    State(bigquery): State<Arc<BigQuery>>,
    headers: HeaderMap,
    body: WholeBody,
) -> Response {
    let form = match form(&headers, &body.0) {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    match field("grant_type") {
        ASSERTION_GRANT => {
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .unwrap_or_default();
            match check_assertion(field("assertion"), host, bigquery.now_ms() / 1000) {
                Ok(()) => give(&bigquery),
                Err(description) => refuse("invalid_grant", description),
            }
        }
        "refresh_token" => {
            let known = field("refresh_token").starts_with("sandbox-")
                && !field("client_id").is_empty()
                && !field("client_secret").is_empty();
            if known {
                give(&bigquery)
            } else {
                refuse("invalid_grant", "Token has been expired or revoked.")
            }
        }
        _ => refuse("unsupported_grant_type", "Invalid grant_type"),
    }
}

/// An access token for a token of another identity provider.
async fn exchange(
    State(bigquery): State<Arc<BigQuery>>,
    headers: HeaderMap,
    body: WholeBody,
) -> Response {
    // Google's own clients send a form, its REST reference shows JSON.
    let form = if is_json(&headers) {
        let object = serde_json::from_slice::<Value>(&body.0).unwrap_or_default();
        let names = [
            ("grantType", "grant_type"),
            ("subjectToken", "subject_token"),
            ("subjectTokenType", "subject_token_type"),
            ("audience", "audience"),
            ("scope", "scope"),
        ];
        names
            .into_iter()
            .filter_map(|(json, form)| Some((form.to_owned(), object[json].as_str()?.to_owned())))
            .collect()
    } else {
        match form(&headers, &body.0) {
            Ok(form) => form,
            Err(response) => return *response,
        }
    };
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    if field("grant_type") != EXCHANGE_GRANT {
        return refuse("unsupported_grant_type", "Invalid grant_type");
    }
    let whole = ["subject_token", "subject_token_type", "audience"];
    if whole.iter().any(|name| field(name).is_empty()) {
        return refuse(
            "invalid_request",
            "subject_token, subject_token_type and audience are required",
        );
    }
    if field("subject_token").starts_with("expired") {
        return refuse("invalid_grant", "The subject token is expired");
    }
    let mut body = token_body(&bigquery);
    body["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
    Json(body).into_response()
}

async fn metadata_token(State(bigquery): State<Arc<BigQuery>>, headers: HeaderMap) -> Response {
    if !has_flavor(&headers) {
        return no_flavor();
    }
    flavored(Json(token_body(&bigquery)).into_response())
}

async fn metadata_email(headers: HeaderMap) -> Response {
    if !has_flavor(&headers) {
        return no_flavor();
    }
    flavored(EMAIL.into_response())
}

async fn metadata_project(State(bigquery): State<Arc<BigQuery>>, headers: HeaderMap) -> Response {
    if !has_flavor(&headers) {
        return no_flavor();
    }
    flavored(bigquery.options.project.clone().into_response())
}

/// What is wrong with an assertion, in Google's words. Nobody looks at its signature here.
fn check_assertion(assertion: &str, host: &str, now: u64) -> Result<(), &'static str> {
    let Some((head, claims)) = access::claims(assertion) else {
        return Err("Bad Request");
    };
    if head["alg"] != "RS256" {
        return Err("Invalid JWT Signature.");
    }
    let issuer = claims["iss"].as_str().unwrap_or_default();
    if !issuer.contains('@') || issuer.starts_with("deleted") {
        return Err("Invalid grant: account not found");
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    let is_aimed = audience == "https://oauth2.googleapis.com/token"
        || (audience.contains(host) && audience.ends_with("/token"));
    if !is_aimed {
        return Err("Invalid JWT: Failed audience check.");
    }
    if !claims["scope"].as_str().is_some_and(has_scope) {
        return Err("Empty or missing scope not allowed.");
    }
    check_times(&claims, now)
}

fn give(bigquery: &BigQuery) -> Response {
    Json(token_body(bigquery)).into_response()
}

fn token_body(bigquery: &BigQuery) -> Value {
    let seconds = bigquery.options.token_seconds;
    let ends_ms = bigquery.now_ms() + seconds * 1000;
    let token = bigquery.store().access.give_token(ends_ms);
    json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})
}

fn refuse(error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

fn has_flavor(headers: &HeaderMap) -> bool {
    headers
        .get(FLAVOR.0)
        .is_some_and(|flavor| flavor.as_bytes() == FLAVOR.1.as_bytes())
}

fn no_flavor() -> Response {
    (
        StatusCode::FORBIDDEN,
        "Missing Metadata-Flavor:Google header.\n",
    )
        .into_response()
}

fn flavored(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(FLAVOR.0, axum::http::HeaderValue::from_static(FLAVOR.1));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

/// The fields of a form.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, Box<Response>> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    if !form::is_form(headers) {
        return Err(Box::new(refuse("invalid_request", "a form is expected")));
    }
    Ok(form::fields(text))
}
