use super::*;

const LIMITS: Limits =
    Limits { max_lines: 3, max_bytes: 10_000, max_first_line_bytes: 20_000, max_event_size: None };

fn event(version: &str, padding: usize) -> Vec<u8> {
    let text = "x".repeat(padding);
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/{version}","stageTimestamp":"2026-11-22T02:22:50.248816Z","verb":"{text}"}}"#).into_bytes()
}

fn offer(batch: &mut Batch, line: &[u8]) -> Offer {
    batch.offer(line, || Origin { file: "audit.log".into(), offset: 7 }, &LIMITS)
}

#[test]
fn ends_at_the_number_of_lines_events_and_asides_alike() {
    let mut batch = Batch::new(Buffers::default());
    assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
    assert_eq!(offer(&mut batch, b"garbage"), Offer::Taken);
    assert!(!batch.is_full(&LIMITS));
    assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
    assert!(batch.is_full(&LIMITS));
    assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
    assert_eq!((batch.events(), batch.lines()), (2, 3));
    let asides = batch.take_asides();
    assert_eq!(asides[0].line, b"garbage");
    assert_eq!(asides[0].origin, Some(Origin { file: "audit.log".into(), offset: 7 }));
}

#[test]
fn ends_before_the_body_would_be_too_large_and_a_larger_event_goes_alone() {
    let mut batch = Batch::new(Buffers::default());
    assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Taken);
    assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Full);
    let mut alone = Batch::new(Buffers::default());
    assert_eq!(offer(&mut alone, &event("v1", 15_000)), Offer::Taken);
    assert_eq!(offer(&mut alone, &event("v1", 1)), Offer::Full);
}

#[test]
fn a_first_line_that_memory_has_no_room_for_is_left_for_later() {
    let mut batch = Batch::new(Buffers::default());
    assert_eq!(offer(&mut batch, &event("v1", 20_000)), Offer::Full);
    assert!(batch.is_empty());
}

#[test]
fn never_mixes_versions() {
    let mut batch = Batch::new(Buffers::default());
    assert_eq!(offer(&mut batch, &event("v1beta1", 1)), Offer::Taken);
    assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
    assert_eq!(batch.version(), ApiVersion::V1beta1);
}

#[test]
fn what_is_too_large_is_cut_and_what_cannot_be_cut_is_set_aside() {
    let event = |level: &str, padding: usize| {
        let text = "x".repeat(padding);
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"{level}","requestObject":"{text}"}}"#
        )
    };
    let exactly = event("Request", 199);
    let limits = Limits { max_lines: 9, max_event_size: Some(exactly.len() + 1), ..LIMITS };
    let stubborn =
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{}"}}"#, "x".repeat(999));
    let mut batch = Batch::new(Buffers::default());
    for line in [&exactly, &event("Request", 200), &stubborn, &event("Request", 0)] {
        let origin = || Origin { file: "audit.log".into(), offset: 0 };
        assert_eq!(batch.offer(line.as_bytes(), origin, &limits), Offer::Taken);
    }
    batch.seal();
    assert_eq!((batch.events(), batch.truncated()), (3, 1));
    assert_eq!(batch.line(0), exactly.as_bytes(), "equal fits");
    assert!(batch.line(1).ends_with(br#""annotations":{"audit.k8s.io/truncated":"true"}}"#));
    assert_eq!(batch.line(2), event("Request", 0).as_bytes());
    let asides = batch.take_asides();
    assert_eq!((asides.len(), asides[0].reason), (1, Reason::TooLarge));
    assert_eq!(asides[0].line, stubborn.as_bytes());
}

#[test]
fn items_of_any_events_are_the_buffers_with_commas_between() {
    let limits =
        Limits { max_lines: 9, max_bytes: 1 << 30, max_first_line_bytes: 1 << 30, max_event_size: None };
    let lines: Vec<Vec<u8>> = [1, 200_000, 100_000, 300_000, 2, 3].map(|padding| event("v1", padding)).into();
    let mut batch = Batch::new(Buffers::default());
    for line in &lines {
        batch.offer(line, || Origin { file: "audit.log".into(), offset: line.len() as u64 }, &limits);
    }
    batch.seal();
    for (start, end) in [(0, 6), (0, 1), (1, 3), (2, 6), (5, 6), (3, 3)] {
        let expect: Vec<Vec<u8>> = lines[start..end]
            .iter()
            .map(|line| {
                let (opening, rest) = split(line, ApiVersion::V1);
                [opening, rest].concat()
            })
            .collect();
        assert_eq!(batch.items(start..end).concat(), expect.join(&b','), "{start}..{end}");
    }
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(&batch.line(index), line);
        let aside = batch.aside_of(index, Reason::Rejected, String::new(), None);
        assert_eq!(aside.origin, Some(Origin { file: "audit.log".into(), offset: line.len() as u64 }));
    }
}

fn treated_by(rules: &str) -> Batch {
    let text = format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{rules}]}}");
    let policy = crate::policy::Policy::parse(&text, "policy.yaml").unwrap().policy;
    let treatment = Treatment { policy: Some(std::sync::Arc::new(policy)), ..Treatment::default() };
    Batch::with_treating(Buffers::default(), Treating::new(treatment))
}

#[test]
fn what_the_policy_drops_takes_no_room_and_is_counted() {
    let mut batch = treated_by("{level: None, verbs: [x]}, {level: RequestResponse, verbs: [xx]}");
    let lines =
        [event("v1", 1), event("v1", 2), event("v1", 1), event("v1", 3), event("v1", 2), event("v1", 2)];
    for line in &lines {
        assert_eq!(offer(&mut batch, line), Offer::Taken);
    }
    // Whatever it would be: the policy is not asked of what has no room.
    assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
    batch.seal();
    assert_eq!((batch.events(), batch.lines()), (3, 3));
    assert_eq!(batch.line(0), lines[1]);
    let policy = FilteredBy::Policy;
    assert_eq!(batch.filtered().by().collect::<Vec<_>>(), [(policy(None), 1), (policy(Some(0)), 2)]);
    assert_eq!(batch.log_bytes(), lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>());
    assert_eq!(
        batch.filtered().bytes(),
        [0, 2, 3].map(|index| lines[index].len() as u64 + 1).iter().sum::<u64>()
    );
}

#[test]
fn an_event_of_which_a_policy_cannot_tell_is_set_aside() {
    let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","verb":"list"}"#;
    let mut plain = Batch::new(Buffers::default());
    assert_eq!(offer(&mut plain, line), Offer::Taken);
    assert_eq!(plain.events(), 1);
    let mut batch = treated_by("{level: None}");
    assert_eq!(offer(&mut batch, line), Offer::Taken);
    let asides = batch.take_asides();
    assert_eq!((asides[0].reason, asides[0].line.as_slice()), (Reason::Malformed, &line[..]));
    assert!(asides[0].detail.contains("twice"));
}

#[test]
fn an_event_counts_with_what_the_policy_leaves_of_it() {
    let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","verb":"get","requestObject":{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}"#;
    let limits = Limits { max_event_size: Some(120), ..LIMITS };
    let mut batch = treated_by("{level: Metadata}");
    assert_eq!(batch.offer(line, || Origin { file: "audit.log".into(), offset: 7 }, &limits), Offer::Taken);
    batch.seal();
    assert_eq!(batch.truncated(), 0);
    assert_eq!(
        batch.line(0),
        br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","verb":"get"}"#
    );
    assert_eq!((batch.level(0), batch.log_bytes()), (Level::Metadata, line.len() as u64 + 1));
}
