//! kubelet's place: a pod of the rendered manifest on a node that is a directory, run by podman and runc. Every flag comes from
//! the manifest.
//!
//! What kubelet and containerd would do otherwise: their default seccomp profile is not podman's to the letter, an AppArmor profile and
//! SELinux labels come on top of it where the node has them, the cgroup of the pod lies in that of its QoS class, a critical pod is
//! the last one to be killed for memory, and the volumes of ConfigMaps and Secrets are in memory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::manifest::{Container, Volume};
use super::network::Network;
use super::rendered::Rendered;
use crate::support::cli::finish;
use crate::support::daemon::Daemon;
use crate::support::workdir::Workdir;
use crate::support::{leave_out, wait_until};

/// The name that the downward API gives to the node.
pub(crate) const NODE_NAME: &str = "node-1";

/// The image that `.ci/image` made of this checkout.
pub(crate) struct Image(String);

impl Image {
    /// `None`, and a word, where containers are not to be had.
    pub(crate) fn new() -> Option<Self> {
        let id = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/id");
        let has = |command: &str| Command::new(command).arg("--version").output().is_ok();
        let is_root = rustix::process::geteuid().is_root();
        if is_root && has("podman") && has("/usr/sbin/runc") && has("ip") && id.exists() {
            return Some(Self(fs::read_to_string(id).unwrap().trim().to_owned()));
        }
        leave_out("containers: they take root, podman, runc, ip, and the image that `.ci/image` makes");
        None
    }

    /// `podman run` with these flags, then `args` for the daemon. The limits are those of whoever runs the tests, who may not be
    /// allowed podman's own.
    pub(crate) fn run<S: AsRef<str>>(&self, flags: &[S], args: &[&str]) -> Command {
        let mut command = podman();
        command.args(["run", "--pull=never", "--rm"]);
        command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
        command.args(flags.iter().map(AsRef::as_ref)).arg(&self.0).args(args);
        Daemon::isolate(&mut command);
        command
    }

    /// Something that podman knows of the image.
    pub(crate) fn inspect(&self, template: &str) -> String {
        said(&["image", "inspect", "--format", template, &self.0])
    }

    /// The files and directories of the image, without those that only lead to others.
    pub(crate) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let root = PathBuf::from(said(&["image", "mount", &self.0]));
        let mut found = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.push((path.strip_prefix(&root).unwrap().to_owned(), fs::read(&path).unwrap()));
                }
            }
        }
        said(&["image", "unmount", &self.0]);
        found.sort();
        found
    }
}

/// podman as it works where there is no systemd.
fn podman() -> Command {
    let mut command = Command::new("podman");
    command.args(["--cgroup-manager=cgroupfs", "--runtime=/usr/sbin/runc"]);
    command
}

/// What podman prints.
fn said(args: &[&str]) -> String {
    let mut command = podman();
    command.args(args);
    finish(command).succeeded().trim().to_owned()
}

/// A control-plane node: its files, and the network of the one pod on it.
pub(crate) struct Node {
    pub(crate) workdir: Workdir,
    pub(crate) network: Network,
}

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self { workdir: Workdir::new(), network: Network::new() };
        fs::write(node.workdir.path("hosts"), "127.0.0.1 localhost\n").unwrap();
        node.resolve_with("10.96.0.10");
        node
    }

    /// A path of the host.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.workdir.path("host").join(path.as_ref().strip_prefix("/").unwrap())
    }

    /// What kubelet writes for the pod's resolver.
    pub(crate) fn resolve_with(&self, server: impl std::fmt::Display) {
        let text = format!(
            "search kube-system.svc.cluster.local svc.cluster.local cluster.local\nnameserver {server}\noptions ndots:5\n"
        );
        fs::write(self.workdir.path("resolv.conf"), text).unwrap();
    }

    /// What kubelet writes of names that the pod is to know.
    pub(crate) fn know(&self, name: &str, address: impl std::fmt::Display) {
        fs::write(self.workdir.path("hosts"), format!("127.0.0.1 localhost\n{address} {name}\n")).unwrap();
    }

    /// The flags for a container in the pod's network, whatever else it is.
    pub(crate) fn network_flags(&self) -> Vec<String> {
        let file = |name: &str| self.workdir.path(name).display().to_string();
        vec![
            format!("--network=ns:{}", self.network.path()),
            "--no-hosts".to_owned(),
            format!("--volume={}:/etc/hosts:ro", file("hosts")),
            format!("--volume={}:/etc/resolv.conf:ro", file("resolv.conf")),
        ]
    }
}

