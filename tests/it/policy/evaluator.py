#!/usr/bin/env python3
"""A second, independent evaluator of audit policies, for tests: evaluator.py POLICY LOG...

Prints what `audit-shipper policy eval` prints for the same policy and logs (plain or .gz). It was written after
kubernetes' own documentation of audit policies and request URLs, shares no code with the program, takes whole JSON
documents apart, and cares for neither speed nor hostile input. With --count it prints how many events each rule takes
instead.

Needs nothing but Python's standard library, which reads no YAML; `read_yaml` reads as much of it as policies need:
block and flow style, quotes, comments, anchors of whole values and aliases to them.
"""

import collections
import gzip
import json
import re
import sys
import urllib.parse

STAGES = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
LEVELS = ["None", "Metadata", "Request", "RequestResponse"]


# --- YAML ------------------------------------------------------------------------------------------------------------

def without_comment(line):
    quote = None
    for at, char in enumerate(line):
        if quote:
            quote = None if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at].rstrip()
    return line.rstrip()


class Yaml:
    def __init__(self, text):
        lines = [without_comment(line) for line in text.splitlines()]
        self.lines = [(len(line) - len(line.lstrip()), line.lstrip()) for line in lines if line.strip()]
        self.at = 0
        self.anchors = {}

    def block(self, indent):
        """The value that begins at the current line, which is indented by `indent`."""
        if self.lines[self.at][1].startswith("- ") or self.lines[self.at][1] == "-":
            return self.sequence(indent)
        return self.mapping(indent)

    def sequence(self, indent):
        items = []
        while self.at < len(self.lines) and self.lines[self.at][0] == indent and self.lines[self.at][1][0] == "-":
            rest = self.lines[self.at][1][1:]
            inner = rest.lstrip()
            if inner and re.match(r"[A-Za-z]+:(\s|$)", inner):
                # A mapping whose first key stands behind the dash.
                column = indent + 1 + len(rest) - len(inner)
                self.lines[self.at] = (column, inner)
                items.append(self.mapping(column))
            else:
                items.append(self.value(inner, indent))
        return items

    def mapping(self, indent):
        found = {}
        while self.at < len(self.lines) and self.lines[self.at][0] == indent and self.lines[self.at][1][0] != "-":
            key, rest = self.lines[self.at][1].split(":", 1)
            found[key] = self.value(rest.strip(), indent)
        return found

    def value(self, text, indent):
        """What stands behind a key or a dash; the current line is left behind."""
        self.at += 1
        anchor = re.match(r"&(\w+)\s*(.*)", text)
        if anchor:
            text = anchor.group(2)
        if text.startswith("*") and text[1:] in self.anchors:
            return self.anchors[text[1:]]
        if text:
            result = Flow(text).value()
        elif self.at < len(self.lines) and (
            self.lines[self.at][0] > indent
            or self.lines[self.at][0] == indent and self.lines[self.at][1].startswith("- ")
        ):
            result = self.block(self.lines[self.at][0])
        else:
            result = None
        if anchor:
            self.anchors[anchor.group(1)] = result
        return result


class Flow:
    """A value within one line."""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def blanks(self):
        while self.at < len(self.text) and self.text[self.at] == " ":
            self.at += 1

    def value(self):
        self.blanks()
        opening = self.text[self.at]
        if opening == "[":
            return self.items("]", self.value)
        if opening == "{":
            return dict(self.items("}", self.member))
        return self.scalar(",]}" if self.at else "")

    def member(self):
        key = self.scalar(":")
        self.at += 1
        return key, self.value()

    def items(self, close, item):
        self.at += 1
        found = []
        while True:
            self.blanks()
            if self.text[self.at] == close:
                self.at += 1
                return found
            if self.text[self.at] == ",":
                self.at += 1
                continue
            found.append(item())

    def scalar(self, ends):
        self.blanks()
        quote = self.text[self.at]
        if quote in "'\"":
            close = self.text.index(quote, self.at + 1)
            found = self.text[self.at + 1 : close]
            self.at = close + 1
            return found
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ends:
            self.at += 1
        plain = self.text[start : self.at].strip()
        return {"true": True, "false": False, "null": None, "~": None}.get(plain, plain)


def read_yaml(text):
    if text.lstrip().startswith("{"):
        return json.loads(text)
    yaml = Yaml(text)
    return yaml.block(yaml.lines[0][0])


# --- Requests --------------------------------------------------------------------------------------------------------

