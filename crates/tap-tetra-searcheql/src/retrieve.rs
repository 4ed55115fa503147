//! The content of a file: through the API or by a pre-signed link, tried again where that may help, into memory or
//! onto disk.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use singer_core::{Error, Kind, Result};
use singer_net::{Attempt, Incoming, Url};
use tokio::sync::Mutex;

use crate::ahead::Room;
use crate::api::{Api, Fault, no_answer};
use crate::config::{Config, OnFailure, OnMissing, Retrieve, Stream};
use crate::files::{Facts, Outcome, Plain, Saved, Target, parts};
use crate::limiter::{Limiter, Permit};
use crate::model::Hit;
use crate::record::Text;
use crate::storage::{Opened, Storage};

/// So many files in a row that fail for the moment are no fault of these files.
const OUTAGE: u32 = 10;

/// What fetching does for all streams.
#[derive(Debug)]
pub(crate) struct Retriever {
    api: Api,
    storage: Storage,
    /// Requests for links.
    asks: Limiter,
    /// Downloads.
    downloads: Limiter,
    is_presigned: bool,
    life: Duration,
    /// Files in a row that failed for the moment.
    failed_in_row: AtomicU32,
}

/// What was fetched.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing was wanted.
    None,
    /// A JSON document.
    Json(Text),
    /// A file on disk.
    Saved(Saved),
    /// The file was deleted since it was found.
    Missing,
    /// It is to become a reject.
    Refused(Refusal),
    /// There is no memory for the document before those ahead of it are handled.
    Crowded,
}

/// Why a file becomes a reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A word for programs.
    pub(crate) code: &'static str,
    /// Words for people, without any value.
    pub(crate) reason: String,
}

/// Where content goes.
#[derive(Debug, Clone, Copy)]
enum Sink<'a> {
    Memory(&'a Mutex<&'a mut Room>),
    Disk(&'a Target),
}

impl Sink<'_> {
    async fn take(self, what: &str, stream: &Stream, incoming: Incoming) -> Result<Content, Fault> {
        let target = match self {
            Self::Memory(room) => {
                // One attempt at a time.
                return collect(what, stream, incoming, &mut **room.lock().await).await;
            }
            Self::Disk(target) => target,
        };
        let saved = target.save(what, incoming, stream.max_file_bytes).await?;
        Ok(match saved {
            Outcome::Saved(saved) => Content::Saved(saved),
            Outcome::TooLarge => Content::Refused(too_large(stream)),
        })
    }
}

/// A link, and when it was made.
type Link = Mutex<Option<(Url, Instant)>>;

impl Retriever {
    /// Sends nothing.
    pub(crate) fn new(config: &Config, api: Api, user_agent: &str) -> Self {
        let life = Duration::from_secs(config.presigned_life_seconds);
        Self {
            api,
            storage: Storage::new(&config.http, user_agent),
            asks: Limiter::new(config.parallel),
            downloads: Limiter::new(config.parallel),
            is_presigned: config.presigned,
            // Clocks differ, and a connection takes its time.
            life: life.mul_f64(0.8),
            failed_in_row: AtomicU32::new(0),
        }
    }

    /// The content of a file as the stream wants it, or what becomes of the file without.
    ///
    /// # Errors
    /// Whatever ends the stream.
    pub(crate) async fn content(
        &self,
        stream: &Stream,
        hit: &Hit,
        room: &mut Room,
    ) -> Result<Content> {
        if stream.retrieve == Retrieve::None {
            return Ok(Content::None);
        }
        let facts = Facts::of(hit);
        if facts.size.is_some_and(|size| size > stream.max_file_bytes) {
            return refused(stream, too_large(stream));
        }
        let content = match stream.retrieve {
            Retrieve::File => {
                self.file(stream, &Target::new(stream, hit, facts), hit)
                    .await
            }
            _ => self.document(stream, hit, room).await,
        };
        match content {
            Ok(Content::Missing) => missing(stream),
            Ok(Content::Refused(refusal)) => refused(stream, refusal),
            Ok(content) => {
                self.failed_in_row.store(0, Ordering::Relaxed);
                Ok(content)
            }
            Err(error) => self.failed(stream, error),
        }
    }

