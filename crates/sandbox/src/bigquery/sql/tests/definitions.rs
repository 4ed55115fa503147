//! CREATE, ALTER and DROP.

use super::{Shelf, SqlErrorKind};
use crate::bigquery::table::{Mode, Partitioning, Table, TableName, TimeUnit, Type};

fn table(shelf: &Shelf) -> &Table {
    &shelf.tables[&TableName::new("p", "d", "t")]
}

#[test]
fn a_table_has_all_that_its_statement_says() {
    let shelf = Shelf::with(
        "CREATE TABLE IF NOT EXISTS `p.d.t` (
           id INT64 NOT NULL OPTIONS(description='source key'), s STRING(10), n NUMERIC(20, 4), b BIGNUMERIC,
           st STRUCT<x INT64, y ARRAY<STRING>>, l ARRAY<STRUCT<a INT64>>, at DATETIME, j JSON, by BYTES,
           PRIMARY KEY (id) NOT ENFORCED)
         PARTITION BY DATETIME_TRUNC(at, MONTH) CLUSTER BY id, s
         OPTIONS(description='d', max_staleness=INTERVAL 90 MINUTE, labels=[('loader', 'x')])",
    );
    let made = table(&shelf);
    assert_eq!(made.columns.len(), 9);
    assert_eq!(made.columns[0].mode, Mode::Required);
    assert_eq!(made.columns[0].description.as_deref(), Some("source key"));
    assert_eq!(made.columns[1].max_length, Some(10));
    assert_eq!(made.columns[2].digits, Some((20, 4)));
    assert_eq!(made.columns[5].mode, Mode::Repeated);
    assert_eq!(made.primary_key, ["id"]);
    assert_eq!(made.clustering, ["id", "s"]);
    assert_eq!(made.max_staleness.as_deref(), Some("0-0 0 1:30:0"));
    assert_eq!(made.labels["loader"], "x");
    assert_eq!(
        made.partitioning,
        Some(Partitioning::Time {
            unit: TimeUnit::Month,
            column: Some("at".to_owned()),
            expiration_ms: None,
            require_filter: false,
        })
    );
}

#[test]
fn creating_what_is_there_is_refused_or_replaces() {
    let mut shelf = Shelf::with("CREATE TABLE d.t (a INT64); INSERT d.t VALUES (1)");
    assert_eq!(
        shelf.error("CREATE TABLE d.t (a INT64)"),
        (
            SqlErrorKind::Duplicate,
            "Already Exists: Table p:d.t".to_owned()
        )
    );
    shelf.run("CREATE TABLE IF NOT EXISTS d.t (b INT64)");
    assert_eq!(shelf.rows("SELECT a FROM d.t"), ["1"]);
    let outcome = shelf.run("CREATE OR REPLACE TABLE d.t CLUSTER BY b AS SELECT CAST(a AS STRING) AS b, [a] AS c FROM d.t");
    assert_eq!(outcome.statement_kind, "CREATE_TABLE_AS_SELECT");
    assert_eq!(shelf.rows("SELECT b, c FROM d.t"), ["1|[1]"]);
    assert_eq!(table(&shelf).clustering, ["b"]);
    for (statement, message) in [
        (
            "CREATE TABLE d.x (a INT64, PRIMARY KEY (a))",
            "NOT ENFORCED",
        ),
        ("CREATE TABLE d.x AS SELECT 1", "column 1 has no name"),
        (
            "CREATE TABLE d.x (a INT64, A STRING)",
            "Duplicate column name A",
        ),
        (
            "CREATE TABLE d.x (a FLOAT64) CLUSTER BY a",
            "cannot be clustered",
        ),
        (
            "CREATE TABLE d.x (a STRING) PARTITION BY DATE(a)",
            "does not have the type",
        ),
        ("CREATE TABLE d.x (a NIX)", "Type not found: NIX"),
        ("CREATE TABLE e.x (a INT64)", "Not found: Dataset p:e"),
    ] {
        let (_, text) = shelf.error(statement);
        assert!(text.contains(message), "{statement}: {text}");
    }
}

