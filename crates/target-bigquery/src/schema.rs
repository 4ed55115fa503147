//! From a JSON schema to columns: which type, mode and name each property has in BigQuery.
//!
//! What cannot be said in columns becomes JSON, so that every schema has some; how they meet those of
//! a table that exists is in [`compare()`].

use singer_core::schema::{Schema, TypeSet};
use singer_runtime::target::Problem;

use crate::model::{Field, Kind, Mode};
use crate::names::ColumnNames;
use shape::{Member, Reader, Shape};

pub use compare::{Changes, CompareOptions, OnConflict, Widening, compare};

mod compare;
mod decimal;
mod fit;
mod shape;
#[cfg(test)]
mod tests;

/// RECORD within RECORD at most.
pub const MAX_DEPTH: usize = 15;
/// Columns of a table at most, with those inside RECORDs.
pub const MAX_COLUMNS: usize = 10_000;

/// A column, and the property that fills it.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The property's name as records spell it.
    pub property: String,
    /// The property's place in the layout of the schema; zero inside a RECORD.
    pub index: usize,
    /// The column.
    pub field: Field,
    /// The columns of a RECORD that the schema fills; the table's RECORD may have others.
    pub columns: Vec<Column>,
    /// Whether the schema admits null.
    pub nullable: bool,
    /// Whether the property is of the stream's key.
    pub is_key: bool,
    /// The type that the schema led to; `field.kind` may be another one that the table has.
    pub wanted: Kind,
    /// How records spell bytes.
    pub spelling: BytesSpelling,
    /// Whether the names of properties inside are guessed from those of columns.
    pub guessed: bool,
}

/// How bytes are written in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BytesSpelling {
    /// RFC 4648 with padding.
    #[default]
    Base64,
    /// Two digits a byte.
    Hex,
}

/// What becomes of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimal {
    /// The narrowest type that keeps every digit that the schema promises.
    #[default]
    Auto,
    /// NUMERIC.
    Numeric,
    /// BIGNUMERIC.
    BigNumeric,
    /// A double.
    Float,
    /// Text.
    String,
}

/// What becomes of objects whose properties are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nested {
    /// RECORD.
    #[default]
    Record,
    /// JSON.
    Json,
}

/// What becomes of arrays of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrays {
    /// REPEATED, which holds no null.
    #[default]
    Repeated,
    /// JSON.
    Json,
}

/// What becomes of strings of the format `date-time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateTimes {
    /// An instant.
    #[default]
    Timestamp,
    /// The civil time of that instant in UTC.
    DateTime,
}

/// Where the mapping of types leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Decimals: numbers with `multipleOf`, or `precision` and `scale`, and strings of the format
    /// `singer.decimal`.
    pub decimal: Decimal,
    /// Numbers of which the schema says no more; `Auto` is FLOAT.
    pub number: Decimal,
    /// Objects.
    pub nested: Nested,
    /// Arrays.
    pub arrays: Arrays,
    /// Date-times.
    pub date_times: DateTimes,
    /// RECORD within RECORD at most; deeper is JSON.
    pub max_depth: usize,
    /// The mode of key columns whose schema admits no null.
    pub key_mode: Mode,
    /// Whether the schema is guessed, so that types are taken from the table.
    pub guessed: bool,
}

impl Default for SchemaOptions {
    fn default() -> Self {
        Self {
            decimal: Decimal::Auto,
            number: Decimal::Auto,
            nested: Nested::Record,
            arrays: Arrays::Repeated,
            date_times: DateTimes::Timestamp,
            max_depth: MAX_DEPTH,
            key_mode: Mode::Required,
            guessed: false,
        }
    }
}

impl Column {
    /// A column that is filled by the property of this name and place, with the types of the field.
    pub fn new(property: &str, index: usize, field: Field) -> Self {
        let columns = field
            .fields
            .iter()
            .map(|field| Self::new(&field.name, 0, field.clone()))
            .collect();
        Self {
            property: property.to_owned(),
            index,
            nullable: field.mode != Mode::Required,
            is_key: false,
            wanted: field.kind.clone(),
            field,
            columns,
            spelling: BytesSpelling::Base64,
            guessed: false,
        }
    }

    /// Whether it holds many values.
    pub fn is_repeated(&self) -> bool {
        self.field.mode == Mode::Repeated
    }

    /// Characters of a STRING, bytes of a BYTES at most, if the table says so.
    pub fn max_length(&self) -> Option<u64> {
        self.field.max_length.as_deref()?.parse().ok()
    }
}

