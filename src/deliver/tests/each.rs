//! Answers that speak of each event.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;

use tokio::time::Instant;

use super::far::{Setting, batch};
use super::{metric_of, seconds};
use crate::body::{Body, Coding};
use crate::compress::tests::decoded;
use crate::config::{Ack, Compression, Format, Identity};
use crate::deliver::{Credentials, Delivered, NoAnswer, Sending, Wire};
use crate::properties::cases;
use crate::sink::elasticsearch::Elasticsearch;
use crate::sink::splunk_hec::{self, SplunkHec};
use crate::sink::tests::answer;
use crate::sink::webhook::Webhook;
use crate::sink::{self, Answer, Events, HttpSink, elasticsearch};

type Says = dyn Fn(&[u64], usize) -> Result<(u16, String), NoAnswer> + Send + Sync;

/// An endpoint that says what it is told to say of the n-th request, with these events.
#[derive(Clone)]
struct Desk {
    says: Arc<Says>,
    requests: Arc<Mutex<Vec<Vec<u64>>>>,
}

impl Desk {
    fn new(says: impl Fn(&[u64], usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::with_failures(move |ids, n| Ok(says(ids, n)))
    }

    fn with_failures(
        says: impl Fn(&[u64], usize) -> Result<(u16, String), NoAnswer> + Send + Sync + 'static,
    ) -> Self {
        Self { says: Arc::new(says), requests: Arc::default() }
    }

    fn requests(&self) -> Vec<Vec<u64>> {
        self.requests.lock().unwrap().clone()
    }

    fn setting(&self, sink: Arc<dyn HttpSink>) -> Setting {
        Setting::of(Box::new(self.clone()), sink, |_| {})
    }
}

impl Wire for Desk {
    fn post(&self, request: sink::Request) -> Sending<'_, Result<(Answer, Credentials), NoAnswer>> {
        let ids = ids(&request.body);
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(ids.clone());
            requests.len() - 1
        };
        let said = (self.says)(&ids, number);
        Box::pin(async move { said.map(|(status, body)| (answer(status, &body), Credentials(0))) })
    }

    fn refused(&self, _: Credentials) -> Sending<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn changed(&self) -> Sending<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// The numbers of the events in a body of any protocol.
pub(super) fn ids(body: &Body) -> Vec<u64> {
    let text = String::from_utf8(decoded(body)).unwrap();
    let ends = text.split("\"auditID\":\"").skip(1);
    ends.map(|rest| rest.split_once('"').unwrap().0.parse().unwrap()).collect()
}

fn elasticsearch() -> Arc<dyn HttpSink> {
    Arc::new(Elasticsearch::new(
        &elasticsearch::tests::config(),
        &Identity::default(),
        std::path::Path::new("/audit.log"),
    ))
}

