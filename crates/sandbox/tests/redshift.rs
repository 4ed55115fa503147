//! The Redshift look-alike: its catalog and its wire, over a real server. Where the machine has no
//! PostgreSQL each test says so and passes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]
#![expect(clippy::print_stdout, reason = "says why a test was skipped")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sandbox::source::{
    Binaries, Connection, Fault, Injection, PrivateServer, PrivateServerOptions, RedshiftProxy,
    Session, install_redshift_dialect,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A server with the dialect, seen through the proxy.
struct Redshift {
    _server: PrivateServer,
    proxy: RedshiftProxy,
    administrator: Session,
    connection: Connection,
}

async fn redshift() -> Option<Redshift> {
    if Binaries::find().is_none() {
        println!("skipped: no PostgreSQL server on this machine");
        return None;
    }
    let server = PrivateServer::start(PrivateServerOptions::default())
        .await
        .unwrap();
    let administrator = server.connection().connect().await.unwrap();
    administrator
        .batch_execute(
            "CREATE TABLE item (id int PRIMARY KEY, label varchar(20), price numeric(10,2)); \
             INSERT INTO item SELECT i, 'item ' || i, i FROM generate_series(1, 5000) i; \
             CREATE VIEW late AS SELECT id, label FROM item; \
             CREATE SCHEMA spectrum; CREATE TABLE spectrum.event (at timestamp, kind varchar(9), n int)",
        )
        .await
        .unwrap();
    let user = install_redshift_dialect(server.connection()).await.unwrap();
    administrator
        .batch_execute(
            "SELECT rs.make_late_binding('public', 'late'), rs.make_external('spectrum', 'event')",
        )
        .await
        .unwrap();
    let proxy = RedshiftProxy::start(&user).await.unwrap();
    let connection = proxy.connection(&user);
    Some(Redshift {
        _server: server,
        proxy,
        administrator,
        connection,
    })
}

/// The first column of all rows, as text.
async fn texts(session: &Session, sql: &str) -> Vec<String> {
    let messages = session.simple_query(sql).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    rows.collect()
}

/// The SQLSTATE that a statement fails with.
async fn code(session: &Session, sql: &str) -> String {
    let error = session.batch_execute(sql).await.expect_err(sql);
    error
        .code()
        .unwrap_or_else(|| panic!("{sql}: {error}"))
        .code()
        .to_owned()
}

#[tokio::test]
async fn the_catalog_looks_like_redshift() {
    let Some(redshift) = redshift().await else {
        return;
    };
    let session = redshift.connection.connect().await.unwrap();
    for version in ["SELECT version()", "SELECT pg_catalog.version()"] {
        assert!(
            texts(&session, version).await[0].contains("Redshift 1.0"),
            "{version}"
        );
    }
    let relations = "SELECT relname FROM pg_catalog.pg_class c JOIN pg_namespace n \
         ON n.oid = c.relnamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \
         AND relkind IN ('r', 'v') ORDER BY 1";
    assert_eq!(texts(&session, relations).await, ["item", "late"]);
    let columns = "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid = ";
    assert_eq!(
        texts(&session, &format!("{columns} 'item'::regclass"))
            .await
            .len(),
        3
    );
    assert!(
        texts(&session, &format!("{columns} 'late'::regclass"))
            .await
            .is_empty()
    );
    let late = "SELECT view_name || '.' || col_name || ':' || col_type \
         FROM pg_get_late_binding_view_cols() \
         cols(view_schema name, view_name name, col_name name, col_type varchar, col_num int)";
    assert_eq!(
        texts(&session, late).await,
        ["late.id:integer", "late.label:character varying(20)"]
    );
    let external = "SELECT external_type FROM svv_external_columns ORDER BY columnnum";
    assert_eq!(
        texts(&session, external).await,
        ["timestamp", "varchar(9)", "int"]
    );
    assert_eq!(
        texts(&session, "SELECT tablename FROM svv_external_tables").await,
        ["event"]
    );
    let all = "SELECT count(*) FROM svv_all_columns WHERE database_name = 'antiphon'";
    assert_eq!(texts(&session, all).await, ["8"]);
    assert_eq!(
        texts(&session, "SELECT count(*) FROM svv_redshift_columns").await,
        ["3"]
    );
    assert_eq!(texts(&session, "SELECT 'a\\\\b'").await, ["a\\b"]);
    assert_eq!(
        code(&session, "SELECT relispartition FROM pg_class").await,
        "42703"
    );
}

