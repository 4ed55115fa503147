"""Does with a CRM what it is told, through Zoho's own SDK: for each line of JSON on stdin a line with the answer,
or with what went wrong.

    drive_crm.py URL

    {"records": MODULE}                 all records, page by page, converted ones too, by id: what the SDK makes
                                        of every field that the metadata has, ids and lookups as texts, times in UTC
    {"bulk": MODULE, "fields": [...]}   the rows of a bulk read, every cell as text, by id
    {"deleted": MODULE}                 when each record was deleted, by id
    {"count": MODULE}                   records that are not converted
    {"write": MODULE, "operation": "upsert", "find_by": FIELD, "rows": [{...}, ...]}
                                        a bulk write by the header of its file: the rows of the result
"""

import datetime
import json
import sys
import traceback

from crm_sdk import *
from zohocrmsdk.src.com.zoho.crm.api import fields, org, record

# Fields of one call of the records API.
AT_ONCE = 50

# Types of which the records have nothing.
ABSENT = {"address", "fileupload", "multiselectlookup", "profileimage", "subform"}


def text_of(value):
    value = plain(value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def fields_of(module):
    parameter = fields.GetFieldsParam
    given = parameters(module=(module, parameter.module), type=(Choice("all"), parameter.type))
    found = fields.FieldsOperations().get_fields(given).get_object().get_fields()
    return [each.get_api_name() for each in found if each.get_data_type() not in ABSENT]


def records(module):
    found = {}
    names = fields_of(module)
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        for each in pages(module, part):
            kept = found.setdefault(str(each.get_id()), {"id": str(each.get_id())})
            kept.update({name: text_of(each.get_key_value(name)) for name in part})
            if "Tag" in part and kept["Tag"]:
                kept["Tag"] = [tag.get_name() for tag in each.get_key_value("Tag")]
    return found


def pages(module, names):
    parameter = record.GetRecordsParam
    more = {"page": (1, parameter.page)}
    while True:
        given = parameters(
            fields=(",".join(names), parameter.fields), converted=("both", parameter.converted), **more
        )
        response = record.RecordOperations(module).get_records(given, HeaderMap())
        if response.get_status_code() == 204:
            return
        answer = response.get_object()
        assert isinstance(answer, record.ResponseWrapper), said(response)
        yield from answer.get_data()
        if not answer.get_info().get_more_records():
            return
        more = {"page_token": (answer.get_info().get_next_page_token(), parameter.page_token)}


def deleted(module):
    parameter, page, found = record.GetDeletedRecordsParam, 1, {}
    while True:
        given = parameters(type=("all", parameter.type), page=(page, parameter.page))
        response = record.RecordOperations(module).get_deleted_records(given, HeaderMap())
        if response.get_status_code() == 204:
            return found
        answer = response.get_object()
        assert isinstance(answer, record.DeletedRecordsWrapper), said(response)
        for each in answer.get_data():
            found[str(each.get_id())] = text_of(each.get_deleted_time())
        if not answer.get_info().get_more_records():
            return found
        page += 1


def write(asked):
    rows = asked["rows"]
    header = list(rows[0])
    (organisation,) = org.OrgOperations().get_organization().get_object().get_org()
    path = archive_of("rows", header, [[row[name] for name in header] for row in rows])
    response = upload(path, organisation.get_zgid())
    assert isinstance(response.get_object(), bulk_write.SuccessResponse), said(response)
    file_id = response.get_object().get_details()["file_id"]
    more = {key: asked[key] for key in ("find_by", "ignore_empty") if key in asked}
    job = write_job(write_request(asked["operation"], asked["write"], file_id, "rows", None, **more))
    assert job.get_status() == "COMPLETED", job.get_resource()[0].get_code()
    return write_rows(job)


def answer(asked):
    if "records" in asked:
        return records(asked["records"])
    if "bulk" in asked:
        rows, _ = all_rows(asked["bulk"], asked.get("fields"))
        return {row["id"]: row for row in rows}
    if "deleted" in asked:
        return deleted(asked["deleted"])
    if "count" in asked:
        return record.RecordOperations(asked["count"]).record_count().get_object().get_count()
    return write(asked)


def main():
    initialize(sys.argv[1])
    for line in sys.stdin:
        try:
            answered = {"answer": answer(json.loads(line))}
        except Exception:
            answered = {"error": traceback.format_exc()}
        print(json.dumps(answered), flush=True)


main()
