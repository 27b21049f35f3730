use super::*;

fn entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Map(entries) => entries,
        other => panic!("{other:?} is no mapping"),
    }
}

#[test]
fn keys_and_values_know_their_lines() {
    let top = entries(parse("# comment\na: 1\nb:\n  c: [x,\n    y]\n  d:\n").unwrap());
    assert_eq!((top[0].line, top[0].node.line), (2, 2));
    assert_eq!((top[1].line, top[1].node.line), (3, 4));
    let [_, b] = <[Entry; 2]>::try_from(top).unwrap();
    let b = entries(b.node);
    let Value::List(list) = &b[0].node.value else { panic!("{b:?}") };
    assert_eq!((list[0].line, list[1].line), (4, 5));
    assert!(matches!(b[1].node.value, Value::Null));
    assert_eq!(b[1].line, 6);
}

#[test]
fn repeated_keys_survive_and_merged_ones_do_not_repeat() {
    let top = entries(parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  x: 3\n  x: 4\n").unwrap());
    let [_, used] = <[Entry; 2]>::try_from(top).unwrap();
    let mut keys: Vec<_> = entries(used.node).into_iter().map(|e| e.key).collect();
    keys.sort();
    assert_eq!(keys, ["x", "x", "y"]);
}

#[test]
fn scalars_keep_their_type() {
    let top = entries(
        parse("[a, yes, true, 0x10, 1.5, '1', ~, .inf]")
            .map(|n| Node {
                line: 1,
                value: Value::Map(vec![Entry { key: String::new(), line: 1, node: n }]),
            })
            .unwrap(),
    );
    let Value::List(list) = &top[0].node.value else { panic!("{top:?}") };
    let kinds: Vec<_> = list.iter().map(|n| n.value.kind()).collect();
    assert_eq!(
        kinds,
        ["a string", "a string", "a boolean", "a number", "a number", "a string", "nothing", "a number"]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    let error = parse("a: 1\nb: [1,\nc: 2\n").unwrap_err();
    assert!(error.line >= 2 && !error.reason.contains('\n'), "{error:?}");
    assert!(parse("a: 1\n---\nb: 2\n").is_err());
    assert!(parse("a: *missing\n").is_err());
    assert!(matches!(parse("").unwrap().value, Value::Null));
    assert!(matches!(parse("# nothing\n").unwrap().value, Value::Null));
}
