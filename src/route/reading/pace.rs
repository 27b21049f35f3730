//! How often the log is looked at.

use std::time::Duration;

/// A look finds the lines of this part of the time for which a batch may wait, so that looking adds little to it.
const LOOKS_A_WAIT: u32 = 10;
/// The log is read no more often than this, however little a batch may wait: each look costs the same.
const SHORTEST_PACE: Duration = Duration::from_millis(2);
/// The log is read as often as this while it is written to, however long a batch may wait. To read late loses nothing
/// where files are renamed, since they are held. But what is written between the copy and the truncation of a rotator
/// that truncates in place is only had if it is read in between.
pub(super) const LONGEST_PACE: Duration = Duration::from_millis(50);
/// How often the log is looked at without a hint, while it is being written.
pub(super) const ACTIVE_TICK: Duration = Duration::from_secs(1);
/// The same when nothing has been written for a while.
pub(super) const IDLE_TICK: Duration = Duration::from_secs(15);
/// How long "a while" is.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(60);

/// How long to wait between two looks for a first line, where a batch may wait for so long. With a line in hand there is no
/// need to hurry: it goes when it is due, with what is there by then.
pub(super) fn pace(max_wait: Duration) -> Duration {
    (max_wait / LOOKS_A_WAIT).clamp(SHORTEST_PACE, LONGEST_PACE)
}
