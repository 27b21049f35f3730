//! Logs to which somebody led, and away again before they had begun.
//!
//! kube-apiserver may have been told meanwhile: it is started again minutes after its manifest has changed, and then with
//! what that said at the time. So they are looked at for a while, and one that is written to after all has its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::State;
use super::step::Step;

/// kubelet looks at manifests every 20 seconds, gives the old server 30 to end, and may have to fetch an image.
const LOOK_FOR: Duration = Duration::from_secs(5 * 60);

/// One of them.
pub(super) struct LeftOut {
    pub(super) step: Step,
    since: Instant,
}

impl State {
    /// Nobody has written to the last log, and somebody led elsewhere. Nothing is held of it.
    pub(super) fn leave_out_last(&mut self) {
        let Some(mut step) = self.steps.pop_back() else { return };
        let log = step.log.take().filter(|log| !self.logs().any(|other| Arc::ptr_eq(other, log)));
        if let Some(log) = log {
            log.keep_only(|_| false);
        }
        self.left_out.push(LeftOut { step, since: Instant::now() });
    }

    /// Gives one that was written to after all its place. Returns whether there was any.
    pub(super) fn take_in_what_was_left_out(&mut self) -> bool {
        self.left_out.retain(|left_out| left_out.since.elapsed() < LOOK_FOR);
        let Some(index) = self.left_out.iter().position(|left_out| left_out.step.is_written()) else {
            return false;
        };
        let mut late = self.left_out.remove(index).step;
        tracing::info!(log = %late.source.path.display(), "a log that was left before it began has begun");
        late.has_begun = true;
        let Some(last) = self.steps.back() else { return false };
        let awaited = if last.has_begun {
            // Whoever wrote that one has ended, and is yet to be started again.
            let wanted = last.source.clone();
            Step::awaited_from_now(wanted, &late.source)
        } else {
            let Some(mut awaited) = self.steps.pop_back() else { return false };
            awaited.comes_after(&late.source);
            awaited
        };
        self.steps.extend([late, awaited]);
        true
    }
}
