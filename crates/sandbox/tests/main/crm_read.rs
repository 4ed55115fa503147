//! Bulk reads of the CRM stand-in over the wire: jobs, pages, criteria, results, and what can go wrong.

use sandbox::crm::Separator;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::crm_support::{Client, code_of, unzip};

const READ: &str = "/crm/bulk/v8/read";

fn leads(count: usize) -> Value {
    let lead = |number| json!({"Last_Name": format!("n{number}"), "Company": "c", "Score": number});
    (0..count).map(lead).collect()
}

#[tokio::test]
async fn a_job_goes_from_added_to_a_csv() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let id = crm
        .put("Leads", &json!([{"Last_Name": "O\"Neil,\nPat", "Company": "c", "Interests": ["Freight", "Customs"],
            "Annual_Revenue": "12.50", "Email_Opt_Out": true, "Birthday": "1990-02-01", "Last_Called": "2026-02-11T07:30:00Z"}]))
        .unwrap()[0];
    let fields = [
        "Last_Name",
        "Birthday",
        "Interests",
        "Annual_Revenue",
        "Email_Opt_Out",
        "Last_Called",
        "Owner.last_name",
        "$converted",
        "id",
    ];
    let (lines, job) = client
        .rows(json!({"module": {"api_name": "Leads"}, "fields": fields}))
        .await;
    assert_eq!(job["result"]["count"], 1);
    assert_eq!(job["result"]["more_records"], false);
    assert!(job["result"].get("next_page_token").is_none());
    assert_eq!(
        lines[0],
        "Id,Last_Name,Annual_Revenue,Email_Opt_Out,Interests,Birthday,Last_Called,Owner.last_name,$converted"
    );
    assert_eq!(lines[1], format!("{id},\"O\"\"Neil,"));
    assert_eq!(
        lines[2],
        "Pat\",12.50,true,Freight;Customs,1990-02-01,2026-02-11T08:30:00+01:00,Olsen,false"
    );
}

#[tokio::test]
async fn early_looks_show_a_result_that_is_not_to_be_used() {
    let client = Client::with(|options| options.crm.job_polls = 2).await;
    client.trial.sandbox.crm().put("Leads", &leads(1)).unwrap();
    let query = json!({"query": {"module": {"api_name": "Leads"}}});
    let created = client.post(READ, &query).await.json();
    let path = format!(
        "{READ}/{}",
        created["data"][0]["details"]["id"].as_str().unwrap()
    );
    let look = async || client.get(&path).await.json()["data"][0].clone();
    let first = look().await;
    assert_eq!(
        (&first["state"], &first["result"]["count"]),
        (&json!("QUEUED"), &json!(0))
    );
    assert_eq!(look().await["state"], "IN PROGRESS");
    assert_eq!(client.get(&format!("{path}/result")).await.status, 404);
    let last = look().await;
    assert_eq!(
        (&last["state"], &last["result"]["count"]),
        (&json!("COMPLETED"), &json!(1))
    );
}

#[tokio::test]
async fn pages_go_on_by_a_token_for_a_day() {
    let client = Client::with(|options| options.crm.page_rows = 4).await;
    client.trial.sandbox.crm().put("Leads", &leads(10)).unwrap();
    let mut query = json!({"module": {"api_name": "Leads"}, "fields": ["Score"]});
    let mut seen = Vec::new();
    let mut token = Value::Null;
    for page in 1..=3 {
        let (lines, job) = client.rows(query.clone()).await;
        assert_eq!(job["result"]["page"], page);
        seen.extend(
            lines
                .into_iter()
                .skip(1)
                .map(|line| line.split_once(',').unwrap().1.to_owned()),
        );
        if page < 3 {
            token = job["result"]["next_page_token"].clone();
        }
        query = json!({"page_token": token});
    }
    assert_ne!(
        seen,
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "in order by chance"
    );
    seen.sort();
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let again = json!({"query": {"page_token": token, "criteria": {}}});
    assert_eq!(
        client.refusal(READ, &again).await.1,
        "CRITERIA_NOT_SUPPORTED"
    );
    let strange = json!({"query": {"page_token": "strange"}});
    assert_eq!(client.refusal(READ, &strange).await.1, "INVALID_DATA");
    let old = json!({"query": {"page_token": token}});
    assert_eq!(client.post("/crm/bulk/v6/read", &old).await.status, 400);
    client.trial.sandbox.zoho().advance(86_400);
    let client = Client {
        token: client.trial.zoho_token().await,
        ..client
    };
    assert_eq!(
        client.refusal(READ, &old).await,
        (400, "EXPIRED_VALUE".to_owned())
    );
    let far = json!({"query": {"module": {"api_name": "Leads"}, "page": 2}});
    let answer = client.post(READ, &far).await;
    assert_eq!(answer.json()["details"]["max_limit"], 1);
    assert_eq!(client.post("/crm/bulk/v6/read", &far).await.status, 201);
}

