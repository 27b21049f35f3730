//! The endpoint, and what it takes to deliver to it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::batch::{Batch, Limits, Offer, Origin};
use crate::body::{Body, Coding};
use crate::buffers::Buffers;
use crate::compress::tests::decoded;
use crate::config;
use crate::deliver::{Credentials, Delivery, NoAnswer, Sending, Wire};
use crate::event::ApiVersion;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::sink::tests::answer;
use crate::sink::webhook::{Webhook, list};
use crate::sink::{self, Answer, HttpSink};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// An answer; 2xx takes the events.
    Status(u16),
    /// An answer that asks for a wait.
    Wait(u16, Duration),
    NoConnection,
    TimedOut,
    /// The events are taken, and nobody learns of it.
    AnswerLost,
    /// The other act, later.
    After(Duration, Box<Act>),
}

type Script = Box<dyn Fn(&[u64], usize) -> Act + Send + Sync>;

/// An endpoint; clones are the same one.
#[derive(Clone)]
pub(crate) struct Far(Arc<Inside>);

struct Inside {
    script: Script,
    started: Instant,
    history: Mutex<Vec<Request>>,
    under_way: AtomicUsize,
    renewals: AtomicUsize,
    generation: AtomicU64,
    rereading: tokio::sync::Mutex<()>,
    changes: Notify,
}

struct Request {
    ids: Vec<u64>,
    body: Body,
    began: Instant,
    under_way: usize,
    accepted_as: Option<usize>,
}

impl Far {
    /// Does with the n-th request, of events with these numbers, as the script says.
    pub(crate) fn new(script: impl Fn(&[u64], usize) -> Act + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inside {
            script: Box::new(script),
            started: Instant::now(),
            history: Mutex::default(),
            under_way: AtomicUsize::new(0),
            renewals: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            rereading: tokio::sync::Mutex::default(),
            changes: Notify::new(),
        }))
    }

    /// The events of each request, in order of arrival.
    pub(crate) fn requests(&self) -> Vec<Vec<u64>> {
        self.0.history.lock().unwrap().iter().map(|request| request.ids.clone()).collect()
    }

    /// The body of each of them, as it was sent.
    pub(crate) fn bodies(&self) -> Vec<(Option<Coding>, Vec<u8>)> {
        let history = self.0.history.lock().unwrap();
        history.iter().map(|request| (request.body.coding(), request.body.concat())).collect()
    }

    /// When each of them began, in seconds since the endpoint is there.
    pub(crate) fn began(&self) -> Vec<f64> {
        let since = |request: &Request| request.began.duration_since(self.0.started).as_secs_f64();
        self.0.history.lock().unwrap().iter().map(since).collect()
    }

    /// How many were under way when each of them began, itself among them.
    pub(crate) fn under_way(&self) -> Vec<usize> {
        self.0.history.lock().unwrap().iter().map(|request| request.under_way).collect()
    }

    /// The events that were taken, in that order.
    pub(crate) fn accepted(&self) -> Vec<u64> {
        let history = self.0.history.lock().unwrap();
        let mut accepted: Vec<_> =
            history.iter().filter_map(|request| Some((request.accepted_as?, &request.ids))).collect();
        accepted.sort_unstable();
        accepted.into_iter().flat_map(|(_, ids)| ids.iter().copied()).collect()
    }

    /// The credentials have changed at one more of the looks at them.
    pub(crate) fn renew(&self) {
        self.0.renewals.fetch_add(1, Ordering::Relaxed);
    }

    /// Something changes of what is known of the endpoint.
    pub(crate) fn change(&self) {
        self.0.changes.notify_waiters();
    }

    async fn serve(&self, body: Body) -> Result<Answer, NoAnswer> {
        let inside = &self.0;
        let under_way = inside.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let _end = End(&inside.under_way);
        let ids = ids(&body);
        assert_is_whole(&body, &ids);
        let n = {
            let mut history = inside.history.lock().unwrap();
            let began = Instant::now();
            history.push(Request { ids: ids.clone(), body, began, under_way, accepted_as: None });
            history.len() - 1
        };
        let mut act = (inside.script)(&ids, n);
        while let Act::After(delay, next) = act {
            sleep(delay).await;
            act = *next;
        }
        if matches!(act, Act::AnswerLost | Act::Status(200..300)) {
            let mut history = inside.history.lock().unwrap();
            let accepted = history.iter().filter(|request| request.accepted_as.is_some()).count();
            history[n].accepted_as = Some(accepted);
        }
        let no_answer =
            |reason: &str, timed_out| NoAnswer { reason: reason.to_owned(), timed_out, too_long: false };
        let answer = |status, retry_after| Answer { retry_after, ..answer(status, "") };
        match act {
            Act::Status(status) => Ok(answer(status, None)),
            Act::Wait(status, wait) => Ok(answer(status, Some(wait))),
            Act::NoConnection => Err(no_answer("no connection", false)),
            Act::TimedOut => Err(no_answer("no complete answer in time", true)),
            Act::AnswerLost | Act::After(..) => Err(no_answer("no complete answer", false)),
        }
    }
}

