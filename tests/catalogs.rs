//! Every curated catalog is what discovery finds, but for what a person chose in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use singer_test::bin::{Run, workspace};

use suite::world::{ChatWorld, World, example, tenants_example};

/// Words of the metadata that a person sets, and one that is an estimate.
const NOT_STRUCTURE: [&str; 6] = [
    "selected",
    "replication-method",
    "replication-key",
    "row-count",
    "schema-name",
    "database-name",
];

#[test]
fn the_catalogs_of_the_sample_data_are_what_discovery_finds() {
    let world = World::start();
    let config = world.folder.write_json("tap.json", &world.tap_config());
    let found = discover(&config);
    for path in product_catalogs() {
        compare(&path, &world.catalog(&path), &found);
    }
    let sample = workspace().join("catalogs/redshift-sample.json");
    let sample: Value = serde_json::from_str(&world.catalog(&sample)).expect("a catalog");
    assert_eq!(
        ids(&sample),
        ids(&found),
        "the sample has all streams of the source"
    );
}

#[test]
fn the_catalog_of_the_chat_platform_is_what_discovery_finds() {
    let world = ChatWorld::start();
    let config = world.folder.write_json("tap.json", &world.tap_config());
    let path = tenants_example("catalog.json");
    let text = world.catalog(&path);
    let found = discover(&config);
    compare(&path, &text, &found);
    let curated: Value = serde_json::from_str(&text).expect("a catalog");
    assert_eq!(ids(&curated), ids(&found));
}

fn discover(config: &Path) -> Value {
    let finished = Run::of("tap-redshift")
        .arg("--config")
        .arg(config)
        .arg("--discover")
        .finish();
    serde_json::from_slice(&finished.expect_code(0).stdout).expect("a catalog")
}

fn compare(path: &Path, curated: &str, found: &Value) {
    let curated: Value = serde_json::from_str(curated).expect("a catalog");
    for stream in streams(&curated) {
        let id = &stream["tap_stream_id"];
        let twin = streams(found)
            .iter()
            .find(|twin| &twin["tap_stream_id"] == id);
        let twin =
            twin.unwrap_or_else(|| panic!("{} has {id}, the source has not", path.display()));
        assert_eq!(
            structure(stream),
            structure(twin),
            "{id} in {}",
            path.display()
        );
    }
}

#[test]
fn each_catalog_selects_something_and_knows_how_to_read_it() {
    for path in product_catalogs()
        .into_iter()
        .chain([tenants_example("catalog.json")])
    {
        let text = fs::read_to_string(&path).expect("the catalog can be read");
        let catalog: Value = serde_json::from_str(&text).expect("a catalog");
        let mut selected = 0;
        for stream in streams(&catalog) {
            let metadata = stream_metadata(stream);
            if metadata["selected"] == json!(true) {
                selected += 1;
                let method = metadata["replication-method"].as_str().unwrap_or_default();
                assert!(
                    ["FULL_TABLE", "INCREMENTAL"].contains(&method),
                    "{}",
                    path.display()
                );
                assert_eq!(
                    method == "INCREMENTAL",
                    metadata["replication-key"].is_string()
                );
            }
        }
        assert!(selected > 0, "{} selects nothing", path.display());
    }
}

/// The catalogs of the sample data: the curated one, and that of the example.
fn product_catalogs() -> [PathBuf; 2] {
    [
        workspace().join("catalogs/redshift-sample.json"),
        example("catalog.json"),
    ]
}

fn streams(catalog: &Value) -> &[Value] {
    catalog["streams"].as_array().map_or(&[], Vec::as_slice)
}

fn ids(catalog: &Value) -> Vec<&Value> {
    streams(catalog)
        .iter()
        .map(|stream| &stream["tap_stream_id"])
        .collect()
}

fn stream_metadata(stream: &Value) -> &Value {
    let list = stream["metadata"]
        .as_array()
        .expect("a stream has metadata");
    let own = list.iter().find(|item| item["breadcrumb"] == json!([]));
    &own.expect("a stream has metadata of its own")["metadata"]
}

/// A stream without what a person chose and without estimates; metadata in the order of its fields.
fn structure(stream: &Value) -> Value {
    let mut stream = stream.clone();
    let list = stream["metadata"]
        .as_array_mut()
        .expect("a stream has metadata");
    for item in list.iter_mut() {
        let words = item["metadata"]
            .as_object_mut()
            .expect("metadata is an object");
        words.retain(|word, _| !NOT_STRUCTURE.contains(&word.as_str()));
    }
    list.sort_by_key(|item| item["breadcrumb"].to_string());
    stream
}
