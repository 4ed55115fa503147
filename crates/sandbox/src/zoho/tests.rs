//! Tokens, codes and scopes of the stand-in of Zoho accounts.

use clap::Parser;

use super::*;
use crate::zoho::ledger::Refused;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: ZohoOptions,
}

fn accounts(flags: &[&str]) -> Accounts {
    let flags = ["sandbox"].iter().chain(flags);
    Accounts::new(Flags::parse_from(flags).options)
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Zoho-oauthtoken {token}").parse().unwrap();
    headers.insert(header::AUTHORIZATION, value);
    headers
}

fn refresh(accounts: &Accounts) -> Result<String, Refused> {
    let now_ms = accounts.now_ms();
    let given = accounts.ledger().refresh("sandbox-refresh", now_ms);
    given.map(|(token, _)| token)
}

const SCOPE: &[&str] = &["ZohoCatalyst.tables.READ"];

#[test]
fn a_token_opens_its_scopes_for_an_hour() {
    let accounts = accounts(&["--zoho-scope", "zohocatalyst.tables.all"]);
    let headers = headers(&refresh(&accounts).unwrap());
    assert_eq!(
        accounts.authorize(&headers, SCOPE).unwrap().email,
        "ana@example.com"
    );
    let needed = "ZohoCatalyst.tables.rows.READ or ZohoCatalyst.zcql.CREATE".to_owned();
    assert_eq!(
        accounts.authorize(
            &headers,
            &["ZohoCatalyst.tables.rows.READ", "ZohoCatalyst.zcql.CREATE"]
        ),
        Err(AuthDenied::ScopeMismatch { needed })
    );
    accounts.advance(3600);
    assert_eq!(
        accounts.authorize(&headers, SCOPE),
        Err(AuthDenied::Invalid)
    );
}

#[test]
fn another_word_in_front_of_the_token_is_none() {
    let accounts = accounts(&[]);
    let mut headers = HeaderMap::new();
    assert_eq!(
        accounts.authorize(&headers, SCOPE),
        Err(AuthDenied::Missing)
    );
    let token = refresh(&accounts).unwrap();
    let value = format!("Bearer {token}").parse().unwrap();
    headers.insert(header::AUTHORIZATION, value);
    assert_eq!(
        accounts.authorize(&headers, SCOPE),
        Err(AuthDenied::Missing)
    );
}

#[test]
fn the_eleventh_token_of_a_window_is_refused() {
    let accounts = accounts(&[]);
    for _ in 0..10 {
        refresh(&accounts).unwrap();
    }
    assert_eq!(refresh(&accounts), Err(Refused::Throttled));
    accounts.advance(600);
    assert!(refresh(&accounts).is_ok());
    let counts = accounts.token_counts();
    assert_eq!((counts.issued, counts.throttled), (11, 1));
}

#[test]
fn one_token_too_many_silently_ends_the_oldest() {
    let accounts = accounts(&["--zoho-active-tokens", "2"]);
    let tokens: Vec<_> = (0..3).map(|_| refresh(&accounts).unwrap()).collect();
    let is_good = |token: &String| accounts.authorize(&headers(token), SCOPE).is_ok();
    let good: Vec<_> = tokens.iter().map(is_good).collect();
    assert_eq!(good, [false, true, true]);
}

#[test]
fn a_revoked_refresh_token_takes_its_access_tokens_along() {
    let accounts = accounts(&[]);
    let token = refresh(&accounts).unwrap();
    assert!(accounts.revoke("sandbox-refresh"));
    assert!(!accounts.revoke("sandbox-refresh"));
    assert_eq!(refresh(&accounts), Err(Refused::Unknown));
    assert_eq!(
        accounts.authorize(&headers(&token), SCOPE),
        Err(AuthDenied::Invalid)
    );
}

#[test]
fn a_code_is_good_once_and_for_three_minutes() {
    let accounts = accounts(&[]);
    let exchange = |code: &str| accounts.ledger().exchange(code, accounts.now_ms());
    assert!(exchange("sandbox-code").is_ok());
    assert_eq!(exchange("sandbox-code"), Err(Refused::Unknown));
    accounts.add_code("late", 180);
    accounts.advance(180);
    assert_eq!(exchange("late"), Err(Refused::Unknown));
}

#[test]
fn full_access_opens_all_of_its_service() {
    assert!(covers(
        "ZohoAnalytics.fullaccess.all",
        "ZohoAnalytics.data.read"
    ));
    assert!(!covers(
        "ZohoAnalytics.fullaccess.all",
        "ZohoCatalyst.zcql.CREATE"
    ));
    assert!(!covers(
        "ZohoCatalyst.tables.ALL",
        "ZohoCatalyst.tables.rows.READ"
    ));
}
