//! Files on disk: names that stay in their folder, content that is written beside and renamed, and a note beside
//! each file by which it is known again.

mod save;

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::MultiGzDecoder;
use ring::digest::SHA256;
use serde::{Deserialize, Serialize};

use crate::config::Stream;
use crate::model::Hit;

pub(crate) use save::Outcome;

/// Names have at most so many bytes, so that every file system takes them.
const MAX_NAME_BYTES: usize = 150;

/// An ending longer than this is a part of the name.
const MAX_ENDING_BYTES: usize = 16;

/// What is known of the file beside it. Names of files never begin with a dot.
const NOTE: &str = ".known.json";

/// Content that is unzipped is taken in pieces of this size, as a few bytes may become a thousand times as many.
const STEP: usize = 16 << 10;

/// What the first bytes of gzip are.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Names that Windows keeps for devices.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A file that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Where it is, below the folder for downloads.
    pub(crate) path: String,
    /// The SHA-256 of its content.
    pub(crate) sha256: String,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// What the search tells of the content of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its size at the platform.
    pub(crate) size: Option<u64>,
    version: Option<String>,
    checksum: Option<String>,
    is_gzip: bool,
    name: String,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default, rename = "filePath")]
    path: Option<String>,
    #[serde(default)]
    file: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    path: Option<serde_json::Value>,
    #[serde(default)]
    size: Option<serde_json::Value>,
    #[serde(default)]
    version: Option<serde_json::Value>,
    #[serde(default)]
    checksum: Option<serde_json::Value>,
    #[serde(default, rename = "s3ContentEncoding")]
    encoding: Option<serde_json::Value>,
}

impl Facts {
    /// What a hit tells; forms that nobody here knows count as nothing told.
    pub(crate) fn of(hit: &Hit) -> Self {
        let Ok(source) = serde_json::from_slice::<Source>(&hit.source) else {
            return Self {
                name: safe_name(""),
                ..Self::default()
            };
        };
        let text = |value: &Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let file = source.file.as_ref();
        let of_file = |part: fn(&Content) -> &Option<serde_json::Value>| {
            file.and_then(|file| text(part(file)))
        };
        let path = source.path.or_else(|| of_file(|file| &file.path));
        Self {
            size: of_file(|file| &file.size).and_then(|size| size.parse().ok()),
            version: of_file(|file| &file.version),
            checksum: of_file(|file| &file.checksum),
            is_gzip: of_file(|file| &file.encoding)
                .is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")),
            name: safe_name(path.as_deref().unwrap_or_default()),
        }
    }
}

/// Where a file goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    root: PathBuf,
    /// Below the root.
    folder: PathBuf,
    name: String,
    facts: Facts,
    file_id: String,
}

/// The note beside a file: which content it is, and what became of it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    file_id: String,
    version: Option<String>,
    checksum: Option<String>,
    size_there: Option<u64>,
    saved: Saved,
}

impl Target {
    /// The place of a file: a folder of its own, named by its id, so that no two files meet.
    pub(crate) fn new(stream: &Stream, hit: &Hit, facts: Facts) -> Self {
        Self {
            root: stream.download_dir.clone(),
            folder: Path::new(&safe_name(&stream.name)).join(folder_of(&hit.file_id)),
            name: facts.name.clone(),
            facts,
            file_id: hit.file_id.clone(),
        }
    }

    /// The file, if it was saved before and is the same: known by the version or the checksum that the search
    /// tells, and by its size on disk.
    pub(crate) fn known(&self) -> Option<Saved> {
        if self.facts.version.is_none() && self.facts.checksum.is_none() {
            return None;
        }
        let note = fs::read(self.path(NOTE)).ok()?;
        let note: Note = serde_json::from_slice(&note).ok()?;
        let is_same = note.file_id == self.file_id
            && note.version == self.facts.version
            && note.checksum == self.facts.checksum
            && note.size_there == self.facts.size
            && note.saved.path == self.shown();
        let length = fs::metadata(self.path(&self.name))
            .ok()
            .filter(fs::Metadata::is_file)?
            .len();
        (is_same && length == note.saved.size).then_some(note.saved)
    }

