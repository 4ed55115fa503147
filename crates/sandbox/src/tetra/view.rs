//! What tests, the control requests and the page see of the files, and how a test changes them: the
//! truth that a client is compared with.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Tetra;
use super::artifact::NOT_SEARCHED;
use super::content::Content;
use super::sample;
use super::store::{Brought, File, Plan};

/// A file at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    /// Its id.
    pub file_id: String,
    /// `RAW`, `IDS` or `PROCESSED`.
    pub category: String,
    /// Its path.
    pub path: String,
    /// The type of an IDS document.
    pub ids_type: Option<String>,
    /// When its newest document was indexed, in milliseconds since 1970.
    pub indexed_ms: i64,
    /// When it was first there.
    pub arrived_ms: i64,
    /// How many versions of its content there were.
    pub versions: usize,
    /// Bytes of its content.
    pub size: u64,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Whether a search finds its newest document by now.
    pub is_found: bool,
}

/// What was counted since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TetraCounts {
    /// Searches that were let in.
    pub searches: u64,
    /// Hits that they answered.
    pub hits: u64,
    /// Contents that went through the API.
    pub retrieves: u64,
    /// Links that were given.
    pub links: u64,
    /// Contents that the storage gave.
    pub downloads: u64,
    /// Links that were at their end.
    pub expired: u64,
    /// Calls over a limit.
    pub throttled: u64,
    /// Calls without a good token.
    pub unauthorized: u64,
    /// Requests to the storage that carried a header of the API.
    pub leaks: u64,
    /// Files that were indexed again with a page.
    pub reindexed_by_pages: u64,
    /// The most retrieves at once.
    pub peak_retrieves: usize,
    /// The most downloads from the storage at once.
    pub peak_downloads: usize,
    /// The most searches at once.
    pub peak_searches: usize,
    /// Tokens that are known.
    pub tokens: usize,
}

/// A file as a control request or a test describes it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    /// Members of the document.
    #[serde(default)]
    document: Map<String, Value>,
    /// The content as text.
    text: Option<String>,
    /// The content as JSON.
    json: Option<Value>,
    /// A content of so many bytes.
    bytes: Option<u64>,
    /// Points of the data cubes of an IDS document.
    #[serde(default)]
    points: u64,
    #[serde(default)]
    gzip: bool,
    found_in_ms: Option<i64>,
}

impl Described {
    /// Takes members out of `data` that no index holds; the content has them.
    fn take_what_is_not_searched(&mut self) {
        let has_content = self.text.is_some() || self.json.is_some() || self.bytes.is_some();
        let Some(Value::Object(data)) = self.document.get_mut("data") else {
            return;
        };
        let whole = data.clone();
        data.retain(|name, _| !NOT_SEARCHED.contains(&name.as_str()));
        if !has_content && data.len() < whole.len() {
            self.json = Some(Value::Object(whole));
        }
    }
}

impl Tetra {
    /// Adds files, or new versions of those whose `fileId` is known, from an array of
    /// `{"document", "text" | "json" | "bytes", "points", "gzip", "found_in_ms"}`. What the document does
    /// not say is made up; the content of a document with `data` is that, with data cubes of so many
    /// points. Data cubes of its own are in its content and not in its document. Returns the ids.
    pub fn add(&self, files: &Value) -> anyhow::Result<Vec<String>> {
        let described: Vec<Described> =
            serde_json::from_value(files.clone()).context("an array of files is expected")?;
        let mut store = self.change();
        let now_ms = self.now_ms();
        let mut ids = Vec::with_capacity(described.len());
        for mut file in described {
            file.take_what_is_not_searched();
            let content = match (file.text, file.json, file.bytes) {
                (None, None, None) if file.document.contains_key("data") => Plan::Data {
                    points: file.points,
                },
                (None, None, None) => {
                    Plan::Fixed(Content::pattern(store.files().len() as u64, 1_000))
                }
                (Some(text), None, None) => Plan::Fixed(Content::bytes(text)),
                (None, Some(json), None) => Plan::Fixed(Content::bytes(json.to_string())),
                (None, None, Some(bytes)) => {
                    Plan::Fixed(Content::pattern(store.files().len() as u64, bytes))
                }
                _ => bail!("one of `text`, `json` and `bytes` is expected"),
            };
            let brought = Brought {
                document: file.document,
                content,
                is_gzip: file.gzip,
                found_in_ms: file.found_in_ms,
                is_rewritten: true,
            };
            ids.push(store.bring(brought, &self.options, now_ms)?.to_string());
        }
        Ok(ids)
    }

