//! A table at a real database, a stand-in of Pendo that knows its ids, and the two programs between
//! them: what a pipeline test starts from, and the one question it ends with: are both sides equal?

use std::path::PathBuf;

use sandbox::Options;
use sandbox::pendo::Kind;
use serde_json::{Map, Value, json};
use singer_test::bin::Run;
use singer_test::database::Database;
use singer_test::folder::Folder;
use singer_test::pendo::Pendo;
use singer_test::pipe::{self, Cut, Ended};
use singer_test::tap::select;

/// The fields of the stand-in that the table's columns are mapped to.
const FIELDS: [(&str, &str); 6] = [
    ("name", "string"),
    ("seats", "integer"),
    ("ratio", "float"),
    ("active", "boolean"),
    ("renewal", "time"),
    ("updated_at", "time"),
];

/// Quotes, line ends and letters of many scripts, nulls, and one second between two rows.
const TABLE: &str = "
CREATE TABLE account (
    id text PRIMARY KEY,
    name text,
    seats integer,
    ratio numeric(8,4),
    active boolean,
    renewal date,
    updated_at timestamptz NOT NULL
);
CREATE FUNCTION fill(first integer, last integer, revision integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO account
    SELECT 'account-' || lpad(n::text, 7, '0'),
           CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN E'Zo\\u00eb \"' || n || E'\"\\n\\\\' || revision
                ELSE 'name ' || n || ' ' || revision END,
           n % 1000 + revision, n / 8.0, CASE n % 3 WHEN 0 THEN NULL ELSE n % 3 = 1 END,
           date '2026-01-01' + n % 400,
           timestamptz '2026-01-01T00:00:00Z' + (revision * 10000000 + n) * interval '1 second'
    FROM generate_series(first, last) AS n
    ON CONFLICT (id) DO UPDATE SET (name, seats, ratio, active, renewal, updated_at) =
        (excluded.name, excluded.seats, excluded.ratio, excluded.active, excluded.renewal, excluded.updated_at)
$$;
";

/// The rows as the stand-in keeps them: without nulls, times as epoch milliseconds.
const ROWS: &str = "
SELECT coalesce(json_object_agg(id, json_strip_nulls(json_build_object(
    'name', name, 'seats', seats, 'ratio', ratio, 'active', active,
    'renewal', (extract(epoch FROM renewal AT TIME ZONE 'UTC') * 1000)::bigint,
    'updated_at', (extract(epoch FROM updated_at) * 1000)::bigint))), '{}')::text
FROM account";

/// How the table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As a whole.
    FullTable,
    /// By `updated_at`.
    Incremental,
}

/// Both sides of a pipeline, and a folder for its files.
pub struct Pair {
    /// The source.
    pub database: Database,
    /// The destination.
    pub pendo: Pendo,
    /// Configs, catalog, state.
    pub folder: Folder,
    /// More keys of the target's config.
    pub target_config: Map<String, Value>,
}

impl Pair {
    /// A table of so many rows, read by a method, and an empty Pendo that knows every id.
    pub fn new(rows: u64, method: Method) -> Pair {
        Pair::with(rows, method, |_| {})
    }

    /// The same with other options of the stand-in.
    pub fn with(rows: u64, method: Method, change: impl FnOnce(&mut Options)) -> Pair {
        let database = Database::new();
        database.execute(TABLE);
        let pendo = Pendo::start_with(change);
        pendo.set_fields(Kind::Account, &FIELDS);
        let pair = Pair {
            database,
            pendo,
            folder: Folder::new(),
            target_config: Map::new(),
        };
        pair.fill(1..=rows, 1);
        pair.folder
            .write_json("tap.json", &pair.database.tap_config());
        pair.write_catalog(method);
        pair
    }

    /// Writes rows, over those that are there; each revision has other values and later times.
    pub fn fill(&self, numbers: std::ops::RangeInclusive<u64>, revision: u32) {
        let (first, last) = (numbers.start(), numbers.end());
        self.database
            .execute(&format!("SELECT fill({first}, {last}, {revision})"));
        self.pendo.know(
            Kind::Account,
            self.database.column("SELECT id FROM account"),
        );
    }

