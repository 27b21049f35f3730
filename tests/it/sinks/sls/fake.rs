//! An SLS that takes what Alibaba's takes, and says no as it does. It shares no code with the program: signatures are
//! made by hand from the documentation, and groups are read by prost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::Md5;
use prost::Message;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;

/// `log.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogGroup {
    #[prost(message, repeated, tag = "1")]
    pub(super) logs: Vec<Log>,
    #[prost(string, optional, tag = "2")]
    category: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) source: Option<String>,
    #[prost(string, optional, tag = "5")]
    machine_uuid: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) tags: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Log {
    #[prost(uint32, required, tag = "1")]
    pub(super) time: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) contents: Vec<Pair>,
    #[prost(fixed32, optional, tag = "4")]
    time_ns: Option<u32>,
}

#[derive(Clone, PartialEq, PartialOrd, Ord, Eq, Message)]
pub(super) struct Pair {
    #[prost(string, required, tag = "1")]
    pub(super) key: String,
    #[prost(string, required, tag = "2")]
    pub(super) value: String,
}

/// What it says instead of 200.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

pub(super) fn refusal(status: u16, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code, message }
}

/// What it knows of its clients.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: &'static str,
    pub(super) secret: &'static str,
    pub(super) security_token: Option<&'static str>,
    /// Whether they have to sign by V4, and for which region.
    pub(super) region: Option<&'static str>,
    /// How many seconds its clock is ahead of the machine's.
    pub(super) ahead_by: i64,
    /// Whether they may ask for the logstore, and not only write.
    pub(super) may_read: bool,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            id: "LTAIexample",
            secret: "s3cr3t",
            security_token: None,
            region: None,
            ahead_by: 0,
            may_read: true,
        }
    }
}

/// It, in this process.
pub(super) struct Sls {
    pub(super) endpoint: Endpoint,
    account: Arc<Mutex<Account>>,
    accepted: Arc<Mutex<Vec<LogGroup>>>,
}

const MAX_BODY_BYTES: usize = 10 << 20;
const MAX_LOGS: usize = 4096;
const CLOCKS_DIFFER_AT_MOST: u64 = 15 * 60;

impl Sls {
    /// Takes every group that is right, but for what `fault` says of it and of how many requests came before.
    pub(super) fn start(
        account: Account,
        fault: impl Fn(&LogGroup, usize) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let groups = Arc::clone(&accepted);
        let account = Arc::new(Mutex::new(account));
        let known = Arc::clone(&account);
        let endpoint = Endpoint::start(move |request, index| {
            let account = known.lock().unwrap().clone();
            let checked = account.signed(request).and_then(|()| match request.method.as_str() {
                "GET" if account.may_read => Ok(None),
                "GET" => Err(refusal(401, "Unauthorized", "denied by sts or ram, action: log:GetLogStore")),
                _ => account.group(request).map(Some),
            });
            let checked =
                checked.and_then(|group| match group.as_ref().and_then(|group| fault(group, index)) {
                    None => Ok(group),
                    Some(refusal) => Err(refusal),
                });
            let answer = account.answer(checked.as_ref().err());
            groups.lock().unwrap().extend(checked.ok().flatten());
            answer
        });
        Self { endpoint, account, accepted }
    }

    /// Takes every group that is right.
    pub(super) fn taking_all(account: Account) -> Self {
        Self::start(account, |_, _| None)
    }

    /// Knows nobody else from now on.
    pub(super) fn renew(&self, account: Account) {
        *self.account.lock().unwrap() = account;
    }

    pub(super) fn groups(&self) -> Vec<LogGroup> {
        self.accepted.lock().unwrap().clone()
    }

    /// The contents of all logs that it has taken, in order of their keys, in some order.
    pub(super) fn events(&self) -> Vec<BTreeMap<String, String>> {
        let mut events: Vec<_> = self.groups().into_iter().flat_map(LogGroup::events).collect();
        events.sort();
        events
    }
}

