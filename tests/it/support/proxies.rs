//! Small proxies: CONNECT and forwarding over http and https, and SOCKS5. Whatever name they are asked for, they know only
//! one endpoint, so a name needs to exist nowhere else.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::http1::{self, Recorded};

/// What a proxy speaks.
pub(crate) enum Speaks {
    Http,
    Https(Arc<rustls::ServerConfig>),
    Socks,
}

/// What it does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// Connects everybody.
    Willing,
    /// Connects those who show `user:password`.
    Wants(&'static str),
    /// Says this instead: a status of HTTP, or a reply of SOCKS.
    Says(u16),
    /// Says nothing.
    Silent,
}

/// A proxy in this process, with a thread of its own.
pub(crate) struct Proxy {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    upstream: SocketAddr,
    mood: Mutex<Mood>,
    asked: Mutex<Vec<Asked>>,
    carried: Mutex<Vec<u8>>,
}

/// What somebody asked of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `host:port` of a tunnel, or the URL of a request to be forwarded.
    pub(crate) target: String,
    /// `user:password`
    pub(crate) credentials: Option<String>,
    /// The names of all headers, in lower case.
    pub(crate) headers: Vec<String>,
}

impl Proxy {
    pub(crate) fn start(speaks: Speaks, upstream: SocketAddr, mood: Mood) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            upstream,
            mood: Mutex::new(mood),
            asked: Mutex::default(),
            carried: Mutex::default(),
        });
        let scheme = match speaks {
            Speaks::Http => "http",
            Speaks::Https(_) => "https",
            Speaks::Socks => "socks5",
        };
        runtime.spawn(accept(listener, speaks, Arc::clone(&shared)));
        Self { address, scheme, shared, runtime: Some(runtime) }
    }

    /// `scheme://[user:password@]host:port`, the credentials as a URL takes them.
    pub(crate) fn url(&self, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("{}://{credentials}{at}{}", self.scheme, self.address)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// What it has carried to the endpoint, as a proxy sees it.
    pub(crate) fn carried(&self) -> Vec<u8> {
        self.shared.carried.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Dropped as such, a runtime waits, which is forbidden inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, speaks: Speaks, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let tls = match &speaks {
        Speaks::Https(config) => Some(TlsAcceptor::from(Arc::clone(config))),
        Speaks::Http | Speaks::Socks => None,
    };
    let speaks_socks = matches!(speaks, Speaks::Socks);
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            // A connection that ends in an error has ended.
            let _ = match tls {
                _ if speaks_socks => socks(stream, &shared).await,
                None => http(stream, &shared).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => http(stream, &shared).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

impl Shared {
    /// `None` if it connects, or what it says instead; `refusal` is for those whom it does not know.
    async fn answer(&self, asked: Asked, refusal: u16) -> Option<u16> {
        let credentials = asked.credentials.clone();
        self.asked.lock().unwrap().push(asked);
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Willing => None,
            Mood::Wants(wanted) => (credentials.as_deref() != Some(wanted)).then_some(refusal),
            Mood::Says(code) => Some(code),
            Mood::Silent => std::future::pending().await,
        }
    }

    /// Carries bytes both ways, and keeps those to the endpoint.
    async fn tunnel(&self, near: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let far = TcpStream::connect(self.upstream).await?;
        let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
            (tokio::io::split(near), far.into_split());
        let up = async {
            let mut bytes = vec![0; 16 << 10];
            loop {
                let count = near_read.read(&mut bytes).await?;
                if count == 0 {
                    return far_write.shutdown().await;
                }
                self.carried.lock().unwrap().extend_from_slice(&bytes[..count]);
                far_write.write_all(&bytes[..count]).await?;
            }
        };
        let down = async {
            tokio::io::copy(&mut far_read, &mut near_write).await?;
            near_write.shutdown().await
        };
        tokio::try_join!(up, down).map(drop)
    }

    /// Sends one request on as the endpoint expects it, and returns its answer.
    async fn forward(&self, request: &Recorded) -> io::Result<Vec<u8>> {
        let path = request.target.splitn(4, '/').nth(3).unwrap_or_default();
        let mut head = format!("{} /{path} HTTP/1.1\r\n", request.method);
        for (name, value) in request.headers.iter().filter(|(name, _)| !name.starts_with("proxy-")) {
            head = format!("{head}{name}: {value}\r\n");
        }
        let mut far = TcpStream::connect(self.upstream).await?;
        let bytes = [format!("{head}\r\n").as_bytes(), &request.body].concat();
        self.carried.lock().unwrap().extend_from_slice(&bytes);
        far.write_all(&bytes).await?;
        // As the endpoint of these tests answers; it leaves the connection open.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n{}") {
            answer.push(far.read_u8().await?);
        }
        Ok(answer)
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = http1::read(&mut stream).await? {
        let credentials = request.header("proxy-authorization").map(|value| {
            let encoded = value.strip_prefix("Basic ").unwrap();
            String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
        });
        let headers = request.headers.iter().map(|(name, _)| name.clone()).collect();
        let asked = Asked { target: request.target.clone(), credentials, headers };
        if let Some(status) = shared.answer(asked, 407).await {
            let head = format!("HTTP/1.1 {status} Proxy\r\nProxy-Authenticate: Basic realm=\"x\"\r\n");
            stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).await?;
        } else if request.method == "CONNECT" {
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
            stream.flush().await?;
            return shared.tunnel(stream).await;
        } else {
            let answer = shared.forward(&request).await?;
            stream.write_all(&answer).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

/// RFC 1928, and 1929 for credentials.
async fn socks(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let [_version, count] = array(&mut stream).await?;
    let methods = vector(&mut stream, count).await?;
    let mut credentials = None;
    if methods.contains(&2) {
        stream.write_all(&[5, 2]).await?;
        let [_version, length] = array(&mut stream).await?;
        let user = vector(&mut stream, length).await?;
        let length = stream.read_u8().await?;
        let password = vector(&mut stream, length).await?;
        let shown = String::from_utf8([user, password].join(&b':')).unwrap();
        let known = match &*shared.mood.lock().unwrap() {
            Mood::Wants(wanted) => shown == *wanted,
            _ => true,
        };
        stream.write_all(&[1, u8::from(!known)]).await?;
        credentials = Some(shown);
    } else if matches!(&*shared.mood.lock().unwrap(), Mood::Wants(_)) {
        return stream.write_all(&[5, 255]).await;
    } else {
        stream.write_all(&[5, 0]).await?;
    }
    let [_version, _connect, _reserved, kind] = array(&mut stream).await?;
    let host = match kind {
        3 => {
            let length = stream.read_u8().await?;
            String::from_utf8(vector(&mut stream, length).await?).unwrap()
        }
        _ => std::net::Ipv4Addr::from(array::<4>(&mut stream).await?).to_string(),
    };
    let target = format!("{host}:{}", stream.read_u16().await?);
    let said = shared.answer(Asked { target, credentials, headers: Vec::new() }, 2).await;
    let reply = u8::try_from(said.unwrap_or(0)).unwrap();
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    if reply == 0 { shared.tunnel(stream).await } else { Ok(()) }
}

async fn array<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn vector(stream: &mut TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
