//! The `reqwest::Client` of an endpoint: proxies, timeouts, and `tls-server-name`.
//!
//! reqwest takes the name in the TLS handshake (SNI), the name that a certificate is checked against, and the
//! host it connects to all from the URL. **`tls-server-name`** wants the first two to differ from the third.
//! So the URL gets that name as its host, a resolver leads each look-up to the real host, and the `Host`
//! header keeps the real host. HTTP/2 has no `Host` header to keep it in, so such a client speaks HTTP/1.1. A
//! proxy would be asked for the wrong host; where there may be one, only the name that is checked differs.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy, Url, redirect, retry};
use rustls::pki_types::ServerName;

use super::report::{Report, Reported};
use super::server;
use super::source::{Cluster, Source};
use super::tls::{Identity, Tls};
use super::verifier::Checked;
use crate::config::show_duration;
use crate::host;

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

/// Where batches go and how: all that makes one connection different from another, but for credential plugins.
#[derive(PartialEq)]
pub(super) struct Target {
    url: Url,
    headers: HeaderMap,
    /// `None` over plain http.
    tls: Option<Tls>,
    proxy: Option<Url>,
    server_name: Option<String>,
    timeout: Duration,
    /// kube-apiserver tells its webhook the timeout.
    is_webhook: bool,
}

/// What it takes to send a request.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// When the client certificate expires.
    pub(super) identity_expires: Option<Timestamp>,
}

impl Target {
    /// Reads what the cluster and the user say of it.
    pub(super) fn read(
        source: &Source,
        timeout: Duration,
        report: &mut Report<'_>,
    ) -> Result<Target, Reported> {
        let Source { cluster, user, server } = source;
        let url = match server {
            Some(server) => Ok(server.url.clone()),
            None => server::parse(cluster, user, report),
        };
        let tls = if url.as_ref().map_or(true, |url| url.scheme() == "https") {
            Tls::read(cluster, user, report).map(Some)
        } else {
            Ok(None)
        };
        let proxy = proxy(cluster, report);
        let server_name = server_name(cluster, url.as_ref().ok(), report);
        let headers = server.iter().flat_map(|server| server.headers.iter().cloned());
        let target = Target {
            url: url?,
            headers: headers.collect(),
            tls: tls?,
            proxy: proxy?,
            server_name: server_name?,
            timeout,
            is_webhook: server.is_none(),
        };
        if target.server_name.is_some() && target.may_be_proxied() {
            let message = "on the way through a proxy the server is asked for the host of `server` (SNI), \
                           and its certificate is checked for this name";
            report.warn(cluster.tls_server_name.line(), "tls-server-name", message);
        }
        Ok(target)
    }

    /// The URL without what we add to it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether credentials count.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// When the last of the authorities expires.
    pub(super) fn authorities_expire(&self) -> Option<Timestamp> {
        self.tls.as_ref().and_then(Tls::authorities_expire)
    }

    /// A client with connections of its own; `issued` takes the place of the user's client certificate.
    pub(super) fn connect(&self, issued: Option<&Identity>) -> Result<Connection, String> {
        let (mut url, mut headers, mut builder) =
            (self.url.clone(), self.headers.clone(), base(self.timeout));
        let proxied = self.may_be_proxied();
        if let Some(tls) = &self.tls {
            // What client-go adds; plain http takes its default transport, which has no timeout to tell the
            // server.
            if self.is_webhook {
                url.query_pairs_mut().append_pair("timeout", &show_duration(self.timeout));
            }
            let checked = self.server_name.as_ref().filter(|_| proxied).map(|name| self.checked(name));
            let http2 = self.server_name.is_none() || proxied;
            builder = tls.apply(builder, issued, checked.transpose()?, http2)?;
        } else if self.proxy.is_none() {
            // No TLS, so no authorities: a container without any can still post to its own node.
            builder = builder.tls_certs_only([]);
        }
        builder = match &self.proxy {
            Some(proxy) => builder.proxy(Proxy::all(proxy.clone()).map_err(|error| in_words(&error))?),
            // Go never asks a proxy of the environment for this machine; reqwest would.
            None if !proxied => builder.no_proxy(),
            None => builder,
        };
        if let Some(name) = self.server_name.as_ref().filter(|_| !proxied) {
            builder = builder.http1_only().dns_resolver(RealHost(host::name(&url).to_owned()));
            let real = HeaderValue::from_str(&host::authority(&url));
            headers.insert(HOST, real.map_err(|_| "the host is not printable")?);
            url.set_host(Some(name)).map_err(|_| "tls-server-name is no name that a URL can hold")?;
        }
        let client = builder.build().map_err(|error| in_words(&error))?;
        let identity = issued.or(self.tls.as_ref().and_then(Tls::identity));
        Ok(Connection { client, url, headers, identity_expires: identity.and_then(Identity::expires) })
    }

    fn checked(&self, name: &str) -> Result<Checked, String> {
        let parsed =
            |name: &str| ServerName::try_from(name.to_owned()).map_err(|_| "not a host name".to_owned());
        Ok(Checked { host: parsed(host::name(&self.url))?, name: parsed(name)? })
    }

    /// Whether a proxy may be on the way: the environment's are asked by their own rules.
    fn may_be_proxied(&self) -> bool {
        let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let variables: &[&str] = if self.is_encrypted() {
            &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        } else {
            &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        };
        self.proxy.is_some() || (!host::is_loopback(&self.url) && variables.iter().any(set))
    }
}

/// Reads `proxy-url`; without one, HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.
fn proxy(cluster: &Cluster, report: &mut Report<'_>) -> Result<Option<Url>, Reported> {
    let Some(text) = cluster.proxy_url.get() else { return Ok(None) };
    let line = cluster.proxy_url.line();
    // Go leaves the look-up of names to a SOCKS proxy, which reqwest calls socks5h.
    let text = match text.split_once("://") {
        Some(("socks5", rest)) => format!("socks5h://{rest}"),
        Some(("http" | "https", _)) => text.to_owned(),
        _ => return Err(report.error(line, "proxy-url", "must begin with http://, https:// or socks5://")),
    };
    let url = Url::parse(&text).ok().filter(Url::has_host).filter(|url| Proxy::all(url.clone()).is_ok());
    let url = url.ok_or_else(|| report.error(line, "proxy-url", "not a URL: write SCHEME://HOST:PORT"))?;
    Ok(Some(url))
}

/// Reads `tls-server-name`; `None` if the URL's host will do.
fn server_name(
    cluster: &Cluster,
    url: Option<&Url>,
    report: &mut Report<'_>,
) -> Result<Option<String>, Reported> {
    let Some(name) = cluster.tls_server_name.get() else { return Ok(None) };
    if url.is_some_and(|url| url.scheme() != "https" || url.host_str() == Some(name)) {
        return Ok(None);
    }
    let mistake = match ServerName::try_from(name) {
        // URLs are stricter than certificates: a last label like 0x1 makes an address.
        Ok(ServerName::DnsName(_)) if Url::parse(&format!("https://{name}")).is_ok() => {
            return Ok(Some(name.to_owned()));
        }
        Ok(ServerName::DnsName(_)) => "not a DNS name that a URL can hold",
        Ok(_) => "must be a DNS name, not an IP address: use a name that the certificate holds",
        Err(_) => "not a DNS name",
    };
    Err(report.error(cluster.tls_server_name.line(), "tls-server-name", mistake))
}

/// Why there is no client; of a URL nothing but what is wrong with it.
fn in_words(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
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
        // `check --connect` shows it.
        .tls_info(true)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
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
