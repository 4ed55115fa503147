//! Datasets over REST. Facts: section 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::BigQuery;
use super::access::Resource;
use super::answer::{Answer, ApiError};
use super::name;
use super::request::{Parameters, WholeBody, check_names};
use super::store::Dataset;
use super::table_api;

/// What a body may say; some of it is only kept and returned.
const KNOWN: [&str; 21] = [
    "kind",
    "etag",
    "id",
    "selfLink",
    "datasetReference",
    "friendlyName",
    "description",
    "defaultTableExpirationMs",
    "defaultPartitionExpirationMs",
    "labels",
    "access",
    "creationTime",
    "lastModifiedTime",
    "location",
    "type",
    "isCaseInsensitive",
    "defaultCollation",
    "defaultRoundingMode",
    "maxTimeTravelHours",
    "storageBillingModel",
    "resourceTags",
];

/// What is made by the service or kept elsewhere.
const NOT_SETTINGS: [&str; 9] = [
    "kind",
    "etag",
    "id",
    "selfLink",
    "datasetReference",
    "creationTime",
    "lastModifiedTime",
    "location",
    "type",
];

const NOT_SIMULATED: [&str; 3] = [
    "externalDatasetReference",
    "linkedDatasetSource",
    "defaultEncryptionConfiguration",
];

pub(crate) async fn insert(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    body: WholeBody,
) -> Answer {
    let body = body.object()?;
    check_names(&body, &KNOWN, &NOT_SIMULATED, "dataset")?;
    let Some(id) = body
        .get("datasetReference")
        .and_then(|reference| reference["datasetId"].as_str())
    else {
        return Err(ApiError::new(
            400,
            "required",
            "Required parameter is missing: datasetReference.datasetId",
        ));
    };
    name::check_dataset(id)?;
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.datasets.create", Resource::Project(&project))?;
    let key = (project.clone(), id.to_owned());
    if store.datasets.contains_key(&key) {
        return Err(ApiError::duplicate(format!("Dataset {project}:{id}")));
    }
    let mut dataset = Dataset {
        location: body
            .get("location")
            .and_then(Value::as_str)
            .unwrap_or(&bigquery.options.location)
            .to_owned(),
        settings: Map::new(),
        created_ms: now_ms,
        modified_ms: now_ms,
        revision: 1,
        tables: BTreeMap::new(),
    };
    change(&mut dataset, &body)?;
    let answer = to_json(&project, id, &dataset);
    store.datasets.insert(key, dataset);
    Ok(Json(answer))
}

pub(crate) async fn get(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
) -> Answer {
    let store = bigquery.store();
    store
        .access
        .require("bigquery.datasets.get", Resource::Dataset(&project, &id))?;
    let dataset = store.dataset(&project, &id)?;
    Ok(Json(to_json(&project, &id, dataset)))
}

pub(crate) async fn list(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    Query(parameters): Parameters,
) -> Answer {
    let store = bigquery.store();
    let mut items = Vec::new();
    for ((owner, id), dataset) in &store.datasets {
        if *owner == project {
            items.push(json!({
                "kind": "bigquery#dataset", "id": format!("{project}:{id}"),
                "datasetReference": {"projectId": project, "datasetId": id},
                "location": dataset.location,
            }));
        }
    }
    let (page, next) = table_api::page(items, &parameters)?;
    let mut answer = json!({"kind": "bigquery#datasetList", "datasets": page});
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Json(answer))
}

pub(crate) async fn patch(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
    body: WholeBody,
) -> Answer {
    let body = body.object()?;
    check_names(&body, &KNOWN, &NOT_SIMULATED, "dataset")?;
    let now_ms = bigquery.now_ms();
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.datasets.update", Resource::Dataset(&project, &id))?;
    let dataset = store.dataset_mut(&project, &id)?;
    if body
        .get("location")
        .and_then(Value::as_str)
        .is_some_and(|location| !location.eq_ignore_ascii_case(&dataset.location))
    {
        return Err(ApiError::invalid("Cannot change the location of a dataset"));
    }
    change(dataset, &body)?;
    dataset.revision += 1;
    dataset.modified_ms = now_ms;
    Ok(Json(to_json(&project, &id, dataset)))
}

pub(crate) async fn delete(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Result<StatusCode, ApiError> {
    let mut store = bigquery.store();
    store
        .access
        .require("bigquery.datasets.delete", Resource::Dataset(&project, &id))?;
    let dataset = store.dataset(&project, &id)?;
    let with_contents = parameters.get("deleteContents").map(String::as_str) == Some("true");
    if !dataset.tables.is_empty() && !with_contents {
        return Err(ApiError::new(
            400,
            "resourceInUse",
            format!("Dataset {project}:{id} is still in use"),
        ));
    }
    store.datasets.remove(&(project, id));
    Ok(StatusCode::NO_CONTENT)
}

/// Takes over what a body says; `null` empties it.
fn change(dataset: &mut Dataset, body: &Map<String, Value>) -> Result<(), ApiError> {
    let mut settings = dataset.settings.clone();
    for (name, value) in body {
        if NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        match (name.as_str(), value) {
            ("labels", Value::Object(_)) => {
                let mut labels = table_api::labels(settings.get("labels"))?;
                table_api::change_labels(&mut labels, value)?;
                settings.insert(name.clone(), json!(labels));
            }
            (_, Value::Null) => {
                settings.remove(name);
            }
            _ => {
                settings.insert(name.clone(), value.clone());
            }
        }
    }
    dataset.settings = settings;
    Ok(())
}

fn to_json(project: &str, id: &str, dataset: &Dataset) -> Value {
    let mut body = json!({
        "kind": "bigquery#dataset",
        "etag": super::base64::encode(format!("{id}.{}", dataset.revision).as_bytes()),
        "id": format!("{project}:{id}"),
        "datasetReference": {"projectId": project, "datasetId": id},
        "creationTime": dataset.created_ms.to_string(),
        "lastModifiedTime": dataset.modified_ms.to_string(),
        "location": dataset.location,
        "type": "DEFAULT",
    });
    for (name, value) in &dataset.settings {
        body[name.as_str()] = value.clone();
    }
    body
}
