//! Shows how far the demo is.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::shown::grouped;

/// Between two lines where none can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How many events came how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) shipped: u64,
    pub(super) received: u64,
    pub(super) rotations: u64,
}

/// One line redrawn on a terminal, or a line a second.
pub(super) struct Progress<W> {
    out: W,
    redraw: bool,
    /// A redrawn line waits for its end.
    open: bool,
    printed: Option<Instant>,
}

impl<W: Write> Progress<W> {
    pub(super) fn new(out: W, redraw: bool) -> Self {
        Self { out, redraw, open: false, printed: None }
    }

    /// What runs where.
    pub(super) fn introduce(
        &mut self,
        workdir: &Path,
        receiver: SocketAddr,
        daemon: SocketAddr,
    ) -> io::Result<()> {
        self.print(&format!(
            "log       {}\n\
             daemon    http://{daemon}/metrics\n\
             receiver  http://{receiver}/audit\n\n",
            workdir.join("log/audit.log").display()
        ))
    }

    pub(super) fn show(&mut self, counts: Counts) -> io::Result<()> {
        let Counts { written, shipped, received, rotations } = counts;
        let [written, shipped, received] = [written, shipped, received].map(grouped);
        let line =
            format!("written {written}  shipped {shipped}  received {received}  rotations {rotations}");
        if self.redraw {
            self.open = true;
            write!(self.out, "\r\x1b[K{line}")?;
            return self.out.flush();
        }
        if self.printed.is_none_or(|printed| printed.elapsed() >= LINE_EVERY) {
            self.printed = Some(Instant::now());
            self.print(&(line + "\n"))?;
        }
        Ok(())
    }

    /// Leaves the line that was redrawn.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) { self.print("\n") } else { Ok(()) }
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts { written: 1234, shipped: 400, received: 400, rotations: 2 };

    #[test]
    fn a_terminal_has_one_line() {
        let mut progress = Progress::new(Vec::new(), true);
        progress.show(Counts::default()).unwrap();
        progress.show(COUNTS).unwrap();
        progress.end().unwrap();
        progress.end().unwrap();
        assert_eq!(
            String::from_utf8(progress.out).unwrap(),
            "\r\x1b[Kwritten 0  shipped 0  received 0  rotations 0\
             \r\x1b[Kwritten 1,234  shipped 400  received 400  rotations 2\n"
        );
    }

    #[test]
    fn elsewhere_lines_come_once_a_second() {
        let mut progress = Progress::new(Vec::new(), false);
        progress.show(COUNTS).unwrap();
        progress.show(COUNTS).unwrap();
        progress.end().unwrap();
        assert_eq!(
            String::from_utf8(progress.out).unwrap(),
            "written 1,234  shipped 400  received 400  rotations 2\n"
        );
    }
}
