//! Bulk writes of the CRM stand-in over the wire: uploads, jobs, results, and what can go wrong.

use sandbox::crm::{EqualKeys, UnknownPicks};
use serde_json::{Value, json};

use crate::crm_support::{Client, code_of, unzip, zip};

const HEADERS: [(&str, &str); 2] = [("feature", "bulk-write"), ("x-crm-org", "704881200")];

fn mapping(name: &str, index: usize) -> Value {
    json!({"api_name": name, "index": index})
}

/// Leads by their number, with a name and what else a test maps.
fn resource(find_by: &str, more: &[Value]) -> Value {
    let mut mappings = vec![
        mapping("External_Id", 0),
        mapping("Last_Name", 1),
        mapping("Company", 2),
    ];
    mappings.extend_from_slice(more);
    let mut resource = json!({"field_mappings": mappings});
    if !find_by.is_empty() {
        resource["find_by"] = json!(find_by);
    }
    resource
}

#[tokio::test]
async fn uploads_want_their_headers_and_a_zip() {
    let client = Client::start().await;
    let good = zip("a.csv", "a\n1\n");
    let answer = client.upload(&good, &HEADERS[..1]).await;
    assert_eq!(
        (answer.status, code_of(&answer)),
        (200, "MANDATORY_NOT_FOUND".to_owned())
    );
    assert!(answer.header("x-error").unwrap().contains("X-CRM-ORG"));
    let other = [("feature", "else"), HEADERS[1]];
    assert_eq!(
        code_of(&client.upload(&good, &other).await),
        "NOT_SUPPORTED_FEATURE"
    );
    let answer = client.upload(b"a\n1\n", &HEADERS).await;
    assert_eq!(
        (answer.status, code_of(&answer)),
        (200, "INVALID_FILE_FORMAT".to_owned())
    );
    let client = Client {
        token: "1000.wrong".to_owned(),
        ..client
    };
    let answer = client.upload(&good, &HEADERS).await;
    assert_eq!(
        (answer.status, answer.json()["ERROR_CODE"].clone()),
        (401, json!(401))
    );
}

#[tokio::test]
async fn a_byte_and_a_row_too_many_are_refused() {
    let csv = "External_Id,Last_Name,Company\n1,a,b\n2,a,b\n";
    let good = zip("a.csv", csv);
    let length = good.len();
    let client = Client::with(|options| {
        options.crm.upload_bytes = length;
        options.crm.write_rows = 2;
    })
    .await;
    assert_eq!(client.upload(&good, &HEADERS).await.status, 200);
    let larger = zip("a.csv", &format!("{csv}\n"));
    let answer = client.upload(&larger, &HEADERS).await;
    assert_eq!(
        (answer.status, code_of(&answer)),
        (413, "FILE_TOO_LARGE".to_owned())
    );
    let insert = json!({"operation": "insert"});
    let job = client
        .write(insert.clone(), "Leads", resource("", &[]), csv)
        .await;
    assert_eq!(job["status"], "COMPLETED");
    let three = "E,L,C\n3,a,b\n4,a,b\n5,a,b";
    let job = client
        .write(insert, "Leads", resource("", &[]), three)
        .await;
    assert_eq!(
        (&job["status"], &job["resource"][0]["code"]),
        (&json!("FAILED"), &json!("LIMIT_EXCEEDED"))
    );
    assert!(job.get("result").is_none());
    assert_eq!(client.trial.sandbox.crm().record_count("Leads"), Some(2));
}

