//! CRM's endpoints that a tap needs beside metadata: one function each, and what it spends.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_net::{Bytes, Request, Url};
use singer_runtime::context::Context;
use zoho::crm::{Crm, Spend, VERSION, parse};
use zoho::{Account, Call, Fault, Repeat};

use crate::config::Config;
use crate::model::{Created, DeletedPage, Envelope, Job, RowsPage};

/// Records of a query at most.
pub(crate) const QUERY_ROWS: u32 = 2000;

/// Records of a page of the records API, and of deleted records.
pub(crate) const PAGE_ROWS: u32 = 200;

/// No download of more bytes than this is begun to be read.
const MAX_DOWNLOAD_BYTES: u64 = 16 << 30;

/// Codes that say that a module cannot be read this way, or not by this user: a matter of its stream alone.
const OF_THE_STREAM: [&str; 10] = [
    "MODULE_NOT_AVAILABLE",
    "MODULE_NOT_SUPPORTED",
    "JOB_NOT_SUPPORTED",
    "NOT_SUPPORTED_FEATURE",
    "QUERY_NOT_SUPPORTED",
    "INVALID_MODULE",
    "INVALID_QUERY",
    "AUTHORIZATION_FAILED",
    "NO_PERMISSION",
    "FEATURE_NOT_ENABLED",
];

/// What a bulk read job is to read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReadQuery {
    /// The first page.
    First {
        /// The module.
        module: String,
        /// The fields.
        fields: Vec<String>,
        /// The criteria.
        criteria: Option<Value>,
    },
    /// A later page, by what the job before it gave.
    Token(String),
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    crm: Crm,
}

impl Api {
    /// Builds the client; sends nothing.
    pub(crate) fn new(config: &Config, context: &Context) -> Result<Self> {
        let surroundings = std::sync::Arc::new(context.clone());
        let account = Account::new(&config.account, &config.http, surroundings)?;
        Ok(Self {
            crm: Crm::new(account, &config.crm, &config.http)?,
        })
    }

    /// Metadata and credits.
    pub(crate) fn crm(&self) -> &Crm {
        &self.crm
    }

    /// `POST /crm/bulk/v8/read`: creates a job and returns its id. Two jobs for one page cost more and do no
    /// harm, so it may be repeated.
    pub(crate) async fn create_read(
        &self,
        what: &str,
        query: &ReadQuery,
        callback: Option<&str>,
    ) -> Result<String, Fault> {
        let url = self.url(&["bulk", VERSION, "read"])?;
        let request = Request::post_json(url, body(&query.to_json(callback)));
        let answer = self.crm.send(call(what, request), Spend::BulkRead).await?;
        let created: Envelope<Created> = parse(what, &answer)?;
        let job = created.data.into_iter().next();
        Ok(job.ok_or_else(|| nothing(what))?.details.id)
    }

    /// `GET /crm/bulk/v8/read/{job_id}`: how far a job is.
    pub(crate) async fn read_job(&self, what: &str, id: &str) -> Result<Job, Fault> {
        let url = self.url(&["bulk", VERSION, "read", id])?;
        let answer = self
            .crm
            .send(call(what, Request::get(url)), Spend::Poll)
            .await?;
        let jobs: Envelope<Job> = parse(what, &answer)?;
        Ok(jobs.data.into_iter().next().ok_or_else(|| nothing(what))?)
    }

    /// `GET /crm/bulk/v8/read/{job_id}/result`: the archive of a job, rewound, and seen by nobody else. The
    /// address is built here and not taken from the job.
    pub(crate) async fn download(
        &self,
        what: &str,
        id: &str,
        folder: &Path,
    ) -> Result<File, Fault> {
        let link = format!("/crm/bulk/{VERSION}/read/{id}/result");
        self.crm
            .download(what, &link, folder, MAX_DOWNLOAD_BYTES)
            .await
    }

    /// `POST /crm/v8/coql`: the rows of a SELECT with a limit; none if the service says that there is nothing.
    pub(crate) async fn query(
        &self,
        what: &str,
        select: &str,
        limit: u32,
    ) -> Result<RowsPage, Fault> {
        let url = self.url(&[VERSION, "coql"])?;
        let query = json!({"select_query": format!("{select} limit {limit}")});
        let request = Request::post_json(url, body(&query));
        let answer = self
            .crm
            .send(call(what, request), Spend::Coql(limit))
            .await?;
        if answer.body.is_empty() {
            return Ok(no_rows());
        }
        parse(what, &answer)
    }

