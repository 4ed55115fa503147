//! A notice by Amazon SNS: `Publish`, signed with AWS' own signature (version 4).
//!
//! Sources: `Publish` of the SNS API reference (subject, size, FIFO topics); the signer is `object_store`'s.

use std::fmt::Write;

use bytes::Bytes;
use object_store::HeaderValue;
use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequest;
use ring::digest;
use singer_core::{Error, Kind, Result, Secret};
use singer_net::{Answer, Attempt, Base, Client, HttpConfig, Method, Request};

use super::notice::Notice;
use super::{webhook, words};
use crate::aws::{self, Credentials};
use crate::session::Session;
use crate::spec::{Channel, Notifier};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// SNS takes 256 KiB; some of it is left to the attributes.
const MESSAGE_BYTES: usize = 255 << 10;
/// How much of the words of AWS is shown.
const SHOWN_CHARACTERS: usize = 300;

/// Publishes a notice.
pub(super) async fn send(session: &Session, notifier: &Notifier, notice: &Notice) -> Result<()> {
    let Channel::Sns {
        topic_arn,
        region,
        endpoint,
        profile,
        proxy,
        ca_file,
    } = &notifier.channel
    else {
        return Err(Error::internal("this is no notifier of type `sns`"));
    };
    let region = region.as_deref().or_else(|| part(topic_arn, 3));
    let credentials = aws::credentials(profile.as_deref(), region).await?;
    let endpoint = match endpoint {
        Some(endpoint) => endpoint.clone(),
        None => public_endpoint(topic_arn, &credentials.region),
    };
    let base = Base::parse("endpoint", &endpoint)?;
    let config = HttpConfig {
        attempts: 1,
        request_timeout_seconds: notifier.timeout.as_secs_f64(),
        proxy: webhook::resolve(session, proxy.as_ref()).await?,
        ca_file: ca_file.as_ref().map(|file| file.display().to_string()),
    };
    let client = Client::new(base, &config, session.context.user_agent())?;
    let body = Bytes::from(form(topic_arn, notice));
    webhook::patience(notifier)
        .run(&notifier.name, |_| {
            attempt(&client, &credentials, &body, topic_arn)
        })
        .await
}

/// One attempt; its signature holds for some minutes, so each has its own.
async fn attempt(
    client: &Client,
    credentials: &Credentials,
    body: &Bytes,
    topic_arn: &str,
) -> Attempt<()> {
    let request = match sign(client.base(), credentials, body) {
        Ok(request) => request,
        Err(error) => return Attempt::Fail(error),
    };
    match client.send(request).await {
        Ok(answer) if answer.status.is_success() => Attempt::Done(()),
        Ok(answer) => refused(&answer, topic_arn),
        Err(error) if error.kind() == Kind::Transient => Attempt::again(error),
        Err(error) => Attempt::Fail(error),
    }
}

fn sign(base: &Base, credentials: &Credentials, body: &Bytes) -> Result<Request> {
    let url = singer_net::Url::parse(&format!("{base}/"))
        .map_err(|error| Error::config("`endpoint` is no URL").with_source(error))?;
    let mut signed = HttpRequest::new(body.clone().into());
    *signed.method_mut() = Method::POST;
    *signed.uri_mut() = url
        .as_str()
        .parse()
        .map_err(|_| Error::config("`endpoint` is no URL"))?;
    signed
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(FORM));
    AwsAuthorizer::new(&credentials.credential, "sns", &credentials.region)
        .try_authorize(&mut signed, None)
        .map_err(|error| Error::internal("cannot sign a request to AWS").with_source(error))?;
    let mut request = Request::post(url, FORM, body.clone());
    for (name, value) in signed.headers() {
        let text = value
            .to_str()
            .map_err(|error| Error::internal("a header of AWS is no text").with_source(error))?;
        let is_secret = matches!(name.as_str(), "authorization" | "x-amz-security-token");
        request = if is_secret {
            request.secret_header(name.as_str(), &Secret::new(text))?
        } else {
            request.text_header(name.as_str(), text)?
        };
    }
    Ok(request)
}

