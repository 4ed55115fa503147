//! Secrets in every form in which programs print them.

use proptest::prelude::*;
use serde_json::json;
use singer_test::folder::Folder;

use super::*;

fn mask(secrets: &[&str]) -> Mask {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
    Mask::default().hide(&secrets)
}

/// The forms in which programs print a text.
fn forms(secret: &str) -> Vec<String> {
    let json = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap();
        let inner = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inner.unwrap().to_owned()
    };
    let python = |text: &str| {
        let mut ascii = String::new();
        for letter in json(text).chars() {
            if letter.is_ascii() {
                ascii.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        ascii
    };
    let encoded_with = |text: &str, kept: &str, space: &str, digits: fn(u8) -> String| {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match char::from(byte) {
                ' ' => encoded.push_str(space),
                letter if letter.is_ascii_alphanumeric() || kept.contains(letter) => {
                    encoded.push(letter);
                }
                _ => encoded.push_str(&digits(byte)),
            }
        }
        encoded
    };
    let encoded = |text: &str, kept: &str, space: &str| {
        encoded_with(text, kept, space, |byte| format!("%{byte:02X}"))
    };
    vec![
        secret.to_owned(),
        json(secret),
        json(secret).replace('/', "\\/"),
        python(secret),
        json(&json(secret)),
        python(&python(secret)),
        encoded(secret, "-._~", "%20"),
        encoded_with(secret, "-._~/!'()", "%20", |byte| format!("%{byte:02x}")),
        encoded(secret, "-._", "+"),
        json(&encoded(secret, "-._", "+")),
        encoded(&json(secret), "-._", "%20"),
    ]
}

proptest! {
    #[test]
    fn no_known_secret_comes_out_in_any_form(
        secret in r#"[ -)+-~é😀ß\n\t]{6,24}"#,
        other in "[a-zA-Z0-9]{6,12}",
        before in r#"[ -~é]{0,20}[ "=/,]"#,
        after in r#"[ "&/,][ -~é]{0,20}"#,
    ) {
        let secret = secret.trim();
        prop_assume!(secret.lines().all(|line| line.trim().chars().count() >= SHORTEST));
        let mask = mask(&[secret, &other]);
        for form in forms(secret) {
            let line = format!("{before}{form}{after}{other}");
            let shown = mask.line(&line);
            prop_assert!(shown.contains(HIDDEN));
            prop_assert!(!shown.contains(form.as_str()), "{line} became {shown}");
            prop_assert!(!shown.contains(secret), "{line} became {shown}");
            prop_assert!(!shown.contains(&other), "{line} became {shown}");
        }
    }

    #[test]
    fn any_line_is_masked_without_a_panic(line in r#"(\PC|[=:@/\\"'%+ ]|password|token|Basic |://|\\u){0,40}"#) {
        let shown = mask(&["hunter22", "naïve secret"]).line(&line).into_owned();
        prop_assert!(!shown.contains("hunter22"));
    }
}

