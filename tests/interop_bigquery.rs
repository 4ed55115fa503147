//! `target-bigquery` against servers that none of us wrote: bqemulator plays BigQuery, and Google's own
//! client for Python says what is there. Each test has a data set of its own on one server.
//!
//! What bqemulator cannot do is left to other tests: BIGNUMERIC columns, columns that are added later,
//! an id of a job that is sent twice, rows that are refused, RECORD and changes by the Storage Write
//! API, BYTES in a load job.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::bqemulator::{self, BqEmulator, Table};
use singer_test::folder::Folder;

use singer_test::stream::{Cut, states};

/// A data set, and a folder to run in.
struct Case {
    server: &'static BqEmulator,
    dataset: String,
    folder: Folder,
}

impl Case {
    /// A data set that is not there yet; none where there is no Python for the server.
    fn new(dataset: &str) -> Option<Case> {
        Some(Case {
            server: bqemulator::shared()?,
            dataset: dataset.to_owned(),
            folder: Folder::new(),
        })
    }

    /// The target with these settings.
    fn target(&self, settings: Value) -> Run {
        let mut config = self.server.target_config(&self.dataset);
        let Value::Object(settings) = settings else {
            panic!("settings are an object")
        };
        config
            .as_object_mut()
            .expect("a config is an object")
            .extend(settings);
        Run::of("target-bigquery")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// Runs to an end that must be good.
    #[track_caller]
    fn run(&self, settings: Value, input: &str) -> Finished {
        let ended = self.target(settings).stdin(input).finish();
        ended.expect_code(0);
        ended
    }

    /// The tables of the data set.
    fn tables(&self) -> BTreeMap<String, Table> {
        self.server.tables(&self.dataset)
    }

    /// The one table of the data set: whatever else the target made is gone.
    #[track_caller]
    fn only_table(&self, name: &str) -> Table {
        let mut tables = self.tables();
        let table = tables.remove(name).expect("the table is there");
        let left: Vec<&String> = tables.keys().collect();
        assert!(left.is_empty(), "tables that are left over: {left:?}");
        table
    }
}

/// A SCHEMA line.
fn schema(stream: &str, properties: &Value, key: &[&str]) -> String {
    let mut schema = json!({
        "type": "SCHEMA", "stream": stream, "key_properties": key,
        "schema": {"type": "object", "properties": properties},
    });
    if properties.get("updated_at").is_some() {
        schema["bookmark_properties"] = json!(["updated_at"]);
    }
    format!("{schema}\n")
}

/// RECORD lines.
fn records(stream: &str, rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter()
        .map(|row| format!("{}\n", json!({"type": "RECORD", "stream": stream, "record": row})))
        .collect()
}

/// RECORD lines of a version, and its activation.
fn version(stream: &str, version: u64, rows: impl IntoIterator<Item = Value>) -> String {
    let mut lines: String = rows
        .into_iter()
        .map(|row| {
            let record = json!({"type": "RECORD", "stream": stream, "record": row, "version": version});
            format!("{record}\n")
        })
        .collect();
    let activate = json!({"type": "ACTIVATE_VERSION", "stream": stream, "version": version});
    lines.push_str(&format!("{activate}\n"));
    lines
}

fn state(number: usize) -> String {
    format!("{}\n", json!({"type": "STATE", "value": {"n": number}}))
}

/// The numbers of the states that were printed.
fn printed(stdout: &[u8]) -> Vec<u64> {
    states(stdout, Cut::Allowed)
        .iter()
        .map(|state| state["n"].as_u64().expect("a state of the input"))
        .collect()
}

/// What contacts are made of. Their values are written here as Google's client prints them, so that what
/// was sent can be compared with what is read.
fn contact_properties() -> Value {
    json!({
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "balance": {"type": ["null", "string"], "format": "singer.decimal", "precision": 20, "scale": 4},
        "score": {"type": ["null", "number"]},
        "active": {"type": ["null", "boolean"]},
        "born": {"type": ["null", "string"], "format": "date"},
        "updated_at": {"type": "string", "format": "date-time"},
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
        "fields": {"type": ["null", "object"]},
    })
}

/// The same with a RECORD and a list of them.
fn nested_properties() -> Value {
    let mut properties = contact_properties();
    properties["address"] = json!({"type": ["null", "object"], "properties": {
        "city": {"type": ["null", "string"]},
        "since": {"type": ["null", "string"], "format": "date-time"},
        "flats": {"type": ["null", "array"], "items": {"type": "integer"}},
    }});
    properties["phones"] = json!({"type": ["null", "array"], "items": {"type": "object", "properties": {
        "label": {"type": ["null", "string"]},
        "number": {"type": ["null", "string"]},
    }}});
    properties
}

/// A contact; each revision has other values and is later than the one before.
fn contact(id: u64, revision: u64) -> Value {
    let name = match id % 5 {
        0 => Value::Null,
        1 => json!(format!("Zo\u{eb} \"{id}\"\n\\ {revision} \u{1f980}")),
        2 => json!(""),
        _ => json!(format!("\u{0928}\u{093e}\u{092e} {id}, '{revision}'`")),
    };
    json!({
        "id": id,
        "name": name,
        "balance": format!("-{}.{:03}1", 9_000_000_000_000_000 - id, revision),
        "score": id as f64 / 8.0 + revision as f64,
        "active": match id % 3 { 0 => Value::Null, other => json!(other == 1) },
        "born": format!("19{:02}-02-28", id % 100),
        "updated_at": format!("2026-01-{:02}T{:02}:{:02}:59.{:06}Z", revision, id / 60 % 24, id % 60, id + 1),
        "tags": (0..id % 3).map(|tag| format!("tag {tag}")).collect::<Vec<_>>(),
        "fields": {"n": [1, null, {"deep": id}], "\u{e9}": "a\"b", "half": 0.5, "revision": revision},
    })
}

/// The same with what is nested.
fn nested(id: u64, revision: u64) -> Value {
    let mut contact = contact(id, revision);
    contact["address"] = json!({
        "city": format!("S\u{e3}o Paulo {revision}"),
        "since": "2001-02-03T04:05:06.000007Z",
        "flats": [id, 2],
    });
    let phones = (0..id % 3).map(|n| json!({"label": format!("l{n}"), "number": null}));
    contact["phones"] = phones.collect();
    contact
}

/// Rows by their id.
fn truth(rows: impl IntoIterator<Item = Value>) -> BTreeMap<i64, Value> {
    rows.into_iter()
        .map(|row| (row["id"].as_i64().expect("an id"), row))
        .collect()
}

/// Fails unless a table holds these rows and no others; columns that the target adds do not count.
#[track_caller]
fn assert_rows(table: &Table, expected: &BTreeMap<i64, Value>) {
    let found = table.by_integer("id");
    assert_eq!(found.len(), expected.len(), "rows in the table");
    for (id, row) in expected {
        let found = found.get(id).expect("a row that was sent");
        for (column, value) in row.as_object().expect("a row is an object") {
            assert_eq!(&found[column], value, "`{column}` of {id}");
        }
    }
}

#[test]
fn rows_are_merged_and_the_newest_wins() {
    let Some(case) = Case::new("upsert") else { return };
    let schema = schema("contacts", &nested_properties(), &["id"]);
    let mut expected = truth((0..600).map(|id| nested(id, 1)));
    let first = schema.clone() + &records("contacts", expected.values().cloned()) + &state(1);
    let ended = case.run(json!({}), &first);
    assert_eq!(printed(&ended.stdout), [1]);
    assert_rows(&case.only_table("contacts"), &expected);

    let changed: Vec<Value> = (400..800).map(|id| nested(id, 3)).collect();
    expected.extend(truth(changed.clone()));
    let partial = json!({"id": 7, "updated_at": "2026-01-03T00:00:00.000000Z", "score": 0.5});
    for (column, value) in partial.as_object().expect("an object") {
        expected.get_mut(&7).expect("a row")[column] = value.clone();
    }
    // Twice in one batch: the last one wins.
    let twice = [nested(8, 2), nested(8, 3)];
    expected.insert(8, nested(8, 3));
    let rows = changed.into_iter().chain([partial]).chain(twice);
    let second = schema.clone() + &records("contacts", rows) + &state(2);
    // An older version of a row that comes late.
    let late = schema + &records("contacts", [nested(500, 2)]) + &state(3);
    for (input, state) in [(&second, 2), (&second, 2), (&late, 3)] {
        let small_batches = json!({"batch": {"max_records": 150}});
        let ended = case.run(small_batches, input);
        assert_eq!(printed(&ended.stdout), [state]);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn rows_without_a_key_are_appended() {
    let Some(case) = Case::new("append") else { return };
    let schema = schema("contacts", &nested_properties(), &[]);
    let mut expected = BTreeMap::new();
    for run in 0..2 {
        let rows = truth((0..300).map(|id| nested(run * 300 + id, 1)));
        let input = schema.clone() + &records("contacts", rows.values().cloned()) + &state(1);
        case.run(json!({"batch": {"max_records": 100}}), &input);
        expected.extend(rows);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn superseded_versions_are_deleted() {
    let Some(case) = Case::new("append_dedupe") else { return };
    let schema = schema("contacts", &contact_properties(), &["id"]);
    let settings = |every: u64| {
        let dedupe = json!({"every_seconds": every, "older_than_seconds": 0});
        json!({"mode": "append_dedupe", "dedupe": dedupe})
    };
    // Both revisions in one run, the older one last: the column decides.
    let input = schema.clone()
        + &records("contacts", (0..100).map(|id| contact(id, 2)))
        + &records("contacts", (0..100).map(|id| contact(id, 1)));
    case.run(settings(0), &input);
    let expected = truth((0..100).map(|id| contact(id, 2)));
    assert_rows(&case.only_table("contacts"), &expected);

    // Deleted a moment ago: this time every version stays.
    let input = schema + &records("contacts", (0..100).map(|id| contact(id, 3)));
    case.run(settings(86_400), &input);
    assert_eq!(case.only_table("contacts").rows.len(), 200);
}

#[test]
fn a_table_is_replaced_at_once() {
    let Some(case) = Case::new("replace") else { return };
    let settings = json!({
        "mode": "replace", "partition_by": {"field": "updated_at", "type": "MONTH"}, "cluster_by": ["active"],
    });
    for (stream, key) in [("keyed", &["id"][..]), ("keyless", &[])] {
        let schema = schema(stream, &contact_properties(), key);
        let replaced = |number: u64, rows: u64| {
            let rows = (0..rows).map(|id| contact(id, number));
            schema.clone() + &version(stream, number, rows) + &state(1)
        };
        case.run(settings.clone(), &replaced(1, 200));
        let table = case.tables().remove(stream).expect("a table");
        assert_rows(&table, &truth((0..200).map(|id| contact(id, 1))));
        case.run(settings.clone(), &replaced(2, 150));
        let mut tables = case.tables();
        let table = tables.remove(stream).expect("a table");
        assert_rows(&table, &truth((0..150).map(|id| contact(id, 2))));
        assert_eq!(table.about["partitioned_by"], "updated_at");
        assert_eq!(table.about["clustered_by"], json!(["active"]));
        assert!(tables.keys().all(|name| !name.contains("__")), "{tables:?}");
    }
}

#[test]
fn a_version_that_is_not_whole_replaces_nothing() {
    let Some(case) = Case::new("half_replaced") else { return };
    let schema = schema("contacts", &contact_properties(), &["id"]);
    let settings = json!({"mode": "replace"});
    let whole = version("contacts", 1, (0..50).map(|id| contact(id, 1)));
    case.run(settings.clone(), &(schema.clone() + &whole));
    let half = version("contacts", 2, (0..50).map(|id| contact(id, 2)));
    let half: Vec<&str> = half.split_inclusive('\n').take(30).collect();
    case.run(settings, &(schema + &half.concat()));
    let table = case.tables().remove("contacts").expect("a table");
    assert_rows(&table, &truth((0..50).map(|id| contact(id, 1))));
}

#[test]
fn rows_are_committed_through_pending_streams() {
    let Some(case) = Case::new("storage_write") else { return };
    let schema = schema("contacts", &contact_properties(), &[]);
    let mut expected = BTreeMap::new();
    for run in 0..2 {
        let rows = truth((0..400).map(|id| contact(run * 400 + id, 1)));
        let input = schema.clone() + &records("contacts", rows.values().cloned()) + &state(1);
        // Several requests for each stream, several streams.
        let settings = json!({
            "method": "storage_write", "append_request_bytes": 10_000, "batch": {"max_records": 150},
        });
        let ended = case.run(settings, &input);
        assert_eq!(printed(&ended.stdout), [1]);
        expected.extend(rows);
        assert_rows(&case.only_table("contacts"), &expected);
    }
}

#[test]
fn rows_are_streamed_by_insert_all() {
    let Some(case) = Case::new("streaming") else { return };
    let rows = truth((0..300).map(|id| nested(id, 1)));
    let input = schema("contacts", &nested_properties(), &[])
        + &records("contacts", rows.values().cloned())
        + &state(1);
    let ended = case.run(json!({"method": "streaming", "insert_rows": 70}), &input);
    assert_eq!(printed(&ended.stdout), [1]);
    assert_rows(&case.only_table("contacts"), &rows);
}

#[test]
fn rows_that_were_deleted_at_the_source_are_deleted() {
    let Some(case) = Case::new("deleted") else { return };
    let mut properties = contact_properties();
    properties["_sdc_deleted_at"] = json!({"type": ["null", "string"], "format": "date-time"});
    let schema = schema("contacts", &properties, &["id"]);
    let mut expected = truth((0..50).map(|id| contact(id, 1)));
    let first = records("contacts", expected.values().cloned());
    case.run(json!({"on_delete": "hard"}), &(schema.clone() + &first));
    // One that is there, one that never was, and one whose deletion is older than the row.
    let gone = [(3, 2), (1000, 2), (4, 0)].map(|(id, revision)| {
        json!({
            "id": id, "updated_at": format!("2026-01-{:02}T23:59:59.999999Z", 1 + revision % 31),
            "_sdc_deleted_at": "2026-01-02T00:00:00Z",
        })
    });
    let [present, absent, mut late] = gone;
    late["updated_at"] = json!("2025-12-31T00:00:00Z");
    let second = records("contacts", [present, absent, late, contact(5, 2)]);
    expected.remove(&3);
    expected.insert(5, contact(5, 2));
    case.run(json!({"on_delete": "hard"}), &(schema + &second));
    assert_rows(&case.only_table("contacts"), &expected);
}

#[test]
fn rows_that_vanished_are_deleted_or_marked() {
    for (on_delete, dataset) in [("hard", "vanished_hard"), ("soft", "vanished_soft")] {
        let Some(case) = Case::new(dataset) else { return };
        let schema = schema("contacts", &contact_properties(), &["id"]);
        for number in 1..=2 {
            let rows = (0..60).filter(|id| number == 1 || id % 3 > 0);
            let rows = version("contacts", number, rows.map(|id| contact(id, number)));
            case.run(json!({"on_delete": on_delete}), &(schema.clone() + &rows));
        }
        let mut table = case.only_table("contacts");
        if on_delete == "soft" {
            assert_eq!(table.rows.len(), 60);
            for row in &table.rows {
                let is_gone = row["id"].as_u64().expect("an id") % 3 == 0;
                assert_eq!(row["_sdc_deleted_at"].is_string(), is_gone, "{row}");
            }
            table.rows.retain(|row| row["_sdc_deleted_at"].is_null());
        }
        let rows = (0..60).filter(|id| id % 3 > 0).map(|id| contact(id, 2));
        assert_rows(&table, &truth(rows));
    }
}

#[test]
fn a_column_leads_rows_to_their_data_sets() {
    let Some(case) = Case::new("tenant_{score}") else { return };
    let mut properties = contact_properties();
    properties["score"] = json!({"type": "integer"});
    let rows: Vec<Value> = (0..60)
        .map(|id| {
            let mut row = contact(id, 1);
            row["score"] = json!(id % 2);
            row
        })
        .collect();
    let input = schema("contacts", &properties, &["id"]) + &records("contacts", rows.clone());
    case.run(json!({}), &input);
    for tenant in 0..2 {
        let table = case.server.tables(&format!("tenant_{tenant}")).remove("contacts");
        let own = rows.iter().filter(|row| row["score"] == tenant).cloned();
        assert_rows(&table.expect("a table"), &truth(own));
    }
}

/// Columns with what is sent and what is read, a row each; the last row has neither.
fn every_type() -> Vec<(&'static str, Value, [(Value, Value); 3])> {
    let same = |one: Value, two: Value| [(one.clone(), one), (two.clone(), two), (Value::Null, Value::Null)];
    vec![
        ("whole", json!({"type": ["null", "integer"]}), same(json!(i64::MAX), json!(i64::MIN))),
        ("double", json!({"type": ["null", "number"]}), same(json!(1.797_693_134_862_315_7e308), json!(-0.1))),
        (
            "exact",
            json!({"type": ["null", "string"], "format": "singer.decimal", "precision": 38, "scale": 9}),
            same(json!("99999999999999999999999999999.999999999"), json!("-0.000000001")),
        ),
        (
            "step",
            json!({"type": ["null", "number"], "multipleOf": 0.01}),
            [(json!(0.07), json!("0.07")), (json!(-12_345_678_901_i64), json!("-12345678901")), (Value::Null, Value::Null)],
        ),
        ("truth", json!({"type": ["null", "boolean"]}), same(json!(true), json!(false))),
        ("day", json!({"type": ["null", "string"], "format": "date"}), same(json!("0001-01-01"), json!("9999-12-31"))),
        (
            "moment",
            json!({"type": ["null", "string"], "format": "date-time"}),
            [
                (json!("0001-01-01T00:00:00Z"), json!("0001-01-01T00:00:00.000000Z")),
                (json!("2026-02-28T23:59:59.999999+05:30"), json!("2026-02-28T18:29:59.999999Z")),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "late",
            json!({"type": ["null", "string"], "format": "date-time"}),
            [
                (json!("9999-12-31T23:59:59.999999Z"), json!("9999-12-31T23:59:59.999999Z")),
                (json!("1969-12-31 23:59:59.9"), json!("1969-12-31T23:59:59.900000Z")),
                (Value::Null, Value::Null),
            ],
        ),
        (
            "clock",
            json!({"type": ["null", "string"], "format": "time"}),
            [
                (json!("23:59:59.999999"), json!("23:59:59.999999")),
                (json!("00:00:00"), json!("00:00:00.000000")),
                (Value::Null, Value::Null),
            ],
        ),
        ("words", json!({"type": ["null", "string"]}), same(json!("\u{5e9}\u{5dc} \"\\\t\r\n\u{7f}\u{2028}\u{1f980} null"), json!(""))),
        ("document", json!({}), same(json!({"a": [1, null, {"b": 1.5}], "": "\u{e9}"}), json!([[1, 2], []]))),
        ("loose", json!({"type": ["null", "string", "integer"]}), same(json!("text \"in\" JSON"), json!(9_007_199_254_740_993_i64))),
        (
            "numbers",
            json!({"type": ["null", "array"], "items": {"type": "integer"}}),
            [(json!([i64::MIN, 0]), json!([i64::MIN, 0])), (json!([]), json!([])), (Value::Null, json!([]))],
        ),
        (
            "days",
            json!({"type": ["null", "array"], "items": {"type": "string", "format": "date"}}),
            [(json!(["1970-01-01"]), json!(["1970-01-01"])), (json!([]), json!([])), (Value::Null, json!([]))],
        ),
    ]
}

#[test]
fn every_type_arrives_by_every_method() {
    let Some(case) = Case::new("types") else { return };
    let record = (
        "record",
        json!({"type": ["null", "object"], "properties": {
            "at": {"type": ["null", "string"], "format": "date-time"},
            "inner": {"type": ["null", "object"], "properties": {"n": {"type": ["null", "integer"]}}},
        }}),
        [json!({"at": "2026-01-01T00:00:00.000001Z", "inner": {"n": -1}}), json!({"at": null, "inner": {"n": 2}}), Value::Null]
            .map(|value| (value.clone(), value)),
    );
    let raw = (
        "raw",
        json!({"type": ["null", "string"], "contentEncoding": "base64"}),
        [json!("3q2+7w=="), json!(""), Value::Null].map(|value| (value.clone(), value)),
    );
    for (method, more) in [("load", record.clone()), ("storage_write", raw), ("streaming", record)] {
        let mut columns = every_type();
        columns.push(more);
        let mut properties = json!({"id": {"type": "integer"}});
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for row in 0..3 {
            let (mut given, mut read) = (json!({"id": row}), json!({"id": row}));
            for (name, schema, values) in &columns {
                properties[*name] = schema.clone();
                given[*name] = values[row].0.clone();
                read[*name] = values[row].1.clone();
            }
            sent.push(given);
            expected.push(read);
        }
        let input = schema(method, &properties, &[]) + &records(method, sent);
        case.run(json!({"method": method}), &input);
        let table = case.tables().remove(method).expect("a table");
        assert_rows(&table, &truth(expected));
    }
}
