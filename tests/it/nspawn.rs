//! The unit under a real systemd: a Debian tree, booted in a container of its own, where `nspawn/trial.sh` is the
//! administrator. Left out where such a tree or systemd-nspawn is not to be had; `.ci/run` provides both.

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
ExecStart=/trial/trial.sh
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=180
";

const CONFIG: &str = "\
source: { path: /var/log/kubernetes/audit.log, pinMinFree: 0% }
outputs:
- name: webhook
  webhook: { kubeconfig: /etc/audit-shipper/webhook.kubeconfig, initialBackoff: 100ms }
  batch: { maxWait: 100ms }
shutdownGrace: 3s
";

/// The tree that `.ci/run` makes.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian-tree")
}

/// Boots the tree with the files in `trial`, without changing it. What the trial found, and its journal, come into `out`.
fn boot(tree: &Path, trial: &Path, out: &Path) {
    let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
    let unit = trial.join("trial.service");
    let console = File::create(out.join("console")).unwrap();
    let status = Command::new("timeout")
        .args(["240", "systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no"])
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

/// Whether this machine can boot a tree.
fn is_able(tree: &Path) -> bool {
    let nspawn = Command::new("systemd-nspawn").arg("--version").output();
    let is_root = rustix::process::geteuid().is_root();
    if tree.join("usr/lib/systemd/systemd").exists() && nspawn.is_ok() && is_root {
        return true;
    }
    leave_out(
        "the unit under a real systemd: it takes root, systemd-nspawn, and the tree that `.ci/run` makes",
    );
    false
}

#[test]
fn the_unit_keeps_its_promises_under_a_real_systemd() {
    let tree = tree();
    if !is_able(&tree) {
        return;
    }
    let workdir = Workdir::new();
    let (trial, out) = (workdir.path("trial"), workdir.path("out"));
    fs::create_dir_all(out.join("journal")).unwrap();
    fs::create_dir(&trial).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in
        ["systemd/audit-shipper.service", "systemd/audit-shipper.sysusers.conf", "tests/it/nspawn/trial.sh"]
    {
        let file = repository.join(file);
        fs::copy(&file, trial.join(file.file_name().unwrap())).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_audit-shipper"), trial.join("audit-shipper")).unwrap();
    fs::write(trial.join("trial.service"), TRIAL_UNIT).unwrap();
    fs::write(trial.join("audit-shipper.yaml"), CONFIG).unwrap();
    let authority = Authority::new();
    authority.sign().write(&trial, "server");
    fs::write(trial.join("ca.pem"), authority.pem()).unwrap();
    fs::write(trial.join("token"), "a-token-of-the-trial").unwrap();
    let (cluster, user) =
        ("certificate-authority: ca.pem", "tokenFile: /run/credentials/audit-shipper.service/token");
    let kubeconfig = workdir.kubeconfig_with("https://127.0.0.1:PORT", cluster, user);
    fs::rename(kubeconfig, trial.join("webhook.kubeconfig")).unwrap();
    let events = real_events(230);
    fs::write(trial.join("events.ndjson"), events.concat()).unwrap();

    boot(&tree, &trial, &out);

    let results = fs::read_to_string(out.join("results")).unwrap_or_default();
    let failed: Vec<&str> = results.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert!(failed.is_empty() && results.ends_with("done\n"), "{results}\n{}", journal(&out));
    // Everything has arrived, at least once; and only what was under way in a crash or a stop more than once.
    let mut arrived: Vec<String> =
        ["received.ndjson", "elsewhere.ndjson"].iter().flat_map(|file| lines_of(&out.join(file))).collect();
    assert!(arrived.len() <= events.len() + 110, "{}", arrived.len());
    arrived.sort_unstable();
    arrived.dedup();
    let mut written = events;
    written.sort_unstable();
    assert_eq!(arrived.len(), written.len());
    assert!(arrived == written);
}
