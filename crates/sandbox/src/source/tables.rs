//! The tables of the sample data: their definitions, and loading them by COPY.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;

use crate::source::chat;
use crate::source::data::{
    ACCOUNT_COLUMNS, AUDIT_EVENT_COLUMNS, CopyRow, DataPlan, INVOICE_COLUMNS, Kind,
    VISITOR_COLUMNS, invoices_of, write_account, write_audit_event, write_invoice, write_visitor,
};

/// Stands in the comment of a schema that this program made, and may therefore drop.
const SCHEMA_MARK: &str = "made by antiphon-sandbox; dropped and made anew at each start";

const RELATIONS: [&str; 5] = [
    "account",
    "active_visitor",
    "audit_event",
    "invoice",
    "visitor",
];

const DEFINITIONS: &str = "
CREATE TABLE {schema}.account (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    plan text NOT NULL,
    mrr numeric(12,2) NOT NULL,
    seats integer NOT NULL,
    is_trial boolean NOT NULL,
    country text NOT NULL,
    industry text NOT NULL,
    renewal_date date NOT NULL,
    owner_email text,
    health double precision,
    tags jsonb,
    notes text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE {schema}.visitor (
    id text PRIMARY KEY,
    account_id uuid NOT NULL,
    full_name text NOT NULL,
    role text NOT NULL,
    language text NOT NULL,
    is_admin boolean NOT NULL,
    signup_date date NOT NULL,
    last_login timestamp,
    sessions_30d integer NOT NULL,
    nps smallint,
    score real,
    bio text,
    updated_at timestamptz NOT NULL
);
CREATE TABLE {schema}.invoice (
    account_id uuid NOT NULL,
    number integer NOT NULL,
    amount numeric(18,4) NOT NULL,
    issued_on date NOT NULL,
    paid boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, number)
);
CREATE TABLE {schema}.audit_event (
    happened_at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    detail text
);
CREATE VIEW {schema}.active_visitor AS
    SELECT id, account_id, full_name, last_login, sessions_30d, updated_at
    FROM {schema}.visitor
    WHERE sessions_30d > 0 AND last_login IS NOT NULL;
";

/// After the rows, because an index is built faster than it is kept up to date.
const INDEXES: &str = "
CREATE INDEX account_updated_at ON {schema}.account (updated_at);
CREATE INDEX visitor_updated_at ON {schema}.visitor (updated_at);
CREATE INDEX invoice_updated_at ON {schema}.invoice (updated_at);
ANALYZE {schema}.account;
ANALYZE {schema}.visitor;
ANALYZE {schema}.invoice;
ANALYZE {schema}.audit_event;
";

/// How long dropping the schema waits for those who still read from it.
const LOCK_PATIENCE: &str = "1s";

const CHUNK_BYTES: usize = 256 * 1024;

/// Makes a schema of its own in a database that belongs to somebody else. One that an earlier
/// start made is replaced; any other of this name is left alone, and so is one that got further
/// tables since.
pub(crate) async fn create_own_schema(client: &Client, schema: &str) -> Result<()> {
    drop_own_schema(client, schema).await?;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{SCHEMA_MARK}'"
        ))
        .await
        .with_context(|| format!("cannot create schema `{schema}`"))
}

/// Drops the schema that [`create_own_schema`] made, if it is there and holds nothing else.
pub(crate) async fn drop_own_schema(client: &Client, schema: &str) -> Result<()> {
    let found = client
        .query_opt(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1",
            &[&schema],
        )
        .await
        .context("cannot look for the schema")?;
    let Some(row) = found else {
        return Ok(());
    };
    if row.get::<_, Option<&str>>(0) != Some(SCHEMA_MARK) {
        bail!("schema `{schema}` exists already and was not made by antiphon-sandbox");
    }
    let relations = [RELATIONS, chat::RELATIONS].concat();
    let foreign = client
        .query(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relkind NOT IN ('i', 't', 'c') AND NOT c.relname = ANY ($2)",
            &[&schema, &relations],
        )
        .await
        .context("cannot list the tables of the schema")?;
    if let Some(row) = foreign.first() {
        bail!(
            "schema `{schema}` holds `{}`, which antiphon-sandbox did not make",
            row.get::<_, &str>(0)
        );
    }
    // Somebody who is still reading would hold up the end of the sandbox for as long as it takes.
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_PATIENCE}'; DROP SCHEMA {schema} CASCADE; COMMIT"
        ))
        .await
        .with_context(|| format!("cannot drop schema `{schema}`; is it still being read?"))
}

/// Makes the tables in an empty schema and fills them.
pub(crate) async fn load(client: &Client, schema: &str, plan: &DataPlan) -> Result<()> {
    client
        .batch_execute(&DEFINITIONS.replace("{schema}", schema))
        .await
        .context("cannot create the tables of the sample data")?;
    let (seed, accounts) = (plan.seed, plan.rows(Kind::Account));

    let target = format!("{schema}.account ({ACCOUNT_COLUMNS})");
    copy(
        client,
        &target,
        (0..accounts).map(|index| move |row: &mut CopyRow| write_account(row, seed, index)),
    )
    .await?;
    let target = format!("{schema}.visitor ({VISITOR_COLUMNS})");
    let visitors = 0..plan.rows(Kind::Visitor);
    copy(
        client,
        &target,
        visitors.map(|index| move |row: &mut CopyRow| write_visitor(row, seed, index)),
    )
    .await?;
    let target = format!("{schema}.invoice ({INVOICE_COLUMNS})");
    let invoices = (0..accounts)
        .flat_map(|account| (1..=invoices_of(account)).map(move |number| (account, number)));
    copy(
        client,
        &target,
        invoices.map(|(account, number)| {
            move |row: &mut CopyRow| write_invoice(row, seed, account, number)
        }),
    )
    .await?;
    let target = format!("{schema}.audit_event ({AUDIT_EVENT_COLUMNS})");
    copy(
        client,
        &target,
        (0..accounts).map(|index| move |row: &mut CopyRow| write_audit_event(row, seed, index)),
    )
    .await?;
    client
        .batch_execute(&INDEXES.replace("{schema}", schema))
        .await
        .context("cannot create the indexes")
}

/// Sends rows, each written by one function of `rows`, into a table.
pub(crate) async fn copy<Write: FnOnce(&mut CopyRow)>(
    client: &Client,
    target: &str,
    rows: impl Iterator<Item = Write>,
) -> Result<()> {
    let load = async {
        let sink = client
            .copy_in::<_, Bytes>(&format!("COPY {target} FROM STDIN"))
            .await?;
        let mut sink = std::pin::pin!(sink);
        let mut buffer = CopyRow::default();
        for write in rows {
            write(&mut buffer);
            if buffer.len() >= CHUNK_BYTES {
                sink.send(Bytes::from(buffer.take())).await?;
            }
        }
        sink.send(Bytes::from(buffer.take())).await?;
        sink.finish().await
    };
    let result: Result<u64, tokio_postgres::Error> = load.await;
    result.with_context(|| format!("cannot load `{target}`"))?;
    Ok(())
}
