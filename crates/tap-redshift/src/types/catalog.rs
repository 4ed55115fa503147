//! From the catalog's words to [`Type`]: PostgreSQL's by their rows in `pg_type`, Redshift's and
//! those of external tables by the names that its views print.

use super::{Array, Type};

/// A type as `pg_type` describes it, with domains taken off.
#[derive(Debug, Clone, Default)]
pub(crate) struct CatalogType {
    /// `typname`
    pub(crate) name: String,
    /// Whether it is in `pg_catalog`.
    pub(crate) built_in: bool,
    /// `typtype`: `b` base, `e` enum, `c` composite, `d` domain, `r` range.
    pub(crate) kind: String,
    /// The modifier of the column or of the domain: length, precision and scale.
    pub(crate) modifier: i32,
    /// `typdelim`
    pub(crate) delimiter: u8,
    /// The element of a true array.
    pub(crate) element: Option<Box<Self>>,
    /// Dimensions that were declared.
    pub(crate) dimensions: u32,
}

impl Type {
    /// The type of a PostgreSQL column.
    pub(crate) fn from_catalog(found: &CatalogType) -> Self {
        if let Some(element) = &found.element {
            let mut element_type = (**element).clone();
            // The modifier of an array column is meant for its elements.
            element_type.modifier = found.modifier;
            return Self::Array(Box::new(Array {
                element: Self::from_catalog(&element_type),
                delimiter: element.delimiter,
                dimensions: found.dimensions.max(1),
            }));
        }
        if found.kind == "e" || found.name == "citext" {
            return Self::Text { length: None };
        }
        if !found.built_in {
            return Self::Opaque;
        }
        // Lengths are stored with four bytes of header added.
        let length = u32::try_from(found.modifier - 4).ok();
        match found.name.as_str() {
            "bool" => Self::Boolean,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "oid" => Self::Oid,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => Self::Numeric {
                scale: length.map(numeric_scale),
            },
            "varchar" => Self::Text { length },
            "text" | "name" => Self::Text { length: None },
            "bpchar" => Self::Char { length },
            "bytea" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timetz" => Self::TimeTz,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "inet" => Self::Inet,
            _ => Self::Opaque,
        }
    }

    /// The type that Redshift prints as this text: `character varying(256)`, `numeric(18,4)`,
    /// `super`, or the Hive words of an external table.
    pub(crate) fn from_words(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        let nested = ["struct<", "array<", "map<"];
        if nested.iter().any(|start| text.starts_with(start)) {
            return Self::Json;
        }
        let (words, arguments) = split_arguments(&text);
        let length = arguments
            .first()
            .and_then(|length| u32::try_from(*length).ok());
        match words.as_str() {
            "boolean" | "bool" => Self::Boolean,
            "smallint" | "int2" | "tinyint" => Self::Int2,
            "integer" | "int" | "int4" => Self::Int4,
            "bigint" | "int8" => Self::Int8,
            "oid" => Self::Oid,
            "real" | "float4" => Self::Float4,
            "double precision" | "float8" | "float" | "double" => Self::Float8,
            "numeric" | "decimal" => Self::Numeric {
                scale: match arguments.as_slice() {
                    [] => None,
                    [_] => Some(0),
                    [_, scale, ..] => i32::try_from(*scale).ok(),
                },
            },
            "character varying" | "varchar" | "nvarchar" => Self::Text { length },
            "text" | "string" | "name" => Self::Text { length: None },
            "character" | "char" | "bpchar" | "nchar" => Self::Char { length },
            "binary varying" | "varbyte" | "varbinary" | "binary" => Self::Bytes,
            "date" => Self::Date,
            "time without time zone" | "time" => Self::Time,
            "time with time zone" | "timetz" => Self::TimeTz,
            "timestamp without time zone" | "timestamp" => Self::Timestamp,
            "timestamp with time zone" | "timestamptz" => Self::TimestampTz,
            "super" => Self::Json,
            _ => Self::Opaque,
        }
    }
}

/// The scale of `numeric(p,s)`: eleven bits with a sign.
fn numeric_scale(modifier: u32) -> i32 {
    let bits = (modifier & 0x7FF) as i32;
    (bits ^ 1024) - 1024
}

/// Takes `(18,4)` out of a type's name, wherever it stands: `timestamp(3) without time zone`.
fn split_arguments(text: &str) -> (String, Vec<i64>) {
    let Some((before, rest)) = text.split_once('(') else {
        return (text.to_owned(), Vec::new());
    };
    let (arguments, after) = rest.split_once(')').unwrap_or((rest, ""));
    let words = format!("{} {}", before.trim(), after.trim());
    let arguments = arguments
        .split(',')
        .filter_map(|argument| argument.trim().parse().ok())
        .collect();
    (words.trim().to_owned(), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redshift_and_hive_words_are_known() {
        for (text, wanted) in [
            ("character varying(256)", Type::Text { length: Some(256) }),
            ("numeric(18,4)", Type::Numeric { scale: Some(4) }),
            ("decimal(10)", Type::Numeric { scale: Some(0) }),
            ("numeric", Type::Numeric { scale: None }),
            ("timestamp without time zone", Type::Timestamp),
            ("timestamp(6) with time zone", Type::TimestampTz),
            ("CHARACTER(3)", Type::Char { length: Some(3) }),
            ("binary varying(64000)", Type::Bytes),
            ("super", Type::Json),
            ("struct<a:int,b:array<string>>", Type::Json),
            ("string", Type::Text { length: None }),
            ("double", Type::Float8),
            ("geometry", Type::Opaque),
            ("interval day to second (6)", Type::Opaque),
        ] {
            assert_eq!(Type::from_words(text), wanted, "{text}");
        }
    }

    #[test]
    fn modifiers_of_postgresql_are_read() {
        let numeric = |modifier| {
            Type::from_catalog(&CatalogType {
                name: "numeric".to_owned(),
                built_in: true,
                kind: "b".to_owned(),
                modifier,
                ..CatalogType::default()
            })
        };
        assert_eq!(numeric(-1), Type::Numeric { scale: None });
        assert_eq!(
            numeric((18 << 16 | 4) + 4),
            Type::Numeric { scale: Some(4) }
        );
        assert_eq!(
            numeric((5 << 16 | 0x7FE) + 4),
            Type::Numeric { scale: Some(-2) }
        );
    }
}
