//! Tokens against accounts servers of a few lines: every state, within one process and across several.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::DataCenter;
use crate::testing::{
    Around, Folder, Log, Reply, Seen, Server, config, http, ok, page, server_of_tokens, shown,
    status, token,
};

mod sharing;

fn account_with(config: &AccountConfig, around: &Arc<Around>) -> Account {
    let around: Arc<dyn Surroundings> = Arc::<Around>::clone(around);
    Account::new(config, &http(), around).unwrap().in_a_hurry()
}

fn account(server: &Server, around: &Arc<Around>) -> Account {
    account_with(&config(server), around)
}

async fn text(account: &Account) -> String {
    account.token().await.unwrap().expose().to_owned()
}

fn refused(code: &str) -> Reply {
    ok(&json!({ "error": code }))
}

fn throttled(status: u16) -> Reply {
    let body = json!({
        "error": "Access Denied", "status": "failure",
        "error_description": "Sie haben zu viele Anfragen gestellt",
    });
    super::tests::status(status, &body)
}

#[tokio::test]
async fn a_refresh_is_a_form_and_puts_nothing_into_the_url() {
    let server = server_of_tokens().await;
    let account = account(&server, &Around::new(&[]));
    assert_eq!(text(&account).await, "token-0-hunter2");
    let seen = server.seen().remove(0);
    assert_eq!(seen.line, "POST /oauth/v2/token");
    assert!(
        seen.head
            .contains("content-type: application/x-www-form-urlencoded")
    );
    let form = seen.form();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["client_id"], "1000.CLIENT");
    assert_eq!(form["client_secret"], "secret+hunter2");
    assert_eq!(form["refresh_token"], "1000.refresh&hunter2");
}

#[tokio::test]
async fn a_token_is_replaced_before_its_end() {
    for (body, kept, replaced) in [
        (json!({"expires_in": 3600}), 3299, 3301),
        (json!({"expires_in": "3600"}), 3299, 3301),
        (
            json!({"expires_in": 3_600_000, "expires_in_sec": 3600}),
            3299,
            3301,
        ),
        (json!({"expires_in": 3_600_000}), 3299, 3301),
        (json!({}), 3299, 3301),
        (json!({"expires_in": "soon"}), 3299, 3301),
        (json!({"expires_in": 100}), 89, 91),
    ] {
        let server = Server::start(move |number, _| {
            let mut body = body.clone();
            body["access_token"] = format!("token-{number}").into();
            ok(&body)
        })
        .await;
        let around = Around::new(&[]);
        let account = account(&server, &around);
        assert_eq!(text(&account).await, "token-0");
        around.pass(kept);
        assert_eq!(text(&account).await, "token-0");
        around.pass(replaced - kept);
        assert_eq!(text(&account).await, "token-1");
    }
}

#[tokio::test]
async fn success_is_status_200_with_a_token() {
    for reply in [
        (201, json!({"access_token": "a"})),
        (400, json!({"access_token": "a"})),
        (200, json!({"token": "a"})),
        (200, json!({"access_token": ""})),
        (200, json!({"access_token": "a b"})),
        (200, json!(["a"])),
    ] {
        let server = Server::start(move |_, _| status(reply.0, &reply.1)).await;
        let error = account(&server, &Around::new(&[]))
            .token()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error:?}");
        assert!(error.message().contains("data centre `eu`"));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_refusal_with_status_200_is_for_good_and_names_where_it_was_tried() {
    for (code, hint) in [
        ("invalid_code", "`data_center`"),
        ("invalid_client", "another data centre than `eu`"),
        ("invalid_client_secret", "`client_secret`"),
        ("invalid_grant", "`refresh_token`"),
        ("something_new", "`refresh_token`"),
    ] {
        let server = Server::start(move |_, _| refused(code)).await;
        let account = account(&server, &Around::new(&[]));
        let error = account.token().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Auth);
        for part in ["data centre `eu`", &server.base] {
            assert!(error.message().contains(part), "{error:?}");
        }
        let shown = shown(&error);
        assert!(shown.contains(code) && shown.contains(hint), "{shown}");
        // Nothing is asked again as long as the secrets are the same.
        let again = account.token().await.unwrap_err();
        assert_eq!(again.message(), error.message());
        assert_eq!(server.count(), 1, "{code}");
    }
}

#[tokio::test]
async fn the_throttle_is_known_by_two_words_whatever_its_status_and_language() {
    for code in [200, 400] {
        let server = Server::start(move |number, _| match number {
            0 => throttled(code),
            _ => token(number),
        })
        .await;
        let around = Around::new(&[]);
        let account = account(&server, &around);
        for _ in 0..2 {
            let error = account.token().await.unwrap_err();
            assert_eq!(error.kind(), Kind::RateLimited);
            assert!(
                error.message().contains("2026-01-01T12:10:00Z"),
                "{error:?}"
            );
        }
        around.pass(500);
        assert!(account.token().await.is_err());
        assert_eq!(server.count(), 1);
        around.pass(100);
        assert_eq!(text(&account).await, "token-1-hunter2");
    }
}

