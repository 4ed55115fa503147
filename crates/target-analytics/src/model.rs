//! What goes over the wire: types of columns, columns of a table, what became of an import.

use std::fmt;

use serde_json::{Value, json};

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// Text of one line.
    Plain,
    /// Long text.
    MultiLine,
    /// An e-mail address.
    Email,
    /// A URL.
    Url,
    /// An integer of 64 bits.
    Number,
    /// The same, not negative.
    PositiveNumber,
    /// A decimal.
    Decimal,
    /// A decimal with a currency.
    Currency,
    /// A decimal with a percent sign.
    Percent,
    /// Counted up by the service; nobody else writes it.
    AutoNumber,
    /// Yes or no.
    Boolean,
    /// A date with a time.
    DateTime,
    /// A date alone.
    Date,
    /// A time of day.
    Time,
    /// A length of time.
    Duration,
    /// A place by name.
    Geo,
    /// A place by number.
    GeoNumber,
    /// One that this release does not know.
    Other(String),
}

impl DataType {
    /// The names of those that can be written.
    pub const WORDS: [&'static str; 16] = [
        "PLAIN",
        "MULTI_LINE",
        "EMAIL",
        "URL",
        "NUMBER",
        "POSITIVE_NUMBER",
        "DECIMAL_NUMBER",
        "CURRENCY",
        "PERCENT",
        "BOOLEAN",
        "DATE",
        "DATE_AS_DATE",
        "TIME",
        "DURATION",
        "GEO",
        "GEO_NUM",
    ];

    /// The type with this name, in any of its spellings.
    pub fn of(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "PLAIN" => Self::Plain,
            "MULTI_LINE" | "MULTILINE" => Self::MultiLine,
            "EMAIL" => Self::Email,
            "URL" => Self::Url,
            "NUMBER" => Self::Number,
            "POSITIVE_NUMBER" => Self::PositiveNumber,
            "DECIMAL_NUMBER" => Self::Decimal,
            "CURRENCY" => Self::Currency,
            "PERCENT" | "PERCENTAGE" => Self::Percent,
            "AUTO_NUMBER" | "AUTONUMBER" => Self::AutoNumber,
            "BOOLEAN" => Self::Boolean,
            "DATE" => Self::DateTime,
            "DATE_AS_DATE" => Self::Date,
            "TIME" => Self::Time,
            "DURATION" => Self::Duration,
            "GEO" => Self::Geo,
            "GEO_NUM" => Self::GeoNumber,
            _ => Self::Other(word.to_owned()),
        }
    }

    /// Its name in requests.
    pub fn word(&self) -> &str {
        match self {
            Self::Plain => "PLAIN",
            Self::MultiLine => "MULTI_LINE",
            Self::Email => "EMAIL",
            Self::Url => "URL",
            Self::Number => "NUMBER",
            Self::PositiveNumber => "POSITIVE_NUMBER",
            Self::Decimal => "DECIMAL_NUMBER",
            Self::Currency => "CURRENCY",
            Self::Percent => "PERCENT",
            Self::AutoNumber => "AUTO_NUMBER",
            Self::Boolean => "BOOLEAN",
            Self::DateTime => "DATE",
            Self::Date => "DATE_AS_DATE",
            Self::Time => "TIME",
            Self::Duration => "DURATION",
            Self::Geo => "GEO",
            Self::GeoNumber => "GEO_NUM",
            Self::Other(word) => word,
        }
    }

    /// Whether it holds any text.
    pub fn is_text(&self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::MultiLine
                | Self::Email
                | Self::Url
                | Self::Duration
                | Self::Geo
                | Self::Other(_)
        )
    }

    /// Whether it holds decimals.
    pub fn is_decimal(&self) -> bool {
        matches!(
            self,
            Self::Decimal | Self::Currency | Self::Percent | Self::GeoNumber
        )
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A column that a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
    /// Whether a cell may be empty.
    pub nullable: bool,
    /// Whether a new row gets a value by itself.
    pub has_default: bool,
    /// Whether it is computed.
    pub computed: bool,
}

impl Column {
    /// Reads one column of a table's metadata.
    pub fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        Some(Self {
            name: value.get("columnName")?.as_str()?.to_owned(),
            kind: DataType::of(text("dataType")),
            nullable: value.get("isNullable").is_none_or(|it| is_true(it, true)),
            has_default: !text("defaultValue").is_empty(),
            computed: !text("formulaDisplayName").is_empty(),
        })
    }

    /// Whether anybody but the service writes it.
    pub fn is_writable(&self) -> bool {
        !self.computed && self.kind != DataType::AutoNumber
    }
}

/// A boolean, which may come as a text.
fn is_true(value: &Value, default: bool) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => default,
    }
}

/// An id or a code, which may come as a number.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A count, which may come as a text.
pub fn count_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A column that a new table gets, or a table in addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
    /// Whether it is of the key.
    pub mandatory: bool,
}

impl NewColumn {
    /// As the design of a new table has it.
    pub fn design(&self) -> Value {
        let mut design = json!({"COLUMNNAME": self.name, "DATATYPE": self.kind.word()});
        if self.mandatory {
            design["MANDATORY"] = json!("Yes");
        }
        design
    }

    /// As a call that adds columns has it.
    pub fn addition(&self) -> Value {
        json!({"columnName": self.name, "dataType": self.kind.word()})
    }
}

