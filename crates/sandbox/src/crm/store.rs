//! What the organisation holds: users, modules with their records, and what was deleted. Facts:
//! section 7.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Map, Value};

use super::catalog;
use super::field::{Kind, Place};
use super::module::Module;
use super::table::Row;
use super::value;

/// The first ids of modules and of records; records have 18 digits, which a float cannot hold.
const FIRST_MODULE: i64 = 611_000_000_000_002_000;
const FIRST_RECORD: i64 = 611_000_000_000_377_011;
const FIRST_USER: i64 = 611_000_000_000_123_001;

const DAY: i64 = 86_400;
/// Seconds that a record stays in the recycle bin, and that its end is told afterwards.
const RECYCLED: i64 = 60 * DAY;
const TOLD: i64 = 120 * DAY;

/// One user of the organisation.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) first: &'static str,
    pub(super) last: &'static str,
    pub(super) email: String,
}

impl User {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    pub(super) fn id_text(&self) -> String {
        self.id.to_string()
    }
}

/// How a record is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Into the recycle bin, from which it can come back
    Recycle,
    /// For good
    Permanent,
}

/// A record that was deleted.
#[derive(Clone, Debug)]
pub(super) struct Deleted {
    pub(super) id: i64,
    pub(super) deletion: Deletion,
    pub(super) name: Option<String>,
    /// Seconds since 1970.
    pub(super) deleted: i64,
    /// What comes back out of the bin.
    row: Option<Row>,
}

/// Everything that is kept.
pub(super) struct Store {
    pub(super) modules: Vec<Module>,
    pub(super) users: Vec<User>,
    /// By the name of the module, oldest first.
    deleted: BTreeMap<String, Vec<Deleted>>,
    /// Records that a bulk write does not change, with the code of its error.
    pub(super) blocked: BTreeMap<i64, String>,
    pub(super) multi_separator: &'static str,
    next_record: i64,
    next_module: i64,
}

impl Store {
    /// The modules of the catalog, without records; `user` is the address of whose tokens are used.
    pub(super) fn new(user: &str, multi_separator: &'static str) -> Store {
        let people = [
            ("Mira", "Olsen", user),
            ("Ivo", "Brandt", "ivo@example.com"),
            ("Sana", "Qureshi", "sana@example.com"),
        ];
        let user =
            |(number, (first, last, email)): (i64, (&'static str, &'static str, &str))| User {
                id: FIRST_USER + number * 12,
                first,
                last,
                email: email.to_owned(),
            };
        let mut store = Store {
            modules: Vec::new(),
            users: (0..).zip(people).map(user).collect(),
            deleted: BTreeMap::new(),
            blocked: BTreeMap::new(),
            multi_separator,
            next_record: FIRST_RECORD,
            next_module: FIRST_MODULE,
        };
        for module in catalog::modules() {
            store.add_module(module);
        }
        store
    }

    /// Adds a module; one of that name is replaced, its records are gone.
    pub(super) fn add_module(&mut self, mut module: Module) {
        self.next_module += 177;
        module.settle(self.next_module);
        match self.place(&module.name) {
            Some(place) => self.modules[place] = module,
            None => self.modules.push(module),
        }
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.modules.iter().position(|module| module.name == name)
    }

    pub(super) fn module(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }

    pub(super) fn module_mut(&mut self, name: &str) -> Option<&mut Module> {
        self.modules.iter_mut().find(|module| module.name == name)
    }

