//! A collector whose token has no acknowledgements, and one whose token has them: there the questions come a second apart.

use std::sync::Mutex;

use super::fake::{Envelope, Rules, State, is_question, told};
use crate::sinks::suite::Protocol;
use crate::support::endpoint::{Answer, plain};
use crate::support::http1::Recorded;
use crate::support::workdir::Workdir;

pub(in crate::sinks) struct SplunkHec(Mutex<State>);

impl Default for SplunkHec {
    fn default() -> Self {
        Self(Mutex::new(State::new(Rules { token: None, ..Rules::default() })))
    }
}

impl Protocol for SplunkHec {
    const SECTION: &'static str = "splunkHec";
    const TOKEN: (&'static str, &'static str) = ("tokenFile", "Splunk");

    fn fields(_workdir: &Workdir) -> String {
        "index: k8s_audit, ack: 'off'".to_owned()
    }

    fn stranger() -> Answer {
        Answer::with_body(403, r#"{"text":"Invalid token","code":4}"#)
    }

    fn too_large() -> Answer {
        Answer::with_body(413, "<html>413 Request Entity Too Large</html>")
    }

    fn troubles(_events: usize) -> Vec<Answer> {
        [
            (503, "Server is busy", 9),
            (429, "Queue at capacity", 26),
            (500, "Internal server error", 8),
            (400, "Incorrect index", 7),
        ]
        .map(|(status, text, code)| {
            Answer::with_body(status, format!(r#"{{"text":"{text}","code":{code}}}"#))
        })
        .into()
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        let body = plain(request);
        let envelopes = serde_json::Deserializer::from_str(&body).into_iter::<Envelope<'_>>();
        envelopes.map(|envelope| envelope.unwrap().line()).collect()
    }

    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        told(request)
    }

    fn take(&self, request: &Recorded) -> Answer {
        let (status, reply) = self.0.lock().unwrap().answer(request);
        Answer::with_body(status, reply)
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().indexed().to_vec()
    }
}

/// With indexers that acknowledge what they are asked about. What nobody asks about they never store.
pub(in crate::sinks) struct Acknowledging(SplunkHec);

impl Default for Acknowledging {
    fn default() -> Self {
        let rules = Rules { token: None, acknowledges: Some(true), ..Rules::default() };
        Self(SplunkHec(Mutex::new(State::new(rules))))
    }
}

impl Protocol for Acknowledging {
    const SECTION: &'static str = SplunkHec::SECTION;
    const TOKEN: (&'static str, &'static str) = SplunkHec::TOKEN;

    fn fields(workdir: &Workdir) -> String {
        SplunkHec::fields(workdir).replace("ack: 'off'", "ack: 'on'")
    }

    fn stranger() -> Answer {
        SplunkHec::stranger()
    }

    fn too_large() -> Answer {
        SplunkHec::too_large()
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        if is_question(request) { Vec::new() } else { self.0.events(request) }
    }

    fn take(&self, request: &Recorded) -> Answer {
        self.0.take(request)
    }

    fn stored(&self) -> Vec<String> {
        self.0.stored()
    }
}
