//! ACK's manifest of kube-apiserver, imported and run: events arrive as logtail's did.

use std::path::Path;

use super::assert_taken_once;
use super::fake::{Account, Sls};
use crate::support::cli::finish;
use crate::support::daemon::Daemon;
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::{Workdir, real_events};

/// The manifest of the node, with the host's directory elsewhere, and the logstore of the fake.
fn manifest(workdir: &Workdir) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests/ack.yaml");
    let text = std::fs::read_to_string(data).unwrap();
    let host = format!("hostPath:\n      path: {}\n", workdir.log_dir().display());
    let text = text
        .replace("hostPath:\n      path: /var/log/kubernetes\n", &host)
        .replace("audit-c0123456789abcdef0123456789abcdef", "audit-c01");
    let path = workdir.path("kube-apiserver.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_manifest_of_ack_ships_to_its_logstore() {
    let (account, events) = (Account::new(), real_events(300));
    let sls = Sls::taking_all(account.clone());
    let workdir = Workdir::new();
    let mut import = Daemon::command();
    import.args(["import", &manifest(&workdir)]).env("ALICLOUD_LOG_DEFAULT_PROJECT", "proj");
    import.env("ALICLOUD_LOG_ACCESS_KEY_SECRET", account.secret).env_remove("ALICLOUD_LOG_ENDPOINT");
    import.env_remove("ALICLOUD_LOG_REGION");
    let imported = finish(import);
    assert!(!imported.stderr.contains(account.secret));
    let mut config = imported.succeeded();
    assert!(!config.contains(account.secret) && config.contains("project: \"proj\"\n"), "{config}");
    let (id, secret) = (workdir.path("id"), workdir.path("secret"));
    std::fs::write(&id, account.id).unwrap();
    std::fs::write(&secret, account.secret).unwrap();
    let url = config.lines().find(|line| line.contains("url: \"<FILL IN")).unwrap().to_owned();
    config = config
        .replace(&url, &format!("      url: \"http://{}\"", sls.endpoint.address()))
        .replace("/etc/audit-shipper/sls/id", &id.display().to_string())
        .replace("/etc/audit-shipper/sls/secret", &secret.display().to_string());
    let rest = format!("stateDir: \"{}\"\nbindAddress: 127.0.0.1:0\n", workdir.state().display());
    config += &rest;
    let path = workdir.path("audit-shipper.yaml");
    std::fs::write(&path, config).unwrap();
    let log: String = events.concat();
    std::fs::write(workdir.log_dir().join("kubernetes.audit"), log).unwrap();
    let run = ["run", "--redact=false", "--audit-webhook-batch-max-wait=50ms", "--config"];
    let daemon = Daemon::start(run.into_iter().chain([path.to_str().unwrap()]));
    wait_until_settled(&daemon, events.len());
    assert_taken_once(&sls, &events);
    for group in sls.groups() {
        let tag = |key: &str| group.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.clone());
        assert_eq!(tag("audit").as_deref(), Some("apiserver"));
    }
}

/// The configuration names what the manifest cannot know, and the manifest the rest.
#[test]
fn what_an_output_to_sls_leaves_open_is_in_the_manifest() {
    let (account, events) = (Account::new(), real_events(50));
    let sls = Sls::taking_all(account.clone());
    let workdir = Workdir::new();
    let file = |name: &str, text: &str| {
        let path = workdir.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let config = format!(
        "source: {{ manifest: \"{}\", pinMinFree: 0 }}\noutputs:\n- name: sls\n  redact: {{ enabled: false }}\n  batch: {{ maxWait: 50ms }}\n  \
         sls: {{ url: \"http://{}\", project: proj, accessKeyIdFile: \"{}\", accessKeySecretFile: \"{}\" }}\n\
         stateDir: \"{}\"\nbindAddress: 127.0.0.1:0\n",
        manifest(&workdir),
        sls.endpoint.address(),
        file("id", account.id),
        file("secret", account.secret),
        workdir.state().display()
    );
    let config = file("audit-shipper.yaml", &config);
    std::fs::write(workdir.log_dir().join("kubernetes.audit"), events.concat()).unwrap();
    let daemon = Daemon::start(["run", "--config", &config]);
    wait_until_settled(&daemon, events.len());
    assert_taken_once(&sls, &events);
    assert!(sls.groups().iter().all(|group| group.tags.iter().any(|tag| tag.key == "audit")));
}
