//! FROM: tables, views, queries and arrays, and the joins between them.

use sqlparser::ast::{self, JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins};

use super::bind::Binder;
use super::coerce::compare;
use super::compare::Comparison;
use super::error::{Result, SqlError, SqlErrorKind, invalid, unsupported};
use super::expr::{Expr, Place};
use super::kind::Kind;
use super::matching::Matcher;
use super::query::BoundQuery;
use super::relation::{Join, Lookup, Relation, missing};
use super::scan::Scan;
use super::scope::{Origins, Scope, ScopeColumn, same_name};
use crate::bigquery::table::{Mode, TableName};

/// What a query selects from, and the names of its columns.
type Source = (Relation, Scope);

/// Which rows without a partner a join keeps.
#[derive(Clone, Copy)]
struct Keeps {
    left: bool,
    right: bool,
}

impl Binder<'_> {
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<Source> {
        let mut source = (Relation::One, Scope::default());
        let keeps = Keeps {
            left: false,
            right: false,
        };
        for (place, part) in from.iter().enumerate() {
            source = self.joined(
                (place > 0).then_some(source),
                &part.relation,
                keeps,
                &JoinConstraint::None,
            )?;
            for join in &part.joins {
                source = self.join(source, join)?;
            }
        }
        Ok(source)
    }

    fn join(&mut self, left: Source, join: &ast::Join) -> Result<Source> {
        let (keeps_left, keeps_right, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (false, false, constraint)
            }
            JoinOperator::CrossJoin(constraint) => (false, false, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (true, false, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (false, true, constraint)
            }
            JoinOperator::FullOuter(constraint) => (true, true, constraint),
            _ => return Err(unsupported("this kind of join").at(join)),
        };
        let needs = !matches!(join.join_operator, JoinOperator::CrossJoin(_));
        let is_array = matches!(join.relation, TableFactor::UNNEST { .. });
        if needs && *constraint == JoinConstraint::None && !is_array {
            return Err(invalid(
                "Syntax error: JOIN must have an immediately following ON or USING clause",
            )
            .at(join));
        }
        let keeps = Keeps {
            left: keeps_left,
            right: keeps_right,
        };
        self.joined(Some(left), &join.relation, keeps, constraint)
    }

    fn joined(
        &mut self,
        left: Option<Source>,
        factor: &TableFactor,
        keeps: Keeps,
        constraint: &JoinConstraint,
    ) -> Result<Source> {
        if let Some(array) = self.array_factor(left.as_ref().map(|(_, scope)| scope), factor) {
            let left = left.unwrap_or((Relation::One, Scope::default()));
            if keeps.right || *constraint != JoinConstraint::None {
                return Err(unsupported("this join with an array").at(factor));
            }
            return self.unnest(left, &array, keeps.left, factor);
        }
        let (right, right_scope) = self.factor(factor)?;
        let Some((left, mut scope)) = left else {
            return Ok((right, right_scope));
        };
        let (left_width, right_width) = (scope.columns.len(), right_scope.columns.len());
        for column in &right_scope.columns {
            let twice = column
                .table
                .as_deref()
                .is_some_and(|name| !scope.of_table(name).is_empty());
            if let (true, Some(name)) = (twice && left_width > 0, &column.table)
                && scope
                    .columns
                    .iter()
                    .take(left_width)
                    .any(|c| c.table.as_deref().is_some_and(|t| same_name(t, name)))
            {
                return Err(invalid(format!(
                    "Duplicate table alias {name} in the same FROM clause"
                ))
                .at(factor));
            }
        }
        scope.columns.extend(right_scope.columns);
        let condition = match constraint {
            JoinConstraint::None => None,
            JoinConstraint::On(condition) => {
                self.scopes.push(scope.clone());
                let bound = self.row_condition(condition, "JOIN ON clause");
                if let Ok(bound) = &bound
                    && !keeps.left
                    && !keeps.right
                {
                    self.note_bounds(bound);
                }
                self.scopes.pop();
                Some(bound?)
            }
            JoinConstraint::Using(names) if !keeps.right => {
                let mut parts = Vec::new();
                for name in names {
                    parts.push(self.using(&mut scope, left_width, name)?);
                }
                Expr::all(parts)
            }
            _ => return Err(unsupported("this condition of a join").at(factor)),
        };
        let join = Join {
            left,
            right,
            left_width,
            right_width,
            keeps_left: keeps.left,
            keeps_right: keeps.right,
            matcher: Matcher::new(condition, left_width),
        };
        Ok((Relation::Join(Box::new(join)), scope))
    }

    /// The equality of a column of USING, of which only the left one keeps its plain name.
    fn using(&mut self, scope: &mut Scope, left_width: usize, name: &ObjectName) -> Result<Expr> {
        let text = name.to_string();
        let text = text.trim_matches('`');
        let find = |scope: &Scope, right: bool| {
            let mut places = 0..scope.columns.len();
            places.find(|place| {
                let column = &scope.columns[*place];
                (*place >= left_width) == right && !column.hidden && same_name(&column.name, text)
            })
        };
        let (Some(left), Some(right)) = (find(scope, false), find(scope, true)) else {
            return Err(invalid(format!(
                "Column {text} in USING clause not found on both sides of join"
            ))
            .at(name));
        };
        if left > 0 {
            // `*` would have to show the columns of USING before all others.
            let others = scope.columns.iter().take(left).any(|column| !column.hidden);
            if others {
                return Err(unsupported("USING of a column that is not the first").at(name));
            }
        }
        let typed = |place: usize| {
            let column = &scope.columns[place];
            super::bind::Typed::new(Expr::column(place), column.kind.clone())
        };
        for place in [left, right] {
            self.touched
                .extend(scope.columns[place].origins.iter().copied());
        }
        let equal = compare(Comparison::Equal, typed(left), typed(right), name)?;
        scope.columns[right].hidden = true;
        Ok(equal)
    }

    /// The array that a part of FROM is: UNNEST, or a path that begins with the name of a table before it.
    fn array_factor(&self, left: Option<&Scope>, factor: &TableFactor) -> Option<ast::Expr> {
        match factor {
            TableFactor::UNNEST { array_exprs, .. } if array_exprs.len() == 1 => {
                array_exprs.first().cloned()
            }
            TableFactor::Table {
                name, args: None, ..
            } if name.0.len() > 1 => {
                let path: Vec<ast::Ident> = name
                    .0
                    .iter()
                    .filter_map(|part| part.as_ident().cloned())
                    .collect();
                let first = path.first()?.value.clone();
                let mut scopes = left.into_iter().chain(self.scopes.iter().rev());
                let known = scopes.any(|scope| !scope.of_table(&first).is_empty());
                known.then_some(ast::Expr::CompoundIdentifier(path))
            }
            _ => None,
        }
    }

    fn unnest(
        &mut self,
        (input, mut scope): Source,
        array: &ast::Expr,
        keeps_empty: bool,
        factor: &TableFactor,
    ) -> Result<Source> {
        let (alias, offset) = match factor {
            TableFactor::UNNEST {
                alias,
                with_offset,
                with_offset_alias,
                with_ordinality: false,
                ..
            } => {
                let name = with_offset_alias
                    .as_ref()
                    .map_or("offset", |name| &name.value);
                (alias.as_ref(), with_offset.then(|| name.to_owned()))
            }
            TableFactor::Table { alias, .. } => (alias.as_ref(), None),
            _ => return Err(unsupported("this array").at(factor)),
        };
        self.scopes.push(scope.clone());
        let bound = self.bind(array);
        self.scopes.pop();
        let bound = bound?;
        let kind = match bound.kind {
            Kind::Array(element) => *element,
            Kind::Null => Kind::Int64,
            other => {
                return Err(invalid(format!("Values referenced in UNNEST must be arrays. UNNEST contains expression of type {other}")).at(array));
            }
        };
        let named = match (alias, array) {
            (Some(alias), _) => Some(alias.name.value.clone()),
            (None, ast::Expr::CompoundIdentifier(path)) => {
                path.last().map(|name| name.value.clone())
            }
            (None, ast::Expr::Identifier(name)) => Some(name.value.clone()),
            _ => None,
        };
        let width = scope.columns.len();
        scope.columns.push(ScopeColumn {
            table: named.clone(),
            name: named.unwrap_or_else(|| "$unnest".to_owned()),
            kind,
            origins: Origins::new(),
            stored: None,
            is_row: true,
            hidden: false,
        });
        let with_offset = offset.is_some();
        scope.columns.extend(offset.map(|name| ScopeColumn {
            table: None,
            name,
            kind: Kind::Int64,
            origins: Origins::new(),
            stored: None,
            is_row: false,
            hidden: false,
        }));
        let relation = Relation::Unnest {
            input: Box::new(input),
            array: bound.expr,
            width,
            with_offset,
            keeps_empty,
        };
        Ok((relation, scope))
    }

    /// A part of FROM that does not look at the parts before it.
    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<Source> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: None,
                sample: None,
                json_path: None,
                with_ordinality: false,
                ..
            } => {
                let alias = alias.as_ref().map(|alias| alias.name.value.clone());
                self.table_factor(name, alias)
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let query = self.query(subquery)?;
                let name = alias.as_ref().map(|alias| alias.name.value.clone());
                if alias
                    .as_ref()
                    .is_some_and(|alias| !alias.columns.is_empty())
                {
                    return Err(unsupported("names of columns after an alias").at(factor));
                }
                Ok(source_of(query, name))
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.from(std::slice::from_ref(table_with_joins)),
            other => Err(unsupported("this part of FROM").at(other)),
        }
    }

    fn table_factor(&mut self, name: &ObjectName, alias: Option<String>) -> Result<Source> {
        let path = path_of(name);
        if let [only] = path.as_slice()
            && let Some(cte) = self
                .ctes
                .iter()
                .rev()
                .find(|cte| same_name(&cte.name, only))
            && let Some(relation) = cte.query.relation.again()
        {
            let query = BoundQuery {
                relation,
                columns: cte.query.columns.clone(),
                is_row: cte.query.is_row,
                correlated: false,
            };
            return Ok(source_of(
                query,
                Some(alias.unwrap_or_else(|| only.clone())),
            ));
        }
        let name = self.table_name(name)?;
        let alias = alias.unwrap_or_else(|| name.table.clone());
        let table = self
            .env
            .tables
            .get(&name)
            .ok_or_else(|| self.not_found(&name))?;
        if let Some(view) = &table.view {
            let view = view.clone();
            return self.view(&view, &name, alias);
        }
        let scan = self.scans.len();
        self.scans.push(Scan::new(name.clone()));
        let columns = table
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| ScopeColumn {
                table: Some(alias.clone()),
                name: column.name.clone(),
                kind: Kind::of_column(column),
                origins: Origins::from([(scan, place)]),
                stored: Some((scan, place)),
                is_row: false,
                hidden: false,
            });
        let columns: Vec<ScopeColumn> = columns.collect();
        let arrays = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.mode == Mode::Repeated);
        let relation = Relation::Table {
            name,
            width: columns.len(),
            arrays: arrays.map(|(place, _)| place).collect(),
        };
        Ok((relation, Scope { columns }))
    }

    /// The query of a view, which sees none of the names around it.
    fn view(&mut self, text: &str, name: &TableName, alias: String) -> Result<Source> {
        if self.view_depth > 16 {
            return Err(invalid(format!(
                "Not authorized to view more than 16 levels of nested views: {name}"
            )));
        }
        let query = super::parse::query(text)?;
        let scopes = std::mem::take(&mut self.scopes);
        let ctes = std::mem::take(&mut self.ctes);
        let lowest = self.lowest;
        self.view_depth += 1;
        let bound = self.query(&query);
        self.view_depth -= 1;
        self.scopes = scopes;
        self.ctes = ctes;
        self.lowest = lowest;
        Ok(source_of(bound?, Some(alias)))
    }

    /// The full name of a table.
    pub(super) fn table_name(&self, name: &ObjectName) -> Result<TableName> {
        let path = path_of(name);
        let context = self.env.context;
        if path
            .iter()
            .any(|part| part.eq_ignore_ascii_case("INFORMATION_SCHEMA"))
        {
            return Err(unsupported("INFORMATION_SCHEMA").at(name));
        }
        let (project, dataset, table) = match path.as_slice() {
            [project, dataset, table] => (project, dataset, table),
            [dataset, table] => (&context.default_project, dataset, table),
            [table] => match &context.default_dataset {
                Some((project, dataset)) => (project, dataset, table),
                None => {
                    return Err(invalid(format!(
                        "Table \"{table}\" must be qualified with a dataset (e.g. dataset.table)."
                    )));
                }
            },
            _ => return Err(invalid(format!("Invalid table name: {name}")).at(name)),
        };
        if table.ends_with('*') || table.contains('$') || table.contains('@') {
            return Err(unsupported("wildcard tables and decorators").at(name));
        }
        Ok(TableName::new(project, dataset, table))
    }

    /// The error for a table that is not there, or the dataset of which is not.
    pub(super) fn not_found(&self, name: &TableName) -> SqlError {
        if self.env.tables.dataset_exists(&name.project, &name.dataset) {
            return missing(name);
        }
        let message = format!(
            "Not found: Dataset {}:{} was not found in location US",
            name.project, name.dataset
        );
        SqlError::new(SqlErrorKind::NotFound, message)
    }

    /// Filters rows. Values of a query around this one are looked up rather than compared with each row.
    pub(super) fn filtered(&self, input: Relation, condition: Expr) -> Relation {
        let outer_only = |expr: &Expr| {
            let mut own = false;
            let mut around = false;
            expr.visit(&mut |part| match part {
                Expr::Column(Place { depth: 0, .. }) => own = true,
                Expr::Column(_) => around = true,
                _ => {}
            });
            around && !own && !expr.has_correlated_query()
        };
        let own_only = |expr: &Expr| {
            let mut around = false;
            expr.visit(&mut |part| {
                around |= matches!(part, Expr::Column(Place { depth: 1.., .. }));
            });
            !around && expr.columns().is_some_and(|columns| !columns.is_empty())
        };
        if !matches!(input, Relation::Table { .. } | Relation::Once(..)) {
            return Relation::Filter(Box::new(input), condition);
        }
        let (mut inner, mut outer, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for part in condition.conjuncts() {
            match part {
                Expr::Compare(Comparison::Equal, left, right)
                    if own_only(&left) && outer_only(&right) =>
                {
                    inner.push(*left);
                    outer.push(*right);
                }
                Expr::Compare(Comparison::Equal, left, right)
                    if own_only(&right) && outer_only(&left) =>
                {
                    inner.push(*right);
                    outer.push(*left);
                }
                other => rest.push(other),
            }
        }
        let input = match inner.is_empty() {
            true => input,
            false => Relation::Lookup(Box::new(Lookup {
                input,
                inner,
                outer,
                index: std::cell::OnceCell::new(),
            })),
        };
        input.filter(Expr::all(rest))
    }
}

/// The parts of a path, also those within one pair of backticks.
pub(super) fn path_of(name: &ObjectName) -> Vec<String> {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    parts
        .flat_map(|part| part.value.split('.').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// A query as a part of FROM.
fn source_of(query: BoundQuery, alias: Option<String>) -> Source {
    let columns = query.columns.into_iter().map(|column| ScopeColumn {
        table: alias.clone(),
        name: match (column.name, query.is_row) {
            (_, true) => alias.clone().unwrap_or_else(|| "$row".to_owned()),
            (Some(name), false) => name,
            // A column without a name cannot be named.
            (None, false) => String::new(),
        },
        kind: column.kind,
        origins: column.origins,
        stored: column.stored,
        is_row: query.is_row,
        hidden: false,
    });
    let columns = columns.collect();
    (query.relation, Scope { columns })
}
