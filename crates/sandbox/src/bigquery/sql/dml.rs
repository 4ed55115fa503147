//! INSERT, UPDATE, DELETE and TRUNCATE: what they change is known before anything is changed.

use std::collections::{HashMap, HashSet};

use sqlparser::ast::{self, FromTable, SetExpr, Spanned, Statement, TableFactor, TableObject};

use super::bind::{Binder, Typed};
use super::cast::constrain;
use super::coerce::coerce;
use super::error::{Result, invalid, unsupported};
use super::expr::{Env, Expr, Frame};
use super::kind::Kind;
use super::relation::Relation;
use super::scope::{Scope, same_name};
use super::{Context, Outcome, Tables, merge, milliseconds, update};
use crate::bigquery::table::{Column, Row, TableName};
use crate::bigquery::value::Value;

/// What a statement changes in its table.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) deleted: HashSet<usize>,
    pub(super) updated: HashMap<usize, Vec<Value>>,
    pub(super) inserted: Vec<Vec<Value>>,
}

/// A statement that is ready to be run.
pub(super) struct Plan {
    pub(super) kind: &'static str,
    pub(super) table: TableName,
    pub(super) bytes: u64,
    pub(super) changes: Changes,
}

/// The table that a statement changes.
pub(super) struct Target {
    pub(super) name: TableName,
    pub(super) alias: String,
    pub(super) relation: Relation,
    pub(super) scope: Scope,
    pub(super) columns: Vec<Column>,
}

impl Target {
    /// The place of a column that a statement sets or fills.
    pub(super) fn position(&self, name: &ast::Ident) -> Result<usize> {
        let named = |column: &Column| same_name(&column.name, &name.value);
        self.columns.iter().position(named).ok_or_else(|| {
            invalid(format!(
                "Column {} is not present in table {}",
                name.value, self.name
            ))
            .at_name(name)
        })
    }
}

/// Runs a statement that changes rows.
pub(super) fn run(
    statement: &Statement,
    tables: &mut dyn Tables,
    context: &Context,
) -> Result<Outcome> {
    let plan = plan(statement, tables, context)?;
    let mut outcome = Outcome {
        statement_kind: plan.kind,
        bytes_processed: plan.bytes,
        affected_tables: vec![plan.table.clone()],
        ..Outcome::default()
    };
    if context.dry_run {
        return Ok(outcome);
    }
    let changes = plan.changes;
    outcome.inserted = changes.inserted.len() as u64;
    outcome.updated = changes.updated.len() as u64;
    outcome.deleted = changes.deleted.len() as u64;
    let Some(table) = tables.get_mut(&plan.table) else {
        return Err(super::relation::missing(&plan.table));
    };
    let since = context.streaming_since.unwrap_or(u64::MAX);
    let touched = changes.deleted.iter().chain(changes.updated.keys());
    let mut streamed = touched.filter_map(|place| table.rows.get(*place)?.streamed_at);
    if streamed.any(|at| at >= since) {
        return Err(invalid(format!(
            "{} statement over table {} would affect rows in the streaming buffer, which is not supported",
            match plan.kind {
                "MERGE" => "UPDATE or MERGE",
                "TRUNCATE_TABLE" => "TRUNCATE",
                _ => "UPDATE or DELETE",
            },
            plan.table
        )));
    }
    table.record.modified_ms = milliseconds(context);
    for (place, values) in changes.updated {
        table.rows[place] = Row::new(values);
    }
    if !changes.deleted.is_empty() {
        let mut place = 0;
        table.rows.retain(|_| {
            place += 1;
            !changes.deleted.contains(&(place - 1))
        });
    }
    table
        .rows
        .extend(changes.inserted.into_iter().map(Row::new));
    Ok(outcome)
}

fn plan(statement: &Statement, tables: &dyn Tables, context: &Context) -> Result<Plan> {
    let mut binder = Binder::new(Env { tables, context });
    match statement {
        Statement::Insert(insert) => plan_insert(&mut binder, insert),
        Statement::Update(update) => update::plan_update(&mut binder, update),
        Statement::Delete(delete) => plan_delete(&mut binder, delete),
        Statement::Merge(merge) => merge::plan(&mut binder, merge),
        Statement::Truncate(truncate) => plan_truncate(&mut binder, truncate),
        _ => Err(unsupported("this statement")),
    }
}

/// The name of the table that a statement changes rows of; none for other statements.
pub(super) fn target_name(binder: &Binder<'_>, statement: &Statement) -> Result<Option<TableName>> {
    let name = match statement {
        Statement::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => Some(name),
            _ => None,
        },
        Statement::Update(update) => factor_name(&update.table.relation),
        Statement::Merge(merge) => factor_name(&merge.table),
        Statement::Delete(delete) => delete_factor(delete)?.and_then(factor_name),
        Statement::Truncate(truncate) => truncate.table_names.first().map(|target| &target.name),
        _ => None,
    };
    name.map(|name| binder.table_name(name)).transpose()
}

