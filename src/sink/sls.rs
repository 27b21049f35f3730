//! Alibaba Cloud's Simple Log Service: PutLogs (alibaba-sls.md).
//!
//! Events arrive as logtail's would under the same names, so that the dashboards and alarms that ACK makes for a cluster's
//! audit log go on working.
//!
//! A log has a time, and a request has one too, which is signed; SLS takes neither if it is too far from its own. So what
//! an answer says of the time there counts for all that is sent afterwards, whatever the node's clock says.

mod answer;
mod group;
mod probe;
mod signature;

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use self::group::LogTime;
use self::signature::{CONTENT_SHA256, Target};
use super::{Answer, EventRef, Events, HttpSink, Limits, Probe, Request, Sent, Verdict};
use crate::body::Body;
use crate::config::{Identity, SlsCompression, SlsTime};
use crate::endpoint::AccessKey;
use crate::{config, fingerprint, host};

/// What SLS takes is 10 MB; its own producers stop at half of that.
const MAX_GROUP_BYTES: u64 = 5_000_000;

/// Older logs are refused, and their whole group with them. SLS says seven days; a request may be under way for a while.
const OLDEST_LOG: Duration = Duration::from_secs((7 * 24 - 1) * 60 * 60);

/// After this time what a request says of its own is no longer near enough to when it is sent.
const GOOD_FOR: Duration = Duration::from_secs(10 * 60);

/// The fastest, as in SLS's own SDKs.
const ZSTD_LEVEL: i32 = 1;

const MD5: HeaderName = HeaderName::from_static("content-md5");
const BODY_RAW_SIZE: HeaderName = HeaderName::from_static("x-log-bodyrawsize");

/// Encodes a `LogGroup`, and signs.
#[derive(Debug)]
pub struct Sls {
    config: config::Sls,
    target: String,
    /// Of every group, without doubles.
    tags: Vec<(String, String)>,
    /// How many seconds the clock of SLS is ahead of the node's, if that was ever told.
    clock_ahead_by: AtomicI64,
}

impl Sls {
    /// For the log at `path`, whose events come from `identity`.
    #[must_use]
    pub fn new(config: config::Sls, identity: &Identity, path: &Path) -> Self {
        let path = path.to_string_lossy();
        let logstore = &config.logstore;
        let target = match &config.hash_key {
            None => format!("/logstores/{logstore}/shards/lb"),
            Some(key) => format!("/logstores/{logstore}/shards/route?key={key}"),
        };
        let ours = [
            ("audit", "apiserver"),
            ("__hostname__", config.hostname.as_str()),
            ("__path__", &path),
            // Logtail has no such tag: only for whoever has named the cluster.
            ("cluster", identity.cluster.as_deref().unwrap_or_default()),
        ];
        let mut tags: Vec<_> = ours.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        tags.retain(|(key, value)| !value.is_empty() && !config.tags.iter().any(|(own, _)| own == key));
        tags.extend(config.tags.iter().cloned());
        Self { target, tags, clock_ahead_by: AtomicI64::new(0), config }
    }

