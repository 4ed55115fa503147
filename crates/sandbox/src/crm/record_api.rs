//! The records API: pages of records with names in them, changes since a time, and counts. Facts:
//! section 6.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError, json_text, nothing, status_of};
use super::column::{Column, Names, Opened};
use super::credits::CALL;
use super::module::Module;
use super::store::Store;
use super::table::Row;
use super::zone::{Zone, read_header_time};
use super::{Access, Crm};
use crate::form;

const SCOPE: &[&str] = &["ZohoCRM.modules.READ"];

/// Fields of one call, and records.
const FIELDS: usize = 50;
const PER_PAGE: usize = 200;

/// Records that are reached by `page`, and by a token.
const BY_PAGE: usize = 2_000;
const BY_TOKEN: usize = 100_000;

/// Seconds that a token is good for.
const TOKEN_LIFE: i64 = 86_400;

/// What a call asks for.
struct Listing {
    per_page: usize,
    page: usize,
    skipped: usize,
    sort_by: String,
    is_ascending: bool,
    /// Wanted of converted leads: those that are, those that are not, or both.
    converted: Option<bool>,
    since: Option<i64>,
    ids: Option<Vec<i64>>,
}

pub(super) async fn list(
    State(crm): State<Arc<Crm>>,
    Path((version, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let scopes = scopes_of(&crm, &name);
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let version = crm.enter(&version, &headers, &scopes, CALL)?;
    let query = form::fields(query.as_deref().unwrap_or_default());
    let store = crm.look();
    let module = readable(&crm, &store, &name, &headers)?;
    let columns = columns_of(&store, module, &query, version.wants_fields())?;
    let listing = Listing::read(&query, &headers, crm.now())?;
    let rows = listing.rows(module);
    let rest = rows.get(listing.skipped..).unwrap_or_default();
    if rest.is_empty() {
        return match listing.since {
            Some(_) => Ok(status_of(crm.options.unchanged_status).into_response()),
            None => Ok(nothing()),
        };
    }
    let shown = rest.get(..listing.per_page).unwrap_or(rest);
    let data: Vec<Value> = shown
        .iter()
        .map(|row| object(&store, module, row, &columns, crm.zone, Names::Shown))
        .collect();
    let has_more = rest.len() > shown.len();
    let info = listing.info(shown.len(), has_more, &crm);
    Ok(json_text(json!({"data": data, "info": info}).to_string()))
}

pub(super) async fn count(
    State(crm): State<Arc<Crm>>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let scopes = scopes_of(&crm, &name);
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    crm.enter(&version, &headers, &scopes, CALL)?;
    let store = crm.look();
    let module = readable(&crm, &store, &name, &headers)?;
    let rows = module.table.rows().iter();
    let count = rows.filter(|row| !row.is_converted).count();
    Ok(axum::Json(json!({"count": count})).into_response())
}

/// Scopes of which one opens a module for reading; an unknown one is told apart later.
pub(super) fn scopes_of(crm: &Crm, name: &str) -> Vec<String> {
    let store = crm.look();
    let is_custom = store.module(name).is_some_and(Module::is_custom);
    let own = if is_custom { "custom" } else { name };
    let mut scopes: Vec<String> = SCOPE.iter().map(|scope| (*scope).to_owned()).collect();
    scopes.push(format!("ZohoCRM.modules.{own}.READ"));
    scopes
}

/// The module of a path, if the caller may read it.
pub(super) fn readable<'a>(
    crm: &Crm,
    store: &'a Store,
    name: &str,
    headers: &HeaderMap,
) -> Result<&'a Module, ApiError> {
    let module = store
        .module(name)
        .filter(|module| module.is_api_supported && !module.fields.is_empty())
        .ok_or_else(|| ApiError::field("INVALID_MODULE", name))?;
    crm.enter_module(headers, module, Access::Read)?;
    Ok(module)
}

/// A record as a JSON object.
pub(super) fn object(
    store: &Store,
    module: &Module,
    row: &Row,
    columns: &[(String, Column)],
    zone: Zone,
    names: Names,
) -> Value {
    let opened = Opened::new(row);
    let mut object = Map::new();
    for (name, column) in columns {
        let value = column.value(store, module, &opened, zone, names);
        object.insert(name.clone(), value);
    }
    object.insert("id".to_owned(), json!(row.id.to_string()));
    Value::Object(object)
}

fn columns_of(
    store: &Store,
    module: &Module,
    query: &HashMap<String, String>,
    wants_fields: bool,
) -> Result<Vec<(String, Column)>, ApiError> {
    let names: Vec<&str> = match query.get("fields") {
        Some(names) => names.split(',').map(str::trim).collect(),
        None if wants_fields => return Err(ApiError::missing_parameter("fields")),
        None => module
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect(),
    };
    if query.contains_key("fields") && names.len() > FIELDS {
        return Err(ApiError::limit("fields", FIELDS));
    }
    // Unknown fields are passed over.
    let known = names.into_iter().filter_map(|name| {
        let column = Column::of(store, module, name)?;
        Some((name.to_owned(), column))
    });
    Ok(known.filter(|(_, column)| *column != Column::Id).collect())
}