#[tokio::test]
async fn criteria_choose_records() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    crm.put(
        "Leads",
        &json!([
        {"Last_Name": "a", "Company": "c", "Score": 5, "Modified_Time": "2026-03-01T00:00:00Z"},
        {"Last_Name": "b", "Company": "c", "Modified_Time": "2026-03-01T23:59:59Z"},
        {"Last_Name": "c", "Company": "c", "Score": 7, "Modified_Time": "2026-03-02T00:00:00Z"}]),
    )
    .unwrap();
    let names = async |criteria: Value| {
        let query =
            json!({"module": {"api_name": "Leads"}, "fields": ["Last_Name"], "criteria": criteria});
        let (lines, _) = client.rows(query).await;
        let mut names: Vec<_> = lines
            .iter()
            .skip(1)
            .map(|line| line.split_once(',').unwrap().1.to_owned())
            .collect();
        names.sort();
        names.concat()
    };
    let leaf = |field: &str, comparator: &str, value: Value| json!({"field": {"api_name": field}, "comparator": comparator, "value": value});
    let window = json!({"group_operator": "and", "group": [
        leaf("Modified_Time", "greater_equal", json!("2026-03-01T01:00:00+01:00")),
        leaf("Modified_Time", "less_than", json!("2026-03-02T00:00:00Z"))]});
    assert_eq!(names(window).await, "ab");
    assert_eq!(names(leaf("Score", "equal", json!("${EMPTY}"))).await, "b");
    assert_eq!(names(leaf("Score", "not_equal", json!(5))).await, "bc");
    assert_eq!(
        names(leaf("Last_Name", "in", json!(["a", "c"]))).await,
        "ac"
    );
    assert_eq!(names(leaf("Last_Name", "contains", json!("b"))).await, "b");
}

#[tokio::test]
async fn refusals_of_criteria_have_their_codes() {
    let client = Client::start().await;
    let code = async |criteria: Value| {
        let query = json!({"query": {"module": {"api_name": "Leads"}, "criteria": criteria}});
        client.refusal(READ, &query).await.1
    };
    let leaf = |field: &str, comparator: &str, value: Value| json!({"field": {"api_name": field}, "comparator": comparator, "value": value});
    let score = || leaf("Score", "equal", json!(1));
    let group = |count: usize| json!({"group_operator": "and", "group": vec![score(); count]});
    for (criteria, expected) in [
        (
            leaf("Wrong", "equal", json!(1)),
            "FIELD_IN_CRITERIA_NOT_AVAILABLE",
        ),
        (
            leaf("Address", "equal", json!("x")),
            "FIELD_IN_CRITERIA_NOT_SUPPORTED",
        ),
        (
            leaf("Score", "contains", json!(1)),
            "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE",
        ),
        (
            leaf("Score", "around", json!(1)),
            "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
        ),
        (
            leaf("Score", "equal", json!("x")),
            "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
        ),
        (
            leaf("Modified_Time", "equal", json!("2026-03-01T00:00:00.5Z")),
            "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
        ),
        (
            leaf("Score", "equal", json!([1])),
            "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
        ),
        (
            leaf("National_Id", "equal", json!("x")),
            "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
        ),
        (
            json!({"group_operator": "xor", "group": [score()]}),
            "GROUP_OPERATOR_NOT_SUPPORTED",
        ),
        (
            json!({"comparator": "equal", "group": [score()]}),
            "AMBIGUOUS_CRITERIA",
        ),
        (
            json!({"comparator": "equal", "group_operator": "and"}),
            "AMBIGUOUS_GROUP_IN_CRITERIA",
        ),
        (json!([]), "INVALID_CRITERIA"),
        (group(26), "CRITERIA_LIMIT_EXCEEDED"),
    ] {
        assert_eq!(code(criteria.clone()).await, expected, "{criteria}");
    }
    assert_eq!(code(group(25)).await, "");
    // A field behind a user fails only when the job runs.
    let query = json!({"module": {"api_name": "Leads"}, "criteria": leaf("Owner.last_name", "equal", json!("Olsen"))});
    let job = client.read(query).await;
    assert_eq!(job["state"], "FAILURE");
    assert_eq!(
        job["result"]["error_message"]["code"],
        "INTERNAL_SERVER_ERROR"
    );
}

