//! The catalog: which streams and fields there are, and which of them a person wants.
//!
//! An entry keeps its JSON object as it came, so that keys which nobody here knows survive a round
//! trip; what is read and written of it goes through methods.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// A catalog file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// The streams.
    pub streams: Vec<Entry>,
}

/// One stream of a catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entry {
    object: Map<String, Value>,
}

/// Whether a field may be selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inclusion {
    /// As the person wishes.
    Available,
    /// Always in.
    Automatic,
    /// Never in.
    Unsupported,
}

/// How a stream is replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `FULL_TABLE`
    FullTable,
    /// `INCREMENTAL`
    Incremental,
}

impl Catalog {
    /// Reads a catalog file.
    ///
    /// # Errors
    /// Of kind `Config`, with line and column where it is not JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let catalog: Self = serde_json::from_slice(bytes).map_err(|error| {
            let error = Error::config("the catalog cannot be read").with_source(error);
            error.with_hint("a catalog is what `--discover` prints: {\"streams\": [...]}")
        })?;
        let mut ids: Vec<&str> = catalog.streams.iter().map(Entry::id).collect();
        if ids.contains(&"") {
            return Err(Error::config(
                "the catalog has a stream without `tap_stream_id`",
            ));
        }
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::config(format!(
                "the catalog has the stream `{}` twice",
                pair[0]
            ))),
            None => Ok(catalog),
        }
    }
}

impl Entry {
    /// A stream with an empty schema and no metadata.
    pub fn new(tap_stream_id: &str, stream: &str) -> Self {
        let object = json!({
            "tap_stream_id": tap_stream_id,
            "stream": stream,
            "schema": {"type": "object", "properties": {}},
            "metadata": [],
        });
        match object {
            Value::Object(object) => Self { object },
            _ => unreachable!("a literal object"),
        }
    }

    /// `tap_stream_id`: unique in the catalog; selection and state go by it.
    pub fn id(&self) -> &str {
        self.text("tap_stream_id")
            .or_else(|| self.text("stream"))
            .unwrap_or_default()
    }

    /// `stream`: the name in the messages.
    pub fn stream(&self) -> &str {
        self.text("stream").unwrap_or_else(|| self.id())
    }

