//! A data stream, which stores a document with the same `_id` once.

use std::sync::Mutex;

use super::fake::{Fate, Index, STORED, answer, item, read};
use super::{BUSY, REFUSED, line, texts};
use crate::sinks::suite::{Protocol, Repeated};
use crate::support::endpoint::Answer;
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;
use crate::support::workdir::Workdir;

#[derive(Default)]
pub(in crate::sinks) struct Elasticsearch(Mutex<Index>);

impl Protocol for Elasticsearch {
    const SECTION: &'static str = "elasticsearch";
    const TOKEN: (&'static str, &'static str) = ("apiKeyFile", "ApiKey");
    const PATH: &'static str = "/audit";
    const ROW_OF_IDENTITY: &'static str = "elasticsearch with mode: raw";

    fn fields(_workdir: &Workdir) -> String {
        "mode: raw".to_owned()
    }

    fn troubles(events: usize) -> Vec<Answer> {
        let of_all = |status| answer(&vec![item(status); events]);
        vec![
            of_all(BUSY),
            of_all((503, "unavailable_shards_exception")),
            of_all((403, "cluster_block_exception")),
            Answer::with_body(200, "<html>"),
            Answer::with_body(200, r#"{"errors":true,"items":[]}"#),
        ]
    }

    fn repeated(&self) -> Repeated {
        Repeated::Known
    }

    fn events(&self, request: &Recorded) -> Vec<String> {
        let (_, documents) = read(request).unwrap();
        documents.iter().map(|(_, document)| line(document)).collect()
    }

    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        texts(&read(request).unwrap().1[0].1)
    }

    fn take(&self, request: &Recorded) -> Answer {
        let status = |document: &str, _| if document.contains(POISON) { REFUSED } else { STORED };
        self.0.lock().unwrap().bulk(request, |_| Fate::Items, &status)
    }

    fn stored(&self) -> Vec<String> {
        self.0.lock().unwrap().documents().iter().map(|document| line(document)).collect()
    }
}
