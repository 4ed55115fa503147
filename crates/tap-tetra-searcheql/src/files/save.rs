//! Content on its way to the disk: piece by piece beside the file's place, then under its name.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use ring::digest::{Context as Digest, SHA256};
use singer_core::Error;
use singer_net::Incoming;
use singer_runtime::blocking::blocking;

use super::{NOTE, Note, Plain, Saved, Target, hex, parts};
use crate::api::{Fault, no_answer};

/// What is being written. Names of files never begin with a dot.
const PART: &str = ".part";

/// Content goes to the disk in pieces of this size, and a smaller file in one go.
const WRITE_BYTES: usize = 256 << 10;

/// What saving came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The file is there.
    Saved(Saved),
    /// It has more bytes than are allowed.
    TooLarge,
}

/// A file that is being written.
#[derive(Debug)]
struct Draft {
    target: Target,
    /// Opened once there is something to write.
    file: Option<fs::File>,
    /// What came and is not written yet.
    waiting: Vec<u8>,
}

impl Target {
    /// Writes the content beside, then gives it its name. Nothing but one piece of it is in memory.
    ///
    /// # Errors
    /// Another attempt may help if the content breaks off; nothing does if the disk fails.
    pub(crate) async fn save(
        &self,
        what: &str,
        mut incoming: Incoming,
        most: u64,
    ) -> Result<Outcome, Fault> {
        let mut draft = Draft {
            target: self.clone(),
            file: None,
            waiting: Vec::new(),
        };
        let mut plain = Plain::new(self.facts.is_gzip);
        let mut digest = Digest::new(&SHA256);
        let mut size = 0_u64;
        loop {
            let piece = (incoming.chunk().await).map_err(|error| no_answer(what, error))?;
            for part in parts(piece.as_deref(), plain.step()) {
                let bytes = (plain.take(part)).map_err(|error| not_gzip(what, error))?;
                size += bytes.len() as u64;
                if size > most {
                    draft.on_disk(|draft| draft.give_up()).await?;
                    return Ok(Outcome::TooLarge);
                }
                digest.update(&bytes);
                draft.take(bytes);
                if draft.waiting.len() >= WRITE_BYTES {
                    draft = draft
                        .on_disk(|mut draft| draft.write().map(|()| draft))
                        .await?;
                }
            }
            if piece.is_none() {
                break;
            }
        }
        let saved = Saved {
            path: self.shown(),
            sha256: hex(digest.finish().as_ref()),
            size,
        };
        let saved = draft.on_disk(|draft| draft.finish(saved)).await?;
        Ok(Outcome::Saved(saved))
    }

    /// Without its note a file is only fetched again, so that a crash between the two does no harm.
    fn note(&self, saved: &Saved) -> io::Result<()> {
        let note = Note {
            file_id: self.file_id.clone(),
            version: self.facts.version.clone(),
            checksum: self.facts.checksum.clone(),
            size_there: self.facts.size,
            saved: saved.clone(),
        };
        let text = serde_json::to_vec(&note)?;
        let beside = self.path(PART);
        fs::File::create(&beside)?.write_all(&text)?;
        fs::rename(beside, self.path(NOTE))
    }

    fn fault(&self, error: io::Error) -> Error {
        Error::internal(format!(
            "cannot save a file below `{}`",
            self.root.display()
        ))
        .with_source(error)
    }
}

impl Draft {
    /// Does what waits for the disk where it keeps no other file waiting.
    async fn on_disk<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let target = self.target.clone();
        blocking(move || work(self).map_err(|error| target.fault(error)))
            .await
            .map_err(Fault::Fail)
    }

    fn take(&mut self, bytes: Cow<'_, [u8]>) {
        match bytes {
            // What was unzipped may be much, and is not copied.
            Cow::Owned(bytes) if self.waiting.is_empty() => self.waiting = bytes,
            bytes => self.waiting.extend_from_slice(&bytes),
        }
    }

    /// Writes what waits.
    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                make_folder(&self.target.place())?;
                empty.insert(fs::File::create(self.target.path(PART))?)
            }
        };
        file.write_all(&self.waiting)?;
        // Room for what was unzipped may be much, and is not kept.
        self.waiting = Vec::new();
        Ok(())
    }

    /// Writes the rest and gives the file its name.
    fn finish(mut self, saved: Saved) -> io::Result<Saved> {
        self.write()?;
        let target = self.target;
        if let Some(file) = self.file {
            file.sync_all()?;
        }
        // What it says is no longer so.
        match fs::remove_file(target.path(NOTE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(target.path(PART), target.path(&target.name))?;
        // A STATE may cover the file from now on, so that its name must survive a crash as well.
        fs::File::open(target.place())?.sync_all()?;
        target.note(&saved)?;
        Ok(saved)
    }

    fn give_up(self) -> io::Result<()> {
        // It may also be left from an attempt before, or from a run that died.
        match fs::remove_file(self.target.path(PART)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Makes a folder and those above it. Their names must survive a crash as well, so that the folders in which they
/// stand are synced.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::create_dir(folder) {
        Ok(()) => fs::File::open(parent)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(parent)?;
            make_folder(folder)
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn not_gzip(what: &str, error: io::Error) -> Fault {
    Fault::Fail(
        Error::rejected(format!(
            "{what}: its content is said to be gzip and cannot be unzipped"
        ))
        .with_source(error),
    )
}
