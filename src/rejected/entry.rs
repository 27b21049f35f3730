//! One entry: a line that was set aside, as it is written and as it is read again.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::batch::Aside;
use crate::event::Event;

/// An entry; exactly one of its last four fields is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// When the line was set aside.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// Why: one of [`crate::batch::Reason`], in its own words.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// What is wrong with the line, in words without content.
    #[serde(borrow)]
    pub detail: Cow<'a, str>,
    /// Status of the endpoint's answer, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The beginning of that answer.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Cow<'a, str>>,
    /// The file that the line came from.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub file: Option<Cow<'a, str>>,
    /// Its offset there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Length of the whole line.
    pub bytes: u64,
    /// SHA-256 of the whole line.
    #[serde(borrow)]
    pub sha256: Cow<'a, str>,
    /// The line, if it is JSON.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a RawValue>,
    /// The line, if it is other text.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// The line, if it is no text.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Cow<'a, str>>,
    /// The beginning of a line that was too long to be held.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Cow<'a, str>>,
}

impl<'a> Entry<'a> {
    /// What is written of a line that is set aside now.
    #[must_use]
    pub fn of(aside: &'a Aside) -> Self {
        let mut entry = Self {
            time: Timestamp::now().to_string().into(),
            reason: aside.reason.as_str().into(),
            detail: aside.detail.as_str().into(),
            status: aside.answer.as_ref().map(|(status, _)| *status),
            answer: aside.answer.as_ref().map(|(_, excerpt)| excerpt.as_str().into()),
            file: aside.origin.as_ref().map(|origin| Cow::Borrowed(&*origin.file)),
            offset: aside.origin.as_ref().map(|origin| origin.offset),
            bytes: aside.line_bytes,
            sha256: aside.sha256.as_str().into(),
            event: None,
            text: None,
            base64: None,
            beginning: None,
        };
        if (aside.line.len() as u64) < aside.line_bytes {
            entry.beginning = Some(String::from_utf8_lossy(&aside.line));
            return entry;
        }
        match std::str::from_utf8(&aside.line) {
            Ok(text) => match serde_json::from_str::<&RawValue>(text) {
                // Read again, a `null` is no event at all.
                Ok(event) if event.get() != "null" => entry.event = Some(event),
                _ => entry.text = Some(text.into()),
            },
            Err(_) => entry.base64 = Some(STANDARD.encode(&aside.line).into()),
        }
        entry
    }

    /// It as a line of the file.
    pub(super) fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads a line of the file; `None` if it is no entry: torn by a crash, or not written by us.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(line).ok()?;
        let lines =
            [entry.event.is_some(), entry.text.is_some(), entry.base64.is_some(), entry.beginning.is_some()];
        (lines.into_iter().filter(|there| *there).count() == 1).then_some(entry)
    }

    /// The line, if it is an audit event and so can be sent again.
    #[must_use]
    pub fn audit_event(&self) -> Option<&'a [u8]> {
        let line = self.event?.get().as_bytes();
        Event::parse(line).is_ok().then_some(line)
    }

    /// The `auditID` of an audit event.
    #[must_use]
    pub fn audit_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "auditID")]
            audit_id: String,
        }
        Some(serde_json::from_slice::<Id>(self.audit_event()?).ok()?.audit_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Origin, Reason};

    const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"\u0031","a":1.50}"#;

    fn aside(line: &[u8]) -> Aside {
        let origin = Some(Origin { file: "audit.log".into(), offset: 7 });
        Aside::of(line, Reason::Rejected, "refused".into(), origin)
    }

    #[test]
    fn is_read_as_it_was_written() {
        let answered = Aside { answer: Some((400, "\u{1b}[2J\"no\"".into())), ..aside(EVENT.as_bytes()) };
        let line = Entry::of(&answered).to_line().unwrap();
        let entry = Entry::parse(line.trim_ascii_end()).unwrap();
        assert_eq!((entry.status, entry.answer.as_deref()), (Some(400), Some("\u{1b}[2J\"no\"")));
        assert_eq!((entry.file.as_deref(), entry.offset, entry.bytes), (Some("audit.log"), Some(7), 75));
        assert_eq!((&*entry.reason, &*entry.detail), ("rejected", "refused"));
        assert_eq!(entry.audit_event(), Some(EVENT.as_bytes()));
        assert_eq!(entry.audit_id().as_deref(), Some("1"));
        for line in [b"klog \"x\"".as_slice(), b"\xff", b"{\"kind\":\"Event\"}", b"null", b" null "] {
            let written = Entry::of(&aside(line)).to_line().unwrap();
            let entry = Entry::parse(&written).unwrap();
            assert_eq!((entry.audit_event(), entry.audit_id()), (None, None), "{line:?}");
        }
        let beginning = Aside { line_bytes: 999, ..aside(EVENT.as_bytes()) };
        let written = Entry::of(&beginning).to_line().unwrap();
        assert_eq!(Entry::parse(&written).unwrap().audit_event(), None, "only the beginning of a line");
    }

    #[test]
    fn what_is_torn_or_foreign_is_no_entry() {
        let line = Entry::of(&aside(EVENT.as_bytes())).to_line().unwrap();
        for end in 0..line.len() - 1 {
            assert!(Entry::parse(&line[..end]).is_none(), "{end}");
        }
        let two_lines =
            String::from_utf8(line.clone()).unwrap().replace("\"event\"", "\"text\":\"x\",\"event\"");
        let none = String::from_utf8(line).unwrap().replace("\"event\"", "\"other\"");
        for foreign in [EVENT, "{}", "[]", "\0\0\0", "hello", &two_lines, &none] {
            assert!(Entry::parse(foreign.as_bytes()).is_none(), "{foreign}");
        }
    }
}
