//! The logs that are read one after another, and where each output stands among them.
//!
//! Mostly there is one. When the configuration leads to another log, kube-apiserver is started again, and writes to the old
//! one until it has ended. So the outputs stay with the old log until the new one *has begun*, which shows that nobody writes
//! to the old one any more. Then each output reads the old log to its end, and goes on with the new one at its oldest file,
//! whatever the others do: one whose endpoint is away stays behind alone. The files of each log are held for every output
//! that is yet to read them, so that no retention takes them.
//!
//! Somebody may lead to a third log, or back, meanwhile. What was written to in between is read too, in its turn.
//!
//! A file in the state directory remembers the logs, and of which of them the cursor of each output is (`record`), so that a
//! restart goes on from there, and a configuration that changed while nothing ran is as good. How far an output got in a log
//! that it left is kept too, for the day when somebody leads back to it (`cursors`).

mod cursors;
mod left_out;
mod record;
mod step;
mod which;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::log::{Heritage, Log};
use crate::checkpoint::Store;
use crate::config::{Config, Source};
use crate::metrics::PinMetrics;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::keep::LogId;
use left_out::LeftOut;
use record::{Record, Stand, remember, remembered};
use step::Step;
use which::{is_another_log, is_own, steps_of};

pub(crate) use which::log_of_cursor;

/// Between two looks whether a new log has begun.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Trail {
    state_dir: PathBuf,
    gauges: PinMetrics,
    state: Mutex<State>,
    /// There is more to be looked at than there was.
    look_again: Notify,
}

struct State {
    /// In their order; the last one is the one that is configured. All but the last have begun.
    steps: VecDeque<Step>,
    /// The number of the first of them; they are numbered on and on.
    first: u64,
    /// Of each output that has been served.
    standing: BTreeMap<String, Standing>,
    /// The outputs that are configured.
    outputs: Vec<String>,
    /// What nobody had written to when somebody led elsewhere.
    left_out: Vec<LeftOut>,
    remembered: Option<Record>,
    /// What is to be remembered could not be written, which is said.
    is_forgetful: bool,
}

#[derive(Clone)]
struct Standing {
    /// The number of its step.
    step: u64,
    /// The log before it, if the cursor may still be of that one.
    left: Option<PathBuf>,
}

/// What a look at the logs has shown.
enum Look {
    /// One has begun.
    HasBegun,
    /// There is one that is to be looked at.
    Again,
    /// There is none, and there will be none before somebody leads to another.
    Nothing,
}

/// What an output is to read now.
pub(super) struct Section {
    pub(super) source: Source,
    pub(super) log: Arc<Log>,
    /// The output's number in its pins.
    pub(super) number: usize,
    /// Its cursor is still of the log before, and tells nothing of this one.
    pub(super) is_unturned: bool,
    /// Nobody writes to it any more, once this is so.
    pub(super) is_over: CancellationToken,
}

impl Trail {
    /// Goes on where the process before us was; `kept` is what systemd held for us.
    pub(super) fn at_start(config: &Config, kept: Vec<Kept>, gauges: PinMetrics) -> Self {
        let state_dir = config.state_dir.clone();
        let record = remembered(&state_dir);
        let steps: VecDeque<Step> =
            steps_of(record.as_ref(), &config.source).into_iter().map(Step::begun).collect();
        let mut standing = BTreeMap::new();
        for (output, Stand { log, left }) in record.iter().flat_map(|record| record.outputs.clone()) {
            let log = log.min(steps.len() - 1);
            // It ended between the two logs.
            let new = &steps[log].source.path;
            let left = left.filter(|left| !cursors::turn(&state_dir, &output, left, new));
            standing.insert(output, Standing { step: log as u64, left });
        }
        let state = State {
            steps,
            first: 0,
            standing,
            outputs: Vec::new(),
            left_out: Vec::new(),
            remembered: record,
            is_forgetful: false,
        };
        let trail = Self { state_dir, gauges, state: Mutex::new(state), look_again: Notify::new() };
        trail.lead_to(config, kept);
        trail
    }

