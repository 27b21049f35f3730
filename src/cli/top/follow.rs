//! `top --follow`: what is written from now on.
//!
//! A file is read as the daemon reads it, across rotations, and a pipe as it comes. All of them add to one sum, which is
//! printed now and then, and once more at the end: when somebody stops it, or when all that was given were pipes and they
//! have ended.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Counted, View, json, table};
use crate::batch::{Batch, Limits};
use crate::buffers::Buffers;
use crate::cli::{Failure, Signals, reading, runtime, unless_broken_pipe};
use crate::config::{DEFAULT_MAX_LINE_BYTES, StartAt};
use crate::event::Event;
use crate::logs::{LogFile, STDIN, Taking};
use crate::shown::{self, Screen, count, size};
use crate::source::format::{Format, Records};
use crate::source::pins::PinSet;
use crate::source::tail::{Progress, Tail};
use crate::source::{Wake, Watch};

/// Between two tables.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(5);
/// The log is looked at so soon after a hint, and so often without one.
const PACE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_secs(1);
/// What is taken out of the log at a time.
const LIMITS: Limits =
    Limits { max_lines: 400, max_bytes: 4 << 20, max_first_line_bytes: usize::MAX, max_event_size: None };
/// Lines of the screen for a heading, and for each table beside its rows.
const HEADING_LINES: usize = 3;
const TABLE_LINES: usize = 3;

/// What all threads add to.
type Shared = Arc<Mutex<Taking<Counted>>>;

pub(super) fn follow(
    logs: &[PathBuf],
    since: Option<Timestamp>,
    interval: Option<Duration>,
    view: &View,
    counted: Counted,
) -> Result<(), Failure> {
    let sources = logs.iter().map(|path| Source::of(path, since)).collect::<anyhow::Result<Vec<_>>>()?;
    let shared: Shared = Arc::new(Mutex::new(Taking::new(counted, since)));
    let runtime = runtime()?;
    // Nobody sends: that nobody is left who could says that all sources have ended.
    let (running, mut ended) = mpsc::channel::<()>(1);
    for source in sources {
        let (shared, running) = (Arc::clone(&shared), running.clone());
        runtime.spawn(async move {
            source.follow(shared).await;
            drop(running);
        });
    }
    drop(running);
    let mut drawing = Drawing::new(view);
    let shown = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut ticks = tokio::time::interval(interval.unwrap_or(drawing.interval()));
        loop {
            tokio::select! {
                biased;
                () = signals.next() => break,
                _ = ended.recv() => break,
                _ = ticks.tick() => drawing.draw(&mut lock(&shared), false)?,
            }
        }
        drawing.draw(&mut lock(&shared), true)
    });
    // A read that waits for more keeps nobody from ending.
    runtime.shutdown_background();
    unless_broken_pipe(shown)?;
    let found = std::mem::take(&mut lock(&shared).found);
    reading::tell(found)
}

fn lock(shared: &Mutex<Taking<Counted>>) -> MutexGuard<'_, Taking<Counted>> {
    // Each event leaves the sum whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where lines come from.
enum Source {
    Rotated { log: PathBuf, start_at: StartAt },
    Stream(LogFile),
}

impl Source {
    fn of(path: &Path, since: Option<Timestamp>) -> anyhow::Result<Self> {
        let start_at = if since.is_some() { StartAt::Oldest } else { StartAt::Newest };
        let rotated = Self::Rotated { log: path.to_owned(), start_at };
        let shown = path.display();
        let metadata = match std::fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.as_os_str() != STDIN => {
                reading::warn(&format!("{shown} does not exist yet; waiting for it"));
                return Ok(rotated);
            }
            other => other,
        };
        if metadata.is_ok_and(|metadata| metadata.is_dir()) {
            bail!("{shown}: a directory cannot be followed; give the file that is written to");
        }
        let file = LogFile::open(path).map_err(|error| anyhow!("{shown}: {error}"))?;
        if file.is_compressed() {
            bail!("{shown}: a compressed file cannot be followed; give the file that is written to");
        }
        Ok(if file.is_stream() { Self::Stream(file) } else { rotated })
    }

    async fn follow(self, shared: Shared) {
        let (log, start_at) = match self {
            Self::Rotated { log, start_at } => (log, start_at),
            Self::Stream(file) => return follow_to_end(file, shared).await,
        };
        let mut following = Following::new(&log, start_at);
        loop {
            let shared = Arc::clone(&shared);
            // Only a panic, which has been told, keeps it from coming back.
            let Ok((back, progress)) = spawn_blocking(move || following.look(&shared)).await else { return };
            following = back;
            if progress == Progress::AtEnd {
                following.wait().await;
            }
        }
    }
}

async fn follow_to_end(file: LogFile, shared: Shared) {
    let reading = move || {
        if let Err(error) = follow_stream(&file, &shared) {
            lock(&shared).found.failures.push(format!("{}: {error}", file.name()));
        }
    };
    // As above.
    let _ = spawn_blocking(reading).await;
}

fn follow_stream(file: &LogFile, shared: &Shared) -> io::Result<()> {
    let mut reader = file.reader(0)?.in_format(file.format());
    let mut records = Records::of(file.format());
    loop {
        let mut taking = lock(shared);
        while let Some((offset, line)) = reader.line() {
            taking.span(line, &mut records, file.name(), offset);
            reader.consume();
        }
        drop(taking);
        if reader.read_more()? == 0 {
            break;
        }
    }
    if let Some((offset, line)) = reader.remainder() {
        lock(shared).span(line, &mut records, file.name(), offset);
    }
    Ok(())
}

