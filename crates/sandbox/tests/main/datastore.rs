//! Data Store over the wire: tables, columns, rows and queries.

use sandbox::datastore::{Environment, Written};
use serde_json::{Value, json};

use crate::support::Trial;

/// How many trips there are in development and in production.
fn trips(trial: &Trial) -> (usize, usize) {
    let count = |environment| {
        let datastore = trial.sandbox.datastore();
        datastore.row_count(environment, "Trips").unwrap()
    };
    (
        count(Environment::Development),
        count(Environment::Production),
    )
}

#[tokio::test]
async fn tables_and_columns_are_described() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let answer = trial.datastore(&token, "GET", "/table", &Value::Null).await;
    let tables = answer.json();
    assert_eq!(tables["status"], "success");
    let names: Vec<_> = tables["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| &table["table_name"])
        .collect();
    assert_eq!(names, ["Trips", "Trucks", "Depots"]);
    let id = tables["data"][0]["table_id"].as_str().unwrap().to_owned();
    let path = format!("/table/{id}/column");
    let columns = trial
        .datastore(&token, "GET", &path, &Value::Null)
        .await
        .json();
    let column = |name: &str| {
        let columns = columns["data"].as_array().unwrap();
        columns
            .iter()
            .find(|column| column["column_name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(column("ROWID")["category"], 1);
    assert_eq!(column("Truck")["data_type"], "foreign key");
    assert_eq!(column("Pin")["data_type"], "encrypted text");
    assert_eq!(column("Driver")["max_length"], "100");
    assert_eq!(column("Driver")["default_value"], "n/a");
    // Without the media type of the second version ids are numbers.
    let plain = trial
        .datastore_with(&token, "GET", "/table/Trips", &[], &Value::Null)
        .await;
    assert_eq!(plain.json()["data"]["table_id"].to_string(), id);
    let wrong = trial
        .datastore(&token, "GET", "/table/trips", &Value::Null)
        .await;
    assert_eq!(
        (wrong.status, &wrong.json()["data"]["error_code"]),
        (404, &json!("INVALID_ID"))
    );
}

#[tokio::test]
async fn headers_decide_who_and_what_is_asked() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let ask = async |token: &str, name: &str, value: &str| {
        trial
            .datastore_with(
                token,
                "GET",
                "/table/Trips/row?max_rows=1",
                &[(name, value)],
                &Value::Null,
            )
            .await
    };
    assert_eq!(ask(&token, "catalyst-org", "700012").await.status, 200);
    let answer = ask(&token, "catalyst-org", "1").await;
    assert_eq!(
        (answer.status, &answer.json()["data"]["error_code"]),
        (403, &json!("NO_ACCESS"))
    );
    assert_eq!(ask("no", "accept", "*/*").await.status, 401);
    let put = json!([{"Driver": "one"}]);
    trial
        .sandbox
        .datastore()
        .put(Environment::Development, "Trips", &put)
        .unwrap();
    let (development, production) = trips(&trial);
    assert_eq!(development, production + 1);
    let rows = ask(&token, "environment", "development").await.json();
    let production = ask(&token, "accept", "*/*").await.json();
    assert_ne!(rows["data"][0]["ROWID"], production["data"][0]["ROWID"]);
    assert_eq!(ask(&token, "environment", "Staging").await.status, 400);
}

#[tokio::test]
async fn pages_of_rows_cover_the_table_once() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let mut ids = Vec::new();
    let mut path = "/table/Trips/row?max_rows=100".to_owned();
    loop {
        let page = trial
            .datastore(&token, "GET", &path, &Value::Null)
            .await
            .json();
        ids.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["ROWID"].as_str().unwrap().to_owned()),
        );
        if page["more_records"] == false {
            break;
        }
        path = format!(
            "/table/Trips/row?max_rows=100&next_token={}",
            page["next_token"].as_str().unwrap()
        );
    }
    assert_eq!(ids.len(), 250);
    ids.dedup();
    assert_eq!(ids.len(), 250);
    assert!(ids[0].len() == 17);
    let row = trial
        .datastore(
            &token,
            "GET",
            &format!("/table/Trips/row/{}", ids[7]),
            &Value::Null,
        )
        .await
        .json();
    assert_eq!(row["data"]["Note"], "=1+1");
    let time = row["data"]["MODIFIEDTIME"].as_str().unwrap();
    assert_eq!((time.len(), time.as_bytes()[19]), (23, b':'));
    let wrong = trial
        .datastore(&token, "GET", "/table/Trips/row?max_rows=301", &Value::Null)
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn rows_are_inserted_updated_and_deleted_by_the_rules() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let send = async |method: &str, path: &str, body: Value| {
        trial.datastore(&token, method, path, &body).await
    };
    let made = send(
        "POST",
        "/table/Trucks/row",
        json!([{"Plate": "XY 1", "Model": null}]),
    )
    .await
    .json();
    let truck = made["data"][0]["ROWID"].as_str().unwrap().to_owned();
    for (status, code, body) in [
        (409, "DUPLICATE_VALUE", json!([{"Plate": "XY 1"}])),
        (400, "MISSING_VALUE", json!([{"Model": "x"}])),
        (
            400,
            "INVALID_INPUT",
            json!([{"Plate": "XY 2", "Colour": "red"}]),
        ),
        (
            400,
            "INVALID_INPUT",
            json!([{"Plate": "much too long for a plate"}]),
        ),
        (400, "INVALID_INPUT", json!("no rows")),
    ] {
        let answer = send("POST", "/table/Trucks/row", body).await;
        assert_eq!(
            (answer.status, &answer.json()["data"]["error_code"]),
            (status, &json!(code))
        );
    }
    let trip = json!([{"Driver": "Rui 🚚", "Truck": truck, "Odometer": 9_007_199_254_740_993_i64, "Done": true}]);
    let made = send("POST", "/table/Trips/row", trip).await.json();
    let trip = made["data"][0].clone();
    assert_eq!(
        (&trip["Driver"], &trip["Truck"]),
        (&json!("Rui ?"), &json!(truck))
    );
    assert_eq!(trip["Odometer"].to_string(), "9007199254740993");
    let id = trip["ROWID"].as_str().unwrap();
    trial.sandbox.zoho().advance(60);
    for method in ["PUT", "PATCH"] {
        let changed = send(
            method,
            "/table/Trips/row",
            json!([{"ROWID": id, "Km": "12"}]),
        )
        .await
        .json();
        let row = &changed["data"][0];
        assert_eq!((&row["Km"], &row["Driver"]), (&json!(12), &json!("Rui ?")));
        assert!(row["MODIFIEDTIME"].as_str() > trip["MODIFIEDTIME"].as_str());
        assert_eq!(row["CREATEDTIME"], trip["CREATEDTIME"]);
    }
    // The parent goes, and leaves a null.
    send("DELETE", &format!("/table/Trucks/row/{truck}"), Value::Null).await;
    let row = send("GET", &format!("/table/Trips/row/{id}"), Value::Null)
        .await
        .json();
    assert_eq!(row["data"]["Truck"], Value::Null);
    let answer = send("DELETE", &format!("/table/Trips/row?ids={id}"), Value::Null).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        send("GET", &format!("/table/Trips/row/{id}"), Value::Null)
            .await
            .status,
        404
    );
    send("DELETE", "/table/Trips/truncate", Value::Null).await;
    assert_eq!(
        trial
            .sandbox
            .datastore()
            .row_count(Environment::Production, "Trips"),
        Some(0)
    );
}

