//! The settings: what they are called, what they mean, and which of them apply to a stream.

use serde::Deserialize;
use serde_json::json;
use singer_core::{Error, Result, SecretSource};
use singer_net::{Base, HttpConfig};
use singer_runtime::setting::{self, Setting, Settings};

pub use streams::{Chosen, Dedupe, PartitionBy, PartitionKind, StreamConfig, Streams};

mod streams;

/// BigQuery's own host.
const ENDPOINT: &str = "https://bigquery.googleapis.com";

/// The host of the Storage Write API.
const GRPC_ENDPOINT: &str = "https://bigquerystorage.googleapis.com";

/// The config of the target.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// The project that holds the data sets and pays for jobs.
    pub project: Option<String>,
    /// A file with credentials.
    pub credentials_path: Option<String>,
    /// The credentials themselves, or an access token.
    pub credentials: Option<SecretSource>,
    /// How a service account proves itself.
    pub service_account_token: ServiceAccountToken,
    /// Where the data sets are, and jobs run.
    pub location: Option<String>,
    /// Where the REST API is found, if not at Google's.
    pub endpoint: Option<String>,
    /// Where the Storage Write API is found, if not at Google's.
    pub grpc_endpoint: Option<String>,
    /// How rows get there.
    pub method: Method,
    /// Whether uploads are compressed.
    pub compression: Compression,
    /// Bytes of records in one load job.
    pub load_batch_bytes: usize,
    /// Bytes of one piece of an upload.
    pub upload_chunk_bytes: usize,
    /// Bytes of one request to the Storage Write API.
    pub append_request_bytes: usize,
    /// Rows in one insertAll request.
    pub insert_rows: usize,
    /// How long a job, and a request that is throttled, is waited for.
    pub patience_seconds: f64,
    /// A cap on what one statement may read.
    pub maximum_bytes_billed: Option<u64>,
    /// The folder where unfinished runs leave word of their jobs.
    pub journal_path: String,
    /// Whether missing data sets are created.
    pub create_dataset: bool,
    /// Jobs and requests in flight.
    pub parallel: Option<usize>,
    /// What all connectors over HTTP share.
    #[serde(flatten)]
    pub http: HttpConfig,
    /// Settings by stream.
    #[serde(default)]
    pub streams: Streams,
    /// What applies to streams that say nothing else.
    #[serde(flatten)]
    pub general: StreamConfig,
}

/// How a service account proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAccountToken {
    /// By a token that it signs itself.
    SelfSigned,
    /// By a token that Google gives for a signed one.
    Exchange,
}

/// How rows get into BigQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Load jobs into staging tables, then one statement a batch.
    Load,
    /// The Storage Write API.
    StorageWrite,
    /// insertAll.
    Streaming,
}

/// Whether uploads are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// By gzip, at its fast level.
    Gzip,
    /// Not at all.
    None,
}

/// What becomes of the rows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each is a new row.
    Append,
    /// Each takes the place of the row with its key.
    Upsert,
    /// All together take the place of all rows.
    Replace,
    /// Each is a new row; superseded versions are deleted later.
    AppendDedupe,
}

/// What becomes of rows that vanished, or come with `_sdc_deleted_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// They are marked in `_sdc_deleted_at`.
    Soft,
    /// They are deleted.
    Hard,
}

/// What becomes of a column whose type in the table takes no values of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTypeConflict {
    /// The stream is not written.
    #[default]
    Error,
    /// Its values go to a column of their own, `name__type`.
    Variant,
}

/// What becomes of objects whose properties are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// They become RECORD columns.
    #[default]
    Record,
    /// They become JSON columns.
    Json,
}

/// What becomes of numbers, and fractions of a second, that a column does not keep whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digits {
    /// The row is refused.
    #[default]
    Exact,
    /// They are rounded or cut.
    Round,
}

/// The type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberType {
    /// The narrowest that keeps what the schema promises.
    #[default]
    Auto,
    /// NUMERIC.
    Numeric,
    /// BIGNUMERIC.
    Bignumeric,
    /// FLOAT.
    Float,
    /// STRING.
    String,
}

/// What becomes of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrays {
    /// They become REPEATED columns, which hold no null.
    #[default]
    Repeated,
    /// They become JSON columns.
    Json,
}

