//! Calls that add, update and delete single rows. Facts: section 2.4.

use serde_json::{Map, Value, json};

use super::Analytics;
use super::answer::{Answer, Failure};
use super::call::Call;
use super::config::{Config, missing};
use super::criteria::Criteria;
use super::datatype::{CellRules, DataType};
use super::date::Pattern;
use super::endpoint::Place;
use super::import::{check_plan_rows, check_writable, parent_values};
use super::options::AnalyticsOptions;
use super::spec::date_pattern;
use super::store::Store;
use super::table::View;

/// The most columns of an update.
const MOST_COLUMNS: usize = 300;

/// The cells that a call brings.
struct Given {
    /// Place in the table and cell as it is kept.
    cells: Vec<(usize, Vec<u8>)>,
    known: Map<String, Value>,
    unknown: Map<String, Value>,
}

const FORMAT_KEYS: [&str; 2] = ["dateFormat", "columnDateFormat"];

pub(crate) fn add(analytics: &Analytics, call: &Call, place: &Place) -> Result<Answer, Failure> {
    let known = [["columns"].as_slice(), &FORMAT_KEYS].concat();
    let config = Config::required(call.inputs.config.as_deref(), &known)?;
    let mut store = analytics.store();
    store.require("add-row")?;
    let view = store.view(&place.workspace, &place.view)?;
    check_writable(view)?;
    let given = given(&analytics.options, &store, view, &config)?;
    check_mandatory(view, &given)?;
    check_plan_rows(&store, &analytics.options, 1)?;
    add_row(store.view_mut(&place.workspace, &place.view)?, &given);
    let data = json!({"addedColumns": given.known, "invalidColumns": given.unknown});
    Ok(Answer::success("Add row", data))
}

pub(crate) fn update(analytics: &Analytics, call: &Call, place: &Place) -> Result<Answer, Failure> {
    let keys = ["columns", "criteria", "updateAllRows", "addIfNotExist"];
    let known = [keys.as_slice(), &FORMAT_KEYS].concat();
    let config = Config::required(call.inputs.config.as_deref(), &known)?;
    let text = config.text("criteria")?;
    let is_all = config.flag("updateAllRows")?.unwrap_or(false);
    if text.is_some() == is_all {
        let message = "Either the criteria or `updateAllRows` has to be sent";
        return Err(Failure::new(8130, message));
    }
    let mut store = analytics.store();
    store.require("update-row")?;
    let view = store.view(&place.workspace, &place.view)?;
    check_writable(view)?;
    let given = given(&analytics.options, &store, view, &config)?;
    let rows = matching_rows(view, text)?;
    let view = store.view_mut(&place.workspace, &place.view)?;
    for row in &rows {
        let mut cells: Vec<Vec<u8>> = view.rows.cells(*row).map(<[u8]>::to_vec).collect();
        cells.resize(cells.len().max(view.columns.len()), Vec::new());
        for (column, cell) in &given.cells {
            cells[*column].clone_from(cell);
        }
        view.rows.replace(*row, cells.iter().map(Vec::as_slice));
    }
    view.rows.tidy();
    let is_added = rows.is_empty() && config.flag("addIfNotExist")?.unwrap_or(false);
    if is_added {
        check_mandatory(view, &given)?;
        add_row(view, &given);
    }
    let data = json!({"updatedColumns": given.known, "updatedRows": rows.len(),
        "invalidColumns": given.unknown, "newRowAdded": is_added});
    Ok(Answer::success("Update row", data))
}

pub(crate) fn delete(analytics: &Analytics, call: &Call, place: &Place) -> Result<Answer, Failure> {
    let config = Config::required(
        call.inputs.config.as_deref(),
        &["criteria", "deleteAllRows"],
    )?;
    let text = config.text("criteria")?;
    let is_all = config.flag("deleteAllRows")?.unwrap_or(false);
    if text.is_some() == is_all {
        let message = "Either the criteria or `deleteAllRows` has to be sent";
        return Err(Failure::new(8131, message));
    }
    let mut store = analytics.store();
    store.require("delete-row")?;
    if is_all {
        store.require("delete-all-rows")?;
    }
    let view = store.view(&place.workspace, &place.view)?;
    check_writable(view)?;
    let rows = matching_rows(view, text)?;
    let view = store.view_mut(&place.workspace, &place.view)?;
    let mut is_meant = vec![false; view.rows.len()];
    for row in &rows {
        is_meant[*row] = true;
    }
    let deleted = view.rows.remove(|_, row| is_meant[row]);
    let data = json!({"deletedRows": deleted});
    Ok(Answer::success("Delete row", data))
}

