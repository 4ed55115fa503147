//! The ids of what was emitted, in a file before they leave: what an interrupted run has passed on may be
//! gone before the next one looks, and must be found to be gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};

use super::{Id, IdSorter, take, write};

/// The ids of one stream, in the order in which they were emitted.
#[derive(Debug)]
pub struct Emitted<I> {
    path: PathBuf,
    file: File,
    unwritten: Vec<u8>,
    id: PhantomData<I>,
}

impl<I: Id> Emitted<I> {
    /// Opens the file, with what earlier runs left in it, and makes it and its folder if they are not there.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| fault(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let left = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if left > 0 {
            // Each id once and whole, so that runs that fail again and again do not fill the disk.
            write(Self::sorter(path)?.sorted()?, path)?;
        }
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            unwritten: Vec::new(),
            id: PhantomData,
        })
    }

    /// Adds the id of a record that is about to be emitted.
    pub fn push(&mut self, id: I) {
        self.unwritten.extend_from_slice(id.to_bytes().as_ref());
    }

    /// Writes what was added; records may leave after that.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.unwritten);
        self.unwritten.clear();
        written.map_err(|error| fault(&self.path, error))
    }

    /// The ids of such a file; none if it is not there.
    ///
    /// # Errors
    /// Of kind `Internal` if it cannot be read.
    pub fn sorter(path: &Path) -> Result<IdSorter<I>> {
        let mut sorter = IdSorter::new(path.parent().unwrap_or(Path::new(".")));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(sorter),
            Err(error) => return Err(fault(path, error)),
        };
        loop {
            let ids = take(&mut file, 8192)?;
            if ids.is_empty() {
                return Ok(sorter);
            }
            for id in ids {
                sorter.push(id)?;
            }
        }
    }
}

fn fault(path: &Path, error: io::Error) -> Error {
    Error::internal(format!(
        "cannot keep the ids of what was emitted at `{}`",
        path.display()
    ))
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_runs_that_died_are_there_once_and_half_an_id_is_none() {
        let folder = std::env::temp_dir().join(format!("emitted-{}", std::process::id()));
        let path = folder.join("below").join("T.0.emitted");
        for ids in [[7, 3, 7], [9, 3, 1]] {
            let mut emitted = Emitted::<i64>::open(&path).unwrap();
            ids.into_iter().for_each(|id| emitted.push(id));
            emitted.flush().unwrap();
            emitted.file.write_all(&[1, 2, 3]).unwrap();
        }
        drop(Emitted::<i64>::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 4 * 8);
        let ids = Emitted::<i64>::sorter(&path).unwrap().sorted().unwrap();
        let ids: Vec<i64> = ids.map(Result::unwrap).collect();
        assert_eq!(ids, [1, 3, 7, 9]);
        fs::remove_dir_all(folder).unwrap();
    }
}
