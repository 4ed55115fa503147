//! Folders, faults and addresses.

use std::fs;
use std::time::Duration;

use singer_core::Kind;
use singer_test::folder::Folder;

use super::*;

fn open(folder: &Folder) -> Store {
    folder::open(&folder.path().join("store")).unwrap()
}

#[tokio::test]
async fn what_was_put_is_read_listed_and_removed() {
    let folder = Folder::new();
    let store = open(&folder);
    assert!(store.get("pipelines/a/x.json").await.unwrap().is_none());
    assert!(store.list("pipelines/a/").await.unwrap().is_empty());
    assert!(store.folders("pipelines/").await.unwrap().is_empty());
    store.put("pipelines/a/x.json", "one".into()).await.unwrap();
    store.put("pipelines/a/x.json", "two".into()).await.unwrap();
    store
        .put_hint("pipelines/b/y.json", "three".into())
        .await
        .unwrap();
    let found = store.get("pipelines/a/x.json").await.unwrap().unwrap();
    assert_eq!(found.bytes, "two");
    assert_eq!(store.folders("pipelines/").await.unwrap(), ["a", "b"]);
    let listed = store.list("pipelines/").await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|line| line.key.as_str()).collect();
    assert_eq!(keys, ["pipelines/a/x.json", "pipelines/b/y.json"]);
    assert_eq!(listed[1].size, 5);
    store.delete("pipelines/a/x.json").await.unwrap();
    store.delete("pipelines/a/x.json").await.unwrap();
    assert!(!store.has("pipelines/a/x.json").await.unwrap());
}

#[tokio::test]
async fn a_new_object_is_put_once() {
    let folder = Folder::new();
    let store = open(&folder);
    let key = "pipelines/a/lock/00000001.json";
    assert_eq!(
        store.put_new_hint(key, "one".into()).await.unwrap(),
        Put::Created
    );
    assert_eq!(store.put_new(key, "two".into()).await.unwrap(), Put::Exists);
    assert_eq!(store.get(key).await.unwrap().unwrap().bytes, "one");
}

#[tokio::test]
async fn a_file_of_any_size_arrives_whole() {
    let folder = Folder::new();
    let store = open(&folder);
    for size in [0, 10, PART_SIZE + 100_000] {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let file = folder.path().join("file");
        fs::write(&file, &bytes).unwrap();
        store.put_file("runs/log.txt", &file).await.unwrap();
        let pieces = store.read("runs/log.txt").await.unwrap().unwrap();
        let arrived: Vec<Bytes> = pieces.try_collect().await.unwrap();
        assert!(arrived.concat() == bytes, "{size} bytes");
    }
}

#[tokio::test]
async fn leftovers_of_a_crash_are_no_objects_and_are_swept_when_old() {
    let folder = Folder::new();
    let store = open(&folder);
    store.put("a/1.json", "{}".into()).await.unwrap();
    let left = folder.path().join("store/a/2.json#1");
    fs::write(&left, "{\"ver").unwrap();
    assert_eq!(store.list("a/").await.unwrap().len(), 1);
    assert_eq!(
        store.put_new("a/2.json", "{}".into()).await.unwrap(),
        Put::Created
    );
    store.sweep("a/", Duration::from_secs(3600));
    assert!(left.exists());
    store.sweep("a/", Duration::ZERO);
    assert!(!left.exists());
    assert_eq!(store.list("a/").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_in_the_way_is_told_with_its_path() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = folder::open(&file.join("store")).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains("file/store"), "{error:?}");
    assert!(error.hints()[0].contains("in its way"), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_takes_no_files_is_told_with_the_user() {
    // Nobody, not even root, makes a folder there.
    let error = folder::open(Path::new("/proc/store")).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains("`/proc/store`"), "{error:?}");
}

fn folder_fault(kind: std::io::ErrorKind) -> singer_core::Error {
    let place = Place::Folder("/data".into());
    place.fault(Doing::Write, "a/1.json", fault::from_io(kind.into()))
}

#[test]
fn a_fault_of_the_disk_says_what_to_do() {
    use std::io::ErrorKind;
    let full = folder_fault(ErrorKind::StorageFull);
    assert_eq!(full.kind(), Kind::Internal);
    assert!(
        full.message()
            .starts_with("the disk of the store `/data` is full")
    );
    for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
        let error = folder_fault(kind);
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(
            error.message(),
            "cannot write `a/1.json` in the store `/data`"
        );
        assert!(!error.hints().is_empty());
    }
}

