//! The settings: their table, the struct that the loader fills, and the checks across keys.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;
use singer_core::nearest::nearest;
use singer_core::pattern::is_match;
use singer_core::{Error, Result, SecretSource};
use singer_net::{Base, HttpConfig, Url};
use singer_runtime::setting::{Setting, Settings};
use zoho::AccountConfig;
use zoho::receiver::TlsFiles;

use crate::model::TableInfo;

pub(crate) use table::SECRET_HEADER;

mod table;

/// The config of tap-datastore; what each key means stands in [`Settings::settings`].
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub(crate) account: AccountConfig,
    pub(crate) api_url: Option<String>,
    pub(crate) project_id: String,
    pub(crate) org_id: Option<String>,
    pub(crate) environment: Option<Environment>,
    pub(crate) time_zone: String,
    pub(crate) tables: Option<Vec<String>>,
    pub(crate) lookback_seconds: u32,
    pub(crate) small_table_rows: u64,
    pub(crate) deletions: Deletions,
    pub(crate) deletions_path: PathBuf,
    pub(crate) row: Option<String>,
    pub(crate) empty_cells: EmptyCells,
    pub(crate) page_size: u64,
    pub(crate) parallel_jobs: usize,
    pub(crate) job_timeout_seconds: f64,
    pub(crate) patience_seconds: f64,
    pub(crate) work_folder: Option<PathBuf>,
    pub(crate) callback: Option<Callback>,
    pub(crate) listen: Option<String>,
    pub(crate) listen_path: String,
    pub(crate) listen_secret: Option<SecretSource>,
    pub(crate) listen_header: String,
    pub(crate) listen_certificate: Option<String>,
    pub(crate) listen_key: Option<String>,
    pub(crate) journal_path: PathBuf,
    pub(crate) listen_backlog: u64,
    pub(crate) event_rows: EventRows,
    #[serde(flatten)]
    pub(crate) http: HttpConfig,
}

/// Which copy of the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Environment {
    /// The one that is worked on.
    Development,
    /// The one that is deployed.
    Production,
}

impl Environment {
    /// Its name, as the service spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Development => "Development",
            Self::Production => "Production",
        }
    }
}

/// What becomes of rows that were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deletions {
    /// Nothing.
    Ignore,
    /// They are found by comparing the ids of all rows.
    Diff,
}

/// What an empty text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EmptyCells {
    /// A null.
    Null,
    /// An empty text.
    Text,
}

/// Where the row of an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventRows {
    /// From the table where the event lacks columns.
    Auto,
    /// From the event.
    Event,
    /// From the table.
    Fetch,
}

/// Where bulk jobs call back.
#[derive(Debug, Deserialize)]
pub(crate) struct Callback {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) secret: SecretSource,
    pub(crate) header: Option<String>,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
}

impl Callback {
    /// The header with the secret.
    pub(crate) fn header(&self) -> &str {
        self.header.as_deref().unwrap_or(SECRET_HEADER)
    }

    /// The path that Catalyst calls.
    pub(crate) fn path(&self) -> Result<String> {
        let url = Url::parse(&self.public_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| {
                Error::config("`callback.public_url` is no URL")
                    .with_hint("such as https://hooks.example.com/bulk")
            })?;
        Ok(url.path().to_owned())
    }
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        table::settings()
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.base()?;
        self.zone()?;
        for (name, value) in [
            ("page_size", self.page_size),
            ("parallel_jobs", self.parallel_jobs as u64),
            ("listen_backlog", self.listen_backlog),
        ] {
            if value == 0 {
                return Err(Error::config(format!("`{name}` must be at least 1")));
            }
        }
        for (name, seconds) in [
            ("job_timeout_seconds", self.job_timeout_seconds),
            ("patience_seconds", self.patience_seconds),
        ] {
            seconds_of(name, seconds)?;
        }
        if let Some(callback) = &self.callback {
            callback.path()?;
            tls_files("callback.", &callback.certificate, &callback.key)?;
        }
        self.validate_modes()
    }
}

impl Config {
    /// Where Catalyst is.
    pub(crate) fn base(&self) -> Result<Base> {
        let data_center = self.account.data_center;
        let url = self.api_url.as_deref().or(data_center.catalyst());
        let url = url.ok_or_else(|| {
            Error::config(format!(
                "Catalyst is not known to be in the data centre `{}`",
                data_center.name()
            ))
            .with_hint("`api_url` says where its API is")
        })?;
        Base::parse("api_url", url)
    }