/// An answer of `_bulk` with these items.
fn items(statuses: &[u16]) -> (u16, String) {
    let items: Vec<String> =
        statuses.iter().map(|status| format!(r#"{{"create":{{"status":{status}}}}}"#)).collect();
    (200, format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")))
}

fn splunk() -> Arc<dyn HttpSink> {
    Arc::new(SplunkHec::new(&splunk_hec::tests::config(Ack::Auto), &Identity::default()))
}

fn ndjson() -> Arc<dyn HttpSink> {
    Arc::new(sink::ndjson::tests::sink(Format::Lines))
}

/// What a collector says of a request with such an event.
fn picking(is_bad: impl Fn(u64) -> bool) -> impl Fn(&[u64], usize) -> (u16, String) {
    move |ids, _| match ids.iter().position(|id| is_bad(*id)) {
        Some(place) => (400, format!(r#"{{"code":6,"invalid-event-number":{place}}}"#)),
        None => (200, r#"{"code":0}"#.to_owned()),
    }
}

fn refused(delivered: &Delivered) -> Vec<u64> {
    let mut refused: Vec<u64> = delivered.refused.iter().map(|refused| refused.index as u64).collect();
    refused.sort_unstable();
    refused
}

/// A body that counts how many of its kind are in memory.
struct Counting(Arc<AtomicUsize>, Vec<u8>);

impl Counting {
    fn body(of: &Body, alive: &Arc<AtomicUsize>) -> Body {
        alive.fetch_add(1, Ordering::SeqCst);
        std::iter::once(Bytes::from_owner(Self(Arc::clone(alive), of.concat()))).collect()
    }
}

impl AsRef<[u8]> for Counting {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A protocol whose bodies are copies of the events.
struct Copying(Arc<AtomicUsize>);

impl HttpSink for Copying {
    fn request(&self, events: &Events, now: SystemTime) -> sink::Request {
        let request = Webhook::default().request(events, now);
        sink::Request { body: Counting::body(&request.body, &self.0), ..request }
    }

    fn probes(&self) -> Vec<sink::Probe<'_>> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_compressed_is_in_memory_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&alive);
    let desk = Desk::new(move |_, n| {
        // The last one goes as it is.
        assert_eq!(seen.load(Ordering::SeqCst), usize::from(n == 2), "try {n}");
        ([503, 415, 200][n], String::new())
    });
    let setting = Setting::of(Box::new(desk.clone()), Arc::new(Copying(Arc::clone(&alive))), |output| {
        output.requests.compression = Some(Compression { coding: Coding::Gzip, level: 1 });
    });
    assert_eq!(setting.delivery.deliver(&batch(0, 5)).await.events, 5);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_later_is_evidence_for_what_was_refused_before() {
    let desk = Desk::new(|ids, n| match n {
        0 => items(&[400, 400, 429, 429, 429]),
        1 => items(&[201, 400, 429]),
        _ => items(&vec![201; ids.len()]),
    });
    let delivered = desk.setting(elasticsearch()).delivery.deliver(&batch(0, 5)).await;
    assert_eq!((delivered.events, refused(&delivered)), (2, vec![0, 1, 3]));
    assert_eq!(desk.requests(), [vec![0, 1, 2, 3, 4], vec![2, 3, 4], vec![4]]);
    let desk = Desk::new(|_, n| if n == 0 { items(&[400, 400, 429, 429]) } else { items(&[201, 400]) });
    let delivered = desk.setting(elasticsearch()).delivery.deliver(&batch(0, 4)).await;
    assert_eq!((delivered.events, refused(&delivered)), (1, vec![0, 1, 3]));
    assert_eq!(desk.requests().len(), 2, "nobody has to ask for each of them again");
}

/// The failure store has them, and that is for somebody to know.
#[tokio::test(start_paused = true)]
async fn what_is_kept_elsewhere_is_delivered_and_counted() {
    let desk = Desk::new(|ids, _| {
        let item = r#"{"create":{"status":201,"failure_store":"used"}}"#;
        (200, format!(r#"{{"errors":false,"items":[{}]}}"#, vec![item; ids.len()].join(",")))
    });
    let setting = desk.setting(elasticsearch());
    assert_eq!(setting.delivery.deliver(&batch(0, 3)).await.events, 3);
    assert_eq!(metric_of(&setting, "diverted_events_total"), 3);
}

/// The others were not too much for it, and nothing was wrong with them.
#[tokio::test(start_paused = true)]
async fn to_find_events_by_name_takes_no_time_and_no_window() {
    for bad in [vec![3], vec![0, 1, 2], (0..60).step_by(5).collect(), (10..40).collect::<Vec<u64>>()] {
        let of_script = bad.clone();
        let desk = Desk::new(picking(move |id| of_script.contains(&id)));
        let setting = desk.setting(splunk());
        let began = Instant::now();
        let delivered = setting.delivery.deliver(&batch(0, 60)).await;
        assert_eq!(refused(&delivered), bad);
        assert_eq!(delivered.events, 60 - bad.len() as u64);
        assert!(began.elapsed() < Duration::from_secs(1), "{bad:?}: {:?}", began.elapsed());
        assert!(desk.requests().len() < 4 * bad.len() + 4, "{bad:?}: {}", desk.requests().len());
        assert_eq!(metric_of(&setting, "window_requests"), 4);
    }
}

/// Where a place may be meant otherwise than we read it, what is there has to be refused alone.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_named_by_mistake_is_not_given_up() {
    // Those behind it are named one after the other, most of them when others have been taken already.
    let is_bad = |id: &u64| *id == 9;
    let desk = Desk::new(move |ids, _| match ids.iter().position(&is_bad) {
        Some(place) => (400, format!(r#"{{"code":6,"invalid-event-number":{}}}"#, place + 1)),
        None => (200, r#"{"code":0}"#.to_owned()),
    });
    let delivered = desk.setting(splunk()).delivery.deliver(&batch(0, 24)).await;
    assert_eq!((delivered.events, refused(&delivered)), (23, vec![9]));
}

/// It may name one after the other: nothing is given up, and it is not asked in a circle.
#[tokio::test(start_paused = true)]
async fn a_collector_that_refuses_everything_by_name_costs_one_event_at_most() {
    let desk = Desk::new(picking(|_| true));
    let setting = desk.setting(splunk());
    let batch = batch(0, 400);
    assert!(tokio::time::timeout(seconds(3600), setting.delivery.deliver(&batch)).await.is_err());
    // Eight a minute and those that were named alone, and those before it was in doubt.
    assert!(desk.requests().len() < 2 * 8 * 60 + 60, "{}", desk.requests().len());
    assert!(setting.health.not_ready().unwrap().contains("refuses every event"));
}

/// Fewer may have an answer that can be read.
#[tokio::test(start_paused = true)]
async fn what_has_too_long_an_answer_is_halved() {
    let desk = Desk::with_failures(|ids, _| match ids.len() {
        0..4 => Ok((200, String::new())),
        _ => Err(NoAnswer { reason: "an answer of more".to_owned(), timed_out: false, too_long: true }),
    });
    let delivered = desk.setting(ndjson()).delivery.deliver(&batch(0, 8)).await;
    assert_eq!((delivered.events, delivered.refused.len()), (8, 0));
}

/// They are found one by one, and those that are taken meanwhile are the evidence.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_counts_what_it_refuses_is_asked_which() {
    let desk = Desk::new(|ids, _| {
        let bad = ids.iter().filter(|id| [2, 9].contains(*id)).count();
        (200, format!(r#"{{"accepted":{},"rejected":{bad}}}"#, ids.len() - bad))
    });
    let delivered = desk.setting(ndjson()).delivery.deliver(&batch(0, 16)).await;
    assert_eq!((delivered.events, refused(&delivered)), (14, vec![2, 9]));
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever is said of items, today this and tomorrow that: each event is stored or set aside, and set aside only if
    /// that was said of it.
    #[test]
    fn each_event_ends_as_it_was_told(
        script in prop::collection::vec(
            prop::collection::vec(prop::sample::select(&[201_u16, 409, 429, 503, 403, 400][..]), 1..9),
            0..30,
        ),
        size in 1..12_u64,
    ) {
        let told = Arc::new(Mutex::new((BTreeSet::new(), BTreeSet::new())));
        let telling = Arc::clone(&told);
        let desk = Desk::new(move |ids, n| {
            let of = |place: usize| script.get(n).map_or(201, |statuses| statuses[place % statuses.len()]);
            let statuses: Vec<u16> = (0..ids.len()).map(of).collect();
            let mut told = telling.lock().unwrap();
            for (id, status) in ids.iter().zip(&statuses) {
                match status {
                    201 | 409 => told.0.insert(*id),
                    400 => told.1.insert(*id),
                    _ => false,
                };
            }
            items(&statuses)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let delivered = runtime.unwrap().block_on(async {
            desk.setting(elasticsearch()).delivery.deliver(&batch(0, size)).await
        });
        let (stored, refusable) = &*told.lock().unwrap();
        let refused: BTreeSet<u64> = refused(&delivered).into_iter().collect();
        prop_assert_eq!(delivered.events + delivered.refused.len() as u64, size);
        prop_assert!(refused.is_subset(refusable));
        prop_assert!((0..size).all(|id| refused.contains(&id) || stored.contains(&id)));
    }
}
