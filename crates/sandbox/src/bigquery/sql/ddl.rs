//! CREATE, ALTER and DROP of tables and views.

use sqlparser::ast::{
    self, AlterColumnOperation, AlterTableOperation, CreateTableLikeKind, CreateTableOptions,
    ObjectType, SqlOption, Statement, TableConstraint, WrappedCollection,
};

use super::bind::Binder;
use super::cast::cast;
use super::dml::{check_count, full_row};
use super::error::{Result, SqlError, SqlErrorKind, invalid, unsupported};
use super::expr::Env;
use super::kind::Kind;
use super::options;
use super::parse::Parsed;
use super::query::Output;
use super::schema::{check_column_name, check_not_enforced, column_of, column_of_definition};
use super::scope::same_name;
use super::{Context, Outcome, Tables, milliseconds};
use crate::bigquery::table::{Column, Mode, Row, Table, TableName, Type};

/// What a statement does to the table of a name.
enum Effect {
    Nothing,
    Put(Box<Table>),
    /// Gives a table that stays the same one another form.
    Alter(Box<Table>),
    Remove,
    /// Gives the table another name.
    Rename(TableName),
}

/// Runs a statement that makes, changes or drops a table or view.
pub(super) fn run(parsed: &Parsed, tables: &mut dyn Tables, context: &Context) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let binder = Binder::new(Env {
        tables: &*tables,
        context,
    });
    let (name, effect) = match &parsed.statement {
        Statement::CreateTable(create) => create_table(binder, create, &mut outcome)?,
        Statement::CreateView(create) => {
            outcome.statement_kind = "CREATE_VIEW";
            create_view(binder, create, parsed.view.as_deref())?
        }
        Statement::AlterTable(alter) => {
            outcome.statement_kind = "ALTER_TABLE";
            alter_table(&binder, alter)?
        }
        Statement::Drop {
            object_type,
            if_exists,
            names,
            ..
        } => {
            outcome.statement_kind = match object_type {
                ObjectType::View => "DROP_VIEW",
                _ => "DROP_TABLE",
            };
            drop_object(&binder, *object_type, *if_exists, names)?
        }
        _ => return Err(unsupported("this statement")),
    };
    outcome.affected_tables = vec![name.clone()];
    outcome.ddl_operation = Some(match &effect {
        Effect::Nothing => "SKIP",
        Effect::Put(_) if tables.get(&name).is_some() => "REPLACE",
        Effect::Put(_) => "CREATE",
        Effect::Alter(_) | Effect::Rename(_) => "ALTER",
        Effect::Remove => "DROP",
    });
    if !context.dry_run {
        match effect {
            Effect::Nothing => {}
            Effect::Put(table) => tables.put(&name, *table),
            Effect::Alter(mut new) => {
                new.record.revision += 1;
                new.record.modified_ms = milliseconds(context);
                if let Some(table) = tables.get_mut(&name) {
                    *table = *new;
                }
            }
            Effect::Remove => drop(tables.remove(&name)),
            Effect::Rename(new) => {
                if let Some(table) = tables.remove(&name) {
                    tables.put(&new, table);
                }
            }
        }
    }
    Ok(outcome)
}

fn already_exists(name: &TableName) -> SqlError {
    SqlError::new(
        SqlErrorKind::Duplicate,
        format!("Already Exists: Table {name}"),
    )
}

/// Whether a new table or view may be stored under a name; none if there is one that stays.
fn free(
    binder: &Binder<'_>,
    name: &TableName,
    replaces: bool,
    if_not_exists: bool,
    is_view: bool,
) -> Result<Option<()>> {
    if replaces && if_not_exists {
        return Err(invalid(
            "CREATE OR REPLACE and IF NOT EXISTS cannot be used together",
        ));
    }
    match binder.env.tables.get(name) {
        None if !binder
            .env
            .tables
            .dataset_exists(&name.project, &name.dataset) =>
        {
            Err(binder.not_found(name))
        }
        Some(_) if if_not_exists => Ok(None),
        Some(table) if replaces && table.view.is_some() == is_view => Ok(Some(())),
        Some(_) => Err(already_exists(name)),
        None => Ok(Some(())),
    }
}

