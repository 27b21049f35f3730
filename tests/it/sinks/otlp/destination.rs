//! A collector that refuses a request for one bad record.

use std::sync::Mutex;

use super::super::protobuf::{all, one};
use super::{attributes, lines};
use crate::sinks::suite::Protocol;
use crate::support::endpoint::{Answer, body};
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;

#[derive(Default)]
pub(in crate::sinks) struct Otlp(Mutex<Vec<String>>);

impl Protocol for Otlp {
    const SECTION: &'static str = "otlp";

    fn events(&self, request: &Recorded) -> Vec<String> {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/logs"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        lines(request)
    }

    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        let body = body(request);
        let logs = one(&body, 1);
        let record = all(one(logs, 2), 2)[0];
        [attributes(one(logs, 1), 1), attributes(record, 6)].concat()
    }

    fn take(&self, request: &Recorded) -> Answer {
        let lines = self.events(request);
        if lines.iter().any(|line| line.contains(POISON)) {
            return Answer::with_body(400, "\u{8}\u{3}\u{12}\u{6}poison");
        }
        self.0.lock().unwrap().extend(lines);
        Answer::with_body(200, "")
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
