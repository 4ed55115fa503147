//! Replaying a rejects file into itself: what is refused again goes into a new file beside it, which
//! takes its place once the whole old one was worked off. Until then the old one stays as it is, so
//! that a crash, a stop or a failure loses no reject.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};

use crate::rejects::Held;

/// A rejects file that is the input of the run which writes it.
#[derive(Debug)]
pub(crate) struct Replay {
    path: PathBuf,
    new: PathBuf,
    /// Its length at the start: what others add later is not read, and must not be lost.
    length: u64,
}

impl Replay {
    /// Finds out whether the input is the rejects file itself.
    ///
    /// # Errors
    /// If what an earlier replay left behind cannot be removed.
    pub(crate) fn begin(input: &Path, rejects: &Path) -> Result<Option<Self>> {
        let (Ok(from), Ok(to)) = (input.canonicalize(), rejects.canonicalize()) else {
            return Ok(None);
        };
        if from != to || !from.is_file() {
            return Ok(None);
        }
        let mut new = from.as_os_str().to_owned();
        new.push(".new");
        let replay = Self {
            length: fs::metadata(&from)
                .map_err(|error| failed(&from, error))?
                .len(),
            new: PathBuf::from(new),
            path: from,
        };
        replay.remove_new()?;
        Ok(Some(replay))
    }

    /// Where the rejects of this run go.
    pub(crate) fn rejects_path(&self) -> PathBuf {
        self.new.clone()
    }

    /// The part of the input that this run replays.
    pub(crate) fn limit<R: Read>(&self, input: R) -> io::Take<R> {
        input.take(self.length)
    }

    /// Puts what is still refused in the place of the old file. To be called once every line of the
    /// input is durable at the destination or in the new file.
    ///
    /// # Errors
    /// If the files cannot be changed; the old one is there still.
    pub(crate) fn finish(&self) -> Result<()> {
        self.try_finish().map_err(|error| failed(&self.path, error))
    }

    fn try_finish(&self) -> io::Result<()> {
        let mut old = File::open(&self.path)?;
        // Whoever adds lines waits until the name is that of the new file.
        let handle = old.try_clone()?;
        let _held = Held::new(&handle);
        if old.metadata()?.len() > self.length {
            let mut new = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.new)?;
            old.seek(SeekFrom::Start(self.length))?;
            io::copy(&mut old, &mut new)?;
            new.sync_all()?;
        }
        if self.new.exists() {
            fs::rename(&self.new, &self.path)?;
        } else {
            fs::remove_file(&self.path)?;
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    /// Leaves the old file as it is: the run ended before all of it was worked off.
    ///
    /// # Errors
    /// If the new file cannot be removed.
    pub(crate) fn abandon(&self) -> Result<()> {
        self.remove_new()
    }

    fn remove_new(&self) -> Result<()> {
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.new, error)),
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::internal(format!(
        "cannot renew the rejects file `{}`",
        path.display()
    ))
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::Folder;

    fn begin(folder: &Folder) -> Replay {
        let path = folder.path("r.jsonl");
        Replay::begin(&path, &folder.path("./r.jsonl"))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn what_is_still_refused_takes_the_files_place() {
        let folder = Folder::new("replay-some");
        fs::write(folder.path("r.jsonl"), "old\n").unwrap();
        let replay = begin(&folder);
        fs::write(replay.rejects_path(), "new\n").unwrap();
        replay.finish().unwrap();
        assert_eq!(fs::read_to_string(folder.path("r.jsonl")).unwrap(), "new\n");
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }

    #[test]
    fn nothing_refused_leaves_no_file() {
        let folder = Folder::new("replay-none");
        fs::write(folder.path("r.jsonl"), "old\n").unwrap();
        begin(&folder).finish().unwrap();
        assert!(!folder.path("r.jsonl").exists());
    }

    #[test]
    fn lines_that_others_add_meanwhile_are_kept_and_not_replayed() {
        let folder = Folder::new("replay-added");
        let path = folder.path("r.jsonl");
        fs::write(&path, "old\n").unwrap();
        let replay = begin(&folder);
        fs::write(&path, "old\nadded\n").unwrap();
        let mut text = String::new();
        replay
            .limit(File::open(&path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "old\n");
        replay.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "added\n");
    }

    #[test]
    fn a_run_that_ends_early_loses_nothing() {
        let folder = Folder::new("replay-early");
        let path = folder.path("r.jsonl");
        fs::write(&path, "old\n").unwrap();
        let replay = begin(&folder);
        fs::write(replay.rejects_path(), "half").unwrap();
        // Killed here: the next replay starts over.
        let replay = begin(&folder);
        assert!(!replay.rejects_path().exists());
        fs::write(replay.rejects_path(), "half").unwrap();
        replay.abandon().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\n");
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }

    #[test]
    fn another_file_is_no_replay_into_itself() {
        let folder = Folder::new("replay-other");
        fs::write(folder.path("a"), "").unwrap();
        fs::write(folder.path("b"), "").unwrap();
        for (input, rejects) in [("a", "b"), ("a", "c"), ("c", "a")] {
            let replay = Replay::begin(&folder.path(input), &folder.path(rejects)).unwrap();
            assert!(replay.is_none());
        }
    }
}
