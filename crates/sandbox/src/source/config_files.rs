//! Config files for a tap and a target, with which a person or a script can go on at once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::source::connection::Connection;
use crate::source::data::Kind;

/// Older than anything in the sample data.
const START_DATE: &str = "2025-01-01T00:00:00Z";

/// The columns that Pendo has a field for, under the same name.
const ACCOUNT_FIELDS: [&str; 11] = [
    "name",
    "plan",
    "mrr",
    "seats",
    "is_trial",
    "country",
    "industry",
    "renewal_date",
    "owner_email",
    "health",
    "updated_at",
];
const VISITOR_FIELDS: [&str; 10] = [
    "full_name",
    "role",
    "language",
    "is_admin",
    "signup_date",
    "last_login",
    "sessions_30d",
    "nps",
    "score",
    "updated_at",
];

/// How a client reaches Pendo or its stand-in.
#[derive(Clone, Debug)]
pub struct PendoAccess {
    /// The setting `base_url`.
    pub base_url: String,
    /// The setting `integration_key`.
    pub integration_key: String,
}

/// How a client reaches BigQuery or its stand-in.
#[derive(Clone, Debug)]
pub struct BigQueryAccess {
    /// The setting `project`.
    pub project: String,
    /// The setting `endpoint`.
    pub endpoint: String,
    /// The setting `grpc_endpoint`.
    pub grpc_endpoint: String,
}

/// Writes `tap-redshift.json` and `target-pendo.json` into a folder, readable for their owner only.
pub(crate) fn write(folder: &Path, connection: &Connection, pendo: &PendoAccess) -> Result<()> {
    let tap = tap_config(connection);
    let stream = |kind: Kind, columns: &[&str]| {
        let fields: Map<String, Value> = columns
            .iter()
            .map(|column| ((*column).to_owned(), json!(column)))
            .collect();
        json!({"kind": kind.name(), "fields": fields})
    };
    let target = json!({
        "integration_key": pendo.integration_key,
        "base_url": pendo.base_url,
        "streams": {
            "account": stream(Kind::Account, &ACCOUNT_FIELDS),
            "visitor": stream(Kind::Visitor, &VISITOR_FIELDS),
        },
    });
    create_folder(folder)?;
    write_private(&folder.join("tap-redshift.json"), &tap)?;
    write_private(&folder.join("target-pendo.json"), &target)
}

/// Writes `tap-redshift.json` and `target-bigquery.json` into a folder, readable for their owner only.
pub(crate) fn write_chat(
    folder: &Path,
    connection: &Connection,
    bigquery: &BigQueryAccess,
) -> Result<()> {
    let mut tap = tap_config(connection);
    // Older than any message, and more than the lateness of the rows that commit late.
    tap["start_date"] = json!("2015-01-01T00:00:00Z");
    tap["lookback_seconds"] = json!(600);
    let target = json!({
        "project": bigquery.project,
        "endpoint": bigquery.endpoint,
        "grpc_endpoint": bigquery.grpc_endpoint,
        "dataset": "chat",
    });
    create_folder(folder)?;
    write_private(&folder.join("tap-redshift.json"), &tap)?;
    write_private(&folder.join("target-bigquery.json"), &target)
}

fn tap_config(connection: &Connection) -> Value {
    let Connection {
        host,
        port,
        dbname,
        user,
        password,
        schema,
    } = connection;
    json!({
        "host": host,
        "port": port,
        "dbname": dbname,
        "user": user,
        "password": password,
        "sslmode": "disable",
        "schema": schema,
        "start_date": START_DATE,
    })
}

fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create folder `{}`", folder.display()))
}

fn write_private(path: &Path, value: &Value) -> Result<()> {
    let write = || -> std::io::Result<()> {
        // An older file keeps its mode when it is opened again: it is replaced.
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{value:#}")
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
