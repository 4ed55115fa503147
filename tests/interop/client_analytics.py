"""Zoho's own client for Analytics, and the connector that carries it, against a stand-in of Analytics:
what they send has to be taken, what they read has to be what was written. Prints what it tried, and ends at
the first thing that is not so. Files are written to the working folder.

    client_analytics.py URL ORG WORKSPACE

URL is where tokens are given out and where the API is. Both clients put CONFIG into the query, beside files
too. Zoho's client has no call for batches: they go through the function that all its imports go through.
"""

import csv
import io
import json
import sys
import time

import zoho_analytics_connector

# The connector imports itself by the folder it had before it was packed.
sys.modules["zoho_analytics_connector.zoho_analytics_connector"] = zoho_analytics_connector

from zoho_analytics_connector.analytics_client_upstream import AnalyticsClient, ServerError
from zoho_analytics_connector.enhanced_report_client import EnhancedZohoAnalyticsClient

URL, ORG, WORKSPACE = sys.argv[1:]
CREDENTIALS = ("sandbox-client", "sandbox-secret", "sandbox-refresh")

client = AnalyticsClient(*CREDENTIALS)
client.accounts_server_url = URL
client.analytics_server_url = URL
workspace = client.get_workspace_instance(ORG, WORKSPACE)
bulk = client.get_bulk_instance(ORG, WORKSPACE)


def tried(what):
    print(what, flush=True)


def raises(code, action):
    try:
        action()
    except ServerError as error:
        assert int(error.errorCode) == code, f"{code} was expected: {error.errorCode} {error}"
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


def view(id):
    return client.get_view_instance(ORG, WORKSPACE, str(id))


# Zoho's client keeps the config of one call as the usual one of the next, unless each call brings its own.
def export(id):
    job = bulk.initiate_bulk_export(str(id), "csv", {})

    def over():
        details = bulk.get_export_job_details(str(job))
        assert details["jobCode"] in ("1001", "1002", "1004"), details
        return details["jobCode"] == "1004"

    until("the export is over", over)
    bulk.export_bulk_data(str(job), "exported.csv")
    with open("exported.csv", "rb") as file:
        content = file.read()
    assert content.startswith(b"\xef\xbb\xbf"), content[:20]
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def by_id(rows):
    found = {row["ROWID"]: row for row in rows}
    assert len(found) == len(rows), "a key stands there twice"
    return found


def columns_of(id):
    details = client.get_view_details(str(id), {"withInvolvedMetaInfo": True})
    return {column["columnName"]: column["dataType"] for column in details["columns"]}


def written(name, lines):
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    return name


DESIGN = [
    ("ROWID", "NUMBER"),
    ("Driver", "PLAIN"),
    ("Note", "MULTI_LINE"),
    ("Km", "DECIMAL_NUMBER"),
    ("Seen", "DATE"),
    ("Day", "DATE_AS_DATE"),
    ("Done", "BOOLEAN"),
]
HEADER = [name for name, _ in DESIGN]
FORMATS = {"Seen": "yyyy-MM-dd HH:mm:ss", "Day": "yyyy-MM-dd"}
# A number of this size would be damaged on the way through a double.
BASE = 9007199254740993


def design(name, columns=DESIGN):
    described = [{"COLUMNNAME": column, "DATATYPE": kind} for column, kind in columns]
    described[0]["MANDATORY"] = "Yes"
    return {"TABLENAME": name, "COLUMNS": described}


def line(number, revision=1):
    return [
        BASE + number,
        f"Zo\u00eb {number}",
        f'line {revision}\nsaid "no", twice',
        f"{number}.25",
        f"2026-02-28 23:59:{number % 60:02}",
        f"2026-02-{number % 28 + 1:02}",
        "true" if number % 2 else "false",
    ]


def lines(numbers, revision=1):
    return [HEADER] + [line(number, revision) for number in numbers]


def options(**more):
    """What an import needs that finds nothing out by itself. Zoho's client sends such flags as text."""
    return {
        "delimiter": "0",
        "quoted": "2",
        "commentChar": "#",
        "onError": "abort",
        "columnDateFormat": FORMATS,
        **more,
    }


def organisations_and_workspaces():
    assert ORG in [str(each["orgId"]) for each in client.get_orgs()]
    workspaces = client.get_workspaces()
    own = {str(each["workspaceId"]): each for each in workspaces["ownedWorkspaces"]}
    assert str(own[WORKSPACE]["orgId"]) == ORG and workspaces["sharedWorkspaces"] == []
    details = client.get_workspace_details(WORKSPACE)
    assert str(details["workspaceId"]) == WORKSPACE and str(details["orgId"]) == ORG, details
    raises(7103, lambda: client.get_workspace_details("1"))
    raises(8083, lambda: client.send_api_request("GET", workspace.endpoint + "/views", None, None))
    tried("organisations and workspaces")
    return own[WORKSPACE]["workspaceName"]


