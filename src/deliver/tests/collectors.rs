//! Splunk's collectors behind a load balancer, with indexers that take their time: what they have in memory is lost when
//! they restart, each numbers what it takes by channel from 0, and what is indexed is said once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use reqwest::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::each::ids;
use super::far::{Setting, batch};
use super::{metric_of, seconds};
use crate::config::{Ack, Identity};
use crate::deliver::{Credentials, NoAnswer, Sending, Wire};
use crate::properties::cases;
use crate::sink::splunk_hec::{SplunkHec, tests::config};
use crate::sink::tests::answer;
use crate::sink::{self, Answer, HttpSink};

/// What becomes of a request with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// It is taken, and nobody learns of it.
    AnswerLost,
    Busy,
    /// The collector restarts, and takes it then.
    AfterRestart,
    /// It is taken, and then the collector restarts.
    BeforeRestart,
}

/// The collectors; clones are the same ones.
#[derive(Clone)]
pub(crate) struct Collectors(Arc<Mutex<State>>);

struct State {
    nodes: Vec<Node>,
    fates: VecDeque<Fate>,
    indexing_takes: Duration,
    is_sticky: bool,
    requests: u64,
    questions: usize,
    /// What a question is answered with instead.
    no_reply: Option<u16>,
    under_way: usize,
    most_under_way: usize,
    received: Vec<u64>,
    indexed: BTreeSet<u64>,
}

#[derive(Default)]
struct Node {
    channels: HashMap<String, Channel>,
}

#[derive(Default)]
struct Channel {
    next: u64,
    waiting: BTreeMap<u64, (Instant, Vec<u64>)>,
    settled: BTreeSet<u64>,
}

#[derive(Deserialize)]
struct Question {
    acks: Vec<u64>,
}

impl Collectors {
    pub(crate) fn new(nodes: usize, indexing_takes: Duration, fates: impl IntoIterator<Item = Fate>) -> Self {
        Self(Arc::new(Mutex::new(State {
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            fates: fates.into_iter().collect(),
            indexing_takes,
            is_sticky: true,
            requests: 0,
            questions: 0,
            no_reply: None,
            under_way: 0,
            most_under_way: 0,
            received: Vec::new(),
            indexed: BTreeSet::new(),
        })))
    }

    pub(crate) fn sink() -> Arc<dyn HttpSink> {
        Arc::new(SplunkHec::new(&config(Ack::Auto), &Identity::default()))
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.0.lock().unwrap().most_under_way
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn setting(&self) -> Setting {
        Setting::of(Box::new(self.clone()), Self::sink(), |_| {})
    }
}

impl State {
    /// What was to be indexed by now is.
    fn index(&mut self) {
        let now = Instant::now();
        for channel in self.nodes.iter_mut().flat_map(|node| node.channels.values_mut()) {
            let done: Vec<u64> =
                channel.waiting.iter().filter(|(_, (at, _))| *at <= now).map(|(ack, _)| *ack).collect();
            for ack in done {
                self.indexed.extend(channel.waiting.remove(&ack).unwrap().1);
                channel.settled.insert(ack);
            }
        }
    }

    /// Where the load balancer sends this one.
    fn route(&mut self, request: &sink::Request) -> usize {
        self.requests += 1;
        let cookie = request.headers.iter().find(|(name, _)| name == COOKIE);
        match cookie.filter(|_| self.is_sticky) {
            Some((_, value)) => value.to_str().unwrap().strip_prefix("node=").unwrap().parse().unwrap(),
            None => {
                usize::from(self.requests.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[1])
                    % self.nodes.len()
            }
        }
    }

    fn take(&mut self, node: usize, channel: &str, ids: Vec<u64>) -> u64 {
        self.received.extend(&ids);
        let done = Instant::now() + self.indexing_takes;
        let channel = self.nodes[node].channels.entry(channel.to_owned()).or_default();
        channel.waiting.insert(channel.next, (done, ids));
        channel.next += 1;
        channel.next - 1
    }

