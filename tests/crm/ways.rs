//! What a person may want between reading and writing: other names, fewer records, several of one, other
//! operations of the target, a look at what would happen, and rows that are refused, mended and sent again.

use serde_json::{Value, json};
use singer_test::crm::{COPIES, MODULE};

use crate::pair::{Method, Pair, ROWS, Way};

fn pair() -> Pair {
    Pair::new(Method::Incremental, Way::Upsert)
}

#[test]
fn a_filter_may_yield_none_one_or_several() {
    let filter = "select(.Stage != \"Lost\") | ., (if .Stage == \"Won\" then .id += \"-copy\" | .Visits += 1000 else empty end)";
    let pair = pair().map_keys(&json!({"filter": filter}));
    let ended = pair.sync();
    let members = pair.crm.members();
    let of = |stage: &str| {
        members
            .values()
            .filter(|member| member["Stage"] == stage)
            .count()
    };
    assert_eq!(ended.records(), of("Open") + 2 * of("Won"));
    let copies = pair.crm.copies(COPIES);
    assert_eq!(copies.len(), ended.records());
    for (id, member) in &members {
        let visits = member["Visits"].as_u64().expect("a number");
        assert_eq!(copies.contains_key(id), member["Stage"] != "Lost");
        if member["Stage"] == "Won" {
            assert_eq!(copies[&format!("{id}-copy")]["Visits"], visits + 1000);
        }
    }
}

#[test]
fn fields_are_renamed_dropped_derived_and_keep_every_digit() {
    let pair = pair().map_keys(&json!({
        "rename": {"id": "Source_Id", "Email": "mail"}, "drop": ["Phone", "Seen_At"],
        "filter": ".Notes = (.Last_Name | ascii_upcase) | .Visits += 1",
    }));
    let pair = pair.stream_keys(&json!({"fields": {"*": "*", "mail": "Email"}}));
    pair.sync();
    let (members, copies) = (pair.crm.members(), pair.crm.copies(COPIES));
    assert_eq!(copies.len(), ROWS);
    for (id, member) in &members {
        let copy = &copies[id];
        for same in [
            "Email",
            "Last_Name",
            "Serial",
            "Score",
            "Active",
            "Born",
            "Stage",
        ] {
            assert_eq!(copy[same], member[same], "`{same}` of {id}");
        }
        assert!(copy.get("Phone").is_none_or(Value::is_null));
        let visits = member["Visits"].as_u64().expect("a number");
        assert_eq!(copy["Visits"], visits + 1);
        let name = member["Last_Name"].as_str().expect("a text");
        assert_eq!(copy["Notes"], name.to_ascii_uppercase());
    }
}

#[test]
fn a_module_is_cleaned_up_in_place() {
    let pair = pair()
        .map_keys(&json!({"rename": {}, "drop": ["*"], "schema": {"Notes": "string"}, "filter": "select(.Stage == \"Won\") | {id, Notes: \"won\"}"}))
        .stream_keys(&json!({"module": MODULE, "operation": "update", "find_by": "id"}));
    let before = pair.crm.members();
    pair.sync();
    let after = pair.crm.members();
    assert_eq!(after.len(), before.len());
    for (id, member) in &after {
        let is_won = member["Stage"] == "Won";
        let notes = if is_won {
            json!("won")
        } else {
            before[id]["Notes"].clone()
        };
        assert_eq!(member["Notes"], notes);
        for same in ["Last_Name", "Phone", "Visits", "Born"] {
            assert_eq!(member[same], before[id][same], "`{same}` of {id}");
        }
    }
}

#[test]
fn an_update_creates_nothing_and_lists_what_is_missing() {
    let pair = pair().stream_keys(&json!({"operation": "update"}));
    let ids = pair.crm.ids();
    let known: Vec<Value> = ids[..40]
        .iter()
        .map(|id| json!({"Last_Name": "old", "Source_Id": id.to_string()}))
        .collect();
    pair.crm.put(COPIES, &json!(known));
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(0 | 3)),
        "{}",
        ended.target.stderr
    );
    ended.target.expect_log(&format!("missing={}", ROWS - 40));
    let copies = pair.crm.copies(COPIES);
    assert_eq!(copies.len(), 40);
    assert!(copies.values().all(|copy| copy["Last_Name"] != "old"));
    assert_eq!(ended.target.code(), Some(0), "what is missing is no reject");
}

#[test]
fn an_insert_with_find_by_leaves_what_is_there() {
    let pair = pair().stream_keys(&json!({"operation": "insert"}));
    let ids = pair.crm.ids();
    let known: Vec<Value> = ids[..40]
        .iter()
        .map(|id| json!({"Last_Name": "old", "Source_Id": id.to_string()}))
        .collect();
    pair.crm.put(COPIES, &json!(known));
    let ended = pair.sync();
    ended.target.expect_log("unchanged=40");
    let copies = pair.crm.copies(COPIES);
    assert_eq!(copies.len(), ROWS);
    let old = copies.values().filter(|copy| copy["Last_Name"] == "old");
    assert_eq!(old.count(), 40);
}

