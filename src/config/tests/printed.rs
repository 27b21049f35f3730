//! What `check` prints loads again to the same configuration.

use proptest::prelude::*;

use super::*;

fn reload(config: &Config) -> Config {
    let yaml = to_yaml(config);
    load_yaml(&yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config
}

#[test]
fn the_defaults_are_printed_in_the_files_shape() {
    let expected = "\
source:
  path: /log
  format: json
  manifest: ~
  startAt: oldest
  maxLineBytes: 16MiB
  pinLimit: 2GiB
  pinMaxFiles: 512
  pinMinFree: 10%
  rotation: { maxSize: ~, maxBackups: ~, maxAge: ~ }
outputs:
  - name: \"siem\"
    webhook:
      kubeconfig: /kc
      initialBackoff: 10s
      maxBackoff: 1m0s
      timeout: 30s
      compression: none
    batch:
      mode: batch
      bufferSize: 10000
      maxSize: 400
      maxWait: 30s
      throttle: { enable: true, qps: 10, burst: 15 }
    redact: { enabled: true, keyFile: ~, configMaps: false, podEnv: false, managedFields: false }
    truncate:
      enabled: false
      maxEventSize: 100KiB
      maxBatchSize: 10MiB
    maxInFlight: 4
    maxMemory: 32MiB
    match: ~
    policyFile: ~
    gapRecords: true
    rejected:
      maxSize: 256MiB
      onFull: dropOldest
    identity: { cluster: \"\", node: \"m0\" }
    readyAfter: 5m0s
stateDir: /var/lib/audit-shipper
bindAddress: \"127.0.0.1:9465\"
liveView:
  bindAddress: ~
  bearerTokenFile: ~
  tls: { certFile: ~, keyFile: ~ }
shutdownGrace: 30s
";
    let mut defaults = defaults("siem");
    defaults.outputs[0].identity.node = Some("m0".to_owned());
    assert_eq!(to_yaml(&defaults), expected);
}

#[test]
fn a_proxy_is_printed_as_it_was_given_but_for_its_secrets() {
    for (given, shown) in [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://proxy:80", "http://proxy:80"),
        ("https://proxy/", "https://proxy/"),
        ("socks5://proxy:1080", "socks5://proxy:1080"),
        ("http://u:p4ss@proxy:3128", "http://u:redacted@proxy:3128/"),
    ] {
        let loaded = load_yaml(&LEAST.replace(
            "webhook: {kubeconfig: /kc}",
            &format!("loki: {{url: 'https://l', proxyUrl: '{given}'}}"),
        ))
        .unwrap();
        let yaml = to_yaml(&loaded.config);
        assert!(yaml.contains(&format!("proxyUrl: \"{shown}\"\n")), "{yaml}");
        assert!(!yaml.contains("p4ss"));
    }
}

#[test]
fn lowered_limits_and_blocking_modes_load_again() {
    for flags in [
        &[("audit-webhook-mode", "blocking"), ("audit-webhook-batch-buffer-size", "0")][..],
        &[
            ("audit-webhook-truncate-max-event-size", "104857600"),
            ("audit-webhook-truncate-max-batch-size", "104857600"),
        ],
        &[("audit-webhook-initial-backoff", "1h"), ("audit-webhook-batch-throttle-qps", "0.3333")],
    ] {
        let config = load_flags(flags).unwrap().config;
        assert_eq!(reload(&config), config);
    }
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/?[^\\pC/]{0,12}[^\\pC/.]|/[a-z./_-]{0,10}x".prop_map(PathBuf::from)
}

fn duration(least_millis: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        (least_millis..1_000_000).prop_map(Duration::from_millis),
        (least_millis * 1_000_000..1 << 60).prop_map(Duration::from_nanos),
    ]
}

fn count(most: usize) -> impl Strategy<Value = NonZeroUsize> {
    (1..most).prop_map(|n| NonZeroUsize::new(n).unwrap())
}

fn batch() -> impl Strategy<Value = Batch> {
    let throttle = prop::option::of((1e-6..1e6f64, 1..u32::MAX));
    let mode = prop::sample::select(vec![Mode::Batch, Mode::Blocking, Mode::BlockingStrict]);
    (mode, count(1 << 40), count(1 << 40), duration(0), throttle).prop_map(
        |(mode, buffer_size, max_size, max_wait, throttle)| {
            let throttle = throttle.map(|(qps, burst)| Throttle { qps, burst: burst.try_into().unwrap() });
            let batch = Batch { mode, buffer_size, max_size: max_size.min(buffer_size), max_wait, throttle };
            if mode == Mode::Batch {
                batch
            } else {
                Batch { max_size: NonZeroUsize::MIN, throttle: None, ..batch }
            }
        },
    )
}

fn compression() -> impl Strategy<Value = Option<Compression>> {
    prop_oneof![
        Just(None),
        (1..=9u8).prop_map(|level| Some(Compression { coding: Coding::Gzip, level })),
        (1..=19u8).prop_map(|level| Some(Compression { coding: Coding::Zstd, level })),
    ]
}

fn redact() -> impl Strategy<Value = Redact> {
    (any::<[bool; 4]>(), prop::option::of(path())).prop_map(
        |([enabled, config_maps, pod_env, managed_fields], key_file)| Redact {
            enabled,
            key_file,
            config_maps,
            pod_env,
            managed_fields,
        },
    )
}

/// What a match may hold, in the file's words.
fn takes() -> impl Strategy<Value = Arc<Match>> {
    let list = |field: &'static str, item: BoxedStrategy<String>| {
        prop::collection::vec(item, 0..3).prop_map(move |items| format!("{field}: [{}]", items.join(", ")))
    };
    let any_text = || ".{0,8}".prop_map(|text| quoted(&text)).boxed();
    let one_of = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned).boxed();
    let code = prop_oneof![(100..600u16).prop_map(|code| code.to_string()), "[1-5]xx"].boxed();
    let group = ("[a-z]{0,3}|'\\*'", "[a-z]{1,3}", list("resourceNames", any_text())).prop_map(
        |(group, resource, names)| format!("{{ group: {group}, resources: [{resource}], {names} }}"),
    );
    let target = prop_oneof![
        list("nonResourceURLs", "'/[a-z]{0,3}\\*?'".boxed()),
        (list("resources", group.boxed()), list("namespaces", any_text()))
            .prop_map(|(a, b)| format!("{a}, {b}")),
    ];
    let who = (list("users", any_text()), list("userGroups", any_text()), list("verbs", any_text()));
    let recorded = (
        list("stages", one_of(&["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"])),
        list("levels", one_of(&["Metadata", "Request", "RequestResponse"])),
        list("responseCodes", code),
    );
    let rule = (who, target, recorded, any::<bool>()).prop_map(|(who, target, recorded, exclude)| {
        let ((users, groups, verbs), (stages, levels, codes)) = (who, recorded);
        format!(
            "- {{ {users}, {groups}, {verbs}, {target}, {stages}, {levels}, {codes}, exclude: {exclude} }}\n"
        )
    });
    prop::collection::vec(rule, 0..4).prop_map(|rules| {
        let text = format!("{}- {{}}\n", rules.concat());
        let node = crate::yaml::parse(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        Arc::new(Match::read(&node, "match", "f.yaml").unwrap_or_else(|error| panic!("{error:?}: {text}")).0)
    })
}

