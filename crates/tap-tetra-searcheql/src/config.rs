//! The settings: the structs that the loader fills, and the checks across keys.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use singer_core::{Error, Result, SecretSource};
use singer_net::{Base, HttpConfig};
use singer_runtime::setting::{ByStream, Setting, Settings};

use crate::files;

mod query;
mod table;

/// Where the hosted production platform is.
const HOSTED: &str = "https://api.tetrascience.com";

/// The engine refuses larger pages.
const MAX_PAGE: u64 = 10_000;

/// Documents of more bytes are not taken into memory unless the config says so.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// What the search tells beside a document that is the record.
const BESIDE_A_DOCUMENT: [&str; 4] = ["createdAt", "filePath", "idsType", "idsVersion"];

/// The config of tap-tetra-searcheql; what each key means stands in [`Settings::settings`].
#[derive(Debug, Deserialize)]
pub struct Config {
    pub(crate) base_url: Option<String>,
    pub(crate) auth_token: SecretSource,
    pub(crate) org_slug: String,
    pub(crate) start_date: Option<String>,
    pub(crate) lag_seconds: u32,
    pub(crate) overlap_seconds: Option<u32>,
    pub(crate) overlap_memory: usize,
    pub(crate) page_size: u64,
    pub(crate) retrieve: Retrieve,
    pub(crate) presigned: bool,
    pub(crate) presigned_life_seconds: u64,
    pub(crate) parallel: usize,
    pub(crate) download_dir: Option<PathBuf>,
    pub(crate) max_file_bytes: Option<u64>,
    pub(crate) on_missing: OnMissing,
    pub(crate) on_failure: OnFailure,
    pub(crate) type_conflict: TypeConflict,
    pub(crate) rejects_path: PathBuf,
    pub(crate) deletions: Deletions,
    pub(crate) deletions_path: PathBuf,
    pub(crate) sample_size: u64,
    pub(crate) patience_seconds: f64,
    pub(crate) rate_limit_pause_seconds: f64,
    pub(crate) row: Option<String>,
    pub(crate) streams: ByStream<StreamConfig>,
    #[serde(flatten)]
    pub(crate) http: HttpConfig,
}

/// What the config says of one stream; what it leaves out is as at the top.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) query: Option<Value>,
    pub(crate) index: Option<Names>,
    pub(crate) source: Option<Vec<String>>,
    pub(crate) page_size: Option<u64>,
    pub(crate) retrieve: Option<Retrieve>,
    pub(crate) json_as: JsonAs,
    pub(crate) json_field: Option<String>,
    pub(crate) flatten: bool,
    pub(crate) opaque: Option<Vec<String>>,
    pub(crate) ids_versions: IdsVersions,
    pub(crate) download_dir: Option<PathBuf>,
    pub(crate) max_file_bytes: Option<u64>,
    pub(crate) on_missing: Option<OnMissing>,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) type_conflict: Option<TypeConflict>,
    pub(crate) deletions: Option<Deletions>,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Names {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

/// What is fetched of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Retrieve {
    /// Nothing.
    None,
    /// Its content, as JSON.
    Json,
    /// Its content, into a folder.
    File,
}

/// What becomes of a document that was retrieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JsonAs {
    /// It is the value of one field.
    #[default]
    Field,
    /// Its members are fields of the record.
    Record,
}

/// What becomes of the versions of an IDS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdsVersions {
    /// They are one stream.
    #[default]
    Merge,
    /// Each major version is a stream.
    Apart,
}

/// What becomes of a file that was deleted before it could be retrieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnMissing {
    /// It is counted, and told.
    Skip,
    /// It becomes a reject.
    Reject,
    /// The stream ends.
    Stop,
}

/// What becomes of a file that cannot be retrieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    /// The stream ends.
    Stop,
    /// It becomes a reject.
    Reject,
}

/// What becomes of a value of another type than the schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TypeConflict {
    /// The stream ends.
    Error,
    /// The field holds texts from there on.
    Text,
    /// The record becomes a reject.
    Reject,
}

