//! Whether an output is ready, and what is evidence.

use std::cell::RefCell;
use std::rc::Rc;

use tracing::callsite::rebuild_interest_cache;
use tracing::span::{Attributes, Id, Record};

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

thread_local! {
    static AT_EACH_LINE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Does something at each line that this thread logs, as another delivery may at that moment; until it is dropped.
pub(crate) struct AtEachLine;

impl AtEachLine {
    pub(crate) fn of_this_thread(act: impl Fn() + 'static) -> Self {
        AT_EACH_LINE.set(Some(Rc::new(act)));
        // For all threads: lines that are first logged while nobody listens may be taken for lines that nobody wants.
        let _ = tracing::subscriber::set_global_default(Listening);
        rebuild_interest_cache();
        Self
    }
}

impl Drop for AtEachLine {
    fn drop(&mut self) {
        AT_EACH_LINE.set(None);
    }
}

struct Listening;

impl tracing::Subscriber for Listening {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        // It may itself log.
        let act = AT_EACH_LINE.with_borrow(Clone::clone);
        act.inspect(|act| act());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// One delivery is refused and another one accepted: whatever comes in between, the gauge is of the trouble that is left.
#[test]
fn the_gauge_says_what_is_so_when_the_line_is_in_the_log() {
    let metrics = Metrics::new();
    let health = Arc::new(Health::new("siem", Duration::from_secs(300), Arc::new(metrics.route("siem"))));
    let accepts = AtEachLine::of_this_thread({
        let (health, metrics) = (Arc::clone(&health), metrics.clone());
        move || {
            if health.trouble().is_some() {
                assert!(metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 1"));
                health.accepted(health.now());
            }
        }
    });
    health.misconfigured("401");
    drop(accepts);
    assert_eq!(health.trouble(), None);
    assert!(metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 0"));
}
