//! `target-bigquery` killed behind `tap-tetra-searcheql`, and both run again from the state on disk: nested documents
//! stand once, as they are. Where the target itself could die is the matter of `crash_bigquery.rs`.

use crate::pair::{ALL, Pair, Retrieve};

use singer_test::bin::Signal;

const JOBS: &str = "path=/bigquery/bigquery/v2/projects/sandbox-project/jobs,method=POST";

#[track_caller]
fn target_killed(pair: &Pair, fault: &str) {
    pair.bigquery.set_faults(&[fault]);
    let pipeline = pair.start();
    pair.bigquery.wait_for_strikes(1);
    pipeline.target.signal(Signal::Kill);
    let ended = pipeline.finish();
    assert_eq!(ended.target.signal(), Some(9), "the target was quicker");
    pair.bigquery.set_faults(&[]);
    pair.assert_true_state();
}

#[test]
fn before_it_makes_the_table_and_before_and_after_a_batch() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        target_killed(&pair, "slow:ms=600000,path=/bigquery/,times=1");
        assert!(pair.state().is_none() && pair.rows().is_empty());
        // Carried out, and never answered.
        target_killed(&pair, &format!("slow:ms=600000,{JOBS},times=1"));
        pair.sync_equal();
        let ids: Vec<String> = pair.tetra.truth().into_keys().take(25).collect();
        pair.tetra.revise(&ids);
        target_killed(&pair, &format!("slow:ms=600000,{JOBS},times=1"));
        pair.sync_equal();
    }
}

#[test]
fn while_changes_are_streamed() {
    let pair =
        Pair::new(Retrieve::Json).target_keys(&serde_json::json!({"method": "storage_write"}));
    target_killed(&pair, "slow:ms=600000,path=/bigquery/,after=2,times=1");
    pair.sync_equal();
}