#[tokio::test]
async fn rows_are_added_changed_and_skipped_and_the_result_says_which() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let old = crm
        .put(
            "Leads",
            &json!([{"External_Id": "1", "Last_Name": "old", "Company": "c", "Phone": "1"}]),
        )
        .unwrap()[0];
    let upsert = json!({"operation": "upsert", "ignore_empty": true});
    let csv = "key,name,firm,mail\n1,new,c,\n2,\"x,\ny\",c,a@example.org\n3,,c,a@example.org\n4,z,c,wrong\n,z,c,\n";
    let job = client
        .write(
            upsert,
            "Leads",
            resource("External_Id", &[mapping("Email", 3)]),
            csv,
        )
        .await;
    assert_eq!(
        (&job["status"], &job["resource"][0]["code"]),
        (&json!("COMPLETED"), &json!("SUCCESS"))
    );
    let file = &job["resource"][0]["file"];
    let counts = [
        "added_count",
        "updated_count",
        "skipped_count",
        "total_count",
    ]
    .map(|key| file[key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 3, 5]);
    let url = job["result"]["download_url"].as_str().unwrap();
    assert!(url.starts_with("/v8/crm/org704881200/bulk-write/"), "{url}");
    let (name, text) = unzip(&client.get(url).await.body);
    assert_eq!(name, "Leads-a.csv");
    let leads = crm.dump("Leads");
    let new = leads[1]["id"].as_str().unwrap();
    assert_eq!(
        text,
        format!(
            "External_Id,Last_Name,Company,STATUS,RECORD_ID,ERRORS\n1,new,c,UPDATED,{old},\n2,\"x,\ny\",c,ADDED,{new},\n3,,c,SKIPPED,,MANDATORY_NOT_FOUND-Last_Name\n4,z,c,SKIPPED,,INVALID_DATA-Email\n,z,c,SKIPPED,,MANDATORY_NOT_FOUND-External_Id\n"
        )
    );
    assert_eq!(
        (&leads[0]["Last_Name"], &leads[0]["Phone"]),
        (&json!("new"), &json!("1"))
    );
    assert_eq!(leads[1]["Last_Name"], "x,\ny");
    let status = client.trial.sandbox.status();
    assert_eq!(status.activity.tables["crm/Leads"].errors, 3);
}

#[tokio::test]
async fn an_empty_cell_clears_unless_it_is_ignored() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let id = crm.put("Leads", &json!([{"External_Id": "1", "Last_Name": "a", "Company": "c", "Phone": "1", "City": "x"}])).unwrap()[0];
    let mappings = json!([{"api_name": "id", "index": 0}, {"api_name": "Phone", "index": 1},
        {"api_name": "City", "index": 2, "default_value": {"value": "Oslo"}}, {"api_name": "Last_Name", "index": 3}]);
    let resource = json!({"find_by": "id", "field_mappings": mappings});
    let csv = format!("id,p,c,n\n{id},,,b");
    client
        .write(
            json!({"operation": "update"}),
            "Leads",
            resource.clone(),
            &csv,
        )
        .await;
    let lead = crm.dump("Leads")[0].clone();
    assert_eq!(
        (&lead["Phone"], &lead["City"], &lead["Last_Name"]),
        (&Value::Null, &json!("Oslo"), &json!("b"))
    );
    let csv = format!("id,p,c,n\n{id},1,x,\n77,1,x,y\nx,1,x,y");
    let job = client
        .write(json!({"operation": "update"}), "Leads", resource, &csv)
        .await;
    let result = client.result(&job).await;
    assert_eq!(
        result[1],
        format!("{id},1,x,SKIPPED,,MANDATORY_NOT_FOUND-Last_Name")
    );
    assert_eq!(result[2], "77,1,x,SKIPPED,,RESOURCE_NOT_FOUND-id");
    assert_eq!(result[3], "x,1,x,SKIPPED,,INVALID_DATA-id");
}

