//! A PostgreSQL that behaves like Amazon Redshift on the wire: a proxy that forwards everything
//! but refuses what Redshift refuses, words some answers as Redshift does, and misbehaves on
//! request. Together with [`install_redshift_dialect`](crate::source::install_redshift_dialect),
//! which dresses up the catalog, it is as close as one gets without a cluster.
//!
//! What differs from the server behind it (Amazon Redshift Database Developer Guide and Management
//! Guide; reports of drivers' users):
//!
//! * `extra_float_digits` above 2 and `client_protocol_version` are refused at the start.
//! * `COPY … TO STDOUT`, `COPY … FROM STDIN`, `DISCARD`, savepoints, advisory locks, array
//!   constructors, `VALUES` lists as tables, indexes, sequences, triggers and the catalogs
//!   `pg_enum` and `pg_range` do not exist.
//! * `FETCH` takes at most 1,000 rows and no `ALL`, as on a cluster of one node.
//! * The end of a `SELECT` is told without a row count; `server_version` is 8.0.2.
//! * There is no TLS; tests of TLS talk to the server itself.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::source::connection::Connection;

mod answers;
mod session;
mod statement;
mod wire;

/// How many statements are remembered.
const MOST_STATEMENTS: usize = 10_000;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server asks for this kind of authentication: 13 is Redshift's own digest.
    Authentication(u32),
    /// The connection is refused with a SQLSTATE, such as `53300`, and a message.
    Refuse(String, String),
    /// The connection is cut after so many rows, in the middle of the next one.
    DropAfterRows(u64),
    /// The connection is cut after so many bytes of answers.
    DropAfterBytes(u64),
    /// The statement fails after so many rows with a SQLSTATE and a message.
    ErrorAfterRows(u64, String, String),
    /// Each block of answers comes so much later.
    Delay(Duration),
}

/// A fault, how often it strikes and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What happens.
    pub fault: Fault,
    /// How many times, counted over all connections.
    pub times: u32,
    /// Only answers to statements that contain this text count. Faults of the start of a
    /// connection do not look at it.
    pub statement_contains: Option<String>,
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            times: 1,
            statement_contains: None,
        }
    }
}

/// What went through the proxy so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The latest statements that clients sent, ten thousand at most, in the order of their arrival.
    pub statements: VecDeque<String>,
    /// How many connections there were.
    pub connections: u64,
    /// How many are open now.
    pub open_connections: u64,
    /// How many were open at one time.
    pub most_connections: u64,
}

impl Traffic {
    fn note(&mut self, statement: &str) {
        if self.statements.len() == MOST_STATEMENTS {
            self.statements.pop_front();
        }
        self.statements.push_back(statement.to_owned());
    }
}

/// The running proxy. Dropping it closes every connection.
#[derive(Debug)]
pub struct RedshiftProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

impl RedshiftProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to the server of the connection.
    pub async fn start(upstream: &Connection) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on 127.0.0.1")?;
        let address = listener
            .local_addr()
            .context("cannot read the proxy's address")?;
        let shared = Arc::new(Shared {
            upstream: (upstream.host.clone(), upstream.port),
            faults: Mutex::default(),
            traffic: Mutex::default(),
        });
        let listener = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            listener,
        })
    }

    /// The same database as through `upstream`, seen through the proxy.
    pub fn connection(&self, upstream: &Connection) -> Connection {
        Connection {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            ..upstream.clone()
        }
    }

    /// Arms a fault; several may be armed at once.
    pub fn inject(&self, injection: impl Into<Injection>) {
        lock(&self.shared.faults).push(Armed {
            injection: injection.into(),
            seen: 0,
        });
    }

    /// Disarms every fault.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How many faults are armed still.
    pub fn armed_faults(&self) -> usize {
        lock(&self.shared.faults).len()
    }

    /// What went through so far.
    pub fn traffic(&self) -> Traffic {
        lock(&self.shared.traffic).clone()
    }
}

impl Drop for RedshiftProxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    upstream: (String, u16),
    faults: Mutex<Vec<Armed>>,
    traffic: Mutex<Traffic>,
}

/// A fault that waits, and how many rows or bytes it has counted.
#[derive(Debug)]
struct Armed {
    injection: Injection,
    seen: u64,
}

impl Armed {
    fn matches(&self, statement: &str) -> bool {
        self.injection
            .statement_contains
            .as_ref()
            .is_none_or(|text| statement.contains(text))
    }
}

/// Notes that the fault at an index struck, and disarms it after the last time.
fn strike(faults: &mut Vec<Armed>, index: usize) {
    let armed = &mut faults[index];
    armed.seen = 0;
    armed.injection.times = armed.injection.times.saturating_sub(1);
    if armed.injection.times == 0 {
        faults.remove(index);
    }
}

/// What a panicking connection left behind is still a list of faults.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut sessions = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while sessions.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        sessions.spawn(async move {
            let open = OpenConnection::count(&shared);
            // Whatever ends a connection, both sides see it closed.
            drop(session::serve(client, &shared).await);
            drop(open);
        });
    }
}

struct OpenConnection<'a>(&'a Shared);

impl<'a> OpenConnection<'a> {
    fn count(shared: &'a Shared) -> Self {
        let mut traffic = lock(&shared.traffic);
        traffic.connections += 1;
        traffic.open_connections += 1;
        traffic.most_connections = traffic.most_connections.max(traffic.open_connections);
        Self(shared)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        lock(&self.0.traffic).open_connections -= 1;
    }
}
