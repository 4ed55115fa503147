//! The Tetra Data Platform over the wire: contents by both ways, tokens, limits, the clock, control.

use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Trial;
use crate::tetra_support::{HEADERS, SEARCH, follow};

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn of_category(trial: &Trial, category: &str) -> Vec<String> {
    let files = trial.sandbox.tetra().files();
    let files = files.into_iter().filter(|file| file.category == category);
    files.map(|file| file.file_id).collect()
}

#[tokio::test]
async fn contents_come_through_the_api_and_by_link() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    for file in tetra.files().into_iter().take(12) {
        let id = file.file_id;
        let path = format!("/v1/datalake/retrieve?fileId={id}");
        let direct = trial.tetra("GET", &path, &Value::Null).await;
        assert_eq!(
            direct.header("content-type"),
            Some("application/octet-stream")
        );
        let linked = follow(&trial.link(&id).await, &[]).await.unwrap();
        assert_eq!((direct.status, linked.status), (200, 200));
        assert_eq!(direct.body, linked.body);
        assert_eq!(direct.body.len() as u64, file.size);
        let document = tetra.document(&id).unwrap();
        let is_gzip = document["file"]["s3ContentEncoding"] == "gzip";
        assert_eq!(direct.header("content-encoding") == Some("gzip"), is_gzip);
        let plain = if is_gzip {
            unpacked(&linked.body)
        } else {
            linked.body
        };
        assert_eq!(plain, tetra.content(&id).unwrap());
    }
}

#[tokio::test]
async fn a_document_holds_less_than_its_content() {
    let trial = Trial::with_tetra(|_| {}).await;
    let id = of_category(&trial, "IDS")[0].clone();
    let document = trial.sandbox.tetra().document(&id).unwrap();
    assert!(document["data"]["datacubes"].is_null());
    let answer = follow(&trial.link(&id).await, &[]).await.unwrap();
    let content = answer.json();
    assert_eq!(
        content["datacubes"][0]["measures"][0]["value"]
            .as_array()
            .unwrap()
            .len(),
        60
    );
    assert_eq!(content["runs"], document["data"]["runs"]);
    let types: Vec<_> = trial
        .sandbox
        .tetra()
        .files()
        .into_iter()
        .filter_map(|file| file.ids_type)
        .collect();
    assert!(types.contains(&"plate-reader".to_owned()) && types.contains(&"lcuv-hplc".to_owned()));
}

#[tokio::test]
async fn links_end_and_take_no_other_credentials() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let id = tetra.files()[0].file_id.clone();
    let link = trial.link(&id).await;
    for header in [
        ("authorization", "Bearer sandbox-token"),
        ("ts-auth-token", "sandbox-token"),
    ] {
        let answer = follow(&link, &[header]).await.unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("<Code>InvalidArgument</Code>"));
    }
    assert_eq!(tetra.counts().leaks, 2);
    let forged = link.replace(&id, &tetra.files()[1].file_id);
    assert!(
        follow(&forged, &[])
            .await
            .unwrap()
            .text()
            .contains("SignatureDoesNotMatch")
    );
    tetra.advance(299);
    assert_eq!(follow(&link, &[]).await.unwrap().status, 200);
    tetra.advance(2);
    let ended = follow(&link, &[]).await.unwrap();
    assert_eq!(ended.status, 403);
    assert!(ended.text().contains("Request has expired"));
    // A fault ends a link before its time; the log does not show signatures.
    trial
        .sandbox
        .set_faults(&["link-expired:path=-prod-datalake/,times=1"])
        .unwrap();
    let link = trial.link(&id).await;
    assert_eq!(follow(&link, &[]).await.unwrap().status, 403);
    assert_eq!(follow(&link, &[]).await.unwrap().status, 200);
    let status = trial.sandbox.status();
    let shown = status
        .activity
        .last_requests
        .iter()
        .any(|request| request.path.contains("Signature"));
    assert!(!shown);
}

