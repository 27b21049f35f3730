use super::*;

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
