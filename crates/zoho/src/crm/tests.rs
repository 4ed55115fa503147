//! CRM of a few lines: metadata with odd pieces, uploads, results and where they lie, credits.

use std::io::Read;

use serde_json::json;
use singer_core::{Kind, Surroundings};

use super::*;
use crate::DataCenter;
use crate::testing::{
    Around, Folder, Reply, Seen, Server, config, http, ok, server_of_tokens, status, url_of,
};

mod metadata;

/// A service and a client for it.
struct Stage {
    service: Server,
    _accounts: Server,
    crm: Crm,
}

impl Stage {
    async fn of(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(CrmConfig::default(), answer).await
    }

    async fn with(
        mut settings: CrmConfig,
        answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let service = Server::start(answer).await;
        let accounts = server_of_tokens().await;
        let around: Arc<dyn Surroundings> = Around::new(&[]);
        let account = Account::new(&config(&accounts), &http(), around).unwrap();
        settings.api_url = Some(service.base.clone());
        let crm = Crm::new(account, &settings, &http()).unwrap();
        Self {
            service,
            _accounts: accounts,
            crm,
        }
    }

    fn lines(&self) -> Vec<String> {
        let seen = self.service.seen();
        seen.into_iter().map(|seen| seen.line).collect()
    }
}

fn nothing() -> Reply {
    Reply::Answer(204, "", String::new())
}

fn zip() -> Reply {
    let kind = "content-type: application/octet-stream\r\n";
    Reply::Answer(200, kind, "PK".to_owned())
}

fn code_of(fault: &Fault) -> Option<&str> {
    fault.code.as_deref()
}

/// An account that nobody asks.
fn idle(data_center: DataCenter) -> Account {
    let text = |text: &str| singer_core::SecretSource::Text(singer_core::Secret::new(text));
    let config = crate::AccountConfig {
        client_id: "1000.CLIENT".to_owned(),
        client_secret: text("s"),
        refresh_token: text("r"),
        data_center,
        accounts_url: None,
        token_cache_path: Some("none".to_owned()),
    };
    let around: Arc<dyn Surroundings> = Around::new(&[]);
    Account::new(&config, &http(), around).unwrap()
}

#[tokio::test]
async fn a_file_goes_to_the_upload_host_with_the_headers_that_it_wants() {
    let stage =
        Stage::of(|_, _| ok(&json!({"status": "success", "details": {"file_id": 6}}))).await;
    let kind = "multipart/form-data; boundary=b";
    let body = Bytes::from_static(b"--b--");
    let answer = stage.crm.upload("upload a file", "704881200", kind, body);
    let answer: Value = parse("upload a file", &answer.await.unwrap()).unwrap();
    assert_eq!(answer["details"]["file_id"], 6);
    let seen = stage.service.seen().remove(0);
    assert_eq!(seen.line, "POST /crm/v8/upload");
    for header in [
        "content-type: multipart/form-data; boundary=b",
        "feature: bulk-write",
        "x-crm-org: 704881200",
        "authorization: Zoho-oauthtoken token-0-hunter2",
    ] {
        assert!(seen.head.contains(header), "{}", seen.head);
    }
    assert_eq!(stage.crm.credits().spent()[0].kind, "upload");
}

#[tokio::test]
async fn an_unknown_upload_host_is_an_error_that_says_what_to_set() {
    let crm = Crm::new(idle(DataCenter::Uk), &CrmConfig::default(), &http()).unwrap();
    let upload = crm.upload("upload a file", "7", "multipart/form-data", Bytes::new());
    let error = upload.await.unwrap_err().into_error("cannot upload a file");
    assert_eq!(error.kind(), Kind::Config);
}

