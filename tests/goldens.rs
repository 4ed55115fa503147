//! What people see when something is wrong: malformed input, broken configs, catalogs and states, wrong
//! flags. Each case is a folder under `golden/<binary>/`, with the expected stdout, stderr, exit code
//! and files; `UPDATE_GOLDEN=1` rewrites them.

use sandbox::pendo::Kind;
use sandbox::tetra::Sample;
use serde_json::json;
use singer_test::bigquery::{BigQuery, PROJECT};
use singer_test::bin::workspace;
use singer_test::crm::Crm;
use singer_test::database::Database;
use singer_test::golden;
use singer_test::pendo::{KEY, Pendo};
use singer_test::runtime::wait;
use singer_test::zoho::Zoho;

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
fn tap_datastore_says_what_is_wrong() {
    let zoho = Zoho::start(3);
    let tables = |scope: &str| format!("ZohoCatalyst.tables.{scope}");
    let scopes = [
        tables("READ"),
        tables("columns.READ"),
        tables("rows.READ"),
        tables("bulk.READ"),
        "ZohoCatalyst.zcql.CREATE".to_owned(),
    ];
    for (token, missing) in [("no-columns", 1), ("no-bulk", 3), ("no-queries", 4)] {
        let others = scopes.iter().enumerate();
        let others: Vec<&str> = others
            .filter(|(place, _)| *place != missing)
            .map(|(_, scope)| scope.as_str())
            .collect();
        zoho.accounts().allow(token, &others);
    }
    golden::run_all(
        "tap-datastore",
        &workspace().join("tests/golden/tap-datastore"),
        &[("zoho_url", zoho.url())],
    );
}

#[test]
fn target_analytics_says_what_is_wrong() {
    let zoho = Zoho::start(0);
    let table = |name: &str, kind: &str| {
        let column = |name: &str, kind: &str| json!({"COLUMNNAME": name, "DATATYPE": kind});
        let columns = [
            column("id", "NUMBER"),
            column("name", kind),
            column("seen", "DATE"),
        ];
        let design = json!({"TABLENAME": name, "COLUMNS": columns});
        let made = zoho.analytics().create_table(&design);
        made.expect("a table can be made");
    };
    table("there", "PLAIN");
    table("conflict", "DATE");
    table("report", "PLAIN");
    table("tagged", "PLAIN");
    let is_set = zoho.analytics().set_view_type("report", "QueryTable");
    is_set.expect("the view is there");
    let is_set = zoho.analytics().set_refusal("tagged", Some(8241));
    is_set.expect("the view is there");
    let others = ["ZohoAnalytics.metadata.read", "ZohoAnalytics.modeling.all"];
    zoho.accounts().allow("no-imports", &others);
    zoho.accounts()
        .allow("no-metadata", &["ZohoAnalytics.data.all"]);
    golden::run_all(
        "target-analytics",
        &workspace().join("tests/golden/target-analytics"),
        &[("zoho_url", zoho.url())],
    );
}

/// The scopes of both programs over the CRM, and the tokens that lack one of them.
fn crm() -> Crm {
    let crm = Crm::start(3);
    let field = |name: &str, is_mandatory: bool| {
        json!({"api_name": name, "data_type": "text", "json_type": "string", "length": 80,
            "system_mandatory": is_mandatory})
    };
    crm.make_module("Locked", &[]);
    crm.make_module(
        "Strict",
        &[field("Region", true), field("Source_Id", false)],
    );
    let is_denied = crm.inside().deny("Locked", "*", "NO_PERMISSION");
    is_denied.expect("the module is there");
    let scopes = [
        ("no-modules", "ZohoCRM.settings.modules.READ"),
        ("no-fields", "ZohoCRM.settings.fields.READ"),
        ("no-records", "ZohoCRM.modules.ALL"),
        ("no-bulk", "ZohoCRM.bulk.ALL"),
        ("no-queries", "ZohoCRM.coql.READ"),
        ("no-organisation", "ZohoCRM.org.READ"),
        ("no-uploads", "ZohoFiles.files.ALL"),
    ];
    for (token, missing) in scopes {
        let others = scopes.iter().map(|(_, scope)| *scope);
        let others: Vec<&str> = others.filter(|scope| *scope != missing).collect();
        crm.accounts().allow(token, &others);
    }
    crm
}

#[test]
fn tap_crm_says_what_is_wrong() {
    let crm = crm();
    golden::run_all(
        "tap-crm",
        &workspace().join("tests/golden/tap-crm"),
        &[("crm_url", crm.url())],
    );
}

#[test]
fn target_crm_bulkwrite_says_what_is_wrong() {
    let crm = crm();
    golden::run_all(
        "target-crm-bulkwrite",
        &workspace().join("tests/golden/target-crm-bulkwrite"),
        &[("crm_url", crm.url())],
    );
}

#[test]
fn tap_tetra_searcheql_says_what_is_wrong() {
    let mut options = sandbox::Options::default();
    options.tetra.sample = Sample::Instruments;
    options.tetra.files = 60;
    options.tetra.index_ms = 0;
    let sandbox = wait(sandbox::start(options)).expect("the sandbox starts");
    let tetra = sandbox.tetra();
    let file = |path: &str, content: &str| {
        let document =
            json!({"filePath": path, "category": "IDS", "indexedAt": "2024-05-07T00:00:00.000Z"});
        let added = tetra.add(&json!([{"document": document, "text": content}]));
        added.expect("a file can be added")
    };
    file("/broken.json", "retention time, area");
    let gone = file("/gone.json", "{}");
    assert_eq!(tetra.vanish(&gone), 1);
    golden::run_all(
        "tap-tetra-searcheql",
        &workspace().join("tests/golden/tap-tetra-searcheql"),
        &[("tetra_url", sandbox.tetra_url())],
    );
}

#[test]
fn map_records_says_what_is_wrong() {
    golden::run_all(
        "map-records",
        &workspace().join("tests/golden/map-records"),
        &[],
    );
}

#[test]
fn antiphon_says_what_is_wrong() {
    golden::run_all("antiphon", &workspace().join("tests/golden/antiphon"), &[]);
}
