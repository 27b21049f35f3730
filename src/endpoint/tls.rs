//! Whom we trust and how we show who we are: certificate authorities and the client certificate.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use reqwest::ClientBuilder;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::report::{Report, Reported};
use super::source::{Cluster, Text, User};
use super::verifier::{Checked, Verifier};

/// A client certificate with less to live is worth a word.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The TLS side of an endpoint.
#[derive(PartialEq)]
pub(super) struct Tls {
    trust: Trust,
    identity: Option<Identity>,
}

/// Which servers are believed.
#[derive(PartialEq)]
enum Trust {
    /// Those that the machine's own authorities vouch for.
    Machine,
    /// Those that these authorities vouch for, and no other.
    Only(Vec<CertificateDer<'static>>),
    /// Every server.
    Anyone,
}

/// The client certificate, its chain and its key.
#[derive(PartialEq)]
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Reads what the cluster and the user say.
    pub(super) fn read(cluster: &Cluster, user: &User, report: &mut Report<'_>) -> Result<Tls, Reported> {
        let trust = read_trust(cluster, report);
        let identity = read_identity(user, report);
        Ok(Tls { trust: trust?, identity: identity? })
    }

    /// Sets up a client for it; `issued` takes the place of the user's client certificate. `http2`: whether HTTP/2 is
    /// offered.
    pub(super) fn apply(
        &self,
        builder: ClientBuilder,
        issued: Option<&Identity>,
        checked: Option<Checked>,
        http2: bool,
    ) -> Result<ClientBuilder, String> {
        let in_words = |error: rustls::Error| error.to_string();
        let identity = issued.or(self.identity.as_ref());
        let verifier = match (&self.trust, checked) {
            (Trust::Only(roots), checked) => Verifier::only(roots.clone(), checked),
            (Trust::Machine, Some(checked)) => Verifier::of_machine(checked),
            (Trust::Machine, None) => return with_identity(builder, identity),
            (Trust::Anyone, _) => {
                return with_identity(builder.tls_danger_accept_invalid_certs(true), identity);
            }
        };
        let verifier = Arc::new(verifier.map_err(in_words)?);
        let config = config(verifier, identity, http2).map_err(in_words)?;
        Ok(builder.tls_backend_preconfigured(config))
    }

    /// The client certificate of the user.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// When the last of the authorities expires.
    pub(super) fn authorities_expire(&self) -> Option<Timestamp> {
        let Trust::Only(roots) = &self.trust else { return None };
        roots.iter().filter_map(not_after).max()
    }
}

/// Where reqwest sets up TLS.
fn with_identity(builder: ClientBuilder, identity: Option<&Identity>) -> Result<ClientBuilder, String> {
    let builder = builder.tls_version_min(reqwest::tls::Version::TLS_1_2);
    let Some(identity) = identity else { return Ok(builder) };
    let identity = reqwest::Identity::from_pem(identity.to_pem().expose_secret().as_bytes());
    Ok(builder.identity(identity.map_err(|error| error.to_string())?))
}

/// Where we do: TLS 1.2 and 1.3, since rustls has none below.
fn config(
    verifier: Arc<Verifier>,
    identity: Option<&Identity>,
    http2: bool,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

/// When a certificate expires, if that can be read.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

impl Identity {
    /// A pair that a credential plugin has printed.
    pub(super) fn from_pem(certificate: &str, key: &SecretString) -> Result<Identity, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("no certificate in PEM")?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
        let identity = Identity { chain, key: key.map_err(|_| "no private key in PEM")? };
        identity.check().map_err(|error| error.to_string())?;
        Ok(identity)
    }

    /// When it expires.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.chain.first().and_then(not_after)
    }

    /// Whether certificate and key belong together.
    fn check(&self) -> Result<(), rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider).map(drop)
    }

    /// As PEM with nothing but certificates and the key, which is all that reqwest takes.
    fn to_pem(&self) -> SecretString {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let certificates = self.chain.iter().map(|certificate| ("CERTIFICATE", certificate.as_ref()));
        let blocks = certificates.chain([(label, self.key.secret_der())]);
        let encode = |(label, der): (&str, &[u8])| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        SecretString::from(blocks.map(encode).collect::<String>())
    }
}

/// The authorities of a cluster as they stand in `certificate-authority-data`.
pub(super) fn authority_data(cluster: &Cluster, report: &mut Report<'_>) -> Result<Option<String>, Reported> {
    let file = ("certificate-authority", &cluster.certificate_authority);
    let data = ("certificate-authority-data", &cluster.certificate_authority_data);
    Ok(read_material(file, data, report)?.map(|material| STANDARD.encode(material.pem.expose_secret())))
}

