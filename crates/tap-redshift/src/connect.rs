//! Sessions: one connection each, with the parameters that both Redshift and PostgreSQL take.
//!
//! Everything is sent by the simple protocol, which works everywhere. A session has no task of its
//! own: whoever waits for an answer moves the connection on, so that rows do not travel between
//! threads. Dropped in the middle of a result it closes its socket and does not read the rest.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use singer_core::Error;
use singer_net::{Attempt as Try, Backoff, Retry};
use singer_runtime::context::Context;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Config, TlsMode};
use crate::failure::{self, Attempt, Failure, Remedy};
use crate::server::Server;

mod tls;

/// Firewalls and NAT drop connections that are silent for some minutes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long a reader of many rows rests before it waits: some pieces arrive meanwhile, and the
/// socket's buffer still has room for more.
const REST: Duration = Duration::from_micros(100);

/// A live connection, ready to read.
#[derive(Debug)]
pub(crate) struct Session {
    /// The driver's handle.
    pub(crate) client: Client,
    /// What moves the handle's requests and answers.
    pub(crate) link: Link,
    /// What the server is.
    pub(crate) server: Server,
}

/// The driver's side of a connection, with or without TLS.
type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// The connection itself.
pub(crate) struct Link {
    /// None once it has ended.
    connection: Option<Connection>,
    at_ease: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.connection.is_some() {
            "open"
        } else {
            "ended"
        };
        write!(f, "Link({state})")
    }
}

impl Link {
    fn new(
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> Self {
        Self {
            connection: Some(Box::pin(connection)),
            at_ease: false,
        }
    }

    /// From now on many rows are read: where none is there the thread rests for a moment before it
    /// asks to be woken. A server hands rows over in small pieces, and waking for each of them costs
    /// both sides more than the rows do.
    pub(crate) fn read_at_ease(&mut self) {
        self.at_ease = true;
    }

    /// Waits for an answer, and moves the connection on meanwhile.
    pub(crate) async fn drive<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|context| {
            // What has arrived already needs no look at the connection.
            if let Poll::Ready(found) = answer.as_mut().poll(context) {
                return Poll::Ready(found);
            }
            if let Some(connection) = &mut self.connection
                && let Poll::Ready(ended) = connection.as_mut().poll(context)
            {
                // What went wrong reaches the reader through its own statement as well.
                tracing::debug!(error = ?ended.err(), "the connection ended");
                self.connection = None;
            }
            let found = answer.as_mut().poll(context);
            if self.at_ease && found.is_pending() {
                std::thread::sleep(REST);
            }
            found
        })
        .await
    }
}

/// The rows of a query as text; null is `None`.
pub(crate) type TextRows = Vec<Vec<Option<String>>>;

/// Opens a session, trying again where that may help.
pub(crate) async fn connect(config: &Config, context: &Context) -> singer_core::Result<Session> {
    retry(config)
        .run("connect", |_| async {
            match connect_once(config, context).await {
                Ok(session) => Try::Done(session),
                Err(failure) if failure.remedy == Remedy::Reconnect => Try::again(failure.error),
                Err(failure) => Try::Fail(failure.error),
            }
        })
        .await
}

/// How often and with which waits the database is tried again.
pub(crate) fn retry(config: &Config) -> Retry {
    Retry {
        attempts: config.http.attempts,
        backoff: Backoff {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        },
        ..Retry::default()
    }
}

/// Opens a session: one attempt.
pub(crate) async fn connect_once(config: &Config, context: &Context) -> Attempt<Session> {
    let settings = driver_config(config, context).await?;
    let mode = config.tls_mode();
    let (client, link) = match mode {
        TlsMode::Disable => plain(config, settings).await?,
        TlsMode::Allow => match plain(config, settings.clone()).await {
            Err(failure) if failure.error.kind() == singer_core::Kind::Auth => {
                encrypted(config, settings, SslMode::Require).await?
            }
            other => other?,
        },
        TlsMode::Prefer => encrypted(config, settings, SslMode::Prefer).await?,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            encrypted(config, settings, SslMode::Require).await?
        }
    };
    let mut session = Session {
        client,
        link,
        server: Server::detect(""),
    };
    session.prepare(config).await?;
    Ok(session)
}

async fn driver_config(
    config: &Config,
    context: &Context,
) -> singer_core::Result<tokio_postgres::Config> {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(&config.host)
        .port(config.port)
        .dbname(&config.dbname)
        .user(&config.user)
        .application_name(&config.application_name)
        .connect_timeout(config.connect_timeout())
        .keepalives(true)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE);
    if let Some(source) = &config.password {
        settings.password(context.secret(source).await?.expose());
    }
    Ok(settings)
}