/// What an import counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the files.
    pub total: u64,
    /// Rows that were taken.
    pub success: u64,
    /// Cells that were not.
    pub warnings: u64,
    /// What the service says of rows at fault, as it says it; holds values.
    pub errors: String,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// It waits or runs, with the service's word for it.
    Running(String),
    /// It is done.
    Done(Summary),
    /// It failed; the words hold values.
    Failed {
        /// The service's code.
        code: String,
        /// What it says.
        errors: String,
    },
    /// Nobody knows it: it never was, or it ended more than an hour ago.
    Lost,
}

impl Job {
    /// Reads the state of a job; `None` if it says nothing that is known.
    pub fn of(body: &Value) -> Option<Self> {
        let data = body.get("data")?;
        let status = data.get("jobStatus").and_then(Value::as_str);
        let info = data.get("jobInfo").unwrap_or(&Value::Null);
        let errors = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default();
        Some(match text_of(data.get("jobCode")?)?.as_str() {
            "1001" | "1002" => Self::Running(status.unwrap_or("running").to_owned()),
            "1003" => Self::Failed {
                code: info.get("errorCode").and_then(text_of).unwrap_or_default(),
                errors: errors("errorMessage").to_owned(),
            },
            "1004" => {
                let summary = info.get("importSummary")?;
                let count = |key: &str| summary.get(key).and_then(count_of);
                let total = count("totalRowCount")?;
                Self::Done(Summary {
                    total,
                    success: count("successRowCount")?,
                    warnings: count("warnings").unwrap_or_default(),
                    errors: errors("importErrors").to_owned(),
                })
            }
            "1005" => Self::Lost,
            _ => return None,
        })
    }
}

/// What a table says of its last import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastImport {
    /// When it was, in milliseconds since 1970.
    pub at: i64,
    /// Whether it is said to have gone well.
    pub succeeded: bool,
    /// What it counted.
    pub summary: Summary,
}

impl LastImport {
    /// Reads the details; `None` if there was no import yet.
    pub fn of(body: &Value) -> Option<Self> {
        let data = body.get("data")?;
        let rows = data.get("rows")?;
        let count = |key: &str| rows.get(key).and_then(count_of);
        let at = text_of(data.get("lastImportTime")?)?.parse().ok()?;
        let status = data.get("lastImportStatus").and_then(Value::as_str);
        Some(Self {
            at,
            succeeded: status.is_some_and(|word| word.eq_ignore_ascii_case("success")),
            summary: Summary {
                total: count("total")?,
                success: count("success")?,
                warnings: count("warning").unwrap_or_default(),
                errors: data
                    .get("importErrors")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_in_every_spelling() {
        for word in DataType::WORDS {
            assert_eq!(DataType::of(word).word(), word);
        }
        assert_eq!(DataType::of("MULTILINE"), DataType::MultiLine);
        assert_eq!(DataType::of("percentage"), DataType::Percent);
        assert_eq!(DataType::of("X").word(), "X");
    }

    #[test]
    fn a_job_is_read_by_its_code_whatever_its_status_says() {
        let job = |data: Value| Job::of(&json!({"status": "success", "data": data}));
        assert_eq!(
            job(json!({"jobCode": 1001, "jobStatus": "JOB NOT INITIATED"})),
            Some(Job::Running("JOB NOT INITIATED".to_owned()))
        );
        assert_eq!(
            job(json!({"jobCode": "1003", "jobInfo": {"errorCode": 7232, "errorMessage": "x"}})),
            Some(Job::Failed {
                code: "7232".to_owned(),
                errors: "x".to_owned()
            })
        );
        let summary = json!({"totalRowCount": "5", "successRowCount": 4, "warnings": 1});
        assert_eq!(
            job(json!({"jobCode": "1004", "jobInfo": {"importSummary": summary}})),
            Some(Job::Done(Summary {
                total: 5,
                success: 4,
                warnings: 1,
                errors: String::new()
            }))
        );
        // Done, and not a word of what: nothing to believe.
        assert_eq!(job(json!({"jobCode": "1004"})), None);
        assert_eq!(job(json!({"jobCode": "1005"})), Some(Job::Lost));
        assert_eq!(job(json!({"jobCode": "9"})), None);
    }

    #[test]
    fn computed_and_counted_columns_are_not_written() {
        let column = |value: Value| Column::of(&value).unwrap();
        let plain = column(json!({"columnName": "a", "dataType": "NUMBER", "isNullable": "false"}));
        assert!(plain.is_writable() && !plain.nullable);
        let formula = json!({"columnName": "a", "dataType": "NUMBER", "formulaDisplayName": "b*2"});
        assert!(!column(formula).is_writable());
        assert!(!column(json!({"columnName": "a", "dataType": "AUTO_NUMBER"})).is_writable());
    }

    #[test]
    fn the_last_import_is_read_from_texts() {
        let body = json!({"data": {"lastImportTime": "1738540800000", "lastImportStatus": "Success",
            "rows": {"total": "200", "success": "199", "warning": "0", "failed": "1"}}});
        let last = LastImport::of(&body).unwrap();
        assert_eq!((last.at, last.succeeded), (1_738_540_800_000, true));
        assert_eq!((last.summary.total, last.summary.success), (200, 199));
        assert_eq!(LastImport::of(&json!({"data": {}})), None);
    }
}
