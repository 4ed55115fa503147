//! The schema of a stream: its properties in order, their types and formats, its keys.

use serde_json::{Map, Value};

use crate::scan::Layout;
use crate::{Error, Result, fnv};

/// A fingerprint of a JSON schema: the same for every order of keys, of the names in a `type` and in
/// `required`; `None` if the text is not JSON. It is stable from release to release.
pub fn fingerprint(schema: &str) -> Option<String> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let mut hash = fnv::START;
    mix(&mut hash, &schema);
    Some(format!("{hash:016x}"))
}

/// Mixes a value into a hash. Kinds and lengths come first, so that no two values give the same bytes.
fn mix(hash: &mut u64, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            mix_bytes(hash, b'{', &(members.len() as u64).to_le_bytes());
            for (key, value) in members {
                mix_bytes(hash, b'"', key.as_bytes());
                match value {
                    Value::Array(items) if key == "type" || key == "required" => {
                        let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
                        items.sort_unstable();
                        mix(hash, &Value::from(items));
                    }
                    _ => mix(hash, value),
                }
            }
        }
        Value::Array(items) => {
            mix_bytes(hash, b'[', &(items.len() as u64).to_le_bytes());
            for item in items {
                mix(hash, item);
            }
        }
        Value::String(text) => mix_bytes(hash, b'"', text.as_bytes()),
        other => mix_bytes(hash, b'=', other.to_string().as_bytes()),
    }
}

