//! An audit webhook that misbehaves by script.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::http1::{self, Recorded};
use super::wait_until;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// An ordinary answer; the connection stays open. 2xx accepts the items.
    Status { code: u16, headers: Vec<(String, String)>, body: String },
    /// The connection is closed once the request was read.
    Close,
    /// The head of a 200 and half of its body, then the connection is closed.
    CutOff,
    /// Neither an answer nor an end.
    Hang,
    /// The other answer, later.
    Delay(Duration, Box<Answer>),
    /// The other answer, once the gate is open.
    After(Gate, Box<Answer>),
}

/// Holds answers back until it is opened; clones are the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    async fn passed(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

impl Answer {
    /// 200 as an endpoint gives it.
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    /// Any status without a header.
    pub(crate) fn status(code: u16) -> Self {
        // These two have no body, and one that came would be taken for the next answer.
        let body = if [204, 304].contains(&code) { "" } else { "{}" };
        Self::Status { code, headers: Vec::new(), body: body.to_owned() }
    }

    /// Any status with a body.
    pub(crate) fn with_body(code: u16, body: impl Into<String>) -> Self {
        Self::Status { code, headers: Vec::new(), body: body.into() }
    }

    /// Any status with one header.
    pub(crate) fn with_header(code: u16, name: &str, value: &str) -> Self {
        Self::Status { code, headers: vec![(name.to_owned(), value.to_owned())], body: "{}".to_owned() }
    }
}

/// A server in this process, with a thread of its own.
pub(crate) struct Endpoint {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

type Script = Box<dyn Fn(&Recorded, usize) -> Answer + Send + Sync>;

struct Shared {
    script: Script,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    requests: Vec<Recorded>,
    /// Indexes of requests that were answered 2xx, in that order.
    accepted: Vec<usize>,
    under_way: usize,
    most_under_way: usize,
}

impl Endpoint {
    /// Answers the n-th request (from 0, in order of arrival) as the script says.
    pub(crate) fn start(script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), script)
    }

    /// The same at a given address.
    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve("http", address, None, script)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(
        config: rustls::ServerConfig,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve("https", ([127, 0, 0, 1], 0).into(), Some(TlsAcceptor::from(Arc::new(config))), script)
    }

    fn serve(
        scheme: &'static str,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve_on(scheme, std::net::TcpListener::bind(address).unwrap(), tls, script)
    }

    fn serve_on(
        scheme: &'static str,
        listener: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared { script: Box::new(script), history: Mutex::default() });
        runtime.spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, scheme, shared, runtime: Some(runtime) }
    }

    /// The same on a listener that may have a past.
    pub(crate) fn start_on(
        listener: std::net::TcpListener,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve_on("http", listener, None, script)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, with the path `/audit`. Over TLS the host is the name in the certificate.
    pub(crate) fn url(&self) -> String {
        let ip = self.address.ip().to_string();
        let host = if self.scheme == "https" { "localhost" } else { &ip };
        format!("{}://{host}:{}/audit", self.scheme, self.address.port())
    }

    /// All requests so far, in order of arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.history.lock().unwrap().requests.clone()
    }

    /// Waits until the requests satisfy `condition`.
    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&[Recorded]) -> bool) {
        wait_until(what, || condition(&self.shared.history.lock().unwrap().requests).then_some(()));
    }

    /// Waits until `count` items were accepted.
    pub(crate) fn wait_for_items(&self, count: usize) -> Vec<String> {
        let (mut items, mut requests_seen) = (Vec::new(), 0);
        wait_until(&format!("{count} items"), || {
            let new: Vec<Recorded> = {
                let history = self.shared.history.lock().unwrap();
                let new = &history.accepted[requests_seen..];
                new.iter().map(|index| history.requests[*index].clone()).collect()
            };
            requests_seen += new.len();
            items.extend(new.iter().flat_map(lines));
            (items.len() >= count).then(|| std::mem::take(&mut items))
        })
    }

    /// How many requests waited for their answers at the same time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.history.lock().unwrap().most_under_way
    }

    /// The items of all accepted requests, in order of acceptance, as lines of the log.
    pub(crate) fn items(&self) -> Vec<String> {
        let history = self.shared.history.lock().unwrap();
        history.accepted.iter().flat_map(|index| lines(&history.requests[*index])).collect()
    }
}