fn create_table(
    mut binder: Binder<'_>,
    create: &ast::CreateTable,
    outcome: &mut Outcome,
) -> Result<(TableName, Effect)> {
    outcome.statement_kind = match create.query {
        Some(_) => "CREATE_TABLE_AS_SELECT",
        None => "CREATE_TABLE",
    };
    if create.temporary || create.external || create.snapshot || create.version.is_some() {
        return Err(unsupported("this kind of table"));
    }
    let name = binder.table_name(&create.name)?;
    if free(
        &binder,
        &name,
        create.or_replace,
        create.if_not_exists,
        false,
    )?
    .is_none()
    {
        return Ok((name, Effect::Nothing));
    }
    let mut table = Table::default();
    if let Some(like) = &create.like {
        let (CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) = like;
        table = existing(&binder, &like.name)?.1;
        table.rows.clear();
    }
    if let Some(source) = &create.clone {
        table = existing(&binder, source)?.1;
        for row in &mut table.rows {
            row.streamed_at = None;
        }
    }
    define_columns(&mut table, create)?;
    if let Some(query) = &create.query {
        let bound = binder.query(query)?;
        for column in &bound.columns {
            binder.touched.extend(column.origins.iter().copied());
        }
        outcome.bytes_processed = binder.bytes();
        if table.columns.is_empty() {
            table.columns = columns_of(&bound.columns)?;
        }
        check_count(
            bound.columns.len(),
            table.columns.len(),
            "CREATE TABLE AS SELECT query",
        )?;
        let env = binder.env;
        let places: Vec<usize> = (0..table.columns.len()).collect();
        let kinds: Vec<Kind> = table.columns.iter().map(Kind::of_column).collect();
        for (column, (given, kind)) in table.columns.iter().zip(bound.columns.iter().zip(&kinds)) {
            if !given.kind.coerces(kind, given.literal) {
                return Err(invalid(format!(
                    "Column {} has type {} which cannot be stored as {kind}",
                    column.name, given.kind
                )));
            }
        }
        if !env.context.dry_run {
            for row in bound.relation.run(&env, None)? {
                let values = row.iter().zip(bound.columns.iter().zip(&kinds));
                let values = values.map(|(value, (given, kind))| cast(value, &given.kind, kind));
                let row = full_row(&table.columns, &places, values.collect::<Result<_>>()?)?;
                table.rows.push(Row::new(row));
            }
        }
    }
    options::partition(&mut table, create.partition_by.as_deref())?;
    if let Some(cluster) = &create.cluster_by {
        let (WrappedCollection::NoWrapping(exprs) | WrappedCollection::Parentheses(exprs)) =
            cluster;
        options::cluster(&mut table, exprs)?;
    }
    options::set(&mut table, options_of(&create.table_options)?)?;
    Ok((name, Effect::Put(Box::new(table))))
}

fn options_of(options: &CreateTableOptions) -> Result<&[SqlOption]> {
    match options {
        CreateTableOptions::None => Ok(&[]),
        CreateTableOptions::Options(options) => Ok(options),
        _ => Err(invalid("Syntax error: Expected OPTIONS")),
    }
}

fn define_columns(table: &mut Table, create: &ast::CreateTable) -> Result<()> {
    if !create.columns.is_empty() {
        table.columns.clear();
    }
    for definition in &create.columns {
        let (column, is_key) = column_of_definition(definition)?;
        if table.position(&column.name).is_some() {
            return Err(invalid(format!(
                "Duplicate column name {} in CREATE TABLE",
                column.name
            ))
            .at_name(&definition.name));
        }
        if is_key {
            table.primary_key.push(column.name.clone());
        }
        table.columns.push(column);
    }
    for constraint in &create.constraints {
        add_constraint(table, constraint)?;
    }
    Ok(())
}

