//! One SELECT: its list, its conditions, its groups and windows, in the order in which they count.

use sqlparser::ast::{self, Distinct, GroupByExpr, NamedWindowExpr, ValueTableMode};

use super::aggregate::AggregateCall;
use super::bind::{Aliases, Binder};
use super::error::{Result, invalid, unsupported};
use super::expr::{Expr, Place};
use super::kind::{Field, Kind};
use super::list::{Item, aliases_of};
use super::over::sort_key;
use super::query::{BoundQuery, Output, order_keys, ordinal, over_column};
use super::relation::{Relation, SortKey};
use super::window::WindowCall;

/// The expressions of a SELECT that see its groups.
struct Parts {
    items: Vec<Item>,
    having: Option<Expr>,
    qualify: Option<Expr>,
    order: Vec<SortKey>,
}

impl Parts {
    fn exprs(&mut self) -> impl Iterator<Item = &mut Expr> {
        let items = self.items.iter_mut().map(|item| &mut item.value.expr);
        let order = self.order.iter_mut().map(|key| &mut key.expr);
        items
            .chain(&mut self.having)
            .chain(&mut self.qualify)
            .chain(order)
    }
}

impl Binder<'_> {
    /// Reads a SELECT with the ORDER BY of its query.
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order: Option<&ast::OrderBy>,
    ) -> Result<BoundQuery> {
        check_clauses(select)?;
        let aliases = std::mem::take(&mut self.aliases);
        let windows = std::mem::take(&mut self.windows);
        let (relation, scope) = self.from(&select.from)?;
        self.scopes.push(scope);
        let bound = self.select_over(relation, select, order);
        self.scopes.pop();
        self.aliases = aliases;
        self.windows = windows;
        bound
    }

    fn select_over(
        &mut self,
        mut relation: Relation,
        select: &ast::Select,
        order: Option<&ast::OrderBy>,
    ) -> Result<BoundQuery> {
        for window in &select.named_window {
            match &window.1 {
                NamedWindowExpr::WindowSpec(spec) => {
                    self.windows.push((window.0.value.clone(), spec.clone()));
                }
                NamedWindowExpr::NamedWindow(_) => {
                    return Err(unsupported("a window that is another's name"));
                }
            }
        }
        if let Some(condition) = &select.selection {
            let bound = self.row_condition(condition, "WHERE clause")?;
            self.note_bounds(&bound);
            relation = self.filtered(relation, bound);
        }
        let items = self.items(&select.projection)?;
        self.aliases.push(Aliases {
            level: self.scopes.len(),
            columns: aliases_of(&items),
        });
        let keys = self.group_keys(&select.group_by, &items)?;
        let having = match &select.having {
            Some(having) => Some(self.condition(having, "HAVING clause")?),
            None => None,
        };
        let qualify = match &select.qualify {
            Some(qualify) => Some(self.condition(qualify, "QUALIFY clause")?),
            None => None,
        };
        let order = self.select_order(order_keys(order)?, &items)?;
        let mut parts = Parts {
            items,
            having,
            qualify,
            order,
        };
        let mut width = self.scopes.last().map_or(0, |scope| scope.columns.len());
        let aggregated = keys.is_some() || parts.exprs().any(|expr| has(expr, is_aggregate));
        if aggregated {
            relation = aggregate(relation, keys.unwrap_or_default(), &mut parts, &mut width)?;
        } else if let Some(having) = &select.having {
            return Err(invalid(
                "The HAVING clause requires GROUP BY or aggregation to be present",
            )
            .at(having));
        }
        relation = relation.filter(parts.having.take());
        if let Some(qualify) = &select.qualify
            && !parts.exprs().any(|expr| has(expr, is_window))
        {
            return Err(
                invalid("The QUALIFY clause requires analytic function to be present").at(qualify),
            );
        }
        relation = windows(relation, &mut parts, width)?;
        relation = relation.filter(parts.qualify.take());
        finish(relation, parts, select)
    }

    /// A condition over single rows, which may hold no aggregate and no window.
    pub(super) fn row_condition(&mut self, condition: &ast::Expr, clause: &str) -> Result<Expr> {
        let bound = self.condition(condition, clause)?;
        if has(&bound, is_aggregate) {
            return Err(
                invalid(format!("Aggregate function not allowed in {clause}")).at(condition),
            );
        }
        if has(&bound, is_window) {
            return Err(
                invalid(format!("Analytic function not allowed in {clause}")).at(condition),
            );
        }
        Ok(bound)
    }

    /// The keys of GROUP BY; none without one.
    fn group_keys(&mut self, group: &GroupByExpr, items: &[Item]) -> Result<Option<Vec<Expr>>> {
        let exprs = match group {
            GroupByExpr::All(_) => return Err(unsupported("GROUP BY ALL")),
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            GroupByExpr::Expressions(..) => return Err(unsupported("this form of GROUP BY")),
        };
        let mut keys = Vec::new();
        for expr in exprs {
            let key = match ordinal(expr, items.len())? {
                Some(place) => {
                    self.touched.extend(items[place].origins.iter().copied());
                    items[place].value.clone()
                }
                None => self.bind(expr)?,
            };
            if has(&key.expr, is_aggregate) {
                return Err(invalid("Aggregate functions are not allowed in GROUP BY").at(expr));
            }
            if !key.kind.has_equality() {
                return Err(invalid(format!(
                    "Grouping by expressions of type {} is not allowed",
                    key.kind
                ))
                .at(expr));
            }
            keys.push(key.expr);
        }
        Ok((!keys.is_empty()).then_some(keys))
    }

    fn select_order(&mut self, keys: &[ast::OrderByExpr], items: &[Item]) -> Result<Vec<SortKey>> {
        let mut order = Vec::new();
        for key in keys {
            match ordinal(&key.expr, items.len())? {
                Some(place) => {
                    self.touched.extend(items[place].origins.iter().copied());
                    order.push(sort_key(key, items[place].value.expr.clone())?);
                }
                None => order.extend(self.sort_keys(std::slice::from_ref(key))?),
            }
        }
        Ok(order)
    }
}

