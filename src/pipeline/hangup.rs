//! SIGHUP: everything is read again, and systemd is told when all of it has been.

use std::convert::Infallible;
use std::future::pending;

use tokio::signal::unix::Signal;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use crate::supervisor;

/// Tells everybody who keeps something current.
#[derive(Clone)]
pub(super) struct Hangups(broadcast::Sender<Asked>);

/// Is told of each.
pub(super) struct Listener(broadcast::Receiver<Asked>);

/// Somebody has asked for everything to be read again, and waits for as long as there is one of these.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Nothing is sent: that the last one is dropped is the message.
    _waiting: mpsc::Sender<Infallible>,
}

impl Hangups {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(1))
    }

    /// Who listens takes what it hears soon, or keeps whoever asked waiting.
    pub(super) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }

    /// Hears the signals, until it is dropped. Who asks again before all is read waits for the later reading.
    pub(super) async fn hear(self, mut signals: Signal) {
        let mut signal = signals.recv().await;
        while signal.is_some() {
            tracing::info!(
                "SIGHUP: reading the configuration, the kubeconfigs, their files and the policies again"
            );
            supervisor::reloading();
            let mut done = self.ask();
            signal = tokio::select! {
                signal = signals.recv() => signal,
                _ = done.recv() => {
                    supervisor::reloaded();
                    signals.recv().await
                }
            };
        }
    }

    /// What this returns is closed when everybody has read everything.
    fn ask(&self) -> mpsc::Receiver<Infallible> {
        let (waiting, done) = mpsc::channel(1);
        // Without a listener it is dropped, and all is done.
        let _ = self.0.send(Asked { _waiting: waiting });
        done
    }
}

impl Listener {
    /// Waits for the next one; of several the last counts. Whoever gets it drops it when everything is read. May be dropped
    /// and called again.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            match self.0.recv().await {
                Ok(asked) => return asked,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_waits_for_everybody_who_listens_and_for_nobody_else() {
        let hangups = Hangups::new();
        assert!(hangups.ask().recv().await.is_none(), "nobody listens");
        let (mut one, mut other, gone) = (hangups.listen(), hangups.listen(), hangups.listen());
        let mut done = hangups.ask();
        drop((one.next().await, gone));
        assert!(done.recv().now_or_never().is_none(), "the other has not heard of it");
        let heard = other.next().await;
        assert!(done.recv().now_or_never().is_none(), "the other has not read anything");
        drop(heard);
        assert!(done.recv().await.is_none());
    }

    #[tokio::test]
    async fn of_several_the_last_counts() {
        let hangups = Hangups::new();
        let mut slow = hangups.listen();
        let (mut first, mut last) = (hangups.ask(), hangups.ask());
        assert!(first.recv().await.is_none(), "nobody will hear of it");
        drop(slow.next().await);
        assert!(last.recv().await.is_none());
        assert!(slow.next().now_or_never().is_none());
    }
}
