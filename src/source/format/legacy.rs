//! kube-apiserver's `--audit-log-format=legacy`: one line of text for each event, and an event made of it.
//!
//! ```text
//! TIME AUDIT: id="..." stage="..." ip="..." method="..." user="..." groups="\"a\",\"b\"" as="<self>" asgroups="<lookup>" namespace="<none>" uri="/..." response="200"
//! ```
//!
//! (kubernetes-audit.md, section 6; newer versions have a `user-agent` too.) The texts are written as Go's `%q` does. What
//! the line does not say, the event does not have: it is of level Metadata, and an annotation says where it is from. TIME
//! is when the request was received, and stands for the time of the stage as well.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use memchr::memmem;

use super::{LONGEST_TIME, is_time, word};
use crate::event::ApiVersion;
use crate::json::quoted;
use crate::policy::{Reference, reference};

/// What follows the time.
const AUDIT: &[u8] = b"AUDIT: ";
/// What every line has behind its time. It cannot be within a text, where quotes are escaped.
const FIRST: &[u8] = b" AUDIT: id=\"";
/// Bytes of the shortest time.
const SHORTEST_TIME: usize = "2006-01-02T15:04:05Z".len();

/// Whether `line` begins as the lines of this format do.
#[must_use]
pub fn begins(line: &[u8]) -> bool {
    word(line, LONGEST_TIME).is_some_and(|(time, rest)| rest.starts_with(AUDIT) && is_time(time))
}

/// Where the last line begins in a `line` of which the beginning is torn: a writer died, and its successor wrote next to it.
#[must_use]
pub fn glued(line: &[u8]) -> Option<usize> {
    let blank = memmem::rfind(line, FIRST)?;
    let first = blank.saturating_sub(LONGEST_TIME);
    (first.max(1)..=blank.checked_sub(SHORTEST_TIME)?).find(|start| is_time(&line[*start..blank]))
}

/// What a line says.
#[derive(Debug, Default)]
struct Said<'a> {
    id: Cow<'a, str>,
    stage: Cow<'a, str>,
    ip: Cow<'a, str>,
    method: Cow<'a, str>,
    user: Cow<'a, str>,
    groups: Cow<'a, str>,
    impersonated: Cow<'a, str>,
    impersonated_groups: Cow<'a, str>,
    user_agent: Option<Cow<'a, str>>,
    namespace: Cow<'a, str>,
    uri: Cow<'a, str>,
    response: Cow<'a, str>,
}

/// The event of a line, as kube-apiserver would write it in JSON. `None` if that is not a whole line of this format.
#[must_use]
pub fn event(line: &[u8]) -> Option<Vec<u8>> {
    let line = str::from_utf8(line).ok()?;
    let (time, rest) = line.split_once(' ')?;
    let time: Timestamp = time.parse().ok()?;
    let said = said(rest.as_bytes().starts_with(AUDIT).then(|| &rest[AUDIT.len()..])?)?;
    write(&said, &format!("{time:.6}"))
}

fn said(mut rest: &str) -> Option<Said<'_>> {
    let rest = &mut rest;
    let said = Said {
        id: field(rest, "id=")?,
        stage: field(rest, " stage=")?,
        ip: field(rest, " ip=")?,
        method: field(rest, " method=")?,
        user: field(rest, " user=")?,
        groups: field(rest, " groups=")?,
        impersonated: field(rest, " as=")?,
        impersonated_groups: field(rest, " asgroups=")?,
        user_agent: field(rest, " user-agent="),
        namespace: field(rest, " namespace=")?,
        uri: field(rest, " uri=")?,
        response: field(rest, " response=")?,
    };
    rest.is_empty().then_some(said)
}

/// The text of the field that `rest` begins with; `rest` is what is behind it then.
fn field<'a>(rest: &mut &'a str, key: &str) -> Option<Cow<'a, str>> {
    let mut behind = rest.strip_prefix(key)?;
    let text = text(&mut behind)?;
    *rest = behind;
    Some(text)
}

/// A text in Go's quotes.
fn text<'a>(rest: &mut &'a str) -> Option<Cow<'a, str>> {
    let inside = rest.strip_prefix('"')?;
    let end = end_of(inside)?;
    *rest = &inside[end + 1..];
    unquoted(&inside[..end])
}

