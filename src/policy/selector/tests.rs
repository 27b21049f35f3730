use proptest::prelude::*;

use super::*;
use crate::properties::cases;

fn name_in(query: &str) -> String {
    let mut found = b"left over".to_vec();
    name(query.as_bytes(), &mut b"left over".to_vec(), &mut found);
    String::from_utf8(found).unwrap()
}

#[test]
fn names_that_are_asked_for() {
    for (query, expected) in [
        ("fieldSelector=metadata.name=a", "a"),
        ("fieldSelector=metadata.name%3Da", "a"),
        ("fieldSelector=metadata.name%3d%3Da", "a"),
        ("field%53elector=metadata.name=a", "a"),
        ("limit=500&fieldSelector=metadata.name%3Da&timeout=10s&timeoutSeconds=-7", "a"),
        ("fieldSelector=,spec.nodeName=n,metadata.name=a,", "a"),
        // The first value of a parameter counts, whatever becomes of it.
        ("fieldSelector=metadata.name=a&fieldSelector=metadata.name=b", "a"),
        ("fieldSelector=spec.x=y&fieldSelector=metadata.name=b", ""),
        ("fieldSelector=&fieldSelector=metadata.name=b", ""),
        ("fieldSelector&fieldSelector=metadata.name=b", ""),
        // Of several terms, the first in the order of their texts.
        ("fieldSelector=metadata.name=b,metadata.name=a", "a"),
        ("fieldSelector=metadata.name=a,metadata.name==b", "b"),
        // In a query a plus sign is a blank.
        ("fieldSelector=metadata.name=a+b%2Bc", "a b+c"),
        (r"fieldSelector=metadata.name=a\,b\=c\\d", r"a,b=c\d"),
        // Go passes over what is malformed.
        ("fieldSelector=metadata.name=a%&fieldSelector=metadata.name=b", "b"),
        ("fieldSelector=metadata.name=a;x&fieldSelector=metadata.name=b", "b"),
        ("&&x=%zz&fieldSelector=metadata.name=b", "b"),
    ] {
        assert_eq!(name_in(query), expected, "{query}");
    }
}

#[test]
fn queries_that_ask_for_no_name() {
    for query in [
        "",
        "watch=true",
        "labelSelector=metadata.name=a",
        "fieldselector=metadata.name=a",
        "fieldSelector=metadata.name!=a",
        "fieldSelector=metadata.name=",
        "fieldSelector=metadata.names=a",
        "fieldSelector=Metadata.name=a",
        "fieldSelector= metadata.name=a",
        // Nobody understands these.
        "fieldSelector=metadata.name=a,foo",
        "fieldSelector=metadata.name=a=b",
        r"fieldSelector=metadata.name=a\b",
        r"fieldSelector=metadata.name=a,x=y\",
        "fieldSelector=metadata.name=a&limit=many",
        "fieldSelector=metadata.name=a&limit=",
        "fieldSelector=metadata.name=a&timeoutSeconds=1.5",
        // No object can have such a name.
        "fieldSelector=metadata.name=.",
        "fieldSelector=metadata.name=..",
        "fieldSelector=metadata.name=a/b",
        "fieldSelector=metadata.name=a%25b",
    ] {
        assert_eq!(name_in(query), "", "{query}");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    /// A name that is escaped as the rules want it is found, whatever it is; and no query panics.
    #[test]
    fn escaped_names_are_found(wanted in "[^/%]{1,20}", noise in "[a-z=&%;+,!\\\\]{0,30}") {
        prop_assume!(wanted != "." && wanted != "..");
        let value: String = wanted.chars().flat_map(|char| match char {
            ',' | '=' | '\\' => vec!['\\', char],
            char => vec![char],
        }).collect();
        let percent: Vec<String> = format!("metadata.name={value}").bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(name_in(&format!("fieldSelector={}", percent.concat())), wanted);
        name_in(&noise);
        name_in(&format!("fieldSelector=metadata.name={noise}"));
    }
}
