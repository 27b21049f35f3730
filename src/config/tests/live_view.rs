//! `liveView`: who may see it.

use super::mistakes::check;
use super::*;

fn with(view: &str) -> Result<Loaded, Errors> {
    load_yaml(&format!("{LEAST}liveView: {view}\n"))
}

fn listens(view: &str) -> Option<Listen> {
    with(view).unwrap().config.live_view.map(|view| view.listen)
}

#[test]
fn it_is_seen_on_this_machine_or_with_a_token_and_tls() {
    assert_eq!((listens("{}"), listens("~")), (None, None));
    for here in ["127.0.0.1:9466", "127.9.9.9:0", "[::1]:1"] {
        let address = Some(Listen::Address(here.parse().unwrap()));
        assert_eq!(listens(&format!("{{bindAddress: '{here}'}}")), address);
    }
    assert_eq!(listens("{bindAddress: 'unix:///run/v.sock'}"), Some(Listen::Socket("/run/v.sock".into())));
    let guarded = with("{bindAddress: '0.0.0.0:9466', bearerTokenFile: t, tls: {certFile: c, keyFile: k}}");
    let expected = LiveView {
        listen: Listen::Address("0.0.0.0:9466".parse().unwrap()),
        bearer_token_file: Some("t".into()),
        tls: Some(("c".into(), "k".into())),
    };
    assert_eq!(guarded.unwrap().config.live_view, Some(expected));
    let exposed = "f.yaml:3: liveView.bindAddress: is no loopback address: others may only see it with bearerTokenFile and \
                   tls. Give both, or listen at such as 127.0.0.1:9466 or unix:///run/audit-shipper/view.sock";
    for half in ["", ", bearerTokenFile: t", ", tls: {certFile: c, keyFile: k}"] {
        for address in ["0.0.0.0:9466", "10.0.0.1:9466", "[::]:9466"] {
            check(with(&format!("{{bindAddress: '{address}'{half}}}")), &[exposed]);
        }
    }
}

#[test]
fn its_mistakes_are_told_at_once() {
    check(
        with("{bearerTokenFile: t, tls: {certFile: c, zzz: x}, token: y}"),
        &[
            "f.yaml:3: liveView.bindAddress: must be given",
            "f.yaml:3: liveView.tls.certFile: needs keyFile beside it",
            "f.yaml:3: liveView.tls.zzz: is not a known field; legal are certFile, keyFile",
            "f.yaml:3: liveView.token: is not a known field; legal are bindAddress, bearerTokenFile, tls",
        ],
    );
    for address in ["localhost:9466", ":9466", "/run/v.sock", "http://127.0.0.1:9466"] {
        check(
            with(&format!("{{bindAddress: '{address}'}}")),
            &[&format!(
                "f.yaml:3: liveView.bindAddress: \"{address}\" is not an address; legal are such as 127.0.0.1:9466, [::1]:0 or \
                 unix:///run/audit-shipper/view.sock"
            )],
        );
    }
    let relative = "f.yaml:3: liveView.bindAddress: must name a file with an absolute path, such as unix:///run/audit-shipper/view.sock";
    for address in ["unix://run/v.sock", "unix:///run/"] {
        check(with(&format!("{{bindAddress: '{address}'}}")), &[relative]);
    }
    check(
        with(&format!("{{bindAddress: 'unix:///{}'}}", "x".repeat(107))),
        &["f.yaml:3: liveView.bindAddress: has a path of more than 107 bytes, which no socket can have"],
    );
    check(
        with("{bindAddress: 'unix:///v', tls: {certFile: c, keyFile: k}}"),
        &["f.yaml:3: liveView.bindAddress: is a socket, which speaks no TLS; remove tls"],
    );
}
