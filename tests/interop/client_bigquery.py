"""Drives Google's own client for Python against a stand-in of BigQuery: what it asks of the real service,
and what it makes of the answers. Ends with 0 if all of it is as it would be there; prints what was tried.

    client_bigquery.py REST_ENDPOINT GRPC_ADDRESS PROJECT
"""

import datetime
import decimal
import io
import json
import sys
import uuid

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcTransport,
)
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

REST, GRPC, PROJECT = sys.argv[1:]
DATASET = "client"
LOCATION = "asia-south1"

client = bigquery.Client(
    project=PROJECT,
    credentials=AnonymousCredentials(),
    location=LOCATION,
    client_options=ClientOptions(api_endpoint=REST),
)


def tried(what):
    print(what, flush=True)


def path(table):
    return f"{PROJECT}.{DATASET}.{table}"


def rows_of(table, key="id"):
    rows = [dict(row.items()) for row in client.list_rows(path(table))]
    return sorted(rows, key=lambda row: row[key])


def raises(kind, action):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


FIELDS = [
    bigquery.SchemaField("id", "INTEGER", mode="REQUIRED", description="the key"),
    bigquery.SchemaField("name", "STRING"),
    bigquery.SchemaField("amount", "NUMERIC"),
    bigquery.SchemaField("vast", "BIGNUMERIC"),
    bigquery.SchemaField("ratio", "FLOAT"),
    bigquery.SchemaField("active", "BOOLEAN"),
    bigquery.SchemaField("day", "DATE"),
    bigquery.SchemaField("clock", "TIME"),
    bigquery.SchemaField("civil", "DATETIME"),
    bigquery.SchemaField("moment", "TIMESTAMP"),
    bigquery.SchemaField("raw", "BYTES"),
    bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
    bigquery.SchemaField("document", "JSON"),
    bigquery.SchemaField(
        "address",
        "RECORD",
        fields=[
            bigquery.SchemaField("city", "STRING"),
            bigquery.SchemaField("flats", "INTEGER", mode="REPEATED"),
        ],
    ),
]


def full(id):
    return {
        "id": id,
        "name": 'Zo\u00eb "x"\n\U0001f980',
        "amount": decimal.Decimal("12345678901234567890.123456789"),
        "vast": decimal.Decimal("-0.00000000000000000000000000000000000001"),
        "ratio": 0.1,
        "active": True,
        "day": datetime.date(1, 1, 1),
        "clock": datetime.time(23, 59, 59, 999999),
        "civil": datetime.datetime(2026, 2, 28, 1, 2, 3, 4),
        "moment": datetime.datetime(2026, 2, 28, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
        "raw": b"\xde\xad\xbe\xef",
        "tags": ["a", ""],
        "document": {"a": [1, None, {"b": 1.5}]},
        "address": {"city": "Pune", "flats": [1, 2]},
    }


def as_json(row):
    """A row as a load job takes it."""
    row = dict(row)
    for name in ("amount", "vast"):
        row[name] = str(format(row[name], "f"))
    for name in ("day", "clock", "civil", "moment"):
        row[name] = row[name].isoformat()
    row["raw"] = "3q2+7w=="
    return row


def empty(id):
    return {**{field.name: None for field in FIELDS}, "id": id, "tags": []}


def datasets_and_tables():
    dataset = bigquery.Dataset(f"{PROJECT}.{DATASET}")
    dataset.location = LOCATION
    client.create_dataset(dataset)
    raises(exceptions.Conflict, lambda: client.create_dataset(dataset))
    assert client.create_dataset(dataset, exists_ok=True).location == LOCATION
    table = bigquery.Table(path("contacts"), schema=FIELDS)
    table.time_partitioning = bigquery.TimePartitioning(type_="MONTH", field="moment")
    table.clustering_fields = ["name", "active"]
    table.labels = {"by": "client"}
    client.create_table(table)
    raises(exceptions.Conflict, lambda: client.create_table(table))
    read = client.get_table(path("contacts"))
    assert read.schema == FIELDS, read.schema
    assert read.time_partitioning.field == "moment" and read.time_partitioning.type_ == "MONTH"
    assert read.clustering_fields == ["name", "active"] and read.labels == {"by": "client"}
    assert read.num_rows == 0 and read.location == LOCATION
    raises(exceptions.NotFound, lambda: client.get_table(path("nothing")))
    assert [table.table_id for table in client.list_tables(DATASET)] == ["contacts"]
    # The whole table is sent back, with its etag.
    read.schema = [*read.schema, bigquery.SchemaField("later", "STRING")]
    read.description = "changed"
    changed = client.update_table(read, ["schema", "description"])
    assert changed.schema[-1].name == "later" and changed.etag != read.etag
    raises(exceptions.PreconditionFailed, lambda: client.update_table(read, ["description"]))
    changed.schema = changed.schema[:-2]
    raises(exceptions.BadRequest, lambda: client.update_table(changed, ["schema"]))
    tried("datasets and tables")


def load_jobs():
    table = path("loaded")
    config = bigquery.LoadJobConfig(schema=FIELDS)
    rows = [full(1), empty(2)]
    job = client.load_table_from_json([as_json(full(1)), {"id": 2}], table, job_config=config)
    job.result()
    assert job.state == "DONE" and job.output_rows == 2, (job.state, job.output_rows)
    assert rows_of("loaded") == rows, rows_of("loaded")
    # Large enough for a resumable upload of several pieces, whose size is not known ahead.
    lines = b"".join(b'{"id": %d, "name": "%s"}\n' % (id, b"x" * 1000) for id in range(10, 6010))
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        schema=FIELDS[:2],
    )
    job = client.load_table_from_file(io.BytesIO(lines), table, job_config=config)
    assert job.result().output_rows == 6000
    job = client.load_table_from_file(
        io.BytesIO(lines), table, size=len(lines), job_config=config, num_retries=2
    )
    assert job.result().output_rows == 6000
    assert len(rows_of("loaded")) == 6000 and client.get_table(table).num_rows == 6000
    # A bad row: all or nothing, and the words say where.
    config.write_disposition = bigquery.WriteDisposition.WRITE_APPEND
    bad = client.load_table_from_json([{"id": 1}, {"id": "one"}], table, job_config=config)
    error = raises(exceptions.BadRequest, bad.result)
    assert bad.error_result["reason"] == "invalid" and bad.errors, error
    assert client.get_table(table).num_rows == 6000
    tried("load jobs")


