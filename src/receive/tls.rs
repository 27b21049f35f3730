//! TLS: the server's certificate, and which clients are let in.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Loads the files; with `client_ca`, a client without a certificate of these authorities is turned away.
pub(super) fn acceptor(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<TlsAcceptor, Vec<String>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut mistakes = Vec::new();
    let chain = certificates("--tls-cert", cert).map_err(|mistake| mistakes.push(mistake)).ok();
    let private_key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| mistakes.push(format!("--tls-key: {}: {error}", key.display())))
        .ok();
    let verifier = match client_ca {
        Some(path) => {
            client_verifier(path, &provider).map(Some).map_err(|mistake| mistakes.push(mistake)).ok()
        }
        None => Some(None),
    };
    let (Some(chain), Some(private_key), Some(verifier)) = (chain, private_key, verifier) else {
        return Err(mistakes);
    };

    let unusable = |error| vec![format!("--tls-cert: {}: {error}", cert.display())];
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
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--client-ca", path)? {
        roots.add(certificate).map_err(|error| format!("--client-ca: {}: {error}", path.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("--client-ca: {}: {error}", path.display()))
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{flag}: {}: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("{flag}: {}: no certificate in it", path.display()));
    }
    Ok(certificates)
}
