//! The directory of one test, and real events to put into it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// A temporary directory with places for the log, the state and a kubeconfig.
pub(crate) struct Workdir {
    directory: tempfile::TempDir,
}

impl Workdir {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("log")).unwrap();
        std::fs::create_dir(directory.path().join("state")).unwrap();
        Self { directory }
    }

    /// Any other file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path("log")
    }

    /// The live log; it does not exist yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.path("log/audit.log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a kubeconfig for `server`.
    pub(crate) fn kubeconfig(&self, server: &str) -> PathBuf {
        self.kubeconfig_with(server, "", "")
    }

    /// The same with further lines of the cluster (such as `certificate-authority: ca.pem`) and of the user (such as
    /// `token: secret`).
    pub(crate) fn kubeconfig_with(&self, server: &str, cluster: &str, user: &str) -> PathBuf {
        let indented = |lines: &str| format!("    {}\n", lines.replace('\n', "\n    "));
        let cluster = if cluster.is_empty() { String::new() } else { indented(cluster) };
        let user = if user.is_empty() { "    {}\n".to_owned() } else { indented(user) };
        let path = self.path("webhook.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\n\
             clusters:\n- name: c\n\x20 cluster:\n\x20   server: {server}\n{cluster}\
             users:\n- name: u\n\x20 user:\n{user}\
             contexts:\n- name: x\n\x20 context:\n\x20   cluster: c\n\x20   user: u\n\
             current-context: x\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Appends lines to the live log, each with one write as kube-apiserver does.
    pub(crate) fn append(&self, lines: &[String]) {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(self.log()).unwrap();
        for line in lines {
            log.write_all(line.as_bytes()).unwrap();
        }
    }
}

/// The first `n` of 1250 real lines under the GKE policy, each with its newline.
pub(crate) fn real_events(n: usize) -> Vec<String> {
    let lines = gunzipped_lines(include_bytes!("../../data/events/gke.log.gz"));
    assert!(n <= lines.len(), "there are {} lines", lines.len());
    lines[..n].to_vec()
}

/// 658 real lines with requests and responses, two of them above 100 KiB and one above 1 MiB.
pub(crate) fn large_events() -> Vec<String> {
    gunzipped_lines(include_bytes!("../../data/events/requestresponse.log.gz"))
}

/// 53 real lines about Secrets, ConfigMaps, tokens, reviews and patches.
pub(crate) fn sensitive_events() -> Vec<String> {
    gunzipped_lines(include_bytes!("../../data/events/redaction.log.gz"))
}

/// Bodies of the first three webhook requests of the run that `real_events` is from: its first 1200 lines.
pub(crate) fn webhook_bodies() -> [Vec<u8>; 3] {
    [
        gunzip(include_bytes!("../../data/sinks/webhook/0000.body.gz")),
        gunzip(include_bytes!("../../data/sinks/webhook/0001.body.gz")),
        gunzip(include_bytes!("../../data/sinks/webhook/0002.body.gz")),
    ]
}

/// Writes a file as tools do that renew one: under another name, then renamed.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// The lines of a file, each with its newline. Of what is being written the last may end within a character.
pub(crate) fn lines_of(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    String::from_utf8_lossy(&bytes).split_inclusive('\n').map(str::to_owned).collect()
}

/// The lines of a compressed file, each with its newline.
pub(crate) fn gunzipped_lines(gzip: &[u8]) -> Vec<String> {
    let text = String::from_utf8(gunzip(gzip)).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

fn gunzip(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_data_is_what_its_readme_says() {
    let mut from_log = real_events(1200);
    let mut from_webhook: Vec<String> = webhook_bodies()
        .into_iter()
        .flat_map(|body| {
            let headers = Vec::new();
            let (method, target) = ("POST".to_owned(), "/audit".to_owned());
            super::endpoint::lines(&super::http1::Recorded { method, target, headers, body })
        })
        .collect();
    from_log.sort();
    from_webhook.sort();
    assert!(from_log == from_webhook);
    assert_eq!(real_events(1250).len(), 1250);

    let large = large_events();
    let above = |bytes: usize| large.iter().filter(|line| line.len() > bytes).count();
    assert_eq!((large.len(), above(100 << 10), above(1 << 20)), (658, 3, 1));
    assert_eq!(sensitive_events().len(), 53);
}

#[test]
fn a_workdir_has_its_places() {
    let workdir = Workdir::new();
    workdir.append(&real_events(2));
    workdir.append(&real_events(1));
    assert_eq!(lines_of(&workdir.log()).len(), 3);
    assert!(workdir.log_dir().is_dir() && workdir.state().is_dir());
    let text =
        std::fs::read_to_string(workdir.kubeconfig_with("https://h", "a: b\nc: d", "token: t")).unwrap();
    assert!(text.contains("    server: https://h\n    a: b\n    c: d\nusers:"));
    assert!(text.contains("  user:\n    token: t\ncontexts:"));
    assert!(std::fs::read_to_string(workdir.kubeconfig("http://h")).unwrap().contains("  user:\n    {}\n"));
}
