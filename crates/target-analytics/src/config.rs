//! The settings: what they are called, what they mean, what they may be.

use serde::Deserialize;
use serde_json::json;
use singer_core::{Error, Result};
use singer_net::{Base, HttpConfig};
use singer_runtime::setting::{self, ByStream, Setting, Settings};
use zoho::AccountConfig;
use zoho::receiver::Callback;

pub use streams::{Chosen, Mode, OnDelete, OnError, StreamConfig};

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
    /// Where the API is found, under the name that all connectors of Zoho have for it.
    pub api_url: Option<String>,
    /// Where the API is found; wins.
    pub analytics_url: Option<String>,
    /// The organization; found from the workspace if left out.
    pub org_id: Option<String>,
    /// The workspace's id.
    pub workspace_id: Option<String>,
    /// The workspace's name, instead of its id.
    pub workspace: Option<String>,
    /// The folder for new tables.
    pub folder: Option<String>,
    /// How long throttling, taken slots and locked tables are waited out.
    pub patience_seconds: f64,
    /// How long one import may take.
    pub job_timeout_seconds: f64,
    /// Where CONFIG stands when a file is sent.
    pub config_in_query: bool,
    /// What becomes of fractions of a second.
    pub milliseconds: Milliseconds,
    /// What becomes of characters beyond the basic plane.
    pub supplementary: Supplementary,
    /// Bytes of records in one batch.
    pub batch_bytes: usize,
    /// Bytes of one file of a replacement.
    pub file_bytes: u64,
    /// How many calls of each kind a minute are allowed.
    pub calls_per_minute: CallsPerMinute,
    /// A receiver for the word that an import is over.
    pub callback: Option<Callback>,
    /// Batches in flight.
    pub parallel: Option<usize>,
    /// Settings by stream.
    #[serde(default)]
    pub streams: ByStream<StreamConfig>,
}

/// What becomes of fractions of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Milliseconds {
    /// Three digits of them are sent.
    Keep,
    /// They are cut off.
    Drop,
}

/// What becomes of characters beyond the basic plane, emoji among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supplementary {
    /// They are sent.
    Keep,
    /// They are left out.
    Strip,
    /// U+FFFD takes their place.
    Replace,
}

/// How many calls a minute are allowed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct CallsPerMinute {
    /// Adding, changing and deleting rows.
    pub rows: u32,
    /// Imports and questions about them.
    pub bulk: u32,
    /// Everything about tables and columns.
    pub metadata: u32,
    /// All of them together; the largest of the others if it says nothing.
    #[serde(default)]
    pub all: Option<u32>,
}

