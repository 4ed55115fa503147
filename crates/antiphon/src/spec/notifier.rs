//! `[notify.<name>]`: whom to tell, and when.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use singer_core::SecretSource;
use singer_core::nearest::nearest;
use toml::de::DeValue;

use super::keys::{self, Key};
use super::place::{Node, Place};
use super::reader::{Reader, Table};
use super::{Channel, MailTls, Notifier, Thresholds};

/// The ways, and the keys that each has on its own.
const WAYS: [(&str, &[Key]); 4] = [
    ("sns", keys::SNS),
    ("webhook", keys::WEBHOOK),
    ("email", keys::EMAIL),
    ("command", keys::COMMAND),
];

/// Reads one notifier.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    node: &'a Node<'a>,
) -> Option<Notifier> {
    let table = reader.open_table(node, "a table")?;
    let way = read_way(reader, table)?;
    check_keys(reader, table, way);
    let channel = match way {
        "sns" => read_sns(reader, table),
        "webhook" => read_webhook(reader, table),
        "email" => read_email(reader, table),
        _ => read_command(reader, table),
    };
    let thresholds = read_thresholds(reader, table);
    let timeout = table
        .get("timeout")
        .and_then(|node| reader.positive_duration(node))
        .unwrap_or(Duration::from_secs(15));
    Some(Notifier {
        name: name.to_owned(),
        channel: channel?,
        thresholds,
        timeout,
    })
}

fn read_way<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<&'static str> {
    let node = required(reader, table, "type")?;
    let words = WAYS.map(|(way, _)| (way, way));
    reader.word(node, &words)
}

/// A key that another way has is told as such.
fn check_keys<'a>(reader: &mut Reader<'a>, table: Table<'a>, way: &str) {
    let own = WAYS
        .iter()
        .find(|(name, _)| *name == way)
        .map_or(&[][..], |(_, keys)| *keys);
    let known = || keys::NOTIFIER.iter().chain(own).map(|key| key.name);
    for name in table.entries.keys() {
        let typed: &str = name.get_ref();
        if known().any(|key| key == typed) {
            continue;
        }
        let elsewhere = WAYS
            .iter()
            .find(|(_, keys)| keys.iter().any(|key| key.name == typed));
        match elsewhere {
            Some((other, _)) if nearest(typed, known()).is_none() => reader.fault_with_hint(
                Place::Key(name),
                format!("{{key}} is no key of a notifier of type `{way}`"),
                Some(format!(
                    "it is one of type `{other}`; `{way}` has: {}",
                    own.iter()
                        .map(|key| key.name)
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
            ),
            _ => reader.unknown(name, known()),
        }
    }
}

fn read_sns<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<Channel> {
    let region = optional_text(reader, table, "region");
    let endpoint = read_url(reader, table, "endpoint");
    let profile = optional_text(reader, table, "profile");
    let proxy = optional_secret(reader, table, "proxy");
    let ca_file = table.get("ca_file").and_then(|node| reader.path(node));
    let node = required(reader, table, "topic_arn")?;
    let topic_arn = reader.text(node)?;
    let is_arn = topic_arn.starts_with("arn:") && topic_arn.split(':').count() == 6;
    if !is_arn {
        reader.wrong(
            node,
            "the ARN of a topic: `arn:aws:sns:REGION:ACCOUNT:NAME`",
        );
        return None;
    }
    Some(Channel::Sns {
        topic_arn: topic_arn.to_owned(),
        region,
        endpoint,
        profile,
        proxy,
        ca_file,
    })
}

fn read_webhook<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<Channel> {
    let headers = read_headers(reader, table);
    let secret = optional_secret(reader, table, "secret");
    let proxy = optional_secret(reader, table, "proxy");
    let ca_file = table.get("ca_file").and_then(|node| reader.path(node));
    let node = required(reader, table, "url")?;
    let url = reader.secret(node)?;
    if let SecretSource::Text(text) = &url
        && !is_url(text.expose())
    {
        reader.wrong(node, "a URL that begins with https:// or http://");
        return None;
    }
    Some(Channel::Webhook {
        url,
        headers,
        secret,
        proxy,
        ca_file,
    })
}

fn read_headers<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> BTreeMap<String, SecretSource> {
    let mut headers = BTreeMap::new();
    let Some(node) = table.get("headers") else {
        return headers;
    };
    let Some(table) = reader.open_table(node, "a table of headers") else {
        return headers;
    };
    for (name, value) in table.entries.iter() {
        let text: &str = name.get_ref();
        let is_token = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            reader.fault(Place::Key(name), "{key} is no name of a header");
        } else if let Some(value) = reader.secret(value) {
            headers.insert(text.to_owned(), value);
        }
    }
    headers
}

