//! The live view: what it says, who may see it, and how it looks.

mod page;
mod seen;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use audit_shipper::json;
use audit_shipper::live::status::{Progress, State};

use self::seen::{Answered, ask, document, on_its_own, only, wait_for};
use crate::support::certificates::Authority;
use crate::support::cli::{audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{POISON, Shipper, poisoned};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events, replace};

/// What must never be seen: it is in the query of the endpoint, in the token for it and in its answers.
const SECRET: &str = "s3cr3t";

/// Ships to a URL with a secret in it, with another one.
fn with_secrets(server: &str) -> Shipper {
    let shipper = Shipper::to("http://127.0.0.1:1");
    shipper.workdir.kubeconfig_with(&format!("{server}?key={SECRET}"), "", &format!("token: {SECRET}"));
    shipper
}

fn assert_no_secrets(daemon: &Daemon) {
    let json = document(daemon).1;
    assert!(!json.contains(SECRET), "{json}");
}

#[test]
fn an_output_that_ships_is_level_and_its_place_is_the_end_of_the_log() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let events = real_events(300);
    let shipper = with_secrets(&endpoint.url()).log(&events).full_batches_of(100);
    let daemon = shipper.start();
    let size = events.iter().map(String::len).sum::<usize>() as u64;
    // Its place is looked for before the rest of the document is made, on a disk that may be slow.
    let status = wait_for(&daemon, "300 delivered events", |output| {
        output.counts.delivered == 300
            && output.top.events == 300
            && output.position.files.first().is_some_and(|file| file.settled_bytes == size)
            && output.state == State::Level
    });
    let output = only(&status);
    assert_eq!((status.schema_version, status.version.as_str()), (1, env!("CARGO_PKG_VERSION")));
    assert_eq!(status.logs, [shipper.workdir.log().display().to_string()]);
    assert!(status.configuration.is_right && status.started_at <= status.now);
    assert_eq!((output.name.as_str(), output.destination.as_str()), ("siem", "webhook"));
    assert_eq!(output.endpoint, endpoint.url());
    assert_eq!((&output.reason, &output.not_ready, output.current.lag_bytes), (&None, &None, 0));
    let [file] = &output.position.files[..] else { panic!("{:?}", output.position) };
    assert_eq!((file.name.as_str(), file.size_bytes, file.settled_bytes), ("audit.log", size, size));
    assert_eq!((file.is_live, file.is_held, file.is_nameless), (true, true, false));
    assert!(output.errors.is_empty(), "{:?}", output.errors);
    // Eight events of each batch were looked at, and stand for all of them.
    assert_eq!((output.top.events, output.top.looked_at), (300, 24));
    for shares in [&output.top.users, &output.top.verbs] {
        assert_eq!(shares.iter().map(|share| share.events).sum::<u64>(), 300, "{shares:?}");
        assert!(shares.is_sorted_by(|one, other| one.events >= other.events));
    }
    let get = output.top.verbs.iter().find(|share| share.value == "get").unwrap();
    assert!(get.events > 12, "{get:?}");
    assert_no_secrets(&daemon);
}

#[test]
fn an_endpoint_that_is_down_is_waited_for_and_the_lag_is_told() {
    let shipper = with_secrets("http://127.0.0.1:1/audit").log(&real_events(50));
    let daemon = shipper.start();
    let status = wait_for(&daemon, "a second try", |output| {
        output.state == State::Waiting
            && output.errors.first().is_some_and(|error| error.count > 1)
            && !output.position.files.is_empty()
    });
    let output = only(&status);
    assert!(output.reason.as_ref().is_some_and(|reason| reason.contains("no connection")), "{output:?}");
    assert!(output.since <= status.now);
    let size = fs::metadata(shipper.workdir.log()).unwrap().len();
    assert_eq!((output.current.lag_bytes, output.counts.delivered), (size, 0));
    assert!(output.current.lag_seconds > 1.0, "these events are old");
    assert_eq!(
        (output.position.files[0].progress, output.position.files[0].settled_bytes),
        (Progress::Unread, 0)
    );
    assert_eq!(Some(&output.errors[0].what), output.reason.as_ref());
    assert_no_secrets(&daemon);
}

#[test]
fn who_is_refused_needs_attention() {
    let endpoint = Endpoint::start(|_, _| Answer::with_body(401, SECRET));
    let shipper = with_secrets(&endpoint.url()).log(&real_events(5));
    let daemon = shipper.start();
    let status = wait_for(&daemon, "misconfigured", |output| output.state == State::Misconfigured);
    let output = only(&status);
    assert!(output.reason.as_ref().is_some_and(|reason| reason.contains("401")), "{output:?}");
    assert_eq!(
        output.not_ready.as_deref(),
        Some(format!("siem: {}", output.reason.as_ref().unwrap()).as_str())
    );
    assert_no_secrets(&daemon);
}

