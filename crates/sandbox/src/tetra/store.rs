//! The files with their documents, and which of these a search finds at a moment: a document is found a
//! while after it was stamped, and until then the one before it. Facts: sections 6 and 7.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::content::{Content, scramble};
use super::date::write_ms;
use super::document::{Category, Document};
use super::mapping::Mappings;
use super::members::{file_member, fill_up, stamp};
use super::options::{Deleted, GzipSize, Reprocess, TetraOptions};
use super::order::Order;

/// How many actions the log remembers.
const ACTIONS_KEPT: usize = 100_000;

/// All files of the organisation.
#[derive(Debug, Default)]
pub(super) struct Store {
    files: Vec<File>,
    by_id: HashMap<Arc<str>, usize>,
    /// The documents by the time at which they were indexed.
    order: Order,
    pub(super) mappings: Mappings,
    actions: Vec<Action>,
    /// Numbers that ids are made of.
    last_number: u64,
    /// Documents that were indexed: the number of the last one, and what tells the late ones.
    indexed: u64,
    /// Files that were made from the sample.
    pub(super) sampled: usize,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) id: Arc<str>,
    /// Its documents that are found or will be; the newest last.
    entries: Vec<Entry>,
    pub(super) stored: Stored,
    pub(super) versions: Vec<Version>,
    /// When it was first there.
    pub(super) arrived_ms: i64,
    pub(super) deleted_ms: Option<i64>,
    /// Its content is gone, and search does not know it yet.
    pub(super) is_vanished: bool,
}

#[derive(Debug)]
struct Entry {
    document: Document,
    /// From when on a search finds it.
    found_ms: i64,
}

/// What stands in the storage.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) content: Plan,
    pub(super) is_gzip: bool,
}

/// How a content comes about.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Fixed(Content),
    /// `data` of the newest document, and data cubes of so many points.
    Data {
        points: u64,
    },
}

/// One version of a file.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// From 1.
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) created_ms: i64,
    pub(super) size: u64,
}

/// One line of the activity log.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) number: u64,
    pub(super) at_ms: i64,
    pub(super) name: &'static str,
    pub(super) file_id: Arc<str>,
}

/// A file as somebody brings it.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    /// Members of its document; the rest is made up.
    pub(super) document: Map<String, Value>,
    pub(super) content: Plan,
    pub(super) is_gzip: bool,
    /// Milliseconds until it is found, if not the usual.
    pub(super) found_in_ms: Option<i64>,
    /// Whether it has a new version in the storage; else it is only indexed again.
    pub(super) is_rewritten: bool,
}

impl Store {
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn file(&self, id: &str) -> Option<&File> {
        self.by_id.get(id).map(|place| &self.files[*place])
    }

    /// The action with this number and those behind it.
    pub(super) fn actions_from(&self, number: u64) -> &[Action] {
        let first = self
            .actions
            .partition_point(|action| action.number < number);
        self.actions.get(first..).unwrap_or_default()
    }

    fn file_mut(&mut self, id: &str) -> Option<&mut File> {
        self.by_id.get(id).map(|place| &mut self.files[*place])
    }

    /// An id that no file has.
    pub(super) fn new_id(&mut self) -> String {
        self.last_number += 1;
        let number = self.last_number;
        // The order of ids says nothing of the order in which files came.
        let noise = scramble(number);
        format!(
            "{:08x}-{:04x}-4000-8000-{number:012x}",
            noise >> 32,
            noise & 0xffff
        )
    }

    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    /// Takes a file, or a new version of one that is there; returns its id.
    pub(super) fn bring(
        &mut self,
        brought: Brought,
        options: &TetraOptions,
        now_ms: i64,
    ) -> anyhow::Result<Arc<str>> {
        let mut members = brought.document;
        let id = match members.get("fileId") {
            Some(id) => id.as_str().context("`fileId` is no text")?.to_owned(),
            None => self.new_id(),
        };
        let stored = Stored {
            content: brought.content,
            is_gzip: brought.is_gzip,
        };
        let indexed_ms = stamp(&members, options, now_ms)?;
        let known = self.file(&id);
        let before = known.map_or(0, |file| file.versions.len());
        let first = known.and_then(|file| file.versions.first());
        let created_ms = first.map_or(indexed_ms, |first| first.created_ms);
        let version = if brought.is_rewritten || before == 0 {
            before + 1
        } else {
            before
        };
        members.insert("fileId".to_owned(), json!(id));
        members.insert("indexedAt".to_owned(), json!(write_ms(indexed_ms)));
        fill_up(&mut members, options, created_ms);
        let version = Version {
            number: version,
            id: format!("v{:016x}{version:04x}", scramble(fingerprint(&id))),
            created_ms: indexed_ms,
            size: stored.size(&members, options.gzip_size, &id),
        };
        file_member(&mut members, &stored, &version, options);
        let document = Value::Object(members);
        self.indexed += 1;
        let index = Document::new(&document, self.indexed)
            .context("`category` is none of RAW, IDS, PROCESSED")?;
        self.mappings.take(index.category, &document);
        let id = Arc::clone(&index.file_id);
        let entry = Entry {
            found_ms: self.found_ms(indexed_ms, now_ms, brought.found_in_ms, options),
            document: index,
        };
        self.keep(entry, stored, version, now_ms);
        let name = if before == 0 {
            "file.register"
        } else {
            "file.update"
        };
        self.note(name, &id, now_ms);
        Ok(id)
    }