/// A running container of the manifest's pod.
pub(crate) struct Pod {
    pub(crate) daemon: Daemon,
    name: String,
    grace_seconds: u32,
}

impl Pod {
    /// Starts it, as kubelet does at first and after every end of the last one.
    pub(crate) fn start(image: &Image, node: &Node, rendered: &Rendered, name: &str) -> Self {
        let spec = &rendered.daemon_set().spec.template.spec;
        let name = format!("{name}-{}", std::process::id());
        let mut flags = pod_flags(node, rendered);
        flags.push(format!("--name={name}"));
        let args = args(node, &spec.containers[0]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let daemon = Daemon::spawn(image.run(&flags, &args));
        Self { daemon, name, grace_seconds: spec.termination_grace_period_seconds }
    }

    /// The process number of the daemon, on the node.
    pub(crate) fn pid(&self) -> u32 {
        said(&["inspect", "--format", "{{.State.Pid}}", &self.name]).parse().unwrap()
    }

    /// Bytes of memory that it may use, as the runtime was told.
    pub(crate) fn memory_limit(&self) -> u64 {
        said(&["inspect", "--format", "{{.HostConfig.Memory}}", &self.name]).parse().unwrap()
    }

    /// Ends it as the kernel does when memory is short.
    pub(crate) fn kill9(&mut self) {
        said(&["kill", "--signal=KILL", &self.name]);
        assert_eq!(self.daemon.wait().code(), Some(128 + 9));
        self.wait_until_gone();
    }

    /// Ends it as kubelet does before the pod is replaced.
    pub(crate) fn stop(&mut self) {
        said(&["stop", &format!("--time={}", self.grace_seconds), &self.name]);
        assert_eq!(self.daemon.wait().code(), Some(0), "{}", self.daemon.log());
        self.wait_until_gone();
    }

    fn wait_until_gone(&self) {
        wait_until("the container to be removed", || {
            let mut command = podman();
            command.args(["container", "exists", &self.name]);
            (finish(command).code == Some(1)).then_some(())
        });
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = podman().args(["rm", "--force", "--ignore", "--time=0", &self.name]).output();
    }
}

/// The flags that make a container of podman what the manifest wants it to be.
pub(crate) fn pod_flags(node: &Node, rendered: &Rendered) -> Vec<String> {
    let spec = &rendered.daemon_set().spec.template.spec;
    let [container] = spec.containers.as_slice() else { panic!("one container was expected") };
    assert!(!spec.host_network && spec.dns_policy == "ClusterFirst" && !spec.enable_service_links);
    assert_eq!(spec.service_account_name, rendered.service_account().metadata.name);
    assert!(!spec.automount_service_account_token, "a volume with a token");
    let mut flags = node.network_flags();
    flags.extend(security_flags(container));
    flags.extend(resource_flags(container));
    flags.extend(variables(node, container).into_iter().map(|(name, value)| format!("--env={name}={value}")));
    for mount in &container.volume_mounts {
        let volume = spec.volumes.iter().find(|volume| volume.name == mount.name).unwrap();
        let (from, to) = (on_host(node, rendered, volume), mount.path.display());
        let mode = if mount.read_only { "ro" } else { "rw" };
        flags.push(format!("--volume={}:{to}:{mode}", from.display()));
    }
    flags
}

fn security_flags(container: &Container) -> Vec<String> {
    let context = &container.security_context;
    let mut flags = vec![
        format!("--user={}:{}", context.run_as_user, context.run_as_group),
        format!("--privileged={}", context.privileged),
        format!("--read-only={}", context.read_only_root_filesystem),
        // podman would mount empty file systems over /tmp and /run.
        "--read-only-tmpfs=false".to_owned(),
    ];
    flags.extend(context.capabilities.drop.iter().map(|capability| format!("--cap-drop={capability}")));
    flags.extend(context.capabilities.add.iter().map(|capability| format!("--cap-add={capability}")));
    if !context.allow_privilege_escalation {
        flags.push("--security-opt=no-new-privileges".to_owned());
    }
    match context.seccomp_profile.kind.as_str() {
        // The one that the runtime has.
        "RuntimeDefault" => {}
        "Unconfined" => flags.push("--security-opt=seccomp=unconfined".to_owned()),
        kind => panic!("seccomp profile {kind}"),
    }
    flags
}

fn resource_flags(container: &Container) -> Vec<String> {
    let resources = &container.resources;
    let mut flags = Vec::new();
    for (resource, limit) in &resources.limits {
        assert_eq!(resource, "memory");
        flags.push(format!("--memory={}m", limit.strip_suffix("Mi").unwrap()));
    }
    for (resource, request) in &resources.requests {
        match resource.as_str() {
            "cpu" => {
                let thousandths: u64 = request.strip_suffix('m').unwrap().parse().unwrap();
                flags.push(format!("--cpu-shares={}", thousandths * 1024 / 1000));
            }
            // For the scheduler alone.
            "memory" => {}
            resource => panic!("a request of {resource}"),
        }
    }
    flags
}

/// The environment, by the downward API.
fn variables<'a>(node: &Node, container: &'a Container) -> Vec<(&'a str, String)> {
    let value = |path: &str| match path {
        "status.podIP" => node.network.pod.to_string(),
        "spec.nodeName" => NODE_NAME.to_owned(),
        path => panic!("the field {path}"),
    };
    let variables = container.env.iter();
    variables.map(|one| (one.name.as_str(), value(&one.value_from.field_ref.field_path))).collect()
}

