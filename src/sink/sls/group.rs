//! The body of a PutLogs request: a `LogGroup` in protobuf (alibaba-sls.md, 2 and 10).
//!
//! An event becomes a log as logtail makes one of a JSON line: each top-level field is a content. Strings are unescaped,
//! `null` is empty, everything else is the line's own bytes. So an index over `user.username` or `responseStatus.code`
//! finds what it finds in logtail's logs.
//!
//! A log whose keys are not unique makes SLS refuse the whole group. An event that cannot be divided into contents
//! therefore goes whole, as the content `content`, which is also what logtail calls a line as it was read.

use std::borrow::Cow;

use crate::json;
use crate::sink::protobuf::{bytes, fixed32, message, varint};

/// Numbers of fields.
mod field {
    /// Of a `LogGroup`.
    pub(super) const LOGS: u32 = 1;
    pub(super) const TOPIC: u32 = 3;
    pub(super) const SOURCE: u32 = 4;
    pub(super) const LOG_TAGS: u32 = 6;
    /// Of a `Log`.
    pub(super) const TIME: u32 = 1;
    pub(super) const CONTENTS: u32 = 2;
    pub(super) const TIME_NS: u32 = 4;
    /// Of a `Content` and of a `LogTag`.
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

/// The content that holds an event whole.
const WHOLE_LINE: &str = "content";

/// When a log happened, for SLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogTime {
    /// Since 1970.
    pub(super) seconds: u32,
    /// Within the second; whoever has no better idea than the second leaves them out.
    pub(super) nanoseconds: Option<u32>,
}

/// Adds to `group` the event with this item and [`crate::sink::EventRef::head`].
pub(super) fn add_log(group: &mut Vec<u8>, head: Option<&str>, item: &[u8], time: LogTime) {
    let head = head.unwrap_or_default().as_bytes();
    message(group, field::LOGS, |log| {
        varint(log, field::TIME, time.seconds.into());
        if let Some(contents) = contents(head, item) {
            for (key, value) in contents {
                add_pair(log, field::CONTENTS, &key, &value);
            }
        } else {
            let line = [head, item.get(usize::from(!head.is_empty())..).unwrap_or_default()].concat();
            add_pair(log, field::CONTENTS, WHOLE_LINE, &String::from_utf8_lossy(&line));
        }
        if let Some(nanoseconds) = time.nanoseconds {
            fixed32(log, field::TIME_NS, nanoseconds);
        }
    });
}

/// Adds to `group`, behind its logs, what it says of all of them.
pub(super) fn add_origin<'a>(
    group: &mut Vec<u8>,
    topic: &str,
    source: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    bytes(group, field::TOPIC, &[topic.as_bytes()]);
    if !source.is_empty() {
        bytes(group, field::SOURCE, &[source.as_bytes()]);
    }
    for (key, value) in tags {
        add_pair(group, field::LOG_TAGS, key, value);
    }
}

type Contents<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The members of the object that begins with `head`, if that is not empty, and goes on with the members of `item`.
/// `None` if they cannot be contents: no key may be empty or come twice. Of kube-apiserver's own fields this was made
/// sure before, but nobody knows what else an event has.
fn contents<'a>(head: &'a [u8], item: &'a [u8]) -> Option<Contents<'a>> {
    let mut contents = Vec::new();
    for text in [head, item] {
        let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
        for member in json::members(text, start) {
            let key = json::unescaped(text.get(member.key)?).filter(|key| !key.is_empty())?;
            contents.push((key, said_by(text.get(member.value)?)?));
        }
    }
    let mut keys: Vec<&str> = contents.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    let is_good = !keys.is_empty() && keys.windows(2).all(|pair| pair[0] != pair[1]);
    is_good.then_some(contents)
}

/// What a content says for a JSON value.
fn said_by(value: &[u8]) -> Option<Cow<'_, str>> {
    match value {
        [b'"', ..] => json::unescaped(value),
        b"null" => Some(Cow::Borrowed("")),
        _ => std::str::from_utf8(value).ok().map(Cow::Borrowed),
    }
}

/// A `Content` or a `LogTag`.
fn add_pair(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    message(out, field, |pair| {
        bytes(pair, field::KEY, &[key.as_bytes()]);
        bytes(pair, field::VALUE, &[value.as_bytes()]);
    });
}
