//! What requests travel on: the one place where a test puts an endpoint of its own under a paused clock.

use std::pin::Pin;

use super::exchange::{Exchange, NoAnswer};
use crate::body::Body;
use crate::sink::Answer;

/// A future of a [`Wire`].
pub type Sending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries requests to one endpoint; see [`Exchange`] for what its functions promise.
pub trait Wire: Send + Sync {
    /// Posts `body` once.
    fn post(&self, body: Body) -> Sending<'_, Result<Answer, NoAnswer>>;

    /// Reads the credentials again. True if they have changed.
    fn reread(&self) -> Sending<'_, bool>;

    /// Returns when anything has changed of what is known of the endpoint.
    fn changed(&self) -> Sending<'_, ()>;
}

impl Wire for Exchange {
    fn post(&self, body: Body) -> Sending<'_, Result<Answer, NoAnswer>> {
        Box::pin(self.post(body))
    }

    fn reread(&self) -> Sending<'_, bool> {
        Box::pin(self.reread())
    }

    fn changed(&self) -> Sending<'_, ()> {
        Box::pin(self.changed())
    }
}
