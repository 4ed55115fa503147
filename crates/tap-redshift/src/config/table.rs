//! The table of the settings: `--about`, the README and the loader read it.

use serde_json::json;
use singer_runtime::setting::{self, Setting, Shape};

/// The keys in the order in which people should read them.
pub(super) fn settings() -> Vec<Setting> {
    let mut settings = connection();
    settings.extend(tables());
    settings.extend(reading());
    settings.extend(values());
    settings.push(key_filter());
    settings.extend(http());
    settings
}

fn connection() -> Vec<Setting> {
    vec![
        Setting::text("host")
            .required()
            .about("Host name or address of the cluster, workgroup or server; a path is the folder of a Unix socket."),
        Setting::integer("port").default(5439).about("TCP port; PostgreSQL itself listens on 5432."),
        Setting::text("dbname").required().about("Database to connect to."),
        Setting::text("user").required().about("User name; a colon as in `IAM:alice` is fine."),
        Setting::secret("password")
            .about("Password; read again for every new connection, so that a command can bring temporary credentials."),
        Setting::word(
            "sslmode",
            &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        )
        .about("As in libpq. Left out: `verify-full`, but `disable` for loopback addresses and Unix sockets."),
        Setting::text("sslrootcert")
            .about("A PEM file of certificate authorities to trust in place of the system's; with `require` it is verified like `verify-ca`."),
        Setting::integer("connect_timeout_seconds")
            .default(30)
            .about("How long a connection may take to come about."),
        Setting::text("application_name")
            .default("tap-redshift")
            .about("What the server's owner sees as the reader's name."),
        Setting::integer("statement_timeout_seconds")
            .about("How long one statement may take, waiting for its turn included; the server's own setting if left out."),
    ]
}

fn tables() -> Vec<Setting> {
    vec![
        Setting::new("schema", Shape::Either(vec![Shape::Text, Shape::list(Shape::Text)]))
            .about("One schema, or a list; every schema that the user may read if left out."),
        Setting::list("databases", Shape::Text)
            .about("Redshift: further databases and datashares to discover beside `dbname`."),
        Setting::boolean("include_external")
            .default(false)
            .about("Redshift: also discovers external (Spectrum, federated) tables, which asks their sources and can be slow."),
        Setting::word("stream_name_format", &["table", "schema-table", "database-schema-table"])
            .about("What `stream` is called in the messages. Left out: the table's name, and `schema-table` for tables whose name exists in several of the schemas read."),
    ]
}

fn reading() -> Vec<Setting> {
    vec![
        Setting::word("fetch_mode", &["stream", "cursor", "unload"])
            .default("stream")
            .about("`stream` reads one statement's rows as they come; `cursor` uses a server-side cursor, which on Redshift materialises the whole result on the leader node first; `unload` is not there yet."),
        Setting::integer("fetch_rows")
            .default(1000)
            .about("Rows in one fetch of a cursor; clusters of a single node take at most 1,000."),
        Setting::boolean("full_table_resume")
            .default(true)
            .about("Reads full tables in the order of their key, so that an interrupted load goes on where it was. Without, a table is read in the server's own order and an interrupted load starts over."),
        Setting::integer("lookback_seconds")
            .default(0)
            .about("An incremental stream keyed by a time starts so much before its bookmark, for rows that were committed late; whole days for dates; no effect on other keys."),
    ]
}

fn values() -> Vec<Setting> {
    vec![
        Setting::word("decimal", &["number", "string"])
            .default("number")
            .about("Decimals as JSON numbers with every digit, or as strings of format `singer.decimal`."),
        Setting::word("special_values", &["null", "text"])
            .default("null")
            .about("What becomes of values that JSON or RFC 3339 lack (`NaN`, infinity, dates BC or after the year 9999): null, counted in the log, or the server's text."),
        Setting::word("binary", &["hex", "base64"])
            .default("hex")
            .about("How `varbyte` and `bytea` are written."),
        Setting::boolean("trim_char")
            .default(false)
            .about("Drops the trailing blanks of `char(n)`."),
        Setting::text("timestamp_zone")
            .default("UTC")
            .about("The zone in which `timestamp` columns without a zone are meant, by a name that the server knows."),
    ]
}

fn key_filter() -> Setting {
    let pendo = Setting::object(
        "pendo",
        vec![
            Setting::secret("integration_key")
                .required()
                .about("Pendo's integration key."),
            Setting::text("base_url")
                .default("https://app.pendo.io")
                .about("Pendo's host."),
            Setting::word("kind", &["account", "visitor"])
                .default("account")
                .about("Whose ids."),
            Setting::word("id_format", &["any", "uuid"])
                .default("any")
                .about("`uuid` keeps only ids that have the form of a UUID."),
            Setting::integer("page_size")
                .default(10_000)
                .about("Ids asked for in one request."),
        ],
    )
    .about("Asks Pendo's aggregation API for the ids that Pendo knows.");
    Setting::object(
        "key_filter",
        vec![
            Setting::text("column").required().about("The column that holds the id."),
            Setting::list("streams", Shape::Text)
                .about("The streams it applies to, by name or `tap_stream_id`, `*` stands for any text; every stream with the column if left out."),
            pendo,
            Setting::text("file").about("A file with one id a line."),
        ],
    )
    .about("Reads only rows whose id another system knows: `pendo` or `file` says which ids.")
}

/// The shared keys of HTTP; `attempts` counts for the database as well.
fn http() -> Vec<Setting> {
    let mut settings = setting::http();
    for setting in &mut settings {
        match setting.name {
            "attempts" => {
                setting.about = "How often connecting, reading on after a dropped connection, and a request to Pendo are tried.";
            }
            "request_timeout_seconds" => {
                setting.default = Some(json!(300));
                setting.about = "How long one request to Pendo may take.";
            }
            _ => {}
        }
    }
    settings
}
