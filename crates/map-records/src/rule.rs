//! What the config says about one stream, made ready: its filter compiled, its names checked.

use std::collections::HashMap;

use serde_json::{Value, json};
use singer_core::pattern::is_match;
use singer_core::{Error, Result};
use singer_runtime::map::Then;

use crate::config::{OnError, StreamConfig};
use crate::filter::Filter;

/// What is done with the records of a stream.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The name or pattern of the config.
    pub(crate) name: String,
    /// The filter, if there is one.
    pub(crate) filter: Option<Filter>,
    /// Declared fields with their JSON schemas, in order.
    pub(crate) declared: Vec<(String, Value)>,
    /// What becomes of records that the filter fails on.
    pub(crate) on_error: Then,
    rename: HashMap<String, String>,
    drop: Vec<String>,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// It stays.
    Keep,
    /// It is left out because its name is listed.
    Drop,
    /// It is left out because a pattern fits, unless something speaks for it.
    DropByPattern,
    /// It gets this name.
    Rename(&'a str),
}

impl Rule {
    /// Reads the settings of a stream.
    ///
    /// # Errors
    /// Of kind `Config`, naming the key.
    pub(crate) fn new(name: &str, config: StreamConfig, on_error: OnError) -> Result<Self> {
        let key = |part: &str| format!("`streams.{name}.{part}`");
        let filter = match (&config.filter, &config.filter_path) {
            (Some(_), Some(_)) => {
                return Err(Error::config(format!(
                    "{} and `filter_path` are both given",
                    key("filter")
                )));
            }
            (Some(text), None) => Some(Filter::new(&text.whole(), &key("filter"))?),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::config(format!("{}: cannot read `{path}`", key("filter_path")))
                        .with_source(error)
                })?;
                Some(Filter::new(&text, &format!("`{path}`"))?)
            }
            (None, None) => None,
        };
        if filter.is_none() && !config.schema.is_empty() {
            return Err(Error::config(format!(
                "{} declares what a filter yields, and there is no filter",
                key("schema")
            )));
        }
        let declared = config
            .schema
            .into_iter()
            .map(|(field, schema)| {
                let schema = declared(schema).ok_or_else(|| {
                    Error::config(format!(
                        "{} must be a JSON schema or the word of a type",
                        key(&format!("schema.{field}"))
                    ))
                    .with_hint("words: string, integer, number, boolean, object, array, date-time, date, time")
                })?;
                Ok((field, schema))
            })
            .collect::<Result<_>>()?;
        let rename: HashMap<String, String> = config
            .rename
            .into_iter()
            .filter_map(|(old, new)| Some((old, new.as_str()?.to_owned())))
            .collect();
        let rule = Self {
            name: name.to_owned(),
            filter,
            declared,
            on_error: match config.on_error.unwrap_or(on_error) {
                OnError::Stop => Then::Stop,
                OnError::Reject => Then::Reject,
                OnError::Pass => Then::Pass,
            },
            rename,
            drop: config.drop,
        };
        rule.check_names()?;
        Ok(rule)
    }

    fn check_names(&self) -> Result<()> {
        let name = &self.name;
        let mut taken: HashMap<&str, &str> = HashMap::new();
        let mut renamed: Vec<(&String, &String)> = self.rename.iter().collect();
        renamed.sort_unstable();
        for (old, new) in renamed {
            if new.is_empty() {
                return Err(
                    Error::config(format!("`streams.{name}.rename.{old}` is empty"))
                        .with_hint("`drop` leaves fields out"),
                );
            }
            if let Some(other) = taken.insert(new, old) {
                return Err(Error::config(format!(
                    "`streams.{name}.rename` gives `{other}` and `{old}` the same name `{new}`"
                )));
            }
            if self.drop.contains(old) {
                return Err(Error::config(format!(
                    "`streams.{name}` both renames and drops `{old}`"
                )));
            }
        }
        let mut declared = self.declared.iter().map(|(field, _)| field);
        if let Some(field) = declared.find(|field| self.drop.contains(field)) {
            return Err(Error::config(format!(
                "`streams.{name}` both declares and drops `{field}`"
            )));
        }
        Ok(())
    }

    /// What becomes of a field that the filter yields, or of the record's own without a filter.
    pub(crate) fn action(&self, field: &str) -> Action<'_> {
        if let Some(new) = self.rename.get(field) {
            return Action::Rename(new);
        }
        if self.drop.iter().any(|name| name == field) {
            return Action::Drop;
        }
        let is_declared = self.declared.iter().any(|(name, _)| name == field);
        let fits = |pattern: &String| pattern.contains(['*', '?']) && is_match(pattern, field);
        if !is_declared && self.drop.iter().any(fits) {
            return Action::DropByPattern;
        }
        Action::Keep
    }

    /// The names that `rename` and `drop` list, without patterns.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &str> {
        let dropped = self.drop.iter().filter(|name| !name.contains(['*', '?']));
        self.rename.keys().chain(dropped).map(String::as_str)
    }
}

/// A declared schema: JSON schema as it is, or the word of a type, which may also be null.
fn declared(schema: Value) -> Option<Value> {
    match schema {
        Value::Object(_) => Some(schema),
        Value::String(word) => Some(match word.as_str() {
            "string" | "integer" | "number" | "boolean" | "object" | "array" => {
                json!({"type": ["null", word]})
            }
            "date-time" | "date" | "time" => json!({"type": ["null", "string"], "format": word}),
            _ => return None,
        }),
        _ => None,
    }
}