    /// Adds files of the sample that arrive now; returns their ids.
    pub fn add_some(&self, count: usize) -> Vec<String> {
        let mut store = self.change();
        let now_ms = self.now_ms();
        let add = |_| sample::add(&mut store, &self.options, now_ms);
        (0..count).filter_map(add).collect()
    }

    /// Indexes files again, with new content; returns how many were there.
    pub fn reindex(&self, ids: &[impl AsRef<str>]) -> usize {
        self.index_again(ids, true)
    }

    /// Indexes files again, with another label and the same content; returns how many were there.
    pub fn relabel(&self, ids: &[impl AsRef<str>]) -> usize {
        self.index_again(ids, false)
    }

    fn index_again(&self, ids: &[impl AsRef<str>], has_new_content: bool) -> usize {
        let mut store = self.change();
        let now_ms = self.now_ms();
        let mut again = |id: &str| store.index_again(id, has_new_content, &self.options, now_ms);
        ids.iter().filter(|id| again(id.as_ref())).count()
    }

    /// Indexes so many files again, spread over all; returns their ids.
    pub fn reindex_some(&self, count: usize) -> Vec<String> {
        let ids: Vec<String> = {
            let store = self.look();
            let there = store.files().iter().filter(|file| file.can_be_had());
            let step = (store.files().len() / count.max(1)).max(1);
            let spread = there.step_by(step).take(count);
            spread.map(|file| file.id.to_string()).collect()
        };
        self.reindex(&ids);
        ids
    }

    /// Deletes files softly; returns how many were there.
    pub fn delete(&self, ids: &[impl AsRef<str>]) -> usize {
        let mut store = self.change();
        let now_ms = self.now_ms();
        let mut delete = |id: &str| store.delete(id, &self.options, now_ms);
        ids.iter().filter(|id| delete(id.as_ref())).count()
    }

    /// Takes the content of files away while search still finds them; returns how many were there.
    pub fn vanish(&self, ids: &[impl AsRef<str>]) -> usize {
        let mut store = self.change();
        ids.iter().filter(|id| store.vanish(id.as_ref())).count()
    }

    /// All files, in the order in which they came.
    pub fn files(&self) -> Vec<FileView> {
        let store = self.look();
        store.files().iter().map(|file| self.view(file)).collect()
    }

    /// How many files there are, without the deleted ones.
    pub fn file_count(&self) -> usize {
        let store = self.look();
        let is_there = |file: &&File| file.deleted_ms.is_none();
        store.files().iter().filter(is_there).count()
    }

    /// The files that came last, the newest first.
    pub fn newest(&self, count: usize) -> Vec<FileView> {
        let store = self.look();
        let newest = store.files().iter().rev().take(count);
        newest.map(|file| self.view(file)).collect()
    }

    /// The files that were indexed, indexed again or deleted last, the newest first.
    pub fn latest(&self, count: usize) -> Vec<FileView> {
        let store = self.look();
        let files = store.files();
        // Of those of one moment the one that came last.
        let time = |place: usize| (files[place].changed_ms(), place);
        let mut places: Vec<usize> = (0..files.len()).collect();
        if places.len() > count {
            places.select_nth_unstable_by_key(count, |place| Reverse(time(*place)));
            places.truncate(count);
        }
        places.sort_unstable_by_key(|place| Reverse(time(*place)));
        let latest = places.into_iter().map(|place| self.view(&files[place]));
        latest.collect()
    }

