//! The key: of one master or of all, and what is wrong with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{MARK, shipper, singing_events};
use crate::support::cli::{Ended, audit_shipper};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;

/// What arrives of a Secret, from a daemon whose `redact` has these fields.
fn arrived(fields: &str) -> String {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).redact(fields).log(&singing_events()[..1]);
    let _daemon = shipper.start();
    endpoint.wait_for_items(1).remove(0)
}

fn write_key(path: &Path, bytes: usize, mode: u32) -> String {
    std::fs::write(path, vec![7; bytes]).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    format!("keyFile: \"{}\"", path.display())
}

#[test]
fn masters_that_share_a_key_write_equal_marks_and_others_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let shared = write_key(&directory.path().join("key"), 32, 0o600);
    assert!(arrived(&shared).contains(MARK));
    assert_eq!(arrived(&shared), arrived(&shared));
    let own = arrived("enabled: true");
    assert_ne!(own, arrived(&shared));
    assert_ne!(own, arrived("enabled: true"));
}

#[test]
fn the_key_of_a_state_directory_outlives_the_daemon() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let event = &singing_events()[..1];
    let shipper = shipper(&endpoint).log(event);
    let mut daemon = shipper.start();
    let first = endpoint.wait_for_items(1);
    daemon.kill9();
    let key = shipper.workdir.state().join("redact.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    shipper.workdir.append(event);
    let _daemon = shipper.start();
    // The first one may come twice.
    let items = endpoint.wait_for_items(2);
    assert!(items.iter().all(|item| *item == first[0]), "{items:?}");
}

fn command(name: &str, shipper: &Shipper) -> Ended {
    let mut args = shipper.args();
    name.clone_into(&mut args[0]);
    audit_shipper(args)
}

#[test]
fn mistakes_in_the_key_file_name_the_field_and_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let shipper = |fields: &str| Shipper::to("http://127.0.0.1:1").redact(fields);
    let fields = format!("keyFile: \"{}\"", path.display());
    for (bytes, what) in [
        (None, format!("cannot read {}: No such file", path.display())),
        (Some(31), format!("{} holds 31 bytes; legal are 32 random bytes and more", path.display())),
    ] {
        if let Some(bytes) = bytes {
            write_key(&path, bytes, 0o600);
        }
        let shipper = shipper(&fields);
        for name in ["run", "check"] {
            let ended = command(name, &shipper);
            let [mistake] = ended.mistakes()[..] else { panic!("{}", ended.stderr) };
            assert!(mistake.starts_with(&format!("outputs[0].redact.keyFile: {what}")), "{mistake}");
        }
        // With other mistakes it is told as well.
        let both = command("check", &shipper.flag("audit-webhook-mode", "sometimes"));
        assert_eq!(both.mistakes().len(), 2, "{}", both.stderr);
    }
    // Nobody needs it.
    let off = command("check", &shipper(&format!("enabled: false, {fields}")));
    assert!(off.succeeded().contains("redact: { enabled: false, keyFile: "));
}

#[test]
fn a_key_that_everybody_can_read_is_worth_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for (mode, is_told) in [(0o644, true), (0o640, false)] {
        let shipper = Shipper::to("http://127.0.0.1:1").redact(&write_key(&path, 64, mode));
        let checked = command("check", &shipper);
        let warning =
            format!("warning: outputs[0].redact.keyFile: {} can be read by everybody", path.display());
        assert_eq!(checked.stderr.starts_with(&warning), is_told, "{}", checked.stderr);
        checked.succeeded();
        let state = std::fs::read_dir(shipper.workdir.state()).unwrap();
        assert_eq!(state.count(), 0, "`check` makes nothing");
    }
}
