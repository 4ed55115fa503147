//! All that is known of a stream before its rows come: its table, its columns, what becomes of rows.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_core::Error;
use singer_runtime::target::{Problem, Stream};

use crate::config::{Chosen, Config, Mode, OnDelete, OnError};
use crate::encode::{Cell, Options, RowError, Source};
use crate::model::{Column, DataType, NewColumn};
use crate::schema::{self, DELETED_AT};

/// A stream's columns and what becomes of its rows.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The name in the messages.
    pub(crate) stream: String,
    /// The name of the table.
    pub(crate) view: String,
    pub(crate) mode: Mode,
    pub(crate) on_error: OnError,
    pub(crate) on_delete: OnDelete,
    /// What is written.
    pub(crate) cells: Vec<Cell>,
    /// What has to be created first.
    pub(crate) create: Vec<NewColumn>,
    /// The columns by which rows are found.
    pub(crate) matching: Vec<String>,
    /// The property that says that a row was deleted at the source.
    pub(crate) deleted: Option<usize>,
    pub(crate) options: Options,
    pub(crate) notes: Vec<String>,
}

/// What an import does with the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    Append,
    UpdateAdd,
    TruncateAdd,
}

impl Shape {
    /// Plans a stream; `table` holds the columns of the table, if there is one.
    ///
    /// # Errors
    /// What stands against it.
    pub(crate) fn new(
        stream: &Stream,
        chosen: &Chosen,
        config: &Config,
        view: &str,
        table: Option<&[Column]>,
    ) -> Result<Self, Vec<Problem>> {
        let mode = mode_of(stream, chosen);
        let columns = schema::plan(stream, chosen, mode, table);
        if !columns.problems.is_empty() {
            return Err(columns.problems);
        }
        let mut notes = columns.notes;
        let options = Options {
            milliseconds: config.milliseconds,
            supplementary: config.supplementary,
            empties: chosen.on_error == OnError::SetEmpty,
        };
        if columns
            .cells
            .iter()
            .any(|cell| cell.kind == DataType::DateTime)
        {
            let pattern = options.date_time_pattern();
            notes.push(format!(
                "times are sent in UTC without a zone, as `{pattern}`"
            ));
        }
        Ok(Self {
            stream: stream.name.clone(),
            view: view.to_owned(),
            mode,
            on_error: chosen.on_error,
            on_delete: chosen.on_delete,
            cells: columns.cells,
            create: columns.create,
            matching: columns.matching,
            deleted: stream.schema.layout().index(DELETED_AT),
            options,
            notes,
        })
    }

