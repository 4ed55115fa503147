//! Zoho's own clients against the stand-ins that the other tests use: what the stand-ins take and answer
//! is what these clients send and understand.

use serde_json::{Value, json};
use singer_test::bin::Finished;

use crate::case::{Case, PROJECT};

#[test]
fn our_stand_in_is_data_store_to_zohos_sdk() {
    let Some(case) = Case::new() else { return };
    let datastore = case.sandbox.datastore();
    datastore
        .create_table(&every_type("Judged"))
        .expect("the table is made");
    for table in ["Judged", "Trips"] {
        judge_data_store(&case, table);
    }
}

#[test]
fn our_stand_in_is_data_store_to_zohos_sdk_in_every_reading() {
    use sandbox::datastore::Written;
    let Some(case) = Case::with(|options| {
        let datastore = &mut options.datastore;
        datastore.booleans = Written::Text;
        datastore.numbers = Written::Text;
        datastore.csv_bom = true;
        datastore.csv_crlf = true;
    }) else {
        return;
    };
    judge_data_store(&case, "Trips");
}

#[test]
fn our_stand_in_is_analytics_to_zohos_client() {
    let Some(case) = Case::new() else { return };
    judge_analytics(&case);
}

#[test]
fn our_stand_in_is_analytics_to_zohos_client_in_other_readings() {
    use sandbox::analytics::ConfigPlace;
    let Some(case) = Case::with(|options| {
        let analytics = &mut options.analytics;
        analytics.config_place = ConfigPlace::Query;
        analytics.job_polls = 4;
        analytics.job_ms = 3_600_000;
    }) else {
        return;
    };
    judge_analytics(&case);
}

/// Lets Zoho's SDK have its say of a table.
#[track_caller]
fn judge_data_store(case: &Case, table: &str) {
    let script = case.script("client_datastore.py");
    assert_ends_well(&script.args([PROJECT, table]).finish());
}

/// Lets Zoho's client have its say of the first workspace.
#[track_caller]
fn judge_analytics(case: &Case) {
    let analytics = case.sandbox.analytics();
    let script = case.script("client_analytics.py");
    let place = [analytics.org(), analytics.workspace()];
    assert_ends_well(&script.args(place).finish());
}

#[track_caller]
fn assert_ends_well(ended: &Finished) {
    ended.expect_code(0);
    assert!(ended.text().ends_with("the end\n"), "{}", ended.text());
}

/// A table with a column of every type, one of which has to be there, and one of which is unique.
pub(crate) fn every_type(name: &str) -> Value {
    let column = |name: &str, kind: &str| json!({"column_name": name, "data_type": kind});
    json!({"table_name": name, "columns": [
        {"column_name": "Code", "data_type": "varchar", "max_length": "60", "is_mandatory": true,
            "is_unique": true},
        column("Prose", "text"), column("Hidden", "encrypted text"), column("Day", "date"),
        column("Moment", "datetime"), column("Small", "int"), column("Large", "bigint"),
        column("Ratio", "double"), column("Price", "decimal"), column("Done", "boolean"),
        {"column_name": "Truck", "data_type": "foreign key", "parent_table": "Trucks"},
        {"column_name": "Kind", "data_type": "varchar", "default_value": "usual"},
    ]})
}
