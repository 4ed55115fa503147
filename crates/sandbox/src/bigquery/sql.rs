//! The SQL that loaders send, run over the tables of the stand-in: GoogleSQL as far as it goes, and an
//! error of its own kind for all that is not run exactly. The parser is a crate; the meaning is ours.

mod aggregate;
mod bind;
mod calendar;
mod call;
mod cast;
mod coerce;
mod compare;
mod construct;
mod ddl;
mod decimal;
mod dml;
mod error;
mod expr;
mod from;
mod functions;
mod json;
mod kind;
mod list;
mod literal;
mod matching;
mod member;
mod merge;
mod moment;
mod number;
mod options;
mod over;
mod parameter;
mod parse;
mod query;
mod relation;
mod scan;
mod schema;
mod scope;
mod select;
#[cfg(test)]
mod tests;
mod text;
mod update;
mod window;

use sqlparser::ast::{self, Statement};

pub(crate) use self::error::{Result, SqlError, SqlErrorKind};

use self::bind::Binder;
use self::cast::constrain;
use self::error::{invalid, unsupported};
use self::expr::Env;
use self::parse::Parsed;
use self::query::Output;
use super::table::{Column, Row, Table, TableName, Type};
use super::value::Value;

/// The tables that statements read and change.
pub(crate) trait Tables {
    fn get(&self, name: &TableName) -> Option<&Table>;
    fn get_mut(&mut self, name: &TableName) -> Option<&mut Table>;
    /// Stores a new table, in the place of one that has the name.
    fn put(&mut self, name: &TableName, table: Table);
    fn remove(&mut self, name: &TableName) -> Option<Table>;
    fn dataset_exists(&self, project: &str, dataset: &str) -> bool;
}

/// A query parameter.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// Without a name it is a positional one.
    pub(crate) name: Option<String>,
    /// Its type; the column's name does not count.
    pub(crate) column: Column,
    pub(crate) value: Value,
}

impl Parameter {
    /// Reads the parameters of a query of the REST API.
    pub(crate) fn from_json(parameters: &serde_json::Value) -> Result<Vec<Parameter>> {
        parameter::read(parameters)
    }
}

/// What a statement is run with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) default_project: String,
    /// The project and the dataset of names that say neither.
    pub(crate) default_dataset: Option<(String, String)>,
    /// Microseconds since 1970, for CURRENT_TIMESTAMP.
    pub(crate) now_micros: i64,
    pub(crate) parameters: Vec<Parameter>,
    /// Whether nothing is run: the statement is checked, and its bytes are counted.
    pub(crate) dry_run: bool,
    /// Rows that were streamed at this second or later cannot be changed.
    pub(crate) streaming_since: Option<u64>,
}

/// What a statement did.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// As the service calls it: `SELECT`, `MERGE`, `CREATE_TABLE`, `SCRIPT`.
    pub(crate) statement_kind: &'static str,
    /// Of a query, or of the last query of a script.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) bytes_processed: u64,
    /// What a statement about tables did: `CREATE`, `REPLACE`, `SKIP`, `ALTER` or `DROP`.
    pub(crate) ddl_operation: Option<&'static str>,
    /// The table that was changed, made or dropped; of a script all of them.
    pub(crate) affected_tables: Vec<TableName>,
}

/// The tables as they were before a transaction.
type Saved = Vec<(TableName, Option<Table>)>;

/// Runs a statement or a script.
pub(crate) fn run(text: &str, tables: &mut dyn Tables, context: &Context) -> Result<Outcome> {
    let statements = parse::statements(text)?;
    match statements.as_slice() {
        [] => Err(invalid("Syntax error: Unexpected end of statement")),
        [
            Parsed {
                statement: Statement::Commit { .. } | Statement::Rollback { .. },
                ..
            },
        ] => Err(invalid("There is no active transaction")),
        [only] if !matches!(only.statement, Statement::StartTransaction { .. }) => {
            statement(only, tables, context)
        }
        script => run_script(script, tables, context),
    }
}

fn run_script(script: &[Parsed], tables: &mut dyn Tables, context: &Context) -> Result<Outcome> {
    let mut total = Outcome {
        statement_kind: "SCRIPT",
        ..Outcome::default()
    };
    if context.dry_run {
        return Ok(total);
    }
    let mut transaction: Option<Saved> = None;
    for parsed in script {
        let done = script_step(parsed, tables, context, &mut transaction, &mut total);
        if let Err(error) = done {
            restore(tables, transaction.take());
            return Err(error);
        }
    }
    // A script that ends within its transaction has not committed it.
    restore(tables, transaction.take());
    Ok(total)
}

