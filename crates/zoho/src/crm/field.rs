//! A field as the metadata tells it, of which any part may be missing.

use serde_json::Value;

use super::DataType;
use super::value::{flag, name, number, text};

/// A field of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its id; empty if it has none.
    pub id: String,
    /// Its name in the API.
    pub api_name: String,
    /// Its name for people; the API name if it has none.
    pub label: String,
    /// What it holds.
    pub data_type: DataType,
    /// What it is in JSON, if the metadata say so.
    pub json_type: Option<String>,
    /// Characters at most, or digits.
    pub length: Option<u64>,
    /// Digits behind the point.
    pub decimal_place: Option<u64>,
    /// Whether the user, or anybody, may not write it.
    pub is_read_only: bool,
    /// Whether the system demands it.
    pub is_mandatory: bool,
    /// Whether it is used: shown in a layout of the module.
    pub is_used: bool,
    /// Whether it was made by the organisation.
    pub is_custom: bool,
    /// Whether no two records may have the same value.
    pub is_unique: bool,
    /// Whether it is encrypted, so that hardly any criterion may name it.
    pub is_encrypted: bool,
    /// Whether a new record may have it.
    pub api_create: bool,
    /// Whether a change of a record may have it.
    pub api_update: bool,
    /// Which values it takes, if it is one or some of a list.
    pub pick_list_values: Vec<PickListValue>,
    /// The module to which a lookup leads.
    pub lookup_module: Option<String>,
    /// What a formula or roll-up yields, if the metadata say so.
    pub return_type: Option<DataType>,
}

/// A value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickListValue {
    /// What the API delivers and expects.
    pub actual_value: String,
    /// What people see.
    pub display_value: String,
    /// Whether it may still be chosen.
    pub is_used: bool,
}

impl Field {
    /// What an element of `fields` says; nothing if it has no name or is no object.
    pub fn of(value: &Value) -> Option<Self> {
        let api_name = text(value, "api_name")?;
        let operation = value.get("operation_type").unwrap_or(&Value::Null);
        let is = |key| flag(value, key).unwrap_or(false);
        let label = text(value, "field_label").or_else(|| text(value, "display_label"));
        Some(Self {
            id: text(value, "id").unwrap_or_default(),
            label: label.unwrap_or_else(|| api_name.clone()),
            data_type: data_type(value),
            json_type: text(value, "json_type"),
            length: number(value, "length"),
            decimal_place: number(value, "decimal_place"),
            is_read_only: is("read_only") || is("field_read_only"),
            is_mandatory: is("system_mandatory"),
            is_used: text(value, "type").is_none_or(|kind| !kind.eq_ignore_ascii_case("unused")),
            is_custom: is("custom_field"),
            is_unique: says_something(value.get("unique")),
            is_encrypted: says_something(value.get("crypt")),
            api_create: flag(operation, "api_create").unwrap_or(true),
            api_update: flag(operation, "api_update").unwrap_or(true),
            pick_list_values: pick_list(value),
            lookup_module: value
                .get("lookup")
                .and_then(|lookup| name(lookup, "module")),
            return_type: return_type(value),
            api_name,
        })
    }
}

/// Without a type it is what its JSON type suggests.
fn data_type(value: &Value) -> DataType {
    if let Some(name) = text(value, "data_type") {
        return DataType::of(&name);
    }
    match text(value, "json_type").as_deref() {
        Some("integer") => DataType::Integer,
        Some("double") => DataType::Double,
        Some("boolean") => DataType::Boolean,
        _ => DataType::Other(String::new()),
    }
}

/// What a formula or a roll-up yields.
fn return_type(value: &Value) -> Option<DataType> {
    let places = ["formula", "rollup_summary"].iter();
    let found = places.filter_map(|key| text(value.get(*key)?, "return_type"));
    found.map(|name| DataType::of(&name)).next()
}

/// An object or switch that stands for no when it is empty, null or not there.
fn says_something(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Object(members)) => !members.is_empty(),
        _ => false,
    }
}

fn pick_list(value: &Value) -> Vec<PickListValue> {
    let listed = value.get("pick_list_values").and_then(Value::as_array);
    let each = listed.into_iter().flatten();
    each.filter_map(|value| {
        let display_value = text(value, "display_value");
        let actual_value = text(value, "actual_value").or_else(|| display_value.clone())?;
        Some(PickListValue {
            display_value: display_value.unwrap_or_else(|| actual_value.clone()),
            actual_value,
            is_used: text(value, "type").is_none_or(|kind| !kind.eq_ignore_ascii_case("unused")),
        })
    })
    .collect()
}