#[test]
fn empties_leave_the_values_of_copies_alone_unless_they_are_to_clear_them() {
    for ignores in [true, false] {
        let pair = pair().stream_keys(&json!({"ignore_empty": ignores}));
        pair.sync();
        let ids = pair.crm.ids();
        let phone = pair.crm.members()[&ids[1].to_string()]["Phone"].clone();
        pair.revise(&ids[1..2], 2);
        pair.sync();
        let copy = &pair.crm.copies(COPIES)[&ids[1].to_string()];
        assert_eq!(copy["Visits"], 2);
        let wanted = if ignores { phone } else { Value::Null };
        assert_eq!(copy["Phone"], wanted);
    }
}

#[test]
fn dry_runs_of_both_ends_tell_credits_and_write_nothing() {
    let pair = pair();
    let tap = pair.tap().arg("--dry-run").finish();
    tap.expect_code(0);
    assert!(tap.stdout.is_empty());
    tap.expect_log("would read").expect_log("records=130");
    let lines = pair.lines().join("\n") + "\n";
    let before = pair.crm.inside().credits_view().used;
    let target = pair.target().arg("--dry-run").stdin(lines).finish();
    target.expect_code(0).expect_log("API credits");
    let used = pair.crm.inside().credits_view().used - before;
    assert!(used < 10, "{used} credits for a look");
    assert!(pair.crm.copies(COPIES).is_empty());
    assert!(pair.state().is_none());
    assert_eq!(pair.crm.requests("POST", "/upload"), 0);
}

#[test]
fn refused_rows_are_told_mended_and_sent_again() {
    // The first two are wrong for the service alone, the third for its field's length, the fourth for its list.
    let filter = ".Email |= (if . == \"member-3@example.org\" or . == \"member-4@example.org\" then \"nobody\" else . end) \
        | .Phone |= (if . == \"+47 00000006\" then . * 4 else . end) \
        | .Stage |= (if . == \"Lost\" then \"Gone\" else . end)";
    let pair = pair().map_keys(&json!({"filter": filter}));
    let ended = pair.run();
    ended.tap.expect_code(0);
    ended.target.expect_code(3);
    let lost = pair
        .crm
        .members()
        .values()
        .filter(|member| member["Stage"] == "Lost")
        .count();
    let rejects = pair.rejects();
    assert_eq!(rejects.len(), lost + 3);
    assert_eq!(pair.crm.copies(COPIES).len(), ROWS - lost - 3);
    for reject in &rejects {
        assert_eq!(reject["stream"], MODULE);
        assert!(reject["record"]["Source_Id"].is_string(), "{reject}");
        let reason = reject["reason"].as_str().expect("a reason");
        let field = ["Email", "Phone", "Stage"]
            .iter()
            .find(|field| reason.contains(&format!("`{field}`")));
        assert!(field.is_some(), "{reason}");
        assert!(reject["code"].is_string(), "{reject}");
    }
    assert!(
        !ended.target.stderr.contains("nobody"),
        "no value of a row is logged"
    );
    assert!(
        pair.bookmark().is_some(),
        "rejects do not hold the state back"
    );
    // Mended by hand, and sent once more.
    let mended: String = pair
        .rejects()
        .into_iter()
        .map(|mut reject| {
            reject["record"]["Email"] = "somebody@example.org".into();
            reject["record"]["Phone"] = Value::Null;
            reject["record"]["Stage"] = "Lost".into();
            format!("{reject}\n")
        })
        .collect();
    pair.folder.write("mended.jsonl", mended);
    std::fs::remove_file(pair.folder.file("rejects.jsonl")).expect("there are rejects");
    let ended = pair.target().args(["--input", "mended.jsonl"]).finish();
    ended.expect_code(0);
    let copies = pair.crm.copies(COPIES);
    assert_eq!(copies.len(), ROWS);
    let mended = copies
        .values()
        .filter(|copy| copy["Email"] == "somebody@example.org");
    assert_eq!(mended.count(), lost + 3);
}

#[test]
fn records_without_a_key_and_equal_keys() {
    let pair = pair();
    let text = json!({"type": ["null", "string"]});
    let line = |value: Value| format!("{value}\n");
    let schema = line(
        json!({"type": "SCHEMA", "stream": MODULE, "key_properties": ["Source_Id"],
        "schema": {"properties": {"Last_Name": text, "Source_Id": text}}}),
    );
    let row = |record: Value| line(json!({"type": "RECORD", "stream": MODULE, "record": record}));
    let state = line(json!({"type": "STATE", "value": {"n": 1}}));
    let input = schema.clone()
        + &row(json!({"Source_Id": "b", "Last_Name": "one"}))
        + &row(json!({"Source_Id": "b", "Last_Name": "two"}))
        + &state;
    let ended = pair.target().stdin(input).finish();
    ended.expect_code(0);
    let names: Vec<Value> = pair
        .crm
        .dump(COPIES)
        .into_iter()
        .map(|copy| copy["Last_Name"].clone())
        .collect();
    assert_eq!(names, ["two"]);
    // A record without its key is no row; the run ends before it, and what was before it is safe.
    let input = schema
        + &row(json!({"Source_Id": "c", "Last_Name": "c"}))
        + &row(json!({"Last_Name": "nobody"}))
        + &state;
    let ended = pair.target().stdin(input).finish();
    ended.expect_code(1);
    ended.expect_log("Source_Id");
    assert_eq!(pair.state(), Some(json!({"n": 1})));
}
