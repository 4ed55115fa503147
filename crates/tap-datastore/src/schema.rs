//! Tables as streams: data types to JSON schema, and what the catalog says of each column.

use serde_json::{Value, json};
use singer_core::catalog::Entry;

use crate::config::Config;
use crate::model::{ColumnInfo, TableInfo};
use crate::value::Kind;

/// The key of every table.
pub(crate) const ROWID: &str = "ROWID";
/// When a row was changed last: the only replication key there is.
pub(crate) const MODIFIEDTIME: &str = "MODIFIEDTIME";
/// When a row came into being.
pub(crate) const CREATEDTIME: &str = "CREATEDTIME";
/// When a row was found to be gone; a property of ours.
pub(crate) const DELETED_AT: &str = "_sdc_deleted_at";

/// What every table has, whether the service lists it or not.
const SYSTEM_COLUMNS: [(&str, &str); 4] = [
    (ROWID, "bigint"),
    ("CREATORID", "bigint"),
    (CREATEDTIME, "datetime"),
    (MODIFIEDTIME, "datetime"),
];

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its id.
    pub(crate) id: String,
    /// Its name, which is the stream's.
    pub(crate) name: String,
    /// Its columns, in the service's order.
    pub(crate) columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// The service's word for its type.
    pub(crate) data_type: String,
    /// What it holds.
    pub(crate) kind: Kind,
    max_length: Option<u64>,
    is_mandatory: bool,
    is_unique: bool,
}

impl Table {
    /// A table of these columns, and of those that every table has.
    pub(crate) fn new(info: TableInfo, columns: Vec<ColumnInfo>) -> Self {
        let mut columns: Vec<Column> = columns.into_iter().map(Column::new).collect();
        let missing = SYSTEM_COLUMNS
            .iter()
            .filter(|(name, _)| columns.iter().all(|column| column.name != *name))
            .map(|(name, data_type)| Column {
                name: (*name).to_owned(),
                data_type: (*data_type).to_owned(),
                kind: kind_of(data_type).unwrap_or(Kind::Text),
                max_length: None,
                is_mandatory: false,
                is_unique: false,
            })
            .collect::<Vec<_>>();
        columns.splice(0..0, missing);
        Self {
            id: info.id,
            name: info.name,
            columns,
        }
    }

    /// A column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The stream as a catalog shows it.
    pub(crate) fn entry(&self, config: &Config) -> Entry {
        let mut entry = Entry::new(&self.name, &self.name);
        entry.set("table_name", self.name.as_str());
        entry.set("database_name", config.project_id.as_str());
        entry.set_stream_metadata("selected-by-default", false);
        entry.set_stream_metadata("is-view", false);
        entry.set_stream_metadata("database-name", config.project_id.as_str());
        entry.set_stream_metadata("table-key-properties", json!([ROWID]));
        entry.set_stream_metadata("valid-replication-keys", json!([MODIFIEDTIME]));
        entry.set_stream_metadata("replication-key", MODIFIEDTIME);
        if config.is_about_single_rows() {
            entry.set_stream_metadata(
                "forced-replication-method",
                json!({"replication-method": "INCREMENTAL", "reason": "rows come one by one"}),
            );
        }
        for column in &self.columns {
            column.describe(&mut entry, &self.name);
        }
        if config.emits_deletions() && self.column(DELETED_AT).is_none() {
            entry.set_property(
                DELETED_AT,
                json!({"type": ["null", "string"], "format": "date-time"}),
            );
            entry.set_field_metadata(DELETED_AT, "inclusion", "automatic");
        }
        entry
    }
}

impl Column {
    fn new(info: ColumnInfo) -> Self {
        let known = kind_of(&info.data_type);
        Self {
            kind: known.unwrap_or(Kind::Text),
            max_length: info
                .max_length
                .and_then(|length| length.parse().ok())
                .filter(|length| *length > 0),
            name: info.name,
            data_type: info.data_type,
            is_mandatory: info.is_mandatory,
            is_unique: info.is_unique,
        }
    }

    fn describe(&self, entry: &mut Entry, table: &str) {
        self.warn(table);
        entry.set_property(&self.name, self.schema());
        let is_needed = self.name == ROWID || self.name == MODIFIEDTIME;
        let inclusion = if is_needed { "automatic" } else { "available" };
        entry.set_field_metadata(&self.name, "inclusion", inclusion);
        entry.set_field_metadata(&self.name, "selected-by-default", true);
        entry.set_field_metadata(&self.name, "sql-datatype", self.data_type.as_str());
        if self.is_mandatory {
            entry.set_field_metadata(&self.name, "datastore.mandatory", true);
        }
        if self.is_unique {
            entry.set_field_metadata(&self.name, "datastore.unique", true);
        }
    }