Request = collections.namedtuple("Request", "user groups verb resource namespace path")
Resource = collections.namedtuple("Resource", "group resource subresource name")


def name_by_selector(query):
    """?fieldSelector=metadata.name=NAME, without the corners of Go's parsers that no recorded log has."""
    selector = urllib.parse.parse_qs(query, keep_blank_values=True).get("fieldSelector", [""])[0]
    for term in sorted(selector.split(",")):
        found = re.fullmatch(r"metadata\.name==?([^=/%]+)", term)
        if found:
            return found.group(1)
    return ""


def request_of(event):
    uri = event.get("requestURI", "")
    raw_path, _, query = uri.partition("?")
    path = urllib.parse.unquote(raw_path)
    verb = event.get("verb", "")
    user = event.get("user") or {}
    if not (user.get("username") or user.get("uid") or user.get("groups")):
        name, groups = None, []
    else:
        name, groups = user.get("username", ""), user.get("groups") or []
    if "objectRef" not in event:
        return Request(name, groups, verb, None, None, path)

    parts = path.strip("/").split("/")
    prefix = parts.pop(0)
    assert prefix in ("api", "apis"), uri
    group = "" if prefix == "api" else parts.pop(0)
    parts.pop(0)  # The version.
    special = parts.pop(0) if parts[0] in ("watch", "proxy") else None
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in ("status", "finalize"):
            parts = parts[2:]
    resource = parts[0]
    object_name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 and special != "proxy" else ""
    if not object_name and not special and verb in ("list", "watch"):
        object_name = name_by_selector(query)
    return Request(name, groups, verb, Resource(group, resource, subresource, object_name), namespace, path)


# --- Rules -----------------------------------------------------------------------------------------------------------

def is_resource(wanted, resource):
    full = resource.resource + ("/" + resource.subresource if resource.subresource else "")
    if wanted in ("*", full):
        return True
    if wanted.startswith("*/") and resource.subresource and wanted[2:] == resource.subresource:
        return True
    return wanted.endswith("/*") and wanted[:-2] == resource.resource


def is_in_group(wanted, resource):
    if wanted.get("group") not in (resource.group, "*") and (wanted.get("group") or "") != resource.group:
        return False
    resources, names = wanted.get("resources"), wanted.get("resourceNames")
    if not resources:
        return True
    if names and resource.name not in names:
        return False
    return any(is_resource(text, resource) for text in resources)


def is_path(wanted, path):
    return wanted in ("*", path) or wanted.endswith("*") and path.startswith(wanted[:-1])


def matches(rule, request):
    if rule.get("users") and (request.user is None or request.user not in rule["users"]):
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(request.groups):
        return False
    if rule.get("verbs") and request.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        if request.resource is None:
            return False
        if rule.get("namespaces") and request.namespace not in rule["namespaces"]:
            return False
        return not rule.get("resources") or any(is_in_group(wanted, request.resource) for wanted in rule["resources"])
    if rule.get("nonResourceURLs"):
        return request.resource is None and any(is_path(url, request.path) for url in rule["nonResourceURLs"])
    return True


def evaluate(policy, event):
    request = request_of(event)
    omitted = set(policy.get("omitStages") or [])
    for number, rule in enumerate(policy["rules"]):
        if matches(rule, request):
            level = rule["level"]
            omitted |= set(rule.get("omitStages") or [])
            break
    else:
        number, level = None, "None"
    return {
        "auditID": event.get("auditID", ""),
        "stage": event.get("stage", ""),
        "level": min(level, event["level"], key=LEVELS.index),
        "rule": number,
        "kept": level != "None" and event.get("stage") not in omitted,
        "omitStages": [stage for stage in STAGES if stage in omitted],
    }


def events_of(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as log:
        for line in log:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("kind") == "Event":
                yield event


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--count"]
    with open(arguments[0], encoding="utf-8") as file:
        policy = read_yaml(file.read())
    counts = collections.Counter()
    for path in arguments[1:]:
        for event in events_of(path):
            found = evaluate(policy, event)
            counts[found["rule"], found["level"], found["kept"]] += 1
            if "--count" not in sys.argv:
                print(json.dumps(found, separators=(",", ":")))
    if "--count" in sys.argv:
        for (rule, level, kept), count in sorted(counts.items(), key=str):
            print(f"rule {rule}: {level}, {'kept' if kept else 'dropped'}: {count}")


if __name__ == "__main__":
    main()
