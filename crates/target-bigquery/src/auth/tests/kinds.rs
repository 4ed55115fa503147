//! What each kind of credentials sends for a token.

use chrono::TimeDelta;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use singer_core::{Kind, Secret, SecretSource};
use singer_test::folder::Folder;

use super::super::key::SigningKey;
use super::super::testing::*;
use super::super::{AuthOptions, Environment, TokenExchange};
use crate::base64;

/// The header and the claims of a signed token, whose signature is checked.
fn verify(token: &str) -> (Value, Value) {
    let (content, signature) = token.rsplit_once('.').unwrap();
    let key = SigningKey::read(&Secret::new(key()), None, "the test").unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
        .verify(content.as_bytes(), &base64::decode_url(signature).unwrap())
        .unwrap();
    let (header, claims) = content.split_once('.').unwrap();
    let json = |text| serde_json::from_slice(&base64::decode_url(text).unwrap()).unwrap();
    (json(header), json(claims))
}

#[tokio::test]
async fn a_service_account_signs_its_own_token_and_asks_nobody() {
    let tokens = connect(with_document(&service_account("https://h/token"))).await;
    let tokens = tokens.unwrap();
    let (header, claims) = verify(&text(&tokens).await);
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-7"})
    );
    let begin = noon().timestamp() - 10;
    assert_eq!(
        claims,
        json!({
            "iss": EMAIL, "sub": EMAIL, "scope": "https://www.googleapis.com/auth/bigquery",
            "iat": begin, "exp": begin + 3600,
        })
    );
    assert_eq!(tokens.describe(), format!("service account {EMAIL}"));
    assert_eq!(tokens.origin(), "`credentials` in the config");
    assert_eq!(tokens.project().as_deref(), Some("team-1"));
    assert_eq!(tokens.quota_project(), None);
}

#[tokio::test]
async fn a_service_account_exchanges_its_token_if_told_to() {
    let server = server_of_tokens().await;
    let options = AuthOptions {
        token_exchange: TokenExchange::Exchange,
        ..with_document(&service_account(&server.url("token")))
    };
    let tokens = connect(options).await.unwrap();
    assert!(server.seen().is_empty(), "connecting asks for no token");
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /token");
    assert!(seen.head.contains("application/x-www-form-urlencoded"));
    assert!(seen.head.contains("target-bigquery/test"));
    let form = seen.form();
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let (_, claims) = verify(&form["assertion"]);
    assert_eq!(claims["aud"], server.url("token"));
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/bigquery");
    assert_eq!(claims.get("sub"), None);
}

#[tokio::test]
async fn a_key_whose_line_ends_were_escaped_twice_is_good() {
    let mut document = service_account("https://h/token");
    document["private_key"] = json!(key().replace('\n', "\\n"));
    let tokens = connect(with_document(&document)).await.unwrap();
    verify(&text(&tokens).await);
}

#[tokio::test]
async fn a_document_may_be_packed_in_base64() {
    let document = service_account("https://h/token").to_string();
    let options = AuthOptions {
        credentials: Some(SecretSource::Text(Secret::new(base64::encode(
            document.as_bytes(),
        )))),
        ..options()
    };
    let tokens = connect(options).await.unwrap();
    assert_eq!(tokens.describe(), format!("service account {EMAIL}"));
}

#[tokio::test]
async fn a_login_is_refreshed() {
    let server = server_of_tokens().await;
    let tokens = connect(with_document(&user(&server.url("token"))))
        .await
        .unwrap();
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    let form = server.seen()[0].form();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["client_id"], "client-1");
    assert_eq!(form["client_secret"], "client-hunter2");
    assert_eq!(form["refresh_token"], "1//refresh-hunter2");
    assert_eq!(tokens.describe(), "user credentials");
    assert_eq!(tokens.project().as_deref(), Some("team-quota"));
    assert_eq!(tokens.quota_project().as_deref(), Some("team-quota"));
}

#[tokio::test]
async fn a_bare_token_is_used_as_it_is() {
    let options = AuthOptions {
        credentials: Some(SecretSource::Command("echo ya29.hunter2".to_owned())),
        ..options()
    };
    let clock = clock();
    let tokens = connect_at(options, clock.clone()).await.unwrap();
    clock.advance(TimeDelta::days(1));
    assert_eq!(text(&tokens).await, "ya29.hunter2");
    assert_eq!(tokens.describe(), "access token");
    assert_hidden(&format!("{tokens:?}"));
}

/// The document of a workload identity.
fn external(server: &Server, source: Value) -> Value {
    json!({
        "type": "external_account", "audience": "//iam.example/pool", "token_url": server.url("sts"),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": source,
    })
}

