//! Whether a filter yields what the SCHEMA says: looked at closely for the first records, where a difference is
//! a matter of the config, and field by field for all others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jaq_json::{Map, Val};
use singer_core::scan::ValueKind;
use singer_core::schema::TypeSet;

use crate::filter::value;
use crate::plan::{Plan, kind_words, type_words};

/// How many records are the first ones.
const FIRST: u64 = 100;

/// What was seen of the first records.
#[derive(Debug)]
pub(crate) struct Check {
    records: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Fields that came in, and that came out, by their places.
    came_in: Vec<bool>,
    came_out: Vec<bool>,
    /// The kinds of values that came out, by the names of their fields.
    kinds: BTreeMap<String, Vec<ValueKind>>,
}

impl Check {
    /// A check that has seen nothing of a plan with so many fields.
    pub(crate) fn new(fields: usize) -> Self {
        Self {
            records: AtomicU64::new(0),
            seen: Mutex::new(Seen {
                came_in: vec![false; fields],
                came_out: vec![false; fields],
                kinds: BTreeMap::new(),
            }),
        }
    }

    /// Whether the first records are still to come.
    pub(crate) fn is_first(&self) -> bool {
        // A number that only grows, and stands still where it is of no use.
        self.records.load(Ordering::Relaxed) < FIRST
    }

    /// Notes what one of the first records was and what it became.
    pub(crate) fn note(&self, plan: &Plan, stream: &str, before: &Map, after: &[&Map]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for key in before.keys() {
            if let Some(place) = place(plan, key) {
                seen.came_in[place] = true;
            }
        }
        for (key, value) in after.iter().flat_map(|record| record.iter()) {
            if let Some(place) = place(plan, key) {
                seen.came_out[place] = true;
            }
            if let Val::TStr(name) = key {
                let name = String::from_utf8_lossy(name).into_owned();
                let kinds = seen.kinds.entry(name).or_default();
                let kind = value::kind(value);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        if self.records.fetch_add(1, Ordering::Relaxed) + 1 == FIRST {
            seen.warn_of_lost(plan, stream);
        }
    }

    /// Ends the time of the first records.
    #[cfg(test)]
    pub(crate) fn skip(&self) {
        self.records.store(FIRST, Ordering::Relaxed);
    }

    /// What the filter has yielded so far, in words.
    pub(crate) fn shape(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fields: Vec<String> = seen
            .kinds
            .iter()
            .map(|(name, kinds)| {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind_words(*kind)).collect();
                format!("`{name}` {}", kinds.join(" or "))
            })
            .collect();
        fields.join(", ")
    }
}

impl Seen {
    /// Fields that the SCHEMA still promises and no record has any more.
    fn warn_of_lost(&self, plan: &Plan, stream: &str) {
        for (place, field) in plan.fields.iter().enumerate() {
            if field.written.is_some() && self.came_in[place] && !self.came_out[place] {
                let field = &*field.name;
                tracing::warn!(
                    stream,
                    field,
                    "the filter has left this field out of every record so far, and the SCHEMA still has it: name it in `drop`"
                );
            }
        }
    }
}

fn place(plan: &Plan, key: &Val) -> Option<usize> {
    match key {
        Val::TStr(name) => plan.find(name, 0),
        _ => None,
    }
}

/// A value that the SCHEMA does not admit.
pub(crate) fn unfit(name: &str, types: TypeSet, kind: ValueKind) -> String {
    format!(
        "yields `{name}` as {}, and in the SCHEMA it is {}",
        kind_words(kind),
        type_words(types)
    )
}

/// A field that the SCHEMA does not have.
pub(crate) fn unlisted(name: &str) -> String {
    format!("yields `{name}`, which the SCHEMA does not have")
}
