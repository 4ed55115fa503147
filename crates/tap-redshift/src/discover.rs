//! Discovery: the tables that the user may read, as catalog entries. What is asked of the catalogs
//! stands in the submodules, one for each kind of server.

use std::collections::{BTreeMap, BTreeSet};

use singer_core::Error;
use singer_runtime::tap::{Discovery, Scope};

use crate::config::{Config, Names, StreamNameFormat};
use crate::connect::Session;
use crate::failure::Attempt;
use crate::table::{Table, TableName};

mod columns;
mod entry;
mod postgresql;
mod redshift;

/// Which tables a query of the catalog is limited to.
pub(crate) struct Limits<'a> {
    config: &'a Config,
    /// `tap_stream_id`s, if only some streams are of interest.
    ids: Option<&'a [String]>,
    /// Names of tables in any schema, if only these are of interest.
    names: Option<Vec<&'a str>>,
}

impl<'a> Limits<'a> {
    /// The limits of a scope.
    pub(crate) fn new(config: &'a Config, scope: &'a Scope) -> Self {
        let ids = match scope {
            Scope::All => None,
            Scope::Streams(ids) => Some(ids.as_slice()),
        };
        Self {
            config,
            ids,
            names: None,
        }
    }

    /// A condition on two columns of the catalog. A stream id is compared as a whole, since it
    /// cannot be taken apart where names hold dots.
    fn condition(&self, session: &Session, schema: &str, table: &str) -> String {
        let mut conditions = Vec::new();
        if let Some(names) = &self.config.schema {
            let names = names.as_slice().iter().map(String::as_str);
            let list = crate::sql::literals(names, &session.server);
            conditions.push(format!("{schema} IN ({list})"));
        }
        if let Some(ids) = self.ids {
            let prefix = format!("{}.", self.config.dbname);
            let tails = ids.iter().filter_map(|id| id.strip_prefix(&prefix));
            let list = crate::sql::literals(tails, &session.server);
            if list.is_empty() {
                conditions.push("1 = 0".to_owned());
            } else {
                conditions.push(format!("({schema} || '.' || {table}) IN ({list})"));
            }
        }
        if let Some(names) = &self.names {
            let list = crate::sql::literals(names.iter().copied(), &session.server);
            conditions.push(format!("{table} IN ({list})"));
        }
        if conditions.is_empty() {
            "1 = 1".to_owned()
        } else {
            conditions.join(" AND ")
        }
    }

    /// The other databases that are of interest.
    fn databases(&self) -> Vec<&str> {
        let configured = self.config.databases.as_deref().unwrap_or_default();
        let others = configured
            .iter()
            .map(String::as_str)
            .filter(|name| *name != self.config.dbname);
        match self.ids {
            None => others.collect(),
            Some(ids) => others
                .filter(|name| ids.iter().any(|id| id.starts_with(&format!("{name}."))))
                .collect(),
        }
    }

    fn wants(&self, name: &TableName) -> bool {
        let schemas = self.config.schema.as_ref();
        schemas.is_none_or(|names| names.as_slice().contains(&name.schema))
            && self.ids.is_none_or(|ids| ids.contains(&name.stream_id()))
    }
}

