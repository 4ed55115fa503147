//! One stream: its windows, the pages of each, the content of the files ahead of the record that is written, and
//! records in the order of the search, so that every STATE covers what came before it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use singer_core::{Error, Result};
use singer_runtime::tap::{Output, Plan};

use crate::Tetra;
use crate::ahead::{Ahead, Next};
use crate::api::Api;
use crate::config::{Deletions, OnFailure, Retrieve, Stream};
use crate::deleted::{self, Notes};
use crate::model::{FILE_ID, Hit};
use crate::page_size::PageSize;
use crate::pages::{Counts, Pages, Query};
use crate::record::{Document, Fit, Writer, fields};
use crate::retrieve::{Content, Refusal};
use crate::schema;
use crate::window::{Progress, text};

/// How long a file may keep those ahead of it waiting in the buffer.
const PULSE: Duration = Duration::from_secs(1);

/// Ids asked for by one search.
const IDS_AT_ONCE: usize = 100;

/// Reads one stream from its bookmark to its end.
pub(crate) async fn read(tap: &Tetra, plan: &Plan, out: &mut Output) -> Result<()> {
    let stream = tap.stream(&plan.id).await?;
    let mut progress = Progress::new(&tap.config, &stream, tap.api.org(), plan)?;
    let mut reading = Reading::new(tap, &stream, plan);
    let mut last = None;
    if !progress.is_full_table() {
        reading.notes = Notes::open(tap, &stream, plan)?;
    }
    while let Some(window) = progress.next(tap.api.service_time()) {
        tracing::info!(
            stream = plan.id,
            from = window.gte.map(text),
            to = text(window.lt),
            is_resumed = window.after.is_some(),
            "reads a window"
        );
        let query = Query {
            stream: Arc::clone(&stream),
            conditions: window.condition().into_iter().collect(),
            fields: schema::asked_fields(&stream),
            counts: Counts::AsItLikes,
        };
        reading
            .pages(query, Some(&mut progress), window.after.clone(), out)
            .await?;
        tap.rejects.sync()?;
        let bookmark = progress.finish_window();
        if progress.is_full_table() {
            reading.tell();
            return out.finish_version(bookmark).await;
        }
        out.checkpoint(bookmark.clone()).await?;
        last = Some(bookmark);
    }
    reading.tell();
    match last {
        Some(bookmark) if stream.deletions == Deletions::Diff => {
            deleted::read(tap, &stream, plan, bookmark, out).await
        }
        _ => Ok(()),
    }
}

/// Reads the files that were asked for by their ids, whatever the bookmark says.
pub(crate) async fn read_rows(tap: &Tetra, plan: &Plan, out: &mut Output) -> Result<()> {
    let stream = tap.stream(&plan.id).await?;
    let mut reading = Reading::new(tap, &stream, plan);
    let ids = tap.wanted_rows.ids(&plan.id);
    for some in ids.chunks(IDS_AT_ONCE) {
        let query = Query {
            stream: Arc::clone(&stream),
            conditions: vec![json!({"terms": {FILE_ID: some}})],
            fields: schema::asked_fields(&stream),
            counts: Counts::AsItLikes,
        };
        reading.pages(query, None, None, out).await?;
        tap.rejects.sync()?;
    }
    let found = reading.found;
    if found < ids.len() as u64 {
        tracing::warn!(
            stream = plan.id,
            files = ids.len() as u64 - found,
            "files are not found by the query of the stream: they were deleted, or do not match"
        );
    }
    reading.tell();
    out.flush().await
}

struct Reading<'a> {
    tap: &'a Tetra,
    stream: Arc<Stream>,
    plan: &'a Plan,
    writer: Writer,
    ahead: Ahead,
    /// Whether a bookmark would be another one than the last.
    has_passed: bool,
    found: u64,
    known: u64,
    missing: u64,
    refused: u64,
    /// Where ids are noted before their files are emitted.
    notes: Option<Notes>,
}

impl<'a> Reading<'a> {
    fn new(tap: &'a Tetra, stream: &Arc<Stream>, plan: &'a Plan) -> Self {
        Self {
            tap,
            stream: Arc::clone(stream),
            plan,
            writer: Writer::new(stream, plan),
            ahead: Ahead::new(tap, stream),
            has_passed: false,
            found: 0,
            known: 0,
            missing: 0,
            refused: 0,
            notes: None,
        }
    }

