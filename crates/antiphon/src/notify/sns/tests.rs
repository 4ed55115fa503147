//! The form, and the shapes in which AWS refuses. The rest is tested against moto: `tests/notify.rs`.

use super::*;
use crate::notify::tests::Project;
use crate::notify::{notice::Notice, place};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alarms";

fn answer(status: u16, body: &'static str) -> Answer {
    Answer {
        status: singer_net::StatusCode::from_u16(status).unwrap(),
        headers: object_store::HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[test]
fn refusals_of_aws_say_what_happens_next() {
    let xml = |code: &str, message: &str| -> &'static str {
        let text = format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        Box::leak(text.into_boxed_str())
    };
    for (status, body, kind, cause) in [
        (
            404,
            xml("NotFound", "Topic does not exist"),
            Kind::Config,
            "NotFound: Topic does not exist",
        ),
        (
            403,
            xml(
                "AuthorizationError",
                "User: arn:aws:iam::1:user/a is not authorized to perform: SNS:Publish &amp; more",
            ),
            Kind::Auth,
            "is not authorized to perform: SNS:Publish & more",
        ),
        (
            403,
            xml("InvalidClientTokenId", "The security token is invalid."),
            Kind::Auth,
            "InvalidClientTokenId",
        ),
        (
            400,
            xml("InvalidParameter", "Invalid parameter: Subject"),
            Kind::Rejected,
            "Invalid parameter: Subject",
        ),
        (
            400,
            r#"{"Error":{"Code":"InvalidParameter","Message":"too long"},"RequestId":"1"}"#,
            Kind::Rejected,
            "InvalidParameter: too long",
        ),
        (
            400,
            r#"{"__type":"com.amazonaws.sns#InvalidParameter","message":"too long"}"#,
            Kind::Rejected,
            "InvalidParameter: too long",
        ),
    ] {
        let Attempt::Fail(error) = refused(&answer(status, body), TOPIC) else {
            panic!("{body} may not be tried again");
        };
        assert_eq!(error.kind(), kind, "{body}");
        assert!(error.message().contains(TOPIC));
        assert!(format!("{error:?}").contains(cause), "{error:?}");
    }
    for (status, body) in [
        (400, xml("Throttling", "Rate exceeded")),
        (429, ""),
        (500, xml("InternalError", "oops")),
        (503, "<html>busy</html>"),
    ] {
        let answer = answer(status, body);
        assert!(matches!(refused(&answer, TOPIC), Attempt::Retry { .. }));
    }
}

#[tokio::test]
async fn a_form_is_within_the_limits_of_sns() {
    let project = Project::new("").await;
    let mut notice = Notice::test("ops", &place(&project.session));
    notice.subject = "k\u{f6}ln failed\u{2026}".to_owned();
    notice.facts.warnings = vec!["\u{e9} & = + %".repeat(60_000)];
    let form = form(TOPIC, &notice);
    let fields: std::collections::BTreeMap<&str, String> = form
        .split('&')
        .map(|field| field.split_once('=').unwrap())
        .map(|(name, value)| (name, decode(value)))
        .collect();
    assert_eq!(fields["Subject"], "k?ln failed~");
    assert_eq!(fields["TopicArn"], TOPIC);
    assert!(fields["Message"].len() <= MESSAGE_BYTES);
    assert!(fields["Message"].starts_with("\u{e9} & = + %"));
    assert!(!fields.contains_key("MessageGroupId"));
}

#[tokio::test]
async fn a_topic_that_keeps_order_gets_a_group_and_an_identity() {
    let project = Project::new("").await;
    let mut notice = Notice::test("ops", &place(&project.session));
    notice.facts.pipeline = "accounts \u{e9}".to_owned();
    notice.facts.run = Some("run-1".to_owned());
    let fields = |notice: &Notice| {
        let form = form(&format!("{TOPIC}.fifo"), notice);
        let of = |name: &str| {
            let (_, rest) = form.split_once(&format!("{name}=")).unwrap();
            rest.split('&').next().unwrap().to_owned()
        };
        (of("MessageGroupId"), of("MessageDeduplicationId"))
    };
    let first = fields(&notice);
    assert_eq!(first, fields(&notice));
    assert_eq!((first.0.len(), first.1.len()), (64, 64));
    notice.facts.run = Some("run-2".to_owned());
    let second = fields(&notice);
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

#[test]
fn region_and_endpoint_come_from_the_arn() {
    assert_eq!(part(TOPIC, 3), Some("eu-west-1"));
    assert_eq!(
        public_endpoint(TOPIC, "eu-west-1"),
        "https://sns.eu-west-1.amazonaws.com"
    );
    let chinese = "arn:aws-cn:sns:cn-north-1:1:alarms";
    assert_eq!(
        public_endpoint(chinese, "cn-north-1"),
        "https://sns.cn-north-1.amazonaws.com.cn"
    );
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}
