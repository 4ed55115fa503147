//! Columns: their types, and what a value has to be to get into one. Facts: sections 2.3 and 3.

use serde_json::{Value, json};

use super::answer::ApiError;
use super::zone::read_local_ms;

/// The longest value of `text` and `encrypted text`.
const LONGEST_TEXT: usize = 10_000;

/// The most characters of a `varchar`.
const LONGEST_VARCHAR: usize = 255;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Text,
    Varchar,
    Date,
    DateTime,
    Int,
    BigInt,
    Double,
    Decimal,
    Boolean,
    ForeignKey,
    EncryptedText,
}

/// What a deleted parent leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDelete {
    Null,
    Cascade,
}

/// One column that people made.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) max_length: usize,
    pub(super) is_mandatory: bool,
    pub(super) is_unique: bool,
    pub(super) is_indexed: bool,
    pub(super) default: Option<String>,
    /// The parent of a foreign key.
    pub(super) parent: Option<(String, OnDelete)>,
}

/// The columns that every table has, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    RowId,
    CreatorId,
    CreatedTime,
    ModifiedTime,
}

impl System {
    pub(super) const ALL: [System; 4] = [
        System::RowId,
        System::CreatorId,
        System::CreatedTime,
        System::ModifiedTime,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            System::RowId => "ROWID",
            System::CreatorId => "CREATORID",
            System::CreatedTime => "CREATEDTIME",
            System::ModifiedTime => "MODIFIEDTIME",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<System> {
        System::ALL.into_iter().find(|system| system.name() == name)
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            System::RowId | System::CreatorId => DataType::BigInt,
            System::CreatedTime | System::ModifiedTime => DataType::DateTime,
        }
    }
}

impl DataType {
    const ALL: [DataType; 11] = [
        DataType::Text,
        DataType::Varchar,
        DataType::Date,
        DataType::DateTime,
        DataType::Int,
        DataType::BigInt,
        DataType::Double,
        DataType::Decimal,
        DataType::Boolean,
        DataType::ForeignKey,
        DataType::EncryptedText,
    ];

    /// As the API writes it, which may have a blank.
    pub(super) fn name(self) -> &'static str {
        match self {
            DataType::Text => "text",
            DataType::Varchar => "varchar",
            DataType::Date => "date",
            DataType::DateTime => "datetime",
            DataType::Int => "int",
            DataType::BigInt => "bigint",
            DataType::Double => "double",
            DataType::Decimal => "decimal",
            DataType::Boolean => "boolean",
            DataType::ForeignKey => "foreign key",
            DataType::EncryptedText => "encrypted text",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<DataType> {
        DataType::ALL
            .into_iter()
            .find(|data_type| data_type.name() == name)
    }

    /// The longest value, as the column's description has it.
    fn usual_length(self) -> usize {
        match self {
            DataType::Text | DataType::EncryptedText => LONGEST_TEXT,
            DataType::Varchar => LONGEST_VARCHAR,
            DataType::Int => 10,
            DataType::Double | DataType::Decimal => 17,
            DataType::Boolean => 5,
            DataType::Date | DataType::DateTime | DataType::BigInt | DataType::ForeignKey => 50,
        }
    }
}

impl Column {
    pub(super) fn new(name: &str, data_type: DataType) -> Column {
        Column {
            id: 0,
            name: name.to_owned(),
            data_type,
            max_length: data_type.usual_length(),
            is_mandatory: false,
            is_unique: false,
            is_indexed: false,
            default: None,
            parent: None,
        }
    }

    /// A column from the description that the API answers for one.
    pub(super) fn from_json(described: &Value) -> anyhow::Result<Column> {
        let name = described["column_name"].as_str().unwrap_or_default();
        let type_name = described["data_type"].as_str().unwrap_or("varchar");
        let data_type = DataType::from_name(type_name);
        let data_type =
            data_type.ok_or_else(|| anyhow::anyhow!("`{type_name}` is no data type"))?;
        anyhow::ensure!(!name.is_empty(), "a column has no `column_name`");
        let mut column = Column::new(name, data_type);
        if let Some(length) = number(&described["max_length"]) {
            column.max_length = length;
        }
        let flag = |key: &str| described[key].as_bool().unwrap_or(false);
        column.is_mandatory = flag("is_mandatory");
        column.is_unique = flag("is_unique");
        column.is_indexed = flag("search_index_enabled");
        column.default = described["default_value"].as_str().map(str::to_owned);
        if let Some(parent) = described["parent_table"].as_str() {
            let is_cascade = described["constraint_type"].as_str() == Some("ON-DELETE-CASCADE");
            let on_delete = if is_cascade {
                OnDelete::Cascade
            } else {
                OnDelete::Null
            };
            column.parent = Some((parent.to_owned(), on_delete));
        }
        Ok(column)
    }

