//! The catalog: which streams and fields there are, and which of them a person wants.
//!
//! An entry keeps its JSON object as it came, so that keys which nobody here knows survive a round
//! trip; what is read and written of it goes through methods.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
            Some(item) => item["metadata"][key] = value,
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