#[tokio::test]
async fn a_part_of_a_large_file_is_made_when_it_is_asked_for() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    let large = 5_000_000_000u64;
    let ids = tetra
        .add(&json!([{"document": {"filePath": "/big"}, "bytes": large}]))
        .unwrap();
    let found = trial.search(&json!({})).await.json();
    assert_eq!(found["hits"]["hits"][0]["_source"]["file"]["size"], large);
    let link = trial.link(&ids[0]).await;
    let range = format!("bytes={}-", large - 70_000);
    let part = follow(&link, &[("range", &range)]).await.unwrap();
    assert_eq!((part.status, part.body.len()), (206, 70_000));
    let mut truth = Vec::new();
    while truth.len() < 70_000 {
        let place = large - 70_000 + truth.len() as u64;
        truth.extend_from_slice(&tetra.content_at(&ids[0], place, 1 << 20).unwrap());
    }
    assert_eq!(part.body, truth);
    let beyond = format!("bytes={large}-");
    assert_eq!(
        follow(&link, &[("range", &beyond)]).await.unwrap().status,
        416
    );
}

#[tokio::test]
async fn files_that_are_gone_are_404() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let ids: Vec<String> = tetra
        .files()
        .into_iter()
        .take(2)
        .map(|file| file.file_id)
        .collect();
    let link = trial.link(&ids[0]).await;
    tetra.vanish(&ids[..1]);
    tetra.delete(&ids[1..]);
    for id in &ids {
        for more in ["", "&getPresigned=true"] {
            let path = format!("/v1/datalake/retrieve?fileId={id}{more}");
            let answer = trial.tetra("GET", &path, &Value::Null).await;
            assert_eq!(answer.status, 404);
            assert_eq!(answer.json()["error"], "Not Found");
        }
    }
    assert_eq!(follow(&link, &[]).await.unwrap().status, 404);
    // Search does not know yet that the one has vanished.
    assert_eq!(
        trial.ids(&json!({"terms": {"fileId": ids}})).await,
        [ids[0].clone()]
    );
    let info = trial
        .tetra(
            "GET",
            &format!("/v1/fileinfo/file/{}", ids[1]),
            &Value::Null,
        )
        .await;
    assert_eq!(info.json()["deleted"], true);
}

#[tokio::test]
async fn versions_are_kept_and_labels_make_none() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let id = of_category(&trial, "IDS")[0].clone();
    let before = tetra.content(&id).unwrap();
    tetra.relabel(&[&id]);
    assert_eq!(tetra.content(&id).unwrap(), before);
    tetra.reindex(&[&id]);
    assert_ne!(tetra.content(&id).unwrap(), before);
    // A JSON file stays one.
    let json = tetra.add(&json!([{"json": {"a": 1}}])).unwrap();
    tetra.reindex(&json);
    assert_eq!(tetra.content(&json[0]).unwrap(), r#"{"a":1,"revision":2}"#);
    let path = format!("/v1/fileinfo/file/{id}/versions");
    let versions = trial.tetra("GET", &path, &Value::Null).await.json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn tokens_and_organisations_are_looked_at() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let ask = async |headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.push(HEADERS[2]);
        trial.send("POST", SEARCH, &headers, b"{}").await.unwrap()
    };
    let org = ("x-org-slug", "acme");
    assert_eq!(
        ask(&[("authorization", "Bearer sandbox-token"), org])
            .await
            .status,
        200
    );
    let none = ask(&[org]).await;
    assert_eq!(
        none.json(),
        json!({"statusCode": 401, "error": "Unauthorized", "message": "Invalid token"})
    );
    assert!(none.header("ts-request-id").is_some());
    let other = ask(&[HEADERS[0], ("x-org-slug", "globex")]).await;
    assert_eq!(
        (other.status, &other.json()["error"]),
        (403, &json!("Forbidden"))
    );
    // A token of a person ends after its hours.
    let body = json!({"userId": "u-1", "tokenExpiry": 4, "tokenExpiryUnit": "hours"});
    let made = trial
        .tetra("POST", "/v1/users/u-1/token", &body)
        .await
        .json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(ask(&[("ts-auth-token", token), org]).await.status, 200);
    tetra.advance(4 * 3600);
    assert_eq!(ask(&[("ts-auth-token", token), org]).await.status, 401);
    let body = json!({"userId": "u-1", "tokenExpiry": 48});
    assert_eq!(
        trial
            .tetra("POST", "/v1/users/u-1/token", &body)
            .await
            .status,
        400
    );
    let login = json!({"email": "lab@example.com", "password": "sandbox-password"});
    let signed_in = trial.tetra("POST", "/login", &login).await.json();
    assert!(signed_in["token"].is_string());
    // Rotation ends what was good.
    let fresh = trial
        .control("POST", "/tetra/tokens", &json!({"end_others": true}))
        .await
        .json();
    assert_eq!(ask(&HEADERS).await.status, 401);
    let fresh = fresh["token"].as_str().unwrap();
    assert_eq!(ask(&[("ts-auth-token", fresh), org]).await.status, 200);
    assert_eq!(tetra.counts().tokens, 1);
}

