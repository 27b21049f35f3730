//! Which certificates of a server are believed, and for which name.
//!
//! webpki's verification, or the machine's, and two things more that client-go does: a server whose own certificate is
//! one of the authorities is believed (`openssl req -x509` makes such certificates, and many webhooks are set up with
//! one), and the name that is checked may be another than the one that is asked for.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Another name to be checked than the one that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// The URL's host. A proxy on the way has a certificate, too, which is for another host.
    pub(super) host: ServerName<'static>,
    /// `tls-server-name`.
    pub(super) name: ServerName<'static>,
}

/// Checks the certificate of a server, and of a proxy on the way.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<dyn ServerCertVerifier>,
    /// The authorities of the kubeconfig.
    roots: Vec<CertificateDer<'static>>,
    checked: Option<Checked>,
}

impl Verifier {
    /// Believes `roots` and no other authority.
    pub(super) fn only(
        roots: Vec<CertificateDer<'static>>,
        checked: Option<Checked>,
    ) -> Result<Verifier, rustls::Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        let inner = inner.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Verifier { inner, roots, checked })
    }

    /// Believes the machine's authorities.
    pub(super) fn of_machine(checked: Checked) -> Result<Verifier, rustls::Error> {
        let inner = rustls_platform_verifier::Verifier::new(Arc::new(aws_lc_rs::default_provider()))?;
        Ok(Verifier { inner: Arc::new(inner), roots: Vec::new(), checked: Some(checked) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.checked.as_ref().filter(|checked| *server_name == checked.host);
        let name = checked.map_or(server_name, |checked| &checked.name);
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verdict {
            // webpki looks at the dates before this and at the name after it, so the name is left to check.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(reason)))
                if reason.to_string() == "CaUsedAsEndEntity" && self.roots.contains(end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
