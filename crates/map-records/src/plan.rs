//! How the records of one stream are changed under one SCHEMA, and what the SCHEMA becomes.
//!
//! The schema is rewritten as text: what nothing is said about keeps every byte.

use std::collections::HashMap;
use std::sync::Arc;

use jaq_json::Val;
use serde_json::Value;
use singer_core::nearest::nearest;
use singer_core::scan::{self, ValueKind};
use singer_core::schema::{Schema, TypeSet};
use singer_core::validate::kind_name;
use singer_core::value::write_string;
use singer_core::{Error, Result};
use singer_runtime::map::SchemaMessage;

use crate::check::Check;
use crate::rule::{Action, Rule};

/// How records are changed.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the config says.
    pub(crate) rule: Arc<Rule>,
    /// The fields that the filter may yield, in the order of the SCHEMA, those declared last.
    pub(crate) fields: Vec<Field>,
    by_name: HashMap<Box<str>, usize>,
    /// The names of the key, as the filter knows them.
    pub(crate) key: Vec<Val>,
    /// Whether the filter yields what the SCHEMA says.
    pub(crate) check: Check,
}

/// A field before `drop` and `rename`.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: Box<str>,
    /// The types that the SCHEMA admits.
    pub(crate) types: TypeSet,
    /// What it is written as: its name in quotes and a colon; nothing if it is left out.
    pub(crate) written: Option<Vec<u8>>,
}

/// A plan and the parts of the SCHEMA message that belong to it.
pub(crate) struct Planned {
    /// The plan.
    pub(crate) plan: Plan,
    /// The new JSON schema.
    pub(crate) schema: String,
    /// The new key.
    pub(crate) key_properties: Option<String>,
    /// The new bookmark.
    pub(crate) bookmark_properties: Option<String>,
}

impl Plan {
    /// Plans a stream.
    ///
    /// # Errors
    /// If the message is wrong (`Protocol`), or the rule does not go with it (`Config`).
    pub(crate) fn of(
        rule: &Arc<Rule>,
        stream: &str,
        message: SchemaMessage<'_>,
    ) -> Result<Planned> {
        let schema = Schema::new(
            message.schema,
            message.key_properties,
            message.bookmark_properties,
        )?;
        let key = schema.key_properties();
        let mut fields: Vec<Field> = Vec::new();
        for property in schema.properties() {
            let declared = rule
                .declared
                .iter()
                .find(|(name, _)| *name == property.name);
            fields.push(Field {
                name: property.name.as_str().into(),
                types: declared.map_or(property.types, |(_, schema)| TypeSet::of(schema)),
                written: written(rule, &property.name, key)?,
            });
        }
        for (name, schema) in &rule.declared {
            if !fields.iter().any(|field| *field.name == **name) {
                fields.push(Field {
                    name: name.as_str().into(),
                    types: TypeSet::of(schema),
                    written: written(rule, name, key)?,
                });
            }
        }
        check_collisions(rule, stream, &fields)?;
        warn_of_unknown(rule, stream, &fields);
        let names = |names: &[String]| renamed_names(rule, names);
        let by_name: HashMap<Box<str>, usize> = (0..)
            .zip(&fields)
            .map(|(index, field)| (field.name.clone(), index))
            .collect();
        let key = key
            .iter()
            .map(|name| Val::utf8_str(name.clone().into_bytes()));
        Ok(Planned {
            schema: rewritten(rule, message.schema, &schema)?,
            key_properties: Some(names(schema.key_properties())),
            bookmark_properties: Some(names(schema.bookmark_properties())),
            plan: Self {
                rule: Arc::clone(rule),
                key: key.collect(),
                check: Check::new(fields.len()),
                by_name,
                fields,
            },
        })
    }

    /// The place of a field; `hint` is where it is looked for first.
    pub(crate) fn find(&self, name: &[u8], hint: usize) -> Option<usize> {
        let at_hint = self.fields.get(hint);
        if at_hint.is_some_and(|field| field.name.as_bytes() == name) {
            return Some(hint);
        }
        self.by_name.get(std::str::from_utf8(name).ok()?).copied()
    }

    /// What a field is written as that the SCHEMA does not list.
    pub(crate) fn write_unlisted(&self, name: &str) -> Option<Vec<u8>> {
        written_as(&self.rule, name)
    }

    /// The shape that the SCHEMA gives, in words.
    pub(crate) fn shape(&self) -> String {
        let fields: Vec<String> = self
            .fields
            .iter()
            .filter(|field| field.written.is_some())
            .map(|field| format!("`{}` {}", field.name, type_words(field.types)))
            .collect();
        fields.join(", ")
    }
}

/// Whether a kind of value is among types.
pub(crate) fn admits(types: TypeSet, kind: ValueKind) -> bool {
    types.contains(match kind {
        ValueKind::Null => TypeSet::NULL,
        ValueKind::Boolean => TypeSet::BOOLEAN,
        ValueKind::Integer if types.contains(TypeSet::NUMBER) => TypeSet::NUMBER,
        ValueKind::Integer => TypeSet::INTEGER,
        ValueKind::Number => TypeSet::NUMBER,
        ValueKind::String => TypeSet::STRING,
        ValueKind::Array => TypeSet::ARRAY,
        ValueKind::Object => TypeSet::OBJECT,
        ValueKind::NotFinite => return false,
    })
}

/// Types in words.
pub(crate) fn type_words(types: TypeSet) -> String {
    if types == TypeSet::ANY {
        return "any type".to_owned();
    }
    types.names()
}

/// A kind in words.
pub(crate) fn kind_words(kind: ValueKind) -> &'static str {
    kind_name(kind)
}

