//! The suite that every tap must pass, over the stand-in of the platform.

use sandbox::Options;
use serde_json::{Value, json};
use singer_test::folder::Folder;
use singer_test::runtime::wait;
use singer_test::tap::{Stream, Subject, conforms};

#[test]
fn it_conforms() {
    let mut options = Options::default();
    options.tetra.index_ms = 0;
    let sandbox = wait(sandbox::start(options)).expect("the sandbox starts");
    for (category, rows) in [("RAW", 31_000), ("PROCESSED", 32_000)] {
        let files: Vec<Value> = (0..rows)
            .map(|number| {
                let path = format!("/lab/run {number} {}.raw", "é".repeat(40));
                json!({"document": {"category": category, "filePath": path}, "bytes": 1})
            })
            .collect();
        sandbox
            .tetra()
            .add(&files.into())
            .expect("files of the right form");
    }
    // The service tells whole seconds.
    sandbox.tetra().advance(60);
    let folder = Folder::new();
    let query = |category: &str| json!({"query": {"term": {"category": category}}, "source": ["category", "filePath"]});
    let config = json!({
        "base_url": sandbox.tetra_url(), "auth_token": "sandbox-token", "org_slug": "acme",
        "lag_seconds": 0, "overlap_seconds": 0, "page_size": 10_000,
        "rejects_path": folder.file("rejects.jsonl"),
        "streams": {"raw": query("RAW"), "processed": query("PROCESSED")},
    });
    let stream = |name: &str, key: Option<&str>, rows| Stream {
        id: name.to_owned(),
        name: name.to_owned(),
        property: "filePath".to_owned(),
        replication_key: key.map(str::to_owned),
        rows,
    };
    conforms(&Subject {
        binary: "tap-tetra-searcheql",
        config,
        args: Vec::new(),
        full: stream("raw", None, 31_000),
        incremental: stream("processed", Some("indexedAt"), 32_000),
    });
}
