//! The settings: their table, the struct that the loader fills, and the checks across keys.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use singer_core::nearest::nearest;
use singer_core::pattern::is_match;
use singer_core::{Error, Result, SecretSource};
use singer_net::{HttpConfig, Url};
use singer_runtime::setting::{ByStream, Setting, Settings};
use zoho::AccountConfig;
use zoho::crm::CrmConfig;

use crate::cell::Choices;
use crate::query::Criteria;

mod table;

/// The config of tap-crm; what each key means stands in [`Settings::settings`].
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    pub(crate) account: AccountConfig,
    #[serde(flatten)]
    pub(crate) crm: CrmConfig,
    pub(crate) start_date: Option<String>,
    pub(crate) modules: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) fields: ByStream<Vec<String>>,
    #[serde(default)]
    pub(crate) criteria: ByStream<Value>,
    pub(crate) include_deleted: bool,
    pub(crate) window_days: Option<u32>,
    pub(crate) window_lag_seconds: u32,
    pub(crate) small_change_rows: u64,
    pub(crate) query_fields: usize,
    pub(crate) multi_select: MultiSelect,
    pub(crate) multi_select_separator: String,
    pub(crate) page_size: u64,
    pub(crate) bulk_fields: usize,
    pub(crate) parallel_jobs: usize,
    pub(crate) job_timeout_seconds: f64,
    pub(crate) failed_job_pause_seconds: f64,
    pub(crate) work_folder: Option<PathBuf>,
    pub(crate) callback: Option<Callback>,
    #[serde(flatten)]
    pub(crate) http: HttpConfig,
}

/// What a field of several choices becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MultiSelect {
    /// The text of the service's file.
    Text,
    /// An array of texts.
    Array,
}

/// Where bulk jobs call back.
#[derive(Debug, Deserialize)]
pub(crate) struct Callback {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) secret: SecretSource,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
}

impl Callback {
    /// The URL that Zoho calls, without the secret.
    pub(crate) fn url(&self) -> Result<Url> {
        Url::parse(&self.public_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none())
            .ok_or_else(|| {
                Error::config("`callback.public_url` is no URL without a query")
                    .with_hint("such as https://hooks.example.com/crm")
            })
    }
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        table::settings()
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.crm.validate(self.account.data_center)?;
        for (name, value, least) in [
            ("page_size", self.page_size, 1),
            ("parallel_jobs", self.parallel_jobs as u64, 1),
            // The id and the time of the change go with every query, and the id with every job.
            ("query_fields", self.query_fields as u64, 3),
            ("bulk_fields", self.bulk_fields as u64, 2),
            ("window_days", self.window_days.unwrap_or(1).into(), 1),
        ] {
            if value < least {
                return Err(Error::config(format!("`{name}` must be at least {least}")));
            }
        }
        for (name, seconds) in [
            ("job_timeout_seconds", self.job_timeout_seconds),
            ("failed_job_pause_seconds", self.failed_job_pause_seconds),
        ] {
            if Duration::try_from_secs_f64(seconds).is_err() {
                return Err(Error::config(format!(
                    "`{name}` must be a number of seconds"
                )));
            }
        }
        if self.multi_select_separator.is_empty() {
            return Err(Error::config("`multi_select_separator` must not be empty"));
        }
        if self.window_days.is_some() && self.start_date.is_none() {
            return Err(Error::config(
                "`window_days` needs a `start_date`, where the first slice begins",
            ));
        }
        for (module, criteria) in self.criteria.iter() {
            Criteria::parse(&format!("criteria.{module}"), criteria)?;
        }
        if let Some(callback) = &self.callback {
            callback.url()?;
            if callback.certificate.is_some() != callback.key.is_some() {
                return Err(Error::config(
                    "`callback.certificate` and `callback.key` go together",
                ));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Whether a module is one of those that are wanted.
    pub(crate) fn wants_module(&self, name: &str) -> bool {
        let modules = self.modules.as_ref();
        modules.is_none_or(|modules| modules.iter().any(|pattern| is_match(pattern, name)))
    }

    /// Whether the config names a module itself, and not by a pattern.
    pub(crate) fn names_module(&self, name: &str) -> bool {
        self.modules.iter().flatten().any(|module| module == name)
    }

    /// The modules that the config names, not by a pattern, and that are not there.
    pub(crate) fn modules_that_lack(&self, there: &[&str]) -> Vec<(String, anyhow::Error)> {
        let wanted = self.modules.iter().flatten();
        let missing =
            wanted.filter(|name| !name.contains(['*', '?']) && !there.contains(&name.as_str()));
        let problem = |name: &String| {
            let error = Error::config(format!("`modules`: the CRM has no module `{name}`"));
            match nearest(name, there.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(
                    "modules are named by their API names, and the token's user must be permitted to see them",
                ),
            }
        };
        missing
            .map(|name| (name.clone(), problem(name).into()))
            .collect()
    }

    /// The criteria of a module, as the config has them.
    ///
    /// # Errors
    /// Of kind `Config`, naming the place that breaks the grammar.
    pub(crate) fn criteria_of(&self, module: &str) -> Result<Option<Criteria>> {
        let own = self.criteria.get(module);
        own.map(|own| Criteria::parse(&format!("criteria.{module}"), own))
            .transpose()
    }

    /// What fields of several choices become.
    pub(crate) fn choices(&self) -> Choices {
        Choices {
            separator: self.multi_select_separator.clone(),
            as_array: self.multi_select == MultiSelect::Array,
        }
    }

    /// How long a bulk job may take.
    pub(crate) fn job_timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.job_timeout_seconds).unwrap_or(Duration::MAX)
    }

    /// The pause before a job that failed is made anew.
    pub(crate) fn job_pause(&self) -> Duration {
        Duration::try_from_secs_f64(self.failed_job_pause_seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests;
