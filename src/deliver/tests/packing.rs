//! What is compressed, how often, and until when.

use super::*;
use crate::body::Coding;
use crate::config::{self, Compression};

const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

fn compressing(coding: Coding) -> impl Fn(&mut config::Output) {
    move |output| output.requests.compression = Some(Compression { coding, level: 1 })
}

#[tokio::test(start_paused = true)]
async fn each_try_sends_the_same_bytes() {
    for coding in BOTH {
        let far = Far::new(|_, n| match n {
            0 => Act::Status(503),
            1 => Act::NoConnection,
            2 => Act::AnswerLost,
            _ => Act::Status(200),
        });
        let setting = Setting::new(&far, compressing(coding));
        let delivered = setting.delivery.deliver(&batch(0, 100)).await;
        let bodies = far.bodies();
        assert_eq!(bodies.len(), 4);
        assert!(bodies.iter().all(|body| *body == bodies[0] && body.0 == Some(coding)));
        let plain = Setting::new(&Far::new(|_, _| Act::Status(200)), |_| {});
        let as_it_is = plain.delivery.deliver(&batch(0, 100)).await.size;
        assert_eq!(as_it_is.sent_bytes, as_it_is.body_bytes);
        assert_eq!(delivered.size.body_bytes, as_it_is.body_bytes);
        assert_eq!(delivered.size.sent_bytes, bodies[0].1.len() as u64);
        assert!(delivered.size.sent_bytes * 4 < delivered.size.body_bytes, "{:?}", delivered.size);
    }
}

#[tokio::test(start_paused = true)]
async fn halves_are_compressed_for_themselves() {
    for coding in BOTH {
        let far =
            Far::new(|ids: &[u64], _| if ids.contains(&5) { Act::Status(400) } else { Act::Status(200) });
        let setting = Setting::new(&far, compressing(coding));
        let delivered = setting.delivery.deliver(&batch(0, 8)).await;
        assert_eq!((delivered.events, delivered.refused.len(), delivered.refused[0].index), (7, 1, 5));
        assert!(far.bodies().iter().all(|(other, _)| *other == Some(coding)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_understand_it_gets_bodies_as_they_are_at_once_and_from_then_on() {
    for coding in BOTH {
        let far =
            Far::new(|_, n| Act::After(seconds(1), Box::new(Act::Status(if n < 4 { 415 } else { 200 }))));
        let setting = Setting::new(&far, compressing(coding));
        let batches: Vec<_> = (0..6).map(|n| batch(n * 2, 2)).collect();
        let all =
            futures_util::future::join_all(batches.iter().map(|batch| setting.delivery.deliver(batch))).await;
        assert!(all.iter().all(|delivered| delivered.events == 2 && delivered.refused.is_empty()));
        // Those that were under way when the first answer came try again without a wait.
        assert_began(&far, &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        let compressed: Vec<bool> = far.bodies().iter().map(|(coding, _)| coding.is_some()).collect();
        assert_eq!(compressed[..4], [true; 4]);
        // The other two were compressed before anybody knew.
        assert!(compressed[4..].iter().filter(|compressed| **compressed).count() <= 2, "{compressed:?}");
        assert_eq!(metric_of(&setting, "misconfigured"), 0);
        setting.delivery.deliver(&batch(20, 2)).await;
        assert_eq!(far.bodies().last().unwrap().0, None);
    }
}

/// Then the answer is about something else: once that is mended, bodies are compressed as before.
#[tokio::test(start_paused = true)]
async fn a_body_as_it_is_that_is_not_understood_either_is_held_and_says_nothing_of_compression() {
    let far = Far::new(|_, n| Act::Status(if n < 4 { 415 } else { 200 }));
    let setting = Setting::new(&far, compressing(Coding::Zstd));
    let delivered = setting.delivery.deliver(&batch(0, 2)).await;
    assert_eq!(delivered.events, 2);
    assert_began(&far, &[0.0, 0.0, 60.0, 60.0, 120.0]);
    setting.delivery.deliver(&batch(2, 2)).await;
    let compressed: Vec<bool> = far.bodies().iter().map(|(coding, _)| coding.is_some()).collect();
    assert_eq!(compressed, [true, false, true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_everything_may_not_understand_it() {
    for (compression, hint) in [(None, false), (Some(Compression { coding: Coding::Gzip, level: 1 }), true)] {
        let far = Far::new(|_, _| Act::Status(400));
        let setting = Setting::new(&far, |output| output.requests.compression = compression);
        let batch = batch(0, 40);
        assert!(tokio::time::timeout(seconds(30), setting.delivery.deliver(&batch)).await.is_err());
        let told = setting.health.not_ready().unwrap();
        assert!(told.contains("refuses every event: status 400"), "{told}");
        assert_eq!(told.contains("webhook.compression"), hint, "{told}");
    }
}
