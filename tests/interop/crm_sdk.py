"""Zoho's own SDK for CRM, turned to a stand-in: accounts, API and upload host are at one address. What the
scripts beside this one share: the SDK made ready, bulk jobs to their end, and the files that they carry."""

import contextlib
import csv
import datetime
import http.server
import io
import json
import os
import tempfile
import threading
import time
import urllib.request
import zipfile

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api import HeaderMap, Initializer, ParameterMap
from zohocrmsdk.src.com.zoho.crm.api import bulk_read, bulk_write
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.fields import MinifiedField
from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig
from zohocrmsdk.src.com.zoho.crm.api.util import Choice, StreamWrapper

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


class Memory(TokenStore):
    """The SDK's own stores keep tokens in a file or in a database."""

    def __init__(self):
        self.saved = 0

    def find_token(self, token):
        return None

    def find_token_by_id(self, id):
        return None

    def save_token(self, token):
        self.saved += 1

    def delete_token(self, id):
        pass

    def get_tokens(self):
        return []

    def delete_tokens(self):
        pass


def initialize(url, refresh_token="sandbox-refresh"):
    """Makes the SDK ready, which asks for an access token; returns that token and its store."""
    environment = DataCenter.Environment(url, f"{url}/oauth/v2/token", url)
    # The SDK would ask who the user is, to name its files after them.
    token = OAuthToken(**CLIENT, refresh_token=refresh_token, find_user=False)
    store = Memory()
    # It keeps what it learns of the fields in the folder that it is given.
    folder = tempfile.mkdtemp(dir=os.getcwd())
    Initializer.initialize(
        environment=environment,
        token=token,
        store=store,
        sdk_config=SDKConfig(read_timeout=60, connect_timeout=60),
        resource_path=folder,
    )
    return token, store


def control(url, path, body=None, method=None):
    """A control request of the sandbox."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_sandbox/{path}", data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def truth(url, module):
    """What the stand-in holds of a module, by id."""
    return {each["id"]: each for each in control(url, f"dump/crm/{module}")}


@contextlib.contextmanager
def listening():
    """An address that callbacks are posted to, and the bodies that came."""
    bodies = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ended", bodies
    finally:
        server.shutdown()


def tried(what):
    print(what, flush=True)


def until(what, condition):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


def parameters(**given):
    """Parameters by the classes in which the SDK describes them."""
    map = ParameterMap()
    for value, parameter in given.values():
        map.add(parameter, value)
    return map


def module_named(name):
    module = MinifiedModule()
    module.set_api_name(name)
    return module


def criterion(field, comparator, value):
    named = MinifiedField()
    named.set_api_name(field)
    made = bulk_read.Criteria()
    made.set_field(named)
    made.set_comparator(Choice(comparator))
    made.set_value(value)
    return made


def both(*criteria):
    made = bulk_read.Criteria()
    made.set_group_operator(Choice("and"))
    made.set_group(list(criteria))
    return made


def read_query(module=None, fields=None, criteria=None, page_token=None):
    """The body that creates a bulk read: a module to begin with, or the token of its next page."""
    query = bulk_read.Query()
    if page_token is not None:
        query.set_page_token(page_token)
    if module is not None:
        query.set_module(module_named(module))
    if fields is not None:
        query.set_fields(fields)
    if criteria is not None:
        query.set_criteria(criteria)
    body = bulk_read.BodyWrapper()
    body.set_query(query)
    return body


def read_job(body):
    """Creates a bulk read, waits for its end, and returns what became of it."""
    created = bulk_read.BulkReadOperations().create_bulk_read_job(body)
    assert created.get_status_code() == 201, (created.get_status_code(), said(created))
    action = created.get_object().get_data()[0]
    assert isinstance(action, bulk_read.SuccessResponse), action.get_code().get_value()
    id = action.get_details()["id"]

    def over():
        response = bulk_read.BulkReadOperations().get_bulk_read_job_details(int(id))
        assert isinstance(response.get_object(), bulk_read.ResponseWrapper), said(response)
        (job,) = response.get_object().get_data()
        assert job.get_id() == id and job.get_operation() == "read"
        return job if job.get_state().get_value() in ("COMPLETED", "FAILURE") else None

    return until("the read is over", over)


def read_rows(job):
    """The rows of a bulk read that is completed."""
    response = bulk_read.BulkReadOperations().download_result(int(job.get_id()))
    assert isinstance(response.get_object(), bulk_read.FileBodyWrapper), said(response)
    stream = response.get_object().get_file().get_stream()
    return rows_of(stream.content, f"{job.get_id()}.csv")


def files_of(archive):
    """The names and texts of the files in an archive."""
    archive = zipfile.ZipFile(io.BytesIO(archive))
    return [(name, archive.read(name).decode("utf-8-sig")) for name in archive.namelist()]


def rows_of(archive, name=None):
    """The rows of the one CSV in an archive."""
    ((entry, text),) = files_of(archive)
    assert name is None or entry == name, entry
    return list(csv.DictReader(io.StringIO(text, newline="")))


def all_rows(module, fields=None, criteria=None):
    """All rows of a module by bulk reads, page after page, with the number of pages."""
    found, pages, token = [], 0, None
    while True:
        body = read_query(page_token=token) if token else read_query(module, fields, criteria)
        job = read_job(body)
        assert job.get_state().get_value() == "COMPLETED"
        result = job.get_result()
        rows = read_rows(job)
        assert len(rows) == result.get_count(), (len(rows), result.get_count())
        for row in rows:
            # The header of the id is seen as `Id` and as `id`.
            (name,) = [name for name in row if name.lower() == "id"]
            row["id"] = row.pop(name)
        found += rows
        pages += 1
        token = result.get_next_page_token()
        assert bool(token) == bool(result.get_more_records())
        if not token:
            return found, pages


def archive_of(name, header, rows):
    """A file on disk, since the SDK uploads files, with one CSV in it."""
    path = os.path.join(tempfile.mkdtemp(dir=os.getcwd()), f"{name}.zip")
    add_to(path, name, header, rows)
    return path


def add_to(path, name, header, rows):
    """Adds a CSV to such a file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", text.getvalue())


