//! Tables over REST: create, read, change, delete, list. Facts: section 2.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::{Answer, ApiError};
use super::name;
use super::request::{Parameters, WholeBody, check_names};
use super::schema;
use super::store::Store;
use super::table::{Partitioning, Table, TableName};
use super::table_body::{self, KNOWN, NOT_SIMULATED};
pub(crate) use super::table_body::{change_labels, labels};

/// How many items a page has if nobody says.
const PAGE: usize = 1000;

/// Project, dataset and table of a path.
pub(crate) type TablePath = Path<(String, String, String)>;

pub(crate) async fn insert(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset)): Path<(String, String)>,
    body: WholeBody,
) -> Answer {
    let body = body.object()?;
    check_names(&body, &KNOWN, &NOT_SIMULATED, "table")?;
    let Some(id) = body
        .get("tableReference")
        .and_then(|reference| reference["tableId"].as_str())
    else {
        return Err(ApiError::new(
            400,
            "required",
            "Required parameter is missing: tableReference.tableId",
        ));
    };
    name::check_table(id)?;
    let now_ms = bigquery.now_ms();
    let name = TableName::new(&project, &dataset, id);
    let mut store = bigquery.store();
    store.access.require(
        "bigquery.tables.create",
        Resource::Dataset(&project, &dataset),
    )?;
    if store.dataset(&project, &dataset)?.table(id).is_some() {
        return Err(ApiError::duplicate(format!("Table {name}")));
    }
    store.quotas_for_metadata(&name, now_ms)?;
    let columns = schema::from_json(body.get("schema").unwrap_or(&Value::Null))?;
    let mut table = Table::new(columns);
    table_body::apply(&mut table, &body, now_ms)?;
    store.put_table(&name, table, now_ms)?;
    answer(&bigquery, &store, &name)
}

pub(crate) async fn get(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
) -> Answer {
    let name = TableName::new(&project, &dataset, &table);
    let store = bigquery.store();
    store
        .access
        .require("bigquery.tables.get", Resource::Table(&name))?;
    answer(&bigquery, &store, &name)
}

pub(crate) async fn patch(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
    headers: HeaderMap,
    body: WholeBody,
) -> Answer {
    let name = TableName::new(&project, &dataset, &table);
    change(&bigquery, &name, &headers, body.object()?)
}

/// `PUT`: what the body leaves out is emptied, save the schema and the partitions.
pub(crate) async fn update(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
    headers: HeaderMap,
    body: WholeBody,
) -> Answer {
    let mut body = body.object()?;
    for key in [
        "friendlyName",
        "description",
        "labels",
        "maxStaleness",
        "expirationTime",
        "clustering",
        "tableConstraints",
    ] {
        body.entry(key).or_insert(Value::Null);
    }
    let name = TableName::new(&project, &dataset, &table);
    change(&bigquery, &name, &headers, body)
}

pub(crate) async fn delete(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
) -> Result<StatusCode, ApiError> {
    let name = TableName::new(&project, &dataset, &table);
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.tables.delete", Resource::Table(&name))?;
    store.drop_table(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let store = bigquery.store();
    store.access.require(
        "bigquery.tables.list",
        Resource::Dataset(&project, &dataset),
    )?;
    let content = store.dataset(&project, &dataset)?;
    let item = |(id, table): (&String, &Table)| {
        table_body::summary(&TableName::new(&project, &dataset, id), table)
    };
    let items: Vec<Value> = content.tables.iter().map(item).collect();
    let total = items.len();
    let (page, next) = page(items, &parameters)?;
    let mut answer = json!({"kind": "bigquery#tableList", "tables": page, "totalItems": total});
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Json(answer))
}

