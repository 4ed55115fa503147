//! Discovery: queries as streams, with schemas made of samples, and a stream for each major version of an IDS where
//! versions are kept apart.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use singer_core::catalog::Entry;
use singer_core::{Error, Kind, Result};

use crate::Tetra;
use crate::ahead::{Ahead, Next};
use crate::config::{Deletions, IdsVersions, Retrieve, Stream};
use crate::deleted::DELETED_AT;
use crate::model::{FILE_ID, Hit, INDEXED_AT};
use crate::page_size::PageSize;
use crate::pages::{Counts, Order, Query};
use crate::record::{Document, FILE_PATH, FILE_SHA256, FILE_SIZE, fields};
use crate::retrieve::Content;
use crate::shape::{Path, Shape};

/// Stream metadata: the fields of the catalog count, as another sample may have others.
const SAMPLED_SCHEMA: &str = "sampled-schema";

/// More versions than that are no versions.
const MOST_VERSIONS: usize = 100;

/// What retrieval needs to know of a file.
const FOR_RETRIEVAL: [&str; 5] = [
    "filePath",
    "file.size",
    "file.version",
    "file.checksum",
    "file.s3ContentEncoding",
];

/// How far discovery looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At a sample of files, to make a schema.
    Sample,
    /// Whether the query is taken and which versions there are: the fields are those of a catalog.
    Glance,
}

/// A stream as discovery found it.
#[derive(Debug)]
pub(crate) struct Found {
    /// The stream, with the condition of its version if it is one of several.
    pub(crate) stream: Arc<Stream>,
    /// As a catalog shows it.
    pub(crate) entry: Entry,
}

/// The fields to ask the search for; all if there is no list.
pub(crate) fn asked_fields(stream: &Stream) -> Option<Vec<String>> {
    let mut asked = match (&stream.source, stream.retrieve) {
        (Some(source), _) => source.clone(),
        (None, Retrieve::Json) => (known_fields().map(|(name, _)| name))
            .filter(|name| *name != "data" && Some(*name) != stream.json_field.as_deref())
            .map(str::to_owned)
            .collect(),
        (None, Retrieve::None | Retrieve::File) => return None,
    };
    let mut add = |name: &str| {
        let is_covered = asked.iter().any(|field| {
            name == field
                || name
                    .strip_prefix(field.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        if !is_covered {
            asked.push(name.to_owned());
        }
    };
    add(FILE_ID);
    add(INDEXED_AT);
    if stream.retrieve != Retrieve::None {
        FOR_RETRIEVAL.into_iter().for_each(add);
    }
    Some(asked)
}

/// What a file document is documented to have, with its type where that is certain.
fn known_fields() -> impl Iterator<Item = (&'static str, Value)> {
    let text = || json!({"type": ["null", "string"]});
    let time = || json!({"type": ["null", "string"], "format": "date-time"});
    let flag = || json!({"type": ["null", "boolean"]});
    let unknown = || Value::Null;
    [
        (FILE_ID, json!({"type": "string"})),
        (INDEXED_AT, time()),
        ("createdAt", time()),
        ("rawFileId", text()),
        ("traceId", text()),
        ("orgSlug", text()),
        ("category", text()),
        ("filePath", text()),
        ("ids", text()),
        ("idsType", text()),
        ("idsVersion", text()),
        ("source", unknown()),
        ("integration", unknown()),
        ("file", unknown()),
        ("metadata", unknown()),
        (
            "tags",
            json!({"type": ["null", "array"], "items": {"type": ["null", "string"]}}),
        ),
        ("labels", unknown()),
        ("data", unknown()),
        ("deleted", flag()),
        ("outdated", flag()),
    ]
    .into_iter()
}

/// The streams of one query: one, or one for each version.
///
/// # Errors
/// Those of the searches.
pub(crate) async fn discover(tap: &Tetra, stream: &Stream, depth: Depth) -> Result<Vec<Found>> {
    if stream.ids_versions == IdsVersions::Merge {
        return Ok(vec![describe(tap, stream.clone(), None, depth).await?]);
    }
    let mut found = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        let sample = newest(tap, stream, excluded(&known)).await?;
        let Some(hit) = sample.first() else {
            return Ok(found);
        };
        let major = major_of(hit).unwrap_or_default();
        if known.len() >= MOST_VERSIONS || !known.insert(major.clone()) {
            return Err(Error::protocol(format!(
                "the versions of the stream `{}` cannot be told apart",
                stream.name
            ))
            .with_hint("`\"ids_versions\": \"merge\"` reads them as one stream"));
        }
        found.push(describe(tap, version_of(stream, &major), Some(&major), depth).await?);
    }
}

/// The stream of one major version; of files without one if it is empty.
fn version_of(stream: &Stream, major: &str) -> Stream {
    let mut version = stream.clone();
    let condition = if major.is_empty() {
        json!({"bool": {"must_not": [{"exists": {"field": "idsVersion"}}]}})
    } else {
        version.name = format!("{}_{}", stream.name, major.trim_end_matches('.'));
        json!({"prefix": {"idsVersion": major}})
    };
    version.filter = json!({"bool": {"filter": [stream.filter, condition]}});
    version
}

/// Whether a stream id is that of a query, or of a version of it.
pub(crate) fn is_of(stream: &Stream, id: &str) -> bool {
    let rest = id.strip_prefix(stream.name.as_str());
    match (rest, stream.ids_versions) {
        (Some(""), _) => true,
        (Some(rest), IdsVersions::Apart) => rest.starts_with('_'),
        _ => false,
    }
}

/// What files of none of these versions meet.
fn excluded(known: &BTreeSet<String>) -> Vec<Value> {
    if known.is_empty() {
        return Vec::new();
    }
    let conditions: Vec<Value> = (known.iter())
        .map(|major| match major.as_str() {
            "" => json!({"bool": {"must_not": [{"exists": {"field": "idsVersion"}}]}}),
            major => json!({"prefix": {"idsVersion": major}}),
        })
        .collect();
    vec![json!({"bool": {"must_not": conditions}})]
}

/// `v2.` of `v2.0.1`.
fn major_of(hit: &Hit) -> Option<String> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(rename = "idsVersion")]
        version: Option<String>,
    }
    let versioned: Versioned = serde_json::from_slice(&hit.source).ok()?;
    let version = versioned.version?;
    let (major, _) = version.split_once('.')?;
    Some(format!("{major}."))
}

