//! Runs the scenarios of a suite one after the other and fails once, naming all that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A scenario is a fact, and the function that panics where it is none.
#[track_caller]
pub(crate) fn run<Subject, Check: Fn(&Subject)>(subject: &Subject, scenarios: &[(&str, Check)]) {
    let failed: Vec<&str> = scenarios
        .iter()
        .filter(|(_, scenario)| catch_unwind(AssertUnwindSafe(|| scenario(subject))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(
        failed.is_empty(),
        "failed, see above: {}",
        failed.join(", ")
    );
}
