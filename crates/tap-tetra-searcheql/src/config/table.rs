//! The table of the settings: `--about`, the README and the loader read it.

use serde_json::json;
use singer_runtime::setting::{self, Setting, Shape};

const RETRIEVE: &[&str] = &["none", "json", "file"];
const ON_MISSING: &[&str] = &["skip", "reject", "stop"];
const ON_FAILURE: &[&str] = &["stop", "reject"];
const DELETIONS: &[&str] = &["ignore", "diff"];
const TYPE_CONFLICT: &[&str] = &["error", "text", "reject"];

/// The keys in the order in which people should read them.
pub(super) fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::text("base_url")
            .in_starter()
            .about("The base URL of the platform's API, such as `https://api.customer.tetrascience.com`; `https://api.tetrascience.com` if left out."),
        Setting::secret("auth_token")
            .required()
            .about("The token (a JWT) that is sent as `ts-auth-token`. It is read again when the platform refuses it, so that one that a file or a command renews is taken up within a run."),
        Setting::text("org_slug")
            .required()
            .about("The organisation, sent as `x-org-slug`."),
        setting::start_date(),
        Setting::new("streams", Shape::map(Shape::Object(stream())))
            .required()
            .example(json!({"results": {
                "index": "ids", "query": {"term": {"category": "IDS"}}, "retrieve": "json"}}))
            .about("The streams by name, each a query."),
    ];
    settings.extend(windows());
    settings.extend(files());
    settings.extend(running());
    settings.extend(setting::http());
    settings.push(setting::user_agent());
    settings
}

fn stream() -> Vec<Setting> {
    vec![
        Setting::new("query", Shape::Any).about("A query of the search engine (what stands under `query` in a search body); all files if left out."),
        Setting::new("index", Shape::Either(vec![Shape::Text, Shape::list(Shape::Text)]))
            .about("The indices to search: `raw`, `ids`, `processed`, or several; all if left out."),
        Setting::list("source", Shape::Text).about("The fields to read, such as `filePath` or `file.version`; all if left out (all but `data` with `retrieve: json`). `fileId` and `indexedAt` are always read."),
        Setting::integer("page_size").about("As at the top."),
        Setting::word("retrieve", RETRIEVE).about("As at the top."),
        Setting::word("json_as", &["field", "record"]).about("What a document becomes: the value of one field (default), or the record itself."),
        Setting::text("json_field").about("The field that it becomes; `data` if left out."),
        Setting::boolean("flatten").about("Makes members of objects fields of their own, with `__` between the names."),
        Setting::list("opaque", Shape::Text).about("Fields whose content the schema does not describe, as their members have no fixed names; `[\"metadata\"]` if left out."),
        Setting::word("ids_versions", &["merge", "apart"]).about("Whether the versions of an IDS are one stream with the types of all (default), or each major version is one of its own."),
        Setting::text("download_dir").about("As at the top."),
        Setting::integer("max_file_bytes").about("As at the top."),
        Setting::word("on_missing", ON_MISSING).about("As at the top."),
        Setting::word("on_failure", ON_FAILURE).about("As at the top."),
        Setting::word("type_conflict", TYPE_CONFLICT).about("As at the top."),
        Setting::word("deletions", DELETIONS).about("As at the top."),
    ]
}

fn windows() -> Vec<Setting> {
    vec![
        Setting::integer("lag_seconds")
            .default(300)
            .about("A window ends so long before the service's time: files become visible some time after they were stamped."),
        Setting::integer("overlap_seconds")
            .about("A window begins so long before the end of the one before it, for files that became visible even later; as `lag_seconds` if left out."),
        Setting::integer("overlap_memory")
            .default(2000)
            .about("So many files of the overlap are remembered in the state, so that they are not sent twice; beyond it they are. 0 for none."),
        Setting::integer("page_size")
            .default(1000)
            .about("Files of one search, 10,000 at most. It is halved where an answer is too large."),
        Setting::integer("sample_size")
            .default(50)
            .about("So many of the newest and of the oldest files are looked at to find the schema of a stream."),
    ]
}

fn files() -> Vec<Setting> {
    vec![
        Setting::word("retrieve", RETRIEVE)
            .default("none")
            .about("What is fetched of each file: nothing beside what the search tells, its content as `json`, or its content into a `file`."),
        Setting::boolean("presigned")
            .default(true)
            .about("Fetches content straight from the storage by links of the service, which is much faster; `false` has it come through the API."),
        Setting::integer("presigned_life_seconds")
            .default(300)
            .about("How long such a link is good; another is asked for when little of that is left."),
        Setting::integer("parallel")
            .default(10)
            .about("Files fetched at once, at most; fewer while the service throttles."),
        Setting::text("download_dir").about("The folder for `retrieve: file`; `downloads` in the working folder if left out."),
        Setting::integer("max_file_bytes")
            .about("Larger files are not fetched, see `on_failure`; 64 MiB for `json`, no limit for `file` if left out."),
        Setting::word("on_missing", ON_MISSING)
            .default("skip")
            .about("What becomes of a file that was deleted between search and retrieve: it is counted and left out, it becomes a reject, or the stream ends."),
        Setting::word("on_failure", ON_FAILURE)
            .default("stop")
            .about("What becomes of a file that cannot be retrieved, is too large or is no JSON: the stream ends, or it becomes a reject that `--row` replays."),
        Setting::word("type_conflict", TYPE_CONFLICT)
            .default("error")
            .about("What becomes of a value whose type is not that of the schema: the stream ends, the field holds texts from there on, or the file becomes a reject."),
        Setting::text("rejects_path")
            .default("tap-tetra-searcheql.rejects.jsonl")
            .about("Where rejects are written."),
        Setting::word("deletions", DELETIONS)
            .default("ignore")
            .about("`diff` lists the ids of all files after each incremental read, and emits a record with `_sdc_deleted_at` for each that is gone since the last time."),
        Setting::text("deletions_path")
            .default("tap-tetra-searcheql.ids")
            .about("The folder where `deletions` keeps the ids of the files that it knows."),
    ]
}

fn running() -> Vec<Setting> {
    vec![
        Setting::text("row")
            .flag()
            .about("Reads these files and nothing else: `STREAM/FILEID`, several ids with commas between, or `@FILE` with such lines, or with rejects."),
        Setting::number("patience_seconds")
            .default(900)
            .about("How long throttling is waited out before the run ends with 75."),
        Setting::number("rate_limit_pause_seconds")
            .default(5)
            .about("The pause after a 429 that names none."),
    ]
}
