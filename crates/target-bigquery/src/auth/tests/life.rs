//! The life of a token: shared, renewed before its end, dropped when it is refused.

use chrono::TimeDelta;
use serde_json::json;
use singer_core::{Kind, Secret, SecretSource};
use singer_test::folder::Folder;
use tokio::task::JoinSet;

use super::super::testing::*;
use super::super::{AuthOptions, TokenExchange, Tokens};

async fn user_tokens(server: &Server) -> (Tokens, singer_runtime::clock::Clock) {
    let clock = clock();
    let options = with_document(&user(&server.url("token")));
    (connect_at(options, clock.clone()).await.unwrap(), clock)
}

#[tokio::test]
async fn a_token_is_renewed_a_few_minutes_before_its_end() {
    let server = server_of_tokens().await;
    let (tokens, clock) = user_tokens(&server).await;
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    clock.advance(TimeDelta::seconds(3600 - 226));
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(text(&tokens).await, "token-1-hunter2");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_short_token_is_used_for_most_of_its_life() {
    let server = Server::start(|number, _| {
        ok(&json!({"access_token": format!("token-{number}"), "expires_in": "100"}))
    })
    .await;
    let (tokens, clock) = user_tokens(&server).await;
    assert_eq!(text(&tokens).await, "token-0");
    clock.advance(TimeDelta::seconds(74));
    assert_eq!(text(&tokens).await, "token-0");
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(text(&tokens).await, "token-1");
}

#[tokio::test]
async fn a_signed_token_is_renewed_too() {
    let clock = clock();
    let options = with_document(&service_account("https://h/token"));
    let tokens = connect_at(options, clock.clone()).await.unwrap();
    let first = text(&tokens).await;
    clock.advance(TimeDelta::minutes(56));
    assert_eq!(text(&tokens).await, first);
    clock.advance(TimeDelta::minutes(1));
    assert_ne!(text(&tokens).await, first);
}

#[tokio::test]
async fn all_who_wait_share_one_request() {
    let server = server_of_tokens().await;
    let (tokens, _) = user_tokens(&server).await;
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let tokens = tokens.clone();
        waiting.spawn(async move { text(&tokens).await });
    }
    let all = waiting.join_all().await;
    assert_eq!(all, ["token-0-hunter2"; 8]);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn all_who_wait_share_one_failure() {
    let server =
        Server::start(|_, _| oauth_error(400, "invalid_grant", "Invalid JWT Signature.")).await;
    let (tokens, _) = user_tokens(&server).await;
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let tokens = tokens.clone();
        waiting.spawn(async move { tokens.token().await.unwrap_err() });
    }
    let errors = waiting.join_all().await;
    assert_eq!(server.seen().len(), 1);
    for error in errors {
        assert_eq!(error.kind(), Kind::Auth);
        let shown = shown(&error);
        assert!(shown.contains("invalid_grant"), "{shown}");
        assert!(shown.contains("the key was deleted"), "{shown}");
    }
    // Who comes later asks anew.
    tokens.token().await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_final_and_explained() {
    for (description, hint) in [
        (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            "clock",
        ),
        ("Invalid grant: account not found", "deleted or disabled"),
        ("Token has been expired or revoked.", "log in again"),
        ("Bad Request", "clock of this machine"),
        ("1//refresh-hunter2 is dead", "revoked"),
    ] {
        let server =
            Server::start(move |_, _| oauth_error(400, "invalid_grant", description)).await;
        let (tokens, _) = user_tokens(&server).await;
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Auth, "{description}");
        let shown = shown(&error);
        assert!(shown.contains("400"), "{shown}");
        assert!(shown.contains("invalid_grant"), "{shown}");
        assert!(shown.contains(hint), "{shown}");
        assert_hidden(&shown);
        assert_eq!(server.seen().len(), 1, "{description}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Answer(503, "retry-after: 0\r\n", "<html>hunter2</html>".to_owned()),
        1 => oauth_error(400, "internal_failure", ""),
        _ => token(number),
    })
    .await;
    let (tokens, _) = user_tokens(&server).await;
    assert_eq!(text(&tokens).await, "token-2-hunter2");
}

