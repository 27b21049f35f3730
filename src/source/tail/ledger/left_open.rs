//! Files that were read to their end, where lines are open that go on in the next file. Their marks stay where these
//! begin until they are taken.

use super::Ledger;
use crate::checkpoint::Mark;
use crate::source::pins::Listed;

impl Ledger {
    /// The open file is left; what is behind `mark`, up to its end, is in memory.
    pub(in crate::source::tail) fn leave_open(&mut self, listed: &Listed, mark: Mark, end: u64) {
        self.leave(listed, mark, true);
        if let Some(tracked) = self.tracked.last_mut() {
            tracked.left_open = Some(end);
        }
    }

    /// Whether it was left like this.
    pub(in crate::source::tail) fn is_left_open(&mut self, listed: &Listed) -> bool {
        self.of(listed).is_some_and(|tracked| tracked.left_open.is_some())
    }

    /// All that was in memory is taken.
    pub(in crate::source::tail) fn settle_left_open(&mut self) {
        for tracked in &mut self.tracked {
            if let Some(end) = tracked.left_open.take() {
                tracked.mark.offset = end;
            }
        }
        self.changed();
    }

    /// It is to be read from the files again.
    pub(in crate::source::tail) fn forget_left_open(&mut self) {
        for tracked in self.tracked.iter_mut().filter(|tracked| tracked.left_open.is_some()) {
            (tracked.left_open, tracked.complete) = (None, None);
        }
    }
}
