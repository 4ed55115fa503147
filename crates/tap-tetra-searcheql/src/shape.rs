//! The types of a document: made of samples or of a JSON schema, compared with what comes, widened where it does
//! not fit, and written as a JSON schema again.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use singer_core::scan::{Span, ValueKind, scan_array, scan_object};

/// The types that a schema names, in the order in which it does.
const TYPES: [(u8, &str); 6] = [
    (Shape::BOOLEAN, "boolean"),
    (Shape::INTEGER, "integer"),
    (Shape::NUMBER, "number"),
    (Shape::STRING, "string"),
    (Shape::ARRAY, "array"),
    (Shape::OBJECT, "object"),
];

/// What marks a field whose values were of several types, so that all of them are texts.
const MIXED: &str = "x-mixed";

/// Deeper than that documents are not described.
const MAX_DEPTH: usize = 12;

/// A type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shape {
    types: u8,
    /// Anything goes: a schema without a type, or one in a form that is not looked into.
    is_any: bool,
    /// Values that are no texts are written as such.
    is_mixed: bool,
    /// The members of an object are not described.
    is_open: bool,
    members: Vec<(String, Shape)>,
    by_name: HashMap<String, usize>,
    items: Option<Box<Shape>>,
    /// What else the schema says.
    rest: Map<String, Value>,
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A field that the shape does not have.
    New(String),
    /// A number where there were integers so far.
    Wider(String),
    /// A value of another type.
    Conflict {
        /// The field.
        path: String,
        /// What the shape has.
        wanted: String,
        /// What came.
        found: &'static str,
    },
}

impl Shape {
    const BOOLEAN: u8 = 1;
    const INTEGER: u8 = 2;
    const NUMBER: u8 = 4;
    const STRING: u8 = 8;
    const ARRAY: u8 = 16;
    const OBJECT: u8 = 32;

    /// An object without members.
    pub(crate) fn object() -> Self {
        Self {
            types: Self::OBJECT,
            ..Self::default()
        }
    }

