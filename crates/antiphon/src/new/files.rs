//! Writes the files of a starter; nothing that is there is lost.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;
use singer_core::{Error, Result};

/// What happens to a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Overwrite,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    /// It was there and is as it was.
    Kept,
    /// It was there and has more at its end.
    Extended,
}

/// A text file's content, if it is there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Error::config(format!("cannot read `{}`", path.display())).with_source(error))
        }
    }
}

/// Writes a config, for this user's eyes only: a secret may be written into it some day.
pub(super) fn write_config(path: &Path, config: &Value, existing: Existing) -> Result<Outcome> {
    let text = format!("{config:#}\n");
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    match existing {
        Existing::Keep => options.create_new(true),
        Existing::Overwrite => options.create(true).truncate(true),
    };
    match options.open(path) {
        Ok(mut file) => {
            let written = file
                .write_all(text.as_bytes())
                .and_then(|()| file.sync_all());
            written.map_err(|error| cannot_write(path, error))?;
            Ok(Outcome::Written)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Outcome::Kept),
        Err(error) => Err(cannot_write(path, error)),
    }
}

/// Writes the project, or what it has more than before: a crash leaves either text, or the old one and
/// a part of the new pipeline, which is told as a fault of the file.
pub(super) fn write_project(path: &Path, before: Option<&str>, text: &str) -> Result<Outcome> {
    let (added, outcome) = match before {
        Some(before) => (text.strip_prefix(before).unwrap_or(text), Outcome::Extended),
        None => (text, Outcome::Written),
    };
    append(path, added)?;
    Ok(outcome)
}

/// Names a pattern in a `.gitignore` unless it stands there.
pub(super) fn ignore(path: &Path, pattern: &str) -> Result<Outcome> {
    let Some(before) = read_if_there(path)? else {
        append(path, &format!("{pattern}\n"))?;
        return Ok(Outcome::Written);
    };
    let plain = |line: &str| line.trim().trim_matches('/').to_owned();
    if before.lines().any(|line| plain(line) == plain(pattern)) {
        return Ok(Outcome::Kept);
    }
    let line_end = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    append(path, &format!("{line_end}{pattern}\n"))?;
    Ok(Outcome::Extended)
}

fn append(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| cannot_write(path, error))
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::config(format!("cannot write `{}`", path.display())).with_source(error)
}
