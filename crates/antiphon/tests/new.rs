//! `antiphon new`: a starter from our own binaries, from one of the Meltano SDK's kind, from a classic one.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run, binary};
use singer_test::folder::Folder;

/// Answers `--about` as a tap of the Meltano SDK does, with a log line on stdout before it.
const SDK_TAP: &str = r#"#!/bin/sh
if [ "$1" = --about ]; then
    echo 'INFO loading'
    cat << 'END'
{"name": "tap-shop", "version": "1.2.0", "capabilities": ["catalog", "state", "discover", "about"],
 "settings": {"type": "object", "required": ["token", "shop"], "properties": {
  "token": {"type": ["string"], "secret": true, "description": "The token. Keep it."},
  "shop": {"type": ["string"], "description": "Name of the shop."},
  "page_size": {"type": ["integer", "null"], "default": 50}}}}
END
fi
"#;

/// Knows nothing of `--about`, as taps of old.
const CLASSIC_TAP: &str = "#!/bin/sh\necho 'usage: tap-old -c CONFIG' >&2\nexit 2\n";

fn program(folder: &Folder, name: &str, text: &str) {
    let path = folder.write(name, text);
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn new(folder: &Folder, args: &[&str]) -> Finished {
    let tap = binary("tap-redshift");
    let target = binary("target-pendo");
    let places = [&tap, &target].map(|program| program.parent().unwrap().display().to_string());
    Run::of("antiphon")
        .arg("new")
        .args(args)
        .env("PATH", format!("{}:{}:/usr/bin:/bin", places[0], places[1]))
        .folder(folder.path())
        .finish()
}

fn json_of(folder: &Folder, name: &str) -> Value {
    serde_json::from_str(&folder.read(name)).expect("a config is JSON")
}

#[test]
fn our_binaries_make_a_starter_that_reads() {
    let folder = Folder::new();
    let finished = new(&folder, &["tap-redshift", "target-pendo"]);
    let page = finished.expect_code(0).text();
    assert_eq!(
        json_of(&folder, "tap-redshift.json"),
        json!({
            "host": "CHANGE-ME", "dbname": "CHANGE-ME", "user": "CHANGE-ME",
            "password": {"env": "TAP_REDSHIFT_PASSWORD"},
        })
    );
    assert_eq!(
        json_of(&folder, "target-pendo.json"),
        json!({"integration_key": {"env": "TARGET_PENDO_INTEGRATION_KEY"}})
    );
    let mode = fs::metadata(folder.file("tap-redshift.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(folder.read(".gitignore"), ".antiphon/\n");
    let project = folder.read("antiphon.toml");
    let tap = "tap = { exec = \"tap-redshift\", config = \"tap-redshift.json\", \
               catalog = \"redshift-to-pendo.catalog.json\" }\n";
    assert!(
        project.contains(&format!("[pipelines.redshift-to-pendo]\n{tap}")),
        "{project}"
    );
    for line in [
        "  antiphon.toml                    written",
        "  $TAP_REDSHIFT_PASSWORD",
        "  tap-redshift --config tap-redshift.json --check",
        "  tap-redshift --config tap-redshift.json --discover > redshift-to-pendo.catalog.json",
        "  antiphon run redshift-to-pendo",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
    // The program itself reads what it has written: the only thing that it misses is the catalog.
    let run = Run::of("antiphon")
        .args(["run", "redshift-to-pendo"])
        .env("PATH", "/usr/bin:/bin")
        .folder(folder.path())
        .finish();
    run.expect_code(2)
        .expect_log("redshift-to-pendo.catalog.json");
}

#[test]
fn a_starter_for_bigquery_asks_for_what_the_target_cannot_guess() {
    let folder = Folder::new();
    binary("target-bigquery");
    let page = new(&folder, &["tap-redshift", "target-bigquery"])
        .expect_code(0)
        .text();
    assert_eq!(
        json_of(&folder, "target-bigquery.json"),
        json!({"project": "CHANGE-ME", "dataset": "CHANGE-ME"})
    );
    for line in [
        "  project ",
        "  ${EDITOR:-vi} target-bigquery.json",
        "  target-bigquery --config target-bigquery.json --check",
        "  antiphon run redshift-to-bigquery",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
    assert!(!page.contains("export TARGET_BIGQUERY"), "{page}");
}

#[test]
fn a_starter_from_data_store_to_analytics_asks_both_sides_for_zoho() {
    let folder = Folder::new();
    for name in ["tap-datastore", "target-analytics"] {
        binary(name);
    }
    let finished = new(&folder, &["tap-datastore", "target-analytics"]);
    let page = finished.expect_code(0).text();
    let secrets = |part: &str| {
        let env = |name: &str| json!({"env": format!("{part}_{name}")});
        (env("CLIENT_SECRET"), env("REFRESH_TOKEN"))
    };
    let (secret, token) = secrets("TAP_DATASTORE");
    assert_eq!(
        json_of(&folder, "tap-datastore.json"),
        json!({
            "client_id": "CHANGE-ME", "client_secret": secret, "refresh_token": token,
            "data_center": "us", "project_id": "CHANGE-ME", "environment": "CHANGE-ME",
            "time_zone": "CHANGE-ME",
        })
    );
    let (secret, token) = secrets("TARGET_ANALYTICS");
    assert_eq!(
        json_of(&folder, "target-analytics.json"),
        json!({
            "client_id": "CHANGE-ME", "client_secret": secret, "refresh_token": token,
            "data_center": "us", "workspace_id": "CHANGE-ME",
        })
    );
    for line in [
        "(one of Development, Production)",
        "(one of us, eu, in, au, jp, ca, sa, cn, uk, ae)",
        "  export TAP_DATASTORE_REFRESH_TOKEN=…",
        "  tap-datastore --config tap-datastore.json --discover > datastore-to-analytics.catalog.json",
        "  antiphon run datastore-to-analytics --dry-run",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
    assert!(!page.contains("LISTEN_SECRET"), "{page}");
}

#[test]
fn a_starter_for_the_crm_has_a_map_in_between() {
    let folder = Folder::new();
    for name in ["tap-crm", "map-records", "target-crm-bulkwrite"] {
        binary(name);
    }
    let args = ["tap-crm", "target-crm-bulkwrite", "--map", "map-records"];
    let page = new(&folder, &args).expect_code(0).text();
    for (name, part) in [
        ("tap-crm", "TAP_CRM"),
        ("target-crm-bulkwrite", "TARGET_CRM_BULKWRITE"),
    ] {
        let env = |name: &str| json!({"env": format!("{part}_{name}")});
        assert_eq!(
            json_of(&folder, &format!("{name}.json")),
            json!({
                "client_id": "CHANGE-ME", "client_secret": env("CLIENT_SECRET"),
                "refresh_token": env("REFRESH_TOKEN"), "data_center": "us",
            })
        );
    }
    assert_eq!(json_of(&folder, "map-records.json"), json!({"streams": {}}));
    for line in [
        "  export TARGET_CRM_BULKWRITE_REFRESH_TOKEN=…",
        "  tap-crm --config tap-crm.json --discover > crm-to-crm-bulkwrite.catalog.json",
        "  antiphon run crm-to-crm-bulkwrite --dry-run",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
}

#[test]
fn a_starter_for_the_tetra_data_platform_has_a_query_to_begin_with() {
    let folder = Folder::new();
    for name in ["tap-tetra-searcheql", "target-bigquery"] {
        binary(name);
    }
    let page = new(&folder, &["tap-tetra-searcheql", "target-bigquery"])
        .expect_code(0)
        .text();
    assert_eq!(
        json_of(&folder, "tap-tetra-searcheql.json"),
        json!({
            "base_url": "CHANGE-ME",
            "auth_token": {"env": "TAP_TETRA_SEARCHEQL_AUTH_TOKEN"},
            "org_slug": "CHANGE-ME",
            "streams": {"results": {
                "index": "ids", "query": {"term": {"category": "IDS"}}, "retrieve": "json"}},
        })
    );
    for line in [
        "  export TAP_TETRA_SEARCHEQL_AUTH_TOKEN=…",
        "  ${EDITOR:-vi} tap-tetra-searcheql.json",
        "  tap-tetra-searcheql --config tap-tetra-searcheql.json --check",
        "  tap-tetra-searcheql --config tap-tetra-searcheql.json --discover > tetra-searcheql-to-bigquery.catalog.json",
        "  antiphon run tetra-searcheql-to-bigquery --dry-run",
    ] {
        assert!(page.contains(line), "no {line:?} in\n{page}");
    }
}

#[test]
fn a_tap_of_the_sdk_takes_its_secrets_from_the_environment() {
    let folder = Folder::new();
    program(&folder, "tap-shop", SDK_TAP);
    program(&folder, "mask.sh", "#!/bin/sh\nexec cat\n");
    let args = [
        "./tap-shop",
        "target-pendo",
        "--map",
        "./mask.sh",
        "--name",
        "shop",
    ];
    let page = new(&folder, &args).expect_code(0).text();
    assert_eq!(
        json_of(&folder, "tap-shop.json"),
        json!({"shop": "CHANGE-ME"})
    );
    let project = folder.read("antiphon.toml");
    for line in [
        "tap = { exec = \"./tap-shop\", config = [\"tap-shop.json\", \"ENV\"], catalog = \"shop.catalog.json\" }\n",
        "map = { exec = \"./mask.sh\" }\n",
    ] {
        assert!(project.contains(line), "no {line:?} in\n{project}");
    }
    assert!(!folder.file("mask.json").exists());
    assert!(page.contains("$TAP_SHOP_TOKEN"), "{page}");
    assert!(page.contains("  page_size (50)\n"), "{page}");
    assert!(
        page.contains(
            "./tap-shop --config tap-shop.json --config ENV --discover > shop.catalog.json"
        ),
        "{page}"
    );
}

#[test]
fn a_classic_tap_gets_an_empty_config_and_a_note() {
    let folder = Folder::new();
    program(&folder, "tap-old.py", CLASSIC_TAP);
    let page = new(&folder, &["./tap-old.py", "target-pendo"])
        .expect_code(0)
        .text();
    assert_eq!(json_of(&folder, "tap-old.json"), json!({}));
    assert!(
        page.contains("./tap-old.py does not know --about"),
        "{page}"
    );
    assert!(
        folder
            .read("antiphon.toml")
            .contains("[pipelines.old-to-pendo]\n")
    );
}

#[test]
fn what_is_there_stays_and_a_project_grows() {
    let folder = Folder::new();
    new(&folder, &["tap-redshift", "target-pendo"]).expect_code(0);
    folder.write("tap-redshift.json", "{\"host\": \"mine\"}");
    folder.write(".gitignore", "target\n.antiphon");
    let before = folder.read("antiphon.toml");

    let again = new(&folder, &["tap-redshift", "target-pendo"]);
    again
        .expect_code(2)
        .expect_log("there is a pipeline `redshift-to-pendo`");
    assert_eq!(folder.read("antiphon.toml"), before);

    let page = new(
        &folder,
        &["tap-redshift", "target-pendo", "--name", "second"],
    )
    .expect_code(0)
    .text();
    assert!(
        page.contains("tap-redshift.json                kept as it was"),
        "{page}"
    );
    assert_eq!(folder.read("tap-redshift.json"), "{\"host\": \"mine\"}");
    assert_eq!(folder.read(".gitignore"), "target\n.antiphon");
    let after = folder.read("antiphon.toml");
    assert!(after.starts_with(&before) && after.contains("\n[pipelines.second]\n"));

    let args = ["tap-redshift", "target-pendo", "--name", "third", "--force"];
    new(&folder, &args).expect_code(0);
    assert_eq!(json_of(&folder, "tap-redshift.json")["host"], "CHANGE-ME");
    assert!(folder.read("antiphon.toml").starts_with(&after));
}

#[test]
fn nothing_is_written_where_something_is_wrong() {
    let folder = Folder::new();
    let wrong = |args: &[&str], told: &str| {
        new(&folder, args).expect_code(2).expect_log(told);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    };
    wrong(&["target-pendo", "tap-redshift"], "are swapped");
    wrong(
        &["tap-redshfit", "target-pendo"],
        "did you mean `tap-redshift`?",
    );
    wrong(
        &["./tap", "target-pendo"],
        "the program of stage `tap` is not there",
    );
    wrong(
        &["tap-redshift", "target-pendo", "--name", "a b"],
        "is no name of a pipeline",
    );

    let broken = folder.write("antiphon.toml", "[pipelines.a]\ntap = 3\n");
    let finished = new(&folder, &["tap-redshift", "target-pendo"]);
    finished.expect_code(2).expect_log("line 2");
    assert_eq!(
        fs::read_to_string(broken).unwrap(),
        "[pipelines.a]\ntap = 3\n"
    );
    assert!(!folder.file("tap-redshift.json").exists());
}