fn read_trust(cluster: &Cluster, report: &mut Report<'_>) -> Result<Trust, Reported> {
    let file = ("certificate-authority", &cluster.certificate_authority);
    let data = ("certificate-authority-data", &cluster.certificate_authority_data);
    if cluster.insecure() {
        if file.1.get().or(data.1.get()).is_some() {
            let message = "excludes a certificate authority: remove it, so that the authority is checked";
            return Err(report.error(cluster.insecure_line(), "insecure-skip-tls-verify", message));
        }
        let message = "any server is believed: events and credentials can be read by whoever is in between; \
                       set certificate-authority instead";
        report.warn(cluster.insecure_line(), "insecure-skip-tls-verify", message);
        return Ok(Trust::Anyone);
    }
    let Some(material) = read_material(file, data, report)? else { return Ok(Trust::Machine) };
    let roots = material.certificates(report)?;
    let (usable, ignored) = RootCertStore::empty().add_parsable_certificates(roots.iter().cloned());
    if usable == 0 {
        let message = "none of its certificates can be an authority: put the CA's certificate in it";
        return Err(material.error(report, message));
    }
    if ignored > 0 {
        let message =
            format_args!("{}{ignored} of its certificates cannot be read and are ignored", material.source);
        report.warn(material.line, material.field, message);
    }
    Ok(Trust::Only(roots))
}

fn read_identity(user: &User, report: &mut Report<'_>) -> Result<Option<Identity>, Reported> {
    let certificate = read_material(
        ("client-certificate", &user.client_certificate),
        ("client-certificate-data", &user.client_certificate_data),
        report,
    );
    let key =
        read_material(("client-key", &user.client_key), ("client-key-data", &user.client_key_data), report);
    let (certificate, key) = match (certificate?, key?) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(certificate), None) => {
            return Err(certificate.error(report, "has no key: set client-key or client-key-data"));
        }
        (None, Some(key)) => {
            let message = "has no certificate: set client-certificate or client-certificate-data";
            return Err(key.error(report, message));
        }
    };
    let chain = certificate.certificates(report);
    let private = key.private_key(report);
    let identity = Identity { chain: chain?, key: private? };
    match identity.check() {
        Ok(()) => {
            warn_of_expiry(&identity, &certificate, report);
            Ok(Some(identity))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            let message = format_args!("is not the key of {}: set the two of one pair", certificate.field);
            Err(key.error(report, message))
        }
        Err(error) => {
            let message = format_args!("does not work together with {}: {error}", certificate.field);
            Err(key.error(report, message))
        }
    }
}

/// An endpoint refuses an expired certificate with few words, so ours come before.
fn warn_of_expiry(identity: &Identity, certificate: &Material, report: &mut Report<'_>) {
    let Some(at) = identity.expires() else { return };
    let left = at.duration_since(Timestamp::now());
    let (place, source) = ((certificate.line, certificate.field), &certificate.source);
    if left.is_negative() {
        report.warn(place.0, place.1, format_args!("{source}it expired at {at}: renew it"));
    } else if left < EXPIRES_SOON {
        report.warn(place.0, place.1, format_args!("{source}it expires at {at}: renew it soon"));
    }
}

/// The PEM of one field, from the field itself or from the file that it names.
struct Material {
    field: &'static str,
    line: u64,
    /// Said before each message when the PEM comes from a file: `/path/ca.crt: `.
    source: String,
    pem: SecretSlice<u8>,
}

/// The PEM of a pair of fields, of which the data wins.
fn read_material(
    (file_field, file): (&'static str, &Text),
    (data_field, data): (&'static str, &Text),
    report: &mut Report<'_>,
) -> Result<Option<Material>, Reported> {
    if let Some(text) = data.get() {
        if file.get().is_some() {
            report.warn(file.line(), file_field, format_args!("ignored: {data_field} wins; remove one"));
        }
        // Line breaks are legal in Go's decoder, and YAML folds them into spaces.
        let text = SecretString::from(text.split_ascii_whitespace().collect::<String>());
        let pem = STANDARD.decode(text.expose_secret()).map_err(|_| {
            let message = "not base64: write the PEM file as `base64 -w0` prints it";
            report.error(data.line(), data_field, message)
        })?;
        let (line, source) = (data.line(), String::new());
        return Ok(Some(Material { field: data_field, line, source, pem: SecretSlice::from(pem) }));
    }
    let Some(path) = file.get() else { return Ok(None) };
    let (line, path) = (file.line(), report.resolve(path));
    let pem = super::read_file(&path).map_err(|error| {
        report.error(line, file_field, format_args!("cannot read {}: {error}", path.display()))
    })?;
    let source = format!("{}: ", path.display());
    Ok(Some(Material { field: file_field, line, source, pem: SecretSlice::from(pem) }))
}

impl Material {
    fn error(&self, report: &mut Report<'_>, message: impl fmt::Display) -> Reported {
        report.error(self.line, self.field, format_args!("{}{message}", self.source))
    }

    /// Its certificates, at least one; other blocks are skipped, as by Go.
    fn certificates(&self, report: &mut Report<'_>) -> Result<Vec<CertificateDer<'static>>, Reported> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.pem.expose_secret()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.error(report, "holds no PEM block CERTIFICATE"))
            }
            Ok(certificates) => Ok(certificates),
            Err(_) => Err(self.error(report, "not PEM: a block is cut off or is not base64")),
        }
    }

    fn private_key(&self, report: &mut Report<'_>) -> Result<PrivateKeyDer<'static>, Reported> {
        PrivateKeyDer::from_pem_slice(self.pem.expose_secret()).map_err(|error| {
            let message = match error {
                PemError::NoItemsFound => {
                    "holds no PEM block PRIVATE KEY; an encrypted key must be decrypted first"
                }
                _ => "not PEM: a block is cut off or is not base64",
            };
            self.error(report, message)
        })
    }
}
