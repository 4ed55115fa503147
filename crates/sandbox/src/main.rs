//! The binary `antiphon-sandbox`: serves the stand-ins until SIGINT or SIGTERM.

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use sandbox::Options;
use sandbox::source::{
    self, BigQueryAccess, Connection, DataPlan, PendoAccess, Sample, Shape, SourceOptions,
};
use tokio::signal::unix::{SignalKind, signal};

/// Local stand-ins of remote services: one port, each service under its own path
#[derive(Parser)]
#[command(name = "antiphon-sandbox", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  antiphon-sandbox serve
  antiphon-sandbox serve --listen 127.0.0.1:0 --latency-ms 50
  antiphon-sandbox serve --source --write-config demo
  antiphon-sandbox serve --source --source-sample chat --write-config demo
  antiphon-sandbox serve --crm-sample leads --crm-rows 1000000
  antiphon-sandbox serve --datastore-sample fleet --datastore-rows 450000
  antiphon-sandbox serve --tetra-sample instruments --tetra-files 1000 --tetra-arriving-ms 2000
  antiphon-sandbox serve --fault throttle:every=10,retry-after=1 --fault error:status=503,after=20,times=3

A Pendo client is given base_url http://127.0.0.1:8900/pendo and the key `sandbox-key`.
A BigQuery client is given http://127.0.0.1:8900/bigquery for REST, http://127.0.0.1:8900 for gRPC,
and no credentials, or any token that begins with `sandbox-token`.
A Zoho client is given http://127.0.0.1:8900 as accounts_url and api_url, the client `sandbox-client`, the
secret `sandbox-secret`, the refresh token `sandbox-refresh`, and the project 4000000006007.
A client of the Tetra Data Platform is given base_url http://127.0.0.1:8900/tetra, the token `sandbox-token` and
the organisation `acme`.
The page at http://127.0.0.1:8900/ shows what arrives.";

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM
    Serve(Box<Serve>),
    /// Change some rows of the sample data
    Change(Change),
    /// Make a large table for measuring
    BenchTable(BenchTable),
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    source: SourceOptions,

    /// Write tap-redshift.json and target-pendo.json (target-bigquery.json with the chat platform), ready
    /// to use, into this folder
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "source",
        help_heading = "Source database"
    )]
    write_config: Option<PathBuf>,
}

/// A database of somebody's.
#[derive(Args)]
struct Database {
    /// The database
    #[arg(long, value_name = "URL", env = "DEMO_PG_URL", hide_env_values = true)]
    url: String,

    /// The schema in it
    #[arg(long, value_name = "NAME", default_value = "public")]
    schema: String,
}

#[derive(Args)]
struct Change {
    #[command(flatten)]
    database: Database,

    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 500)]
    rows: u64,

    /// What the schema holds
    #[arg(long, value_enum, value_name = "SAMPLE", default_value_t)]
    sample: Sample,
}

#[derive(Args)]
struct BenchTable {
    #[command(flatten)]
    database: Database,

    /// What the table looks like
    #[arg(long, value_enum, value_name = "SHAPE")]
    shape: Shape,

    /// Its name, if not the usual one of its shape
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// How many rows; as many as the speed goals of its shape mean, if left out
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        match command {
            Command::Serve(serve) => run_server(*serve).await,
            Command::Change(change) => {
                let connection = change.database.connection()?;
                let report = match change.sample {
                    Sample::Product => {
                        let plan = DataPlan::default();
                        serde_json::to_string(
                            &source::change(&connection, &plan, change.rows).await?,
                        )
                    }
                    Sample::Chat => {
                        serde_json::to_string(&source::change_chat(&connection, change.rows).await?)
                    }
                };
                announce(&report?);
                Ok(())
            }
            Command::BenchTable(BenchTable {
                database,
                shape,
                table,
                rows,
            }) => {
                let table = table.as_deref().unwrap_or(shape.table());
                let rows = rows.unwrap_or(shape.usual_rows());
                source::create_bench_table(&database.connection()?, shape, table, rows).await
            }
        }
    });
    // A server that is being started when the signal comes is not waited for: it notices by itself.
    runtime.shutdown_background();
    result
}

async fn run_server(serve: Serve) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut signalled = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    let key = serve
        .options
        .pendo
        .keys
        .first()
        .cloned()
        .unwrap_or_default();
    let project = serve.options.bigquery.project.clone();
    let sandbox = sandbox::start(serve.options).await?;
    if serve.source.source.is_some() {
        let source = tokio::select! {
            source = source::start(&serve.source) => source?,
            () = &mut signalled => return sandbox.stop().await,
        };
        if let Some(folder) = serve.write_config {
            let pendo = PendoAccess {
                base_url: sandbox.pendo_url(),
                integration_key: key,
            };
            let bigquery = BigQueryAccess {
                project,
                endpoint: sandbox.bigquery_url(),
                grpc_endpoint: sandbox.grpc_url(),
            };
            match source.chat() {
                Some(_) => source.write_chat_config(&folder, &bigquery)?,
                None => source.write_config(&folder, &pendo)?,
            }
        }
        announce(&source.describe().to_string());
        sandbox.attach_source(source)?;
    }
    // The last line: whoever waits for it finds everything ready.
    announce(&format!("antiphon-sandbox listening on {}", sandbox.url()));
    signalled.await;
    sandbox.stop().await
}

impl Database {
    fn connection(self) -> anyhow::Result<Connection> {
        Ok(Connection {
            schema: self.schema,
            ..Connection::from_url(&self.url)?
        })
    }
}

#[expect(
    clippy::print_stdout,
    reason = "scripts wait for these lines; no data goes to stdout here"
)]
fn announce(line: &str) {
    println!("{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "the sandbox is no connector: it has no log to write to"
)]
fn report(error: &anyhow::Error) {
    eprintln!("antiphon-sandbox: {error:#}");
}
