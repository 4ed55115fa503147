"""A connector of others for CRM, which knows nothing of Zoho's SDK, against a stand-in of CRM: pages of records
with and without conditions, what changed since, deletions, queries, names of fields. Prints what it tried, and
ends at the first thing that is not so.

    connector_crm.py URL

It goes by v2 of the API unless it is told another address, and is told both here. Tokens it can ask for at
Zoho's own addresses alone: the one that it begins with is laid where it keeps them.
"""

import datetime
import json
import pathlib
import sys
import tempfile
import urllib.parse
import urllib.request

from zoho_crm_connector import Zoho_crm

URL = sys.argv[1]
CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


def tried(what):
    print(what, flush=True)


def answer(path, **form):
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(f"{URL}/{path}", data, timeout=60) as answered:
        return json.load(answered)


def connected(version):
    folder = pathlib.Path(tempfile.mkdtemp(dir="."))
    form = {**CLIENT, "grant_type": "refresh_token", "refresh_token": "sandbox-refresh"}
    (folder / "access_token.json").write_text(json.dumps(answer("oauth/v2/token", **form)))
    return Zoho_crm(
        refresh_token="sandbox-refresh", token_file_dir=folder, base_url=f"{URL}/crm/{version}/", **CLIENT
    )


def instant(text):
    return datetime.datetime.fromisoformat(text)


def all_of(pages):
    return {each["id"]: each for page in pages for each in page}


def records(crm, given):
    held = {each["id"]: each for each in answer("_sandbox/dump/crm/Leads")}
    both = {**given, "converted": "both"}
    found = all_of(crm.yield_page_from_module("Leads", parameters=dict(both)))
    assert set(found) == set(held), (len(found), len(held))
    for id, each in found.items():
        for name in ("Last_Name", "Email", "Annual_Revenue", "Email_Opt_Out", "Interests", "Birthday"):
            assert each[name] == held[id][name], (name, each[name], held[id][name])
        assert each["Owner"]["id"] == held[id]["Owner"]["id"] and each["Owner"]["name"], each["Owner"]
    newest = max(instant(each["Modified_Time"]) for each in held.values())
    changed = all_of(crm.yield_page_from_module("Leads", parameters=dict(both), modified_since=newest))
    assert set(changed) == {id for id, each in held.items() if instant(each["Modified_Time"]) >= newest}
    later = newest + datetime.timedelta(seconds=1)
    assert all_of(crm.yield_page_from_module("Leads", parameters=dict(both), modified_since=later)) == {}
    assert all_of(crm.yield_page_from_module("Vendors", parameters=dict(given))) == {}
    try:
        all_of(crm.yield_page_from_module("No_Such_Module", parameters=dict(given)))
    except RuntimeError as error:
        assert "INVALID_MODULE" in str(error), error
    else:
        raise AssertionError("a module was found that is not there")
    tried("records")


def metadata(crm):
    known = {each["module"]: each["fields"] for each in answer("_sandbox/crm")["modules"]}
    names = crm.get_module_field_api_names("Leads")
    assert set(names) == set(known["Leads"]) - {"Fax_Old"}, set(names) ^ set(known["Leads"])
    tried("fields")


def queries(crm):
    held = {each["id"]: each for each in answer("_sandbox/dump/crm/Leads")}
    found = crm.get_records_through_coql_query("select Last_Name, Email from Leads where City = 'Oslo' limit 2000")
    assert {each["id"]: each["Last_Name"] for each in found} == {
        id: each["Last_Name"] for id, each in held.items() if each["City"] == "Oslo"
    }
    tried("queries")


def deletions(crm):
    def control(method, body):
        request = urllib.request.Request(f"{URL}/_sandbox/crm/Price_Books/records", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        request.method = method
        with urllib.request.urlopen(request, timeout=60) as answered:
            return json.load(answered)

    assert all_of(crm.yield_deleted_records_from_module("Price_Books")) == {}
    ids = control("POST", [{"Price_Book_Name": f"Book {number}"} for number in range(210)])["ids"]
    control("DELETE", {"ids": ids})
    gone = all_of(crm.yield_deleted_records_from_module("Price_Books"))
    assert set(gone) == set(ids) and {each["type"] for each in gone.values()} == {"recycle"}
    assert all_of(crm.yield_deleted_records_from_module("Price_Books", type="permanent")) == {}
    tried("deletions")


FIELDS = "Last_Name,Email,Annual_Revenue,Email_Opt_Out,Interests,Birthday,Owner,Modified_Time"

newest = connected("v8")
records(newest, {"fields": FIELDS})
metadata(newest)
queries(newest)
deletions(newest)
# The version that it goes by itself wants no names of fields.
oldest = connected("v2")
records(oldest, {})
metadata(oldest)
tried("the end")
