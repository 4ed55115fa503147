//! Deletions: the service lists them for a while, with their times.

use singer_core::Result;
use singer_core::value::time::parse_timestamp;
use singer_runtime::tap::Output;
use tracing::{info, warn};

use super::Reading;
use super::progress::Progress;
use crate::api::{PAGE_ROWS, error_of, is_of_stream};
use crate::query::{Window, time_text};
use crate::record::write_deletion;
use crate::schema::DELETED_AT;

const SECOND: i64 = 1_000_000;

/// How long a record stays in the recycle bin, and so in the list, before it is deleted for good.
const KEPT_SECONDS: i64 = 60 * 86_400;

/// Emits the deletions of a window; of those before the first read nobody has heard. What is told is the
/// whole past since the last time, as a deletion does not depend on when its record was changed.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<()> {
    let wants = reading.tap.config.include_deleted
        && reading.plan.fields.iter().any(|field| field == DELETED_AT);
    let Some(to) = window.to.filter(|_| wants) else {
        return Ok(());
    };
    // Records that a first read does not see any more were never handed over.
    let since = match (
        progress.deleted_until,
        reading.plan.bookmark.get("replication_key_value"),
    ) {
        (Some(since), _) => since,
        (None, Some(value)) if !value.is_null() => window.from.unwrap_or(to),
        _ => {
            progress.deleted_until = Some(to);
            return Ok(());
        }
    };
    if since >= to {
        return Ok(());
    }
    if reading.tap.context.now().timestamp() - since > KEPT_SECONDS {
        warn!(
            stream = reading.plan.id,
            "deletions are listed for 60 days, and the last read is longer ago: some may be unknown; read the module once as FULL_TABLE"
        );
    }
    let Some(rows) = pages(reading, (since, to), out).await? else {
        // Once they are permitted, they are told from here.
        progress.deleted_until = Some(since);
        return Ok(());
    };
    if rows > 0 {
        info!(stream = reading.plan.id, rows, "deleted records");
    }
    progress.deleted_until = Some(to);
    Ok(())
}

/// Emits what was deleted between two seconds; nothing if the service does not tell.
async fn pages(
    reading: &Reading<'_>,
    (since, to): (i64, i64),
    out: &mut Output,
) -> Result<Option<u64>> {
    let module = &reading.plan.id;
    let what = format!("list the deleted records of `{module}`");
    let since_text = time_text(since)?;
    let (mut page, mut rows) = (1, 0);
    loop {
        reading.interrupted()?;
        let answer = reading
            .tap
            .api
            .deleted(&what, module, &since_text, page)
            .await;
        let listed = match answer {
            Err(fault) if is_of_stream(&fault) => {
                warn!(stream = module, reason = %fault, "deletions of this module are not told");
                return Ok(None);
            }
            other => other.map_err(|fault| error_of(fault, &what, "ZohoCRM.modules.READ"))?,
        };
        for one in &listed.data {
            let time = one.deleted_time.as_deref().and_then(parse_timestamp);
            let second = time.map(|time| time.div_euclid(SECOND));
            // The header may not be heeded; what is later comes with the next window.
            if second.is_some_and(|second| second < since || second >= to) {
                continue;
            }
            let at = time.unwrap_or_else(|| reading.tap.context.now().timestamp_micros());
            let is_id = !one.id.is_empty() && one.id.bytes().all(|byte| byte.is_ascii_digit());
            if is_id {
                rows += 1;
                out.record(|buffer| {
                    write_deletion(buffer, &one.id, at);
                    Ok(())
                })
                .await?;
            }
        }
        let rows_of_page = listed.data.len();
        if !listed.info.has_more(rows_of_page, PAGE_ROWS) || rows_of_page == 0 {
            return Ok(Some(rows));
        }
        page += 1;
    }
}