/// Where the quote is that ends a text.
fn end_of(inside: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', inside.as_bytes().get(at..)?) {
        at += found;
        if inside.as_bytes()[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
    None
}

/// What stands between Go's quotes. A byte that was no UTF-8 becomes U+FFFD, as in kube-apiserver's JSON.
fn unquoted(inside: &str) -> Option<Cow<'_, str>> {
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    let (mut out, mut rest) = (String::with_capacity(inside.len()), inside);
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let kind = escape.chars().next()?;
        rest = &escape[kind.len_utf8()..];
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        out.push(match kind {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '"' => kind,
            'x' | 'u' | 'U' => {
                let (number, behind) = rest.split_at_checked(digits)?;
                rest = behind;
                let number = u32::from_str_radix(number, 16).ok()?;
                let is_byte = kind == 'x' && number > 0x7f;
                char::from_u32(number).filter(|_| !is_byte).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The texts of a list, each in its quotes.
fn list(mut rest: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut all = Vec::new();
    loop {
        all.push(text(&mut rest)?);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return rest.is_empty().then_some(all),
        }
    }
}

/// The event, in kube-apiserver's order of fields.
fn write(said: &Said<'_>, time: &str) -> Option<Vec<u8>> {
    let mut out = format!(
        "{}\"level\":\"Metadata\",\"auditID\":{},\"stage\":{},\"requestURI\":{},\"verb\":{},\"user\":{}",
        ApiVersion::V1.line_prefix(),
        quoted(&said.id),
        quoted(&said.stage),
        quoted(&said.uri),
        quoted(&said.method),
        user(known(&said.user, "<none>"), known(&said.groups, "<none>"))?,
    );
    let mut add = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(out, ",\"{key}\":{value}");
    };
    if said.impersonated != "<self>" {
        let groups = known(&said.impersonated_groups, "<lookup>");
        add("impersonatedUser", &user(Some(&said.impersonated), groups)?);
    }
    if let Some(ip) = known(&said.ip, "<unknown>") {
        add("sourceIPs", &format!("[{}]", quoted(ip)));
    }
    if let Some(agent) = said.user_agent.as_deref().filter(|agent| !agent.is_empty()) {
        add("userAgent", &quoted(agent));
    }
    let namespace = known(&said.namespace, "<none>");
    let named = reference(&said.uri, &said.method);
    if named.is_some() || namespace.is_some() {
        add("objectRef", &object(&named.unwrap_or_default(), namespace.unwrap_or_default()));
    }
    if let Some(code) = known(&said.response, "<deferred>") {
        let code: i32 = code.parse().ok()?;
        // Go leaves a zero out.
        let code = if code == 0 { String::new() } else { format!(",\"code\":{code}") };
        add("responseStatus", &format!("{{\"metadata\":{{}}{code}}}"));
    }
    add("requestReceivedTimestamp", &quoted(time));
    add("stageTimestamp", &quoted(time));
    add("annotations", "{\"audit-shipper.io/source-format\":\"legacy\"}");
    out.push('}');
    Some(out.into_bytes())
}

/// A text, if it does not stand for there being none.
fn known<'a>(text: &'a str, none: &str) -> Option<&'a str> {
    (text != none).then_some(text)
}

fn user(name: Option<&str>, groups: Option<&str>) -> Option<String> {
    let name = name.filter(|name| !name.is_empty()).map(|name| format!("\"username\":{}", quoted(name)));
    let groups = match groups {
        Some(groups) if !groups.is_empty() => {
            let groups: Vec<_> = list(groups)?.iter().map(|group| quoted(group)).collect();
            Some(format!("\"groups\":[{}]", groups.join(",")))
        }
        _ => None,
    };
    let fields: Vec<_> = name.into_iter().chain(groups).collect();
    Some(format!("{{{}}}", fields.join(",")))
}

/// An `objectRef`. Its namespace is the one that the line says: it may have come from the body.
fn object(named: &Reference, namespace: &str) -> String {
    let fields = [
        ("resource", named.resource.as_str()),
        ("namespace", namespace),
        ("name", &named.name),
        ("apiGroup", &named.group),
        ("apiVersion", &named.version),
        ("subresource", &named.subresource),
    ];
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = given.map(|(key, value)| format!("\"{key}\":{}", quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}
