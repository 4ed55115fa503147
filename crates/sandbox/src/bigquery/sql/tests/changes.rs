//! INSERT, UPDATE, DELETE, MERGE and transactions.

use super::super::{Context, run};
use super::{Shelf, SqlErrorKind, context};
use crate::bigquery::table::TableName;

fn contacts() -> Shelf {
    Shelf::with(
        "CREATE TABLE d.t (id INT64 NOT NULL, name STRING, n NUMERIC(10, 2), at TIMESTAMP);
         CREATE TABLE d.s (id INT64, name STRING, n NUMERIC, at TIMESTAMP, gone BOOL);
         INSERT d.t (id, name, n, at) VALUES (1, 'one', 1, '2026-01-01'), (2, 'two', 2, NULL), (3, 'three', 3, '2026-01-03')",
    )
}

const ALL: &str = "SELECT id, name, n FROM d.t ORDER BY id, name";

#[test]
fn merge_updates_inserts_and_deletes() {
    let mut shelf = contacts();
    shelf.run(
        "INSERT d.s VALUES (1, 'uno', 1.555, '2026-02-01', NULL), (2, 'dos', 2, '2026-02-01', TRUE),
         (4, 'cuatro', 4, NULL, NULL), (5, 'x', 5, NULL, TRUE), (1, 'old', 0, '2020-01-01', NULL)",
    );
    let outcome = shelf.run(
        "MERGE `p.d.t` T
         USING (SELECT * FROM `p.d.s` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) = 1) S
         ON T.id = S.id AND T.id BETWEEN 1 AND 5
         WHEN MATCHED AND S.gone IS NOT NULL THEN DELETE
         WHEN MATCHED AND (T.at IS NULL OR S.at >= T.at) THEN UPDATE SET name = S.name, n = S.n, at = S.at
         WHEN NOT MATCHED AND S.gone IS NULL THEN INSERT (id, name, n, at) VALUES (S.id, S.name, S.n, S.at)",
    );
    assert_eq!(
        (outcome.inserted, outcome.updated, outcome.deleted),
        (1, 1, 1)
    );
    assert_eq!(outcome.statement_kind, "MERGE");
    assert_eq!(outcome.affected_tables, [TableName::new("p", "d", "t")]);
    assert_eq!(shelf.rows(ALL), ["1|uno|1.56", "3|three|3", "4|cuatro|4"]);
}

#[test]
fn merge_refuses_two_source_rows_for_one_target_row() {
    let mut shelf = contacts();
    shelf.run("INSERT d.s (id, name) VALUES (1, 'a'), (1, 'b')");
    let merge = "MERGE d.t T USING d.s S ON T.id = S.id WHEN MATCHED THEN UPDATE SET name = S.name";
    assert_eq!(
        shelf.error(merge),
        (
            SqlErrorKind::Invalid,
            "UPDATE/MERGE must match at most one source row for each target row".to_owned()
        )
    );
    assert_eq!(shelf.rows(ALL)[0], "1|one|1");
    // Only one of the two rows acts here.
    shelf.run("MERGE d.t T USING d.s S ON T.id = S.id WHEN MATCHED AND S.name = 'b' THEN UPDATE SET T.name = S.name");
    assert_eq!(shelf.rows(ALL)[0], "1|b|1");
}

#[test]
fn merge_by_source_and_insert_row() {
    let mut shelf = contacts();
    shelf.run("CREATE TABLE d.u AS SELECT 7 AS id, 'seven' AS name, NUMERIC '7' AS n, CURRENT_TIMESTAMP() AS at");
    let outcome = shelf.run(
        "MERGE INTO d.t USING d.u ON FALSE
         WHEN NOT MATCHED BY SOURCE AND t.id < 3 THEN DELETE
         WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = CONCAT(name, '!')
         WHEN NOT MATCHED THEN INSERT ROW",
    );
    assert_eq!(
        (outcome.inserted, outcome.updated, outcome.deleted),
        (1, 1, 2)
    );
    assert_eq!(shelf.rows(ALL), ["3|three!|3", "7|seven|7"]);
}