fn check_clauses(select: &ast::Select) -> Result<()> {
    let other = select.select_modifiers.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.flavor != ast::SelectFlavor::Standard;
    if other {
        return Err(unsupported("this clause of a SELECT").at(select));
    }
    Ok(())
}

fn has(expr: &Expr, wanted: fn(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.visit(&mut |part| found |= wanted(part));
    found
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Aggregate(_))
}

fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Window(_))
}

/// Puts the groups under the expressions: what they look at are the keys and the aggregates from now on.
fn aggregate(
    input: Relation,
    keys: Vec<Expr>,
    parts: &mut Parts,
    width: &mut usize,
) -> Result<Relation> {
    let mut calls: Vec<AggregateCall> = Vec::new();
    for expr in parts.exprs() {
        expr.rewrite(&mut |part| {
            if let Some(place) = keys.iter().position(|key| key == part) {
                return Ok(Some(Expr::column(place)));
            }
            match part {
                Expr::Aggregate(call) => {
                    let place = calls.iter().position(|known| *known == **call);
                    let place = place.unwrap_or_else(|| {
                        calls.push((**call).clone());
                        calls.len() - 1
                    });
                    Ok(Some(Expr::column(keys.len() + place)))
                }
                Expr::Column(Place { depth: 0, label, .. }) => {
                    let place = sqlparser::ast::Ident::with_span(label.1, &*label.0);
                    Err(invalid(format!(
                        "SELECT list expression references column {} which is neither grouped nor aggregated",
                        label.0
                    ))
                    .at_name(&place))
                }
                Expr::InQuery(_, query) | Expr::Exists(query) | Expr::Scalar(query) | Expr::ArrayOf(query)
                    if query.correlated =>
                {
                    Err(unsupported("a query over the groups around it"))
                }
                _ => Ok(None),
            }
        })?;
    }
    *width = keys.len() + calls.len();
    Ok(Relation::Aggregate {
        input: Box::new(input),
        keys,
        calls,
    })
}