async fn newest(tap: &Tetra, stream: &Stream, conditions: Vec<Value>) -> Result<Vec<Hit>> {
    let query = Query {
        stream: Arc::new(stream.clone()),
        conditions,
        fields: Some(vec![FILE_ID.to_owned(), "idsVersion".to_owned()]),
        counts: Counts::AsItLikes,
    };
    let page = query
        .page(&tap.api, &PageSize::new(1), Order::Descending, None)
        .await?;
    Ok(page.hits)
}

/// Samples a stream.
async fn describe(tap: &Tetra, stream: Stream, major: Option<&str>, depth: Depth) -> Result<Found> {
    let stream = Arc::new(stream);
    let query = Query {
        stream: Arc::clone(&stream),
        conditions: Vec::new(),
        fields: asked_fields(&stream),
        counts: Counts::Exactly,
    };
    let size = PageSize::new(match depth {
        Depth::Sample => tap.config.sample_size.min(stream.page_size),
        Depth::Glance => 1,
    });
    let newest = query.page(&tap.api, &size, Order::Descending, None).await?;
    let total = newest.total;
    let mut hits = newest.hits;
    let is_all = total.is_some_and(|total| total.value <= hits.len() as u64);
    if depth == Depth::Sample && !is_all && !hits.is_empty() {
        let oldest = query.page(&tap.api, &size, Order::Ascending, None).await?;
        hits.extend(oldest.hits);
    }
    let mut shape = seed(&stream);
    if depth == Depth::Sample {
        sample(tap, &stream, hits, &mut shape).await?;
    }
    let rows = total
        .filter(|total| total.is_exact)
        .map(|total| total.value);
    let entry = entry_of(tap, &stream, &shape, rows, major);
    Ok(Found { stream, entry })
}

/// Widens a shape by the files of a sample.
async fn sample(
    tap: &Tetra,
    stream: &Arc<Stream>,
    hits: Vec<Hit>,
    shape: &mut Shape,
) -> Result<()> {
    let mut ahead = Ahead::new(tap, stream);
    let mut hits = VecDeque::from(hits);
    let has_documents = stream.retrieve == Retrieve::Json;
    loop {
        ahead.fill(&mut hits, |_| has_documents).await?;
        let Some(Next { hit, content, room }) = ahead.next().await? else {
            return Ok(());
        };
        let content = match content {
            Ok(content) => content,
            Err(error) if is_of_one_file(&error) => continue,
            Err(error) => return Err(error),
        };
        let document = match &content {
            Content::Json(text) => Some(text.document()),
            _ => None,
        };
        let source = Document::parse(&hit.source)
            .ok_or_else(|| Error::protocol("the fields of a file are no JSON"))?;
        let found = match fields(stream, source, document) {
            Ok(found) => found,
            Err(error) if is_of_one_file(&error) => continue,
            Err(error) => return Err(error),
        };
        for field in found {
            let mut path = Path::of(&field.name);
            shape
                .member_mut(&field.name)
                .grow(field.bytes, field.span, &mut path, &stream.opaque);
        }
        drop(room);
    }
}

