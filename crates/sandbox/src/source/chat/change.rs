//! What happens on a chat platform between two syncs: messages arrive, are read, are corrected; one
//! statement changes many rows at once; and a transaction that began early commits late, so that its
//! rows have lower ids and earlier times than rows that a sync has read already.

use anyhow::{Context, Result};
use serde::Serialize;
use tokio_postgres::Client;

use crate::source::connection::Connection;
use crate::source::data::ID_GAP;

/// How much earlier than the newest row the late ones say they were written, in seconds.
const LATE_SECONDS: u64 = 90;

/// What one change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChatChange {
    /// Messages that were read: each has a time of its own.
    pub messages_updated: u64,
    /// Messages that one statement changed: all have one time.
    pub messages_at_once: u64,
    /// New messages, updated whole minutes after they were inserted.
    pub messages_inserted: u64,
    /// New messages whose ids and times are earlier than others that were there.
    pub messages_late: u64,
    /// Contacts with other fields.
    pub contacts_updated: u64,
    /// New contacts.
    pub contacts_inserted: u64,
}

impl ChatChange {
    /// How a number of rows is spread.
    fn plan(rows: u64) -> Self {
        let messages_inserted = rows / 4;
        let messages_late = rows.div_ceil(100);
        let messages_at_once = rows / 4;
        let contacts_updated = rows / 10;
        let contacts_inserted = rows / 100;
        let others = messages_inserted
            + messages_late
            + messages_at_once
            + contacts_updated
            + contacts_inserted;
        Self {
            messages_updated: rows.saturating_sub(others),
            messages_at_once,
            messages_inserted,
            messages_late,
            contacts_updated,
            contacts_inserted,
        }
    }
}

/// Changes so many rows in one transaction, on a connection of its own. Fewer change where the tables
/// hold fewer.
pub async fn change(connection: &Connection, rows: u64) -> Result<ChatChange> {
    let session = connection.connect().await?;
    let begun = session.batch_execute("BEGIN").await;
    begun.context("cannot begin the change")?;
    let done = apply(&session, &connection.schema, ChatChange::plan(rows)).await?;
    let ended = session.batch_execute("COMMIT").await;
    ended.context("cannot commit the change")?;
    session.close().await?;
    Ok(done)
}

async fn apply(client: &Client, schema: &str, wanted: ChatChange) -> Result<ChatChange> {
    let run = |what: String, rows: u64| run(client, what, rows);
    // First, as long as the newest row is one that a sync may have read.
    let messages_late = run(late(schema), wanted.messages_late).await?;
    // A late row that is changed once more would be late no longer.
    let others = format!("id % {ID_GAP} <> 0");
    let messages_updated = run(
        format!(
            "UPDATE {schema}.messages SET status = 'read', body = body || ' ✓', updated_at = clock_timestamp() \
             WHERE id IN (SELECT id FROM {schema}.messages WHERE {others} ORDER BY md5(id::text || updated_at::text) LIMIT $1)"
        ),
        wanted.messages_updated,
    )
    .await?;
    let messages_at_once = run(
        format!(
            "UPDATE {schema}.messages SET status = 'read', updated_at = now() \
             WHERE id IN (SELECT id FROM {schema}.messages WHERE {others} ORDER BY md5('at once' || id::text) LIMIT $1)"
        ),
        wanted.messages_at_once,
    )
    .await?;
    let messages_inserted = run(fresh(schema), wanted.messages_inserted).await?;
    let contacts_updated = run(
        format!(
            "UPDATE {schema}.contacts SET language = 'hi', updated_at = clock_timestamp(), \
             fields = fields || '{{\"consent\": {{\"label\": \"Consent\", \"type\": \"string\", \"value\": \"yes\"}}}}' \
             WHERE id IN (SELECT id FROM {schema}.contacts ORDER BY md5(id::text || updated_at::text) LIMIT $1)"
        ),
        wanted.contacts_updated,
    )
    .await?;
    let contacts_inserted = run(
        format!(
            "INSERT INTO {schema}.contacts \
             SELECT id + (SELECT max(id) FROM {schema}.contacts), organization_id, 'नया संपर्क', \
             '92' || lpad(id::text, 10, '0'), language, 'valid', '{{}}', false, NULL, now(), now() \
             FROM {schema}.contacts ORDER BY id LIMIT $1"
        ),
        wanted.contacts_inserted,
    )
    .await?;
    Ok(ChatChange {
        messages_updated,
        messages_at_once,
        messages_inserted,
        messages_late,
        contacts_updated,
        contacts_inserted,
    })
}

/// Messages with ids that were left out, a little older than the newest one.
fn late(schema: &str) -> String {
    let newest = format!("(SELECT max(updated_at) FROM {schema}.messages)");
    copied(
        schema,
        "free.id",
        &format!("{newest} - interval '{LATE_SECONDS} seconds'"),
        &format!("{newest} - interval '{LATE_SECONDS} seconds'"),
        &format!(
            "(SELECT id, row_number() OVER (ORDER BY id DESC) AS place FROM generate_series({ID_GAP}, \
             (SELECT max(id) FROM {schema}.messages), {ID_GAP}) AS id \
             WHERE NOT EXISTS (SELECT FROM {schema}.messages m WHERE m.id = id.id))"
        ),
    )
}

/// New messages. What was inserted exactly a minute ago must not be taken for untouched.
fn fresh(schema: &str) -> String {
    copied(
        schema,
        &format!("nextval('{schema}.messages_id_seq')"),
        "date_trunc('second', now()) - interval '1 minute'",
        "date_trunc('second', now())",
        "(SELECT place FROM generate_series(1, $1::bigint) AS place)",
    )
}

/// An INSERT of messages like those that are there, with other ids and times.
fn copied(schema: &str, id: &str, inserted: &str, updated: &str, places: &str) -> String {
    format!(
        "INSERT INTO {schema}.messages \
         SELECT {id}, gen_random_uuid(), organization_id, contact_id, sender_id, receiver_id, flow, type, \
         status, body, media, flow_uuid, NULL, {inserted}, {updated} \
         FROM (SELECT *, row_number() OVER (ORDER BY md5('new' || id::text)) AS place FROM {schema}.messages) like_this \
         JOIN {places} free USING (place) WHERE place <= $1"
    )
}

async fn run(client: &Client, statement: String, rows: u64) -> Result<u64> {
    let limit = i64::try_from(rows).context("too many rows to change")?;
    client
        .execute(&statement, &[&limit])
        .await
        .context("cannot change the chat platform")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_spread_over_all_kinds() {
        let plan = ChatChange::plan(500);
        assert_eq!(plan.messages_late, 5);
        assert_eq!(plan.messages_updated, 190);
        assert!(plan.contacts_inserted > 0 && plan.messages_at_once > 100);
    }
}
