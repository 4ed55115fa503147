//! The ids that Pendo knows, from its aggregation API, a page at a time. There is no cursor: each
//! page asks for the ids after the last one, in their order.

use std::time::Duration;

use serde_json::{Value, json};
use singer_core::{Error, Result};
use singer_net::{Answer, Attempt, Base, Bytes, Client, HttpConfig, Request, Retry, StatusCode};
use singer_runtime::context::Context;

use crate::config::{PendoKeys, PendoKind};

const KEY_HEADER: &str = "x-pendo-integration-key";

/// A pause that ends later than this after the first attempt is not waited for.
const PATIENCE: Duration = Duration::from_secs(900);

/// Asks for all ids.
pub(super) async fn ids(
    http: &HttpConfig,
    pendo: &PendoKeys,
    context: &Context,
) -> Result<Vec<String>> {
    let base = Base::parse("key_filter.pendo.base_url", &pendo.base_url)?;
    let client = Client::new(base, http, context.user_agent())?;
    let retry = Retry {
        patience: PATIENCE,
        ..Retry::attempts(http.attempts)
    };
    let mut ids: Vec<String> = Vec::new();
    let mut last = String::new();
    loop {
        let page = page(&client, &retry, pendo, context, &last).await?;
        let count = page.len();
        ids.extend(page);
        match ids.last() {
            // A page that does not go on would be asked for for ever.
            Some(newest) if count > 0 && *newest > last => last.clone_from(newest),
            _ if count == 0 => return Ok(ids),
            _ => {
                return Err(Error::protocol(
                    "Pendo's aggregation API does not answer in the order of the ids",
                ));
            }
        }
        if count < pendo.page_size as usize {
            return Ok(ids);
        }
    }
}

async fn page(
    client: &Client,
    retry: &Retry,
    pendo: &PendoKeys,
    context: &Context,
    last: &str,
) -> Result<Vec<String>> {
    let body = Bytes::from(query(pendo, last).to_string());
    let url = client.base().url(&["api", "v1", "aggregation"])?;
    let key = context.secret(&pendo.integration_key).await?;
    let request = Request::post_json(url, body).secret_header(KEY_HEADER, &key)?;
    let name = field(pendo.kind);
    retry
        .run("ask Pendo for its ids", |_| async {
            match client.send(request.clone()).await {
                Ok(answer) => judge(&answer, name),
                Err(error) => Attempt::again(error),
            }
        })
        .await
}

fn field(kind: PendoKind) -> &'static str {
    match kind {
        PendoKind::Account => "accountId",
        PendoKind::Visitor => "visitorId",
    }
}

fn query(pendo: &PendoKeys, last: &str) -> Value {
    let name = field(pendo.kind);
    let source = match pendo.kind {
        PendoKind::Account => json!({"accounts": null}),
        // Anonymous visitors are many times as many, and no table knows them.
        PendoKind::Visitor => json!({"visitors": {"identified": true}}),
    };
    // The expression has its own quotes inside the JSON string.
    let filter = format!("{name} > {}", Value::from(last));
    json!({
        "response": {"mimeType": "application/json"},
        "request": {
            "requestId": "antiphon-key-filter",
            "pipeline": [
                {"source": source},
                {"select": {name: name}},
                {"filter": filter},
                {"sort": [name]},
                {"limit": pendo.page_size},
            ],
        },
    })
}

fn judge(answer: &Answer, name: &str) -> Attempt<Vec<String>> {
    const DOING: &str = "cannot ask Pendo for the ids that it knows";
    let status = answer.status;
    let throttled = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && answer.mentions("rateLimitExceeded"));
    if status == StatusCode::OK {
        return match read(answer, name) {
            Some(ids) => Attempt::Done(ids),
            // An empty or false body has been seen with a bad key.
            None => Attempt::Fail(
                Error::protocol(format!("{DOING}: the answer is no list of results"))
                    .with_hint("check `key_filter.pendo.integration_key` and `base_url`"),
            ),
        };
    }
    if throttled {
        return Attempt::Retry {
            error: Error::new(singer_core::Kind::RateLimited, DOING).with_source(answer.cause(&[])),
            after: answer.retry_after(),
        };
    }
    match status.as_u16() {
        401 | 403 => Attempt::Fail(
            Error::auth(DOING).with_source(answer.cause(&[])).with_hint(
                "check `key_filter.pendo.integration_key`, and that `base_url` is the host of its region",
            ),
        ),
        408 | 500..=599 => Attempt::Retry {
            error: Error::transient(DOING).with_source(answer.cause(&[])),
            after: answer.retry_after(),
        },
        _ => Attempt::Fail(Error::rejected(DOING).with_source(answer.cause(&[]))),
    }
}

/// The ids of an answer; `results` is null or missing when there are none.
fn read(answer: &Answer, name: &str) -> Option<Vec<String>> {
    let body = answer.json()?;
    let results = body.as_object()?.get("results");
    let Some(Value::Array(results)) = results.filter(|results| !results.is_null()) else {
        return results.is_none_or(Value::is_null).then(Vec::new);
    };
    results
        .iter()
        .map(|row| match row.get(name)? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use singer_core::{Secret, SecretSource};

    use super::*;
    use crate::config::IdFormat;

    #[test]
    fn a_quote_in_an_id_stays_inside_the_expression() {
        let pendo = PendoKeys {
            integration_key: SecretSource::Text(Secret::new("k")),
            base_url: String::new(),
            kind: PendoKind::Visitor,
            id_format: IdFormat::Any,
            page_size: 5,
        };
        let query = query(&pendo, "a\"b");
        let pipeline = &query["request"]["pipeline"];
        assert_eq!(pipeline[2]["filter"], json!("visitorId > \"a\\\"b\""));
        assert_eq!(
            pipeline[0]["source"],
            json!({"visitors": {"identified": true}})
        );
        assert_eq!(pipeline[4]["limit"], json!(5));
    }
}
