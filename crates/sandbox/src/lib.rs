//! Local stand-ins of the remote services, for trials, the demo and the tests: one port, each service
//! under its own path, a page at `/`, control requests under `/_sandbox`. The binary
//! `antiphon-sandbox` runs it by itself; tests start it in their own process with [`start`].

mod activity;
pub mod analytics;
mod archive;
pub mod bigquery;
mod body;
mod cells;
mod clock;
mod compare;
mod control;
pub mod crm;
pub mod datastore;
mod faults;
mod form;
mod line;
mod page;
pub mod pendo;
mod post;
mod server;
pub mod source;
mod store;
pub mod tetra;
mod text;
pub mod zoho;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use clap::{Args, Parser};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::activity::Activity;
pub use crate::activity::{RequestEntry, Snapshot, TableCounters};
use crate::analytics::{Analytics, AnalyticsOptions};
use crate::bigquery::{BigQuery, BigQueryOptions};
pub use crate::compare::Comparison;
pub use crate::control::Status;
use crate::crm::{Crm, CrmOptions};
use crate::datastore::{DataStore, DataStoreOptions};
use crate::faults::FaultBoard;
pub use crate::faults::{Fault, FaultError, FaultState};
use crate::line::{Line, LineListener};
use crate::pendo::{Pendo, PendoOptions};
use crate::server::World;
use crate::source::Source;
use crate::tetra::{Tetra, TetraOptions};
use crate::zoho::{Accounts, ZohoOptions};

/// How long a stop waits for requests that are still being answered.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer may take to leave once it was made.
const FLUSH_PATIENCE: Duration = Duration::from_millis(100);

/// What a sandbox is started with; the flags of `antiphon-sandbox serve`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8900")]
    pub listen: SocketAddr,

    /// Milliseconds that every answer of a service is held back
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub latency_ms: u64,

    /// A fault, such as `throttle:every=10,retry-after=1`; may be repeated
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<Fault>,

    /// Settings of the Pendo stand-in.
    #[command(flatten)]
    pub pendo: PendoOptions,

    /// Settings of the BigQuery stand-in.
    #[command(flatten)]
    pub bigquery: BigQueryOptions,

    /// Settings of the stand-in of Zoho accounts.
    #[command(flatten)]
    pub zoho: ZohoOptions,

    /// Settings of the stand-in of Zoho Analytics.
    #[command(flatten)]
    pub analytics: AnalyticsOptions,

    /// Settings of the Data Store stand-in.
    #[command(flatten)]
    pub datastore: DataStoreOptions,

    /// Settings of the CRM stand-in.
    #[command(flatten)]
    pub crm: CrmOptions,

    /// Settings of the stand-in of the Tetra Data Platform.
    #[command(flatten)]
    pub tetra: TetraOptions,
}

impl Default for Options {
    /// The defaults of the flags, on a free port of this machine, without Zoho's limits of calls and
    /// units, which would hold tests up.
    fn default() -> Options {
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            options: Options,
        }
        let options = Flags::parse_from(["sandbox", "--listen", "127.0.0.1:0"]).options;
        Options {
            analytics: options.analytics.generous(),
            ..options
        }
    }
}

/// A running sandbox. Dropping it stops it without waiting.
pub struct Sandbox {
    addr: SocketAddr,
    world: Arc<World>,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
    /// The storage of the Tetra Data Platform, which is another origin.
    storage: JoinHandle<std::io::Result<()>>,
}

/// Starts a sandbox on the current Tokio runtime; it listens when this returns.
pub async fn start(options: Options) -> anyhow::Result<Sandbox> {
    let activity = Arc::new(Activity::new());
    let faults = Arc::new(FaultBoard::new(options.faults.clone()));
    let bigquery = BigQuery::new(options.bigquery, Arc::clone(&faults), Arc::clone(&activity));
    let accounts = Arc::new(Accounts::new(options.zoho));
    let analytics = Analytics::new(
        options.analytics,
        Arc::clone(&accounts),
        Arc::clone(&faults),
        Arc::clone(&activity),
    );
    let datastore = DataStore::new(
        options.datastore,
        Arc::clone(&accounts),
        Arc::clone(&faults),
    )?;
    let crm = Crm::new(
        options.crm,
        Arc::clone(&accounts),
        Arc::clone(&faults),
        Arc::clone(&activity),
    )?;
    let storage_address = options.tetra.storage;
    let tetra = Tetra::new(options.tetra, Arc::clone(&faults));
    let world = Arc::new(World {
        activity,
        faults,
        first_faults: options.faults,
        latency: Duration::from_millis(options.latency_ms),
        pendo: Arc::new(Pendo::new(options.pendo)?),
        bigquery: Arc::new(bigquery),
        accounts,
        analytics: Arc::new(analytics),
        datastore: Arc::new(datastore),
        crm: Arc::new(crm),
        tetra: Arc::new(tetra),
        source: OnceLock::new(),
        unanswered: AtomicUsize::new(0),
    });
    let tcp = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", options.listen))?;
    let addr = tcp.local_addr().context("the listener has no address")?;
    let storage = TcpListener::bind(storage_address)
        .await
        .with_context(|| format!("cannot listen on `{storage_address}`"))?;
    let storage_address = storage
        .local_addr()
        .context("the listener has no address")?;
    world.tetra.set_storage(storage_address);
    let (stop, stopped) = watch::channel(false);
    let storage = serve(storage, server::storage_routes(&world), stopped.clone());
    let server = serve(tcp, server::routes(&world), stopped);
    Ok(Sandbox {
        addr,
        world,
        stop,
        server,
        storage,
    })
}

