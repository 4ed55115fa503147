//! Mails to a server of our own.

use singer_test::mail::{MailServer, Manners};

use super::*;
use crate::notify::tests::Project;

async fn project(server: &MailServer, more: &str) -> Project {
    project_at(server.port(), more).await
}

async fn project_at(port: u16, more: &str) -> Project {
    Project::new(&format!(
        "[notify.ops]\ntype = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         from = \"Antiphon <antiphon@example.org>\"\nto = [\"ana@example.org\", \"Bob <bob@example.org>\"]\n{more}"
    ))
    .await
}

const PLAIN: &str = "tls = \"none\"\n";

#[tokio::test]
async fn a_mail_has_what_a_mail_must_have_and_goes_to_all() {
    let server = MailServer::start(Manners::default());
    project(&server, PLAIN).await.test().await.unwrap();
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].from, "antiphon@example.org");
    assert_eq!(letters[0].to, ["ana@example.org", "bob@example.org"]);
    let (head, body) = letters[0].text.split_once("\n\n").unwrap();
    for part in [
        "From: Antiphon <antiphon@example.org>",
        "Subject: antiphon: a test from ",
        "Message-ID: <",
        "Date: ",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(head.contains(part), "{part} is not in:\n{head}");
    }
    assert!(body.contains("this is a test of the notifier"));
}

#[tokio::test]
async fn dots_at_the_start_of_lines_and_letters_beyond_ascii_arrive() {
    let project = project_at(1, PLAIN).await;
    let mut notice = Notice::test("ops", &crate::notify::place(&project.session));
    notice.subject = "antiphon: k\u{f6}ln failed\r\nBcc: eve@example.org".to_owned();
    notice.facts.warnings = vec![".\n.. two dots\n\u{2713} done".to_owned()];
    let message = write(
        "antiphon@example.org",
        &["ana@example.org".to_owned()],
        &notice,
        SystemTime::UNIX_EPOCH,
    )
    .unwrap();
    let server = MailServer::start(Manners::default());
    let transport = Transport::builder_dangerous("127.0.0.1")
        .port(server.port())
        .build();
    transport
        .send_raw(message.envelope(), &message.formatted())
        .await
        .unwrap();
    let text = &server.letters()[0].text;
    assert!(text.contains("=?utf-8?"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
    let (_, body) = text.split_once("\n\n").unwrap();
    let plain = body.replace("=\n", "").replace("=E2=9C=93", "\u{2713}");
    assert!(plain.contains(".\n.. two dots\n\u{2713} done"), "{body}");
}

#[tokio::test]
async fn a_receiver_that_is_refused_takes_nothing_from_the_others() {
    let server = MailServer::start(Manners {
        refused: vec!["ana@example.org".to_owned()],
        ..Manners::default()
    });
    project(&server, PLAIN).await.test().await.unwrap();
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].to, ["bob@example.org"]);
    let server = MailServer::start(Manners {
        refused: vec!["ana@example.org".to_owned(), "bob@example.org".to_owned()],
        ..Manners::default()
    });
    let error = project(&server, PLAIN).await.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.message().contains("refuses every receiver"));
    assert!(
        format!("{error:?}").contains("no such mailbox"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_puts_off_is_asked_again() {
    let server = MailServer::start(Manners {
        put_off: 1,
        ..Manners::default()
    });
    let project = project(&server, PLAIN).await;
    project.test().await.unwrap();
    assert!(!server.letters().is_empty());
}

#[tokio::test]
async fn a_password_is_sent_and_a_wrong_one_is_told() {
    let manners = Manners {
        login: Some(("ops".to_owned(), "hunter2".to_owned())),
        ..Manners::default()
    };
    let server = MailServer::start(manners);
    let login = |password: &str| format!("{PLAIN}user = \"ops\"\npassword = \"{password}\"\n");
    project(&server, &login("hunter2"))
        .await
        .test()
        .await
        .unwrap();
    assert_eq!(server.letters().len(), 1);
    let wrong = project(&server, &login("hunter3")).await;
    let error = wrong.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    assert!(!format!("{error:?}").contains("hunter3"), "{error:?}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let server = MailServer::start(Manners::default());
    let error = project(&server, "").await.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(format!("{error:?}").contains("STARTTLS"), "{error:?}");
    assert!(error.hints()[0].contains("`tls`"));
    assert_eq!(server.letters().len(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_or_is_not_there_is_given_up() {
    let server = MailServer::start(Manners {
        hangs: true,
        ..Manners::default()
    });
    let more = format!("{PLAIN}timeout = \"300ms\"\n");
    let error = project(&server, &more).await.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    let error = project_at(1, &more).await.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
}

#[test]
fn all_certificates_of_a_file_count() {
    let one = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----";
    let two = format!("# a comment\n{one}\n{one}\n");
    assert_eq!(pem_certificates(two.as_bytes()).len(), 2);
    assert_eq!(pem_certificates(b"nothing").len(), 0);
}
