//! An endpoint that knows a request again by its key, and names the events that it will not have.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::lines;
use crate::sinks::suite::{Protocol, Repeated};
use crate::support::endpoint::Answer;
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;

#[derive(Default)]
pub(in crate::sinks) struct Ndjson(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    keys: BTreeSet<String>,
    lines: Vec<String>,
}

impl Protocol for Ndjson {
    const SECTION: &'static str = "ndjson";
    const PATH: &'static str = "/audit";

    fn troubles(_events: usize) -> Vec<Answer> {
        // Of a key: the try before is still being worked on.
        vec![Answer::status(409)]
    }

    fn repeated(&self) -> Repeated {
        Repeated::KnownByRequest
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        lines(request)
    }

    fn take(&self, request: &Recorded) -> Answer {
        let mut stored = self.0.lock().unwrap();
        let is_new = stored.keys.insert(request.header("idempotency-key").unwrap().to_owned());
        let mut refused = Vec::new();
        for (index, line) in self.events(request).into_iter().enumerate() {
            if line.contains(POISON) {
                refused.push(format!(r#"{{"index":{index},"reason":"poison"}}"#));
            } else if is_new {
                stored.lines.push(line);
            }
        }
        Answer::with_body(200, format!(r#"{{"rejected":[{}]}}"#, refused.join(",")))
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }
}
