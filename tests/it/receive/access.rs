//! Who may send: tokens and certificates.

use reqwest::Client;

use super::{client, list, receiver};
use crate::support::certificates::Authority;
use crate::support::workdir::{Workdir, lines_of, real_events};

#[tokio::test]
async fn a_token_is_asked_for_and_may_change() {
    let workdir = Workdir::new();
    let token = workdir.path("token");
    std::fs::write(&token, "first\n").unwrap();
    let receiver = receiver(&workdir.path("received.log"), &["--token-file", token.to_str().unwrap()]);
    let body = list(&real_events(1));
    let post = async |token: Option<&str>| {
        let mut request = client().post(format!("http://{}/audit", receiver.address())).body(body.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    let refused = post(None).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(post(Some("wrong")).await.status(), 401);
    assert_eq!(post(Some("first")).await.status(), 200);
    std::fs::write(&token, "second\n").unwrap();
    assert_eq!(post(Some("first")).await.status(), 401);
    assert_eq!(post(Some("second")).await.status(), 200);
    assert_eq!(receiver.get("/healthz"), (200, "ok\n".to_owned()));
    assert!(!receiver.log().contains("first"));
}

#[tokio::test]
async fn tls_with_a_client_certificate_over_http1_and_http2() {
    let workdir = Workdir::new();
    let output = workdir.path("received.log");
    let authority = Authority::new();
    let ca = workdir.path("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let (cert, key) = authority.sign().write(workdir.path("").as_path(), "server");
    let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
    let receiver = receiver(&output, &["--tls-cert", cert, "--tls-key", key, "--client-ca", ca]);
    let url = format!("https://localhost:{}/audit", receiver.address().port());
    let client = || {
        let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
        Client::builder().no_proxy().tls_certs_only([trusted])
    };
    let identity = |authority: &Authority| {
        let leaf = authority.sign();
        reqwest::Identity::from_pem((leaf.cert + &leaf.key).as_bytes()).unwrap()
    };
    let lines = real_events(3);
    let known = client().identity(identity(&authority)).build().unwrap();
    let answer = known.post(&url).body(list(&lines[..1])).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    let old = client().identity(identity(&authority)).http1_only().build().unwrap();
    let answer = old.post(&url).body(list(&lines[1..])).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));

    let stranger = client().identity(identity(&Authority::new())).build().unwrap();
    assert!(stranger.post(&url).body(list(&lines)).send().await.is_err());
    assert!(client().build().unwrap().post(&url).body(list(&lines)).send().await.is_err());
    assert_eq!(lines_of(&output), lines);

    // Who signs clients is somebody else from now on.
    let others = Authority::new();
    std::fs::write(ca, others.pem()).unwrap();
    let let_in = client().identity(identity(&others)).build().unwrap();
    assert_eq!(let_in.post(&url).body(list(&lines)).send().await.unwrap().status(), 200);
    let turned_away = client().identity(identity(&authority)).build().unwrap();
    assert!(turned_away.post(&url).body(list(&lines)).send().await.is_err());
}
