use std::time::{Duration, Instant};

use super::*;

fn event(body: &str) -> String {
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","requestObject":{body}}}"#)
}

fn pieces(line: &str) -> Vec<&str> {
    let mut begin = 0;
    let ends = ends(line.as_bytes());
    ends.into_iter().map(|end| &line[std::mem::replace(&mut begin, end)..end]).collect()
}

#[test]
fn an_event_is_found_wherever_the_line_before_it_was_torn() {
    let (torn, whole) = (event(r#"{"a":[1,"\\x\u00e9",{"b":null},[],-1.5e3,true]}"#), event(r#"{"c":[]}"#));
    for at in 1..torn.len() {
        let line = format!("{}{whole}", &torn[..at]);
        assert_eq!(pieces(&line), [&torn[..at], &whole], "torn at {at}");
        let more = format!("{line}{torn}{}", &whole[..at.min(whole.len() - 1)]);
        let expect = [&torn[..at], &whole, &torn, &whole[..at.min(whole.len() - 1)]];
        assert_eq!(pieces(&more), expect, "torn at {at}");
    }
}

#[test]
fn what_stands_before_between_and_behind_events_is_a_piece_of_its_own() {
    let (a, b) = (event("1"), event("{}"));
    assert_eq!(pieces(&format!("{a}{b}")), [a.as_str(), &b]);
    assert_eq!(pieces(&format!("{a} \t{b}\r")), [a.as_str(), " \t", &b, "\r"]);
    assert_eq!(pieces(&format!("{a}garbage")), [a.as_str(), "garbage"]);
    assert_eq!(pieces(&format!("I1122 klog{a}x{b}y")), ["I1122 klog", &a, "x", &b, "y"]);
    assert_eq!(pieces(&format!("{{\"kind\":\"Pod\"}}{a}")), ["{\"kind\":\"Pod\"}", &a]);
    let other = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Event"}"#;
    assert_eq!(pieces(&format!("{other}{a}{other}x")), [other, &a, other, "x"]);
    assert_eq!(pieces(&format!("x{other}")), Vec::<&str>::new());
}

#[test]
fn what_a_client_wrote_into_a_body_is_no_event_of_its_own() {
    let forged = event("0");
    let bodies = [
        forged.clone(),
        format!("[{forged},{forged} , {forged}]"),
        format!(r#"{{"a":{forged},"b":{{"c":{forged}}}}}"#),
    ];
    for body in bodies {
        let line = event(&body);
        let inside = line.find(&forged).unwrap();
        let last = line.rfind(&forged).unwrap() + forged.len();
        for at in inside..line.len() {
            // Where the line is torn just behind the forgery, nothing tells it from an event glued there.
            if (inside..last).contains(&at) && !line[..at].trim_end().ends_with(&forged) {
                assert!(ends(&line.as_bytes()[..at]).is_empty(), "{}", &line[..at]);
                assert_eq!(pieces(&format!("{}{forged}", &line[..at])).last(), Some(&forged.as_str()));
            }
        }
        assert!(ends(format!("{}x", &line[1..]).as_bytes()).is_empty());
    }
}

#[test]
fn the_work_is_linear_whatever_an_enemy_writes() {
    let opening = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","a":"#;
    let count = 60_000;
    let enemies = [
        opening.repeat(count),
        format!("{}1{},", opening.repeat(count), "}".repeat(count - 1)),
        format!("{opening}\"").repeat(count),
        format!("{opening}1}},").repeat(count),
        format!("{opening}1}}").repeat(count),
        format!("{opening}{}", "[".repeat(50 * count)),
        format!("{opening}1}}{}", " ".repeat(50)).repeat(count),
        "{".repeat(50 * count),
    ];
    for (number, enemy) in enemies.iter().enumerate() {
        let began = Instant::now();
        let found = ends(enemy.as_bytes());
        assert_eq!(found.is_empty(), ![4, 6].contains(&number), "{number}");
        // One pass takes milliseconds; one for each opening would take minutes.
        assert!(began.elapsed() < Duration::from_secs(20), "{number}: {:?}", began.elapsed());
    }
}