fn written(rule: &Rule, name: &str, key: &[String]) -> Result<Option<Vec<u8>>> {
    let is_key = key.iter().any(|key| key == name);
    match rule.action(name) {
        Action::Drop if is_key => Err(Error::config(format!(
            "`streams.{}.drop` names `{name}`, which is the key or a part of it",
            rule.name
        ))
        .with_hint("without their key, records cannot be told apart at the destination")),
        Action::DropByPattern if is_key => Ok(Some(quoted(name))),
        _ => Ok(written_as(rule, name)),
    }
}

fn written_as(rule: &Rule, name: &str) -> Option<Vec<u8>> {
    match rule.action(name) {
        Action::Keep => Some(quoted(name)),
        Action::Rename(new) => Some(quoted(new)),
        Action::Drop | Action::DropByPattern => None,
    }
}

fn quoted(name: &str) -> Vec<u8> {
    let mut quoted = Vec::new();
    write_string(&mut quoted, name);
    quoted.push(b':');
    quoted
}

fn check_collisions(rule: &Rule, stream: &str, fields: &[Field]) -> Result<()> {
    let mut seen: HashMap<&[u8], &str> = HashMap::new();
    for field in fields {
        let Some(written) = &field.written else {
            continue;
        };
        if let Some(other) = seen.insert(written, &field.name) {
            return Err(Error::config(format!(
                "`streams.{}.rename` gives a name that stream `{stream}` has already: `{other}` and `{}` would be one field",
                rule.name, field.name
            ))
            .with_hint("drop or rename the other one"));
        }
    }
    Ok(())
}

/// Names that the stream does not have are no error: a pattern may be about many streams.
fn warn_of_unknown(rule: &Rule, stream: &str, fields: &[Field]) {
    for name in rule.listed() {
        if fields.iter().any(|field| *field.name == *name) {
            continue;
        }
        let near = nearest(name, fields.iter().map(|field| &*field.name));
        match near {
            Some(near) => {
                tracing::warn!(stream, field = name, near, "the stream has no such field");
            }
            None => tracing::warn!(stream, field = name, "the stream has no such field"),
        }
    }
}

/// A list of names as the fields are called afterwards, as JSON; what is left out is not in it.
fn renamed_names(rule: &Rule, names: &[String]) -> String {
    let names: Vec<&str> = names
        .iter()
        .filter_map(|name| match rule.action(name) {
            Action::Rename(new) => Some(new),
            Action::Drop => None,
            // A pattern spares the key; of a bookmark it drops nothing but the name.
            Action::Keep | Action::DropByPattern => Some(name),
        })
        .collect();
    Value::from(names).to_string()
}

/// The schema with its `properties` and `required` changed, the rest byte for byte.
fn rewritten(rule: &Rule, text: &str, schema: &Schema) -> Result<String> {
    let bytes = text.as_bytes();
    let mut out = String::from("{");
    let mut put = |key: &str, value: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&Value::from(key).to_string());
        out.push(':');
        out.push_str(value);
    };
    let at = scan::skip_space(bytes, 0);
    let scanned = scan::scan_object(bytes, at, 0, |key, value| {
        let name = scan::unescape_lossy(&bytes[key.0..key.1]);
        let part = text.get(value.start..value.end).unwrap_or_default();
        match (&*name, value.kind) {
            ("properties", ValueKind::Object) => {
                put(
                    &name,
                    &rewritten_properties(rule, part, schema.key_properties()),
                );
            }
            ("required", ValueKind::Array) => {
                let required: Vec<String> = serde_json::from_str(part).unwrap_or_default();
                put(
                    &name,
                    &renamed_required(rule, &required, schema.key_properties()),
                );
            }
            _ => put(&name, part),
        }
    });
    scanned.map_err(|error| Error::protocol("the schema cannot be read").with_source(error))?;
    out.push('}');
    Ok(out)
}

fn rewritten_properties(rule: &Rule, text: &str, key: &[String]) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = vec![b'{'];
    let mut names: Vec<String> = Vec::new();
    let mut put = |name: &str, value: &str| {
        let is_key = key.iter().any(|key| key == name);
        let written = match written_as(rule, name) {
            Some(written) => written,
            None if is_key => quoted(name),
            None => return,
        };
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&written);
        out.extend_from_slice(value.as_bytes());
    };
    let scanned = scan::scan_object(bytes, 0, 0, |name, value| {
        let name = scan::unescape_lossy(&bytes[name.0..name.1]).into_owned();
        let declared = rule.declared.iter().find(|(field, _)| *field == name);
        match declared {
            Some((_, schema)) => put(&name, &schema.to_string()),
            None => put(&name, text.get(value.start..value.end).unwrap_or_default()),
        }
        names.push(name);
    });
    debug_assert!(scanned.is_ok(), "the schema was scanned before");
    for (name, schema) in &rule.declared {
        if !names.contains(name) {
            put(name, &schema.to_string());
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// `required` afterwards. What a filter yields of it nobody knows, so that the key alone stays required.
fn renamed_required(rule: &Rule, required: &[String], key: &[String]) -> String {
    let is_safe = |name: &String| rule.filter.is_none() || key.contains(name);
    let kept: Vec<String> = required
        .iter()
        .filter(|name| is_safe(name))
        .cloned()
        .collect();
    let kept: Vec<&str> = kept
        .iter()
        .filter_map(|name| match rule.action(name) {
            Action::Rename(new) => Some(new),
            Action::DropByPattern if !key.contains(name) => None,
            Action::Drop => None,
            Action::Keep | Action::DropByPattern => Some(name),
        })
        .collect();
    Value::from(kept).to_string()
}