#[test]
fn null_keys_match_only_by_is_not_distinct_from() {
    let mut shelf = Shelf::with(
        "CREATE TABLE d.t (k STRING, v INT64); CREATE TABLE d.s (k STRING, v INT64);
         INSERT d.t VALUES (NULL, 1); INSERT d.s VALUES (NULL, 2)",
    );
    let merge = |on: &str| {
        format!(
            "MERGE d.t T USING d.s S ON {on} WHEN MATCHED THEN UPDATE SET v = S.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (k, v)"
        )
    };
    shelf.run(&merge("T.k = S.k"));
    assert_eq!(shelf.rows("SELECT v FROM d.t ORDER BY v"), ["1", "2"]);
    let outcome = shelf.run(&merge("T.k IS NOT DISTINCT FROM S.k"));
    assert_eq!((outcome.updated, outcome.inserted), (2, 0));
}

#[test]
fn the_nightly_dedupe_leaves_the_newest_version() {
    for condition in [
        "STRUCT(id, at, uuid) IN (SELECT STRUCT(id, at, uuid) FROM (SELECT id, at, uuid, ROW_NUMBER() OVER (PARTITION BY delta.id ORDER BY delta.at DESC) AS rn FROM `d.v` AS delta WHERE at < DATETIME '2026-01-09') a WHERE a.rn <> 1 ORDER BY 1)",
        "(id, at, uuid) IN (SELECT (id, at, uuid) FROM (SELECT id, at, uuid, ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) AS rn FROM `p.d.v`) WHERE rn <> 1)",
        "STRUCT(id, at, uuid) IN (SELECT AS STRUCT id, at, uuid FROM `d.v` AS delta WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) > 1)",
    ] {
        let mut shelf = Shelf::with(
            "CREATE TABLE d.v (id INT64, at DATETIME, uuid STRING);
             INSERT d.v VALUES (1, '2026-01-01', 'a'), (1, '2026-01-02', 'b'), (1, '2026-01-01', 'c'), (2, '2026-01-01', 'd'), (3, NULL, 'e'), (3, '2026-01-01', 'f')",
        );
        let condition = condition.replace(" ORDER BY 1)", ")");
        let outcome = shelf.run(&format!("DELETE FROM `d.v` WHERE {condition}"));
        // A NULL in the key is equal to nothing, so that row stays.
        assert_eq!(outcome.deleted, 2, "{condition}");
        assert_eq!(
            shelf.rows("SELECT uuid FROM d.v ORDER BY 1"),
            ["b", "d", "e", "f"]
        );
    }
}

#[test]
fn insert_checks_columns_and_types() {
    let mut shelf = contacts();
    let outcome =
        shelf.run("INSERT INTO d.t (id, at) SELECT id + 10, '2026-01-01' FROM d.t WHERE id < 3");
    assert_eq!(outcome.inserted, 2);
    for (statement, message) in [
        (
            "INSERT d.t (name) VALUES ('x')",
            "Required field id cannot be null",
        ),
        (
            "INSERT d.t (id, nix) VALUES (1, 2)",
            "Column nix is not present in table p:d.t at [1:17]",
        ),
        (
            "INSERT d.t (id) VALUES (1, 2)",
            "Inserted row has wrong column count; Has 2, expected 1",
        ),
        (
            "INSERT d.t (id) SELECT name FROM d.s",
            "Query column 1 has type STRING which cannot be inserted into column id, which has type INT64",
        ),
        (
            "INSERT d.t (id, n) VALUES (1, 123456789.12)",
            "is not in range",
        ),
        ("INSERT d.nix (id) VALUES (1)", "Not found: Table p:d.nix"),
    ] {
        let (_, text) = shelf.error(statement);
        assert!(text.contains(message), "{statement}: {text}");
    }
    assert_eq!(shelf.rows("SELECT COUNT(*) FROM d.t"), ["5"]);
}