impl LogGroup {
    /// The contents of its logs.
    pub(super) fn events(self) -> impl Iterator<Item = BTreeMap<String, String>> {
        self.logs.into_iter().map(|log| log.contents.into_iter().map(|pair| (pair.key, pair.value)).collect())
    }
}

impl Account {
    fn now(&self) -> u64 {
        let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        here.as_secs().checked_add_signed(self.ahead_by).unwrap()
    }

    /// What is answered to a request that was taken, or refused.
    pub(super) fn answer(&self, refusal: Option<&Refusal>) -> Answer {
        let time = self.now().to_string();
        let headers = [("x-log-requestid", "5D1F0A"), ("x-log-time", &time)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        match refusal {
            None => Answer::Status { code: 200, headers, body: String::new() },
            Some(Refusal { status, code, message }) => {
                let body = format!(r#"{{"errorCode":"{code}","errorMessage":"{message}"}}"#);
                Answer::Status { code: *status, headers, body }
            }
        }
    }

    /// Whether its head is right, and who sends it.
    pub(super) fn signed(&self, request: &Recorded) -> Result<(), Refusal> {
        let header = |name: &str| request.header(name).unwrap_or_default();
        let place = match request.method.as_str() {
            "POST" => "/logstores/audit-c01/shards/",
            "GET" => "/logstores/audit-c01",
            _ => return Err(refusal(405, "InvalidMethod", "no such method")),
        };
        if header("x-log-apiversion") != "0.6.0" {
            return Err(refusal(400, "InvalidAPIVersion", "no such API"));
        }
        if header("x-log-project") != "proj" {
            return Err(refusal(404, "ProjectNotExist", "The Project does not exist"));
        }
        if !request.target.starts_with(place) {
            return Err(refusal(404, "LogStoreNotExist", "logstore does not exist"));
        }
        let sent_at = match self.region {
            None => httpdate::parse_http_date(header("date")).ok(),
            Some(_) => compact_date(header("x-log-date")),
        };
        let Some(sent_at) = sent_at else {
            return Err(refusal(400, "InvalidDateFormat", "Date header must follow RFC822"));
        };
        let sent_at = sent_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        if self.now().abs_diff(sent_at) > CLOCKS_DIFFER_AT_MOST {
            return Err(refusal(400, "RequestTimeExpired", "Client time differs from server time"));
        }
        if header("x-acs-security-token") != self.security_token.unwrap_or_default()
            || header("authorization") != self.signature(request)
        {
            return Err(refusal(401, "SignatureNotMatch", "signature does not match"));
        }
        Ok(())
    }

    /// The group of a request, if Alibaba would take it.
    pub(super) fn group(&self, request: &Recorded) -> Result<LogGroup, Refusal> {
        let header = |name: &str| request.header(name).unwrap_or_default();
        if header("content-type") != "application/x-protobuf" {
            return Err(refusal(400, "InvalidContentType", "Content-Type is not supported"));
        }
        if header("content-md5") != hex(&Md5::digest(&request.body)).to_uppercase() {
            return Err(refusal(400, "InvalidContentMD5", "body does not match"));
        }
        let raw_size: usize = header("x-log-bodyrawsize").parse().unwrap();
        if raw_size > MAX_BODY_BYTES {
            return Err(refusal(400, "PostBodyTooLarge", "body size must be less than 10485760"));
        }
        let raw = match request.header("x-log-compresstype") {
            None => Some(request.body.clone()),
            Some("lz4") => lz4_flex::block::decompress(&request.body, raw_size).ok(),
            Some("zstd") => zstd::bulk::decompress(&request.body, raw_size).ok(),
            Some(_) => None,
        };
        let Some(raw) = raw.filter(|raw| raw.len() == raw_size) else {
            return Err(refusal(400, "PostBodyUncompressError", "uncompress error"));
        };
        let invalid = |what| Err(refusal(400, "PostBodyInvalid", what));
        let Ok(group) = LogGroup::decode(&raw[..]) else { return invalid("protobuf content is no LogGroup") };
        if group.logs.is_empty() || group.logs.len() > MAX_LOGS {
            return invalid("the count of logs is out of range");
        }
        let (oldest, newest) = (self.now() - 7 * 24 * 60 * 60, self.now() + CLOCKS_DIFFER_AT_MOST);
        for log in &group.logs {
            if !(oldest..=newest).contains(&u64::from(log.time)) {
                return invalid("The post data time is out of range");
            }
            let mut keys: Vec<&str> = log.contents.iter().map(|pair| pair.key.as_str()).collect();
            keys.sort_unstable();
            if keys.is_empty() || keys[0].is_empty() || keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(refusal(400, "InvalidKey", "a key is there twice"));
            }
        }
        Ok(group)
    }

    fn signature(&self, request: &Recorded) -> String {
        match self.region {
            None => self.signature_v1(request),
            Some(region) => self.signature_v4(request, region),
        }
    }

    /// The resource is signed as it is meant; nothing in ours is encoded.
    fn signature_v1(&self, request: &Recorded) -> String {
        let header = |name: &str| request.header(name).unwrap_or_default();
        let own = in_lines(&own_headers(request));
        let text = format!(
            "{}\n{}\n{}\n{}\n{own}{}",
            request.method,
            header("content-md5"),
            header("content-type"),
            header("date"),
            request.target
        );
        let tag = hmac::<Sha1>(self.secret.as_bytes(), text.as_bytes());
        format!("LOG {}:{}", self.id, BASE64_STANDARD.encode(tag))
    }

    fn signature_v4(&self, request: &Recorded, region: &str) -> String {
        let mut headers = own_headers(request);
        let of_http = ["content-type", "host"].into_iter();
        headers.extend(of_http.filter_map(|name| Some((name.to_owned(), request.header(name)?.to_owned()))));
        headers.sort();
        let lines = in_lines(&headers);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let hash = hex(&Sha256::digest(&request.body));
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{}\n{hash}", request.method, names.join(";"));
        let date_time = request.header("x-log-date").unwrap();
        let date = &date_time[..8];
        let scope = format!("{date}/{region}/sls/aliyun_v4_request");
        let text = format!("SLS4-HMAC-SHA256\n{date_time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let seed = format!("aliyun_v4{}", self.secret).into_bytes();
        let parts = [date, region, "sls", "aliyun_v4_request"];
        let key = parts.iter().fold(seed, |key, part| hmac::<Sha256>(&key, part.as_bytes()));
        let tag = hex(&hmac::<Sha256>(&key, text.as_bytes()));
        format!("SLS4-HMAC-SHA256 Credential={}/{scope},Signature={tag}", self.id)
    }
}

fn own_headers(request: &Recorded) -> Vec<(String, String)> {
    let is_own = |(name, _): &&(String, String)| name.starts_with("x-log-") || name.starts_with("x-acs-");
    let mut own: Vec<_> = request.headers.iter().filter(is_own).cloned().collect();
    own.sort();
    own
}

fn in_lines(headers: &[(String, String)]) -> String {
    headers.iter().fold(String::new(), |lines, (name, value)| lines + &format!("{name}:{value}\n"))
}

/// RFC 2104, for hashes that work on blocks of 64 bytes.
fn hmac<D: Digest>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    let key = if key.len() > block.len() { D::digest(key).to_vec() } else { key.to_vec() };
    block[..key.len()].copy_from_slice(&key);
    let inner = D::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    D::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// `20250101T000002Z`
fn compact_date(text: &str) -> Option<SystemTime> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_second().try_into().ok()?))
}

#[test]
fn the_fake_signs_as_the_sdks_do() {
    let account = Account { id: "mockAccessKeyID", secret: "mockAccessKeySecret", ..Account::new() };
    let request = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| Recorded {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
    };
    let headers = [
        ("x-log-signaturemethod", "hmac-sha1"),
        ("date", "Mon, 3 Jan 2010 08:33:47 GMT"),
        ("x-log-bodyrawsize", "0"),
        ("x-log-apiversion", "0.6.0"),
    ];
    let found = account.signature_v1(&request("GET", "/logstores", &headers, ""));
    assert_eq!(found, "LOG mockAccessKeyID:Rwm6cTKzoti4HWoe+GKcb6Kv07E=");
}
