//! The key filter: ids from Pendo and from a file, few and many.

use sandbox::pendo::Kind;
use serde_json::json;
use singer_test::database::Database;
use singer_test::pendo::Pendo;

use crate::kit::{Tap, property};

fn accounts(rows: usize) -> Database {
    let database = Database::new();
    database.execute(&format!(
        "CREATE TABLE account (id uuid PRIMARY KEY, n integer);
         INSERT INTO account SELECT md5(i::text)::uuid, i FROM generate_series(1, {rows}) i;
         CREATE TABLE plan (n integer); INSERT INTO plan VALUES (1), (2);"
    ));
    database
}

fn ids(database: &Database, condition: &str) -> Vec<String> {
    database.column(&format!(
        "SELECT id::text FROM account WHERE {condition} ORDER BY n"
    ))
}

fn with_pendo(database: &Database, pendo: &Pendo) -> Tap {
    let mut source = pendo.target_config();
    source["page_size"] = 500.into();
    source["id_format"] = "uuid".into();
    Tap::of(database).with("key_filter", json!({"column": "id", "pendo": source}))
}

#[test]
fn only_rows_that_pendo_knows_are_read() {
    let database = accounts(10);
    let pendo = Pendo::start();
    pendo.know(Kind::Account, ids(&database, "n % 2 = 0"));
    pendo.know(
        Kind::Account,
        [
            "not a uuid \" at all",
            "ffffffff-0000-0000-0000-000000000000",
        ],
    );
    let tap = with_pendo(&database, &pendo);
    let mut found = property(&tap.select("*account"), "account", "n");
    found.sort_by_key(|n| n.as_i64());
    assert_eq!(found, [2, 4, 6, 8, 10]);
    // A stream without the column is read whole.
    assert_eq!(tap.select("*plan").records("plan").len(), 2);
}

#[test]
fn many_ids_are_paged_by_key_and_joined_in_the_database() {
    let database = accounts(6000);
    let pendo = Pendo::start();
    pendo.know(Kind::Account, ids(&database, "n <= 5000"));
    let tap = with_pendo(&database, &pendo);
    assert_eq!(tap.select("*account").records("account").len(), 5000);
    assert!(pendo.status().activity.requests >= 10);
    // The table of ids was a temporary one.
    assert_eq!(
        database.value("SELECT count(*)::text FROM pg_class WHERE relname = 'antiphon_key_filter'"),
        "0"
    );
}

#[test]
fn ids_come_from_a_file_too() {
    let database = accounts(10);
    let tap = Tap::of(&database);
    let known = ids(&database, "n IN (3, 5)").join("\r\n\n");
    tap.folder
        .write("ids.txt", format!("\u{feff}{known}\nnonsense\n"));
    let tap = tap.with(
        "key_filter",
        json!({"column": "id", "file": "ids.txt", "streams": ["acc*"]}),
    );
    let mut found = property(&tap.select("*account"), "account", "n");
    found.sort_by_key(|n| n.as_i64());
    assert_eq!(found, [3, 5]);
}

#[test]
fn no_id_means_no_row_and_a_warning() {
    let database = accounts(3);
    let tap = Tap::of(&database);
    tap.folder.write("ids.txt", "\n");
    let tap = tap.with("key_filter", json!({"column": "id", "file": "ids.txt"}));
    let ended = tap.run(&["--select", "*account"]).finish();
    ended.expect_code(0).expect_log("no row is read");
    assert!(!ended.text().contains("RECORD"));
}

#[test]
fn a_wrong_key_or_column_is_told_before_anything_is_read() {
    let database = accounts(3);
    let pendo = Pendo::start();
    let mut tap = with_pendo(&database, &pendo);
    tap.config["key_filter"]["pendo"]["integration_key"] = "wrong".into();
    let ended = tap.run(&["--select", "*account"]).finish();
    ended
        .expect_code(1)
        .expect_log("key_filter.pendo.integration_key");
    let mut tap = with_pendo(&database, &pendo);
    tap.config["key_filter"]["column"] = "missing".into();
    tap.config["key_filter"]["streams"] = json!(["account"]);
    let ended = tap.run(&["--select", "*account"]).finish();
    // Not 2, which says that nothing was written.
    ended.expect_code(1).expect_log("`missing`");
}

#[test]
fn a_throttled_pendo_is_asked_again() {
    let database = accounts(3);
    let pendo = Pendo::start();
    pendo.know(Kind::Account, ids(&database, "n = 1"));
    pendo.set_faults(&["throttle:times=1,retry-after=0"]);
    let tap = with_pendo(&database, &pendo);
    assert_eq!(property(&tap.select("*account"), "account", "n"), [1]);
}

#[test]
fn a_pendo_that_wants_an_hour_is_not_waited_for() {
    let database = accounts(3);
    let pendo = Pendo::start();
    pendo.set_faults(&["throttle:times=1,retry-after=3600"]);
    let tap = with_pendo(&database, &pendo);
    tap.run(&["--select", "*account"]).finish().expect_code(75);
}

#[test]
fn where_no_temporary_table_may_be_made_the_ids_go_into_the_statement() {
    let database = accounts(3000);
    let dbname = &database.connection().dbname;
    let role = format!("reader_{dbname}");
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON account TO {role};
         REVOKE TEMPORARY ON DATABASE \"{dbname}\" FROM PUBLIC;"
    ));
    let tap = Tap::of(&database)
        .with("user", role)
        .with("password", "secret");
    tap.folder
        .write("ids.txt", ids(&database, "n > 500").join("\n"));
    let tap = tap.with("key_filter", json!({"column": "id", "file": "ids.txt"}));
    assert_eq!(tap.select("*account").records("account").len(), 2500);
}
