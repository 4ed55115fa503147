//! `{column}` in the names of data sets and tables: each tenant has its own, and none is in another's way.

use serde_json::json;

use crate::kit::{World, line, printed, row, schema_of, state};

fn schema() -> String {
    schema_of(
        "orders",
        &json!({"properties": {"tenant": {"type": ["null", "string"]}, "id": {"type": "integer"},
            "name": {"type": ["null", "string"]}}}),
        &["id"],
    )
}

fn of(tenant: &str, id: u64) -> String {
    row(&json!({"tenant": tenant, "id": id, "name": format!("{tenant} {id}")}))
}

fn by_dataset() -> serde_json::Value {
    json!({"dataset": "org_{tenant}"})
}

#[test]
fn each_tenant_has_a_data_set_of_its_own() {
    for method in ["load", "storage_write", "streaming"] {
        let world = World::new();
        let mut extra = by_dataset();
        extra["method"] = json!(method);
        // Two tenants have keys in common.
        let input = schema() + &of("a", 1) + &of("b", 1) + &of("a", 2) + &of("b", 2) + &state(1);
        let ended = world.feed(&extra, &input);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1]);
        for tenant in ["a", "b"] {
            let rows = world.bigquery.by(&format!("org_{tenant}.orders"), "id");
            assert_eq!(rows.len(), 2, "{method}");
            assert!(rows.values().all(|row| row["tenant"] == tenant));
        }
        assert!(world.bigquery.tables("raw").is_empty());
    }
}

#[test]
fn a_column_in_the_name_of_the_table_works_too() {
    let world = World::new();
    let extra = json!({"streams": {"orders": {"table": "orders_{tenant}"}}});
    let input = schema() + &of("a", 1) + &of("b", 1) + &state(1);
    world.feed(&extra, &input).expect_code(0);
    assert_eq!(world.bigquery.tables("raw"), ["orders_a", "orders_b"]);
}

#[test]
fn values_that_make_no_name_are_refused_and_lead_nowhere_else() {
    let world = World::new();
    let mut extra = by_dataset();
    extra["streams"] = json!({"orders": {"tenants": ["a", "b", "x-y", "../raw"]}});
    let mut input = schema() + &of("a", 1);
    for bad in [
        "x-y",
        "../raw",
        "a.orders",
        "a`; DROP TABLE x",
        "",
        "c",
        "A",
    ] {
        input += &of(bad, 9);
    }
    input += &row(&json!({"id": 10, "name": "nobody's"}));
    input += &row(&json!({"tenant": null, "id": 11}));
    input += &(of("b", 2) + &state(1));
    let ended = world.feed(&extra, &input);
    ended.expect_code(3);
    assert_eq!(printed(&ended), [1]);
    assert_eq!(world.rejects().len(), 9);
    assert!(
        world
            .rejects()
            .iter()
            .all(|reject| reject["code"] == "tenant")
    );
    let datasets: Vec<String> = world
        .bigquery
        .inside()
        .tables()
        .into_iter()
        .map(|table| table.dataset)
        .collect();
    assert_eq!(datasets, ["org_a", "org_b"]);
}

#[test]
fn a_tenant_that_may_not_be_written_is_left_out_and_the_others_go_on() {
    for method in ["load", "storage_write", "streaming"] {
        let world = World::new();
        let mut extra = by_dataset();
        extra["method"] = json!(method);
        let first = schema() + &of("a", 1) + &of("b", 1) + &of("c", 1) + &state(1);
        world.feed(&extra, &first).expect_code(0);
        world.bigquery.deny(&["* sandbox-project:org_b"]);
        let second = schema() + &of("a", 2) + &of("b", 2) + &of("c", 2) + &state(2);
        let ended = world.feed(&extra, &second);
        ended.expect_code(3).expect_log("org_b.orders");
        assert_eq!(printed(&ended), [2], "{method}");
        let count = |tenant: &str| world.bigquery.count(&format!("org_{tenant}.orders"));
        assert_eq!(
            (count("a"), count("b"), count("c")),
            (Some(2), Some(1), Some(2))
        );
        assert_eq!(world.rejects().len(), 1, "{method}");
        // The permission comes back, and the list is sent again.
        world.bigquery.deny(&[]);
        let run = world.run(&extra).args(["--input", "rejects.jsonl"]);
        run.finish().expect_code(0);
        assert_eq!(count("b"), Some(2), "{method}");
    }
}

#[test]
fn a_tenant_whose_table_does_not_fit_is_left_out_and_the_others_go_on() {
    let world = World::new();
    let body = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "DATE"}]}});
    let inside = world.bigquery.inside();
    inside
        .create_table(singer_test::bigquery::PROJECT, "org_b.orders", &body)
        .expect("a table can be made");
    let input = schema() + &of("a", 1) + &of("b", 1) + &of("c", 1) + &state(1);
    let ended = world.feed(&by_dataset(), &input);
    ended.expect_code(3);
    assert_eq!(printed(&ended), [1]);
    assert_eq!(world.bigquery.count("org_a.orders"), Some(1));
    assert_eq!(world.bigquery.count("org_b.orders"), Some(0));
}

#[test]
fn tables_of_tenants_are_replaced_each_by_itself() {
    let world = World::new();
    let mut extra = by_dataset();
    extra["mode"] = json!("replace");
    let version = |number: u64, text: String| {
        let rows = text.replace("\"record\"", &format!("\"version\":{number},\"record\""));
        let activate =
            line(&json!({"type": "ACTIVATE_VERSION", "stream": "orders", "version": number}));
        schema() + &rows + &activate + &state(number)
    };
    let first = version(1, of("a", 1) + &of("a", 2) + &of("b", 1));
    world.feed(&extra, &first).expect_code(0);
    let second = version(2, of("a", 3) + &of("b", 4) + &of("b", 5));
    world.feed(&extra, &second).expect_code(0);
    let keys = |tenant: &str| -> Vec<String> {
        let rows = world.bigquery.by(&format!("org_{tenant}.orders"), "id");
        rows.into_keys().collect()
    };
    assert_eq!(
        (keys("a"), keys("b")),
        (vec!["3".to_owned()], vec!["4".to_owned(), "5".to_owned()])
    );
}

/// Most of what a run needs for a tenant is answers to wait for: they are asked for side by side, and no
/// more than so many.
#[test]
fn five_hundred_tenants_in_one_run_need_little_memory() {
    let world = World::new();
    let mut extra = by_dataset();
    extra["method"] = json!("streaming");
    let mut running = world.run(&extra).held_stdin().start();
    let mut input = schema();
    for id in 0..4u64 {
        for tenant in 0..500 {
            input += &of(&format!("t{tenant}"), id);
        }
    }
    assert!(running.feed(input + &state(1)));
    running.close_stdin();
    let mut most = 0;
    while !running.has_ended() {
        most = most.max(running.memory_bytes());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let ended = running.finish();
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    assert!(most < 64 << 20, "{most} bytes of memory");
    for tenant in [0, 250, 499] {
        assert_eq!(
            world.bigquery.count(&format!("org_t{tenant}.orders")),
            Some(4)
        );
    }
}
