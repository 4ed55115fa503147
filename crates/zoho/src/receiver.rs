//! A small server for what Zoho posts to us: one path, a secret in a header, bounded bodies, answers that
//! reveal nothing.
//!
//! Whoever does not know the secret sees the same 404 whatever he asks for, and no body of his is read.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use singer_core::{Error, Result, Secret, Surroundings};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::callback::Callback;
use self::gate::Gate;
use self::serve::{LIMITS, Limits, Server};

mod callback;
mod gate;
mod serve;
#[cfg(test)]
mod tests;
mod tls;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// The address, `127.0.0.1:8443`.
    pub listen: String,
    /// The only path that is answered, with its slash.
    pub path: String,
    /// The header that holds the secret; `?name` for a parameter of the query, where a service sends no
    /// header of ours.
    pub header: String,
    /// The secret, compared in constant time.
    pub secret: Secret,
    /// Bodies of more bytes are refused.
    pub max_body_bytes: usize,
    /// A certificate chain and its key as PEM files, for HTTPS; plain HTTP (behind a proxy) if left out.
    pub tls: Option<TlsFiles>,
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct TlsFiles {
    /// The chain.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Taken: 200.
    Taken,
    /// Not now: 429 with `Retry-After` of so many seconds.
    Later(u32),
    /// No body that we know: 400.
    Malformed,
    /// A fault of ours: 503.
    Failed,
}

/// What takes a body. Once begun it is not broken off, also when the sender hangs up.
pub type Take = Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// A running receiver; it stops when it is dropped, and after a stop request. What it has begun to answer
/// is answered nevertheless.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    /// The server notices that this is gone.
    _running: oneshot::Sender<()>,
}

impl Receiver {
    /// Listens.
    ///
    /// # Errors
    /// Of kind `Config`: an address that cannot be used, certificates that cannot be read, a path, header
    /// or secret that no request can have.
    pub async fn start(
        config: ReceiverConfig,
        surroundings: Arc<dyn Surroundings>,
        take: Take,
    ) -> Result<Self> {
        Self::start_within(LIMITS, config, surroundings, take).await
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start_within(
        limits: Limits,
        config: ReceiverConfig,
        surroundings: Arc<dyn Surroundings>,
        take: Take,
    ) -> Result<Self> {
        let gate = Gate::new(&config, limits.body, take)?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let cannot = |error| {
            let listen = &config.listen;
            Error::config(format!("cannot listen on `{listen}`")).with_source(error)
        };
        let listener = TcpListener::bind(&config.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let (running, dropped) = oneshot::channel();
        let server = Server::new(listener, tls, gate, limits);
        tokio::spawn(async move {
            let stop = async {
                tokio::select! {
                    // An error is what the end of a receiver looks like.
                    _ = dropped => {}
                    () = surroundings.stopped() => {}
                }
            };
            server.run(stop).await;
        });
        tracing::debug!(%address, "listening");
        Ok(Self {
            address,
            _running: running,
        })
    }
}