fn factor_name(factor: &TableFactor) -> Option<&ast::ObjectName> {
    match factor {
        TableFactor::Table { name, .. } => Some(name),
        _ => None,
    }
}

fn delete_factor(delete: &ast::Delete) -> Result<Option<&TableFactor>> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    match from.as_slice() {
        [only] if only.joins.is_empty() => Ok(Some(&only.relation)),
        _ => Err(invalid("Syntax error: DELETE takes one table")),
    }
}

impl Binder<'_> {
    /// The table of a statement, which may have an alias.
    pub(super) fn target(&mut self, factor: &TableFactor) -> Result<Target> {
        let (TableFactor::Table { name, .. }, TableFactor::Table { alias, .. }) = (factor, factor)
        else {
            return Err(invalid("Syntax error: Expected the name of a table").at(factor));
        };
        let alias = alias.as_ref().map(|alias| alias.name.value.clone());
        self.target_named(name, alias)
    }

    pub(super) fn target_named(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<String>,
    ) -> Result<Target> {
        let full = self.table_name(name)?;
        let table = self
            .env
            .tables
            .get(&full)
            .ok_or_else(|| self.not_found(&full))?;
        if table.view.is_some() {
            return Err(invalid(format!(
                "Table {full} is a view; rows of views cannot be changed"
            )));
        }
        let columns = table.columns.clone();
        let alias = alias.unwrap_or_else(|| full.table.clone());
        let quoted = ast::ObjectName::from(
            [&full.project, &full.dataset, &full.table]
                .map(ast::Ident::new)
                .to_vec(),
        );
        let factor = TableFactor::Table {
            name: quoted,
            alias: Some(ast::TableAlias {
                explicit: true,
                name: ast::Ident::new(&alias),
                columns: Vec::new(),
                at: None,
            }),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_directives: Vec::new(),
            inheritance: None,
        };
        let (relation, scope) = self.factor(&factor)?;
        Ok(Target {
            name: full,
            alias,
            relation,
            scope,
            columns,
        })
    }

    /// The expression of a value for a column.
    pub(super) fn value_for(&mut self, value: &ast::Expr, column: &Column) -> Result<Expr> {
        if let ast::Expr::Identifier(word) = value
            && word.quote_style.is_none()
            && word.value.eq_ignore_ascii_case("DEFAULT")
        {
            return Ok(Expr::null());
        }
        let bound = self.bind(value)?;
        assign(bound, column, value)
    }
}

/// A value turned into the type of its column.
pub(super) fn assign(value: Typed, column: &Column, place: &impl Spanned) -> Result<Expr> {
    let kind = Kind::of_column(column);
    if !value.kind.coerces(&kind, value.literal) {
        return Err(invalid(format!(
            "Value has type {} which cannot be inserted into column {}, which has type {kind}",
            value.kind, column.name
        ))
        .at(place));
    }
    Ok(coerce(value, &kind, place)?.expr)
}

fn plan_insert(binder: &mut Binder<'_>, insert: &ast::Insert) -> Result<Plan> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(unsupported("INSERT into what is not a table"));
    };
    let other = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.by_name
        || insert.partitioned.is_some()
        || insert.on.is_some()
        || insert.returning.is_some()
        || insert.replace_into
        || !insert.assignments.is_empty();
    if other {
        return Err(unsupported("this form of INSERT"));
    }
    let target = binder.target_named(name, None)?;
    let places = insert_places(&target, &insert.columns)?;
    let Some(source) = &insert.source else {
        return Err(invalid("Syntax error: Expected a query or VALUES"));
    };
    let rows = match &*source.body {
        SetExpr::Values(values) => {
            Relation::Values(inserted_values(binder, &target, &places, values)?)
        }
        _ => inserted_query(binder, &target, &places, source)?,
    };
    let mut changes = Changes::default();
    if !binder.env.context.dry_run {
        let env = binder.env;
        for row in rows.run(&env, None)? {
            changes
                .inserted
                .push(full_row(&target.columns, &places, row.into_owned())?);
        }
    }
    Ok(Plan {
        kind: "INSERT",
        table: target.name,
        bytes: binder.bytes(),
        changes,
    })
}

/// The places of the columns that a row is given for.
pub(super) fn insert_places(target: &Target, columns: &[ast::ObjectName]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..target.columns.len()).collect());
    }
    let mut places = Vec::new();
    for column in columns {
        let Some(name) = column
            .0
            .first()
            .and_then(|part| part.as_ident())
            .filter(|_| column.0.len() == 1)
        else {
            return Err(invalid(format!("Syntax error: Unexpected column {column}")).at(column));
        };
        let place = target.position(name)?;
        if places.contains(&place) {
            return Err(invalid(format!(
                "INSERT has columns with duplicate name: {}",
                name.value
            ))
            .at_name(name));
        }
        places.push(place);
    }
    Ok(places)
}

