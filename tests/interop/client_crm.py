"""Zoho's own SDK for CRM against a stand-in of CRM: what it sends has to be taken, what it reads has to be
what the stand-in holds, in the form in which the SDK describes every answer. Prints what it tried, and ends
at the first thing that is not so.

    client_crm.py URL SEPARATOR

URL is where tokens are given out, where the API is, and where files are uploaded; SEPARATOR stands between the
values of a multi-select in a bulk read. The stand-in holds the sample of leads, pages of a bulk read are
smaller than that, and results may be downloaded often. Records come and go in other modules. What the SDK
writes is for `client_crm_write.py`.
"""

import datetime
import decimal
import sys

from dateutil import parser

from crm_judge import SPEC, described, good, refused
from crm_sdk import *
from zohocrmsdk.src.com.zoho.crm.api import coql, fields, modules, org, record
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

URL, SEPARATOR = sys.argv[1:]

# Types of which the records hold nothing that could be compared.
ABSENT = {"address", "fileupload", "multiselectlookup", "profileimage", "subform", "hologram"}


def instant(text):
    return None if text in (None, "") else parser.isoparse(text)


def tokens():
    try:
        initialize(URL, "never-was")
    except SDKException as error:
        assert error.args == ("INVALID TOKEN ERROR", "invalid_code"), error
    else:
        raise AssertionError("a token was given for nothing")
    token, store = initialize(URL)
    first = token.get_access_token()
    assert first and store.saved == 1 and int(token.get_expires_in()) > time.time() * 1000
    organisation = org.OrgOperations().get_organization
    good(organisation(), org.ResponseWrapper)
    # It asks for another one by itself when the time of the first is over.
    token.set_expires_in("1")
    good(organisation(), org.ResponseWrapper)
    second = token.get_access_token()
    assert second != first and store.saved == 2
    control(URL, "zoho/tokens/expire", {}, "POST")
    refused(organisation(), org, "INVALID_TOKEN", 401)
    token.set_access_token(None)
    good(organisation(), org.ResponseWrapper)
    assert token.get_access_token() not in (first, second) and store.saved == 3
    tried("tokens")


def organisation():
    (found,) = good(org.OrgOperations().get_organization(), org.ResponseWrapper).get_org()
    assert found.get_zgid().isdigit() and found.get_domain_name() == f"org{found.get_zgid()}"
    assert found.get_time_zone() == "Europe/Oslo" and found.get_license_details().get_paid_type()
    tried("the organisation")


def all_modules():
    known = {each["module"]: each for each in control(URL, "crm")["modules"]}
    found = good(modules.ModulesOperations().get_modules(), modules.ResponseWrapper).get_modules()
    assert {each.get_api_name() for each in found} == set(known)
    assert len({each.get_id() for each in found}) == len(known)
    one = lambda name: modules.ModulesOperations().get_module_by_api_name(name)
    by_id = lambda id: modules.ModulesOperations().get_module(id)
    for each in found:
        for alone in (one(each.get_api_name()), by_id(each.get_id())):
            (alone,) = good(alone, modules.ResponseWrapper).get_modules()
            assert (alone.get_id(), alone.get_api_name()) == (each.get_id(), each.get_api_name())
    by_name = {each.get_api_name(): each for each in found}
    assert by_name["Events"].get_plural_label() == "Meetings"
    assert by_name["Readings"].get_parent_module().get_api_name() == "Site_Visits"
    assert by_name["Readings"].get_parent_module().get_id() == by_name["Site_Visits"].get_id()
    refused(one("No_Such_Module"), modules, "INVALID_MODULE")
    tried("modules")
    return [each.get_api_name() for each in found if each.get_api_supported()], by_name


def fields_of(module, kind="all"):
    parameter = fields.GetFieldsParam
    given = parameters(module=(module, parameter.module), type=(Choice(kind), parameter.type))
    return fields.FieldsOperations().get_fields(given)