    fn warn(&self, table: &str) {
        if kind_of(&self.data_type).is_none() {
            tracing::warn!(
                stream = table,
                column = self.name,
                data_type = self.data_type,
                "read as text: a type that this tap does not know"
            );
        } else if is_encrypted(&self.data_type) {
            tracing::warn!(
                stream = table,
                column = self.name,
                "encrypted at the source, and read as the text that the service decrypts; deselect it if it is not for the destination"
            );
        }
    }

    fn schema(&self) -> Value {
        let null_or = |kind: &str| {
            if self.name == ROWID {
                json!([kind])
            } else {
                json!(["null", kind])
            }
        };
        match self.kind {
            Kind::Integer => json!({"type": null_or("integer")}),
            Kind::Number => json!({"type": null_or("number")}),
            Kind::Boolean => json!({"type": null_or("boolean")}),
            Kind::Date => json!({"type": null_or("string"), "format": "date"}),
            Kind::DateTime => json!({"type": null_or("string"), "format": "date-time"}),
            Kind::Text => {
                let mut schema = json!({"type": null_or("string")});
                let most = match word(&self.data_type).as_str() {
                    "varchar" => self.max_length,
                    // What the service sets for texts, where the column says nothing.
                    "text" | "encryptedtext" => Some(self.max_length.unwrap_or(10_000)),
                    _ => None,
                };
                if let Some(most) = most {
                    schema["maxLength"] = json!(most);
                }
                schema
            }
        }
    }
}

/// The id of a row as a JSON number spells it; nothing for a text that is no id.
pub(crate) fn rowid_of(text: &str) -> Option<String> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id: i64 = text.parse().ok().filter(|_| is_digits)?;
    Some(id.to_string())
}

/// A type in small letters without blanks: `Foreign Key` and `foreignkey` are one.
fn word(data_type: &str) -> String {
    let letters = data_type.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn is_encrypted(data_type: &str) -> bool {
    word(data_type).starts_with("encrypted")
}

/// What a column of this type holds; nothing for a type that is not known.
fn kind_of(data_type: &str) -> Option<Kind> {
    Some(match word(data_type).as_str() {
        "text" | "varchar" | "encryptedtext" => Kind::Text,
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "int" | "integer" | "bigint" | "foreignkey" => Kind::Integer,
        "double" | "decimal" => Kind::Number,
        "boolean" => Kind::Boolean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Value) -> Table {
        let info = TableInfo {
            id: "4000000093001".to_owned(),
            name: "Trips".to_owned(),
        };
        Table::new(info, serde_json::from_str(&columns.to_string()).unwrap())
    }

    fn schema_of(data_type: &str, length: Value) -> Value {
        let columns = json!([{"column_name": "c", "data_type": data_type, "max_length": length}]);
        table(columns).column("c").unwrap().schema()
    }

    #[test]
    fn types_become_json_schemas() {
        for (data_type, length, wanted) in [
            (
                "varchar",
                json!("100"),
                json!({"type": ["null", "string"], "maxLength": 100}),
            ),
            (
                "text",
                json!(null),
                json!({"type": ["null", "string"], "maxLength": 10_000}),
            ),
            (
                "encrypted text",
                json!(500),
                json!({"type": ["null", "string"], "maxLength": 500}),
            ),
            ("bigint", json!("50"), json!({"type": ["null", "integer"]})),
            (
                "foreign key",
                json!(50),
                json!({"type": ["null", "integer"]}),
            ),
            (
                "foreignkey",
                json!(50),
                json!({"type": ["null", "integer"]}),
            ),
            ("double", json!(17), json!({"type": ["null", "number"]})),
            ("boolean", json!(null), json!({"type": ["null", "boolean"]})),
            (
                "date",
                json!(null),
                json!({"type": ["null", "string"], "format": "date"}),
            ),
            (
                "datetime",
                json!(null),
                json!({"type": ["null", "string"], "format": "date-time"}),
            ),
            ("hologram", json!(9), json!({"type": ["null", "string"]})),
        ] {
            assert_eq!(schema_of(data_type, length), wanted, "{data_type}");
        }
    }

    #[test]
    fn an_id_is_what_a_json_number_can_be() {
        assert_eq!(rowid_of("0070").as_deref(), Some("70"));
        assert_eq!(
            rowid_of("9223372036854775807").as_deref(),
            Some("9223372036854775807")
        );
        for text in ["", "+7", "-7", "7 ", "9223372036854775808", "7e1"] {
            assert_eq!(rowid_of(text), None, "{text}");
        }
    }

    #[test]
    fn every_table_has_the_system_columns_once() {
        let listed = json!([
            {"column_name": "ROWID", "data_type": "bigint"},
            {"column_name": "Driver", "data_type": "varchar", "is_mandatory": "true", "is_unique": true},
        ]);
        let table = table(listed);
        let names: Vec<&str> = table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "CREATORID",
                "CREATEDTIME",
                "MODIFIEDTIME",
                "ROWID",
                "Driver"
            ]
        );
        assert_eq!(
            table.column(ROWID).unwrap().schema(),
            json!({"type": ["integer"]})
        );
    }
}
