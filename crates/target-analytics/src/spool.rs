//! Rows of a replacement on disk, as files that are ready to be sent.
//!
//! A file holds the whole body of its request. The head of the body, with CONFIG, is known only when the
//! file is sent: room is kept for it, and CONFIG is filled up with spaces.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use singer_core::{Error, Result};
use zoho::multipart::Form;

use crate::api::{Content, Upload};

/// Files that one job takes.
pub(crate) const MOST_FILES: usize = 100;

/// Room for the lines of the form around CONFIG.
const FORM_BYTES: usize = 1_000;

/// Files of all processes have names of their own.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The rows of one version.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// The header of each file.
    header: Vec<u8>,
    /// Bytes of a file at most.
    most: u64,
    /// Room for the head of the body.
    room: usize,
    files: Vec<Spooled>,
    /// Rows in all files.
    pub(crate) rows: u64,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    path: PathBuf,
    /// Whether nobody but this process has it, so that it goes with the process.
    is_hidden: bool,
    /// Where its lines end.
    end: u64,
}

impl Spool {
    /// An empty one; `config` is as long as CONFIG may become.
    pub(crate) fn new(folder: &Path, header: Vec<u8>, most: u64, config: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            header,
            most,
            room: config + FORM_BYTES,
            files: Vec::new(),
            rows: 0,
        }
    }

    /// Whether rows with this header go into it.
    pub(crate) fn has_header(&self, header: &[u8]) -> bool {
        self.header == header
    }

    /// Adds lines, each a row.
    ///
    /// # Errors
    /// Of kind `Internal` if the disk is full; of kind `Rejected` if a job takes no more files.
    pub(crate) fn push<'a>(&mut self, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        let mut block: Vec<u8> = Vec::new();
        for line in lines {
            let filled = self
                .files
                .last()
                .map_or(u64::MAX, |file| file.end - self.room as u64);
            if filled.saturating_add((block.len() + line.len()) as u64) > self.most {
                self.flush(&mut block)?;
                self.begin()?;
            }
            block.extend_from_slice(line);
            self.rows += 1;
            if block.len() >= 256 << 10 {
                self.flush(&mut block)?;
            }
        }
        self.flush(&mut block)
    }

    fn begin(&mut self) -> Result<()> {
        if self.files.len() == MOST_FILES {
            return Err(Error::rejected(format!(
                "the rows of one replacement need more than {MOST_FILES} files of {} bytes, which a job does not take",
                self.most
            ))
            .with_hint("use `mode` `upsert` for a table of this size, or raise `file_bytes` up to 100 MB"));
        }
        let mut spooled = Spooled::create(&self.folder)?;
        spooled.end = self.room as u64;
        spooled.append(&self.header)?;
        self.files.push(spooled);
        Ok(())
    }

    fn flush(&mut self, block: &mut Vec<u8>) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        let file = self.files.last_mut();
        file.ok_or_else(|| Error::internal("rows without a file"))?
            .append(block)?;
        block.clear();
        Ok(())
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The body that sends a file under this CONFIG.
    pub(crate) fn upload(&mut self, index: usize, config: &str, is_query: bool) -> Result<Upload> {
        let room = self.room;
        let file = self.files.get_mut(index);
        let file = file.ok_or_else(|| Error::internal("there is no such file"))?;
        let form = |config: &str| {
            let mut form = Form::default();
            form.field("CONFIG", config);
            let content_type = form.content_type();
            form.file("FILE", "rows.csv", "text/csv");
            let (head, tail) = form.around();
            (head, tail, content_type)
        };
        // All boundaries are of one length.
        let missing = room.checked_sub(form(config).0.len());
        let missing =
            missing.ok_or_else(|| Error::internal("CONFIG became longer than expected"))?;
        let (head, tail, content_type) = form(&format!("{config}{}", " ".repeat(missing)));
        file.frame(&head, &tail)?;
        Ok(Upload {
            content: Content::File(file.path.clone()),
            content_type,
            query: is_query.then(|| config.to_owned()),
        })
    }
}

