//! A daemon with an `/etc/hosts` of its own, which a test can change: in a mount namespace, so that nobody else sees it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::daemon::Daemon;
use super::workdir::Workdir;

/// Names and addresses for one daemon.
pub(crate) struct Hosts {
    file: PathBuf,
    resolv_conf: PathBuf,
    namespace: &'static [&'static str],
}

impl Hosts {
    /// `None`, and a word on stderr, where namespaces are not permitted.
    pub(crate) fn new(workdir: &Workdir) -> Option<Self> {
        let (file, resolv_conf) = (workdir.path("hosts"), workdir.path("resolv.conf"));
        std::fs::write(&file, "").unwrap();
        // Nobody listens there, so what is not in our file fails at once.
        std::fs::write(&resolv_conf, "nameserver 127.66.66.66\noptions timeout:1 attempts:1\n").unwrap();
        // The first takes root, the second a kernel that lets anybody.
        let namespaces: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-rm"]];
        for namespace in namespaces {
            let hosts = Self { file: file.clone(), resolv_conf: resolv_conf.clone(), namespace };
            let mut command = Command::new(namespace[0]);
            command.args(&namespace[1..]).args(["sh", "-c", &hosts.wrapper("true")]);
            if command.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return Some(hosts);
            }
        }
        eprintln!("skipped: mount namespaces are not permitted, names cannot be changed");
        None
    }

    /// From now on these, and no others, are the addresses of these names.
    pub(crate) fn set(&self, entries: &[(&str, &str)]) {
        let lines: Vec<String> = entries.iter().map(|(name, address)| format!("{address} {name}")).collect();
        // The mount is on this very file: it is rewritten, not replaced.
        std::fs::write(&self.file, lines.join("\n") + "\n").unwrap();
    }

    /// A daemon that sees them.
    pub(crate) fn command(&self, args: &[String]) -> Command {
        let mut command = Daemon::command_behind(self.namespace, &self.wrapper(r#"exec "$0" "$@""#));
        command.args(args);
        command
    }

    fn wrapper(&self, then: &str) -> String {
        let (hosts, resolv_conf) = (self.file.display(), self.resolv_conf.display());
        format!(
            "mount --bind '{hosts}' /etc/hosts && \
             {{ [ ! -e /etc/resolv.conf ] || mount --bind '{resolv_conf}' /etc/resolv.conf; }} && {then}"
        )
    }
}
