//! `POST /v1/datalake/searchEql`: an ordinary search of the engine. Facts: sections 2, 3 and 4.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError};
use super::document::{Category, Document};
use super::find::Found;
use super::options::{TetraOptions, Total, Tracking};
use super::projection::Projection;
use super::query::{Query, Reading, repeated};
use super::sort::{self, Field, Key};
use super::{Tetra, count, json as lenient};
use crate::faults::{OwnFaults, SearchFault};
use crate::server::Held;

/// `from` and `size` may not reach beyond this.
const RESULT_WINDOW: usize = 10_000;

/// Keys of a body that the engine knows and the stand-in does not.
const OTHER_KEYS: [&str; 17] = [
    "aggs",
    "aggregations",
    "fields",
    "docvalue_fields",
    "stored_fields",
    "script_fields",
    "runtime_mappings",
    "highlight",
    "collapse",
    "rescore",
    "suggest",
    "post_filter",
    "track_scores",
    "version",
    "seq_no_primary_term",
    "explain",
    "min_score",
];

/// A body that was read.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) query: Query,
    pub(super) size: usize,
    pub(super) from: usize,
    pub(super) sort: Vec<Field>,
    pub(super) after: Option<Vec<Key>>,
    projection: Projection,
    /// How far hits are counted; to the end if none.
    pub(super) counted: Option<usize>,
}

pub(super) async fn search(
    State(tetra): State<Arc<Tetra>>,
    RawQuery(parameters): RawQuery,
    own: Option<Extension<OwnFaults>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    tetra.enter(&headers)?;
    let body = body.map_err(|error| ApiError::unread(error.status()))?;
    if !tetra.options.any_content_type && !is_json(&headers) {
        return Err(ApiError::new(415, "Unsupported Media Type"));
    }
    let Some(flying) = tetra.searching.enter(None) else {
        return Err(tetra.throttled());
    };
    if !tetra
        .searches
        .admits(tetra.options.searches, tetra.now_ms())
    {
        return Err(tetra.throttled());
    }
    count(&tetra.counters.searches);
    let own = own.as_deref();
    let fault = tetra
        .faults
        .strike_search("/tetra/v1/datalake/searchEql", own);
    let indices = indices(parameters.as_deref())?;
    let body = lenient::read(&body, tetra.options.equal_keys)
        .ok_or_else(|| ApiError::query("the body is no JSON, or has a key twice"))?;
    let mut search = Search::read(&tetra, &body)?;
    if fault == Some(SearchFault::Stuck) {
        search.after = None;
    }
    let found = search.find(&tetra, &indices, fault)?;
    let mut response = search.answer(&tetra, &found)?;
    let hits = u64::try_from(found.page.len()).unwrap_or(0);
    tetra.counters.hits.fetch_add(hits, Ordering::AcqRel);
    tetra.index_some_again(&found);
    response.extensions_mut().insert(Held(Arc::new(flying)));
    Ok(response)
}

/// Whether a body is said to be JSON. Facts: section 1.2.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The indices that the parameter `index` names, once or repeatedly; all if there is none.
fn indices(parameters: Option<&str>) -> Result<Vec<Category>, ApiError> {
    let parameters = repeated(parameters);
    if let Some(other) = parameters.keys().find(|name| *name != "index") {
        return Err(ApiError::query(format!("unknown parameter `{other}`")));
    }
    let Some(names) = parameters.get("index") else {
        return Ok(Category::ALL.to_vec());
    };
    let known: BTreeSet<Category> = names
        .iter()
        .map(|name| {
            let is_small = name.chars().all(|letter| letter.is_ascii_lowercase());
            let category = Category::from_name(name).filter(|_| is_small);
            category.ok_or_else(|| ApiError::query("`index` is `raw`, `ids` or `processed`"))
        })
        .collect::<Result<_, _>>()?;
    Ok(known.into_iter().collect())
}

impl Search {
    pub(super) fn read(tetra: &Tetra, body: &Value) -> Result<Search, ApiError> {
        const KEYS: [&str; 8] = [
            "query",
            "size",
            "from",
            "sort",
            "search_after",
            "_source",
            "track_total_hits",
            "timeout",
        ];
        let body = super::query::object(body, "the body")?;
        if let Some(other) = body.keys().find(|key| OTHER_KEYS.contains(&key.as_str())) {
            return Err(ApiError::not_simulated(format!("`{other}`")));
        }
        super::query::known(body, &KEYS)?;
        let reading = Reading {
            now_ms: tetra.now_ms(),
            metadata_terms: tetra.options.metadata_terms,
        };
        let query = match body.get("query") {
            None => Query::All,
            Some(query) => reading.query(query)?,
        };
        let sort = body.get("sort").map_or(Ok(Vec::new()), sort::read)?;
        let after = match body.get("search_after") {
            None => None,
            Some(after) => Some(sort::read_after(&sort, after, tetra.options.after_texts)?),
        };
        let size = number(body, "size")?.unwrap_or(10);
        let from = number(body, "from")?.unwrap_or(0);
        if after.is_some() && !matches!(from, 0 | -1) {
            return Err(ApiError::query(
                "`from` and `search_after` exclude each other",
            ));
        }
        let size = usize::try_from(size).map_err(|_| ApiError::query("`size` is negative"))?;
        let from = match (from, after.is_some()) {
            (-1, true) => 0,
            _ => usize::try_from(from).map_err(|_| ApiError::query("`from` is negative"))?,
        };
        if from.saturating_add(size) > RESULT_WINDOW {
            return Err(ApiError::query("from + size is over 10,000"));
        }
        Ok(Search {
            query,
            size,
            from,
            sort,
            after,
            projection: Projection::read(body.get("_source"))?,
            counted: counted(body.get("track_total_hits"), &tetra.options)?,
        })
    }

