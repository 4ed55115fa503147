//! MERGE: rows of a source against rows of a target, by the first clause that applies.

use sqlparser::ast::{self, MergeAction, MergeClauseKind, MergeInsertKind, MergeUpdateKind};

use super::bind::Binder;
use super::dml::{Changes, Plan, Target, check_count, full_row, insert_places};
use super::error::{Result, invalid, unsupported};
use super::expr::{Env, Expr, Frame};
use super::matching::Matcher;
use super::relation::Relation;
use super::scope::{Scope, same_name};
use super::update::{Set, changed, more_than_one, sets};
use crate::bigquery::value::Value;

/// One WHEN of a MERGE.
struct Clause {
    kind: MergeClauseKind,
    condition: Option<Expr>,
    action: Action,
}

enum Action {
    Delete,
    Update(Vec<Set>),
    Insert(Vec<usize>, Vec<Expr>),
}

/// Which of the two rows the expressions of a clause may look at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Both,
    Target,
    Source,
}

/// Reads a MERGE and finds out what it changes.
pub(super) fn plan(binder: &mut Binder<'_>, merge: &ast::Merge) -> Result<Plan> {
    if merge.output.is_some() {
        return Err(unsupported("MERGE with OUTPUT"));
    }
    let target = binder.target(&merge.table)?;
    let (source, source_scope) = binder.factor(&merge.source)?;
    let width = target.columns.len();
    let mut scope = target.scope.clone();
    scope.columns.extend(source_scope.columns);
    binder.scopes.push(scope.clone());
    let condition = binder.row_condition(&merge.on, "MERGE ON clause")?;
    let keeps_source_out =
        |clause: &ast::MergeClause| clause.clause_kind == MergeClauseKind::NotMatchedBySource;
    if !merge.clauses.iter().any(keeps_source_out) {
        // Rows of the target outside of the bounds are never touched, so they need not be read.
        binder.note_bounds(&condition);
    }
    binder.scopes.pop();
    let mut clauses = Vec::new();
    for clause in &merge.clauses {
        clauses.push(bind_clause(binder, clause, &target, &scope)?);
    }
    binder.scans[0].whole = clauses
        .iter()
        .any(|clause| !matches!(clause.action, Action::Insert(..)));
    let bytes = binder.bytes();
    let mut changes = Changes::default();
    if !binder.env.context.dry_run {
        let matcher = Matcher::new(Some(condition), width);
        changes = run(&target, &source, &matcher, &clauses, &binder.env)?;
    }
    Ok(Plan {
        kind: "MERGE",
        table: target.name,
        bytes,
        changes,
    })
}

fn bind_clause(
    binder: &mut Binder<'_>,
    clause: &ast::MergeClause,
    target: &Target,
    scope: &Scope,
) -> Result<Clause> {
    let view = match clause.clause_kind {
        MergeClauseKind::Matched => View::Both,
        MergeClauseKind::NotMatchedBySource => View::Target,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => View::Source,
    };
    binder.scopes.push(seen(scope, target.columns.len(), view));
    let condition = match &clause.predicate {
        Some(condition) => binder
            .row_condition(condition, "MERGE WHEN clause")
            .map(Some),
        None => Ok(None),
    };
    let action = bind_action(binder, &clause.action, target, scope, view);
    binder.scopes.pop();
    Ok(Clause {
        kind: clause.clause_kind,
        condition: condition?,
        action: action?,
    })
}

/// The names that a clause may use; the others keep their places.
fn seen(scope: &Scope, width: usize, view: View) -> Scope {
    let mut scope = scope.clone();
    for (place, column) in scope.columns.iter_mut().enumerate() {
        let of_target = place < width;
        if view == View::Target && !of_target || view == View::Source && of_target {
            column.table = None;
            column.hidden = true;
            column.is_row = false;
        }
    }
    scope
}

fn bind_action(
    binder: &mut Binder<'_>,
    action: &MergeAction,
    target: &Target,
    scope: &Scope,
    view: View,
) -> Result<Action> {
    match action {
        MergeAction::Delete { .. } if view != View::Source => Ok(Action::Delete),
        MergeAction::Update(update) if view != View::Source => match &update.kind {
            MergeUpdateKind::Set(list)
                if update.update_predicate.is_none() && update.delete_predicate.is_none() =>
            {
                Ok(Action::Update(sets(binder, target, list)?))
            }
            _ => Err(invalid("Syntax error: Unexpected words after UPDATE")),
        },
        MergeAction::Insert(insert)
            if view == View::Source && insert.insert_predicate.is_none() =>
        {
            let places = insert_places(target, &insert.columns)?;
            let values = match &insert.kind {
                MergeInsertKind::Values(values) => match values.rows.as_slice() {
                    [row] => {
                        check_count(row.len(), places.len(), "Inserted row")?;
                        let values = row.iter().zip(&places);
                        values
                            .map(|(value, place)| binder.value_for(value, &target.columns[*place]))
                            .collect::<Result<_>>()?
                    }
                    _ => return Err(invalid("Syntax error: MERGE inserts one row of VALUES")),
                },
                MergeInsertKind::Row => row_values(binder, target, scope, &places)?,
                MergeInsertKind::Wildcard => return Err(invalid("Syntax error: Unexpected \"*\"")),
            };
            Ok(Action::Insert(places, values))
        }
        MergeAction::DoNothing { .. } => Err(invalid("Syntax error: Unexpected keyword DO")),
        _ => Err(invalid(
            "Syntax error: this action does not go with this WHEN clause",
        )),
    }
}