def upload(path, zgid):
    """Uploads a file for a bulk write; returns the answer."""
    headers = HeaderMap()
    headers.add(bulk_write.UploadFileHeader.feature, "bulk-write")
    headers.add(bulk_write.UploadFileHeader.x_crm_org, zgid)
    body = bulk_write.FileBodyWrapper()
    body.set_file(StreamWrapper(file_path=path))
    return bulk_write.BulkWriteOperations().upload_file(body, headers)


def mapping(api_name, index=None, format=None, find_by=None, default=None):
    made = bulk_write.FieldMapping()
    made.set_api_name(api_name)
    if index is not None:
        made.set_index(index)
    if format is not None:
        made.set_format(format)
    if find_by is not None:
        made.set_find_by(find_by)
    if default is not None:
        value = bulk_write.DefaultValue()
        value.set_value(default)
        made.set_default_value(value)
    return made


def write_request(operation, module, file_id, name, mappings, find_by=None, ignore_empty=None):
    """The body that creates a bulk write."""
    resource = bulk_write.Resource()
    resource.set_type(Choice("data"))
    resource.set_module(module_named(module))
    resource.set_file_id(str(file_id))
    resource.set_file_names([f"{name}.csv"])
    if mappings is not None:
        resource.set_field_mappings(mappings)
    if find_by is not None:
        resource.set_find_by(find_by)
    request = bulk_write.RequestWrapper()
    request.set_operation(Choice(operation))
    request.set_character_encoding("UTF-8")
    if ignore_empty is not None:
        request.set_ignore_empty(ignore_empty)
    request.set_resource([resource])
    return request


def write_job(request):
    """Creates a bulk write, waits for its end, and returns what became of it."""
    response = bulk_write.BulkWriteOperations().create_bulk_write_job(request)
    created = response.get_object()
    assert isinstance(created, bulk_write.SuccessResponse), said(response)
    assert created.get_code().get_value() == "SUCCESS", created.get_code().get_value()
    id = created.get_details()["id"]

    def over():
        response = bulk_write.BulkWriteOperations().get_bulk_write_job_details(id)
        job = response.get_object()
        assert isinstance(job, bulk_write.BulkWriteResponse), said(response)
        assert job.get_id() == id
        return job if job.get_status() in ("COMPLETED", "FAILED") else None

    return until("the write is over", over)


def write_rows(job):
    """The rows of the result of a bulk write."""
    url = job.get_result().get_download_url()
    # The SDK takes the slash of a path off, or puts one in front of an address and takes it off again.
    url = url.removeprefix("/")
    response = bulk_write.BulkWriteOperations().download_bulk_write_result(url)
    assert isinstance(response.get_object(), bulk_write.FileBodyWrapper), said(response)
    return rows_of(response.get_object().get_file().get_stream().content)


def plain(value):
    """A value of the SDK's as the stand-in holds it; instants stay what they are."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Choice):
        return value.get_value()
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if hasattr(value, "get_id"):
        return str(value.get_id())
    return value


def said(response):
    """What an answer was that is not as expected."""
    if response is None:
        return "nothing that the SDK could read"
    return response.get_status_code(), response.get_response_json()
