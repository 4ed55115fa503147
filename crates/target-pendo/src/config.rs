//! The settings: what they are called, what they mean, and which of them apply to a stream.

use serde::Deserialize;
use serde_json::json;
use singer_core::{Error, Result, SecretSource};
use singer_net::{Base, HttpConfig};
use singer_runtime::setting::{self, Setting, Settings, Shape};

use crate::model::{Group, Kind};

pub(crate) use streams::EVERY_OTHER;
pub use streams::{StreamConfig, Streams, guess_kind, kinds};

mod streams;

/// The name of the switch that has everything sent again.
pub const FULL: &str = "full";

/// Pendo ends a call after five minutes with 408; a client that gives up earlier never learns of it.
const REQUEST_TIMEOUT_SECONDS: u64 = 330;

/// The config of the target.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// The integration key.
    pub integration_key: SecretSource,
    /// Where Pendo is found, if it is none of the regions.
    pub base_url: Option<String>,
    /// The region of the subscription.
    pub region: Region,
    /// Records in a request at most.
    pub batch_records: usize,
    /// Seconds between the starts of two requests.
    pub request_delay: f64,
    /// How long all requests pause when Pendo throttles and does not say how long.
    pub rate_limit_pause_seconds: f64,
    /// How long a request may be tried and throttled in all.
    pub patience_seconds: f64,
    /// What all connectors over HTTP share.
    #[serde(flatten)]
    pub http: HttpConfig,
    /// Settings by stream.
    #[serde(default)]
    pub streams: Streams,
    /// What applies to streams that say nothing else.
    #[serde(flatten)]
    pub choices: Choices,
    /// The folder of the memories of confirmed values.
    pub memory_path: String,
}

/// Where a subscription lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// United States.
    Us,
    /// United States, the second.
    Us1,
    /// Europe.
    Eu,
    /// Japan.
    #[serde(alias = "jp")]
    Jpn,
    /// Australia.
    Au,
}

/// The choices that can be made for all streams and for each.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Choices {
    /// Send only records whose mapped values differ from what was last confirmed.
    pub only_changed: Option<bool>,
    /// What becomes of records that vanished from a full table.
    pub on_delete: Option<OnDelete>,
    /// What a null does.
    pub null_policy: Option<NullPolicy>,
    /// How dates are sent.
    pub date_format: Option<DateFormat>,
    /// Create custom fields that are mapped and missing.
    pub create_fields: Option<bool>,
    /// Let Pendo create visitors and accounts that it does not know.
    pub create_missing: Option<bool>,
    /// Turn strings into numbers and booleans where the field wants those.
    pub coerce_strings: Option<bool>,
    /// What becomes of objects and arrays in text fields.
    pub nested: Option<Nested>,
}

/// What becomes of records that vanished from a full table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// Nothing.
    #[default]
    Ignore,
    /// Their pushed fields are emptied.
    Clear,
}

/// What a null does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullPolicy {
    /// It is sent as null, which clears the field.
    #[default]
    Null,
    /// It is not sent: the field keeps its value.
    Omit,
    /// An empty text (or list) is sent; fields that are neither text nor list get null.
    Empty,
}

/// How dates are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum DateFormat {
    /// As text, `2026-02-28T23:10:00Z`.
    #[default]
    #[serde(rename = "iso8601")]
    Iso8601,
    /// As milliseconds since 1970.
    #[serde(rename = "epoch_ms")]
    EpochMs,
}

