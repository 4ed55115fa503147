//! Rows as records: the selected fields of a plan, from a row of a file or from a row of JSON.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use singer_core::value::time::{Fraction, write_timestamp};
use singer_core::value::write_string;
use singer_core::{Error, Result};
use singer_runtime::tap::Plan;
use singer_runtime::tap::ids::Emitted;
use zoho::table::Row;

use crate::config::Config;
use crate::model::JsonRow;
use crate::schema::{CREATEDTIME, DELETED_AT, MODIFIEDTIME, ROWID, Table};
use crate::time::Zone;
use crate::value::{Kind, Misfit, Quotes, Values, text_of};

/// Writes rows of one stream as the JSON objects of its records.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    table: String,
    fields: Vec<Field>,
    values: Values,
    /// What a record ends with: the property for deletions, if the stream has it.
    end: &'static [u8],
    /// Where the ids of the rows are noted, if somebody wants to know; shared by all clones.
    emitted: Option<Arc<Mutex<Emitted<i64>>>>,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    kind: Kind,
    /// `,"name":`
    key: Vec<u8>,
}

/// What becomes of a column that a row of JSON does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is null.
    Null,
    /// The record has no such property, so that the destination keeps its value.
    Omitted,
}

/// Where the columns of a file stand.
#[derive(Debug)]
pub(crate) struct Positions {
    fields: Vec<usize>,
    modified: Option<usize>,
    id: Option<usize>,
}

