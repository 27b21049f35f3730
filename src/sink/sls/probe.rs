//! What SLS can be asked without a log: for the logstore, which shows that keys, project and logstore are right; and to
//! take a group without logs.
//!
//! Keys that may only write may not ask for the logstore: SLS says so in words of its own, once it has found the signature
//! right. Of a group without logs it is not documented whether SLS takes it, nor whether it looks at the permission to
//! write before it refuses it.

use std::borrow::Cow;

use reqwest::Method;

use super::{Answer, Probe, Request, Sls, answer};
use crate::sink::probe::{Finding, Place, by_status};
use crate::sink::{HttpSink as _, Verdict};

pub(super) fn of(sls: &Sls) -> Vec<Probe<'_>> {
    let logstore = &sls.config.logstore;
    let mut headers = sls.headers(b"", 0);
    headers.retain(|(name, _)| name != reqwest::header::CONTENT_TYPE && *name != super::MD5);
    let get = Request { target: Cow::Owned(format!("/logstores/{logstore}")), headers, ..Request::default() };
    let mut nothing = Vec::new();
    sls.add_origin(&mut nothing, None);
    vec![
        Probe::new(Method::GET, get, |answer| of_logstore(sls, answer)),
        Probe::new(Method::POST, sls.carrying(nothing), |answer| of_no_logs(sls, answer)),
    ]
}

fn of_logstore(sls: &Sls, answer: &Answer) -> Finding {
    let said = answer::Said::of(answer);
    if said.is_about_permission() {
        return Finding::shown(
            "SLS knows the keys; they do not allow to ask for the logstore (`log:GetLogStore`)",
        );
    }
    match answer.status {
        200..=299 => {
            let what = format!("SLS knows the keys, and logstore {} is there", sls.config.logstore);
            by_status(answer, &what)
        }
        _ => wrong(sls, answer, &said),
    }
}

fn of_no_logs(sls: &Sls, answer: &Answer) -> Finding {
    let said = answer::Said::of(answer);
    if said.is_about_permission() {
        let what = "the keys do not allow to write to the logstore (`log:PostLogStoreLogs`)";
        return Finding::wrong(what, Place::Credentials);
    }
    match answer.status {
        200..=299 => by_status(answer, "a group without logs is taken"),
        _ => wrong(sls, answer, &said),
    }
}

/// What an answer shows that is no success, by the verdict that it would be on logs.
fn wrong(sls: &Sls, answer: &Answer, said: &answer::Said) -> Finding {
    let code = said.code();
    let status = if code.is_empty() {
        format!("status {}", answer.status)
    } else {
        format!("status {}, {code}", answer.status)
    };
    let config = &sls.config;
    match (sls.verdict(0, answer), code) {
        (Verdict::Again, _) => Finding::Again,
        (_, "ProjectNotExist" | "ProjectForbidden") => Finding::misconfigured(
            format!("{status}: project {} is not there, or not for these keys", config.project),
            "set `project`, and `url` to the endpoint of its region",
        ),
        (_, "LogStoreNotExist" | "LogStoreWithoutShard") => Finding::misconfigured(
            format!("{status}: logstore {} is not there, or has no shards", config.logstore),
            "set `logstore`, or make it",
        ),
        (Verdict::Refused { .. }, _) => Finding::not_shown(format!(
            "whether the keys allow to write: a group without logs is refused ({status}), before or after SLS looks at that"
        )),
        (Verdict::Hold { reread_credentials: true }, _) => {
            Finding::wrong(format!("{status}: SLS does not accept the keys"), Place::Credentials)
        }
        (Verdict::Retry { .. }, _) => {
            Finding::wrong(format!("{status}: it takes nothing now"), Place::Endpoint)
        }
        _ if code.is_empty() => by_status(answer, ""),
        _ => Finding::wrong(status, Place::Address),
    }
}
