//! Columns that are new, and changes that are laid over a table.

use super::*;

#[tokio::test]
async fn a_new_column_is_an_extra_field_until_the_connection_knows_it() {
    let (trial, mut client) = with(|options| options.schema_lag_seconds = 60).await;
    let mut wider = people();
    wider.fields.push(field("age", 3, OPTIONAL, INT64));
    let extra = client
        .append(vec![request(
            DEFAULT,
            Some(wider),
            None,
            vec![person(1, "a")],
        )])
        .await;
    assert_eq!(extra[0].as_ref().unwrap().result(), Err((3, 7)));
    // The last request is sent when the first was answered, behind a change of the table.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender
        .send(request(DEFAULT, Some(people()), None, vec![person(1, "a")]))
        .await
        .unwrap();
    let mut answers = client.open(receiver).await;
    assert_eq!(answers.message().await.unwrap().unwrap().schema, None);
    let body = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "name", "type": "STRING"}, {"name": "age", "type": "INTEGER"}]}});
    let patched = trial.bigquery("PATCH", "/datasets/d/tables/t", &body).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let next = || request("", None, None, vec![person(2, "b")]);
    sender.send(next()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().schema, None);
    trial.sandbox.bigquery().advance(60);
    sender.send(next()).await.unwrap();
    let schema = answers.message().await.unwrap().unwrap().schema.unwrap();
    assert_eq!(
        (schema.fields[2].name.as_str(), schema.fields[2].kind),
        ("age", 2)
    );
    sender.send(next()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().schema, None);
}

#[tokio::test]
async fn another_connection_knows_a_new_column_no_sooner() {
    let (trial, mut client) = with(|options| options.schema_lag_seconds = 60).await;
    let mut wider = people();
    wider.fields.push(field("age", 3, OPTIONAL, STRING));
    let narrow = || vec![request(DEFAULT, Some(people()), None, vec![person(1, "a")])];
    client.append(narrow()).await;
    let alter = json!({"query": "ALTER TABLE d.t ADD COLUMN age STRING", "useLegacySql": false});
    assert_eq!(trial.bigquery("POST", "/queries", &alter).await.status, 200);
    let wide = || {
        let row = change(2, "b", "young", "");
        vec![request(DEFAULT, Some(wider.clone()), None, vec![row])]
    };
    let early = client.append(wide()).await;
    assert_eq!(early[0].as_ref().unwrap().result(), Err((3, 7)));
    trial.sandbox.bigquery().advance(60);
    let late = client.append(wide()).await;
    assert_eq!(late[0].as_ref().unwrap().result(), Ok(None));
    assert_eq!(
        rows(&trial)[1],
        json!({"id": 2, "name": "b", "age": "young"})
    );
    let drop = json!({"query": "ALTER TABLE d.t DROP COLUMN name", "useLegacySql": false});
    assert_eq!(trial.bigquery("POST", "/queries", &drop).await.status, 200);
    // For a while the values of a dropped column are taken and dropped.
    let dropped = client.append(wide()).await;
    assert_eq!(dropped[0].as_ref().unwrap().result(), Ok(None));
    assert_eq!(rows(&trial)[2], json!({"id": 2, "age": "young"}));
    trial.sandbox.bigquery().advance(60);
    let refused = client.append(wide()).await;
    assert_eq!(refused[0].as_ref().unwrap().result(), Err((3, 7)));
}

#[tokio::test]
async fn changes_are_laid_over_the_table_by_key_and_number() {
    let (trial, mut client) = with(|_| {}).await;
    let first = vec![
        change(1, "a", "UPSERT", "1"),
        change(2, "b", "UPSERT", "1"),
        change(1, "a2", "UPSERT", "A"),
        change(1, "old", "UPSERT", "9"),
        change(2, "", "DELETE", "2/1"),
    ];
    let late = vec![
        change(2, "late", "UPSERT", "2/0"),
        change(3, "c", "UPSERT", ""),
    ];
    let answers = client
        .append(vec![
            request(DEFAULT, Some(changes()), None, first),
            request("", None, None, late),
        ])
        .await;
    assert_eq!(answers[1].as_ref().unwrap().result(), Ok(None));
    assert_eq!(names(&trial), ["a2", "c"]);
    let bad = vec![
        change(1, "x", "INSERT", "1"),
        change(1, "x", "UPSERT", "xyz"),
        person(1, "y"),
    ];
    let answers = client
        .append(vec![request(DEFAULT, Some(changes()), None, bad)])
        .await;
    assert_eq!(answers[0].as_ref().unwrap().row_errors.len(), 3);
    let mixed = client
        .append(vec![
            request(
                DEFAULT,
                Some(changes()),
                None,
                vec![change(9, "z", "UPSERT", "1")],
            ),
            request("", Some(people()), None, vec![person(10, "q")]),
        ])
        .await;
    assert_eq!(mixed[1].as_ref().unwrap().result(), Err((3, 0)));
    trial
        .sandbox
        .bigquery()
        .create_table(
            "p",
            "d.u",
            &json!({"schema": {"fields": [
        {"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]}}),
        )
        .unwrap();
    let delete = json!({"query": "DELETE FROM d.t WHERE TRUE", "useLegacySql": false});
    let refused = trial.bigquery("POST", "/queries", &delete).await;
    assert!(refused.status == 400 && refused.text().contains("change data capture"));
    trial.sandbox.bigquery().advance(1801);
    let allowed = trial.bigquery("POST", "/queries", &delete).await;
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    let other = "projects/p/datasets/d/tables/u/_default";
    let keyless = client
        .append(vec![request(other, Some(changes()), None, Vec::new())])
        .await;
    assert_eq!(keyless[0].as_ref().unwrap().result(), Err((3, 0)));
}
