//! The unit and the Debian package under a real systemd: a Debian tree, booted in a container of its own, where the
//! scripts in `nspawn` are the administrator. Left out where such a tree, systemd-nspawn or the package is not to be had;
//! `.ci/run` provides all of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::certificates::Authority;
use crate::support::leave_out;
use crate::support::workdir::{Workdir, lines_of, real_events};

/// Runs the trial once everything else is up, and ends the machine after it.
const TRIAL_UNIT: &str = "\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/trial/run.sh
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=900
";

const CONFIG: &str = "\
source: { path: /var/log/kubernetes/audit.log, pinMinFree: 0% }
outputs:
- name: webhook
  webhook: { kubeconfig: /etc/audit-shipper/webhook.kubeconfig, initialBackoff: 100ms }
  batch: { maxWait: 100ms }
shutdownGrace: 12s
";

/// A file of the repository, or what `.ci/run` makes beside it.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Boots the tree with the files in `trial`, without changing it. What the trial found, and its journal, come into `out`.
fn boot(tree: &Path, trial: &Path, out: &Path) {
    let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
    let unit = trial.join("trial.service");
    let console = File::create(out.join("console")).unwrap();
    let status = Command::new("timeout")
        .args(["1200", "systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no"])
        .args(["--keep-unit", "--console=pipe", "--volatile=overlay"])
        .arg(format!("--directory={}", tree.display()))
        .arg(format!("--bind-ro={}", bind(trial, "/trial")))
        .arg(format!("--bind={}", bind(out, "/out")))
        .arg(format!("--bind={}", bind(&out.join("journal"), "/var/log/journal")))
        .arg(format!("--bind-ro={}", bind(&unit, "/etc/systemd/system/trial.service")))
        .arg("systemd.wants=trial.service")
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .status();
    assert!(status.is_ok(), "{status:?}");
}

/// What the units of the trial wrote into the journal of the machine, which has ended.
fn journal(out: &Path) -> String {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--output=cat", "-D"]).arg(out.join("journal"));
    let units =
        ["trial", "audit-shipper", "receiver", "receiver2", "elsewhere"].map(|unit| format!("--unit={unit}"));
    String::from_utf8_lossy(&command.args(units).output().unwrap().stdout).into_owned()
}

/// The tree that is booted, if this machine has one and can boot it.
fn tree() -> Option<PathBuf> {
    let tree = repository("target/debian-tree");
    let nspawn = Command::new("systemd-nspawn").arg("--version").output();
    let is_root = rustix::process::geteuid().is_root();
    if tree.join("usr/lib/systemd/systemd").exists() && nspawn.is_ok() && is_root {
        return Some(tree);
    }
    leave_out(
        "the unit under a real systemd: it takes root, systemd-nspawn, and the tree that `.ci/run` makes",
    );
    None
}

/// A trial by this script, and what it found and kept.
struct Trial {
    workdir: Workdir,
    written: Vec<String>,
}

impl Trial {
    /// Puts everything in place that the trials use.
    fn new(script: &str, events: usize) -> Self {
        let workdir = Workdir::new();
        let (trial, out) = (workdir.path("trial"), workdir.path("out"));
        fs::create_dir_all(out.join("journal")).unwrap();
        fs::create_dir(&trial).unwrap();
        for file in [
            "systemd/audit-shipper.service",
            "systemd/sysusers.d/audit-shipper.conf",
            "tests/it/nspawn/administrator.sh",
        ] {
            let file = repository(file);
            fs::copy(&file, trial.join(file.file_name().unwrap())).unwrap();
        }
        fs::copy(repository(script), trial.join("run.sh")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_audit-shipper"), trial.join("audit-shipper")).unwrap();
        fs::write(trial.join("trial.service"), TRIAL_UNIT).unwrap();
        fs::write(trial.join("audit-shipper.yaml"), CONFIG).unwrap();
        let authority = Authority::new();
        authority.sign().write(&trial, "server");
        fs::write(trial.join("ca.pem"), authority.pem()).unwrap();
        fs::write(trial.join("token"), "a-token-of-the-trial").unwrap();
        let user = "tokenFile: /run/credentials/audit-shipper.service/token";
        let kubeconfig = "certificate-authority: ca.pem";
        let kubeconfig = workdir.kubeconfig_with("https://127.0.0.1:PORT", kubeconfig, user);
        fs::rename(kubeconfig, trial.join("webhook.kubeconfig")).unwrap();
        let written = real_events(events);
        fs::write(trial.join("events.ndjson"), written.concat()).unwrap();
        Self { workdir, written }
    }

    /// Runs it. Every promise is kept; and all events that were written arrived in `files`, no more than so many of them
    /// again.
    fn run(&self, tree: &Path, files: &[&str], most_again: usize) {
        let out = self.workdir.path("out");
        boot(tree, &self.workdir.path("trial"), &out);
        let results = fs::read_to_string(out.join("results")).unwrap_or_default();
        let is_kept = !results.contains("FAILED") && results.ends_with("done\n");
        assert!(is_kept, "{results}\n{}", journal(&out));
        let mut arrived: Vec<String> = files.iter().flat_map(|file| lines_of(&out.join(file))).collect();
        assert!(arrived.len() <= self.written.len() + most_again, "{}", arrived.len());
        arrived.sort_unstable();
        arrived.dedup();
        let mut written = self.written.clone();
        written.sort_unstable();
        assert!(arrived == written, "{} of {}", arrived.len(), written.len());
    }
}

#[test]
fn the_unit_keeps_its_promises() {
    let Some(tree) = tree() else { return };
    // What was under way in the crash, and at the stop, is sent again.
    Trial::new("tests/it/nspawn/unit.sh", 230).run(&tree, &["received.ndjson", "elsewhere.ndjson"], 110);
}

#[test]
fn the_package_installs_upgrades_and_goes() {
    let Some(tree) = tree() else { return };
    let packages = fs::read_dir(repository("target/debian")).into_iter().flatten().flatten();
    let mut packages: Vec<PathBuf> = packages.map(|entry| entry.path()).collect();
    packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let Some(package) = packages.pop() else {
        return leave_out("the Debian package: `.ci/deb` makes it");
    };
    let trial = Trial::new("tests/it/nspawn/package.sh", 60);
    fs::copy(package, trial.workdir.path("trial/audit-shipper.deb")).unwrap();
    trial.run(&tree, &["received.ndjson"], 0);
}