/// What SNS says, as what happens next.
fn refused(answer: &Answer, topic_arn: &str) -> Attempt<()> {
    let (code, message) = fault(answer);
    let cause = Error::protocol(format!("AWS answered {}: {code}: {message}", answer.status));
    let error = |kind, what: &str, hint: &str| {
        let error = Error::new(kind, format!("{what} `{topic_arn}`"));
        let error = if hint.is_empty() {
            error
        } else {
            error.with_hint(hint)
        };
        error.with_source(cause)
    };
    let is_throttled = answer.status.as_u16() == 429
        || [
            "Throttling",
            "ThrottlingException",
            "Throttled",
            "KMSThrottling",
        ]
        .contains(&code.as_str());
    if answer.status.is_server_error() || is_throttled {
        return Attempt::Retry {
            error: error(Kind::Transient, "cannot publish to", ""),
            after: answer.retry_after(),
        };
    }
    Attempt::Fail(match (answer.status.as_u16(), code.as_str()) {
        (404, _) | (_, "NotFound" | "NotFoundException") => error(
            Kind::Config,
            "there is no topic",
            "look at `topic_arn` and `region` of the notifier",
        ),
        (_, "AuthorizationError" | "AuthorizationErrorException" | "AccessDenied") => error(
            Kind::Auth,
            "not allowed to publish to",
            "these credentials need the permission `sns:Publish` on the topic",
        ),
        (401 | 403, _) => error(
            Kind::Auth,
            "AWS does not take the credentials for",
            "look at `profile` of the notifier or at the `AWS_…` variables, and at the clock of this machine",
        ),
        _ => error(Kind::Rejected, "cannot publish to", ""),
    })
}

/// The code and the message of an error: XML, or JSON where a gateway stands before AWS.
fn fault(answer: &Answer) -> (String, String) {
    let text = String::from_utf8_lossy(&answer.body);
    if let (Some(code), Some(message)) = (element(&text, "Code"), element(&text, "Message")) {
        let message = words::shorten(&words::one_line(&message), SHOWN_CHARACTERS);
        return (code, message);
    }
    let json = answer.json().unwrap_or_default();
    let inner = json.get("Error").unwrap_or(&json);
    let field = |name: &str| inner.get(name).and_then(|value| value.as_str());
    let code = field("Code")
        .or_else(|| field("__type"))
        .unwrap_or("an error");
    let message = field("Message").or_else(|| field("message"));
    let message = message.map_or_else(|| answer.words(&[]), str::to_owned);
    (
        code.rsplit('#').next().unwrap_or(code).to_owned(),
        words::shorten(&words::one_line(&message), SHOWN_CHARACTERS),
    )
}

/// The text of the first element of a name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    Some(text)
}

fn form(topic_arn: &str, notice: &Notice) -> String {
    let pipeline = match notice.facts.pipeline.as_str() {
        "" => "antiphon",
        pipeline => pipeline,
    };
    let subject = ascii(&notice.subject);
    let message = notice.text_within(MESSAGE_BYTES);
    let mut fields = vec![
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic_arn),
        ("Subject", &subject),
        ("Message", &message),
        // Filters of subscriptions see these.
        ("MessageAttributes.entry.1.Name", "event"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        (
            "MessageAttributes.entry.1.Value.StringValue",
            notice.event.word(),
        ),
        ("MessageAttributes.entry.2.Name", "pipeline"),
        ("MessageAttributes.entry.2.Value.DataType", "String"),
        ("MessageAttributes.entry.2.Value.StringValue", pipeline),
    ];
    let (group, id) = (fingerprint(&[pipeline]), identity(notice));
    if topic_arn.ends_with(".fifo") {
        fields.push(("MessageGroupId", &group));
        // A notice that is sent again after a crash is dropped by the topic.
        fields.push(("MessageDeduplicationId", &id));
    }
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

/// What makes a notice the same as another: its run and its event. Tests differ by their time.
fn identity(notice: &Notice) -> String {
    let facts = &notice.facts;
    match &facts.run {
        Some(run) => fingerprint(&[&facts.pipeline, run, notice.event.word()]),
        None => fingerprint(&[&facts.host, &facts.at.to_rfc3339()]),
    }
}

fn fingerprint(parts: &[&str]) -> String {
    hex(digest::digest(&digest::SHA256, parts.join("\n").as_bytes()).as_ref())
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a string takes every write");
    }
    out
}

/// What a subject may hold: letters of ASCII that can be seen.
fn ascii(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\u{2026}' => '~',
            ' '..='~' => letter,
            _ => '?',
        })
        .collect()
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes every write");
        }
    }
}

/// The part of an ARN at a place: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
fn part(arn: &str, at: usize) -> Option<&str> {
    arn.split(':').nth(at).filter(|part| !part.is_empty())
}

fn public_endpoint(topic_arn: &str, region: &str) -> String {
    let domain = match part(topic_arn, 1) {
        Some("aws-cn") => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    format!("https://sns.{region}.{domain}")
}

#[cfg(test)]
mod tests;