#[tokio::test]
async fn a_workload_exchanges_the_token_in_its_file() {
    let server = server_of_tokens().await;
    let folder = Folder::new();
    let path = folder.write("subject", "subject-hunter2\n");
    let document = external(&server, json!({"file": path}));
    let clock = clock();
    let tokens = connect_at(with_document(&document), clock.clone())
        .await
        .unwrap();
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    let form = server.seen()[0].form();
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:token-exchange"
    );
    assert_eq!(form["audience"], "//iam.example/pool");
    assert_eq!(form["subject_token"], "subject-hunter2");
    assert_eq!(
        form["subject_token_type"],
        "urn:ietf:params:oauth:token-type:jwt"
    );
    assert_eq!(
        form["requested_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(form["scope"], "https://www.googleapis.com/auth/bigquery");
    assert_eq!(tokens.describe(), "workload identity");

    folder.write("subject", "newer-hunter2");
    clock.advance(TimeDelta::hours(1));
    assert_eq!(text(&tokens).await, "token-1-hunter2");
    assert_eq!(server.seen()[1].form()["subject_token"], "newer-hunter2");
}

#[tokio::test]
async fn a_workload_asks_its_provider_and_takes_the_place_of_a_service_account() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        "GET /provider?audience=a%2Fb" => ok(&json!({"value": "subject-hunter2"})),
        "POST /sts" => token(7),
        _ => ok(&json!({"accessToken": "final-hunter2", "expireTime": "2026-01-01T12:30:00Z"})),
    })
    .await;
    let mut document = external(
        &server,
        json!({
            "url": server.url("provider?audience=a%2Fb"),
            "headers": {"Authorization": "bearer provider-hunter2"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }),
    );
    let path = format!("v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken");
    document["service_account_impersonation_url"] = json!(server.url(&path));
    document["service_account_impersonation"] = json!({"token_lifetime_seconds": 1800});
    let tokens = connect(with_document(&document)).await.unwrap();
    assert_eq!(text(&tokens).await, "final-hunter2");
    assert_eq!(
        tokens.describe(),
        format!("workload identity as service account {EMAIL}")
    );
    let seen = server.seen();
    assert!(
        seen[0]
            .head
            .contains("authorization: bearer provider-hunter2")
    );
    assert_eq!(seen[1].form()["subject_token"], "subject-hunter2");
    assert_eq!(
        seen[1].form()["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    assert_eq!(seen[2].line, format!("POST /{path}"));
    assert!(
        seen[2]
            .head
            .contains("authorization: Bearer token-7-hunter2")
    );
    let body: Value = serde_json::from_str(&seen[2].body).unwrap();
    assert_eq!(
        body,
        json!({
            "delegates": [], "scope": ["https://www.googleapis.com/auth/bigquery"], "lifetime": "1800s",
        })
    );
    assert_hidden(&format!("{tokens:?}"));
}

#[tokio::test]
async fn a_login_takes_the_place_of_a_service_account() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        "POST /token" => token(7),
        _ => ok(&json!({"accessToken": "final-hunter2", "expireTime": "2026-01-01T13:00:00Z"})),
    })
    .await;
    let document = json!({
        "type": "impersonated_service_account", "delegates": ["projects/-/serviceAccounts/a@b"],
        "service_account_impersonation_url": server.url(&format!("accounts/{EMAIL}:generateAccessToken")),
        "source_credentials": user(&server.url("token")),
    });
    let tokens = connect(with_document(&document)).await.unwrap();
    assert_eq!(text(&tokens).await, "final-hunter2");
    assert_eq!(
        tokens.describe(),
        format!("user credentials as service account {EMAIL}")
    );
    let body: Value = serde_json::from_str(&server.seen()[1].body).unwrap();
    assert_eq!(body["delegates"], json!(["projects/-/serviceAccounts/a@b"]));
}

#[tokio::test]
async fn impersonation_without_the_role_is_explained() {
    let server = Server::start(|_, seen| match seen.line.as_str() {
        "POST /token" => token(7),
        _ => Reply::Answer(
            403,
            "",
            json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message":
                "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."}})
            .to_string(),
        ),
    })
    .await;
    let document = json!({
        "type": "impersonated_service_account", "source_credentials": user(&server.url("token")),
        "service_account_impersonation_url": server.url(&format!("accounts/{EMAIL}:generateAccessToken")),
    });
    let tokens = connect(with_document(&document)).await.unwrap();
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    let shown = shown(&error);
    assert!(shown.contains(EMAIL), "{shown}");
    assert!(shown.contains("PERMISSION_DENIED"), "{shown}");
    assert!(
        shown.contains("iam.serviceAccounts.getAccessToken"),
        "{shown}"
    );
    assert!(shown.contains("Service Account Token Creator"), "{shown}");
    assert_hidden(&shown);
}

#[tokio::test]
async fn the_metadata_server_gives_tokens_and_the_project() {
    let server = Server::start(|number, seen| match seen.line.as_str() {
        "GET /computeMetadata/v1/project/project-id" => {
            Reply::Answer(200, "Metadata-Flavor: Google\r\n", "team-9".to_owned())
        }
        _ => Reply::Answer(
            200,
            "Metadata-Flavor: Google\r\n",
            token_document(number).to_string(),
        ),
    })
    .await;
    let tokens = connect(at_metadata(&server)).await.unwrap();
    assert_eq!(text(&tokens).await, "token-1-hunter2");
    assert_eq!(tokens.describe(), "metadata server");
    assert_eq!(tokens.project().as_deref(), Some("team-9"));
    assert_eq!(
        server.lines()[1],
        "GET /computeMetadata/v1/instance/service-accounts/default/token"
    );
    for seen in server.seen() {
        assert!(seen.head.contains("metadata-flavor: Google"));
    }
}

#[tokio::test]
async fn a_token_that_another_server_gave_is_not_taken() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Answer(200, "Metadata-Flavor: Google\r\n", "team-9".to_owned()),
        _ => token(number),
    })
    .await;
    let tokens = connect(at_metadata(&server)).await.unwrap();
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(shown(&error).contains("Metadata-Flavor"));
    assert_hidden(&shown(&error));
}

/// Options for a machine whose metadata server is here.
fn at_metadata(server: &Server) -> AuthOptions {
    AuthOptions {
        environment: Environment {
            gce_metadata_host: Some(server.host()),
            ..Environment::default()
        },
        ..options()
    }
}
