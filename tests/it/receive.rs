//! `audit-shipper receive`: what is acknowledged is in the file, byte for byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, Method, Response};

use crate::support::daemon::Daemon;
use crate::support::wait_until;
use crate::support::workdir::{Workdir, large_events, lines_of, real_events, webhook_bodies};

mod access;

fn receiver(output: &Path, more: &[&str]) -> Daemon {
    let mut args = vec!["receive", "--bind-address=127.0.0.1:0", "--output", output.to_str().unwrap()];
    args.extend(more);
    Daemon::start(args)
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn post(receiver: &Daemon, body: impl Into<reqwest::Body>) -> Response {
    client().post(format!("http://{}/audit", receiver.address())).body(body).send().await.unwrap()
}

/// The EventList of these lines, as kube-apiserver sends it.
fn list(lines: &[String]) -> String {
    let prefix = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","#;
    let items: Vec<String> =
        lines.iter().map(|line| format!("{{{}", line.strip_prefix(prefix).unwrap().trim_end())).collect();
    let items = items.join(",");
    format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{items}]}}"#)
        + "\n"
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn count(receiver: &Daemon, name: &str) -> u64 {
    let value = receiver.metrics().value(&format!("audit_shipper_receiver_{name}_total"), &[]);
    format!("{value:.0}").parse().unwrap()
}

#[tokio::test]
async fn what_kube_apiserver_sends_becomes_the_lines_of_its_log() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let mut receiver = receiver(&output, &[]);
    for body in webhook_bodies() {
        let answer = post(&receiver, body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "{}");
    }
    let mut found = lines_of(&output);
    let mut written = real_events(1200);
    // The webhook's batches and the log have neighbours in another order here and there.
    found.sort();
    written.sort();
    assert!(found == written);

    let large = large_events();
    assert_eq!(post(&receiver, list(&large)).await.status(), 200);
    assert!(lines_of(&output)[1200..] == large);

    let bytes = std::fs::metadata(&output).unwrap().len();
    assert_eq!(count(&receiver, "bytes"), bytes);
    assert_eq!((count(&receiver, "events"), count(&receiver, "duplicate_events")), (1858, 0));
    receiver.terminate();
    assert_eq!(receiver.wait().code(), Some(0));
    assert!(!receiver.log().contains("auditID"), "no event gets into our own log");
}

#[tokio::test]
async fn gzip_and_zstd_are_taken_and_other_encodings_are_not() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let receiver = receiver(&output, &[]);
    let lines = real_events(400);
    let plain = list(&lines);
    let (gzip, zstd) = (gzip(plain.as_bytes()), zstd::encode_all(plain.as_bytes(), 3).unwrap());
    for (encoding, body, status) in [
        ("gzip", &gzip, 200),
        ("GZIP", &gzip, 200),
        ("zstd", &zstd, 200),
        ("zstd", &gzip, 400),
        ("gzip", &zstd, 400),
        ("identity", &gzip, 400),
        ("br", &gzip, 415),
        ("gzip, gzip", &gzip, 415),
    ] {
        let request = client().post(format!("http://{}/", receiver.address()));
        let answer = request.header("content-encoding", encoding).body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{encoding}");
        let understood = answer.headers().get("accept-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(understood, (status == 415).then_some("gzip, zstd"));
    }
    assert!(lines_of(&output) == [lines.as_slice(), &lines, &lines].concat());
}

#[tokio::test]
async fn a_bomb_is_refused_and_nothing_of_it_is_kept() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let receiver = receiver(&output, &[]);
    let spaces = vec![b' '; 129 << 20];
    for (encoding, bomb) in [("gzip", gzip(&spaces)), ("zstd", zstd::encode_all(&spaces[..], 1).unwrap())] {
        let request = client().post(format!("http://{}/", receiver.address()));
        let answer = request.header("content-encoding", encoding).body(bomb).send().await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.text().await.unwrap(), "the body is larger than 134217728 bytes\n");
        assert!(lines_of(&output).is_empty());
    }
    assert!(receiver.peak_rss() < 400 << 20, "{}", receiver.peak_rss());
}

#[tokio::test]
async fn bad_requests_are_told_why_and_nothing_of_them_is_written() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let receiver = receiver(&output, &[]);
    let url = format!("http://{}/any/path?timeout=30s", receiver.address());
    let good = list(&real_events(2));
    let torn = &good[..good.len() - 10];
    let spoilt = good.replace("]}\n", ",7]}\n");
    let offset = spoilt.rfind('7').unwrap();
    for (method, body, status, reason) in [
        (Method::GET, "", 405, "events are sent with POST".to_owned()),
        (Method::PUT, good.as_str(), 405, "events are sent with POST".to_owned()),
        (Method::POST, "", 400, "not JSON: EOF while parsing a value at line 1 column 0".to_owned()),
        (Method::POST, torn, 400, "not JSON: ".to_owned()),
        (Method::POST, "{}", 400, "not an EventList: its kind is not EventList".to_owned()),
        (Method::POST, &spoilt, 400, format!("items[2], at byte {offset} of the body, is not an object")),
    ] {
        let answer = client().request(method.clone(), &url).body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {reason}");
        assert_eq!(answer.headers().get("allow").is_some(), status == 405);
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(&reason) && text.ends_with('\n') && text.lines().count() == 1, "{text}");
    }
    assert!(lines_of(&output).is_empty());
    let metrics = receiver.metrics();
    let requests = |code| metrics.value("audit_shipper_receiver_requests_total", &[("code", code)]);
    assert_eq!([requests("200"), requests("400"), requests("405")].map(|n| format!("{n}")), ["0", "4", "2"]);
    assert_eq!(client().post(&url).body(good).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn duplicates_are_written_and_counted_over_a_restart_too() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let mut first = receiver(&output, &[]);
    let lines = real_events(10);
    post(&first, list(&lines[..8])).await;
    post(&first, list(&lines[6..])).await;
    assert_eq!((count(&first, "events"), count(&first, "duplicate_events")), (12, 2));
    first.terminate();
    assert_eq!(first.wait().code(), Some(0));

    let second = receiver(&output, &[]);
    post(&second, list(&lines)).await;
    assert_eq!((count(&second, "events"), count(&second, "duplicate_events")), (10, 10));
    assert!(lines_of(&output) == [&lines[..8], &lines[6..], &lines].concat());
}

