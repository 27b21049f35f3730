//! One log among those that are read one after another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::State;
use super::record::{Place, Record, Stand};
use super::which::is_another_log;
use crate::config::Source;
use crate::pipeline::log::Log;
use crate::source::series::Series;
use crate::stamp::Stamp;

/// A log that nobody has written to for so long, while there is another that somebody has written to, is over. Only where no
/// manifest says that kube-apiserver was told; it writes every few seconds.
const OVER_AFTER: Duration = Duration::from_secs(60);

/// One log, in its turn.
pub(super) struct Step {
    pub(super) source: Source,
    /// Open as long as an output is to read it.
    pub(super) log: Option<Arc<Log>>,
    pub(super) has_begun: bool,
    pub(super) is_over: CancellationToken,
    /// How it looked when it was not yet written to, and which log it comes after.
    before: Option<(Stamp, PathBuf)>,
}

impl Step {
    /// One that is written to, or was.
    pub(super) fn begun(source: Source) -> Self {
        Self { source, log: None, has_begun: true, is_over: CancellationToken::new(), before: None }
    }

    /// One that is to be written to after `former`.
    fn awaited(source: Source, former: &Source) -> Self {
        let (now, manifest) = (Stamp::of(live(&source)), source.manifest.clone().map(Stamp::of));
        // What was written after the manifest was written by the server that obeys it.
        let is_news = manifest.is_some_and(|manifest| now.is_written_after(&manifest));
        let before = if is_news { Stamp::of(PathBuf::new()) } else { now };
        let before = Some((before, live(former)));
        Self { has_begun: false, before, ..Self::begun(source) }
    }

    /// The same, as it looks now, whatever was written to it after the manifest.
    pub(super) fn awaited_from_now(source: Source, former: &Source) -> Self {
        let before = Some((Stamp::of(live(&source)), live(former)));
        Self { has_begun: false, before, ..Self::begun(source) }
    }

    /// It comes after this one.
    pub(super) fn comes_after(&mut self, source: &Source) {
        if let Some((_, former)) = &mut self.before {
            *former = live(source);
        }
    }

    /// Whether something was written to it since it was waited for.
    pub(super) fn is_written(&self) -> bool {
        let is_written =
            |(before, _): &(Stamp, PathBuf)| Stamp::of(live(&self.source)).is_written_since(before);
        self.before.as_ref().is_some_and(is_written)
    }

    /// Whether it is written to now.
    pub(super) fn begins(&self) -> bool {
        let Some((before, former)) = &self.before else { return true };
        let now = Stamp::of(live(&self.source));
        let is_left = || {
            self.source.manifest.is_none()
                && now.is_written()
                && Stamp::of(former.clone()).is_left_for(OVER_AFTER)
        };
        now.is_written_since(before) || is_left()
    }
}

/// The file that is written to.
fn live(source: &Source) -> PathBuf {
    let series = Series::new(&source.path);
    // Where the path is a pattern, only a listing tells. A directory that cannot be read holds no file yet.
    let _ = series.list();
    series.live_path()
}

impl State {
    /// Leaves out what nobody has written to after all, and has the wanted log be the last one.
    pub(super) fn lead_to(&mut self, wanted: &Source) {
        while self.steps.len() > 1
            && self
                .steps
                .back()
                .is_some_and(|last| !last.has_begun && last.source.path != wanted.path && !last.begins())
        {
            self.leave_out_last();
        }
        self.left_out.retain(|left_out| left_out.step.source.path != wanted.path);
        let Some(last) = self.steps.back_mut() else { return };
        if !is_another_log(&last.source, wanted) {
            last.source = Source { path: last.source.path.clone(), ..wanted.clone() };
            return;
        }
        // It was written to, and somebody else is to be read after it.
        last.has_begun = true;
        let former = last.source.clone();
        // Whoever is told may write to it at once, and that shows that it has begun.
        self.steps.push_back(Step::awaited(wanted.clone(), &former));
        tracing::info!(
            old = %former.path.display(),
            new = %wanted.path.display(),
            "the log is another one; the old one is read to its end first, once the new one has begun"
        );
    }

