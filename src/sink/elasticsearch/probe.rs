//! What a cluster can be asked without a document: who it is, whether an empty request gets to `_bulk`, what the
//! credentials may do, and what the data stream is made of.
//!
//! `_bulk` looks at the credentials before it looks for documents, but at what they may do afterwards. Elasticsearch tells
//! everybody of his own privileges; OpenSearch does not, so there only the first event shows whether it may be written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Elasticsearch;
use super::template::Product;
use crate::sink::probe::{Finding, Place, by_status};
use crate::sink::{Answer, Probe, Request};

/// To write documents, and to make the data stream with the first of them.
const WRITE: &str = "create_doc";
const MAKE: &str = "auto_configure";

#[derive(Serialize)]
struct Question<'a> {
    index: [Asked<'a>; 1],
}

#[derive(Serialize)]
struct Asked<'a> {
    names: [&'a str; 1],
    privileges: [&'static str; 2],
}

/// By name of the index, then of the privilege.
#[derive(Deserialize)]
struct Privileges {
    index: BTreeMap<String, BTreeMap<String, bool>>,
}

pub(super) fn of(sink: &Elasticsearch) -> Vec<Probe<'_>> {
    let stream = &sink.data_stream;
    let get = |target: String| Request { target: Cow::Owned(target), ..Request::default() };
    let post = |target: &str, content_type, body: Vec<u8>| Request {
        target: Cow::Owned(target.to_owned()),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))],
        body: std::iter::once(Bytes::from(body)).collect(),
    };
    let question = Question { index: [Asked { names: [stream], privileges: [WRITE, MAKE] }] };
    let question = serde_json::to_vec(&question).unwrap_or_default();
    let mut probes = vec![
        Probe::new(Method::GET, get("/".to_owned()), of_root),
        Probe::new(Method::POST, post(&sink.target, "application/x-ndjson", b"\n".to_vec()), of_no_documents),
        Probe::new(
            Method::POST,
            post("/_security/user/_has_privileges", "application/json", question),
            |answer| of_privileges(answer, stream),
        ),
        Probe::new(Method::GET, get(format!("/_data_stream/{stream}")), |answer| of_stream(answer, stream)),
    ];
    if let Some(template) = &sink.template {
        let target = get(format!("/_index_template/{template}"));
        probes.push(Probe::new(Method::GET, target, |answer| of_template(answer, template)));
    }
    probes
}

fn of_root(answer: &Answer) -> Finding {
    match answer.status {
        200..=299 => match Product::of_root(&answer.body) {
            Some(product) => Finding::shown(format!("{} answers", product.as_str())),
            None => {
                Finding::wrong("neither Elasticsearch nor OpenSearch answers at this address", Place::Address)
            }
        },
        403 => Finding::not_shown("which product it is: the credentials do not allow to ask (`monitor`)"),
        _ => by_status(answer, ""),
    }
}

fn of_no_documents(answer: &Answer) -> Finding {
    match answer.status {
        400 => Finding::shown("`_bulk` knows the credentials, and misses documents only"),
        _ => by_status(answer, "`_bulk` takes a request without documents"),
    }
}

fn of_privileges(answer: &Answer, stream: &str) -> Finding {
    if answer.status == 401 {
        return by_status(answer, "");
    }
    let said: Option<Privileges> = serde_json::from_slice(&answer.body).ok();
    let privileges = said.filter(|_| answer.status == 200).and_then(|mut said| said.index.remove(stream));
    let Some(privileges) = privileges else {
        return Finding::not_shown(format!(
            "whether the credentials may write: the cluster does not tell that without a document (status {})",
            answer.status
        ));
    };
    let may = |privilege| privileges.get(privilege) == Some(&true);
    if !may(WRITE) {
        let what = format!("the credentials do not allow to write to {stream} (`{WRITE}`)");
        Finding::wrong(what, Place::Credentials)
    } else if may(MAKE) {
        Finding::shown(format!("the credentials allow to write to {stream}, and to make it"))
    } else {
        Finding::shown(format!(
            "the credentials allow to write to {stream}, but not to make it (`{MAKE}`): it has to be there"
        ))
    }
}

fn of_stream(answer: &Answer, stream: &str) -> Finding {
    match answer.status {
        200..=299 => Finding::shown(format!("data stream {stream} is there")),
        404 => Finding::not_shown(format!(
            "that {stream} can be made: it is not there yet, and is made with the first event if an index template says \
             that it is a data stream"
        )),
        status => Finding::not_shown(format!(
            "whether {stream} is there: the cluster does not tell (status {status})"
        )),
    }
}

fn of_template(answer: &Answer, template: &str) -> Finding {
    match answer.status {
        200..=299 => Finding::shown(format!("index template {template} is there")),
        404 => Finding::not_shown(format!(
            "that documents are mapped as they should be: index template {template} is not there; \
             `audit-shipper setup elasticsearch` installs it"
        )),
        status => Finding::not_shown(format!(
            "whether index template {template} is there: the cluster does not tell (status {status})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::answer;

    const STREAM: &str = "logs-a-b";

    fn kind(finding: &Finding) -> Option<bool> {
        match finding {
            Finding::Shown(_) => Some(true),
            Finding::NotShown(_) => None,
            _ => Some(false),
        }
    }

    #[test]
    fn who_answers() {
        let elasticsearch = r#"{"name":"n","version":{"number":"9.1.0"},"tagline":"You Know, for Search"}"#;
        for (status, body, expect) in [
            (200, elasticsearch, Some(true)),
            (200, "{}", Some(false)),
            (403, "{}", None),
            (401, "{}", Some(false)),
            (503, "{}", Some(false)),
        ] {
            assert_eq!(kind(&of_root(&answer(status, body))), expect, "{status} {body}");
        }
    }

    #[test]
    fn what_bulk_says_of_nothing() {
        for (status, expect) in
            [(400, Some(true)), (401, Some(false)), (403, Some(false)), (404, Some(false))]
        {
            assert_eq!(kind(&of_no_documents(&answer(status, "{}"))), expect, "{status}");
        }
    }

    #[test]
    fn what_the_credentials_may_do() {
        let may = |write, make| {
            format!(
                r#"{{"username":"u","has_all_requested":false,"cluster":{{}},"index":{{"{STREAM}":{{"auto_configure":{make},"create_doc":{write}}}}},"application":{{}}}}"#
            )
        };
        for (status, body, expect) in [
            (200, may(true, true), Some(true)),
            (200, may(true, false), Some(true)),
            (200, may(false, true), Some(false)),
            (200, "{}".to_owned(), None),
            (200, may(true, true).replace(STREAM, "other"), None),
            (400, r#"{"error":"no handler found for uri"}"#.to_owned(), None),
            (401, "{}".to_owned(), Some(false)),
        ] {
            assert_eq!(kind(&of_privileges(&answer(status, &body), STREAM)), expect, "{status} {body}");
        }
    }

    #[test]
    fn what_is_not_there_may_come() {
        for (status, expect) in [(200, Some(true)), (404, None), (403, None)] {
            assert_eq!(kind(&of_stream(&answer(status, "{}"), STREAM)), expect, "{status}");
            assert_eq!(kind(&of_template(&answer(status, "{}"), "t")), expect, "{status}");
        }
    }
}