#[test]
fn what_is_set_aside_is_counted_by_its_reason() {
    let endpoint =
        Endpoint::start(
            |request, _| {
                if request.holds(POISON) { Answer::with_body(400, SECRET) } else { Answer::ok() }
            },
        );
    let mut events = real_events(20);
    events[7] = poisoned(&events[7]);
    events.push("no event\n".to_owned());
    let shipper = with_secrets(&endpoint.url()).log(&events);
    let daemon = shipper.start();
    let status = wait_for(&daemon, "all of it settled", |output| output.counts.delivered == 19);
    let counts = &only(&status).counts;
    let aside = |reason| counts.set_aside.get(reason).copied();
    assert_eq!((counts.read, aside("rejected"), aside("malformed")), (21, Some(1), Some(1)), "{counts:?}");
    assert_no_secrets(&daemon);
}

#[test]
fn only_names_of_this_machine_are_answered() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint);
    let daemon = shipper.start();
    let port = daemon.address().port();
    for host in ["localhost", &format!("localhost:{port}"), "127.0.0.1:8080", "[::1]"] {
        for path in ["/", "/api/v1/status"] {
            assert_eq!(ask(&daemon, path, &format!("Host: {host}\r\n")).status, 200, "{host}{path}");
        }
    }
    for head in ["Host: rebound.example\r\n", "Host: 10.0.0.1:9465\r\n", "Host: localhost.\r\n", "Host:\r\n"]
    {
        for path in ["/", "/api/v1/status"] {
            let answered = ask(&daemon, path, head);
            assert_eq!(answered.status, 421, "{head}{path}");
            assert!(!answered.body.contains("siem"), "{}", answered.body);
        }
        // Those who scrape it give it names of their own.
        assert_eq!(ask(&daemon, "/metrics", head).status, 200);
    }
    let Answered { head, body, .. } = ask(&daemon, "/", "Host: localhost\r\n");
    assert!(body.starts_with("<!doctype html>"));
    for header in [
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header}\n{head}");
    }
    assert!(!head.contains("unsafe") && !head.contains("access-control"), "{head}");
}

#[test]
fn an_admin_address_that_others_reach_has_no_view() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).flag("bind-address", "0.0.0.0:0");
    let daemon = shipper.start();
    for path in ["/", "/api/v1/status"] {
        let answered = ask(&daemon, path, "Host: localhost\r\n");
        assert_eq!((answered.status, answered.body.as_str()), (404, "/metrics /healthz /livez /readyz\n"));
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(ask(&daemon, path, "Host: localhost\r\n").status, 200, "{path}");
    }
    let address = format!("http://{}", daemon.address());
    let ended = audit_shipper(["status", "--address", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("there is no live view"), "{}", ended.stderr);
}

#[test]
fn elsewhere_it_is_seen_with_the_token_over_tls() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let authority = Authority::new();
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    let directory = shipper.workdir.path("");
    let (cert, key) = authority.sign().write(&directory, "view");
    let path = |name: &str, text: &str| {
        let path = shipper.workdir.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (token, wrong) = (path("token", "t0ken\n"), path("wrong", "t0ke"));
    let ca = path("ca.pem", &authority.pem());
    let view = format!(
        "{{ bindAddress: '0.0.0.0:0', bearerTokenFile: '{token}', tls: {{ certFile: '{}', keyFile: '{}' }} }}",
        cert.display(),
        key.display()
    );
    let shipper = shipper.live_view(&view);
    let daemon = shipper.start();
    let address = format!("https://localhost:{}", on_its_own(&daemon).rsplit_once(':').unwrap().1);
    let status = |token: &[&str]| {
        let args = ["status", "--address", &address, "--ca-file", &ca];
        audit_shipper(args.iter().chain(token))
    };
    let shown = wait_until("the status with its token", || {
        Some(status(&["--token-file", &token]).succeeded()).filter(|shown| shown.contains(" level "))
    });
    assert!(shown.contains("siem"), "{shown}");
    for (token, said) in [
        (&[][..], "it wants a bearer token"),
        (&["--token-file", &wrong], "the token is not the one it wants"),
    ] {
        let ended = status(token);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let plain = address.replace("https", "http");
    assert_eq!(audit_shipper(["status", "--address", &plain, "--token-file", &token]).code, Some(1));
    let stranger = audit_shipper(["status", "--address", &address, "--token-file", &token]);
    assert!(stranger.stderr.contains("certificate"), "{}", stranger.stderr);
    // It is renewed, by another authority: first the certificate, then the key that fits.
    let other = Authority::new();
    let renewed = other.sign();
    replace(&cert, &renewed.cert);
    assert!(status(&["--token-file", &token]).succeeded().contains("siem"));
    daemon.wait_for_line("what they were stays in use");
    replace(&key, &renewed.key);
    let ended = status(&["--token-file", &token]);
    assert!(ended.code == Some(1) && ended.stderr.contains("certificate"), "{}", ended.stderr);
    fs::write(&ca, other.pem()).unwrap();
    assert!(status(&["--token-file", &token]).succeeded().contains("siem"));
}

#[test]
fn a_socket_is_for_its_owner_and_group_and_goes_with_the_daemon() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    // A file that says it all without flags.
    let url = format!("url: '{}'", endpoint.url());
    let shipper = Shipper::new(&endpoint).log(&real_events(3)).sink("ndjson", &url);
    let socket = shipper.workdir.path("view.sock");
    let shipper = shipper.live_view(&format!("{{ bindAddress: 'unix://{}' }}", socket.display()));
    let mut daemon = shipper.start();
    on_its_own(&daemon);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let config = shipper.workdir.path("audit-shipper.yaml").display().to_string();
    let mut json = Daemon::command();
    json.args(["status", "--config", &config, "--json"]);
    assert!(finish(json).succeeded().starts_with("{\"schemaVersion\":1,"));
    // At the very beginning there is no output.
    let table = wait_until("a row of the output", || {
        let mut table = Daemon::command();
        table.args(["status", "--config", &config]).env("COLUMNS", "80").env("LC_ALL", "C");
        Some(finish(table).succeeded()).filter(|table| table.contains("\nsiem    "))
    });
    assert!(table.contains("\nOUTPUT  STATE "), "{table}");
    assert!(table.lines().all(|line| line.len() <= 80) && !table.contains('\u{1b}'), "{table}");
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(!socket.exists());
    let ended = audit_shipper(["status", "--config", &config]);
    let said = format!("no daemon answers at unix://{}", socket.display());
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
}

