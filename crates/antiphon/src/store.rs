//! Where everything is kept: one interface over a folder, S3 and GCS.
//!
//! ```text
//! pipelines/<name>/state/00000007.json     a version of the state, written once, never changed
//! pipelines/<name>/state/newest.json       a hint: the number of the newest version
//! pipelines/<name>/lock/00000012.json      a lease; its number is the fence of its holder
//! pipelines/<name>/runs/<run>/summary.json log.txt rejects.jsonl
//! pipelines/<name>/index.json              the last runs in brief, the last good one
//! pipelines/<name>/live.json               what is running now
//! pipelines/<name>/alarms.json             which alarms stand, and who was told
//! ```
//!
//! The only things that the rest relies on: an object that was put is there whole or not at all, a
//! put of a new object fails if there is one, and listing shows what was put. No lock, no
//! conditional update, no rename.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use singer_core::Result;

use crate::spec::StoreSpec;
use fault::Doing;

mod fault;
mod folder;
mod remote;

/// Files beyond this go up in parts.
const PART_SIZE: usize = 8 * 1024 * 1024;

/// The store of a project; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// Its puts are durable when they return.
    objects: Arc<dyn ObjectStore>,
    /// The same objects; its puts may be lost with the machine, and cost less.
    hints: Arc<dyn ObjectStore>,
    /// Puts everything under this prefix.
    root: object_store::path::Path,
    /// What it is, for people; without secrets.
    place: Arc<Place>,
}

/// What people call a store.
#[derive(Debug)]
enum Place {
    Folder(std::path::PathBuf),
    Remote {
        /// As the project has it.
        url: String,
        bucket: String,
        /// Whose credentials are used.
        user: String,
    },
}

/// Whether a new object was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Put {
    Created,
    /// There is one already; it is unchanged.
    Exists,
}

/// An object and when the store (by its own clock) took it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) modified: DateTime<Utc>,
}

/// An object as it arrives.
pub(crate) type Pieces = futures_util::stream::BoxStream<'static, Result<Bytes>>;

/// A line of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The whole key.
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified: DateTime<Utc>,
}

impl Store {
    /// Opens the store; a folder is made if it is not there. Nothing is asked of a remote one yet.
    ///
    /// # Errors
    /// Of kind `Config`: what cannot be opened and why.
    pub(crate) async fn open(spec: &StoreSpec) -> Result<Self> {
        if remote::is_remote(&spec.url) {
            remote::open(spec).await
        } else {
            folder::open(Path::new(&spec.url))
        }
    }