impl Encoder {
    /// For the selected fields of a plan.
    ///
    /// # Errors
    /// Of kind `Rejected` if the table has lost one of them.
    pub(crate) fn new(config: &Config, table: &Table, plan: &Plan) -> Result<Self> {
        let names = plan.fields.iter().filter(|name| *name != DELETED_AT);
        let fields = names
            .map(|name| {
                let column = table.column(name).ok_or_else(|| {
                    Error::rejected(format!("the column `{name}` of `{}` is gone", table.name))
                        .with_hint("discover anew, or deselect the column in the catalog")
                })?;
                let mut key = vec![b','];
                write_string(&mut key, name);
                key.push(b':');
                Ok(Field {
                    name: name.clone(),
                    kind: column.kind,
                    key,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let has_deletions = fields.len() < plan.fields.len();
        Ok(Self {
            table: table.name.clone(),
            fields,
            values: Values {
                zone: Zone::new(config.zone()?),
                empty: config.empty_cells,
            },
            end: if has_deletions {
                b",\"_sdc_deleted_at\":null}"
            } else {
                b"}"
            },
            emitted: None,
        })
    }

    /// The same encoder, which notes the ids of the rows that it writes; shared by all clones.
    #[must_use]
    pub(crate) fn noting(mut self, emitted: Emitted<i64>) -> Self {
        self.emitted = Some(Arc::new(Mutex::new(emitted)));
        self
    }

    /// Has the ids of the rows that were written on disk, before these rows leave.
    ///
    /// # Errors
    /// Of kind `Internal` if they cannot be written.
    pub(crate) fn note(&self) -> Result<()> {
        match &self.emitted {
            Some(emitted) => lock(emitted).flush(),
            None => Ok(()),
        }
    }

    /// As [`Encoder::note`], for rows that are going to be written.
    ///
    /// # Errors
    /// As [`Encoder::note`].
    pub(crate) fn note_all<'a>(&self, ids: impl IntoIterator<Item = &'a i64>) -> Result<()> {
        let Some(emitted) = &self.emitted else {
            return Ok(());
        };
        let mut emitted = lock(emitted);
        ids.into_iter().for_each(|id| emitted.push(*id));
        emitted.flush()
    }

    /// The columns to ask for: the selected ones.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }

    /// Where the columns stand in a file with this header.
    ///
    /// # Errors
    /// Of kind `Rejected` if one is not there.
    pub(crate) fn positions(&self, header: &[String]) -> Result<Positions> {
        let position = |name: &str| header.iter().position(|column| column == name);
        let fields = self.fields.iter().map(|field| {
            position(&field.name).ok_or_else(|| {
                Error::rejected(format!(
                    "the file of `{}` lacks the column `{}`",
                    self.table, field.name
                ))
                .with_hint("the column may have been removed or renamed: discover anew")
            })
        });
        Ok(Positions {
            fields: fields.collect::<Result<_>>()?,
            modified: position(MODIFIEDTIME),
            id: position(ROWID),
        })
    }

    /// When a row of a file was changed; nothing if it does not say.
    pub(crate) fn modified(&mut self, row: Row<'_>, positions: &Positions) -> Option<i64> {
        self.values.zone.instant(row.text(positions.modified?))
    }

    /// Appends the record of a row of a file.
    ///
    /// # Errors
    /// Of kind `Rejected` for a value that its column cannot hold; the value is not told.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        row: Row<'_>,
        positions: &Positions,
    ) -> Result<()> {
        let start = out.len();
        for (field, position) in self.fields.iter().zip(&positions.fields) {
            out.extend_from_slice(&field.key);
            let quotes = if row.is_quoted(*position) {
                Quotes::Yes
            } else {
                Quotes::No
            };
            self.values
                .write_cell(out, field.kind, row.text(*position), quotes)
                .map_err(|Misfit| misfit(&self.table, field))?;
        }
        self.close(out, start);
        self.keep_id(positions.id.map(|id| row.text(id)))
    }

    /// When a row of JSON was changed; nothing if it does not say.
    pub(crate) fn json_modified(&mut self, row: &JsonRow) -> Option<i64> {
        self.values.zone.instant(&text_of(row.get(MODIFIEDTIME)?)?)
    }

    /// When a row of JSON came into being; nothing if it does not say.
    pub(crate) fn json_created(&mut self, row: &JsonRow) -> Option<i64> {
        self.values.zone.instant(&text_of(row.get(CREATEDTIME)?)?)
    }

    /// Whether a row of JSON has all selected columns.
    pub(crate) fn is_whole(&self, row: &JsonRow) -> bool {
        self.fields
            .iter()
            .all(|field| row.contains_key(&field.name))
    }

    /// Appends the record of a row of JSON.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub(crate) fn write_json(
        &mut self,
        out: &mut Vec<u8>,
        row: &JsonRow,
        absent: Absent,
    ) -> Result<()> {
        let start = out.len();
        for field in &self.fields {
            let value: Option<&RawValue> = row.get(&field.name).map(|value| &**value);
            if value.is_none() && absent == Absent::Omitted {
                continue;
            }
            out.extend_from_slice(&field.key);
            match value {
                Some(value) => self
                    .values
                    .write_json(out, field.kind, value)
                    .map_err(|Misfit| misfit(&self.table, field))?,
                None => out.extend_from_slice(b"null"),
            }
        }
        self.close(out, start);
        Ok(())
    }

    fn keep_id(&self, id: Option<&str>) -> Result<()> {
        // A record without its key is of no use to anybody, and ends the target's run.
        let id = id.and_then(|id| id.trim().parse().ok()).ok_or_else(|| {
            Error::rejected(format!(
                "a row of `{}` comes without a whole `{ROWID}`",
                self.table
            ))
        })?;
        if let Some(emitted) = &self.emitted {
            lock(emitted).push(id);
        }
        Ok(())
    }

    /// Ends an object whose first comma becomes its brace.
    fn close(&self, out: &mut Vec<u8>, start: usize) {
        match out.get_mut(start) {
            Some(first) => *first = b'{',
            None => out.push(b'{'),
        }
        out.extend_from_slice(self.end);
    }
}

/// Appends the record of a row that is gone: its key, and when that was noticed or happened.
pub(crate) fn write_deletion(out: &mut Vec<u8>, rowid: &str, at: i64) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(ROWID.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(rowid.as_bytes());
    out.extend_from_slice(b",\"_sdc_deleted_at\":\"");
    write_timestamp(out, at, Fraction::AsNeeded);
    out.extend_from_slice(b"\"}");
}

fn lock(emitted: &Mutex<Emitted<i64>>) -> MutexGuard<'_, Emitted<i64>> {
    emitted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn misfit(table: &str, field: &Field) -> Error {
    Error::rejected(format!(
        "a value of the column `{}` of `{table}` is no {}",
        field.name,
        field.kind.noun()
    ))
    .with_hint("correct the row at the source, or deselect the column in the catalog")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_has_the_key_and_a_time() {
        let mut out = Vec::new();
        write_deletion(&mut out, "4000000101007", 1_738_540_800_118_000);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"ROWID":4000000101007,"_sdc_deleted_at":"2025-02-03T00:00:00.118000Z"}"#
        );
    }
}
