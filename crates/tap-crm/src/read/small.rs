//! Small changes by queries (COQL): in the order of their changes, so that the bookmark moves with every page, and
//! what turns out to be too much is left to a bulk job from there on.

use std::collections::BTreeMap;

use singer_core::value::time::parse_timestamp;
use singer_core::{Error, Result};
use singer_runtime::tap::Output;
use tracing::{info, warn};
use zoho::crm::Spend;
use zoho::{Class, Fault};

use super::progress::Progress;
use super::{Reading, listing};
use crate::api::{QUERY_ROWS, error_of, is_of_stream};
use crate::cell::text_of;
use crate::model::{JsonRow, RowsPage};
use crate::query::{Window, is_name};
use crate::schema::{ID, MODIFIED_TIME};

/// The scopes of a query.
pub(super) const SCOPE: &str = "ZohoCRM.coql.READ` and `ZohoCRM.modules.READ";

const SECOND: i64 = 1_000_000;

/// Ids that a query may name.
const IDS: usize = 100;

/// What a bulk job costs until its file is there: the job itself, some questions, a download.
const BULK_CREDITS: u64 = Spend::BulkRead.cost() + 6;

/// How far queries came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Small {
    /// Everything was read.
    Done,
    /// Everything before this second was read, and the rest is more than queries are good for.
    Until(i64),
    /// Nothing: queries are not permitted, not wanted or not possible.
    No,
}

/// Reads a window with a beginning by queries, as long as that takes fewer credits than a bulk job.
pub(super) async fn read(
    reading: &Reading<'_>,
    window: Window,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<Small> {
    let fields = reading.fields();
    let is_possible = fields.iter().all(|field| is_name(field));
    if reading.tap.config.small_change_rows == 0 || !is_possible {
        return Ok(Small::No);
    }
    if !reading.tap.may_query() {
        return listing::read(reading, window, progress, out).await;
    }
    let mut queries = Queries {
        most: reading.tap.config.query_fields - 2,
        reading,
        window,
        fields,
        rows: 0,
        after: None,
    };
    loop {
        let page = match queries.page().await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Small::No),
            Err(fault) => return queries.refused(fault, progress, out).await,
        };
        let count = page.data.len();
        let has_more = page.info.has_more(count, QUERY_ROWS);
        // The next page would begin behind the last id: what is out of order would be passed over.
        let is_end_ordered = queries.is_end_ordered(&page.data)?;
        let before = queries.rows;
        queries.hand_over(page.data, out).await?;
        progress.seen += queries.rows - before;
        if !has_more {
            info!(
                stream = reading.plan.id,
                rows = queries.rows,
                "changes were read by queries"
            );
            return Ok(Small::Done);
        }
        let Some((second, _)) = &queries.after else {
            return Ok(Small::No);
        };
        let second = *second;
        if progress.done_until < Some(second) {
            progress.done_until = Some(second);
            out.checkpoint(progress.bookmark()).await?;
        }
        reading.interrupted()?;
        if count == 0 || !is_end_ordered {
            warn!(
                stream = reading.plan.id,
                "the pages of a query do not follow upon each other: goes on with a bulk job"
            );
            return Ok(Small::Until(second));
        }
        if queries.is_too_much(second) {
            info!(
                stream = reading.plan.id,
                rows = queries.rows,
                "so many changes take fewer credits by a bulk job: goes on with one"
            );
            return Ok(Small::Until(second));
        }
    }
}

struct Queries<'a> {
    reading: &'a Reading<'a>,
    window: Window,
    /// The fields beside the key.
    fields: Vec<String>,
    /// Of these, so many in one query.
    most: usize,
    /// Rows that were handed over.
    rows: u64,
    /// The last of them.
    after: Option<(i64, String)>,
}

