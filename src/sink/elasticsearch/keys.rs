//! Keys that an index cannot take as they are.
//!
//! To an index `a.b` is a field `b` in an object `a`. So a key with nothing before, between or behind its dots is no name
//! of a field (`.` in managed fields, `.dockerconfigjson` in a Secret), and a document that has one is refused where its
//! fields are mapped as they come. There, `app` beside `app.kubernetes.io/name` is refused too, since `app` cannot be both.

use std::ops::Range;

use memchr::memmem;

use crate::json::{self, Edits, Step};

/// Which keys are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that are no name of a field.
    Nameless,
    /// All with a dot.
    Dotted,
}

/// Gives the keys in the value at `place` names without dots.
pub(super) fn make_safe(item: &[u8], place: &Range<usize>, which: Which, edits: &mut Edits) {
    if !may_hold(&item[place.clone()], which) {
        return;
    }
    for step in json::steps(item, place.clone()) {
        if let Step::Key(key) = step {
            make_key_safe(item, key, which, edits);
        }
    }
}

/// The same for one key.
pub(super) fn make_key_safe(item: &[u8], key: Range<usize>, which: Which, edits: &mut Edits) {
    let Some(name) = json::inside(&item[key.clone()]) else { return };
    let nameless = name.split(|byte| *byte == b'.').any(|part| part.trim_ascii().is_empty());
    if nameless || which == Which::Dotted && name.contains(&b'.') {
        edits.replace(key, without_dots(name));
    }
}

/// In quotes. An escape holds no dot, so it stays whole.
fn without_dots(name: &[u8]) -> Vec<u8> {
    let name = if name.trim_ascii().is_empty() { b"_" } else { name };
    let plain = name.iter().map(|byte| if *byte == b'.' { b'_' } else { *byte });
    [b'"'].into_iter().chain(plain).chain([b'"']).collect()
}

/// A quick look, which spares most bodies the walk. Without blanks between a key and its colon, as kube-apiserver writes.
fn may_hold(value: &[u8], which: Which) -> bool {
    match which {
        Which::Dotted => memchr::memchr(b'.', value).is_some(),
        Which::Nameless => {
            let hints: [&[u8]; 4] = [b"\".", b".\":", b"..", b"\"\":"];
            hints.iter().any(|hint| memmem::find(value, hint).is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(text: &str, which: Which) -> String {
        let (mut edits, mut out) = (Edits::default(), Vec::new());
        make_safe(text.as_bytes(), &(0..text.len()), which, &mut edits);
        edits.apply(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_that_are_no_name_become_one() {
        let cases = [
            (r#"{"f:labels":{".":{},"f:a.b":{}}}"#, r#"{"f:labels":{"_":{},"f:a.b":{}}}"#),
            (r#"[{".dockerconfigjson":"x"}]"#, r#"[{"_dockerconfigjson":"x"}]"#),
            (r#"{"a":{"b.":1}}"#, r#"{"a":{"b_":1}}"#),
            (r#"{"a..b":1,"a.b":2}"#, r#"{"a__b":1,"a.b":2}"#),
            (r#"{"":1}"#, r#"{"_":1}"#),
            (r#"{"\n.\"":1,".":2}"#, r#"{"\n.\"":1,"_":2}"#),
            (r#"{"x":".","y":"","z":"..","q":["."]}"#, r#"{"x":".","y":"","z":"..","q":["."]}"#),
        ];
        for (text, expect) in cases {
            assert_eq!(safe(text, Which::Nameless), expect);
        }
    }

    #[test]
    fn all_dots_of_keys_go_and_none_of_values() {
        let text = r#"{"app":"1.2","app.kubernetes.io/name":{"tls.crt":"a.b","x":[1.5]},".":0}"#;
        let expect = r#"{"app":"1.2","app_kubernetes_io/name":{"tls_crt":"a.b","x":[1.5]},"_":0}"#;
        assert_eq!(safe(text, Which::Dotted), expect);
    }
}
