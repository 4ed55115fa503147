//! Settings by stream, and what applies in the end.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::{Map, Value, json};
use singer_core::{Error, Result};
use singer_runtime::setting::{ByStream, Setting, Shape};

use super::{
    Arrays, DateTimes, Digits, Method, Mode, Nested, NumberType, OnDelete, OnTypeConflict,
};

/// Settings by name or pattern, in the order of the config.
pub type Streams = ByStream<StreamConfig>;

/// The settings of one stream, or those of all streams that say nothing else.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamConfig {
    /// The data set; may hold `{column}`.
    #[serde(default)]
    pub dataset: Option<String>,
    /// The table; may hold `{column}`.
    #[serde(default)]
    pub table: Option<String>,
    /// What becomes of rows.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The columns that identify a row, if not those of the SCHEMA.
    #[serde(default)]
    pub key: Option<Vec<String>>,
    /// The column by which the newest row is told.
    #[serde(default)]
    pub order_by: Option<String>,
    /// How the table is partitioned, when it is created.
    #[serde(default)]
    pub partition_by: Option<PartitionBy>,
    /// Whether the partition of a row never changes.
    #[serde(default)]
    pub partition_fixed: Option<bool>,
    /// By what the table is clustered, when it is created.
    #[serde(default)]
    pub cluster_by: Option<Vec<String>>,
    /// When superseded rows are deleted.
    #[serde(default)]
    pub dedupe: Option<Dedupe>,
    /// How old what a query sees of a table with changes may be, in seconds.
    #[serde(default)]
    pub max_staleness: Option<u64>,
    /// What becomes of rows that vanished.
    #[serde(default)]
    pub on_delete: Option<OnDelete>,
    /// What becomes of columns whose types do not fit.
    #[serde(default)]
    pub on_type_conflict: Option<OnTypeConflict>,
    /// What becomes of objects.
    #[serde(default)]
    pub nested: Option<Nested>,
    /// What becomes of digits that a column does not keep.
    #[serde(default)]
    pub digits: Option<Digits>,
    /// The type of decimals.
    #[serde(default)]
    pub decimal: Option<NumberType>,
    /// The type of numbers of which the schema says no more.
    #[serde(default)]
    pub number: Option<NumberType>,
    /// What becomes of lists.
    #[serde(default)]
    pub arrays: Option<Arrays>,
    /// The type of date-times.
    #[serde(default)]
    pub date_times: Option<DateTimes>,
    /// The values that `{column}` may have.
    #[serde(default)]
    pub tenants: Option<Vec<String>>,
}

/// How a table is partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBy {
    /// The column.
    pub field: String,
    /// How.
    pub kind: PartitionKind,
    /// After how many days a partition is deleted.
    pub expiration_days: Option<u64>,
}

/// The kinds of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// By a unit of time.
    Time(&'static str),
    /// By ranges of an integer.
    Range {
        /// The first value.
        start: i64,
        /// One past the last.
        end: i64,
        /// How wide each is.
        interval: i64,
    },
}

/// When superseded rows are deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Dedupe {
    /// Only rows that were written at least so long ago.
    #[serde(default)]
    pub older_than_seconds: Option<u64>,
    /// No more often than this.
    #[serde(default)]
    pub every_seconds: Option<u64>,
    /// The column by which the newest row is told.
    #[serde(default)]
    pub order_by: Option<String>,
}

/// What applies to one stream.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The template of the data set.
    pub dataset: String,
    /// The template of the table, if it is not the stream's name.
    pub table: Option<String>,
    /// What becomes of rows; by the stream's key if it says nothing.
    pub mode: Option<Mode>,
    /// The columns that identify a row.
    pub key: Option<Vec<String>>,
    /// The column by which the newest row is told.
    pub order_by: Option<String>,
    /// How the table is partitioned.
    pub partition_by: Option<PartitionBy>,
    /// Whether the partition of a row never changes.
    pub partition_fixed: bool,
    /// By what the table is clustered.
    pub cluster_by: Vec<String>,
    /// When superseded rows are deleted.
    pub dedupe: Dedupe,
    /// How old what a query sees may be.
    pub max_staleness: Option<u64>,
    /// What becomes of rows that vanished.
    pub on_delete: Option<OnDelete>,
    /// What becomes of columns whose types do not fit.
    pub on_type_conflict: OnTypeConflict,
    /// What becomes of objects.
    pub nested: Nested,
    /// What becomes of digits that a column does not keep.
    pub digits: Digits,
    /// The type of decimals.
    pub decimal: NumberType,
    /// The type of numbers of which the schema says no more.
    pub number: NumberType,
    /// What becomes of lists.
    pub arrays: Arrays,
    /// The type of date-times.
    pub date_times: DateTimes,
    /// The values that `{column}` may have.
    pub tenants: Option<Vec<String>>,
}

/// Whose settings they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Those of all streams.
    General,
    /// Those of one.
    Stream,
}

const NUMBER_TYPES: &[&str] = &["auto", "numeric", "bignumeric", "float", "string"];

