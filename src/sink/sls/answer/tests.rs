use reqwest::header::HeaderValue;

use super::*;
use crate::sink::tests::answer;

fn body(code: &str, message: &str) -> String {
    format!(r#"{{"errorCode":"{code}","errorMessage":"{message}"}}"#)
}

#[test]
fn every_row_of_the_sheet() {
    let hold = |reread_credentials| Verdict::Hold { reread_credentials };
    let refused = |too_large| Verdict::Refused { too_large };
    let after = Some(Duration::from_secs(7));
    let retry = Verdict::Retry { after };
    let cases = [
        (200, "", "", Verdict::Accepted),
        (400, "SecurityTokenExpired", "", hold(true)),
        (500, "InternalServerError", "internal server error", retry.clone()),
        (502, "", "", retry.clone()),
        (503, "ServerBusy", "the server is busy", retry.clone()),
        (504, "", "", retry.clone()),
        (403, "WriteQuotaExceed", "Project write quota exceed", retry.clone()),
        (403, "ShardWriteQuotaExceed", "Shard write quota exceed", retry.clone()),
        (403, "ProjectQuotaExceed", "", retry.clone()),
        (403, "ExceedQuota", "Inflow Quota Exceed: qps: 1", retry.clone()),
        (403, "ExceedQuota", "Write QPS Exceed: qps: 1", retry),
        (400, "RequestTimeExpired", "Request time exceeds server time more than 15 minutes", Verdict::Again),
        (400, "InvalidDateFormat", "Date header must follow RFC822", Verdict::Again),
        (400, "PostBodyInvalid", "The post data time is out of range", Verdict::Again),
        (499, "PostBodyInvalid", "the post data time is out of range", Verdict::Again),
        (401, "Unauthorized", "The security token you provided has expired", hold(true)),
        (401, "SignatureNotMatch", "signature does not match", hold(true)),
        (403, "SignatureNotMatch", "signature does not match", hold(true)),
        (400, "InvalidAccessKeyId", "the access key id you provided not found", hold(true)),
        (401, "InvalidAccessKeyId", "the access key id you provided not found", hold(true)),
        (403, "SecurityTokenExpired", "", hold(true)),
        (400, "InvalidSecurityToken", "", hold(true)),
        (404, "ProjectNotExist", "The Project does not exist", hold(false)),
        (404, "LogStoreNotExist", "logstore does not exist", hold(false)),
        (400, "LogStoreWithoutShard", "the logstore has no shard", hold(false)),
        (403, "ProjectForbidden", "The project has been forbidden", hold(false)),
        (400, "MissingSignatureMethod", "x-log-signaturemethod is missing", hold(false)),
        (400, "PostBodyTooLarge", "body size 10485761 must little than 10485760", refused(true)),
        (413, "", "", refused(true)),
        (400, "PostBodyInvalid", "protobuf content cannot pass validation", refused(false)),
        (400, "InvalidTimestamp", "", refused(false)),
        (400, "InvalidEncoding", "Wrong encoding", refused(false)),
        (400, "InvalidKey", "Invalid key", refused(false)),
        (400, "ParameterInvalid", "", refused(false)),
        (400, "PostBodyUncompressError", "uncompress error", refused(false)),
        (400, "SomethingNew", "", refused(false)),
    ];
    for (status, code, message, expect) in cases {
        let answer = Answer { retry_after: after, ..answer(status, &body(code, message)) };
        assert_eq!(verdict(&answer), expect, "{status} {code} {message}");
    }
}

#[test]
fn an_answer_of_somebody_else_means_what_its_status_says() {
    let page = answer(200, "<html>");
    assert_eq!(verdict(&page), Verdict::Hold { reread_credentials: false });
    for text in ["", "[]", "null", r#"{"errorCode":7}"#, r#"{"code":"PostBodyTooLarge"}"#] {
        for status in [200, 400, 401, 403, 404, 413, 429, 500, 501, 502, 503] {
            let answer = answer(status, text);
            assert_eq!(verdict(&answer), verdict_by_status(&answer), "{status} {text}");
        }
    }
}

#[test]
fn the_time_there_is_told_by_a_number_or_a_date() {
    let received_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_602);
    let told = |pairs: &[(&'static str, &'static str)]| {
        let headers =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        clock_ahead_by(&Answer { headers: headers.collect(), received_at, ..answer(400, "") })
    };
    let date = ("date", "Wed, 01 Jan 2025 00:00:02 GMT");
    assert_eq!(told(&[]), None);
    assert_eq!(told(&[date]), Some(0));
    assert_eq!(told(&[date, ("x-log-time", "1735689702")]), Some(100), "the number is SLS's own");
    assert_eq!(told(&[("x-log-time", "1735688602")]), Some(-1000));
    assert_eq!(told(&[("x-log-time", "soon"), date]), Some(0));
    assert_eq!(told(&[("x-log-time", "18446744073709551615")]), None);
    assert_eq!(told(&[("date", "yesterday")]), None);
}
