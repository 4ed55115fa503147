//! An empty PostgreSQL database for each test. All of one test program live in one private cluster;
//! where the machine has no PostgreSQL the embedded one serves them one after the other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sandbox::source::{
    self, Binaries, Connection, PrivateServer, PrivateServerOptions, Source, SourceChoice,
    SourceOptions,
};
use serde_json::{Value, json};

use crate::runtime::wait;

/// A database of one test's own.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// Held by the one test that may use the embedded server at a time.
    turn: Option<MutexGuard<'static, ()>>,
}

impl Database {
    /// An empty database, on a server that is started on the first request of this process.
    #[expect(
        clippy::new_without_default,
        reason = "a default that starts a server would surprise"
    )]
    pub fn new() -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        match server() {
            Server::Private(server) => {
                let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
                let connection = wait(server.create_database(&name)).expect("a database is made");
                Database {
                    connection,
                    turn: None,
                }
            }
            Server::Embedded(source, turn) => {
                let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                let database = Database {
                    connection: source.connection().clone(),
                    turn: Some(turn),
                };
                for schema in database.column(USER_SCHEMAS) {
                    database.execute(&format!(
                        "DROP SCHEMA \"{}\" CASCADE",
                        schema.replace('"', "\"\"")
                    ));
                }
                database.execute("CREATE SCHEMA public");
                database
            }
        }
    }

    /// How to reach it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether a second connection has to wait until the first one ends: the embedded server.
    pub fn takes_one_connection(&self) -> bool {
        self.turn.is_some()
    }

    /// The part of a tap's config that says how to reach it.
    pub fn tap_config(&self) -> Value {
        let Connection {
            host,
            port,
            dbname,
            user,
            password,
            ..
        } = &self.connection;
        json!({
            "host": host, "port": port, "dbname": dbname, "user": user, "password": password,
            "sslmode": "disable", "start_date": "2000-01-01T00:00:00Z",
        })
    }

    /// Runs statements.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        wait(async {
            let session = self
                .connection
                .connect()
                .await
                .expect("the database answers");
            session
                .batch_execute(statements)
                .await
                .expect("the statements are right");
            session.close().await.expect("a session can be closed");
        });
    }

    /// The first column of a query, whose values must be texts.
    #[track_caller]
    pub fn column(&self, query: &str) -> Vec<String> {
        wait(async {
            let session = self
                .connection
                .connect()
                .await
                .expect("the database answers");
            let rows = session.query(query, &[]).await.expect("the query is right");
            session.close().await.expect("a session can be closed");
            rows.iter().map(|row| row.get::<usize, String>(0)).collect()
        })
    }

    /// The one value of a query, which must be a text.
    #[track_caller]
    pub fn value(&self, query: &str) -> String {
        self.column(query)
            .into_iter()
            .next()
            .expect("the query has a row")
    }

    /// Runs something while a table is locked against readers.
    #[track_caller]
    pub fn hold_lock(&self, table: &str, while_locked: impl FnOnce()) {
        let session = wait(async {
            let session = self
                .connection
                .connect()
                .await
                .expect("the database answers");
            let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
            session
                .batch_execute(&lock)
                .await
                .expect("the table can be locked");
            session
        });
        while_locked();
        wait(session.close()).expect("a session can be closed");
    }

    /// Whether somebody waits for a lock on a table.
    pub fn waits_for_lock(&self, table: &str) -> bool {
        let waiting = format!(
            "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
        );
        self.value(&waiting) != "0"
    }
}

const USER_SCHEMAS: &str = "SELECT nspname::text FROM pg_namespace \
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'";

enum Server {
    Private(Box<PrivateServer>),
    Embedded(Box<Source>, Mutex<()>),
}

fn server() -> &'static Server {
    // A static is never dropped; the server's guardian stops it when this process ends.
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        if Binaries::find().is_some() {
            let server = PrivateServer::start(PrivateServerOptions::default());
            return Server::Private(Box::new(wait(server).expect("PostgreSQL starts")));
        }
        let options = SourceOptions {
            source: Some(SourceChoice::Embedded),
            source_rows: 10,
            ..SourceOptions::default()
        };
        let source = wait(source::start(&options)).expect("the embedded server starts");
        Server::Embedded(Box::new(source), Mutex::default())
    })
}
