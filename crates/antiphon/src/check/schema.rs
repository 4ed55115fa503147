//! SCHEMA messages: whether their parts fit each other.

use serde_json::Value;
use singer_core::schema::Schema;

use super::findings::Level;

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

/// What is wrong with a schema that could be read.
pub(super) fn faults(schema: &Schema, key_properties: Option<&str>) -> Vec<(Level, String)> {
    let mut faults = Vec::new();
    if key_properties.is_none() {
        let message = "the SCHEMA has no `key_properties`, which older targets refuse";
        faults.push((Level::Warning, message.to_owned()));
    }
    let properties = schema.document().get("properties");
    let is_listed = |name: &String| properties.is_some_and(|listed| listed.get(name).is_some());
    for (names, what) in [
        (schema.key_properties(), "key_properties"),
        (schema.bookmark_properties(), "bookmark_properties"),
    ] {
        for name in names.iter().filter(|name| !is_listed(name)) {
            let message = format!("`{what}` names `{name}`, which is not in `properties`");
            faults.push((Level::Error, message));
        }
    }
    if let Some(kind) = schema.document().get("type")
        && !admits_objects(kind)
    {
        let message = "the `type` of the schema is not `object`".to_owned();
        faults.push((Level::Error, message));
    }
    for property in schema.properties() {
        faults.extend(property_fault(&property.name, &property.schema));
    }
    faults
}

fn admits_objects(kind: &Value) -> bool {
    match kind {
        Value::String(word) => word == "object",
        Value::Array(words) => words.iter().any(|word| word == "object"),
        _ => false,
    }
}

/// The first thing that is wrong with the schema of a property, at any depth.
fn property_fault(name: &str, schema: &Value) -> Option<(Level, String)> {
    let Value::Object(words) = schema else {
        let is_schema = schema.is_boolean();
        let message = format!("the schema of `{name}` is not an object");
        return (!is_schema).then_some((Level::Error, message));
    };
    let is_type = |word: &Value| word.as_str().is_some_and(|word| TYPES.contains(&word));
    let knows_type = match words.get("type") {
        None => true,
        Some(Value::Array(types)) => types.iter().all(is_type),
        Some(word) => is_type(word),
    };
    if !knows_type {
        let message = format!("the schema of `{name}` names a type that JSON does not have");
        return Some((Level::Error, message));
    }
    if words.contains_key("$ref") {
        let message = format!("the schema of `{name}` has a `$ref`, which targets do not follow");
        return Some((Level::Warning, message));
    }
    let deeper = |name: &str, schema: &Value| property_fault(name, schema);
    let properties = words.get("properties").and_then(Value::as_object);
    let below = properties
        .into_iter()
        .flatten()
        .find_map(|(inner, schema)| deeper(&format!("{name}.{inner}"), schema));
    let items = words.get("items").filter(|items| items.is_object());
    let options = ["anyOf", "oneOf", "allOf"]
        .iter()
        .filter_map(|word| words.get(*word)?.as_array())
        .flatten();
    below
        .or_else(|| deeper(&format!("{name}.[]"), items?))
        .or_else(|| options.into_iter().find_map(|option| deeper(name, option)))
}
