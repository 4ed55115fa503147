//! Rows that vanished, and tables that are replaced: what the activation of a version does.
//!
//! A stream that replaces its table fills a table beside it, named by the version, which nobody looks at.
//! Activation copies it over the old one in one job, so that readers see the old rows or the new ones.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | while the new table is filled | the old rows; a part of the new ones beside them | the same version: goes on filling it; another: fills one of its own, and the first goes after some days |
//! | while the copy runs | old rows, then new ones | copies again, or hears that it was done |
//! | between the copy and STATE | new rows, and the table of the version | the version comes again, as a whole or its end, goes into the same table, and is activated again |
//!
//! So the table of a version stays until the run has ended well.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_runtime::target::Outcome;

use crate::api::{Submission, Table};
use crate::config::{Mode, OnDelete};
use crate::job_base;
use crate::place::Place;
use crate::shape::Shape;
use crate::sql;
use crate::stream::Inner;
use crate::table::Ready;
use crate::write::reference;

/// How long a table of a version lives that is never activated.
const LIFETIME_MILLISECONDS: i64 = 7 * 24 * 3600 * 1000;

/// The table that a version is collected in.
fn hidden_place(place: &Place, version: i64) -> Place {
    let table: String = place.table.chars().take(200).collect();
    place.beside(format!("{table}__new_{version}"))
}

/// The table that a version is collected in, created if need be.
pub(crate) async fn hidden(
    inner: &Inner,
    shape: &Shape,
    place: &Place,
    version: i64,
) -> Result<Arc<Ready>> {
    let hidden = hidden_place(place, version);
    let make = Box::pin(make_hidden(inner, shape, place, &hidden));
    inner.table_by(&hidden, make).await
}

async fn make_hidden(inner: &Inner, shape: &Shape, place: &Place, hidden: &Place) -> Result<Ready> {
    let warehouse = &inner.warehouse;
    let location = warehouse.location(&place.dataset).await?;
    let mut body = shape.spec.body();
    // How it is laid out is for its owner to say.
    if let Some(old) = old_table(inner, place).await? {
        for (key, value) in old.layout {
            body[key] = value;
        }
    }
    let expiration = warehouse.context.now().timestamp_millis() + LIFETIME_MILLISECONDS;
    body["expirationTime"] = json!(expiration.to_string());
    let is_new = shape.spec.create(warehouse, hidden, body).await?;
    let mut ready = shape.spec.ensure(warehouse, hidden).await?;
    ready.is_new = is_new;
    ready.location = location;
    Ok(ready)
}

/// The table that is to be replaced, if there is one.
async fn old_table(inner: &Inner, place: &Place) -> Result<Option<Table>> {
    let table = inner
        .warehouse
        .api
        .table(&place.dataset, &place.table)
        .await;
    table.map_err(|fault| fault.error(&format!("cannot read the table `{place}`")))
}

/// Every row of the version is durable: what is not of it goes.
pub(crate) async fn activate(
    inner: &Arc<Inner>,
    version: i64,
    rows: Option<u64>,
) -> Result<Outcome> {
    let shape = inner.shape()?;
    match (shape.mode, shape.on_delete) {
        (Mode::Replace, _) => swap_all(inner, shape, version, rows).await,
        (_, None) => Ok(Outcome::default()),
        (_, Some(on_delete)) => {
            if shape.sends_changes() {
                return Err(Error::rejected(format!(
                    "rows of stream `{}` that vanished cannot be deleted: its table takes changes, and no statement beside them",
                    inner.stream.name
                ))
                .with_hint("use `method` `load` for full tables with `on_delete`"));
            }
            let mut outcome = Outcome::default();
            let places = match shape.route.fixed() {
                Some(place) => vec![place],
                None => inner.places(),
            };
            for place in places {
                let ready = inner.table(&place).await?;
                outcome.cleared += sweep(inner, &ready, version, on_delete).await?;
            }
            Ok(outcome)
        }
    }
}

async fn sweep(inner: &Inner, ready: &Ready, version: i64, on_delete: OnDelete) -> Result<u64> {
    let now = inner.warehouse.context.now();
    let query = match on_delete {
        OnDelete::Hard => sql::delete_vanished(&ready.path, version),
        OnDelete::Soft => {
            let at = now.to_rfc3339_opts(SecondsFormat::Micros, true);
            sql::mark_vanished(&ready.path, version, &at)
        }
    };
    let what = format!("cannot delete the rows of `{}` that vanished", ready.place);
    let base = job_base(
        &inner.warehouse,
        &ready.place,
        &["vanished", &version.to_string()],
    );
    let job = inner
        .warehouse
        .jobs
        .must(&what, &base, ready.location.as_deref(), &query)
        .await?;
    Ok(job.affected_rows().unwrap_or_default())
}