#[test]
fn columns_are_added_dropped_renamed_and_relaxed() {
    let mut shelf =
        Shelf::with("CREATE TABLE d.t (a INT64 NOT NULL, b STRING(3)); INSERT d.t VALUES (1, 'x')");
    shelf.run("ALTER TABLE d.t ADD COLUMN IF NOT EXISTS a INT64, ADD COLUMN c ARRAY<STRING>, ADD COLUMN e STRUCT<x INT64> OPTIONS(description='new')");
    assert_eq!(shelf.rows("SELECT * FROM d.t"), ["1|x|[]|NULL"]);
    shelf.run("ALTER TABLE d.t DROP COLUMN b, DROP COLUMN IF EXISTS nix");
    shelf.run("ALTER TABLE d.t RENAME COLUMN a TO z");
    assert_eq!(shelf.rows("SELECT z, c FROM d.t"), ["1|[]"]);
    shelf.run("ALTER TABLE d.t ALTER COLUMN z DROP NOT NULL");
    assert_eq!(table(&shelf).columns[0].mode, Mode::Nullable);
    shelf.run("ALTER TABLE d.t ADD PRIMARY KEY (z) NOT ENFORCED");
    assert_eq!(table(&shelf).primary_key, ["z"]);
    shelf.run(
        "ALTER TABLE d.t SET OPTIONS (max_staleness = INTERVAL 10 MINUTE, description = 'it\\'s')",
    );
    assert_eq!(table(&shelf).max_staleness.as_deref(), Some("0-0 0 0:10:0"));
    assert_eq!(table(&shelf).description.as_deref(), Some("it's"));
    shelf.run("ALTER TABLE d.t DROP PRIMARY KEY; ALTER TABLE d.t RENAME TO u; ALTER TABLE IF EXISTS d.t DROP COLUMN q");
    assert_eq!(shelf.rows("SELECT z FROM d.u"), ["1"]);
    for (statement, message) in [
        (
            "ALTER TABLE d.u ADD COLUMN r INT64 NOT NULL",
            "Cannot add required column r",
        ),
        (
            "ALTER TABLE d.u ADD COLUMN Z INT64",
            "Column already exists: Z",
        ),
        ("ALTER TABLE d.u DROP COLUMN nix", "Column not found: nix"),
        (
            "ALTER TABLE d.nix DROP COLUMN nix",
            "Not found: Table p:d.nix",
        ),
    ] {
        let (_, text) = shelf.error(statement);
        assert!(text.contains(message), "{statement}: {text}");
    }
}

#[test]
fn only_wider_types_are_taken() {
    let mut shelf = Shelf::with(
        "CREATE TABLE d.t (a INT64, b STRING(3), c NUMERIC(10, 2), e FLOAT64); INSERT d.t VALUES (7, 'x', 1.25, 0.5)",
    );
    shelf.run("ALTER TABLE d.t ALTER COLUMN a SET DATA TYPE NUMERIC, ALTER COLUMN b SET DATA TYPE STRING, ALTER COLUMN c SET DATA TYPE NUMERIC(12, 3)");
    assert_eq!(table(&shelf).columns[0].kind, Type::Numeric);
    assert_eq!(shelf.rows("SELECT a + 0.5, b, c FROM d.t"), ["7.5|x|1.25"]);
    for change in [
        "a SET DATA TYPE INT64",
        "b SET DATA TYPE STRING(2)",
        "b SET DATA TYPE INT64",
        "c SET DATA TYPE NUMERIC(5, 2)",
        "e SET DATA TYPE INT64",
    ] {
        let (kind, text) = shelf.error(&format!("ALTER TABLE d.t ALTER COLUMN {change}"));
        assert_eq!(kind, SqlErrorKind::Invalid);
        assert!(text.contains("is assignable to the new type"), "{text}");
    }
}

#[test]
fn views_are_read_when_they_are_queried() {
    let mut shelf =
        Shelf::with("CREATE TABLE d.t (a INT64, b STRING); INSERT d.t VALUES (1, 'it\\'s')");
    shelf.run("CREATE VIEW d.v AS\nSELECT a, b AS `B` FROM d.t WHERE b = 'it\\'s';");
    shelf.run("INSERT d.t VALUES (2, \"it's\")");
    assert_eq!(
        shelf.rows("SELECT v.a, B FROM d.v ORDER BY a"),
        ["1|it's", "2|it's"]
    );
    assert_eq!(
        shelf.error("CREATE VIEW d.v AS SELECT 1 AS a").0,
        SqlErrorKind::Duplicate
    );
    shelf.run("CREATE OR REPLACE VIEW d.v AS SELECT COUNT(*) AS n FROM d.t");
    assert_eq!(shelf.rows("SELECT n FROM d.v"), ["2"]);
    assert!(
        shelf
            .error("DELETE FROM d.v WHERE TRUE")
            .1
            .contains("is a view")
    );
    assert!(shelf.error("DROP TABLE d.v").1.contains("use DROP VIEW"));
    shelf.run("DROP VIEW d.v; DROP VIEW IF EXISTS d.v");
    assert_eq!(shelf.error("DROP VIEW d.v").0, SqlErrorKind::NotFound);
}

#[test]
fn copies_and_likes() {
    let mut shelf = Shelf::with("CREATE TABLE d.t (a INT64) CLUSTER BY a; INSERT d.t VALUES (1)");
    shelf.run("CREATE TABLE d.l LIKE d.t; CREATE TABLE d.c COPY d.t; CREATE TABLE d.k CLONE d.t");
    assert_eq!(shelf.rows("SELECT (SELECT COUNT(*) FROM d.l), (SELECT COUNT(*) FROM d.c), (SELECT COUNT(*) FROM d.k)"), ["0|1|1"]);
    shelf.run("DROP TABLE d.l; DROP TABLE IF EXISTS d.l");
}
