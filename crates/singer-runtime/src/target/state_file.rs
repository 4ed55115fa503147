//! The `--state-file`: each STATE written beside it, synced and renamed, older versions kept.
//!
//! At no moment is there no whole state under the file's own name, once there was one: the new
//! version is complete on disk before it takes the name, and the old one is linked to `.1` before it
//! loses it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};

/// How many older versions stay.
const VERSIONS: u32 = 10;

/// A file that holds the newest STATE.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The state file at `path`, which need not exist.
    ///
    /// # Errors
    /// Of kind `Config` if its folder does not exist or cannot be written, or if what has the name
    /// is no file: a device must not be replaced by one.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        let is_other = |found: fs::Metadata| !found.is_file();
        if fs::metadata(&path).is_ok_and(is_other) {
            return Err(Error::config(format!(
                "the state file `{}` is a folder or a device",
                path.display()
            )));
        }
        let folder = folder_of(&path);
        if !folder.is_dir() {
            return Err(Error::config(format!(
                "the folder of the state file `{}` does not exist",
                path.display()
            )));
        }
        let file = Self { path };
        file.try_folder().map_err(|error| {
            Error::config(format!(
                "the state file `{}` cannot be written",
                file.path.display()
            ))
            .with_source(error)
        })?;
        Ok(file)
    }

    /// The state that stands in the file, its last whole line; empty if there is none.
    pub(crate) fn stored(&self) -> String {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut lines = text.lines().rev().map(str::trim);
        lines
            .find(|line| !line.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// Proves that a state can be stored, so that a run does not find out behind its first batch.
    fn try_folder(&self) -> io::Result<()> {
        let new = self.beside("new");
        File::create(&new)?;
        fs::remove_file(&new)
    }

    /// Stores a STATE value; when it returns, the value is on disk.
    ///
    /// # Errors
    /// Of kind `Internal`; the version that was there before is there still.
    pub(crate) fn store(&self, value: &str) -> Result<()> {
        self.try_store(value).map_err(|error| {
            Error::internal(format!(
                "cannot write the state file `{}`",
                self.path.display()
            ))
            .with_source(error)
        })
    }

    fn try_store(&self, value: &str) -> io::Result<()> {
        let new = self.beside("new");
        let mut file = File::create(&new)?;
        file.write_all(value.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        drop(file);
        self.keep_old()?;
        fs::rename(&new, &self.path)?;
        File::open(folder_of(&self.path))?.sync_all()
    }

    /// Moves the older versions on by one and gives the present one the name `.1` beside its own.
    fn keep_old(&self) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        for version in (1..VERSIONS).rev() {
            let old = self.beside(&version.to_string());
            match fs::rename(&old, self.beside(&(version + 1).to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let first = self.beside("1");
        // Some file systems have no links; a copy that is cut short is only an older version.
        fs::hard_link(&self.path, &first).or_else(|_| fs::copy(&self.path, &first).map(drop))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::Folder;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn the_newest_state_has_the_name_and_ten_older_ones_stay() {
        let folder = Folder::new("versions");
        let path = folder.path("state.json");
        let file = StateFile::new(path.clone()).unwrap();
        for version in 0..15 {
            file.store(&format!("{{\"n\":{version}}}")).unwrap();
        }
        assert_eq!(read(&path), "{\"n\":14}\n");
        for version in 1..=10 {
            let old = folder.path(&format!("state.json.{version}"));
            assert_eq!(read(&old), format!("{{\"n\":{}}}\n", 14 - version));
        }
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 11);
    }

    #[test]
    fn what_a_crash_left_behind_does_no_harm() {
        let folder = Folder::new("crash");
        let path = folder.path("state.json");
        let file = StateFile::new(path.clone()).unwrap();
        file.store("{\"n\":1}").unwrap();
        // Died while it wrote: a torn file beside it. Died after the link: both names, one file.
        fs::write(folder.path("state.json.new"), "{\"n\":").unwrap();
        fs::hard_link(&path, folder.path("state.json.1")).unwrap();
        file.store("{\"n\":2}").unwrap();
        assert_eq!(read(&path), "{\"n\":2}\n");
        assert_eq!(read(&folder.path("state.json.1")), "{\"n\":1}\n");
        // The next run takes the torn file away, and nothing else.
        fs::write(folder.path("state.json.new"), "{\"n\":").unwrap();
        StateFile::new(path.clone()).unwrap();
        assert_eq!(read(&path), "{\"n\":2}\n");
        assert!(!folder.path("state.json.new").exists());
        // Died after the older versions had moved on: a gap.
        fs::rename(folder.path("state.json.1"), folder.path("state.json.2")).unwrap();
        file.store("{\"n\":3}").unwrap();
        assert_eq!(read(&folder.path("state.json.1")), "{\"n\":2}\n");
        assert_eq!(read(&folder.path("state.json.3")), "{\"n\":1}\n");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_found_at_the_start() {
        let folder = Folder::new("wrong");
        fs::create_dir(folder.path("blocked.json.new")).unwrap();
        for path in [
            folder.path("no/state.json"),
            folder.path(""),
            folder.path("blocked.json"),
            PathBuf::from("/dev/null"),
        ] {
            let error = StateFile::new(path).unwrap_err();
            assert_eq!(error.kind(), singer_core::Kind::Config);
        }
    }

    #[test]
    fn a_state_that_cannot_be_written_leaves_the_old_one() {
        let folder = Folder::new("full");
        let path = folder.path("state.json");
        let file = StateFile::new(path.clone()).unwrap();
        file.store("{\"n\":1}").unwrap();
        fs::create_dir(folder.path("state.json.new")).unwrap();
        assert!(file.store("{\"n\":2}").is_err());
        assert_eq!(read(&path), "{\"n\":1}\n");
    }
}
