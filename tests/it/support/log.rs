//! What a process says on its standard error: all that it has said when somebody asks.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::ChildStderr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;

/// Taken from the pipe by a thread, or the process would wait for room in it; and by whoever asks, since on a busy machine that
/// thread may be behind.
pub(super) struct Log {
    said: Arc<Said>,
    reader: Option<JoinHandle<()>>,
}

struct Said {
    pipe: File,
    bytes: Mutex<Vec<u8>>,
}

impl Log {
    pub(super) fn of(pipe: ChildStderr) -> Self {
        let said = Arc::new(Said { pipe: OwnedFd::from(pipe).into(), bytes: Mutex::default() });
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || said.take_all()
        });
        Self { said, reader: Some(reader) }
    }

    /// Every line so far; at the end half a line too.
    pub(super) fn text(&self) -> String {
        let is_complete = self.is_complete();
        self.said.take();
        let bytes = self.said.bytes.lock().unwrap();
        let end_of_lines = || memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1);
        let end = if is_complete { bytes.len() } else { end_of_lines() };
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Whether there will be nothing more.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of it.
    pub(super) fn complete(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Said {
    /// Until nobody has the other end any more.
    fn take_all(&self) {
        loop {
            let mut ends = [PollFd::new(&self.pipe, PollFlags::IN)];
            let is_over = poll(&mut ends, None).is_ok() && ends[0].revents().contains(PollFlags::HUP);
            if self.take() == 0 && is_over {
                return;
            }
        }
    }

    /// Takes what is in the pipe, and says how much that is.
    fn take(&self) -> u64 {
        let mut bytes = self.bytes.lock().unwrap();
        let there = ioctl_fionread(&self.pipe).unwrap();
        (&self.pipe).take(there).read_to_end(&mut bytes).unwrap();
        there
    }
}
