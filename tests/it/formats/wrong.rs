//! A log in another format than `source.format` says.

use super::{events, recording, shipper, wait_for_wrong, written_by_runtime};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::wait_until_settled;
use crate::support::wait_until;
use crate::support::workdir::{gunzipped_lines, replace};

/// Nothing is read, it is said what to set, and with that nothing is missing.
#[test]
fn it_is_recognised_and_nothing_is_lost() {
    let lines = recording();
    let plain = events(&lines);
    let legacy = gunzipped_lines(include_bytes!("../../data/events/legacy.log.gz"));
    let logs = [
        ("json", plain.clone(), 543),
        ("cri", written_by_runtime("cri", &lines), 543),
        ("docker", written_by_runtime("docker", &lines), 543),
        ("legacy", legacy, 628),
    ];
    for (index, (right, log, count)) in logs.iter().enumerate() {
        let wrong = logs[(index + 1) % logs.len()].0;
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper = shipper(&endpoint, wrong).output("readyAfter: 20ms").one_at_a_time().log(log);
        let mut daemon = shipper.start();
        wait_for_wrong(&daemon, right);
        let why = wait_until("an output that is not ready", || {
            let (status, why) = daemon.get("/readyz");
            (status == 503).then_some(why)
        });
        assert!(why.contains(&format!("set source.format: {right}")), "{why}");
        assert_eq!(daemon.metrics().value("audit_shipper_read_events_total", &[]), 0.0);
        assert!(daemon.metrics().value("audit_shipper_lag_bytes", &[]) > 0.0);
        assert_eq!(daemon.metrics().value("audit_shipper_log_unreadable", &[]), 1.0);
        daemon.terminate();
        assert!(daemon.wait().success());
        let shipper = shipper.source(&format!("format: {right}"));
        let daemon = shipper.start();
        let arrived = endpoint.wait_for_items(*count);
        assert!(arrived.len() == *count && (*right == "legacy" || arrived == plain));
        let metrics = wait_until_settled(&daemon, *count);
        assert_eq!(metrics.value("audit_shipper_log_unreadable", &[]), 0.0);
        assert_eq!(shipper.rejected().len(), 0);
    }
}

/// A file that was begun in another format, as after a change of `--audit-log-format`: with `auto` all of it is read.
#[test]
fn a_log_that_changes_its_format_is_read_with_auto() {
    let lines = recording();
    let legacy = gunzipped_lines(include_bytes!("../../data/events/legacy.log.gz"));
    let both = [legacy[..50].to_vec(), events(&lines)[..50].to_vec()].concat();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, "auto").one_at_a_time();
    replace(&shipper.workdir.log(), &both.concat());
    let daemon = shipper.start();
    let arrived = endpoint.wait_for_items(100);
    assert!(arrived[50..] == both[50..]);
    wait_until_settled(&daemon, 100);
}
