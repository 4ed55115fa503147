//! Pages of a search, fetched ahead of whoever reads them, in the order of `indexedAt` and `fileId`.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use singer_core::{Error, Result};
use tokio::sync::mpsc;

use crate::api::{Api, Search};
use crate::config::Stream;
use crate::model::{FILE_ID, Hit, INDEXED_AT, Page};
use crate::page_size::PageSize;
use crate::window::instant_of;

/// Pages that wait to be read. With the one that is read and the one under way there are three at most.
const WAITING_PAGES: usize = 1;

/// In which order hits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The oldest first: the only one in which windows are read.
    Ascending,
    /// The newest first, for samples.
    Descending,
}

/// Whether the engine counts all hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// As far as it likes.
    AsItLikes,
    /// To the last.
    Exactly,
}

/// A search of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// The stream.
    pub(crate) stream: Arc<Stream>,
    /// What files must meet beside the stream's own query.
    pub(crate) conditions: Vec<Value>,
    /// The fields to ask for; all if there is no list.
    pub(crate) fields: Option<Vec<String>>,
    /// Whether the number of all hits is asked for.
    pub(crate) counts: Counts,
}

impl Query {
    /// The search body.
    pub(crate) fn body(&self, size: u64, order: Order, after: Option<&[Value]>) -> Value {
        let mut filter = vec![self.stream.filter.clone()];
        filter.extend(self.conditions.iter().cloned());
        let mut body = Map::new();
        body.insert("size".to_owned(), size.into());
        if self.counts == Counts::Exactly {
            body.insert("track_total_hits".to_owned(), true.into());
        }
        body.insert("query".to_owned(), json!({"bool": {"filter": filter}}));
        if let Some(fields) = &self.fields {
            body.insert("_source".to_owned(), json!(fields));
        }
        let by_time = match order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        body.insert(
            "sort".to_owned(),
            json!([{INDEXED_AT: by_time}, {FILE_ID: "asc"}]),
        );
        if let Some(after) = after {
            body.insert("search_after".to_owned(), json!(after));
        }
        body.into()
    }

    /// One page.
    ///
    /// # Errors
    /// As [`Api::search`].
    pub(crate) async fn page(
        &self,
        api: &Api,
        size: &PageSize,
        order: Order,
        after: Option<&[Value]>,
    ) -> Result<Page> {
        let search = Search {
            stream: &self.stream.name,
            indices: &self.stream.indices,
            size,
        };
        api.search(search, |size| self.body(size, order, after))
            .await
    }
}

/// Pages as they come.
#[derive(Debug)]
pub(crate) struct Pages {
    receiver: mpsc::Receiver<Result<Vec<Hit>>>,
}

impl Pages {
    /// Begins to fetch, behind the hit with the sort value `after` if there is one.
    pub(crate) fn open(api: Api, query: Query, after: Option<Vec<Value>>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_PAGES);
        tokio::spawn(async move {
            if let Err(error) = fetch(&api, &query, after, &sender).await
                && sender.send(Err(error)).await.is_err()
            {
                // Nobody reads any more, so that nobody misses the error.
            }
        });
        Self { receiver }
    }

    /// The next page with hits; nothing at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// Of kind `Protocol` if the service goes round in circles, else as [`Api::search`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Hit>>> {
        self.receiver.recv().await.transpose()
    }
}

async fn fetch(
    api: &Api,
    query: &Query,
    mut after: Option<Vec<Value>>,
    sender: &mpsc::Sender<Result<Vec<Hit>>>,
) -> Result<()> {
    let size = PageSize::new(query.stream.page_size);
    loop {
        let page = query
            .page(api, &size, Order::Ascending, after.as_deref())
            .await?;
        let Some(last) = page.hits.last() else {
            return Ok(());
        };
        check_advance(&query.stream.name, after.as_deref(), &page.hits)?;
        after = Some(last.sort.clone());
        // Only an empty page is the end. A short one may come from something on the way that gives less than was
        // asked for, and the total shrinks while files that were read already are indexed again.
        if sender.send(Ok(page.hits)).await.is_err() {
            return Ok(());
        }
    }
}

/// A page must lie behind the one before it, and its hits in order; else the search would go on for ever, or leave
/// something out.
fn check_advance(stream: &str, after: Option<&[Value]>, hits: &[Hit]) -> Result<()> {
    let wrong = |what: &str| {
        Error::protocol(format!("the search of the stream `{stream}` {what}")).with_hint(
            "nothing of that page was taken; a search must be sorted by `indexedAt` and `fileId` and go on behind `search_after`",
        )
    };
    let mut before = after;
    for (index, hit) in hits.iter().enumerate() {
        if hit.sort.len() < 2 {
            return Err(wrong("has hits without a sort value"));
        }
        if let Some(before) = before {
            let is_back = precedes(&hit.sort, before);
            if is_back || (index == 0 && hit.sort == before) {
                return Err(wrong(if index == 0 {
                    "does not advance: a page begins where the one before it did, or ahead of its end"
                } else {
                    "gives hits out of order"
                }));
            }
        }
        before = Some(&hit.sort);
    }
    Ok(())
}

/// Whether one sort value certainly comes before another.
fn precedes(one: &[Value], other: &[Value]) -> bool {
    let (Some(Value::String(id)), Some(Value::String(other_id))) = (one.get(1), other.get(1))
    else {
        return false;
    };
    if one.first() == other.first() {
        return id < other_id;
    }
    // Times may be finer than these instants, so that equal ones say nothing.
    (instant_of(one).zip(instant_of(other))).is_some_and(|(at, other_at)| at < other_at)
}

#[cfg(test)]
mod tests;