    /// Files that arrived in each of the last seconds, the oldest first.
    pub fn arrivals(&self, seconds: usize) -> Vec<u64> {
        let now_ms = self.now_ms();
        let mut counts = vec![0; seconds];
        let store = self.look();
        for file in store.files() {
            let age = usize::try_from((now_ms - file.arrived_ms).div_euclid(1000));
            let place = age.ok().and_then(|age| seconds.checked_sub(age + 1));
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        counts
    }

    /// The newest documents of all files that are not deleted, whether a search finds them or not.
    pub fn dump(&self) -> Vec<Value> {
        let store = self.look();
        let there = store
            .files()
            .iter()
            .filter(|file| file.deleted_ms.is_none());
        there.map(|file| self.shown(file.newest())).collect()
    }

    /// The same as texts.
    pub(super) fn texts(&self) -> Vec<Arc<str>> {
        let store = self.look();
        let there = store
            .files()
            .iter()
            .filter(|file| file.deleted_ms.is_none());
        let text = |file: &File| {
            let document = file.newest();
            if self.options.small_categories {
                self.shown(document).to_string().into()
            } else {
                Arc::clone(document.text())
            }
        };
        there.map(text).collect()
    }

    /// The newest document of a file.
    pub fn document(&self, id: &str) -> Option<Value> {
        let store = self.look();
        store.file(id).map(|file| self.shown(file.newest()))
    }

    /// The content of a file, unpacked.
    pub fn content(&self, id: &str) -> Option<Bytes> {
        self.content_of(id).map(|content| content.whole())
    }

    /// How many bytes the content of a file has, unpacked.
    pub fn content_length(&self, id: &str) -> Option<u64> {
        self.content_of(id).map(|content| content.length())
    }

    /// Some bytes of the content of a file from a place on: at most so many, none at its end.
    pub fn content_at(&self, id: &str, place: u64, most: u64) -> Option<Bytes> {
        self.content_of(id).map(|content| content.read(place, most))
    }

    /// Moves the clock of the service on: files arrive, documents are found, tokens and links end.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(seconds.saturating_mul(1000));
        drop(self.look());
    }

    /// Moves the clock of the service on by milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.clock.advance(ms);
        drop(self.look());
    }

    /// Makes a token that is good for so many seconds, or for ever; a negative number is one that has ended.
    pub fn issue_token(&self, seconds: Option<i64>) -> String {
        self.tokens.issue(self.now_ms(), seconds)
    }

    /// Makes a text known as a token that does not end.
    pub fn add_token(&self, token: &str) {
        self.tokens.add(token);
    }

    /// Ends all tokens; returns how many there were.
    pub fn end_tokens(&self) -> usize {
        self.tokens.end_all()
    }

    /// What was counted.
    pub fn counts(&self) -> TetraCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let counters = &self.counters;
        TetraCounts {
            searches: of(&counters.searches),
            hits: of(&counters.hits),
            retrieves: of(&counters.retrieves),
            links: of(&counters.links),
            downloads: of(&counters.downloads),
            expired: of(&counters.expired),
            throttled: of(&counters.throttled),
            unauthorized: of(&counters.unauthorized),
            leaks: of(&counters.leaks),
            reindexed_by_pages: of(&counters.reindexed_by_pages),
            peak_retrieves: self.retrieving.peak(),
            peak_downloads: self.downloading.peak(),
            peak_searches: self.searching.peak(),
            tokens: self.tokens.count(),
        }
    }

    pub(super) fn content_of(&self, id: &str) -> Option<Content> {
        self.look().file(id).map(File::content)
    }

    fn view(&self, file: &File) -> FileView {
        let newest = file.newest();
        let found = file.found(self.now_ms(), &self.options);
        FileView {
            file_id: file.id.to_string(),
            category: newest.category.name().to_owned(),
            path: newest.path().to_owned(),
            ids_type: newest.ids_type().map(str::to_owned),
            indexed_ms: newest.indexed_ms,
            arrived_ms: file.arrived_ms,
            versions: file.versions.len(),
            size: file.versions.last().map_or(0, |version| version.size),
            is_deleted: file.deleted_ms.is_some(),
            is_found: found.is_some_and(|found| found.number == newest.number),
        }
    }
}