fn read_email<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<Channel> {
    let port = table
        .get("port")
        .and_then(|node| reader.integer(node, 1, 65_535))
        .and_then(|port| u16::try_from(port).ok());
    let tls = table
        .get("tls")
        .and_then(|node| {
            let words = [
                ("starttls", MailTls::StartTls),
                ("tls", MailTls::Tls),
                ("none", MailTls::None),
            ];
            reader.word(node, &words)
        })
        .unwrap_or(MailTls::StartTls);
    let user = optional_text(reader, table, "user");
    let password = optional_secret(reader, table, "password");
    let ca_file = table.get("ca_file").and_then(|node| reader.path(node));
    let host = required(reader, table, "host").and_then(|node| reader.text(node));
    let from = required(reader, table, "from").and_then(|node| read_address(reader, node));
    let to: Option<Vec<String>> = required(reader, table, "to").and_then(|node| {
        let items = reader.items(node);
        if items.is_empty() {
            reader.fault(Place::Value(node), "{key} is empty");
            return None;
        }
        items
            .into_iter()
            .map(|item| read_address(reader, item))
            .collect()
    });
    let host = host?;
    if tls == MailTls::None
        && !is_loopback(host)
        && let Some(node) = table.get("password")
    {
        reader.fault_with_hint(
            Place::Value(node),
            "{key} would be sent in the clear",
            Some("set `tls` to `starttls` or `tls`, or leave the password out".to_owned()),
        );
        return None;
    }
    Some(Channel::Email {
        host: host.to_owned(),
        port,
        tls,
        user,
        password,
        from: from?,
        to: to?,
        ca_file,
    })
}

fn read_command<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<Channel> {
    let node = required(reader, table, "command")?;
    let command = reader.text(node)?.to_owned();
    Some(Channel::Command { command })
}

fn read_thresholds<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Thresholds {
    const PERCENT: &str = "a number of percent from 0 to 100";
    let mut flag = |key: &str, default: bool| {
        table
            .get(key)
            .and_then(|node| reader.flag(node))
            .unwrap_or(default)
    };
    let failed = flag("failed", true);
    let no_records = flag("no_records", false);
    let schema_changed = flag("schema_changed", false);
    let mut rejects = None;
    let mut rejects_percent = None;
    if let Some(node) = table.get("rejects") {
        match node.get_ref() {
            DeValue::Integer(_) => {
                rejects = reader
                    .integer(node, 0, i64::MAX)
                    .and_then(|number| u64::try_from(number).ok());
            }
            DeValue::String(text) => {
                rejects_percent = text
                    .trim()
                    .strip_suffix('%')
                    .and_then(|number| number.trim().parse::<f64>().ok())
                    .filter(|percent| *percent >= 0.0 && *percent <= 100.0);
                if rejects_percent.is_none() {
                    reader.wrong(node, "a number, or a share from \"0%\" to \"100%\"");
                }
            }
            _ => reader.expected(node, "a number, or a share such as \"5%\""),
        }
    }
    if let Some(node) = table.get("rejects_percent") {
        if rejects_percent.is_some() {
            reader.fault(Place::Value(node), "{key} says again what `rejects` says");
        }
        match reader.decimal(node, -f64::MIN_POSITIVE, PERCENT) {
            Some(percent) if percent > 100.0 => reader.wrong(node, PERCENT),
            percent => rejects_percent = percent.or(rejects_percent),
        }
    }
    let slower_than = table
        .get("slower_than")
        .and_then(|node| reader.positive_duration(node));
    let slower_than_median = table
        .get("slower_than_median")
        .and_then(|node| reader.decimal(node, 1.0, "a number above 1"));
    Thresholds {
        failed,
        rejects,
        rejects_percent,
        slower_than,
        slower_than_median,
        no_records,
        schema_changed,
    }
}

/// The value of a key that must be there.
fn required<'a>(reader: &mut Reader<'a>, table: Table<'a>, key: &str) -> Option<&'a Node<'a>> {
    let node = table.get(key);
    if node.is_none() {
        reader.fault(table.place, format!("{{key}} has no `{key}`"));
    }
    node
}

fn optional_text<'a>(reader: &mut Reader<'a>, table: Table<'a>, key: &str) -> Option<String> {
    let node = table.get(key)?;
    reader.text(node).map(str::to_owned)
}

fn optional_secret<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    key: &str,
) -> Option<SecretSource> {
    let node = table.get(key)?;
    reader.secret(node)
}

/// A URL that is no secret.
pub(super) fn read_url<'a>(reader: &mut Reader<'a>, table: Table<'a>, key: &str) -> Option<String> {
    let node = table.get(key)?;
    let url = reader.text(node)?;
    if !is_url(url) {
        reader.wrong(node, "a URL that begins with https:// or http://");
        return None;
    }
    Some(url.to_owned())
}

fn read_address<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>) -> Option<String> {
    let address = reader.text(node)?;
    let is_address = address
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !is_address {
        reader.wrong(
            node,
            "a mail address: `ops@example.com` or `Ops <ops@example.com>`",
        );
        return None;
    }
    Some(address.to_owned())
}

fn is_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme) && text.len() > scheme.len())
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
