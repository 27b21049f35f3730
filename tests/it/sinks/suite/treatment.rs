//! What an output does to events before it ships them is the same everywhere.

use std::os::unix::fs::PermissionsExt as _;

use super::Destination;
use crate::support::books::count;
use crate::support::daemon::Metrics;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Rejected, Shipper, wait_until_settled};
use crate::support::workdir::{large_events, real_events, sensitive_events};

const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
     - {level: None, verbs: [list, watch]}\n\
     - {level: Metadata, resources: [{group: \"\", resources: [pods]}]}\n\
     - {level: RequestResponse}\n";

const TREATED: [&str; 3] = [
    "audit_shipper_filtered_events_total",
    "audit_shipper_truncated_events_total",
    "audit_shipper_set_aside_events_total",
];

/// With a policy, a key and a size, what is stored is what a webhook gets with the same.
pub(super) fn treatment<D: Destination>() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, key) = (directory.path().join("policy.yaml"), directory.path().join("key"));
    std::fs::write(&policy, POLICY).unwrap();
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut events = [real_events(100), large_events().split_off(400), sensitive_events()].concat();
    events.sort_unstable();
    events.dedup();
    let treating = |shipper: Shipper| {
        shipper
            .redact(&format!("enabled: true, keyFile: \"{}\"", key.display()))
            .output(&format!("policyFile: \"{}\"", policy.display()))
            .output("truncate: { enabled: true, maxEventSize: 8KiB }")
            .flag("audit-webhook-batch-throttle-enable", false)
            .log(&events)
    };
    let (place, webhook) = (D::new(), Endpoint::start(|_, _| Answer::ok()));
    let shippers = [treating(place.shipper()), treating(Shipper::new(&webhook))];
    let daemons = [place.start(&shippers[0]), shippers[1].start()];
    let metrics = daemons.each_ref().map(|daemon| wait_until_settled(daemon, events.len()));

    let treated = |metrics: &Metrics| TREATED.map(|name| count(metrics, name, &[]));
    assert_eq!(treated(&metrics[0]), treated(&metrics[1]));
    assert!(treated(&metrics[0])[..2].iter().all(|count| *count > 0), "{:?}", treated(&metrics[0]));
    let aside = shippers.each_ref().map(|shipper| {
        let mut lines: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
        lines.sort_unstable();
        lines
    });
    assert!(aside[0] == aside[1]);
    let (mut stored, sent) = (place.stored(), webhook.items());
    assert!(sent.iter().any(|line| line.contains("redacted:hmac-sha256:")));
    let mut expect: Vec<String> = sent.iter().map(|line| D::form(line)).collect();
    stored.sort_unstable();
    expect.sort_unstable();
    assert!(stored == expect, "{} are stored, {} were expected", stored.len(), expect.len());
}
