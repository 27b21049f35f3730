//! When a route is to end, and how.

use tokio_util::sync::CancellationToken;

/// When a route is to end.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// It reads no further, and finishes what is in memory within the grace.
    pub now: CancellationToken,
    /// It reads on to the end of the log, which nobody writes any more, and ends when all of it is settled.
    pub at_end: CancellationToken,
}
