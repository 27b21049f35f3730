//! What Loki's answers mean. Its reasons are texts (`pkg/validation/validate.go`).

use crate::sink::{Answer, Verdict, verdict_by_status};

/// Reasons that are the same for all entries: somebody must change labels here or limits there.
const CONFIGURATION: [&str; 9] = [
    "at least one label pair is required",
    "Error parsing labels",
    "couldn't parse labels",
    "label names; limit",
    "label name too long",
    "label value too long",
    "duplicate label name",
    "includes structured metadata, but this feature is disallowed",
    "missing required labels",
];
const LINE_TOO_LONG: &str = "Max entry size";

pub(super) fn of(answer: &Answer) -> Verdict {
    let says = |text: &str| memchr::memmem::find(&answer.body, text.as_bytes()).is_some();
    match answer.status {
        200 if answer.is_web_page() => Verdict::Hold { reread_credentials: false },
        200 | 204 => Verdict::Accepted,
        // An administrator has blocked the tenant and chosen the status, which is 260 if he has not.
        201..=299 => Verdict::Hold { reread_credentials: false },
        400 if CONFIGURATION.into_iter().any(says) => Verdict::Hold { reread_credentials: false },
        400 => Verdict::Refused { too_large: says(LINE_TOO_LONG) },
        _ => verdict_by_status(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sink::tests::answer;

    #[test]
    fn answers_mean_what_the_sheet_says() {
        let after = Some(Duration::from_secs(7));
        let hold = Verdict::Hold { reread_credentials: false };
        let refused = |too_large| Verdict::Refused { too_large };
        let cases = [
            (204, "", Verdict::Accepted),
            (200, "", Verdict::Accepted),
            (200, "<!doctype html><title>Grafana</title>", hold.clone()),
            (
                260,
                "ingestion blocked for user fake until '2026-11-23T00:00:00Z' with status code '260'",
                hold.clone(),
            ),
            (201, "", hold.clone()),
            (
                429,
                "Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '400' lines totaling '900000' bytes",
                Verdict::Retry { after },
            ),
            (
                429,
                "Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{job=\"x\"}' totaling 4MB",
                Verdict::Retry { after },
            ),
            (
                429,
                "Maximum active stream limit exceeded when trying to create stream {job=\"x\"}",
                Verdict::Retry { after },
            ),
            (
                400,
                "Max entry size '262144' bytes exceeded for stream '{job=\"x\"}' while adding an entry with length '300000' bytes",
                refused(true),
            ),
            (
                400,
                "entry with timestamp 2026-11-22 01:35:32.405 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-11-22T01:35:32Z, oldest acceptable timestamp is: 2026-11-22T03:23:59Z',\nuser 'fake', total ignored: 1 out of 1 for stream: {job=\"x\"}",
                refused(false),
            ),
            (
                400,
                "entry for stream '{job=\"x\"}' has timestamp too old: 2026-11-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-15T00:00:00Z",
                refused(false),
            ),
            (
                400,
                "entry for stream '{job=\"x\"}' has timestamp too new: 2026-12-01T00:00:00Z",
                refused(false),
            ),
            (
                400,
                "stream '{job=\"x\"}' has structured metadata too large: '70000' bytes, limit: '65536' bytes.",
                refused(false),
            ),
            (400, "", refused(false)),
            (400, "entry for stream '{job=\"x\"}' has 16 label names; limit 15", hold.clone()),
            (
                400,
                "stream '{job=\"x\"}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata`",
                hold.clone(),
            ),
            (400, "error at least one label pair is required per stream", hold.clone()),
            (413, "", refused(true)),
            (500, "", Verdict::Retry { after }),
            (503, "", Verdict::Retry { after }),
            (504, "", Verdict::Retry { after }),
            (401, "no org id", Verdict::Hold { reread_credentials: true }),
            (404, "", hold),
        ];
        for (status, text, expect) in cases {
            let answer = Answer { retry_after: after, ..answer(status, text) };
            assert_eq!(of(&answer), expect, "{status} {text}");
        }
    }
}