#[tokio::test]
async fn attempts_come_to_an_end() {
    for (status, kind) in [(503, Kind::Transient), (429, Kind::RateLimited)] {
        let server = Server::start(move |_, _| oauth_error(status, "busy", "")).await;
        let (tokens, _) = user_tokens(&server).await;
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_an_error_that_does_not_quote_it() {
    for body in [
        r#"{"id_token": "hunter2"}"#,
        r#"{"access_token": ""}"#,
        r#"{"access_token": "two hunter2"}"#,
        "hunter2",
    ] {
        let server = Server::start(move |_, _| Reply::Answer(200, "", body.to_owned())).await;
        let (tokens, _) = user_tokens(&server).await;
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}");
        assert!(shown(&error).contains("has no `access_token`"));
        assert_hidden(&shown(&error));
    }
}

#[tokio::test]
async fn the_old_token_serves_on_while_the_service_is_out_of_reach() {
    let server = Server::start(|number, _| match number {
        0 => token(0),
        _ => oauth_error(503, "busy", ""),
    })
    .await;
    let (tokens, clock) = user_tokens(&server).await;
    text(&tokens).await;
    clock.advance(TimeDelta::minutes(57));
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    assert_eq!(text(&tokens).await, "token-0-hunter2");
    assert_eq!(
        server.seen().len(),
        4,
        "three attempts, then a minute of rest"
    );
    clock.advance(TimeDelta::minutes(3));
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
}

#[tokio::test]
async fn a_refused_token_is_dropped_once_and_its_source_read_again() {
    let server = server_of_tokens().await;
    let folder = Folder::new();
    let path = folder.write_json("key.json", &user(&server.url("old")));
    let tokens = connect(with_file(&path)).await.unwrap();
    let first = tokens.token().await.unwrap().unwrap();
    folder.write_json("key.json", &user(&server.url("new")));
    tokens.refused(&first).await;
    let second = tokens.token().await.unwrap().unwrap();
    assert_eq!(server.lines(), ["POST /old", "POST /new"]);
    // A request that had the old token comes back late.
    tokens.refused(&first).await;
    assert_eq!(tokens.token().await.unwrap().unwrap(), second);
    tokens.refused(&Secret::new("never ours")).await;
    assert_eq!(tokens.token().await.unwrap().unwrap(), second);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_bare_token_is_read_again_and_must_be_another() {
    let folder = Folder::new();
    let path = folder.write("token", "ya29.old-hunter2\n");
    let options = AuthOptions {
        credentials: Some(SecretSource::File(path.to_str().unwrap().to_owned())),
        ..options()
    };
    let tokens = connect(options).await.unwrap();
    let first = tokens.token().await.unwrap().unwrap();
    tokens.refused(&first).await;
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    assert_hidden(&shown(&error));
    folder.write("token", "ya29.new-hunter2\n");
    tokens.refused(&first).await;
    assert!(
        tokens.token().await.is_err(),
        "read once for each refused token"
    );
}

#[tokio::test]
async fn credentials_that_are_gone_after_a_refusal_are_no_error_of_the_config() {
    let folder = Folder::new();
    let path = folder.write_json("key.json", &service_account("https://h/token"));
    let tokens = connect(with_file(&path)).await.unwrap();
    let first = tokens.token().await.unwrap().unwrap();
    std::fs::remove_file(&path).unwrap();
    tokens.refused(&first).await;
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    assert!(shown(&error).contains("key.json"));
}

#[tokio::test]
async fn the_key_is_in_no_text() {
    let server = Server::start(|_, seen| {
        let assertion = seen.form()["assertion"].clone();
        oauth_error(400, "invalid_grant", &format!("bad {assertion} and more"))
    })
    .await;
    let options = AuthOptions {
        token_exchange: TokenExchange::Exchange,
        ..with_document(&service_account(&server.url("token")))
    };
    assert_hidden(&format!("{options:?}"));
    let tokens = connect(options).await.unwrap();
    assert_hidden(&format!("{tokens:?} {:?}", tokens.found()));
    let error = tokens.token().await.unwrap_err();
    let shown = shown(&error);
    assert_hidden(&shown);
    let assertion = server.seen()[0].form()["assertion"].clone();
    for part in assertion.split('.') {
        assert!(!shown.contains(part), "{shown}");
    }
}
