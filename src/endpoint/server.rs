//! A cluster's `server` as the URL that batches are posted to.
//!
//! Scheme, host and path are kept; query, fragment and a trailing slash are not, and the path is cleaned as
//! Go's `path.Join` does, because that is where kube-apiserver posts to and receivers match on it.

use reqwest::Url;

use super::report::{Report, Reported};
use super::source::{Cluster, User};

/// The URL without a query.
pub(super) fn parse(cluster: &Cluster, user: &User, report: &mut Report<'_>) -> Result<Url, Reported> {
    let line = cluster.server.line();
    let server = cluster.server.get().unwrap_or_else(|| {
        report.warn(line, "server", "not set: batches go to localhost, as client-go's default is");
        "localhost"
    });
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (default_scheme(cluster, user).to_owned(), server),
    };
    if scheme != "http" && scheme != "https" {
        return Err(report.error(line, "server", "must begin with https:// or http://"));
    }
    // Cut by hand: the URL parser resolves `..` in its own way and would take a backslash for a slash.
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if !server.contains("://") && !matches!(path, "" | "/") {
        return Err(report.error(
            line,
            "server",
            "a path needs a scheme before it: write https://HOST:PORT/PATH",
        ));
    }
    if authority.contains('@') {
        return Err(report.error(
            line,
            "server",
            "holds a user name: move it to `username` and `password` of the user",
        ));
    }
    if authority.contains('\\') {
        return Err(report.error(line, "server", "not a URL: a backslash in the host"));
    }
    match Url::parse(&format!("{scheme}://{authority}")) {
        Ok(mut url) => {
            url.set_path(&clean(path).replace('\\', "%5C"));
            Ok(url)
        }
        Err(error) => Err(report.error(
            line,
            "server",
            format_args!("not a URL ({error}): write https://HOST:PORT/PATH"),
        )),
    }
}

/// What client-go's `rest` package takes for a server without a scheme.
fn default_scheme(cluster: &Cluster, user: &User) -> &'static str {
    let tls = [
        &cluster.certificate_authority,
        &cluster.certificate_authority_data,
        &user.client_certificate,
        &user.client_certificate_data,
    ];
    if cluster.insecure() || tls.iter().any(|field| field.get().is_some()) { "https" } else { "http" }
}

/// Go's `path.Join("/", path)`, on the path as written: percent-encoding is neither added nor removed.
pub(super) fn clean(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
