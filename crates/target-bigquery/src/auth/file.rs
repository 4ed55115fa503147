//! Reading a small file of credentials, with errors that name it.

use std::io::ErrorKind;
use std::path::Path;

use singer_core::{Error, Result};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// No file of credentials is larger.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// The text of a file; `place` names it in errors.
pub(super) async fn read(path: &Path, place: &str) -> Result<String> {
    let failed =
        |error: std::io::Error| Error::config(format!("cannot read {place}")).with_source(error);
    let file = File::open(path).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::config(format!("{place} is not there")),
        _ => failed(error),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::config(format!(
            "{place} is larger than {MAX_BYTES} bytes, which no file of credentials is"
        )));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::config(format!("{place} is not UTF-8"))
            .with_hint("a key in P12 form is not taken: create one in JSON form")
    })
}