#[test]
fn update_sets_columns_and_fields() {
    let mut shelf = contacts();
    let outcome = shelf.run("UPDATE d.t SET name = NULL, n = n + 0.005 WHERE id = 1 OR at IS NULL");
    assert_eq!(outcome.updated, 2);
    assert_eq!(shelf.rows(ALL), ["1|NULL|1.01", "2|NULL|2.01", "3|three|3"]);
    shelf.run("INSERT d.s (id, name) VALUES (3, 'drei'), (9, 'x')");
    shelf.run("UPDATE d.t AS x SET name = s.name FROM d.s AS s WHERE s.id = x.id");
    assert_eq!(shelf.rows(ALL)[2], "3|drei|3");
    shelf.run("CREATE TABLE d.st (id INT64, a STRUCT<x INT64, y STRUCT<z STRING>>); INSERT d.st VALUES (1, (1, STRUCT('q')))");
    shelf.run("UPDATE d.st SET a.y.z = 'w', id = a.x + 1 WHERE TRUE");
    assert_eq!(shelf.rows("SELECT * FROM d.st"), ["2|(1|(w))"]);
    assert!(
        shelf
            .error("UPDATE d.t SET name = 'x'")
            .1
            .starts_with("UPDATE must have a WHERE clause")
    );
    assert!(
        shelf
            .error("UPDATE d.t SET id = NULL WHERE TRUE")
            .1
            .starts_with("Required field id")
    );
    assert!(
        shelf
            .error("DELETE FROM d.t")
            .1
            .starts_with("DELETE must have a WHERE clause at [1:13]")
    );
}

#[test]
fn delete_and_truncate_count_rows() {
    let mut shelf = contacts();
    assert_eq!(shelf.run("DELETE d.t x WHERE x.id = 1").deleted, 1);
    assert_eq!(
        shelf.run("DELETE FROM d.t WHERE at > '2030-01-01'").deleted,
        0
    );
    assert_eq!(
        shelf
            .run("DELETE FROM d.t WHERE NOT EXISTS (SELECT 1 FROM d.s WHERE s.id = t.id)")
            .deleted,
        2
    );
    shelf.run("INSERT d.t (id) VALUES (1)");
    let outcome = shelf.run("TRUNCATE TABLE d.t");
    assert_eq!(
        (outcome.statement_kind, outcome.deleted),
        ("TRUNCATE_TABLE", 1)
    );
}

