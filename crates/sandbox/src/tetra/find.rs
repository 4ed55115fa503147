//! Finding the hits of a page. The usual order is that of an index, in which a page begins behind the one
//! before; for other orders no more is kept than a page needs. Facts: sections 3.2 and 3.3.

use std::sync::Arc;

use super::Tetra;
use super::answer::ApiError;
use super::document::{Category, Document, Look};
use super::options::TetraOptions;
use super::order::Span;
use super::search::Search;
use super::sort::{self, Key};
use super::store::{Store, fingerprint};
use super::verdicts::Verdicts;
use crate::faults::SearchFault;

/// Shards of each index.
const SHARDS: usize = 10;

/// What was found.
pub(super) struct Found {
    /// Documents of the page with their keys.
    pub(super) page: Vec<(Document, Vec<Key>)>,
    /// How many hits there are, as far as they were counted.
    pub(super) total: usize,
    /// Ids of hits behind the page, to index them again.
    pub(super) behind: Vec<Arc<str>>,
    pub(super) shards: usize,
    pub(super) failed: usize,
    pub(super) is_timed_out: bool,
    /// Places in the index that were looked at for the page.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests measure by it"))]
    pub(super) visited: usize,
    /// Documents that the query had not seen before.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests measure by it"))]
    pub(super) judged: usize,
}

/// What a search looks through.
struct Finder<'a> {
    search: &'a Search,
    store: &'a Store,
    options: &'a TetraOptions,
    now_ms: i64,
    /// The indices that can answer.
    able: Vec<Category>,
    fault: Option<SearchFault>,
    verdicts: Verdicts,
    visited: usize,
}

impl Search {
    /// Looks for the hits of this page.
    pub(super) fn find(
        &self,
        tetra: &Tetra,
        indices: &[Category],
        fault: Option<SearchFault>,
    ) -> Result<Found, ApiError> {
        let store = tetra.look();
        // An index fails that has not mapped what is asked for; if all do, so does the search.
        let is_able = |category: &&Category| {
            let mappings = &store.mappings;
            let is_nested = |path: &str| mappings.is_nested(**category, path);
            self.query.suits(&is_nested)
                && sort::suits(&self.sort, |field| mappings.has_values(**category, field))
        };
        let able: Vec<Category> = indices.iter().filter(is_able).copied().collect();
        if able.is_empty() {
            return Err(ApiError::query(
                "no index has mapped the path of a nested query, or a field of `sort`",
            ));
        }
        let unable = indices.len() - able.len();
        let mut finder = Finder {
            search: self,
            store: &store,
            options: &tetra.options,
            now_ms: tetra.now_ms(),
            able,
            fault,
            verdicts: tetra.verdicts.take(&self.query),
            visited: 0,
        };
        let total = finder.count();
        let wanted = tetra.options.reindex_per_page;
        let matches = finder.matches(self.from + self.size + wanted)?;
        let mut rest = matches.into_iter().skip(self.from);
        let page = rest.by_ref().take(self.size);
        let page = page
            .map(|(keys, document)| (document.clone(), keys))
            .collect();
        let behind = rest.map(|(_, document)| Arc::clone(&document.file_id));
        let behind = behind.take(wanted).collect();
        let (visited, judged) = (finder.visited, finder.verdicts.judged);
        tetra.verdicts.keep(finder.verdicts);
        let broken = match fault {
            Some(SearchFault::Shards { .. }) => SHARDS / 2,
            _ => 0,
        };
        Ok(Found {
            page,
            total,
            behind,
            shards: indices.len() * SHARDS,
            failed: unable * SHARDS + broken,
            is_timed_out: matches!(fault, Some(SearchFault::TimedOut { .. })),
            visited,
            judged,
        })
    }
}

