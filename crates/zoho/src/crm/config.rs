//! The part of a config that says where CRM is and how much may be spent; its settings table is
//! `singer_runtime::setting::zoho_crm`.

use std::time::Duration;

use serde::Deserialize;
use singer_core::{Error, Result};
use singer_net::{Base, Url};

use crate::DataCenter;

/// Where CRM is, and how it is treated. Flattened into the config of a connector.
#[derive(Debug, Clone, Deserialize)]
pub struct CrmConfig {
    /// The API, if it is not that of the data centre.
    #[serde(default)]
    pub api_url: Option<String>,
    /// The upload host, if it is not that of the data centre.
    #[serde(default)]
    pub upload_url: Option<String>,
    /// Which of the organisation's copies is meant.
    #[serde(default)]
    pub environment: Environment,
    /// So many credits are left to others.
    #[serde(default)]
    pub min_credits: u64,
    /// How long throttling is waited out.
    #[serde(default = "usual_patience")]
    pub patience_seconds: f64,
}

/// A copy of the organisation's data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The one that people work with.
    #[default]
    Production,
    /// A sandbox of it.
    Sandbox,
}

impl Default for CrmConfig {
    /// As the settings table has it.
    fn default() -> Self {
        Self {
            api_url: None,
            upload_url: None,
            environment: Environment::default(),
            min_credits: 0,
            patience_seconds: usual_patience(),
        }
    }
}

impl CrmConfig {
    /// Checks the keys; for `Settings::validate`.
    ///
    /// # Errors
    /// Of kind `Config`.
    pub fn validate(&self, data_center: DataCenter) -> Result<()> {
        self.base(data_center)?;
        self.uploads(data_center)?;
        (Duration::try_from_secs_f64(self.patience_seconds).ok())
            .filter(|patience| !patience.is_zero())
            .map(|_| ())
            .ok_or_else(|| Error::config("`patience_seconds` must be more than 0"))
    }

    /// How long throttling is waited out.
    pub fn patience(&self) -> Duration {
        Duration::try_from_secs_f64(self.patience_seconds).unwrap_or(Duration::MAX)
    }

    /// Where the API is.
    pub(super) fn base(&self, data_center: DataCenter) -> Result<Base> {
        if let Some(url) = &self.api_url {
            return Base::parse("api_url", url);
        }
        let url = match self.environment {
            Environment::Production => data_center.crm(),
            Environment::Sandbox => data_center.crm_sandbox(),
        };
        Base::parse("data_center", url)
    }

    /// Whether the API is none of Zoho's hosts in this data centre: a stand-in, or a proxy of ours.
    pub(super) fn is_elsewhere(&self, data_center: DataCenter) -> bool {
        let url = self.api_url.as_ref().and_then(|url| Url::parse(url).ok());
        url.is_some_and(|url| !data_center.has_host(url.host_str().unwrap_or_default()))
    }

    /// Where files are uploaded, if that is known. A stand-in of the API takes them as well, and never
    /// sends them to Zoho.
    pub(super) fn uploads(&self, data_center: DataCenter) -> Result<Option<Base>> {
        if let Some(url) = &self.upload_url {
            return Base::parse("upload_url", url).map(Some);
        }
        if let Some(url) = self
            .api_url
            .as_ref()
            .filter(|_| self.is_elsewhere(data_center))
        {
            return Base::parse("api_url", url).map(Some);
        }
        let url = data_center.crm_uploads();
        url.map(|url| Base::parse("data_center", url)).transpose()
    }
}

fn usual_patience() -> f64 {
    900.0
}
