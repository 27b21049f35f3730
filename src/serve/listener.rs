//! Where connections come from: an address, or a socket in the file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that wait in the kernel's queue.
const BACKLOG: i32 = 64;
/// The owner of the daemon and its group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    /// At an address.
    Tcp(TcpListener),
    /// At a place in the file system.
    Unix(UnixListener),
}

/// One connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
            Self::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        })
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Listens at `path`. A socket that nobody listens at any more is replaced; anything else that is there is left alone.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // Who listens and does not answer, with its queue full, is not waited for: that is no refusal.
    if is_socket && rustix::net::connect(socket()?, &address) == Err(rustix::io::Errno::CONNREFUSED) {
        fs::remove_file(path)?;
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &address)?;
    // Before anybody can connect: nothing listens yet.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_hangs_keeps_its_socket_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("view.sock");
        let hanging = bind_socket(&path).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let waiting: Vec<OwnedFd> = (0..=BACKLOG).map(|_| socket().unwrap()).collect();
        assert!(
            waiting.iter().all(|socket| rustix::net::connect(socket, &address).is_ok()),
            "its queue is full"
        );
        assert_eq!(bind_socket(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(hanging);
    }

    #[tokio::test]
    async fn a_socket_of_the_dead_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("view.sock");
        let first = bind_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(bind_socket(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(bind_socket(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert_eq!(bind_socket(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
        // A link to a socket of the dead is somebody's, and so is a directory.
        let dead = directory.path().join("dead.sock");
        drop(bind_socket(&dead).unwrap());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&dead, &path).unwrap();
        assert_eq!(bind_socket(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink() && dead.exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(bind_socket(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