#[tokio::test]
async fn values_are_taken_in_the_forms_of_their_fields() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    crm.put("Accounts", &json!([{"Account_Name": "ACME"}]))
        .unwrap();
    let account = crm.dump("Accounts")[0]["id"].clone();
    let mappings = json!([{"api_name": "Email", "index": 0}, {"api_name": "Last_Name", "index": 1},
        {"api_name": "Account_Name", "index": 2, "find_by": "Account_Name"},
        {"api_name": "Date_of_Birth", "index": 3, "format": "dd.MM.yyyy"},
        {"api_name": "Owner", "index": 4, "find_by": "email"}, {"api_name": "Lead_Source", "index": 5}]);
    let resource = json!({"find_by": "Email", "field_mappings": mappings});
    let csv = "e,n,a,d,o,s\na@example.org,a,acme,31.12.1990,ivo@example.com,Import\nb@example.org,b,None,,,\nc@example.org,c,,12/31/1990,,Fair";
    let job = client
        .write(json!({"operation": "insert"}), "Contacts", resource, csv)
        .await;
    let result = client.result(&job).await;
    assert!(result[1].contains(",ADDED,"), "{result:?}");
    assert!(result[2].ends_with(",SKIPPED,,INVALID_DATA-Account_Name"));
    assert!(result[3].ends_with(",SKIPPED,,\"INVALID_DATA-Date_of_Birth,Lead_Source\""));
    let contact = &crm.dump("Contacts")[0];
    assert_eq!(contact["Account_Name"]["id"], account);
    assert_eq!(contact["Date_of_Birth"], "1990-12-31");
    assert_ne!(contact["Owner"], contact["Created_By"]);
}

#[tokio::test]
async fn without_mappings_the_header_names_the_fields() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    crm.put("Accounts", &json!([{"Account_Name": "ACME"}]))
        .unwrap();
    let csv = "Last_Name;Account_Name.Account_Name;Date_of_Birth\na;ACME;1990-12-31";
    let job = client
        .write(json!({"operation": "insert"}), "Contacts", json!({}), csv)
        .await;
    assert_eq!(job["resource"][0]["file"]["added_count"], 1, "{job}");
    assert_eq!(crm.dump("Contacts")[0]["Date_of_Birth"], "1990-12-31");
}

#[tokio::test]
async fn keys_and_duplicates_in_a_file_follow_the_settings() {
    let csv = "k,n,c\n1,a,x\n1,b,x";
    let upsert = json!({"operation": "upsert"});
    let names = async |keys: EqualKeys| {
        let client = Client::with(|options| options.crm.equal_keys = keys).await;
        let job = client
            .write(upsert.clone(), "Leads", resource("External_Id", &[]), csv)
            .await;
        let result = client.result(&job).await;
        let statuses: Vec<_> = result
            .iter()
            .skip(1)
            .map(|line| line.split(',').nth(3).unwrap().to_owned())
            .collect();
        (
            client.trial.sandbox.crm().dump("Leads")[0]["Last_Name"].clone(),
            statuses.join(" "),
        )
    };
    assert_eq!(
        names(EqualKeys::InOrder).await,
        (json!("b"), "ADDED UPDATED".to_owned())
    );
    assert_eq!(
        names(EqualKeys::Reversed).await,
        (json!("a"), "UPDATED ADDED".to_owned())
    );
    assert_eq!(
        names(EqualKeys::Refuse).await,
        (json!("a"), "ADDED SKIPPED".to_owned())
    );
    let client = Client::start().await;
    let insert = json!({"operation": "insert"});
    let job = client.write(insert, "Leads", resource("", &[]), csv).await;
    let result = client.result(&job).await;
    assert_eq!(result[2], "1,b,x,SKIPPED,,DUPLICATE_DATA-External_Id");
}

#[tokio::test]
async fn unknown_values_of_a_list_are_refused_or_added() {
    let csv = "k,n,c,s\n1,a,x,Fair";
    let counts = async |picks: UnknownPicks, field: &str| {
        let client = Client::with(|options| options.crm.unknown_picks = picks).await;
        let more = [mapping(field, 3)];
        let job = client
            .write(
                json!({"operation": "insert"}),
                "Leads",
                resource("", &more),
                csv,
            )
            .await;
        job["resource"][0]["file"]["added_count"].clone()
    };
    assert_eq!(counts(UnknownPicks::Refuse, "Lead_Source").await, 0);
    assert_eq!(counts(UnknownPicks::Add, "Lead_Source").await, 1);
    assert_eq!(counts(UnknownPicks::Refuse, "Industry").await, 1);
}

