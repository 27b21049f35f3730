//! Alibaba Cloud's SLS: each event arrives as logtail would have sent it, signed, in time, and once.

mod connect;
pub(super) mod destination;
mod fake;
mod import;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::value::RawValue;

use self::fake::{Account, Sls, refusal};
use crate::rejected::rejected;
use crate::support::books::count;
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{large_events, real_events, replace};

/// Ships to the fake, as the account says, with further fields.
fn shipper(sls: &Sls, account: &Account, fields: &str) -> Shipper {
    let shipper = Shipper::new(&sls.endpoint);
    let file = |name: &str, text: &str| {
        let path = shipper.workdir.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut section = vec![format!(
        "url: \"http://{}\", project: proj, logstore: audit-c01, hostname: master-02, accessKeyIdFile: \"{}\", \
         accessKeySecretFile: \"{}\"",
        sls.endpoint.address(),
        file("id", account.id),
        file("secret", account.secret)
    )];
    section.extend(
        account.security_token.map(|token| format!("securityTokenFile: \"{}\"", file("token", token))),
    );
    section.extend(account.region.map(|region| format!("region: {region}")));
    section.extend((!fields.is_empty()).then(|| fields.to_owned()));
    shipper.sink("sls", &section.join(", "))
}

/// What a line of the log becomes at SLS, by serde_json.
fn contents(line: &str) -> BTreeMap<String, String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(line).unwrap();
    let text = |value: &RawValue| match value.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap(),
        other => other.to_owned(),
    };
    members.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// Asserts that these events, and no others, were taken once each.
fn assert_taken_once<'a>(sls: &Sls, lines: impl IntoIterator<Item = &'a String>) {
    let mut expect: Vec<_> = lines.into_iter().map(|line| contents(line)).collect();
    expect.sort();
    let taken = sls.events();
    assert!(taken == expect, "{} events for {}", taken.len(), expect.len());
}

#[test]
fn every_event_arrives_whatever_it_is_signed_and_compressed_with() {
    let lines = [real_events(1250), large_events()].concat();
    let v4 = Account { region: Some("cn-hangzhou"), security_token: Some("CAIS=token"), ..Account::new() };
    let cases = [
        (Account::new(), "", "/logstores/audit-c01/shards/lb"),
        (
            v4,
            "compression: zstd, hashKey: 14d2f850ad6ea48e46e4547edbbb27e0",
            "/logstores/audit-c01/shards/route?key=14d2f850ad6ea48e46e4547edbbb27e0",
        ),
    ];
    for (account, fields, target) in cases {
        let sls = Sls::taking_all(account.clone());
        let shipper = shipper(&sls, &account, fields).log(&lines);
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, lines.len());
        assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), lines.len() as u64);
        assert_taken_once(&sls, &lines);
        let requests = sls.endpoint.requests();
        assert!(requests.iter().all(|request| request.target == target), "{}", requests[0].target);
        for group in sls.groups() {
            let tags: BTreeMap<_, _> =
                group.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
            let path = shipper.workdir.log().display().to_string();
            assert_eq!(
                (tags["audit"], tags["__hostname__"], tags["__path__"]),
                ("apiserver", "master-02", &*path)
            );
            assert!(tags.contains_key("__pack_id__"));
            assert_eq!(group.topic.as_deref(), Some(""));
        }
        let log = daemon.log();
        assert!(!log.contains(account.secret) && !log.contains("CAIS="), "{log}");
    }
}

/// Every row of the table that is no fault of an event.
#[test]
fn no_trouble_of_the_service_loses_or_doubles_an_event() {
    const TROUBLE: [(u16, &str, &str); 12] = [
        (500, "InternalServerError", "internal server error"),
        (502, "", "<html>"),
        (503, "ServerBusy", "the server is busy"),
        (403, "WriteQuotaExceed", "Project write quota exceed"),
        (403, "ShardWriteQuotaExceed", "Shard write quota exceed"),
        (403, "ExceedQuota", "Inflow Quota Exceed"),
        (401, "Unauthorized", "the security token has expired"),
        (403, "InvalidAccessKeyId", "no such key"),
        (404, "ProjectNotExist", "The Project does not exist"),
        (404, "LogStoreNotExist", "logstore does not exist"),
        (400, "LogStoreWithoutShard", "no shard"),
        (403, "ProjectForbidden", "in arrears"),
    ];
    let lines = real_events(100);
    let sls = Sls::start(Account::new(), |_, n| {
        TROUBLE.get(n).map(|(status, code, message)| refusal(*status, code, message))
    });
    let shipper = shipper(&sls, &Account::new(), "").log(&lines).batches_of(50).one_at_a_time();
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, lines.len());
    assert_taken_once(&sls, &lines);
    let outcomes = ["accepted", "retry", "hold", "refused"]
        .map(|outcome| count(&metrics, "audit_shipper_requests_total", &[("outcome", outcome)]));
    assert_eq!(outcomes, [2, 6, 6, 0]);
    assert!(shipper.rejected().is_empty());
}