#[tokio::test]
async fn development_takes_five_thousand_rows_of_a_table() {
    let trial = Trial::with_options(|options| options.datastore.rows = 6_000).await;
    let token = trial.zoho_token().await;
    assert_eq!(trips(&trial), (5_000, 6_000));
    let headers = [("environment", "Development")];
    let answer = trial
        .datastore_with(
            &token,
            "POST",
            "/table/Trips/row",
            &headers,
            &json!([{"Driver": "x"}]),
        )
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn queries_select_count_and_compare() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let query = async |text: &str| {
        trial
            .datastore(&token, "POST", "/query", &json!({"query": text}))
            .await
    };
    let rows = async |text: &str| {
        let answer = query(text).await;
        assert_eq!(answer.status, 200, "{text}: {}", answer.text());
        answer.json()["data"].as_array().unwrap().clone()
    };
    assert_eq!(
        rows("SELECT COUNT(ROWID) FROM Trips").await,
        [json!({"Trips": {"COUNT(ROWID)": "250"}})]
    );
    assert_eq!(rows("SELECT * FROM Trips").await.len(), 250);
    let page = rows("SELECT ROWID, Driver FROM Trips ORDER BY ROWID DESC LIMIT 2,3").await;
    assert_eq!(page.len(), 3);
    assert_eq!(page[0]["Trips"].as_object().unwrap().len(), 2);
    let last = page[0]["Trips"]["ROWID"].as_str().unwrap();
    assert_eq!(
        rows(&format!(
            "SELECT ROWID FROM Trips WHERE ROWID > {last} ORDER BY ROWID LIMIT 300"
        ))
        .await
        .len(),
        2
    );
    for (condition, count) in [
        ("Done = TRUE AND Km < 10", 5),
        ("Km IN (1, 2, 3)", 3),
        (
            "Km BETWEEN 1 AND 3 OR Driver = 'O''Neil, Pat' AND Km = 9",
            4,
        ),
        ("Driver LIKE 'Zo*' AND Note IS NULL", 6),
        ("Note = ''", 28),
        ("Day = '2024-01-01'", 242),
        ("MODIFIEDTIME < '2024-01-01 05:30:07:500'", 2),
        ("Litres > 79.5", 2),
    ] {
        let found = rows(&format!("SELECT ROWID FROM Trips WHERE {condition}"))
            .await
            .len();
        assert_eq!(found, count, "{condition}");
    }
    let latest = rows("SELECT MAX(MODIFIEDTIME) FROM Trips").await;
    assert_eq!(
        latest[0]["Trips"]["MAX(MODIFIEDTIME)"],
        "2024-01-01 05:59:03:249"
    );
    assert_eq!(
        rows("SELECT MAX(City) FROM Depots WHERE City = 'x'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn queries_have_limits() {
    let trial = Trial::start().await;
    let token = trial.zoho_token().await;
    let many = vec!["Km"; 21].join(",");
    for text in [
        "SELECT * FROM trips".to_owned(),
        "SELECT Kilometres FROM Trips".to_owned(),
        "SELECT Km FROM Trips LIMIT 0,301".to_owned(),
        format!("SELECT {many} FROM Trips"),
        "SELECT Km FROM Trips WHERE Done = 'true'".to_owned(),
        "SELECT Km FROM Trips WHERE Driver = 3".to_owned(),
        "SELECT Km FROM Trips WHERE MODIFIEDTIME > 'today'".to_owned(),
        "SELECT Km, COUNT(ROWID) FROM Trips".to_owned(),
    ] {
        let answer = trial
            .datastore(&token, "POST", "/query", &json!({"query": text}))
            .await;
        assert_eq!(
            answer.json()["data"]["error_code"],
            "ZCQL_QUERY_ERROR",
            "{text}"
        );
    }
}

#[tokio::test]
async fn values_are_written_in_the_forms_that_are_seen() {
    let trial = Trial::with_options(|options| {
        options.datastore.booleans = Written::Text;
        options.datastore.numbers = Written::Text;
    })
    .await;
    let token = trial.zoho_token().await;
    let page = trial
        .datastore(&token, "GET", "/table/Trips/row?max_rows=1", &Value::Null)
        .await
        .json();
    assert_eq!(
        (&page["data"][0]["Done"], &page["data"][0]["Km"]),
        (&json!("true"), &json!("0"))
    );
}

#[tokio::test]
async fn control_requests_change_and_dump_rows() {
    let trial = Trial::start().await;
    let table = json!({"table_name": "Odd", "columns": [
        {"column_name": "ROWID", "data_type": "bigint"}, {"column_name": "A", "data_type": "varchar", "max_length": "3"}]});
    trial.control("POST", "/datastore/tables", &table).await;
    let rows = json!([{"ROWID": "40000000009000001", "A": "x", "MODIFIEDTIME": "2025-02-02 08:00:00:001"}]);
    let put = trial
        .control("POST", "/datastore/Production/Odd/rows", &rows)
        .await;
    assert_eq!(put.json(), json!({"ids": ["40000000009000001"]}));
    let dump = trial
        .control("GET", "/dump/datastore/production/Odd", &Value::Null)
        .await
        .json();
    assert_eq!(dump[0]["MODIFIEDTIME"], "2025-02-02 08:00:00:001");
    let changed = trial
        .control(
            "POST",
            "/datastore/Production/Trips/change",
            &json!({"rows": 50}),
        )
        .await;
    assert_eq!(changed.json(), json!({"changed": 50}));
    let deleted = trial
        .control(
            "DELETE",
            "/datastore/Production/Odd/rows",
            &json!({"ids": ["40000000009000001", 7]}),
        )
        .await;
    assert_eq!(deleted.json(), json!({"deleted": 1}));
    let summary = trial
        .control("GET", "/datastore", &Value::Null)
        .await
        .json();
    assert_eq!(summary["tables"]["Production"][3]["rows"], 0);
    trial.control("POST", "/reset", &Value::Null).await;
    assert_eq!(
        trial
            .sandbox
            .datastore()
            .tables(Environment::Production)
            .len(),
        3
    );
}
