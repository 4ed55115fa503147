//! Zoho Analytics over the wire: metadata, tables, rows, and who may do what.

use sandbox::analytics::AnalyticsOptions;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

pub(crate) const ORG: &str = "55522777";
pub(crate) const VIEWS: &str = "/restapi/v2/workspaces/260000000001003/views";

/// A sandbox with a token.
pub(crate) struct Fleet {
    pub(crate) trial: Trial,
    pub(crate) token: String,
}

impl Fleet {
    pub(crate) async fn start() -> Fleet {
        Fleet::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut AnalyticsOptions)) -> Fleet {
        let trial = Trial::with_analytics(change).await;
        let token = token(&trial).await;
        Fleet { trial, token }
    }

    /// Makes the table that the tests use; returns its id.
    pub(crate) fn trips(&self) -> String {
        let design = json!({"TABLENAME": "Trips", "COLUMNS": [
            {"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER", "MANDATORY": "Yes"},
            {"COLUMNNAME": "Driver", "DATATYPE": "PLAIN"},
            {"COLUMNNAME": "Seen", "DATATYPE": "DATE"},
            {"COLUMNNAME": "Km", "DATATYPE": "DECIMAL_NUMBER"}]});
        self.trial
            .sandbox
            .analytics()
            .create_table(&design)
            .unwrap()
    }

    /// A call with CONFIG: in the query of a GET, else as a form.
    pub(crate) async fn call(&self, method: &str, path: &str, config: &Value) -> Answer {
        let field = match config {
            Value::Null => String::new(),
            config => format!("CONFIG={}", escape(&config.to_string())),
        };
        let (path, body) = match method {
            "GET" if !field.is_empty() => (format!("{path}?{field}"), String::new()),
            _ => (path.to_owned(), field),
        };
        self.send(
            method,
            &path,
            "application/x-www-form-urlencoded",
            body.as_bytes(),
        )
        .await
    }

    /// An upload of a file with its CONFIG in parts.
    pub(crate) async fn upload(&self, path: &str, config: &Value, file: &str) -> Answer {
        let body = format!(
            "--B\r\ncontent-disposition: form-data; name=\"CONFIG\"\r\n\r\n{config}\r\n--B\r\ncontent-disposition: form-data; name=\"FILE\"; filename=\"f.csv\"\r\ncontent-type: text/csv\r\n\r\n{file}\r\n--B--\r\n"
        );
        let kind = "multipart/form-data; boundary=B";
        self.send("POST", path, kind, body.as_bytes()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Answer {
        let token = format!("Zoho-oauthtoken {}", self.token);
        let headers = [
            ("authorization", token.as_str()),
            ("zanalytics-orgid", ORG),
            ("content-type", content_type),
        ];
        self.trial.send(method, path, &headers, body).await.unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.trial.sandbox.analytics().dump("Trips")
    }
}

async fn token(trial: &Trial) -> String {
    let form = "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-secret&refresh_token=sandbox-refresh";
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let answer = trial.send("POST", "/oauth/v2/token", &kind, form.as_bytes());
    let answer = answer.await.unwrap().json();
    answer["access_token"].as_str().unwrap().to_owned()
}

fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The code of a refusal; 0 for a success.
pub(crate) fn code(answer: &Answer) -> u64 {
    match answer.status {
        204 => 0,
        _ => answer.json()["data"]["errorCode"].as_u64().unwrap_or(0),
    }
}

#[tokio::test]
async fn what_there_is_can_be_looked_up() {
    let fleet = Fleet::start().await;
    let orgs = fleet.call("GET", "/restapi/v2/orgs", &Value::Null).await;
    assert_eq!(orgs.json()["data"]["orgs"][0]["orgId"], ORG);
    let workspaces = fleet
        .call("GET", "/restapi/v2/workspaces", &Value::Null)
        .await;
    let owned = &workspaces.json()["data"]["ownedWorkspaces"][0];
    assert_eq!(owned["workspaceName"], "Ops");
    assert_eq!(code(&fleet.call("GET", VIEWS, &Value::Null).await), 7179);
    let id = fleet.trips();
    let views = fleet
        .call("GET", VIEWS, &json!({"keyword": "trip"}))
        .await
        .json();
    assert_eq!(views["data"]["views"][0]["viewId"], id);
    let by_name = json!({"workspaceName": "Ops", "viewName": "Trips"});
    let by_name = fleet.call("GET", "/restapi/v2/metadetails", &by_name).await;
    assert_eq!(by_name.json()["data"]["viewId"], id);
    let path = format!("/restapi/v2/views/{id}");
    let details = fleet
        .call("GET", &path, &json!({"withInvolvedMetaInfo": "true"}))
        .await
        .json();
    assert_eq!(details["data"]["views"]["rowCount"], 0);
    assert_eq!(details["data"]["views"]["orgId"], ORG);
    let path = format!("{VIEWS}/{id}/metadata");
    let columns = fleet.call("GET", &path, &Value::Null).await.json();
    assert_eq!(columns["data"]["columns"][0]["isNullable"], false);
    assert_eq!(columns["data"]["columns"][2]["dataType"], "DATE");
    let resources = fleet
        .call("GET", "/restapi/v2/resources", &Value::Null)
        .await
        .json();
    assert_eq!(
        resources["data"]["resourceDetails"][0]["resourceUsage"]["allocated"],
        "Unlimited"
    );
}

#[tokio::test]
async fn a_call_is_let_in_with_token_organisation_and_permission() {
    let mut fleet = Fleet::start().await;
    let analytics = fleet.trial.sandbox.analytics();
    analytics.add_workspace("99", "700", "Other");
    let id = fleet.trips();
    let token = format!("Zoho-oauthtoken {}", fleet.token);
    for (org, workspace, expected) in [
        (None, "260000000001003", 8083),
        (Some("1"), "260000000001003", 7389),
        (Some("99"), "260000000001003", 7387),
        (Some(ORG), "1", 7103),
        (Some("99"), "700", 7179),
    ] {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(org.map(|org| ("zanalytics-orgid", org)));
        let path = format!("/restapi/v2/workspaces/{workspace}/views");
        let answer = fleet.trial.send("GET", &path, &headers, b"").await.unwrap();
        assert_eq!(code(&answer), expected, "{org:?} {workspace}");
    }
    let analytics = fleet.trial.sandbox.analytics();
    let path = format!("{VIEWS}/{id}/metadata");
    analytics.set_permission("read-metadata", false).unwrap();
    let answer = fleet.call("GET", &path, &Value::Null).await;
    assert_eq!((answer.status, code(&answer)), (403, 7301));
    analytics.set_permission("read-metadata", true).unwrap();
    analytics.set_email_verified(false);
    assert_eq!(code(&fleet.call("GET", &path, &Value::Null).await), 7565);
    fleet.token = "1000.unknown".to_owned();
    let answer = fleet.call("GET", &path, &Value::Null).await;
    assert_eq!((answer.status, code(&answer)), (401, 8535));
}

#[tokio::test]
async fn a_token_opens_its_scopes_alone() {
    let fleet = Fleet::start().await;
    let scopes = ["ZohoAnalytics.metadata.read"];
    fleet.trial.sandbox.zoho().allow("sandbox-refresh", &scopes);
    let fleet = Fleet {
        token: token(&fleet.trial).await,
        ..fleet
    };
    let orgs = fleet.call("GET", "/restapi/v2/orgs", &Value::Null).await;
    assert_eq!(code(&orgs), 0);
    let resources = fleet
        .call("GET", "/restapi/v2/resources", &Value::Null)
        .await;
    assert_eq!(code(&resources), 8540);
}

#[tokio::test]
async fn tables_and_columns_are_made_once() {
    let fleet = Fleet::start().await;
    let tables = "/restapi/v2/workspaces/260000000001003/tables";
    let design = |name: &str, columns: Value| json!({"tableDesign": {"TABLENAME": name, "COLUMNS": columns}});
    let one = json!([{"COLUMNNAME": "A", "DATATYPE": "NUMBER"}]);
    let made = fleet
        .call("POST", tables, &design("T", one.clone()))
        .await
        .json();
    assert_eq!(made["summary"], "Create table");
    let id = made["data"]["viewId"].as_str().unwrap().to_owned();
    let twice = json!([{"COLUMNNAME": "A", "DATATYPE": "NUMBER"}, {"COLUMNNAME": "a", "DATATYPE": "PLAIN"}]);
    let blob = json!([{"COLUMNNAME": "A", "DATATYPE": "BLOB"}]);
    for (config, expected) in [
        (design("T", one.clone()), 7111),
        (design("", one.clone()), 7413),
        (design("U", twice), 7128),
        (design("U", blob), 7146),
        (
            json!({"tableDesign": {"TABLENAME": "U", "FOLDERNAME": "Gone", "COLUMNS": one}}),
            7144,
        ),
        (json!({"tabledesign": {}}), 8080),
    ] {
        let answer = fleet.call("POST", tables, &config).await;
        assert_eq!(code(&answer), expected, "{config}");
    }
    let columns = format!("{VIEWS}/{id}/columns");
    let fuel = json!({"columnName": "Fuel", "dataType": "DECIMAL_NUMBER"});
    let added = fleet.call("POST", &columns, &fuel).await.json();
    let column = added["data"]["columnId"].as_str().unwrap().to_owned();
    assert_eq!(code(&fleet.call("POST", &columns, &fuel).await), 7157);
    let many: Vec<Value> = (0..11)
        .map(|number| json!({"columnName": format!("c{number}"), "dataType": "PLAIN"}))
        .collect();
    assert_eq!(
        code(
            &fleet
                .call("POST", &columns, &json!({"columns": many}))
                .await
        ),
        8173
    );
    let renamed = fleet
        .call(
            "PUT",
            &format!("{columns}/{column}"),
            &json!({"columnName": "Litres"}),
        )
        .await;
    assert_eq!((renamed.status, renamed.body.len()), (204, 0));
    let analytics = fleet.trial.sandbox.analytics();
    analytics.set_design_locked("T", true).unwrap();
    assert_eq!(code(&fleet.call("POST", &columns, &fuel).await), 7198);
    analytics.set_design_locked("T", false).unwrap();
    let path = format!("{VIEWS}/{id}");
    assert_eq!(
        fleet
            .call("DELETE", &path, &json!({"deleteDependentViews": false}))
            .await
            .status,
        204
    );
    assert_eq!(code(&fleet.call("DELETE", &path, &Value::Null).await), 7104);
}

#[tokio::test]
async fn rows_are_added_updated_and_deleted_by_criteria() {
    let fleet = Fleet::start().await;
    let rows = format!("{VIEWS}/{}/rows", fleet.trips());
    let row = json!({"columns": {"ROWID": "4000000101007", "Driver": "Rui", "Seen": "03/02/2025", "Ghost": "1"},
        "columnDateFormat": {"Seen": "dd/MM/yyyy"}});
    let added = fleet.call("POST", &rows, &row).await.json();
    assert_eq!(added["data"]["invalidColumns"], json!({"Ghost": "1"}));
    assert_eq!(
        fleet.rows()[0],
        json!({"ROWID": "4000000101007", "Driver": "Rui", "Seen": "2025-02-03 00:00:00", "Km": null})
    );
    for (config, expected) in [
        (json!({"columns": {"ROWID": "x"}}), 7507),
        (json!({"columns": {"ROWID": ""}}), 7511),
        (json!({"columns": {"Driver": "Eva"}}), 7511),
        (json!({"columns": {"Ghost": "1"}}), 8016),
        (json!({"columns": {"ROWID": 1}}), 8516),
        (json!({"criteria": "x"}), 8080),
    ] {
        assert_eq!(
            code(&fleet.call("POST", &rows, &config).await),
            expected,
            "{config}"
        );
    }
    let update = |criteria: &str, more: bool| json!({"columns": {"Km": "413", "ROWID": "7"}, "criteria": criteria, "addIfNotExist": more});
    let none = fleet
        .call("PUT", &rows, &update("\"ROWID\" = 1", false))
        .await
        .json();
    assert_eq!(none["data"]["updatedRows"], 0);
    let new = fleet
        .call("PUT", &rows, &update("\"ROWID\" = 1", true))
        .await
        .json();
    assert_eq!(new["data"]["newRowAdded"], true);
    let km = json!({"columns": {"Km": "1"}, "criteria": "\"Trips\".\"ROWID\" in (7, 8) and not (\"Driver\" like 'R%' or \"Km\" is null)"});
    assert_eq!(
        fleet.call("PUT", &rows, &km).await.json()["data"]["updatedRows"],
        1
    );
    assert_eq!(fleet.rows()[1]["Km"], "1");
    for (criteria, expected) in [
        ("\"ROWID\" = 'x'", 7327),
        ("\"Nope\" = 1", 7330),
        ("\"ROWID\" =", 7331),
        ("\"Other\".\"ROWID\" = 1", 7332),
        ("sum(\"ROWID\") = 1", 7333),
        ("\"ROWID\" = 'x", 8054),
    ] {
        let config = json!({"criteria": criteria});
        assert_eq!(
            code(&fleet.call("DELETE", &rows, &config).await),
            expected,
            "{criteria}"
        );
    }
    assert_eq!(
        code(
            &fleet
                .call("DELETE", &rows, &json!({"deleteAllRows": false}))
                .await
        ),
        8131
    );
    assert_eq!(
        code(
            &fleet
                .call("PUT", &rows, &json!({"columns": {"Km": "1"}}))
                .await
        ),
        8130
    );
    let deleted = fleet
        .call(
            "DELETE",
            &rows,
            &json!({"criteria": "\"ROWID\" in (4000000101007,9)"}),
        )
        .await;
    assert_eq!(deleted.json()["data"]["deletedRows"], 1);
    fleet
        .trial
        .sandbox
        .analytics()
        .set_refusal("Trips", Some(8241))
        .unwrap();
    let tagged = fleet.call("POST", &rows, &row).await;
    assert_eq!((tagged.status, code(&tagged)), (409, 8241));
}

#[tokio::test]
async fn calls_of_a_minute_and_units_of_a_day_have_an_end() {
    let fleet = Fleet::start().await;
    let rows = format!("{VIEWS}/{}/rows", fleet.trips());
    let analytics = fleet.trial.sandbox.analytics();
    analytics.set_call_limits(2, 0, 0, 0);
    let row = json!({"columns": {"ROWID": "1"}});
    for _ in 0..2 {
        assert_eq!(code(&fleet.call("POST", &rows, &row).await), 0);
    }
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = fleet.call("POST", &rows, &row).await;
        assert_eq!(code(&answer), 6045);
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 400, 429]);
    analytics.advance(60);
    assert_eq!(code(&fleet.call("POST", &rows, &row).await), 0);
    analytics.set_units_limit(1000);
    analytics.set_units_used(1000);
    assert_eq!(code(&fleet.call("POST", &rows, &row).await), 6043);
    analytics.advance(86_400 - 600);
    analytics.advance(1200);
}