impl Listing {
    fn read(
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Listing, ApiError> {
        let wrong = |name: &str| ApiError::field("INVALID_DATA", name);
        let number = |name: &str, usual: usize| match query.get(name) {
            None => Ok(usual),
            Some(text) => match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(wrong(name)),
            },
        };
        let mut listing = Listing {
            per_page: number("per_page", PER_PAGE)?,
            page: number("page", 1)?,
            skipped: 0,
            sort_by: query.get("sort_by").map_or("id", String::as_str).to_owned(),
            is_ascending: query.get("sort_order").is_some_and(|order| order == "asc"),
            converted: match query.get("converted").map(String::as_str) {
                None | Some("false") => Some(false),
                Some("true") => Some(true),
                Some("both") => None,
                Some(_) => return Err(wrong("converted")),
            },
            since: since_of(headers)?,
            ids: match query.get("ids") {
                None => None,
                Some(ids) => Some(
                    ids.split(',')
                        .map(|id| id.trim().parse().map_err(|_| wrong("ids")))
                        .collect::<Result<_, _>>()?,
                ),
            },
        };
        if listing.per_page > PER_PAGE {
            return Err(ApiError::limit("per_page", PER_PAGE));
        }
        if !["id", "Created_Time", "Modified_Time"].contains(&listing.sort_by.as_str()) {
            return Err(wrong("sort_by"));
        }
        match query.get("page_token") {
            Some(token) => listing.follow(token, now)?,
            None => listing.skipped = (listing.page - 1).saturating_mul(listing.per_page),
        }
        let reached = listing.skipped.saturating_add(listing.per_page);
        if !query.contains_key("page_token") && reached > BY_PAGE {
            return Err(ApiError::bad(
                "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
                json!({"limit": BY_PAGE}),
            ));
        }
        if reached > BY_TOKEN {
            return Err(ApiError::bad(
                "PAGINATION_LIMIT_EXCEEDED",
                json!({"limit": BY_TOKEN}),
            ));
        }
        Ok(listing)
    }

    /// The parameters that a token is bound to.
    fn sum(&self) -> u64 {
        let text = format!(
            "{}{}{}{:?}",
            self.per_page, self.sort_by, self.is_ascending, self.converted
        );
        text.bytes().fold(7, |sum, byte| {
            sum.wrapping_mul(131).wrapping_add(byte.into())
        })
    }

    fn token(&self, skipped: usize, now: i64) -> String {
        format!(
            "{:016x}{skipped:08x}{:08x}{now:010x}",
            self.sum(),
            self.page + 1
        )
    }

    fn follow(&mut self, token: &str, now: i64) -> Result<(), ApiError> {
        let wrong = || ApiError::field("INVALID_DATA", "page_token");
        let part = |from: usize, to: usize| {
            let text = token.get(from..to).ok_or_else(wrong)?;
            u64::from_str_radix(text, 16).map_err(|_| wrong())
        };
        if part(0, 16)? != self.sum() {
            return Err(wrong());
        }
        let made = i64::try_from(part(32, 42)?).unwrap_or_default();
        if now - made >= TOKEN_LIFE {
            return Err(ApiError::field("EXPIRED_VALUE", "page_token"));
        }
        self.skipped = usize::try_from(part(16, 24)?).unwrap_or(usize::MAX);
        self.page = usize::try_from(part(24, 32)?).unwrap_or(usize::MAX);
        Ok(())
    }

    fn rows<'a>(&self, module: &'a Module) -> Vec<&'a Row> {
        let is_wanted = |row: &&Row| {
            self.converted
                .is_none_or(|converted| row.is_converted == converted)
                && self.since.is_none_or(|since| row.modified >= since)
                && self.ids.as_ref().is_none_or(|ids| ids.contains(&row.id))
        };
        let mut rows: Vec<&Row> = module.table.rows().iter().filter(is_wanted).collect();
        match self.sort_by.as_str() {
            "Created_Time" => rows.sort_by_key(|row| (row.created, row.id)),
            "Modified_Time" => rows.sort_by_key(|row| (row.modified, row.id)),
            _ => {}
        }
        if !self.is_ascending {
            rows.reverse();
        }
        rows
    }

    fn info(&self, count: usize, has_more: bool, crm: &Crm) -> Value {
        let reached = self.skipped + count;
        let token = (has_more && reached < BY_TOKEN).then(|| self.token(reached, crm.now()));
        let ends = token
            .as_ref()
            .map(|_| crm.zone.text(crm.now() + TOKEN_LIFE));
        let order = if self.is_ascending { "asc" } else { "desc" };
        json!({"per_page": self.per_page, "count": count, "page": self.page,
            "more_records": has_more, "sort_by": self.sort_by, "sort_order": order,
            "previous_page_token": null, "next_page_token": token, "page_token_expiry": ends})
    }
}

/// The time of the header `If-Modified-Since`, in the form of the service.
pub(super) fn since_of(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("if-modified-since") else {
        return Ok(None);
    };
    let time = value.to_str().ok().and_then(read_header_time);
    let wrong = || ApiError::field("INVALID_DATA", "If-Modified-Since");
    time.map(Some).ok_or_else(wrong)
}
