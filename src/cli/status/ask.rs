//! Asks a daemon for its status.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, StatusCode, Url};

use super::Args;
use crate::cli::Failure;
use crate::config::{Config, Listen};
use crate::flags::RunArgs;

/// Where a daemon that is told nothing else is.
const DEFAULT: &str = "http://127.0.0.1:9465";
const SOCKET: &str = "unix://";
const TIMEOUT: Duration = Duration::from_secs(10);
/// More than a document of the largest configuration.
const LARGEST: usize = 64 << 20;

/// A daemon that can be asked.
pub(super) struct Daemon {
    client: Client,
    url: Url,
    token: Option<HeaderValue>,
    /// As it was given.
    shown: String,
}

impl Daemon {
    /// The one that the arguments mean.
    pub(super) fn of(args: &Args) -> Result<Self, Failure> {
        let config = match (&args.address, &args.config) {
            (None, Some(path)) => {
                let loaded = RunArgs::with([("config", path.as_path())]);
                Some(loaded.load(|name| std::env::var_os(name)).map_err(Failure::config)?.config)
            }
            _ => None,
        };
        let configured = config.as_ref().map(address).transpose()?;
        let shown = args.address.clone().or(configured).unwrap_or_else(|| DEFAULT.to_owned());
        let in_config = config.and_then(|config| config.live_view?.bearer_token_file);
        let token_file = args.token_file.as_ref().or(in_config.as_ref());
        Ok(Self::at(shown, token_file.map(AsRef::as_ref), args.ca_file.as_deref())?)
    }

    fn at(shown: String, token_file: Option<&Path>, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT);
        let (client, url) = match shown.strip_prefix(SOCKET) {
            Some(path) => (client.unix_socket(path), Url::parse("http://localhost")),
            None => (client, Url::parse(&shown)),
        };
        let mut url = url.with_context(|| format!("--address: {shown} is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!("--address: {shown} begins with none of http://, https:// and unix://");
        }
        url.set_path("/api/v1/status");
        let client = trusting(client, &url, ca_file)?.build()?;
        Ok(Self { client, url, token: token_file.map(token).transpose()?, shown })
    }

    /// The document.
    pub(super) async fn status(&self) -> anyhow::Result<Vec<u8>> {
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let mut answer = request.send().await.map_err(|error| self.no_answer(&error))?;
        let shown = &self.shown;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if self.token.is_some() => {
                bail!("{shown}: the token is not the one it wants")
            }
            StatusCode::UNAUTHORIZED => {
                bail!("{shown}: it wants a bearer token; name its file by --token-file")
            }
            StatusCode::NOT_FOUND => bail!(
                "{shown}: there is no live view. The admin address has one only on a loopback address; elsewhere it is where \
                 liveView.bindAddress says"
            ),
            status => bail!("{shown}: answers {status}"),
        }
        let mut json = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.no_answer(&error))? {
            if json.len() + piece.len() > LARGEST {
                bail!("{shown}: the answer is longer than any status");
            }
            json.extend_from_slice(&piece);
        }
        Ok(json)
    }

    fn no_answer(&self, error: &reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let shown = &self.shown;
        anyhow!(
            "no daemon answers at {shown}: {cause}. Is it running? --config or --address say where its live view is"
        )
    }
}

/// Who is believed to be the daemon. Over plain http nobody need be, so a machine without authorities will do.
fn trusting(client: ClientBuilder, url: &Url, ca_file: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    match ca_file {
        Some(path) => {
            let pem = std::fs::read(path).with_context(|| format!("--ca-file: {}", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("--ca-file: {}: no certificates", path.display()))?;
            Ok(client.tls_certs_only(authorities))
        }
        None if url.scheme() == "http" => Ok(client.tls_certs_only([])),
        None => Ok(client),
    }
}

fn token(path: &Path) -> anyhow::Result<HeaderValue> {
    let text = std::fs::read_to_string(path).with_context(|| format!("the token {}", path.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
        .with_context(|| format!("the token {} is no text that a header can hold", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where the live view of a daemon of this configuration is.
fn address(config: &Config) -> anyhow::Result<String> {
    let (address, scheme) = match &config.live_view {
        Some(view) => match &view.listen {
            Listen::Socket(_) => return Ok(view.listen.to_string()),
            Listen::Address(address) => (*address, if view.tls.is_some() { "https" } else { "http" }),
        },
        None if config.bind_address.ip().is_loopback() => (config.bind_address, "http"),
        None => bail!(
            "this configuration has no live view: {} is no loopback address, and there is no liveView.bindAddress",
            config.bind_address
        ),
    };
    if address.port() == 0 {
        bail!("which port it is only the daemon's log says; give --address");
    }
    Ok(format!("{scheme}://{}", reachable(address)))
}

/// An address that stands for all of a machine's is reached at its loopback address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
