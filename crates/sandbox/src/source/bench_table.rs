//! Large tables for measuring, made by the server itself: it needs no data from here.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::source::connection::Connection;

/// Columns of the wide table besides its key and `updated_at`.
const WIDE_COLUMNS: u32 = 198;
/// Stands in the comment of a table that this program made, and may therefore replace.
const TABLE_MARK: &str = "made by antiphon-sandbox for measuring";

/// The shapes of tables that the speed goals name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// `pendo_account`: 20 mixed columns, about 1 kB a row as JSON
    #[value(alias = "account20")]
    Account,
    /// `pendo_wide`: 200 short mixed columns
    #[value(alias = "wide200")]
    Wide,
    /// `pendo_narrow`: 5 columns
    #[value(alias = "narrow5")]
    Narrow,
}

impl Shape {
    /// Name of the table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Account => "pendo_account",
            Self::Wide => "pendo_wide",
            Self::Narrow => "pendo_narrow",
        }
    }

    /// Its first column, the primary key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Account => "account_id",
            Self::Wide | Self::Narrow => "id",
        }
    }

    /// How many rows the speed goals mean.
    pub fn usual_rows(self) -> u64 {
        match self {
            Self::Account => 1_000_000,
            Self::Wide => 100_000,
            Self::Narrow => 2_000_000,
        }
    }

    /// Column definitions, each with the expression that fills it for row `i`, counted from 1.
    fn columns(self) -> Vec<(String, String)> {
        let fixed = match self {
            Self::Account => ACCOUNT.as_slice(),
            Self::Narrow => NARROW.as_slice(),
            Self::Wide => return wide_columns(),
        };
        fixed
            .iter()
            .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
            .collect()
    }
}

const UPDATED_AT: (&str, &str) = (
    "updated_at timestamptz NOT NULL",
    "timestamptz '2025-01-01 00:00:00+00' + i * interval '13.000171 seconds'",
);

const NARROW: [(&str, &str); 5] = [
    ("id bigint NOT NULL", "i"),
    (
        "amount numeric(18,4) NOT NULL",
        "(i * 7919 % 100000000)::numeric / 10000",
    ),
    ("is_paid boolean", "CASE WHEN i % 11 > 0 THEN i % 3 = 0 END"),
    ("label text", "'label ' || i % 1000"),
    UPDATED_AT,
];

/// Texts with unicode, quotes and line ends, half of the row's bytes; a null here and there.
const ACCOUNT: [(&str, &str); 20] = [
    (
        "account_id text NOT NULL",
        "'account-' || lpad(i::text, 10, '0')",
    ),
    (
        "name text NOT NULL",
        "(ARRAY['Blue Harbor Logistics', 'Café Lumière', 'O''Brien & Sons', '株式会社アンティフォン', \
         'Müller Straße GmbH', 'Łódź Textiles', 'شركة الأفق', 'Nimbus \"Cloud\" Inc.'])[1 + i % 8] \
         || ' ' || i",
    ),
    (
        "description text NOT NULL",
        "(ARRAY['Wants the annual plan', 'Said \"not before Q3\"', 'Uses the API 🚀', \
         'Zu klären: Anlage 2'])[1 + i % 4] || E'\\nSecond line, tab\\t' || md5(i::text) || ' ' \
         || md5((i * 31)::text) || ' – ' || md5((i * 17)::text)",
    ),
    (
        "notes text",
        "CASE WHEN i % 5 > 0 THEN 'Contract C:\\Contracts\\' || i || '.pdf; naïve, ≥ 3 seats; to be renewed by phone, ' \
         || md5((i * 7)::text) || md5((i * 5)::text) END",
    ),
    (
        "plan text NOT NULL",
        "(ARRAY['free', 'starter', 'team', 'business', 'enterprise'])[1 + i % 5]",
    ),
    (
        "country varchar(2) NOT NULL",
        "(ARRAY['US', 'DE', 'GB', 'FR', 'JP', 'BR', 'IN'])[1 + i % 7]",
    ),
    (
        "owner_email text",
        "CASE WHEN i % 9 > 0 THEN 'owner.' || i || '@customer.example' END",
    ),
    (
        "website text NOT NULL",
        "'https://www.customer-' || i || '.example/welcome?from=' || i % 97",
    ),
    (
        "mrr numeric(18,4) NOT NULL",
        "(i * 7919 % 1000000000)::numeric / 10000",
    ),
    (
        "lifetime_value numeric(18,4)",
        "CASE WHEN i % 4 > 0 THEN (i::numeric * 104729) / 10000 END",
    ),
    ("seats integer NOT NULL", "(i * 37 % 5000)::integer"),
    ("active_users bigint NOT NULL", "i * 2654435761 % 100000000"),
    (
        "nps smallint",
        "CASE WHEN i % 3 > 0 THEN (i % 11)::smallint END",
    ),
    (
        "health_score double precision NOT NULL",
        "(i * 48271 % 2147483647) / 21474836.47",
    ),
    (
        "usage_ratio real",
        "CASE WHEN i % 6 > 0 THEN ((i * 69621 % 100000) / 100000.0)::real END",
    ),
    ("is_trial boolean NOT NULL", "i % 8 = 0"),
    (
        "renewal_date date",
        "CASE WHEN i % 7 > 0 THEN date '2025-01-01' + (i % 900)::integer END",
    ),
    (
        "created_at timestamp NOT NULL",
        "timestamp '2019-01-01' + i * interval '97.123457 seconds'",
    ),
    (
        "last_seen_at timestamptz",
        "CASE WHEN i % 10 > 0 THEN timestamptz '2025-06-01 00:00:00+00' - i % 86400 * interval '1.5 s' END",
    ),
    UPDATED_AT,
];