    /// Asks for a link to a file, or for the file, and for nothing behind it: whether files may be retrieved.
    ///
    /// # Errors
    /// Of kind `Auth` if they may not.
    pub(crate) async fn probe(&self, stream: &Stream, hit: &Hit) -> Result<()> {
        let what = format!("cannot retrieve a file of the stream `{}`", stream.name);
        let id = &hit.file_id;
        let asked = if self.is_presigned {
            (self.api.presign(&what, id, &self.asks).await).map(|_| ())
        } else {
            (self.api.retrieve(&what, id, &self.downloads).await).map(|_| ())
        };
        asked.map_err(|fault| match fault {
            Fault::Fail(error) | Fault::Again { error, .. } => error,
        })
    }

    async fn file(&self, stream: &Stream, target: &Target, hit: &Hit) -> Result<Content> {
        if let Some(saved) = target.known() {
            return Ok(Content::Saved(saved));
        }
        self.fetch(stream, hit, Sink::Disk(target)).await
    }

    async fn document(&self, stream: &Stream, hit: &Hit, room: &mut Room) -> Result<Content> {
        let room = Mutex::new(room);
        let content = self.fetch(stream, hit, Sink::Memory(&room)).await?;
        Ok(match content {
            Content::Json(text) if stream.json_field.is_none() && !text.document().is_object() => {
                no_json("the content is JSON and no object")
            }
            content => content,
        })
    }

    /// Opens the content, again where it helps, and reads it.
    async fn fetch(&self, stream: &Stream, hit: &Hit, sink: Sink<'_>) -> Result<Content> {
        let what = format!("cannot retrieve a file of the stream `{}`", stream.name);
        let failures = self.api.failures();
        let link = Link::new(None);
        self.api
            .retry()
            .run(&what, |number| {
                let (what, failures, link) = (&what, &failures, &link);
                async move {
                    let attempt = match self.attempt(what, (stream, hit), link, sink).await {
                        Ok(content) => Attempt::Done(content),
                        Err(Fault::Again {
                            error,
                            after,
                            counts,
                            ..
                        }) => failures.again(error, after, counts),
                        Err(Fault::Fail(error)) => Attempt::Fail(error),
                    };
                    failures.bounded(attempt, number)
                }
            })
            .await
    }

    async fn attempt(
        &self,
        what: &str,
        (stream, hit): (&Stream, &Hit),
        link: &Link,
        sink: Sink<'_>,
    ) -> Result<Content, Fault> {
        if !self.is_presigned {
            let permit = self.downloads.enter().await;
            let Some(incoming) = self
                .api
                .retrieve(what, &hit.file_id, &self.downloads)
                .await?
            else {
                return Ok(Content::Missing);
            };
            let content = sink.take(what, stream, incoming).await;
            return self.ended(permit, content);
        }
        let Some((url, permit)) = self.link(what, hit, link).await? else {
            return Ok(Content::Missing);
        };
        match self.storage.open(what, &url, &self.downloads).await? {
            Opened::Content(incoming) => {
                let content = sink.take(what, stream, incoming).await;
                self.ended(permit, content)
            }
            Opened::Missing => Ok(Content::Missing),
            Opened::Stale(error) => {
                *link.lock().await = None;
                Err(Fault::Again {
                    error,
                    after: Some(Duration::ZERO),
                    counts: true,
                    is_heavy: false,
                })
            }
        }
    }

    /// A link with some life left, and the right to follow it; nothing if there is no such file.
    async fn link(
        &self,
        what: &str,
        hit: &Hit,
        link: &Link,
    ) -> Result<Option<(Url, Permit<'_>)>, Fault> {
        let mut kept = link.lock().await;
        if kept.is_none() {
            *kept = self.ask(what, hit).await?;
        }
        if kept.is_none() {
            return Ok(None);
        }
        let permit = self.downloads.enter().await;
        // The wait for a turn may be longer than the life of the link; the turn is kept while another one is made.
        if kept
            .as_ref()
            .is_none_or(|(_, made)| made.elapsed() >= self.life)
        {
            *kept = self.ask(what, hit).await?;
        }
        Ok(kept.as_ref().map(|(url, _)| (url.clone(), permit)))
    }

