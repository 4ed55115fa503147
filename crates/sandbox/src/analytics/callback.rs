//! Telling a callback URL that an import job is over. Only plain HTTP is spoken.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;

use super::Analytics;
use super::import_job::job_to_json;
use super::settle::settle;
use super::spec::ImportSpec;
use crate::post::post_json;

/// How often a job is looked at that somebody wants to hear about.
const PACE: Duration = Duration::from_millis(20);

/// Tells the callback URL of an import, if it has one, as soon as the job is over.
pub(crate) fn watch(analytics: &Arc<Analytics>, spec: &ImportSpec, id: &str) {
    let Some(url) = spec.callback.clone() else {
        return;
    };
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let analytics = Arc::downgrade(analytics);
    let id = id.to_owned();
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(PACE).await;
            match look(&analytics, &id) {
                Look::Wait => {}
                Look::Ended => return,
                Look::Tell(body) => {
                    // Nobody hears of a callback that fails.
                    drop(post_json(&url, &[], &body).await);
                    return;
                }
            }
        }
    });
}

enum Look {
    Wait,
    Tell(String),
    Ended,
}

fn look(analytics: &Weak<Analytics>, id: &str) -> Look {
    let Some(analytics) = analytics.upgrade() else {
        return Look::Ended;
    };
    let now_ms = analytics.now_ms();
    let mut store = analytics.store();
    settle(&mut store, &analytics.options, now_ms);
    match store.jobs.imports.get(id) {
        None => Look::Ended,
        Some(job) if job.is_at_work() => Look::Wait,
        Some(job) => {
            let data = job_to_json(&analytics, &store, id, Some(job));
            let body =
                json!({"status": "success", "summary": "Fetch import job info", "data": data});
            Look::Tell(body.to_string())
        }
    }
}