    fn answer(&self, tetra: &Tetra, found: &Found) -> Answer {
        let score = if self.sort.is_empty() { "1.0" } else { "null" };
        let mut hits = String::new();
        for (document, keys) in &found.page {
            if !hits.is_empty() {
                hits.push(',');
            }
            self.write_hit(tetra, document, keys, score, &mut hits);
        }
        let total = self.total(tetra.options.total, found.total);
        let total = total.map_or(String::new(), |total| format!(r#""total":{total},"#));
        let max_score = if hits.is_empty() { "null" } else { score };
        let shards = json!({
            "total": found.shards,
            "successful": found.shards - found.failed,
            "skipped": 0,
            "failed": found.failed,
        });
        let text = format!(
            r#"{{"took":{},"timed_out":{},"_shards":{shards},"hits":{{{total}"max_score":{max_score},"hits":[{hits}]}}}}"#,
            3 + found.total / 1000,
            found.is_timed_out,
        );
        if tetra
            .options
            .answer_bytes
            .is_some_and(|most| text.len() > most)
        {
            return Err(ApiError::new(
                tetra.options.large_status,
                "Response too large",
            ));
        }
        let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        Ok::<Response, ApiError>((kind, text).into_response())
    }

    fn write_hit(
        &self,
        tetra: &Tetra,
        document: &Document,
        keys: &[Key],
        score: &str,
        hits: &mut String,
    ) {
        let category = document.category.name().to_lowercase();
        let index = json!(format!("{}-prod_{category}", tetra.options.org));
        let id = json!(&*document.file_id);
        hits.push_str(&format!(
            r#"{{"_index":{index},"_type":"_doc","_id":{id},"_score":{score}"#
        ));
        let small = json!(category).to_string();
        let shown = |(name, text)| match name {
            r#""category""# if tetra.options.small_categories => (name, small.as_str()),
            _ => (name, text),
        };
        if let Some(source) = self.projection.of(document.members().map(shown)) {
            hits.push_str(r#","_source":"#);
            hits.push_str(&source);
        }
        if !self.sort.is_empty() {
            let keys: Value = keys.iter().map(Key::json).collect();
            hits.push_str(&format!(r#","sort":{keys}"#));
        }
        hits.push('}');
    }

    /// `hits.total`, which is not there if nothing is counted.
    fn total(&self, form: Total, total: usize) -> Option<Value> {
        match (form, self.counted) {
            (Total::Number, Some(0)) => Some(json!(-1)),
            (Total::Number, _) => Some(json!(total)),
            (Total::Object, Some(0)) => None,
            (Total::Object, Some(most)) if total > most => {
                Some(json!({"value": most, "relation": "gte"}))
            }
            (Total::Object, _) => Some(json!({"value": total, "relation": "eq"})),
        }
    }
}

impl Tetra {
    /// A document as it is shown.
    pub(super) fn shown(&self, document: &Document) -> Value {
        let mut value = document.value();
        if self.options.small_categories {
            value["category"] = json!(document.category.name().to_lowercase());
        }
        value
    }

    /// Indexes some files again once their page has been made: the first of the page and those right
    /// behind it, in turns.
    fn index_some_again(&self, found: &Found) {
        let wanted = self.options.reindex_per_page;
        if wanted == 0 || found.behind.is_empty() {
            return;
        }
        let read = found.page.iter().map(|(document, _)| &document.file_id);
        let ids: Vec<Arc<str>> = read
            .zip(&found.behind)
            .flat_map(|(read, unread)| [unread, read])
            .take(wanted)
            .cloned()
            .collect();
        let mut store = self.change();
        let now_ms = self.now_ms();
        for id in ids {
            if store.index_again(&id, true, &self.options, now_ms) {
                count(&self.counters.reindexed_by_pages);
            }
        }
    }
}

/// How far hits are counted.
fn counted(wanted: Option<&Value>, options: &TetraOptions) -> Result<Option<usize>, ApiError> {
    let wanted = match (options.tracking, wanted) {
        (Tracking::Refused, Some(_)) => {
            return Err(ApiError::query("`track_total_hits` is not let through"));
        }
        (Tracking::Ignored, _) => None,
        (_, wanted) => wanted,
    };
    let is_old = options.total == Total::Number;
    let wrong = || ApiError::query("`track_total_hits` is no boolean or number");
    Ok(match wanted {
        // An engine of the old kind counts them all.
        None if is_old => None,
        None => Some(RESULT_WINDOW),
        Some(Value::Bool(true)) => None,
        Some(Value::Bool(false)) => Some(0),
        Some(Value::Number(most)) => {
            let most = most.as_u64().ok_or_else(wrong)?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            Some(most).filter(|most| !is_old || *most == 0)
        }
        Some(_) => return Err(wrong()),
    })
}

fn number(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(value) = body.get(name) else {
        return Ok(None);
    };
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    number
        .map(Some)
        .ok_or_else(|| ApiError::query(format!("`{name}` is no number")))
}
