//! Everything that the stand-in keeps: datasets with their tables, jobs, uploads, write streams.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::access::Access;
use super::answer::ApiError;
use super::base64;
use super::insert_all::InsertIds;
use super::job::Jobs;
use super::quota::{Limits, Quotas};
use super::table::{Table, TableName};
use super::upload::Uploads;
use super::write::Writes;

/// A dataset and its tables.
#[derive(Debug, Clone)]
pub(crate) struct Dataset {
    pub(crate) location: String,
    /// What else was said about it, in the form of the REST API.
    pub(crate) settings: Map<String, Value>,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    pub(crate) revision: u64,
    pub(crate) tables: BTreeMap<String, Table>,
}

impl Dataset {
    /// The name under which a table is kept, which a dataset may compare without case.
    fn key<'a>(&'a self, table: &'a str) -> &'a str {
        if self.settings.get("isCaseInsensitive") != Some(&Value::Bool(true)) {
            return table;
        }
        self.tables
            .keys()
            .find(|known| known.eq_ignore_ascii_case(table))
            .map_or(table, String::as_str)
    }

    pub(crate) fn table(&self, table: &str) -> Option<&Table> {
        self.tables.get(self.key(table))
    }
}

/// Everything that the stand-in keeps.
pub(crate) struct Store {
    pub(crate) datasets: BTreeMap<(String, String), Dataset>,
    pub(crate) jobs: Jobs,
    pub(crate) uploads: Uploads,
    pub(crate) writes: Writes,
    pub(crate) insert_ids: InsertIds,
    pub(crate) access: Access,
    pub(crate) quotas: Quotas,
    pub(crate) limits: Limits,
    /// The number that the next thing gets.
    next_id: u64,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Store {
        Store {
            datasets: BTreeMap::new(),
            jobs: Jobs::default(),
            uploads: Uploads::default(),
            writes: Writes::default(),
            insert_ids: InsertIds::default(),
            access: Access::default(),
            quotas: Quotas::default(),
            limits,
            next_id: 0,
        }
    }

    /// A number that nothing else has.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn dataset(&self, project: &str, dataset: &str) -> Result<&Dataset, ApiError> {
        self.datasets
            .get(&(project.to_owned(), dataset.to_owned()))
            .ok_or_else(|| ApiError::not_found(format!("Dataset {project}:{dataset}")))
    }

    pub(crate) fn dataset_mut(
        &mut self,
        project: &str,
        dataset: &str,
    ) -> Result<&mut Dataset, ApiError> {
        self.datasets
            .get_mut(&(project.to_owned(), dataset.to_owned()))
            .ok_or_else(|| ApiError::not_found(format!("Dataset {project}:{dataset}")))
    }

    pub(crate) fn table(&self, name: &TableName) -> Result<&Table, ApiError> {
        self.dataset(&name.project, &name.dataset)?
            .table(&name.table)
            .ok_or_else(|| ApiError::not_found(format!("Table {name}")))
    }

    /// A table whose rows or metadata are about to change.
    pub(crate) fn table_mut(&mut self, name: &TableName) -> Result<&mut Table, ApiError> {
        let dataset = self.dataset_mut(&name.project, &name.dataset)?;
        let key = dataset.key(&name.table).to_owned();
        dataset
            .tables
            .get_mut(&key)
            .ok_or_else(|| ApiError::not_found(format!("Table {name}")))
    }

    /// Puts a table under a name, in place of what was there.
    pub(crate) fn put_table(
        &mut self,
        name: &TableName,
        mut table: Table,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let id = self.next_id();
        let dataset = self.dataset_mut(&name.project, &name.dataset)?;
        table.record.id = id;
        table.record.created_ms = now_ms;
        table.record.modified_ms = now_ms;
        table.record.revision = 1;
        if table.expires_at_ms.is_none() {
            table.expires_at_ms = dataset
                .settings
                .get("defaultTableExpirationMs")
                .and_then(Value::as_str)
                .and_then(|text| text.parse::<u64>().ok())
                .map(|ms| now_ms + ms);
        }
        let key = dataset.key(&name.table).to_owned();
        dataset.tables.insert(key, table);
        self.writes.forget_table(name);
        self.insert_ids.forget_table(name);
        Ok(())
    }

    pub(crate) fn drop_table(&mut self, name: &TableName) -> Result<Table, ApiError> {
        let dataset = self.dataset_mut(&name.project, &name.dataset)?;
        let key = dataset.key(&name.table).to_owned();
        let table = dataset
            .tables
            .remove(&key)
            .ok_or_else(|| ApiError::not_found(format!("Table {name}")))?;
        self.writes.forget_table(name);
        self.insert_ids.forget_table(name);
        Ok(table)
    }

    /// Lets tables go whose time has come.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        for dataset in self.datasets.values_mut() {
            dataset
                .tables
                .retain(|_, table| table.expires_at_ms.is_none_or(|time| time > now_ms));
        }
    }

    /// Every table with its name.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (TableName, &Table)> {
        self.datasets
            .iter()
            .flat_map(|((project, dataset), content)| {
                content
                    .tables
                    .iter()
                    .map(move |(table, content)| (TableName::new(project, dataset, table), content))
            })
    }
}

impl Table {
    /// The mark of the present metadata, which `If-Match` is compared with.
    pub(crate) fn etag(&self) -> String {
        let mark = format!("{}.{}", self.record.id, self.record.revision);
        base64::encode(mark.as_bytes())
    }

    /// Notes that the metadata changed.
    pub(crate) fn touch(&mut self, now_ms: u64) {
        self.record.revision += 1;
        self.record.modified_ms = now_ms;
    }
}

/// Things of one kind that are found by name and shown in the order in which they came.
#[derive(Debug)]
pub(crate) struct Ordered<Key, Thing> {
    things: HashMap<Key, Thing>,
    order: Vec<Key>,
}

impl<Key, Thing> Default for Ordered<Key, Thing> {
    fn default() -> Self {
        Ordered {
            things: HashMap::new(),
            order: Vec::new(),
        }
    }
}

impl<Key: Clone + Eq + std::hash::Hash, Thing> Ordered<Key, Thing> {
    pub(crate) fn get(&self, key: &Key) -> Option<&Thing> {
        self.things.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Thing> {
        self.things.get_mut(key)
    }

    /// Adds a thing whose name nothing has.
    pub(crate) fn add(&mut self, key: Key, thing: Thing) {
        self.order.push(key.clone());
        self.things.insert(key, thing);
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (&Key, &Thing)> {
        self.order
            .iter()
            .rev()
            .filter_map(|key| self.things.get(key).map(|thing| (key, thing)))
    }
}