    /// `GET /crm/v8/{module}`: a page of records that were changed at `since` or later, in the order of their changes.
    pub(crate) async fn records(
        &self,
        what: &str,
        module: &str,
        fields: &str,
        since: &str,
        token: Option<&str>,
    ) -> Result<RowsPage, Fault> {
        let most = PAGE_ROWS.to_string();
        let mut query = vec![
            ("fields", fields),
            ("per_page", most.as_str()),
            ("sort_by", "Modified_Time"),
            ("sort_order", "asc"),
        ];
        if module == "Leads" {
            // Those that were converted are left out of the listing otherwise.
            query.push(("converted", "both"));
        }
        query.extend(token.map(|token| ("page_token", token)));
        let mut url = self.url(&[VERSION, module])?;
        url.query_pairs_mut().extend_pairs(query);
        let request = Request::get(url).text_header("if-modified-since", since)?;
        let answer = match self.crm.send(call(what, request), Spend::Records).await {
            Err(fault) if fault.status == Some(304) => return Ok(no_rows()),
            other => other?,
        };
        if answer.body.is_empty() {
            return Ok(no_rows());
        }
        parse(what, &answer)
    }

    /// `GET /crm/v8/{module}/deleted`: a page of the records that were deleted at `since` or later.
    pub(crate) async fn deleted(
        &self,
        what: &str,
        module: &str,
        since: &str,
        page: u32,
    ) -> Result<DeletedPage, Fault> {
        let (page, most) = (page.to_string(), PAGE_ROWS.to_string());
        let mut url = self.url(&[VERSION, module, "deleted"])?;
        url.query_pairs_mut().extend_pairs([
            ("type", "all"),
            ("page", page.as_str()),
            ("per_page", most.as_str()),
        ]);
        let request = Request::get(url).text_header("if-modified-since", since)?;
        let none = || DeletedPage {
            data: Vec::new(),
            info: Default::default(),
        };
        let answer = match self.crm.send(call(what, request), Spend::Records).await {
            Err(fault) if fault.status == Some(304) => return Ok(none()),
            other => other?,
        };
        if answer.body.is_empty() {
            return Ok(none());
        }
        parse(what, &answer)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Fault> {
        let mut path = vec!["crm"];
        path.extend_from_slice(segments);
        Ok(self.crm.api().url(&path)?)
    }
}

impl ReadQuery {
    fn to_json(&self, callback: Option<&str>) -> Value {
        let query = match self {
            Self::First {
                module,
                fields,
                criteria,
            } => {
                let mut query = json!({"module": {"api_name": module}, "fields": fields});
                if let Some(criteria) = criteria {
                    query["criteria"] = criteria.clone();
                }
                query
            }
            Self::Token(token) => json!({"page_token": token}),
        };
        let mut job = json!({"query": query, "file_type": "csv"});
        if let Some(url) = callback {
            job["callback"] = json!({"url": url, "method": "post"});
        }
        job
    }
}

/// The error of a fault, with the scope that would help. What is wrong with a module alone is no error of the run.
pub(crate) fn error_of(fault: Fault, what: &str, scope: &str) -> Error {
    let is_of_stream = is_of_stream(&fault);
    let what = format!("cannot {what}");
    if is_of_stream {
        return Error::rejected("the service does not let this module be read")
            .with_source(fault.into_error(&what))
            .with_hint("deselect the stream, or permit it to the token's user in the CRM");
    }
    fault.into_error_of_scope(&what, scope)
}

/// Whether a fault is about a module or the user's rights on it.
pub(crate) fn is_of_stream(fault: &Fault) -> bool {
    (fault.code.as_deref()).is_some_and(|code| OF_THE_STREAM.contains(&code))
}

fn call(what: &str, request: Request) -> Call<'_> {
    Call {
        what,
        request,
        repeat: Repeat::Safely,
        group: None,
    }
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

fn no_rows() -> RowsPage {
    RowsPage {
        data: Vec::new(),
        info: Default::default(),
    }
}

fn nothing(what: &str) -> Error {
    Error::protocol(format!("cannot {what}"))
        .with_source(Error::protocol("the answer does not hold a job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_page_says_what_is_read_and_later_ones_only_the_token() {
        let first = ReadQuery::First {
            module: "Leads".to_owned(),
            fields: vec!["id".to_owned()],
            criteria: Some(json!({"a": 1})),
        };
        assert_eq!(
            first.to_json(Some("https://h/crm?secret=s")),
            json!({
                "query": {"module": {"api_name": "Leads"}, "fields": ["id"], "criteria": {"a": 1}},
                "file_type": "csv",
                "callback": {"url": "https://h/crm?secret=s", "method": "post"},
            })
        );
        let later = ReadQuery::Token("t".to_owned());
        assert_eq!(
            later.to_json(None),
            json!({"query": {"page_token": "t"}, "file_type": "csv"})
        );
    }
}
