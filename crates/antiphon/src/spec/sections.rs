//! `[store]`, `[retention]` and the file as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use singer_core::{Error, Result};
use toml::de::DeTable;

use super::pipeline::{Pipelines, Settings};
use super::place::{Node, Place, line_and_column};
use super::reader::{Reader, Table};
use super::{Notifier, Pipeline, Project, Retention, StoreSpec, keys, notifier};

/// Where states and the like are kept, and where runs work, beside the file.
const STORE_FOLDER: &str = ".antiphon";
const WORK_FOLDER: &str = ".antiphon/work";

/// Reads the text of a file that lies at an absolute path.
pub(super) fn read_project(file: &Path, text: &str) -> Result<Project> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let root = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, column) = line_and_column(text, offset);
        // The error's own text quotes the line, which may hold a secret; its message does not.
        let told = Error::config(format!(
            "{} line {line}, column {column}: {}",
            file.display(),
            error.message()
        ));
        if error.message() == "duplicate key" {
            return told;
        }
        told.with_hint("this is no TOML; texts need quotes, and a table begins with `[its.name]`")
    })?;
    let root = root.get_ref();
    let mut reader = Reader::new(file, folder, text, root);
    reader.check_keys(root, keys::TOP);
    let notifiers = read_notifiers(&mut reader, root);
    let names = root
        .get("notify")
        .and_then(|node| node.get_ref().as_table())
        .map(|table| table.keys().map(|name| &**name.get_ref()).collect())
        .unwrap_or_default();
    let mut pipelines = Pipelines::new(names);
    let read = read_pipelines(&mut reader, root, &mut pipelines);
    let retention = read_retention(&mut reader, root);
    let store = read_store(&mut reader, root, folder, pipelines.longest_grace);
    reader.finish()?;
    let store = store.ok_or_else(|| Error::internal("a store that cannot be read is no fault"))?;
    Ok(Project {
        file: file.to_owned(),
        folder: folder.to_owned(),
        store,
        retention,
        pipelines: read,
        notifiers,
    })
}

fn read_notifiers<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
) -> BTreeMap<String, Notifier> {
    let table = root
        .get("notify")
        .and_then(|node| reader.open_table(node, "a table of notifiers"));
    let Some(table) = table else {
        return BTreeMap::new();
    };
    table
        .entries
        .iter()
        .filter_map(|(name, node)| {
            let name: &str = name.get_ref();
            Some((name.to_owned(), notifier::read(reader, name, node)?))
        })
        .collect()
}

fn read_pipelines<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
    pipelines: &mut Pipelines<'_>,
) -> BTreeMap<String, Pipeline> {
    let defaults = match root.get("defaults") {
        Some(node) => pipelines.read_defaults(reader, node),
        None => Settings::default(),
    };
    let mut read = BTreeMap::new();
    let Some(node) = root.get("pipelines") else {
        reader.fault_with_hint(
            Place::File,
            "{key} has no pipelines",
            Some("`antiphon new TAP TARGET` writes a first one".to_owned()),
        );
        return read;
    };
    let Some(table) = reader.open_table(node, "a table of pipelines") else {
        return read;
    };
    if table.entries.is_empty() {
        reader.fault(Place::Value(node), "{key} holds no pipeline");
    }
    let mut folded = BTreeSet::new();
    for (name, node) in table.entries.iter() {
        if let Some(pipeline) = pipelines.read(reader, name, node, &defaults) {
            if !folded.insert(pipeline.name.to_ascii_lowercase()) {
                reader.fault(
                    Place::Key(name),
                    "{key} differs from another pipeline in capitals alone, which some folders cannot tell apart",
                );
            }
            read.insert(pipeline.name.clone(), pipeline);
        }
    }
    read
}

fn read_retention<'a>(reader: &mut Reader<'a>, root: &'a DeTable<'a>) -> Retention {
    let mut retention = Retention {
        runs: 1000,
        states: 200,
        age: Duration::from_secs(90 * 86_400),
    };
    let table = root
        .get("retention")
        .and_then(|node| reader.table(node, keys::RETENTION));
    let Some(table) = table else {
        return retention;
    };
    let mut number = |key: &str, default: usize| {
        table
            .get(key)
            .and_then(|node| reader.integer(node, 10, 1_000_000))
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(default)
    };
    retention.runs = number("runs", retention.runs);
    retention.states = number("states", retention.states);
    if let Some(age) = table
        .get("age")
        .and_then(|node| reader.positive_duration(node))
    {
        retention.age = age;
    }
    retention
}