fn add_constraint(table: &mut Table, constraint: &TableConstraint) -> Result<()> {
    let TableConstraint::PrimaryKey(key) = constraint else {
        return Err(unsupported(format!("the constraint {constraint}")));
    };
    check_not_enforced(key.characteristics.as_ref())?;
    if !table.primary_key.is_empty() {
        return Err(invalid("Table has multiple PRIMARY KEY constraints"));
    }
    for column in &key.columns {
        let name = match &column.column.expr {
            ast::Expr::Identifier(name) => &name.value,
            _ => return Err(invalid("A PRIMARY KEY is made of columns")),
        };
        let place = table.position(name);
        let known =
            place.ok_or_else(|| invalid(format!("PRIMARY KEY column {name} does not exist")))?;
        if table.columns[known].mode == Mode::Repeated {
            return Err(invalid(format!(
                "PRIMARY KEY column {name} cannot be an ARRAY"
            )));
        }
        table.primary_key.push(table.columns[known].name.clone());
    }
    Ok(())
}

/// The columns of the result of a query, as those of a table.
fn columns_of(outputs: &[Output]) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    for (place, output) in outputs.iter().enumerate() {
        let name = output.name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            invalid(format!(
                "CREATE TABLE columns must be named, but column {} has no name",
                place + 1
            ))
        })?;
        check_column_name(name)?;
        if columns.iter().any(|known| same_name(&known.name, name)) {
            return Err(invalid(format!(
                "CREATE TABLE has columns with duplicate name {name}"
            )));
        }
        columns.push(output.kind.to_column(name)?);
    }
    Ok(columns)
}

fn create_view(
    mut binder: Binder<'_>,
    create: &ast::CreateView,
    text: Option<&str>,
) -> Result<(TableName, Effect)> {
    if create.materialized || create.temporary || !create.columns.is_empty() {
        return Err(unsupported("this kind of view"));
    }
    let text = text.ok_or_else(|| unsupported("a view of this form"))?;
    let name = binder.table_name(&create.name)?;
    if free(
        &binder,
        &name,
        create.or_replace,
        create.if_not_exists,
        true,
    )?
    .is_none()
    {
        return Ok((name, Effect::Nothing));
    }
    let bound = binder.query(&create.query)?;
    let mut table = Table::new(columns_of(&bound.columns)?);
    table.view = Some(text.to_owned());
    options::set(&mut table, options_of(&create.options)?)?;
    Ok((name, Effect::Put(Box::new(table))))
}

/// A copy of a table that has to be there.
fn existing(binder: &Binder<'_>, name: &ast::ObjectName) -> Result<(TableName, Table)> {
    let name = binder.table_name(name)?;
    let table = binder.env.tables.get(&name).cloned();
    let table = table.ok_or_else(|| binder.not_found(&name))?;
    if table.view.is_some() {
        return Err(invalid(format!(
            "{name} is not allowed for this operation because it is a view"
        )));
    }
    Ok((name, table))
}

fn drop_object(
    binder: &Binder<'_>,
    kind: ObjectType,
    if_exists: bool,
    names: &[ast::ObjectName],
) -> Result<(TableName, Effect)> {
    if !matches!(kind, ObjectType::Table | ObjectType::View) {
        return Err(unsupported(format!("DROP {kind}")));
    }
    let [name] = names else {
        return Err(invalid("Syntax error: DROP takes one name"));
    };
    let name = binder.table_name(name)?;
    let Some(table) = binder.env.tables.get(&name) else {
        return if if_exists {
            Ok((name, Effect::Nothing))
        } else {
            Err(binder.not_found(&name))
        };
    };
    if table.view.is_some() != (kind == ObjectType::View) {
        let found = if table.view.is_some() {
            "view"
        } else {
            "table"
        };
        return Err(invalid(format!(
            "Cannot drop {name} which has type {}; use DROP {}",
            found.to_uppercase(),
            found.to_uppercase()
        )));
    }
    Ok((name, Effect::Remove))
}

