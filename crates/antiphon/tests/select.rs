//! `antiphon select`: what it changes in a catalog, what it says, and when it leaves the file alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;

/// Three streams: a table, a view without a key, and one that the tap reads whole alone.
fn catalog() -> Value {
    let field =
        |name: &str, words: Value| json!({"breadcrumb": ["properties", name], "metadata": words});
    json!({"streams": [
        {
            "tap_stream_id": "dev.public.account", "stream": "account", "table_name": "account",
            "schema": {"type": "object", "properties": {
                "id": {"type": "integer", "maximum": 1},
                "updated_at": {"type": "string", "format": "date-time"},
                "secret": {"type": "string"}, "tags": {"type": "string"}, "geo": {},
            }},
            "metadata": [
                {"breadcrumb": [], "metadata": {"selected-by-default": false, "schema-name": "public",
                    "table-key-properties": ["id"], "valid-replication-keys": ["updated_at"], "row-count": 1200}},
                field("id", json!({"inclusion": "automatic"})),
                field("updated_at", json!({"inclusion": "available"})),
                field("secret", json!({"inclusion": "available", "selected-by-default": true})),
                field("geo", json!({"inclusion": "unsupported"})),
            ],
            "x-unknown": {"keep": [1, "é"]},
        },
        {
            "tap_stream_id": "dev.public.active", "stream": "active", "table_name": "active",
            "schema": {"type": "object", "properties": {"id": {"type": "integer"}, "at": {"type": "string"}}},
            "metadata": [{"breadcrumb": [], "metadata": {"is-view": true, "schema-name": "public"}}],
        },
        {
            "tap_stream_id": "dev.other.account", "stream": "account", "table_name": "account",
            "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "metadata": [{"breadcrumb": [], "metadata": {"selected": true, "schema-name": "other",
                "forced-replication-method": {"replication-method": "FULL_TABLE", "reason": "no key"}}}],
        },
    ]})
}

fn select(folder: &Folder, args: &[&str]) -> Finished {
    Run::of("antiphon")
        .args(["select", "catalog.json"])
        .args(args)
        .folder(folder.path())
        .finish()
}

fn prepared() -> Folder {
    let folder = Folder::new();
    folder.write_json("catalog.json", &catalog());
    folder
}

fn streams(folder: &Folder) -> Value {
    let catalog: Value =
        serde_json::from_str(&folder.read("catalog.json")).expect("a catalog is JSON");
    catalog["streams"].clone()
}

