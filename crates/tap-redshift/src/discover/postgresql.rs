//! The catalog of PostgreSQL: tables, views, materialised views, foreign and partitioned tables.
//! Partitions are left out, since their parent holds all rows.

use super::Limits;
use super::columns::{Row, Tables};
use crate::connect::Session;
use crate::failure::Attempt;
use crate::table::{Column, Table, TableName};
use crate::types::{CatalogType, Type};

/// The tables of the connected database.
pub(super) async fn tables(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<Table>> {
    let sql = query(session, limits);
    let rows = session
        .query(&sql, "cannot read the catalog of the database")
        .await?;
    let mut tables = Tables::default();
    for values in &rows {
        let row = Row(values);
        let name = TableName {
            database: limits.config.dbname.clone(),
            schema: row.text(0).to_owned(),
            table: row.text(1).to_owned(),
        };
        if tables.is_new(&name) {
            tables.begin(table(name, &row), row.text(5));
        }
        if let Some(number) = row.number(6) {
            tables.add(number, column(&row));
        }
    }
    let mut tables = tables.finish();
    for table in &mut tables {
        let readable = table.columns.iter().any(|column| column.readable);
        if table.obstacle.is_none() && !readable {
            table.obstacle = Some(match table.columns.is_empty() {
                true => "it has no columns".to_owned(),
                false => "the user has no SELECT on it".to_owned(),
            });
        }
    }
    Ok(tables)
}

/// The names alone.
pub(super) async fn names(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<TableName>> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_namespace n \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid WHERE {}",
        which(session, limits)
    );
    let rows = session
        .query(&sql, "cannot read the catalog of the database")
        .await?;
    let names = rows.iter().map(|values| {
        let row = Row(values);
        TableName {
            database: limits.config.dbname.clone(),
            schema: row.text(0).to_owned(),
            table: row.text(1).to_owned(),
        }
    });
    Ok(names.collect())
}

fn table(name: TableName, row: &Row<'_>) -> Table {
    let usable = row.flag(4);
    Table {
        name,
        foreign_database: false,
        is_view: matches!(row.text(2), "v" | "m"),
        row_count: row.number(3).filter(|count: &i64| *count >= 0),
        columns: Vec::new(),
        key: Vec::new(),
        obstacle: (!usable).then(|| "the user has no USAGE on the schema".to_owned()),
    }
}

fn column(row: &Row<'_>) -> Column {
    let element = row.has(16).then(|| {
        Box::new(CatalogType {
            name: row.text(16).to_owned(),
            kind: row.text(17).to_owned(),
            built_in: row.flag(18),
            delimiter: row.text(19).bytes().next().unwrap_or(b','),
            ..CatalogType::default()
        })
    });
    let found = CatalogType {
        name: row.text(13).to_owned(),
        kind: row.text(14).to_owned(),
        built_in: row.flag(15),
        modifier: row.number(11).unwrap_or(-1),
        delimiter: b',',
        dimensions: row.number(12).unwrap_or(0),
        element,
    };
    Column {
        name: row.text(7).to_owned(),
        words: row.text(8).to_owned(),
        kind: Type::from_catalog(&found),
        nullable: !row.flag(9),
        readable: row.flag(10),
        sort_key: None,
        distribution_key: false,
    }
}

const USABLE: &str = "pg_catalog.has_schema_privilege(n.oid, 'USAGE')";

/// The condition on what is listed.
fn which(session: &Session, limits: &Limits<'_>) -> String {
    let is_partition = if session.server.major >= 10 {
        "c.relispartition"
    } else {
        "false"
    };
    let condition = limits.condition(session, "n.nspname", "c.relname");
    // A schema that was named is looked into even if the user may not use it, so that it is told.
    let visible = match &limits.config.schema {
        Some(_) => "true".to_owned(),
        None => {
            format!("{USABLE} AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'")
        }
    };
    format!(
        "c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT {is_partition} AND {visible} AND {condition}"
    )
}

fn query(session: &Session, limits: &Limits<'_>) -> String {
    // Until it is analysed itself, a partitioned table is as large as its leaves.
    let rows = if session.server.major >= 12 {
        "CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0)) \
         FROM pg_catalog.pg_partition_tree(c.oid) p \
         JOIN pg_catalog.pg_class l ON l.oid = p.relid WHERE p.isleaf) \
         WHEN c.relkind IN ('r', 'm', 'f') THEN c.reltuples END"
    } else {
        "CASE WHEN c.relkind IN ('r', 'm', 'f', 'p') THEN c.reltuples END"
    };
    let which = which(session, limits);
    // A domain is taken for what it is made of, through up to two more domains.
    format!(
        "SELECT n.nspname, c.relname, c.relkind, CAST({rows} AS bigint), {USABLE}, k.conkey, \
         a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
         pg_catalog.has_table_privilege(c.oid, 'SELECT') \
         OR pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'), \
         CASE WHEN t.typtype <> 'd' THEN a.atttypmod WHEN d.typtype <> 'd' THEN t.typtypmod \
         ELSE d.typtypmod END, \
         CASE WHEN t.typtype <> 'd' THEN a.attndims ELSE t.typndims END, \
         f.typname, f.typtype, f.typnamespace = CAST('pg_catalog' AS regnamespace), \
         e.typname, e.typtype, e.typnamespace = CAST('pg_catalog' AS regnamespace), e.typdelim \
         FROM pg_catalog.pg_namespace n \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
         LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
         LEFT JOIN pg_catalog.pg_attribute a \
         ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type d ON t.typtype = 'd' AND d.oid = t.typbasetype \
         LEFT JOIN pg_catalog.pg_type g ON d.typtype = 'd' AND g.oid = d.typbasetype \
         LEFT JOIN pg_catalog.pg_type f ON f.oid = coalesce(g.oid, d.oid, t.oid) \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = f.typelem AND f.typcategory = 'A' \
         AND f.typlen = -1 AND f.typname NOT IN ('oidvector', 'int2vector') \
         WHERE {which} \
         ORDER BY n.nspname, c.relname, a.attnum"
    )
}
