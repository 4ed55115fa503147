//! Zoho CRM: where it is, what it has (modules, fields, the organisation), and what asking costs.
//!
//! Every request goes through [`Crm::send`], [`Crm::upload`] or [`Crm::download`], so that its credits are
//! counted and the floor of the config holds. What is asked beside metadata is left to the connectors.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::DateTime;
use serde::de::DeserializeOwned;
use serde_json::Value;
use singer_core::{Error, Result};
use singer_net::{Answer, Base, Bytes, HttpConfig, Request, Url};

use crate::fault::Fault;
use crate::fault::crm::Crm as Service;
use crate::{Account, Api, Call, Repeat};

mod config;
pub(crate) mod credits;
mod data_type;
mod field;
mod link;
mod module;
mod organisation;
mod value;

#[cfg(test)]
mod tests;

pub use config::{CrmConfig, Environment};
pub use credits::{Credits, Spend, Spent};
pub use data_type::DataType;
pub use field::{Field, PickListValue};
pub use module::{GeneratedType, Module};
pub use organisation::Organisation;

/// The version of the API, as it stands in paths.
pub const VERSION: &str = "v8";

/// The group of downloads from Bulk Read, of which CRM allows ten a minute.
const DOWNLOADS: &str = "downloads";
const DOWNLOADS_PER_MINUTE: u32 = 10;

/// The first pause after throttling: what is too much at once here takes about this long to pass.
const THROTTLED: Duration = Duration::from_secs(10);
const BUSY: Duration = Duration::from_secs(5);

/// Asks Zoho CRM. Cheap to clone; clones share connections, pauses and credits.
#[derive(Debug, Clone)]
pub struct Crm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    api: Api<Service>,
    /// The upload host; `None` where none is known.
    uploads: Option<Api<Service>>,
    /// Whether the API is none of Zoho's hosts, so that none of these is ever tried.
    is_elsewhere: bool,
    http: HttpConfig,
    credits: Credits,
    /// Seconds by which the clock here was ahead of the service's at the last answer.
    ahead: AtomicI64,
}

impl Crm {
    /// Builds the clients; asks nothing yet.
    ///
    /// # Errors
    /// Of kind `Config` if a URL cannot be used.
    pub fn new(account: Account, config: &CrmConfig, http: &HttpConfig) -> Result<Self> {
        let data_center = account.data_center();
        let patience = config.patience();
        let build = |base: Base| {
            let api = Api::new(base, account.clone(), http, patience)?;
            Ok::<_, Error>(api.with_waits(THROTTLED, BUSY))
        };
        let api = build(config.base(data_center)?)?;
        let uploads = config.uploads(data_center)?.map(build).transpose()?;
        Ok(Self {
            inner: Arc::new(Inner {
                api: api.with_allowance(DOWNLOADS, DOWNLOADS_PER_MINUTE),
                uploads,
                is_elsewhere: config.is_elsewhere(data_center),
                http: http.clone(),
                credits: Credits::new(config.min_credits),
                ahead: AtomicI64::new(0),
            }),
        })
    }

    /// The client below, for URLs and for what was asked so far. A request that is sent through it alone
    /// costs credits that nobody counts.
    pub fn api(&self) -> &Api<Service> {
        &self.inner.api
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        self.inner.api.account()
    }

    /// What was spent, and what is left.
    pub fn credits(&self) -> &Credits {
        &self.inner.credits
    }

    /// Seconds by which the clock here is ahead of the service's, by the date of its last answer; 0 if it is not,
    /// or if no answer had a date. An answer that was long on its way counts as a difference.
    pub fn seconds_ahead(&self) -> i64 {
        self.inner.ahead.load(Ordering::Relaxed)
    }

    /// Sends a request to the API, if the floor of credits allows it, and counts what it costs.
    ///
    /// # Errors
    /// As [`Api::send`]; with a source of kind `RateLimited` if the call would go below the floor.
    pub async fn send(&self, call: Call<'_>, spend: Spend) -> Result<Answer, Fault> {
        self.send_by(&self.inner.api, call, spend).await
    }