def tables_and_columns(workspace_name):
    id = workspace.create_table(design("Judged"))
    raises(7111, lambda: workspace.create_table(design("Judged")))
    raises(7146, lambda: workspace.create_table(design("Odd", [("a", "NONSENSE")])))
    nowhere = {**design("Nowhere"), "FOLDERNAME": "no such folder"}
    raises(7144, lambda: workspace.create_table(nowhere))
    listed = {each["viewName"]: each for each in workspace.get_views({})}
    assert str(listed["Judged"]["viewId"]) == str(id) and listed["Judged"]["viewType"] == "Table"
    assert "Nowhere" not in listed and "Odd" not in listed
    found = client.get_org_instance(ORG).get_meta_details(workspace_name, "Judged")
    assert str(id) in json.dumps(found), found
    details = client.get_view_details(str(id), {})
    assert details["viewName"] == "Judged" and str(details["orgId"]) == ORG, details
    assert columns_of(id) == dict(DESIGN), columns_of(id)
    added = view(id).add_column("Later", "PLAIN", {})
    assert columns_of(id)["Later"] == "PLAIN"
    raises(7157, lambda: view(id).add_column("Later", "PLAIN", {}))
    view(id).rename_column(str(added), "Sooner", {})
    assert "Later" not in columns_of(id) and columns_of(id)["Sooner"] == "PLAIN"
    many = [{"columnName": f"c{number}", "dataType": "NUMBER"} for number in range(11)]
    endpoint = view(id).endpoint + "/columns"
    headers = {"ZANALYTICS-ORGID": ORG}
    add = lambda some: client.send_api_request("POST", endpoint, {"columns": some}, dict(headers))
    raises(8173, lambda: add(many))
    add(many[:10])
    assert set(columns_of(id)) == {*HEADER, "Sooner", *(f"c{number}" for number in range(10))}
    raises(7104, lambda: client.get_view_details("1", {}))
    view(id).delete({})
    raises(7104, lambda: client.get_view_details(str(id), {}))
    tried("tables and columns")


def rows():
    id = workspace.create_table(design("Rows"))
    values = dict(zip(HEADER, [str(value) for value in line(1)]))
    added = view(id).add_row({**values, "Ghost": "1"}, {"columnDateFormat": FORMATS})
    assert set(added["addedColumns"]) == set(HEADER) and "Ghost" in added["invalidColumns"], added
    stored = by_id(export(id))
    assert list(stored) == [str(BASE + 1)], stored
    assert stored[str(BASE + 1)]["Driver"] == values["Driver"]
    assert stored[str(BASE + 1)]["Note"] == values["Note"], stored
    criteria = f'"Rows"."ROWID" = {BASE + 1}'
    updated = view(id).update_row({"Driver": "Rui"}, criteria, {})
    assert updated["updatedRows"] == 1 and set(updated["updatedColumns"]) == {"Driver"}, updated
    assert export(id)[0]["Driver"] == "Rui"
    # No row is hit: that is a success, and has to be looked at.
    updated = view(id).update_row({"Driver": "x"}, f'"ROWID" = {BASE + 2}', {})
    assert updated["updatedRows"] == 0, updated
    config = {"addIfNotExist": "true", "columnDateFormat": FORMATS}
    second = dict(zip(HEADER, [str(value) for value in line(2)]))
    view(id).update_row(second, f'"ROWID" = {BASE + 2}', config)
    assert set(by_id(export(id))) == {str(BASE + 1), str(BASE + 2)}
    hit = view(id).update_row({"Driver": "it's"}, "\"Driver\" like 'Zo%'", {})
    assert hit["updatedRows"] == 1
    assert view(id).delete_row("\"Driver\" = 'it''s'", {}) == 1
    assert view(id).delete_row(f'"ROWID" in ({BASE + 1}, {BASE + 5})', {}) == 1
    assert export(id) == []
    # Neither a criteria nor all rows, then both.
    raises(8504, lambda: view(id).delete_row(None, {}))
    raises(8131, lambda: view(id).delete_row('"ROWID" = 1', {"deleteAllRows": "true"}))
    raises(8130, lambda: view(id).update_row({"Driver": "x"}, None, {}))
    view(id).add_row({"ROWID": "1"}, {})
    assert view(id).delete_row(None, {"deleteAllRows": "true"}) == 1
    raises(8016, lambda: view(id).add_row({"Ghost": "1"}, {}))
    tried("rows")


def summary(answer):
    counted = answer["importSummary"]
    return counted["importType"].upper(), int(counted["totalRowCount"]), int(counted["successRowCount"])


