//! A module as the metadata tells it.

use serde_json::Value;

use super::value::{flag, name, text};

/// A module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its id; empty if it has none.
    pub id: String,
    /// Its name in the API.
    pub api_name: String,
    /// Its name for people; the API name if it has none.
    pub label: String,
    /// Whether the API serves it at all; Bulk Read may refuse it nevertheless.
    pub is_api_supported: bool,
    /// Whether the user may see its records.
    pub is_viewable: bool,
    /// Whether the user may create records.
    pub is_creatable: bool,
    /// Whether the user may change records.
    pub is_editable: bool,
    /// Where it comes from.
    pub generated_type: GeneratedType,
    /// Whether it is shown, as the service calls it (`visible`, `user_hidden`, …).
    pub status: Option<String>,
    /// The module whose rows it holds, if it is a subform.
    pub parent_module: Option<String>,
}

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GeneratedType {
    /// The product.
    Default,
    /// The organisation.
    Custom,
    /// It links two modules.
    Linking,
    /// It holds the rows of a subform.
    Subform,
    /// A tab with a web page.
    Web,
    /// Something that is not known here, by its name.
    Other(String),
}

impl Module {
    /// What an element of `modules` says; nothing if it has no name or is no object.
    pub fn of(value: &Value) -> Option<Self> {
        let api_name = text(value, "api_name")?;
        let is = |key| flag(value, key).unwrap_or(false);
        let label = text(value, "plural_label").or_else(|| text(value, "singular_label"));
        Some(Self {
            id: text(value, "id").unwrap_or_default(),
            label: label.unwrap_or_else(|| api_name.clone()),
            is_api_supported: is("api_supported"),
            is_viewable: is("viewable"),
            is_creatable: is("creatable"),
            is_editable: is("editable"),
            generated_type: GeneratedType::of(&text(value, "generated_type").unwrap_or_default()),
            status: text(value, "status"),
            parent_module: name(value, "parent_module"),
            api_name,
        })
    }
}

impl GeneratedType {
    fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "" | "default" => Self::Default,
            "custom" => Self::Custom,
            "linking" => Self::Linking,
            "subform" => Self::Subform,
            "web" => Self::Web,
            _ => Self::Other(name.to_owned()),
        }
    }
}
