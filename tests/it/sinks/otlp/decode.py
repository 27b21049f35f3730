#!/usr/bin/env python3
"""Reads OTLP requests with OpenTelemetry's own definitions: decode.py LOG REQUEST...

LOG holds the lines that the requests must carry together, each at least once and no others. A REQUEST whose name ends with
.json is JSON, any other Protocol Buffers. Exit status 77: the package opentelemetry-proto is not installed.
"""

import calendar
import hashlib
import json
import sys
import time

try:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
except ModuleNotFoundError as error:
    print(f"opentelemetry-proto is not installed: {error}", file=sys.stderr)
    sys.exit(77)


def read(path):
    with open(path, "rb") as file:
        body = file.read()
    if path.endswith(".json"):
        return json_format.Parse(body, ExportLogsServiceRequest())
    request = ExportLogsServiceRequest()
    request.ParseFromString(body)
    return request


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return members(any_value.kvlist_value.values)
    return getattr(any_value, kind)


def members(pairs):
    found = {pair.key: value(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "a key is there twice"
    return found


def number(text):
    """As OTLP has whole numbers: 64 bits, or a double."""
    whole = int(text)
    return whole if -(2**63) <= whole < 2**63 else float(whole)


def nanoseconds(stamp):
    seconds, fraction = stamp.rstrip("Z").split(".")
    whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
    return whole * 10**9 + int(fraction.ljust(9, "0"))


def check(record, lines):
    body = value(record.body)
    attributes = members(record.attributes)
    line = lines[attributes["log.record.uid"]]
    event = json.loads(line, parse_int=number)
    assert body == (line if isinstance(body, str) else event), "another body"
    assert record.time_unix_nano == nanoseconds(event["stageTimestamp"])
    assert record.observed_time_unix_nano > record.time_unix_nano
    code = event.get("responseStatus", {}).get("code", 200)
    assert record.severity_number == (9 if code < 400 else 13 if code < 500 else 17)
    reference = event.get("objectRef", {})
    expected = {
        "k8s.audit.id": event["auditID"],
        "k8s.audit.verb": event["verb"],
        "k8s.user.username": event["user"].get("username"),
        "k8s.user.groups": event["user"].get("groups"),
        "k8s.namespace.name": reference.get("namespace"),
        "k8s.event.object_ref.resource": reference.get("resource"),
        "k8s.event.response.code": event.get("responseStatus", {}).get("code"),
    }
    for key, text in event.get("annotations", {}).items():
        expected["k8s.event.annotations." + key] = text
    for key, wanted in expected.items():
        assert attributes.get(key) == wanted, (key, attributes.get(key), wanted)
    return line


with open(sys.argv[1], encoding="utf-8", newline="\n") as log:
    written = [line.rstrip("\n") for line in log]
by_uid = {hashlib.sha256(line.encode()).hexdigest()[:32]: line for line in written}
arrived = set()
for path in sys.argv[2:]:
    for logs in read(path).resource_logs:
        assert members(logs.resource.attributes)["service.name"] == "kube-apiserver"
        for scope in logs.scope_logs:
            assert scope.scope.name == "audit-shipper"
            arrived.update(check(record, by_uid) for record in scope.log_records)
assert arrived == set(written), f"{len(arrived)} of {len(written)} lines arrived"
