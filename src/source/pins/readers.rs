//! The outputs that read the log: who they are, what they have settled, and what they are told.

use std::sync::atomic::Ordering;

use super::{Missing, PinSet, State};

impl PinSet {
    /// `output` has settled all there is in these files: those that everybody has settled are let go.
    pub fn settled(&self, output: usize, sequences: &[u64]) {
        if sequences.is_empty() {
            return;
        }
        self.let_go(&mut self.state(), output, |sequence| sequences.contains(&sequence));
    }

    fn let_go(&self, state: &mut State, output: usize, meant: impl Fn(u64) -> bool) {
        state.store.settled(output, &meant);
        for index in 0..state.known.len() {
            let known = &mut state.known[index];
            if !meant(known.sequence) {
                continue;
            }
            known.waiting.retain(|waiting| *waiting != output);
            if known.waiting.is_empty() {
                known.held = None;
                state.drop_keeping(index);
            }
        }
        if state.forget_settled() {
            // What it was compressed to may be visible now.
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        self.show_alone(state);
    }

    /// One more output reads the log: nothing of it is settled any more. Returns its number.
    #[must_use]
    pub fn join(&self) -> usize {
        let mut state = self.state();
        let output = state.next_output;
        state.next_output += 1;
        state.missing.insert(output, Vec::new());
        for known in &mut state.known {
            known.waiting.push(output);
            // What nobody waited for may be another file by now.
            known.exact &= known.held.is_some();
        }
        output
    }

    /// `output` reads the log no more, and waits for nothing of it.
    pub fn leave(&self, output: usize) {
        let mut state = self.state();
        state.missing.remove(&output);
        self.let_go(&mut state, output, |_| true);
    }

    /// What `output` will never be able to read, since the last call.
    pub fn take_missing(&self, output: usize) -> Vec<Missing> {
        self.state().missing.get_mut(&output).map(std::mem::take).unwrap_or_default()
    }
}

impl State {
    /// The outputs that read the log.
    pub(super) fn readers(&self) -> Vec<usize> {
        self.missing.keys().copied().collect()
    }

    pub(super) fn tell(&mut self, outputs: &[usize], missing: &Missing) {
        for output in outputs {
            if let Some(untold) = self.missing.get_mut(output) {
                untold.push(missing.clone());
            }
        }
    }
}
