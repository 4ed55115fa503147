//! Settings by stream, and what applies in the end.

use std::collections::BTreeMap;

use serde::Deserialize;
use singer_core::{Error, Result};
use singer_runtime::setting::{ByStream, Setting, Shape};

use crate::model::DataType;

/// Columns by which rows are found, at most.
const MOST_MATCHING: usize = 100;

/// The settings of one stream.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamConfig {
    /// The table's id.
    #[serde(default)]
    pub view_id: Option<String>,
    /// The table's name.
    #[serde(default)]
    pub view: Option<String>,
    /// What becomes of rows.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The columns by which rows are found.
    #[serde(default)]
    pub matching_columns: Option<Vec<String>>,
    /// Whether a missing table and missing columns are created.
    #[serde(default)]
    pub create: Option<bool>,
    /// What becomes of values that Analytics does not take.
    #[serde(default)]
    pub on_error: Option<OnError>,
    /// What becomes of rows that vanished.
    #[serde(default)]
    pub on_delete: Option<OnDelete>,
    /// Columns by property, where the names differ.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Types of new columns, by column.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
}

/// What becomes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each is a new row.
    Append,
    /// All together take the place of all rows.
    Replace,
    /// Each takes the place of the row with its key, by import.
    Upsert,
    /// The same by one call a row.
    Row,
}

impl Mode {
    /// Its name in a config.
    pub fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Upsert => "upsert",
            Self::Row => "row",
        }
    }
}

/// What becomes of values that Analytics does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The stream fails.
    Abort,
    /// The row is rejected.
    SkipRow,
    /// The cell is left empty, which is counted and told.
    SetEmpty,
}

/// What becomes of rows that vanished from a full table, or come with `_sdc_deleted_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// Nothing.
    Ignore,
    /// They are deleted.
    Delete,
    /// They are marked in `_sdc_deleted_at`.
    Flag,
}

/// What applies to one stream.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The table's id.
    pub view_id: Option<String>,
    /// The table's name; the stream's if there is none.
    pub view: Option<String>,
    /// What becomes of rows; by the stream's key if it says nothing.
    pub mode: Option<Mode>,
    /// The columns by which rows are found; those of the stream's key if it says nothing.
    pub matching_columns: Option<Vec<String>>,
    /// Whether what is missing is created.
    pub create: bool,
    /// What becomes of values that Analytics does not take.
    pub on_error: OnError,
    /// What becomes of rows that vanished.
    pub on_delete: OnDelete,
    /// Columns by property.
    pub columns: BTreeMap<String, String>,
    /// Types of new columns.
    pub types: BTreeMap<String, DataType>,
}

impl Chosen {
    pub(crate) fn new(config: StreamConfig) -> Self {
        let types = config.types.iter();
        Self {
            view_id: config.view_id,
            view: config.view,
            mode: config.mode,
            matching_columns: config.matching_columns,
            create: config.create.unwrap_or(true),
            on_error: config.on_error.unwrap_or(OnError::SkipRow),
            on_delete: config.on_delete.unwrap_or(OnDelete::Ignore),
            types: types
                .map(|(column, word)| (column.clone(), DataType::of(word)))
                .collect(),
            columns: config.columns,
        }
    }
}

/// The settings that a stream takes.
pub(super) fn settings() -> Vec<Setting> {
    vec![
        Setting::text("view_id").about("The id of the table, as its address in the browser shows it."),
        Setting::text("view").about("The name of the table, instead of its id; the stream's name if left out."),
        Setting::word("mode", &["append", "replace", "upsert", "row"])
            .about("`append`: each record is a new row. `upsert`: it takes the place of the row with its key. `replace`: the stream takes the place of all rows, in one step at its end. `row`: as `upsert`, by a call for each row, for trickles. `upsert` with a key and `append` without one if left out."),
        Setting::list("matching_columns", Shape::Text)
            .about("The columns by which rows are found; those of the key properties if left out."),
        Setting::boolean("create").about("Creates the table and columns that are missing; true if left out."),
        Setting::word("on_error", &["abort", "skip_row", "set_empty"])
            .about("What becomes of a value that Analytics does not take: the stream fails, the row is rejected (the default), or the cell is left empty, which is counted and told."),
        Setting::word("on_delete", &["ignore", "delete", "flag"])
            .about("What becomes of rows that vanished from a full table or come with `_sdc_deleted_at`: nothing (the default), they are deleted, or they are marked in the column `_sdc_deleted_at`."),
        Setting::new("columns", Shape::map(Shape::Text))
            .about("Columns by property, where the names differ: `{\"CREATEDTIME\": \"Created\"}`."),
        Setting::new("types", Shape::map(Shape::Text))
            .about("Types of new columns, by column: `{\"Fuel\": \"CURRENCY\"}`."),
    ]
}

/// Checks the settings of each stream.
pub(super) fn validate(streams: &ByStream<StreamConfig>) -> Result<()> {
    for (stream, config) in streams.iter() {
        let wrong =
            |key: &str, what: &str| Error::config(format!("`streams.{stream}.{key}` {what}"));
        if config
            .view_id
            .as_deref()
            .is_some_and(|id| !super::is_id(id))
        {
            return Err(wrong("view_id", "is no id: digits are wanted")
                .with_hint("`view` takes the table's name instead"));
        }
        if config.view_id.is_some() && config.view.is_some() {
            return Err(wrong("view", "and `view_id` are both set"));
        }
        if config
            .view
            .as_deref()
            .is_some_and(|name| name.trim().is_empty())
        {
            return Err(wrong("view", "is empty"));
        }
        if let Some(columns) = &config.matching_columns
            && !(1..=MOST_MATCHING).contains(&columns.len())
        {
            return Err(wrong("matching_columns", "must name 1 to 100 columns"));
        }
        for (column, word) in &config.types {
            if matches!(
                DataType::of(word),
                DataType::Other(_) | DataType::AutoNumber
            ) {
                let key = format!("types.{column}");
                return Err(wrong(&key, "is no type of a column that can be written")
                    .with_hint(format!("one of {}", DataType::WORDS.join(", "))));
            }
        }
        if config
            .columns
            .values()
            .any(|column| column.trim().is_empty())
        {
            return Err(wrong("columns", "has an empty name of a column"));
        }
    }
    Ok(())
}
