//! Deliveries under a paused clock, against an endpoint that is a script.

mod collectors;
mod each;
mod far;
mod packing;
mod properties;

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};

use crate::config::Mode;
use crate::health::tests::AtEachLine;
use far::{Setting, batch};

pub(crate) use collectors::Collectors;
pub(crate) use far::{Act, Far, event, output};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asserts that these are the seconds at which requests began, give or take the shortest of waits.
fn assert_began(far: &Far, expect: &[f64]) {
    let began = far.began();
    let near = began.len() == expect.len()
        && began.iter().zip(expect).all(|(began, expect)| (began - expect).abs() < 0.05);
    assert!(near, "{began:?} instead of {expect:?}");
}

/// What a metric of the output says.
fn metric_of(setting: &Setting, name: &str) -> u64 {
    let page = setting.metrics.render();
    let start = format!("audit_shipper_{name}{{output=\"siem\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

/// How many requests began together, time after time, where each takes as long as the others.
fn waves(far: &Far) -> Vec<usize> {
    let under_way = far.under_way();
    let ends = under_way.windows(2).filter(|pair| pair[1] == 1).map(|pair| pair[0]);
    ends.chain(under_way.last().copied()).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_the_endpoint_bears() {
    let far = Far::new(|_, n| Act::After(seconds(1), Box::new(Act::Status(if n < 2 { 503 } else { 200 }))));
    let setting = Setting::new(&far, |output| output.max_in_flight = 8.try_into().unwrap());
    let batches: Vec<_> = (0..40).map(|n| batch(n * 2, 2)).collect();
    let began = Instant::now();
    let all = futures_util::future::join_all(batches.iter().map(|batch| setting.delivery.deliver(batch)));
    let delivered = all.await;
    assert!(delivered.iter().all(|delivered| delivered.events == 2));
    // Halved once by two answers; the six that were accepted with them let it grow by one.
    assert_eq!(waves(&far), [8, 5, 6, 7, 8, 8]);
    assert!(began.elapsed() < seconds(30), "{:?}", began.elapsed());
}

/// Whoever reads of a failure in our log may have put it right before the delivery comes to wait, which is for hours here.
#[tokio::test(start_paused = true)]
async fn what_is_put_right_at_once_is_tried_at_once() {
    for wrong in [404, 400] {
        let far = Far::new(move |_, n| Act::Status(if n < 2 { wrong } else { 200 }));
        let setting = Setting::new(&far, |output| output.requests.max_backoff = seconds(7200));
        let operator = far.clone();
        let _log = AtEachLine::of_this_thread(move || operator.change());
        // With one of a refused event nothing is in doubt; the second is, and there is none to compare it with.
        assert!(setting.health.take_credit());
        setting.delivery.deliver(&batch(0, 1)).await;
        assert_began(&far, &[0.0, 0.0, 0.0]);
    }
}

#[tokio::test(start_paused = true)]
async fn other_failures_leave_the_window_as_it_is() {
    let far = Far::new(|_, n| {
        let acts = [Act::Status(500), Act::Status(400), Act::Status(401), Act::NoConnection, Act::TimedOut];
        let act = acts.get(n).cloned().unwrap_or(Act::Status(200));
        Act::After(seconds(1), Box::new(act))
    });
    let setting = Setting::new(&far, |output| output.max_in_flight = 5.try_into().unwrap());
    let batches: Vec<_> = (0..60).map(|n| batch(n * 2, 2)).collect();
    futures_util::future::join_all(batches.iter().map(|batch| setting.delivery.deliver(batch))).await;
    assert!(waves(&far)[..10].iter().all(|count| *count == 5), "{:?}", waves(&far));
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_one_request_is_told_holds_for_all() {
    for (status, asked, granted) in [(429, 300, 300.0), (503, 86_400, 600.0)] {
        let far = Far::new(move |_, n| match n {
            0 => Act::Wait(status, seconds(asked)),
            _ => Act::Status(200),
        });
        let setting = Setting::new(&far, |_| {});
        let batches: Vec<_> = (0..4).map(|n| batch(n * 2, 2)).collect();
        let later = |n: usize| {
            let (delivery, batch) = (&setting.delivery, &batches[n]);
            async move {
                sleep(seconds(100 * n as u64)).await;
                delivery.deliver(batch).await
            }
        };
        tokio::join!(later(0), later(1), later(2), later(3));
        let mut expect = [0.0, granted, granted, granted, granted];
        if granted < 400.0 {
            expect[4] = 300.0;
        }
        assert_began(&far, &expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_waits_notices_that_another_was_taken() {
    for (other_at, noticed_at) in [(5.0, 5.0), (0.2, 1.0)] {
        for failure in [Act::Status(500), Act::NoConnection, Act::TimedOut, Act::Status(404)] {
            let far = Far::new(move |_, n| if n == 0 { failure.clone() } else { Act::Status(200) });
            let setting = Setting::new(&far, |output| output.requests.initial_backoff = seconds(60));
            let (first, second) = (batch(0, 2), batch(2, 2));
            let other = async {
                sleep(Duration::from_secs_f64(other_at)).await;
                setting.delivery.deliver(&second).await
            };
            tokio::join!(setting.delivery.deliver(&first), other);
            assert_began(&far, &[0.0, other_at, noticed_at]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_began_before_the_failure_is_no_recovery() {
    let far = Far::new(|_, n| match n {
        0 => Act::After(seconds(10), Box::new(Act::Status(200))),
        1 => Act::After(seconds(1), Box::new(Act::Status(500))),
        _ => Act::Status(200),
    });
    let setting = Setting::new(&far, |output| output.requests.initial_backoff = seconds(60));
    let (first, second) = (batch(0, 2), batch(2, 2));
    tokio::join!(setting.delivery.deliver(&first), setting.delivery.deliver(&second));
    assert_began(&far, &[0.0, 0.0, 61.0]);
}

#[tokio::test(start_paused = true)]
async fn renewed_credentials_are_tried_at_once_but_only_once() {
    let far = Far::new(|_, n| if n < 4 { Act::Status(401) } else { Act::Status(200) });
    let setting = Setting::new(&far, |_| {});
    far.renew();
    far.renew();
    let batch = batch(0, 2);
    setting.delivery.deliver(&batch).await;
    assert_began(&far, &[0.0, 0.0, 60.0, 60.0, 120.0]);
}

/// As with a plugin that prints another token at each run: one that is renewed for one delivery wakes the other.
#[tokio::test(start_paused = true)]
async fn two_that_are_refused_do_not_wake_each_other_for_ever() {
    let far = Far::new(|_, n| {
        assert!(n < 100, "a storm");
        Act::Status(401)
    });
    let setting = Setting::new(&far, |_| {});
    (0..100).for_each(|_| far.renew());
    let (first, second) = (batch(0, 2), batch(2, 2));
    let later = async {
        sleep(seconds(30)).await;
        setting.delivery.deliver(&second).await
    };
    let both = async { tokio::join!(setting.delivery.deliver(&first), later) };
    assert!(tokio::time::timeout(seconds(605), both).await.is_err());
    // Of each delivery two at most for each maxBackoff, and one for each renewal by the other.
    assert!(far.began().len() <= 60, "{:?}", far.began());
}

#[tokio::test(start_paused = true)]
async fn several_that_are_refused_together_all_try_the_renewed_credentials() {
    let far = Far::new(|_, n| {
        Act::After(seconds(1), Box::new(if n < 4 { Act::Status(403) } else { Act::Status(200) }))
    });
    let setting = Setting::new(&far, |_| {});
    far.renew();
    let batches: Vec<_> = (0..4).map(|n| batch(n * 2, 2)).collect();
    futures_util::future::join_all(batches.iter().map(|batch| setting.delivery.deliver(batch))).await;
    assert_began(&far, &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(setting.metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 0"));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_kubeconfig_ends_every_wait_of_our_own() {
    for failure in [Act::Status(401), Act::Status(404), Act::Status(500), Act::NoConnection, Act::Status(400)]
    {
        let far = Far::new(move |_, n| if n < 2 { failure.clone() } else { Act::Status(200) });
        let setting = Setting::new(&far, |output| {
            output.requests.initial_backoff = seconds(60);
            // One that is refused is never given up.
            output.batch.mode = Mode::BlockingStrict;
        });
        let change = async {
            for _ in 0..2 {
                sleep(seconds(5)).await;
                far.change();
            }
        };
        let batch = batch(0, 1);
        let (delivered, ()) = tokio::join!(setting.delivery.deliver(&batch), change);
        assert_eq!(delivered.events, 1);
        assert_began(&far, &[0.0, 5.0, 10.0]);
    }
    let far = Far::new(|_, n| if n == 0 { Act::Wait(503, seconds(60)) } else { Act::Status(200) });
    let setting = Setting::new(&far, |_| {});
    let change = async {
        sleep(seconds(5)).await;
        far.change();
    };
    let batch = batch(0, 1);
    tokio::join!(setting.delivery.deliver(&batch), change);
    assert_began(&far, &[0.0, 60.0]);
}

/// Each request takes a second for each of its events.
fn slow(limit: usize) -> Far {
    Far::new(move |ids: &[u64], _| if ids.len() > limit { Act::TimedOut } else { Act::Status(200) })
}

#[tokio::test(start_paused = true)]
async fn what_times_out_three_times_is_halved_and_arrives_in_order() {
    let far = slow(3);
    let setting = Setting::new(&far, |_| {});
    let batch = batch(0, 11);
    let delivered = setting.delivery.deliver(&batch).await;
    assert_eq!((delivered.events, delivered.refused.len()), (11, 0));
    assert_eq!(far.accepted(), (0..11).collect::<Vec<u64>>());
    let sizes: Vec<usize> = far.requests().iter().map(Vec::len).collect();
    assert_eq!(sizes, [11, 11, 11, 5, 5, 5, 2, 3, 6, 6, 6, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn timeouts_between_other_failures_do_not_halve() {
    let far = Far::new(|_, n| match n {
        20 => Act::Status(200),
        n if n % 3 == 2 => [Act::Status(500), Act::NoConnection, Act::Status(404)][n % 9 / 3].clone(),
        _ => Act::TimedOut,
    });
    let setting = Setting::new(&far, |_| {});
    let batch = batch(0, 8);
    setting.delivery.deliver(&batch).await;
    assert!(far.requests().iter().all(|ids| ids.len() == 8), "{:?}", far.requests());
}

#[tokio::test(start_paused = true)]
async fn one_event_that_times_out_is_tried_for_ever() {
    let far = Far::new(|_, n| if n < 1000 { Act::TimedOut } else { Act::Status(200) });
    let setting = Setting::new(&far, |_| {});
    let batch = batch(0, 1);
    let delivered = setting.delivery.deliver(&batch).await;
    assert_eq!((delivered.events, delivered.refused.len(), far.requests().len()), (1, 0, 1001));
}

/// The halves of what is too slow are no evidence of anything, and the search for a poisoned event goes on.
#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_that_refuses_one_event_loses_nothing_else() {
    let far = Far::new(|ids: &[u64], _| match ids {
        ids if ids.len() > 4 => Act::TimedOut,
        ids if ids.contains(&6) => Act::Status(400),
        _ => Act::Status(200),
    });
    let setting = Setting::new(&far, |_| {});
    let batch = batch(0, 16);
    let delivered = setting.delivery.deliver(&batch).await;
    assert_eq!(delivered.refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [6]);
    let mut accepted = far.accepted();
    accepted.sort_unstable();
    assert_eq!(accepted, (0..16).filter(|id| *id != 6).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_gate_is_not_held_while_a_delivery_waits() {
    let far = Far::new(|ids: &[u64], n| match ids {
        [0, ..] if n < 50 => [Act::Status(500), Act::Status(401), Act::TimedOut][n % 3].clone(),
        _ => Act::Status(200),
    });
    let setting = Setting::new(&far, |output| output.max_in_flight = 1.try_into().unwrap());
    let (first, second) = (batch(0, 1), batch(10, 5));
    let mut stuck = Box::pin(setting.delivery.deliver(&first));
    assert!(stuck.as_mut().now_or_never().is_none());
    let began = Instant::now();
    assert_eq!(setting.delivery.deliver(&second).await.events, 5);
    assert!(began.elapsed() < seconds(1));
}
