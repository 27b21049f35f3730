//! The configuration file changes while the daemon runs.

mod under_systemd;

use std::fs;
use std::path::PathBuf;

use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events, replace};

/// A configuration file that is written again and again.
struct Files {
    workdir: Workdir,
}

impl Files {
    fn new() -> Self {
        Self { workdir: Workdir::new() }
    }

    fn path(&self) -> PathBuf {
        self.workdir.path("audit-shipper.yaml")
    }

    /// An output with these lines of its own.
    fn output(&self, name: &str, endpoint: &Endpoint, lines: &str) -> String {
        let kubeconfig = self.workdir.path(&format!("{name}.kubeconfig"));
        fs::rename(self.workdir.kubeconfig(&endpoint.url()), &kubeconfig).unwrap();
        format!(
            "- name: {name}\n  webhook: {{ kubeconfig: \"{}\", initialBackoff: 20ms, maxBackoff: 100ms, timeout: 10m }}\n  \
             batch: {{ maxSize: 10, maxWait: 50ms }}\n  redact: {{ enabled: false }}\n  {lines}\n",
            kubeconfig.display()
        )
    }

    fn write_of_log(&self, log: &str, rest: &str, outputs: &[&str]) {
        let log = self.workdir.log().with_file_name(log);
        let text = format!(
            "source: {{ path: \"{}\", pinMinFree: 0 }}\nstateDir: \"{}\"\nbindAddress: 127.0.0.1:0\n{rest}outputs:\n{}",
            log.display(),
            self.workdir.state().display(),
            outputs.concat()
        );
        replace(&self.path(), &text);
    }

    fn write(&self, outputs: &[&str]) {
        self.write_of_log("audit.log", "shutdownGrace: 1s\n", outputs);
    }

    fn args(&self) -> [String; 2] {
        ["run".to_owned(), format!("--config={}", self.path().display())]
    }
}

fn taken_over(daemon: &Daemon, times: usize) {
    let text = "the configuration has changed, and is taken over";
    wait_until(text, || (daemon.log().matches(text).count() >= times).then_some(()));
}

/// A request of one output is under way all the time, while the others are changed, removed and added.
#[test]
fn outputs_that_did_not_change_are_not_interrupted() {
    let gate = Gate::closed();
    let held = Endpoint::start({
        let gate = gate.clone();
        move |_, _| Answer::After(gate.clone(), Box::new(Answer::ok()))
    });
    let (one, two) = (Endpoint::start(|_, _| Answer::ok()), Endpoint::start(|_, _| Answer::ok()));
    let files = Files::new();
    let events = real_events(60);
    let of_held = files.output("held", &held, "maxInFlight: 1");
    let of_one = files.output("one", &one, "");
    files.write(&[&of_held, &of_one]);
    let daemon = Daemon::start(files.args());
    let address = daemon.address();
    files.workdir.append(&events[..10]);
    held.wait_for("a request", |requests| requests.len() == 1);
    one.wait_for_items(10);
    // Changed,
    files.write(&[&of_held, &files.output("one", &one, "maxInFlight: 1")]);
    taken_over(&daemon, 1);
    files.workdir.append(&events[10..20]);
    one.wait_for_items(20);
    // removed, and one more, before it,
    files.write(&[&files.output("two", &two, ""), &of_held]);
    taken_over(&daemon, 2);
    two.wait_for_items(20);
    files.workdir.append(&events[20..30]);
    two.wait_for_items(30);
    // and the first one again.
    files.write(&[&of_held, &of_one, &files.output("two", &two, "")]);
    taken_over(&daemon, 3);
    one.wait_for_items(30);
    assert!(daemon.log().matches("output=\"held\"").count() == 1, "{}", daemon.log());
    assert_eq!(held.requests().len(), 1, "it was not sent again");
    gate.open();
    files.workdir.append(&events[30..]);
    for endpoint in [&held, &one, &two] {
        endpoint.wait_for_items(60);
        let mut arrived = endpoint.items();
        arrived.sort();
        let mut written = events.clone();
        written.sort();
        assert!(arrived == written, "each once");
    }
    assert_eq!(daemon.address(), address);
    for output in ["held", "one", "two"] {
        daemon.wait_for_metrics("all settled", |metrics| {
            count(metrics, "audit_shipper_delivered_events_total", &[("output", output)]) == 60
        });
    }
    assert_eq!(count(&daemon.metrics(), "audit_shipper_gaps_total", &[]), 0);
    assert_books_balance(&daemon);
}