#[tokio::test]
async fn calls_over_a_limit_look_like_a_broken_gateway() {
    let trial = Trial::with_tetra(|options| {
        options.searches = Some(2);
        options.retrieves = Some(1);
        options.retry_after = Some(3);
    })
    .await;
    let tetra = trial.sandbox.tetra();
    for expected in [200, 200, 502] {
        assert_eq!(trial.search(&json!({})).await.status, expected);
    }
    let id = tetra.files()[0].file_id.clone();
    trial.link(&id).await;
    let path = format!("/v1/datalake/retrieve?fileId={id}");
    let over = trial.tetra("GET", &path, &Value::Null).await;
    assert_eq!((over.status, over.header("retry-after")), (502, Some("3")));
    assert!(over.text().contains("<html>"));
    tetra.advance(60);
    assert_eq!(trial.search(&json!({})).await.status, 200);
    assert_eq!(tetra.counts().throttled, 2);
}

#[tokio::test]
async fn retrieves_at_once_are_counted_and_limited() {
    let trial = Trial::with_options(|options| {
        options.latency_ms = 200;
        options.tetra.concurrency = Some(2);
        options.tetra.throttle_status = 429;
    })
    .await;
    let tetra = trial.sandbox.tetra();
    let id = tetra.add_some(1)[0].clone();
    let (one, two, three) =
        tokio::join!(trial.ask_for(&id), trial.ask_for(&id), trial.ask_for(&id));
    let mut statuses = [one, two, three];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(tetra.counts().peak_retrieves, 2);
}

impl Trial {
    async fn ask_for(&self, id: &str) -> u16 {
        let path = format!("/v1/datalake/retrieve?fileId={id}&getPresigned=true");
        self.tetra("GET", &path, &Value::Null).await.status
    }
}

#[tokio::test]
async fn the_clock_of_the_service_may_differ() {
    let trial = Trial::with_tetra(|options| options.clock_skew_ms = -3_600_000).await;
    let answer = trial.search(&json!({})).await;
    let date = answer.header("date").unwrap();
    let date = chrono::DateTime::parse_from_rfc2822(date).unwrap();
    let real = std::time::SystemTime::now();
    let real = real.duration_since(std::time::UNIX_EPOCH).unwrap();
    let behind = real - Duration::from_secs(date.timestamp() as u64);
    assert!((3_595..3_605).contains(&behind.as_secs()), "{behind:?}");
}

#[tokio::test]
async fn faults_answer_in_the_shapes_of_the_platform() {
    let trial = Trial::with_tetra(|_| {}).await;
    trial
        .sandbox
        .set_faults(&[
            "expire:times=1",
            "error:after=1,times=1",
            "error:status=502,after=2,times=1",
            "revoke:after=3,times=1",
        ])
        .unwrap();
    let expired = trial.search(&json!({})).await;
    assert_eq!(expired.json()["message"], "Invalid token");
    assert!(expired.header("ts-request-id").is_some());
    assert_eq!(trial.search(&json!({})).await.json()["statusCode"], 500);
    assert!(trial.search(&json!({})).await.text().contains("502"));
    assert_eq!(trial.search(&json!({})).await.status, 401);
    assert_eq!(trial.search(&json!({})).await.status, 401);
}

