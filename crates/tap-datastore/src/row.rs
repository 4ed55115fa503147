//! Rows that were asked for by `--row`: fetched now, and emitted whatever the bookmark says.

use std::collections::VecDeque;
use std::sync::Arc;

use singer_core::{Error, Result};
use singer_runtime::rows::Kind;
use singer_runtime::tap::{Output, Plan};
use tokio::task::JoinHandle;

use crate::Datastore;
use crate::identity;
use crate::model::JsonRow;
use crate::record::{Absent, Encoder, write_deletion};
use crate::schema::{ROWID, rowid_of};

/// Rows that are asked for at once.
const AT_ONCE: usize = 4;

/// Rows of a table.
pub(crate) const ROWS: Kind = Kind {
    word: "row",
    form: "it is `TABLE/ROWID`, with commas between several ids, or a line of a target's rejects file",
    key: ROWID,
    id: rowid_of,
};

/// Emits the wanted rows of a stream. A row that is not there any more is passed on as deleted.
pub(crate) async fn read(tap: &Datastore, plan: &Plan, out: &mut Output) -> Result<()> {
    identity::check(&plan.id, &plan.bookmark, &tap.config)?;
    let table = tap.table(&plan.id).await?;
    let mut encoder = Encoder::new(&tap.config, &table, plan)?;
    let mut ids = tap.wanted_rows.ids(&plan.id).iter();
    let mut under_way: VecDeque<(String, JoinHandle<Result<Option<JsonRow>>>)> = VecDeque::new();
    let mut gone = 0_u64;
    loop {
        while under_way.len() < AT_ONCE
            && let Some(id) = ids.next()
        {
            let task = tokio::spawn({
                let (api, table, id) = (tap.api.clone(), Arc::clone(&table), id.clone());
                async move { api.row((&table.id, &table.name), &id).await }
            });
            under_way.push_back((id.clone(), task));
        }
        let Some((id, task)) = under_way.pop_front() else {
            break;
        };
        let row = task.await.map_err(|error| {
            Error::internal("the task that reads a row died").with_source(error)
        })?;
        match row? {
            Some(row) => {
                out.record(|buffer| encoder.write_json(buffer, &row, Absent::Null))
                    .await?;
            }
            None => {
                if gone == 0 {
                    tap.must_be_there(&table).await?;
                }
                gone += 1;
                let at = tap.context.now().timestamp_micros();
                out.record(|buffer| {
                    write_deletion(buffer, &id, at);
                    Ok(())
                })
                .await?;
            }
        }
        if tap.context.stop().requested() {
            return Err(Error::interrupted());
        }
    }
    if gone > 0 {
        tracing::warn!(
            stream = plan.id,
            rows = gone,
            "rows are not there any more, and passed on as deleted"
        );
    }
    out.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_in_its_shortest_form() {
        for (text, wanted) in [
            ("04000000101007", Some("4000000101007")),
            ("1;2", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!((ROWS.id)(text).as_deref(), wanted, "{text}");
        }
    }
}
