//! What the endpoint has decided on the events of a request so far.

use super::Refused;
use super::asking::Undecided;
use crate::batch::Reason;
use crate::body::Size;
use crate::sink::{EventVerdict, Events};

/// What became of the events of a request, and of those of it that were sent again.
#[derive(Default)]
pub(super) struct Decision {
    pub(super) taken: u64,
    pub(super) refused_unnamed: u64,
    /// All events that may be among these, as far as they are to be kept.
    pub(super) uncertain: Vec<Refused>,
    pub(super) size: Size,
    /// Events that an answer has named.
    pub(super) refused: Vec<Named>,
    /// Those that are not decided, and are not to be tried again like this.
    pub(super) left: Option<(Events, Undecided)>,
}

/// An event that the endpoint refuses by name.
pub(super) struct Named {
    pub(super) refused: Refused,
    /// Whether others of the same request were taken, then or when they were sent again without it.
    pub(super) is_evident: bool,
}

impl Decision {
    /// Notes what an answer said of each of `events`. Returns the places of those that are to be sent again, and whether
    /// somebody has to change something first.
    pub(super) fn note(
        &mut self,
        events: &Events,
        verdicts: Vec<EventVerdict>,
        status: u16,
        size: Size,
    ) -> (Vec<usize>, bool) {
        let is_evident = verdicts.contains(&EventVerdict::Accepted);
        if is_evident {
            self.size += size;
        }
        let (mut left, mut is_held) = (Vec::new(), false);
        for (index, verdict) in events.places().zip(verdicts) {
            let is_evident = is_evident || matches!(verdict, EventVerdict::Unfit { .. });
            match verdict {
                EventVerdict::Accepted => self.taken += 1,
                EventVerdict::Retry => left.push(index),
                EventVerdict::Hold => {
                    is_held = true;
                    left.push(index);
                }
                EventVerdict::Refused { reason } | EventVerdict::Unfit { reason } => {
                    let refused = Refused { index, reason: Reason::Rejected, answer: (status, reason) };
                    self.refused.push(Named { refused, is_evident });
                }
            }
        }
        (left, is_held)
    }
}