#[tokio::test]
async fn artifacts_describe_the_documents() {
    let trial = Trial::with_tetra(|_| {}).await;
    let list = trial
        .tetra("GET", "/v1/artifacts/ids", &Value::Null)
        .await
        .json();
    for kind in list.as_array().unwrap() {
        let part = |name: &str| kind[name].as_str().unwrap();
        let path = format!(
            "/v1/artifacts/ids/{}/{}/{}/files",
            part("namespace"),
            part("slug"),
            part("version")
        );
        let file = async |name: &str| {
            trial
                .tetra("GET", &format!("{path}/{name}"), &Value::Null)
                .await
        };
        let schema = file("schema").await.json();
        let expected = file("expected").await.json();
        for name in expected.as_object().unwrap().keys() {
            assert!(!schema["properties"][name].is_null(), "{name}");
        }
        assert_eq!(
            file("mapping").await.json()["nonSearchableFields"],
            json!(["datacubes"])
        );
        assert_eq!(file("colour").await.status, 404);
    }
    let one = "/v1/datalake/schemas?type=lcuv-hplc&version=v2.0.0";
    assert_eq!(
        trial
            .tetra("GET", one, &Value::Null)
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        trial
            .tetra("GET", "/v1/fileinfo/search", &Value::Null)
            .await
            .status,
        501
    );
    let names = trial
        .tetra("GET", "/v1/datalake/metadata-tags", &Value::Null)
        .await
        .json();
    assert_eq!(names["metadata"], json!(["batch", "instrument"]));
}

#[tokio::test]
async fn control_requests_change_the_files() {
    let trial = Trial::with_tetra(|options| options.files = 4).await;
    let made = trial
        .control("POST", "/tetra/files", &json!({"count": 2}))
        .await
        .json();
    assert_eq!(made["ids"].as_array().unwrap().len(), 2);
    let one = json!([{"document": {"fileId": "mine", "filePath": "../../out"}, "json": {"a": 1}, "gzip": true}]);
    trial.control("POST", "/tetra/files", &one).await;
    let content = trial
        .control("GET", "/dump/tetra/mine/content", &Value::Null)
        .await;
    assert_eq!(content.text(), "{\"a\":1}");
    let wrong = json!([{"text": "a", "bytes": 1}]);
    assert_eq!(
        trial.control("POST", "/tetra/files", &wrong).await.status,
        400
    );
    let again = trial
        .control("POST", "/tetra/reindex", &json!({"count": 3}))
        .await
        .json();
    assert_eq!(again["reindexed"], 3);
    let gone = trial
        .control("DELETE", "/tetra/files", &json!({"ids": ["mine"]}))
        .await
        .json();
    assert_eq!(gone["deleted"], 1);
    let count = trial
        .control("GET", "/dump/tetra?format=count", &Value::Null)
        .await
        .json();
    assert_eq!(count, 6);
    let dump = trial
        .control("GET", "/dump/tetra", &Value::Null)
        .await
        .json();
    assert_eq!(dump.as_array().unwrap().len(), 6);
    assert_eq!(dump.as_array().unwrap(), &trial.sandbox.tetra().dump());
    let summary = trial.control("GET", "/tetra", &Value::Null).await.json();
    assert_eq!(summary["files"], 6);
    trial.control("POST", "/reset", &Value::Null).await;
    assert_eq!(trial.sandbox.tetra().file_count(), 4);
}

#[tokio::test]
async fn the_page_shows_the_files_that_changed_last() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let ids = |count: usize| -> Vec<String> {
        let latest = tetra.latest(count).into_iter();
        latest.map(|file| file.file_id).collect()
    };
    let all: Vec<String> = (tetra.files().into_iter())
        .map(|file| file.file_id)
        .collect();
    let named = |places: [usize; 3]| places.map(|place| all[place].clone());
    assert_eq!(ids(3), named([239, 238, 237]));
    tetra.advance(1);
    assert_eq!(tetra.reindex(&all[7..8]), 1);
    tetra.advance(1);
    assert_eq!(tetra.delete(&all[30..31]), 1);
    assert_eq!(ids(3), named([30, 7, 239]));
    assert_eq!(ids(1_000).len(), all.len());
    let view = trial.control("GET", "/view", &Value::Null).await;
    let card = view.text().split("indexed or deleted last").nth(1).unwrap();
    let places = ["deleted</span>", "<td class=\"number\">2</td>"].map(|part| card.find(part));
    assert!(places[0].is_some() && places[0] < places[1], "{card}");
}
