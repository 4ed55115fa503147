//! A table in the form of the REST API, both ways, and what of it may be changed later.
//! Facts: section 2.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::ApiError;
use super::encode;
use super::name;
use super::request::int64;
use super::schema;
use super::table::{Column, Mode, Partitioning, Table, TableName, TimeUnit, Type};

/// What a body may say.
pub(crate) const KNOWN: [&str; 26] = [
    "kind",
    "etag",
    "id",
    "selfLink",
    "tableReference",
    "friendlyName",
    "description",
    "labels",
    "schema",
    "numBytes",
    "numLongTermBytes",
    "numActiveLogicalBytes",
    "numTotalLogicalBytes",
    "numRows",
    "creationTime",
    "expirationTime",
    "lastModifiedTime",
    "type",
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "requirePartitionFilter",
    "streamingBuffer",
    "location",
    "maxStaleness",
    "tableConstraints",
];

/// What the service knows and the stand-in does not.
pub(crate) const NOT_SIMULATED: [&str; 10] = [
    "view",
    "materializedView",
    "externalDataConfiguration",
    "encryptionConfiguration",
    "snapshotDefinition",
    "cloneDefinition",
    "defaultCollation",
    "defaultRoundingMode",
    "biglakeConfiguration",
    "resourceTags",
];

/// The most columns that a table is clustered by, and the most of a primary key.
const MOST_CLUSTERING: usize = 4;
const MOST_KEY: usize = 16;

/// Takes over what a body says of anything but the schema; `null` empties it.
pub(crate) fn apply(
    table: &mut Table,
    body: &Map<String, Value>,
    now_ms: u64,
) -> Result<(), ApiError> {
    if let Some(value) = body.get("friendlyName") {
        table.record.friendly_name = value.as_str().map(str::to_owned);
    }
    if let Some(value) = body.get("description") {
        table.description = value.as_str().map(str::to_owned);
    }
    if let Some(value) = body.get("labels") {
        change_labels(&mut table.labels, value)?;
    }
    if let Some(value) = body.get("maxStaleness") {
        table.max_staleness = value.as_str().map(check_staleness).transpose()?;
    }
    if let Some(value) = body.get("expirationTime") {
        table.expires_at_ms = expiration(value, now_ms)?;
    }
    if let Some(value) = body.get("clustering") {
        table.clustering = clustering(value, &table.columns)?;
    }
    if let Some(value) = body.get("tableConstraints") {
        table.primary_key = primary_key(value, &table.columns)?;
    }
    if let Some(partitioning) = partitioning(body, &table.columns)? {
        table.partitioning = Some(partitioning);
    }
    Ok(())
}

/// What a body says of partitions, if it says something.
pub(crate) fn partitioning(
    body: &Map<String, Value>,
    columns: &[Column],
) -> Result<Option<Partitioning>, ApiError> {
    let filter = body.get("requirePartitionFilter") == Some(&Value::Bool(true));
    if let Some(time) = body.get("timePartitioning").filter(|time| !time.is_null()) {
        return time_partitioning(time, filter, columns).map(Some);
    }
    match body
        .get("rangePartitioning")
        .filter(|range| !range.is_null())
    {
        Some(range) => range_partitioning(range, columns).map(Some),
        None => Ok(None),
    }
}

/// What a body says of clustering.
pub(crate) fn clustering(value: &Value, columns: &[Column]) -> Result<Vec<String>, ApiError> {
    let names = names(&value["fields"]);
    if names.len() > MOST_CLUSTERING {
        return Err(ApiError::invalid(format!(
            "Cannot cluster by more than {MOST_CLUSTERING} columns."
        )));
    }
    for name in &names {
        let column = top_level(name, columns, "clustering")?;
        let good = column.mode != Mode::Repeated
            && !matches!(
                column.kind,
                Type::Struct(_) | Type::Json | Type::Float64 | Type::Bytes | Type::Time
            );
        if !good {
            return Err(ApiError::invalid(format!(
                "Cannot cluster by field {name}: its type or mode does not allow it."
            )));
        }
    }
    Ok(names)
}

/// The labels that a JSON object holds.
pub(crate) fn labels(value: Option<&Value>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut labels = BTreeMap::new();
    if let Some(value) = value {
        change_labels(&mut labels, value)?;
    }
    Ok(labels)
}

/// Sets labels; one that is `null` goes away, and all do if the value itself is.
pub(crate) fn change_labels(
    labels: &mut BTreeMap<String, String>,
    value: &Value,
) -> Result<(), ApiError> {
    let Some(changes) = value.as_object() else {
        labels.clear();
        return Ok(());
    };
    for (key, value) in changes {
        match value.as_str() {
            Some(text) => {
                name::check_label(key, text)?;
                labels.insert(key.clone(), text.to_owned());
            }
            None => {
                labels.remove(key);
            }
        }
    }
    if labels.len() > 64 {
        return Err(ApiError::invalid("No more than 64 labels are allowed."));
    }
    Ok(())
}

