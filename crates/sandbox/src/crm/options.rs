//! Settings of the CRM stand-in. Limits have the numbers of the facts; what the facts leave open is a
//! setting, so that a client can be tried against each reading.

use clap::{Args, ValueEnum};

/// Settings of the CRM stand-in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Zoho CRM")]
pub struct CrmOptions {
    /// The number of the organisation, which an upload names in `X-CRM-ORG`
    #[arg(
        id = "crm-zgid",
        long = "crm-zgid",
        value_name = "ID",
        default_value_t = 704_881_200
    )]
    pub zgid: u64,

    /// The time zone of the organisation, in which it writes its times
    #[arg(
        id = "crm-time-zone",
        long = "crm-time-zone",
        value_name = "NAME",
        default_value = "Europe/Oslo"
    )]
    pub time_zone: String,

    /// What the modules hold at the start
    #[arg(id = "crm-sample", long = "crm-sample", value_enum, default_value_t = CrmSample::None)]
    pub sample: CrmSample,

    /// Leads of the sample; a twentieth as many contacts, and accounts for each ten of these
    #[arg(
        id = "crm-rows",
        long = "crm-rows",
        value_name = "N",
        default_value_t = 250
    )]
    pub rows: usize,

    /// Records of one bulk read
    #[arg(
        id = "crm-page-rows",
        long = "crm-page-rows",
        value_name = "N",
        default_value_t = 200_000
    )]
    pub page_rows: usize,

    /// Pages that a bulk read reaches by `page` before v7 (open: 50 and 500 are documented)
    #[arg(
        id = "crm-page-range",
        long = "crm-page-range",
        value_name = "N",
        default_value_t = 500
    )]
    pub page_range: usize,

    /// Values of `in` in criteria (open: 20 and 200 are documented)
    #[arg(
        id = "crm-in-values",
        long = "crm-in-values",
        value_name = "N",
        default_value_t = 200
    )]
    pub in_values: usize,

    /// What stands between the values of a multi-select in a bulk read (open)
    #[arg(id = "crm-multi-separator", long = "crm-multi-separator", value_enum, default_value_t = Separator::Semicolon)]
    pub multi_separator: Separator,

    /// The header of the id in a bulk read
    #[arg(
        id = "crm-id-header",
        long = "crm-id-header",
        value_name = "NAME",
        default_value = "Id"
    )]
    pub id_header: String,

    /// End the lines of a bulk read with CR LF (open)
    #[arg(id = "crm-csv-crlf", long = "crm-csv-crlf")]
    pub csv_crlf: bool,

    /// Begin a bulk read with a byte order mark (open)
    #[arg(id = "crm-csv-bom", long = "crm-csv-bom")]
    pub csv_bom: bool,

    /// Whether bulk reads have converted leads (open)
    #[arg(id = "crm-bulk-converted", long = "crm-bulk-converted", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub bulk_converted: bool,

    /// The code of a page token that is too old (open)
    #[arg(
        id = "crm-token-code",
        long = "crm-token-code",
        value_name = "CODE",
        default_value = "EXPIRED_VALUE"
    )]
    pub token_code: String,

    /// Looks at a job until it is completed: 0 begins it at once
    #[arg(
        id = "crm-job-polls",
        long = "crm-job-polls",
        value_name = "N",
        default_value_t = 1
    )]
    pub job_polls: u32,

    /// Milliseconds after which a job is carried out even if nobody looks at it
    #[arg(
        id = "crm-job-ms",
        long = "crm-job-ms",
        value_name = "N",
        default_value_t = 1000
    )]
    pub job_ms: u64,

    /// Bulk jobs that may wait or run at the same time (open); as many as come if left out
    #[arg(id = "crm-jobs", long = "crm-jobs", value_name = "N")]
    pub jobs: Option<usize>,

    /// Downloads of results in a minute
    #[arg(
        id = "crm-downloads",
        long = "crm-downloads",
        value_name = "N",
        default_value_t = 10
    )]
    pub downloads: usize,

    /// Requests that are answered at the same time
    #[arg(
        id = "crm-concurrency",
        long = "crm-concurrency",
        value_name = "N",
        default_value_t = 20
    )]
    pub concurrency: usize,

    /// Credits of 24 hours
    #[arg(
        id = "crm-credits",
        long = "crm-credits",
        value_name = "N",
        default_value_t = 75_000
    )]
    pub credits: u64,

    /// Bytes of an uploaded ZIP (open: whether a megabyte has 1,000,000 or 1,048,576)
    #[arg(
        id = "crm-upload-bytes",
        long = "crm-upload-bytes",
        value_name = "N",
        default_value_t = 25_000_000
    )]
    pub upload_bytes: usize,

    /// The status of refused uploads (open: 400 is documented, 200 is seen)
    #[arg(
        id = "crm-upload-status",
        long = "crm-upload-status",
        value_name = "STATUS",
        default_value_t = 200
    )]
    pub upload_status: u16,

    /// Seconds that an uploaded file waits for its job (open)
    #[arg(
        id = "crm-file-seconds",
        long = "crm-file-seconds",
        value_name = "N",
        default_value_t = 86_400
    )]
    pub file_seconds: u64,

    /// Rows of one bulk write (open: 25,000, or 10,000 on one page)
    #[arg(
        id = "crm-write-rows",
        long = "crm-write-rows",
        value_name = "N",
        default_value_t = 25_000
    )]
    pub write_rows: usize,

    /// Columns of one bulk write
    #[arg(
        id = "crm-write-columns",
        long = "crm-write-columns",
        value_name = "N",
        default_value_t = 200
    )]
    pub write_columns: usize,

    /// Which fields `find_by` takes beside the id (open)
    #[arg(id = "crm-find-by", long = "crm-find-by", value_enum, default_value_t = FindBy::DuplicateCheck)]
    pub find_by: FindBy,

    /// What a bulk write does with unknown values of a list, if the field does not say (open)
    #[arg(id = "crm-unknown-picks", long = "crm-unknown-picks", value_enum, default_value_t = UnknownPicks::Refuse)]
    pub unknown_picks: UnknownPicks,

    /// What a bulk write does with a key that came before in the same file (open)
    #[arg(id = "crm-equal-keys", long = "crm-equal-keys", value_enum, default_value_t = EqualKeys::InOrder)]
    pub equal_keys: EqualKeys,

    /// Whether a format may have an offset, `XXX` (open)
    #[arg(id = "crm-offset-format", long = "crm-offset-format", value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub offset_format: bool,

    /// The status of a running bulk write (open: both are seen)
    #[arg(
        id = "crm-write-progress",
        long = "crm-write-progress",
        value_name = "STATUS",
        default_value = "INPROGRESS"
    )]
    pub write_progress: String,

    /// The address of the result of a bulk write (open: all are seen)
    #[arg(id = "crm-write-result", long = "crm-write-result", value_enum, default_value_t = WriteResult::Path)]
    pub write_result: WriteResult,

    /// Fields that a COQL query selects (open: 50 in older text, 500 is seen)
    #[arg(
        id = "crm-coql-fields",
        long = "crm-coql-fields",
        value_name = "N",
        default_value_t = 500
    )]
    pub coql_fields: usize,

    /// The status when nothing was modified since (open: 304 or 204)
    #[arg(
        id = "crm-unchanged-status",
        long = "crm-unchanged-status",
        value_name = "STATUS",
        default_value_t = 304
    )]
    pub unchanged_status: u16,

    /// Whether a restored record gets a new `Modified_Time` (open)
    #[arg(id = "crm-restored-modified", long = "crm-restored-modified", value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub restored_modified: bool,
}

/// What the modules hold at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CrmSample {
    /// Nothing: the modules are empty
    None,
    /// Leads as they get after some years, contacts, and accounts
    Leads,
}

/// What stands between the values of a multi-select.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Separator {
    /// `;`
    Semicolon,
    /// `,`
    Comma,
}

impl Separator {
    /// As text.
    pub fn text(self) -> &'static str {
        match self {
            Separator::Semicolon => ";",
            Separator::Comma => ",",
        }
    }
}

/// Which fields `find_by` takes beside the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FindBy {
    /// Unique ones
    Unique,
    /// Those too by which duplicates are looked for, such as the e-mail of leads
    DuplicateCheck,
}

/// What becomes of unknown values of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnknownPicks {
    /// The row is refused
    Refuse,
    /// The list gets them
    Add,
}

/// What becomes of a row whose key came before in the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EqualKeys {
    /// It is applied after the other
    InOrder,
    /// It is applied before the other
    Reversed,
    /// It is skipped as a duplicate
    Refuse,
}

/// The address of the result of a bulk write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WriteResult {
    /// A path that begins with the version
    Path,
    /// The whole address
    Absolute,
}
