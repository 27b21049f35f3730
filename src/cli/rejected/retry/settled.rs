//! What the endpoint has acknowledged is taken out of the file.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::rejected::OfOutput;
use crate::fingerprint;
use crate::rejected;

/// Rewriting the file takes no more than one part in so many of the time.
const SHARE_OF_REWRITING: u32 = 10;
/// A shorter time is nothing that a kill could waste.
const SHORTEST_TIME_UNSETTLED: Duration = Duration::from_secs(1);

/// What was acknowledged and is still in the file.
pub(super) struct Settled<'a> {
    pub(super) file: &'a OfOutput,
    keys: HashSet<u128>,
    taken_out_at: Instant,
    rewriting_took: Duration,
}

impl<'a> Settled<'a> {
    pub(super) fn new(file: &'a OfOutput) -> Self {
        Self { file, keys: HashSet::new(), taken_out_at: Instant::now(), rewriting_took: Duration::ZERO }
    }

    pub(super) fn note(&mut self, key: u128) {
        self.keys.insert(key);
    }

    pub(super) fn take_out_if_due(&mut self) -> anyhow::Result<()> {
        let wait = SHORTEST_TIME_UNSETTLED.max(self.rewriting_took * SHARE_OF_REWRITING);
        if self.taken_out_at.elapsed() < wait { Ok(()) } else { self.take_out() }
    }

    pub(super) fn take_out(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        if !self.keys.is_empty() {
            let kept = "what was taken by the endpoint is still in it, and would be sent again";
            rejected::remove(&self.file.path, |line| self.keys.contains(&key(line)))
                .with_context(|| format!("{}: {kept}", self.file.path.display()))?;
            self.keys.clear();
        }
        self.taken_out_at = Instant::now();
        self.rewriting_took = began.elapsed();
        Ok(())
    }
}

/// What tells an entry from all others; its place in the file may change.
pub(super) fn key(line: &[u8]) -> u128 {
    fingerprint::long(line)
}
