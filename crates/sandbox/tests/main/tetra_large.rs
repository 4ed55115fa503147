//! The Tetra Data Platform with files of gigabytes, which nobody holds in memory, and how the storage
//! refuses.

use serde_json::{Value, json};

use crate::support::{Trial, send_to};
use crate::tetra_support::{begin, follow};

const LARGE: u64 = 5_000_000_000;

#[tokio::test]
async fn a_file_of_gigabytes_is_added_and_sent_without_being_made() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let files = json!([{"bytes": LARGE}, {"bytes": LARGE, "gzip": true}]);
    let made = trial.control("POST", "/tetra/files", &files).await.json();
    let ids: Vec<&str> = made["ids"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let plain = begin(&trial.link(ids[0]).await).await;
    assert!(plain.text.contains("content-length: 5000000000\r\n"));
    let squeezed = begin(&trial.link(ids[1]).await).await;
    let document = trial.sandbox.tetra().document(ids[1]).unwrap();
    let told = format!("content-length: {}\r\n", document["file"]["size"]);
    assert!(squeezed.text.contains(&told), "{told}");
    assert!(squeezed.text.contains("content-encoding: gzip\r\n"));
    // Both are on their way while their bodies are.
    assert_eq!(trial.sandbox.tetra().counts().peak_downloads, 2);
    drop((plain, squeezed));
    // A fault that cuts the answer off does not put it together first.
    trial
        .sandbox
        .set_faults(&["cut:path=-prod-datalake/"])
        .unwrap();
    let cut = begin(&trial.link(ids[0]).await).await;
    assert!(cut.text.contains("content-length: 5000000000\r\n"));
}

#[tokio::test]
async fn a_cut_answer_has_half_of_its_bytes() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    let ids = tetra.add(&json!([{"bytes": 300_001}])).unwrap();
    let link = trial.link(&ids[0]).await;
    trial
        .sandbox
        .set_faults(&["cut:path=-prod-datalake/"])
        .unwrap();
    let answer = follow(&link, &[]).await.unwrap();
    assert_eq!(answer.header("content-length"), Some("300001"));
    assert_eq!(answer.body, tetra.content(&ids[0]).unwrap()[..150_000]);
}

#[tokio::test]
async fn the_storage_refuses_as_a_storage_does() {
    let trial = Trial::with_tetra(|_| {}).await;
    let tetra = trial.sandbox.tetra();
    let id = tetra.add(&json!([{"bytes": 1_000}])).unwrap().remove(0);
    let link = trial.link(&id).await;
    // A link is for reading alone.
    let rest = link.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    for method in ["HEAD", "PUT"] {
        let answer = send_to(address, method, &format!("/{path}"), &[], b"").await;
        assert_eq!(answer.unwrap().status, 403, "{method}");
    }
    // What was not sent is not counted.
    let beyond = follow(&link, &[("range", "bytes=1000-")]).await.unwrap();
    assert_eq!((beyond.status, tetra.counts().downloads), (416, 0));
    let part = follow(&link, &[("range", "bytes=990-")]).await.unwrap();
    assert_eq!((part.status, tetra.counts().downloads), (206, 1));
    let kind = part.header("content-type");
    assert_eq!(kind, Some("application/octet-stream"));
    trial
        .sandbox
        .set_faults(&["error:status=503,path=-prod-datalake/,retry-after=2"])
        .unwrap();
    let slow = follow(&link, &[]).await.unwrap();
    assert_eq!((slow.status, slow.header("retry-after")), (503, Some("2")));
    assert!(slow.text().contains("<Code>SlowDown</Code>"));
    assert_eq!(slow.header("server"), Some("AmazonS3"));
}

#[tokio::test]
async fn what_is_not_searched_stands_in_the_content_alone() {
    let trial = Trial::with_tetra(|options| options.files = 0).await;
    let tetra = trial.sandbox.tetra();
    let data = json!({"@idsNamespace": "lab", "@idsType": "ph-meter", "@idsVersion": "v1.2.0",
        "runs": [{"ph": 7.1}], "datacubes": [{"name": "curve", "measures": [{"value": [1.5]}]}]});
    let ids = tetra.add(&json!([{"document": {"data": data}}])).unwrap();
    let found = trial.search(&json!({})).await.json()["hits"]["hits"][0]["_source"].clone();
    assert_eq!(found["data"]["runs"], data["runs"]);
    assert!(found["data"]["datacubes"].is_null());
    assert_eq!(
        (&found["ids"], &found["idsType"], &found["idsVersion"]),
        (
            &json!("lab/ph-meter:v1.2.0"),
            &json!("ph-meter"),
            &json!("v1.2.0")
        )
    );
    assert_eq!(found["file"]["s3ContentType"], "application/json");
    let content = follow(&trial.link(&ids[0]).await, &[]).await.unwrap();
    assert_eq!(content.json(), data);
    // A query of a field that is not in the index finds nothing.
    let cubes = json!({"exists": {"field": "data.datacubes"}});
    assert!(trial.ids(&cubes).await.is_empty());
}
