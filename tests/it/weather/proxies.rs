//! Proxies, by the kubeconfig and by the environment.

use std::sync::Arc;

use super::{BATCH, WITHOUT_CONNECTION, requests, shipper_to, taking_everything};
use crate::support::certificates::Authority;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::hosts::Hosts;
use crate::support::proxies::{Mood, Proxy, Speaks};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

/// A name that only the proxies know.
const NAME: &str = "audit.test";
const TOKEN: &str = "t0ken-of-the-endpoint";
/// As a URL takes it, and as it is shown.
const CREDENTIALS: (&str, &str) = ("us%3Aer:p%40ss-w0rd", "us:er:p@ss-w0rd");

/// An endpoint, the authority of its certificate, and the way that leads to it.
struct Site {
    authority: Authority,
    endpoint: Endpoint,
    server: String,
}

impl Site {
    fn new(scheme: &str) -> Self {
        Self::at(scheme, "127.0.0.1")
    }

    fn at(scheme: &str, address: &str) -> Self {
        let authority = Authority::new();
        let address = format!("{address}:0").parse().unwrap();
        let endpoint = if scheme == "http" {
            Endpoint::start_at(address, |_, _| Answer::ok())
        } else {
            let server = authority.sign_for(&[NAME], 2000..4000).server();
            Endpoint::start_tls_at(address, server, |_, _| Answer::ok())
        };
        let server = format!("{scheme}://{NAME}:{}/audit", endpoint.address().port());
        Self { authority, endpoint, server }
    }

    fn proxy(&self, scheme: &str, mood: Mood) -> Proxy {
        let speaks = match scheme {
            "http" => Speaks::Http,
            "https" => Speaks::Https(Arc::new(self.authority.sign().server())),
            _ => Speaks::Socks,
        };
        Proxy::start(speaks, self.endpoint.address(), mood)
    }

    /// Ships two batches; `cluster` is for `proxy-url`.
    fn shipper(&self, cluster: &str) -> Shipper {
        let shipper = shipper_to(&self.server).one_at_a_time().log(&real_events(2 * BATCH));
        std::fs::write(shipper.workdir.path("ca.pem"), self.authority.pem()).unwrap();
        let trust = if self.is_https() { "certificate-authority: ca.pem" } else { "" };
        let token = if self.is_https() { format!("token: {TOKEN}") } else { String::new() };
        let cluster = [trust, cluster].into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
        shipper.workdir.kubeconfig_with(&self.server, &cluster.join("\n"), &token);
        shipper
    }

    fn is_https(&self) -> bool {
        self.server.starts_with("https")
    }

    /// All arrived at the first try, and nothing that is the proxy's affair.
    fn assert_arrived(&self, daemon: &Daemon) {
        assert_eq!(requests(&wait_until_settled(daemon, 2 * BATCH)), [2, 0]);
        assert!(self.endpoint.items() == real_events(2 * BATCH));
        for request in self.endpoint.requests() {
            let token = self.is_https().then(|| format!("Bearer {TOKEN}"));
            assert_eq!(request.header("authorization"), token.as_deref());
            let target = if self.is_https() { "/audit?timeout=30s" } else { "/audit" };
            assert_eq!(request.target, target);
            assert!(!request.headers.iter().any(|(name, _)| name.starts_with("proxy-")), "{request:?}");
        }
    }

    /// All went through the proxy, which saw what it needs to see and no more.
    fn assert_carried_by(&self, proxy: &Proxy, credentials: Option<&str>, tunnel: bool) {
        let port = self.endpoint.address().port();
        let target = if tunnel { format!("{NAME}:{port}") } else { self.server.clone() };
        let asked = proxy.asked();
        assert!(!asked.is_empty());
        for asked in asked {
            assert_eq!((asked.target.as_str(), asked.credentials.as_deref()), (target.as_str(), credentials));
            assert!(!asked.headers.contains(&"authorization".to_owned()), "{asked:?}");
        }
        let carried = proxy.carried();
        let holds = |text: &str| memchr::memmem::find(&carried, text.as_bytes()).is_some();
        assert_eq!((holds("EventList"), holds(TOKEN)), (!self.is_https(), false));
    }
}

