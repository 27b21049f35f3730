//! Keys that an index cannot take as they are.
//!
//! To an index `a.b` is a field `b` in an object `a`. So a key with nothing before, between or behind its dots is no name
//! of a field (`.` in managed fields, `.dockerconfigjson` in a Secret), and a document that has one is refused where its
//! fields are mapped as they come. There, `app` beside `app.kubernetes.io/name` is refused too, since `app` cannot be both.
//!
//! The same key twice in an object is refused too, wherever it stands. kube-apiserver takes a patch that has one and logs
//! it as it came, and a key that is changed may become one that is there: whoever sends that must not be able to keep the
//! event out of the index. Of two the later one gets another name.

use std::borrow::Cow;
use std::collections::HashSet;
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

/// How often a key may be in an object of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Whoever wrote it has seen to that.
    Once,
    /// As often as a client likes.
    AnyTimes,
}

/// An object that is open.
struct Object<'a> {
    /// Where its keys begin among those of all open ones.
    first_key: usize,
    /// Only once a key of it is changed, or if it may have one twice: no other key can become one that is there.
    taken: Option<Taken<'a>>,
}

/// What the keys of an object are called, so far.
struct Taken<'a> {
    names: HashSet<Cow<'a, str>>,
    /// No name with a smaller number is tried any more, so however often a key comes, that takes no longer.
    next: usize,
}

impl Default for Taken<'_> {
    fn default() -> Self {
        Self { names: HashSet::new(), next: 2 }
    }
}

/// Gives the keys in the value at `place` names that an index can take, each other ones within an object.
pub(super) fn make_safe(item: &[u8], place: &Range<usize>, which: Which, names: Names, edits: &mut Edits) {
    if names == Names::Once && !may_hold(&item[place.clone()], which) {
        return;
    }
    let mut open: Vec<Object<'_>> = Vec::new();
    let mut keys: Vec<Range<usize>> = Vec::new();
    for step in json::steps(item, place.clone()) {
        match step {
            Step::Open(_) => {
                let taken = (names == Names::AnyTimes).then(Taken::default);
                open.push(Object { first_key: keys.len(), taken });
            }
            Step::Close(_) => keys.truncate(open.pop().map_or(0, |object| object.first_key)),
            Step::Key(key) => {
                let Some(Object { first_key, taken }) = open.last_mut() else { continue };
                let safe = json::inside(&item[key.clone()]).and_then(|name| safe_name(name, which));
                if taken.is_none() && safe.is_none() {
                    keys.push(key);
                    continue;
                }
                let before = keys.get(*first_key..).unwrap_or_default();
                taken.get_or_insert_with(|| Taken::by(item, before)).add(item, key, safe, edits);
            }
            Step::Scalar(_) => {}
        }
    }
}

impl<'a> Taken<'a> {
    /// By keys that stay as they are.
    fn by(item: &'a [u8], keys: &[Range<usize>]) -> Self {
        let names = keys.iter().filter_map(|key| json::unescaped(&item[key.clone()])).collect();
        Self { names, ..Self::default() }
    }

    /// The next key, which is to be called `safe` if it cannot stay as it is.
    fn add(&mut self, item: &'a [u8], key: Range<usize>, safe: Option<Vec<u8>>, edits: &mut Edits) {
        let quoted = &item[key.clone()];
        let Some(name) = json::unescaped(quoted) else { return };
        let name = match safe.as_deref().and_then(json::unescaped) {
            Some(safe) => Cow::Owned(safe.into_owned()),
            None => name,
        };
        if !self.names.contains(&name) {
            self.names.insert(name);
            if let Some(safe) = safe {
                edits.replace(key, safe);
            }
            return;
        }
        loop {
            let end = format!("_{}", self.next);
            self.next += 1;
            if self.names.insert(Cow::Owned(format!("{name}{end}"))) {
                let quoted = safe.as_deref().unwrap_or(quoted);
                let inside = json::inside(quoted).unwrap_or_default();
                edits.replace(key, [b"\"", inside, end.as_bytes(), b"\""].concat());
                return;
            }
        }
    }
}

/// The same for one key.
pub(super) fn make_key_safe(item: &[u8], key: Range<usize>, which: Which, edits: &mut Edits) {
    if let Some(safe) = json::inside(&item[key.clone()]).and_then(|name| safe_name(name, which)) {
        edits.replace(key, safe);
    }
}

/// What a key becomes, in quotes; `None` if it stays.
fn safe_name(name: &[u8], which: Which) -> Option<Vec<u8>> {
    let nameless = name.split(|byte| *byte == b'.').any(|part| part.trim_ascii().is_empty());
    (nameless || which == Which::Dotted && name.contains(&b'.')).then(|| without_dots(name))
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
        made(text, which, Names::Once)
    }

    fn made(text: &str, which: Which, names: Names) -> String {
        let (mut edits, mut out) = (Edits::default(), Vec::new());
        make_safe(text.as_bytes(), &(0..text.len()), which, names, &mut edits);
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

    #[test]
    fn no_key_is_there_twice() {
        for (text, expect) in [
            (r#"{".x":1,"_x":2}"#, r#"{"_x":1,"_x_2":2}"#),
            (r#"{"_x":1,".x":2,".x":3}"#, r#"{"_x":1,"_x_2":2,"_x_3":3}"#),
            (r#"{".":{".":1},"a":[{".":2},{".":3}]}"#, r#"{"_":{"_":1},"a":[{"_":2},{"_":3}]}"#),
        ] {
            assert_eq!(safe(text, Which::Nameless), expect);
        }
        assert_eq!(safe(r#"{"a.b":1,"a_b":2}"#, Which::Dotted), r#"{"a_b":1,"a_b_2":2}"#);
        for (text, expect) in [
            (r#"{"a":1,"a":{"a":2},"b":3}"#, r#"{"a":1,"a_2":{"a":2},"b":3}"#),
            (r#"{"a":1,"\u0061":2,"a_2":3,"a":4}"#, r#"{"a":1,"\u0061_2":2,"a_2_3":3,"a_4":4}"#),
            (r#"[{"a":1},{"a":1}]"#, r#"[{"a":1},{"a":1}]"#),
            (r#"{"a":"a","b":["a","a"]}"#, r#"{"a":"a","b":["a","a"]}"#),
        ] {
            assert_eq!(made(text, Which::Nameless, Names::AnyTimes), expect);
        }
    }
}
