//! Inserts whose run died: none is there twice.

use serde_json::{Value, json};
use singer_test::bin::Running;
use singer_test::poll;

use crate::kit::{Crm, World, lead, row, rows, schema, state};

fn insert() -> Value {
    // Without the field that the CRM itself keeps unique.
    let fields = json!({"*": "*", "External_Id": ""});
    json!({"operation": "insert", "fields": fields, "chunk_records": 2})
}

fn names(world: &World) -> Vec<String> {
    world.crm.column("Last_Name")
}

/// How many jobs the CRM has been asked for.
fn jobs(world: &World) -> usize {
    let jobs = json!(world.crm.sandbox.crm().jobs_view());
    jobs.as_array().map_or(0, Vec::len)
}

/// A run that has read everything and still waits for more.
fn held(world: &World, input: &str) -> Running {
    let run = world.run(&insert(), &json!({"batch": {"max_records": 4}}));
    let mut running = run.held_stdin().start();
    assert!(running.feed(input));
    running
}

#[test]
fn killed_while_its_job_runs() {
    let world = World::with(Crm::start_with(|options| options.crm.job_ms = 700));
    let input = schema(&["Last_Name"]) + &rows(0..4);
    let running = held(&world, &input);
    poll::until("the job is there", || jobs(&world) > 0);
    running.kill();
    // Perhaps it died before it knew the job: then the next run waits for what may be on its way.
    let input = input + &state(1);
    poll::until("a run is through", || {
        let code = world.feed(&insert(), &input).code();
        assert!(names(&world).len() <= 4);
        code == Some(0)
    });
    assert_eq!(names(&world).len(), 4);
}

#[test]
fn killed_before_it_knows_that_its_job_is_there() {
    let world = World::with(Crm::start_with(|options| options.crm.job_ms = 1));
    world
        .crm
        .set_faults(&["slow:ms=60000,path=/bulk/v8/write,method=POST,times=1"]);
    let input = schema(&["Last_Name"]) + &rows(0..4);
    let running = held(&world, &input);
    poll::until("the job has run", || names(&world).len() >= 2);
    running.kill();
    let ended = world.feed(&insert(), &(input + &state(1)));
    ended.expect_code(0);
    assert_eq!(names(&world).len(), 4);
}

#[test]
fn killed_after_its_rows_are_there_and_before_its_state() {
    let world = World::new();
    let input = schema(&["Last_Name"]) + &rows(0..4);
    let running = held(&world, &input);
    poll::until("the rows are there", || names(&world).len() == 4);
    running.kill();
    world
        .feed(&insert(), &(input + &rows([4]) + &state(1)))
        .expect_code(0);
    assert_eq!(names(&world).len(), 5);
}

#[test]
fn what_was_inserted_before_the_state_is_not_inserted_again() {
    let world = World::new();
    let input = schema(&["Last_Name"]) + &rows(0..5);
    // No STATE came, so that the tap begins anew.
    world.feed(&insert(), &input).expect_code(0);
    let again = world.feed(&insert(), &(input + &rows([5]) + &state(1)));
    again.expect_code(0);
    assert_eq!(again.stdout, b"{\"n\":1}\n");
    let names = names(&world);
    assert_eq!(names.len(), 6, "{names:?}");
}

#[test]
fn a_lost_answer_doubles_nothing_and_loses_nothing() {
    // Nobody asks for the job, so that it runs by the clock.
    let world = World::with(Crm::start_with(|options| options.crm.job_ms = 1));
    world
        .crm
        .set_faults(&["reset:when=after,path=/bulk/v8/write,method=POST,times=1"]);
    let input = schema(&["Last_Name"]) + &rows(0..4) + &state(1);
    let ended = world.feed(&insert(), &input);
    ended.expect_code(0);
    assert_eq!(names(&world).len(), 4);
}

#[test]
fn what_a_printed_state_covers_is_forgotten_also_behind_a_record_that_was_rejected() {
    let world = World::new();
    let mut wrong = lead(9);
    wrong["Company"] = json!(7);
    let input = schema(&["Last_Name"]) + &row(&wrong) + &rows(0..4) + &state(1);
    world.feed(&insert(), &input).expect_code(3);
    assert_eq!(names(&world).len(), 4);
    // A tap that sends them anew behind that state means new records.
    world.feed(&insert(), &input).expect_code(3);
    assert_eq!(names(&world).len(), 8);
}

#[test]
fn what_a_stored_state_covers_is_forgotten() {
    let world = World::new();
    let input = schema(&["Last_Name"]) + &rows(0..4) + &state(1);
    let run = || {
        world
            .run(&insert(), &json!({}))
            .arg("--state-file")
            .arg("state.json")
            .stdin(input.as_str())
            .finish()
    };
    run().expect_code(0);
    assert_eq!(names(&world).len(), 4);
    // A tap that sends them anew behind that state means new records.
    run().expect_code(0);
    assert_eq!(names(&world).len(), 8);
}