#[test]
fn rows_in_the_streaming_buffer_cannot_be_changed() {
    let mut shelf = contacts();
    let table = shelf
        .tables
        .get_mut(&TableName::new("p", "d", "t"))
        .unwrap();
    table.rows[0].streamed_at = Some(1000);
    table.rows[1].streamed_at = Some(10);
    let streaming = Context {
        streaming_since: Some(500),
        ..context()
    };
    let error = run("DELETE FROM d.t WHERE id = 1", &mut shelf, &streaming).unwrap_err();
    assert_eq!(
        error.message,
        "UPDATE or DELETE statement over table p:d.t would affect rows in the streaming buffer, which is not supported"
    );
    assert_eq!(
        run("DELETE FROM d.t WHERE id > 1", &mut shelf, &streaming)
            .unwrap()
            .deleted,
        2
    );
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut shelf = contacts();
    shelf.run("BEGIN TRANSACTION; DELETE FROM d.t WHERE id = 1; INSERT d.t (id) VALUES (9); COMMIT TRANSACTION;");
    assert_eq!(
        shelf.rows("SELECT id FROM d.t ORDER BY id"),
        ["2", "3", "9"]
    );
    shelf.error("BEGIN TRANSACTION; DELETE FROM d.t WHERE TRUE; INSERT d.t (id) VALUES (NULL); COMMIT TRANSACTION");
    assert_eq!(
        shelf.rows("SELECT id FROM d.t ORDER BY id"),
        ["2", "3", "9"]
    );
    shelf.run("BEGIN; DELETE FROM d.t WHERE TRUE; ROLLBACK;");
    assert_eq!(shelf.rows("SELECT COUNT(*) FROM d.t"), ["3"]);
    // Without a transaction what came before an error stays.
    shelf.error("DELETE FROM d.t WHERE id = 2; SELECT nix");
    assert_eq!(shelf.rows("SELECT COUNT(*) FROM d.t"), ["2"]);
    let outcome = shelf.run("INSERT d.t (id) VALUES (10); SELECT COUNT(*) AS n FROM d.t;");
    assert_eq!(
        (outcome.statement_kind, outcome.inserted, outcome.rows.len()),
        ("SCRIPT", 1, 1)
    );
    assert!(
        shelf
            .error("BEGIN TRANSACTION; DROP TABLE d.t; COMMIT TRANSACTION")
            .1
            .contains("DDL")
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut shelf = contacts();
    let dry = Context {
        dry_run: true,
        ..context()
    };
    let outcome = run("DELETE FROM d.t WHERE TRUE", &mut shelf, &dry).unwrap();
    assert_eq!((outcome.deleted, outcome.statement_kind), (0, "DELETE"));
    assert!(outcome.bytes_processed > 0);
    run("DROP TABLE d.t", &mut shelf, &dry).unwrap();
    let outcome = run("SELECT name FROM d.t", &mut shelf, &dry).unwrap();
    assert_eq!((outcome.columns.len(), outcome.rows.len()), (1, 0));
    assert_eq!(shelf.rows("SELECT COUNT(*) FROM d.t"), ["3"]);
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// A small number, or now and then NULL.
    fn cell(&mut self) -> Option<i64> {
        let number = self.roll(8);
        (number > 0).then(|| number.cast_signed())
    }
}

type Pair = (Option<i64>, Option<i64>);

fn literal(rows: &[Pair]) -> String {
    let cell = |cell: Option<i64>| cell.map_or("NULL".to_owned(), |number| number.to_string());
    let rows: Vec<String> = rows
        .iter()
        .map(|(key, value)| format!("({}, {})", cell(*key), cell(*value)))
        .collect();
    rows.join(", ")
}

/// What a MERGE by `T.k = S.k AND S.v > 2` leaves, by comparing each row with each; none for its error.
fn naive(target: &[Pair], source: &[Pair]) -> Option<Vec<Pair>> {
    let matches = |t: &Pair, s: &Pair| t.0.is_some() && t.0 == s.0 && s.1.is_some_and(|v| v > 2);
    let mut result = Vec::new();
    for row in target {
        let found: Vec<_> = source.iter().filter(|other| matches(row, other)).collect();
        // A row of the source with 7 deletes, one with a greater value than the target's changes it.
        let acting: Vec<_> = found
            .iter()
            .filter(|other| {
                other.1 == Some(7) || matches!((other.1, row.1), (Some(s), Some(t)) if s > t)
            })
            .collect();
        match acting.as_slice() {
            [] => result.push(*row),
            [other] if other.1 == Some(7) => {}
            [other] => result.push((row.0, other.1)),
            _ => return None,
        }
    }
    let lonely = source
        .iter()
        .filter(|s| !target.iter().any(|t| matches(t, s)) && s.1.is_some());
    result.extend(lonely);
    result.sort_unstable();
    Some(result)
}

#[test]
fn merge_does_what_comparing_each_row_with_each_does() {
    let mut dice = Dice(7);
    let (mut done, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut some = || -> Vec<Pair> {
            let count = 1 + dice.roll(5);
            (0..count).map(|_| (dice.cell(), dice.cell())).collect()
        };
        let (target, source) = (some(), some());
        let mut shelf = Shelf::with(&format!(
            "CREATE TABLE d.t (k INT64, v INT64); CREATE TABLE d.s (k INT64, v INT64);
             INSERT d.t VALUES {}; INSERT d.s VALUES {}",
            literal(&target),
            literal(&source)
        ));
        let outcome = shelf.try_run(
            "MERGE d.t T USING d.s S ON T.k = S.k AND S.v > 2
             WHEN MATCHED AND S.v = 7 THEN DELETE
             WHEN MATCHED AND S.v > T.v THEN UPDATE SET v = S.v
             WHEN NOT MATCHED AND S.v IS NOT NULL THEN INSERT (k, v) VALUES (S.k, S.v)",
        );
        match naive(&target, &source) {
            None => {
                assert!(outcome.is_err(), "{target:?} {source:?}");
                refused += 1;
            }
            Some(expected) => {
                assert!(outcome.is_ok(), "{target:?} {source:?} {outcome:?}");
                let cell = |cell: Option<i64>| cell.map_or("NULL".to_owned(), |n| n.to_string());
                let expected: Vec<String> = expected
                    .iter()
                    .map(|(k, v)| format!("{}|{}", cell(*k), cell(*v)))
                    .collect();
                assert_eq!(
                    shelf.rows("SELECT k, v FROM d.t ORDER BY k, v"),
                    expected,
                    "{target:?} {source:?}"
                );
                done += 1;
            }
        }
    }
    assert!(done > 100 && refused > 5, "{done} {refused}");
}