/// A log that is ahead of the time there would have its group refused; a request is refused in any case.
#[test]
fn a_wrong_clock_costs_one_request() {
    let lines = real_events(100);
    for (ahead_by, region) in [(3600, None), (-3600, Some("cn-hangzhou")), (-86_400, None)] {
        let account = Account { region, ahead_by, ..Account::new() };
        let sls = Sls::taking_all(account.clone());
        let shipper = shipper(&sls, &account, "").log(&lines).batches_of(50).one_at_a_time();
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, lines.len());
        assert_taken_once(&sls, &lines);
        assert_eq!(sls.endpoint.requests().len(), 3, "{ahead_by}");
        assert_eq!(count(&metrics, "audit_shipper_misconfigured", &[]), 0);
    }
}

/// One after another, as people replace them, and without a word to the daemon.
#[test]
fn each_file_with_a_credential_is_read_again_when_it_has_changed() {
    let first = Account { security_token: Some("CAIS=first"), ..Account::new() };
    let sls = Sls::taking_all(first.clone());
    let lines = real_events(40);
    let shipper = shipper(&sls, &first, "").log(&lines[..10]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    let secret = Account { secret: "r3newed", ..first };
    let token = Account { security_token: Some("CAIS=renewed"), ..secret.clone() };
    let id = Account { id: "LTAIrenewed", ..token.clone() };
    let changes =
        [(secret, "secret", "r3newed"), (token, "token", "CAIS=renewed"), (id, "id", "LTAIrenewed")];
    for (number, (account, file, text)) in changes.into_iter().enumerate() {
        sls.renew(account);
        let written = 10 * (number + 1);
        shipper.workdir.append(&lines[written..written + 10]);
        daemon.wait_for_metrics("credentials that are refused", |metrics| {
            count(metrics, "audit_shipper_misconfigured", &[]) == 1
        });
        replace(&shipper.workdir.path(file), text);
        wait_until_settled(&daemon, written + 10);
    }
    assert_taken_once(&sls, &lines);
    assert!(shipper.rejected().is_empty());
}

/// Each run of `rejected retry` finds out anew what time it is there.
#[test]
fn with_a_wrong_clock_what_is_sent_once_more_is_taken_too() {
    let mut lines = real_events(40);
    for place in [3, 4, 21, 30] {
        lines[place] = poisoned(&lines[place]);
    }
    let is_healed = Arc::new(AtomicBool::new(false));
    let account = Account { ahead_by: 3600, ..Account::new() };
    let sls = Sls::start(account.clone(), {
        let (is_healed, hopeless) = (Arc::clone(&is_healed), contents(&lines[4]));
        move |group, _| {
            let is_poisoned =
                |event: &BTreeMap<String, String>| event.values().any(|text| text.contains(POISON));
            let is_bad = |event: BTreeMap<String, String>| {
                if is_healed.load(Ordering::SeqCst) { event == hopeless } else { is_poisoned(&event) }
            };
            let is_refused = group.clone().events().any(is_bad);
            is_refused.then(|| refusal(400, "InvalidEncoding", "the encoding is not UTF-8"))
        }
    });
    let shipper = shipper(&sls, &account, "").log(&lines);
    let daemon = shipper.start();
    wait_until_settled(&daemon, lines.len());
    assert_eq!(shipper.rejected().len(), 4);

    is_healed.store(true, Ordering::SeqCst);
    let ended = rejected(&shipper, &["retry"]);
    assert_eq!(
        ended.stdout, "siem: 3 taken by the endpoint, 1 refused again, 0 not tried\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.errors(), ["siem: the endpoint refuses events with status 400"]);
    assert_eq!(ended.code, Some(1));
    let left: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
    assert_eq!(left, [lines[4].clone()]);
    assert_taken_once(&sls, lines.iter().filter(|line| **line != left[0]));
}

#[test]
fn what_is_too_large_together_goes_in_halves_and_what_is_too_large_alone_is_cut() {
    const MAX_GROUP_BYTES: usize = 300_000;
    let lines = large_events();
    let sls = Sls::start(Account::new(), |group, _| {
        let bytes = prost::Message::encoded_len(group);
        (bytes > MAX_GROUP_BYTES).then(|| refusal(400, "PostBodyTooLarge", "body is too large"))
    });
    let shipper = shipper(&sls, &Account::new(), "").log(&lines);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, lines.len());
    assert!(count(&metrics, "audit_shipper_requests_total", &[("outcome", "refused")]) > 0);
    let (taken, rejected) = (sls.events(), shipper.rejected());
    assert_eq!(taken.len() + rejected.len(), lines.len());
    assert!(rejected.iter().map(Rejected::line).all(|line| line.len() > MAX_GROUP_BYTES));
    let expect: Vec<_> =
        lines.iter().filter(|line| line.len() < MAX_GROUP_BYTES).map(|line| contents(line)).collect();
    assert!(expect.iter().all(|event| taken.binary_search(event).is_ok()));
}

/// SLS takes 10 MB, and its own producers stop at half of that: of the group, not of what it is compressed to.
#[test]
fn no_group_is_larger_than_it_may_be() {
    let large = large_events();
    let lines: Vec<String> = large.iter().cycle().take(8 * large.len()).cloned().collect();
    let sls = Sls::taking_all(Account::new());
    let shipper = shipper(&sls, &Account::new(), "")
        .log(&lines)
        .output("maxMemory: 128MiB")
        .batches_of(4000)
        .flag("audit-webhook-truncate-max-batch-size", 40 << 20);
    let daemon = shipper.start();
    wait_until_settled(&daemon, lines.len());
    let sizes: Vec<usize> = sls
        .endpoint
        .requests()
        .iter()
        .map(|request| request.header("x-log-bodyrawsize").unwrap().parse().unwrap())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 5_000_000), "{sizes:?}");
    assert!(sizes.iter().any(|size| *size > 2_500_000), "nothing had to be divided: {sizes:?}");
    assert_taken_once(&sls, &lines);
}