/// What becomes of objects and arrays in text fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nested {
    /// They are sent as JSON text.
    #[default]
    Stringify,
    /// The record is refused.
    Reject,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        let mut settings = vec![
            Setting::secret("integration_key")
                .required()
                .about("The integration key, with write access (Settings > Integrations > Integration keys)."),
            Setting::text("base_url").about(
                "Where Pendo is found, for a dedicated host or a stand-in; wins over `region`.",
            ),
            Setting::word("region", &["us", "us1", "eu", "jpn", "jp", "au"])
                .default("us")
                .about("The region of the subscription; `jp` is `jpn`."),
            Setting::integer("batch_records")
                .default(500)
                .flag()
                .about("Records in one request at most; the target sends fewer for a while after Pendo took too long."),
            Setting::number("request_delay")
                .default(0)
                .flag()
                .about("Seconds between the starts of two requests."),
            Setting::number("rate_limit_pause_seconds")
                .default(30)
                .about("How long all requests pause when Pendo throttles without saying for how long."),
            Setting::number("patience_seconds")
                .default(900)
                .about("How long one request may be throttled and tried again in all; a longer pause is not waited for, and the run ends with 75."),
        ];
        settings.extend(setting::http().into_iter().map(|setting| {
            if setting.name == "request_timeout_seconds" {
                setting.default(REQUEST_TIMEOUT_SECONDS)
            } else {
                setting
            }
        }));
        settings.push(
            Setting::map("streams", stream_settings())
                .about("Settings by stream: a stream's name or a pattern with `*` and `?`; the name wins over patterns, of these the first that fits counts."),
        );
        settings.extend(choices(TopLevel::Yes));
        settings.push(
            Setting::text("memory_path")
                .default("target-pendo.memory")
                .about(
                    "The folder where `only_changed` and `on_delete` remember what was confirmed.",
                ),
        );
        settings.push(
            Setting::switch(FULL)
                .about("Send every record, also those that `only_changed` would leave out; what is confirmed is still remembered."),
        );
        settings
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.base()?;
        if self.batch_records == 0 {
            return Err(Error::config("`batch_records` must be at least 1"));
        }
        for (name, seconds) in [
            ("request_delay", self.request_delay),
            ("rate_limit_pause_seconds", self.rate_limit_pause_seconds),
            ("patience_seconds", self.patience_seconds),
        ] {
            if !(0.0..=86_400.0).contains(&seconds) {
                return Err(Error::config(format!(
                    "`{name}` must be between 0 and 86400"
                )));
            }
        }
        streams::validate(&self.streams)
    }
}

impl Config {
    /// The base URL: the given one, else the region's.
    pub fn base(&self) -> Result<Base> {
        let text = self.base_url.as_deref().unwrap_or(self.region.host());
        Base::parse("base_url", text)
    }
}

impl Region {
    /// The region's host.
    fn host(self) -> &'static str {
        match self {
            Self::Us => "https://app.pendo.io",
            Self::Us1 => "https://us1.app.pendo.io",
            Self::Eu => "https://app.eu.pendo.io",
            Self::Jpn => "https://app.jpn.pendo.io",
            Self::Au => "https://app.au.pendo.io",
        }
    }

    /// The region that the suffix of a key names, if it has one.
    pub fn of_key(key: &str) -> Option<Self> {
        Some(match key.trim().rsplit_once('.')?.1 {
            "us" => Self::Us,
            "us1" => Self::Us1,
            "eu" => Self::Eu,
            "jpn" | "jp" => Self::Jpn,
            "au" => Self::Au,
            _ => return None,
        })
    }

    /// The word in the config.
    pub fn word(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Us1 => "us1",
            Self::Eu => "eu",
            Self::Jpn => "jpn",
            Self::Au => "au",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TopLevel {
    Yes,
    No,
}

/// The choices as settings; only on the top level do they have defaults, else a stream's would hide
/// what the top level says.
fn choices(level: TopLevel) -> Vec<Setting> {
    let choice = |setting: Setting, default| match level {
        TopLevel::Yes => setting.default(default),
        TopLevel::No => setting,
    };
    vec![
        choice(Setting::boolean("only_changed"), json!(false)).about(
            "Send only records whose mapped values differ from what Pendo last confirmed.",
        ),
        choice(
            Setting::word("on_delete", &["ignore", "clear"]),
            json!("ignore"),
        )
        .about("`clear` empties the pushed fields of records that vanished from a full table, or that come with `_sdc_deleted_at`."),
        choice(
            Setting::word("null_policy", &["null", "omit", "empty"]),
            json!("null"),
        )
        .about("What a null does: clears the field, leaves it alone, or puts an empty text there."),
        choice(
            Setting::word("date_format", &["iso8601", "epoch_ms"]),
            json!("iso8601"),
        )
        .about("How dates are sent; with `epoch_ms` a date field takes integers too."),
        choice(Setting::boolean("create_fields"), json!(false))
            .about("Create custom fields that are mapped and missing, after the plan was shown."),
        choice(Setting::boolean("create_missing"), json!(false))
            .about("Let Pendo create visitors or accounts that it does not know; they may count towards the licence."),
        choice(Setting::boolean("coerce_strings"), json!(false))
            .about("Turn text into numbers, booleans and dates where the field wants those, and 0 and 1 into booleans."),
        choice(
            Setting::word("nested", &["stringify", "reject"]),
            json!("stringify"),
        )
        .about("What becomes of objects and arrays in text fields."),
    ]
}

fn stream_settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::word("kind", &["visitor", "account", "parentAccount"])
            .about("What the rows are; guessed from the stream's name if left out."),
        Setting::word("group", &["custom", "agent"])
            .about("The group of fields; `custom` if left out."),
        Setting::text("id").about("The column with the id; the one key property if left out."),
        Setting::text("id_key")
            .about("The key of the id in requests; the kind's own if left out (that of `parentAccount` is not documented)."),
        Setting::new("fields", Shape::map(Shape::Text))
            .about("Pendo fields by column: these columns alone are sent. `\"*\": \"*\"` adds every other column under its own name, an empty text leaves one out. Without `fields` every column goes to the field of its name."),
    ];
    settings.extend(choices(TopLevel::No));
    settings
}