    fn keep(&mut self, entry: Entry, stored: Stored, version: Version, now_ms: i64) {
        let id = Arc::clone(&entry.document.file_id);
        let Some(place) = self.by_id.get(&id).copied() else {
            let place = self.files.len();
            self.order.add(&entry.document, place);
            self.by_id.insert(Arc::clone(&id), place);
            self.files.push(File {
                id,
                arrived_ms: now_ms,
                entries: vec![entry],
                stored,
                versions: vec![version],
                deleted_ms: None,
                is_vanished: false,
            });
            return;
        };
        self.index_entry(place, entry, now_ms);
        let file = &mut self.files[place];
        file.stored = stored;
        file.deleted_ms = None;
        file.is_vanished = false;
        if version.number > file.versions.len() {
            file.versions.push(version);
        }
    }

    /// Adds a document of a file that is there, and drops those that no search can find any more.
    fn index_entry(&mut self, place: usize, entry: Entry, now_ms: i64) {
        let file = &mut self.files[place];
        let gone = file.forget_replaced(now_ms);
        self.order.add(&entry.document, place);
        file.entries.push(entry);
        file.entries.sort_by_key(|entry| entry.document.indexed_ms);
        for old in gone {
            let is_same = |entry: &Entry| entry.document.indexed_ms == old.document.indexed_ms;
            if !file.entries.iter().any(is_same) {
                self.order.remove(&old.document);
            }
        }
    }

    /// Indexes a file again: with new content, or only with another label. False if there is none.
    pub(super) fn index_again(
        &mut self,
        id: &str,
        has_new_content: bool,
        options: &TetraOptions,
        now_ms: i64,
    ) -> bool {
        let Some(file) = self.file(id).filter(|file| file.deleted_ms.is_none()) else {
            return false;
        };
        let Value::Object(mut members) = file.newest().value() else {
            return false;
        };
        let is_new_file = has_new_content
            && options.reprocess == Reprocess::File
            && file.newest().category == Category::Ids;
        let keeps_stamp = !has_new_content && !options.label_stamps;
        let found_in_ms = keeps_stamp.then(|| milliseconds(options.index_ms));
        if !keeps_stamp {
            members.remove("indexedAt");
        }
        let mut stored = file.stored.clone();
        let outdated = is_new_file.then(|| Brought {
            document: {
                let mut members = members.clone();
                members.insert("outdated".to_owned(), json!(true));
                members
            },
            content: stored.content.clone(),
            is_gzip: stored.is_gzip,
            found_in_ms: None,
            is_rewritten: false,
        });
        if has_new_content {
            if let Some(data) = members.get_mut("data").and_then(Value::as_object_mut) {
                data.insert("revision".to_owned(), json!(file.versions.len() + 1));
            }
            if let Plan::Fixed(content) = &stored.content {
                stored.content = Plan::Fixed(content.revised(file.versions.len() + 1));
            }
        } else if let Some(labels) = members.get_mut("labels").and_then(Value::as_array_mut) {
            labels.retain(|label| label["name"] != "reviewed");
            labels.push(json!({"name": "reviewed", "value": format!("round-{now_ms}")}));
        }
        if is_new_file {
            for name in ["fileId", "createdAt", "file"] {
                members.remove(name);
            }
        }
        let brought = Brought {
            document: members,
            content: stored.content,
            is_gzip: stored.is_gzip,
            found_in_ms,
            is_rewritten: has_new_content,
        };
        let is_brought = self.bring(brought, options, now_ms).is_ok();
        match outdated {
            Some(outdated) => is_brought && self.bring(outdated, options, now_ms).is_ok(),
            None => is_brought,
        }
    }

    /// Deletes a file softly; false if there is none.
    pub(super) fn delete(&mut self, id: &str, options: &TetraOptions, now_ms: i64) -> bool {
        let Some(place) = self.by_id.get(id).copied() else {
            return false;
        };
        let file = &mut self.files[place];
        if file.deleted_ms.is_some() {
            return false;
        }
        file.deleted_ms = Some(now_ms);
        let id = Arc::clone(&file.id);
        if options.deleted == Deleted::Shown {
            let mut value = file.newest().value();
            value["deleted"] = json!(true);
            value["indexedAt"] = json!(write_ms(options.stamped(now_ms)));
            self.indexed += 1;
            if let Some(document) = Document::new(&value, self.indexed) {
                let found_ms = now_ms.saturating_add(milliseconds(options.index_ms));
                self.index_entry(place, Entry { document, found_ms }, now_ms);
            }
        }
        self.note("file.delete", &id, now_ms);
        true
    }

