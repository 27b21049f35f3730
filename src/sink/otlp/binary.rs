//! Log records as Protocol Buffers, by the numbers of `opentelemetry/proto/logs/v1/logs.proto`.

use std::borrow::Cow;

use super::BodyForm;
use super::node::Node;
use super::record::{EVENT_NAME, Record};
use crate::sink::json_text;
use crate::sink::protobuf::{bytes, fixed32, fixed64, message, varint};

/// `Resource`.
pub(super) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attributes {
        key_value(&mut out, 1, key, &Node::Text(Cow::Borrowed(value)));
    }
    out
}

/// `InstrumentationScope`.
pub(super) fn scope(name: &str, version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, &[name.as_bytes()]);
    bytes(&mut out, 2, &[version.as_bytes()]);
    out
}

/// The fields of a `LogRecord`.
pub(super) fn record(out: &mut Vec<u8>, record: &Record<'_>, observed_unix_nano: u64, form: BodyForm) {
    if record.time_unix_nano > 0 {
        fixed64(out, 1, record.time_unix_nano);
    }
    varint(out, 2, record.severity.number().into());
    bytes(out, 3, &[record.severity.text().as_bytes()]);
    message(out, 5, |out| match form {
        BodyForm::String => bytes(out, 1, &[json_text::lossy(record.line).as_bytes()]),
        BodyForm::Kvlist => any_value(out, &Node::of(record.line.trim_ascii())),
    });
    for (key, value) in &record.attributes {
        key_value(out, 6, key, value);
    }
    if let Some(trace) = record.trace {
        fixed32(out, 8, trace.flags.into());
        bytes(out, 9, &[&trace.trace_id.to_be_bytes()]);
        bytes(out, 10, &[&trace.span_id.to_be_bytes()]);
    }
    if observed_unix_nano > 0 {
        fixed64(out, 11, observed_unix_nano);
    }
    bytes(out, 12, &[EVENT_NAME.as_bytes()]);
}

fn key_value(out: &mut Vec<u8>, field: u32, key: &str, value: &Node<'_>) {
    message(out, field, |out| {
        bytes(out, 1, &[key.as_bytes()]);
        message(out, 2, |out| any_value(out, value));
    });
}

/// The fields of an `AnyValue`, which are there with the default value too: they tell what kind of value it is.
fn any_value(out: &mut Vec<u8>, node: &Node<'_>) {
    match node {
        Node::Null => {}
        Node::Text(text) => bytes(out, 1, &[text.as_bytes()]),
        Node::Bool(value) => varint(out, 2, (*value).into()),
        Node::Int(value) => varint(out, 3, value.cast_unsigned()),
        Node::Double(value) => fixed64(out, 4, value.to_bits()),
        Node::List(list) => message(out, 5, |out| {
            for node in list.nodes() {
                message(out, 1, |out| any_value(out, &node));
            }
        }),
        Node::Map(map) => message(out, 6, |out| {
            for (key, node) in map.members() {
                key_value(out, 1, &key, &node);
            }
        }),
    }
}
