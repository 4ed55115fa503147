//! Every key of `antiphon.toml`: what is accepted, what the README's tables say, what the comments of a
//! starter say. A key that is read and does not stand here would be refused as unknown.

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What may stand behind it, for people.
    pub(crate) form: &'static str,
    /// What holds without it; empty if nothing does.
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
}

const fn key(
    name: &'static str,
    form: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        form,
        default,
        meaning,
    }
}

/// The tables at the top of the file.
pub(crate) static TOP: &[Key] = &[
    key(
        "pipelines",
        "tables by name",
        "",
        "the pipelines: `[pipelines.accounts]`; a name has letters, digits, `_`, `-`, `.`, at most 100",
    ),
    key(
        "defaults",
        "a table",
        "",
        "what holds for every pipeline that does not say otherwise: any key of a pipeline but its stages",
    ),
    key(
        "store",
        "a table",
        "",
        "where states, history, logs and rejects are kept",
    ),
    key("retention", "a table", "", "how much of the past is kept"),
    key(
        "notify",
        "tables by name",
        "",
        "whom to tell: `[notify.ops]`",
    ),
];

/// The stages of a pipeline.
pub(crate) static STAGES: &[Key] = &[
    key("tap", "a stage", "", "the source; required"),
    key(
        "map",
        "a stage or a list",
        "none",
        "what changes the messages in between",
    ),
    key("target", "a stage", "", "the destination; required"),
];

/// What a pipeline may say besides its stages, and what `[defaults]` may say for all.
pub(crate) static SETTINGS: &[Key] = &[
    key(
        "schedule",
        "cron or `@hourly`",
        "none",
        "when it is due, five fields of cron or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`; see `antiphon schedule`; `\"none\"` takes back a default",
    ),
    key(
        "local_time",
        "true, false",
        "false",
        "read the schedule in the machine's time zone, not in UTC",
    ),
    key(
        "timeout",
        "duration",
        "none",
        "a run that takes longer is ended; `\"none\"` takes back a default",
    ),
    key(
        "grace",
        "duration",
        "30s",
        "from the polite signal to the kill",
    ),
    key(
        "retries",
        "0 to 100",
        "2",
        "how often a temporary failure is tried again within one run, from the newest state",
    ),
    key(
        "retry_wait",
        "duration",
        "30s",
        "the wait before the first retry; it doubles",
    ),
    key(
        "retry_on",
        "exit codes",
        "none",
        "exit codes that count as temporary besides 75",
    ),
    key(
        "notify",
        "a name or a list",
        "none",
        "the notifiers that hear of its runs",
    ),
    key(
        "count",
        "`auto`, `lines`, `metrics`",
        "auto",
        "`lines`: a stage in the pipe counts the records; `metrics`: counts come from what the stages say alone; `auto`: a counting stage only if neither the tap nor the target is one of ours",
    ),
    key(
        "state_backwards",
        "`refuse`, `warn`, `accept`",
        "refuse",
        "what happens to a state whose bookmarks lie before those of the state before",
    ),
    key(
        "environment",
        "a table",
        "none",
        "variables for the stages on top of the runner's own; a text or a secret form; those of `[defaults]` hold too",
    ),
    key("shards", "", "", "reserved for a later version"),
];

/// A tap, a map, a target.
pub(crate) static STAGE: &[Key] = &[
    key(
        "exec",
        "a text",
        "",
        "the program: a path, or a name that is looked up in `PATH` and beside `antiphon`; required. A stage that is a text alone is its `exec`",
    ),
    key(
        "config",
        "path, `\"ENV\"`, table, list",
        "none",
        "each becomes one `--config`: a file, the environment (`ENV`), or a table that stands right here",
    ),
    key(
        "args",
        "a list of texts",
        "none",
        "more arguments for the program",
    ),
    key(
        "catalog",
        "path",
        "none",
        "`tap` alone: the catalog, for `--catalog`",
    ),
    key(
        "rejects_path",
        "path",
        "",
        "`target` alone: where a target that is not one of ours leaves the records that it refused",
    ),
];

