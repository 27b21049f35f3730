//! Whatever an endpoint answers: nothing is forgotten, nothing is counted twice, and no good event is given up for a
//! bad one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::far::{Act, Far, Setting, batch};
use crate::body::Coding;
use crate::config::Compression;
use crate::deliver::Delivery;
use crate::properties::cases;

/// As the route does it.
const MORE_IN_DOUBT: usize = 16;
/// Events with higher numbers come after the batches that count, as a log goes on.
const GOOD_FROM: u64 = 1_000_000;

/// What became of the batches.
struct Outcome {
    set_aside: Vec<u64>,
    far: Far,
}

/// Delivers batches of these sizes, at most `in_flight` of them at a time, and good ones after them until those are
/// settled; or for `time`, if that is over before.
fn deliver(
    far: Far,
    compression: Option<Compression>,
    sizes: &[u64],
    in_flight: usize,
    time: Duration,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let setting = Setting::new(&far, |output| {
            output.max_in_flight = in_flight.try_into().unwrap();
            output.requests.compression = compression;
        });
        let doubts = setting.health.doubts();
        let (mut next, mut settled, set_aside) = (0, 0, Mutex::new(Vec::new()));
        let mut deliveries = FuturesOrdered::new();
        let deadline = Instant::now() + time;
        while settled < sizes.len() && Instant::now() < deadline {
            let more = if *doubts.borrow() > 0 { MORE_IN_DOUBT } else { 0 };
            while deliveries.len() < in_flight + more {
                let (first, size) = match sizes.get(next) {
                    Some(size) => (sizes[..next].iter().sum(), *size),
                    None => (GOOD_FROM + next as u64, 1),
                };
                deliveries.push_back(one(&setting.delivery, first, size, &set_aside));
                next += 1;
            }
            tokio::select! {
                Some(()) = deliveries.next() => settled += 1,
                // The number of doubts may have changed.
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
        drop(deliveries);
        Outcome { set_aside: set_aside.into_inner().unwrap(), far }
    })
}

/// Delivers one batch and notes what is set aside of it, which is before it is settled.
async fn one(delivery: &Delivery, first: u64, size: u64, set_aside: &Mutex<Vec<u64>>) {
    let delivered = delivery.deliver(&batch(first, size)).await;
    let refused: BTreeSet<usize> = delivered.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused.len(), delivered.refused.len(), "an event was set aside twice");
    assert_eq!(delivered.events + refused.len() as u64, size, "the books do not balance");
    set_aside.lock().unwrap().extend(refused.iter().map(|index| first + *index as u64));
}

const LONG: Duration = Duration::from_secs(30 * 86_400);

fn act() -> impl Strategy<Value = Act> {
    let status = |statuses: &'static [u16]| prop::sample::select(statuses).prop_map(Act::Status);
    let wait = (prop::sample::select(&[429, 503][..]), 0..1000_u64)
        .prop_map(|(status, wait)| Act::Wait(status, Duration::from_secs(wait)));
    let act = prop_oneof![
        4 => status(&[200, 202, 204]),
        3 => status(&[400, 409, 422]),
        2 => status(&[413, 431]),
        2 => status(&[408, 425, 429, 500, 503]),
        1 => wait,
        1 => status(&[401, 403, 404, 501, 302]),
        1 => status(&[415]),
        1 => Just(Act::NoConnection),
        2 => Just(Act::TimedOut),
        1 => Just(Act::AnswerLost),
    ];
    (act, prop_oneof![Just(0), 1..40_u64])
        .prop_map(|(act, delay)| Act::After(Duration::from_secs(delay), Box::new(act)))
}

fn compression() -> impl Strategy<Value = Option<Compression>> {
    let of = |coding| Some(Compression { coding, level: 1 });
    prop::sample::select(vec![None, of(Coding::Gzip), of(Coding::Zstd)])
}