/// Answers requests on a port until the sandbox stops.
fn serve(
    tcp: TcpListener,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<std::io::Result<()>> {
    let service = routes.into_make_service_with_connect_info::<Line>();
    let server = axum::serve(LineListener { tcp }, service).with_graceful_shutdown(async move {
        // An error means that the sandbox was dropped, which is a stop as well.
        drop(stopped.wait_for(|stop| *stop).await);
    });
    tokio::spawn(server.into_future())
}

impl Sandbox {
    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL of the page and the control requests, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The `base_url` that a Pendo client is given.
    pub fn pendo_url(&self) -> String {
        format!("http://{}/pendo", self.addr)
    }

    /// Compares a table of Data Store with the view of Analytics that has its name; `None` if there is no table.
    pub fn compare(&self, environment: datastore::Environment, table: &str) -> Option<Comparison> {
        compare::of(&self.world, environment, table, table)
    }

    /// The stand-in of Pendo, to fill and to dump its tables.
    pub fn pendo(&self) -> &Pendo {
        &self.world.pendo
    }

    /// The endpoint of BigQuery's REST API, to which a client adds `/bigquery/v2` and
    /// `/upload/bigquery/v2`; tokens are at `/token` below it.
    pub fn bigquery_url(&self) -> String {
        format!("http://{}/bigquery", self.addr)
    }

    /// The endpoint of the Storage Write API: gRPC without TLS.
    pub fn grpc_url(&self) -> String {
        self.url()
    }

    /// The stand-in of BigQuery, to make and to dump its tables.
    pub fn bigquery(&self) -> &BigQuery {
        &self.world.bigquery
    }

    /// The `accounts_url` and the `api_url` that a Zoho client is given.
    pub fn zoho_url(&self) -> String {
        self.url()
    }

    /// The stand-in of Zoho accounts, to end tokens and to move the clock of Zoho's stand-ins.
    pub fn zoho(&self) -> &Accounts {
        &self.world.accounts
    }

    /// The `analytics_url` that a client of Zoho Analytics is given.
    pub fn analytics_url(&self) -> String {
        self.url()
    }

    /// The stand-in of Zoho Analytics, to make and to dump its tables.
    pub fn analytics(&self) -> &Analytics {
        &self.world.analytics
    }

    /// The stand-in of Data Store, to fill and to dump its tables.
    pub fn datastore(&self) -> &DataStore {
        &self.world.datastore
    }

    /// The `api_url` and the `upload_url` that a CRM client is given; `/crm/…` is behind it.
    pub fn crm_url(&self) -> String {
        self.url()
    }

    /// The stand-in of CRM, to fill and to dump its modules.
    pub fn crm(&self) -> &Crm {
        &self.world.crm
    }

    /// The `base_url` that a client of the Tetra Data Platform is given.
    pub fn tetra_url(&self) -> String {
        format!("http://{}/tetra", self.addr)
    }

    /// The stand-in of the Tetra Data Platform, to fill and to dump its files.
    pub fn tetra(&self) -> &Tetra {
        &self.world.tetra
    }

    /// Takes charge of the database with the sample data: Pendo knows its ids from now on, control
    /// requests change its rows, and it stops with the sandbox. There is at most one.
    pub fn attach_source(&self, source: Source) -> anyhow::Result<()> {
        if self.world.source.set(source).is_err() {
            anyhow::bail!("the sandbox has a source already");
        }
        self.world.know_source();
        Ok(())
    }

    /// The database with the sample data, if there is one.
    pub fn source(&self) -> Option<&Source> {
        self.world.source.get()
    }

    /// Replaces all faults, given as on the command line; counters begin anew.
    pub fn set_faults(&self, specs: &[&str]) -> Result<(), FaultError> {
        let faults = specs
            .iter()
            .map(|spec| spec.parse())
            .collect::<Result<_, _>>()?;
        self.world.faults.set(faults);
        Ok(())
    }

    /// What was counted and kept so far, the last requests included.
    pub fn status(&self) -> Status {
        control::status(&self.world)
    }

    /// Stops listening and waits a moment for requests that are being answered.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let source = match self.world.source.get() {
            Some(source) => source.stop().await,
            None => Ok(()),
        };
        // A connection on which a request has only begun, or whose client does not say goodbye, would
        // keep the server for as long as its client likes.
        let patience = tokio::time::timeout(STOP_PATIENCE, all_answered(&self.world));
        let ended = async {
            for server in [&mut self.server, &mut self.storage] {
                server
                    .await
                    .context("the server panicked")?
                    .context("the server failed")?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            ended = ended => ended?,
            _ = patience => {
                self.server.abort();
                self.storage.abort();
            }
        }
        source
    }
}

/// Waits until no request is being answered, and the last answer is on its way.
async fn all_answered(world: &World) {
    loop {
        let answered = world.unanswered.load(Ordering::Acquire) == 0;
        tokio::time::sleep(FLUSH_PATIENCE).await;
        if answered && world.unanswered.load(Ordering::Acquire) == 0 {
            return;
        }
    }
}
