//! `cursor show | reset | skip`, and where an output begins that has no cursor.

use std::path::PathBuf;

use crate::support::cli::{Ended, audit_shipper, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, lines};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, lines_of, real_events};
use crate::support::writer::assert_each_once;

fn cursor(workdir: &Workdir, words: &[&str]) -> Ended {
    let state = format!("--state-dir={}", workdir.state().display());
    audit_shipper(["cursor"].iter().chain(words).map(|word| (*word).to_owned()).chain([state]))
}

fn skip(workdir: &Workdir) -> Ended {
    let log = format!("--audit-log-path={}", workdir.log().display());
    cursor(workdir, &["skip", "--output=webhook", &log])
}

/// Ships the log until `count` items have arrived, and stops.
fn ship(workdir: &Workdir, endpoint: &Endpoint, count: usize) {
    let mut daemon = Daemon::start(flags("run", workdir));
    endpoint.wait_for_items(count);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
}

fn shipped(count: usize) -> (Workdir, Endpoint) {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    workdir.append(&real_events(count));
    ship(&workdir, &endpoint, count);
    (workdir, endpoint)
}

#[test]
fn show_tells_where_each_output_stands() {
    let workdir = Workdir::new();
    let none = format!("no output has a cursor in {}\n", workdir.state().display());
    assert_eq!(cursor(&workdir, &["show"]).succeeded(), none);

    let (workdir, _endpoint) = shipped(5);
    let shown = cursor(&workdir, &["show"]).succeeded();
    let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    let size = std::fs::metadata(workdir.log()).unwrap().len().to_string();
    assert_eq!(row, ["webhook", &size, "audit.log", "0"], "{shown}");

    std::fs::write(workdir.state().join("other.cursor.json"), "spoilt\n").unwrap();
    let shown = cursor(&workdir, &["show"]).succeeded();
    assert!(shown.contains("other                unreadable: slot 1: "), "{shown}");

    let nowhere = audit_shipper(["cursor", "show", "--state-dir=/nowhere"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere.errors()[0].starts_with("the state directory /nowhere: No such file"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn a_cursor_that_could_not_be_written_is_written_later_though_nothing_follows() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    workdir.append(&real_events(5));
    let in_the_way = workdir.state().join("webhook.cursor.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let daemon = Daemon::start(flags("run", &workdir));
    daemon.wait_for_line("the cursor cannot be written");
    endpoint.wait_for_items(5);
    std::fs::remove_dir(&in_the_way).unwrap();
    daemon.wait_for_line("the cursor can be written again");
    assert!(workdir.state().join("webhook.cursor.json").exists());
}

#[test]
fn the_configuration_file_names_the_state_directory() {
    let (workdir, _endpoint) = shipped(1);
    let file = workdir.path("f.yaml");
    let yaml = audit_shipper(flags("check", &workdir)).succeeded();
    std::fs::write(&file, yaml).unwrap();
    let shown = audit_shipper(["cursor".to_owned(), "show".into(), format!("--config={}", file.display())]);
    assert!(shown.succeeded().contains("\nwebhook "));
    std::fs::write(&file, "outputs: 1\n").unwrap();
    let wrong = audit_shipper(["cursor".to_owned(), "show".into(), format!("--config={}", file.display())]);
    assert!(!wrong.mistakes().is_empty());
}

#[test]
fn reset_and_skip_leave_a_running_daemon_alone() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    workdir.append(&real_events(2));
    let daemon = Daemon::start(flags("run", &workdir));
    endpoint.wait_for_items(2);
    let holder = format!("is held by process {};", daemon.pid());
    for refused in [cursor(&workdir, &["reset", "--output=webhook"]), skip(&workdir)] {
        assert_eq!(refused.code, Some(1));
        assert!(refused.errors()[0].contains(&holder), "{}", refused.stderr);
    }
    // To look does no harm.
    assert!(cursor(&workdir, &["show"]).succeeded().contains("webhook"));
    workdir.append(&real_events(3)[2..]);
    assert_eq!(endpoint.wait_for_items(3), real_events(3));
}

#[test]
fn reset_sends_everything_again() {
    let (workdir, endpoint) = shipped(4);
    let said = cursor(&workdir, &["reset", "--output=webhook"]).succeeded();
    assert_eq!(said, "webhook: begins at the oldest file\n");
    ship(&workdir, &endpoint, 8);
    assert_eq!(endpoint.items(), [real_events(4), real_events(4)].concat());
}

#[test]
fn an_unknown_output_is_answered_with_the_known() {
    let (workdir, _endpoint) = shipped(1);
    let state = workdir.state();
    for command in ["reset", "skip"] {
        let ended = cursor(&workdir, &[command, "--output=siem"]);
        assert_eq!(ended.code, Some(1));
        let said =
            format!("the output siem has no cursor in {}; those that have one: webhook", state.display());
        assert_eq!(ended.errors(), [said]);
    }
    assert!(!state.join("siem.cursor.json").exists());
    assert_eq!(
        cursor(&workdir, &["skip", "--output=webhook"]).errors(),
        ["which log? Give --config or --audit-log-path"]
    );
}

#[test]
fn skip_sets_the_event_at_the_head_aside_and_the_next_run_goes_on() {
    let workdir = Workdir::new();
    let events = real_events(5);
    let poisoned = events[2].clone();
    let endpoint = Endpoint::start(move |request, _| {
        Answer::status(if lines(request).contains(&poisoned) { 422 } else { 200 })
    });
    workdir.kubeconfig(&endpoint.url());
    workdir.append(&events);
    let mut args = flags("run", &workdir);
    args.push("--audit-webhook-mode=blocking-strict".to_owned());
    let mut daemon = Daemon::start([args.as_slice(), &["--shutdown-grace=0".to_owned()]].concat());
    endpoint.wait_for_items(2);
    daemon.wait_for_line("the endpoint refuses an event");
    assert_eq!(daemon.get("/readyz").0, 503);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(endpoint.items(), events[..2]);

    let said = skip(&workdir).succeeded();
    let bytes = events[2].trim_end().len();
    assert!(said.starts_with(&format!("webhook: set aside one line of {bytes} bytes (SHA-256 ")), "{said}");
    let rejected = lines_of(&workdir.state().join("webhook.rejected.ndjson"));
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].contains(r#""reason":"skipped""#) && rejected[0].contains(events[2].trim_end()));

    let mut daemon = Daemon::start(args);
    endpoint.wait_for_items(4);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(endpoint.items(), [&events[..2], &events[3..]].concat());

    let nothing = skip(&workdir);
    assert_eq!(nothing.code, Some(1));
    let said = format!("nothing to skip: webhook has sent everything that is in {}", workdir.log().display());
    assert_eq!(nothing.errors(), [said]);
}

#[test]
fn a_file_of_no_output_is_left_alone() {
    let (workdir, _endpoint) = shipped(1);
    let name = "x\u{1b}[2J";
    for suffix in ["cursor.json", "rejected.ndjson"] {
        std::fs::write(workdir.state().join(format!("{name}.{suffix}")), "{}\n").unwrap();
    }
    let state = format!("--state-dir={}", workdir.state().display());
    for words in [
        ["cursor", "show", &state].as_slice(),
        &["rejected", "list", &state],
        &["rejected", "drop", "--output=y", &state],
    ] {
        let ended = audit_shipper(words.iter().map(|word| (*word).to_owned()));
        let said = ended.stdout + &ended.stderr;
        assert!(!said.contains('\u{1b}') && !said.contains("[2J"), "{said:?}");
    }
}

#[test]
fn a_state_directory_that_does_not_exist_is_not_made() {
    let workdir = Workdir::new();
    let nowhere = workdir.path("nowhere");
    for command in ["reset", "skip"] {
        let state = format!("--state-dir={}", nowhere.display());
        let ended = audit_shipper(["cursor", command, "--output=webhook", &state]);
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.errors(), [format!("the state directory {} does not exist", nowhere.display())]);
        assert!(!nowhere.exists());
    }
}

/// Waits until the daemon holds the live log open.
fn wait_until_it_reads(daemon: &Daemon, log: &std::path::Path) {
    let descriptors = PathBuf::from(format!("/proc/{}/fd", daemon.pid()));
    wait_until("the daemon to open the log", || {
        let mut links = std::fs::read_dir(&descriptors).unwrap().flatten();
        links.find(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == log))
    });
}

#[test]
fn a_new_output_may_begin_at_the_newest_event() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    let events = real_events(9);
    workdir.append(&events[..3]);
    std::fs::write(workdir.log_dir().join("audit-2026-11-22T01-02-03.456.log"), events[3..5].concat())
        .unwrap();
    std::fs::write(workdir.path("f.yaml"), "source: { startAt: newest }\n").unwrap();
    let mut args = flags("run", &workdir);
    args.push(format!("--config={}", workdir.path("f.yaml").display()));
    let mut daemon = Daemon::start(&args);
    wait_until_it_reads(&daemon, &workdir.log());
    workdir.append(&events[5..7]);
    endpoint.wait_for_items(2);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    // It counts only where there has never been a cursor: what is written meanwhile is not left out.
    workdir.append(&events[7..]);
    let _daemon = Daemon::start(&args);
    // The first two may be batches of their own, and either of them the first to arrive.
    assert_each_once(events[5..].to_vec(), endpoint.wait_for_items(4));
}