/// Days that a partition may live: a thousand years.
const MOST_DAYS: i64 = 365_250;

const TIME_UNITS: [&str; 4] = ["HOUR", "DAY", "MONTH", "YEAR"];

/// The settings that can be made for all streams and for each. `dataset` of all streams stands
/// further up in the table.
pub(super) fn settings(level: Level) -> Vec<Setting> {
    let mut settings = Vec::new();
    if level == Level::Stream {
        settings.push(
            Setting::text("dataset").about("The data set of this stream; may hold `{column}`."),
        );
        settings.push(
            Setting::text("table")
                .about("The table; may hold `{column}`. The stream's name if left out."),
        );
        settings.push(Setting::list("key", Shape::Text).about(
            "The columns that identify a row; the key properties of the SCHEMA if left out.",
        ));
        settings.push(
            Setting::text("order_by")
                .about("The column by which the newer of two rows is told; the replication key of the SCHEMA if left out."),
        );
    }
    settings.extend([
        Setting::word("mode", &["append", "upsert", "replace", "append_dedupe"])
            .about("`append`: each record is a row. `upsert`: it takes the place of the row with its key, the newest wins. `replace`: the stream takes the place of the table, in one step at its end. `append_dedupe`: every version is appended, superseded ones are deleted later. `upsert` with a key and `append` without one if left out."),
        Setting::new(
            "partition_by",
            Shape::Either(vec![Shape::Text, Shape::Any]),
        )
        .about("The column by which a new table is partitioned, by day; or `{\"field\", \"type\", \"expiration_days\"}` with a type of `HOUR`, `DAY`, `MONTH` or `YEAR`, or `{\"field\", \"start\", \"end\", \"interval\"}` for integers."),
        Setting::boolean("partition_fixed")
            .about("The partition column of a row never changes, so that MERGE need look only at the partitions of its batch."),
        Setting::list("cluster_by", Shape::Text)
            .about("Up to four columns by which a new table is clustered."),
        Setting::object(
            "dedupe",
            vec![
                Setting::integer("older_than_seconds")
                    .about("Only rows that were written so long ago are deleted; 5400 with `streaming`, else 0, if left out."),
                Setting::integer("every_seconds")
                    .about("No more often than this; 5400 if left out."),
                Setting::text("order_by")
                    .about("The column by which the newest version is told; the stream's `order_by` if left out."),
            ],
        )
        .about("When `append_dedupe` deletes superseded rows."),
        Setting::integer("max_staleness").about(
            "Seconds by which queries of a table with `storage_write` and `upsert` may lag behind, so that not each of them merges changes itself.",
        ),
        Setting::word("on_delete", &["soft", "hard"])
            .about("What becomes of rows that vanished from a full table or come with `_sdc_deleted_at`: marked in `_sdc_deleted_at`, or deleted. Left as they are if left out."),
        Setting::word("on_type_conflict", &["error", "variant"])
            .about("What becomes of a column whose type in the table takes no values of the stream: the stream is not written (the default), or they go to a column `name__type`."),
        Setting::word("nested", &["record", "json"])
            .about("What becomes of objects with known properties: RECORD columns (the default) or JSON."),
        Setting::word("arrays", &["repeated", "json"])
            .about("What becomes of lists: REPEATED columns, which refuse rows with a null in the list (the default), or JSON."),
        Setting::word("date_times", &["timestamp", "datetime"])
            .about("The type of date-times in new columns: TIMESTAMP (the default), or DATETIME with the civil time in UTC."),
        Setting::word("decimal", NUMBER_TYPES)
            .about("The type of decimals in new columns; the narrowest that keeps all digits which the schema promises if left out."),
        Setting::word("number", NUMBER_TYPES)
            .about("The type in new columns of numbers of which the schema says no more; FLOAT if left out."),
        Setting::word("digits", &["exact", "round"])
            .about("What becomes of numbers and fractions of a second that a column does not keep whole (FLOAT keeps some 17 digits, JSON too, TIMESTAMP microseconds): the row is refused (the default), or they are rounded."),
        Setting::list("tenants", Shape::Text)
            .about("The values that `{column}` in `dataset` and `table` may have; any that a name may hold if left out."),
    ]);
    settings
}

/// Checks the settings of each stream.
pub(super) fn validate(streams: &Streams, method: Method) -> Result<()> {
    for (stream, config) in streams.iter() {
        config.validate(&format!("streams.{stream}."), method)?;
    }
    Ok(())
}

