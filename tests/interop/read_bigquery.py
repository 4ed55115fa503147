"""Prints what a data set holds, as Google's own client reads it: a line of JSON for each table, then one
for each of its rows.

    read_bigquery.py ENDPOINT PROJECT DATASET

Values that JSON has no type for are texts: times with six digits of a second, decimals with every digit,
bytes in base64.
"""

import base64
import datetime
import decimal
import json
import sys

from google.api_core.client_options import ClientOptions
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


def main(endpoint, project, dataset):
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=endpoint),
    )
    for listed in client.list_tables(dataset):
        table = client.get_table(listed.reference)
        described = {
            "table": table.table_id,
            "columns": [column(field) for field in table.schema],
            "partitioned_by": table.time_partitioning and table.time_partitioning.field,
            "clustered_by": table.clustering_fields,
            "labels": table.labels,
        }
        print(json.dumps(described))
        for row in client.list_rows(table):
            print(json.dumps({"table": table.table_id, "row": plain(dict(row.items()))}))


main(*sys.argv[1:])
