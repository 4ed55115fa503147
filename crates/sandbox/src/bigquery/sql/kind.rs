//! The types of expressions: which of them turn into others by themselves, and what messages call them.

use std::fmt;

use super::error::{Result, unsupported};
use crate::bigquery::table::{Column, Mode, Type};

/// The type of an expression. Unlike that of a column it knows arrays as such, and NULL without a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// NULL, an empty array or a parameter of which nothing more is known.
    Null,
    Bool,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    String,
    Bytes,
    Timestamp,
    Date,
    Time,
    DateTime,
    Json,
    Array(Box<Kind>),
    Struct(Vec<Field>),
}

/// A field of a STRUCT, which may be without a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
}

impl Kind {
    /// The type of a column's values.
    pub(super) fn of_column(column: &Column) -> Kind {
        let kind = match &column.kind {
            Type::Bool => Kind::Bool,
            Type::Int64 => Kind::Int64,
            Type::Float64 => Kind::Float64,
            Type::Numeric => Kind::Numeric,
            Type::BigNumeric => Kind::BigNumeric,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Timestamp => Kind::Timestamp,
            Type::Date => Kind::Date,
            Type::Time => Kind::Time,
            Type::DateTime => Kind::DateTime,
            Type::Json => Kind::Json,
            Type::Struct(fields) => Kind::Struct(
                fields
                    .iter()
                    .map(|field| Field {
                        name: Some(field.name.clone()),
                        kind: Kind::of_column(field),
                    })
                    .collect(),
            ),
        };
        match column.mode {
            Mode::Repeated => Kind::Array(Box::new(kind)),
            Mode::Nullable | Mode::Required => kind,
        }
    }

    /// The column that holds values of this type. A NULL of no type is an INT64, as in the service.
    pub(super) fn to_column(&self, name: &str) -> Result<Column> {
        let (kind, mode) = match self {
            Kind::Array(element) if matches!(**element, Kind::Array(_)) => {
                return Err(unsupported("an array of arrays"));
            }
            Kind::Array(element) => (element.scalar_type()?, Mode::Repeated),
            other => (other.scalar_type()?, Mode::Nullable),
        };
        Ok(Column::new(name, kind, mode))
    }

    fn scalar_type(&self) -> Result<Type> {
        Ok(match self {
            Kind::Null | Kind::Int64 => Type::Int64,
            Kind::Bool => Type::Bool,
            Kind::Float64 => Type::Float64,
            Kind::Numeric => Type::Numeric,
            Kind::BigNumeric => Type::BigNumeric,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Timestamp => Type::Timestamp,
            Kind::Date => Type::Date,
            Kind::Time => Type::Time,
            Kind::DateTime => Type::DateTime,
            Kind::Json => Type::Json,
            Kind::Array(_) => return Err(unsupported("an array of arrays")),
            Kind::Struct(fields) => Type::Struct(
                fields
                    .iter()
                    .enumerate()
                    .map(|(place, field)| {
                        let name = field.name.clone();
                        let name = name.unwrap_or_else(|| format!("_field_{}", place + 1));
                        field.kind.to_column(&name)
                    })
                    .collect::<Result<_>>()?,
            ),
        })
    }

    /// Whether the types are the same but for the names of fields.
    pub(super) fn same(&self, other: &Kind) -> bool {
        match (self, other) {
            (Kind::Array(left), Kind::Array(right)) => left.same(right),
            (Kind::Struct(left), Kind::Struct(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(l, r)| l.kind.same(&r.kind))
            }
            (left, right) => left == right,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(
            self,
            Kind::Int64 | Kind::Float64 | Kind::Numeric | Kind::BigNumeric
        )
    }

    pub(super) fn is_decimal(&self) -> bool {
        matches!(self, Kind::Numeric | Kind::BigNumeric)
    }

    /// Whether `=` is defined for it.
    pub(super) fn has_equality(&self) -> bool {
        match self {
            Kind::Array(_) | Kind::Json => false,
            Kind::Struct(fields) => fields.iter().all(|field| field.kind.has_equality()),
            _ => true,
        }
    }

    /// Whether `<`, ORDER BY and MIN are defined for it.
    pub(super) fn has_order(&self) -> bool {
        !matches!(self, Kind::Array(_) | Kind::Json | Kind::Struct(_))
    }

    /// Whether a value of this type is taken where `target` is wanted. Literals are taken more freely.
    pub(super) fn coerces(&self, target: &Kind, literal: bool) -> bool {
        if self.same(target) {
            return true;
        }
        match (self, target) {
            (Kind::Null, _)
            | (Kind::Int64, Kind::Numeric | Kind::BigNumeric | Kind::Float64)
            | (Kind::Numeric, Kind::BigNumeric | Kind::Float64)
            | (Kind::BigNumeric, Kind::Float64)
            | (Kind::Date, Kind::DateTime) => true,
            (Kind::Float64, Kind::Numeric | Kind::BigNumeric)
            | (Kind::String, Kind::Date | Kind::DateTime | Kind::Time | Kind::Timestamp) => literal,
            (Kind::Array(from), Kind::Array(to)) => literal && from.coerces(to, true),
            (Kind::Struct(from), Kind::Struct(to)) => {
                from.len() == to.len()
                    && from
                        .iter()
                        .zip(to)
                        .all(|(f, t)| f.kind.coerces(&t.kind, literal))
            }
            _ => false,
        }
    }
}

/// The type that all of them turn into, if there is one. Each comes with whether it is a literal.
pub(super) fn supertype(kinds: &[(&Kind, bool)]) -> Option<Kind> {
    let fits = |candidate: &Kind| {
        kinds
            .iter()
            .all(|(kind, literal)| kind.coerces(candidate, *literal))
    };
    let typed = kinds.iter().filter(|(kind, _)| **kind != Kind::Null);
    let (literals, others): (Vec<_>, Vec<_>) = typed.partition(|(_, literal)| *literal);
    if literals.is_empty() && others.is_empty() {
        return Some(Kind::Null);
    }
    let found = others.iter().chain(&literals).map(|(kind, _)| *kind);
    found.into_iter().find(|kind| fits(kind)).cloned()
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Kind::Null | Kind::Int64 => "INT64",
            Kind::Bool => "BOOL",
            Kind::Float64 => "FLOAT64",
            Kind::Numeric => "NUMERIC",
            Kind::BigNumeric => "BIGNUMERIC",
            Kind::String => "STRING",
            Kind::Bytes => "BYTES",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Date => "DATE",
            Kind::Time => "TIME",
            Kind::DateTime => "DATETIME",
            Kind::Json => "JSON",
            Kind::Array(element) => return write!(formatter, "ARRAY<{element}>"),
            Kind::Struct(fields) => {
                formatter.write_str("STRUCT<")?;
                for (place, field) in fields.iter().enumerate() {
                    if place > 0 {
                        formatter.write_str(", ")?;
                    }
                    if let Some(name) = &field.name {
                        write!(formatter, "{name} ")?;
                    }
                    write!(formatter, "{}", field.kind)?;
                }
                return formatter.write_str(">");
            }
        };
        formatter.write_str(name)
    }
}