fn read_store<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
    folder: &Path,
    longest_grace: Duration,
) -> Option<StoreSpec> {
    let mut store = StoreSpec {
        url: String::new(),
        work: folder.join(WORK_FOLDER),
        lease: Duration::from_secs(60),
        endpoint: None,
        region: None,
        profile: None,
        credentials: None,
        ca_file: None,
    };
    let table = root
        .get("store")
        .and_then(|node| reader.table(node, keys::STORE));
    let Some(table) = table else {
        store.url = written(folder.join(STORE_FOLDER)).or_else(|| not_utf8(reader))?;
        return Some(store);
    };
    let url = match table.get("url") {
        Some(node) => read_store_url(reader, node, folder),
        None => written(folder.join(STORE_FOLDER)).or_else(|| not_utf8(reader)),
    };
    if let Some(work) = table.get("work").and_then(|node| reader.path(node)) {
        store.work = work;
    }
    if let Some(lease) = table
        .get("lease")
        .and_then(|node| reader.positive_duration(node))
    {
        store.lease = lease;
    }
    store.endpoint = notifier::read_url(reader, table, "endpoint");
    store.region = table
        .get("region")
        .and_then(|node| reader.text(node))
        .map(str::to_owned);
    store.profile = table
        .get("profile")
        .and_then(|node| reader.text(node))
        .map(str::to_owned);
    store.credentials = table.get("credentials").and_then(|node| reader.path(node));
    store.ca_file = table.get("ca_file").and_then(|node| reader.path(node));
    store.url = url?;
    check_store(reader, table, &store, longest_grace);
    Some(store)
}

fn read_store_url<'a>(
    reader: &mut Reader<'a>,
    node: &'a Node<'a>,
    folder: &Path,
) -> Option<String> {
    let text = reader.text(node)?;
    let Some((scheme, rest)) = text.split_once("://") else {
        return written(folder.join(text)).or_else(|| not_utf8(reader));
    };
    match scheme {
        "file" if rest.starts_with('/') => Some(rest.to_owned()),
        "file" => {
            reader.wrong(
                node,
                "a folder by its whole path: `file:///var/lib/antiphon`",
            );
            None
        }
        "s3" | "gs" => {
            let bucket = rest.split('/').next().unwrap_or_default();
            if bucket.is_empty() || rest.contains(['@', '?', '#', ' ']) {
                reader.wrong(
                    node,
                    &format!("`{scheme}://BUCKET/PREFIX`, without keys or options"),
                );
                return None;
            }
            Some(text.to_owned())
        }
        _ => {
            reader.wrong(
                node,
                "a folder, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`",
            );
            None
        }
    }
}

/// What belongs to the other kind of store, and a lease that is too short.
fn check_store<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    store: &StoreSpec,
    longest_grace: Duration,
) {
    let is_s3 = store.url.starts_with("s3://");
    let is_gcs = store.url.starts_with("gs://");
    for (key, fits, what) in [
        ("endpoint", is_s3 || is_gcs, "s3:// and gs:// stores"),
        ("ca_file", is_s3 || is_gcs, "s3:// and gs:// stores"),
        ("region", is_s3, "s3:// stores"),
        ("profile", is_s3, "s3:// stores"),
        ("credentials", is_gcs, "gs:// stores"),
    ] {
        if let Some(node) = table.get(key)
            && !fits
        {
            reader.fault(
                Place::Value(node),
                format!("{{key}} is for {what}, and `store.url` names another kind"),
            );
        }
    }
    if (is_s3 || is_gcs) && store.lease <= longest_grace {
        let place = table.get("lease").map_or(table.place, Place::Value);
        reader.fault_with_hint(
            place,
            format!(
                "{{key}}: a lease of {} s is not longer than the longest `grace`, {} s",
                store.lease.as_secs_f64(),
                longest_grace.as_secs_f64()
            ),
            Some(
                "a runner that lost its lease must have ended its stages before another starts them: \
                 set `store.lease` higher, or `grace` lower"
                    .to_owned(),
            ),
        );
    }
}

fn written(path: PathBuf) -> Option<String> {
    path.into_os_string().into_string().ok()
}

fn not_utf8(reader: &mut Reader<'_>) -> Option<String> {
    reader.fault(
        Place::File,
        "{key} lies in a folder whose name is not UTF-8",
    );
    None
}
