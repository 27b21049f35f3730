//! What can be said without a node.

use proptest::prelude::*;

use super::log::has_read_search;
use super::logrotate::{Stanza, matches, stanzas};
use super::sample::Piece;
use crate::source::format::Format;

#[test]
fn stanzas_name_paths_and_directives() {
    let text = "# see \"man logrotate\"\nweekly\ncompress\ninclude /etc/logrotate.d\n\n\
                /var/log/*.log {\n    rotate 5\n    copytruncate\n    postrotate\n        kill {x}\n    }\n    endscript\n}\n\
                \"/srv/a b.log\" /srv/c.log\n/srv/d.log\n{\n  daily\n}\n/one.log { nocompress }\nendless.log {";
    let stanza = |patterns: &[&str], directives: &[&str]| Stanza {
        patterns: patterns.iter().map(ToString::to_string).collect(),
        directives: directives.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        stanzas(text),
        [
            stanza(&["/var/log/*.log"], &["rotate", "copytruncate"]),
            stanza(&["/srv/a b.log", "/srv/c.log", "/srv/d.log"], &["daily"]),
            stanza(&["/one.log"], &["nocompress"]),
        ]
    );
}

#[test]
fn a_pattern_matches_as_in_a_shell() {
    let log = "/var/log/kubernetes/audit.log";
    for pattern in [
        log,
        "/var/log/kubernetes/*.log",
        "/var/log/*/*",
        "/var/log/kubernetes/a?d[h-j]t.log",
        "/var/log/kubernetes/[!b]*[t].log",
        "/var/log/kubernetes/audit\\.log",
        "/var/log/kubernetes/**t*g",
    ] {
        assert!(matches(pattern, log), "{pattern}");
    }
    for pattern in [
        "",
        "/var/log/*.log",
        "/var/log/*",
        "/var/log/kubernetes/*.gz",
        "/var/log/kubernetes/[!a]udit.log",
        "/var/log/kubernetes/[b-z]udit.log",
        "/var/log/kubernetes/audit.lo",
        "/var/log/kubernetes/audit.log?",
        "/var/log/kubernetes/[audit.log",
    ] {
        assert!(!matches(pattern, log), "{pattern}");
    }
}

#[test]
fn the_capability_is_one_bit() {
    let status = |mask| format!("Name:\tx\nCapEff:\t{mask}\nCapBnd:\t000001ffffffffff\n");
    assert_eq!(has_read_search(&status("0000000000000004")), Some(true));
    assert_eq!(has_read_search(&status("000001ffffffffff")), Some(true));
    assert_eq!(has_read_search(&status("0000000000000002")), Some(false));
    assert_eq!(has_read_search(&status("x")), None);
    assert_eq!(has_read_search(""), None);
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// Whatever stands in logrotate's files or in a log, looking at it comes to an end, and what is said of it is no more than
    /// what is there.
    #[test]
    fn anything_can_be_looked_at(
        text in "([ -~\n]|[{}*/\\[\\]\"'\\\\]|\\PC){0,300}",
        name in "[/a-z*?\\[\\]]{0,40}",
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let patterns: usize = stanzas(&text).iter().map(|stanza| stanza.patterns.len()).sum();
        prop_assert!(patterns <= text.len());
        let _ = (matches(&text, &name), matches(&name, &text));
        prop_assert!(name.contains(['*', '?', '[']) || matches(&name, &name));
        for format in [Format::Json, Format::Cri, Format::Docker, Format::Legacy, Format::Auto] {
            let mut piece = Piece::default();
            piece.add(format, &bytes, &mut []);
            prop_assert_eq!(piece.bytes, bytes.len() as u64);
        }
    }
}
