//! What an answer of SLS means (alibaba-sls.md, 7), and what time it is there.

use std::time::{Duration, SystemTime};

use reqwest::header::DATE;
use serde::Deserialize;

use crate::sink::{Answer, Verdict, verdict_by_status};

/// The body of an answer that is not 200.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    error_message: String,
}

/// What is wrong, if the clocks do not agree: `Verdict::Again` is to be said only once that is put right.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    let by_status = verdict_by_status(answer);
    if by_status == Verdict::Accepted {
        return if answer.is_web_page() { Verdict::Hold { reread_credentials: false } } else { by_status };
    }
    let said = Said::of(answer);
    let hold = |reread_credentials| Verdict::Hold { reread_credentials };
    match said.error_code.as_str() {
        _ if said.is_about_time() => Verdict::Again,
        _ if said.is_about_quota() => Verdict::Retry { after: answer.retry_after },
        "Unauthorized" | "SignatureNotMatch" | "InvalidAccessKeyId" => hold(true),
        // Expired or not known, with whatever status.
        code if code.contains("SecurityToken") => hold(true),
        "ProjectNotExist" | "LogStoreNotExist" | "LogStoreWithoutShard" | "ProjectForbidden" => hold(false),
        "PostBodyTooLarge" => Verdict::Refused { too_large: true },
        "PostBodyInvalid"
        | "InvalidTimestamp"
        | "InvalidEncoding"
        | "InvalidKey"
        | "ParameterInvalid"
        | "PostBodyUncompressError" => Verdict::Refused { too_large: false },
        // The request says something that SLS does not expect of any request, whichever events are in it.
        code if answer.status == 400 && code.starts_with("Missing") => hold(false),
        _ => by_status,
    }
}

impl Said {
    pub(super) fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// What is wrong, in one word of SLS's; empty if it does not say.
    pub(super) fn code(&self) -> &str {
        &self.error_code
    }

    /// The signature is right, and whose it is may not do this.
    pub(super) fn is_about_permission(&self) -> bool {
        self.error_code == "Unauthorized" && self.error_message.contains("denied by sts or ram")
    }

    /// The request, or the logs in it, are too far from the time of SLS.
    fn is_about_time(&self) -> bool {
        ["RequestTimeExpired", "InvalidDateFormat"].contains(&self.error_code.as_str())
            || self.error_message.contains("data time is out of range")
    }

    /// Of the project, of a shard, or of one of several kinds that are told in the message only.
    fn is_about_quota(&self) -> bool {
        self.error_code == "ServerBusy"
            || self.error_code.ends_with("QuotaExceed")
            || self.error_message.contains("Quota Exceed")
            || self.error_message.contains("QPS Exceed")
    }
}

/// How far the clock of SLS is ahead of ours in seconds, as the answer tells.
pub(super) fn clock_ahead_by(answer: &Answer) -> Option<i64> {
    let text = |name: &str| answer.headers.get(name)?.to_str().ok();
    let by_number = || text("x-log-time")?.trim().parse::<u64>().ok();
    let by_date = || Some(seconds(httpdate::parse_http_date(text(DATE.as_str())?).ok()?));
    let theirs = by_number().or_else(by_date)?;
    i64::try_from(theirs).ok()?.checked_sub(i64::try_from(seconds(answer.received_at)).ok()?)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests;
