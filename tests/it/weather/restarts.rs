//! The endpoint goes and comes back, while the log goes on.

use std::net::SocketAddr;

use super::{shipper_to, without_duplicates};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::wait_until_settled;
use crate::support::writer::{Writer, assert_each_once};

fn start(address: SocketAddr) -> Endpoint {
    Endpoint::start_at(address, |_, _| Answer::ok())
}

#[test]
fn the_endpoint_restarts_under_load() {
    // An address that no other test takes, so that it is free when we want it again.
    let mut endpoint = start(([127, 0, 0, 3], 0).into());
    let address = endpoint.address();
    let shipper = shipper_to(&endpoint.url()).output("maxInFlight: 4").batches_of(40);
    let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
    let daemon = shipper.start();
    let mut writer = Writer::new(shipper.workdir.log(), 200_000);
    let mut arrived = Vec::new();
    for _ in 0..6 {
        writer.write(300);
        endpoint.wait_for("a request", |requests| !requests.is_empty());
        arrived.extend(endpoint.stop());
        writer.write(200);
        endpoint = start(address);
    }
    writer.write(100);
    wait_until_settled(&daemon, writer.lines().len());
    arrived.extend(endpoint.items());
    assert!(writer.rotations() > 6, "{}", writer.rotations());
    // What was under way when it stopped comes again.
    assert_each_once(writer.lines(), without_duplicates(arrived));
    assert!(!daemon.log().contains(" ERROR "));
}
