//! `check --connect` of OTLP: a request without records, which an endpoint should take.

use super::{lines, shipper};
use crate::connect::{assert_failed, connect, good, reached};
use crate::support::endpoint::{Answer, Endpoint};

#[test]
fn a_request_without_records_is_asked_with() {
    for (fields, content_type) in
        [("encoding: protobuf", "application/x-protobuf"), ("encoding: json", "application/json")]
    {
        let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
        let said = good(connect(&shipper(&endpoint, fields)));
        assert!(said.contains("POST /v1/logs: status 200"), "{said}");
        assert!(said.contains("a request without records is taken"), "{said}");
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].header("content-type"), Some(content_type));
        let records = match fields {
            "encoding: json" => super::lines_of_json(&requests[0]),
            _ => lines(&requests[0]),
        };
        assert_eq!(records, [""; 0]);
    }
}

/// With `strictSpec` events would be dropped then, and counted: that is not good either.
#[test]
fn what_is_refused_is_told() {
    for fields in ["encoding: json", "strictSpec: true"] {
        let endpoint = Endpoint::start(|_, _| Answer::status(404));
        assert_failed(&connect(&shipper(&endpoint, fields)), "status 404", "look at url of ");
        let endpoint = Endpoint::start(|_, _| Answer::status(400));
        reached(connect(&shipper(&endpoint, fields)));
    }
}
