//! The files of ids of one stream: the bookmark names one of them by its generation, and the next run writes the one behind.

use std::fs::{self, File};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use singer_core::{Error, Result};

/// The part of a bookmark that names the file.
const DELETIONS: &str = "deletions";

/// What the name of a file of emitted ids ends with.
const EMITTED: &str = ".emitted";

/// The files of one stream in a folder of the user's.
#[derive(Debug, Clone)]
pub struct Generations {
    folder: PathBuf,
    name: String,
    /// The one that the state names; 0 for none.
    generation: u64,
    /// The one that this run writes.
    next: u64,
}

impl Generations {
    /// The files whose names begin with this one, as a bookmark names them. What a file name cannot have is replaced,
    /// so that names that are to be kept apart differ in a letter, a digit, `_` or `-`.
    pub fn new(folder: &Path, name: &str, bookmark: &Map<String, Value>) -> Self {
        let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        let letters = name.chars();
        let generation = generation(bookmark).unwrap_or(0);
        Self {
            folder: folder.to_owned(),
            name: letters
                .map(|letter| if is_plain(letter) { letter } else { '-' })
                .collect(),
            generation,
            next: generation + 1,
        }
    }

    /// Whether an earlier run has written a file that the bookmark names.
    pub fn is_known(bookmark: &Map<String, Value>) -> bool {
        bookmark.contains_key(DELETIONS)
    }

    /// The name and the value that a bookmark has once the file of this run counts.
    pub fn entry(&self) -> (&'static str, Value) {
        (DELETIONS, json!({"generation": self.next}))
    }

    /// The name of the part of bookmarks that is kept here.
    pub const fn key() -> &'static str {
        DELETIONS
    }

    /// The file that this run writes.
    pub fn next(&self) -> PathBuf {
        self.path(self.next)
    }

    /// The ids of what was emitted since the file was written that the state names.
    pub fn emitted(&self) -> PathBuf {
        let name = format!("{}.{}{EMITTED}", self.name, self.generation);
        self.folder.join(name)
    }

    /// The file that the state names; nothing, with a warning, if it is not there.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be opened.
    pub fn open(&self, stream: &str) -> Result<Option<File>> {
        if self.generation == 0 {
            return Ok(None);
        }
        match File::open(self.path(self.generation)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(
                    stream,
                    folder = %self.folder.display(),
                    "the ids of the last run are not there: what was deleted since is not found"
                );
                Ok(None)
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Makes the folder, and removes the files of all other generations: the older ones are superseded, and no
    /// state names the newer. A run that begins without a state removes none: it may fail, and the state that is
    /// kept elsewhere still names one of them.
    ///
    /// # Errors
    /// Of kind `Internal` if the folder cannot be used.
    pub fn tidy(mut self) -> Result<Self> {
        fs::create_dir_all(&self.folder).map_err(|error| self.fault(error))?;
        for entry in fs::read_dir(&self.folder).map_err(|error| self.fault(error))? {
            let entry = entry.map_err(|error| self.fault(error))?;
            let name = entry.file_name();
            let generation = name
                .to_str()
                .and_then(|name| name.strip_prefix(&self.name)?.strip_prefix('.'))
                .map(|name| name.strip_suffix(EMITTED).unwrap_or(name).parse::<u64>());
            let is_old = match generation {
                None => false,
                Some(Ok(generation)) if self.generation == 0 => {
                    self.next = self.next.max(generation.saturating_add(1));
                    false
                }
                Some(Ok(generation)) => generation != self.generation,
                Some(Err(_)) => true,
            };
            if is_old {
                fs::remove_file(entry.path()).map_err(|error| self.fault(error))?;
            }
        }
        Ok(self)
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("{}.{generation}", self.name))
    }

    fn fault(&self, error: IoError) -> Error {
        Error::internal(format!(
            "cannot use the folder `{}` of `deletions_path`",
            self.folder.display()
        ))
        .with_source(error)
    }
}

fn generation(bookmark: &Map<String, Value>) -> Option<u64> {
    bookmark.get(DELETIONS)?.get("generation")?.as_u64()
}