#[tokio::test]
async fn fields_and_modules_that_are_listed_can_be_refused() {
    let client = Client::start().await;
    let read = async |module: &str, fields: Value| {
        let query = json!({"query": {"module": {"api_name": module}, "fields": fields}});
        let answer = client.post(READ, &query).await;
        (
            code_of(&answer),
            answer.json()["details"]["api_name"].clone(),
        )
    };
    for (field, code) in [
        ("Address", "FIELD_NOT_SUPPORTED"),
        ("Papers", "FIELD_NOT_SUPPORTED"),
        ("Record_Image", "FIELD_NOT_SUPPORTED"),
        ("nearby_distance__s", "FIELD_NOT_AVAILABLE"),
        ("Nowhere", "FIELD_NOT_AVAILABLE"),
    ] {
        assert_eq!(
            read("Leads", json!([field])).await,
            (code.to_owned(), json!(field))
        );
    }
    client
        .trial
        .sandbox
        .crm()
        .refuse_field("Leads", "Phone", "FIELD_NOT_SUPPORTED")
        .unwrap();
    assert_eq!(
        read("Leads", json!(["Phone"])).await.0,
        "FIELD_NOT_SUPPORTED"
    );
    for (module, code) in [
        ("Notes", "MODULE_NOT_SUPPORTED"),
        ("CTI_Entry", "MODULE_NOT_SUPPORTED"),
        ("Nothing", "MODULE_NOT_AVAILABLE"),
        ("Readings", ""),
        ("Leads_X_Products", ""),
    ] {
        assert_eq!(read(module, Value::Null).await.0, code, "{module}");
    }
    assert_eq!(
        read("Leads", json!(vec!["Phone"; 201])).await.0,
        "LIMIT_EXCEEDED"
    );
    let answer = client
        .trial
        .send(
            "POST",
            READ,
            &[(
                "authorization",
                &format!("Zoho-oauthtoken {}", client.token),
            )],
            b"{}",
        )
        .await;
    assert_eq!(answer.unwrap().status, 415);
    for (body, code) in [
        ("", "REQUEST_BODY_IS_EMPTY"),
        ("{", "REQUEST_BODY_NOT_READABLE"),
        ("[]", "REQUEST_BODY_NOT_SUPPORTED"),
    ] {
        let bearer = format!("Zoho-oauthtoken {}", client.token);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = client
            .trial
            .send("POST", READ, &headers, body.as_bytes())
            .await
            .unwrap();
        assert_eq!(code_of(&answer), code);
    }
}

#[tokio::test]
async fn older_versions_have_other_bodies() {
    let client = Client::start().await;
    client.trial.sandbox.crm().put("Leads", &leads(2)).unwrap();
    let query = json!({"query": {"module": "Leads", "criteria": {"api_name": "Score", "comparator": "equal", "value": 1}}});
    assert_eq!(client.post("/crm/bulk/v2/read", &query).await.status, 201);
    assert_eq!(client.post(READ, &query).await.status, 400);
}

