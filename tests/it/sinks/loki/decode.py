#!/usr/bin/env python3
"""Reads Loki push requests with the libraries of Google and of snappy: decode.py LOG REQUEST...

LOG holds the lines that the requests must carry together, each at least once and no others. A REQUEST whose name ends with
.json is JSON, any other a block of snappy with Protocol Buffers in it. Exit status 77: a package is not installed.
"""

import json
import re
import sys

try:
    import cramjam
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ModuleNotFoundError as error:
    print(f"cramjam or protobuf is not installed: {error}", file=sys.stderr)
    sys.exit(77)


def push_request():
    """Grafana's pkg/push/push.proto."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="push.proto", package="logproto", syntax="proto3")

    def message(name, *fields):
        added = file.message_type.add(name=name)
        for number, field, kind, repeated, of in fields:
            label = types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL
            added.field.add(name=field, number=number, type=kind, label=label, type_name=of and ".logproto." + of)

    text, group = types.TYPE_STRING, types.TYPE_MESSAGE
    message("Timestamp", (1, "seconds", types.TYPE_INT64, False, None), (2, "nanos", types.TYPE_INT32, False, None))
    message("Pair", (1, "name", text, False, None), (2, "value", text, False, None))
    message(
        "Entry",
        (1, "timestamp", group, False, "Timestamp"),
        (2, "line", text, False, None),
        (3, "metadata", group, True, "Pair"),
    )
    message("Stream", (1, "labels", text, False, None), (2, "entries", group, True, "Entry"))
    message("PushRequest", (1, "streams", group, True, "Stream"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))()


def labels(text):
    pair = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"'
    assert re.fullmatch(r"\{%s(, %s)*\}" % (pair, pair), text), text
    found = [(name, value.replace('\\"', '"').replace("\\\\", "\\")) for name, value in re.findall(pair, text)]
    assert found == sorted(found)
    return dict(found)


def streams(path):
    """Labels, and time, line and metadata of each entry."""
    with open(path, "rb") as file:
        body = file.read()
    if path.endswith(".json"):
        for stream in json.loads(body)["streams"]:
            yield stream["stream"], [(int(value[0]), value[1], (value[2:] or [{}])[0]) for value in stream["values"]]
        return
    request = push_request()
    request.ParseFromString(bytes(cramjam.snappy.decompress_raw(body)))
    unknown = [field for field in request.ListFields() if field[0].number != 1]
    assert not unknown, unknown
    for stream in request.streams:
        entries = []
        for entry in stream.entries:
            time = entry.timestamp.seconds * 10**9 + entry.timestamp.nanos
            entries.append((time, entry.line, {pair.name: pair.value for pair in entry.metadata}))
        yield labels(stream.labels), entries


with open(sys.argv[1], encoding="utf-8", newline="\n") as log:
    written = {line.rstrip("\n") for line in log}
arrived = set()
for path in sys.argv[2:]:
    for stream, entries in streams(path):
        assert stream["job"] == "kube-apiserver-audit", stream
        times = [time for time, _, _ in entries]
        assert times == sorted(times)
        for _, line, metadata in entries:
            event = json.loads(line)
            assert metadata["auditID"] == event["auditID"]
            assert metadata["verb"] == event["verb"]
            assert metadata.get("user") == event["user"].get("username")
            assert metadata.get("resource") == event.get("objectRef", {}).get("resource")
            arrived.add(line)
assert arrived == written, f"{len(arrived)} of {len(written)} lines arrived"
