//! What people see when something is wrong: malformed input, broken configs, catalogs and states, wrong
//! flags. Each case is a folder under `golden/<binary>/`, with the expected stdout, stderr, exit code
//! and files; `UPDATE_GOLDEN=1` rewrites them.

use sandbox::pendo::Kind;
use serde_json::json;
use singer_test::bigquery::{BigQuery, PROJECT};
use singer_test::bin::workspace;
use singer_test::database::Database;
use singer_test::golden;
use singer_test::pendo::{KEY, Pendo};

#[test]
fn target_pendo_says_what_is_wrong() {
    let pendo = Pendo::start();
    pendo.set_fields(Kind::Account, &[("name", "string"), ("seats", "integer")]);
    pendo.know(Kind::Account, (0..10).map(|number| format!("a{number}")));
    let names = [
        ("pendo_url", pendo.url()),
        ("read_only_key", "sandbox-read-only-key".to_owned()),
        ("key", KEY.to_owned()),
    ];
    golden::run_all(
        "target-pendo",
        &workspace().join("tests/golden/target-pendo"),
        &names,
    );
}

#[test]
fn target_bigquery_says_what_is_wrong() {
    let bigquery = BigQuery::start();
    let table = |path: &str, kind: &str| {
        let body = json!({"schema": {"fields": [
            {"name": "id", "type": "INTEGER"}, {"name": "name", "type": kind}]}});
        let made = bigquery.inside().create_table(PROJECT, path, &body);
        made.expect("a table can be made");
    };
    table("there.orders", "STRING");
    table("conflict.orders", "DATE");
    let names = [
        ("bigquery_url", bigquery.url()),
        ("grpc_url", bigquery.grpc_url()),
    ];
    golden::run_all(
        "target-bigquery",
        &workspace().join("tests/golden/target-bigquery"),
        &names,
    );
}

#[test]
fn tap_redshift_says_what_is_wrong() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE thing (id integer PRIMARY KEY, name text, changed_at timestamptz);
         INSERT INTO thing VALUES (1, 'one', '2021-01-01T00:00:00Z'), (2, NULL, '2021-01-02T00:00:00.5Z'),
             (3, 'three', NULL);
         ANALYZE thing",
    );
    let connection = database.connection();
    let names = [
        ("port", connection.port.to_string()),
        ("dbname", connection.dbname.clone()),
        ("password", connection.password.clone()),
    ];
    golden::run_all(
        "tap-redshift",
        &workspace().join("tests/golden/tap-redshift"),
        &names,
    );
}

#[test]
fn antiphon_says_what_is_wrong() {
    golden::run_all("antiphon", &workspace().join("tests/golden/antiphon"), &[]);
}
