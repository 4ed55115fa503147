//! The token endpoint, its revocation, and the list of data centres. Facts: sections 2 and 5.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::Accounts;
use super::ledger::Refused;
use super::refusal::throttled;
use crate::form;

/// What the answer calls the scopes of a token that opens everything.
const ALL_SCOPES: &str = "ZohoCatalyst.tables.ALL ZohoCatalyst.tables.columns.ALL ZohoCatalyst.tables.rows.ALL ZohoCatalyst.tables.bulk.ALL ZohoCatalyst.zcql.CREATE ZohoAnalytics.fullaccess.all ZohoCRM.bulk.ALL ZohoCRM.modules.ALL ZohoCRM.settings.ALL ZohoCRM.org.READ ZohoCRM.coql.READ ZohoFiles.files.ALL";

/// The data centres that the list names.
const LOCATIONS: [&str; 8] = ["us", "eu", "in", "au", "jp", "ca", "sa", "uk"];

/// The routes at the root of the port.
pub(crate) fn routes(accounts: Arc<Accounts>) -> Router {
    Router::new()
        .route("/oauth/v2/token", post(give))
        // Zoho's SDK for Catalyst joins host and path with a slash too many.
        .route("//oauth/v2/token", post(give))
        .route("/oauth/v2/token/revoke", post(revoke))
        .route("/oauth/serverinfo", get(server_info))
        .method_not_allowed_fallback(not_simulated)
        .with_state(accounts)
}

async fn give(
    State(accounts): State<Arc<Accounts>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = parameters(query.as_deref(), &headers, &body);
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let options = &accounts.options;
    if field("grant_type").is_empty() || field("client_id").is_empty() {
        return refuse("general_error");
    }
    if field("client_id") != options.client_id {
        return refuse("invalid_client");
    }
    if field("client_secret") != options.client_secret {
        return refuse("invalid_client_secret");
    }
    let now_ms = accounts.now_ms();
    let (refresh_token, is_new) = match field("grant_type") {
        "refresh_token" => (field("refresh_token").to_owned(), false),
        "authorization_code" => match accounts.ledger().exchange(field("code"), now_ms) {
            Ok(token) => (token, true),
            Err(_) => return refuse("invalid_code"),
        },
        _ => return refuse("invalid_grant"),
    };
    let given = accounts.ledger().refresh(&refresh_token, now_ms);
    match given {
        Ok((token, scopes)) => {
            let refresh_token = is_new.then_some(refresh_token);
            token_answer(&accounts, &headers, token, refresh_token, &scopes)
        }
        Err(Refused::Unknown) => refuse("invalid_code"),
        Err(Refused::Throttled) => throttled(options.throttle_status),
    }
}

async fn revoke(
    State(accounts): State<Arc<Accounts>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = parameters(query.as_deref(), &headers, &body);
    let is_known = fields
        .get("token")
        .is_some_and(|token| accounts.ledger().end(token));
    if is_known {
        Json(json!({"status": "success"})).into_response()
    } else {
        refuse("invalid_code")
    }
}

/// The locations of the data centres, all of which are this sandbox; the exact form is open.
async fn server_info(headers: HeaderMap) -> Response {
    let here = own_address(&headers);
    let locations: Map<String, Value> = LOCATIONS
        .into_iter()
        .map(|location| (location.to_owned(), json!(here)))
        .collect();
    Json(json!({"result": "success", "locations": locations})).into_response()
}

async fn not_simulated() -> Response {
    let message = "the sandbox does not simulate this method of the token endpoint";
    let body = json!({"sandbox": "not implemented", "message": message});
    (StatusCode::NOT_IMPLEMENTED, Json(body)).into_response()
}

fn token_answer(
    accounts: &Accounts,
    headers: &HeaderMap,
    token: String,
    refresh_token: Option<String>,
    scopes: &[String],
) -> Response {
    let options = &accounts.options;
    let scope = match scopes {
        [all] if all == "*" => ALL_SCOPES.to_owned(),
        named => named.join(" "),
    };
    let mut body = json!({"access_token": token});
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    body["scope"] = json!(scope);
    body["api_domain"] = match &options.api_domain {
        Some(domain) => json!(domain),
        None => json!(own_address(headers)),
    };
    body["token_type"] = json!("Bearer");
    if options.legacy_expiry {
        body["expires_in_sec"] = json!(options.token_seconds);
        body["expires_in"] = json!(options.token_seconds * 1000);
    } else {
        body["expires_in"] = json!(options.token_seconds);
    }
    Json(body).into_response()
}

/// Parameters of the query string and of a form, which counts more.
fn parameters(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> HashMap<String, String> {
    let mut fields = form::fields(query.unwrap_or_default());
    if form::is_form(headers) {
        fields.extend(form::fields(std::str::from_utf8(body).unwrap_or_default()));
    }
    fields
}

/// The address under which a client has found the sandbox.
fn own_address(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

/// A refusal of the token endpoint, which comes with 200.
fn refuse(error: &str) -> Response {
    Json(json!({"error": error})).into_response()
}
