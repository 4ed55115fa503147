//! Connections: TLS in all modes, passwords in all forms, errors that say what to do.

use sandbox::source::{Authentication, Binaries, Connection, PrivateServer, PrivateServerOptions};
use serde_json::json;
use singer_test::database::Database;
use singer_test::runtime::wait;

use crate::kit::Tap;

fn server(options: PrivateServerOptions) -> Option<PrivateServer> {
    if Binaries::find().is_none() {
        println!("skipped: no PostgreSQL server on this machine");
        return None;
    }
    Some(wait(PrivateServer::start(options)).expect("PostgreSQL starts"))
}

fn with_tls(names: &[&str]) -> Option<PrivateServer> {
    server(PrivateServerOptions {
        certificate_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..PrivateServerOptions::default()
    })
}

#[track_caller]
fn check(tap: &Tap, code: i32, log: &str) {
    let ended = tap.run(&["--check"]).finish();
    ended.expect_code(code).expect_log(log);
}

#[test]
fn every_tls_mode_does_what_it_says() {
    // The certificate is good for another name than the one that is connected to.
    let Some(server) = with_tls(&["db.example"]) else {
        return;
    };
    let root = server.ca_file().unwrap().to_str().unwrap().to_owned();
    let tap = |mode: &str| Tap::at(server.connection()).with("sslmode", mode);
    for mode in ["disable", "allow", "prefer", "require"] {
        check(&tap(mode), 0, "connected to PostgreSQL");
    }
    check(
        &tap("require").with("sslrootcert", root.as_str()),
        0,
        "connected",
    );
    check(
        &tap("verify-ca").with("sslrootcert", root.as_str()),
        0,
        "connected",
    );
    check(
        &tap("verify-full").with("sslrootcert", root.as_str()),
        2,
        "sslrootcert",
    );
    check(&tap("verify-ca"), 2, "certificate");

    let Some(other) = with_tls(&["127.0.0.1"]) else {
        return;
    };
    let right = other.ca_file().unwrap().to_str().unwrap().to_owned();
    let tap = |mode: &str| Tap::at(other.connection()).with("sslmode", mode);
    check(
        &tap("verify-full").with("sslrootcert", right),
        0,
        "connected",
    );
    // Another authority than the one that signed.
    check(
        &tap("verify-ca").with("sslrootcert", root.as_str()),
        2,
        "not trusted",
    );
    check(
        &tap("require").with("sslrootcert", root.as_str()),
        2,
        "not trusted",
    );
}

#[test]
fn a_server_without_tls_is_told() {
    let database = Database::new();
    check(
        &Tap::of(&database).with("sslmode", "require"),
        2,
        "offers no TLS",
    );
    check(
        &Tap::of(&database).with("sslmode", "prefer"),
        0,
        "connected",
    );
}

#[test]
fn rows_come_through_tls() {
    let Some(server) = with_tls(&["127.0.0.1"]) else {
        return;
    };
    let tap = Tap::at(server.connection()).with("sslmode", "require");
    wait(async {
        let session = server.connection().connect().await.unwrap();
        session
            .batch_execute("CREATE TABLE t AS SELECT i AS id, repeat('é', 500) AS note FROM generate_series(1, 5000) i")
            .await
            .unwrap();
        session.close().await.unwrap();
    });
    assert_eq!(tap.select("*.t").records("t").len(), 5000);
}

#[test]
fn passwords_come_in_every_form_and_users_with_colons() {
    for authentication in [Authentication::Md5, Authentication::ClearText] {
        let Some(server) = server(PrivateServerOptions {
            authentication,
            ..PrivateServerOptions::default()
        }) else {
            return;
        };
        let Connection { password, .. } = server.connection().clone();
        let tap = Tap::at(server.connection());
        let path = tap.folder.write("password", format!("{password}\n"));
        check(&tap.with("password", json!({"file": path})), 0, "connected");
        let command = format!("printf %s '{password}'");
        let tap = Tap::at(server.connection());
        check(
            &tap.with("password", json!({"command": command})),
            0,
            "connected",
        );
        let tap = Tap::at(server.connection()).with("password", json!({"env": "THE_PASSWORD"}));
        let ended = tap.run(&["--check"]).env("THE_PASSWORD", password).finish();
        ended.expect_code(0);
    }
    let database = Database::new();
    let user = format!("IAM:ana_{}", database.connection().dbname);
    database.execute(&format!("CREATE ROLE \"{user}\" LOGIN PASSWORD 'p@ss:/%'"));
    let tap = Tap::of(&database)
        .with("user", user.as_str())
        .with("password", "p@ss:/%");
    check(&tap, 0, &user);
}

#[test]
fn what_is_wrong_with_a_connection_is_told() {
    let database = Database::new();
    let tap = || Tap::of(&database).with("attempts", 1);
    check(&tap().with("password", "wrong"), 1, "28P01");
    check(&tap().with("dbname", "missing"), 2, "check `dbname`");
    check(
        &tap().with("port", 1),
        75,
        "cannot connect to `127.0.0.1:1`",
    );
    check(
        &tap().with("fetch_mode", "unload"),
        2,
        "`unload` is not there yet",
    );
    let ended = tap().with("password", "hunter2").run(&["--check"]).finish();
    assert!(!ended.stderr.contains("hunter2"));
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled() {
    let database = Database::new();
    database.execute("CREATE VIEW slow AS SELECT pg_sleep(30)::text AS nothing");
    let tap = Tap::of(&database).with("statement_timeout_seconds", 1);
    let ended = tap.run(&["--select", "*slow"]).finish();
    ended
        .expect_code(75)
        .expect_log("57014")
        .expect_log("statement_timeout_seconds");
}

#[test]
fn the_server_sees_who_reads() {
    let database = Database::new();
    database.execute("CREATE VIEW me AS SELECT current_setting('application_name') AS name");
    let tap = Tap::of(&database).with("application_name", "nightly");
    assert_eq!(
        tap.select("*me").records("me"),
        [&json!({"name": "nightly"})]
    );
}