#[tokio::test]
async fn results_are_kept_a_day_and_downloaded_ten_times_a_minute() {
    let client = Client::start().await;
    let job = client.read(json!({"module": {"api_name": "Leads"}})).await;
    let url = job["result"]["download_url"].as_str().unwrap();
    for _ in 0..10 {
        assert_eq!(client.get(url).await.status, 200);
    }
    let (status, code) = client.refusal(url, &Value::Null).await;
    assert_eq!((status, code.as_str()), (429, "TOO_MANY_REQUESTS"));
    client.trial.sandbox.zoho().advance(60);
    let (_, text) = unzip(&client.get(url).await.body);
    assert_eq!(text.lines().count(), 1);
    client.trial.sandbox.zoho().advance(86_400);
    let client = Client {
        token: client.trial.zoho_token().await,
        ..client
    };
    let (status, code) = client.refusal(url, &Value::Null).await;
    assert_eq!((status, code.as_str()), (404, "RESOURCE_NOT_FOUND"));
}

#[tokio::test]
async fn faults_spoil_jobs_and_results() {
    let client = Client::with(|options| {
        options.crm.csv_bom = true;
        options.crm.multi_separator = Separator::Comma;
    })
    .await;
    let sandbox = &client.trial.sandbox;
    let lead = json!([{"Last_Name": "a", "Company": "c", "Interests": ["Freight", "Customs"], "Tag": "fair;vip"}]);
    sandbox.crm().put("Leads", &lead).unwrap();
    let query = json!({"module": {"api_name": "Leads"}, "fields": ["Interests", "Tag"]});
    sandbox
        .set_faults(&["job-fail:times=1,path=crm/read/Leads"])
        .unwrap();
    assert_eq!(client.read(query.clone()).await["state"], "FAILURE");
    let (lines, job) = client.rows(query.clone()).await;
    assert!(
        lines[0].starts_with('\u{feff}') && lines[1].ends_with(",\"Freight,Customs\",\"fair,vip\"")
    );
    let url = job["result"]["download_url"].as_str().unwrap();
    let whole = client.get(url).await.body;
    let with = async |fault: &str| {
        client
            .send_with("GET", url, &[("x-sandbox-fault", fault)], &Value::Null)
            .await
    };
    assert_eq!(with("zip-cut").await.body.len(), whole.len() / 2);
    assert_eq!(with("link-expired").await.status, 404);
    assert_eq!(code_of(&with("error").await), "INTERNAL_ERROR");
    assert_eq!(code_of(&with("throttle").await), "TOO_MANY_REQUESTS");
    assert!(with("error:status=502").await.text().starts_with("<html>"));
    sandbox.set_faults(&["job-hang"]).unwrap();
    let created = client.post(READ, &json!({"query": query})).await.json();
    let path = format!(
        "{READ}/{}",
        created["data"][0]["details"]["id"].as_str().unwrap()
    );
    for _ in 0..5 {
        client.get(&path).await;
    }
    assert_eq!(
        client.get(&path).await.json()["data"][0]["state"],
        "IN PROGRESS"
    );
}

#[tokio::test]
async fn the_end_of_a_job_is_posted() {
    let client = Client::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let body = json!({"query": {"module": {"api_name": "Leads"}}, "callback": {"url": url, "method": "post"}});
    let created = client.post(READ, &body).await.json();
    let id = created["data"][0]["details"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for _ in 0..2 {
        client.get(&format!("{READ}/{id}")).await;
    }
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}]}") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let text = String::from_utf8(request).unwrap();
    assert!(
        text.contains(r#""state":"COMPLETED""#) && text.contains(&id),
        "{text}"
    );
    let wrong = json!({"query": {"module": {"api_name": "Leads"}}, "callback": {"url": "ftp://x", "method": "post"}});
    assert_eq!(client.refusal(READ, &wrong).await.1, "INVALID_CALLBACK_URL");
}