#[test]
fn what_looks_like_a_secret_is_hidden_and_the_rest_stays() {
    for (line, wanted) in [
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        (
            r#"{"Authorization": "Basic dXNlcjpw", "a": 1}"#,
            r#"{"Authorization": "***", "a": 1}"#,
        ),
        (
            "sent Bearer eyJhbGciOi.x-y_z and went on",
            "sent Bearer *** and went on",
        ),
        ("got basic dXNlcjpwYXNz=", "got basic ***"),
        (
            "connect password=hunter2 host=x",
            "connect password=*** host=x",
        ),
        (
            "connect password='hunter 2' host=x",
            "connect password='***' host=x",
        ),
        ("GET /v1?api_key=abc&page=2", "GET /v1?api_key=***&page=2"),
        (
            "GET /v1?page=2&access_token=abc",
            "GET /v1?page=2&access_token=***",
        ),
        ("X-Amz-Signature=0123abcd;", "X-Amz-Signature=***;"),
        ("client_secret: abc", "client_secret: ***"),
        (r#"{"token":"a\"b","n":1}"#, r#"{"token":"***","n":1}"#),
        (
            r#""{\"refresh_token\": \"a.b\", \"n\": 1}""#,
            r#""{\"refresh_token\": \"***\", \"n\": 1}""#,
        ),
        ("{'api_key': 'abc', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        (
            "postgres://me:p@ss@db.example:5432/x?y=1",
            "postgres://me:***@db.example:5432/x?y=1",
        ),
        ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
    ] {
        assert_eq!(Mask::default().line(line), wanted);
    }
}

#[test]
fn plain_words_stay_readable() {
    for line in [
        "INFO sync begins stream=a replication_key=updated_at",
        "the token: expected one of `,` or `}`",
        "401 Client Error: Unauthorized for url: https://api.example.com:8443/v1/a@b?page=2",
        "Basic authentication failed, Bearer token missing",
        r#"{"token": null, "password": ""}"#,
        "2026-11-23T17:53:01.123Z INFO rows=5 key_properties=['id']",
        "https://user@host/path",
        "password=*** already",
    ] {
        assert_eq!(Mask::default().line(line), line);
    }
}

#[test]
fn a_secret_of_several_lines_is_hidden_line_by_line() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\n-----END KEY-----\n";
    let mask = mask(&[key]);
    assert_eq!(mask.line("  MIIEvQIBADANBg"), "  ***");
    assert_eq!(
        mask.line(&json!({ "k": key }).to_string()),
        r#"{"k":"***"}"#
    );
}

#[test]
fn secrets_that_touch_or_overlap_become_one_sign() {
    let mask = mask(&["abcdef", "defghi", "zyxwvu"]);
    assert_eq!(mask.line("1 abcdefghi 2 zyxwvuzyxwvu"), "1 *** 2 ***");
    assert_eq!(mask.line("nothing in here"), "nothing in here");
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", mask(&["hunter22"])), "Mask(1 secrets)");
}

#[test]
fn a_line_without_secrets_stays_as_it_is() {
    let mask = mask(&[
        "a-secret-of-some-length",
        "another one / with signs",
        "hunter22",
    ]);
    let line = r#"2026-11-23 17:53:01,123 | INFO     | tap-x | request url=https://api.example.com/v1/a?page=7 took=0.123 {"n": "a\"b"}"#;
    assert_eq!(mask.line(line), line);
}

#[tokio::test]
async fn secrets_are_collected_from_configs_of_every_kind() {
    let folder = Folder::new();
    folder.write("key.pem", "of-a-file\n");
    let config = json!({
        "host": "db.example", "user": "someone", "password": "of-a-config",
        "nested": [{"client_secret": "of-a-list", "api_key": {"file": "key.pem"}}],
        "pin_token": 12_345_678,
        "url": "https://me:of%2Da-url@host/x",
        "replication_key": "updated_at", "token": "short",
        "credentials": "{\"private_key\": \"of-credentials\"}",
    });
    folder.write("tap.json", config.to_string());
    folder.write("broken.json", "{");
    folder.write(
        "antiphon.toml",
        r#"
[pipelines.p]
tap = { exec = "tap-x", config = ["tap.json", "broken.json", "none.json"] }
target = { exec = "target-x", config = { inner = { access_token = "of-a-table" } } }
environment = { API_TOKEN = "of-the-environment", LEVEL = "verbose" }
"#,
    );
    let project = crate::spec::Project::load(Some(&folder.path().join("antiphon.toml"))).unwrap();
    let mask = Mask::of(project.pipeline("p").unwrap(), &project.folder).await;
    for secret in [
        "of-a-config",
        "of-a-list",
        "of-a-file",
        "12345678",
        "of%2Da-url",
        "of-a-url",
        "of-credentials",
        "of-a-table",
        "of-the-environment",
    ] {
        assert_eq!(mask.line(&format!("<{secret}>")), "<***>", "{secret}");
    }
    for word in ["db.example", "someone", "updated_at", "short", "verbose"] {
        assert_eq!(mask.line(word), word);
    }
}
