"""What Zoho's own SDK for CRM writes into a stand-in of CRM: each row has to be there as it was sent, or has to
be refused in the form in which the SDK describes it. Prints what it tried, and ends at the first thing that
is not so.

    client_crm_write.py URL

URL is where tokens are given out, where the API is, and where files are uploaded.
"""

import sys

from crm_judge import SPEC, described, good, refused
from crm_sdk import *
from zohocrmsdk.src.com.zoho.crm.api import org

URL = sys.argv[1]


def written(operation, module, header, rows, mappings, **more):
    """Uploads rows and writes them; returns the counts of the job and its result file."""
    path = archive_of("rows", header, rows)
    response = upload(path, zgid)
    uploaded = good(response, bulk_write.SuccessResponse)
    assert uploaded.get_code().get_value() == "FILE_UPLOAD_SUCCESS"
    details = uploaded.get_details()
    # The SDK takes the id for a number, and the job for a text.
    assert isinstance(details["file_id"], int) and details["created_time"].tzinfo is not None
    job = write_job(write_request(operation, module, details["file_id"], "rows", mappings, **more))
    again = bulk_write.BulkWriteOperations().get_bulk_write_job_details(job.get_id())
    good(again, bulk_write.BulkWriteResponse)
    (resource,) = job.get_resource()
    assert job.get_operation() == operation and resource.get_module().get_api_name() == module
    if job.get_status() == "FAILED":
        assert job.get_result() is None and resource.get_code(), said(again)
        return resource.get_code(), []
    file = resource.get_file()
    assert file.get_name() == "rows.csv" and file.get_total_count() == len(rows)
    counts = (file.get_added_count(), file.get_updated_count(), file.get_skipped_count())
    result = write_rows(job)
    assert len(result) == len(rows) and sum(counts) == len(rows), (counts, result)
    return counts, result


