//! The deliveries that make room for further batches, counted while they do.

use tokio::sync::watch;

use super::Health;

/// Counts while it lives.
#[derive(Debug)]
pub struct Counted<'a>(&'a watch::Sender<usize>);

impl Health {
    /// While the returned guard lives, the route sends more batches than usual, to see whether any is taken.
    #[must_use]
    pub fn doubt(&self) -> Counted<'_> {
        Counted::new(&self.in_doubt)
    }

    /// While the returned guard lives, a delivery has no request under way and waits for the endpoint to make safe what it
    /// took: the route may send another one meanwhile.
    #[must_use]
    pub fn waits_for_ack(&self) -> Counted<'_> {
        Counted::new(&self.waiting_for_acks)
    }

    /// A receiver of the number of deliveries that wait like this.
    #[must_use]
    pub fn waiting_for_acks(&self) -> watch::Receiver<usize> {
        self.waiting_for_acks.subscribe()
    }

    /// A receiver of the number of deliveries in doubt.
    #[must_use]
    pub fn doubts(&self) -> watch::Receiver<usize> {
        self.in_doubt.subscribe()
    }
}

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