impl StreamConfig {
    /// These settings, and where they say nothing those of `general`.
    pub fn over(self, general: &Self) -> Chosen {
        let general = general.clone();
        Chosen {
            dataset: self.dataset.or(general.dataset).unwrap_or_default(),
            table: self.table,
            mode: self.mode.or(general.mode),
            key: self.key,
            order_by: self.order_by,
            partition_by: self.partition_by.or(general.partition_by),
            partition_fixed: self
                .partition_fixed
                .or(general.partition_fixed)
                .unwrap_or_default(),
            cluster_by: self.cluster_by.or(general.cluster_by).unwrap_or_default(),
            dedupe: self.dedupe.or(general.dedupe).unwrap_or_default(),
            max_staleness: self.max_staleness.or(general.max_staleness),
            on_delete: self.on_delete.or(general.on_delete),
            on_type_conflict: self
                .on_type_conflict
                .or(general.on_type_conflict)
                .unwrap_or_default(),
            nested: self.nested.or(general.nested).unwrap_or_default(),
            digits: self.digits.or(general.digits).unwrap_or_default(),
            decimal: self.decimal.or(general.decimal).unwrap_or_default(),
            number: self.number.or(general.number).unwrap_or_default(),
            arrays: self.arrays.or(general.arrays).unwrap_or_default(),
            date_times: self.date_times.or(general.date_times).unwrap_or_default(),
            tenants: self.tenants.or(general.tenants),
        }
    }

    pub(super) fn validate(&self, place: &str, method: Method) -> Result<()> {
        let wrong = |key: &str, what: &str| Error::config(format!("`{place}{key}` {what}"));
        if self
            .cluster_by
            .as_ref()
            .is_some_and(|columns| columns.len() > 4)
        {
            return Err(wrong("cluster_by", "names more than four columns"));
        }
        if self.key.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong("key", "is empty"));
        }
        for (key, text) in [("dataset", &self.dataset), ("table", &self.table)] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                return Err(wrong(key, "is empty"));
            }
        }
        if method == Method::Streaming && matches!(self.mode, Some(Mode::Upsert | Mode::Replace)) {
            return Err(wrong("mode", "needs statements on rows that insertAll keeps in its buffer")
                .with_hint("with `method` `streaming` use `append` or `append_dedupe`; or use `load` or `storage_write`"));
        }
        if method == Method::Streaming && self.on_delete.is_some() {
            return Err(wrong(
                "on_delete",
                "needs statements on rows that insertAll keeps in its buffer",
            )
            .with_hint("use `method` `load` or `storage_write`"));
        }
        if self.max_staleness.is_some_and(|seconds| seconds > 86_400) {
            return Err(wrong("max_staleness", "is more than a day (86400 seconds)"));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PartitionBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::String(field) => Ok(Self {
                field: field.clone(),
                kind: PartitionKind::Time("DAY"),
                expiration_days: None,
            }),
            Value::Object(object) => Self::of(object).map_err(serde::de::Error::custom),
            _ => Err(serde::de::Error::custom(
                "`partition_by` is neither a column nor an object",
            )),
        }
    }
}

impl PartitionBy {
    fn of(object: &Map<String, Value>) -> Result<Self, String> {
        let known = [
            "field",
            "type",
            "expiration_days",
            "start",
            "end",
            "interval",
        ];
        if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("`partition_by` has the unknown key `{key}`"));
        }
        let field = object
            .get("field")
            .and_then(Value::as_str)
            .ok_or("`partition_by` has no `field`")?;
        // Like any number of a config it may be text.
        let integer = |key: &str| match object.get(key)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        let kind = match (integer("start"), integer("end"), integer("interval")) {
            (None, None, None) => {
                let word = match object.get("type") {
                    None => Some("DAY"),
                    Some(word) => word.as_str(),
                };
                let unit = TIME_UNITS
                    .iter()
                    .find(|unit| word.is_some_and(|word| unit.eq_ignore_ascii_case(word)))
                    .ok_or("the `type` of `partition_by` is none of HOUR, DAY, MONTH, YEAR")?;
                PartitionKind::Time(unit)
            }
            (Some(start), Some(end), Some(interval)) if interval > 0 && start < end => {
                PartitionKind::Range {
                    start,
                    end,
                    interval,
                }
            }
            _ => {
                return Err(
                    "`partition_by` needs `start`, `end` and `interval` as integers".to_owned(),
                );
            }
        };
        let expiration_days = match object.get("expiration_days") {
            None | Some(Value::Null) => None,
            Some(_) => match integer("expiration_days") {
                Some(days @ 1..=MOST_DAYS) => Some(days.unsigned_abs()),
                _ => {
                    return Err(format!(
                        "`expiration_days` of `partition_by` must be between 1 and {MOST_DAYS}"
                    ));
                }
            },
        };
        Ok(Self {
            field: field.to_owned(),
            kind,
            expiration_days,
        })
    }

    /// What a new table says of it.
    pub fn table_key(&self, column: &str) -> (&'static str, Value) {
        match self.kind {
            PartitionKind::Time(unit) => {
                let mut value = json!({"type": unit, "field": column});
                if let Some(days) = self.expiration_days {
                    value["expirationMs"] = json!((days * 86_400_000).to_string());
                }
                ("timePartitioning", value)
            }
            PartitionKind::Range {
                start,
                end,
                interval,
            } => (
                "rangePartitioning",
                json!({"field": column, "range": {
                    "start": start.to_string(), "end": end.to_string(), "interval": interval.to_string(),
                }}),
            ),
        }
    }
}