def all_fields(names, by_name):
    known = {each["module"]: each["fields"] for each in control(URL, "crm")["modules"]}
    for name in names:
        response = fields_of(name)
        if not known[name]:
            assert response.get_status_code() == 204 and response.get_object() is None, said(response)
            continue
        found = good(response, fields.ResponseWrapper).get_fields()
        assert [each.get_api_name() for each in found] == known[name]
        for each in found:
            writes = each.get_operation_type()
            if each.get_field_read_only():
                assert not writes.get_api_create() and not writes.get_api_update(), each.get_api_name()
            if each.get_data_type() in ("lookup", "multiselectlookup"):
                way = each.get_lookup() if each.get_data_type() == "lookup" else each.get_multiselectlookup()
                assert way is not None, each.get_api_name()
    leads = {each.get_api_name(): each for each in fields_of("Leads").get_object().get_fields()}
    picks = leads["Lead_Source"].get_pick_list_values()
    shown = {each.get_actual_value(): each.get_display_value() for each in picks}
    assert shown["Advertisement"] == "Werbung" and shown["Import"] == "Import", shown
    target = leads["Referred_By"].get_lookup().get_module()
    assert target.get_api_name() == "Contacts" and target.get_id() == by_name["Contacts"].get_id()
    assert leads["Margin"].get_formula().get_return_type() == "double"
    assert leads["Member_No"].get_auto_number_61().get_prefix() == "NO-"
    assert leads["Last_Name"].get_system_mandatory() and not leads["Last_Name"].get_field_read_only()
    assert leads["Annual_Revenue"].get_currency().get_precision() == leads["Annual_Revenue"].get_decimal_place()
    assert leads["External_Id"].get_unique().get_casesensitive() == "false"
    assert leads["National_Id"].get_crypt().get_mode() and leads["Email"].get_length() == 100
    used = {each.get_api_name() for each in fields_of("Leads", "used").get_object().get_fields()}
    unused = {each.get_api_name() for each in fields_of("Leads", "unused").get_object().get_fields()}
    assert used | unused == set(leads) and unused == {"Fax_Old"}, unused
    accounts = {each.get_api_name(): each for each in fields_of("Accounts").get_object().get_fields()}
    assert accounts["Open_Deals"].get_rollup_summary().get_return_type() == "double"
    visits = {each.get_api_name(): each for each in fields_of("Site_Visits").get_object().get_fields()}
    assert visits["Readings"].get_associated_module().get_module() == "Readings"
    assert visits["Passed"].get_json_type() is None and visits["Passed"].get_data_type() == "boolean"
    refused(fields_of("No_Such_Module"), fields, "INVALID_MODULE")
    refused(fields.FieldsOperations().get_fields(), fields, "REQUIRED_PARAM_MISSING")
    tried("fields")
    return leads


def cell(kind, value):
    """As the CSV of a bulk read has a value."""
    if value is None:
        return ""
    if kind == "multiselectpicklist":
        return SEPARATOR.join(value)
    if isinstance(value, list):
        return SEPARATOR.join(each["name"] for each in value)
    if isinstance(value, dict):
        return value["id"]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def assert_row(kinds, row, wanted):
    for name, found in row.items():
        kind, expected = kinds.get(name), wanted[name]
        if kind == "datetime":
            same = instant(found) == instant(expected)
        elif kind in ("double", "percent", "currency", "formula") and found != "":
            same = decimal.Decimal(found) == decimal.Decimal(str(expected))
        else:
            same = found == cell(kind, expected)
        assert same, (name, found, expected)


