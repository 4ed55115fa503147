//! Filters that are wrong, between a tap and a target that are not: one clear error, and nothing that the state
//! promises is missing.

use serde_json::json;
use singer_test::crm::COPIES;

use crate::pair::{Method, Pair, ROWS, Way};

fn pair(filter: &str) -> Pair {
    Pair::new(Method::Incremental, Way::Upsert).map_keys(&json!({"filter": filter}))
}

#[test]
fn a_filter_that_does_not_compile_stops_the_pipe_before_a_row() {
    let pair = pair(".Email |= asci_downcase");
    let ended = pair.run();
    ended.map.expect_code(2);
    ended
        .map
        .expect_log("`streams.Members.filter` does not compile")
        .expect_log("asci_downcase");
    assert!(pair.crm.copies(COPIES).is_empty() && pair.state().is_none());
}

#[test]
fn a_filter_that_yields_what_is_none_ends_the_run_or_rejects_the_record() {
    for (filter, words) in [
        ("[.]", "object"),
        ("del(.id)", "id"),
        (".Visits = \"many\"", "Visits"),
        (".Unheard = 1", "Unheard"),
        ("error", "filter"),
    ] {
        let pair = pair(filter);
        let ended = pair.run();
        ended.map.expect_code(1);
        ended.map.expect_log(words).expect_log("Members");
        assert!(
            !ended.map.stderr.contains("member-"),
            "no value of a record is logged"
        );
        assert!(pair.state().is_none(), "{filter}");
        assert!(pair.crm.copies(COPIES).is_empty(), "{filter}");
    }
}

#[test]
fn an_endless_filter_is_stopped_after_its_time() {
    let pair = pair("if .Visits == 30 then last(range(0; 1e12)) else . end")
        .map_keys(&json!({"on_error": "reject"}))
        .map_limit(0.2);
    let ended = pair.run();
    ended.map.expect_code(3);
    ended.target.expect_code(0);
    assert_eq!(pair.crm.copies(COPIES).len(), ROWS - 1);
    assert_eq!(pair.folder.read_json_lines("map-rejects.jsonl").len(), 1);
}

#[test]
fn records_that_a_filter_cannot_take_are_rejected_or_pass_as_they_are() {
    for on_error in ["reject", "pass"] {
        let pair = pair("if .Stage == \"Won\" then .Visits = (.Last_Name | tonumber) else . end");
        let pair = pair.map_keys(&json!({"on_error": on_error}));
        let ended = pair.run();
        ended.target.expect_code(0);
        let members = pair.crm.members();
        let won = members
            .values()
            .filter(|member| member["Stage"] == "Won")
            .count();
        let rejects = pair.folder.read_json_lines("map-rejects.jsonl").len();
        if on_error == "reject" {
            ended.map.expect_code(3);
            assert_eq!((rejects, pair.crm.copies(COPIES).len()), (won, ROWS - won));
        } else {
            assert_eq!(rejects, 0);
            pair.assert_equal();
        }
    }
}
