//! `identity` and the variables that it comes from. What each destination makes of it is tested with them, in `sinks`.

use crate::connect::connect;
use crate::support::cli::{Ended, finish};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

const NODE: (&str, &str) = ("NODE_NAME", "cp-7");
const CLUSTER: (&str, &str) = ("CLUSTER_NAME", "prod-eu");

/// What `check` says with these variables.
fn check(shipper: &Shipper, variables: &[(&str, &str)]) -> Ended {
    let mut command = Daemon::command();
    command.args(["check", "--node=false"]).args(&shipper.args()[1..]).envs(variables.iter().copied());
    finish(command)
}

/// What it prints of the identity.
fn checked(shipper: &Shipper, variables: &[(&str, &str)]) -> String {
    let ended = check(shipper, variables);
    assert_eq!(ended.stderr, "");
    let printed = ended.succeeded();
    let line = printed.lines().find_map(|line| line.strip_prefix("    identity: "));
    line.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

#[test]
fn variables_are_the_defaults_of_the_file() {
    let to = |identity: &str| Shipper::to("http://unused.test").output(identity);
    let plain = Shipper::to("http://unused.test");
    assert_eq!(checked(&plain, &[]), format!("{{ cluster: \"\", node: \"{}\" }}", host_name()));
    assert_eq!(checked(&plain, &[NODE, CLUSTER]), r#"{ cluster: "prod-eu", node: "cp-7" }"#);
    let ours = [NODE, CLUSTER, ("AUDIT_SHIPPER_NODE", "n"), ("AUDIT_SHIPPER_CLUSTER", "c")];
    assert_eq!(checked(&plain, &ours), r#"{ cluster: "c", node: "n" }"#);
    assert_eq!(checked(&plain, &[NODE, ("AUDIT_SHIPPER_NODE", "")]), r#"{ cluster: "", node: "cp-7" }"#);
    assert_eq!(checked(&to("identity: { node: m0 }"), &ours), r#"{ cluster: "c", node: "m0" }"#);
    assert_eq!(checked(&to("identity: { cluster: '', node: '' }"), &ours), r#"{ cluster: "", node: "" }"#);
}

#[test]
fn a_mistake_names_the_variable() {
    let plain = Shipper::to("http://unused.test");
    let long = "n".repeat(254);
    let ended = check(&plain, &[("NODE_NAME", &long), ("AUDIT_SHIPPER_CLUSTER", "a\nb")]);
    let expect = [
        "AUDIT_SHIPPER_CLUSTER: must not hold control characters",
        "NODE_NAME: has 254 bytes; legal are up to 253",
    ];
    assert_eq!(ended.mistakes(), expect);
}

#[test]
fn a_pods_variables_reach_the_endpoint_and_the_body_stays_as_it_was() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let events = real_events(3);
    let shipper = Shipper::new(&endpoint).log(&events);
    let mut command = Daemon::command();
    command.args(shipper.args()).envs([NODE, ("CLUSTER_NAME", "größe 1")]);
    let daemon = Daemon::spawn(command);
    wait_until_settled(&daemon, 3);
    let [request] = endpoint.requests().try_into().unwrap();
    assert_eq!(request.header("audit-shipper-cluster"), Some("gr%C3%B6%C3%9Fe%201"));
    assert_eq!(request.header("audit-shipper-node"), Some("cp-7"));
    let log = shipper.workdir.log().display().to_string();
    assert_eq!(request.header("audit-shipper-source"), Some(log.as_str()));
    assert_eq!(endpoint.items(), events);
}

/// An endpoint that lets in only whom it knows by these headers is to say the same of both.
#[test]
fn a_probe_has_the_headers_of_a_request() {
    for is_webhook in [true, false] {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper = Shipper::new(&endpoint).output("identity: { cluster: prod-eu, node: cp-7 }");
        let fields = format!("url: \"{}\", headers: {{ Audit-Shipper-Node: mine }}", endpoint.url());
        let (shipper, node) =
            if is_webhook { (shipper, "cp-7") } else { (shipper.sink("ndjson", &fields), "mine") };
        let ended = connect(&shipper);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let shipper = shipper.log(&real_events(3));
        wait_until_settled(&shipper.start(), 3);
        let [probe, request] = endpoint.requests().try_into().unwrap();
        for request in [probe, request] {
            let told: Vec<(&str, &str)> = request
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("audit-shipper-") && name != "audit-shipper-source")
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told.contains(&("audit-shipper-cluster", "prod-eu")), "{told:?}");
            assert!(told.contains(&("audit-shipper-node", node)), "{told:?}");
        }
    }
}