/// The columns of a schema, in its order.
///
/// # Errors
/// What stands against it: names that would be one, too many columns.
pub fn plan(schema: &Schema, options: &SchemaOptions) -> Result<Vec<Column>, Vec<Problem>> {
    let names = ColumnNames::new(
        schema
            .properties()
            .iter()
            .map(|property| property.name.as_str()),
    )?;
    let reader = Reader::new(schema.document(), options);
    let mut problems = Vec::new();
    let mut columns = Vec::new();
    for (index, property) in schema.properties().iter().enumerate() {
        let is_key = schema.key_properties().contains(&property.name);
        let mut shape = reader.shape(&property.schema, 0);
        if is_key {
            shape = key_shape(&property.name, shape, &mut problems);
        }
        let nullable = options.guessed || property.types.contains(TypeSet::NULL);
        let mut column = column(&property.name, names.column(index), shape, &mut problems);
        column.index = index;
        column.nullable = nullable;
        column.guessed = options.guessed;
        column.is_key = is_key;
        if is_key && !nullable && !column.is_repeated() {
            column.field.mode = options.key_mode;
        }
        columns.push(column);
    }
    let count: usize = columns.iter().map(|column| count(&column.field)).sum();
    if count > MAX_COLUMNS {
        problems.push(too_many(count));
    }
    if problems.is_empty() {
        Ok(columns)
    } else {
        Err(problems)
    }
}

/// The shape of a key's column: rows must be told apart by it. Values of any type have a text.
fn key_shape(property: &str, shape: Shape, problems: &mut Vec<Problem>) -> Shape {
    match shape {
        Shape::Json => Shape::Scalar(Kind::String),
        Shape::Record(_) | Shape::Repeated(_) => {
            problems.push(Problem {
                kind: "key type",
                message: format!(
                    "key property `{property}` is an object or a list, which cannot tell rows apart"
                ),
                hint: Some("choose other `key_properties` in the catalog".to_owned()),
            });
            shape
        }
        shape => shape,
    }
}

/// The column of a shape; inside a RECORD every column is nullable.
fn column(property: &str, name: &str, shape: Shape, problems: &mut Vec<Problem>) -> Column {
    let (mode, shape) = match shape {
        Shape::Repeated(element) => (Mode::Repeated, *element),
        shape => (Mode::Nullable, shape),
    };
    let mut columns = Vec::new();
    let mut spelling = BytesSpelling::default();
    let kind = match shape {
        Shape::Scalar(kind) => kind,
        Shape::Bytes(form) => {
            spelling = form;
            Kind::Bytes
        }
        Shape::Json | Shape::Repeated(_) => Kind::Json,
        Shape::Record(members) => {
            columns = nested(property, members, problems);
            Kind::Record
        }
    };
    let mut field = Field::new(name, kind.clone()).mode(mode);
    field.fields = columns.iter().map(|column| column.field.clone()).collect();
    Column {
        property: property.to_owned(),
        index: 0,
        field,
        columns,
        nullable: true,
        is_key: false,
        wanted: kind,
        spelling,
        guessed: false,
    }
}

fn nested(property: &str, members: Vec<Member>, problems: &mut Vec<Problem>) -> Vec<Column> {
    let names = match ColumnNames::new(members.iter().map(|member| member.name.as_str())) {
        Ok(names) => names,
        Err(found) => {
            problems.extend(found.into_iter().map(|problem| Problem {
                message: format!("inside property `{property}`: {}", problem.message),
                ..problem
            }));
            return Vec::new();
        }
    };
    members
        .into_iter()
        .enumerate()
        .map(|(index, member)| Column {
            nullable: member.nullable,
            ..column(&member.name, names.column(index), member.shape, problems)
        })
        .collect()
}

/// The properties whose columns are called otherwise, also inside RECORDs, with those columns. Names
/// of what is inside have points between them.
pub fn renamed(columns: &[Column]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for column in columns {
        let (property, name) = (&column.property, &column.field.name);
        if property != name {
            pairs.push((property.clone(), name.clone()));
        }
        pairs.extend(
            renamed(&column.columns)
                .into_iter()
                .map(|(inner, to)| (format!("{property}.{inner}"), format!("{name}.{to}"))),
        );
    }
    pairs
}

/// A field and all that are inside it.
fn count(field: &Field) -> usize {
    1 + field.fields.iter().map(count).sum::<usize>()
}

fn too_many(count: usize) -> Problem {
    Problem {
        kind: "too many columns",
        message: format!("there would be {count} columns, and a table has {MAX_COLUMNS} at most"),
        hint: Some("leave properties out in the catalog, or keep nested ones as JSON".to_owned()),
    }
}

/// Whether a row without the field gets a value from the table.
pub(crate) fn has_default(field: &Field) -> bool {
    field.other.contains_key("defaultValueExpression")
}

/// A field's type in SQL: `INT64`, `NUMERIC(20, 4)`, `ARRAY<STRUCT<label STRING>>`.
pub fn sql_type(field: &Field) -> String {
    let one = match (
        &field.kind,
        &field.precision,
        &field.scale,
        &field.max_length,
    ) {
        (Kind::Record, ..) => {
            let fields: Vec<String> = field
                .fields
                .iter()
                .map(|field| format!("`{}` {}", field.name, sql_type(field)))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        (kind, Some(precision), Some(scale), _) => format!("{}({precision}, {scale})", kind.sql()),
        (kind, Some(precision), None, _) => format!("{}({precision})", kind.sql()),
        (kind, _, _, Some(length)) => format!("{}({length})", kind.sql()),
        (kind, ..) => kind.sql().to_owned(),
    };
    if field.mode == Mode::Repeated {
        format!("ARRAY<{one}>")
    } else {
        one
    }
}
