//! A certificate authority made in the test.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};

/// Signs certificates for `localhost` and 127.0.0.1, for servers and clients alike.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key as PEM.
pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn sign(&self) -> Leaf {
        self.sign_for(&["localhost", "127.0.0.1"], 2000..4000)
    }

    /// For these names, from the first day of one year to that of another.
    pub(crate) fn sign_for(&self, names: &[&str], years: Range<i32>) -> Leaf {
        let (params, key) = (params(names, years), KeyPair::generate().unwrap());
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { cert: cert.pem(), key: key.serialize_pem() }
    }
}

fn params(names: &[&str], years: Range<i32>) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    params
}

impl Leaf {
    /// What `openssl req -x509` makes without an authority.
    pub(crate) fn self_signed() -> Self {
        let mut params = params(&["localhost", "127.0.0.1"], 2000..4000);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// Writes `<name>.pem` and `<name>-key.pem`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}-key.pem")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (cert, key)
    }

    /// A server with this certificate that asks no client for one and speaks HTTP/1.1.
    pub(crate) fn server(&self) -> rustls::ServerConfig {
        self.server_with(None, rustls::ALL_VERSIONS)
    }

    /// The same that speaks one version of TLS.
    pub(crate) fn server_of(&self, version: &'static SupportedProtocolVersion) -> rustls::ServerConfig {
        self.server_with(None, &[version])
    }

    /// The same with HTTP/2 for those who want it.
    pub(crate) fn server_http2(&self) -> rustls::ServerConfig {
        let mut config = self.server();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// The same for none but clients with a certificate of `authority`.
    pub(crate) fn server_for(&self, authority: &Authority) -> rustls::ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.server_with(Some(clients.build().unwrap()), rustls::ALL_VERSIONS)
    }

    fn server_with(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ServerConfig {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_single_cert(vec![cert], key)
            .unwrap()
    }
}

#[tokio::test]
async fn an_endpoint_over_tls_is_trusted_by_its_authority_only() {
    use super::endpoint::{Answer, Endpoint};

    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |_, _| Answer::status(204));
    let post = |authority: &Authority| {
        let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
        client.post(endpoint.url()).send()
    };
    assert_eq!(post(&authority).await.unwrap().status(), 204);
    assert!(post(&Authority::new()).await.is_err());
}
