//! Events of changed rows: kept in order, posted to a receiver one after the other, and again while it
//! does not take them. Facts: section 5; the schedule of the service is open.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DataStore;
use super::options::{DataStoreOptions, Deleted, Environment, Shape, Written};
use super::payload::{self, Event, Sender};
use super::store::{Action, Changed};
use super::table::Place;
use crate::post::post_json;

/// Events that wait at most; what comes on top is dropped.
const QUEUED: usize = 100_000;

/// Events that can be sent a second time.
const REMEMBERED: usize = 1_000;

/// The longest pause before an event is posted again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where events are posted to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHook {
    /// An `http://` address.
    pub url: String,
    /// The header with the secret.
    #[serde(default = "usual_header")]
    pub header: String,
    /// The secret.
    #[serde(default)]
    pub secret: String,
    /// The shape of the bodies.
    #[serde(default = "usual_shape", deserialize_with = "read_shape")]
    pub shape: Shape,
    /// Events in one body, if there are as many of one kind in a row.
    #[serde(default = "usual_bundle")]
    pub bundle: usize,
    /// Times that an event is posted before it is dropped.
    #[serde(default = "usual_attempts")]
    pub attempts: u32,
    /// Milliseconds before an event is posted again; each time twice as many.
    #[serde(default = "usual_retry")]
    pub retry_ms: u64,
}

/// What became of the events so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Events that wait.
    pub queued: usize,
    /// Events that were taken.
    pub delivered: u64,
    /// Posts that were not taken.
    pub refused: u64,
    /// Events that were given up.
    pub dropped: u64,
}

/// The events and their receiver.
#[derive(Clone)]
pub(super) struct Events(Arc<Mutex<Inner>>);

struct Inner {
    hook: Option<EventHook>,
    queue: VecDeque<Event>,
    recent: VecDeque<Event>,
    is_posting: bool,
    made: u64,
    counts: EventCounts,
}

impl EventHook {
    /// A receiver of Signals-shaped events, one by one.
    pub fn new(url: &str, secret: &str) -> EventHook {
        EventHook {
            url: url.to_owned(),
            header: usual_header(),
            secret: secret.to_owned(),
            shape: usual_shape(),
            bundle: usual_bundle(),
            attempts: usual_attempts(),
            retry_ms: usual_retry(),
        }
    }
}

/// The receiver that the flags name.
pub(super) fn hook_of(options: &DataStoreOptions) -> Option<EventHook> {
    let url = options.events.as_deref()?;
    Some(EventHook {
        header: options.events_header.clone(),
        shape: options.events_shape,
        ..EventHook::new(url, &options.events_secret)
    })
}

impl Events {
    pub(super) fn new(hook: Option<EventHook>) -> Events {
        Events(Arc::new(Mutex::new(Inner {
            hook,
            queue: VecDeque::new(),
            recent: VecDeque::new(),
            is_posting: false,
            made: 0,
            counts: EventCounts::default(),
        })))
    }

    pub(super) fn reset(&self, hook: Option<EventHook>) {
        let mut inner = self.lock();
        inner.hook = hook;
        inner.queue.clear();
        inner.recent.clear();
        inner.counts = EventCounts::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts events into the line, and sees to it that somebody posts them.
    fn push(&self, events: Vec<Event>, sender: Sender) {
        let mut inner = self.lock();
        for event in events {
            if inner.queue.len() >= QUEUED {
                inner.counts.dropped += 1;
            } else {
                inner.queue.push_back(event);
            }
        }
        if inner.is_posting || inner.queue.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            inner.is_posting = true;
            runtime.spawn(post_all(self.clone(), sender));
        }
    }

    /// The events of the next body, or nothing if there are none: then nobody posts any more.
    fn next(&self) -> Option<(EventHook, Vec<Event>)> {
        let mut inner = self.lock();
        let (Some(hook), Some(first)) = (inner.hook.clone(), inner.queue.front()) else {
            inner.queue.clear();
            inner.is_posting = false;
            return None;
        };
        let (action, environment, table) = (first.action, first.environment, first.table_id);
        let is_alike = |event: &&Event| {
            event.action == action && event.environment == environment && event.table_id == table
        };
        let count = inner.queue.iter().take_while(is_alike).count();
        let count = count.min(hook.bundle.max(1));
        let events = inner.queue.drain(..count).collect();
        Some((hook, events))
    }

