//! TLS: the server's certificate, and which clients are let in.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A file, and the flag or field that names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) by: &'a str,
    pub(crate) path: &'a Path,
}

impl Named<'_> {
    fn mistake(&self, what: impl fmt::Display) -> String {
        format!("{}: {}: {what}", self.by, self.path.display())
    }
}

/// Loads the files; with `client_ca`, a client without a certificate of these authorities is turned away.
pub(crate) fn acceptor(
    cert: Named<'_>,
    key: Named<'_>,
    client_ca: Option<Named<'_>>,
) -> Result<TlsAcceptor, Vec<String>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut mistakes = Vec::new();
    let chain = certificates(cert).map_err(|mistake| mistakes.push(mistake)).ok();
    let private_key =
        PrivateKeyDer::from_pem_file(key.path).map_err(|error| mistakes.push(key.mistake(error))).ok();
    let verifier = match client_ca {
        Some(file) => {
            client_verifier(file, &provider).map(Some).map_err(|mistake| mistakes.push(mistake)).ok()
        }
        None => Some(None),
    };
    let (Some(chain), Some(private_key), Some(verifier)) = (chain, private_key, verifier) else {
        return Err(mistakes);
    };

    let unusable = |error| vec![cert.mistake(error)];
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn client_verifier(
    file: Named<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| file.mistake(error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| file.mistake(error))
}

fn certificates(file: Named<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file.path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file.mistake(error))?;
    if certificates.is_empty() {
        return Err(file.mistake("no certificate in it"));
    }
    Ok(certificates)
}
