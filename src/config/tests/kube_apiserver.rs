//! What kube-apiserver refuses is refused, in its own words, and so is what its flags cannot say.

use super::mistakes::{check, check_flags};
use super::*;
use crate::source::format::Format;

#[test]
fn kube_apiservers_rules_hold_in_its_own_words() {
    check_flags(
        &[("audit-webhook-mode", "async")],
        &[
            "--audit-webhook-mode: invalid audit webhook mode async, allowed modes are \"batch,blocking,blocking-strict\"",
        ],
    );
    check_flags(
        &[
            ("audit-webhook-batch-buffer-size", "-1"),
            ("audit-webhook-batch-max-size", "0"),
            ("audit-webhook-batch-throttle-qps", "0"),
            ("audit-webhook-batch-throttle-burst", "-2"),
            ("audit-webhook-truncate-max-event-size", "0"),
            ("audit-webhook-version", "audit.k8s.io/v1beta1"),
        ],
        &[
            "--audit-webhook-batch-buffer-size: invalid audit batch webhook buffer size -1, must be a positive number",
            "--audit-webhook-batch-max-size: invalid audit batch webhook max batch size 0, must be a positive number",
            "--audit-webhook-batch-throttle-qps: invalid audit batch webhook throttle QPS 0, must be a positive number",
            "--audit-webhook-batch-throttle-burst: invalid audit batch webhook throttle burst -2, must be a positive number",
            "--audit-webhook-truncate-max-event-size: invalid audit truncate webhook max event size 0, must be a positive number",
            "--audit-webhook-version: invalid group version, allowed versions are [\"audit.k8s.io/v1\"]",
        ],
    );
    let too_small =
        "invalid audit truncate webhook max batch size 99, must be greater than max event size (100)";
    check_flags(
        &[("audit-webhook-truncate-max-batch-size", "99"), ("audit-webhook-truncate-max-event-size", "100")],
        &[&format!("--audit-webhook-truncate-max-batch-size: {too_small}")],
    );
    check_flags(
        &[("audit-webhook-truncate-max-event-size", "10485761")],
        &[
            "--audit-webhook-truncate-max-event-size: invalid audit truncate webhook max batch size 10485760, must be greater than max event size (10485761)",
        ],
    );
    let yaml = LEAST.replace("}}]", "}, truncate: {maxBatchSize: 99, maxEventSize: 100}, batch: {mode: x}}]");
    check(
        load_yaml(&yaml),
        &[
            &format!("f.yaml:2: outputs[0].truncate.maxBatchSize: {too_small}"),
            "f.yaml:2: outputs[0].batch.mode: invalid audit webhook mode x, allowed modes are \"batch,blocking,blocking-strict\"",
        ],
    );
}

#[test]
fn equal_truncate_limits_and_an_idle_throttle_are_legal() {
    assert!(
        load_flags(&[
            ("audit-webhook-truncate-max-batch-size", "100"),
            ("audit-webhook-truncate-max-event-size", "100"),
            ("audit-webhook-batch-throttle-enable", "false"),
            ("audit-webhook-batch-throttle-qps", "0"),
        ])
        .is_ok()
    );
}

#[test]
fn log_flags_are_checked() {
    check_flags(
        &[
            ("audit-log-version", "v2"),
            ("audit-log-mode", "x"),
            ("audit-log-maxage", "-1"),
            ("audit-log-maxsize", "100M"),
            ("audit-log-compress", "yes"),
        ],
        &[
            "--audit-log-version: invalid group version, allowed versions are [\"audit.k8s.io/v1\"]",
            "--audit-log-mode: invalid audit log mode x, allowed modes are \"batch,blocking,blocking-strict\"",
            "--audit-log-maxage: --audit-log-maxage -1 can't be a negative number",
            "--audit-log-maxsize: \"100M\" is not a whole number",
            "--audit-log-compress: \"yes\" is not a boolean; legal are true and false",
        ],
    );
    check_flags(
        &[("audit-log-format", "xml")],
        &["--audit-log-format: invalid audit log format xml, allowed formats are \"legacy,json\""],
    );
}

#[test]
fn the_field_says_more_of_the_files_than_the_flag_does() {
    let load = |field: &str, flag: Option<&str>| {
        let yaml = LEAST.replace("path: /log", &format!("path: /log{field}"));
        let flags: Vec<_> = flag.map(|flag| ("audit-log-format", flag)).into_iter().collect();
        let Loaded { config, warnings, .. } = load_both(&yaml, &flags).unwrap();
        (config.source.format, warnings)
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(load("", None), (Format::Json, none.clone()));
    assert_eq!(load("", Some("legacy")), (Format::Legacy, none.clone()));
    assert_eq!(load(", format: cri", Some("json")), (Format::Cri, none.clone()));
    assert_eq!(load(", format: auto", Some("legacy")), (Format::Auto, none.clone()));
    assert_eq!(load(", format: legacy", None), (Format::Legacy, none));
    for (field, flag) in [("json", "legacy"), ("legacy", "json")] {
        let (_, warnings) = load(&format!(", format: {field}"), Some(flag));
        assert_eq!(warnings, [format!("--audit-log-format: has no effect, since source.format is {field}")]);
    }
}

#[test]
fn values_outside_pflags_syntax_are_refused() {
    check_flags(
        &[
            ("audit-webhook-truncate-max-event-size", "100KiB"),
            ("audit-webhook-batch-max-wait", "30"),
            ("audit-webhook-batch-throttle-qps", "NaN"),
            ("audit-webhook-batch-throttle-burst", "4294967296"),
            ("shutdown-grace", "-1s"),
            ("log-format", "xml"),
            ("bind-address", "localhost:9465"),
        ],
        &[
            "--audit-webhook-truncate-max-event-size: \"100KiB\" is not a whole number",
            "--audit-webhook-batch-max-wait: \"30\" has no unit; legal are such as 30s, 1m30s or 1.5h",
            "--audit-webhook-batch-throttle-qps: NaN is out of range; legal are 0.000001 to 1000000 batches a second; without a limit, turn the throttle off",
            "--audit-webhook-batch-throttle-burst: 4294967296 is out of range; legal are 1 to 4294967295",
            "--shutdown-grace: \"-1s\" is negative; legal are 0 and above",
            "--log-format: \"xml\" is not known; legal are text and json",
            "--bind-address: \"localhost:9465\" is not an address; legal are such as 127.0.0.1:9465, 0.0.0.0:9465 or [::1]:0",
        ],
    );
}

/// What kube-apiserver writes is the runtime's then, whatever a flag says of the events.
#[test]
fn a_manifest_with_standard_output_says_what_the_files_are_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("kube-apiserver.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  \
                - {name: kube-apiserver, command: [kube-apiserver, --audit-log-path=-]}\n";
    std::fs::write(&manifest, text).unwrap();
    let yaml = |field: &str| LEAST.replace("path: /log", &format!("manifest: {}{field}", manifest.display()));
    let format = |field: &str, flags: &[(&'static str, &str)]| {
        load_both(&yaml(field), flags).unwrap().config.source.format
    };
    assert_eq!(format("", &[]), Format::Cri);
    assert_eq!(format("", &[("audit-log-format", "json")]), Format::Cri);
    assert_eq!(format(", format: docker", &[]), Format::Docker);
}