/// One that is removed, and one that is changed, are in their grace; a new one and another that is changed are at work
/// meanwhile.
#[test]
fn a_dead_endpoint_holds_up_no_other_output_of_the_new_file() {
    let dead = ["removed", "changed"].map(|name| (name, Endpoint::start(|_, _| Answer::Hang)));
    let (one, two) = (Endpoint::start(|_, _| Answer::ok()), Endpoint::start(|_, _| Answer::ok()));
    let files = Files::new();
    let events = real_events(40);
    let grace = "shutdownGrace: 10m\n";
    let [removed, changed] = dead.each_ref().map(|(name, dead)| files.output(name, dead, ""));
    let write = |outputs: &[&str]| files.write_of_log("audit.log", grace, outputs);
    write(&[&removed, &changed, &files.output("one", &one, "")]);
    let daemon = Daemon::start(files.args());
    daemon.address();
    files.workdir.append(&events[..20]);
    one.wait_for_items(20);
    for (name, dead) in &dead {
        dead.wait_for(&format!("a request of {name}"), |requests| !requests.is_empty());
    }
    write(&[
        &files.output("changed", &one, "maxInFlight: 1"),
        &files.output("one", &one, "maxInFlight: 1"),
        &files.output("two", &two, ""),
    ]);
    taken_over(&daemon, 1);
    two.wait_for_items(20);
    files.workdir.append(&events[20..]);
    two.wait_for_items(40);
    one.wait_for_items(40);
    let mut arrived = one.items();
    arrived.sort();
    let mut written = events.clone();
    written.sort();
    assert!(arrived == written, "each once");
    let (code, body) = daemon.get("/readyz");
    assert!(code == 503 && body.contains("changed: stopping"), "{code} {body}");
}

#[test]
fn a_wrong_file_keeps_what_is_in_use_and_says_why() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let events = real_events(40);
    let output = files.output("siem", &endpoint, "");
    files.write(&[&output]);
    let daemon = Daemon::start(files.args());
    daemon.address();
    let successful = || daemon.metrics().value("audit_shipper_config_last_reload_successful", &[]) == 1.0;
    assert!(successful());
    files.write(&[&output, "  bufersize: 1\n  maxInFlight: 0\n"]);
    wait_until("both mistakes", || {
        (daemon.log().matches("the one before stays in use").count() == 2).then_some(())
    });
    for place in
        ["audit-shipper.yaml:11: outputs[0].bufersize: ", "audit-shipper.yaml:12: outputs[0].maxInFlight: "]
    {
        let told = daemon.log().lines().any(|line| line.contains("ERROR") && line.contains(place));
        assert!(told, "{place}: {}", daemon.log());
    }
    assert!(!successful());
    files.workdir.append(&events[..10]);
    endpoint.wait_for_items(10);
    // A file that is away for a moment is about to be replaced.
    fs::remove_file(files.path()).unwrap();
    daemon.hang_up();
    daemon.wait_for_line("SIGHUP");
    files.workdir.append(&events[10..20]);
    endpoint.wait_for_items(20);
    // A kubeconfig that is not there.
    files.write(&[&output.replace("siem.kubeconfig", "other.kubeconfig")]);
    let line = wait_until("the kubeconfig", || {
        daemon.log().lines().find(|line| line.contains("other.kubeconfig")).map(str::to_owned)
    });
    assert!(line.contains("ERROR") && line.contains("the one before stays in use"), "{line}");
    files.workdir.append(&events[20..30]);
    endpoint.wait_for_items(30);
    files.write(&[&output]);
    wait_until("a right one", || successful().then_some(()));
    assert!(!daemon.log().contains("taken over"), "{}", daemon.log());
    files.workdir.append(&events[30..]);
    endpoint.wait_for_items(40);
    assert!(daemon.log().matches(" shipping ").count() == 1, "{}", daemon.log());
    assert_books_balance(&daemon);
}

/// What takes a restart is told, and everything else of the file counts.
#[test]
fn the_address_and_the_state_directory_take_a_restart() {
    let (one, two) = (Endpoint::start(|_, _| Answer::ok()), Endpoint::start(|_, _| Answer::ok()));
    let files = Files::new();
    let events = real_events(20);
    let output = files.output("siem", &one, "maxInFlight: 1");
    files.write(&[&output]);
    let daemon = Daemon::start(files.args());
    let address = daemon.address();
    files.workdir.append(&events[..10]);
    one.wait_for_items(10);
    let text = fs::read_to_string(files.path()).unwrap();
    let kubeconfig = files.workdir.kubeconfig(&two.url());
    let other = text
        .replace("127.0.0.1:0", "127.0.0.2:0")
        .replace("/state\"", "/elsewhere\"")
        .replace(&*files.workdir.path("siem.kubeconfig").to_string_lossy(), &kubeconfig.to_string_lossy());
    replace(&files.path(), &other);
    taken_over(&daemon, 1);
    daemon.wait_for_line("bindAddress has changed, which takes a restart");
    daemon.wait_for_line("stateDir has changed, which takes a restart");
    wait_until("the other endpoint", || (daemon.log().matches(" shipping ").count() == 2).then_some(()));
    // If there is nothing else, it is told as well; once.
    replace(&files.path(), &other.replace("127.0.0.2:0", "127.0.0.3:0"));
    daemon.hang_up();
    daemon.wait_for_line("SIGHUP");
    daemon.hang_up();
    files.workdir.append(&events[10..]);
    two.wait_for_items(10);
    assert_eq!(daemon.log().matches("bindAddress has changed").count(), 1, "{}", daemon.log());
    assert!(one.items() == events[..10] && two.items() == events[10..]);
    assert_eq!(daemon.address(), address);
    assert!(!files.workdir.path("elsewhere").exists());
}

