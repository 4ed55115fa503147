//! Tiny changes by listings of records, for tokens that may not query: 200 records a credit, 2,000 at most.

use singer_core::Result;
use singer_runtime::tap::Output;
use tracing::info;

use super::Reading;
use super::progress::Progress;
use super::small::{Small, second_of};
use crate::api::{PAGE_ROWS, error_of, is_of_stream};
use crate::query::{Window, time_text};
use crate::schema::MODIFIED_TIME;

/// Fields that a listing takes.
const MOST_FIELDS: usize = 50;

/// Pages that are still cheaper than a bulk job.
const MOST_PAGES: u32 = 10;

/// Reads a window with a beginning by listings, if there are neither criteria nor more fields than they take.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<Small> {
    let (Some(from), Some(to)) = (window.from, window.to) else {
        return Ok(Small::No);
    };
    let fields = reading.fields();
    let mut names = fields.clone();
    if !names.iter().any(|name| name == MODIFIED_TIME) {
        names.push(MODIFIED_TIME.to_owned());
    }
    let has_parents = names.iter().any(|name| name.contains('.'));
    if reading.criteria.is_some() || names.len() > MOST_FIELDS || has_parents {
        return Ok(Small::No);
    }
    let what = format!("list the changes of `{}`", reading.plan.id);
    let (names, since) = (names.join(","), time_text(from)?);
    let (mut token, mut rows, mut last) = (None, 0_u64, None);
    for _ in 0..MOST_PAGES {
        let api = &reading.tap.api;
        let page = api
            .records(&what, &reading.plan.id, &names, &since, token.as_deref())
            .await;
        let page = match page {
            Err(fault) if is_of_stream(&fault) => return Ok(Small::No),
            other => other.map_err(|fault| error_of(fault, &what, "ZohoCRM.modules.READ"))?,
        };
        for row in &page.data {
            let Some(second) = second_of(row) else {
                return Ok(Small::No);
            };
            if last.is_some_and(|last| second < last) {
                // Without their order nobody knows what is still to come; what was emitted comes again.
                return Ok(Small::No);
            }
            last = Some(second);
            // What is later comes with the next window.
            if second >= from && second < to {
                rows += 1;
                progress.seen += 1;
                out.record(|buffer| reading.encoder.write_json(buffer, row, &fields))
                    .await?;
            }
        }
        let has_more = page.info.has_more(page.data.len(), PAGE_ROWS);
        token = page.info.next_page_token;
        if !has_more || last.is_some_and(|last| last >= to) {
            info!(
                stream = reading.plan.id,
                rows, "changes were read by listings"
            );
            return Ok(Small::Done);
        }
        if token.is_none() {
            // There is more, and nothing says how to ask for it.
            break;
        }
        reading.interrupted()?;
    }
    info!(
        stream = reading.plan.id,
        rows,
        limit = MOST_PAGES * PAGE_ROWS,
        "listings do not reach the other changes, or no longer for fewer credits: goes on with a bulk job"
    );
    // In the order of their changes, so everything before the last is done.
    let Some(last) = last.filter(|last| *last > from) else {
        return Ok(Small::No);
    };
    progress.done_until = Some(last);
    out.checkpoint(progress.bookmark()).await?;
    Ok(Small::Until(last))
}
