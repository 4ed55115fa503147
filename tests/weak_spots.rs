//! Many tenants in one database, each with a data set of its own: `tap-redshift` into `target-bigquery`,
//! over a real PostgreSQL and a stand-in of BigQuery. What loaders of this kind are known to do wrong is
//! numbered, and each number is a test, here or in `tests/main/weak_spots.rs` of the target:
//!
//! | | weak spot | test |
//! | --- | --- | --- |
//! | 1 | the row at the cursor is stored once more in every sweep | here, and in the target |
//! | 2 | rows are passed over after a request that failed | in the target |
//! | 3 | one bad row holds back its neighbours | in the target |
//! | 4 | some updates are taken for inserts and never sent | here |
//! | 5 | rows that commit late are behind the cursor | here |
//! | 6 | many rows with one time of change are more than a batch | here |
//! | 7 | older versions of rows are visible for up to a day | in the target |
//! | 8 | deleted rows stay | in the target |
//! | 9 | moments lose their zone | in the target |
//! | 10 | a lost reply doubles rows | in the target |
//! | 11 | a sweep takes 500 rows and no more | here |
//! | 12 | the search for older versions names a column that is not there | in the target |

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::Run;
use singer_test::database::Database;
use singer_test::folder::Folder;
use singer_test::pipe::{self, Cut, Ended};
use singer_test::stream::{self, Messages};
use singer_test::tap::select;

const TENANTS: u64 = 5;

const TABLE: &str = "
CREATE TABLE message (
    id bigint PRIMARY KEY,
    organization_id integer NOT NULL,
    body text,
    inserted_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE FUNCTION fill(first bigint, last bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO message
    SELECT n, n % 5, 'body ' || n, at, at
    FROM (SELECT n, timestamp '2026-01-01' + n * interval '1 second' AS at FROM generate_series(first, last) AS n) AS s
$$;
";

/// A database of several tenants, a BigQuery, and the two programs between them.
struct Pair {
    database: Database,
    bigquery: BigQuery,
    folder: Folder,
}

impl Pair {
    fn new(rows: u64, tap: &Value) -> Pair {
        let database = Database::new();
        database.execute(TABLE);
        let pair = Pair {
            database,
            bigquery: BigQuery::start(),
            folder: Folder::new(),
        };
        pair.fill(1, rows);
        let mut config = pair.database.tap_config();
        for (key, value) in tap.as_object().expect("keys of a config") {
            config[key] = value.clone();
        }
        pair.folder.write_json("tap.json", &config);
        let mut config = pair.bigquery.target_config();
        config["dataset"] = json!("org_{organization_id}");
        config["streams"] = json!({"message": {"order_by": "updated_at",
            "partition_by": {"field": "inserted_at", "type": "MONTH"}}});
        pair.folder.write_json("target.json", &config);
        let ended = pair.run_tap(&["-d"]).finish();
        ended.expect_code(0);
        let mut catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
        for entry in catalog["streams"].as_array_mut().expect("streams") {
            select(entry, Some("updated_at"));
        }
        pair.folder.write_json("catalog.json", &catalog);
        pair
    }

    fn fill(&self, first: u64, last: u64) {
        self.database
            .execute(&format!("SELECT fill({first}, {last})"));
    }

    fn run_tap(&self, args: &[&str]) -> Run {
        Run::of("tap-redshift")
            .folder(self.folder.path())
            .args(["-c", "tap.json"])
            .args(args)
    }

    /// Both programs, from the last state on.
    #[track_caller]
    fn sweep(&self) -> Ended {
        let mut tap = self.run_tap(&["--catalog", "catalog.json"]);
        if self.folder.file("state.json").exists() {
            tap = tap.args(["--state", "state.json"]);
        }
        let target = Run::of("target-bigquery").folder(self.folder.path()).args([
            "-c",
            "target.json",
            "--state-file",
            "state.json",
        ]);
        let ended = pipe::run(tap, target, Cut::Never);
        ended.expect_success();
        ended
    }

    /// Fails the test unless each tenant's table holds its rows of the database, once, and no others.
    #[track_caller]
    fn assert_equal(&self) {
        for tenant in 0..TENANTS {
            let wanted = self.database.value(&format!(
                "SELECT coalesce(json_object_agg(id, body), '{{}}')::text FROM message WHERE organization_id = {tenant}"
            ));
            let wanted: BTreeMap<String, Value> =
                serde_json::from_str(&wanted).expect("PostgreSQL writes JSON");
            let stored = self.bigquery.by(&format!("org_{tenant}.message"), "id");
            assert_eq!(stored.len(), wanted.len(), "rows of tenant {tenant}");
            for (id, body) in wanted {
                assert_eq!(stored[&id]["body"], body, "row {id}");
                assert_eq!(stored[&id]["organization_id"], tenant);
            }
        }
    }
}

fn records(ended: &Ended) -> usize {
    Messages::parse(&ended.tap.stdout, stream::Cut::Never)
        .records("message")
        .len()
}

#[test]
fn weak_spot_1_the_row_at_the_bookmark_is_stored_once_whatever_comes_after_it() {
    let pair = Pair::new(100, &json!({}));
    pair.sweep();
    pair.assert_equal();
    for sweep in 1..=3 {
        pair.fill(100 + sweep * 10 - 9, 100 + sweep * 10);
        pair.sweep();
        pair.assert_equal();
    }
    // Nothing new changes nothing.
    pair.sweep();
    pair.assert_equal();
}

#[test]
fn weak_spot_4_an_update_arrives_whatever_time_after_the_insert_it_was_made() {
    let pair = Pair::new(120, &json!({}));
    pair.sweep();
    // Whole minutes, parts of a second, and no time at all after the newest row.
    pair.database.execute(
        "UPDATE message SET body = body || ' again', updated_at =
            timestamp '2026-01-01 01:00:00' + id * interval '1 minute' + (id % 3) * interval '1 microsecond'
         WHERE id <= 60;
         UPDATE message SET inserted_at = updated_at - interval '2 minutes' WHERE id <= 30",
    );
    pair.sweep();
    pair.assert_equal();
}

#[test]
fn weak_spot_5_rows_that_commit_late_are_found_by_looking_back() {
    let pair = Pair::new(100, &json!({"lookback_seconds": 300}));
    pair.sweep();
    // They were begun before the newest row of the last sweep, and are seen only now.
    pair.database.execute(
        "INSERT INTO message SELECT 1000 + n, n % 5, 'late ' || n, at, at
         FROM (SELECT n, timestamp '2026-01-01' + n * interval '1 second' AS at FROM generate_series(1, 50) AS n) AS s;
         UPDATE message SET body = 'late too', updated_at = timestamp '2026-01-01 00:01:30' WHERE id = 7",
    );
    pair.sweep();
    pair.assert_equal();
}

#[test]
fn weak_spot_6_more_rows_than_a_batch_may_have_one_time_of_change() {
    let pair = Pair::new(3_000, &json!({}));
    pair.sweep();
    pair.database.execute(
        "UPDATE message SET body = 'all at once ' || id, updated_at = timestamp '2026-06-01'",
    );
    pair.sweep();
    pair.assert_equal();
    let ended = pair.sweep();
    // They stand at the bookmark and come again, harmlessly.
    assert!(records(&ended) <= 3_000);
    pair.assert_equal();
}

#[test]
fn weak_spot_11_a_sweep_takes_all_that_is_new() {
    let pair = Pair::new(20_000, &json!({}));
    let ended = pair.sweep();
    assert_eq!(records(&ended), 20_000);
    pair.assert_equal();
}
