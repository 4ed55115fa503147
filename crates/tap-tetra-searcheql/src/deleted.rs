//! Files that are gone, found by comparing the ids of all files with those of the last time: a deleted file vanishes
//! from the search, and no window tells.
//!
//! What does not show in the listing is asked for once more by its id and without the stream's query, so that a file
//! that merely matches no longer is none that was deleted.

use std::fs::File;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use singer_core::value::time::{Fraction, write_timestamp};
use singer_core::value::write_string;
use singer_core::{Error, Result};
use singer_runtime::blocking::blocking;
use singer_runtime::tap::ids::{self, Emitted, Generations, IdSorter};
use singer_runtime::tap::{Output, Plan};

use crate::Tetra;
use crate::config::{Deletions, Stream};
use crate::model::{FILE_ID, Hit};
use crate::pages::{Counts, Pages, Query};

/// When a file was found to be gone; a property of ours.
pub(crate) const DELETED_AT: &str = "_sdc_deleted_at";

/// The mark of documents that some deployments keep in their search.
const DELETED: &str = "deleted";

/// Hits of a page that has an id in each and nothing else.
const PAGE: u64 = 5_000;

/// Ids that one search looks for.
const IDS_AT_ONCE: usize = 500;

/// Notes the ids of files before they are emitted, if somebody looks for deleted ones, now or later.
#[derive(Debug)]
pub(crate) struct Notes {
    stream: String,
    emitted: Emitted<u128>,
}

impl Notes {
    /// The notes of a stream; nothing if nobody wants any.
    ///
    /// # Errors
    /// Of kind `Config` for a catalog without the field that tells, `Internal` if the folder cannot be used.
    pub(crate) fn open(tap: &Tetra, stream: &Stream, plan: &Plan) -> Result<Option<Self>> {
        let looks = stream.deletions == Deletions::Diff;
        if !looks && !Generations::is_known(&plan.bookmark) {
            return Ok(None);
        }
        if looks && !plan.fields.iter().any(|field| field == DELETED_AT) {
            return Err(Error::config(format!(
                "the catalog's stream `{}` has no field `{DELETED_AT}`, which `deletions` needs",
                plan.id
            ))
            .with_hint("discover anew"));
        }
        Ok(Some(Self {
            stream: plan.id.clone(),
            emitted: Emitted::open(&files(tap, plan).emitted())?,
        }))
    }

    /// Notes a page; its files may leave after that.
    ///
    /// # Errors
    /// Of kind `Rejected` for an id that is no UUID, `Internal` if they cannot be written.
    pub(crate) fn take(&mut self, hits: &[Hit]) -> Result<()> {
        for hit in hits {
            self.emitted.push(number(&self.stream, &hit.file_id)?);
        }
        self.emitted.flush()
    }
}

/// Emits a record for each file that is gone, then a STATE that names the ids of now. `bookmark` is the one behind the
/// last window.
pub(crate) async fn read(
    tap: &Tetra,
    stream: &Arc<Stream>,
    plan: &Plan,
    mut bookmark: Map<String, Value>,
    out: &mut Output,
) -> Result<()> {
    let files = files(tap, plan);
    let files = blocking(move || files.tidy()).await?;
    let before = files.open(&plan.id)?;
    let there = listed(tap, stream, plan).await?;
    let (new, emitted) = (files.next(), files.emitted());
    let (mut gone, count) = blocking({
        let new = new.clone();
        move || {
            let known = Emitted::<u128>::sorter(&emitted)?.sorted()?;
            ids::compare(there.sorted()?, known.with_file(before)?, &new)
        }
    })
    .await?;
    tracing::info!(
        stream = plan.id,
        files = count,
        "files of the last time that are not listed"
    );
    let now = tap.api.service_time().timestamp_micros();
    let mut kept: Vec<u128> = Vec::new();
    loop {
        let candidates = take(&mut gone)?;
        if candidates.is_empty() {
            break;
        }
        let mut alive = alive(tap, stream, plan, &candidates).await?;
        alive.sort_unstable();
        for id in candidates {
            if alive.binary_search(&id).is_ok() {
                kept.push(id);
                continue;
            }
            out.record(|buffer| {
                write_deletion(buffer, &text(id), now);
                Ok(())
            })
            .await?;
        }
    }
    if !kept.is_empty() {
        blocking(move || ids::add(&new, kept)).await?;
    }
    let (name, value) = files.entry();
    bookmark.insert(name.to_owned(), value);
    out.checkpoint(bookmark).await
}

fn take(gone: &mut File) -> Result<Vec<u128>> {
    ids::take(gone, IDS_AT_ONCE)
}