fn alter_table(binder: &Binder<'_>, alter: &ast::AlterTable) -> Result<(TableName, Effect)> {
    let name = binder.table_name(&alter.name)?;
    if alter.if_exists && binder.env.tables.get(&name).is_none() {
        return Ok((name, Effect::Nothing));
    }
    let (name, mut table) = existing(binder, &alter.name)?;
    if let [AlterTableOperation::RenameTable { table_name }] = alter.operations.as_slice() {
        let (ast::RenameTableNameKind::To(new) | ast::RenameTableNameKind::As(new)) = table_name;
        let [new] = new.0.as_slice() else {
            return Err(invalid(
                "ALTER TABLE RENAME TO takes a name without a dataset",
            ));
        };
        let new = new
            .as_ident()
            .map(|new| new.value.as_str())
            .unwrap_or_default();
        let new = TableName::new(&name.project, &name.dataset, new);
        if binder.env.tables.get(&new).is_some() {
            return Err(already_exists(&new));
        }
        return Ok((name, Effect::Rename(new)));
    }
    for operation in &alter.operations {
        alter_one(&mut table, operation)?;
    }
    Ok((name, Effect::Alter(Box::new(table))))
}

fn alter_one(table: &mut Table, operation: &AlterTableOperation) -> Result<()> {
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => {
            let (column, is_key) = column_of_definition(column_def)?;
            if table.position(&column.name).is_some() {
                return match if_not_exists {
                    true => Ok(()),
                    false => Err(invalid(format!("Column already exists: {}", column.name))
                        .at_name(&column_def.name)),
                };
            }
            if column.mode == Mode::Required || is_key {
                return Err(invalid(format!(
                    "Cannot add required column {} to an existing table",
                    column.name
                ))
                .at_name(&column_def.name));
            }
            table.columns.push(column);
            Ok(())
        }
        AlterTableOperation::DropColumn {
            column_names,
            if_exists,
            drop_behavior: None,
            ..
        } => column_names
            .iter()
            .try_for_each(|name| drop_column(table, name, *if_exists)),
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => rename_column(table, old_column_name, new_column_name),
        AlterTableOperation::AlterColumn { column_name, op } => {
            let place = find(table, column_name)?;
            match op {
                AlterColumnOperation::DropNotNull => {
                    let column = &mut table.columns[place];
                    if column.mode == Mode::Required {
                        column.mode = Mode::Nullable;
                        return Ok(());
                    }
                    Err(invalid(format!(
                        "ALTER TABLE ALTER COLUMN DROP NOT NULL requires that column {} is NOT NULL",
                        column.name
                    )))
                }
                AlterColumnOperation::SetDataType {
                    data_type,
                    using: None,
                    ..
                } => widen(table, place, data_type).map_err(|error| error.at_name(column_name)),
                AlterColumnOperation::SetNotNull => {
                    Err(invalid("Syntax error: SET NOT NULL is not supported"))
                }
                other => Err(unsupported(format!("ALTER COLUMN {other}"))),
            }
        }
        AlterTableOperation::AddConstraint { constraint, .. } => add_constraint(table, constraint),
        AlterTableOperation::DropPrimaryKey { .. } => {
            if table.primary_key.is_empty() {
                return Err(invalid("Table does not have a PRIMARY KEY"));
            }
            table.primary_key.clear();
            Ok(())
        }
        AlterTableOperation::SetOptionsParens { options } => options::set(table, options),
        AlterTableOperation::RenameTable { .. } => Err(invalid(
            "ALTER TABLE RENAME TO cannot be combined with other actions",
        )),
        other => Err(unsupported(format!("ALTER TABLE {other}"))),
    }
}

fn find(table: &Table, name: &ast::Ident) -> Result<usize> {
    let place = table.position(&name.value);
    place.ok_or_else(|| invalid(format!("Column not found: {}", name.value)).at_name(name))
}

