//! Catalyst's endpoints: one function each, and the scope that it needs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singer_core::{Error, Result, Secret};
use singer_net::{Answer, Bytes, Request, Url};
use singer_runtime::context::Context;
use zoho::fault::catalyst::Catalyst;
use zoho::{Account, Call, Class, Fault, Repeat};

use crate::config::Config;
use crate::model::{ColumnInfo, Envelope, Job, JsonRow, Listing, QueryRow, RowsPage, TableInfo};
use crate::value::text_of;

/// What the official clients send; ids then come as texts.
const JSON: &str = "application/vnd.catalyst.v2+json";
const ZCQL: &str = "application/vnd.catalyst.v2+zcql";

/// No download of more bytes than this is begun to be read.
const MAX_DOWNLOAD_BYTES: u64 = 16 << 30;

/// The service of one project.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    inner: zoho::Api<Catalyst>,
    project: String,
}

/// What a bulk read job is to read.
#[derive(Debug, Clone)]
pub(crate) struct ReadJob<'a> {
    /// The table's id.
    pub(crate) table: &'a str,
    /// The page, from 1.
    pub(crate) page: u32,
    /// The columns.
    pub(crate) columns: &'a [String],
    /// Conditions that all must hold: column, comparator, value.
    pub(crate) criteria: &'a [(&'static str, &'static str, String)],
    /// Where it calls back.
    pub(crate) callback: Option<CallbackTo<'a>>,
}

/// Where a job calls back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallbackTo<'a> {
    /// The URL.
    pub(crate) url: &'a str,
    /// The header that holds the secret.
    pub(crate) header: &'a str,
    /// The secret.
    pub(crate) secret: &'a Secret,
}

impl Api {
    /// Builds the client; sends nothing.
    pub(crate) fn new(config: &Config, context: &Context) -> Result<Self> {
        let surroundings = std::sync::Arc::new(context.clone());
        let account = Account::new(&config.account, &config.http, surroundings)?;
        let mut inner = zoho::Api::new(config.base()?, account, &config.http, config.patience())?;
        if let Some(org) = &config.org_id {
            inner = inner.with_header("catalyst-org", org)?;
        }
        if let Some(environment) = config.environment {
            inner = inner.with_header("environment", environment.name())?;
        }
        Ok(Self {
            inner,
            project: config.project_id.clone(),
        })
    }

    /// What the account is called in a message.
    pub(crate) fn account(&self) -> &Account {
        self.inner.account()
    }

    /// `GET /table`: all tables.
    pub(crate) async fn tables(&self) -> Result<Vec<TableInfo>> {
        let what = "list the tables";
        let tables = self.list(what, &["table"]).await;
        named(tables, what, "ZohoCatalyst.tables.READ")
    }

    /// `GET /table/{t}/column`: the columns of a table.
    pub(crate) async fn columns(&self, table: &TableInfo) -> Result<Vec<ColumnInfo>> {
        let what = format!("list the columns of `{}`", table.name);
        let columns = self.list(&what, &["table", &table.id, "column"]).await;
        named(columns, &what, "ZohoCatalyst.tables.columns.READ")
    }

    /// `GET /table/{t}/row`: a page of rows. Nothing is in order, nothing can be left out.
    pub(crate) async fn rows(
        &self,
        (id, name): (&str, &str),
        most: u32,
        token: Option<&str>,
    ) -> Result<RowsPage> {
        let what = format!("read rows of `{name}`");
        let most = most.to_string();
        let mut query = vec![("max_rows", most.as_str())];
        query.extend(token.map(|token| ("next_token", token)));
        let answer = self.ask(&what, &["table", id, "row"], &query).await;
        let page = answer.and_then(|answer| parse(&what, &answer));
        named(page, &what, "ZohoCatalyst.tables.rows.READ")
    }

    /// `GET /table/{t}/row/{ROWID}`: one row, if it is there.
    pub(crate) async fn row(
        &self,
        (id, name): (&str, &str),
        rowid: &str,
    ) -> Result<Option<JsonRow>> {
        let what = format!("read a row of `{name}`");
        let rows: Result<Vec<JsonRow>, Fault> =
            self.list(&what, &["table", id, "row", rowid]).await;
        let row = match rows {
            Err(fault) if fault.class == Class::Missing => Ok(None),
            other => other.map(|rows| rows.into_iter().next()),
        };
        named(row, &what, "ZohoCatalyst.tables.rows.READ")
    }

    /// `POST /query`: the rows of a SELECT on one table. The fault is the service's own, as a caller may
    /// have another way.
    pub(crate) async fn query(&self, table: &str, zcql: &str) -> Result<Vec<JsonRow>, Fault> {
        let what = format!("query `{table}`");
        let url = self.url(&["query"])?;
        let request = Request::post_json(url, body(&json!({"query": zcql}))).header("accept", ZCQL);
        let answer = self.send(&what, request).await?;
        let rows: Listing<QueryRow> = parse(&what, &answer)?;
        Ok(rows
            .data
            .into_iter()
            .filter_map(|row| row.into_values().next())
            .collect())
    }

