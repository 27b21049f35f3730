//! What a policy is asked about: the request that an event tells of.
//!
//! Of the request itself the event holds the user, the verb and the URL. What is requested is derived from the URL, as
//! kube-apiserver does it (kubernetes-audit.md, section 11): `objectRef` may hold names that came from the body later on.
//! Two things are taken from elsewhere. Whether a resource is requested at all is told by `objectRef`, which is there just
//! then. And a URL that means no resource to us, though there is one (kube-apiserver was given other prefixes than `/api`
//! and `/apis`), leaves nothing but `objectRef`.
//!
//! The texts borrow from the line, or from [`Scratch`] if they are written with escapes.

use std::ops::Range;

use super::index::bits;
use super::selector;
use crate::event::{Field, Parts};
use crate::json;

/// What the rules look at, but for the [`User`](super::user::User).
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) verb: Option<Text<'a>>,
    pub(super) target: Target<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Resource(Requested<'a>),
    /// The path of any other request.
    Path(&'a [u8]),
}

/// What is requested; empty where the request says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requested<'a> {
    pub(super) group: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) resource: &'a [u8],
    pub(super) subresource: &'a [u8],
    pub(super) name: &'a [u8],
}

/// A JSON string, with its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    quoted: &'a [u8],
    has_escape: bool,
}

/// Where texts are put that are not in the line as they are meant.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    uri: String,
    path: Vec<u8>,
    value: Vec<u8>,
    name: Vec<u8>,
    object_ref: String,
}

impl<'a> Text<'a> {
    /// `None` for any other value than a string.
    pub(super) fn of(value: &'a [u8]) -> Option<Self> {
        let inside = json::inside(value)?;
        Some(Self { quoted: value, has_escape: inside.contains(&b'\\') })
    }

    pub(super) fn is(self, plain: &str) -> bool {
        if self.has_escape {
            return json::is_text(self.quoted, plain);
        }
        json::inside(self.quoted) == Some(plain.as_bytes())
    }

    /// The text, if it holds no escape.
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        if self.has_escape { None } else { json::inside(self.quoted) }
    }

    pub(super) fn is_empty(self) -> bool {
        self.is("")
    }
}

impl<'a> Request<'a> {
    /// The request of the event `line`. The name of what is listed or watched is looked for only if `asks_for_names`.
    pub(super) fn of(line: &'a [u8], parts: &Parts, asks_for_names: bool, scratch: &'a mut Scratch) -> Self {
        let verb = parts.value(line, Field::Verb).and_then(Text::of);
        Self { verb, target: target(line, parts, verb.filter(|_| asks_for_names), scratch) }
    }
}

/// What is requested. With a `verb` that lists or watches, a name is looked for in the query.
fn target<'a>(line: &'a [u8], parts: &Parts, verb: Option<Text<'_>>, scratch: &'a mut Scratch) -> Target<'a> {
    let Scratch { uri, path, value, name, object_ref } = scratch;
    let raw = parts.value(line, Field::RequestUri).and_then(json::inside).unwrap_or_default();
    // Nearly all escapes are those of `&` in queries, and few queries are looked at.
    let (path, query) = if let Some(path) = plain_path(raw).filter(|_| verb.is_none()) {
        (path, &b""[..])
    } else {
        let (raw_path, query) = split(uri_of(line, parts, uri));
        (decoded_path(raw_path, path), query)
    };
    let reference = parts.place(Field::ObjectRef).filter(|place| line.get(place.start) == Some(&b'{'));
    let Some(reference) = reference else { return Target::Path(path) };
    let Some(derived) = derive(path) else {
        return Target::Resource(from_object_ref(line, reference.start, object_ref));
    };
    let mut resource = derived.resource;
    let selects = |verb: Text<'_>| verb.is("list") || verb.is("watch");
    if resource.name.is_empty() && !derived.has_special_verb && verb.is_some_and(selects) {
        selector::name(query, value, name);
        resource.name = name;
    }
    Target::Resource(resource)
}

/// `requestURI`, without the escapes of JSON.
fn uri_of<'a>(line: &'a [u8], parts: &Parts, scratch: &'a mut String) -> &'a [u8] {
    let Some(quoted) = parts.value(line, Field::RequestUri) else { return b"" };
    match json::inside(quoted) {
        Some(inside) if !inside.contains(&b'\\') => inside,
        _ => {
            scratch.clear();
            json::unescape_into(quoted, scratch);
            scratch.as_bytes()
        }
    }
}

/// The path, if there is no escape in it, of JSON or of URLs.
fn plain_path(uri: &[u8]) -> Option<&[u8]> {
    match memchr::memchr3(b'?', b'\\', b'%', uri) {
        None => Some(uri),
        Some(at) => (uri[at] == b'?').then(|| &uri[..at]),
    }
}

