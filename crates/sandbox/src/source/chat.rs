//! The tables of the chat platform: their definitions, loading them, and the truth about them that a
//! copy elsewhere is compared with.

use anyhow::{Context, Result};
use serde::Serialize;
use tokio_postgres::Client;

use crate::source::connection::Connection;
use crate::source::data::{
    CONTACT_COLUMNS, ChatPlan, CopyRow, FLOW_COLUMNS, MESSAGE_COLUMNS, ORGANIZATION_COLUMNS,
    write_contact, write_flow, write_message, write_organization,
};
use crate::source::tables;

mod change;

pub use change::{ChatChange, change};

/// The relations of the chat platform.
pub(crate) const RELATIONS: [&str; 5] = [
    "contacts",
    "flows",
    "messages",
    "messages_id_seq",
    "organizations",
];

const DEFINITIONS: &str = "
CREATE TABLE {schema}.organizations (
    id integer PRIMARY KEY,
    name text NOT NULL,
    shortcode text NOT NULL,
    phone text NOT NULL,
    timezone text NOT NULL,
    is_active boolean NOT NULL,
    inserted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE {schema}.contacts (
    id bigint PRIMARY KEY,
    organization_id integer NOT NULL,
    name text,
    phone text NOT NULL,
    language text NOT NULL,
    status text NOT NULL,
    fields jsonb NOT NULL,
    is_simulator boolean NOT NULL,
    last_message_at timestamptz,
    inserted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE {schema}.flows (
    id bigint PRIMARY KEY,
    uuid uuid NOT NULL,
    organization_id integer NOT NULL,
    name text NOT NULL,
    keywords jsonb NOT NULL,
    version integer NOT NULL,
    is_active boolean NOT NULL,
    inserted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE {schema}.messages (
    id bigint PRIMARY KEY,
    uuid uuid NOT NULL,
    organization_id integer NOT NULL,
    contact_id bigint NOT NULL,
    sender_id bigint NOT NULL,
    receiver_id bigint NOT NULL,
    flow text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    body text,
    media jsonb,
    flow_uuid uuid,
    sent_at timestamptz,
    inserted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
";

const INDEXES: &str = "
CREATE INDEX contacts_updated_at ON {schema}.contacts (updated_at);
CREATE INDEX messages_updated_at ON {schema}.messages (updated_at);
CREATE SEQUENCE {schema}.messages_id_seq OWNED BY {schema}.messages.id;
SELECT setval('{schema}.messages_id_seq', (SELECT coalesce(max(id), 1) FROM {schema}.messages));
ANALYZE {schema}.organizations;
ANALYZE {schema}.contacts;
ANALYZE {schema}.flows;
ANALYZE {schema}.messages;
";

/// What is true of one organization now: counts, and sums that change with what rows hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The organization.
    pub organization: i32,
    /// Its contacts.
    pub contacts: i64,
    /// Its flows.
    pub flows: i64,
    /// Its messages.
    pub messages: i64,
    /// Those of them that were read.
    pub messages_read: i64,
    /// The letters of all their bodies.
    pub body_letters: i64,
}

/// Appends the row with an index.
type Write = fn(&mut CopyRow, &ChatPlan, u64);

/// Makes the tables in an empty schema and fills them.
pub(crate) async fn load(client: &Client, schema: &str, plan: &ChatPlan) -> Result<()> {
    client
        .batch_execute(&DEFINITIONS.replace("{schema}", schema))
        .await
        .context("cannot create the tables of the chat platform")?;
    let tables: [(&str, &str, u64, Write); 4] = [
        (
            "organizations",
            ORGANIZATION_COLUMNS,
            plan.organizations.max(1),
            write_organization,
        ),
        ("contacts", CONTACT_COLUMNS, plan.contacts(), write_contact),
        ("flows", FLOW_COLUMNS, plan.flows(), write_flow),
        ("messages", MESSAGE_COLUMNS, plan.messages, write_message),
    ];
    for (table, columns, rows, write) in tables {
        let target = format!("{schema}.{table} ({columns})");
        let rows = (0..rows).map(|index| move |row: &mut CopyRow| write(row, plan, index));
        tables::copy(client, &target, rows).await?;
    }
    client
        .batch_execute(&INDEXES.replace("{schema}", schema))
        .await
        .context("cannot create the indexes of the chat platform")
}

/// Counts what each organization has now.
pub(crate) async fn truth(connection: &Connection) -> Result<Vec<Truth>> {
    let session = connection.connect().await?;
    let schema = &connection.schema;
    let rows = session
        .query(
            &format!(
                "SELECT o.id, \
                 (SELECT count(*) FROM {schema}.contacts c WHERE c.organization_id = o.id), \
                 (SELECT count(*) FROM {schema}.flows f WHERE f.organization_id = o.id), \
                 count(m.id), count(m.id) FILTER (WHERE m.status = 'read'), \
                 coalesce(sum(char_length(m.body)), 0)::bigint \
                 FROM {schema}.organizations o \
                 LEFT JOIN {schema}.messages m ON m.organization_id = o.id \
                 GROUP BY o.id ORDER BY o.id"
            ),
            &[],
        )
        .await
        .context("cannot count the rows of the chat platform")?;
    session.close().await?;
    let truth = rows.iter().map(|row| Truth {
        organization: row.get(0),
        contacts: row.get(1),
        flows: row.get(2),
        messages: row.get(3),
        messages_read: row.get(4),
        body_letters: row.get(5),
    });
    Ok(truth.collect())
}
