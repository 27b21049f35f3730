//! A stream's labels, as Loki reads them.

use jiff::Timestamp;

use crate::sink::json_text;

/// The label of streams of old entries: the hour that they are from.
pub(crate) const REPLAY: &str = "replay";

/// Names and values, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels(Vec<(String, String)>);

impl Labels {
    pub(super) fn new(mut labels: Vec<(String, String)>) -> Self {
        labels.sort();
        Self(labels)
    }

    /// The same of the stream of an hour, in seconds since 1970.
    pub(super) fn of_replay(&self, hour: i64) -> Self {
        let hour = Timestamp::from_second(hour).map_or_else(|_| hour.to_string(), |hour| hour.to_string());
        let mut labels = self.0.clone();
        labels.push((REPLAY.to_owned(), hour));
        Self::new(labels)
    }

    /// As LogQL has them: `{job="x", node="y"}`. Values are quoted as in Go.
    pub(super) fn text(&self) -> String {
        let quoted = |(name, value): &(String, String)| {
            let value: String = value
                .chars()
                .flat_map(|char| matches!(char, '"' | '\\').then_some('\\').into_iter().chain([char]))
                .collect();
            format!("{name}=\"{value}\"")
        };
        format!("{{{}}}", self.0.iter().map(quoted).collect::<Vec<_>>().join(", "))
    }

    /// As a JSON object.
    pub(super) fn add_json(&self, out: &mut Vec<u8>) {
        object(out, self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
}

/// A flat JSON object of strings.
pub(super) fn object<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json_text::string(out, name);
        out.push(b':');
        json_text::string(out, value);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_in_order_and_quoted() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = Labels::new(vec![pair("node", r#"a"b\c"#), pair("job", "über")]);
        assert_eq!(labels.text(), r#"{job="über", node="a\"b\\c"}"#);
        let mut json = Vec::new();
        labels.of_replay(1_795_309_200).add_json(&mut json);
        let expect = r#"{"job":"über","node":"a\"b\\c","replay":"2026-11-22T01:00:00Z"}"#;
        assert_eq!(String::from_utf8(json).unwrap(), expect);
        assert_eq!(Labels::new(Vec::new()).of_replay(i64::MAX).text(), r#"{replay="9223372036854775807"}"#);
    }
}
