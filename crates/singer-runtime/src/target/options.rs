//! The settings that every target shares, as the run uses them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use singer_core::{Error, Result};

use super::Limits;

/// A percentage of rejects is not judged before this many records were read: of the first few, one
/// is a great share.
const SHARE_FROM: u64 = 1000;

/// What the config says to the runtime itself.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) max_records: Option<usize>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) parallel: usize,
    pub(crate) rejects_path: PathBuf,
    pub(crate) max_rejects: Option<MaxRejects>,
    pub(crate) metadata: Metadata,
    pub(crate) validation: Validation,
    pub(crate) empty_versions: EmptyVersions,
}

/// Whether records get the `_sdc_*` columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    Added,
    Left,
}

/// Whether records are held against their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    Full,
    /// Only that they are JSON.
    JsonAlone,
}

/// Whether a version without records takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyVersions {
    Ignored,
    Activated,
}

/// How many rejects a run bears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MaxRejects {
    Count(u64),
    /// Of all records read, in percent.
    Percent(f64),
}

impl Options {
    /// Reads the shared keys of a checked config through `get`.
    ///
    /// # Errors
    /// Of kind `Config`, naming the key whose value is out of range.
    pub(crate) fn new<'a>(
        binary: &str,
        default_parallel: usize,
        get: impl Fn(&str) -> Option<&'a Value>,
    ) -> Result<Self> {
        let batch = |key: &str| get("batch").and_then(|batch| batch.get(key));
        let is_true =
            |key: &str, default: bool| get(key).and_then(Value::as_bool).unwrap_or(default);
        Ok(Self {
            max_records: at_least_one("batch.max_records", batch("max_records"))?,
            max_bytes: at_least_one("batch.max_bytes", batch("max_bytes"))?,
            max_age: seconds("batch.max_age_seconds", batch("max_age_seconds"))?,
            parallel: at_least_one("parallel", get("parallel"))?.unwrap_or(default_parallel),
            rejects_path: match get("rejects_path").and_then(Value::as_str) {
                Some(path) => PathBuf::from(path),
                None => PathBuf::from(format!("{binary}.rejects.jsonl")),
            },
            max_rejects: get("max_rejects").map(MaxRejects::new).transpose()?,
            metadata: if is_true("add_record_metadata", false) {
                Metadata::Added
            } else {
                Metadata::Left
            },
            validation: if is_true("validate_records", true) {
                Validation::Full
            } else {
                Validation::JsonAlone
            },
            empty_versions: if is_true("allow_empty", false) {
                EmptyVersions::Activated
            } else {
                EmptyVersions::Ignored
            },
        })
    }

    /// What a batch may be: the writer's limits, or the config's where they are narrower.
    pub(crate) fn limits(&self, writer: Limits) -> Limits {
        Limits {
            max_records: narrower(writer.max_records, self.max_records).max(1),
            max_bytes: narrower(writer.max_bytes, self.max_bytes).clamp(1, MOST_BYTES),
            max_age: narrower(writer.max_age, self.max_age),
        }
    }
}

/// Spans within a batch are 32 bits wide, and a last record of any size must fit behind the limit.
const MOST_BYTES: usize = 1 << 31;

impl MaxRejects {
    fn new(value: &Value) -> Result<Self> {
        let wrong = || {
            Error::config("`max_rejects` in the config is neither a count nor a percentage")
                .with_hint("write a number such as 100, or a percentage such as \"5%\"")
        };
        if let Some(count) = value.as_u64() {
            return Ok(Self::Count(count));
        }
        let text = value.as_str().ok_or_else(wrong)?.trim();
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                if (0.0..=100.0).contains(&percent) {
                    Ok(Self::Percent(percent))
                } else {
                    Err(wrong())
                }
            }
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }

    /// Whether so many rejects are too many after so many records, with more to come.
    pub(crate) fn is_exceeded(self, rejected: u64, read: u64) -> bool {
        match self {
            Self::Count(most) => rejected > most,
            Self::Percent(_) => read >= SHARE_FROM && self.is_exceeded_at_end(rejected, read),
        }
    }

    /// Whether so many rejects are too many of all records.
    pub(crate) fn is_exceeded_at_end(self, rejected: u64, read: u64) -> bool {
        match self {
            Self::Count(most) => rejected > most,
            Self::Percent(percent) => rejected as f64 * 100.0 > percent * read as f64,
        }
    }
}

fn narrower<T: Ord>(writer: T, config: Option<T>) -> T {
    match config {
        Some(config) => config.min(writer),
        None => writer,
    }
}

fn at_least_one(key: &str, value: Option<&Value>) -> Result<Option<usize>> {
    let Some(value) = value else { return Ok(None) };
    match value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
    {
        Some(number) if number > 0 => Ok(Some(number)),
        _ => Err(Error::config(format!(
            "`{key}` in the config must be 1 at least"
        ))),
    }
}

fn seconds(key: &str, value: Option<&Value>) -> Result<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Some)
        .ok_or_else(|| Error::config(format!("`{key}` in the config must not be negative")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(config: Value) -> Result<Options> {
        Options::new("target-x", 4, |key| config.get(key))
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let options = options(json!({})).unwrap();
        assert_eq!(
            options.rejects_path,
            PathBuf::from("target-x.rejects.jsonl")
        );
        assert_eq!(options.parallel, 4);
        assert_eq!(options.max_rejects, None);
        assert_eq!(options.metadata, Metadata::Left);
        assert_eq!(options.validation, Validation::Full);
        assert_eq!(options.empty_versions, EmptyVersions::Ignored);
    }

    #[test]
    fn the_config_narrows_a_writers_limits_and_never_widens_them() {
        let writer = Limits {
            max_records: 500,
            max_bytes: 1000,
            max_age: Duration::from_secs(10),
        };
        let config =
            json!({"batch": {"max_records": 50, "max_bytes": 9999, "max_age_seconds": 0.5}});
        let limits = options(config).unwrap().limits(writer);
        assert_eq!((limits.max_records, limits.max_bytes), (50, 1000));
        assert_eq!(limits.max_age, Duration::from_millis(500));
    }

    #[test]
    fn rejects_are_limited_by_count_or_by_share() {
        let limit =
            |value: Value| options(json!({"max_rejects": value})).map(|all| all.max_rejects);
        let count = limit(json!(2)).unwrap().unwrap();
        assert!(!count.is_exceeded(2, 2) && count.is_exceeded(3, 1_000_000));
        assert_eq!(limit(json!("2")).unwrap(), Some(MaxRejects::Count(2)));
        let share = limit(json!("5%")).unwrap().unwrap();
        assert!(!share.is_exceeded(1, 1) && share.is_exceeded_at_end(1, 1));
        assert!(share.is_exceeded(51, 1000) && !share.is_exceeded(50, 1000));
        assert!(!share.is_exceeded_at_end(0, 0));
        for wrong in [json!("many"), json!(-1), json!("101%"), json!(true)] {
            assert!(limit(wrong).is_err());
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        for (config, key) in [
            (json!({"parallel": 0}), "`parallel`"),
            (json!({"batch": {"max_records": 0}}), "`batch.max_records`"),
            (
                json!({"batch": {"max_age_seconds": -1}}),
                "`batch.max_age_seconds`",
            ),
        ] {
            let error = options(config).unwrap_err();
            assert!(error.message().contains(key), "{error}");
        }
    }
}
