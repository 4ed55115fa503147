//! A table by pages of bulk read: jobs at work side by side, rows handed over in the order of the pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use singer_core::{Error, Kind, Result};
use singer_runtime::tap::Output;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Reading;
use super::bounds::{Style, Window};
use super::progress::Progress;
use super::query;
use crate::bulk::{NoPage, Page, PageRequest};
use crate::rows::{self, Tally};

/// How long a wait for a page may be without a STATE, which holds the ids of the jobs.
const STATE_EVERY: Duration = Duration::from_secs(10);

/// How often a table whose pages shifted is read.
const PASSES: u32 = 3;

/// Queries that a table may take whose pages do not come to rest.
const MOST_QUERIES: u64 = 5000;

/// Reads all pages of a window, from the first that is not done.
///
/// # Errors
/// [`NoPage::Criteria`] if the service takes no criteria at all for a window with a lower bound.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<(), NoPage> {
    progress.by_pages = true;
    let mut pass = 1;
    loop {
        let style = pages(reading, window, progress, out).await?;
        let Some(now) = shifted(reading, window, style, progress).await? else {
            return Ok(());
        };
        if pass == PASSES {
            return Ok(by_queries(reading, window, now, progress, out).await?);
        }
        pass += 1;
        warn!(
            stream = reading.plan.id,
            rows = progress.rows,
            before = progress.expected,
            after = now,
            pass,
            "rows went while the pages were read, so that others may have moved between them: reading again"
        );
        progress.restart(Some(now));
    }
}

/// How many rows there are now, if the pages may lack some of them. Without permission to count there is
/// nothing to compare.
async fn shifted(
    reading: &Reading<'_>,
    window: Window,
    style: Style,
    progress: &Progress,
) -> Result<Option<u64>> {
    let Some(before) = progress.expected else {
        return Ok(None);
    };
    // One job is one look at the table: nothing can have shifted, unless the service keeps something back.
    let is_one = progress.pages_done <= 1;
    if is_one && progress.rows >= before {
        return Ok(None);
    }
    let now = reading.count(&window, style).await?;
    Ok(now.filter(|now| !is_whole(style, is_one, (before, *now), progress.rows)))
}

/// Whether pages hold as many rows as the table had before and after. Without an upper bound there may be more.
fn is_whole(style: Style, is_one: bool, (before, after): (u64, u64), rows: u64) -> bool {
    match style {
        _ if is_one => rows >= before.min(after),
        Style::Both(_) => rows == before && before == after,
        Style::LowerOnly(_) | Style::Local => rows >= before && after >= before,
    }
}

/// Reads a table that changes too fast to be read by pages: queries go by the ids of rows, which nothing shifts.
async fn by_queries(
    reading: &Reading<'_>,
    window: Window,
    rows: u64,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    // How pages are told their bounds is no affair of queries.
    let counted = reading.count(&window, Style::FIRST).await?;
    let rows = counted.unwrap_or(rows);
    let calls = query::calls(rows, reading.encoder.columns().len());
    if !reading.tap.may_query() || calls > MOST_QUERIES {
        return Err(Error::transient(format!(
            "`{}` changed each of {PASSES} times while it was read: rows may be missing",
            reading.table.name
        ))
        .with_hint("rows went while its pages were read; run at a quieter time"));
    }
    warn!(
        stream = reading.plan.id,
        rows, calls, "the table changes too fast to be read by pages, and is read by queries"
    );
    progress.by_pages = false;
    query::read(reading, window, rows, progress, out).await
}

