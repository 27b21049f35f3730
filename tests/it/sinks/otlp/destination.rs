//! A collector that refuses a request for one bad record.

use std::sync::Mutex;

use super::lines;
use crate::sinks::suite::Protocol;
use crate::support::endpoint::Answer;
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
