"""Says what views of Zoho Analytics hold, as Zoho's own client reads them: for each name of a view on stdin a
line of JSON with its columns and rows, or with what went wrong. Every cell is a text, as the export has it.

    read_analytics.py URL ORG WORKSPACE
"""

import contextlib
import csv
import json
import sys
import time
import traceback

import zoho_analytics_connector

# The connector imports itself by the folder it had before it was packed.
sys.modules["zoho_analytics_connector.zoho_analytics_connector"] = zoho_analytics_connector

from zoho_analytics_connector.analytics_client_upstream import AnalyticsClient


def read(client, org, workspace, name):
    views = client.get_workspace_instance(org, workspace).get_views({})
    ids = [str(view["viewId"]) for view in views if view["viewName"] == name]
    if not ids:
        raise LookupError(f"no such view; there are {[view['viewName'] for view in views]}")
    details = client.get_view_details(ids[0], {"withInvolvedMetaInfo": True})
    bulk = client.get_bulk_instance(org, workspace)
    job = str(bulk.initiate_bulk_export(ids[0], "csv", {}))
    while bulk.get_export_job_details(job)["jobCode"] in ("1001", "1002"):
        time.sleep(0.02)
    bulk.export_bulk_data(job, "exported.csv")
    with open("exported.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {column["columnName"]: column["dataType"] for column in details["columns"]}
    return {"view": {"columns": columns, "rows": rows, "count": details.get("rowCount")}}


def main(url, org, workspace):
    client = AnalyticsClient("sandbox-client", "sandbox-secret", "sandbox-refresh")
    client.accounts_server_url = client.analytics_server_url = url
    for line in sys.stdin:
        try:
            # The client prints what it cannot make out of an error.
            with contextlib.redirect_stdout(sys.stderr):
                answer = read(client, org, workspace, line.strip())
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


main(*sys.argv[1:])