#[tokio::test]
async fn long_urls_and_faults_have_their_answers() {
    let fleet = Fleet::start().await;
    let long = format!("{VIEWS}?CONFIG={}", "x".repeat(9000));
    assert_eq!(fleet.send("GET", &long, "", b"").await.status, 414);
    let sandbox = &fleet.trial.sandbox;
    sandbox
        .set_faults(&[
            "analytics-error:code=6045,status=200,times=1",
            "throttle:after=1,times=1",
            "error:after=2,times=1,status=502",
        ])
        .unwrap();
    let orgs = "/restapi/v2/orgs";
    let answer = fleet.call("GET", orgs, &Value::Null).await;
    assert_eq!((answer.status, code(&answer)), (200, 6045));
    let answer = fleet.call("GET", orgs, &Value::Null).await;
    assert_eq!((answer.status, code(&answer)), (429, 6045));
    let answer = fleet.call("GET", orgs, &Value::Null).await;
    assert!(answer.status == 502 && answer.text().starts_with("<html>"));
    sandbox
        .set_faults(&["analytics-error:code=7092,as=quotes"])
        .unwrap();
    let answer = fleet.call("GET", orgs, &Value::Null).await;
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    assert!(answer.text().contains("\"errorCode\":7092"));
    sandbox.set_faults(&["analytics-error:as=html"]).unwrap();
    let answer = fleet.call("GET", orgs, &Value::Null).await;
    assert!(answer.status == 200 && answer.text().starts_with("<html>"));
}

