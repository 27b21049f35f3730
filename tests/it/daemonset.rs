//! The image and the manifests of the DaemonSet: rendered by kubectl, held against others' schemas, and run by podman with exactly what
//! the manifest says. Left out where kubectl, podman or the image is not to be had; `.ci/run` provides all of it.

mod manifest;
mod network;
mod pod;
mod rendered;

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use network::Dns;
use pod::{Image, NODE_NAME, Node, Pod, pod_flags};
use rendered::{Rendered, kustomize};

use crate::support::certificates::Authority;
use crate::support::cli::{Ended, finish};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::workdir::{Workdir, lines_of};
use crate::support::writer::Writer;
use crate::support::{leave_out, wait_until};

/// Where the log is on the node.
const LOG: &str = "/var/log/kubernetes/audit.log";
const STATE: &str = "/var/lib/audit-shipper";
/// What a script ends with if its package is not installed.
const NOT_INSTALLED: i32 = 77;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn base_config() -> String {
    fs::read_to_string(repository("config/kubernetes/base/audit-shipper.yaml")).unwrap()
}

/// The manifest with a kubeconfig for `server`, and the base's configuration with `more` lines of its output.
fn rendered(node: &Node, server: &str, more: &str) -> Option<Rendered> {
    let kubeconfig = node.workdir.kubeconfig(server);
    let kubeconfig = fs::read_to_string(kubeconfig).unwrap();
    let output = "  - name: siem\n";
    let config = base_config();
    assert!(config.contains(output));
    let config = config.replacen(output, &format!("{output}{more}"), 1);
    let directory = node.workdir.path("kustomization");
    fs::create_dir_all(&directory).unwrap();
    Rendered::with(&directory, &config, &[("webhook.kubeconfig", &kubeconfig)])
}

#[test]
fn kubernetes_knows_every_field_of_the_manifests() {
    let workdir = Workdir::new();
    let mut command = Command::new("python3");
    command.arg(repository("tests/it/daemonset/validate.py"));
    for name in ["base", "pod-monitor"] {
        let Some(text) = kustomize(&repository(&format!("config/kubernetes/{name}"))) else { return };
        fs::write(workdir.path(name), text).unwrap();
        command.arg(workdir.path(name));
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return leave_out("the schemas of the manifests: python3 cannot be run");
    }
    let ended = finish(command);
    if ended.code == Some(NOT_INSTALLED) {
        return leave_out(ended.stderr);
    }
    assert_eq!(ended.succeeded(), "ServiceAccount ConfigMap DaemonSet PodMonitor\n");
}

#[test]
fn the_manifest_fits_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let config = base_config();
    let Some(rendered) = Rendered::with(directory.path(), &config, &[("webhook.kubeconfig", "")]) else {
        return;
    };
    assert!(rendered.namespaces().iter().all(|namespace| *namespace == Some("kube-system")));
    assert!(!rendered.service_account().automount_service_account_token);
    let daemon_set = rendered.daemon_set();
    let labels = &daemon_set.spec.template.metadata.labels;
    assert_eq!(&daemon_set.spec.selector.match_labels, labels);
    assert_eq!(&daemon_set.metadata.labels, labels);
    let pod = &daemon_set.spec.template.spec;
    let [container] = pod.containers.as_slice() else { panic!("one container was expected") };
    assert_eq!(container.image, format!("audit-shipper:{}", env!("CARGO_PKG_VERSION")));

    // The PodMonitor finds the pods, and the port.
    let monitor = kustomize(&repository("config/kubernetes/pod-monitor")).unwrap();
    for (key, value) in labels {
        assert!(
            monitor.contains(&format!("  selector:\n    matchLabels:\n      {key}: {value}\n")),
            "{monitor}"
        );
    }
    let [port] = container.ports.as_slice() else { panic!("one port was expected") };
    assert!(monitor.contains(&format!("    port: {}\n", port.name)), "{monitor}");
    for probe in [&container.startup_probe, &container.liveness_probe, &container.readiness_probe] {
        assert_eq!(probe.http_get.port, port.name);
    }
    let address = format!("--bind-address=$(POD_IP):{}", port.container_port);
    assert!(container.args.contains(&address), "{:?}", container.args);

    // What the configuration names is mounted, at the same place as on the host where it is the host's.
    let mount = |path: &str| {
        let found = container.volume_mounts.iter().find(|mount| Path::new(path).starts_with(&mount.path));
        let found = found.unwrap_or_else(|| panic!("no mount for {path}"));
        (found, pod.volumes.iter().find(|volume| volume.name == found.name).unwrap())
    };
    for (path, is_read_only) in [(LOG, true), (STATE, false)] {
        assert!(config.contains(&format!(": {path}\n")), "{path}");
        let (mount, volume) = mount(path);
        assert_eq!(volume.host_path.as_ref().unwrap().path, mount.path);
        assert_eq!(mount.read_only, is_read_only, "{path}");
    }
    let kubeconfig = "/etc/audit-shipper/credentials/webhook.kubeconfig";
    assert!(config.contains(&format!("kubeconfig: {kubeconfig}\n")));
    assert!(mount(kubeconfig).1.secret.is_some());
    let config_file = container.args.iter().find_map(|arg| arg.strip_prefix("--config=")).unwrap();
    assert!(mount(config_file).1.config_map.is_some());

    // A stop has the time that it is promised, and on top of it some for copies.
    let grace = config.lines().find_map(|line| line.strip_prefix("shutdownGrace: ")).unwrap();
    let grace: u32 = grace.strip_suffix('s').unwrap().parse().unwrap();
    assert!(pod.termination_grace_period_seconds >= grace + 30);
}