impl<'a> Finder<'a> {
    /// The document of a file, if it is a hit; with a time, only the one of that time.
    fn hit(&mut self, place: usize, ms: Option<i64>) -> Option<Look<'a>> {
        let store: &'a Store = self.store;
        let document = store.files().get(place)?.found(self.now_ms, self.options)?;
        let is_meant = ms.is_none_or(|ms| ms == document.indexed_ms)
            && self.able.contains(&document.category)
            && !hides(self.fault, &document.file_id);
        let look = is_meant.then(|| Look::new(document))?;
        let passes = self.verdicts.passes(&self.search.query, &look);
        passes.then_some(look)
    }

    /// Counts all hits, or one more than has to be told.
    fn count(&mut self) -> usize {
        let most = match self.search.counted {
            Some(0) => return 0,
            Some(most) => most.saturating_add(1),
            None => usize::MAX,
        };
        let span = Span::of(self.search.query.window());
        let mut total = 0;
        for (ms, place) in self.store.order().span(span) {
            if total < most && self.hit(place, Some(ms)).is_some() {
                total += 1;
            }
            if total == most {
                break;
            }
        }
        total
    }

    /// The first hits behind `search_after`, at most so many.
    fn matches(&mut self, most: usize) -> Result<Vec<(Vec<Key>, &'a Document)>, ApiError> {
        let fields = &self.search.sort;
        let store = self.store;
        if self.search.size == 0 {
            return Ok(Vec::new());
        }
        if fields.is_empty() {
            let places = (0..store.files().len()).map(|place| (None, place));
            return Ok(self.first(places, most));
        }
        let span = Span::of(self.search.query.window());
        let by_time = sort::by_time(fields).and_then(|is_descending| {
            let span = match self.search.after.as_deref() {
                None => span.clone(),
                Some([Key::Integer(ms)]) => span.clone().behind(*ms, None, is_descending),
                Some([Key::Integer(ms), Key::Text(id)]) => {
                    span.clone().behind(*ms, Some(id), is_descending)
                }
                Some(_) => return None,
            };
            Some((is_descending, span))
        });
        let Some((is_descending, span)) = by_time else {
            return self.best(span, most);
        };
        let places = store.order().span(span);
        let timed = |(ms, place): (i64, usize)| (Some(ms), place);
        Ok(if is_descending {
            self.first(places.rev().map(timed), most)
        } else {
            self.first(places.map(timed), most)
        })
    }

    /// The first hits of places that are in order.
    fn first(
        &mut self,
        places: impl Iterator<Item = (Option<i64>, usize)>,
        most: usize,
    ) -> Vec<(Vec<Key>, &'a Document)> {
        let mut matches = Vec::new();
        for (ms, place) in places {
            if matches.len() == most {
                break;
            }
            self.visited += 1;
            if let Some(look) = self.hit(place, ms) {
                let keys = sort::keys(&self.search.sort, &look, place);
                matches.push((keys, look.document()));
            }
        }
        matches
    }

    /// The first hits by any order; twice as many are kept at most.
    fn best(&mut self, span: Span, most: usize) -> Result<Vec<(Vec<Key>, &'a Document)>, ApiError> {
        let search = self.search;
        let by_keys = |one: &(Vec<Key>, &Document), two: &(Vec<Key>, &Document)| {
            let order = sort::compare(&search.sort, &one.0, &two.0);
            order.then_with(|| one.1.file_id.cmp(&two.1.file_id))
        };
        let mut matches = Vec::new();
        for (ms, place) in self.store.order().span(span) {
            self.visited += 1;
            let Some(look) = self.hit(place, Some(ms)) else {
                continue;
            };
            let keys = sort::keys(&search.sort, &look, place);
            if let Some(after) = &search.after {
                let mut pairs = keys.iter().zip(after);
                if !pairs.all(|(key, after)| key.is_comparable(after)) {
                    return Err(ApiError::query(
                        "`search_after` has a value of another type",
                    ));
                }
                if sort::compare(&search.sort, &keys, after).is_le() {
                    continue;
                }
            }
            matches.push((keys, look.document()));
            if matches.len() >= 2 * most {
                matches.select_nth_unstable_by(most, by_keys);
                matches.truncate(most);
            }
        }
        matches.sort_by(by_keys);
        matches.truncate(most);
        Ok(matches)
    }
}