#[tokio::test]
async fn acknowledged_lines_survive_a_kill_and_a_torn_line_is_cut_off() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let lines = real_events(30);
    let mut expected = Vec::new();
    for chunk in lines.chunks(10) {
        let mut receiver = receiver(&output, &[]);
        let answers = futures_util::future::join_all(chunk.iter().map(|line| {
            let body = list(std::slice::from_ref(line));
            post(&receiver, body)
        }));
        assert!(answers.await.iter().all(|answer| answer.status() == 200));
        receiver.kill9();
        expected.extend_from_slice(chunk);
        let mut found = lines_of(&output);
        found.sort();
        expected.sort();
        assert!(found == expected);
        // What a crash in the midst of a write leaves.
        let mut file = std::fs::OpenOptions::new().append(true).open(&output).unwrap();
        file.write_all(&lines[0].as_bytes()[..100]).unwrap();
    }
    let receiver = receiver(&output, &[]);
    let warning = receiver.wait_for_line("it is cut off");
    assert!(warning.contains("WARN") && warning.contains("bytes=100"), "{warning}");
    post(&receiver, list(&lines[..1])).await;
    assert!(lines_of(&output).last() == lines.first());
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_answered_503() {
    let receiver = receiver(Path::new("/dev/full"), &[]);
    for _ in 0..2 {
        assert_eq!(post(&receiver, list(&real_events(1))).await.status(), 503);
    }
    assert_eq!(count(&receiver, "events"), 0);
    assert_eq!(receiver.log().matches("ERROR").count(), 1, "only a change of state is logged");
}

#[tokio::test]
async fn the_standard_output_can_be_the_output() {
    let workdir = Workdir::new();
    let mut command = Daemon::command();
    command.args(["receive", "--bind-address=127.0.0.1:0", "--output=-"]);
    let stdout = std::fs::File::create(workdir.path("stdout")).unwrap();
    command.stdout(stdout);
    let receiver = Daemon::spawn(command);
    let lines = real_events(5);
    assert_eq!(post(&receiver, list(&lines)).await.status(), 200);
    assert_eq!(lines_of(&workdir.path("stdout")), lines);
}

/// A connection whose request is under way: the receiver says 100 once it waits for the body.
fn begin(receiver: &Daemon, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    let head =
        format!("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream
}

#[test]
fn a_request_under_way_is_finished_on_sigterm() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let mut receiver = receiver(&output, &[]);
    let lines = real_events(1);
    let body = list(&lines);
    let mut stream = begin(&receiver, body.len());
    let address = receiver.address();
    receiver.terminate();
    wait_until("an end to new connections", || TcpStream::connect(address).err());
    stream.write_all(body.as_bytes()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");
    assert_eq!(receiver.wait().code(), Some(0));
    assert_eq!(lines_of(&output), lines);
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let workdir = Workdir::new();
    let mut receiver = receiver(&workdir.path("received.log"), &[]);
    let _stream = begin(&receiver, 9);
    receiver.terminate();
    assert_eq!(receiver.wait().code(), Some(0));
    assert!(receiver.log().contains("abandoned"), "{}", receiver.log());
}

#[test]
fn wrong_configuration_is_listed_whole_and_other_failures_are_not_78() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let missing = ["--tls-cert=/missing", "--client-ca=/missing", "--token-file=/missing"];
    let mut wrong = receiver(&output, &missing);
    assert_eq!(wrong.wait().code(), Some(78));
    assert!(wrong.log().contains("--tls-cert: needs --tls-key"), "{}", wrong.log());
    assert!(wrong.log().contains("--token-file: /missing: "), "{}", wrong.log());
    assert!(!output.exists());

    assert_eq!(Daemon::start(["receive"]).wait().code(), Some(2), "--output is required");
    assert_eq!(receiver(Path::new("/missing/file"), &[]).wait().code(), Some(1));
    let first = receiver(&output, &[]);
    let taken = format!("--bind-address={}", first.address());
    let mut second = Daemon::start(["receive", &taken, "--output", output.to_str().unwrap()]);
    assert_eq!(second.wait().code(), Some(1));
}

#[test]
fn metrics_are_there_from_the_start() {
    let workdir = Workdir::new();
    let receiver = receiver(&workdir.path("received.log"), &[]);
    let metrics = receiver.metrics();
    for name in ["events", "duplicate_events", "bytes"] {
        assert_eq!(format!("{}", metrics.value(&format!("audit_shipper_receiver_{name}_total"), &[])), "0");
    }
    assert!(metrics.value("audit_shipper_build_info", &[("version", env!("CARGO_PKG_VERSION"))]) > 0.0);
    assert!(metrics.value("process_resident_memory_bytes", &[]) > 0.0);
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
    }
    let waited =
        receiver.wait_for_metrics("a process", |metrics| metrics.value("process_open_fds", &[]) > 0.0);
    assert!(waited.value_or_zero("no_such_metric", &[]).abs() < f64::EPSILON);
}