/// Refuses to take away or rename a column that the layout of the table is made by.
fn check_unused(table: &Table, name: &str, verb: &str) -> Result<()> {
    let is_layout = options::partition_column(table).is_some_and(|column| same_name(column, name))
        || table
            .clustering
            .iter()
            .any(|column| same_name(column, name));
    if is_layout {
        return Err(invalid(format!(
            "Cannot {verb} column {name} that the table is partitioned or clustered by"
        )));
    }
    Ok(())
}

fn drop_column(table: &mut Table, name: &ast::Ident, if_exists: bool) -> Result<()> {
    if if_exists && table.position(&name.value).is_none() {
        return Ok(());
    }
    let place = find(table, name)?;
    check_unused(table, &name.value, "drop")?;
    if table
        .primary_key
        .iter()
        .any(|column| same_name(column, &name.value))
    {
        return Err(invalid(format!(
            "Cannot drop column {} that is part of the PRIMARY KEY",
            name.value
        ))
        .at_name(name));
    }
    if table.columns.len() == 1 {
        return Err(invalid("Cannot drop the last column of a table"));
    }
    table.columns.remove(place);
    for row in &mut table.rows {
        if place < row.values.len() {
            row.values.remove(place);
        }
    }
    Ok(())
}

fn rename_column(table: &mut Table, old: &ast::Ident, new: &ast::Ident) -> Result<()> {
    let place = find(table, old)?;
    check_unused(table, &old.value, "rename")?;
    check_column_name(&new.value)?;
    if table
        .position(&new.value)
        .is_some_and(|other| other != place)
    {
        return Err(invalid(format!("Column already exists: {}", new.value)).at_name(new));
    }
    for key in table
        .primary_key
        .iter_mut()
        .filter(|key| same_name(key, &old.value))
    {
        key.clone_from(&new.value);
    }
    table.columns[place].name.clone_from(&new.value);
    Ok(())
}

/// Gives a column a type that holds all that the old one does.
fn widen(table: &mut Table, place: usize, data_type: &ast::DataType) -> Result<()> {
    let old = table.columns[place].clone();
    let mut new = column_of(&old.name, data_type)?;
    let refused = invalid(format!(
        "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({}) is assignable to the new type ({})",
        Kind::of_column(&old),
        Kind::of_column(&new)
    ));
    let room = |column: &Column| match (&column.kind, column.digits) {
        (Type::Int64, _) => (19, 0),
        (_, Some((precision, scale))) => (precision - scale, scale),
        (Type::Numeric, None) => (29, 9),
        (Type::BigNumeric, None) => (38, 38),
        _ => (u32::MAX, u32::MAX),
    };
    let (from, to) = (room(&old), room(&new));
    let wider = match (&old.kind, &new.kind) {
        (Type::Int64, Type::Numeric | Type::BigNumeric | Type::Float64)
        | (Type::Numeric, Type::Numeric | Type::BigNumeric | Type::Float64)
        | (Type::BigNumeric, Type::BigNumeric) => to.0 >= from.0 && to.1 >= from.1,
        (Type::BigNumeric, Type::Float64) => {
            return Err(unsupported("BIGNUMERIC widened to FLOAT64"));
        }
        (Type::String, Type::String) | (Type::Bytes, Type::Bytes) => {
            let length = |column: &Column| column.max_length.unwrap_or(u64::MAX);
            length(&new) >= length(&old)
        }
        (left, right) => left == right,
    };
    if !wider || (old.mode == Mode::Repeated) != (new.mode == Mode::Repeated) {
        return Err(refused);
    }
    new.mode = old.mode;
    new.description.clone_from(&old.description);
    let (from, to) = (Kind::of_column(&old), Kind::of_column(&new));
    for row in &mut table.rows {
        if let Some(value) = row.values.get_mut(place) {
            *value = cast(value, &from, &to)?;
        }
    }
    table.columns[place] = new;
    Ok(())
}
