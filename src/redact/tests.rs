//! What is masked is shown on events as kube-apiserver writes them; a canary stands for what must not leave.

use super::*;
use crate::config::Redact;
use crate::event::Event;

mod hostile;
mod real;
mod shapes;

const CANARY: &str = "hunter2-canary";

fn redaction_of(config: &Redact) -> Redaction {
    Redaction::new(Key::of_bytes(&[7; 32]), config)
}

/// With everything on that can be.
fn all() -> Redact {
    Redact { config_maps: true, pod_env: true, ..Redact::default() }
}

/// `line` as it leaves, and whether anything was masked.
fn applied(line: &str, config: &Redact) -> (String, bool) {
    let parts = Parts::find(line.as_bytes()).unwrap();
    let mut out = Vec::new();
    let is_changed = redaction_of(config).apply(line.as_bytes(), &parts, &mut out);
    if !is_changed {
        assert!(out.is_empty());
        return (line.to_owned(), false);
    }
    let out = String::from_utf8(out).unwrap();
    assert!(Event::parse(out.as_bytes()).is_ok(), "{out}");
    let again = Parts::find(out.as_bytes()).unwrap();
    assert!(!redaction_of(config).apply(out.as_bytes(), &again, &mut Vec::new()), "twice: {out}");
    (out, true)
}

fn mark_of(value: &str) -> String {
    Key::of_bytes(&[7; 32]).mark(value.as_bytes())
}

/// An event with these fields after the first ones.
fn event(fields: &str) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"1","stage":"ResponseComplete",{fields}}}"#
    )
}

/// An event about a resource.
fn about(resource: &str, fields: &str) -> String {
    event(&format!(r#""verb":"update","objectRef":{{"resource":"{resource}","name":"n"}},{fields}"#))
}

/// A field of a line, as text.
fn field(line: &str, field: Field) -> String {
    let parts = Parts::find(line.as_bytes()).unwrap();
    String::from_utf8(parts.value(line.as_bytes(), field).unwrap().to_vec()).unwrap()
}

/// The request body of an event about `resource`, masked.
fn body_of(resource: &str, body: &str, config: &Redact) -> String {
    let line = about(resource, &format!("\"requestObject\":{body}"));
    field(&applied(&line, config).0, Field::RequestObject)
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
