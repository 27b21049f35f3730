//! What systemd does for a unit with `Type=notify` and a descriptor store: takes its messages, holds descriptors under
//! their names, hands them to the next start.

use std::ffi::OsStr;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use command_fds::{CommandFdExt, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::wait_until;

/// Gives the process that it becomes its own number: only then are descriptors meant for it.
const BECOME: &str = r#"LISTEN_PID=$$; export LISTEN_PID; exec "$@""#;

/// A service manager for one unit.
pub(crate) struct Systemd {
    directory: TempDir,
    unit: Arc<Mutex<Unit>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Unit {
    /// Every assignment of every message, in order.
    said: Vec<String>,
    store: Vec<(String, OwnedFd)>,
}

impl Systemd {
    /// Listens for messages.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        let (unit, stop) = (Arc::new(Mutex::new(Unit::default())), Arc::new(AtomicBool::new(false)));
        let listener = std::thread::spawn({
            let (unit, stop) = (Arc::clone(&unit), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let (message, descriptors) = receive(&socket);
                    unit.lock().unwrap().take(&message, descriptors);
                }
            }
        });
        Self { directory, unit, stop, listener: Some(listener) }
    }

    /// `audit-shipper` with these arguments, started as a unit: what is in the store is handed over and stays there.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_audit-shipper"), args)
    }

    /// Another program, started in the same way.
    pub(crate) fn command_of<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("sh");
        Daemon::isolate(&mut command);
        command.args(["-c", BECOME, "sh", program]).args(args);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        let unit = self.unit.lock().unwrap();
        if !unit.store.is_empty() {
            let names: Vec<&str> = unit.store.iter().map(|(name, _)| name.as_str()).collect();
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        let mappings = (3..).zip(&unit.store).map(|(child_fd, (_, descriptor))| FdMapping {
            parent_fd: descriptor.try_clone().unwrap(),
            child_fd,
        });
        command.fd_mappings(mappings.collect()).unwrap();
        command
    }

    /// Names of the descriptors that are held now, in the order in which they came.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.unit.lock().unwrap().store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Everything that was said so far: `READY=1`, `STOPPING=1`, `FDSTORE=1`, ...
    pub(crate) fn said(&self) -> Vec<String> {
        self.unit.lock().unwrap().said.clone()
    }

    /// Waits until this was said.
    pub(crate) fn wait_for(&self, assignment: &str) {
        wait_until(&format!("{assignment} to systemd"), || {
            self.said().iter().any(|said| said == assignment).then_some(())
        });
    }

    /// Gives up what it holds, as it does when the unit was stopped and not restarted.
    pub(crate) fn forget(&self) {
        self.unit.lock().unwrap().store.clear();
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let waker = UnixDatagram::unbound().unwrap();
        let woken = waker.send_to(b"\n", self.directory.path().join("notify"));
        if let (Ok(_), Some(listener)) = (woken, self.listener.take()) {
            let _ = listener.join();
        }
    }
}

impl Unit {
    fn take(&mut self, message: &str, descriptors: Vec<OwnedFd>) {
        let lines: Vec<&str> = message.lines().filter(|line| !line.is_empty()).collect();
        let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        if lines.contains(&"FDSTOREREMOVE=1") {
            self.store.retain(|(held, _)| held != name);
        } else if lines.contains(&"FDSTORE=1") {
            self.store.extend(descriptors.into_iter().map(|descriptor| (name.to_owned(), descriptor)));
        }
        self.said.extend(lines.iter().map(|line| (*line).to_owned()));
    }
}

fn receive(socket: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
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

#[test]
fn descriptors_survive_from_one_start_to_the_next() {
    use audit_shipper::source::fdstore::FdStore;

    let systemd = Systemd::new();
    let store = FdStore::at(systemd.directory.path().join("notify").as_os_str());
    for number in 1..=12 {
        let path = systemd.directory.path().join("deleted");
        std::fs::write(&path, format!("file {number}\n")).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        // The kernel queues no more than `net.unix.max_dgram_qlen`, ten where systemd has not raised it.
        wait_until("room in the queue", || store.keep(&format!("key-{number}"), &file).then_some(()));
    }
    wait_until("room in the queue", || store.drop_kept("key-1").then_some(()));
    systemd.wait_for("FDSTOREREMOVE=1");
    assert_eq!(systemd.stored().len(), 11);

    let script =
        "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$ && cat /proc/self/fd/3 /proc/self/fd/13";
    let run = || {
        let output = systemd.command_of("sh", ["-c", script]).stdout(std::process::Stdio::piped()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let names: Vec<String> = (2..=12).map(|number| format!("key-{number}")).collect();
    let expected = format!("11 {}\nfile 2\nfile 12\n", names.join(":"));
    // They stay in the store until they are dropped there.
    assert_eq!([run(), run()], [expected.clone(), expected]);
    systemd.forget();
    assert!(systemd.stored().is_empty());
}

#[test]
fn the_daemon_says_when_it_is_ready_and_when_it_stops() {
    use super::endpoint::{Answer, Endpoint};
    use super::shipper::Shipper;

    let systemd = Systemd::new();
    let shipper = Shipper::new(&Endpoint::start(|_, _| Answer::ok()));
    let mut daemon = Daemon::spawn(systemd.command(shipper.args()));
    systemd.wait_for("READY=1");
    daemon.terminate();
    assert!(daemon.wait().success());
    systemd.wait_for("STOPPING=1");
}