/// A directory gets another name, which the file is to say too: that is no other log.
#[test]
fn a_log_by_another_name_goes_on_where_it_is() {
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |_, _| if gate.is_open() { Answer::ok() } else { Answer::status(503) }
    });
    let files = Files::new();
    let events = real_events(60);
    let output = files.output("siem", &endpoint, "maxInFlight: 1");
    files.write(&[&output]);
    let log = files.workdir.log();
    let mut daemon = Daemon::start(files.args());
    daemon.address();
    let holds = |daemon: &Daemon| daemon.wait_until_holds(&log);
    files.workdir.append(&events[..10]);
    holds(&daemon);
    // Nobody but the daemon has it.
    let backup = log.with_file_name("audit-2026-01-02T03-04-05.000.log");
    fs::rename(&log, &backup).unwrap();
    files.workdir.append(&events[10..20]);
    holds(&daemon);
    fs::remove_file(backup).unwrap();
    let other = files.workdir.path("other");
    std::os::unix::fs::symlink(log.parent().unwrap(), &other).unwrap();
    let text = fs::read_to_string(files.path()).unwrap();
    let renamed = text.replace(&*log.to_string_lossy(), &other.join("audit.log").to_string_lossy());
    assert_ne!(text, renamed);
    replace(&files.path(), &renamed);
    taken_over(&daemon, 1);
    files.workdir.append(&events[20..40]);
    wait_until("a look by the other name", || {
        (daemon.log().matches(" shipping ").count() == 2 && daemon.log().contains("/other/audit.log"))
            .then_some(())
    });
    daemon.terminate();
    assert!(daemon.wait().success());
    let daemon = Daemon::start(files.args());
    daemon.address();
    gate.open();
    files.workdir.append(&events[40..]);
    endpoint.wait_for_items(60);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    assert_eq!(count(&daemon.metrics(), "audit_shipper_gaps_total", &[]), 0);
    assert!(!daemon.log().contains("the log is another one"), "{}", daemon.log());
}

/// A log that nobody writes any more, after another one that nobody writes any more.
#[test]
fn an_archive_is_shipped_though_nobody_writes_to_it() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let events = real_events(20);
    let output = files.output("siem", &endpoint, "");
    for (name, lines) in [("one.log", &events[..10]), ("two.log", &events[10..])] {
        let path = files.workdir.log().with_file_name(name);
        fs::write(&path, lines.concat()).unwrap();
        let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        fs::File::options().append(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
    }
    files.write_of_log("one.log", "", &[&output]);
    let daemon = Daemon::start(files.args());
    endpoint.wait_for_items(10);
    files.write_of_log("two.log", "", &[&output]);
    endpoint.wait_for_items(20);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    assert_eq!(count(&daemon.metrics(), "audit_shipper_gaps_total", &[]), 0);
}

/// Somebody names another log in the file, while events flow; and once more while nothing runs.
#[test]
fn another_log_is_gone_over_to_when_the_old_one_is_settled() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let events = real_events(80);
    let output = files.output("siem", &endpoint, "maxInFlight: 1");
    let append = |log: &str, lines: &[String]| {
        let path = files.workdir.log().with_file_name(log);
        crate::support::rotators::write_lines(&mut crate::support::rotators::appending(&path), lines);
    };
    files.write_of_log("old.log", "shutdownGrace: 1s\n", &[&output]);
    let mut daemon = Daemon::start(files.args());
    daemon.address();
    append("old.log", &events[..10]);
    endpoint.wait_for_items(10);
    files.write_of_log("new.log", "shutdownGrace: 2s\n", &[&output]);
    daemon.wait_for_line("the log is another one");
    append("old.log", &events[10..20]);
    endpoint.wait_for_items(20);
    append("new.log", &events[20..40]);
    endpoint.wait_for_items(40);
    daemon.wait_for_line("the old log is settled");
    daemon.terminate();
    assert!(daemon.wait().success());
    append("new.log", &events[40..60]);
    files.write_of_log("third.log", "", &[&output]);
    let daemon = Daemon::start(files.args());
    daemon.wait_for_line("the log is another one");
    append("third.log", &events[60..]);
    endpoint.wait_for_items(80);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    assert_eq!(count(&daemon.metrics(), "audit_shipper_gaps_total", &[]), 0);
}