#[test]
fn a_stream_is_selected_with_its_key_and_without_its_secrets() {
    let folder = prepared();
    let ended = select(
        &folder,
        &[
            "public.account",
            "--replication-key",
            "updated_at",
            "--exclude",
            "*.secret",
            "--exclude",
            "tags",
        ],
    );
    ended.expect_code(0);
    assert_eq!(
        ended.text(),
        "public.account: selected, INCREMENTAL by updated_at; 2 columns excluded: secret, tags\n\
         2 of 3 streams are selected\n"
    );
    let mut wanted = catalog();
    let words = &mut wanted["streams"][0]["metadata"];
    words[0]["metadata"]["selected"] = json!(true);
    words[0]["metadata"]["replication-method"] = json!("INCREMENTAL");
    words[0]["metadata"]["replication-key"] = json!("updated_at");
    words[3]["metadata"]["selected"] = json!(false);
    words
        .as_array_mut()
        .unwrap()
        .push(json!({"breadcrumb": ["properties", "tags"], "metadata": {"selected": false}}));
    assert_eq!(
        folder.read("catalog.json"),
        serde_json::to_string_pretty(&wanted).unwrap(),
        "pretty as it was, in the same order"
    );
    // The same again changes nothing and does not even touch the file.
    let path = folder.file("catalog.json");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let again = select(
        &folder,
        &[
            "public.account",
            "--method",
            "incremental",
            "--exclude",
            "*.secret",
        ],
    );
    again.expect_code(0);
    assert_eq!(
        again.text(),
        "nothing to change: the catalog says so already\n2 of 3 streams are selected\n"
    );
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn streams_are_known_by_all_their_names_and_the_rest_can_be_deselected() {
    for (glob, expected) in [
        ("dev.public.account", [true, false, true]),
        ("public.*", [true, true, true]),
        ("account", [true, false, true]),
        ("dev.*.a?????t", [true, false, true]),
    ] {
        let folder = prepared();
        select(&folder, &[glob]).expect_code(0);
        let now = streams(&folder);
        for (index, wanted) in expected.into_iter().enumerate() {
            let selected = now[index]["metadata"][0]["metadata"]["selected"] == true;
            assert_eq!(selected, wanted, "{glob} {index}");
        }
    }
    let folder = prepared();
    let ended = select(&folder, &["public.*", "--only", "--deselect", "active"]);
    ended.expect_code(0);
    assert_eq!(
        ended.text(),
        "public.account: selected\nother.account: deselected\n1 of 3 streams is selected\n"
    );
}

#[test]
fn what_cannot_be_is_an_error_that_says_what_can_and_leaves_the_file_alone() {
    for (args, message, hint) in [
        (
            &["public.acount"][..],
            "no stream matches `public.acount`",
            "nearest name is `public.account`",
        ),
        (
            &["zzz"],
            "no stream matches `zzz`",
            "the catalog has `public.account`, `public.active`, `other.account`",
        ),
        (
            &["public.account", "--replication-key", "tags"],
            "`tags` cannot be the replication key of the stream `dev.public.account`: the tap does not offer it",
            "it can be `updated_at`",
        ),
        (
            &["active", "--replication-key", "updated"],
            "`updated` cannot be the replication key of the stream `dev.public.active`: it has no such column",
            "it can be `id`, `at`",
        ),
        (
            &["active", "--method", "incremental"],
            "the stream `dev.public.active` is to be incremental and has no replication key",
            "it can be `id`, `at`",
        ),
        (
            &["public.account", "--exclude", "*.secrt"],
            "no column matches `*.secrt`",
            "nearest name is `secret`",
        ),
        (
            &["public.account", "--keys", "tags"],
            "the stream `dev.public.account` has a key of its own: `id`",
            "for views",
        ),
        (
            &["active", "--keys", "idd"],
            "the stream `dev.public.active` has no column `idd`",
            "nearest name is `id`",
        ),
        (
            &["*", "--method", "full", "--replication-key", "id"],
            "a full table has no replication key",
            "",
        ),
        (
            &["--method", "full"],
            "no stream is named for the method or the key",
            "",
        ),
        (&[], "nothing is asked for", "--list"),
        (
            &["--interactive"],
            "`--interactive` needs a terminal",
            "--list",
        ),
    ] {
        let folder = prepared();
        let before = folder.read("catalog.json");
        let ended = select(&folder, args);
        ended.expect_code(2).expect_log(message).expect_log(hint);
        assert_eq!(folder.read("catalog.json"), before, "{args:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{args:?}");
    }
}

#[test]
fn keys_and_what_the_tap_prescribes_stay_with_a_warning() {
    let folder = prepared();
    let ended = select(
        &folder,
        &[
            "account",
            "--replication-key",
            "updated_at",
            "--exclude",
            "public.account.*",
        ],
    );
    // `other.account` has no such column, but the tap prescribes its method: no error.
    ended
        .expect_code(0)
        .expect_log("`dev.other.account` stays FULL_TABLE: the tap prescribes it (no key)")
        .expect_log("`id` of `dev.public.account` stays: it is part of the key")
        .expect_log("`updated_at` of `dev.public.account` stays: it is the replication key");
    assert!(
        ended.text().starts_with(
            "public.account: selected, INCREMENTAL by updated_at; 2 columns excluded: secret, tags\n"
        ),
        "{}",
        ended.text()
    );
    let ended = select(
        &folder,
        &["public.account", "--include", "tags", "--method", "full"],
    );
    ended.expect_code(0);
    assert_eq!(
        ended.text(),
        "public.account: FULL_TABLE (was INCREMENTAL by updated_at); 1 column taken in: tags\n\
         2 of 3 streams are selected\n"
    );
    let ended = select(
        &folder,
        &["active", "--keys", "id,at", "--method", "log-based"],
    );
    assert_eq!(
        ended.text(),
        "public.active: selected, LOG_BASED; key: id, at\n3 of 3 streams are selected\n"
    );
}

#[test]
fn older_words_are_kept_in_step() {
    let folder = Folder::new();
    folder.write(
        "catalog.json",
        r#"{"streams":[{"stream":"a","replication_key":null,"schema":{"selected":false,"properties":{"x":{"selected":"true"},"y":{}}}}]}"#,
    );
    select(&folder, &["a", "--replication-key", "y", "--exclude", "x"]).expect_code(0);
    assert_eq!(
        folder.read("catalog.json"),
        r#"{"streams":[{"stream":"a","replication_key":"y","schema":{"selected":true,"properties":{"x":{"selected":false},"y":{}}},"metadata":[{"breadcrumb":[],"metadata":{"selected":true,"replication-method":"INCREMENTAL","replication-key":"y"}},{"breadcrumb":["properties","x"],"metadata":{"selected":false}}],"replication_method":"INCREMENTAL"}]}"#
    );
}

#[test]
fn numbers_links_and_permissions_survive() {
    let folder = Folder::new();
    let text = "{\"streams\":[{\"stream\":\"a\",\"schema\":{\"properties\":{\"x\":{\"multipleOf\":1e-38,\"maximum\":99999999999999999999.50}}}}]}\n";
    let real = folder.write("real.json", text);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, folder.file("catalog.json")).unwrap();
    select(&folder, &["--deselect", "a"]).expect_code(0);
    assert_eq!(
        fs::read_to_string(&real).unwrap(),
        text.replace(
            "}}}}]}",
            "}}},\"metadata\":[{\"breadcrumb\":[],\"metadata\":{\"selected\":false}}]}]}"
        )
    );
    assert!(folder.file("catalog.json").is_symlink());
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

#[test]
fn a_catalog_goes_from_stdin_to_stdout_or_to_another_file() {
    let folder = prepared();
    let before = folder.read("catalog.json");
    let args = |catalog: &str, more: &[&str]| {
        Run::of("antiphon")
            .args(["select", catalog, "active"])
            .args(more)
            .folder(folder.path())
            .stdin(before.clone())
            .finish()
    };
    let printed = args("-", &["--print"]);
    printed.expect_code(0).expect_log("public.active: selected");
    let printed: Value = serde_json::from_str(&printed.text()).unwrap();
    assert_eq!(
        printed["streams"][1]["metadata"][0]["metadata"]["selected"],
        true
    );
    args("-", &[])
        .expect_code(2)
        .expect_log("a catalog from stdin cannot be edited in its place");
    args("catalog.json", &["--output", "new.json"]).expect_code(0);
    assert_eq!(folder.read("catalog.json"), before);
    assert_eq!(
        serde_json::from_str::<Value>(&folder.read("new.json")).unwrap(),
        printed
    );
    args("catalog.json", &["--output", "no/new.json"])
        .expect_code(2)
        .expect_log("cannot write the catalog `no/new.json`");
}

#[test]
fn the_list_shows_what_is_selected_and_how() {
    let folder = prepared();
    let ended = select(&folder, &["--list"]);
    ended.expect_code(0);
    assert_eq!(
        ended.text(),
        "   stream          replication  key  columns                 rows\n\
         \u{20}  public.account  -            id   4 of 5 (1 unsupported)  1200\n\
         \u{20}  public.active   -            -    2                          -\n\
         *  other.account   FULL_TABLE   -    1                          -\n\
         1 of 3 streams is selected\n"
    );
    let json: Value =
        serde_json::from_str(&select(&folder, &["--list", "--format", "json"]).text()).unwrap();
    assert_eq!(json[0]["columns_left_out"], json!(["geo"]));
    assert_eq!(json[2]["selected"], true);
}

#[test]
fn broken_catalogs_are_refused_in_words() {
    for (text, message) in [
        ("", "the catalog `catalog.json` is empty"),
        (" \n", "the catalog `catalog.json` is empty"),
        (
            "{\"streams\":[]}",
            "the catalog `catalog.json` has no streams",
        ),
        ("{\"streams\":[{]}", "cannot edit `catalog.json`"),
        ("{\"type\":\"STATE\"}", "missing field `streams`"),
        (
            "{\"streams\":[{\"stream\":\"a\"},{\"stream\":\"a\"}]}",
            "the stream `a` twice",
        ),
        ("[", "line 1"),
    ] {
        let folder = Folder::new();
        folder.write("catalog.json", text);
        select(&folder, &["a"]).expect_code(2).expect_log(message);
        assert_eq!(folder.read("catalog.json"), text);
    }
    let folder = Folder::new();
    folder.write("catalog.json", b"{\"streams\":[\"\xff\"]}");
    select(&folder, &["a"])
        .expect_code(2)
        .expect_log("is not UTF-8");
    let folder = Folder::new();
    select(&folder, &["a"])
        .expect_code(2)
        .expect_log("cannot read the input `catalog.json`");
}
