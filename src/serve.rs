//! Serves HTTP for the admin server, the live view and the receiver: on which listener, how many connections, for how long,
//! and the end. Below it what tells clients from strangers: `tls` and `token`.

mod listener;
mod patience;
pub(crate) mod tls;
pub(crate) mod token;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use listener::Stream;
pub(crate) use listener::{Listener, bind_socket};
use patience::Patient;

/// Connections at a time; others wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;
/// HTTP/2 requests at a time on one connection.
const MAX_STREAMS: u32 = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request. It runs on an idle connection too, so it is longer than the 90 s for which Go and
/// reqwest keep one: the sender hangs up first, and no request meets a connection that we are just closing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// For requests under way at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Answers one request.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// The answer to `request`.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Answers connections until `stop` completes, then finishes the requests under way; returns whether it could.
pub(crate) async fn serve(
    listener: impl Into<Listener>,
    tls: Option<TlsAcceptor>,
    answer: impl Answer,
    stop: impl Future<Output = ()>,
) -> bool {
    let listener = listener.into();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        tokio::spawn(connection(stream, slot, tls.clone(), answer.clone(), graceful.watcher()));
    }
    drop(listener);
    let finished = timeout(GRACE, graceful.shutdown()).await.is_ok();
    if !finished {
        warn!("requests that were still under way are abandoned; their senders try again");
    }
    finished
}

async fn accept(listener: &Listener, slots: &Arc<Semaphore>) -> (Stream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok(stream) => return (stream, slot),
            Err(error) => {
                // Out of file descriptors, most likely: asking again at once would spin.
                warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: Stream,
    _slot: OwnedSemaphorePermit,
    tls: Option<TlsAcceptor>,
    answer: impl Answer,
    watcher: Watcher,
) {
    let stream = match stream {
        Stream::Tcp(stream) => stream,
        Stream::Unix(stream) => return requests(stream, false, answer, watcher).await,
    };
    // Answers are one small segment each; a failure only costs latency.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(stream, false, answer, watcher).await;
    };
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return warn!(%error, "a TLS handshake failed"),
        Err(_) => return warn!("a TLS handshake took too long"),
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    requests(stream, http2, answer, watcher).await;
}

/// HTTP/2 is spoken where the TLS handshake agreed on it, as kube-apiserver does; plain connections are HTTP/1.
async fn requests<S>(stream: S, http2: bool, answer: impl Answer, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    let service = service_fn(|request| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer.answer(request).await) }
    });
    if let Err(error) =
        watcher.watch(builder.serve_connection(TokioIo::new(Patient::new(stream)), service)).await
    {
        debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::*;

    #[derive(Clone)]
    struct Megabyte;

    impl Answer for Megabyte {
        async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
            Response::new(Full::new(Bytes::from(vec![b'x'; 1 << 20])))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_answer_is_not_waited_for() {
        let (mut client, server) = tokio::io::duplex(1 << 10);
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let graceful = GracefulShutdown::new();
        let (began, served) = (Instant::now(), requests(server, false, Megabyte, graceful.watcher()));
        let hour = Duration::from_secs(3600);
        timeout(hour, served).await.expect("the connection is ended");
        assert_eq!(began.elapsed().as_secs(), patience::TAKEN_WITHIN.as_secs());
        drop(client);
    }
}