/// The arguments, with the variables in them put in their places.
fn args(node: &Node, container: &Container) -> Vec<String> {
    let variables = variables(node, container);
    let replaced = |arg: &String| {
        variables.iter().fold(arg.clone(), |arg, (name, value)| arg.replace(&format!("$({name})"), value))
    };
    container.args.iter().map(replaced).collect()
}

/// Where the content of a volume is; it is made if need be.
fn on_host(node: &Node, rendered: &Rendered, volume: &Volume) -> PathBuf {
    // Each pod has its own: another one may be running.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if let Some(host_path) = &volume.host_path {
        let path = node.path(&host_path.path);
        match host_path.kind.as_str() {
            "Directory" => assert!(path.is_dir(), "{} is not there", host_path.path.display()),
            "DirectoryOrCreate" => fs::create_dir_all(&path).unwrap(),
            kind => panic!("hostPath of type {kind}"),
        }
        return path;
    }
    let (files, mode): (Vec<(&String, Vec<u8>)>, u32) = match (&volume.config_map, &volume.secret) {
        (Some(map), None) => {
            let files = rendered.config_map(&map.name).iter();
            (files.map(|(name, text)| (name, text.clone().into_bytes())).collect(), map.default_mode)
        }
        (None, Some(secret)) => {
            let files = rendered.secret(&secret.secret_name).iter();
            // kustomize breaks the lines.
            let decoded = |text: &String| BASE64_STANDARD.decode(text.replace('\n', "")).unwrap();
            (files.map(|(name, text)| (name, decoded(text))).collect(), secret.default_mode)
        }
        _ => panic!("the volume {}", volume.name),
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = node.workdir.path(&format!("volumes/{number}-{}", volume.name));
    write_as_kubelet(&directory, &files, mode);
    directory
}

/// Files of a volume as kubelet puts them there: each a link, through one link that can be turned to other files at once.
fn write_as_kubelet(directory: &Path, files: &[(&String, Vec<u8>)], mode: u32) {
    let content = directory.join("..2026_11_23_04_35_18.1");
    fs::create_dir_all(&content).unwrap();
    symlink(content.file_name().unwrap(), directory.join("..data")).unwrap();
    for (name, text) in files {
        let path = content.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        symlink(Path::new("..data").join(name), directory.join(name)).unwrap();
    }
}