fn script_step(
    parsed: &Parsed,
    tables: &mut dyn Tables,
    context: &Context,
    transaction: &mut Option<Saved>,
    total: &mut Outcome,
) -> Result<()> {
    match &parsed.statement {
        Statement::StartTransaction {
            statements,
            exception: None,
            has_end_keyword: false,
            ..
        } if statements.is_empty() => {
            if transaction.is_some() {
                return Err(invalid("Transaction is already active"));
            }
            *transaction = Some(Saved::new());
            return Ok(());
        }
        Statement::StartTransaction { .. } => return Err(unsupported("BEGIN … END")),
        Statement::Commit { .. } => {
            let active = transaction.take();
            return active
                .map(|_| ())
                .ok_or_else(|| invalid("There is no active transaction"));
        }
        Statement::Rollback { .. } => {
            if transaction.is_none() {
                return Err(invalid("There is no active transaction"));
            }
            restore(tables, transaction.take());
            return Ok(());
        }
        _ => {}
    }
    if let Some(saved) = transaction {
        save(&parsed.statement, tables, context, saved)?;
    }
    let done = statement(parsed, tables, context)?;
    total.inserted += done.inserted;
    total.updated += done.updated;
    total.deleted += done.deleted;
    total.bytes_processed += done.bytes_processed;
    for name in done.affected_tables {
        if !total.affected_tables.contains(&name) {
            total.affected_tables.push(name);
        }
    }
    if done.statement_kind == "SELECT" {
        total.columns = done.columns;
        total.rows = done.rows;
    }
    Ok(())
}

/// Keeps the table that a statement of a transaction is about to change.
fn save(
    statement: &Statement,
    tables: &dyn Tables,
    context: &Context,
    saved: &mut Saved,
) -> Result<()> {
    if matches!(statement, Statement::Query(_)) {
        return Ok(());
    }
    let binder = Binder::new(Env { tables, context });
    let name = dml::target_name(&binder, statement)?
        .ok_or_else(|| invalid("Transaction control: DDL statements on permanent tables are not supported inside a transaction"))?;
    if saved.iter().all(|(known, _)| *known != name) {
        let table = tables.get(&name).cloned();
        saved.push((name, table));
    }
    Ok(())
}

fn restore(tables: &mut dyn Tables, saved: Option<Saved>) {
    for (name, table) in saved.into_iter().flatten() {
        match (table, tables.get_mut(&name)) {
            // The table stays the same one, so that what knows it goes on to know it.
            (Some(before), Some(table)) => *table = before,
            (Some(before), None) => tables.put(&name, before),
            (None, _) => drop(tables.remove(&name)),
        }
    }
}

fn statement(parsed: &Parsed, tables: &mut dyn Tables, context: &Context) -> Result<Outcome> {
    match &parsed.statement {
        Statement::Query(query) => select(query, tables, context),
        Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::Truncate(_) => dml::run(&parsed.statement, tables, context),
        Statement::CreateTable(_)
        | Statement::CreateView(_)
        | Statement::AlterTable(_)
        | Statement::Drop { .. } => ddl::run(parsed, tables, context),
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(unsupported(format!("the statement {}", words.join(" "))))
        }
    }
}

fn select(query: &ast::Query, tables: &dyn Tables, context: &Context) -> Result<Outcome> {
    let env = Env { tables, context };
    let mut binder = Binder::new(env);
    let mut bound = binder.query(query)?;
    for column in &bound.columns {
        binder.touched.extend(column.origins.iter().copied());
    }
    let mut outcome = Outcome {
        statement_kind: "SELECT",
        bytes_processed: binder.bytes(),
        ..Outcome::default()
    };
    let structs = match bound.columns.as_slice() {
        [only] if bound.is_row => matches!(only.kind, kind::Kind::Struct(_)),
        _ => false,
    };
    if structs {
        bound.columns = fields_of(&bound.columns);
    }
    outcome.columns = named_columns(&bound.columns)?;
    if context.dry_run {
        return Ok(outcome);
    }
    for row in bound.relation.run(&env, None)? {
        let values = match row.first() {
            Some(Value::Struct(fields)) if structs => fields.clone(),
            Some(_) if structs => vec![Value::Null; outcome.columns.len()],
            _ => row.into_owned(),
        };
        let values = values.into_iter().zip(&outcome.columns);
        let values = values.map(|(value, column)| constrain(value, column));
        outcome.rows.push(Row::new(values.collect::<Result<_>>()?));
    }
    Ok(outcome)
}

/// The fields of the one column of a SELECT AS STRUCT.
fn fields_of(columns: &[Output]) -> Vec<Output> {
    let fields = columns.iter().flat_map(|column| match &column.kind {
        kind::Kind::Struct(fields) => fields.as_slice(),
        _ => &[],
    });
    let output = |field: &kind::Field| Output {
        name: field.name.clone(),
        kind: field.kind.clone(),
        origins: scope::Origins::new(),
        stored: None,
        literal: false,
    };
    fields.map(output).collect()
}

/// The columns of a result; one without a name is called by its number among such.
fn named_columns(columns: &[Output]) -> Result<Vec<Column>> {
    let mut nameless = 0;
    let mut named: Vec<Column> = Vec::new();
    for column in columns {
        let name = column
            .name
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| {
                nameless += 1;
                format!("f{}_", nameless - 1)
            });
        if named
            .iter()
            .any(|known| scope::same_name(&known.name, &name))
        {
            return Err(invalid(format!(
                "Duplicate column names in the result are not supported when a destination table is present. Found duplicate(s): {name}"
            )));
        }
        named.push(column.kind.to_column(&name)?);
    }
    Ok(named)
}

/// Whether a type may be the element that rows are clustered by.
pub(crate) fn may_cluster(column: &Column) -> bool {
    !matches!(
        column.kind,
        Type::Float64 | Type::Json | Type::Struct(_) | Type::Bytes | Type::Time
    ) && column.mode != super::table::Mode::Repeated
}

/// The time of a statement in milliseconds since 1970.
fn milliseconds(context: &Context) -> u64 {
    u64::try_from(context.now_micros / 1000).unwrap_or(0)
}
