//! Putting catalog, discovery and state together: what is read of a stream, and what stands against it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use singer_core::catalog::{Entry, Inclusion};
use singer_core::schema::{Schema, TypeSet};
use singer_core::state::State;
use singer_core::{Error, Kind, Result};

use super::Plan;
use super::replication;

/// Stream metadata: the words that are the person's, so that the catalog overrides the source.
const OF_THE_PERSON: [&str; 8] = [
    "selected",
    "replication-method",
    "replication-key",
    "forced-replication-method",
    "view-key-properties",
    SELECT_NEW_COLUMNS,
    "replication_method",
    "replication_key",
];
/// What the names of columns begin with that a tap adds to those of the source.
const OWN: &str = "_sdc_";

/// Stream metadata: the schema is what a tap made of a sample, and another sample may have other fields.
const SAMPLED_SCHEMA: &str = "sampled-schema";

/// Stream metadata: columns that the catalog does not know are read too.
const SELECT_NEW_COLUMNS: &str = "select-new-columns";

/// What all plans of a run have in common.
#[derive(Debug)]
pub(super) struct Basis<'a> {
    pub(super) state: &'a State,
    pub(super) start_date: Option<&'a str>,
    pub(super) started_at: DateTime<Utc>,
}

impl Basis<'_> {
    /// The plan of one stream: `wanted` is its entry in the catalog, `found` what discovery says.
    ///
    /// # Errors
    /// Of kind `Config` if the catalog or the state cannot be meant like that, of kind `Rejected` if
    /// the source has changed so that the catalog no longer fits.
    pub(super) fn plan(&self, wanted: &Entry, found: &Entry) -> Result<Plan> {
        let kept = with_schema_of(wanted, found);
        let found = kept.as_ref().unwrap_or(found);
        check_changes(wanted, found)?;
        let entry = merged(wanted, found);
        let (method, key) = replication::method(wanted, found)?;
        let key_properties = entry.key_properties();
        if let Some(name) = key_properties
            .iter()
            .find(|name| entry.property(name).is_none())
        {
            return Err(Error::config(format!(
                "the key `{name}` of the stream `{}` is no field of it",
                entry.id()
            ))
            .with_hint("see `table-key-properties` and `view-key-properties` in the catalog"));
        }
        let always = |name: &String| key_properties.contains(name) || key.as_ref() == Some(name);
        let fields = selected_fields(wanted, &entry, always);
        if fields.is_empty() {
            return Err(Error::config(format!(
                "no field of the stream `{}` is selected",
                entry.id()
            )));
        }
        let schema = masked_schema(&entry, &fields);
        let typed = Schema::new(&schema.to_string(), None, None)?;
        let (replication, bookmark) = replication::resume(
            entry.id(),
            (method, key),
            &typed,
            self.state.bookmark(entry.id())?,
            self.start_date,
            self.started_at,
        );
        Ok(Plan {
            id: entry.id().to_owned(),
            stream: entry.stream().to_owned(),
            fields,
            schema,
            key_properties,
            replication,
            bookmark,
            started_at: self.started_at,
            entry,
        })
    }
}

/// The error of a stream of the catalog that the source does not have any more.
pub(super) fn vanished(id: &str) -> Error {
    Error::rejected(format!("the source has no stream `{id}` any more"))
        .with_hint("run `--discover` again and make the catalog anew, or deselect the stream")
}

/// Where schemas are made of samples: the stream with the fields of the catalog, as no sample proves that one
/// of them is gone. What is new turns up when it is read. Nothing if the source's own schema counts.
fn with_schema_of(wanted: &Entry, found: &Entry) -> Option<Entry> {
    let is_sampled = found.stream_metadata(SAMPLED_SCHEMA) == Some(&Value::Bool(true));
    if !is_sampled || wanted.properties().next().is_none() {
        return None;
    }
    let mut entry = found.clone();
    entry.set("schema", wanted.get("schema")?.clone());
    Some(entry)
}

/// The stream as the source has it, with the person's words and whatever else the catalog says.
fn merged(wanted: &Entry, found: &Entry) -> Entry {
    let mut entry = found.clone();
    entry.set("stream", wanted.stream());
    for word in ["replication_method", "replication_key", "key_properties"] {
        if let Some(value) = wanted.get(word) {
            entry.set(word, value.clone());
        }
    }
    for (word, value) in wanted.all_stream_metadata() {
        if OF_THE_PERSON.contains(&word.as_str()) || says_nothing(found.stream_metadata(word)) {
            entry.set_stream_metadata(word, value.clone());
        }
    }
    for (name, _) in found.properties() {
        for (word, value) in wanted.all_field_metadata(name) {
            if word == "selected" || says_nothing(found.field_metadata(name, word)) {
                entry.set_field_metadata(name, word, value.clone());
            }
        }
    }
    entry
}