    /// These are the outputs from now on, and this is where the log is to be, which may be the one that it is.
    pub(super) fn follow(&self, config: &Config) {
        self.lead_to(config, Vec::new());
    }

    fn lead_to(&self, config: &Config, kept: Vec<Kept>) {
        let mut state = self.state();
        state.lead_to(&config.source);
        self.gauges.limit(&config.source.pins);
        state.logs().for_each(|log| log.watch().pins().limit(config.source.pins.clone()));
        state.outputs = config.outputs.iter().map(|output| output.name.clone()).collect();
        let written_to = state.number_of_written();
        for output in state.outputs.clone() {
            state.standing.entry(output).or_insert(Standing { step: written_to, left: None });
        }
        self.bring_in_order(&mut state, kept);
    }

    /// Whether the log is the same by another name, so that it has to be opened anew, when no output reads it.
    pub(super) fn is_renamed(&self, wanted: &Source) -> bool {
        self.state()
            .steps
            .back()
            .is_some_and(|last| last.source.path != wanted.path && !is_another_log(&last.source, wanted))
    }

    /// Opens it by its other name. No output reads it now.
    pub(super) fn rename(&self, wanted: &Source) {
        let mut state = self.state();
        let standing = state.standing_in_last();
        let Some(last) = state.steps.back_mut() else { return };
        let former = LogId::of(&last.source.path);
        last.source.path.clone_from(&wanted.path);
        let Some(log) = last.log.take() else { return };
        log.keep_nameless(&self.state_dir, &standing);
        log.watch().pins().forget_stored();
        let is_own = is_own(&wanted.path, false, Vec::new());
        let heritage = Heritage {
            state_dir: &self.state_dir,
            kept: Vec::new(),
            is_own: &|log| is_own(log) || log == former,
        };
        let readers = state.outputs.clone();
        let log = Arc::new(Log::open(wanted, &readers, heritage, &self.gauges));
        if let Some(last) = state.steps.back_mut() {
            last.log = Some(log);
        }
    }

    /// What a configured output is to read now.
    pub(super) fn section(&self, output: &str) -> Option<Section> {
        let mut state = self.state();
        let is_unturned = !self.turn(&mut state, output);
        let step = state.step_of(output)?;
        let log = Arc::clone(step.log.as_ref()?);
        let number = log.join(output);
        let (source, is_over) = (step.source.clone(), step.is_over.clone());
        Some(Section { source, log, number, is_unturned, is_over })
    }

    /// Has the cursor of an output be of the log that it stands in. Says whether it is.
    fn turn(&self, state: &mut State, output: &str) -> bool {
        let new = state.step_of(output).map(|step| step.source.path.clone());
        let Some((standing, new)) = state.standing.get_mut(output).zip(new) else { return true };
        standing.left.take_if(|left| cursors::turn(&self.state_dir, output, left, &new));
        standing.left.is_none()
    }

    /// An output has settled all of the log that it stands in, and goes on with the next one.
    pub(super) fn go_on(&self, output: &str) {
        let mut state = self.state();
        let Some(standing) = state.standing.get(output).cloned() else { return };
        let path = |number| state.step(number).map(|step| step.source.path.clone());
        let (Some(left), Some(next)) = (path(standing.step), path(standing.step + 1)) else { return };
        cursors::put_aside(&self.state_dir, output, &left);
        let step = standing.step + 1;
        state.standing.insert(output.to_owned(), Standing { step, left: Some(left) });
        self.remember(&mut state);
        self.turn(&mut state, output);
        self.bring_in_order(&mut state, Vec::new());
        tracing::info!(output, log = %next.display(), "the old log is settled; going on with the new one");
    }

