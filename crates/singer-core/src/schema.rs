//! The schema of a stream: its properties in order, their types and formats, its keys.

use serde_json::{Map, Value};

use crate::scan::Layout;
use crate::{Error, Result};

/// The JSON types that a property admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeSet(u8);

impl TypeSet {
    /// `null`
    pub const NULL: Self = Self(1);
    /// `boolean`
    pub const BOOLEAN: Self = Self(2);
    /// `integer`
    pub const INTEGER: Self = Self(4);
    /// `number` (which includes integers)
    pub const NUMBER: Self = Self(8);
    /// `string`
    pub const STRING: Self = Self(16);
    /// `array`
    pub const ARRAY: Self = Self(32);
    /// `object`
    pub const OBJECT: Self = Self(64);
    /// Everything: a schema that names no type.
    pub const ANY: Self = Self(127);

    /// Whether all types of `other` are in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set with the types of another.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `null`.
    #[must_use]
    pub fn without_null(self) -> Self {
        Self(self.0 & !1)
    }

    /// Whether there is no type in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    /// The types that a JSON schema admits: `type` as a word or a list; through `anyOf`, `oneOf` and
    /// `allOf`; everything where nothing is said.
    pub fn of(schema: &Value) -> Self {
        match schema.get("type") {
            Some(Value::String(name)) => Self::by_name(name).unwrap_or(Self::ANY),
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().and_then(Self::by_name).unwrap_or_default())
                .fold(Self::default(), Self::union),
            _ => ["anyOf", "oneOf", "allOf"]
                .iter()
                .find_map(|word| schema.get(word)?.as_array())
                .map_or(Self::ANY, |options| {
                    options
                        .iter()
                        .map(Self::of)
                        .fold(Self::default(), Self::union)
                }),
        }
    }
}

/// One property of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// Its name as the records spell it.
    pub name: String,
    /// The types it admits.
    pub types: TypeSet,
    /// Its `format`, also from inside an `anyOf`: `date-time`, `date`, `singer.decimal`, …
    pub format: Option<String>,
    /// Its whole JSON schema.
    pub schema: Value,
}

/// The schema of a stream as a SCHEMA message brings it.
#[derive(Debug, Clone)]
pub struct Schema {
    properties: Vec<Property>,
    layout: Layout,
    key_properties: Vec<String>,
    bookmark_properties: Vec<String>,
    document: Value,
}

impl Schema {
    /// Reads the parts of a SCHEMA message. A schema without `properties` is refused, as in the
    /// Meltano SDK; `key_properties` may be missing or null, which means that there is no key.
    pub fn new(
        schema: &str,
        key_properties: Option<&str>,
        bookmark_properties: Option<&str>,
    ) -> Result<Self> {
        let document: Value = serde_json::from_str(schema)
            .map_err(|error| Error::protocol("the schema cannot be read").with_source(error))?;
        let Some(Value::Object(properties)) = document.get("properties") else {
            return Err(Error::protocol("the schema has no `properties`")
                .with_hint("a SCHEMA message names every property of its stream"));
        };
        let properties = properties_of(properties);
        let layout = Layout::new(properties.iter().map(|property| property.name.as_str()));
        Ok(Self {
            layout,
            properties,
            key_properties: names(key_properties, "key_properties")?,
            bookmark_properties: names(bookmark_properties, "bookmark_properties")?,
            document,
        })
    }

    /// The properties in the order of the SCHEMA message.
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// Where the fields of a record go.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The names of the key; empty if there is none.
    pub fn key_properties(&self) -> &[String] {
        &self.key_properties
    }

    /// The names of the bookmark.
    pub fn bookmark_properties(&self) -> &[String] {
        &self.bookmark_properties
    }

    /// The whole JSON schema.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Whether another SCHEMA message says the same.
    pub fn same_as(&self, other: &Self) -> bool {
        self.document == other.document && self.key_properties == other.key_properties
    }
}

fn properties_of(properties: &Map<String, Value>) -> Vec<Property> {
    properties
        .iter()
        .map(|(name, schema)| Property {
            name: name.clone(),
            types: TypeSet::of(schema),
            format: format_of(schema),
            schema: schema.clone(),
        })
        .collect()
}

fn format_of(schema: &Value) -> Option<String> {
    if let Some(format) = schema.get("format") {
        return format.as_str().map(str::to_owned);
    }
    ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|word| schema.get(word)?.as_array())?
        .iter()
        .find_map(format_of)
}

/// A list of names; a single string, as old taps write it, is a list of one.
fn names(json: Option<&str>, what: &str) -> Result<Vec<String>> {
    let wrong = || {
        Error::protocol(format!(
            "`{what}` of the SCHEMA message is not a list of names"
        ))
    };
    match json
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| wrong())?
    {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(name)) => Ok(vec![name]),
        Some(Value::Array(names)) => names
            .into_iter()
            .map(|name| match name {
                Value::String(name) => Ok(name),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_formats_are_found_in_unions() {
        let schema = Schema::new(
            r#"{"properties":{"a":{"anyOf":[{"type":"string","format":"date-time"},{"type":["string","null"]}]},
                "b":{},"c":{"type":["null","integer"]}}}"#,
            Some(r#"["c"]"#),
            Some(r#""a""#),
        )
        .unwrap();
        let types: Vec<TypeSet> = schema
            .properties()
            .iter()
            .map(|property| property.types)
            .collect();
        assert_eq!(
            types,
            [
                TypeSet::STRING.union(TypeSet::NULL),
                TypeSet::ANY,
                TypeSet::INTEGER.union(TypeSet::NULL),
            ]
        );
        assert_eq!(schema.properties()[0].format.as_deref(), Some("date-time"));
        assert_eq!(schema.bookmark_properties(), ["a"]);
    }

    #[test]
    fn a_schema_without_properties_is_refused() {
        let error = Schema::new(r#"{"type":"object"}"#, Some("[]"), None).unwrap_err();
        assert_eq!(error.message(), "the schema has no `properties`");
    }
}
