//! Redaction from outside: what is in a Secret reaches nobody, whatever becomes of the event.

mod keys;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::cli::{audit_shipper, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{POISON, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{Workdir, real_events, sensitive_events};

const CANARY: &str = "hunter2-canary";
const MARK: &str = "redacted:hmac-sha256:";
/// In an event that the endpoint finds too large, however small it becomes.
const TOO_LARGE: &str = "too-large-for-the-endpoint";

fn base64() -> String {
    STANDARD.encode(CANARY)
}

/// Whether the canary is in there, in one of the ways in which it was put into the log.
fn sings(text: &str) -> bool {
    [CANARY, base64().trim_end_matches('=')].iter().any(|form| text.contains(form))
}

/// Real events in which the secrets are canaries.
fn singing_events() -> Vec<String> {
    let values = |line: String| {
        let mut rest = line.as_str();
        let mut out = String::new();
        while let Some((before, behind)) = rest.split_once(r#""password":""#) {
            let (_, behind) = behind.split_once('"').unwrap();
            out.extend([before, r#""password":""#, &base64(), "\""]);
            rest = behind;
        }
        out + rest
    };
    let token = |line: String| line.replace(r#""token":"abc.def""#, &format!(r#""token":"{CANARY}""#));
    sensitive_events().into_iter().map(values).map(token).filter(|line| sings(line)).collect()
}

/// One event with a canary in each place that is not in a Secret's body.
fn elsewhere() -> Vec<String> {
    let base = real_events(1).remove(0);
    let uri = base.split_once(r#""requestURI":""#).unwrap().1.split_once('"').unwrap().0.to_owned();
    let secret = format!(r#"{{"kind":"Secret","stringData":{{"a":"{CANARY}"}}}}"#);
    let quoted = format!("{secret:?}");
    vec![
        base.replace(&uri, &format!(r"{uri}?limit=1\u0026access_token={CANARY}")),
        base.replacen(r#""user":{"#, &format!(r#""user":{{"extra":{{"credential-id":["{CANARY}"]}},"#), 1),
        base.replacen(r#""verb":"#, &format!(r#""requestObject":{{"items":[{secret}]}},"verb":"#), 1),
        base.replacen(
            r#""verb":"#,
            &format!(r#""responseObject":{{"metadata":{{"a":{quoted}}}}},"verb":"#),
            1,
        ),
    ]
}

fn shipper(endpoint: &Endpoint) -> Shipper {
    Shipper::new(endpoint)
        .webhook("initialBackoff: 20ms, maxBackoff: 100ms")
        .redact("enabled: true")
        .one_at_a_time()
}

/// Every file below `directory`, as text.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

#[test]
fn no_canary_is_in_a_request_the_rejected_file_the_log_the_metrics_or_the_state() {
    let endpoint = Endpoint::start(|request, _| {
        if request.holds(TOO_LARGE) {
            Answer::status(413)
        } else if request.holds(POISON) {
            // Some endpoints repeat what they were sent.
            Answer::with_body(400, String::from_utf8_lossy(&request.body))
        } else {
            Answer::ok()
        }
    });
    let mut lines = singing_events();
    assert!(lines.len() > 8, "{}", lines.len());
    let refused = poisoned(&lines[0]);
    // Of what identifies an event nothing is ever cut.
    let named = format!(r#""objectRef":{{"resource":"secrets","uid":"{TOO_LARGE}","#);
    let too_large = lines[1].replace(r#""objectRef":{"resource":"secrets","#, &named);
    assert!(too_large.contains(TOO_LARGE));
    // Larger than what is cut above: truncation sees it as it is sent.
    let values: Vec<String> = (0..2000).map(|n| format!(r#""k{n}":"{}""#, base64())).collect();
    let cut = lines[2].replace(r#""data":{"#, &format!(r#""data":{{{},"#, values.join(",")));
    lines.extend(elsewhere());
    lines.extend([refused, too_large, cut, real_events(1).remove(0)]);
    assert!(lines[..lines.len() - 1].iter().all(|line| sings(line)));

    let shipper = shipper(&endpoint)
        .log(&lines)
        .flag("audit-webhook-truncate-enabled", true)
        .flag("audit-webhook-truncate-max-event-size", 8000);
    let mut command = Daemon::command();
    command.args(shipper.args()).env("RUST_LOG", "trace");
    let mut daemon = Daemon::spawn(command);
    wait_until_settled(&daemon, lines.len());

    let requests = endpoint.requests();
    assert!(requests.iter().any(|request| request.holds(MARK)));
    for request in &requests {
        assert!(!sings(&String::from_utf8_lossy(&request.body)));
    }
    let rejected = shipper.rejected();
    assert_eq!(rejected.len(), 2);
    assert!(rejected.iter().all(|entry| entry.line().contains(MARK) && !sings(&entry.line())));
    assert_eq!(endpoint.items().len(), lines.len() - 2);
    assert!(endpoint.items().contains(lines.last().unwrap()), "an event that needs nothing stays as it is");
    assert!(!sings(daemon.metrics().text()));
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.log().contains("TRACE") && !sings(&daemon.log()), "{}", daemon.log());
    let state = files(&shipper.workdir.state());
    assert!(state.len() >= 3, "{state:?}");
    for (name, text) in state {
        assert!(!sings(&text), "{name}");
    }
}

#[test]
fn an_event_at_the_head_is_set_aside_redacted() {
    let endpoint = Endpoint::start(|_, _| Answer::status(400));
    let shipper =
        shipper(&endpoint).log(&singing_events()[..1]).flag("audit-webhook-mode", "blocking-strict");
    let mut daemon = shipper.start();
    endpoint.wait_for("a request", |requests| !requests.is_empty());
    daemon.kill9();
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    // An output that has settled nothing has no cursor to move.
    if !shipper.workdir.state().join("siem.cursor.json").exists() {
        std::fs::write(shipper.workdir.state().join("siem.cursor.json"), "").unwrap();
        audit_shipper(["cursor", "reset", "--output=siem", &config]).succeeded();
    }
    audit_shipper(["cursor", "skip", "--output=siem", &config]).succeeded();
    let rejected = shipper.rejected();
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].line().contains(MARK) && !sings(&rejected[0].line()), "{}", rejected[0].line());
}

#[test]
fn with_flags_alone_nothing_is_masked_unless_it_is_asked_for() {
    for (flag, is_masked) in [(None, false), (Some("--redact"), true), (Some("--redact=false"), false)] {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let workdir = Workdir::new();
        workdir.kubeconfig(&endpoint.url());
        workdir.append(&singing_events()[..1]);
        let daemon = Daemon::start(flags("run", &workdir).into_iter().chain(flag.map(str::to_owned)));
        let items = endpoint.wait_for_items(1);
        assert_eq!((sings(&items[0]), items[0].contains(MARK)), (!is_masked, is_masked), "{flag:?}");
        drop(daemon);
    }
}
