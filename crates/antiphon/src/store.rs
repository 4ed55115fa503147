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
use object_store::ObjectStore;
use singer_core::Result;

use crate::spec::StoreSpec;

/// The store of a project; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Puts everything under this prefix.
    root: object_store::path::Path,
    /// The folder, if it is one.
    folder: Option<std::path::PathBuf>,
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
        let _ = spec;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// The folder, if the store is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// Of all methods: `Transient` if the store is out of reach, `Auth` or `Config` if it refuses us (or is
    /// read-only), `Internal` for a full disk. They name the key and the store.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>> {
        let _ = (key, &self.objects, &self.root);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Reads an object in pieces, for those that may be large (logs, rejects); `None` if there is none.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Pieces>> {
        let _ = key;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Puts an object that must not be there yet; durable once it returns.
    pub(crate) async fn put_new(&self, key: &str, bytes: Bytes) -> Result<Put> {
        let _ = (key, bytes);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Puts an object in the place of whatever is there; durable once it returns.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let _ = (key, bytes);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Puts an object that may be lost with the machine: a hint, progress.
    pub(crate) async fn put_hint(&self, key: &str, bytes: Bytes) -> Result<()> {
        let _ = (key, bytes);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Puts a file, in parts if it is large.
    pub(crate) async fn put_file(&self, key: &str, file: &Path) -> Result<()> {
        let _ = (key, file);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let _ = key;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Lists what lies under a prefix that ends with `/`, sorted by key.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let _ = prefix;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// The names of the folders right under a prefix that ends with `/`, sorted.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let _ = prefix;
        Err(singer_core::Error::internal("not there yet"))
    }
}
