//! What a target of another maker leaves of the records that it refused: copied into the work folder
//! of the run, as far as it was written in this run. Our own targets write there themselves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::rejects;

/// A foreign target's file, as it was before the run.
#[derive(Debug)]
pub(super) struct Refused {
    path: PathBuf,
    before: Option<Mark>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
}

impl Refused {
    /// Notes where the file ends.
    pub(super) fn watch(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            before: mark(path),
        }
    }

    /// Copies what came since; a file that was replaced or cut is new as a whole.
    pub(super) fn collect(&self, work: &Path) -> io::Result<()> {
        let Some(now) = mark(&self.path) else {
            return Ok(());
        };
        let from = match &self.before {
            Some(before)
                if (before.device, before.inode) == (now.device, now.inode)
                    && before.length <= now.length =>
            {
                before.length
            }
            _ => 0,
        };
        if from == now.length {
            return Ok(());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut copy = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(work.join(rejects::FILE))?;
        io::copy(&mut file.take(now.length - from), &mut copy)?;
        Ok(())
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Mark {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
    })
}

/// How many records a run's work folder holds as rejected.
pub(super) fn count(work: &Path) -> io::Result<u64> {
    let mut file = match File::open(work.join(rejects::FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut piece = vec![0_u8; 64 << 10];
    let (mut lines, mut has_text) = (0, false);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(lines + u64::from(has_text));
        }
        for byte in &piece[..length] {
            match byte {
                b'\n' => {
                    lines += u64::from(has_text);
                    has_text = false;
                }
                b' ' | b'\r' | b'\t' => {}
                _ => has_text = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use singer_test::folder::Folder;

    use super::*;

    #[test]
    fn only_what_this_run_appended_is_copied() {
        let folder = Folder::new();
        let work = folder.file("work");
        fs::create_dir(&work).unwrap();
        let path = folder.write("refused.jsonl", "{\"old\":1}\n");
        let refused = Refused::watch(&path);
        refused.collect(&work).unwrap();
        assert_eq!(count(&work).unwrap(), 0);
        folder.write("refused.jsonl", "{\"old\":1}\n{\"new\":2}\n\n{\"new\":3}");
        refused.collect(&work).unwrap();
        assert_eq!(count(&work).unwrap(), 2);
        assert!(!folder.read("work/rejects.jsonl").contains("old"));
    }

    #[test]
    fn a_file_that_is_new_or_was_cut_counts_as_a_whole() {
        let folder = Folder::new();
        let work = folder.file("work");
        fs::create_dir(&work).unwrap();
        let path = folder.file("refused.jsonl");
        let refused = Refused::watch(&path);
        refused.collect(&work).unwrap();
        folder.write("refused.jsonl", "{}\n{}\n");
        refused.collect(&work).unwrap();
        assert_eq!(count(&work).unwrap(), 2);
        let refused = Refused::watch(&path);
        folder.write("refused.jsonl", "{}\n");
        refused.collect(&work).unwrap();
        assert_eq!(count(&work).unwrap(), 3);
    }
}