    /// The shape that a JSON schema describes.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        let Value::Object(schema) = schema else {
            return Self::any(Map::new());
        };
        let words: Vec<&str> = match schema.get("type") {
            Some(Value::String(word)) => vec![word],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ if schema.contains_key("properties") => vec!["object"],
            _ => return Self::any(schema.clone()),
        };
        let types = TYPES.iter().filter(|(_, word)| words.contains(word));
        let mut shape = Self {
            types: types.fold(0, |types, (bit, _)| types | bit),
            is_mixed: schema.get(MIXED) == Some(&Value::Bool(true)),
            ..Self::default()
        };
        for (name, value) in schema {
            match name.as_str() {
                "type" | MIXED => {}
                "properties" => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        shape.add(name, Self::of_schema(member));
                    }
                }
                "items" => shape.items = Some(Box::new(Self::of_schema(value))),
                _ => {
                    shape.rest.insert(name.clone(), value.clone());
                }
            }
        }
        shape.is_open = !schema.contains_key("properties");
        shape
    }

    fn any(rest: Map<String, Value>) -> Self {
        Self {
            is_any: true,
            rest,
            ..Self::default()
        }
    }

    /// The JSON schema; nothing where nothing is known yet.
    pub(crate) fn schema(&self) -> Option<Value> {
        if self.is_any {
            return Some(self.rest.clone().into());
        }
        if self.types == 0 {
            return None;
        }
        let mut words = vec!["null"];
        let has = |bit: u8| self.types & bit != 0;
        // Every integer is a number.
        let named = TYPES
            .iter()
            .filter(|(bit, _)| has(*bit) && !(*bit == Self::INTEGER && has(Self::NUMBER)));
        words.extend(named.map(|(_, word)| *word));
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!(words));
        if has(Self::OBJECT) && !self.is_open {
            let members = self.members.iter();
            let members: Map<String, Value> = members
                .filter_map(|(name, member)| Some((name.clone(), member.schema()?)))
                .collect();
            schema.insert("properties".to_owned(), members.into());
        }
        if let Some(items) = self.items.as_ref().and_then(|items| items.schema()) {
            schema.insert("items".to_owned(), items);
        }
        if self.is_mixed {
            schema.insert(MIXED.to_owned(), true.into());
        }
        schema.extend(self.rest.clone());
        Some(schema.into())
    }

    /// The members, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.members
            .iter()
            .map(|(name, shape)| (name.as_str(), shape))
    }

    /// A member.
    pub(crate) fn member(&self, name: &str) -> Option<&Shape> {
        let index = self.by_name.get(name)?;
        self.members.get(*index).map(|(_, shape)| shape)
    }

    /// A member, made if it is not there.
    pub(crate) fn member_mut(&mut self, name: &str) -> &mut Shape {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => self.add(name, Self::default()),
        };
        &mut self.members[index].1
    }

    /// Adds a member, or replaces it.
    pub(crate) fn add(&mut self, name: &str, shape: Shape) -> usize {
        if let Some(index) = self.by_name.get(name) {
            self.members[*index].1 = shape;
            return *index;
        }
        self.by_name.insert(name.to_owned(), self.members.len());
        self.members.push((name.to_owned(), shape));
        self.members.len() - 1
    }

    /// The items of an array.
    pub(crate) fn items(&self) -> Option<&Shape> {
        self.items.as_deref()
    }

    /// Whether values of other types are written as texts.
    pub(crate) fn is_mixed(&self) -> bool {
        self.is_mixed
    }

    /// Whether that is so of anything in it.
    pub(crate) fn has_mixed(&self) -> bool {
        self.is_mixed
            || self.members.iter().any(|(_, member)| member.has_mixed())
            || self.items.as_ref().is_some_and(|items| items.has_mixed())
    }

    /// Compares a value with the shape, and notes what does not fit.
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        span: Span,
        path: &mut Path,
        misfits: &mut Vec<Misfit>,
    ) {
        let kind = kind_at(bytes, span);
        let Some(bit) = bit_of(kind) else {
            return;
        };
        if self.is_any || self.is_mixed {
            return;
        }
        if self.types == 0 {
            misfits.push(Misfit::New(path.text()));
            return;
        }
        if !self.takes(bit) {
            misfits.push(if bit == Self::NUMBER && self.types & Self::INTEGER != 0 {
                Misfit::Wider(path.text())
            } else {
                Misfit::Conflict {
                    path: path.text(),
                    wanted: self.words(),
                    found: word_of(bit),
                }
            });
            return;
        }
        if path.depth() >= MAX_DEPTH {
            return;
        }
        if bit == Self::OBJECT && !self.is_open {
            each_member(bytes, span, |name, value| {
                path.within(name, |path| match self.member(name) {
                    Some(member) => member.check(bytes, value, path, misfits),
                    None if bit_of(kind_at(bytes, value)).is_some() => {
                        misfits.push(Misfit::New(path.text()));
                    }
                    None => {}
                });
            });
        } else if bit == Self::ARRAY {
            path.within("[]", |path| {
                each_item(bytes, span, |item| match &self.items {
                    Some(items) => items.check(bytes, item, path, misfits),
                    None if bit_of(kind_at(bytes, item)).is_some() => {
                        misfits.push(Misfit::New(path.text()));
                    }
                    None => {}
                });
            });
        }
    }

    /// Widens the shape so that a value fits; where types cannot be one, the field holds texts.
    pub(crate) fn grow(&mut self, bytes: &[u8], span: Span, path: &mut Path, opaque: &[String]) {
        let Some(bit) = bit_of(kind_at(bytes, span)) else {
            return;
        };
        if self.is_any || self.is_mixed {
            return;
        }
        if self.types == 0 {
            self.types = bit;
            self.is_open = bit == Self::OBJECT
                && (path.depth() >= MAX_DEPTH || opaque.iter().any(|name| *name == path.text()));
        } else if bit == Self::NUMBER && self.types & Self::INTEGER != 0 {
            self.types |= Self::NUMBER;
        } else if !self.takes(bit) {
            *self = Self {
                types: Self::STRING,
                is_mixed: true,
                ..Self::default()
            };
            return;
        }
        if bit == Self::OBJECT && !self.is_open {
            each_member(bytes, span, |name, value| {
                path.within(name, |path| {
                    self.member_mut(name).grow(bytes, value, path, opaque);
                });
            });
        } else if bit == Self::ARRAY && path.depth() < MAX_DEPTH {
            let mut items = self.items.take().map_or_else(Self::default, |items| *items);
            path.within("[]", |path| {
                each_item(bytes, span, |item| items.grow(bytes, item, path, opaque));
            });
            self.items = Some(Box::new(items));
        }
    }

    fn takes(&self, bit: u8) -> bool {
        self.types & bit != 0 || (bit == Self::INTEGER && self.types & Self::NUMBER != 0)
    }

    fn words(&self) -> String {
        let words = TYPES.iter().filter(|(bit, _)| self.types & bit != 0);
        words
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(" or ")
    }
}

/// Where in a document something stands: names with dots, `[]` for items.
#[derive(Debug, Default)]
pub(crate) struct Path {
    names: Vec<String>,
}

impl Path {
    /// The path of a field of the record.
    pub(crate) fn of(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
        }
    }

    fn within(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.names.push(name.to_owned());
        inside(self);
        self.names.pop();
    }

    fn depth(&self) -> usize {
        self.names.len()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for name in &self.names {
            if !text.is_empty() && name != "[]" {
                text.push('.');
            }
            text.push_str(name);
        }
        text
    }
}

/// Calls `member` with the name and the value of each member of an object.
pub(crate) fn each_member(bytes: &[u8], span: Span, mut member: impl FnMut(&str, Span)) {
    let mut members: Vec<((usize, usize), Span)> = Vec::new();
    let scanned = scan_object(bytes, span.start, 0, |key, value| {
        members.push((key, value));
    });
    debug_assert!(scanned.is_ok(), "whoever made the span has scanned it");
    for ((start, end), value) in members {
        match bytes.get(start..end).map(std::str::from_utf8) {
            Some(Ok(name)) if !name.contains('\\') => member(name, value),
            _ => {
                // Quotes and all, as only a reader of JSON knows what is escaped.
                let quoted = bytes.get(start.saturating_sub(1)..=end).unwrap_or_default();
                if let Ok(name) = serde_json::from_slice::<String>(quoted) {
                    member(&name, value);
                }
            }
        }
    }
}

