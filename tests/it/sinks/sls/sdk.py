#!/usr/bin/env python3
"""Alibaba's own SDK reads what was sent to SLS, for tests: sdk.py REQUESTS

REQUESTS holds a JSON object a line: id, secret, token, region (empty: V1), method, target, headers, body (hexadecimal).
Each request is signed again with the SDK's code for signatures, whose result must be that of the request. Its body is
decompressed and parsed with the SDK's definition of a LogGroup. Each log is printed as a JSON object of its contents,
one a line. Exit status 77: the SDK or cramjam is not installed.
"""

import json
import sys
from urllib.parse import parse_qsl

try:
    import cramjam
    from aliyun.log.auth import AuthV1, AuthV4
    from aliyun.log.compress import Compressor, CompressType
    from aliyun.log.credentials import StaticCredentialsProvider
    from aliyun.log.log_logs_pb2 import LogGroup
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)


def signed_again(request, headers, body):
    """The request's Authorization as the SDK would have it, at the time of the request."""
    provider = StaticCredentialsProvider(request["id"], request["secret"], request["token"] or None)
    path, _, query = request["target"].partition("?")
    params = dict(parse_qsl(query, keep_blank_values=True))
    if request["region"]:
        own = {name: value for name, value in headers.items()
               if name in ("content-type", "host") or name.startswith(("x-log-", "x-acs-"))}
        auth = AuthV4(provider, request["region"])
        return auth._do_sign_request(request["method"], path, params, own, body, headers["x-log-date"])
    own = {name: value for name, value in headers.items() if name.startswith(("x-log-", "x-acs-"))}
    own["Content-Type"] = headers["content-type"]
    auth = AuthV1(provider)
    auth._getGMT = lambda: headers["date"]
    auth.sign_request(request["method"], path, params, own, body)
    if own["Content-MD5"] != headers["content-md5"]:
        raise ValueError("Content-MD5 is not that of the body")
    return own["Authorization"]


def decompressed(body, kind, raw_size):
    """The SDK has no zstd of its own."""
    if kind == "zstd":
        return bytes(cramjam.zstd.decompress(body))
    return Compressor.decompress(body, raw_size, {"lz4": CompressType.LZ4, None: CompressType.UNCOMPRESSED}[kind])


def logs(request):
    """The contents of each log of the request."""
    headers, body = request["headers"], bytes.fromhex(request["body"])
    expected = signed_again(request, headers, body)
    if headers["authorization"] != expected:
        raise ValueError(f"signed {headers['authorization']}, the SDK has {expected}")
    raw_size = int(headers["x-log-bodyrawsize"])
    raw = decompressed(body, headers.get("x-log-compresstype"), raw_size)
    if len(raw) != raw_size:
        raise ValueError(f"{len(raw)} bytes, announced are {raw_size}")
    group = LogGroup()
    group.ParseFromString(raw)
    if not group.IsInitialized():
        raise ValueError("a required field is missing")
    for log in group.Logs:
        yield {content.Key: content.Value for content in log.Contents}


def main():
    with open(sys.argv[1], encoding="utf-8") as requests:
        for line in requests:
            for contents in logs(json.loads(line)):
                print(json.dumps(contents, sort_keys=True))


main()
