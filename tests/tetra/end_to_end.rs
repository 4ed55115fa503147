//! What arrives: in each way of retrieving, nested, flattened, by version; into BigQuery as columns or JSON by several
//! methods, and into Analytics as texts; whole tables without what was deleted.

use std::collections::BTreeMap;

use sandbox::tetra::Sample;
use serde_json::{Map, Value, json};
use singer_test::pipe::{self, Cut};
use singer_test::stream::{Cut as CutLine, Messages};
use singer_test::tap::select;
use singer_test::tetra::{STREAM, Tetra, column, extend, same};
use singer_test::zoho::Zoho;

use crate::pair::{ALL, FILES, Pair, Retrieve, SAMPLES, SEARCH, records};

/// All of it, then what changed and what is new, and that is all that comes.
#[track_caller]
fn arrives(pair: &Pair) {
    assert_eq!(records(&pair.sync_equal()), FILES);
    let ids: Vec<String> = pair.tetra.truth().into_keys().skip(3).take(20).collect();
    pair.tetra.arrive(5);
    pair.tetra.revise(&ids);
    assert_eq!(records(&pair.sync_equal()), 25);
    assert_eq!(records(&pair.sync_equal()), 0, "all was sent before");
}

#[test]
fn nested_documents_become_columns_or_json() {
    for (retrieve, method, nested) in [
        (Retrieve::None, "load", "record"),
        (Retrieve::None, "storage_write", "json"),
        (Retrieve::Json, "storage_write", "record"),
        (Retrieve::Json, "load", "json"),
        (Retrieve::File, "load", "record"),
    ] {
        let pair = Pair::new(retrieve)
            .target_keys(&json!({"method": method}))
            .table_keys(&json!({"nested": nested}));
        arrives(&pair);
        let columns = pair.bigquery.columns(STREAM);
        let (data, labels) = match nested {
            "json" => ("JSON", "JSON"),
            _ => ("RECORD", "RECORD REPEATED"),
        };
        assert_eq!((&*columns["data"], &*columns["labels"]), (data, labels));
        assert_eq!(columns["tags"], "STRING REPEATED");
        assert_eq!(columns["indexedAt"], "TIMESTAMP");
        assert_eq!(
            columns["metadata"], "JSON",
            "its members have no fixed names"
        );
    }
}

#[test]
fn content_comes_through_the_api_as_well() {
    for retrieve in [Retrieve::Json, Retrieve::File] {
        let pair = Pair::new(retrieve).tap_keys(&json!({"presigned": false}));
        pair.sync_equal();
        assert_eq!(pair.tetra.downloads(), 0);
    }
}

#[test]
fn a_document_becomes_the_record() {
    let pair = Pair::new(Retrieve::Json).stream_keys(&json!({"json_as": "record"}));
    let ended = pair.sync();
    assert_eq!(records(&ended), FILES);
    let rows = pair.rows();
    for (id, document) in pair.tetra.truth() {
        let mut wanted = pair.tetra.json_content(&id);
        for name in [
            "fileId",
            "indexedAt",
            "createdAt",
            "filePath",
            "idsType",
            "idsVersion",
        ] {
            wanted[name] = document[name].clone();
        }
        assert!(same(&wanted, &rows[&id]), "{wanted}\n{}", rows[&id]);
    }
}

#[test]
fn flattened_documents_are_columns() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve).stream_keys(&json!({"flatten": true}));
        assert_eq!(records(&pair.sync()), FILES);
        let rows = pair.rows();
        for (id, document) in pair.tetra.truth() {
            let wanted = flat(&pair.wanted(&id, &document));
            for (name, value) in &wanted {
                let cell = &rows[&id][column(name)];
                assert!(same(value, cell), "`{name}` of {id}: {value}, {cell}");
            }
        }
        let columns = pair.bigquery.columns(STREAM);
        assert_eq!(columns["data__sample__weight__value"], "FLOAT");
        assert_eq!(columns["data__peaks"], "RECORD REPEATED");
    }
}

/// The members of objects as members of their own.
fn flat(document: &Value) -> Map<String, Value> {
    let mut flattened = Map::new();
    for (name, value) in document.as_object().expect("an object") {
        match value {
            Value::Object(members) if name != "metadata" && !members.is_empty() => {
                for (member, value) in flat(value) {
                    flattened.insert(format!("{name}__{member}"), value);
                }
            }
            value => {
                flattened.insert(name.clone(), value.clone());
            }
        }
    }
    flattened
}

/// Files of a laboratory: three categories, two kinds of documents, one of them in two versions, some in gzip.
fn laboratory() -> Tetra {
    Tetra::start_with(0, |options| {
        options.tetra.sample = Sample::Instruments;
        options.tetra.files = 120;
    })
}

#[test]
fn the_files_of_a_laboratory_arrive_in_one_table() {
    let pair = Pair::over(laboratory(), Retrieve::File);
    pair.sync_equal();
    let pair = Pair::over(laboratory(), Retrieve::None);
    pair.sync_equal();
    let documents = json!({"query": {"term": {"category": "IDS"}}});
    let pair = Pair::over(laboratory(), Retrieve::Json).stream_keys(&documents);
    pair.sync();
    let is_document = |document: &Value| document["category"] == "IDS";
    pair.assert_rows(STREAM, is_document);
}

