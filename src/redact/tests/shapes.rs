//! Every shape in which a secret comes.

use super::*;

#[test]
fn values_of_secrets_are_masked_and_nothing_else() {
    let mark = mark_of("p4ss");
    let data = base64("p4ss");
    for (body, expected) in [
        (
            format!(r#"{{"kind":"Secret","metadata":{{"name":"n"}},"data":{{"a":"{data}","b":null}},"type":"Opaque"}}"#),
            format!(r#"{{"kind":"Secret","metadata":{{"name":"n"}},"data":{{"a":"{mark}","b":null}},"type":"Opaque"}}"#),
        ),
        // The same value in the two ways of writing it.
        (r#"{"stringData":{"a":"p4ss"}}"#.into(), format!(r#"{{"stringData":{{"a":"{mark}"}}}}"#)),
        // A list, whose items have no kind.
        (
            format!(r#"{{"kind":"SecretList","items":[{{"data":{{"a":"{data}"}}}},{{"data":{{"b":"{data}"}}}}]}}"#),
            format!(r#"{{"kind":"SecretList","items":[{{"data":{{"a":"{mark}"}}}},{{"data":{{"b":"{mark}"}}}}]}}"#),
        ),
        (
            format!(r#"{{"kind":"Table","rows":[{{"cells":["n",1],"object":{{"kind":"Secret","data":{{"a":"{data}"}}}}}}]}}"#),
            format!(r#"{{"kind":"Table","rows":[{{"cells":["n",1],"object":{{"kind":"Secret","data":{{"a":"{mark}"}}}}}}]}}"#),
        ),
        (
            format!(r#"{{"type":"ADDED","object":{{"kind":"Secret","data":{{"a":"{data}"}}}}}}"#),
            format!(r#"{{"type":"ADDED","object":{{"kind":"Secret","data":{{"a":"{mark}"}}}}}}"#),
        ),
        // A merge patch says of nothing what it is.
        (format!(r#"{{"data":{{"a":"{data}","gone":null}}}}"#), format!(r#"{{"data":{{"a":"{mark}","gone":null}}}}"#)),
        (
            r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"p4ss","x":"y"}}}"#.into(),
            format!(r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{mark}","x":"y"}}}}}}"#),
        ),
        // Not understood.
        ("\"p4ss\"".into(), format!("\"{mark}\"")),
        ("null".into(), "null".into()),
        (format!(r#"{{"data":["{data}",{{"k":"{data}"}}]}}"#), format!(r#"{{"data":["{mark}",{{"k":"{mark}"}}]}}"#)),
    ] {
        assert_eq!(body_of("secrets", &body, &Redact::default()), expected);
    }
}

#[test]
fn operations_of_a_json_patch_are_judged_by_their_path() {
    let mark = mark_of("p4ss");
    let data = base64("p4ss");
    for (path, value, expected) in [
        ("/data/a", format!("\"{data}\""), format!("\"{mark}\"")),
        ("/data", format!(r#"{{"a":"{data}"}}"#), format!(r#"{{"a":"{mark}"}}"#)),
        ("/stringData/tls~1crt", "\"p4ss\"".into(), format!("\"{mark}\"")),
        (
            "",
            format!(r#"{{"data":{{"a":"{data}"}},"type":"t"}}"#),
            format!(r#"{{"data":{{"a":"{mark}"}},"type":"t"}}"#),
        ),
        ("", "\"p4ss\"".into(), format!("\"{mark}\"")),
        ("/", "\"p4ss\"".into(), format!("\"{mark}\"")),
        (
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
            "\"p4ss\"".into(),
            format!("\"{mark}\""),
        ),
        (
            "/metadata/annotations",
            r#"{"kubectl.kubernetes.io/last-applied-configuration":"p4ss"}"#.into(),
            format!(r#"{{"kubectl.kubernetes.io/last-applied-configuration":"{mark}"}}"#),
        ),
        ("/DATA/a", format!("\"{data}\""), format!("\"{mark}\"")),
        (r"/d\u0061ta/a", format!("\"{data}\""), format!("\"{mark}\"")),
        ("/type", "\"p4ss\"".into(), "\"p4ss\"".into()),
    ] {
        let operation = |value: &str| format!(r#"[{{"op":"replace","path":"{path}","value":{value}}}]"#);
        let found = body_of("secrets", &operation(&value), &Redact::default());
        assert_eq!(found, operation(&expected), "{path}");
    }
    let nowhere = r#"[{"op":"add","value":"p4ss"},"p4ss"]"#;
    let expected = format!(r#"[{{"op":"add","value":"{mark}"}},"{mark}"]"#);
    assert_eq!(body_of("secrets", nowhere, &Redact::default()), expected);
}

#[test]
fn secrets_are_found_in_bodies_of_anything() {
    let mark = mark_of("p4ss");
    let data = base64("p4ss");
    for (body, expected) in [
        (
            format!(r#"{{"kind":"List","items":[{{"data":{{"a":"{data}"}},"kind":"Secret"}},{{"kind":"ConfigMap","data":{{"a":"{data}"}}}}]}}"#),
            format!(r#"{{"kind":"List","items":[{{"data":{{"a":"{mark}"}},"kind":"Secret"}},{{"kind":"ConfigMap","data":{{"a":"{data}"}}}}]}}"#),
        ),
        (
            r#"{"spec":{"manifests":[{"kind":"Secret","stringData":{"a":"p4ss"},"data":null}]},"data":{"a":"b"}}"#.into(),
            format!(r#"{{"spec":{{"manifests":[{{"kind":"Secret","stringData":{{"a":"{mark}"}},"data":null}}]}},"data":{{"a":"b"}}}}"#),
        ),
        (
            format!(r#"{{"kind":"SecretList","items":[{{"data":{{"a":"{data}"}}}}]}}"#),
            format!(r#"{{"kind":"SecretList","items":[{{"data":{{"a":"{mark}"}}}}]}}"#),
        ),
        (r#"{"involvedObject":{"kind":"Secret","name":"n"},"data":{"a":"b"}}"#.into(), r#"{"involvedObject":{"kind":"Secret","name":"n"},"data":{"a":"b"}}"#.into()),
    ] {
        assert_eq!(body_of("things", &body, &Redact::default()), expected);
    }
    for text in [
        r#"{\"kind\":\"Secret\",\"data\":{\"a\":\"b\"}}"#,
        r#"[{\"stringData\": {\"a\":\"b\"},\n \"kind\": \"Secret\"}]"#,
        r#"\"{\\\"kind\\\":\\\"Secret\\\",\\\"data\\\":{}}\""#,
        r#"--- {\"kind\":\"SecretList\",\"items\":[{\"data\":{}}]}"#,
        r#"{\"kind\":\"Secret\",\"d\\u0061ta\":{}}"#,
    ] {
        let whole = mark_of(&json::unescaped(format!("\"{text}\"").as_bytes()).unwrap());
        let body = |text: &str| format!(r#"{{"metadata":{{"annotations":{{"a":"{text}"}}}}}}"#);
        assert_eq!(body_of("things", &body(text), &Redact::default()), body(&whole));
    }
    for text in [r#"the kind \"Secret\""#, r#"{\"kind\":\"Secret\",\"name\":\"n\",\"metadata\":{}}"#] {
        let body = format!(r#"{{"metadata":{{"annotations":{{"a":"{text}"}}}}}}"#);
        assert_eq!(body_of("things", &body, &Redact::default()), body);
    }
}

#[test]
fn tokens_and_certificates_are_masked() {
    let mark = mark_of("p4ss");
    for (object_ref, body, expected) in [
        (
            r#"{"resource":"tokenreviews","apiGroup":"authentication.k8s.io"}"#,
            r#"{"kind":"TokenReview","spec":{"token":"p4ss","audiences":["a"]},"status":{"user":{"username":"u","extra":{"credential-id":["p4ss"],"pod":["p"]}}}}"#,
            r#"{"kind":"TokenReview","spec":{"token":"MARK","audiences":["a"]},"status":{"user":{"username":"u","extra":{"credential-id":["MARK"],"pod":["p"]}}}}"#,
        ),
        (
            r#"{"name":"default","resource":"serviceaccounts","subresource":"token"}"#,
            r#"{"kind":"TokenRequest","spec":{"audiences":["a"]},"status":{"token":"p4ss","expirationTimestamp":"t"}}"#,
            r#"{"kind":"TokenRequest","spec":{"audiences":["a"]},"status":{"token":"MARK","expirationTimestamp":"t"}}"#,
        ),
        (
            r#"{"resource":"certificatesigningrequests"}"#,
            r#"{"spec":{"request":"cDRzcw==","signerName":"s","extra":{"x/Session_ID":["p4ss"]}},"status":{"certificate":"cDRzcw=="}}"#,
            r#"{"spec":{"request":"MARK","signerName":"s","extra":{"x/Session_ID":["MARK"]}},"status":{"certificate":"MARK"}}"#,
        ),
        (
            r#"{"resource":"podcertificaterequests"}"#,
            r#"{"spec":{"proofOfPossession":"cDRzcw=="},"status":{"certificateChain":"p4ss"}}"#,
            r#"{"spec":{"proofOfPossession":"MARK"},"status":{"certificateChain":"MARK"}}"#,
        ),
        (
            r#"{"resource":"subjectaccessreviews"}"#,
            r#"{"spec":{"user":"u","extra":{"scopes.authorization.openshift.io":["user:full"],"Api-Key":["p4ss"]}}}"#,
            r#"{"spec":{"user":"u","extra":{"scopes.authorization.openshift.io":["user:full"],"Api-Key":["MARK"]}}}"#,
        ),
        (
            r#"{"resource":"certificatesigningrequests","subresource":"status"}"#,
            r#"[{"op":"add","path":"/status/certificate","value":"cDRzcw=="},{"op":"add","path":"/spec/extra/token/0","value":"p4ss"}]"#,
            r#"[{"op":"add","path":"/status/certificate","value":"MARK"},{"op":"add","path":"/spec/extra/token/0","value":"MARK"}]"#,
        ),
        (r#"{"resource":"serviceaccounts"}"#, r#"{"token":"p4ss"}"#, r#"{"token":"p4ss"}"#),
    ] {
        for name in ["requestObject", "responseObject"] {
            let line = event(&format!(r#""verb":"create","objectRef":{object_ref},"{name}":{body}"#));
            let expected = line.replace(body, &expected.replace("MARK", &mark));
            assert_eq!(applied(&line, &Redact::default()).0, expected);
        }
    }
}

#[test]
fn what_authenticators_say_keeps_comparable() {
    let mark = mark_of("JTI=1");
    let user = r#"{"username":"u","extra":{"authentication.kubernetes.io/credential-id":["JTI=1"],"authentication.kubernetes.io/pod-name":["p"]}}"#;
    let line = event(&format!(r#""verb":"get","user":{user},"impersonatedUser":{user}"#));
    assert_eq!(applied(&line, &Redact::default()).0, line.replace("JTI=1", &mark));
    let issued = event(
        r#""verb":"create","objectRef":{"resource":"serviceaccounts","name":"a","subresource":"token"},"annotations":{"authentication.kubernetes.io/issued-credential-id":"JTI=1","authorization.k8s.io/decision":"allow"}"#,
    );
    assert_eq!(applied(&issued, &Redact::default()).0, issued.replace("JTI=1", &mark));
}

#[test]
fn credentials_in_queries_are_masked() {
    let mark = mark_of("p4ss+/=");
    for (query, expected) in [
        (r"/a?token=p4ss%2B%2F%3D\u0026limit=5", r"/a?token=MARK\u0026limit=5"),
        (r"/a?limit=5\u0026Access_Token=p4ss%2b/=", r"/a?limit=5\u0026Access_Token=MARK"),
        ("/a?limit=5&x-amz-signature=p4ss%2B/=&x=y", "/a?limit=5&x-amz-signature=MARK&x=y"),
        (r"/a?%74oken=p4ss%2B/=", r"/a?%74oken=MARK"),
        (r"/a?\u0074oken\u003dp4ss%2B/=", r"/a?\u0074oken\u003dMARK"),
        ("/a?b=c;api-key=p4ss%2B/=", "/a?b=c;api-key=MARK"),
        ("/a?b=c?key=p4ss%2B/=", "/a?b=c?key=MARK"),
        ("/token=1?watch=true&token=&keyword=1&sig", "/token=1?watch=true&token=&keyword=1&sig"),
        (r"/a?q=\\u0026token=1", r"/a?q=\\u0026token=1"),
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("", ""),
    ] {
        let line = event(&format!(r#""requestURI":"{query}","verb":"get""#));
        let expected = line.replace(query, &expected.replace("MARK", &mark));
        assert_eq!(applied(&line, &Redact::default()).0, expected);
    }
}

#[test]
fn what_a_server_says_of_a_body_may_quote_it() {
    for (code, is_masked) in
        [(400, true), (422, true), (500, true), (200, false), (403, false), (404, false), (409, false)]
    {
        let status = format!(
            r#"{{"metadata":{{}},"status":"Failure","message":"found in {CANARY}","details":{{"causes":[{{"message":"{CANARY}"}}]}},"code":{code}}}"#
        );
        let line = about("secrets", &format!(r#""responseStatus":{status},"responseObject":{status}"#));
        let (out, is_changed) = applied(&line, &Redact::default());
        assert_eq!((is_changed, out.contains(CANARY)), (is_masked, !is_masked), "{out}");
        assert!(!applied(&about("pods", &format!(r#""responseStatus":{status}"#)), &all()).1);
    }
}

#[test]
fn who_denies_a_request_may_quote_its_body_whatever_the_code() {
    for (code, denied) in [
        (403, "admission webhook \\\"v.example.com\\\" denied the request"),
        (409, "admission webhook \\\"v.example.com\\\" denied the request"),
        (403, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request"),
    ] {
        let status = format!(
            r#"{{"metadata":{{}},"status":"Failure","message":"{denied}: {CANARY} is weak","reason":"Forbidden","code":{code}}}"#
        );
        let line = about("secrets", &format!(r#""responseStatus":{status},"responseObject":{status}"#));
        let out = applied(&line, &Redact::default()).0;
        assert!(!out.contains(CANARY), "{out}");
        assert!(!applied(&about("pods", &format!(r#""responseStatus":{status}"#)), &all()).1);
    }
}

#[test]
fn what_is_optional_is_left_alone_unless_it_is_asked_for() {
    let mark = mark_of("p4ss");
    for (resource, body, expected) in [
        (
            "configmaps",
            r#"{"kind":"ConfigMap","data":{"a":"p4ss"},"binaryData":{"b":"cDRzcw=="}}"#,
            r#"{"kind":"ConfigMap","data":{"a":"MARK"},"binaryData":{"b":"MARK"}}"#,
        ),
        (
            "configmaps",
            r#"[{"op":"add","path":"/data/a","value":"p4ss"}]"#,
            r#"[{"op":"add","path":"/data/a","value":"MARK"}]"#,
        ),
        (
            "things",
            r#"{"kind":"List","items":[{"data":{"a":"p4ss"},"kind":"ConfigMap"}]}"#,
            r#"{"kind":"List","items":[{"data":{"a":"MARK"},"kind":"ConfigMap"}]}"#,
        ),
        (
            "pods",
            r#"{"spec":{"containers":[{"env":[{"name":"A","value":"p4ss"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s"}}}]}]}}"#,
            r#"{"spec":{"containers":[{"env":[{"name":"A","value":"MARK"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s"}}}]}]}}"#,
        ),
        (
            "deployments",
            r#"{"spec":{"template":{"spec":{"initContainers":[{"env":[{"value":"p4ss","name":"A"}],"envFrom":[]}]}}}}"#,
            r#"{"spec":{"template":{"spec":{"initContainers":[{"env":[{"value":"MARK","name":"A"}],"envFrom":[]}]}}}}"#,
        ),
        ("things", r#"{"spec":{"env":"prod"}}"#, r#"{"spec":{"env":"prod"}}"#),
    ] {
        let default = body_of(resource, body, &Redact::default());
        assert_eq!(default, body);
        assert_eq!(body_of(resource, body, &all()), expected.replace("MARK", &mark));
    }
    for (path, value, expected) in [
        ("/spec/containers/0/env", r#"[{"name":"A","value":"p4ss"}]"#, r#"[{"name":"A","value":"MARK"}]"#),
        ("/spec/containers/0/env/-", r#"{"name":"A","value":"p4ss"}"#, r#"{"name":"A","value":"MARK"}"#),
        ("/spec/containers/0/env/1/value", r#""p4ss""#, r#""MARK""#),
        ("/spec/containers/0/env/1/name", r#""A""#, r#""A""#),
        (
            "/spec/containers/-",
            r#"{"env":[{"name":"A","value":"p4ss"}]}"#,
            r#"{"env":[{"name":"A","value":"MARK"}]}"#,
        ),
    ] {
        let body = |value: &str| format!(r#"[{{"op":"add","path":"{path}","value":{value}}}]"#);
        let line = |value: &str| {
            event(&format!(
                r#""verb":"patch","objectRef":{{"resource":"pods"}},"requestObject":{}"#,
                body(value)
            ))
        };
        assert_eq!(applied(&line(value), &all()).0, line(&expected.replace("MARK", &mark)), "{path}");
        assert!(!applied(&line(value), &Redact::default()).1);
    }
}

#[test]
fn signatures_of_bootstrap_tokens_are_masked() {
    let body =
        format!(r#"{{"kind":"ConfigMap","data":{{"jws-kubeconfig-abcdef":"{CANARY}","kubeconfig":"k"}}}}"#);
    let expected = body.replace(CANARY, &mark_of(CANARY));
    assert_eq!(body_of("configmaps", &body, &Redact::default()), expected);
    let patch = format!(r#"[{{"op":"add","path":"/data/jws-kubeconfig-abcdef","value":"{CANARY}"}}]"#);
    assert!(!body_of("configmaps", &patch, &Redact::default()).contains(CANARY));
}

#[test]
fn patches_of_admission_webhooks_are_masked_where_the_body_is() {
    let patch = r#"{\"patch\":[{\"op\":\"add\",\"path\":\"/spec/containers/0/env/-\",\"value\":{\"name\":\"A\",\"value\":\"CANARY\"}}]}"#.replace("CANARY", CANARY);
    let annotations =
        format!(r#""annotations":{{"patch.webhook.admission.k8s.io/round_0_index_0":"{patch}","x":"y"}}"#);
    for (resource, config, is_masked) in [
        ("secrets", Redact::default(), true),
        ("pods", Redact::default(), false),
        ("pods", all(), true),
        ("configmaps", all(), true),
    ] {
        let (out, _) = applied(&about(resource, &annotations), &config);
        assert_eq!(out.contains(CANARY), !is_masked, "{out}");
        assert!(out.contains(r#""x":"y""#));
    }
}

#[test]
fn managed_fields_are_left_out_if_that_is_asked_for() {
    let config = Redact { managed_fields: true, ..Redact::default() };
    let body = |managed: &str, value: &str| {
        format!(r#"{{"kind":"Secret","metadata":{{"name":"n"{managed}}},"data":{{"a":"{value}"}}}}"#)
    };
    let managed = r#","managedFields":[{"manager":"m","fieldsV1":{"f:data":{},"data":"x"}}]"#;
    let (whole, short) = (body(managed, &base64("p4ss")), body("", &mark_of("p4ss")));
    for verb in ["update", "patch"] {
        let fields = |request: &str, response: &str| {
            event(&format!(
                r#""verb":"{verb}","objectRef":{{"resource":"secrets"}},"requestObject":{request},"responseObject":{response}"#
            ))
        };
        // The body of a patch is shown as it was sent.
        let (out, _) = applied(&fields(&whole, &whole), &config);
        assert_eq!(field(&out, Field::ResponseObject), short);
        assert_eq!(field(&out, Field::RequestObject) == short, verb == "update", "{out}");
    }
}
