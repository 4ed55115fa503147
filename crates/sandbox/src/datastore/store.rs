//! What the project holds: its tables in both environments, and the changes of rows with their rules.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::answer::ApiError;
use super::column::{Column, OnDelete, System};
use super::options::Environment;
use super::table::{Row, Table};

/// The user who makes rows.
pub(super) const CREATOR: i64 = 4_000_000_006_003;

/// The first ids of tables and of rows; rows have 17 digits, which a float cannot hold.
const FIRST_TABLE: i64 = 4_000_000_093_001;
const FIRST_ROW: i64 = 40_000_000_001_010_007;

/// Rows that Development takes, by table and in all.
pub(super) const DEVELOPMENT_TABLE_ROWS: usize = 5_000;
const DEVELOPMENT_ROWS: usize = 25_000;

/// The tables of both environments.
pub(super) struct Store {
    sets: [Vec<Table>; 2],
    next_row: i64,
    next_table: i64,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Insert,
    Update,
    Delete,
}

/// A row that was changed, for the events.
pub(super) struct Changed {
    pub(super) table: String,
    pub(super) action: Action,
    pub(super) row: Row,
}

impl Store {
    pub(super) fn new() -> Store {
        Store {
            sets: [Vec::new(), Vec::new()],
            next_row: FIRST_ROW,
            next_table: FIRST_TABLE,
        }
    }

    pub(super) fn tables(&self, environment: Environment) -> &[Table] {
        &self.sets[environment as usize]
    }

    /// A table by its name, which is case-sensitive, or by its id.
    pub(super) fn table(&self, environment: Environment, named: &str) -> Option<&Table> {
        let id = named.parse::<i64>().ok();
        self.tables(environment)
            .iter()
            .find(|table| table.name == named || Some(table.id) == id)
    }

    pub(super) fn table_mut(
        &mut self,
        environment: Environment,
        named: &str,
    ) -> Option<&mut Table> {
        let id = named.parse::<i64>().ok();
        self.sets[environment as usize]
            .iter_mut()
            .find(|table| table.name == named || Some(table.id) == id)
    }

    /// Makes an empty table in both environments; one of that name is replaced.
    pub(super) fn create(&mut self, name: &str, mut columns: Vec<Column>) {
        let id = self.next_table;
        self.next_table += 1000;
        for (place, column) in (0..).zip(&mut columns) {
            column.id = id + 100 + place * 3;
        }
        for set in &mut self.sets {
            set.retain(|table| table.name != name);
            set.push(Table::new(id, name, columns.clone()));
        }
    }

    /// Drops a table in both environments; false if there was none.
    pub(super) fn drop_table(&mut self, name: &str) -> bool {
        let before = self.sets[0].len();
        for set in &mut self.sets {
            set.retain(|table| table.name != name);
        }
        self.sets[0].len() < before
    }

    /// An id that no row had before.
    pub(super) fn row_id(&mut self) -> i64 {
        self.next_row += 1;
        self.next_row
    }

    /// Adds rows; either all of them or none.
    pub(super) fn insert(
        &mut self,
        environment: Environment,
        named: &str,
        rows: &[Map<String, Value>],
        now_ms: i64,
    ) -> Result<Vec<Row>, ApiError> {
        let table = self.known(environment, named)?;
        self.check_room(environment, table, rows.len())?;
        let mut made = Vec::with_capacity(rows.len());
        let mut taken: HashMap<(usize, String), i64> = HashMap::new();
        for object in rows {
            let cells = cells_of(table, object, None)?;
            self.check_cells(environment, table, &cells, None)?;
            for (place, value) in unique_cells(table, &cells) {
                if taken.insert((place, value.to_owned()), 0).is_some() {
                    return Err(duplicate(table, place));
                }
            }
            made.push(cells);
        }
        let name = table.name.clone();
        let mut inserted = Vec::with_capacity(made.len());
        for cells in made {
            let row = Row::new(self.row_id(), CREATOR, now_ms, &cells);
            inserted.push(row.clone());
            if let Some(table) = self.table_mut(environment, &name) {
                table.put(row);
            }
        }
        Ok(inserted)
    }

    /// Changes rows, each of which names its ROWID; either all of them or none.
    pub(super) fn update(
        &mut self,
        environment: Environment,
        named: &str,
        rows: &[Map<String, Value>],
        now_ms: i64,
    ) -> Result<Vec<Row>, ApiError> {
        let table = self.known(environment, named)?;
        let mut changed = Vec::with_capacity(rows.len());
        for object in rows {
            let id = object.get("ROWID").and_then(read_id);
            let id = id.ok_or_else(|| {
                ApiError::new(400, "MISSING_VALUE", "ROWID is missing in the given input")
            })?;
            let old = table.row(id).ok_or_else(|| ApiError::no_such("row"))?;
            let cells = cells_of(table, object, Some(old))?;
            self.check_cells(environment, table, &cells, Some(id))?;
            let mut row = old.clone();
            row.set_cells(&cells);
            row.modified_ms = now_ms;
            changed.push(row);
        }
        let name = table.name.clone();
        if let Some(table) = self.table_mut(environment, &name) {
            for row in &changed {
                table.put(row.clone());
            }
        }
        Ok(changed)
    }