fn refuses(act: &Act) -> bool {
    match act {
        Act::After(_, act) => refuses(act),
        Act::Status(status) => [400, 409, 422, 413, 431].contains(status),
        _ => false,
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_event_is_acknowledged_or_set_aside(
        script in prop::collection::vec(act(), 0..60),
        sizes in prop::collection::vec(1..24_u64, 1..8),
        poison in prop::collection::btree_set(0..60_u64, 0..8),
        in_flight in 1..6_usize,
        compression in compression(),
    ) {
        let only_poison = !script.iter().any(refuses);
        let refused_alone = Box::leak(Box::new(Mutex::new(BTreeSet::new())));
        let refused_alone: &'static Mutex<BTreeSet<u64>> = refused_alone;
        let bad = poison.clone();
        let script = Mutex::new(VecDeque::from(script));
        let far = Far::new(move |ids, _| {
            let act = script.lock().unwrap().pop_front().unwrap_or(Act::Status(200));
            let takes = matches!(&act, Act::After(_, act) if matches!(**act, Act::Status(200..300) | Act::AnswerLost));
            let act = match act {
                act if !(takes || matches!(act, Act::Status(200))) => act,
                act if ids.iter().any(|id| bad.contains(id)) => { drop(act); Act::Status(400) }
                act => act,
            };
            if let ([id], true) = (ids, refuses(&act)) {
                refused_alone.lock().unwrap().insert(*id);
            }
            act
        });
        let Outcome { set_aside, far } = deliver(far, compression, &sizes, in_flight, LONG);
        let all: u64 = sizes.iter().sum();
        let set_aside: BTreeSet<u64> = set_aside.into_iter().collect();
        let accepted: BTreeSet<u64> = far.accepted().into_iter().collect();
        for id in 0..all {
            prop_assert!(accepted.contains(&id) || set_aside.contains(&id), "event {id} is forgotten");
            prop_assert!(!poison.contains(&id) || set_aside.contains(&id), "event {id} cannot have been taken");
        }
        prop_assert!(set_aside.is_subset(&refused_alone.lock().unwrap()), "set aside without a refusal of its own");
        prop_assert!(!only_poison || set_aside.is_subset(&poison), "{set_aside:?} though only {poison:?} are bad");
        prop_assert!(far.under_way().iter().all(|count| *count <= in_flight));
        let coding = compression.map(|compression| compression.coding);
        prop_assert!(far.bodies().iter().all(|(other, _)| other.is_none() || *other == coding));
    }

    #[test]
    fn an_endpoint_that_refuses_everything_costs_one_event_at_most(
        before in 0..6_usize,
        statuses in prop::collection::vec(prop::sample::select(&[400, 409, 422, 413, 431][..]), 1..5),
        sizes in prop::collection::vec(prop_oneof![1..3_u64, 1..30_u64], 30..60),
        in_flight in 1..6_usize,
    ) {
        let far = Far::new(move |_, n| {
            Act::Status(if n < before { 200 } else { statuses[n % statuses.len()] })
        });
        let Outcome { set_aside, far } = deliver(far, None, &sizes, in_flight, Duration::from_secs(3600));
        prop_assert!(set_aside.len() <= 1, "{set_aside:?}");
        prop_assert!(far.under_way().iter().all(|count| *count <= in_flight));
    }

    #[test]
    fn ten_poisoned_in_a_row_take_no_good_one_with_them(
        first in 0..200_u64,
        sizes in prop::collection::vec(1..40_u64, 1..8),
        in_flight in 1..6_usize,
    ) {
        let all: u64 = sizes.iter().sum();
        let first = first % all;
        let poison = first..first + 10;
        let bad = poison.clone();
        let far = Far::new(move |ids, _| Act::Status(if ids.iter().any(|id| bad.contains(id)) { 400 } else { 200 }));
        let Outcome { set_aside, far } = deliver(far, None, &sizes, in_flight, LONG);
        let expect: Vec<u64> = (0..all).filter(|id| poison.contains(id)).collect();
        let mut set_aside = set_aside;
        set_aside.sort_unstable();
        prop_assert_eq!(set_aside, expect);
        let mut accepted: Vec<u64> = far.accepted().into_iter().filter(|id| *id < GOOD_FROM).collect();
        accepted.sort_unstable();
        prop_assert_eq!(accepted, (0..all).filter(|id| !poison.contains(id)).collect::<Vec<_>>());
    }
}
