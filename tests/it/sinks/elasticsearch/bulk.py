#!/usr/bin/env python3
"""An independent reader of _bulk, for tests: bulk.py MODE DATA_STREAM LOG BODY...

Reads bodies by the grammar of the bulk API, holds each document against the line of the log that its _id is the hash of,
and prints how many different ones there were. MODE is ecs, ecs-raw or raw. Shares nothing with audit-shipper.
"""

import hashlib
import ipaddress
import json
import re
import sys

# What the test configures.
IDENTITY = {"cluster": "prod-eu", "node": "cp-7"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def strict(pairs):
    """Elasticsearch refuses an object that has a key twice."""
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key is there twice: {keys}"
    return dict(pairs)


def read(line):
    return json.loads(line, object_pairs_hook=strict)


def documents(body):
    """The pairs of a body: an _id, and the document as bytes."""
    assert body.endswith(b"\n"), "the last line does not end"
    lines = body[:-1].split(b"\n")
    assert len(lines) % 2 == 0, "an action without its document"
    for action, document in zip(lines[::2], lines[1::2]):
        action = read(action)
        assert list(action) == ["create"], "a data stream takes nothing but create"
        assert list(action["create"]) == ["_id"]
        identity = action["create"]["_id"]
        assert re.fullmatch("[0-9a-f]{32}", identity), identity
        yield identity, document


def names(value):
    """With keys that can be names of fields."""
    if isinstance(value, list):
        return [names(item) for item in value]
    if isinstance(value, dict):
        is_name = lambda key: all(key.split("."))
        return {key if is_name(key) else key.replace(".", "_"): names(item) for key, item in value.items()}
    return value


def without_metadata(body):
    if not isinstance(body, dict):
        return body
    body = {key: value for key, value in body.items() if key != "metadata"}
    objects = [item for item in body.get("items") or [] if isinstance(item, dict)]
    if body.get("kind") == "Table":
        objects += [row.get("object") or {} for row in body.get("rows") or []]
    for item in objects:
        item.get("metadata", {}).pop("managedFields", None)
    return body


def audit(event, mode):
    event = dict(event)
    for key in ("requestObject", "responseObject"):
        if key in event:
            body = without_metadata(event[key]) if mode == "ecs" else event[key]
            event[key] = names(body)
    if "annotations" in event:
        event["annotations"] = {key.replace(".", "_"): value for key, value in event["annotations"].items()}
    return event


def expected(event, mode, data_stream, log):
    """What Elastic's ingest pipeline makes of the event, but for the time, which is the event's."""
    time = event["requestReceivedTimestamp"]
    if mode == "raw":
        return {"@timestamp": time, "auditShipper": {"source": log["file"]["path"], **IDENTITY}, **event}
    place = {
        "orchestrator": {"type": "kubernetes", "cluster": {"name": IDENTITY["cluster"]}},
        "host": {"name": IDENTITY["node"], "hostname": IDENTITY["node"]},
        "log": log,
    }
    decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
    outcome = {"allow": "success", "forbid": "failure"}.get(decision)
    outcome = {"outcome": outcome} if outcome else {}
    kubernetes = {"audit": audit(event, mode)}
    if mode == "ecs-raw":
        event = {"event": outcome} if outcome else {}
        return {"@timestamp": time, **place, **event, "kubernetes": kubernetes}
    kind, dataset, namespace = data_stream.split("-")
    user = {"name": event["user"].get("username"), "id": event["user"].get("uid")}
    ips = event["sourceIPs"]
    assert all(ipaddress.ip_address(ip) for ip in ips)
    optional = {
        "user": {key: value for key, value in user.items() if value},
        "user_agent": {"original": event["userAgent"]} if event.get("userAgent") else {},
    }
    return {
        "@timestamp": time,
        "data_stream": {"type": kind, "dataset": dataset, "namespace": namespace},
        "ecs": {"version": "8.0.0"},
        "event": {"kind": "event", "dataset": dataset, "action": event["verb"], **outcome},
        **{key: value for key, value in optional.items() if value},
        "source": {"ip": ips},
        "client": {"ip": ips},
        **place,
        "kubernetes": kubernetes,
    }


def main():
    mode, data_stream, log, *bodies = sys.argv[1:]
    lines, offset = {}, 0
    with open(log, "rb") as file:
        for line in file:
            identity = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()[:32]
            lines.setdefault(identity, (line, []))[1].append(offset)
            offset += len(line)
    seen = set()
    for body in bodies:
        with open(body, "rb") as file:
            for identity, document in documents(file.read()):
                document = read(document)
                assert TIME.fullmatch(document["@timestamp"])
                line, offsets = lines[identity]
                places = [{"file": {"path": log}, "offset": offset} for offset in offsets]
                wanted = [expected(json.loads(line), mode, data_stream, place) for place in places]
                assert document in wanted, f"{document}\ninstead of\n{wanted}"
                seen.add(identity)
    print(len(seen))


if __name__ == "__main__":
    main()
