//! What is refused, and in which words.

use super::*;

/// Asserts that exactly these mistakes are found, in any order.
pub(super) fn check(loaded: Result<Loaded, Errors>, expected: &[&str]) {
    let errors = loaded.expect_err("a mistake went unnoticed");
    let mut found: Vec<_> = errors.iter().collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "\n{errors}");
}

pub(super) fn check_flags(flags: &[(&'static str, &str)], expected: &[&str]) {
    check(load_flags(flags), expected);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let yaml = "\
source:
  path: /log
  maxlinebytes: 1
  startAt: newst
outputs:
  - name: Siem
    webhook: {kubeconfig: /kc, timeout: 30}
    batch:
      bufferSize: '10'
      max_size: 4
      maxWait: -1s
      throttle: {enable: yes, qps: fast, burst: 1.5}
    maxInFlight: 0
    readyAfter: 0s
    zzz: 1
  - webhook: {kubeconfig: ''}
    rejected: {maxSize: 1XB, onFull: 7}
    truncate: 5
stateDir: [a]
bindAddress: ':9465'
bindAddress: ':9466'
";
    check(
        load_yaml(yaml),
        &[
            "f.yaml:3: source.maxlinebytes: is not a known field; did you mean `maxLineBytes`?",
            "f.yaml:4: source.startAt: \"newst\" is not known; legal are oldest and newest; did you mean `newest`?",
            "f.yaml:6: outputs[0].name: \"Siem\" is not a name; legal are up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
            "f.yaml:7: outputs[0].webhook.timeout: \"30\" has no unit; legal are such as 30s, 1m30s or 1.5h",
            "f.yaml:9: outputs[0].batch.bufferSize: must be a whole number, not a string",
            "f.yaml:10: outputs[0].batch.max_size: is not a known field; did you mean `maxSize`?",
            "f.yaml:11: outputs[0].batch.maxWait: \"-1s\" is negative; legal are 0 and above",
            "f.yaml:12: outputs[0].batch.throttle.enable: must be true or false, not a string",
            "f.yaml:12: outputs[0].batch.throttle.qps: must be a number, not a string",
            "f.yaml:12: outputs[0].batch.throttle.burst: must be a whole number, not 1.5",
            "f.yaml:13: outputs[0].maxInFlight: 0 is out of range; legal are numbers above 0",
            "f.yaml:14: outputs[0].readyAfter: 0 is out of range; legal are durations above 0",
            "f.yaml:15: outputs[0].zzz: is not a known field; legal are name, identity, ndjson, elasticsearch, otlp, loki, splunkHec, sls, file, stdout, webhook, batch, maxInFlight, maxMemory, truncate, match, policyFile, redact, gapRecords, rejected, readyAfter",
            "f.yaml:16: outputs[1].name: must be given",
            "f.yaml:16: outputs[1].webhook.kubeconfig: must not be empty",
            "f.yaml:17: outputs[1].rejected.maxSize: \"1XB\" is not a size; legal are such as 16MiB, 100KiB, 10MB or plain bytes",
            "f.yaml:17: outputs[1].rejected.onFull: must be a string, not the number 7; put it in quotes",
            "f.yaml:18: outputs[1].truncate: must be a mapping of fields, not a number",
            "f.yaml:19: stateDir: must be a string, not a list; put it in quotes",
            "f.yaml:20: bindAddress: \":9465\" is not an address; legal are such as 127.0.0.1:9465, 0.0.0.0:9465 or [::1]:0",
            "f.yaml:21: bindAddress: is given twice; the first is on line 20, keep one",
        ],
    );
}

#[test]
fn what_is_missing_is_told_in_terms_of_the_sources() {
    let nothing = load::load_text(None, None, &settings(&[]), None, Report::default());
    check(
        nothing,
        &[
            "--audit-log-path: must be given, here or as source.path in the file that --config names",
            "--audit-webhook-config-file: must be given, here or as outputs[0].webhook.kubeconfig in the file that --config names",
        ],
    );
    check(
        load_yaml("source: {}\noutputs: []\n"),
        &[
            "f.yaml:1: source.path: must be given, here or as --audit-log-path",
            "f.yaml: outputs[0].webhook.kubeconfig: must be given, here or as --audit-webhook-config-file",
        ],
    );
}

#[test]
fn a_list_or_mapping_in_the_wrong_place_is_one_mistake() {
    check(
        load_yaml("source: /log\noutputs: {name: a}\n"),
        &[
            "f.yaml:1: source: must be a mapping of fields, not a string",
            "f.yaml:2: outputs: must be a list, not a mapping",
        ],
    );
    check(load_yaml("[]"), &["f.yaml:1: must be a mapping of fields, not a list"]);
}

#[test]
fn the_log_must_be_a_file() {
    for (path, start) in [
        ("-", "--audit-log-path: \"-\" is kube-apiserver's standard output"),
        ("/var/log/", "--audit-log-path: names a directory"),
        ("..", "--audit-log-path: names a directory"),
        ("", "--audit-log-path: must not be empty"),
        ("/a\nb", "--audit-log-path: must not hold control characters"),
    ] {
        let errors = load_flags(&[("audit-log-path", path)]).unwrap_err();
        assert!(errors.to_string().starts_with(start), "{errors}");
    }
    assert!(load_flags(&[("audit-log-path", "relative.log")]).is_ok());
}

#[test]
fn bounds_fit_together() {
    check(
        load_yaml(&LEAST.replace("}}]", ", maxBackoff: 5s}, maxMemory: 8MiB}]")),
        &[
            "f.yaml:2: outputs[0].webhook.maxBackoff: 5s is shorter than initialBackoff; legal are 10s and above",
            "f.yaml:2: outputs[0].maxMemory: outputs[0].maxMemory (8MiB) must be at least twice source.maxLineBytes (16MiB); raise the one or lower the other",
        ],
    );
    check(
        load_yaml(&LEAST.replace("/log", "/log, maxLineBytes: 20MiB")),
        &[
            "f.yaml:1: source.maxLineBytes: outputs[0].maxMemory (32MiB) must be at least twice source.maxLineBytes (20MiB); raise the one or lower the other",
        ],
    );
    // A stand-in for a value that was wrong fits with everything.
    check(
        load_yaml(&LEAST.replace("/log", "/log, maxLineBytes: x").replace("}}]", "}, maxMemory: 1MiB}]")),
        &[
            "f.yaml:1: source.maxLineBytes: \"x\" is not a size; legal are such as 16MiB, 100KiB, 10MB or plain bytes",
        ],
    );
}

#[test]
fn names_are_unique_and_flags_do_not_speak_of_several_outputs() {
    let yaml = "source: {path: /log}\noutputs:\n- {name: a, webhook: {kubeconfig: /k}}\n- {name: a, webhook: {kubeconfig: /k}}\n";
    check(
        load_both(
            yaml,
            &[
                ("audit-webhook-mode", "batch"),
                ("audit-webhook-version", "audit.k8s.io/v1"),
                ("state-dir", "/s"),
            ],
        ),
        &[
            "--audit-webhook-mode: the file has 2 outputs, and this can only speak of one; set it there in each",
            "f.yaml:4: outputs[1].name: \"a\" is the name of outputs[0] already; each needs its own",
        ],
    );
    let long = "a".repeat(64);
    for name in ["-a", "a-", "a.b", "Ä", "a_b", long.as_str()] {
        assert!(load_yaml(&LEAST.replace("siem", name)).is_err(), "{name}");
    }
    for name in ["a", "\"0\"", "a--b", &long[..63]] {
        assert!(load_yaml(&LEAST.replace("siem", name)).is_ok(), "{name}");
    }
}

#[test]
fn a_format_that_nobody_writes_is_not_known() {
    check(
        load_yaml(&LEAST.replace("/log", "/log, format: crio")),
        &[
            "f.yaml:1: source.format: \"crio\" is not known; legal are json, cri, docker, legacy and auto; did you mean `cri`?",
        ],
    );
}

#[test]
fn redaction_has_its_own_words() {
    let with = |redact: &str| load_yaml(&LEAST.replace("}}]", &format!("}}, redact: {redact}}}]")));
    check(with("true"), &["f.yaml:2: outputs[0].redact: must be a mapping of fields, not a boolean"]);
    check(
        with("{enabled: 1, keyfile: /k, keyFile: '', podEnv: yes}"),
        &[
            "f.yaml:2: outputs[0].redact.enabled: must be true or false, not a number",
            "f.yaml:2: outputs[0].redact.keyFile: must not be empty",
            "f.yaml:2: outputs[0].redact.podEnv: must be true or false, not a string",
            "f.yaml:2: outputs[0].redact.keyfile: is not a known field; did you mean `keyFile`?",
        ],
    );
    let two = "source: {path: /log}\noutputs:\n- {name: a, webhook: {kubeconfig: /k}}\n- {name: b, webhook: {kubeconfig: /k}}\n";
    check(
        load_both(two, &[("redact", "true")]),
        &["--redact: the file has 2 outputs, and this can only speak of one; set it there in each"],
    );
}

#[test]
fn pins_without_a_bound_are_told_all_at_once() {
    let pins = |limit, files, free| {
        let fields = format!("/log, pinLimit: {limit}, pinMaxFiles: {files}, pinMinFree: {free}");
        load_yaml(&LEAST.replace("/log", &fields))
    };
    let legal = "legal are shares from 0% to 100% and sizes such as 10GiB";
    check(
        pins("0", "0", "101%"),
        &[
            "f.yaml:1: source.pinLimit: 0 is out of range; legal are numbers above 0",
            "f.yaml:1: source.pinMaxFiles: 0 is out of range; legal are numbers above 0",
            &format!("f.yaml:1: source.pinMinFree: \"101%\" is out of range; {legal}"),
        ],
    );
    for (free, what) in [
        ("\"%\"", "\"%\" is not a whole number of percent"),
        ("-5%", "\"-5%\" is not a whole number of percent"),
        ("1.5%", "\"1.5%\" is not a whole number of percent"),
        ("999%", "\"999%\" is out of range"),
        ("-1", "\"-1\" is negative"),
        ("much", "\"much\" is neither a share nor a size"),
    ] {
        let mistake = format!("f.yaml:1: source.pinMinFree: {what}; {legal}");
        check(pins("1MiB", "1", free), &[&mistake]);
    }
    check(
        pins("1MiB", "1", "true"),
        &[
            "f.yaml:1: source.pinMinFree: must be a share such as 10% or a size such as 10GiB, not the boolean true",
        ],
    );
}

#[test]
fn gap_records_are_a_boolean_of_one_output() {
    check_flags(
        &[("gap-records", "perhaps")],
        &["--gap-records: \"perhaps\" is not a boolean; legal are true and false"],
    );
    let two = LEAST.replace("}]", "}, {name: b, webhook: {kubeconfig: /kc}}]");
    check(
        load_both(&two, &[("gap-records", "true")]),
        &["--gap-records: the file has 2 outputs, and this can only speak of one; set it there in each"],
    );
}

#[test]
fn a_star_is_for_the_names_of_containers_logs_alone() {
    let containers = "/var/log/containers/kube-apiserver-*_kube-system_kube-apiserver-*.log";
    let of = |path: &str, format: &str| {
        load_yaml(&LEAST.replace("path: /log", &format!("path: '{path}', format: {format}")))
    };
    for format in ["cri", "docker", "auto"] {
        assert!(of(containers, format).is_ok());
    }
    for format in ["json", "legacy"] {
        check(
            of(containers, format),
            &[
                "f.yaml:1: source.path: has a `*`, which is for the logs of containers: set source.format to cri, docker or \
                 auto. The backups of other logs are found by the one name, and would fit the pattern themselves",
            ],
        );
    }
    let mistake = format!(
        "f.yaml:1: source.path: has a `*` in the name of a directory; it may stand only behind the last `/`, such as in {containers}"
    );
    check(of("/var/log/pods/*/kube-apiserver/0.log", "cri"), &[&mistake]);
    check(
        of("/var/log/audit-[0-9].log", "json"),
        &[
            "f.yaml:1: source.path: has a `?` or a `[`; of patterns only `*` is known, which stands for any text",
        ],
    );
}
