//! The network between the shipper and the endpoint: a TCP proxy whose connections break as a test says.
//!
//! Connections are counted from 0 in order of arrival. Where a fault counts bytes of a body, HTTP/1.1 without TLS is
//! expected; `Pass` and `hang` are for any bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::wait_until;

/// What becomes of one connection.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing bad.
    Pass,
    /// This many bytes of the request's body get through, then this happens.
    Request(usize, Break),
    /// This many bytes of the answer get through, then this happens. The endpoint has taken the request.
    Answer(usize, Break),
    /// The answer comes a byte at a time, with this pause before each.
    Trickle(Duration),
    /// The answer waits until this many connections had theirs.
    AnswerAfter(usize),
    /// These bytes come before the answer.
    Before(&'static [u8]),
    /// These bytes come instead of the answer. The endpoint has taken the request, and gets no other.
    Instead { answer: Vec<u8>, then: Then },
    /// The connection is reset when the second request on it arrives.
    Stale,
    /// Nobody reads, nobody speaks.
    Mute,
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// With a reset (SO_LINGER 0), towards both ends.
    Reset,
    /// Nothing moves any more in that direction, and nothing is closed.
    Stall,
    /// That direction is closed in order, the other goes on.
    HalfClose,
}

/// What follows the bytes of `Fault::Instead`.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    Close,
    KeepOpen,
    /// These bytes without an end.
    Forever(Vec<u8>),
}

/// A proxy in this process, with a thread of its own.
pub(crate) struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    upstream: SocketAddr,
    script: Box<dyn Fn(usize) -> Fault + Send + Sync>,
    connections: watch::Sender<usize>,
    /// Connections that had the first bytes of an answer.
    answered: watch::Sender<usize>,
    /// Connections with a number below this hang.
    hung_below: watch::Sender<usize>,
    /// Connections with a number below this are closed.
    closed_below: watch::Sender<usize>,
    /// How many have ended.
    ended: watch::Sender<usize>,
}

