//! `target-crm-bulkwrite` killed at every point where it could matter, and run again from the state on disk. Every
//! test ends with one copy of each member: by `upsert`, and by `insert` without `find_by`, which a service that
//! was asked twice would double without a word.

use serde_json::json;
use singer_test::bin::Signal;
use singer_test::poll;

use crate::pair::{METHODS, Method, Pair, WAYS, Way, unanswered, unheard};

/// Where the organisation is asked for, which the tap does not do.
const ORGANISATION: &str = "method=GET,path=/crm/v8/org";
/// Where a file is sent, a job is asked for and looked at, and its result is fetched.
const UPLOAD: &str = "method=POST,path=/crm/v8/upload";
pub(crate) const JOB: &str = "method=POST,path=/bulk/v8/write";
const LOOK: &str = "method=GET,path=/bulk/v8/write/";
pub(crate) const RESULT: &str = "method=GET,path=/bulk-write/";

/// Three batches, one after the other.
pub(crate) fn pair(way: Way) -> Pair {
    Pair::new(Method::Incremental, way).stream_keys(&json!({"chunk_records": 50}))
}

#[track_caller]
fn killed(pair: &Pair, faults: &[String]) {
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    pair.kill_target_at(&faults);
}

#[test]
fn before_it_reads() {
    for way in WAYS {
        let pair = pair(way);
        killed(&pair, &[unanswered(ORGANISATION, 0)]);
        assert!(pair.state().is_none() && pair.crm.copies(way.module()).is_empty());
        pair.sync_equal();
    }
}

#[test]
fn before_a_file_arrives() {
    for way in WAYS {
        let pair = pair(way);
        killed(&pair, &unheard(UPLOAD, 1));
        assert_eq!(pair.crm.copies(way.module()).len(), 50);
        pair.sync_equal();
    }
}

#[test]
fn between_a_file_and_its_job() {
    for (way, after) in [(Way::Upsert, 0), (Way::Insert, 0), (Way::Insert, 2)] {
        let pair = pair(way);
        killed(&pair, &[unanswered(UPLOAD, after)]);
        pair.sync_equal();
    }
}

#[test]
fn between_a_job_and_the_answer_to_it() {
    for (way, after) in [(Way::Upsert, 1), (Way::Insert, 0), (Way::Insert, 2)] {
        let pair = pair(way);
        killed(&pair, &[unanswered(JOB, after)]);
        pair.sync_equal();
    }
}

#[test]
fn while_a_job_runs() {
    for way in WAYS {
        let pair = pair(way);
        pair.crm
            .set_faults(&["job-hang:path=crm/write/,polls=6,after=1,times=1"]);
        let chain = pair.start();
        poll::until("the second job is looked at", || {
            pair.crm.struck() >= 1 && pair.crm.requests("GET", "/bulk/v8/write/") >= 2
        });
        chain.rest.target.signal(Signal::Kill);
        let ended = chain.finish();
        assert_eq!(ended.target.signal(), Some(9), "the target was quicker");
        pair.assert_true_state();
        pair.sync_equal();
    }
}

#[test]
fn between_a_job_that_is_done_and_its_result() {
    for way in WAYS {
        for fault in [unanswered(LOOK, 1), unanswered(RESULT, 1)] {
            let pair = pair(way);
            killed(&pair, &[fault]);
            pair.sync_equal();
        }
    }
}

#[test]
fn between_the_verdict_and_its_state() {
    for way in WAYS {
        for method in METHODS {
            let pair = Pair::new(method, way).stream_keys(&json!({"chunk_records": 50}));
            // All is judged and noted, and the state never got to the disk.
            pair.sync_equal();
            std::fs::remove_file(pair.folder.file("state.json")).expect("there is a state");
            pair.sync_equal();
        }
    }
}

#[test]
fn between_the_verdict_and_a_state_behind_an_earlier_one() {
    for way in WAYS {
        let pair = pair(way);
        killed(&pair, &[unanswered(JOB, 1)]);
        let before = pair.folder.read("state.json");
        pair.sync_equal();
        pair.folder.write("state.json", before);
        pair.sync_equal();
    }
}

#[test]
fn while_it_writes_the_state_file() {
    for way in WAYS {
        let pair = pair(way);
        pair.sync_equal();
        pair.folder
            .write("state.json.tmp", "{\"bookmarks\": {\"Mem");
        pair.folder.write(".state.json.tmp", "{");
        pair.crm.add(7);
        std::fs::remove_file(pair.folder.file("state.json")).expect("there is a state");
        pair.sync_equal();
    }
}

#[test]
fn after_its_last_state() {
    for way in WAYS {
        let pair = pair(way);
        let chain = pair.start();
        poll::until("the last state is stored", || {
            pair.bookmark().is_some_and(|bookmark| {
                bookmark.get("reading").is_none() && bookmark["replication_key_value"].is_string()
            })
        });
        chain.rest.target.signal(Signal::Kill);
        chain.finish();
        pair.assert_equal();
        pair.sync_equal();
    }
}

#[test]
fn at_random_moments() {
    for way in WAYS {
        for requests in [9, 17, 24] {
            let pair = pair(way);
            for _ in 0..2 {
                let seen = || pair.crm.status().activity.requests;
                let before = seen();
                let mut chain = pair.start();
                poll::until("requests were made, or all is done", || {
                    seen() >= before + requests || chain.rest.target.has_ended()
                });
                chain.rest.target.signal(Signal::Kill);
                chain.finish();
                pair.assert_true_state();
            }
            finally_equal(&pair);
        }
    }
}

#[test]
fn all_at_once_at_random_moments() {
    for way in WAYS {
        for requests in [12, 21] {
            let pair = pair(way);
            for _ in 0..2 {
                let seen = || pair.crm.status().activity.requests;
                let before = seen();
                let mut chain = pair.start();
                poll::until("requests were made, or all is done", || {
                    seen() >= before + requests || chain.rest.target.has_ended()
                });
                for process in [&chain.tap, &chain.rest.tap, &chain.rest.target] {
                    process.signal(Signal::Kill);
                }
                chain.finish();
                pair.assert_true_state();
            }
            finally_equal(&pair);
        }
    }
}

/// Runs to the end; where an insert may still be on its way, once more when it can only be over.
#[track_caller]
pub(crate) fn finally_equal(pair: &Pair) {
    let ended = pair.run();
    if ended.target.code() == Some(75) {
        ended.target.expect_log("may still be on their way");
        pair.crm.copies(pair.module());
        age_the_journal(pair);
        pair.sync();
    } else {
        ended.expect_success();
    }
    pair.assert_equal();
}

/// Has two hours gone by since each line of the journal was written.
pub(crate) fn age_the_journal(pair: &Pair) {
    let text = pair.folder.read("journal");
    let aged: String = text
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            if let Some(at) = line["intent"]["at"].as_i64() {
                line["intent"]["at"] = (at - 7_200).into();
            }
            format!("{line}\n")
        })
        .collect();
    pair.folder.write("journal", aged);
}
