//! `audit-shipper demo`: what it refuses before it starts anything.

use crate::support::daemon::Daemon;
use crate::support::workdir::Workdir;

#[test]
fn a_directory_that_is_not_empty_is_left_alone() {
    let workdir = Workdir::new();
    let keep = format!("--keep={}", workdir.path("").display());
    let mut demo = Daemon::start(["demo", &keep]);
    assert_eq!(demo.wait().code(), Some(1));
    assert!(demo.log().contains("it is not empty"), "{}", demo.log());
    assert!(!workdir.path("receive.stderr").exists());
}

#[test]
fn no_events_are_no_demo() {
    assert_eq!(Daemon::start(["demo", "--events=0"]).wait().code(), Some(2));
}