impl CallsPerMinute {
    /// All calls together.
    pub fn all(&self) -> u32 {
        let largest = self.rows.max(self.bulk).max(self.metadata);
        self.all.unwrap_or(largest)
    }
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        let mut settings = setting::zoho();
        settings.extend([
            Setting::text("org_id").about(
                "The id of the organization; that of the workspace if left out.",
            ),
            Setting::text("workspace_id").in_starter().about(
                "The id of the workspace, as its address in the browser shows it.",
            ),
            Setting::text("workspace").about("The name of the workspace, instead of its id."),
            Setting::text("folder").about("The folder for new tables; it must be there."),
            Setting::text("api_url").about(
                "The base URL of Analytics, under the name that all connectors of Zoho have for it.",
            ),
            Setting::text("analytics_url").about(
                "The base URL of Analytics, if it is not that of the data centre; wins over `api_url`.",
            ),
            setting::user_agent(),
            Setting::number("patience_seconds").default(1800).about(
                "How long throttling, import slots that others hold, and locked tables are waited out; beyond it the run ends with 75.",
            ),
            Setting::number("job_timeout_seconds").default(3600).about(
                "How long one import may take before it counts as one that never ends.",
            ),
            Setting::boolean("config_in_query").default(json!(false)).about(
                "Puts CONFIG into the query when a file is sent; tried once by itself if the service finds no CONFIG in the body.",
            ),
            Setting::word("milliseconds", &["drop", "keep"]).default("drop").about(
                "What becomes of fractions of a second: cut off, or sent with three digits. Whether Analytics keeps them is not documented.",
            ),
            Setting::word("supplementary", &["keep", "strip", "replace"]).default("keep").about(
                "What becomes of characters beyond the basic plane (emoji), over which imports have stumbled: sent, left out, or replaced by U+FFFD.",
            ),
            Setting::integer("batch_bytes").default(4 << 20).about(
                "Bytes of records in one batch at most. Larger ones make fewer imports; the memory that the target takes is some three times as large.",
            ),
            Setting::integer("file_bytes").default(95_000_000).about(
                "Bytes of one file of a replacement on disk; Analytics takes 100 MB and a hundred files.",
            ),
            Setting::object(
                "calls_per_minute",
                vec![
                    Setting::integer("rows").default(100).about("Adding, changing and deleting rows."),
                    Setting::integer("bulk").default(40).about("Imports and questions about them."),
                    Setting::integer("metadata").default(60).about("Workspaces, tables, columns."),
                    Setting::integer("all").about("All calls together; the largest of the others if left out."),
                ],
            )
            .default(json!({"rows": 100, "bulk": 40, "metadata": 60}))
            .about("The calls of each kind in any minute, beyond which this target waits by itself."),
            Setting::object(
                "callback",
                vec![
                    Setting::text("listen").required().about("The address to listen on, `127.0.0.1:8443`."),
                    Setting::text("public_url").required().about("The URL that Analytics is told to post to."),
                    Setting::secret("secret").required().about("A secret that must come in the header."),
                    Setting::text("header").default("x-antiphon-secret").about("The header that holds the secret."),
                    Setting::text("certificate").about("A certificate chain as a PEM file; plain HTTP behind a proxy if left out."),
                    Setting::text("key").about("Its private key as a PEM file."),
                ],
            )
            .about("A receiver for the word that an import is over, so that it need not be asked for so often. Analytics sends no header of ours: a proxy in front has to add the secret."),
        ]);
        settings.extend(setting::http());
        settings.push(
            Setting::map("streams", streams::settings())
                .about("Settings by stream: a stream's name or a pattern with `*` and `?`; the name wins over patterns, of these the first that fits counts."),
        );
        settings
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.base()?;
        if self.workspace_id.is_none() && self.workspace.is_none() {
            return Err(Error::config("`workspace_id` is missing").with_hint(
                "it stands in the address of the workspace; `workspace` takes its name instead",
            ));
        }
        for (name, text) in [
            ("workspace_id", &self.workspace_id),
            ("org_id", &self.org_id),
        ] {
            if text.as_deref().is_some_and(|id| !is_id(id)) {
                return Err(Error::config(format!(
                    "`{name}` is no id: digits are wanted"
                )));
            }
        }
        for (name, seconds) in [
            ("patience_seconds", self.patience_seconds),
            ("job_timeout_seconds", self.job_timeout_seconds),
        ] {
            if !(1.0..=1e7).contains(&seconds) {
                return Err(Error::config(format!("`{name}` must be at least 1")));
            }
        }
        for (name, value, least, most) in [
            ("batch_bytes", self.batch_bytes as u64, 1_000, 90_000_000),
            ("file_bytes", self.file_bytes, 1_000, 100_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::config(format!(
                    "`{name}` must be between {least} and {most}"
                )));
            }
        }
        if let Some(callback) = &self.callback {
            callback.validate()?;
        }
        let calls = self.calls_per_minute;
        if calls.rows == 0 || calls.bulk == 0 || calls.metadata == 0 || calls.all() == 0 {
            return Err(Error::config("`calls_per_minute` must be 1 at least"));
        }
        streams::validate(&self.streams)
    }
}

impl Config {
    /// Where the API is.
    pub fn base(&self) -> Result<Base> {
        if let Some(url) = &self.analytics_url {
            return Base::parse("analytics_url", url);
        }
        if let Some(url) = &self.api_url {
            return Base::parse("api_url", url);
        }
        let data_center = self.account.data_center;
        let url = data_center.analytics().ok_or_else(|| {
            Error::config(format!(
                "the data centre `{}` has no known host of Analytics",
                data_center.name()
            ))
            .with_hint("name it in `analytics_url`")
        })?;
        Base::parse("analytics_url", url)
    }

    /// Batches in flight at most.
    pub fn parallel(&self) -> usize {
        self.parallel.unwrap_or(crate::PARALLEL).max(1)
    }

    /// The settings of a stream.
    pub fn stream(&self, name: &str) -> Chosen {
        Chosen::new(self.streams.get(name).cloned().unwrap_or_default())
    }
}

/// Whether a text is an id: digits alone.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 30 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
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
        assert!(error(json!({"workspace_id": null})).contains("`workspace_id` is missing"));
        assert!(error(json!({"workspace_id": "Ops"})).contains("no id"));
        assert!(error(json!({"job_timeout_seconds": 0})).contains("`job_timeout_seconds`"));
        assert!(error(json!({"file_bytes": 200_000_000})).contains("`file_bytes`"));
        assert!(error(json!({"analytics_url": "ftp://x"})).contains("`analytics_url`"));
        assert!(
            error(json!({"analytics_url": null, "data_center": "ae"})).contains("data centre `ae`")
        );
        let streams = json!({"streams": {"a": {"matching_columns": []}}});
        assert!(error(streams).contains("`streams.a.matching_columns`"));
    }

    #[test]
    fn the_url_of_analytics_wins_over_the_general_one() {
        let config = testing::config(
            "http://127.0.0.1:1",
            json!({"api_url": "http://127.0.0.1:2"}),
        );
        assert_eq!(config.base().unwrap().to_string(), "http://127.0.0.1:1");
        let config = testing::config(
            "",
            json!({"api_url": null, "analytics_url": null, "data_center": "eu"}),
        );
        assert_eq!(
            config.base().unwrap().to_string(),
            "https://analyticsapi.zoho.eu"
        );
    }
}