/// What applies to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chosen {
    /// See [`Choices::only_changed`].
    pub only_changed: bool,
    /// See [`Choices::on_delete`].
    pub on_delete: OnDelete,
    /// See [`Choices::null_policy`].
    pub null_policy: NullPolicy,
    /// See [`Choices::date_format`].
    pub date_format: DateFormat,
    /// See [`Choices::create_fields`].
    pub create_fields: bool,
    /// See [`Choices::create_missing`].
    pub create_missing: bool,
    /// See [`Choices::coerce_strings`].
    pub coerce_strings: bool,
    /// See [`Choices::nested`].
    pub nested: Nested,
}

impl Choices {
    /// These choices, and where they say nothing those of `general`.
    pub fn over(&self, general: &Self) -> Chosen {
        fn pick<T: Copy + Default>(own: Option<T>, general: Option<T>) -> T {
            own.or(general).unwrap_or_default()
        }
        Chosen {
            only_changed: pick(self.only_changed, general.only_changed),
            on_delete: pick(self.on_delete, general.on_delete),
            null_policy: pick(self.null_policy, general.null_policy),
            date_format: pick(self.date_format, general.date_format),
            create_fields: pick(self.create_fields, general.create_fields),
            create_missing: pick(self.create_missing, general.create_missing),
            coerce_strings: pick(self.coerce_strings, general.coerce_strings),
            nested: pick(self.nested, general.nested),
        }
    }
}

impl Chosen {
    /// Whether confirmed values must be remembered.
    pub fn remembers(&self) -> bool {
        self.only_changed || self.on_delete == OnDelete::Clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: serde_json::Value) -> Config {
        let mut config = json!({
            "integration_key": "k", "region": "us", "batch_records": 500, "request_delay": 0,
            "rate_limit_pause_seconds": 30, "patience_seconds": 900, "attempts": 5, "request_timeout_seconds": 60,
            "memory_path": "m", "only_changed": true, "null_policy": "omit",
        });
        for (key, value) in extra.as_object().unwrap() {
            config[key] = value.clone();
        }
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn the_base_url_wins_over_the_region_and_jp_is_jpn() {
        assert_eq!(
            config(json!({"region": "jp"})).base().unwrap().to_string(),
            "https://app.jpn.pendo.io"
        );
        assert_eq!(
            config(json!({"region": "eu", "base_url": "http://127.0.0.1:1/pendo/"}))
                .base()
                .unwrap()
                .to_string(),
            "http://127.0.0.1:1/pendo"
        );
    }

    #[test]
    fn the_suffix_of_a_key_names_its_region() {
        assert_eq!(Region::of_key("0a1b.eu"), Some(Region::Eu));
        assert_eq!(Region::of_key("0a1b.jpn"), Some(Region::Jpn));
        assert_eq!(Region::of_key("0a1b"), None);
        assert_eq!(Region::of_key("0a1b.xx"), None);
    }

    #[test]
    fn a_stream_chooses_over_the_top_level() {
        let config =
            config(json!({"streams": {"a": {"null_policy": "empty", "only_changed": false}}}));
        let chosen = config
            .streams
            .get("a")
            .cloned()
            .unwrap_or_default()
            .choices
            .over(&config.choices);
        assert_eq!(chosen.null_policy, NullPolicy::Empty);
        assert!(!chosen.only_changed);
        let chosen = config
            .streams
            .get("b")
            .cloned()
            .unwrap_or_default()
            .choices
            .over(&config.choices);
        assert_eq!(chosen.null_policy, NullPolicy::Omit);
        assert!(chosen.only_changed);
    }

    #[test]
    fn wrong_numbers_are_named() {
        for (key, value) in [
            ("batch_records", json!(0)),
            ("request_delay", json!(-1)),
            ("patience_seconds", json!(-1)),
            ("attempts", json!(0)),
            ("base_url", json!("pendo")),
            (
                "streams",
                json!({"a": {"fields": {"x": "same", "y": "SAME"}}}),
            ),
            ("streams", json!({"a": {"id_key": ""}})),
        ] {
            let mut extra = serde_json::Map::new();
            extra.insert(key.to_owned(), value);
            let error = config(serde_json::Value::Object(extra))
                .validate()
                .unwrap_err();
            assert!(error.message().contains(key), "{error}");
        }
        config(json!({})).validate().unwrap();
    }
}
