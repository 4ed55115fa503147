//! Runs the stages of a pipeline. Rows come in the order of their ids, and the first stages look at
//! one row after the other, so that a page of a large table costs no more than the rows it reads.

use std::cmp::Ordering;
use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use super::{Named, SortKey, Source, Stage};
use crate::pendo::Pendo;
use crate::pendo::expression::{Lookup, Term};
use crate::pendo::person::{metadata_of, visits};
use crate::pendo::schema::{Kind, Schema};
use crate::store::Row;

/// How a pipeline is run: which stages see single rows, and which rows need to be read at all.
pub(super) struct Plan<'call> {
    pendo: &'call Pendo,
    source: &'call Source,
    by_row: &'call [Stage],
    at_the_end: &'call [Stage],
    /// Rows up to this id are left out.
    after: Option<&'call str>,
    /// Rows with other ids are left out; sorted.
    only: Option<Vec<&'call str>>,
    anonymous: usize,
}

impl<'call> Plan<'call> {
    pub(super) fn new(pendo: &'call Pendo, source: &'call Source, stages: &'call [Stage]) -> Self {
        let lists_anonymous = source.kind == Kind::Visitor && !source.identified;
        let anonymous = if lists_anonymous {
            pendo.options.anonymous
        } else {
            0
        };
        // The field that the rows are in order of, under its name after each stage.
        let mut order = Some(id_name(source.kind)).filter(|_| anonymous == 0);
        let mut after = None;
        let mut only = None;
        let mut limited = false;
        let mut by_row = 0;
        for stage in stages {
            match stage {
                Stage::Identified(_) => {}
                Stage::Filter(filter) => {
                    // Rows that are left out before a limit do not count against it.
                    if let Some(order) = order.filter(|_| !limited) {
                        after = after.max(filter.lower_bound(order));
                        only = only.or_else(|| filter.only_texts(order));
                    }
                }
                Stage::Select(fields) => {
                    order = order.and_then(|order| {
                        let field = fields.iter().find(|(_, path)| path == order);
                        field.map(|(alias, _)| alias.as_str())
                    });
                }
                Stage::Limit(_) => limited = true,
                Stage::Sort(keys) => match keys.as_slice() {
                    [
                        SortKey {
                            path,
                            descending: false,
                        },
                    ] if order == Some(path.as_str()) => {}
                    _ => break,
                },
                Stage::Count => break,
            }
            by_row += 1;
        }
        let (by_row, at_the_end) = stages.split_at(by_row);
        Plan {
            pendo,
            source,
            by_row,
            at_the_end,
            after,
            only: only.map(|mut only| {
                only.sort_unstable();
                only.dedup();
                only
            }),
            anonymous,
        }
    }

    pub(super) fn run(&self) -> Vec<Value> {
        let state = self.pendo.of(self.source.kind);
        let page_limit = self.pendo.options.page_limit;
        // A count of all rows does not need them.
        let (results, at_the_end) = match self.at_the_end {
            [] => (Results::Kept(Vec::new(), page_limit), self.at_the_end),
            [Stage::Count, rest @ ..] => (Results::Counted(0), rest),
            rest => (Results::Kept(Vec::new(), usize::MAX), rest),
        };
        let mut rows = Rows {
            stages: self.by_row,
            left: self.by_row.iter().map(Stage::row_limit).collect(),
            results,
        };
        let schema = state.schema.read().unwrap_or_else(PoisonError::into_inner);
        let mut table = state.table();
        for number in 0..self.anonymous {
            rows.feed(Item::Anonymous(format!("_PENDO_T_{number:011}")));
        }
        let stored: Box<dyn Iterator<Item = &Row>> = match &self.only {
            Some(only) => Box::new(only.iter().filter_map(|id| table.row(id))),
            None => Box::new(table.rows_after(self.after)),
        };
        for row in stored {
            if rows.are_complete() {
                break;
            }
            let last_visit = visits(&row.id).1;
            if self.source.span.0 <= last_visit && last_visit < self.source.span.1 {
                rows.feed(Item::Stored {
                    row,
                    schema: &schema,
                    id_name: id_name(self.source.kind),
                });
            }
        }
        let mut items = match rows.results {
            Results::Kept(items, _) => items,
            Results::Counted(count) => vec![Item::Made(json!({"count": count}))],
        };
        for stage in at_the_end {
            items = stage.run(items);
        }
        items.truncate(page_limit);
        // Only what is answered becomes JSON: of a million sorted rows few are left by a limit.
        items.into_iter().map(Item::into_value).collect()
    }
}

/// What is made of the rows that come through.
enum Results<'table> {
    /// They are kept, and no more than this many are wanted.
    Kept(Vec<Item<'table>>, usize),
    Counted(usize),
}

/// Rows on their way through the stages that look at one row after the other.
struct Rows<'call, 'table> {
    stages: &'call [Stage],
    /// How many rows each stage still lets through.
    left: Vec<usize>,
    results: Results<'table>,
}

impl<'table> Rows<'_, 'table> {
    fn are_complete(&self) -> bool {
        let enough =
            matches!(&self.results, Results::Kept(results, wanted) if results.len() >= *wanted);
        enough || self.left.contains(&0)
    }

    fn feed(&mut self, mut item: Item<'table>) {
        if self.are_complete() {
            return;
        }
        for (stage, left) in self.stages.iter().zip(&mut self.left) {
            match stage {
                Stage::Select(fields) => item = Item::Made(select(&item, fields)),
                Stage::Limit(_) => *left -= 1,
                _ if stage.keeps(&item) => {}
                _ => return,
            }
        }
        match &mut self.results {
            Results::Kept(results, _) => results.push(item),
            Results::Counted(count) => *count += 1,
        }
    }
}

