//! config/gke-split.yaml: each event goes to exactly one of its two outputs, and to the right one.
//!
//! The events are those that come with the tests, or the whole logs of the directory that `AUDIT_SHIPPER_LOGS` names.

use std::collections::BTreeSet;
use std::path::Path;

use super::event::Event;
use super::outputs::{Outputs, filtered_by, of};
use crate::support::cli::audit_shipper;
use crate::support::workdir::{gunzipped_lines, large_events, real_events};

const OUTPUTS: [&str; 2] = ["admin-activity", "data-access"];

fn outputs() -> Outputs {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gke-split.yaml");
    // Secrets would be masked, and what is compared here is the text of events. The last batch need not wait to be full.
    let text = std::fs::read_to_string(path).unwrap();
    let fields = "    redact: { enabled: false }\n    batch: { maxWait: 50ms }\n    match:";
    Outputs::of_file(&text.replace("    match:", fields), &OUTPUTS)
}

fn logs() -> Vec<String> {
    match std::env::var_os("AUDIT_SHIPPER_LOGS") {
        None => [real_events(1250), large_events()].concat(),
        Some(directory) => ["gke.log.gz", "requestresponse.log.gz"]
            .map(|name| gunzipped_lines(&std::fs::read(Path::new(&directory).join(name)).unwrap()))
            .concat(),
    }
}

/// Whether something is changed, and not only reported: what the documentation of the file says, of an event as serde reads it.
fn is_admin_activity(event: &Event) -> bool {
    !event.has(|object| object.subresource == "status")
        && event.is(&["create", "update", "patch", "delete", "deletecollection", "post", "put"])
}

/// An event as the first of `events`, with another verb and another URL, which is about no resource.
fn elsewhere(events: &[String], number: usize, verb: &str, path: &str) -> String {
    let about_none = events.iter().filter(|line| !line.contains("\"objectRef\":"));
    let line = about_none.clone().nth(number % about_none.count()).unwrap();
    let Event { verb: old_verb, request_uri, audit_id, .. } = Event::read(line);
    line.replacen(&format!("\"verb\":\"{old_verb}\""), &format!("\"verb\":\"{verb}\""), 1)
        .replacen(&request_uri, path, 1)
        .replacen(&audit_id, &format!("elsewhere-{number}"), 1)
}

#[test]
fn each_event_goes_to_exactly_one_of_the_two() {
    let mut lines = logs();
    let of_methods = [
        ("put", "/debug/flags/v"),
        ("post", "/x"),
        ("patch", "/x"),
        ("delete", "/x"),
        ("head", "/healthz"),
        ("options", "/api"),
        ("", "/x"),
    ];
    let of_methods: Vec<String> = of_methods
        .iter()
        .enumerate()
        .map(|(number, (verb, path))| elsewhere(&lines, number, verb, path))
        .collect();
    lines.extend(of_methods);
    let outputs = outputs();
    std::fs::write(outputs.workdir.log(), lines.concat()).unwrap();
    let daemon = outputs.start();
    let metrics = outputs.wait_until_settled(&daemon, lines.len());

    let [admin, data] = OUTPUTS.map(|output| outputs.arrived(output));
    assert_eq!(admin.intersection(&data).count(), 0);
    let all: BTreeSet<String> = lines.iter().cloned().collect();
    assert!(admin.union(&data).cloned().collect::<BTreeSet<_>>() == all);
    let expected = |line: &&String| is_admin_activity(&Event::read(line));
    assert!(admin == lines.iter().filter(expected).cloned().collect());
    eprintln!("{} lines: {} of admin activity, {} of data access", all.len(), admin.len(), data.len());

    // Each sort of them is there.
    let has = |of: &BTreeSet<String>, is: &dyn Fn(&Event) -> bool| {
        assert!(of.iter().any(|line| is(&Event::read(line))));
    };
    has(&data, &|event| event.is(&["patch", "update"]) && event.has(|object| object.subresource == "status"));
    has(&data, &|event| event.is(&["watch"]));
    has(&data, &|event| event.object_ref.is_none() && event.is(&["get"]));
    has(&data, &|event| event.verb.is_empty());
    has(&admin, &|event| event.is(&["create"]) && event.has(|object| object.subresource == "exec"));
    has(&admin, &|event| event.is(&["put"]) && event.object_ref.is_none());
    has(&admin, &|event| event.code() == 403);

    for (output, arrived) in OUTPUTS.iter().zip([&admin, &data]) {
        assert_eq!(of(&metrics, output, "delivered"), arrived.len() as u64);
        assert_eq!(filtered_by(&metrics, output, "match"), (lines.len() - arrived.len()) as u64);
    }
}

#[test]
fn the_file_is_a_configuration() {
    let outputs = outputs();
    let ended = audit_shipper(["check", "--node=false", "--config", outputs.config().to_str().unwrap()]);
    assert_eq!(ended.stderr, "");
    let printed = ended.succeeded();
    let expected = "    match:\n      - { resources: [{ group: \"*\", resources: [\"*/status\"] }] }\n      \
                    - { verbs: [\"create\", \"update\", \"patch\", \"delete\", \"deletecollection\", \"post\", \"put\"], \
                    exclude: true }\n      - {}\n";
    assert!(printed.contains(expected), "{printed}");
    // What is printed is the same configuration.
    let file = outputs.workdir.path("printed.yaml");
    std::fs::write(&file, &printed).unwrap();
    assert_eq!(
        audit_shipper(["check".to_owned(), format!("--config={}", file.display())]).succeeded(),
        printed
    );
}