def synchronous_imports():
    id = workspace.create_table(design("Synchronous"))
    put = lambda kind, file, **more: bulk.import_data(
        str(id), kind, "csv", "false", file, options(**more)
    )
    answer = put("append", written("a.csv", lines(range(100))))
    assert summary(answer) == ("APPEND", 100, 100) and not answer["importErrors"], answer
    assert answer["importSummary"]["importOperation"] == "updated"
    stored = by_id(export(id))
    assert len(stored) == 100
    for number in range(100):
        wanted = dict(zip(HEADER, [str(value) for value in line(number)]))
        read = stored[wanted["ROWID"]]
        for name in ("ROWID", "Driver", "Note"):
            assert read[name] == wanted[name], (name, read[name], wanted[name])
        assert float(read["Km"]) == float(wanted["Km"]), read
    answer = put("updateadd", written("b.csv", lines(range(50, 150), 2)), matchingColumns=["ROWID"])
    assert summary(answer) == ("UPDATEADD", 100, 100), answer
    stored = by_id(export(id))
    assert len(stored) == 150
    revised = {int(key) - BASE for key, read in stored.items() if read["Note"].startswith("line 2")}
    assert revised == set(range(50, 150)), len(revised)
    answer = put("truncateadd", written("c.csv", lines(range(10))))
    assert summary(answer) == ("TRUNCATEADD", 10, 10) and len(export(id)) == 10
    raises(8079, lambda: put("updateadd", "b.csv"))
    raises(7107, lambda: put("updateadd", "b.csv", matchingColumns=["Ghost"]))
    raises(8119, lambda: put("upsert", "b.csv"))
    bad = lines(range(20, 30))
    bad[4][3] = "many"
    raises(7232, lambda: put("append", written("d.csv", bad)))
    answer = put("append", "d.csv", onError="skiprow")
    assert summary(answer) == ("APPEND", 10, 9) and answer["importErrors"], answer
    answer = put("append", written("e.csv", bad), onError="setcolumnempty")
    assert summary(answer)[2] == 10 and int(answer["importSummary"]["warnings"]) >= 1, answer
    assert len(export(id)) == 29
    raises(7203, lambda: put("append", written("f.csv", [])))
    raises(7235, lambda: put("append", written("g.csv", [["x"], ["1"]])))
    # As text within the call, with what it is found out by the service.
    data = [dict(zip(HEADER, line(number))) for number in range(40, 45)]
    config = {"columnDateFormat": FORMATS}
    answer = bulk.import_raw_data(str(id), "truncateadd", "json", "true", data, config)
    assert summary(answer) == ("TRUNCATEADD", 5, 5), answer
    assert set(by_id(export(id))) == {str(BASE + number) for number in range(40, 45)}
    made = bulk.import_data_in_new_table("Made", "csv", "true", "a.csv", {})
    assert made["importSummary"]["importOperation"] == "created" and summary(made)[1:] == (100, 100)
    assert columns_of(made["viewId"])["ROWID"] in ("NUMBER", "POSITIVE_NUMBER")
    assert len(export(made["viewId"])) == 100
    tried("synchronous imports")


def ended(job):
    """What became of a job: a failed one answers with 200 and success as well."""

    def over():
        details = bulk.get_import_job_details(str(job))
        assert details["jobCode"] in ("1001", "1002", "1003", "1004"), details
        return details if details["jobCode"] in ("1003", "1004") else None

    return until("the job is over", over)


def asynchronous_imports():
    id = workspace.create_table(design("Asynchronous"))
    put = lambda kind, file, **more: bulk.import_bulk_data(
        str(id), kind, "csv", "false", file, options(**more)
    )
    job = put("append", written("a.csv", lines(range(3000))))
    details = ended(job)
    assert details["jobStatus"] == "JOB COMPLETED" and str(details["jobId"]) == str(job), details
    assert summary(details["jobInfo"]) == ("APPEND", 3000, 3000), details
    assert len(by_id(export(id))) == 3000
    last = view(id).get_last_import_details()
    assert last["lastImportStatus"] == "Success" and last["rows"]["success"] == "3000", last
    job = put("updateadd", written("b.csv", lines(range(2000, 4000), 2)), matchingColumns=["ROWID"])
    assert summary(ended(job)["jobInfo"]) == ("UPDATEADD", 2000, 2000)
    assert len(by_id(export(id))) == 4000
    bad = lines(range(20, 30))
    bad[4][3] = "many"
    details = ended(put("append", written("c.csv", bad)))
    assert details["jobCode"] == "1003" and details["jobStatus"] == "ERROR OCCURRED", details
    assert int(details["jobInfo"]["errorCode"]) == 7232 and details["jobInfo"]["errorMessage"]
    assert len(export(id)) == 4000
    made = bulk.import_bulk_data_in_new_table("Made aside", "csv", "true", "a.csv", {})
    assert summary(ended(made)["jobInfo"])[1:] == (3000, 3000)
    assert "Made aside" in [each["viewName"] for each in workspace.get_views({})]
    tried("asynchronous imports")


