//! What is wrong with a configuration: all of it at once, each with its place, and never a secret.

use crate::support::certificates::Authority;
use crate::support::cli::{audit_shipper, finish, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::workdir::{Workdir, real_events};

/// Asserts that there is exactly one mistake for each beginning, in any order.
fn assert_begin(mistakes: &[&str], beginnings: &[String]) {
    for beginning in beginnings {
        let found = mistakes.iter().filter(|mistake| mistake.starts_with(beginning.as_str())).count();
        assert_eq!(found, 1, "`{beginning}` in {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), beginnings.len(), "{mistakes:#?}");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let workdir = Workdir::new();
    let kubeconfig = workdir.kubeconfig_with("ftp://127.0.0.1:1", "certificate-authority: nowhere.pem", "");
    let (file, policy) = (workdir.path("f.yaml"), workdir.path("nowhere.yaml"));
    let yaml = format!(
        "source:
  path: \"-\"
  startat: newest
outputs:
  - name: SIEM
    webhook: {{ kubeconfig: {}, timeout: 0s }}
    batch:
      maxSize: lots
      throttle: {{ qps: 0 }}
    maxMemory: 1MiB
    policyFile: {}
    rejected: {{ onFull: dropNewest }}
stateDir: 7
colour: red
",
        kubeconfig.display(),
        policy.display()
    );
    std::fs::write(&file, yaml).unwrap();
    let mut command = Daemon::command();
    command
        .args(["check", "--config", file.to_str().unwrap(), "--shutdown-grace=30"])
        .env("AUDIT_SHIPPER_BIND_ADDRESS", "localhost");
    let ended = finish(command);
    let (file, kubeconfig) = (file.display(), kubeconfig.display());
    assert_begin(
        &ended.mistakes(),
        &[
            format!(
                "{file}:2: source.path: \"-\" is kube-apiserver's standard output, which no other process can tail"
            ),
            format!("{file}:3: source.startat: is not a known field; did you mean `startAt`?"),
            format!("{file}:5: outputs[0].name: \"SIEM\" is not a name"),
            format!("{file}:6: outputs[0].webhook.timeout: 0 is out of range"),
            format!("{file}:8: outputs[0].batch.maxSize: must be a whole number, not a string"),
            format!(
                "{file}:9: outputs[0].batch.throttle.qps: invalid audit batch webhook throttle QPS 0, must be a positive number"
            ),
            format!(
                "{file}:10: outputs[0].maxMemory: outputs[0].maxMemory (1MiB) must be at least twice source.maxLineBytes (16MiB)"
            ),
            format!(
                "{file}:12: outputs[0].rejected.onFull: \"dropNewest\" is not known; legal are dropOldest and wait; did you mean `dropOldest`?"
            ),
            format!("{file}:13: stateDir: must be a string, not the number 7; put it in quotes"),
            format!("{file}:14: colour: is not a known field"),
            "--shutdown-grace: \"30\" has no unit; legal are such as 30s, 1m30s or 1.5h".to_owned(),
            "AUDIT_SHIPPER_BIND_ADDRESS: \"localhost\" is not an address".to_owned(),
            format!("{kubeconfig}:6: server: "),
            format!("{kubeconfig}:7: certificate-authority: "),
            format!("cannot read {}: ", policy.display()),
        ],
    );
}

#[test]
fn run_and_check_find_the_same_mistakes() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    let with = |command| {
        let mut flags = flags(command, &workdir);
        flags.push("--audit-webhook-mode=sometimes".to_owned());
        audit_shipper(flags)
    };
    assert_eq!(with("run").mistakes(), with("check").mistakes());
    assert_eq!(with("run").mistakes().len(), 1);
    assert!(std::fs::read_dir(workdir.state()).unwrap().next().is_none(), "nothing was begun");
}

#[test]
fn what_kube_apiserver_refuses_is_refused_in_its_words() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    let cases = [
        (
            "--audit-webhook-mode=async",
            "invalid audit webhook mode async, allowed modes are \"batch,blocking,blocking-strict\"",
        ),
        (
            "--audit-webhook-version=audit.k8s.io/v2",
            "invalid group version, allowed versions are [\"audit.k8s.io/v1\"]",
        ),
        (
            "--audit-webhook-batch-buffer-size=0",
            "invalid audit batch webhook buffer size 0, must be a positive number",
        ),
        (
            "--audit-webhook-batch-max-size=-1",
            "invalid audit batch webhook max batch size -1, must be a positive number",
        ),
        (
            "--audit-webhook-batch-throttle-qps=0",
            "invalid audit batch webhook throttle QPS 0, must be a positive number",
        ),
        (
            "--audit-webhook-batch-throttle-burst=0",
            "invalid audit batch webhook throttle burst 0, must be a positive number",
        ),
        (
            "--audit-webhook-truncate-max-event-size=0",
            "invalid audit truncate webhook max event size 0, must be a positive number",
        ),
        (
            "--audit-webhook-truncate-max-batch-size=102399",
            "invalid audit truncate webhook max batch size 102399, must be greater than max event size (102400)",
        ),
        ("--audit-log-maxage=-1", "--audit-log-maxage -1 can't be a negative number"),
        (
            "--audit-log-mode=async",
            "invalid audit log mode async, allowed modes are \"batch,blocking,blocking-strict\"",
        ),
        ("--audit-log-format=xml", "invalid audit log format xml, allowed formats are \"legacy,json\""),
    ];
    for (flag, words) in cases {
        let mut args = flags("check", &workdir);
        args.push(flag.to_owned());
        let name = flag.split('=').next().unwrap();
        assert_eq!(audit_shipper(args).mistakes(), [format!("{name}: {words}")]);
    }
}

#[test]
fn what_lacks_is_named_by_flag_and_by_field() {
    assert_eq!(
        audit_shipper(["check"]).mistakes(),
        [
            "--audit-log-path: must be given, here or as source.path in the file that --config names",
            "--audit-webhook-config-file: must be given, here or as outputs[0].webhook.kubeconfig in the file that --config names",
        ]
    );
    let workdir = Workdir::new();
    let mistake = format!(
        "{}: cannot read the kubeconfig: No such file or directory (os error 2)",
        workdir.path("webhook.kubeconfig").display()
    );
    assert_eq!(audit_shipper(flags("check", &workdir)).mistakes(), [mistake]);
    assert_eq!(
        audit_shipper(["check", "--config=/nowhere/f.yaml"]).mistakes(),
        ["--config: cannot read /nowhere/f.yaml: No such file or directory (os error 2)"]
    );
}

#[test]
fn a_mistake_in_a_shared_kubeconfig_is_told_once() {
    let workdir = Workdir::new();
    let kubeconfig = workdir.kubeconfig("ftp://127.0.0.1:1");
    let webhook = format!("webhook: {{ kubeconfig: {} }}", kubeconfig.display());
    let file = workdir.path("f.yaml");
    std::fs::write(
        &file,
        format!("source: {{ path: /log }}\noutputs:\n- name: a\n  {webhook}\n- name: b\n  {webhook}\n"),
    )
    .unwrap();
    let args = ["check".to_owned(), format!("--config={}", file.display())];
    assert_eq!(audit_shipper(&args).mistakes().len(), 1);
    // Also where something else is wrong.
    let args = [&args[..], &["--shutdown-grace=x".to_owned()]].concat();
    assert_eq!(audit_shipper(args).mistakes().len(), 2);
}

#[test]
fn a_secret_is_never_shown() {
    const SECRET: &str = "hunter2-do-not-show";
    let workdir = Workdir::new();
    let users = [
        format!("token: {SECRET}"),
        format!("token: \"{SECRET}\\nX: y\""),
        format!("token: {{ value: {SECRET} }}"),
        format!("token: [{SECRET}"),
        format!("username: {SECRET}\npassword: {SECRET}"),
        format!("username: u\npassword: {SECRET}\ntoken: {SECRET}"),
        format!("client-certificate-data: {SECRET}\nclient-key-data: {SECRET}"),
        format!("token: t\nexec: {{ command: {SECRET} }}"),
        format!("token: t\n{SECRET}: {SECRET}"),
        format!("token: t\ntoken: {SECRET}"),
    ];
    let servers = [
        "https://127.0.0.1:1/audit".to_owned(),
        format!("https://u:{SECRET}@127.0.0.1:1/audit?token={SECRET}"),
    ];
    for (server, user) in servers.iter().flat_map(|server| users.iter().map(move |user| (server, user))) {
        workdir.kubeconfig_with(server, "", user);
        let ended = audit_shipper(flags("check", &workdir));
        assert!([Some(0), Some(78)].contains(&ended.code), "{}", ended.stderr);
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.contains(SECRET), "{user}:\n{shown}");
    }
}

#[test]
fn the_most_talkative_log_tells_no_secret_and_no_event() {
    const SECRET: &str = "hunter2-do-not-show";
    let workdir = Workdir::new();
    let authority = Authority::new();
    std::fs::write(workdir.path("ca.pem"), authority.pem()).unwrap();
    let endpoint =
        Endpoint::start_tls(authority.sign().server(), |_, n| Answer::status([401, 503, 400, 200][n.min(3)]));
    let user = format!("token: {SECRET}");
    workdir.kubeconfig_with(
        &format!("{}?key={SECRET}", endpoint.url()),
        "certificate-authority: ca.pem",
        &user,
    );
    let file = workdir.path("f.yaml");
    std::fs::write(&file, "outputs: [{ name: siem, webhook: { initialBackoff: 10ms, maxBackoff: 10ms } }]\n")
        .unwrap();
    workdir.append(&real_events(20));
    let mut command = Daemon::command();
    command.args(flags("run", &workdir)).arg(format!("--config={}", file.display())).env("RUST_LOG", "trace");
    let mut daemon = Daemon::spawn(command);
    endpoint.wait_for_items(20);
    assert_eq!(endpoint.requests()[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    assert!(log.contains("TRACE") && log.contains("needs attention"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("auditID"), "{log}");
}
