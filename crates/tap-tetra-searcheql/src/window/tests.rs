//! Tests of windows and bookmarks.

use serde_json::json;
use singer_core::catalog::Entry;
use singer_net::Bytes;

use super::*;
use crate::config::tests::config;

fn plan(replication: Replication, bookmark: Value) -> Plan {
    Plan {
        id: "results".to_owned(),
        stream: "results".to_owned(),
        entry: Entry::new("results", "results"),
        fields: Vec::new(),
        schema: json!({}),
        key_properties: Vec::new(),
        replication,
        bookmark: bookmark.as_object().cloned().unwrap_or_default(),
        started_at: DateTime::UNIX_EPOCH,
    }
}

fn incremental(bookmark: Value) -> Progress {
    let start = bookmark.get("replication_key_value").cloned();
    let key = INDEXED_AT.to_owned();
    progress(plan(Replication::Incremental { key, start }, bookmark))
}

fn progress(plan: Plan) -> Progress {
    from(json!({}), plan)
}

fn from(mut changes: Value, plan: Plan) -> Progress {
    for (name, value) in [
        ("lag_seconds", 10),
        ("overlap_seconds", 20),
        ("overlap_memory", 2),
    ] {
        changes[name] = value.into();
    }
    let config = config(changes).unwrap();
    let (name, stream) = config.streams.iter().next().unwrap();
    let stream = config.stream(name, stream);
    Progress::new(&config, &stream, "acme", &plan).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn hit(seconds: i64, id: &str) -> Hit {
    Hit {
        file_id: id.to_owned(),
        sort: vec![(seconds * 1000).into(), id.into()],
        source: Bytes::new(),
    }
}

fn bounds(window: &Window) -> (Option<i64>, i64) {
    (window.gte.map(|gte| gte / 1000), window.lt / 1000)
}

#[test]
fn windows_meet_and_overlap_and_never_go_back() {
    let mut first = incremental(json!({}));
    let window = first.next(at(1000)).unwrap();
    assert_eq!(bounds(&window), (None, 990));
    let bookmark = first.finish_window();
    assert_eq!(
        bookmark["replication_key_value"],
        "1970-01-01T00:16:30.000Z"
    );
    assert_eq!(first.next(at(2000)), None, "one run is one window");
    let mut second = incremental(bookmark.clone().into());
    assert_eq!(bounds(&second.next(at(2000)).unwrap()), (Some(970), 1990));
    let mut earlier = incremental(bookmark.into());
    assert_eq!(bounds(&earlier.next(at(900)).unwrap()), (Some(970), 990));
}

#[test]
fn a_bookmark_inside_a_window_leads_back_to_it_and_then_on() {
    let mut first = incremental(json!({}));
    first.next(at(1000));
    first.passed(&hit(500, "a"));
    let mut second = incremental(first.bookmark().into());
    let resumed = second.next(at(5000)).unwrap();
    assert_eq!(bounds(&resumed), (None, 990));
    assert_eq!(resumed.after, Some(vec![500_000.into(), "a".into()]));
    second.finish_window();
    assert_eq!(bounds(&second.next(at(5000)).unwrap()), (Some(970), 4990));
    assert_eq!(second.next(at(5000)), None);
}

#[test]
fn what_was_sent_of_the_overlap_is_remembered_up_to_a_limit() {
    let mut first = incremental(json!({}));
    first.next(at(1000));
    for (seconds, id) in [(900, "old"), (975, "a"), (976, "b"), (977, "c")] {
        first.passed(&hit(seconds, id));
    }
    let bookmark = first.finish_window();
    let mut second = incremental(bookmark.into());
    second.next(at(2000));
    let was_sent = |id, seconds| second.was_sent(&hit(seconds, id));
    assert!(was_sent("b", 976) && was_sent("c", 977));
    assert!(!was_sent("a", 975), "more than two are not remembered");
    assert!(!was_sent("b", 978), "another version of the file");
    // Inside the overlap an interrupted run hands the memory on, behind it nobody needs it.
    second.passed(&hit(976, "b"));
    assert!(second.bookmark().contains_key(SENT));
    second.passed(&hit(991, "d"));
    assert!(!second.bookmark().contains_key(SENT));
}

#[test]
fn a_window_without_news_leaves_the_bookmark_as_it_was() {
    let mut first = incremental(json!({}));
    first.next(at(1000));
    first.passed(&hit(975, "a"));
    let bookmark = first.finish_window();
    let mut idle = incremental(bookmark.clone().into());
    idle.next(at(2000));
    idle.passed(&hit(975, "a"));
    assert_eq!(idle.finish_window(), bookmark);
    let mut busy = incremental(bookmark.into());
    busy.next(at(2000));
    busy.passed(&hit(975, "b"));
    assert_eq!(
        busy.finish_window()["replication_key_value"],
        "1970-01-01T00:33:10.000Z"
    );
}

#[test]
fn a_whole_table_goes_on_where_it_was_and_ends_there() {
    let mut first = progress(plan(Replication::FullTable { version: 1 }, json!({})));
    let window = first.next(at(1000)).unwrap();
    assert_eq!(bounds(&window), (None, 990));
    assert_eq!(
        window.condition(),
        None,
        "what is indexed again meanwhile is read as well"
    );
    first.passed(&hit(500, "a"));
    let bookmark = first.bookmark();
    assert!(bookmark.contains_key(LAST_PK_FETCHED));
    let mut second = progress(plan(Replication::FullTable { version: 1 }, bookmark.into()));
    let window = second.next(at(3000)).unwrap();
    assert_eq!((bounds(&window), window.condition()), ((None, 990), None));
    let last = second.finish_window();
    assert_eq!(second.next(at(3000)), None);
    assert_eq!(
        (&last["version"], last.contains_key(LAST_PK_FETCHED)),
        (&Value::Null, false)
    );
}

#[test]
fn a_place_in_another_query_is_none_in_this_one() {
    let bookmark = json!({"query": "other", "replication_key_value": "1970-01-01T00:16:30Z",
        "window": {"gte": null, "lt": "1970-01-01T00:20:00Z", "after": [1, "a"]}});
    let mut changed = incremental(bookmark);
    assert_eq!(bounds(&changed.next(at(2000)).unwrap()), (Some(970), 1990));
}

#[test]
fn a_condition_is_closed_below_and_open_above() {
    let window = Window {
        gte: Some(1500),
        lt: 2000,
        after: None,
        is_open: false,
    };
    let wanted = json!({"range": {"indexedAt": {"gte": "1970-01-01T00:00:01.500Z", "lt": "1970-01-01T00:00:02.000Z"}}});
    assert_eq!(window.condition(), Some(wanted));
}

#[test]
fn nothing_before_the_start_date_is_read() {
    let first = |now| {
        let start = Some(json!("1970-01-01T00:16:40Z"));
        let key = INDEXED_AT.to_owned();
        let plan = plan(Replication::Incremental { key, start }, json!({}));
        let mut first = from(json!({"start_date": "1970-01-01T00:16:40Z"}), plan);
        let window = first.next(at(now));
        (window, first)
    };
    assert_eq!(first(900).0, None, "there is nothing to read yet");
    let (window, mut first) = first(1015);
    assert_eq!(bounds(&window.unwrap()), (Some(1000), 1005));
    let bookmark = first.finish_window();
    let start = bookmark.get("replication_key_value").cloned();
    let key = INDEXED_AT.to_owned();
    let plan = plan(
        Replication::Incremental { key, start },
        bookmark.clone().into(),
    );
    let mut second = from(json!({"start_date": "1970-01-01T00:16:40Z"}), plan);
    assert_eq!(bounds(&second.next(at(2000)).unwrap()), (Some(1000), 1990));
    // A later start date leaves no gap behind a bookmark.
    let mut later = incremental(bookmark.into());
    later.floor = Some(5_000_000);
    assert_eq!(bounds(&later.next(at(2000)).unwrap()), (Some(1005), 1990));
}