/// Both read the same requests, and share nothing else.
#[test]
fn alibabas_own_sdk_reads_and_signs_the_same() {
    let lines = [real_events(400), large_events()].concat();
    let v4 = Account { region: Some("cn-hangzhou"), ..Account::new() };
    let cases = [
        (Account { security_token: Some("token"), ..Account::new() }, "", Some("lz4")),
        (v4.clone(), "compression: none, hashKey: 14d2f850ad6ea48e46e4547edbbb27e0", None),
        (v4, "compression: zstd", Some("zstd")),
    ];
    for (account, fields, compression) in cases {
        let sls = Sls::taking_all(account.clone());
        let shipper = shipper(&sls, &account, fields).log(&lines);
        let daemon = shipper.start();
        wait_until_settled(&daemon, lines.len());
        let path = shipper.workdir.path("requests");
        let mut file = std::fs::File::create(&path).unwrap();
        for request in sls.endpoint.requests() {
            assert_eq!(request.header("x-log-compresstype"), compression);
            writeln!(file, "{}", as_json(&request, &account)).unwrap();
        }
        let script = format!("{}/tests/it/sinks/sls/sdk.py", env!("CARGO_MANIFEST_DIR"));
        let output = match Command::new("python3").arg(&script).arg(&path).output() {
            Ok(output) => output,
            Err(error) => return crate::support::leave_out(format_args!("python3 cannot be run: {error}")),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(77) {
            return crate::support::leave_out(format_args!(
                "aliyun-log-python-sdk or cramjam is not installed: {said}"
            ));
        }
        assert!(output.status.success(), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut found: Vec<BTreeMap<String, String>> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut expect: Vec<_> = lines.iter().map(|line| contents(line)).collect();
        found.sort();
        expect.sort();
        assert!(found == expect, "{} events for {}", found.len(), expect.len());
    }
}

/// As the script reads it.
fn as_json(request: &Recorded, account: &Account) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let headers: BTreeMap<&str, &str> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = request.body.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!(
        r#"{{"id":{},"secret":{},"token":{},"region":{},"method":{},"target":{},"headers":{},"body":"{body}"}}"#,
        quoted(account.id),
        quoted(account.secret),
        quoted(account.security_token.unwrap_or_default()),
        quoted(account.region.unwrap_or_default()),
        quoted(&request.method),
        quoted(&request.target),
        serde_json::to_string(&headers).unwrap()
    )
}