/// Whether a fault keeps a hit back: so many of them, which their ids decide.
fn hides(fault: Option<SearchFault>, id: &str) -> bool {
    let Some(SearchFault::TimedOut { percent } | SearchFault::Shards { percent }) = fault else {
        return false;
    };
    fingerprint(id) % 100 >= percent
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::options::Sample;
    use super::*;
    use crate::faults::FaultBoard;

    fn laboratory(files: usize) -> Tetra {
        let mut options = crate::Options::default().tetra;
        options.sample = Sample::Instruments;
        options.files = files;
        options.index_ms = 0;
        Tetra::new(options, Arc::new(FaultBoard::new(Vec::new())))
    }

    fn find(tetra: &Tetra, body: &Value) -> Found {
        let search = Search::read(tetra, body).unwrap();
        let found = search.find(tetra, &Category::ALL, None);
        found.map_err(|error| format!("{error:?}")).unwrap()
    }

    #[test]
    fn a_page_looks_at_no_more_than_it_shows() {
        let tetra = laboratory(3_000);
        let mut body = json!({"size": 100, "track_total_hits": false, "query": {"range": {"indexedAt": {"gte": "2024-05-06"}}},
            "sort": [{"indexedAt": "asc"}, {"fileId": "asc"}]});
        for order in ["asc", "desc"] {
            body["sort"] = json!([{"indexedAt": order}, {"fileId": order}]);
            body.as_object_mut().unwrap().remove("search_after");
            let mut seen = 0;
            loop {
                let found = find(&tetra, &body);
                assert!(found.visited <= 101, "{}", found.visited);
                seen += found.page.len();
                let Some((_, keys)) = found.page.last() else {
                    break;
                };
                body["search_after"] = keys.iter().map(Key::json).collect();
            }
            assert_eq!(seen, 3_000);
        }
    }

    #[test]
    fn no_page_reads_a_document_that_another_one_has_read() {
        let tetra = laboratory(500);
        let mut body = json!({"size": 50, "track_total_hits": true, "sort": ["indexedAt", "fileId"],
            "query": {"bool": {"filter": [{"term": {"source.name": "Lab 1"}}]}}});
        let first = find(&tetra, &body);
        assert_eq!((first.judged, first.total), (500, 125));
        body["search_after"] = first.page[49].1.iter().map(Key::json).collect();
        let second = find(&tetra, &body);
        assert_eq!((second.judged, second.total), (0, 125));
        // What comes anew is looked at, and nothing else.
        let ids: Vec<Arc<str>> = first
            .page
            .iter()
            .map(|(document, _)| Arc::clone(&document.file_id))
            .collect();
        tetra.reindex(&ids[..10]);
        tetra.add_some(5);
        assert_eq!(find(&tetra, &body).judged, 15);
        tetra.reset();
        assert_eq!(find(&tetra, &body).judged, 500);
    }

    #[test]
    fn any_order_gives_the_pages_of_a_whole_sort() {
        let tetra = laboratory(400);
        for sort in [
            json!(["filePath", "fileId"]),
            json!([{"file.size": "desc"}, {"fileId": "desc"}]),
            json!([{"idsType": {"order": "asc", "missing": "_first"}}, "fileId"]),
            json!([{"indexedAt": "desc"}, {"fileId": "asc"}]),
        ] {
            let mut body = json!({"size": 1_000, "sort": sort});
            let all = find(&tetra, &body);
            let mut pages = Vec::new();
            body["size"] = json!(37);
            loop {
                let found = find(&tetra, &body);
                let Some((_, keys)) = found.page.last() else {
                    break;
                };
                body["search_after"] = keys.iter().map(Key::json).collect();
                pages.extend(found.page);
            }
            let ids = |page: &[(Document, Vec<Key>)]| {
                let ids = page
                    .iter()
                    .map(|(document, _)| document.file_id.to_string());
                ids.collect::<Vec<_>>()
            };
            assert_eq!(ids(&pages), ids(&all.page), "{sort}");
            assert_eq!(pages.len(), 400);
        }
    }

    #[test]
    fn a_file_is_found_once_whatever_its_documents() {
        let tetra = laboratory(20);
        let id = tetra.files()[3].file_id.clone();
        for _ in 0..3 {
            tetra.reindex(&[&id]);
            tetra.relabel(&[&id]);
            tetra.advance_ms(1);
        }
        let body = json!({"size": 100, "track_total_hits": true, "sort": ["indexedAt", "fileId"]});
        let found = find(&tetra, &body);
        assert_eq!((found.page.len(), found.total), (20, 20));
        assert_eq!(&*found.page[19].0.file_id, id);
    }
}
