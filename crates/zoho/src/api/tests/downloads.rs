//! Downloads: whole, cut, too long, refused, and to where the token does not belong.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
const ZIP: &str = "content-type: application/zip\r\n";

async fn download(stage: &Stage, folder: &Folder, max_bytes: u64) -> Result<std::fs::File, Fault> {
    let url = url_of(&stage.service, "result");
    let what = "download the result";
    stage
        .api
        .download(what, url, folder.path(), max_bytes)
        .await
}

#[tokio::test]
async fn a_download_is_a_file_that_nobody_else_can_see() {
    let content = "0123456789".repeat(100_000);
    let body = content.clone();
    let stage = Stage::of(move |_, _| Reply::Answer(200, ZIP, body.clone())).await;
    let folder = Folder::new();
    let mut file = download(&stage, &folder, 1_000_000).await.unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.nlink(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut read = String::new();
    file.read_to_string(&mut read).unwrap();
    assert!(read == content);
    let head = stage.service.seen().remove(0).head;
    assert!(head.contains("Zoho-oauthtoken token-0-hunter2"), "{head}");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_begun_anew() {
    let stage = Stage::of(|number, _| match number {
        0 => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nold".into()),
        1 => {
            Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nold\r\n".into())
        }
        _ => Reply::Answer(200, ZIP, "new".to_owned()),
    })
    .await;
    let folder = Folder::new();
    let mut read = String::new();
    let mut file = download(&stage, &folder, 9).await.unwrap();
    file.read_to_string(&mut read).unwrap();
    assert_eq!(read, "new");
    assert_eq!(stage.service.count(), 3);

    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nold";
    let stage = Stage::of(move |_, _| Reply::Raw(cut.into())).await;
    let fault = download(&stage, &folder, 9).await.unwrap_err();
    assert_eq!(fault.into_error("x").kind(), Kind::Transient);
    assert_eq!(stage.service.count(), 3);
}

#[tokio::test]
async fn a_download_beyond_its_bound_is_refused() {
    let stage = Stage::of(|_, _| Reply::Answer(200, ZIP, "0123456789".to_owned())).await;
    let folder = Folder::new();
    assert!(download(&stage, &folder, 10).await.is_ok());
    let error = download(&stage, &folder, 9)
        .await
        .unwrap_err()
        .into_error("x");
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(shown(&error).contains("longer than 9 bytes"));
    assert_eq!(stage.service.count(), 2);
}

#[tokio::test]
async fn a_refused_download_is_a_fault_like_any_other() {
    let folder = Folder::new();
    for (code, error, class) in [
        (410, "EXPIRED", Class::Expired),
        (404, "INVALID_ID", Class::Missing),
        (200, "EXPIRED", Class::Expired),
        (401, "OAUTH_SCOPE_MISMATCH", Class::Denied),
    ] {
        let stage = Stage::of(failing(9, code, error)).await;
        let fault = download(&stage, &folder, 9).await.unwrap_err();
        assert_eq!((fault.class, stage.service.count()), (class, 1));
    }
    for (code, class) in [(404, Class::Missing), (410, Class::Expired)] {
        let stage = Stage::of(move |_, _| page(code)).await;
        let fault = download(&stage, &folder, 9).await.unwrap_err();
        assert_eq!(fault.class, class);
    }
    let stage = Stage::of(failing(1, 401, "INVALID_TOKEN")).await;
    download(&stage, &folder, 9).await.unwrap();
    assert_eq!(stage.accounts.count(), 2);
    // A page with status 200 is a gateway's.
    let stage = Stage::of(|_, _| page(200)).await;
    assert!(download(&stage, &folder, 9).await.unwrap_err().is_unclear());
    assert_eq!(stage.service.count(), 3);
}

#[tokio::test]
async fn a_link_to_another_host_gets_no_token() {
    let stage = Stage::of(|_, _| good()).await;
    let other = Server::start(|_, _| good()).await;
    let folder = Folder::new();
    let sent = stage
        .api
        .download("x", url_of(&other, "result"), folder.path(), 9)
        .await;
    let error = sent.unwrap_err().into_error("cannot download the result");
    assert_eq!(error.kind(), Kind::Protocol);
    let shown = shown(&error);
    for part in [&other.base, &stage.service.base, "`data_center`"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!((other.count(), stage.accounts.count()), (0, 0));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let stage = Stage::of(|_, _| Reply::Answer(200, ZIP, "x".to_owned())).await;
    let folder = Folder::new();
    let gone = folder.path().join("gone");
    let sent = stage
        .api
        .download("x", url_of(&stage.service, "r"), &gone, 9)
        .await;
    let error = sent.unwrap_err().into_error("cannot download the result");
    assert_eq!(error.kind(), Kind::Internal);
    let shown = shown(&error);
    assert!(
        shown.contains("/gone`") && shown.contains("must be there"),
        "{shown}"
    );
    assert_eq!(stage.service.count(), 1);
}

#[test]
fn a_full_disk_says_so() {
    use std::io::{Error as IoError, ErrorKind};
    let full = IoError::from(ErrorKind::StorageFull);
    let fault = super::super::download::disk(std::path::Path::new("/tmp"), full);
    let error = fault.into_error("x");
    assert_eq!(error.kind(), Kind::Internal);
    assert!(shown(&error).contains("make room"));
}
