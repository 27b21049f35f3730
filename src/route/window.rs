//! What a route holds in memory.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::metrics::Unsettled;

/// What one batch takes up while it is in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) lines: usize,
    pub(super) memory_bytes: usize,
    pub(super) log_bytes: u64,
    pub(super) oldest: Option<Timestamp>,
}

/// All batches in memory, in order.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Held>);

impl Window {
    pub(super) fn lines(&self) -> usize {
        self.0.iter().map(|held| held.lines).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().map(|held| held.memory_bytes).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, held: Held) {
        self.0.push_back(held);
    }

    /// The oldest batch is settled.
    pub(super) fn pop(&mut self) {
        self.0.pop_front();
    }

    /// All of it that is not settled.
    pub(super) fn unsettled(&self) -> Unsettled {
        Unsettled {
            bytes: self.0.iter().map(|held| held.log_bytes).sum(),
            oldest: self.0.iter().find_map(|held| held.oldest),
        }
    }
}
