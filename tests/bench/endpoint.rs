//! An endpoint that costs next to nothing: it counts what is posted and throws it away.
//!
//! It shares the machine with what is measured, so bodies that nobody looks at are discarded in the kernel.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const BUFFER_BYTES: usize = 64 << 10;
const DISCARDED_AT_ONCE: usize = 4 << 20;

/// Is given each body and the time at which it was complete.
pub(crate) type Observer = dyn Fn(&[u8], Instant) + Send + Sync;
/// Is given the target of each request, in lower case, and its body; returns the answer, from its status line on.
pub(crate) type Answerer = dyn Fn(&str, &[u8]) -> Vec<u8> + Send + Sync;

/// What an endpoint does with a connection.
#[derive(Clone)]
enum Protocol {
    Http(Option<Arc<Observer>>),
    Answered(Arc<Answerer>),
    /// Bytes until the end.
    Plain,
}

/// Listens until this is dropped.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    accepting: Option<JoinHandle<()>>,
}

struct Seen {
    since: Instant,
    body_bytes: AtomicU64,
    /// When the head of the first request was read, and when anything was read last; since the start, never 0.
    first_nanos: AtomicU64,
    last_nanos: AtomicU64,
    closing: AtomicBool,
}

impl Seen {
    fn now_nanos(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn note_bytes(&self, count: usize) {
        self.body_bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.last_nanos.store(self.now_nanos(), Ordering::Relaxed);
    }

    fn note_head(&self) {
        let now = self.now_nanos();
        let _ = self.first_nanos.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        self.last_nanos.store(now, Ordering::Relaxed);
    }
}

impl Endpoint {
    /// Throws away whatever is posted.
    pub(crate) fn new() -> io::Result<Self> {
        Self::serve(Protocol::Http(None), "127.0.0.1:0")
    }

    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        Self::serve(Protocol::Http(None), &address.to_string())
    }

    pub(crate) fn observed(observer: Arc<Observer>) -> io::Result<Self> {
        Self::serve(Protocol::Http(Some(observer)), "127.0.0.1:0")
    }

    /// Answers as a protocol has it.
    pub(crate) fn answering(answerer: Arc<Answerer>) -> io::Result<Self> {
        Self::serve(Protocol::Answered(answerer), "127.0.0.1:0")
    }

    /// For those that cannot post: counts the bytes of a stream.
    pub(crate) fn plain() -> io::Result<Self> {
        Self::serve(Protocol::Plain, "127.0.0.1:0")
    }

    fn serve(protocol: Protocol, address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen {
            since: Instant::now(),
            body_bytes: AtomicU64::new(0),
            first_nanos: AtomicU64::new(0),
            last_nanos: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let shared = Arc::clone(&seen);
        let accepting = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.closing.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, protocol) = (Arc::clone(&shared), protocol.clone());
                std::thread::spawn(move || Connection::new(stream, seen).serve(&protocol));
            }
        });
        Ok(Self { address, seen, accepting: Some(accepting) })
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.seen.body_bytes.load(Ordering::Relaxed)
    }

    /// When the head of the first request was there.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.time(&self.seen.first_nanos)
    }

    /// When anything came last.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.time(&self.seen.last_nanos)
    }

    fn time(&self, nanos: &AtomicU64) -> Option<Instant> {
        let nanos = nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.seen.since + Duration::from_nanos(nanos))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.seen.closing.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; once that has ended, the port is free for another endpoint.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// What is said of a request before its body.
struct Head {
    target: String,
    length: Length,
}

/// How long the body of a request is.
enum Length {
    Known(usize),
    Chunked,
}

struct Connection {
    stream: BufReader<TcpStream>,
    seen: Arc<Seen>,
    discarded: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, seen: Arc<Seen>) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream: BufReader::with_capacity(BUFFER_BYTES, stream), seen, discarded: Vec::new() }
    }

    fn serve(mut self, protocol: &Protocol) {
        match protocol {
            Protocol::Http(None) => while self.discard_request().is_ok() {},
            Protocol::Http(Some(observer)) => {
                let observe = |_: &str, body: &[u8]| {
                    observer(body, Instant::now());
                    OK.to_owned()
                };
                while self.take_request(&observe).is_ok() {}
            }
            Protocol::Answered(answerer) => while self.take_request(&**answerer).is_ok() {},
            Protocol::Plain => while matches!(self.discard(DISCARDED_AT_ONCE), Ok(1..)) {},
        }
    }

    fn take_request(&mut self, answerer: &dyn Fn(&str, &[u8]) -> Vec<u8>) -> io::Result<()> {
        let head = self.read_head()?;
        let mut body = Vec::new();
        self.each_part(&head.length, |connection, count| {
            let start = body.len();
            body.resize(start + count, 0);
            connection.stream.read_exact(&mut body[start..])?;
            connection.seen.note_bytes(count);
            Ok(())
        })?;
        self.stream.get_mut().write_all(&answerer(&head.target, &body))
    }

    fn discard_request(&mut self) -> io::Result<()> {
        let head = self.read_head()?;
        self.each_part(&head.length, |connection, mut left| {
            while left > 0 {
                left -= connection.discard(left)?;
            }
            Ok(())
        })?;
        self.stream.get_mut().write_all(OK)
    }

    fn read_head(&mut self) -> io::Result<Head> {
        let (mut line, mut length, mut target) = (String::new(), Length::Known(0), None);
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.make_ascii_lowercase();
            if target.is_none() {
                self.seen.note_head();
                target = line.split(' ').nth(1).map(str::to_owned);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Length::Known(value.trim().parse().map_err(io::Error::other)?);
            } else if line.starts_with("transfer-encoding: chunked") {
                length = Length::Chunked;
            } else if line.starts_with("expect: 100-continue") {
                self.stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
        }
        Ok(Head { target: target.unwrap_or_default(), length })
    }

    /// Has each part of the body taken.
    fn each_part(
        &mut self,
        length: &Length,
        mut take: impl FnMut(&mut Self, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Length::Known(length) = length {
            return take(self, *length);
        }
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let count = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            take(self, count)?;
            line.clear();
            self.stream.read_line(&mut line)?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Throws away `most` bytes or fewer, and returns how many.
    fn discard(&mut self, most: usize) -> io::Result<usize> {
        let buffered = self.stream.buffer().len().min(most);
        let count = if buffered > 0 {
            self.stream.consume(buffered);
            buffered
        } else {
            self.discarded.resize(DISCARDED_AT_ONCE, 0);
            let room = &mut self.discarded[..most.min(DISCARDED_AT_ONCE)];
            // On a TCP socket: the bytes are dropped, not copied.
            match rustix::net::recv(self.stream.get_ref(), room, RecvFlags::TRUNC)? {
                (_, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (_, count) => count,
            }
        };
        self.seen.note_bytes(count);
        Ok(count)
    }
}