impl Queries<'_> {
    /// The next rows, with the first fields; nothing if the criteria cannot be said in a query.
    async fn page(&self) -> Result<Option<RowsPage>, Fault> {
        let after = self
            .after
            .as_ref()
            .map(|(second, id)| (*second, id.as_str()));
        let condition = self.window.query(self.reading.criteria.as_ref(), after)?;
        let Some(condition) = condition else {
            return Ok(None);
        };
        let module = &self.reading.plan.id;
        let mut names = vec![ID, MODIFIED_TIME];
        let others = self
            .fields
            .iter()
            .map(String::as_str)
            .filter(|name| *name != MODIFIED_TIME);
        names.extend(others.take(self.most));
        let select = format!(
            "select {} from {module} where {condition} order by {MODIFIED_TIME} asc, {ID} asc",
            names.join(", ")
        );
        let what = format!("query the changes of `{module}`");
        self.reading
            .tap
            .api
            .query(&what, &select, QUERY_ROWS)
            .await
            .map(Some)
    }

    /// Whether the rows of the last second stand in the order of their ids, as numbers, which is what the next
    /// page relies on.
    fn is_end_ordered(&self, rows: &[JsonRow]) -> Result<bool> {
        let Some(last) = rows.last() else {
            return Ok(true);
        };
        let end = self.second(last)?;
        let mut before = match &self.after {
            Some((second, id)) if *second == end => id.clone(),
            _ => String::new(),
        };
        for row in rows {
            if self.second(row)? != end {
                continue;
            }
            let id = self.reading.encoder.json_id(row)?;
            if (id.len(), &id) <= (before.len(), &before) {
                return Ok(false);
            }
            before = id;
        }
        Ok(true)
    }

    /// Emits rows, with the fields that did not fit into their query.
    async fn hand_over(&mut self, rows: Vec<JsonRow>, out: &mut Output) -> Result<()> {
        let encoder = &self.reading.encoder;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        let end = self.second(last)?;
        let mut before = self.after.as_ref().map_or(i64::MIN, |(second, _)| *second);
        for row in &rows {
            // The bookmark moves by these times, so their order is not taken on trust.
            let second = self.second(row)?;
            if second < before {
                return Err(Error::protocol(format!(
                    "the rows of a query on `{}` are not in the order that was asked for",
                    self.reading.plan.id
                ))
                .with_hint("`small_change_rows` of 0 does without queries"));
            }
            before = second;
        }
        self.after = Some((end, encoder.json_id(last)?));
        let others = self.fields.iter().filter(|name| *name != MODIFIED_TIME);
        let rest: Vec<String> = others.skip(self.most).cloned().collect();
        let rows = if rest.is_empty() {
            rows
        } else {
            self.completed(rows, &rest).await?
        };
        for row in &rows {
            out.record(|buffer| encoder.write_json(buffer, row, &self.fields))
                .await?;
        }
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// Rows with further fields. One that is gone by now comes as a deletion; one that was changed by now comes once more.
    async fn completed(&self, rows: Vec<JsonRow>, rest: &[String]) -> Result<Vec<JsonRow>> {
        let encoder = &self.reading.encoder;
        let module = &self.reading.plan.id;
        let what = format!("query further fields of `{module}`");
        let mut by_id: BTreeMap<String, JsonRow> = BTreeMap::new();
        let mut ids = Vec::new();
        for row in rows {
            let id = encoder.json_id(&row)?;
            ids.push(id.clone());
            by_id.insert(id, row);
        }
        for some in ids.chunks(IDS) {
            for names in rest.chunks(self.most + 1) {
                let select = format!(
                    "select {ID}, {} from {module} where {ID} in ({})",
                    names.join(", "),
                    some.join(", ")
                );
                let limit = u32::try_from(some.len()).unwrap_or(QUERY_ROWS);
                let page = self.reading.tap.api.query(&what, &select, limit).await;
                let page = page.map_err(|fault| error_of(fault, &what, SCOPE))?;
                let mut found = Vec::new();
                for row in page.data {
                    let id = encoder.json_id(&row)?;
                    if let Some(known) = by_id.get_mut(&id) {
                        known.extend(row);
                    }
                    found.push(id);
                }
                for id in some.iter().filter(|id| !found.contains(id)) {
                    by_id.remove(id);
                }
            }
        }
        Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    fn second(&self, row: &JsonRow) -> Result<i64> {
        second_of(row).ok_or_else(|| {
            Error::protocol(format!(
                "a row of `{}` that was asked for by `{MODIFIED_TIME}` comes without it",
                self.reading.plan.id
            ))
        })
    }

    /// Whether the rest of the window would take more credits by queries than by a bulk job. How much there is
    /// is guessed from how much of the window the rows so far cover.
    fn is_too_much(&self, second: i64) -> bool {
        if self.rows >= self.reading.tap.config.small_change_rows {
            return true;
        }
        let (Some(from), Some(to)) = (self.window.from, self.window.to) else {
            return false;
        };
        // A few rows tell nothing of the rest.
        if self.rows < u64::from(QUERY_ROWS) {
            return false;
        }
        let covered = u64::try_from(second - from).unwrap_or_default().max(1);
        let left = u64::try_from(to - second).unwrap_or_default();
        let rest = u128::from(self.rows) * u128::from(left) / u128::from(covered);
        let parts = self
            .fields
            .len()
            .saturating_sub(self.most)
            .div_ceil(self.most) as u64;
        credits(u64::try_from(rest).unwrap_or(u64::MAX), parts) > BULK_CREDITS
    }

    /// A module or a field that queries do not take is read in bulk; without the scope, listings are tried.
    async fn refused(
        &self,
        fault: Fault,
        progress: &mut Progress,
        out: &mut Output,
    ) -> Result<Small> {
        let reading = self.reading;
        let is_denied = fault.class == Class::Denied && !is_of_stream(&fault);
        let is_refused = is_denied
            || fault.class == Class::Data
            || (fault.class == Class::Fatal && fault.source.is_none())
            || is_of_stream(&fault);
        let error = error_of(fault, &format!("query `{}`", reading.plan.id), SCOPE);
        if !is_refused {
            return Err(error);
        }
        warn!(
            stream = reading.plan.id,
            reason = %error,
            scope = "ZohoCRM.coql.READ",
            "goes on without queries: small changes take a bulk job, and more credits"
        );
        if is_denied {
            reading.tap.stop_querying();
        }
        match &self.after {
            Some((second, _)) => Ok(Small::Until(*second)),
            None if is_denied => listing::read(reading, self.window, progress, out).await,
            None => Ok(Small::No),
        }
    }
}

/// When a row was changed last.
pub(super) fn second_of(row: &JsonRow) -> Option<i64> {
    let text = row.get(MODIFIED_TIME).and_then(|value| text_of(value))?;
    Some(parse_timestamp(&text)?.div_euclid(SECOND))
}

/// What queries of so many rows cost, with so many further parts of fields.
pub(super) fn credits(rows: u64, parts: u64) -> u64 {
    let pages = rows.div_ceil(u64::from(QUERY_ROWS));
    let further = rows.div_ceil(IDS as u64).saturating_mul(parts);
    pages
        .saturating_mul(Spend::Coql(QUERY_ROWS).cost())
        .saturating_add(further)
}