    /// Sends a body of `multipart/form-data` to the upload host, for the organisation with this `zgid`.
    /// It may be sent again without harm: a file that no job names is forgotten.
    ///
    /// # Errors
    /// As [`Crm::send`]; of kind `Config` if the upload host of the data centre is not known.
    pub async fn upload(
        &self,
        what: &str,
        zgid: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, Fault> {
        let uploads = self.inner.uploads.as_ref().ok_or_else(|| self.no_host())?;
        let url = uploads.url(&["crm", VERSION, "upload"])?;
        let request = Request::post(url, "multipart/form-data", body)
            .text_header("content-type", content_type)?
            .text_header("x-crm-org", zgid)?
            .header("feature", "bulk-write");
        self.send_by(uploads, safe(what, request), Spend::Upload)
            .await
    }

    /// Streams a result into a file as [`Api::download`] does, those of Bulk Read ten a minute. `link` is what
    /// the job gives as `download_url`: a path, or a URL, which must lead to the configured hosts or to Zoho's of the
    /// same data centre.
    ///
    /// # Errors
    /// As [`Crm::send`]; of kind `Protocol` if the link leads elsewhere.
    pub async fn download(
        &self,
        what: &str,
        link: &str,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<File, Fault> {
        link::download(self, what, link, folder, max_bytes).await
    }

    /// All modules that the user may see, as the service lists them.
    ///
    /// # Errors
    /// As [`Crm::send`].
    pub async fn modules(&self) -> Result<Vec<Module>, Fault> {
        let what = "list the modules";
        let answer = self.get(what, &["settings", "modules"], &[]).await?;
        let listed = self.listed(what, &answer, "modules")?;
        Ok(listed.iter().filter_map(Module::of).collect())
    }

    /// One module by its API name.
    ///
    /// # Errors
    /// As [`Crm::send`].
    pub async fn module(&self, api_name: &str) -> Result<Option<Module>, Fault> {
        let what = format!("describe the module `{api_name}`");
        let path = ["settings", "modules", api_name];
        let answer = self.get(&what, &path, &[]).await?;
        let listed = self.listed(&what, &answer, "modules")?;
        Ok(listed.iter().find_map(Module::of))
    }

    /// The fields of a module, unused ones as well; nothing if the module has none that the service tells.
    ///
    /// # Errors
    /// As [`Crm::send`].
    pub async fn fields(&self, module: &str) -> Result<Option<Vec<Field>>, Fault> {
        let what = format!("list the fields of `{module}`");
        let query = [("module", module), ("type", "all")];
        let answer = self.get(&what, &["settings", "fields"], &query).await?;
        if answer.body.is_empty() {
            return Ok(None);
        }
        let listed = self.listed(&what, &answer, "fields")?;
        Ok(Some(listed.iter().filter_map(Field::of).collect()))
    }

    /// The organisation: the id that uploads need, its time zone, its edition.
    ///
    /// # Errors
    /// As [`Crm::send`].
    pub async fn organisation(&self) -> Result<Organisation, Fault> {
        let what = "read the organisation";
        let answer = self.get(what, &["org"], &[]).await?;
        let listed = self.listed(what, &answer, "org")?;
        let found = listed.iter().find_map(Organisation::of);
        Ok(found.ok_or_else(|| strange(what, "an organisation with a `zgid`"))?)
    }

    /// How many records a module has.
    ///
    /// # Errors
    /// As [`Crm::send`].
    pub async fn count(&self, module: &str) -> Result<u64, Fault> {
        let what = format!("count the records of `{module}`");
        let answer = self.get(&what, &[module, "actions", "count"], &[]).await?;
        if answer.body.is_empty() {
            return Ok(0);
        }
        let body: Value = parse(&what, &answer)?;
        Ok(value::number(&body, "count").ok_or_else(|| strange(&what, "a `count`"))?)
    }

    /// A GET below `/crm/v8`, which costs one credit as metadata.
    async fn get(
        &self,
        what: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Fault> {
        let mut segments = vec!["crm", VERSION];
        segments.extend_from_slice(path);
        let mut url: Url = self.inner.api.url(&segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(safe(what, Request::get(url)), Spend::Metadata)
            .await
    }

    async fn send_by(
        &self,
        api: &Api<Service>,
        call: Call<'_>,
        spend: Spend,
    ) -> Result<Answer, Fault> {
        let mut held = self.inner.credits.reserve(spend)?;
        let answer = api.send_for(call, &mut held).await;
        let told = answer.as_ref().ok().and_then(credits::remaining);
        held.ended(answer.is_ok(), told);
        if let Ok(answer) = &answer {
            self.note_date(answer);
        }
        answer
    }

    fn note_date(&self, answer: &Answer) {
        let date = answer
            .headers
            .get("date")
            .and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            let now = self.account().surroundings().now().timestamp();
            let ahead = now.saturating_sub(date.timestamp()).max(0);
            self.inner.ahead.store(ahead, Ordering::Relaxed);
        }
    }

    /// The elements of a list in an answer; none if there is no body.
    fn listed(&self, what: &str, answer: &Answer, key: &str) -> Result<Vec<Value>, Fault> {
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        let mut body: Value = parse(what, answer)?;
        match body.get_mut(key).map(Value::take) {
            Some(Value::Array(list)) => Ok(list),
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(strange(what, &format!("a list `{key}`")).into()),
        }
    }

    fn no_host(&self) -> Error {
        let name = self.account().data_center().name();
        Error::config(format!(
            "the upload host of CRM in the data centre `{name}` is not known"
        ))
        .with_hint("`upload_url` says where it is")
    }
}

/// What an answer of success holds. serde's message may quote a value, so only its place is told.
///
/// # Errors
/// Of kind `Protocol`, in the fault's source.
pub fn parse<T: DeserializeOwned>(what: &str, answer: &Answer) -> Result<T, Fault> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let place = (error.line(), error.column());
        let (line, column) = place;
        let shape = format!("JSON of the known shape at line {line}, column {column}");
        strange(what, &shape).into()
    })
}

/// A call that may be made again.
fn safe(what: &str, request: Request) -> Call<'_> {
    Call {
        what,
        request,
        repeat: Repeat::Safely,
        group: None,
    }
}

/// An answer of success without what it should hold; nothing of it is shown.
fn strange(what: &str, lacks: &str) -> Error {
    let cause = Error::protocol(format!("the answer does not hold {lacks}"));
    Error::protocol(format!("cannot {what}")).with_source(cause)
}
