//! `check --connect` of Loki: a push of no streams, which newer versions refuse in words of their own.

use super::{endpoint, shipper};
use crate::connect::{assert_failed, connect, good};
use crate::support::endpoint::Answer;

#[test]
fn a_push_of_nothing_is_read_in_each_form() {
    for fields in ["encoding: protobuf", "encoding: json", "encoding: json, compression: gzip, tenant: t"] {
        for older in [false, true] {
            let (loki, endpoint) = endpoint(move |_| older.then(|| Answer::status(204)));
            let said = good(connect(&shipper(&endpoint, fields)));
            let words = if older {
                "a push without streams is taken"
            } else {
                "refused only because it holds no streams"
            };
            assert!(said.contains(words), "{said}");
            assert_eq!((loki.lines(), loki.streams()), (Vec::new(), Vec::new()));
            let requests = endpoint.requests();
            assert_eq!((requests.len(), requests[0].target.as_str()), (1, "/loki/api/v1/push"));
            assert_eq!(requests[0].header("x-scope-orgid"), fields.contains("tenant").then_some("t"));
        }
    }
}

#[test]
fn what_loki_refuses_is_told() {
    for (answer, wrong, to_do) in [
        (Answer::with_body(401, "no org id\n"), "it wants to know the tenant", "set `tenant`"),
        (Answer::status(401), "status 401: it does not accept the credentials", "look at the credentials"),
        (
            Answer::with_body(260, "ingestion blocked"),
            "status 260: it takes nothing of this tenant",
            "has blocked it",
        ),
        (Answer::with_body(404, "404 page not found"), "status 404", "look at url of "),
        (Answer::with_body(429, "Ingestion rate limit exceeded"), "status 429", "nothing here"),
    ] {
        let (_, endpoint) = endpoint(move |_| Some(answer.clone()));
        assert_failed(&connect(&shipper(&endpoint, "encoding: json")), wrong, to_do);
    }
}
