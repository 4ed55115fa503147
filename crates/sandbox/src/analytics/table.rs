//! Views and their columns, as they are kept.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Failure;
use super::datatype::DataType;
use super::prepare::Counts;
use super::rows::Rows;

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: DataType,
    pub(crate) is_mandatory: bool,
    pub(crate) default: String,
    pub(crate) description: String,
    pub(crate) is_hidden: bool,
    /// Table and column that its values come from.
    pub(crate) lookup: Option<(String, String)>,
}

/// A view; a table if its type says so.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) workspace: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) view_type: String,
    pub(crate) folder: (String, String),
    pub(crate) created_ms: u64,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Rows,
    pub(crate) last_import: Option<LastImport>,
    /// The code that changes of its rows are refused with.
    pub(crate) refusal: Option<u32>,
    /// The last number that was given out for AUTO_NUMBER.
    pub(crate) auto_number: u64,
    /// An import in one call is at work.
    pub(crate) is_importing: bool,
}

/// What became of the last import.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LastImport {
    /// When it was over, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether it did what it should.
    pub is_success: bool,
    /// Columns of the file.
    pub columns: usize,
    /// Columns of the file that the table has.
    pub known_columns: usize,
    /// Rows of the file.
    pub rows: usize,
    /// Rows that are in the table now.
    pub successful_rows: usize,
    /// Cells that were left empty.
    pub warnings: usize,
    /// What was wrong.
    pub errors: String,
}

impl LastImport {
    pub(crate) fn new(counts: &Counts, failure: Option<&Failure>, now_ms: u64) -> LastImport {
        LastImport {
            at_ms: now_ms,
            is_success: failure.is_none(),
            columns: counts.total_columns,
            known_columns: counts.selected_columns,
            rows: counts.total_rows,
            successful_rows: match failure {
                Some(_) => 0,
                None => counts.successful_rows,
            },
            warnings: counts.warnings,
            errors: match failure {
                Some(failure) => failure.message.clone(),
                None => counts.errors.clone(),
            },
        }
    }
}

impl View {
    pub(crate) fn is_table(&self) -> bool {
        self.view_type == "Table"
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// A row as an object of texts; an empty cell is null.
    pub(crate) fn row_to_json(&self, row: usize) -> Value {
        let mut cells = self.rows.cells(row);
        let mut object = serde_json::Map::new();
        for column in &self.columns {
            let cell = cells.next().unwrap_or_default();
            let value = if cell.is_empty() {
                Value::Null
            } else {
                Value::from(String::from_utf8_lossy(cell).into_owned())
            };
            object.insert(column.name.clone(), value);
        }
        Value::Object(object)
    }

    /// The view as lists show it.
    pub(crate) fn to_json(&self, creator: &str) -> Value {
        json!({"viewId": self.id, "viewName": self.name, "viewDesc": self.description,
            "viewType": self.view_type, "folderId": self.folder.0, "folderName": self.folder.1,
            "createdBy": creator, "createdTime": self.created_ms.to_string()})
    }

    /// The next number of an AUTO_NUMBER column.
    pub(crate) fn next_auto_number(&mut self) -> String {
        self.auto_number += 1;
        self.auto_number.to_string()
    }
}

impl Column {
    /// The column as metadata shows it, at its place from 1.
    pub(crate) fn to_json(&self, place: usize) -> Value {
        let size = match self.kind {
            DataType::Plain => 100,
            DataType::MultiLine => 65_535,
            _ => 19,
        };
        let (table, column) = self.lookup.clone().unwrap_or_default();
        let mut shown = json!({"columnId": self.id, "columnName": self.name,
            "dataType": self.kind.name(), "dataTypeId": self.kind.id().to_string(),
            "dataTypeName": self.kind.shown(), "columnIndex": place,
            "columnDesc": self.description, "columnMaxSize": size,
            "isNullable": !self.is_mandatory, "defaultValue": self.default,
            "pkTableName": table, "pkColumnName": column, "formulaDisplayName": "",
            "isHidden": self.is_hidden, "sortedOrder": -1, "sortedIndex": -1});
        if self.kind.is_temporal() {
            let format = match self.kind {
                DataType::Date => "dd MMM, yyyy HH:mm:ss",
                _ => "dd MMM, yyyy",
            };
            shown["dateFormat"] = Value::from(format);
        }
        shown
    }
}