async fn swap_all(
    inner: &Arc<Inner>,
    shape: &Shape,
    version: i64,
    rows: Option<u64>,
) -> Result<Outcome> {
    let suffix = format!("__new_{version}");
    let mut places: Vec<Place> = inner
        .places()
        .into_iter()
        .filter_map(|hidden| {
            let table = hidden.table.strip_suffix(&suffix)?;
            Some(hidden.beside(table.to_owned()))
        })
        .collect();
    if places.is_empty()
        && let Some(place) = shape.route.fixed()
    {
        // Its rows came in a run before, or there are none and that is meant.
        let is_there = inner.table_is_there(&hidden_place(&place, version)).await?;
        if is_there || rows == Some(0) {
            places.push(place);
        } else {
            tracing::warn!(
                stream = inner.stream.name,
                "a version without records does not replace the table: `allow_empty` is not set"
            );
        }
    }
    for place in places {
        // A name that was cut is known by the stream's one table alone.
        let place = shape.route.fixed().unwrap_or(place);
        swap(inner, shape, &place, version, rows).await?;
    }
    Ok(Outcome::default())
}

async fn swap(
    inner: &Arc<Inner>,
    shape: &Shape,
    place: &Place,
    version: i64,
    rows: Option<u64>,
) -> Result<()> {
    let warehouse = &inner.warehouse;
    let hidden = hidden(inner, shape, place, version).await?;
    let old = old_table(inner, place).await?;
    let arrived = inner.is_filled(&hidden.place) || !hidden.is_new;
    if !arrived && rows != Some(0) {
        tracing::warn!(
            stream = inner.stream.name,
            table = %place,
            "a version does not replace the table: each of its rows was refused"
        );
        discard(inner, &hidden.place).await;
        return Ok(());
    }
    keep(inner, &hidden.place).await?;
    let what = format!("cannot replace the table `{place}`");
    let project = warehouse.api.project();
    let submission = Submission {
        configuration: json!({
            "copy": {
                "sourceTable": reference(project, &hidden.place),
                "destinationTable": reference(project, place),
                "writeDisposition": "WRITE_TRUNCATE",
                "createDisposition": "CREATE_IF_NEEDED",
            },
            "labels": {"loader": "target-bigquery"},
        }),
        data: None,
    };
    // A version that got more rows after it was activated is activated once more.
    let times = inner.count_swap(&hidden.place).to_string();
    let base = job_base(warehouse, place, &["swap", &version.to_string(), &times]);
    let ended = warehouse
        .jobs
        .run(&base, hidden.location.as_deref(), &submission)
        .await;
    let ended = ended.map_err(|fault| {
        crate::warehouse::lacks(
            fault,
            &what,
            "bigquery.tables.updateData",
            "roles/bigquery.dataEditor",
        )
    })?;
    ended.done(&what)?;
    tracing::info!(stream = inner.stream.name, table = %place, version, "replaced the table");
    restore(inner, shape, place, old.as_ref()).await
}

/// From now on the table of a version does not go by itself: a copy may take that along, and the table
/// that it replaces would vanish if nobody came to mend it.
async fn keep(inner: &Inner, hidden: &Place) -> Result<()> {
    let body = json!({"expirationTime": null});
    let api = &inner.warehouse.api;
    let patched = api.patch_table(&hidden.dataset, &hidden.table, &body, None);
    patched.await.map_err(|fault| {
        crate::warehouse::lacks(
            fault,
            &format!("cannot change the table `{hidden}`"),
            "bigquery.tables.update",
            "roles/bigquery.dataEditor",
        )
    })
}

/// Deletes the tables of versions that have taken their places, after a run that ended well.
pub(crate) async fn clean(inner: &Inner) {
    for place in inner.swapped() {
        discard(inner, &place).await;
    }
}

/// Deletes the table of a version.
async fn discard(inner: &Inner, hidden: &Place) {
    inner.forget(hidden);
    let api = &inner.warehouse.api;
    if let Err(fault) = api.delete_table(&hidden.dataset, &hidden.table).await {
        let error = fault.error("cannot delete it");
        tracing::warn!(table = %hidden, %error, "the table of the version is left; it goes within days");
    }
}

/// A copy may lose what a table says of its key, its labels and words, and bring the end of the table
/// that it was copied from.
async fn restore(inner: &Inner, shape: &Shape, place: &Place, old: Option<&Table>) -> Result<()> {
    let Some(new) = old_table(inner, place).await? else {
        return Ok(());
    };
    let mut body = serde_json::Map::new();
    let expiration = old.and_then(|old| old.expiration.clone());
    if new.expiration != expiration {
        body.insert("expirationTime".to_owned(), json!(expiration));
    }
    if new.primary_key.is_empty() && !shape.spec.keys.is_empty() {
        let key = json!({"primaryKey": {"columns": shape.spec.keys}});
        body.insert("tableConstraints".to_owned(), key);
    }
    let created = shape.spec.body();
    for key in ["labels", "description", "friendlyName"] {
        let wanted = old.and_then(|old| old.layout.get(key));
        if let Some(wanted) = wanted.or_else(|| created.get(key))
            && new.layout.get(key) != Some(wanted)
        {
            body.insert(key.to_owned(), wanted.clone());
        }
    }
    if body.is_empty() {
        return Ok(());
    }
    let body = Value::Object(body);
    let patched = inner
        .warehouse
        .api
        .patch_table(&place.dataset, &place.table, &body, None)
        .await;
    patched.map_err(|fault| {
        crate::warehouse::lacks(
            fault,
            &format!("cannot change the table `{place}`"),
            "bigquery.tables.update",
            "roles/bigquery.dataEditor",
        )
    })
}
