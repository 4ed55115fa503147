//! Foreign programs as judges of `tap-tetra-searcheql`: its messages before singer-check-tap, and the tap with
//! `target-bigquery` under Meltano, which keeps the state.

use std::path::{Path, PathBuf};

use sandbox::tetra::{Sample, Tetra};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::{Finished, Run, binary};
use singer_test::folder::Folder;
use singer_test::python::{self, PATIENCE};
use singer_test::runtime::wait;

/// How many of the files are results of instruments.
const RESULTS: usize = 60;

/// A platform with files, half of them results.
fn platform() -> Sandbox {
    let mut options = Options::default();
    options.tetra.sample = Sample::Instruments;
    options.tetra.files = 2 * RESULTS;
    wait(sandbox::start(options)).expect("the sandbox starts")
}

/// The config of a tap with this stream of results.
fn config(platform: &Sandbox, settings: &Value) -> Value {
    let mut stream = json!({"query": {"term": {"category": "IDS"}}, "index": "ids"});
    let more = settings.as_object().expect("settings are an object");
    (stream.as_object_mut())
        .expect("a stream is an object")
        .extend(more.clone());
    json!({
        "base_url": platform.tetra_url(), "auth_token": "sandbox-token", "org_slug": "acme",
        "start_date": "2024-01-01T00:00:00Z", "streams": {"results": stream},
    })
}

/// The folder of an environment of foreign programs; none where there is no Python for it.
fn environment(name: &str) -> Option<PathBuf> {
    python::environments(&[name]).and_then(|mut found| found.remove(name))
}

fn program(environment: &Path, name: &str) -> Run {
    Run::program(environment.join("bin").join(name))
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .patience(PATIENCE)
}

#[test]
fn singer_check_tap_finds_our_messages_valid() {
    let Some(classic) = environment("classic") else {
        return;
    };
    let platform = platform();
    for settings in [
        json!({}),
        json!({"retrieve": "json"}),
        json!({"retrieve": "json", "flatten": true}),
        json!({"retrieve": "json", "json_as": "record"}),
        json!({"retrieve": "file", "source": ["filePath"]}),
    ] {
        let folder = Folder::new();
        folder.write_json("tap.json", &config(&platform, &settings));
        let messages = Run::of("tap-tetra-searcheql")
            .args(["--config", "tap.json", "--select", "results"])
            .folder(folder.path())
            .finish();
        messages.expect_code(0);
        let verdict = program(&classic, "singer-check-tap")
            .stdin(messages.stdout)
            .finish();
        verdict.expect_code(0);
        let text = verdict.text();
        assert!(
            text.contains("The output is valid.")
                && text.contains(&format!("{RESULTS} record messages")),
            "{settings}: {text}"
        );
    }
}

#[test]
fn meltano_runs_the_tap_with_its_own_state() {
    let Some(modern) = environment("modern") else {
        return;
    };
    let (platform, warehouse) = (platform(), BigQuery::start());
    let folder = Folder::new();
    let project = meltano_project(&platform, &warehouse, &folder);
    let tetra = platform.tetra();
    meltano(&modern, &project);
    assert_equal(tetra, &warehouse);
    assert_eq!(warehouse.count("results"), Some(RESULTS));
    let state = program(&modern, "meltano")
        .folder(&project)
        .args([
            "state",
            "get",
            "dev:tap-tetra-searcheql-to-target-bigquery:suite",
        ])
        .finish();
    let text = state.expect_code(0).text();
    assert!(text.contains("replication_key_value"), "{text}");

    let again: Vec<String> = warehouse
        .by("results", "fileId")
        .into_keys()
        .take(9)
        .collect();
    assert_eq!(tetra.reindex(&again), again.len());
    tetra.add_some(20);
    tetra.advance(3_600);
    let ended = meltano(&modern, &project);
    assert_equal(tetra, &warehouse);
    // The second run knows where the first one ended.
    assert!(ended.stderr.contains("records=19 "), "{}", ended.stderr);
}

/// Each result of the platform is a row, in its newest version.
#[track_caller]
fn assert_equal(tetra: &Tetra, warehouse: &BigQuery) {
    let mut rows = warehouse.by("results", "fileId");
    let documents = tetra.dump().into_iter();
    for document in documents.filter(|document| document["category"] == "IDS") {
        let id = document["fileId"].as_str().expect("an id");
        let row = rows.remove(id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(row["file"]["version"], document["file"]["version"], "{id}");
        let samples = (&row["data"]["samples"], &document["data"]["samples"]);
        assert_eq!(samples.0, samples.1, "{id}");
    }
    assert!(rows.is_empty(), "{} rows are of no file", rows.len());
}

#[track_caller]
fn meltano(environment: &Path, project: &Path) -> Finished {
    let ended = program(environment, "meltano")
        .folder(project)
        .args([
            "run",
            "--state-id-suffix=suite",
            "tap-tetra-searcheql",
            "target-bigquery",
        ])
        .env("MELTANO_SEND_ANONYMOUS_USAGE_STATS", "false")
        .env("MELTANO_AUTO_INSTALL", "false")
        .env("NO_COLOR", "1")
        .finish();
    ended.expect_code(0);
    ended
}

/// A project with both of ours as custom plugins, as a person would write it.
fn meltano_project(platform: &Sandbox, warehouse: &BigQuery, folder: &Folder) -> PathBuf {
    let project = folder.file("meltano");
    std::fs::create_dir_all(&project).expect("a folder can be made");
    let key = json!({"replication-method": "INCREMENTAL", "replication-key": "indexedAt"});
    // JSON is YAML.
    let file = json!({
        "default_environment": "dev",
        "project_id": "00000000-0000-4000-8000-000000000000",
        "environments": [{"name": "dev"}],
        "send_anonymous_usage_stats": false,
        "plugins": {
            "extractors": [{
                "name": "tap-tetra-searcheql", "namespace": "tap_tetra_searcheql",
                "executable": binary("tap-tetra-searcheql"),
                "capabilities": ["catalog", "discover", "state", "about"],
                "settings": [
                    {"name": "base_url"}, {"name": "auth_token", "sensitive": true}, {"name": "org_slug"},
                    {"name": "start_date"}, {"name": "streams", "kind": "object"},
                ],
                "config": config(platform, &json!({"retrieve": "json"})),
                "select": ["results.*"],
                "metadata": {"results": key},
            }],
            "loaders": [{
                "name": "target-bigquery", "namespace": "target_bigquery",
                "executable": binary("target-bigquery"),
                "capabilities": ["about"],
                "settings": [
                    {"name": "project"}, {"name": "dataset"}, {"name": "endpoint"}, {"name": "grpc_endpoint"},
                ],
                "config": warehouse.target_config(),
            }],
        },
    });
    std::fs::write(project.join("meltano.yml"), file.to_string()).expect("a file can be written");
    project
}