    /// Reads all pages of a query.
    async fn pages(
        &mut self,
        query: Query,
        mut progress: Option<&mut Progress>,
        after: Option<Vec<serde_json::Value>>,
        out: &mut Output,
    ) -> Result<()> {
        let mut pages = Pages::open(self.tap.api.clone(), query, after);
        let mut hits: VecDeque<Hit> = VecDeque::new();
        let mut is_last_page = false;
        loop {
            let wants_content = self.stream.retrieve != Retrieve::None;
            let was_sent = |hit: &Hit| (progress.as_deref()).is_some_and(|it| it.was_sent(hit));
            self.ahead
                .fill(&mut hits, |hit| wants_content && !was_sent(hit))
                .await?;
            if self.ahead.is_empty() {
                out.flush().await?;
            }
            let is_empty = self.ahead.is_empty();
            let wants_page = hits.is_empty() && !is_last_page && !self.ahead.is_full();
            if is_empty && is_last_page {
                return Ok(());
            }
            let next = tokio::select! {
                biased;
                next = self.ahead.next(), if !is_empty => next?,
                page = pages.next(), if wants_page => {
                    match page? {
                        Some(page) => {
                            if let Some(notes) = &mut self.notes {
                                notes.take(&page)?;
                            }
                            hits.extend(page);
                        }
                        None => is_last_page = true,
                    }
                    continue;
                }
                () = self.tap.context.stop().wait() => {
                    return self.stopped(progress.as_deref(), out).await;
                }
                // A large file takes its time; what came before it does not wait for it.
                () = tokio::time::sleep(PULSE) => {
                    out.flush().await?;
                    self.checkpoint(progress.as_deref(), out).await?;
                    continue;
                }
            };
            let Some(Next { hit, content, room }) = next else {
                return Err(Error::internal("a file that was under way is not there"));
            };
            self.hand_over(&hit, content?, progress.as_deref(), out)
                .await?;
            drop(room);
            self.has_passed = true;
            if let Some(progress) = progress.as_deref_mut() {
                progress.passed(&hit);
            } else if self.tap.context.stop().requested() {
                return Err(Error::interrupted());
            }
            self.checkpoint(progress.as_deref(), out).await?;
        }
    }

    /// Leaves a bookmark if it is time for one.
    async fn checkpoint(&mut self, progress: Option<&Progress>, out: &mut Output) -> Result<()> {
        if let Some(progress) = progress.filter(|_| self.has_passed && out.checkpoint_due()) {
            self.tap.rejects.sync()?;
            out.checkpoint(progress.bookmark()).await?;
            self.has_passed = false;
        }
        Ok(())
    }

    /// Leaves a bookmark of what was handed over so far.
    async fn stopped(&self, progress: Option<&Progress>, out: &mut Output) -> Result<()> {
        if let Some(progress) = progress {
            self.tap.rejects.sync()?;
            out.checkpoint(progress.bookmark()).await?;
        }
        out.flush().await?;
        Err(Error::interrupted())
    }

    /// Writes the record of a file, or notes why there is none.
    async fn hand_over(
        &mut self,
        hit: &Hit,
        content: Content,
        progress: Option<&Progress>,
        out: &mut Output,
    ) -> Result<()> {
        self.found += 1;
        if progress.is_some_and(|progress| progress.was_sent(hit)) {
            self.known += 1;
            return Ok(());
        }
        let (document, saved) = match &content {
            Content::None => (None, None),
            Content::Json(text) => (Some(text.document()), None),
            Content::Saved(saved) => (None, Some(saved)),
            Content::Missing => {
                self.missing += 1;
                return Ok(());
            }
            Content::Refused(refusal) => return self.refuse(hit, refusal),
            Content::Crowded => {
                return Err(Error::internal("a document that is alone has no room"));
            }
        };
        let source = Document::parse(&hit.source)
            .ok_or_else(|| Error::protocol("the fields of a file are no JSON"))?;
        let fields = match fields(&self.stream, source, document) {
            Err(error) if self.stream.on_failure == OnFailure::Reject => {
                let refusal = Refusal {
                    code: "equal_names",
                    reason: error.message().to_owned(),
                };
                return self.refuse(hit, &refusal);
            }
            fields => fields?,
        };
        match self.writer.fit(&fields)? {
            Fit::Fits => {}
            Fit::Widened => out.schema(&self.writer.schema()).await?,
            Fit::Misfit(reason) => {
                return self.refuse(
                    hit,
                    &Refusal {
                        code: "type_conflict",
                        reason,
                    },
                );
            }
        }
        out.record(|buffer| {
            self.writer.write(buffer, &hit.file_id, &fields, saved);
            Ok(())
        })
        .await
    }

    fn refuse(&mut self, hit: &Hit, refusal: &Refusal) -> Result<()> {
        self.refused += 1;
        self.tap.rejects.add(&self.plan.id, hit, refusal)
    }

    /// One line at the end of a stream.
    fn tell(&self) {
        if self.missing > 0 {
            tracing::warn!(
                stream = self.plan.id,
                files = self.missing,
                "files were deleted between search and retrieve, and are left out"
            );
        }
        tracing::info!(
            stream = self.plan.id,
            found = self.found,
            sent_before = self.known,
            missing = self.missing,
            rejected = self.refused,
            "read"
        );
    }
}

/// What `--check` tries of a stream: the query, and a link to a file that matches.
pub(crate) async fn probe(tap: &Tetra, api: &Api, stream: &Arc<Stream>) -> Result<u64> {
    let query = Query {
        stream: Arc::clone(stream),
        conditions: Vec::new(),
        fields: Some(vec![FILE_ID.to_owned()]),
        counts: Counts::Exactly,
    };
    let size = PageSize::new(1);
    let page = query
        .page(api, &size, crate::pages::Order::Descending, None)
        .await?;
    if stream.retrieve != Retrieve::None
        && let Some(hit) = page.hits.first()
    {
        tap.retriever.probe(stream, hit).await?;
    }
    Ok(page
        .total
        .map_or(page.hits.len() as u64, |total| total.value))
}