    /// What time it is at SLS when it is `now` here.
    fn time_there(&self, now: SystemTime) -> Timestamp {
        let ahead_by = self.clock_ahead_by.load(Ordering::Relaxed);
        let here = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let there = here.as_second().saturating_add(ahead_by).clamp(0, u32::MAX.into());
        Timestamp::new(there, here.subsec_nanosecond().max(0)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn log_time(&self, event: &EventRef<'_>, now: Timestamp) -> LogTime {
        let seconds = |time: Timestamp| u32::try_from(time.as_second()).unwrap_or_default();
        if self.config.time == SlsTime::Shipped {
            return LogTime { seconds: seconds(now), nanoseconds: None };
        }
        let oldest = now.checked_sub(OLDEST_LOG).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = event.stage_time().unwrap_or(now).clamp(oldest.max(Timestamp::UNIX_EPOCH), now);
        LogTime { seconds: seconds(time), nanoseconds: u32::try_from(time.subsec_nanosecond()).ok() }
    }

    /// The body as it is sent, and how it is compressed.
    fn compressed(&self, group: Vec<u8>) -> (Vec<u8>, Option<&'static str>) {
        match self.config.compression {
            SlsCompression::None => (group, None),
            SlsCompression::Lz4 => (lz4_flex::block::compress(&group), Some("lz4")),
            SlsCompression::Zstd => match zstd::bulk::compress(&group, ZSTD_LEVEL) {
                Ok(compressed) => (compressed, Some("zstd")),
                // There was no memory for it; what SLS gets is the same.
                Err(_) => (group, None),
            },
        }
    }

    /// Behind the logs of a group: what is the same for all of them.
    fn add_origin(&self, group: &mut Vec<u8>, pack_id: Option<&str>) {
        let tags = self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let pack_id = pack_id.map(|id| ("__pack_id__", id));
        group::add_origin(group, &self.config.topic, &self.config.source, tags.chain(pack_id));
    }

    /// The request that puts a group into the logstore.
    fn carrying(&self, group: Vec<u8>) -> Request {
        let raw_size = group.len();
        let (body, compression) = self.compressed(group);
        let mut headers = self.headers(&body, raw_size);
        let name = HeaderName::from_static("x-log-compresstype");
        headers.extend(compression.map(|compression| (name, HeaderValue::from_static(compression))));
        let body = Body::packed(Bytes::from(body), raw_size as u64);
        Request { target: Cow::Owned(self.target.clone()), headers, body }
    }

    /// What is said of a body, which had so many bytes before it was compressed.
    fn headers(&self, body: &[u8], raw_size: usize) -> Vec<(HeaderName, HeaderValue)> {
        let text = |name, text: &str| Some((name, HeaderValue::from_str(text).ok()?));
        let constant = |name, text| (HeaderName::from_static(name), HeaderValue::from_static(text));
        let of_version = if self.config.region.is_some() {
            text(HeaderName::from_static(CONTENT_SHA256), &fingerprint::hex(body))
        } else {
            Some(constant("x-log-signaturemethod", "hmac-sha1"))
        };
        let headers = [
            Some((CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))),
            Some((BODY_RAW_SIZE, HeaderValue::from(raw_size))),
            text(MD5, &fingerprint::hex_of(&Md5::digest(body)).to_uppercase()),
            Some(constant("x-log-apiversion", "0.6.0")),
            of_version,
        ];
        headers.into_iter().flatten().collect()
    }

    /// Notes what time it is at SLS. An answer to a request that was accepted says it too, and counts if a clock was
    /// wrong before: it may have been set right since.
    fn learn_time(&self, answer: &Answer) -> bool {
        let ahead_by = answer::clock_ahead_by(answer);
        if let Some(ahead_by) = ahead_by {
            self.clock_ahead_by.store(ahead_by, Ordering::Relaxed);
        }
        ahead_by.is_some()
    }

    /// The headers of one try but for the signature itself.
    fn own_headers(&self, sent: &Sent<'_>, key: &AccessKey, host: &str) -> Vec<(HeaderName, HeaderValue)> {
        let now = self.time_there(sent.now);
        let mut headers = Vec::new();
        let mut add = |name, value: &str| {
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        };
        if self.config.region.is_some() {
            add(HeaderName::from_static(signature::DATE), &now.strftime("%Y%m%dT%H%M%SZ").to_string());
        } else {
            add(DATE, &httpdate::fmt_http_date(now.into()));
        }
        let project = &self.config.project;
        if !host.strip_prefix(project.as_str()).is_some_and(|rest| rest.starts_with('.')) {
            add(HeaderName::from_static("x-log-project"), project);
        }
        if let Some(token) = &key.security_token {
            add(HeaderName::from_static("x-acs-security-token"), token.expose_secret());
        }
        headers
    }
}

impl HttpSink for Sls {
    fn request(&self, events: &Events, now: SystemTime) -> Request {
        let now = self.time_there(now);
        let mut group = Vec::new();
        for event in events.iter() {
            group::add_log(&mut group, event.head(), event.item, self.log_time(&event, now));
        }
        let pack_id = events.iter().next().filter(|_| self.config.pack_id).map(|first| pack_id_of(&first));
        self.add_origin(&mut group, pack_id.as_deref());
        self.carrying(group)
    }

    fn probes(&self) -> Vec<Probe<'_>> {
        probe::of(self)
    }

    fn good_for(&self) -> Option<Duration> {
        Some(GOOD_FOR)
    }

    fn sign(&self, sent: &Sent<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let Some(key) = sent.access_key else { return Vec::new() };
        let host = host(sent);
        let mut own = self.own_headers(sent, key, &host);
        let mut headers: HeaderMap = sent.headers.clone();
        headers.extend(own.iter().cloned());
        if let Ok(host) = HeaderValue::from_str(&host) {
            headers.insert(HOST, host);
        }
        let query: Vec<_> = sent.url.query_pairs().into_owned().collect();
        let target = Target { method: sent.method.as_str(), path: sent.url.path(), query: &query };
        let (id, secret) = (&key.id, key.secret.expose_secret());
        let signature = match &self.config.region {
            None => signature::v1(target, &headers, id, secret),
            Some(region) => signature::v4(target, &headers, region, id, secret),
        };
        own.extend(HeaderValue::from_str(&signature).ok().map(|value| (AUTHORIZATION, value)));
        for (_, value) in &mut own {
            value.set_sensitive(true);
        }
        own
    }

    fn verdict(&self, _: usize, answer: &Answer) -> Verdict {
        let verdict = answer::verdict(answer);
        let was_wrong = self.clock_ahead_by.load(Ordering::Relaxed) != 0;
        match verdict {
            // Without the time nothing is put right.
            Verdict::Again if !self.learn_time(answer) => Verdict::Hold { reread_credentials: false },
            Verdict::Accepted if was_wrong => {
                self.learn_time(answer);
                verdict
            }
            _ => verdict,
        }
    }

    fn limits(&self) -> Limits {
        Limits { body_bytes: MAX_GROUP_BYTES, ..Limits::default() }
    }
}

/// The `Host` header that the request gets.
fn host(sent: &Sent<'_>) -> String {
    let given = sent.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    given.unwrap_or_else(|| host::authority(sent.url))
}

/// What the console finds the neighbours of a log by, within its group: a number that no other group has, and the group's
/// place among those with this number.
fn pack_id_of(first: &EventRef<'_>) -> String {
    let mut hash = fingerprint::Streamed::default();
    first.line().iter().for_each(|piece| hash.update(piece));
    format!("{:016X}-0", hash.finish_short())
}

#[cfg(test)]
mod tests;