fn wide_columns() -> Vec<(String, String)> {
    let mut columns = vec![("id bigint NOT NULL".to_owned(), "i".to_owned())];
    for number in 1..=WIDE_COLUMNS {
        let (kind, value) = match number % 9 {
            0 => ("integer", format!("(i * {number} % 100000)::integer")),
            1 => ("text", format!("'value ' || (i * {number} % 9973)")),
            2 => (
                "numeric(18,4)",
                format!("(i * {number} % 10000000)::numeric / 10000"),
            ),
            3 => ("boolean", format!("(i + {number}) % 3 = 0")),
            4 => ("double precision", format!("(i * {number} % 99991) / 7.0")),
            5 => (
                "date",
                format!("date '2020-01-01' + ((i + {number}) % 2000)::integer"),
            ),
            6 => (
                "timestamp",
                format!("timestamp '2020-01-01' + (i + {number}) * interval '61.5 s'"),
            ),
            7 => (
                "text",
                format!("CASE WHEN (i + {number}) % 4 = 0 THEN 'naïve \"quote\" ✓' END"),
            ),
            _ => (
                "bigint",
                format!("CASE WHEN (i + {number}) % 2 = 0 THEN i * {number} END"),
            ),
        };
        columns.push((format!("c{number:03} {kind}"), value));
    }
    columns.push((UPDATED_AT.0.to_owned(), UPDATED_AT.1.to_owned()));
    columns
}

/// Makes a table of the shape anew, with its primary key and an index on `updated_at`, vacuumed
/// and analysed, so that nothing but the reading is measured later. A table of that name is
/// replaced if this function made it, and left alone with an error if not.
pub async fn create_bench_table(
    connection: &Connection,
    shape: Shape,
    table: &str,
    rows: u64,
) -> Result<()> {
    let name = format!("{}.{}", quoted(&connection.schema), quoted(table));
    let session = connection.connect().await?;
    let found = session
        .query_opt(
            "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass($1)",
            &[&name],
        )
        .await
        .context("cannot look for the table")?;
    if found.is_some_and(|row| row.get::<_, Option<&str>>(0) != Some(TABLE_MARK)) {
        bail!("table `{name}` exists already and was not made by antiphon-sandbox");
    }
    for statement in statements(shape, &name, rows) {
        session
            .batch_execute(&statement)
            .await
            .with_context(|| format!("cannot make `{name}`"))?;
    }
    session.close().await
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Each is a transaction of its own: VACUUM takes no company.
fn statements(shape: Shape, table: &str, rows: u64) -> [String; 6] {
    let (mut definitions, mut values) = (String::new(), String::new());
    for (index, (definition, value)) in shape.columns().iter().enumerate() {
        let comma = if index == 0 { "" } else { ",\n" };
        write!(definitions, "{comma}{definition}").expect("a String takes every text");
        write!(values, "{comma}{value}").expect("a String takes every text");
    }
    [
        format!("DROP TABLE IF EXISTS {table}; CREATE UNLOGGED TABLE {table} (\n{definitions}\n)"),
        format!("COMMENT ON TABLE {table} IS '{TABLE_MARK}'"),
        format!("INSERT INTO {table} SELECT\n{values}\nFROM generate_series(1::bigint, {rows}) i"),
        format!("ALTER TABLE {table} ADD PRIMARY KEY ({})", shape.key()),
        format!("CREATE INDEX ON {table} (updated_at)"),
        format!("VACUUM (FREEZE, ANALYZE) {table}"),
    ]
}
