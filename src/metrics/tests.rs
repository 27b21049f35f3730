use jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::endpoint::Condition;

#[test]
fn the_contract_counters_are_there_from_the_start() {
    let metrics = Metrics::new();
    let _route = metrics.route("siem");
    let text = metrics.render();
    for line in [
        "audit_event_total{output=\"siem\"} 0",
        "error_total{output=\"siem\",reason=\"malformed\"} 0",
        "error_total{output=\"siem\",reason=\"lost\"} 0",
        "audit_shipper_rotations_total 0",
        "audit_shipper_lag_seconds{output=\"siem\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
}

#[test]
fn pinned_files_are_those_that_were_shown_last() {
    let metrics = Metrics::new();
    let shown = |files, bytes| {
        let text = metrics.render();
        let lines =
            [format!("audit_shipper_pinned_files {files}"), format!("audit_shipper_pinned_bytes {bytes}")];
        lines.iter().all(|line| text.lines().any(|other| other == line))
    };
    assert!(shown(0, 0));
    let pins = metrics.pins().share();
    pins.show(2, 300);
    assert!(shown(2, 300));
    pins.show(1, 100);
    assert!(shown(1, 100));
}

#[test]
fn two_outputs_that_follow_one_log_see_its_rotations_once() {
    let metrics = Metrics::new();
    let (a, b) = (metrics.route("a"), metrics.route("b"));
    a.rotated(2);
    b.rotated(3);
    assert!(metrics.render().contains("audit_shipper_rotations_total 3\n"));
    a.rotated(4);
    assert!(metrics.render().contains("audit_shipper_rotations_total 6\n"));
}

#[test]
fn an_output_that_is_gone_alarms_nobody() {
    let metrics = Metrics::new();
    let route = metrics.route("siem");
    let as_new = metrics.render();
    let soon = Some(Timestamp::now());
    route.misconfigured(true);
    route.log_unreadable(true);
    route.waiting_since(Some(Instant::now()));
    route.unread(9);
    route.policy_reload(false);
    route.endpoint(&Condition {
        is_good: false,
        client_certificate_expires: soon,
        authorities_expire: soon,
        server_certificate_expires: soon,
    });
    let changed = metrics.render();
    let figures = |page: &str| -> Vec<String> {
        let of_it = |line: &&str| line.contains("{output=\"siem\"") || line.contains("certificate=");
        page.lines().filter(of_it).map(str::to_owned).collect()
    };
    assert_eq!(figures(&changed).len(), figures(&as_new).len() + 4, "{changed}");
    assert_eq!(
        figures(&changed).iter().filter(|line| !figures(&as_new).contains(line)).count(),
        9,
        "{changed}"
    );
    route.is_configured_anew();
    assert_eq!(figures(&metrics.render()), figures(&as_new));
}
