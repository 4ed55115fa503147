//! Connections: how many, for how long, and how they end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use super::gate::Gate;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once; the rest waits to be accepted.
    pub(super) connections: usize,
    /// The time for a TLS handshake, and that for the head of a request.
    pub(super) head: Duration,
    /// The time for the body of a request.
    pub(super) body: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(10),
    body: Duration::from_secs(30),
};

/// How often what was refused is logged.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The wait after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The bound of a request's head.
const HEAD_BYTES: usize = 32 * 1024;

/// Accepts connections and serves them.
pub(super) struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Arc<Gate>,
    limits: Limits,
    slots: Arc<Semaphore>,
}

/// One of the connections that may be there at once.
type Slot = Arc<OwnedSemaphorePermit>;

impl Server {
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        gate: Gate,
        limits: Limits,
    ) -> Self {
        Self {
            listener,
            tls,
            gate: Arc::new(gate),
            limits,
            slots: Arc::new(Semaphore::new(limits.connections)),
        }
    }

    /// Serves until `stop` ends; what is under way then comes to its end in tasks of its own.
    pub(super) async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut report = tokio::time::interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Connections notice that it is gone.
        let open = watch::Sender::new(());
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = report.tick() => self.gate.report(),
                (stream, slot) = self.accept() => {
                    let connection = Connection {
                        gate: Arc::clone(&self.gate),
                        limits: self.limits,
                        slot,
                        closing: open.subscribe(),
                    };
                    tokio::spawn(connection.serve(stream, self.tls.clone()));
                }
            }
        }
        self.gate.report();
    }

    /// The next connection, once there is a slot for it.
    async fn accept(&self) -> (TcpStream, Slot) {
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await.expect("it is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, Arc::new(slot)),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What one connection needs.
struct Connection {
    gate: Arc<Gate>,
    limits: Limits,
    slot: Slot,
    closing: watch::Receiver<()>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return self.answer(stream).await;
        };
        match tokio::time::timeout(self.limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                self.gate.handshake_failed();
            }
            Err(_) => self.gate.handshake_failed(),
        }
    }

    async fn answer(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| {
            let (gate, slot) = (Arc::clone(&self.gate), Arc::clone(&self.slot));
            async move { Ok::<_, Infallible>(gate.answer(request, slot).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            // An error is what the end of the server looks like.
            _ = self.closing.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
