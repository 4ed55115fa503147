"""What an answer has to be to please Zoho's SDK for CRM: of the class that is expected, and in every key as the
SDK's own description of that class says, although the SDK itself takes more than that."""

from dateutil import parser

from crm_sdk import Initializer, said

SPEC = "zohocrmsdk.src.com.zoho.crm.api."

# What Zoho's pages say and its SDK does not list: the word for a running write, and a type of modules.
BESIDE = {
    ("status", "INPROGRESS"),
    ("generated_type", "subform"),
    ("state", "QUEUED"),
    ("type", "production"),
}


def described(value, name):
    """Looks whether JSON is as the SDK describes the class of that name, however deep."""
    detail = Initializer.json_details[name]
    if detail.get("interface"):
        # One of several classes: the one that the SDK has chosen is looked at by its caller.
        return
    for member in detail.values():
        key = member.get("name")
        if key in value and value[key] is not None:
            described_member(value[key], member, f"{name.removeprefix(SPEC)}.{key}", key)


def described_member(value, member, path, key):
    kind, structure = member["type"], member.get("structure_name")
    if kind == "List":
        assert isinstance(value, list), (path, value)
        for each in value if structure else []:
            described(each, structure)
    elif kind == "Map":
        assert isinstance(value, dict), (path, value)
        for inner in member.get("keys", []):
            if value.get(inner["name"]) is not None:
                described_member(value[inner["name"]], inner, path, inner["name"])
    elif kind == f"{SPEC}util.Choice":
        assert "values" not in member or value in member["values"] or (key, value) in BESIDE, (path, value)
    elif structure:
        assert isinstance(value, dict), (path, value)
        described(value, structure)
    elif kind == "String":
        assert isinstance(value, str), (path, value)
    elif kind in ("Integer", "Long"):
        assert isinstance(value, int) and not isinstance(value, bool) or value.isdigit(), (path, value)
    elif kind == "Boolean":
        assert isinstance(value, bool), (path, value)
    elif kind == "DateTime":
        assert parser.isoparse(value).tzinfo is not None, (path, value)


def good(response, kind, status=200):
    """The object of an answer that is of the class that is expected, and described as such."""
    assert response is not None, "nothing that the SDK could read"
    object = response.get_object()
    assert response.get_status_code() == status and isinstance(object, kind), said(response)
    described(response.get_response_json(), f"{kind.__module__.rpartition('.')[0]}.{kind.__name__}")
    return object


def refused(response, package, code, status=400):
    """Looks whether an answer is the refusal that is expected, in the SDK's own class; returns its details."""
    assert response is not None, "nothing that the SDK could read"
    object = response.get_object()
    assert isinstance(object, package.APIException), ("a refusal was expected", said(response))
    assert object.get_status().get_value() == "error", said(response)
    statuses = status if isinstance(status, tuple) else (status,)
    assert object.get_code().get_value() == code and response.get_status_code() in statuses, said(response)
    return object.get_details()
