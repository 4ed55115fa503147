//! The names that an expression may use, and what they stand for.

use std::collections::BTreeSet;
use std::rc::Rc;

use sqlparser::ast::Ident;

use super::bind::{Binder, Typed};
use super::error::{Result, invalid, unsupported};
use super::expr::{Expr, Label, Place};
use super::kind::Kind;

/// The columns of tables that something is made of, by scan and place; it decides the bytes of a query.
pub(super) type Origins = BTreeSet<(usize, usize)>;

/// The columns that a query selects from, in the order of its rows.
#[derive(Debug, Default, Clone)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
}

#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    /// The alias of its table.
    pub(super) table: Option<String>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) origins: Origins,
    /// The scan and the place, if it is a column of a table and nothing else.
    pub(super) stored: Option<(usize, usize)>,
    /// Whether its values are the rows of its table, as the elements of UNNEST are.
    pub(super) is_row: bool,
    /// Whether it is found only with its table's name before it, as one of two columns of USING.
    pub(super) hidden: bool,
}

impl Scope {
    /// The places of the columns of an alias.
    pub(super) fn of_table(&self, alias: &str) -> Vec<usize> {
        let of =
            |column: &ScopeColumn| column.table.as_deref().is_some_and(|t| same_name(t, alias));
        (0..self.columns.len())
            .filter(|place| of(&self.columns[*place]))
            .collect()
    }
}

/// Names are compared without case.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

