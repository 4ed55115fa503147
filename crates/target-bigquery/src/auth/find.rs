//! Where credentials are looked for, and in which order.

use std::path::Path;

use singer_core::{Error, Result, Secret, SecretSource};
use singer_runtime::context::Context;

use super::AuthOptions;
use super::credential::Credential;
use super::document::{Document, Reader};
use super::file;
use super::metadata::{Metadata, Probe};
use super::net::{Net, is_token};
use crate::base64;

/// Credentials, and where they were found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) document: Document,
    /// In words.
    pub(super) origin: String,
}

/// Looks for credentials.
pub(super) async fn find(options: &AuthOptions, net: &Net, context: &Context) -> Result<Found> {
    let search = Search { options, net };
    if let Some(source) = &options.credentials {
        return search.read_setting(source, context).await;
    }
    if let Some(path) = &options.credentials_path {
        return search.read_file(path, "`credentials_path`").await;
    }
    if options.anonymous {
        return Ok(Found {
            document: plain(Credential::Anonymous),
            origin: "`endpoint`, which is asked without credentials".to_owned(),
        });
    }
    if let Some(path) = &options.environment.google_application_credentials {
        return search
            .read_file(path, "`GOOGLE_APPLICATION_CREDENTIALS`")
            .await;
    }
    let mut tried = vec![
        "`credentials` and `credentials_path` (not set)".to_owned(),
        "`GOOGLE_APPLICATION_CREDENTIALS` (not set)".to_owned(),
    ];
    match options.environment.well_known_file() {
        None => tried.push("the file of `gcloud` (there is no home folder)".to_owned()),
        // In a folder that may not be looked into, as containers have, there is no file for us.
        Some(path) if tokio::fs::metadata(&path).await.is_ok() => {
            let place = format!("the credentials file `{}` of `gcloud`", path.display());
            let text = file::read(&path, &place).await?;
            return search.read_text(&text, &place);
        }
        Some(path) => tried.push(format!(
            "the file of `gcloud`, `{}` (not there)",
            path.display()
        )),
    }
    match Metadata::probe(&options.environment, net).await? {
        Probe::Found(metadata, project) => Ok(Found {
            document: Document {
                project,
                ..plain(Credential::Metadata(metadata))
            },
            origin: "the metadata server".to_owned(),
        }),
        Probe::Absent(words) => {
            tried.push(words);
            Err(nothing_found(&tried))
        }
    }
}

struct Search<'a> {
    options: &'a AuthOptions,
    net: &'a Net,
}

impl Search<'_> {
    /// `credentials` of the config: a document, a document in base64 as pipelines like to keep it,
    /// or a bare token.
    async fn read_setting(&self, source: &SecretSource, context: &Context) -> Result<Found> {
        let secret = context
            .secret(source)
            .await
            .map_err(|error| error.at("`credentials` in the config"))?;
        let place = "`credentials` in the config";
        let text = secret.expose().trim();
        if text.len() as u64 > file::MAX_BYTES {
            return Err(Error::config(format!(
                "{place} is larger than {} bytes",
                file::MAX_BYTES
            )));
        }
        if text.trim_start_matches('\u{feff}').starts_with('{') {
            return self.read_text(text, place);
        }
        if let Some(document) = packed(text) {
            return self.read_text(&document, place);
        }
        if !is_token(text) || Path::new(text).extension().is_some_and(|end| end == "json") {
            return Err(Error::config(format!(
                "{place} is neither a JSON document nor an access token"
            ))
            .with_hint(
                "the path of a key file belongs in `credentials_path`, or in {\"file\": \"PATH\"}",
            ));
        }
        Ok(Found {
            document: plain(Credential::Token(Secret::new(text))),
            origin: place.to_owned(),
        })
    }

    async fn read_file(&self, path: &str, setting: &str) -> Result<Found> {
        let place = format!("the credentials file `{path}` of {setting}");
        let text = file::read(Path::new(path), &place).await?;
        self.read_text(&text, &place)
    }

    fn read_text(&self, text: &str, place: &str) -> Result<Found> {
        let reader = Reader {
            net: self.net,
            token_exchange: self.options.token_exchange,
            place,
        };
        Ok(Found {
            document: reader.read(text)?,
            origin: place.to_owned(),
        })
    }
}

/// The document in a text of base64, if that is what it is.
fn packed(text: &str) -> Option<String> {
    let line: String = text.split_ascii_whitespace().collect();
    let document = String::from_utf8(base64::decode(&line)?).ok()?;
    document.trim_start().starts_with('{').then_some(document)
}

/// A document that says nothing of projects.
fn plain(credential: Credential) -> Document {
    Document {
        credential,
        project: None,
        quota_project: None,
    }
}

fn nothing_found(tried: &[String]) -> Error {
    let mut error = Error::config("there are no credentials for BigQuery");
    for place in tried {
        error = error.with_hint(format!("tried {place}"));
    }
    error
        .with_hint("for a service account, set `credentials_path` to its key file")
        .with_hint("to work as yourself, run `gcloud auth application-default login`")
}