    pub(super) fn step(&self, number: u64) -> Option<&Step> {
        self.steps.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn step_of(&self, output: &str) -> Option<&Step> {
        self.step(self.standing.get(output)?.step)
    }

    /// The log that kube-apiserver writes now, as far as we know.
    pub(super) fn number_of_written(&self) -> u64 {
        let last = self.steps.iter().rposition(|step| step.has_begun).unwrap_or_default();
        self.first + last as u64
    }

    /// The configured outputs that are to read this one: they stand in it, or before it.
    pub(super) fn readers_of(&self, number: u64) -> Vec<String> {
        let reads = |output: &&String| self.standing.get(*output).is_some_and(|at| at.step <= number);
        self.outputs.iter().filter(reads).cloned().collect()
    }

    /// The configured outputs that stand in this one.
    pub(super) fn standing_in(&self, number: u64) -> Vec<String> {
        let stands = |output: &&String| self.standing.get(*output).is_some_and(|at| at.step == number);
        self.outputs.iter().filter(stands).cloned().collect()
    }

    pub(super) fn standing_in_last(&self) -> Vec<String> {
        self.standing_in(self.first + self.steps.len().saturating_sub(1) as u64)
    }

    /// The logs that are open.
    pub(super) fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.steps.iter().filter_map(|step| step.log.as_ref())
    }

    /// Logs in which no output stands.
    pub(super) fn not_yet_read(&self) -> impl Iterator<Item = &Step> {
        (self.first..)
            .zip(&self.steps)
            .filter(|(number, _)| self.standing_in(*number).is_empty())
            .map(|(_, step)| step)
    }

    /// Logs that every output has left are not to be read again. One that is not configured now may be so again.
    pub(super) fn forget_what_is_behind(&mut self) {
        let needed = self.standing.values().map(|at| at.step).min().unwrap_or(self.first);
        while self.first < needed && self.steps.len() > 1 {
            self.steps.pop_front();
            self.first += 1;
        }
    }

    /// Nobody writes to the logs before one that has begun.
    pub(super) fn end_what_is_over(&self) {
        let begun = self.steps.iter().rposition(|step| step.has_begun).unwrap_or_default();
        self.steps.iter().take(begun).for_each(|step| step.is_over.cancel());
    }

    /// Closes what no configured output is to read, and holds nothing for those that have it behind them.
    pub(super) fn let_go(&mut self) {
        let readers: Vec<Vec<String>> =
            (self.first..).take(self.steps.len()).map(|number| self.readers_of(number)).collect();
        for index in 0..self.steps.len() {
            let Some(log) = self.steps[index].log.clone() else { continue };
            let same = |step: &Step| step.log.as_ref().is_some_and(|other| Arc::ptr_eq(other, &log));
            // Whoever is to read a later one of the same log is to read this one or that one.
            let last = self.steps.iter().rposition(same).unwrap_or(index);
            log.keep_only(|output| readers[last].iter().any(|reader| reader == output));
            for output in &readers[last] {
                log.join(output);
            }
            if readers[last].is_empty() {
                self.steps[index].log = None;
            }
        }
    }

    /// What is to be remembered: one that has not begun may never be written to.
    pub(super) fn record(&self) -> Record {
        let begun = self.steps.iter().rposition(|step| step.has_begun).unwrap_or_default();
        let logs = self.steps.iter().take(begun + 1).map(|step| Place::of(&step.source)).collect();
        let stand = |at: &super::Standing| Stand {
            log: usize::try_from(at.step.saturating_sub(self.first)).unwrap_or_default(),
            left: at.left.clone(),
        };
        let outputs = self.standing.iter().map(|(output, at)| (output.clone(), stand(at))).collect();
        Record { logs, outputs }
    }
}
