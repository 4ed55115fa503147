//! Pendo's metadata schema, and the mapping of a stream's columns onto it: what fits, what is to be
//! created, and what stands against it. Nothing is guessed: what is not clear becomes a problem.

use std::collections::HashMap;

use serde_json::Value;
use singer_core::schema::{Property, TypeSet};
use singer_runtime::target::{Problem, Stream};

use crate::config::{Chosen, DateFormat, EVERY_OTHER, Nested, StreamConfig};
use crate::convert::{Conversion, FieldType, Scalar};
use crate::model::{Group, Kind, NewField};

#[cfg(test)]
mod tests;

/// The fields of one kind by group and lower-case name.
#[derive(Debug, Default)]
pub struct MetadataSchema {
    groups: HashMap<String, HashMap<String, Field>>,
}

/// A field that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name as Pendo spells it.
    pub name: String,
    /// What it takes.
    pub kind: FieldType,
    /// Pendo's own word for that.
    pub word: String,
}

/// A column and the field it goes to.
#[derive(Debug, Clone)]
pub struct Column {
    /// The property of the stream.
    pub property: usize,
    /// The column's name.
    pub name: String,
    /// The field's name as Pendo spells it.
    pub field: String,
    /// Pendo's word for the field's type.
    pub word: String,
    /// How values get there.
    pub conversion: Conversion,
}

/// A stream's columns put onto Pendo's fields.
#[derive(Debug, Default)]
pub struct Mapping {
    /// The columns that are sent.
    pub columns: Vec<Column>,
    /// The property with the id, if that is clear.
    pub id: Option<usize>,
    /// The fields that are to be created first.
    pub creates: Vec<NewField>,
    /// What stands against it.
    pub problems: Vec<Problem>,
}

impl MetadataSchema {
    /// Reads the answer of `GET /metadata/schema/{kind}`. Parts of an unknown shape are passed over.
    pub fn parse(answer: &Value) -> Self {
        let mut groups: HashMap<String, HashMap<String, Field>> = HashMap::new();
        for (group, fields) in answer.as_object().into_iter().flatten() {
            let known = groups.entry(group.to_lowercase()).or_default();
            for (name, description) in fields.as_object().into_iter().flatten() {
                if let Some(field) = Field::parse(name, description) {
                    known.insert(name.to_lowercase(), field);
                }
            }
        }
        Self { groups }
    }

    /// A field that exists, by its name in any case.
    pub fn field(&self, group: Group, name: &str) -> Option<&Field> {
        self.groups.get(group.word())?.get(&name.to_lowercase())
    }
}

impl Field {
    /// A field that does not exist any more is none.
    fn parse(name: &str, description: &Value) -> Option<Self> {
        let object = description.as_object()?;
        let entry = |key: &str| {
            object
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value)
        };
        let word = |key: &str| entry(key).and_then(Value::as_str).unwrap_or_default();
        if entry("isDeleted").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        let kind = match word("Type").to_lowercase().as_str() {
            "list" | "array" => FieldType::List(scalar(word("ElementType"))),
            other => FieldType::One(scalar(other)),
        };
        Some(Self {
            name: name.to_owned(),
            kind,
            word: match word("Type") {
                "" => "not decided yet".to_owned(),
                word => word.to_owned(),
            },
        })
    }
}

fn scalar(word: &str) -> Scalar {
    match word.to_lowercase().as_str() {
        "string" | "text" => Scalar::Text,
        "integer" | "int" => Scalar::Integer,
        "float" | "number" => Scalar::Number,
        "boolean" | "bool" => Scalar::Boolean,
        "time" | "date" => Scalar::Time,
        "" => Scalar::Any,
        unknown => {
            tracing::warn!(
                r#type = unknown,
                "Pendo has a field of a type that this version does not know; values go there as they are"
            );
            Scalar::Any
        }
    }
}

/// What a mapping is made from.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The stream.
    pub stream: &'a Stream,
    /// Its settings.
    pub config: &'a StreamConfig,
    /// What applies to it.
    pub chosen: &'a Chosen,
    /// What its rows are.
    pub kind: Kind,
    /// Where its columns go.
    pub group: Group,
    /// What Pendo has.
    pub schema: &'a MetadataSchema,
}

