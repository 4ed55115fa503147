//! The list of a SELECT: its expressions, and what `*` stands for.

use sqlparser::ast::{self, SelectItem, SelectItemQualifiedWildcardKind};

use super::bind::{Binder, Typed};
use super::error::{Result, invalid, unsupported};
use super::expr::{Expr, Label, Place};
use super::kind::{Field, Kind};
use super::scope::{Origins, Scope, same_name};

/// One column of the list of a SELECT.
pub(super) struct Item {
    pub(super) name: Option<String>,
    pub(super) value: Typed,
    pub(super) origins: Origins,
    pub(super) stored: Option<(usize, usize)>,
}

impl Binder<'_> {
    pub(super) fn items(&mut self, projection: &[SelectItem]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = match expr {
                        ast::Expr::Identifier(name) => Some(name.value.clone()),
                        ast::Expr::CompoundIdentifier(path) => {
                            path.last().map(|name| name.value.clone())
                        }
                        ast::Expr::CompoundFieldAccess { access_chain, .. } => {
                            match access_chain.last() {
                                Some(ast::AccessExpr::Dot(ast::Expr::Identifier(name))) => {
                                    Some(name.value.clone())
                                }
                                _ => None,
                            }
                        }
                        _ => None,
                    };
                    let name = name.filter(|name| !name.starts_with('@'));
                    items.push(self.item(expr, name)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(self.item(expr, Some(alias.value.clone()))?);
                }
                SelectItem::Wildcard(options) => {
                    let columns = self.star(None, options)?;
                    items.extend(self.adjusted(columns, options)?);
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    let columns = self.star(Some(kind), options)?;
                    items.extend(self.adjusted(columns, options)?);
                }
                other => return Err(unsupported("this column of a SELECT").at(other)),
            }
        }
        Ok(items)
    }

    pub(super) fn item(&mut self, expr: &ast::Expr, name: Option<String>) -> Result<Item> {
        let before = std::mem::take(&mut self.touched);
        let value = self.bind(expr);
        let origins = std::mem::replace(&mut self.touched, before);
        let value = value?;
        let stored = match &value.expr {
            Expr::Column(Place {
                depth: 0, index, ..
            }) => self
                .scopes
                .last()
                .and_then(|scope| scope.columns[*index].stored),
            _ => None,
        };
        Ok(Item {
            name,
            value,
            origins,
            stored,
        })
    }

    /// The columns that `*` or `t.*` stands for.
    pub(super) fn star(
        &mut self,
        of: Option<&SelectItemQualifiedWildcardKind>,
        options: &ast::WildcardAdditionalOptions,
    ) -> Result<Vec<Item>> {
        let scope = self.scopes.last().cloned().unwrap_or_default();
        let places: Vec<usize> = match of {
            None => (0..scope.columns.len())
                .filter(|place| !scope.columns[*place].hidden)
                .collect(),
            Some(SelectItemQualifiedWildcardKind::ObjectName(name)) if name.0.len() == 1 => {
                let name = name.to_string();
                let name = name.trim_matches('`');
                let places = scope.of_table(name);
                if places.is_empty() {
                    return self.star_of_struct(&ast::Expr::Identifier(ast::Ident::new(name)));
                }
                places
            }
            Some(SelectItemQualifiedWildcardKind::ObjectName(name)) => {
                let path = name
                    .0
                    .iter()
                    .filter_map(|part| part.as_ident().cloned())
                    .collect();
                return self.star_of_struct(&ast::Expr::CompoundIdentifier(path));
            }
            Some(SelectItemQualifiedWildcardKind::Expr(expr)) => return self.star_of_struct(expr),
        };
        if scope.columns.is_empty() {
            return Err(invalid("SELECT * must have a FROM clause").at(&options.wildcard_token.0));
        }
        let mut items = Vec::new();
        for place in places {
            let column = &scope.columns[place];
            let value = Typed::new(column_expr(&scope, place), column.kind.clone());
            let item = Item {
                name: Some(column.name.clone()),
                value,
                origins: column.origins.clone(),
                stored: column.stored,
            };
            match &column.kind {
                Kind::Struct(fields) if column.is_row => items.extend(fields_of(&item, fields)),
                _ => items.push(item),
            }
        }
        Ok(items)
    }

    pub(super) fn star_of_struct(&mut self, expr: &ast::Expr) -> Result<Vec<Item>> {
        let item = self.item(expr, None)?;
        match &item.value.kind {
            Kind::Struct(fields) => Ok(fields_of(&item, fields)),
            other => Err(invalid(format!("Dot-star is not supported for type {other}")).at(expr)),
        }
    }

    pub(super) fn adjusted(
        &mut self,
        mut items: Vec<Item>,
        options: &ast::WildcardAdditionalOptions,
    ) -> Result<Vec<Item>> {
        if options.opt_ilike.is_some()
            || options.opt_exclude.is_some()
            || options.opt_rename.is_some()
        {
            return Err(invalid("Syntax error: Unexpected keyword after *"));
        }
        if let Some(except) = &options.opt_except {
            for name in std::iter::once(&except.first_element).chain(&except.additional_elements) {
                let before = items.len();
                items.retain(|item| !named(item, &name.value));
                if items.len() == before {
                    return Err(invalid(format!(
                        "Column {} in SELECT * EXCEPT list does not exist",
                        name.value
                    ))
                    .at_name(name));
                }
            }
        }
        for element in options
            .opt_replace
            .iter()
            .flat_map(|replace| &replace.items)
        {
            let name = &element.column_name;
            let Some(place) = items.iter().position(|item| named(item, &name.value)) else {
                return Err(invalid(format!(
                    "Column {} in SELECT * REPLACE list does not exist",
                    name.value
                ))
                .at_name(name));
            };
            items[place] = self.item(&element.expr, Some(name.value.clone()))?;
        }
        Ok(items)
    }
}

fn named(item: &Item, name: &str) -> bool {
    item.name
        .as_deref()
        .is_some_and(|known| same_name(known, name))
}

fn column_expr(scope: &Scope, index: usize) -> Expr {
    let name = scope.columns[index].name.as_str();
    Expr::Column(Place {
        depth: 0,
        index,
        label: Label(name.into(), sqlparser::tokenizer::Span::empty()),
    })
}

/// The fields of a STRUCT as columns.
fn fields_of(item: &Item, fields: &[Field]) -> Vec<Item> {
    let field = |(place, field): (usize, &Field)| Item {
        name: field.name.clone(),
        value: Typed::new(
            Expr::Field(Box::new(item.value.expr.clone()), place),
            field.kind.clone(),
        ),
        origins: item.origins.clone(),
        stored: None,
    };
    fields.iter().enumerate().map(field).collect()
}

pub(super) fn aliases_of(items: &[Item]) -> Vec<(String, Typed, Origins)> {
    let named = |item: &Item| {
        let name = item.name.clone()?;
        Some((name, item.value.clone(), item.origins.clone()))
    };
    items.iter().filter_map(named).collect()
}
