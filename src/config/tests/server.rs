//! The fields of every server.

use super::mistakes::check;
use super::*;

fn load(fields: &str) -> Result<Loaded, Errors> {
    load_yaml(&format!("source: {{path: /log}}\noutputs: [{{name: siem, ndjson: {{{fields}}}}}]\n"))
}

#[test]
fn no_credentials_go_in_the_clear_whichever_field_holds_them() {
    let clear = "credentials would be sent in the clear; use https (plain http only to this machine itself)";
    for name in ["Authorization", "proxy-authorization", "Cookie"] {
        let headers = format!("headers: {{{name}: s3cret}}");
        let expect = format!("f.yaml:2: outputs[0].ndjson.headers: {clear}");
        check(load(&format!("url: 'http://h', {headers}")), &[&expect]);
        load(&format!("url: 'https://h', {headers}")).unwrap();
        load(&format!("url: 'http://[::1]:80', {headers}")).unwrap();
    }
    let in_the_url = format!("f.yaml:2: outputs[0].ndjson.url: {clear}");
    check(load("url: 'http://h', bearerTokenFile: /t"), &[&in_the_url]);
    for name in ["DD-API-KEY", "x-auth-token", "X-Secret"] {
        let warnings = load(&format!("url: 'http://h', headers: {{{name}: s3cret}}")).unwrap().warnings;
        assert_eq!(
            warnings,
            [
                "f.yaml:2: outputs[0].ndjson.headers: are sent in the clear; use https if one of them is a secret"
            ]
        );
    }
    let harmless = load("url: 'http://h', headers: {X-Scope: s3cret}").unwrap();
    assert_eq!(harmless.warnings, [""; 0]);
}

#[test]
fn an_authorization_is_given_once() {
    let expect =
        "f.yaml:2: outputs[0].ndjson.headers: holds Authorization beside other credentials; keep one of them";
    check(load("url: 'https://h', bearerTokenFile: /t, headers: {authorization: x}"), &[expect]);
    let basic = "basicAuth: {username: u, passwordFile: /p}";
    check(load(&format!("url: 'https://h', {basic}, headers: {{Authorization: x}}")), &[expect]);
}