fn connecting(config: &Config) -> String {
    format!(
        "cannot connect to `{}` as `{}`",
        config.address(),
        config.user
    )
}

async fn plain(config: &Config, mut settings: tokio_postgres::Config) -> Attempt<(Client, Link)> {
    settings.ssl_mode(SslMode::Disable);
    let connected = settings.connect(NoTls);
    let (client, connection) = in_time(config, connected).await?;
    Ok((client, Link::new(connection)))
}

async fn encrypted(
    config: &Config,
    mut settings: tokio_postgres::Config,
    mode: SslMode,
) -> Attempt<(Client, Link)> {
    settings.ssl_mode(mode);
    let tls = tls::client_config(config.tls_mode(), config.sslrootcert.as_deref())?;
    let connected = settings.connect(MakeRustlsConnect::new(tls));
    let (client, connection) = in_time(config, connected).await?;
    Ok((client, Link::new(connection)))
}

/// The driver's own limit ends with the TCP connection; a server may also be silent after it.
async fn in_time<T>(
    config: &Config,
    connected: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Attempt<T> {
    match tokio::time::timeout(config.connect_timeout(), connected).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(failure::judge(error, connecting(config))),
        Err(_) => Err(Failure::from(
            Error::transient(format!("{}: no answer in time", connecting(config))).with_hint(
                "check that the network lets this machine through: security group, VPN, `publicly accessible`",
            ),
        )),
    }
}

impl Session {
    /// Learns what the server is and sets what the decoders rely on.
    async fn prepare(&mut self, config: &Config) -> Attempt<()> {
        let version = self
            .query(
                "SET timezone TO 'UTC'; SET datestyle TO 'ISO, YMD'; SELECT version()",
                "cannot set up the session",
            )
            .await?;
        let version = version.into_iter().flatten().flatten().next();
        self.server = Server::detect(&version.unwrap_or_default());
        let mut statements = String::new();
        if let Some(seconds) = config.statement_timeout_seconds {
            let milliseconds = u64::from(seconds) * 1000;
            statements.push_str(&format!("SET statement_timeout TO {milliseconds};"));
        }
        if self.server.is_redshift() {
            statements.push_str("SET extra_float_digits TO 2;");
        } else {
            statements.push_str(
                "SET extra_float_digits TO 3; SET intervalstyle TO 'postgres'; \
                 SET bytea_output TO 'hex'; SET standard_conforming_strings TO on;",
            );
            if self.server.major >= 11 {
                // Rows are passed on as they are: compiling their statement only delays the first.
                statements.push_str("SET jit TO off;");
            }
        }
        self.query(&statements, "cannot set up the session").await?;
        if self.server.is_redshift() {
            // Names are always quoted as the catalog spells them. Clusters that do not know the
            // setting fold names themselves, so a refusal is no harm.
            let setting = "SET enable_case_sensitive_identifier TO true";
            let refused = self
                .query(setting, "cannot set up the session")
                .await
                .is_err();
            tracing::debug!(refused, "case-sensitive identifiers");
        }
        Ok(())
    }

    /// Runs one or several statements and returns all their rows.
    pub(crate) async fn query(&mut self, sql: &str, doing: &str) -> Attempt<TextRows> {
        let stream = self.stream(sql, doing).await?;
        let mut stream = std::pin::pin!(stream);
        let mut rows = Vec::new();
        while let Some(message) = self.link.drive(stream.next()).await {
            let message = message.map_err(|error| failure::judge(error, doing))?;
            let SimpleQueryMessage::Row(row) = message else {
                continue;
            };
            let values = (0..row.len()).map(|index| {
                let value = row.try_get(index)?;
                Ok(value.map(str::to_owned))
            });
            let values: Result<Vec<Option<String>>, tokio_postgres::Error> = values.collect();
            rows.push(values.map_err(|error| failure::judge(error, doing))?);
        }
        Ok(rows)
    }

    /// The messages of one statement; [`Link::drive`] makes them come.
    pub(crate) async fn stream(
        &mut self,
        sql: &str,
        doing: &str,
    ) -> Attempt<impl Stream<Item = Result<SimpleQueryMessage, tokio_postgres::Error>> + use<>>
    {
        self.link
            .drive(self.client.simple_query_raw(sql))
            .await
            .map_err(|error| failure::judge(error, doing))
    }
}
