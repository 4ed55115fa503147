//! What goes over the wire as JSON: fields of a schema, tables, jobs, errors.
//!
//! Shapes are those of the REST reference (datasets, tables, jobs); 64-bit numbers are strings there.

use serde::{Deserialize, Serialize};

/// A column of a table, or a field of a RECORD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Its name; names are compared without case.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it may be null, or holds many.
    #[serde(default)]
    pub mode: Mode,
    /// The fields of a RECORD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Digits in all, of NUMERIC and BIGNUMERIC with a precision of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Digits after the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// Characters of a STRING, bytes of a BYTES, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<String>,
    /// Words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What a table carries besides: kept, so that a patch of the whole schema loses nothing.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Field {
    /// A nullable field.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: Mode::Nullable,
            fields: Vec::new(),
            precision: None,
            scale: None,
            max_length: None,
            description: None,
            other: serde_json::Map::new(),
        }
    }

    /// The same field in this mode.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kind {
    /// Text.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// 64 bits, signed.
    Integer,
    /// A double.
    Float,
    /// 38 digits, 9 of them after the point.
    Numeric,
    /// About 76 digits, 38 of them after the point.
    BigNumeric,
    /// True or false.
    Boolean,
    /// An instant, in microseconds.
    Timestamp,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// A civil date and time.
    DateTime,
    /// Any JSON.
    Json,
    /// Fields of its own.
    Record,
    /// A type that no JSON schema leads to (`GEOGRAPHY`, `INTERVAL`, `RANGE`).
    Other(String),
}

impl From<String> for Kind {
    fn from(text: String) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "STRING" => Self::String,
            "BYTES" => Self::Bytes,
            "INTEGER" | "INT64" => Self::Integer,
            "FLOAT" | "FLOAT64" => Self::Float,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "BIGNUMERIC" | "BIGDECIMAL" => Self::BigNumeric,
            "BOOLEAN" | "BOOL" => Self::Boolean,
            "TIMESTAMP" => Self::Timestamp,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" => Self::DateTime,
            "JSON" => Self::Json,
            "RECORD" | "STRUCT" => Self::Record,
            _ => Self::Other(text),
        }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.word().to_owned()
    }
}

impl Kind {
    /// The name that REST uses.
    pub fn word(&self) -> &str {
        match self {
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Integer => "INTEGER",
            Self::Float => "FLOAT",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Json => "JSON",
            Self::Record => "RECORD",
            Self::Other(word) => word,
        }
    }

    /// The name that SQL uses; a RECORD needs its fields beside it.
    pub fn sql(&self) -> &str {
        match self {
            Self::Integer => "INT64",
            Self::Float => "FLOAT64",
            Self::Boolean => "BOOL",
            Self::Record => "STRUCT",
            other => other.word(),
        }
    }
}

/// Whether a field may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// It may.
    #[default]
    Nullable,
    /// It may not.
    Required,
    /// It holds any number of values, none of them null.
    Repeated,
}
