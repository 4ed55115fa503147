//! What others leave of records that they refused. A file of a target of another maker is copied into the work folder of
//! the run, as far as it was written in this run; our own targets write there themselves. What our taps and mappers
//! reject is only counted: no target can be given it, and it lies where their own commands look for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rejects;
use crate::spec::{ConfigSource, Pipeline, Stage, find_program, is_ours};

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
        let Some(mut new) = self.new_part()? else {
            return Ok(());
        };
        let mut copy = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(work.join(rejects::FILE))?;
        io::copy(&mut new, &mut copy)?;
        Ok(())
    }

    /// How many lines came since.
    pub(super) fn count(&self) -> io::Result<u64> {
        self.new_part()?.map_or(Ok(0), lines)
    }

    /// What came since, if anything did.
    fn new_part(&self) -> io::Result<Option<impl Read + use<>>> {
        let Some(now) = mark(&self.path) else {
            return Ok(None);
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
            return Ok(None);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Some(file.take(now.length - from)))
    }
}

/// The rejects files of the taps and mappers of ours in a pipeline.
#[derive(Debug)]
pub(super) struct Upstream {
    files: Vec<(String, Refused)>,
}

impl Upstream {
    /// Notes where they end. `folder` is where the stages run.
    pub(super) fn watch(pipeline: &Pipeline, folder: &Path) -> Self {
        let stages = std::iter::once(&pipeline.tap).chain(&pipeline.maps);
        let files = stages.filter_map(|stage| {
            let path = folder.join(rejects_path(stage, folder)?);
            Some((stage.label.clone(), Refused::watch(&path)))
        });
        Self {
            files: files.collect(),
        }
    }

    /// How many lines came since, each file with a sentence for the person who looks for them.
    pub(super) fn count(&self, mut tell: impl FnMut(String)) -> u64 {
        let mut all = 0;
        for (label, file) in &self.files {
            let path = file.path.display();
            match file.count() {
                Ok(0) => {}
                Ok(count) => {
                    all += count;
                    tell(format!(
                        "`{label}` rejected {count}: they stand in `{path}`"
                    ));
                }
                Err(error) => tell(format!("cannot count the rejects in `{path}`: {error}")),
            }
        }
        all
    }
}

/// Where a program of ours writes its rejects: as its configs say, the last one first, else as it does by itself.
fn rejects_path(stage: &Stage, folder: &Path) -> Option<PathBuf> {
    let program = find_program(stage, folder)
        .ok()
        .filter(|path| is_ours(path))?;
    let of_config = |source: &ConfigSource| {
        let config = match source {
            ConfigSource::Environment => return None,
            ConfigSource::Inline(value) => serde_json::to_value(value).ok()?,
            ConfigSource::File(file) => {
                serde_json::from_slice::<Value>(&fs::read(folder.join(file)).ok()?).ok()?
            }
        };
        Some(PathBuf::from(config.get("rejects_path")?.as_str()?))
    };
    let name = program.file_name()?.to_str()?;
    let said = stage.config.iter().rev().find_map(of_config);
    Some(said.unwrap_or_else(|| PathBuf::from(format!("{name}.rejects.jsonl"))))
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
    match File::open(work.join(rejects::FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        opened => lines(opened?),
    }
}

/// The lines with something in them.
fn lines(mut file: impl Read) -> io::Result<u64> {
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