    fn place(&self) -> PathBuf {
        self.root.join(&self.folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place().join(name)
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.folder.display(), self.name)
    }
}

/// A piece in parts of at most this size, or the end.
pub(crate) fn parts(piece: Option<&[u8]>, step: usize) -> impl Iterator<Item = Option<&[u8]>> {
    let end = piece.is_none().then_some(None);
    (piece.unwrap_or_default().chunks(step).map(Some)).chain(end)
}

/// Content as it is without gzip, piece by piece.
#[derive(Debug)]
pub(crate) struct Plain {
    may_be_gzip: bool,
    is_begun: bool,
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
}

impl Plain {
    /// Content that may be gzip; whether it is shows in its first bytes, as the way here may have unzipped it.
    pub(crate) fn new(may_be_gzip: bool) -> Self {
        Self {
            may_be_gzip,
            is_begun: false,
            decoder: None,
        }
    }

    /// How much of the content to take at once.
    pub(crate) fn step(&self) -> usize {
        let is_plain = !self.may_be_gzip || (self.is_begun && self.decoder.is_none());
        if is_plain { usize::MAX } else { STEP }
    }

    /// What there is of the content once this piece has come, or the end.
    ///
    /// # Errors
    /// If it is no gzip although it began like it.
    pub(crate) fn take<'a>(&mut self, piece: Option<&'a [u8]>) -> io::Result<Cow<'a, [u8]>> {
        let bytes = piece.unwrap_or_default();
        if !self.is_begun && !bytes.is_empty() {
            self.is_begun = true;
            if self.may_be_gzip
                && bytes.starts_with(GZIP.get(..bytes.len().min(2)).unwrap_or_default())
            {
                self.decoder = Some(MultiGzDecoder::new(Vec::new()));
            }
        }
        let Some(decoder) = &mut self.decoder else {
            return Ok(Cow::Borrowed(bytes));
        };
        decoder.write_all(bytes)?;
        if piece.is_none() {
            decoder.try_finish()?;
        }
        Ok(Cow::Owned(std::mem::take(decoder.get_mut())))
    }
}

fn folder_of(file_id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_short = !file_id.is_empty() && file_id.len() <= 64;
    if is_short && file_id.bytes().all(is_plain) && safe_name(file_id) == file_id {
        return file_id.to_owned();
    }
    // Any other id by its hash: whatever it holds, it names a folder, and no two ids the same one.
    let hash = ring::digest::digest(&SHA256, file_id.as_bytes());
    format!("id_{}", hex(hash.as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last name of a path, such that no system takes it for anything but a file in its folder.
pub(crate) fn safe_name(path: &str) -> String {
    let last = path
        .rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let is_special = |letter: char| letter.is_control() || "<>:\"|?*\u{7f}".contains(letter);
    let name: String = (last.chars())
        .map(|letter| if is_special(letter) { '_' } else { letter })
        .collect();
    let name = name.trim_end_matches([' ', '.']).trim_start();
    let mut name = shortened(name).trim_end_matches([' ', '.']).to_owned();
    if name.is_empty() {
        return "file".to_owned();
    }
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        stem.strip_prefix(port)
            .is_some_and(|rest| rest.chars().count() == 1)
    });
    if name.starts_with('.') || DEVICES.contains(&stem.as_str()) || is_port {
        name.insert(0, '_');
    }
    name
}

/// A name of bounded length that keeps its ending.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= MAX_ENDING_BYTES => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    let most = MAX_NAME_BYTES - ending.len();
    let end = stem
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8())
        .take_while(|end| *end <= most)
        .last();
    format!(
        "{}{ending}",
        stem.get(..end.unwrap_or(0)).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
