//! `rejected retry`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{audit_id, events, left, refuses_poison, rejected, rejected_args, shipper};
use crate::support::books::{assert_books_balance, count};
use crate::support::cli::{audit_shipper, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::shipper::{POISON, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{lines_of, real_events};
use crate::support::writer::assert_each_once;

/// A daemon whose endpoint refuses poison until the switch is thrown, and what it has set aside: `n` events.
struct Healing {
    shipper: Shipper,
    endpoint: Endpoint,
    daemon: Daemon,
    events: Vec<String>,
    is_healed: Arc<AtomicBool>,
}

impl Healing {
    /// `script` answers what holds poison once the switch is thrown, and is told how many it has answered so.
    fn new(n: usize, script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::of(|shipper| shipper, n, script)
    }

    /// The same of a daemon that is configured otherwise.
    fn of(
        configure: impl FnOnce(Shipper) -> Shipper,
        n: usize,
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let is_healed = Arc::new(AtomicBool::new(false));
        let endpoint = Endpoint::start({
            let (is_healed, answered) = (Arc::clone(&is_healed), AtomicUsize::new(0));
            move |request, _| {
                if request.holds(POISON) && is_healed.load(Ordering::SeqCst) {
                    return script(answered.fetch_add(1, Ordering::SeqCst));
                }
                refuses_poison(request, "poisoned")
            }
        });
        let events = events(3 * n);
        let shipper = configure(shipper(&endpoint)).log(&events).output("batch: { maxSize: 3 }");
        let daemon = shipper.start();
        wait_until_settled(&daemon, 3 * n);
        assert_eq!(shipper.rejected().len(), n);
        Self { shipper, endpoint, daemon, events, is_healed }
    }

    fn heal(&self) {
        self.is_healed.store(true, Ordering::SeqCst);
    }

    /// What is in the file now.
    fn left(&self) -> Vec<String> {
        left(&self.shipper)
    }

    /// Each event was taken once, or is in the file once.
    fn assert_nothing_lost_or_doubled(&self) {
        assert_each_once(self.events.clone(), [self.endpoint.items(), self.left()].concat());
        assert_books_balance(&self.daemon);
    }
}

#[test]
fn what_the_endpoint_takes_now_leaves_the_file() {
    let healing = Healing::new(7, |_| Answer::ok());
    // An older version, events that the endpoint never saw, and what is no event at all.
    let beta = healing.events[0].replacen("audit.k8s.io/v1\"", "audit.k8s.io/v1beta1\"", 1);
    let entry = lines_of(&healing.shipper.rejected_file())[0].clone();
    let line = healing.left()[0].trim_end().to_owned();
    let others = [
        entry.replace(&line, beta.trim_end()),
        entry.replace(&line, "{\"kind\":\"Event\"}"),
        entry.replace(&format!("\"event\":{line}"), "\"text\":\"klog\""),
        entry.replace(&format!("\"event\":{line}"), "\"beginning\":\"{\\\"kind\\\":\""),
        "no entry at all\n".to_owned(),
    ];
    let mut file = std::fs::OpenOptions::new().append(true).open(healing.shipper.rejected_file()).unwrap();
    std::io::Write::write_all(&mut file, others.concat().as_bytes()).unwrap();

    let refused = rejected(&healing.shipper, &["retry", "--reason=rejected"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.errors(), ["siem: the endpoint refuses events with status 422"]);
    let said = "siem: 1 taken by the endpoint, 7 refused again, 0 not tried\n\
                siem: 3 entries are no audit events, and cannot be sent\n";
    assert_eq!(refused.stdout, said);
    assert_eq!(lines_of(&healing.shipper.rejected_file()).len(), 7 + 4);

    healing.heal();
    let said = "siem: 7 taken by the endpoint, 0 refused again, 0 not tried\n\
                siem: 3 entries are no audit events, and cannot be sent\n";
    assert_eq!(rejected(&healing.shipper, &["retry"]).succeeded(), said);
    assert_eq!(lines_of(&healing.shipper.rejected_file()), others[1..]);
    assert_each_once([healing.events.clone(), vec![beta]].concat(), healing.endpoint.items());
    let requests = healing.endpoint.requests();
    let sent: Vec<usize> =
        requests[requests.len() - 3..].iter().map(|request| lines(request).len()).collect();
    assert_eq!(sent, [3, 3, 1], "no more than maxSize events a request");

    let said = "siem: nothing to send\nsiem: 3 entries are no audit events, and cannot be sent\n";
    assert_eq!(rejected(&healing.shipper, &["retry"]).succeeded(), said);
    let nothing = rejected(&healing.shipper, &["retry", "--reason=malformed"]).succeeded();
    assert_eq!(nothing, "siem: nothing to send\n");
    assert_books_balance(&healing.daemon);
}

#[test]
fn what_cannot_be_masked_stays_in_the_file_and_stands_for_no_other_event() {
    let healing = Healing::of(|shipper| shipper.redact("enabled: true"), 4, |_| Answer::ok());
    let entries = lines_of(&healing.shipper.rejected_file());
    // Nobody can tell which of the two counts, so nobody can tell what is to be masked.
    let ambiguous = entries[0].replacen("\"stage\":", "\"verb\":\"get\",\"stage\":", 1);
    std::fs::write(healing.shipper.rejected_file(), [vec![ambiguous.clone()], entries].concat().concat())
        .unwrap();
    healing.heal();
    let said = "siem: 4 taken by the endpoint, 0 refused again, 0 not tried\n\
                siem: 1 entry is no audit event, and cannot be sent\n";
    assert_eq!(rejected(&healing.shipper, &["retry"]).succeeded(), said);
    assert_eq!(lines_of(&healing.shipper.rejected_file()), [ambiguous]);
    assert_each_once(healing.events.clone(), healing.endpoint.items());
}

#[test]
fn what_is_set_aside_meanwhile_is_neither_lost_nor_sent_twice() {
    let (gate, is_healed, retried) = (Gate::closed(), Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let endpoint = Endpoint::start({
        let (gate, is_healed) = (gate.clone(), Arc::clone(&is_healed));
        move |request, _| {
            let is_of_before = lines(request).iter().any(|line| audit_id(line) < "000120");
            if !(is_healed.load(Ordering::SeqCst) && request.holds(POISON) && is_of_before) {
                return refuses_poison(request, "poisoned");
            }
            // The first of the retried requests waits until the daemon has set more aside.
            match retried.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::After(gate.clone(), Box::new(Answer::ok())),
                _ => Answer::ok(),
            }
        }
    });
    let renamed = |(index, line): (usize, String)| {
        let id = audit_id(&line).to_owned();
        line.replacen(&id, &format!("{index:06}"), 1)
    };
    let events: Vec<String> = events(240).into_iter().enumerate().map(renamed).collect();
    let (before, meanwhile) = events.split_at(120);
    let shipper = shipper(&endpoint).log(before).output("batch: { maxSize: 5, throttle: { enable: false } }");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 120);
    is_healed.store(true, Ordering::SeqCst);
    let requests = endpoint.requests().len();
    std::thread::scope(|scope| {
        let retrying = scope.spawn(|| rejected(&shipper, &["retry"]).succeeded());
        endpoint.wait_for("the first request of the retry", |all| all.len() > requests);
        shipper.workdir.append(&meanwhile[..60]);
        wait_until_settled(&daemon, 180);
        gate.open();
        // These come while it sends and rewrites.
        for (index, piece) in meanwhile[60..].chunks(3).enumerate() {
            shipper.workdir.append(piece);
            wait_until_settled(&daemon, 180 + 3 * (index + 1));
        }
        let said = retrying.join().unwrap();
        assert_eq!(said, "siem: 40 taken by the endpoint, 0 refused again, 0 not tried\n");
    });
    let left = left(&shipper);
    assert_eq!(left.len(), 40);
    assert_each_once(events.clone(), [endpoint.items(), left].concat());
    assert_eq!(count(&daemon.metrics(), "audit_shipper_set_aside_events_total", &[]), 80);
}

#[test]
fn an_endpoint_that_goes_away_in_the_middle_keeps_the_rest_in_the_file() {
    let healing = Healing::new(20, |n| if n < 3 { Answer::ok() } else { Answer::status(503) });
    healing.heal();
    let ended = rejected(&healing.shipper, &["retry"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout, "siem: 9 taken by the endpoint, 0 refused again, 11 not tried\n");
    assert_eq!(ended.errors(), ["siem: the endpoint answers status 503"]);
    assert_eq!(healing.left().len(), 11);
    healing.assert_nothing_lost_or_doubled();
    // And where there is nobody at all.
    healing.shipper.workdir.kubeconfig("http://127.0.0.1:1/audit");
    let ended = rejected(&healing.shipper, &["retry"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(1), "siem: 0 taken by the endpoint, 0 refused again, 11 not tried\n")
    );
    assert!(ended.errors()[0].starts_with("siem: no connection"), "{}", ended.stderr);
    healing.assert_nothing_lost_or_doubled();
}

#[test]
fn what_is_refused_still_stays_and_the_rest_of_its_request_is_taken() {
    let is_healed = Arc::new(AtomicBool::new(false));
    let endpoint = Endpoint::start({
        let is_healed = Arc::clone(&is_healed);
        move |request, _| {
            let bad = if is_healed.load(Ordering::SeqCst) { "\"auditID\":\"bad\"" } else { POISON };
            Answer::status(if request.holds(bad) { 400 } else { 200 })
        }
    });
    let mut events = events(30);
    let id = audit_id(&events[14]).to_owned();
    events[14] = events[14].replacen(&id, "bad", 1);
    let shipper = shipper(&endpoint).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 30);
    assert_eq!(shipper.rejected().len(), 10);
    is_healed.store(true, Ordering::SeqCst);
    let ended = rejected(&shipper, &["retry"]);
    assert_eq!(ended.stdout, "siem: 9 taken by the endpoint, 1 refused again, 0 not tried\n");
    assert_eq!(ended.errors(), ["siem: the endpoint refuses events with status 400"]);
    assert_eq!(ended.code, Some(1));
    let left = left(&shipper);
    assert_eq!(left, [events[14].clone()]);
    assert_each_once(events, [endpoint.items(), left].concat());
    assert_books_balance(&daemon);
}

/// `rejected retry` under way: it has sent one request whose answer has arrived, and one that waits.
fn halfway() -> (Healing, Gate, Daemon) {
    let gate = Gate::closed();
    let waiting = gate.clone();
    let healing = Healing::new(12, move |n| match n {
        1 => Answer::After(waiting.clone(), Box::new(Answer::ok())),
        _ => Answer::ok(),
    });
    healing.heal();
    let before = healing.endpoint.requests().len();
    let retry = Daemon::start(rejected_args(&healing.shipper, &["retry"]));
    healing.endpoint.wait_for("the second request", |requests| requests.len() == before + 2);
    (healing, gate, retry)
}

#[test]
fn a_kill_costs_duplicates_and_no_events() {
    let (healing, gate, mut retry) = halfway();
    retry.kill9();
    gate.open();
    assert_eq!(rejected(&healing.shipper, &["retry"]).code, Some(0));
    assert!(healing.left().is_empty());
    let mut items = healing.endpoint.items();
    items.sort_unstable();
    items.dedup();
    assert_each_once(healing.events.clone(), items);
    assert_books_balance(&healing.daemon);
}

#[test]
fn an_interrupt_takes_out_what_was_acknowledged_and_says_what_was_not() {
    let (healing, _gate, mut retry) = halfway();
    retry.terminate();
    assert_eq!(retry.wait().code(), Some(1));
    assert_eq!(retry.log(), "error: siem: interrupted\n");
    assert_eq!(healing.left().len(), 9);
    healing.assert_nothing_lost_or_doubled();
}

#[test]
fn with_flags_alone_the_endpoint_is_that_of_the_output_webhook() {
    let is_healed = Arc::new(AtomicBool::new(false));
    let endpoint = Endpoint::start({
        let is_healed = Arc::clone(&is_healed);
        move |request, _| {
            if is_healed.load(Ordering::SeqCst) { Answer::ok() } else { refuses_poison(request, "no") }
        }
    });
    let workdir = crate::support::workdir::Workdir::new();
    let kubeconfig = workdir.kubeconfig(&endpoint.url());
    let events = [real_events(1), vec![poisoned(&real_events(2)[1])]].concat();
    workdir.append(&events);
    let daemon = Daemon::start(flags("run", &workdir));
    wait_until_settled(&daemon, 2);
    let state = format!("--state-dir={}", workdir.state().display());
    let ended = audit_shipper(["rejected", "retry", &state]);
    assert_eq!(ended.errors(), ["which endpoint? Give --config or --audit-webhook-config-file"]);
    is_healed.store(true, Ordering::SeqCst);
    let file = workdir.state().join("webhook.rejected.ndjson");
    std::fs::copy(&file, workdir.state().join("gone.rejected.ndjson")).unwrap();
    let ended = audit_shipper([
        "rejected",
        "retry",
        &state,
        &format!("--audit-webhook-config-file={}", kubeconfig.display()),
    ]);
    assert_eq!(ended.stdout, "webhook: 1 taken by the endpoint, 0 refused again, 0 not tried\n");
    assert_eq!(ended.errors(), ["gone: no such output is configured, so there is no endpoint"]);
    assert_eq!(ended.code, Some(1));
    assert_each_once(events, endpoint.items());
    let wrong = audit_shipper(["rejected", "retry", &state, "--audit-webhook-config-file=/nowhere"]);
    assert_eq!(wrong.mistakes().len(), 1);
    assert_books_balance(&daemon);
}