/// What is done about files that are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deletions {
    /// Nothing.
    Ignore,
    /// The ids of all files are compared with those of the last time.
    Diff,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        table::settings()
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.base()?;
        for (name, is_zero) in [
            ("parallel", self.parallel == 0),
            ("sample_size", self.sample_size == 0),
            ("presigned_life_seconds", self.presigned_life_seconds == 0),
        ] {
            if is_zero {
                return Err(Error::config(format!("`{name}` must be at least 1")));
            }
        }
        for (name, seconds) in [
            ("patience_seconds", self.patience_seconds),
            ("rate_limit_pause_seconds", self.rate_limit_pause_seconds),
        ] {
            if Duration::try_from_secs_f64(seconds).is_err() {
                return Err(Error::config(format!("`{name}` must not be negative")));
            }
        }
        if self.org_slug.trim().is_empty() {
            return Err(Error::config("`org_slug` is empty"));
        }
        if self.streams.is_empty() {
            return Err(Error::config("`streams` has no stream").with_hint(
                "a stream is a name and a query, such as {\"results\": {\"query\": {\"term\": {\"category\": \"IDS\"}}}}",
            ));
        }
        page_size("page_size", self.page_size)?;
        self.validate_folders()?;
        for (name, stream) in self.streams.iter() {
            self.validate_stream(name, stream)?;
        }
        Ok(())
    }
}

impl Config {
    /// Where the platform is.
    pub(crate) fn base(&self) -> Result<Base> {
        Base::parse("base_url", self.base_url.as_deref().unwrap_or(HOSTED))
    }

    /// How far a window reaches back over the one before it.
    pub(crate) fn overlap_seconds(&self) -> u32 {
        self.overlap_seconds.unwrap_or(self.lag_seconds)
    }

    /// A stream of the config with what holds for all of them.
    pub(crate) fn stream(&self, name: &str, stream: &StreamConfig) -> Stream {
        let retrieve = stream.retrieve.unwrap_or(self.retrieve);
        let most = stream.max_file_bytes.or(self.max_file_bytes);
        Stream {
            name: name.to_owned(),
            filter: query::prepared(stream.query.as_ref()),
            indices: stream.index.as_ref().map(Names::all).unwrap_or_default(),
            source: match (&stream.source, stream.json_as) {
                // A document has names of its own; these are none of an IDS, whose names have no capitals.
                (None, JsonAs::Record) => Some(BESIDE_A_DOCUMENT.map(str::to_owned).to_vec()),
                (source, _) => source.clone(),
            },
            page_size: stream.page_size.unwrap_or(self.page_size),
            retrieve,
            json_field: match stream.json_as {
                JsonAs::Record => None,
                JsonAs::Field => Some(stream.json_field.as_deref().unwrap_or("data").to_owned()),
            },
            flatten: stream.flatten,
            opaque: (stream.opaque.clone()).unwrap_or_else(|| vec!["metadata".to_owned()]),
            ids_versions: stream.ids_versions,
            download_dir: (stream.download_dir.clone())
                .or_else(|| self.download_dir.clone())
                .unwrap_or_else(|| PathBuf::from("downloads")),
            max_file_bytes: match retrieve {
                Retrieve::Json => most.unwrap_or(MAX_DOCUMENT_BYTES),
                Retrieve::None | Retrieve::File => most.unwrap_or(u64::MAX),
            },
            on_missing: stream.on_missing.unwrap_or(self.on_missing),
            on_failure: stream.on_failure.unwrap_or(self.on_failure),
            type_conflict: stream.type_conflict.unwrap_or(self.type_conflict),
            deletions: stream.deletions.unwrap_or(self.deletions),
        }
    }