#[tokio::test]
async fn trouble_is_tried_again_within_bounds() {
    let general = || refused("general_error");
    let server = Server::start(move |number, _| match number {
        0 | 1 => general(),
        _ => token(number),
    })
    .await;
    assert_eq!(
        text(&account(&server, &Around::new(&[]))).await,
        "token-2-hunter2"
    );

    let server = Server::start(move |_, _| general()).await;
    let error = account(&server, &Around::new(&[]))
        .token()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), server.count()), (Kind::Transient, 3));

    let server = Server::start(|number, _| match number {
        0 => page(503),
        1 => Reply::Drop,
        _ => token(number),
    })
    .await;
    assert_eq!(
        text(&account(&server, &Around::new(&[]))).await,
        "token-2-hunter2"
    );

    let server = Server::start(|_, _| page(502)).await;
    let error = account(&server, &Around::new(&[]))
        .token()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), server.count()), (Kind::Transient, 3));
}

#[tokio::test]
async fn a_page_where_a_token_should_be_is_no_reason_to_ask_again() {
    for code in [200, 404] {
        let server = Server::start(move |_, _| page(code)).await;
        let error = account(&server, &Around::new(&[]))
            .token()
            .await
            .unwrap_err();
        assert_eq!((error.kind(), server.count()), (Kind::Protocol, 1));
        assert!(shown(&error).contains("a web page"));
    }
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let mut config = config(&server_of_tokens().await);
    config.accounts_url = Some("http://127.0.0.1:1".to_owned());
    let error = account_with(&config, &Around::new(&[]))
        .token()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.message().contains("http://127.0.0.1:1"));
}

#[tokio::test]
async fn a_secret_that_was_changed_is_read_again() {
    let answer = |_: usize, seen: &Seen| match seen.form()["refresh_token"].as_str() {
        "good" => token(7),
        _ => refused("invalid_code"),
    };
    let server = Server::start(answer).await;
    let around = Around::new(&[]);
    around.set_secret("REFRESH", "old");
    let mut config = config(&server);
    config.refresh_token = SecretSource::Env("REFRESH".to_owned());
    let account = account_with(&config, &around);
    assert!(account.token().await.is_err());
    // The old one stays dead without a question; another wrong one gets one.
    around.set_secret("REFRESH", "other");
    assert!(account.token().await.is_err());
    assert!(account.token().await.is_err());
    assert_eq!(server.count(), 2);
    around.set_secret("REFRESH", "good");
    assert_eq!(text(&account).await, "token-7-hunter2");
    // In the middle of a run: the refusal itself makes it look again.
    around.pass(3600);
    around.set_secret("REFRESH", "bad");
    assert_eq!(text(&account).await, "token-7-hunter2");
    let sent: Vec<String> = (server.seen().iter())
        .map(|seen| seen.form()["refresh_token"].clone())
        .collect();
    assert_eq!(sent, ["old", "other", "good", "good"]);
}

