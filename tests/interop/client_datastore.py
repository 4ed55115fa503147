"""Zoho's own SDK for Catalyst against a stand-in of Data Store: what it sends has to be taken, what it
reads has to be what was written. Prints what it tried, and ends at the first thing that is not so.

    client_datastore.py URL PROJECT TABLE

URL is where tokens are given out and where the API is, TABLE a table whose rows may come and go. The SDK
reads both addresses from the environment when it is imported, and has no other way to be told.
"""

import csv
import datetime
import io
import os
import sys
import time
import zipfile

URL, PROJECT, TABLE = sys.argv[1:]
os.environ["X_ZOHO_CATALYST_ACCOUNTS_URL"] = URL
os.environ["X_ZOHO_CATALYST_CONSOLE_URL"] = URL

import zcatalyst_sdk
from zcatalyst_sdk import credentials
from zcatalyst_sdk.exceptions import CatalystError

SYSTEM = ["ROWID", "CREATORID", "CREATEDTIME", "MODIFIEDTIME"]
CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
REFRESH = {**CLIENT, "refresh_token": "sandbox-refresh"}


def app(name, credential, environment="Production"):
    options = {
        "project_id": PROJECT,
        "project_key": "sandbox",
        "project_domain": "sandbox.example.com",
        "environment": environment,
    }
    return zcatalyst_sdk.initialize_app(credential, options, name)


# One token for all: a service gives ten of them in ten minutes.
credential = credentials.RefreshTokenCredential(REFRESH)
production = app("production", credential)
table = production.datastore().table(TABLE)


def tried(what):
    print(what, flush=True)


def raises(code, action):
    codes = code if isinstance(code, tuple) else (code,)
    try:
        action()
    except CatalystError as error:
        assert error.code in codes, f"{code} was expected: {error}"
        return error
    raise AssertionError(f"{code} was expected")


def until(what, condition):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


def own_columns():
    return [column for column in table.get_all_columns() if column["column_name"] not in SYSTEM]


def value(column, number):
    """A value for a column that tells rows apart where there is room for it."""
    kind = column["data_type"]
    if kind in ("varchar", "text", "encrypted text"):
        text = f'{number} "x", Zo\u00eb\nline'
        return text[: int(column["max_length"])]
    return {
        "int": 2147480000 + number,
        "bigint": 9223372036854770000 + number,
        "double": number + 0.25,
        "decimal": number + 0.5,
        "boolean": number % 2 == 0,
        "date": str(datetime.date(2026, 1, 1) + datetime.timedelta(days=number)),
        "datetime": str(datetime.datetime(2026, 2, 28, 23, 59, 59) + datetime.timedelta(number)),
    }.get(kind)


def row(columns, number):
    values = {column["column_name"]: value(column, number) for column in columns}
    return {name: value for name, value in values.items() if value is not None}


