//! Rows as JSON and as CSV, in the forms that a request and the settings ask for. Facts: section 3.

use serde_json::{Value, json};

use super::column::{DataType, System};
use super::options::Written;
use super::table::{Place, Row, Table};
use super::zone::Zone;
use crate::text::{push_cell, push_text};

/// How values are written in JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) zone: Zone,
    /// The v2 media types show ids as strings.
    pub(super) ids: Written,
    pub(super) numbers: Written,
    pub(super) booleans: Written,
}

impl Style {
    /// An id by itself.
    pub(super) fn id(&self, id: i64) -> Value {
        match self.ids {
            Written::Json => json!(id),
            Written::Text => json!(id.to_string()),
        }
    }

    /// Writes a row as a JSON object with the named columns.
    pub(super) fn object(&self, out: &mut String, table: &Table, row: &Row, places: &[Place]) {
        let cells: Vec<Option<&str>> = row.cells().collect();
        out.push('{');
        for (count, place) in places.iter().enumerate() {
            if count > 0 {
                out.push(',');
            }
            push_text(out, table.name_of(*place));
            out.push(':');
            self.value(out, table, row, &cells, *place);
        }
        out.push('}');
    }

    /// A row as a JSON object with all columns.
    pub(super) fn whole(&self, table: &Table, row: &Row) -> String {
        let mut out = String::new();
        self.object(&mut out, table, row, &table.places());
        out
    }

    fn value(
        &self,
        out: &mut String,
        table: &Table,
        row: &Row,
        cells: &[Option<&str>],
        place: Place,
    ) {
        match place {
            Place::System(System::RowId) => self.number(out, &row.id.to_string(), self.ids),
            Place::System(System::CreatorId) => {
                self.number(out, &row.creator.to_string(), self.ids);
            }
            Place::System(System::CreatedTime) => self.time(out, row.created_ms),
            Place::System(System::ModifiedTime) => self.time(out, row.modified_ms),
            Place::Own(own) => {
                let Some(text) = cells.get(own).copied().flatten() else {
                    out.push_str("null");
                    return;
                };
                match table.columns[own].data_type {
                    DataType::ForeignKey => self.number(out, text, self.ids),
                    DataType::Int | DataType::BigInt | DataType::Double | DataType::Decimal => {
                        self.number(out, text, self.numbers);
                    }
                    DataType::Boolean => self.number(out, text, self.booleans),
                    _ => push_text(out, text),
                }
            }
        }
    }

    /// A text that is JSON by itself.
    fn number(&self, out: &mut String, text: &str, written: Written) {
        match written {
            Written::Json => out.push_str(text),
            Written::Text => push_text(out, text),
        }
    }

    fn time(&self, out: &mut String, epoch_ms: i64) {
        out.push('"');
        self.zone.write(out, epoch_ms);
        out.push('"');
    }
}

/// How a result is written as CSV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Csv {
    pub(super) zone: Zone,
    pub(super) line_end: &'static str,
}

impl Csv {
    /// Writes the line of the names.
    pub(super) fn header(&self, out: &mut String, table: &Table, places: &[Place]) {
        for (count, place) in places.iter().enumerate() {
            if count > 0 {
                out.push(',');
            }
            push_cell(out, table.name_of(*place));
        }
        out.push_str(self.line_end);
    }

    /// Writes a row; a null is an empty cell, as an empty text is.
    pub(super) fn row(&self, out: &mut String, row: &Row, places: &[Place]) {
        let cells: Vec<Option<&str>> = row.cells().collect();
        for (count, place) in places.iter().enumerate() {
            if count > 0 {
                out.push(',');
            }
            match *place {
                Place::System(System::RowId) => out.push_str(&row.id.to_string()),
                Place::System(System::CreatorId) => out.push_str(&row.creator.to_string()),
                Place::System(System::CreatedTime) => self.zone.write(out, row.created_ms),
                Place::System(System::ModifiedTime) => self.zone.write(out, row.modified_ms),
                Place::Own(own) => {
                    push_cell(out, cells.get(own).copied().flatten().unwrap_or_default());
                }
            }
        }
        out.push_str(self.line_end);
    }
}
