//! Metadata, records, COQL, deletions, credits and permissions of the CRM stand-in over the wire.

use sandbox::crm::{CrmSample, Deletion};
use serde_json::{Value, json};

use crate::crm_support::{Client, code_of};

const NONE: Value = Value::Null;

#[tokio::test]
async fn the_organisation_names_the_number_that_uploads_want() {
    let client = Client::start().await;
    let answer = client.get("/crm/v8/org").await.json();
    assert_eq!(answer["org"][0]["zgid"], "704881200");
}

#[tokio::test]
async fn modules_are_listed_by_status_and_by_name() {
    let client = Client::start().await;
    let all = client.get("/crm/v8/settings/modules").await.json();
    let names = |all: &Value| -> Vec<String> {
        let modules = all["modules"].as_array().unwrap().iter();
        modules
            .map(|module| module["api_name"].as_str().unwrap().to_owned())
            .collect()
    };
    let deals = all["modules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|module| module["api_name"] == "Deals");
    assert_eq!(deals.unwrap()["module_name"], "Potentials");
    assert!(names(&all).contains(&"CTI_Entry".to_owned()));
    let hidden = client
        .get("/crm/v8/settings/modules?status=user_hidden")
        .await
        .json();
    assert_eq!(names(&hidden), ["Solutions"]);
    let one = client.get("/crm/v8/settings/modules/Events").await.json();
    assert_eq!(one["modules"][0]["plural_label"], "Meetings");
    let id = one["modules"][0]["id"].as_str().unwrap();
    let by_id = client.get(&format!("/crm/v8/settings/modules/{id}")).await;
    assert_eq!(by_id.json(), one);
    let (status, code) = client
        .refusal("/crm/v8/settings/modules/Nothing", &NONE)
        .await;
    assert_eq!((status, code.as_str()), (400, "INVALID_MODULE"));
    let (_, code) = client
        .refusal("/crm/v8/settings/modules?status=lost", &NONE)
        .await;
    assert_eq!(code, "PATTERN_NOT_MATCHED");
}

#[tokio::test]
async fn fields_have_the_oddities_of_the_service() {
    let client = Client::start().await;
    let field = async |query: &str, name: &str| -> Value {
        let answer = client
            .get(&format!("/crm/v8/settings/fields?module={query}"))
            .await
            .json();
        let fields = answer["fields"].as_array().unwrap().iter();
        fields
            .clone()
            .find(|field| field["api_name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    let source = field("Leads", "Lead_Source").await;
    assert_eq!(
        source["pick_list_values"][1]["actual_value"],
        "Advertisement"
    );
    assert_eq!(source["pick_list_values"][1]["display_value"], "Werbung");
    assert_eq!(field("Leads", "Fax_Old").await, Value::Null);
    assert_eq!(field("Leads&type=all", "Fax_Old").await["type"], "unused");
    assert!(
        field("Site_Visits", "Passed")
            .await
            .get("json_type")
            .is_none()
    );
    let lookup = field("Contacts", "Account_Name").await;
    assert_eq!(lookup["lookup"]["module"]["api_name"], "Accounts");
    assert_eq!(
        client
            .get("/crm/v8/settings/fields?module=Functions__s")
            .await
            .status,
        204
    );
    let (status, code) = client.refusal("/crm/v8/settings/fields", &NONE).await;
    assert_eq!((status, code.as_str()), (400, "REQUIRED_PARAM_MISSING"));
}

#[tokio::test]
async fn tokens_scopes_versions_and_permissions_are_looked_at() {
    let mut client = Client::start().await;
    let (status, code) = client.refusal("/crm/v99/org", &NONE).await;
    assert_eq!((status, code.as_str()), (404, "INVALID_URL_PATTERN"));
    client
        .trial
        .sandbox
        .crm()
        .deny("Leads", "metadata", "NO_PERMISSION")
        .unwrap();
    client
        .trial
        .sandbox
        .crm()
        .deny("Leads", "read", "NO_PERMISSION")
        .unwrap();
    let metadata = client
        .refusal("/crm/v8/settings/fields?module=Leads", &NONE)
        .await;
    assert_eq!(metadata, (400, "NO_PERMISSION".to_owned()));
    let read = json!({"query": {"module": {"api_name": "Leads"}}});
    let denied = client.refusal("/crm/bulk/v8/read", &read).await;
    assert_eq!(denied, (403, "NO_PERMISSION".to_owned()));
    client.trial.sandbox.crm().allow_all();
    let accounts = client.trial.sandbox.zoho();
    accounts.allow(
        "sandbox-refresh",
        &["ZohoCRM.bulk.READ", "ZohoCRM.modules.Contacts.READ"],
    );
    let scopes = client.refusal("/crm/bulk/v8/read", &read).await;
    assert_eq!(scopes, (401, "OAUTH_SCOPE_MISMATCH".to_owned()));
    let contacts = json!({"query": {"module": {"api_name": "Contacts"}}});
    assert_eq!(
        client.post("/crm/bulk/v8/read", &contacts).await.status,
        201
    );
    client.token = "1000.wrong".to_owned();
    let wrong = client.refusal("/crm/v8/org", &NONE).await;
    assert_eq!(wrong, (401, "INVALID_TOKEN".to_owned()));
}

#[tokio::test]
async fn records_come_in_pages_with_names_in_them() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let account = crm
        .put("Accounts", &json!([{"Account_Name": "ACME"}]))
        .unwrap()[0];
    let contacts: Vec<_> = (0..5)
        .map(|number| json!({"Last_Name": format!("n{number}"), "Account_Name": account.to_string()}))
        .collect();
    let ids = crm.put("Contacts", &json!(contacts)).unwrap();
    let path =
        "/crm/v8/Contacts?fields=Last_Name,Account_Name,Owner,Wrong&per_page=2&sort_order=asc";
    let first = client.get(path).await.json();
    assert_eq!(
        first["data"][0]["Account_Name"],
        json!({"name": "ACME", "id": account.to_string()})
    );
    assert_eq!(first["data"][0]["Owner"]["email"], "ana@example.com");
    assert_eq!(first["info"]["more_records"], true);
    let token = first["info"]["next_page_token"].as_str().unwrap();
    let second = client
        .get(&format!("{path}&page_token={token}"))
        .await
        .json();
    assert_eq!(second["data"][0]["id"], ids[2].to_string());
    let (_, code) = client.refusal("/crm/v8/Contacts", &NONE).await;
    assert_eq!(code, "REQUIRED_PARAM_MISSING");
    let many = vec!["Phone"; 51].join(",");
    let (_, code) = client
        .refusal(&format!("/crm/v8/Contacts?fields={many}"), &NONE)
        .await;
    assert_eq!(code, "LIMIT_EXCEEDED");
    let far = client
        .refusal("/crm/v8/Contacts?fields=Phone&page=11", &NONE)
        .await;
    assert_eq!(far.1, "DISCRETE_PAGINATION_LIMIT_EXCEEDED");
    let by_id = client
        .get(&format!("/crm/v8/Contacts?fields=Phone&ids={}", ids[3]))
        .await
        .json();
    assert_eq!(by_id["info"]["count"], 1);
    assert_eq!(
        client.get("/crm/v8/Contacts/actions/count").await.json()["count"],
        5
    );
    assert_eq!(client.get("/crm/v8/Deals?fields=Stage").await.status, 204);
}

#[tokio::test]
async fn changes_since_a_time_are_inclusive_and_304_is_none() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let time = "2026-03-01T10:00:00Z";
    crm.put("Deals", &json!([{"Deal_Name": "a", "Modified_Time": time}]))
        .unwrap();
    let since = async |time: &str| {
        let headers = [("if-modified-since", time)];
        let path = "/crm/v8/Deals?fields=Modified_Time";
        client.send_with("GET", path, &headers, &NONE).await
    };
    let answer = since(time).await.json();
    assert_eq!(
        answer["data"][0]["Modified_Time"],
        "2026-03-01T11:00:00+01:00"
    );
    assert_eq!(since("2026-03-01T10:00:01+00:00").await.status, 304);
}

#[tokio::test]
async fn coql_selects_orders_and_goes_through_lookups() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let account = crm
        .put("Accounts", &json!([{"Account_Name": "ACME", "Phone": "1"}]))
        .unwrap()[0];
    let ids = crm
        .put("Contacts", &json!([{"Last_Name": "O'Neil", "Account_Name": account.to_string(), "Modified_Time": "2026-03-01T00:00:00Z"},
            {"Last_Name": "Khan", "Modified_Time": "2026-03-01T00:00:01Z"}]))
        .unwrap();
    let ask = async |query: &str| {
        client
            .post("/crm/v8/coql", &json!({"select_query": query}))
            .await
    };
    let answer = ask("select id, Last_Name, Account_Name, Account_Name.Phone from Contacts where Modified_Time >= '2026-03-01T00:00:00+00:00' and Modified_Time < '2026-03-02T00:00:00+00:00' order by Modified_Time desc, id asc").await.json();
    assert_eq!(answer["info"], json!({"count": 2, "more_records": false}));
    assert_eq!(answer["data"][0]["id"], ids[1].to_string());
    assert_eq!(
        answer["data"][1]["Account_Name"],
        json!({"id": account.to_string()})
    );
    assert_eq!(answer["data"][1]["Account_Name.Phone"], "1");
    let one = ask("select Last_Name from Contacts where Last_Name like 'O\\'%' limit 1")
        .await
        .json();
    assert_eq!(one["data"][0]["Last_Name"], "O'Neil");
    assert_eq!(
        ask("select id from Contacts where id = 1").await.status,
        204
    );
    // Zoho's SDK sends queries without a content type.
    let body = json!({"select_query": "select id from Contacts where id > 1"});
    let bearer = format!("Zoho-oauthtoken {}", client.token);
    let headers = [("authorization", bearer.as_str())];
    let text = body.to_string();
    let sent = client
        .trial
        .send("POST", "/crm/v8/coql", &headers, text.as_bytes());
    assert_eq!(sent.await.unwrap().json()["info"]["count"], 2);
    assert_eq!(
        code_of(&ask("select id from Contacts").await),
        "INVALID_QUERY"
    );
    assert_eq!(
        code_of(&ask("select Wrong from Contacts where id > 1").await),
        "INVALID_QUERY"
    );
    assert_eq!(
        code_of(&ask("select id from Contacts where id > 1 limit 2001").await),
        "LIMIT_EXCEEDED"
    );
}

#[tokio::test]
async fn deletions_are_told_and_go_from_the_bin_for_good() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let ids = crm
        .put("Deals", &json!([{"Deal_Name": "a"}, {"Deal_Name": "b"}]))
        .unwrap();
    assert_eq!(
        client.get("/crm/v8/Deals/deleted?type=all").await.status,
        204
    );
    crm.delete("Deals", &ids[..1], Deletion::Recycle);
    crm.delete("Deals", &ids[1..], Deletion::Permanent);
    let answer = client.get("/crm/v8/Deals/deleted?type=all").await.json();
    assert_eq!(answer["info"]["count"], 2);
    assert_eq!(answer["data"][0]["type"], "permanent");
    assert_eq!(answer["data"][0]["display_name"], Value::Null);
    assert_eq!(answer["data"][1]["display_name"], "a");
    let (_, code) = client
        .refusal("/crm/v8/Deals/deleted?type=lost", &NONE)
        .await;
    assert_eq!(code, "PATTERN_NOT_MATCHED");
    let (_, code) = client.refusal("/crm/v8/DealHistory/deleted", &NONE).await;
    assert_eq!(code, "INVALID_MODULE");
    assert_eq!(crm.restore("Deals", &ids[..1]), 1);
    assert_eq!(crm.dump("Deals")[0]["Deal_Name"], "a");
    let recycled = client.get("/crm/v8/Deals/deleted?type=recycle").await;
    assert_eq!(recycled.status, 204);
}

