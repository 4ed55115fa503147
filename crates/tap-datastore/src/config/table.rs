//! The table of the settings: `--about`, the README and the loader read it.

use singer_runtime::setting::{self, Setting, Shape};

/// The header in which the solution that this tap replaces had its secret.
pub(crate) const SECRET_HEADER: &str = "catalyst-codelib-secret-key";

/// The keys in the order in which people should read them.
pub(super) fn settings() -> Vec<Setting> {
    let mut settings = setting::zoho();
    settings.extend(place());
    settings.push(setting::start_date());
    settings.extend(reading());
    settings.extend(values());
    settings.extend(bulk());
    settings.extend(listening());
    settings.extend(setting::http());
    settings.push(setting::user_agent());
    settings
}

fn place() -> Vec<Setting> {
    vec![
        Setting::text("api_url")
            .about("The base URL of Catalyst's API, if it is not that of the data centre."),
        Setting::text("project_id")
            .required()
            .about("The project's id (Settings > Project settings)."),
        Setting::text("org_id").about(
            "The organisation of the project; needed by accounts with several, as the default one is asked otherwise.",
        ),
        Setting::word("environment", &["Development", "Production"])
            .in_starter()
            .about("Which copy of the data is read; if left out Catalyst's own choice, which changes when the project is deployed."),
        Setting::text("time_zone")
            .required()
            .about("The project's time zone by its IANA name, such as `Europe/Berlin`: the service's times carry no offset."),
        Setting::list("tables", Shape::Text)
            .about("The tables to discover: names, or patterns with `*` and `?`; all if left out."),
    ]
}

fn reading() -> Vec<Setting> {
    vec![
        Setting::integer("lookback_seconds")
            .default(3600)
            .about("An incremental stream starts so much before its bookmark: for rows that were committed late, for clocks that differ, and for the hour that autumn repeats. Below 3600 a zone with daylight saving can lose rows of that hour."),
        Setting::integer("small_table_rows")
            .default(600)
            .about("Tables of at most so many rows are read in pages of 200 rows, which takes fewer calls than a bulk job; 0 for never."),
        Setting::word("deletions", &["ignore", "diff"])
            .default("ignore")
            .about("`diff` reads the ids of all rows after each incremental read, and emits a record with `_sdc_deleted_at` for each that is gone since the last time."),
        Setting::text("deletions_path")
            .default("tap-datastore.rowids")
            .about("The folder where `deletions` keeps the ids of the rows that it knows."),
        Setting::text("row")
            .flag()
            .about("Reads these rows and nothing else: `TABLE/ROWID`, several ids with commas between, or `@FILE` with such lines, or with the rejects of a target."),
    ]
}

fn values() -> Vec<Setting> {
    vec![
        Setting::word("empty_cells", &["null", "text"])
            .default("null")
            .about("What an empty text in quotes is: `null`, as the service's files hardly tell the two apart, or an empty `text`."),
    ]
}

fn bulk() -> Vec<Setting> {
    vec![
        Setting::integer("page_size")
            .default(200_000)
            .about("Rows of a page of the service's bulk read; it is the service's number and used to plan."),
        Setting::integer("parallel_jobs")
            .default(4)
            .about("Bulk jobs at work at once, over all streams."),
        Setting::number("job_timeout_seconds")
            .default(7200)
            .about("After this time a bulk job counts as one that never ends."),
        Setting::number("patience_seconds")
            .default(900)
            .about("How long throttling is waited out before the run ends with 75."),
        Setting::text("work_folder")
            .about("Where downloads lie while they are read; the system's folder for temporary files if left out."),
        Setting::object(
            "callback",
            vec![
                Setting::text("listen").required().about("The address to listen on, such as `0.0.0.0:8443`."),
                Setting::text("public_url").required().about("The URL under which Catalyst reaches that address; its path is the only one that is answered."),
                Setting::secret("secret").required().about("What the callbacks must bring along."),
                Setting::text("header").default(SECRET_HEADER).about("The header that holds it."),
                Setting::text("certificate").about("A certificate chain as a PEM file, for HTTPS; plain HTTP, behind a proxy, if left out."),
                Setting::text("key").about("Its private key as a PEM file."),
            ],
        )
        .about("Has bulk jobs call back instead of being asked again and again. A callback is only a hint to ask: one that is lost or forged does no harm."),
    ]
}

fn listening() -> Vec<Setting> {
    vec![
        Setting::text("listen")
            .flag()
            .about("Listens on this address, such as `127.0.0.1:8080`, for events that Catalyst posts, and emits a record for each until it is stopped."),
        Setting::text("listen_path")
            .default("/events")
            .about("The only path that `listen` answers."),
        Setting::secret("listen_secret")
            .not_in_starter()
            .about("What the events must bring along; `callback.secret`, in its header, if left out."),
        Setting::text("listen_header")
            .default(SECRET_HEADER)
            .about("The header that holds it."),
        Setting::text("listen_certificate")
            .about("A certificate chain as a PEM file, for HTTPS; plain HTTP, behind a proxy, if left out."),
        Setting::text("listen_key").about("Its private key as a PEM file."),
        Setting::text("journal_path")
            .default("tap-datastore.journal")
            .about("The folder where events are on disk before they are answered."),
        Setting::integer("listen_backlog")
            .default(10_000)
            .about("Events of a table that may wait for the pipe; beyond it senders get 429."),
        Setting::word("event_rows", &["auto", "event", "fetch"])
            .default("auto")
            .about("Where the row of an event comes from: the `event` itself, the table (`fetch`), or the table where the event lacks selected columns (`auto`)."),
    ]
}
