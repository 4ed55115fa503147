//! What a code is about: names and limits beside it. What could be a row's value is not kept.

use serde_json::Value;

/// What is kept, by the service's names.
const NAMES: [&str; 8] = [
    "api_name",
    "parent_api_name",
    "json_path",
    "param_name",
    "max_limit",
    "maximum_length",
    "limit",
    "resource",
];

/// No name or path is longer.
const LONGEST: usize = 120;

/// Names and limits beside a code, in the order of their importance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    kept: Vec<(&'static str, String)>,
}

impl Details {
    /// One of them by the service's name (`api_name`, `json_path`, `max_limit`, …).
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.kept.iter().find(|(kept, _)| *kept == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.kept
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// What an object `details` holds of them.
    pub(super) fn of(details: Option<&Value>) -> Self {
        let Some(details) = details else {
            return Self::default();
        };
        let kept = NAMES.iter().filter_map(|name| {
            let value = match details.get(*name)? {
                Value::String(text) if is_name(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some((*name, value))
        });
        Self {
            kept: kept.collect(),
        }
    }
}

/// A name of the API or a path of such, so that nothing else gets into an error.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$[]-".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_part)
}
