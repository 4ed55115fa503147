//! The source database against real servers. Where the machine has no PostgreSQL each test says
//! so and passes; the embedded server is tested where it was built already.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]
#![expect(clippy::print_stdout, reason = "says why a test was skipped")]

use sandbox::source::{
    Authentication, Binaries, Connection, DataPlan, Kind, PrivateServer, PrivateServerOptions,
    RedshiftProxy, Sample, ServerKind, Source, SourceChoice, SourceOptions,
    install_redshift_dialect,
};

fn no_server() -> bool {
    let missing = Binaries::find().is_none();
    if missing {
        println!("skipped: no PostgreSQL server on this machine");
    }
    missing
}

fn options(rows: u64) -> SourceOptions {
    SourceOptions {
        source: Some(SourceChoice::Found),
        source_rows: rows,
        ..SourceOptions::default()
    }
}

async fn number(connection: &Connection, query: &str) -> i64 {
    let session = connection.connect().await.unwrap();
    let value = session.query_one(query, &[]).await.unwrap().get(0);
    session.close().await.unwrap();
    value
}

#[tokio::test]
async fn a_private_server_leaves_nothing_behind() {
    if no_server() {
        return;
    }
    let server = PrivateServer::start(PrivateServerOptions::default())
        .await
        .unwrap();
    let connection = server.connection().clone();
    let folder: String = {
        let session = connection.connect().await.unwrap();
        session
            .query_one("SELECT current_setting('data_directory')", &[])
            .await
            .unwrap()
            .get(0)
    };
    let own = server.create_database("odd \"name\"").await.unwrap();
    assert_eq!(
        number(
            &own,
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        .await,
        0
    );
    server.stop();
    assert!(connection.connect().await.is_err());
    assert!(!std::path::Path::new(&folder).exists());
    assert!(!std::path::Path::new(&folder).parent().unwrap().exists());
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_every_authentication() {
    if no_server() {
        return;
    }
    for authentication in [
        Authentication::Scram,
        Authentication::Md5,
        Authentication::ClearText,
    ] {
        let options = PrivateServerOptions {
            authentication,
            ..PrivateServerOptions::default()
        };
        let server = PrivateServer::start(options).await.unwrap();
        server.connection().connect().await.unwrap();
        let wrong = Connection {
            password: "wrong".to_owned(),
            ..server.connection().clone()
        };
        assert!(wrong.connect().await.is_err(), "{authentication:?}");
    }
}

#[tokio::test]
async fn tls_is_offered_with_a_certificate_that_its_own_authority_signed() {
    if no_server() {
        return;
    }
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    let options = PrivateServerOptions {
        certificate_names: names,
        ..Default::default()
    };
    let server = PrivateServer::start(options).await.unwrap();
    let on = "SELECT count(*) FROM pg_settings WHERE name = 'ssl' AND setting = 'on'";
    assert_eq!(number(server.connection(), on).await, 1);
    let ca_file = std::fs::read_to_string(server.ca_file().unwrap()).unwrap();
    assert!(ca_file.contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn the_sample_data_is_what_the_plan_says() {
    if no_server() {
        return;
    }
    let source = sandbox::source::start(&options(2_000)).await.unwrap();
    assert!(matches!(source.kind(), ServerKind::Found(_)));
    sample_data_is_complete(&source).await;
    source.stop().await.unwrap();
}

async fn sample_data_is_complete(source: &Source) {
    let connection = source.connection();
    let plan = DataPlan {
        seed: 1,
        visitors: 2_000,
    };
    assert_eq!(source.plan(), plan);
    let session = connection.connect().await.unwrap();
    let count = async |query: &str| -> i64 { session.query_one(query, &[]).await.unwrap().get(0) };
    assert_eq!(count("SELECT count(*) FROM visitor").await, 2_000);
    assert_eq!(count("SELECT count(*) FROM account").await, 400);
    assert!(count("SELECT count(*) FROM invoice").await > 400);
    assert_eq!(count("SELECT count(*) FROM audit_event").await, 400);
    assert!(count("SELECT count(*) FROM active_visitor").await > 1_000);
    assert_eq!(
        count("SELECT count(*) FROM visitor v JOIN account a ON a.id = v.account_id").await,
        2_000
    );
    for nullable in ["last_login", "nps", "score", "bio"] {
        let nulls = count(&format!(
            "SELECT count(*) FROM visitor WHERE {nullable} IS NULL"
        ))
        .await;
        assert!(nulls > 0 && nulls < 2_000, "{nullable}: {nulls}");
    }
    for odd in [
        r"name LIKE E'%\n%'",
        r#"name LIKE '%"%'"#,
        r"name = E'\\N'",
        "name ~ '[א-ת؀-ۿ]'",
    ] {
        assert!(
            count(&format!("SELECT count(*) FROM account WHERE {odd}")).await > 0,
            "{odd}"
        );
    }
    let ids: Vec<String> = source.known_ids(Kind::Account).collect();
    let known = session
        .query_one(
            "SELECT count(*) FROM account WHERE id = ANY ($1::text[]::uuid[])",
            &[&ids],
        )
        .await
        .unwrap();
    assert_eq!(known.get::<_, i64>(0), 392);
    session.close().await.unwrap();
}

#[tokio::test]
async fn the_embedded_server_holds_the_same_data() {
    if !sandbox::source::embedded_is_built() {
        println!("skipped: the embedded PostgreSQL was not built here");
        return;
    }
    let embedded = SourceOptions {
        source: Some(SourceChoice::Embedded),
        ..options(2_000)
    };
    let source = sandbox::source::start(&embedded).await.unwrap();
    assert_eq!(source.describe()["jobs"], 1);
    sample_data_is_complete(&source).await;
    assert_eq!(source.change(50).await.unwrap().visitors_inserted, 1);
    let copied = "SELECT count(*) FROM visitor WHERE updated_at > '2025-07-01'";
    assert_eq!(number(source.connection(), copied).await, 46);
    let user = install_redshift_dialect(source.connection()).await.unwrap();
    let proxy = RedshiftProxy::start(&user).await.unwrap();
    let redshift = "SELECT count(*) FROM pg_class WHERE pg_catalog.version() LIKE '%Redshift%'";
    assert!(number(&proxy.connection(&user), redshift).await > 0);
    let connection = source.connection().clone();
    source.stop().await.unwrap();
    assert!(connection.connect().await.is_err());
}

#[tokio::test]
async fn changes_get_a_newer_time_than_anything_loaded() {
    if no_server() {
        return;
    }
    let source = sandbox::source::start(&options(1_000)).await.unwrap();
    let newest = "SELECT extract(epoch FROM max(updated_at))::bigint FROM visitor";
    let before = number(source.connection(), newest).await;
    let report = source.change(100).await.unwrap();
    assert_eq!((report.accounts_updated, report.visitors_updated), (9, 89));
    assert_eq!((report.accounts_inserted, report.visitors_inserted), (0, 2));
    let changed = |table: &str| {
        format!(
            "SELECT count(*) FROM {table} WHERE updated_at > to_timestamp({before}) + interval '1 s'"
        )
    };
    assert_eq!(number(source.connection(), &changed("visitor")).await, 91);
    assert_eq!(
        number(source.connection(), "SELECT count(*) FROM visitor").await,
        1_002
    );
    let again = source.change(100).await.unwrap();
    assert_eq!(again.visitors_inserted, 2);
}

#[tokio::test]
async fn a_chat_platform_changes_in_ways_that_a_sync_may_miss() {
    if no_server() {
        return;
    }
    let options = SourceOptions {
        source_sample: Sample::Chat,
        source_messages: 500,
        source_organizations: 4,
        ..options(0)
    };
    let source = sandbox::source::start(&options).await.unwrap();
    let connection = source.connection();
    assert_eq!(connection.schema, "chat");
    assert_eq!(source.known_ids(Kind::Account).count(), 0);
    let before = source.chat_truth().await.unwrap();
    assert_eq!(before.len(), 4);
    assert_eq!(before.iter().map(|of| of.messages).sum::<i64>(), 500);
    let count = |condition: &str| format!("SELECT count(*) FROM chat.messages WHERE {condition}");
    assert!(number(connection, &count(r"body LIKE E'%\n%'")).await > 0);
    let newest =
        "SELECT (extract(epoch FROM max(updated_at)) * 1000000)::bigint FROM chat.messages";
    let newest = number(connection, newest).await;
    let last = number(connection, "SELECT max(id) FROM chat.messages").await;

    let change = source.change_chat(200).await.unwrap();
    assert_eq!((change.messages_inserted, change.messages_late), (50, 2));
    assert_eq!((change.messages_updated, change.messages_at_once), (76, 50));
    let messages: i64 = source
        .chat_truth()
        .await
        .unwrap()
        .iter()
        .map(|of| of.messages)
        .sum();
    assert_eq!(messages, 552);
    let late = format!(
        "id % 100 = 0 AND id < {last} AND updated_at < to_timestamp({newest} / 1000000) - interval '1 minute'"
    );
    assert_eq!(number(connection, &count(&late)).await, 2);
    let fresh = format!("id > {last} AND updated_at - inserted_at = interval '1 minute'");
    assert_eq!(number(connection, &count(&fresh)).await, 50);
    let at_once = "SELECT max(count) FROM (SELECT count(*) FROM chat.messages \
         WHERE status = 'read' GROUP BY updated_at) AS by_time";
    assert_eq!(number(connection, at_once).await, 50);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn updates_go_on_while_the_source_lives() {
    if no_server() {
        return;
    }
    let options = SourceOptions {
        source_updates: 50,
        ..options(500)
    };
    let source = sandbox::source::start(&options).await.unwrap();
    let changed = "SELECT count(*) FROM visitor WHERE updated_at > now() - interval '1 hour'";
    for _ in 0..200 {
        if number(source.connection(), changed).await > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nothing changed within ten seconds");
}

#[tokio::test]
async fn a_given_database_keeps_what_is_its_own() {
    if no_server() {
        return;
    }
    let server = PrivateServer::start(PrivateServerOptions::default())
        .await
        .unwrap();
    let given = SourceOptions {
        source: Some(SourceChoice::Auto),
        source_url: Some(server.url()),
        ..options(100)
    };
    let session = server.connection().connect().await.unwrap();
    session
        .batch_execute("CREATE TABLE account (id int)")
        .await
        .unwrap();

    // Twice, because the second start replaces what a killed first one left behind.
    let killed = sandbox::source::start(&given).await.unwrap();
    assert_eq!(killed.kind(), ServerKind::External);
    assert!(
        !killed
            .describe()
            .to_string()
            .contains(&server.connection().password)
    );
    drop(killed);
    let source = sandbox::source::start(&given).await.unwrap();
    let loaded = "SELECT count(*) FROM antiphon_demo.account";
    assert_eq!(number(server.connection(), loaded).await, 20);
    source.stop().await.unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'antiphon_demo'";
    assert_eq!(number(server.connection(), schemas).await, 0);
    assert_eq!(
        number(server.connection(), "SELECT count(*) FROM public.account").await,
        0
    );

    session
        .batch_execute("CREATE SCHEMA antiphon_demo")
        .await
        .unwrap();
    let error = sandbox::source::start(&given).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was not made by antiphon-sandbox"),
        "{error:#}"
    );
}
