//! What events are told apart by: the value of a field, or of several together.

use std::str::FromStr;

use crate::event::{Event, Field, Parts};
use crate::json;

/// Between the values of several keys. It is no part of any value.
const BETWEEN: char = '\0';
/// What a value is shown as that an event does not have.
const NONE: &str = "(none)";

/// Something that an event has one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    User,
    Verb,
    Resource,
    Namespace,
    Agent,
    Code,
    Level,
    Stage,
    Rule,
}

/// Each key with its name.
const NAMES: [(&str, Key); 9] = [
    ("user", Key::User),
    ("verb", Key::Verb),
    ("resource", Key::Resource),
    ("namespace", Key::Namespace),
    ("agent", Key::Agent),
    ("code", Key::Code),
    ("level", Key::Level),
    ("stage", Key::Stage),
    ("rule", Key::Rule),
];

/// The keys of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |name: &str| {
            let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
            found.ok_or_else(|| {
                let names = NAMES.map(|(name, _)| name).join(", ");
                format!("{name:?} is not known; legal are {names}, and several with + between them")
            })
        };
        text.split('+').map(key).collect::<Result<_, _>>().map(Self)
    }
}

impl Keys {
    /// The names of the keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let name = |key: &Key| NAMES.iter().find(|(_, other)| other == key).map(|(name, _)| *name);
        self.0.iter().filter_map(name).collect()
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.0.contains(&key)
    }

    /// Puts the values of an event into `out`. `rule` is the number of the rule that decides on it.
    pub(super) fn values_of(
        &self,
        line: &[u8],
        event: &Event<'_>,
        parts: &Parts,
        rule: Option<usize>,
        out: &mut String,
    ) {
        out.clear();
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(BETWEEN);
            }
            let start = out.len();
            key.put(line, event, parts, rule, out);
            if out[start..].contains(BETWEEN) {
                let cleaned = out[start..].replace(BETWEEN, "\u{fffd}");
                out.truncate(start);
                out.push_str(&cleaned);
            }
        }
    }

    /// The values that [`Self::values_of`] has put together; `None` where an event has none.
    pub(super) fn split(&self, value: &[u8]) -> Vec<Option<String>> {
        let text = String::from_utf8_lossy(value);
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        // A value that was cut short may have lost the last of them.
        let values = text.split(BETWEEN).map(value).chain(std::iter::repeat(None));
        values.take(self.0.len()).collect()
    }

    /// The same for people.
    pub(super) fn shown(&self, value: &[u8]) -> String {
        let values = self.split(value).into_iter().map(|value| value.unwrap_or_else(|| NONE.to_owned()));
        values.collect::<Vec<_>>().join(", ")
    }
}

impl Key {
    fn put(self, line: &[u8], event: &Event<'_>, parts: &Parts, rule: Option<usize>, out: &mut String) {
        match self {
            Self::Verb => put_text(line, parts, Field::Verb, out),
            Self::Agent => put_text(line, parts, Field::UserAgent, out),
            Self::Stage => put_text(line, parts, Field::Stage, out),
            Self::User => put_user(line, parts, out),
            Self::Namespace => put_member(line, parts, Field::ObjectRef, "namespace", out),
            Self::Resource => put_resource(line, parts, out),
            Self::Code => put_code(line, parts, out),
            Self::Level => out.push_str(event.level.as_str()),
            Self::Rule => out.push_str(&rule.map(|rule| rule.to_string()).unwrap_or_default()),
        }
    }
}

/// What the text of a field says.
pub(in crate::cli) fn put_text(line: &[u8], parts: &Parts, field: Field, out: &mut String) {
    json::unescape_into(parts.value(line, field).unwrap_or_default(), out);
}

/// The name of the user who was authenticated.
pub(in crate::cli) fn put_user(line: &[u8], parts: &Parts, out: &mut String) {
    put_member(line, parts, Field::User, "username", out);
}

fn put_member(line: &[u8], parts: &Parts, field: Field, name: &str, out: &mut String) {
    if let Some(place) = parts.place(field).and_then(|place| json::member(line, place.start, name)) {
        json::unescape_into(&line[place], out);
    }
}

/// As kubectl writes it: `deployments.apps`, `pods/log`. What is no resource has its path: `/healthz`.
pub(in crate::cli) fn put_resource(line: &[u8], parts: &Parts, out: &mut String) {
    let Some(object) = parts.place(Field::ObjectRef) else {
        let start = out.len();
        put_text(line, parts, Field::RequestUri, out);
        let path_bytes = out[start..].find('?').unwrap_or(out.len() - start);
        return out.truncate(start + path_bytes);
    };
    let (mut group, mut subresource) = (None, None);
    for member in json::members(line, object.start) {
        let value = &line[member.value];
        match &line[member.key] {
            br#""resource""# => json::unescape_into(value, out),
            br#""apiGroup""# => group = Some(value),
            br#""subresource""# => subresource = Some(value),
            _ => {}
        }
    }
    for (mark, value) in [('.', group), ('/', subresource)] {
        if let Some(value) = value {
            out.push(mark);
            json::unescape_into(value, out);
        }
    }
}

fn put_code(line: &[u8], parts: &Parts, out: &mut String) {
    let status = parts.place(Field::ResponseStatus);
    if let Some(code) = status.and_then(|place| json::member(line, place.start, "code")) {
        let code = &line[code];
        if code.len() <= 5 && code.iter().all(u8::is_ascii_digit) {
            out.push_str(str::from_utf8(code).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(keys: &str, line: &str) -> String {
        let keys: Keys = keys.parse().unwrap();
        let line = format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request",{line}}}"#);
        let event = Event::parse(line.as_bytes()).unwrap();
        let (parts, mut out) = (event.parts(line.as_bytes()).unwrap(), String::new());
        keys.values_of(line.as_bytes(), &event, &parts, Some(3), &mut out);
        keys.shown(out.as_bytes())
    }

    #[test]
    fn values_are_those_of_the_event() {
        let line = r#""stage":"ResponseComplete","requestURI":"/x?y","verb":"get","user":{"groups":["a"],"username":"b\u003cc"},"userAgent":"kubelet","objectRef":{"namespace":"n","resource":"deployments","subresource":"scale","apiGroup":"apps"},"responseStatus":{"code":200}"#;
        for (keys, expected) in [
            ("user", "b<c"),
            ("verb", "get"),
            ("resource", "deployments.apps/scale"),
            ("namespace", "n"),
            ("agent", "kubelet"),
            ("code", "200"),
            ("level", "Request"),
            ("stage", "ResponseComplete"),
            ("rule", "3"),
            ("user+verb+code", "b<c, get, 200"),
        ] {
            assert_eq!(value(keys, line), expected, "{keys}");
        }
    }

    #[test]
    fn what_an_event_does_not_have_is_none() {
        let bare = r#""requestURI":"/healthz?verbose=1\u0026x","user":{},"responseStatus":{"code":"x"}"#;
        assert_eq!(value("user+namespace+code+verb", bare), "(none), (none), (none), (none)");
        assert_eq!(value("resource", bare), "/healthz");
        assert_eq!(value("resource", r#""verb":"get""#), "(none)");
        assert_eq!(value("resource", r#""objectRef":{"resource":"pods","subresource":"log"}"#), "pods/log");
    }

    #[test]
    fn no_value_looks_like_two() {
        assert_eq!(value("user+verb", r#""verb":"get","user":{"username":"a\u0000b"}"#), "a\u{fffd}b, get");
        assert!("user,verb".parse::<Keys>().unwrap_err().contains("legal are user, verb, "));
    }
}
