//! A folder as the store: durable puts, folders whose entries are durable too, leftovers of crashes.
//!
//! Rejects hold rows and logs hold what stages say, so that a folder that is made here is its user's alone. One
//! that a person has made for several users keeps its rights; what is made inside of it is open to its group
//! as the umask says, never to all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use singer_core::{Error, Result};

use super::{Place, Store};

/// Opens a folder; makes it if it is not there.
pub(super) fn open(folder: &Path) -> Result<Store> {
    let place = Place::Folder(folder.to_owned());
    make_folder(folder, folder).map_err(|error| {
        let mut wrong = Error::config(format!("cannot make the folder of the store {place}"));
        if matches!(
            error.kind(),
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists
        ) {
            wrong =
                wrong.with_hint("there is a file in its way: name another folder in `[store] url`");
        } else {
            wrong = wrong.with_hint(place.hint_rights());
        }
        wrong.with_source(error)
    })?;
    let files = LocalFileSystem::new_with_prefix(folder).map_err(|error| {
        Error::config(format!("cannot open the store {place}")).with_source(error)
    })?;
    Ok(Store {
        objects: Arc::new(files.clone().with_fsync(true)),
        hints: Arc::new(files),
        root: object_store::path::Path::default(),
        place: Arc::new(place),
    })
}

/// Makes the folder in which an object lies.
pub(super) fn make_parent(root: &Path, key: &str) -> io::Result<()> {
    match root.join(key).parent() {
        Some(parent) => make_folder(parent, root),
        None => Ok(()),
    }
}

/// Makes a folder and those above it; the entries of new ones are on the disk when this returns.
fn make_folder(folder: &Path, root: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_folder(parent, root)?;
    let mode = match folder.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => 0o700,
        Ok(_) => 0o770,
        Err(_) => 0o777,
    };
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

/// Removes files of puts that never ended (`name#1`), if they are old enough to be nobody's.
pub(super) fn sweep(folder: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_staged = name
            .to_str()
            .and_then(|name| name.rsplit_once('#'))
            .is_some_and(|(_, number)| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            });
        if !is_staged {
            continue;
        }
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed >= age));
        if is_old && let Err(error) = fs::remove_file(entry.path()) {
            tracing::debug!(file = %entry.path().display(), %error, "a leftover cannot be removed");
        }
    }
}
