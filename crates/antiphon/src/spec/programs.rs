//! From what a stage is called to the program that is run, and the files that it will read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::error::Category;
use serde_json::value::RawValue;
use singer_core::nearest::nearest;
use singer_core::{Error, Result};

use super::{ConfigSource, Pipeline, Role, Stage};

/// The binaries of this workspace that can be a stage.
const OURS: [&str; 9] = [
    "tap-redshift",
    "tap-datastore",
    "tap-crm",
    "tap-tetra-searcheql",
    "map-records",
    "target-pendo",
    "target-analytics",
    "target-bigquery",
    "target-crm-bulkwrite",
];

/// How ELF and Mach-O files begin: both orders of bytes, 32 and 64 bits, and several in one.
const MAGIC: [[u8; 4]; 6] = [
    *b"\x7fELF",
    [0xfe, 0xed, 0xfa, 0xce],
    [0xfe, 0xed, 0xfa, 0xcf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xcf, 0xfa, 0xed, 0xfe],
    [0xca, 0xfe, 0xba, 0xbe],
];

/// Finds the program of a stage: a path counts from `folder`, a name is looked up in `PATH` and then
/// beside this program itself.
///
/// # Errors
/// Of kind `Config`: which stage, what was looked for and where.
pub(crate) fn find_program(stage: &Stage, folder: &Path) -> Result<PathBuf> {
    let path = search_path();
    find_among(stage, folder, &path)
}

/// Whether a program is one of this workspace: it bears one of our names and is a native binary.
pub(crate) fn is_ours(program: &Path) -> bool {
    let is_named = program
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| OURS.contains(&name));
    if !is_named {
        return false;
    }
    let mut magic = [0; 4];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && MAGIC.contains(&magic)
}

impl Pipeline {
    /// Finds the program of a stage and looks whether the files that it will be given are there and are
    /// JSON. Done before a run and not when the file is read: one broken pipeline does not stop the
    /// others.
    ///
    /// # Errors
    /// Of kind `Config`: the stage, the path, what is wrong with it.
    pub(crate) fn check_stage(&self, stage: &Stage, folder: &Path) -> Result<PathBuf> {
        let program = find_program(stage, folder)?;
        if let Some(catalog) = self.catalog.as_ref().filter(|_| stage.role == Role::Tap) {
            check_json(&stage.label, Content::Catalog, catalog)?;
        }
        for source in &stage.config {
            if let ConfigSource::File(file) = source {
                check_json(&stage.label, Content::Config, file)?;
            }
        }
        Ok(program)
    }
}

/// Where names are looked up: `PATH`, then the folder of this very program.
#[expect(
    clippy::disallowed_methods,
    reason = "`PATH` is the shell's own convention and no setting"
)]
fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(Path::to_owned));
    folders.extend(beside);
    folders
}

/// What stands at a path where a program is wanted.
enum Candidate {
    Program,
    Absent,
    Unfit(&'static str),
}

fn look_at(path: &Path) -> Candidate {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Candidate::Unfit("is a folder"),
        Ok(metadata) if !metadata.is_file() => Candidate::Unfit("is no file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Candidate::Unfit("is not executable")
        }
        Ok(_) => Candidate::Program,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Candidate::Unfit("lies in a folder that this user may not enter")
        }
        Err(_) => Candidate::Absent,
    }
}

fn find_among(stage: &Stage, folder: &Path, path: &[PathBuf]) -> Result<PathBuf> {
    let Stage { label, exec, .. } = stage;
    if exec.contains('/') {
        let program = folder.join(exec);
        return match look_at(&program) {
            Candidate::Program => Ok(program),
            Candidate::Absent => Err(hinted(
                Error::config(format!(
                    "the program of stage `{label}` is not there: `{}`",
                    program.display()
                )),
                exec,
            )),
            Candidate::Unfit(what) => Err(unfit(label, &program, what)),
        };
    }
    let mut found_unfit = None;
    for place in path {
        // An empty part of `PATH` is the working folder, which is the project's for every stage.
        let program = folder.join(place).join(exec);
        match look_at(&program) {
            Candidate::Program => return Ok(program),
            Candidate::Unfit(what) => {
                found_unfit.get_or_insert((program, what));
            }
            Candidate::Absent => {}
        }
    }
    if let Some((program, what)) = found_unfit {
        return Err(unfit(label, &program, what));
    }
    Err(hinted(
        Error::config(format!(
            "the program of stage `{label}` is not there: no `{exec}` in `PATH` nor beside `antiphon`"
        )),
        exec,
    ))
}

fn unfit(label: &str, program: &Path, what: &str) -> Error {
    let error = Error::config(format!(
        "the program of stage `{label}` cannot be run: `{}` {what}",
        program.display()
    ));
    if what == "is not executable" {
        return error.with_hint(format!("chmod +x {}", program.display()));
    }
    error
}

/// What to do about a program that is not there.
fn hinted(error: Error, exec: &str) -> Error {
    if exec.starts_with("~/") || exec.contains('$') {
        return error.with_hint("`~` and variables mean nothing in `exec`: write the whole path");
    }
    if let Some((program, _)) = exec.split_once(' ') {
        return error.with_hint(format!(
            "arguments stand in `args`: {{ exec = \"{program}\", args = [\"…\"] }}"
        ));
    }
    let name = exec.rsplit('/').next().unwrap_or(exec);
    match nearest(name, OURS.into_iter()) {
        Some(near) if near != name => error.with_hint(format!("did you mean `{near}`?")),
        _ => error.with_hint("install it, or write its whole path in `exec`"),
    }
}

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Catalog,
    Config,
}

fn check_json(label: &str, content: Content, path: &Path) -> Result<()> {
    let what = match content {
        Content::Catalog => "catalog",
        Content::Config => "config",
    };
    let subject = format!(
        "cannot read the {what} of stage `{label}`: `{}`",
        path.display()
    );
    let bytes = fs::read(path).map_err(|error| {
        let hint = if content == Content::Catalog && error.kind() == ErrorKind::NotFound {
            "a tap writes one with `--discover`; `antiphon select` marks what is wanted"
        } else {
            "a relative path counts from the folder of `antiphon.toml`"
        };
        Error::config(&*subject).with_source(error).with_hint(hint)
    })?;
    // The error's own text may quote a value.
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            Category::Data => Error::config(format!("{subject} holds no object")),
            Category::Eof => Error::config(format!("{subject} ends too early")),
            Category::Io | Category::Syntax => Error::config(format!(
                "{subject} line {}, column {} is no JSON",
                error.line(),
                error.column()
            )),
        })?;
    let is_list = |value: &&RawValue| value.get().starts_with('[');
    if content == Content::Catalog && !members.get("streams").is_some_and(is_list) {
        return Err(Error::config(format!("{subject} has no list `streams`")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
