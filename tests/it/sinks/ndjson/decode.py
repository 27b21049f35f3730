#!/usr/bin/env python3
"""Reads requests with Python's json: decode.py LOG REQUEST...

Each REQUEST must carry the lines of LOG, in that order and as often. One whose name ends with .json is a list, any other
has an event on each line.
"""

import json
import sys


def lines(path):
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    assert text.endswith("\n"), path
    return [json.loads(line) for line in text[:-1].split("\n")]


def main():
    log, *requests = sys.argv[1:]
    expected = lines(log)
    assert expected and requests
    for path in requests:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        else:
            found = lines(path)
        assert found == expected, f"{path}: {len(found)} events for {len(expected)}"


main()
