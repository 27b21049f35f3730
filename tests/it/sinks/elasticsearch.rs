//! Elasticsearch and OpenSearch: everything arrives, and what is told of one item counts for that item alone.

mod connect;
pub(super) mod destination;
mod fake;
mod setup;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake::{Fake, Fate, STORED, Status};
use serde_json::value::RawValue;

use super::suite::{IDENTITY, assert_told};
use crate::support::books::count;
use crate::support::daemon::Metrics;
use crate::support::endpoint::Answer;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{large_events, real_events, sensitive_events};

const REFUSED: Status = (400, "document_parsing_exception");
const BUSY: Status = (429, "es_rejected_execution_exception");

fn shipper(fake: &Fake, fields: &str) -> Shipper {
    Shipper::new(&fake.endpoint).sink("elasticsearch", &format!("url: \"{}\", {fields}", fake.endpoint.url()))
}

/// The line of the log that a document of mode `raw` was made of.
fn line(document: &str) -> String {
    let (_, rest) = document.strip_prefix("{\"@timestamp\":").unwrap().split_once(',').unwrap();
    let (_, rest) = rest.strip_prefix("\"auditShipper\":{").unwrap().split_once("},").unwrap();
    format!("{{{rest}\n")
}

/// The texts in a document by their paths, but for those of the event in ECS.
fn texts(document: &str) -> Vec<(String, String)> {
    fn add(path: &str, value: &str, texts: &mut Vec<(String, String)>) {
        if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(value) {
            for (key, value) in members.into_iter().filter(|(key, _)| key != "kubernetes") {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                add(&path, value.get(), texts);
            }
        } else if let Ok(text) = serde_json::from_str(value) {
            texts.push((path.to_owned(), text));
        }
    }
    let mut texts = Vec::new();
    add("", document, &mut texts);
    texts
}

fn lines(documents: &[String]) -> BTreeSet<String> {
    documents.iter().map(|document| line(document)).collect()
}

/// Asserts that every one of `events` was stored, but those that hold poison: these were set aside, each once.
fn assert_stored_or_set_aside(fake: &Fake, shipper: &Shipper, events: &[String]) {
    let (bad, good): (BTreeSet<String>, BTreeSet<String>) =
        events.iter().cloned().partition(|line| line.contains(POISON));
    assert_eq!(lines(&fake.documents()), good);
    let rejected = shipper.rejected();
    assert_eq!(rejected.len(), bad.len());
    assert_eq!(rejected.iter().map(Rejected::line).collect::<BTreeSet<_>>(), bad);
}

fn errors(metrics: &Metrics, reason: &str) -> u64 {
    count(metrics, "error_total", &[("reason", reason)])
}

/// The same as each of them: every line of real logs, in every mode, read by the grammar and by Python.
#[test]
fn every_event_arrives_in_every_mode() {
    let events = [real_events(1250), large_events(), sensitive_events()].concat();
    let different: BTreeSet<&String> = events.iter().collect();
    for mode in ["ecs", "ecs-raw", "raw"] {
        let fake = Fake::storing();
        let fields = format!("mode: {mode}, compression: gzip");
        let shipper = shipper(&fake, &fields).output(IDENTITY).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let documents = fake.documents();
        assert_eq!(documents.len(), different.len());
        let row = if mode == "raw" {
            assert!(lines(&documents).iter().eq(different.iter().copied()));
            "elasticsearch with mode: raw"
        } else {
            "elasticsearch"
        };
        assert_told(row, &shipper, &texts(&documents[0]));
        assert_python_reads(&fake, &shipper, mode, different.len());
    }
}

fn assert_python_reads(fake: &Fake, shipper: &Shipper, mode: &str, documents: usize) {
    let script = format!("{}/tests/it/sinks/elasticsearch/bulk.py", env!("CARGO_MANIFEST_DIR"));
    let bodies = fake.bodies().into_iter().enumerate().map(|(number, body)| {
        let path = shipper.workdir.path(&format!("{number}.body"));
        std::fs::write(&path, body).unwrap();
        path
    });
    let mut python = Command::new("python3");
    python
        .args([&script, mode, "logs-kubernetes.audit_logs-default"])
        .arg(shipper.workdir.log())
        .args(bodies);
    match python.output() {
        Err(error) => crate::support::leave_out(format_args!("python3 cannot be run: {error}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), documents.to_string());
        }
    }
}

#[test]
fn what_is_refused_of_a_batch_is_set_aside_and_what_is_busy_is_sent_again_alone() {
    let mut events = real_events(60);
    for place in [7, 8, 30] {
        events[place] = poisoned(&events[place]);
    }
    let fake = Fake::start(
        |_, _| Fate::Items,
        |document, tries| match tries {
            _ if document.contains(POISON) => REFUSED,
            0 if document.contains("\"verb\":\"get\"") => BUSY,
            1 if document.contains("\"verb\":\"get\"") => (503, "unavailable_shards_exception"),
            _ => STORED,
        },
    );
    let shipper = shipper(&fake, "mode: raw").one_at_a_time().log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 60);
    assert_stored_or_set_aside(&fake, &shipper, &events);
    assert_eq!(errors(&metrics, "rejected"), 3);
    assert_eq!(fake.conflicts(), 0, "nothing that was stored was sent again");
    for entry in shipper.rejected() {
        assert_eq!(entry.reason, "rejected");
        let said = format!("{:?}{:?}", entry.text, entry.answer);
        assert!(said.contains("document_parsing_exception: by script"), "{said}");
    }
}

#[test]
fn a_full_disk_and_a_login_that_is_no_more_hold_until_they_are_mended() {
    for status in
        [(403, "cluster_block_exception"), (403, "security_exception"), (404, "index_not_found_exception")]
    {
        let events = real_events(40);
        let is_mended = Arc::new(AtomicBool::new(false));
        let fake = Fake::start(|_, _| Fate::Items, {
            let is_mended = Arc::clone(&is_mended);
            move |_, _| if is_mended.load(Ordering::SeqCst) { STORED } else { status }
        });
        let shipper = shipper(&fake, "mode: raw").log(&events);
        let daemon = shipper.start();
        daemon.wait_for_metrics("misconfigured", |metrics| {
            count(metrics, "audit_shipper_misconfigured", &[]) == 1
        });
        is_mended.store(true, Ordering::SeqCst);
        wait_until_settled(&daemon, 40);
        assert_stored_or_set_aside(&fake, &shipper, &events);
    }
}

/// Whatever becomes of the items, each event ends stored, after as many tries as it took, or set aside, once; never both,
/// and never neither.
#[test]
fn under_any_weather_each_event_ends_once() {
    for seed in 0..3_usize {
        let mut events = real_events(300);
        for place in (seed..300).step_by(17) {
            events[place] = poisoned(&events[place]);
        }
        let fake = Fake::start(
            move |_, number| match (number + seed) % 7 {
                2 => Fate::Refused(Answer::status(503)),
                4 => Fate::Lost(Answer::CutOff),
                _ => Fate::Items,
            },
            move |document, tries| {
                let weather =
                    [STORED, BUSY, (500, "exception"), STORED, (403, "cluster_block_exception"), STORED];
                let bytes: usize = document.bytes().map(usize::from).sum();
                if document.contains(POISON) {
                    REFUSED
                } else if tries > 6 {
                    STORED
                } else {
                    weather[(bytes + seed + tries) % weather.len()]
                }
            },
        );
        let shipper = shipper(&fake, "mode: raw").batches_of(40).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, 300);
        assert_stored_or_set_aside(&fake, &shipper, &events);
        assert!(fake.tries().into_iter().any(|tries| tries > 1));
    }
}
