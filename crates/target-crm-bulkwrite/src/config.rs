//! The settings: what they are called, what they mean, what they may be.

use chrono_tz::Tz;
use serde::Deserialize;
use singer_core::{Error, Result};
use singer_net::HttpConfig;
use singer_runtime::setting::{self, ByStream, Setting, Settings};
use zoho::AccountConfig;
use zoho::crm::CrmConfig;
use zoho::receiver::Callback;

pub use streams::{
    Chosen, FieldConfig, Mapped, OnDelete, Operation, StreamConfig, UnknownPicklist,
};

mod streams;

/// The config of the target.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// Who asks, and in which data centre.
    #[serde(flatten)]
    pub account: AccountConfig,
    /// What all connectors over HTTP share.
    #[serde(flatten)]
    pub http: HttpConfig,
    /// Which CRM, and how many of its credits are left alone.
    #[serde(flatten)]
    pub crm: CrmConfig,
    /// The zone of wall times; the organisation's if left out.
    pub time_zone: Option<String>,
    /// How long one job may take.
    pub job_timeout_seconds: f64,
    /// Bytes of records in one batch.
    pub batch_bytes: usize,
    /// The journal of inserts.
    pub journal_path: String,
    /// What becomes of inserts of which nobody knows whether they happened.
    pub unresolved_inserts: Unresolved,
    /// A receiver for the word that a job is over.
    pub callback: Option<Callback>,
    /// Settings by stream.
    #[serde(default)]
    pub streams: ByStream<StreamConfig>,
}

/// What becomes of inserts of which nobody knows whether they happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unresolved {
    /// The stream fails until a person decides.
    Stop,
    /// They did not happen: the rows are sent.
    Resend,
    /// They did: the rows are not sent.
    Skip,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        let mut settings = setting::zoho();
        settings.extend(setting::zoho_crm());
        settings.push(setting::zoho_crm_uploads());
        settings.extend(own_settings());
        settings.extend(setting::http());
        settings.push(
            Setting::map("streams", streams::settings())
                .about("Settings by stream: a stream's name or a pattern with `*` and `?`; the name wins over patterns, of these the first that fits counts."),
        );
        settings
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.zone()?;
        self.crm.validate(self.account.data_center)?;
        if !(1.0..=1e7).contains(&self.job_timeout_seconds) {
            return Err(Error::config("`job_timeout_seconds` must be at least 1"));
        }
        if !(1_000..=120_000_000).contains(&self.batch_bytes) {
            return Err(Error::config(
                "`batch_bytes` must be between 1000 and 120000000",
            ));
        }
        if self.journal_path.trim().is_empty() {
            return Err(Error::config("`journal_path` is empty"));
        }
        if let Some(callback) = &self.callback {
            callback.validate()?;
        }
        streams::validate(&self.streams)
    }
}

impl Config {
    /// The time zone of the config.
    pub fn zone(&self) -> Result<Option<Tz>> {
        let Some(name) = &self.time_zone else {
            return Ok(None);
        };
        let zone = name.parse().map_err(|_| {
            Error::config(format!("`time_zone` `{name}` is unknown"))
                .with_hint("a name such as `Europe/Oslo` or `UTC` is wanted")
        })?;
        Ok(Some(zone))
    }

    /// The settings of a stream.
    pub fn stream(&self, name: &str) -> Chosen {
        Chosen::new(self.streams.get(name).cloned().unwrap_or_default())
    }
}

fn own_settings() -> Vec<Setting> {
    vec![
        Setting::text("time_zone").about(
            "The zone of date-times, which go to the service without an offset; the organisation's if left out.",
        ),
        setting::user_agent(),
        Setting::number("job_timeout_seconds").default(3600).about(
            "How long one job may take before it counts as one that never ends.",
        ),
        Setting::integer("batch_bytes").default(10 << 20).about(
            "Bytes of records in one batch at most. A job is of one batch: larger ones cost fewer credits and more memory, some three times as much.",
        ),
        Setting::text("journal_path").default("target-crm-bulkwrite.journal").about(
            "The file in which inserts without `find_by` are noted before they are asked for, so that a run that dies never doubles them. `none` for none: what was under way when a run died is then inserted again.",
        ),
        Setting::word("unresolved_inserts", &["stop", "resend", "skip"]).default("stop").about(
            "What becomes of rows of which it cannot be found out whether they were inserted: the stream fails until a person has looked, or they count as not inserted (`resend`) or as inserted (`skip`).",
        ),
        Setting::object(
            "callback",
            vec![
                Setting::text("listen").required().about("The address to listen on, `127.0.0.1:8443`."),
                Setting::text("public_url").required().about("The URL that the CRM is told to post to."),
                Setting::secret("secret").required().about("A secret that must come in the header."),
                Setting::text("header").default("x-antiphon-secret").about("The header that holds the secret."),
                Setting::text("certificate").about("A certificate chain as a PEM file; plain HTTP behind a proxy if left out."),
                Setting::text("key").about("Its private key as a PEM file."),
            ],
        )
        .about("A receiver for the word that a job is over, so that it need not be asked for so often. The CRM sends no header of ours: a proxy in front has to add the secret."),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn error(extra: serde_json::Value) -> String {
        testing::config("http://127.0.0.1:1", extra)
            .validate()
            .unwrap_err()
            .message()
            .to_owned()
    }

    #[test]
    fn a_config_that_cannot_work_is_told_at_once() {
        assert!(error(json!({"time_zone": "Mars/Base"})).contains("`time_zone`"));
        assert!(error(json!({"job_timeout_seconds": 0})).contains("`job_timeout_seconds`"));
        assert!(error(json!({"batch_bytes": 1})).contains("`batch_bytes`"));
        assert!(error(json!({"journal_path": " "})).contains("`journal_path`"));
        for (key, settings) in [
            ("chunk_records", json!({"chunk_records": 25_001})),
            ("chunk_records", json!({"chunk_records": 0})),
            ("module", json!({"module": "no module"})),
            ("find_by", json!({"find_by": ""})),
            ("fields.a", json!({"fields": {"a": "x y"}})),
            ("fields", json!({"fields": {"a": "X", "b": "X"}})),
            ("deleted_field", json!({"on_delete": "flag"})),
        ] {
            let error = error(json!({"streams": {"s": settings}}));
            assert!(error.contains(&format!("`streams.s.{key}`")), "{error}");
        }
    }
}
