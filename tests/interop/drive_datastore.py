"""Does with a Data Store what it is told, through Zoho's own SDK for Catalyst: for each line of JSON on stdin
a line with the answer, or with what went wrong.

    drive_datastore.py URL PROJECT ENVIRONMENT OFFSET

OFFSET is how many minutes the project's clock is ahead of UTC: times, which the service writes without one,
are turned into UTC in rows that are read.

    {"insert": [{...}, ...], "table": T}     the rows as they are there now, in this order
    {"update": [{"ROWID": ..., ...}], "table": T}    the same
    {"delete": [id, ...], "table": T}
    {"rows": true, "table": T}               all rows, page by page
    {"columns": true, "table": T}            all columns
    {"bulk": query or null, "table": T}      the rows of a bulk read, every cell as text
"""

import csv
import datetime
import io
import json
import os
import sys
import time
import traceback
import zipfile

URL, PROJECT, ENVIRONMENT, OFFSET = sys.argv[1:]
# The SDK reads both addresses when it is imported.
os.environ["X_ZOHO_CATALYST_ACCOUNTS_URL"] = URL
os.environ["X_ZOHO_CATALYST_CONSOLE_URL"] = URL

import zcatalyst_sdk
from zcatalyst_sdk import credentials

# Rows of one call that deletes, and of one that inserts.
AT_ONCE = 200


def bulk(table, query):
    jobs = table.bulk_read()
    job = jobs.create_job(query)
    while job["status"] == "In-Progress":
        time.sleep(0.02)
        job = jobs.get_status(job["job_id"])
    assert job["status"] == "Completed", job
    archive = zipfile.ZipFile(io.BytesIO(jobs.get_result(job["job_id"]).content))
    content = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content, newline="")))


def utc(text):
    """2026-02-28 23:59:59:120, or without the milliseconds."""
    seconds, milliseconds = text[:19], text[20:]
    moment = datetime.datetime.strptime(seconds, "%Y-%m-%d %H:%M:%S")
    moment -= datetime.timedelta(minutes=int(OFFSET))
    fraction = f".{milliseconds}".rstrip("0").rstrip(".")
    return moment.isoformat() + fraction + "Z"


def with_times(table, rows):
    kinds = {column["column_name"]: column["data_type"] for column in table.get_all_columns()}
    for row in rows:
        for name, value in row.items():
            if kinds[name] == "datetime" and value:
                row[name] = utc(value)
    return rows


def parts(whole):
    return [whole[start : start + AT_ONCE] for start in range(0, len(whole), AT_ONCE)]


def answer(datastore, asked):
    table = datastore.table(asked["table"])
    if "insert" in asked:
        return [row for part in parts(asked["insert"]) for row in table.insert_rows(part)]
    if "update" in asked:
        return [row for part in parts(asked["update"]) for row in table.update_rows(part)]
    if "delete" in asked:
        return all(table.delete_rows(part) for part in parts(asked["delete"]))
    if "rows" in asked:
        return with_times(table, list(table.get_iterable_rows()))
    if "columns" in asked:
        return table.get_all_columns()
    return with_times(table, bulk(table, asked["bulk"]))


def main():
    client = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    credential = credentials.RefreshTokenCredential({**client, "refresh_token": "sandbox-refresh"})
    options = {
        "project_id": PROJECT,
        "project_key": "sandbox",
        "project_domain": "sandbox.example.com",
        "environment": ENVIRONMENT,
    }
    datastore = zcatalyst_sdk.initialize_app(credential, options).datastore()
    for line in sys.stdin:
        try:
            answered = {"answer": answer(datastore, json.loads(line))}
        except Exception:
            answered = {"error": traceback.format_exc()}
        print(json.dumps(answered), flush=True)


main()
