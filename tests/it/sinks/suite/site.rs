//! Destinations that are spoken to by HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Away, Destination, Repeated};
use crate::support::books::count;
use crate::support::certificates::Authority;
use crate::support::daemon::Metrics;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::http1::Recorded;
use crate::support::shipper::Shipper;
use crate::support::workdir::Workdir;

/// What the credentials are at first, and what they are renewed to.
pub(super) const TOKEN: &str = "first-t0ken";
pub(super) const RENEWED_TOKEN: &str = "renewed-t0ken";

/// A name that is in the certificate, and that no resolver knows.
pub(super) const NAME: &str = "audit.test";

/// A strict fake of a protocol: what is no request of it ends the test.
pub(in crate::sinks) trait Protocol: Default + Send + Sync + 'static {
    /// The section of an output.
    const SECTION: &'static str;
    /// The field that names the file with the token, and what stands before the token in the header.
    const TOKEN: (&'static str, &'static str) = ("bearerTokenFile", "Bearer");
    /// Whether it does so to this machine without TLS.
    const SHOWS_TOKEN_IN_CLEAR: bool = true;
    /// What is configured as the path.
    const PATH: &'static str = "";
    /// The row of docs/destinations.md that says where the cluster, the node and the source are told.
    const ROW_OF_IDENTITY: &'static str = Self::SECTION;

    /// Further fields of the section, under which the whole of a line is stored.
    fn fields(_workdir: &Workdir) -> String {
        String::new()
    }

    /// Ships this way.
    fn configured(shipper: Shipper, way: &Way) -> Shipper {
        let (field, _) = Self::TOKEN;
        let mut fields = format!(
            "url: \"{}\", {field}: \"{}\", timeout: {}, initialBackoff: 5ms, maxBackoff: 50ms",
            way.url,
            way.token.display(),
            way.timeout
        );
        if let Some(path) = &way.authority {
            fields = format!("{fields}, tls: {{ caFile: \"{}\" }}", path.display());
        }
        if let Some(url) = &way.proxy {
            fields = format!("{fields}, proxyUrl: \"{url}\"");
        }
        let further = Self::fields(&shipper.workdir);
        shipper.section(Self::SECTION, &format!("{fields}, {further}"))
    }

    /// Whether a request shows this token.
    fn is_known(request: &Recorded, token: &'static str) -> bool {
        let (_, scheme) = Self::TOKEN;
        request.header("authorization") == Some(format!("{scheme} {token}").as_str())
    }

    /// What a stranger hears.
    fn stranger() -> Answer {
        Answer::status(401)
    }

    /// What a request hears that is too large.
    fn too_large() -> Answer {
        Answer::status(413)
    }

    /// What the protocol itself has for "later", for "somebody has to change something first" and for nonsense, in answer
    /// to a request with so many events.
    fn troubles(_events: usize) -> Vec<Answer> {
        Vec::new()
    }

    fn form(line: &str) -> String {
        line.to_owned()
    }

    fn repeated(&self) -> Repeated {
        Repeated::Stored
    }

    /// The events of a request in the form in which they are stored.
    fn events(&self, request: &Recorded) -> Vec<String>;

    /// All that a request says beside its events, and of the first of them, as names and values.
    fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        let title = |name: &str| name.split('-').map(capital).collect::<Vec<_>>().join("-");
        request.headers.iter().map(|(name, value)| (title(name), value.clone())).collect()
    }

    /// Stores them, refuses those that hold poison, and says so.
    fn take(&self, request: &Recorded) -> Answer;

    fn stored(&self) -> Vec<String>;
}

/// How a shipper comes to a site.
pub(in crate::sinks) struct Way {
    pub(in crate::sinks) url: String,
    /// A file with the token.
    pub(in crate::sinks) token: PathBuf,
    /// A file with the authority of the certificate.
    pub(in crate::sinks) authority: Option<PathBuf>,
    pub(in crate::sinks) proxy: Option<String>,
    pub(in crate::sinks) timeout: &'static str,
}

/// What becomes of a request.
pub(super) enum Fate {
    /// What it deserves.
    Due,
    /// It is answered so, and nothing is stored.
    Instead(Answer),
    /// It is taken, and yet answered so.
    Lost(Answer),
    /// It is taken, and answered once the gate is open.
    Held(Gate),
    /// It is taken, and answered later.
    Slow(Duration),
}

/// An endpoint that speaks a protocol.
pub(in crate::sinks) struct Site<P> {
    pub(super) endpoint: Endpoint,
    authority: Option<Authority>,
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    protocol: P,
    token: Mutex<&'static str>,
    is_over_tls: bool,
    is_closed: AtomicBool,
    taken: AtomicUsize,
}

