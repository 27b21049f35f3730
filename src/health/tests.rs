//! Whether an output is ready, and what is evidence.

use super::*;
use crate::metrics::Metrics;

#[tokio::test(start_paused = true)]
async fn is_ready_until_nothing_moves_or_somebody_must_act() {
    let metrics = Metrics::new();
    let health = Health::new("siem", Duration::from_secs(300), Arc::new(metrics.route("siem")));
    assert_eq!(health.not_ready(), None);
    health.began_to_wait();
    health.unavailable("503");
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(health.not_ready(), None);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(health.not_ready().as_deref(), Some("siem: nothing was acknowledged for 301 s: 503"));
    health.accepted(health.now());
    health.progressed(false);
    assert_eq!(health.not_ready(), None);
    health.misconfigured("401");
    health.unavailable("503");
    assert_eq!(health.not_ready().as_deref(), Some("siem: 401"));
    assert!(metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 1"));
    health.accepted(health.now());
    assert!(metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 0"));
    assert_eq!(health.not_ready(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_in_the_log_waits_too() {
    let health = Health::new("siem", Duration::from_secs(300), Arc::new(Metrics::new().route("siem")));
    let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    health.behind(Some(9), Some("audit.log: denied".into()));
    pass(200).await;
    health.behind(None, Some("audit.log: denied".into()));
    pass(101).await;
    let said = "siem: nothing was acknowledged for 301 s: audit.log: denied";
    assert_eq!(health.not_ready().as_deref(), Some(said));
    // It can be read again, and something is settled; there is more.
    health.behind(Some(9), None);
    health.began_to_wait();
    health.progressed(false);
    assert_eq!(health.not_ready(), None);
    pass(301).await;
    assert_eq!(health.not_ready().as_deref(), Some("siem: nothing was acknowledged for 301 s"));
    health.behind(Some(0), None);
    assert_eq!(health.not_ready(), None);
    // What is in memory waits, though nothing is behind it.
    health.began_to_wait();
    pass(301).await;
    health.behind(Some(0), None);
    assert!(health.not_ready().is_some());
}

#[test]
fn what_was_begun_before_is_no_evidence() {
    let health = Health::new("siem", Duration::from_secs(300), Arc::new(Metrics::new().route("siem")));
    let began = health.now();
    assert!(health.take_credit());
    health.accepted(began);
    assert!(!health.take_credit());
    health.accepted(health.now());
    assert!(health.take_credit() && !health.take_credit());
}

/// One request is refused at the very moment at which another is taken.
#[test]
fn what_is_shown_is_what_is_so_whoever_comes_last() {
    let metrics = Metrics::new();
    let health = Health::new("siem", Duration::from_secs(300), Arc::new(metrics.route("siem")));
    for _ in 0..2000 {
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                health.misconfigured("404");
            });
            barrier.wait();
            health.accepted(health.now());
        });
        let is_shown = metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 1");
        assert_eq!(is_shown, health.trouble().is_some());
        health.accepted(health.now());
    }
}
