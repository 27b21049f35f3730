//! `outputs[].identity`

use super::mistakes::check;
use super::*;

const VARIABLES: [(&str, &str); 4] = [
    ("AUDIT_SHIPPER_CLUSTER", "ours"),
    ("CLUSTER_NAME", "theirs"),
    ("AUDIT_SHIPPER_NODE", "our-node"),
    ("NODE_NAME", "their-node"),
];

const FILE: &str = "source: {path: /log}\noutputs: [{name: siem, file: {path: /out}, IDENTITY}]\n";

fn with(yaml: &str, variables: &[(&'static str, &str)]) -> Result<Loaded, Errors> {
    let mut settings = Settings::default();
    for (name, text) in variables {
        let origin = Origin::Variable((*name).to_owned());
        settings.insert(name, Setting { origin, text: (*text).to_owned() });
    }
    load::load_text(Some("f.yaml"), Some(yaml), &settings, None, Report::default())
}

fn saying(identity: &str) -> String {
    LEAST.replace("}}]", &format!("}}, identity: {identity}}}]"))
}

/// Of the first output, as `CLUSTER NODE`; `-` for none.
fn told(yaml: &str, variables: &[(&'static str, &str)]) -> String {
    let loaded = with(yaml, variables).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, [""; 0]);
    let Identity { cluster, node } = loaded.config.outputs[0].identity.clone();
    let host = host_name();
    let node = if node == host { Some("HOST".to_owned()) } else { node };
    [cluster, node].map(|name| name.unwrap_or_else(|| "-".to_owned())).join(" ")
}

#[test]
fn the_file_wins_over_our_variables_and_these_over_the_usual_ones() {
    let [_, cluster, _, node] = VARIABLES;
    assert_eq!(told(LEAST, &[]), "- HOST");
    assert_eq!(told(LEAST, &[cluster, node]), "theirs their-node");
    assert_eq!(told(LEAST, &VARIABLES), "ours our-node");
    assert_eq!(told(&saying("{cluster: c1}"), &VARIABLES), "c1 our-node");
    assert_eq!(told(&saying("{cluster: c1, node: m0}"), &VARIABLES), "c1 m0");
    assert_eq!(told(&saying("{cluster: ~, node: ~}"), &VARIABLES), "ours our-node");
    assert_eq!(told(&saying("~"), &VARIABLES), "ours our-node");
}

#[test]
fn an_empty_text_tells_nothing() {
    assert_eq!(told(&saying("{cluster: '', node: ''}"), &VARIABLES), "- -");
    assert_eq!(told(&saying("{node: ''}"), &VARIABLES), "ours -");
}

#[test]
fn a_variable_speaks_of_all_outputs_and_the_file_of_one() {
    let yaml = "source: {path: /log}\noutputs:\n- {name: a, webhook: {kubeconfig: /k}}\n\
                - {name: b, webhook: {kubeconfig: /k}, identity: {cluster: c1}}\n";
    let loaded = with(yaml, &VARIABLES).unwrap();
    let clusters = loaded.config.outputs.iter().map(|output| output.identity.cluster.as_deref());
    assert_eq!(clusters.collect::<Vec<_>>(), [Some("ours"), Some("c1")]);
    let again = with(&to_yaml(&loaded.config), &[]).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn what_is_printed_is_not_changed_by_another_environment() {
    for identity in ["{cluster: '', node: ''}", "{cluster: 'ü \"1\"', node: m0}", "{}"] {
        let config = with(&saying(identity), &[]).unwrap().config;
        assert_eq!(with(&to_yaml(&config), &VARIABLES).unwrap().config, config, "{identity}");
    }
}

#[test]
fn mistakes_name_their_place() {
    let long = "n".repeat(254);
    check(
        with(&saying(&format!("{{cluster: \"a\\nb\", node: {long}, nodes: x}}")), &[]),
        &[
            "f.yaml:2: outputs[0].identity.cluster: must not hold control characters",
            "f.yaml:2: outputs[0].identity.node: has 254 bytes; legal are up to 253",
            "f.yaml:2: outputs[0].identity.nodes: is not a known field; did you mean `node`?",
        ],
    );
    check(
        with(&saying("{node: 1}"), &[]),
        &["f.yaml:2: outputs[0].identity.node: must be a string, not the number 1; put it in quotes"],
    );
    check(
        with(&saying("m0"), &[]),
        &["f.yaml:2: outputs[0].identity: must be a mapping of fields, not a string"],
    );
    assert!(with(&saying(&format!("{{node: {}}}", &long[1..])), &[]).is_ok());
}

#[test]
fn a_wrong_variable_is_told_once_and_only_if_it_counts() {
    let two = "source: {path: /log}\noutputs:\n- {name: a, webhook: {kubeconfig: /k}}\n\
               - {name: b, webhook: {kubeconfig: /k}}\n";
    let wrong = [("CLUSTER_NAME", "a\tb"), ("NODE_NAME", "x\u{7f}")];
    check(
        with(two, &wrong),
        &["CLUSTER_NAME: must not hold control characters", "NODE_NAME: must not hold control characters"],
    );
    assert_eq!(told(&saying("{cluster: c1, node: m0}"), &wrong), "c1 m0");
    assert_eq!(told(LEAST, &[wrong[0], wrong[1], VARIABLES[0], VARIABLES[2]]), "ours our-node");
}

#[test]
fn a_file_and_standard_output_have_no_place_for_it() {
    for (section, name) in [("file: {path: /out}", "file"), ("stdout: {}", "stdout")] {
        let yaml = |identity: &str| {
            FILE.replace("file: {path: /out}", section).replace("IDENTITY", &format!("identity: {identity}"))
        };
        let loaded = with(&yaml("{node: m0}"), &VARIABLES).unwrap();
        assert_eq!(loaded.config.outputs[0].identity, Identity::default());
        let warning = format!(
            "f.yaml:2: outputs[0].identity.node: has no effect: {name} has kube-apiserver's lines and nothing beside them; remove it"
        );
        assert_eq!(loaded.warnings, [warning]);
        for nothing in ["~", "{}", "{cluster: ~}"] {
            assert_eq!(with(&yaml(nothing), &VARIABLES).unwrap().warnings, [""; 0], "{nothing}");
        }
        let printed = to_yaml(&loaded.config);
        assert_eq!(with(&printed, &VARIABLES).unwrap().warnings, [""; 0], "{printed}");
    }
}
