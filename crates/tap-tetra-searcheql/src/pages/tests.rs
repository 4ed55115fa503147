//! Tests of pages.

use singer_net::Bytes;

use super::*;
use crate::config::tests::config;

fn hits(places: &[(i64, &str)]) -> Vec<Hit> {
    let hit = |(at, id): &(i64, &str)| Hit {
        file_id: (*id).to_owned(),
        sort: vec![(*at).into(), (*id).into()],
        source: Bytes::new(),
    };
    places.iter().map(hit).collect()
}

#[test]
fn a_page_lies_behind_the_one_before_it() {
    let after = [Value::from(5), "b".into()];
    let check = |places: &[(i64, &str)]| check_advance("s", Some(&after), &hits(places));
    assert!(check(&[(5, "c"), (6, "a"), (6, "a"), (7, "a")]).is_ok());
    for wrong in [
        [(5, "b"), (6, "a")],
        [(4, "z"), (6, "a")],
        [(6, "b"), (6, "a")],
    ] {
        assert_eq!(
            check(&wrong).unwrap_err().kind(),
            singer_core::Kind::Protocol
        );
    }
    let as_text = |at: &str, id: &str| [Value::from(at), id.into()];
    let (early, late) = ("1970-01-01T00:00:05Z", "1970-01-01T00:00:06+00:00");
    let a_little_later = "1970-01-01T00:00:05.0000001Z";
    assert!(!precedes(
        &as_text(a_little_later, "a"),
        &as_text(early, "b")
    ));
    assert!(precedes(&as_text(early, "b"), &as_text(late, "a")));
    assert!(!precedes(&as_text(late, "a"), &as_text(early, "b")));
    let mut bare = hits(&[(6, "a")]);
    bare[0].sort.clear();
    assert!(check_advance("s", None, &bare).is_err());
}

#[test]
fn a_search_is_sorted_by_time_and_id_and_goes_on_behind_the_last_hit() {
    let config =
        config(json!({"streams": {"s": {"query": {"term": {"category": "IDS"}}}}})).unwrap();
    let (name, stream) = config.streams.iter().next().unwrap();
    let query = Query {
        stream: Arc::new(config.stream(name, stream)),
        conditions: vec![json!({"match_all": {}})],
        fields: Some(vec!["fileId".to_owned()]),
        counts: Counts::Exactly,
    };
    let body = query.body(7, Order::Ascending, Some(&[1.into(), "a".into()]));
    assert_eq!(
        body,
        json!({"size": 7, "track_total_hits": true,
            "query": {"bool": {"filter": [{"term": {"category": "IDS"}}, {"match_all": {}}]}},
            "_source": ["fileId"], "sort": [{"indexedAt": "asc"}, {"fileId": "asc"}], "search_after": [1, "a"]})
    );
}
