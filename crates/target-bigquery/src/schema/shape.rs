//! What a JSON schema describes, before it is a column: a scalar, an object, a list, or anything.

use serde_json::{Map, Value};
use singer_core::schema::TypeSet;

use super::decimal;
use super::{Arrays, BytesSpelling, DateTimes, Nested, SchemaOptions};
use crate::model::Kind;

/// References and unions within each other at most; what goes on deeper is JSON.
const MAX_STEPS: usize = 64;

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Scalar(Kind),
    Bytes(BytesSpelling),
    Record(Vec<Member>),
    Repeated(Box<Shape>),
    Json,
}

/// A property of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) nullable: bool,
}

/// Reads the schemas of one document.
pub(super) struct Reader<'a> {
    document: &'a Value,
    options: &'a SchemaOptions,
}

/// Where the reader is: RECORDs around it, and steps taken in all.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    steps: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a Value, options: &'a SchemaOptions) -> Self {
        Self { document, options }
    }

    /// The shape of a property inside so many RECORDs.
    pub(super) fn shape(&self, schema: &Value, depth: usize) -> Shape {
        self.at(schema, Place { depth, steps: 0 })
            .unwrap_or(Shape::Json)
    }

    /// `None` where the schema admits nothing but null.
    fn at(&self, schema: &Value, mut place: Place) -> Option<Shape> {
        place.steps += 1;
        if place.steps > MAX_STEPS {
            return Some(Shape::Json);
        }
        if let Some(reference) = schema.get("$ref") {
            return match self.resolve(reference) {
                Some(target) => self.at(target, place),
                None => Some(Shape::Json),
            };
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return match self.merged(schema, parts) {
                Some(merged) => self.at(&merged, place),
                None => Some(Shape::Json),
            };
        }
        let options = |word: &str| schema.get(word).and_then(Value::as_array);
        match options("anyOf").or_else(|| options("oneOf")) {
            Some(alternatives) if !self.only_restricts(schema, alternatives) => {
                self.union(alternatives, place)
            }
            _ => self.leaf(schema, place),
        }
    }

    /// Only references into the document itself are followed.
    fn resolve(&self, reference: &Value) -> Option<&'a Value> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        self.document.pointer(pointer)
    }

    /// Whether alternatives say nothing of types, as in `anyOf: [{required: …}]` beside a `type`.
    fn only_restricts(&self, schema: &Value, alternatives: &[Value]) -> bool {
        let says_type = |part: &Value| {
            ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"]
                .iter()
                .any(|word| part.get(word).is_some())
        };
        schema.get("type").is_some() && !alternatives.iter().any(says_type)
    }

    /// One schema that says what all parts say; `None` if they say different things.
    fn merged(&self, schema: &Value, parts: &[Value]) -> Option<Value> {
        let mut merged: Map<String, Value> = schema.as_object()?.clone();
        merged.remove("allOf");
        for part in parts {
            let part = match part.get("$ref") {
                Some(reference) => self.resolve(reference)?,
                None => part,
            };
            for (word, value) in part.as_object()? {
                match (merged.get_mut(word), value) {
                    (None, _) => {
                        merged.insert(word.clone(), value.clone());
                    }
                    (Some(Value::Object(known)), Value::Object(more)) if word == "properties" => {
                        for (name, property) in more {
                            known
                                .entry(name.clone())
                                .or_insert_with(|| property.clone());
                        }
                    }
                    (Some(known), _) if word == "type" => {
                        let one = TypeSet::of(&serde_json::json!({ "type": known }));
                        let other = TypeSet::of(part);
                        // The narrower of the two, where one is.
                        if one.contains(other) {
                            *known = value.clone();
                        } else if !other.contains(one) {
                            return None;
                        }
                    }
                    (Some(known), _) if known != value && changes_shape(word) => return None,
                    _ => {}
                }
            }
        }
        Some(Value::Object(merged))
    }

    fn union(&self, alternatives: &[Value], place: Place) -> Option<Shape> {
        let shapes: Vec<Shape> = alternatives
            .iter()
            .filter_map(|alternative| self.at(alternative, place))
            .collect();
        text_of(&shapes).or_else(|| shapes.into_iter().reduce(unify))
    }

    fn leaf(&self, schema: &Value, place: Place) -> Option<Shape> {
        let types = types_of(schema);
        let whole = TypeSet::INTEGER;
        let numbers = TypeSet::NUMBER.union(whole);
        let is_decimal = schema
            .get("format")
            .is_some_and(|format| format == "singer.decimal");
        let shape = match types.without_null() {
            none if none.is_empty() => return None,
            TypeSet::BOOLEAN => Shape::Scalar(Kind::Boolean),
            TypeSet::INTEGER => Shape::Scalar(decimal::integer(schema)),
            some if numbers.contains(some) => self.number(schema),
            TypeSet::STRING => self.string(schema),
            some if is_decimal && numbers.union(TypeSet::STRING).contains(some) => {
                self.number(schema)
            }
            TypeSet::ARRAY => self.array(schema, place),
            TypeSet::OBJECT => self.object(schema, place),
            _ => Shape::Json,
        };
        Some(shape)
    }

    fn number(&self, schema: &Value) -> Shape {
        let options = self.options;
        Shape::Scalar(decimal::decimal(schema, options.decimal, options.number))
    }

    fn string(&self, schema: &Value) -> Shape {
        let word = |name: &str| schema.get(name).and_then(Value::as_str);
        match (word("contentEncoding"), word("format")) {
            (Some("base64"), _) => Shape::Bytes(BytesSpelling::Base64),
            (Some("base16"), _) => Shape::Bytes(BytesSpelling::Hex),
            (_, Some("date-time")) => Shape::Scalar(match self.options.date_times {
                DateTimes::Timestamp => Kind::Timestamp,
                DateTimes::DateTime => Kind::DateTime,
            }),
            (_, Some("date")) => Shape::Scalar(Kind::Date),
            (_, Some("time")) => Shape::Scalar(Kind::Time),
            (_, Some("singer.decimal")) => self.number(schema),
            _ => Shape::Scalar(Kind::String),
        }
    }

    /// An array of arrays, and one of anything, has no REPEATED form: neither may hold what it would.
    fn array(&self, schema: &Value, place: Place) -> Shape {
        let items = match schema.get("items") {
            Some(items @ Value::Object(_)) if self.options.arrays == Arrays::Repeated => items,
            _ => return Shape::Json,
        };
        match self.at(items, place) {
            None | Some(Shape::Json | Shape::Repeated(_)) => Shape::Json,
            Some(element) => Shape::Repeated(Box::new(element)),
        }
    }

    fn object(&self, schema: &Value, place: Place) -> Shape {
        let is_open = schema.get("patternProperties").is_some_and(is_filled)
            || schema.get("additionalProperties").is_some_and(is_filled);
        let properties = match schema.get("properties") {
            Some(Value::Object(properties)) if !properties.is_empty() && !is_open => properties,
            _ => return Shape::Json,
        };
        if self.options.nested == Nested::Json || place.depth >= self.options.max_depth {
            return Shape::Json;
        }
        let inside = Place {
            depth: place.depth + 1,
            ..place
        };
        let members = properties.iter().map(|(name, schema)| Member {
            name: name.clone(),
            shape: self.at(schema, inside).unwrap_or(Shape::Json),
            nullable: TypeSet::of(schema).contains(TypeSet::NULL),
        });
        Shape::Record(members.collect())
    }
}

