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

/// When events are sent again, by what an answer says of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    AtOnce,
    Backoff,
    /// Somebody has to change something first.
    Hold,
}

/// An event that the endpoint refuses by name.
pub(super) struct Named {
    pub(super) refused: Refused,
    /// Whether others of the same request were taken, then or when they were sent again without it.
    pub(super) is_evident: bool,
    /// Whether the answer spoke of each event. Else it is the place of one that was told, which may be meant otherwise
    /// than we read it: such an event is asked about alone.
    pub(super) is_sure: bool,
}

impl Decision {
    /// Notes what an answer said of each of `events`. Returns the places of those that are to be sent again, and when.
    pub(super) fn note(
        &mut self,
        events: &Events,
        verdicts: Vec<EventVerdict>,
        status: u16,
        size: Size,
    ) -> (Vec<usize>, Pace) {
        let is_evident = verdicts.contains(&EventVerdict::Accepted);
        let is_sure = !verdicts.contains(&EventVerdict::Again);
        if is_evident {
            self.size += size;
            // Those that were named before, too: this request was begun after that.
            self.refused.iter_mut().for_each(|named| named.is_evident = true);
        }
        let (mut left, mut pace) = (Vec::new(), Pace::AtOnce);
        for (index, verdict) in events.places().zip(verdicts) {
            let is_evident = is_evident || matches!(verdict, EventVerdict::Unfit { .. });
            match verdict {
                EventVerdict::Accepted => self.taken += 1,
                EventVerdict::Again => left.push(index),
                EventVerdict::Retry => {
                    pace = pace.max(Pace::Backoff);
                    left.push(index);
                }
                EventVerdict::Hold => {
                    pace = Pace::Hold;
                    left.push(index);
                }
                EventVerdict::Refused { reason } | EventVerdict::Unfit { reason } => {
                    let refused = Refused { index, reason: Reason::Rejected, answer: (status, reason) };
                    self.refused.push(Named { refused, is_evident, is_sure });
                }
            }
        }
        (left, pace)
    }
}
