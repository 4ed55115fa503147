//! The suite that every tap must pass.

use singer_test::database::Database;
use singer_test::tap::{Stream, Subject, conforms};

use crate::kit::public;

#[test]
fn it_conforms() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE item (id integer PRIMARY KEY, note text NOT NULL, updated_at timestamptz);
         INSERT INTO item SELECT i, 'note ' || i || repeat('é', 40), '2024-01-01'::timestamptz + i * interval '1 s'
         FROM generate_series(1, 31000) i;
         CREATE TABLE change (id bigint PRIMARY KEY, \"at day\" timestamp, what varchar(100));
         INSERT INTO change SELECT i, '2024-01-01'::timestamp + i / 3 * interval '1 s', 'what ' || i || repeat('x', 60)
         FROM generate_series(1, 32000) i;",
    );
    let mut config = database.tap_config();
    config["attempts"] = 2.into();
    let stream = |table: &str, property: &str, key: Option<&str>, rows| Stream {
        id: public(&database, table),
        name: table.to_owned(),
        property: property.to_owned(),
        replication_key: key.map(str::to_owned),
        rows,
    };
    conforms(&Subject {
        binary: "tap-redshift",
        config,
        args: Vec::new(),
        full: stream("item", "note", None, 31_000),
        incremental: stream("change", "what", Some("at day"), 32_000),
    });
}
