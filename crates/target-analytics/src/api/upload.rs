//! Imports: files on their way, with CONFIG in the body or in the query.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::Value;
use singer_net::{Method, Request};
use zoho::{Call, Fault, Repeat};

use super::{Api, BULK, Table, in_query, json_of, strange};
use crate::model::text_of;

/// A body that holds a file.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// The body.
    pub(crate) content: Content,
    /// What it is, with the boundary of its parts.
    pub(crate) content_type: String,
    /// CONFIG, if it stands in the query and not in the body.
    pub(crate) query: Option<String>,
}

/// Where the bytes of a body are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Here.
    Bytes(Bytes),
    /// On disk.
    File(PathBuf),
}

/// What a file led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The job.
    pub(crate) job: String,
    /// The key that the next file of the same batch job needs.
    pub(crate) key: Option<String>,
}

/// The path to which the rows of a table are sent.
fn data_of(table: &Table) -> [&str; 6] {
    let Table {
        workspace, view, ..
    } = table;
    ["bulk", "workspaces", workspace, "views", view, "data"]
}

impl Api {
    /// Begins an import of one file.
    pub(crate) async fn import(
        &self,
        table: &Table,
        upload: &Upload,
        repeat: Repeat,
    ) -> Result<Sent, Fault> {
        let path = data_of(table);
        self.post("send a file", &path, upload, repeat).await
    }

    /// Sends one file of a batch job.
    pub(crate) async fn import_batch(
        &self,
        table: &Table,
        upload: &Upload,
        repeat: Repeat,
    ) -> Result<Sent, Fault> {
        let path = [&data_of(table)[..], &["batch"]].concat();
        self.post("send a file of a batch", &path, upload, repeat)
            .await
    }

    /// Whether CONFIG stands in the query when a file is sent.
    pub(crate) fn is_query(&self) -> bool {
        self.query.load(Ordering::Relaxed)
    }

    /// Whether an upload was refused because the service looks for CONFIG in the query alone; from then
    /// on it stands there.
    pub(crate) fn wants_query(&self, fault: &Fault, upload: &Upload) -> bool {
        let is_missing = fault.is("8504") || fault.is("8077");
        if !is_missing || upload.query.is_some() {
            return false;
        }
        if !self.query.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "Analytics finds no CONFIG in the body of a file: it is put into the query, as `config_in_query` does"
            );
        }
        true
    }

    async fn post(
        &self,
        what: &str,
        path: &[&str],
        upload: &Upload,
        repeat: Repeat,
    ) -> Result<Sent, Fault> {
        let mut url = self.url(path)?;
        if let Some(config) = &upload.query {
            in_query(&mut url, config);
        }
        let request = match &upload.content {
            Content::Bytes(bytes) => Request::post(url, "multipart/form-data", bytes.clone()),
            Content::File(path) => {
                Request::with_file(Method::POST, url, "multipart/form-data", path.clone())?
            }
        };
        let call = Call {
            what,
            request: request.text_header("content-type", &upload.content_type)?,
            repeat,
            group: Some(BULK),
        };
        let body: Value = json_of(&self.send(call).await?)?;
        let data = &body["data"];
        Ok(Sent {
            job: text_of(&data["jobId"]).ok_or_else(|| strange("the id of the job", &body))?,
            key: text_of(&data["batchKey"]),
        })
    }
}
