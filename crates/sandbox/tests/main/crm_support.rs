//! A client of the CRM stand-in: requests with a token, jobs to their ends, ZIP files both ways.

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use sandbox::Options;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

/// A sandbox with a token for it.
pub(crate) struct Client {
    pub(crate) trial: Trial,
    pub(crate) token: String,
}

impl Client {
    pub(crate) async fn start() -> Client {
        Client::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Client {
        let trial = Trial::with_options(change).await;
        let token = trial.zoho_token().await;
        Client { trial, token }
    }

    /// A request with a JSON body, and more headers.
    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let bearer = format!("Zoho-oauthtoken {}", self.token);
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend_from_slice(more);
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.trial.send(method, path, &headers, text.as_bytes());
        answer.await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send_with("GET", path, &[], &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_with("POST", path, &[], body).await
    }

    /// The code of a refusal, with its status.
    pub(crate) async fn refusal(&self, path: &str, body: &Value) -> (u16, String) {
        let answer = if body.is_null() {
            self.get(path).await
        } else {
            self.post(path, body).await
        };
        (answer.status, code_of(&answer))
    }

    /// Makes a bulk read, and looks at it until it has ended.
    pub(crate) async fn read(&self, query: Value) -> Value {
        let answer = self
            .post("/crm/bulk/v8/read", &json!({"query": query}))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let job = answer.json()["data"][0]["details"].clone();
        assert_eq!(job["state"], "ADDED");
        let path = format!("/crm/bulk/v8/read/{}", job["id"].as_str().unwrap());
        loop {
            let job = self.get(&path).await.json()["data"][0].clone();
            if ["COMPLETED", "FAILURE"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
        }
    }

    /// The lines of the CSV of a bulk read, and its last look.
    pub(crate) async fn rows(&self, query: Value) -> (Vec<String>, Value) {
        let job = self.read(query).await;
        assert_eq!(job["state"], "COMPLETED");
        let url = job["result"]["download_url"].as_str().unwrap();
        let (name, text) = unzip(&self.get(url).await.body);
        assert_eq!(name, format!("{}.csv", job["id"].as_str().unwrap()));
        (text.lines().map(str::to_owned).collect(), job)
    }

    /// Uploads a ZIP with one CSV.
    pub(crate) async fn upload(&self, zip: &[u8], more: &[(&str, &str)]) -> Answer {
        let bearer = format!("Zoho-oauthtoken {}", self.token);
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "multipart/form-data; boundary=xyz"),
        ];
        headers.extend_from_slice(more);
        let mut body = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\n".to_vec();
        body.extend_from_slice(zip);
        body.extend_from_slice(b"\r\n--xyz--\r\n");
        let answer = self.trial.send("POST", "/crm/v8/upload", &headers, &body);
        answer.await.unwrap()
    }

    /// Uploads a CSV, and says which file it is.
    pub(crate) async fn file(&self, csv: &str) -> String {
        let headers = [("feature", "bulk-write"), ("x-crm-org", "704881200")];
        let answer = self.upload(&zip("a.csv", csv), &headers).await;
        let body = answer.json();
        assert_eq!(body["code"], "FILE_UPLOAD_SUCCESS", "{body}");
        body["details"]["file_id"].as_str().unwrap().to_owned()
    }

    /// Uploads a CSV for a module, makes the job, and looks at it until it has ended. `resource` adds
    /// to the resource.
    pub(crate) async fn write(
        &self,
        job: Value,
        module: &str,
        resource: Value,
        csv: &str,
    ) -> Value {
        let answer = self.ask_to_write(job, module, resource, csv).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["details"]["id"].as_str().unwrap().to_owned();
        self.written(&id).await
    }

    pub(crate) async fn ask_to_write(
        &self,
        mut job: Value,
        module: &str,
        mut resource: Value,
        csv: &str,
    ) -> Answer {
        resource["type"] = json!("data");
        resource["module"] = json!({"api_name": module});
        resource["file_id"] = json!(self.file(csv).await);
        resource["file_names"] = json!(["a.csv"]);
        job["resource"] = json!([resource]);
        self.post("/crm/bulk/v8/write", &job).await
    }

    /// Looks at a bulk write until it has ended.
    pub(crate) async fn written(&self, id: &str) -> Value {
        loop {
            let job = self.get(&format!("/crm/bulk/v8/write/{id}")).await.json();
            if ["COMPLETED", "FAILED"].contains(&job["status"].as_str().unwrap()) {
                return job;
            }
        }
    }

    /// The lines of the result of a bulk write.
    pub(crate) async fn result(&self, job: &Value) -> Vec<String> {
        let url = job["result"]["download_url"].as_str().unwrap();
        let (_, text) = unzip(&self.get(url).await.body);
        text.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn code_of(answer: &Answer) -> String {
    answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The name and the text of the first file of a ZIP.
pub(crate) fn unzip(zip: &[u8]) -> (String, String) {
    assert!(zip.starts_with(b"PK\x03\x04"), "no ZIP");
    let name = usize::from(u16::from_le_bytes([zip[26], zip[27]]));
    let mut text = String::new();
    DeflateDecoder::new(&zip[30 + name..])
        .read_to_string(&mut text)
        .unwrap();
    (
        String::from_utf8(zip[30..30 + name].to_vec()).unwrap(),
        text,
    )
}

/// A ZIP with one file that is stored as it is.
pub(crate) fn zip(name: &str, text: &str) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    let mut head = vec![0x14, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    head.extend_from_slice(&crc.sum().to_le_bytes());
    head.extend_from_slice(&length);
    head.extend_from_slice(&length);
    head.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    head.extend_from_slice(&[0, 0]);
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend_from_slice(&head);
    zip.extend_from_slice(name.as_bytes());
    zip.extend_from_slice(text.as_bytes());
    let begins = zip.len();
    zip.extend_from_slice(b"PK\x01\x02\x14\x00");
    zip.extend_from_slice(&head);
    zip.extend_from_slice(&[0; 14]);
    zip.extend_from_slice(name.as_bytes());
    let size = u32::try_from(zip.len() - begins).unwrap().to_le_bytes();
    zip.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    zip.extend_from_slice(&size);
    zip.extend_from_slice(&u32::try_from(begins).unwrap().to_le_bytes());
    zip.extend_from_slice(&[0, 0]);
    zip
}