def text(value):
    """As the CSV of a bulk read has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def same(kind, left, right):
    """Numbers and booleans may come as JSON or as text."""
    if kind in ("double", "decimal"):
        return float(left) == float(right)
    return text(left) == text(right)


def assert_row(columns, read, sent):
    for column in columns:
        name = column["column_name"]
        if name in sent:
            assert same(column["data_type"], read[name], sent[name]), (name, read[name], sent[name])
        elif "default_value" not in column:
            assert read[name] is None, (name, read[name])


def all_rows():
    return {row["ROWID"]: row for row in table.get_iterable_rows()}


def empty_table():
    ids = list(all_rows())
    for start in range(0, len(ids), 200):
        assert table.delete_rows(ids[start : start + 200])
    assert all_rows() == {}


def tables_and_columns():
    tables = {each.to_dict()["table_name"]: each for each in production.datastore().get_all_tables()}
    details = tables[TABLE].to_dict()
    assert details["project_id"]["id"] == PROJECT, details
    assert production.datastore().get_table_details(details["table_id"])["table_name"] == TABLE
    assert production.datastore().get_table_details(TABLE)["table_id"] == details["table_id"]
    columns = table.get_all_columns()
    names = [column["column_name"] for column in columns]
    assert set(SYSTEM) <= set(names) and len(set(names)) == len(names), names
    for column in columns:
        assert column["table_id"] == details["table_id"], column
        assert isinstance(column["is_mandatory"], bool) and isinstance(column["is_unique"], bool)
        assert int(column["max_length"]) > 0 and int(column["column_sequence"]) > 0, column
    one = table.get_column_details(columns[-1]["column_id"])
    assert one == columns[-1], one
    # The table by its id, as the one that the list gives has it.
    assert tables[TABLE].get_all_columns() == columns
    raises("INVALID_ID", lambda: production.datastore().get_table_details(1))
    tried("tables and columns")


def rows():
    columns = own_columns()
    sent = [row(columns, number) for number in range(1, 26)]
    inserted = table.insert_rows(sent)
    assert len(inserted) == len(sent)
    for read, wanted in zip(inserted, sent):
        # Ids are texts: a number of that size would be damaged on the way through a double.
        assert isinstance(read["ROWID"], str) and int(read["ROWID"]) > 0, read["ROWID"]
        assert set(SYSTEM) <= set(read)
        assert_row(columns, read, wanted)
    id = inserted[0]["ROWID"]
    assert table.get_row(id) == inserted[0]
    assert all_rows()[id] == inserted[0]
    changed = {**row(columns, 900), "ROWID": id}
    updated = table.update_row(dict(changed))
    assert_row(columns, updated, changed)
    assert updated["ROWID"] == id and updated["CREATEDTIME"] == inserted[0]["CREATEDTIME"]
    assert updated["MODIFIEDTIME"] >= inserted[0]["MODIFIEDTIME"]
    # What an update leaves out stays as it is.
    one = next(column for column in columns if column["data_type"] in ("varchar", "text"))
    table.update_row({"ROWID": id, one["column_name"]: "z"})
    assert_row(columns, table.get_row(id), {**changed, one["column_name"]: "z"})
    nullable = [column for column in columns if not column["is_mandatory"]]
    if nullable:
        table.update_row({"ROWID": id, nullable[0]["column_name"]: None})
        assert table.get_row(id)[nullable[0]["column_name"]] is None
    # What is beyond the basic plane is lost on the way in.
    table.update_row({"ROWID": id, one["column_name"]: "z\U0001f980"})
    assert table.get_row(id)[one["column_name"]] == "z?"
    assert table.delete_row(id)
    raises("INVALID_ID", lambda: table.get_row(id))
    assert table.delete_rows([each["ROWID"] for each in inserted[1:3]])
    assert set(all_rows()) == {each["ROWID"] for each in inserted[3:]}
    tried("rows")


def refused_rows():
    columns = own_columns()
    before = all_rows()
    good = row(columns, 500)
    raises("INVALID_INPUT", lambda: table.insert_row({**good, "no_such_column": "1"}))
    numbers = [each for each in columns if each["data_type"] in ("int", "bigint", "double")]
    if numbers:
        raises("INVALID_INPUT", lambda: table.insert_row({**good, numbers[0]["column_name"]: "x"}))
    unique = [each["column_name"] for each in columns if each["is_unique"]]
    if unique:
        taken = next(iter(before.values()))[unique[0]]
        raises("DUPLICATE_VALUE", lambda: table.insert_row({**good, unique[0]: taken}))
    demanded = [each for each in columns if each["is_mandatory"] and "default_value" not in each]
    mandatory = [each["column_name"] for each in demanded]
    if mandatory:
        less = {name: value for name, value in good.items() if name != mandatory[0]}
        raises("MISSING_VALUE", lambda: table.insert_row(less))
    assert all_rows() == before
    tried("refused rows")


def pages():
    columns = own_columns()
    empty_table()
    for start in range(0, 500, 100):
        table.insert_rows([row(columns, number) for number in range(start + 1, start + 101)])
    token, found, lengths = None, [], []
    while True:
        page = table.get_paged_rows(next_token=token, max_rows=150)
        found += [each["ROWID"] for each in page["data"]]
        lengths.append(len(page["data"]))
        token = page.get("next_token")
        assert bool(page.get("more_records")) == bool(token), page.keys()
        if not token:
            break
    assert sum(lengths) == 500 and len(set(found)) == 500 and lengths[0] == 150, lengths
    # Without a number of rows a page has 200 of them.
    assert len(table.get_paged_rows()["data"]) == 200
    assert set(all_rows()) == set(found)
    tried("pages")


def zcql():
    query = production.zcql().execute_query
    ids = sorted(all_rows(), key=int)
    count = query(f"SELECT COUNT(ROWID) FROM {TABLE}")
    assert [int(value) for value in count[0][TABLE].values()] == [500], count
    newest = query(f"SELECT MAX(MODIFIEDTIME) FROM {TABLE}")
    assert len(newest[0][TABLE]) == 1, newest
    # By the key: an offset has two readings.
    found, last = [], "0"
    while True:
        page = query(f"SELECT ROWID FROM {TABLE} WHERE ROWID > {last} ORDER BY ROWID LIMIT 300")
        found += [each[TABLE]["ROWID"] for each in page]
        if len(page) < 300:
            break
        last = found[-1]
    assert found == ids, (len(found), found[:2])
    one = query(f"SELECT * FROM {TABLE} WHERE ROWID = {ids[7]}")
    assert one == [{TABLE: table.get_row(ids[7])}], one
    inside = query(f"SELECT ROWID FROM {TABLE} WHERE ROWID IN ({ids[0]}, {ids[499]}) ORDER BY ROWID")
    assert [each[TABLE]["ROWID"] for each in inside] == [ids[0], ids[499]], inside
    copy = production.zcql().execute_olap_query(f"SELECT COUNT(ROWID) FROM {TABLE}")
    assert copy == count, copy
    raises("ZCQL_QUERY_ERROR", lambda: query("SELECT nonsense"))
    raises("ZCQL_QUERY_ERROR", lambda: query(f"SELECT ROWID FROM {TABLE} LIMIT 301"))
    tried("zcql")


def download(job):
    assert job["operation"] == "read" and job["job_id"], job
    bulk = table.bulk_read()

    def over():
        status = bulk.get_status(job["job_id"])
        assert status["status"] in ("In-Progress", "Completed"), status
        return status if status["status"] == "Completed" else None

    status = until("the job is completed", over)
    details = status["results"]["details"][0]
    response = bulk.get_result(job["job_id"])
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == [f"Table-{TABLE}.csv"], archive.namelist()
    content = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    read = list(csv.DictReader(io.StringIO(content, newline="")))
    assert int(details["records_processed"]) == len(read), details
    return read, details, status


def bulk_reads():
    columns = own_columns()
    kinds = {column["column_name"]: column["data_type"] for column in columns}
    stored = all_rows()
    # The SDK sends `query` and `callback` as null.
    read, details, status = download(table.bulk_read().create_job())
    assert str(details["more_records"]).lower() == "false", details
    assert status["results"]["download_url"].endswith(f"/bulk/read/{status['job_id']}/download")
    assert {each["ROWID"] for each in read} == set(stored) and len(read) == len(stored)
    for each in read:
        wanted = stored[each["ROWID"]]
        assert set(each) == set(wanted), set(each) ^ set(wanted)
        for name, cell in each.items():
            empty = wanted[name] is None and cell == ""
            assert empty or same(kinds.get(name), cell, wanted[name]), (name, cell, wanted[name])
    half = sorted(stored, key=int)[250]
    criteria = {"column_name": "ROWID", "comparator": "greater_than", "value": half}
    query = {
        "page": 1,
        "select_columns": ["ROWID", "MODIFIEDTIME"],
        "criteria": {"group_operator": "and", "group": [criteria]},
    }
    read, _, _ = download(table.bulk_read().create_job(query))
    assert {each["ROWID"] for each in read} == {id for id in stored if int(id) > int(half)}
    assert set(read[0]) == {"ROWID", "MODIFIEDTIME"}, read[0].keys()
    # A page behind the last one is empty, and says so.
    read, details, _ = download(table.bulk_read().create_job({"page": 2}))
    assert read == [] and str(details["more_records"]).lower() == "false", details
    raises("INVALID_INPUT", lambda: table.bulk_read().create_job({"select_columns": ["nothing"]}))
    raises("INVALID_ID", lambda: table.bulk_read().get_status(1))
    missing = production.datastore().table("No_Such_Table").bulk_read()
    raises(("INVALID_INPUT", "INVALID_ID", "INVALID_NAME"), missing.create_job)
    tried("bulk reads")


def environments():
    small = app("development", credential, "Development").datastore().table(TABLE)
    before = set(all_rows())
    there = {each["ROWID"] for each in small.get_iterable_rows()}
    id = small.insert_row(row(own_columns(), 1))["ROWID"]
    assert {each["ROWID"] for each in small.get_iterable_rows()} == there | {id}
    assert set(all_rows()) == before
    assert small.delete_row(id)
    tried("environments")


def organisations():
    # The SDK names the organisation only where the environment does.
    os.environ["X_ZOHO_CATALYST_ORG_ID"] = "1"
    raises("NO_ACCESS", table.get_all_columns)
    del os.environ["X_ZOHO_CATALYST_ORG_ID"]
    assert table.get_all_columns()
    tried("organisations")


def what_is_not_there():
    """The stand-in has no cache and no search, and says so."""
    search = {"search": "a", "search_table_columns": {TABLE: ["ROWID"]}}
    for call in (
        production.cache().get_all_segment,
        lambda: production.cache().segment().put("key", "value"),
        lambda: production.search().execute_search_query(search),
    ):
        try:
            call()
        except CatalystError as error:
            assert error.status_code == 501, error
        else:
            raise AssertionError("501 was expected")
    tried("what is not there")


def tokens():
    bad = credentials.RefreshTokenCredential({**CLIENT, "refresh_token": "never-was"})
    raises("AUTHENTICATION_FAILURE", bad.token)
    stale = credentials.AccessTokenCredential({"access_token": "1000.never.was"})
    stale = app("stale", stale).datastore()
    error = raises("INVALID_TOKEN", stale.get_all_tables)
    assert error.status_code == 401, error
    fresh = credentials.AccessTokenCredential({"access_token": credential.token()})
    assert app("fresh", fresh).datastore().get_all_tables()
    tried("tokens")


tables_and_columns()
empty_table()
rows()
refused_rows()
pages()
zcql()
bulk_reads()
environments()
organisations()
what_is_not_there()
tokens()
tried("the end")