#[tokio::test]
async fn the_wire_refuses_what_redshift_lacks() {
    let Some(redshift) = redshift().await else {
        return;
    };
    let session = redshift.connection.connect().await.unwrap();
    assert_eq!(code(&session, "COPY item TO STDOUT").await, "0A000");
    assert_eq!(code(&session, "DISCARD ALL").await, "42601");
    assert_eq!(
        code(&session, "SELECT 1 FROM pg_catalog.pg_range").await,
        "42P01"
    );
    session
        .batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT id FROM item")
        .await
        .unwrap();
    assert_eq!(
        texts(&session, "FETCH FORWARD 1000 FROM c").await.len(),
        1_000
    );
    assert_eq!(code(&session, "FETCH FORWARD 1001 FROM c").await, "XX000");
    // The server's transaction failed as well.
    assert_eq!(code(&session, "FETCH FORWARD 10 FROM c").await, "25P02");
    session.batch_execute("ROLLBACK").await.unwrap();
    // The same through prepared statements.
    let error = session.query("SELECT ARRAY[1, 2]", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000");
    assert_eq!(
        session
            .query("SELECT id FROM item", &[])
            .await
            .unwrap()
            .len(),
        5_000
    );
    assert!(
        redshift
            .proxy
            .traffic()
            .statements
            .iter()
            .any(|sql| sql == "DISCARD ALL")
    );
}

#[tokio::test]
async fn three_float_digits_are_too_many_at_the_start() {
    let Some(redshift) = redshift().await else {
        return;
    };
    let mut config: tokio_postgres::Config = redshift.connection.url().parse().unwrap();
    let error = config
        .options("-c extra_float_digits=3")
        .connect(NoTls)
        .await
        .err()
        .unwrap();
    assert_eq!(error.code().unwrap().code(), "22023");
}

#[tokio::test]
async fn a_cut_connection_has_delivered_the_rows_before_the_cut() {
    let Some(redshift) = redshift().await else {
        return;
    };
    redshift.proxy.inject(Injection {
        statement_contains: Some("FROM item".to_owned()),
        ..Injection::from(Fault::DropAfterRows(3_000))
    });
    let session = redshift.connection.connect().await.unwrap();
    assert_eq!(
        texts(&session, "SELECT generate_series(1, 4000)")
            .await
            .len(),
        4_000
    );
    let rows = session
        .simple_query_raw("SELECT id FROM item ORDER BY id")
        .await
        .unwrap();
    let mut rows = std::pin::pin!(rows);
    let mut delivered = 0;
    let error = loop {
        match rows.next().await.unwrap() {
            Ok(SimpleQueryMessage::Row(_)) => delivered += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(delivered, 3_000);
    assert!(error.code().is_none(), "{error}");
    assert_eq!(redshift.proxy.armed_faults(), 0);
    let again = redshift.connection.connect().await.unwrap();
    assert_eq!(texts(&again, "SELECT id FROM item").await.len(), 5_000);
    assert_eq!(redshift.proxy.traffic().connections, 2);
}

#[tokio::test]
async fn faults_of_the_start_are_told_apart() {
    let Some(redshift) = redshift().await else {
        return;
    };
    redshift.proxy.inject(Fault::Authentication(13));
    let error = redshift.connection.connect().await.unwrap_err();
    assert!(format!("{error:#}").contains("13"), "{error:#}");
    redshift.proxy.inject(Fault::Refuse(
        "53300".to_owned(),
        "too many connections".to_owned(),
    ));
    let error = redshift.connection.connect().await.unwrap_err();
    assert!(
        format!("{error:#}").contains("too many connections"),
        "{error:#}"
    );
    redshift.connection.connect().await.unwrap();
}

#[tokio::test]
async fn an_injected_error_ends_the_statement_and_not_the_connection() {
    let Some(redshift) = redshift().await else {
        return;
    };
    let text = "1023 Serializable isolation violation".to_owned();
    redshift
        .proxy
        .inject(Fault::ErrorAfterRows(10, "40001".to_owned(), text));
    let session = redshift.connection.connect().await.unwrap();
    assert_eq!(code(&session, "SELECT id FROM item").await, "40001");
    assert_eq!(texts(&session, "SELECT count(*) FROM item").await, ["5000"]);
}

#[tokio::test]
async fn a_delay_lasts_and_cancelling_works() {
    let Some(redshift) = redshift().await else {
        return;
    };
    let session = redshift.connection.connect().await.unwrap();
    redshift
        .proxy
        .inject(Fault::Delay(Duration::from_millis(200)));
    let start = Instant::now();
    session.batch_execute("SELECT 1").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));

    let token = session.cancel_token();
    let running = session.batch_execute("SELECT pg_sleep(60)");
    let cancelling = async {
        let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
             AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
        for _ in 0..500 {
            if texts(&redshift.administrator, active).await == ["1"] {
                break;
            }
        }
        token.cancel_query(NoTls).await.unwrap();
    };
    let (result, ()) = tokio::join!(running, cancelling);
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
}
