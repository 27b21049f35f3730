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
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use listener::Stream;
pub(crate) use listener::{Listener, bind_socket};
use patience::Patient;
use tls::Tls;

/// Connections at a time. When there are as many, the oldest that asks for nothing goes for the next one: whoever opens
/// many and asks nothing keeps nobody out, or a supervisor would find us dead.
const MAX_CONNECTIONS: usize = 512;
/// How long one may take to go until another one is told to go; it stays if it asks for something.
const GOES_WITHIN: Duration = Duration::from_millis(100);
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
    tls: Option<Arc<Tls>>,
    answer: impl Answer,
    stop: impl Future<Output = ()>,
) -> bool {
    serve_at_most(MAX_CONNECTIONS, listener.into(), tls, answer, stop).await
}

async fn serve_at_most(
    connections: usize,
    listener: Listener,
    tls: Option<Arc<Tls>>,
    answer: impl Answer,
    stop: impl Future<Output = ()>,
) -> bool {
    let room = Room { slots: Arc::new(Semaphore::new(connections)), is_wanted: Arc::default() };
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let answer = Asked { answer: answer.clone(), request: Arc::default() };
        let at_rest = Arc::clone(&answer.request);
        let served = connection(stream, tls.clone(), answer, graceful.watcher());
        let is_wanted = Arc::clone(&room.is_wanted);
        tokio::spawn(async move {
            let _slot = slot;
            unless_wanted(served, &is_wanted, &at_rest).await;
        });
    }
    drop(listener);
    let finished = timeout(GRACE, graceful.shutdown()).await.is_ok();
    if !finished {
        warn!("requests that were still under way are abandoned; their senders try again");
    }
    finished
}

/// Room for connections, and whether somebody waits for some.
struct Room {
    slots: Arc<Semaphore>,
    is_wanted: Arc<Notify>,
}

impl Room {
    async fn slot(&self) -> OwnedSemaphorePermit {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return slot;
        }
        loop {
            self.is_wanted.notify_one();
            let slot = Arc::clone(&self.slots).acquire_owned();
            if let Ok(slot) = timeout(GOES_WITHIN, slot).await {
                return slot.expect("the semaphore is never closed");
            }
        }
    }
}

/// An answer that is cloned for each request, and its clones are counted.
#[derive(Clone)]
struct Asked<A> {
    answer: A,
    request: Arc<()>,
}

impl<A: Answer> Answer for Asked<A> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.answer.answer(request).await
    }
}

/// Serves a connection until its end, or until its room is wanted while it asks for nothing. Who waits longest is told first.
async fn unless_wanted(served: impl Future<Output = ()>, is_wanted: &Notify, at_rest: &Arc<()>) {
    /// Ours, and that of the connection.
    const AT_REST: usize = 2;
    let mut served = pin!(served);
    loop {
        tokio::select! {
            biased;
            () = &mut served => return,
            () = is_wanted.notified() => {
                if Arc::strong_count(at_rest) <= AT_REST {
                    debug!("a connection that asks for nothing goes for another one");
                    return;
                }
            }
        }
    }
}

async fn accept(listener: &Listener, room: &Room) -> (Stream, OwnedSemaphorePermit) {
    loop {
        // Only who is there wants room.
        match listener.accept().await {
            Ok(stream) => return (stream, room.slot().await),
            Err(error) => {
                // Out of file descriptors, most likely: asking again at once would spin.
                warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: Stream, tls: Option<Arc<Tls>>, answer: impl Answer, watcher: Watcher) {
    let stream = match stream {
        Stream::Tcp(stream) => stream,
        Stream::Unix(stream) => return requests(stream, false, answer, watcher).await,
    };
    // Answers are one small segment each; a failure only costs latency.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(stream, false, answer, watcher).await;
    };
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
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
    use std::future::pending;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

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
        client.write_all(REQUEST).await.unwrap();
        let graceful = GracefulShutdown::new();
        let began = Instant::now();
        let ending = requests(server, false, Megabyte, graceful.watcher());
        let hour = Duration::from_secs(3600);
        timeout(hour, ending).await.expect("the connection is ended");
        assert_eq!(began.elapsed().as_secs(), patience::TAKEN_WITHIN.as_secs());
        drop(client);
    }

    /// Answers when it may, and tells how many have asked.
    #[derive(Clone)]
    struct Gated {
        asked: watch::Sender<usize>,
        may: watch::Receiver<bool>,
    }

    impl Answer for Gated {
        async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
            self.asked.send_modify(|asked| *asked += 1);
            let _ = self.may.clone().wait_for(|may| *may).await;
            Response::new(Full::new(Bytes::from_static(b"answered")))
        }
    }

    #[tokio::test]
    async fn who_asks_for_nothing_keeps_nobody_out_and_who_asks_stays() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ((asked, _), (open, may)) = (watch::channel(0), watch::channel(false));
        let mut asking = asked.subscribe();
        let serving =
            tokio::spawn(serve_at_most(3, listener.into(), None, Gated { asked, may }, pending::<()>()));
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        asking.wait_for(|asked| *asked == 1).await.unwrap();
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut last = TcpStream::connect(address).await.unwrap();
        last.write_all(REQUEST).await.unwrap();
        let minute = Duration::from_secs(60);
        timeout(minute, asking.wait_for(|asked| *asked == 2)).await.expect("the last one is heard").unwrap();
        open.send_replace(true);
        for stream in [&mut first, &mut last] {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("answered"), "{answer}");
        }
        serving.abort();
    }
}
