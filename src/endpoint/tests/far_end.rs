//! The other end of a connection: certificates made on the spot, and a server that notes what it sees.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderName;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key, as PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Pair {
    pub(super) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

/// A certificate authority.
pub(super) struct Authority {
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names and addresses.
    pub(super) fn issue(&self, names: &[&str]) -> Pair {
        let params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// What `openssl req -x509` makes: a certificate that is its own authority.
pub(super) fn self_signed(name: &str, years: std::ops::Range<i32>) -> Pair {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let key = KeyPair::generate().unwrap();
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) headers: hyper::HeaderMap,
    pub(super) server_name: Option<String>,
    pub(super) client_certificate: Option<CertificateDer<'static>>,
}

impl Seen {
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server on this machine that answers each request with an empty 200.
pub(super) struct FarEnd {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FarEnd {
    /// Over TLS; `clients` may show a certificate, `protocols` are offered by ALPN.
    pub(super) async fn tls(pair: &Pair, clients: Option<&Authority>, protocols: &[&str]) -> FarEnd {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap();
                roots.add(root).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![pair.der()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        FarEnd::serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Over plain http.
    pub(super) async fn plain() -> FarEnd {
        FarEnd::serve(None).await
    }

    /// The requests so far; they are gone afterwards.
    pub(super) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Connections that were ever made.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn serve(acceptor: Option<TlsAcceptor>) -> FarEnd {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::<AtomicUsize>::default();
        let far_end = FarEnd { address, connections: Arc::clone(&connections), seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&seen)));
            }
        });
        far_end
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, seen: Arc<Mutex<Vec<Seen>>>) {
    let builder = auto::Builder::new(TokioExecutor::new());
    // A connection that ends in an error has noted what there was to see.
    let Some(acceptor) = acceptor else {
        let service = service_fn(|request| note(&request, &seen, None, None));
        return drop(builder.serve_connection(TokioIo::new(stream), service).await);
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let name = session.server_name().map(ToOwned::to_owned);
    let certificate = session.peer_certificates().map(|chain| chain[0].clone().into_owned());
    let service = service_fn(|request| note(&request, &seen, name.clone(), certificate.clone()));
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

fn note(
    request: &Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    server_name: Option<String>,
    client_certificate: Option<CertificateDer<'static>>,
) -> std::future::Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    seen.lock().unwrap().push(Seen {
        target: request.uri().path_and_query().unwrap().to_string(),
        version: request.version(),
        headers: request.headers().clone(),
        server_name,
        client_certificate,
    });
    std::future::ready(Ok(Response::new(Empty::new())))
}