impl Endpoint {
    /// Ends it, with what it is doing, and returns the items of all that it has accepted.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(10));
        self.items()
    }

    /// Forgets what arrived, so that a long test does not keep all of it. Not while the daemon may still be waiting for an
    /// answer.
    pub(crate) fn forget(&self) {
        let mut history = self.shared.history.lock().unwrap();
        assert_eq!(history.under_way, 0, "a request is under way");
        *history = History::default();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Dropped as such, a runtime waits, which is forbidden inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The lines of the log that a request stands for. Deliberately not the code under test.
pub(crate) fn lines(request: &Recorded) -> Vec<String> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(rename = "apiVersion")]
        api_version: String,
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let plain = match request.header("content-encoding") {
        Some("gzip") => std::io::read_to_string(GzDecoder::new(request.body.as_slice())).unwrap(),
        _ => String::from_utf8(request.body.clone()).unwrap(),
    };
    let list: List = serde_json::from_str(&plain).unwrap();
    let line = |item: &&RawValue| {
        format!("{{\"kind\":\"Event\",\"apiVersion\":\"{}\",{}\n", list.api_version, &item.get()[1..])
    };
    list.items.iter().map(line).collect()
}

async fn accept(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => requests(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        requests(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = http1::read(&mut stream).await {
        let index = {
            let mut history = shared.history.lock().unwrap();
            history.requests.push(request.clone());
            history.under_way += 1;
            history.most_under_way = history.most_under_way.max(history.under_way);
            history.requests.len() - 1
        };
        let answer = (shared.script)(&request, index);
        if !give(answer, index, shared, &mut stream).await {
            break;
        }
    }
    // Over TLS an end without a close_notify would be another error than the one that the script asks for.
    let _ = stream.shutdown().await;
}

/// Returns whether the connection goes on.
async fn give(
    mut answer: Answer,
    index: usize,
    shared: &Shared,
    stream: &mut (impl AsyncWrite + Unpin),
) -> bool {
    loop {
        answer = match answer {
            Answer::Delay(delay, later) => {
                tokio::time::sleep(delay).await;
                *later
            }
            Answer::After(gate, later) => {
                gate.passed().await;
                *later
            }
            _ => break,
        };
    }
    if !matches!(answer, Answer::Hang) {
        // Before the answer, or its successor could arrive first.
        shared.history.lock().unwrap().under_way -= 1;
    }
    match answer {
        Answer::Status { code, headers, body } => {
            if (200..300).contains(&code) {
                shared.history.lock().unwrap().accepted.push(index);
            }
            let mut head = format!("HTTP/1.1 {code} Scripted\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in headers {
                write!(head, "{name}: {value}\r\n").unwrap();
            }
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_ok()
                && stream.flush().await.is_ok()
        }
        Answer::CutOff => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"cut").await;
            let _ = stream.flush().await;
            false
        }
        Answer::Hang => std::future::pending().await,
        Answer::Close | Answer::Delay(..) | Answer::After(..) => false,
    }
}

#[tokio::test]
async fn the_endpoint_misbehaves_as_told() {
    let endpoint = Endpoint::start(|_, n| match n {
        0 => Answer::with_header(503, "Retry-After", "2"),
        1 => Answer::Close,
        2 => Answer::CutOff,
        3 => Answer::Hang,
        _ => Answer::Delay(Duration::from_millis(1), Box::new(Answer::ok())),
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let list =
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"level":"None"}]}"#;
    let post = || client.post(endpoint.url()).body(list).timeout(Duration::from_millis(500)).send();
    let refused = post().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"2".parse().unwrap()));
    assert!(post().await.is_err());
    assert!(post().await.unwrap().text().await.is_err());
    assert!(post().await.unwrap_err().is_timeout());
    assert!(endpoint.items().is_empty());
    assert_eq!(post().await.unwrap().text().await.unwrap(), "{}");
    endpoint.wait_for("five requests", |requests| requests.len() == 5);
    assert!(endpoint.requests().iter().all(|request| request.target == "/audit" && request.method == "POST"));
    let line = "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"None\"}\n";
    assert_eq!(endpoint.wait_for_items(1), [line]);
}