/// The ids of all files of the stream. A file that is indexed again meanwhile moves towards the end of the search, so
/// that none is missed.
async fn listed(tap: &Tetra, stream: &Stream, plan: &Plan) -> Result<IdSorter<u128>> {
    let mut sorter = IdSorter::new(&tap.config.deletions_path);
    let query = Query {
        stream: Arc::new(Stream {
            page_size: stream.page_size.max(PAGE),
            ..stream.clone()
        }),
        conditions: Vec::new(),
        fields: Some(vec![FILE_ID.to_owned(), DELETED.to_owned()]),
        counts: Counts::AsItLikes,
    };
    let mut pages = Pages::open(tap.api.clone(), query, None);
    while let Some(page) = next(tap, &mut pages).await? {
        for hit in page.iter().filter(|hit| !is_marked(hit)) {
            sorter.push(number(&plan.id, &hit.file_id)?)?;
        }
    }
    Ok(sorter)
}

/// Those of these files that are there after all.
async fn alive(tap: &Tetra, stream: &Stream, plan: &Plan, ids: &[u128]) -> Result<Vec<u128>> {
    let texts: Vec<String> = ids.iter().map(|id| text(*id)).collect();
    let query = Query {
        stream: Arc::new(Stream {
            filter: json!({"terms": {FILE_ID: texts}}),
            indices: Vec::new(),
            page_size: IDS_AT_ONCE as u64,
            ..stream.clone()
        }),
        conditions: Vec::new(),
        fields: Some(vec![FILE_ID.to_owned(), DELETED.to_owned()]),
        counts: Counts::AsItLikes,
    };
    let mut pages = Pages::open(tap.api.clone(), query, None);
    let mut alive = Vec::new();
    while let Some(page) = next(tap, &mut pages).await? {
        for hit in page.iter().filter(|hit| !is_marked(hit)) {
            alive.push(number(&plan.id, &hit.file_id)?);
        }
    }
    Ok(alive)
}

async fn next(tap: &Tetra, pages: &mut Pages) -> Result<Option<Vec<Hit>>> {
    tokio::select! {
        biased;
        () = tap.context.stop().wait() => Err(Error::interrupted()),
        page = pages.next() => page,
    }
}

fn is_marked(hit: &Hit) -> bool {
    #[derive(Deserialize)]
    struct Marked {
        #[serde(default)]
        deleted: Option<bool>,
    }
    serde_json::from_slice(&hit.source).is_ok_and(|marked: Marked| marked.deleted.unwrap_or(false))
}

fn files(tap: &Tetra, plan: &Plan) -> Generations {
    let name = format!("{}-{}", tap.api.org(), plan.id);
    Generations::new(&tap.config.deletions_path, &name, &plan.bookmark)
}

/// A file's id as a number, which is how it is kept.
fn number(stream: &str, id: &str) -> Result<u128> {
    let digits: String = id.chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16)
        .ok()
        // What cannot be given back as it came would name another file.
        .filter(|number| text(*number) == id)
        .ok_or_else(|| {
            Error::rejected(format!(
                "a `fileId` of the stream `{stream}` is no UUID in its plain form, and `deletions` knows no others"
            ))
            .with_hint("leave `deletions` out; FULL_TABLE finds deleted files as well")
        })
}

fn text(id: u128) -> String {
    let digits = format!("{id:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn write_deletion(out: &mut Vec<u8>, id: &str, at: i64) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(FILE_ID.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(out, id);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(DELETED_AT.as_bytes());
    out.extend_from_slice(b"\":\"");
    write_timestamp(out, at, Fraction::AsNeeded);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were_or_are_refused() {
        let id = "11ee50ef-0000-4000-8000-00000000000a";
        assert_eq!(text(number("s", id).unwrap()), id);
        for other in [
            "11EE50EF-0000-4000-8000-00000000000A",
            "11ee50ef00004000800000000000000a",
            "+1ee50ef-0000-4000-8000-00000000000a",
            "file-7",
            "",
        ] {
            let error = number("s", other).unwrap_err();
            assert!(error.to_string().contains("`s`"), "{other}: {error}");
        }
    }

    #[test]
    fn a_deletion_is_the_key_and_the_time() {
        let mut out = Vec::new();
        write_deletion(
            &mut out,
            "11ee50ef-0000-4000-8000-00000000000a",
            1_738_540_800_118_000,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"fileId":"11ee50ef-0000-4000-8000-00000000000a","_sdc_deleted_at":"2025-02-03T00:00:00.118000Z"}"#
        );
    }
}