    /// The text that is kept of a value, which is nothing for null; the refusal says what is wrong.
    pub(super) fn accept(&self, value: &Value) -> Result<Option<String>, ApiError> {
        let text = match value {
            Value::Null => return Ok(None),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Err(self.mismatch()),
        };
        let accepted = match self.data_type {
            DataType::Text | DataType::EncryptedText | DataType::Varchar => {
                let text = without_wide_characters(&text);
                if text.chars().count() > self.max_length {
                    return Err(ApiError::invalid(format!(
                        "Invalid input value for {}. The length is greater than {}",
                        self.name, self.max_length
                    )));
                }
                Some(text)
            }
            // An empty text is no value of the other types.
            _ if text.is_empty() => return Ok(None),
            DataType::Date => is_date(&text).then_some(text),
            DataType::DateTime => read_local_ms(&text).and_then(|ms| {
                let time = chrono::DateTime::from_timestamp_millis(ms)?;
                Some(time.format("%Y-%m-%d %H:%M:%S").to_string())
            }),
            DataType::Int => {
                let digits = text.trim_start_matches('-').len();
                (digits <= self.max_length)
                    .then_some(text)
                    .filter(|text| is_integer(text))
            }
            DataType::BigInt | DataType::ForeignKey => Some(text).filter(|text| is_integer(text)),
            DataType::Double | DataType::Decimal => Some(text).filter(|text| is_number(text)),
            DataType::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some("true".to_owned()),
                "false" | "0" => Some("false".to_owned()),
                _ => None,
            },
        };
        accepted.map(Some).ok_or_else(|| self.mismatch())
    }

    fn mismatch(&self) -> ApiError {
        ApiError::invalid(format!(
            "Invalid input value for column name {}. {} value expected",
            self.name,
            self.data_type.name()
        ))
    }

    /// The description of `GET /table/{t}/column`. `id` writes an id in the form that was asked for.
    pub(super) fn describe(
        &self,
        table_id: i64,
        sequence: usize,
        id: impl Fn(i64) -> Value,
    ) -> Value {
        let mut described = json!({
            "table_id": id(table_id), "column_sequence": sequence.to_string(),
            "column_id": id(self.id), "column_name": self.name, "category": 2,
            "data_type": self.data_type.name(), "max_length": self.max_length.to_string(),
            "is_mandatory": self.is_mandatory,
        });
        if let Some(default) = &self.default {
            described["default_value"] = json!(default);
        }
        described["decimal_digits"] = json!("2");
        described["is_unique"] = json!(self.is_unique);
        described["search_index_enabled"] = json!(self.is_indexed);
        described["audit_consent"] = json!(false);
        if let Some((parent, on_delete)) = &self.parent {
            described["parent_table"] = json!(parent);
            described["parent_column"] = json!("ROWID");
            described["constraint_type"] = json!(match on_delete {
                OnDelete::Null => "ON-DELETE-SET-NULL",
                OnDelete::Cascade => "ON-DELETE-CASCADE",
            });
        }
        described
    }
}

impl System {
    /// The description of `GET /table/{t}/column`.
    pub(super) fn describe(self, table_id: i64, id: impl Fn(i64) -> Value) -> Value {
        let place = self as i64;
        json!({
            "table_id": id(table_id), "column_sequence": (place + 1).to_string(),
            "column_id": id(self.column_id(table_id)), "column_name": self.name(),
            "category": 1, "data_type": self.data_type().name(), "max_length": "50",
            "is_mandatory": false, "decimal_digits": "2", "is_unique": self == System::RowId,
            "search_index_enabled": false,
        })
    }

    /// The ids of the system columns follow that of their table.
    pub(super) fn column_id(self, table_id: i64) -> i64 {
        table_id + 1 + self as i64
    }
}

/// A number that may be a text.
fn number(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => usize::try_from(other.as_u64()?).ok(),
    }
}

/// The service cannot keep characters beyond the basic plane.
fn without_wide_characters(text: &str) -> String {
    text.chars()
        .map(|character| {
            if u32::from(character) > 0xffff {
                '?'
            } else {
                character
            }
        })
        .collect()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok() && !text.starts_with('+')
}

/// What is a number in JSON is one here.
fn is_number(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Number(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(data_type: DataType, value: Value) -> Result<Option<String>, ApiError> {
        Column::new("c", data_type).accept(&value)
    }

    #[test]
    fn a_value_has_to_fit_its_column() {
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            accept(DataType::BigInt, json!(9_007_199_254_740_993_i64)),
            text("9007199254740993")
        );
        assert_eq!(accept(DataType::Int, json!("-12")), text("-12"));
        assert!(accept(DataType::Int, json!("12345678901")).is_err());
        assert_eq!(accept(DataType::Double, json!("1.50")), text("1.50"));
        assert!(accept(DataType::Double, json!("1,5")).is_err());
        assert_eq!(accept(DataType::Boolean, json!("TRUE")), text("true"));
        assert!(accept(DataType::Date, json!("2025-02-30")).is_err());
        assert_eq!(
            accept(DataType::DateTime, json!("2025-02-03 04:05:06")),
            text("2025-02-03 04:05:06")
        );
        assert_eq!(accept(DataType::Date, json!("")), Ok(None));
        assert_eq!(accept(DataType::Varchar, json!("")), text(""));
        assert_eq!(accept(DataType::Text, json!("a🚚b")), text("a?b"));
        assert!(accept(DataType::Varchar, json!("x".repeat(256))).is_err());
        assert_eq!(accept(DataType::Text, Value::Null), Ok(None));
    }

    #[test]
    fn a_description_can_be_read_back() {
        let mut column = Column::new("Truck", DataType::ForeignKey);
        column.parent = Some(("Trucks".to_owned(), OnDelete::Cascade));
        column.is_mandatory = true;
        let described = column.describe(1, 5, |id| json!(id));
        assert_eq!(described["data_type"], "foreign key");
        let again = Column::from_json(&described).unwrap();
        assert_eq!(
            again.describe(1, 5, |id| json!(id))["constraint_type"],
            "ON-DELETE-CASCADE"
        );
        assert!(again.is_mandatory);
    }
}
