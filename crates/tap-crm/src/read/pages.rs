//! A window by the pages of bulk reads: the jobs of a page are at work while the page before it is read, and each
//! page needs the token of the one before.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use singer_core::{Error, Kind, Result};
use singer_runtime::tap::Output;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Reading;
use super::progress::{PartPlace, Place, Progress};
use crate::api::ReadQuery;
use crate::bulk::{NoPage, PageRequest, Ready};
use crate::join::{Joiner, Part};
use crate::query::Window;
use crate::rows;

/// How long a wait for a page may be without a STATE, which holds the ids of the jobs.
const STATE_EVERY: Duration = Duration::from_secs(10);

/// How often a window is begun anew because its tokens are no longer good.
const RESTARTS: u32 = 2;

/// Reads all pages of a window, from the first that is not done. Its place in them is no longer in the bookmark
/// afterwards.
///
/// # Errors
/// [`NoPage::Criteria`] if the service takes no criteria on the time of a change.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<(), NoPage> {
    let mut restarts = 0;
    loop {
        if progress
            .place
            .as_ref()
            .is_none_or(|place| place.window != window)
        {
            let now = reading.tap.context.now().timestamp();
            progress.place = Some(Place::first(window, parts(reading), now));
        }
        let stale = match all_pages(reading, progress, out).await {
            Err(NoPage::Token(stale)) if restarts < RESTARTS => stale,
            Err(error) => return Err(keep_jobs(error, progress, out).await),
            Ok(()) => {
                progress.forget_place();
                return Ok(());
            }
        };
        restarts += 1;
        warn!(stream = reading.plan.id, reason = %stale, "the pages are read anew from the first");
        progress.forget_place();
    }
}

/// The selected fields in as many parts as jobs are needed.
fn parts(reading: &Reading<'_>) -> Vec<Vec<String>> {
    let fields = reading.fields();
    if fields.is_empty() {
        return vec![Vec::new()];
    }
    // The key goes with every part.
    let most = reading.tap.config.bulk_fields - 1;
    fields.chunks(most).map(<[String]>::to_vec).collect()
}

/// Has the state name the jobs that were created, so that the next run takes them up, where an error may pass by then.
async fn keep_jobs(error: NoPage, progress: &Progress, out: &mut Output) -> NoPage {
    let NoPage::Error(inner) = &error else {
        return error;
    };
    if matches!(
        inner.kind(),
        Kind::Transient | Kind::RateLimited | Kind::Interrupted
    ) && let Err(other) = out.checkpoint(progress.bookmark()).await
        && inner.kind() != Kind::Interrupted
    {
        return other.into();
    }
    error
}

