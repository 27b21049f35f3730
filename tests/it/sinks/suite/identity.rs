//! Where events come from is told where docs/destinations.md says, and nowhere else: with each request of the daemon and of
//! `rejected retry`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::site::Fate;
use super::{Destination, Protocol, Site, wait_until_drained};
use crate::docs::destinations::places_of_identity;
use crate::rejected::rejected;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

const CLUSTER: &str = "prod-eu";
const NODE: &str = "cp-7";

/// A field of an output.
pub(in crate::sinks) const IDENTITY: &str = "identity: { cluster: prod-eu, node: cp-7 }";

/// Asserts that of what is `told` beside an event, as names and values, those names have the cluster, the node and the source
/// as value that are in this row of the page.
pub(in crate::sinks) fn assert_told(row: &str, shipper: &Shipper, told: &[(String, String)]) {
    let log = shipper.workdir.log();
    let name = log.file_name().unwrap().to_str().unwrap();
    let with = |values: &[&str]| -> BTreeSet<String> {
        let names = told.iter().filter(|(_, value)| values.contains(&value.as_str()));
        names.map(|(name, _)| name.clone()).collect()
    };
    let found = [with(&[CLUSTER]), with(&[NODE]), with(&[log.to_str().unwrap(), name])];
    assert_eq!(found, places_of_identity(row), "{row}: {told:?}");
}

pub(super) fn identity<P: Protocol>() {
    let events = real_events(30);
    let unlucky = events[7].split_once("\"auditID\":\"").unwrap().1.split('"').next().unwrap().to_owned();
    let refused = events.iter().filter(|line| line.contains(&unlucky)).count();
    let is_healed = Arc::new(AtomicBool::new(false));
    let site = Site::<P>::with({
        let is_healed = Arc::clone(&is_healed);
        move |_, events, _| {
            let is_ill = !is_healed.load(Ordering::SeqCst);
            let is_refused = is_ill && events.iter().any(|event| event.contains(&unlucky));
            if is_refused { Fate::Instead(P::too_large()) } else { Fate::Due }
        }
    });
    let shipper = site.shipper().output(IDENTITY).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    assert_eq!(shipper.rejected().len(), refused);
    let before = site.endpoint.requests().len();
    is_healed.store(true, Ordering::SeqCst);
    rejected(&shipper, &["retry"]).succeeded();
    let requests = site.endpoint.requests();
    assert!(requests.len() > before);
    for request in &requests {
        assert_told(P::ROW_OF_IDENTITY, &shipper, &site.told(request));
    }
    site.assert_has(&shipper, &events, 0);
}

/// Where there is no place for it, the lines are the log's, and whoever asks for it is told so.
pub(super) fn no_identity<D: Destination>() {
    let place = D::new();
    let events = real_events(20);
    let shipper = place.shipper().output(IDENTITY).log(&events);
    let daemon = place.start(&shipper);
    wait_until_drained(&daemon);
    place.assert_has(&shipper, &events, 0);
    let warning = daemon.wait_for_line("outputs[0].identity.cluster: has no effect");
    assert!(warning.contains(" WARN "), "{warning}");
}