/// A line of what the kernel says of a process.
fn status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The process can do nothing but what the manifest lets it.
fn assert_confined(pod: &Pod) {
    let pid = pod.pid();
    assert_eq!(status(pid, "Uid"), "0 0 0 0");
    for capabilities in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(status(pid, capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!((status(pid, "NoNewPrivs").as_str(), status(pid, "Seccomp").as_str()), ("1", "2"));
    assert_eq!(pod.memory_limit(), 256 << 20);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    for read_only in ["", "usr/bin", "var/log/kubernetes", "etc/audit-shipper/config"] {
        let directory = root.join(read_only);
        let error = File::create(directory.join("written")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{}", directory.display());
    }
    assert!(File::create(root.join("var/lib/audit-shipper/probe")).is_ok());
    // The kernel's own list: of what is mounted, the state alone can be written to, beside what every container has.
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    let mounts: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
    let is_writable = |mount: &&Vec<&str>| mount[3].split(',').any(|option| option == "rw");
    let kernels = |path: &str| ["/proc", "/dev", "/sys"].iter().any(|kernel| path.starts_with(kernel));
    let own = mounts.iter().filter(is_writable).map(|mount| mount[1]).filter(|path| !kernels(path));
    assert_eq!(own.collect::<Vec<_>>(), [STATE]);
}

/// kubelet's probes succeed, and nothing else is served.
fn assert_served(pod: &Pod, rendered: &Rendered) {
    let container = &rendered.daemon_set().spec.template.spec.containers[0];
    for probe in [&container.startup_probe, &container.liveness_probe, &container.readiness_probe] {
        let path = &probe.http_get.path;
        assert_eq!(pod.daemon.get(path), (200, "ok\n".to_owned()), "{path}");
    }
    for path in ["/", "/index.html", "/api/v1/status", "/debug/pprof"] {
        assert_eq!(pod.daemon.get(path).0, 404, "{path}");
    }
}

/// All lines that were written arrived, whatever came twice.
fn assert_all_arrived(written: &Writer, received: &Path) {
    let (mut written, mut arrived) = (written.lines(), lines_of(received));
    written.sort_unstable();
    arrived.sort_unstable();
    arrived.dedup();
    assert!(written == arrived, "{} of {}", arrived.len(), written.len());
}

#[test]
fn the_pod_ships_what_only_root_may_read_and_goes_on_after_its_end() {
    let Some(image) = Image::new() else { return };
    let node = Node::new();
    let received = node.workdir.path("received.ndjson");
    let address = format!("--bind-address={}:0", node.network.node);
    let endpoint = Daemon::start(["receive", &address, "--output", received.to_str().unwrap()]);
    let server = format!("http://{}/audit", endpoint.address());
    // Masked events could not be compared, and nobody wants to wait for a batch.
    let more = "    redact: { enabled: false }\n    batch: { maxWait: 50ms }\n";
    let Some(rendered) = rendered(&node, &server, more) else { return };

    let log = node.path(LOG);
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    let mut writer = Writer::new(&log, 100 << 20);
    writer.write(300);
    let metadata = fs::metadata(&log).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
    let arrived = |writer: &Writer| {
        let all = usize::try_from(writer.written()).unwrap();
        // Of what is being written there may be half a character.
        let arrived = || memchr::memchr_iter(b'\n', &fs::read(&received).unwrap()).count();
        wait_until("all events to arrive", || (arrived() >= all).then_some(()));
    };

    let mut pod = Pod::start(&image, &node, &rendered, "shipper");
    arrived(&writer);
    assert_eq!(pod.daemon.address().to_string(), format!("{}:9465", node.network.pod));
    assert_served(&pod, &rendered);
    assert_confined(&pod);
    let in_effect = check(&image, &node, &rendered, &[], &[]).succeeded();
    assert!(in_effect.contains(&format!("node: \"{NODE_NAME}\"")), "{in_effect}");
    writer.write(50);
    writer.rotate();
    writer.write(50);
    arrived(&writer);
    pod.daemon.wait_for_metrics("all to be settled", |metrics| {
        metrics.value("audit_shipper_lag_bytes", &[]) == 0.0
    });

    // Killed; the log is rotated while nobody looks.
    pod.kill9();
    writer.write(20);
    writer.rotate();
    writer.write(20);
    let mut pod = Pod::start(&image, &node, &rendered, "shipper");
    arrived(&writer);
    // Stopped in order, and replaced.
    pod.stop();
    writer.rotate();
    writer.write(20);
    let mut pod = Pod::start(&image, &node, &rendered, "shipper");
    arrived(&writer);
    pod.stop();
    assert_all_arrived(&writer, &received);
    let arrivals = u64::try_from(lines_of(&received).len()).unwrap();
    assert_eq!(arrivals, writer.written(), "each pod went on where the one before it stood");

    // Whatever the umask of a container is, and although kubelet lets everybody into the directory.
    let cursor = fs::metadata(node.path(STATE).join("siem.cursor.json")).unwrap();
    assert_eq!((cursor.uid(), cursor.mode() & 0o777), (0, 0o600));
    writer.finish();
}

/// What `check` says in the pod, with these further arguments of it and flags of podman.
fn check(image: &Image, node: &Node, rendered: &Rendered, args: &[&str], flags: &[String]) -> Ended {
    let args = [&["check", "--config=/etc/audit-shipper/config/audit-shipper.yaml"], args].concat();
    finish(image.run(&[pod_flags(node, rendered), flags.to_vec()].concat(), &args))
}

#[test]
fn names_are_resolved_and_authorities_known_in_an_image_without_libraries() {
    const IN_HOSTS: &str = "siem.in-hosts.example";
    const IN_DNS: &str = "siem.in-dns.example";
    let Some(image) = Image::new() else { return };
    let node = Node::new();
    let address = node.network.node;
    let authority = Authority::new();
    let server = authority.sign_for(&[IN_HOSTS, IN_DNS], 2000..4000).server();
    let endpoint = Endpoint::start_tls_at((address, 0).into(), server, |_, _| Answer::ok());
    let _dns = Dns::start(address, IN_DNS);
    node.resolve_with(address);
    node.know(IN_HOSTS, address);
    fs::create_dir_all(node.path(LOG).parent().unwrap()).unwrap();
    // The authorities of the image, and ours.
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    let content = image.content();
    let (_, public) = content.iter().find(|(path, _)| path == Path::new(bundle)).unwrap();
    let more = node.workdir.path("authorities.pem");
    fs::write(&more, [public.as_slice(), authority.pem().as_bytes()].concat()).unwrap();
    let with_ours = [format!("--volume={}:/{bundle}:ro", more.display())];
    for (name, flags, expected) in [
        (IN_HOSTS, with_ours.as_slice(), "siem: good"),
        (IN_DNS, with_ours.as_slice(), "siem: good"),
        (IN_DNS, &[], "is not signed by"),
        ("siem.nowhere.example", &[], "the name does not resolve"),
    ] {
        let server = format!("https://{name}:{}/audit", endpoint.address().port());
        let Some(rendered) = rendered(&node, &server, "") else { return };
        let checked = check(&image, &node, &rendered, &["--connect"], flags);
        assert!(checked.stderr.contains(expected), "{name}: {}", checked.stderr);
        assert_eq!(checked.code, Some(i32::from(flags.is_empty())), "{name}");
    }
}

#[test]
fn the_image_holds_the_daemon_and_authorities_and_nothing_else() {
    let Some(image) = Image::new() else { return };
    let content = image.content();
    let names: Vec<&str> = content.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    assert_eq!(names, ["etc/ssl/certs/ca-certificates.crt", "usr/bin/audit-shipper"]);
    assert!(content[0].1.starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert_eq!(image.inspect("{{.Config.User}}"), "65532:65532");
    assert_eq!(
        image.inspect("{{.Config.Cmd}}"),
        "[run --config /etc/audit-shipper/config/audit-shipper.yaml]"
    );
    let version = image.inspect("{{index .Config.Labels \"org.opencontainers.image.version\"}}");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));

    // As it is, without the manifest: a user who is nobody, with a place for its state.
    let node = Node::new();
    let endpoint = Endpoint::start_at((node.network.node, 0).into(), |_, _| Answer::ok());
    let kubeconfig = node.workdir.kubeconfig(&endpoint.url());
    for path in [kubeconfig, node.workdir.path("")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut writer = Writer::new(node.workdir.log(), 100 << 20);
    writer.write(5);
    fs::set_permissions(node.workdir.log(), Permissions::from_mode(0o644)).unwrap();
    let mut flags = node.network_flags();
    flags.push(format!("--volume={}:/log:ro", node.workdir.log_dir().display()));
    flags.push(format!("--volume={}:/kubeconfig:ro", node.workdir.path("webhook.kubeconfig").display()));
    let args = [
        "run",
        "--audit-log-path=/log/audit.log",
        "--audit-webhook-config-file=/kubeconfig",
        "--audit-webhook-batch-max-wait=50ms",
    ];
    let mut daemon = Daemon::spawn(image.run(&flags, &args));
    assert_eq!(endpoint.wait_for_items(5), writer.lines());
    // podman passes it on.
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
}