def job_ids():
    id = f"own-{uuid.uuid4()}"
    config = bigquery.LoadJobConfig(schema=FIELDS[:2])
    load = lambda: client.load_table_from_json(
        [{"id": 1}], path("once"), job_id=id, job_config=config
    )
    load().result()
    raises(exceptions.Conflict, load)
    assert client.get_job(id).output_rows == 1 and len(rows_of("once")) == 1
    id = f"own-{uuid.uuid4()}"
    query = lambda: client.query(
        f"DELETE FROM `{path('once')}` WHERE id = 1",
        job_id=id,
        job_retry=None,
    )
    query().result()
    # The client asks for a query's job itself where its id is known already, unless the id is ours.
    raises(exceptions.Conflict, query)
    assert client.get_job(id).num_dml_affected_rows == 1
    raises(exceptions.NotFound, lambda: client.get_job("never-was"))
    tried("job ids")


def insert_all():
    table = client.create_table(bigquery.Table(path("streamed"), schema=FIELDS))
    errors = client.insert_rows_json(table, [{"id": 1}, {"id": "one"}, {"id": 3}])
    reasons = {error["index"]: error["errors"][0]["reason"] for error in errors}
    assert reasons == {0: "stopped", 1: "invalid", 2: "stopped"}, errors
    assert rows_of("streamed") == []
    errors = client.insert_rows_json(table, [{"id": 1}, {"id": "one"}], skip_invalid_rows=True)
    assert [error["index"] for error in errors] == [1], errors
    # The client writes the values itself.
    assert client.insert_rows(table, [full(2)]) == []
    assert rows_of("streamed") == [empty(1), full(2)], rows_of("streamed")
    error = raises(
        exceptions.BadRequest,
        lambda: client.query(f"DELETE FROM `{path('streamed')}` WHERE id = 1").result(),
    )
    assert "streaming buffer" in str(error)
    tried("insertAll")


