//! Column types: what a database's type is called, what it becomes in a JSON schema, and whether
//! its values can be compared as a key. How the values are decoded is in the submodules: from the
//! binary COPY format and from text. Neither goes through a 64-bit float.

use serde_json::{Value, json};

pub(crate) use format::{BinaryFormat, DecimalFormat, Formats, SpecialValues};
pub(crate) use tally::Tally;

pub(crate) mod array;
pub(crate) mod binary;
mod catalog;
mod format;
mod numeric;
mod tally;
pub(crate) mod text;
mod times;

pub(crate) use catalog::CatalogType;

/// What a column holds, as far as the tap treats it differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    /// `boolean`
    Boolean,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `oid`: an unsigned 32-bit number.
    Oid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, with digits behind the point where they are declared.
    Numeric { scale: Option<i32> },
    /// `varchar`, `text`, enums: text as it is, with its declared length.
    Text { length: Option<u32> },
    /// `char(n)`: padded with blanks.
    Char { length: Option<u32> },
    /// `bytea` and `varbyte`.
    Bytes,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `timetz`
    TimeTz,
    /// `timestamp`: without a zone; which zone is meant is a setting.
    Timestamp,
    /// `timestamptz`
    TimestampTz,
    /// `uuid`
    Uuid,
    /// `json`, `super` and the nested types of external tables: JSON text.
    Json,
    /// `jsonb`: the same with a version byte in the binary format.
    Jsonb,
    /// `inet`: text, but its cast to text is not what the server prints.
    Inet,
    /// An array of these.
    Array(Box<Array>),
    /// Everything without a JSON form: the text that the server prints.
    Opaque,
}

/// An array type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Array {
    /// Type of the elements.
    pub(crate) element: Type,
    /// What stands between elements in the text form.
    pub(crate) delimiter: u8,
    /// How many dimensions were declared; the server does not enforce it.
    pub(crate) dimensions: u32,
}

/// How values of a type are compared, if they can be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Whole numbers.
    Integer,
    /// Decimals.
    Decimal,
    /// Days.
    Date,
    /// Times without a zone.
    Timestamp,
    /// Points in time.
    TimestampTz,
    /// Text in the order of the database.
    Text,
    /// UUIDs.
    Uuid,
}

impl Type {
    /// Whether the binary COPY format of this type can be decoded; other columns are cast to text
    /// by the server.
    pub(crate) fn has_binary_decoder(&self) -> bool {
        match self {
            Self::Opaque | Self::Inet => false,
            Self::Array(array) => array.element.has_binary_decoder(),
            _ => true,
        }
    }