/// The answer of `tables.get`.
pub(crate) fn to_json(name: &TableName, table: &Table, location: &str, buffer_ms: u64) -> Value {
    let bytes = encode::rows_bytes(&table.rows).to_string();
    let mut body = summary(name, table);
    let extra = json!({
        "etag": table.etag(),
        "schema": schema::to_json(&table.columns),
        "numBytes": bytes, "numLongTermBytes": "0", "numTotalLogicalBytes": bytes,
        "numActiveLogicalBytes": bytes,
        "numRows": table.rows.len().to_string(),
        "lastModifiedTime": table.record.modified_ms.to_string(),
        "location": location,
    });
    merge(&mut body, extra);
    if let Some(description) = &table.description {
        body["description"] = json!(description);
    }
    if !table.primary_key.is_empty() {
        body["tableConstraints"] = json!({"primaryKey": {"columns": table.primary_key}});
    }
    if let Some(staleness) = &table.max_staleness {
        body["maxStaleness"] = json!(staleness);
    }
    let buffered = table
        .rows
        .iter()
        .filter(|row| row.streamed_at.is_some_and(|time| time * 1000 >= buffer_ms));
    let (mut rows, mut oldest, mut buffered_bytes) = (0u64, u64::MAX, 0);
    for row in buffered {
        rows += 1;
        oldest = oldest.min(row.streamed_at.unwrap_or(u64::MAX));
        buffered_bytes += encode::rows_bytes(std::slice::from_ref(row));
    }
    if rows > 0 {
        body["streamingBuffer"] = json!({
            "estimatedRows": rows.to_string(),
            "estimatedBytes": buffered_bytes.to_string(),
            "oldestEntryTime": oldest.saturating_mul(1000).to_string(),
        });
    }
    body
}

/// The part that `tables.list` answers.
pub(crate) fn summary(name: &TableName, table: &Table) -> Value {
    let mut body = json!({
        "kind": "bigquery#table",
        "id": name.to_string(),
        "tableReference": reference(name),
        "type": if table.view.is_some() { "VIEW" } else { "TABLE" },
        "creationTime": table.record.created_ms.to_string(),
    });
    if let Some(query) = &table.view {
        body["view"] = json!({"query": query, "useLegacySql": false});
    }
    if let Some(friendly_name) = &table.record.friendly_name {
        body["friendlyName"] = json!(friendly_name);
    }
    if !table.labels.is_empty() {
        body["labels"] = json!(table.labels);
    }
    if let Some(time) = table.expires_at_ms {
        body["expirationTime"] = json!(time.to_string());
    }
    if !table.clustering.is_empty() {
        body["clustering"] = json!({"fields": table.clustering});
    }
    if let Some(partitioning) = &table.partitioning {
        let (key, value) = partitioning_to_json(partitioning);
        body[key] = value;
    }
    body
}

/// `{"projectId": …, "datasetId": …, "tableId": …}`.
pub(crate) fn reference(name: &TableName) -> Value {
    json!({"projectId": name.project, "datasetId": name.dataset, "tableId": name.table})
}

/// A table name from its reference, in which the project may be left out.
pub(crate) fn from_reference(value: &Value, project: &str) -> Result<TableName, ApiError> {
    let part = |key: &str| value[key].as_str().filter(|text| !text.is_empty());
    let (Some(dataset), Some(table)) = (part("datasetId"), part("tableId")) else {
        return Err(ApiError::new(
            400,
            "required",
            "Required parameter is missing: datasetId or tableId",
        ));
    };
    if table.contains('$') {
        return Err(ApiError::not_simulated(
            "the partition decorator of a table id",
        ));
    }
    name::check_dataset(dataset)?;
    name::check_table(table)?;
    Ok(TableName::new(
        part("projectId").unwrap_or(project),
        dataset,
        table,
    ))
}

fn merge(body: &mut Value, extra: Value) {
    if let Value::Object(extra) = extra {
        for (key, value) in extra {
            body[key.as_str()] = value;
        }
    }
}

