//! How far reading is: one line, redrawn, for somebody who waits.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use crate::shown::{self, Screen};

/// Between two drawings.
pub(super) const TICK: Duration = Duration::from_millis(200);
const BAR_COLUMNS: usize = 24;

/// Draws on a terminal; does nothing where there is none.
#[derive(Debug)]
pub struct Progress<W> {
    out: Option<W>,
    began: Instant,
    drawn: bool,
    screen: Screen,
}

impl Progress<io::Stderr> {
    /// On the standard error, if that is a terminal.
    #[must_use]
    pub fn on_stderr() -> Self {
        let stderr = io::stderr();
        Self::new(stderr.is_terminal().then_some(stderr))
    }
}

impl<W: Write> Progress<W> {
    /// Draws on `out`.
    #[must_use]
    pub fn new(out: Option<W>) -> Self {
        Self { out, began: Instant::now(), drawn: false, screen: Screen::of_stdout() }
    }

    /// Shows that so many bytes of so many were read.
    pub(super) fn show(&mut self, bytes: u64, of: Option<u64>) {
        let Some(out) = &mut self.out else { return };
        let line = line(&self.screen, bytes, of, self.began.elapsed());
        self.drawn = true;
        // Somebody who cannot see it does not miss it.
        let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if let (Some(out), true) = (&mut self.out, std::mem::take(&mut self.drawn)) {
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

fn line(screen: &Screen, bytes: u64, of: Option<u64>, elapsed: Duration) -> String {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
    let per_second = u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(micros)).unwrap_or(u64::MAX);
    let speed = format!("{}/s", shown::size(per_second));
    let Some(of) = of else { return format!("{}  {speed}", shown::size(bytes)) };
    let bytes = bytes.min(of);
    let left = |per_second| shown::duration(Duration::from_secs((of - bytes).div_ceil(per_second)));
    let left = if per_second == 0 { "?".to_owned() } else { left(per_second) };
    format!(
        "[{:<BAR_COLUMNS$}] {:>6}  {} of {}  {speed}  {left} left",
        screen.bar(bytes, of, BAR_COLUMNS),
        shown::percent(bytes, of),
        shown::size(bytes),
        shown::size(of),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { columns: 80, lines: None, has_blocks: false };

    #[test]
    fn says_how_far_how_fast_and_how_long() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line(&SCREEN, 250_000_000, Some(1_000_000_000), second),
            "[######                  ]  25.0%  250.0 MB of 1.0 GB  250.0 MB/s  3s left"
        );
        assert_eq!(line(&SCREEN, 5_000_000, None, second), "5.0 MB  5.0 MB/s");
        assert!(line(&SCREEN, 900, Some(9), second).contains(" 100.0%  9 B of 9 B"));
        assert!(line(&SCREEN, 0, Some(u64::MAX), Duration::ZERO).len() <= 80);
    }

    #[test]
    fn leaves_nothing_behind() {
        let mut progress = Progress::new(Some(Vec::new()));
        progress.end();
        progress.show(1, None);
        progress.end();
        progress.end();
        let drawn = String::from_utf8(progress.out.unwrap()).unwrap();
        assert!(drawn.starts_with("\r\x1b[K1 B  ") && drawn.ends_with("/s\r\x1b[K"), "{drawn:?}");
        assert_eq!(drawn.matches('\r').count(), 2);
    }
}
