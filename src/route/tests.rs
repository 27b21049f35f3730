//! A route from its log to an endpoint that is a script, under a paused clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Ends;
use super::{Reading, Route};
use crate::batch::Treatment;
use crate::buffers::Buffers;
use crate::checkpoint::Store;
use crate::config::{self, Pins, StartAt};
use crate::deliver::tests::{Act, Collectors, Far, event, output};
use crate::deliver::{Delivery, Transport, Wire};
use crate::health::Health;
use crate::metrics::{Metrics, RouteMetrics};
use crate::rejected::RejectedFile;
use crate::sink::HttpSink;
use crate::sink::webhook::Webhook;
use crate::source::Watch;
use crate::source::format::Format;
use crate::source::pins::PinSet;

const OUTAGE: Duration = Duration::from_secs(600);
const EVENTS: u64 = 400;
const BATCH: u64 = 5;
const BUFFER: u64 = 40;

/// A log of so many events, and the directory of the state beside it.
fn log_of(events: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: String = (0..events).map(|id| event(id) + "\n").collect();
    std::fs::write(directory.path().join("audit.log"), lines).unwrap();
    std::fs::create_dir(directory.path().join("state")).unwrap();
    directory
}

fn route(directory: &Path, output: &config::Output, far: &Far, metrics: &Metrics) -> Route {
    route_to(Box::new(far.clone()), Arc::new(Webhook::default()), directory, output, metrics)
}

