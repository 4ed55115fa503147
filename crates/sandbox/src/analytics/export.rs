//! Exports of a view as CSV: made at once, and readable for as long as a job is. Facts: section 2,
//! numbers 23 and 24.

use serde_json::json;

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::config::{Config, bad_value};
use super::endpoint::Place;
use super::job::Export;
use super::table::View;
use super::usage::Units;

pub(crate) fn create(analytics: &Analytics, call: &Call, place: &Place) -> Result<Answer, Failure> {
    let known = [
        "responseFormat",
        "criteria",
        "showHiddenCols",
        "selectedColumns",
    ];
    let config = Config::required(call.inputs.config.as_deref(), &known)?;
    if config.required_text("responseFormat")? != "csv" || config.has("criteria") {
        return Err(bad_value("responseFormat"));
    }
    let mut store = analytics.store();
    store.require("export")?;
    let view = store.view(&place.workspace, &place.view)?;
    let csv = to_csv(view);
    let rows = view.rows.len();
    let units = Units::of_rows(rows, 3, analytics.options.unit_rounding);
    store.usage.charge(units, call.now_ms)?;
    let id = store.new_id();
    let export = Export {
        owner: call.email.clone(),
        created_ms: call.now_ms,
        csv,
    };
    store.jobs.exports.insert(id.clone(), export);
    Ok(Answer::success("Create export job", json!({"jobId": id})))
}

pub(crate) fn state(analytics: &Analytics, call: &Call, id: &str) -> Result<Answer, Failure> {
    let store = analytics.store();
    let export = store.jobs.exports.get(id);
    let data = match export.filter(|export| export.owner == call.email) {
        None => json!({"jobId": id, "jobCode": "1005", "jobStatus": "JOB NOT FOUND"}),
        Some(export) => {
            let ends_ms = export.created_ms + analytics.options.job_seconds * 1000;
            json!({"jobId": id, "jobCode": "1004", "jobStatus": "JOB COMPLETED",
                "expiryTime": ends_ms.to_string()})
        }
    };
    Ok(Answer::success("Fetch export job info", data))
}

pub(crate) fn file(analytics: &Analytics, call: &Call, id: &str) -> Result<Answer, Failure> {
    let store = analytics.store();
    let export = store.jobs.exports.get(id);
    export
        .filter(|export| export.owner == call.email)
        .map(|export| Answer::File(export.csv.clone()))
        .ok_or_else(|| Failure::new(8137, "The export job is not present"))
}

/// The rows as CSV with a byte order mark.
fn to_csv(view: &View) -> Vec<u8> {
    let mut csv = b"\xef\xbb\xbf".to_vec();
    let names = view.columns.iter().map(|column| column.name.as_bytes());
    put_record(&mut csv, names);
    for row in 0..view.rows.len() {
        let mut cells = view.rows.cells(row);
        let cells = view
            .columns
            .iter()
            .map(|_| cells.next().unwrap_or_default());
        put_record(&mut csv, cells);
    }
    csv
}

fn put_record<'cell>(csv: &mut Vec<u8>, cells: impl Iterator<Item = &'cell [u8]>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            csv.push(b',');
        }
        if !cell.iter().any(|byte| b",\"\r\n".contains(byte)) {
            csv.extend_from_slice(cell);
            continue;
        }
        csv.push(b'"');
        for byte in cell {
            if *byte == b'"' {
                csv.push(b'"');
            }
            csv.push(*byte);
        }
        csv.push(b'"');
    }
    csv.extend_from_slice(b"\r\n");
}