    fn settle(&self, events: Vec<Event>, is_taken: bool, is_over: bool) {
        let mut inner = self.lock();
        let count = events.len() as u64;
        if is_taken {
            inner.counts.delivered += count;
        } else {
            inner.counts.refused += 1;
            inner.counts.dropped += if is_over { count } else { 0 };
        }
        if is_taken || is_over {
            inner.recent.extend(events);
            let surplus = inner.recent.len().saturating_sub(REMEMBERED);
            inner.recent.drain(..surplus);
        } else {
            // It keeps its place, so that the order stays.
            for event in events.into_iter().rev() {
                inner.queue.push_front(event);
            }
        }
    }
}

/// Posts what waits, in order, until nothing does.
async fn post_all(events: Events, sender: Sender) {
    while let Some((hook, mut bundle)) = events.next() {
        let body = payload::body(&bundle, hook.shape, sender);
        let headers = [(hook.header.clone(), hook.secret.clone())];
        let posted = post_json(&hook.url, &headers, &body).await;
        let is_taken = matches!(posted, Ok(200..=299));
        for event in &mut bundle {
            event.attempts += 1;
        }
        let attempts = bundle.first().map_or(0, |event| event.attempts);
        let is_over = attempts >= hook.attempts;
        events.settle(bundle, is_taken, is_over);
        if !is_taken && !is_over {
            let factor = 1u32 << attempts.saturating_sub(1).min(16);
            let pause = Duration::from_millis(hook.retry_ms).saturating_mul(factor);
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
    }
}

impl DataStore {
    /// Makes events of changed rows, if there is a receiver.
    pub(super) fn tell(&self, environment: Environment, changes: Vec<Changed>) {
        let mut made = {
            let mut inner = self.events.lock();
            if inner.hook.is_none() {
                return;
            }
            inner.made += changes.len() as u64;
            inner.made - changes.len() as u64
        };
        let store = self.look();
        let style = self.style(Written::Text);
        let time_ms = self.now_ms();
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            let Some(table) = store.table(environment, &change.table) else {
                continue;
            };
            let is_bare = change.action == Action::Delete && self.options.deleted == Deleted::Id;
            let places = if is_bare {
                vec![Place::System(super::column::System::RowId)]
            } else {
                table.places()
            };
            let mut row = String::new();
            style.object(&mut row, table, &change.row, &places);
            made += 1;
            events.push(Event {
                id: format!(
                    "{:08x}-{:04x}-4c33-8b6f-{:012x}",
                    time_ms as u32, made as u16, made
                ),
                action: change.action,
                environment,
                table_id: table.id,
                table: change.table,
                row,
                time_ms,
                attempts: 0,
            });
        }
        drop(store);
        self.events.push(events, self.sender());
    }

    /// Posts events of changed rows to a receiver from now on, or to nobody.
    pub fn set_events(&self, hook: Option<EventHook>) {
        self.events.lock().hook = hook;
    }

    /// What became of the events so far.
    pub fn event_counts(&self) -> EventCounts {
        let inner = self.events.lock();
        EventCounts {
            queued: inner.queue.len(),
            ..inner.counts.clone()
        }
    }

    /// Posts the last events once more, as a redelivery with the same ids; returns how many.
    pub fn resend_events(&self, count: usize) -> usize {
        let again: Vec<Event> = {
            let inner = self.events.lock();
            let skipped = inner.recent.len().saturating_sub(count);
            inner.recent.iter().skip(skipped).cloned().collect()
        };
        let count = again.len();
        self.events.push(again, self.sender());
        count
    }

    fn sender(&self) -> Sender {
        Sender {
            project: self.options.project,
            org: self.options.org,
        }
    }
}

fn usual_header() -> String {
    "catalyst-codelib-secret-key".to_owned()
}

fn usual_shape() -> Shape {
    Shape::Signals
}

fn usual_bundle() -> usize {
    1
}

fn usual_attempts() -> u32 {
    10
}

fn usual_retry() -> u64 {
    200
}

fn read_shape<'de, Source: serde::Deserializer<'de>>(
    source: Source,
) -> Result<Shape, Source::Error> {
    let name = String::deserialize(source)?;
    match name.as_str() {
        "signals" => Ok(Shape::Signals),
        "listener" => Ok(Shape::Listener),
        _ => Err(serde::de::Error::custom(
            "the shapes are `signals` and `listener`",
        )),
    }
}
