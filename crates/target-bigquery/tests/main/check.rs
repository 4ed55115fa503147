//! `--check`: each permission that a run needs is proved, and one that is missing is named with the role
//! that grants it.

use serde_json::json;
use singer_test::bigquery::{BigQuery, PROJECT};

use crate::kit::{World, rows, schema, state};

#[test]
fn what_works_is_said_in_a_line() {
    for method in ["load", "storage_write", "streaming"] {
        let world = World::new();
        let ended = world
            .run(&json!({"method": method}))
            .arg("--check")
            .finish();
        ended.expect_code(0);
        assert!(
            ended.text().contains("sandbox-project") || ended.stderr.contains("sandbox-project")
        );
        // Nothing came into being.
        assert!(world.bigquery.inside().tables().is_empty());
        assert!(
            world
                .bigquery
                .inside()
                .jobs()
                .iter()
                .all(|job| job.kind == "query")
        );
    }
}

#[test]
fn each_permission_that_is_missing_is_named_with_its_role() {
    let world = World::new();
    let extra = json!({"streams": {"orders": {}}});
    world
        .feed(&extra, &(schema() + &rows(0..3, 1) + &state(1)))
        .expect_code(0);
    let check = || world.run(&extra).arg("--check").finish();
    check().expect_code(0);
    for (permission, role) in [
        ("bigquery.jobs.create", "roles/bigquery.jobUser"),
        ("bigquery.datasets.get", "roles/bigquery.dataEditor"),
        ("bigquery.tables.list", "roles/bigquery.dataEditor"),
        ("bigquery.tables.create", "roles/bigquery.dataEditor"),
        ("bigquery.tables.getData", "roles/bigquery.dataEditor"),
        ("bigquery.tables.updateData", "roles/bigquery.dataEditor"),
        ("bigquery.tables.update", "roles/bigquery.dataEditor"),
    ] {
        world.bigquery.deny(&[permission]);
        let ended = check();
        assert_eq!(ended.code(), Some(1), "{permission}: {}", ended.stderr);
        ended.expect_log(permission).expect_log(role);
    }
    // All of them at once, not one after the other.
    world
        .bigquery
        .deny(&["bigquery.tables.create", "bigquery.tables.updateData"]);
    check()
        .expect_code(1)
        .expect_log("bigquery.tables.create")
        .expect_log("bigquery.tables.updateData");
}

#[test]
fn a_data_set_that_cannot_be_created_is_told() {
    let world = World::new();
    world.bigquery.deny(&["bigquery.datasets.create"]);
    let input = schema() + &rows(0..3, 1) + &state(1);
    world
        .feed(&json!({}), &input)
        .expect_code(1)
        .expect_log("bigquery.datasets.create")
        .expect_log("roles/bigquery.user");
    world.bigquery.deny(&[]);
    let extra = json!({"create_dataset": false});
    let ended = world.run(&extra).arg("--check").finish();
    ended.expect_code(1).expect_log("create_dataset");
}

#[test]
fn a_data_set_in_another_place_is_told() {
    let world = World::new();
    world.bigquery.inside().create_dataset(PROJECT, "raw", "EU");
    let ended = world
        .run(&json!({"location": "US"}))
        .arg("--check")
        .finish();
    ended.expect_code(1).expect_log("`EU`");
}

#[test]
fn credentials_that_are_no_good_are_told() {
    let world = World::with(BigQuery::start_with(|options| {
        options.bigquery.anonymous = false;
    }));
    let ended = world
        .run(&json!({"credentials": "not-a-token-of-the-sandbox"}))
        .arg("--check")
        .finish();
    ended.expect_code(1).expect_log("hint:");
    assert!(!ended.stderr.contains("not-a-token"), "{}", ended.stderr);
}
