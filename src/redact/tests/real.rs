//! Events that a kube-apiserver wrote.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

fn lines() -> Vec<String> {
    let mut text = String::new();
    let gzip: &[u8] = include_bytes!("../../../tests/data/events/redaction.log.gz");
    GzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The strings directly in objects that are called `name`, found as text.
fn values_below(line: &str, name: &str) -> Vec<String> {
    let opening = format!("\"{name}\":{{");
    let objects = line.split(&opening).skip(1).filter_map(|rest| rest.split('}').next());
    objects
        .flat_map(|object| object.split("\":\"").skip(1).filter_map(|rest| rest.split('"').next()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn real_secrets_and_tokens_are_masked_and_nothing_else_is() {
    let mut masked = 0;
    for line in lines() {
        let (out, is_changed) = applied(&line, &Redact::default());
        let is = |resource: &str| line.contains(&format!(r#""objectRef":{{"resource":"{resource}""#));
        let secrets = if is("secrets") { values_below(&line, "data") } else { Vec::new() };
        let is_review = is("tokenreviews");
        assert_eq!(is_changed, is_review || !secrets.is_empty(), "{line}");
        assert!(secrets.iter().all(|value| !out.contains(value)), "{out}");
        assert!(!is_review || !out.contains("abc.def"), "{out}");
        masked += usize::from(is_changed);
    }
    assert_eq!(masked, 9);
}

#[test]
fn the_request_and_the_answer_have_equal_marks() {
    let line = lines().into_iter().find(|line| line.contains(r#""requestObject":{"kind":"Secret""#)).unwrap();
    let marks = values_below(&applied(&line, &Redact::default()).0, "data");
    assert_eq!((marks.len(), &marks[0]), (2, &marks[1]));
    let decoded = STANDARD.decode(&values_below(&line, "data")[0]).unwrap();
    assert_eq!(marks[0], Key::of_bytes(&[7; 32]).mark(&decoded));
}

#[test]
fn real_config_maps_are_masked_if_that_is_asked_for() {
    let config_maps: Vec<String> = lines()
        .into_iter()
        .filter(|line| line.contains(r#""kind":"ConfigMap","#) && line.contains(r#""data":{"#))
        .collect();
    assert!(config_maps.len() > 1);
    for line in config_maps {
        let (out, _) = applied(&line, &all());
        let values = values_below(&line, "data");
        assert!(values.iter().all(|value| !out.contains(value.as_str())), "{out}");
        assert!(!applied(&line, &Redact::default()).1);
    }
}

#[test]
fn an_event_that_needs_nothing_takes_no_memory() {
    let (redaction, replay) = (redaction_of(&Redact::default()), crate::demo::replay::Replay::bundled());
    let (mut line, mut out, mut unchanged) = (Vec::new(), Vec::new(), 0);
    for number in 0..1900 {
        replay.line(number, &mut line);
        line.pop();
        let parts = Parts::find(&line).unwrap();
        let mut is_changed = true;
        let taken = allocation_counter::measure(|| is_changed = redaction.apply(&line, &parts, &mut out));
        // Names of parameters with escapes in them are decoded.
        let has_escape = parts.value(&line, Field::RequestUri).is_some_and(|uri| uri.contains(&b'%'));
        let is_free = !is_changed && !has_escape;
        assert!(!is_free || taken.count_total == 0, "{}: {taken:?}", String::from_utf8_lossy(&line));
        unchanged += usize::from(!is_changed);
    }
    assert!(unchanged > 1700, "{unchanged}");
}
