//! The `reqwest::Client` of an endpoint: proxies, timeouts, and `tls-server-name`.
//!
//! reqwest takes the name in the TLS handshake (SNI), the name that a certificate is checked against, and the host it
//! connects to all from the URL. **`tls-server-name`** wants the first two to differ from the third. So the URL gets
//! that name as its host, a resolver leads each look-up to the real host, and the `Host` header keeps the real host.
//! HTTP/2 has no `Host` header to keep it in, so such a client speaks HTTP/1.1; a proxy would be asked for the wrong
//! host, so it uses none.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy, Url, redirect, retry};
use rustls::pki_types::ServerName;

use super::Report;
use super::file::Cluster;
use super::server::go_duration;
use super::tls::Tls;

/// A connection is given up after this, or after the timeout of a request if that is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the idle timeout of common load balancers, so that we close first.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// Between two probes of a silent connection.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
/// kube-apiserver pings after this much silence on HTTP/2 ...
const HTTP2_PING_AFTER: Duration = Duration::from_secs(30);
/// ... and gives up when no answer came in this time.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(15);

/// What it takes to send a request.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

/// How the endpoint is reached.
pub(super) enum Through {
    /// By what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
    Environment,
    /// By the kubeconfig's `proxy-url`.
    Proxy(Proxy),
}

/// Reads `proxy-url`; `None` when a mistake was reported.
pub(super) fn proxy(cluster: &Cluster, report: &mut Report<'_>) -> Option<Through> {
    let Some(text) = cluster.proxy_url.get() else { return Some(Through::Environment) };
    let line = cluster.proxy_url.line();
    // Go leaves the look-up of names to a SOCKS proxy, which reqwest calls socks5h.
    let text = match text.split_once("://") {
        Some(("socks5", rest)) => format!("socks5h://{rest}"),
        Some(("http" | "https", _)) => text.to_owned(),
        _ => {
            report.error(line, "proxy-url", "must begin with http://, https:// or socks5://");
            return None;
        }
    };
    let proxy = Url::parse(&text).ok().filter(Url::has_host).and_then(|url| Proxy::all(url).ok());
    if proxy.is_none() {
        report.error(line, "proxy-url", "not a URL: write SCHEME://HOST:PORT");
    }
    proxy.map(Through::Proxy)
}

/// Reads `tls-server-name`. The outer `None` says that a mistake was reported, the inner one that the URL's host will
/// do.
pub(super) fn server_name(
    cluster: &Cluster,
    url: Option<&Url>,
    report: &mut Report<'_>,
) -> Option<Option<String>> {
    let Some(name) = cluster.tls_server_name.get() else { return Some(None) };
    if url.is_some_and(|url| url.scheme() != "https" || url.host_str() == Some(name)) {
        return Some(None);
    }
    let line = cluster.tls_server_name.line();
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(_)) if cluster.proxy_url.get().is_some() => {
            let message = "cannot be used together with proxy-url: remove one of the two";
            report.error(line, "tls-server-name", message);
            None
        }
        Ok(ServerName::DnsName(_)) => Some(Some(name.to_owned())),
        Ok(_) => {
            let message = "must be a DNS name, not an IP address: use a name that the certificate holds";
            report.error(line, "tls-server-name", message);
            None
        }
        Err(_) => {
            report.error(line, "tls-server-name", "not a DNS name");
            None
        }
    }
}

/// Builds the client; `None` when a mistake was reported. `tls` is `None` for plain http.
pub(super) fn connect(
    mut url: Url,
    tls: Option<Tls>,
    through: Through,
    server_name: Option<String>,
    timeout: Duration,
    report: &mut Report<'_>,
) -> Option<Connection> {
    let encrypted = tls.is_some();
    let mut builder = base(timeout);
    if let Some(tls) = tls {
        match tls.apply(builder, server_name.is_none()) {
            Ok(with_tls) => builder = with_tls,
            Err(error) => {
                report.error(0, "", format_args!("TLS cannot be set up: {error}"));
                return None;
            }
        }
    }
    builder = match through {
        Through::Proxy(proxy) => builder.proxy(proxy),
        // Go never asks a proxy of the environment for this machine; reqwest would.
        Through::Environment if is_loopback(&url) => builder.no_proxy(),
        Through::Environment => builder,
    };
    let mut headers = HeaderMap::new();
    if let Some(name) = server_name {
        warn_of_unused_proxy(report);
        builder = builder.no_proxy().http1_only().dns_resolver(RealHost(host(&url)));
        // A parsed host and a port are ASCII without control characters.
        headers.insert(HOST, HeaderValue::from_str(&authority(&url)).ok()?);
        url.set_host(Some(&name)).ok()?;
    }
    if encrypted {
        // What client-go adds; plain http takes its default transport, which has no timeout to tell the server.
        url.query_pairs_mut().append_pair("timeout", &go_duration(timeout));
    }
    match builder.build() {
        Ok(client) => Some(Connection { client, url, headers }),
        Err(error) => {
            let reason =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            report.error(
                0,
                "certificate-authority",
                format_args!(
                    "TLS cannot be set up ({reason}): without this field the machine's authorities count"
                ),
            );
            None
        }
    }
}

/// What every endpoint's client has. Retries, redirects and their limits belong to the delivery of batches.
fn base(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("audit-shipper/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .pool_idle_timeout(POOL_IDLE)
        .tcp_keepalive(TCP_KEEPALIVE)
        .http2_keep_alive_interval(HTTP2_PING_AFTER)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
}

fn warn_of_unused_proxy(report: &mut Report<'_>) {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["HTTPS_PROXY", "https_proxy"].into_iter().find(set) {
        let message =
            format_args!("the proxy of {name} is not used for this endpoint, it is reached directly");
        report.warn(0, "tls-server-name", message);
    }
}

/// The URL's host as a resolver takes it: an IPv6 address without brackets.
fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(url: &Url) -> bool {
    let host = host(url);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Leads every look-up to one host, which may be an address. The port comes from the URL.
struct RealHost(String);

impl Resolve for RealHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Port 0 stands for the URL's port, or the scheme's.
            let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
