//! TLS: the server's certificate, and which clients are let in.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::stamp::Stamp;

/// A file, and the flag or field that names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) by: &'static str,
    pub(crate) path: PathBuf,
}

impl Named {
    fn mistake(&self, what: impl fmt::Display) -> String {
        format!("{}: {}: {what}", self.by, self.path.display())
    }
}

/// What a listener shows and asks of its clients.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) cert: Named,
    pub(crate) key: Named,
    /// A client without a certificate of these authorities is turned away.
    pub(crate) client_ca: Option<Named>,
}

/// TLS of files that may be renewed: they are looked at for every connection, and what fits together counts at once.
pub(crate) struct Tls {
    files: Files,
    known: Mutex<Known>,
}

struct Known {
    /// The files as they looked when they were last read.
    looked: Vec<Stamp>,
    /// Of what was last right.
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Loads the files.
    ///
    /// # Errors
    /// Every mistake in them.
    pub(crate) fn load(files: Files) -> Result<Self, Vec<String>> {
        // What is written while they are read is seen at the next look.
        let looked = files.look();
        let known = Mutex::new(Known { looked, acceptor: files.acceptor()? });
        Ok(Self { files, known })
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let look = self.files.look();
        if known.looked != look {
            known.looked = look;
            match self.files.acceptor() {
                Ok(acceptor) => {
                    known.acceptor = acceptor;
                    info!(cert = %self.files.cert.path.display(), "the listener's TLS files were read again");
                }
                Err(mistakes) => warn!(
                    mistakes = mistakes.join("; "),
                    "the listener's TLS files have changed and are wrong; what they were stays in use"
                ),
            }
        }
        known.acceptor.clone()
    }
}

impl Files {
    fn look(&self) -> Vec<Stamp> {
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        all.into_iter().flatten().map(|file| Stamp::of(file.path.clone())).collect()
    }

    fn acceptor(&self) -> Result<TlsAcceptor, Vec<String>> {
        let Self { cert, key, client_ca } = self;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut mistakes = Vec::new();
        let chain = certificates(cert).map_err(|mistake| mistakes.push(mistake)).ok();
        let private_key =
            PrivateKeyDer::from_pem_file(&key.path).map_err(|error| mistakes.push(key.mistake(error))).ok();
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
}

fn client_verifier(
    file: &Named,
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

fn certificates(file: &Named) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(&file.path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file.mistake(error))?;
    if certificates.is_empty() {
        return Err(file.mistake("no certificate in it"));
    }
    Ok(certificates)
}
