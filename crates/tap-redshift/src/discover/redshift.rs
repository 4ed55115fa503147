//! The catalogs of Redshift, from several views that each cover a part: `pg_class` for tables and
//! ordinary views, a function for late-binding views, `svv_external_columns` for external tables,
//! `svv_all_columns` for other databases and datashares. The last three may be slow or broken
//! through no fault of the rest, so their failure is a warning.

use tracing::warn;

use super::Limits;
use super::columns::{Row, Tables};
use crate::connect::Session;
use crate::failure::{Attempt, Failure, Remedy};
use crate::sql;
use crate::table::{Column, Table, TableName};
use crate::types::Type;

/// The tables of the connected database and of those that the config names.
pub(super) async fn tables(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<Table>> {
    let mut tables = local(session, limits).await?;
    late_binding_views(session, limits, &mut tables).await;
    if limits.ids.is_none() {
        row_counts(session, &mut tables).await;
    }
    if limits.config.include_external && asks_for_more(limits, &tables) {
        external(session, limits, &mut tables).await;
    }
    for database in limits.databases() {
        foreign(session, database, &mut tables).await;
    }
    Ok(tables)
}

/// Whether some stream that is asked for was not found yet.
fn asks_for_more(limits: &Limits<'_>, tables: &[Table]) -> bool {
    let found = |id: &String| tables.iter().any(|table| table.name.stream_id() == *id);
    limits.ids.is_none_or(|ids| !ids.iter().all(found))
}

async fn local(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<Table>> {
    const DOING: &str = "cannot read the catalog of the database";
    let keys = "a.attsortkeyord, a.attisdistkey";
    let rows = match session
        .query(&local_query(session, limits, keys), DOING)
        .await
    {
        // Relatives of Redshift without these columns.
        Err(failure) if failure.remedy == Remedy::Rediscover => {
            let sql = local_query(session, limits, "NULL, NULL");
            session.query(&sql, DOING).await?
        }
        other => other?,
    };
    let mut tables = Tables::default();
    for values in &rows {
        let row = Row(values);
        let name = TableName {
            database: limits.config.dbname.clone(),
            schema: row.text(0).to_owned(),
            table: row.text(1).to_owned(),
        };
        if tables.is_new(&name) {
            tables.begin(local_table(name, &row), row.text(6));
        }
        if let Some(number) = row.number(7) {
            let mut found = column(row.text(8), row.text(9), !row.flag(10));
            found.sort_key = row.number(11).filter(|place| *place != 0);
            found.distribution_key = row.flag(12);
            tables.add(number, found);
        }
    }
    Ok(tables.finish())
}

/// The names alone, external tables included if they are read.
pub(super) async fn names(session: &mut Session, limits: &Limits<'_>) -> Attempt<Vec<TableName>> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_namespace n \
         JOIN pg_class c ON c.relnamespace = n.oid WHERE {}",
        which(session, limits)
    );
    let mut rows = session
        .query(&sql, "cannot read the catalog of the database")
        .await?;
    if limits.config.include_external {
        let condition = limits.condition(session, "schemaname", "tablename");
        let sql =
            format!("SELECT schemaname, tablename FROM svv_external_tables WHERE {condition}");
        rows.extend(tolerate(
            session.query(&sql, "cannot list external tables").await,
        ));
    }
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

/// The condition on what is listed.
fn which(session: &Session, limits: &Limits<'_>) -> String {
    let condition = limits.condition(session, "n.nspname", "c.relname");
    // A schema that was named is looked into even if the user may not use it, so that it is told.
    let visible = match &limits.config.schema {
        Some(_) => "1 = 1",
        None => {
            "has_schema_privilege(n.nspname, 'USAGE') \
             AND substring(n.nspname, 1, 3) <> 'pg_' \
             AND n.nspname NOT IN ('information_schema', 'catalog_history')"
        }
    };
    format!("c.relkind IN ('r', 'v', 'm') AND {visible} AND {condition}")
}

fn local_query(session: &Session, limits: &Limits<'_>, keys: &str) -> String {
    let which = which(session, limits);
    format!(
        "SELECT n.nspname, c.relname, c.relkind, CAST(c.reltuples AS bigint), \
         has_schema_privilege(n.nspname, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), \
         k.conkey, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, {keys} \
         FROM pg_namespace n \
         JOIN pg_class c ON c.relnamespace = n.oid \
         LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE {which} \
         ORDER BY n.nspname, c.relname, a.attnum"
    )
}

fn local_table(name: TableName, row: &Row<'_>) -> Table {
    let obstacle = match (row.flag(4), row.flag(5)) {
        (false, _) => Some("the user has no USAGE on the schema"),
        (true, false) => Some("the user has no SELECT on it"),
        (true, true) => None,
    };
    let is_view = matches!(row.text(2), "v" | "m");
    Table {
        name,
        foreign_database: false,
        is_view,
        row_count: row.number(3).filter(|count: &i64| !is_view && *count >= 0),
        columns: Vec::new(),
        key: Vec::new(),
        obstacle: obstacle.map(str::to_owned),
    }
}

fn column(name: &str, words: &str, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        words: words.to_owned(),
        kind: Type::from_words(words),
        nullable,
        readable: true,
        sort_key: None,
        distribution_key: false,
    }
}

/// Adds the columns of views that bind late: these have none in `pg_attribute`.
async fn late_binding_views(session: &mut Session, limits: &Limits<'_>, tables: &mut [Table]) {
    let without_columns = |table: &Table| table.is_view && table.columns.is_empty();
    if !tables.iter().any(without_columns) {
        return;
    }
    let condition = limits.condition(session, "view_schema", "view_name");
    let sql = format!(
        "SELECT view_schema, view_name, col_name, col_type \
         FROM pg_get_late_binding_view_cols() \
         cols(view_schema name, view_name name, col_name name, col_type varchar, col_num int) \
         WHERE {condition} ORDER BY view_schema, view_name, col_num"
    );
    let rows = tolerate(
        session
            .query(&sql, "cannot list the columns of late-binding views")
            .await,
    );
    for values in &rows {
        let row = Row(values);
        let view = tables.iter_mut().find(|table| {
            table.is_view && table.name.schema == row.text(0) && table.name.table == row.text(1)
        });
        if let Some(view) = view {
            view.columns.push(column(row.text(2), row.text(3), true));
        }
    }
    for table in tables.iter_mut().filter(|table| without_columns(table)) {
        table.obstacle.get_or_insert_with(|| {
            "its columns cannot be listed; a table that the view reads may be gone".to_owned()
        });
    }
}

/// Better estimates than the catalog's, where the user may see them.
async fn row_counts(session: &mut Session, tables: &mut [Table]) {
    let sql = "SELECT \"schema\", \"table\", CAST(tbl_rows AS bigint) FROM svv_table_info";
    let rows = match session.query(sql, "cannot read the sizes of tables").await {
        Ok(rows) => rows,
        Err(failure) => {
            tracing::debug!(error = %failure.error, "row counts are the catalog's estimates");
            return;
        }
    };
    let counts: std::collections::HashMap<(&str, &str), i64> = rows
        .iter()
        .map(|values| Row(values))
        .filter_map(|row| Some(((row.text(0), row.text(1)), row.number(2)?)))
        .collect();
    for table in tables {
        let key = (table.name.schema.as_str(), table.name.table.as_str());
        if let Some(count) = counts.get(&key) {
            table.row_count = Some(*count);
        }
    }
}

async fn external(session: &mut Session, limits: &Limits<'_>, tables: &mut Vec<Table>) {
    let condition = limits.condition(session, "schemaname", "tablename");
    let sql = format!(
        "SELECT schemaname, tablename, columnname, external_type FROM svv_external_columns \
         WHERE {condition} ORDER BY schemaname, tablename, columnnum"
    );
    let rows = tolerate(session.query(&sql, "cannot list external tables").await);
    let mut found = Tables::default();
    for values in &rows {
        let row = Row(values);
        let name = TableName {
            database: limits.config.dbname.clone(),
            schema: row.text(0).to_owned(),
            table: row.text(1).to_owned(),
        };
        if found.is_new(&name) {
            found.begin(remote_table(name, Place::ThisDatabase), "");
        }
        found.add(0, column(row.text(2), row.text(3), true));
    }
    tables.extend(found.finish());
}

/// The tables of another database or of a datashare.
async fn foreign(session: &mut Session, database: &str, tables: &mut Vec<Table>) {
    let sql = format!(
        "SELECT schema_name, table_name, column_name, data_type, character_maximum_length, \
         numeric_precision, numeric_scale, is_nullable FROM svv_all_columns \
         WHERE database_name = {} \
         AND schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_internal') \
         ORDER BY schema_name, table_name, ordinal_position",
        sql::literal(database, &session.server)
    );
    let doing = format!("cannot list the tables of database `{database}`");
    let rows = tolerate(session.query(&sql, &doing).await);
    let mut found = Tables::default();
    for values in &rows {
        let row = Row(values);
        let name = TableName {
            database: database.to_owned(),
            schema: row.text(0).to_owned(),
            table: row.text(1).to_owned(),
        };
        if found.is_new(&name) {
            found.begin(remote_table(name, Place::OtherDatabase), "");
        }
        let words = words(row.text(3), &row);
        found.add(0, column(row.text(2), &words, row.text(7) != "NO"));
    }
    tables.extend(found.finish());
}

/// A type with its length or precision, which this view keeps apart.
fn words(base: &str, row: &Row<'_>) -> String {
    if base.contains('(') {
        return base.to_owned();
    }
    let is_text = base.starts_with("char") || base.starts_with("varchar");
    match (base, row.number::<i64>(4), row.number::<i64>(5)) {
        ("numeric" | "decimal", _, Some(precision)) => {
            format!("{base}({precision},{})", row.number::<i64>(6).unwrap_or(0))
        }
        (_, Some(length), _) if is_text => format!("{base}({length})"),
        _ => base.to_owned(),
    }
}

enum Place {
    ThisDatabase,
    OtherDatabase,
}

fn remote_table(name: TableName, place: Place) -> Table {
    Table {
        name,
        foreign_database: matches!(place, Place::OtherDatabase),
        is_view: false,
        row_count: None,
        columns: Vec::new(),
        key: Vec::new(),
        obstacle: None,
    }
}

/// What was found, or nothing with a warning.
fn tolerate(found: Result<crate::connect::TextRows, Failure>) -> crate::connect::TextRows {
    found.unwrap_or_else(|failure| {
        let cause = std::error::Error::source(&failure.error).map(ToString::to_string);
        warn!(error = %failure.error, cause, "left out of discovery");
        Vec::new()
    })
}