#[tokio::test]
async fn control_requests_see_and_change_it() {
    let fleet = Fleet::start().await;
    let control = async |method: &str, path: &str, body: &Value| {
        let kind = [("content-type", "application/json")];
        let body = body.to_string();
        let path = format!("/_sandbox/{path}");
        let sent = fleet.trial.send(method, &path, &kind, body.as_bytes());
        sent.await.unwrap()
    };
    let design = json!({"TABLENAME": "T", "COLUMNS": [{"COLUMNNAME": "A", "DATATYPE": "NUMBER"}]});
    assert_eq!(
        control("POST", "analytics/tables", &design).await.status,
        200
    );
    let put = control(
        "POST",
        "analytics/views/T",
        &json!({"rows": [{"A": 1}, {"A": "2"}]}),
    )
    .await;
    assert_eq!(put.json()["rows"], 2);
    let dumped = control("GET", "dump/analytics/T", &Value::Null)
        .await
        .json();
    assert_eq!(dumped, json!([{"A": "1"}, {"A": "2"}]));
    let change = json!({"deny": ["append"], "foreign_slots": 2, "units_limit": 5, "units_used": 3});
    let shown = control("POST", "analytics", &change).await.json();
    assert_eq!(shown["denied"], json!(["append"]));
    assert_eq!(shown["usage"]["units"], 3.0);
    assert_eq!(shown["views"][0]["rows"], 2);
    let bad = control("POST", "analytics", &json!({"deny": ["fly"]})).await;
    assert_eq!(bad.status, 400);
    assert_eq!(control("POST", "reset", &Value::Null).await.status, 200);
    let gone = control("GET", "dump/analytics/T", &Value::Null).await;
    assert_eq!(gone.status, 404);
}