fn output(max_line: usize) -> impl Strategy<Value = Output> {
    let webhook = (path(), duration(1), duration(1), duration(1), compression());
    let sizes = (2 * max_line..1 << 50, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let rejected = (1u64..1 << 50, any::<bool>());
    let name = || prop::option::of("\\PC{1,12}");
    let identity = (name(), name()).prop_map(|(cluster, node)| Identity { cluster, node });
    (
        "[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?",
        webhook,
        batch(),
        (any::<bool>(), any::<bool>(), prop::option::of(path()), redact(), prop::option::of(takes())),
        sizes,
        count(1 << 40),
        (rejected, identity),
        duration(1),
    )
        .prop_map(
            |(
                name,
                (kubeconfig, a, b, timeout, compression),
                batch,
                (enabled, gap_records, policy_file, redact, takes),
                (memory, at, below),
                in_flight,
                ((max_size, wait), identity),
                ready_after,
            )| {
                let max_batch = 1 + at.index(memory / 2);
                let size = |n| NonZeroUsize::new(n).unwrap();
                Output {
                    name,
                    destination: Destination::Webhook(kubeconfig),
                    requests: Requests {
                        initial_backoff: a.min(b),
                        max_backoff: a.max(b),
                        timeout,
                        compression,
                    },
                    max_in_flight: if batch.mode == Mode::Batch { in_flight } else { NonZeroUsize::MIN },
                    batch,
                    redact,
                    truncate: Truncate {
                        enabled,
                        max_event_size: size(1 + below.index(max_batch)),
                        max_batch_size: size(max_batch),
                    },
                    max_memory: size(memory),
                    takes,
                    policy_file,
                    gap_records,
                    rejected: Rejected {
                        max_size,
                        on_full: if wait { OnFull::Wait } else { OnFull::DropOldest },
                    },
                    identity,
                    ready_after,
                }
            },
        )
}

fn pins() -> impl Strategy<Value = Pins> {
    let min_free = prop_oneof![
        (0..=100u8).prop_map(MinFree::Percent),
        (0..1u64 << 50).prop_map(MinFree::Bytes),
        (0..1u64 << 20).prop_map(|mib| MinFree::Bytes(mib << 20)),
    ];
    (1..1u64 << 50, 1..1usize << 40, min_free).prop_map(|(limit, max_files, min_free)| Pins {
        limit,
        max_files,
        min_free,
    })
}

fn rotation() -> impl Strategy<Value = Rotation> {
    let count = || prop::option::of(0..i64::MAX.cast_unsigned());
    (count(), count(), prop::option::of(duration(0))).prop_map(|(max_size, max_backups, max_age)| Rotation {
        max_size,
        max_backups,
        max_age,
    })
}

fn live_view() -> impl Strategy<Value = LiveView> {
    let guarded =
        (any::<(std::net::IpAddr, u16)>(), path(), path(), path()).prop_map(|(address, token, cert, key)| {
            LiveView {
                listen: Listen::Address(address.into()),
                bearer_token_file: Some(token),
                tls: Some((cert, key)),
            }
        });
    let socket = ("/[^\\pC]{0,20}[^\\pC/]", prop::option::of(path())).prop_map(|(socket, token)| LiveView {
        listen: Listen::Socket(socket.into()),
        bearer_token_file: token,
        tls: None,
    });
    prop_oneof![guarded, socket]
}

fn config() -> impl Strategy<Value = Config> {
    (1..1usize << 40).prop_flat_map(|max_line| {
        let outputs =
            prop::collection::vec(output(max_line), 1..4).prop_filter("names are unique", |outputs| {
                let names: std::collections::BTreeSet<_> =
                    outputs.iter().map(|output| &output.name).collect();
                names.len() == outputs.len()
            });
        let source =
            (path(), any::<bool>(), pins(), rotation(), prop::sample::select(&log_flags::FORMATS[..]));
        let served = (any::<(std::net::IpAddr, u16)>(), prop::option::of(live_view()));
        (source, outputs, path(), served, duration(0)).prop_map(
            move |(
                (path, newest, pins, rotation, (_, format)),
                outputs,
                state_dir,
                (bind_address, live_view),
                shutdown_grace,
            )| {
                Config {
                    source: Source {
                        path,
                        format,
                        manifest: None,
                        start_at: if newest { StartAt::Newest } else { StartAt::Oldest },
                        max_line_bytes: NonZeroUsize::new(max_line).unwrap(),
                        pins,
                        rotation,
                    },
                    outputs,
                    state_dir,
                    bind_address: bind_address.into(),
                    live_view,
                    shutdown_grace,
                }
            },
        )
    })
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// A configuration that was printed is loaded as itself.
    #[test]
    fn round_trip(config in config()) {
        // What the source must not be called.
        prop_assume!(config.source.path.as_os_str() != "-");
        prop_assume!(!config.source.path.to_string_lossy().contains(['*', '?', '[']));
        prop_assert_eq!(reload(&config), config);
    }
}
