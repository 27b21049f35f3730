//! An audit webhook that misbehaves by script.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::http1::Recorded;
use super::wait_until;

mod connection;

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

impl Shared {
    /// Notes a request; the answer belongs to the returned index.
    fn arrived(&self, request: &Recorded) -> (usize, Answer) {
        let index = {
            let mut history = self.history.lock().unwrap();
            history.requests.push(request.clone());
            history.under_way += 1;
            history.most_under_way = history.most_under_way.max(history.under_way);
            history.requests.len() - 1
        };
        (index, (self.script)(request, index))
    }

    /// Returns when it is time for the answer, and notes it. Before it is given, or its successor could arrive first.
    async fn due(&self, index: usize, mut answer: Answer) -> Answer {
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
                Answer::Hang => return std::future::pending().await,
                _ => break,
            };
        }
        let mut history = self.history.lock().unwrap();
        history.under_way -= 1;
        if matches!(answer, Answer::Status { code: 200..300, .. }) {
            history.accepted.push(index);
        }
        answer
    }
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

    /// The same over TLS; over HTTP/2 if the configuration offers it and the client wants it.
    pub(crate) fn start_tls(
        config: rustls::ServerConfig,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_tls_at(([127, 0, 0, 1], 0).into(), config, script)
    }

    /// The same at a given address.
    pub(crate) fn start_tls_at(
        address: SocketAddr,
        config: rustls::ServerConfig,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve("https", address, Some(TlsAcceptor::from(Arc::new(config))), script)
    }

    fn serve(
        scheme: &'static str,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        // A process that another test starts holds what was closed here until it executes its program.
        let bind = || std::net::TcpListener::bind(address).ok();
        Self::serve_on(scheme, wait_until("a free address", bind), tls, script)
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
        runtime.spawn(connection::accept(listener, tls, Arc::clone(&shared)));
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
        wait_until("an end of what a daemon that is gone has asked", || {
            let mut history = self.shared.history.lock().unwrap();
            (history.under_way == 0).then(|| *history = History::default())
        });
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

/// The body of a request before HTTP's coding.
pub(crate) fn body(request: &Recorded) -> Vec<u8> {
    let mut body = Vec::new();
    match request.header("content-encoding") {
        None => body.clone_from(&request.body),
        Some("gzip") => drop(GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap()),
        Some("zstd") => body = zstd::decode_all(&*request.body).unwrap(),
        Some(other) => panic!("nobody asked for {other}"),
    }
    body
}

/// The same as text.
pub(crate) fn plain(request: &Recorded) -> String {
    String::from_utf8(body(request)).unwrap()
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
    let plain = plain(request);
    let list: List = serde_json::from_str(&plain).unwrap();
    let line = |item: &&RawValue| {
        format!("{{\"kind\":\"Event\",\"apiVersion\":\"{}\",{}\n", list.api_version, &item.get()[1..])
    };
    list.items.iter().map(line).collect()
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
    let post = || client.post(endpoint.url()).body(list).send();
    let refused = post().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"2".parse().unwrap()));
    assert!(post().await.is_err());
    assert!(post().await.unwrap().text().await.is_err());
    let mut hanging = std::pin::pin!(post());
    while endpoint.requests().len() < 4 {
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut hanging).await.is_err());
    }
    assert!(tokio::time::timeout(Duration::from_millis(500), hanging).await.is_err());
    assert!(endpoint.items().is_empty());
    assert_eq!(post().await.unwrap().text().await.unwrap(), "{}");
    endpoint.wait_for("five requests", |requests| requests.len() == 5);
    assert!(endpoint.requests().iter().all(|request| request.target == "/audit" && request.method == "POST"));
    let line = "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"None\"}\n";
    assert_eq!(endpoint.wait_for_items(1), [line]);
}
