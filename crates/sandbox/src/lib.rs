//! Local stand-ins of the remote services, for trials, the demo and the tests: one port, each service
//! under its own path, a page at `/`, control requests under `/_sandbox`. The binary
//! `antiphon-sandbox` runs it by itself; tests start it in their own process with [`start`].

mod activity;
pub mod bigquery;
mod body;
mod control;
mod faults;
mod line;
mod page;
pub mod pendo;
mod server;
pub mod source;
mod store;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::activity::Activity;
pub use crate::activity::{RequestEntry, Snapshot, TableCounters};
use crate::bigquery::{BigQuery, BigQueryOptions};
pub use crate::control::Status;
use crate::faults::FaultBoard;
pub use crate::faults::{Fault, FaultError, FaultState};
use crate::line::{Line, LineListener};
use crate::pendo::{Pendo, PendoOptions};
use crate::server::World;
use crate::source::Source;

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
}

impl Default for Options {
    /// The defaults of the flags, on a free port of this machine.
    fn default() -> Options {
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            options: Options,
        }
        Flags::parse_from(["sandbox", "--listen", "127.0.0.1:0"]).options
    }
}

/// A running sandbox. Dropping it stops it without waiting.
pub struct Sandbox {
    addr: SocketAddr,
    world: Arc<World>,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Starts a sandbox on the current Tokio runtime; it listens when this returns.
pub async fn start(options: Options) -> anyhow::Result<Sandbox> {
    let activity = Arc::new(Activity::new());
    let faults = Arc::new(FaultBoard::new(options.faults.clone()));
    let bigquery = BigQuery::new(options.bigquery, Arc::clone(&faults), Arc::clone(&activity));
    let world = Arc::new(World {
        activity,
        faults,
        first_faults: options.faults,
        latency: Duration::from_millis(options.latency_ms),
        pendo: Arc::new(Pendo::new(options.pendo)?),
        bigquery: Arc::new(bigquery),
        source: OnceLock::new(),
        unanswered: AtomicUsize::new(0),
    });
    let tcp = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", options.listen))?;
    let addr = tcp.local_addr().context("the listener has no address")?;
    let (stop, mut stopped) = watch::channel(false);
    let service = server::routes(&world).into_make_service_with_connect_info::<Line>();
    let server = axum::serve(LineListener { tcp }, service).with_graceful_shutdown(async move {
        // An error means that the sandbox was dropped, which is a stop as well.
        drop(stopped.wait_for(|stop| *stop).await);
    });
    let server = tokio::spawn(server.into_future());
    Ok(Sandbox {
        addr,
        world,
        stop,
        server,
    })
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
        tokio::select! {
            ended = &mut self.server => ended
                .context("the server panicked")?
                .context("the server failed")?,
            _ = patience => self.server.abort(),
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
