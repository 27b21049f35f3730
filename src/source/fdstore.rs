//! Pins that outlive the process: systemd's file descriptor store.
//!
//! What is sent there stays open in systemd, over a crash and SIGKILL too, and is handed to the next start of the unit
//! (`FileDescriptorStoreMax=` in the unit file). It stays in the store then: whoever inherits a descriptor has it dropped
//! there under the same name, or systemd holds the disk space of a deleted file for as long as the unit is up.
//!
//! Both ways are best effort. Without systemd nothing happens; with it, a message that cannot be sent at once is not sent,
//! and the caller is told, so that it can try again at its next tick. (The kernel queues `net.unix.max_dgram_qlen` messages,
//! 512 under systemd. `sd_notify` would wait for room in that queue, which is why it is not used here.)

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr, sendto,
};

use super::keep::{Key, LogId};

/// The first descriptor that systemd hands over (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More descriptors than this are not looked at; `LimitNOFILE=` of the unit is the same.
const MOST: usize = 65_536;
/// What systemd takes as a descriptor's name.
const NAME_BYTES: usize = 255;

/// The way to systemd's store; none if systemd did not start us.
#[derive(Debug, Default)]
pub struct FdStore {
    way: Option<(UnixDatagram, SocketAddrUnix)>,
    failed: AtomicBool,
}

impl FdStore {
    /// The store of whoever started us: where `NOTIFY_SOCKET` leads.
    #[must_use]
    pub fn from_env() -> Self {
        std::env::var_os("NOTIFY_SOCKET").map_or_else(Self::default, |address| Self::at(&address))
    }

    /// The store behind the socket at `address`, a path, or after `@` a name without one.
    #[must_use]
    pub fn at(address: &OsStr) -> Self {
        let way = || {
            let address = match address.as_bytes() {
                [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
                path => SocketAddrUnix::new(path)?,
            };
            Ok::<_, io::Error>((UnixDatagram::unbound()?, address))
        };
        match way() {
            Ok(way) => Self { way: Some(way), failed: AtomicBool::new(false) },
            Err(error) => {
                tracing::debug!(%error, "no way to systemd's descriptor store");
                Self::default()
            }
        }
    }

    /// Has systemd hold `file` under `key`, which [`Key::encode`] made. Says whether it was sent; never waits.
    ///
    /// The same open file is held once, under the name that it was sent with first.
    pub fn keep(&self, key: &str, file: &File) -> bool {
        // FDPOLL=0: a regular file cannot be polled, and its descriptor must not go when something else says so.
        self.send(key, "FDSTORE=1\nFDPOLL=0\n", Some(file.as_fd()))
    }

    /// Has systemd close what it holds under `key`. Says whether it was sent; never waits. A `key` of which nothing is
    /// held does no harm, so the call may be made again.
    pub fn drop_kept(&self, key: &str) -> bool {
        self.send(key, "FDSTOREREMOVE=1\n", None)
    }

    fn send(&self, name: &str, what: &str, descriptor: Option<BorrowedFd<'_>>) -> bool {
        let Some((socket, address)) = &self.way else { return false };
        let is_name = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        let sent = if is_name && (1..=NAME_BYTES).contains(&name.len()) {
            send_to(socket, address, &format!("{what}FDNAME={name}\n"), descriptor)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        };
        if let Err(error) = &sent
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::debug!(name, %error, "systemd's descriptor store cannot be told; said once");
        }
        sent.is_ok()
    }
}

/// Sends at once or not at all: the caller may be the watcher's thread, and systemd may be slow to read its socket.
fn send_to(
    socket: &UnixDatagram,
    address: &SocketAddrUnix,
    message: &str,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = match descriptor {
        None => sendto(socket, message.as_bytes(), flags, address)?,
        Some(descriptor) => {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [descriptor];
            if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            sendmsg_addr(socket, address, &[IoSlice::new(message.as_bytes())], &mut control, flags)?
        }
    };
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// A pin of the process before us, which systemd still holds.
#[derive(Debug)]
pub struct Kept {
    /// Under what systemd holds it, for [`FdStore::drop_kept`].
    pub key: String,
    /// The log that it is a file of.
    pub log: LogId,
    /// Its place among the pins of the process before us.
    pub sequence: u64,
    /// Name of the file when it was pinned, without directory and `.gz`; a hint.
    pub name: String,
    /// Whether the file is compressed.
    pub gz: bool,
    /// The file, at its beginning. The position is shared with systemd's descriptor, and so with the process after us.
    pub file: File,
}

/// The pins that systemd hands back, by sequence. Whatever else was handed over is closed, and dropped from the store.
///
/// To be called once, before the process opens anything that lasts (the runtime, sockets) and starts a child. Should a
/// descriptor be in use nevertheless, it is left alone; a second call finds nothing. The variables stay as they are: to
/// remove one is not safe, and `LISTEN_PID` keeps a child from believing them.
#[must_use]
pub fn inherited() -> Vec<Kept> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let variable = |name| std::env::var(name).ok();
    let number = |name| variable(name).and_then(|text| text.parse::<usize>().ok());
    let for_us = number("LISTEN_PID").is_some_and(|pid| pid == std::process::id() as usize);
    if !for_us || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat(""));
    let count = number("LISTEN_FDS").unwrap_or(0).min(MOST);
    let store = FdStore::from_env();
    let mut kept: Vec<Kept> = (FIRST..)
        .zip(names)
        .take(count)
        .filter_map(|(number, name)| {
            let found = pin_of(name, take(number)?);
            if found.is_none() && !name.is_empty() {
                store.drop_kept(name);
            }
            found
        })
        .collect();
    kept.sort_by_key(|kept| kept.sequence);
    kept
}

fn pin_of(name: &str, descriptor: OwnedFd) -> Option<Kept> {
    let mut file = File::from(descriptor);
    let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let key = Key::decode(name).filter(|_| regular);
    // The process before us moved the position, which belongs to the open file and not to the descriptor.
    if key.is_none() || file.rewind().is_err() {
        tracing::debug!(name, "inherited a descriptor that is no pin");
        return None;
    }
    let Key { log, sequence, name: base, gz } = key?;
    Some(Kept { key: name.to_owned(), log, sequence, name: base, gz, file })
}

/// Makes an inherited descriptor ours, to be closed when dropped and not to be inherited any further.
///
/// `None` if it is not open, or not inherited. What crossed `execve` is never close-on-exec; what std, tokio or we open,
/// or have taken here, always is. The kernel says which in `fdinfo`.
#[expect(unsafe_code, reason = "nothing safe makes a number that was inherited an owned descriptor")]
fn take(number: RawFd) -> Option<OwnedFd> {
    let information = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = information.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u64::from_str_radix(flags.trim(), 8).ok()?;
    if flags & u64::from(rustix::fs::OFlags::CLOEXEC.bits()) != 0 {
        return None;
    }
    // SAFETY: the descriptor is open, and nobody owns it: it was open before `main`, systemd gave it to this very process
    // (`LISTEN_PID`), it has not been taken before (close-on-exec would be set, and `inherited` runs once), and it is
    // none of the first three, which std uses.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&owned, FdFlags::CLOEXEC).ok()?;
    Some(owned)
}

#[cfg(test)]
mod tests;
