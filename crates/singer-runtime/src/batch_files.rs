//! The files of a BATCH message: bare records, one a line, plain or in gzip, on this machine.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use singer_core::{Error, Result};

/// The files of one BATCH message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BatchFiles {
    pub(crate) paths: Vec<PathBuf>,
    compression: Compression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
}

impl BatchFiles {
    /// Reads `encoding` and `manifest` of the message.
    pub(crate) fn new(encoding: &str, manifest: &str) -> Result<Self> {
        let parse = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_default();
        let encoding = parse(encoding);
        let word = |key: &str| encoding.get(key).and_then(Value::as_str);
        match word("format") {
            Some("jsonl") => {}
            Some(_) => return Err(unsupported("`format` is not `jsonl`")),
            None => {
                return Err(Error::protocol(
                    "`encoding` of the BATCH message has no `format`",
                ));
            }
        }
        let compression = match word("compression") {
            None | Some("none" | "") => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some(_) => return Err(unsupported("`compression` is neither `gzip` nor `none`")),
        };
        let Value::Array(urls) = parse(manifest) else {
            return Err(Error::protocol(
                "`manifest` of the BATCH message is not a list",
            ));
        };
        Ok(Self {
            paths: urls.iter().map(path_of).collect::<Result<_>>()?,
            compression,
        })
    }

    /// Opens one of the files.
    pub(crate) fn open(&self, path: &PathBuf) -> Result<Box<dyn Read + Send>> {
        let file = File::open(path).map_err(|error| {
            Error::protocol(format!("cannot read the batch file `{}`", path.display()))
                .with_source(error)
        })?;
        Ok(match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        })
    }
}

fn unsupported(what: &str) -> Error {
    Error::protocol(format!(
        "the encoding of the BATCH message is not supported: {what}"
    ))
    .with_hint("set the tap's `batch_config` to `jsonl` with `gzip` or `none`")
}

/// The path of a `file://` URL.
fn path_of(url: &Value) -> Result<PathBuf> {
    let wrong = |what: &str| {
        Error::protocol(format!("`manifest` of the BATCH message lists {what}")).with_hint(
            "set the tap's `batch_config` so that it writes to a local folder, `file://…`",
        )
    };
    let Some(url) = url.as_str() else {
        return Err(wrong("what is not a URL"));
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong("what is not a URL"));
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(wrong(&format!(
            "a `{}` URL; only `file` is supported",
            scheme.to_ascii_lowercase()
        )));
    }
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(wrong("a file on another machine"));
    }
    percent_decoded(path)
        .map(PathBuf::from)
        .ok_or_else(|| wrong("a URL that is not encoded as one"))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(manifest: &str) -> Result<Vec<PathBuf>> {
        BatchFiles::new(r#"{"format":"jsonl","compression":"gzip"}"#, manifest)
            .map(|files| files.paths)
    }

    #[test]
    fn local_urls_become_paths() {
        assert_eq!(
            paths(r#"["file:///a/b%20c.jsonl.gz","FILE://localhost/d"]"#).unwrap(),
            [PathBuf::from("/a/b c.jsonl.gz"), PathBuf::from("/d")]
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_plainly() {
        for (manifest, wanted) in [
            (
                r#"["s3://bucket/x"]"#,
                "a `s3` URL; only `file` is supported",
            ),
            (r#"["file://host/x"]"#, "on another machine"),
            (r#"["x"]"#, "not a URL"),
            (r#"["file:///%zz"]"#, "not encoded"),
            ("{}", "not a list"),
        ] {
            let error = paths(manifest).unwrap_err();
            assert!(error.message().contains(wanted), "{error}");
        }
        for (encoding, wanted) in [
            (r#"{"format":"parquet"}"#, "`format` is not `jsonl`"),
            (
                r#"{"format":"jsonl","compression":"zstd"}"#,
                "neither `gzip` nor `none`",
            ),
            ("{}", "no `format`"),
        ] {
            let error = BatchFiles::new(encoding, "[]").unwrap_err();
            assert!(error.message().contains(wanted), "{error}");
        }
    }
}