/// The path and the query.
pub(super) fn split(uri: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', uri) {
        Some(at) => (&uri[..at], &uri[at + 1..]),
        None => (uri, b""),
    }
}

/// Without percent escapes. kube-apiserver refuses a path with a wrong one, so no event has such a path; it is left as it is.
pub(super) fn decoded_path<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !raw.contains(&b'%') {
        return raw;
    }
    scratch.clear();
    if selector::unescape(raw, b'+', scratch).is_some() { scratch } else { raw }
}

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Derived<'a> {
    pub(super) resource: Requested<'a>,
    /// The path names the verb itself: such requests are not asked for a name in the query.
    pub(super) has_special_verb: bool,
}

/// More parts than these mean nothing: the prefix, a group, a version, a verb, a namespace with its word before it, a
/// resource, a name and a subresource.
const MOST_PARTS: usize = 9;
/// Bytes of a path that are looked at together.
const WORD_BYTES: usize = size_of::<u64>();

/// `None` if the path means no resource.
pub(super) fn derive(path: &[u8]) -> Option<Derived<'_>> {
    let (all, count) = parts_of(trim_slashes(path));
    let (group, mut parts): (&[u8], &[&[u8]]) = match &all[..count] {
        [b"api", _, rest @ ..] => (b"", rest),
        [b"apis", group, _, rest @ ..] => (group, rest),
        _ => return None,
    };
    let special_verb = parts.first().filter(|part| matches!(**part, b"watch" | b"proxy"));
    if special_verb.is_some() {
        parts = &parts[1..];
    }
    let has_subresource = special_verb != Some(&&b"proxy"[..]);
    let mut namespace: &[u8] = b"";
    if let [b"namespaces", name, rest @ ..] = parts {
        namespace = name;
        if rest.first().is_some_and(|part| !matches!(*part, b"status" | b"finalize")) {
            parts = rest;
        }
    }
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let subresource = if has_subresource { part(2) } else { b"" };
    let resource = Requested { group, namespace, resource: parts.first()?, subresource, name: part(1) };
    Some(Derived { resource, has_special_verb: special_verb.is_some() })
}

/// The first parts of `path`, and how many there are. Parts are short: a search for each slash would begin too often.
pub(super) fn parts_of(path: &[u8]) -> ([&[u8]; MOST_PARTS], usize) {
    let mut parts: [&[u8]; MOST_PARTS] = [b""; MOST_PARTS];
    let (mut count, mut from) = (0, 0);
    let mut divide = |at: usize| {
        if let Some(part) = parts.get_mut(count) {
            *part = &path[from..at];
            (count, from) = (count + 1, at + 1);
        }
    };
    let (words, rest) = path.as_chunks();
    for (word, start) in words.iter().zip((0..).step_by(WORD_BYTES)) {
        bits(slashes_in(*word)).for_each(|bit| divide(start + bit / u8::BITS as usize));
    }
    for (byte, at) in rest.iter().zip(path.len() - rest.len()..) {
        if *byte == b'/' {
            divide(at);
        }
    }
    divide(path.len());
    (parts, count)
}

/// The highest bit of each byte that is a slash.
fn slashes_in(word: [u8; WORD_BYTES]) -> u64 {
    const SLASHES: u64 = u64::from_ne_bytes([b'/'; WORD_BYTES]);
    const LOW_BITS: u64 = u64::from_ne_bytes([0x7f; WORD_BYTES]);
    let difference = u64::from_le_bytes(word) ^ SLASHES;
    !((difference & LOW_BITS).wrapping_add(LOW_BITS) | difference | LOW_BITS)
}

pub(super) fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}

/// The same from the `objectRef` at `start`.
fn from_object_ref<'a>(line: &[u8], start: usize, scratch: &'a mut String) -> Requested<'a> {
    const KEYS: [&str; 5] = ["apiGroup", "namespace", "resource", "subresource", "name"];
    let mut places: [Range<usize>; KEYS.len()] = Default::default();
    scratch.clear();
    for member in json::members(line, start) {
        let key = KEYS.iter().position(|key| json::is_text(&line[member.key.clone()], key));
        if let Some(key) = key {
            let from = scratch.len();
            json::unescape_into(&line[member.value], scratch);
            places[key] = from..scratch.len();
        }
    }
    let [group, namespace, resource, subresource, name] = places.map(|place| &scratch.as_bytes()[place]);
    Requested { group, namespace, resource, subresource, name }
}

/// Whether a URL means a resource.
#[cfg(test)]
pub(super) fn means_resource(uri: &[u8]) -> bool {
    derive(split(uri).0).is_some()
}

#[cfg(test)]
mod tests;
