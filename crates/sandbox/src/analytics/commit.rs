//! What an import does to the rows of its table. Facts: section 3.3.

use std::collections::HashSet;

use super::datatype::DataType;
use super::options::{AnalyticsOptions, EmptyCell, Twins};
use super::prepare::Prepared;
use super::rows::{Row, Rows};
use super::spec::{ImportSpec, ImportType};
use super::table::View;

/// Puts the rows of a file into a table. The table was emptied before, if that was asked for.
pub(crate) fn commit(
    view: &mut View,
    prepared: Prepared,
    spec: &ImportSpec,
    options: &AnalyticsOptions,
) {
    if options.drain {
        return;
    }
    if spec.import_type == ImportType::UpdateAdd {
        update_or_add(view, &prepared, spec, options);
        view.rows.tidy();
        return;
    }
    let automatic = automatic(view);
    // The design is locked while an import is at work, so the cells fit the columns.
    if automatic.is_empty() {
        view.rows.append(prepared.rows);
        return;
    }
    for row in 0..prepared.rows.len() {
        let mut cells: Vec<Vec<u8>> = prepared.rows.cells(row).map(<[u8]>::to_vec).collect();
        fill_automatic(view, &automatic, &mut cells);
        view.rows.push(cells.iter().map(Vec::as_slice));
    }
}

/// The places of AUTO_NUMBER columns.
fn automatic(view: &View) -> Vec<usize> {
    let columns = view.columns.iter().enumerate();
    columns
        .filter(|(_, column)| column.kind == DataType::AutoNumber)
        .map(|(place, _)| place)
        .collect()
}

fn fill_automatic(view: &mut View, automatic: &[usize], cells: &mut Vec<Vec<u8>>) {
    for place in automatic {
        if cells.len() <= *place {
            cells.resize(*place + 1, Vec::new());
        }
        cells[*place] = view.next_auto_number().into_bytes();
    }
}

fn update_or_add(
    view: &mut View,
    prepared: &Prepared,
    spec: &ImportSpec,
    options: &AnalyticsOptions,
) {
    let columns: Vec<usize> = spec
        .matching
        .iter()
        .filter_map(|name| view.column(name))
        .collect();
    let automatic = automatic(view);
    let initially = view.rows.len();
    let mut touched: HashSet<usize> = HashSet::new();
    let mut merged = Row::default();
    for number in 0..prepared.rows.len() {
        let key: Vec<&[u8]> = columns
            .iter()
            .map(|column| prepared.rows.cell(number, *column))
            .collect();
        let mut found = view.rows.find(&columns, &key);
        match options.twins {
            Twins::Last => {}
            Twins::First if found.iter().any(|row| touched.contains(row)) => continue,
            Twins::First => {}
            Twins::Both => found.retain(|row| *row < initially),
        }
        if found.is_empty() {
            if options.twins == Twins::First {
                touched.insert(view.rows.len());
            }
            merged.clear();
            add(view, prepared, number, &automatic, &mut merged);
            view.rows.push_indexed(&key, merged.cells());
            continue;
        }
        for row in found {
            if options.twins == Twins::First {
                touched.insert(row);
            }
            merged.clear();
            merge(&view.rows, row, prepared, number, options, &mut merged);
            view.rows.rewrite(row, merged.cells());
        }
    }
}

/// The cells of a new row: columns that the file has not got have their defaults.
fn add(view: &mut View, prepared: &Prepared, number: usize, automatic: &[usize], merged: &mut Row) {
    for (place, cell) in prepared.rows.cells(number).enumerate() {
        if automatic.contains(&place) {
            merged.push(view.next_auto_number().as_bytes());
        } else if prepared.present.get(place) == Some(&true) {
            merged.push(cell);
        } else {
            merged.push(view.columns[place].default.as_bytes());
        }
    }
}

/// The cells of a row that is there, with those of the file over them.
fn merge(
    rows: &Rows,
    row: usize,
    prepared: &Prepared,
    number: usize,
    options: &AnalyticsOptions,
    merged: &mut Row,
) {
    let mut old = rows.cells(row);
    for (place, cell) in prepared.rows.cells(number).enumerate() {
        let before = old.next().unwrap_or_default();
        let is_given = prepared.present.get(place) == Some(&true)
            && (!cell.is_empty() || options.empty_cell == EmptyCell::Clear);
        merged.push(if is_given { cell } else { before });
    }
    for cell in old {
        merged.push(cell);
    }
}
