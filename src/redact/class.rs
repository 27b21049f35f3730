//! What an event is about, and which keys hold values there that must not leave.
//!
//! Keys count whatever their case: kube-apiserver's decoder was not always strict about it.

use crate::json;

/// What an event is about, as its `objectRef` says; for the part of a body that holds an object of its own, what that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Secrets.
    Secrets,
    /// ConfigMaps, of which all values are masked.
    ConfigMaps,
    /// ConfigMaps, of which only the signatures that bootstrap tokens make are masked.
    SignedConfigMaps,
    /// TokenReviews and TokenRequests.
    Tokens,
    /// CertificateSigningRequests and PodCertificateRequests.
    Certificates,
    /// What says whether somebody may do something; the somebody is described by its authenticator.
    Reviews,
    /// Anything else.
    Other,
}

/// What becomes of the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Every string, number and boolean in it is masked.
    Mask(Coding),
    /// What an authenticator says of a user: that of names that speak of a credential.
    Extra,
    /// A list of environment variables.
    Env,
}

/// How the value of a string stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As base64, if it is valid; else as text.
    Base64,
    /// As it is.
    Text,
}

const BYTES: Option<Rule> = Some(Rule::Mask(Coding::Base64));
const TEXT: Option<Rule> = Some(Rule::Mask(Coding::Text));

/// What the names of such keys in the ConfigMap `cluster-info` begin with.
pub(super) const SIGNATURE: &str = "jws-kubeconfig-";

/// Annotations in which tools keep a copy of an object, or a part of one.
const COPIES: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "objectset.rio.cattle.io/applied",
    "kapp.k14s.io/original",
    "banzaicloud.com/last-applied",
    "openshift.io/token-secret.value",
];

impl Class {
    /// By the name of the resource and of the subresource, whatever the group: an aggregated server's Secrets are
    /// Secrets too.
    pub(super) fn of(object_ref: &[u8], all_of_config_maps: bool) -> Self {
        let Some(resource) = resource(object_ref) else { return Self::Other };
        match resource {
            b"secrets" => Self::Secrets,
            b"configmaps" if all_of_config_maps => Self::ConfigMaps,
            b"configmaps" => Self::SignedConfigMaps,
            b"tokenreviews" => Self::Tokens,
            b"serviceaccounts" if is_member(object_ref, "subresource", "token") => Self::Tokens,
            b"certificatesigningrequests" | b"podcertificaterequests" => Self::Certificates,
            b"subjectaccessreviews"
            | b"selfsubjectaccessreviews"
            | b"localsubjectaccessreviews"
            | b"selfsubjectrulesreviews"
            | b"selfsubjectreviews" => Self::Reviews,
            _ => Self::Other,
        }
    }

    /// Whether what a server says of such a body may repeat what must not leave.
    pub(super) fn is_sensitive(self) -> bool {
        !matches!(self, Self::Other | Self::Reviews | Self::SignedConfigMaps)
    }

    /// What becomes of the value of the key with this text.
    pub(super) fn rule(self, key: &[u8]) -> Option<Rule> {
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        match self {
            Self::Secrets if is("data") => BYTES,
            Self::Secrets if is("stringData") || is_copy(key) => TEXT,
            Self::ConfigMaps if is("binaryData") => BYTES,
            Self::ConfigMaps if is("data") || is_copy(key) => TEXT,
            Self::SignedConfigMaps if is_signature(key) || is_copy(key) => TEXT,
            Self::Tokens if is("token") => TEXT,
            Self::Certificates if is("request") || is("certificate") || is("stubPKCS10Request") => BYTES,
            Self::Certificates if is("pkixPublicKey") || is("proofOfPossession") => BYTES,
            Self::Certificates if is("certificateChain") => TEXT,
            Self::Tokens | Self::Certificates | Self::Reviews if is("extra") => Some(Rule::Extra),
            _ => None,
        }
    }
}

fn is_copy(key: &[u8]) -> bool {
    COPIES.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes()))
}

fn is_signature(key: &[u8]) -> bool {
    key.get(..SIGNATURE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SIGNATURE.as_bytes()))
}

/// kube-apiserver writes it first, and nearly all events end here.
fn resource(object_ref: &[u8]) -> Option<&[u8]> {
    const FIRST: &[u8] = b"{\"resource\":\"";
    if let Some(rest) = object_ref.strip_prefix(FIRST) {
        return rest.get(..memchr::memchr2(b'"', b'\\', rest)?);
    }
    json::inside(&object_ref[json::member(object_ref, 0, "resource")?])
}

fn is_member(object_ref: &[u8], key: &str, value: &str) -> bool {
    json::member(object_ref, 0, key).is_some_and(|place| json::is_text(&object_ref[place], value))
}
