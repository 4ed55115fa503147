//! `tap-datastore` into `target-analytics`: what Zoho's SDK wrote into a table is what Zoho's client reads in
//! a view; by a plain pipe, and under Meltano with its own state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use singer_test::bin::{Finished, binary};
use singer_test::pipe::{self, Cut};

use crate::case::{Case, PROJECT, TIME_ZONE, environment, program, text_of};
use crate::tap::{filled, incremental_catalog, row, tap};
use crate::target::target;

const TABLE: &str = "Judged";

#[test]
fn what_the_sdk_wrote_is_what_the_client_reads() {
    let Some(case) = filled(500) else { return };
    let incremental = json!({"lookback_seconds": 0, "small_table_rows": 0, "deletions": "diff"});
    let catalog = incremental_catalog(&case, &incremental);
    case.folder.write_json("catalog.json", &catalog);
    let run = |from: &[&str]| {
        let mut arguments = vec!["--catalog", "catalog.json"];
        arguments.extend(from);
        let source = tap(&case, incremental.clone(), &arguments);
        let streams = json!({"streams": {TABLE: {"on_delete": "delete"}}});
        let sink = target(&case, streams).args(["--state-file", "state.json"]);
        pipe::run(source, sink, Cut::Never).expect_success();
        assert_equal(&case);
    };
    run(&[]);
    change(&case);
    run(&["--state", "state.json"]);
}

#[test]
fn meltano_runs_both_with_its_own_state() {
    let Some(modern) = environment("modern") else {
        return;
    };
    let Some(case) = filled(400) else { return };
    // One row alone has the newest time.
    case.sdk(&[json!({"insert": [row(900)], "table": TABLE})]);
    let project = meltano_project(&case);
    let run = || meltano(&modern, &project);
    run();
    assert_equal(&case);
    let before = imported(&case);
    assert_eq!(before, 401);
    change(&case);
    run();
    assert_equal(&case);
    // The second run knows where the first one ended: 25 rows, and the one at the bookmark.
    assert_eq!(imported(&case) - before, 26);
}

/// Some rows are changed, added and deleted, through Zoho's SDK.
fn change(case: &Case) {
    let ids: Vec<String> = case.rows(TABLE).into_keys().collect();
    let changed: Vec<Value> = ids[..15]
        .iter()
        .map(|id| json!({"ROWID": id, "Prose": "changed,\n\"twice\"", "Large": null}))
        .collect();
    let added: Vec<Value> = (2000..2010).map(row).collect();
    case.sdk(&[
        json!({"update": changed, "table": TABLE}),
        json!({"insert": added, "table": TABLE}),
        json!({"delete": &ids[40..45], "table": TABLE}),
    ]);
}

/// Rows that imports brought.
fn imported(case: &Case) -> usize {
    let jobs = case.sandbox.analytics().jobs();
    jobs.iter().map(|job| job.successful_rows).sum()
}

/// The table, as Zoho's SDK reads it, is the view, as Zoho's client reads it.
#[track_caller]
fn assert_equal(case: &Case) {
    let (rows, view) = (case.rows(TABLE), case.view(TABLE));
    let stored: BTreeMap<String, &Value> = view.by("ROWID");
    assert!(
        rows.keys().eq(stored.keys()),
        "{} rows in the table, {} in the view",
        rows.len(),
        stored.len()
    );
    assert_eq!(text_of(&view.count), rows.len().to_string());
    for (id, row) in &rows {
        for (name, value) in row.as_object().expect("a row is an object") {
            let (cell, wanted) = (text_of(&stored[id][name]), text_of(value));
            let is_same = match name.as_str() {
                "Moment" | "CREATEDTIME" | "MODIFIEDTIME" => {
                    // The target cuts fractions of a second off, and writes UTC without a letter.
                    let seconds = wanted.split(['.', 'Z']).next().unwrap_or_default();
                    cell == seconds.replace('T', " ")
                }
                "Ratio" | "Price" => cell.parse::<f64>().ok() == wanted.parse::<f64>().ok(),
                _ => cell == wanted,
            };
            assert!(
                is_same,
                "`{name}` of {id} is {cell:?}, and {wanted:?} in the table"
            );
        }
    }
}

#[track_caller]
fn meltano(environment: &Path, project: &Path) -> Finished {
    let ended = program(environment, "meltano")
        .folder(project)
        .args([
            "run",
            "--state-id-suffix=suite",
            "tap-datastore",
            "target-analytics",
        ])
        .env("MELTANO_SEND_ANONYMOUS_USAGE_STATS", "false")
        .env("MELTANO_AUTO_INSTALL", "false")
        .env("NO_COLOR", "1")
        .finish();
    ended.expect_code(0);
    ended
}

/// A project with both of ours as custom plugins, as a person would write it.
fn meltano_project(case: &Case) -> PathBuf {
    let project = case.folder.file("meltano");
    std::fs::create_dir_all(&project).expect("a folder can be made");
    let analytics = case.sandbox.analytics();
    let mut tap_config = case.account();
    let mut target_config = case.account();
    extend(
        &mut tap_config,
        json!({
            "api_url": case.sandbox.zoho_url(), "project_id": PROJECT, "environment": "Production",
            "time_zone": TIME_ZONE, "small_table_rows": 0, "lookback_seconds": 0, "deletions": "diff",
            "deletions_path": case.folder.file("rowids"),
        }),
    );
    extend(
        &mut target_config,
        json!({
            "analytics_url": case.sandbox.analytics_url(), "org_id": analytics.org(),
            "workspace_id": analytics.workspace(),
            "streams": {TABLE: {"on_delete": "delete"}},
        }),
    );
    let plugin = |name: &str, config: Value, capabilities: Value| {
        json!({
            "name": name, "namespace": name.replace('-', "_"), "executable": binary(name),
            "capabilities": capabilities, "settings": settings_of(&config), "config": config,
        })
    };
    let mut extractor = plugin(
        "tap-datastore",
        tap_config,
        json!(["catalog", "discover", "state", "about"]),
    );
    let key = json!({"replication-method": "INCREMENTAL", "replication-key": "MODIFIEDTIME"});
    extend(
        &mut extractor,
        json!({"select": [format!("{TABLE}.*")], "metadata": {TABLE: key}}),
    );
    // JSON is YAML.
    let file = json!({
        "default_environment": "dev",
        "project_id": "00000000-0000-4000-8000-000000000000",
        "environments": [{"name": "dev"}],
        "send_anonymous_usage_stats": false,
        "plugins": {
            "extractors": [extractor],
            "loaders": [plugin("target-analytics", target_config, json!(["about"]))],
        },
    });
    std::fs::write(project.join("meltano.yml"), file.to_string()).expect("a file can be written");
    project
}

/// The settings of a plugin: those that its config has.
fn settings_of(config: &Value) -> Vec<Value> {
    let kind = |value: &Value| match value {
        Value::Object(_) => "object",
        Value::Number(_) => "integer",
        _ => "string",
    };
    let config = config.as_object().expect("a config is an object");
    config
        .iter()
        .map(|(name, value)| json!({"name": name, "kind": kind(value)}))
        .collect()
}

fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}
