//! Zoho's SDK against the stand-in that the other tests use: what the stand-in takes and answers is what the
//! SDK sends and understands, and what the SDK wrote is there.

use sandbox::crm::{CrmJobView, Separator, WriteResult};
use singer_test::bin::Finished;

use crate::case::Case;

#[test]
fn our_stand_in_is_crm_to_zohos_sdk() {
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    judge(&case, Separator::Semicolon);
}

#[test]
fn our_stand_in_is_crm_to_zohos_sdk_in_other_readings() {
    let Some(case) = Case::with(|options| {
        let crm = &mut options.crm;
        crm.multi_separator = Separator::Comma;
        crm.csv_crlf = true;
        crm.csv_bom = true;
        crm.id_header = "id".to_owned();
        crm.job_polls = 4;
        crm.job_ms = 3_600_000;
        crm.upload_status = 400;
        crm.write_progress = "IN PROGRESS".to_owned();
        crm.write_result = WriteResult::Absolute;
        crm.unchanged_status = 204;
    }) else {
        return;
    };
    judge(&case, Separator::Comma);
}

#[test]
fn our_stand_in_is_crm_to_a_connector_of_others() {
    let Some(case) = Case::with(|_| {}) else {
        return;
    };
    assert_ends_well(&case.script("connector_crm.py").finish());
}

/// Lets the SDK have its say, and looks at what it left behind.
#[track_caller]
fn judge(case: &Case, separator: Separator) {
    let script = case.script("client_crm.py");
    assert_ends_well(&script.arg(separator.text()).finish());
    assert_ends_well(&case.script("client_crm_write.py").finish());
    let crm = case.sandbox.crm();
    let written = |job: &&CrmJobView| job.operation != "read";
    let jobs = crm.jobs_view();
    let rows: usize = jobs
        .iter()
        .filter(written)
        .map(|job| job.added + job.updated)
        .sum();
    // Deals: two were added, one changed twice; contacts: 300 were added, then 100 added and 100 changed;
    // three visits with seven readings, and a vendor.
    assert_eq!(rows, 2 + 2 + 300 + 200 + 3 + 7 + 1);
    assert_eq!(crm.record_count("Deals"), Some(2));
    assert_eq!(crm.record_count("Vendors"), Some(0));
}

#[track_caller]
fn assert_ends_well(ended: &Finished) {
    ended.expect_code(0);
    assert!(ended.text().ends_with("the end\n"), "{}", ended.text());
}