/// Mixes bytes into a hash, with their kind and number ahead of them.
fn mix_bytes(hash: &mut u64, kind: u8, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    *hash = fnv::mix(*hash, [kind].iter().chain(&length).chain(bytes).copied());
}

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

    /// The types that are in both sets; a number may be an integer.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.widened().0 & other.widened().0)
    }

    /// The types that a JSON schema admits: `type` as a word or a list; else through `anyOf`,
    /// `oneOf` (what any of them admits) and `allOf` (what all of them admit); everything where
    /// nothing is said, or a word that JSON Schema does not know.
    pub fn of(schema: &Value) -> Self {
        if let Some(types) = Self::named(schema) {
            return types;
        }
        let options = |word: &str| schema.get(word).and_then(Value::as_array);
        if let Some(options) = options("anyOf").or_else(|| options("oneOf")) {
            return options
                .iter()
                .map(Self::of)
                .fold(Self::default(), Self::union);
        }
        match options("allOf") {
            Some(parts) => parts
                .iter()
                .map(Self::of)
                .fold(Self::ANY, Self::intersection),
            None => Self::ANY,
        }
    }

    /// The types that the word `type` itself names, if the schema has it.
    pub(crate) fn named(schema: &Value) -> Option<Self> {
        match schema.get("type")? {
            Value::String(name) => Some(Self::by_name(name).unwrap_or(Self::ANY)),
            Value::Array(names) => Some(
                names
                    .iter()
                    .map(|name| name.as_str().and_then(Self::by_name).unwrap_or(Self::ANY))
                    .fold(Self::default(), Self::union),
            ),
            _ => None,
        }
    }

    /// The same set, with `integer` wherever there is `number`.
    pub(crate) fn widened(self) -> Self {
        if self.contains(Self::NUMBER) {
            self.union(Self::INTEGER)
        } else {
            self
        }
    }

    /// The names of the types, for people: "integer or null".
    pub fn names(self) -> String {
        let all = [
            (Self::BOOLEAN, "boolean"),
            (Self::INTEGER, "integer"),
            (Self::NUMBER, "number"),
            (Self::STRING, "string"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
            (Self::NULL, "null"),
        ];
        let numbers = self.contains(Self::NUMBER);
        let names: Vec<&str> = all
            .into_iter()
            .filter(|(kind, _)| self.contains(*kind) && !(numbers && *kind == Self::INTEGER))
            .map(|(_, name)| name)
            .collect();
        names.join(" or ")
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

impl Property {
    /// A property by its name and JSON schema.
    pub fn new(name: &str, schema: Value) -> Self {
        Self {
            name: name.to_owned(),
            types: TypeSet::of(&schema),
            format: format_of(&schema),
            schema,
        }
    }

    fn of_any_type(name: impl AsRef<str>) -> Self {
        Self::new(name.as_ref(), Value::Object(Map::new()))
    }
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
    /// Meltano SDK; `key_properties` may be missing or null, which means that there is no key. A key
    /// that `properties` does not list becomes the last property, of any type.
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
        let key_properties = names(key_properties, "key_properties")?;
        let mut properties = properties_of(properties);
        for name in &key_properties {
            if !properties.iter().any(|property| property.name == *name) {
                properties.push(Property::of_any_type(name));
            }
        }
        let layout = Layout::new(properties.iter().map(|property| property.name.as_str()));
        Ok(Self {
            layout,
            properties,
            key_properties,
            bookmark_properties: names(bookmark_properties, "bookmark_properties")?,
            document,
        })
    }

    /// A schema for records that came without one: these properties, of any type.
    pub fn guessed<'a>(
        names: impl IntoIterator<Item = &'a str>,
        key_properties: Vec<String>,
    ) -> Self {
        let properties: Vec<Property> = names.into_iter().map(Property::of_any_type).collect();
        let document = properties
            .iter()
            .map(|property| (property.name.clone(), property.schema.clone()))
            .collect::<Map<String, Value>>();
        Self {
            layout: Layout::new(properties.iter().map(|property| property.name.as_str())),
            properties,
            key_properties,
            bookmark_properties: Vec::new(),
            document: serde_json::json!({ "type": "object", "properties": document }),
        }
    }

    /// The same schema with more properties at its end; those whose name it has already are left out.
    #[must_use]
    pub fn extended(mut self, more: impl IntoIterator<Item = Property>) -> Self {
        for property in more {
            if self.layout.index(&property.name).is_some() {
                continue;
            }
            if let Some(Value::Object(properties)) = self.document.get_mut("properties") {
                properties.insert(property.name.clone(), property.schema.clone());
            }
            self.properties.push(property);
        }
        self.layout = Layout::new(
            self.properties
                .iter()
                .map(|property| property.name.as_str()),
        );
        self
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
        .map(|(name, schema)| Property::new(name, schema.clone()))
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
    fn a_fingerprint_knows_no_order_of_keys_and_types_and_every_other_change() {
        let print = |schema: &str| fingerprint(schema).unwrap();
        let schema = r#"{"type":"object","properties":{"a":{"type":["null","string"]},"b":{"enum":["x","y"]}},"required":["a","b"]}"#;
        let same = r#"{ "required": ["b","a"], "properties":{"b":{"enum":["x","y"]},"a":{"type":["string","null"]}},"type":"object"}"#;
        assert_eq!(print(schema), print(same));
        // Histories hold fingerprints of older releases.
        assert_eq!(print("{}"), "63f7c10f7572f532");
        for (from, to) in [
            (r#""string""#, r#""integer""#),
            (r#""a":"#, r#""c":"#),
            (r#"["x","y"]"#, r#"["y","x"]"#),
            (r#"["x","y"]"#, r#"["xy"]"#),
            (r#","required":["a","b"]"#, ""),
        ] {
            let changed = schema.replace(from, to);
            assert_ne!(changed, schema);
            assert_ne!(print(&changed), print(schema), "{changed}");
        }
        assert_eq!(fingerprint("{"), None);
    }

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
    fn a_key_outside_the_properties_becomes_one() {
        let schema = Schema::new(r#"{"properties":{"a":{}}}"#, Some(r#"["id"]"#), None).unwrap();
        assert_eq!(schema.layout().index("id"), Some(1));
        assert_eq!(schema.properties()[1].types, TypeSet::ANY);
    }

    #[test]
    fn what_all_parts_admit_is_admitted() {
        let schema =
            serde_json::json!({"allOf": [{"type": ["integer", "null"]}, {"type": "number"}]});
        assert_eq!(TypeSet::of(&schema), TypeSet::INTEGER);
        assert_eq!(
            TypeSet::of(&serde_json::json!({"type": "any"})),
            TypeSet::ANY
        );
    }

    #[test]
    fn schemas_grow_at_their_end() {
        let schema = Schema::guessed(["a", "b"], vec!["a".to_owned()]).extended([
            Property::new("b", serde_json::json!({"type": "string"})),
            Property::new("c", serde_json::json!({"type": "string"})),
        ]);
        assert_eq!(schema.layout().names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(schema.properties()[1].types, TypeSet::ANY);
        assert_eq!(schema.document()["properties"]["c"]["type"], "string");
    }

    #[test]
    fn a_schema_without_properties_is_refused() {
        let error = Schema::new(r#"{"type":"object"}"#, Some("[]"), None).unwrap_err();
        assert_eq!(error.message(), "the schema has no `properties`");
    }
}