#[tokio::test]
async fn a_refusal_makes_the_secrets_be_read_once_more() {
    let answer = |_: usize, seen: &Seen| match seen.form()["client_secret"].as_str() {
        "new" => token(1),
        _ => refused("invalid_client_secret"),
    };
    let server = Server::start(answer).await;
    let around = Around::new(&[]);
    let mut config = config(&server);
    config.client_secret = SecretSource::Env("SECRET".to_owned());
    around.set_secret("SECRET", "old");
    let account = account_with(&config, &around);
    // It was read, and is then changed before the server refuses it.
    account
        .inner
        .keys(&mut *account.inner.state.lock().await)
        .await
        .unwrap();
    around.set_secret("SECRET", "new");
    assert_eq!(text(&account).await, "token-1-hunter2");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_hundred_tasks_make_one_refresh() {
    let server = server_of_tokens().await;
    let account = account(&server, &Around::new(&[]));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let account = account.clone();
            tokio::spawn(async move { text(&account).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "token-0-hunter2");
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_failure_is_that_of_all_who_waited() {
    let server = Server::start(|_, _| page(500)).await;
    let account = account(&server, &Around::new(&[]));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let account = account.clone();
            tokio::spawn(async move { account.token().await.unwrap_err() })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap();
        assert_eq!(error.kind(), Kind::Transient);
        assert!(shown(&error).contains("it answered 500"), "{error:?}");
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_token_that_is_old_by_now_is_replaced_by_the_current_one() {
    let server = server_of_tokens().await;
    let account = account(&server, &Around::new(&[]));
    let old = account.token().await.unwrap();
    let new = account.renew(&old).await.unwrap();
    assert_eq!(new.expose(), "token-1-hunter2");
    assert_eq!(account.renew(&old).await.unwrap(), new);
    assert_eq!(account.token().await.unwrap(), new);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn the_old_token_serves_on_while_no_new_one_is_to_be_had() {
    let server = Server::start(|number, _| match number {
        0 => token(0),
        1..=3 => page(500),
        _ => throttled(400),
    })
    .await;
    let around = Around::new(&[]);
    let account = account(&server, &around);
    let old = account.token().await.unwrap();
    around.pass(3350);
    // Not for every request anew, but once a minute.
    for _ in 0..3 {
        assert_eq!(account.token().await.unwrap(), old);
    }
    assert_eq!(server.count(), 4);
    around.pass(61);
    // Nobody waits for a blocked server either.
    let patience = Duration::from_secs(3600);
    assert_eq!(account.token_within(patience).await.unwrap(), old);
    assert_eq!(server.count(), 5);
    around.pass(140);
    assert_eq!(account.token().await.unwrap_err().kind(), Kind::RateLimited);
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn a_blocked_server_is_waited_for_if_the_caller_has_the_time_and_nobody_asks_for_a_stop() {
    let server = Server::start(|_, _| throttled(400)).await;
    let around = Around::new(&[]);
    let account = account(&server, &around);
    let patience = Duration::from_secs(3600);
    let waiting = tokio::spawn(async move { account.token_within(patience).await });
    while server.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    around.stop();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}

#[tokio::test]
async fn no_more_than_ten_tokens_are_asked_for_in_ten_minutes() {
    let server = server_of_tokens().await;
    let around = Around::new(&[]);
    let account = account(&server, &around);
    let mut token = account.token().await.unwrap();
    for _ in 1..10 {
        around.pass(1);
        token = account.renew(&token).await.unwrap();
    }
    let error = account.renew(&token).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert!(error.message().contains("12:10:01Z"), "{error:?}");
    assert_eq!(server.count(), 10);
    // The first of the ten is ten minutes old.
    around.pass(592);
    account.renew(&token).await.unwrap();
    assert_eq!(server.count(), 11);
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let log = Log::keep();
    let echo = |seen: &Seen| json!({"error": seen.body, "error_description": seen.body});
    let server = Server::start(move |number, seen| match number {
        0 => token(0),
        1 => status(500, &echo(seen)),
        2 => ok(&echo(seen)),
        _ => Reply::Answer(200, "", seen.body.clone()),
    })
    .await;
    let folder = Folder::new();
    let mut config = config(&server);
    config.token_cache_path = Some(folder.file("cache.json"));
    let account = account_with(&config, &Around::new(&[]));
    let token = account.token().await.unwrap();
    let mut errors = vec![account.renew(&token).await.unwrap_err()];
    errors.push(
        super::super::account::tests::account(&server, &Around::new(&[]))
            .token()
            .await
            .unwrap_err(),
    );
    let mut text = format!("{account:?} {config:?} {}", account.place());
    for error in &errors {
        text += &shown(error);
    }
    text += &log.text();
    assert!(text.contains("a new token"), "{text}");
    for secret in ["hunter2", "CLIENT"] {
        assert!(
            !text
                .replace("client_id: \"1000.CLIENT\"", "")
                .contains(secret),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_data_centre_of_the_token_is_compared() {
    let log = Log::keep();
    let server = Server::start(|_, _| {
        ok(&json!({"access_token": "t", "api_domain": "https://www.zohoapis.in"}))
    })
    .await;
    account(&server, &Around::new(&[])).token().await.unwrap();
    assert!(
        log.text().contains("another data centre than the config"),
        "{}",
        log.text()
    );
}

#[test]
fn what_is_no_url_and_what_is_empty_are_errors_of_the_config() {
    let around = Around::new(&[]);
    let mut config = AccountConfig {
        client_id: "c".to_owned(),
        client_secret: SecretSource::Text(Secret::new("s")),
        refresh_token: SecretSource::Text(Secret::new(" ")),
        data_center: DataCenter::Us,
        accounts_url: Some("nowhere".to_owned()),
        token_cache_path: None,
    };
    let around: Arc<dyn Surroundings> = around;
    let error = Account::new(&config, &http(), Arc::clone(&around)).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().starts_with("`accounts_url`"));
    config.accounts_url = Some("http://127.0.0.1:1".to_owned());
    let account = Account::new(&config, &http(), around).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(account.token()).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Config, "`refresh_token` is empty")
    );
}
