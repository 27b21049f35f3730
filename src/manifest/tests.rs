//! What kubelet and pflag make of a manifest, by tables.

use super::expand::expanded;
use super::*;

/// A manifest with these lines of the container, below `    `, and these volumes.
fn with(container: &str, volumes: &str) -> Result<Manifest, Vec<String>> {
    let container = container.replace('\n', "\n    ");
    let text = format!(
        "kind: Pod\nmetadata: {{name: kube-apiserver, namespace: kube-system}}\nspec:\n  containers:\n  - name: sidecar\n  - \
         name: kube-apiserver\n    {container}\n  volumes: {volumes}\n"
    );
    Manifest::read(&text, "m.yaml")
}

const VOLUMES: &str = "[{name: logs, hostPath: {path: /srv/logs}}, {name: deep, hostPath: {path: /deep}}, {name: none, emptyDir: {}}]";
const MOUNTS: &str = "volumeMounts: [{name: logs, mountPath: /var/log}, {name: deep, mountPath: /var/log/k8s/, subPath: a/b}, {name: \
                      none, mountPath: /tmp}, {name: lost, mountPath: /lost}]";

fn with_args(args: &str) -> Result<Manifest, Vec<String>> {
    with(&format!("args: {args}\n{MOUNTS}"), VOLUMES)
}

fn log_of(args: &str) -> String {
    match with_args(args).unwrap().log {
        Log::File(file) => file.path,
        Log::Stdout => "-".to_owned(),
    }
}

#[test]
fn flags_are_read_as_pflag_reads_them() {
    for (args, expect) in [
        ("[--audit-log-path=/var/log/a]", "/srv/logs/a"),
        ("[--audit-log-path, /var/log/a]", "/srv/logs/a"),
        ("[--audit_log_path=/var/log/a]", "/srv/logs/a"),
        ("[--audit-log-path=/var/log/a, --audit-log-path=/var/log/b]", "/srv/logs/b"),
        ("[--audit-log-compress, --audit-log-path=/var/log/a]", "/srv/logs/a"),
        ("['--audit-log-path=-']", "-"),
        ("[--audit-log-path=/var/log//x/../k8s/./a]", "/deep/a/b/a"),
        ("[\"exec kube-apiserver --audit-log-path='/var/log/a' --v=2 1>>/x 2>&1\"]", "/srv/logs/a"),
    ] {
        assert_eq!(log_of(args), expect, "{args}");
    }
    let manifest =
        with_args("[--audit-log-path=/var/log/a, --audit-log-compress, --audit-log-maxage=3]").unwrap();
    let flags: Vec<_> = manifest.flags().map(|(name, told)| (name, told.text.as_str())).collect();
    assert_eq!(
        flags,
        [("audit-log-compress", "true"), ("audit-log-maxage", "3"), ("audit-log-path", "/var/log/a")]
    );
    assert_eq!(manifest.flag("audit-log-maxage").unwrap().line, 7);
    let alias =
        "[--audit-log-path=-, --audit-webhook-initial-backoff=1s, --audit-webhook-batch-initial-backoff=2s]";
    assert_eq!(with_args(alias).unwrap().flag("audit-webhook-initial-backoff").unwrap().text, "2s");
}

#[test]
fn the_longest_mount_leads_to_the_host() {
    let manifest = with_args("[--audit-log-path=-]").unwrap();
    let host = |path: &str| manifest.host_path(path).map(|file| file.path);
    assert_eq!(host("/var/log/a/b.log").unwrap(), "/srv/logs/a/b.log");
    assert_eq!(host("/var/log/k8s/a.log").unwrap(), "/deep/a/b/a.log");
    assert_eq!(host("/var/log/k8s").unwrap(), "/deep/a/b");
    assert_eq!(host("/var/log/k8s-other/a.log").unwrap(), "/srv/logs/k8s-other/a.log");
    for (path, what) in [
        ("/etc/a", "/etc/a is on no volume: "),
        ("/tmp/a", "/tmp/a is on the volume \"none\" (line 9), of the kind emptyDir"),
        ("/lost/a", "/lost/a is below the mount of line 8, whose volume \"lost\" is not in spec.volumes"),
        ("a.log", "\"a.log\" is relative to a directory that only the image knows"),
    ] {
        let said = host(path).unwrap_err();
        assert!(said.starts_with(what), "{said}");
    }
}

