//! A *gap*: a place in the log where events are or may be missing.
//!
//! A gap is *certain* if it is known that bytes were there which nobody can read any more, and *possible* if nobody can
//! know. It is told in our own log, in the metrics and, with `gapRecords`, in the stream itself.
//!
//! A *gap record* is what the stream holds in place of the missing: an event of our own, with the verb `gap`, by the user
//! `audit-shipper`. It is settled before the cursor passes the gap, so it can be sent more than once, and carries the same
//! auditID each time.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::ApiVersion;
use crate::fingerprint;

/// What an auditID is derived from begins with this, so that no other hash of ours can be the same.
const ID_DOMAIN: &str = "audit-shipper.io/gap";

/// A place where events are or may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whether it is known that something is missing.
    pub certain: bool,
    /// The file, without its directory and `.gz`.
    pub file: String,
    /// The first byte of its uncompressed content that is missing.
    pub from: u64,
    /// The byte after the last one that is missing; `None` if nobody knows where it ends.
    pub to: Option<u64>,
    /// Time of the last event that is known from before the gap.
    pub after: Option<Timestamp>,
    /// Time of the first event that is known from behind it.
    pub before: Option<Timestamp>,
    /// What happened, in words without content.
    pub cause: String,
    /// Whether our own log and the metrics tell of it already.
    pub told: bool,
}

/// A gap record, with the fields of an event in kube-apiserver's order (kubernetes-audit.md, section 9).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'static str,
    verb: &'static str,
    user: User,
    request_received_timestamp: &'a str,
    stage_timestamp: &'a str,
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct User {
    username: &'static str,
}

