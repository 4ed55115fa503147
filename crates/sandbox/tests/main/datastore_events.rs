//! Events of changed rows, as a receiver gets them.

use sandbox::datastore::{Environment, EventHook, Shape};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Trial;

/// Takes the bodies of posts, one by one.
struct Receiver {
    listener: TcpListener,
}

impl Receiver {
    async fn start() -> Receiver {
        Receiver {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn hook(&self) -> EventHook {
        let url = format!("http://{}/events", self.listener.local_addr().unwrap());
        EventHook {
            retry_ms: 1,
            ..EventHook::new(&url, "s3cret")
        }
    }

    async fn take(&self, status: u16) -> Value {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("catalyst-codelib-secret-key: s3cret"),
            "{head}"
        );
        serde_json::from_str(body).unwrap()
    }
}

/// One request with a body of a declared length.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap() {
            return text;
        }
    }
}

#[tokio::test]
async fn changes_come_in_order_and_again_until_they_are_taken() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let receiver = Receiver::start().await;
    trial.sandbox.datastore().set_events(Some(receiver.hook()));
    let made = trial
        .datastore(
            &token,
            "POST",
            "/table/Trips/row",
            &json!([{"Driver": "Rui"}]),
        )
        .await
        .json();
    let id = made["data"][0]["ROWID"].clone();
    let path = format!("/table/Trips/row/{}", id.as_str().unwrap());
    trial.datastore(&token, "DELETE", &path, &Value::Null).await;
    let first = receiver.take(503).await;
    let again = receiver.take(200).await;
    assert_eq!(
        (&first["attempt"], &again["attempt"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(first["events"], again["events"]);
    assert_eq!(first["events"][0]["data"]["Driver"], "Rui");
    assert_eq!(first["account"]["project"]["environment"], "Production");
    let deleted = receiver.take(200).await;
    let event = &deleted["events"][0];
    assert_eq!(event["event_config"]["api_name"], "row_deleted");
    assert_eq!(event["data"]["ROWID"], id);
    assert_eq!(event["data"].get("Driver"), None);
    // The same event once more, on request.
    trial
        .control("POST", "/datastore/events/resend", &json!({"count": 1}))
        .await;
    let twice = receiver.take(200).await;
    assert_eq!(twice["events"][0]["id"], event["id"]);
    assert_ne!(first["events"][0]["id"], event["id"]);
}

#[tokio::test]
async fn a_listener_gets_the_older_shape_in_bundles() {
    let trial = Trial::start().await;
    let receiver = Receiver::start().await;
    let hook = EventHook {
        shape: Shape::Listener,
        bundle: 10,
        ..receiver.hook()
    };
    trial.sandbox.datastore().set_events(Some(hook));
    let rows = json!([{"Driver": "a"}, {"Driver": "b"}]);
    trial
        .sandbox
        .datastore()
        .put(Environment::Development, "Trips", &rows)
        .unwrap();
    let body = receiver.take(200).await;
    assert_eq!(
        (&body["action"], &body["source"]),
        (&json!("Insert"), &json!("Datastore"))
    );
    assert_eq!(body["data"][1]["Trips"]["Driver"], "b");
}

#[tokio::test]
async fn an_event_that_nobody_takes_is_given_up() {
    let trial = Trial::start().await;
    let receiver = Receiver::start().await;
    let hook = EventHook {
        attempts: 2,
        ..receiver.hook()
    };
    trial.sandbox.datastore().set_events(Some(hook));
    trial
        .sandbox
        .datastore()
        .change_some(Environment::Production, "Trips", 1);
    receiver.take(500).await;
    receiver.take(429).await;
    trial
        .sandbox
        .datastore()
        .change_some(Environment::Production, "Trips", 1);
    receiver.take(200).await;
    assert_eq!(trial.sandbox.datastore().event_counts().dropped, 1);
}
