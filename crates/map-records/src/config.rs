//! The settings: what they are called, what they mean, and which of them apply to a stream.

use serde::Deserialize;
use serde_json::{Map, Value};
use singer_core::pattern::is_match;
use singer_core::{Error, Result};
use singer_runtime::setting::{Setting, Settings, Shape};

/// The config of the map.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// What is done with each stream, by name or pattern.
    #[serde(default)]
    pub streams: Map<String, Value>,
    /// What becomes of a record that a filter cannot take.
    pub on_error: OnError,
    /// Where rejects are written.
    pub rejects_path: String,
    /// Threads that change records.
    pub jobs: Option<usize>,
    /// How long a filter may work on one record.
    pub record_timeout_seconds: f64,
}

/// What becomes of a record that a filter cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails.
    Stop,
    /// It goes to the rejects file.
    Reject,
    /// It passes without the filter.
    Pass,
}

/// What is done with a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    /// The filter in jq: a text, or its lines.
    pub filter: Option<Text>,
    /// A file with the filter.
    pub filter_path: Option<String>,
    /// The JSON schemas of the fields that the filter adds or retypes.
    pub schema: Map<String, Value>,
    /// New names by old names.
    pub rename: Map<String, Value>,
    /// Names and patterns of fields that are left out.
    pub drop: Vec<String>,
    /// What differs from the top level.
    pub on_error: Option<OnError>,
}

/// A text that may be written as a list of its lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// The text.
    Whole(String),
    /// Its lines.
    Lines(Vec<String>),
}

impl Text {
    /// The whole text.
    pub fn whole(&self) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Lines(lines) => lines.join("\n"),
        }
    }
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        vec![
            Setting::map("streams", stream_settings()).in_starter().about(
                "What is done, by stream: a stream's name or a pattern with `*` and `?`; the name wins over patterns, of these the first that fits counts. Streams that nothing is said about pass byte for byte.",
            ),
            Setting::word("on_error", &["stop", "reject", "pass"])
                .default("stop")
                .about("What becomes of a record that the filter fails on: the run stops, the record goes to the rejects file, or it passes without the filter."),
            Setting::text("rejects_path")
                .default("map-records.rejects.jsonl")
                .about("Where records go that are rejected, as they came."),
            Setting::integer("jobs")
                .flag()
                .about("Threads that change records; one for each processor if left out. The order is kept."),
            Setting::number("record_timeout_seconds")
                .default(5)
                .about("How long a filter may work on one record."),
        ]
    }

    fn validate(&self) -> Result<()> {
        if self.jobs.is_some_and(|jobs| !(1..=64).contains(&jobs)) {
            return Err(Error::config("`jobs` must be between 1 and 64"));
        }
        if !(0.001..=86_400.0).contains(&self.record_timeout_seconds) {
            return Err(Error::config(
                "`record_timeout_seconds` must be between 0.001 and 86400",
            ));
        }
        Ok(())
    }
}

fn stream_settings() -> Vec<Setting> {
    vec![
        Setting::new(
            "filter",
            Shape::Either(vec![Shape::Text, Shape::list(Shape::Text)]),
        )
        .about("A filter in jq over the record: it yields no record, one or several. A text, or a list of its lines."),
        Setting::text("filter_path").about("A file with the filter instead."),
        Setting::new("schema", Shape::map(Shape::Any)).about(
            "The fields that the filter adds or retypes, under the names that it gives them: a JSON schema each, or the word `string`, `integer`, `number`, `boolean`, `object`, `array`, `date-time`, `date` or `time`, which may also be null.",
        ),
        Setting::new("rename", Shape::map(Shape::Text)).about("New names by old ones; after the filter."),
        Setting::list("drop", Shape::Text).about(
            "Fields that are left out, after the filter: names, and patterns with `*` and `?`. A pattern spares the key and what `schema` or `rename` names.",
        ),
        Setting::word("on_error", &["stop", "reject", "pass"]).about("As above, for this stream."),
    ]
}

impl Config {
    /// The settings of streams in the order of the config.
    pub fn stream_configs(&self) -> Result<Vec<(String, StreamConfig)>> {
        self.streams
            .iter()
            .map(|(name, value)| {
                let config = serde_json::from_value(value.clone()).map_err(|error| {
                    Error::config(format!("`streams.{name}` in the config cannot be used"))
                        .with_source(error)
                })?;
                Ok((name.clone(), config))
            })
            .collect()
    }
}

/// Which entry is about a stream: that of its name, else of the first pattern that fits.
pub(crate) fn find<'a, T>(entries: &'a [(String, T)], stream: &str) -> Option<&'a T> {
    let by_name = entries.iter().find(|(name, _)| name == stream);
    by_name
        .or_else(|| {
            entries
                .iter()
                .find(|(pattern, _)| is_match(pattern, stream))
        })
        .map(|(_, entry)| entry)
}