/// Jobs on their way, which are given up with whoever waits for them.
struct Task {
    part: usize,
    request: PageRequest,
    handle: JoinHandle<Result<Ready, NoPage>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn all_pages(
    reading: &Reading<'_>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<(), NoPage> {
    let place = place_of(progress)?;
    let mut joiner = (place.parts.len() > 1)
        .then(|| Joiner::new(Arc::clone(&reading.encoder), place.parts.len()));
    let mut tasks = begin(reading, place)?;
    loop {
        let mut ready = wait(reading, std::mem::take(&mut tasks), progress, out).await?;
        // A job that is made anew for its file cuts other pages: what follows is known only when the file is there.
        for one in &mut ready {
            one.file = reading.tap.bulk.file(&one.request, &mut one.ready).await?;
        }
        note_refused(reading, progress, &ready)?;
        let next = following(reading, place_of(progress)?, &ready);
        if let Some(next) = &next {
            tasks = begin(reading, next)?;
        }
        let rows = match &mut joiner {
            Some(joiner) => joined(reading, joiner, ready, progress, out).await?,
            None => single(reading, ready, progress, out).await?,
        };
        progress.seen += rows;
        let page = place_of(progress)?.page;
        info!(
            stream = reading.plan.id,
            page,
            rows,
            has_more = next.is_some(),
            "page"
        );
        let Some(mut next) = next else { break };
        next.rows = place_of(progress)?.rows + rows;
        // Rows that wait for a partner on the next page would be lost to a later run that began there.
        let is_even = joiner.as_ref().is_none_or(Joiner::is_even);
        let before = progress.place.replace(next);
        if is_even {
            progress.even_place = None;
            out.checkpoint(progress.bookmark()).await?;
        } else {
            progress.even_place = progress.even_place.take().or(before);
            reading.interrupted()?;
        }
    }
    if let Some(waiting) = joiner
        .map(|joiner| joiner.waiting())
        .filter(|rows| *rows > 0)
    {
        warn!(
            stream = reading.plan.id,
            rows = waiting,
            "left out: records that were changed or deleted while the parts of their fields were read; changed ones come with the next incremental read"
        );
    }
    Ok(())
}

fn place_of(progress: &Progress) -> Result<&Place> {
    let place = progress.place.as_ref();
    place.ok_or_else(|| Error::internal("no window is being read"))
}

/// Has the jobs of a page made, one for each part of the fields that has such a page.
fn begin(reading: &Reading<'_>, place: &Place) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for (part, at) in place.parts.iter().enumerate() {
        if at.is_done {
            continue;
        }
        let request = PageRequest {
            module: reading.plan.id.clone(),
            page: place.page,
            query: query(reading, place.window, at)?,
            note: at.job.clone(),
        };
        let handle = tokio::spawn({
            let (bulk, request) = (Arc::clone(&reading.tap.bulk), request.clone());
            async move { bulk.ready(request).await }
        });
        tasks.push(Task {
            part,
            request,
            handle,
        });
    }
    Ok(tasks)
}

fn query(reading: &Reading<'_>, window: Window, part: &PartPlace) -> Result<ReadQuery> {
    Ok(match &part.token {
        Some(token) => ReadQuery::Token(token.clone()),
        None => {
            let mut fields = vec![crate::schema::ID.to_owned()];
            fields.extend(part.fields.iter().cloned());
            ReadQuery::First {
                module: reading.plan.id.clone(),
                fields,
                criteria: window.criteria(reading.criteria.as_ref())?,
            }
        }
    })
}

/// A page of one part that is ready.
struct Arrived {
    part: usize,
    request: PageRequest,
    ready: Ready,
    /// Its file; nothing if it is empty.
    file: Option<File>,
}

/// Waits for the jobs of a page, with a STATE from time to time.
async fn wait(
    reading: &Reading<'_>,
    tasks: Vec<Task>,
    progress: &Progress,
    out: &mut Output,
) -> Result<Vec<Arrived>, NoPage> {
    out.flush().await?;
    let mut arrived = Vec::new();
    for mut task in tasks {
        let ready = loop {
            tokio::select! {
                biased;
                joined = &mut task.handle => {
                    let ready = joined.map_err(|error| {
                        Error::internal("the task of a bulk job died").with_source(error)
                    })?;
                    break ready?;
                }
                () = reading.tap.context.stop().wait() => return Err(Error::interrupted().into()),
                () = tokio::time::sleep(STATE_EVERY) => out.checkpoint(progress.bookmark()).await?,
            }
        };
        arrived.push(Arrived {
            part: task.part,
            request: task.request.clone(),
            ready,
            file: None,
        });
    }
    Ok(arrived)
}

/// Remembers fields that were refused, for this window and for the rest of the run.
fn note_refused(reading: &Reading<'_>, progress: &mut Progress, arrived: &[Arrived]) -> Result<()> {
    for one in arrived.iter().filter(|one| !one.ready.refused.is_empty()) {
        reading.tap.refuse(&reading.plan.id, &one.ready.refused);
        let place = progress.place.as_mut();
        let place = place.ok_or_else(|| Error::internal("no window is being read"))?;
        if let Some(part) = place.parts.get_mut(one.part) {
            part.fields
                .retain(|field| !one.ready.refused.contains(field));
        }
    }
    Ok(())
}