    pub(super) fn user(&self, id: i64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// An id that no record had before.
    pub(super) fn record_id(&mut self) -> i64 {
        self.next_record += 1;
        self.next_record
    }

    /// Puts a record into a module whatever its limits: one with a known id is changed, another one is
    /// added, with its id if it has one. Times are those of the record, or now. Returns the id.
    pub(super) fn put(
        &mut self,
        name: &str,
        object: &Map<String, Value>,
        now: i64,
    ) -> anyhow::Result<i64> {
        let id = match object.get("id") {
            None | Some(Value::Null) => self.record_id(),
            Some(Value::String(id)) => id.parse().context("`id` is no id")?,
            Some(other) => other.as_i64().context("`id` is no id")?,
        };
        self.next_record = self.next_record.max(id);
        let owner = self.users.first().map(User::id_text);
        let module = self.module_mut(name).context("there is no such module")?;
        let old = module.table.row(id).cloned();
        let mut cells = match &old {
            Some(row) => row.owned_cells(module.own_count),
            None => new_cells(module, owner),
        };
        let mut row = old.unwrap_or_else(|| Row::new(id, now, 0, &[]));
        row.modified = now;
        for (key, given) in object {
            if key == "id" {
                continue;
            }
            if key == "$converted" {
                row.is_converted = given.as_bool().unwrap_or_default();
                continue;
            }
            let field = module
                .field(key)
                .with_context(|| format!("the module has no field `{key}`"))?;
            let kept = value::from_json(field, given)
                .map_err(|_| anyhow::anyhow!("the value of `{key}` cannot be kept"))?;
            let time = || {
                kept.as_deref()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(now)
            };
            match field.place {
                Place::Own(place) => cells[place] = kept,
                Place::CreatedTime => row.created = time(),
                Place::ModifiedTime => row.modified = time(),
                _ => anyhow::bail!("`{key}` cannot be set"),
            }
        }
        row.set_cells(&cells);
        module.table.put(row);
        Ok(id)
    }

    /// Deletes records; returns how many were there.
    pub(super) fn delete(
        &mut self,
        name: &str,
        ids: &[i64],
        deletion: Deletion,
        now: i64,
    ) -> usize {
        let Some(module) = self.modules.iter_mut().find(|module| module.name == name) else {
            return 0;
        };
        let list = self.deleted.entry(name.to_owned()).or_default();
        let mut count = 0;
        for id in ids {
            let Some(row) = module.table.remove(*id) else {
                continue;
            };
            count += 1;
            list.push(Deleted {
                id: *id,
                deletion,
                name: module
                    .display_name(&row)
                    .filter(|_| deletion == Deletion::Recycle),
                deleted: now,
                row: (deletion == Deletion::Recycle).then_some(row),
            });
        }
        count
    }

    /// Takes records out of the recycle bin; `modified` is their new time of change, if they get one.
    pub(super) fn restore(&mut self, name: &str, ids: &[i64], modified: Option<i64>) -> usize {
        let list = self.deleted.entry(name.to_owned()).or_default();
        let Some(module) = self.modules.iter_mut().find(|module| module.name == name) else {
            return 0;
        };
        let mut count = 0;
        list.retain_mut(|deleted| {
            let Some(mut row) = deleted.row.take_if(|row| ids.contains(&row.id)) else {
                return true;
            };
            row.modified = modified.unwrap_or(row.modified);
            module.table.put(row);
            count += 1;
            false
        });
        count
    }

    /// What was deleted and is still told, oldest first.
    pub(super) fn deleted(&self, name: &str, now: i64) -> Vec<Deleted> {
        let list = self.deleted.get(name).map_or(&[][..], Vec::as_slice);
        let told = |deleted: &Deleted| {
            let mut deleted = deleted.clone();
            deleted.row = None;
            if deleted.deletion == Deletion::Recycle && now - deleted.deleted >= RECYCLED {
                deleted.deletion = Deletion::Permanent;
                deleted.deleted += RECYCLED;
                deleted.name = None;
            }
            let is_told = deleted.deletion == Deletion::Recycle || now - deleted.deleted < TOLD;
            is_told.then_some(deleted)
        };
        list.iter().filter_map(told).collect()
    }
}

/// The cells of a record that is made: its owner and its number.
pub(super) fn new_cells(module: &mut Module, owner: Option<String>) -> Vec<Option<String>> {
    let mut cells = vec![None; module.own_count];
    for field in &module.fields {
        let Place::Own(place) = field.place else {
            continue;
        };
        if field.name == "Owner" {
            cells[place].clone_from(&owner);
        }
        if field.kind == Kind::AutoNumber {
            cells[place] = Some(module.next_auto_number.to_string());
        }
    }
    module.next_auto_number += 1;
    cells
}
