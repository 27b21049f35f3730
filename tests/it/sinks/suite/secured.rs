//! TLS by an authority of one's own, through a proxy, with a token that is renewed without a word to the daemon.

use super::site::{RENEWED_TOKEN, TOKEN};
use super::{Destination, Protocol, Site};
use crate::support::books::count;
use crate::support::proxies::{Mood, Proxy, Speaks};
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::{real_events, replace};

pub(super) fn secured<P: Protocol>() {
    let site = Site::<P>::over_tls();
    let proxy = Proxy::start(Speaks::Http, site.endpoint.address(), Mood::Willing);
    let events = real_events(60);
    let shipper = site.shipper_through(proxy.url("")).log(&events[..30]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 30);

    site.renew_token();
    shipper.workdir.append(&events[30..]);
    daemon.wait_for_metrics("a token that is refused", |metrics| {
        count(metrics, "audit_shipper_misconfigured", &[]) == 1
    });
    replace(&shipper.workdir.path("token"), RENEWED_TOKEN);
    wait_until_settled(&daemon, 60);
    site.assert_has(&shipper, &events, 0);

    assert!(!proxy.asked().is_empty(), "nothing came by the proxy");
    let log = daemon.log();
    assert!(!log.contains(TOKEN) && !log.contains(RENEWED_TOKEN), "{log}");
}
