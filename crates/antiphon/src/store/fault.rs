//! What went wrong with a store, in words for people and with the kind that says what happens next.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use singer_core::Error;

use super::Place;

/// What was being done when it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Read,
    Write,
    Remove,
    List,
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Remove => "remove",
            Self::List => "list",
        }
    }
}

/// Carries an error of the system as one of the store, so that both are judged in one place.
pub(super) fn from_io(error: io::Error) -> object_store::Error {
    error
        .downcast::<object_store::Error>()
        .unwrap_or_else(|error| object_store::Error::Generic {
            store: "file",
            source: Box::new(error),
        })
}

impl Place {
    /// Whether an error says that there is no such object, and nothing worse.
    pub(super) fn is_absence(&self, error: &object_store::Error) -> bool {
        matches!(error, object_store::Error::NotFound { .. }) && !is_bucket_missing(error)
    }

    /// What a person is told of an error.
    pub(super) fn fault(&self, doing: Doing, key: &str, error: object_store::Error) -> Error {
        let fault = match self {
            Self::Folder(_) => self.folder_fault(doing, key, &error),
            Self::Remote { bucket, user, .. } => {
                self.remote_fault(doing, key, bucket, user, &error)
            }
        };
        fault.with_source(Cause(error))
    }

    /// What to do about missing rights.
    pub(super) fn hint_rights(&self) -> String {
        match self {
            Self::Folder(_) => format!("{} must be allowed to write there", process_user()),
            Self::Remote { user, bucket, .. } => format!(
                "{user} must be allowed to list the bucket `{bucket}` and to get, put and delete its objects"
            ),
        }
    }

    fn folder_fault(&self, doing: Doing, key: &str, error: &object_store::Error) -> Error {
        let what = format!("cannot {} `{key}` in the store {self}", doing.word());
        match system_error(error) {
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) => {
                Error::internal(format!("the disk of the store {self} is full: {what}")).with_hint(
                    "make room there, or keep less of the past (`[retention]`); what was stored before is whole",
                )
            }
            Some(ErrorKind::PermissionDenied) => Error::config(what).with_hint(self.hint_rights()),
            Some(ErrorKind::ReadOnlyFilesystem) => Error::config(what).with_hint(
                "the disk is read-only: mount it for writing, or name another folder in `[store] url`",
            ),
            Some(ErrorKind::NotADirectory | ErrorKind::IsADirectory) => Error::config(what)
                .with_hint("a file and a folder have the same name there: something else writes into the store"),
            Some(ErrorKind::NotFound) if doing == Doing::Write => Error::config(what)
                .with_hint("the folder of the store has gone: is its disk still mounted?"),
            _ => Error::internal(what),
        }
    }

    fn remote_fault(
        &self,
        doing: Doing,
        key: &str,
        bucket: &str,
        user: &str,
        error: &object_store::Error,
    ) -> Error {
        let what = format!("cannot {} `{key}` in the store {self}", doing.word());
        if is_bucket_missing(error) {
            return Error::config(format!(
                "there is no bucket `{bucket}` for the store {self}"
            ))
            .with_hint("make it, or look at `url`, `region` and `endpoint` of `[store]`");
        }
        // Before what was asked for: whoever answered there is not the store.
        if is_credential_missing(&text_of(error)) {
            return Error::auth(what).with_hint(
                "no credentials were found: set `profile` in `[store]`, or the variables of the service",
            );
        }
        match error {
            object_store::Error::PermissionDenied { .. } => {
                Error::auth(what).with_hint(self.hint_rights())
            }
            object_store::Error::Unauthenticated { .. } => Error::auth(what).with_hint(format!(
                "the service does not know {user}: look at `[store]`"
            )),
            // A listing tells of its status in words alone.
            _ if text_of(error).contains("403 Forbidden") => {
                Error::auth(what).with_hint(self.hint_rights())
            }
            _ if text_of(error).contains("401 Unauthorized") => Error::auth(what).with_hint(
                format!("the service does not know {user}: look at `[store]`"),
            ),
            _ if text_of(error).contains("redirect without LOCATION") => Error::config(what)
                .with_hint(format!(
                    "the bucket `{bucket}` is in another region: set `region` in `[store]`"
                )),
            _ => self.remote_kind(&what, error),
        }
    }

    fn remote_kind(&self, what: &str, error: &object_store::Error) -> Error {
        let text = text_of(error);
        if let Some(tls) = ["UnknownIssuer", "invalid peer certificate"]
            .iter()
            .find(|sign| text.contains(**sign))
        {
            tracing::debug!(sign = tls, "the certificate of the store was refused");
            return Error::config(format!("the certificate of the store {self} was refused"))
                .with_hint("if a proxy or a private region signs with an authority of its own, name its PEM file in `ca_file`");
        }
        // Statuses that another attempt would get again; everything else is the network or the service.
        let refused = [
            "400 Bad Request",
            "405 Method",
            "411 Length",
            "501 Not Implemented",
        ]
        .iter()
        .any(|status| text.contains(status));
        if refused {
            return Error::config(what)
                .with_hint("the service does not take such a request: look at `endpoint`, `region` and `url` of `[store]`");
        }
        Error::transient(what).with_hint(
            "the store is out of reach or broken for the moment: look at `endpoint` and the network, then run again",
        )
    }
}

