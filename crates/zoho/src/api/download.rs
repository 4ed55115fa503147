//! A download into a file that nobody else can see, begun anew when it breaks off.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use singer_core::{Error, Secret};
use singer_net::{Incoming, Request, Url};
use tokio::io::AsyncWriteExt;

use super::{Api, Free, Repeat, Toll, Tries, no_answer};
use crate::fault::body::is_kind_of_words;
use crate::fault::{Fault, Service};

/// No refusal is longer.
const LONGEST_WORDS: usize = 8 << 20;

impl<S: Service> Api<S> {
    /// Streams the answer of a GET into a new file (mode 0600) that nobody else can see, and returns it
    /// opened and rewound; a download that breaks off is begun anew. More than `max_bytes` is an error.
    ///
    /// # Errors
    /// As [`Api::send`]; a full disk is an error of kind `Internal` in the fault's source.
    pub async fn download(
        &self,
        what: &str,
        url: Url,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<File, Fault> {
        let limits = (folder, max_bytes);
        self.download_for(None, what, url, limits, &mut Free).await
    }

    /// As [`Api::download`], as a call of a group (see [`Api::with_allowance`]), with somebody who pays for
    /// each attempt.
    pub(crate) async fn download_for(
        &self,
        group: Option<&'static str>,
        what: &str,
        url: Url,
        (folder, max_bytes): (&Path, u64),
        toll: &mut impl Toll,
    ) -> Result<File, Fault> {
        self.check_origin(&url)?;
        let mut tries = Tries::new(what, Repeat::Safely, self.pace);
        loop {
            let token = self.enter(group, &tries).await?;
            let received = self.receive(url.clone(), &token, folder, max_bytes).await;
            match received {
                Ok(file) => return Ok(file),
                Err(fault) => {
                    toll.failed(&fault);
                    self.after(&mut tries, fault, &token).await?;
                    toll.again()?;
                }
            }
        }
    }

    async fn receive(
        &self,
        url: Url,
        token: &Secret,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<File, Fault> {
        let request = self.dressed(Request::get(url), token)?;
        let incoming = self.client.stream(request).await.map_err(no_answer)?;
        let kind = incoming.headers.get("content-type");
        let is_words = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(is_kind_of_words);
        if incoming.status.is_success() && !is_words {
            return keep(incoming, folder, max_bytes).await;
        }
        let answer = incoming.whole(LONGEST_WORDS).await.map_err(no_answer)?;
        S::judge(&answer)?;
        let mut file = create(folder).await?;
        write(&mut file, &answer.body, folder).await?;
        rewound(file, folder).await
    }
}

/// Writes what comes in to a file.
async fn keep(mut incoming: Incoming, folder: &Path, max_bytes: u64) -> Result<File, Fault> {
    let mut file = create(folder).await?;
    let mut length = 0;
    while let Some(piece) = incoming.chunk().await.map_err(no_answer)? {
        length += piece.len() as u64;
        if length > max_bytes {
            return Err(
                Error::protocol(format!("the download is longer than {max_bytes} bytes")).into(),
            );
        }
        write(&mut file, &piece, folder).await?;
    }
    rewound(file, folder).await
}

/// A new file whose name is taken away at once, so that it vanishes with the process.
async fn create(folder: &Path) -> Result<tokio::fs::File, Fault> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(
        ".antiphon-{}-{number}.download",
        std::process::id()
    ));
    let created = tokio::task::spawn_blocking(move || {
        let file = (OpenOptions::new().read(true).write(true).create_new(true))
            .mode(0o600)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    });
    let file = created
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    file.map(tokio::fs::File::from_std)
        .map_err(|error| disk(folder, error))
}

async fn write(file: &mut tokio::fs::File, bytes: &[u8], folder: &Path) -> Result<(), Fault> {
    file.write_all(bytes)
        .await
        .map_err(|error| disk(folder, error))
}

async fn rewound(mut file: tokio::fs::File, folder: &Path) -> Result<File, Fault> {
    // The last piece is written behind our back, and only this says whether it fit.
    file.flush().await.map_err(|error| disk(folder, error))?;
    let mut file = file.into_std().await;
    file.rewind().map_err(|error| disk(folder, error))?;
    Ok(file)
}

pub(super) fn disk(folder: &Path, error: io::Error) -> Fault {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room there, or set another folder for temporary files"
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            "the folder for temporary files must be there, and this user must be able to write to it"
        }
        _ => "look at the disk of the folder for temporary files",
    };
    Error::internal(format!(
        "cannot write the download to a file in `{}`",
        folder.display()
    ))
    .with_source(error)
    .with_hint(hint)
    .into()
}