def batches(id, kind, files, **more):
    """All files as one job; says what each one was answered."""
    endpoint = f"{bulk.bulk_endpoint}/views/{id}/data/batch"
    key, answers = "start", []
    for number, file in enumerate(files):
        config = options(importType=kind, fileType="csv", autoIdentify="false", **more)
        config.update(batchKey=key, isLastBatch="true" if number == len(files) - 1 else "false")
        answer = client.send_import_api_request(endpoint, config, dict(bulk.request_headers), file)
        answers.append(answer["data"])
        key = answers[-1]["batchKey"]
    assert len({answer["jobId"] for answer in answers}) == 1, answers
    return answers


def batch_imports():
    id = workspace.create_table(design("Batches"))
    put = lambda kind, files, **more: ended(batches(id, kind, files, **more)[-1]["jobId"])
    files = [
        written(f"{part}.csv", lines(range(part * 500, part * 500 + 500))) for part in range(4)
    ]
    details = put("append", files)
    assert summary(details["jobInfo"])[1:] == (2000, 2000), details
    assert len(by_id(export(id))) == 2000
    revised = [written(f"r{part}.csv", lines(range(1800 + part * 200, 2000 + part * 200), 2)) for part in range(2)]
    details = put("updateadd", revised, matchingColumns=["ROWID"])
    assert summary(details["jobInfo"])[1:] == (400, 400), details
    stored = by_id(export(id))
    assert len(stored) == 2200
    assert sum(read["Note"].startswith("line 2") for read in stored.values()) == 400
    # A replacement is seen with its last batch, and not before.
    endpoint = f"{bulk.bulk_endpoint}/views/{id}/data/batch"
    config = options(importType="truncateadd", fileType="csv", autoIdentify="false")
    send = lambda file, key, last: client.send_import_api_request(
        endpoint, {**config, "batchKey": key, "isLastBatch": last}, dict(bulk.request_headers), file
    )["data"]
    first = send(files[0], "start", "false")
    assert len(export(id)) == 2200
    # The table cannot be changed meanwhile.
    raises(7092, lambda: view(id).add_column("Later", "PLAIN", {}))
    raises(7338, lambda: send(files[1], "nonsense", "false"))
    last = send(files[1], first["batchKey"], "true")
    assert summary(ended(last["jobId"])["jobInfo"])[1:] == (1000, 1000)
    assert set(by_id(export(id))) == {str(BASE + number) for number in range(1000)}
    raises(7337, lambda: send(files[2], last["batchKey"], "true"))
    tried("batch imports")


def tokens():
    issued = client.access_token
    client.access_token = "1000.never.was"
    # It hears that the token is not good, asks for another one, and asks again.
    assert client.get_orgs() and client.access_token not in ("1000.never.was", issued)
    stranger = AnalyticsClient("sandbox-client", "sandbox-secret", "never-was")
    stranger.accounts_server_url = stranger.analytics_server_url = URL
    try:
        stranger.get_orgs()
    except ServerError as error:
        assert "invalid_code" in str(error), error
    else:
        raise AssertionError("a token was given for nothing")
    tried("tokens")


def the_connector(workspace_name):
    connector = EnhancedZohoAnalyticsClient(
        login_email_id="ana@example.com",
        refresh_token=CREDENTIALS[2],
        default_databasename=workspace_name,
        access_token=client.access_token,
        clientId=CREDENTIALS[0],
        clientSecret=CREDENTIALS[1],
        serverURL=URL,
        reportServerURL=URL,
        default_retries=1,
    )
    assert connector.get_orgs_metadata_api_v2()["data"]["orgs"]
    assert connector.get_org_and_workspace_id() == (ORG, WORKSPACE)
    names = [f"c{number}" for number in range(12)]
    columns = [("ROWID", "NUMBER")] + [(name, "PLAIN") for name in names]
    # More than ten columns: the connector adds the rest one by one.
    made = connector.create_table_v2(design("Connected", columns))
    details = connector.get_view_details_api_v2(made["data"]["viewId"])["data"]["views"]
    assert [column["columnName"] for column in details["columns"]] == ["ROWID", *names], details
    tables = connector.get_table_metadata_v2()
    assert set(tables["Connected"]) == {"ROWID", *names}
    assert tables["Connected"]["ROWID"]["dataType"] == "NUMBER", tables["Connected"]["ROWID"]
    meta = connector.get_meta_details_view_api_v2(ORG, workspace_name, "Connected")
    assert made["data"]["viewId"] in json.dumps(meta), meta
    tried("the connector")


name = organisations_and_workspaces()
tables_and_columns(name)
rows()
synchronous_imports()
asynchronous_imports()
batch_imports()
tokens()
the_connector(name)
tried("the end")
