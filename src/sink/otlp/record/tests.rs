use super::*;

/// A real event's fields, shortened.
const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"b4f2","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/web\u003f","verb":"get","user":{"username":"system:serviceaccount:shop:web","uid":"1","groups":["system:authenticated","shop"]},"sourceIPs":["10.0.0.7"],"userAgent":"kubectl","objectRef":{"resource":"pods","namespace":"shop","name":"web","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":404},"requestReceivedTimestamp":"2026-11-22T02:22:50.240000Z","stageTimestamp":"2026-11-22T02:22:50.248816Z","annotations":{"authorization.k8s.io/decision":"allow"}}"#;

fn text(text: &str) -> Node<'_> {
    Node::Text(Cow::Borrowed(text))
}

#[test]
fn each_field_has_its_place() {
    let record = Record::of(LINE.as_bytes(), Some("audit.log"));
    assert_eq!(record.line, LINE.as_bytes());
    assert_eq!(record.time_unix_nano, 1_795_314_170_248_816_000);
    assert_eq!(record.severity, Severity::Warn);
    assert_eq!(record.trace, None);
    let uid = fingerprint::hex(LINE.as_bytes());
    let expect = [
        ("log.record.uid", text(&uid[..32])),
        ("log.file.name", text("audit.log")),
        ("k8s.audit.id", text("b4f2")),
        ("k8s.audit.verb", text("get")),
        ("k8s.event.level", text("Metadata")),
        ("k8s.event.stage", text("ResponseComplete")),
        ("k8s.event.request.uri", text("/api/v1/namespaces/shop/pods/web?")),
        ("k8s.event.user_agent", text("kubectl")),
        ("k8s.event.response.code", Node::Int(404)),
        ("k8s.user.username", text("system:serviceaccount:shop:web")),
        ("k8s.user.groups", Node::of(br#"["system:authenticated","shop"]"#)),
        ("k8s.namespace.name", text("shop")),
        ("k8s.event.object_ref.resource", text("pods")),
        ("k8s.event.object_ref.name", text("web")),
        ("k8s.event.object_ref.api.group", text("apps")),
        ("k8s.event.object_ref.api.version", text("v1")),
        ("k8s.event.annotations.authorization.k8s.io/decision", text("allow")),
    ];
    let found: Vec<_> = record.attributes.iter().map(|(name, node)| (&**name, node)).collect();
    assert_eq!(found, expect.each_ref().map(|(name, node)| (*name, node)));
}

#[test]
fn no_attribute_is_there_twice() {
    let line =
        LINE.replace(r#""annotations":{"#, r#""annotations":{"authorization.k8s.io\/decision":"forbid","#);
    let record = Record::of(line.as_bytes(), None);
    let found: Vec<_> = record.attributes.iter().filter(|(name, _)| name.ends_with("/decision")).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, text("allow"), "the last one, as in Go");
}

#[test]
fn severity_is_the_answers() {
    let cases = [
        (r#""code":200"#, Severity::Info),
        (r#""code":302"#, Severity::Info),
        (r#""code":400"#, Severity::Warn),
        (r#""code":499"#, Severity::Warn),
        (r#""code":500"#, Severity::Error),
        (r#""code":"500""#, Severity::Info),
        (r#""status":"Failure""#, Severity::Info),
    ];
    for (code, expect) in cases {
        let line = LINE.replace(r#""code":404"#, code);
        assert_eq!(Record::of(line.as_bytes(), None).severity, expect, "{code}");
        let panic = line.replace("ResponseComplete", "Panic");
        assert_eq!(Record::of(panic.as_bytes(), None).severity, Severity::Error);
    }
    let expect = [(9, "INFO"), (13, "WARN"), (17, "ERROR")];
    let found = [Severity::Info, Severity::Warn, Severity::Error].map(|s| (s.number(), s.text()));
    assert_eq!(found, expect);
}

#[test]
fn a_time_that_says_nothing_is_unknown() {
    for time in ["", "yesterday", "0001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let line = LINE.replace("2026-11-22T02:22:50.248816Z", time);
        assert_eq!(Record::of(line.as_bytes(), None).time_unix_nano, 0, "{time}");
    }
}

#[test]
fn a_trace_is_taken_from_its_annotation() {
    let of = |parent: &str| {
        let annotation = format!(r#""annotations":{{"traceparent":"{parent}","#);
        let line = LINE.replace(r#""annotations":{"#, &annotation);
        Record::of(line.as_bytes(), None).trace
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let expect = SpanContext {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span_id: 0xb7ad_6b71_6920_3331,
        flags: 1,
    };
    assert_eq!(of(good), Some(expect));
    assert_eq!(of(&good.replace("00-0af", "cc-0af").replace("-01", "-01-x")), Some(expect));
    let bad = [
        String::new(),
        "00-x".to_owned(),
        good.replace("00-0af", "ff-0af"),
        format!("{good}-x"),
        good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        good.replace("b7ad6b7169203331", &"0".repeat(16)),
        good.replace("-01", "-1"),
        good.replace("0af7", "+af7"),
    ];
    for parent in bad {
        assert_eq!(of(&parent), None, "{parent}");
    }
}