fn time_partitioning(
    time: &Value,
    filter: bool,
    columns: &[Column],
) -> Result<Partitioning, ApiError> {
    let unit = match time["type"].as_str() {
        Some("HOUR") => TimeUnit::Hour,
        Some("DAY") => TimeUnit::Day,
        Some("MONTH") => TimeUnit::Month,
        Some("YEAR") => TimeUnit::Year,
        _ => {
            return Err(ApiError::invalid(
                "Invalid value for timePartitioning.type: HOUR, DAY, MONTH or YEAR expected",
            ));
        }
    };
    let column = time["field"].as_str();
    if let Some(name) = column {
        let found = top_level(name, columns, "partitioning")?;
        let good_type = match found.kind {
            Type::Timestamp | Type::DateTime => true,
            Type::Date => unit != TimeUnit::Hour,
            _ => false,
        };
        if !good_type || found.mode == Mode::Repeated {
            return Err(ApiError::invalid(format!(
                "The field specified for partitioning cannot be used: field {name} has type {} and mode {}.",
                schema::type_name(&found.kind),
                schema::mode_name(found.mode)
            )));
        }
    }
    let expiration_ms = int64(&time["expirationMs"], "timePartitioning.expirationMs")?;
    Ok(Partitioning::Time {
        unit,
        column: column.map(str::to_owned),
        expiration_ms: expiration_ms.and_then(|ms| u64::try_from(ms).ok()),
        require_filter: filter || time["requirePartitionFilter"] == Value::Bool(true),
    })
}

fn range_partitioning(range: &Value, columns: &[Column]) -> Result<Partitioning, ApiError> {
    let Some(name) = range["field"].as_str() else {
        return Err(ApiError::invalid("rangePartitioning.field is missing"));
    };
    let column = top_level(name, columns, "partitioning")?;
    if column.kind != Type::Int64 || column.mode == Mode::Repeated {
        return Err(ApiError::invalid(format!(
            "Field {name} of a range partitioning is not a single INTEGER."
        )));
    }
    let bounds = &range["range"];
    let number = |key: &str| {
        int64(&bounds[key], key)?
            .ok_or_else(|| ApiError::invalid(format!("rangePartitioning.range.{key} is missing")))
    };
    let (start, end, interval) = (number("start")?, number("end")?, number("interval")?);
    if end <= start || interval <= 0 {
        return Err(ApiError::invalid("rangePartitioning.range is empty"));
    }
    Ok(Partitioning::Range {
        column: name.to_owned(),
        start,
        end,
        interval,
    })
}

fn partitioning_to_json(partitioning: &Partitioning) -> (&'static str, Value) {
    match partitioning {
        Partitioning::Time {
            unit,
            column,
            expiration_ms,
            require_filter,
        } => {
            let unit = match unit {
                TimeUnit::Hour => "HOUR",
                TimeUnit::Day => "DAY",
                TimeUnit::Month => "MONTH",
                TimeUnit::Year => "YEAR",
            };
            let mut body = json!({"type": unit});
            if let Some(column) = column {
                body["field"] = json!(column);
            }
            if let Some(ms) = expiration_ms {
                body["expirationMs"] = json!(ms.to_string());
            }
            if *require_filter {
                body["requirePartitionFilter"] = json!(true);
            }
            ("timePartitioning", body)
        }
        Partitioning::Range {
            column,
            start,
            end,
            interval,
        } => (
            "rangePartitioning",
            json!({"field": column, "range": {"start": start.to_string(),
                "end": end.to_string(), "interval": interval.to_string()}}),
        ),
    }
}

fn primary_key(value: &Value, columns: &[Column]) -> Result<Vec<String>, ApiError> {
    if value
        .get("foreignKeys")
        .and_then(Value::as_array)
        .is_some_and(|keys| !keys.is_empty())
    {
        return Err(ApiError::not_simulated("foreign keys"));
    }
    let names = names(&value["primaryKey"]["columns"]);
    if names.len() > MOST_KEY {
        return Err(ApiError::invalid(format!(
            "A primary key has at most {MOST_KEY} columns."
        )));
    }
    for name in &names {
        let column = top_level(name, columns, "the primary key")?;
        if column.mode == Mode::Repeated || matches!(column.kind, Type::Struct(_) | Type::Json) {
            return Err(ApiError::invalid(format!(
                "Field {name} cannot be part of a primary key."
            )));
        }
    }
    Ok(names)
}

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn top_level<'a>(name: &str, columns: &'a [Column], what: &str) -> Result<&'a Column, ApiError> {
    columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "The field specified for {what} cannot be found in the schema: {name}. Only top-level fields can be used."
            ))
        })
}

fn expiration(value: &Value, now_ms: u64) -> Result<Option<u64>, ApiError> {
    let Some(time) = int64(value, "expirationTime")? else {
        return Ok(None);
    };
    match u64::try_from(time) {
        Ok(0) => Ok(None),
        Ok(time) if time > now_ms => Ok(Some(time)),
        _ => Err(ApiError::invalid(
            "Invalid value for expirationTime: the time is in the past",
        )),
    }
}

/// `Y-M D H:M:S`, the text form of an interval.
fn check_staleness(text: &str) -> Result<String, ApiError> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split([' ', '-', ':']).collect();
    let shape: String = text
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect();
    if shape == "-  ::" && parts.len() == 6 && parts.iter().all(|part| is_number(part)) {
        return Ok(text.to_owned());
    }
    Err(ApiError::invalid(
        "Invalid value for maxStaleness: an interval such as 0-0 0 0:10:0 is expected",
    ))
}
