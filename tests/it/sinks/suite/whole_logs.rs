//! Whole logs of a kube-apiserver, each event compared by its content: those of the directory that `AUDIT_SHIPPER_LOGS`
//! names, or without it the excerpts that come with the tests.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{Destination, wait_until_drained};
use crate::support::books::count;
use crate::support::shipper::Rejected;
use crate::support::workdir::{gunzipped_lines, large_events, real_events};

const FILES: [&str; 2] = ["gke.log.gz", "requestresponse.log.gz"];
const TRUNCATED: &str = "\"audit.k8s.io/truncated\":\"true\"";

fn logs() -> Vec<String> {
    let lines = match std::env::var_os("AUDIT_SHIPPER_LOGS") {
        None => [real_events(1250), large_events()].concat(),
        Some(directory) => {
            let of = |name| gunzipped_lines(&std::fs::read(Path::new(&directory).join(name)).unwrap());
            FILES.map(of).concat()
        }
    };
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "a line is there twice");
    lines
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
}

/// Whether `cut` is what was left of a line that was too large.
fn is_cut_of(cut: &str, line: &str) -> bool {
    let Identity { audit_id, stage } = serde_json::from_str(line).unwrap();
    cut.contains(&audit_id) && cut.contains(&stage)
}

pub(super) fn whole_logs<D: Destination>() {
    let lines = logs();
    let place = D::new();
    let shipper = place.shipper();
    std::fs::write(shipper.workdir.log(), lines.concat()).unwrap();
    let daemon = place.start(&shipper);
    let metrics = wait_until_drained(&daemon);

    let stored = place.stored();
    let aside: BTreeSet<String> = shipper.rejected().iter().map(Rejected::line).collect();
    let distinct: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "an event is stored twice");
    let rest = lines.iter().filter(|line| !aside.contains(*line));
    let missing: Vec<&String> = rest.filter(|line| !distinct.contains(&D::form(line))).collect();
    let as_written: BTreeSet<String> = lines.iter().map(|line| D::form(line)).collect();
    let cut: Vec<&String> = distinct.iter().copied().filter(|form| !as_written.contains(*form)).collect();
    eprintln!(
        "{}: {} lines, {} stored as written, {} cut, {} set aside",
        std::any::type_name::<D>(),
        lines.len(),
        stored.len() - cut.len(),
        cut.len(),
        aside.len()
    );
    assert_eq!(stored.len() + aside.len(), lines.len());
    for cut in &cut {
        assert!(cut.contains(TRUNCATED) && missing.iter().any(|line| is_cut_of(cut, line)), "{cut}");
    }
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), cut.len() as u64);
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), stored.len() as u64);
}
