//! AWS as moto plays it: buckets, topics, queues, on a port of 127.0.0.1. What is asked of it here goes
//! over plain HTTP with requests of our own, so that no client under test judges itself.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::bin::{Run, Running};
use crate::python::{self, PATIENCE};

/// The region of everything that is made here.
pub const REGION: &str = "us-east-1";
/// The account that moto plays.
pub const ACCOUNT: &str = "123456789012";
/// Keys that any server takes until [`Moto::require_permissions`].
pub const KEYS: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI-a-secret-of-no-use");

/// Serves until stdin ends, so that no server outlives the test that started it, however that dies.
/// A port of 0 lets the system choose; the server logs the one it got.
const SERVER: &str = "
import os, sys, threading
def watch():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', '0'])
";

/// A server; dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    address: String,
    process: Running,
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub text: String,
}

/// A message of a queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// What was sent.
    pub body: String,
    /// Message attributes: name, type, value; system attributes (`MessageGroupId`) by name.
    pub attributes: Value,
}

/// The one server of this process, for tests that only add things of their own names; none where there
/// is no Python for it.
pub fn shared() -> Option<&'static Moto> {
    static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
    SHARED.get_or_init(Moto::start).as_ref()
}

impl Moto {
    /// Starts a server and waits until it answers; none where there is no Python for it.
    pub fn start() -> Option<Moto> {
        let environment = python::environments(&["cloud"])?.remove("cloud")?;
        let process = Run::program(environment.join("bin/python"))
            .args(["-c", SERVER])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_COLOR", "1")
            .patience(PATIENCE)
            .held_stdin()
            .start();
        process.wait_for_log("CTRL+C");
        let log = process.stderr();
        let (_, address) = log
            .split_once("Running on http://")
            .expect("the server logs its address");
        let address = address
            .split_whitespace()
            .next()
            .expect("an address is a word")
            .to_owned();
        Some(Moto { address, process })
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the server logged so far: a line for each request.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// The variables by which an AWS client finds credentials and region; nothing leads to this machine's own.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ACCESS_KEY_ID", KEYS.0.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", KEYS.1.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        self.ask("s3", "PUT", &format!("/{name}"), "", "")
            .expect_success();
    }

    /// An object's bytes as text; none if there is no such object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<String> {
        let answer = self.ask("s3", "GET", &format!("/{bucket}/{key}"), "", "");
        (answer.status != 404).then(|| answer.expect_success().text)
    }

    /// Makes a topic and returns its ARN; a name that ends with `.fifo` makes one of that kind.
    pub fn create_topic(&self, name: &str) -> String {
        let mut form = vec![("Action", "CreateTopic"), ("Name", name)];
        if name.ends_with(".fifo") {
            form.push(("Attributes.entry.1.key", "FifoTopic"));
            form.push(("Attributes.entry.1.value", "true"));
        }
        self.ask_sns(&form).expect_success();
        format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
    }

    /// Makes a queue and returns its URL; a name that ends with `.fifo` makes one of that kind.
    pub fn create_queue(&self, name: &str) -> String {
        let mut request = json!({"QueueName": name});
        if name.ends_with(".fifo") {
            request["Attributes"] = json!({"FifoQueue": "true"});
        }
        let made = self.ask_sqs("CreateQueue", &request);
        made["QueueUrl"].as_str().expect("a queue's URL").to_owned()
    }

    /// Leads the messages of a topic to a queue, just as they were sent.
    pub fn subscribe(&self, topic_arn: &str, queue_url: &str) {
        let queue = queue_url.rsplit('/').next().expect("a queue's name");
        let endpoint = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}");
        self.ask_sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", topic_arn),
            ("Protocol", "sqs"),
            ("Endpoint", &endpoint),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
        ])
        .expect_success();
    }

    /// Publishes a message, signed by nobody.
    pub fn publish(&self, topic_arn: &str, message: &str) -> Answer {
        self.ask_sns(&[
            ("Action", "Publish"),
            ("TopicArn", topic_arn),
            ("Message", message),
        ])
    }

    /// Takes all messages out of a queue, in the order in which they came.
    pub fn receive(&self, queue_url: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let request = json!({
                "QueueUrl": queue_url,
                "MaxNumberOfMessages": 10,
                "MessageAttributeNames": ["All"],
                "AttributeNames": ["All"],
            });
            let received = self.ask_sqs("ReceiveMessage", &request);
            let Some(received) = received["Messages"].as_array() else {
                return messages;
            };
            for message in received {
                let receipt = &message["ReceiptHandle"];
                let request = json!({"QueueUrl": queue_url, "ReceiptHandle": receipt});
                self.ask_sqs("DeleteMessage", &request);
                let mut attributes = message["MessageAttributes"].clone();
                if let Some(system) = message["Attributes"].as_object() {
                    for (name, value) in system {
                        attributes[name] = value.clone();
                    }
                }
                messages.push(Message {
                    body: message["Body"].as_str().expect("a body").to_owned(),
                    attributes,
                });
            }
        }
    }

    /// Makes a user with a policy (`Allow` of these actions on everything) and returns its keys. From now on
    /// each request is judged: its signature, and what its user may do.
    pub fn require_permissions(&self, user: &str, actions: &[&str]) -> (String, String) {
        let version = ("Version", "2010-05-08");
        let iam = |form: &[(&str, &str)]| {
            let form = [form, &[version]].concat();
            self.ask_form("iam", &form).expect_success().text
        };
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": "*"},
        ]});
        iam(&[("Action", "CreateUser"), ("UserName", user)]);
        iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", user),
            ("PolicyName", "of-the-test"),
            ("PolicyDocument", &policy.to_string()),
        ]);
        let keys = iam(&[("Action", "CreateAccessKey"), ("UserName", user)]);
        let judged = self.ask("s3", "POST", "/moto-api/reset-auth", "", "0");
        judged.expect_success();
        let element = |name: &str| {
            let (_, rest) = keys.split_once(&format!("<{name}>")).expect("an element");
            rest.split('<').next().expect("its text").to_owned()
        };
        (element("AccessKeyId"), element("SecretAccessKey"))
    }

    /// Asks the notification service by a form.
    fn ask_sns(&self, form: &[(&str, &str)]) -> Answer {
        self.ask_form("sns", &[form, &[("Version", "2010-03-31")]].concat())
    }

    fn ask_form(&self, service: &str, form: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, value) in form {
            write!(body, "{name}=").expect("strings can be written");
            for byte in value.bytes() {
                write!(body, "%{byte:02X}").expect("strings can be written");
            }
            body.push('&');
        }
        let header = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.ask(service, "POST", "/", header, body.trim_end_matches('&'))
    }

    fn ask_sqs(&self, action: &str, request: &Value) -> Value {
        let headers = format!(
            "Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.{action}\r\n"
        );
        let answer = self.ask("sqs", "POST", "/", &headers, &request.to_string());
        let text = answer.expect_success().text;
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// One request. `headers` are whole lines; the service is told by the credential, as moto reads it.
    fn ask(&self, service: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let credential = format!("{}/20260101/{REGION}/{service}/aws4_request", KEYS.0);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        let answer = String::from_utf8_lossy(&answer);
        let (head, text) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("an answer has a status");
        Answer {
            status,
            text: text.to_owned(),
        }
    }
}

impl Answer {
    /// Fails the test unless the server did what it was asked for.
    #[track_caller]
    fn expect_success(self) -> Answer {
        assert!(
            (200..300).contains(&self.status),
            "moto answered {}: {}",
            self.status,
            self.text
        );
        self
    }
}
