import json, sys

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "RECORD" and message["stream"] == "leads":
        record = message["record"]
        if record.get("test"):
            continue
        record["email"] = record["email"].lower()
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False) + "\n"
    sys.stdout.write(line)