fn route_to(
    exchange: Box<dyn Wire>,
    sink: Arc<dyn HttpSink>,
    directory: &Path,
    output: &config::Output,
    metrics: &Metrics,
) -> Route {
    let source = config::Source {
        manifest: None,
        path: directory.join("audit.log"),
        format: Format::Json,
        start_at: StartAt::Oldest,
        max_line_bytes: config::DEFAULT_MAX_LINE_BYTES,
        pins: Pins::on_any_disk(),
        rotation: config::Rotation::default(),
    };
    let state = directory.join("state");
    let pins = PinSet::of_one(&source.path);
    let watch = Arc::new(Watch::new(Arc::clone(&pins)));
    let metrics: Arc<RouteMetrics> = Arc::new(metrics.route(&output.name));
    let health = Arc::new(Health::new(&output.name, output.ready_after, Arc::clone(&metrics)));
    let (seen_by, buffers) = (Arc::clone(&health), Buffers::default());
    let untreated = watch::channel(Treatment::default()).1;
    Route {
        config: output.clone(),
        pins,
        number: 0,
        reading: Some(Reading::new(&source, output, 0, None, watch, (buffers.clone(), untreated), seen_by)),
        delivery: Arc::new(Transport::Http(Box::new(Delivery::new(
            exchange,
            sink,
            output,
            Arc::clone(&metrics),
            Arc::clone(&health),
            buffers,
        )))),
        store: Store::open(&state, &output.name).0,
        rejected: Arc::new(RejectedFile::new(&state, &output.name, output.rejected.clone())),
        metrics,
        health,
    }
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let page = metrics.render();
    let start = format!("{name}{{output=\"siem\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

/// Runs through an outage of ten minutes; returns the endpoint, and when everything was delivered.
async fn survive(in_flight: usize, failure: Act) -> (Far, f64) {
    let began = Instant::now();
    let far = Far::new(move |_, _| if began.elapsed() < OUTAGE { failure.clone() } else { Act::Status(200) });
    let mut output = output();
    output.max_in_flight = in_flight.try_into().unwrap();
    output.batch.max_size = usize::try_from(BATCH).unwrap().try_into().unwrap();
    output.batch.buffer_size = usize::try_from(BUFFER).unwrap().try_into().unwrap();
    let (directory, metrics, stop) = (log_of(EVENTS), Metrics::new(), CancellationToken::new());
    let route = route(directory.path(), &output, &far, &metrics);
    let running = tokio::spawn(route.run(Ends { now: stop.clone(), ..Ends::default() }, grace()));
    let mut most_buffered = 0;
    while value(&metrics, "audit_shipper_delivered_events_total") < EVENTS {
        assert!(began.elapsed() < 2 * OUTAGE, "it does not recover");
        most_buffered = most_buffered.max(value(&metrics, "audit_shipper_buffered_events"));
        sleep(Duration::from_secs(1)).await;
    }
    let done = began.elapsed().as_secs_f64();
    assert!((1..=BUFFER).contains(&most_buffered), "{most_buffered} events were held in memory");
    stop.cancel();
    running.await.unwrap();
    assert!(!directory.path().join("state/siem.rejected.ndjson").exists(), "something was given up");
    (far, done)
}

fn grace() -> watch::Receiver<Duration> {
    watch::channel(Duration::from_secs(30)).1
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_as_kube_apiserver_waits_and_delivered_in_order() {
    for failure in [Act::NoConnection, Act::Status(500), Act::Status(503)] {
        let (far, _) = survive(1, failure).await;
        assert_eq!(far.accepted(), (0..EVENTS).collect::<Vec<_>>());
        let (requests, began) = (far.requests(), far.began());
        let tries: Vec<f64> =
            began.iter().zip(&requests).filter(|(_, ids)| ids[0] == 0).map(|(began, _)| *began).collect();
        assert!(requests[..tries.len()].iter().all(|ids| ids.len() == 5 && ids[0] == 0), "{requests:?}");
        let waits: Vec<f64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (wait, base) in waits.iter().zip([10.0, 15.0, 22.5, 33.75, 50.625]) {
            assert!(*wait > base - 0.1 && *wait < f64::min(base * 1.2, 60.0) + 0.1, "{wait} for {base}");
        }
        assert!(waits.len() > 10 && waits[5..].iter().all(|wait| (wait - 60.0).abs() < 0.1), "{waits:?}");
        assert!(
            waits[..3].iter().zip([10.0, 15.0, 22.5]).any(|(wait, base)| wait - base > 0.01),
            "no jitter"
        );
    }
}

/// Nobody sleeps through it: as soon as one batch is taken, the others follow.
#[tokio::test(start_paused = true)]
async fn after_an_outage_the_whole_window_is_back_with_the_first_acceptance() {
    let (far, done) = survive(4, Act::Status(503)).await;
    let mut accepted = far.accepted();
    accepted.sort_unstable();
    assert_eq!(accepted, (0..EVENTS).collect::<Vec<_>>());
    let outage = OUTAGE.as_secs_f64();
    let first = far.began().into_iter().find(|began| *began >= outage).unwrap();
    assert!(done < first + 5.0, "the first was taken after {first} s, the last after {done} s");
    assert!(far.under_way().iter().all(|count| *count <= 4));
}

/// What the endpoint has and is yet to make safe takes room in memory, and none of the requests that may be under way.
#[tokio::test(start_paused = true)]
async fn other_batches_go_while_one_waits_to_be_made_safe() {
    let mut output = output();
    output.max_in_flight = 2.try_into().unwrap();
    output.batch.max_size = usize::try_from(BATCH).unwrap().try_into().unwrap();
    output.batch.buffer_size = usize::try_from(BUFFER).unwrap().try_into().unwrap();
    let collectors = Collectors::new(1, Duration::from_secs(20), []);
    let (directory, metrics, stop) = (log_of(EVENTS), Metrics::new(), CancellationToken::new());
    let wire = Box::new(collectors.clone());
    let route = route_to(wire, Collectors::sink(), directory.path(), &output, &metrics);
    let began = Instant::now();
    let running = tokio::spawn(route.run(Ends { now: stop.clone(), ..Ends::default() }, grace()));
    while value(&metrics, "audit_shipper_delivered_events_total") < EVENTS {
        assert!(value(&metrics, "audit_shipper_buffered_events") <= BUFFER);
        sleep(Duration::from_secs(1)).await;
    }
    // Eight batches at a time fill the buffer, and of each time the last question comes after 25 s.
    let rounds = EVENTS / BUFFER;
    assert!(began.elapsed() < Duration::from_secs(28 * rounds), "{:?}", began.elapsed());
    assert_eq!(collectors.most_under_way(), 2);
    stop.cancel();
    running.await.unwrap();
}

/// What is refused alone waits for evidence, which the rest of the log has: less room than for a full batch will do.
#[tokio::test(start_paused = true)]
async fn a_small_buffer_has_room_for_evidence() {
    let far = Far::new(|ids: &[u64], _| Act::Status(if ids.iter().any(|id| *id < 2) { 400 } else { 200 }));
    let mut output = output();
    output.batch.max_size = 5.try_into().unwrap();
    output.batch.buffer_size = 5.try_into().unwrap();
    let (directory, metrics, stop) = (log_of(2), Metrics::new(), CancellationToken::new());
    let route = route(directory.path(), &output, &far, &metrics);
    let running = tokio::spawn(route.run(Ends { now: stop.clone(), ..Ends::default() }, grace()));
    while !metrics.render().contains("audit_shipper_misconfigured{output=\"siem\"} 1") {
        sleep(Duration::from_secs(1)).await;
    }
    let lines: String = (2..12).map(|id| event(id) + "\n").collect();
    let log = directory.path().join("audit.log");
    std::io::Write::write_all(
        &mut std::fs::File::options().append(true).open(log).unwrap(),
        lines.as_bytes(),
    )
    .unwrap();
    let began = Instant::now();
    while value(&metrics, "audit_shipper_delivered_events_total") < 10 {
        assert!(began.elapsed() < OUTAGE, "it is stuck");
        assert!(value(&metrics, "audit_shipper_buffered_events") <= 5);
        sleep(Duration::from_secs(1)).await;
    }
    stop.cancel();
    running.await.unwrap();
    let aside = std::fs::read_to_string(directory.path().join("state/siem.rejected.ndjson")).unwrap();
    assert_eq!(aside.lines().count(), 2);
}
