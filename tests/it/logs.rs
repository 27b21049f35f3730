//! Our own log never holds an event's body, a token or a query string (invariant I11), whatever goes wrong.

use std::net::SocketAddr;

use crate::support::certificates::Authority;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::real_events;

const BODY: &str = "canary-in-a-body";
const TOKEN: &str = "canary-of-a-token";
const QUERY: &str = "canary-in-a-query";

/// Misbehaves in every way that it is told about in the log, and repeats what it was sent wherever it can.
fn misbehave(request: &Recorded, n: usize) -> Answer {
    let echo = format!("{} {:?} {}", request.target, request.headers, String::from_utf8_lossy(&request.body));
    match n {
        0 => Answer::with_body(503, echo),
        1 => Answer::Close,
        2 => Answer::CutOff,
        3 => Answer::Hang,
        4 => Answer::with_body(401, echo),
        5 => Answer::with_body(404, echo),
        6 => Answer::with_header(302, "Location", &format!("/moved?{QUERY}")),
        7 => Answer::with_header(307, "Location", &format!("http://127.0.0.3:1/?{QUERY}")),
        8 => Answer::with_header(307, "Location", &format!("/again?{QUERY}")),
        9 => Answer::with_body(200, "x".repeat(2 << 20)),
        _ if request.holds("too-large") => Answer::with_body(413, echo),
        _ if request.holds(POISON) => Answer::with_body(400, echo),
        _ => Answer::ok(),
    }
}

/// Real events with canaries in the places that clients fill; some poisoned, some no events at all.
fn lines() -> Vec<String> {
    let canary = |line: &String| {
        let (head, tail) = line.split_once("\"userAgent\":\"").unwrap();
        format!("{head}\"requestObject\":{{\"data\":\"{BODY}\"}},\"userAgent\":\"{BODY}{tail}")
    };
    let mut lines: Vec<String> = real_events(30).iter().map(canary).collect();
    for place in [3, 4, 5, 20] {
        lines[place] = poisoned(&lines[place]);
    }
    lines[10] = poisoned(&lines[10]).replacen("\"userAgent\":\"", "\"userAgent\":\"too-large", 1);
    lines.insert(12, format!("I1122 {BODY} not an event\n"));
    lines.insert(13, format!("{{\"kind\":\"Event\",\"apiVersion\":\"{BODY}\"}}\n"));
    lines.insert(14, format!("{}{BODY}\n", lines[15].trim_end()));
    lines
}

/// Runs through all of it and returns the complete log.
fn log_of_a_bad_day(format: &str, rust_log: &str) -> String {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), misbehave);
    let shipper = Shipper::new(&endpoint).log(&lines()).webhook("maxBackoff: 50ms, timeout: 1s");
    let shipper = shipper.flag("log-format", format).batches_of(8).one_at_a_time();
    let server = format!("{}?{QUERY}", endpoint.url());
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    let user = format!("token: {TOKEN}");
    shipper.workdir.kubeconfig_with(&server, "certificate-authority: ca.pem", &user);
    let mut command = Daemon::command();
    command.args(shipper.args()).env("RUST_LOG", rust_log);
    let mut daemon = Daemon::spawn(command);
    // 33 lines, one of which is an event and what is glued to it.
    wait_until_settled(&daemon, 34);
    assert_eq!(shipper.rejected().len(), 8);
    let (_, metrics) = daemon.get("/metrics");
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    metrics + &daemon.log()
}

#[test]
fn no_secret_in_text() {
    let log = log_of_a_bad_day("text", "info");
    for told in ["status 503", "status 401", "the endpoint takes events again"] {
        assert!(log.contains(told), "{told} is not told:\n{log}");
    }
    assert_no_canary(&log);
}

#[test]
fn no_secret_in_json() {
    let log = log_of_a_bad_day("json", "info");
    assert!(log.contains("status 503"), "{log}");
    assert_no_canary(&log);
}

/// What the libraries tell is part of it.
#[test]
fn no_secret_when_debugging() {
    let log = log_of_a_bad_day("text", "debug");
    for told in ["status 404", "status 302", "status 307", "no complete answer in time"] {
        assert!(log.contains(told), "{told} is not told:\n{log}");
    }
    assert_no_canary(&log);
}

#[test]
fn no_secret_in_what_readyz_says() {
    let endpoint = Endpoint::start(|request: &Recorded, _| {
        Answer::with_body(404, String::from_utf8_lossy(&request.body))
    });
    let shipper = Shipper::new(&endpoint).log(&lines());
    let daemon = shipper.start();
    let log = daemon.wait_for_line("status 404");
    let (status, reason) = daemon.get("/readyz");
    assert!(status == 503 && reason.contains("status 404"), "{status} {reason}");
    assert_no_canary(&(log + &reason));
}

#[test]
fn the_address_is_told_in_json_too() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).flag("log-format", "json");
    let daemon = shipper.start();
    let address: SocketAddr = daemon.address();
    assert_ne!(address.port(), 0);
}

/// A full disk, or a reader of our log that has gone away, costs lines of our log and nothing else.
#[test]
fn a_log_that_takes_nothing_stops_nobody() {
    let endpoint = Endpoint::start(|_, n| if n == 0 { Answer::status(503) } else { Answer::ok() });
    let events = real_events(20);
    let shipper = Shipper::new(&endpoint).log(&events);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (gone, pipe) = std::io::pipe().unwrap();
    drop(gone);
    for (stderr, start) in [(std::process::Stdio::from(full()), 0), (pipe.into(), 20)] {
        let mut process = Daemon::command().args(shipper.args()).stderr(stderr).spawn().unwrap();
        let delivered = endpoint.wait_for_items(start + 20);
        assert_eq!(delivered.len(), start + 20);
        let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0));
        shipper.workdir.append(&events);
    }
}

fn assert_no_canary(log: &str) {
    for line in log.lines() {
        for canary in [BODY, TOKEN, QUERY] {
            assert!(!line.contains(canary), "{canary} in: {line}");
        }
    }
}