/// No value, null, or an empty list: a key that the source does not know may be named by a person.
fn says_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// The fields that are read, in the source's order. `always` says which are needed anyway.
fn selected_fields(wanted: &Entry, entry: &Entry, always: impl Fn(&String) -> bool) -> Vec<String> {
    let knows_columns = wanted.properties().next().is_some();
    let takes_new = entry
        .stream_metadata(SELECT_NEW_COLUMNS)
        .is_some_and(|value| value == true || value == "true");
    let mut fields = Vec::new();
    let mut new = Vec::new();
    for (name, _) in entry.properties() {
        let inclusion = entry.inclusion(name);
        let is_new = knows_columns && wanted.property(name).is_none();
        // What is read in any case needs no word.
        if is_new && inclusion != Inclusion::Automatic {
            new.push(name.as_str());
        }
        let is_read = match inclusion {
            Inclusion::Unsupported => {
                if entry.field_wish(name) == Some(true) {
                    tracing::warn!(stream = entry.id(), field = %name, "left out: it cannot be read");
                }
                false
            }
            _ if always(name) => true,
            Inclusion::Automatic => true,
            Inclusion::Available if is_new => takes_new,
            Inclusion::Available => entry.is_field_selected(name) && wanted.is_field_selected(name),
        };
        if is_read {
            fields.push(name.clone());
        }
    }
    if !new.is_empty() {
        tracing::info!(
            stream = entry.id(),
            fields = new.join(", "),
            taken = takes_new,
            "the source has fields that the catalog does not know"
        );
    }
    fields
}

fn masked_schema(entry: &Entry, fields: &[String]) -> Value {
    let mut schema = match entry.get("schema") {
        Some(Value::Object(schema)) => schema.clone(),
        _ => Map::new(),
    };
    schema.remove("selected");
    schema.entry("type").or_insert_with(|| json!("object"));
    let is_read = |name: &str| fields.iter().any(|field| field == name);
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(is_read));
    }
    let properties: Map<String, Value> = entry
        .properties()
        .filter(|(name, _)| is_read(name))
        .map(|(name, property)| (name.clone(), property.clone()))
        .collect();
    schema.insert("properties".to_owned(), properties.into());
    schema.into()
}

/// A selected column that was lost or retyped is an error that names it.
fn check_changes(wanted: &Entry, found: &Entry) -> Result<()> {
    let mut changes = Vec::new();
    for (name, schema) in wanted.properties() {
        if !wanted.is_field_selected(name) {
            continue;
        }
        let Some(now) = found.property(name) else {
            // What a tap adds by itself comes and goes with its settings.
            if !name.starts_with(OWN) {
                changes.push(format!("`{name}` is gone"));
            }
            continue;
        };
        if found.inclusion(name) == Inclusion::Unsupported {
            if wanted.field_wish(name) == Some(true) {
                changes.push(format!("`{name}` can no longer be read"));
            }
            continue;
        }
        if is_retyped(schema, now) && !has_same_sql_type(wanted, found, name) {
            changes.push(format!(
                "`{name}` was {} and is {} now",
                type_words(wanted, name, schema),
                type_words(found, name, now)
            ));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Rejected,
        format!(
            "the source of the stream `{}` has changed: {}",
            found.id(),
            changes.join(", ")
        ),
    )
    .with_hint("run `--discover` again and make the catalog anew, or deselect these fields"))
}

/// Whether records would look different: other JSON types, or another format.
fn is_retyped(before: &Value, now: &Value) -> bool {
    let says_type = |schema: &Value| TypeSet::of(schema) != TypeSet::ANY;
    if !says_type(before) {
        return false;
    }
    let form = |schema: &Value| {
        (
            TypeSet::of(schema).without_null(),
            schema.get("format").cloned(),
        )
    };
    form(before) != form(now)
}

/// The source's own type counts more: a setting, or a newer tap, may show it in another form.
fn has_same_sql_type(wanted: &Entry, found: &Entry, name: &str) -> bool {
    let sql_type = |entry: &Entry| {
        let word = entry.field_metadata(name, "sql-datatype")?.as_str()?;
        Some(word.to_lowercase())
    };
    let before = sql_type(wanted);
    before.is_some() && before == sql_type(found)
}

fn type_words(entry: &Entry, name: &str, schema: &Value) -> String {
    if let Some(Value::String(word)) = entry.field_metadata(name, "sql-datatype") {
        return format!("`{word}`");
    }
    let mut words: Vec<&str> = match schema.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => vec!["several types"],
    };
    words.retain(|word| *word != "null");
    words.extend(schema.get("format").and_then(Value::as_str));
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests;
