//! Sets of ids that may be larger than the memory, for taps that find what was deleted by comparing what is there with
//! what was: sorted in pieces, kept in files of a few bytes an id, and read in order.
//!
//! * [`Emitted`] what a run passes on, noted before it leaves.
//! * [`Generations`] the files of a stream, of which a bookmark names one: it counts only once its STATE is stored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use singer_core::{Error, Result};

pub use emitted::Emitted;
pub use generations::Generations;

mod emitted;
mod generations;

/// Ids that are sorted in memory at once: 8 MiB of numbers.
const IN_MEMORY: usize = 1 << 20;

/// Tells files of one process apart.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// What files of ids can hold: as many bytes for each, and an order.
pub trait Id: Copy + Ord + Send + std::fmt::Debug + 'static {
    /// The bytes of one.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;

    /// As the files have it.
    fn to_bytes(self) -> Self::Bytes;

    /// From what [`Id::to_bytes`] gave.
    fn from_bytes(bytes: Self::Bytes) -> Self;

    /// The bytes that one takes.
    fn size() -> usize {
        Self::Bytes::default().as_ref().len()
    }
}

impl Id for i64 {
    type Bytes = [u8; 8];

    fn to_bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// UUIDs, for one.
impl Id for u128 {
    type Bytes = [u8; 16];

    fn to_bytes(self) -> [u8; 16] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

/// Takes ids in any order.
#[derive(Debug)]
pub struct IdSorter<I> {
    ids: Vec<I>,
    /// Sorted pieces that did not fit into memory, rewound.
    runs: Vec<File>,
    folder: PathBuf,
    most: usize,
}

impl<I: Id> IdSorter<I> {
    /// An empty set, whose pieces go to this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            ids: Vec::new(),
            runs: Vec::new(),
            folder: folder.to_owned(),
            most: IN_MEMORY,
        }
    }

    /// Adds an id.
    ///
    /// # Errors
    /// Of kind `Internal` if a piece cannot be written.
    pub fn push(&mut self, id: I) -> Result<()> {
        self.ids.push(id);
        if self.ids.len() >= self.most {
            self.spill()
                .map_err(|error| fault("write", &self.folder, error))?;
        }
        Ok(())
    }

    /// The ids in order, each once.
    ///
    /// # Errors
    /// Of kind `Internal` if a piece cannot be read.
    pub fn sorted(mut self) -> Result<Merge<I>> {
        self.ids.sort_unstable();
        let mut sources: Vec<Source<I>> = vec![Box::new(self.ids.into_iter().map(Ok))];
        for run in self.runs {
            sources.push(Box::new(Ids::<I>::new(run)));
        }
        Merge::new(sources)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.ids.sort_unstable();
        let mut file = unnamed(&self.folder)?;
        let mut writer = BufWriter::new(&file);
        for id in self.ids.drain(..) {
            writer.write_all(id.to_bytes().as_ref())?;
        }
        writer.flush()?;
        drop(writer);
        file.rewind()?;
        self.runs.push(file);
        Ok(())
    }
}

/// A file that nobody else sees, and that is gone when it is closed.
fn unnamed(folder: &Path) -> io::Result<File> {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".ids.{}.{number}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Ids of a file, which are in order.
struct Ids<I> {
    reader: BufReader<File>,
    id: PhantomData<I>,
}

impl<I: Id> Ids<I> {
    fn new(file: File) -> Self {
        Self {
            reader: BufReader::new(file),
            id: PhantomData,
        }
    }
}

impl<I: Id> Iterator for Ids<I> {
    type Item = io::Result<I>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = I::Bytes::default();
        match self.reader.read_exact(bytes.as_mut()) {
            Ok(()) => Some(Ok(I::from_bytes(bytes))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }
}

type Source<I> = Box<dyn Iterator<Item = io::Result<I>> + Send>;

/// Several ordered sources as one, each id once.
pub struct Merge<I> {
    sources: Vec<Source<I>>,
    /// The next id of each source.
    heads: BinaryHeap<Reverse<(I, usize)>>,
    last: Option<I>,
}

impl<I: Id> Merge<I> {
    fn new(sources: Vec<Source<I>>) -> Result<Self> {
        let mut merge = Self {
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            last: None,
        };
        for index in 0..merge.sources.len() {
            merge.refill(index)?;
        }
        Ok(merge)
    }

    /// The ids of a file, and of these.
    ///
    /// # Errors
    /// Of kind `Internal` if one cannot be read.
    pub fn with_file(self, file: Option<File>) -> Result<Self> {
        let mut sources: Vec<Source<I>> =
            vec![Box::new(self.map(|id| id.map_err(io::Error::other)))];
        if let Some(file) = file {
            sources.push(Box::new(Ids::<I>::new(file)));
        }
        Self::new(sources)
    }

    fn refill(&mut self, index: usize) -> Result<()> {
        let next = self.sources.get_mut(index).and_then(Iterator::next);
        if let Some(id) = next {
            let id = id
                .map_err(|error| Error::internal("cannot read a file of ids").with_source(error))?;
            self.heads.push(Reverse((id, index)));
        }
        Ok(())
    }
}

impl<I: Id> Iterator for Merge<I> {
    type Item = Result<I>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((id, index)) = self.heads.pop()?;
            if let Err(error) = self.refill(index) {
                return Some(Err(error));
            }
            if self.last != Some(id) {
                self.last = Some(id);
                return Some(Ok(id));
            }
        }
    }
}