    /// The file that holds the states.
    pub fn state_file(&self) -> PathBuf {
        self.folder.file("state.json")
    }

    /// The tap, from the state file if there is one.
    pub fn tap(&self) -> Run {
        let run = Run::of("tap-redshift")
            .folder(self.folder.path())
            .args(["-c", "tap.json"]);
        let run = run.args(["--catalog", "catalog.json"]);
        let jobs = if self.database.takes_one_connection() {
            vec!["--jobs", "1"]
        } else {
            vec![]
        };
        let run = run.args(jobs);
        if self.state_file().exists() {
            run.args(["--state", "state.json"])
        } else {
            run
        }
    }

    /// The target, with small batches and the state file.
    pub fn target(&self) -> Run {
        let mut config = json!({
            "batch_records": 100,
            "streams": {"account": {"kind": "account", "fields": own_names()}},
        });
        let members = config.as_object_mut().expect("the config is an object");
        for part in [
            self.pendo.target_config(),
            Value::Object(self.target_config.clone()),
        ] {
            let Value::Object(part) = part else {
                panic!("a part of a config is an object")
            };
            members.extend(part);
        }
        self.folder.write_json("target.json", &config);
        let run = Run::of("target-pendo")
            .folder(self.folder.path())
            .args(["-c", "target.json"]);
        run.args(["--state-file", "state.json"])
    }

    /// Both, to the end.
    pub fn run(&self, cut: Cut) -> Ended {
        pipe::run(self.tap(), self.target(), cut)
    }

    /// The rows of the table, as the stand-in should hold them.
    pub fn rows(&self) -> Map<String, Value> {
        serde_json::from_str(&self.database.value(ROWS)).expect("PostgreSQL writes JSON")
    }

    /// What the stand-in holds.
    pub fn stored(&self) -> Map<String, Value> {
        self.pendo.custom(Kind::Account).into_iter().collect()
    }

    /// Fails the test unless the stand-in holds every row of the table as it is, and nothing else;
    /// and unless every id was in flight only once at a time.
    #[track_caller]
    pub fn assert_equal(&self) {
        self.assert_same_rows();
        self.pendo.assert_no_overlaps();
    }

    /// The same where a process died with requests under way: the stand-in still holds them when the
    /// next process sends those rows again.
    #[track_caller]
    pub fn assert_same_rows(&self) {
        let (rows, stored) = (self.rows(), self.stored());
        let missing = rows.keys().filter(|id| !stored.contains_key(*id)).count();
        assert_eq!(missing, 0, "rows that never arrived, of {}", rows.len());
        assert_eq!(stored.len(), rows.len(), "records at the destination");
        for (id, row) in &rows {
            assert!(
                same(row, &stored[id]),
                "{id}: {row} in the table, {} stored",
                stored[id]
            );
        }
    }

    /// The state that the last run left, if it left one. Fails the test if it is no whole JSON value.
    #[track_caller]
    pub fn state(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.state_file()).ok()?;
        Some(serde_json::from_str(text.trim_end()).expect("the state file is whole at any time"))
    }

    fn write_catalog(&self, method: Method) {
        let ended = Run::of("tap-redshift")
            .folder(self.folder.path())
            .args(["-c", "tap.json", "-d"])
            .finish();
        ended.expect_code(0);
        let mut catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
        let key = match method {
            Method::FullTable => None,
            Method::Incremental => Some("updated_at"),
        };
        for entry in catalog["streams"]
            .as_array_mut()
            .expect("a catalog lists streams")
        {
            if entry["table_name"] == "account" {
                select(entry, key);
            }
        }
        self.folder.write_json("catalog.json", &catalog);
    }
}

fn own_names() -> Value {
    FIELDS
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!(name)))
        .collect::<Map<_, _>>()
        .into()
}

/// Equal, with numbers by their value: `1.5000` and `1.5` are one number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