/// Puts the windows under the expressions.
fn windows(input: Relation, parts: &mut Parts, width: usize) -> Result<Relation> {
    let mut calls: Vec<WindowCall> = Vec::new();
    for expr in parts.exprs() {
        expr.rewrite(&mut |part| {
            let Expr::Window(call) = part else {
                return Ok(None);
            };
            if call.parts().iter().any(|part| has(part, is_window)) {
                return Err(invalid(
                    "Analytic function cannot be an argument of another analytic function",
                ));
            }
            let place = calls.iter().position(|known| *known == **call);
            let place = place.unwrap_or_else(|| {
                calls.push((**call).clone());
                calls.len() - 1
            });
            Ok(Some(Expr::column(width + place)))
        })?;
    }
    Ok(match calls.is_empty() {
        true => input,
        false => Relation::Window(Box::new(input), calls),
    })
}

/// The list itself, DISTINCT, the order, and AS STRUCT.
fn finish(input: Relation, parts: Parts, select: &ast::Select) -> Result<BoundQuery> {
    let distinct = match &select.distinct {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(Distinct::On(_)) => return Err(invalid("Syntax error: Unexpected keyword ON")),
    };
    let mode = select.value_table_mode;
    if matches!(
        mode,
        Some(ValueTableMode::DistinctAsStruct | ValueTableMode::DistinctAsValue)
    ) {
        return Err(unsupported("SELECT DISTINCT AS"));
    }
    let width = parts.items.len();
    let mut exprs: Vec<Expr> = parts
        .items
        .iter()
        .map(|item| item.value.expr.clone())
        .collect();
    let mut order = Vec::new();
    for key in &parts.order {
        let known = exprs.iter().take(width).position(|expr| *expr == key.expr);
        let place = match known {
            Some(place) => place,
            None if distinct => {
                return Err(invalid(
                    "ORDER BY clause expression references a column which is not visible after SELECT DISTINCT",
                ));
            }
            None => {
                exprs.push(key.expr.clone());
                exprs.len() - 1
            }
        };
        order.push(over_column(key, place));
    }
    let wide = exprs.len() > width;
    let mut relation = Relation::Project(Box::new(input), exprs);
    if distinct {
        let bad = parts
            .items
            .iter()
            .find(|item| !item.value.kind.has_equality());
        if let Some(item) = bad {
            return Err(invalid(format!(
                "Column of type {} cannot be used in SELECT DISTINCT",
                item.value.kind
            )));
        }
        relation = Relation::Distinct(Box::new(relation));
    }
    if !order.is_empty() {
        relation = Relation::Sort(Box::new(relation), order);
    }
    if wide {
        relation = Relation::Cut(Box::new(relation), width);
    }
    let columns: Vec<Output> = parts
        .items
        .into_iter()
        .map(|item| Output {
            name: item.name,
            literal: item.value.literal,
            kind: item.value.kind,
            origins: item.origins,
            stored: item.stored,
        })
        .collect();
    match mode {
        None => Ok(BoundQuery {
            relation,
            columns,
            is_row: false,
            correlated: false,
        }),
        Some(ValueTableMode::AsStruct) => Ok(as_struct(relation, columns)),
        Some(_) if columns.len() == 1 => Ok(BoundQuery {
            relation,
            columns,
            is_row: true,
            correlated: false,
        }),
        Some(_) => Err(invalid(
            "SELECT AS VALUE query must have exactly one column",
        )),
    }
}

fn as_struct(relation: Relation, columns: Vec<Output>) -> BoundQuery {
    let whole = Expr::Struct((0..columns.len()).map(Expr::column).collect());
    let origins = columns
        .iter()
        .flat_map(|column| column.origins.iter().copied())
        .collect();
    let fields = columns.into_iter().map(|column| Field {
        name: column.name,
        kind: column.kind,
    });
    let column = Output {
        name: None,
        kind: Kind::Struct(fields.collect()),
        origins,
        stored: None,
        literal: false,
    };
    BoundQuery {
        relation: Relation::Project(Box::new(relation), vec![whole]),
        columns: vec![column],
        is_row: true,
        correlated: false,
    }
}
