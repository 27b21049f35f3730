//! `sls`: a logstore of Alibaba Cloud's Simple Log Service.

use super::identity::Identity;
use super::node_address::node_address;
use super::report::{Located, Origin};
use super::section::Section;
use super::server::{self, Logins, Server};
use super::settings::Setting;
use super::value::not_among;

pub(super) const COMPRESSIONS: [(&str, SlsCompression); 3] =
    [("lz4", SlsCompression::Lz4), ("zstd", SlsCompression::Zstd), ("none", SlsCompression::None)];

pub(super) const TIMES: [(&str, SlsTime); 2] = [("shipped", SlsTime::Shipped), ("event", SlsTime::Event)];

/// What SLS wants a hash key to be: an MD5 in hexadecimal.
const HASH_KEY_DIGITS: usize = 32;

/// A logstore of Alibaba Cloud's Simple Log Service, and how logs arrive there.
#[derive(Debug, Clone, PartialEq)]
pub struct Sls {
    /// Where requests go.
    pub server: Server,
    /// The project; it is also the first label of the endpoint's host, as a rule.
    pub project: String,
    /// The logstore of the project.
    pub logstore: String,
    /// With a region requests are signed by V4, which needs it; without by V1.
    pub region: Option<String>,
    /// How bodies are compressed.
    pub compression: SlsCompression,
    /// 32 hexadecimal digits that choose the shard, which keeps events in order; `None`: SLS spreads the requests.
    pub hash_key: Option<String>,
    /// The topic of all logs; may be empty.
    pub topic: String,
    /// The source of all logs, the node's address if nothing else is said; may be empty.
    pub source: String,
    /// The tag `__hostname__`, the node of the output's identity if nothing else is said; without it if empty.
    pub hostname: String,
    /// Further tags of all logs; they win over ours.
    pub tags: Vec<(String, String)>,
    /// Which time a log has.
    pub time: SlsTime,
    /// Whether groups have an ID, by which the console finds the neighbours of a log.
    pub pack_id: bool,
}

/// `sls.compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlsCompression {
    /// As it is.
    None,
    /// A block of LZ4.
    Lz4,
    /// A frame of zstd.
    Zstd,
}

/// `sls.time`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlsTime {
    /// When it was shipped, as logtail has it; never too old for SLS.
    Shipped,
    /// When the event reached its stage; an older one than SLS takes counts as the oldest that it takes.
    Event,
}

/// Reads the section, of an output that tells `identity`.
pub(super) fn read(mut section: Section<'_>, identity: &Identity) -> Option<Sls> {
    let server = server::read(&mut section, "url", Logins::Key);
    if server.as_ref().is_some_and(|server| server.url.path() != "/" || server.url.query().is_some()) {
        let what = "must not hold a path or a query; SLS has one of its own, which comes by itself";
        section.sources.report.mistake(&section.place_of("url").unwrap_or(Origin::Default), what);
    }
    let told = &section.sources.manifest.sls;
    let project = name(&mut section, "project", told.project.as_ref(), b"-");
    let logstore = name(&mut section, "logstore", told.logstore.as_ref(), b"-_");
    let region = given_name(&section.value("region", None).line(), &section, b"-");
    let compression = section
        .value("compression", None)
        .choice(SlsCompression::Lz4, &COMPRESSIONS, |word| not_among(word, &COMPRESSIONS))
        .value;
    let time =
        section.value("time", None).choice(SlsTime::Shipped, &TIMES, |word| not_among(word, &TIMES)).value;
    let hash_key = hash_key(&mut section);
    let text = |section: &mut Section<'_>, field| section.value(field, None).line_or_empty().value;
    let topic = text(&mut section, "topic").unwrap_or_default();
    let source = text(&mut section, "source");
    let source = source.or_else(|| Some(node_address()?.to_string())).unwrap_or_default();
    let hostname = text(&mut section, "hostname").or_else(|| identity.node.clone()).unwrap_or_default();
    let tags = tags(&mut section);
    let pack_id = section.value("packId", None).boolean(true).value;
    section.finish();
    Some(Sls {
        server: server?,
        project: project?,
        logstore: logstore?,
        region,
        compression,
        hash_key,
        topic,
        source,
        hostname,
        tags,
        time,
        pack_id,
    })
}

/// A name that must be there, or in the manifest.
fn name<'a>(
    section: &mut Section<'a>,
    field: &'static str,
    below: Option<&'a Setting>,
    signs: &[u8],
) -> Option<String> {
    let given = section.value_or(field, below).line();
    if given.is_default() {
        section.missing(field, None);
    }
    given_name(&given, section, signs)
}

/// A name as SLS has them; it stands in URLs and signatures as it is.
fn given_name(given: &Located<Option<String>>, section: &Section<'_>, signs: &[u8]) -> Option<String> {
    let text = given.value.clone()?;
    let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || signs.contains(&byte);
    if text.len() <= 63 && text.bytes().all(is_legal) {
        return Some(text);
    }
    let signs = String::from_utf8_lossy(signs);
    let what = format_args!("{text:?} is not a name; legal are up to 63 of a-z, 0-9 and {signs}");
    section.sources.report.mistake(&given.origin, what);
    None
}

fn hash_key(section: &mut Section<'_>) -> Option<String> {
    let given = section.value("hashKey", None).line();
    let key = given.value?.to_ascii_lowercase();
    if key.len() != HASH_KEY_DIGITS || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let what = "is no hash key; legal are 32 hexadecimal digits, such as an MD5";
        section.sources.report.mistake(&given.origin, what);
    }
    Some(key)
}

/// Without any of them the one of logtail's in the manifest.
fn tags(section: &mut Section<'_>) -> Vec<(String, String)> {
    let report = section.sources.report;
    if section.place_of("tags").is_none() {
        section.knows(&["tags"]);
        return section.sources.manifest.sls.tag.iter().cloned().collect();
    }
    let mut tags = Vec::new();
    for (key, value) in section.texts("tags") {
        if key.is_empty() || key.chars().any(char::is_control) {
            report.mistake(&value.origin, "is no name of a tag; legal is text without control characters");
        }
        tags.extend(value.value.map(|value| (key, value)));
    }
    tags
}
