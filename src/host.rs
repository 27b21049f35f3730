//! The host in the URL of a server.

use std::net::IpAddr;

use reqwest::Url;

/// As a resolver takes it: an IPv6 address without brackets.
pub(crate) fn name(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// As the header `Host` has it: with the port, unless the scheme says as much.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether what is sent there stays on this machine, as far as the URL alone can tell: credentials go there in the clear.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = name(url);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for here in [
            "http://localhost",
            "http://LOCALHOST:80/x",
            "http://127.1.2.3:9",
            "http://127.1",
            "http://[::1]:8",
        ] {
            assert!(is_loopback(&url(here)), "{here}");
        }
        let elsewhere = [
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost@example.com",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://[::]",
            "http://[fe80::1]",
            // Neither a resolver nor the kernel promises that these stay here.
            "http://localhost.",
            "http://a.localhost",
            "http://[::ffff:127.0.0.1]",
            "unix:/run/x",
        ];
        for there in elsewhere {
            assert!(!is_loopback(&url(there)), "{there}");
        }
    }

    #[test]
    fn the_header_has_brackets_and_a_port_that_is_not_the_schemes() {
        for (of, wanted, bare) in [
            ("https://h:443/x", "h", "h"),
            ("https://u:p@h:8443", "h:8443", "h"),
            ("http://[::1]", "[::1]", "::1"),
            ("http://[::1]:8080", "[::1]:8080", "::1"),
        ] {
            let url = url(of);
            assert_eq!((&*authority(&url), name(&url)), (wanted, bare));
        }
    }
}
