//! Vectors that Alibaba publishes with its SDKs for Go, Python and Rust, and one that its Python SDK signed for us.

use md5::{Digest as _, Md5};
use reqwest::header::HeaderValue;

use super::*;

const GROUP: &str = include_str!("../../../../tests/data/sinks/sls/group.hex");

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// What `v1` says behind the key's ID.
fn signed_v1(
    method: &str,
    target: &str,
    pairs: &[(&'static str, &str)],
    (id, secret): (&str, &str),
) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let query: Vec<_> = query.split('&').filter_map(pair).collect();
    let fixed = [("x-log-apiversion", "0.6.0"), ("x-log-signaturemethod", "hmac-sha1")];
    let headers = headers(&[&fixed, pairs].concat());
    let value = v1(Target { method, path, query: &query }, &headers, id, secret);
    value.strip_prefix(&format!("LOG {id}:")).unwrap().to_owned()
}

fn md5(body: &[u8]) -> String {
    fingerprint::hex_of(&Md5::digest(body)).to_uppercase()
}

pub(in crate::sink::sls) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

const MOCK: (&str, &str) = ("mockAccessKeyID", "mockAccessKeySecret");

#[test]
fn v1_is_what_the_sdk_for_go_says() {
    let date = ("date", "Mon, 3 Jan 2010 08:33:47 GMT");
    let get = [date, ("x-log-bodyrawsize", "0")];
    assert_eq!(signed_v1("GET", "/logstores", &get, MOCK), "Rwm6cTKzoti4HWoe+GKcb6Kv07E=");
    let body = unhex(
        "0a320a1e08f8b2939e0512160a07546573744b6579120b54657374436f6e74656e741a00220e31302e3233302e3230312e313137",
    );
    assert_eq!(md5(&body), "8D6881250FF5559F59BBDF04100F6E59");
    let with_body = [
        date,
        ("content-md5", &md5(&body)),
        ("content-type", "application/x-protobuf"),
        ("x-log-bodyrawsize", "50"),
    ];
    assert_eq!(signed_v1("GET", "/logstores/app_log", &with_body, MOCK), "87xQWqFaOSewqRIma8kPjGYlXHc=");
}

#[test]
fn v1_is_what_the_sdk_for_rust_says() {
    let date = ("date", "Thu, 01 Jan 1970 00:00:00 GMT");
    let token = ("x-acs-security-token", "test-security-token");
    let key = ("test-access-key-id", "test-access-key");
    assert_eq!(signed_v1("GET", "/", &[date], ("", "")), "SApFTtfTFKHmzdEdaMe5TjNn+RQ=");
    let body = b"\n            {\"key\": \"value\"}\n        ";
    assert_eq!(md5(body), "CE688F8D1AC3ED309BA9BE0A5ABAFCE5");
    let target = "/logstores/test-logstore?type=log&offset=0&line=100";
    let digest = md5(body);
    let post = [date, ("content-md5", &digest), ("content-type", "application/json")];
    assert_eq!(signed_v1("POST", target, &post, key), "4pL2xZJERC3tPKtRiHh9+nMG3tI=");
    let with_token = [&post[..], &[token]].concat();
    assert_eq!(signed_v1("POST", target, &with_token, key), "ZQt+0wIvpd+O9yIJKeKxZTJ2hv0=");
    // Two equals signs that nothing has encoded.
    let target = "/logstores/test/shards/2?type=log&count=1000&cursor=MTczNzY2OTAzNjAxNzIxODQ1NA==";
    assert_eq!(signed_v1("POST", target, &with_token, key), "K3rw5WXRe77aZ/meSyEa8NNUYFc=");
}

#[test]
fn v1_is_what_the_sdk_for_python_says_of_our_requests() {
    let group = unhex(GROUP);
    assert_eq!(group.len(), 344);
    let literals = [&[0xf0, 0xff, 0x4a], &group[..]].concat();
    let digests = [md5(&group), md5(&literals)];
    assert_eq!(digests, ["FE49F417946953A5DDF15E0976BFD8C2", "E14CB50B97D07AF36D3859C4859B10EA"]);
    let common = [
        ("date", "Wed, 01 Jan 2025 00:00:02 GMT"),
        ("content-type", "application/x-protobuf"),
        ("x-log-bodyrawsize", "344"),
    ];
    let logstore = "/logstores/audit-c0123456789abcdef0123456789abcdef/shards";
    let signed = |target: &str, more: &[(&'static str, &str)]| {
        signed_v1("POST", &format!("{logstore}{target}"), &[&common, more].concat(), MOCK)
    };
    let plain = [("content-md5", &digests[0][..])];
    assert_eq!(signed("/lb", &plain), "sBWJYRZj3KzvGw1zPS7LQlh7qiI=");
    let lz4 = [("content-md5", &digests[1][..]), ("x-log-compresstype", "lz4")];
    assert_eq!(signed("/lb", &lz4), "jpVNYVuCBy0W/AibM8G2PWohJq0=");
    let with_token = [lz4[0], lz4[1], ("x-acs-security-token", "mockStsToken")];
    let route = "/route?key=14d2f850ad6ea48e46e4547edbbb27e0";
    assert_eq!(signed(route, &with_token), "j626wOICDa2mGritU6hm+Ett5ps=");
}

#[test]
fn v4_is_what_the_sdks_for_go_and_python_say() {
    let query = [(" abc", "efg"), (" agc ", ""), ("", "efg"), ("A-bc", "eFg")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let more = [("abs-ij*asd/vc", "a~js+d ada"), ("a abAas123/vc", "a~jdad a2ADFs+d ada")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let all_query = [&query[..], &more[..]].concat();
    let own = [("hello", "world"), ("hello-text", "a12X- "), ("x-log-test", "het123"), ("x-acs-ppp", "dds")];
    let body = "adasd= -asd zcas";
    let cases: [(_, _, &[_], &[_], _, _, _); 5] = [
        (
            "POST",
            "/logstores",
            &[],
            &[],
            "cn-shanghai",
            body,
            "8a10a5e723cb2e75964816de660b2c16a58af8bc0261f7f0722d832468c76ce8",
        ),
        (
            "POST",
            "/logstores",
            &query,
            &own,
            "cn-hangzhou",
            body,
            "a98f5632e93836e63839cd836a54055f480020a9364ca944e2d34f2eb9bf1bed",
        ),
        (
            "POST",
            "/logstores",
            &query,
            &own,
            "cn-hangzhou",
            "",
            "5a66d8f8051983e0e9d08e0f960ef9252ef971eead5bb5c7acec8617a2eb2701",
        ),
        (
            "GET",
            "/logstores",
            &query,
            &own,
            "cn-hangzhou",
            "",
            "d92741852500791d662a8d469ff61627c0559ecd86c3f59b7bf6772b6c62666a",
        ),
        (
            "POST",
            "/logstores/hello/a+*~bb/cc",
            &all_query,
            &own,
            "cn-hangzhou",
            body,
            "2c204068e961a8813a6bcf7ac422f7fa6e9bf9a5da493e0165dfe100854d18ff",
        ),
    ];
    for (method, path, query, own, region, body, signature) in cases {
        let mut headers = headers(own);
        headers.insert(DATE, HeaderValue::from_static("20220808T032330Z"));
        headers.insert(CONTENT_SHA256, fingerprint::hex(body.as_bytes()).parse().unwrap());
        let scope = format!("20220808/{region}/sls/aliyun_v4_request");
        let expect = format!("SLS4-HMAC-SHA256 Credential=acsddda21dsd/{scope},Signature={signature}");
        let found = v4(Target { method, path, query }, &headers, region, "acsddda21dsd", "zxasdasdasw2");
        assert_eq!(found, expect);
    }
}

#[test]
fn v4_is_what_the_sdk_for_python_says_of_our_requests() {
    let literals = [&[0xf0, 0xff, 0x4a], &unhex(GROUP)[..]].concat();
    let headers = headers(&[
        ("content-type", "application/x-protobuf"),
        ("host", "proj.cn-hangzhou.log.aliyuncs.com"),
        ("x-log-apiversion", "0.6.0"),
        ("x-log-bodyrawsize", "344"),
        ("x-log-compresstype", "lz4"),
        (CONTENT_SHA256, &fingerprint::hex(&literals)),
        (DATE, "20250101T000002Z"),
    ]);
    let path = "/logstores/audit-c0123456789abcdef0123456789abcdef/shards/lb";
    let target = Target { method: "POST", path, query: &[] };
    let signature = "b249c7566d3b8f47eb2a7aa33c15c88e046dfdd957a5a7ec205b86b4d3854474";
    let found = v4(target, &headers, "cn-hangzhou", MOCK.0, MOCK.1);
    assert_eq!(found.rsplit_once("Signature=").unwrap().1, signature);
    let scope = "mockAccessKeyID/20250101/cn-hangzhou/sls/aliyun_v4_request";
    assert_eq!(found, format!("SLS4-HMAC-SHA256 Credential={scope},Signature={signature}"));
}

#[test]
fn only_what_may_stand_in_a_query_is_not_encoded() {
    let encoded = "123abc%21%40%23%24%25%5E%26%2A%28%29-%3D_%2B%20~%7C%5C%2F";
    assert_eq!(percent_encoded(r"123abc!@#$%^&*()-=_+ ~|\/"), encoded);
    assert_eq!(percent_encoded("你\0"), "%E4%BD%A0%00");
}
