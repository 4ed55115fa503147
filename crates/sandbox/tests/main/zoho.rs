//! Zoho accounts over the wire: the token endpoint with its refusals that come with 200.

use serde_json::{Value, json};

use crate::support::Trial;

const CLIENT: &str = "client_id=sandbox-client&client_secret=sandbox-secret";

#[tokio::test]
async fn a_refresh_is_answered_as_the_service_does() {
    let trial = Trial::start().await;
    let form = format!("grant_type=refresh_token&{CLIENT}&refresh_token=sandbox-refresh");
    let answer = trial.zoho_form("/oauth/v2/token", &form).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert!(body["access_token"].as_str().unwrap().starts_with("1000."));
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["api_domain"], "http://sandbox");
    assert_eq!(body.get("refresh_token"), None);
    // The query string does as well.
    let answer = trial
        .zoho_form(&format!("/oauth/v2/token?{form}"), "")
        .await;
    assert!(answer.json()["access_token"].is_string());
    let counts = trial.sandbox.zoho().token_counts();
    assert_eq!((counts.issued, counts.active), (2, 2));
    let log = &trial.sandbox.status().activity.last_requests;
    assert_eq!(log[0].path, "/oauth/v2/token?…");
}

#[tokio::test]
async fn refusals_come_with_200() {
    let trial = Trial::start().await;
    for (form, error) in [
        (
            format!("grant_type=refresh_token&{CLIENT}&refresh_token=no"),
            "invalid_code",
        ),
        (
            format!("grant_type=authorization_code&{CLIENT}&code=no"),
            "invalid_code",
        ),
        (format!("grant_type=password&{CLIENT}"), "invalid_grant"),
        (
            "grant_type=refresh_token&client_id=other&client_secret=sandbox-secret".to_owned(),
            "invalid_client",
        ),
        (
            "grant_type=refresh_token&client_id=sandbox-client&client_secret=other".to_owned(),
            "invalid_client_secret",
        ),
        (String::new(), "general_error"),
    ] {
        let answer = trial.zoho_form("/oauth/v2/token", &form).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"error": error})),
            "{form}"
        );
    }
}

#[tokio::test]
async fn a_code_gives_a_refresh_token_that_works_until_it_is_revoked() {
    let trial = Trial::start().await;
    let form = format!("grant_type=authorization_code&{CLIENT}&code=sandbox-code");
    let body = trial.zoho_form("/oauth/v2/token", &form).await.json();
    let refresh_token = body["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&{CLIENT}&refresh_token={refresh_token}");
    let body = trial.zoho_form("/oauth/v2/token", &form).await.json();
    assert!(body["access_token"].is_string());
    let path = format!("/oauth/v2/token/revoke?token={refresh_token}");
    assert_eq!(
        trial.zoho_form(&path, "").await.json(),
        json!({"status": "success"})
    );
    let body = trial.zoho_form("/oauth/v2/token", &form).await.json();
    assert_eq!(body, json!({"error": "invalid_code"}));
}

#[tokio::test]
async fn the_throttle_speaks_the_language_of_the_account() {
    for status in [400, 200] {
        let trial = Trial::with_options(|options| {
            options.zoho.tokens_per_window = 1;
            options.zoho.throttle_status = status;
        })
        .await;
        trial.zoho_token().await;
        let form = format!("grant_type=refresh_token&{CLIENT}&refresh_token=sandbox-refresh");
        let answer = trial.zoho_form("/oauth/v2/token", &form).await;
        assert_eq!(answer.status, status);
        let body = answer.json();
        assert_eq!(
            (&body["error"], &body["status"]),
            (&json!("Access Denied"), &json!("failure"))
        );
        let path = "/zoho/clock";
        trial
            .control("POST", path, &json!({"advance_seconds": 600}))
            .await;
        trial.zoho_token().await;
    }
}

#[tokio::test]
async fn faults_have_zohos_shapes() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    for (fault, status, code) in [
        ("throttle", 429, "TOO_MANY_REQUESTS"),
        ("expire", 401, "INVALID_TOKEN"),
        ("scope-missing", 401, "OAUTH_SCOPE_MISMATCH"),
        (
            "error:status=403,reason=API_LIMIT_REACHED",
            403,
            "API_LIMIT_REACHED",
        ),
    ] {
        trial.sandbox.set_faults(&[fault]).unwrap();
        let answer = trial.datastore(&token, "GET", "/table", &Value::Null).await;
        assert_eq!(answer.status, status, "{fault}");
        assert_eq!(answer.json()["data"]["error_code"], code);
    }
    trial.sandbox.set_faults(&["error:status=502"]).unwrap();
    let answer = trial.datastore(&token, "GET", "/table", &Value::Null).await;
    assert!(answer.text().starts_with("<html>"), "{}", answer.text());
    trial.sandbox.set_faults(&["throttle:path=/oauth"]).unwrap();
    let answer = trial.zoho_form("/oauth/v2/token", "").await;
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (400, &json!("Access Denied"))
    );
    let throttle = "throttle:path=/oauth,status=200";
    trial.sandbox.set_faults(&[throttle]).unwrap();
    let answer = trial.zoho_form("/oauth/v2/token", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "failure");
    // The token that a request carries ends, and stays at its end.
    trial.sandbox.set_faults(&["revoke:times=1"]).unwrap();
    for _ in 0..2 {
        let answer = trial.datastore(&token, "GET", "/table", &Value::Null).await;
        assert_eq!(answer.json()["data"]["error_code"], "INVALID_TOKEN");
    }
}

#[tokio::test]
async fn scopes_are_asked_for_one_by_one() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let allow = json!({"refresh_token": "sandbox-refresh", "scopes": ["ZohoCatalyst.tables.READ"]});
    trial.control("POST", "/zoho/tokens/allow", &allow).await;
    let status = async |path: &str| trial.datastore(&token, "GET", path, &Value::Null).await;
    assert_eq!(status("/table").await.status, 200);
    let answer = status("/table/Trips/column").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["data"]["error_code"], "OAUTH_SCOPE_MISMATCH");
}