    fn serve(&mut self, request: &sink::Request) -> Result<Answer, NoAnswer> {
        self.index();
        let node = self.route(request);
        let header = HeaderName::from_static("x-splunk-request-channel");
        let channel = request.headers.iter().find(|(name, _)| *name == header).unwrap().1.to_str().unwrap();
        if let Some(of) = request.target.strip_prefix("/services/collector/ack?channel=") {
            assert_eq!(of, channel);
            self.questions += 1;
            let question: Question = serde_json::from_slice(&request.body.concat()).unwrap();
            if let Some(status) = self.no_reply {
                return Ok(answer(status, ""));
            }
            let channel = self.nodes[node].channels.entry(of.to_owned()).or_default();
            let said = question.acks.iter().map(|ack| format!(r#""{ack}":{}"#, channel.settled.remove(ack)));
            let said: Vec<String> = said.collect();
            return Ok(answer(200, &format!(r#"{{"acks":{{{}}}}}"#, said.join(","))));
        }
        let fate = self.fates.pop_front().unwrap_or(Fate::Taken);
        if fate == Fate::Busy {
            return Ok(answer(503, r#"{"text":"Server is busy","code":9}"#));
        }
        if fate == Fate::AfterRestart {
            self.nodes[node] = Node::default();
        }
        let ack = self.take(node, channel, ids(&request.body));
        if fate == Fate::BeforeRestart {
            self.nodes[node] = Node::default();
        }
        if fate == Fate::AnswerLost {
            return Err(NoAnswer { reason: "cut off".to_owned(), timed_out: false, too_long: false });
        }
        let mut answer = answer(200, &format!(r#"{{"text":"Success","code":0,"ackId":{ack}}}"#));
        let cookie = HeaderValue::from_str(&format!("node={node}; Path=/")).unwrap();
        answer.headers.insert(SET_COOKIE, cookie);
        Ok(answer)
    }
}

impl Wire for Collectors {
    fn post(&self, request: sink::Request) -> Sending<'_, Result<(Answer, Credentials), NoAnswer>> {
        Box::pin(async move {
            let is_question = request.target.contains("/ack?");
            self.change(|state| {
                state.under_way += usize::from(!is_question);
                state.most_under_way = state.most_under_way.max(state.under_way);
            });
            sleep(Duration::from_millis(50)).await;
            let served = self.0.lock().unwrap().serve(&request);
            sleep(Duration::from_millis(50)).await;
            self.change(|state| state.under_way -= usize::from(!is_question));
            Ok((served?, Credentials(0)))
        })
    }

    fn refused(&self, _: Credentials) -> Sending<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn changed(&self) -> Sending<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Delivers so many batches of two events, four at a time as a route does; returns which are indexed then, and all that
/// was received.
fn deliver(collectors: &Collectors, batches: u64) -> (BTreeSet<u64>, Vec<u64>) {
    use futures_util::StreamExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let setting = collectors.setting();
        let deliveries = futures_util::stream::iter(0..batches).map(|number| {
            let delivery = &setting.delivery;
            async move {
                let delivered = delivery.deliver(&batch(2 * number, 2)).await;
                assert_eq!((delivered.events, delivered.refused.len()), (2, 0));
                // What is settled is on disk by now, or it is lost with the collector.
                let state = collectors.0.lock().unwrap();
                for id in [2 * number, 2 * number + 1] {
                    assert!(state.indexed.contains(&id), "event {id} is settled and not indexed");
                }
            }
        });
        deliveries.buffered(4).for_each(|()| async {}).await;
        let state = collectors.0.lock().unwrap();
        (state.indexed.clone(), state.received.clone())
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Taken),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Busy),
        1 => Just(Fate::AfterRestart),
        1 => Just(Fate::BeforeRestart),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    /// Whatever collectors restart, whatever answers are lost, and wherever a load balancer leads: what is settled is
    /// indexed.
    #[test]
    fn nothing_is_settled_that_is_not_indexed(
        fates in prop::collection::vec(fate(), 0..40),
        nodes in 1..4_usize,
        indexing_takes in 0..40_u64,
        is_sticky in any::<bool>(),
        batches in 1..30_u64,
    ) {
        let collectors = Collectors::new(nodes, Duration::from_secs(indexing_takes), fates.clone());
        collectors.change(|state| state.is_sticky = is_sticky);
        let (indexed, received) = deliver(&collectors, batches);
        prop_assert_eq!(indexed.len() as u64, 2 * batches);
        if is_sticky && fates.iter().all(|fate| matches!(fate, Fate::Taken | Fate::Busy)) {
            prop_assert_eq!(received.len() as u64, 2 * batches, "it was sent twice");
        }
    }
}

/// Only an answer that says so is a reason to send again: what cannot be asked about may well be indexed.
#[tokio::test(start_paused = true)]
async fn while_nothing_is_said_of_a_request_it_is_not_sent_again() {
    for (status, misconfigured) in [(503, 0), (404, 1), (403, 1), (200, 0)] {
        let collectors = Collectors::new(2, seconds(5), []);
        collectors.change(|state| state.no_reply = Some(status));
        let setting = collectors.setting();
        let batch = batch(0, 2);
        let mend = async {
            sleep(seconds(3600)).await;
            assert_eq!(metric_of(&setting, "misconfigured"), misconfigured, "{status}");
            collectors.change(|state| state.no_reply = None);
        };
        let (delivered, ()) = tokio::join!(setting.delivery.deliver(&batch), mend);
        assert_eq!(delivered.events, 2);
        assert_eq!(collectors.0.lock().unwrap().received, [0, 1], "{status}");
        assert!(collectors.0.lock().unwrap().questions > 300);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_indexed_for_five_minutes_is_sent_again() {
    let collectors = Collectors::new(1, seconds(5), [Fate::BeforeRestart]);
    let began = Instant::now();
    assert_eq!(collectors.setting().delivery.deliver(&batch(0, 2)).await.events, 2);
    assert_eq!(collectors.0.lock().unwrap().received, [0, 1, 0, 1]);
    assert!((300..340).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
