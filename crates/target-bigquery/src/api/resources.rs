//! Data sets, tables, and rows by insertAll.

use serde_json::{Map, Value, json};
use singer_core::Error;
use singer_net::{Bytes, Method, Request};

use super::{Api, Fault};
use crate::model::Field;

/// A data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Where it is.
    pub location: Option<String>,
}

/// A table as BigQuery describes it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its columns.
    pub fields: Vec<Field>,
    /// The columns of its primary key.
    pub primary_key: Vec<String>,
    /// The column that it is partitioned by.
    pub partitioned_by: Option<String>,
    /// What it is clustered by.
    pub clustered_by: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// Changes with every change of the table.
    pub etag: Option<String>,
    /// Bytes that a statement over all of it reads.
    pub bytes: Option<u64>,
    /// `TABLE`, `VIEW`, …
    pub kind: String,
    /// When it goes by itself, in milliseconds since 1970.
    pub expiration: Option<String>,
    /// How it is partitioned, clustered and labelled, as it came.
    pub layout: Map<String, Value>,
}

/// What its owner says of a table besides its columns.
const LAYOUT: [&str; 6] = [
    "description",
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "labels",
    "friendlyName",
];

impl Table {
    fn of(json: &Value) -> Result<Self, Fault> {
        let fields = json.pointer("/schema/fields").cloned();
        let fields = match fields {
            Some(fields) => serde_json::from_value(fields).map_err(|error| {
                Error::protocol("the schema of a table has an unknown shape").with_source(error)
            })?,
            None => Vec::new(),
        };
        let text = |place: &str| {
            json.pointer(place)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let list = |place: &str| -> Vec<String> {
            let items = json.pointer(place).and_then(Value::as_array);
            items
                .into_iter()
                .flatten()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        Ok(Self {
            fields,
            primary_key: list("/tableConstraints/primaryKey/columns"),
            partitioned_by: text("/timePartitioning/field")
                .or_else(|| text("/rangePartitioning/field")),
            clustered_by: list("/clustering/fields"),
            labels: json
                .get("labels")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
            etag: text("/etag"),
            bytes: number(json.get("numBytes")),
            kind: text("/type").unwrap_or_else(|| "TABLE".to_owned()),
            expiration: text("/expirationTime"),
            layout: LAYOUT
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), json.get(*key)?.clone())))
                .collect(),
        })
    }
}

/// A 64-bit number, which is a string in this JSON.
pub(super) fn number(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

impl Api {
    /// `datasets.get`; `None` if there is none.
    pub async fn dataset(&self, dataset: &str) -> Result<Option<Dataset>, Fault> {
        let what = format!("cannot read the data set `{dataset}`");
        let url = self.url(&["datasets", dataset])?;
        let json = match self.json(&what, Request::get(url)).await {
            Ok(json) => json,
            Err(fault) if fault.is("notFound") => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let location = json.get("location").and_then(Value::as_str);
        Ok(Some(Dataset {
            location: location.map(str::to_owned),
        }))
    }

    /// `datasets.insert`; one that is there already is as good.
    pub async fn create_dataset(&self, dataset: &str, location: Option<&str>) -> Result<(), Fault> {
        let what = format!("cannot create the data set `{dataset}`");
        let mut body =
            json!({"datasetReference": {"projectId": self.project(), "datasetId": dataset}});
        if let Some(location) = location {
            body["location"] = json!(location);
        }
        let url = self.url(&["datasets"])?;
        match self
            .json(&what, Request::post_json(url, bytes(&body)))
            .await
        {
            Ok(_) => Ok(()),
            Err(fault) if fault.is("duplicate") => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// `tables.get`; `None` if there is none, or not even the data set.
    pub async fn table(&self, dataset: &str, table: &str) -> Result<Option<Table>, Fault> {
        let what = format!("cannot read the table `{dataset}.{table}`");
        let url = self.url(&["datasets", dataset, "tables", table])?;
        match self.json(&what, Request::get(url)).await {
            Ok(json) => Table::of(&json).map(Some),
            Err(fault) if fault.is("notFound") => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// `tables.insert`. Returns whether it was created; one that is there already is as good.
    pub async fn create_table(
        &self,
        dataset: &str,
        table: &str,
        mut body: Value,
    ) -> Result<bool, Fault> {
        let what = format!("cannot create the table `{dataset}.{table}`");
        body["tableReference"] =
            json!({"projectId": self.project(), "datasetId": dataset, "tableId": table});
        let url = self.url(&["datasets", dataset, "tables"])?;
        match self
            .json(&what, Request::post_json(url, bytes(&body)))
            .await
        {
            Ok(_) => Ok(true),
            Err(fault) if fault.is("duplicate") => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// `tables.patch`, unless the table has changed since `etag` (reason `conditionNotMet`).
    pub async fn patch_table(
        &self,
        dataset: &str,
        table: &str,
        body: &Value,
        etag: Option<&str>,
    ) -> Result<(), Fault> {
        let what = format!("cannot change the table `{dataset}.{table}`");
        let url = self.url(&["datasets", dataset, "tables", table])?;
        let mut request = Request::with_json(Method::PATCH, url, bytes(body));
        if let Some(etag) = etag {
            request = request.text_header("if-match", etag)?;
        }
        self.json(&what, request).await.map(|_| ())
    }

    /// `tables.delete`; one that is not there is as good.
    pub async fn delete_table(&self, dataset: &str, table: &str) -> Result<(), Fault> {
        let what = format!("cannot delete the table `{dataset}.{table}`");
        let url = self.url(&["datasets", dataset, "tables", table])?;
        match self.call(&what, Request::new(Method::DELETE, url)).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is("notFound") => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// `tables.list`: the ids of a data set's first tables, to see whether they may be listed.
    pub async fn list_tables(&self, dataset: &str) -> Result<Vec<String>, Fault> {
        let what = format!("cannot list the tables of `{dataset}`");
        let mut url = self.url(&["datasets", dataset, "tables"])?;
        url.set_query(Some("maxResults=50"));
        let json = self.json(&what, Request::get(url)).await?;
        let tables = json.get("tables").and_then(Value::as_array);
        Ok(tables
            .into_iter()
            .flatten()
            .filter_map(|table| table.pointer("/tableReference/tableId")?.as_str())
            .map(str::to_owned)
            .collect())
    }

    /// `tabledata.insertAll`: the answer as it came, since a 200 may refuse rows.
    pub async fn insert_all(
        &self,
        dataset: &str,
        table: &str,
        body: Bytes,
    ) -> Result<Value, Fault> {
        let what = format!("cannot insert rows into `{dataset}.{table}`");
        let url = self.url(&["datasets", dataset, "tables", table, "insertAll"])?;
        self.json(&what, Request::post_json(url, body)).await
    }
}

pub(super) fn bytes(json: &Value) -> Bytes {
    Bytes::from(json.to_string())
}