impl Network {
    /// A way to `upstream` on which the n-th connection meets what the script says.
    pub(crate) fn start(
        upstream: SocketAddr,
        script: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), upstream, script)
    }

    /// The same at a given address.
    pub(crate) fn start_at(
        address: SocketAddr,
        upstream: SocketAddr,
        script: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            upstream,
            script: Box::new(script),
            connections: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            hung_below: watch::Sender::new(0),
            closed_below: watch::Sender::new(0),
            ended: watch::Sender::new(0),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` with its address and the path `/audit`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/audit", self.address)
    }

    /// How many connections came so far.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// From now on nothing moves on the connections that there are; new ones pass.
    pub(crate) fn hang(&self) {
        self.shared.hung_below.send_replace(self.connections());
    }

    /// Closes the connections that there are, in order. Nothing passes on them after that.
    pub(crate) fn close(&self) {
        let below = self.connections();
        self.shared.closed_below.send_replace(below);
        wait_until("the end of the connections", || (*self.shared.ended.borrow() >= below).then_some(()));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Dropped as such, a runtime waits, which is forbidden inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let mut number = 0;
        shared.connections.send_modify(|count| {
            number = *count;
            *count += 1;
        });
        let fault = (shared.script)(number);
        tokio::spawn(async move {
            let mut closed = shared.closed_below.subscribe();
            tokio::select! {
                // A connection that ends in an error has ended, as it was meant to or with its end.
                _ = connection(stream, number, fault, &shared) => {}
                _ = closed.wait_for(|below| number < *below) => {}
            }
            shared.ended.send_modify(|count| *count += 1);
        });
    }
}

async fn connection(near: TcpStream, number: usize, fault: Fault, shared: &Shared) -> io::Result<()> {
    if matches!(fault, Fault::Mute) {
        let _held = near;
        return std::future::pending().await;
    }
    let far = TcpStream::connect(shared.upstream).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let reset =
        matches!(&fault, Fault::Request(_, Break::Reset) | Fault::Answer(_, Break::Reset) | Fault::Stale);
    if reset {
        // Whenever one of these is dropped, it is reset; until then nothing differs.
        near.set_zero_linger()?;
        far.set_zero_linger()?;
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let gate = Hung { number, below: shared.hung_below.subscribe() };
    let up = upward(near_read, far_write, &fault, gate.clone());
    let down = downward(far_read, near_write, &fault, gate, shared);
    // A direction that closed in order leaves the other alone.
    tokio::try_join!(up, down).map(drop)
}

/// Holds a direction for ever once its connection is to hang.
#[derive(Clone)]
struct Hung {
    number: usize,
    below: watch::Receiver<usize>,
}

impl Hung {
    async fn passed(&self) {
        if *self.below.borrow() > self.number {
            std::future::pending::<()>().await;
        }
    }
}

/// From the shipper to the endpoint.
async fn upward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fault: &Fault,
    hung: Hung,
) -> io::Result<()> {
    match fault {
        Fault::Request(bytes, how) => {
            copy_head(&mut from, &mut to).await?;
            copy_exactly(&mut from, &mut to, *bytes).await?;
            broken(*how, from, to).await
        }
        Fault::Stale | Fault::Instead { .. } => {
            let head = copy_head(&mut from, &mut to).await?;
            copy_exactly(&mut from, &mut to, length_of(&head)).await?;
            if matches!(fault, Fault::Instead { .. }) {
                // What else comes gets nowhere: who takes these bytes for an answer to it loses events.
                return tokio::io::copy(&mut from, &mut tokio::io::sink()).await.map(drop);
            }
            from.read_u8().await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        _ => {
            copy(&mut from, &mut to, &hung).await?;
            to.shutdown().await
        }
    }
}

/// From the endpoint to the shipper.
async fn downward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fault: &Fault,
    hung: Hung,
    shared: &Shared,
) -> io::Result<()> {
    let mut first = [0; 1];
    if from.peek(&mut first).await? > 0 {
        match fault {
            Fault::Answer(bytes, how) => {
                copy_exactly(&mut from, &mut to, *bytes).await?;
                return broken(*how, from, to).await;
            }
            Fault::Trickle(pause) => return trickle(from, to, *pause).await,
            Fault::AnswerAfter(count) => {
                shared.answered.subscribe().wait_for(|answered| answered >= count).await.unwrap();
            }
            Fault::Before(bytes) => to.write_all(bytes).await?,
            Fault::Instead { answer, then } => return instead(to, answer, then).await,
            _ => {}
        }
    }
    let answered = async {
        let mut bytes = vec![0; 16 << 10];
        let count = from.read(&mut bytes).await?;
        hung.passed().await;
        to.write_all(&bytes[..count]).await?;
        if count > 0 {
            shared.answered.send_modify(|answered| *answered += 1);
        }
        copy(&mut from, &mut to, &hung).await
    };
    answered.await?;
    to.shutdown().await
}

async fn broken(how: Break, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    match how {
        Break::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        Break::Stall => std::future::pending().await,
        Break::HalfClose => {
            to.shutdown().await?;
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await.map(drop)
        }
    }
}

async fn instead(mut to: OwnedWriteHalf, answer: &[u8], then: &Then) -> io::Result<()> {
    to.write_all(answer).await?;
    match then {
        Then::Close => to.shutdown().await,
        Then::KeepOpen => std::future::pending().await,
        Then::Forever(bytes) => loop {
            to.write_all(bytes).await?;
        },
    }
}

async fn trickle(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, pause: Duration) -> io::Result<()> {
    while let Ok(byte) = from.read_u8().await {
        tokio::time::sleep(pause).await;
        to.write_u8(byte).await?;
    }
    to.shutdown().await
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    hung: &Hung,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        hung.passed().await;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// Up to and with the empty line.
async fn copy_head(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    to.write_all(&head).await?;
    Ok(head)
}

async fn copy_exactly(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: usize,
) -> io::Result<()> {
    tokio::io::copy(&mut from.take(bytes as u64), to).await.map(drop)
}

fn length_of(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap().to_ascii_lowercase();
    let value = head.split_once("content-length: ").unwrap().1;
    value.split_once('\r').unwrap().0.parse().unwrap()
}
