//! One row of a bulk write: the record that it is about, what its cells change, and why it is skipped.
//! Facts: sections 8.2, 8.4 and 9.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Crm;
use super::field::{Kind, Place};
use super::options::UnknownPicks;
use super::plan::{Mapping, Operation, Plan, Target};
use super::store::{Store, User, new_cells};
use super::table::Row;
use super::value::{Reading, unknown_picks};

/// What becomes of one field.
enum Change {
    Set(String),
    Clear,
}

/// A code with the column that it is about.
type RowError = (&'static str, String);

/// What became of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) status: &'static str,
    pub(super) id: Option<i64>,
    pub(super) errors: String,
}

impl Outcome {
    pub(super) fn skipped(code: &str, column: &str) -> Outcome {
        Outcome {
            status: "SKIPPED",
            id: None,
            errors: format!("{code}-{column}"),
        }
    }
}

/// Applies rows one by one.
pub(super) struct Writer<'a> {
    pub(super) crm: &'a Crm,
    pub(super) plan: &'a Plan,
    /// Values of a column of the parents, with the ids of their records.
    pub(super) parents: &'a HashMap<String, i64>,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl Writer<'_> {
    /// The cell by which the record is found, if there is one.
    pub(super) fn key_of<'row>(&self, row: &'row [Cow<'_, str>]) -> Option<&'row str> {
        let index = self.plan.mappings.get(self.plan.key?)?.index?;
        row.get(index)
            .map(Cow::as_ref)
            .filter(|cell| !cell.is_empty())
    }

    /// Applies a row, or says why not.
    pub(super) fn write(&self, store: &mut Store, row: &[Cow<'_, str>]) -> Outcome {
        let found = match self.find(store, row) {
            Ok(found) => found,
            Err(outcome) => return outcome,
        };
        if let Some(code) = found.and_then(|id| store.blocked.get(&id)) {
            let key = self.plan.find_by.as_deref().unwrap_or("id");
            return Outcome::skipped(code, key);
        }
        let (changes, mut errors) = self.changes(store, row, found);
        self.check(store, &changes, found, &mut errors);
        if !errors.is_empty() {
            return Outcome {
                status: "SKIPPED",
                id: None,
                errors: joined(&errors),
            };
        }
        self.put(store, changes, found)
    }

    /// The record that a row is about, if it is there.
    fn find(&self, store: &Store, row: &[Cow<'_, str>]) -> Result<Option<i64>, Outcome> {
        let Some(find_by) = self.plan.find_by.as_deref() else {
            return Ok(None);
        };
        let operation = self.plan.operation;
        let Some(key) = self.key_of(row) else {
            return match operation {
                Operation::Insert => Ok(None),
                Operation::Upsert if find_by == "id" => Ok(None),
                _ => Err(Outcome::skipped("MANDATORY_NOT_FOUND", find_by)),
            };
        };
        let module = store.module(&self.plan.module);
        let found = if find_by == "id" {
            let id: i64 = key
                .parse()
                .map_err(|_| Outcome::skipped("INVALID_DATA", find_by))?;
            module
                .and_then(|module| module.table.row(id))
                .map(|row| row.id)
        } else {
            module.and_then(|module| module.table.owner(module.own(find_by)?, key))
        };
        match (operation, found) {
            (Operation::Insert, Some(_)) => Err(Outcome::skipped("DUPLICATE_DATA", find_by)),
            (Operation::Update, None) => Err(Outcome::skipped("RESOURCE_NOT_FOUND", find_by)),
            (Operation::Upsert, None) if find_by == "id" => {
                Err(Outcome::skipped("RESOURCE_NOT_FOUND", find_by))
            }
            _ => Ok(found),
        }
    }

    /// What the cells change, by the place of the field, and the cells that are wrong.
    fn changes(
        &self,
        store: &mut Store,
        row: &[Cow<'_, str>],
        found: Option<i64>,
    ) -> (Vec<(usize, Change)>, Vec<RowError>) {
        let mut changes = Vec::with_capacity(self.plan.mappings.len());
        let mut errors = Vec::new();
        for mapping in &self.plan.mappings {
            let Target::Field(field) = mapping.target else {
                continue;
            };
            let cell = mapping.index.and_then(|index| row.get(index));
            let cell = cell.map(Cow::as_ref).unwrap_or_default();
            let cell = match &mapping.default {
                Some(default) if cell.is_empty() => default.as_str(),
                _ => cell,
            };
            if cell.is_empty() {
                if found.is_some() && !self.plan.ignore_empty {
                    changes.push((field, Change::Clear));
                }
                continue;
            }
            match self.kept(store, field, mapping, cell) {
                Some(kept) => changes.push((field, Change::Set(kept))),
                None => errors.push(("INVALID_DATA", mapping.name.clone())),
            }
        }
        (changes, errors)
    }

    /// A cell in the form in which it is kept; nothing if its field does not take it.
    fn kept(
        &self,
        store: &mut Store,
        place: usize,
        mapping: &Mapping,
        cell: &str,
    ) -> Option<String> {
        let field = store.module(&self.plan.module)?.fields.get(place)?;
        if mapping.parent_column.is_some() {
            return self.parents.get(cell).map(ToString::to_string);
        }
        match field.kind {
            Kind::Record => return record(store, field.lookup.as_deref(), mapping, cell),
            Kind::User => return user(store, mapping, cell),
            _ => {}
        }
        let reading = Reading {
            zone: self.crm.zone,
            format: mapping.format.as_deref(),
            is_mapped: self.plan.is_mapped,
        };
        let kept = reading.take(field, cell).ok()?;
        let unknown = unknown_picks(field, &kept);
        if !unknown.is_empty() {
            let usual = self.crm.options.unknown_picks == UnknownPicks::Add;
            if !field.adds_picks.unwrap_or(usual) {
                return None;
            }
            let module = store.module_mut(&self.plan.module)?;
            module.fields.get_mut(place)?.picks.extend(unknown);
        }
        Some(kept)
    }

    /// Looks for mandatory fields without a value, and for values that others have.
    fn check(
        &self,
        store: &Store,
        changes: &[(usize, Change)],
        found: Option<i64>,
        errors: &mut Vec<RowError>,
    ) {
        let Some(module) = store.module(&self.plan.module) else {
            return;
        };
        for (place, field) in module.fields.iter().enumerate() {
            let change = changes.iter().find(|(changed, _)| *changed == place);
            let is_empty = match change {
                None => found.is_none(),
                Some((_, Change::Clear)) => true,
                Some((_, Change::Set(_))) => false,
            };
            let is_wrong = errors.iter().any(|(_, name)| *name == field.name);
            if field.is_mandatory && is_empty && !is_wrong {
                errors.push(("MANDATORY_NOT_FOUND", field.name.clone()));
            }
            if let (true, Place::Own(own), Some((_, Change::Set(value)))) =
                (field.is_unique, field.place, change)
                && module
                    .table
                    .owner(own, value)
                    .is_some_and(|owner| Some(owner) != found)
            {
                errors.push(("DUPLICATE_DATA", field.name.clone()));
            }
        }
    }

    fn put(&self, store: &mut Store, changes: Vec<(usize, Change)>, found: Option<i64>) -> Outcome {
        let owner = store.users.first().map(User::id_text);
        let id = found.unwrap_or_else(|| store.record_id());
        let Some(module) = store.module_mut(&self.plan.module) else {
            return Outcome::skipped("CANNOT_PROCESS", "id");
        };
        let old = found.and_then(|id| module.table.row(id)).cloned();
        let mut cells = match &old {
            Some(row) => row.owned_cells(module.own_count),
            None => new_cells(module, owner),
        };
        for (field, change) in changes {
            if let Place::Own(place) = module.fields[field].place {
                cells[place] = match change {
                    Change::Set(value) => Some(value),
                    Change::Clear => None,
                };
            }
        }
        let status = if old.is_some() { "UPDATED" } else { "ADDED" };
        let mut row = old.unwrap_or_else(|| Row::new(id, self.now, 0, &[]));
        row.set_cells(&cells);
        row.modified = self.now;
        row.modified_by = 0;
        module.table.put(row);
        Outcome {
            status,
            id: Some(id),
            errors: String::new(),
        }
    }
}

/// The id of the record that a cell of a lookup means.
fn record(store: &Store, target: Option<&str>, mapping: &Mapping, cell: &str) -> Option<String> {
    let module = store.module(target?)?;
    let id = match mapping.find_by.as_deref() {
        None | Some("id") => module.table.row(cell.parse().ok()?)?.id,
        Some(find_by) => match module.field(find_by)?.place {
            Place::Own(place) => module.table.owner(place, cell)?,
            _ => {
                let mut rows = module.table.rows().iter();
                rows.find(|row| module.display_name(row).as_deref() == Some(cell))?
                    .id
            }
        },
    };
    Some(id.to_string())
}

/// The id of the user that a cell means.
fn user(store: &Store, mapping: &Mapping, cell: &str) -> Option<String> {
    let by_email = mapping.find_by.as_deref() == Some("email");
    let user = store.users.iter().find(|user| {
        if by_email {
            user.email.eq_ignore_ascii_case(cell)
        } else {
            user.id_text() == cell
        }
    });
    user.map(User::id_text)
}

/// Errors as the result has them: `CODE-Column,Column:CODE-Column`.
fn joined(errors: &[RowError]) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for (code, _) in errors {
        if !codes.contains(code) {
            codes.push(code);
        }
    }
    let part = |code: &&str| {
        let names = errors.iter().filter(|(found, _)| found == code);
        let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
        format!("{code}-{}", names.join(","))
    };
    codes.iter().map(part).collect::<Vec<_>>().join(":")
}