#[tokio::test]
async fn a_job_without_a_mandatory_field_fails_late() {
    let client = Client::start().await;
    let resource = json!({"field_mappings": [mapping("External_Id", 0), mapping("Last_Name", 1)]});
    let job = client
        .write(
            json!({"operation": "insert"}),
            "Leads",
            resource,
            "k,n\n1,a",
        )
        .await;
    assert_eq!(job["status"], "FAILED");
    assert_eq!(job["resource"][0]["code"], "MANDATORY_FIELDS_NOT_MAPPED");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_by_code() {
    let client = Client::start().await;
    let code = async |job: Value, module: &str, resource: Value| {
        code_of(
            &client
                .ask_to_write(job, module, resource, "k,n,c\n1,a,x")
                .await,
        )
    };
    let insert = || json!({"operation": "insert"});
    let mapped = |mapping: Value| json!({"field_mappings": [mapping]});
    let upsert = json!({"operation": "upsert"});
    assert_eq!(
        code(json!({"operation": "merge"}), "Leads", json!({})).await,
        "INVALID_BULK_OPERATION"
    );
    assert_eq!(
        code(upsert.clone(), "Leads", resource("", &[])).await,
        "MISSING_REQUIRED_KEY"
    );
    assert_eq!(
        code(upsert, "Leads", resource("City", &[])).await,
        "INVALID_FIELD"
    );
    assert_eq!(
        code(insert(), "Notes", json!({})).await,
        "MODULE_NOT_SUPPORTED"
    );
    assert_eq!(
        code(insert(), "Events", json!({})).await,
        "MODULE_NOT_SUPPORTED"
    );
    assert_eq!(
        code(insert(), "Nothing", json!({})).await,
        "MODULE_NOT_AVAILABLE"
    );
    assert_eq!(
        code(insert(), "Leads", mapped(mapping("Last_Name", 3))).await,
        "COLUMN_INDEX_NOT_FOUND"
    );
    assert_eq!(
        code(insert(), "Leads", mapped(mapping("Nothing", 0))).await,
        "INVALID_FIELD_NAME"
    );
    assert_eq!(
        code(insert(), "Leads", mapped(mapping("Member_No", 0))).await,
        "INVALID_FIELD"
    );
    assert_eq!(
        code(insert(), "Leads", mapped(mapping("Referred_By", 0))).await,
        "MISSING_REQUIRED_KEY"
    );
    let format = json!({"api_name": "Birthday", "index": 0, "format": "yyyy-QQ"});
    assert_eq!(
        code(insert(), "Leads", mapped(format)).await,
        "INVALID_FORMAT"
    );
    assert_eq!(
        code(
            insert(),
            "Leads",
            json!({"field_mappings": vec![mapping("City", 0); 201]})
        )
        .await,
        "HEADER_LIMIT_EXCEEDED"
    );
    let unknown = json!({"operation": "insert", "resource": [{"type": "data", "module": {"api_name": "Leads"}, "file_id": "1"}]});
    assert_eq!(
        client.refusal("/crm/bulk/v8/write", &unknown).await.1,
        "INVALID_FILE_ID"
    );
    let missing = client.post("/crm/bulk/v8/write", &insert()).await.json();
    assert_eq!(missing["details"]["json_path"], "$.resource");
}

#[tokio::test]
async fn parents_and_children_come_in_one_job() {
    let client = Client::start().await;
    let parents = client.file("Name,code\nVisit 1,v1\nVisit 2,v2").await;
    let children = client.file("code,Meter,Reading\nv2,m1,1.5\nv9,m2,2").await;
    let job = json!({"operation": "insert", "resource": [
        {"type": "data", "module": {"api_name": "Site_Visits"}, "file_id": parents, "file_names": ["a.csv"],
            "field_mappings": [mapping("Name", 0)]},
        {"type": "data", "module": {"api_name": "Readings"}, "file_id": children, "file_names": ["a.csv"],
            "field_mappings": [{"api_name": "Parent_Id", "index": 0, "parent_column_index": 1}, mapping("Meter", 1), mapping("Reading", 2)]}]});
    let created = client.post("/crm/bulk/v8/write", &job).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let ended = client
        .written(created.json()["details"]["id"].as_str().unwrap())
        .await;
    assert_eq!(ended["resource"][1]["file"]["added_count"], 1, "{ended}");
    let crm = client.trial.sandbox.crm();
    assert_eq!(
        crm.dump("Readings")[0]["Parent_Id"]["id"],
        crm.dump("Site_Visits")[1]["id"]
    );
}

#[tokio::test]
async fn faults_leave_rows_out_and_answers_unsent() {
    let client = Client::start().await;
    let sandbox = &client.trial.sandbox;
    let csv = "k,n,c\n1,a,x\n2,b,x\n3,c,x\n4,d,x";
    let insert = || json!({"operation": "insert"});
    sandbox
        .set_faults(&["partial:every-record=3,path=/bulk/v8/write"])
        .unwrap();
    let job = client
        .write(insert(), "Leads", resource("", &[]), csv)
        .await;
    assert_eq!(
        client.result(&job).await[3],
        "3,c,x,SKIPPED,,CANNOT_PROCESS-External_Id"
    );
    sandbox
        .set_faults(&["timeout:records=3,applied=2,path=/bulk/v8/write"])
        .unwrap();
    let upsert = json!({"operation": "upsert"});
    let job = client
        .write(upsert, "Leads", resource("External_Id", &[]), csv)
        .await;
    assert!(client.result(&job).await[3].contains(",UNPROCESSED,"));
    sandbox.set_faults(&["job-fail"]).unwrap();
    let job = client
        .write(insert(), "Leads", resource("", &[]), "k,n,c\n9,a,x")
        .await;
    assert_eq!(job["status"], "FAILED");
    assert_eq!(sandbox.crm().record_count("Leads"), Some(3));
    // The job is made, its answer is lost, and it is carried out all the same.
    let file = client.file("k,n,c\n9,a,x").await;
    sandbox
        .set_faults(&["reset:when=after,method=POST,path=/bulk/v8/write"])
        .unwrap();
    let bearer = format!("Zoho-oauthtoken {}", client.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let mut body = json!({"operation": "insert", "resource": [resource("", &[])]});
    body["resource"][0]["type"] = json!("data");
    body["resource"][0]["module"] = json!({"api_name": "Leads"});
    body["resource"][0]["file_id"] = json!(file);
    let text = body.to_string();
    let lost = client
        .trial
        .send("POST", "/crm/bulk/v8/write", &headers, text.as_bytes());
    assert!(lost.await.is_err());
    let jobs = sandbox.crm().jobs_view();
    let ended = client.written(&jobs[0].id.to_string()).await;
    assert_eq!(ended["status"], "COMPLETED");
    assert_eq!(sandbox.crm().record_count("Leads"), Some(4));
}

#[tokio::test]
async fn blocked_records_are_left_alone() {
    let client = Client::start().await;
    let crm = client.trial.sandbox.crm();
    let id = crm
        .put(
            "Leads",
            &json!([{"External_Id": "1", "Last_Name": "a", "Company": "c"}]),
        )
        .unwrap()[0];
    crm.block(&[id], "BLOCKED_RECORD");
    let job = client
        .write(
            json!({"operation": "update"}),
            "Leads",
            resource("External_Id", &[]),
            "k,n,c\n1,b,x",
        )
        .await;
    assert_eq!(
        client.result(&job).await[1],
        "1,b,x,SKIPPED,,BLOCKED_RECORD-External_Id"
    );
    client.trial.sandbox.zoho().advance(7 * 86_400);
    let client = Client {
        token: client.trial.zoho_token().await,
        ..client
    };
    let url = job["result"]["download_url"].as_str().unwrap();
    assert_eq!(client.get(url).await.status, 404);
}
