//! What is signed, and the time that goes into it.

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use secrecy::SecretString;

use super::*;

fn key(token: Option<&str>) -> AccessKey {
    AccessKey {
        id: "mockAccessKeyID".to_owned(),
        secret: SecretString::from("mockAccessKeySecret"),
        security_token: token.map(SecretString::from),
    }
}

/// The headers of the request and what `sign` adds to them.
fn signed(sls: &Sls, url: &str, token: Option<&str>, now: SystemTime) -> (Request, HeaderMap) {
    let request = sls.request(&events(&recorded(0..3)), now);
    let url: Url = format!("{url}{}", request.target).parse().unwrap();
    let headers: HeaderMap = request.headers.iter().cloned().collect();
    let key = key(token);
    let method = &Method::POST;
    let sent =
        Sent { method, url: &url, headers: &headers, body: &request.body, access_key: Some(&key), now };
    let added = sls.sign(&sent).into_iter().collect();
    assert!(sls.sign(&Sent { access_key: None, ..sent }).is_empty());
    (request, added)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn v1_signs_what_is_sent() {
    let (request, added) = signed(&sls(config()), URL, Some("mockStsToken"), now());
    assert_eq!(request.target, "/logstores/audit-c0123456789abcdef0123456789abcdef/shards/lb");
    assert_eq!(text(&added, "date"), Some("Wed, 01 Jan 2025 00:00:02 GMT"));
    assert_eq!(text(&added, "x-acs-security-token"), Some("mockStsToken"));
    assert_eq!(added.len(), 3, "{added:?}");
    let headers = request
        .headers
        .iter()
        .cloned()
        .chain(added.clone().into_iter().filter_map(|(name, value)| Some((name?, value))));
    let headers: HeaderMap = headers.filter(|(name, _)| name != AUTHORIZATION).collect();
    let target = Target { method: "POST", path: &request.target, query: &[] };
    let expect = signature::v1(target, &headers, "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
    assert!(added["authorization"].is_sensitive() && added["x-acs-security-token"].is_sensitive());
    assert_eq!(header(&request, "x-log-signaturemethod"), Some("hmac-sha1"));
}

#[test]
fn v4_signs_what_is_sent() {
    let of_region = config::Sls { region: Some("cn-hangzhou".to_owned()), ..config() };
    let (request, added) = signed(&sls(of_region), "http://127.0.0.1:8080", None, now());
    assert_eq!(text(&added, "x-log-date"), Some("20250101T000002Z"));
    assert_eq!(text(&added, "x-log-project"), Some("proj"), "the host does not tell it");
    assert_eq!(added.len(), 3, "{added:?}");
    assert_eq!(header(&request, CONTENT_SHA256), Some(&fingerprint::hex(&request.body.concat())[..]));
    assert_eq!(header(&request, "x-log-signaturemethod"), None);
    let host = [(HOST, HeaderValue::from_static("127.0.0.1:8080"))];
    let added_pairs = added.iter().map(|(name, value)| (name.clone(), value.clone()));
    let headers: HeaderMap = request.headers.iter().cloned().chain(added_pairs).chain(host).collect();
    let target = Target { method: "POST", path: &request.target, query: &[] };
    let expect = signature::v4(target, &headers, "cn-hangzhou", "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
}

#[test]
fn a_hash_key_chooses_the_shard_and_is_signed() {
    let route = "14d2f850ad6ea48e46e4547edbbb27e0";
    let sls = sls(config::Sls { hash_key: Some(route.to_owned()), ..config() });
    let (request, added) = signed(&sls, URL, None, now());
    let path = "/logstores/audit-c0123456789abcdef0123456789abcdef/shards/route";
    assert_eq!(request.target, format!("{path}?key={route}"));
    let added_pairs = added.iter().map(|(name, value)| (name.clone(), value.clone()));
    let headers: HeaderMap = request.headers.iter().cloned().chain(added_pairs).collect();
    let query = [("key".to_owned(), route.to_owned())];
    let target = Target { method: "POST", path, query: &query };
    let expect = signature::v1(target, &headers, "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
}

#[test]
fn the_project_is_told_unless_the_host_begins_with_it() {
    for (url, project) in [
        (URL, None),
        ("https://cn-hangzhou.log.aliyuncs.com", Some("proj")),
        ("https://project.cn-hangzhou.log.aliyuncs.com", Some("proj")),
        ("https://proj", Some("proj")),
        ("http://[::1]:8080", Some("proj")),
    ] {
        let (_, added) = signed(&sls(config()), url, None, now());
        assert_eq!(text(&added, "x-log-project"), project, "{url}");
    }
}

fn expired(x_log_time: Option<u64>) -> Answer {
    let mut answer = answer(400, r#"{"errorCode":"RequestTimeExpired","errorMessage":""}"#);
    answer.received_at = now();
    if let Some(time) = x_log_time {
        answer.headers.insert("x-log-time", time.into());
    }
    answer
}

#[test]
fn a_wrong_clock_is_put_right_by_what_the_answer_says_of_the_time() {
    for region in [None, Some("cn-hangzhou".to_owned())] {
        let of_v1 = region.is_none();
        let sls = sls(config::Sls { region, ..config() });
        let sent_at = |sls: &Sls| {
            let (request, added) = signed(sls, URL, None, now());
            let date = text(&added, if of_v1 { "date" } else { "x-log-date" }).unwrap().to_owned();
            (u64::from(decoded(&request).logs[0].time), date)
        };
        assert_eq!(sent_at(&sls).0, NOW.as_secs());
        assert_eq!(sls.verdict(3, &expired(None)), Verdict::Hold { reread_credentials: false });
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "nothing was learnt");
        let theirs = NOW.as_secs() - 20 * 60;
        assert_eq!(sls.verdict(3, &expired(Some(theirs))), Verdict::Again);
        let date = if of_v1 { "Tue, 31 Dec 2024 23:40:02 GMT" } else { "20241231T234002Z" };
        assert_eq!(sent_at(&sls), (theirs, date.to_owned()));
        let mut accepted = expired(Some(NOW.as_secs()));
        accepted.status = 200;
        assert_eq!(sls.verdict(3, &accepted), Verdict::Accepted);
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "the node's clock was set right");
        accepted.headers.insert("x-log-time", theirs.into());
        assert_eq!(sls.verdict(3, &accepted), Verdict::Accepted);
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "a clock that was never wrong is not doubted");
    }
}

#[test]
fn no_time_is_too_far_off() {
    let far = Duration::from_secs(1 << 40);
    for here in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + far, SystemTime::UNIX_EPOCH - far] {
        for theirs in [0, NOW.as_secs(), 1 << 40, u64::MAX] {
            let sls = sls(config::Sls { time: SlsTime::Event, ..config() });
            sls.verdict(1, &expired(Some(theirs)));
            let (request, added) = signed(&sls, URL, None, here);
            assert!(added.contains_key(DATE));
            assert_eq!(decoded(&request).logs.len(), 3);
        }
    }
}