impl Spooled {
    /// A file that only this user may read. Where the system has a name for an open file, it has no other:
    /// then nothing is left of it when the process is killed.
    fn create(folder: &Path) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("target-analytics-{}-{number}.spool", std::process::id());
        let path = folder.join(name);
        let full = |error| {
            Error::internal(format!("cannot write `{}`", path.display())).with_source(error)
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(full)?;
        let hidden = own_name(&file).filter(|_| std::fs::remove_file(&path).is_ok());
        Ok(Self {
            is_hidden: hidden.is_some(),
            path: hidden.unwrap_or(path),
            file,
            end: 0,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(self.end, bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Puts what belongs around the lines where it belongs.
    fn frame(&mut self, head: &[u8], tail: &[u8]) -> Result<()> {
        self.write(0, head)?;
        self.write(self.end, tail)?;
        let length = self.end + tail.len() as u64;
        self.file.set_len(length).map_err(|error| self.full(error))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let written = self
            .file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| self.full(error))
    }

    fn full(&self, error: std::io::Error) -> Error {
        Error::internal(format!("cannot write `{}`", self.path.display())).with_source(error)
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.is_hidden {
            // What cannot be removed is found by its name.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// The name that Linux has for an open file.
#[cfg(target_os = "linux")]
fn own_name(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    path.exists().then_some(path)
}

#[cfg(not(target_os = "linux"))]
fn own_name(_: &File) -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(most: u64) -> Spool {
        Spool::new(&std::env::temp_dir(), b"\"id\"\n".to_vec(), most, 20)
    }

    fn body(spool: &mut Spool, index: usize) -> String {
        let upload = spool.upload(index, "{\"a\":1}", false).unwrap();
        let Content::File(path) = upload.content else {
            panic!("the body is on disk");
        };
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn files_are_cut_between_rows_and_each_has_the_header() {
        let mut spool = spool(13);
        let lines: [&[u8]; 3] = [b"1\n", b"\"a\nb\"\n", b"3\n"];
        spool.push(lines).unwrap();
        assert_eq!((spool.len(), spool.rows), (2, 3));
        let first = body(&mut spool, 0);
        assert!(first.contains("\r\n\r\n\"id\"\n1\n\"a\nb\"\n\r\n--antiphon"));
        assert!(first.ends_with("--\r\n"));
        assert!(body(&mut spool, 1).contains("\r\n\r\n\"id\"\n3\n\r\n--antiphon"));
    }

    #[test]
    fn a_file_that_was_sent_takes_more_rows() {
        let mut spool = spool(1_000);
        spool.push([&b"1\n"[..]]).unwrap();
        body(&mut spool, 0);
        spool.push([&b"2\n"[..]]).unwrap();
        let text = body(&mut spool, 0);
        assert!(text.contains("\"id\"\n1\n2\n\r\n--antiphon"));
        let config = text.split("name=\"CONFIG\"\r\n\r\n").nth(1).unwrap();
        let config = config.split("\r\n").next().unwrap();
        let parsed: serde_json::Value = serde_json::from_str(config).unwrap();
        assert_eq!(parsed["a"], 1);
    }

    #[test]
    fn more_files_than_a_job_takes_are_an_error() {
        let mut spool = spool(1);
        let rows = vec![&b"1\n"[..]; MOST_FILES + 1];
        let error = spool.push(rows).unwrap_err();
        assert!(error.message().contains("more than 100 files"));
    }

    #[test]
    fn nothing_is_left_on_disk() {
        let mut one = spool(100);
        one.push([&b"1\n"[..]]).unwrap();
        let path = one.files[0].path.clone();
        assert!(path.exists());
        drop(one);
        assert!(!path.exists() || path.starts_with("/proc"));
    }
}
