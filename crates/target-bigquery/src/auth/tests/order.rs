//! Where credentials are looked for first, and what is said if there are none.

use serde_json::json;
use singer_core::{Kind, Secret, SecretSource};
use singer_test::folder::Folder;

use super::super::testing::*;
use super::super::{AuthOptions, Environment};

/// A login whose token would come from nowhere; the quota project tells them apart.
fn marked(mark: &str) -> serde_json::Value {
    let mut document = user("https://h/token");
    document["quota_project_id"] = json!(mark);
    document
}

#[tokio::test]
async fn each_place_gives_way_to_the_one_before_it() {
    let metadata = Server::start(|_, _| {
        Reply::Answer(
            200,
            "Metadata-Flavor: Google\r\n",
            "from-metadata".to_owned(),
        )
    })
    .await;
    let folder = Folder::new();
    let path = folder.write_json("path.json", &marked("from-path"));
    let variable = folder.write_json("variable.json", &marked("from-variable"));
    let gcloud = folder.file(".config/gcloud");
    std::fs::create_dir_all(&gcloud).unwrap();
    let gcloud = gcloud.join("application_default_credentials.json");
    std::fs::write(&gcloud, marked("from-gcloud").to_string()).unwrap();
    let text = |path: &std::path::Path| Some(path.to_str().unwrap().to_owned());
    let mut options = AuthOptions {
        credentials: Some(SecretSource::Text(Secret::new(
            marked("from-setting").to_string(),
        ))),
        credentials_path: text(&path),
        environment: Environment {
            google_application_credentials: text(&variable),
            home: Some(folder.path().to_owned()),
            gce_metadata_host: Some(metadata.host()),
            ..Environment::default()
        },
        ..options()
    };
    let mut found = Vec::new();
    for step in 0..5 {
        match step {
            1 => options.credentials = None,
            2 => options.credentials_path = None,
            3 => options.environment.google_application_credentials = None,
            4 => std::fs::remove_file(&gcloud).unwrap(),
            _ => {}
        }
        let tokens = connect(options.clone()).await.unwrap();
        found.push((tokens.project().unwrap(), tokens.origin()));
    }
    let projects: Vec<&str> = found.iter().map(|(project, _)| project.as_str()).collect();
    assert_eq!(
        projects,
        [
            "from-setting",
            "from-path",
            "from-variable",
            "from-gcloud",
            "from-metadata"
        ]
    );
    assert!(found[1].1.contains("path.json` of `credentials_path`"));
    assert!(found[2].1.contains("of `GOOGLE_APPLICATION_CREDENTIALS`"));
    assert!(found[3].1.contains("of `gcloud`"));
    assert_eq!(
        metadata.seen().len(),
        1,
        "asked only when nothing else is left"
    );
}

#[tokio::test]
async fn the_folder_of_gcloud_may_be_another() {
    let folder = Folder::new();
    folder.write_json("application_default_credentials.json", &marked("elsewhere"));
    let options = AuthOptions {
        environment: Environment {
            cloudsdk_config: Some(folder.path().to_owned()),
            home: Some("/no/such/home".into()),
            ..Environment::default()
        },
        ..options()
    };
    let tokens = connect(options).await.unwrap();
    assert_eq!(tokens.project().as_deref(), Some("elsewhere"));
}

#[tokio::test]
async fn the_project_of_the_environment_wins() {
    let mut options = with_document(&marked("from-setting"));
    options.environment.google_cloud_project = Some("from-environment".to_owned());
    options.environment.google_cloud_quota_project = Some("counted".to_owned());
    let tokens = connect(options).await.unwrap();
    assert_eq!(tokens.project().as_deref(), Some("from-environment"));
    assert_eq!(tokens.quota_project().as_deref(), Some("counted"));
}

#[tokio::test]
async fn a_stand_in_gets_no_credentials_but_those_of_the_config() {
    let folder = Folder::new();
    let path = folder.write_json("variable.json", &marked("from-variable"));
    let mut options = AuthOptions {
        anonymous: true,
        ..options()
    };
    options.environment.google_application_credentials = Some(path.to_str().unwrap().to_owned());
    options.environment.google_cloud_quota_project = Some("counted".to_owned());
    let tokens = connect(options.clone()).await.unwrap();
    assert_eq!(tokens.token().await.unwrap(), None);
    assert_eq!(tokens.describe(), "anonymous");
    assert_eq!(tokens.quota_project(), None);
    options.credentials = Some(SecretSource::Text(Secret::new("ya29.hunter2")));
    let tokens = connect(options).await.unwrap();
    assert_eq!(text(&tokens).await, "ya29.hunter2");
}

#[tokio::test]
async fn a_machine_without_credentials_is_told_what_was_tried_and_what_to_do() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = closed.local_addr().unwrap().to_string();
    drop(closed);
    let folder = Folder::new();
    let mut options = AuthOptions {
        environment: Environment {
            home: Some(folder.path().to_owned()),
            gce_metadata_host: Some(host.clone()),
            ..Environment::default()
        },
        ..options()
    };
    options.http.attempts = 1;
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let hints = error.hints().join("\n");
    for part in [
        "`credentials_path` (not set)",
        "`GOOGLE_APPLICATION_CREDENTIALS` (not set)",
        "application_default_credentials.json` (not there)",
        &format!("the metadata server at `{host}` (no answer)"),
        "set `credentials_path`",
        "`gcloud auth application-default login`",
    ] {
        assert!(hints.contains(part), "{part}: {hints}");
    }
}

#[tokio::test]
async fn any_server_that_answers_is_no_metadata_server() {
    let server = Server::start(|_, _| Reply::Answer(200, "", "team-9".to_owned())).await;
    let options = AuthOptions {
        environment: Environment {
            gce_metadata_host: Some(server.host()),
            ..Environment::default()
        },
        ..options()
    };
    let error = connect(options).await.unwrap_err();
    assert!(shown(&error).contains("not with `Metadata-Flavor: Google`"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_metadata_host_that_is_no_host_is_refused() {
    for host in ["h/path", "user@h", "", "h?x=y"] {
        let options = AuthOptions {
            environment: Environment {
                gce_metadata_host: Some(host.to_owned()),
                ..Environment::default()
            },
            ..options()
        };
        let error = connect(options).await.unwrap_err();
        assert!(error.message().contains("`GCE_METADATA_HOST`"), "{host}");
    }
}
