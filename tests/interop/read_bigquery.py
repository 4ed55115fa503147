"""Says what data sets hold, as Google's own client reads them: for each name of a data set on stdin a line
of JSON with its tables by name, or with what went wrong.

    read_bigquery.py ENDPOINT PROJECT

Values that JSON has no type for are texts: times with six digits of a second, decimals with every digit,
bytes in base64.
"""

import base64
import datetime
import decimal
import json
import sys
import traceback

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery


def plain(value):
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, (datetime.datetime, datetime.time)):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        # `normalize` would round to 28 digits.
        digits = format(value, "f")
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def column(field):
    described = {"name": field.name, "type": field.field_type, "mode": field.mode}
    if field.fields:
        described["fields"] = [column(inner) for inner in field.fields]
    return described


def read(client, dataset):
    tables = {}
    for listed in client.list_tables(dataset):
        try:
            table = client.get_table(listed.reference)
        except NotFound:
            # What a program that was killed had asked for last may still be done: it was dropped since.
            continue
        tables[table.table_id] = {
            "columns": [column(field) for field in table.schema],
            "partitioned_by": table.time_partitioning and table.time_partitioning.field,
            "clustered_by": table.clustering_fields,
            "labels": table.labels,
            "rows": [plain(dict(row.items())) for row in client.list_rows(table)],
        }
    return {"tables": tables}


def main(endpoint, project):
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=endpoint),
    )
    for line in sys.stdin:
        try:
            answer = read(client, line.strip())
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


main(*sys.argv[1:])