/// The type of date-times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateTimes {
    /// TIMESTAMP.
    #[default]
    Timestamp,
    /// DATETIME, the civil time in UTC.
    Datetime,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        let mut settings = vec![
            Setting::text("project").in_starter().about(
                "The project that holds the data sets and pays for jobs; that of the credentials if left out.",
            ),
            Setting::text("dataset").in_starter().about(
                "The data set. `{column}` stands for a column's value: `tenant_{organization_id}` gives each organization a data set of its own.",
            ),
            Setting::text("credentials_path").about(
                "A file of Google credentials (service account, user, workload identity); Application Default Credentials if left out.",
            ),
            Setting::secret("credentials").not_in_starter().about(
                "The text of such a file, or an access token, instead of `credentials_path`; read again when BigQuery says that it is no longer good.",
            ),
            Setting::word("service_account_token", &["self_signed", "exchange"])
                .default("self_signed")
                .about("How a service account proves itself: by a token that it signs itself, or by one that its `token_uri` gives for it."),
            Setting::text("location").about(
                "Where data sets are created and jobs run, such as `EU` or `asia-south1`; that of the data set, else `US`, if left out.",
            ),
            Setting::text("endpoint").about(
                "Where the REST API is found, for an emulator or a private endpoint; plain `http://` is taken only here.",
            ),
            Setting::text("grpc_endpoint").about("Where the Storage Write API is found."),
            Setting::word("method", &["load", "storage_write", "streaming"])
                .default("load")
                .about("How rows get there: load jobs (free, the default), the Storage Write API (rows are seen at once, paid by volume), or insertAll (for those who must)."),
            Setting::word("compression", &["gzip", "none"])
                .default("gzip")
                .about("Whether uploads of load jobs are compressed; some emulators take no gzip."),
            Setting::integer("load_batch_bytes")
                .default(6 << 20)
                .about("Bytes of records in one load job at most. Larger ones are fewer, and so is what MERGE reads in all; the memory that the target takes is some three times as large."),
            Setting::integer("upload_chunk_bytes")
                .default(8 << 20)
                .about("Bytes of one piece of an upload, a multiple of 262144: what is sent again after a connection breaks."),
            Setting::integer("append_request_bytes")
                .default(9_000_000)
                .about("Bytes of one request to the Storage Write API; the documented limit is 10 MB, newer pages say 20."),
            Setting::integer("insert_rows")
                .default(500)
                .about("Rows in one insertAll request, 50000 at most."),
            Setting::number("patience_seconds")
                .default(3600)
                .about("How long one job, and one request that is throttled, is waited for; beyond it the run ends with 75."),
            Setting::integer("maximum_bytes_billed").about(
                "A cap on what one statement may read; a statement that would read more fails and costs nothing.",
            ),
            Setting::text("journal_path")
                .default("target-bigquery.journal")
                .about("The folder where a run notes its unfinished jobs, so that the next one does not append their rows again."),
            Setting::boolean("create_dataset")
                .default(json!(true))
                .about("Creates data sets that are missing."),
        ];
        settings.extend(setting::http());
        settings.extend(streams::settings(streams::Level::General));
        settings.push(
            Setting::map("streams", streams::settings(streams::Level::Stream))
                .about("Settings by stream: a stream's name or a pattern with `*` and `?`; the name wins over patterns, of these the first that fits counts."),
        );
        settings
    }

    fn validate(&self) -> Result<()> {
        self.http.validate()?;
        self.base()?;
        self.grpc_base()?;
        for (name, value, least, most) in [
            ("insert_rows", self.insert_rows, 1, 50_000),
            (
                "load_batch_bytes",
                self.load_batch_bytes,
                1 << 20,
                128 << 20,
            ),
            (
                "append_request_bytes",
                self.append_request_bytes,
                1_000,
                20_000_000,
            ),
            (
                "upload_chunk_bytes",
                self.upload_chunk_bytes,
                262_144,
                1 << 30,
            ),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::config(format!(
                    "`{name}` must be between {least} and {most}"
                )));
            }
        }
        if !self.upload_chunk_bytes.is_multiple_of(262_144) {
            return Err(Error::config(
                "`upload_chunk_bytes` must be a multiple of 262144",
            ));
        }
        if !(1.0..=1e7).contains(&self.patience_seconds) {
            return Err(Error::config("`patience_seconds` must be at least 1"));
        }
        if self.method == Method::StorageWrite && self.is_stand_in() && self.grpc_endpoint.is_none()
        {
            return Err(Error::config("`grpc_endpoint` is missing").with_hint(
                "`endpoint` leads to a stand-in; without `grpc_endpoint` rows would go to BigQuery itself",
            ));
        }
        let mut streams = self.streams.iter();
        if self.general.dataset.is_none()
            && (self.streams.is_empty() || streams.any(|(_, stream)| stream.dataset.is_none()))
        {
            return Err(Error::config("`dataset` is missing")
                .with_hint("name it for all streams, or for each in `streams.<name>.dataset`"));
        }
        self.general.validate("", self.method)?;
        streams::validate(&self.streams, self.method)
    }
}

impl Config {
    /// Where the REST API is.
    pub fn base(&self) -> Result<Base> {
        Base::parse("endpoint", self.endpoint.as_deref().unwrap_or(ENDPOINT))
    }

    /// Where the Storage Write API is.
    pub fn grpc_base(&self) -> Result<Base> {
        Base::parse(
            "grpc_endpoint",
            self.grpc_endpoint.as_deref().unwrap_or(GRPC_ENDPOINT),
        )
    }

    /// Whether a stand-in takes BigQuery's place.
    pub fn is_stand_in(&self) -> bool {
        self.endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// Jobs and requests in flight at most.
    pub fn parallel(&self) -> usize {
        self.parallel.unwrap_or(crate::PARALLEL).max(1)
    }
}