/// Whether an error is about one file: it is told when that file is read.
fn is_of_one_file(error: &Error) -> bool {
    matches!(error.kind(), Kind::Rejected | Kind::Protocol)
}

/// What is known of a stream's fields before any file was seen.
fn seed(stream: &Stream) -> Shape {
    let mut shape = Shape::object();
    let wanted = stream.source.as_ref();
    for (name, schema) in known_fields() {
        let is_key = name == FILE_ID || name == INDEXED_AT;
        let is_named = wanted.is_none_or(|wanted| wanted.iter().any(|field| field == name));
        if (is_key || is_named) && !schema.is_null() {
            shape.add(name, Shape::of_schema(&schema));
        }
    }
    if stream.retrieve == Retrieve::File {
        for name in [FILE_PATH, FILE_SHA256] {
            shape.add(name, Shape::of_schema(&json!({"type": ["null", "string"]})));
        }
        shape.add(
            FILE_SIZE,
            Shape::of_schema(&json!({"type": ["null", "integer"]})),
        );
    }
    shape
}

fn entry_of(
    tap: &Tetra,
    stream: &Stream,
    shape: &Shape,
    rows: Option<u64>,
    major: Option<&str>,
) -> Entry {
    let mut entry = Entry::new(&stream.name, &stream.name);
    entry.set("table_name", stream.name.as_str());
    entry.set("database_name", tap.api.org());
    entry.set_stream_metadata("selected-by-default", false);
    entry.set_stream_metadata("is-view", false);
    entry.set_stream_metadata("database-name", tap.api.org());
    entry.set_stream_metadata("table-key-properties", json!([FILE_ID]));
    entry.set_stream_metadata("valid-replication-keys", json!([INDEXED_AT]));
    entry.set_stream_metadata("replication-key", INDEXED_AT);
    entry.set_stream_metadata(SAMPLED_SCHEMA, true);
    if let Some(rows) = rows {
        entry.set_stream_metadata("row-count", rows);
    }
    if let Some(major) = major {
        entry.set_stream_metadata("tetra.ids-version", major.trim_end_matches('.'));
    }
    if tap.config.row.is_some() {
        entry.set_stream_metadata(
            "forced-replication-method",
            json!({"replication-method": "INCREMENTAL", "reason": "files come one by one"}),
        );
    }
    for (name, member) in shape.members() {
        let schema = match name {
            FILE_ID => Some(json!({"type": "string"})),
            _ => member.schema(),
        };
        let Some(schema) = schema else {
            continue;
        };
        entry.set_property(name, schema);
        let is_needed = name == FILE_ID || name == INDEXED_AT || crate::record::is_of_file(name);
        entry.set_field_metadata(
            name,
            "inclusion",
            if is_needed { "automatic" } else { "available" },
        );
        entry.set_field_metadata(name, "selected-by-default", true);
    }
    if stream.deletions == Deletions::Diff {
        entry.set_property(
            DELETED_AT,
            json!({"type": ["null", "string"], "format": "date-time"}),
        );
        entry.set_field_metadata(DELETED_AT, "inclusion", "automatic");
    }
    entry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::tests::config;

    fn stream(changes: Value) -> Stream {
        let config = config(json!({"streams": {"s": changes}})).unwrap();
        let (name, stream) = config.streams.iter().next().unwrap();
        config.stream(name, stream)
    }

    #[test]
    fn what_the_tap_needs_itself_is_asked_for_as_well() {
        assert_eq!(asked_fields(&stream(json!({}))), None);
        let named = asked_fields(&stream(
            json!({"source": ["file", "data.x"], "retrieve": "file"}),
        ));
        assert_eq!(
            named.unwrap(),
            ["file", "data.x", "fileId", "indexedAt", "filePath"]
        );
        let documents = asked_fields(&stream(json!({"retrieve": "json"}))).unwrap();
        assert!(documents.iter().all(|field| field != "data") && documents.len() > 10);
    }

    #[test]
    fn a_version_is_a_stream_of_its_own_and_the_rest_is_found_as_well() {
        let apart = stream(json!({"ids_versions": "apart"}));
        assert_eq!(version_of(&apart, "v2.").name, "s_v2");
        assert_eq!(version_of(&apart, "").name, "s");
        assert!(is_of(&apart, "s_v2") && is_of(&apart, "s") && !is_of(&apart, "sx"));
        assert!(!is_of(&stream(json!({})), "s_v2"));
        let known = BTreeSet::from(["v1.".to_owned()]);
        let rest = json!({"bool": {"must_not": [{"prefix": {"idsVersion": "v1."}}]}});
        assert_eq!(excluded(&known), [rest]);
    }
}