def bulk_reads(leads):
    kinds = {name: field.get_data_type() for name, field in leads.items()}
    held = truth(URL, "Leads")
    rows, pages = all_rows("Leads")
    assert pages > 1, "pages of a bulk read are smaller than the sample"
    assert sorted(row["id"] for row in rows) == sorted(held)
    for row in rows:
        assert_row(kinds, row, held[row["id"]])
    wanted = ["Last_Name", "Modified_Time", "Owner", "Owner.last_name", "Referred_By.Last_Name"]
    few, _ = all_rows("Leads", wanted)
    assert set(few[0]) == {"id", *wanted} and len(few) == len(held), few[0]
    changed = sorted({each["Modified_Time"] for each in held.values()}, key=instant)
    begin, end = changed[len(changed) // 3], changed[2 * len(changed) // 3]
    window = both(
        criterion("Modified_Time", "greater_equal", begin), criterion("Modified_Time", "less_than", end)
    )
    found, _ = all_rows("Leads", ["id"], window)
    inside = lambda each: instant(begin) <= instant(each["Modified_Time"]) < instant(end)
    assert {row["id"] for row in found} == {id for id, each in held.items() if inside(each)}
    for name, comparator, value, is_in in (
        ("Lead_Source", "equal", "Import", lambda each: each["Lead_Source"] == "Import"),
        ("Lead_Source", "in", ["Import", "Trade Show"], lambda each: each["Lead_Source"] in ("Import", "Trade Show")),
        ("Email_Opt_Out", "equal", True, lambda each: each["Email_Opt_Out"] is True),
        ("No_of_Employees", "greater_than", 20, lambda each: (each["No_of_Employees"] or 0) > 20),
        ("Email", "equal", "${EMPTY}", lambda each: each["Email"] is None),
        ("Company", "starts_with", "Nor", lambda each: each["Company"].startswith("Nor")),
    ):
        found, _ = all_rows("Leads", ["id"], criterion(name, comparator, value))
        assert {row["id"] for row in found} == {id for id, each in held.items() if is_in(each)}, name
    # A criterion on a field of the parent is taken, and fails late.
    late = read_job(read_query("Leads", ["id"], criterion("Owner.last_name", "equal", "Olsen")))
    assert late.get_state().get_value() == "FAILURE"
    empty = read_job(read_query("Vendors"))
    assert empty.get_result().get_count() == 0 and not empty.get_result().get_more_records()
    tried("bulk reads")


def answers_of_a_bulk_read():
    """What the helpers take for granted, described word for word."""
    operations = bulk_read.BulkReadOperations()
    response = operations.create_bulk_read_job(read_query("Leads", ["Last_Name"]))
    (action,) = good(response, bulk_read.ActionWrapper, 201).get_data()
    (raw,) = response.get_response_json()["data"]
    described(raw, SPEC + "bulk_read.SuccessResponse")
    details = action.get_details()
    assert details["state"].get_value() == "ADDED" and details["created_time"].tzinfo is not None
    (job,) = good(operations.get_bulk_read_job_details(int(details["id"])), bulk_read.ResponseWrapper).get_data()
    assert job.get_query().get_module().get_api_name() == "Leads"
    assert job.get_query().get_fields() == ["Last_Name"] and job.get_query().get_page() == 1
    assert job.get_file_type() == "csv" and job.get_created_by().get_name()

    def refuses(code, body, status=400):
        return refused(operations.create_bulk_read_job(body), bulk_read, code, status)

    assert refuses("FIELD_NOT_SUPPORTED", read_query("Leads", ["Address"])) == {"api_name": "Address"}
    assert refuses("FIELD_NOT_AVAILABLE", read_query("Leads", ["Ghost"])) == {"api_name": "Ghost"}
    refuses("MODULE_NOT_AVAILABLE", read_query("No_Such_Module"))
    refuses("MODULE_NOT_SUPPORTED", read_query("Notes"))
    refuses("INVALID_DATA", read_query(page_token="nonsense"))
    refuses("FIELD_IN_CRITERIA_NOT_AVAILABLE", read_query("Leads", None, criterion("Ghost", "equal", "1")))
    many = both(*[criterion("Score", "not_equal", number) for number in range(26)])
    refuses("CRITERIA_LIMIT_EXCEEDED", read_query("Leads", None, many))
    mixed = both(criterion("Score", "equal", 1), criterion("Score", "equal", 2))
    mixed.set_comparator(Choice("equal"))
    refuses("AMBIGUOUS_CRITERIA", read_query("Leads", None, mixed))
    refused(operations.get_bulk_read_job_details(1), bulk_read, "RESOURCE_NOT_FOUND", 404)
    refused(operations.download_result(1), bulk_read, "RESOURCE_NOT_FOUND", 404)
    tried("answers of a bulk read")


def listing(module, names=None, since=None, **given):
    """A page of the records API."""
    if names is not None:
        given["fields"] = ",".join(names)
    map = parameters(**{name: (value, getattr(record.GetRecordsParam, name)) for name, value in given.items()})
    headers = HeaderMap()
    if since is not None:
        headers.add(record.GetRecordsHeader.if_modified_since, since)
    return record.RecordOperations(module).get_records(map, headers)


def assert_record(kinds, read, wanted, names):
    assert str(read.get_id()) == wanted["id"]
    for name in names:
        found, expected = plain(read.get_key_value(name)), wanted[name]
        kind = kinds[name]
        if kind == "datetime":
            same = found == instant(expected)
        elif kind == "bigint":
            same = found == (None if expected is None else int(expected))
        elif isinstance(expected, dict):
            same = found == expected["id"]
        elif expected and isinstance(expected, list) and isinstance(expected[0], dict):
            same = found == [each["id"] for each in expected]
        else:
            same = found == expected
        assert same, (name, found, expected)


def records(leads):
    kinds = {name: field.get_data_type() for name, field in leads.items()}
    names = [name for name in kinds if kinds[name] not in ABSENT][:50]
    assert {"Owner", "Interests", "Wagon_No", "Birthday"} <= set(names), names
    held = {id: each for id, each in truth(URL, "Leads").items()}
    assert "Tag" in names or names.append("Tag") is None
    found, page, token = {}, 1, None
    while True:
        more = {"page_token": token} if token else {"page": page}
        response = listing("Leads", names, per_page=100, converted="both", **more)
        answer = good(response, record.ResponseWrapper)
        for each in answer.get_data():
            assert_record(kinds, each, held[str(each.get_id())], names)
            found[str(each.get_id())] = each
        info = answer.get_info()
        assert info.get_count() == len(answer.get_data()) <= 100
        if not info.get_more_records():
            break
        # Both ways of going on, in turns, lead to the next page.
        token = info.get_next_page_token() if page % 2 else None
        page += 1
        assert info.get_page_token_expiry().tzinfo is not None
    assert set(found) == set(held) and page > 2, (len(found), page)
    ordered = lambda order: good(
        listing("Leads", ["Last_Name"], per_page=200, sort_by="Modified_Time", sort_order=order),
        record.ResponseWrapper,
    ).get_data()
    times = [instant(held[str(each.get_id())]["Modified_Time"]) for each in ordered("asc")]
    assert times == sorted(times)
    times = [instant(held[str(each.get_id())]["Modified_Time"]) for each in ordered("desc")]
    assert times == sorted(times, reverse=True)
    newest = times[0]
    since = listing("Leads", ["Last_Name"], since=newest, converted="both")
    changed = {str(each.get_id()) for each in good(since, record.ResponseWrapper).get_data()}
    assert changed == {id for id, each in held.items() if instant(each["Modified_Time"]) >= newest}
    nothing = listing("Leads", ["Last_Name"], since=newest + datetime.timedelta(seconds=1))
    assert nothing.get_status_code() in (204, 304) and nothing.get_object() is None
    two = sorted(held)[:2]
    by_id = good(listing("Leads", ["Last_Name"], ids=",".join(two)), record.ResponseWrapper)
    assert {str(each.get_id()) for each in by_id.get_data()} == set(two)
    assert listing("Vendors", ["Vendor_Name"]).get_status_code() == 204
    refused(listing("Leads"), record, "REQUIRED_PARAM_MISSING")
    details = refused(listing("Leads", [f"F{number}" for number in range(51)]), record, "LIMIT_EXCEEDED")
    assert details == {"limit": 50, "param_name": "fields"}, details
    far = listing("Leads", ["Last_Name"], page=11, per_page=200)
    refused(far, record, "DISCRETE_PAGINATION_LIMIT_EXCEEDED")
    counted = good(record.RecordOperations("Leads").record_count(), record.CountWrapper)
    plain_leads = good(listing("Leads", ["Last_Name"], per_page=1), record.ResponseWrapper)
    assert plain_leads.get_info().get_more_records()
    assert counted.get_count() == sum(1 for _ in pages_of("Leads"))
    tried("records")


def pages_of(module):
    """Records of a module that are not converted, page by page."""
    page = 1
    while True:
        answer = listing(module, ["Last_Name"], page=page).get_object()
        yield from answer.get_data()
        if not answer.get_info().get_more_records():
            return
        page += 1


def gone(module, since=None, **given):
    map = parameters(
        **{name: (value, getattr(record.GetDeletedRecordsParam, name)) for name, value in given.items()}
    )
    headers = HeaderMap()
    if since is not None:
        headers.add(record.GetDeletedRecordsHeader.if_modified_since, since)
    return record.RecordOperations(module).get_deleted_records(map, headers)


def deleted_records():
    assert gone("Campaigns").get_status_code() == 204
    put = [{"Campaign_Name": f"Campaign {number}"} for number in range(250)]
    ids = control(URL, "crm/Campaigns/records", put, "POST")["ids"]
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    delete = lambda ids, permanent: control(
        URL, "crm/Campaigns/records", {"ids": ids, "permanent": permanent}, "DELETE"
    )
    delete(ids[:220], False)
    delete(ids[220:230], True)
    kinds, page = {}, 1
    while True:
        answer = good(gone("Campaigns", type="all", page=page, per_page=200), record.DeletedRecordsWrapper)
        for each in answer.get_data():
            assert each.get_deleted_time() >= before and each.get_deleted_by().get_name()
            kinds[str(each.get_id())] = each.get_type()
        if not answer.get_info().get_more_records():
            break
        page += 1
    assert page == 2
    assert kinds == {**{id: "recycle" for id in ids[:220]}, **{id: "permanent" for id in ids[220:230]}}
    only = lambda kind: good(gone("Campaigns", type=kind), record.DeletedRecordsWrapper).get_data()
    assert {str(each.get_id()) for each in only("permanent")} == set(ids[220:230])
    assert all(each.get_display_name().startswith("Campaign ") for each in only("recycle"))
    later = gone("Campaigns", since=before + datetime.timedelta(hours=1))
    assert later.get_status_code() in (204, 304), said(later)
    control(URL, "crm/Campaigns/restore", {"ids": ids[:220]}, "POST")
    assert {str(each.get_id()) for each in only("all")} == set(ids[220:230])
    control(URL, "crm/Campaigns/records", {"ids": ids, "permanent": True}, "DELETE")
    refused(gone("Campaigns", type="lost"), record, "PATTERN_NOT_MATCHED")
    refused(gone("Readings"), record, "INVALID_MODULE")
    tried("deleted records")


def query(text):
    body = coql.BodyWrapper()
    body.set_select_query(text)
    # The SDK sends it without saying that it is JSON.
    return coql.CoqlOperations().get_records(body)


def queries():
    held = truth(URL, "Leads")
    changed = sorted({each["Modified_Time"] for each in held.values()}, key=instant)
    begin, last, found = changed[len(changed) // 2], "0", []
    inside = {id for id, each in held.items() if instant(each["Modified_Time"]) >= instant(begin)}
    time, order = begin, "order by Modified_Time asc, id asc limit 50"
    while True:
        answer = query(
            "select Last_Name, Modified_Time, Lead_Source, Owner, Owner.last_name from Leads where "
            f"(Modified_Time >= '{time}' and (Modified_Time > '{time}' or id > {last})) {order}"
        )
        if answer.get_status_code() == 204:
            break
        answer = good(answer, coql.ResponseWrapper)
        for each in answer.get_data():
            wanted = held[str(each.get_id())]
            assert each.get_key_value("Last_Name") == wanted["Last_Name"]
            assert instant(str(each.get_key_value("Modified_Time"))) == instant(wanted["Modified_Time"])
            found.append(str(each.get_id()))
        assert answer.get_info().get_count() == len(answer.get_data())
        if not answer.get_info().get_more_records():
            break
        time, last = held[found[-1]]["Modified_Time"], found[-1]
    assert set(found) == inside and len(found) == len(inside), (len(found), len(inside))
    assert query("select id from Leads where Last_Name = 'nobody at all'").get_status_code() == 204
    default = good(query("select id from Leads where id > 0"), coql.ResponseWrapper)
    assert len(default.get_data()) == 200 and default.get_info().get_more_records()
    paged = good(query("select id from Leads where id > 0 order by id asc limit 100, 50"), coql.ResponseWrapper)
    # The offset comes first, then the number of rows.
    assert [str(each.get_id()) for each in paged.get_data()] == sorted(held, key=int)[100:150]
    refused(query("select id from No_Such_Module where id > 0"), coql, "INVALID_MODULE")
    refused(query("select Ghost from Leads where id > 0"), coql, "INVALID_QUERY")
    refused(query("select nonsense"), coql, "INVALID_QUERY")
    tried("queries")


def callbacks_and_calendars():
    body = read_query("Leads", ["Last_Name"])
    callback = bulk_read.CallBack()
    with listening() as (address, bodies):
        callback.set_url(address)
        callback.set_method(Choice("post"))
        body.set_callback(callback)
        job = read_job(body)
        (told,) = until("the word of the end", lambda: list(bodies))
    described(told, SPEC + "bulk_read.ResponseWrapper")
    (told,) = told["data"]
    assert (told["id"], told["state"]) == (job.get_id(), "COMPLETED"), told
    assert told["result"]["count"] == job.get_result().get_count() > 0, told
    event = {"Event_Title": "Visit", "Start_DateTime": "2026-03-01T09:00:00Z", "End_DateTime": "2026-03-01T10:00:00Z"}
    (id,) = control(URL, "crm/Events/records", [event], "POST")["ids"]
    body = read_query("Events")
    body.set_file_type("ics")
    job = read_job(body)
    assert job.get_file_type() == "ics" and job.get_result().get_count() == 1
    response = bulk_read.BulkReadOperations().download_result(int(job.get_id()))
    ((name, text),) = files_of(response.get_object().get_file().get_stream().content)
    assert name.endswith(".ics") and text.startswith("BEGIN:VCALENDAR") and "Visit" in text, (name, text)
    control(URL, "crm/Events/records", {"ids": [id], "permanent": True}, "DELETE")
    tried("callbacks and calendars")


def faults():
    """Refusals that the stand-in makes up, in the shapes of the service."""

    def with_fault(spec):
        control(URL, "faults", {"set": [spec]}, "POST")
        try:
            return bulk_read.BulkReadOperations().create_bulk_read_job(read_query("Leads"))
        finally:
            control(URL, "faults", {"clear": True}, "POST")

    refused(with_fault("throttle"), bulk_read, "TOO_MANY_REQUESTS", 429)
    refused(with_fault("error"), bulk_read, "INTERNAL_ERROR", 500)
    refused(with_fault("expire"), bulk_read, "INVALID_TOKEN", 401)
    refused(with_fault("scope-missing"), bulk_read, "OAUTH_SCOPE_MISMATCH", 401)
    control(URL, "crm/permissions", {"module": "Leads", "action": "read", "code": "NO_PERMISSION"}, "POST")
    refused(bulk_read.BulkReadOperations().create_bulk_read_job(read_query("Leads")), bulk_read, "NO_PERMISSION", 403)
    refused(listing("Leads", ["Last_Name"]), record, "NO_PERMISSION", 403)
    control(URL, "crm/permissions", method="DELETE")
    tried("faults")


tokens()
organisation()
names, by_name = all_modules()
leads = all_fields(names, by_name)
bulk_reads(leads)
answers_of_a_bulk_read()
records(leads)
deleted_records()
queries()
callbacks_and_calendars()
faults()
tried("the end")