/// Writes the ids that are there to a new file at `path`, durably, and returns a file of those that were
/// known before and are not there, with their number.
///
/// # Errors
/// Of kind `Internal` if a file cannot be read or written.
pub fn compare<I: Id>(there: Merge<I>, known: Merge<I>, path: &Path) -> Result<(File, u64)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |error| fault("write", path, error);
    let gone = unnamed(folder).map_err(failed)?;
    let mut count = 0;
    {
        let mut gone = BufWriter::new(&gone);
        let mut new = NewFile::create(path).map_err(failed)?;
        let mut known = known.peekable();
        for id in there {
            let id = id?;
            while let Some(before) = known.next_if(|known| !known.as_ref().is_ok_and(|k| *k >= id))
            {
                gone.write_all(before?.to_bytes().as_ref())
                    .map_err(failed)?;
                count += 1;
            }
            known.next_if(|known| known.as_ref().is_ok_and(|known| *known == id));
            new.push(id).map_err(failed)?;
        }
        for before in known {
            gone.write_all(before?.to_bytes().as_ref())
                .map_err(failed)?;
            count += 1;
        }
        gone.flush().map_err(failed)?;
        new.finish().map_err(failed)?;
    }
    let mut gone = gone;
    gone.rewind().map_err(failed)?;
    Ok((gone, count))
}

/// Writes ids to a new file at `path`, durably.
///
/// # Errors
/// As [`compare`].
pub fn write<I: Id>(ids: Merge<I>, path: &Path) -> Result<()> {
    let failed = |error| fault("write", path, error);
    let mut new = NewFile::create(path).map_err(failed)?;
    for id in ids {
        new.push(id?).map_err(failed)?;
    }
    new.finish().map_err(failed)
}

/// Adds ids to a file at `path`.
///
/// # Errors
/// As [`compare`].
pub fn add<I: Id>(path: &Path, ids: Vec<I>) -> Result<()> {
    let failed = |error| fault("write", path, error);
    let mut sorter = IdSorter::new(path.parent().unwrap_or(Path::new(".")));
    for id in ids {
        sorter.push(id)?;
    }
    let all = sorter
        .sorted()?
        .with_file(Some(File::open(path).map_err(failed)?))?;
    write(all, path)
}

/// The next ids of a file, `most` of them.
///
/// # Errors
/// Of kind `Internal` if it cannot be read.
pub fn take<I: Id>(file: &mut File, most: usize) -> Result<Vec<I>> {
    let mut bytes = vec![0; most * I::size()];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = file
            .read(rest)
            .map_err(|error| Error::internal("cannot read a file of ids").with_source(error))?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    bytes.truncate(filled);
    Ok(bytes
        .chunks_exact(I::size())
        .map(|chunk| {
            let mut bytes = I::Bytes::default();
            bytes.as_mut().copy_from_slice(chunk);
            I::from_bytes(bytes)
        })
        .collect())
}

/// A file that takes its place only when it is complete and on disk.
struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    writer: BufWriter<File>,
}

impl NewFile {
    fn create(path: &Path) -> io::Result<Self> {
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        Ok(Self {
            path: path.to_owned(),
            beside,
            writer: BufWriter::new(file),
        })
    }

    fn push<I: Id>(&mut self, id: I) -> io::Result<()> {
        self.writer.write_all(id.to_bytes().as_ref())
    }

    fn finish(self) -> io::Result<()> {
        let file = self
            .writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn fault(what: &str, path: &Path, error: io::Error) -> Error {
    Error::internal(format!("cannot {what} ids at `{}`", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ids-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn sorter(folder: &Path, ids: &[i64]) -> IdSorter<i64> {
        let mut sorter = IdSorter::new(folder);
        sorter.most = 3;
        for id in ids {
            sorter.push(*id).unwrap();
        }
        sorter
    }

    #[test]
    fn ids_come_in_order_and_once_also_from_disk() {
        let folder = folder("order");
        let ids = sorter(&folder, &[5, 3, 9, 9, 1, 7, 3, 2]).sorted().unwrap();
        let ids: Vec<i64> = ids.map(Result::unwrap).collect();
        assert_eq!(ids, [1, 2, 3, 5, 7, 9]);
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            0,
            "pieces have no names"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_was_known_and_is_not_there_is_gone() {
        let folder = folder("gone");
        let path = folder.join("T.2");
        let there = sorter(&folder, &[4, 1, 6]).sorted().unwrap();
        let known = sorter(&folder, &[0, 1, 2, 3, 6, 7, 8]).sorted().unwrap();
        let (mut gone, count) = compare(there, known, &path).unwrap();
        assert_eq!(count, 5);
        assert_eq!(take::<i64>(&mut gone, 3).unwrap(), [0, 2, 3]);
        assert_eq!(take::<i64>(&mut gone, 3).unwrap(), [7, 8]);
        assert_eq!(take::<i64>(&mut gone, 3).unwrap(), [0_i64; 0]);
        add(&path, vec![7_i64, 2]).unwrap();
        let kept = take::<i64>(&mut File::open(&path).unwrap(), 10).unwrap();
        assert_eq!(kept, [1, 2, 4, 6, 7]);
        fs::remove_dir_all(folder).unwrap();
    }
}