#[test]
fn a_view_that_nobody_may_see_is_a_mistake_of_the_configuration() {
    let workdir = Workdir::new();
    let config = workdir.path("f.yaml");
    let text = format!(
        "source: {{ path: /log }}\noutputs: [{{ name: siem, ndjson: {{ url: 'http://127.0.0.1:1' }} }}]\n\
         liveView:\n  bindAddress: 127.0.0.1:0\n  bearerTokenFile: {0}/none\n  tls: {{ certFile: {0}/c, keyFile: {0}/k }}\n",
        workdir.path("").display()
    );
    fs::write(&config, text).unwrap();
    let ended = audit_shipper(["check", "--config", &config.display().to_string()]);
    let mistakes = ended.mistakes();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    for (mistake, field) in mistakes.iter().zip(["bearerTokenFile", "tls.certFile", "tls.keyFile"]) {
        assert!(mistake.starts_with(&format!("liveView.{field}: ")), "{mistake}");
    }
    let no_daemon = audit_shipper(["status", "--address", "http://127.0.0.1:1"]);
    assert_eq!(no_daemon.code, Some(1));
    assert!(no_daemon.stderr.contains("no daemon answers at http://127.0.0.1:1: "), "{}", no_daemon.stderr);
}

/// The paths of the values in a JSON text, such as `outputs[].name`, each once. What has reasons for keys is one of them.
fn paths(json: &[u8], start: usize, path: &str, found: &mut Vec<String>) {
    let mut add = |path: String| {
        if !found.contains(&path) {
            found.push(path);
        }
    };
    match json[start] {
        b'{' => {
            for member in json::members(json, start) {
                let key = json::unescaped(&json[member.key.clone()]).unwrap();
                let key = if path.ends_with("setAside") { "*".into() } else { key };
                let below = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
                paths(json, member.value.start, &below, found);
            }
        }
        b'[' => {
            for item in json::items(json, start) {
                paths(json, item.start, &format!("{path}[]"), found);
            }
        }
        _ => add(path.to_owned()),
    }
}

#[test]
fn the_document_is_as_it_is_described() {
    // Something of everything: what went wrong before, and what ships now.
    let endpoint =
        Endpoint::start(|_, earlier| if earlier == 0 { Answer::status(503) } else { Answer::ok() });
    let shipper = Shipper::new(&endpoint).log(&real_events(10));
    let daemon = shipper.start();
    wait_for(&daemon, "a point, an error, a place and all events", |output| {
        output.counts.delivered == 10
            && !output.errors.is_empty()
            && !output.history.lag_bytes.is_empty()
            && !output.position.files.is_empty()
    });
    let (_, text) = document(&daemon);
    let mut real = Vec::new();
    paths(text.as_bytes(), 0, "", &mut real);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.md")).unwrap();
    let field = |line: &str| line.strip_prefix("| `")?.split_once("` |").map(|(field, _)| field.to_owned());
    let (fields, states) = page.split_once("| state |").unwrap();
    let described: Vec<String> = fields.lines().filter_map(field).collect();
    assert_eq!(described, real);
    let states: Vec<String> = states.lines().filter_map(field).collect();
    let all =
        ["level", "shipping", "waiting", "misconfigured", "blocked", "unreadable", "hanging", "stopping"];
    assert_eq!(states, all);
}
