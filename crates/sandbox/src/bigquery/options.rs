//! Settings of the BigQuery stand-in. Limits have the numbers of the facts; what the facts leave open
//! is a setting, so that a client can be tried against each reading.

use clap::{Args, ValueEnum};

/// Settings of the BigQuery stand-in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "BigQuery")]
pub struct BigQueryOptions {
    /// The project that the metadata server names
    #[arg(
        id = "bigquery-project",
        long = "bigquery-project",
        value_name = "ID",
        default_value = "sandbox-project"
    )]
    pub project: String,

    /// The location of datasets that are created without one
    #[arg(
        id = "bigquery-location",
        long = "bigquery-location",
        value_name = "NAME",
        default_value = "US"
    )]
    pub location: String,

    /// Whether requests without a bearer token are let in; the real service answers them with 401
    #[arg(id = "bigquery-anonymous", long = "bigquery-anonymous", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub anonymous: bool,

    /// Seconds that an access token from the token endpoints is good for
    #[arg(
        id = "bigquery-token-seconds",
        long = "bigquery-token-seconds",
        value_name = "N",
        default_value_t = 3600
    )]
    pub token_seconds: u64,

    /// For measuring: loads and appends are counted and their rows dropped unread, statements on rows
    /// change nothing
    #[arg(id = "bigquery-drain", long = "bigquery-drain")]
    pub drain: bool,

    /// Looks at a job until it is DONE: 0 makes it DONE in the answer to its creation
    #[arg(
        id = "bigquery-job-polls",
        long = "bigquery-job-polls",
        value_name = "N",
        default_value_t = 1
    )]
    pub job_polls: u32,

    /// Milliseconds after which a job is carried out even if nobody looks at it
    #[arg(
        id = "bigquery-job-ms",
        long = "bigquery-job-ms",
        value_name = "N",
        default_value_t = 2000
    )]
    pub job_ms: u64,

    /// Load, copy and query jobs that may change one table in a day, failed ones included
    #[arg(
        id = "bigquery-table-jobs-per-day",
        long = "bigquery-table-jobs-per-day",
        value_name = "N",
        default_value_t = 1500
    )]
    pub table_jobs_per_day: u32,

    /// Changes of the metadata of one table in 10 seconds
    #[arg(
        id = "bigquery-metadata-updates",
        long = "bigquery-metadata-updates",
        value_name = "N",
        default_value_t = 5
    )]
    pub metadata_updates: u32,

    /// Load jobs into one table in 10 seconds
    #[arg(
        id = "bigquery-loads",
        long = "bigquery-loads",
        value_name = "N",
        default_value_t = 5
    )]
    pub loads: u32,

    /// Mutating statements that may wait for one table, the 2 that run not counted
    #[arg(
        id = "bigquery-queued-dml",
        long = "bigquery-queued-dml",
        value_name = "N",
        default_value_t = 20
    )]
    pub queued_dml: u32,

    /// The largest body of insertAll in bytes
    #[arg(id = "bigquery-insert-bytes", long = "bigquery-insert-bytes", value_name = "N", default_value_t = 10 << 20)]
    pub insert_bytes: usize,

    /// The most rows of one insertAll
    #[arg(
        id = "bigquery-insert-rows",
        long = "bigquery-insert-rows",
        value_name = "N",
        default_value_t = 50_000
    )]
    pub insert_rows: usize,

    /// The largest row of insertAll in bytes (open: 1 MB and 10 MB are documented)
    #[arg(id = "bigquery-row-bytes", long = "bigquery-row-bytes", value_name = "N", default_value_t = 10 << 20)]
    pub row_bytes: usize,

    /// The largest row of a load job in bytes
    #[arg(id = "bigquery-load-row-bytes", long = "bigquery-load-row-bytes", value_name = "N", default_value_t = 100 << 20)]
    pub load_row_bytes: usize,

    /// Seconds that a row of insertAll stays in the streaming buffer (open: 30 or 90 minutes)
    #[arg(
        id = "bigquery-streaming-seconds",
        long = "bigquery-streaming-seconds",
        value_name = "N",
        default_value_t = 1800
    )]
    pub streaming_seconds: u64,

    /// Seconds in which a repeated `insertId` is noticed
    #[arg(
        id = "bigquery-insert-id-seconds",
        long = "bigquery-insert-id-seconds",
        value_name = "N",
        default_value_t = 60
    )]
    pub insert_id_seconds: u64,

    /// The largest AppendRows request in bytes (open: 10 MB and 20 MB are documented)
    #[arg(id = "bigquery-append-bytes", long = "bigquery-append-bytes", value_name = "N", default_value_t = 10 << 20)]
    pub append_bytes: usize,

    /// Seconds after a CDC append in which mutating statements on its table are refused (open)
    #[arg(
        id = "bigquery-cdc-seconds",
        long = "bigquery-cdc-seconds",
        value_name = "N",
        default_value_t = 1800
    )]
    pub cdc_seconds: u64,

    /// Seconds for which appends do not know a new column, from the first that could (minutes with the service)
    #[arg(
        id = "bigquery-schema-lag-seconds",
        long = "bigquery-schema-lag-seconds",
        value_name = "N",
        default_value_t = 0
    )]
    pub schema_lag_seconds: u64,

    /// Seconds after which an upload that was begun is forgotten
    #[arg(
        id = "bigquery-upload-seconds",
        long = "bigquery-upload-seconds",
        value_name = "N",
        default_value_t = 604_800
    )]
    pub upload_seconds: u64,

    /// What becomes of digits behind the point that NUMERIC has no place for (open)
    #[arg(id = "bigquery-excess-digits", long = "bigquery-excess-digits", value_enum, default_value_t = ExcessDigits::Refuse)]
    pub excess_digits: ExcessDigits,

    /// Play a project without billing: insertAll and DML are refused
    #[arg(id = "bigquery-no-billing", long = "bigquery-no-billing")]
    pub no_billing: bool,
}

/// What becomes of digits behind the point that NUMERIC has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExcessDigits {
    /// The row is a bad one
    Refuse,
    /// They are rounded half away from zero
    Round,
}