#[test]
fn the_config_says_which_hosts_are_asked() {
    let of = |api_url: Option<&str>, upload_url: Option<&str>, environment| {
        let config = CrmConfig {
            api_url: api_url.map(str::to_owned),
            upload_url: upload_url.map(str::to_owned),
            environment,
            ..CrmConfig::default()
        };
        let uploads = config.uploads(DataCenter::Eu).unwrap().unwrap();
        let base = config.base(DataCenter::Eu).unwrap();
        [base.to_string(), uploads.to_string()]
    };
    let (production, sandbox) = (Environment::Production, Environment::Sandbox);
    let content = "https://content.zohoapis.eu";
    for (got, wanted) in [
        (
            of(None, None, production),
            ["https://www.zohoapis.eu", content],
        ),
        (
            of(None, None, sandbox),
            ["https://sandbox.zohoapis.eu", content],
        ),
        (
            of(Some("https://developer.zohoapis.eu/"), None, production),
            ["https://developer.zohoapis.eu", content],
        ),
        (
            of(Some("http://127.0.0.1:9/z"), None, production),
            ["http://127.0.0.1:9/z", "http://127.0.0.1:9/z"],
        ),
        (
            of(None, Some("https://upload.zoho.eu"), production),
            ["https://www.zohoapis.eu", "https://upload.zoho.eu"],
        ),
    ] {
        assert_eq!(got, wanted);
    }
    let never = CrmConfig {
        patience_seconds: 0.0,
        ..CrmConfig::default()
    };
    assert!(never.validate(DataCenter::Uk).is_err());
    let read: CrmConfig = serde_json::from_value(json!({"environment": "sandbox"})).unwrap();
    assert!(read.validate(DataCenter::Uk).is_ok());
    assert_eq!((read.environment, read.min_credits), (sandbox, 0));
}

#[tokio::test]
async fn a_path_is_followed_on_the_api_and_a_url_on_hosts_of_the_config() {
    let stage = Stage::of(|_, _| zip()).await;
    let folder = Folder::new();
    let absolute = format!("{}/elsewhere/6.zip?a=1", stage.service.base);
    for link in ["/crm/bulk/v8/read/6/result", "v8/crm/org7/6.zip", &absolute] {
        let file = stage.crm.download("download it", link, folder.path(), 100);
        let mut bytes = String::new();
        file.await.unwrap().read_to_string(&mut bytes).unwrap();
        assert_eq!(bytes, "PK");
    }
    let wanted = [
        "GET /crm/bulk/v8/read/6/result",
        "GET /v8/crm/org7/6.zip",
        "GET /elsewhere/6.zip?a=1",
    ];
    assert_eq!(stage.lines(), wanted);
    assert_eq!(stage.crm.credits().total(), 3);
}

#[tokio::test]
async fn a_link_to_a_strange_host_or_out_of_the_path_is_not_followed() {
    let stage = Stage::of(|_, _| zip()).await;
    let folder = Folder::new();
    let ours = Crm::new(idle(DataCenter::Eu), &CrmConfig::default(), &http()).unwrap();
    for (crm, link) in [
        (&stage.crm, "https://download.zoho.eu/6.zip"),
        (&stage.crm, "/a/../b"),
        (&ours, "http://download.zoho.eu/6.zip"),
        (&ours, "https://download.zoho.com/6.zip"),
        (&ours, "https://zoho.eu.evil.example/6.zip"),
        (&ours, "https://evil.example/6.zip"),
        (&ours, "file:///etc/passwd"),
    ] {
        let file = crm.download("download it", link, folder.path(), 100).await;
        let error = file.unwrap_err().into_error("cannot download it");
        assert_eq!(error.kind(), Kind::Protocol, "{link}");
        assert_eq!(crm.credits().total(), 0, "{link}");
    }
    assert_eq!(stage.service.count(), 0);
}

#[tokio::test]
async fn a_stand_in_is_the_only_one_that_is_asked_for_a_result() {
    let missing =
        json!({"status": "error", "code": "RESOURCE_NOT_FOUND", "message": "gone", "details": {}});
    let stage = Stage::of(move |_, _| status(404, &missing)).await;
    let folder = Folder::new();
    let file = stage
        .crm
        .download("download it", "/a/6.zip", folder.path(), 100);
    let fault = file.await.unwrap_err();
    assert_eq!(code_of(&fault), Some("RESOURCE_NOT_FOUND"));
    assert_eq!(stage.service.count(), 1);
}

