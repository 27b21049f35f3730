//! What was set aside is sent once more by `rejected retry`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::site::Fate;
use super::{Destination, Protocol, Site};
use crate::rejected::rejected;
use crate::support::shipper::{POISON, poisoned, wait_until_settled};
use crate::support::workdir::real_events;

/// In events that are refused until the endpoint is healed.
const UNLUCKY: &str = "\"a.test/unluck\":\"yes\"";

/// What is taken leaves the file and what is refused stays, although they were side by side in a request; the exit status
/// tells which it was.
pub(super) fn retried<P: Protocol>() {
    let is_healed = Arc::new(AtomicBool::new(false));
    let site = Site::<P>::with({
        let is_healed = Arc::clone(&is_healed);
        move |_, events, _| {
            let is_refused = |event: &String| event.contains(POISON) || event.contains(UNLUCKY);
            let is_ill = !is_healed.load(Ordering::SeqCst) && events.iter().any(is_refused);
            if is_ill { Fate::Instead(P::too_large()) } else { Fate::Due }
        }
    });
    let mut events = real_events(40);
    for place in [3, 4, 21] {
        events[place] = poisoned(&events[place]);
    }
    for place in [10, 11, 20, 22, 39] {
        events[place] = poisoned(&events[place]).replace(POISON, UNLUCKY);
    }
    let shipper = site.shipper().log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    assert_eq!(shipper.rejected().len(), 8);

    is_healed.store(true, Ordering::SeqCst);
    let ended = rejected(&shipper, &["retry"]);
    assert_eq!(
        ended.stdout, "siem: 5 taken by the endpoint, 3 refused again, 0 not tried\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.errors()[0].starts_with("siem: the endpoint refuses events with status "),
        "{}",
        ended.stderr
    );
    site.assert_has(&shipper, &events, 0);

    // Somebody mends what is wrong with the others.
    let entries = std::fs::read_to_string(shipper.rejected_file()).unwrap();
    std::fs::write(shipper.rejected_file(), entries.replace(POISON, UNLUCKY)).unwrap();
    let said = rejected(&shipper, &["retry"]).succeeded();
    assert_eq!(said, "siem: 3 taken by the endpoint, 0 refused again, 0 not tried\n");
    let mended: Vec<String> = events.iter().map(|line| line.replace(POISON, UNLUCKY)).collect();
    site.assert_has(&shipper, &mended, 0);
}
