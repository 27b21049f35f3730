//! What requests travel on: the one place where a test puts an endpoint of its own under a paused clock.

use std::pin::Pin;

use super::exchange::{Credentials, Exchange, NoAnswer};
use crate::sink::{Answer, Request};

/// A future of a [`Wire`].
pub type Sending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries requests to one endpoint; see [`Exchange`] for what its functions promise.
pub trait Wire: Send + Sync {
    /// Posts `request` once. Also tells with which credentials.
    fn post(&self, request: Request) -> Sending<'_, Result<(Answer, Credentials), NoAnswer>>;

    /// The endpoint has refused the credentials of a request: reads them again. True if there are others now.
    fn refused(&self, credentials: Credentials) -> Sending<'_, bool>;

    /// Returns when anything has changed of what is known of the endpoint since this was called.
    fn changed(&self) -> Sending<'_, ()>;
}

impl Wire for Exchange {
    fn post(&self, request: Request) -> Sending<'_, Result<(Answer, Credentials), NoAnswer>> {
        Box::pin(self.post(request))
    }

    fn refused(&self, credentials: Credentials) -> Sending<'_, bool> {
        Box::pin(self.refused(credentials))
    }

    fn changed(&self) -> Sending<'_, ()> {
        Box::pin(self.changed())
    }
}
