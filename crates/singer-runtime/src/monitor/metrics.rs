//! Metric lines in singer-python's form, which other tools parse: always as text, always on stderr.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Counters, Status};
use crate::log;

/// Counter: records of a stream since its last line.
const RECORD_COUNT: &str = "record_count";
/// Timer: seconds that a stream or the run took.
const JOB_DURATION: &str = "job_duration";

/// Prints how many records came since the last line, also when there were none.
pub(super) fn print_counter(counters: &Counters) {
    log::raw(&counter_line(counters));
}

/// Prints how long something took.
pub(super) fn print_timer(
    job_type: &str,
    stream: Option<&str>,
    duration: Duration,
    status: Status,
) {
    log::raw(&timer_line(job_type, stream, duration, status));
}

fn counter_line(counters: &Counters) -> String {
    let total = counters.read.get();
    let new = total - counters.reported.get();
    counters.reported.set(total);
    line(&json!({
        "type": "counter",
        "metric": RECORD_COUNT,
        "value": new,
        "tags": {"endpoint": counters.name()},
    }))
}

fn timer_line(job_type: &str, stream: Option<&str>, duration: Duration, status: Status) -> String {
    let mut tags = json!({"job_type": job_type});
    if let Some(stream) = stream {
        tags["endpoint"] = stream.into();
    }
    // The words of singer-python: a cut run has not succeeded.
    let status = match status {
        Status::Succeeded => "succeeded",
        Status::Failed | Status::Interrupted => "failed",
    };
    tags["status"] = status.into();
    line(&json!({
        "type": "timer",
        "metric": JOB_DURATION,
        "value": duration.as_secs_f64(),
        "tags": tags,
    }))
}

fn line(metric: &Value) -> String {
    format!("INFO METRIC: {metric}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_line_tells_what_came_since_the_last_one() {
        let counters = Counters::new("dev.public.a");
        counters.read.add(250);
        assert_eq!(
            counter_line(&counters),
            r#"INFO METRIC: {"type":"counter","metric":"record_count","value":250,"tags":{"endpoint":"dev.public.a"}}"#
        );
        counters.read.add(1);
        assert!(counter_line(&counters).contains(r#""value":1,"#));
        assert!(counter_line(&counters).contains(r#""value":0,"#));
    }

    #[test]
    fn a_cut_run_has_failed_as_far_as_metrics_go() {
        assert_eq!(
            timer_line(
                "sync",
                None,
                Duration::from_millis(1500),
                Status::Interrupted
            ),
            r#"INFO METRIC: {"type":"timer","metric":"job_duration","value":1.5,"tags":{"job_type":"sync","status":"failed"}}"#
        );
    }
}