    /// All names that a person may call it by: its id, its name, its table, its table with the schema before it.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.id().to_owned(), self.stream().to_owned()];
        if let Some(table) = self.text("table_name") {
            names.push(table.to_owned());
            if let Some(Value::String(schema)) = self.stream_metadata("schema-name") {
                names.push(format!("{schema}.{table}"));
            }
        }
        names
    }

    /// A top-level key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key)
    }

    /// Sets a top-level key (`table_name`, `database_name`, …).
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.object.insert(key.to_owned(), value.into());
    }

    /// The schemas of the properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.object
            .get("schema")
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    }

    /// Adds a property or replaces its schema.
    pub fn set_property(&mut self, name: &str, schema: Value) {
        let properties = self
            .object
            .entry("schema")
            .or_insert_with(|| json!({"type": "object"}))
            .as_object_mut()
            .map(|schema| schema.entry("properties").or_insert_with(|| json!({})));
        if let Some(Value::Object(properties)) = properties {
            properties.insert(name.to_owned(), schema);
        }
    }

    /// A metadata word of the stream itself.
    pub fn stream_metadata(&self, key: &str) -> Option<&Value> {
        self.metadata(&[])?.get(key)
    }

    /// A metadata word of a property.
    pub fn field_metadata(&self, field: &str, key: &str) -> Option<&Value> {
        self.metadata(&["properties", field])?.get(key)
    }

    /// Sets a metadata word of the stream itself.
    pub fn set_stream_metadata(&mut self, key: &str, value: impl Into<Value>) {
        self.set_metadata(&[], key, value.into());
    }

    /// Sets a metadata word of a property.
    pub fn set_field_metadata(&mut self, field: &str, key: &str, value: impl Into<Value>) {
        self.set_metadata(&["properties", field], key, value.into());
    }

    /// All metadata words of the stream itself.
    pub fn all_stream_metadata(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.metadata(&[]).into_iter().flatten()
    }

    /// All metadata words of a property.
    pub fn all_field_metadata(&self, field: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.metadata(&["properties", field]).into_iter().flatten()
    }

    /// The JSON schema of a property.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.object.get("schema")?.get("properties")?.get(name)
    }

    /// Whether a person wants this stream: `selected`, else the older `selected` inside the schema,
    /// else `selected-by-default`; a stream without any metadata is wanted.
    pub fn is_selected(&self) -> bool {
        let older = || self.object.get("schema")?.get("selected");
        truth(self.stream_metadata("selected"))
            .or_else(|| truth(older()))
            .or_else(|| truth(self.stream_metadata("selected-by-default")))
            .unwrap_or_else(|| {
                let metadata = self.object.get("metadata").and_then(Value::as_array);
                metadata.is_none_or(Vec::is_empty)
            })
    }

    /// Whether a field may be selected, from its metadata, else from the older word in its schema.
    pub fn inclusion(&self, field: &str) -> Inclusion {
        let older = || self.property(field)?.get("inclusion");
        let word = self.field_metadata(field, "inclusion").or_else(older);
        match word.and_then(Value::as_str) {
            Some("automatic") => Inclusion::Automatic,
            Some("unsupported") => Inclusion::Unsupported,
            _ => Inclusion::Available,
        }
    }

    /// What a person said of a field, if anything.
    pub fn field_wish(&self, field: &str) -> Option<bool> {
        let older = || self.property(field)?.get("selected");
        truth(self.field_metadata(field, "selected")).or_else(|| truth(older()))
    }

    /// Whether a field of a selected stream is read: automatic ones always, unsupported ones never,
    /// the rest as wished, else by default, else as the stream.
    pub fn is_field_selected(&self, field: &str) -> bool {
        match self.inclusion(field) {
            Inclusion::Automatic => true,
            Inclusion::Unsupported => false,
            Inclusion::Available => self
                .field_wish(field)
                .or_else(|| truth(self.field_metadata(field, "selected-by-default")))
                .unwrap_or(true),
        }
    }

    /// Whether the stream is a view, which has no key of its own.
    pub fn is_view(&self) -> bool {
        let older = || self.object.get("is_view");
        truth(self.stream_metadata("is-view").or_else(older)).unwrap_or(false)
    }

    /// The method that the tap prescribes: a word, or an object with the word and its reason.
    ///
    /// # Errors
    /// Of kind `Config` for a word that nobody here knows.
    pub fn forced_method(&self) -> Result<Option<Method>> {
        let forced = self.stream_metadata("forced-replication-method");
        let word = match forced {
            Some(Value::Object(object)) => object
                .get("replication-method")
                .or_else(|| object.get("replication_method")),
            other => other,
        };
        self.method_of(word)
    }

    /// The method that a person wants.
    ///
    /// # Errors
    /// Of kind `Config` for a word that nobody here knows.
    pub fn wished_method(&self) -> Result<Option<Method>> {
        let older = || self.object.get("replication_method");
        self.method_of(
            self.stream_metadata("replication-method")
                .filter(|word| !word.is_null())
                .or_else(older),
        )
    }

    /// The replication key that a person wants.
    pub fn replication_key(&self) -> Option<&str> {
        self.stream_metadata("replication-key")
            .and_then(Value::as_str)
            .or_else(|| self.text("replication_key"))
            .filter(|key| !key.is_empty())
    }

    /// The fields that can be a replication key; `None` if the tap does not say.
    pub fn valid_replication_keys(&self) -> Option<Vec<String>> {
        self.stream_metadata("valid-replication-keys").map(names)
    }

    /// The key: the table's own; for views, and for tables that have none, what a person named.
    pub fn key_properties(&self) -> Vec<String> {
        let own = self.stream_metadata("table-key-properties");
        let named = self.stream_metadata("view-key-properties");
        let older = self.object.get("key_properties");
        let order = if self.is_view() {
            [named, own, older]
        } else {
            [own, named, older]
        };
        order
            .into_iter()
            .flatten()
            .map(names)
            .find(|names| !names.is_empty())
            .unwrap_or_default()
    }

    fn method_of(&self, word: Option<&Value>) -> Result<Option<Method>> {
        match word {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) if word.eq_ignore_ascii_case("FULL_TABLE") => {
                Ok(Some(Method::FullTable))
            }
            Some(Value::String(word)) if word.eq_ignore_ascii_case("INCREMENTAL") => {
                Ok(Some(Method::Incremental))
            }
            Some(Value::String(word)) => Err(Error::config(format!(
                "the replication method `{word}` of the stream `{}` is not known",
                self.id()
            ))
            .with_hint("it can be `FULL_TABLE` or `INCREMENTAL`")),
            Some(_) => Err(Error::config(format!(
                "the replication method of the stream `{}` is not a word",
                self.id()
            ))),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.object.get(key).and_then(Value::as_str)
    }

    fn metadata(&self, breadcrumb: &[&str]) -> Option<&Map<String, Value>> {
        let list = self.object.get("metadata")?.as_array()?;
        list.iter()
            .find(|item| is_at(item, breadcrumb))?
            .get("metadata")?
            .as_object()
    }

    fn set_metadata(&mut self, breadcrumb: &[&str], key: &str, value: Value) {
        let list = self.object.entry("metadata").or_insert_with(|| json!([]));
        let Value::Array(list) = list else {
            *list = json!([{"breadcrumb": breadcrumb, "metadata": {key: value}}]);
            return;
        };
        match list.iter_mut().find(|item| is_at(item, breadcrumb)) {
            Some(item) => match item.get_mut("metadata").and_then(Value::as_object_mut) {
                Some(words) => {
                    words.insert(key.to_owned(), value);
                }
                None => item["metadata"] = json!({key: value}),
            },
            None => list.push(json!({"breadcrumb": breadcrumb, "metadata": {key: value}})),
        }
    }
}