    async fn ask(&self, what: &str, hit: &Hit) -> Result<Option<(Url, Instant)>, Fault> {
        let _permit = self.asks.enter().await;
        let made = Instant::now();
        let url = self.api.presign(what, &hit.file_id, &self.asks).await?;
        self.asks.succeeded();
        Ok(url.map(|url| (url, made)))
    }

    fn ended(&self, permit: Permit<'_>, content: Result<Content, Fault>) -> Result<Content, Fault> {
        drop(permit);
        if content.is_ok() {
            self.downloads.succeeded();
        }
        content
    }

    /// What becomes of a file whose content did not come: a reject if that is wanted and it is this file's fault.
    fn failed(&self, stream: &Stream, error: Error) -> Result<Content> {
        if stream.on_failure == OnFailure::Stop {
            return Err(error.with_hint("`\"on_failure\": \"reject\"` goes on without such files, which `--row` then replays"));
        }
        let code = match error.kind() {
            Kind::Rejected | Kind::Protocol => "refused",
            Kind::Transient => {
                if self.failed_in_row.fetch_add(1, Ordering::Relaxed) >= OUTAGE {
                    return Err(error.with_hint(
                        "many files in a row failed, so that they are not rejected one by one",
                    ));
                }
                "unavailable"
            }
            _ => return Err(error),
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Ok(Content::Refused(Refusal {
            code,
            reason: format!("{}{}", error.message(), cause.unwrap_or_default()),
        }))
    }
}

/// Reads a document into memory.
async fn collect(
    what: &str,
    stream: &Stream,
    mut incoming: Incoming,
    room: &mut Room,
) -> Result<Content, Fault> {
    let mut plain = Plain::new(true);
    let mut bytes = Vec::new();
    loop {
        let piece = (incoming.chunk().await).map_err(|error| no_answer(what, error))?;
        for part in parts(piece.as_deref(), plain.step()) {
            let Ok(more) = plain.take(part) else {
                return Ok(no_json("the content begins like gzip and is none"));
            };
            let size = bytes.len() + more.len();
            if size as u64 > stream.max_file_bytes {
                return Ok(Content::Refused(too_large(stream)));
            }
            if !room.grow_to(size) {
                return Ok(Content::Crowded);
            }
            bytes.extend_from_slice(&more);
        }
        if piece.is_none() {
            let text = Text::new(bytes);
            return Ok(text.map_or_else(|| no_json("the content is no JSON"), Content::Json));
        }
    }
}

fn no_json(reason: &str) -> Content {
    Content::Refused(Refusal {
        code: "no_json",
        reason: reason.to_owned(),
    })
}

fn too_large(stream: &Stream) -> Refusal {
    Refusal {
        code: "too_large",
        reason: format!(
            "the file has more than {} bytes (`max_file_bytes`)",
            stream.max_file_bytes
        ),
    }
}

fn missing(stream: &Stream) -> Result<Content> {
    match stream.on_missing {
        OnMissing::Skip => Ok(Content::Missing),
        OnMissing::Reject => Ok(Content::Refused(Refusal {
            code: "missing",
            reason: "the file was deleted between search and retrieve".to_owned(),
        })),
        OnMissing::Stop => Err(Error::rejected(format!(
            "a file of the stream `{}` was deleted between search and retrieve",
            stream.name
        ))
        .with_hint("`\"on_missing\": \"skip\"` goes on without such files")),
    }
}

fn refused(stream: &Stream, refusal: Refusal) -> Result<Content> {
    match stream.on_failure {
        OnFailure::Reject => Ok(Content::Refused(refusal)),
        // What `on_missing` has made a reject is one.
        OnFailure::Stop => Err(Error::rejected(format!(
            "cannot retrieve a file of the stream `{}`: {}",
            stream.name, refusal.reason
        ))
        .with_hint(
            "`\"on_failure\": \"reject\"` goes on without such files, which `--row` then replays",
        )),
    }
}