    /// Two streams may have the same files, and must not write them at one place.
    fn validate_folders(&self) -> Result<()> {
        let mut folders = HashSet::new();
        for (name, stream) in self.streams.iter() {
            let stream = self.stream(name, stream);
            if stream.retrieve != Retrieve::File {
                continue;
            }
            // Some systems do not tell the two cases of a letter apart.
            let folder = files::safe_name(name).to_lowercase();
            if !folders.insert((stream.download_dir, folder)) {
                return Err(Error::config(format!(
                    "`streams.{name}` would have the folder of another stream for its files"
                ))
                .with_hint("give it a `download_dir` of its own, or another name"));
            }
        }
        Ok(())
    }

    fn validate_stream(&self, name: &str, stream: &StreamConfig) -> Result<()> {
        let place = format!("streams.{name}");
        if name.trim().is_empty() || name.contains(['*', '?', '/', ',']) {
            return Err(Error::config(format!("`{place}` is no name of a stream"))
                .with_hint("a name has no `*`, `?`, `/` or comma in it"));
        }
        if let Some(size) = stream.page_size {
            page_size(&format!("{place}.page_size"), size)?;
        }
        if let Some(query) = &stream.query {
            query::check(query, &format!("{place}.query"))?;
        }
        let fields = stream.source.iter().flatten();
        if fields.clone().any(|field| field.trim().is_empty()) {
            return Err(Error::config(format!("`{place}.source` has an empty name")));
        }
        if stream.source.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config(format!("`{place}.source` is empty"))
                .with_hint("leave it out to read all fields"));
        }
        let retrieve = stream.retrieve.unwrap_or(self.retrieve);
        let has_json_settings = stream.json_as == JsonAs::Record || stream.json_field.is_some();
        if has_json_settings && retrieve != Retrieve::Json {
            return Err(Error::config(format!(
                "`{place}` says what becomes of JSON documents, and retrieves none"
            ))
            .with_hint("`retrieve` must be `json`"));
        }
        if stream.json_as == JsonAs::Record && stream.json_field.is_some() {
            return Err(Error::config(format!(
                "`{place}.json_field` has no use with `\"json_as\": \"record\"`"
            )));
        }
        if (stream.json_field.as_deref()).is_some_and(|field| {
            field.is_empty() || field == crate::model::FILE_ID || field == crate::model::INDEXED_AT
        }) {
            return Err(Error::config(format!(
                "`{place}.json_field` is no name for the documents"
            )));
        }
        Ok(())
    }
}

fn page_size(name: &str, size: u64) -> Result<()> {
    if (1..=MAX_PAGE).contains(&size) {
        return Ok(());
    }
    Err(Error::config(format!(
        "`{name}` must be from 1 to {MAX_PAGE}"
    )))
}

/// One stream, with everything that the config says of it.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    /// Its name.
    pub(crate) name: String,
    /// What files must match.
    pub(crate) filter: Value,
    /// The indices to search; all if there are none.
    pub(crate) indices: Vec<String>,
    /// The fields to ask for; all if there is no list.
    pub(crate) source: Option<Vec<String>>,
    /// Hits of a page.
    pub(crate) page_size: u64,
    /// What is fetched of each file.
    pub(crate) retrieve: Retrieve,
    /// The field that a retrieved document becomes; none if its members are those of the record.
    pub(crate) json_field: Option<String>,
    /// Whether objects in objects become fields of their own.
    pub(crate) flatten: bool,
    /// Fields whose content is not described.
    pub(crate) opaque: Vec<String>,
    /// What becomes of versions.
    pub(crate) ids_versions: IdsVersions,
    /// Where files go.
    pub(crate) download_dir: PathBuf,
    /// Larger files are not fetched.
    pub(crate) max_file_bytes: u64,
    /// What becomes of files that are gone.
    pub(crate) on_missing: OnMissing,
    /// What becomes of files that cannot be retrieved.
    pub(crate) on_failure: OnFailure,
    /// What becomes of values of another type.
    pub(crate) type_conflict: TypeConflict,
    /// What is done about deleted files.
    pub(crate) deletions: Deletions,
}

#[cfg(test)]
pub(crate) mod tests;
