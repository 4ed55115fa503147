//! The endpoints of Bulk Write: one function each, no policy.

use std::fs::File;

use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_net::{Bytes, Request};
use zoho::crm::{Crm, Spend, VERSION, parse};
use zoho::{Call, Fault, Repeat};

use crate::model::{Job, text_of};

/// Bytes of a result at most.
const MOST_RESULT: u64 = 256 << 20;

/// Values in one COQL list.
pub(crate) const MOST_VALUES: usize = 100;

/// Asks for Bulk Write.
#[derive(Debug, Clone)]
pub struct Api {
    crm: Crm,
}

impl Api {
    /// The endpoints below this client.
    pub fn new(crm: Crm) -> Self {
        Self { crm }
    }

    /// The client below: modules, fields, the organisation, credits.
    pub fn crm(&self) -> &Crm {
        &self.crm
    }

    /// Requests so far, and of these those that were made again.
    pub fn traffic(&self) -> (u64, u64) {
        let traffic = self.crm.api().traffic();
        (traffic.requests, traffic.retried)
    }

    /// Uploads a zip as the body of a form; returns the id of the file.
    pub async fn upload(
        &self,
        zgid: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<String, Fault> {
        let what = "upload a file";
        let answer = self.crm.upload(what, zgid, content_type, body).await?;
        let body: Value = parse(what, &answer)?;
        text_of(&body["details"]["file_id"]).ok_or_else(|| strange(what, "a `file_id`"))
    }

    /// Creates a job; returns its id.
    pub async fn create_job(&self, request: &Value, repeat: Repeat) -> Result<String, Fault> {
        let what = "create a job";
        let url = self.crm.api().url(&["crm", "bulk", VERSION, "write"])?;
        let body = serde_json::to_vec(request)
            .map_err(|error| Error::internal("cannot write JSON").with_source(error))?;
        let call = Call {
            what,
            request: Request::post_json(url, body.into()),
            repeat,
            group: None,
        };
        let answer = self.crm.send(call, Spend::BulkWrite).await?;
        // Whoever cannot read the answer does not know the job, which may well be there.
        let body: Value = parse(what, &answer).map_err(|fault: Fault| Fault {
            class: zoho::Class::Broken,
            ..fault
        })?;
        let details = match &body["data"] {
            Value::Array(all) => all.first().cloned().unwrap_or_default(),
            _ => body,
        };
        text_of(&details["details"]["id"]).ok_or_else(|| strange(what, "the id of the job"))
    }

    /// How a job stands.
    pub async fn job(&self, id: &str) -> Result<Job, Fault> {
        let what = "ask for a job";
        let url = self.crm.api().url(&["crm", "bulk", VERSION, "write", id])?;
        let call = Call {
            what,
            request: Request::get(url),
            repeat: Repeat::Safely,
            group: None,
        };
        let answer = self.crm.send(call, Spend::Poll).await?;
        let body: Value = parse(what, &answer)?;
        Job::of(&body).ok_or_else(|| strange(what, "the status of the job"))
    }

    /// Downloads a result into a file that nobody else sees.
    pub async fn result(&self, link: &str) -> Result<File, Fault> {
        let folder = std::env::temp_dir();
        self.crm
            .download("download the result", link, &folder, MOST_RESULT)
            .await
    }

    /// The rows of a COQL query, `limit` at most.
    pub async fn query(&self, select: &str, limit: u32) -> Result<Vec<Value>, Fault> {
        let what = "look for records";
        let url = self.crm.api().url(&["crm", VERSION, "coql"])?;
        let body = json!({ "select_query": format!("{select} limit {limit}") }).to_string();
        let call = Call {
            what,
            request: Request::post_json(url, body.into()),
            repeat: Repeat::Safely,
            group: None,
        };
        let answer = self.crm.send(call, Spend::Coql(limit)).await?;
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        let mut body: Value = parse(what, &answer)?;
        match body.get_mut("data").map(Value::take) {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(strange(what, "a list `data`")),
        }
    }
}

/// An answer of success without what it should hold. Whether the service acted is not known.
fn strange(what: &str, lacks: &str) -> Fault {
    let mut fault: Fault =
        Error::protocol(format!("cannot {what}: the answer does not hold {lacks}")).into();
    fault.class = zoho::Class::Broken;
    fault
}
