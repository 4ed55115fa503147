//! Changes to the streams of a catalog: what they do to its metadata, and which are refused.
//!
//! Each is noted as an edit of the text and made in the entries at once, so that later ones see it.

use serde_json::Value;
use singer_core::catalog::{Catalog, Entry, Inclusion};
use singer_core::nearest::nearest;
use singer_core::{Error, Result};

use super::document::{Document, Place};

/// How a stream is to be replicated, as catalogs spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Method {
    /// `FULL_TABLE`
    #[value(name = "full", alias = "full-table", alias = "FULL_TABLE")]
    FullTable,
    /// `INCREMENTAL`
    #[value(alias = "INCREMENTAL")]
    Incremental,
    /// `LOG_BASED`: by the database's log, for taps that can
    #[value(alias = "LOG_BASED")]
    LogBased,
}

impl Method {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::FullTable => "FULL_TABLE",
            Self::Incremental => "INCREMENTAL",
            Self::LogBased => "LOG_BASED",
        }
    }
}

/// A catalog that is being changed.
#[derive(Debug)]
pub(super) struct Editor {
    entries: Vec<Entry>,
    edits: Vec<Edit>,
    /// What was asked for and is not done, in words.
    pub(super) notes: Vec<String>,
}

/// One value that is to be set.
#[derive(Debug)]
struct Edit {
    stream: usize,
    place: Place,
    key: &'static str,
    value: Value,
}