#[test]
fn versions_are_tables_of_their_own() {
    let query = json!({"query": {"terms": {"category": ["IDS", "RAW"]}}, "ids_versions": "apart"});
    let pair = Pair::over(laboratory(), Retrieve::None).stream_keys(&query);
    let tap = pair.bare_tap().args(["--select", "*"]);
    let ended = pipe::run(tap, pair.target(), Cut::Never);
    ended.expect_success();
    let major = |document: &Value| {
        let version = document["idsVersion"].as_str();
        version.map(|version| version.split('.').next().unwrap_or_default().to_owned())
    };
    for (table, version) in [
        ("results_v1", Some("v1")),
        ("results_v2", Some("v2")),
        (STREAM, None),
    ] {
        let count = pair.assert_rows(table, |document| {
            document["category"] != "PROCESSED" && major(document).as_deref() == version
        });
        assert!(count > 5, "{count} rows of `{table}`");
    }
}

#[test]
fn nested_documents_arrive_in_analytics_as_texts() {
    for (retrieve, flatten) in [
        (Retrieve::None, false),
        (Retrieve::Json, false),
        (Retrieve::Json, true),
    ] {
        let pair = Pair::new(retrieve).stream_keys(&json!({"flatten": flatten}));
        let zoho = Zoho::start(0);
        let mut config = zoho.target_config();
        extend(&mut config, &json!({"milliseconds": "keep"}));
        let sync = || {
            pair.folder.write_json("analytics.json", &config);
            let target = singer_test::bin::Run::of("target-analytics")
                .folder(pair.folder.path())
                .args(["-c", "analytics.json", "--state-file", "state.json"]);
            let ended = pipe::run(pair.tap(), target, Cut::Never);
            ended.expect_success();
            let found: BTreeMap<String, Value> = (zoho.analytics().dump(STREAM).into_iter())
                .map(|row| (row["fileId"].as_str().expect("a text").to_owned(), row))
                .collect();
            let truth = pair.tetra.truth();
            assert_eq!(found.len(), truth.len());
            for (id, document) in truth {
                let wanted = pair.wanted(&id, &document);
                let wanted = if flatten {
                    flat(&wanted)
                } else {
                    wanted.as_object().cloned().expect("an object")
                };
                for (name, value) in &wanted {
                    let cell = found[&id].get(name).unwrap_or(&Value::Null);
                    assert!(same_text(value, cell), "`{name}` of {id}: {value}, {cell}");
                }
            }
        };
        sync();
        let ids: Vec<String> = pair.tetra.truth().into_keys().take(15).collect();
        pair.tetra.revise(&ids);
        sync();
    }
}

/// Whether a cell of Analytics, which is a text, holds a value.
fn same_text(value: &Value, cell: &Value) -> bool {
    let Some(text) = cell.as_str().filter(|text| !text.is_empty()) else {
        return same(value, &Value::Null) || *value == "" || value == &json!({});
    };
    match value {
        Value::String(value) => {
            text == value
                || same(
                    &json!(value),
                    &json!(format!("{}Z", text.replace(' ', "T"))),
                )
        }
        Value::Number(number) => text.parse::<f64>().ok() == number.as_f64(),
        Value::Bool(flag) => text.eq_ignore_ascii_case(&flag.to_string()),
        value => same(value, cell),
    }
}

/// A catalog that has the stream read as a whole.
fn read_as_a_whole(pair: &Pair) {
    let ended = pair.bare_tap().arg("--discover").finish();
    ended.expect_code(0);
    let mut catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
    select(&mut catalog["streams"][0], None);
    pair.folder.write_json("catalog.json", &catalog);
}

#[test]
fn a_whole_table_is_without_what_was_deleted() {
    let pair = Pair::new(Retrieve::None).table_keys(&json!({"on_delete": "hard"}));
    read_as_a_whole(&pair);
    pair.sync_equal();
    let ids: Vec<String> = pair.tetra.truth().into_keys().skip(7).take(9).collect();
    pair.tetra.inside().delete(&ids);
    pair.sync_equal();
    assert_eq!(pair.rows().len(), FILES - 9);
}

#[test]
fn a_whole_table_has_what_is_indexed_again_while_it_is_read() {
    let pair = Pair::new(Retrieve::None).table_keys(&json!({"on_delete": "hard"}));
    read_as_a_whole(&pair);
    pair.sync_equal();
    // The second page waits until files of it are indexed again.
    let slow = format!("slow:ms=700,{SEARCH},after={SAMPLES},times=1");
    pair.tetra.set_faults(&[&slow]);
    let pipeline = pair.start();
    pair.tetra.wait_for_strikes(1);
    let ids: Vec<String> = pair.tetra.truth().into_keys().collect();
    pair.tetra.inside().advance(60);
    pair.tetra.inside().reindex(&ids[40..]);
    let ended = pipeline.finish();
    ended.expect_success();
    let messages = Messages::parse(&ended.tap.stdout, CutLine::Never);
    assert_eq!(messages.activated(STREAM).len(), 1);
    let (truth, rows) = (pair.tetra.truth(), pair.rows());
    let gone = truth.keys().filter(|id| !rows.contains_key(*id)).count();
    assert_eq!(
        gone, 0,
        "files that are there and were deleted from the table"
    );
}
