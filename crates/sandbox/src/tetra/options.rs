//! Settings of the stand-in of the Tetra Data Platform. Limits have the numbers of the facts; what the
//! facts leave open is a setting, so that a client can be tried against each reading.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// Settings of the stand-in of the Tetra Data Platform.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tetra Data Platform")]
pub struct TetraOptions {
    /// The slug of the organisation
    #[arg(
        id = "tetra-org",
        long = "tetra-org",
        value_name = "SLUG",
        default_value = "acme"
    )]
    pub org: String,

    /// A token that never ends, as those of service users; may be repeated
    #[arg(
        id = "tetra-token",
        long = "tetra-token",
        value_name = "TOKEN",
        default_value = "sandbox-token"
    )]
    pub tokens: Vec<String>,

    /// Address of the storage, to which links lead; port 0 takes a free one
    #[arg(
        id = "tetra-storage",
        long = "tetra-storage",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0"
    )]
    pub storage: SocketAddr,

    /// What is there at the start
    #[arg(id = "tetra-sample", long = "tetra-sample", value_enum, default_value_t = Sample::None)]
    pub sample: Sample,

    /// Files of the sample
    #[arg(
        id = "tetra-files",
        long = "tetra-files",
        value_name = "N",
        default_value_t = 240
    )]
    pub files: usize,

    /// Milliseconds between two files of the sample, the first of which is of 2024-05-06
    #[arg(
        id = "tetra-between-ms",
        long = "tetra-between-ms",
        value_name = "N",
        default_value_t = 60_000
    )]
    pub between_ms: u64,

    /// Bytes of a RAW file of the sample
    #[arg(
        id = "tetra-raw-bytes",
        long = "tetra-raw-bytes",
        value_name = "N",
        default_value_t = 4_000
    )]
    pub raw_bytes: u64,

    /// Points of each data cube of the sample, which the index does not hold
    #[arg(
        id = "tetra-points",
        long = "tetra-points",
        value_name = "N",
        default_value_t = 60
    )]
    pub points: u64,

    /// Milliseconds between two new files of the sample that arrive by themselves; none if left out
    #[arg(id = "tetra-arriving-ms", long = "tetra-arriving-ms", value_name = "N")]
    pub arriving_ms: Option<u64>,

    /// Milliseconds after its `indexedAt` from which a document is found (open)
    #[arg(
        id = "tetra-index-ms",
        long = "tetra-index-ms",
        value_name = "N",
        default_value_t = 1_000
    )]
    pub index_ms: u64,

    /// Every Nth document that is indexed takes `--tetra-late-ms` instead; none if 0
    #[arg(
        id = "tetra-late-every",
        long = "tetra-late-every",
        value_name = "N",
        default_value_t = 0
    )]
    pub late_every: u64,

    /// Milliseconds from which a late document is found
    #[arg(
        id = "tetra-late-ms",
        long = "tetra-late-ms",
        value_name = "N",
        default_value_t = 60_000
    )]
    pub late_ms: u64,

    /// Files that are indexed again with each page that has hits behind it: of the page and behind it in turns
    #[arg(
        id = "tetra-reindex-per-page",
        long = "tetra-reindex-per-page",
        value_name = "N",
        default_value_t = 0
    )]
    pub reindex_per_page: usize,

    /// `indexedAt` has whole seconds (open)
    #[arg(id = "tetra-indexed-seconds", long = "tetra-indexed-seconds")]
    pub indexed_seconds: bool,

    /// Whether a change of labels alone gives a document a new `indexedAt` (open)
    #[arg(id = "tetra-label-stamps", long = "tetra-label-stamps", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub label_stamps: bool,

    /// What a second run of a pipeline makes of an IDS file (open: likely both are seen)
    #[arg(id = "tetra-reprocess", long = "tetra-reprocess", value_enum, default_value_t = Reprocess::Version)]
    pub reprocess: Reprocess,

    /// How `hits.total` is written (both are seen)
    #[arg(id = "tetra-total", long = "tetra-total", value_enum, default_value_t = Total::Number)]
    pub total: Total,

    /// What becomes of `track_total_hits` (open: it may not pass in every deployment)
    #[arg(id = "tetra-tracking", long = "tetra-tracking", value_enum, default_value_t = Tracking::Taken)]
    pub tracking: Tracking,

    /// Takes times in `search_after` that are no numbers, as hits show them (open)
    #[arg(id = "tetra-after-texts", long = "tetra-after-texts")]
    pub after_texts: bool,

    /// Takes searches that are not said to be JSON (open)
    #[arg(id = "tetra-any-content-type", long = "tetra-any-content-type")]
    pub any_content_type: bool,

    /// What becomes of a key that an object of the query has twice
    #[arg(id = "tetra-equal-keys", long = "tetra-equal-keys", value_enum, default_value_t = EqualKeys::Last)]
    pub equal_keys: EqualKeys,

    /// Documents of deleted files (open)
    #[arg(id = "tetra-deleted", long = "tetra-deleted", value_enum, default_value_t = Deleted::Hidden)]
    pub deleted: Deleted,

    /// Whether terms match `metadata` and `tags` (open: a report says that they do not)
    #[arg(id = "tetra-metadata-terms", long = "tetra-metadata-terms", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub metadata_terms: bool,

    /// Write categories in small letters, as an older sample does
    #[arg(id = "tetra-small-categories", long = "tetra-small-categories")]
    pub small_categories: bool,

    /// The greatest answer of a search in bytes (open); no limit if left out
    #[arg(
        id = "tetra-answer-bytes",
        long = "tetra-answer-bytes",
        value_name = "N"
    )]
    pub answer_bytes: Option<usize>,

    /// The status of an answer that would be greater (open)
    #[arg(
        id = "tetra-large-status",
        long = "tetra-large-status",
        value_name = "STATUS",
        default_value_t = 413
    )]
    pub large_status: u16,

    /// Searches in a minute (open); no limit if left out
    #[arg(id = "tetra-searches", long = "tetra-searches", value_name = "N")]
    pub searches: Option<u64>,

    /// Retrieves in a minute, those of links included (open); no limit if left out
    #[arg(id = "tetra-retrieves", long = "tetra-retrieves", value_name = "N")]
    pub retrieves: Option<u64>,

    /// Retrieves at the same time (open); no limit if left out
    #[arg(id = "tetra-concurrency", long = "tetra-concurrency", value_name = "N")]
    pub concurrency: Option<usize>,

    /// The status of a call over a limit (open: 502 is seen)
    #[arg(
        id = "tetra-throttle-status",
        long = "tetra-throttle-status",
        value_name = "STATUS",
        default_value_t = 502
    )]
    pub throttle_status: u16,

    /// Seconds of the `Retry-After` of such an answer (open); no header if left out
    #[arg(id = "tetra-retry-after", long = "tetra-retry-after", value_name = "N")]
    pub retry_after: Option<u64>,

    /// Seconds that a link is good for
    #[arg(
        id = "tetra-link-seconds",
        long = "tetra-link-seconds",
        value_name = "N",
        default_value_t = 300
    )]
    pub link_seconds: u64,

    /// Whether squeezed content comes with `Content-Encoding` (open)
    #[arg(id = "tetra-encoding-header", long = "tetra-encoding-header", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub encoding_header: bool,

    /// What `file.size` says of squeezed content (open)
    #[arg(id = "tetra-gzip-size", long = "tetra-gzip-size", value_enum, default_value_t = GzipSize::Stored)]
    pub gzip_size: GzipSize,

    /// Milliseconds that the clock of the service is ahead of this machine's, or behind it
    #[arg(
        id = "tetra-clock-skew-ms",
        long = "tetra-clock-skew-ms",
        value_name = "N",
        default_value_t = 0,
        allow_hyphen_values = true
    )]
    pub clock_skew_ms: i64,

    /// People sign in elsewhere: `/login` is refused
    #[arg(id = "tetra-single-sign-on", long = "tetra-single-sign-on")]
    pub single_sign_on: bool,
}

/// What is there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    /// Nothing
    None,
    /// A laboratory: files of chromatographs and plate readers, and the documents made of them
    Instruments,
}

impl TetraOptions {
    /// A time as `indexedAt` has it.
    pub(super) fn stamped(&self, ms: i64) -> i64 {
        if self.indexed_seconds {
            ms - ms.rem_euclid(1000)
        } else {
            ms
        }
    }
}

/// What a second run of a pipeline makes of an IDS file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reprocess {
    /// A new version of it
    Version,
    /// Another file, and the one before is outdated
    File,
}

/// What becomes of `track_total_hits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tracking {
    /// It counts
    Taken,
    /// It is as if it was not there
    Ignored,
    /// The query is refused
    Refused,
}

/// How `hits.total` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Total {
    /// As a number
    Number,
    /// As an object of value and relation
    Object,
}

/// What becomes of a key that an object has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EqualKeys {
    /// The last one counts
    Last,
    /// The query is refused
    Refuse,
}

/// What search shows of deleted files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deleted {
    /// Nothing
    Hidden,
    /// Their document, with `deleted`
    Shown,
}

/// What `file.size` says of squeezed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GzipSize {
    /// The bytes as they are stored
    Stored,
    /// The bytes that they unpack to
    Plain,
}