impl Editor {
    pub(super) fn new(catalog: &Catalog) -> Self {
        Self {
            entries: catalog.streams.clone(),
            edits: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The streams as they are by now.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Which streams have had a value set.
    pub(super) fn touched(&self) -> Vec<bool> {
        let mut touched = vec![false; self.entries.len()];
        for edit in &self.edits {
            touched[edit.stream] = true;
        }
        touched
    }

    /// Makes the changes in the text.
    pub(super) fn apply(&self, document: &mut Document) {
        for edit in &self.edits {
            document.set(edit.stream, &edit.place, edit.key, &edit.value);
        }
    }

    pub(super) fn select(&mut self, stream: usize) {
        self.set_selected(stream, true.into());
    }

    pub(super) fn deselect(&mut self, stream: usize) {
        if self.entries[stream].is_selected() {
            self.set_selected(stream, false.into());
        }
    }

    fn set_selected(&mut self, stream: usize, value: Value) {
        let older = self.entries[stream].get("schema");
        if older.is_some_and(|schema| schema.get("selected").is_some()) {
            self.set(stream, Place::Schema, "selected", value.clone());
        }
        self.set(stream, Place::StreamMetadata, "selected", value);
    }

    /// Leaves a column out. One that is always read stays, with a note.
    pub(super) fn exclude(&mut self, stream: usize, column: &str) {
        let entry = &self.entries[stream];
        let is_key = entry.key_properties().iter().any(|key| key == column);
        let why = if entry.inclusion(column) == Inclusion::Unsupported {
            return;
        } else if is_key {
            "it is part of the key"
        } else if is_incremental(entry) && entry.replication_key() == Some(column) {
            "it is the replication key"
        } else if entry.inclusion(column) == Inclusion::Automatic {
            "the tap always reads it"
        } else {
            return self.set_column(stream, column, false.into());
        };
        let note = format!("`{column}` of `{}` stays: {why}", entry.id());
        self.notes.push(note);
    }

    /// Takes a column in again.
    pub(super) fn include(&mut self, stream: usize, column: &str) {
        let entry = &self.entries[stream];
        match entry.inclusion(column) {
            Inclusion::Available if !entry.is_field_selected(column) => {
                self.set_column(stream, column, true.into());
            }
            Inclusion::Unsupported => {
                let note = format!("`{column}` of `{}` cannot be read by the tap", entry.id());
                self.notes.push(note);
            }
            _ => {}
        }
    }

    fn set_column(&mut self, stream: usize, column: &str, value: Value) {
        let older = self.entries[stream].property(column);
        if older.is_some_and(|schema| schema.get("selected").is_some()) {
            let place = Place::Property(column.to_owned());
            self.set(stream, place, "selected", value.clone());
        }
        let place = Place::FieldMetadata(column.to_owned());
        self.set(stream, place, "selected", value);
    }

    /// Sets how a stream is replicated. What the tap prescribes stays, with a note; the key of an
    /// incremental stream can be left out where the catalog leaves no choice.
    ///
    /// # Errors
    /// Of kind `Config` if the stream cannot have that key; the hints name those it can have.
    pub(super) fn replicate(
        &mut self,
        stream: usize,
        method: Method,
        key: Option<&str>,
    ) -> Result<()> {
        let entry = &self.entries[stream];
        if let Some(forced) = forced_method(entry)
            && !forced.eq_ignore_ascii_case(method.word())
        {
            let reason = forced_reason(entry).map_or_else(String::new, |why| format!(" ({why})"));
            let note = format!(
                "`{}` stays {forced}: the tap prescribes it{reason}",
                entry.id()
            );
            self.notes.push(note);
            return Ok(());
        }
        let key = match (method, key) {
            (Method::Incremental, None) => Some(only_key(entry)?),
            (_, Some(key)) => {
                check_key(entry, key)?;
                Some(key.to_owned())
            }
            (_, None) => None,
        };
        self.set_word(
            stream,
            "replication-method",
            "replication_method",
            method.word().into(),
        );
        if let Some(key) = key {
            let is_selected = self.entries[stream].is_field_selected(&key);
            self.set_word(
                stream,
                "replication-key",
                "replication_key",
                key.as_str().into(),
            );
            if !is_selected {
                self.set_column(stream, &key, true.into());
            }
        }
        Ok(())
    }

    /// Names the key of a view, or of a table that has none.
    ///
    /// # Errors
    /// Of kind `Config` if there is no such column, or the table has a key of its own.
    pub(super) fn set_keys(&mut self, stream: usize, keys: &[String]) -> Result<()> {
        let entry = &self.entries[stream];
        if entry.key_properties() == keys {
            return Ok(());
        }
        let own = entry.stream_metadata("table-key-properties");
        let has_own = own
            .and_then(Value::as_array)
            .is_some_and(|own| !own.is_empty());
        if has_own && !entry.is_view() {
            return Err(Error::config(format!(
                "the stream `{}` has a key of its own: {}",
                entry.id(),
                quoted(entry.key_properties().iter().map(String::as_str))
            ))
            .with_hint("`--keys` is for views and for tables without a key"));
        }
        for key in keys {
            if entry.property(key).is_none() {
                return Err(no_column(entry, key));
            }
            if entry.inclusion(key) == Inclusion::Unsupported {
                return Err(Error::config(format!(
                    "the column `{key}` of the stream `{}` cannot be read by the tap",
                    entry.id()
                )));
            }
        }
        self.set_word(stream, "view-key-properties", "key_properties", keys.into());
        for key in keys {
            self.include(stream, key);
        }
        Ok(())
    }

    /// Sets a word of the stream's metadata, and its older form where the entry has any of these.
    fn set_word(
        &mut self,
        stream: usize,
        key: &'static str,
        older_key: &'static str,
        value: Value,
    ) {
        let entry = &self.entries[stream];
        let has_older = ["replication_method", "replication_key", "key_properties"]
            .iter()
            .any(|word| entry.get(word).is_some());
        if has_older {
            self.set(stream, Place::Entry, older_key, value.clone());
        }
        self.set(stream, Place::StreamMetadata, key, value);
    }

    fn set(&mut self, stream: usize, place: Place, key: &'static str, value: Value) {
        let entry = &mut self.entries[stream];
        let old = match &place {
            Place::Entry => entry.get(key),
            Place::Schema => entry.get("schema").and_then(|schema| schema.get(key)),
            Place::Property(name) => entry.property(name).and_then(|schema| schema.get(key)),
            Place::StreamMetadata => entry.stream_metadata(key),
            Place::FieldMetadata(name) => entry.field_metadata(name, key),
        };
        if old.is_some_and(|old| says(old, &value)) {
            return;
        }
        match &place {
            Place::Entry => entry.set(key, value.clone()),
            Place::StreamMetadata => entry.set_stream_metadata(key, value.clone()),
            Place::FieldMetadata(name) => entry.set_field_metadata(name, key, value.clone()),
            Place::Schema => {
                if let Some(Value::Object(schema)) = entry.get("schema") {
                    let mut schema = schema.clone();
                    schema.insert(key.to_owned(), value.clone());
                    entry.set("schema", schema);
                }
            }
            Place::Property(name) => {
                if let Some(Value::Object(schema)) = entry.property(name) {
                    let mut schema = schema.clone();
                    schema.insert(key.to_owned(), value.clone());
                    entry.set_property(name, schema.into());
                }
            }
        }
        self.edits.push(Edit {
            stream,
            place,
            key,
            value,
        });
    }
}

/// The method that the tap prescribes, as it spells it.
pub(super) fn forced_method(entry: &Entry) -> Option<&str> {
    match entry.stream_metadata("forced-replication-method")? {
        Value::String(word) => Some(word),
        Value::Object(object) => object
            .get("replication-method")
            .or_else(|| object.get("replication_method"))?
            .as_str(),
        _ => None,
    }
}

fn forced_reason(entry: &Entry) -> Option<&str> {
    entry
        .stream_metadata("forced-replication-method")?
        .get("reason")?
        .as_str()
}

/// The method that holds: what the tap prescribes, what a person wished, what follows from a key.
pub(super) fn method_of(entry: &Entry) -> Option<&str> {
    forced_method(entry)
        .or_else(|| {
            let word = entry.stream_metadata("replication-method");
            word.or_else(|| entry.get("replication_method"))?.as_str()
        })
        .filter(|word| !word.is_empty())
        .or_else(|| entry.replication_key().map(|_| "INCREMENTAL"))
}

fn is_incremental(entry: &Entry) -> bool {
    method_of(entry).is_some_and(|word| word.eq_ignore_ascii_case("INCREMENTAL"))
}

/// The columns that can be a replication key: those that the tap names, else all that it can read.
pub(super) fn possible_keys(entry: &Entry) -> Vec<String> {
    entry.valid_replication_keys().unwrap_or_else(|| {
        let readable = |name: &&String| entry.inclusion(name) != Inclusion::Unsupported;
        let columns = entry.properties().map(|(name, _)| name);
        columns.filter(readable).cloned().collect()
    })
}

fn only_key(entry: &Entry) -> Result<String> {
    if let Some(key) = entry.replication_key() {
        check_key(entry, key)?;
        return Ok(key.to_owned());
    }
    match entry.valid_replication_keys().as_deref() {
        Some([only]) => Ok(only.clone()),
        _ => Err(with_keys(
            Error::config(format!(
                "the stream `{}` is to be incremental and has no replication key",
                entry.id()
            )),
            entry,
        )
        .with_hint("name one with `--replication-key`")),
    }
}

fn check_key(entry: &Entry, key: &str) -> Result<()> {
    let wrong = if entry.property(key).is_none() {
        "it has no such column"
    } else if entry.inclusion(key) == Inclusion::Unsupported {
        "the tap cannot read that column"
    } else if !possible_keys(entry).iter().any(|possible| possible == key) {
        "the tap does not offer it"
    } else {
        return Ok(());
    };
    Err(with_keys(
        Error::config(format!(
            "`{key}` cannot be the replication key of the stream `{}`: {wrong}",
            entry.id()
        )),
        entry,
    ))
}

fn with_keys(error: Error, entry: &Entry) -> Error {
    match possible_keys(entry).as_slice() {
        [] => error.with_hint("no column of it can be one: take `--method full`"),
        keys => error.with_hint(format!("it can be {}", quoted_some(keys))),
    }
}

fn no_column(entry: &Entry, column: &str) -> Error {
    let error = Error::config(format!(
        "the stream `{}` has no column `{column}`",
        entry.id()
    ));
    let names: Vec<String> = entry.properties().map(|(name, _)| name.clone()).collect();
    match nearest(column, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("the nearest name is `{near}`")),
        None => error.with_hint(format!("it has {}", quoted_some(&names))),
    }
}

/// Names in backticks.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The first of many names in backticks, and how many more there are.
pub(super) fn quoted_some(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = quoted(names.iter().take(SHOWN).map(String::as_str));
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a word says the same already; older catalogs have booleans as texts.
fn says(old: &Value, new: &Value) -> bool {
    old == new
        || match (old, new) {
            (Value::String(text), Value::Bool(truth)) => {
                text.eq_ignore_ascii_case(if *truth { "true" } else { "false" })
            }
            _ => false,
        }
}