    /// Takes the content of a file away while search goes on to find it.
    pub(super) fn vanish(&mut self, id: &str) -> bool {
        let file = self.file_mut(id);
        file.is_some_and(|file| !std::mem::replace(&mut file.is_vanished, true))
    }

    fn found_ms(
        &self,
        indexed_ms: i64,
        now_ms: i64,
        found_in_ms: Option<i64>,
        options: &TetraOptions,
    ) -> i64 {
        if let Some(wait) = found_in_ms {
            return now_ms.saturating_add(wait);
        }
        let is_late = options.late_every > 0 && self.indexed.is_multiple_of(options.late_every);
        let wait = if is_late {
            options.late_ms
        } else {
            options.index_ms
        };
        indexed_ms.saturating_add(milliseconds(wait))
    }

    fn note(&mut self, name: &'static str, id: &Arc<str>, at_ms: i64) {
        let number = self.actions.last().map_or(1, |last| last.number + 1);
        if self.actions.len() >= ACTIONS_KEPT {
            self.actions.drain(..ACTIONS_KEPT / 10);
        }
        self.actions.push(Action {
            number,
            at_ms,
            name,
            file_id: Arc::clone(id),
        });
    }
}

impl File {
    /// The newest document, whether it is found or not.
    pub(super) fn newest(&self) -> &Document {
        let last = self.entries.last();
        &last.expect("a file has a document").document
    }

    /// When it was indexed or deleted last.
    pub(super) fn changed_ms(&self) -> i64 {
        let indexed_ms = self.newest().indexed_ms;
        self.deleted_ms
            .map_or(indexed_ms, |deleted_ms| deleted_ms.max(indexed_ms))
    }

    /// The document that a search finds.
    pub(super) fn found(&self, now_ms: i64, options: &TetraOptions) -> Option<&Document> {
        let is_gone = self.deleted_ms.is_some_and(|deleted| {
            now_ms >= deleted.saturating_add(milliseconds(options.index_ms))
        });
        if is_gone && options.deleted == Deleted::Hidden {
            return None;
        }
        let found = self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.found_ms <= now_ms);
        found.map(|entry| &entry.document)
    }

    /// Whether its content can be had.
    pub(super) fn can_be_had(&self) -> bool {
        self.deleted_ms.is_none() && !self.is_vanished
    }

    /// What stands in the storage now.
    pub(super) fn content(&self) -> Content {
        if let Plan::Fixed(content) = &self.stored.content {
            return content.clone();
        }
        match self.newest().value() {
            Value::Object(members) => self.stored.content(&members, &self.id),
            _ => Content::default(),
        }
    }

    /// Drops documents that no search can find any more.
    fn forget_replaced(&mut self, now_ms: i64) -> Vec<Entry> {
        let last_found = self
            .entries
            .iter()
            .rposition(|entry| entry.found_ms <= now_ms);
        self.entries.drain(..last_found.unwrap_or(0)).collect()
    }
}

impl Stored {
    fn content(&self, members: &Map<String, Value>, id: &str) -> Content {
        match &self.content {
            Plan::Fixed(content) => content.clone(),
            Plan::Data { points } => {
                let data = members.get("data").cloned().unwrap_or_else(|| json!({}));
                with_cubes(&data.to_string(), *points, fingerprint(id))
            }
        }
    }

    fn size(&self, members: &Map<String, Value>, counted: GzipSize, id: &str) -> u64 {
        let content = self.content(members, id);
        if self.is_gzip && counted == GzipSize::Stored {
            content.squeezed_length()
        } else {
            content.length()
        }
    }
}

/// An IDS document with its data cubes, which the index does not hold.
fn with_cubes(data: &str, points: u64, seed: u64) -> Content {
    let open = data.strip_suffix('}').filter(|_| points > 0);
    let Some(open) = open else {
        return Content::bytes(data.to_owned());
    };
    let comma = if open.ends_with('{') { "" } else { "," };
    let head = format!(
        r#"{open}{comma}"datacubes":[{{"index":0,"name":"signal","measures":[{{"name":"absorbance","unit":"AU","value":["#
    );
    Content::bytes(head)
        .then_numbers(seed, points)
        .then_bytes(r#"]}],"dimensions":[{"name":"wavelength","unit":"Nanometer","scale":["#)
        .then_numbers(seed ^ 1, points)
        .then_bytes("]}]}]}")
}

/// A number that a text decides.
pub(super) fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(7, |sum, byte| scramble(sum ^ u64::from(byte)))
}

fn milliseconds(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}
