//! Destinations that are no servers: nothing is made, and nothing is written.

use super::{assert_failed, connect, good, reached};
use crate::support::cli::audit_shipper;
use crate::support::shipper::Shipper;
use crate::support::workdir::real_events;

fn to_file(path: &str) -> Shipper {
    let shipper = Shipper::to("http://unused.test");
    let path = shipper.workdir.path(path).display().to_string();
    shipper.sink("file", &format!("path: \"{path}\""))
}

#[test]
fn a_file_that_can_be_made_is_not() {
    let shipper = to_file("events.log");
    let said = good(connect(&shipper));
    assert!(said.contains("shown        the file can be made\n"), "{said}");
    assert!(said.contains(" are free on its file system\n"), "{said}");
    assert!(!shipper.workdir.path("events.log").exists());
}

#[test]
fn a_file_that_is_there_stays_as_it_is() {
    let shipper = to_file("events.log");
    let path = shipper.workdir.path("events.log");
    std::fs::write(&path, "{\"torn\":").unwrap();
    assert!(good(connect(&shipper)).contains("the file can be written to"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"torn\":");
    std::fs::write(&path, "something else\n").unwrap();
    assert_failed(&connect(&shipper), "holds something else than events", "`file.path`");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let shipper = to_file("no/events.log");
    assert_failed(&connect(&shipper), "its directory does not exist", "`file.path`");
    assert!(!shipper.workdir.path("no").exists());
}

/// Whoever checks the configuration of a daemon that runs must not be told that it is wrong.
#[test]
fn a_file_that_another_process_writes_to_is_told() {
    let writing = to_file("events.log").log(&real_events(3));
    let path = writing.workdir.path("events.log");
    let daemon = writing.start();
    crate::support::wait_until("events in the file", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 3).then_some(())
    });
    let shipper = Shipper::to("http://unused.test").sink("file", &format!("path: \"{}\"", path.display()));
    let said = reached(connect(&shipper));
    assert!(said.contains("not shown    that nobody else writes to the file"), "{said}");
    drop(daemon);
    good(connect(&shipper));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[test]
fn there_is_nothing_to_try_of_standard_output() {
    let shipper = Shipper::to("http://unused.test").sink("stdout", "");
    let ended = connect(&shipper);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "siem: nothing to try\n  destination  stdout standard output\n");
    let yaml = shipper.workdir.path("printed.yaml");
    std::fs::write(&yaml, &ended.stdout).unwrap();
    assert_eq!(audit_shipper(["check", "--config", yaml.to_str().unwrap()]).succeeded(), ended.stdout);
}
