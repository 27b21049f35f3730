//! A value of an event as OTLP's `AnyValue` has it, taken from its JSON text one level at a time: nothing is built.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::json;

/// How deep an `AnyValue` may be nested; what is deeper goes as its JSON text. Decoders of Protocol Buffers follow 100
/// messages (C++, Python, Rust), and a level of JSON takes three; five are around it.
const DEEPEST: usize = 30;

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(List<'a>),
    Map(Map<'a>),
}

/// The JSON text of a list, and how deep it is nested.
#[derive(Debug, PartialEq)]
pub(super) struct List<'a>(&'a [u8], usize);

/// The JSON text of an object, and how deep it is nested.
#[derive(Debug, PartialEq)]
pub(super) struct Map<'a>(&'a [u8], usize);

impl<'a> Node<'a> {
    /// The value that `json` says, without blanks around.
    pub(super) fn of(json: &'a [u8]) -> Self {
        Self::at(json, 0)
    }

    fn at(json: &'a [u8], depth: usize) -> Self {
        match json.first() {
            Some(b'"') => Self::Text(json::unescaped(json).unwrap_or_else(|| String::from_utf8_lossy(json))),
            Some(b'{') if depth < DEEPEST => Self::Map(Map(json, depth)),
            Some(b'[') if depth < DEEPEST => Self::List(List(json, depth)),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::number(json),
        }
    }

    /// What has no place in 64 bits stays text. Large integers lose digits, as in most readers of JSON.
    fn number(json: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(json);
        match (text.parse(), text.parse::<f64>()) {
            (Ok(int), _) => Self::Int(int),
            (_, Ok(double)) if double.is_finite() => Self::Double(double),
            _ => Self::Text(text),
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'a>> {
        let Self(json, depth) = *self;
        json::items(json, 0).map(move |place| Node::at(json.get(place).unwrap_or_default(), depth + 1))
    }
}

impl<'a> Map<'a> {
    /// Each key once, which OTLP demands and JSON does not: of those that are there twice the last one counts, as Go's
    /// decoder has it.
    pub(super) fn members(&self) -> impl Iterator<Item = (Cow<'a, str>, Node<'a>)> {
        let Self(json, depth) = *self;
        let mut members: Vec<_> = json::members(json, 0)
            .filter_map(|member| Some((json::unescaped(json.get(member.key)?)?, json.get(member.value)?)))
            .collect();
        let mut seen = HashSet::with_capacity(members.len());
        let mut is_last: Vec<bool> = members.iter().rev().map(|(key, _)| seen.insert(key.clone())).collect();
        members.retain(|_| is_last.pop().unwrap_or_default());
        members.into_iter().map(move |(key, value)| (key, Node::at(value, depth + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(json: &str) -> Vec<(String, String)> {
        let Node::Map(map) = Node::of(json.as_bytes()) else { panic!("{json}") };
        map.members().map(|(key, node)| (key.into_owned(), format!("{node:?}"))).collect()
    }

    #[test]
    fn every_kind_of_value() {
        let text = |text| Node::Text(Cow::Borrowed(text));
        let cases = [
            ("null", Node::Null),
            ("true", Node::Bool(true)),
            ("false", Node::Bool(false)),
            ("0", Node::Int(0)),
            ("-9223372036854775808", Node::Int(i64::MIN)),
            ("9223372036854775808", Node::Double(9_223_372_036_854_775_808.0)),
            ("-0.5e1", Node::Double(-5.0)),
            ("1e400", text("1e400")),
            (r#""""#, text("")),
            (r#""a\u003cb""#, text("a<b")),
            ("", text("")),
        ];
        for (json, expect) in cases {
            assert_eq!(Node::of(json.as_bytes()), expect, "{json}");
        }
    }

    #[test]
    fn of_two_members_with_one_key_the_last_counts() {
        let expect = [("b", "Int(2)"), ("a", "Int(4)"), ("c", "Null")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(members(r#"{"a":1,"b":2,"\u0061":3,"a":4,"c":null}"#), expect);
    }

    #[test]
    fn what_is_too_deep_stays_text() {
        let json = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let mut node = Node::of(json.as_bytes());
        let mut depth = 0;
        while let Node::List(list) = node {
            node = list.nodes().next().unwrap();
            depth += 1;
        }
        assert_eq!((depth, node), (30, Node::Text(json[30..51].into())));
    }
}
