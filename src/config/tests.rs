//! The three sources together, from text to [`Config`].

mod compression;
mod elasticsearch;
mod file;
mod hostile;
mod identity;
mod kube_apiserver;
mod live_view;
mod loki;
mod mistakes;
mod otlp;
mod printed;
mod rotation;
mod server;
mod sls;
mod splunk_hec;
mod without_webhook;

use super::report::Report;
use super::*;
use crate::body::Coding;

/// The least that is a configuration.
const LEAST: &str = "source: {path: /log}\noutputs: [{name: siem, webhook: {kubeconfig: /kc}}]\n";

const FLAGS_ALONE: [(&str, &str); 2] = [("audit-log-path", "/log"), ("audit-webhook-config-file", "/kc")];

fn settings(flags: &[(&'static str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (flag, text) in flags {
        settings.insert(flag, Setting { origin: Origin::Flag(flag), text: (*text).to_owned() });
    }
    settings
}

fn load_both(yaml: &str, flags: &[(&'static str, &str)]) -> Result<Loaded, Errors> {
    load::load_text(Some("f.yaml"), Some(yaml), &settings(flags), None, Report::default())
}

fn load_yaml(yaml: &str) -> Result<Loaded, Errors> {
    load_both(yaml, &[])
}

fn load_flags(flags: &[(&'static str, &str)]) -> Result<Loaded, Errors> {
    let flags: Vec<_> = FLAGS_ALONE.iter().chain(flags).copied().collect();
    load::load_text(None, None, &settings(&flags), None, Report::default())
}

/// The configuration of contract.md for flags alone.
fn defaults_of_flags() -> Config {
    let mut config = defaults("webhook");
    config.outputs[0].gap_records = false;
    config.outputs[0].redact.enabled = false;
    config
}

/// The configuration of contract.md for a file, written out.
fn defaults(name: &str) -> Config {
    let count = |n| NonZeroUsize::new(n).unwrap();
    Config {
        source: Source {
            path: "/log".into(),
            format: format::Format::Json,
            manifest: None,
            start_at: StartAt::Oldest,
            max_line_bytes: count(16 << 20),
            pins: Pins { limit: 2 << 30, max_files: 512, min_free: MinFree::Percent(10) },
            rotation: Rotation::default(),
        },
        outputs: vec![Output {
            name: name.to_owned(),
            destination: Destination::Webhook("/kc".into()),
            requests: Requests {
                initial_backoff: Duration::from_secs(10),
                max_backoff: Duration::from_secs(60),
                timeout: Duration::from_secs(30),
                compression: None,
            },
            batch: Batch {
                mode: Mode::Batch,
                buffer_size: count(10_000),
                max_size: count(400),
                max_wait: Duration::from_secs(30),
                throttle: Some(Throttle { qps: 10.0, burst: 15.try_into().unwrap() }),
            },
            redact: Redact { enabled: true, ..Redact::default() },
            truncate: Truncate {
                enabled: false,
                max_event_size: count(102_400),
                max_batch_size: count(10_485_760),
            },
            max_in_flight: count(4),
            max_memory: count(32 << 20),
            takes: None,
            policy_file: None,
            gap_records: true,
            rejected: Rejected { max_size: 256 << 20, on_full: OnFull::DropOldest },
            identity: Identity { cluster: None, node: host_name() },
            ready_after: Duration::from_secs(300),
        }],
        state_dir: "/var/lib/audit-shipper".into(),
        bind_address: "127.0.0.1:9465".parse().unwrap(),
        live_view: None,
        shutdown_grace: Duration::from_secs(30),
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    assert_eq!(load_yaml(LEAST).unwrap().config, defaults("siem"));
    assert_eq!(load_flags(&[]).unwrap().config, defaults_of_flags());
    assert_eq!(load_flags(&[]).unwrap().log_format, LogFormat::Text);
    assert_eq!(load_flags(&[]).unwrap().warnings, [""; 0]);
}

#[test]
fn the_example_shows_the_defaults() {
    let mut example = load_yaml(include_str!("../../config/audit-shipper.yaml")).unwrap().config;
    example.source.path = "/log".into();
    example.outputs[0].destination = Destination::Webhook("/kc".into());
    assert_eq!(example, defaults("siem"));
}

#[test]
fn the_example_shows_every_field() {
    let example = include_str!("../../config/audit-shipper.yaml");
    let printed = to_yaml(&defaults("siem"));
    for field in printed.split([' ', '\n', '{', '}']).filter_map(|word| word.strip_suffix(':')) {
        assert!(example.contains(&format!("{field}:")), "{field} is missing in the example");
    }
}

#[test]
fn a_flag_wins_over_the_file() {
    let flags = [
        ("audit-log-path", "/other"),
        ("audit-webhook-config-file", "/kc2"),
        ("audit-webhook-batch-max-size", "0x10"),
        ("audit-webhook-batch-throttle-enable", "f"),
        ("state-dir", "/state"),
        ("bind-address", "[::1]:0"),
        ("shutdown-grace", "1m30s"),
        ("log-format", "json"),
    ];
    let yaml = format!("{LEAST}stateDir: /ignored\nbindAddress: neither looked at\n");
    let loaded = load_both(&yaml, &flags).unwrap();
    let output = &loaded.config.outputs[0];
    assert_eq!(output.name, "siem");
    assert_eq!(output.destination, Destination::Webhook("/kc2".into()));
    assert_eq!(output.batch.max_size.get(), 16);
    assert_eq!(output.batch.throttle, None);
    assert_eq!(loaded.config.source.path, PathBuf::from("/other"));
    assert_eq!(loaded.config.state_dir, PathBuf::from("/state"));
    assert_eq!(loaded.config.bind_address.port(), 0);
    assert_eq!(loaded.config.shutdown_grace, Duration::from_secs(90));
    assert_eq!(loaded.log_format, LogFormat::Json);
}

#[test]
fn a_file_without_outputs_and_a_null_section_leave_room_for_flags() {
    for yaml in ["", "# nothing\n", "outputs:\nsource:\n", "outputs: []\nsource: {startAt: oldest}\n"] {
        assert_eq!(load_both(yaml, &FLAGS_ALONE).unwrap().config, defaults("webhook"), "{yaml:?}");
    }
    let yaml = LEAST.replace("}}]", "}, batch: , truncate: ~, readyAfter: }]");
    assert_eq!(load_yaml(&yaml).unwrap().config, defaults("siem"));
}

#[test]
fn blocking_modes_send_one_event_at_a_time() {
    for (text, mode) in [("blocking", Mode::Blocking), ("blocking-strict", Mode::BlockingStrict)] {
        // As in kube-apiserver, numbers of the batch mode are of no interest in the others.
        let loaded = load_flags(&[
            ("audit-webhook-mode", text),
            ("audit-webhook-batch-buffer-size", "0"),
            ("audit-webhook-batch-max-size", "-1"),
            ("audit-webhook-batch-throttle-qps", "0"),
            ("audit-webhook-batch-throttle-burst", "-5"),
        ]);
        let output = loaded.unwrap().config.outputs.remove(0);
        assert_eq!((output.batch.mode, output.batch.max_size.get()), (mode, 1));
        assert_eq!((output.batch.throttle, output.max_in_flight.get()), (None, 1));
    }
}

#[test]
fn limits_that_cannot_be_reached_are_lowered() {
    let output = load_flags(&[
        ("audit-webhook-batch-buffer-size", "100"),
        ("audit-webhook-truncate-max-event-size", "104857600"),
        ("audit-webhook-truncate-max-batch-size", "104857600"),
    ]);
    let output = output.unwrap().config.outputs.remove(0);
    assert_eq!(output.batch.max_size.get(), 100);
    assert_eq!(output.truncate.max_batch_size.get(), 16 << 20);
    assert_eq!(output.truncate.max_event_size.get(), 16 << 20);
}

#[test]
fn backoffs_fit_together() {
    let webhook = |flag| load_flags(&[(INITIAL_BACKOFF, flag)]).unwrap().config.outputs.remove(0).requests;
    assert_eq!(webhook("2m").max_backoff, Duration::from_secs(120));
    assert_eq!(webhook("0").initial_backoff, Duration::from_millis(1));
    assert_eq!(webhook("1s").max_backoff, Duration::from_secs(60));
}

#[test]
fn waiting_for_a_batch_may_be_turned_off() {
    let loaded = load_flags(&[("audit-webhook-batch-max-wait", "0")]).unwrap();
    assert_eq!(loaded.config.outputs[0].batch.max_wait, Duration::ZERO);
}

#[test]
fn kube_apiservers_other_flags_are_taken() {
    let loaded = load_flags(&[
        ("audit-log-format", "json"),
        ("audit-log-version", "audit.k8s.io/v1beta1"),
        ("audit-log-mode", "blocking-strict"),
        ("audit-log-compress", "true"),
        ("audit-log-batch-max-wait", "0s"),
        ("audit-log-batch-throttle-qps", "0.5"),
        ("audit-log-truncate-max-event-size", "102400"),
        ("audit-webhook-version", "audit.k8s.io/v1"),
        ("redact", "false"),
        ("gap-records", "0"),
        ("audit-policy-file", ""),
    ]);
    assert_eq!(loaded.unwrap(), load_flags(&[]).unwrap());
}

#[test]
fn the_deprecated_flag_is_worth_a_warning() {
    let loaded = load_flags(&[(DEPRECATED_BACKOFF, "5s")]).unwrap();
    assert_eq!(
        loaded.warnings,
        ["--audit-webhook-batch-initial-backoff: Deprecated, use --audit-webhook-initial-backoff instead."]
    );
}

#[test]
fn each_output_has_a_policy_of_its_own() {
    let policies = |loaded: Result<Loaded, Errors>| -> Vec<Option<PathBuf>> {
        loaded.unwrap().config.outputs.into_iter().map(|output| output.policy_file).collect()
    };
    assert_eq!(policies(load_flags(&[("audit-policy-file", "/p.yaml")])), [Some("/p.yaml".into())]);
    let one = LEAST.replace("}}]", "}, policyFile: /f.yaml}]");
    assert_eq!(policies(load_yaml(&one)), [Some("/f.yaml".into())]);
    let two = LEAST.replace("}}]", "}, policyFile: /f.yaml}, {name: other, webhook: {kubeconfig: /k}}]");
    assert_eq!(policies(load_yaml(&two)), [Some("/f.yaml".into()), None]);
}

#[test]
fn a_rejected_file_smaller_than_an_event_is_worth_a_warning() {
    let loaded = load_yaml(&LEAST.replace("}}]", "}, rejected: {maxSize: 1MiB, onFull: wait}}]")).unwrap();
    assert_eq!(loaded.config.outputs[0].rejected, Rejected { max_size: 1 << 20, on_full: OnFull::Wait });
    assert_eq!(
        loaded.warnings,
        [
            "f.yaml:2: outputs[0].rejected.maxSize: is less than twice source.maxLineBytes (16MiB): one event may be larger than the file"
        ]
    );
}

#[test]
fn what_later_versions_bring_may_be_turned_off() {
    let yaml =
        LEAST.replace("path: /log", "path: /log, format: json, manifest: ").replace("}}]", "}, match: ~}]");
    assert_eq!(load_yaml(&yaml).unwrap().config, defaults("siem"));
}

#[test]
fn gap_records_are_on_with_a_file_and_off_with_flags_alone() {
    let gap_records = |loaded: Result<Loaded, Errors>| loaded.unwrap().config.outputs.remove(0).gap_records;
    assert!(gap_records(load_yaml(LEAST)));
    assert!(!gap_records(load_yaml(&LEAST.replace("}}]", "}, gapRecords: false}]"))));
    assert!(gap_records(load_both("source: {startAt: newest}\n", &FLAGS_ALONE)));
    assert!(!gap_records(load_both(LEAST, &[("gap-records", "false")])));
    assert!(!gap_records(load_flags(&[])));
    assert!(gap_records(load_flags(&[("gap-records", "true")])));
}

#[test]
fn redaction_is_on_with_a_file_and_off_with_flags_alone() {
    let redact = |loaded: Result<Loaded, Errors>| loaded.unwrap().config.outputs.remove(0).redact;
    let enabled = |loaded| redact(loaded).enabled;
    let with = |fields: &str| LEAST.replace("}}]", &format!("}}, redact: {{{fields}}}}}]"));
    assert!(enabled(load_yaml(LEAST)));
    assert!(!enabled(load_yaml(&with("enabled: false"))));
    assert!(enabled(load_both("source: {startAt: newest}\n", &FLAGS_ALONE)));
    assert!(!enabled(load_both(LEAST, &[("redact", "false")])));
    assert!(enabled(load_both(&with("enabled: false"), &[("redact", "true")])));
    assert!(!enabled(load_flags(&[])));
    assert!(enabled(load_flags(&[("redact", "true")])));
    assert_eq!(
        redact(load_yaml(&with("keyFile: /k, configMaps: true, podEnv: true, managedFields: true"))),
        Redact {
            enabled: true,
            key_file: Some("/k".into()),
            config_maps: true,
            pod_env: true,
            managed_fields: true
        }
    );
}

#[test]
fn pins_are_bounded_as_the_file_says() {
    let pins = |fields: &str| {
        let yaml = LEAST.replace("/log", &format!("/log, {fields}"));
        load_yaml(&yaml).unwrap().config.source.pins
    };
    let expect = |limit, max_files, min_free| Pins { limit, max_files, min_free };
    assert_eq!(pins("pinLimit: "), Pins::default());
    assert_eq!(
        pins("pinLimit: 512MiB, pinMaxFiles: 7, pinMinFree: 5%"),
        expect(512 << 20, 7, MinFree::Percent(5))
    );
    let min_free = |text: &str| pins(&format!("pinMinFree: {text}")).min_free;
    assert_eq!(min_free("0%"), MinFree::Percent(0));
    assert_eq!(min_free("100%"), MinFree::Percent(100));
    assert_eq!(min_free("10GiB"), MinFree::Bytes(10 << 30));
    assert_eq!(min_free("4096"), MinFree::Bytes(4096));
    assert_eq!(min_free("0"), MinFree::Bytes(0));
}

#[test]
fn systemd_names_the_state_directory() {
    let state_dir = |named, flags: &[_]| {
        let flags: Vec<_> = FLAGS_ALONE.iter().chain(flags).copied().collect();
        load(&settings(&flags), named).unwrap().config.state_dir
    };
    assert_eq!(state_dir(Some("/var/lib/a:/var/lib/b"), &[]), PathBuf::from("/var/lib/a"));
    assert_eq!(state_dir(Some(""), &[]), PathBuf::from("/var/lib/audit-shipper"));
    assert_eq!(state_dir(Some("/var/lib/a"), &[("state-dir", "/s")]), PathBuf::from("/s"));
}
