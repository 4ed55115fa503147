//! Row by row: a call for each, for trickles. A key finds the row, and a row that is not there is added by
//! the same call; without a key each record is a new row.
//!
//! | killed | at the destination | the next run |
//! | --- | --- | --- |
//! | between two rows of a batch | the first of them are there | with a key: writes them again; without: adds them again |
//! | while a call is on its way | the row is there or not | the same |

use std::sync::Arc;

use serde_json::{Map, Value, json};
use singer_core::{Error, Result};
use singer_runtime::target::Record;
use zoho::{Class, Fault};

use crate::api::{Changed, Table};
use crate::complaint;
use crate::config::OnError;
use crate::delete::equal;
use crate::encode::{self, Cell, RowError};
use crate::home::Home;
use crate::rows::{Part, Written};
use crate::shape::Shape;

/// Writes the rows of parts, one after the other.
pub(crate) async fn write(
    home: &Home,
    shape: &Arc<Shape>,
    table: &Table,
    parts: &[Part],
) -> Result<Written> {
    let mut written = Written::default();
    for part in parts {
        let cells = shape.some_cells(&part.columns);
        for row in &part.rows {
            let record = part.batch.record(*row as usize);
            let config = match config(&record, &cells, shape, &mut written.emptied) {
                Ok(config) => config,
                Err(error) => {
                    shape.check_abort(&error)?;
                    written.refuse_row(*row, error);
                    continue;
                }
            };
            written.bytes += config.to_string().len() as u64;
            let sent = send(home, shape, table, &config).await;
            let changed = match sent.map_err(|fault| without_values(fault, &config)) {
                Ok(changed) => changed,
                Err(fault) if fault.class == Class::Data && shape.on_error != OnError::Abort => {
                    let code = fault.code.clone();
                    written.refuse(*row, code.as_deref(), fault.words);
                    continue;
                }
                Err(fault) => {
                    return Err(
                        fault.into_error(&format!("cannot write a row to `{}`", shape.view))
                    );
                }
            };
            judge(&changed, *row, shape, &mut written)?;
        }
    }
    Ok(written)
}

/// A fault whose words do not say the values of its row.
fn without_values(mut fault: Fault, config: &Value) -> Fault {
    let values = config["columns"].as_object().into_iter().flatten();
    let values: Vec<&str> = values.filter_map(|(_, value)| value.as_str()).collect();
    fault.words = complaint::without(&fault.words, &values);
    fault
}

/// Says of a row what the call did with it.
fn judge(changed: &Changed, row: u32, shape: &Shape, written: &mut Written) -> Result<()> {
    if !changed.invalid.is_empty() {
        let columns = changed.invalid.join("`, `");
        let words = format!("the table has no column `{columns}`: the rest of the row was written");
        if shape.on_error == OnError::Abort {
            return Err(Error::rejected(format!("`{}`: {words}", shape.view)));
        }
        written.refuse(row, Some("column"), words);
        return Ok(());
    }
    if changed.rows == 0 && !changed.is_new {
        written.refuse(
            row,
            Some("row"),
            "Analytics neither changed nor added a row",
        );
        return Ok(());
    }
    if changed.rows > 1 {
        tracing::warn!(
            stream = shape.stream,
            rows = changed.rows,
            "several rows of the table have one key: all of them were changed"
        );
    }
    written.sent += 1;
    Ok(())
}

/// Adds or changes a row.
async fn send(home: &Home, shape: &Shape, table: &Table, config: &Value) -> Result<Changed, Fault> {
    if shape.matching.is_empty() {
        let mut changed = home.api.add_row(table, config).await?;
        changed.is_new = changed.rows > 0;
        return Ok(changed);
    }
    let changed = home.api.update_rows(table, config).await?;
    if changed.rows > 0 || changed.is_new || !changed.invalid.is_empty() {
        return Ok(changed);
    }
    // How the answer says that it added a row is not documented for sure: if one is there now, it did.
    let mut again = config.clone();
    if let Some(again) = again.as_object_mut() {
        again.remove("addIfNotExist");
    }
    home.api.update_rows(table, &again).await
}

/// CONFIG of the call for a record.
fn config(
    record: &Record<'_>,
    cells: &[&Cell],
    shape: &Shape,
    emptied: &mut u64,
) -> Result<Value, RowError> {
    let mut columns = Map::new();
    for cell in cells {
        let value = encode::value(record, cell, shape.options, emptied)?;
        columns.insert(cell.column.clone(), json!(value.unwrap_or_default()));
    }
    let mut config = json!({ "columns": columns });
    let formats = shape.date_formats(cells);
    if formats
        .as_object()
        .is_some_and(|formats| !formats.is_empty())
    {
        config["columnDateFormat"] = formats;
    }
    if !shape.matching.is_empty() {
        let keys: Vec<&Cell> = shape.keys().collect();
        let values = keys
            .iter()
            .map(|key| encode::literal(record, key, shape.options));
        let values: Vec<String> = values.collect::<Result<_, _>>()?;
        config["criteria"] = json!(equal(&keys, &values));
        config["addIfNotExist"] = json!(true);
    }
    Ok(config)
}

/// CONFIG of the first rows, for people.
pub(crate) fn preview(part: &Part, shape: &Shape, rows: usize) -> Vec<Value> {
    let cells = shape.some_cells(&part.columns);
    let records = part.rows.iter().take(rows);
    records
        .filter_map(|row| config(&part.batch.record(*row as usize), &cells, shape, &mut 0).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::parts;
    use crate::testing::{batch, shape, stream};

    #[test]
    fn a_row_is_found_by_its_key_and_added_if_it_is_not_there() {
        let properties = json!({"id": {"type": "string"}, "at": {"type": ["null", "string"], "format": "date-time"}, "x": {}});
        let stream = stream("t", &properties);
        let shape = shape(&stream, json!({"mode": "row"}));
        let records = [
            r#"{"id": "it's", "at": "2025-01-02T03:04:05Z"}"#,
            r#"{"id": "b", "at": null}"#,
        ];
        let (parts, _) = parts(&shape, &batch(&stream, &records));
        let configs = preview(&parts[0], &shape, 9);
        assert_eq!(
            configs,
            [
                json!({
                    "columns": {"id": "it's", "at": "2025-01-02 03:04:05"},
                    "columnDateFormat": {"at": "yyyy-MM-dd HH:mm:ss"},
                    "criteria": "\"id\" = 'it''s'", "addIfNotExist": true,
                }),
                json!({
                    "columns": {"id": "b", "at": ""},
                    "columnDateFormat": {"at": "yyyy-MM-dd HH:mm:ss"},
                    "criteria": "\"id\" = 'b'", "addIfNotExist": true,
                }),
            ]
        );
    }

    #[test]
    fn what_a_call_did_not_do_is_told_of_its_row() {
        let stream = stream("t", &json!({"id": {}}));
        let shape = shape(&stream, json!({"mode": "row"}));
        let judged = |rows, is_new, invalid: &[&str]| {
            let changed = Changed {
                rows,
                is_new,
                invalid: invalid.iter().map(|name| (*name).to_owned()).collect(),
            };
            let mut written = Written::default();
            judge(&changed, 0, &shape, &mut written).unwrap();
            (written.sent, written.refusals.len())
        };
        assert_eq!(judged(1, false, &[]), (1, 0));
        assert_eq!(judged(0, true, &[]), (1, 0));
        assert_eq!(judged(0, false, &[]), (0, 1));
        assert_eq!(judged(1, false, &["Ghost"]), (0, 1));
    }
}
