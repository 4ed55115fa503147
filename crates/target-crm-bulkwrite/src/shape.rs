//! A stream as it meets a module: which property goes to which field and in what form, and all that stands
//! against it, told before the first upload.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use singer_runtime::target::{Problem, Stream};
use zoho::crm::Field;

use self::draft::Draft;
use crate::config::{Chosen, OnDelete, Operation};
use crate::encode::{Cell, Form};

mod draft;
mod field;
#[cfg(test)]
mod tests;

/// The key of every record.
const ID: &str = "id";

/// How a stream is written.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) stream: String,
    pub(crate) module: String,
    pub(crate) operation: Operation,
    /// The field by which records are found.
    pub(crate) find_by: Option<String>,
    /// What is written, the key first, so that the result's first columns hold it.
    pub(crate) cells: Vec<Cell>,
    /// What stands in place of empty cells, by field.
    pub(crate) cell_defaults: BTreeMap<String, String>,
    /// Values of fields that no property has.
    pub(crate) defaults: BTreeMap<String, String>,
    pub(crate) ignore_empty: bool,
    pub(crate) chunk_records: usize,
    /// The property that says when a record was deleted at the source.
    pub(crate) deleted: Option<usize>,
    pub(crate) on_delete: OnDelete,
    /// The properties that identify a row.
    pub(crate) identity: Vec<usize>,
    /// What people should know before.
    pub(crate) notes: Vec<String>,
}

/// What a shape is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) chosen: &'a Chosen,
    pub(crate) module: &'a str,
    /// The module's fields, as the service lists them.
    pub(crate) fields: &'a [Field],
    /// The zone of wall times, if it is known.
    pub(crate) zone: Option<Tz>,
}

impl Shape {
    /// Plans a stream.
    ///
    /// # Errors
    /// All that stands against it, by field.
    pub(crate) fn new(meeting: Meeting<'_>) -> Result<Self, Vec<Problem>> {
        let mut draft = Draft::new(meeting);
        draft.choose_key();
        draft.map_all();
        draft.add_mark();
        draft.check_key();
        draft.check_mandatory();
        draft.check_defaults();
        draft.finish()
    }

    /// By which field the lookup of a cell finds its record.
    pub(crate) fn lookup_of<'c>(&self, cell: &'c Cell) -> Option<&'c str> {
        match &cell.form {
            Form::Lookup(find_by) if cell.field != ID => Some(find_by),
            _ => None,
        }
    }

    /// The cell that tells records apart, if there is one.
    pub(crate) fn key(&self) -> Option<&Cell> {
        self.cells.first().filter(|cell| cell.is_key)
    }

    /// Whether asking twice makes two records of one row.
    pub(crate) fn doubles(&self) -> bool {
        self.operation == Operation::Insert && self.find_by.is_none()
    }

    /// Whether a missing property and a null are told apart.
    pub(crate) fn tells_missing(&self) -> bool {
        !self.ignore_empty && self.operation != Operation::Insert
    }
}