impl<P: Protocol> Shared<P> {
    fn answer(&self, request: &Recorded, fate: impl FnOnce(&[String]) -> Fate) -> Answer {
        if self.is_closed.load(Ordering::Relaxed) {
            return Answer::status(503);
        }
        let shows_token = self.is_over_tls || P::SHOWS_TOKEN_IN_CLEAR;
        if shows_token && !P::is_known(request, *self.token.lock().unwrap()) {
            return P::stranger();
        }
        let take = || {
            self.taken.fetch_add(1, Ordering::Relaxed);
            self.protocol.take(request)
        };
        match fate(&self.protocol.events(request)) {
            Fate::Due => take(),
            Fate::Instead(answer) => answer,
            Fate::Lost(answer) => {
                take();
                answer
            }
            Fate::Held(gate) => Answer::After(gate, Box::new(take())),
            Fate::Slow(delay) => Answer::Delay(delay, Box::new(take())),
        }
    }
}

impl<P: Protocol> Site<P> {
    /// `fate` is asked of each request with its events and its number.
    pub(super) fn with(fate: impl Fn(&Recorded, &[String], usize) -> Fate + Send + Sync + 'static) -> Self {
        Self::serve(None, fate)
    }

    /// The same for those who come with TLS; it takes everything.
    pub(super) fn over_tls() -> Self {
        Self::serve(Some(Authority::new()), |_, _, _| Fate::Due)
    }

    fn serve(
        authority: Option<Authority>,
        fate: impl Fn(&Recorded, &[String], usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            protocol: P::default(),
            token: Mutex::new(TOKEN),
            is_over_tls: authority.is_some(),
            is_closed: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        });
        let script = {
            let shared = Arc::clone(&shared);
            move |request: &Recorded, number| shared.answer(request, |events| fate(request, events, number))
        };
        let endpoint = match &authority {
            None => Endpoint::start(script),
            Some(authority) => Endpoint::start_tls(authority.sign_for(&[NAME], 2000..4000).server(), script),
        };
        Self { endpoint, authority, shared }
    }

    /// Ships to it by way of `address`.
    pub(super) fn shipper_by(&self, address: SocketAddr, timeout: &'static str) -> Shipper {
        self.shipper_to(&format!("http://{address}"), timeout, None)
    }

    /// Ships to it by its name, which only the proxy knows.
    pub(super) fn shipper_through(&self, proxy: String) -> Shipper {
        let url = format!("https://{NAME}:{}", self.endpoint.address().port());
        self.shipper_to(&url, "10s", Some(proxy))
    }

    fn shipper_to(&self, base: &str, timeout: &'static str, proxy: Option<String>) -> Shipper {
        let url = format!("{base}{}", P::PATH);
        let shipper = Shipper::to(&url);
        let token = shipper.workdir.path("token");
        std::fs::write(&token, *self.shared.token.lock().unwrap()).unwrap();
        let authority = self.authority.as_ref().map(|authority| {
            let path = shipper.workdir.path("ca.pem");
            std::fs::write(&path, authority.pem()).unwrap();
            path
        });
        P::configured(shipper, &Way { url, token, authority, proxy, timeout })
            .flag("audit-webhook-batch-throttle-enable", false)
    }

    /// All that a request says beside its events.
    pub(super) fn told(&self, request: &Recorded) -> Vec<(String, String)> {
        self.shared.protocol.told(request)
    }

    /// Knows nobody any more who does not show the renewed token.
    pub(super) fn renew_token(&self) {
        *self.shared.token.lock().unwrap() = RENEWED_TOKEN;
    }

    /// How many events can be stored twice at most: those of requests that were taken, and the daemon could not know it.
    pub(super) fn most_twice(&self, metrics: &Metrics, batch: usize) -> usize {
        if self.repeated() != Repeated::Stored {
            return 0;
        }
        let known = count(metrics, "audit_shipper_requests_total", &[("outcome", "accepted")]);
        (self.shared.taken.load(Ordering::Relaxed) - usize::try_from(known).unwrap()) * batch
    }
}

impl<P: Protocol> Destination for Site<P> {
    fn new() -> Self {
        Self::with(|_, _, _| Fate::Due)
    }

    fn slow() -> Self {
        Self::with(|_, _, _| Fate::Slow(Duration::from_millis(20)))
    }

    fn shipper(&self) -> Shipper {
        self.shipper_by(self.endpoint.address(), "10s")
    }

    fn form(line: &str) -> String {
        P::form(line)
    }

    fn stored(&self) -> Vec<String> {
        self.shared.protocol.stored()
    }

    fn repeated(&self) -> Repeated {
        self.shared.protocol.repeated()
    }
}

impl<P: Protocol> Away for Site<P> {
    fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
    }

    fn open(&self) {
        self.shared.is_closed.store(false, Ordering::Relaxed);
    }
}