/// `POST …/tables/T:testIamPermissions`: those of the permissions that nobody took away.
pub(crate) async fn test_permissions(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, dataset, table)): TablePath,
    body: WholeBody,
) -> Answer {
    let Some(table) = table.strip_suffix(":testIamPermissions") else {
        return Err(ApiError::not_simulated("this method of a table"));
    };
    let body = body.object()?;
    let name = TableName::new(&project, &dataset, table);
    let store = bigquery.store();
    store.table(&name)?;
    let held: Vec<&str> = body
        .get("permissions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|permission| store.access.allows(permission, Resource::Table(&name)))
        .collect();
    Ok(Json(if held.is_empty() {
        json!({})
    } else {
        json!({"permissions": held})
    }))
}

/// Cuts the page out of a list that the parameters ask for, with the token of the next one.
pub(crate) fn page(
    items: Vec<Value>,
    parameters: &HashMap<String, String>,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let start = match parameters.get("pageToken") {
        None => 0,
        Some(token) => parse_token(token)?,
    };
    let size = page_size(parameters)?.unwrap_or(PAGE).min(PAGE);
    let total = items.len();
    let page: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let end = start + page.len();
    let next = (end < total && size > 0).then(|| page_token(end));
    Ok((page, next))
}

/// `maxResults`.
pub(crate) fn page_size(parameters: &HashMap<String, String>) -> Result<Option<usize>, ApiError> {
    parameters
        .get("maxResults")
        .map(|text| {
            text.parse()
                .map_err(|_| ApiError::invalid("Invalid value for maxResults"))
        })
        .transpose()
}

/// A token that nobody should read anything into.
pub(crate) fn page_token(place: usize) -> String {
    super::base64::encode(format!("page:{place}").as_bytes())
}

pub(crate) fn parse_token(token: &str) -> Result<usize, ApiError> {
    super::base64::decode(token)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix("page:")?.parse().ok())
        .ok_or_else(|| ApiError::invalid("Invalid value for pageToken"))
}

fn change(
    bigquery: &BigQuery,
    name: &TableName,
    headers: &HeaderMap,
    body: Map<String, Value>,
) -> Answer {
    check_names(&body, &KNOWN, &NOT_SIMULATED, "table")?;
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.tables.update", Resource::Table(name))?;
    let mut changed = store.table(name)?.metadata();
    let expected = headers
        .get(header::IF_MATCH)
        .and_then(|etag| etag.to_str().ok());
    if expected.is_some_and(|etag| etag != "*" && etag.trim_matches('"') != changed.etag()) {
        return Err(ApiError::new(412, "conditionNotMet", "Precondition Failed").at("If-Match"));
    }
    store.quotas_for_metadata(name, now_ms)?;
    if let Some(schema) = body.get("schema").filter(|schema| !schema.is_null()) {
        let columns = schema::from_json(schema)?;
        changed.columns = schema::evolve(
            &changed.columns,
            &columns,
            schema::BY_PATCH,
            &name.to_string(),
        )?;
    }
    let before = changed.partitioning.clone();
    table_body::apply(&mut changed, &body, now_ms)?;
    check_partitioning(before.as_ref(), changed.partitioning.as_ref())?;
    let table = store.table_mut(name)?;
    table.take_metadata(changed);
    table.touch(now_ms);
    answer(bigquery, &store, name)
}

/// How a table is cut into partitions is said when it is made; how long they live may change.
fn check_partitioning(
    before: Option<&Partitioning>,
    after: Option<&Partitioning>,
) -> Result<(), ApiError> {
    let same = match (before, after) {
        (
            Some(Partitioning::Time {
                unit: old_unit,
                column: old_column,
                ..
            }),
            Some(Partitioning::Time { unit, column, .. }),
        ) => old_unit == unit && old_column == column,
        (before, after) => before == after,
    };
    if same {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Cannot change the partitioning of a table: it is set when the table is created.",
    ))
}

fn answer(bigquery: &BigQuery, store: &Store, name: &TableName) -> Answer {
    let dataset = store.dataset(&name.project, &name.dataset)?;
    let table = store.table(name)?;
    let buffer_ms = bigquery
        .now_ms()
        .saturating_sub(bigquery.options.streaming_seconds * 1000);
    Ok(Json(table_body::to_json(
        name,
        table,
        &dataset.location,
        buffer_ms,
    )))
}

impl Store {
    /// Counts a change of the metadata of a table.
    pub(crate) fn quotas_for_metadata(
        &mut self,
        name: &TableName,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let limits = self.limits;
        self.quotas.count_metadata(name, &limits, now_ms)
    }
}

impl Table {
    /// A copy without the rows.
    pub(crate) fn metadata(&self) -> Table {
        Table {
            columns: self.columns.clone(),
            rows: Vec::new(),
            description: self.description.clone(),
            labels: self.labels.clone(),
            partitioning: self.partitioning.clone(),
            clustering: self.clustering.clone(),
            primary_key: self.primary_key.clone(),
            max_staleness: self.max_staleness.clone(),
            expires_at_ms: self.expires_at_ms,
            view: self.view.clone(),
            record: self.record.clone(),
        }
    }

    /// Takes everything but the rows from another table. Rows follow columns that were added inside a
    /// RECORD by being shorter than it.
    pub(crate) fn take_metadata(&mut self, other: Table) {
        let rows = std::mem::take(&mut self.rows);
        *self = other;
        self.rows = rows;
    }
}
