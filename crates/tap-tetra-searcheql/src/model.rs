//! What comes over the wire: a page of hits, kept as the bytes that came.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use singer_core::{Error, Result};
use singer_net::Bytes;

/// The key of every file.
pub(crate) const FILE_ID: &str = "fileId";
/// When a file was indexed last: the replication key.
pub(crate) const INDEXED_AT: &str = "indexedAt";

/// A page of hits.
#[derive(Debug)]
pub(crate) struct Page {
    /// The hits, in the order of the sort.
    pub(crate) hits: Vec<Hit>,
    /// How many files match the query, on all pages, if the service says.
    pub(crate) total: Option<Total>,
    timed_out: bool,
    shards: Shards,
}

/// How many files match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    /// The number.
    pub(crate) value: u64,
    /// Whether there are no more than that.
    pub(crate) is_exact: bool,
}

/// A file that was found.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// Its id.
    pub(crate) file_id: String,
    /// Its place in the sort, which search_after takes verbatim.
    pub(crate) sort: Vec<Value>,
    /// The fields that were asked for, as one JSON object.
    pub(crate) source: Bytes,
}

impl Page {
    /// What is missing, if the engine gave a part of the answer only.
    pub(crate) fn lack(&self) -> Option<String> {
        if self.timed_out {
            return Some("the engine ran out of time".to_owned());
        }
        let Shards {
            total,
            successful,
            failed,
        } = self.shards;
        if failed > 0 {
            return Some(format!("{failed} shards failed"));
        }
        // One of which the engine has no copy at hand does not count as failed.
        let silent = total?.saturating_sub(successful?);
        (silent > 0).then(|| format!("{silent} shards did not answer"))
    }
}

impl Hit {
    /// The version of the file that this is: its id and when it was indexed.
    pub(crate) fn version(&self) -> String {
        Value::from(self.sort.clone()).to_string()
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    timed_out: bool,
    #[serde(default, rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: WireHits<'a>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Shards {
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    successful: Option<u64>,
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct WireHits<'a> {
    #[serde(default)]
    total: Option<Value>,
    #[serde(borrow)]
    hits: Vec<WireHit<'a>>,
}

#[derive(Deserialize)]
struct WireHit<'a> {
    #[serde(default, rename = "_id")]
    id: Option<String>,
    #[serde(borrow, default, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(default, rename = "fileId")]
    file_id: Option<String>,
}

/// Reads the answer to a search.
///
/// # Errors
/// Of kind `Protocol` if it is none.
pub(crate) fn parse_page(body: &Bytes) -> Result<Page> {
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| Error::protocol("the answer has no hits").with_source(place(&error)))?;
    let hits = wire.hits.hits.into_iter().map(|hit| hit_of(hit, body));
    Ok(Page {
        hits: hits.collect::<Result<_>>()?,
        total: wire.hits.total.as_ref().and_then(total_of),
        timed_out: wire.timed_out,
        shards: wire.shards,
    })
}

/// Older engines write a number, newer ones an object. No page depends on it, so that a form that nobody here knows,
/// or the -1 of an engine that did not count, is none.
fn total_of(total: &Value) -> Option<Total> {
    let relation = total.get("relation").and_then(Value::as_str);
    Some(Total {
        value: total.as_u64().or_else(|| total.get("value")?.as_u64())?,
        is_exact: relation.is_none_or(|relation| relation == "eq"),
    })
}

fn hit_of(hit: WireHit<'_>, body: &Bytes) -> Result<Hit> {
    let source = match hit.source {
        Some(source) if source.get().starts_with('{') => body.slice_ref(source.get().as_bytes()),
        _ => return Err(Error::protocol("a hit has no `_source`")),
    };
    let identity: Identity = serde_json::from_slice(&source).map_err(|error| {
        Error::protocol("a hit's `fileId` is no text").with_source(place(&error))
    })?;
    let file_id = identity.file_id.or(hit.id).filter(|id| !id.is_empty());
    Ok(Hit {
        file_id: file_id.ok_or_else(|| Error::protocol("a hit has no `fileId`"))?,
        sort: hit.sort,
        source,
    })
}

/// Where a text is not what was expected; serde's own words could quote it.
pub(crate) fn place(error: &serde_json::Error) -> Error {
    Error::protocol(format!(
        "it is not as expected at line {}, column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> Result<Page> {
        parse_page(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn both_forms_of_the_total_are_read() {
        let total = |text| page(text).unwrap().total;
        let exact = |value, is_exact| Some(Total { value, is_exact });
        assert_eq!(total(r#"{"hits":{"total":7,"hits":[]}}"#), exact(7, true));
        let object = r#"{"hits":{"total":{"value":7,"relation":"eq"},"hits":[]}}"#;
        assert_eq!(total(object), exact(7, true));
        let many = r#"{"hits":{"total":{"value":10000,"relation":"gte"},"hits":[]}}"#;
        assert_eq!(total(many), exact(10_000, false));
        for none in [
            r#"{"hits":{"hits":[]}}"#,
            r#"{"hits":{"total":-1,"hits":[]}}"#,
            r#"{"hits":{"total":null,"hits":[]}}"#,
        ] {
            assert_eq!(total(none), None);
        }
    }

    #[test]
    fn a_part_of_an_answer_is_known_as_one() {
        let lack = |text| page(text).unwrap().lack();
        assert_eq!(
            lack(r#"{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[]}}"#),
            None
        );
        assert!(lack(r#"{"timed_out":true,"hits":{"hits":[]}}"#).is_some());
        assert!(
            lack(r#"{"_shards":{"failed":2},"hits":{"hits":[]}}"#)
                .unwrap()
                .contains('2')
        );
        let silent = r#"{"_shards":{"total":5,"successful":4,"failed":0},"hits":{"hits":[]}}"#;
        assert!(lack(silent).unwrap().contains("1 shards"));
        let whole =
            r#"{"_shards":{"total":5,"successful":5,"skipped":4,"failed":0},"hits":{"hits":[]}}"#;
        assert_eq!(lack(whole), None);
    }

    #[test]
    fn a_hit_keeps_its_bytes_and_its_place() {
        let text = r#"{"hits":{"hits":[{"_id":"x","_source":{"n":1.50,"fileId":"f"},"sort":[1714521600123,"f"]},
            {"_id":"y","_source":{}}]}}"#;
        let page = page(text).unwrap();
        assert_eq!(&page.hits[0].source[..], br#"{"n":1.50,"fileId":"f"}"#);
        assert_eq!(page.hits[0].version(), r#"[1714521600123,"f"]"#);
        assert_eq!(
            (page.hits[0].file_id.as_str(), page.hits[1].file_id.as_str()),
            ("f", "y")
        );
    }

    #[test]
    fn what_is_no_page_is_refused_without_being_quoted() {
        for text in [
            "<html>secret</html>",
            r#"{"hits":{"hits":[{"_id":"secret"}]}}"#,
            r#"{"hits":{"hits":[{"_source":{}}]}}"#,
            "{}",
        ] {
            let error = page(text).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
