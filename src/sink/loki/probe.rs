//! What Loki can be asked without an entry: a push of no streams, which is stored nowhere.
//!
//! Loki looks at the tenant and, where a gateway is in front of it, at the credentials before it looks at the streams.
//! Older versions take a push of none; newer ones refuse it with 422 and a text of their own, which shows no less.

use reqwest::Method;

use super::Loki;
use crate::sink::probe::{Finding, by_status};
use crate::sink::{Answer, Probe};

/// `MissingStreamsErrorMsg` in `pkg/validation/validate.go`.
const NO_STREAMS: &str = "at least one valid stream is required";
/// What Loki says where tenants are told apart and none is named.
const NO_TENANT: &str = "no org id";

pub(super) fn of(loki: &Loki) -> Vec<Probe<'_>> {
    vec![Probe::new(Method::POST, loki.carrying(&[]), read)]
}

fn read(answer: &Answer) -> Finding {
    let says = |text: &str| memchr::memmem::find(&answer.body, text.as_bytes()).is_some();
    match answer.status {
        400 | 422 if says(NO_STREAMS) => {
            Finding::shown("a push is read, and refused only because it holds no streams")
        }
        401 if says(NO_TENANT) => {
            Finding::misconfigured("status 401: it wants to know the tenant", "set `tenant`")
        }
        // As events would be: an administrator has blocked the tenant.
        201..=203 | 205..=299 => Finding::misconfigured(
            format!("status {}: it takes nothing of this tenant", answer.status),
            "an administrator of Loki has blocked it, or something else answers at this address",
        ),
        _ => by_status(answer, "a push without streams is taken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::answer;

    #[test]
    fn what_loki_says_of_nothing() {
        let is_shown = |status, text: &str| match read(&answer(status, text)) {
            Finding::Shown(_) => Some(true),
            Finding::NotShown(_) => None,
            _ => Some(false),
        };
        let refusal = "error at least one valid stream is required for ingestion\n";
        for (status, text, expect) in [
            (204, "", Some(true)),
            (200, "", Some(true)),
            (422, refusal, Some(true)),
            (400, refusal, Some(true)),
            (422, "something else", None),
            (400, "", None),
            (200, "<html>", None),
            (260, "ingestion blocked", Some(false)),
            (401, "no org id", Some(false)),
            (401, "", Some(false)),
            (404, "404 page not found", Some(false)),
            (429, "", Some(false)),
        ] {
            assert_eq!(is_shown(status, text), expect, "{status} {text}");
        }
    }
}