/// At the level `trace`, whatever a library has to tell is in the log.
fn spawn(shipper: &Shipper, variables: &[(&str, String)]) -> Daemon {
    let mut command = Daemon::command();
    command.args(shipper.args()).env("RUST_LOG", "trace");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Daemon::spawn(command)
}

fn assert_no_secrets(daemon: &Daemon) {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(CREDENTIALS.1);
    let log = daemon.log();
    assert!(log.contains(" TRACE hyper_util"), "the libraries tell nothing:\n{log}");
    for secret in [TOKEN, "p%40ss-w0rd", "p@ss-w0rd", &encoded] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

#[test]
fn proxies_of_the_kubeconfig() {
    for scheme in ["http", "https", "socks5"] {
        for server in ["https", "http"] {
            for (in_url, shown) in [("", None), (CREDENTIALS.0, Some(CREDENTIALS.1))] {
                let site = Site::new(server);
                if scheme == "https" && server == "http" {
                    // Without TLS to the endpoint no authority is read from the kubeconfig, and the machine's do not
                    // vouch for this proxy.
                    continue;
                }
                let mood = shown.map_or(Mood::Willing, Mood::Wants);
                let proxy = site.proxy(scheme, mood);
                let shipper = site.shipper(&format!("proxy-url: \"{}\"", proxy.url(in_url)));
                let daemon = spawn(&shipper, &[]);
                site.assert_arrived(&daemon);
                site.assert_carried_by(&proxy, shown, server == "https" || scheme == "socks5");
                assert_no_secrets(&daemon);
            }
        }
    }
}

#[test]
fn proxies_of_the_environment() {
    for (server, variable) in [("https", "HTTPS_PROXY"), ("https", "https_proxy"), ("http", "HTTP_PROXY")] {
        let site = Site::new(server);
        let proxy = site.proxy("http", Mood::Wants(CREDENTIALS.1));
        let shipper = site.shipper("");
        let daemon = spawn(&shipper, &[(variable, proxy.url(CREDENTIALS.0))]);
        site.assert_arrived(&daemon);
        site.assert_carried_by(&proxy, Some(CREDENTIALS.1), server == "https");
        assert_no_secrets(&daemon);
    }
}

#[test]
fn the_kubeconfig_wins_over_the_environment() {
    let site = Site::new("https");
    let [named, other] = [(); 2].map(|()| site.proxy("http", Mood::Willing));
    let shipper = site.shipper(&format!("proxy-url: {}", named.url("")));
    let daemon = spawn(&shipper, &[("HTTPS_PROXY", other.url("")), ("NO_PROXY", NAME.to_owned())]);
    site.assert_arrived(&daemon);
    site.assert_carried_by(&named, None, true);
    assert!(other.asked().is_empty());
}

#[test]
fn no_proxy_for_those_who_are_excepted() {
    for except in [NAME, ".test", "10.0.0.0/8,test", "*"] {
        let site = Site::at("https", "127.0.66.9");
        let proxy = site.proxy("http", Mood::Willing);
        let shipper = site.shipper("");
        let Some(hosts) = Hosts::new(&shipper.workdir) else { return };
        hosts.set(&[(NAME, "127.0.66.9")]);
        let mut command = hosts.command(&shipper.args());
        command.env("HTTPS_PROXY", proxy.url("")).env("NO_PROXY", except);
        let daemon = Daemon::spawn(command);
        site.assert_arrived(&daemon);
        assert!(proxy.asked().is_empty(), "{except}");
    }
}

/// As Go does it: this machine is no affair of the environment's proxy.
#[test]
fn no_proxy_for_this_machine() {
    let endpoint = taking_everything();
    let proxy = Proxy::start(Speaks::Http, endpoint.address(), Mood::Willing);
    let shipper = shipper_to(&endpoint.url()).log(&real_events(2 * BATCH));
    let daemon = spawn(&shipper, &["HTTP_PROXY", "http_proxy"].map(|name| (name, proxy.url(""))));
    assert_eq!(requests(&wait_until_settled(&daemon, 2 * BATCH)), [2, 0]);
    assert!(proxy.asked().is_empty());
}

/// Until the proxy is willing it is an outage, with a reason; nobody is called.
fn outage(scheme: &str, mood: Mood, words: &str) {
    let site = Site::new("https");
    let silent = matches!(mood, Mood::Silent);
    let proxy = site.proxy(scheme, mood);
    let shipper = site.shipper(&format!("proxy-url: \"{}\"", proxy.url(CREDENTIALS.0)));
    let shipper = if silent { shipper.webhook(WITHOUT_CONNECTION) } else { shipper };
    let daemon = spawn(&shipper, &[]);
    let line = daemon.wait_for_line(" WARN ");
    let reason = line.split_once("reason=\"").unwrap().1;
    assert_eq!(reason.strip_suffix('"'), Some(words), "{scheme}");
    assert!(site.endpoint.requests().is_empty());
    proxy.set(Mood::Wants(CREDENTIALS.1));
    let metrics = wait_until_settled(&daemon, 2 * BATCH);
    assert_eq!(requests(&metrics)[0], 2);
    assert!(site.endpoint.items() == real_events(2 * BATCH));
    assert_no_secrets(&daemon);
    assert!(!daemon.log().contains(" ERROR "));
}

#[test]
fn a_proxy_that_wants_other_credentials() {
    let words = "no connection: the proxy wants credentials, or others than those in its URL (status 407)";
    outage("http", Mood::Wants("else"), words);
    outage("https", Mood::Wants("else"), words);
    let words = "no connection: the proxy does not accept the credentials in proxy-url";
    outage("socks5", Mood::Wants("else"), words);
}

#[test]
fn a_proxy_that_reaches_nothing() {
    let words = "no connection: the proxy does not connect us: it answers with another status than 200";
    outage("http", Mood::Says(502), words);
    outage("socks5", Mood::Says(5), "no connection: the proxy does not connect us: connection refused");
}

#[test]
fn a_proxy_that_says_nothing() {
    // Each takes all of its time.
    std::thread::scope(|scope| {
        for scheme in ["http", "socks5"] {
            scope.spawn(|| outage(scheme, Mood::Silent, "no connection in time"));
        }
    });
}

#[test]
fn a_proxy_that_is_not_there() {
    for scheme in ["http", "https", "socks5"] {
        let site = Site::new("https");
        // Nobody listens at port 1 of an address that is only ours.
        let shipper = site.shipper(&format!("proxy-url: {scheme}://{}@127.0.66.10:1", CREDENTIALS.0));
        let daemon = spawn(&shipper, &[]);
        let line = daemon.wait_for_line(" WARN ");
        assert!(line.contains("reason=\"no connection: the proxy cannot be reached"), "{line}");
        assert_no_secrets(&daemon);
    }
}

/// Not the endpoint's, and it says so.
#[test]
fn a_proxy_with_a_certificate_of_another() {
    let (site, other) = (Site::new("https"), Authority::new());
    let leaf = other.sign();
    let proxy = Proxy::start(Speaks::Https(Arc::new(leaf.server())), site.endpoint.address(), Mood::Willing);
    let shipper = site.shipper(&format!("proxy-url: {}", proxy.url(CREDENTIALS.0)));
    let daemon = spawn(&shipper, &[]);
    let line = daemon.wait_for_line(" WARN ");
    let words = "no connection: the proxy cannot be reached: the proxy's certificate is not signed ";
    assert!(line.contains(words), "{line}");
    assert!(proxy.asked().is_empty() && site.endpoint.requests().is_empty());
}