/// The rows that criteria mean; all without any.
fn matching_rows(view: &View, text: Option<&str>) -> Result<Vec<usize>, Failure> {
    let criteria = text.map(|text| Criteria::parse(text, view)).transpose()?;
    let is_meant = |row: &usize| match &criteria {
        Some(criteria) => criteria.matches(view, *row),
        None => true,
    };
    Ok((0..view.rows.len()).filter(is_meant).collect())
}

/// Reads the cells of a call. A column that the table has not got is no error.
fn given(
    options: &AnalyticsOptions,
    store: &Store,
    view: &View,
    config: &Config,
) -> Result<Given, Failure> {
    let columns = config.object("columns")?;
    let columns = columns.ok_or_else(|| missing("columns"))?;
    if columns.is_empty() || columns.len() > MOST_COLUMNS {
        let message = format!("`columns` takes from 1 to {MOST_COLUMNS} names");
        return Err(Failure::new(8547, message));
    }
    let patterns = Patterns::read(config, options)?;
    let rules = CellRules::new(options);
    let mut given = Given {
        cells: Vec::new(),
        known: Map::new(),
        unknown: Map::new(),
    };
    for (name, value) in columns {
        let place = view.column(name);
        let place = place.filter(|place| view.columns[*place].kind != DataType::AutoNumber);
        let Some(place) = place else {
            given.unknown.insert(name.clone(), value.clone());
            continue;
        };
        let column = &view.columns[place];
        let text = match value {
            Value::Null => "",
            Value::String(text) => text,
            _ => return Err(Failure::new(8516, "The values of columns are texts")),
        };
        let mut cell = Vec::new();
        let pattern = patterns.of(name);
        let read = rules.read(column.kind, pattern, text.as_bytes(), &mut cell);
        read.map_err(|what| Failure::new(7507, format!("{what} in the column `{name}`")))?;
        if column.is_mandatory && cell.is_empty() {
            let message = format!("The mandatory column `{name}` is empty");
            return Err(Failure::new(7511, message));
        }
        if let Some((table, parent)) = &column.lookup
            && !cell.is_empty()
            && !parent_values(store, &view.workspace, table, parent).contains(cell.as_slice())
        {
            let message = format!("Unknown lookup value in the column `{name}`");
            return Err(Failure::new(7515, message));
        }
        given.cells.push((place, cell));
        given.known.insert(name.clone(), value.clone());
    }
    if given.cells.is_empty() {
        return Err(Failure::new(8016, "None of the columns is present"));
    }
    Ok(given)
}

/// The patterns of a call.
struct Patterns {
    shared: Option<Pattern>,
    own: Vec<(String, Pattern)>,
}

impl Patterns {
    fn read(config: &Config, options: &AnalyticsOptions) -> Result<Patterns, Failure> {
        let shared = config.text("dateFormat")?;
        let shared = shared.map(|text| date_pattern(text, options)).transpose()?;
        let mut own = Vec::new();
        for (name, pattern) in config.object("columnDateFormat")?.into_iter().flatten() {
            let text = pattern.as_str().unwrap_or_default();
            own.push((name.clone(), date_pattern(text, options)?));
        }
        Ok(Patterns { shared, own })
    }

    fn of(&self, column: &str) -> Option<&Pattern> {
        let own = self.own.iter().find(|(name, _)| name == column);
        own.map(|(_, pattern)| pattern).or(self.shared.as_ref())
    }
}

fn check_mandatory(view: &View, given: &Given) -> Result<(), Failure> {
    for (place, column) in view.columns.iter().enumerate() {
        let is_given = given.cells.iter().any(|(found, _)| *found == place);
        let is_filled = !column.default.is_empty() || column.kind == DataType::AutoNumber;
        if column.is_mandatory && !is_given && !is_filled {
            let message = format!("The mandatory column `{}` is empty", column.name);
            return Err(Failure::new(7511, message));
        }
    }
    Ok(())
}

fn add_row(view: &mut View, given: &Given) {
    let mut cells: Vec<Vec<u8>> = Vec::with_capacity(view.columns.len());
    for place in 0..view.columns.len() {
        let brought = given.cells.iter().find(|(found, _)| *found == place);
        let cell = match brought {
            Some((_, cell)) => cell.clone(),
            None if view.columns[place].kind == DataType::AutoNumber => {
                view.next_auto_number().into_bytes()
            }
            None => view.columns[place].default.as_bytes().to_vec(),
        };
        cells.push(cell);
    }
    view.rows.push(cells.iter().map(Vec::as_slice));
}