impl Gap {
    /// Bytes that are certainly missing; 0 if it is unknown how many.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.bytes().filter(|_| self.certain).unwrap_or_default()
    }

    fn bytes(&self) -> Option<u64> {
        self.to.map(|to| to.saturating_sub(self.from))
    }

    fn certainty(&self) -> &'static str {
        if self.certain { "certain" } else { "possible" }
    }

    /// The auditID of its record: a UUID that is the same whenever the same gap is found.
    ///
    /// After `kill -9` the daemon goes on from a cursor that stands before the gap, so what it finds then has the same
    /// file, range and certainty. A possible gap also has the same `after`, which the cursor holds; it tells the gap at
    /// this byte of `audit.log` from one at the same byte of a later `audit.log`. What is known of a certain one from
    /// around it depends on what else was read, and its range says enough. The words do not count.
    #[must_use]
    pub fn audit_id(&self) -> String {
        let after = self.after.filter(|_| !self.certain);
        // NUL is in no file name.
        let identity = format!(
            "{ID_DOMAIN}\0{}\0{}\0{}\0{}\0{}",
            self.certainty(),
            self.file,
            self.from,
            self.to.map(|to| to.to_string()).unwrap_or_default(),
            after.map(show_time).unwrap_or_default(),
        );
        // RFC 9562: version 8 is for UUIDs that are made in a way of one's own.
        let bits = fingerprint::long(identity.as_bytes()) & !(0xf << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Its record: a line of the log without the newline, as kube-apiserver would write it.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let show = |number: u64| number.to_string();
        let (from, to, bytes) = (show(self.from), self.to.map(show), self.bytes().map(show));
        let (after, before) = (self.after.map(show_time), self.before.map(show_time));
        let known = [
            ("audit-shipper.io/gap", Some(self.certainty())),
            ("audit-shipper.io/gap-file", Some(self.file.as_str())),
            ("audit-shipper.io/gap-from-byte", Some(from.as_str())),
            ("audit-shipper.io/gap-to-byte", to.as_deref()),
            ("audit-shipper.io/gap-bytes", bytes.as_deref()),
            ("audit-shipper.io/gap-after", after.as_deref()),
            ("audit-shipper.io/gap-before", before.as_deref()),
            ("audit-shipper.io/gap-cause", Some(self.cause.as_str())),
        ];
        let time = show_time(self.after.or(self.before).unwrap_or_else(Timestamp::now));
        let record = Record {
            kind: "Event",
            api_version: ApiVersion::V1.as_str(),
            level: "Metadata",
            audit_id: self.audit_id(),
            stage: "ResponseComplete",
            request_uri: "",
            verb: "gap",
            user: User { username: "audit-shipper" },
            request_received_timestamp: &time,
            stage_timestamp: &time,
            annotations: known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        };
        // Strings as keys and values: there is nothing that could not be written.
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

/// A time as kube-apiserver writes it: always six digits.
fn show_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, from, cause, .. } = self;
        match self.to {
            Some(to) => write!(f, "{file}, bytes {from} to {to}")?,
            None => write!(f, "{file}, from byte {from} on")?,
        }
        if let Some(after) = self.after {
            write!(f, ", after {}", show_time(after))?;
        }
        if let Some(before) = self.before {
            write!(f, ", before {}", show_time(before))?;
        }
        write!(f, ": {cause}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};

    fn gap() -> Gap {
        Gap {
            certain: false,
            file: "audit.log".into(),
            from: 1234,
            to: None,
            after: Some("2026-11-22T02:22:50.248816Z".parse().unwrap()),
            before: None,
            cause: "it is \"gone\"\n".into(),
            told: false,
        }
    }

    #[test]
    fn the_record_is_a_line_as_kube_apiserver_writes_it() {
        let record = String::from_utf8(gap().record()).unwrap();
        let expected = format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{}","stage":"ResponseComplete","requestURI":"","verb":"gap","user":{{"username":"audit-shipper"}},"requestReceivedTimestamp":"2026-11-22T02:22:50.248816Z","stageTimestamp":"2026-11-22T02:22:50.248816Z","annotations":{{"audit-shipper.io/gap":"possible","audit-shipper.io/gap-after":"2026-11-22T02:22:50.248816Z","audit-shipper.io/gap-cause":"it is \"gone\"\n","audit-shipper.io/gap-file":"audit.log","audit-shipper.io/gap-from-byte":"1234"}}}}"#,
            gap().audit_id()
        );
        assert_eq!(record, expected);
        assert!(record.starts_with(ApiVersion::V1.line_prefix()));
        let event = Event::parse(record.as_bytes()).unwrap();
        assert_eq!((event.version, event.level), (ApiVersion::V1, Level::Metadata));
        assert_eq!(event.stage_timestamp.as_deref(), Some("2026-11-22T02:22:50.248816Z"));
    }

    #[test]
    fn the_record_says_how_much_is_missing_and_where_in_time() {
        let time: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let gap = Gap { certain: true, to: Some(2234), after: None, before: Some(time), ..gap() };
        let record = String::from_utf8(gap.record()).unwrap();
        for part in [
            r#""stageTimestamp":"2026-11-22T03:00:00.000000Z""#,
            r#""audit-shipper.io/gap":"certain""#,
            r#""audit-shipper.io/gap-to-byte":"2234""#,
            r#""audit-shipper.io/gap-bytes":"1000""#,
            r#""audit-shipper.io/gap-before":"2026-11-22T03:00:00.000000Z""#,
        ] {
            assert!(record.contains(part), "{part} in {record}");
        }
        assert!(!record.contains("gap-after"), "{record}");
        assert_eq!(gap.lost_bytes(), 1000);
        // Where no time is known, the record is of now.
        let unknown = String::from_utf8(Gap { before: None, ..gap }.record()).unwrap();
        let time = Event::parse(unknown.as_bytes()).unwrap().stage_timestamp.unwrap().into_owned();
        assert!(time.len() == 27 && Timestamp::now() >= time.parse().unwrap(), "{time}");
    }

    #[test]
    fn the_audit_id_is_that_of_the_gap_and_a_uuid_of_ones_own_making() {
        let id = gap().audit_id();
        assert_eq!(id, gap().audit_id());
        assert_eq!(id, Gap { cause: "other words".into(), before: gap().after, ..gap() }.audit_id());
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert!(id[14..].starts_with('8') && id[19..].starts_with(['8', '9', 'a', 'b']), "{id}");
        let certain = Gap { certain: true, ..gap() };
        assert_eq!(certain.audit_id(), Gap { after: None, ..certain.clone() }.audit_id());
        let others = [
            certain,
            Gap { file: "audit.log.1".into(), ..gap() },
            Gap { from: 1235, ..gap() },
            Gap { to: Some(1234), ..gap() },
            Gap { after: None, ..gap() },
        ];
        let mut ids: Vec<String> = others.iter().map(Gap::audit_id).chain([id]).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), others.len() + 1);
    }

    #[test]
    fn words_name_the_file_the_range_and_the_time() {
        let gap = Gap { cause: "gone".into(), ..gap() };
        assert_eq!(gap.to_string(), "audit.log, from byte 1234 on, after 2026-11-22T02:22:50.248816Z: gone");
        let gap = Gap { to: Some(1300), before: gap.after, after: None, ..gap };
        assert_eq!(
            gap.to_string(),
            "audit.log, bytes 1234 to 1300, before 2026-11-22T02:22:50.248816Z: gone"
        );
    }
}
