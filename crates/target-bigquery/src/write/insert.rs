//! The method `streaming`: `tabledata.insertAll`. A request is taken whole or not at all: rows that are
//! at fault are refused, and their neighbours sent again without them.
//!
//! Every row has an `insertId`, by which BigQuery tells for about a minute, and without a promise, that
//! it has the row already. A run that is repeated may append rows twice: at least once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use singer_core::{Error, Result};
use singer_runtime::target::Batch;

use super::load::stamp;
use super::rows::{Line, null_key};
use super::{Part, Written};
use crate::api::{Fault, Refused};
use crate::encode::{JsonForm, Options, ndjson};
use crate::shape::Shape;
use crate::stream::Inner;
use crate::table::Ready;

/// The limit of a request is 10 MB; this leaves room for what stands around the rows.
const MOST_REQUEST_BYTES: usize = 9_500_000;

/// A table that was just created answers 404 for a while.
const NEW_TABLE_TRIES: u32 = 6;

/// A request on its way to being sent: rows with their places in the batch.
#[derive(Default)]
struct Request {
    rows: Vec<Row>,
    bytes: usize,
}

struct Row {
    place: u32,
    id: String,
    json: Vec<u8>,
}

/// Sends the rows of a part.
pub(super) async fn write(
    inner: &Arc<Inner>,
    shape: &Shape,
    batch: &Arc<Batch>,
    part: &Part,
    ready: &Arc<Ready>,
) -> Result<Written> {
    let mut written = Written::default();
    let requests = requests(inner, shape, batch, part, ready, &mut written);
    for request in requests {
        send(inner, ready, request, &mut written).await?;
    }
    Ok(written)
}

fn requests(
    inner: &Inner,
    shape: &Shape,
    batch: &Batch,
    part: &Part,
    ready: &Ready,
    written: &mut Written,
) -> Vec<Request> {
    let most_rows = inner.warehouse.config.insert_rows;
    let options = Options {
        json: JsonForm::Text,
        ..shape.options
    };
    let (line, stamp, keys) = (Line::new(shape), stamp(inner, batch), shape.needed());
    let mut requests = vec![Request::default()];
    for place in &part.rows {
        let record = batch.record(*place as usize);
        if let Some(error) = null_key(&record, &keys, batch) {
            written.refuse_row(*place, &error);
            continue;
        }
        let mut id = String::new();
        stamp.write_id(&mut id, *place);
        let extras = line.values(&record, &stamp, &id);
        let mut json = Vec::new();
        if let Err(error) = ndjson(&record, &ready.columns, &extras, &options, &mut json) {
            written.refuse_row(*place, &error);
            continue;
        }
        // Without the line break.
        json.pop();
        if json.len() + 200 > MOST_REQUEST_BYTES {
            written.refuse(
                *place,
                "row-too-large",
                format!(
                    "the row has {} bytes, and a request takes 10 MB",
                    json.len()
                ),
            );
            continue;
        }
        let bytes = json.len() + id.len() + 30;
        let is_full = requests.last().is_none_or(|request| {
            request.rows.len() >= most_rows || request.bytes + bytes > MOST_REQUEST_BYTES
        });
        if is_full {
            requests.push(Request::default());
        }
        if let Some(request) = requests.last_mut() {
            request.bytes += bytes;
            request.rows.push(Row {
                place: *place,
                id,
                json,
            });
        }
    }
    requests
}

/// Sends one request until each of its rows is stored or refused.
async fn send(
    inner: &Inner,
    ready: &Ready,
    mut request: Request,
    written: &mut Written,
) -> Result<()> {
    let what = format!("cannot insert rows into `{}`", ready.place);
    while !request.rows.is_empty() {
        let body = body(&request.rows);
        written.bytes += body.len() as u64;
        let answer = insert(inner, ready, body).await.map_err(|fault| {
            crate::warehouse::lacks(
                fault,
                &what,
                "bigquery.tables.updateData",
                "roles/bigquery.dataEditor",
            )
        })?;
        let errors = answer
            .get("insertErrors")
            .and_then(Value::as_array)
            .filter(|errors| !errors.is_empty());
        let Some(errors) = errors else {
            written.sent += request.rows.len() as u64;
            return Ok(());
        };
        let faults: Vec<(usize, String, String)> = errors.iter().filter_map(fault).collect();
        if faults.is_empty() {
            return Err(Error::protocol(format!(
                "{what}: all rows were stopped, and none is named as the cause"
            )));
        }
        // Nothing of the request was stored, whatever each row is told.
        for (index, code, words) in &faults {
            if let Some(row) = request.rows.get(*index) {
                written.refuse(row.place, code, words.as_str());
            }
        }
        let mut index = 0;
        request.rows.retain(|_| {
            index += 1;
            !faults.iter().any(|(fault, ..)| *fault == index - 1)
        });
    }
    Ok(())
}

async fn insert(inner: &Inner, ready: &Ready, body: Bytes) -> Result<Value, Fault> {
    let api = &inner.warehouse.api;
    let mut tries = 0;
    loop {
        let answer = api
            .insert_all(&ready.place.dataset, &ready.place.table, body.clone())
            .await;
        tries += 1;
        match answer {
            Err(fault) if fault.is("notFound") && ready.is_new && tries < NEW_TABLE_TRIES => {
                tokio::time::sleep(Duration::from_millis(500 << tries)).await;
            }
            answer => return answer,
        }
    }
}

fn body(rows: &[Row]) -> Bytes {
    let mut body = Vec::with_capacity(rows.iter().map(|row| row.json.len() + 80).sum());
    body.extend_from_slice(b"{\"skipInvalidRows\":false,\"ignoreUnknownValues\":false,\"rows\":[");
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"insertId\":\"");
        body.extend_from_slice(row.id.as_bytes());
        body.extend_from_slice(b"\",\"json\":");
        body.extend_from_slice(&row.json);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    Bytes::from(body)
}

/// What an answer says of one row; nothing if the row was only stopped by others.
fn fault(error: &Value) -> Option<(usize, String, String)> {
    let index = usize::try_from(error.get("index")?.as_u64()?).ok()?;
    let errors = error.get("errors")?.as_array()?;
    let text = |error: &Value, key: &str| {
        error
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let own = errors
        .iter()
        .find(|error| text(error, "reason") != "stopped")?;
    let words = Refused::of_job(own).message;
    let location = text(own, "location");
    let words = if location.is_empty() {
        words
    } else {
        format!("column `{location}`: {words}")
    };
    Some((index, text(own, "reason"), words))
}

/// The requests for a part, as `--dry-run` shows them.
pub(super) fn preview(
    inner: &Inner,
    shape: &Shape,
    batch: &Batch,
    part: &Part,
    bytes: usize,
) -> String {
    let ready = Ready::planned(&inner.warehouse, shape, &part.place);
    let mut written = Written::default();
    let few = Part {
        rows: part.rows.iter().copied().take(20).collect(),
        ..part.clone()
    };
    let requests = requests(inner, shape, batch, &few, &ready, &mut written);
    let body = requests
        .first()
        .map(|request| body(&request.rows))
        .unwrap_or_default();
    let shown: String = String::from_utf8_lossy(&body).chars().take(bytes).collect();
    format!(
        "POST {}/bigquery/v2/projects/{}/datasets/{}/tables/{}/insertAll\n\n{} rows, the first of them:\n{shown}",
        inner.warehouse.api.base(),
        inner.warehouse.api.project(),
        part.place.dataset,
        part.place.table,
        part.rows.len(),
    )
}