    /// The zone in which the service's times are meant.
    pub(crate) fn zone(&self) -> Result<Tz> {
        self.time_zone.parse().map_err(|_| {
            let error = Error::config(format!(
                "`time_zone`: there is no zone `{}`",
                self.time_zone
            ));
            match nearest_zone(&self.time_zone) {
                Some(name) => error.with_hint(format!("did you mean `{name}`?")),
                None => error.with_hint("it is an IANA name, such as `Europe/Berlin` or `UTC`"),
            }
        })
    }

    /// Whether a table is one of those that are wanted.
    pub(crate) fn wants_table(&self, name: &str) -> bool {
        let tables = self.tables.as_ref();
        tables.is_none_or(|tables| tables.iter().any(|pattern| is_match(pattern, name)))
    }

    /// The tables that the config names, not by a pattern, and that are not there.
    pub(crate) fn tables_that_lack(&self, there: &[TableInfo]) -> Vec<(String, anyhow::Error)> {
        let names = || there.iter().map(|table| table.name.as_str());
        let wanted = self.tables.iter().flatten();
        let missing = wanted.filter(|name| {
            let is_pattern = name.contains(['*', '?']);
            !is_pattern && names().all(|there| there != name.as_str())
        });
        let problem = |name: &String| {
            let error = Error::config(format!("`tables`: the project has no table `{name}`"));
            match nearest(name, names()) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint("look at `project_id`, `org_id` and `environment`"),
            }
        };
        missing
            .map(|name| (name.clone(), problem(name).into()))
            .collect()
    }

    /// Whether records of deleted rows can come.
    pub(crate) fn emits_deletions(&self) -> bool {
        self.deletions == Deletions::Diff || self.is_about_single_rows()
    }

    /// Whether rows come one by one, by events or because they were asked for.
    pub(crate) fn is_about_single_rows(&self) -> bool {
        self.listen.is_some() || self.row.is_some()
    }

    /// How long throttling is waited out.
    pub(crate) fn patience(&self) -> Duration {
        Duration::try_from_secs_f64(self.patience_seconds).unwrap_or(Duration::MAX)
    }

    /// How long a bulk job may take.
    pub(crate) fn job_timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.job_timeout_seconds).unwrap_or(Duration::MAX)
    }

    /// What events must bring along: what callbacks bring, if nothing else is said.
    pub(crate) fn events_secret(&self) -> Option<&SecretSource> {
        let callback = self.callback.as_ref().map(|callback| &callback.secret);
        self.listen_secret.as_ref().or(callback)
    }

    /// The header that holds it.
    pub(crate) fn events_header(&self) -> &str {
        match &self.callback {
            Some(callback) if self.listen_secret.is_none() => callback.header(),
            _ => &self.listen_header,
        }
    }

    /// The certificate of `listen`, if it has one.
    pub(crate) fn listen_tls(&self) -> Option<TlsFiles> {
        tls_of(&self.listen_certificate, &self.listen_key)
    }

    fn validate_modes(&self) -> Result<()> {
        if self.listen.is_some() && self.row.is_some() {
            return Err(Error::config("`listen` and `row` exclude each other"));
        }
        if self.listen.is_some() && self.events_secret().is_none() {
            return Err(Error::config("`listen` needs a `listen_secret`").with_hint(
                "without one, anybody who reaches the address could write into the destination",
            ));
        }
        if !self.listen_path.starts_with('/') {
            return Err(Error::config("`listen_path` must begin with a slash"));
        }
        tls_files("listen_", &self.listen_certificate, &self.listen_key)
    }
}

/// A certificate and its key, if both are there.
pub(crate) fn tls_of(certificate: &Option<String>, key: &Option<String>) -> Option<TlsFiles> {
    Some(TlsFiles {
        certificate: certificate.clone()?,
        key: key.clone()?,
    })
}

fn tls_files(prefix: &str, certificate: &Option<String>, key: &Option<String>) -> Result<()> {
    if certificate.is_some() == key.is_some() {
        return Ok(());
    }
    Err(Error::config(format!(
        "`{prefix}certificate` and `{prefix}key` go together"
    )))
}

fn seconds_of(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| Error::config(format!("`{name}` must be more than 0")))
}

/// The zone that was meant: nearest as a whole, else by the city alone (`Berlin`).
fn nearest_zone(typed: &str) -> Option<&'static str> {
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = |name: &str| {
        name.rsplit('/')
            .next()
            .is_some_and(|city| city.eq_ignore_ascii_case(typed))
    };
    names()
        .find(|name| name.eq_ignore_ascii_case(typed) || city(name))
        .or_else(|| nearest(typed, names()))
}

#[cfg(test)]
mod tests;