impl Plan<'_> {
    /// Puts the columns of the stream onto the fields of the group: those that `fields` lists, and
    /// every other one to the field of its own name if `fields` says so or says nothing.
    pub fn mapping(&self) -> Mapping {
        let mut mapping = Mapping::default();
        match self.find_id() {
            Ok(id) => mapping.id = Some(id),
            Err(problem) => mapping.problems.push(problem),
        }
        let layout = self.stream.schema.layout();
        for column in self.config.fields.keys() {
            // A record of a rejects file may lack any column.
            if column != EVERY_OTHER && !self.stream.guessed && layout.index(column).is_none() {
                mapping.problems.push(Problem {
                    kind: "column missing",
                    message: format!(
                        "`fields` maps the column `{column}`, which the stream does not have"
                    ),
                    hint: Some(
                        "correct the name, or select the column in the tap's catalog".to_owned(),
                    ),
                });
            }
        }
        let fields = &self.config.fields;
        let takes_others = fields.is_empty() || fields.contains_key(EVERY_OTHER);
        for (property, column) in self.stream.schema.properties().iter().enumerate() {
            // The id is no field unless the config says so, and what the protocol adds is none of ours.
            let own =
                takes_others && Some(property) != mapping.id && !column.name.starts_with("_sdc_");
            let field = match fields.get(&column.name) {
                Some(field) if field.is_empty() => continue,
                Some(field) => field,
                None if own => &column.name,
                None => continue,
            };
            if let Err(problem) = self.add(property, column, field, &mut mapping) {
                mapping.problems.push(problem);
            }
        }
        if mapping.columns.is_empty() && mapping.problems.is_empty() {
            mapping.problems.push(Problem {
                kind: "nothing to send",
                message: "no column is mapped to a field".to_owned(),
                hint: Some(
                    "select columns in the tap's catalog, or map them in `fields`".to_owned(),
                ),
            });
        }
        mapping
    }

    fn find_id(&self) -> Result<usize, Problem> {
        let keys = self.stream.schema.key_properties();
        let name = match (&self.config.id, keys) {
            (Some(id), _) => id,
            (None, [key]) => key,
            (None, keys) => {
                return Err(Problem {
                    kind: "id unclear",
                    message: format!(
                        "the stream has {} key properties, and `id` is not set",
                        keys.len()
                    ),
                    hint: Some(format!(
                        "name the column with Pendo's id in `streams.{}.id`",
                        self.stream.name
                    )),
                });
            }
        };
        self.stream
            .schema
            .layout()
            .index(name)
            .ok_or_else(|| Problem {
                kind: "id missing",
                message: format!("the stream does not have the id's column `{name}`"),
                hint: Some("correct `id`, or select the column in the tap's catalog".to_owned()),
            })
    }

    fn add(
        &self,
        property: usize,
        column: &Property,
        field: &str,
        mapping: &mut Mapping,
    ) -> Result<(), Problem> {
        let taken = |other: &&Column| other.field.eq_ignore_ascii_case(field);
        if let Some(other) = mapping.columns.iter().find(taken) {
            return Err(Problem {
                kind: "field taken twice",
                message: format!(
                    "the columns `{}` and `{}` both go to the field `{field}`",
                    other.name, column.name
                ),
                hint: Some("map one of them to another field in `fields`, or to an empty text to leave it out".to_owned()),
            });
        }
        let target = match self.schema.field(self.group, field) {
            Some(field) => field.clone(),
            None => self.absent(column, field, mapping)?,
        };
        let conversion = Conversion {
            to: target.kind,
            coerce_strings: self.chosen.coerce_strings || self.stream.guessed || is_decimal(column),
            nested: self.chosen.nested,
            date_format: self.chosen.date_format,
        };
        if !accepts(column, &conversion) {
            return Err(Problem {
                kind: "type conflict",
                message: format!(
                    "the column `{}` ({}) cannot go to the field `{}` ({})",
                    column.name,
                    type_words(column),
                    target.name,
                    target.word
                ),
                hint: Some(conflict_hint(column, &conversion, self.kind)),
            });
        }
        mapping.columns.push(Column {
            property,
            name: column.name.clone(),
            field: target.name,
            word: target.word,
            conversion,
        });
        Ok(())
    }

    /// What becomes of a field that does not exist: it comes into being, is created, or is a problem.
    fn absent(
        &self,
        column: &Property,
        field: &str,
        mapping: &mut Mapping,
    ) -> Result<Field, Problem> {
        if !is_field_name(field) {
            return Err(Problem {
                kind: "field name",
                message: format!(
                    "the column `{}` cannot go to `{field}`: names of fields have letters, digits and underscores only",
                    column.name
                ),
                hint: Some(format!(
                    "map the column to a field's name in `fields`: {{\"{}\": \"...\"}}",
                    column.name
                )),
            });
        }
        if self.group == Group::Agent {
            return Ok(Field {
                name: field.to_owned(),
                kind: FieldType::One(Scalar::Any),
                word: "new".to_owned(),
            });
        }
        if !self.chosen.create_fields {
            return Err(Problem {
                kind: "field missing",
                message: format!(
                    "the column `{}` ({}) has no field `{field}` in Pendo",
                    column.name,
                    type_words(column)
                ),
                hint: Some(format!(
                    "create it under {}, set `create_fields`, or map the column in `fields`",
                    page(self.kind)
                )),
            });
        }
        let (word, scalar) = kind_to_create(column);
        // Pendo stores names in lower case.
        let name = field.to_lowercase();
        mapping.creates.push(NewField {
            display_name: column.name.clone(),
            name: name.clone(),
            kind: word,
        });
        Ok(Field {
            name,
            kind: FieldType::One(scalar),
            word: word.to_owned(),
        })
    }
}