/// Reads the catalogs.
pub(crate) async fn tables(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<Table>> {
    let mut tables = if session.server.is_redshift() {
        redshift::tables(session, limits).await?
    } else {
        postgresql::tables(session, limits).await?
    };
    tables.retain(|table| limits.wants(&table.name));
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// Looks for the schemas of the config in which no table was found: one that does not exist is an
/// error, since nothing else would tell that its name is wrong. Other databases are not asked.
pub(crate) async fn check_schemas(
    session: &mut Session,
    config: &Config,
    tables: &[Table],
) -> Attempt<()> {
    let named = config.schema.as_ref().map_or(&[][..], Names::as_slice);
    let without_tables: Vec<&str> = named
        .iter()
        .map(String::as_str)
        .filter(|schema| !tables.iter().any(|table| table.name.schema == *schema))
        .collect();
    if without_tables.is_empty() || config.databases.is_some() {
        return Ok(());
    }
    let list = crate::sql::literals(without_tables.iter().copied(), &session.server);
    let sql = format!("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname IN ({list})");
    let rows = session
        .query(&sql, "cannot look for the schemas of the config")
        .await?;
    let there: Vec<String> = rows.into_iter().flatten().flatten().collect();
    for schema in without_tables {
        if !there.iter().any(|name| name == schema) {
            let missing = format!("the database `{}` has no schema `{schema}`", config.dbname);
            return Err(Error::config(missing)
                .with_hint("correct `schema` in the config; names are compared with their case")
                .into());
        }
        tracing::warn!(schema, "no table was found in the schema");
    }
    Ok(())
}

/// The tables that share their name with one of these, by the same rules as [`tables`], so that one
/// table gets one stream name whatever the scope.
pub(crate) async fn namesakes(
    session: &mut Session,
    config: &Config,
    tables: &[Table],
) -> Attempt<Vec<TableName>> {
    if config.stream_name_format.is_some() || tables.is_empty() {
        return Ok(Vec::new());
    }
    let names: BTreeSet<&str> = tables
        .iter()
        .map(|table| table.name.table.as_str())
        .collect();
    let limits = Limits {
        config,
        ids: None,
        names: Some(names.into_iter().collect()),
    };
    let found = if session.server.is_redshift() {
        redshift::names(session, &limits).await?
    } else {
        postgresql::names(session, &limits).await?
    };
    Ok(found)
}

/// Makes catalog entries of tables; those with an obstacle become problems.
pub(crate) fn catalog(config: &Config, tables: &[Table], taken: &Collisions) -> Discovery {
    let formats = config.formats();
    let mut discovery = Discovery::default();
    for table in tables {
        match &table.obstacle {
            Some(obstacle) => discovery
                .problems
                .push((table.name.stream_id(), unreadable(&table.name, obstacle))),
            None => {
                let stream = stream_name(config.stream_name_format, &table.name, taken);
                discovery
                    .streams
                    .push(entry::entry(table, &stream, &formats));
            }
        }
    }
    discovery
}

fn unreadable(name: &TableName, obstacle: &str) -> anyhow::Error {
    let error = Error::rejected(format!("cannot read `{name}`: {obstacle}"));
    let is_lack_of_rights = obstacle.starts_with("the user has no");
    anyhow::Error::new(match is_lack_of_rights {
        true => error.with_hint("GRANT USAGE on the schema and SELECT on the table to the user"),
        false => error,
    })
}

/// Names of tables that exist in several schemas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Collisions {
    names: BTreeSet<String>,
}

impl Collisions {
    /// The names that occur more than once.
    pub(crate) fn among<'a>(names: impl IntoIterator<Item = &'a TableName>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            *counts.entry(&name.table).or_default() += 1;
        }
        let several = counts.into_iter().filter(|(_, count)| *count > 1);
        Self {
            names: several.map(|(name, _)| name.to_owned()).collect(),
        }
    }
}

/// The name in the messages. Without a format it is the table's, as the old tap has it, but for
/// tables whose name exists in several schemas: those are `schema-table`, all of them, so that
/// neither order nor selection decides.
fn stream_name(
    format: Option<StreamNameFormat>,
    name: &TableName,
    collisions: &Collisions,
) -> String {
    let TableName {
        database,
        schema,
        table,
    } = name;
    match format {
        Some(StreamNameFormat::Table) => table.clone(),
        Some(StreamNameFormat::SchemaTable) => format!("{schema}-{table}"),
        Some(StreamNameFormat::DatabaseSchemaTable) => format!("{database}-{schema}-{table}"),
        None if collisions.names.contains(table) => format!("{schema}-{table}"),
        None => table.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, table: &str) -> TableName {
        TableName {
            database: "dev".to_owned(),
            schema: schema.to_owned(),
            table: table.to_owned(),
        }
    }

    #[test]
    fn only_names_that_would_collide_get_their_schema() {
        let names = [name("a", "orders"), name("b", "orders"), name("b", "items")];
        let collisions = Collisions::among(&names);
        let streams = names.map(|name| stream_name(None, &name, &collisions));
        assert_eq!(streams, ["a-orders", "b-orders", "items"]);
        assert_eq!(
            stream_name(
                Some(StreamNameFormat::Table),
                &name("a", "orders"),
                &collisions
            ),
            "orders"
        );
        assert_eq!(
            stream_name(
                Some(StreamNameFormat::DatabaseSchemaTable),
                &name("a", "b"),
                &collisions
            ),
            "dev-a-b"
        );
    }
}
