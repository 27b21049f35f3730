//! The `reqwest::Client` of an endpoint: proxies, timeouts, and `tls-server-name`.
//!
//! reqwest takes the name in the TLS handshake (SNI), the name that a certificate is checked against, and the
//! host it connects to all from the URL. **`tls-server-name`** wants the first two to differ from the third.
//! So the URL gets that name as its host, a resolver leads each look-up to the real host, and the `Host`
//! header keeps the real host. HTTP/2 has no `Host` header to keep it in, so such a client speaks HTTP/1.1; a
//! proxy would be asked for the wrong host, so it uses none.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy, Url, redirect, retry};
use rustls::pki_types::ServerName;

use super::file::Cluster;
use super::tls::Tls;
use super::{Report, Reported};
use crate::config::show_duration;

/// A connection is given up after this, or after nine tenths of the timeout of a request if that is less: so what has no
/// connection is told from what has no answer.
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

/// Reads `proxy-url`; without one, HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.
pub(super) fn proxy(cluster: &Cluster, report: &mut Report<'_>) -> Result<Option<Proxy>, Reported> {
    let Some(text) = cluster.proxy_url.get() else { return Ok(None) };
    let line = cluster.proxy_url.line();
    // Go leaves the look-up of names to a SOCKS proxy, which reqwest calls socks5h.
    let text = match text.split_once("://") {
        Some(("socks5", rest)) => format!("socks5h://{rest}"),
        Some(("http" | "https", _)) => text.to_owned(),
        _ => return Err(report.error(line, "proxy-url", "must begin with http://, https:// or socks5://")),
    };
    let proxy = Url::parse(&text).ok().filter(Url::has_host).and_then(|url| Proxy::all(url).ok());
    let proxy =
        proxy.ok_or_else(|| report.error(line, "proxy-url", "not a URL: write SCHEME://HOST:PORT"))?;
    Ok(Some(proxy))
}

/// Reads `tls-server-name`; `None` if the URL's host will do.
pub(super) fn server_name(
    cluster: &Cluster,
    url: Option<&Url>,
    report: &mut Report<'_>,
) -> Result<Option<String>, Reported> {
    let Some(name) = cluster.tls_server_name.get() else { return Ok(None) };
    if url.is_some_and(|url| url.scheme() != "https" || url.host_str() == Some(name)) {
        return Ok(None);
    }
    let mistake = match ServerName::try_from(name) {
        Ok(ServerName::DnsName(_)) if cluster.proxy_url.get().is_none() => return Ok(Some(name.to_owned())),
        Ok(ServerName::DnsName(_)) => "cannot be used together with proxy-url: remove one of the two",
        Ok(_) => "must be a DNS name, not an IP address: use a name that the certificate holds",
        Err(_) => "not a DNS name",
    };
    Err(report.error(cluster.tls_server_name.line(), "tls-server-name", mistake))
}

/// Builds the client. `tls` is `None` for plain http.
pub(super) fn connect(
    mut url: Url,
    tls: Option<Tls>,
    proxy: Option<Proxy>,
    server_name: Option<String>,
    timeout: Duration,
    report: &mut Report<'_>,
) -> Result<Connection, Reported> {
    let mut builder = base(timeout);
    if let Some(tls) = tls {
        // What client-go adds; plain http takes its default transport, which has no timeout to tell the
        // server.
        url.query_pairs_mut().append_pair("timeout", &show_duration(timeout));
        builder = tls.apply(builder, server_name.is_none()).map_err(|error| tls_failed(&error, report))?;
    } else if proxy.is_none() {
        // No TLS, so no authorities: a container without any can still post to its own node.
        builder = builder.tls_certs_only([]);
    }
    builder = match proxy {
        Some(proxy) => builder.proxy(proxy),
        // Go never asks a proxy of the environment for this machine; reqwest would.
        None if is_loopback(&url) => builder.no_proxy(),
        None => builder,
    };
    let mut headers = HeaderMap::new();
    if let Some(name) = server_name {
        warn_of_unused_proxy(report);
        builder = builder.no_proxy().http1_only().dns_resolver(RealHost(host(&url)));
        let real =
            HeaderValue::from_str(&authority(&url)).expect("a parsed host and a port are printable ASCII");
        headers.insert(HOST, real);
        // URLs are stricter than certificates: a last label like 0x1 makes an address.
        let renamed = url.set_host(Some(&name));
        renamed.map_err(|_| report.error(0, "tls-server-name", "not a DNS name that a URL can hold"))?;
    }
    let client = builder.build().map_err(|error| {
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        tls_failed(&reason, report)
    })?;
    Ok(Connection { client, url, headers })
}

/// What was read fits together by now, so what is left is the machine's own authorities.
fn tls_failed(reason: &str, report: &mut Report<'_>) -> Reported {
    let message =
        format_args!("TLS cannot be set up ({reason}): set it, or install the machine's authorities");
    report.error(0, "certificate-authority", message)
}

/// What every endpoint's client has. Retries, redirects and their limits belong to the delivery of batches.
fn base(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("audit-shipper/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout / 10 * 9))
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
