//! The tap against a PostgreSQL that looks and behaves like Redshift: no COPY, no types beyond its
//! own, other catalogs, connections that break.

use sandbox::source::{Connection, Fault, Injection, RedshiftProxy, install_redshift_dialect};
use serde_json::{Value, json};
use singer_test::database::Database;
use singer_test::runtime::wait;

use crate::kit::{Tap, choose, entry, metadata, property, public};

struct Redshift {
    database: Database,
    proxy: RedshiftProxy,
    connection: Connection,
}

/// A database behind the proxy, or nothing where the server takes one connection only.
fn redshift(statements: &str) -> Option<Redshift> {
    let database = Database::new();
    if database.takes_one_connection() {
        println!("skipped: the proxy needs a server of several connections");
        return None;
    }
    database.execute(statements);
    wait(async {
        let dialect = install_redshift_dialect(database.connection())
            .await
            .unwrap();
        let proxy = RedshiftProxy::start(&dialect).await.unwrap();
        let connection = proxy.connection(&dialect);
        Some(Redshift {
            database,
            proxy,
            connection,
        })
    })
}

impl Redshift {
    fn tap(&self) -> Tap {
        Tap::at(&self.connection)
    }

    fn statements(&self) -> Vec<String> {
        self.proxy.traffic().statements.into_iter().collect()
    }
}

const ORDERS: &str = "
CREATE TABLE orders (id integer PRIMARY KEY, at timestamptz, price numeric(18,4), note varchar(50), ok boolean, c char(4));
INSERT INTO orders SELECT i, '2024-05-01 00:00:00+00'::timestamptz + i * interval '1 s', i / 7.0, 'back\\slash ''' || i, i % 2 = 0, 'ab'
FROM generate_series(1, 25000) i;";

#[test]
fn it_reads_text_rows_and_never_copies() {
    let Some(server) = redshift(ORDERS) else {
        return;
    };
    let tap = server.tap();
    tap.run(&["--check"])
        .finish()
        .expect_code(0)
        .expect_log("Amazon Redshift");
    let messages = tap.select("*orders");
    let records = messages.records("orders");
    assert_eq!(records.len(), 25_000);
    assert_eq!(
        *records[6],
        json!({"id": 7, "at": "2024-05-01T00:00:07Z", "price": 1.0, "note": "back\\slash '7", "ok": false, "c": "ab  "})
    );
    let statements = server.statements();
    assert!(statements.iter().all(|sql| !sql.starts_with("COPY")));
}

#[test]
fn tables_of_every_sort_are_found() {
    let Some(server) = redshift(
        "CREATE TABLE plain (id integer PRIMARY KEY, note varchar(9));
         CREATE VIEW early AS SELECT * FROM plain; CREATE VIEW late AS SELECT * FROM plain;
         CREATE TABLE lake (id integer, price numeric(10,2), note text); INSERT INTO lake VALUES (1, 2.5, 'x');",
    ) else {
        return;
    };
    server.database.execute(
        "SELECT rs.make_late_binding('public', 'late'); SELECT rs.make_external('public', 'lake');",
    );
    let tap = server.tap().with("include_external", true);
    let catalog = tap.discover();
    let found = |table: &str| entry(&catalog, &public(&server.database, table));
    assert_eq!(
        metadata(found("plain"), None)["table-key-properties"],
        json!(["id"])
    );
    assert_eq!(
        metadata(found("plain"), Some("note"))["sql-datatype"],
        "character varying(9)"
    );
    for view in ["early", "late"] {
        assert_eq!(metadata(found(view), None)["is-view"], true, "{view}");
        assert_eq!(
            metadata(found(view), Some("id"))["sql-datatype"],
            "integer",
            "{view}"
        );
    }
    assert_eq!(
        metadata(found("lake"), Some("price"))["sql-datatype"],
        "decimal(10,2)"
    );
    let lake = tap.select("*lake");
    assert_eq!(
        lake.records("lake"),
        [&json!({"id": 1, "price": 2.5, "note": "x"})]
    );
    // Without being asked for, external tables are not looked at.
    let catalog = server.tap().discover();
    assert_eq!(catalog["streams"].as_array().unwrap().len(), 3);
}

