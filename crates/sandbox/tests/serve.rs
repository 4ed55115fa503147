//! The binary with a source of sample data, as a person or the demo starts it. Where the machine
//! has no PostgreSQL each test says so and passes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]
#![expect(clippy::print_stdout, reason = "says why a test was skipped")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::source::{
    Binaries, Connection, PrivateServer, PrivateServerOptions, Shape, SourceChoice, SourceOptions,
    create_bench_table,
};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_antiphon-sandbox");

struct Serving {
    child: Child,
    /// The line about the source.
    source: Value,
    address: String,
    folder: PathBuf,
}

impl Serving {
    fn start(name: &str) -> Option<Self> {
        if Binaries::find().is_none() {
            println!("skipped: no PostgreSQL server on this machine");
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut child = Command::new(PROGRAM)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--source=found",
                "--source-rows",
                "500",
            ])
            .arg("--write-config")
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let source = serde_json::from_str(&lines.next().unwrap()).unwrap();
        let listening = lines.next().unwrap();
        let address = listening.rsplit_once("http://").unwrap().1.to_owned();
        Some(Self {
            child,
            source,
            address,
            folder,
        })
    }

    fn post(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: sandbox\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn database_port(&self) -> u16 {
        self.source["port"].as_u64().unwrap().try_into().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for something that happens in a moment, or never.
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_config_files_fit_what_is_served() {
    let Some(serving) = Serving::start("config-files") else {
        return;
    };
    let read = |name: &str| -> Value {
        let path = serving.folder.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let tap = read("tap-redshift.json");
    assert_eq!(tap["port"], serving.source["port"]);
    assert_eq!(tap["password"], serving.source["password"]);
    let target = read("target-pendo.json");
    assert_eq!(
        target["base_url"],
        format!("http://{}/pendo", serving.address)
    );
    assert_eq!(target["streams"]["visitor"]["kind"], "visitor");
}

#[test]
fn rows_change_on_request() {
    let Some(serving) = Serving::start("change") else {
        return;
    };
    let answer = serving.post("/_sandbox/source/change?rows=20");
    assert!(answer.ends_with(
        r#"{"accounts_updated":1,"visitors_updated":18,"accounts_inserted":0,"visitors_inserted":1}"#
    ));
    assert!(
        serving
            .post("/_sandbox/source/change?lines=20")
            .starts_with("HTTP/1.1 400")
    );
}

#[test]
fn a_reset_forgets_no_id_of_the_source() {
    let Some(serving) = Serving::start("reset") else {
        return;
    };
    assert!(serving.post("/_sandbox/reset").starts_with("HTTP/1.1 200"));
    let known = serving.post("/_sandbox/pendo/visitor/ids");
    assert!(known.contains(r#""known":490"#), "{known}");
}

#[test]
fn a_killed_sandbox_leaves_no_server_behind() {
    let Some(mut serving) = Serving::start("kill") else {
        return;
    };
    let port = serving.database_port();
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_sandbox_killed_while_the_server_starts_leaves_nothing_behind() {
    if Binaries::find().is_none() {
        println!("skipped: no PostgreSQL server on this machine");
        return;
    }
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen=127.0.0.1:0", "--source=found"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("antiphon-postgres-{}-0", child.id());
    let folder = || {
        [std::env::temp_dir(), PathBuf::from("/tmp")]
            .into_iter()
            .map(|place| place.join(&name))
            .find(|folder| folder.exists())
    };
    // The first file of the cluster means that its making has begun.
    wait_until(|| folder().is_some_and(|folder| folder.join("data/PG_VERSION").exists()));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until(|| folder().is_none());
}

#[tokio::test]
async fn a_reader_does_not_hold_up_the_end_of_a_sandbox_in_its_database() {
    if Binaries::find().is_none() {
        println!("skipped: no PostgreSQL server on this machine");
        return;
    }
    let server = PrivateServer::start(PrivateServerOptions::default())
        .await
        .unwrap();
    let options = SourceOptions {
        source: Some(SourceChoice::Url),
        source_url: Some(server.url()),
        source_rows: 10,
        ..SourceOptions::default()
    };
    let source = sandbox::source::start(&options).await.unwrap();
    let reader = server.connection().connect().await.unwrap();
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM antiphon_demo.account")
        .await
        .unwrap();
    let end = tokio::time::timeout(Duration::from_secs(20), source.stop()).await;
    let error = end.expect("an end in time").unwrap_err();
    assert!(error.to_string().contains("still being read"), "{error:#}");
    reader.batch_execute("COMMIT").await.unwrap();
    source.stop().await.unwrap();
}

#[test]
fn a_signal_stops_the_server_too() {
    let Some(mut serving) = Serving::start("signal") else {
        return;
    };
    let id = serving.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(serving.child.wait().unwrap().success());
    assert!(TcpStream::connect(("127.0.0.1", serving.database_port())).is_err());
}

#[tokio::test]
async fn bench_tables_have_their_shapes_and_replace_only_themselves() {
    if Binaries::find().is_none() {
        println!("skipped: no PostgreSQL server on this machine");
        return;
    }
    let server = PrivateServer::start(PrivateServerOptions::default())
        .await
        .unwrap();
    let connection = server.connection();
    for (shape, columns) in [(Shape::Account, 20), (Shape::Wide, 200), (Shape::Narrow, 5)] {
        // Twice, because a second run replaces the table of the first.
        create_bench_table(connection, shape, shape.table(), 50)
            .await
            .unwrap();
        create_bench_table(connection, shape, shape.table(), 100)
            .await
            .unwrap();
        assert_eq!(shape_of(connection, shape.table()).await, (100, columns));
    }
    let session = connection.connect().await.unwrap();
    session
        .batch_execute("CREATE TABLE mine (id int)")
        .await
        .unwrap();
    let error = create_bench_table(connection, Shape::Narrow, "mine", 5)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was not made by antiphon-sandbox"),
        "{error:#}"
    );
    assert_eq!(shape_of(connection, "mine").await, (0, 1));
}

async fn shape_of(connection: &Connection, table: &str) -> (i64, i64) {
    let session = connection.connect().await.unwrap();
    let row = session
        .query_one(
            &format!(
                "SELECT (SELECT count(*) FROM {table}), \
                 (SELECT count(*) FROM information_schema.columns WHERE table_name = '{table}')"
            ),
            &[],
        )
        .await
        .unwrap();
    (row.get(0), row.get(1))
}