/// The page of Pendo where fields are made.
fn page(kind: Kind) -> String {
    let tab = match kind {
        Kind::Visitor => "Visitor",
        Kind::Account => "Account",
        Kind::ParentAccount => "Parent account",
    };
    format!("Settings > Subscription settings > Applications > Data Mappings > {tab}")
}

/// Letters, digits, underscores; no digit first.
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A number that a tap sends as text to keep its digits is a number.
fn is_decimal(column: &Property) -> bool {
    matches!(
        column.format.as_deref(),
        Some("singer.decimal" | "x-singer.decimal")
    )
}

fn is_date(column: &Property) -> bool {
    matches!(column.format.as_deref(), Some("date-time" | "date"))
}

/// Whether any of the column's types can go to the field; single values may still not fit.
fn accepts(column: &Property, conversion: &Conversion) -> bool {
    let types = column.types.without_null();
    let has = |wanted: TypeSet| types.contains(wanted);
    let scalar = has(TypeSet::STRING)
        || has(TypeSet::INTEGER)
        || has(TypeSet::NUMBER)
        || has(TypeSet::BOOLEAN);
    let coerce = conversion.coerce_strings;
    // A column that is only ever null clears, which every field takes; of one without type only its
    // values can tell.
    types.is_empty()
        || types == TypeSet::ANY.without_null()
        || match conversion.to {
            FieldType::List(_) => has(TypeSet::ARRAY),
            FieldType::One(Scalar::Any) => {
                scalar || has(TypeSet::ARRAY) || conversion.nested == Nested::Stringify
            }
            FieldType::One(Scalar::Text) => scalar || conversion.nested == Nested::Stringify,
            FieldType::One(Scalar::Integer | Scalar::Number) => {
                has(TypeSet::INTEGER)
                    || has(TypeSet::NUMBER)
                    || (coerce && has(TypeSet::STRING) && !is_date(column))
            }
            FieldType::One(Scalar::Boolean) => {
                has(TypeSet::BOOLEAN)
                    || (coerce
                        && !is_date(column)
                        && (has(TypeSet::STRING) || has(TypeSet::INTEGER)))
            }
            FieldType::One(Scalar::Time) => {
                (has(TypeSet::STRING) && (is_date(column) || coerce))
                    || (has(TypeSet::INTEGER) && conversion.date_format == DateFormat::EpochMs)
            }
        }
}

fn conflict_hint(column: &Property, conversion: &Conversion, kind: Kind) -> String {
    let types = column.types.without_null();
    let wants_coercion = !conversion.coerce_strings
        && matches!(
            conversion.to,
            FieldType::One(Scalar::Integer | Scalar::Number | Scalar::Boolean | Scalar::Time)
        )
        && types.contains(TypeSet::STRING);
    let other = format!(
        "map the column to another field, or change the field under {}",
        page(kind)
    );
    if wants_coercion {
        format!("set `coerce_strings`, {other}")
    } else if conversion.to == FieldType::One(Scalar::Time) && types.contains(TypeSet::INTEGER) {
        format!("set `date_format` to `epoch_ms` if the column holds milliseconds, {other}")
    } else {
        other
    }
}

/// The type of a field that is created for a column.
fn kind_to_create(column: &Property) -> (&'static str, Scalar) {
    let types = column.types.without_null();
    let only = |wanted: TypeSet| !types.is_empty() && wanted.contains(types);
    if only(TypeSet::BOOLEAN) {
        ("boolean", Scalar::Boolean)
    } else if only(TypeSet::INTEGER.union(TypeSet::NUMBER)) || is_decimal(column) {
        ("number", Scalar::Number)
    } else if is_date(column) {
        ("time", Scalar::Time)
    } else {
        ("string", Scalar::Text)
    }
}

/// A column's types in words.
fn type_words(column: &Property) -> String {
    let types = column.types.without_null();
    if types == TypeSet::ANY.without_null() {
        return "any type".to_owned();
    }
    let mut words: Vec<&str> = [
        (TypeSet::BOOLEAN, "boolean"),
        (TypeSet::INTEGER, "integer"),
        (TypeSet::NUMBER, "number"),
        (TypeSet::STRING, "string"),
        (TypeSet::ARRAY, "array"),
        (TypeSet::OBJECT, "object"),
    ]
    .iter()
    .filter(|(wanted, _)| types.contains(*wanted))
    .map(|(_, word)| *word)
    .collect();
    if words.is_empty() {
        words.push("null");
    }
    let words = words.join(" or ");
    match &column.format {
        Some(format) => format!("{words}, {format}"),
        None => words,
    }
}