#[tokio::test]
async fn credits_are_counted_told_and_used_up() {
    let client = Client::with(|options| options.crm.credits = 120).await;
    let read = json!({"query": {"module": {"api_name": "Leads"}}});
    let answer = client.post("/crm/bulk/v8/read", &read).await;
    assert_eq!(
        (answer.status, answer.header("x-api-credits-remaining")),
        (201, None)
    );
    let answer = client.post("/crm/bulk/v8/read", &read).await;
    assert_eq!(answer.header("x-api-credits-remaining"), Some("20"));
    let refused = client.refusal("/crm/bulk/v8/read", &read).await;
    assert_eq!(refused, (429, "TOO_MANY_REQUESTS".to_owned()));
    assert_eq!(client.trial.sandbox.crm().credits_view().used, 100);
    assert!(client.trial.sandbox.crm().use_credits(20));
    assert_eq!(client.get("/crm/v8/org").await.status, 429);
}

#[tokio::test]
async fn the_sample_and_the_controls_fill_the_modules() {
    let client = Client::with(|options| {
        options.crm.sample = CrmSample::Leads;
        options.crm.rows = 100;
    })
    .await;
    let control = async |path: &str, body: Value| {
        let method = if body.is_null() { "GET" } else { "POST" };
        client.trial.control(method, path, &body).await.json()
    };
    assert_eq!(control("/dump/crm/Leads?format=count", NONE).await, 100);
    assert_eq!(
        control("/crm/Leads/change", json!({"rows": 7})).await["changed"],
        7
    );
    assert_eq!(
        control("/crm/Leads/add", json!({"rows": 3})).await["added"],
        3
    );
    let described =
        json!({"api_name": "Ships", "fields": [{"api_name": "Name", "data_type": "text"}]});
    assert_eq!(control("/crm/modules", described).await["status"], "ok");
    let put = control("/crm/Ships/records", json!([{"Name": "Fram"}])).await;
    assert_eq!(put["ids"].as_array().unwrap().len(), 1);
    let summary = control("/crm", NONE).await;
    assert_eq!(summary["credits"]["used"], 0);
    let page = client.trial.send("GET", "/", &[], b"").await.unwrap();
    assert!(page.text().contains("crm/Leads"));
}
