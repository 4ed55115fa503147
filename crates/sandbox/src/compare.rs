//! Whether a view of Zoho Analytics holds what a table of Data Store holds: for scripts and tests, which should
//! not have to know how each of the two writes a time or a null.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::datastore::Environment;
use crate::server::World;

/// The column by which rows are found on both sides.
const KEY: &str = "ROWID";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    view: Option<String>,
}

/// How a table and a view differ. Only columns that both have are compared, and of times no more digits than
/// the view has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Rows of the table.
    pub rows: usize,
    /// Rows of the view; 0 if there is no view.
    pub view_rows: usize,
    /// Rows that are the same.
    pub equal: usize,
    /// Rows that the view has, with another value.
    pub different: usize,
    /// Rows that the view lacks.
    pub missing: usize,
    /// Rows of the view that the table lacks, and second ones of one key.
    pub extra: usize,
    /// Columns that were compared.
    pub compared: usize,
    /// Columns with another value in some row.
    pub columns: BTreeSet<String>,
}

/// A table whose cells are texts.
#[derive(Debug, Default)]
pub(crate) struct PlainTable {
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
    /// The cells of each row in this order; empty where there is nothing.
    pub(crate) rows: Vec<Vec<String>>,
}

impl PlainTable {
    fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }
}

impl Comparison {
    /// Compares a table with a view.
    pub(crate) fn new(table: &PlainTable, view: &PlainTable) -> Comparison {
        let shared = table.columns.iter().enumerate();
        let shared = shared.filter_map(|(place, name)| Some((place, view.place(name)?)));
        let shared: Vec<(usize, usize)> = shared.collect();
        let mut found = Comparison {
            rows: table.rows.len(),
            view_rows: view.rows.len(),
            compared: shared.len(),
            ..Comparison::default()
        };
        let (key, view_key) = (table.place(KEY), view.place(KEY));
        let mut by_key: HashMap<&str, &[String]> = HashMap::new();
        for row in &view.rows {
            if by_key.insert(cell(row, view_key), row).is_some() {
                found.extra += 1;
            }
        }
        for row in &table.rows {
            let Some(arrived) = by_key.remove(cell(row, key)) else {
                found.missing += 1;
                continue;
            };
            let is_wrong = |(place, other): &&(usize, usize)| {
                !is_same(cell(row, Some(*place)), cell(arrived, Some(*other)))
            };
            let wrong: Vec<_> = shared.iter().filter(is_wrong).collect();
            if wrong.is_empty() {
                found.equal += 1;
            } else {
                found.different += 1;
                let names = wrong
                    .iter()
                    .filter_map(|(place, _)| table.columns.get(*place));
                found.columns.extend(names.cloned());
            }
        }
        found.extra += by_key.len();
        found
    }
}

fn cell(row: &[String], place: Option<usize>) -> &str {
    place
        .and_then(|place| row.get(place))
        .map_or("", String::as_str)
}

/// Fractions of a second may be cut off, and are left out where they are nought.
fn is_same(cell: &str, arrived: &str) -> bool {
    if cell == arrived {
        return true;
    }
    let Some((second, fraction)) = cell.rsplit_once('.') else {
        return false;
    };
    second == arrived && fraction.len() == 3 && second.len() == "2025-02-03 00:00:00".len()
}

/// Compares a table with a view; `None` if there is no such table.
pub(crate) fn of(
    world: &World,
    environment: Environment,
    table: &str,
    view: &str,
) -> Option<Comparison> {
    let table = world.datastore.plain(environment, table)?;
    let view = world.analytics.plain(view).unwrap_or_default();
    Some(Comparison::new(&table, &view))
}

pub(crate) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/compare/{environment}/{table}", get(compare))
        .with_state(world)
}

async fn compare(
    State(world): State<Arc<World>>,
    Path((environment, name)): Path<(String, String)>,
    Query(form): Query<Form>,
) -> Response {
    let view = form.view.as_ref().unwrap_or(&name);
    let found = Environment::from_name(&environment)
        .and_then(|environment| of(&world, environment, &name, view));
    match found {
        Some(found) => Json(found).into_response(),
        None => {
            let body = json!({"message": "there is no such table"});
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: [&str; 3], rows: &[[&str; 3]]) -> PlainTable {
        let text = |cells: &[&str; 3]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        PlainTable {
            columns: columns.map(str::to_owned).to_vec(),
            rows: rows.iter().map(text).collect(),
        }
    }

    #[test]
    fn what_is_missing_other_or_too_much_is_counted() {
        let rows = [
            ["1", "2025-02-03 00:00:00.118", ""],
            ["2", "", "a"],
            ["3", "", "a"],
        ];
        let ours = table(["ROWID", "Seen", "Note"], &rows);
        let arrived = [
            ["", "1", "2025-02-03 00:00:00"],
            ["b", "2", ""],
            ["b", "4", ""],
            ["b", "4", ""],
        ];
        let view = table(["Note", "ROWID", "Seen"], &arrived);
        let found = Comparison::new(&ours, &view);
        let expected = Comparison {
            rows: 3,
            view_rows: 4,
            equal: 1,
            different: 1,
            missing: 1,
            extra: 2,
            compared: 3,
            columns: ["Note".to_owned()].into(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_fraction_of_a_second_may_be_cut_off() {
        assert!(is_same("2025-02-03 00:00:00.118", "2025-02-03 00:00:00"));
        assert!(!is_same("2025-02-03 00:00:00.118", "2025-02-03 00:00:01"));
        assert!(!is_same("1.100", "1") && !is_same("x", "") && is_same("", ""));
    }

    #[test]
    fn a_view_that_is_not_there_lacks_every_row() {
        let ours = table(["ROWID", "a", "b"], &[["1", "", ""]]);
        let found = Comparison::new(&ours, &PlainTable::default());
        assert_eq!((found.missing, found.compared), (1, 0));
    }
}