fn inserted_values(
    binder: &mut Binder<'_>,
    target: &Target,
    places: &[usize],
    values: &ast::Values,
) -> Result<Vec<Vec<Expr>>> {
    let mut rows = Vec::new();
    for row in &values.rows {
        check_count(row.len(), places.len(), "Inserted row")?;
        let values = row.iter().zip(places);
        let values = values.map(|(value, place)| binder.value_for(value, &target.columns[*place]));
        rows.push(values.collect::<Result<_>>()?);
    }
    Ok(rows)
}

pub(super) fn check_count(found: usize, wanted: usize, what: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(invalid(format!(
        "{what} has wrong column count; Has {found}, expected {wanted}"
    )))
}

fn inserted_query(
    binder: &mut Binder<'_>,
    target: &Target,
    places: &[usize],
    source: &ast::Query,
) -> Result<Relation> {
    let query = binder.query(source)?;
    check_count(query.columns.len(), places.len(), "Inserted row")?;
    let mut exprs = Vec::new();
    for (place, (column, to)) in query.columns.iter().zip(places).enumerate() {
        binder.touched.extend(column.origins.iter().copied());
        let to = &target.columns[*to];
        let kind = Kind::of_column(to);
        if !column.kind.coerces(&kind, column.literal) {
            return Err(invalid(format!(
                "Query column {} has type {} which cannot be inserted into column {}, which has type {kind}",
                place + 1,
                column.kind,
                to.name
            ))
            .at(source));
        }
        exprs.push(Expr::Cast {
            value: Box::new(Expr::column(place)),
            from: column.kind.clone(),
            to: kind,
            limit: None,
        });
    }
    Ok(Relation::Project(Box::new(query.relation), exprs))
}

/// A row with values at the given places, held to the limits of the columns.
pub(super) fn full_row(
    columns: &[Column],
    places: &[usize],
    values: Vec<Value>,
) -> Result<Vec<Value>> {
    let mut row = vec![Value::Null; columns.len()];
    for (place, value) in places.iter().zip(values) {
        row[*place] = value;
    }
    row.into_iter()
        .zip(columns)
        .map(|(value, column)| constrain(value, column))
        .collect()
}

fn plan_delete(binder: &mut Binder<'_>, delete: &ast::Delete) -> Result<Plan> {
    let other = !delete.tables.is_empty()
        || delete.using.is_some()
        || delete.returning.is_some()
        || delete.output.is_some()
        || !delete.order_by.is_empty()
        || delete.limit.is_some();
    if other {
        return Err(unsupported("this form of DELETE"));
    }
    let Some(factor) = delete_factor(delete)? else {
        return Err(invalid("Syntax error: DELETE takes one table"));
    };
    let Some(condition) = &delete.selection else {
        return Err(invalid("DELETE must have a WHERE clause").at(factor));
    };
    let target = binder.target(factor)?;
    binder.scopes.push(target.scope);
    let condition = binder.row_condition(condition, "WHERE clause")?;
    binder.note_bounds(&condition);
    binder.scopes.pop();
    binder.scans[0].whole = true;
    let mut changes = Changes::default();
    if !binder.env.context.dry_run {
        let env = binder.env;
        for (place, row) in target.relation.run(&env, None)?.iter().enumerate() {
            if condition.holds(&Frame::new(row, None), &env)? {
                changes.deleted.insert(place);
            }
        }
    }
    Ok(Plan {
        kind: "DELETE",
        table: target.name,
        bytes: binder.bytes(),
        changes,
    })
}

fn plan_truncate(binder: &mut Binder<'_>, truncate: &ast::Truncate) -> Result<Plan> {
    let [only] = truncate.table_names.as_slice() else {
        return Err(invalid("Syntax error: TRUNCATE TABLE takes one table"));
    };
    if truncate.partitions.is_some()
        || truncate.if_exists
        || truncate.cascade.is_some()
        || !truncate.table
    {
        return Err(invalid("Syntax error: Unexpected words in TRUNCATE TABLE"));
    }
    let target = binder.target_named(&only.name, None)?;
    let rows = binder
        .env
        .tables
        .get(&target.name)
        .map_or(0, |table| table.rows.len());
    Ok(Plan {
        kind: "TRUNCATE_TABLE",
        table: target.name,
        bytes: 0,
        changes: Changes {
            deleted: (0..rows).collect(),
            ..Changes::default()
        },
    })
}