impl Stage {
    fn row_limit(&self) -> usize {
        match self {
            Stage::Limit(limit) => *limit,
            _ => usize::MAX,
        }
    }

    fn keeps(&self, item: &Item<'_>) -> bool {
        match self {
            Stage::Identified(named) => item.is_anonymous() == (*named == Named::No),
            Stage::Filter(filter) => filter.holds(item),
            _ => true,
        }
    }

    fn run<'table>(&self, mut items: Vec<Item<'table>>) -> Vec<Item<'table>> {
        match self {
            Stage::Count => vec![Item::Made(json!({"count": items.len()}))],
            Stage::Select(fields) => items
                .iter()
                .map(|item| Item::Made(select(item, fields)))
                .collect(),
            Stage::Limit(limit) => {
                items.truncate(*limit);
                items
            }
            Stage::Sort(keys) => sort(items, keys),
            Stage::Identified(_) | Stage::Filter(_) => {
                items.retain(|item| self.keeps(item));
                items
            }
        }
    }
}

fn select(item: &Item<'_>, fields: &[(String, String)]) -> Value {
    let selected: Map<String, Value> = fields
        .iter()
        .map(|(alias, path)| (alias.clone(), item.value(path)))
        .collect();
    selected.into()
}

/// Sorts by the values of the keys, each of which is looked up once in each row.
fn sort<'table>(items: Vec<Item<'table>>, keys: &[SortKey]) -> Vec<Item<'table>> {
    let terms = |item: &Item<'table>| -> Vec<Term> {
        keys.iter().map(|key| item.term(&key.path)).collect()
    };
    let mut items: Vec<_> = items.into_iter().map(|item| (terms(&item), item)).collect();
    items.sort_by(|(left, _), (right, _)| order_by(keys, left, right));
    items.into_iter().map(|(_, item)| item).collect()
}

fn order_by(keys: &[SortKey], left: &[Term], right: &[Term]) -> Ordering {
    for (key, (left, right)) in keys.iter().zip(left.iter().zip(right)) {
        let order = order_terms(left, right);
        let order = if key.descending {
            order.reverse()
        } else {
            order
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A total order: nulls, booleans, numbers, texts, and what cannot be ordered.
fn order_terms(left: &Term, right: &Term) -> Ordering {
    let rank = |term: &Term| match term {
        Term::Null => 0,
        Term::Boolean(_) => 1,
        Term::Number(_) => 2,
        Term::Text(_) => 3,
        Term::Other => 4,
    };
    match (left, right) {
        (Term::Boolean(left), Term::Boolean(right)) => left.cmp(right),
        (Term::Number(left), Term::Number(right)) => left.total_cmp(right),
        (Term::Text(left), Term::Text(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// A row on its way through the pipeline.
enum Item<'table> {
    Stored {
        row: &'table Row,
        schema: &'table Schema,
        id_name: &'static str,
    },
    Anonymous(String),
    Made(Value),
}

impl Item<'_> {
    fn is_anonymous(&self) -> bool {
        let made = || {
            self.text("visitorId")
                .is_some_and(|id| id.starts_with("_PENDO_T_"))
        };
        matches!(self, Item::Anonymous(_)) || made()
    }

    fn value(&self, path: &str) -> Value {
        if let Some(text) = self.text(path) {
            return text.into();
        }
        match self {
            Item::Stored { row, schema, .. } => stored_value(schema, row, path),
            Item::Anonymous(_) => Value::Null,
            Item::Made(value) => made_value(value, path).cloned().unwrap_or(Value::Null),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Item::Stored {
                row,
                schema,
                id_name,
            } => {
                json!({id_name: &*row.id, "metadata": metadata_of(schema, row)})
            }
            Item::Anonymous(id) => json!({"visitorId": id, "metadata": {"auto": {"id": id}}}),
            Item::Made(value) => value,
        }
    }
}

impl Lookup for Item<'_> {
    fn term(&self, path: &str) -> Term {
        self.value(path).into()
    }

    fn text(&self, path: &str) -> Option<&str> {
        match self {
            Item::Stored { row, id_name, .. } => (path == *id_name).then_some(&*row.id),
            Item::Anonymous(id) => (path == "visitorId").then_some(id.as_str()),
            Item::Made(value) => made_value(value, path)?.as_str(),
        }
    }
}

/// An alias may hold dots itself; failing that, the dots lead into the row.
fn made_value<'value>(value: &'value Value, path: &str) -> Option<&'value Value> {
    value
        .get(path)
        .or_else(|| path.split('.').try_fold(value, |value, key| value.get(key)))
}

fn stored_value(schema: &Schema, row: &Row, path: &str) -> Value {
    let mut parts = path.splitn(3, '.');
    if parts.next() != Some("metadata") {
        return Value::Null;
    }
    let metadata = || metadata_of(schema, row);
    match (parts.next(), parts.next()) {
        (None, _) => metadata(),
        (Some("auto"), Some(field)) => metadata()["auto"][field].clone(),
        (Some(group), None) => metadata()[group].clone(),
        (Some(group), Some(field)) => {
            let text = schema
                .live_column(group, field)
                .and_then(|column| row.cell(column));
            text.map_or(Value::Null, |text| {
                serde_json::from_str(text).expect("only JSON text is kept")
            })
        }
    }
}

fn id_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Visitor => "visitorId",
        Kind::Account => "accountId",
        Kind::ParentAccount => "parentAccountId",
    }
}