/// The cases of Kubernetes' own `expand_test.go`, as far as they are about one map.
#[test]
fn references_are_replaced_as_kubelet_does() {
    let variable = |name: &str, value: Option<&str>| Variable {
        name: name.to_owned(),
        line: 1,
        value: value.map(str::to_owned),
    };
    let variables = [
        variable("VAR_A", Some("A")),
        variable("VAR_B", Some("B")),
        variable("VAR_REF", Some("$(VAR_A)")),
        variable("VAR_EMPTY", Some("")),
        variable("HIDDEN", None),
    ];
    for (input, expect) in [
        ("$(VAR_A)", "A"),
        ("___$(VAR_B)___", "___B___"),
        ("$(VAR_A)-$(VAR_B)", "A-B"),
        ("$(VAR_REF)_1", "$(VAR_A)_1"),
        ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
        ("$$$(VAR_A)", "$A"),
        ("$VAR_A", "$VAR_A"),
        ("$(VAR_DNE)", "$(VAR_DNE)"),
        ("$(VAR_EMPTY)x", "x"),
        ("foo$(VAR_A", "foo$(VAR_A"),
        ("foo$$", "foo$"),
        ("foo$", "foo$"),
        ("$()", "$()"),
        ("$(HIDDEN)", "$(HIDDEN)"),
    ] {
        let told = Told { text: input.to_owned(), line: 1, unseen: None };
        let found = expanded(told, &variables);
        assert_eq!(found.text, expect, "{input}");
        assert_eq!(found.unseen.is_some(), input.contains("HIDDEN"));
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_line() {
    let said = |container: &str| with(container, VOLUMES).unwrap_err();
    assert_eq!(
        said(&format!("args: [--audit-log-path, 3]\ncommand: kube-apiserver\n{MOUNTS}")),
        [
            "m.yaml:8: spec.containers[1].command: must be a list, not a string",
            "m.yaml:7: spec.containers[1].args[1]: must be a string, not a number; put it in quotes",
            "m.yaml:7: spec.containers[1]: --audit-log-path has no value",
        ]
        .into_iter()
        .chain(said("args: []").iter().map(String::as_str))
        .collect::<Vec<_>>()
    );
    assert!(
        said("args: [--audit-log-maxage=3]")[0]
            .contains("kube-apiserver writes no audit log: give it --audit-policy-file")
    );
    assert!(said("args: [--audit-webhook-config-file=/k]")[0].contains("only its webhook has the events"));
    let hidden = "env: [{name: DIR, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\nargs: ['--audit-log-path=/var/log/$(DIR)/a']";
    assert_eq!(
        said(hidden),
        [
            "m.yaml:8: spec.containers[1]: --audit-log-path depends on the variable DIR, whose value is not in the manifest \
          (valueFrom); write it out"
        ]
    );
}

#[test]
fn json_is_as_good() {
    let json = r#"{"kind":"Pod","spec":{"containers":[{"name":"x","command":["a","--audit-log-path=/l/a"],
        "volumeMounts":[{"name":"v","mountPath":"/l"}]}],"volumes":[{"name":"v","hostPath":{"path":"/h"}}]}}"#;
    let manifest = Manifest::read(json, "m.json").unwrap();
    assert!(matches!(&manifest.log, Log::File(file) if file.path == "/h/a"), "{:?}", manifest.log);
    assert_eq!((manifest.container.as_str(), manifest.namespace.as_str()), ("x", "default"));
}

/// Names are divided at the last underscore, and `loong_logs_` wins.
#[test]
fn what_logtail_is_told() {
    let env = "env:\n- {name: aliyun_logs_audit-c1, value: /var/log/a}\n- {name: aliyun_logs_audit-c1_project, value: old}\n- \
               {name: loong_logs_audit-c1_project, value: new}\n- {name: aliyun_logs_audit-c1_tags, value: audit}\n- {name: \
               aliyun_logs_my_app, value: stdout}\n- {name: aliyun_logs_odd_, value: x}\n- {name: aliyun_logs_all, value: '/var/**/a*'}";
    let manifest = with(&format!("args: [--audit-log-path=/var/log/a]\n{env}\n{MOUNTS}"), VOLUMES).unwrap();
    let ours = manifest.sls().unwrap();
    assert_eq!((ours.name.as_str(), ours.text("project"), ours.tag()), ("all", None, None));
    let configs = manifest.log_configs();
    let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["all", "audit-c1", "my"]);
    assert_eq!((configs[1].text("project"), configs[1].tag()), (Some("new"), Some(("audit", "audit"))));
    assert!(
        manifest.is_ours(&configs[1]) && configs[2].item("").is_none() && configs[2].item("app").is_some()
    );
}
