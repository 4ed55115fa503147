//! UPDATE, and the assignments that it has in common with MERGE.

use sqlparser::ast::{self, Assignment, AssignmentTarget, UpdateTableFromKind};

use super::SqlError;
use super::bind::Binder;
use super::cast::constrain;
use super::dml::{Changes, Plan, Target};
use super::error::{Result, invalid, unsupported};
use super::expr::{Env, Expr, Frame};
use super::kind::Kind;
use super::matching::Matcher;
use super::relation::Rows;
use super::scope::same_name;
use crate::bigquery::table::{Column, Type};
use crate::bigquery::value::Value;

/// Reads an UPDATE and finds out what it changes.
pub(super) fn plan_update(binder: &mut Binder<'_>, update: &ast::Update) -> Result<Plan> {
    let other = !update.table.joins.is_empty()
        || update.returning.is_some()
        || update.output.is_some()
        || update.or.is_some()
        || !update.order_by.is_empty()
        || update.limit.is_some();
    if other {
        return Err(unsupported("this form of UPDATE"));
    }
    let target = binder.target(&update.table.relation)?;
    let Some(condition) = &update.selection else {
        return Err(invalid("UPDATE must have a WHERE clause").at(&update.table));
    };
    let width = target.columns.len();
    let source = match &update.from {
        None => None,
        Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
            Some(binder.from(from)?)
        }
    };
    let mut scope = target.scope.clone();
    if let Some((_, source)) = &source {
        scope.columns.extend(source.columns.iter().cloned());
    }
    binder.scopes.push(scope);
    let condition = binder.row_condition(condition, "WHERE clause")?;
    binder.note_bounds(&condition);
    let sets = sets(binder, &target, &update.assignments)?;
    binder.scopes.pop();
    binder.scans[0].whole = true;
    let mut changes = Changes::default();
    if !binder.env.context.dry_run {
        let env = binder.env;
        let rows = target.relation.run(&env, None)?;
        let sources: Rows<'_> = match &source {
            Some((relation, _)) => relation.run(&env, None)?,
            None => vec![Vec::new().into()],
        };
        let pairs = Matcher::new(Some(condition), width).pairs(&rows, &sources, &env, None)?;
        for (place, other) in pairs {
            let frame = Frame::pair(&rows[place], width, &sources[other], None);
            let new = changed(&rows[place], &sets, &target.columns, &frame, &env)?;
            if changes.updated.insert(place, new).is_some() {
                return Err(more_than_one());
            }
        }
    }
    Ok(Plan {
        kind: "UPDATE",
        table: target.name,
        bytes: binder.bytes(),
        changes,
    })
}

/// One assignment of SET: a column, the fields within it, and the value.
pub(super) struct Set {
    column: usize,
    fields: Vec<usize>,
    value: Expr,
}

/// Reads the list of SET.
pub(super) fn sets(
    binder: &mut Binder<'_>,
    target: &Target,
    list: &[Assignment],
) -> Result<Vec<Set>> {
    let mut sets: Vec<Set> = Vec::new();
    for assignment in list {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(invalid("Syntax error: Unexpected \"(\" in SET").at(assignment));
        };
        let mut path: Vec<&ast::Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        if path.len() > 1 && same_name(&path[0].value, &target.alias) {
            path.remove(0);
        }
        let [first, rest @ ..] = path.as_slice() else {
            return Err(invalid("Syntax error: Expected the name of a column").at(name));
        };
        let column = target.position(first)?;
        let mut place = target.columns[column].clone();
        let mut fields = Vec::new();
        for field in rest {
            let Type::Struct(known) = &place.kind else {
                return Err(invalid(format!(
                    "Cannot access field {} on a value with type {}",
                    field.value,
                    Kind::of_column(&place)
                ))
                .at_name(field));
            };
            let found = known
                .iter()
                .position(|known| same_name(&known.name, &field.value));
            let found = found.ok_or_else(|| {
                invalid(format!(
                    "Field name {} does not exist in {}",
                    field.value, place.name
                ))
                .at_name(field)
            })?;
            fields.push(found);
            place = known[found].clone();
        }
        let twice = sets.iter().any(|set| {
            set.column == column
                && (set.fields.starts_with(&fields) || fields.starts_with(&set.fields))
        });
        if twice {
            return Err(invalid(format!("Update item {name} assigned more than once")).at(name));
        }
        let value = binder.value_for(&assignment.value, &place)?;
        sets.push(Set {
            column,
            fields,
            value,
        });
    }
    Ok(sets)
}

/// The row after the assignments, all of which see it as it was.
pub(super) fn changed(
    row: &[Value],
    sets: &[Set],
    columns: &[Column],
    frame: &Frame<'_>,
    env: &Env<'_>,
) -> Result<Vec<Value>> {
    let mut new = row.to_vec();
    for set in sets {
        let value = set.value.eval(frame, env)?.into_owned();
        let mut place = &mut new[set.column];
        for field in &set.fields {
            let Value::Struct(fields) = place else {
                return Err(unsupported("an assignment to a field of NULL"));
            };
            place = &mut fields[*field];
        }
        *place = value;
    }
    for set in sets {
        let value = std::mem::replace(&mut new[set.column], Value::Null);
        new[set.column] = constrain(value, &columns[set.column])?;
    }
    Ok(new)
}

/// The error for a row of the target that several rows of the source would change.
pub(super) fn more_than_one() -> SqlError {
    invalid("UPDATE/MERGE must match at most one source row for each target row")
}