    /// Returns when a log has begun that was waited for. The files of logs that nobody reads yet are opened meanwhile.
    pub(super) async fn next_has_begun(self: &Arc<Self>) {
        loop {
            let trail = Arc::clone(self);
            match tokio::task::spawn_blocking(move || trail.look()).await {
                Ok(Look::HasBegun) => return,
                Ok(Look::Nothing) => self.look_again.notified().await,
                Ok(Look::Again) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The same, again and again.
    pub(super) async fn keep_looking(self: &Arc<Self>) -> Infallible {
        loop {
            self.next_has_begun().await;
        }
    }

    fn look(&self) -> Look {
        let mut state = self.state();
        if state.take_in_what_was_left_out() {
            self.bring_in_order(&mut state, Vec::new());
            return Look::HasBegun;
        }
        if state.is_forgetful {
            self.remember(&mut state);
        }
        let is_awaited = state.is_forgetful || !state.left_out.is_empty();
        let mut look = if is_awaited { Look::Again } else { Look::Nothing };
        for log in state.not_yet_read().filter_map(|step| step.log.as_ref()) {
            log.watch().look();
            look = Look::Again;
        }
        match state.steps.back_mut() {
            Some(last) if !last.has_begun && last.begins() => {
                last.has_begun = true;
                tracing::info!(log = %last.source.path.display(), "the new log has begun");
                // Who writes it writes no other.
                state.left_out.clear();
                self.bring_in_order(&mut state, Vec::new());
                Look::HasBegun
            }
            _ => look,
        }
    }

    /// Copies what the file system will forget when we end, and what is not settled, to the spool.
    pub(super) fn keep_nameless(&self) {
        let state = self.state();
        let mut done: Vec<&Arc<Log>> = Vec::new();
        for (number, step) in (state.first..).zip(&state.steps) {
            let Some(log) = step.log.as_ref().filter(|log| !done.iter().any(|done| Arc::ptr_eq(done, log)))
            else {
                continue;
            };
            log.keep_nameless(&self.state_dir, &state.standing_in(number));
            done.push(log);
        }
    }

    /// Has what is to be read open, forgets what everybody has behind himself, and remembers the rest.
    fn bring_in_order(&self, state: &mut State, kept: Vec<Kept>) {
        let is_known =
            |output: &String| state.outputs.contains(output) || Store::path(&self.state_dir, output).exists();
        let gone: Vec<String> = state.standing.keys().filter(|name| !is_known(name)).cloned().collect();
        for output in gone {
            state.standing.remove(&output);
        }
        state.end_what_is_over();
        self.open(state, kept);
        state.let_go();
        state.forget_what_is_behind();
        self.remember(state);
    }

    /// Opens the logs that an output is to read, each once.
    fn open(&self, state: &mut State, mut kept: Vec<Kept>) {
        let ids: Vec<LogId> = state.steps.iter().map(|step| LogId::of(&step.source.path)).collect();
        for index in 0..state.steps.len() {
            let number = state.first + index as u64;
            let readers = state.readers_of(number);
            if state.steps[index].log.is_some() || readers.is_empty() {
                continue;
            }
            let source = state.steps[index].source.clone();
            let mut same = state.steps.iter().filter(|step| step.source.path == source.path);
            let open = same.find_map(|step| step.log.clone());
            let log = open.unwrap_or_else(|| {
                let is_own = is_own(&source.path, index == 0, ids.clone());
                let (own, others) = std::mem::take(&mut kept).into_iter().partition(|kept| is_own(kept.log));
                kept = others;
                let heritage = Heritage { state_dir: &self.state_dir, kept: own, is_own: &is_own };
                Arc::new(Log::open(&source, &readers, heritage, &self.gauges))
            });
            if state.standing_in(number).is_empty() {
                // Nobody else opens its files.
                log.watch().look();
            }
            state.steps[index].log = Some(log);
        }
        if !kept.is_empty() {
            // Nobody is to read what it is of, and nobody else will ever let go of it.
            let systemd = FdStore::from_env();
            for kept in &kept {
                systemd.drop_kept(&kept.key);
            }
        }
    }

    fn remember(&self, state: &mut State) {
        let record = state.record();
        if state.remembered.as_ref() == Some(&record) {
            return;
        }
        match remember(&self.state_dir, &record) {
            Ok(()) => {
                state.remembered = Some(record);
                if std::mem::take(&mut state.is_forgetful) {
                    tracing::warn!("which log is read can be remembered again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut state.is_forgetful, true) {
                    tracing::error!(%error, "which log is read cannot be remembered, which is tried again; a restart before would send events again, and if the log moves while nothing runs, a gap is possible");
                }
                self.look_again.notify_one();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
