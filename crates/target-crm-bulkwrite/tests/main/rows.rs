//! Rows that were written, and rows that were not.

use serde_json::json;

use crate::kit::{Crm, World, lead, row, rows, schema, state};

#[test]
fn each_row_that_failed_is_a_reject_with_its_code_and_the_state_is_printed() {
    let world = World::new();
    let mut wrong = lead(2);
    wrong["Email"] = json!("nobody");
    let mut bare = lead(3);
    bare["Last_Name"] = json!(null);
    let input = schema(&["External_Id"]) + &rows([1]) + &row(&wrong) + &row(&bare) + &state(1);
    let settings = json!({"find_by": "External_Id"});
    let ended = world.feed(&settings, &input);
    ended.expect_code(3);
    assert_eq!(ended.stdout, b"{\"n\":1}\n");
    assert_eq!(world.crm.column("External_Id"), ["x1"]);
    let rejects = world.rejects();
    assert_eq!(rejects.len(), 2);
    assert_eq!(rejects[0]["code"], json!("INVALID_DATA"));
    assert_eq!(rejects[0]["record"], wrong);
    assert_eq!(rejects[1]["code"], json!("MANDATORY_NOT_FOUND"));
    assert_eq!(
        rejects[1]["reason"],
        json!("field `Last_Name`: MANDATORY_NOT_FOUND")
    );
}

#[test]
fn empties_wipe_nothing_unless_they_are_to() {
    let world = World::new();
    let settings = json!({"find_by": "External_Id"});
    let schema = schema(&["External_Id"]);
    let mut full = lead(1);
    full["Email"] = json!("a@example.org");
    world
        .feed(&settings, &(schema.clone() + &row(&full)))
        .expect_code(0);
    let mut empty = lead(1);
    empty["Email"] = json!(null);
    let input = schema + &row(&empty);
    world.feed(&settings, &input).expect_code(0);
    assert_eq!(world.crm.column("Email"), ["a@example.org"]);
    let clears = json!({"find_by": "External_Id", "ignore_empty": false});
    world.feed(&clears, &input).expect_code(0);
    assert_eq!(world.crm.column("Email"), [""]);
}

#[test]
fn jobs_that_are_cut_short_are_sent_again() {
    let world = World::new();
    world
        .crm
        .set_faults(&["timeout:records=2,applied=2,path=/bulk/v8/write,times=1"]);
    let settings = json!({"find_by": "External_Id"});
    let ended = world.feed(
        &settings,
        &(schema(&["External_Id"]) + &rows(0..6) + &state(1)),
    );
    ended.expect_code(0);
    assert_eq!(world.crm.leads().len(), 6);
}

#[test]
fn results_behind_absolute_addresses_and_lost_uploads_are_no_trouble() {
    let world = World::new();
    world
        .crm
        .set_faults(&["reset:when=after,path=/upload,times=1"]);
    let settings = json!({"find_by": "External_Id", "chunk_records": 2});
    let ended = world.feed(
        &settings,
        &(schema(&["External_Id"]) + &rows(0..6) + &state(1)),
    );
    ended.expect_code(0);
    assert_eq!(world.crm.leads().len(), 6);
}

#[test]
fn a_run_without_credits_ends_with_75() {
    let world = World::with(Crm::start_with(|options| options.crm.credits = 1_200));
    let settings = json!({"find_by": "External_Id", "chunk_records": 1});
    let run = world.run(&settings, &json!({"min_credits": 600, "parallel": 1}));
    let input = schema(&["External_Id"]) + &rows(0..3) + &state(1);
    let ended = run.stdin(input.as_str()).finish();
    ended.expect_code(75);
    assert!(ended.stdout.is_empty());
    assert!(world.crm.leads().len() < 3);
}

#[test]
fn a_module_or_a_field_that_is_not_there_is_told_before_anything_is_written() {
    let world = World::new();
    let input = schema(&["External_Id"]) + &rows([1]);
    let ended = world.feed(
        &json!({"module": "Ghosts", "find_by": "External_Id"}),
        &input,
    );
    assert!(matches!(ended.code(), Some(1 | 2)), "{:?}", ended.code());
    ended.expect_log("`Ghosts`");
    let fields = json!({"*": "*", "Email": "Ghost", "Company": "Created_Time"});
    let settings = json!({"find_by": "External_Id", "fields": fields});
    let ended = world.feed(&settings, &input);
    ended.expect_log("`Ghost`").expect_log("`Created_Time`");
    assert!(world.crm.leads().is_empty());
}

#[test]
fn check_and_dry_run_write_nothing() {
    let world = World::new();
    let settings = json!({"find_by": "External_Id"});
    let check = world.run(&settings, &json!({})).arg("--check").finish();
    check.expect_code(0);
    let run = world.run(&settings, &json!({})).arg("--dry-run");
    let ended = run.stdin(schema(&["External_Id"]) + &rows(0..3)).finish();
    ended.expect_code(0).expect_log("API credits");
    assert!(world.crm.leads().is_empty());
}
