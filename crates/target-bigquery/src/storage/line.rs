//! The way to the service: channels, metadata, one call with one answer, and the line of an append,
//! which carries many requests and their answers in order.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use singer_core::{Error, Result, Secret};
use singer_net::Base;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::failure::Failure;
use super::wire::{Append, AppendCodec, AppendRowsResponse};
use super::{Options, TokenSource};

const SERVICE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite";
/// One connection to the host carries about as much as a few appends can use.
const CHANNELS: usize = 4;
const CONNECT: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WAIT: Duration = Duration::from_secs(30);
/// Answers are small, but for one that names every row of a request.
const ANSWER_LIMIT: usize = 64 << 20;

/// The channels to one endpoint; nothing connects before the first call.
#[derive(Debug)]
pub(super) struct Channels {
    all: Vec<Channel>,
    next: AtomicUsize,
    /// A token goes over TLS, or to this machine itself.
    takes_tokens: bool,
}

impl Channels {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let base = Base::parse("storage endpoint", &options.endpoint)?;
        let wrong = |error: tonic::transport::Error| {
            Error::config(format!("cannot use the storage endpoint `{base}`")).with_source(error)
        };
        let mut endpoint = Endpoint::from_shared(base.to_string())
            .map_err(wrong)?
            .user_agent(options.user_agent.as_str())
            .map_err(wrong)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .keep_alive_while_idle(true);
        if base.is_https() {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(path) = &options.ca_file {
                let pem = std::fs::read(path).map_err(|error| {
                    Error::config(format!(
                        "cannot read the certificates of `ca_file`, `{path}`"
                    ))
                    .with_source(error)
                })?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| {
                wrong(error).with_hint(
                    "the system's certificate authorities and the PEM file in `ca_file` are trusted",
                )
            })?;
        }
        Ok(Self {
            all: (0..CHANNELS).map(|_| endpoint.connect_lazy()).collect(),
            next: AtomicUsize::new(0),
            takes_tokens: base.is_https() || base.is_loopback(),
        })
    }

    fn grpc(&self) -> Grpc<Channel> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let channel = self.all.get(index).cloned();
        Grpc::new(channel.expect("the index is below the length"))
            .max_decoding_message_size(ANSWER_LIMIT)
            .max_encoding_message_size(usize::MAX)
    }

    /// The token for the next call.
    pub(super) async fn token(&self, tokens: &dyn TokenSource) -> Result<Option<Secret>> {
        let token = tokens.token().await?;
        if token.is_some() && !self.takes_tokens {
            return Err(
                Error::config("a token is not sent to another machine without TLS")
                    .with_hint("use https:// for the storage endpoint, or no credentials at all"),
            );
        }
        Ok(token)
    }

    /// One request, one answer.
    pub(super) async fn call<Q, A>(
        &self,
        method: &str,
        routing: (&str, &str),
        body: Q,
        token: Option<Secret>,
        patience: Duration,
    ) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        let request = dress(Request::new(body), routing, token.as_ref())?;
        let path = path(method);
        let call = async {
            ready(&mut grpc).await?;
            grpc.unary(request, path, ProstCodec::<Q, A>::default())
                .await
        };
        match timeout(patience, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Failure::from(status).with_token(token.as_ref())),
            Err(_) => Err(Failure::lost("no answer in time")),
        }
    }

    /// A line for appends to this stream.
    pub(super) fn line(
        &self,
        stream: &str,
        descriptor: &Bytes,
        token: Option<Secret>,
    ) -> Result<Line, Failure> {
        let (sender, receiver) = mpsc::channel(1);
        let mut grpc = self.grpc();
        let request = Request::new(ReceiverStream::new(receiver));
        let request = dress(request, ("write_stream", stream), token.as_ref())?;
        let path = path("AppendRows");
        let opening = Box::pin(async move {
            ready(&mut grpc).await?;
            let answers = grpc.streaming(request, path, AppendCodec).await?;
            Ok(answers.into_inner())
        });
        Ok(Line {
            sender,
            answers: Answers::Opening(opening),
            descriptor: descriptor.clone(),
            token,
            greeted: false,
            fresh: true,
            answered: false,
            refused: false,
        })
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(Box::new(error)))
}

fn path(method: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("{SERVICE}/{method}")).expect("a method is a word")
}

/// Puts the token and the routing of a call into its metadata.
fn dress<T>(
    mut request: Request<T>,
    (key, value): (&str, &str),
    token: Option<&Secret>,
) -> Result<Request<T>, Failure> {
    let routing = format!("{key}={}", encoded(value));
    let wrong = || {
        Failure::from(Status::unauthenticated(
            "the token has characters of no header",
        ))
    };
    let routing = MetadataValue::try_from(routing).map_err(|_| wrong())?;
    let metadata = request.metadata_mut();
    metadata.insert("x-goog-request-params", routing);
    if let Some(token) = token {
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", token.expose())
            .parse()
            .map_err(|_| wrong())?;
        bearer.set_sensitive(true);
        metadata.insert("authorization", bearer);
    }
    Ok(request)
}

/// A text with everything encoded but what is never special.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes every write");
        }
    }
    out
}

type Opening = Pin<Box<dyn Future<Output = Result<Streaming<AppendRowsResponse>, Status>> + Send>>;

/// The service may send nothing, no header either, before the first answer is ready: until then
/// requests go out already.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<AppendRowsResponse>>),
    Closed,
}

/// An append call that is under way. Dropping it resets the call.
pub(super) struct Line {
    pub(super) sender: mpsc::Sender<Append>,
    answers: Answers,
    /// The rows of a line are all of one shape.
    pub(super) descriptor: Bytes,
    pub(super) token: Option<Secret>,
    /// The descriptor was sent.
    pub(super) greeted: bool,
    /// It was opened for the batch at hand, and has not been lying about.
    pub(super) fresh: bool,
    /// There was an answer to a request of the batch at hand.
    pub(super) answered: bool,
    /// The last answer refused rows.
    pub(super) refused: bool,
}

impl Line {
    /// The next answer; nothing at the end. It may be dropped and asked for again.
    pub(super) async fn answer(&mut self) -> Result<Option<AppendRowsResponse>, Failure> {
        let answer = self.receive().await;
        if !matches!(answer, Ok(Some(_))) {
            self.answers = Answers::Closed;
        }
        answer.map_err(Failure::from)
    }

    async fn receive(&mut self) -> Result<Option<AppendRowsResponse>, Status> {
        loop {
            match &mut self.answers {
                Answers::Opening(opening) => {
                    let answers = opening.await?;
                    self.answers = Answers::Open(Box::new(answers));
                }
                Answers::Open(answers) => return answers.message().await,
                Answers::Closed => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_is_encoded_whole() {
        assert_eq!(
            encoded("projects/a:b/tables/ü_1"),
            "projects%2Fa%3Ab%2Ftables%2F%C3%BC_1"
        );
    }
}