fn is_at(item: &Value, breadcrumb: &[&str]) -> bool {
    item.get("breadcrumb")
        .and_then(Value::as_array)
        .is_some_and(|path| {
            path.iter()
                .map(Value::as_str)
                .eq(breadcrumb.iter().copied().map(Some))
        })
}

/// A boolean, or the text of one, as older catalogs have it.
fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A list of names; a single text is a list of one.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(name) => vec![name.clone()],
        Value::Array(list) => list
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: Value) -> Entry {
        serde_json::from_value(json).unwrap()
    }

    fn with_stream_metadata(metadata: Value) -> Entry {
        entry(json!({"tap_stream_id": "a", "metadata": [{"breadcrumb": [], "metadata": metadata}]}))
    }

    #[test]
    fn selection_reads_all_forms_in_use() {
        for (metadata, selected) in [
            (json!({"selected": true}), true),
            (json!({"selected": "true"}), true),
            (
                json!({"selected": "false", "selected-by-default": true}),
                false,
            ),
            (json!({"selected-by-default": true}), true),
            (json!({"selected": null}), false),
            (json!({"is-view": false}), false),
        ] {
            assert_eq!(
                with_stream_metadata(metadata.clone()).is_selected(),
                selected,
                "{metadata}"
            );
        }
        assert!(entry(json!({"tap_stream_id": "a"})).is_selected());
        assert!(entry(json!({"stream": "a", "metadata": []})).is_selected());
        let older = json!({"stream": "a", "schema": {"selected": false}});
        assert!(!entry(older).is_selected());
    }

    #[test]
    fn fields_are_in_by_inclusion_then_wish_then_default() {
        let at = |field: &str, metadata: Value| json!({"breadcrumb": ["properties", field], "metadata": metadata});
        let entry = entry(json!({
            "tap_stream_id": "a",
            "schema": {"properties": {"older": {"selected": false}, "odd": {"inclusion": "unsupported"}}},
            "metadata": [
                at("automatic", json!({"inclusion": "automatic", "selected": false})),
                at("unsupported", json!({"inclusion": "unsupported", "selected": true})),
                at("wished", json!({"inclusion": "available", "selected": "true", "selected-by-default": false})),
                at("not", json!({"inclusion": "available", "selected-by-default": false})),
            ],
        }));
        let selected: Vec<bool> = [
            "automatic",
            "unsupported",
            "wished",
            "not",
            "silent",
            "older",
            "odd",
        ]
        .into_iter()
        .map(|field| entry.is_field_selected(field))
        .collect();
        assert_eq!(selected, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn metadata_of_a_wrong_form_is_replaced() {
        for wrong in [json!("x"), json!([1]), json!(null), json!(7)] {
            let mut entry = with_stream_metadata(wrong);
            entry.set_stream_metadata("selected", true);
            assert!(entry.is_selected());
        }
    }

    #[test]
    fn methods_come_as_words_and_as_objects() {
        let forced = json!({"forced-replication-method": {"replication-method": "FULL_TABLE", "reason": "x"}});
        assert_eq!(
            with_stream_metadata(forced).forced_method().unwrap(),
            Some(Method::FullTable)
        );
        let older = entry(
            json!({"stream": "a", "replication_method": "incremental", "replication_key": "at"}),
        );
        assert_eq!(older.wished_method().unwrap(), Some(Method::Incremental));
        assert_eq!(older.replication_key(), Some("at"));
        let log = with_stream_metadata(json!({"replication-method": "LOG_BASED"}));
        assert_eq!(
            log.wished_method().unwrap_err().message(),
            "the replication method `LOG_BASED` of the stream `a` is not known"
        );
    }

    #[test]
    fn keys_of_views_are_those_that_a_person_named() {
        let view =
            json!({"is-view": true, "table-key-properties": ["x"], "view-key-properties": ["y"]});
        assert_eq!(with_stream_metadata(view).key_properties(), ["y"]);
        let table = json!({"table-key-properties": [], "view-key-properties": ["y"]});
        assert_eq!(with_stream_metadata(table).key_properties(), ["y"]);
        assert_eq!(
            entry(json!({"stream": "a", "key_properties": "z"})).key_properties(),
            ["z"]
        );
    }

    #[test]
    fn a_catalog_with_a_stream_twice_is_refused() {
        let error =
            Catalog::parse(br#"{"streams":[{"stream":"a"},{"tap_stream_id":"a"}]}"#).unwrap_err();
        assert_eq!(error.message(), "the catalog has the stream `a` twice");
        assert!(Catalog::parse(b"{}").is_err());
    }
}