#[test]
fn a_dropped_connection_goes_on_from_the_last_row() {
    let Some(server) = redshift(ORDERS) else {
        return;
    };
    let tap = server.tap();
    let id = public(&server.database, "orders");
    for key in [None, Some("at"), Some("note")] {
        let mut catalog = tap.discover();
        let mut words = json!({"selected": true});
        if let Some(key) = key {
            words["replication-key"] = key.into();
        }
        choose(&mut catalog, &id, words);
        for fault in [
            Fault::DropAfterRows(12_345),
            Fault::ErrorAfterRows(
                20_000,
                "40001".to_owned(),
                "1023 Serializable isolation violation".to_owned(),
            ),
            Fault::ErrorAfterRows(
                5,
                "XX000".to_owned(),
                "could not open relation with OID 7".to_owned(),
            ),
        ] {
            server.proxy.inject(Injection {
                fault,
                times: 1,
                statement_contains: Some("FROM \"public\".\"orders\" AS t".to_owned()),
            });
        }
        let ended = tap.start(&catalog, None).finish();
        ended
            .expect_code(0)
            .expect_log("reading on from the last row");
        let mut ids: Vec<u64> = ended
            .text()
            .lines()
            .filter(|line| line.starts_with("{\"type\":\"RECORD\""))
            .map(|line| {
                let message: Value = serde_json::from_str(line).unwrap();
                message["record"]["id"].as_u64().unwrap()
            })
            .collect();
        let handed_over = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 25_000, "{key:?}");
        // Keys of Redshift may have duplicates, so the row at the boundary comes again.
        assert!(handed_over <= 25_000 + 6, "{handed_over}");
        assert_eq!(server.proxy.armed_faults(), 0);
    }
}

#[test]
fn a_table_without_a_key_is_not_read_twice_under_one_version() {
    let Some(server) = redshift(
        "CREATE TABLE plain (note varchar(9)); INSERT INTO plain SELECT 'x' FROM generate_series(1, 5000)",
    ) else {
        return;
    };
    server.proxy.inject(Injection {
        fault: Fault::DropAfterRows(2000),
        times: 1,
        statement_contains: Some("AS t".to_owned()),
    });
    let ended = server.tap().run(&["--select", "*plain"]).finish();
    ended.expect_code(75).expect_log("no key to go on from");
    assert!(!ended.text().contains("ACTIVATE_VERSION"));
}

#[test]
fn a_cursor_takes_what_a_single_node_takes() {
    let Some(server) = redshift(ORDERS) else {
        return;
    };
    let tap = server
        .tap()
        .with("fetch_mode", "cursor")
        .with("fetch_rows", 5000);
    let ended = tap.run(&["--select", "*orders"]).finish();
    ended.expect_code(0).expect_log("1000 rows at a time");
    assert_eq!(ended.text().matches("\"RECORD\"").count(), 25_000);
}

#[test]
fn bookmarks_with_quotes_and_backslashes_are_literals() {
    let Some(server) = redshift(ORDERS) else {
        return;
    };
    let tap = server.tap();
    let id = public(&server.database, "orders");
    let mut catalog = tap.discover();
    choose(
        &mut catalog,
        &id,
        json!({"selected": true, "replication-key": "note"}),
    );
    let (ended, messages) = tap.sync(&catalog, None);
    ended.expect_code(0);
    let state = messages.last_state().unwrap().clone();
    assert_eq!(
        state["bookmarks"][&id]["replication_key_value"],
        "back\\slash '9999"
    );
    let (ended, messages) = tap.sync(&catalog, Some(&state));
    ended.expect_code(0);
    assert_eq!(property(&messages, "orders", "id"), [9999]);
}

#[test]
fn authentication_that_the_driver_lacks_is_explained() {
    let Some(server) = redshift("") else { return };
    for (kind, word) in [(13, "MD5"), (14, "identity provider")] {
        server.proxy.inject(Fault::Authentication(kind));
        let ended = server.tap().run(&["--check"]).finish();
        ended.expect_code(1).expect_log(word);
    }
}

#[test]
fn too_many_connections_are_waited_for() {
    let Some(server) = redshift("CREATE TABLE t (id integer); INSERT INTO t VALUES (1)") else {
        return;
    };
    server.proxy.inject(Fault::Refuse(
        "53300".to_owned(),
        "too many connections".to_owned(),
    ));
    assert_eq!(server.tap().select("*.t").records("t").len(), 1);
}

#[test]
fn permission_lost_since_discovery_skips_the_table_with_its_reason() {
    let Some(server) = redshift("CREATE TABLE t (id integer); INSERT INTO t VALUES (1)") else {
        return;
    };
    server.proxy.inject(Injection {
        fault: Fault::ErrorAfterRows(
            0,
            "42501".to_owned(),
            "permission denied for relation t".to_owned(),
        ),
        times: 1,
        statement_contains: Some("AS t".to_owned()),
    });
    let ended = server.tap().run(&["--select", "*.t"]).finish();
    ended.expect_code(1).expect_log("42501").expect_log("GRANT");
}

#[test]
fn a_filter_of_many_ids_needs_no_copy_and_no_values_list() {
    let Some(server) = redshift(ORDERS) else {
        return;
    };
    let tap = server.tap();
    let ids: Vec<String> = (1..=3000).map(|id| id.to_string()).collect();
    tap.folder.write("ids.txt", ids.join("\n"));
    let tap = tap.with("key_filter", json!({"column": "id", "file": "ids.txt"}));
    assert_eq!(tap.select("*orders").records("orders").len(), 3000);
}
