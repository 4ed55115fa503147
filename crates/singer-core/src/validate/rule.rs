//! One JSON schema as a rule for one value.

use std::collections::HashMap;

use serde_json::Value;

use super::bound::{Bound, bounds_of};
use super::{Violation, kind_name};
use crate::number;
use crate::scan::{self, Span, ValueKind, unescape_lossy};
use crate::schema::TypeSet;

/// What a value must be.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    types: TypeSet,
    checks: Vec<Check>,
}

#[derive(Debug, Clone)]
enum Check {
    Bound(Bound),
    MinLength(u64),
    MaxLength(u64),
    OneOfValues(Vec<Value>),
    Object(ObjectRule),
    Items(Rule),
    AnyOf(Vec<Rule>),
    OneOf(Vec<Rule>),
    AllOf(Vec<Rule>),
}

#[derive(Debug, Clone)]
struct ObjectRule {
    properties: HashMap<Box<str>, Rule>,
    required: Vec<Box<str>>,
    others: Others,
}

#[derive(Debug, Clone)]
enum Others {
    Free,
    Refused,
    Ruled(Box<Rule>),
}

/// Whether the schema refuses properties that it does not list.
pub(super) fn is_closed(schema: &Value) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && schema.get("patternProperties").is_none()
}

/// Judges the type alone.
pub(super) fn check_type(types: TypeSet, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
    let fits = match kind {
        ValueKind::Null => types.contains(TypeSet::NULL),
        ValueKind::Boolean => types.contains(TypeSet::BOOLEAN),
        ValueKind::Integer => types.contains(TypeSet::INTEGER),
        ValueKind::Number => {
            types.contains(TypeSet::NUMBER)
                || types.contains(TypeSet::INTEGER) && number::is_whole(text)
        }
        ValueKind::String => types.contains(TypeSet::STRING),
        ValueKind::Array => types.contains(TypeSet::ARRAY),
        ValueKind::Object => types.contains(TypeSet::OBJECT),
        ValueKind::NotFinite => false,
    };
    if fits {
        return Ok(());
    }
    let found = kind_name(kind);
    Err(Violation::new(if types == TypeSet::ANY {
        format!("must be JSON, found {found}")
    } else if types.is_empty() {
        "admits no value at all".to_owned()
    } else {
        format!("must be {}, found {found}", types.names())
    }))
}

impl Rule {
    pub(super) fn new(schema: &Value) -> Self {
        let mut types = match schema {
            Value::Bool(false) => TypeSet::default(),
            _ => TypeSet::named(schema).unwrap_or(TypeSet::ANY).widened(),
        };
        let mut checks: Vec<Check> = bounds_of(schema).into_iter().map(Check::Bound).collect();
        let length = |word: &str| schema.get(word).and_then(Value::as_u64);
        checks.extend(length("minLength").map(Check::MinLength));
        checks.extend(length("maxLength").map(Check::MaxLength));
        if let Some(Value::Array(values)) = schema.get("enum") {
            checks.push(Check::OneOfValues(values.clone()));
        }
        if let Some(value) = schema.get("const") {
            checks.push(Check::OneOfValues(vec![value.clone()]));
        }
        checks.extend(ObjectRule::new(schema).map(Check::Object));
        if let Some(items @ Value::Object(_)) = schema.get("items") {
            let rule = Self::new(items);
            if !rule.admits_all() {
                checks.push(Check::Items(rule));
            }
        }
        let rules = |word: &str| -> Option<Vec<Self>> {
            Some(
                schema
                    .get(word)?
                    .as_array()?
                    .iter()
                    .map(Self::new)
                    .collect(),
            )
        };
        if let Some(options) = rules("anyOf") {
            match plain_union(&options) {
                Some(union) => types = types.intersection(union),
                None => checks.push(Check::AnyOf(options)),
            }
        }
        if let Some(options) = rules("oneOf") {
            match plain_union(&options).filter(|_| are_disjoint(&options)) {
                Some(union) => types = types.intersection(union),
                None => checks.push(Check::OneOf(options)),
            }
        }
        if let Some(parts) = rules("allOf") {
            if parts.iter().all(Self::is_plain) {
                types = parts
                    .iter()
                    .fold(types, |types, part| types.intersection(part.types));
            } else {
                checks.push(Check::AllOf(parts));
            }
        }
        Self { types, checks }
    }

    /// A bit for each [`ValueKind`] that fits whatever its text is.
    pub(super) fn kinds(&self) -> u8 {
        [
            (TypeSet::NULL, ValueKind::Null),
            (TypeSet::BOOLEAN, ValueKind::Boolean),
            (TypeSet::INTEGER, ValueKind::Integer),
            (TypeSet::NUMBER, ValueKind::Number),
            (TypeSet::STRING, ValueKind::String),
            (TypeSet::ARRAY, ValueKind::Array),
            (TypeSet::OBJECT, ValueKind::Object),
        ]
        .into_iter()
        .filter(|(types, _)| self.types.contains(*types))
        .fold(0, |bits, (_, kind)| bits | 1 << kind as u8)
    }

    pub(super) fn types(&self) -> TypeSet {
        self.types
    }

    /// Whether the type is all there is to check.
    pub(super) fn is_plain(&self) -> bool {
        self.checks.is_empty()
    }

    fn admits_all(&self) -> bool {
        self.is_plain() && self.types == TypeSet::ANY
    }

    pub(super) fn check(&self, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
        check_type(self.types, text, kind)?;
        self.checks
            .iter()
            .try_for_each(|check| check.check(text, kind))
    }
}

