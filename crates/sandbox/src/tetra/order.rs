//! The documents in the order of `indexedAt` and `fileId`, so that a page of the usual search begins where
//! the one before ended and looks at nothing but what it shows. Facts: section 3.2.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::document::Document;

/// Documents that are found, were found or will be, each with the place of its file.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeMap<At, usize>);

/// Where a document stands.
type At = (i64, Arc<str>);

/// A part of the order.
#[derive(Clone, Debug)]
pub(super) struct Span {
    from: Bound<At>,
    to: Bound<At>,
}

impl Span {
    /// The documents that were indexed from a time on, and before another.
    pub(super) fn of(window: (i64, i64)) -> Span {
        Span {
            from: Bound::Included(start_of(window.0)),
            to: Bound::Excluded(start_of(window.1)),
        }
    }

    /// What of it is behind a document, or behind all documents of a time.
    pub(super) fn behind(mut self, ms: i64, id: Option<&str>, is_descending: bool) -> Span {
        let (from, to) = match id {
            Some(id) => (
                Bound::Excluded((ms, id.into())),
                Bound::Excluded((ms, id.into())),
            ),
            None => (
                Bound::Included(start_of(ms.saturating_add(1))),
                Bound::Excluded(start_of(ms)),
            ),
        };
        if is_descending {
            if at(&to) < at(&self.to) {
                self.to = to;
            }
        } else if at(&from) >= at(&self.from) {
            self.from = from;
        }
        self
    }
}

fn start_of(ms: i64) -> At {
    (ms, Arc::from(""))
}

fn at(bound: &Bound<At>) -> Option<&At> {
    match bound {
        Bound::Included(at) | Bound::Excluded(at) => Some(at),
        Bound::Unbounded => None,
    }
}

impl Order {
    pub(super) fn add(&mut self, document: &Document, place: usize) {
        let at = (document.indexed_ms, Arc::clone(&document.file_id));
        self.0.insert(at, place);
    }

    pub(super) fn remove(&mut self, document: &Document) {
        let at = (document.indexed_ms, Arc::clone(&document.file_id));
        self.0.remove(&at);
    }

    /// Times and places of files in a span. A file stands there once for each of its documents, of which
    /// at most one is found.
    pub(super) fn span(&self, span: Span) -> impl DoubleEndedIterator<Item = (i64, usize)> + '_ {
        let is_empty = at(&span.from) >= at(&span.to);
        let range = (!is_empty).then(|| self.0.range((span.from, span.to)));
        range
            .into_iter()
            .flatten()
            .map(|((ms, _), place)| (*ms, *place))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::date::write_ms;
    use super::*;

    #[test]
    fn a_span_begins_behind_what_was_read() {
        let mut order = Order::default();
        for (place, (ms, id)) in [(5, "b"), (5, "a"), (7, "c"), (9, "d")].iter().enumerate() {
            let value = json!({"fileId": id, "category": "RAW", "indexedAt": write_ms(*ms)});
            order.add(&Document::new(&value, 1).unwrap(), place);
        }
        let places = |span: Span| order.span(span).map(|(_, place)| place).collect::<Vec<_>>();
        let all = Span::of((i64::MIN, i64::MAX));
        assert_eq!(places(all.clone()), [1, 0, 2, 3]);
        assert_eq!(places(Span::of((5, 9))), [1, 0, 2]);
        assert_eq!(places(Span::of((6, 6))), [] as [usize; 0]);
        assert_eq!(places(Span::of((9, 5))), [] as [usize; 0]);
        assert_eq!(places(all.clone().behind(5, Some("a"), false)), [0, 2, 3]);
        assert_eq!(places(all.clone().behind(5, None, false)), [2, 3]);
        assert_eq!(places(all.clone().behind(7, Some("c"), true)), [1, 0]);
        assert_eq!(places(all.clone().behind(7, None, true)), [1, 0]);
        assert_eq!(places(Span::of((6, 9)).behind(2, Some("z"), false)), [2]);
        assert_eq!(
            places(Span::of((6, 9)).behind(9, Some("d"), false)),
            [] as [usize; 0]
        );
    }
}