#[test]
fn the_fault_of_a_remote_store_tells_a_missing_bucket_from_a_missing_object() {
    let place = Place::Remote {
        url: "s3://b/p".to_owned(),
        bucket: "b".to_owned(),
        user: "the profile `x`".to_owned(),
    };
    let absent = |text: &str| object_store::Error::NotFound {
        path: "p".to_owned(),
        source: text.to_owned().into(),
    };
    assert!(place.is_absence(&absent("404 NoSuchKey")));
    let missing = absent("<Code>NoSuchBucket</Code>");
    assert!(!place.is_absence(&missing));
    let error = place.fault(Doing::List, "p/", missing);
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains("no bucket `b`"));
    let denied = object_store::Error::PermissionDenied {
        path: "p".to_owned(),
        source: "403".into(),
    };
    let error = place.fault(Doing::Write, "p", denied);
    assert_eq!(error.kind(), Kind::Auth);
    assert!(error.hints()[0].contains("the profile `x`"));
    let reset = object_store::Error::Generic {
        store: "S3",
        source: "GET https://b.s3/?X-Amz-Signature=hunter2 connection reset".into(),
    };
    let error = place.fault(Doing::Read, "p", reset);
    assert_eq!(error.kind(), Kind::Transient);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn the_answer_of_a_service_is_told_by_its_code_and_message_alone() {
    let place = Place::Remote {
        url: "s3://b/p".to_owned(),
        bucket: "b".to_owned(),
        user: "the profile `x`".to_owned(),
    };
    let answer = "403 Forbidden: <?xml version=\"1.0\"?> <Error><Code>SignatureDoesNotMatch</Code>\
        <Message>The request signature\nwe calculated does not match</Message><CanonicalRequest>GET\n\
        x-amz-security-token:hunter2</CanonicalRequest></Error>";
    let refused = object_store::Error::PermissionDenied {
        path: "p".to_owned(),
        source: answer.into(),
    };
    let error = place.fault(Doing::Read, "p", refused);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "the service answered SignatureDoesNotMatch: The request signature we calculated does not match"
    );
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn what_is_made_in_a_folder_is_not_open_to_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let store = open(&folder);
    let file = folder.write("rejects", "{}\n");
    store.put_file("runs/1/rejects.jsonl", &file).await.unwrap();
    store.put("state/1.json", "{}".into()).await.unwrap();
    assert_eq!(
        store.put_new("lock/1.json", "{}".into()).await.unwrap(),
        Put::Created
    );
    store.put_hint("live/1.json", "{}".into()).await.unwrap();
    let mode = |name: &str| {
        let path = folder.path().join("store").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for name in ["runs", "runs/1", "state", "lock", "live"] {
        assert_eq!(mode(name) & 0o707, 0o700, "{name}");
    }
}

#[test]
fn a_machine_without_credentials_is_not_told_of_missing_rights() {
    let place = Place::Remote {
        url: "s3://b/p".to_owned(),
        bucket: "b".to_owned(),
        user: "who the environment names".to_owned(),
    };
    for answer in ["403 Forbidden", "connection refused"] {
        let error = place.fault(
            Doing::List,
            "p/",
            object_store::Error::Generic {
                store: "S3",
                source: format!("PUT http://169.254.169.254/latest/api/token: {answer}").into(),
            },
        );
        assert_eq!(error.kind(), Kind::Auth);
        assert!(error.hints()[0].contains("no credentials were found"));
    }
}
