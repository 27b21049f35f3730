//! Loki, which stores the same entry at the same time once.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fake::{self, Loki as Fake};
use crate::sinks::suite::{Protocol, Repeated};
use crate::support::endpoint::Answer;
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;

pub(in crate::sinks) struct Loki {
    fake: Fake,
    begun_in: u64,
}

/// Hours since 1970.
fn hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600
}

impl Default for Loki {
    fn default() -> Self {
        Self { fake: Fake::default(), begun_in: hour() }
    }
}

impl Protocol for Loki {
    const SECTION: &'static str = "loki";

    fn troubles(_events: usize) -> Vec<Answer> {
        vec![
            Answer::with_body(429, "Per stream rate limit exceeded (limit: 3MB/sec)"),
            Answer::with_body(260, "ingestion blocked for user fake until '2026-11-23T00:00:00Z'"),
            Answer::with_body(400, "entry for stream '{job=\"x\"}' has 16 label names; limit 15"),
        ]
    }

    /// What is too old gets a time by the hour in which it is sent.
    fn repeated(&self) -> Repeated {
        if hour() == self.begun_in { Repeated::Known } else { Repeated::Stored }
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/loki/api/v1/push"));
        fake::entries(request).into_iter().map(|entry| entry.line + "\n").collect()
    }

    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        let first = fake::entries(request).swap_remove(0);
        let labels = first.labels.trim_matches(['{', '}']).split(", ").map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        labels.chain(first.metadata).collect()
    }

    fn take(&self, request: &Recorded) -> Answer {
        self.fake.push_but(request, |line| {
            line.contains(POISON)
                .then(|| "entry for stream '{job=\"x\"}' has an invalid timestamp".to_owned())
        })
    }

    fn stored(&self) -> Vec<String> {
        self.fake.lines()
    }
}
