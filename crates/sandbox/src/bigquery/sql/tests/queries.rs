//! Queries and expressions.

use super::{Shelf, SqlErrorKind, refusal, value};

fn people() -> Shelf {
    Shelf::with(
        "CREATE TABLE d.people (id INT64, name STRING, team STRING, age INT64);
         INSERT INTO d.people (id, name, team, age) VALUES
           (1, 'Asha', 'a', 30), (2, 'Bala', 'a', NULL), (3, 'Chitra', 'b', 25), (4, NULL, NULL, 40)",
    )
}

#[test]
fn expressions_have_their_values() {
    for (expression, expected) in [
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3.5"),
        ("DIV(7, 2), MOD(-7, 2)", "3|-1"),
        ("NUMERIC '0.1' + NUMERIC '0.2'", "0.3"),
        ("NUMERIC '1' / 3", "0.333333333"),
        ("NUMERIC '1.5' = 1.5", "true"),
        ("CAST('12.345' AS NUMERIC) * 2", "24.69"),
        ("CAST(1.005 AS NUMERIC(10, 2))", "1.01"),
        ("1 = NULL", "NULL"),
        ("NULL IS NULL, 1 IS DISTINCT FROM NULL", "true|true"),
        (
            "TRUE AND NULL, FALSE AND NULL, TRUE OR NULL",
            "NULL|false|true",
        ),
        ("NOT NULL", "NULL"),
        (
            "1 IN (1, NULL), 2 IN (1, NULL), 2 NOT IN (1, NULL)",
            "true|NULL|NULL",
        ),
        ("2 IN UNNEST([1, 2]), 3 IN UNNEST(NULL)", "true|false"),
        ("3 BETWEEN 1 AND 5, 3 NOT BETWEEN 1 AND 2", "true|true"),
        (
            "CASE WHEN FALSE THEN 1 ELSE 2 END, CASE 3 WHEN 3 THEN 'x' END",
            "2|x",
        ),
        (
            "IF(NULL, 1, 2), IFNULL(NULL, 3), COALESCE(NULL, NULL, 4), NULLIF(5, 5)",
            "2|3|4|NULL",
        ),
        (
            "GREATEST(1, 3, 2), LEAST(1.5, 2), GREATEST(1, NULL)",
            "3|1.5|NULL",
        ),
        (
            "CAST('7' AS INT64), SAFE_CAST('x' AS INT64), CAST(TRUE AS STRING)",
            "7|NULL|true",
        ),
        ("CAST(2.5 AS INT64), CAST(-2.5 AS INT64)", "3|-3"),
        ("CONCAT('a', 'b', 1), 'a' || 'b'", "ab1|ab"),
        (
            "STRPOS('héllo', 'l'), SUBSTR('héllo', 2, 3), SUBSTR('hello', -3)",
            "3|éll|llo",
        ),
        (
            "STARTS_WITH('abc', 'ab'), LOWER('AbC'), UPPER('x'), LENGTH('né')",
            "true|abc|X|2",
        ),
        (
            "REPLACE('aXbX', 'X', '-'), TRIM('  x '), RTRIM('xyy', 'y')",
            "a-b-|x|x",
        ),
        ("SPLIT('a,b', ','), ARRAY_LENGTH([1, 2, 3])", "[a|b]|3"),
        (
            "'abc' LIKE 'a%', 'abc' LIKE 'a_', 'a%' LIKE r'a\\%'",
            "true|false|true",
        ),
        (
            r#"'it\'s', "d'q", '''t''', r'\n', '\u00e9\x41'"#,
            "it's|d'q|t|\\n|éA",
        ),
        (
            "[1, 2][OFFSET(1)], [1, 2][ORDINAL(1)], [1][SAFE_OFFSET(9)]",
            "2|1|NULL",
        ),
        (
            "STRUCT(1 AS a, 'x' AS b).b, (1, 2) = (1, 2), (1, NULL) = (1, 2), (1, NULL) = (2, 2)",
            "x|true|NULL|false",
        ),
        ("STRUCT<x INT64, y DATE>(1, '2026-01-01').y", "2026-01-01"),
        (
            "ARRAY<INT64>[1, 2], ARRAY(SELECT x + 1 FROM UNNEST([1, 2]) AS x)",
            "[1|2]|[2|3]",
        ),
        (
            "TO_JSON_STRING(STRUCT(1 AS a, [TRUE] AS b, NULL AS c))",
            r#"{"a":1,"b":[true],"c":null}"#,
        ),
        (
            r#"PARSE_JSON('{"a": [1, 2]}'), JSON_VALUE('{"a":{"b":"x"}}', '$.a.b')"#,
            r#"json {"a":[1,2]}|x"#,
        ),
        (
            "0x1F, 1e3, -9223372036854775808",
            "31|1000|-9223372036854775808",
        ),
        (
            "ABS(-3), ABS(NUMERIC '-1.5'), ROUND(2.5), ROUND(NUMERIC '2.345', 2), CEIL(1.2)",
            "3|1.5|3|2.35|2",
        ),
        ("SAFE_DIVIDE(1, 0), SAFE.SUBSTR('abc', 1, -1)", "NULL|NULL"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn times_have_their_values() {
    for (expression, expected) in [
        (
            "CURRENT_TIMESTAMP(), CURRENT_DATE",
            "2026-01-02 03:04:05.678901+00|2026-01-02",
        ),
        (
            "TIMESTAMP '2026-01-01 05:30:00+05:30' = TIMESTAMP('2026-01-01T00:00:00Z')",
            "true",
        ),
        (
            "TIMESTAMP_SUB(TIMESTAMP '2026-01-01', INTERVAL 30 MINUTE)",
            "2025-12-31 23:30:00+00",
        ),
        (
            "TIMESTAMP '2026-01-01' - INTERVAL 1 DAY",
            "2025-12-31 00:00:00+00",
        ),
        (
            "TIMESTAMP_ADD(TIMESTAMP '2026-01-01', INTERVAL -1 SECOND)",
            "2025-12-31 23:59:59+00",
        ),
        (
            "TIMESTAMP_DIFF(TIMESTAMP '2026-01-02', TIMESTAMP '2026-01-01', HOUR)",
            "24",
        ),
        (
            "TIMESTAMP_TRUNC(TIMESTAMP '2026-05-17 10:11:12', MONTH)",
            "2026-05-01 00:00:00+00",
        ),
        (
            "TIMESTAMP_TRUNC(TIMESTAMP '2026-05-17 20:00:00', DAY, 'Asia/Kolkata')",
            "2026-05-17 18:30:00+00",
        ),
        (
            "DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH), DATE '2026-01-01' + 1",
            "2024-02-29|2026-01-02",
        ),
        (
            "DATE_DIFF('2026-03-01', DATE '2026-02-01', DAY), DATE_TRUNC(DATE '2026-05-17', WEEK(MONDAY))",
            "28|2026-05-11",
        ),
        (
            "TIMESTAMP_MICROS(1), TIMESTAMP_MILLIS(1), TIMESTAMP_SECONDS(1)",
            "1970-01-01 00:00:00.000001+00|1970-01-01 00:00:00.001+00|1970-01-01 00:00:01+00",
        ),
        ("UNIX_MICROS(TIMESTAMP '1970-01-01 00:00:01')", "1000000"),
        (
            "EXTRACT(YEAR FROM DATE '2026-05-17'), EXTRACT(DAYOFWEEK FROM DATE '2026-05-17')",
            "2026|1",
        ),
        (
            "EXTRACT(HOUR FROM TIMESTAMP '2026-01-01 00:00:00' AT TIME ZONE 'Asia/Kolkata')",
            "5",
        ),
        (
            "DATETIME(2026, 1, 2, 3, 4, 5), DATE(TIMESTAMP '2026-01-01 20:00:00', '+05:30')",
            "2026-01-02 03:04:05|2026-01-02",
        ),
        (
            "FORMAT_TIMESTAMP('%Y-%m-%d %H', TIMESTAMP '2026-01-02 03:04:05')",
            "2026-01-02 03",
        ),
        ("TIMESTAMP '2026-01-01' > '2025-01-01'", "true"),
        ("DATETIME '2026-01-01' = DATE '2026-01-01'", "true"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn what_the_service_refuses_is_invalid() {
    for (expression, message) in [
        ("1 = 'x'", "No matching signature for operator ="),
        ("nothing", "Unrecognized name: nothing at [1:8]"),
        ("9223372036854775807 + 1", "int64 overflow"),
        ("1 / 0", "division by zero: 1 / 0"),
        ("CAST('x' AS INT64)", "Bad int64 value: x"),
        (
            "TIMESTAMP '2026-01-01' = DATE '2026-01-01'",
            "No matching signature",
        ),
        ("[1, 2][OFFSET(2)]", "Array index 2 is out of bounds"),
        (
            "1 IN (SELECT 1, 2)",
            "Subquery of type IN must have only one output column",
        ),
        (
            "(SELECT x FROM UNNEST([1, 2]) AS x)",
            "Scalar subquery produced more than one element",
        ),
        ("CAST(1 AS DATE)", "Invalid cast from INT64 to DATE"),
        ("TRUE + 1", "No matching signature for operator +"),
        ("LOWER(1)", "No matching signature for function LOWER"),
    ] {
        let (kind, text) = refusal(expression);
        assert_eq!(kind, SqlErrorKind::Invalid, "{expression}: {text}");
        assert!(text.contains(message), "{expression}: {text}");
    }
}

#[test]
fn what_is_not_exact_is_unsupported() {
    for expression in [
        "FARM_FINGERPRINT('x')",
        "REGEXP_CONTAINS('x', 'y')",
        "TIMESTAMP '2026-01-01 00:00:00 Europe/Berlin'",
        "GENERATE_UUID()",
        "* FROM `region-us`.INFORMATION_SCHEMA.JOBS",
        "_PARTITIONTIME",
    ] {
        let (kind, text) = refusal(expression);
        assert_eq!(kind, SqlErrorKind::Unsupported, "{expression}: {text}");
    }
}

#[test]
fn order_puts_nulls_first_going_up_and_last_going_down() {
    let mut shelf = people();
    assert_eq!(
        shelf.rows("SELECT age FROM d.people ORDER BY age"),
        ["NULL", "25", "30", "40"]
    );
    assert_eq!(
        shelf.rows("SELECT age FROM d.people ORDER BY age DESC"),
        ["40", "30", "25", "NULL"]
    );
    assert_eq!(
        shelf.rows("SELECT id FROM people ORDER BY age NULLS LAST, id LIMIT 2 OFFSET 1"),
        ["1", "4"]
    );
    assert_eq!(
        shelf.rows("SELECT name AS n FROM d.people WHERE id < 3 ORDER BY n DESC"),
        ["Bala", "Asha"]
    );
    assert_eq!(
        shelf.rows("SELECT id FROM d.people ORDER BY -id LIMIT 1"),
        ["4"]
    );
    assert_eq!(
        shelf.rows("SELECT id, age FROM d.people ORDER BY 2 DESC LIMIT 1"),
        ["4|40"]
    );
}

#[test]
fn groups_have_aggregates_and_having() {
    let mut shelf = people();
    assert_eq!(
        shelf.rows("SELECT team, COUNT(*) AS n, SUM(age), AVG(age), MIN(name), COUNT(age) FROM d.people GROUP BY team ORDER BY team"),
        ["NULL|1|40|40|NULL|1", "a|2|30|30|Asha|1", "b|1|25|25|Chitra|1"]
    );
    assert_eq!(
        shelf.rows("SELECT team FROM d.people GROUP BY 1 HAVING COUNT(*) > 1"),
        ["a"]
    );
    assert_eq!(
        shelf.rows("SELECT COUNT(*), SUM(id), MAX(id) FROM d.people WHERE FALSE"),
        ["0|NULL|NULL"]
    );
    assert_eq!(
        shelf.rows("SELECT COUNT(DISTINCT team), COUNTIF(age > 26) FROM d.people"),
        ["2|2"]
    );
    assert_eq!(
        shelf.rows("SELECT STRING_AGG(name, '-' ORDER BY name DESC), ARRAY_AGG(name IGNORE NULLS ORDER BY id LIMIT 2) FROM d.people"),
        ["Chitra-Bala-Asha|[Asha|Bala]"]
    );
    assert_eq!(
        shelf.rows("SELECT ARRAY_AGG(p ORDER BY id DESC LIMIT 1)[OFFSET(0)].name FROM d.people p WHERE team = 'a'"),
        ["Bala"]
    );
    assert_eq!(
        shelf.rows("SELECT UPPER(team) AS t, LOGICAL_OR(age > 29) FROM d.people WHERE team IS NOT NULL GROUP BY t ORDER BY t"),
        ["A|true", "B|false"]
    );
    assert_eq!(
        shelf.rows("SELECT MAX(age) AS age FROM people HAVING MAX(age) > 1"),
        ["40"]
    );
    let (kind, text) = shelf.error("SELECT name, COUNT(*) FROM d.people GROUP BY team");
    assert_eq!(kind, SqlErrorKind::Invalid);
    assert_eq!(
        text,
        "SELECT list expression references column name which is neither grouped nor aggregated at [1:8]"
    );
}

#[test]
fn windows_rank_rows_and_qualify_filters_them() {
    let mut shelf = Shelf::with(
        "CREATE TABLE d.v (id INT64, at INT64, v STRING);
         INSERT d.v (id, at, v) VALUES (1, 1, 'a'), (1, 3, 'b'), (1, 2, 'c'), (2, NULL, 'd'), (2, 1, 'e')",
    );
    assert_eq!(
        shelf.rows("SELECT v FROM d.v QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) = 1 ORDER BY v"),
        ["b", "e"]
    );
    assert_eq!(
        shelf.rows("SELECT v, ROW_NUMBER() OVER w AS n, LAG(v, 1, '-') OVER w, SUM(at) OVER w FROM d.v WINDOW w AS (PARTITION BY id ORDER BY at) ORDER BY id, n"),
        ["a|1|-|1", "c|2|a|3", "b|3|c|6", "d|1|-|NULL", "e|2|d|1"]
    );
    assert_eq!(
        shelf.rows("SELECT id, COUNT(*) AS n, RANK() OVER (ORDER BY COUNT(*) DESC) AS r FROM d.v GROUP BY id ORDER BY r"),
        ["1|3|1", "2|2|2"]
    );
    assert_eq!(
        shelf.rows("SELECT v, MAX(v) OVER (PARTITION BY id), FIRST_VALUE(v) OVER (PARTITION BY id ORDER BY at DESC) FROM d.v ORDER BY v LIMIT 1"),
        ["a|c|b"]
    );
    assert_eq!(
        shelf.rows("SELECT * EXCEPT (rn) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC NULLS FIRST) AS rn FROM d.v) WHERE rn = 1 ORDER BY id"),
        ["1|3|b", "2|NULL|d"]
    );
    let (_, text) = shelf.error("SELECT v FROM d.v WHERE ROW_NUMBER() OVER () = 1");
    assert!(
        text.starts_with("Analytic function not allowed in WHERE clause"),
        "{text}"
    );
}

#[test]
fn joins_match_by_keys_and_null_matches_nothing() {
    let mut shelf = people();
    shelf.run("CREATE TABLE d.teams (team STRING, title STRING); INSERT d.teams (team, title) VALUES ('a', 'Alpha'), (NULL, 'None'), ('c', 'Gamma')");
    assert_eq!(
        shelf.rows(
            "SELECT p.id, t.title FROM d.people p JOIN d.teams t ON p.team = t.team ORDER BY id"
        ),
        ["1|Alpha", "2|Alpha"]
    );
    assert_eq!(
        shelf.rows("SELECT p.id, t.title FROM d.people AS p LEFT JOIN d.teams AS t ON p.team = t.team AND p.id > 1 ORDER BY 1"),
        ["1|NULL", "2|Alpha", "3|NULL", "4|NULL"]
    );
    assert_eq!(
        shelf.rows("SELECT p.id FROM d.people p JOIN d.teams t ON p.team IS NOT DISTINCT FROM t.team ORDER BY 1"),
        ["1", "2", "4"]
    );
    assert_eq!(
        shelf.rows("SELECT p.id, t.title FROM d.people p FULL JOIN d.teams t ON p.team = t.team ORDER BY 2, 1"),
        ["3|NULL", "4|NULL", "1|Alpha", "2|Alpha", "NULL|Gamma", "NULL|None"]
    );
    assert_eq!(shelf.rows("SELECT COUNT(*) FROM d.people, d.teams"), ["12"]);
    assert_eq!(
        shelf.rows(
            "SELECT * FROM d.teams JOIN (SELECT team, id FROM d.people) USING (team) ORDER BY id"
        ),
        ["a|Alpha|1", "a|Alpha|2"]
    );
    let (_, text) = shelf.error("SELECT team FROM d.people p JOIN d.teams t ON p.team = t.team");
    assert_eq!(text, "Column name team is ambiguous at [1:8]");
    let (_, text) = shelf.error("SELECT p.nix FROM d.people p");
    assert_eq!(text, "Name nix not found inside p at [1:10]");
}

#[test]
fn queries_inside_of_expressions_see_the_row_around() {
    let mut shelf = people();
    assert_eq!(
        shelf.rows("SELECT id FROM d.people p WHERE EXISTS (SELECT 1 FROM d.people q WHERE q.team = p.team AND q.id <> p.id) ORDER BY id"),
        ["1", "2"]
    );
    assert_eq!(
        shelf.rows("SELECT id, (SELECT COUNT(*) FROM d.people q WHERE q.team = p.team) FROM d.people p ORDER BY id"),
        ["1|2", "2|2", "3|1", "4|0"]
    );
    assert_eq!(
        shelf.rows("SELECT id FROM d.people WHERE id = (SELECT MAX(id) FROM d.people)"),
        ["4"]
    );
    assert_eq!(shelf.rows("SELECT id FROM d.people WHERE team NOT IN (SELECT team FROM d.people WHERE id = 3) ORDER BY id"), ["1", "2"]);
    // A NULL in the list makes NOT IN unknown for all that is not in it.
    assert!(shelf.rows("SELECT id FROM d.people WHERE team NOT IN (SELECT team FROM d.people WHERE id >= 3)").is_empty());
    assert_eq!(shelf.rows("SELECT id FROM d.people WHERE STRUCT(id, team) IN (SELECT AS STRUCT id, team FROM d.people) ORDER BY id"), ["1", "2", "3"]);
    assert_eq!(shelf.rows("SELECT id FROM d.people WHERE (id, team) IN (SELECT (id, team) FROM d.people WHERE id = 2)"), ["2"]);
}

#[test]
fn names_stars_arrays_and_sets() {
    let mut shelf = people();
    assert_eq!(
        shelf.rows("WITH a AS (SELECT id AS x FROM d.people), b AS (SELECT x + 1 AS x FROM a) SELECT SUM(x) FROM b"),
        ["14"]
    );
    assert_eq!(
        shelf.rows("SELECT * REPLACE (UPPER(name) AS name) FROM `p.d.people` WHERE id = 1"),
        ["1|ASHA|a|30"]
    );
    assert_eq!(
        shelf.rows("SELECT people.* EXCEPT (name, age) FROM `p`.`d`.`people` LIMIT 1"),
        ["1|a"]
    );
    assert_eq!(
        shelf.rows("SELECT 1 AS a UNION ALL SELECT 2.5 UNION ALL SELECT 1 ORDER BY a"),
        ["1", "1", "2.5"]
    );
    assert_eq!(shelf.rows("SELECT 1 AS a UNION DISTINCT SELECT 1"), ["1"]);
    assert_eq!(
        shelf.rows("SELECT DISTINCT team FROM d.people ORDER BY team"),
        ["NULL", "a", "b"]
    );
    assert_eq!(
        shelf.rows("SELECT x, o FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS o ORDER BY o DESC"),
        ["b|1", "a|0"]
    );
    assert_eq!(
        shelf.rows("SELECT a, b FROM UNNEST([STRUCT(1 AS a, 'x' AS b), (2, 'y')])"),
        ["1|x", "2|y"]
    );
    shelf.run("CREATE TABLE d.arr (id INT64, tags ARRAY<STRING>, f ARRAY<STRUCT<label STRING, value INT64>>)");
    shelf.run("INSERT d.arr VALUES (1, ['x', 'y'], [('l', 1), ('m', 2)]), (2, [], NULL)");
    assert_eq!(
        shelf.rows("SELECT id, t FROM d.arr, UNNEST(tags) AS t ORDER BY t"),
        ["1|x", "1|y"]
    );
    assert_eq!(
        shelf.rows("SELECT id, x.value FROM d.arr a, a.f AS x WHERE label = 'm'"),
        ["1|2"]
    );
    assert_eq!(
        shelf.rows("SELECT id, t FROM d.arr LEFT JOIN UNNEST(tags) AS t ORDER BY id, t"),
        ["1|x", "1|y", "2|NULL"]
    );
    assert_eq!(
        shelf.rows("SELECT f[OFFSET(0)].label, f FROM d.arr WHERE id = 1"),
        ["l|[(l|1)|(m|2)]"]
    );
    assert_eq!(
        shelf.rows("SELECT ARRAY_LENGTH(f) FROM d.arr WHERE id = 2"),
        ["0"]
    );
    let outcome = shelf.run("SELECT id, id + 1, 'x', name AS `the name` FROM d.people");
    let names: Vec<_> = outcome
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["id", "f0_", "f1_", "the name"]);
}

#[test]
fn missing_tables_and_datasets_are_not_found() {
    let mut shelf = people();
    assert_eq!(
        shelf.error("SELECT 1 FROM d.nix"),
        (
            SqlErrorKind::NotFound,
            "Not found: Table p:d.nix was not found in location US".to_owned()
        )
    );
    assert_eq!(
        shelf.error("SELECT 1 FROM `other-project.e.nix`"),
        (
            SqlErrorKind::NotFound,
            "Not found: Dataset other-project:e was not found in location US".to_owned()
        )
    );
    assert_eq!(shelf.error("SELEC 1").0, SqlErrorKind::Invalid);
}

#[test]
fn bytes_are_those_of_the_columns_read() {
    let mut shelf = people();
    let mut bytes = |text: &str| shelf.run(text).bytes_processed;
    assert_eq!(bytes("SELECT id FROM d.people"), 32);
    assert_eq!(bytes("SELECT COUNT(*) FROM d.people"), 0);
    assert_eq!(
        bytes("SELECT id FROM (SELECT * FROM d.people) WHERE age > 1"),
        32 + 24
    );
    assert_eq!(bytes("SELECT name FROM d.people"), 6 + 6 + 8);
    shelf.run("CREATE TABLE d.part (at TIMESTAMP, n INT64) PARTITION BY DATE(at) CLUSTER BY n");
    shelf.run("INSERT d.part VALUES ('2026-01-01 10:00:00', 1), ('2026-01-01 20:00:00', 2), ('2026-02-01', 3)");
    let mut bytes = |text: &str| shelf.run(text).bytes_processed;
    assert_eq!(bytes("SELECT n FROM d.part"), 24);
    assert_eq!(
        bytes("SELECT n FROM d.part WHERE at >= TIMESTAMP('2026-01-15')"),
        16
    );
    assert_eq!(
        bytes(
            "SELECT n FROM d.part WHERE at BETWEEN '2026-01-01 15:00:00' AND '2026-01-01 16:00:00'"
        ),
        32
    );
    assert_eq!(bytes("SELECT n FROM d.part WHERE n = 2"), 8);
    assert_eq!(bytes("DELETE FROM d.part WHERE n = 2"), 16);
}