struct End<'a>(&'a AtomicUsize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Wire for Far {
    fn post(&self, request: sink::Request) -> Sending<'_, Result<(Answer, Credentials), NoAnswer>> {
        let credentials = Credentials(self.0.generation.load(Ordering::Relaxed));
        Box::pin(async move { Ok((self.serve(request.body).await?, credentials)) })
    }

    fn refused(&self, credentials: Credentials) -> Sending<'_, bool> {
        Box::pin(async move {
            let one_less = |renewals: usize| renewals.checked_sub(1);
            let generation = &self.0.generation;
            let _one = self.0.rereading.lock().await;
            if generation.load(Ordering::Relaxed) == credentials.0 {
                sleep(Duration::from_millis(20)).await;
            }
            if generation.load(Ordering::Relaxed) == credentials.0
                && self.0.renewals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
            {
                generation.fetch_add(1, Ordering::Relaxed);
                self.change();
            }
            generation.load(Ordering::Relaxed) != credentials.0
        })
    }

    fn changed(&self) -> Sending<'_, ()> {
        Box::pin(self.0.changes.notified())
    }
}

/// The numbers of the events in a body.
fn ids(body: &Body) -> Vec<u64> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "auditID")]
        id: String,
    }
    let list: List = serde_json::from_slice(&decoded(body)).unwrap();
    list.items.iter().map(|item| item.id.parse().unwrap()).collect()
}

/// Asserts that `body` holds these events byte for byte, and nothing else.
fn assert_is_whole(body: &Body, ids: &[u64]) {
    let items: Vec<String> =
        ids.iter().map(|id| format!(r#"{{"level":"Metadata","auditID":"{id}"}}"#)).collect();
    let plain = list(ApiVersion::V1, vec![items.join(",").into()]);
    assert!(decoded(body) == plain.concat(), "{ids:?} arrived as something else");
}

/// The line of event `id`, without its newline.
pub(crate) fn event(id: u64) -> String {
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{id}"}}"#)
}

/// A batch of `count` events, numbered from `first` on.
pub(super) fn batch(first: u64, count: u64) -> Arc<Batch> {
    let limits =
        Limits { max_lines: 400, max_bytes: 1 << 20, max_first_line_bytes: 1 << 20, max_event_size: None };
    let mut batch = Batch::new(Buffers::default());
    for id in first..first + count {
        let origin = || Origin { file: "audit.log".into(), offset: 0 };
        assert_eq!(batch.offer(event(id).as_bytes(), origin, &limits), Offer::Taken);
    }
    batch.seal();
    Arc::new(batch)
}

/// An output with the waits that are the default, named `siem`.
pub(crate) fn output() -> config::Output {
    config::Output {
        name: "siem".to_owned(),
        destination: config::Destination::Webhook("x".into()),
        requests: config::Requests {
            initial_backoff: Duration::from_secs(10),
            max_backoff: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            compression: None,
        },
        batch: config::Batch {
            mode: config::Mode::Batch,
            buffer_size: 10_000.try_into().unwrap(),
            max_size: 400.try_into().unwrap(),
            max_wait: Duration::from_secs(30),
            throttle: None,
        },
        redact: config::Redact::default(),
        truncate: config::Truncate {
            enabled: false,
            max_event_size: 102_400.try_into().unwrap(),
            max_batch_size: (10 << 20).try_into().unwrap(),
        },
        max_in_flight: 4.try_into().unwrap(),
        max_memory: (32 << 20).try_into().unwrap(),
        takes: None,
        policy_file: None,
        gap_records: false,
        rejected: config::Rejected::default(),
        identity: config::Identity::default(),
        ready_after: Duration::from_secs(300),
    }
}

/// A delivery, and who is told of it.
pub(super) struct Setting {
    pub(super) delivery: Delivery,
    pub(super) metrics: Metrics,
    pub(super) health: Arc<Health>,
}

impl Setting {
    /// Delivers to `far`, within the limits of an output that is changed like this.
    pub(super) fn new(far: &Far, change: impl FnOnce(&mut config::Output)) -> Self {
        Self::of(Box::new(far.clone()), Arc::new(Webhook::default()), change)
    }

    /// The same with any endpoint and protocol.
    pub(super) fn of(
        exchange: Box<dyn Wire>,
        sink: Arc<dyn HttpSink>,
        change: impl FnOnce(&mut config::Output),
    ) -> Self {
        let mut output = output();
        change(&mut output);
        let metrics = Metrics::new();
        let books = Arc::new(metrics.route(&output.name));
        let health = Arc::new(Health::new(&output.name, output.ready_after, Arc::clone(&books)));
        let delivery = Delivery::new(exchange, sink, &output, books, Arc::clone(&health), Buffers::default());
        Self { delivery, metrics, health }
    }
}