#[tokio::test]
async fn the_floor_ends_a_run_before_the_call_that_would_cross_it() {
    let settings = CrmConfig {
        min_credits: 100,
        ..CrmConfig::default()
    };
    let stage = Stage::with(settings, |_, _| {
        let header = "content-type: application/json\r\nx-api-credits-remaining: 101\r\n";
        Reply::Answer(200, header, r#"{"count":3}"#.to_owned())
    })
    .await;
    assert_eq!(stage.crm.count("Leads").await.unwrap(), 3);
    // What the service says counts: it may have been renewed meanwhile.
    assert_eq!(stage.crm.count("Leads").await.unwrap(), 3);
    assert_eq!(stage.crm.credits().remaining(), Some(101));
    let url = url_of(&stage.service, "crm/bulk/v8/read");
    let call = safe("make a job", Request::post_json(url, Bytes::new()));
    let fault = stage.crm.send(call, Spend::BulkRead).await.unwrap_err();
    let error = fault.into_error("cannot make a job");
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(stage.service.count(), 2);
    assert_eq!(stage.crm.credits().total(), 2);
}

#[tokio::test]
async fn a_refused_call_costs_as_well_and_one_that_was_never_sent_does_not() {
    let refusal =
        json!({"status": "error", "code": "INVALID_MODULE", "message": "no", "details": {}});
    let stage = Stage::of(move |_, _| status(400, &refusal)).await;
    let fault = stage.crm.count("Leeds").await.unwrap_err();
    assert!(fault.refuses_module());
    assert_eq!(stage.crm.credits().total(), 1);
    let elsewhere = Url::parse("http://127.0.0.1:9/crm").unwrap();
    let call = safe("ask", Request::get(elsewhere));
    assert!(stage.crm.send(call, Spend::Metadata).await.is_err());
    assert_eq!(stage.crm.credits().total(), 1);
}

#[tokio::test]
async fn the_api_domain_is_known_once_there_is_a_token() {
    let stage = Stage::of(|_, _| ok(&json!({"count": "12"}))).await;
    assert_eq!(stage.crm.account().api_domain().await, None);
    assert_eq!(stage.crm.count("Leads").await.unwrap(), 12);
    let domain = stage.crm.account().api_domain().await;
    assert_eq!(domain.as_deref(), Some("https://www.zohoapis.eu"));
}

#[tokio::test]
async fn a_call_is_not_made_again_below_the_floor() {
    let settings = CrmConfig {
        min_credits: 100,
        ..CrmConfig::default()
    };
    let stage = Stage::with(settings, |number, _| match number {
        0 => Reply::Answer(
            200,
            "content-type: application/json\r\nx-api-credits-remaining: 102\r\n",
            r#"{"count":3}"#.to_owned(),
        ),
        _ => Reply::Answer(502, "retry-after: 0\r\n", String::new()),
    })
    .await;
    assert_eq!(stage.crm.count("Leads").await.unwrap(), 3);
    let error = stage.crm.count("Leads").await.unwrap_err();
    assert_eq!(error.into_error("x").kind(), Kind::RateLimited);
    // Two attempts were within what was left, five are allowed.
    assert_eq!(stage.service.count(), 3);
    assert_eq!(stage.crm.credits().remaining(), Some(100));
}

#[tokio::test]
async fn a_call_that_is_made_again_after_a_broken_answer_costs_twice() {
    let stage = Stage::of(|number, _| match number {
        0 => Reply::Answer(502, "retry-after: 0\r\n", String::new()),
        1 => {
            let body = r#"{"code":"TOO_MANY_REQUESTS","status":"error","message":"no"}"#;
            Reply::Answer(429, "retry-after: 0\r\n", body.to_owned())
        }
        _ => ok(&json!({"count": 3})),
    })
    .await;
    assert_eq!(stage.crm.count("Leads").await.unwrap(), 3);
    assert_eq!(stage.service.count(), 3);
    assert_eq!(stage.crm.credits().total(), 2);
}