    /// How values compare as a key: `None` if the tap cannot write their literals exactly.
    pub(crate) fn key_kind(&self) -> Option<KeyKind> {
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => Some(KeyKind::Integer),
            Self::Numeric { .. } => Some(KeyKind::Decimal),
            Self::Date => Some(KeyKind::Date),
            Self::Timestamp => Some(KeyKind::Timestamp),
            Self::TimestampTz => Some(KeyKind::TimestampTz),
            Self::Text { .. } | Self::Char { .. } => Some(KeyKind::Text),
            Self::Uuid => Some(KeyKind::Uuid),
            _ => None,
        }
    }

    /// Whether the column may be offered as a replication key.
    pub(crate) fn can_replicate(&self) -> bool {
        self.key_kind().is_some_and(|kind| kind != KeyKind::Uuid)
    }

    /// Whether values occur that JSON or RFC 3339 cannot express, such as `NaN` and `infinity`.
    fn has_special_values(&self) -> bool {
        match self {
            Self::Float4
            | Self::Float8
            | Self::Numeric { .. }
            | Self::Date
            | Self::Timestamp
            | Self::TimestampTz => true,
            Self::Array(array) => array.element.has_special_values(),
            _ => false,
        }
    }

    /// The JSON schema of a column.
    pub(crate) fn schema(&self, nullable: bool, formats: &Formats) -> Value {
        // A special value becomes null even where the column itself admits none.
        let specials_are_null = formats.special == SpecialValues::Null && self.has_special_values();
        self.schema_of(nullable || specials_are_null, formats)
    }

    fn schema_of(&self, nullable: bool, formats: &Formats) -> Value {
        let mut schema = self.plain_schema(formats);
        let is_text = schema["type"] == json!("string");
        let is_decimal = schema["format"] == json!("singer.decimal");
        if nullable && let Value::String(name) = &schema["type"] {
            schema["type"] = json!(["null", name]);
        } else if let Value::String(name) = &schema["type"] {
            schema["type"] = json!([name]);
        }
        if formats.special != SpecialValues::Text || !self.has_special_values() || is_decimal {
            return schema;
        }
        match self {
            Self::Array(_) => schema,
            _ if is_text => json!({"anyOf": [schema, {"type": ["null", "string"]}]}),
            _ => {
                if let Value::Array(types) = &mut schema["type"] {
                    types.push(json!("string"));
                }
                schema
            }
        }
    }

    /// The schema with a single type word, or several that include null already.
    fn plain_schema(&self, formats: &Formats) -> Value {
        match self {
            Self::Boolean => json!({"type": "boolean"}),
            Self::Int2 => json!({"type": "integer", "minimum": i16::MIN, "maximum": i16::MAX}),
            Self::Int4 => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
            Self::Int8 => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
            Self::Oid => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            Self::Float4 | Self::Float8 => json!({"type": "number"}),
            Self::Numeric { .. } if formats.decimal == DecimalFormat::String => {
                json!({"type": "string", "format": "singer.decimal"})
            }
            Self::Numeric { scale } => match scale.and_then(step_of) {
                Some(step) => json!({"type": "number", "multipleOf": step}),
                None => json!({"type": "number"}),
            },
            Self::Text {
                length: Some(length),
            }
            | Self::Char {
                length: Some(length),
            } => {
                json!({"type": "string", "maxLength": length})
            }
            Self::Bytes => json!({"type": "string", "contentEncoding": formats.binary.encoding()}),
            Self::Date => json!({"type": "string", "format": "date"}),
            Self::Time => json!({"type": "string", "format": "time"}),
            Self::Timestamp | Self::TimestampTz => json!({"type": "string", "format": "date-time"}),
            Self::Uuid => json!({"type": "string", "format": "uuid"}),
            Self::Json | Self::Jsonb => json!({
                "type": ["null", "object", "array", "string", "number", "integer", "boolean"]
            }),
            Self::Array(array) => {
                let mut items = array.element.schema_of(true, formats);
                for _ in 1..array.dimensions {
                    items = json!({"type": ["null", "array"], "items": items});
                }
                json!({"type": "array", "items": items})
            }
            Self::Text { length: None }
            | Self::Char { length: None }
            | Self::TimeTz
            | Self::Inet
            | Self::Opaque => json!({"type": "string"}),
        }
    }
}

/// `multipleOf` for a number of digits behind the point: 0.01 for 2. Written from its text, so
/// that the schema shows the shortest number.
fn step_of(scale: i32) -> Option<Value> {
    match scale {
        -300..=-1 => {
            serde_json::from_str(&format!("1{}", "0".repeat(scale.unsigned_abs() as usize))).ok()
        }
        0 => Some(json!(1)),
        1..=300 => serde_json::from_str(&format!("1e-{scale}")).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(column: &Type, nullable: bool, formats: &Formats) -> String {
        column.schema(nullable, formats).to_string()
    }

    #[test]
    fn schemas_say_what_the_records_hold() {
        let formats = Formats::default();
        assert_eq!(
            schema(&Type::Int2, true, &formats),
            r#"{"type":["null","integer"],"minimum":-32768,"maximum":32767}"#
        );
        assert_eq!(
            schema(&Type::Boolean, false, &formats),
            r#"{"type":["boolean"]}"#
        );
        assert_eq!(
            schema(&Type::Numeric { scale: Some(4) }, true, &formats),
            r#"{"type":["null","number"],"multipleOf":0.0001}"#
        );
        let matrix = Type::Array(Box::new(Array {
            element: Type::Date,
            delimiter: b',',
            dimensions: 2,
        }));
        assert_eq!(
            schema(&matrix, true, &formats),
            r#"{"type":["null","array"],"items":{"type":["null","array"],"items":{"type":["null","string"],"format":"date"}}}"#
        );
    }

    #[test]
    fn a_column_with_special_values_admits_what_they_become() {
        let mut formats = Formats::default();
        assert_eq!(
            schema(&Type::Float8, false, &formats),
            r#"{"type":["null","number"]}"#
        );
        formats.special = SpecialValues::Text;
        assert_eq!(
            schema(&Type::Float8, false, &formats),
            r#"{"type":["number","string"]}"#
        );
        assert_eq!(
            schema(&Type::Date, false, &formats),
            r#"{"anyOf":[{"type":["string"],"format":"date"},{"type":["null","string"]}]}"#
        );
        formats.decimal = DecimalFormat::String;
        assert_eq!(
            schema(&Type::Numeric { scale: Some(2) }, true, &formats),
            r#"{"type":["null","string"],"format":"singer.decimal"}"#
        );
    }
}
