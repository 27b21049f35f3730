//! How others rotate the log, as flags, the file and the manifest say it.

use super::*;

#[test]
fn how_the_log_is_rotated_is_said_by_flags_then_by_the_file() {
    let flags = &[("audit-log-maxage", "30"), ("audit-log-maxbackup", "0"), ("audit-log-maxsize", "0x64")];
    let of = |size: u64, backups, hours: u64| Rotation {
        max_size: Some(size << 20),
        max_backups: Some(backups),
        max_age: Some(Duration::from_secs(hours * 3600)),
    };
    let loaded = load_flags(flags).unwrap();
    assert_eq!(loaded.config.source.rotation, of(100, 0, 30 * 24));
    let file = |format: &str| {
        format!(
            "source: {{ path: /log, format: {format}, rotation: {{ maxSize: 5MiB, maxBackups: 7, maxAge: 2h }} }}\n\
             outputs: [{{ name: webhook, webhook: {{ kubeconfig: /kc }} }}]\n"
        )
    };
    let rotation = |format, flags: &[_]| load_both(&file(format), flags).unwrap().config.source.rotation;
    assert_eq!(rotation("json", &[]), of(5, 7, 2));
    assert_eq!(rotation("json", flags), of(100, 0, 30 * 24));
    // kube-apiserver does not rotate what it writes to its standard output.
    assert_eq!(rotation("cri", flags), of(5, 7, 2));
    let wrong = file("json").replace("5MiB", "-5").replace("7,", "-7,");
    assert_eq!(
        load_yaml(&wrong).unwrap_err().into_mistakes(),
        [
            "f.yaml:1: source.rotation.maxSize: -5 is out of range; legal are numbers from 0 on",
            "f.yaml:1: source.rotation.maxBackups: -7 is out of range; legal are numbers from 0 on",
        ]
    );
}

#[test]
fn what_neither_says_is_in_the_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("kube-apiserver.yaml");
    let of_manifest = |path: &str, count: &str| {
        let text = format!(
            "kind: Pod\nmetadata: {{name: kube-apiserver, namespace: kube-system}}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
             command: [kube-apiserver, --audit-log-path={path}, --audit-log-maxsize=200, --audit-log-maxbackup={count}]\n    \
             volumeMounts: [{{name: logs, mountPath: /var/log}}]\n  \
             volumes: [{{name: logs, hostPath: {{path: /srv/logs}}}}]\n"
        );
        std::fs::write(&manifest, text).unwrap();
        let yaml = format!(
            "source: {{ manifest: {}, rotation: {{ maxSize: 5MiB }} }}\n\
             outputs: [{{ name: siem, webhook: {{ kubeconfig: /kc }} }}]\n",
            manifest.display()
        );
        load_yaml(&yaml).map(|loaded| loaded.config.source.rotation)
    };
    let expected = Rotation { max_size: Some(5 << 20), max_backups: Some(7), max_age: None };
    assert_eq!(of_manifest("/var/log/audit.log", "7").unwrap(), expected);
    // The log of a container is rotated by others.
    let expected = Rotation { max_backups: None, ..expected };
    assert_eq!(of_manifest("-", "7").unwrap(), expected);
    let mistakes = of_manifest("/var/log/audit.log", "-1").unwrap_err().into_mistakes();
    let [mistake] = &mistakes[..] else { panic!("{mistakes:?}") };
    assert!(mistake.ends_with("--audit-log-maxbackup -1 can't be a negative number"), "{mistake}");
}