/// The place of the next page; nothing behind the last one.
fn following(reading: &Reading<'_>, place: &Place, arrived: &[Arrived]) -> Option<Place> {
    let mut next = place.clone();
    next.page += 1;
    next.at = reading.tap.context.now().timestamp();
    for (index, part) in next.parts.iter_mut().enumerate() {
        let ready = arrived
            .iter()
            .find(|one| one.part == index)
            .map(|one| &one.ready);
        part.token = ready.and_then(|ready| ready.next.clone());
        part.is_done = part.token.is_none();
        part.job = Default::default();
    }
    next.parts.iter().any(|part| !part.is_done).then_some(next)
}

/// Emits the one file of a page, which must hold as many rows as the service says.
async fn single(
    reading: &Reading<'_>,
    arrived: Vec<Arrived>,
    progress: &Progress,
    out: &mut Output,
) -> Result<u64, NoPage> {
    let mut rows = 0;
    for mut one in arrived {
        let bulk = &reading.tap.bulk;
        let Some(mut file) = one.file.take() else {
            continue;
        };
        let wanted = &place_of(progress)?.parts[one.part].fields;
        for is_last in [false, true] {
            let emitted = rows::emit(
                file,
                Arc::clone(&reading.encoder),
                wanted.clone(),
                whose(reading, progress),
                out,
                || progress.bookmark(),
            );
            rows = emitted.await?;
            if one.ready.count.is_none_or(|count| count == rows) {
                break;
            }
            wrong_count(reading, &one, rows, is_last)?;
            file = bulk.again(&one.request, &one.ready.job).await?;
        }
    }
    Ok(rows)
}

/// Emits the joined files of a page.
async fn joined(
    reading: &Reading<'_>,
    joiner: &mut Joiner,
    mut arrived: Vec<Arrived>,
    progress: &Progress,
    out: &mut Output,
) -> Result<u64, NoPage> {
    let bulk = &reading.tap.bulk;
    let mut parts: Vec<Part> = place_of(progress)?
        .parts
        .iter()
        .map(|part| Part {
            file: None,
            wanted: part.fields.clone(),
        })
        .collect();
    for one in &mut arrived {
        parts[one.part].file = one.file.take();
    }
    let empty = Joiner::new(Arc::clone(&reading.encoder), parts.len());
    let mut working = std::mem::replace(joiner, empty);
    let folder = bulk.folder();
    let place = whose(reading, progress);
    let work = move |blocks: &mut singer_runtime::tap::Blocks| {
        let counts = working
            .page(parts, &folder, blocks)
            .map_err(|error| match error.kind() {
                Kind::Interrupted => error,
                _ => error.at(place),
            })?;
        Ok((working, counts))
    };
    let (working, counts) = out.from_thread(work, || progress.bookmark()).await?;
    *joiner = working;
    for one in &arrived {
        let rows = counts.get(one.part).copied().unwrap_or_default();
        if one.ready.count.is_some_and(|count| count != rows) {
            wrong_count(reading, one, rows, true)?;
        }
    }
    Ok(counts.first().copied().unwrap_or_default())
}

fn whose(reading: &Reading<'_>, progress: &Progress) -> String {
    let page = progress.place.as_ref().map_or(0, |place| place.page);
    format!("page {page} of `{}`", reading.plan.id)
}

fn wrong_count(reading: &Reading<'_>, one: &Arrived, rows: u64, is_last: bool) -> Result<()> {
    let count = one.ready.count.unwrap_or_default();
    if is_last {
        return Err(Error::protocol(format!(
            "the file of page {} of `{}` has {rows} rows, and the service says {count}",
            one.request.page, reading.plan.id
        )));
    }
    warn!(
        stream = reading.plan.id,
        page = one.request.page,
        rows,
        count,
        "the file does not hold as many rows as the service says: downloading it once more"
    );
    Ok(())
}