    /// Takes rows out, either all of them or none, and does with their children what the foreign keys say.
    pub(super) fn delete(
        &mut self,
        environment: Environment,
        named: &str,
        ids: &[i64],
        now_ms: i64,
    ) -> Result<Vec<Changed>, ApiError> {
        let table = self.known(environment, named)?;
        if ids.iter().any(|id| table.row(*id).is_none()) {
            return Err(ApiError::no_such("row"));
        }
        let name = table.name.clone();
        let gone = self
            .table_mut(environment, &name)
            .map(|table| table.remove_many(ids));
        let change = |row: Row| Changed {
            table: name.clone(),
            action: Action::Delete,
            row,
        };
        let mut changes: Vec<Changed> = gone.into_iter().flatten().map(change).collect();
        self.orphan(environment, &name, ids, now_ms, &mut changes);
        Ok(changes)
    }

    /// Empties a table.
    pub(super) fn truncate(
        &mut self,
        environment: Environment,
        named: &str,
    ) -> Result<(), ApiError> {
        self.known(environment, named)?;
        if let Some(table) = self.table_mut(environment, named) {
            table.truncate();
        }
        Ok(())
    }

    /// Clears or deletes the rows that point to rows which are gone.
    fn orphan(
        &mut self,
        environment: Environment,
        parent: &str,
        ids: &[i64],
        now_ms: i64,
        changes: &mut Vec<Changed>,
    ) {
        let gone: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut cascades = Vec::new();
        for table in &mut self.sets[environment as usize] {
            for place in 0..table.columns.len() {
                let on_delete = match &table.columns[place].parent {
                    Some((name, on_delete)) if name == parent => *on_delete,
                    _ => continue,
                };
                let points = |row: &&Row| {
                    row.cell(place)
                        .is_some_and(|key| gone.iter().any(|gone| gone == key))
                };
                let children: Vec<Row> = table.rows().iter().filter(points).cloned().collect();
                if on_delete == OnDelete::Cascade {
                    let ids = children.iter().map(|child| child.id).collect::<Vec<_>>();
                    cascades.push((table.name.clone(), ids));
                    continue;
                }
                for mut child in children {
                    let mut cells: Vec<_> =
                        child.cells().map(|cell| cell.map(str::to_owned)).collect();
                    cells[place] = None;
                    child.set_cells(&cells);
                    child.modified_ms = now_ms;
                    table.put(child.clone());
                    changes.push(Changed {
                        table: table.name.clone(),
                        action: Action::Update,
                        row: child,
                    });
                }
            }
        }
        for (table, ids) in cascades {
            if let Ok(more) = self.delete(environment, &table, &ids, now_ms) {
                changes.extend(more);
            }
        }
    }

    pub(super) fn known(&self, environment: Environment, named: &str) -> Result<&Table, ApiError> {
        self.table(environment, named)
            .ok_or_else(|| ApiError::no_such(format!("table {named}")))
    }

    fn check_room(
        &self,
        environment: Environment,
        table: &Table,
        more: usize,
    ) -> Result<(), ApiError> {
        if environment == Environment::Production {
            return Ok(());
        }
        let all: usize = self
            .tables(environment)
            .iter()
            .map(|table| table.rows().len())
            .sum();
        if table.rows().len() + more > DEVELOPMENT_TABLE_ROWS || all + more > DEVELOPMENT_ROWS {
            return Err(ApiError::new(
                403,
                "API_LIMIT_REACHED",
                "The row limit of the development environment has been reached",
            ));
        }
        Ok(())
    }

    /// Looks at what only the whole row and the other rows show.
    fn check_cells(
        &self,
        environment: Environment,
        table: &Table,
        cells: &[Option<String>],
        own: Option<i64>,
    ) -> Result<(), ApiError> {
        for (column, cell) in table.columns.iter().zip(cells) {
            let is_empty = cell.as_deref().is_none_or(str::is_empty);
            if column.is_mandatory && is_empty {
                let message = format!("Mandatory column {} value is missing", column.name);
                return Err(ApiError::new(400, "MISSING_VALUE", message));
            }
            if let (Some((parent, _)), Some(key)) = (&column.parent, cell) {
                let parent = self.table(environment, parent);
                let is_there = parent
                    .zip(key.parse().ok())
                    .is_some_and(|(parent, key)| parent.row(key).is_some());
                if !is_there {
                    return Err(ApiError::invalid(format!(
                        "Invalid foreign key value for the column {}",
                        column.name
                    )));
                }
            }
        }
        for (place, value) in unique_cells(table, cells) {
            if table
                .owner(place, value)
                .is_some_and(|owner| Some(owner) != own)
            {
                return Err(duplicate(table, place));
            }
        }
        Ok(())
    }
}