/// Nothing answers where a machine in the cloud would ask for its own credentials.
fn is_credential_missing(text: &str) -> bool {
    text.contains("169.254.169.254") || text.contains("metadata.google.internal")
}

/// A missing bucket answers as a missing object does, with other words; a listing has no kind for it.
fn is_bucket_missing(error: &object_store::Error) -> bool {
    let text = text_of(error);
    text.contains("NoSuchBucket") || text.contains("bucket does not exist")
}

/// What the system said, wherever it is in the chain.
fn system_error(error: &object_store::Error) -> Option<ErrorKind> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = cause.source();
    }
    None
}

fn text_of(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str("; ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The user of this process, as the system calls it.
fn process_user() -> String {
    let Ok(own) = std::fs::metadata("/proc/self") else {
        return "the user of this process".to_owned();
    };
    let id = own.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then_some(name)
    });
    match name {
        Some(name) => format!("the user `{name}` (id {id})"),
        None => format!("the user with the id {id}"),
    }
}

/// The error of the library. Its texts repeat their sources, and a URL in them may hold a signature:
/// one line is told, without queries.
#[derive(Debug)]
struct Cause(object_store::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut deepest: &(dyn std::error::Error + 'static) = &self.0;
        // The system's own words are the clearest; above them are names of calls and files that were told.
        while let Some(next) = deepest.source() {
            deepest = next;
        }
        let text = if deepest.is::<io::Error>()
            && !matches!(self.0, object_store::Error::NotFound { .. })
        {
            deepest.to_string()
        } else {
            self.0.to_string()
        };
        if let Some(said) = said_by_service(&text) {
            return f.write_str(&said);
        }
        let mut space = "";
        for word in text.split_whitespace() {
            let word = match word.split_once('?') {
                Some((url, _)) if url.contains("://") => url,
                _ => word,
            };
            write!(f, "{space}{word}")?;
            space = " ";
        }
        Ok(())
    }
}

/// The code and the message of an answer in XML. The rest of it may be the whole request, a session's token
/// among its headers (`SignatureDoesNotMatch`).
fn said_by_service(text: &str) -> Option<String> {
    let (_, answer) = text.split_once("<Error>")?;
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once("</")?;
        Some(inner.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let code = element("Code").unwrap_or_else(|| "an error without a code".to_owned());
    match element("Message") {
        Some(message) => Some(format!("the service answered {code}: {message}")),
        None => Some(format!("the service answered {code}")),
    }
}

impl std::error::Error for Cause {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "`{}`", folder.display()),
            Self::Remote { url, .. } => write!(f, "`{url}`"),
        }
    }
}
