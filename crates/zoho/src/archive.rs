//! A ZIP archive with one CSV file in it, read as a stream within bounds: entries, bytes, ratio; and
//! written as one ([`Writer`]).
//!
//! The crate `zip` reads the archive's directory and says where the file's bytes lie; they are inflated and
//! checked here, so that the reader owns its file and every bound holds while the bytes flow. No name of
//! an archive is ever used as a path.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use singer_core::{Error, Result};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use self::directory::Metered;
use self::entry::{Body, Entry, Expected};

mod directory;
mod entry;
#[cfg(test)]
mod tests;
mod writer;

pub use self::writer::Writer;

/// What is read from the disk at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// What an archive may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries at most.
    pub max_entries: usize,
    /// Bytes of the unzipped file at most.
    pub max_bytes: u64,
    /// Unzipped bytes for each zipped byte at most; a file of less than 1 MiB may have any ratio.
    pub max_ratio: u64,
}

impl Bounds {
    /// Whether a file of this size may come out of so many zipped bytes.
    fn check(self, unzipped: u64, zipped: u64) -> Result<()> {
        let (most, ratio) = (self.max_bytes, self.max_ratio);
        if unzipped > most {
            return Err(Error::protocol(format!(
                "the file in the archive has more than {most} bytes"
            )));
        }
        if unzipped > FREE_BYTES && unzipped > zipped.saturating_mul(ratio) {
            return Err(Error::protocol(format!(
                "the file in the archive is more than {ratio} times as large as its zipped bytes"
            )));
        }
        Ok(())
    }
}

/// Below this size the ratio says nothing: a short table of one value repeats itself endlessly.
const FREE_BYTES: u64 = 1024 * 1024;

/// Opens the one file of an archive whose name ends with `suffix` (in any case), for reading to its end.
/// Reading checks its length and checksum: an archive that was cut never looks like a short file. Errors
/// while reading hold a [`singer_core::Error`] of kind `Protocol` that names the bound or the damage.
///
/// # Errors
/// Of kind `Protocol`: no archive, cut off, none or several such entries, beyond the bounds, encrypted.
pub fn open(file: File, suffix: &str, bounds: Bounds) -> Result<Box<dyn Read + Send>> {
    let metered = Metered::new(file, bounds.max_entries).map_err(on_disk)?;
    let length = metered.length();
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut file = metered.again().map_err(on_disk)?;
    let mut archive = match ZipArchive::with_config(config, metered) {
        Ok(archive) => archive,
        Err(error) => return Err(no_directory(&mut file, length, error)),
    };
    check_entries(&archive, bounds)?;
    let index = find(&archive, suffix)?;
    let found = archive.by_index_raw(index).map_err(damaged)?;
    if found.encrypted() {
        return Err(Error::protocol("the file in the archive is encrypted"));
    }
    let (size, zipped) = (found.size(), found.compressed_size());
    bounds.check(size, zipped)?;
    let begin = found.data_start().unwrap_or(u64::MAX);
    if begin.checked_add(zipped).is_none_or(|end| end > length) {
        return Err(cut_off());
    }
    let expected = Expected {
        size,
        checksum: found.crc32(),
    };
    let method = found.compression();
    drop(found);
    file.seek(SeekFrom::Start(begin)).map_err(on_disk)?;
    let bytes = file.take(zipped);
    let body = match method {
        CompressionMethod::Stored => Body::Stored(bytes),
        CompressionMethod::Deflated => Body::deflated(BufReader::with_capacity(BLOCK_BYTES, bytes)),
        _ => {
            return Err(Error::protocol(
                "the file in the archive is compressed by a method other than deflate",
            ));
        }
    };
    Ok(Box::new(Entry::new(body, expected, bounds)))
}

fn check_entries(archive: &ZipArchive<Metered>, bounds: Bounds) -> Result<()> {
    let (entries, most) = (archive.len(), bounds.max_entries);
    if entries > most {
        return Err(Error::protocol(format!(
            "the archive has {entries} entries, more than {most}"
        )));
    }
    if archive.has_duplicate_names() {
        return Err(Error::protocol("the archive has two entries of one name"));
    }
    Ok(())
}

/// The place of the one entry whose name ends so.
fn find(archive: &ZipArchive<Metered>, suffix: &str) -> Result<usize> {
    let fits = |name: &[u8]| {
        let end = name.len().checked_sub(suffix.len());
        let end = end.and_then(|begin| name.get(begin..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
    };
    // The names come in the order of their places.
    let names = (0..).zip(archive.file_names_raw());
    let mut places = names.filter(|(_, name)| fits(name));
    match (places.next(), places.next()) {
        (Some((place, _)), None) => Ok(place),
        (None, _) => Err(Error::protocol(format!(
            "the archive has no file whose name ends with `{suffix}`"
        ))),
        (Some(_), Some(_)) => Err(Error::protocol(format!(
            "the archive has several files whose names end with `{suffix}`"
        ))),
    }
}

/// Why a file has no directory that can be read.
fn no_directory(file: &mut File, length: u64, error: ZipError) -> Error {
    if let ZipError::Io(inner) = error {
        return match inner.downcast::<Error>() {
            Ok(ours) => ours,
            Err(inner) if inner.kind() == std::io::ErrorKind::UnexpectedEof => cut_off(),
            Err(inner) => on_disk(inner),
        };
    }
    match directory::look(file, length) {
        Ok(directory::Look::NoArchive) => Error::protocol(format!(
            "what was downloaded is no ZIP archive ({length} bytes)"
        )),
        Ok(directory::Look::NoEnd) => cut_off(),
        Ok(directory::Look::Whole) => damaged(error),
        Err(error) => on_disk(error),
    }
}

fn cut_off() -> Error {
    Error::protocol("the archive is cut off")
        .with_hint("run again: the service keeps the result for a day")
}

fn damaged(error: ZipError) -> Error {
    Error::protocol("the archive is damaged").with_source(error)
}

fn on_disk(error: std::io::Error) -> Error {
    Error::internal("cannot read the downloaded archive").with_source(error)
}
