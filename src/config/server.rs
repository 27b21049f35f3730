//! An endpoint that an output names itself, instead of by a kubeconfig: URL, headers, credentials, TLS, proxy.
//!
//! Credentials stand in files and never in the configuration, so that they can be renewed, and the configuration shown.

use std::path::PathBuf;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};

use super::report::Origin;
use super::section::Section;
use crate::host;

/// Where requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The section that says so, with its file, for messages: `f.yaml: outputs[0].ndjson`.
    pub place: String,
    /// With scheme `http` or `https`, without user, password and fragment.
    pub url: Url,
    /// Headers of each request, as they are configured; marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who we say that we are.
    pub login: Login,
    /// Whom we trust.
    pub tls: ServerTls,
    /// `http`, `https` or `socks5`; without it the variables of the environment count.
    pub proxy_url: Option<String>,
}

/// Who we say that we are. The files are looked at while we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody, or whom the client certificate names.
    None,
    /// A header `Authorization: SCHEME TOKEN`.
    Token {
        /// Such as `Bearer`.
        scheme: &'static str,
        /// Holds one token.
        file: PathBuf,
        /// The field that names it.
        field: &'static str,
    },
    /// `Authorization: Basic ...`.
    Basic {
        /// The name.
        username: String,
        /// Holds the password.
        password_file: PathBuf,
    },
    /// Each request is signed.
    Key {
        /// Names the secret.
        id_file: PathBuf,
        /// Never sent.
        secret_file: PathBuf,
        /// Goes with temporary ones.
        security_token_file: Option<PathBuf>,
    },
}

/// Whom we trust, and our certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM; `None`: the machine's authorities.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must hold; `None`: the URL's host.
    pub server_name: Option<String>,
    /// Whether any server is believed.
    pub insecure_skip_verify: bool,
}

/// Which credentials a protocol knows.
#[derive(Clone, Copy)]
pub(super) enum Logins {
    /// `bearerTokenFile` and `basicAuth`.
    Http,
    /// The same, and a token of the protocol's own: field and scheme.
    HttpOr(&'static str, &'static str),
    /// A token of the protocol's own, which must be there: field and scheme.
    Only(&'static str, &'static str),
    /// `accessKeyIdFile`, `accessKeySecretFile`, `securityTokenFile`.
    Key,
}

/// Reads the fields of a section that every endpoint has. Returns `None` if the URL is no URL, which has been told.
/// `url_field` holds the URL.
pub(super) fn read(section: &mut Section<'_>, url_field: &'static str, logins: Logins) -> Option<Server> {
    let url = url(section, url_field);
    let login = login(section, logins);
    let tls = tls(section.section("tls"));
    let proxy_url = section.value("proxyUrl", None).line().value;
    let headers = headers(section);
    let url = url?;
    check_secrecy(section, url_field, &url, &login, &headers);
    Some(Server { place: section.place(), url, headers, login, tls, proxy_url })
}

/// Credentials are given once, and go to no other machine in the clear.
fn check_secrecy(
    section: &Section<'_>,
    url_field: &str,
    url: &Url,
    login: &Login,
    headers: &[(HeaderName, HeaderValue)],
) {
    const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    /// In names of headers that hold a secret as a rule.
    const SECRETS: [&str; 5] = ["key", "token", "secret", "password", "auth"];
    let report = section.sources.report;
    let place_of = |field| section.place_of(field).unwrap_or(Origin::Default);
    let has = |is: fn(&HeaderName) -> bool| headers.iter().any(|(name, _)| is(name));
    if !matches!(login, Login::None) && has(|name| *name == AUTHORIZATION) {
        let what = "holds Authorization beside other credentials; keep one of them";
        report.mistake(&place_of("headers"), what);
    }
    if url.scheme() != "http" || host::is_loopback(url) {
        return;
    }
    let clear = "credentials would be sent in the clear; use https (plain http only to this machine itself)";
    if matches!(login, Login::Token { .. } | Login::Basic { .. }) {
        report.mistake(&place_of(url_field), clear);
    }
    if has(|name| CREDENTIALS.contains(name)) {
        report.mistake(&place_of("headers"), clear);
    } else if has(|name| SECRETS.iter().any(|secret| name.as_str().contains(secret))) {
        let what = "are sent in the clear; use https if one of them is a secret";
        report.warn(&place_of("headers"), what);
    }
}