impl Binder<'_> {
    /// What a name stands for, in this query or one around it.
    pub(super) fn resolve(&mut self, name: &Ident) -> Result<Typed> {
        for depth in 0..self.scopes.len() {
            if let Some(found) = self.resolve_in(depth, name)? {
                return Ok(found);
            }
        }
        let upper = name.value.to_ascii_uppercase();
        if upper.starts_with("_PARTITION")
            || upper.starts_with("_CHANGE_")
            || upper.starts_with("@@")
        {
            return Err(unsupported(format!("the name {}", name.value)).at_name(name));
        }
        Err(invalid(format!("Unrecognized name: {}", name.value)).at_name(name))
    }

    /// The column of the SELECT that a name stands for, where such names count.
    fn alias(&mut self, name: &str) -> Option<Typed> {
        let aliases = self
            .aliases
            .last()
            .filter(|aliases| aliases.level == self.scopes.len())?;
        let found = aliases
            .columns
            .iter()
            .find(|(alias, _, _)| same_name(alias, name))?;
        self.touched.extend(found.2.iter().copied());
        Some(found.1.clone())
    }

    fn scope(&self, depth: usize) -> &Scope {
        &self.scopes[self.scopes.len() - 1 - depth]
    }

    fn resolve_in(&mut self, depth: usize, name: &Ident) -> Result<Option<Typed>> {
        if depth == 0
            && let Some(found) = self.alias(&name.value)
        {
            return Ok(Some(found));
        }
        let scope = self.scope(depth);
        let named = |column: &ScopeColumn| !column.hidden && same_name(&column.name, &name.value);
        let found: Vec<usize> = (0..scope.columns.len())
            .filter(|place| named(&scope.columns[*place]))
            .collect();
        match found.as_slice() {
            [place] => return Ok(Some(self.column(depth, *place, name))),
            [] => {}
            _ => {
                return Err(
                    invalid(format!("Column name {} is ambiguous", name.value)).at_name(name)
                );
            }
        }
        let of_table = scope.of_table(&name.value);
        if !of_table.is_empty() {
            return Ok(Some(self.row_of(depth, &of_table, name)));
        }
        // The fields of the elements of UNNEST are names as well.
        let rows = (0..scope.columns.len()).filter(|place| scope.columns[*place].is_row);
        for place in rows.collect::<Vec<_>>() {
            if let Some(field) = field_place(&self.scope(depth).columns[place].kind, &name.value) {
                let row = self.column(depth, place, name);
                return Ok(Some(field_of(row, field)));
            }
        }
        Ok(None)
    }

    /// A table's name as an expression is its row.
    fn row_of(&mut self, depth: usize, places: &[usize], name: &Ident) -> Typed {
        if let [place] = places
            && self.scope(depth).columns[*place].is_row
        {
            return self.column(depth, *place, name);
        }
        let mut fields = Vec::new();
        let mut values = Vec::new();
        for place in places {
            let column_name = self.scope(depth).columns[*place].name.clone();
            let column = self.column(depth, *place, name);
            fields.push(super::kind::Field {
                name: Some(column_name),
                kind: column.kind,
            });
            values.push(column.expr);
        }
        Typed::new(Expr::Struct(values), Kind::Struct(fields))
    }

    fn column(&mut self, depth: usize, index: usize, name: &Ident) -> Typed {
        let position = self.scopes.len() - 1 - depth;
        let column = &self.scopes[position].columns[index];
        self.touched.extend(column.origins.iter().copied());
        self.lowest = self.lowest.min(position);
        let label = Label(Rc::from(name.value.as_str()), name.span);
        let place = Place {
            depth,
            index,
            label,
        };
        Typed::new(Expr::Column(place), column.kind.clone())
    }

    /// What a path of names stands for: a column of a table, or fields of a column.
    pub(super) fn resolve_path(&mut self, path: &[Ident]) -> Result<Typed> {
        let [first, rest @ ..] = path else {
            return Err(invalid("Syntax error: a name is missing"));
        };
        for depth in 0..self.scopes.len() {
            let scope = self.scope(depth);
            let places = scope.of_table(&first.value);
            let is_row = matches!(places.as_slice(), [place] if scope.columns[*place].is_row);
            let [second, fields @ ..] = rest else { break };
            if !places.is_empty() && !is_row {
                let named = |place: &&usize| same_name(&scope.columns[**place].name, &second.value);
                let Some(place) = places.iter().find(named).copied() else {
                    return Err(invalid(format!(
                        "Name {} not found inside {}",
                        second.value, first.value
                    ))
                    .at_name(second));
                };
                let column = self.column(depth, place, second);
                return fields
                    .iter()
                    .try_fold(column, |value, field| self.field(value, field));
            }
            if let Some(value) = self.resolve_in(depth, first)? {
                return rest
                    .iter()
                    .try_fold(value, |value, field| self.field(value, field));
            }
        }
        let value = self.resolve(first)?;
        rest.iter()
            .try_fold(value, |value, field| self.field(value, field))
    }

    /// A field of a STRUCT.
    pub(super) fn field(&mut self, value: Typed, name: &Ident) -> Result<Typed> {
        match &value.kind {
            Kind::Struct(_) => match field_place(&value.kind, &name.value) {
                Some(place) => Ok(field_of(value, place)),
                None => Err(invalid(format!(
                    "Field name {} does not exist in {}",
                    name.value, value.kind
                ))
                .at_name(name)),
            },
            Kind::Json => Err(unsupported("field access on JSON").at_name(name)),
            other => Err(invalid(format!(
                "Cannot access field {} on a value with type {other}",
                name.value
            ))
            .at_name(name)),
        }
    }
}

fn field_place(kind: &Kind, name: &str) -> Option<usize> {
    let Kind::Struct(fields) = kind else {
        return None;
    };
    let named =
        |field: &super::kind::Field| field.name.as_deref().is_some_and(|n| same_name(n, name));
    fields.iter().position(named)
}

fn field_of(value: Typed, place: usize) -> Typed {
    let kind = match value.kind {
        Kind::Struct(mut fields) if place < fields.len() => fields.swap_remove(place).kind,
        _ => Kind::Null,
    };
    let expr = match value.expr {
        Expr::Struct(mut values) if place < values.len() => values.swap_remove(place),
        other => Expr::Field(Box::new(other), place),
    };
    Typed::new(expr, kind)
}