/// Calls `item` with each item of an array.
pub(crate) fn each_item(bytes: &[u8], span: Span, item: impl FnMut(Span)) {
    let scanned = scan_array(bytes, span.start, 0, item);
    debug_assert!(scanned.is_ok(), "whoever made the span has scanned it");
}

/// The kind of a value, whatever is inside it. What is not finite counts as null, as JSON has no word for it.
pub(crate) fn kind_at(bytes: &[u8], span: Span) -> ValueKind {
    match (span.kind, bytes.get(span.start)) {
        (ValueKind::NotFinite, Some(b'{')) => ValueKind::Object,
        (ValueKind::NotFinite, Some(b'[')) => ValueKind::Array,
        (ValueKind::NotFinite, _) => ValueKind::Null,
        (kind, _) => kind,
    }
}

fn bit_of(kind: ValueKind) -> Option<u8> {
    Some(match kind {
        ValueKind::Null | ValueKind::NotFinite => return None,
        ValueKind::Boolean => Shape::BOOLEAN,
        ValueKind::Integer => Shape::INTEGER,
        ValueKind::Number => Shape::NUMBER,
        ValueKind::String => Shape::STRING,
        ValueKind::Array => Shape::ARRAY,
        ValueKind::Object => Shape::OBJECT,
    })
}

fn word_of(bit: u8) -> &'static str {
    let found = TYPES.iter().find(|(type_bit, _)| *type_bit == bit);
    found.map_or("null", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use singer_core::scan::scan_value;

    use super::*;

    fn grown(documents: &[&str]) -> Shape {
        let mut shape = Shape::default();
        for document in documents {
            let span = scan_value(document.as_bytes(), 0, 0).unwrap();
            shape.grow(
                document.as_bytes(),
                span,
                &mut Path::default(),
                &["meta".to_owned()],
            );
        }
        shape
    }

    fn misfits(shape: &Shape, document: &str) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        let span = scan_value(document.as_bytes(), 0, 0).unwrap();
        shape.check(
            document.as_bytes(),
            span,
            &mut Path::default(),
            &mut misfits,
        );
        misfits
    }

    #[test]
    fn types_are_widened_over_the_sample() {
        let shape = grown(&[
            r#"{"a": 1, "b": null, "c": [], "d": {"x": "t"}, "m": 1, "meta": {"free": 1}, "n": NaN}"#,
            r#"{"a": 1.5, "c": [{"y": 1}, {"z": true}], "d": {"w": 2}, "m": "one"}"#,
        ]);
        assert_eq!(
            shape.schema().unwrap(),
            json!({"type": ["null", "object"], "properties": {
                "a": {"type": ["null", "number"]},
                "c": {"type": ["null", "array"], "items": {"type": ["null", "object"], "properties": {
                    "y": {"type": ["null", "integer"]}, "z": {"type": ["null", "boolean"]}}}},
                "d": {"type": ["null", "object"], "properties": {
                    "x": {"type": ["null", "string"]}, "w": {"type": ["null", "integer"]}}},
                "m": {"type": ["null", "string"], "x-mixed": true},
                "meta": {"type": ["null", "object"]},
            }})
        );
        let again = Shape::of_schema(&shape.schema().unwrap());
        assert_eq!(again.schema(), shape.schema());
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let shape = grown(&[
            r#"{"a": 1, "c": [{"y": 1}], "meta": {}, "m": 1}"#,
            r#"{"m": "x"}"#,
        ]);
        for fitting in [
            "{}",
            r#"{"a": null, "c": [], "meta": {"any": [1]}, "m": {"x": 1}}"#,
            r#"{"a": 2, "c": [{"y": 3}, {}], "b": null}"#,
        ] {
            assert_eq!(misfits(&shape, fitting), [], "{fitting}");
        }
        let odd = r#"{"a": 1.5, "b": 1, "c": [{"y": "x", "\u007a": 2}]}"#;
        assert_eq!(
            misfits(&shape, odd),
            [
                Misfit::Wider("a".to_owned()),
                Misfit::New("b".to_owned()),
                Misfit::Conflict {
                    path: "c[].y".to_owned(),
                    wanted: "integer".to_owned(),
                    found: "string",
                },
                Misfit::New("c[].z".to_owned()),
            ]
        );
    }

    #[test]
    fn a_schema_that_a_person_wrote_is_kept() {
        let schema = json!({"type": ["null", "object"], "properties": {
            "a": {"type": ["null", "string"], "maxLength": 9}, "b": {"anyOf": [{"type": "integer"}]}, "c": {}}});
        let shape = Shape::of_schema(&schema);
        assert_eq!(shape.schema().unwrap(), schema);
        assert_eq!(misfits(&shape, r#"{"b": [1], "c": {"x": 1}}"#), []);
    }
}