/// The URL of a field that must be there; what is wrong with it has been told.
pub(super) fn url(section: &mut Section<'_>, field: &'static str) -> Option<Url> {
    let report = section.sources.report;
    let given = section.value(field, None).line();
    if given.is_default() {
        section.missing(field, None);
    }
    let text = given.value?;
    let mistake = match Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            "must begin with https:// or http://".to_owned()
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must not hold a user name or password: put them into files, and name these".to_owned()
        }
        Ok(url) if url.fragment().is_some() => "must not hold a # part".to_owned(),
        Ok(url) => return Some(url),
        Err(error) => format!("is not a URL ({error}); write https://HOST:PORT/PATH"),
    };
    report.mistake(&given.origin, mistake);
    None
}

fn login(section: &mut Section<'_>, logins: Logins) -> Login {
    let report = section.sources.report;
    let path = |section: &mut Section<'_>, field| section.value(field, None).line().value.map(PathBuf::from);
    let token = match logins {
        Logins::Key => {
            let (id, secret) = (path(section, "accessKeyIdFile"), path(section, "accessKeySecretFile"));
            for (field, file) in [("accessKeyIdFile", &id), ("accessKeySecretFile", &secret)] {
                if file.is_none() && section.place_of(field).is_none() {
                    section.missing(field, None);
                }
            }
            let security_token_file = path(section, "securityTokenFile");
            let (id_file, secret_file) = (id.unwrap_or_default(), secret.unwrap_or_default());
            return Login::Key { id_file, secret_file, security_token_file };
        }
        Logins::Http => None,
        Logins::HttpOr(field, scheme) | Logins::Only(field, scheme) => {
            let file = path(section, field);
            if file.is_none() && matches!(logins, Logins::Only(..)) && section.place_of(field).is_none() {
                section.missing(field, None);
            }
            file.map(|file| Login::Token { scheme, file, field })
        }
    };
    if matches!(logins, Logins::Only(..)) {
        return token.unwrap_or(Login::None);
    }
    let bearer = path(section, "bearerTokenFile").map(|file| Login::Token {
        scheme: "Bearer",
        file,
        field: "bearerTokenFile",
    });
    let basic = basic(section.section("basicAuth"));
    let mut given: Vec<Login> = [token, bearer, basic].into_iter().flatten().collect();
    if given.len() > 1 {
        let origin = section.place_of("basicAuth").or(section.place_of("bearerTokenFile"));
        let what = "excludes the other credentials of this section; keep one of them";
        report.mistake(&origin.unwrap_or(Origin::Default), what);
    }
    given.pop().unwrap_or(Login::None)
}

fn basic(mut section: Section<'_>) -> Option<Login> {
    let is_present = section.is_present();
    let username = section.value("username", None).line();
    let password_file = section.value("passwordFile", None).line();
    if is_present {
        for (field, is_default) in
            [("username", username.is_default()), ("passwordFile", password_file.is_default())]
        {
            if is_default {
                section.missing(field, None);
            }
        }
    }
    if username.value.as_ref().is_some_and(|name| name.contains(':')) {
        section.sources.report.mistake(&username.origin, "must not hold a colon: it would end the name");
    }
    section.finish();
    Some(Login::Basic { username: username.value?, password_file: password_file.value?.into() })
}

fn tls(mut section: Section<'_>) -> ServerTls {
    let report = section.sources.report;
    let file = |section: &mut Section<'_>, field| section.value(field, None).line().value.map(PathBuf::from);
    let tls = ServerTls {
        ca_file: file(&mut section, "caFile"),
        cert_file: file(&mut section, "certFile"),
        key_file: file(&mut section, "keyFile"),
        server_name: section.value("serverName", None).line().value,
        insecure_skip_verify: section.value("insecureSkipVerify", None).boolean(false).value,
    };
    let (has, lacks) = match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => ("certFile", "keyFile"),
        (None, Some(_)) => ("keyFile", "certFile"),
        _ => ("", ""),
    };
    if let Some(origin) = section.place_of(has) {
        report.mistake(&origin, format_args!("needs {lacks} beside it"));
    }
    section.finish();
    tls
}

fn headers(section: &mut Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    /// What we or the HTTP client say ourselves.
    const OURS: [&str; 7] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "user-agent",
    ];
    let report = section.sources.report;
    let mut headers = Vec::new();
    for (name, value) in section.texts("headers") {
        let parsed = HeaderName::try_from(name.as_str()).ok();
        let text = value.value.unwrap_or_default();
        match (parsed, HeaderValue::from_str(&text)) {
            (None, _) => report.mistake(&value.origin, "is not a name that a header can have"),
            (Some(name), _) if OURS.contains(&name.as_str()) => {
                report.mistake(&value.origin, "is set by audit-shipper itself; remove it");
            }
            (_, Err(_)) => report.mistake(&value.origin, "is no text that a header can hold"),
            (Some(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
        }
    }
    headers
}