def bulk_writes():
    (account,) = control(URL, "crm/Accounts/records", [{"Account_Name": "Kestrel"}], "POST")["ids"]
    header = ["Deal", "Account", "Stage", "Amount", "Closing", "Text"]
    mappings = [
        mapping("Deal_Name", 0),
        mapping("Account_Name", 1, find_by="Account_Name"),
        mapping("Stage", 2),
        mapping("Amount", 3),
        mapping("Closing_Date", 4, format="dd.MM.yyyy"),
        mapping("Description", 5),
        mapping("Type", default="New"),
    ]
    text = 'two "lines",\nZo\u00eb \U0001f980; end'
    rows = [
        ["Pump", "Kestrel", "Negotiation", "12.50", "28.02.2026", text],
        ["Valve", "", "Closed Won", "0.1", "01.03.2026", ""],
        ["No such stage", "", "Lost in space", "1", "01.03.2026", ""],
        ["No such account", "Nobody", "Negotiation", "1", "01.03.2026", ""],
        ["", "", "Negotiation", "1", "01.03.2026", ""],
        ["No such day", "", "Negotiation", "1", "2026-03-01", ""],
    ]
    counts, result = written("insert", "Deals", header, rows, mappings)
    assert counts == (2, 0, 4), (counts, result)
    assert [row["STATUS"] for row in result] == ["ADDED"] * 2 + ["SKIPPED"] * 4
    errors = [row["ERRORS"] for row in result]
    assert errors[:2] == ["", ""] and errors[2:] == [
        "INVALID_DATA-Stage", "INVALID_DATA-Account_Name", "MANDATORY_NOT_FOUND-Deal_Name",
        "INVALID_DATA-Closing_Date",
    ], errors
    assert [row["Deal_Name"] for row in result] == [row[0] for row in rows]
    ids = [row["RECORD_ID"] for row in result[:2]]
    held = truth(URL, "Deals")
    assert set(held) == set(ids)
    pump = held[ids[0]]
    assert pump["Account_Name"]["id"] == account and pump["Description"] == text, pump
    assert (pump["Amount"], pump["Closing_Date"], pump["Type"]) == (12.5, "2026-02-28", "New")
    # An update by the id never creates; an empty cell clears, unless it is told not to.
    header, mappings = ["id", "Amount", "Description"], [mapping("id", 0), mapping("Amount", 1), mapping("Description", 2)]
    rows = [[ids[0], "13", ""], ["1", "1", ""]]
    counts, result = written("update", "Deals", header, rows, mappings, find_by="id", ignore_empty=True)
    assert counts == (0, 1, 1) and result[1]["ERRORS"] == "RESOURCE_NOT_FOUND-id", result
    pump = truth(URL, "Deals")[ids[0]]
    assert (pump["Amount"], pump["Description"]) == (13, text)
    written("update", "Deals", header, rows[:1], mappings, find_by="id", ignore_empty=False)
    assert truth(URL, "Deals")[ids[0]]["Description"] is None
    # Without mappings the header names the fields.
    header = ["Email", "Last_Name", "Account_Name.Account_Name", "Date_of_Birth"]
    rows = [[f"new.{number}@example.com", f"Name {number}", "Kestrel", "1990-05-01"] for number in range(300)]
    counts, result = written("insert", "Contacts", header, rows, None)
    assert counts == (300, 0, 0), (counts, result[:3])
    mappings = [
        mapping("Email", 0), mapping("Last_Name", 1), mapping("Account_Name", 2, find_by="id"),
        mapping("Date_of_Birth", 3, format="yyyy-MM-dd"),
    ]
    rows = [[f"new.{number}@example.com", f"Other {number}", account, "1991-05-01"] for number in range(200, 400)]
    counts, result = written("upsert", "Contacts", header, rows, mappings, find_by="Email")
    assert counts == (100, 100, 0), (counts, result[:3])
    held = {each["Email"]: each for each in truth(URL, "Contacts").values() if (each["Email"] or "").startswith("new.")}
    assert len(held) == 400
    for number in range(400):
        each = held[f"new.{number}@example.com"]
        name, born = ("Name", "1990-05-01") if number < 200 else ("Other", "1991-05-01")
        assert (each["Last_Name"], each["Date_of_Birth"]) == (f"{name} {number}", born), each
        assert each["Account_Name"]["id"] == account
    # The SDK reads back what it wrote.
    since = criterion("Email", "starts_with", "new.")
    read, _ = all_rows("Contacts", ["Email", "Last_Name"], since)
    assert {row["Email"]: row["Last_Name"] for row in read} == {
        email: each["Last_Name"] for email, each in held.items()
    }
    tried("bulk writes")


def refused_writes():
    operations = bulk_write.BulkWriteOperations()
    header, rows = ["Name"], [["A"]]
    path = archive_of("rows", header, rows)
    refused(upload(path, "1"), bulk_write, "MANDATORY_NOT_FOUND", (200, 400))
    with open(path, "wb") as file:
        file.write(b"this is no archive")
    refused(upload(path, zgid), bulk_write, "INVALID_FILE_FORMAT", (200, 400))
    file_id = upload(archive_of("rows", header, rows), zgid).get_object().get_details()["file_id"]
    names = [mapping("Vendor_Name", 0)]

    def refuses(code, module="Vendors", mappings=names, operation="insert", file_id=file_id, **more):
        request = write_request(operation, module, file_id, "rows", mappings, **more)
        return refused(operations.create_bulk_write_job(request), bulk_write, code)

    refuses("MODULE_NOT_AVAILABLE", "No_Such_Module")
    refuses("INVALID_FIELD_NAME", mappings=[mapping("Ghost", 0)])
    refuses("COLUMN_INDEX_NOT_FOUND", mappings=[mapping("Vendor_Name", 1)])
    refuses("INVALID_FILE_ID", file_id=1)
    refuses("MISSING_REQUIRED_KEY", operation="update")
    code, _ = written("insert", "Vendors", header, rows, [mapping("Phone", 0)])
    assert code == "MANDATORY_FIELDS_NOT_MAPPED", code
    assert truth(URL, "Vendors") == {}
    refused(operations.get_bulk_write_job_details("1"), bulk_write, "RESOURCE_NOT_FOUND", 404)
    nothing = operations.download_bulk_write_result(f"v8/crm/org{zgid}/bulk-write/1/1.zip")
    refused(nothing, bulk_write, "RESOURCE_NOT_FOUND", 404)
    tried("refused writes")


