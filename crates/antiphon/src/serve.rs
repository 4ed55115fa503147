//! The status page, `/metrics` and `/healthz`: read-only, over the same store as everything else.
//!
//! Requests go through the guard of [`routes`] (method, host, token), are filled from the store by
//! [`load`] into the plain values of [`view`], and drawn by one module a page. What is absent: any way
//! to change anything, and any resource from elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use singer_core::{Error, Secret, SecretSource};
use singer_runtime::exit;
use tokio::net::TcpListener;

use crate::serve::access::Access;
use crate::serve::load::Loader;
use crate::serve::routes::Site;
use crate::session::Session;

mod access;
mod chart;
mod load;
mod metrics;
mod notice;
mod open_rejects;
mod overview;
mod page;
mod pipeline;
mod routes;
mod run_page;
mod states;
#[cfg(test)]
mod tests;
mod view;
mod words;

const EXAMPLES: &str = "Examples:
  antiphon serve                                             http://127.0.0.1:8700, for this machine alone
  antiphon serve --listen 0.0.0.0:8700 --token-file token    for others, who are asked for the token
  curl -s http://127.0.0.1:8700/metrics                      for Prometheus; /healthz tells if the store answers";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8700")]
    listen: String,

    /// The file that holds the token which visitors must know
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,

    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,

    /// Listen beyond this machine without a token: everybody who reaches it may look
    #[arg(long)]
    open: bool,

    /// A further name by which browsers may call this server, such as that of a proxy before it
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
}

/// How long answers that are under way at the end may take.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Serves until it is asked to stop.
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let token = read_token(&session, &arguments).await?;
    let wanted = resolve(&arguments.listen).await?;
    if !wanted.ip().is_loopback() && token.is_none() && !arguments.open {
        let found = format!("`{wanted}` is reached from other machines, and there is no token");
        return Err(Error::config(found)
            .with_hint(
                "`--token-file FILE` or `--token-env NAME` names one; visitors are asked for it",
            )
            .with_hint("`--open` lets everybody look")
            .into());
    }
    let (listener, address) = listen(wanted).await?;
    let site = Site {
        access: Access::new(address, &arguments.hosts, token.as_ref())?,
        loader: Loader::of(session.clone()),
    };
    tracing::info!(
        pipelines = session.project.pipelines.len(),
        token = token.is_some(),
        "the status page is at http://{address}/"
    );
    let stop = session.stop().clone();
    let ended = stop.clone();
    let served = axum::serve(listener, routes::routes(site))
        .with_graceful_shutdown(async move { ended.wait().await });
    let patience = async {
        stop.wait().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = served => served.map_err(|error| Error::internal("cannot serve any more").with_source(error))?,
        () = patience => {}
    }
    Ok(exit::DONE)
}

async fn read_token(
    session: &Session,
    arguments: &Arguments,
) -> singer_core::Result<Option<Secret>> {
    let source = match (&arguments.token_file, &arguments.token_env) {
        (Some(file), _) => SecretSource::File(file.to_string_lossy().into_owned()),
        (None, Some(name)) => SecretSource::Env(name.clone()),
        (None, None) => return Ok(None),
    };
    session.context.secret(&source).await.map(Some)
}

/// The address in `--listen`; a name is looked up.
async fn resolve(listen: &str) -> singer_core::Result<SocketAddr> {
    let fault = || {
        Error::config(format!("`{listen}` is no address to listen on"))
            .with_hint("such as `127.0.0.1:8700`, `[::1]:8700`, `0.0.0.0:8700` (with a token)")
    };
    let mut found = tokio::net::lookup_host(listen)
        .await
        .map_err(|error| fault().with_source(error))?;
    found.next().ok_or_else(fault)
}

async fn listen(wanted: SocketAddr) -> singer_core::Result<(TcpListener, SocketAddr)> {
    let fault = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "something else listens there: another `antiphon serve`? `--listen` takes another port, 0 any free one"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 are for the system",
            _ => "`--listen` takes an address of this machine",
        };
        Error::config(format!("cannot listen on `{wanted}`"))
            .with_source(error)
            .with_hint(hint)
    };
    let listener = TcpListener::bind(wanted).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}
