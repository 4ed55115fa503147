//! Foreign programs as judges: the messages of our tap before singer-check-tap, our tap into
//! target-jsonl, tap-jsonl into our target, and both of ours under Meltano with its own state over two
//! runs. `interop/run` makes the Python environments; where there is no Python, the tests say so.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sandbox::pendo::Kind;
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run, binary};
use singer_test::pipe::{self, Cut};
use singer_test::python::{self, PATIENCE};
use suite::pair::{Method, Pair};

/// The folders of the environments.
struct Foreign {
    classic: PathBuf,
    modern: PathBuf,
}

/// The environments, made on the first request; none where this machine has no Python for them.
fn foreign() -> Option<&'static Foreign> {
    static FOREIGN: OnceLock<Option<Foreign>> = OnceLock::new();
    let find = || {
        let folders = python::environments(&["classic", "modern"])?;
        Some(Foreign {
            classic: folders["classic"].clone(),
            modern: folders["modern"].clone(),
        })
    };
    FOREIGN.get_or_init(find).as_ref()
}

fn program(environment: &Path, name: &str) -> Run {
    Run::program(environment.join("bin").join(name))
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .patience(PATIENCE)
}

/// Every type that a PostgreSQL has in daily use, at its limits.
const TYPES: &str = "
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE types (
    id bigint PRIMARY KEY, small smallint, whole integer, exact numeric(38,18), loose numeric,
    single real, twice double precision, yes boolean, letters char(5), words varchar(100), prose text,
    day date, moment timestamp, instant timestamptz, clock time, zoned timetz, span interval,
    identity uuid, document jsonb, raw bytea, feeling mood, numbers integer[], texts text[],
    address inet, stretch int4range
);
INSERT INTO types VALUES
    (9223372036854775807, -32768, 2147483647, 12345678901234567890.123456789012345678, 1e-30, 1.5, 0.1,
     true, 'ab', 'w\u{f6}rter', E'line\\n\"quote\"', '2026-02-28', '2026-02-28 23:59:59.123456',
     '2026-02-28 23:59:59.999999+05:30', '23:59:59', '12:00:00+02', '1 year 2 days 03:04:05',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, null, {\"b\": 1.10}]}', '\\xdeadbeef', 'ok',
     '{1,NULL,3}', '{\"a,b\",\"c\"}', '192.168.0.1/24', '[1,5)'),
    (-1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (0, 0, 0, 0, 0, 'NaN', '-Infinity', false, '', '', '', '0001-01-01', '1970-01-01', '1970-01-01Z',
     '00:00', '00:00Z', '0', '00000000-0000-0000-0000-000000000000', 'null', '', 'sad', '{}', '{}',
     '::1', 'empty');
";

#[test]
fn singer_check_tap_finds_our_messages_valid() {
    let Some(foreign) = foreign() else { return };
    for method in [Method::FullTable, Method::Incremental] {
        let pair = Pair::new(12_000, method);
        let messages = pair.tap().finish();
        messages.expect_code(0);
        let verdict = judge(foreign, messages);
        verdict.expect_code(0);
        let text = verdict.text();
        assert!(
            text.contains("The output is valid.") && text.contains("12000 record messages"),
            "{text}"
        );
    }
}

#[test]
fn singer_check_tap_finds_every_type_valid() {
    let Some(foreign) = foreign() else { return };
    let pair = Pair::new(0, Method::FullTable);
    pair.database.execute(TYPES);
    let mut config = pair.database.tap_config();
    config["decimal"] = json!("string");
    judge_types(foreign, &pair, &config);
    // As numbers: the judge divides by `multipleOf` with 28 digits and gives up on more.
    pair.database
        .execute("UPDATE types SET exact = 1234567890.123456789012345678 WHERE exact > 1");
    config["decimal"] = json!("number");
    judge_types(foreign, &pair, &config);
}

fn judge_types(foreign: &Foreign, pair: &Pair, config: &Value) {
    pair.folder.write_json("tap.json", config);
    let tap = Run::of("tap-redshift").folder(pair.folder.path());
    let messages = tap.args(["-c", "tap.json", "--select", "*.types"]).finish();
    messages.expect_code(0);
    let verdict = judge(foreign, messages);
    verdict.expect_code(0);
    assert!(
        verdict.text().contains("3 record messages"),
        "{}",
        verdict.text()
    );
}

fn judge(foreign: &Foreign, messages: Finished) -> Finished {
    program(&foreign.classic, "singer-check-tap")
        .stdin(messages.stdout)
        .finish()
}

#[test]
fn our_tap_feeds_target_jsonl() {
    let Some(foreign) = foreign() else { return };
    let pair = Pair::new(2_000, Method::Incremental);
    let config = json!({"destination_path": pair.folder.path(), "do_timestamp_file": false});
    let config = pair.folder.write_json("target-jsonl.json", &config);
    let target = || {
        program(&foreign.classic, "target-jsonl")
            .arg("-c")
            .arg(&config)
            .folder(pair.folder.path())
    };
    let ended = pipe::run(pair.tap(), target(), Cut::Never);
    ended.expect_success();
    let written = || {
        pair.folder
            .read("account.jsonl")
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let ids = |lines: &[String]| {
        let mut ids: Vec<String> = lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).expect("target-jsonl writes JSON"))
            .map(|record| record["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(
        ids(&written()),
        pair.database.column("SELECT id FROM account ORDER BY id")
    );
    // Its state is ours: the next run goes on from it.
    pair.folder.write("state.json", &ended.target.stdout);
    pair.fill(1..=10, 2);
    pipe::run(pair.tap(), target(), Cut::Never).expect_success();
    let mut more = written().split_off(2_000);
    more.sort();
    more.dedup();
    assert_eq!(more.len(), 11, "ten rows, and the one at the bookmark");
}

#[test]
fn tap_jsonl_feeds_our_target() {
    let Some(foreign) = foreign() else { return };
    let pair = Pair::new(500, Method::FullTable);
    let rows = || -> String {
        let rows = pair.database.column(
            "SELECT json_build_object('id', id, 'name', name, 'seats', seats)::text FROM account ORDER BY id",
        );
        rows.join("\n") + "\n"
    };
    let file = pair.folder.write("rows.jsonl", rows());
    let config = json!({"path": file, "stream_name": "account", "primary_keys": ["id"]});
    let config = pair.folder.write_json("tap-jsonl.json", &config);
    let tap = || {
        program(&foreign.modern, "tap-jsonl")
            .arg("--config")
            .arg(&config)
            .folder(pair.folder.path())
    };
    let mut target_config = pair.pendo.target_config();
    target_config["streams"] =
        json!({"account": {"kind": "account", "fields": {"name": "name", "seats": "seats"}}});
    pair.folder.write_json("target-pendo.json", &target_config);
    let target = || {
        Run::of("target-pendo")
            .folder(pair.folder.path())
            .args(["-c", "target-pendo.json", "--state-file", "state.json"])
            .patience(PATIENCE)
    };
    pipe::run(tap(), target(), Cut::Never).expect_success();
    assert_names_and_seats(&pair);
    let state = pair
        .state()
        .expect("the state of tap-jsonl is stored as it came");
    assert!(state["bookmarks"]["account"].is_object(), "{state}");
    // The second run, from that state.
    pair.fill(1..=20, 2);
    pair.folder.write("rows.jsonl", rows());
    pipe::run(tap().args(["--state", "state.json"]), target(), Cut::Never).expect_success();
    assert_names_and_seats(&pair);
}

#[track_caller]
fn assert_names_and_seats(pair: &Pair) {
    let (rows, stored) = (pair.rows(), pair.stored());
    assert_eq!(rows.len(), stored.len());
    for (id, row) in &rows {
        assert_eq!(
            (row.get("name"), row.get("seats")),
            (stored[id].get("name"), stored[id].get("seats"))
        );
    }
}

#[test]
fn meltano_runs_both_with_its_own_state() {
    let Some(foreign) = foreign() else { return };
    let pair = Pair::new(3_000, Method::Incremental);
    let project = meltano_project(&pair);
    let meltano = |args: &[&str]| {
        program(&foreign.modern, "meltano")
            .folder(&project)
            .args(args)
            .env("MELTANO_SEND_ANONYMOUS_USAGE_STATS", "false")
            .env("MELTANO_AUTO_INSTALL", "false")
            .env("NO_COLOR", "1")
            .finish()
    };
    let run = || {
        meltano(&[
            "run",
            "--state-id-suffix=suite",
            "tap-redshift",
            "target-pendo",
        ])
        .expect_code(0)
        .clone()
    };
    run();
    pair.assert_equal();
    let applied = pair.pendo.applied(Kind::Account);
    assert_eq!(applied, 3_000);
    let state = meltano(&["state", "get", "dev:tap-redshift-to-target-pendo:suite"]);
    state.expect_code(0);
    assert!(
        state.text().contains("replication_key_value"),
        "{}",
        state.text()
    );
    // The second run knows where the first one ended.
    pair.fill(2_991..=3_030, 2);
    run();
    pair.assert_equal();
    assert_eq!(
        pair.pendo.applied(Kind::Account) - applied,
        40,
        "the rows that changed"
    );
    // A third one finds nothing but the row at the bookmark.
    run();
    assert_eq!(pair.pendo.applied(Kind::Account) - applied, 41);
}

/// A project with both of ours as custom plugins, as a person would write it.
fn meltano_project(pair: &Pair) -> PathBuf {
    let project = pair.folder.file("meltano");
    std::fs::create_dir_all(&project).expect("a folder can be made");
    let mut tap_config = pair.database.tap_config();
    tap_config["start_date"] = json!("2020-01-01T00:00:00Z");
    let mut target_config = pair.pendo.target_config();
    target_config["streams"] = json!({"account": {"kind": "account"}});
    let tap_settings = [
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "sslmode",
        "start_date",
    ]
    .map(|name| json!({"name": name}));
    let key = json!({"replication-method": "INCREMENTAL", "replication-key": "updated_at"});
    // JSON is YAML.
    let file = json!({
        "default_environment": "dev",
        "project_id": "00000000-0000-4000-8000-000000000000",
        "environments": [{"name": "dev"}],
        "send_anonymous_usage_stats": false,
        "plugins": {
            "extractors": [{
                "name": "tap-redshift", "namespace": "tap_redshift",
                "executable": binary("tap-redshift"),
                "capabilities": ["catalog", "discover", "state", "about"],
                "settings": tap_settings,
                "config": tap_config,
                "select": ["*-account.*", "*account.*"],
                "metadata": {"*account": key},
            }],
            "loaders": [{
                "name": "target-pendo", "namespace": "target_pendo",
                "executable": binary("target-pendo"),
                "capabilities": ["about"],
                "settings": [
                    {"name": "integration_key", "sensitive": true}, {"name": "base_url"},
                    {"name": "streams", "kind": "object"},
                ],
                "config": target_config,
            }],
        },
    });
    std::fs::write(project.join("meltano.yml"), file.to_string()).expect("a file can be written");
    project
}