/// INSERT ROW: for each column of the target that of the same name in the source.
fn row_values(
    binder: &mut Binder<'_>,
    target: &Target,
    scope: &Scope,
    places: &[usize],
) -> Result<Vec<Expr>> {
    let mut values = Vec::new();
    for place in places {
        let column = &target.columns[*place];
        let sources = scope.columns.iter().skip(target.columns.len());
        if !sources
            .clone()
            .any(|source| same_name(&source.name, &column.name))
        {
            return Err(invalid(format!(
                "INSERT ROW: column {} of the target is not found in the source",
                column.name
            )));
        }
        let name = ast::Expr::Identifier(ast::Ident::new(&column.name));
        values.push(binder.value_for(&name, column)?);
    }
    Ok(values)
}

fn run(
    target: &Target,
    source: &Relation,
    matcher: &Matcher,
    clauses: &[Clause],
    env: &Env<'_>,
) -> Result<Changes> {
    let width = target.columns.len();
    let rows = target.relation.run(env, None)?;
    let sources = source.run(env, None)?;
    let pairs = matcher.pairs(&rows, &sources, env, None)?;
    let mut changes = Changes::default();
    let mut source_matched = vec![false; sources.len()];
    let mut target_matched = vec![false; rows.len()];
    for (place, other) in pairs {
        source_matched[other] = true;
        target_matched[place] = true;
        let frame = Frame::pair(&rows[place], width, &sources[other], None);
        let is_matched = |clause: &Clause| clause.kind == MergeClauseKind::Matched;
        let Some(clause) = first(clauses, is_matched, &frame, env)? else {
            continue;
        };
        change(
            &mut changes,
            clause,
            target,
            place,
            &rows[place],
            &frame,
            env,
        )?;
    }
    let unmatched = |clause: &Clause| clause.kind == MergeClauseKind::NotMatchedBySource;
    if clauses.iter().any(unmatched) {
        for (place, row) in rows
            .iter()
            .enumerate()
            .filter(|(place, _)| !target_matched[*place])
        {
            let frame = Frame::pair(row, width, &[], None);
            if let Some(clause) = first(clauses, unmatched, &frame, env)? {
                change(&mut changes, clause, target, place, row, &frame, env)?;
            }
        }
    }
    for (row, _) in sources
        .iter()
        .zip(&source_matched)
        .filter(|(_, matched)| !**matched)
    {
        let frame = Frame::pair(&[], width, row, None);
        let inserts = |clause: &Clause| matches!(clause.action, Action::Insert(..));
        let Some(clause) = first(clauses, inserts, &frame, env)? else {
            continue;
        };
        if let Action::Insert(places, values) = &clause.action {
            let values = values.iter().map(|value| value.eval(&frame, env));
            let values: Vec<Value> = values
                .map(|value| value.map(|value| value.into_owned()))
                .collect::<Result<_>>()?;
            changes
                .inserted
                .push(full_row(&target.columns, places, values)?);
        }
    }
    Ok(changes)
}

/// The first of some clauses whose condition holds.
fn first<'c>(
    clauses: &'c [Clause],
    wanted: impl Fn(&Clause) -> bool,
    frame: &Frame<'_>,
    env: &Env<'_>,
) -> Result<Option<&'c Clause>> {
    for clause in clauses.iter().filter(|clause| wanted(clause)) {
        let holds = match &clause.condition {
            Some(condition) => condition.holds(frame, env)?,
            None => true,
        };
        if holds {
            return Ok(Some(clause));
        }
    }
    Ok(None)
}

fn change(
    changes: &mut Changes,
    clause: &Clause,
    target: &Target,
    place: usize,
    row: &[Value],
    frame: &Frame<'_>,
    env: &Env<'_>,
) -> Result<()> {
    if changes.deleted.contains(&place) || changes.updated.contains_key(&place) {
        return Err(more_than_one());
    }
    match &clause.action {
        Action::Delete => {
            changes.deleted.insert(place);
        }
        Action::Update(sets) => {
            let new = changed(row, sets, &target.columns, frame, env)?;
            changes.updated.insert(place, new);
        }
        Action::Insert(..) => {}
    }
    Ok(())
}
