//! Rows as records: the selected fields of a plan, from a row of a file or from a row of JSON.

use singer_core::value::time::{Fraction, write_timestamp};
use singer_core::value::write_string;
use singer_core::{Error, Result};
use singer_runtime::tap::Plan;
use zoho::table::Row;

use crate::cell::{Choices, Kind, Misfit, text_of};
use crate::model::JsonRow;
use crate::schema::{DELETED_AT, ID, Module};

/// Writes rows of one stream as the JSON objects of its records.
#[derive(Debug)]
pub(crate) struct Encoder {
    module: String,
    fields: Vec<Field>,
    choices: Choices,
    /// What a record ends with: the property for deletions, if the stream has it.
    end: &'static [u8],
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    /// `,"name":`
    key: Vec<u8>,
}

/// Where the fields of a file stand.
#[derive(Debug)]
pub(crate) struct Positions {
    id: usize,
    /// The place of a field in the encoder, and in the file.
    cells: Vec<(usize, usize)>,
}

impl Encoder {
    /// For the selected fields of a plan.
    ///
    /// # Errors
    /// Of kind `Rejected` if the module has lost one of them.
    pub(crate) fn new(choices: Choices, module: &Module, plan: &Plan) -> Result<Self> {
        let names = plan
            .fields
            .iter()
            .filter(|name| ![ID, DELETED_AT].contains(&name.as_str()));
        let fields = names
            .map(|name| {
                let column = module.column(name).and_then(|column| column.kind.ok());
                let kind = column.ok_or_else(|| {
                    Error::rejected(format!("the field `{name}` of `{}` is gone", module.name))
                        .with_hint("discover anew, or deselect the field in the catalog")
                })?;
                let mut key = vec![b','];
                write_string(&mut key, name);
                key.push(b':');
                Ok(Field {
                    name: name.clone(),
                    kind,
                    key,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let has_deletions = plan.fields.iter().any(|name| name == DELETED_AT);
        Ok(Self {
            module: module.name.clone(),
            fields,
            choices,
            end: if has_deletions {
                b",\"_sdc_deleted_at\":null}"
            } else {
                b"}"
            },
        })
    }

    /// The fields beside the key.
    pub(crate) fn fields(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }

    /// Where these fields stand in a file with this header. The key has another spelling there.
    ///
    /// # Errors
    /// Of kind `Rejected` if one is not there.
    pub(crate) fn positions(&self, header: &[String], wanted: &[String]) -> Result<Positions> {
        let lacks = |name: &str| {
            Error::rejected(format!(
                "the file of `{}` lacks the field `{name}`",
                self.module
            ))
            .with_hint("the field may have been removed or renamed: discover anew")
        };
        let id = header
            .iter()
            .position(|column| column.eq_ignore_ascii_case(ID));
        let cells = self
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| wanted.contains(&field.name));
        let cells = cells.map(|(index, field)| {
            let position = header.iter().position(|column| *column == field.name);
            Ok((index, position.ok_or_else(|| lacks(&field.name))?))
        });
        Ok(Positions {
            id: id.ok_or_else(|| lacks(ID))?,
            cells: cells.collect::<Result<_>>()?,
        })
    }

    /// The id of a row of a file.
    ///
    /// # Errors
    /// Of kind `Rejected` if there is none: a record without its key is of no use to anybody.
    pub(crate) fn id<'a>(&self, row: Row<'a>, positions: &Positions) -> Result<&'a str> {
        let id = row.text(positions.id).trim();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.without_id());
        }
        Ok(id)
    }

    /// Begins a record.
    pub(crate) fn begin(&self, out: &mut Vec<u8>, id: &str) {
        out.extend_from_slice(b"{\"id\":");
        write_string(out, id);
    }

    /// Appends the fields of a file to a record, a comma before each.
    ///
    /// # Errors
    /// Of kind `Rejected` for a value that its field cannot hold; the value is not told.
    pub(crate) fn write_fields(
        &self,
        out: &mut Vec<u8>,
        row: Row<'_>,
        positions: &Positions,
    ) -> Result<()> {
        for (index, position) in &positions.cells {
            if let Some(field) = self.fields.get(*index) {
                out.extend_from_slice(&field.key);
                self.choices
                    .write_cell(out, field.kind, row.text(*position))
                    .map_err(|Misfit| self.misfit(field))?;
            }
        }
        Ok(())
    }

    /// Ends a record.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.end);
    }

    /// The id of a row of JSON.
    ///
    /// # Errors
    /// As [`Encoder::id`].
    pub(crate) fn json_id(&self, row: &JsonRow) -> Result<String> {
        let id = row.get(ID).map(|id| match text_of(id) {
            Some(text) => text.into_owned(),
            None => id.get().to_owned(),
        });
        let is_id = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        id.filter(is_id).ok_or_else(|| self.without_id())
    }

    /// Appends the record of a row of JSON: the fields that are `wanted`, null where the row has none.
    ///
    /// # Errors
    /// As [`Encoder::id`] and [`Encoder::write_fields`].
    pub(crate) fn write_json(
        &self,
        out: &mut Vec<u8>,
        row: &JsonRow,
        wanted: &[String],
    ) -> Result<()> {
        self.begin(out, &self.json_id(row)?);
        for field in self
            .fields
            .iter()
            .filter(|field| wanted.contains(&field.name))
        {
            out.extend_from_slice(&field.key);
            match row.get(&field.name) {
                Some(value) => self
                    .choices
                    .write_json(out, field.kind, value)
                    .map_err(|Misfit| self.misfit(field))?,
                None => out.extend_from_slice(b"null"),
            }
        }
        self.end(out);
        Ok(())
    }

    fn without_id(&self) -> Error {
        Error::rejected(format!("a row of `{}` comes without its `id`", self.module))
    }

    fn misfit(&self, field: &Field) -> Error {
        Error::rejected(format!(
            "a value of the field `{}` of `{}` is no {}",
            field.name,
            self.module,
            field.kind.noun()
        ))
        .with_hint("correct the record in the CRM, or deselect the field in the catalog")
    }
}

/// Appends the record of a record that is gone: its key, and when it was deleted.
pub(crate) fn write_deletion(out: &mut Vec<u8>, id: &str, at: i64) {
    out.extend_from_slice(b"{\"id\":");
    write_string(out, id);
    out.extend_from_slice(b",\"_sdc_deleted_at\":\"");
    write_timestamp(out, at, Fraction::AsNeeded);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_has_the_key_and_a_time() {
        let mut out = Vec::new();
        write_deletion(&mut out, "6110000000377012", 1_772_423_564_000_000);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"id":"6110000000377012","_sdc_deleted_at":"2026-03-02T03:52:44Z"}"#
        );
    }
}