/// The cells of a row that a request describes, on top of those of the row that it changes.
pub(super) fn cells_of(
    table: &Table,
    object: &Map<String, Value>,
    old: Option<&Row>,
) -> Result<Vec<Option<String>>, ApiError> {
    let is_column = |name: &String| table.columns.iter().any(|column| column.name == *name);
    let is_known = |name: &&String| is_column(name) || System::from_name(name).is_some();
    if let Some(unknown) = object.keys().find(|name| !is_known(name)) {
        return Err(ApiError::invalid(format!("Invalid column name {unknown}")));
    }
    let mut old_cells = old.map(Row::cells);
    let cell = |column: &Column| {
        let before = old_cells.as_mut().and_then(Iterator::next);
        match (object.get(&column.name), before) {
            (Some(value), _) => column.accept(value),
            (None, Some(before)) => Ok(before.map(str::to_owned)),
            (None, None) => Ok(column.default.clone()),
        }
    };
    table.columns.iter().map(cell).collect()
}

/// An id, which may be a number or a text.
pub(super) fn read_id(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

fn unique_cells<'a>(
    table: &'a Table,
    cells: &'a [Option<String>],
) -> impl Iterator<Item = (usize, &'a str)> {
    let columns = table.columns.iter().zip(cells).enumerate();
    columns.filter_map(|(place, (column, cell))| {
        let value = cell.as_deref().filter(|_| column.is_unique)?;
        Some((place, value))
    })
}

fn duplicate(table: &Table, place: usize) -> ApiError {
    let message = format!(
        "Duplicate value for the unique column {}",
        table.columns[place].name
    );
    ApiError::new(409, "DUPLICATE_VALUE", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::column::DataType;
    use super::*;

    const HERE: Environment = Environment::Production;

    fn rows(value: Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(value).unwrap()
    }

    /// A table `Parents`, and `Children` that point to it.
    fn family(on_delete: OnDelete) -> (Store, Vec<i64>) {
        let mut store = Store::new();
        let mut name = Column::new("Name", DataType::Varchar);
        name.is_unique = true;
        store.create("Parents", vec![name]);
        let mut key = Column::new("Parent", DataType::ForeignKey);
        key.parent = Some(("Parents".to_owned(), on_delete));
        store.create("Children", vec![key]);
        let made = rows(json!([{"Name": "a"}, {"Name": "b"}]));
        let parents = store.insert(HERE, "Parents", &made, 1).unwrap();
        let ids: Vec<i64> = parents.iter().map(|row| row.id).collect();
        let children = rows(json!([{"Parent": ids[0]}, {"Parent": ids[1]}, {"Parent": null}]));
        store.insert(HERE, "Children", &children, 1).unwrap();
        (store, ids)
    }

    #[test]
    fn children_of_a_deleted_row_lose_their_key_or_go_with_it() {
        for (on_delete, left, action) in [
            (OnDelete::Null, 3, Action::Update),
            (OnDelete::Cascade, 2, Action::Delete),
        ] {
            let (mut store, ids) = family(on_delete);
            let changes = store.delete(HERE, "Parents", &ids[..1], 2).unwrap();
            assert_eq!(changes.len(), 2);
            assert_eq!(
                (changes[1].table.as_str(), changes[1].action),
                ("Children", action)
            );
            assert_eq!(store.table(HERE, "Children").unwrap().rows().len(), left);
        }
    }

    #[test]
    fn of_several_rows_all_are_changed_or_none() {
        let (mut store, ids) = family(OnDelete::Null);
        assert!(store.delete(HERE, "Parents", &[ids[0], 7], 2).is_err());
        let twice = rows(json!([{"Name": "c"}, {"Name": "c"}]));
        assert_eq!(
            store.insert(HERE, "Parents", &twice, 2).unwrap_err().code,
            "DUPLICATE_VALUE"
        );
        let bad =
            rows(json!([{"ROWID": ids[0], "Name": "d"}, {"ROWID": ids[1], "Name": 5, "Age": 1}]));
        assert!(store.update(HERE, "Parents", &bad, 2).is_err());
        let parents = store.table(HERE, "Parents").unwrap();
        assert_eq!(parents.rows().len(), 2);
        assert_eq!(parents.rows()[0].cell(0), Some("a"));
        let stray = rows(json!([{"Parent": 7}]));
        assert_eq!(
            store.insert(HERE, "Children", &stray, 2).unwrap_err().code,
            "INVALID_INPUT"
        );
        let same = rows(json!([{"ROWID": ids[0].to_string(), "Name": "a"}]));
        assert!(store.update(HERE, "Parents", &same, 2).is_ok());
        assert_eq!(store.delete(HERE, "Parents", &ids, 2).unwrap().len(), 4);
    }

    #[test]
    fn names_are_case_sensitive_and_ids_are_names_too() {
        let (store, _) = family(OnDelete::Null);
        let table = store.known(HERE, "Parents").unwrap();
        assert!(store.known(HERE, "parents").is_err());
        assert_eq!(
            store.known(HERE, &table.id.to_string()).unwrap().name,
            "Parents"
        );
    }
}