    /// The one number of a query, such as a count.
    pub(crate) async fn number(&self, table: &str, zcql: &str) -> Result<u64, Fault> {
        let rows = self.query(table, zcql).await?;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_values().next());
        let Some(value) = value else { return Ok(0) };
        let text = text_of(&value).unwrap_or(value.get().into());
        text.parse().map_err(|_| {
            Error::protocol(format!("the answer to a count of `{table}` is no number")).into()
        })
    }

    /// `POST /bulk/read`: submits a job. Two jobs for one page do no harm, so it may be repeated.
    pub(crate) async fn submit_read(&self, what: &str, job: &ReadJob<'_>) -> Result<Job, Fault> {
        let url = self.url(&["bulk", "read"])?;
        let request = Request::post_json(url, body(&job.to_json())).header("accept", JSON);
        let answer = self.send(what, request).await?;
        Ok(parse::<Envelope<Job>>(what, &answer)?.data)
    }

    /// `GET /bulk/read/{job_id}`: how far a job is.
    pub(crate) async fn read_job(&self, what: &str, id: &str) -> Result<Job, Fault> {
        let answer = self.ask(what, &["bulk", "read", id], &[]).await?;
        Ok(parse::<Envelope<Job>>(what, &answer)?.data)
    }

    /// `GET /bulk/read/{job_id}/download`: the file of a job, rewound, and seen by nobody else. The address
    /// is built here and not taken from the job, so that the token goes to the service alone.
    pub(crate) async fn download(
        &self,
        what: &str,
        id: &str,
        folder: &Path,
    ) -> Result<std::fs::File, Fault> {
        let url = self.url(&["bulk", "read", id, "download"])?;
        self.inner
            .download(what, url, folder, MAX_DOWNLOAD_BYTES)
            .await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        segments: &[&str],
    ) -> Result<Vec<T>, Fault> {
        let answer = self.ask(what, segments, &[]).await?;
        Ok(parse::<Listing<T>>(what, &answer)?.data)
    }

    async fn ask(
        &self,
        what: &str,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Fault> {
        let mut url = self.url(segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(what, Request::get(url).header("accept", JSON))
            .await
    }

    async fn send(&self, what: &str, request: Request) -> Result<Answer, Fault> {
        let call = Call {
            what,
            request,
            repeat: Repeat::Safely,
            group: None,
        };
        self.inner.send(call).await
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Fault> {
        let mut path = vec!["baas", "v1", "project", self.project.as_str()];
        path.extend_from_slice(segments);
        Ok(self.inner.url(&path)?)
    }
}

impl ReadJob<'_> {
    fn to_json(&self) -> Value {
        let mut query = json!({"page": self.page, "select_columns": self.columns});
        if !self.criteria.is_empty() {
            let group: Vec<Value> = self
                .criteria
                .iter()
                .map(|(column, comparator, value)| {
                    json!({"column_name": column, "comparator": comparator, "value": value})
                })
                .collect();
            query["criteria"] = json!({"group_operator": "and", "group": group});
        }
        let mut job = json!({"table_identifier": self.table, "query": query});
        if let Some(callback) = self.callback {
            let headers = BTreeMap::from([(callback.header, callback.secret.expose())]);
            job["callback"] = json!({"url": callback.url, "headers": headers});
        }
        job
    }
}

/// The error of a fault, with the scope that would help.
pub(crate) fn error_of(fault: Fault, what: &str, scope: &str) -> Error {
    fault.into_error_of_scope(&format!("cannot {what}"), scope)
}

fn named<T>(result: Result<T, Fault>, what: &str, scope: &str) -> Result<T> {
    result.map_err(|fault| error_of(fault, what, scope))
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

/// What an answer of success holds. serde's message may quote a value, so only its place is told.
fn parse<T: DeserializeOwned>(what: &str, answer: &Answer) -> Result<T, Fault> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let cause = Error::protocol(format!(
            "the answer has another shape than is known, at line {}, column {}",
            error.line(),
            error.column()
        ));
        Error::protocol(format!("cannot {what}"))
            .with_source(cause)
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_asks_for_a_page_and_says_where_to_call() {
        let secret = Secret::new("s");
        let job = ReadJob {
            table: "4000",
            page: 2,
            columns: &["ROWID".to_owned()],
            criteria: &[(
                "MODIFIEDTIME",
                "greater_than",
                "2025-02-01 00:00:00".to_owned(),
            )],
            callback: Some(CallbackTo {
                url: "https://h/bulk",
                header: "x-secret",
                secret: &secret,
            }),
        };
        let wanted = json!({
            "table_identifier": "4000",
            "query": {"page": 2, "select_columns": ["ROWID"], "criteria": {
                "group_operator": "and",
                "group": [{"column_name": "MODIFIEDTIME", "comparator": "greater_than", "value": "2025-02-01 00:00:00"}],
            }},
            "callback": {"url": "https://h/bulk", "headers": {"x-secret": "s"}},
        });
        assert_eq!(job.to_json(), wanted);
    }
}