    /// Whether a row that does not fit is one too many.
    ///
    /// # Errors
    /// Of kind `Rejected`, if the config says so.
    pub(crate) fn check_abort(&self, error: &RowError) -> Result<(), Error> {
        if self.on_error != OnError::Abort {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "a row of the stream `{}` does not fit the table `{}`: {}",
            self.stream, self.view, error.reason
        ))
        .with_hint("`on_error` `skip_row` rejects such rows and goes on with the others"))
    }

    /// The properties that identify a row at the destination.
    pub(crate) fn identity(&self) -> Vec<usize> {
        let keys = self.keys().filter_map(|cell| match cell.source {
            Source::Property(property) => Some(property),
            Source::Version | Source::Nothing => None,
        });
        keys.collect()
    }

    /// The cells of the key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.is_key)
    }

    /// The column that a property of ours goes to.
    pub(crate) fn column_of<'a>(&'a self, property: &'static str) -> &'a str {
        let lower = property.to_lowercase();
        let cell = self
            .cells
            .iter()
            .find(|cell| cell.column.to_lowercase() == lower);
        cell.map_or(property, |cell| cell.column.as_str())
    }

    /// Whether rows that were deleted at the source are deleted.
    pub(crate) fn deletes(&self) -> bool {
        self.on_delete == OnDelete::Delete
    }

    /// The cells with these places.
    pub(crate) fn some_cells(&self, places: &[usize]) -> Vec<&Cell> {
        places
            .iter()
            .filter_map(|place| self.cells.get(*place))
            .collect()
    }

    /// The patterns of the dates in these cells.
    pub(crate) fn date_formats(&self, cells: &[&Cell]) -> Value {
        let patterns = cells.iter().filter_map(|cell| match cell.kind {
            DataType::DateTime => Some((cell.column.as_str(), self.options.date_time_pattern())),
            DataType::Date => Some((cell.column.as_str(), "yyyy-MM-dd")),
            _ => None,
        });
        let patterns: BTreeMap<&str, &str> = patterns.collect();
        json!(patterns)
    }

    /// CONFIG of an import of a file with these cells.
    pub(crate) fn import_config(
        &self,
        import: Import,
        cells: &[&Cell],
        callback: Option<&str>,
    ) -> Value {
        let mut config = json!({
            "importType": match import {
                Import::Append => "append",
                Import::UpdateAdd => "updateadd",
                Import::TruncateAdd => "truncateadd",
            },
            "fileType": "csv",
            "autoIdentify": false,
            "delimiter": 0,
            "quoted": 2,
            "commentChar": "#",
            "decimalSeparator": 0,
            "onError": self.on_error_word(import),
        });
        if import == Import::UpdateAdd {
            config["matchingColumns"] = json!(self.matching);
        }
        let formats = self.date_formats(cells);
        if formats
            .as_object()
            .is_some_and(|formats| !formats.is_empty())
        {
            config["columnDateFormat"] = formats;
        }
        if let Some(url) = callback {
            config["callbackUrl"] = json!(url);
        }
        config
    }

    /// Nothing of a file with a row at fault may stay where it could not be sent again, or where it would
    /// take the place of a whole table.
    fn on_error_word(&self, import: Import) -> &'static str {
        match (self.on_error, import) {
            (OnError::SetEmpty, _) => "setcolumnempty",
            (OnError::SkipRow, Import::UpdateAdd) => "skiprow",
            (OnError::SkipRow | OnError::Abort, _) => "abort",
        }
    }
}

/// What becomes of rows where the config says nothing: a key finds them. Refused rows that come again are
/// few, and never take the place of a whole table.
pub(crate) fn mode_of(stream: &Stream, chosen: &Chosen) -> Mode {
    let has_key = !stream.schema.key_properties().is_empty() || chosen.matching_columns.is_some();
    chosen
        .mode
        .filter(|mode| *mode != Mode::Replace || !stream.guessed)
        .unwrap_or(if has_key { Mode::Upsert } else { Mode::Append })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{shape, stream};

    #[test]
    fn config_says_all_that_a_file_needs() {
        let properties = json!({
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
        });
        let stream = stream("t", &properties);
        let shape = shape(&stream, json!({}));
        let cells: Vec<&Cell> = shape.cells.iter().collect();
        assert_eq!(
            shape.import_config(Import::UpdateAdd, &cells, None),
            json!({
                "importType": "updateadd", "fileType": "csv", "autoIdentify": false,
                "delimiter": 0, "quoted": 2, "commentChar": "#", "decimalSeparator": 0,
                "onError": "skiprow", "matchingColumns": ["id"],
                "columnDateFormat": {"at": "yyyy-MM-dd HH:mm:ss", "day": "yyyy-MM-dd"},
            })
        );
        let key: Vec<&Cell> = shape.keys().collect();
        let config = shape.import_config(Import::UpdateAdd, &key, Some("https://x/y"));
        assert_eq!(config["columnDateFormat"], Value::Null);
        assert_eq!(config["callbackUrl"], "https://x/y");
    }

    #[test]
    fn what_cannot_be_sent_again_is_imported_whole_or_not_at_all() {
        let stream = stream("t", &json!({"id": {"type": "integer"}}));
        let word = |config: Value, import| {
            let shape = shape(&stream, config);
            shape.import_config(import, &[], None)["onError"].clone()
        };
        assert_eq!(word(json!({"mode": "append"}), Import::Append), "abort");
        assert_eq!(
            word(json!({"mode": "replace"}), Import::TruncateAdd),
            "abort"
        );
        let empty = json!({"mode": "append", "on_error": "set_empty"});
        assert_eq!(word(empty, Import::Append), "setcolumnempty");
        assert_eq!(
            word(json!({"on_error": "abort"}), Import::UpdateAdd),
            "abort"
        );
    }
}
