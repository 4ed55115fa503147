//! A notice by mail over SMTP: plain text to all receivers.
//!
//! A receiver that the server refuses does not keep the notice from the others: it goes to each alone then,
//! and the refused one is named in the log.

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransportBuilder};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use singer_core::{Error, Kind, Result, SecretSource};
use singer_net::Attempt;
use singer_runtime::exit;

use super::notice::Notice;
use super::webhook;
use crate::session::Session;
use crate::spec::{Channel, MailTls, Notifier};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// The server, and who we are to it.
struct Server<'a> {
    host: &'a str,
    port: u16,
    tls: MailTls,
    user: Option<&'a str>,
    password: Option<&'a SecretSource>,
    ca_file: Option<&'a std::path::Path>,
}

/// Mails a notice.
pub(super) async fn send(session: &Session, notifier: &Notifier, notice: &Notice) -> Result<()> {
    let Channel::Email {
        host,
        port,
        tls,
        user,
        password,
        from,
        to,
        ca_file,
    } = &notifier.channel
    else {
        return Err(Error::internal("this is no notifier of type `email`"));
    };
    let server = Server {
        host,
        port: port.unwrap_or(match tls {
            MailTls::StartTls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        }),
        tls: *tls,
        user: user.as_deref(),
        password: password.as_ref(),
        ca_file: ca_file.as_deref(),
    };
    let message = write(from, to, notice, session.clock().now().into())?;
    let transport = connect(session, notifier, &server).await?;
    let envelope = message.envelope();
    let bytes = message.formatted();
    webhook::patience(notifier)
        .run(&notifier.name, |_| {
            attempt(&transport, &server, envelope, &bytes)
        })
        .await
}

async fn attempt(
    transport: &Transport,
    server: &Server<'_>,
    envelope: &Envelope,
    bytes: &[u8],
) -> Attempt<()> {
    let Err(error) = transport.send_raw(envelope, bytes).await else {
        return Attempt::Done(());
    };
    if !is_refused_receiver(&error) || envelope.to().len() < 2 {
        return failed(error, server);
    }
    send_to_each(transport, server, envelope, bytes).await
}

/// Sends to each receiver alone, which is done if one of them takes it.
async fn send_to_each(
    transport: &Transport,
    server: &Server<'_>,
    envelope: &Envelope,
    bytes: &[u8],
) -> Attempt<()> {
    let mut last = None;
    let mut is_sent = false;
    for receiver in envelope.to() {
        let alone = Envelope::new(envelope.from().cloned(), vec![receiver.clone()]);
        let sent = match alone {
            Ok(alone) => transport.send_raw(&alone, bytes).await,
            Err(error) => {
                let error = Error::internal("cannot address a mail").with_source(error);
                return Attempt::Fail(error);
            }
        };
        match sent {
            Ok(_) => is_sent = true,
            Err(error) => {
                let shown = exit::summary_line(&anyhow::Error::new(describe(error, server).0));
                tracing::warn!(%receiver, error = shown, "a receiver of a notice was left out");
                last = Some(shown);
            }
        }
    }
    if is_sent {
        return Attempt::Done(());
    }
    Attempt::Fail(
        Error::rejected(format!(
            "the mail server `{}` refuses every receiver",
            server.host
        ))
        .with_source(Error::rejected(last.unwrap_or_default())),
    )
}

/// Whether the server refused one of the addresses, as far as its code tells.
fn is_refused_receiver(error: &smtp::Error) -> bool {
    let code = error.status().map(u16::from);
    matches!(code, Some(450 | 451 | 452 | 550..=553))
}

fn failed(error: smtp::Error, server: &Server<'_>) -> Attempt<()> {
    match describe(error, server) {
        (error, May::Pass) => Attempt::again(error),
        (error, May::Stay) => Attempt::Fail(error),
    }
}

/// Whether a failure may pass.
enum May {
    Pass,
    Stay,
}

fn describe(error: smtp::Error, server: &Server<'_>) -> (Error, May) {
    let place = format!("`{}:{}`", server.host, server.port);
    let code = error.status().map(u16::from);
    let (kind, what, hint, may) = match code {
        Some(530 | 534 | 535 | 538) => (
            Kind::Auth,
            format!("the mail server {place} does not let us in"),
            "look at `user` and `password` of the notifier",
            May::Stay,
        ),
        Some(400..=499) => (
            Kind::Transient,
            format!("the mail server {place} does not take the notice now"),
            "",
            May::Pass,
        ),
        Some(_) => (
            Kind::Rejected,
            format!("the mail server {place} refuses the notice"),
            "look at `from` and `to` of the notifier",
            May::Stay,
        ),
        None if error.is_tls() => (
            Kind::Config,
            format!("no safe connection to the mail server {place}"),
            "look at `tls` and `ca_file` of the notifier",
            May::Stay,
        ),
        None if error.is_client() => (
            Kind::Config,
            format!("the mail server {place} cannot do what the notifier asks for"),
            "look at `tls`, `user` and `password` of the notifier",
            May::Stay,
        ),
        None => (
            Kind::Transient,
            format!("no conversation with the mail server {place}"),
            "",
            May::Pass,
        ),
    };
    let described = Error::new(kind, what).with_source(error);
    let described = if hint.is_empty() {
        described
    } else {
        described.with_hint(hint)
    };
    (described, may)
}

async fn connect(session: &Session, notifier: &Notifier, server: &Server<'_>) -> Result<Transport> {
    singer_net::install_tls();
    let tls = match server.tls {
        MailTls::StartTls => Tls::Required(parameters(server)?),
        MailTls::Tls => Tls::Wrapper(parameters(server)?),
        MailTls::None => Tls::None,
    };
    let mut builder: AsyncSmtpTransportBuilder = Transport::builder_dangerous(server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(notifier.timeout));
    if let Some(user) = server.user {
        let password = match server.password {
            Some(password) => session.context.secret(password).await?,
            None => singer_core::Secret::new(""),
        };
        builder = builder.credentials(Credentials::new(
            user.to_owned(),
            password.expose().to_owned(),
        ));
    }
    Ok(builder.build())
}

fn parameters(server: &Server<'_>) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(server.host.to_owned());
    if let Some(file) = server.ca_file {
        let wrong = || Error::config(format!("cannot read the `ca_file` `{}`", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong().with_source(error))?;
        for certificate in pem_certificates(&pem) {
            let certificate = Certificate::from_pem(certificate.as_bytes())
                .map_err(|error| wrong().with_source(error))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| {
        Error::config(format!("no TLS with the mail server `{}`", server.host)).with_source(error)
    })
}

/// Each certificate of a file of several.
fn pem_certificates(pem: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END)
        .filter(|block| block.contains("-----BEGIN CERTIFICATE-----"))
        .map(str::to_owned)
        .collect()
}

fn write(from: &str, to: &[String], notice: &Notice, now: SystemTime) -> Result<Message> {
    let mailbox = |key: &str, address: &str| {
        address.parse::<Mailbox>().map_err(|error| {
            Error::config(format!(
                "`{key}` of the notifier has a broken address `{address}`"
            ))
            .with_source(error)
        })
    };
    let mut builder = Message::builder()
        .from(mailbox("from", from)?)
        .subject(&notice.subject)
        .date(now)
        .message_id(None)
        // No absence note comes back.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for address in to {
        builder = builder.to(mailbox("to", address)?);
    }
    builder
        .singlepart(SinglePart::plain(notice.text()))
        .map_err(|error| Error::internal("cannot write a mail").with_source(error))
}

#[cfg(test)]
mod tests;
