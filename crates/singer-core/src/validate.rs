//! Records held against their schema: compiled once per SCHEMA, checked on spans, no tree built.
//!
//! Checked are: `required` (of properties that the schema lists), `type`, `enum`, `const`, `minimum`,
//! `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `minLength`, `maxLength`, `properties`,
//! `additionalProperties`, `items`, `anyOf`, `oneOf`, `allOf`. Not checked, as in the Meltano SDK or
//! because taps get them wrong: `format`, `multipleOf`; and nothing is known of `$ref`, `pattern`,
//! `patternProperties`, `not`, `if`, `minItems` and the like, which admit everything. Where
//! `patternProperties` stands, `additionalProperties` is not looked at.
//! A bound of more digits than a double holds is rounded when the schema is read; values never are.

use std::fmt;

use serde_json::Value;

use crate::scan::{Fields, ValueKind, unescape_lossy};
use crate::schema::{Schema, TypeSet};

use rule::Rule;

mod bound;
mod rule;

/// Why a record does not fit its schema. It names the property and what is wanted, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    path: Vec<String>,
    what: String,
}

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            what: what.into(),
        }
    }

    /// The property, and the way down from it: names of properties, and `[]` for an element.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// What is wanted, and what was found.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The same violation, seen from the object or array around it.
    pub(crate) fn inside(mut self, name: &str) -> Self {
        self.path.insert(0, name.to_owned());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "property `{}` {}", self.path.join("."), self.what)
    }
}

impl std::error::Error for Violation {}

/// A schema made ready to judge records.
#[derive(Debug, Clone)]
pub struct Validator {
    properties: Vec<Checks>,
    /// Whether properties that the schema does not list are refused.
    closed: bool,
    names: Vec<Box<str>>,
}

/// What one property must be. Most have a type and nothing else, which `kinds` answers alone.
#[derive(Debug, Clone)]
struct Checks {
    kinds: u8,
    required: bool,
    rule: Option<Box<Rule>>,
    types: TypeSet,
}

impl Validator {
    /// Reads what the schema demands.
    pub fn new(schema: &Schema) -> Self {
        let document = schema.document();
        let required = document
            .get("required")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let properties = schema
            .properties()
            .iter()
            .map(|property| {
                let rule = Rule::new(&property.schema);
                Checks {
                    kinds: rule.kinds(),
                    types: rule.types(),
                    required: required
                        .iter()
                        .any(|name| name.as_str() == Some(&property.name)),
                    rule: (!rule.is_plain()).then(|| Box::new(rule)),
                }
            })
            .collect();
        Self {
            properties,
            closed: rule::is_closed(document),
            names: schema.layout().names().map(Box::from).collect(),
        }
    }

    /// Judges one record: its bytes, and its fields in the order of the schema's layout.
    ///
    /// # Errors
    /// The first violation that is found.
    pub fn check(&self, record: &[u8], fields: &Fields) -> Result<(), Box<Violation>> {
        for (index, (checks, field)) in self.properties.iter().zip(fields.as_slice()).enumerate() {
            if !field.is_present() {
                if checks.required {
                    return Err(Box::new(
                        Violation::new("is required and missing").inside(&self.names[index]),
                    ));
                }
                continue;
            }
            if checks.kinds >> field.kind as u8 & 1 == 1 && checks.rule.is_none() {
                continue;
            }
            let text = &record[field.start as usize..field.end as usize];
            let judged = match &checks.rule {
                Some(rule) => rule.check(text, field.kind),
                None => rule::check_type(checks.types, text, field.kind),
            };
            if let Err(violation) = judged {
                return Err(Box::new(violation.inside(&self.names[index])));
            }
        }
        match fields.extra() {
            Some((start, end)) if self.closed => {
                let name = unescape_lossy(&record[start as usize..end as usize]);
                Err(Box::new(
                    Violation::new("is not in the schema, which admits no others").inside(&name),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// The word for a kind of value in messages.
pub fn kind_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Null => "null",
        ValueKind::Boolean => "boolean",
        ValueKind::Integer => "integer",
        ValueKind::Number => "number",
        ValueKind::String => "string",
        ValueKind::Array => "array",
        ValueKind::Object => "object",
        ValueKind::NotFinite => "a number that is not finite",
    }
}

#[cfg(test)]
mod tests;