/// Reads a log as the daemon does, but keeps nothing of where it is.
struct Following {
    name: String,
    pins: Arc<PinSet>,
    watch: Watch,
    wake: Wake,
    tail: Tail,
    /// What was wrong at the last look.
    trouble: Option<String>,
}

impl Following {
    fn new(log: &Path, start_at: StartAt) -> Self {
        let pins = PinSet::of_one(log);
        let watch = Watch::new(Arc::clone(&pins));
        let tail = Tail::new(Arc::clone(&pins), 0, None, start_at, DEFAULT_MAX_LINE_BYTES.get())
            .in_format(Format::Auto);
        Self { name: log.display().to_string(), wake: watch.wake(), watch, pins, tail, trouble: None }
    }

    /// Takes the lines that are there, a batch of them at most.
    fn look(mut self, shared: &Shared) -> (Self, Progress) {
        let mut batch = Batch::new(Buffers::default());
        let filled = self.tail.fill(&mut batch, &LIMITS);
        batch.seal();
        self.take(&mut batch, &mut lock(shared));
        let trouble = filled.as_ref().err().map(ToString::to_string);
        if let Some(new) = trouble.as_ref().filter(|_| self.trouble != trouble) {
            reading::warn(new);
        }
        self.trouble = trouble;
        // What cannot be read now may be later.
        (self, filled.unwrap_or(Progress::AtEnd))
    }

    fn take(&mut self, batch: &mut Batch, taking: &mut Taking<Counted>) {
        for index in 0..batch.events() {
            let line = batch.line(index);
            // It was one when it came into the batch.
            if let Ok(event) = Event::parse(&line) {
                taking.event(&line, &event, &self.name, 0);
            }
        }
        for aside in batch.take_asides() {
            let offset = aside.origin.as_ref().map_or(0, |origin| origin.offset);
            taking.strange(aside.line_bytes, &self.name, offset, &aside.detail);
        }
        let observed = self.tail.take_observed();
        for gap in &observed.gaps {
            let are = if gap.certain { "are" } else { "may be" };
            reading::warn(&format!("{}: events {are} missing: {gap}", self.name));
        }
        self.pins.settled(0, &[batch.finished(), &observed.gone].concat());
    }

    async fn wait(&mut self) {
        let hint = self.wake.changed_after(tokio::time::Instant::now() + PACE);
        if timeout(TICK, hint).await.is_err() {
            self.watch.attach();
        }
    }
}

/// Prints the sum again and again.
struct Drawing<'a> {
    view: &'a View,
    began: Instant,
    drawn: Option<Instant>,
    is_redrawn: bool,
}

impl<'a> Drawing<'a> {
    fn new(view: &'a View) -> Self {
        let is_redrawn = io::stdout().is_terminal() && view.output == reading::Output::Table;
        Self { view, began: Instant::now(), drawn: None, is_redrawn }
    }

    fn interval(&self) -> Duration {
        if self.is_redrawn { ON_A_TERMINAL } else { ELSEWHERE }
    }

    fn draw(&mut self, taking: &mut Taking<Counted>, is_last: bool) -> anyhow::Result<()> {
        let text = match self.view.output {
            reading::Output::Json => json::object(self.view, &taking.sum, &taking.found, 1)? + "\n",
            reading::Output::Table => self.table(taking, is_last),
        };
        self.drawn = Some(Instant::now());
        for (_, tally) in &mut taking.sum.tallies {
            tally.mark();
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    fn table(&self, taking: &Taking<Counted>, is_last: bool) -> String {
        let screen = Screen::of_stdout();
        let tables = taking.sum.tallies.len().max(1);
        let room =
            |lines: usize| (lines.saturating_sub(HEADING_LINES) / tables).saturating_sub(TABLE_LINES).max(1);
        let limit = match screen.lines {
            Some(lines) if self.is_redrawn && !is_last => self.view.limit.min(room(lines)),
            _ => self.view.limit,
        };
        // The last one comes when it comes: what a second would be is not told.
        let interval = if is_last { None } else { Some(self.drawn.unwrap_or(self.began).elapsed()) };
        let begin = match (self.is_redrawn, self.drawn) {
            (true, None) => "\x1b[2J\x1b[H",
            (true, Some(_)) => "\x1b[H\x1b[J",
            (false, None) => "",
            (false, Some(_)) => "\n",
        };
        let tables = table::tables(self.view, &taking.sum, &screen, limit, interval);
        format!("{begin}{}{tables}", self.heading(taking))
    }

    fn heading(&self, taking: &Taking<Counted>) -> String {
        let (events, elapsed) = (taking.found.events, self.began.elapsed());
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let strange = match taking.found.strange.events {
            0 => String::new(),
            lines => format!("; {}", count(lines, "line is no event", "lines are no events")),
        };
        format!(
            "{}, {} in {}: {} events/s, {}/s{strange}\n",
            count(events.events, "event", "events"),
            size(events.bytes),
            shown::duration(elapsed),
            table::rate(events.events, elapsed),
            size(events.bytes.saturating_mul(1000) / millis),
        )
    }
}
