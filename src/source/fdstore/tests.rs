use std::io::{IoSliceMut, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;

/// What stands for systemd's end of the socket.
fn systemd() -> (tempfile::TempDir, UnixDatagram, FdStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let store = FdStore::at(path.as_os_str());
    (dir, socket, store)
}

fn receive(socket: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    (String::from_utf8(bytes[..received.bytes].to_vec()).unwrap(), descriptors)
}

fn key(sequence: u64, name: &str, gz: bool) -> String {
    Key { log: LogId::of(Path::new("audit.log")), sequence, name: name.into(), gz }.encode()
}

fn deleted(dir: &Path, content: &str) -> File {
    let path = dir.join("deleted");
    std::fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

#[test]
fn a_deleted_file_reaches_systemd_under_its_key() {
    let (dir, socket, store) = systemd();
    let key = key(5, "audit 1.log", false);
    assert!(store.keep(&key, &deleted(dir.path(), "the rest")));
    let (message, descriptors) = receive(&socket);
    assert_eq!(message, format!("FDSTORE=1\nFDPOLL=0\nFDNAME={key}\n"));
    let [descriptor] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
    let mut text = String::new();
    File::from(descriptor).read_to_string(&mut text).unwrap();
    assert_eq!(text, "the rest");

    assert!(store.drop_kept(&key));
    let (message, descriptors) = receive(&socket);
    assert_eq!(message, format!("FDSTOREREMOVE=1\nFDNAME={key}\n"));
    assert!(descriptors.is_empty());
}

#[test]
fn a_socket_without_a_path_works_too() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("audit-shipper-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    assert!(FdStore::at(OsStr::new(&format!("@{name}"))).drop_kept("key"));
    assert_eq!(receive(&socket).0, "FDSTOREREMOVE=1\nFDNAME=key\n");
}

#[test]
fn a_queue_that_is_full_is_not_waited_for() {
    let (dir, _socket, store) = systemd();
    let file = deleted(dir.path(), "");
    let started = Instant::now();
    let sent = (0..100_000).take_while(|_| store.keep("key", &file)).count();
    assert!(sent < 100_000 && !store.drop_kept("key"), "the queue never filled up");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn nobody_there_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = deleted(dir.path(), "");
    let nowhere = dir.path().join("nowhere");
    let too_long = format!("/{}", "x".repeat(200));
    let stores = [FdStore::default(), FdStore::at(nowhere.as_os_str()), FdStore::at(OsStr::new(&too_long))];
    for store in stores {
        assert!(!store.keep("key", &file) && !store.drop_kept("key"));
    }
}

#[test]
fn a_name_cannot_smuggle_in_another_message() {
    let (_dir, _socket, store) = systemd();
    for name in ["", "a\nSTOPPING=1", "a:b", "a b", "ü", &"a".repeat(256)] {
        assert!(!store.drop_kept(name), "{name}");
    }
    assert!(store.drop_kept(&"a".repeat(255)));
}

#[test]
fn outside_of_systemd_nothing_is_inherited() {
    assert!(std::env::var_os("LISTEN_PID").is_some() || inherited().is_empty());
}

/// The process that inherits, when the test below runs it; by itself it is nothing.
#[test]
fn heir() {
    if std::env::var_os("LISTEN_FDNAMES").is_none() {
        return;
    }
    let targets = || (3..7).map(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).ok());
    let before: Vec<_> = targets().collect();
    let kept = inherited();
    for Kept { key, log, sequence, name, gz, mut file } in kept {
        let mut text = String::new();
        assert_eq!(log, LogId::of(Path::new("audit.log")));
        file.read_to_string(&mut text).unwrap();
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
        println!("KEPT {key} {sequence} {name} {gz} {text}");
    }
    let after: Vec<_> = targets().collect();
    // All closed by now: kept ones were dropped above, the others never came out.
    assert!(before.iter().zip(&after).all(|(before, after)| before.is_some() && before != after));
    assert!(inherited().is_empty());
    // What was opened in their place stays open.
    let mut files: Vec<File> = (0..4).map(|_| File::open("/proc/self/stat").unwrap()).collect();
    assert!(inherited().is_empty());
    assert!((3..7).all(|number| take(number).is_none()), "what is in use is never taken");
    for file in &mut files {
        assert!(file.read_to_string(&mut String::new()).unwrap() > 0);
    }
}

#[test]
fn what_systemd_hands_back_is_taken_and_all_else_is_closed() {
    let (dir, socket, _) = systemd();
    let key = |sequence, gz| key(sequence, "a:b.log", gz);
    let mut read_already = deleted(dir.path(), "second");
    read_already.read_to_string(&mut String::new()).unwrap();
    let descriptors: [OwnedFd; 4] = [
        read_already.into(),
        deleted(dir.path(), "first").into(),
        deleted(dir.path(), "whose").into(),
        File::open(dir.path()).unwrap().into(),
    ];
    let mappings = (3..).zip(descriptors).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    let mut command = Command::new("sh");
    command
        .args(["-c", "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "source::fdstore::tests::heir", "--nocapture", "--test-threads=1"])
        .env("LISTEN_FDS", "4")
        .env("LISTEN_FDNAMES", format!("{}:{}:stored:{}", key(9, false), key(8, true), key(7, false)))
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .fd_mappings(mappings.collect())
        .unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let kept: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once("KEPT ")?.1)).collect();
    let expected = [
        format!("{} 8 a:b.log true first", key(8, true)),
        format!("{} 9 a:b.log false second", key(9, false)),
    ];
    assert_eq!(kept, expected);
    // What is no pin would be handed over at each start, and hold its disk space all that time.
    assert_eq!(receive(&socket).0, "FDSTOREREMOVE=1\nFDNAME=stored\n");
    assert_eq!(receive(&socket).0, format!("FDSTOREREMOVE=1\nFDNAME={}\n", key(7, false)));
}
