//! Closes rejects: moves lines from the open file of a run to the file of what became of them. What is moved
//! is stored there before it leaves the open file: a crash between leaves it in both.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use singer_core::{Error, Result};

use super::FILE;
use super::lines::{Filter, Lines};
use crate::history::{keys, started_at};
use crate::session::Session;

/// What was done with the open rejects of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) moved: u64,
    pub(super) open: u64,
}

/// Moves the lines that a filter takes from the open rejects of a run to another of its files. `scratch` is a
/// folder of the caller's own.
pub(super) async fn settle(
    session: &Session,
    pipeline: &str,
    run: &str,
    filter: &Filter,
    name: &str,
    scratch: &Path,
) -> Result<Settled> {
    let mut settled = Settled::default();
    let Some(mut lines) = Lines::open(session, pipeline, run, FILE).await? else {
        return Ok(settled);
    };
    let (moved_path, open_path) = (scratch.join("moved"), scratch.join("open"));
    let mut moved = Out::create(&moved_path)?;
    let mut open = Out::create(&open_path)?;
    if let Some(mut before) = Lines::open(session, pipeline, run, name).await? {
        while let Some(line) = before.next().await? {
            moved.write(&line)?;
        }
    }
    let run_at = started_at(run);
    while let Some(line) = lines.next().await? {
        if filter.takes(&line, run_at) {
            moved.write(&line)?;
            settled.moved += 1;
        } else {
            open.write(&line)?;
            settled.open += 1;
        }
    }
    moved.finish()?;
    open.finish()?;
    if settled.moved == 0 && settled.open > 0 {
        return Ok(settled);
    }
    let key = |name| keys::of_run(pipeline, run, name);
    session.store.put_file(&key(name), &moved_path).await?;
    if settled.open == 0 {
        session.store.delete(&key(FILE)).await?;
    } else {
        session.store.put_file(&key(FILE), &open_path).await?;
    }
    Ok(settled)
}

/// A file of lines.
#[derive(Debug)]
pub(super) struct Out<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Out<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| failed(path, error))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    pub(super) fn write(&mut self, line: &[u8]) -> Result<()> {
        self.file
            .write_all(line)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|error| failed(self.path, error))
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|error| failed(self.path, error))
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("cannot write `{}`", path.display()))
        .with_source(error)
        .with_hint("`work` in `[store]` says where runs keep their files on this machine")
}