fn is_filled(schema: &Value) -> bool {
    schema.as_object().is_some_and(|words| !words.is_empty())
}

/// Whether two values of a word make two types.
fn changes_shape(word: &str) -> bool {
    matches!(
        word,
        "format" | "contentEncoding" | "items" | "multipleOf" | "patternProperties"
    )
}

/// The types that a schema without unions admits; by its values or its other words if it names none.
fn types_of(schema: &Value) -> TypeSet {
    if schema.get("type").is_some() {
        return TypeSet::of(schema);
    }
    let values = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) => values.as_slice(),
        (_, Some(value)) => std::slice::from_ref(value),
        _ if schema.get("properties").is_some() => return TypeSet::OBJECT,
        _ if schema.get("items").is_some() => return TypeSet::ARRAY,
        _ => return TypeSet::ANY,
    };
    values
        .iter()
        .map(|value| match value {
            Value::Null => TypeSet::NULL,
            Value::Bool(_) => TypeSet::BOOLEAN,
            Value::Number(number) if number.is_f64() => TypeSet::NUMBER,
            Value::Number(_) => TypeSet::INTEGER,
            Value::String(_) => TypeSet::STRING,
            Value::Array(_) => TypeSet::ARRAY,
            Value::Object(_) => TypeSet::OBJECT,
        })
        .fold(TypeSet::default(), TypeSet::union)
}

/// What several strings are. One with a format beside one without is how Singer taps say that a
/// string has this format; two formats have in common that they are text. `None` if not all are text.
fn text_of(shapes: &[Shape]) -> Option<Shape> {
    let mut format = None;
    for shape in shapes {
        match shape {
            Shape::Scalar(Kind::String) => {}
            Shape::Scalar(Kind::Timestamp | Kind::DateTime | Kind::Date | Kind::Time) => {
                if *format.get_or_insert(shape) != shape {
                    return shapes
                        .iter()
                        .all(is_text)
                        .then_some(Shape::Scalar(Kind::String));
                }
            }
            _ => return None,
        }
    }
    let plain = Shape::Scalar(Kind::String);
    (!shapes.is_empty()).then(|| format.cloned().unwrap_or(plain))
}

fn is_text(shape: &Shape) -> bool {
    use Kind::{Date, DateTime, String, Time, Timestamp};
    matches!(
        shape,
        Shape::Scalar(String | Timestamp | DateTime | Date | Time)
    )
}

/// What holds the values of both: the wider of two numbers, else JSON.
fn unify(one: Shape, other: Shape) -> Shape {
    let rank = |shape: &Shape| match shape {
        Shape::Scalar(Kind::Integer) => Some(0),
        Shape::Scalar(Kind::Float) => Some(1),
        Shape::Scalar(Kind::Numeric) => Some(2),
        Shape::Scalar(Kind::BigNumeric) => Some(3),
        _ => None,
    };
    match (rank(&one), rank(&other)) {
        _ if one == other => one,
        (Some(low), Some(high)) => {
            if low < high {
                other
            } else {
                one
            }
        }
        _ => Shape::Json,
    }
}