/// Reads the pages in the first style that the service takes.
async fn pages(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<Style, NoPage> {
    loop {
        let style = reading.tap.style();
        let refused = match one_pass(reading, window, style, progress, out).await {
            Err(NoPage::Criteria(refused)) => refused,
            Err(error) => return Err(error),
            Ok(()) => return Ok(style),
        };
        let Some(next) = style.next() else {
            return Err(NoPage::Error(refused));
        };
        info!(
            stream = reading.plan.id,
            refused = style.words(),
            next = next.words(),
            "the service does not take these criteria"
        );
        reading.tap.set_style(next);
        // Another set of rows has other pages.
        progress.restart(reading.count(&window, next).await?);
        if next == Style::Local && window.lower.is_some() {
            return Err(NoPage::Criteria(refused));
        }
    }
}

/// A job on its way, which is given up with whoever waits for it.
struct Task(JoinHandle<Result<Page, NoPage>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pages on their way, side by side, and taken in order.
pub(super) struct Queue<'a> {
    reading: &'a Reading<'a>,
    template: PageRequest,
    tasks: VecDeque<(PageRequest, Task)>,
    /// The next page that is asked for.
    next: u32,
    /// The last page that is asked for before the one ahead of it says that there are more.
    planned: u32,
}

impl<'a> Queue<'a> {
    /// The pages of a table from `first` on, if it has about `rows` rows.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        template: PageRequest,
        first: u32,
        rows: Option<u64>,
    ) -> Self {
        let size = reading.tap.config.page_size;
        let pages = rows.map_or(1, |rows| rows.div_ceil(size));
        Self {
            reading,
            template,
            tasks: VecDeque::new(),
            next: first,
            planned: u32::try_from(pages).unwrap_or(u32::MAX),
        }
    }

    /// The next page, with a STATE of `bookmark` from time to time while it is waited for.
    pub(super) async fn next(
        &mut self,
        out: &mut Output,
        bookmark: impl Fn() -> Option<Map<String, Value>>,
    ) -> Result<(PageRequest, Page), NoPage> {
        self.submit();
        let Some((request, mut task)) = self.tasks.pop_front() else {
            return Err(Error::internal("no page is on its way").into());
        };
        out.flush().await?;
        loop {
            tokio::select! {
                biased;
                joined = &mut task.0 => {
                    let page = joined.map_err(|error| {
                        Error::internal("the task of a bulk job died").with_source(error)
                    })?;
                    return Ok((request, page?));
                }
                () = self.reading.tap.context.stop().wait() => return Err(Error::interrupted().into()),
                () = tokio::time::sleep(STATE_EVERY) => {
                    if let Some(bookmark) = bookmark() {
                        out.checkpoint(bookmark).await?;
                    }
                }
            }
        }
    }

    /// Has as many jobs at work as there may be.
    fn submit(&mut self) {
        let width = self.reading.tap.config.parallel_jobs;
        while self.tasks.is_empty() || (self.tasks.len() < width && self.next <= self.planned) {
            let request = PageRequest {
                page: self.next,
                ..self.template.clone()
            };
            let task = tokio::spawn({
                let (bulk, request) = (Arc::clone(&self.reading.tap.bulk), request.clone());
                async move { bulk.page(&request).await }
            });
            self.tasks.push_back((request, Task(task)));
            self.next += 1;
        }
    }
}

async fn one_pass(
    reading: &Reading<'_>,
    window: Window,
    style: Style,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<(), NoPage> {
    let template = PageRequest {
        table: reading.table.id.clone(),
        name: reading.table.name.clone(),
        page: 0,
        columns: reading.encoder.columns().into(),
        criteria: window.criteria(style, &reading.zone)?.into(),
        jobs: progress.jobs.clone(),
    };
    if progress.has_last {
        return Ok(());
    }
    let first = progress.pages_done + 1;
    let mut queue = Queue::new(reading, template, first, progress.expected);
    loop {
        let arrived = queue.next(out, || Some(progress.bookmark())).await;
        let (request, page) = match arrived {
            Ok(arrived) => arrived,
            Err(error) => return Err(keep_jobs(error, progress, out).await),
        };
        let said = page.has_more;
        let tally = hand_over(reading, &request, page, window, progress, out).await?;
        let has_more = said.unwrap_or(tally.rows >= reading.tap.config.page_size);
        progress.pages_done = request.page;
        progress.has_last = !has_more;
        progress.rows += tally.rows;
        progress.newest = progress.newest.max(tally.newest);
        info!(
            stream = reading.plan.id,
            page = request.page,
            rows = tally.rows,
            has_more,
            "page"
        );
        if !has_more {
            return Ok(());
        }
        out.checkpoint(progress.bookmark()).await?;
    }
}

/// Has the state name the jobs that were submitted, so that the next run takes them up, where an error may
/// pass by then.
async fn keep_jobs(error: NoPage, progress: &Progress, out: &mut Output) -> NoPage {
    let NoPage::Error(inner) = &error else {
        return error;
    };
    let may_pass = matches!(
        inner.kind(),
        Kind::Transient | Kind::RateLimited | Kind::Interrupted
    );
    if may_pass && let Err(worse) = out.checkpoint(progress.bookmark()).await {
        return worse.into();
    }
    error
}

/// Emits the rows of a page. A file that is damaged, or holds another number of rows than the service says,
/// is fetched once more, and all its rows are emitted again.
async fn hand_over(
    reading: &Reading<'_>,
    request: &PageRequest,
    page: Page,
    window: Window,
    progress: &Progress,
    out: &mut Output,
) -> Result<Tally> {
    let Page {
        job,
        rows,
        mut file,
        ..
    } = page;
    let mut is_second = false;
    while let Some(archive) = file.take() {
        let encoder = reading.encoder.clone();
        let read = rows::emit(archive, encoder, window.lower, out, || progress.bookmark()).await;
        let problem = match read {
            Ok(tally) if rows.is_none_or(|rows| rows == tally.rows) => return Ok(tally),
            Ok(tally) => Error::protocol(format!(
                "{} rows were processed, and the file holds {}",
                rows.unwrap_or_default(),
                tally.rows
            )),
            Err(error) if error.kind() == Kind::Protocol => error,
            Err(error) => return Err(error),
        };
        if is_second {
            return Err(Error::protocol(format!(
                "cannot use the file of page {} of `{}`",
                request.page, reading.table.name
            ))
            .with_source(problem));
        }
        is_second = true;
        warn!(
            stream = reading.plan.id,
            page = request.page,
            reason = %problem,
            "the file is fetched again"
        );
        reading.interrupted()?;
        file = Some(reading.tap.bulk.again(request, &job).await?);
    }
    Ok(Tally::default())
}