def queries():
    client.load_table_from_json(
        [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        path("merged"),
        job_config=bigquery.LoadJobConfig(schema=FIELDS[:2]),
    ).result()
    client.load_table_from_json(
        [{"id": 2, "name": "zwei"}, {"id": 3, "name": "drei"}],
        path("staged"),
        job_config=bigquery.LoadJobConfig(schema=FIELDS[:2]),
    ).result()
    merge = f"""
        MERGE `{path('merged')}` T USING `{path('staged')}` S ON T.id = S.id
        WHEN MATCHED THEN UPDATE SET name = S.name
        WHEN NOT MATCHED THEN INSERT (id, name) VALUES (S.id, S.name)"""
    dry = client.query(merge, job_config=bigquery.QueryJobConfig(dry_run=True))
    assert dry.total_bytes_processed > 0 and dry.state == "DONE"
    job = client.query(merge)
    job.result()
    assert job.num_dml_affected_rows == 2 and job.statement_type == "MERGE"
    stats = job.dml_stats
    assert (stats.inserted_row_count, stats.updated_row_count) == (1, 1), stats
    expected = [{"id": 1, "name": "one"}, {"id": 2, "name": "zwei"}, {"id": 3, "name": "drei"}]
    assert rows_of("merged") == expected
    raises(exceptions.BadRequest, lambda: client.query("MERGE nonsense").result())
    raises(
        exceptions.NotFound,
        lambda: client.query(f"DELETE FROM `{path('nothing')}` WHERE TRUE").result(),
    )
    copied = client.copy_table(path("merged"), path("copied"))
    copied.result()
    assert rows_of("copied") == expected
    client.delete_table(path("copied"))
    client.delete_table(path("copied"), not_found_ok=True)
    raises(exceptions.NotFound, lambda: client.delete_table(path("copied")))
    tried("queries")


def row_message():
    """A message for rows that is known only now, as a client has it whose tables come from outside."""
    proto = descriptor_pb2.DescriptorProto(name="Row")
    kinds = descriptor_pb2.FieldDescriptorProto
    wanted = [("id", kinds.TYPE_INT64), ("name", kinds.TYPE_STRING), ("moment", kinds.TYPE_INT64)]
    for number, (name, kind) in enumerate(wanted, 1):
        proto.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    proto.field.add(name="tags", number=4, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2")
    file.message_type.add().CopyFrom(proto)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return proto, message_factory.GetMessageClass(pool.FindMessageTypeByName("Row"))


def storage_write():
    client.create_table(
        bigquery.Table(
            path("appended"),
            schema=[field for field in FIELDS if field.name in ("id", "name", "moment", "tags")],
        )
    )
    channel = grpc.insecure_channel(GRPC)
    write = BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))
    parent = write.table_path(PROJECT, DATASET, "appended")
    proto, Row = row_message()
    moment = 1_767_225_600_000_001

    def request(rows, offset=None):
        data = types.AppendRowsRequest.ProtoData()
        data.rows.serialized_rows = [row.SerializeToString() for row in rows]
        request = types.AppendRowsRequest(proto_rows=data)
        if offset is not None:
            request.offset = offset
        return request

    def template(stream):
        data = types.AppendRowsRequest.ProtoData()
        data.writer_schema = types.ProtoSchema(proto_descriptor=proto)
        return types.AppendRowsRequest(write_stream=stream, proto_rows=data)

    stream = write.create_write_stream(
        parent=parent,
        write_stream=types.WriteStream(type_=types.WriteStream.Type.PENDING),
    )
    rows = [Row(id=id, name="", moment=moment + id, tags=["t"] * (id % 3)) for id in range(100)]
    appends = writer.AppendRowsStream(write, template(stream.name))
    futures = [
        appends.send(request(rows[start : start + 20], start)) for start in range(0, 100, 20)
    ]
    offsets = [future.result(timeout=60).append_result.offset for future in futures]
    assert offsets == [0, 20, 40, 60, 80], offsets
    # The same offset once more is refused, and harmless.
    again = lambda: appends.send(request(rows[:20], 0)).result(timeout=60)
    raises(exceptions.AlreadyExists, again)
    appends.close()
    assert rows_of("appended") == []
    commit = types.BatchCommitWriteStreamsRequest(parent=parent, write_streams=[stream.name])
    early = write.batch_commit_write_streams(commit)
    wanted = types.StorageError.StorageErrorCode.INVALID_STREAM_STATE
    assert [error.code for error in early.stream_errors] == [wanted], early
    assert not early.commit_time and rows_of("appended") == []
    assert write.finalize_write_stream(name=stream.name).row_count == 100
    done = write.batch_commit_write_streams(commit)
    assert done.commit_time and not done.stream_errors, done
    found = rows_of("appended")
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert found == [
        {
            "id": row.id,
            "name": "",
            "moment": start + datetime.timedelta(microseconds=row.moment),
            "tags": list(row.tags),
        }
        for row in rows
    ], found[:2]
    # The default stream takes rows at once, and says which row is at fault.
    appends = writer.AppendRowsStream(write, template(f"{parent}/streams/_default"))
    appends.send(request([Row(id=1000)])).result(timeout=60)
    assert len(rows_of("appended")) == 101
    bad = lambda: appends.send(request([Row(id=1001), Row(name="no id")])).result(timeout=60)
    raises(exceptions.InvalidArgument, bad)
    appends.close()
    assert len(rows_of("appended")) == 101
    missing = write.table_path(PROJECT, DATASET, "nothing")
    raises(
        exceptions.NotFound,
        lambda: write.create_write_stream(
            parent=missing,
            write_stream=types.WriteStream(type_=types.WriteStream.Type.PENDING),
        ),
    )
    tried("storage write")


datasets_and_tables()
load_jobs()
job_ids()
insert_all()
queries()
storage_write()
client.delete_dataset(DATASET, delete_contents=True)
raises(exceptions.NotFound, lambda: client.get_dataset(DATASET))
tried("the end")
