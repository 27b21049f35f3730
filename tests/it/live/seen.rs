//! Looks at the live view of a daemon.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use audit_shipper::live::status::{Output, Status};

use crate::support::daemon::Daemon;
use crate::support::wait_until;

/// An answer of the admin server.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// Asks the admin server for `path`, with these headers.
pub(super) fn ask(daemon: &Daemon, path: &str, headers: &str) -> Answered {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answered {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// What the daemon says of itself, and how that is written.
pub(super) fn document(daemon: &Daemon) -> (Status, String) {
    let answered = ask(daemon, "/api/v1/status", "Host: localhost\r\n");
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert!(answered.head.contains("content-type: application/json"), "{}", answered.head);
    (serde_json::from_str(&answered.body).unwrap(), answered.body)
}

/// The only output.
pub(super) fn only(status: &Status) -> &Output {
    let [output] = &status.outputs[..] else { panic!("{:?}", status.outputs) };
    output
}

/// Waits until this is said of the only output.
pub(super) fn wait_for(daemon: &Daemon, what: &str, condition: impl Fn(&Output) -> bool) -> Status {
    wait_until(what, || {
        let status = document(daemon).0;
        status.outputs.first().is_some_and(&condition).then_some(status)
    })
}

/// Where the listener is that the view has to itself.
pub(super) fn on_its_own(daemon: &Daemon) -> String {
    let line = daemon.wait_for_line("serving the live view");
    let (_, at) = line.split_once("at=").unwrap();
    at.split(' ').next().unwrap().trim_matches('"').to_owned()
}