def parents_and_children():
    """Two files in one archive: the second is of a subform, and names a column of the first."""
    visits = [[f"Visit {number}", "2026-03-01 08:00:00", "true"] for number in range(3)]
    readings = [[f"Visit {number % 3}", f"Meter {number}", f"{number}.5"] for number in range(7)]
    path = archive_of("visits", ["Name", "Visited", "Passed"], visits)
    add_to(path, "readings", ["Visit", "Meter", "Reading"], readings)
    file_id = good(upload(path, zgid), bulk_write.SuccessResponse).get_details()["file_id"]
    mappings = [mapping("Name", 0), mapping("Visited_At", 1, format="yyyy-MM-dd HH:mm:ss"), mapping("Passed", 2)]
    request = write_request("insert", "Site_Visits", file_id, "visits", mappings)
    parent = mapping("Parent_Id", 0)
    parent.set_parent_column_index(0)
    mappings = [parent, mapping("Meter", 1), mapping("Reading", 2)]
    children = write_request("insert", "Readings", file_id, "readings", mappings)
    request.set_resource(request.get_resource() + children.get_resource())
    job = write_job(request)
    parts = {part.get_module().get_api_name(): part.get_file() for part in job.get_resource()}
    assert {name: file.get_added_count() for name, file in parts.items()} == {"Site_Visits": 3, "Readings": 7}
    ids = {each["Name"]: id for id, each in truth(URL, "Site_Visits").items()}
    for each in truth(URL, "Readings").values():
        number = int(each["Meter"].removeprefix("Meter "))
        assert each["Reading"] == number + 0.5 and each["Parent_Id"]["id"] == ids[f"Visit {number % 3}"], each
    # Oslo is an hour ahead of UTC in March.
    rows, _ = all_rows("Site_Visits", ["Name", "Visited_At", "Passed"])
    assert {row["Visited_At"] for row in rows} == {"2026-03-01T08:00:00+01:00"}, rows
    assert {row["Passed"] for row in rows} == {"true"} and len(rows) == 3
    tried("parents and children")


def callbacks():
    path = archive_of("rows", ["Name"], [["Kestrel"]])
    file_id = good(upload(path, zgid), bulk_write.SuccessResponse).get_details()["file_id"]
    request = write_request("insert", "Vendors", file_id, "rows", [mapping("Vendor_Name", 0)])
    callback = bulk_write.CallBack()
    with listening() as (address, bodies):
        callback.set_url(address)
        callback.set_method(Choice("post"))
        request.set_callback(callback)
        job = write_job(request)
        (told,) = until("the word of the end", lambda: list(bodies))
    described(told, SPEC + "bulk_write.BulkWriteResponse")
    assert (told["id"], told["status"], told["operation"]) == (job.get_id(), "COMPLETED", "insert"), told
    assert told["resource"][0]["file"]["added_count"] == 1, told
    control(URL, "crm/Vendors/records", {"ids": list(truth(URL, "Vendors")), "permanent": True}, "DELETE")
    tried("callbacks")


def upload_without_a_token():
    """The upload host answers in a shape of its own."""
    control(URL, "zoho/tokens/expire", {}, "POST")
    response = upload(archive_of("rows", ["Name"], [["A"]]), zgid)
    assert isinstance(response.get_object(), bulk_write.APIException), said(response)
    assert (response.get_status_code(), response.get_object().get_error_code()) == (401, 401), said(response)
    tried("an upload without a token")


initialize(URL)
(organisation,) = good(org.OrgOperations().get_organization(), org.ResponseWrapper).get_org()
zgid = organisation.get_zgid()
bulk_writes()
refused_writes()
parents_and_children()
callbacks()
upload_without_a_token()
tried("the end")
