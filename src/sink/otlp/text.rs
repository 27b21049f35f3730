//! Log records as JSON, as OTLP has it: names in lowerCamelCase, enumerations as numbers, 64-bit integers as text, IDs in
//! hexadecimal.

use std::borrow::Cow;
use std::io::Write as _;

use super::BodyForm;
use super::node::Node;
use super::record::{EVENT_NAME, Record};
use crate::sink::json_text;

/// `Resource`.
pub(super) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = b"{\"attributes\":[".to_vec();
    for (index, (key, value)) in attributes.iter().enumerate() {
        key_value(&mut out, index, key, &Node::Text(Cow::Borrowed(value)));
    }
    out.extend_from_slice(b"]}");
    out
}

/// `InstrumentationScope`.
pub(super) fn scope(name: &str, version: &str) -> Vec<u8> {
    let mut out = b"{\"name\":".to_vec();
    json_text::string(&mut out, name);
    out.extend_from_slice(b",\"version\":");
    json_text::string(&mut out, version);
    out.push(b'}');
    out
}

/// A `LogRecord`.
pub(super) fn record(out: &mut Vec<u8>, record: &Record<'_>, observed_unix_nano: u64, form: BodyForm) {
    out.push(b'{');
    if record.time_unix_nano > 0 {
        write(out, format_args!("\"timeUnixNano\":\"{}\",", record.time_unix_nano));
    }
    if observed_unix_nano > 0 {
        write(out, format_args!("\"observedTimeUnixNano\":\"{observed_unix_nano}\","));
    }
    let (number, text) = (record.severity.number(), record.severity.text());
    write(out, format_args!("\"severityNumber\":{number},\"severityText\":\"{text}\",\"body\":"));
    match form {
        BodyForm::String => {
            out.extend_from_slice(b"{\"stringValue\":");
            json_text::string(out, &json_text::lossy(record.line));
            out.push(b'}');
        }
        BodyForm::Kvlist => any_value(out, &Node::of(record.line.trim_ascii())),
    }
    out.extend_from_slice(b",\"attributes\":[");
    for (index, (key, value)) in record.attributes.iter().enumerate() {
        key_value(out, index, key, value);
    }
    out.push(b']');
    if let Some(trace) = record.trace {
        let (trace_id, span_id, flags) = (trace.trace_id, trace.span_id, trace.flags);
        write(
            out,
            format_args!(",\"flags\":{flags},\"traceId\":\"{trace_id:032x}\",\"spanId\":\"{span_id:016x}\""),
        );
    }
    write(out, format_args!(",\"eventName\":\"{EVENT_NAME}\"}}"));
}

/// The `index`-th of a list.
fn key_value(out: &mut Vec<u8>, index: usize, key: &str, value: &Node<'_>) {
    out.extend_from_slice(if index == 0 { b"{\"key\":" } else { b",{\"key\":" });
    json_text::string(out, key);
    out.extend_from_slice(b",\"value\":");
    any_value(out, value);
    out.push(b'}');
}

fn any_value(out: &mut Vec<u8>, node: &Node<'_>) {
    match node {
        Node::Null => out.extend_from_slice(b"{"),
        Node::Text(text) => {
            out.extend_from_slice(b"{\"stringValue\":");
            json_text::string(out, text);
        }
        Node::Bool(value) => write(out, format_args!("{{\"boolValue\":{value}")),
        Node::Int(value) => write(out, format_args!("{{\"intValue\":\"{value}\"")),
        Node::Double(value) => write(out, format_args!("{{\"doubleValue\":{value:e}")),
        Node::List(list) => {
            out.extend_from_slice(b"{\"arrayValue\":{\"values\":[");
            for (index, node) in list.nodes().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                any_value(out, &node);
            }
            out.extend_from_slice(b"]}");
        }
        Node::Map(map) => {
            out.extend_from_slice(b"{\"kvlistValue\":{\"values\":[");
            for (index, (key, node)) in map.members().enumerate() {
                key_value(out, index, &key, &node);
            }
            out.extend_from_slice(b"]}");
        }
    }
    out.push(b'}');
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}