impl Check {
    fn check(&self, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
        let fits = |rule: &&Rule| rule.check(text, kind).is_ok();
        match self {
            Self::Bound(bound) => bound.check(text, kind),
            Self::MinLength(least) if kind == ValueKind::String => {
                check_that(length_of(text) >= *least, || {
                    format!("must have {least} characters at least")
                })
            }
            Self::MaxLength(most) if kind == ValueKind::String => {
                // Every character takes a byte at least, so that short texts need no counting.
                check_that(
                    text.len() as u64 - 2 <= *most || length_of(text) <= *most,
                    || format!("must have {most} characters at most"),
                )
            }
            Self::MinLength(_) | Self::MaxLength(_) => Ok(()),
            Self::OneOfValues(values) => {
                check_that(values.iter().any(|value| same(value, text, kind)), || {
                    "has none of the values that the schema lists".to_owned()
                })
            }
            Self::Object(rule) => rule.check(text, kind),
            Self::Items(rule) => check_items(rule, text, kind),
            Self::AnyOf(rules) => check_that(rules.iter().any(|rule| fits(&rule)), || {
                "fits none of the alternatives of `anyOf`".to_owned()
            }),
            Self::OneOf(rules) => check_that(rules.iter().filter(fits).count() == 1, || {
                "does not fit exactly one alternative of `oneOf`".to_owned()
            }),
            Self::AllOf(rules) => rules.iter().try_for_each(|rule| rule.check(text, kind)),
        }
    }
}

impl ObjectRule {
    /// The rule for objects, if the schema says anything about what is in them.
    fn new(schema: &Value) -> Option<Self> {
        let listed = schema.get("properties").and_then(Value::as_object);
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| listed.is_some_and(|listed| listed.contains_key(*name)))
            .map(Box::from)
            .collect::<Vec<Box<str>>>();
        let properties: HashMap<Box<str>, Rule> = listed
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str().into(), Rule::new(schema)))
            .collect();
        let others = match schema.get("additionalProperties") {
            _ if is_closed(schema) => Others::Refused,
            Some(others @ Value::Object(_)) if schema.get("patternProperties").is_none() => {
                let rule = Rule::new(others);
                if rule.admits_all() {
                    Others::Free
                } else {
                    Others::Ruled(Box::new(rule))
                }
            }
            _ => Others::Free,
        };
        let says_nothing = required.is_empty()
            && matches!(others, Others::Free)
            && properties.values().all(Rule::admits_all);
        (!says_nothing).then_some(Self {
            properties,
            required,
            others,
        })
    }

    fn check(&self, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
        if kind != ValueKind::Object {
            return Ok(());
        }
        let mut found = Ok(());
        let mut seen = vec![false; self.required.len()];
        let scanned = scan::scan_object(text, 0, 0, |key, value| {
            let name = unescape_lossy(&text[key.0..key.1]);
            if let Some(index) = self
                .required
                .iter()
                .position(|required| **required == *name)
            {
                seen[index] = true;
            }
            if found.is_ok() {
                found = self.check_property(&name, text, value);
            }
        });
        found?;
        if scanned.is_err() {
            return Err(Violation::new("must be JSON"));
        }
        match seen.iter().position(|seen| !seen) {
            Some(index) => {
                Err(Violation::new("is required and missing").inside(&self.required[index]))
            }
            None => Ok(()),
        }
    }

    fn check_property(&self, name: &str, text: &[u8], value: Span) -> Result<(), Violation> {
        let rule = match (self.properties.get(name), &self.others) {
            (Some(rule), _) => rule,
            (None, Others::Ruled(rule)) => rule,
            (None, Others::Free) => return Ok(()),
            (None, Others::Refused) => {
                return Err(
                    Violation::new("is not in the schema, which admits no others").inside(name),
                );
            }
        };
        rule.check(&text[value.start..value.end], value.kind)
            .map_err(|violation| violation.inside(name))
    }
}

pub(super) fn check_that(fits: bool, wanted: impl FnOnce() -> String) -> Result<(), Violation> {
    if fits {
        Ok(())
    } else {
        Err(Violation::new(wanted()))
    }
}

fn check_items(rule: &Rule, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
    if kind != ValueKind::Array {
        return Ok(());
    }
    let mut found = Ok(());
    let scanned = scan::scan_array(text, 0, 0, |item| {
        if found.is_ok() {
            found = rule
                .check(&text[item.start..item.end], item.kind)
                .map_err(|violation| violation.inside("[]"));
        }
    });
    found?;
    check_that(scanned.is_ok(), || "must be JSON".to_owned())
}

/// The types that plain alternatives admit together; `None` if one of them says more than types.
fn plain_union(options: &[Rule]) -> Option<TypeSet> {
    options.iter().all(Rule::is_plain).then(|| {
        options.iter().fold(TypeSet::default(), |types, option| {
            types.union(option.types)
        })
    })
}

fn are_disjoint(options: &[Rule]) -> bool {
    let mut sum = TypeSet::default();
    options.iter().all(|option| {
        let apart = sum.intersection(option.types).is_empty();
        sum = sum.union(option.types);
        apart
    })
}

/// Characters of a string with its quotes.
fn length_of(text: &[u8]) -> u64 {
    unescape_lossy(&text[1..text.len() - 1]).chars().count() as u64
}

/// Whether a text is a value of the schema. Numbers are equal by value; inside arrays and objects
/// as they are written.
fn same(value: &Value, text: &[u8], kind: ValueKind) -> bool {
    match (value, kind) {
        (Value::String(wanted), ValueKind::String) => {
            *wanted == unescape_lossy(&text[1..text.len() - 1])
        }
        (Value::Number(wanted), ValueKind::Integer | ValueKind::Number) => {
            number::compare(wanted.to_string().as_bytes(), text).is_eq()
        }
        (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => {
            serde_json::from_slice::<Value>(text).is_ok_and(|found| found == *value)
        }
        _ => false,
    }
}