    /// The folder, if the store is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &*self.place {
            Place::Folder(folder) => Some(folder),
            Place::Remote { .. } => None,
        }
    }

    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// Of all methods: `Transient` if the store is out of reach, `Auth` or `Config` if it refuses us (or is
    /// read-only), `Internal` for a full disk. They name the key and the store.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>> {
        let fault = |error| self.place.fault(Doing::Read, key, error);
        let found = match self.objects.get(&self.path(key)?).await {
            Ok(found) => found,
            Err(error) if self.place.is_absence(&error) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let modified = found.meta.last_modified;
        let bytes = found.bytes().await.map_err(fault)?;
        Ok(Some(Object { bytes, modified }))
    }

    /// Reads an object in pieces, for those that may be large (logs, rejects); `None` if there is none.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Pieces>> {
        let found = match self.objects.get(&self.path(key)?).await {
            Ok(found) => found,
            Err(error) if self.place.is_absence(&error) => return Ok(None),
            Err(error) => return Err(self.place.fault(Doing::Read, key, error)),
        };
        let (place, key) = (Arc::clone(&self.place), key.to_owned());
        let pieces = found
            .into_stream()
            .map_err(move |error| place.fault(Doing::Read, &key, error));
        Ok(Some(pieces.boxed()))
    }

    /// Whether there is an object.
    #[cfg(test)]
    pub(crate) async fn has(&self, key: &str) -> Result<bool> {
        match self.objects.head(&self.path(key)?).await {
            Ok(_) => Ok(true),
            Err(error) if self.place.is_absence(&error) => Ok(false),
            Err(error) => Err(self.place.fault(Doing::Read, key, error)),
        }
    }

    /// Puts an object that must not be there yet; durable once it returns.
    ///
    /// If the answer of a remote store was lost, `Exists` may speak of the very object that was put:
    /// compare what is there.
    pub(crate) async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put> {
        self.make_folder(key)?;
        self.create(&*self.objects, key, bytes).await
    }

    /// As [`Store::put_new`], but the object may be lost with the machine.
    pub(crate) async fn put_new_hint(&self, key: &str, bytes: Bytes) -> Result<Put> {
        self.make_folder(key)?;
        self.create(&*self.hints, key, bytes).await
    }

    /// Puts an object in the place of whatever is there; durable once it returns.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.make_folder(key)?;
        let put = self.objects.put(&self.path(key)?, bytes.into()).await;
        put.map(drop)
            .map_err(|error| self.place.fault(Doing::Write, key, error))
    }

    /// Puts an object that may be lost with the machine: a hint, progress.
    pub(crate) async fn put_hint(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.make_folder(key)?;
        let put = self.hints.put(&self.path(key)?, bytes.into()).await;
        put.map(drop)
            .map_err(|error| self.place.fault(Doing::Write, key, error))
    }

    /// Puts a file, in parts if it is large.
    pub(crate) async fn put_file(&self, key: &str, file: &Path) -> Result<()> {
        let unreadable = |error: std::io::Error| {
            singer_core::Error::internal(format!("cannot read `{}`", file.display()))
                .with_source(error)
        };
        let mut source = tokio::fs::File::open(file).await.map_err(unreadable)?;
        self.make_folder(key)?;
        let objects = Arc::clone(&self.objects);
        let mut sink = BufWriter::with_capacity(objects, self.path(key)?, PART_SIZE);
        let mut buffer = bytes::BytesMut::new();
        loop {
            buffer.reserve(256 * 1024);
            let read = tokio::io::AsyncReadExt::read_buf(&mut source, &mut buffer).await;
            if read.map_err(unreadable)? == 0 {
                break;
            }
            let written = sink.put(buffer.split().freeze()).await;
            if let Err(error) = written {
                // What was sent of a large file would stay, and be paid for.
                let _aborted = sink.abort().await;
                return Err(self.place.fault(Doing::Write, key, error));
            }
        }
        let ended = tokio::io::AsyncWriteExt::shutdown(&mut sink).await;
        ended.map_err(|error| self.place.fault(Doing::Write, key, fault::from_io(error)))
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        match self.objects.delete(&self.path(key)?).await {
            Ok(()) => Ok(()),
            Err(error) if self.place.is_absence(&error) => Ok(()),
            Err(error) => Err(self.place.fault(Doing::Remove, key, error)),
        }
    }

    /// Lists what lies under a prefix that ends with `/`, sorted by key.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let path = self.path(prefix)?;
        let mut listed = Vec::new();
        let mut stream = self.objects.list(Some(&path));
        while let Some(item) = stream.next().await {
            match item {
                Ok(meta) => listed.push(Listed {
                    key: self.key(&meta.location),
                    size: meta.size,
                    modified: meta.last_modified,
                }),
                // A folder that is not there holds nothing, and what went while it was listed is gone.
                Err(error) if self.place.is_absence(&error) => {}
                Err(error) => return Err(self.place.fault(Doing::List, prefix, error)),
            }
        }
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// The names of the folders right under a prefix that ends with `/`, sorted.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = match self
            .objects
            .list_with_delimiter(Some(&self.path(prefix)?))
            .await
        {
            Ok(listed) => listed,
            Err(error) if self.place.is_absence(&error) => return Ok(Vec::new()),
            Err(error) => return Err(self.place.fault(Doing::List, prefix, error)),
        };
        let mut names: Vec<String> = listed
            .common_prefixes
            .iter()
            .filter_map(|folder| folder.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Removes what crashes have left half-written right under a prefix that ends with `/`, if it is older
    /// than `age`. Remote stores leave nothing that can be seen.
    pub(crate) fn sweep(&self, prefix: &str, age: std::time::Duration) {
        if let Some(folder) = self.folder() {
            folder::sweep(&folder.join(prefix), age);
        }
    }

    /// Proves with two puts that a put of a new object fails if there is one: a remote store that only
    /// speaks like S3 may ignore the condition, and no lock would hold.
    pub(crate) async fn prove_put_new(&self, key: &str) -> Result<()> {
        if self.folder().is_some() {
            return Ok(());
        }
        let first = self.put_new(key, Bytes::from_static(b"1")).await?;
        let second = self.put_new(key, Bytes::from_static(b"2")).await?;
        self.delete(key).await?;
        if (first, second) == (Put::Created, Put::Created) {
            return Err(singer_core::Error::config(format!(
                "the store {} puts an object where there is one already, though it was told not to",
                self.place
            ))
            .with_hint("it must know `If-None-Match: *` on PutObject; use a newer release of its service, S3 itself, or a folder"));
        }
        Ok(())
    }

    async fn create(&self, objects: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<Put> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes);
        match objects.put_opts(&self.path(key)?, payload, options).await {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(error) => Err(self.place.fault(Doing::Write, key, error)),
        }
    }

    /// Makes the folder of an object, with its rights, and with its entry on the disk: a durable object that
    /// comes later must not lie in a folder that is not.
    fn make_folder(&self, key: &str) -> Result<()> {
        let Some(folder) = self.folder() else {
            return Ok(());
        };
        folder::make_parent(folder, key)
            .map_err(|error| self.place.fault(Doing::Write, key, fault::from_io(error)))
    }

    fn path(&self, key: &str) -> Result<object_store::path::Path> {
        let relative = object_store::path::Path::parse(key).map_err(|error| {
            singer_core::Error::config(format!("`{key}` is no name in a store")).with_source(error)
        })?;
        Ok(self.root.parts().chain(relative.parts()).collect())
    }

    fn key(&self, path: &object_store::path::Path) -> String {
        let root = self.root.as_ref();
        let whole = path.as_ref();
        whole
            .strip_prefix(root)
            .unwrap_or(whole)
            .trim_start_matches('/')
            .to_owned()
    }

    /// A store over any objects, for tests.
    #[cfg(test)]
    pub(crate) fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            hints: Arc::clone(&objects),
            objects,
            root: object_store::path::Path::default(),
            place: Arc::new(Place::Remote {
                url: "test://store".to_owned(),
                bucket: "store".to_owned(),
                user: "a test".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