/// `[store]`
pub(crate) static STORE: &[Key] = &[
    key(
        "url",
        "a folder, `s3://…`, `gs://…`",
        "`.antiphon`",
        "where everything is kept; `s3://bucket/prefix` or `gs://bucket/prefix` when several machines share it",
    ),
    key(
        "work",
        "path",
        "`.antiphon/work`",
        "where running pipelines keep their files on this machine",
    ),
    key(
        "lease",
        "duration",
        "60s",
        "how long a lock holds without renewal, for runners on other machines; longer than every `grace`",
    ),
    key("endpoint", "URL", "", "another host for S3 or GCS"),
    key("region", "a text", "", "the region of the bucket"),
    key(
        "profile",
        "a text",
        "",
        "S3: a profile of the AWS credentials file",
    ),
    key(
        "credentials",
        "path",
        "",
        "GCS: the file of a service account",
    ),
    key(
        "ca_file",
        "path",
        "",
        "certificates to trust besides the system's",
    ),
];

/// `[retention]`
pub(crate) static RETENTION: &[Key] = &[
    key(
        "runs",
        "10 or more",
        "1000",
        "the most runs that are kept of a pipeline",
    ),
    key(
        "states",
        "10 or more",
        "200",
        "the most versions of its state",
    ),
    key(
        "age",
        "duration",
        "90d",
        "nothing older is kept beyond the last ten runs and versions",
    ),
];

/// What every notifier may say.
pub(crate) static NOTIFIER: &[Key] = &[
    key(
        "type",
        "`sns`, `webhook`, `email`, `command`",
        "",
        "the way; required",
    ),
    key(
        "timeout",
        "duration",
        "15s",
        "how long one notice may take before it is given up",
    ),
    key(
        "failed",
        "true, false",
        "true",
        "tell when a run failed, was ended by its timeout, or died",
    ),
    key(
        "rejects",
        "number or `\"5%\"`",
        "",
        "tell when more records were refused than this number, or this share",
    ),
    key(
        "rejects_percent",
        "number",
        "",
        "the share alone, in percent, beside a number in `rejects`",
    ),
    key("slower_than", "duration", "", "tell when a run took longer"),
    key(
        "slower_than_median",
        "number",
        "",
        "tell when a run took longer than so many times the median of the last good ones",
    ),
    key(
        "no_records",
        "true, false",
        "false",
        "tell when there were no records where there used to be some",
    ),
    key(
        "schema_changed",
        "true, false",
        "false",
        "tell when the schema of a stream changed",
    ),
];

/// `type = "sns"`
pub(crate) static SNS: &[Key] = &[
    key("topic_arn", "a text", "", "the topic; required"),
    key("region", "a text", "from the ARN", "the region"),
    key("endpoint", "URL", "", "another host"),
    key(
        "profile",
        "a text",
        "",
        "a profile of the AWS credentials file",
    ),
    key("proxy", "text or secret form", "", "an HTTP proxy"),
    key(
        "ca_file",
        "path",
        "",
        "certificates to trust besides the system's",
    ),
];

/// `type = "webhook"`
pub(crate) static WEBHOOK: &[Key] = &[
    key(
        "url",
        "text or secret form",
        "",
        "where the notice is posted as JSON; required",
    ),
    key(
        "headers",
        "a table",
        "none",
        "headers of your own; a text or a secret form each",
    ),
    key(
        "secret",
        "text or secret form",
        "",
        "signs each notice: `X-Antiphon-Signature`, as told below",
    ),
    key("proxy", "text or secret form", "", "an HTTP proxy"),
    key(
        "ca_file",
        "path",
        "",
        "certificates to trust besides the system's",
    ),
];

/// `type = "email"`
pub(crate) static EMAIL: &[Key] = &[
    key("host", "a text", "", "the mail server; required"),
    key(
        "port",
        "1 to 65535",
        "by `tls`",
        "587 for `starttls`, 465 for `tls`, 25 for `none`",
    ),
    key(
        "tls",
        "`starttls`, `tls`, `none`",
        "starttls",
        "how the connection is made safe; `none` sends no password but to this machine",
    ),
    key("user", "a text", "", "the user"),
    key("password", "text or secret form", "", "the password"),
    key("from", "a text", "", "the sender; required"),
    key("to", "a text or a list", "", "the receivers; required"),
    key(
        "ca_file",
        "path",
        "",
        "certificates to trust besides the system's",
    ),
];

/// `type = "command"`
pub(crate) static COMMAND: &[Key] = &[key(
    "command",
    "a text",
    "",
    "run by `sh -c`; the notice is JSON on its stdin, its parts are `ANTIPHON_…` variables; required",
)];
